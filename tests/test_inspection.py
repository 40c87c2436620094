"""A look into nets: computed from the trained run, stored beside it, read without trust, drawn."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax.data import Dataset, load
from cnnjax.report import write
from cnnjax.study.artifacts import INSPECTION, Look, read_inspection, write_inspection
from cnnjax.study.pictures import shrunk
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.worker import Worker
from cnnjax.train.devices import local
from cnnjax.train.recipe import make_recipe
from tests import synthetic_results as synthetic
from tests.tiny import small_net, write_dataset

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
