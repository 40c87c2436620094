"""The fast gradients are XLA's own, whatever the stride, dilation, padding and size."""

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax

from cnnjax.train import convolution

LAYOUT = ("NHWC", "HWIO", "NHWC")


@hypothesis.settings(max_examples=25)
@hypothesis.given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    groups=st.sampled_from([(1, 3, 4), (2, 2, 3), (6, 2, 1), (6, 1, 2), (5, 1, 1)]),
)
def test_values_and_gradients_equal_xlas(kernel, stride, dilation, size, pads, groups):
    count, per, out = groups
    pads = (pads[:2], pads[2:])
    spans = [dilation * (k - 1) + 1 for k in kernel]
    hypothesis.assume(all(n + sum(p) >= s for n, p, s in zip(size, pads, spans, strict=True)))
    draws = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(draws.normal(size=(2, *size, count * per)))
        w = jnp.asarray(draws.normal(size=(*kernel, per, count * out)))

        def gradient(conv, x, w):
            def f(x, w):
                y = conv(x, w, (stride,) * 2, pads, rhs_dilation=(dilation,) * 2,
                         dimension_numbers=LAYOUT, feature_group_count=count)  # fmt: skip
                return jnp.sin(y).sum(), y

            gradients, y = jax.grad(f, (0, 1), has_aux=True)(x, w)
            return *gradients, y

        @jax.jit  # As one program, which compiles sooner than two.
        def both(x, w):
            ways = (convolution.conv_general_dilated, lax.conv_general_dilated)
            return [gradient(conv, x, w) for conv in ways]

        for mine, theirs in zip(*both(x, w), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


def test_a_padding_by_name_is_left_to_xla():
    x, w = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 4, 8))
    given = {"dimension_numbers": LAYOUT}
    mine = convolution.conv_general_dilated(x, w, (1, 1), "SAME", **given)
    np.testing.assert_array_equal(mine, lax.conv_general_dilated(x, w, (1, 1), "SAME", **given))


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 9)])
def test_max_pool_equals_flaxs(window, size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))

    def both(pool):
        return jax.value_and_grad(lambda x: jnp.sin(pool(x)).sum())(x)

    mine = both(lambda x: convolution.max_pool(x, window, window, 0))
    theirs = both(lambda x: nn.max_pool(x, (window,) * 2, (window,) * 2))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(mine[1], theirs[1], rtol=1e-6)


def test_overlapping_max_pool_equals_flaxs():
    x = jax.random.normal(jax.random.key(0), (2, 9, 9, 3))
    mine = convolution.max_pool(x, 3, 2, 1)
    np.testing.assert_array_equal(mine, nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))))


def test_equal_maxima_share_the_gradient():
    gradient = jax.grad(lambda x: convolution.max_pool(x, 2, 2, 0).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient, jnp.full((1, 2, 2, 1), 0.25))
