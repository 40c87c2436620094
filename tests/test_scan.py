"""Scanned blocks are the unrolled net: the same numbers under the same names."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import nets
from cnnjax.data import Dataset, load
from cnnjax.nets import vary
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.context import Context
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.pools import Pool
from cnnjax.train.devices import local
from cnnjax.train.initial import drawn
from cnnjax.train.loop import train
from cnnjax.train.precision import precision
from cnnjax.train.recipe import make_recipe
from cnnjax.train.scan import chosen, scannable, stack, unstack
from tests.tiny import write_dataset

DEEP = Net(
    stem=Stage(Plain(4), pool=Pool()),
    stages=(Stage(Residual(4), depth=4), Stage(Residual(6), depth=3, stride=2)),
    head=Head(3, hidden=(8,), dropout=0.5),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load(Dataset(write_dataset(tmp_path_factory.mktemp("scan") / "tiny.npz")))


@pytest.mark.parametrize(
    ("optimizer", "parallel", "devices"),
    [("sgd()", "pmap", 2), pytest.param("adamw()", "jit", 4, marks=pytest.mark.slow)],
)
def test_a_scanned_training_is_the_unrolled_one(source, optimizer, parallel, devices):
    with precision("float64"):
        recipe = make_recipe(epochs=1, batch_size=16, dtype="float64", optimizer=optimizer)
        trees = []
        for scan in (True, False):
            where = local(parallel, devices, scan)
            trees.append(train(DEEP, recipe, source, 3, where).state)
        scanned, unrolled = trees
        assert jax.tree.structure(scanned) == jax.tree.structure(unrolled)
        for a, b in zip(*map(jax.tree.leaves, trees), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_logits_of_a_scanned_net_are_those_of_the_unrolled_one():
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    variables = drawn(lambda key: DEEP.init(key, x))(jax.random.key(0))
    stages = scannable(DEEP, (8, 8, 1))
    assert stages == {"stage1": range(2, 5), "stage2": range(2, 4)}
    context = Context(scan=frozenset(stages))
    scanned = DEEP.apply(stack(variables, stages), x, context=context)
    np.testing.assert_allclose(scanned, DEEP.apply(variables, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet20", "vgg16", "vgg4_slim", "lenet5"])
def test_unstacking_undoes_stacking(name):
    net = nets.get(name)
    shape = nets.native_shape(name)
    stages = scannable(net, shape)
    tree = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, *shape)))
    back = jax.eval_shape(lambda t: unstack(stack(t, stages), stages), tree)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), back) == jax.tree.map(
        lambda x: (x.shape, x.dtype), tree
    )


def test_only_equal_blocks_in_a_row_are_scanned():
    a, b = Plain(4), Plain(4, kernel=5)
    mixed = Stage((a, a, b, b, b, a), depth=6)
    assert mixed.repeated == range(3, 6)
    assert Stage(a, depth=1).repeated == range(0)
    pooled = vary.pooling(Net((Stage(a, depth=4, pool=Pool()),)), "stride").stages[0]
    assert pooled.repeated == range(2, 4)  # The last takes the pool's stride.
    traded = dataclasses.replace(Stage(a, depth=4, stride=1), rate=1, traded=2)
    assert traded.repeated == range(2, 5)


def test_the_rule_scans_all_with_xlas_convolutions_on_the_cpu_and_long_runs_elsewhere():
    net, shape = nets.get("resnet50"), (64, 64, 3)
    whole = {"stage1", "stage2", "stage3", "stage4"}
    assert set(chosen(net, shape, None, "forms")) == set(chosen(net, shape, None, "xla")) == whole
    assert chosen(net, shape, None, None) == chosen(net, shape, None, "native") == {}
    assert set(chosen(nets.get("resnet101"), shape, None, None)) == {"stage3"}
    small = (32, 32, 3)
    assert chosen(nets.get("resnet56"), small, None, "native") == {}
    assert len(chosen(nets.get("resnet110"), small, None, "native")) == 3
    assert chosen(net, shape, False, "forms") == {}
    assert set(chosen(net, shape, True, None)) == whole


def test_draws_do_not_depend_on_scanning():
    keys = jax.random.split(jax.random.key(0), 3)
    unrolled = Context(keys=keys, path="stage1/block3", block=3).draws("dropout")
    scanned = Context(keys=keys, path="stage1/scanned/block", block=jnp.int32(3)).draws("dropout")
    assert (unrolled == scanned).all()
    other = Context(keys=keys, path="stage1/block2", block=2).draws("dropout")
    assert not (unrolled == other).any()
