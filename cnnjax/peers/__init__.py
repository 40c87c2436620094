"""The same nets in other frameworks, made from the same values, to be measured beside ours.

A peer is a module with `make(net, image_shape, batch_size, seed)`, which gives its `Programs`; it
imports its framework inside, so that one that is not installed is named as absent.
"""

import dataclasses
import time
from collections.abc import Callable

from cnnjax.errors import UserError
from cnnjax.train.devices import Devices


@dataclasses.dataclass(frozen=True)
class Program:
    """`call(count)` computes so many times over and waits; `compile_seconds` are those before the
    first, None where nothing is compiled; `temp_bytes` XLA's temporary memory, where it is XLA's.
    """

    call: Callable[[int], object]
    compile_seconds: float | None = None
    temp_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Programs:
    """Of one net in one framework; they are made when they are asked for, and `anew` if what is
    asked for again is compiled from nothing again."""

    train_step: Callable[[], Program]
    inference: Callable[[], Program]
    anew: bool = False


def check_alone(devices: Devices) -> None:
    """Refuse devices that other frameworks would not see.

    Raises:
      UserError: there are several.
    """
    if devices.count > 1:
        raise UserError("a benchmark beside other frameworks is of one device: --devices=1")


def first_call(call: Callable[[int], object]) -> float:
    """Seconds that the first call takes more than the second: what is compiled on the way."""
    begun = time.perf_counter()
    call(1)
    middle = time.perf_counter()
    call(1)
    return max(0.0, 2 * middle - begun - time.perf_counter())
