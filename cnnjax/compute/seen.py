"""What a net makes of single images: its maps, and what its answer and its last map hang on.

All of it from one compiled program, so that it can be had of every net: about a second for a small
one on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.compute.forward import abstract_variables
from cnnjax.errors import UserError

if TYPE_CHECKING:
    import flax.linen as nn

_DEPTH = 2  # Scopes as deep as `stage1/block2`; what is inside a block has no map worth a look.


@dataclass(frozen=True, eq=False)
class Seen:
    """Float32 arrays, a row an image.

    Attributes:
      logits: [N, classes].
      maps: [N, H', W', C] by scope.
      saliency: [N, H, W], the largest of the channels' derivatives of the label's logit by each
        pixel, without their signs (Simonyan, Vedaldi & Zisserman 2014, "Deep inside convolutional
        networks", §3).
      field: [N, H, W], the root mean square of the derivative of the last map's middle unit: its
        effective receptive field (Luo et al. 2016; over many images `effective.effective_field`).
    """

    logits: np.ndarray
    maps: dict[str, np.ndarray]
    saliency: np.ndarray
    field: np.ndarray


def map_shapes(net: "nn.Module", image_shape: Sequence[int]) -> dict[str, tuple[int, int, int]]:
    """(H, W, C) of the map that each outer scope gives, in order of execution."""
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    order: list[str] = []

    def named(module: Any, method: str) -> bool:
        order.append("/".join(module.path))
        return method == "__call__" and 0 < len(module.path) <= _DEPTH

    def run(variables: Any, x: jax.Array) -> Any:
        return _captured(net, variables, x, named)[1]

    caught = jax.eval_shape(run, abstract_variables(net, tuple(image_shape)), image)
    shapes = {scope: _at(caught, scope) for scope in dict.fromkeys(order)}
    return {
        scope: tuple(found.shape[1:])
        for scope, found in shapes.items()
        if found is not None and len(found.shape) == 4
    }


def see(
    net: "nn.Module",
    variables: Any,
    images: Any,
    labels: Any,
    scopes: Sequence[str] = (),
    seed: int = 0,
) -> Seen:
    """Of normalised images [N, H, W, C] and the numbers of their classes [N], with the maps of the
    named scopes. Compiles: a second or more.

    Raises:
      UserError: images and labels that don't go together, or a net without maps or the scope.
    """
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    whole = jnp.issubdtype(labels.dtype, jnp.integer)
    floats = jnp.issubdtype(images.dtype, jnp.floating)
    if images.ndim != 4 or labels.shape != images.shape[:1] or not (whole and floats):
        raise UserError(
            "saliency needs normalised images as floats [N, H, W, C] and for each the number of "
            f"its class, not {images.dtype} {list(images.shape)} and {labels.dtype} "
            f"{list(labels.shape)}"
        )
    known = map_shapes(net, images.shape[1:])
    if missing := [scope for scope in scopes if scope not in known]:
        raise UserError(f"the net has no map of the scope {missing[0]!r}")
    if not known:
        raise UserError("the net computes no map of the image: use one with a spatial layer")
    last = [*known][-1]
    wanted = {*scopes, last}

    def named(module: Any, method: str) -> bool:
        return method == "__call__" and "/".join(module.path) in wanted

    def run(variables: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> Any:
        def forward(x: jax.Array) -> Any:
            logits, caught = _captured(net, variables, x, named)
            maps = {scope: _at(caught, scope) for scope in wanted}
            return (logits, maps[last]), maps

        (logits, top), pull, maps = jax.vjp(forward, images, has_aux=True)
        chosen = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        of_label = pull((chosen, jnp.zeros_like(top)))[0]
        # Random signs: on average the square of the sum's derivative is that of the channels'.
        signs = jax.random.rademacher(key, (len(top), top.shape[-1]), top.dtype)
        middle = top.shape[1] // 2, top.shape[2] // 2
        unit = jnp.zeros_like(top).at[:, *middle].set(signs)
        of_unit = pull((jnp.zeros_like(logits), unit))[0].astype(jnp.float32)
        field = jnp.sqrt(jnp.square(of_unit).mean(-1) / top.shape[-1])
        saliency = jnp.abs(of_label).max(-1)
        return logits, maps, saliency, field

    # It runs once: on a CPU the code's own optimisation would cost more than it saves.
    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    found = jax.jit(run, compiler_options=quick)(variables, images, labels, jax.random.key(seed))
    logits, maps, saliency, field = jax.tree.map(lambda x: np.asarray(x, np.float32), found)
    return Seen(logits, {scope: maps[scope] for scope in scopes}, saliency, field)


def _captured(net: "nn.Module", variables: Any, x: jax.Array, named: Any) -> tuple[Any, Any]:
    """The net's output, and what it captured of the scopes that `named(module, method)` accepts."""
    logits, state = net.apply(
        variables, x, train=False, capture_intermediates=named, mutable=["intermediates"]
    )
    return logits, state.get("intermediates", {})


def _at(caught: Any, scope: str) -> Any:
    """What a scope's first call gave, None where it was not captured."""
    for name in scope.split("/"):
        caught = caught.get(name, {})
    found = caught.get("__call__", (None,))[0]
    return found if hasattr(found, "shape") else None
