"""A base net, and where along each axis it costs a multiple of what it does.

An axis is a ladder of places in the order of their cost; `study.match` finds the place that meets
the multiple, or the two around it. Width, depth, filter size and resolution are solved for the
multiply-accumulates of a forward pass, the length of training for those of the whole training. Axes
that leave the multiply-accumulates alone are tried at the base's.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cnnjax import compute
from cnnjax.data import check
from cnnjax.errors import UserError, unknown
from cnnjax.nets import vary
from cnnjax.study import match
from cnnjax.study.setting import Setting
from cnnjax.train.cost import training_macs
from cnnjax.train.recipe import Recipe, make_recipe

TOLERANCE = 0.05  # The gain is told per doubling of what a net did cost, so this near will do.
EQUAL = "equal MACs"
LARGEST_KERNEL = 11
WIDEST = 16.0  # Factors on the channels, from one over this on.


@dataclasses.dataclass(frozen=True)
class Spot:
    """What is trained at a place: the base's, but for one axis."""

    net: Any
    dataset: Any
    recipe: Recipe

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(check(self.dataset).info.image_shape)


@dataclasses.dataclass(frozen=True)
class Base:
    """Where all axes start; `make(image_shape)` is the net for images of that shape."""

    setting: Setting
    make: Callable[[tuple[int, int, int]], Any]

    @functools.cached_property
    def spot(self) -> Spot:
        s = self.setting
        return Spot(self.make(s.image_shape), s.dataset, s.recipe)

    def run(self, spot: Spot, **more: Any) -> Any:
        """`Setting.run` of what stands at a spot."""
        return self.setting.run(spot.net, dataset=spot.dataset, recipe=spot.recipe, **more)


@dataclasses.dataclass(frozen=True)
class Axis:
    """`places(base, factor)` are those among which `factor` times the base's cost is sought,
    cheapest first; `told` is a place in words."""

    places: Callable[[Base, float], Sequence[Any]]
    build: Callable[[Base, Any], Spot]
    told: str
    trains: bool = False  # Whether the cost is the training's.

    def cost(self, spot: Spot) -> int:
        if self.trains:
            examples = check(spot.dataset).train
            return training_macs(spot.net, spot.recipe, spot.image_shape, examples)
        return compute.measure(spot.net, spot.image_shape)["macs"]


def series(
    base: Base, name: str, factors: Sequence[float], tolerance: float = TOLERANCE
) -> Iterator[Any]:
    """A point for each factor on the base's cost, along one axis; the base itself at 1, and where
    the axis has no place for a factor a point without a net that says so.

    Raises:
      UserError: no such axis.
    """
    if name not in AXES:
        raise unknown("axis", name, AXES)
    axis = AXES[name]
    for factor in factors:
        place = {"axis": name, "compute": float(factor)}
        if factor == 1:
            yield base.run(base.spot, **place)
            continue
        try:
            parts = solve(base, axis, factor, tolerance)
        except UserError as e:  # Infeasible, or places at which no net can be.
            yield base.setting.missing(f"{name}: {e}", **place)
            continue
        for part in parts:
            told = _told(axis, part, base)
            yield base.run(part.made, notes=[told], weight=part.weight, **place)


def solve(
    base: Base, axis: Axis, factor: float, tolerance: float = TOLERANCE
) -> tuple[match.Part, ...]:
    """The place at `factor` times the base's cost within `tolerance`, or the two around it.

    Raises:
      Infeasible: the axis does not reach so far.
      UserError: the axis moves nothing in this net, or the net can't stand where it was sought.
    """
    budget = factor * axis.cost(base.spot)
    build = functools.partial(axis.build, base)
    return match.along(build, axis.places(base, factor), axis.cost, budget, tolerance)


def equal(base: Base, tried: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
    """The base and what each axis of `vary` makes of it at the same multiply-accumulates, each
    named by its setting."""
    cost = compute.measure(base.spot.net, base.spot.image_shape)["macs"]
    place = {"axis": EQUAL, "compute": 1.0}
    if tried:
        yield base.run(base.spot, **place, setting="base")
    for axis, values in tried.items():
        for v in values:
            here = {**place, "setting": f"{axis} {v}"}
            try:
                net = vary.apply(base.spot.net, **{axis: v})
                ratio = compute.measure(net, base.spot.image_shape)["macs"] / cost
            except UserError as e:
                yield base.setting.missing(str(e), **here)
                continue
            if net == base.spot.net:
                continue
            if abs(ratio - 1) > match.TOLERANCE:
                yield base.setting.missing(f"costs {ratio:.2f}× the base's MACs", **here)
                continue
            yield base.run(dataclasses.replace(base.spot, net=net), **here)


def _told(axis: Axis, part: match.Part, base: Base) -> str:
    place = f"{part.place:.3g}" if isinstance(part.place, float) else str(part.place)
    what = "training MACs" if axis.trains else "MACs"
    told = f"{axis.told.format(place)}: {part.cost / axis.cost(base.spot):.2f}× the base's {what}"
    return told if part.weight == 1 else f"{told}, {part.weight:.0%} of the mean"


def _widths(base: Base, factor: float) -> list[float]:
    """Factors on the channels, one for each way in which they round."""
    return match.factors(vary.settings(base.spot.net, "width"), 1 / WIDEST, WIDEST)


def _depths(base: Base, factor: float) -> list[tuple[int, ...]]:
    """Blocks a stage, one block more at a time, in the proportion of the base's."""
    start = [stage.depth for stage in base.spot.net.stages]
    most = max(2, math.ceil(1.5 * factor))  # More than the factor, as stem and head stay.
    blocks = [(d / n, i) for i, n in enumerate(start) for d in range(2, most * n + 1)]
    now = [1] * len(start)
    places = [tuple(now)]
    for _, stage in sorted(blocks):
        now[stage] += 1
        places.append(tuple(now))
    return places


def _kernels(base: Base, factor: float) -> list[tuple[int, ...]]:
    """Filter sizes a stage, one stage larger at a time; none that reaches past its map whatever
    it stands on, as beyond that a filter has only padding to see."""
    sides = _sides(base.spot)
    now = [1] * len(sides)
    places = [tuple(now)]
    for size, stage in itertools.product(range(2, LARGEST_KERNEL + 1), range(len(sides))):
        if size <= 2 * sides[stage] - 1:
            now[stage] = size
            places.append(tuple(now))
    return places


def _sides(spot: Spot) -> list[int]:
    """The side of each stage's map, in pixels: the smallest that a layer of the stage puts out."""
    from cnnjax.compute.trace import trace

    rows = trace(spot.net, spot.image_shape).layers
    found = []
    for i in range(1, len(spot.net.stages) + 1):
        maps = [r.output for r in rows if r.path.startswith(f"stage{i}/") and len(r.output) == 3]
        found.append(min(side for height, width, _ in maps for side in (height, width)))
    return found


def _resolutions(base: Base, factor: float) -> list[int]:
    """Image sides near the one whose area is `factor` times the base's."""
    side = max(base.setting.image_shape[:2]) * math.sqrt(factor)
    return list(range(max(1, math.floor(side / 1.2)), math.ceil(side * 1.2) + 1))


def _resized(base: Base, side: int) -> Spot:
    dataset = dataclasses.replace(base.spot.dataset, resolution=side)
    shape = (side, side, base.setting.image_shape[2])
    return dataclasses.replace(base.spot, net=base.make(shape), dataset=dataset)


def _lengths(base: Base, factor: float) -> list[int]:
    return list(range(1, math.ceil(2 * factor * base.spot.recipe.epochs) + 1))


def _trained(base: Base, epochs: int) -> Spot:
    return dataclasses.replace(base.spot, recipe=make_recipe(base.spot.recipe, epochs=epochs))


def _varied(axis: str) -> Callable[[Base, Any], Spot]:
    """Sets an axis of `vary`."""

    def build(base: Base, place: Any) -> Spot:
        net = vary.apply(base.spot.net, **{axis: place})
        return dataclasses.replace(base.spot, net=net)

    return build


AXES = {
    "width": Axis(_widths, _varied("width"), "channels times {}"),
    "depth": Axis(_depths, _varied("depth"), "blocks a stage {}"),
    "kernel": Axis(_kernels, _varied("kernel"), "filter sizes a stage {}"),
    "resolution": Axis(_resolutions, _resized, "images of {} pixels"),
    "length": Axis(_lengths, _trained, "{} epochs", trains=True),
}
