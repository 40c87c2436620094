"""What a benchmark beside other frameworks says: ratios of times, net by net and over all."""

import math
from collections.abc import Callable, Sequence

from cnnjax.report import speed, words
from cnnjax.report.points import Row, Summary
from cnnjax.report.speed import Column

OURS = "cnnjax"
PEERS = {
    "flax": "plain Flax", "torch": "PyTorch", "torch_compile": "torch.compile",
    "keras": "Keras on JAX",
}  # fmt: skip
PROGRAMS = {
    "train_step": "a training step", "inference": "inference", "study": "a whole study",
}  # fmt: skip
FAR = 0.05  # Times within it are as good as equal.


def used(s: Summary) -> bool:
    """Whether the study measured frameworks one beside the other."""
    return any(row.readings.get(f"{OURS}_{program}_ms") for row in s.rows for program in PROGRAMS)


def there(s: Summary) -> list[str]:
    """The peers that were measured at all."""
    return [
        peer
        for peer in PEERS
        if any(row.readings.get(f"{peer}_{program}_ms") for row in s.rows for program in PROGRAMS)
    ]


def ratio(row: Row, peer: str, program: str) -> float | None:
    """Our time over the peer's, of medians of the same rounds; below 1 we are faster."""
    mine, theirs = (row.readings.get(f"{who}_{program}_ms") for who in (OURS, peer))
    return mine / theirs if mine and theirs else None


def over_all(s: Summary, peer: str, program: str) -> tuple[float, int] | None:
    """The ratios' geometric mean, and of how many rows it is."""
    found = [r for row in s.rows if (r := ratio(row, peer, program))]
    return (math.exp(sum(map(math.log, found)) / len(found)), len(found)) if found else None


def columns(s: Summary) -> list[Column]:
    """The table: a row a net and batch; ratios first, then the times they are of."""
    found = [
        Column("net", lambda row: row.series, lambda row: row.series, True),
        Column("batch", lambda row: words.axis_value(row.x), lambda row: row.x, True),
        Column("step", _time(OURS, "train_step"), _median(OURS, "train_step"), True),
    ]
    for peer in there(s):
        found.append(_ratios(f"× {PEERS[peer]}", peer, "train_step", True))
    found.append(Column("inference", _time(OURS, "inference"), _median(OURS, "inference")))
    for peer in there(s):
        found.append(_ratios(f"× {PEERS[peer]}, inference", peer, "inference"))
    if any(row.readings.get(f"{OURS}_study_ms") for row in s.rows):
        found.append(Column("study", _time(OURS, "study"), _median(OURS, "study"), True))
        for peer in there(s):
            found.append(_ratios(f"× {PEERS[peer]}, study", peer, "study", True))
    for peer in there(s):
        for program, name in (("train_step", "step"), ("inference", "inference")):
            title = f"{PEERS[peer]}, {name}"
            found.append(Column(title, _time(peer, program), _median(peer, program)))
    for who, name in ((OURS, "compiling"), *((p, f"{PEERS[p]}, compiling") for p in there(s))):
        found.append(speed.reading(name, f"{who}_train_step_compile_seconds",
                                   lambda v: f"{words.si(v)} s"))  # fmt: skip
    for who, name in ((OURS, "memory"), ("flax", "plain Flax, memory")):
        found.append(speed.reading(name, f"{who}_train_step_temp_bytes", speed.bytes_))
    return [*found, Column("notes", speed.noted, speed.noted)]


def _ratios(title: str, peer: str, program: str, short: bool = False) -> Column:
    def shown(row: Row) -> str:
        found = ratio(row, peer, program)
        return "–" if found is None else f"{found:.2f}×"

    return Column(title, shown, lambda row: ratio(row, peer, program), short)


def _time(who: str, program: str) -> Callable[[Row], str]:
    return lambda row: speed.timed(row, f"{who}_{program}")


def _median(who: str, program: str) -> Callable[[Row], float | None]:
    return lambda row: row.readings.get(f"{who}_{program}_ms")


def told(s: Summary) -> list[tuple[str, str, str]]:
    """(head, text, tone) of each finding."""
    rows = [row for row in s.rows if any(row.readings.get(f"{OURS}_{p}_ms") for p in PROGRAMS)]
    if not rows:
        return [("No result yet", "nothing has been measured", "lead")]
    found = [
        (f"Beside {PEERS[peer]}", text, "lead") for peer in there(s) if (text := _sentence(s, peer))
    ]
    for peer in there(s):
        for row in rows:
            for program in ("train_step", "study"):
                if (r := ratio(row, peer, program)) is not None:
                    tone = "open" if abs(r - 1) < FAR else "better" if r < 1 else "worse"
                    text = f"{row.name}: {r:.2f}× its time for {PROGRAMS[program]}"
                    found.append((f"beside {PEERS[peer]}", text, tone))
    found += [(name, text, "note") for name, text in _costs(rows, there(s))]
    found += [(name, text, "note") for name, text in speed.lists(s)]
    absent = dict.fromkeys(n for row in s.rows for n in row.point.notes if "absent" in n)
    found += [("Absent", note, "note") for note in absent]
    runs = [run for row in rows for run in (*row.done, *row.bad)]
    found.append(("Measured on", "; ".join(dict.fromkeys(map(speed.machine, runs))), "note"))
    return [*found, ("How", HOW, "note")]


HOW = (
    "in turn within each round, on a CPU each in a process of its own, medians and quartiles over "
    "rounds; ratios are of medians, ours over the peer's, over all by the geometric mean; images "
    "are in memory; compilation is apart; memory is XLA's temporary one"
)


def _sentence(s: Summary, peer: str) -> str:
    said = []
    for program, name in PROGRAMS.items():
        if found := over_all(s, peer, program):
            mean, n = found
            rows = [(ratio(row, peer, program), row) for row in s.rows]
            rows = sorted((r, row.name) for r, row in rows if r)
            ends = f" ({rows[0][0]:.2f}× {rows[0][1]} to {rows[-1][0]:.2f}× {rows[-1][1]})"
            over = f" over {words.count(n, 'net')}{ends}" if n > 1 else ""
            said.append(f"{name} takes {mean:.2f}× its time{over}")
    return "; ".join(said)


def _costs(rows: Sequence[Row], peers: Sequence[str]) -> list[tuple[str, str]]:
    """What compiling and memory come to beside plain Flax's."""
    found = []
    for head, name in (("Compiling a training step", "compile_seconds"),
                       ("Memory of a training step", "temp_bytes")):  # fmt: skip
        for peer in peers:
            pairs = [
                (mine / theirs, row.name)
                for row in rows
                if (mine := row.readings.get(f"{OURS}_train_step_{name}"))
                and (theirs := row.readings.get(f"{peer}_train_step_{name}"))
            ]
            if pairs:
                mean = math.exp(sum(math.log(r) for r, _ in pairs) / len(pairs))
                (low, least), (high, most) = min(pairs), max(pairs)
                text = f"{mean:.2f}× {PEERS[peer]}'s"
                text += f" ({low:.2f}× {least} to {high:.2f}× {most})" if len(pairs) > 1 else ""
                found.append((head, text))
    return found
