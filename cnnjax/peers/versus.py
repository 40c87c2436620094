"""How long a net takes in several frameworks, one beside the other in one process."""

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.peers import Program
from cnnjax.train.devices import Devices
from cnnjax.train.speed import Reading
from cnnjax.values import value

PEERS = {  # Where each is made, and what it needs that may not be installed.
    "cnnjax": ("own", "make", ()),
    "flax": ("plain_flax", "make", ()),
    "torch": ("pytorch", "eager", ("torch",)),
    "torch_compile": ("pytorch", "compiled", ("torch",)),
    "keras": ("keras_net", "make", ("keras",)),
}
PROGRAMS = ("train_step", "inference")
UNITS = {"ms": "ms", "q1_ms": "ms", "q3_ms": "ms", "repeats": "rounds", "compile_seconds": "s",
         "temp_bytes": "bytes"}  # fmt: skip
LEAST = 5  # Rounds, if the time allows or not.
ROUND = 0.25  # Seconds, about, that one peer calculates in one round.


@value
class Versus:
    """An instrument for `study.probe.Probe`: median and quartiles, in milliseconds, of a training
    step and of inference of a batch by each of `peers`, in turn within each round, so that what
    else the machine does meets all of them; of ours and plain Flax's XLA's temporary memory too.
    """

    batch_size: int = 32
    seconds: float = 60.0
    peers: tuple[str, ...] = tuple(PEERS)

    parts: ClassVar[int] = len(PROGRAMS)
    units: ClassVar[dict[str, str]] = {
        f"{peer}_{program}_{name}": unit
        for peer in PEERS
        for program in PROGRAMS
        for name, unit in UNITS.items()
    }

    def check(self, devices: Devices) -> None:
        """Refuse what other frameworks would not see.

        Raises:
          UserError: there are several devices.
        """
        if devices.count > 1:
            raise UserError("a benchmark beside other frameworks is of one device: --devices=1")

    def readings(
        self,
        net: Net,
        image_shape: tuple[int, int, int],
        devices: Devices,
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Reading]:
        """A reading a program, unless `stop` says so before."""
        remarks = {}
        for program in PROGRAMS:
            made: dict[str, Program] = {}
            for peer in self.peers:
                try:
                    made[peer] = getattr(_maker(peer)(net, image_shape, self.batch_size, seed),
                                         program)()  # fmt: skip
                except ImportError as e:
                    remarks[peer] = f"{peer}: not installed ({e.name})"
                except UserError as e:
                    remarks[peer] = f"{peer}: {e}"
                if stop():
                    return
            times = _rounds(made, self.seconds / len(PROGRAMS), stop)
            if stop():
                return
            found: dict[str, float] = {}
            for peer, program_ in made.items():
                found |= _named(f"{peer}_{program}", program_, times[peer])
            yield Reading(found, "; ".join(remarks.values()) if program == PROGRAMS[-1] else "")

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


def _rounds(
    made: Mapping[str, Program], seconds: float, stop: Callable[[], bool]
) -> dict[str, list[float]]:
    """Seconds of one call of each program in each round."""
    counts = {}
    for peer, program in made.items():
        program.call(1)
        counts[peer] = max(1, min(200, int(ROUND / _seconds(program, 1))))
    times: dict[str, list[float]] = {peer: [] for peer in made}
    end, done = time.monotonic() + seconds, 0
    while (done < LEAST or time.monotonic() < end) and not stop():
        for peer, program in made.items():
            program.call(1)  # What another framework left in caches and threads is not its own.
            times[peer].append(_seconds(program, counts[peer]) / counts[peer])
        done += 1
    return times


def _seconds(program: Program, count: int) -> float:
    begun = time.perf_counter()
    program.call(count)
    return max(time.perf_counter() - begun, 1e-9)


def _named(name: str, program: Program, times: list[float]) -> dict[str, float]:
    q1, median, q3 = (float(1e3 * q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    found = {"ms": median, "q1_ms": q1, "q3_ms": q3, "repeats": len(times)}
    known = {k: v for k, v in dataclasses.asdict(program).items() if k != "call" and v is not None}
    return {f"{name}_{k}": float(v) for k, v in (found | known).items()}
