"""The fast gradients are XLA's own, whatever the stride, dilation, padding and size."""

import functools

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax

from cnnjax.train import convolution, forms, pooling

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
            ways = (convolution.forms, lax.conv_general_dilated)
            return [gradient(conv, x, w) for conv in ways]

        for mine, theirs in zip(*both(x, w), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)


def test_a_padding_by_name_is_left_to_xla():
    x, w = jnp.ones((2, 6, 6, 4)), jnp.ones((3, 3, 4, 8))
    given = {"dimension_numbers": LAYOUT}
    mine = convolution.forms(x, w, (1, 1), "SAME", **given)
    np.testing.assert_array_equal(mine, lax.conv_general_dilated(x, w, (1, 1), "SAME", **given))


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 9)])
def test_max_pool_equals_flaxs(window, size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))

    def both(pool):
        return jax.value_and_grad(lambda x: jnp.sin(pool(x)).sum())(x)

    mine = both(lambda x: pooling.max_pool(x, window, window, 0))
    theirs = both(lambda x: nn.max_pool(x, (window,) * 2, (window,) * 2))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-6)
    np.testing.assert_allclose(mine[1], theirs[1], rtol=1e-6)


def test_overlapping_max_pool_equals_flaxs():
    x = jax.random.normal(jax.random.key(0), (2, 9, 9, 3))
    mine = pooling.max_pool(x, 3, 2, 1)
    np.testing.assert_array_equal(mine, nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))))


def test_equal_maxima_share_the_gradient():
    gradient = jax.grad(lambda x: pooling.max_pool(x, 2, 2, 0).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient, jnp.full((1, 2, 2, 1), 0.25))


# Shapes at which another form is chosen than XLA's own: (x, kernel, stride, pads).
FORMS = {
    "few channels come in": ((2, 9, 11, 3), (3, 5, 3, 8), (1, 1), ((1, 1), (2, 2))),
    "few channels, strided": ((2, 9, 12, 1), (3, 3, 1, 6), (2, 3), ((0, 2), (1, 0))),
    "few channels go out": ((2, 6, 7, 16), (3, 3, 16, 16), (2, 1), ((1, 1), (1, 1))),
    "cropped": ((2, 9, 9, 4), (3, 3, 4, 4), (1, 1), ((-1, 0), (2, -1))),
    "smaller than the kernel": ((3, 2, 1, 6), (3, 3, 6, 5), (1, 1), ((1, 1), (1, 1))),
    "smaller, strided": ((3, 3, 2, 6), (5, 5, 6, 5), (2, 2), ((2, 3), (2, 2))),
    "one place": ((4, 5, 6, 20), (1, 1, 20, 24), (1, 1), ((0, 0), (0, 0))),
    "one place, strided": ((4, 5, 6, 20), (1, 1, 20, 24), (2, 2), ((0, 0), (0, 0))),
    "one place, padded": ((4, 5, 6, 20), (1, 1, 20, 24), (1, 2), ((1, 0), (0, 1))),
    "in chunks": ((64, 16, 16, 20), (3, 3, 20, 24), (1, 1), ((1, 1), (1, 1))),
    "in large chunks": ((64, 16, 16, 28), (3, 3, 28, 16), (2, 1), ((0, 1), (1, 1))),
}


def loss(conv, x, w, stride, pads):
    return jnp.sin(conv(x, w, stride, pads, dimension_numbers=LAYOUT)).sum()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_equals_xlas_with_first_and_second_derivatives(form):
    shape, kernel, stride, pads = FORMS[form]
    draws = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, w = (
            jnp.asarray(draws.normal(size=s) / np.sqrt(np.prod(s[1:3]))) for s in (shape, kernel)
        )

        def all_of(conv):
            def slope(x, w):
                parts = jax.grad(functools.partial(loss, conv), (0, 1))(x, w, stride, pads)
                return sum((part**2).sum() for part in parts), parts

            return jax.jit(jax.grad(slope, (0, 1), has_aux=True))(x, w)

        mine, theirs = all_of(convolution.forms), all_of(lax.conv_general_dilated)
        for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            scale = np.abs(other).max()
            np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_keeps_its_type_and_its_precision(form):
    shape, kernel, stride, pads = FORMS[form]
    draws = np.random.default_rng(0)
    x, w = (jnp.asarray(draws.normal(size=s), jnp.bfloat16) for s in (shape, kernel))

    def gradient(conv, dtype):
        def f(x, w):
            return loss(conv, x, w, stride, pads).astype(jnp.float32)

        return jax.jit(jax.grad(f, (0, 1)))(x.astype(dtype), w.astype(dtype))

    truth = gradient(lax.conv_general_dilated, jnp.float32)
    for dtype in (jnp.float32, jnp.bfloat16):
        mine, theirs = (
            gradient(conv, dtype) for conv in (convolution.forms, lax.conv_general_dilated)
        )
        for one, other, true in zip(mine, theirs, truth, strict=True):
            assert one.dtype == dtype
            off, usual = (
                float(np.abs(np.asarray(a, np.float32) - true).max() / np.abs(true).max())
                for a in (one, other)
            )
            assert off < (1e-5 if dtype == jnp.float32 else 1.5 * usual + 0.01)


def test_the_forms_are_those_that_are_meant():
    """What is computed, by its operations: a form that is never taken would pass all tests."""

    def operations(name, wanted):
        shape, kernel, stride, pads = FORMS[name]
        x, w = jnp.zeros(shape), jnp.zeros(kernel)
        traced = jax.make_jaxpr(jax.grad(functools.partial(
            loss, convolution.forms), (0, 1)), static_argnums=(2, 3)
        )(x, w, stride, pads)  # fmt: skip
        return wanted in str(traced)

    assert operations("smaller than the kernel", "dot_general")
    assert operations("one place", "dot_general")
    assert operations("in chunks", "scan")
    assert operations("in large chunks", "scan")
    assert not operations("few channels come in", "scan")
    x, w = jnp.zeros((2, 9, 11, 3)), jnp.zeros((3, 5, 3, 8))
    out = jax.eval_shape(lambda: forms.convolve(x, w, (1, 1), ((1, 1), (2, 2)), (1, 1)))
    assert out.shape == (2, 9, 11, 8)
    text = str(jax.make_jaxpr(lambda: forms.convolve(x, w, (1, 1), ((1, 1), (2, 2)), (1, 1)))())
    assert "f32[2,9,2,64]" in text  # Eight neighbours at a time.


def test_forms_work_mapped_over_examples_and_devices():
    x = jax.random.normal(jax.random.key(0), (4, 2, 6, 8, 3))
    w = jax.random.normal(jax.random.key(1), (3, 3, 3, 8))

    def one(x):
        return jax.grad(lambda w: loss(convolution.forms, x, w, (1, 1),
                                       ((1, 1), (1, 1))))(w)  # fmt: skip

    apart = jnp.stack([one(part) for part in x])
    np.testing.assert_allclose(jax.vmap(one)(x), apart, rtol=1e-4, atol=1e-4)
