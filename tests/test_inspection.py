"""A look into nets: computed from the trained run, stored beside it, read without trust, drawn."""

import io
import json
import math
import os
import re
import zipfile

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax import nets
from cnnjax.compute.effective import effective_field
from cnnjax.compute.seen import map_shapes, see
from cnnjax.data import Dataset, load
from cnnjax.errors import UserError
from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.report import write
from cnnjax.study.artifacts import INSPECTION, Look, read_inspection, write_inspection
from cnnjax.study.pictures import shrunk, spread, visible
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.stored import PICTURES, read_pictures
from cnnjax.study.worker import Worker
from cnnjax.train.devices import local
from cnnjax.train.recipe import make_recipe
from tests import synthetic_results as synthetic
from tests import zoo
from tests.tiny import least_net, small_net, write_dataset

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """A trained run's folder and key."""
    path = tmp_path_factory.mktemp("looked")
    data = write_dataset(path / "tiny.npz")
    run = Run(small_net(), Dataset(data), make_recipe(epochs=1, batch_size=16), label="small")
    folder = Folder(path / "results")
    folder.create({"experiment": "train", "question": "?", "axes": []})
    assert load(run.dataset)
    record = Worker(folder, local(count=1), "train", inspect=True).execute(run)
    assert record["status"] == "done", record["error"]
    return folder, run.key


def test_a_run_is_looked_into_before_and_after_training(looked):
    looks = read_inspection(*looked)
    assert list(looks) == ["start", "end"]
    for look in looks.values():
        paths = [path for path, _, _ in look.flow]
        assert paths[0] == "stem/block1/conv"
        assert paths[-1] == "head/logits"
        assert all(norm > 0 for _, norm, _ in look.flow)
        cells = np.array(look.field)
        assert cells.shape == (8, 8)
        assert 0 < cells.max() <= 1
        assert 0 < look.size <= 8
    assert looks["start"].flow != looks["end"].flow


def test_other_seeds_are_not_looked_into(looked, tmp_path):
    folder, key = looked
    assert (folder.run_dir(key) / "artifacts" / INSPECTION).exists()
    assert read_inspection(folder, KEY) == {}


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_what_is_shrunk_keeps_its_proportion_and_where_blocks_are_equal_its_mean(h, w, side):
    values = np.arange(h * w, dtype=float).reshape(h, w)
    found = shrunk(values, side)
    factor = max(1, max(h, w) / side)
    assert found.shape == (max(1, round(h / factor)), max(1, round(w / factor)))
    if h % len(found) == 0 and w % len(found[0]) == 0:
        assert found.mean() == pytest.approx(values.mean())
    if max(h, w) <= side:
        assert (found == values).all()


@pytest.fixture
def study(tmp_path):
    folder = synthetic.write(tmp_path / "depth", "depth", seeds=2)
    for point in folder.read_study()["plans"][-1]["points"]:
        rows = [{"layer": f"conv{i}", "gradient": 10.0**-i, "relative": 0.1} for i in range(4)]
        field = {"size": 5.5, "image": [32, 32], "gradient": [[0.0, 1.0], [0.5, 0.25]]}
        look = {"flow": rows[::-1], "field": field}
        write_inspection(folder, point["runs"][0], {"start": look, "end": look})
    return folder


def test_what_was_seen_is_drawn(study):
    write(study.path)
    page = (study.path / "dashboard.html").read_text()
    assert "How much gradient reaches each layer" in page
    assert "What a unit of the last map sees" in page
    assert "before training: plain depth 8 0.001" in page


hostile = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["start", "end", "flow", "field", "gradient", "size", "layer", "image"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(hostile)
def test_any_content_reads(tmp_path_factory, data):
    folder = Folder(tmp_path_factory.mktemp("any"))
    path = folder.run_dir(KEY) / "artifacts"
    path.mkdir(parents=True)
    (path / INSPECTION).write_text(json.dumps(data))
    for look in read_inspection(folder, KEY).values():
        assert isinstance(look, Look)
        assert all(0 <= v <= 1 for row in look.field for v in row)


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path):
    folder = Folder(tmp_path / "results")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / INSPECTION).write_text('{"start": {}}')
    folder.run_dir(KEY).mkdir(parents=True)
    (folder.run_dir(KEY) / "artifacts").symlink_to(tmp_path / "secret")
    assert read_inspection(folder, KEY) == {}


# What a net makes of single images.


@pytest.fixture(scope="module")
def net():
    """A net whose last map has one channel, its variables, and images with their labels."""
    found = Net(stages=(Stage(Plain(3)), Stage(Plain(1), stride=2)), head=Head(3, reduce=Flatten()))
    images = np.random.default_rng(0).normal(size=(4, 9, 11, 2)).astype(np.float32)
    return found, found.init(jax.random.key(0), images[:1]), images, np.array([0, 2, 1, 2])


def test_saliency_is_the_gradient_of_the_labels_logit(net):
    model, variables, images, labels = net
    seen = see(model, variables, images, labels)

    def logit(image, label):
        return model.apply(variables, image[None], train=False)[0, label]

    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        by_hand = np.abs(jax.grad(logit)(image, label)).max(-1)
        np.testing.assert_allclose(seen.saliency[i], by_hand, rtol=1e-4, atol=1e-6)
    # The largest is as far as the logit really moves.
    row, column = np.unravel_index(seen.saliency[0].argmax(), images.shape[1:3])
    moves = [
        float(logit(images[0] + 1e-3 * np.eye(99 * 2, dtype="f")[at].reshape(9, 11, 2), 0)
              - logit(images[0], 0)) / 1e-3
        for at in ((row * 11 + column) * 2, (row * 11 + column) * 2 + 1)
    ]  # fmt: skip
    assert max(np.abs(moves)) == pytest.approx(seen.saliency[0].max(), rel=0.05)


def test_maps_are_what_the_layers_give(net):
    model, variables, images, labels = net
    shapes = map_shapes(model, images.shape[1:])
    assert shapes == {
        "stage1/block1": (9, 11, 3), "stage1": (9, 11, 3),
        "stage2/block1": (5, 6, 1), "stage2": (5, 6, 1),
    }  # fmt: skip
    seen = see(model, variables, images, labels, ["stage2/block1", "stage1/block1"])
    _, state = model.apply(variables, images, capture_intermediates=True, mutable="intermediates")
    caught = state["intermediates"]
    for scope, values in seen.maps.items():
        stage, block = scope.split("/")
        by_hand = caught[stage][block]["__call__"][0]
        np.testing.assert_allclose(values, by_hand, rtol=1e-5, atol=1e-5)
        assert values.shape[1:] == shapes[scope]
    np.testing.assert_allclose(seen.logits, model.apply(variables, images), rtol=1e-4, atol=1e-5)


def test_the_field_of_single_images_makes_up_that_of_all(net):
    model, variables, images, labels = net
    each = see(model, variables, images, labels).field
    whole = effective_field(model, variables, images).gradient
    np.testing.assert_allclose(np.sqrt(np.square(each).mean(0)), whole, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("images", "labels", "scopes", "said"),
    [
        (np.zeros((2, 9, 11, 2), np.uint8), np.zeros(2, int), (), "normalised images as floats"),
        (np.zeros((9, 11, 2), np.float32), np.zeros(2, int), (), "[9, 11, 2]"),
        (np.zeros((2, 9, 11, 2), np.float32), np.zeros(3, int), (), "int32 [3]"),
        (np.zeros((2, 9, 11, 2), np.float32), np.zeros(2, int), ("stage9",), "'stage9'"),
    ],
)
def test_what_can_not_be_seen_is_refused(net, images, labels, scopes, said):
    with pytest.raises(UserError, match=re.escape(said)):
        see(net[0], net[1], images, labels, scopes)


@pytest.mark.parametrize("name", zoo.REPRESENTATIVES.values())
def test_every_family_has_maps_to_show(name):
    shapes = map_shapes(zoo.native(name), nets.native_shape(name))
    chosen = spread(shapes)
    assert 1 <= len(chosen) <= 4
    assert all(math.prod(shapes[scope][:2]) > 1 for scope in chosen)


# Pictures.


def test_a_run_leaves_small_pictures_of_its_net(looked):
    folder, key = looked
    p = read_pictures(folder, key)
    assert (folder.run_dir(key) / "artifacts" / PICTURES).stat().st_size < 60_000
    source = load(Dataset(folder.read_record(key)["config"]["dataset"]["name"]))
    for image, label in zip(p.images, p.labels, strict=True):
        same = [np.array_equal(image, x) for x in source.val.images]
        assert label in source.val.labels[same]
    assert len(set(p.labels)) == 3
    assert p.saliency.shape == p.field.shape == (4, 8, 8)
    assert (p.saliency.max(axis=(1, 2)) == 255).all()
    assert p.first == "stem/block1/conv"
    assert p.filters.shape == (4, 3, 3, 1)
    assert [name for name, _ in p.maps] == ["stem/block1", "stage1/block1", "stage2/block1"]
    assert [v.shape for _, v in p.maps] == [(2, 8, 8, 4), (2, 4, 4, 4), (2, 2, 2, 6)]
    assert p.classes == source.info.class_names
    assert all(0 <= chance <= 1 for chance in p.chances)


def test_the_hardest_are_those_least_sure_of_their_label(looked):
    folder, key = looked
    p = read_pictures(folder, key)
    data = folder.read_predictions(key)
    logits, labels = data["logits"].astype(float), data["label"]
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chances = shares[np.arange(len(labels)), labels]
    assert list(p.hardest_index) == np.argsort(chances, kind="stable")[:10].tolist()
    source = load(Dataset(folder.read_record(key)["config"]["dataset"]["name"]))
    assert np.array_equal(p.hardest, source.test.images[list(p.hardest_index)])


def test_tuning_and_other_seeds_leave_none(looked):
    folder, key = looked
    name = folder.read_record(key)["config"]["dataset"]["name"]
    for more in ({"seed": 1}, {"test": False}):
        run = Run(least_net(), Dataset(name), make_recipe(epochs=1, batch_size=16), **more)
        record = Worker(folder, local(count=1), "train").execute(run)
        assert record["status"] == "done", record["error"]
        assert not (folder.run_dir(run.key) / "artifacts").exists()


def test_a_net_without_pictures_is_done_all_the_same(looked, monkeypatch):
    folder, key = looked
    name = folder.read_record(key)["config"]["dataset"]["name"]
    monkeypatch.setattr("cnnjax.study.pictures.see", lambda *_: 1 / 0)
    run = Run(least_net(), Dataset(name), make_recipe(epochs=2, batch_size=16))
    record = Worker(folder, local(count=1), "train").execute(run)
    assert record["status"] == "done"
    assert record["notes"] == ["no pictures of the net: division by zero"]
    assert read_pictures(folder, run.key) is None


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 3, 4]))
def test_pictures_of_small_images_are_the_images(high, wide, channels):
    images = np.random.default_rng(high).integers(0, 256, (2, high, wide, channels), np.uint8)
    found = visible(images, 64)
    assert found.dtype == np.uint8
    assert max(found.shape[1:3]) <= 64
    if max(high, wide) <= 64:
        assert np.array_equal(found, images[..., : 3 if channels > 2 else 1])


def stored(tmp_path, content):
    folder = Folder(tmp_path / "results")
    path = folder.run_dir(KEY) / "artifacts"
    path.mkdir(parents=True)
    (path / PICTURES).write_bytes(content)
    return folder


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


GREY = np.zeros((2, 5, 5, 1), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        archive(images=GREY)[:-30],
        archive(images=np.zeros((64, 128, 128, 3, 8), np.uint8)),  # Small until it is unpacked.
        archive(images=np.array([{"a": 1}], object)),
        archive(**{f"map{i}": GREY for i in range(40)}),
    ],
)
def test_a_file_that_is_no_pictures_is_as_if_absent(tmp_path, content):
    assert read_pictures(stored(tmp_path, content), KEY) is None


def test_an_array_that_says_it_is_larger_than_it_is_takes_no_memory(tmp_path):
    header = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, about)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("images.npy", header.getvalue() + b"1234")
    assert read_pictures(stored(tmp_path, buffer.getvalue()), KEY) is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((2, 5, 5, 2), np.uint8)},
        {"images": np.zeros((2, 5, 5, 1), np.float32)},
        {"images": np.zeros((2, 500, 5, 1), np.uint8)},
        {"images": np.zeros((0, 5, 5, 1), np.uint8)},
        {"images": np.zeros(5, np.uint8)},
        {"told": np.frombuffer(b"[1", np.uint8), "saliency": GREY[..., 0]},
        {"told": np.frombuffer(b'{"maps": 3, "classes": [1], "filters": []}', np.uint8)},
        {"hardest": GREY},
        {"hardest_index": np.zeros(3, np.int32)},
    ],
)
def test_arrays_of_the_wrong_kind_are_left_out(tmp_path, arrays):
    p = read_pictures(stored(tmp_path, archive(**arrays)), KEY)
    assert not any(v.size for v in (p.images, p.saliency, p.field, p.filters, p.hardest))
    assert (p.maps, p.labels, p.hardest_index, p.first) == ((), (), (), "")


def test_numbers_that_are_not_finite_or_too_few_are_left_out(tmp_path):
    chances, labels = np.array([0.5, np.nan], np.float32), np.array([1], np.int32)
    content = archive(images=GREY, chances=chances, labels=labels)
    p = read_pictures(stored(tmp_path, content), KEY)
    assert np.array_equal(p.images, GREY)
    assert (p.chances, p.labels) == ((), ())


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_of_the_runs_own_is_not_read(tmp_path, kind):
    folder = stored(tmp_path, archive(images=GREY))
    assert read_pictures(folder, KEY) is not None
    path = folder.run_dir(KEY) / "artifacts" / PICTURES
    away = path.rename(tmp_path / PICTURES)
    made = {
        "link": lambda: path.symlink_to(away),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    made[kind]()
    assert read_pictures(folder, KEY) is None
