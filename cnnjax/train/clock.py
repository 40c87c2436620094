"""Taking times fairly: warm-up apart, medians and quartiles, compilation from nothing, memory."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from cnnjax.train.loop import DISPATCH_SECONDS

LEAST, MOST = 5, 200  # Timings of one program; fewer where the time does not do.
SHARE = 0.1  # Of all the time for one program's timings, once there are `LEAST`.


class Clock:
    """Times calls until `seconds` after it was made, or until `stop` says so."""

    def __init__(self, seconds: float, stop: Callable[[], bool] = lambda: False):
        self.seconds, self.stop = seconds, stop
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def time(self, call: Callable[[int], Any], most: int = 1) -> tuple[list[float], float]:
        """Seconds that one of `count` takes in repeats of `call(count)`, and what the warm-up took.

        `call` waits for its results. As many as `most` go into one call of less than
        `DISPATCH_SECONDS`. No repeat is begun that the time left would not do for.
        """
        share = SHARE * self.seconds
        warm = one = seconds_of(call, 1)
        if warm < share / LEAST:
            warm = one = seconds_of(call, 1)
        count = max(1, min(most, int(min(DISPATCH_SECONDS, share / LEAST) / one)))
        found: list[float] = []
        end = time.monotonic() + share
        while len(found) < MOST and not self.stop() and count * one <= self.left():
            if len(found) >= LEAST and time.monotonic() >= end:
                break
            one = seconds_of(call, count) / count
            found.append(one)
        return found, warm


def seconds_of(call: Callable[[int], Any], count: int) -> float:
    """What a call takes that waits for its result."""
    start = time.perf_counter()
    call(count)
    return max(time.perf_counter() - start, 1e-9)  # Clocks have a grain.


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds, and their number; nothing of nothing."""
    if not seconds:
        return {}
    q1, median, q3 = (float(1e3 * q) for q in np.quantile(seconds, (0.25, 0.5, 0.75)))
    return {"ms": median, "q1_ms": q1, "q3_ms": q3, "repeats": len(seconds)}


@contextlib.contextmanager
def uncached() -> Iterator[None]:
    """Within it programs are compiled from nothing, whatever earlier processes left on the disk."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # JAX asks once whether there is a cache, and remembers.
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def temp_bytes(compiled: Any) -> int | None:
    """XLA's temporary memory of a compiled program on one device; None where it does not say."""
    found = compiled.memory_analysis()
    return None if found is None else int(found.temp_size_in_bytes)


def check_memory(compiled: Any, platform: str) -> None:
    """Refuse a program that the machine's memory can't hold: an accelerator says so itself, but
    there a process would be killed without a word.

    Raises:
      MemoryError: more is needed than is free.
    """
    needed, free = temp_bytes(compiled), free_memory()
    if platform == "cpu" and needed and free and needed > free:
        raise MemoryError(f"{needed:,} bytes needed, {free:,} free")


def free_memory() -> int | None:
    """Bytes that this machine, or the part of it that is ours, has to give; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * int(next(x.split()[1] for x in lines if x.startswith("MemAvailable")))
    except (OSError, StopIteration, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):  # A container's share, if it has one.
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        stat = dict(x.split() for x in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
        free = min(free, limit - int(stat["anon"]))
    return free
