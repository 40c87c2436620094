"""RandAugment's operations and changes of colour beside Pillow's."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnnjax.data import colour
from cnnjax.data.augment import distort
from cnnjax.data.changes import Augment, ColourJitter, RandAugment
from cnnjax.data.randaugment import OPERATIONS, operate
from cnnjax.errors import UserError

run = jax.jit(operate)
SIZE = (23, 36)


def picture(seed, channels=3):
    """Smooth parts and noise, not of the full range, so that every operation has work to do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 200, (4, 6, channels), np.uint8).squeeze()
    smooth = np.asarray(Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC))
    smooth = smooth.reshape(*SIZE, channels)
    return np.clip(smooth + rng.integers(-15, 15, smooth.shape), 5, 230).astype(np.uint8)


def affine(image, a, b, c, d, e, f):
    return image.transform(image.size, Image.Transform.AFFINE, (a, b, c, d, e, f))


def pillows(name, image, s):
    """The operation at strength s as Pillow does it, in torchvision's ranges."""
    width, height = image.size
    match name:
        case "identity":
            return image
        case "shear_x":
            return affine(image, 1, 0.3 * s, 0, 0, 1, 0)
        case "shear_y":
            return affine(image, 1, 0, 0, 0.3 * s, 1, 0)
        case "translate_x":
            return affine(image, 1, 0, -int(150 / 331 * width * s), 0, 1, 0)
        case "translate_y":
            return affine(image, 1, 0, 0, 0, 1, -int(150 / 331 * height * s))
        case "rotate":
            return image.rotate(30 * s)
        case "posterize":
            return ImageOps.posterize(image, 8 - round(4 * abs(s)))
        case "solarize":
            return ImageOps.solarize(image, 255 * (1 - abs(s)))
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
    enhance = {"colour": "Color"}.get(name, name.capitalize())
    return getattr(ImageEnhance, enhance)(image).enhance(1 + 0.9 * s)


# Pillow's tables are in double precision and its enhancements in single, both cut off to whole
# numbers, so that a fused product and sum may fall on the other side; its turned and sheared
# pixels are looked up in fixed point, so that another may be the nearest.
EXACT = {"identity", "translate_x", "translate_y", "posterize", "solarize", "equalize"}
MOVED = {"shear_x", "shear_y", "rotate"}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("channels", [3, 1])
def test_an_operation_is_pillows(name, channels):
    for seed, s in enumerate((-1.0, -0.3, 0.3, 0.55, 1.0)):
        image = picture(seed, channels)
        shown = Image.fromarray(image.squeeze())
        expected = np.asarray(pillows(name, shown, s), np.int32).reshape(image.shape)
        kind = jnp.int32(OPERATIONS.index(name))
        found = np.asarray(run(jnp.asarray(image, jnp.int32), kind, jnp.float32(s)))
        if name in EXACT:
            np.testing.assert_array_equal(found, expected)
        elif name in MOVED:
            assert (found == expected).mean() > 0.99
        else:
            assert np.abs(found - expected).max() <= 1
            assert (found == expected).mean() > 0.9
        if name != "identity" and not (channels == 1 and name == "colour"):
            assert (found != image).any()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_images_of_one_value_stay_where_nothing_can_be_stretched(value):
    image = jnp.full((*SIZE, 3), value, jnp.int32)
    for name in ("autocontrast", "equalize", "contrast", "colour", "sharpness"):
        assert (run(image, jnp.int32(OPERATIONS.index(name)), jnp.float32(0.7)) == image).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 5)])
def test_images_of_a_few_pixels_go_through(size):
    image = jnp.full((*size, 3), 9, jnp.int32)
    assert run(image, jnp.int32(9), jnp.float32(1)).shape == image.shape


def batch(n=64, channels=3):
    return jnp.asarray(np.stack([picture(i, channels) for i in range(n)]))


apply = jax.jit(distort, static_argnums=2)
SPECS = (
    Augment(randaugment=RandAugment(3, 20.0)),
    Augment(jitter=ColourJitter(0.4, 0.4, 0.4, 0.2)),
    Augment(crop_scale=0.3, randaugment=RandAugment(), jitter=ColourJitter()),
)


@pytest.mark.parametrize("spec", SPECS)
def test_an_example_depends_on_its_own_key_alone(spec):
    images, keys = batch(8), jax.random.split(jax.random.key(5), 8)
    whole = apply(images, keys, spec)
    assert whole.dtype == jnp.uint8
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    assert (apply(images[order], keys[order], spec) == whole[order]).all()
    assert len({image.tobytes() for image in np.asarray(apply(images[:1].repeat(8, 0), keys, spec))
                }) > 4  # fmt: skip


def test_every_operation_is_drawn_and_one_at_a_time():
    """At one operation an image each result is that of some operation in some direction."""
    image, keys = picture(0), jax.random.split(jax.random.key(0), 200)
    spec = Augment(randaugment=RandAugment(1, 15.0))
    out = np.asarray(apply(jnp.asarray(np.stack([image] * len(keys))), keys, spec))
    known = {}
    for (i, name), s in itertools.product(enumerate(OPERATIONS), (0.5, -0.5)):
        done = run(jnp.asarray(image, jnp.int32), jnp.int32(i), jnp.float32(s))
        known[np.asarray(done, np.uint8).tobytes()] = name
    assert {known[x.tobytes()] for x in out} == set(OPERATIONS)


def test_without_magnitude_nothing_is_moved():
    n = 32
    out = apply(batch(n), jax.random.split(jax.random.key(0), n),
                Augment(randaugment=RandAugment(1, 0.0)))  # fmt: skip
    same = (out == batch(n)).all((1, 2, 3)).mean()
    assert same > 0.4  # All but autocontrast, equalize, and solarizing of pure white.


def test_hue_turns_as_in_colorsys():
    image = picture(3)
    for turn in (-0.4, -0.1, 0.0, 0.25, 0.5):
        found = np.asarray(colour.turn_hue(jnp.asarray(image, jnp.int32), jnp.float32(turn)))
        for pixel, new in zip(image.reshape(-1, 3), found.reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*(pixel / 255.0))
            expected = np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255
            assert np.abs(new - expected).max() <= 0.51


def test_jitter_draws_a_factor_from_its_range():
    image = np.full((2, 2, 3), 100, np.uint8)
    n = 400
    keys = jax.random.split(jax.random.key(0), n)
    many = jnp.asarray(np.stack([image] * n))
    only = Augment(jitter=ColourJitter(0.5, 0.0, 0.0))
    factors = np.asarray(apply(many, keys, only))[:, 0, 0, 0] / 100
    assert 0.49 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.5
    two = jnp.asarray(np.stack([picture(0)] * n))
    spec = Augment(jitter=ColourJitter(0.0, 0.0, 0.0, 0.0))
    assert (apply(two, keys, spec) == two).all()


def test_the_order_of_jitter_varies():
    """Brightness before contrast for some keys, after it for others, by the factors of each."""
    image = jnp.asarray(picture(0))
    spec = ColourJitter(0.9, 0.9, 0.0)  # Only where values are cut off does the order matter.

    @jax.jit
    def near(key):
        """Is what it makes that of one order, of the other?"""
        b, c, *_ = 1 + 0.9 * jax.random.uniform(jax.random.split(key)[1], (4,), minval=-1)
        x = image.astype(jnp.int32)
        lit = colour.blend(jnp.zeros_like(x), x, b)
        first = colour.blend(colour.mean_grey(lit), lit, c)
        sharp = colour.blend(colour.mean_grey(x), x, c)
        second = colour.blend(jnp.zeros_like(x), sharp, b)
        found = colour.jitter(image, key, spec).astype(jnp.int32)
        return [jnp.abs(found - y).max() <= 2 for y in (first, second)]

    seen = {tuple(map(bool, near(key))) for key in jax.random.split(jax.random.key(0), 24)}
    assert (False, False) not in seen
    assert {(True, False), (False, True)} <= seen


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandAugment(0), "count: 0 is out of range: a whole number from 1 up"),
        (lambda: RandAugment(2, 31), "magnitude: 31 is out of range: a number from 0 to 30"),
        (lambda: ColourJitter(hue=0.6), "hue: 0.6 is out of range: a number from 0 to 0.5"),
        (lambda: ColourJitter(-1), "brightness: -1 is out of range: a number from 0 to 100"),
        (lambda: Augment(erase=2), "erase: 2 is out of range: a number from 0 to 1"),
        (lambda: Augment(crop_scale=-1), "crop_scale: -1 is out of range: a number from 0 to 1"),
        (
            lambda: distort(jnp.zeros((1, 4, 4, 2), jnp.uint8), jax.random.key(0)[None], SPECS[0]),
            "images of 2 channels are neither grey nor RGB: leave randaugment and jitter off",
        ),
    ],
)
def test_wrong_fields_are_named_with_their_range(make, message):
    with pytest.raises(UserError, match=message):
        make()
