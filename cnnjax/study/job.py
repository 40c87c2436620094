"""Job: one thing that a study plans and a worker carries out, as a value."""

import dataclasses
import functools
from typing import Any, ClassVar, Self

from cnnjax import values
from cnnjax.nets.net import Net
from cnnjax.study.tuning import Search, Trial


class Job:
    """A training (`Run`) or a measurement (`Probe`); another kind is another subclass.

    A subclass is a frozen value (`@value`). `label`, `axes` and `notes` place it in a study and are
    no part of its key, nor is what else `placing` names. What is only annotated here is a field or
    a property of the subclass, and what raises NotImplementedError is a method of its own.
    """

    net: Net
    seed: int
    label: str
    axes: tuple[tuple[str, Any], ...]
    notes: tuple[str, ...]
    role: str  # One of `study.records.ROLES`.
    image_shape: tuple[int, int, int]  # (H, W, C) of what the net sees.
    batch_size: int  # Images at a time, over all devices.
    heading: str  # The job in a few words, for progress lines.
    weight: float = 1.0  # Its point's share in the mean of those that stand at the same place.
    seeds: int | None = None  # How many replicates its point takes, where the study does not say.
    placing: ClassVar[tuple[str, ...]] = ("label", "axes", "notes")

    @functools.cached_property
    def bare(self) -> Self:
        """Without what only places it in a study."""
        defaults = {f.name: f.default for f in dataclasses.fields(self) if f.name in self.placing}
        return dataclasses.replace(self, **defaults)

    @functools.cached_property
    def key(self) -> str:
        """Equal for equal jobs, whatever study asks for them."""
        return values.key(self.bare)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Jobs that are equal in this share what is compiled, for the most part."""
        return self.net, self.image_shape

    @property
    def name(self) -> str:
        """The job's place in the study in a few words."""
        axes = " · ".join(f"{k.replace('_', ' ')} {v}" for k, v in self.axes)
        return f"{self.label} · {axes}" if axes else self.label

    def config(self) -> dict[str, Any]:
        """The fully resolved configuration as JSON data."""
        config = values.to_json(self.bare)
        return {k: v for k, v in config.items() if k not in self.placing}

    def at(self, trial: Trial | None, seed: int, test: bool = True) -> Self:
        """The same job with a trial's values, None where nothing is trained, and a seed."""
        raise NotImplementedError

    def trials(self, search: Search) -> tuple[Trial, ...]:
        """What of the search is to be tried; nothing where nothing is trained."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse what can't be done, before anything is.

        Raises:
          UserError: naming the layer, the field or the file.
        """
        from cnnjax import compute

        compute.measure(self.net, self.image_shape)

    def check_devices(self, devices: Any) -> None:
        """Refuse devices that can't share the work.

        Raises:
          UserError: saying what fits.
        """
        raise NotImplementedError

    def seconds(self, platform: str, parallel: int) -> float:
        """A prediction of how long it takes on `parallel` cores or devices, without compiling."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """What its record says of its data: `dataset` and `data`."""
        raise NotImplementedError

    def carry_out(self, worker: Any, record: dict[str, Any]) -> None:
        """Do it, and write what comes of it into the record, `status` last."""
        raise NotImplementedError

    def result(self, record: dict[str, Any]) -> str:
        """What came of it in a few words; the record's status is `done`."""
        raise NotImplementedError
