"""A training step compiled for devices that are not there: what it needs of each and sends between
them."""

import contextlib
import dataclasses
import importlib.util
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from cnnjax.errors import UserError, unknown
from cnnjax.train import collectives, program, tune
from cnnjax.train.collectives import Tally
from cnnjax.train.devices import Devices, local
from cnnjax.train.step import Task

PLATFORMS = ("tpu", "cuda")


@dataclasses.dataclass(frozen=True)
class Needs:
    """What one device needs for a training step, in bytes, and what a step sends.

    `held`: weights and moments, from step to step, and the batch. `temporary`: activations and
    whatever else XLA makes on the way. `code`: the program. They are None where XLA was not asked
    to compile (no compiler for the platform is there); `lowered` is the program's size as text.
    """

    held: int | None
    temporary: int | None
    code: int | None
    collectives: Mapping[str, Tally]
    lowered: int
    seconds: float

    @property
    def memory(self) -> int | None:
        """Bytes of a device's memory that a step needs."""
        return None if self.held is None else self.held + self.temporary + self.code


def target(name: str, mode: str, scan: bool | None = None, remat: bool = False) -> Devices:
    """Devices by name: `tpu:v5e:16x16`, a type and a topology of chips, or `cuda`, one GPU.

    Raises:
      UserError: an unknown platform or topology, or libtpu is not installed.
    """
    platform, _, rest = name.partition(":")
    if platform not in PLATFORMS:
        raise unknown("target", platform, PLATFORMS)
    if platform == "cuda":
        if rest:
            raise UserError(f"compile_for: {name}: for GPUs one device is lowered: write cuda")
        return dataclasses.replace(local(mode, 1, scan, remat), target="cuda")
    return Devices(Mesh(np.array(_topology(rest).devices), ("data",)), mode, scan, remat=remat)


def needs(task: Task, devices: Devices) -> Needs:
    """Lower and compile a step of the task on a batch, as a training on a stream does; where it has
    phases, the last one's."""
    begun = time.perf_counter()
    *_, phase = tune.phases(task.net, task.recipe, task.steps)
    step = program.lowered_step(task, phase, devices)
    text = len(step.as_text())
    if devices.target:
        return Needs(None, None, None, {}, text, time.perf_counter() - begun)
    compiled = step.compile()
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return Needs(
        held=held - memory.alias_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        collectives=collectives.collectives(compiled.as_text()),
        lowered=text,
        seconds=time.perf_counter() - begun,
    )


def _topology(name: str) -> Any:
    from jax.experimental import topologies

    with _told("TPU_SKIP_MDS_QUERY", "1"):  # Else libtpu asks the cloud which machine this is.
        try:
            sides = [int(n) for n in name.rpartition(":")[2].split("x")]
            # Four chips a host, as libtpu has it, or what there is.
            host = [min(n, most) for n, most in zip((*sides, 1, 1), (2, 2, 1), strict=False)]
            return topologies.get_topology_desc(
                platform="tpu", topology_name=name, chips_per_host_bounds=host
            )
        except Exception as e:  # libtpu and JAX raise whatever they happen to.
            if importlib.util.find_spec("libtpu") is None:
                raise UserError(
                    "compiling for a TPU needs libtpu, and no TPU: pip install -e '.[tpu]'"
                ) from None
            reason = " ".join(str(e).split())[:200]
            raise UserError(
                f"compile_for: no TPU topology {name!r} ({reason}); write for example "
                "tpu:v5e:2x4, tpu:v5p:2x2x1 or tpu:v6e:16x16"
            ) from None


@contextlib.contextmanager
def _told(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
