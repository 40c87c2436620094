"""The native convolution equals XLA's, under every transformation, and does without a compiler."""

import concurrent.futures
import ctypes
import functools
import os
import platform
import shutil
import stat
import subprocess
import sys
import threading
import time

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from hypothesis import strategies as st
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cnnjax.errors import UserError
from cnnjax.study import options
from cnnjax.train import convolution, pooling, ways
from cnnjax.train.devices import local
from cnnjax.train.native import library, ops
from cnnjax.train.recipe import Recipe

LAYOUT = ("NHWC", "HWIO", "NHWC")
NATIVE = not library.missing()
pytestmark = pytest.mark.skipif(not NATIVE, reason=f"native convolutions: {library.missing()}")


def call(conv, x, w, stride=(1, 1), pads=((1, 1), (1, 1)), dilation=(1, 1), groups=1):
    return conv(x, w, stride, pads, rhs_dilation=dilation, dimension_numbers=LAYOUT,
                feature_group_count=groups)  # fmt: skip


def is_native(f, *args):
    return "cnnjax_convolve" in str(jax.make_jaxpr(f)(*args))


def near(mine, truth, within=1e-5):
    scale = np.abs(truth).max() if truth.size else 0.0
    np.testing.assert_allclose(mine, truth, rtol=0, atol=within * scale + 1e-12)


def laxs(x, w, cotangent, pads=((1, 1), (1, 1)), **given):
    """In float64, padded and cropped apart: XLA's CPU does not crop for a 1×1 kernel."""

    def padded(x, w):
        x = lax.pad(x, jnp.zeros((), x.dtype), [(*edge, 0) for edge in ((0, 0), *pads, (0, 0))])
        return call(lax.conv_general_dilated, x, w, pads=((0, 0), (0, 0)), **given)

    with jax.enable_x64(True):
        x, w, cotangent = (jnp.asarray(np.asarray(a, np.float64)) for a in (x, w, cotangent))
        y, back = jax.vjp(padded, x, w)
        return [np.asarray(a) for a in (y, *back(cotangent))]


def truth_of(x, w, g, pads=((1, 1), (1, 1)), stride=(1, 1), dilation=(1, 1), groups=1):
    """The same tap by tap, which compiles nothing."""
    x, w, g = (np.asarray(a, np.float64) for a in (x, w, g))
    far = [max(0, *map(abs, edge)) for edge in pads]  # Enough zeros around for all of them.
    x = np.pad(x, ((0, 0), *((n, n) for n in far), (0, 0)))
    x, g = (a.reshape(*a.shape[:3], groups, -1) for a in (x, g))
    w = w.reshape(*w.shape[:3], groups, -1)
    y, dx, dw = (np.zeros(shape) for shape in (g.shape, x.shape, w.shape))
    for i, j in np.ndindex(w.shape[:2]):
        at = [
            n - low + d * k for n, (low, _), d, k in zip(far, pads, dilation, (i, j), strict=True)
        ]
        rows, columns = (
            slice(a, a + s * (n - 1) + 1, s)
            for a, s, n in zip(at, stride, g.shape[1:3], strict=True)
        )
        y += np.einsum("bhwgc,cgo->bhwgo", x[:, rows, columns], w[i, j], optimize=True)
        dx[:, rows, columns] += np.einsum("bhwgo,cgo->bhwgc", g, w[i, j], optimize=True)
        dw[i, j] = np.einsum("bhwgc,bhwgo->cgo", x[:, rows, columns], g, optimize=True)
    inner = (slice(n, size - n) for n, size in zip(far, dx.shape[1:3], strict=True))
    return [a.reshape(*a.shape[:3], -1) for a in (y, dx[:, *inner], dw)]


def drawn(*shapes, dtype=np.float32):
    draws = np.random.default_rng(0)
    return [jnp.asarray(draws.normal(size=shape), dtype) for shape in shapes]


# (groups, channels a group, outputs a group): less than a vector, several, and what is left over;
# each channel by itself.
CHANNELS = [
    (1, 1, 1), (1, 3, 6), (1, 2, 8), (1, 5, 12), (1, 16, 16), (1, 17, 24), (1, 4, 40), (1, 3, 61),
    (1, 32, 8), (1, 32, 48), (2, 3, 8), (2, 16, 19), (3, 4, 17), (8, 1, 1), (24, 1, 1),
]  # fmt: skip
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@hypothesis.settings(max_examples=80)
@hypothesis.given(
    batch=st.sampled_from([1, 2, 3, 16]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12) | st.sampled_from([16, 18, 24])),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=pair,
    dilation=pair,
    pads=st.tuples(*[st.integers(-1, 4)] * 4),
    channels=st.sampled_from(CHANNELS),
)
@hypothesis.example(  # Four outputs together, of rows that no tap meets.
    batch=1, size=(1, 7), kernel=(1, 4), stride=(1, 1), dilation=(1, 2), pads=(0, 4, 3, 4),
    channels=(1, 16, 16),
)  # fmt: skip
def test_values_and_gradients_are_the_sums(batch, size, kernel, stride, dilation, pads, channels):
    groups, per, out = channels
    pads = (pads[:2], pads[2:])
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    hypothesis.assume(all(n + sum(p) > r for n, p, r in zip(size, pads, reach, strict=True)))
    given = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
    x, w = drawn((batch, *size, groups * per), (*kernel, per, groups * out))
    native = functools.partial(call, convolution.native, **given)
    assert is_native(native, x, w)
    y, back = jax.vjp(native, x, w)
    (cotangent,) = drawn(y.shape)
    for mine, truth in zip((y, *back(cotangent)), truth_of(x, w, cotangent, **given), strict=True):
        near(mine, truth)


@pytest.mark.parametrize("pads", [((1, 1), (1, 1)), ((0, 3), (4, -1)), ((-1, 0), (2, 2))])
@pytest.mark.parametrize("channels", [(1, 3, 24), (2, 16, 19), (24, 1, 1)])
@pytest.mark.parametrize("stride, dilation", [((1, 1), (1, 1)), ((2, 1), (1, 3)), ((3, 2), (2, 1))])
def test_the_sums_are_laxs(pads, channels, stride, dilation):
    groups, per, out = channels
    x, w = drawn((3, 9, 16, groups * per), (3, 2, per, groups * out))
    given = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
    y, back = jax.vjp(functools.partial(call, convolution.native, **given), x, w)
    (cotangent,) = drawn(y.shape)
    sums, truth = truth_of(x, w, cotangent, **given), laxs(x, w, cotangent, **given)
    for mine, own, xlas in zip((y, *back(cotangent)), sums, truth, strict=True):
        near(own, xlas, 1e-12)
        near(mine, xlas)


@pytest.mark.parametrize(
    "shape, kernel, given",
    [
        ((32, 32, 32, 16), (3, 3, 16, 16), {}),  # Each thread its own sums.
        ((16, 32, 32, 16), (3, 3, 16, 40), {}),  # Places in runs, of panels of several sizes.
        ((2, 8, 8, 96), (3, 3, 96, 128), {}),  # Many weights, which threads share out.
        ((40, 2, 2, 64), (3, 3, 64, 160), {}),  # Small maps, many of them in a chunk.
        ((1, 40, 40, 8), (3, 3, 8, 16), {}),  # One image, whose places threads share out.
        ((16, 16, 16, 32), (1, 1, 32, 64), {"stride": (2, 2), "pads": ((0, 0), (0, 0))}),
        ((64, 8, 8, 40), (3, 3, 1, 40), {"groups": 40}),
        # Four outputs of a row together: of 7 taps; of 5 that begin off the map, of two groups.
        ((4, 16, 16, 32), (7, 7, 32, 16), {"pads": ((3, 3), (3, 3))}),
        ((5, 9, 12, 32), (3, 5, 16, 72), {"groups": 2, "pads": ((0, 2), (4, 0))}),
        ((2, 32, 32, 16), (7, 7, 16, 16), {"pads": ((3, 3), (3, 3))}),  # In runs.
        ((9, 8, 8, 64), (7, 7, 64, 64), {"pads": ((3, 3), (3, 3))}),  # Rows of two.
        # Taps in one part, in two and in three, of one size and of two.
        ((3, 6, 16, 16), (2, 4, 16, 40), {"pads": ((1, 0), (1, 2))}),
        ((3, 6, 16, 16), (1, 6, 16, 24), {"pads": ((0, 0), (2, 3))}),
        ((3, 6, 24, 16), (3, 9, 16, 16), {"pads": ((1, 1), (4, 4))}),
        ((3, 12, 40, 16), (2, 11, 16, 32), {"pads": ((1, 0), (5, 5))}),
        ((2, 6, 32, 16), (1, 13, 16, 16), {"pads": ((0, 0), (6, 6))}),
        # The same of places that lie apart.
        ((4, 16, 16, 32), (3, 3, 32, 48), {"dilation": (2, 2), "pads": ((2, 2), (2, 2))}),
        ((5, 9, 24, 16), (3, 3, 16, 16), {"dilation": (1, 3), "pads": ((1, 1), (3, 3))}),
        ((9, 8, 8, 256), (3, 3, 256, 48), {"dilation": (2, 2), "pads": ((2, 2), (2, 2))}),
        ((3, 9, 24, 32), (5, 7, 32, 16), {"dilation": (1, 3), "pads": ((2, 2), (9, 9))}),
        ((3, 16, 16, 16), (5, 5, 16, 48), {"dilation": (2, 2), "pads": ((4, 4), (4, 4))}),
        (
            (3, 5, 36, 32),
            (2, 3, 16, 24),
            {"groups": 2, "dilation": (3, 4), "pads": ((3, 0), (0, 4))},
        ),
        # Vectors of channels as images of their own, of which the last chunk has fewer; and of four
        # outputs together.
        ((40, 4, 4, 512), (3, 3, 512, 48), {}),
        ((9, 8, 8, 256), (3, 3, 256, 48), {}),
    ],
)
def test_large_ones_are_the_sums(shape, kernel, given):
    x, w = drawn(shape, kernel)
    y, back = jax.jit(
        lambda x, w: jax.vjp(functools.partial(call, convolution.native, **given), x, w)
    )(x, w)
    (cotangent,) = drawn(y.shape)
    for mine, truth in zip((y, *back(cotangent)), truth_of(x, w, cotangent, **given), strict=True):
        near(mine, truth)


@pytest.mark.parametrize("columns, taps", [(16, 3), (16, 5), (16, 7), (8, 7), (32, 11)])
def test_long_sums_round_little(columns, taps):
    """Fewer products are further off, and longer sums; together no further than this."""
    x, w = drawn((2, 8, columns, 256), (7, taps, 256, 32))
    given = {"pads": ((3, 3), (taps // 2, taps // 2))}
    y, back = jax.vjp(functools.partial(call, convolution.native, **given), x, w)
    (cotangent,) = drawn(y.shape)
    for mine, truth in zip((y, *back(cotangent)), truth_of(x, w, cotangent, **given), strict=True):
        near(mine, truth, 4e-6)


def loss(conv, x, w):
    return jnp.sin(call(conv, x, w, (2, 1), ((0, 1), (2, 1)), (1, 2))).sum()


def test_second_derivatives_equal_xlas():
    x, w = drawn((3, 7, 8, 3), (3, 2, 3, 10))

    def slopes(conv, x, w):
        parts = jax.grad(functools.partial(loss, conv), (0, 1))(x, w)
        return sum((part**2).sum() for part in parts)

    mine = jax.grad(functools.partial(slopes, convolution.native), (0, 1))(x, w)
    truth = jax.grad(functools.partial(slopes, lax.conv_general_dilated), (0, 1))(x, w)
    for one, other in zip(mine, truth, strict=True):
        near(one, other, 1e-4)


def test_it_works_in_loops_and_mapped():
    x, w = drawn((4, 2, 7, 8, 3), (3, 2, 3, 10))
    gradient = jax.grad(functools.partial(loss, convolution.native), 1)
    apart = [gradient(part, w) for part in x]
    for way in (jax.vmap(gradient, (0, None)), jax.vmap(gradient, (0, None), 1)):
        mapped = way(x, w)
        mapped = mapped if mapped.shape[0] == 4 else jnp.moveaxis(mapped, 1, 0)
        np.testing.assert_allclose(mapped, jnp.stack(apart), rtol=1e-5, atol=1e-5)
    looped, _ = lax.scan(lambda total, part: (total + gradient(part, w), None), 0 * w, x)
    np.testing.assert_allclose(looped, sum(apart), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("how", ["pmap", "shard_map"])
def test_devices_compute_their_shares(how):
    x, w = drawn((4, 2, 7, 8, 3), (3, 2, 3, 10))
    gradient = jax.grad(functools.partial(loss, convolution.native), 1)
    apart = jnp.stack([gradient(part, w) for part in x])
    if how == "pmap":
        found = jax.pmap(gradient, in_axes=(0, None), devices=jax.devices()[:4])(x, w)
    else:
        mesh = Mesh(jax.devices()[:4], ("data",))
        found = jax.jit(jax.shard_map(
            lambda x, w: gradient(x[0], w)[None], mesh=mesh, check_vma=False,
            in_specs=(PartitionSpec("data"), PartitionSpec()), out_specs=PartitionSpec("data"),
        ))(x, w)  # fmt: skip
    np.testing.assert_allclose(found, apart, rtol=1e-5, atol=1e-5)


def test_calls_at_once_help_each_other_and_keep_their_images():
    """Each with its threads' work to share and images of its own, from several threads at once."""
    shapes = [(8, 8, 8, 96, 96), (8, 6, 6, 128, 64), (16, 4, 4, 96, 128), (8, 10, 10, 64, 128)]
    given = [drawn((b, h, w, c), (3, 3, c, o)) for b, h, w, c, o in shapes]

    @jax.jit
    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.sin(call(convolution.native, x, w)).sum(), (0, 1))(x, w)

    alone = [jax.block_until_ready(gradients(*pair)) for pair in given]

    def again(pair, truth):
        for _ in range(100):
            for mine, other in zip(gradients(*pair), truth, strict=True):
                near(mine, np.asarray(other))

    with concurrent.futures.ThreadPoolExecutor(len(given)) as threads:
        list(threads.map(again, given, alone))


def test_bfloat16_is_computed_in_float32():
    x, w = drawn((2, 9, 9, 5), (3, 3, 5, 12), dtype=jnp.bfloat16)
    native = functools.partial(call, convolution.native)
    assert is_native(native, x, w) and native(x, w).dtype == jnp.bfloat16
    exact = call(lax.conv_general_dilated, x.astype(jnp.float32), w.astype(jnp.float32))
    np.testing.assert_array_equal(native(x, w), exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    "what, shape, kernel, groups, dtype",
    [
        ("another type", (2, 6, 6, 4), (3, 3, 4, 8), 1, np.float64),
        ("narrow groups", (2, 6, 6, 8), (3, 3, 2, 16), 4, np.float32),
        ("no whole vectors of channels", (2, 6, 6, 12), (3, 3, 1, 12), 12, np.float32),
    ],
)
def test_what_it_is_not_for_is_xlas(what, shape, kernel, groups, dtype):
    with jax.enable_x64(True):
        x, w = drawn(shape, kernel, dtype=dtype)
        native = functools.partial(call, convolution.native, groups=groups)
        assert not is_native(native, x, w)
        truth = call(lax.conv_general_dilated, x, w, groups=groups)
        np.testing.assert_allclose(native(x, w), truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "where, step, divided",
    [
        (("pmap", 1), "native", "native"),
        (("jit", 1), "native", "native"),
        (("pmap", 2), "native", "forms"),
        (("jit", 2), "forms", "forms"),
        (("fsdp", 2), "forms", "forms"),
    ],
)
def test_programs_that_xla_divides_keep_its_convolutions(where, step, divided):
    devices = local(*where)
    assert devices.context(alone=True).conv is ways.WAYS[step]["conv"]
    assert devices.context().conv is ways.WAYS[divided]["conv"]


def test_the_flag_names_every_way():
    values = flags.FlagValues()
    options.define(values, {}, Recipe)
    assert values["conv"].parser.enum_values == list(ways.WAYS)


@pytest.mark.parametrize("way", ways.WAYS)
def test_the_way_can_be_chosen(way):
    assert local(conv=way).context(alone=True).conv is ways.WAYS[way]["conv"]


def equal_xlas_too(path, tmp_path):
    """The tests of values, in a process where that compiler makes the convolutions."""
    environment = os.environ | {"CXX": path, "CNNJAX_TESTS": str(tmp_path)}
    values = "are_the_sums or largest or equal_xlas and not too"
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", values]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0 and " passed" in found.stdout, found.stdout[-2000:]
    assert "skipped" not in found.stdout
    assert list(tmp_path.glob("native/*.so"))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names x86's processors")
@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3"])
def test_vectors_of_other_processors_equal_xlas_too(processor, tmp_path):
    path = compiler(tmp_path / "cc", f'exec {library._compiler()} "$@" -march={processor}')
    equal_xlas_too(path, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("clang++"), reason="there is no clang++")
def test_what_clang_compiles_equals_xlas_too(tmp_path):
    equal_xlas_too(shutil.which("clang++"), tmp_path)


# --- pooling


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    window=pair,
    stride=pair,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    channels=st.sampled_from([1, 3, 8, 16, 24, 33]),
)
def test_the_largest_and_its_gradient_are_the_first_of_the_largest(
    size, window, stride, pads, channels
):
    """Of whole numbers, many of which are equal."""
    pads = (pads[:2], pads[2:])
    padded = [n + sum(p) for n, p in zip(size, pads, strict=True)]
    hypothesis.assume(all(n >= w for n, w in zip(padded, window, strict=True)))
    x = jnp.round(2 * drawn((3, *size, channels))[0])
    at = ops.Window(size, window, stride, pads, (1, 1))

    y, back = jax.vjp(lambda x: ops.pick(lax.stop_gradient(x), x, at), x)
    (cotangent,) = drawn(y.shape)
    cotangent = jnp.where(jnp.isfinite(y), cotangent, 0)  # Windows of padding alone.
    truth, gradient = largest(x, cotangent, window, stride, pads)
    np.testing.assert_array_equal(y, truth)
    near(back(cotangent)[0], gradient)


def largest(x, g, window, stride, pads):
    """Of each window the largest, and where the first of them lies what g says."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    g = np.asarray(g, np.float64)
    rows, columns = (s * np.arange(n) for s, n in zip(stride, g.shape[1:3], strict=True))
    taps = np.stack([
        x[:, (rows + i)[:, None], columns + j] for i, j in np.ndindex(window)
    ])  # fmt: skip
    first, gradient = taps.argmax(0), np.zeros(x.shape)
    i, j = np.divmod(first, window[1])
    b, h, w, c = np.indices(g.shape)
    np.add.at(gradient, (b, rows[h] + i, columns[w] + j, c), g)
    inner = (slice(low, n - high) for n, (low, high) in zip(x.shape[1:3], pads, strict=True))
    return taps.max(0), gradient[:, *inner]


def test_each_of_picking_and_placing_is_the_gradient_of_the_other():
    x, v = drawn((2, 7, 8, 5), (2, 7, 8, 5))
    at = ops.Window((7, 8), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    y = ops.pick(x, v, at)
    (g,) = drawn(y.shape)
    near((ops.pick(x, v, at) * g).sum(), (v * ops.place(x, g, at)).sum())
    slopes = jax.grad(lambda v: (jax.grad(lambda v: (ops.pick(x, v, at) ** 2).sum())(v) ** 2).sum())
    twice = ops.place(x, jnp.ones_like(g), at)  # How often each was picked.
    near(slopes(v), 8 * np.asarray(twice * ops.place(x, y, at)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64])
def test_what_is_no_number_is_the_largest(dtype):
    with jax.enable_x64(True):
        x = jnp.zeros((1, 4, 4, 8), dtype).at[0, 1, 2, 3].set(jnp.nan)
        y = pooling.native(x, 2, 2, 0)
        assert y.dtype == dtype
        assert np.isnan(y[0, 0, 1, 3]) and np.isnan(y.astype(jnp.float32)).sum() == 1


# --- compiling


@pytest.fixture
def anew(tmp_path, monkeypatch):
    """As on a machine where nothing was compiled."""
    monkeypatch.setenv("CNNJAX_CACHE", str(tmp_path))
    library.missing.cache_clear()
    monkeypatch.setattr(jax.ffi, "register_ffi_target", lambda *args, **kwargs: None)
    yield tmp_path / "native"
    library.missing.cache_clear()


def compiler(path, text):
    """A compiler's stand-in."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_without_a_compiler_xla_convolves_and_it_is_told(anew, monkeypatch):
    monkeypatch.setenv("PATH", str(anew))
    monkeypatch.delenv("CXX", raising=False)
    why = "no C++ compiler is on the PATH (c++, g++ or clang++)"
    assert ways.missing("cpu") == why
    assert local("pmap", 1).context().conv is convolution.forms
    with pytest.raises(UserError, match="^conv: there are no native convolutions: no C"):
        local(conv="native")
    assert ways.missing("cuda") is None  # Nothing is missed there.


def test_a_compiler_that_fails_is_quoted(anew, tmp_path, monkeypatch):
    text = (
        'case "$1" in --version) echo 1;; *) echo "x.h:1: error: no such header" >&2; exit 1;; esac'
    )
    path = compiler(tmp_path / "cc", text)
    monkeypatch.setenv("CXX", path)
    assert library.missing() == f"{path} can't compile them: x.h:1: error: no such header"
    assert {file.suffix for file in anew.iterdir()} <= {".lock"}


def test_what_a_compiler_makes_may_be_of_no_use(anew, tmp_path, monkeypatch):
    text = (
        'for last; do :; done; case "$1" in --version) echo 1;; *) echo not code > "$last";; esac'
    )
    monkeypatch.setenv("CXX", compiler(tmp_path / "cc", text))
    assert "made can't be loaded: " in library.missing()


def test_a_compiler_that_hangs_is_given_up(anew, tmp_path, monkeypatch):
    text = 'case "$1" in --version) ;; *) exec sleep 60;; esac'
    monkeypatch.setenv("CXX", compiler(tmp_path / "cc", text))
    monkeypatch.setattr(library, "SECONDS", 1)
    assert "took over 1 s to compile them" in library.missing()


def test_what_does_not_start_is_named(anew, tmp_path, monkeypatch):
    path = compiler(tmp_path / "cc", "")
    (tmp_path / "cc").write_bytes(b"\x7fELF")
    monkeypatch.setenv("CXX", path)
    assert library.missing().startswith(f"{path} does not start: ")


def test_a_cache_that_takes_nothing_is_told(anew, monkeypatch):
    anew.write_text("")  # A file where its folder would be.
    assert library.missing().startswith(f"they can't be compiled into {anew}: ")


def test_a_damaged_library_is_compiled_again_and_a_whole_one_is_not(anew, monkeypatch):
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-O0"))
    compile_, calls = library._compile, []
    monkeypatch.setattr(library, "_compile", lambda *args: (calls.append(args), compile_(*args)))
    anew.mkdir()
    (anew / f"{library._digest(library._compiler())}.so").write_bytes(b"\x7fELF")
    for _ in range(2):
        assert library.missing() is None and len(calls) == 1
        library.missing.cache_clear()
    assert len(list(anew.iterdir())) == 1


def test_what_several_want_at_once_is_compiled_once(anew, monkeypatch):
    made = []

    def compiled(compiler, path):
        made.append(path)
        time.sleep(0.3)
        path.write_bytes(b"")

    monkeypatch.setattr(library, "_compile", compiled)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: path)
    library.begin()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = [pool.submit(library._loaded) for _ in range(2)]
    assert [one.result() for one in found] == [str(made[0])] * 2 and len(made) == 1


def test_what_is_compiled_in_advance_fails_where_it_is_wanted(anew, monkeypatch):
    monkeypatch.setenv("PATH", str(anew))
    monkeypatch.delenv("CXX", raising=False)
    before = {*threading.enumerate()}
    ways.begin(None, "cpu")
    for thread in {*threading.enumerate()} - before:
        thread.join()  # What it raised would be an error of this test.
    assert library.missing().startswith("no C++ compiler")


def test_who_ends_meanwhile_waits_for_no_compiler(tmp_path):
    """As one does whose flags were wrong."""
    text = f'case "$1" in --version) ;; *) touch {tmp_path}/begun; exec sleep 60;; esac'
    code = (
        "import pathlib, time; from cnnjax.train.native import library; library.begin()\n"
        f"while not pathlib.Path({str(tmp_path / 'begun')!r}).exists(): time.sleep(0.05)"
    )
    path = compiler(tmp_path / "cc", text)
    environment = os.environ | {"CXX": path, "CNNJAX_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=40)


@pytest.mark.parametrize("wanted, platform", [("forms", "cpu"), ("xla", "cpu"), (None, "cuda")])
def test_nothing_is_compiled_in_advance_that_nobody_wants(wanted, platform, monkeypatch):
    monkeypatch.setattr(library, "begin", lambda: pytest.fail("it is"))
    ways.begin(wanted, platform)
