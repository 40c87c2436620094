"""How a net runs, which is no part of what it is: handed down to every layer."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def axis(name: str, default: Any = dataclasses.MISSING) -> Any:
    """Declare a field that the axis `name` of `vary` moves."""
    return dataclasses.field(default=default, metadata={"axis": name})


def wide(dtype: Any) -> Any:
    """float64 for float64, float32 for anything narrower."""
    return jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32


@dataclasses.dataclass(frozen=True)
class Step:
    """How a block's first spatial operation moves: `by` pixels over a map whose units stand `rate`
    pixels apart; `after` is their distance for what follows it.

    The rates differ from 1 where a net's stride was traded for dilation (`vary.output_stride`).
    """

    by: int = 1
    rate: int = 1
    after: int = 1

    @property
    def then(self) -> "Step":
        """For the operations that follow."""
        return Step(1, self.after, self.after)


ONE = Step()


@dataclasses.dataclass(frozen=True)
class Context:
    """How a net runs. `keys` are one random key per example, so that devices change nothing."""

    train: bool = False
    dtype: Any = None  # Compute in this type; None: the type of the input.
    axis_name: str | None = None  # Batch norm over this device axis.
    conv: Callable = lax.conv_general_dilated
    max_pool: Callable | None = None  # Instead of Flax's, where that is slow.
    batch_norm: Callable | None = None  # Likewise, by a float32 batch's own moments.
    inference: Callable | None = None  # What makes of inference a function that is faster.
    gradient: Callable | None = None  # Likewise of the gradient of a loss.
    keys: jax.Array | None = None
    scan: frozenset[str] = frozenset()  # Stages whose equal blocks are scanned, by name.
    remat: bool = False  # Compute what is inside a block again in its backward pass.
    path: str = ""  # Where in the net, for messages and random draws.
    block: Any = 0  # The block's number in its stage, traced where blocks are scanned.

    def dtypes(self, x: jax.Array) -> dict[str, Any]:
        """Compute and parameter type for an input; parameters have at least 32 bits."""
        dtype = self.dtype or x.dtype
        return {"dtype": dtype, "param_dtype": wide(dtype)}

    def draws(self, name: str) -> jax.Array:
        """One key per example for the draw `name` made here: [B]."""
        stage = self.path.split("/")[0]  # Scanned blocks stand deeper, and draw the same.
        place = jnp.uint32(zlib.crc32(f"{stage}/{name}".encode()))
        fold = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, place), self.block))
        return fold(self.keys)
