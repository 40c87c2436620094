"""A study's points as the report speaks of them: seeds gathered into means and intervals."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from cnnjax.report import tuning, words
from cnnjax.study import stats
from cnnjax.study.records import Axis, Point, Record, Study
from cnnjax.study.stats import Interval, Spread

BAD = ("diverged", "failed", "out_of_memory")
MEASURES = ("params", "macs", "activations", "receptive_field", "train_macs")
SAME_COST = 0.05  # MACs this near count as equal, as those of nets that are matched in them.
RISING = 0.01  # More than this over the last fifth of the epochs is "still improving".


@dataclasses.dataclass(frozen=True)
class Row:
    """One point of the plan with what its runs came to.

    `scores` holds `train`, `val` and `test` over the finished replicates; `rates` is
    (learning rate, mean validation accuracy) of the tuning runs, at the best of what else was
    tuned, and `at_edge` the fields whose grid ends at the value used; `tune_macs` are the training
    MACs of all tuning runs together; `rise` is how far validation
    accuracy rose over the last fifth of the epochs. `probed`: the point was measured, not trained,
    and `readings` are its runs' mean measures, whether or not they came to their end.
    """

    point: Point
    series: str
    x: Axis
    label: str
    name: str
    done: tuple[Record, ...]
    bad: tuple[Record, ...]
    measures: Mapping[str, float | None]
    scores: Mapping[str, Interval | None]
    at_chance: bool
    rates: tuple[tuple[float, float], ...]
    rate: float | None
    at_edge: tuple[str, ...]
    rise: float | None
    probed: bool = False
    readings: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    tune_macs: float | None = None

    @property
    def macs(self) -> float | None:
        return self.measures["macs"]

    @property
    def rising(self) -> bool:
        return self.rise is not None and self.rise > RISING


@dataclasses.dataclass(frozen=True)
class Summary:
    """The latest plan's rows. `shown` is the split whose accuracy is told: `test`, or `val` while
    nothing has been tested. `front` are the places of the rows on the Pareto front of MACs and
    validation accuracy, cheapest first; rows at chance are no trade and stay off it."""

    study: Study
    rows: tuple[Row, ...]
    shown: str
    spread: Spread
    chance: float | None
    front: tuple[int, ...]

    @property
    def shown_name(self) -> str:
        return {"test": "test", "val": "validation"}[self.shown]

    @property
    def probed(self) -> bool:
        """Whether the study measures and trains nothing."""
        return any(row.probed for row in self.rows)

    @property
    def series(self) -> list[str]:
        """Their names in the plan's order; one empty name where the study has none."""
        return list(dict.fromkeys(row.series for row in self.rows))

    def of(self, series: str) -> list[Row]:
        """A series' rows along the axis: numbers by size, names in the plan's order."""
        rows = [row for row in self.rows if row.series == series]
        return sorted(rows, key=lambda r: words.order(r.x)) if self.numeric else rows

    @property
    def numeric(self) -> bool:
        """Whether every place on the axis is a number."""
        return all(isinstance(r.x, int | float) and not isinstance(r.x, bool) for r in self.rows)

    def score(self, row: Row) -> Interval | None:
        return row.scores[self.shown]


def summarise(study: Study) -> Summary:
    """Gather the latest plan's runs."""
    records = study.records
    runs = [[records[k] for k in p.runs if k in records] for p in study.plan.points]
    done = [[r for r in some if r.status == "done"] for some in runs]
    tested = any(_values(some, "test") for some in done)
    shown = "test" if tested else "val"
    unique = {frozenset(r.key for r in some): some for some in done}.values()
    spreads = {
        split: stats.spread([_values(some, split) for some in unique])
        for split in ("train", "val", "test")
    }
    chance = _chance([r for some in done for r in some])
    rows = tuple(
        _row(study, point, some, good, spreads, shown, chance)
        for point, some, good in zip(study.plan.points, runs, done, strict=True)
    )
    able = [None if row.at_chance else row.scores["val"] for row in rows]
    front = stats.front([row.macs for row in rows], [v and v.mean for v in able], SAME_COST)
    return Summary(study, rows, shown, spreads[shown], chance, tuple(front))


def _row(
    study: Study,
    point: Point,
    runs: Sequence[Record],
    done: Sequence[Record],
    spreads: Mapping[str, Spread],
    shown: str,
    chance: float | None,
) -> Row:
    series = words.axis_value(point.axes.get(study.series)) if study.series else ""
    x = point.axes.get(study.x_axis) if study.x_axis else None
    label = words.place(study.x_axis, x) or point.net or "the net"
    label += " (adapted)" if any(r.adapted for r in runs) else ""
    tune = tuning.runs(study, point)
    values = {split: _values(done, split) for split in spreads}
    scores = {s: stats.mean(v, spreads[s]) if v else None for s, v in values.items()}
    rates = tuning.rates(tune)
    best = max(rates, key=lambda r: r[1])[0] if rates else None
    at_chance = _at_chance(scores[shown], chance, done)
    rate = point.learning_rate if point.learning_rate is not None else best
    return Row(
        point=point,
        series=series,
        x=x,
        label=label,
        name=f"{series} {label}" if series else label,
        done=tuple(done),
        bad=tuple(r for r in runs if r.status in BAD),
        measures={m: _average([r.measures.get(m) for r in runs or tune]) for m in MEASURES},
        scores=scores,
        at_chance=at_chance,
        rates=rates,
        rate=rate,
        at_edge=() if at_chance else tuning.at_edge(tune, {**point.chosen, "learning_rate": rate}),
        rise=_rise([study.curves.get(r.key, []) for r in done]),
        probed=any(r.role == "probe" for r in runs),
        readings=_readings(runs),
        tune_macs=tuning.macs(tune),
    )


def _readings(runs: Sequence[Record]) -> dict[str, float | None]:
    ended = [r for r in runs if r.role == "probe" and r.status in ("done", *BAD)]
    names = dict.fromkeys(name for r in ended for name in r.measures)
    return {m: _average([r.measures.get(m) for r in ended]) for m in names}


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


def _rise(curves: Sequence[Sequence[Mapping[str, float | None]]]) -> float | None:
    """Mean validation accuracy at the end less that a fifth of the epochs before."""
    means = [v for _, v in curve_means(curves)]
    fifth = max(1, round(len(means) / 5))
    if len(means) < 1 + fifth:
        return None
    return means[-1] - means[-1 - fifth]


def _values(runs: Sequence[Record], split: str) -> list[float]:
    return _present(r.metrics.get(f"{split}_accuracy") for r in runs)


def _present(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _average(values: Sequence[float | None]) -> float | None:
    kept = _present(values)
    return sum(kept) / len(kept) if kept else None


def _chance(runs: Sequence[Record]) -> float | None:
    """One over the number of classes, where the runs agree on it."""
    classes = {_count(r, "classes") for r in runs}
    n = classes.pop() if len(classes) == 1 else None
    return 1 / n if n else None


def _at_chance(score: Interval | None, chance: float | None, runs: Sequence[Record]) -> bool:
    """Whether guessing explains the accuracy: the mean is no further above chance than its
    interval is wide, or than two standard errors of guessing on that many test examples."""
    if score is None or chance is None:
        return False
    n = min((n for r in runs if (n := _count(r, "test_examples"))), default=0)
    guessing = 2 * math.sqrt(chance * (1 - chance) / n) if n else 0.0
    return score.mean <= chance + max(words.clipped(score)[1] - score.mean, guessing)


def _count(r: Record, name: str) -> int | None:
    v = r.data.get(name)
    return v if type(v) is int and 0 < v < 10**9 else None
