"""GoogLeNet: Szegedy et al. 2015, "Going deeper with convolutions", table 1 and §5; as in the
paper and as in torchvision, each with and without its auxiliary heads."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.nets.activations import ReLU
from cnnjax.nets.auxiliary import AuxiliaryHead, Watched
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import ONE, Context, Step, axis
from cnnjax.nets.net import Flatten, Head, Net, Scope, Stage
from cnnjax.nets.norms import BatchNorm, LocalResponse, NoNorm
from cnnjax.nets.pools import Pool
from cnnjax.values import value

# Table 1's rows 3a to 5b: 1×1; 3×3 reduce, 3×3; 5×5 reduce, 5×5; pool projection.
TABLE_1 = (
    ((64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)),
    (
        (192, (96, 208), (16, 48), 64),
        (160, (112, 224), (24, 64), 64),
        (128, (128, 256), (24, 64), 64),
        (112, (144, 288), (32, 64), 64),
        (256, (160, 320), (32, 128), 128),
    ),
    ((256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)),
)
WATCHED = ((1, 0), (1, 3))  # 4a and 4d have an auxiliary head each.


@value
class Reduced:
    """k×k(1×1(x)), each act(norm(conv(x)))"""

    reduce: int = axis("width")
    features: int = axis("width")
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    norm: Any = axis("norm", NoNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)
    respond: LocalResponse | None = None

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        point = Plain(self.reduce, 1, norm=self.norm, act=self.act)
        x = Scope(point, name="reduce")(x, ctx, ONE)
        spatial = Plain(
            self.features,
            self.kernel,
            self.dilation,
            self.norm,
            self.act,
            groups=self.groups,
            respond=self.respond,
        )
        return Scope(spatial, name="spatial")(x, ctx, step)


@value
class Inception:
    """1×1(x), k×k(1×1(x)), l×l(1×1(x)) and 1×1(pool(x)) side by side: figure 2b

    The last convolution of each branch takes the stride.
    """

    one: int = axis("width")
    three: tuple[int, int] = axis("width")
    five: tuple[int, int] = axis("width")
    pooled: int = axis("width")
    kernel_three: int = axis("kernel", 3)
    kernel_five: int = axis("kernel", 5)
    dilation: int = axis("dilation", 1)
    norm: Any = axis("norm", NoNorm())
    act: Any = axis("activation", ReLU())
    groups: int | None = axis("groups", 1)
    pool: Pool = Pool(window=3, stride=1, padding=1)

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        pool = dataclasses.replace(self.pool, rate=step.rate)
        spatial = (self.dilation, self.norm, self.act, self.groups)
        branches = (
            Plain(self.one, 1, norm=self.norm, act=self.act),
            Reduced(*self.three, self.kernel_three, *spatial),
            Reduced(*self.five, self.kernel_five, *spatial),
            Plain(self.pooled, 1, norm=self.norm, act=self.act),
        )
        inputs = (x, x, x, Scope(pool, name="pool")(x, ctx))
        found = [
            Scope(branch, name=f"branch{i}")(given, ctx, step)
            for i, (branch, given) in enumerate(zip(branches, inputs, strict=True), 1)
        ]
        return jnp.concatenate(found, axis=-1)


def paper(
    auxiliary: bool, classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Net:
    """Table 1, with local response normalisation (figure 3) and dropout of 40 %."""
    head = Head(classes, reduced_dropout=0.4)
    return _net(
        NoNorm(), 5, LocalResponse(), Pool(window=3, ceil=True), head, auxiliary, input_shape
    )


def torchvision(
    auxiliary: bool, classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Net:
    """3×3 where the paper has 5×5, batch norm, no response normalisation, a last pool of 2×2,
    dropout of 20 %.

    The auxiliary heads pool as in the paper; torchvision averages over a grid of 4×4.
    """
    head = Head(classes, reduced_dropout=0.2)
    norm = BatchNorm(epsilon=1e-3)
    return _net(norm, 3, None, Pool(ceil=True), head, auxiliary, input_shape)


def _net(
    norm: Any,
    five: int,
    respond: LocalResponse | None,
    last_pool: Pool,
    head: Head,
    auxiliary: bool,
    input_shape: tuple[int, int, int],
) -> Net:
    """Below 128 pixels the stem is 3×3 of stride 1, below 64 its pool is left out too: then 64×64
    and 32×32 both have maps of 16×16 in 3a, as 224×224 has 28×28."""
    side = min(input_shape[:2])
    small, tiny = side < 128, side < 64
    pool = Pool(window=3, ceil=True)
    side_head = Head(head.classes, reduce=Flatten(), hidden=(1024,), dropout=0.7)
    watcher = AuxiliaryHead(side_head, norm=norm)

    def block(stage: int, i: int) -> Any:
        found = Inception(*TABLE_1[stage][i], kernel_five=five, norm=norm)
        return Watched(found, watcher) if auxiliary and (stage, i) in WATCHED else found

    stem = Stage(
        Plain(64, 3 if small else 7, norm=norm, respond=respond if tiny else None),
        stride=1 if small else 2,
        pool=None if tiny else dataclasses.replace(pool, respond=respond),
    )
    stages = [
        Stage(tuple(block(stage, i) for i in range(len(rows))), depth=len(rows), pool=after)
        for stage, (rows, after) in enumerate(zip(TABLE_1, (pool, last_pool, None), strict=True))
    ]
    adapted = "stem of 3×3, stride 1" + (", no pool" if tiny else "")
    return Net(
        stem=stem,
        stages=(Stage(Reduced(64, 192, norm=norm, respond=respond), pool=pool), *stages),
        head=head,
        adapted=adapted if small else "",
    )


NETS = {
    "googlenet": partial(paper, False),
    "googlenet_aux": partial(paper, True),
    "googlenet_tv": partial(torchvision, False),
    "googlenet_tv_aux": partial(torchvision, True),
}
