"""Blocks computed again in the backward pass: the same training in less memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import Dataset, load
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.context import Context
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.study import environment
from cnnjax.train.devices import local
from cnnjax.train.draws import draws
from cnnjax.train.loop import train
from cnnjax.train.optimizer import Hyper
from cnnjax.train.precision import precision
from cnnjax.train.program import advance
from cnnjax.train.recipe import Recipe
from cnnjax.train.scan import scannable, stack, unstack
from cnnjax.train.step import Sums, Task, init
from tests.tiny import small_net, write_dataset

DEEP = Net(
    stages=(Stage(Residual(4), depth=3), Stage(Plain(6), stride=2)),
    head=Head(3, hidden=(8,), dropout=0.5),
)


@pytest.mark.parametrize("scan", [False, True])
def test_gradients_statistics_and_variables_are_the_same(scan):
    with precision("float64"):
        x = jax.random.normal(jax.random.key(1), (4, 8, 8, 1), jnp.float64)
        keys = jax.random.split(jax.random.key(2), 4)
        variables = jax.jit(DEEP.init)(jax.random.key(0), x)
        stages = scannable(DEEP, (8, 8, 1)) if scan else {}
        found = []
        for remat in (False, True):
            context = Context(keys=keys, remat=remat, scan=frozenset(stages))

            def loss(params, context=context):
                held = stack({**variables, "params": params}, stages)
                out, new = DEEP.apply(held, x, train=True, context=context, mutable=["batch_stats"])
                return jnp.sum(out**2), unstack(new, stages)

            found.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"]))
            assert ("prevent_cse" in str(jax.make_jaxpr(loss)(variables["params"]))) == remat
        assert jax.tree.structure(found[0]) == jax.tree.structure(found[1])
        for a, b in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_training_is_the_same(tmp_path):
    source = load(Dataset(write_dataset(tmp_path / "tiny.npz")))
    recipe = Recipe(epochs=1, batch_size=16, dtype="float64")
    with precision("float64"):
        states = [
            train(small_net(), recipe, source, 3, local("pmap", 2, None, remat)).state
            for remat in (False, True)
        ]
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_step_of_scanned_blocks_needs_less_temporary_memory():
    """A deep net of wide maps, whose activations are most of what a step keeps.

    Of blocks that are not scanned XLA:CPU merges what is computed twice, and keeps it.
    """
    net = Net(stages=(Stage(Residual(16), depth=12),), head=Head(3))
    task = Task(net, Recipe(batch_size=32), (32, 32, 3), (0.5,) * 3, (0.25,) * 3, True, 10)
    needed = {}
    for remat in (False, True):
        where = local("pmap", 1, True, remat)
        state = jax.eval_shape(functools.partial(init, task), jax.random.key(0))
        images = jnp.zeros((32, 32, 32, 3), jnp.uint8)
        drawn = draws(jax.random.key(0), 0, 32, 32)
        rest = (images, jnp.zeros(32, jnp.int32), drawn, Hyper.of(task.recipe))
        step = jax.jit(functools.partial(advance, task, where))
        lowered = step.lower(state, Sums.zero(), *rest, jnp.int32(1), where.positions(32))
        needed[remat] = lowered.compile().memory_analysis().temp_size_in_bytes
    assert needed[True] < 0.5 * needed[False]


def test_what_is_measured_so_is_another_measurement():
    plain, again = (environment.place(local("pmap", 1, None, remat)) for remat in (False, True))
    assert again == f"{plain}, blocks computed again"


def test_in_inference_there_is_nothing_to_compute_again():
    x = jnp.zeros((1, 8, 8, 1))
    variables = jax.eval_shape(DEEP.init, jax.random.key(0), x)
    run = functools.partial(DEEP.apply, context=dataclasses.replace(Context(), remat=True))
    assert "prevent_cse" not in str(jax.make_jaxpr(run)(variables, x))
