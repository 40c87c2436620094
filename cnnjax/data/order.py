"""The order in which a training sees its examples."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # What reads images in processes of its own shall not wait for JAX.
    import jax


def order(key: "jax.Array", epoch: "jax.Array | int", examples: int) -> "jax.Array":
    """A permutation of 0..examples-1 for the epoch, int32 [examples], from the training's key.

    The same in memory and streamed, on every platform and whatever the types in use.
    """
    import jax
    import jax.numpy as jnp

    epoch_key = jax.random.fold_in(jax.random.fold_in(key, 1), epoch)
    return jax.random.permutation(epoch_key, jnp.arange(examples, dtype=jnp.int32))
