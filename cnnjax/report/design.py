"""How a study was made, in words: what was varied, how it was trained, chosen and tested."""

from collections.abc import Iterable, Mapping
from typing import Any

from cnnjax.report import tuning, words
from cnnjax.report.condition import plan_runs
from cnnjax.report.points import Summary
from cnnjax.study.records import Axis, Record, Study
from cnnjax.study.tuning import TUNABLE
from cnnjax.study.untrusted import line, mapping

MOST = 12  # Places of an axis told one by one.
_OWN = ("type", "learning_rate", "epochs", "batch_size")  # Of a recipe, told apart.
_PLAIN = ("", "Off", "FullSize", "FullTuning", "global", "float32")  # What is usual goes unsaid.


def told(s: Summary) -> list[tuple[str, str]]:
    """(what, text) in the order of doing; what is not known is left out."""
    study = s.study
    runs = [r for r in plan_runs(study) if r.role != "probe"]
    found = [
        ("Varied", _varied(study)),
        ("Nets", words.listed(list(dict.fromkeys(p.net for p in study.plan.points if p.net)))),
        ("Trained", _trained(runs)),
        ("Tuned", _tuned(study) if runs else ""),
        ("Replicated", _replicated(s) if runs else ""),
        ("Declared beforehand", _declared(study)),
    ]
    return [(what, text) for what, text in found if text]


def _varied(study: Study) -> str:
    told = []
    for axis in study.axes:
        places = dict.fromkeys(p.axes[axis] for p in study.plan.points if axis in p.axes)
        label = study.x_label if axis == study.x_axis else axis.replace("_", " ")
        if places:
            told.append(f"{label}: {_places(places)}")
    return "; ".join(told)


def _places(places: Iterable[Axis]) -> str:
    places = list(places)
    if all(type(v) in (int, float) for v in places):
        places.sort()
    names = list(map(words.axis_value, places))
    if len(names) <= MOST:
        return ", ".join(names)
    return f"{len(names)} from {names[0]} to {names[-1]}"


def _trained(runs: Iterable[Record]) -> str:
    recipes = [mapping(run.config.get("recipe")) for run in runs]
    if not any(recipes):
        return ""
    told = []
    for name, unit in (("epochs", "{} epochs"), ("batch_size", "batches of {}")):
        values = {v for r in recipes if type(v := r.get(name)) in (int, float)}
        if values:
            told.append(unit.format(words.listed([f"{v:,}" for v in sorted(values)])))
    others = dict.fromkeys(name for r in recipes for name in r if name not in _OWN)
    for name in others:
        if name not in TUNABLE or len({str(r.get(name)) for r in recipes}) == 1:
            values = dict.fromkeys(_value(name, r.get(name)) for r in recipes)
            told += [" or ".join(filter(None, values))] if any(values) else []
    return ", ".join(told)


def _value(name: str, v: Any) -> str:
    """`weight decay 0.0005`, `SGD (momentum 0.9, nesterov)`; empty of what is usual."""
    label = line(name).replace("_", " ")
    if isinstance(v, Mapping):
        kind = line(v.get("type"))
        inside = [_value(k, x) for k, x in v.items() if k != "type"]
        inside = ", ".join(filter(None, inside))
        return "" if kind in _PLAIN else f"{kind} ({inside})" if inside else kind
    if v is True:
        return label
    if isinstance(v, str):
        return "" if v in _PLAIN else f"{label} {line(v)}"
    return f"{label} {v:g}" if type(v) in (int, float) and v not in (0, 1) else ""


def _tuned(study: Study) -> str:
    fields = tuning.tuned(study, [study.plan])
    if not fields:
        return ""
    runs = [r for p in study.plan.points for r in tuning.runs(study, p)]
    grids = [
        f"{TUNABLE[f].name} {', '.join(f'{v:g}' for v in tuning.values(runs, f))}" for f in fields
    ]
    counts = sorted({len(p.tune) for p in study.plan.points if p.tune})
    many = words.listed([str(n) for n in counts])
    text = f"each point at the best on validation of {many} runs, whose seeds are their own: "
    return text + "; ".join(grids)


def _replicated(s: Summary) -> str:
    counts = sorted({p.seeds for p in s.study.plan.points if p.seeds})
    if not counts:
        return ""
    n = words.listed([str(c) for c in counts])
    text = f"{n} fresh seed{'' if counts == [1] else 's'} a point; every choice is made on "
    return text + "validation, and test images are looked at once, by what was chosen"


def _declared(study: Study) -> str:
    """Of a study of claims."""
    if not study.plan.claims:
        return ""
    text = words.count(len(study.plan.claims), "claim") + ", each with its margin and analysis"
    if study.plan.changed:
        flags = words.listed([f"--{name}" for name in study.plan.changed])
        text += f"; changed since by {flags}"
    return text
