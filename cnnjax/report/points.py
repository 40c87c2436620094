"""A study's points as the report speaks of them: seeds gathered into means and intervals."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence

from cnnjax.report import words
from cnnjax.study.records import Axis, Point, Record, Study
from cnnjax.study.stats import Interval, Spread, Terms

BAD = ("diverged", "failed", "out_of_memory")
SPLITS = ("train", "val", "test")
MEASURES = ("params", "macs", "activations", "receptive_field", "train_macs")
SETTING = "setting"  # The axis that names points which stand at one place of the study's.
SAME_COST = 0.05  # MACs this near count as equal, as those of nets that are matched in them.
RISING = 0.01  # More than this over the last fifth of the epochs is "still improving".


@dataclasses.dataclass(frozen=True)
class Row:
    """One point of the plan with what its runs came to.

    Where two nets bracket a budget the row is both, interpolated. `terms` are the point's mean as
    a contrast over the finished replicates, for `train`, `val` and `test`, none where there is
    nothing yet, and `scores` are their intervals; `rates` is
    (learning rate, mean validation accuracy) of the tuning runs, at the best of what else was
    tuned, and `at_edge` the fields whose grid ends at the value used; `tune_macs` are the training
    MACs of all tuning runs together; `rise` is how far validation
    accuracy rose over the last fifth of the epochs. `probed`: the point was measured, not trained,
    and `readings` are its runs' mean measures, whether or not they came to their end.
    `exploratory`: seeds were added after a look at it. `id` is its number in the summary, by which
    the page's views speak of it.
    """

    point: Point
    series: str
    x: Axis
    label: str
    name: str
    done: tuple[Record, ...]
    bad: tuple[Record, ...]
    measures: Mapping[str, float | None]
    terms: Mapping[str, Terms]
    scores: Mapping[str, Interval | None]
    at_chance: bool
    rates: tuple[tuple[float, float], ...]
    rate: float | None
    at_edge: tuple[str, ...]
    rise: float | None
    probed: bool = False
    exploratory: bool = False
    readings: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    tune_macs: float | None = None
    id: int = 0

    @property
    def macs(self) -> float | None:
        return self.measures["macs"]

    def values(self, split: str) -> list[float]:
        """The split's accuracy a seed; of two nets that bracket a budget their means by weight, as
        far as both have as many seeds."""
        terms = self.terms[split]
        if len({len(sample.values) for _, sample in terms}) > 1:
            return []
        seeds = zip(*(sample.values for _, sample in terms), strict=True)
        weights = [w for w, _ in terms]
        return [math.fsum(w * v for w, v in zip(weights, vs, strict=True)) for vs in seeds]

    @property
    def seeds(self) -> int:
        """Replicates that have finished; of two nets that bracket a budget those of each."""
        scores = [i.n for i in self.scores.values() if i]
        return max(scores) if scores else len(self.done)

    @property
    def train_examples(self) -> int | None:
        """Training images, where all runs agree on their number."""
        counts = {r.data.get("train_examples") for r in self.done}
        n = counts.pop() if len(counts) == 1 else None
        return n if type(n) is int else None

    @property
    def rising(self) -> bool:
        return self.rise is not None and self.rise > RISING


@dataclasses.dataclass(frozen=True)
class Summary:
    """The latest plan's rows. `shown` is the split whose accuracy is told: `test`, or `val` while
    nothing has been tested. `front` are the places of the rows on the Pareto front of `cost` and
    validation accuracy, cheapest first; rows at chance are no trade and stay off it, and so do
    those of one seed. `chances` is how sure each row is to be there, None where that can't be
    said."""

    study: Study
    rows: tuple[Row, ...]
    shown: str
    spread: Spread
    chance: float | None
    front: tuple[int, ...]
    chances: tuple[float | None, ...] = ()

    @property
    def shown_name(self) -> str:
        return {"test": "test", "val": "validation"}[self.shown]

    @property
    def probed(self) -> bool:
        """Whether the study measures and trains nothing."""
        return any(row.probed for row in self.rows)

    @functools.cached_property
    def pretrained(self) -> bool:
        """Whether any run started from weights."""
        return any(r.source for row in self.rows for r in (*row.done, *row.bad))

    @property
    def sampled(self) -> bool:
        """Whether a series is a sample: its points stand along no axis, they are numbered."""
        return self.study.x_axis is None and "number" in self.study.axes

    @property
    def of_compute(self) -> bool:
        """Whether compute itself is the axis, along several ways to spend it."""
        return self.study.x_axis == "compute"

    @property
    def costs(self) -> str:
        """The measure that accuracy is held against: MACs of an image, or of the training where the
        length of training is among the ways to spend them."""
        return "train_macs" if self.of_compute else "macs"

    def sure(self, row: Row) -> float | None:
        """How likely the row is to belong on the front; None where that can't be said."""
        return self.chances[row.id] if self.chances else None

    def cost(self, row: Row) -> float | None:
        return row.measures[self.costs]

    @property
    def cost_name(self) -> str:
        return "training MACs" if self.of_compute else "MACs"

    @functools.cached_property
    def series(self) -> list[str]:
        """Their names in the plan's order; one empty name where the study has none."""
        return list(dict.fromkeys(row.series for row in self.rows))

    def of(self, series: str) -> list[Row]:
        """A series' rows along the axis: numbers by size, names in the plan's order."""
        rows = [row for row in self.rows if row.series == series]
        return sorted(rows, key=lambda r: words.order(r.x)) if self.numeric else rows

    @functools.cached_property
    def numeric(self) -> bool:
        """Whether every place on the axis is a number."""
        return all(isinstance(r.x, int | float) and not isinstance(r.x, bool) for r in self.rows)

    def score(self, row: Row) -> Interval | None:
        return row.scores[self.shown]

    def terms(self, row: Row) -> Terms:
        """The shown accuracy as a contrast; empty while there is none."""
        return row.terms[self.shown]

    def less(self, row: Row, base: Row) -> Terms:
        """The contrast of what `row` has over `base`."""
        return [*self.terms(row), *((-w, sample) for w, sample in self.terms(base))]


def distinct(rows: Iterable[Row]) -> list[Row]:
    """A point that stands in two series once, where it first stands."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        first.setdefault(row.point.runs, row)
    return list(first.values())


def curve_means(
    curves: Sequence[Sequence[Mapping[str, float | None]]], metric: str = "val_accuracy"
) -> list[tuple[int, float]]:
    """(epoch, mean of the metric) over the epochs that every curve has."""
    by_epoch = [
        {row["epoch"]: row[metric] for row in curve if row.get(metric) is not None}
        for curve in curves
        if curve
    ]
    common = set.intersection(*map(set, by_epoch)) if by_epoch else set()
    return [(e, sum(c[e] for c in by_epoch) / len(by_epoch)) for e in sorted(common)]
