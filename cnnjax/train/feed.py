"""Where the steps of a training take their batches from: images on the devices, or a stream."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from cnnjax.data.source import Split, Stream
from cnnjax.data.stream import Training
from cnnjax.train.devices import Devices
from cnnjax.train.draws import drawing
from cnnjax.train.optimizer import Hyper
from cnnjax.train.program import Program
from cnnjax.train.step import State, Sums, Task

AHEAD = 2  # Batches on the devices before their step, and steps under way.
PATIENCE = 30.0  # Seconds: who hangs on a file system that is gone ends with the process.
TICK = 0.002  # Seconds: how finely waiting is measured.


class Feed(Protocol):
    """`waited`: seconds in which the devices had nothing to do since the next batch was not there;
    None where nothing is waited for."""

    waited: float | None

    def advance(self, state: State, sums: Sums, count: int) -> tuple[State, Sums]:
        """`count` steps within one epoch; it takes the state over, and need not wait for it."""
        ...

    def close(self) -> None: ...


def opened(
    program: Program, task: Task, split: Split | Stream, seed: int, devices: Devices, state: State
) -> contextlib.AbstractContextManager[Feed]:
    """The feed of a training that is about to take the state's next step, closed at the end."""
    kind = Streamed if isinstance(split, Stream) else Resident
    return contextlib.closing(kind(program, task, split, seed, devices, int(state.step)))


class Resident:
    """All images on every device; many steps a dispatch."""

    waited = None

    def __init__(
        self, program: Program, task: Task, split: Split, seed: int, devices: Devices, step: int
    ):
        self._program, self._put = program, devices.put
        self._images = devices.put((split.images, split.labels))
        self._key, self._hyper = devices.put((jax.random.key(seed), Hyper.of(task.recipe)))
        self._step, self._sizes = step, (len(split), task.recipe.batch_size)
        self._epoch, self._drawn = -1, None

    def advance(self, state: State, sums: Sums, count: int) -> tuple[State, Sums]:
        examples, size = self._sizes
        epoch = self._step // (examples // size)
        if epoch != self._epoch:
            drawn = drawing(examples, size)(self._key, self._put(jnp.int32(epoch)))
            self._epoch, self._drawn = epoch, self._put(drawn)
        self._step += count
        given = (*self._images, self._drawn, self._hyper, self._put(jnp.int32(count)))
        return self._program.advance(state, sums, *given, self._program.places)

    def close(self) -> None:
        pass


class Streamed:
    """A dispatch a step; batches are made by other processes, and put on the devices by a thread
    while the steps before them run.

    Raises:
      UserError: an image that can't be decoded, or a process that died.
    """

    def __init__(
        self, program: Program, task: Task, split: Stream, seed: int, devices: Devices, step: int
    ):
        self._program, self._step, self.waited = program, step, 0.0
        self._key, self._hyper = devices.put((jax.random.key(seed), Hyper.of(task.recipe)))
        size = task.recipe.batch_size
        which = Training(seed, size, devices.share(size), task.recipe.crop_scale)
        batches = split.training(which, step, task.steps, devices.data_workers)
        self._ahead = Ahead(batches, devices.put_own)
        self._under_way: deque[jax.Array] = deque()

    def advance(self, state: State, sums: Sums, count: int) -> tuple[State, Sums]:
        for _ in range(count):
            images, labels = self._next()
            step = next(run for end, run in self._program.steps if self._step < end)
            places = self._program.places
            state, sums = step(state, sums, self._key, self._hyper, images, labels, places)
            self._step += 1
            # Whatever is under way keeps its batch in memory.
            self._under_way.append(sums.loss)
            if len(self._under_way) > AHEAD:
                self._under_way.popleft().block_until_ready()
        return state, sums

    def _next(self) -> Any:
        """The next batch; time counts as waited for while no step is under way."""
        while True:
            begun = time.perf_counter()
            with contextlib.suppress(queue.Empty):
                return self._ahead.get(TICK)
            if all(loss.is_ready() for loss in self._under_way):
                self.waited += time.perf_counter() - begun

    def close(self) -> None:
        self._ahead.close()


class Ahead:
    """Items of an iterator, made ready by a thread before they are asked for."""

    def __init__(self, items: Iterator[Any], ready: Callable[[Any], Any]):
        self._items, self._ready = items, ready
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def get(self, seconds: float) -> Any:
        """The next item; what the iterator raised, StopIteration at its end.

        Raises:
          queue.Empty: it is not there after so many seconds.
        """
        item, error = self._queue.get(timeout=seconds)
        if error is not None:
            raise error
        return item

    def close(self) -> None:
        """Stop the thread and the iterator; nothing may be asked for afterwards."""
        self._closed.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            with contextlib.closing(self._items) as items:
                for item in items:
                    if not self._give((self._ready(item), None)):
                        return
                error: BaseException = StopIteration()
        except BaseException as e:  # Raised again by whoever asks.
            error = e
        self._give((None, error))

    def _give(self, item: tuple[Any, BaseException | None]) -> bool:
        """Whether there was room before it was closed."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.1)
                return True
        return False
