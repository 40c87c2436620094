"""Batch normalisation for the CPU equals Flax's, with its gradients, on one device and several."""

import functools

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax.nets.context import Context
from cnnjax.nets.norms import BatchNorm
from cnnjax.train import normalising
from cnnjax.train.native import library
from tests.test_native import near

NATIVE = not library.missing()
pytestmark = pytest.mark.skipif(not NATIVE, reason=f"native sums: {library.missing()}")


class Twice(nn.Module):
    """Two norms, so that the first has a gradient that is not constant."""

    compute: object = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train=True):
        ctx = Context(train=train, axis_name=self.axis_name, batch_norm=self.compute)
        x = nn.relu(BatchNorm()(x, ctx, "first"))
        return BatchNorm(momentum=0.5, epsilon=1e-3)(x * x, ctx, "second")


OURS, FLAXS = Twice(normalising.batch_norm), Twice()


def drawn(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(2, 3, size=shape), jnp.float32)


def variables(x):
    """Scales and biases of all sizes, running moments as they begin."""
    given = FLAXS.init(jax.random.key(0), x)
    params = jax.tree.map(lambda p: p + drawn(p.shape, 1), given["params"])
    return {"params": params, "batch_stats": given["batch_stats"]}


def trained(net, given, x):
    """Loss, gradients by parameters and x, and the running moments after."""

    def loss(params, x):
        y, state = net.apply({**given, "params": params}, x, mutable=["batch_stats"])
        return jnp.sin(y).mean(), state

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(given["params"], x)


def all_near(mine, truth, within=1e-5):
    assert jax.tree.structure(mine) == jax.tree.structure(truth)
    jax.tree.map(lambda a, b: near(np.asarray(a), np.asarray(b), within), mine, truth)


@hypothesis.settings(max_examples=12)
@hypothesis.given(
    batch=st.integers(1, 40),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    channels=st.sampled_from([1, 2, 3, 6, 8, 16, 17, 24, 64, 65, 100, 130]),
)
def test_it_equals_flaxs(batch, size, channels):
    x = drawn((batch, *size, channels))
    given = variables(x)
    all_near(trained(OURS, given, x), trained(FLAXS, given, x), 1e-4)
    near(OURS.apply(given, x, train=False), FLAXS.apply(given, x, train=False))


def test_parameters_begin_as_flaxs():
    x = drawn((2, 4, 4, 5))
    ours, flaxs = (net.init(jax.random.key(1), x) for net in (OURS, FLAXS))
    assert jax.tree.structure(ours) == jax.tree.structure(flaxs)
    jax.tree.map(np.testing.assert_array_equal, ours, flaxs)


def test_devices_share_their_moments():
    x = drawn((4, 3, 5, 6, 7))
    given = variables(x[0])
    found = []
    for net in (OURS, FLAXS):
        joined = net.clone(axis_name="data")
        step = jax.pmap(
            functools.partial(trained, joined), "data", in_axes=(None, 0), devices=jax.devices()[:4]
        )
        found.append(step(given, x))
    all_near(*found, 1e-4)
    whole = trained(OURS, given, x.reshape(-1, *x.shape[2:]))
    near(found[0][0][1]["batch_stats"]["second"]["mean"][0],
         whole[0][1]["batch_stats"]["second"]["mean"])  # fmt: skip


def test_moments_have_gradients_of_their_own():
    x, scale, bias = drawn((3, 4, 5, 6)), drawn((6,), 1), drawn((6,), 2)

    def ours(x, scale, bias):
        y, mean, variance = normalising.batch_norm(x, scale, bias, 1e-3)
        return (jnp.sin(y).mean() + jnp.cos(mean) @ variance).sum()

    def formula(x, scale, bias):
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        y = (x - mean) * jax.lax.rsqrt(variance + 1e-3) * scale + bias
        return (jnp.sin(y).mean() + jnp.cos(mean) @ variance).sum()

    grads = [jax.grad(f, (0, 1, 2))(x, scale, bias) for f in (ours, formula)]
    all_near(*grads, 1e-4)

    def slopes(f):
        return jax.grad(lambda x: (jax.grad(f)(x, scale, bias) ** 2).sum())(x)

    near(slopes(ours), slopes(formula), 1e-3)


def test_a_channel_that_is_constant_stays_finite():
    x = jnp.ones((4, 3, 3, 2)).at[..., 1].set(1e3)
    given = variables(x)
    (_, state), grads = trained(OURS, given, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, grads)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_other_types_are_flaxs(dtype):
    with jax.enable_x64(True):
        x = drawn((2, 4, 4, 8)).astype(dtype)
        given = OURS.init(jax.random.key(0), x)
        program = str(jax.make_jaxpr(lambda x: OURS.apply(given, x, mutable=True))(x))
    assert "cnnjax_sums" not in program
