"""Keras' version of a net on its JAX backend: the same layers of keras.layers, from the same value,
trained by its own `train_on_batch` and asked by `predict_on_batch`."""

import functools
import os
import sys
from typing import Any

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np
from keras import layers

from cnnjax.errors import UserError
from cnnjax.nets.activations import ReLU, ReLU6
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.connect import Convolution
from cnnjax.nets.context import ONE, Step
from cnnjax.nets.layers import Same, divisible, sides
from cnnjax.nets.mobilenet_v1 import Separable
from cnnjax.nets.net import Flatten, GlobalAverage, Head, Net
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.pools import Average, Max, Pool
from cnnjax.nets.shortcuts import NoShortcut, PadShortcut, ProjectionShortcut
from cnnjax.peers import Program, Programs, first_call

Map = Any  # A symbolic [B, H, W, C].


def make(net: Any, image_shape: tuple[int, int, int], batch_size: int, seed: int = 0) -> Programs:
    """A model compiled by Keras with its SGD and cross-entropy."""
    draws = np.random.default_rng(seed)
    images = draws.normal(size=(batch_size, *image_shape)).astype(np.float32)
    labels = np.zeros(batch_size, np.int32)

    def training() -> Program:
        with jax.numpy_dtype_promotion("standard"):
            model = build(net, image_shape)
            rule = keras.optimizers.SGD(1e-9, 0.9, nesterov=True, weight_decay=5e-4)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer=rule, loss=loss)

        def call(count: int) -> None:
            with jax.numpy_dtype_promotion("standard"):
                for _ in range(count):
                    model.train_on_batch(images, labels)  # It waits for the loss.

        return Program(call, first_call(call))

    def inference() -> Program:
        with jax.numpy_dtype_promotion("standard"):
            model = build(net, image_shape)

        def call(count: int) -> None:
            with jax.numpy_dtype_promotion("standard"):
                for _ in range(count):
                    model.predict_on_batch(images)

        return Program(call, first_call(call))

    return Programs(training, inference)


def build(net: Net, image_shape: tuple[int, int, int]) -> keras.Model:
    """The net as a model: images [B, H, W, C] → logits.

    Raises:
      UserError: a part of it has no version here, naming it.
    """
    given = x = keras.Input(image_shape)
    for stage in net.named_stages.values():
        if stage.before or stage.rate * stage.traded > 1:
            raise _none(stage)
        for block, step in stage.blocks:
            x = through(block, x, step)
        x = through(stage.pool, x, ONE) if stage.pool else x
    return keras.Model(given, through(net.head, x, ONE))


@functools.singledispatch
def through(part: Any, x: Map, step: Step) -> Map:
    """What the part of a net makes of x."""
    raise _none(part)


def _none(part: Any) -> UserError:
    return UserError(f"{type(part).__name__} has no version in Keras here")


def conv(
    x: Map, features: int, kernel: int, *, step: Step = ONE, dilation: int = 1,
    groups: int | None = 1, padding: int | Same | None = None, bias: bool = False,
) -> Map:  # fmt: skip
    """A convolution padded as `nets.layers.conv` pads it."""
    if step.by > 1 and dilation > 1:
        raise UserError("Keras has no strided convolution that is dilated")
    pads = tuple(sides(padding, n, dilation * (kernel - 1), step) for n in x.shape[1:3])
    x = layers.ZeroPadding2D(pads)(x) if any(map(any, pads)) else x
    alike = {"strides": step.by, "dilation_rate": dilation, "use_bias": bias}
    if groups is None:
        return layers.DepthwiseConv2D(kernel, **alike)(x)
    return layers.Conv2D(features, kernel, groups=groups, **alike)(x)


def norm(of: Any, x: Map) -> Map:
    match of:
        case NoNorm():
            return x
        case BatchNorm(momentum, epsilon):
            return layers.BatchNormalization(momentum=momentum, epsilon=epsilon)(x)
    raise _none(of)


def act(of: Any, x: Map) -> Map:
    match of:
        case ReLU():
            return layers.ReLU()(x)
        case ReLU6():
            return layers.ReLU(6.0)(x)
    raise _none(of)


@through.register
def _(part: Plain, x: Map, step: Step) -> Map:
    if part.connect != Convolution() or part.respond:
        raise _none(part.respond or part.connect)
    bias = isinstance(part.norm, NoNorm) if part.bias is None else part.bias
    x = conv(x, divisible(part.features, part.groups), part.kernel, step=step,
             dilation=part.dilation, groups=part.groups, padding=part.padding,
             bias=bias)  # fmt: skip
    return act(part.act, norm(part.norm, x))


@through.register
def _(part: Separable, x: Map, step: Step) -> Map:
    bias = isinstance(part.norm, NoNorm)
    x = conv(x, x.shape[-1], part.kernel, step=step, dilation=part.dilation, groups=part.groups,
             padding=part.padding, bias=bias)  # fmt: skip
    x = act(part.act, norm(part.norm, x))
    x = conv(x, divisible(part.features, part.groups), 1, bias=bias)
    return act(part.act, norm(part.norm, x))


@through.register
def _(part: Residual, x: Map, step: Step) -> Map:
    if part.gate or step.rate != 1:
        raise _none(part.gate or part)
    features, bias = divisible(part.features, part.groups), isinstance(part.norm, NoNorm)
    alike = {"dilation": part.dilation, "groups": part.groups, "bias": bias}
    y = act(part.act, norm(part.norm, conv(x, features, part.kernel, step=step, **alike)))
    y = norm(part.norm, conv(y, features, part.kernel, **alike))
    return act(part.act, _joined(part, x, y, step))


def _joined(part: Residual, x: Map, y: Map, step: Step) -> Map:
    extra = y.shape[-1] - x.shape[-1]
    match part.shortcut:
        case NoShortcut():
            return y
        case PadShortcut() if extra >= 0:
            x = x if step.by == 1 else x[:, :: step.by, :: step.by]
            around = ((0, 0), (0, 0), (0, 0), (extra // 2, extra - extra // 2))
            return layers.add([y, keras.ops.pad(x, around) if extra else x])
        case ProjectionShortcut():
            if step.by > 1 or extra:
                bias = isinstance(part.norm, NoNorm)
                x = norm(part.norm, conv(x, y.shape[-1], 1, step=step, bias=bias))
            return layers.add([y, x])
    raise _none(part.shortcut)


@through.register
def _(part: Pool, x: Map, step: Step) -> Map:
    if part.respond or part.rate * part.traded > 1 or part.padding or part.ceil:
        raise _none(part)
    match part.kind:
        case Max():
            return layers.MaxPooling2D(part.window, part.stride)(x)
        case Average():
            return layers.AveragePooling2D(part.window, part.stride)(x)
    raise _none(part.kind)


@through.register
def _(part: Head, x: Map, step: Step) -> Map:
    if not isinstance(part.norm, NoNorm) or not isinstance(part.reduce, GlobalAverage | Flatten):
        raise _none(part)
    mean = isinstance(part.reduce, GlobalAverage)
    x = (layers.GlobalAveragePooling2D() if mean else layers.Flatten())(x)
    x = layers.Dropout(part.reduced_dropout)(x) if part.reduced_dropout else x
    for features in part.hidden:
        x = act(part.act, layers.Dense(features)(x))
        x = layers.Dropout(part.dropout)(x) if part.dropout else x
    return layers.Dense(part.classes)(x)
