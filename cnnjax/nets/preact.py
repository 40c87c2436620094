"""Pre-activation residual networks (v2), He, Zhang, Ren & Sun 2016, "Identity mappings in deep
residual networks": fig. 1b, §5 and appendix."""

import dataclasses
from functools import partial
from typing import Any

import jax

from cnnjax.nets.activations import ReLU
from cnnjax.nets.context import ONE, Context, Step, axis
from cnnjax.nets.layers import conv, divisible
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.pools import Pool
from cnnjax.nets.resnet import ADAPTED, IMAGENET, stages
from cnnjax.nets.shortcuts import PadShortcut, ProjectionShortcut
from cnnjax.values import value


@value
class Unnormed:
    """x. For a convolution whose output the next block normalises: it needs no bias."""

    def __call__(self, x: jax.Array, ctx: Context, name: str) -> jax.Array:
        return x


@value
class BareConv:
    """conv(x). Its norm and activation are those of the blocks that read it."""

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    groups: int | None = axis("groups", 1)
    read_by: Any = axis("norm", BatchNorm())  # Without a norm there it needs a bias here.

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        return conv(
            x,
            ctx,
            divisible(self.features, self.groups),
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            bias=isinstance(self.read_by, NoNorm),
            name="conv",
        )


@value
class NormAct:
    """act(norm(x)): what follows the last pre-activation block."""

    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        return self.act(self.norm(x, ctx, "norm"))


@value
class PreResidual:
    """shortcut(x) + conv(act(norm(conv(act(norm(x))))))

    A shortcut that changes the map's shape starts from act(norm(x)) too; `shared` makes any do so,
    as the first unit of the paper's nets does (appendix).
    """

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)
    shared: bool = False

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        features = divisible(self.features, self.groups)
        spatial = {
            "dilation": self.dilation,
            "groups": self.groups,
            "bias": isinstance(self.norm, NoNorm),
        }
        z = self.act(self.norm(x, ctx, "norm1"))
        y = conv(z, ctx, features, self.kernel, stride=step, name="conv1", **spatial)
        y = self.act(self.norm(y, ctx, "norm2"))
        y = conv(y, ctx, features, self.kernel, stride=step.then, name="conv2", **spatial)
        return _join(self, x, z, y, ctx, step)


@value
class PreBottleneck:
    """shortcut(x) + 1×1(k×k(1×1(x))), each after act(norm(·)), expanding `features` fourfold

    The stride is in the k×k convolution, or in the first 1×1 as in the authors' code.
    """

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    stride_first: bool = False
    expansion: int = 4
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)
    shared: bool = False

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        first, middle = (step, step.then) if self.stride_first else (ONE, step)
        features = divisible(self.features, self.groups)
        z = self.act(self.norm(x, ctx, "norm1"))
        y = conv(z, ctx, features, 1, stride=first, bias=bias, name="conv1")
        y = self.act(self.norm(y, ctx, "norm2"))
        y = conv(
            y,
            ctx,
            features,
            self.kernel,
            stride=middle,
            dilation=self.dilation,
            groups=self.groups,
            bias=bias,
            name="conv2",
        )
        y = self.act(self.norm(y, ctx, "norm3"))
        y = conv(y, ctx, self.features * self.expansion, 1, bias=bias, name="conv3")
        return _join(self, x, z, y, ctx, step)


def _join(
    block: PreResidual | PreBottleneck,
    x: jax.Array,
    z: jax.Array,
    y: jax.Array,
    ctx: Context,
    step: Step,
) -> jax.Array:
    """The branch y with the shortcut from x, or from the activated z where the shape changes."""
    # A stride that was traded for dilation counts: the units that it kept stay as they were.
    changes = step.by > 1 or step.rate != step.after or x.shape[-1] != y.shape[-1]
    norm = block.norm if isinstance(block.norm, NoNorm) else Unnormed()
    return block.shortcut(z if changes or block.shared else x, y, ctx, step, norm)


def cifar(
    block: PreResidual | PreBottleneck,
    depth: int,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
) -> Net:
    """§3, §4 and appendix: three stages of `depth` units, the map halved twice.

    ResNet-110 has two-layer units and option A's shortcuts as in fb.resnet.torch's preresnet.lua;
    ResNet-164 has bottlenecks and projections as in the authors' resnet-pre-act.lua.
    """
    first, *later = stages(block, (depth,) * 3)
    entry = dataclasses.replace(block, shared=True)
    return Net(
        stem=Stage(BareConv(16)),
        stages=(dataclasses.replace(first, block=(entry, block)), *later),
        neck=Stage(NormAct()),
        head=Head(classes),
    )


def imagenet(
    block: PreResidual | PreBottleneck,
    depths: tuple[int, ...],
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """§5's ImageNet nets: those of He et al. 2015, table 1, with pre-activation.

    They equal timm's resnetv2_50, 101 and 152: a stem without norm or activation, no biases, the
    stride in the 3×3 convolution of a stage's first block. (Keras' ResNet50V2 has biases and puts
    the stride into the last block of the stage before.)

    Below 64 pixels the stem is a 3×3 convolution of stride 1 without its pool.
    """
    small = min(input_shape[:2]) < 64
    stem = Stage(BareConv(64, kernel=7), stride=2, pool=Pool(window=3, stride=2, padding=1))
    return Net(
        stem=Stage(BareConv(64)) if small else stem,
        stages=stages(block, depths),
        neck=Stage(NormAct()),
        head=Head(classes),
        adapted=ADAPTED if small else "",
    )


NETS = {
    "resnet110_v2": partial(cifar, PreResidual(16, shortcut=PadShortcut()), 18),
    "resnet164_v2": partial(cifar, PreBottleneck(16, stride_first=True), 18),
} | {f"resnet{n}_v2": partial(imagenet, PreBottleneck(64), IMAGENET[n][1]) for n in (50, 101, 152)}
