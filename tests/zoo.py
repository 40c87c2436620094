"""Every net of the family, and what the tests of all of them share."""

import contextlib
import functools
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.extend.core import jaxpr_as_fun

from cnnjax import nets
from cnnjax.compute.forward import abstract_variables
from cnnjax.compute.spatial import Axis, Field
from cnnjax.nets import vary
from cnnjax.nets.activations import ACTIVATIONS
from cnnjax.nets.net import Net
from cnnjax.nets.pools import Average, Max
from cnnjax.values import fields, is_value, value

NAMES = nets.names()


def _families() -> dict[str, list[str]]:
    """The names of each module's nets."""
    modules = (module.name for module in pkgutil.iter_modules(nets.__path__))
    tables = {
        m: getattr(importlib.import_module(f"{nets.__name__}.{m}"), "NETS", {}) for m in modules
    }
    return {module: list(table) for module, table in tables.items() if table}


def blocks(name: str) -> int:
    """How many blocks the stages of the net of that name have."""
    return sum(stage.depth for stage in nets.get(name).stages)


def kind(v: Any) -> Any:
    """A net, or a part of one, without its numbers and how often its blocks are repeated."""
    if isinstance(v, tuple):
        return frozenset(map(kind, v))
    if is_value(v):
        return (type(v), *((f.name, kind(getattr(v, f.name))) for f in fields(v)))
    return "number" if type(v) in (int, float) else v


def firsts(named: Iterable[tuple[str, Net]]) -> set[str]:
    """The first name of each kind of net."""
    found: dict[Any, str] = {}
    for name, net in named:
        found.setdefault(kind(net.clone(adapted="")), name)
    return set(found.values())


def parts(v: Any) -> set[type]:
    """The classes of a net's blocks, norms, shortcuts, pools and whatever else it is made of."""
    inside = v if isinstance(v, tuple) else ()
    if is_value(v):
        inside = [getattr(v, f.name) for f in fields(v)]
    return set().union(*map(parts, inside)) | ({type(v)} if is_value(v) else set())


def covering(named: Iterable[tuple[str, Net]]) -> set[str]:
    """Names of nets that have, between them, every part that any has: the first with each."""
    found, seen = set(), set()
    for name, net in named:
        if parts(net) - seen:
            found.add(name)
            seen |= parts(net)
    return found


FAMILIES = _families()
# The net with the fewest blocks of each family, and all that have few.
REPRESENTATIVES = {family: min(names, key=blocks) for family, names in FAMILIES.items()}
QUICK = [n for n in NAMES if blocks(n) <= 8 or n in REPRESENTATIVES.values()]
KINDS = firsts((name, nets.get(name)) for name in sorted(NAMES, key=blocks))


def each_of(names: Iterable[str]) -> pytest.MarkDecorator:
    """A test for each: beside the quick ones the smallest of its kind is slow, and what differs
    from it in numbers alone is left to `pytest -m every`."""
    return pytest.mark.parametrize("name", [
        n if n in QUICK else pytest.param(n, marks=(SLOW if n in KINDS else EVERY)) for n in names
    ])  # fmt: skip


SLOW, EVERY = pytest.mark.slow, pytest.mark.every
each = each_of(NAMES)

# Settings of every axis that are legal by themselves.
SETTINGS = {
    "kernel": st.integers(1, 5),
    "dilation": st.integers(1, 2),
    "depth": st.integers(1, 3),
    "stride": st.integers(1, 3),
    "width": st.sampled_from([0.05, 0.3, 0.5, 1.5]),
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "norm": st.sampled_from(["batch", "group", "layer", "none"]),
    "pooling": st.sampled_from(["max", "avg", "stride"]),
    "shortcut": st.sampled_from(["pad", "projection", "identity", "none"]),
    "groups": st.integers(1, 5),
    "connectivity": st.sampled_from(["conv", "local", "full"]),
    "padding": st.sampled_from(["same", "symmetric"]),
    "output_stride": st.sampled_from([1, 2, 4, 8]),
}


def native(name: str, **axes: Any) -> Net:
    """The net of that name for its paper's images."""
    return nets.get(name, input_shape=nets.native_shape(name), **axes)


def abstract(net: Net, shape: tuple[int, int, int]) -> dict:
    """The shapes of the net's variables for images of shape (H, W, C), by a trace of its own, for
    what is counted of the other one to be held against."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(net.init, jax.random.key(0), image)


def started(net: nn.Module, *shape: int) -> dict:
    """As `init` would have it, without compiling it, which takes longer than a step: He-normal
    kernels, biases and means of zero, and ones."""
    shapes = abstract_variables(net, shape)
    draws = np.random.default_rng(1)

    def fill(path, leaf):
        if leaf.ndim > 1:
            spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return jnp.asarray(draws.normal(0, spread, leaf.shape), leaf.dtype)
        return jnp.full(leaf.shape, float(path[-1].key not in ("bias", "mean")), leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, {k: v for k, v in shapes.items() if k != "maps"})


@contextlib.contextmanager
def ones() -> Iterator[None]:
    """Every parameter is one, and there without having been initialised: five times as fast."""

    def param(
        scope: nn.Module, name: str, init: Any, shape: tuple[int, ...], dtype: Any, **kwargs: Any
    ) -> np.ndarray:
        return np.ones(shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "param", param)
        yield


@value
class LastMap:
    """A head that ends nothing."""

    def __call__(self, x: jax.Array, ctx: Any) -> jax.Array:
        return x


CUT = ("gate", "respond")  # Squeeze-and-excitation and local response norm are not linear.
LINEAR = {"activation": "identity", "norm": "none", "width": 1e-6, "groups": 1}


def linear(net: Net) -> Net:
    """The net's geometry alone: its layers as linear maps of few channels, up to its last map."""
    net = _linear(net.clone(head=LastMap()))
    for axis, setting in LINEAR.items():
        net = vary.AXES[axis](net, setting) if vary.moves(net, axis) else net
    return net


def _linear(v: Any) -> Any:
    """The value with averages for maxima and None for what is cut, at any depth."""
    if isinstance(v, tuple):
        return tuple(map(_linear, v))
    if isinstance(v, Max):
        return Average()
    if not is_value(v):
        return v
    kept = {f.name: getattr(v, f.name) for f in fields(v)}
    return type(v)(**{k: None if k in CUT else _linear(x) for k, x in kept.items()})


@functools.cache
def support(net: Net, size: tuple[int, int], unit: tuple[int, int]) -> np.ndarray:
    """Which pixels [H, W] have a gradient at a unit of the last map of a `linear` net.

    All weights are one: nothing can cancel, and what is seen has a gradient of at least the pools'
    divisors. The program is transposed without being run forward.
    """
    with jax.enable_x64(True), ones():
        x = jax.ShapeDtypeStruct((1, *size, 1), jnp.float64)
        program = jax.make_jaxpr(lambda x: net.apply({}, x))(x)
        (last,) = program.out_avals
        one_hot = np.zeros(last.shape)
        one_hot[0, *unit] = 1
        run = jaxpr_as_fun(program)
        back = jax.jit(jax.linear_transpose(lambda x: run(x)[0], x))
        (gradient,) = back(one_hot)
        gradient = np.asarray(gradient)
    return (gradient > 0).any(axis=(0, 3))


def predicted(field: Field, size: tuple[int, int], unit: tuple[int, int]) -> np.ndarray:
    """The same pixels [H, W], as the field has them; those outside the image are left out."""
    seen = np.zeros(size, bool)
    for part in field.parts:
        pixels = []
        for axis, i, n in zip(part, unit, size, strict=True):
            first = i * axis.stride + axis.low
            found = (first + j for j in range(axis.size) if axis.pixels >> j & 1)
            pixels.append([p for p in found if 0 <= p < n])
        seen[np.ix_(*pixels)] = True
    return seen


def room(axis: Axis, size: int) -> tuple[int, int]:
    """A size that differs from the given one by whole units of the last map, so that every map on
    the way is padded alike, and the first unit there whose field lies inside the image."""
    unit = -(axis.low // axis.stride)
    missing = unit * axis.stride + axis.high + 1 - size
    return size + max(0, -(-missing // axis.stride)) * axis.stride, unit
