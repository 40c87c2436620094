"""float64 exists in JAX only where it is switched on."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Within it, arrays of `dtype` exist."""
    if dtype != "float64":
        yield
        return
    with jax.enable_x64(True):
        yield
