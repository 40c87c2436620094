"""The order of a training's examples, their keys and what moves them, drawn apart from its nets."""

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data import augment
from cnnjax.data.changes import Augment
from cnnjax.data.order import order
from cnnjax.train.draws import draws, step_keys

KEY = jax.random.key(3)


def words(keys):
    return np.asarray(jax.random.key_data(keys))


def test_an_epoch_is_what_its_steps_draw_one_by_one():
    drawn = draws(KEY, 5, 50, 16)
    assert drawn.rows.shape == drawn.keys.shape == (3, 16)
    np.testing.assert_array_equal(drawn.rows.ravel(), order(KEY, 5, 50)[:48])
    places = jnp.arange(16)
    for step in range(15, 18):  # Epochs have three steps.
        rows, own, moving = drawn.at(jnp.int32(step), places)
        np.testing.assert_array_equal(rows, drawn.rows[step - 15])
        np.testing.assert_array_equal(words(own), words(step_keys(KEY, step, places)))
        np.testing.assert_array_equal(moving, augment.words(own))


def test_words_drawn_already_move_images_as_their_keys_do():
    keys = draws(KEY, 0, 8, 8).keys[0]
    images = jax.random.randint(KEY, (8, 6, 6, 3), 0, 256, jnp.int32).astype(jnp.uint8)
    spec = Augment(pad=2, flip=True, cutout=3, erase=0.5)
    moved = augment.augment(images, keys, spec, augment.words(keys))
    np.testing.assert_array_equal(moved, augment.augment(images, keys, spec))
    other = augment.augment(images, keys, spec, augment.words(keys)[::-1])
    assert (moved != other).any()


def test_every_example_of_every_step_and_seed_has_a_key_of_its_own():
    found = [words(draws(jax.random.key(seed), epoch, 40, 8).keys).reshape(-1, 2)
             for seed in range(2) for epoch in range(3)]  # fmt: skip
    assert len({tuple(key) for key in np.concatenate(found)}) == 2 * 3 * 40


def test_a_device_s_share_of_a_step_is_part_of_the_whole():
    drawn = draws(KEY, 0, 32, 8)
    rows, own, moving = drawn.at(jnp.int32(2), jnp.arange(8).reshape(4, 2))
    np.testing.assert_array_equal(rows.ravel(), drawn.rows[2])
    np.testing.assert_array_equal(words(own).reshape(-1, 2), words(drawn.keys[2]))
    np.testing.assert_array_equal(moving.reshape(8, -1), drawn.words[2])
