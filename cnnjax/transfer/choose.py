"""By whose names a file's tensors are read."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.transfer import facts, hub, layout
from cnnjax.transfer.names import tables
from cnnjax.transfer.rules import Table, bases
from cnnjax.transfer.slots import Slot
from cnnjax.transfer.weights import Weights

OWN = Table(
    title="a net of this project", framework="cnnjax", nets=("*",), fits=lambda net: True, rows=()
)


@dataclasses.dataclass(frozen=True)
class Fit:
    """A table tried on a net and a file.

    `wanted`: (path, leaf) → their name; a layer that the table does not name has none.
    `biases`: by the path of the norm that takes it, the name of a convolution's bias.
    `held`: the names that tables speak of → those in the file; those `left` nothing explains, and
    those `ignored` hold nothing of the net.
    """

    table: Table
    wanted: Mapping[tuple[str, str], str]
    biases: Mapping[str, str]
    held: Mapping[str, str]
    left: tuple[str, ...]
    ignored: tuple[str, ...]
    doubt: str = ""  # What the file does not tell and was taken from the net.

    @property
    def explained(self) -> int:
        return len(self.held) - len(self.left)


def named(table: Table, found: tuple[Slot, ...]) -> tuple[dict[tuple[str, str], str], dict]:
    """`wanted` and `biases` of a `Fit`."""
    paths = {slot.path for slot in found}
    known = bases(table, found)
    wanted, biases = {}, {}
    for slot in found:
        base, _ = known.get(slot.path, ("", ""))
        for leaf in slot.shapes if base or table.framework == "cnnjax" else ():
            wanted[slot.path, leaf] = layout.theirs(table.framework, base, slot, leaf)
        unbiased = slot.kind == "conv" and "bias" not in slot.shapes
        if table.biased and unbiased and base and slot.norm in paths:
            biases[slot.norm] = layout.theirs(table.framework, base, slot, "bias")
    return wanted, biases


def choose(net: Net, weights: Weights, found: tuple[Slot, ...]) -> Fit:
    """The table that explains most of the file; of equals that which the source itself names, then
    one whose nets don't differ from this one, then the first.

    Raises:
      UserError: no source has such a net, or its net differs from this one.
    """
    every = [OWN] if weights.framework == "cnnjax" else list(tables())
    every = [table for table in every if table.framework == weights.framework]
    fitting = [table for table in every if table.fits(net)]
    if not fitting:
        sources = dict.fromkeys(table.source for table in every)
        raise UserError(
            f"{weights.where}: no net of this kind is known from {', '.join(sources)}; weights of "
            "a net trained here fit"
        )
    fits = [_fit(table, weights, found) for table in fitting]
    told = {fit.table.title: facts.differs(fit.table, found) for fit in fits}
    said = _architecture(weights)

    def rank(fit: Fit) -> tuple[int, int, bool]:
        pattern = fit.table.architectures
        meant = (1 if re.fullmatch(pattern, said) else -1) if pattern and said else 0
        return fit.explained, meant, not told[fit.table.title]

    best = max(fits, key=rank)
    nameless = weights.framework == "keras" and not weights.about.get("layers")
    if nameless and not best.explained:
        raise UserError(
            f"{weights.where} does not name its layers, as files of the first Keras 3 don't: load "
            "it with a later one and save it again"
        )
    if told[best.table.title] and best.explained > len(best.left):
        raise UserError(f"{weights.where} holds {best.table.title}: {told[best.table.title]}")
    twins = [fit for fit in fits if rank(fit)[:2] == rank(best)[:2]]
    if others := {fit.table.padding for fit in twins} - {best.table.padding, ""}:
        doubt = (
            "the file does not tell how its net pads; read as one that pads as this one, "
            f"{best.table.title}: if it pads otherwise give the net {facts.padded(others.pop())}"
        )
        return dataclasses.replace(best, doubt=doubt)
    return best


def _architecture(weights: Weights) -> str:
    """What a repository on the hub calls its net; timm's are named by that: OWNER/NET.TRAINING."""
    owner, _, name = hub.repository(weights.where).partition("/")
    called = name.partition(".")[0] if owner == "timm" else ""
    return str(config(weights).get("architecture") or called)


def config(weights: Weights) -> Mapping[str, Any]:
    """What a repository on the hub tells of its weights, {} where nothing does."""
    found = weights.about.get("config")
    return found if isinstance(found, Mapping) else {}


def _fit(table: Table, weights: Weights, found: tuple[Slot, ...]) -> Fit:
    held = {}
    for name, own in layout.names(weights).items():
        for pattern, today in table.renamed:
            name = re.sub(pattern, today, name)
        held[own if name in held else name] = own
    wanted, biases = named(table, found)
    known = {*wanted.values(), *biases.values()}
    rest = [name for name in held if name not in known]
    ignored = [n for n in rest if any(re.fullmatch(pattern, n) for pattern in table.ignored)]
    left = [name for name in rest if name not in ignored]
    return Fit(table, wanted, biases, held, tuple(left), tuple(ignored))
