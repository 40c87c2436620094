"""Which family a net is of, its axes moved or not: what a table of names is for."""

from typing import Any

from cnnjax.nets.auxiliary import Watched
from cnnjax.nets.blocks import Bottleneck, Plain, Residual
from cnnjax.nets.convnext import ConvNeXtBlock
from cnnjax.nets.densenet import DenseLayer
from cnnjax.nets.googlenet import Inception, Reduced
from cnnjax.nets.inverted import Inverted
from cnnjax.nets.mobilenet_v1 import Separable
from cnnjax.nets.net import Flatten, Net
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.preact import PreBottleneck
from cnnjax.nets.regnet import XBlock
from cnnjax.nets.squeezenet import Fire


def blocks(net: Net) -> list[Any]:
    """Every block of the net's stages, without its auxiliary head."""
    found = [block for stage in net.stages for block, _ in stage.blocks]
    return [block.block if isinstance(block, Watched) else block for block in found]


def _of(net: Net, *types: type) -> bool:
    return all(isinstance(block, types) for block in blocks(net))


def _hidden(net: Net) -> bool:
    return bool(getattr(net.head, "hidden", ()))


def gated(net: Net) -> bool:
    """Whether some block has squeeze-and-excitation."""
    return any(getattr(block, "gate", None) for block in blocks(net))


def normed(net: Net) -> bool:
    """Whether every block has a norm."""
    return not any(isinstance(block.norm, NoNorm) for block in blocks(net))


def alexnet(net: Net) -> bool:
    """On one tower, without response normalisation."""
    flat = isinstance(getattr(net.head, "reduce", None), Flatten)
    responds = any(getattr(block, "respond", None) for block in blocks(net))
    return _of(net, Plain) and flat and bool(net.stem) and len(net.stages) == 2 and not responds


def vgg(net: Net) -> bool:
    return _of(net, Plain) and not net.stem and _hidden(net) and len(net.stages) == 5


def plain_vgg(net: Net) -> bool:
    return vgg(net) and not normed(net)


def normed_vgg(net: Net) -> bool:
    return vgg(net) and normed(net)


def googlenet(net: Net) -> bool:
    """With batch norm."""
    return _of(net, Inception, Reduced) and normed(net)


def resnet(net: Net) -> bool:
    """For ImageNet, v1 or v1.5, wide and grouped ones too, not gated."""
    return _of(net, Residual, Bottleneck) and len(net.stages) == 4 and not gated(net)


def deep_resnet(net: Net) -> bool:
    """Of bottlenecks."""
    return resnet(net) and _of(net, Bottleneck)


def seresnet(net: Net) -> bool:
    return _of(net, Residual, Bottleneck) and len(net.stages) == 4 and gated(net)


def resnet_v2(net: Net) -> bool:
    """Of bottlenecks, for ImageNet."""
    return _of(net, PreBottleneck) and len(net.stages) == 4


def densenet(net: Net) -> bool:
    """For ImageNet."""
    return _of(net, DenseLayer) and len(net.stages) == 4


def squeezenet(net: Net) -> bool:
    return _of(net, Fire)


def mobilenet_v1(net: Net) -> bool:
    return _of(net, Separable)


def mobilenet_v2(net: Net) -> bool:
    """All kernels of one size, as EfficientNet-Lite's, which has its blocks, are not."""
    kernels = {getattr(block, "kernel", None) for block in blocks(net)}
    return _of(net, Inverted) and not (gated(net) or _hidden(net)) and len(kernels) == 1


def mobilenet_v3(net: Net) -> bool:
    return _of(net, Inverted) and _hidden(net)


def efficientnet(net: Net) -> bool:
    return _of(net, Inverted) and gated(net) and not _hidden(net)


def efficientnet_lite(net: Net) -> bool:
    """With the kernel axis moved it can't be told from MobileNetV2, whose blocks it has."""
    return _of(net, Inverted) and not (gated(net) or _hidden(net) or mobilenet_v2(net))


def regnet(net: Net) -> bool:
    return _of(net, XBlock)


def convnext(net: Net) -> bool:
    return _of(net, ConvNeXtBlock)
