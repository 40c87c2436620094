"""timm's names, as of 1.0. Its `tf_` nets are named like its others, and pad and normalise as
TensorFlow does: a file from the hub says which it is, and else the net that it is for tells."""

import dataclasses

from cnnjax.transfer import families
from cnnjax.transfer.names import torchvision
from cnnjax.transfer.preprocess import Preprocess
from cnnjax.transfer.rules import BLOCK, Row, Table, unit

HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
BICUBIC = Preprocess(interpolation="bicubic")

VGG = Table(
    title="timm's VGG",
    framework="torch",
    nets=("vgg11", "vgg13", "vgg16", "vgg19"),
    fits=families.plain_vgg,
    rows=(
        Row(f"{BLOCK}conv", "features.{2k+s-1}"),
        Row("head/dense{n}", "pre_logits.fc{n}", "conv"),
        Row("head/logits", "head.fc"),
    ),
)
VGG_BN = dataclasses.replace(
    VGG,
    title="timm's VGG with batch norm",
    nets=("vgg*_bn",),
    fits=families.normed_vgg,
    rows=(*unit(BLOCK, "features.{3k+s-1}", "features.{3k+s}"), *VGG.rows[1:]),
    epsilon=1e-5,
)

RESNET = dataclasses.replace(
    torchvision.RESNET,
    title="timm's ResNet",
    architectures=r"(wide_)?resnet\d+.*|resnext.*",
    preprocess=BICUBIC,
)
SERESNET = dataclasses.replace(
    RESNET,
    title="timm's SE-ResNet",
    nets=("seresnet*",),
    fits=families.seresnet,
    rows=(
        Row(f"{BLOCK}squeeze", "layer{s}.{b-1}.se.fc1", "conv"),
        Row(f"{BLOCK}excite", "layer{s}.{b-1}.se.fc2", "conv"),
        *RESNET.rows,
    ),
    architectures=r"seresnet\d+",
)
RESNET_V2 = Table(
    title="timm's ResNetV2",
    framework="torch",
    nets=("resnet50_v2", "resnet101_v2", "resnet152_v2"),
    fits=families.resnet_v2,
    rows=(
        Row("stem/block1/conv", "stem.conv"),
        Row(BLOCK + "conv{n}", "stages.{s-1}.blocks.{b-1}.conv{n}"),
        Row(BLOCK + "norm{n}", "stages.{s-1}.blocks.{b-1}.norm{n}"),
        Row(f"{BLOCK}shortcut_conv", "stages.{s-1}.blocks.{b-1}.downsample.conv"),
        Row("neck/block1/norm", "norm"),
        Row("head/logits", "head.fc", "conv"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    stride_first=False,
    preprocess=Preprocess(interpolation="bicubic", **HALF),
)
DENSENET = dataclasses.replace(
    torchvision.DENSENET,
    title="timm's DenseNet",
    architectures=r"densenet\d+",
    preprocess=BICUBIC,
)
REGNET = Table(
    title="timm's RegNet",
    framework="torch",
    nets=("regnetx_*", "regnety_*"),
    fits=families.regnet,
    rows=(
        *unit("stem/block1/", "stem.conv", "stem.bn"),
        Row(BLOCK + "conv{n}", "s{s}.b{b}.conv{n}.conv"),
        Row(BLOCK + "norm{n}", "s{s}.b{b}.conv{n}.bn"),
        Row(f"{BLOCK}squeeze", "s{s}.b{b}.se.fc1", "conv"),
        Row(f"{BLOCK}excite", "s{s}.b{b}.se.fc2", "conv"),
        *unit(f"{BLOCK}shortcut_", "s{s}.b{b}.downsample.conv", "s{s}.b{b}.downsample.bn"),
        Row("head/logits", "head.fc"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    preprocess=BICUBIC,
)
CONVNEXT = Table(
    title="timm's ConvNeXt",
    framework="torch",
    nets=("convnext_*",),
    fits=families.convnext,
    rows=(
        *unit("stem/block1/", "stem.0", "stem.1"),
        *unit("stage{s}/before/", "stages.{s-1}.downsample.1", "stages.{s-1}.downsample.0"),
        Row(f"{BLOCK}spatial_conv", "stages.{s-1}.blocks.{b-1}.conv_dw"),
        Row(f"{BLOCK}norm", "stages.{s-1}.blocks.{b-1}.norm"),
        Row(f"{BLOCK}expand_conv", "stages.{s-1}.blocks.{b-1}.mlp.fc1", "dense"),
        Row(f"{BLOCK}project_conv", "stages.{s-1}.blocks.{b-1}.mlp.fc2", "dense"),
        Row(f"{BLOCK}layer_scale", "stages.{s-1}.blocks.{b-1}.gamma"),
        Row("head/norm", "head.norm"),
        Row("head/logits", "head.fc"),
    ),
    preprocess=BICUBIC,
)

_AT = "blocks.{s-1}.{b-1}."
_STEM = unit("stem/block1/", "conv_stem", "bn1")
_INVERTED = (
    *_STEM,
    *unit(f"{BLOCK}expand_", f"{_AT}conv_pw", f"{_AT}bn1"),
    *unit(f"{BLOCK}spatial_", f"{_AT}conv_dw", _AT + "bn{x+1}"),
    Row(f"{BLOCK}squeeze", f"{_AT}se.conv_reduce", "conv"),
    Row(f"{BLOCK}excite", f"{_AT}se.conv_expand", "conv"),
    Row(f"{BLOCK}project_conv", f"{_AT}conv_pw", where=(("x", 0),)),
    Row(f"{BLOCK}project_conv", f"{_AT}conv_pwl"),
    Row(f"{BLOCK}project_norm", _AT + "bn{x+2}"),
)
_HEAD = (*unit("neck/block1/", "conv_head", "bn2"), Row("head/logits", "classifier"))

MOBILENET_V1 = Table(
    title="timm's MobileNetV1",
    framework="torch",
    nets=("mobilenet_v1",),
    fits=families.mobilenet_v1,
    rows=(
        *_STEM,
        *unit(f"{BLOCK}spatial_", f"{_AT}conv_dw", f"{_AT}bn1"),
        *unit(f"{BLOCK}project_", f"{_AT}conv_pw", f"{_AT}bn2"),
        Row("head/logits", "classifier"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    preprocess=Preprocess(interpolation="bicubic", **HALF),
)
MOBILENET_V2 = Table(
    title="timm's MobileNetV2",
    framework="torch",
    nets=("mobilenet_v2", *(f"mobilenet_v2_{n}" for n in ("035", "050", "075", "140"))),
    fits=families.mobilenet_v2,
    rows=(*_INVERTED, *_HEAD),
    epsilon=1e-5,
    padding="symmetric",
    architectures=r"mobilenetv2.*",
    preprocess=BICUBIC,
)
MOBILENET_V3 = Table(
    title="timm's MobileNetV3",
    framework="torch",
    nets=("mobilenet_v3*",),
    fits=families.mobilenet_v3,
    rows=(
        *_INVERTED,
        *unit("neck/block1/", "blocks.{S}.0.conv", "blocks.{S}.0.bn1"),
        Row("head/dense1", "conv_head", "conv"),
        Row("head/logits", "classifier"),
    ),
    epsilon=1e-5,
    padding="symmetric",
    architectures=r"mobilenetv3.*",
    preprocess=BICUBIC,
)
EFFICIENTNET = Table(
    title="timm's EfficientNet",
    framework="torch",
    nets=("efficientnet_b*",),
    fits=families.efficientnet,
    rows=(*_INVERTED, *_HEAD),
    epsilon=1e-5,
    padding="symmetric",
    architectures=r"efficientnet_b\d",
    preprocess=BICUBIC,
)
LITE = dataclasses.replace(
    EFFICIENTNET,
    title="timm's EfficientNet-Lite",
    nets=("efficientnet_lite*",),
    fits=families.efficientnet_lite,
    architectures=r"efficientnet_lite\d",
)


def _tensorflows(table: Table, **more: object) -> Table:
    """The same for the nets whose weights come from TensorFlow."""
    return dataclasses.replace(
        table,
        title=table.title.replace("timm's ", "timm's TensorFlow-born "),
        epsilon=1e-3,
        padding="same",
        architectures=f"tf_{table.architectures}",
        **more,
    )


TABLES = (
    VGG,
    VGG_BN,
    RESNET,
    SERESNET,
    RESNET_V2,
    DENSENET,
    REGNET,
    CONVNEXT,
    MOBILENET_V1,
    MOBILENET_V2,
    MOBILENET_V3,
    _tensorflows(MOBILENET_V3, preprocess=Preprocess(**HALF)),
    EFFICIENTNET,
    _tensorflows(EFFICIENTNET),
    LITE,
    _tensorflows(LITE, preprocess=Preprocess(interpolation="bicubic", **HALF)),
)
