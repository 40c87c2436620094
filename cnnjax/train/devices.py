"""Which devices compute, and how: the only file that knows pmap, meshes and shardings."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.errors import UserError, unknown
from cnnjax.nets.context import Context
from cnnjax.train import convolution, scan

MODES = ("pmap", "jit")
_AXIS = "data"


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of one training and how the batch is shared: `pmap` or `jit` over a mesh.

    `scan` says whether equal blocks are scanned; None leaves it to the rule in `train.scan`.
    """

    mesh: Mesh
    mode: str
    scan: bool | None = None

    @property
    def count(self) -> int:
        return self.mesh.size

    @property
    def axis_name(self) -> str | None:
        """The axis that steps join over; automatic sharding needs none."""
        return _AXIS if self.mode == "pmap" and self.count > 1 else None

    @property
    def platform(self) -> str:
        return self.mesh.devices.flat[0].platform

    def context(self) -> Context:
        """On the CPU the gradients that are fast in a loop; elsewhere XLA's own."""
        if self.platform != "cpu":
            return Context()
        return Context(conv=convolution.conv_general_dilated, max_pool=convolution.max_pool)

    def scanned(self, net: Any, image_shape: tuple[int, int, int]) -> Mapping[str, range]:
        """The stages that a training step scans, with the numbers of their equal blocks."""
        return scan.chosen(net, image_shape, self.scan, self.platform)

    def positions(self, batch_size: int) -> jax.Array:
        """Each example's place in the whole batch, as the last argument of what `compile` gives:
        [batch_size], or [devices, share] where every device is handed its own.
        """
        places = np.arange(batch_size, dtype=np.int32)
        if self.axis_name:
            return self.put_batch(places.reshape(self.count, -1))
        return self.put(places)

    def shared(self, batch: Any) -> Any:
        """The batch, its first axis spread over the devices where sharding is automatic."""
        if self.mode == "pmap" or self.count == 1:
            return batch
        return lax.with_sharding_constraint(batch, self._sharding(_AXIS))

    def put(self, tree: Any) -> Any:
        """The same arrays on every device."""
        return jax.device_put(tree, self._sharding())

    def put_batch(self, batch: Any) -> Any:
        """Arrays spread over the devices by their first axis."""
        return jax.device_put(batch, self._sharding(_AXIS))

    def compile(self, f: Callable, *args: Any, donate: tuple[int, ...] = ()) -> Callable:
        """`f` compiled for arguments that are the same on every device, and so its results; only
        the last argument, the `positions`, is each device's own.
        """
        if self.axis_name:
            mapped = jax.pmap(
                f,
                _AXIS,
                in_axes=(*(None,) * (len(args) - 1), 0),
                out_axes=None,
                devices=list(self.mesh.devices.flat),
                donate_argnums=donate,
            )
            return mapped.lower(*args).compile()
        whole = self._sharding()
        return jax.jit(f, out_shardings=whole, donate_argnums=donate).lower(*args).compile()

    def compile_batch(self, f: Callable, params: Any, batch: Any) -> Callable:
        """`f(params, batch)` compiled with the batch and the result spread over the devices."""
        return jax.jit(f, out_shardings=self._sharding(_AXIS)).lower(params, batch).compile()

    def _sharding(self, *names: str) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*names))


def local(mode: str = "pmap", count: int | None = None, scan_blocks: bool | None = None) -> Devices:
    """The first `count` local devices, by default all.

    Raises:
      UserError: an unknown mode, or more devices than there are.
    """
    if mode not in MODES:
        raise unknown("parallel mode", mode, MODES)
    devices = jax.local_devices()
    if count is not None and not 1 <= count <= len(devices):
        raise UserError(f"devices: {count} is out of range: there are {len(devices)}")
    return Devices(Mesh(np.array(devices[:count]), (_AXIS,)), mode, scan_blocks)


def check_batch(batch_size: int, examples: int, devices: Devices) -> None:
    """Refuse a batch that the devices can't share evenly or the training images can't fill."""
    if batch_size % devices.count:
        raise UserError(
            f"batch_size: {batch_size} does not divide among {devices.count} devices; "
            f"try {max(1, round(batch_size / devices.count)) * devices.count}"
        )
    if batch_size > examples:
        raise UserError(
            f"batch_size: {batch_size} is more than the {examples} training images there are"
        )
