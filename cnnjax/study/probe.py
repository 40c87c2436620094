"""Probe: one measurement of a net as a value, for studies that train nothing."""

import dataclasses
from typing import Any, ClassVar

from cnnjax.nets.net import Net
from cnnjax.study.job import Job
from cnnjax.study.tuning import Search, Trial
from cnnjax.train.speed import Speed
from cnnjax.values import value


@value
class Probe(Job):
    """What an instrument measures of a net on images of a shape.

    `instrument` is a value with `batch_size`, `seconds` (at most, about), `units` (of its measures
    by name), `parts`, `steps` (of training, in the time it takes), `check(devices)`,
    `readings(net, image_shape, devices, seed, stop)`, which yields so many `train.speed.Reading`s,
    and `told(measures)`, a few words. `place` are the devices in words: elsewhere it is another
    measurement.
    """

    net: Net
    image_shape: tuple[int, int, int]
    instrument: Any = Speed()
    place: str = ""
    seed: int = 0
    label: str = ""
    axes: tuple[tuple[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    role: ClassVar[str] = "probe"

    @property
    def name(self) -> str:
        return self.label

    @property
    def batch_size(self) -> int:
        return self.instrument.batch_size

    @property
    def heading(self) -> str:
        return f"{self.label} · again, {self.seed}" if self.seed else self.label

    def at(self, trial: Trial | None, seed: int, test: bool = True) -> "Probe":
        """The same measurement once more."""
        return dataclasses.replace(self, seed=seed)

    def trials(self, search: Search) -> tuple[Trial, ...]:
        return ()

    def check_devices(self, devices: Any) -> None:
        self.instrument.check(devices)

    def seconds(self, platform: str, parallel: int) -> float:
        from cnnjax.study.estimate import probe_seconds

        return probe_seconds(self, platform, parallel)

    def about(self) -> dict[str, Any]:
        return {"dataset": "", "data": {}}

    def carry_out(self, worker: Any, record: dict[str, Any]) -> None:
        """What was measured before a failure stays in the record."""
        units, parts = self.instrument.units, self.instrument.parts
        readings = self.instrument.readings(
            self.net, self.image_shape, worker.devices, self.seed, worker.stop
        )
        record |= {"measured": [], "notes": []}
        done = 0
        for done, reading in enumerate(readings, 1):
            for name, v in reading.measures.items():
                record["measures"][name] = {"value": v, "unit": units[name]}
            record["measured"] += reading.measures
            record["notes"] += [reading.remark] if reading.remark else []
            worker.progress(done, parts)
        record["status"] = "done" if done == parts else "stopped"

    def result(self, record: dict[str, Any]) -> str:
        measures = record["measures"]
        return self.instrument.told({n: measures[n]["value"] for n in record["measured"]})
