"""What a study cost: runs, multiply-accumulates and hours, tuning and broken runs included."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from cnnjax.report import input_wait, words
from cnnjax.report.answers import Cell, Table
from cnnjax.report.condition import plan_runs
from cnnjax.report.points import BAD
from cnnjax.study.records import Record, Study

KINDS = ("replicates", "tuning", "measuring", "ended badly", "stopped or under way")
_ROLES = {"replicate": "replicates", "tune": "tuning", "probe": "measuring"}


@dataclasses.dataclass(frozen=True)
class Part:
    """What some runs took: MACs of training, and seconds; `utilisation` is the share of the
    devices' peak that multiplying came to while they trained (model FLOPs utilisation: Chowdhery
    et al. 2022, appendix B), None where no peak is known or not all runs trained on such a device.
    """

    name: str
    runs: int
    macs: float
    train: float
    compiling: float
    rest: float
    waiting: float | None
    utilisation: float | None

    @property
    def seconds(self) -> float:
        return self.train + self.compiling + self.rest

    @property
    def speed(self) -> float | None:
        """MACs a second of training."""
        return self.macs / self.train if self.train and self.macs else None


def parts(study: Study) -> list[Part]:
    """The latest plan's runs by what they were for, and last all of them; one alone where all were
    for the same."""
    runs = plan_runs(study)
    kinds = {kind: [r for r in runs if _kind(r) == kind] for kind in KINDS}
    found = [_part(kind, some) for kind, some in kinds.items() if some]
    return [*found, _part("all", runs)] if len(found) > 1 else found


def _kind(run: Record) -> str:
    if run.status in BAD:
        return "ended badly"
    return _ROLES[run.role] if run.status == "done" else "stopped or under way"


def _part(name: str, runs: Sequence[Record]) -> Part:
    train, compiling = (_sum(runs, f"{what}_seconds") for what in ("train", "compile"))
    return Part(
        name=name,
        runs=len(runs),
        macs=math.fsum(r.measures.get("train_macs") or 0 for r in runs),
        train=train,
        compiling=compiling,
        rest=max(0.0, _sum(runs, "total_seconds") - train - compiling),
        waiting=input_wait.share(runs),
        utilisation=_utilisation(runs),
    )


def _sum(runs: Iterable[Record], name: str) -> float:
    return math.fsum(v for r in runs if (v := r.timings.get(name)) is not None and v > 0)


def _utilisation(runs: Sequence[Record]) -> float | None:
    trained = [r for r in runs if r.measures.get("train_macs") and r.timings.get("train_seconds")]
    peaks = [r.hardware.get("peak_flops") for r in trained]
    if not trained or not all(type(p) in (int, float) and p > 0 for p in peaks):
        return None
    able = math.fsum(p * r.timings["train_seconds"] for p, r in zip(peaks, trained, strict=True))
    return 2 * math.fsum(r.measures["train_macs"] for r in trained) / able if able > 0 else None


def table(study: Study) -> Table | None:
    """The bill as a table; none where nothing has come to an end."""
    found = parts(study)
    if not found or not found[-1].seconds:
        return None
    more = [
        ("MACs a second", lambda p: _cell(p.speed, words.si), any(p.speed for p in found)),
        ("of the peak", lambda p: _cell(p.utilisation, words.percent),
         any(p.utilisation for p in found)),
        ("waiting for images", lambda p: _cell(p.waiting, words.percent),
         any(p.waiting is not None for p in found)),
    ]  # fmt: skip
    head = ("", "runs", "training MACs", "training", "compiling", "the rest", "in all")
    shown = [(title, cell) for title, cell, there in more if there]
    rows = tuple(
        (
            (p.name, p.name),
            (f"{p.runs:,}", p.runs),
            _cell(p.macs or None, words.si),
            *(_cell(v, words.duration) for v in (p.train, p.compiling, p.rest, p.seconds)),
            *(cell(p) for _, cell in shown),
        )
        for p in found
    )
    return Table(
        "The bill", note(study), (*head, *(title for title, _ in shown)), rows, brief=False
    )


def _cell(v: float | None, text: Callable[[float], str]) -> Cell:
    return ("–", None) if v is None else (text(v), v)


def note(study: Study) -> str:
    """What is counted, and what is not, without a full stop."""
    runs = plan_runs(study)
    told = (
        "hours are summed over runs, however many ran at a time, and compilation may go on beside "
        "another run; the rest is loading, evaluating and writing; of runs that broke it is what "
        "they took until then, as far as known"
    )
    if not any(r.hardware.get("peak_flops") for r in runs):
        told += "; no peak is known of these devices, so no share of it is told"
    spent = {r.source: v for r in runs if (v := r.measures.get("pretrain_macs")) and r.source}
    for source, macs in spent.items():
        told += f"; not in it: {words.si(macs)} MACs that pre-training {source} took"
    return told


def shares(study: Study) -> list[tuple[str, float]]:
    """(what, seconds) that the time went to, for a bar; nothing where there is no time."""
    found = parts(study)
    if not found:
        return []
    told = [(f"training, {p.name}", p.train) for p in found[:-1] or found]
    told += [("compiling", found[-1].compiling), ("the rest", found[-1].rest)]
    return [(what, seconds) for what, seconds in told if seconds > 0]
