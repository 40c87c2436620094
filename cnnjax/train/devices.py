"""Which devices compute, and how: the only file that knows pmap, meshes and shardings.

The processes that the devices may belong to are started and made to agree in `train.hosts`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.data import pipeline
from cnnjax.errors import UserError, unknown
from cnnjax.nets.context import Context
from cnnjax.train import scan, ways
from cnnjax.train.initial import drawn
from cnnjax.train.placing import outline, placed
from cnnjax.train.recipe import Recipe

MODES = ("pmap", "jit", "fsdp")
_AXIS = "data"
_LEAST = 1024  # Elements; a smaller array costs more to gather than to hold.


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of one training, of one process or of several, and how they share it.

    `pmap`: each computes on its share of the batch, and joins what must be joined (`jax.pmap`; over
    several processes what that is made of, `shard_map` in `jit`). `jit`: the whole batch laid over
    a mesh, and XLA finds what to join. `fsdp`: so too, with parameters and moments spread over the
    same devices (Rajbhandari et al. 2020, stage 3; Zhao et al. 2023).
    `scan` says whether equal blocks are scanned; None leaves it to the rule in `train.scan`. With
    `remat` the backward pass computes again what is inside blocks, rather than keep it.
    `conv` is how the CPU convolves (`train.ways.WAYS`); None leaves it to the rule there.
    `target` is another platform than the devices', to lower for and never to run on. `data_workers`
    processes decode what is streamed.
    """

    mesh: Mesh
    mode: str
    scan: bool | None = None
    target: str | None = None
    remat: bool = False
    conv: str | None = None
    data_workers: int = 0

    @property
    def count(self) -> int:
        return self.mesh.size

    @property
    def processes(self) -> int:
        return len({device.process_index for device in self.mesh.devices.flat})

    @property
    def axis_name(self) -> str | None:
        """The axis that steps join over; automatic sharding needs none."""
        return _AXIS if self.mode == "pmap" and self.count > 1 else None

    @property
    def platform(self) -> str:
        return self.target or self.mesh.devices.flat[0].platform

    @property
    def kind(self) -> str:
        """What the devices are called, as in `train.peaks`."""
        return self.target or self.mesh.devices.flat[0].device_kind

    def first(self, count: int) -> "Devices":
        """Only so many of them."""
        mesh = Mesh(self.mesh.devices.flat[:count], (_AXIS,))
        return dataclasses.replace(self, mesh=mesh)

    def context(self, alone: bool = False) -> Context:
        """On the CPU the convolutions that are fast there; elsewhere XLA's own. `alone`: in a
        training step, of which with `pmap` each device computes its share by itself."""
        if (way := self.convolutions(alone)) is None:
            return Context(remat=self.remat)
        return Context(**ways.WAYS[way], remat=self.remat)

    def convolutions(self, alone: bool = True) -> str | None:
        """Which of `ways.WAYS` the CPU takes, by default in a training step; else None."""
        divided = self.count > 1 and not (alone and self.mode == "pmap")
        return ways.way(self.conv, divided) if self.platform == "cpu" else None

    def scanned(self, net: Any, image_shape: tuple[int, int, int]) -> Mapping[str, range]:
        """The stages that a training step scans, with the numbers of their equal blocks."""
        return scan.chosen(net, image_shape, self.scan, self.convolutions())

    def positions(self, batch_size: int) -> jax.Array:
        """Each example's place in the whole batch, as the last argument of what `lower` gives:
        [batch_size], or [devices, share] for `jax.pmap`.
        """
        places = np.arange(batch_size, dtype=np.int32)
        if self._pmapped:
            return self.put_batch(places.reshape(self.count, -1))
        return self.put_batch(places) if self.axis_name else self.put(places)

    def shared(self, batch: Any) -> Any:
        """The batch, its first axis spread over the devices where sharding is automatic."""
        if self.mode == "pmap" or self.count == 1:
            return batch
        return lax.with_sharding_constraint(batch, self._sharding(_AXIS))

    def kept(self, state: Any) -> Any:
        """Within a compiled function: the state laid as `put_state` lays it."""
        if self.mode != "fsdp" or self.count == 1:
            return state
        return lax.with_sharding_constraint(state, self._layout(state))

    def put(self, tree: Any) -> Any:
        """The same arrays on every device; every process gives the same."""
        return jax.tree.map(lambda x: placed(x, self._sharding()), tree)

    def put_state(self, tree: Any) -> Any:
        """What training changes: on every device, or with `fsdp` a part of each large array on
        each."""
        return jax.tree.map(placed, tree, self._layout(tree))

    def put_batch(self, batch: Any) -> Any:
        """Arrays spread over the devices by their first axis; every process gives the whole."""
        return jax.tree.map(lambda x: placed(x, self._sharding(_AXIS)), batch)

    def share(self, batch_size: int) -> np.ndarray:
        """The places in a whole batch of what this process's devices compute on, int64 in order."""
        laid = self._sharding(_AXIS).addressable_devices_indices_map((batch_size,))
        parts = (np.arange(batch_size)[index] for index in laid.values())
        return np.unique(np.concatenate(list(parts)))

    def put_share(self, batch: Any) -> Any:
        """As `put_batch`, but every process gives its own `share` only."""
        spread = self._sharding(_AXIS)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(spread, x), batch)

    def put_own(self, batch: Any) -> Any:
        """This process's `share` of a batch as the last arguments of what `lower` gives."""
        return self.put_share(self._stacked(batch) if self._pmapped else batch)

    def _stacked(self, batch: Any) -> Any:
        """[B, ...] as [devices, share, ...]."""
        return jax.tree.map(lambda x: x.reshape(self.count, -1, *x.shape[1:]), batch)

    def gathered(self, share: np.ndarray) -> np.ndarray:
        """The whole batch in every process, of which each gives its `share`."""
        if self.processes == 1:
            return share
        together = jax.jit(lambda x: x, out_shardings=self._sharding())
        return np.asarray(together(self.put_share(share)))

    def whole(self, tree: Any) -> Any:
        """Arrays that every process can read, whatever they were spread over."""
        if self.mode != "fsdp" or self.count == 1:
            return tree
        return jax.jit(lambda x: x, out_shardings=self._sharding())(tree)

    def abstract(self, tree: Any) -> Any:
        """Shapes and types for `lower`, laid as `put` lays them."""
        return jax.tree.map(lambda x: outline(x, self._sharding()), tree)

    def abstract_state(self, tree: Any) -> Any:
        """Shapes and types for `lower`, laid as `put_state` lays them."""
        return jax.tree.map(outline, tree, self._layout(tree))

    def abstract_batch(self, tree: Any) -> Any:
        """Shapes and types for `lower`, laid as `put_batch` lays them."""
        return jax.tree.map(lambda x: outline(x, self._sharding(_AXIS)), tree)

    def abstract_own(self, tree: Any) -> Any:
        """Shapes and types of a whole batch for `lower`, laid as `put_own` lays it."""
        if self._pmapped:
            tree = jax.eval_shape(self._stacked, tree)
        return self.abstract_batch(tree)

    def abstract_positions(self, batch_size: int) -> jax.ShapeDtypeStruct:
        """`positions` for `lower`."""
        places = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
        return self.abstract_own(places) if self.axis_name else self.abstract(places)

    def lower(self, f: Callable, *args: Any, donate: tuple[int, ...] = (), own: int = 1) -> Any:
        """`f` traced for arguments that are the same on every device, but for a state that is
        `kept`, and so its results; only the last `own` arguments, of which the very last is the
        `positions`, are each device's own.
        """
        if self._pmapped:
            mapped = jax.pmap(
                f,
                _AXIS,
                in_axes=(*(None,) * (len(args) - own), *(0,) * own),
                out_axes=None,
                devices=list(self.mesh.devices.flat),
                donate_argnums=donate,
            )
            return mapped.lower(*args)
        if self.axis_name:
            same, spread = PartitionSpec(), PartitionSpec(_AXIS)
            specs = (*(same,) * (len(args) - own), *(spread,) * own)
            f = jax.shard_map(
                f, mesh=self.mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
            )
        jitted = jax.jit(f, out_shardings=self._results, donate_argnums=donate)
        return self._lowered(jitted, *args)

    def lower_batch(self, f: Callable, params: Any, batch: Any) -> Any:
        """`f(params, batch)` traced with the batch spread over the devices; every process can read
        the result."""
        spread = self._sharding(_AXIS) if self.processes == 1 else self._sharding()
        return self._lowered(jax.jit(f, out_shardings=spread), params, batch)

    def initial(self, f: Callable[[jax.Array], Any]) -> Callable[[jax.Array], Any]:
        """`f` of a key, for `put_state`."""
        laid = jax.jit(lambda key: self.kept(f(key)), out_shardings=self._results)
        return drawn(f) if self.platform == "cpu" else laid

    def _lowered(self, jitted: Any, *args: Any) -> Any:
        traced = jitted.trace(*args)
        return traced.lower(lowering_platforms=(self.target,)) if self.target else traced.lower()

    @property
    def _results(self) -> NamedSharding | None:
        """With fsdp the function itself says how its state is laid."""
        return None if self.mode == "fsdp" and self.count > 1 else self._sharding()

    @property
    def _pmapped(self) -> bool:
        """Compiled ahead, `jax.pmap` takes arguments of this process's devices only."""
        return bool(self.axis_name) and {*self.mesh.devices.flat} <= {*jax.local_devices()}

    def _sharding(self, *names: str | None) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*names))

    def _layout(self, tree: Any) -> Any:
        """Of each array the longest axis that divides among the devices is spread over them."""
        if self.mode != "fsdp" or self.count == 1:
            return jax.tree.map(lambda x: self._sharding(), tree)

        def lay(x: Any) -> NamedSharding:
            fits = [n if n % self.count == 0 else 0 for n in x.shape]
            if math.prod(x.shape) < _LEAST or not any(fits):
                return self._sharding()
            return self._sharding(*(None,) * fits.index(max(fits)), _AXIS)

        return jax.tree.map(lay, tree)


def local(
    mode: str = "pmap",
    count: int | None = None,
    scan_blocks: bool | None = None,
    remat: bool = False,
    conv: str | None = None,
    data_workers: int | None = None,
) -> Devices:
    """The first `count` local devices, by default all; over several processes all devices of all.

    Raises:
      UserError: an unknown mode, more devices than there are, or no such convolutions here.
    """
    if mode not in MODES:
        raise unknown("parallel mode", mode, MODES)
    devices = jax.devices()
    if count is not None and jax.process_count() > 1:
        raise UserError("devices: several processes use all of theirs: leave --devices out")
    if count is not None and not 1 <= count <= len(devices):
        raise UserError(f"devices: {count} is out of range: there are {len(devices)}")
    if data_workers is None:  # Where the cores compute, threads beside them do.
        data_workers = 0 if devices[0].platform == "cpu" else pipeline.spare_processes()
    if conv == "native" and (why := ways.missing("cpu")):
        raise UserError(f"conv: there are no native convolutions: {why}")
    mesh = Mesh(np.array(devices[:count]), (_AXIS,))
    return Devices(mesh, mode, scan_blocks, remat=remat, conv=conv, data_workers=data_workers)


def check(recipe: Recipe, examples: int, devices: Devices) -> None:
    """Refuse a batch that the devices can't share evenly or the training images can't fill, and
    statistics a device where no device sees its own share.

    Raises:
      UserError: saying what fits.
    """
    size = recipe.batch_size
    shares = devices.count * recipe.accumulate
    if size % shares:
        parts = f" in {recipe.accumulate} parts (accumulate)" if recipe.accumulate > 1 else ""
        raise UserError(
            f"batch_size: {size} does not divide among {devices.count} devices{parts}; "
            f"try {max(1, round(size / shares)) * shares}"
        )
    if size > examples:
        raise UserError(f"batch_size: {size} is more than the {examples} training images there are")
    if recipe.batch_norm == "device" and devices.count > 1 and not devices.axis_name:
        raise UserError(
            f"batch_norm: with --parallel={devices.mode} statistics are the whole batch's; use "
            "--parallel=pmap for those of each device"
        )
