"""Sizes of images over a training and in evaluation: what is seen, what it costs, whom it fits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnnjax import compute
from cnnjax.data import Dataset, load
from cnnjax.errors import UserError
from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.train import resolution, tune
from cnnjax.train.cost import training_macs
from cnnjax.train.devices import local
from cnnjax.train.evaluation import evaluate
from cnnjax.train.initial import drawn
from cnnjax.train.loop import train
from cnnjax.train.model import Model, load_model, predict_logits, save_model
from cnnjax.train.precision import precision
from cnnjax.train.recipe import GradualUnfreezing, Progressive, Recipe, make_recipe, unaugmented
from tests.tiny import small_net, write_dataset

GROWING = Recipe(epochs=2, batch_size=16, resolution_schedule=Progressive((4, 6, 8)))
BARE = Net(stages=(Stage(Plain(4)),), head=Head(3))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return load(Dataset(write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz")))


@pytest.mark.parametrize("side", [5, 8, 13])
def test_images_are_seen_as_pillow_resizes_them(source, side):
    images = source.train.images[:3]
    found = resolution.seen(jnp.asarray(images), side)
    for image, new in zip(images, found, strict=True):
        shown = Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BILINEAR)
        assert np.abs(np.asarray(new[..., 0], int) - np.asarray(shown, int)).max() <= 1
    assert resolution.at((20, 30, 3), 10) == (10, 15, 3)


def test_as_they_are_and_at_their_own_height_images_stay(source):
    images = jnp.asarray(source.train.images[:3])
    assert resolution.seen(images, 0) is images
    assert resolution.seen(images, 8) is images


def test_each_size_has_an_equal_share_of_the_steps():
    assert tune.phases(BARE, GROWING, 10) == (
        tune.Phase(frozenset(), 3, 4),
        tune.Phase(frozenset(), 7, 6),
        tune.Phase(frozenset(), 10, 8),
    )
    assert [p.end for p in tune.phases(BARE, GROWING, 2)] == [1, 2]  # None of them is empty.


def test_sizes_and_unfreezing_go_on_side_by_side():
    recipe = dataclasses.replace(GROWING, fine_tune=GradualUnfreezing(0.5, 1))
    stage = frozenset({"stage1"})
    assert tune.phases(BARE, recipe, 12) == (
        tune.Phase(stage, 4, 4),
        tune.Phase(stage, 6, 6),
        tune.Phase(frozenset(), 8, 6),
        tune.Phase(frozenset(), 12, 8),
    )


def test_a_training_costs_each_phase_at_its_size(source):
    each = [compute.train_step_macs(BARE, (side, side, 1), 16) for side in (4, 6, 8)]
    assert training_macs(BARE, GROWING, (8, 8, 1), 48) == sum(2 * macs for macs in each)
    assert training_macs(BARE, GROWING, (8, 8, 1), 48, steps=3) == 2 * each[0] + each[1]


def test_a_training_at_one_other_size_is_that_of_images_resized_before(source):
    """And so is its evaluation."""
    side = 6

    def small(split):
        images = np.asarray(resolution.seen(jnp.asarray(split.images), side))
        return dataclasses.replace(split, images=images)

    info = dataclasses.replace(source.info, image_shape=(side, side, 1))
    before = dataclasses.replace(
        source, info=info, train=small(source.train), val=small(source.val)
    )
    recipe = Recipe(epochs=1, batch_size=16, flip=False)
    there = dataclasses.replace(
        recipe, resolution_schedule=Progressive((side,)), test_resolution=side
    )
    a = train(BARE, there, source, 0, local(count=1))
    b = train(BARE, recipe, before, 0, local(count=1))
    for x, y in zip(jax.tree.leaves(a.state), jax.tree.leaves(b.state), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
    looks = [evaluate(o.program, local(count=1), o.state, s.val, "val")[1]
             for o, s in ((a, source), (b, before))]  # fmt: skip
    np.testing.assert_allclose(*looks, atol=1e-5)


def test_growing_over_devices_is_growing_on_one(source):
    recipe = dataclasses.replace(GROWING, dtype="float64", crop_scale=0.5)
    with precision("float64"):
        one, two = (train(BARE, recipe, source, 0, local(count=n)).state for n in (1, 2))
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


def test_a_size_too_small_for_the_net_is_refused():
    with pytest.raises(
        UserError, match="resolution_schedule: stage2/block1/conv2: a 3×3 kernel reaches"
    ):
        resolution.check(small_net(), GROWING, (8, 8, 1))


def test_a_saved_model_sees_images_at_its_size(source, tmp_path):
    variables = drawn(lambda key: BARE.init(key, jnp.zeros((1, 8, 8, 1))))(jax.random.key(0))
    model = Model(BARE, dict(variables), (8, 8, 1), (0.5,), (0.2,), ("a", "b", "c"), resolution=5)
    save_model(tmp_path, model)
    assert load_model(tmp_path).resolution == 5
    small = np.asarray(resolution.seen(jnp.asarray(source.val.images), 5))
    at_once = dataclasses.replace(model, image_shape=(5, 5, 1), resolution=0)
    np.testing.assert_allclose(
        predict_logits(load_model(tmp_path), source.val.images, local(count=1), 16),
        predict_logits(at_once, small, local(count=1), 16),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("field", "given"), [("resolution_schedule", Progressive((4, 8))), ("test_resolution", 4)]
)
def test_a_net_whose_weights_depend_on_the_size_is_refused(source, field, given):
    net = Net(stages=(Stage(Plain(4)),), head=Head(3, reduce=Flatten()))
    recipe = dataclasses.replace(Recipe(epochs=1, batch_size=16), **{field: given})
    message = (
        f"{field}: head/logits/kernel is .256, 3. on images of 8 pixels and .64, 3. on 4: use a "
        "net that pools its last map globally"
    )
    with pytest.raises(UserError, match=message):
        train(net, recipe, source, 0, local(count=1))


def test_sides_are_read_and_checked():
    recipe = make_recipe(resolution_schedule="progressive(sides=(16, 32))", test_resolution=40)
    assert recipe.resolution_schedule == Progressive((16, 32))
    assert unaugmented(recipe) == Recipe(flip=False)
    for wrong in ("()", "(0,)", "(1.5,)", "3"):
        with pytest.raises(UserError, match="sides: .*: give heights in pixels, as in"):
            make_recipe(resolution_schedule=f"progressive(sides={wrong})")
