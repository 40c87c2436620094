"""Nets drawn from a design space, under constraints on what they cost.

A space is compared by the distribution of its nets' errors, not by one net of it (Radosavovic,
Johnson, Xie, Lo & Dollár 2019, "On network design spaces for visual recognition", §3). So nets are
drawn alike from all that the ranges allow, those outside the constraints are drawn again, and a net
that two settings come to is one net.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnnjax.errors import UserError
from cnnjax.study.ranges import Bounds, Space

DRAWS = 1000  # At least so many, and `EACH` a net, before a space is given up.
EACH = 20


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The `number`-th net of a sample, from 1, with the settings that were drawn."""

    number: int
    net: Any
    settings: tuple[tuple[str, Any], ...]

    @property
    def told(self) -> dict[str, str]:
        """The settings as text, stages with `-` between: `{"kernel": "1-3-7"}`."""
        return {name: "-".join(map(_text, v)) if isinstance(v, tuple) else _text(v)
                for name, v in self.settings}  # fmt: skip


def sample(
    space: Space,
    base: Any,
    count: int,
    seed: int,
    image_shape: Sequence[int],
    constraints: Sequence[Bounds] = (),
) -> Iterator[Drawn]:
    """`count` distinct nets of the space on images of (H, W, C) that meet the constraints.

    Each draw has its own random numbers, from the seed, the space's name and the draw's number: a
    larger sample begins with a smaller one, and samples of two spaces are independent.

    Raises:
      UserError: a range that the base net does not take, or too few nets that fit.
    """
    check(space, base)
    digest = hashlib.sha256(space.name.encode()).digest()[:8]
    entropy = (seed, int.from_bytes(digest, "big"))
    draws = max(DRAWS, EACH * count)
    seen, found, unfit = set(), 0, 0
    for number in range(draws):
        if found == count:
            return
        rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(number,)))
        settings = draw(space, rng, len(base.stages))
        try:
            net = _apply(base, settings)
            if net in seen:
                continue
            seen.add(net)
            held = _holds(net, image_shape, constraints)
        except UserError:  # The ranges are sound: these values together don't fit.
            unfit += 1
            continue
        if held:
            found += 1
            yield Drawn(found, net, settings)
    if found < count:
        raise UserError(_too_few(space, found, draws, unfit, count, constraints))


def draw(space: Space, rng: np.random.Generator, stages: int) -> tuple[tuple[str, Any], ...]:
    """A value for each axis, or a tuple of one a stage."""
    return tuple(
        (a.name, tuple(a.range.draw(rng) for _ in range(stages)) if a.per_stage
         else a.range.draw(rng))
        for a in space.axes
    )  # fmt: skip


def check(space: Space, base: Any) -> None:
    """Refuse a range that the net has no use for.

    Raises:
      UserError: naming the space, the axis and the value.
    """
    for axis in space.axes:
        for v in axis.range.extremes:
            try:
                _apply(base, ((axis.name, (v,) * len(base.stages) if axis.per_stage else v),))
            except UserError as e:
                raise UserError(f"the space {space.name!r}: {e}") from None


def _apply(base: Any, settings: Sequence[tuple[str, Any]]) -> Any:
    from cnnjax.nets import vary

    return vary.apply(base, **dict(settings))


def _holds(net: Any, image_shape: Sequence[int], constraints: Sequence[Bounds]) -> bool:
    from cnnjax.compute import measures
    from cnnjax.compute.trace import trace

    traced = trace(net, image_shape)
    known = measures()
    return all(b.hold(known[b.measure].total(traced)) for b in constraints)


def _too_few(
    space: Space, found: int, draws: int, unfit: int, count: int, constraints: Sequence[Bounds]
) -> str:
    nets = {0: "no net", 1: "only 1 net"}.get(found, f"only {found} distinct nets")
    asked = " and ".join(f"--{b.measure}={b.text}" for b in constraints)
    meet = f" {'meets' if found < 2 else 'meet'} {asked}" if asked else ""
    off = f" ({unfit:,} don't fit the images)" if unfit else ""
    fewer = f", or ask for fewer with --count={found}" if found else ""
    return (
        f"the space {space.name!r}: {nets} of {draws:,} draws{meet}{off}, and --count={count} are "
        f"wanted: widen the ranges{fewer}"
    )


def _text(v: Any) -> str:
    return f"{v:g}" if isinstance(v, float) else str(v)
