"""SqueezeNet: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters",
table 1, and version 1.1 of the authors' repository; both as in torchvision."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.nets.activations import ReLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import ONE, Context, Step, axis
from cnnjax.nets.layers import dropout
from cnnjax.nets.net import Net, Scope, Stage
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Pool
from cnnjax.values import value


@value
class Fire:
    """1×1(s) and k×k(s) side by side of s = 1×1(x), each act(norm(conv)): figure 1

    The expanding convolutions take the stride.
    """

    squeeze: int = axis("width")
    expand: int = axis("width")  # Of each of the two.
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    norm: Any = axis("norm", NoNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        kind = {"norm": self.norm, "act": self.act}
        x = Scope(Plain(self.squeeze, 1, **kind), name="squeeze")(x, ctx, ONE)
        spatial = Plain(self.expand, self.kernel, self.dilation, groups=self.groups, **kind)
        one = Scope(Plain(self.expand, 1, **kind), name="expand1")(x, ctx, step)
        return jnp.concatenate([one, Scope(spatial, name="expand3")(x, ctx, step)], axis=-1)


@value
class ConvHead:
    """mean(act(1×1(dropout(x)))): a map for each class, averaged (Lin, Chen & Yan 2013, §3.2)."""

    classes: int = 1000
    dropout: float = 0.5
    act: Any = axis("activation", ReLU())

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        x = dropout(x, ctx, self.dropout, "reduced")
        classify = Plain(self.classes, 1, norm=NoNorm(), act=self.act)
        return Scope(classify, name="logits")(x, ctx, ONE).mean(axis=(1, 2))


def squeezenet(
    stem: tuple[int, int],
    stages: tuple[tuple[tuple[int, int], ...], ...],
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """A stem of (features, kernel), and stages of fire modules of (squeeze, expand).

    Below 128 pixels the stem is 3×3 of stride 1, padded by 1, below 64 its pool is left out too:
    then 64×64 and 32×32 both end in maps of 8×8, as 224×224 in 13×13.
    """
    side = min(input_shape[:2])
    small, tiny = side < 128, side < 64
    features, kernel = stem
    pool = Pool(window=3, ceil=True)
    pools = [pool] * (len(stages) - 1) + [None]
    adapted = "stem of 3×3, stride 1, padded by 1" + (", no pool" if tiny else "")
    return Net(
        stem=Stage(
            Plain(features, 3 if small else kernel, norm=NoNorm(), padding=None if small else 0),
            stride=1 if small else 2,
            pool=None if tiny else pool,
        ),
        stages=tuple(
            Stage(tuple(Fire(*row) for row in rows), depth=len(rows), pool=after)
            for rows, after in zip(stages, pools, strict=True)
        ),
        head=ConvHead(classes),
        adapted=adapted if small else "",
    )


VERSION_1_0 = (
    ((16, 64), (16, 64), (32, 128)),
    ((32, 128), (48, 192), (48, 192), (64, 256)),
    ((64, 256),),
)
VERSION_1_1 = (
    ((16, 64), (16, 64)),
    ((32, 128), (32, 128)),
    ((48, 192), (48, 192), (64, 256), (64, 256)),
)
NETS = {
    "squeezenet1_0": partial(squeezenet, (96, 7), VERSION_1_0),
    "squeezenet1_1": partial(squeezenet, (64, 3), VERSION_1_1),
}
