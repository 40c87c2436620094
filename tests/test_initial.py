"""Weights drawn array by array are those that a net's own program draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import nets
from cnnjax.nets import vary
from cnnjax.nets.connect import Full, Local
from cnnjax.train import initial
from cnnjax.train.initial import drawn
from cnnjax.train.recipe import LAMB, AdamW, Recipe
from cnnjax.train.step import Task, init

SHAPE = (16, 16, 3)
NETS = {
    "scanned": nets.get("resnet20", 10, SHAPE),
    "dense blocks": vary.depth(nets.get("densenet40_k12", 10, SHAPE), 2),
    "depthwise": vary.depth(nets.get("mobilenet_v1_025", 10, SHAPE), 1),
    "layer scale": vary.depth(vary.width(nets.get("convnext_tiny", 10, SHAPE), 0.1), 1),
    "trainable pools": nets.get("lenet5_1998", 10, (32, 32, 1)),
    "local": vary.connectivity(nets.get("vgg4_slim", 10, SHAPE), Local()),
    "full": vary.connectivity(nets.get("vgg4_slim", 10, SHAPE), Full()),
}


def begin(net, shape=SHAPE, **recipe):
    task = Task.on_any_images(net, Recipe(batch_size=8, **recipe), shape, 10)
    return functools.partial(init, task)


def equal(found, truth):
    assert jax.tree.structure(found) == jax.tree.structure(truth)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(truth), strict=True):
        assert isinstance(a, jax.Array) and a.shape == b.shape and a.dtype == b.dtype
        # A product of two constants is rounded once or twice.
        np.testing.assert_allclose(a, b, rtol=3e-7 if a.dtype == jnp.float32 else 1e-14)


@pytest.mark.parametrize("name", NETS)
def test_the_weights_are_those_of_the_nets_own_program(name):
    begun = begin(NETS[name], (32, 32, 1) if name == "trainable pools" else SHAPE)
    key = jax.random.key(3)
    equal(drawn(begun)(key), jax.jit(begun)(key))


@pytest.mark.parametrize("optimizer", [AdamW(), LAMB()])
def test_moments_and_averages_begin_as_in_it(optimizer):
    begun = begin(NETS["local"], optimizer=optimizer, ema=0.9)
    key = jax.random.key(0)
    equal(drawn(begun)(key), jax.jit(begun)(key))


def test_doubles_are_drawn_as_doubles():
    with jax.enable_x64(True):
        begun = begin(NETS["local"], dtype="float64")
        key = jax.random.key(1)
        equal(drawn(begun)(key), jax.jit(begun)(key))


@pytest.mark.parametrize("sizes", [(4, 16), (2, 3)])
def test_an_array_is_the_beginning_of_a_longer_one(sizes, monkeypatch):
    """Of whichever length, and where none is long enough."""
    key = jax.random.key(2)

    def begun(key):
        return jax.random.normal(key, (3, 5)), jax.random.truncated_normal(key, -2, 2, (3, 5))

    monkeypatch.setattr(initial, "LENGTHS", sizes)
    equal(drawn(begun)(key), jax.jit(begun)(key))


def programs(f):
    """How many are compiled in it."""
    count = []
    listen = lambda event, *_, **__: count.append(event)  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        f()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return count.count("/jax/core/compile/backend_compile_duration")


def test_no_net_has_a_program_of_its_own():
    """Not of another seed, and not of arrays of other shapes."""
    drawn(begin(NETS["scanned"]))(jax.random.key(0))
    assert not programs(lambda: drawn(begin(NETS["scanned"]))(jax.random.key(1)))
    other = vary.width(NETS["scanned"], 0.7)
    assert not programs(lambda: drawn(begin(other))(jax.random.key(1)))


def test_every_array_is_its_own():
    """For a step to take over: equal ones share no memory."""

    def begun(key):
        zeros = jnp.zeros(8)
        return zeros, zeros, jax.random.normal(key, (8,))

    leaves = drawn(begun)(jax.random.key(0))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == 3


def test_keys_that_draw_otherwise_keep_the_nets_own_program():
    with jax.threefry_partitionable(False):
        begun = begin(NETS["local"])
        key = jax.random.key(1)
        equal(drawn(begun)(key), jax.jit(begun)(key))
