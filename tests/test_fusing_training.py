"""A gradient whose convolutions do what norms and ReLU ask of them too equals one without."""

import dataclasses
import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import nets
from cnnjax.nets.context import Context
from cnnjax.train import convolution, fusing_training, normalising, ways
from cnnjax.train.devices import local
from cnnjax.train.native import library
from tests.test_native import call, drawn, near

NATIVE = not library.missing()
pytestmark = pytest.mark.skipif(not NATIVE, reason=f"native convolutions: {library.missing()}")

ENDS = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "tanh": jnp.tanh,
    "leaky": jax.nn.leaky_relu,
    "none": lambda u: u,
}
CUT = ("relu", "relu6")


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution, batch norm, maybe what the layer was given added, and what follows."""

    outputs: int
    kernel: int
    stride: int
    dilation: int
    depthwise: bool
    shortcut: bool
    end: str

    def weights(self, channels):
        groups = channels if self.depthwise else 1
        outputs = channels if self.depthwise else self.outputs
        return (self.kernel, self.kernel, channels // groups, outputs)

    def __call__(self, x, w, scale, bias):
        pad = self.dilation * (self.kernel // 2)
        y = call(
            convolution.native, x, w, (self.stride,) * 2, ((pad, pad),) * 2, (self.dilation,) * 2,
            groups=x.shape[3] if self.depthwise else 1,
        )  # fmt: skip
        y, mean, variance = normalising.batch_norm(y, scale, bias, 0.1)
        u = y + x if self.shortcut and x.shape == y.shape else y
        return ENDS[self.end](u), (u, mean, variance)


layers = st.builds(
    Layer,
    outputs=st.sampled_from([6, 8, 16, 24, 25, 32, 43]),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 1, 2]),
    dilation=st.sampled_from([1, 1, 2]),
    depthwise=st.sampled_from([False, False, False, True]),
    shortcut=st.booleans(),
    end=st.sampled_from([*CUT, *CUT, *ENDS]),
)


def kinds(f, *args):
    """How many of each native call are in its program."""
    text = str(jax.make_jaxpr(f)(*args))
    return {name: text.count(f"=cnnjax_{name}\n") for name in library.CALLS}


def gradient(chain):
    """Of a number made of the last layer's map, by everything; and what the norms computed."""

    def loss(x, params):
        made = []
        for layer, weights in zip(chain, params, strict=True):
            x, more = layer(x, *weights)
            made.append(more)
        return jnp.sin(3.0 * x + jnp.arange(float(x.shape[-1]))).mean(), made

    return jax.grad(loss, (0, 1), has_aux=True)


def parameters(chain, channels):
    draws, params = np.random.default_rng(1), []
    for layer in chain:
        w = layer.weights(channels)
        channels = w[3]
        rows = draws.normal(4, 1, channels), draws.normal(0, 1, channels)
        params.append([jnp.asarray(a, jnp.float32) for a in (draws.normal(size=w), *rows)])
    return params


def all_near(mine, truth, within, beside):
    """Each within so much of its largest and so much beside."""

    def one(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=within * np.abs(b).max() + beside)

    jax.tree.map(one, mine, truth)


@hypothesis.settings(max_examples=15)
@hypothesis.given(
    batch=st.sampled_from([2, 3, 16]),
    size=st.integers(4, 12) | st.sampled_from([16, 18, 24]),
    channels=st.sampled_from([8, 16, 24]),
    chain=st.lists(layers, min_size=1, max_size=3),
)
def test_whatever_follows_convolutions_in_training(batch, size, channels, chain):
    (x,) = drawn((batch, size, size, channels))
    params = parameters(chain, channels)
    derive = gradient(chain)
    truth = jax.jit(derive)(x, params)
    # What is at a bound but for rounding may pass in one and not in the other.
    hypothesis.assume(all(
        np.abs(u - bound).min() > 1e-5
        for layer, (u, *_) in zip(chain, truth[1], strict=True) if layer.end in CUT
        for bound in (0.0, 6.0)
    ))  # fmt: skip
    fused = fusing_training.fused(derive)
    mine, made = jax.jit(fused)(x, params)
    scale = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(truth[0]))
    all_near(made, truth[1], 1e-4, 0.0)
    all_near(mine, truth[0], 1e-4, 1e-5 * scale)
    widths = [w.shape[3] for w, *_ in params]
    if all(
        n >= 8 and not (layer.depthwise and n % 8) for n, layer in zip(widths, chain, strict=True)
    ):
        found = kinds(fused, x, params)
        assert found["measure"] == len(chain) and found["moments"] == 0
        assert found["return"] == sum(layer.end in CUT for layer in chain[:-1])
        assert found["return"] + found["slopes"] == len(chain)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v1_025", "resnet18", "mobilenet_v2"])
def test_no_map_of_a_net_is_read_for_its_moments_alone(name):
    """Traced. Where ReLU or ReLU6 lies between convolutions the second's gradient ends in it."""
    net = nets.get(name, 10, (32, 32, 3))
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), x)
    context = Context(**ways.WAYS["native"], keys=jax.random.split(jax.random.key(1)))

    def loss(params, stats, x):
        given = {"params": params, "batch_stats": stats}
        logits, new = net.apply(given, x, train=True, context=context, mutable=["batch_stats"])
        return jnp.sin(logits).mean(), new

    given = (variables["params"], variables["batch_stats"], x)
    derive = jax.grad(loss, has_aux=True)
    before, after = kinds(derive, *given), kinds(fusing_training.fused(derive), *given)
    assert after["measure"] == before["moments"] > 18 and after["moments"] == 0
    assert after["return"] + after["slopes"] == before["slopes"]
    linear = {"mobilenet_v2": 17, "resnet18": 3}.get(name, 0)  # Bottlenecks; projections.
    assert after["slopes"] == 1 + linear


def test_what_is_no_norm_or_no_relu_stays_as_it_is():
    x, w, v = drawn((2, 6, 6, 8), (3, 3, 8, 8), (3, 3, 8, 8))

    def loss(w, v):
        y = call(convolution.native, x, w)
        y = call(convolution.native, jnp.where(y > 0.0, y, jnp.sin(y)), v)
        return (y * y.mean((0, 1, 2))).mean()

    derive = jax.grad(loss, (0, 1))
    fused = fusing_training.fused(derive)
    found = kinds(fused, w, v)
    assert found["convolve"] == 3 and found["measure"] == found["return"] == 0
    jax.tree.map(np.testing.assert_array_equal, jax.jit(fused)(w, v), jax.jit(derive)(w, v))


def test_a_map_that_others_read_too_has_all_its_gradients():
    """Two convolutions and a shortcut read what ReLU left; the loss reads the norm's map."""
    x, w, v, u = drawn((4, 8, 8, 8), (3, 3, 8, 16), (3, 3, 16, 16), (1, 1, 16, 16))
    one = jnp.ones(16)

    def loss(w, v, u):
        y = call(convolution.native, x, w)
        n, mean, variance = normalising.batch_norm(y, one, 0.1 * one, 1e-5)
        z = jax.nn.relu(n)
        first = call(convolution.native, z, v)
        second = call(convolution.native, z, u, pads=((0, 0), (0, 0)))
        rest = z.mean() + (n**3).mean() + (y * mean * variance).mean()
        return jnp.sin(first + second + z).mean() + rest

    derive = jax.grad(loss, (0, 1, 2))
    fused = fusing_training.fused(derive)
    truth = jax.jit(derive)(w, v, u)
    for mine, other in zip(jax.jit(fused)(w, v, u), truth, strict=True):
        near(mine, np.asarray(other))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_passes_nothing(bad):
    """As in XLA's ReLU; where it is, every gradient is none too."""
    x, w, v = drawn((2, 4, 4, 8), (1, 1, 8, 8), (1, 1, 8, 8))
    x = x.at[0, 1, 2].set(bad)
    derive = gradient([Layer(8, 1, 1, 1, False, False, "relu")] * 2)
    params = [[w, jnp.ones(8), jnp.ones(8)], [v, jnp.ones(8), jnp.ones(8)]]
    mine, truth = (jax.jit(f)(x, params) for f in (fusing_training.fused(derive), derive))
    same = functools.partial(np.testing.assert_array_equal, strict=True)
    jax.tree.map(lambda a, b: same(np.isnan(a), np.isnan(b)), mine, truth)


def test_training_on_one_device_or_by_pmap_is_fused_and_a_divided_one_is_not():
    assert local("jit", 1).context().gradient is fusing_training.fused
    assert local("pmap", 2).context(alone=True).gradient is fusing_training.fused
    assert local("jit", 2).context().gradient is None
    assert local("jit", 1, conv="forms").context().gradient is None
