"""How long a whole study takes: here by its command, elsewhere by a loop written by hand."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cnnjax import values
from cnnjax.errors import UserError
from cnnjax.peers import check_alone
from cnnjax.peers.study import Sweep
from cnnjax.train.clock import spread
from cnnjax.train.devices import Devices
from cnnjax.train.speed import UNITS, Reading
from cnnjax.values import value

PEERS = ("cnnjax", "flax", "torch")
LAST = 300  # Characters of what a process that broke said last.


@value
class WholeStudy:
    """An instrument for `study.probe.Probe`: seconds from the command to the last accuracy, by each
    of `peers` one after another and by the first once more after them, since the machine's pace may
    change meanwhile; each in a process of its own whose cache is empty but for the dataset.
    `command` is this project's own for the study, to which where its results go is added; what it
    makes beside accuracies (records, checkpoints, the dashboard) is in its time.
    """

    sweep: Sweep
    command: tuple[str, ...]
    peers: tuple[str, ...] = PEERS

    parts: ClassVar[int] = 1
    seconds: ClassVar[float] = 900.0
    units: ClassVar[dict[str, str]] = {
        f"{peer}_study_{name}": unit for peer in PEERS for name, unit in UNITS.items()
    }

    @property
    def batch_size(self) -> int:
        return self.sweep.batch_size

    @property
    def steps(self) -> int:
        """Of all its trainings."""
        one = self.sweep.epochs * (self.sweep.dataset.train_examples // self.batch_size)
        return len(self._turns()) * len(self.sweep.nets) * self.sweep.seeds * one

    def check(self, devices: Devices) -> None:
        """As `check_alone`."""
        check_alone(devices)

    def readings(
        self,
        net: Any,
        image_shape: tuple[int, int, int],
        devices: Devices,
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Reading]:
        """One, unless `stop` says so before.

        Raises:
          UserError: a study broke, with what it said last.
        """
        seconds: dict[str, list[float]] = {peer: [] for peer in self.peers}
        means = {}
        for peer in self._turns():
            if stop():
                return
            with tempfile.TemporaryDirectory() as folder:
                taken, accuracies = self._timed(peer, Path(folder))
            seconds[peer].append(taken)
            means[peer] = 100 * np.mean(accuracies)
        found = {
            f"{peer}_study_{name}": float(of)
            for peer, times in seconds.items()
            for name, of in spread(times).items()
        }
        told = [f"{peer} {mean:.1f}%" for peer, mean in means.items()]
        yield Reading(found, f"mean test accuracies: {', '.join(told)}")

    def told(self, measures: Mapping[str, float]) -> str:
        """Their times in a few words."""
        return ", ".join(
            f"{peer} {measures[f'{peer}_study_ms'] / 1e3:.0f} s" for peer in self.peers
        )

    def _turns(self) -> tuple[str, ...]:
        return self.peers + self.peers[:1] if len(self.peers) > 1 else self.peers

    def _timed(self, peer: str, folder: Path) -> tuple[float, list[float]]:
        """Seconds, and the test accuracies."""
        file = folder / "sweep.json"
        file.write_text(json.dumps(values.to_json(self.sweep)))
        there = os.environ | {"CNNJAX_CACHE": str(folder / "cache")}
        there["PYTHONPATH"] = str(Path(__file__).parents[2])
        by_hand = [sys.executable, "-m", "cnnjax.peers.study"]
        _told([*by_hand, "data", str(file)], there)
        if peer != "cnnjax":
            begun = time.perf_counter()
            said = _told([*by_hand, peer, str(file)], there)
            return time.perf_counter() - begun, json.loads(said.splitlines()[-1])
        begun = time.perf_counter()
        _told([sys.executable, *self.command, f"--results={folder / 'results'}"], there)
        taken = time.perf_counter() - begun
        found: dict[str, list[float]] = {}  # By net: what is alike is trained once.
        for path in folder.glob("results/*/runs/*/record.json"):
            record = json.loads(path.read_text())
            if record["status"] == "done":
                net = json.dumps(record["config"]["net"])
                found.setdefault(net, []).append(record["metrics"]["test_accuracy"])
        nets = (json.dumps(values.to_json(net)) for net in self.sweep.nets)
        return taken, [accuracy for net in nets for accuracy in found.get(net, ())]


def _told(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command[1:4])} broke: {done.stderr.strip()[-LAST:]}")
    return done.stdout
