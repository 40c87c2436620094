"""RegNetX and RegNetY, Radosavovic, Kosaraju, Girshick, He & Dollár 2020, "Designing network design
spaces", figs. 18 and 19, and the formula that they come from.

Numerically those of pycls and timm: `regnetx_400mf` is timm's `regnetx_004` (torchvision's
`regnet_x_400mf`, `regnet_y_800mf` and `regnet_y_8gf` are other nets).
"""

import math
from functools import partial
from itertools import groupby
from typing import Any

import jax

from cnnjax.errors import UserError
from cnnjax.nets.activations import ReLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import Context, Step, axis
from cnnjax.nets.gates import SqueezeExcite
from cnnjax.nets.inverted import fit_strides
from cnnjax.nets.layers import conv, divisible
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.shortcuts import ProjectionShortcut
from cnnjax.values import value


@value
class Design:
    """A point of the design space: what the stages' widths and depths follow from (§3.3).

    The j-th block is w_0 + w_a · j wide, rounded to the nearest power of w_m times w_0, and that
    to a multiple of 8; blocks of one width are a stage. The study of the paper draws depth below
    64, w_0 and w_a below 256 and w_m from 1.5 to 3.
    """

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group_width: int

    @property
    def stages(self) -> tuple[tuple[int, int, int], ...]:
        """Width, depth and groups of each stage, its width a multiple of the groups' width.

        Raises:
          UserError: a number that the formula has no meaning for, named.
        """
        self._check()
        powers = [
            round(math.log1p(self.w_a * j / self.w_0) / math.log(self.w_m))
            for j in range(self.depth)
        ]
        widths = [8 * round(self.w_0 * self.w_m**k / 8) for k in powers]
        found = []
        for width, blocks in groupby(widths):
            group = min(self.group_width, width)
            groups = max(1, round(width / group))
            found.append((group * groups, len(list(blocks)), groups))
        return tuple(found)

    def _check(self) -> None:
        for name, least in (("depth", 1), ("w_0", 8), ("group_width", 1)):
            n = getattr(self, name)
            if isinstance(n, bool) or not isinstance(n, int) or n < least:
                raise UserError(f"{name}: {n!r} is out of range: a whole number from {least} up")
        if self.w_0 % 8:
            raise UserError(f"w_0: {self.w_0} is out of range: a multiple of 8")
        if not self.w_a >= 0:
            raise UserError(f"w_a: {self.w_a!r} is out of range: a number from 0 up")
        if not self.w_m > 1:
            raise UserError(f"w_m: {self.w_m!r} is out of range: a number above 1")


@value
class XBlock:
    """act(shortcut(x) + 1×1(gate(k×k(1×1(x))))), the k×k in groups: §3.2, the gate in RegNetY

    Its gate's squeezed channels are counted from x.
    """

    features: int = axis("width")
    groups: int = axis("groups", 1)
    kernel: int = axis("kernel", 3)
    dilation: int = axis("dilation", 1)
    shortcut: Any = axis("shortcut", ProjectionShortcut())
    norm: Any = axis("norm", BatchNorm())
    act: Any = axis("activation", ReLU())
    gate: SqueezeExcite | None = None

    def __call__(self, x: jax.Array, ctx: Context, step: Step) -> jax.Array:
        bias = isinstance(self.norm, NoNorm)
        features = divisible(self.features, self.groups)
        y = conv(x, ctx, features, 1, bias=bias, name="conv1")
        y = self.act(self.norm(y, ctx, "norm1"))
        y = conv(
            y,
            ctx,
            features,
            self.kernel,
            stride=step,
            dilation=self.dilation,
            groups=self.groups,
            bias=bias,
            name="conv2",
        )
        y = self.act(self.norm(y, ctx, "norm2"))
        y = self.gate(y, ctx, x.shape[-1]) if self.gate else y
        y = conv(y, ctx, features, 1, bias=bias, name="conv3")
        y = self.norm(y, ctx, "norm3")
        return self.act(self.shortcut(x, y, ctx, step, self.norm))


SE = SqueezeExcite(0.25)  # §4: Y is X with it.
X = {
    "200mf": Design(13, 24, 36.44, 2.49, 8),
    "400mf": Design(22, 24, 24.48, 2.54, 16),
    "600mf": Design(16, 48, 36.97, 2.24, 24),
    "800mf": Design(16, 56, 35.73, 2.28, 16),
    "1_6gf": Design(18, 80, 34.01, 2.25, 24),
    "3_2gf": Design(25, 88, 26.31, 2.25, 48),
    "4gf": Design(23, 96, 38.65, 2.43, 40),
    "6_4gf": Design(17, 184, 60.83, 2.07, 56),
    "8gf": Design(23, 80, 49.56, 2.88, 120),
    "12gf": Design(19, 168, 73.36, 2.37, 112),
    "16gf": Design(22, 216, 55.59, 2.1, 128),
    "32gf": Design(23, 320, 69.86, 2.0, 168),
}
Y = {
    "200mf": Design(13, 24, 36.44, 2.49, 8),
    "400mf": Design(16, 48, 27.89, 2.09, 8),
    "600mf": Design(15, 48, 32.54, 2.32, 16),
    "800mf": Design(14, 56, 38.84, 2.4, 16),
    "1_6gf": Design(27, 48, 20.71, 2.65, 24),
    "3_2gf": Design(21, 80, 42.63, 2.66, 24),
    "4gf": Design(22, 96, 31.41, 2.24, 64),
    "6_4gf": Design(25, 112, 33.22, 2.27, 72),
    "8gf": Design(17, 192, 76.82, 2.19, 56),
    "12gf": Design(19, 168, 73.36, 2.37, 112),
    "16gf": Design(18, 200, 106.23, 2.48, 112),
    "32gf": Design(20, 232, 115.89, 2.53, 232),
}


def regnet(
    design: Design,
    gate: SqueezeExcite | None = None,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """The net of a design: a 3×3 stem of 32 channels, then each stage at half the resolution.

    On small images the first strides become 1 by the rule of `inverted.fit_strides`.
    """
    names = ["stem", *(f"stage{i}" for i in range(1, len(design.stages) + 1))]
    strides, adapted = fit_strides(dict.fromkeys(names, 2), min(input_shape[:2]))
    return Net(
        stem=Stage(Plain(32), stride=strides["stem"]),
        stages=tuple(
            Stage(XBlock(width, groups, gate=gate), depth=depth, stride=strides[f"stage{i}"])
            for i, (width, depth, groups) in enumerate(design.stages, 1)
        ),
        head=Head(classes),
        adapted=adapted,
    )


NETS = {f"regnetx_{name}": partial(regnet, design) for name, design in X.items()} | {
    f"regnety_{name}": partial(regnet, design, SE) for name, design in Y.items()
}
