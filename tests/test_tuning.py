"""Laws of fine-tuning: what is frozen stays, costs nothing, and is the whole training's equal."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import compute, nets
from cnnjax.compute.forward import abstract_variables
from cnnjax.data import Dataset, load
from cnnjax.errors import UserError
from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.context import Context
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.norms import BatchNorm, GroupNorm
from cnnjax.nets.pools import Average, Pool
from cnnjax.train import loop, probe, tune
from cnnjax.train.cost import training_macs
from cnnjax.train.devices import local
from cnnjax.train.evaluation import evaluate
from cnnjax.train.loop import Hooks, make_task, train
from cnnjax.train.optimizer import Hyper, decayed, make_optimizer
from cnnjax.train.precision import precision
from cnnjax.train.recipe import GradualUnfreezing, Recipe, make_recipe
from cnnjax.train.scan import scannable, stack
from cnnjax.train.step import Batch, Task, init, start, train_step
from tests.tiny import small_net, write_dataset

SHAPE = (8, 8, 1)
PLAIN = Net(stem=Stage(Plain(4), pool=Pool()), stages=(Stage(Residual(6), stride=2),), head=Head(3))
DEEP = Net(
    stem=Stage(Plain(4), pool=Pool(Average())),
    stages=(Stage(Plain(4), depth=3), Stage(Residual(6), stride=2)),
    head=Head(3, hidden=(8,), dropout=0.5),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load(Dataset(write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz")))


def drawn(net, seed=0, dtype=np.float32):
    """Variables that no initialiser would give, statistics included."""
    found = abstract_variables(net, SHAPE)
    draws = np.random.default_rng(seed)

    def draw(path, leaf):
        positive = path[-1].key in ("var", "scale")
        values = draws.uniform(0.5, 2, leaf.shape) if positive else draws.normal(0, 0.4, leaf.shape)
        return values.astype(dtype)

    return jax.tree_util.tree_map_with_path(draw, dict(found))


def close(a, b, tolerance=1e-10):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def same(a, b):
    for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_probe_is_the_training_of_the_whole_net_with_all_but_its_head_frozen(source):
    """Twelve steps on two devices against one, a batch norm, momentum and decay."""
    recipe = make_recipe(epochs=4, batch_size=16, dtype="float64", flip=False)
    whole = dataclasses.replace(recipe, fine_tune=GradualUnfreezing(share=1.0, parts=1))
    with precision("float64"):
        given = drawn(PLAIN)
        probed = dataclasses.replace(recipe, fine_tune=make_recipe(fine_tune="probe").fine_tune)
        a = train(PLAIN, probed, source, 3, local(count=2), variables=given)
        b = train(PLAIN, whole, source, 3, local(count=1), variables=given)
        assert a.status == b.status == "done"
        assert a.steps == b.steps == 12
        close(a.variables, dict(b.variables))
        for found in (a, b):
            body, stats = ({k: v for k, v in found.variables["params"].items() if k != "head"},
                           found.variables["batch_stats"])  # fmt: skip
            same(body, {k: v for k, v in given["params"].items() if k != "head"})
            same(stats, given["batch_stats"])
            old, new = (np.asarray(v["params"]["head"]["logits"]["kernel"])
                        for v in (given, found.variables))  # fmt: skip
            assert np.abs(new - old).max() > 1e-3
        for name in ("val", "test"):
            split = getattr(source, name)
            one = evaluate(a.program, local(count=2), a.state, a.seen(split), name)
            two = evaluate(b.program, local(count=1), b.state, b.seen(split), name)
            np.testing.assert_allclose(one[1], two[1], rtol=1e-6, atol=1e-6)


def test_a_probe_computes_features_once_and_stops_when_asked(source, tmp_path, monkeypatch):
    recipe = make_recipe(epochs=3, batch_size=16, fine_tune="probe", learning_rate=0.05)
    given, where = drawn(PLAIN, 1), local(count=1)
    seen, told = [], []
    real = probe.batches

    def counted(*args):
        for part in real(*args):
            seen.append(len(part.labels))
            yield part

    monkeypatch.setattr(probe, "batches", counted)
    halted = train(PLAIN, recipe, source, 0, where, Hooks(stop=lambda: True), variables=given)
    assert halted.status == "stopped"
    assert (halted.steps, seen) == (0, [16])
    hooks = Hooks(progress=lambda *at: told.append(at))
    rows = []
    whole = train(PLAIN, recipe, source, 0, where, hooks, tmp_path / "a", variables=given)
    assert sum(seen) == 16 + 48 + 20  # Training and validation images, once each.
    assert told[0] == (1, 5 + 9)
    assert told[-1] == (14, 14)
    asked = iter((False, True))
    hooks = Hooks(stop=lambda: next(asked, True), epoch=rows.append)
    monkeypatch.setattr(loop, "DISPATCH_SECONDS", 1e-9)
    parts = [train(PLAIN, recipe, source, 0, where, hooks, tmp_path / "b", variables=given)]
    hooks = Hooks(epoch=rows.append)
    parts += [train(PLAIN, recipe, source, 0, where, hooks, tmp_path / "b", variables=given)]
    assert [p.status for p in parts] == ["stopped", "done"]
    assert sum(seen) == 16 + 48 + 20  # Another run of the same weights asks for nothing new,
    few = dataclasses.replace(source, train=source.train.take(np.arange(32)))
    train(PLAIN, recipe, few, 0, where, variables=given)
    assert sum(seen) == 16 + 48 + 20 + 32  # and on fewer training images for those alone.
    same(parts[-1].variables, whole.variables)
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_weights_to_start_from_are_copied_and_checked(source):
    recipe = make_recipe(epochs=1, batch_size=16, learning_rate=0.0, weight_decay=0.0)
    given = jax.tree.map(jnp.asarray, drawn(PLAIN))
    where = local(count=1)
    first = train(PLAIN, recipe, source, 0, where, variables=given)
    same(first.variables["params"], given["params"])
    same(train(PLAIN, recipe, source, 1, where, variables=given).state.params, first.state.params)
    with pytest.raises(UserError, match="another net's: params/head/logits/bias is none there and"):
        less = {"params": {k: v for k, v in given["params"].items() if k != "head"}}
        train(PLAIN, recipe, source, 0, where, variables={**given, **less})
    with pytest.raises(UserError, match="head/logits/bias is 3 there and 4 here; load them for"):
        train(PLAIN.clone(head=Head(4)), recipe, source, 0, where, variables=given)


LAYERWISE = {"fine_tune": "gradual(share=0.9, parts=2)", "layer_decay": 0.6, "clip_norm": 1.0}


@pytest.fixture(scope="module")
def unrolled(source):
    return one_of(source, "pmap", 1, False)


def one_of(source, mode, count, scan):
    recipe = make_recipe(epochs=3, batch_size=16, dtype="float64", optimizer="adamw",
                         learning_rate=0.01, **LAYERWISE)  # fmt: skip
    with precision("float64"):
        return train(DEEP, recipe, source, 3, local(mode, count, scan), variables=drawn(DEEP)).state


@pytest.mark.parametrize("mode", ["pmap", pytest.param("jit", marks=pytest.mark.slow)])
def test_gradual_and_layerwise_training_is_one_however_it_is_computed(source, unrolled, mode):
    """Scanned blocks on two devices against unrolled ones on one."""
    close(unrolled, one_of(source, mode, 2, True), 1e-9)


def test_a_resumed_gradual_training_is_the_uninterrupted_one_to_the_bit(source, tmp_path):
    recipe = make_recipe(epochs=5, batch_size=16, optimizer="adamw", learning_rate=0.01,
                         fine_tune="gradual(share=0.6, parts=2)", layer_decay=0.7)  # fmt: skip
    where = local(count=1)
    whole = train(DEEP, recipe, source, 3, where)
    statuses = []
    for stop_after in (0, 1, 2, None):  # Dispatches: of a step, of the two left in the epoch, …
        asked = iter(range(1000))
        hooks = Hooks(stop=lambda a=asked, n=stop_after: n is not None and next(a) >= n)
        part = train(DEEP, recipe, source, 3, where, hooks, tmp_path / "checkpoint")
        statuses.append(part.status)
    assert statuses[0] == "stopped"
    assert statuses[-1] == "done"
    same(whole.state, part.state)


def step_of(net, recipe, source, frozen=frozenset()):
    """A state, and that after one step."""
    task = make_task(net, recipe, source)
    state = start(task, jax.tree.map(jnp.asarray, drawn(net)))
    batch = Batch(
        source.train.images[:16], source.train.labels[:16], jax.random.split(jax.random.key(1), 16)
    )
    stages = scannable(net, SHAPE)
    context = Context(scan=frozenset(stages))
    step = jax.jit(
        lambda s: train_step(task, context, s, batch, Hyper.of(recipe),
                             frozen=frozen)
    )  # fmt: skip
    return state, step(stack(state, stages))[0], stages


def test_each_block_moves_by_the_decay_to_the_power_of_its_distance(source):
    """A first step of plain SGD is linear in the rate; the three equal blocks are scanned."""
    base = make_recipe(epochs=1, batch_size=16, optimizer="sgd(momentum=0.0, nesterov=False)")
    moved = {}
    for decay in (1.0, 0.5):
        recipe = dataclasses.replace(base, layer_decay=decay)
        before, after, stages = step_of(DEEP, recipe, source)
        moved[decay] = jax.tree.map(jnp.subtract, after.params, stack(before.params, stages))
    assert "scanned" in moved[0.5]["stage1"]
    away = {"head": 0, "stage2/block1": 1, "stage1/block1": 4, "stem/block1": 5}
    for where, n in away.items():
        a, b = moved[1.0], moved[0.5]
        for name in where.split("/"):
            a, b = a[name], b[name]
        close(b, jax.tree.map(lambda x, n=n: x * 0.5**n, a), 1e-6)
    for i, n in enumerate((3, 2)):  # Blocks 2 and 3.
        a, b = (jax.tree.map(lambda x, i=i: x[i], moved[d]["stage1"]["scanned"]) for d in (1, 0.5))
        close(b, jax.tree.map(lambda x, n=n: x * 0.5**n, a), 1e-6)
    assert tune.depths(DEEP)["stage1", "block1"] == 4
    assert tune.depths(DEEP)["stem", "pool"] == 5


def test_frozen_norms_use_and_leave_the_running_statistics_and_train_their_scale(source):
    recipe = make_recipe(epochs=1, batch_size=16, frozen_norms=True)
    before, after, _ = step_of(PLAIN, recipe, source)
    same(before.batch_stats, after.batch_stats)
    _, other, _ = step_of(PLAIN, dataclasses.replace(recipe, frozen_norms=False), source)
    scales = [np.asarray(s.params["stem"]["block1"]["norm"]["scale"])
              for s in (before, after, other)]  # fmt: skip
    assert np.abs(scales[1] - scales[0]).max() > 0
    assert np.abs(scales[1] - scales[2]).max() > 0  # Another gradient.
    for a, b in zip(*map(jax.tree.leaves, (before.batch_stats, other.batch_stats)), strict=True):
        assert np.abs(a - b).max() > 0


def test_what_is_frozen_neither_moves_nor_normalises_by_the_batch(source):
    recipe = make_recipe(epochs=1, batch_size=16, fine_tune="gradual", weight_decay=1.0)
    before, after, _ = step_of(PLAIN, recipe, source, frozenset({"stem"}))
    same(before.params["stem"], after.params["stem"])
    same(before.batch_stats["stem"], after.batch_stats["stem"])
    for tree in ("params", "batch_stats"):
        moving = [{k: v for k, v in getattr(s, tree).items() if k != "stem"}
                  for s in (before, after)]  # fmt: skip
        for a, b in zip(*map(jax.tree.leaves, moving), strict=True):
            assert np.abs(a - b).max() > 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_part_begins_as_a_training_of_its_own_would(optimizer):
    """Moments that are corrected for their first steps do not count those before."""
    recipe = make_recipe(optimizer=optimizer, schedule="constant", fine_tune="gradual(parts=1)")
    hyper = Hyper(jnp.float32(0.1), jnp.float32(0.01))
    params = {name: {"kernel": jnp.full((2, 2), 2.0)} for name in (*PLAIN.named_stages, "head")}
    gradient = jax.tree.map(lambda p: 3 * p, params)
    still = gradient | {k: jax.tree.map(jnp.zeros_like, gradient[k]) for k in ("stem", "stage1")}
    waiting = make_optimizer(recipe, hyper, 10, PLAIN, frozenset({"stem", "stage1"}))
    going = make_optimizer(recipe, hyper, 10, PLAIN)
    state = going.init(params)
    first, _ = going.update(gradient, state, params)
    for _ in range(3):
        updates, state = waiting.update(still, state, params)
        assert not np.any(updates["stem"]["kernel"])
    later, _ = going.update(gradient, state, params)
    close(later["stage1"], first["stage1"], 1e-7)
    assert (
        np.abs(later["head"]["kernel"] - first["head"]["kernel"]).max() > 0 or optimizer == "adamw"
    )


def test_the_default_is_the_optimizer_that_it_was(source):
    """No part and no depth enters a state, so that a checkpoint of an older version goes on."""
    import optax

    task = make_task(PLAIN, Recipe(), source)
    state = jax.eval_shape(lambda k: init(task, k), jax.random.key(0))
    plain = optax.chain(optax.add_decayed_weights(0.1, mask=decayed), optax.trace(0.9, True),
                        optax.scale_by_learning_rate(lambda _: 0.1))  # fmt: skip
    params = jax.tree.map(lambda x: jnp.zeros(x.shape), state.params)
    assert jax.tree.structure(state.opt_state) == jax.tree.structure(plain.init(params))
    assert tune.held(PLAIN, Recipe()) is PLAIN
    assert tune.phases(PLAIN, Recipe(), 7) == (tune.Phase(frozenset(), 7),)


# When


def test_phases_follow_each_other_from_the_head_down():
    recipe = make_recipe(fine_tune="gradual(share=0.6, parts=3)")
    found = tune.phases(DEEP, recipe, 100)
    assert [p.end for p in found] == [20, 40, 60, 100]
    assert [sorted(p.frozen) for p in found] == [
        ["stage1", "stage2", "stem"], ["stage1", "stem"], ["stem"], [],
    ]  # fmt: skip
    assert [p.end for p in tune.phases(DEEP, recipe, 2)] == [1, 2]  # None is empty.
    many = tune.parts(nets.get("resnet18"), make_recipe(fine_tune="gradual"))
    assert many == (("stage4", "stage3"), ("stage2",), ("stage1",), ("stem",))
    assert len(tune.parts(DEEP, make_recipe(fine_tune="gradual(parts=99)"))) == 3
    last = tune.phases(DEEP, make_recipe(fine_tune="gradual(share=1.0, parts=1)"), 10)
    assert [(sorted(p.frozen), p.end) for p in last] == [(["stage1", "stage2", "stem"], 10)]


def test_held_norms_stand_wherever_batch_norms_stood():
    held = tune.held(DEEP, Recipe(frozen_norms=True))
    assert held.stem.block.norm == tune.AsInInference(BatchNorm())
    assert held.stages[1].block.norm == tune.AsInInference(BatchNorm())
    some = tune.held(DEEP, Recipe(), {"stem"})
    assert some.stages == DEEP.stages
    assert some.stem == held.stem
    grouped = nets.get("resnet20", norm=GroupNorm(2))
    assert tune.held(grouped, Recipe(frozen_norms=True)) == grouped


# What it costs


def test_what_is_frozen_costs_its_forward_pass_alone():
    batch, images = 16, 48
    forward = compute.measure(DEEP, SHAPE)["macs"]
    full = make_recipe(batch_size=batch, epochs=10)
    step = compute.train_step_macs(DEEP, SHAPE, batch)
    assert training_macs(DEEP, full, SHAPE, images) == 30 * step
    assert training_macs(DEEP, full, SHAPE, images, 7) == 7 * step
    head = make_recipe(full, fine_tune="gradual(share=1.0, parts=1)")
    dense = 6 * 8 + 8 * 3  # The hidden layer needs no gradient of its input.
    expected = 30 * batch * (forward + dense + 8 * 3)
    assert training_macs(DEEP, head, SHAPE, images) == expected
    gradual = make_recipe(full, fine_tune="gradual(share=0.9, parts=3)")
    costs = [training_macs(DEEP, gradual, SHAPE, images, n) for n in range(31)]
    steps = np.diff(costs)
    assert sorted(set(steps)) == list(dict.fromkeys(steps))  # Ever dearer, in four phases.
    assert len(set(steps)) == 4
    assert steps[-1] == step


def test_a_probe_costs_its_features_once():
    recipe = make_recipe(batch_size=16, epochs=10, fine_tune="probe")
    forward = compute.measure(PLAIN, SHAPE)["macs"] - 6 * 3
    assert training_macs(PLAIN, recipe, SHAPE, 48, 0) == 48 * forward
    assert training_macs(PLAIN, recipe, SHAPE, 48) == 48 * forward + 30 * 16 * 2 * 6 * 3


# Mistakes


class Own(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, context=None):
        return nn.Dense(3)(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fine_tune": "prob"}, "unknown fine_tune 'prob': did you mean 'probe'"),
        ({"fine_tune": 3}, "fine_tune: 3 is none of full, probe, gradual"),
        (
            {"fine_tune": "gradual(share=0)"},
            "share: 0 is out of range: a share of the steps up to 1",
        ),
        ({"fine_tune": "gradual(parts=0)"}, "parts: 0 is out of range: a whole number from 1 up"),
        ({"fine_tune": "gradual(part=1)"}, "unknown field of gradual 'part': did you mean 'parts'"),
        ({"layer_decay": 0.0}, "layer_decay: 0.0 is out of range: a number from 0.001 to 1"),
        ({"layer_decay": 1.5}, "layer_decay: 1.5 is out of range"),
        ({"frozen_norms": 1}, "frozen_norms: 1 is not true or false"),
    ],
)
def test_wrong_fields_are_named(given, message):
    with pytest.raises(UserError, match=message):
        make_recipe(**given)


@pytest.mark.parametrize(
    "field", ["fine_tune=gradual", "fine_tune=probe", "layer_decay=0.5", "frozen_norms"]
)
def test_a_module_of_the_users_own_trains_as_a_whole(field, source):
    name, _, v = field.partition("=")
    given = {name: {"layer_decay": 0.5, "frozen_norms": True}.get(name, v)}
    with pytest.raises(UserError, match=f"{name} needs a net of stages .*; Own is a module of its"):
        train(Own(), make_recipe(batch_size=16, **given), source, 0, local(count=1))


def test_a_probe_needs_a_dense_layer_at_the_end(source):
    conv = PLAIN.clone(head=nets.get("squeezenet1_1").head)
    with pytest.raises(UserError, match=r"ends in one dense layer, head/logits; .* a ConvHead"):
        train(conv, make_recipe(batch_size=16, fine_tune="probe"), source, 0, local(count=1))


def test_the_last_layer_is_found_behind_hidden_ones():
    net = small_net()
    task = Task(net, Recipe(), SHAPE, (0.4,), (0.2,), False, 3)
    assert probe.head_task(task).image_shape == (1, 1, 8)
    variables = drawn(net)
    features = probe.features_of(
        task,
        Context(),
        (variables["params"], variables["batch_stats"]),
        np.zeros((2, *SHAPE), np.uint8),
    )
    logits = net.apply(variables, task.normalised(np.zeros((2, *SHAPE), np.uint8)))
    layer = variables["params"]["head"]["logits"]
    np.testing.assert_allclose(features @ layer["kernel"] + layer["bias"], logits, rtol=1e-5)
    back = probe.joined(variables, probe.last(variables["params"]))
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, back, variables))
    alone = Net(stages=(), head=Head(3, reduce=Flatten()))
    assert probe.head_task(task).net == alone
