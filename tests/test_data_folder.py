"""Image files in folders."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.data import Dataset, check, load
from cnnjax.errors import UserError


def write(root, split, name, count=6, size=(10, 10), mode="RGB", suffix="png", level=None):
    """`count` images of one class; their level tells which is which."""
    folder = root / split / name
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        at = 10 * i if level is None else level
        height, width = size
        colour = at if mode in ("L", "P", "I;16") else (at,) * len(mode)
        image = Image.new(mode, (width, height), colour)
        image.save(folder / f"{i:03}.{suffix}")


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 10), ("test", 4)):
        for name in ("ant", "bee"):
            write(tmp_path / "animals", split, name, count)
    return tmp_path / "animals"


def name(root):
    return f"folder:{root}"


def test_classes_are_the_folders_in_order(root):
    found = load(Dataset(name(root)))
    assert found.info.class_names == ("ant", "bee")
    assert found.info.image_shape == (10, 10, 3)
    assert found.info.name == "animals"
    assert found.info.flip
    assert found.test.labels.tolist() == [0] * 4 + [1] * 4
    assert found.test.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30] * 2
    assert (len(found.train), len(found.val)) == (18, 2)


@pytest.mark.parametrize("split", ["val", "validation"])
def test_a_validation_folder_is_used(root, split):
    for kind in ("ant", "bee"):
        write(root, split, kind, 3)
    found = load(Dataset(name(root)))
    assert (len(found.train), len(found.val)) == (20, 6)


def test_grey_images_stay_grey_and_one_coloured_makes_all_rgb(tmp_path):
    for split in ("train", "test"):
        for kind in ("ant", "bee"):
            write(tmp_path, split, kind, mode="L")
    assert load(Dataset(name(tmp_path))).info.image_shape == (10, 10, 1)
    write(tmp_path, "test", "bee", 1, mode="RGB")
    assert load(Dataset(name(tmp_path))).info.image_shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("mode", "suffix", "level", "shown"),
    [
        ("RGBA", "png", 90, 90),
        ("I;16", "png", 0x5A00, 90),
        ("L", "JPG", 90, 90),
        ("RGB", "bmp", 9, 9),
    ],
)
def test_many_kinds_of_files_are_read(tmp_path, mode, suffix, level, shown):
    for split in ("train", "test"):
        write(tmp_path, split, "ant", 4, mode=mode, suffix=suffix, level=level)
    images = load(Dataset(name(tmp_path))).train.images
    assert (images == shown).all()


def test_varied_sizes_are_resized_and_that_is_told(root):
    write(root, "train", "ant", 2, size=(20, 30))
    found = load(Dataset(name(root)))
    assert found.info.image_shape == (64, 64, 3)
    assert any("varied sizes, resized to 64 pixels" in note for note in found.info.notes)
    other = load(Dataset(name(root), resolution=9))
    assert other.train.images.shape[1:] == other.info.image_shape == (9, 9, 3)
    assert not any("varied" in note for note in other.info.notes)


def test_photographs_are_turned_upright(tmp_path):
    lying = np.zeros((8, 8, 3), np.uint8)
    lying[0] = 255  # A bright top row, which orientation 6 turns to the right-hand side.
    turned = Image.Exif()
    turned[0x0112] = 6
    for split in ("train", "test"):
        write(tmp_path, split, "ant", 3, size=(8, 8))
        Image.fromarray(lying).save(tmp_path / split / "ant" / "photo.png", exif=turned)
    photo = load(Dataset(name(tmp_path))).test.images[-1]
    assert (photo[:, -1] == 255).all()
    assert (photo[:, :-1] == 0).all()


def test_other_files_are_ignored(root):
    (root / "train" / "ant" / "notes.txt").write_text("")
    (root / "train" / "ant" / "._000.png").write_text("")
    (root / "train" / "README").write_text("")
    assert check(Dataset(name(root))).train == 18


def test_a_new_file_is_seen(root):
    assert check(Dataset(name(root))).test == 8
    write(root, "test", "ant", 5)
    assert check(Dataset(name(root))).test == 9


def test_folders_of_characters_are_not_mirrored(tmp_path):
    for split in ("train", "test"):
        for kind in "ab":
            write(tmp_path, split, kind)
    assert not load(Dataset(name(tmp_path))).info.flip


# Errors.


def fails(root, match):
    for function in (check, load):
        with pytest.raises(UserError, match=match) as e:
            function(Dataset(name(root)))
        assert "\n" not in str(e.value)


def test_no_such_folder(tmp_path):
    fails(tmp_path / "nowhere", "there is no folder .*nowhere: write folder:PATH")


def test_no_test_folder(tmp_path):
    write(tmp_path, "train", "ant")
    fails(tmp_path, "there is no folder .*test: put images in .*test/CLASS/")


def test_no_images(tmp_path):
    (tmp_path / "train" / "ant").mkdir(parents=True)
    fails(tmp_path, "there are no images in .*train: put them in .*train/CLASS/")


@pytest.mark.parametrize("split", ["train", "test"])
def test_different_classes(root, split):
    write(root, split, "cow")
    fails(root, "train and test have different classes: cow in one only")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_an_unreadable_image_is_named(root, share):
    file = root / "test" / "bee" / "002.png"
    noise = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    fails(root, r"can't read the image .*test/bee/002\.png \(.*\): mend or remove it")
