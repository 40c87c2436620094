"""Arrays laid out over devices as a sharding says, those of several processes too."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding


def placed(x: Any, sharding: NamedSharding) -> jax.Array:
    """An array laid out so; over several processes without asking whether they all gave the same,
    for which JAX would send it around."""
    if sharding.is_fully_addressable:
        return jax.device_put(x, sharding)
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = placed(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return jax.jit(lambda x: x, out_shardings=sharding)(x)
    host = np.asarray(x)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def outline(x: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    """Its shape and type, laid out so."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
