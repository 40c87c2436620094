"""Equal budgets: how a study's runs come to cost what --match and --budget say.

While the study moves its axis, the net's width, or else its depth, is solved so that each point
costs the same. Which of the two the study moves itself is read off its nets, and left alone.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from cnnjax import compute
from cnnjax.data import check
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.net import Net
from cnnjax.study import match
from cnnjax.study.figures import si
from cnnjax.study.match import Part
from cnnjax.study.measured import Measured
from cnnjax.study.plan import Missing
from cnnjax.study.run import Run
from cnnjax.train.cost import training_macs

AXES = ("width", "depth")  # What is solved: the first that can.
TIMES = 0.05  # As a ratio: times nearer than this are hardly told apart.
UNITS = {
    "macs": "MACs",
    "params": "parameters",
    "activations": "activations",
    "train_macs": "training MACs",
}


@dataclasses.dataclass(frozen=True)
class Matching:
    """Nets are to cost `budget` in a `measure`, within the tolerance; `measured` has the times that
    are its `latency`. `like` is whose cost the budget is, where it is that of --net."""

    measure: str
    budget: float
    measured: Measured = dataclasses.field(default_factory=Measured)
    tolerance: float = match.TOLERANCE
    like: str = ""

    @property
    def name(self) -> str:
        """What a series of such nets is called."""
        return f"equal {UNITS.get(self.measure, self.measure)}"

    @property
    def told(self) -> str:
        return _amount(self.measure, self.budget) + (f" of {self.like}" if self.like else "")

    def of(self, run: Run, like: str = "") -> "Matching":
        """With what the run's net costs as the budget."""
        return dataclasses.replace(self, budget=self.cost(run), like=like)

    def cost(self, run: Run) -> float:
        """What the run's net costs on its images; `train_macs` are those of its whole training,
        `latency` is a training step's, in seconds."""
        if self.measure == "latency":
            return self.measured.step(run).seconds
        if self.measure == "train_macs":
            examples = check(run.dataset).train
            return training_macs(run.net, run.recipe, run.image_shape, examples)
        return compute.total(run.net, run.image_shape, self.measure)

    def runs(self, run: Run, axes: Sequence[str] = ("width",)) -> list[Run | Missing]:
        """The run with a net that meets the budget, or with two that bracket it, or the place at
        which there is none; of the axes the first that can is moved.

        Raises:
          UserError: the net starts from weights, so that it must stay as it is.
        """
        cost = self.cost(run)
        if cost == self.budget:
            return [self._with(run, Part(1.0, run.net, cost), f"{self.told} as it is")]
        if run.pretrained:
            raise UserError(
                f"{run.name} starts from weights, which fit no other width or depth: leave out "
                "--match or --pretrained"
            )
        nearest: dict[str, Part] = {}
        for axis in axes:
            if vary.settings(run.net, axis):
                try:
                    parts = self._solved(run, axis)
                except match.Infeasible as e:
                    nearest[axis] = e.nearest
                else:
                    return [self._with(run, part, self._note(run, axis, part)) for part in parts]
        return [Missing(run.label, run.axes, self._reason(nearest))]

    def _solved(self, run: Run, axis: str) -> tuple[Part, ...]:
        def at(net: Any) -> Run:
            return dataclasses.replace(run, net=net)

        solve = {"width": match.width, "depth": match.depth}[axis]
        if self.measure != "latency":
            return solve(run.net, lambda net: self.cost(at(net)), self.budget, self.tolerance)
        # Times are noisy and dear: the first that is near enough does.
        refused = None
        try:
            parts = solve(run.net, lambda net: self.cost(at(net)), self.budget, TIMES, soon=True)
        except match.Infeasible as e:
            parts, refused = (e.nearest,), e
        near = min(parts, key=self._distance)
        spread = self.measured.step(at(near.made)).spread
        if abs(near.cost / self.budget - 1) <= max(TIMES, 2 * spread):
            return (dataclasses.replace(near, weight=1.0),)
        if refused:
            raise refused
        return parts

    def _with(self, run: Run, part: Part, note: str) -> Run:
        notes = (*run.notes, note)
        return dataclasses.replace(run, net=part.made, weight=part.weight, notes=notes)

    def _note(self, run: Run, axis: str, part: Part) -> str:
        off = self._off(part)
        if self.measure == "latency":
            spread = self.measured.step(dataclasses.replace(run, net=part.made)).spread
            off += f", measured to {spread:.0%}"
        share = "" if part.weight == 1 else f"; {part.weight:.0%} of its point"
        return f"{axis} × {part.place:.3g} to match {self.told} ({off}{share})"

    def _reason(self, nearest: dict[str, Part]) -> str:
        if not nearest:
            return f"this net has nothing to match {self.told} with: no width and no depth to solve"
        axis = min(nearest, key=lambda axis: self._distance(nearest[axis]))
        by = f" by {axis}" if len(nearest) > 1 else ""
        part = nearest[axis]
        return (
            f"no {' or '.join(nearest)} costs {self.told}: the nearest{by} costs "
            f"{_amount(self.measure, part.cost)} ({self._off(part)})"
        )

    def _distance(self, part: Part) -> float:
        return abs(math.log(part.cost / self.budget))

    def _off(self, part: Part) -> str:
        off = part.cost / self.budget - 1
        return (f"{off:+.0%}" if abs(off) >= 0.1 else f"{off:+.1%}").replace("-", "−")


def _amount(measure: str, v: float) -> str:
    return f"{1e3 * v:.3g} ms a step" if measure == "latency" else f"{si(v)} {UNITS[measure]}"


def matching(values: Any, setting: Any, measured: Measured) -> Matching | None:
    """What --match and --budget say; without a budget it is what the net of --net costs.

    Raises:
      UserError: flags that exclude each other.
    """
    if values.match is None:
        if values.budget is not None:
            raise UserError("--budget says how much: say of what, such as --match=macs")
        return None
    if values.budget is not None and not 0 < values.budget < math.inf:
        raise UserError(f"--budget={values.budget:g} is out of range: a number above 0")
    for length in ("train_macs", "train_seconds"):
        if values.match == "train_macs" and values[length].value is not None:
            raise UserError(
                f"--match=train_macs solves the net for its length and --{length} the length for "
                "its net: give one of them"
            )
    found = Matching(values.match, values.budget or 0.0, measured)
    if values.budget:
        return found
    return found.of(setting.run(setting.net(), scratch=True), setting.net_name)


def own(setting: Any, net: Any = None, macs: float | None = None) -> Matching:
    """For a study with a series of its own at equal cost: what --match says, else `macs`, or those
    of `net`, at the nearest width alone. That net's cost is the budget where none is given."""
    found = setting.matching or Matching("macs", 0.0, tolerance=match.NEAREST)
    if setting.matching and not found.like:
        return found
    if net is not None:
        return found.of(setting.run(net, scratch=True))
    if macs and found.measure == "macs":
        return dataclasses.replace(found, budget=macs, like="")
    return found


def matched(found: Matching | None, runs: Iterable[Any], itself: bool) -> Iterable[Any]:
    """The runs of a study at the budget; as they are where the study sees to that itself.

    Raises:
      UserError: it measures and trains nothing, or moves all that could be solved.
    """
    if found is None or itself:
        return runs
    runs = list(runs)
    trained = [run for run in runs if isinstance(run, Run)]
    if len(trained) + sum(isinstance(run, Missing) for run in runs) < len(runs):
        raise UserError("--match is for trainings, and this study only measures: leave it out")
    axes = [axis for axis in AXES if axis not in moved(trained)]
    if not axes:
        raise UserError("--match solves width or depth, and this study moves both: leave it out")
    return [
        new
        for run in runs
        for new in (found.runs(run, axes) if run in trained and run.weight == 1 else [run])
    ]


def moved(runs: Sequence[Run]) -> set[str]:
    """Which of width and depth a study moves: what an axis of its points is called, or in what
    alone two of their nets differ."""
    found = {name for run in runs for name, _ in run.axes} & set(AXES)
    alike: dict[Net, set[Net]] = {}
    for net in {run.net.clone(adapted="") for run in runs if isinstance(run.net, Net)}:
        alike.setdefault(_level(_level(net, "width"), "depth"), set()).add(net)
    for nets in alike.values():
        for axis, other in (AXES, AXES[::-1]):
            if len({_level(net, other) for net in nets}) > 1:
                found.add(axis)
    return found


def _level(net: Net, axis: str) -> Net:
    """The net with all that the axis moves at its least."""
    least = {"width": 1e-9, "depth": 1}[axis]
    return vary.AXES[axis](net, least) if vary.moves(net, axis) else net
