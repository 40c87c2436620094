"""DenseNets, Huang, Liu, van der Maaten & Weinberger 2017: table 1 (ImageNet), §3 (CIFAR)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.nets.activations import ReLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import ONE, Context, Step, axis
from cnnjax.nets.layers import conv, divisible
from cnnjax.nets.net import Head, Net, Scope, Stage
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.pools import Average, Pool, Strided
from cnnjax.nets.preact import BareConv, NormAct
from cnnjax.nets.resnet import ADAPTED
from cnnjax.values import value

# Table 1: growth rate, layers of each dense block.
IMAGENET = {
    121: (32, (6, 12, 24, 16)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
    161: (48, (6, 12, 36, 24)),
}


@value
class DenseLayer:
    """x and conv(act(norm(1×1(act(norm(x)))))) side by side: `features` new channels (the growth).

    The 1×1 has `inner` channels per new one; with 0 there is none. Where the layer strides, what
    it keeps of x is subsampled.
    """

    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    inner: int = 4
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        y = self.act(self.norm(x, ctx, "norm1"))
        if self.inner:
            inside = divisible(self.features * self.inner, self.groups)
            y = conv(y, ctx, inside, 1, bias=bias, name="conv1")
            y = self.act(self.norm(y, ctx, "norm2"))
        y = conv(
            y,
            ctx,
            divisible(self.features, self.groups),
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            bias=bias,
            name="conv2" if self.inner else "conv1",
        )
        kept = lax.slice(x, (0,) * 4, x.shape, (1, step.by, step.by, 1)) if step.by > 1 else x
        return jnp.concatenate([kept, y], axis=-1)


@value
class Transition:
    """pool(1×1(act(norm(x)))): a share of the channels, on a map pooled by the stage's stride."""

    compression: float = 0.5
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    pool: Any = axis("pooling", Average())

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        x = self.act(self.norm(x, ctx, "norm"))
        features = max(1, int(x.shape[-1] * self.compression))
        strided = isinstance(self.pool, Strided)
        bias = isinstance(self.norm, NoNorm)
        x = conv(x, ctx, features, 1, stride=step if strided else ONE, bias=bias, name="conv")
        traded = step.after // step.rate
        whole = step.by * traded  # A traded stride leaves its window.
        if strided or whole == 1:
            return x
        pool = Pool(self.pool, window=whole, stride=step.by, rate=step.rate, traded=traded)
        return Scope(pool, name="pool")(x, ctx)


def _stages(
    block: DenseLayer, depths: tuple[int, ...], transition: Transition
) -> tuple[Stage, ...]:
    """Dense blocks, each but the first after a transition: it takes the stage's stride of 2."""
    first, *rest = depths
    later = (Stage(block, depth=n, stride=2, before=transition) for n in rest)
    return (Stage(block, depth=first), *later)


def imagenet(
    depth: int, classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Net:
    """Table 1, DenseNet-BC: bottlenecks, and transitions that halve the channels.

    Below 64 pixels the stem is a 3×3 convolution of stride 1 without its pool.
    """
    growth, depths = IMAGENET[depth]
    small = min(input_shape[:2]) < 64
    stem = Stage(Plain(2 * growth, kernel=7), stride=2, pool=Pool(window=3, stride=2, padding=1))
    return Net(
        stem=Stage(Plain(2 * growth)) if small else stem,
        stages=_stages(DenseLayer(growth), depths, Transition()),
        neck=Stage(NormAct()),
        head=Head(classes),
        adapted=ADAPTED if small else "",
    )


def cifar(
    layers: int,
    growth: int,
    bc: bool,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
) -> Net:
    """§3, "Implementation details": three dense blocks at 32, 16 and 8 pixels.

    With `bc` bottlenecks and halved channels, and a first convolution of twice the growth instead
    of 16 channels. Without augmentation the paper adds dropout, which is left out here.
    """
    depth = (layers - 4) // (6 if bc else 3)
    return Net(
        stem=Stage(BareConv(2 * growth if bc else 16)),
        stages=_stages(
            DenseLayer(growth, inner=4 if bc else 0),
            (depth,) * 3,
            Transition(compression=0.5 if bc else 1.0),
        ),
        neck=Stage(NormAct()),
        head=Head(classes),
    )


NETS = {f"densenet{n}": partial(imagenet, n) for n in IMAGENET} | {
    "densenet40_k12": partial(cifar, 40, 12, False),
    "densenet_bc100_k12": partial(cifar, 100, 12, True),
}
