"""float64 exists in JAX only where it is switched on."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Within it, arrays of `dtype` exist, in Orbax's threads too, which JAX's own switch in a
    `with` does not reach.
    """
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", before or dtype == "float64")
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
