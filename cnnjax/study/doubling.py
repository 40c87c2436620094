"""One base training at several times its compute, along each axis that costs any.

An axis is a ladder: places in the order of what they cost, and what stands at each. The place that
meets a budget is found on it, or the two around it (`study.match`). Width and length move in small
steps; depth and kernel size climb a stage at a time, in the proportions that the stages have, so
that the two around a budget are near each other.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.net import Net
from cnnjax.study import match

KERNELS = 15  # Pixels; no map here is as large.
SIDES = (8, 256)  # Pixels of the resized images.
WIDTHS = tuple(2.0 ** (i / 100) for i in range(-600, 601))  # Factors.
DEEPEST = 64  # Times the base's blocks.


@dataclasses.dataclass(frozen=True)
class Base:
    """The training at once its compute: `net(shape)` is the net for images of a shape."""

    setting: Any
    net: Callable[[tuple[int, int, int]], Net]

    @property
    def here(self) -> Net:
        return self.net(self.setting.image_shape)


@dataclasses.dataclass(frozen=True)
class Ladder:
    """`build(place)` makes what `setting.run` takes: a net, and a dataset or recipe of its own."""

    places: Sequence[Any]
    build: Callable[[Any], dict[str, Any]]
    cost: Callable[[dict[str, Any]], float]  # In MACs.
    told: Callable[[Any], str]


def width(base: Base) -> Ladder:
    """A factor on all channels; forward MACs grow with its square."""
    return _nets(base, WIDTHS, vary.width, lambda factor: f"width × {factor:.3g}")


def depth(base: Base) -> Ladder:
    """Blocks in each stage."""
    blocks = tuple(stage.depth for stage in base.here.stages)
    places = list(_climb(blocks, DEEPEST * max(blocks)))
    return _nets(base, places, vary.depth, lambda place: f"blocks {_each(place)}")


def kernel(base: Base) -> Ladder:
    """Filter size in each stage."""
    places = list(_climb((1,) * len(base.here.stages), KERNELS))
    return _nets(base, places, vary.kernel, lambda place: f"filters {_each(place)}")


def resolution(base: Base) -> Ladder:
    """The side in pixels to which images are resized; forward MACs grow with its square."""
    setting = base.setting
    channels = setting.image_shape[2]

    def build(side: int) -> dict[str, Any]:
        dataset = dataclasses.replace(setting.dataset, resolution=side)
        return {"net": base.net((side, side, channels)), "dataset": dataset}

    def cost(made: dict[str, Any]) -> float:
        side = made["dataset"].resolution
        return setting.macs(made["net"], (side, side, channels))

    low = next((s for s in range(*SIDES) if _fits(cost, build, s)), SIDES[0])
    return Ladder(range(low, SIDES[1]), build, cost, lambda side: f"images {side}×{side}")


def length(base: Base) -> Ladder:
    """Epochs, at the same net; training MACs grow with them."""
    setting, net = base.setting, base.here
    epochs, macs = setting.recipe.epochs, setting.macs(net)

    def build(n: int) -> dict[str, Any]:
        return {"net": net, "recipe": dataclasses.replace(setting.recipe, epochs=n)}

    def cost(made: dict[str, Any]) -> float:  # As if it were the images that grew in number.
        return macs * made["recipe"].epochs / epochs

    return Ladder(range(1, 64 * epochs), build, cost, lambda n: f"{n} epochs")


AXES = {f.__name__: f for f in (width, depth, kernel, resolution, length)}
# What leaves MACs alone: an axis of the net and the setting that stands beside the base's.
EQUAL = {
    "dilation": ("dilation", 2),
    "gelu": ("activation", "gelu"),
    "tanh": ("activation", "tanh"),
    "average": ("pooling", "avg"),
    "group_norm": ("norm", "group"),
    "no_norm": ("norm", "none"),
}


def points(
    base: Base, axes: Sequence[str], factors: Sequence[float], equal: Sequence[str]
) -> Iterator[Any]:
    """The base, then each axis at each factor of its compute, the base standing in each at 1, then
    what leaves its compute alone."""
    setting, net = base.setting, base.here
    macs = setting.macs(net)
    yield setting.run(net, axis="base", compute=1.0)
    for name in axes:
        ladder = AXES[name](base)
        for factor in factors:
            place = {"axis": name, "compute": float(factor)}
            if factor == 1:
                yield setting.run(net, **place)
                continue
            try:
                parts = match.along(ladder.build, ladder.places, ladder.cost, factor * macs)
            except match.Infeasible as e:
                told, ratio = ladder.told(e.nearest.place), e.nearest.cost / macs
                yield setting.missing(f"the nearest is {told}, {ratio:.3g}× the compute", **place)
                continue
            for part in parts:
                yield setting.run(
                    **part.made, weight=part.weight, notes=[_note(ladder, part, macs)], **place
                )
    for name in equal:
        axis, to = EQUAL[name]
        other = vary.apply(net, **{axis: to})
        if other == net:
            raise UserError(f"equal: the base has {name.replace('_', ' ')} already: leave it out")
        cost = setting.macs(other)
        notes = [] if cost == macs else [f"{cost / macs:.3g}× the base's MACs"]
        yield setting.run(other, notes=notes, axis=name.replace("_", " "), compute=1.0)


def _note(ladder: Ladder, part: match.Part, macs: float) -> str:
    share = "" if part.weight == 1 else f", weighs {part.weight:.2f} in the mean with its neighbour"
    return f"{ladder.told(part.place)}: {part.cost / macs:.3g}× the base's compute{share}"


def _nets(
    base: Base, places: Sequence[Any], axis: Callable[[Net, Any], Net], told: Callable[[Any], str]
) -> Ladder:
    def build(place: Any) -> dict[str, Any]:
        return {"net": axis(base.here, place)}

    return Ladder(places, build, lambda made: base.setting.macs(made["net"]), told)


def _climb(lowest: tuple[int, ...], highest: int) -> Iterator[tuple[int, ...]]:
    """Tuples from ones to `highest`, each a step of one stage beyond the last, as near as whole
    numbers can be to the proportions of `lowest`; of stages that are as far behind, the last."""
    now = (1,) * len(lowest)
    yield now
    while max(now) < highest:
        behind = [(n / p, -i) for i, (n, p) in enumerate(zip(now, lowest, strict=True))]
        step = -min(behind)[1]
        now = tuple(n + (i == step) for i, n in enumerate(now))
        yield now


def _each(place: tuple[int, ...]) -> str:
    return str(place[0]) if len(set(place)) == 1 else ", ".join(map(str, place))


def _fits(cost: Callable, build: Callable, place: Any) -> bool:
    try:
        cost(build(place))
    except UserError:
        return False
    return True
