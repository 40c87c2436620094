"""The names of `keras.applications`, by layer and the variable's place in it ("conv1_bn/2" is the
moving mean): see `layout.layer_names`."""

from cnnjax.transfer import families
from cnnjax.transfer.preprocess import Preprocess
from cnnjax.transfer.rules import BLOCK, Row, Table, unit

# Its modes of preprocessing, on images in [0, 1] with red first.
CAFFE = Preprocess(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255,) * 3)
TENSORFLOW = Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3)
TORCH = Preprocess()
TOP = Row("head/logits", "predictions")

VGG = Table(
    title="Keras' VGG",
    framework="keras",
    nets=("vgg16", "vgg19"),
    fits=families.plain_vgg,
    rows=(
        Row(f"{BLOCK}conv", "block{s}_conv{b}"),
        Row("head/dense{n}", "fc{n}"),
        TOP,
    ),
    bgr=True,
    preprocess=CAFFE,
)
RESNET = Table(
    title="Keras' ResNet",
    framework="keras",
    nets=("resnet*_v1",),
    fits=families.deep_resnet,
    rows=(
        *unit("stem/block1/", "conv1_conv", "conv1_bn"),
        Row(BLOCK + "conv{n}", "conv{s+1}_block{b}_{n}_conv"),
        Row(BLOCK + "norm{n}", "conv{s+1}_block{b}_{n}_bn"),
        *unit(f"{BLOCK}shortcut_", "conv{s+1}_block{b}_0_conv", "conv{s+1}_block{b}_0_bn"),
        TOP,
    ),
    epsilon=1.001e-5,
    padding="symmetric",
    stride_first=True,
    biased=True,
    bgr=True,
    preprocess=CAFFE,
)
RESNET_V2 = Table(
    title="Keras' ResNetV2",
    framework="keras",
    nets=(),
    fits=families.resnet_v2,
    rows=(
        Row("stem/block1/conv", "conv1_conv"),
        Row(f"{BLOCK}norm1", "conv{s+1}_block{b}_preact_bn"),
        Row(BLOCK + "norm{n}", "conv{s+1}_block{b}_{n-1}_bn"),
        Row(BLOCK + "conv{n}", "conv{s+1}_block{b}_{n}_conv"),
        Row(f"{BLOCK}shortcut_conv", "conv{s+1}_block{b}_0_conv"),
        Row("neck/block1/norm", "post_bn"),
        TOP,
    ),
    refused="it strides in the last block of a stage and pools zeros behind its stem, which no net "
    "here does: use timm's weights (resnetv2_50 for resnet50_v2)",
)
DENSENET = Table(
    title="Keras' DenseNet",
    framework="keras",
    nets=("densenet121", "densenet169", "densenet201"),
    fits=families.densenet,
    rows=(
        *unit("stem/block1/", "conv1_conv", "conv1_bn"),
        Row(BLOCK + "conv{n}", "conv{s+1}_block{b}_{n}_conv"),
        Row(BLOCK + "norm{n}", "conv{s+1}_block{b}_{n-1}_bn"),
        *unit("stage{s}/before/", "pool{s}_conv", "pool{s}_bn"),
        Row("neck/block1/norm", "bn"),
        TOP,
    ),
    epsilon=1.001e-5,
    padding="symmetric",
    preprocess=TORCH,
)
MOBILENET_V1 = Table(
    title="Keras' MobileNet",
    framework="keras",
    nets=("mobilenet_v1*",),
    fits=families.mobilenet_v1,
    rows=(
        *unit("stem/block1/", "conv1", "conv1_bn"),
        *unit(f"{BLOCK}spatial_", "conv_dw_{k+1}", "conv_dw_{k+1}_bn"),
        *unit(f"{BLOCK}project_", "conv_pw_{k+1}", "conv_pw_{k+1}_bn"),
        Row("head/logits", "conv_preds"),
    ),
    epsilon=1e-3,
    padding="same",
    preprocess=TENSORFLOW,
)
MOBILENET_V2 = Table(
    title="Keras' MobileNetV2",
    framework="keras",
    nets=("mobilenet_v2*",),
    fits=families.mobilenet_v2,
    rows=(
        *unit("stem/block1/", "Conv1", "bn_Conv1"),
        *unit("stage1/block1/spatial_", "expanded_conv_depthwise", "expanded_conv_depthwise_BN"),
        *unit("stage1/block1/project_", "expanded_conv_project", "expanded_conv_project_BN"),
        *unit(f"{BLOCK}expand_", "block_{k}_expand", "block_{k}_expand_BN"),
        *unit(f"{BLOCK}spatial_", "block_{k}_depthwise", "block_{k}_depthwise_BN"),
        *unit(f"{BLOCK}project_", "block_{k}_project", "block_{k}_project_BN"),
        *unit("neck/block1/", "Conv_1", "Conv_1_bn"),
        TOP,
    ),
    epsilon=1e-3,
    padding="same",
    preprocess=TENSORFLOW,
)


def _expanded(ours: str, theirs: str) -> tuple[Row, ...]:
    """A block's rows in MobileNetV3, by the place of the block and what it is called."""
    return (
        *unit(f"{ours}expand_", f"{theirs}_expand", f"{theirs}_expand_bn"),
        *unit(f"{ours}spatial_", f"{theirs}_depthwise", f"{theirs}_depthwise_bn"),
        Row(f"{ours}squeeze", f"{theirs}_squeeze_excite_conv"),
        Row(f"{ours}excite", f"{theirs}_squeeze_excite_conv_1"),
        *unit(f"{ours}project_", f"{theirs}_project", f"{theirs}_project_bn"),
    )


MOBILENET_V3 = Table(
    title="Keras' MobileNetV3",
    framework="keras",
    nets=("mobilenet_v3*",),
    fits=families.mobilenet_v3,
    rows=(
        *unit("stem/block1/", "conv", "conv_bn"),
        *_expanded("stage1/block1/", "expanded_conv"),  # The first has no number.
        *_expanded(BLOCK, "expanded_conv_{k}"),
        *unit("neck/block1/", "conv_1", "conv_1_bn"),
        Row("head/dense1", "conv_2"),
        Row("head/logits", "logits"),
    ),
    epsilon=1e-3,
    padding="same",
    # Before Keras 3.
    renamed=(
        (r"^Conv", "conv"),
        (r"_BatchNorm/", "_bn/"),
        (r"_Conv(?=[_/])", "_conv"),
        (r"^Logits", "logits"),
    ),
    preprocess=TENSORFLOW,
)
EFFICIENTNET = Table(
    title="Keras' EfficientNet",
    framework="keras",
    nets=("efficientnet_b*",),
    fits=families.efficientnet,
    rows=(
        *unit("stem/block1/", "stem_conv", "stem_bn"),
        *unit(f"{BLOCK}expand_", "block{s}{b:a}_expand_conv", "block{s}{b:a}_expand_bn"),
        *unit(f"{BLOCK}spatial_", "block{s}{b:a}_dwconv", "block{s}{b:a}_bn"),
        Row(f"{BLOCK}squeeze", "block{s}{b:a}_se_reduce"),
        Row(f"{BLOCK}excite", "block{s}{b:a}_se_expand"),
        *unit(f"{BLOCK}project_", "block{s}{b:a}_project_conv", "block{s}{b:a}_project_bn"),
        *unit("neck/block1/", "top_conv", "top_bn"),
        TOP,
    ),
    epsilon=1e-3,
    padding="same",
    ignored=(r"normalization/.*",),  # Of the images: `preprocess` has it.
    renamed=((r"^normalization_\d+/", "normalization/"),),  # In a process's later models.
    preprocess=TORCH,
)
CONVNEXT = Table(
    title="Keras' ConvNeXt",
    framework="keras",
    nets=("convnext_*",),
    fits=families.convnext,
    rows=(
        *unit("stem/block1/", "stem_conv", "stem_layernorm"),
        *unit("stage{s}/before/", "downsampling_conv_{s-2}", "downsampling_layernorm_{s-2}"),
        Row(f"{BLOCK}spatial_conv", "stage_{s-1}_block_{b-1}_depthwise_conv"),
        Row(f"{BLOCK}norm", "stage_{s-1}_block_{b-1}_layernorm"),
        Row(f"{BLOCK}expand_conv", "stage_{s-1}_block_{b-1}_pointwise_conv_1"),
        Row(f"{BLOCK}project_conv", "stage_{s-1}_block_{b-1}_pointwise_conv_2"),
        Row(f"{BLOCK}layer_scale", "stage_{s-1}_block_{b-1}_layer_scale"),
        Row("head/norm", "head_layernorm"),
        Row("head/logits", "head_dense"),
    ),
    renamed=((r"^convnext_[a-z]+_", ""),),  # The net's size stands before every name.
    preprocess=TORCH,
)

TABLES = (
    VGG,
    RESNET,
    RESNET_V2,
    DENSENET,
    MOBILENET_V1,
    MOBILENET_V2,
    MOBILENET_V3,
    EFFICIENTNET,
    CONVNEXT,
)
