"""Gradient flow: how much of the loss's gradient reaches each layer.

Where it falls or grows by a factor a layer, deep nets don't train (Hochreiter 1991; Glorot & Bengio
2010, "Understanding the difficulty of training deep feedforward neural networks", §4.2): sigmoid
against ReLU, plain against residual.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.compute.trace import trace
from cnnjax.compute.training import heads
from cnnjax.errors import UserError

if TYPE_CHECKING:
    import flax.linen as nn


def gradient_flow(
    net: "nn.Module", variables: Mapping, images: Any, labels: Any
) -> list[dict[str, Any]]:
    """A row a convolution or dense layer, in order of execution, for the mean cross-entropy of a
    batch: normalised images [B, H, W, C], labels [B].

    In training mode with the batch's own statistics and with auxiliary losses; dropout is only in
    modules that draw it themselves. `layer` is the scope, `depth` counts from 1, `gradient` and
    `weights` are Euclidean norms of the kernel's gradient and the kernel, `relative` is their ratio
    (None where the kernel is zero). A layer that runs twice has one row. Compiles: seconds.

    Raises:
      UserError: images and labels that don't go together.
    """
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    whole = jnp.issubdtype(labels.dtype, jnp.integer)
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(images) or not whole:
        raise UserError(
            "gradient flow needs images [B, H, W, C] and for each the number of its class, not "
            f"{list(images.shape)} and {labels.dtype} {list(labels.shape)}"
        )
    layers = trace(net, images.shape[1:]).layers
    rest = dict(variables)
    params = rest.pop("params")

    def loss(params: Any, rest: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        found = heads(net, params, rest, images)
        return sum(weight * _cross_entropy(logits, labels) for logits, weight in found)

    gradient = jax.jit(jax.grad(loss))(params, rest, images, labels)
    # Auxiliary heads, which run in training only, have no equation here, and no row.
    paths = dict.fromkeys(layer.path for layer in layers if layer.eqn)
    norms = [(path, _norm(gradient, path), _norm(params, path)) for path in paths]
    kept = [(path, g, w) for path, g, w in norms if g is not None]
    return [
        {
            "layer": path or type(net).__name__,
            "depth": depth,
            "gradient": g,
            "weights": w,
            "relative": g / w if w else None,
        }
        for depth, (path, g, w) in enumerate(kept, 1)
    ]


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    right = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=-1) - right).mean()


def _norm(tree: Any, path: str) -> float | None:
    """Of the arrays of two dimensions and more in a scope: its kernel. None where it has none."""
    for name in filter(None, path.split("/")):
        tree = tree.get(name, {})
    kernels = [leaf for leaf in tree.values() if getattr(leaf, "ndim", 0) > 1]
    # In float64, where a vanishing gradient's square does not vanish altogether.
    squares = [np.square(np.asarray(kernel, np.float64)).sum() for kernel in kernels]
    return float(np.sqrt(sum(squares))) if kernels else None
