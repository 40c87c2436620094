"""Flax as one writes it first: the same modules with XLA's convolutions and pools, Optax's SGD, and
a jitted step dispatched once a batch."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.peers import Program, Programs
from cnnjax.train.clock import temp_bytes
from cnnjax.train.speed import built


def make(net: Any, image_shape: tuple[int, int, int], batch_size: int, seed: int = 0) -> Programs:
    """On JAX's default device."""
    images = jax.random.normal(jax.random.key(seed), (batch_size, *image_shape))
    labels = jnp.zeros(batch_size, jnp.int32)
    variables = jax.jit(net.init)(jax.random.key(seed), images)
    params, stats = variables["params"], variables.get("batch_stats", {})
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.0, 0.9, nesterov=True))

    def step(params: Any, stats: Any, moments: Any) -> tuple[Any, Any, Any]:
        def loss(params: Any) -> tuple[jax.Array, Any]:
            logits, new = net.apply({"params": params, "batch_stats": stats}, images, train=True,
                                    mutable=["batch_stats"])  # fmt: skip
            each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return each.mean(), new.get("batch_stats", {})

        gradients, new = jax.grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), new, moments

    def training() -> Program:
        state = jax.tree.map(jnp.copy, (params, stats, optimizer.init(params)))
        anew = lambda *state: step(*state)  # noqa: E731 - `step` itself JAX would know already.
        lowered = jax.jit(anew, donate_argnums=(0, 1, 2)).lower
        _, compiled, seconds = built(lambda: (None, lowered(*state).compile()))

        def call(count: int) -> None:
            nonlocal state
            for _ in range(count):
                state = compiled(*state)
            jax.block_until_ready(state)

        return Program(call, seconds, temp_bytes(compiled))

    def inference() -> Program:
        lowered = jax.jit(lambda variables, images: net.apply(variables, images)).lower
        _, compiled, seconds = built(lambda: (None, lowered(variables, images).compile()))

        def call(count: int) -> None:
            for _ in range(count):
                logits = compiled(variables, images)
            jax.block_until_ready(logits)

        return Program(call, seconds, temp_bytes(compiled))

    return Programs(training, inference, anew=True)
