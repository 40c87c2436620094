"""Batches of a stream, made ahead of time by worker processes with grain.

What a batch holds is a function of its number, so that a pipeline starts anywhere and has no state
of its own. Workers hand over parts of batches: whole ones would fill the memory that they share.
"""

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker

import numpy as np

from cnnjax.data.split import Examples
from cnnjax.errors import UserError
from cnnjax.signals import STOPPING

Example = dict[str, np.ndarray]

PART = 32  # Images at most that a worker hands over at a time.
AHEAD = 2  # Parts that each worker, and whole batches that a thread, has ready at most.
THREADS = 2  # That decode where there are no workers.
MOST = 16  # Processes, where nobody says.


def spare_processes() -> int:
    """How many processes may decode images: as many as there are cores less one, at most 16."""
    ours = hasattr(os, "sched_getaffinity")  # Linux tells which cores this process may use.
    cores = len(os.sched_getaffinity(0)) if ours else os.cpu_count() or 1
    return max(1, min(MOST, cores - 1))


def run(
    read: Callable[[int], Example], size: int, start: int, stop: int, workers: int
) -> Iterator[Examples]:
    """Batches `start` to `stop`, each of the next `size` examples that `read` gives by number, by
    so many processes; with none, by threads.

    Raises:
      UserError: what `read` raises, or a process that died.
    """
    part = max(n for n in range(1, min(size, PART) + 1) if size % n == 0)
    parts = size // part
    with contextlib.closing(_parts(read, start * size, stop * size, part, parts, workers)) as found:
        try:
            while batch := list(itertools.islice(found, parts)):
                yield Examples(*(np.concatenate([x[k] for x in batch]) for k in ("image", "label")))
        except RuntimeError as e:  # Grain's, of a process that is gone.
            raise UserError(
                f"a process that reads images ended ({str(e).split('. ')[0]}): there may be too "
                "little memory, or too little in /dev/shm, for so many; try fewer --data_workers"
            ) from None


def _parts(
    read: Callable[[int], Example], start: int, stop: int, size: int, ahead: int, workers: int
) -> Iterator[Example]:
    """Examples `start` to `stop`, `size` at a time; without workers so many parts `ahead` as make a
    batch."""
    import grain
    from absl import flags

    # Grain reads flags of its own, which only those set who parse absl's global ones.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    parts = grain.MapDataset.range(start, stop).map(read).batch(size)
    if workers:
        alone = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
        processes = grain.MultiprocessingOptions(workers, per_worker_buffer_size=AHEAD)
        made = iter(parts.to_iter_dataset(alone).mp_prefetch(processes, worker_init_fn=_begin))
    else:
        made = iter(parts.to_iter_dataset(grain.ReadOptions(THREADS, AHEAD * ahead)))
    with contextlib.closing(made):
        # Signals are for the main process alone, also before `_begin` can say so: a process
        # inherits what the thread that starts it has blocked, and the first part starts them all.
        with concurrent.futures.ThreadPoolExecutor(1, initializer=_block) as thread:
            first = thread.submit(next, made, None).result()
        if first is not None:
            yield first
            yield from made


def _block() -> None:
    resource_tracker.ensure_running()  # Its start lets signals through.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _begin(worker: int, workers: int) -> None:
    """In a worker, before all else: whoever started it decides when it ends."""
    del worker, workers
    import jax

    jax.config.update("jax_platforms", "cpu")  # For the order of the epochs; devices are others'.
    for kind in STOPPING:
        signal.signal(kind, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End with the process that started this one, also where that was killed."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
