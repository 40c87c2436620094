"""A batch in parts is the batch, and an average of weights is the net that is evaluated."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import Dataset, load
from cnnjax.data.changes import ColourJitter, RandAugment
from cnnjax.errors import UserError
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.context import Context
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Pool
from cnnjax.train import average
from cnnjax.train.accumulate import in_parts
from cnnjax.train.devices import check, local
from cnnjax.train.evaluation import evaluate
from cnnjax.train.loop import Hooks, make_task, train
from cnnjax.train.optimizer import Hyper
from cnnjax.train.precision import precision
from cnnjax.train.recipe import Constant, LinearProbe, Recipe
from cnnjax.train.step import Batch, init, train_step
from tests.tiny import least_net, small_net, write_dataset

BARE = Net(
    stem=Stage(Plain(4, norm=NoNorm()), pool=Pool()),
    stages=(Stage(Residual(4, norm=NoNorm()), depth=3),),
    head=Head(3, hidden=(8,), dropout=0.5),
)
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05, dtype="float64", mixup=0.5,
                cutmix=1.0, pad_crop=1, ema=0.9, crop_scale=0.5, randaugment=RandAugment(),
                jitter=ColourJitter(), erase=0.5)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load(Dataset(write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz")))


def trained(source, net, recipe, mode="pmap", count=1, scan=None, **more):
    with precision(recipe.dtype):
        return train(net, recipe, source, 3, local(mode, count, scan), **more)


def equal(a, b, tolerance=1e-12):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.allclose(x, y, rtol=tolerance, atol=tolerance) for x, y in pairs)


@pytest.fixture(scope="module")
def whole(source):
    return trained(source, BARE, RECIPE).state


@pytest.mark.parametrize(
    ("parts", "mode", "count"),
    [
        (2, "pmap", 8),
        pytest.param(4, "jit", 2, marks=pytest.mark.slow),
        pytest.param(2, "fsdp", 8, marks=pytest.mark.slow),
    ],
)
def test_without_batch_norm_a_batch_in_parts_is_the_batch(source, whole, parts, mode, count):
    """Every change of images, dropout and the average included."""
    recipe = dataclasses.replace(RECIPE, accumulate=parts)
    assert equal(trained(source, BARE, recipe, mode, count, scan=count > 1).state, whole)


def test_with_batch_norm_parts_are_the_same_over_any_number_of_devices(source):
    recipe = Recipe(epochs=1, batch_size=16, dtype="float64", accumulate=2)
    one, many = (trained(source, least_net(), recipe, count=n).state for n in (1, 8))
    assert equal(one, many, 1e-10)


def test_running_statistics_move_on_after_each_part():
    """Parts have examples that lie as far apart as there are parts."""

    def gradient(stats, x):
        return x.sum(), 10 * stats + x[0], (x.sum(), len(x))

    x = jnp.arange(6.0)
    mean, stats, (total, count) = in_parts(3, gradient, jnp.float32(0), x)
    assert (float(mean), float(stats)) == (15 / 3, 12.0)  # Of the parts 0 3, 1 4 and 2 5.
    assert (float(total), int(count)) == (15, 6)


def test_a_batch_that_does_not_divide_into_parts_is_refused():
    message = "batch_size: 16 does not divide among 2 devices in 3 parts .accumulate.; try 18"
    with pytest.raises(UserError, match=message):
        check(dataclasses.replace(RECIPE, accumulate=3), 48, local(count=2))


@pytest.mark.parametrize("warmup", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_average_is_the_one_computed_by_hand(source, warmup):
    recipe = Recipe(batch_size=16, learning_rate=0.1, schedule=Constant(), ema=0.6,
                    ema_warmup=warmup)  # fmt: skip
    task = make_task(small_net(), recipe, source)
    batch = Batch(
        source.train.images[:16], source.train.labels[:16], jax.random.split(jax.random.key(1), 16)
    )
    step = jax.jit(lambda s: train_step(task, Context(), s, batch, Hyper.of(recipe))[0])
    states = [jax.jit(lambda k: init(task, k))(jax.random.key(0))]
    states += itertools.islice(_iterated(step, states[0]), 3)
    mean = {"params": states[0].params, "batch_stats": states[0].batch_stats}
    assert equal(states[0].average, mean)
    for t, state in enumerate(states[1:]):
        keep = min(0.6, 1 - (1 + t) ** (-2 / 3)) if warmup else 0.6
        new = {"params": state.params, "batch_stats": state.batch_stats}
        mean = jax.tree.map(lambda a, b, k=keep: k * a + (1 - k) * b, mean, new)
        assert equal(state.average, mean, 1e-5)
        assert state.variables is state.average


def _iterated(f, x):
    while True:
        x = f(x)
        yield x


def test_the_average_is_what_is_evaluated_and_kept(source):
    recipe = Recipe(epochs=2, batch_size=16, ema=0.5)
    done = trained(source, least_net(), recipe)
    assert equal(done.variables, done.state.average, 0)
    assert not equal(done.state.average["params"], done.state.params)
    state = done.state
    bare = state.replace(
        params=state.average["params"], batch_stats=state.average["batch_stats"], average={}
    )
    looks = [evaluate(done.program, local(count=1), s, source.val, "val")[1] for s in (state, bare)]
    np.testing.assert_array_equal(*looks)


def test_a_probe_keeps_the_average_of_its_last_layer(source):
    recipe = Recipe(epochs=2, batch_size=16, ema=0.5, mixup=0.2, fine_tune=LinearProbe())
    done = trained(source, least_net(), recipe)
    kept, moved = done.variables["params"]["head"]["logits"], done.state.params["head"]["logits"]
    assert equal(kept, done.state.average["params"]["head"]["logits"], 0)
    assert not equal(kept, moved)


def test_a_resumed_average_is_the_uninterrupted_one_to_the_bit(source, tmp_path):
    recipe = Recipe(epochs=4, batch_size=16, ema=0.9, accumulate=2)
    whole = trained(source, least_net(), recipe)
    asked = iter(range(100))
    stop = Hooks(stop=lambda: next(asked) >= 1)
    part = trained(source, least_net(), recipe, hooks=stop, saved=tmp_path / "checkpoint")
    assert part.status == "stopped"
    rest = trained(source, least_net(), recipe, saved=tmp_path / "checkpoint")
    for a, b in zip(jax.tree.leaves(whole.state), jax.tree.leaves(rest.state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_decay_warms_up_to_its_value():
    keep = [float(average.decay(Recipe(ema=0.9, ema_warmup=True), jnp.int32(t))) for t in range(99)]
    assert keep[0] == 0
    assert keep == sorted(keep)
    assert keep[-1] == pytest.approx(0.9)


def test_the_linear_scaling_rule_multiplies_the_rate(source):
    """A batch of 64 for rates that are for one of 16."""
    scaled = Recipe(batch_size=64, base_batch_size=16, learning_rate=0.1)
    assert scaled.peak_rate == pytest.approx(0.4)
    assert float(Hyper.of(scaled).learning_rate) == pytest.approx(0.4)
    assert Recipe(batch_size=64, learning_rate=0.1).peak_rate == 0.1
    rows = []
    recipe = Recipe(epochs=1, batch_size=16, base_batch_size=8, schedule=Constant())
    trained(source, least_net(), recipe, hooks=Hooks(epoch=rows.append))
    assert rows[0]["learning_rate"] == pytest.approx(0.2)
