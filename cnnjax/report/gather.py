"""From a study's records to the report's rows: seeds gathered into means and intervals."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cnnjax.report import looks, predictions, tuning, words
from cnnjax.report.points import (
    BAD,
    MEASURES,
    SAME_COST,
    SETTING,
    SPLITS,
    Row,
    Summary,
    curve_means,
)
from cnnjax.report.predictions import ORIGINAL
from cnnjax.study import stats
from cnnjax.study.records import Point, Record, Study
from cnnjax.study.stats import Interval, Sample, Spread


def summarise(study: Study) -> Summary:
    """Gather the latest plan's runs."""
    places = _places(study)
    parts = [part for place in places for part in place]
    shown = "test" if any(part.samples["test"].values for part in parts) else "val"
    unique = {id(part.samples["val"]): part for part in parts}.values()
    spreads = {s: stats.spread([part.samples[s].values for part in unique]) for s in SPLITS}
    chance = _chance([r for part in parts for r in part.done])
    rows = tuple(
        dataclasses.replace(_row(study, place, spreads, shown, chance), id=i)
        for i, place in enumerate(places)
    )
    found = Summary(study, rows, shown, spreads[shown], chance, ())
    costs = [found.cost(row) for row in rows]
    front, chances = _front(rows, costs, spreads["val"])
    return dataclasses.replace(found, front=front, chances=chances)


def _front(
    rows: Sequence[Row], costs: Sequence[float | None], common: Spread
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The places on the front, and every row's chance of being there."""
    able = [row.scores["val"] is not None and row.scores["val"].known for row in rows]
    able = [yes and not row.at_chance for yes, row in zip(able, rows, strict=True)]
    costs = [cost if yes else None for yes, cost in zip(able, costs, strict=True)]
    front = stats.front(costs, [r.scores["val"] and r.scores["val"].mean for r in rows], SAME_COST)
    chances = stats.front_chances(costs, [row.terms["val"] for row in rows], common, SAME_COST)
    return tuple(front), tuple(chances)


@dataclasses.dataclass(frozen=True)
class _Part:
    """A point of the plan with its runs; two of them may be one row."""

    point: Point
    runs: tuple[Record, ...]
    tune: tuple[Record, ...]
    done: tuple[Record, ...]
    samples: Mapping[str, Sample]


def _places(study: Study) -> list[list[_Part]]:
    """The points in the plan's order, those that bracket one budget together; equal runs have the
    same samples."""
    samples: dict[tuple[str, ...], Mapping[str, Sample]] = {}
    places: dict[object, list[_Part]] = {}
    for i, point in enumerate(study.plan.points):
        runs = tuple(study.records[k] for k in point.runs if k in study.records)
        tune = tuple(study.records[k] for k in point.tune if k in study.records)
        done = tuple(r for r in runs if r.status == "done")
        keys = tuple(sorted(r.key for r in done)) or (str(i),)
        if keys not in samples:
            samples[keys] = {split: _sample(study, done, split) for split in SPLITS}
        place = (point.net, tuple(point.axes.items())) if point.weight < 1 else i
        places.setdefault(place, []).append(_Part(point, runs, tune, done, samples[keys]))
    return list(places.values())


def _sample(study: Study, done: Sequence[Record], split: str) -> Sample:
    """The split's accuracies and, of the test split, which examples were got right."""
    name = f"{split}_accuracy"
    known = [r for r in done if r.metrics.get(name) is not None]
    values = tuple(r.metrics[name] for r in known)
    if split != "test" or not known:
        return Sample(values)
    found = [predictions.read(study.path, r.key, study.warnings) for r in known]
    if any(p is None for p in found) or len({p.right.size for p in found}) > 1:
        return Sample(values)
    return Sample(values, np.stack([p.right for p in found]), found[0].extras.get(ORIGINAL))


def _row(
    study: Study,
    parts: Sequence[_Part],
    spreads: Mapping[str, Spread],
    shown: str,
    chance: float | None,
) -> Row:
    main = max(parts, key=lambda part: part.point.weight)
    point = main.point
    if len(parts) > 1:
        point = dataclasses.replace(
            point,
            runs=tuple(k for part in parts for k in part.point.runs),
            notes=tuple(dict.fromkeys(n for part in parts for n in part.point.notes)),
        )
    series = words.axis_value(point.axes.get(study.series)) if study.series else ""
    x = point.axes.get(study.x_axis) if study.x_axis else None
    number = None if study.x_axis else point.axes.get("number")
    numbered = "" if number is None else f"#{words.axis_value(number)}"
    label = words.axis_value(point.axes.get(SETTING)) or words.place(study.x_axis, x)
    label = label or numbered or point.net or "the net"
    runs = [r for part in parts for r in part.runs]
    done = [r for part in parts for r in part.done]
    label += " (adapted)" if any(r.adapted for r in runs) else ""
    terms = {s: [(part.point.weight, part.samples[s]) for part in parts] for s in SPLITS}
    terms = {s: t if all(sample.values for _, sample in t) else [] for s, t in terms.items()}
    scores = {s: stats.contrast(t, spreads[s]) if t else None for s, t in terms.items()}
    rates = tuning.rates(main.tune)
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
        measures={m: _between(parts, m) for m in MEASURES},
        terms=terms,
        scores=scores,
        at_chance=at_chance,
        rates=rates,
        rate=rate,
        at_edge=() if at_chance else _edges(parts, rate),
        rise=_rise([study.curves.get(r.key, []) for r in done]),
        probed=any(r.role == "probe" for r in runs),
        readings=_readings(runs),
        tune_macs=tuning.macs([r for part in parts for r in part.tune]),
        exploratory=any(looks.added(study, part.point) for part in parts),
    )


def _edges(parts: Sequence[_Part], rate: float | None) -> tuple[str, ...]:
    """The fields at their grid's edge at any part."""
    found = []
    for part in parts:
        used = rate if len(parts) == 1 else part.point.learning_rate
        found += tuning.at_edge(part.tune, {**part.point.chosen, "learning_rate": used})
    return tuple(dict.fromkeys(found))


def _between(parts: Sequence[_Part], measure: str) -> float | None:
    """A measure of the point; of two that bracket a budget the mean by their weights, in which the
    logarithms of costs are interpolated."""
    known = [_average([r.measures.get(measure) for r in part.runs or part.tune]) for part in parts]
    if len(parts) == 1 or None in known:
        return known[0] if len(parts) == 1 else None
    weights = [part.point.weight for part in parts]
    if measure == "receptive_field" or min(known) <= 0:
        return math.fsum(w * v for w, v in zip(weights, known, strict=True))
    return math.exp(math.fsum(w * math.log(v) for w, v in zip(weights, known, strict=True)))


def _readings(runs: Sequence[Record]) -> dict[str, float | None]:
    ended = [r for r in runs if r.role == "probe" and r.status in ("done", *BAD)]
    names = dict.fromkeys(name for r in ended for name in r.measures)
    return {m: _average([r.measures.get(m) for r in ended]) for m in names}


def _rise(curves: Sequence[Sequence[Mapping[str, float | None]]]) -> float | None:
    """Mean validation accuracy at the end less that a fifth of the epochs before."""
    means = [v for _, v in curve_means(curves)]
    fifth = max(1, round(len(means) / 5))
    if len(means) < 1 + fifth:
        return None
    return means[-1] - means[-1 - fifth]


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
