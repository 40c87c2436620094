"""What the common flags say to an experiment's `runs`, and how its points are made."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from cnnjax.train.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the common flags say, for an experiment's `runs`."""

    net_name: str
    dataset: Any
    recipe: Recipe
    image_shape: tuple[int, int, int]
    classes: int
    machine: tuple[Any, ...] = ()  # As `train.devices.local` takes it.
    given: frozenset[str] = frozenset()  # The flags that were set on the command line.
    matching: Any = None  # What --match says: `study.budget.Matching`.
    pretrained: Any = None  # Weights to start from: `study.pretraining.Pretraining`.
    padding: str | None = None  # Of every net, in place of its own.

    def net(self, name: str | None = None, input_shape: Any = None, **axes: Any) -> Any:
        """The net of `--net` (or another) for the dataset's images and classes, padded as
        `--padding` says."""
        from cnnjax import nets

        shape = input_shape or self.image_shape
        axes = ({"padding": self.padding} if self.padding else {}) | axes
        return nets.get(name or self.net_name, self.classes, shape, **axes)

    def run(
        self,
        net: Any,
        *,
        label: str | None = None,
        dataset: Any = None,
        recipe: Recipe | None = None,
        notes: Iterable[str] = (),
        scratch: bool = False,
        rates: Iterable[float] = (),
        weight: float = 1.0,
        seeds: int | None = None,
        shifts: Iterable[int] = (),
        **axes: Any,
    ) -> Any:
        """A `Run` of `net` that stands at `axes` in the study.

        It starts from the weights of `--pretrained`, unless from `scratch`; `rates` are the
        learning rates to try where the command line names none for all. Two runs at one place
        whose weights add up to 1 are one point: the mean of the two by those weights. `seeds` are
        its replicates where the command line does not say; `shifts` are in pixels, of test images.
        """
        from cnnjax.data import check
        from cnnjax.study import pretraining
        from cnnjax.study.run import Run

        if net.adapted:
            notes = (*notes, f"adapted: {net.adapted}")
        if self.padding:
            notes = (*notes, f"convolutions padded by --padding={self.padding}")
        asked = self.given & {"learning_rate", "learning_rates"}
        start = None if scratch else self.pretrained
        if start:
            shape = tuple(check(dataset or self.dataset).info.image_shape)
            notes = (*notes, start.told, *pretraining.check(start, net, shape))
        recipe = recipe or self.recipe
        if recipe.base_batch_size:
            by = f"batches of {recipe.batch_size}, rates for {recipe.base_batch_size}"
            notes = (*notes, f"learning rates are taken × {recipe.rate_factor:g} ({by})")
        return Run(
            net=net,
            dataset=dataset or self.dataset,
            recipe=recipe,
            label=label or self.net_name,
            axes=tuple(axes.items()),
            notes=tuple(dict.fromkeys(notes)),  # The weights' notes say "adapted" too.
            pretrained=start,
            grid=() if asked else tuple(rates),
            weight=weight,
            seeds=seeds,
            shifts=tuple(shifts),
        )

    def missing(self, reason: str, *, label: str | None = None, **axes: Any) -> Any:
        """In a run's stead, where no net can stand at `axes`."""
        from cnnjax.study.plan import Missing

        return Missing(label or self.net_name, tuple(axes.items()), reason)

    def probe(
        self,
        net: Any,
        instrument: Any,
        /,
        *,
        label: str,
        image_shape: Any = None,
        notes: Iterable[str] = (),
        **axes: Any,
    ) -> Any:
        """A `Probe`: what `instrument` measures of `net`, by default on the dataset's images."""
        from cnnjax.study import environment
        from cnnjax.study.probe import Probe
        from cnnjax.train.devices import local

        return Probe(
            net=net,
            image_shape=tuple(image_shape or self.image_shape),
            instrument=instrument,
            place=environment.place(local(*self.machine)),
            label=label,
            axes=tuple(axes.items()),
            notes=(*notes, *([f"adapted: {net.adapted}"] if net.adapted else [])),
        )

    def measure(self, net: Any, image_shape: Any = None) -> dict[str, Any]:
        """The costs of a net on the dataset's images, or on those of another shape."""
        from cnnjax import compute

        return compute.measure(net, tuple(image_shape or self.image_shape))

    def macs(self, net: Any, image_shape: Any = None) -> int:
        """Multiply-accumulates of one image's forward pass."""
        return self.measure(net, image_shape)["macs"]

    def layers(self, net: Any) -> int:
        """Depth: the layers with weights on the way from input to output, shortcuts left out."""
        from cnnjax.compute.trace import trace

        rows = trace(net, self.image_shape).layers
        return sum(x.kind in ("conv", "dense") and "shortcut" not in x.path for x in rows)

    def equal(self, net: Any = None, macs: float | None = None) -> Any:
        """For a series of a study's own at equal cost: its `name`, and `runs(run)`, the run with
        the width that meets the budget (`study.budget.Matching`).

        The cost is what --match says, else MACs at the nearest width; the budget that of --budget,
        else what `net` costs, or `macs`. The experiment says `EQUAL = True`, so that its other
        points stay as they are.
        """
        from cnnjax.study import budget

        return budget.own(self, net, macs)
