"""How long a net takes in several frameworks, one beside the other."""

import collections
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.peers import Program, Programs, apart, check_alone
from cnnjax.study.environment import start_jax
from cnnjax.train.clock import seconds_of, spread
from cnnjax.train.devices import Devices
from cnnjax.train.speed import STEPS, UNITS, Reading
from cnnjax.values import value

PEERS = {  # Where each is made, and what it needs that may not be installed.
    "cnnjax": ("own", "make", ()),
    "flax": ("plain_flax", "make", ()),
    "torch": ("pytorch", "eager", ("torch",)),
    "torch_compile": ("pytorch", "compiled", ("torch",)),
    "keras": ("keras_net", "make", ("keras",)),
}
# How a process of its own begins, where that is not JAX's way.
BEGIN = {"cnnjax": functools.partial(start_jax, "float32", "cpu")}
PROGRAMS = ("train_step", "inference")
LEAST = 5  # Rounds, if the time allows or not.
MADE = 3  # Times that a program is compiled at most: how long that takes varies.
ROUND = 0.25  # Seconds, about, that one peer calculates in one round.


@value
class Versus:
    """An instrument for `study.probe.Probe`: median and quartiles, in milliseconds, of a training
    step and of inference of a batch by each of `peers`, on the CPU each in a process of its own, in
    turn within each round, so that what else the machine does meets all of them; of ours and plain
    Flax's XLA's temporary memory too.
    """

    batch_size: int = 32
    seconds: float = 60.0
    peers: tuple[str, ...] = tuple(PEERS)

    parts: ClassVar[int] = len(PROGRAMS)
    steps: ClassVar[int] = STEPS
    units: ClassVar[dict[str, str]] = {
        f"{peer}_{program}_{name}": unit
        for peer in PEERS
        for program in PROGRAMS
        for name, unit in UNITS.items()
    }

    def check(self, devices: Devices) -> None:
        """As `check_alone`."""
        check_alone(devices)

    def readings(
        self,
        net: Net,
        image_shape: tuple[int, int, int],
        devices: Devices,
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Reading]:
        """A reading a program, unless `stop` says so before."""
        args = (net, image_shape, self.batch_size, seed)
        with contextlib.ExitStack() as stack:
            able, remarks = {}, []
            for peer in self.peers:
                try:
                    able[peer] = _programs(peer, devices, stack, args)
                except UserError as e:
                    remarks.append(f"{peer}: {e}")
            yield from self._readings(able, remarks, stop)

    def _readings(
        self, able: dict[str, Programs], remarks: list[str], stop: Callable[[], bool]
    ) -> Iterator[Reading]:
        for name in PROGRAMS:
            made = _made(able, name, self.seconds / len(PROGRAMS), remarks, stop)
            if stop():
                return
            times = _rounds(made, self.seconds / len(PROGRAMS), stop)
            if stop():
                return
            found: dict[str, float] = {}
            for peer, program in made.items():
                found |= _named(f"{peer}_{name}", program, times[peer])
            yield Reading(found, "; ".join(remarks))
            remarks = []

    def told(self, measures: Mapping[str, float]) -> str:
        """A step's times in a few words."""
        said = [f"{peer} {measures[name]:.3g}" for peer in self.peers
                if (name := f"{peer}_train_step_ms") in measures]  # fmt: skip
        return f"a step: {', '.join(said)} ms" if said else "not measured"


def absent(peers: tuple[str, ...]) -> dict[str, str]:
    """What is not installed, by the peers that need it."""
    found = {}
    for peer in peers:
        for package in PEERS[peer][2]:
            if importlib.util.find_spec(package) is None:
                found[peer] = package
    return found


def _maker(peer: str) -> Callable[..., Any]:
    module, name, _ = PEERS[peer]
    return getattr(importlib.import_module(f"cnnjax.peers.{module}"), name)


def _programs(
    peer: str, devices: Devices, stack: contextlib.ExitStack, args: tuple[Any, ...]
) -> Programs:
    """On the CPU in a process of the peer's own; another device has only one at a time."""
    if devices.platform != "cpu":
        return _maker(peer)(*args)
    begin = BEGIN.get(peer, apart.on_cpu)
    return stack.enter_context(apart.opened(begin, _maker(peer), *args))


def _made(
    able: dict[str, Programs],
    name: str,
    seconds: float,
    remarks: list[str],
    stop: Callable[[], bool],
) -> dict[str, Program]:
    """Each peer's program, of those that compile anew with the median of up to MADE times in turn,
    where that takes fewer seconds; a peer that can't is remarked upon, and no longer able."""
    made: dict[str, Program] = {}
    took = collections.defaultdict(list)
    end = time.monotonic() + seconds
    for again in range(MADE):
        if again and time.monotonic() > end:
            break
        for peer, programs in list(able.items()):
            if again and not programs.anew:
                continue
            try:
                program = getattr(programs, name)()
            except UserError as e:  # A net that it has not; said once.
                remarks.append(f"{peer}: {e}")
                del able[peer]
                made.pop(peer, None)
                continue
            if program.compile_seconds is not None:
                took[peer].append(program.compile_seconds)
                median = statistics.median(took[peer])
                program = dataclasses.replace(program, compile_seconds=median)
            made[peer] = program
            if stop():
                return made
    return made


def _rounds(
    made: Mapping[str, Program], seconds: float, stop: Callable[[], bool]
) -> dict[str, list[float]]:
    """Seconds of one call of each program in each round."""
    counts = {}
    for peer, program in made.items():
        program.call(1)
        counts[peer] = max(1, min(200, int(ROUND / seconds_of(program.call, 1))))
    times: dict[str, list[float]] = {peer: [] for peer in made}
    end, done = time.monotonic() + seconds, 0
    while (done < LEAST or time.monotonic() < end) and not stop():
        for peer, program in made.items():
            program.call(1)  # What another framework left in caches and threads is not its own.
            times[peer].append(seconds_of(program.call, counts[peer]) / counts[peer])
        done += 1
    return times


def _named(name: str, program: Program, times: list[float]) -> dict[str, float]:
    costs = {"compile_seconds": program.compile_seconds, "temp_bytes": program.temp_bytes}
    known = {k: v for k, v in costs.items() if v is not None}
    return {f"{name}_{k}": float(v) for k, v in (spread(times) | known).items()}
