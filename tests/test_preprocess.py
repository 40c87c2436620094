"""Raw images of any size to a pre-trained net's input."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from cnnjax import values
from cnnjax.errors import UserError
from cnnjax.transfer.preprocess import IMAGENET_MEAN, Preprocess, from_timm, normalised, prepare

SMALL = Preprocess(resize=20, crop=16)
GREY = Preprocess(20, 16, mean=(0.5,), std=(0.25,))


def image(height=30, width=40, channels=3, seed=0):
    shape = (height, width, channels)[: 3 if channels else 2]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["bilinear", "bicubic"]))
def test_any_size_becomes_the_crop_and_a_flat_image_stays_flat(height, width, interpolation):
    pre = Preprocess(resize=20, crop=16, interpolation=interpolation)
    assume(max(height, width) <= 64 * min(height, width))
    flat = np.full((height, width, 3), (10, 100, 200), np.uint8)
    assert (prepare(flat, pre) == (10, 100, 200)).all()
    assert prepare(flat, pre).shape == (1, 16, 16, 3)


@given(st.integers(16, 60), st.integers(16, 60))
def test_an_image_of_the_right_side_is_only_cropped(height, width):
    side = min(height, width)
    x = image(height, width)
    top, left = round((height - 16) / 2), round((width - 16) / 2)
    found = prepare(x, Preprocess(resize=side, crop=16))
    np.testing.assert_array_equal(found[0], x[top : top + 16, left : left + 16])


@given(st.integers(10, 60), st.integers(10, 60))
def test_turned_images_come_out_turned(height, width):
    """Up to a grey level or two, since Pillow rounds between its two passes, rows first."""
    x = image(height, width)
    assume(20 * max(height, width) // min(height, width) % 2 == 0)  # Else a margin is rounded.
    found, turned = (prepare(y, SMALL)[0].astype(int) for y in (x, x.transpose(1, 0, 2)))
    assert abs(found - turned.transpose(1, 0, 2)).max() <= 2


def test_shrinking_is_antialiased():
    checks = np.indices((160, 160)).sum(0) % 2 * 255
    found = prepare(checks.astype(np.uint8), SMALL)
    assert abs(found.astype(int) - 127).max() < 12


def test_one_image_a_batch_and_a_list_are_the_same():
    x = image()
    one = prepare(x, SMALL)
    np.testing.assert_array_equal(prepare(x[None], SMALL), one)
    np.testing.assert_array_equal(prepare([x, x], SMALL), np.concatenate([one, one]))
    np.testing.assert_array_equal(prepare((x / 255).astype(np.float32), SMALL), one)
    np.testing.assert_array_equal(prepare(Image.fromarray(x), SMALL), one)
    assert prepare([x, image(50, 20), image(9, 9)], SMALL).shape == (3, 16, 16, 3)


def test_grey_images_become_rgb_and_rgb_grey_where_the_net_takes_it():
    x = image(channels=0)
    found = prepare(x, SMALL)
    assert found.shape == (1, 16, 16, 3) and (found == found[..., :1]).all()
    np.testing.assert_array_equal(prepare(x[..., None], SMALL), found)
    np.testing.assert_array_equal(prepare(x, GREY), found[..., :1])
    assert prepare(image(), GREY).shape == (1, 16, 16, 1)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no images given"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no images given"),
        ([image(), image(channels=4)], "image 1 has 4 channels (RGBA): lay it on a background"),
        (image(channels=2), "image 0 has 2 channels (grey with opacity)"),
        (image(channels=5), "image 0 is [30, 40, 5]: give [height, width] or [height, width, 3]"),
        (np.zeros((3, 20, 20), np.uint8), "image 0 is [3, 20, 20]: give"),
        (np.zeros((20, 0, 3), np.uint8), "image 0 is [20, 0, 3]"),
        (np.zeros(20, np.uint8), "image 0 is [20]"),
        (3, "image 0 is []"),
        (image().astype(np.int64), "image 0 is int64: give uint8, or floats from 0 to 1"),
        (image().astype(np.float32), "image 0 is float32 from 0.0 to 255.0: give uint8"),
        (np.full((9, 9), np.nan), "image 0 is float64 from nan to nan"),
        ([["a"]], "image 0 is [1]"),
        (np.zeros((3, 300), np.uint8), "image 0 is 3×300: crop it"),
        (Image.new("P", (9, 9)), "image 0 is of Pillow's mode 'P': give image.convert('RGB')"),
        ([Image.new("RGBA", (9, 9))], "image 0 is of Pillow's mode 'RGBA'"),
    ],
)
def test_odd_images_are_named(images, words):
    with pytest.raises(UserError) as caught:
        prepare(images, SMALL)
    assert words in str(caught.value)


def test_normalised_is_the_formula_in_float32():
    x = prepare(image(), SMALL)
    found = normalised(x, SMALL)
    expected = (x / 255 - np.array(SMALL.mean)) / np.array(SMALL.std)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert normalised(prepare(image(), GREY), GREY).shape == (1, 16, 16, 1)


@pytest.mark.parametrize("x", [image(), image()[None] / 255, np.zeros((1, 8, 8, 1), np.uint8)])
def test_normalised_takes_what_prepare_gives(x):
    with pytest.raises(UserError, match=r"images are .* give uint8 \[N, H, W, 3\], as prepare"):
        normalised(x, SMALL)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"resize": 0}, "resize=0: use a whole number of pixels from 1 to 4096"),
        ({"crop": 2.5}, "crop=2.5: use a whole number"),
        ({"crop": True}, "crop=True: use"),
        ({"resize": 8, "crop": 9}, "crop=9 is more than resize=8: crop less"),
        ({"mean": (0.5,)}, "give three numbers each, or one"),
        ({"mean": (0.5, 0.5), "std": (1, 1)}, "give three numbers each, or one"),
        ({"std": (1, 0, 1)}, "give numbers, std above 0"),
        ({"mean": (0, float("nan"), 0)}, "give numbers, std above 0"),
        (
            {"interpolation": "bicubick"},
            "unknown interpolation 'bicubick': did you mean 'bicubic'?",
        ),
    ],
)
def test_odd_fields_are_refused(fields, words):
    with pytest.raises(UserError) as caught:
        Preprocess(**fields)
    assert words in str(caught.value)


def test_it_is_a_value():
    pre = Preprocess(232, 224, interpolation="bicubic")
    assert values.from_json(values.to_json(pre)) == pre
    assert values.to_json(Preprocess(), defaults=False) == {"type": "Preprocess"}


def test_timms_configuration():
    config = {"input_size": [3, 288, 288], "crop_pct": 0.95, "interpolation": "bicubic"}
    config |= {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "fixed_input_size": False}
    half = (0.5, 0.5, 0.5)
    assert from_timm(config) == Preprocess(303, 288, half, half, "bicubic")
    assert from_timm({}) == Preprocess(256, 224, IMAGENET_MEAN)


@pytest.mark.parametrize(
    "config",
    [
        {"input_size": [3, 224, 200]},
        {"input_size": 224},
        {"crop_pct": 0},
        {"crop_pct": "wide"},
        {"crop_pct": 1.2},
        {"mean": 0.5},
        {"mean": ["a", "b", "c"]},
        {"interpolation": "lanczos"},
        {"interpolation": None},
    ],
)
def test_a_configuration_that_says_something_else(config):
    with pytest.raises(UserError):
        from_timm(config)
