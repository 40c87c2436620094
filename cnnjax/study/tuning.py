"""What is chosen for each point on validation: which fields, of which values, and how much further.

A field that can be chosen is a row of `TUNABLE`. JAX is not imported here.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.errors import UserError, unknown
from cnnjax.values import value


@dataclasses.dataclass(frozen=True)
class Tunable:
    """A field of the recipe that can be chosen, the flag of its grid and what it is called."""

    field: str
    grid: str
    default: str
    name: str
    short: str
    plural: str


TUNABLE = {
    row.field: row
    for row in (
        Tunable("learning_rate", "learning_rates", "0.1", "learning rate", "rate", "rates"),
        Tunable("weight_decay", "weight_decays", "1e-4,5e-4,2e-3", "weight decay", "decay",
                "weight decays"),
    )
}  # fmt: skip


def named(fields: Sequence[str], end: str = "") -> str:
    """`learning rate and weight decay`; `end` is put behind each."""
    return " and ".join(f"{TUNABLE[f].name}{end}" for f in fields)


@value
class Trial:
    """Values of the recipe's fields by name that are tried together."""

    values: tuple[tuple[str, float], ...] = ()

    def __getitem__(self, field: str) -> float:
        return dict(self.values)[field]

    @property
    def told(self) -> str:
        """`rate 0.1 · decay 0.0005`"""
        return " · ".join(f"{TUNABLE[f].short} {v:g}" for f, v in self.values)

    def moved(self, field: str, v: float) -> "Trial":
        """The same with another value of one field."""
        return Trial(tuple((f, v if f == field else old) for f, old in self.values))


@dataclasses.dataclass(frozen=True)
class Search:
    """How each point is tuned: values of each field of a trial, those `chosen` among all, others
    at the middle one; at so many seeds; and up to how many values beyond a grid's edge."""

    grids: Mapping[str, tuple[float, ...]]
    chosen: tuple[str, ...] = ("learning_rate",)
    seeds: int = 1
    extend: int = 0

    def trials(self, **own: Sequence[float]) -> tuple[Trial, ...]:
        """Every combination, in order; `own` are grids in place of the study's."""
        grids = {f: sorted({*(own.get(f) or grid)}) for f, grid in self.grids.items()}
        kept = {f: v if f in self.chosen else [v[len(v) // 2]] for f, v in grids.items()}
        product = itertools.product(*kept.values())
        return tuple(Trial(tuple(zip(kept, some, strict=True))) for some in product)


def search(values: Any) -> Search:
    """What the flags of a study ask for.

    Raises:
      UserError: a field that can't be chosen, or one that is fixed and to be chosen at once.
    """
    for field in values.tune:
        if field not in TUNABLE:
            raise unknown("field to tune", field, TUNABLE)
    asked = [row for row in TUNABLE.values() if row.field in values.tune]
    for row in TUNABLE.values():
        if row not in asked and values[row.grid].present:
            raise UserError(
                f"--{row.grid} is a grid to choose from: add {row.field} to --tune, or give "
                f"--{row.field}=X"
            )
    if values["tune"].present:
        for row in asked:
            _refuse_fixed(values, row)
    chosen = [row.field for row in asked if not _fixed(values, row)]
    # A rate is part of every trial, chosen or not: each experiment has rates of its own.
    fields = [f for f in TUNABLE if f in chosen or f == "learning_rate"]
    grids = {f: values[TUNABLE[f].grid].value for f in fields}
    if values.learning_rate is not None:
        grids["learning_rate"] = (values.learning_rate,)
    return Search(grids, tuple(chosen), values.tune_seeds, values.extend_grid)


def _fixed(values: Any, row: Tunable) -> bool:
    """Whether the command line gives one value, or a named recipe's rate stands for the grid."""
    named = row.field == "learning_rate" and values.learning_rate is not None
    return values[row.field].present or named


def _refuse_fixed(values: Any, row: Tunable) -> None:
    v = values[row.field]
    if v.present:
        raise UserError(
            f"--{row.field}={v.value:g} fixes what --tune={','.join(values.tune)} is to choose: "
            "leave one of them out"
        )
    if _fixed(values, row):
        raise UserError(
            f"--recipe={values.recipe} has one {row.name}: give --{row.grid}=A,B,C to choose from"
        )


def tried(trials: Sequence[Trial]) -> dict[str, list[float]]:
    """The values of each field, in order."""
    fields = [f for f, _ in trials[0].values] if trials else []
    return {f: sorted({t[f] for t in trials}) for f in fields}


def edges(found: Mapping[str, Sequence[float]], best: Mapping[str, float | None]) -> list[str]:
    """The fields whose best value stands at an end of those tried; nothing lies below 0."""
    several = {f: values for f, values in found.items() if len({*values}) > 1}
    ends = {f: {max(values), min(values)} - {0} for f, values in several.items()}
    return [f for f in ends if best.get(f) in ends[f]]


def further(values: Sequence[float], v: float) -> float | None:
    """The next value beyond the end at which `v` stands, as far from it as its neighbour by ratio,
    to the six digits that are shown."""
    low, *_, high = values = sorted(values)
    neighbour = values[1] if v == low else values[-2]
    if not neighbour:
        return None
    new = float(f"{v * v / neighbour:.6g}")
    return None if low <= new <= high else new
