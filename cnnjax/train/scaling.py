"""How fast a training runs on so many devices, its input included: steps of the real training loop,
timed a chunk at a time, compilation apart."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from cnnjax import compute, data
from cnnjax.data.source import Dataset, Stream
from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.train import devices as where
from cnnjax.train import feed as feeds
from cnnjax.train import hosts
from cnnjax.train.clock import uncached
from cnnjax.train.devices import Devices
from cnnjax.train.loop import DISPATCH_SECONDS, make_task
from cnnjax.train.peaks import peak
from cnnjax.train.program import make_program
from cnnjax.train.recipe import Recipe
from cnnjax.train.speed import STEPS, Reading
from cnnjax.train.step import State, Sums
from cnnjax.values import value

LEAST = 3  # Chunks, if the time allows or not.
WARM = 2  # Chunks: the first pages things in, and the second is as short as that one told.


class Chunk(NamedTuple):
    """Steps in a row, and the seconds that they took."""

    steps: int
    seconds: float


@value
class Scaling:
    """An instrument for `study.probe.Probe`: a training on the first `devices` of those that are
    there, for about `seconds`.

    Images a second, in all and a device, as medians of chunks with quartiles; the share of the time
    in which the devices had to wait for input; and, where the devices' peak is known
    (`train.peaks`), the share of it that multiplying came to (model FLOPs utilisation: Chowdhery et
    al. 2022, appendix B; 2 FLOPs a multiply-accumulate of `compute.train_macs`).
    """

    recipe: Recipe = Recipe()
    dataset: Dataset = Dataset()
    devices: int = 1
    seconds: float = 20.0

    parts: ClassVar[int] = 1
    steps: ClassVar[int] = STEPS
    units: ClassVar[dict[str, str]] = {
        "images_per_second": "images/s",
        "images_per_second_q1": "images/s",
        "images_per_second_q3": "images/s",
        "images_per_second_per_device": "images/s",
        "step_ms": "ms",
        "input_wait_share": "share",
        "utilisation": "share",
        "step_compile_seconds": "s",
    }

    @property
    def batch_size(self) -> int:
        return self.recipe.batch_size

    def check(self, devices: Devices) -> None:
        """Refuse more devices than there are, or what they can't share.

        Raises:
          UserError: saying what fits.
        """
        if self.devices > devices.count:
            hint = " (on a CPU, --cpu_devices=N simulates them)" * (devices.platform == "cpu")
            raise UserError(
                f"devices: {self.devices} are asked for and there are {devices.count}{hint}"
            )
        if devices.processes > 1 and self.devices < devices.count:
            raise UserError(
                f"devices: several processes use all of theirs: write --devices={devices.count}"
            )
        where.check(self.recipe, data.check(self.dataset).train, devices.first(self.devices))

    def readings(
        self,
        net: Net,
        image_shape: tuple[int, int, int],
        devices: Devices,
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Reading]:
        """One, unless `stop` says so before."""
        used, source = devices.first(self.devices), data.load(self.dataset)
        task = make_task(net, dataclasses.replace(self.recipe, epochs=10_000, max_steps=0), source)
        examples = None if isinstance(source.train, Stream) else len(source.train)
        with uncached():
            program = make_program(task, examples, used)
        state = used.put_state(program.init(used.put(jax.random.key(seed))))
        per_epoch = max(1, len(source.train) // self.batch_size)
        with feeds.opened(program, task, source.train, seed, used, state) as feed:
            chunks = _chunks(feed, state, used.put(Sums.zero()), per_epoch)
            for _ in range(WARM):
                next(chunks)
            rates: list[float] = []
            began, waited = time.perf_counter(), feed.waited or 0.0
            for steps, took in chunks:
                rates.append(self.batch_size * steps / took)
                spent = time.perf_counter() - began
                enough = len(rates) >= LEAST and spent > self.seconds
                then = hosts.agree(stop(), enough)
                if then.stop:
                    return
                if then.time:
                    break
            wait = None if feed.waited is None else (feed.waited - waited) / spent
        yield Reading(self._named(net, image_shape, used, rates, wait, program.compile_seconds))

    def _named(
        self, net: Net, shape: Any, used: Devices, rates: Any, wait: float | None, compiling: float
    ) -> dict[str, float]:
        low, middle, high = (float(v) for v in np.quantile(rates, (0.25, 0.5, 0.75)))
        found = {
            "images_per_second": middle,
            "images_per_second_q1": low,
            "images_per_second_q3": high,
            "images_per_second_per_device": middle / used.count,
            "step_ms": 1e3 * self.batch_size / middle,
            "step_compile_seconds": compiling,
        }
        if wait is not None:
            found["input_wait_share"] = wait
        if there := peak(used.kind):
            step = compute.train_step_macs(net, shape, self.batch_size)
            flops = 2 * step / self.batch_size * middle
            found["utilisation"] = flops / (there.flops * used.count)
        return found

    def told(self, measures: Mapping[str, float]) -> str:
        """What was measured in a few words."""
        if "images_per_second" not in measures:
            return "not measured"
        return f"{measures['images_per_second']:.4g} images/s on {self.devices}"


def _chunks(feed: feeds.Feed, state: State, sums: Sums, per_epoch: int) -> Iterator[Chunk]:
    """One chunk of a training after another, of the same steps in every process."""
    step, count = 0, 1
    while True:
        count = min(count, per_epoch - step % per_epoch)
        at = time.perf_counter()
        state, sums = feed.advance(state, sums, count)
        sums.loss.block_until_ready()
        took = time.perf_counter() - at
        yield Chunk(count, took)
        step += count
        wanted = max(1, min(8 * count, int(count * DISPATCH_SECONDS / max(took, 1e-6))))
        count = hosts.agree(False, steps=wanted).steps
