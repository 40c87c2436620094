"""Laws of random boxes and of what is resized out of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from cnnjax.data import boxes
from cnnjax.data.augment import augment, distort
from cnnjax.data.boxes import Box
from cnnjax.data.changes import Augment
from cnnjax.data.crop import resize

SIZES = [(40, 40), (30, 64), (97, 20)]


def pixels(height=24, width=32, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def on_host(n, height, width, least):
    rng = np.random.default_rng(1)
    drawn = [boxes.crop(rng.random((boxes.TRIES, 4)), height, width, least, np) for _ in range(n)]
    return np.array(drawn)


def on_device(n, height, width, least):
    uniforms = jax.random.uniform(jax.random.key(0), (n, boxes.TRIES, 4))
    draw = jax.jit(jax.vmap(lambda u: boxes.crop(u, height, width, least, jnp)))
    return np.stack(draw(uniforms), 1)


def by_loop(n, height, width, least):
    """The definition as torchvision writes it down: a loop of tries."""
    rng, found = np.random.default_rng(2), []
    for _ in range(n):
        for _ in range(10):
            area = height * width * rng.uniform(least, 1)
            aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                box = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
                break
        else:
            w, h = width, height
            if width / height < 3 / 4:
                h = round(w / (3 / 4))
            elif width / height > 4 / 3:
                w = round(h * (4 / 3))
            box = (height - h) // 2, (width - w) // 2, h, w
        found.append(box)
    return np.array(found)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("least", [0.08, 0.6])
def test_host_device_and_definition_draw_boxes_of_one_distribution(height, width, least):
    drawn = [f(3000, height, width, least) for f in (on_host, on_device, by_loop)]
    for found in drawn:
        top, left, h, w = found.T
        assert (top >= 0).all()
        assert (left >= 0).all()
        assert (h >= 1).all()
        assert (w >= 1).all()
        assert (top + h <= height).all()
        assert (left + w <= width).all()
    *ours, defined = drawn
    for found in ours:
        for i in range(4):
            assert ks_2samp(found[:, i], defined[:, i], method="asymp").pvalue > 1e-3


def test_host_and_device_make_the_same_box_of_the_same_numbers():
    uniforms = np.random.default_rng(3).random((200, boxes.TRIES, 4), np.float32)
    host = np.array([boxes.crop(u, 50, 40, 0.08, np) for u in uniforms])
    device = jax.vmap(lambda u: jnp.stack(boxes.crop(u, 50, 40, 0.08, jnp)))(uniforms)
    assert (np.abs(host - device) <= 1).all()
    assert (host == device).mean() > 0.98


def test_where_nothing_fits_the_largest_central_box_is_taken():
    uniforms = np.full((boxes.TRIES, 4), 0.99)
    assert boxes.crop(uniforms, 10, 100, 0.9, np) == Box(0, 43, 10, 13)
    assert boxes.crop(uniforms, 100, 10, 0.9, np) == Box(43, 0, 13, 10)


@pytest.mark.parametrize("box", [Box(0, 0, 24, 32), Box(3, 5, 17, 11), Box(2, 9, 5, 6)])
@pytest.mark.parametrize("size", [(24, 32), (12, 12), (48, 50)])
def test_a_box_is_resized_as_pillow_resizes_it_cut_out(box, size):
    image = pixels()
    cut = Image.fromarray(image).crop(
        (box.left, box.top, box.left + box.width, box.top + box.height)
    )
    expected = np.asarray(cut.resize(size[::-1], Image.Resampling.BILINEAR), np.int32)
    found = np.asarray(jax.jit(resize, static_argnums=2)(image, box, size), np.int32)
    assert np.abs(found - expected).max() <= 1  # Pillow rounds between the directions.
    assert (found == expected).mean() > 0.7


def test_the_whole_image_at_its_size_is_the_image():
    image = pixels()
    assert (resize(jnp.asarray(image), Box(0, 0, 24, 32), (24, 32)) == image).all()


def test_a_random_resized_crop_of_a_ramp_is_a_part_of_it():
    """Rows grow downwards, and keep doing so between two of their values."""
    ramp = jnp.broadcast_to(jnp.arange(0, 240, 10, dtype=jnp.uint8)[:, None, None], (24, 32, 1))
    keys = jax.random.split(jax.random.key(0), 50)
    out = jax.jit(distort, static_argnums=2)(jnp.stack([ramp] * 50), keys, Augment(crop_scale=0.1))
    rows = np.asarray(out[:, :, 0, 0], np.int32)
    assert (np.diff(rows) >= 0).all()
    across = np.asarray(out, np.int32)
    assert np.abs(across - across[:, :, :1]).max() <= 1  # Rounding of the columns' sums.
    spans = (rows[:, -1] - rows[:, 0]) / 230
    assert 0.2 < spans.mean() < 0.9


def test_a_crop_at_another_size_is_of_the_same_box():
    """Halved, a smooth image's crop is its crop at half the size."""
    at = np.linspace(0, 3, 48)
    smooth = 128 + 60 * np.sin(at[:, None]) * np.cos(at)
    images = jnp.asarray(np.stack([smooth] * 20)[..., None].round().astype(np.uint8))
    keys = jax.random.split(jax.random.key(0), 20)
    spec = Augment(crop_scale=0.3)
    large, small = (distort(images, keys, spec, size) for size in ((48, 48), (24, 24)))
    halved = np.asarray(large, np.float32).reshape(20, 24, 2, 24, 2, 1).mean((2, 4))
    assert small.shape == (20, 24, 24, 1)
    assert np.abs(np.asarray(small, np.float32) - halved).max() <= 2


ERASE = Augment(erase=1.0)


def test_erasing_blanks_one_rectangle_of_the_papers_sizes():
    images = jnp.ones((300, 32, 32, 2))
    keys = jax.random.split(jax.random.key(0), 300)
    gone = np.asarray(jax.jit(augment, static_argnums=2)(images, keys, ERASE) == 0)
    assert (gone[..., 0] == gone[..., 1]).all()
    for mask in gone[..., 0]:
        h, w = mask.any(1).sum(), mask.any(0).sum()
        assert mask.sum() == h * w
        assert 0.015 < h * w / 32**2 < 0.35
        assert 0.25 < w / h < 4
    often = jax.jit(augment, static_argnums=2)(images, keys, Augment(erase=0.25))
    assert 0.15 < (often == 0).any((1, 2, 3)).mean() < 0.35


def test_erasing_draws_nothing_from_other_changes():
    images = jax.random.normal(jax.random.key(1), (16, 9, 12, 3))
    keys = jax.random.split(jax.random.key(0), 16)
    moved = augment(images, keys, Augment(pad=2, flip=True, cutout=3))
    both = augment(images, keys, Augment(pad=2, flip=True, cutout=3, erase=1.0))
    assert (augment(moved, keys, ERASE) == both).all()
