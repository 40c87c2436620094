"""Keras' side, on its JAX backend: its layers in order of their calls, as layers in our layout."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import keras
import numpy as np
from keras import layers

from tests.peers import carry
from tests.peers.carry import Layer

OURS = {
    "kernel": "kernel",
    "bias": "bias",
    "gamma": "scale",
    "beta": "bias",
    "moving_mean": "mean",
    "moving_variance": "var",
}


def build(make: Callable[[], keras.Model]) -> tuple[keras.Model, list[layers.Layer]]:
    """The model, and those of its layers that have weights in the order in which `make` calls
    them, which no attribute of the model tells."""
    called, original = [], layers.Layer.__call__

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        out = original(layer, *args, **kwargs)
        called.append(layer)
        return out

    def zeros(initializer: Any, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return keras.ops.zeros(shape, dtype)  # Quick; all values are drawn later.

    with (
        jax.numpy_dtype_promotion("standard"),
        mock.patch.object(layers.Layer, "__call__", call),
        mock.patch.object(keras.initializers.GlorotUniform, "__call__", zeros),
    ):
        model = make()
    return model, [layer for layer in called if layer.weights]


def layer_of(layer: layers.Layer) -> Layer:
    """A Keras layer in our layout."""
    held = {w.name: np.asarray(w.value) for w in layer.weights}
    values = {OURS[name]: value for name, value in held.items()}
    if isinstance(layer, layers.DepthwiseConv2D):
        values["kernel"] = carry.kernel_from_depthwise(values["kernel"])
    kind = "linear" if "kernel" in values else "norm"
    return Layer(layer.name, kind, values, getattr(layer, "epsilon", 0.0))


def biases_in_norms(found: list[Layer]) -> list[Layer]:
    """A convolution's bias taken off the mean of the batch norm that follows it."""
    out: list[Layer] = []
    for layer in found:
        before = out[-1].values if out else {}
        if "mean" in layer.values and {"kernel", "bias"} == before.keys():
            values = dict(before)
            mean = layer.values["mean"] - values.pop("bias")
            out[-1] = dataclasses.replace(out[-1], values=values)
            layer = dataclasses.replace(layer, values=layer.values | {"mean": mean})
        out.append(layer)
    return out


def randomise(
    model: keras.Model, called: list[layers.Layer], x: np.ndarray, rng: np.random.Generator
) -> None:
    """Every value of the layers drawn; running statistics are near those of x, yet not equal."""
    for layer in called:
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        for weight in layer.weights:
            fan_in = math.prod(weight.shape[:2] if depthwise else weight.shape[:-1])
            weight.assign(carry.draw(rng, OURS[weight.name], weight.shape, fan_in))
    original = layers.BatchNormalization.call

    def settle(norm: layers.BatchNormalization, given: jax.Array, **kwargs: Any) -> jax.Array:
        """Before the norm runs, so that maps keep their size behind it."""
        mean, var = given.mean((0, 1, 2)), given.var((0, 1, 2))
        mean, var = carry.unsettle(rng, mean, var)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(var)
        return original(norm, given, **kwargs)

    with mock.patch.object(layers.BatchNormalization, "call", settle):
        _, settled = _run(model, x)
    for variable, value in zip(model.non_trainable_variables, settled, strict=True):
        variable.assign(value)


def logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """For images [B, H, W, C], in inference."""
    return np.asarray(_run(model, x)[0])


def _run(model: keras.Model, x: np.ndarray) -> tuple[jax.Array, list[jax.Array]]:
    """Logits, and the values of what is not trained, as the run leaves them."""
    held = (model.trainable_variables, model.non_trainable_variables)
    run = jax.jit(lambda *given: model.stateless_call(*given, training=False))
    with jax.numpy_dtype_promotion("standard"):
        return run(*([v.value for v in variables] for variables in held), x)


def maps(model: keras.Model, found: list[Layer], x: np.ndarray) -> dict[str, np.ndarray]:
    """What each of the layers gives, without a bias that was taken off the norm behind it."""
    named = {layer.where: model.get_layer(layer.where) for layer in found}
    inner = keras.Model(model.input, {name: layer.output for name, layer in named.items()})
    with jax.numpy_dtype_promotion("standard"):
        given = jax.tree.map(np.asarray, inner(x, training=False))
    for layer in found:
        bias = getattr(named[layer.where], "bias", None)
        if layer.kind == "linear" and bias is not None and "bias" not in layer.values:
            given[layer.where] = given[layer.where] - np.asarray(bias.value)
    return given


def check(
    net: Any,
    make: Callable[[], keras.Model],
    arrange: Callable[[list[Layer]], list[Layer]],
    x: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """That our net and the model, its values drawn, give equal logits for x; the difference."""
    model, called = build(make)
    randomise(model, called, x, rng)
    found = arrange([layer_of(layer) for layer in called])
    return carry.check(net, found, x, logits(model, x), lambda: maps(model, found, x))
