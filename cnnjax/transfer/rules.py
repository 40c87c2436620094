"""Tables of names: what a source calls the layers of our nets, and what its tensors don't show."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cnnjax.nets.net import Net
from cnnjax.transfer.preprocess import Preprocess
from cnnjax.transfer.slots import Slot

IMAGENET = Preprocess()
BLOCK = "stage{s}/block{b}/"  # What stands before most of our layers' names.


class Row(NamedTuple):
    """Our layer's path and their name for it, both with numbers in braces.

    `ours` names the numbers that it finds: "stage{s}/block{b}/conv{n}". `theirs` has linear forms
    of them and of those that `numbers` derives: "layer{s}.{b-1}.conv{n}"; `{b:a}` is a letter.
    `held`: how they hold what is ours otherwise: a dense layer as "conv", a convolution as
    "dense", a vector as a "map" of one pixel. `where`: derived numbers that must be so.
    """

    ours: str
    theirs: str
    held: str = ""
    where: tuple[tuple[str, int], ...] = ()


def unit(ours: str, conv: str, norm: str) -> tuple[Row, Row]:
    """The rows of a convolution and the norm behind it; `ours` is what stands before the words."""
    return Row(f"{ours}conv", conv), Row(f"{ours}norm", norm)


@dataclasses.dataclass(frozen=True)
class Table:
    """One source's names for one family of nets, and its conventions.

    `rows` are tried in order, the first that matches a layer names it.
    """

    title: str  # "torchvision's ResNet"
    framework: str  # Whose layout: "torch" or "keras".
    nets: tuple[str, ...]  # The names of our nets that are published, with * for any text.
    fits: Callable[[Net], bool]  # Whether a net, its axes moved or not, is of the family.
    rows: tuple[Row, ...]
    epsilon: float | None = None  # Of batch norm; ours is folded into it.
    padding: str = ""  # Of strided layers: "symmetric" or "same" as TensorFlow's; "" is unchecked.
    stride_first: bool | None = None  # In a bottleneck's first 1×1; None: has none.
    biased: bool = False  # Convolutions before a norm have biases, folded into its mean.
    bgr: bool = False  # Blue first: the first kernel is turned round.
    ignored: tuple[str, ...] = ()  # Patterns of their names that hold nothing of the net.
    renamed: tuple[tuple[str, str], ...] = ()  # Older spellings: pattern, today's.
    architectures: str = ""  # A pattern of the names by which the source itself tells it apart.
    preprocess: Preprocess = IMAGENET
    sizes: tuple[tuple[str, int, int], ...] = ()  # Our net, and Preprocess' resize and crop.
    refused: str = ""  # Why no net here equals theirs, and what to do.

    @property
    def source(self) -> str:
        """`torchvision` of torchvision's ResNet."""
        return self.title.partition("'")[0]


class Number(int):
    """A whole number; as `{b:a}` the letter at its place in the alphabet."""

    def __format__(self, spec: str) -> str:
        return chr(ord("a") + self - 1) if spec == "a" else format(int(self), spec)


class _Forms(dict):
    """Numbers by their letters; other keys are linear forms of them: "b-1", "2k+s"."""

    def __missing__(self, form: str) -> Number:
        terms = re.findall(r"([+-]?)(\d*)([A-Za-z]?)", form)
        return Number(
            sum(
                (-1 if sign == "-" else 1) * int(factor or 1) * (self[letter] if letter else 1)
                for sign, factor, letter in terms
                if factor or letter
            )
        )


def numbers(found: Iterable[Slot]) -> Callable[[str], Mapping[str, Number]]:
    """What a layer's path adds to the numbers found in it.

    k counts the blocks of all stages from 0, K is their count and S that of the stages; x and g
    are 1 where the block widens its input first and where it is gated, else 0.
    """
    inside: dict[str, set[str]] = {}
    for slot in found:
        if at := re.match(r"stage\d+/block\d+(?=/)", slot.path):
            inside.setdefault(at[0], set()).add(slot.path[at.end() + 1 :])
    places = {block: k for k, block in enumerate(inside)}
    stages = len({block.partition("/")[0] for block in inside})
    every = {"K": Number(len(places)), "S": Number(stages)}
    derived = {
        block: every
        | {
            "k": Number(places[block]),
            "x": Number("expand_conv" in layers),
            "g": Number("squeeze" in layers),
        }
        for block, layers in inside.items()
    }
    return lambda path: derived.get("/".join(path.split("/")[:2]), every)


def _pattern(ours: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(ours)))


def bases(table: Table, found: Iterable[Slot]) -> dict[str, tuple[str, str]]:
    """By our layers' paths, their names without a leaf and how they hold them; a layer that the
    table has no row for is left out."""
    found = tuple(found)
    derive = numbers(found)
    compiled = [(_pattern(row.ours), row) for row in table.rows]
    named = {}
    for slot in found:
        for pattern, row in compiled:
            if not (at := pattern.fullmatch(slot.path)):
                continue
            forms = _Forms(derive(slot.path))
            forms.update((letter, Number(n)) for letter, n in at.groupdict().items())
            if all(forms.get(letter) == n for letter, n in row.where):
                named[slot.path] = (row.theirs.format_map(forms), row.held)
                break
    return named
