"""What goes on now, as HTML: how far the study is, and each run under way with its curve."""

import datetime
import html
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.report import condition, words
from cnnjax.report.live.watch import Glance, Under
from cnnjax.study.progress import duration, together

SILENT = 300.0  # Seconds without a sign of life that are worth a word.
PAUSE = 60.0  # Seconds without a run that are no standstill: between two the report is written.
SHOWN = 24  # Runs under way that are shown one by one.
WIDTH, HEIGHT = 120, 32  # Of a curve, in units of its drawing.


def panel(seen: Glance) -> str:
    """The section `#now`, which a page replaces by itself; empty once all runs have ended."""
    if not seen.under and seen.ended >= seen.planned:
        return '<section id="now"></section>'
    inside = _progress(seen) + _runs(seen)
    return f'<section id="now" aria-label="Running now">{inside}</section>'


def progress(seen: Glance) -> str:
    """`12 of 60 runs ended · about 5 min left`"""
    told = [f"{seen.ended} of {words.count(seen.planned, 'run')} ended"]
    if seen.ended < seen.planned:
        if not seen.under:
            told += ["nothing is running"] if _rests(seen) else []
        elif not alive(seen.under):
            told.append("no sign of life")
        elif (seconds := left(seen)) is not None:
            told.append(f"about {duration(seconds)} left")
    return " · ".join(told)


def alive(under: Sequence[Under]) -> list[Under]:
    """Those that wrote something lately; the others' processes may have been killed."""
    return [u for u in under if time.time() - u.heard <= SILENT]


def left(seen: Glance) -> float | None:
    """Seconds until the plan is done, by what its runs took so far; None before the first ended.

    A run to come takes as long as those of its point that have ended, or as all of them.
    """
    took = seen.took
    if not took or seen.study is None:
        return None
    mean = sum(took.values()) / len(took)
    now = {u.record.key: u for u in seen.under}
    ahead: dict[str, float] = {}
    for point in seen.study.plan.points:
        keys = (*point.runs, *point.tune)
        known = [took[k] for k in keys if k in took]
        expected = sum(known) / len(known) if known else mean
        for key in keys:
            record = seen.study.records.get(key)
            if record is None or record.status in ("running", "stopped"):
                spent = run_left(now[key]) if key in now else None
                ahead[key] = expected if spent is None else spent
    unnamed = seen.planned - seen.ended - len(ahead)
    seconds = [*ahead.values(), *[mean] * max(0, unnamed)]
    return together(seconds, len(alive(seen.under))) if seconds else 0.0


def run_left(u: Under) -> float | None:
    """Seconds of training left, by the epochs so far; None before the first has ended."""
    total, last = _steps(u), u.curve[-1] if u.curve else None
    if not last or not total or not last.get("step") or last.get("seconds") is None:
        return None
    ahead = (total - last["step"]) * last["seconds"] / last["step"]
    return max(0.0, ahead - max(0.0, time.time() - u.heard))


def sparkline(curve: Sequence[Mapping[str, Any]], span: tuple[float, float], epochs: float) -> str:
    """Validation accuracy by epoch as a small drawing, as wide as all epochs will be."""
    points = [(row["epoch"], v) for row in curve if (v := row.get("val_accuracy")) is not None]
    low, high = span
    if not points:
        return ""
    wide = max(epochs, points[-1][0], 1)
    at = [
        (x / wide * WIDTH, HEIGHT - 2 - (v - low) / ((high - low) or 1) * (HEIGHT - 4))
        for x, v in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    alt = f"validation accuracy {words.percent(points[-1][1])} after epoch {points[-1][0]}"
    return (
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{alt}">'
        f'<path d="M0 {HEIGHT - 1}H{WIDTH}"/><polyline points="{line}"/>'
        f'<circle cx="{at[-1][0]:.1f}" cy="{at[-1][1]:.1f}" r="2.5"/></svg>'
    )


def span(under: Sequence[Under]) -> tuple[float, float]:
    """From the lowest to the highest validation accuracy, so that curves compare."""
    values = [v for u in under for row in u.curve if (v := row.get("val_accuracy")) is not None]
    return (min(values), max(values)) if values else (0.0, 1.0)


def sparklines(under: Sequence[Under]) -> str:
    """The curves of runs under way, side by side on one scale."""
    scale = span(under)
    return "".join(sparkline(u.curve, scale, u.record.field("epochs") or 0) for u in under)


def _rests(seen: Glance) -> bool:
    return not seen.under and time.time() - seen.changed >= PAUSE


def _progress(seen: Glance) -> str:
    told = html.escape(progress(seen))
    return (
        f'<div class="progress"><span>{told}</span><progress max="{seen.planned}" '
        f'value="{seen.ended}" aria-label="{told}"></progress></div>'
    )


def _runs(seen: Glance) -> str:
    if not seen.under:
        return _go_on(seen)
    under = sorted(seen.under, key=lambda u: u.record.started or "")
    scale = span(under)
    items = "".join(_run(seen, u, scale) for u in under[:SHOWN])
    more = len(under) - SHOWN
    rest = f'<p class="quiet">and {words.count(more, "run")} more</p>' if more > 0 else ""
    return f'<h2>Running now</h2><ul class="now">{items}</ul>{rest}'


def _go_on(seen: Glance) -> str:
    """How to go on with a study of which nothing is running."""
    command = seen.study.plan.command if seen.study else ""
    if not command or not _rests(seen):
        return ""
    return f'<p class="quiet">It goes on with <code>{html.escape(command)}</code></p>'


def _run(seen: Glance, u: Under, scale: tuple[float, float]) -> str:
    e, epochs = html.escape, u.record.field("epochs") or 0
    name = condition.heading(seen.study, u.record) if seen.study else u.record.key
    return (
        f"<li><b>{e(name)}</b>{sparkline(u.curve, scale, epochs)}"
        f"<span>{e(' · '.join(_told(u, epochs)))}</span></li>"
    )


def _told(u: Under, epochs: float) -> list[str]:
    last = u.curve[-1] if u.curve else None
    told = []
    if last:
        of = f" of {epochs:g}" if epochs else ""
        told.append(f"epoch {last['epoch']}{of}")
        if last.get("val_accuracy") is not None:
            told.append(f"{words.percent(last['val_accuracy'])} validation")
        if (seconds := run_left(u)) is not None:
            ended = last["step"] >= _steps(u)
            told.append("evaluating" if ended else f"about {duration(seconds)} left")
    else:
        told.append("measuring" if u.record.role == "probe" else "in its first epoch")
    if not alive([u]):
        since = datetime.datetime.fromtimestamp(u.heard, datetime.UTC)
        told.append(f"no sign of life since {since:%Y-%m-%d %H:%M} UTC")
    return told


def _steps(u: Under) -> float:
    """Of the whole training, by its configuration and the epochs so far; 0 where nobody knows."""
    if steps := u.record.field("max_steps"):
        return steps
    last = u.curve[-1] if u.curve else {}
    if not last.get("epoch") or not last.get("step"):
        return 0
    return (u.record.field("epochs") or 0) * last["step"] / last["epoch"]
