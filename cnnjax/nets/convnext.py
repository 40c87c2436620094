"""ConvNeXt, Liu, Mao, Wu, Feichtenhofer, Darrell & Xie 2022, "A ConvNet for the 2020s", fig. 4 and
table 9.

Numerically those of torchvision and timm (`convnext_tiny`, `_small`, `_base`) and of Keras
(`keras.applications.ConvNeXtTiny` to `Base`, without the preprocessing).
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax

from cnnjax.nets.activations import GELU
from cnnjax.nets.context import Context, Step, axis
from cnnjax.nets.inverted import dropping, join
from cnnjax.nets.layers import conv, divisible
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.norms import LayerNorm
from cnnjax.nets.shortcuts import IdentityShortcut
from cnnjax.values import value

SIZES = {
    "tiny": (96, (3, 3, 9, 3)),
    "small": (96, (3, 3, 27, 3)),
    "base": (128, (3, 3, 27, 3)),
}


@value
class ConvNeXtBlock:
    """shortcut(x) + scale · 1×1(act(1×1(norm(k×k(x))))), the k×k depthwise: fig. 4

    `scale` is what the trainable factors of the channels start from (Touvron et al. 2021, "Going
    deeper with image transformers": LayerScale).
    """

    features: int = axis("width")
    kernel: int = axis("kernel", 7)
    dilation: int = axis("dilation", 1)
    shortcut: Any = axis("shortcut", IdentityShortcut())
    norm: Any = axis("norm", LayerNorm())
    act: Any = axis("activation", GELU())
    groups: int | None = axis("groups", None)  # None: depthwise.
    expansion: int = 4
    scale: float = 1e-6
    drop_path: float = 0.0

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        features = divisible(self.features, self.groups)
        y = conv(
            x,
            ctx,
            x.shape[-1],
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            bias=True,
            name="spatial_conv",
        )
        y = self.norm(y, ctx, "norm")
        y = self.act(conv(y, ctx, features * self.expansion, 1, bias=True, name="expand_conv"))
        y = conv(y, ctx, features, 1, bias=True, name="project_conv")
        y = _Scale(self.scale, ctx.dtypes(y)["param_dtype"], name="layer_scale")(y)
        return join(self, x, y, ctx, step)


class _Scale(nn.Module):
    """gamma · x, a trainable factor for each channel."""

    start: float
    param_dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        start = nn.initializers.constant(self.start)
        return x * self.param("gamma", start, (x.shape[-1],), self.param_dtype).astype(x.dtype)


@value
class Patches:
    """A convolution of `size` × `size` patches that don't overlap, a norm behind it or before.

    The patches' size is no filter size: no axis moves it.
    """

    features: int = axis("width")
    size: int = 2
    norm: Any = axis("norm", LayerNorm())
    norm_first: bool = False
    padding: int = 0

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        x = self.norm(x, ctx, "norm") if self.norm_first else x
        x = conv(
            x,
            ctx,
            self.features,
            self.size,
            stride=step,
            padding=self.padding,
            bias=True,
            name="conv",
        )
        return x if self.norm_first else self.norm(x, ctx, "norm")


def convnext(
    features: int,
    depths: tuple[int, ...],
    drop_path: float = 0.0,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """Stages of `features` channels, doubled from one to the next, after patches of 4×4 pixels.

    `drop_path` is the rate of stochastic depth at the last block, to which the blocks' rates rise
    from 0 (the paper trains with 0.1, 0.4 and 0.5). Below 128 pixels the patches are 2×2, below
    64 single pixels, and below 32 (down to 11) the stem pads the images to 32: the 7×7 kernels
    need a last map of 4×4.
    """
    side = min(input_shape[:2])
    patch = 4 if side >= 128 else 2 if side >= 64 else 1
    padding = max(0, -(-(32 - side) // 2))
    said = [f"patches of {patch}×{patch} instead of 4×4"] if patch < 4 else []
    said += [f"images padded by {padding} pixels"] if padding else []
    rates = [drop_path * n / max(1, sum(depths) - 1) for n in range(sum(depths))]
    stages = []
    for i, depth in enumerate(depths):
        block = ConvNeXtBlock(features * 2**i)
        block = dropping(block, rates[sum(depths[:i]) : sum(depths[: i + 1])])
        halve = Patches(features * 2**i, norm_first=True)
        stages.append(Stage(block, depth, stride=2 if i else 1, before=halve if i else None))
    return Net(
        stem=Stage(Patches(features, patch, padding=padding), stride=patch),
        stages=tuple(stages),
        head=Head(classes, norm=LayerNorm()),
        adapted=" and ".join(said),
    )


NETS = {f"convnext_{name}": partial(convnext, *size) for name, size in SIZES.items()}
