"""Streams: what they give is what memory would hold, whoever reads it and wherever it starts."""

import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from PIL import Image

from cnnjax.data import Dataset, Split, boxes, check, draws, load, pixels, source
from cnnjax.data.order import order
from cnnjax.data.source import streamed
from cnnjax.data.stream import Training
from cnnjax.errors import UserError
from cnnjax.train.precision import precision
from cnnjax.values import key
from tests.test_data_folder import write

SIZES = [(20, 30), (33, 17), (16, 16), (9, 40), (5, 6)]  # The last is less than what is cut.


def picture(height, width, seed=0):
    """Smooth enough to be a photograph, different everywhere."""
    y, x = np.mgrid[:height, :width]
    planes = [np.sin(x / 5 + seed + c) + np.cos(y / 7 + seed * c) for c in range(3)]
    return np.uint8(60 * (np.dstack(planes) + 2))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """30 + 8 photographs of varied sizes, in JPEG and PNG."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for split, count in (("train", 15), ("val", 4)):
        for k, name in enumerate(("ant", "bee")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(picture(*SIZES[i % 5], seed=i + 100 * k))
                image.save(folder / split / name / f"{i:02}.{'jpg' if i % 2 else 'png'}")
    return folder


@pytest.fixture(scope="module")
def photos(root):
    return load(Dataset(f"folder:{root}", resolution=16, stream=True))


def gathered(stream, steps, batch=8, shares=1, workers=0, start=0, scale=0.3, seed=7):
    """Whole batches [steps, batch, …], put together from the shares of so many processes."""
    parts = []
    for share in range(shares):
        which = Training(seed, batch, np.arange(batch)[share::shares], scale)
        parts.append(list(stream.training(which, start, steps, workers)))
    images = np.zeros((steps - start, batch, *stream.image_shape), np.uint8)
    labels = np.zeros((steps - start, batch), np.int32)
    for share, found in enumerate(parts):
        assert len(found) == steps - start
        images[:, share::shares] = [x.images for x in found]
        labels[:, share::shares] = [x.labels for x in found]
    return images, labels


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


# Which batches.


@pytest.mark.parametrize("shares", [1, 2, 4])
def test_shares_interleaved_are_the_whole_batches(photos, shares):
    same(gathered(photos.train, 9, shares=shares), gathered(photos.train, 9))


@pytest.mark.parametrize(
    ("workers", "shares"),
    [(2, 1), *(pytest.param(w, 2, marks=pytest.mark.slow) for w in (1, 2, 3))],
)
def test_processes_change_nothing(photos, workers, shares):
    """Over the end of an epoch; with the shares of two hosts; going on in the middle."""
    whole = gathered(photos.train, 7)
    found = gathered(photos.train, 7, shares=shares, workers=workers, start=2)
    same(found, [x[2:] for x in whole])


@pytest.mark.parametrize("start", [0, 1, 3, 4, 8])
def test_going_on_at_a_step_is_never_having_stopped(photos, start):
    whole = gathered(photos.train, 9)
    same(gathered(photos.train, 9, start=start), [x[start:] for x in whole])


@pytest.mark.parametrize("batch", [5, 7, 8])
def test_an_epoch_has_each_example_once_but_for_what_fills_no_batch(photos, batch):
    """Without crops, so that images tell which example they are."""
    n, steps = len(photos.train), len(photos.train) // batch
    known = {photos.train.cropped(i, 1.0)["image"].tobytes(): i for i in range(n)}
    images, labels = gathered(photos.train, 3 * steps, batch=batch, scale=1.0)
    seen = [[known[x.tobytes()] for x in epoch.reshape(-1, 16, 16, 3)]
            for epoch in images.reshape(3, steps * batch, 16, 16, 3)]  # fmt: skip
    assert all(len(set(epoch)) == steps * batch for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) == 3
    told = [photos.train[i]["label"] for epoch in seen for i in epoch]
    assert labels.reshape(-1).tolist() == told


def test_the_order_is_that_of_a_training_in_memory(photos):
    n = len(photos.train)
    images, _ = gathered(photos.train, 6, batch=8, scale=1.0)
    rows = [np.asarray(order(jax.random.key(7), e, n))[:24] for e in range(2)]
    wanted = [photos.train.cropped(int(i), 1.0)["image"] for i in np.concatenate(rows)]
    np.testing.assert_array_equal(images.reshape(-1, 16, 16, 3), wanted)


@pytest.mark.parametrize("seed", [0, 3, 2**31])
def test_the_order_is_the_same_in_all_types(seed):
    found = {}
    for dtype in ("float32", "float64"):
        with precision(dtype):
            found[dtype] = np.asarray(order(jax.random.key(seed), 5, 1000))
    np.testing.assert_array_equal(*found.values())
    assert sorted(found["float32"]) == list(range(1000))


def test_seeds_and_epochs_draw_other_windows(photos):
    image = [photos.train.cropped(0, 0.1, seed, epoch)["image"].tobytes()
             for seed in (0, 1) for epoch in (0, 1)]  # fmt: skip
    assert len(set(image)) == 4


# What is in them.


def test_evaluation_has_each_example_once_and_pads_the_last_batch(photos):
    found = list(photos.test.batches(3))
    labels = np.concatenate([x.labels for x in found])
    assert labels.tolist() == [0] * 4 + [1] * 4 + [-1]
    images = np.concatenate([x.images for x in found])[:8]
    np.testing.assert_array_equal(images, photos.test.read(range(8)).images)
    halves = [list(photos.test.batches(4, np.arange(4)[h::2])) for h in (0, 1)]
    assert [x.labels.tolist() for x in halves[1]] == [[0, 0], [1, 1]]


def test_a_split_in_memory_gives_the_same_batches():
    made = Split(np.arange(70, dtype=np.uint8).reshape(70, 1, 1, 1), np.arange(70, dtype=np.int32))
    found = list(made.batches(16))
    assert [len(x.labels) for x in found] == [16] * 5
    labels = np.concatenate([x.labels for x in found])
    assert labels[: len(made)].tolist() == made.labels.tolist()
    assert set(labels[len(made) :]) <= {-1}


@pytest.mark.parametrize("side", [None, 16])
def test_streamed_images_are_those_in_memory_to_the_bit(tmp_path, root, side):
    """Where nothing is cropped: of one size already, or resized; mean and deviation too."""
    folder = root
    if side is None:
        folder = tmp_path / "even"
        for split in ("train", "test"):
            for name in ("ant", "bee"):
                write(folder, split, name, 12, mode="RGB")
    one, other = (
        load(Dataset(f"folder:{folder}", resolution=side, stream=s)) for s in (False, True)
    )
    assert (one.info.image_shape, one.info.class_names) == (
        other.info.image_shape, other.info.class_names)  # fmt: skip
    for split in ("train", "val", "test"):
        a, b = getattr(one, split), getattr(other, split)
        b = b.read(range(len(b)))
        same((a.images, a.labels), (b.images, b.labels))
    clean = [other.train.cropped(i, 1.0)["image"] for i in range(len(other.train))]
    np.testing.assert_array_equal(clean, one.train.images)
    same((one.mean, one.std), (other.mean, other.std))


def test_evaluation_sees_the_centre_of_the_resized_image():
    image = picture(80, 64)
    side, share = 28, 0.875
    resized = Image.fromarray(image).resize((32, 40), Image.Resampling.BILINEAR)
    wanted = np.asarray(resized.crop((2, 6, 30, 34)), int)
    assert np.abs(pixels.fit(image, side, share) - wanted).max() <= 2


def test_crops_are_the_boxes_that_are_drawn(photos):
    """By what Pillow makes of the box, cut out of the image that is there."""
    i, scale = 2, 0.3
    image, _ = photos.train._decoded(i)
    words = draws.words(5, 1, int(photos.train.rows[i])).random_raw(4 * boxes.TRIES)
    uniforms = draws.fraction(words).reshape(-1, 4)
    box = boxes.Box(*map(int, boxes.crop(uniforms, *image.shape[:2], scale, np)))
    part = image[box.top : box.top + box.height, box.left : box.left + box.width]
    wanted = Image.fromarray(part).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(photos.train.cropped(i, scale, 5, 1)["image"], wanted)


def test_crops_never_change(photos):
    found = [photos.train.cropped(i, 0.08, 1, 2)["image"] for i in range(5)]
    image = picture(375, 500)
    uniforms = draws.fraction(draws.words(1, 2, 3).random_raw(40)).reshape(10, 4)
    assert tuple(map(int, boxes.crop(uniforms, *image.shape[:2], 0.08, np))) == (2, 51, 372, 367)
    assert len({x.tobytes() for x in found}) == 5


def test_fractions_are_within_0_and_1():
    raw = np.array([0, 2**64 - 1, 2**63], np.uint64)
    assert draws.fraction(raw).tolist() == [0, 1 - 2.0**-53, 0.5]


# What streams.


def test_what_takes_much_memory_is_streamed_and_what_is_small_is_not(root, monkeypatch):
    dataset = Dataset(f"folder:{root}", resolution=16)
    assert not streamed(dataset)
    monkeypatch.setattr(source, "RESIDENT_BYTES", 38 * 16 * 16 * 3 - 1)
    assert streamed(dataset)
    monkeypatch.setattr(source, "RESIDENT_BYTES", 38 * 16 * 16 * 3)
    assert not streamed(dataset)
    assert not streamed(Dataset("cluttered_digits"))


def test_cropped_evaluation_streams(root):
    assert streamed(Dataset(f"folder:{root}", resolution=16, eval_crop=0.875))


def test_streaming_is_no_part_of_the_key_unless_it_is_said():
    assert key(Dataset()) == key(Dataset(stream=None, eval_crop=1.0))
    assert len({key(Dataset(stream=s)) for s in (None, True, False)}) == 3
    assert key(Dataset(eval_crop=0.9)) != key(Dataset())


def test_check_agrees_with_load(photos, root):
    outline = check(Dataset(f"folder:{root}", resolution=16, stream=True))
    assert outline.info == photos.info
    assert (outline.train, outline.val, outline.test) == (27, 3, 8)
    assert (len(photos.train), len(photos.val), len(photos.test)) == (27, 3, 8)


def test_what_was_decided_is_told(photos):
    assert photos.info.notes == (
        "test: the folder 'val', since none is called test",
        "validation: 3 of 30 training images, by a fixed permutation",
        "streamed: decoded when they are needed; mean and deviation are of 27 training images",
    )


def test_training_and_validation_are_those_in_memory(photos, root):
    few = load(Dataset(f"folder:{root}", resolution=16, stream=True, train_examples=10))
    resident = load(Dataset(f"folder:{root}", resolution=16, stream=False, train_examples=10))
    same([few.train.read(range(10)).images], [resident.train.images])
    assert set(few.train.rows) < set(photos.train.rows)
    assert not set(photos.train.rows) & set(photos.val.rows)


# What can go wrong.


def spoilt(root, tmp_path, n=1):
    """A stream with a file that is no image any more once it was listed."""
    folder = tmp_path / "spoilt"
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            write(folder, split, name, 10, size=(16, 16))
    found = load(Dataset(f"folder:{folder}", stream=True))
    path = found.train.store.path(int(found.train.rows[n]))
    path.write_bytes(path.read_bytes()[:60])
    return found.train, path


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named(root, tmp_path, workers):
    stream, path = spoilt(root, tmp_path)
    with pytest.raises(UserError, match=rf"can't read the image {path} \(.*\): mend or remove it"):
        gathered(stream, 2, batch=9, workers=workers)


@pytest.mark.slow
def test_a_process_that_is_killed_is_an_error_and_no_hang(photos):
    batches = photos.train.training(Training(0, 4, np.arange(4)), 0, 10**6, 2)
    next(batches)
    os.kill(children()[0], signal.SIGKILL)
    with pytest.raises(UserError, match="a process that reads images ended .* --data_workers"):
        for _ in batches:
            pass
    assert not children()


@pytest.mark.slow
def test_processes_end_when_nobody_reads_any_more(photos):
    batches = photos.train.training(Training(0, 4, np.arange(4)), 0, 10**6, 2)
    next(batches)
    assert len(children()) == 2
    batches.close()
    assert not children()


@pytest.mark.slow
def test_signals_are_for_the_main_process_alone_from_the_start(photos):
    batches = photos.train.training(Training(0, 4, np.arange(4)), 0, 10**6, 2)
    reader = threading.Thread(target=lambda: [next(batches) for _ in range(3)])
    reader.start()
    sent = 0
    while reader.is_alive():  # From a worker's first moment to its first batches.
        for pid in children():
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
            sent += 1
        time.sleep(0.01)
    assert sent > 10
    assert len(children()) == 2
    next(batches)
    batches.close()


def children():
    """Worker processes of this one, by id."""
    import multiprocessing

    return [p.pid for p in multiprocessing.active_children()]


def test_rectangles_need_a_resolution(tmp_path):
    for split in ("train", "test"):
        write(tmp_path, split, "ant", size=(10, 12))
    with pytest.raises(UserError, match="10×12 images are streamed as squares: set resolution"):
        load(Dataset(f"folder:{tmp_path}", stream=True))


def test_what_is_in_memory_as_a_whole_cannot_be_streamed():
    with pytest.raises(UserError, match="stream: cluttered_digits can't be streamed; it is in mem"):
        check(Dataset(stream=True))
    with pytest.raises(UserError, match="eval_crop: cluttered_digits can't be streamed"):
        check(Dataset(eval_crop=0.875))
    with pytest.raises(UserError, match="eval_crop: only streamed images are cropped; leave str"):
        Dataset(stream=False, eval_crop=0.875)
    with pytest.raises(UserError, match="stream=1: use true, false, or none for the rule"):
        Dataset(stream=1)
    with pytest.raises(UserError, match=r"eval_crop=1.5: use a share of the side, 1.0 at most"):
        Dataset(eval_crop=1.5)


@pytest.mark.parametrize(
    ("mode", "suffix", "level", "shown"),
    [("L", "png", 90, 90), ("RGBA", "png", 90, 90), ("CMYK", "jpg", 0, 255), ("P", "gif", 0, 0),
     ("I;16", "png", 90 * 256, 90)],
)  # fmt: skip
def test_many_kinds_of_files_are_streamed(tmp_path, mode, suffix, level, shown):
    for split in ("train", "test"):
        write(tmp_path, split, "ant", 6, (16, 16), "RGB", level=90)
        write(tmp_path, split, "bee", 6, (16, 16), mode, suffix, level=level)
    found = load(Dataset(f"folder:{tmp_path}", stream=True))
    images = found.test.read(range(6, 12)).images
    assert np.abs(images.astype(int) - shown).max() <= 1


def test_a_first_process_is_started_with_signals_blocked():
    """Which what starts with it would have let through."""
    code = (
        "import signal; from multiprocessing import resource_tracker\n"
        "from cnnjax.data import pipeline\n"
        "pipeline._block(); resource_tracker.ensure_running()\n"
        "assert {*pipeline.STOPPING} <= signal.pthread_sigmask(signal.SIG_BLOCK, [])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
