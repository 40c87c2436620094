"""Laws of mixed batches: who is paired, in what shares, and what the loss makes of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.train.mix import Targets, mirrored, mixed
from cnnjax.train.recipe import Recipe, make_recipe, unaugmented
from cnnjax.train.step import cross_entropy, loss

SIZE, SHAPE = 64, (9, 12, 2)
run = jax.jit(mixed, static_argnums=3)


def batch(seed=0, size=SIZE):
    images = jax.random.normal(jax.random.key(seed), (size, *SHAPE))
    return images, jnp.arange(size), jax.random.split(jax.random.key(seed + 1), size)


def test_off_changes_nothing():
    images, labels, keys = batch()
    out, targets = mixed(images, labels, keys, Recipe())
    assert out is images
    assert targets == Targets(labels)


def test_mixup_blends_pairs_in_the_shares_that_the_targets_have():
    images, labels, keys = batch()
    out, (first, others, share) = run(images, labels, keys, Recipe(mixup=0.4))
    assert (others == labels[::-1]).all()
    assert (first == labels).all()
    by = np.asarray(share)[:, None, None, None]
    np.testing.assert_allclose(out, by * images + (1 - by) * images[::-1], atol=1e-6)
    assert len(set(np.asarray(share).tolist())) > SIZE // 2


def test_cutmix_pastes_one_box_whose_area_is_the_others_share():
    images, labels, keys = batch()
    out, (_, others, share) = run(images, labels, keys, Recipe(cutmix=1.0))
    own, pasted = (np.asarray((out == x).all(-1)) for x in (images, images[::-1]))
    assert (own ^ pasted).all()
    np.testing.assert_allclose(own.mean((1, 2)), share, atol=1e-6)
    for mask in pasted:
        assert mask.sum() == mask.any(1).sum() * mask.any(0).sum()
    assert 0 < pasted.mean() < 1
    assert (others == labels[::-1]).all()


def test_with_both_each_example_draws_one():
    images, labels, keys = batch(size=512)
    out, _ = run(images, labels, keys, Recipe(mixup=1.0, cutmix=1.0))
    whole = ((out == images) | (out == images[::-1])).all((1, 2, 3))
    assert 0.4 < whole.mean() < 0.6


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_have_the_moments_of_their_distribution(alpha):
    """A Beta(α, α) has mean 1/2 and variance 1/(4 (2α + 1))."""
    images, labels, keys = batch(size=4096)
    share = run(images[:, :1, :1], labels, keys, Recipe(mixup=alpha))[1].share
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


@pytest.mark.parametrize("devices", [2, 8])
def test_a_batch_laid_over_devices_is_mixed_as_a_whole_one(devices):
    images, labels, keys = batch()
    recipe = Recipe(mixup=0.3, cutmix=0.7)
    one = run(images, labels, keys, recipe)
    cut = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), (images, labels, keys))
    many = jax.pmap(lambda *x: mixed(*x, recipe, "data"), "data")(*cut)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b.reshape(a.shape), atol=1e-6)  # A product and sum may fuse.


def test_mirrored_twice_is_nothing():
    (images,) = mirrored(mirrored((batch()[0],)))
    assert (images == batch()[0]).all()


def test_the_loss_is_that_of_soft_targets():
    logits = jax.random.normal(jax.random.key(0), (SIZE, 5))
    labels, share = jnp.arange(SIZE) % 5, jnp.linspace(0, 1, SIZE)
    targets = Targets(labels, labels[::-1], share)
    hot = jax.nn.one_hot(labels, 5)
    soft = share[:, None] * hot + (1 - share)[:, None] * hot[::-1]
    soft = 0.9 * soft + 0.1 / 5
    by_hand = -(soft * jax.nn.log_softmax(logits)).sum(-1)
    np.testing.assert_allclose(loss(logits, targets, 0.1), by_hand, rtol=1e-5)
    same = dataclasses.replace(Recipe(), label_smoothing=0.1).label_smoothing
    np.testing.assert_array_equal(
        loss(logits, Targets(labels), same), cross_entropy(logits, labels, same)
    )


def test_the_label_with_the_larger_share_is_the_likeliest():
    targets = Targets(jnp.array([1, 1]), jnp.array([2, 2]), jnp.array([0.4, 0.6]))
    assert targets.likeliest.tolist() == [2, 1]


def test_unaugmented_recipes_leave_images_as_they_come():
    recipe = make_recipe(mixup=0.2, cutmix=1.0, pad_crop=4, cutout=8, epochs=3)
    assert unaugmented(recipe) == Recipe(epochs=3, flip=False)
