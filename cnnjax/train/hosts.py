"""The processes of one training on several hosts: started, told apart, and of one mind.

Every process runs the same program on its own devices (single program, multiple data). The first
one leads: it alone reads and writes files and talks to the user.
"""

import json
import os
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnjax.errors import UserError

# What a launcher leaves in the environment of each process, and what JAX finds its peers by. A
# Slurm job without a step (`sbatch`, `salloc`) is one process, whatever tasks it was granted.
_STEPS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def start(
    coordinator: str | None = None, processes: int | None = None, index: int | None = None
) -> None:
    """Join the other processes, if there are any, before anything is computed: those that the
    flags say, else those that Slurm's srun, MPI or a TPU pod started.

    Raises:
      UserError: only some of the three are given, or the others can't be reached.
    """
    given = {"coordinator": coordinator, "num_processes": processes, "process_id": index}
    if any(v is not None for v in given.values()):
        if missing := [f"--{name}" for name, v in given.items() if v is None]:
            raise UserError(f"several hosts: give {' and '.join(missing)} too")
        if not 0 <= index < processes:
            raise UserError(f"process_id: {index} is out of range: from 0 to {processes - 1}")
        if processes > 1:
            _join(coordinator, processes, index)
    elif _launched():
        _join()


def _join(*given: Any) -> None:
    more = {}
    if given and given[0].split(":")[0] in ("127.0.0.1", "localhost"):
        more["coordinator_bind_address"] = given[0]  # JAX's own default listens everywhere.
    try:
        jax.distributed.initialize(*given, **more)
    except (RuntimeError, ValueError) as e:
        reason = str(e).strip().splitlines()[0]
        raise UserError(
            f"can't join the other processes ({reason}): start all of them with the same "
            "--coordinator=HOST:PORT and --num_processes, and a --process_id each"
        ) from None


def _launched() -> bool:
    """Whether a launcher started this process as one of several."""
    pod = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    steps = (os.environ.get(name, "") for name in _STEPS)
    return "," in pod or any(n.isdigit() and int(n) > 1 for n in steps)


def count() -> int:
    return jax.process_count()


def leads() -> bool:
    """Whether this process is the one that reads, writes and talks."""
    return jax.process_index() == 0


class Agreed(NamedTuple):
    """What all processes do next: `stop` if any was asked to; whether it is `time` (to save, or to
    be done), and how many `steps` come next, as the first says."""

    stop: bool
    time: bool
    steps: int


def agree(stop: bool, time: bool = False, steps: int = 0) -> Agreed:
    """The same answer in every process, whatever each gives."""
    if count() == 1:
        return Agreed(stop, time, steps)
    from jax.experimental import multihost_utils

    given = np.asarray([stop, time, steps], np.int32)
    every = np.asarray(multihost_utils.process_allgather(given)).reshape(-1, 3)
    return Agreed(bool(every[:, 0].any()), bool(every[0, 1]), int(every[0, 2]))


def tell(value: Any) -> Any:
    """The first process's value, which is JSON data, in every process."""
    if count() == 1:
        return value
    content = np.frombuffer(json.dumps(value).encode(), np.uint8) if leads() else np.zeros(0)
    size = int(share(np.asarray(content.size, np.int32)))
    padded = content.astype(np.uint8) if leads() else np.zeros(size, np.uint8)
    return json.loads(np.asarray(share(padded), np.uint8).tobytes())


def share(tree: Any) -> Any:
    """The first process's arrays in every process; the others give arrays of the same shapes."""
    if count() == 1:
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(tree)
