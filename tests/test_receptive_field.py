"""Receptive fields: the closed form of chains, support of gradients, published figures."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from cnnjax import compute, nets
from cnnjax.compute import receptive_field_fill
from cnnjax.compute.trace import trace
from tests import zoo

# A small language of layers that keep positive what is positive, so that nothing cancels.


class Layers(nn.Module):
    """Runs ("conv", kernel, stride, dilation, (low, high)) and its like, one after another."""

    layers: tuple[tuple[Any, ...], ...]

    @nn.compact
    def __call__(self, x, train=False):
        for kind, *args in self.layers:
            x = getattr(self, kind)(x, *args)
        return x

    def conv(self, x, kernel, stride=1, dilation=1, padding=(0, 0)):
        height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        pads = padding if isinstance(padding, str) else (padding, padding)
        return nn.Conv(2, (height, width), strides=stride, kernel_dilation=dilation, padding=pads)(
            x
        )

    def pool(self, x, window, stride, padding=(0, 0)):
        return nn.avg_pool(x, (window, window), (stride, stride), (padding, padding))

    def residual(self, x, *layers):
        return x + Layers(layers)(x)

    def projected(self, x, stride, *layers):
        return Layers(layers)(x) + self.conv(x, 1, stride)

    def inception(self, x, *branches):
        return self.conv(jnp.concatenate([Layers(b)(x) for b in branches], axis=-1), 1)

    def slice(self, x, start, stride):
        return x[:, start::stride, start::stride]

    def pad(self, x, low, high):
        return jnp.pad(x, ((0, 0), (low, high), (0, 0), (0, 0)))

    def blocks(self, x, size):
        """Space to depth."""
        n, h, w, c = x.shape
        x = x.reshape(n, h // size, size, w // size, size, c)
        return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // size, w // size, -1)

    def shuffle(self, x):
        n, h, w, c = x.shape
        return x.reshape(n, h, w, 2, c // 2).swapaxes(-1, -2).reshape(x.shape)[..., ::1]

    def halves(self, x, *layers):
        """Channels split, one half computed, permuted."""
        a, b = jnp.split(x, 2, axis=-1)
        x = jnp.concatenate([Layers(layers)(a), b], axis=-1)
        return x[..., jnp.asarray([2, 0, 1])]

    def dense(self, x):
        return nn.Dense(2)(x)

    def swap(self, x):
        return x.swapaxes(1, 2)


def axes(layers, size=64, width=None):
    field = trace(Layers(tuple(layers)), (size, width or size, 2)).field
    return field.axes


# Closed form.


@st.composite
def windows(draw):
    kernel, stride, dilation = (draw(st.integers(1, n)) for n in (5, 3, 3))
    reach = dilation * (kernel - 1)
    padding = draw(st.integers(0, reach)), draw(st.integers(0, reach))
    pooled = draw(st.booleans())
    if pooled and max(padding) < kernel:
        return "pool", kernel, stride, padding
    return "conv", kernel, stride, dilation, padding


@given(st.lists(windows(), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_chains_have_a_closed_form(layers):
    """1 + Σ dilation·(kernel − 1)·Π strides before; the grid starts at −Σ padding·Π strides."""
    size, jump, start = 1, 1, 0
    for kind, kernel, stride, *rest in layers:
        dilation, padding = rest if kind == "conv" else (1, *rest)
        size += dilation * (kernel - 1) * jump
        start -= padding[0] * jump
        jump *= stride
    for axis in axes(layers, size=512):
        assert (axis.size, axis.stride, axis.low) == (size, jump, start)


def test_same_padding_of_even_kernels_reaches_further_behind():
    (axis, _) = axes([("conv", 4, 1, 1, "SAME")])
    assert (axis.low, axis.high) == (-1, 2)


def test_rows_and_columns_are_apart():
    rows, columns = axes([("conv", (5, 1)), ("pool", 2, 2), ("conv", (1, 3))], 32, 48)
    assert (rows.size, columns.size) == (6, 6)
    assert compute.measure(Layers((("conv", (5, 1)),)), (8, 9, 2))["receptive_field"] == [5, 1]


def test_transposed_maps_keep_their_axes_apart():
    rows, columns = axes([("swap",), ("conv", (5, 1))], 32, 48)
    assert (rows.size, columns.size) == (1, 5)
    assert (rows.dim, columns.dim) == (2, 1)


# The truth: which pixels have a gradient.

RESIDUAL = ("residual", ("conv", 3, 1, 1, (1, 1)), ("conv", 3, 1, 2, (2, 2)))
EVEN = ("residual", ("conv", 4, 1, 1, (1, 2)), ("conv", 2, 1, 3, (3, 0)))
PROJECTED = ("projected", 2, ("conv", 3, 2, 1, (1, 1)), ("conv", 3, 1, 1, (1, 1)))
LOPSIDED = (
    "inception",
    (("conv", 1),),
    (("conv", 5, 1, 1, (4, 0)),),
    (("conv", 1), ("conv", 3, 1, 2, (0, 4))),
    (("pool", 3, 1, (1, 1)), ("conv", 1)),
)
CASES = {
    "plain": [("conv", 3, 2, 1, (1, 1)), ("conv", 5, 1, 1, (0, 0)), ("pool", 2, 2)],
    "residual": [("conv", 3, 1, 1, (1, 1)), RESIDUAL, PROJECTED],
    "even kernels": [EVEN, ("conv", 4, 2, 1, (1, 1))],
    "dilated": [("conv", 3, 1, 3, (3, 3)), ("conv", 2, 2, 2, (0, 0)), RESIDUAL],
    "inception": [("conv", 3, 2, 1, (1, 1)), LOPSIDED],
    "pyramid": [("inception", (("conv", 3, 1, 2, (2, 2)),), (("conv", 3, 1, 3, (3, 3)),))],
    "holes": [("conv", 2), ("conv", 1, 3), ("conv", 3, 1, 2, (2, 2))],
    "sliced and padded": [("slice", 1, 2), ("pad", 2, 2), ("conv", 3)],
    "space to depth": [("blocks", 2), ("conv", 3), ("blocks", 4)],
    "channels moved": [("halves", ("conv", 3, 1, 1, (1, 1)))],
    "shuffled": [("conv", 2), ("shuffle",), ("dense",), ("conv", 2)],
    "transposed": [("swap",), ("conv", (5, 2)), ("swap",), ("conv", (1, 3), 2)],
}


def support(net, size):
    """The pixels with a gradient at a unit in the middle, and that unit's position."""
    with jax.enable_x64(True):
        x = jnp.ones((1, size, size, 2), jnp.float64)
        shapes = jax.eval_shape(net.init, jax.random.key(0), x)
        ones = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.25, jnp.float64), shapes)
        out = jax.eval_shape(net.apply, ones, x)
        unit = out.shape[1] // 2, out.shape[2] // 2
        seen = jax.jit(jax.grad(lambda x: net.apply(ones, x)[0, unit[0], unit[1]].sum()))(x)
    return np.asarray(seen).any(axis=(0, 3)), unit


def predicted_and_seen(layers, size):
    """The computed pixels of a unit in the middle, and those that it has a gradient at; None where
    the field reaches past the image, since boxes are not clipped."""
    net = Layers(tuple(layers))
    seen, unit = support(net, size)
    field = trace(net, (size, size, 2)).field
    places = [unit[axis.dim - 1] for axis in field.axes]
    firsts = [i * axis.stride + axis.low for axis, i in zip(field.axes, places, strict=True)]
    ends = [first + axis.size for first, axis in zip(firsts, field.axes, strict=True)]
    if min(firsts) < 0 or max(ends) > size:
        return None
    return zoo.predicted(field, (size, size), places), seen


@pytest.mark.parametrize("layers", CASES.values(), ids=CASES.keys())
def test_what_is_seen_is_the_support_of_the_gradient(layers):
    np.testing.assert_array_equal(*predicted_and_seen(layers, 60))


blocks = st.one_of(
    windows(), st.sampled_from([RESIDUAL, EVEN, LOPSIDED, PROJECTED]), st.just(("slice", 1, 1))
)


@given(st.lists(blocks, min_size=1, max_size=3))
@settings(max_examples=6, deadline=None)
def test_what_any_net_sees_is_the_support_of_the_gradient(layers):
    found = predicted_and_seen(layers, 160)
    assume(found is not None)
    np.testing.assert_array_equal(*found)


# Holes.


def pyramid(*rates):
    """Parallel dilated convolutions, as in spatial pyramids (Chen et al. 2017, "DeepLab", §3.2)."""
    return ("inception", *((("conv", 3, 1, rate, (rate, rate)),) for rate in rates))


@pytest.mark.parametrize(
    ("layers", "pixels", "side"),
    [
        ([("conv", 3)], 3**2, 3),
        ([("conv", 3, 1, 4)], 3**2, 9),
        ([("conv", 2), ("conv", 1, 3), ("conv", 2)], 4**2, 5),
        ([("conv", 1, 3), ("conv", 3)], 3**2, 7),
        ([("conv", (3, 1)), ("slice", 0, 2), ("conv", 2)], 5 * 2, [5, 3]),
        # The squares of 3×3 taps share their middle.
        ([pyramid(2, 3)], 9 + 8, 7),
        ([pyramid(1, 2, 3), ("conv", 1, 2)], 9 + 8 + 8, 7),
        # Too many branches to keep apart: the grid of all rows and columns.
        ([pyramid(*range(1, 66))], 131**2, 131),
    ],
)
def test_fill_is_the_share_of_pixels_seen(layers, pixels, side):
    measured = compute.measure(Layers(tuple(layers)), (200, 200, 2))
    height, width = side if isinstance(side, list) else (side, side)
    assert measured["receptive_field"] == side
    assert measured["receptive_field_fill"] == pixels / (height * width)


def test_fill_is_known_at_every_map():
    traced = trace(Layers((("conv", 3, 2, 2), ("dense",), ("conv", 1))), (32, 32, 2))
    assert receptive_field_fill.per_layer(traced) == [9 / 25] * 3
    assert receptive_field_fill.total(trace(Layers((("dense",),)), (8, 8, 2))) == 1


# Where maps end, and what is left out.


class Ending(nn.Module):
    """A map of 7 pixels, one unit every 2, and `end` behind it."""

    end: str

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), strides=2)(nn.Conv(4, (5, 5))(x))
        return getattr(self, self.end)(x)

    def nothing(self, x):
        return x

    def pooled(self, x):
        return nn.Dense(3)(nn.Conv(5, (1, 1))(x.mean(axis=(1, 2), keepdims=True)).squeeze((1, 2)))

    def flattened(self, x):
        return nn.Dense(3)(nn.Dense(9)(x.reshape(1, -1)))

    def tokens(self, x):
        x = x.reshape(1, -1, x.shape[-1])
        return nn.MultiHeadDotProductAttention(2)(x).mean(axis=1)

    def two_poolings(self, x):
        return nn.Dense(3)(jnp.concatenate([x.max(axis=(1, 2)), x.mean(axis=(1, 2))], axis=-1))

    def gated(self, x):
        gate = nn.sigmoid(nn.Dense(4)(x.mean(axis=(1, 2), keepdims=True)))
        return self.pooled(x * gate)

    def gated_by_neighbours(self, x):
        """Efficient channel attention: a convolution along the channels of the pooled map."""
        means = x.mean(axis=(1, 2))
        gate = nn.sigmoid(nn.Conv(1, (3,))(means[..., None]))
        return self.pooled(x * gate.reshape(1, 1, 1, -1))

    def group_norm(self, x):
        return self.pooled(nn.GroupNorm(2)(x))

    def layer_norm(self, x):
        return self.pooled(nn.gelu(nn.LayerNorm()(x), approximate=False))

    def local_response(self, x):
        squares = lax.reduce_window(x * x, 0.0, lax.add, (1, 1, 1, 3), (1, 1, 1, 1), "SAME")
        return self.pooled(x / (1 + squares) ** 0.75)

    def scanned(self, x):
        """Three identities in a scan."""
        return self.pooled(lax.scan(lambda x, _: (x * 2, x.sum()), x, None, length=3)[0])

    def scaled_until(self, x):
        return self.pooled(lax.fori_loop(0, jnp.asarray(3), lambda _, x: x * 2, x))

    def chosen(self, x):
        return self.pooled(lax.cond(x.shape[0] > jnp.asarray(0), lambda x: x, lambda x: -x, x))

    def unused_map(self, x):
        nn.Conv(4, (9, 9))(x)
        return self.pooled(x)


@pytest.mark.parametrize(
    ("end", "sees_all"),
    [
        ("nothing", False),
        ("pooled", False),
        ("flattened", False),
        ("tokens", False),
        ("two_poolings", False),
        ("gated", True),
        ("gated_by_neighbours", True),
        ("group_norm", True),
        ("layer_norm", False),
        ("local_response", False),
        ("scanned", False),
        ("scaled_until", False),
        ("chosen", False),
        ("unused_map", False),
    ],
)
def test_the_last_map_is_the_one_before_it_ends(end, sees_all):
    traced = trace(Ending(end), (20, 24, 3))
    rows, columns = traced.field.axes
    # SAME padding of even maps at stride 2 lies behind, so that the grid begins at the pixel −2.
    assert [(a.size, a.stride, a.low) for a in (rows, columns)] == [(7, 2, -2)] * 2
    assert traced.field.is_global == sees_all
    assert traced.field.is_map == (end == "nothing")
    assert compute.measure(Ending(end), (20, 24, 3))["receptive_field"] == 7


def test_scans_of_windows_grow_round_by_round():
    class Scanned(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            def body(x, _):
                return nn.avg_pool(x, (3, 3), (1, 1), "SAME"), x

            x, all_of_them = lax.scan(body, x, None, length=5)
            return x + all_of_them.sum(axis=0)

    assert compute.measure(Scanned(), (8, 8, 2))["receptive_field"] == 11


def test_units_of_a_map_of_one_may_meet_whatever_their_strides():
    layers = [("conv", 5), ("projected", 2, ("conv", 1))]
    (axis, _) = axes(layers, 5)
    assert (axis.size, axis.stride) == (5, 2)


# What can't be followed.


class Odd(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x, train=False):
        return getattr(self, self.kind)(nn.Conv(2, (3, 3))(x)).mean(axis=(1, 2))

    def flipped(self, x):
        return x[:, ::-1]

    def summed_up(self, x):
        return jnp.cumsum(x, axis=2)

    def transformed(self, x):
        return jnp.fft.fft2(x, axes=(1, 2)).real

    def upsampled(self, x):
        return nn.ConvTranspose(2, (2, 2), strides=(2, 2))(x)

    def spread(self, x):
        return lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0)))

    def picked(self, x):
        return x[:, jnp.asarray([3, 1, 2])]

    def cropped_somewhere(self, x):
        return lax.dynamic_slice(x, (0, jnp.asarray(1), 0, 0), (1, 4, 8, 2))

    def looked_up(self, x):
        return jnp.arange(4.0)[x.astype(int)]

    def resized(self, x):
        x = jnp.einsum("oh,bhwc->bowc", jnp.ones((16, 8)), x)
        x = jnp.einsum("oh,bwhc->bwoc", jnp.ones((16, 8)), x)
        return nn.Conv(2, (3, 3))(x)

    def two_scales(self, x):
        return x[:, :4, :4] + nn.avg_pool(x, (2, 2), (2, 2))

    def changing(self, x):
        return lax.fori_loop(
            0, jnp.asarray(20), lambda _, x: nn.avg_pool(x, (3, 3), (1, 1), "SAME"), x
        )


@pytest.mark.parametrize(
    ("kind", "primitive"),
    [
        ("flipped", "'rev': it runs along an axis of the map"),
        ("summed_up", "'cumsum': it runs along an axis of the map"),
        ("transformed", "'fft': it runs along an axis of the map"),
        ("upsampled", "'conv_general_dilated': its input is dilated"),
        ("spread", "'pad': it pads between units"),
        ("picked", "'gather': it picks positions of the map"),
        ("cropped_somewhere", "'dynamic_slice': it picks positions of the map"),
        ("looked_up", "'gather': its indices depend on the image"),
        ("resized", "'conv_general_dilated': it runs windows over positions that were lost"),
        ("two_scales", "'add': it joins maps of strides 1 and 2"),
        ("changing", "a 'while' loop: use a scan"),
    ],
)
def test_what_cannot_be_followed_is_named(kind, primitive):
    with pytest.raises(NotImplementedError, match=primitive) as error:
        trace(Odd(kind), (8, 8, 1))
    assert "receptive field can't be followed" in str(error.value) or "while" in primitive


# Published figures. F: read in google-research/receptive_field. C: computed analytically by a
# method that reproduces F's figures.

PUBLISHED = [
    ("lenet5", (32, 32, 1), 16, 4, "C"),
    ("vgg11", (224, 224, 3), 150, 32, "F"),
    ("vgg13", (224, 224, 3), 156, 32, "C"),
    ("vgg16", (224, 224, 3), 212, 32, "F"),
    ("vgg19", (224, 224, 3), 268, 32, "C"),
    ("resnet18", (224, 224, 3), 435, 32, "C"),
    ("resnet34", (224, 224, 3), 899, 32, "C"),
    ("resnet50", (224, 224, 3), 427, 32, "C"),  # Stride in the 3×3; 483 with it in the 1×1.
    ("resnet101", (224, 224, 3), 971, 32, "C"),
    ("resnet152", (224, 224, 3), 1451, 32, "C"),
    ("resnet20", (32, 32, 3), 81, 4, "C"),
    ("resnet56", (32, 32, 3), 249, 4, "C"),
    ("resnet110", (32, 32, 3), 501, 4, "C"),
]


@pytest.mark.parametrize(
    ("name", "shape", "size", "stride", "source"), PUBLISHED, ids=[row[0] for row in PUBLISHED]
)
def test_published_receptive_fields(name, shape, size, stride, source):
    net = nets.get(name, classes=1000 if shape[0] == 224 else 10, input_shape=shape)
    assert compute.measure(net, shape)["receptive_field"] == size, source
    assert {axis.stride for axis in trace(net, shape).field.axes} == {stride}
    assert not trace(net, shape).field.is_global


def test_the_image_size_changes_nothing():
    net = nets.get("resnet18", input_shape=(224, 224, 3))
    assert compute.measure(net, (96, 128, 3))["receptive_field"] == 435
