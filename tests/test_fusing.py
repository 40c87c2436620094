"""Inference with what follows a convolution done in it equals inference without."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import nets
from cnnjax.nets.context import Context
from cnnjax.train import convolution, fusing, ways
from cnnjax.train.devices import local
from cnnjax.train.native import library
from tests.test_native import CHANNELS, call, drawn, near

NATIVE = not library.missing()
pytestmark = pytest.mark.skipif(not NATIVE, reason=f"native convolutions: {library.missing()}")

# What may be done to a map, with numbers by channel and another map.
STEPS = {
    "scale": lambda y, row, map: y * row,
    "shift": lambda y, row, map: row + y,
    "center": lambda y, row, map: y - row[None, None, None],
    "turn": lambda y, row, map: row - y,
    "double": lambda y, row, map: 2 * y,
    "shortcut": lambda y, row, map: map + y,
    "differ": lambda y, row, map: y - map,
    "relu": lambda y, row, map: jax.nn.relu(y),
    "relu6": lambda y, row, map: jnp.clip(y, -0.5, 0.5),
    "least": lambda y, row, map: jnp.minimum(0.25, y),
    "bound": lambda y, row, map: jnp.maximum(y, row),
    "tanh": lambda y, row, map: jnp.tanh(y),
    "twice": lambda y, row, map: y * jax.nn.sigmoid(y),
    "itself": lambda y, row, map: y + y,
}


def kinds(f, *args):
    """How many convolutions come to an end of their own, how many do not, and what is cut off by
    itself."""
    text = str(jax.make_jaxpr(f)(*args))
    names = ("=cnnjax_finish", "=cnnjax_convolve", "= max ")
    return [text.count(name) for name in names]


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    batch=st.sampled_from([1, 2, 16]),
    size=st.tuples(st.integers(1, 10), st.integers(1, 10) | st.sampled_from([16, 18, 24])),
    kernel=st.sampled_from([(1, 1), (3, 3), (2, 5)]),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    channels=st.sampled_from([*CHANNELS, (16, 1, 1), (1, 3, 64)]),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=5),
)
def test_whatever_follows_a_convolution(batch, size, kernel, stride, channels, steps):
    groups, per, out = channels
    pads = tuple((k // 2, k // 2) for k in kernel)
    x, w = drawn((batch, *size, groups * per), (*kernel, per, groups * out))
    convolve = functools.partial(call, convolution.native, stride=stride, pads=pads, groups=groups)
    row, beside = drawn((groups * out,), convolve(x, w).shape)

    def f(x, w, row, beside):
        y = convolve(x, w)
        for step in steps:
            y = STEPS[step](y, row, beside)
        return y

    fused = fusing.fused(f)
    near(jax.jit(fused)(x, w, row, beside), np.asarray(f(x, w, row, beside)))
    assert kinds(fused, x, w, row, beside)[:2] == [1, 0]


def test_a_block_is_its_convolutions():
    """Scaled, shifted, added to and cut off in them; that of the shortcut is added to the other."""
    x, first, second, short, rows = drawn(
        (2, 16, 16, 8), (3, 3, 8, 16), (3, 3, 16, 16), (1, 1, 8, 16), (6, 16)
    )

    def block(x, first, second, short, rows):
        y = jax.nn.relu(call(convolution.native, x, first) * rows[0] + rows[1])
        y = call(convolution.native, y, second) * rows[2] + rows[3]
        beside = call(convolution.native, x, short, pads=((0, 0), (0, 0))) * rows[4] + rows[5]
        return jax.nn.relu(y + beside)

    given = (x, first, second, short, rows)
    assert kinds(block, *given) == [0, 3, 1] and kinds(fusing.fused(block), *given) == [3, 0, 0]
    near(jax.jit(fusing.fused(block))(*given), np.asarray(block(*given)))


def test_what_is_wanted_as_it_is_is_there_too():
    x, w = drawn((2, 6, 6, 8), (3, 3, 8, 16))

    def f(x, w):
        y = call(convolution.native, x, w)
        return {"cut": jax.nn.relu(y), "itself": y, "inputs": (x, w), "number": 3.0}

    found, truth = jax.jit(fusing.fused(f))(x, w), f(x, w)
    assert kinds(fusing.fused(f), x, w) == [1, 0, 1]
    assert jax.tree.structure(found) == jax.tree.structure(truth)
    jax.tree.map(np.testing.assert_array_equal, found, truth)


def test_one_channel_that_becomes_several():
    x, w, row = drawn((2, 6, 6, 8), (3, 3, 8, 1), (5,))

    def f(x, w, row):
        return jax.lax.mul(call(convolution.native, x, w), row[None, None, None])

    found = jax.jit(fusing.fused(f))(x, w, row)
    near(found, np.asarray(f(x, w, row)))


def test_what_is_no_number_stays_none():
    x, w = drawn((1, 4, 4, 8), (1, 1, 8, 8))
    x = x.at[0, 1, 2].set(jnp.nan)

    def f(x, w):
        return jnp.clip(call(convolution.native, x, w, pads=((0, 0), (0, 0))), 0.0, 6.0)

    found = jax.jit(fusing.fused(f))(x, w)
    assert np.isnan(found[0, 1, 2]).all() and np.isnan(found).sum() == 8


@pytest.mark.parametrize(
    "name",
    ["convnext_tiny", "densenet121", "googlenet", "resnet20", "resnet50_v2", "seresnet18", "vgg11"],
)
def test_a_net_keeps_no_convolution_without_an_end(name):
    """Traced: each that is native comes to an end of its own."""
    net = nets.get(name, 10)
    x = jax.ShapeDtypeStruct((2, *nets.native_shape(name)), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    context = Context(**ways.WAYS["native"])
    apply = functools.partial(net.apply, train=False, context=context)
    before = kinds(apply, variables, x)
    assert kinds(fusing.fused(apply), variables, x)[:2] == [before[1], 0]


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mobilenet_v2"])
def test_logits_are_the_same(name):
    net = nets.get(name, 10, (32, 32, 3))
    (x,) = drawn((3, 32, 32, 3))
    draws = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda a: jnp.asarray(draws.uniform(0.01, 0.1, a.shape), a.dtype),
        jax.eval_shape(net.init, jax.random.key(0), x),
    )
    apply = functools.partial(net.apply, train=False, context=Context(**ways.WAYS["native"]))
    near(jax.jit(fusing.fused(apply))(variables, x), np.asarray(jax.jit(apply)(variables, x)))


def test_inference_on_one_device_is_fused_and_a_divided_one_is_not():
    assert local("jit", 1).context().inference is fusing.fused
    assert local("jit", 2).context().inference is None
    assert local("jit", 1, conv="forms").context().inference is None
