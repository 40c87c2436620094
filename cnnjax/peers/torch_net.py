"""PyTorch's version of a net: the same layers of torch.nn, from the same value, channels last."""

import functools
from typing import Any

import torch
from torch import nn

from cnnjax.errors import UserError
from cnnjax.nets.activations import ReLU, ReLU6
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.connect import Convolution
from cnnjax.nets.context import ONE, Step
from cnnjax.nets.layers import Same, divisible, sides
from cnnjax.nets.mobilenet_v1 import Separable
from cnnjax.nets.net import Flatten, GlobalAverage, Head, Net
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.pools import Average, Max, Pool
from cnnjax.nets.shortcuts import NoShortcut, PadShortcut, ProjectionShortcut

Map = torch.Tensor  # [B, C, H, W]


def build(net: Net, image_shape: tuple[int, int, int]) -> nn.Sequential:
    """The net as a module: images [B, C, H, W] → logits.

    Raises:
      UserError: a part of it has no version here, naming it.
    """
    high, wide, channels = image_shape
    x, parts = torch.zeros(2, channels, high, wide), []

    def add(part: nn.Module) -> None:
        nonlocal x
        parts.append(part)
        with torch.no_grad():
            x = part.eval()(x)

    for stage in net.named_stages.values():
        for block, step in stage.blocks:
            add(module(block, x, step))
        if stage.pool:
            add(module(stage.pool, x, ONE))
        if stage.before or stage.rate * stage.traded > 1:
            raise _none(stage)
    add(module(net.head, x, ONE))
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


@functools.singledispatch
def module(part: Any, x: Map, step: Step) -> nn.Module:
    """The part of a net that takes maps like x."""
    raise _none(part)


def _none(part: Any) -> UserError:
    return UserError(f"{type(part).__name__} has no version in PyTorch here")


def conv(
    x: Map, features: int, kernel: int, *, step: Step = ONE, dilation: int = 1,
    groups: int | None = 1, padding: int | Same | None = None, bias: bool = False,
) -> nn.Module:  # fmt: skip
    """A convolution padded as `nets.layers.conv` pads it."""
    pads = [sides(padding, n, dilation * (kernel - 1), step) for n in x.shape[2:]]
    (top, bottom), (left, right) = pads
    even = top == bottom and left == right
    layer = nn.Conv2d(
        x.shape[1], features, kernel, step.by, (top, left) if even else 0, dilation,
        x.shape[1] if groups is None else groups, bias,
    )  # fmt: skip
    return layer if even else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), layer)


def norm(of: Any, features: int) -> nn.Module:
    match of:
        case NoNorm():
            return nn.Identity()
        case BatchNorm(momentum, epsilon):
            return nn.BatchNorm2d(features, epsilon, 1 - momentum)
    raise _none(of)


def act(of: Any) -> nn.Module:
    match of:
        case ReLU():
            return nn.ReLU(inplace=True)
        case ReLU6():
            return nn.ReLU6(inplace=True)
    raise _none(of)


@module.register
def _(part: Plain, x: Map, step: Step) -> nn.Module:
    if part.connect != Convolution() or part.respond:
        raise _none(part.respond or part.connect)
    features = divisible(part.features, part.groups)
    bias = isinstance(part.norm, NoNorm) if part.bias is None else part.bias
    layer = conv(x, features, part.kernel, step=step, dilation=part.dilation,
                 groups=part.groups, padding=part.padding, bias=bias)  # fmt: skip
    return nn.Sequential(layer, norm(part.norm, features), act(part.act))


@module.register
def _(part: Separable, x: Map, step: Step) -> nn.Module:
    bias, features = isinstance(part.norm, NoNorm), divisible(part.features, part.groups)
    spatial = conv(x, x.shape[1], part.kernel, step=step, dilation=part.dilation,
                   groups=part.groups, padding=part.padding, bias=bias)  # fmt: skip
    return nn.Sequential(
        spatial, norm(part.norm, x.shape[1]), act(part.act), conv(x, features, 1, bias=bias),
        norm(part.norm, features), act(part.act),
    )  # fmt: skip


class _Residual(nn.Module):
    def __init__(self, part: Residual, x: Map, step: Step):
        super().__init__()
        if part.gate or step.rate != 1:
            raise _none(part.gate or part)
        features = divisible(part.features, part.groups)
        alike = {"dilation": part.dilation, "groups": part.groups,
                 "bias": isinstance(part.norm, NoNorm)}  # fmt: skip
        first = conv(x, features, part.kernel, step=step, **alike)
        inner = first(x)
        self.branch = nn.Sequential(
            first, norm(part.norm, features), act(part.act),
            conv(inner, features, part.kernel, **alike), norm(part.norm, features),
        )  # fmt: skip
        self.shortcut = _shortcut(part, x, features, step)
        self.act = act(part.act)

    def forward(self, x: Map) -> Map:
        y = self.branch(x)
        return self.act(y if self.shortcut is None else y + self.shortcut(x))


class _Pad(nn.Module):
    """Option A of He et al. 2015, §3.3."""

    def __init__(self, by: int, extra: int):
        super().__init__()
        self.by, self.before, self.behind = by, extra // 2, extra - extra // 2

    def forward(self, x: Map) -> Map:
        x = x[:, :, :: self.by, :: self.by]
        around = (0, 0, 0, 0, self.before, self.behind)
        return nn.functional.pad(x, around) if any(around) else x


def _shortcut(part: Residual, x: Map, features: int, step: Step) -> nn.Module | None:
    same = step.by == 1 and x.shape[1] == features
    match part.shortcut:
        case NoShortcut():
            return None
        case PadShortcut() if features >= x.shape[1]:
            return nn.Identity() if same else _Pad(step.by, features - x.shape[1])
        case ProjectionShortcut():
            bias = isinstance(part.norm, NoNorm)
            layer = conv(x, features, 1, step=step, bias=bias)
            return nn.Identity() if same else nn.Sequential(layer, norm(part.norm, features))
    raise _none(part.shortcut)


module.register(Residual, _Residual)


@module.register
def _(part: Pool, x: Map, step: Step) -> nn.Module:
    if part.respond or part.rate * part.traded > 1:
        raise _none(part)
    given = (part.window, part.stride, part.padding)
    match part.kind:
        case Max():
            return nn.MaxPool2d(*given, ceil_mode=part.ceil)
        case Average(padded):
            return nn.AvgPool2d(*given, ceil_mode=part.ceil, count_include_pad=padded)
    raise _none(part.kind)


@module.register
def _(part: Head, x: Map, step: Step) -> nn.Module:
    if not isinstance(part.norm, NoNorm) or not isinstance(part.reduce, GlobalAverage | Flatten):
        raise _none(part)
    mean = isinstance(part.reduce, GlobalAverage)
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if mean else []
    layers += [nn.Flatten(), nn.Dropout(part.reduced_dropout)]
    width = x.shape[1] if mean else x[0].numel()
    for features in part.hidden:
        layers += [nn.Linear(width, features), act(part.act), nn.Dropout(part.dropout)]
        width = features
    return nn.Sequential(*layers, nn.Linear(width, part.classes))
