"""torchvision's names, as of 0.29; the files of earlier versions hold the same."""

import dataclasses

from cnnjax.nets.net import Net
from cnnjax.transfer import families
from cnnjax.transfer.preprocess import Preprocess
from cnnjax.transfer.rules import BLOCK, Row, Table, unit

RANK = 0  # Where names are equal these are meant: timm's ResNets are named like torchvision's.
BICUBIC = Preprocess(interpolation="bicubic")


def _large(net: Net) -> bool:
    """EfficientNet from B5 up, of 39 blocks."""
    return families.efficientnet(net) and len(families.blocks(net)) >= 39


def _small(net: Net) -> bool:
    return families.efficientnet(net) and not _large(net)


ALEXNET = Table(
    title="torchvision's AlexNet",
    framework="torch",
    nets=("alexnet_one_tower",),
    fits=families.alexnet,
    rows=(
        Row("stem/block1/conv", "features.0"),
        Row("stage1/block1/conv", "features.3"),
        Row("stage2/block{b}/conv", "features.{2b+4}"),
        Row("head/dense{n}", "classifier.{3n-2}"),
        Row("head/logits", "classifier.6"),
    ),
)

_VGG_HEAD = (
    Row("head/dense{n}", "classifier.{3n-3}"),
    Row("head/logits", "classifier.6"),
)
VGG = Table(
    title="torchvision's VGG",
    framework="torch",
    nets=("vgg11", "vgg13", "vgg16", "vgg19"),
    fits=families.plain_vgg,
    # A convolution and its ReLU a block, a pool a stage.
    rows=(Row(f"{BLOCK}conv", "features.{2k+s-1}"), *_VGG_HEAD),
)
VGG_BN = Table(
    title="torchvision's VGG with batch norm",
    framework="torch",
    nets=("vgg*_bn",),
    fits=families.normed_vgg,
    rows=(*unit(BLOCK, "features.{3k+s-1}", "features.{3k+s}"), *_VGG_HEAD),
    epsilon=1e-5,
)

_MODULE = "inception{s+1}{b:a}.branch"
GOOGLENET = Table(
    title="torchvision's GoogLeNet",
    framework="torch",
    nets=("googlenet_tv", "googlenet_tv_aux"),
    fits=families.googlenet,
    rows=(
        *unit("stem/block1/", "conv1.conv", "conv1.bn"),
        *unit("stage1/block1/reduce/", "conv2.conv", "conv2.bn"),
        *unit("stage1/block1/spatial/", "conv3.conv", "conv3.bn"),
        *unit("stage3/block1/auxiliary/reduce/", "aux1.conv.conv", "aux1.conv.bn"),
        Row("stage3/block1/auxiliary/dense1", "aux1.fc1"),
        Row("stage3/block1/auxiliary/logits", "aux1.fc2"),
        *unit("stage3/block4/auxiliary/reduce/", "aux2.conv.conv", "aux2.conv.bn"),
        Row("stage3/block4/auxiliary/dense1", "aux2.fc1"),
        Row("stage3/block4/auxiliary/logits", "aux2.fc2"),
        *unit(f"{BLOCK}branch1/", f"{_MODULE}1.conv", f"{_MODULE}1.bn"),
        *unit(f"{BLOCK}branch4/", f"{_MODULE}4.1.conv", f"{_MODULE}4.1.bn"),
        *unit(BLOCK + "branch{n}/reduce/", _MODULE + "{n}.0.conv", _MODULE + "{n}.0.bn"),
        *unit(BLOCK + "branch{n}/spatial/", _MODULE + "{n}.1.conv", _MODULE + "{n}.1.bn"),
        Row("head/logits", "fc"),
    ),
    epsilon=1e-3,
    ignored=(r"aux[12]\..*",),  # A net without auxiliary heads leaves them out.
    preprocess=Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3),  # Its own `transform_input`.
)

RESNET = Table(
    title="torchvision's ResNet",
    framework="torch",
    nets=(
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnext*",
    ),
    fits=families.resnet,
    rows=(
        *unit("stem/block1/", "conv1", "bn1"),
        Row(BLOCK + "conv{n}", "layer{s}.{b-1}.conv{n}"),
        Row(BLOCK + "norm{n}", "layer{s}.{b-1}.bn{n}"),
        *unit(f"{BLOCK}shortcut_", "layer{s}.{b-1}.downsample.0", "layer{s}.{b-1}.downsample.1"),
        Row("head/logits", "fc"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    stride_first=False,
)

DENSENET = Table(
    title="torchvision's DenseNet",
    framework="torch",
    nets=("densenet121", "densenet161", "densenet169", "densenet201"),
    fits=families.densenet,
    rows=(
        *unit("stem/block1/", "features.conv0", "features.norm0"),
        Row(BLOCK + "conv{n}", "features.denseblock{s}.denselayer{b}.conv{n}"),
        Row(BLOCK + "norm{n}", "features.denseblock{s}.denselayer{b}.norm{n}"),
        *unit(
            "stage{s}/before/",
            "features.transition{s-1}.conv",
            "features.transition{s-1}.norm",
        ),
        Row("neck/block1/norm", "features.norm5"),
        Row("head/logits", "classifier"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    renamed=((r"(denselayer\d+\.(?:conv|norm))\.(\d)", r"\1\2"),),  # Before torchvision 0.3.
)

SQUEEZENET = Table(
    title="torchvision's SqueezeNet",
    framework="torch",
    nets=("squeezenet1_0", "squeezenet1_1"),
    fits=families.squeezenet,
    rows=(
        Row("stem/block1/conv", "features.0"),
        # Behind stem, ReLU and pool, and a pool a stage.
        Row(f"{BLOCK}squeeze/conv", "features.{k+s+2}.squeeze"),
        Row(BLOCK + "expand{n}/conv", "features.{k+s+2}.expand{n}x{n}"),
        Row("head/logits/conv", "classifier.1"),
    ),
)

MOBILENET_V2 = Table(
    title="torchvision's MobileNetV2",
    framework="torch",
    nets=("mobilenet_v2*",),
    fits=families.mobilenet_v2,
    rows=(
        *unit("stem/block1/", "features.0.0", "features.0.1"),
        *unit(f"{BLOCK}expand_", "features.{k+1}.conv.0.0", "features.{k+1}.conv.0.1"),
        *unit(f"{BLOCK}spatial_", "features.{k+1}.conv.{x}.0", "features.{k+1}.conv.{x}.1"),
        *unit(f"{BLOCK}project_", "features.{k+1}.conv.{x+1}", "features.{k+1}.conv.{x+2}"),
        *unit("neck/block1/", "features.{K+1}.0", "features.{K+1}.1"),
        Row("head/logits", "classifier.1"),
    ),
    epsilon=1e-5,
    padding="symmetric",
)

MOBILENET_V3 = Table(
    title="torchvision's MobileNetV3",
    framework="torch",
    nets=("mobilenet_v3_large", "mobilenet_v3_small"),
    fits=families.mobilenet_v3,
    rows=(
        *unit("stem/block1/", "features.0.0", "features.0.1"),
        *unit(f"{BLOCK}expand_", "features.{k+1}.block.0.0", "features.{k+1}.block.0.1"),
        *unit(f"{BLOCK}spatial_", "features.{k+1}.block.{x}.0", "features.{k+1}.block.{x}.1"),
        Row(f"{BLOCK}squeeze", "features.{k+1}.block.{x+1}.fc1", "conv"),
        Row(f"{BLOCK}excite", "features.{k+1}.block.{x+1}.fc2", "conv"),
        *unit(
            f"{BLOCK}project_",
            "features.{k+1}.block.{x+g+1}.0",
            "features.{k+1}.block.{x+g+1}.1",
        ),
        *unit("neck/block1/", "features.{K+1}.0", "features.{K+1}.1"),
        Row("head/dense1", "classifier.0"),
        Row("head/logits", "classifier.3"),
    ),
    epsilon=1e-3,
    padding="symmetric",
)

EFFICIENTNET = Table(
    title="torchvision's EfficientNet",
    framework="torch",
    nets=tuple(f"efficientnet_b{i}" for i in range(5)),
    fits=_small,
    rows=(
        *unit("stem/block1/", "features.0.0", "features.0.1"),
        *unit(f"{BLOCK}expand_", "features.{s}.{b-1}.block.0.0", "features.{s}.{b-1}.block.0.1"),
        *unit(
            f"{BLOCK}spatial_", "features.{s}.{b-1}.block.{x}.0", "features.{s}.{b-1}.block.{x}.1"
        ),
        Row(f"{BLOCK}squeeze", "features.{s}.{b-1}.block.{x+1}.fc1", "conv"),
        Row(f"{BLOCK}excite", "features.{s}.{b-1}.block.{x+1}.fc2", "conv"),
        *unit(
            f"{BLOCK}project_",
            "features.{s}.{b-1}.block.{x+2}.0",
            "features.{s}.{b-1}.block.{x+2}.1",
        ),
        *unit("neck/block1/", "features.{S+1}.0", "features.{S+1}.1"),
        Row("head/logits", "classifier.1"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    preprocess=BICUBIC,
    sizes=(
        ("efficientnet_b1", 256, 240),
        ("efficientnet_b2", 288, 288),
        ("efficientnet_b3", 320, 300),
        ("efficientnet_b4", 384, 380),
    ),
)
LARGE_EFFICIENTNET = dataclasses.replace(
    EFFICIENTNET,
    title="torchvision's EfficientNet from B5 up",
    nets=tuple(f"efficientnet_b{i}" for i in range(5, 8)),
    fits=_large,
    epsilon=1e-3,
    sizes=tuple((f"efficientnet_b{i}", n, n) for i, n in ((5, 456), (6, 528), (7, 600))),
)

_AT = "trunk_output.block{s}.block{s}-{b-1}."
REGNET = Table(
    title="torchvision's RegNet",
    framework="torch",
    # Its x_400mf, y_800mf and y_8gf are other nets.
    nets=(
        *(f"regnetx_{n}" for n in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
        *(f"regnety_{n}" for n in ("400mf", "1_6gf", "3_2gf", "16gf", "32gf")),
    ),
    fits=families.regnet,
    rows=(
        *unit("stem/block1/", "stem.0", "stem.1"),
        Row(f"{BLOCK}conv1", f"{_AT}f.a.0"),
        Row(f"{BLOCK}norm1", f"{_AT}f.a.1"),
        Row(f"{BLOCK}conv2", f"{_AT}f.b.0"),
        Row(f"{BLOCK}norm2", f"{_AT}f.b.1"),
        Row(f"{BLOCK}squeeze", f"{_AT}f.se.fc1", "conv"),
        Row(f"{BLOCK}excite", f"{_AT}f.se.fc2", "conv"),
        Row(f"{BLOCK}conv3", f"{_AT}f.c.0"),
        Row(f"{BLOCK}norm3", f"{_AT}f.c.1"),
        *unit(f"{BLOCK}shortcut_", f"{_AT}proj.0", f"{_AT}proj.1"),
        Row("head/logits", "fc"),
    ),
    epsilon=1e-5,
    padding="symmetric",
)

CONVNEXT = Table(
    title="torchvision's ConvNeXt",
    framework="torch",
    nets=("convnext_*",),
    fits=families.convnext,
    rows=(
        *unit("stem/block1/", "features.0.0", "features.0.1"),
        *unit("stage{s}/before/", "features.{2s-2}.1", "features.{2s-2}.0"),
        Row(f"{BLOCK}spatial_conv", "features.{2s-1}.{b-1}.block.0"),
        Row(f"{BLOCK}norm", "features.{2s-1}.{b-1}.block.2"),
        Row(f"{BLOCK}expand_conv", "features.{2s-1}.{b-1}.block.3", "dense"),
        Row(f"{BLOCK}project_conv", "features.{2s-1}.{b-1}.block.5", "dense"),
        Row(f"{BLOCK}layer_scale", "features.{2s-1}.{b-1}.layer_scale", "map"),
        Row("head/norm", "classifier.0"),
        Row("head/logits", "classifier.2"),
    ),
    sizes=(("convnext_tiny", 236, 224), ("convnext_small", 230, 224), ("convnext_base", 232, 224)),
)

TABLES = (
    ALEXNET,
    VGG,
    VGG_BN,
    GOOGLENET,
    RESNET,
    DENSENET,
    SQUEEZENET,
    MOBILENET_V2,
    MOBILENET_V3,
    EFFICIENTNET,
    LARGE_EFFICIENTNET,
    REGNET,
    CONVNEXT,
)
