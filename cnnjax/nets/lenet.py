"""LeNet-5, LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
recognition", §II-B and §II-C: as of 1998, and as it is built today."""

import dataclasses
import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.nets.activations import ScaledTanh
from cnnjax.nets.blocks import Plain
from cnnjax.nets.connect import CONVOLUTION, Window
from cnnjax.nets.context import Context, axis, wide
from cnnjax.nets.layers import dense
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Pads, Pool, Subsampling
from cnnjax.values import value

# Table I: which maps of S2 (rows) each map of C3 (columns) sees.
TABLE_1 = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""

# 7×12 pixels a digit, as the paper's §II-C has them for the 84 units of F6; these are drawn anew.
DIGITS = """
.#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## .####.. .....## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##..### ...##.. ....##. .....## ##..##. ######. ##..... ....##. .##.##. ##...##
##.#.## ...##.. ...##.. ..####. ##..##. .....## ######. ...##.. ..###.. .######
###..## ...##.. ..##... ..####. ####### .....## ##...## ...##.. .##.##. .....##
##...## ...##.. .##.... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. ##...## ##...## .##.... ##...## ....##.
##...## ...##.. ##..... ##...## ....##. ##...## ##...## .##.... ##...## ...##..
.#####. .###### ####### .#####. ....##. .#####. .#####. ##..... .#####. .###...
"""


@value
class Sparse:
    """A convolution whose maps each see some of the maps before: table I, and scaled to another
    number of maps, where one that would see none sees all. Groups are not kept apart."""

    def __call__(self, x: jax.Array, ctx: Context, w: Window, name: str) -> jax.Array:
        seen = scheme(x.shape[-1], w.features)
        made = []
        for size in sorted({len(maps) for maps in seen}):
            # Maps that see equally many are one grouped convolution over what they see.
            alike = [maps for maps in seen if len(maps) == size]
            grouped = dataclasses.replace(w, features=len(alike), groups=len(alike))
            made.append(CONVOLUTION(x[..., np.concatenate(alike)], ctx, grouped, f"{name}{size}"))
        return jnp.concatenate(made, axis=-1)


def scheme(maps_in: int, maps_out: int) -> list[tuple[int, ...]]:
    """Which of the maps before each map sees; table I for 6 and 16."""
    table = np.array([[mark == "X" for mark in row] for row in TABLE_1.split()])
    rows = np.arange(maps_in) * len(table) // maps_in
    columns = np.arange(maps_out) * table.shape[1] // maps_out
    found = [np.flatnonzero(table[rows, column]) for column in columns]
    return [tuple(seen.tolist()) or tuple(range(maps_in)) for seen in found]


@value
class Squashed:
    """act(kind(x)): a pool's sum goes through the squashing function (§II-B, S2)."""

    kind: Any = Subsampling()
    act: Any = axis("activation", ScaledTanh())

    def __call__(self, x: jax.Array, ctx: Context, pool: Pool, pads: Pads) -> jax.Array:
        return self.act(self.kind(x, ctx, pool, pads))


@value
class RadialBasis:
    """-‖f - code‖² of each class, f the squashed units of F6 (equation 7).

    Cross-entropy of these logits is the paper's discriminative loss (equation 9) without its
    constant for rubbish, e⁻ʲ. The codes are constants, no parameters: `codes`.
    """

    classes: int = 10
    features: int = axis("width", 84)
    act: Any = axis("activation", ScaledTanh())

    def __call__(self, x: jax.Array, ctx: Context) -> jax.Array:
        x = Flatten()(x)
        f = self.act(dense(x, ctx, self.features, name="dense1"))
        f = f.astype(wide(f.dtype))
        targets = jnp.asarray(codes(self.classes, self.features), f.dtype)
        # ‖f - code‖² = ‖f‖² - 2 f·code + ‖code‖², the last being the number of ±1 in a code.
        return 2 * (f @ targets.T) - (f * f).sum(-1, keepdims=True) - self.features


@functools.cache
def codes(classes: int, units: int) -> np.ndarray:
    """The ±1 that each class should draw on F6: [classes, units].

    Ten classes of 84 units are the digits' bitmaps, +1 where a pixel is set. Any others take the
    bits of a hash of the class's number, which lie as far apart as at random.
    """
    if (classes, units) == (10, 84):
        rows = [line.split() for line in DIGITS.split("\n") if line]
        drawn = ["".join(digit) for digit in zip(*rows, strict=True)]
        bits = np.array([[pixel == "#" for pixel in digit] for digit in drawn])
    else:
        size = -(-units // 8)
        hashed = [hashlib.shake_256(str(i).encode()).digest(size) for i in range(classes)]
        bits = np.array([np.unpackbits(np.frombuffer(h, np.uint8))[:units] for h in hashed])
    return np.where(bits, 1.0, -1.0)


def lenet5(classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 1)) -> Net:
    """In its modern form: full second convolution, max pooling, ReLU, dense layers of 120 and 84.

    Of 32×32 inputs; smaller ones are padded by 2 pixels in the first layer, as with MNIST.
    """
    first = Plain(6, kernel=5, norm=NoNorm(), padding=2 if min(input_shape[:2]) < 32 else 0)
    second = Plain(16, kernel=5, norm=NoNorm(), padding=0)
    return Net(
        stages=(Stage(first, pool=Pool()), Stage(second, pool=Pool())),
        head=Head(classes, reduce=Flatten(), hidden=(120, 84)),
    )


def lenet5_1998(classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 1)) -> Net:
    """Of 32×32 inputs: C1, S2, the sparse C3, S4, C5, F6 and the radial basis functions.

    Smaller inputs are padded by 2 pixels in the first layer, as the paper centres MNIST's digits.
    Of larger ones C5 has more than one unit a map, as in §II-B, and F6 sees them all.
    """
    side = min(input_shape[:2])

    def unit(features: int, padding: int = 0, connect: Any = CONVOLUTION) -> Plain:
        return Plain(features, 5, norm=NoNorm(), act=ScaledTanh(), padding=padding, connect=connect)

    subsample = Pool(Squashed())
    return Net(
        stages=(
            Stage(unit(6, padding=2 if side < 32 else 0), pool=subsample),  # C1, S2
            Stage(unit(16, connect=Sparse()), pool=subsample),  # C3, S4
            Stage(unit(120)),  # C5
        ),
        head=RadialBasis(classes),  # F6, output
        adapted="F6 sees all units of C5's larger maps" if max(input_shape[:2]) > 32 else "",
    )


NETS = {"lenet5": lenet5, "lenet5_1998": lenet5_1998}
