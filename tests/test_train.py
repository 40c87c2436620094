"""Laws of training: devices, dispatches and interruptions change nothing."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.data import Dataset, load
from cnnjax.errors import UserError
from cnnjax.nets.auxiliary import AuxiliaryHead, Watched
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import Context
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.pools import Average, Pool
from cnnjax.train import checkpoint, evaluation, loop
from cnnjax.train.devices import MODES, check, local
from cnnjax.train.evaluation import evaluate
from cnnjax.train.loop import Hooks, make_task, train
from cnnjax.train.optimizer import Hyper
from cnnjax.train.precision import precision
from cnnjax.train.program import make_program
from cnnjax.train.recipe import Constant, Recipe
from cnnjax.train.step import Batch, cross_entropy, init, train_step
from tests.tiny import small_net, write_dataset

RECIPE = Recipe(epochs=7, batch_size=16, learning_rate=0.05, pad_crop=1, cutout=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load(Dataset(write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz")))


def distance(a, b):
    """Largest difference of two states, relative to the largest parameter."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(np.asarray(x, np.float64) - np.asarray(y, np.float64)).max())
               for x, y in pairs)  # fmt: skip


def trained(source, recipe, mode, count, **more):
    with precision(recipe.dtype):
        return train(small_net(), recipe, source, 3, local(mode, count), **more)


@pytest.mark.parametrize("mode", MODES)
def test_eight_devices_equal_one_in_float64(source, mode):
    """21 steps with batch norm over the global batch, dropout and augmentation."""
    recipe = dataclasses.replace(RECIPE, dtype="float64")
    one = trained(source, recipe, "pmap", 1)
    many = trained(source, recipe, mode, 8)
    assert one.steps == many.steps == 21
    assert distance(one.state.params, many.state.params) < 1e-10
    assert distance(one.state.batch_stats, many.state.batch_stats) < 1e-10


@pytest.mark.parametrize("mode", MODES)
def test_eight_devices_equal_one_in_float32_for_a_step(source, mode):
    few = dataclasses.replace(source, train=source.train.take(np.arange(16)))
    recipe = dataclasses.replace(RECIPE, epochs=1)
    one, many = trained(few, recipe, "pmap", 1), trained(few, recipe, mode, 8)
    assert one.steps == 1
    assert distance(one.state.params, many.state.params) < 1e-5


def test_batch_norm_per_device_differs_and_trains(source):
    recipe = dataclasses.replace(RECIPE, epochs=1, batch_norm="device")
    apart = trained(source, recipe, "pmap", 2)
    joined = trained(source, dataclasses.replace(recipe, batch_norm="global"), "pmap", 2)
    assert distance(apart.state.params, joined.state.params) > 1e-6
    assert apart.status == "done"


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(source, tmp_path):
    whole = trained(source, RECIPE, "pmap", 2)
    rows, parts = [], 0
    for stop_at in (2, 9, 13, None):
        asked = iter(range(1000))
        hooks = Hooks(
            epoch=rows.append,
            stop=lambda asked=asked, n=stop_at: n is not None and next(asked) >= n // 4,
        )
        part = trained(source, RECIPE, "pmap", 2, hooks=hooks, saved=tmp_path / "checkpoint")
        parts += part.status == "stopped"
    assert parts >= 1
    assert part.status == "done"
    for a, b in zip(jax.tree.leaves(whole.state), jax.tree.leaves(part.state), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["epoch"] for row in rows] == list(range(1, 8))


def test_a_last_epoch_may_be_cut_short_and_is_resumed_to_the_bit(source, tmp_path):
    """Three steps an epoch: two epochs and a part of one, stopped after every dispatch."""
    recipe = RECIPE.lasting(8, 48)
    told = []
    whole = trained(source, recipe, "pmap", 2, hooks=Hooks(epoch=told.append))
    rows, stops, begun = [], 0, []
    while True:
        hooks = Hooks(epoch=rows.append, stop=lambda: True, begins=begun.append)
        part = trained(source, recipe, "pmap", 2, hooks=hooks, saved=tmp_path / "checkpoint")
        if part.status != "stopped":
            break
        stops += 1
    assert (part.status, part.steps, part.epochs, whole.epochs) == ("done", 8, 3, 3)
    assert stops >= 3
    assert max(begun) == 2  # The part is an epoch that was not done before.
    for a, b in zip(jax.tree.leaves(whole.state), jax.tree.leaves(part.state), strict=True):
        np.testing.assert_array_equal(a, b)
    one, many = ([{k: v for k, v in r.items() if k != "seconds"} for r in x] for x in (told, rows))
    assert one == many
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 3), (2, 6), (3, 8)]
    assert rows[-1]["learning_rate"] == pytest.approx(0)  # The schedule spans what is taken.


def test_a_training_cut_short_begins_as_the_whole_one_of_its_schedule(source):
    """At a constant rate the first steps are those of a longer training."""
    recipe = dataclasses.replace(RECIPE, schedule=Constant())
    one, other = trained(source, recipe.lasting(3, 48), "pmap", 1), []
    hooks = Hooks(epoch=lambda row: other.append(row))
    trained(source, recipe.lasting(5, 48), "pmap", 1, hooks=hooks)
    row = evaluate(one.program, local(count=1), one.state, source.val, "val").metrics
    assert other[0]["val_loss"] == pytest.approx(row["val_loss"], rel=1e-6)


def test_how_steps_are_cut_into_dispatches_changes_nothing(source, monkeypatch):
    rows = {}
    for seconds in (1e-9, 10.0):
        monkeypatch.setattr(loop, "DISPATCH_SECONDS", seconds)
        rows[seconds] = []
        hooks = Hooks(epoch=rows[seconds].append)
        trained(source, dataclasses.replace(RECIPE, epochs=2), "pmap", 1, hooks=hooks)
    one, many = ([{k: v for k, v in r.items() if k != "seconds"} for r in x] for x in rows.values())
    assert one == many


def test_a_loss_that_is_not_finite_stops_the_run(source):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e3, epochs=50, weight_decay=10.0)
    assert trained(source, recipe, "pmap", 1).status == "diverged"


def test_training_learns_and_evaluation_counts_each_example_once(source):
    recipe = dataclasses.replace(RECIPE, epochs=40, cutout=0, pad_crop=0, flip=False)
    done = trained(source, recipe, "pmap", 1)
    metrics, logits, _ = evaluate(done.program, local(count=1), done.state, source.val, "val")
    assert logits.shape == (20, 3)  # 16 and a padded batch with 4.
    assert metrics["val_accuracy"] == np.mean(logits.argmax(-1) == source.val.labels)
    assert metrics["val_accuracy"] > 0.6


def test_tasks_that_differ_in_rate_decay_or_seed_share_a_program(source):
    where = local(count=1)
    other = dataclasses.replace(RECIPE, learning_rate=0.01, weight_decay=0.1)
    first = make_program(make_task(small_net(), RECIPE, source), 48, where)
    assert make_program(make_task(small_net(), other, source), 48, where) is first


def test_the_step_traces_once_for_all_rates_and_takes_the_given_one(source):
    task = make_task(small_net(), dataclasses.replace(RECIPE, epochs=1), source)
    state = jax.jit(lambda k: init(task, k))(jax.random.key(0))
    batch = Batch(
        source.train.images[:16], source.train.labels[:16], jax.random.split(jax.random.key(1), 16)
    )
    step = jax.jit(lambda s, h: train_step(task, Context(), s, batch, h))
    still, _ = step(state, Hyper(jnp.float32(0), jnp.float32(0)))
    moved, sums = step(state, Hyper(jnp.float32(1), jnp.float32(0)))
    assert distance(still.params, state.params) == 0
    assert distance(moved.params, state.params) > 0
    assert float(sums.count) == 16


def test_bfloat16_computes_with_float32_parameters(source):
    done = trained(source, dataclasses.replace(RECIPE, epochs=1, dtype="bfloat16"), "pmap", 1)
    assert {x.dtype for x in jax.tree.leaves(done.state.params)} == {jnp.dtype("float32")}


def test_auxiliary_heads_join_the_gradient_by_their_weight_and_no_metric(source):
    """A first step of SGD is linear in the gradient, which is linear in the weight."""
    task = make_task(watched(0.3), dataclasses.replace(RECIPE, epochs=1), source)
    state = jax.jit(lambda k: init(task, k))(jax.random.key(0))
    batch = Batch(
        source.train.images[:16], source.train.labels[:16], jax.random.split(jax.random.key(1), 16)
    )
    moved, losses = {}, set()
    for weight in (0.0, 0.3, 0.6):
        at = dataclasses.replace(task, net=watched(weight))
        step = jax.jit(lambda s, at=at: train_step(at, Context(), s, batch, Hyper.of(at.recipe)))
        new, sums = step(state)
        moved[weight] = new.params
        losses.add(float(sums.loss))
    assert len(losses) == 1
    once, twice = (jax.tree.map(jnp.subtract, moved[w], moved[0.0]) for w in (0.3, 0.6))
    assert distance(twice, jax.tree.map(lambda x: 2 * x, once)) < 1e-6
    block = once["stage1"]["block1"]
    for part in (block["conv"], block["auxiliary"]["logits"]):
        assert distance(part, jax.tree.map(jnp.zeros_like, part)) > 1e-5
    assert distance(once["head"], jax.tree.map(jnp.zeros_like, once["head"])) == 0


def watched(weight):
    """A block with an auxiliary head."""
    head = AuxiliaryHead(
        Head(3, reduce=Flatten(), hidden=(4,), dropout=0.5),
        features=2,
        pool=Pool(Average(), window=3, stride=2),
        weight=weight,
    )
    return Net(stages=(Stage(Watched(Plain(4), head)),), head=Head(3))


def test_smoothed_cross_entropy_by_hand():
    logits, label = jnp.array([[2.0, 0.0, -1.0]]), jnp.array([0])
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    target = np.array([1.0, 0, 0]) * 0.9 + 0.1 / 3
    assert float(cross_entropy(logits, label, 0.1)[0]) == pytest.approx(float(-target @ np.log(p)))


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="batch_size: 12 does not divide among 8 devices; try 16"):
        check(Recipe(batch_size=12), 100, local(count=8))
    with pytest.raises(UserError, match="batch_size: 64 is more than the 48 training images"):
        check(Recipe(batch_size=64), 48, local(count=1))
    apart = Recipe(batch_size=16, batch_norm="device")
    check(apart, 100, local("pmap", 2))
    with pytest.raises(UserError, match="batch_norm: with --parallel=fsdp statistics are the wh"):
        check(apart, 100, local("fsdp", 2))
    with pytest.raises(UserError, match="devices: 9 is out of range: there are 8"):
        local(count=9)
    with pytest.raises(UserError, match="unknown parallel mode 'pmpa': did you mean 'pmap'"):
        local("pmpa")


def test_large_arrays_are_spread_with_fsdp_and_no_others():
    where = local("fsdp", 8)
    tree = {"large": jnp.zeros((3, 3, 16, 64)), "odd": jnp.zeros((9, 121)), "small": jnp.zeros(64)}
    laid = where.put_state(tree)
    shares = {name: x.addressable_shards[0].data.shape for name, x in laid.items()}
    assert shares == {"large": (3, 3, 16, 8), "odd": (9, 121), "small": (64,)}
    assert all(x.is_fully_replicated for x in where.whole(laid).values())


def test_a_damaged_checkpoint_is_not_loaded(tmp_path):
    tree = {"w": jnp.arange(5.0)}
    assert checkpoint.restore(tmp_path / "c", tree) is None
    checkpoint.save(tmp_path / "c", tree)
    checkpoint.save(tmp_path / "c", {"w": jnp.arange(5.0) + 1})
    np.testing.assert_array_equal(
        checkpoint.restore(tmp_path / "c", tree)["w"], jnp.arange(5.0) + 1
    )
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    name = max(manifest, key=lambda n: (tmp_path / "c" / "arrays" / n).stat().st_size)
    path = tmp_path / "c" / "arrays" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert checkpoint.restore(tmp_path / "c", tree) is None


def test_a_kill_between_the_renames_of_a_save_loses_nothing(tmp_path):
    checkpoint.save(tmp_path / "c", {"w": jnp.arange(5.0)})
    (tmp_path / "c").rename(tmp_path / "c.old")
    (tmp_path / "c.new" / "arrays").mkdir(parents=True)
    found = checkpoint.restore(tmp_path / "c", {"w": jnp.zeros(5)})
    np.testing.assert_array_equal(found["w"], jnp.arange(5.0))


def test_weights_of_another_net_are_refused(tmp_path):
    checkpoint.save(tmp_path / "c", {"w": jnp.arange(5.0)})
    with pytest.raises(UserError, match="holds the weights of another net"):
        checkpoint.restore(tmp_path / "c", {"v": jnp.zeros(4)})


def test_the_loss_of_a_split_is_the_mean_cross_entropy():
    logits = 30 * np.asarray(jax.random.normal(jax.random.key(0), (50, 7)), np.float32)
    labels = np.arange(50) % 7
    truth = float(cross_entropy(jnp.asarray(logits), jnp.asarray(labels)).mean())
    assert evaluation._loss(logits, labels) == pytest.approx(truth, rel=1e-6)
    assert np.isnan(evaluation._loss(np.full((2, 7), np.nan, np.float32), labels[:2]))
    assert np.isnan(evaluation._loss(np.full((2, 7), np.inf, np.float32), labels[:2]))
