"""Laws of augmentation and normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data.augment import augment, normalise
from cnnjax.data.changes import Augment
from cnnjax.errors import UserError
from cnnjax.values import from_json, parse, to_json

SHAPE = (16, 9, 12, 3)
run = jax.jit(augment, static_argnums=2)
SPECS = (
    Augment(pad=4, flip=True),
    Augment(pad=2, border="reflect", cutout=5),
    Augment(pad=3, border="reflect", flip=True, cutout=14),
)


def images(dtype=np.uint8):
    """All pixels of an image different from each other, none zero."""
    flat = np.arange(9 * 12 * 3).reshape(9, 12, 3) % 255 + 1
    return jnp.asarray(np.stack([np.roll(flat, k, 0) for k in range(16)]).astype(dtype))


def keys(seed=0, n=16):
    return jax.random.split(jax.random.key(seed), n)


def hit(spec, seed=0):
    """Which pixels cutout sets to zero."""
    ones = jnp.ones(SHAPE, jnp.float32)
    return np.asarray(run(ones, keys(seed), Augment(cutout=spec.cutout)))[..., 0] == 0


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32, jnp.bfloat16])
def test_shape_and_type_stay(spec, dtype):
    out = jax.eval_shape(lambda x, k: augment(x, k, spec), images().astype(dtype), keys())
    assert (out.shape, out.dtype) == (SHAPE, dtype)


@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_all_off_changes_nothing(border):
    assert (run(images(), keys(), Augment(border=border)) == images()).all()


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1))
def test_an_example_depends_on_its_own_key_alone(spec, seed):
    """The whole batch, its halves, in another order: the same to the bit."""
    whole = run(images(), keys(seed), spec)
    halves = [run(images()[part], keys(seed)[part], spec) for part in (slice(8), slice(8, 16))]
    order = np.random.default_rng(seed).permutation(16)
    assert (jnp.concatenate(halves) == whole).all()
    assert (run(images()[order], keys(seed)[order], spec) == whole[order]).all()


def test_laid_over_devices_it_is_the_same():
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), (jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    spec = SPECS[2]
    spread = run(jax.device_put(images(), rows), jax.device_put(keys(), rows), spec)
    assert (spread == run(images(), keys(), spec)).all()


def test_it_is_the_same_inside_a_loop():
    spec = SPECS[2]
    looped = jax.jit(lambda x, k: jax.lax.fori_loop(0, 3, lambda i, x: augment(x, k[i], spec), x))(
        images(), jnp.stack([keys(s) for s in range(3)])
    )
    by_hand = images()
    for seed in range(3):
        by_hand = run(by_hand, keys(seed), spec)
    assert (looped == by_hand).all()


def test_flip_gives_the_image_or_its_mirror_about_as_often_and_twice_is_nothing():
    out, x = run(images(), keys(), Augment(flip=True)), images()
    mirrored = (out == x[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored ^ (out == x).all((1, 2, 3))).all()
    assert (run(out, keys(), Augment(flip=True)) == x).all()
    many = run(jnp.tile(x[:1], (2000, 1, 1, 1)), keys(n=2000), Augment(flip=True))
    assert 0.45 < (many == x[:1, :, ::-1]).all((1, 2, 3)).mean() < 0.55


@pytest.mark.parametrize(("border", "mode"), [("zero", "constant"), ("reflect", "reflect")])
def test_pad_gives_every_window_of_the_padded_image_and_no_other(border, mode):
    x = images()[:1]
    out = np.asarray(run(jnp.tile(x, (600, 1, 1, 1)), keys(n=600), Augment(pad=2, border=border)))
    padded = np.pad(x[0], ((2, 2), (2, 2), (0, 0)), mode=mode)
    windows = {padded[i : i + 9, j : j + 12].tobytes(): (i, j) for i in range(5) for j in range(5)}
    assert {windows[image.tobytes()] for image in out} == set(windows.values())


@pytest.mark.parametrize("side", [1, 4, 5, 30])
def test_cutout_clears_one_square_that_may_stick_out_and_nothing_else(side):
    spec = Augment(cutout=side)
    out, gone = np.asarray(run(images(), keys(), spec)), hit(spec)
    assert (out[~gone] == np.asarray(images())[~gone]).all()
    assert (out[gone] == 0).all()
    for mask in gone:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns) > 0
        assert np.ptp(rows) < side
        assert np.ptp(columns) < side
        inside = rows[0] > 0 and rows[-1] < 8 and columns[0] > 0 and columns[-1] < 11
        assert mask.sum() == side**2 or not inside


def test_cutout_reaches_every_pixel_as_the_centre():
    gone = np.asarray(
        run(jnp.ones((3000, 4, 5, 1)), jax.random.split(jax.random.key(1), 3000), Augment(cutout=1))
    )
    counts = (gone[..., 0] == 0).sum(0)
    assert counts.sum() == 3000
    assert counts.min() > 0.6 * 3000 / 20


@pytest.mark.parametrize("spec", SPECS)
def test_one_kind_of_change_draws_nothing_from_another(spec):
    """All at once equals one after the other, with the same keys."""
    moved = run(images(), keys(), Augment(pad=spec.pad, border=spec.border, flip=spec.flip))
    assert (run(moved, keys(), Augment(cutout=spec.cutout)) == run(images(), keys(), spec)).all()


def test_different_keys_give_different_images():
    spec = SPECS[0]
    out = np.asarray(run(jnp.tile(images()[:1], (16, 1, 1, 1)), keys(), spec))
    assert len({image.tobytes() for image in out}) > 8


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_normalised_images_have_mean_zero_and_deviation_one(dtype):
    x = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    mean = (x / 255).mean((0, 1, 2)).astype(np.float32)
    std = (x / 255).std((0, 1, 2)).astype(np.float32)
    out = jax.jit(normalise, static_argnums=3)(x, mean, std, dtype)
    assert (out.shape, out.dtype) == (x.shape, dtype)
    wide = np.asarray(out, np.float64)
    np.testing.assert_allclose(wide.mean((0, 1, 2)), 0, atol=5e-3)
    np.testing.assert_allclose(wide.std((0, 1, 2)), 1, atol=5e-3)
    if dtype == jnp.float32:
        np.testing.assert_allclose(out * std + mean, x / 255, atol=1e-6)


def test_normalise_in_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        out = normalise(x, np.float32([0.5]), np.float32([0.25]), jnp.float64)
        assert out.dtype == np.float64
        np.testing.assert_allclose(out, (x / 255 - 0.5) / 0.25, atol=1e-14)


def test_specs_are_values():
    spec = Augment(pad=4, border="reflect", flip=True, cutout=8)
    assert from_json(to_json(spec)) == spec
    assert parse("augment(pad=4, flip=True)", {"augment": Augment}, "augmentation").pad == 4


@pytest.mark.parametrize("field", ["pad", "cutout"])
@pytest.mark.parametrize("n", [-1, 2.5, True, "4"])
def test_lengths_that_are_none_are_errors(field, n):
    with pytest.raises(UserError, match=f"{field}={n!r}: use a whole number of pixels, 0 for none"):
        Augment(**{field: n})


def test_an_unknown_border_is_an_error():
    with pytest.raises(UserError, match="border='wrap': use one of zero, reflect"):
        Augment(border="wrap")


def test_a_reflected_border_as_wide_as_the_image_is_an_error():
    with pytest.raises(UserError, match="pad=9: a reflected border is at most 8 pixels here"):
        run(images(), keys(), Augment(pad=9, border="reflect"))
    run(images(), keys(), Augment(pad=9))
