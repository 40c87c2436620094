"""`--compile_for=TARGET`: what a study's training steps would need on devices that are not here."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from cnnjax.cli.plan import aligned
from cnnjax.errors import UserError
from cnnjax.report.words import si

HEAD = ["net", "a step of", "on", "MACs a device", "weights, moments, batch", "the rest", "memory",
        "sent a step"]  # fmt: skip


def run_ahead(
    name: str, points: Sequence[Any], mode: str, scan: bool | None, remat: bool = False
) -> int:
    """Compile each net's training step for the target and print what it needs."""
    from cnnjax.train import ahead

    devices = ahead.target(name, mode, scan, remat)
    rows = [HEAD]
    if not points[0].trains:
        raise UserError("--compile_for is for trainings, and this study measures")
    for run in _distinct(points):
        run.check_devices(devices)
        print(f"compiling {run.name} …", file=sys.stderr, flush=True)
        rows.append(_row(run, devices, ahead))
    print(aligned(rows))
    print(_footnote(devices))
    return 0


def _distinct(points: Sequence[Any]) -> Iterator[Any]:
    """One run of each net, data shape and recipe, whatever the rate."""
    seen = set()
    for point in points:
        run = point.run
        shape = (*run.shape, dataclasses.replace(run.recipe, learning_rate=0.0))
        if shape not in seen:
            seen.add(shape)
            yield run


def _row(run: Any, devices: Any, ahead: Any) -> list[str]:
    from cnnjax.data import check
    from cnnjax.train.cost import training_macs
    from cnnjax.train.peaks import peak
    from cnnjax.train.step import Task

    recipe, examples = run.recipe, check(run.dataset).train
    task = Task.on_any_images(run.net, recipe, run.image_shape, recipe.steps(examples))
    needs = ahead.needs(task, devices)
    macs = training_macs(run.net, recipe, run.image_shape, examples, 1)
    there = peak(devices.kind)
    share = f" ({needs.memory / there.memory:.0%})" if there and needs.memory else ""
    sent = [
        f"{tally.count} × {kind}, {si(tally.bytes)}B" for kind, tally in needs.collectives.items()
    ]
    return [
        run.name,
        f"{recipe.batch_size} images",
        f"{devices.count} × {devices.kind}",
        si(macs / devices.count),
        _bytes(needs.held),
        _bytes(None if needs.memory is None else needs.temporary + needs.code),
        f"{_bytes(needs.memory)}{share}",
        "; ".join(sent) or ("nothing" if needs.memory else "?"),
    ]


def _bytes(n: int | None) -> str:
    return "?" if n is None else f"{si(n)}B"


def _footnote(devices: Any) -> str:
    if devices.target:
        return (
            f"lowered for {devices.target}, as a machine without one can: memory and code are "
            "known where XLA compiles, on the device itself"
        )
    return (
        "compiled by XLA for one step, nothing run: bytes of one device's memory; what is sent are "
        "the results of collectives on each device"
    )
