"""What a training step takes on this machine, measured once a study.

Times decide which nets a study has and how long they train, so they must be the same when it goes
on: what was measured is kept in the study's folder, `measured.json`, and read from there.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.errors import UserError
from cnnjax.study import environment, files, locks
from cnnjax.study.probe import Probe
from cnnjax.study.results import is_ours
from cnnjax.study.run import Run
from cnnjax.train import resolution, tune
from cnnjax.train.devices import local
from cnnjax.train.recipe import LinearProbe
from cnnjax.train.speed import Speed, step_seconds

FORMAT = 1


class Timing(NamedTuple):
    """Seconds of a step, and how far repeats of the measurement lay apart, quartile to quartile, as
    a ratio of them."""

    seconds: float
    spread: float


@dataclasses.dataclass(frozen=True)
class Measured:
    """Times steps on the devices, as `train.devices.local` takes them; kept in the results folder,
    where one is given. `elsewhere`: who trains, where it is not this process."""

    folder: Path | None = None
    machine: tuple[Any, ...] = ()
    elsewhere: str = ""
    _known: dict[str, Timing] = dataclasses.field(default_factory=dict, compare=False)

    def step(self, run: Run) -> Timing:
        """Of the run's training.

        Raises:
          UserError: the training isn't done here, its steps differ, it does not fit into memory, or
            the file is damaged.
        """
        if self.elsewhere:
            raise UserError(
                f"--executor={self.elsewhere} trains elsewhere, and --match=latency and "
                "--train_seconds time the steps here: leave one of the two out"
            )
        self._check(run)
        devices = local(*self.machine)
        instrument = Speed.of(run.recipe, 10.0)
        instrument.check(devices)
        place = environment.place(devices)
        key = Probe(run.net, run.image_shape, instrument, place).key
        if key not in self._known:
            self._known.update(self._read())
        if key not in self._known:
            try:
                times = step_seconds(run.net, instrument, run.image_shape, devices)
            except MemoryError as e:
                raise UserError(f"{run.name}: a step can't be timed: out of memory ({e})") from None
            low, found, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
            timing = Timing(found, (high - low) / found)
            self._known[key] = self._keep(key, timing, run, place)
        return self._known[key]

    def _check(self, run: Run) -> None:
        recipe = run.recipe
        sizes = len(resolution.stages(recipe, 1_000_000))
        if sizes > 1 or tune.parts(run.net, recipe) or isinstance(recipe.fine_tune, LinearProbe):
            raise UserError(
                f"{run.name}: its steps differ in time, as parts of the net or of the images are "
                "left out; --match=latency and --train_seconds time a step of everything: use "
                "train_macs instead"
            )

    def _read(self) -> dict[str, Timing]:
        path = self.folder and self.folder / "measured.json"
        if path is None or not path.exists():
            return {}
        try:
            steps = files.read_json(path)["steps"]
            found = {k: Timing(float(v["seconds"]), float(v["spread"])) for k, v in steps.items()}
            if not all(t.seconds > 0 and t.spread >= 0 for t in found.values()):
                raise ValueError("a time below 0")
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(
                f"{path} can't be read ({files.short(e)}): delete it, and the steps are timed again"
            ) from None
        return found

    def _keep(self, key: str, timing: Timing, run: Run, place: str) -> Timing:
        """What stands in the file from now on: another launch's, where it was first."""
        if self.folder is None:
            return timing
        known = self.folder / "study.json"
        if not known.exists() and self.folder.exists() and not is_ours(self.folder):
            raise UserError(
                f"{self.folder} is not a results folder and is left as it is: "
                "choose another with --results=DIR"
            )
        with files.telling(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "measured.json"
        with locks.waited(self.folder / "lock"):
            if there := self._read().get(key):
                return there
            steps = files.read_json(path)["steps"] if path.exists() else {}
            about = {"image_shape": run.image_shape, "batch_size": run.batch_size, "place": place}
            steps[key] = {**timing._asdict(), "net": run.label, **about}
            files.write_json(path, {"format": FORMAT, "steps": steps})
        return timing
