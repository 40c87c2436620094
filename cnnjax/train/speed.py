"""How fast a net is on the devices at hand: three programs, each compiled, warmed up and timed.

`latency`: logits of one image, on one device. `inference`: logits of a batch shared by all devices.
`train_step`: one step of a training, in the program that a training runs. Images are random, the
same every time, and on the device before the clock starts; weights are drawn at a scale at which
nothing overflows, and stay there, since the step's learning rate is 0. What is timed is a call from
Python until its result is there; of steps, a dispatch of several, divided by their number.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.augment import WORDS
from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.train import devices as where
from cnnjax.train.clock import Clock, check_memory, spread, temp_bytes, uncached
from cnnjax.train.devices import Devices, local
from cnnjax.train.draws import Draws
from cnnjax.train.optimizer import Hyper
from cnnjax.train.program import advance
from cnnjax.train.recipe import Recipe
from cnnjax.train.step import Sums, Task, init, logits_of
from cnnjax.values import value

PROGRAMS = ("latency", "inference", "train_step")
UNITS = {
    "ms": "ms", "q1_ms": "ms", "q3_ms": "ms", "repeats": "timings", "compile_seconds": "s",
    "temp_bytes": "bytes",
}  # fmt: skip
MANY = 1000  # Steps in one dispatch at most.
STEPS = 20  # What compiles and is timed some times takes as long as so many of them, about.


class Reading(NamedTuple):
    """What one program came to, and a remark where something could not be measured."""

    measures: dict[str, float]
    remark: str = ""


@value
class Speed:
    """An instrument for `study.probe.Probe`. Of each program: median and quartiles in milliseconds,
    how many timings, seconds to compile (tracing included, nothing from a cache), and XLA's
    temporary memory on one device; and images a second of a batch and of a step.

    `recipe` is the training step's; its batch size and compute type are the inference's too.
    `seconds` is what a net may take: a program is left out if by those before it would take
    longer, and timing ends there. What is under way, a compilation or a call, is finished.
    """

    recipe: Recipe = Recipe()
    seconds: float = 60.0

    parts: ClassVar[int] = len(PROGRAMS)
    steps: ClassVar[int] = STEPS
    units: ClassVar[dict[str, str]] = {
        f"{program}_{name}": unit for program in PROGRAMS for name, unit in UNITS.items()
    } | {"images_per_second": "images/s", "train_images_per_second": "images/s"}

    @classmethod
    def of(cls, recipe: Recipe, seconds: float) -> "Speed":
        """For a recipe less what changes no step's time, so that equal measurements are one; the
        step is that of training everything, on images as they are."""
        base = Recipe()
        alike = (
            "epochs",
            "max_steps",
            "learning_rate",
            "base_batch_size",
            "fine_tune",
            "resolution_schedule",
        )
        timed = dataclasses.replace(recipe, **{name: getattr(base, name) for name in alike})
        return cls(timed, float(seconds))

    @property
    def batch_size(self) -> int:
        return self.recipe.batch_size

    def check(self, devices: Devices) -> None:
        """Refuse a batch that the devices can't share.

        Raises:
          UserError: saying what fits, or there are several processes, whose clocks differ.
        """
        if devices.processes > 1:
            raise UserError("several processes are timed by --experiment=scaling, and not by this")
        where.check(Recipe(batch_size=self.batch_size), self.batch_size, devices)

    def readings(
        self,
        net: Net,
        image_shape: tuple[int, int, int],
        devices: Devices,
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Reading]:
        """A reading a program, `parts` of them; fewer where `stop` says so.

        Raises:
          MemoryError: a program needs more memory than the machine has free.
        """
        clock, size = Clock(self.seconds, stop), self.batch_size
        bench = Bench(
            Task.on_any_images(net, self.recipe, image_shape, self.recipe.epochs), devices, seed
        )
        compiling = calling = 0.0  # Seconds, of the last program.
        for program, make, larger, longer, most in (
            ("latency", lambda: bench.inference(local(devices.mode, 1), 1), 0, 0, 1),
            ("inference", lambda: bench.inference(devices, size), 1, size / devices.count, 1),
            # A step is some three forward passes, and a larger program.
            ("train_step", bench.training, 4, 3.5, MANY),
        ):
            compiling, calling = larger * compiling, longer * calling  # A prediction.
            found: dict[str, Any] = {}
            needed, left = compiling + 2 * calling, clock.left()
            if needed < left:
                call, compiled, compiling = built(make)
                found |= {"compile_seconds": compiling, "temp_bytes": temp_bytes(compiled)}
                check_memory(compiled, devices.platform)
                left = clock.left()
                times, calling = clock.time(call, most)
                needed = calling
                found |= spread(times)
            if stop():
                return
            late = "" if "ms" in found else self._late(program, needed, left)
            yield Reading(_named(program, found, size), late)

    def told(self, measures: Mapping[str, float]) -> str:
        """What was measured in a few words."""
        shown = {
            "latency_ms": "{:.3g} ms an image",
            "images_per_second": "{:.3g} images/s",
            "train_images_per_second": "training {:.3g} images/s",
        }
        said = [text.format(measures[name]) for name, text in shown.items() if name in measures]
        return ", ".join(said) or "not measured"

    def _late(self, program: str, needed: float, left: float) -> str:
        return (
            f"{program.replace('_', ' ')} not timed: it takes about {needed:.0f} s, and "
            f"{max(left, 0):.0f} s were left of the {self.seconds:g} s a net may take (--seconds)"
        )


def step_seconds(
    net: Net, speed: Speed, image_shape: tuple[int, int, int], devices: Devices, repeats: int = 5
) -> list[float]:
    """Seconds of a training step by a `Speed`, compiled once: the medians of so many measurements,
    one after another, each over about a tenth of what a net may take.

    Raises:
      MemoryError: the program needs more memory than the machine has free.
    """
    recipe = speed.recipe
    bench = Bench(Task.on_any_images(net, recipe, image_shape, recipe.epochs), devices, 0)
    call, compiled = bench.training()
    check_memory(compiled, devices.platform)
    found = [Clock(speed.seconds).time(call, MANY)[0] for _ in range(repeats)]
    return [float(np.median(times)) for times in found]


def built(make: Callable[[], tuple[Callable[[int], Any], Any]]) -> tuple[Any, Any, float]:
    """A program made from nothing, whatever was compiled before, and the seconds that it took."""
    with uncached():
        begun = time.perf_counter()
        call, compiled = make()
        return call, compiled, time.perf_counter() - begun


def _named(program: str, found: dict[str, Any], size: int) -> dict[str, float]:
    named = {f"{program}_{name}": v for name, v in found.items() if v is not None}
    rates = {"inference": "images_per_second", "train_step": "train_images_per_second"}
    if program in rates and "ms" in found:
        named[rates[program]] = 1e3 * size / found["ms"]
    return named


class Bench:
    """A net with weights on the devices, and its programs: each a pair (a call that waits for its
    result, the compiled program)."""

    def __init__(self, task: Task, devices: Devices, seed: int):
        self.task, self.devices = task, devices
        self.draws = np.random.default_rng(seed)
        # Not by `init` itself: to compile it takes as long as what is to be measured.
        state = jax.eval_shape(functools.partial(init, task), jax.random.key(seed))
        self.state = devices.put(jax.tree_util.tree_map_with_path(self._drawn, state))

    def inference(self, devices: Devices, size: int) -> tuple[Callable[[int], Any], Any]:
        """Logits of a batch."""
        weights = devices.put((self.state.params, self.state.batch_stats))
        images = devices.put_batch(self._images(size))

        def infer(weights: Any, images: jax.Array) -> jax.Array:
            return logits_of(self.task, devices.context(), *weights, images)

        compiled = devices.lower_batch(infer, weights, images).compile()

        def call(count: int) -> Any:
            for _ in range(count):
                logits = compiled(weights, images).block_until_ready()
            return logits

        return call, compiled

    def training(self) -> tuple[Callable[[int], Any], Any]:
        """So many steps, and how many it has taken; it takes the state over."""
        task, devices, size = self.task, self.devices, self.task.recipe.batch_size
        images, labels = devices.put((self._images(size), np.zeros(size, np.int32)))
        still = dataclasses.replace(task.recipe, learning_rate=0.0)
        # Any keys do, and none are computed: what would compile for them is no part of the step.
        rows = np.arange(size, dtype=np.int32)[None]
        words = self.draws.integers(0, 2**32, (1, size, WORDS), np.uint32)
        drawn = Draws(rows, jax.random.wrap_key_data(words[..., :2]), words)
        rest = (images, labels, *devices.put((drawn, Hyper.of(still))))
        places, counts = devices.positions(size), devices.put(jnp.int32(1))
        moved = (self.state, devices.put(Sums.zero()))
        step = functools.partial(advance, task, devices)
        compiled = devices.lower(step, *moved, *rest, counts, places, donate=(0, 1)).compile()

        def call(count: int) -> jax.Array:
            nonlocal moved
            counts = devices.put(jnp.int32(count))
            moved = jax.block_until_ready(compiled(*moved, *rest, counts, places))
            return moved[0].step

        return call, compiled

    def _drawn(self, path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        """Kernels at the scale that keeps a unit's variance, norms that change nothing."""
        name = getattr(path[-1], "key", "") if getattr(path[0], "name", "") != "opt_state" else ""
        if name == "kernel":
            scale = np.sqrt(2 / max(math.prod(leaf.shape[:-1]), 1))
            drawn = self.draws.standard_normal(leaf.shape, np.float32) * np.float32(scale)
            return drawn.astype(leaf.dtype)
        return np.full(leaf.shape, name in ("scale", "var"), leaf.dtype)

    def _images(self, size: int) -> np.ndarray:
        return self.draws.integers(0, 256, (size, *self.task.image_shape), np.uint8)
