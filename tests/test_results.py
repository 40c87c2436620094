"""The results folder: a crash loses nothing, one bad file stops nothing."""

import errno
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnjax.errors import UserError
from cnnjax.study import files
from cnnjax.study.results import Folder

HEAD = {
    "experiment": "filter_size",
    "question": "What does a larger filter buy?",
    "x": {"axis": "kernel_size", "label": "kernel size (pixels)"},
    "series": "series",
    "axes": ["series", "kernel_size"],
}
KEY = "0123456789abcdef"
OTHER = "f" * 16


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "filter_size")
    made.create(HEAD)
    return made


def record(**changes):
    return {"key": KEY, "status": "done", "metrics": {"test_accuracy": 0.5}, **changes}


def put(folder, key, text, name="record.json"):
    path = folder.run_dir(key)
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)
    return path / name


def snapshot(path):
    return {p: p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4),
    max_leaves=20,
)


# The folder


def test_create_keeps_plans_and_renews_the_head(folder):
    folder.add_plan({"points": []})
    folder.create({**HEAD, "question": "Another wording?"})
    data = folder.read_study()
    assert data["question"] == "Another wording?"
    assert data["plans"] == [{"points": []}]


def test_a_folder_that_holds_something_else_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match=r"is not a results folder and is left as it is: choose"):
        Folder(tmp_path).create(HEAD)
    assert snapshot(tmp_path) == before


def test_another_programs_runs_folder_is_refused(tmp_path):
    (tmp_path / "runs" / "Nov22_host").mkdir(parents=True)
    with pytest.raises(UserError, match="not a results folder"):
        Folder(tmp_path).create(HEAD)


def test_another_experiment_is_refused_untouched(folder):
    before = snapshot(folder.path)
    with pytest.raises(UserError, match=r"holds the experiment 'filter_size', not 'depth': choose"):
        folder.create({**HEAD, "experiment": "depth"})
    assert snapshot(folder.path) == before


def test_a_lost_study_json_is_written_anew(folder):
    folder.write_record(KEY, record())
    (folder.path / "study.json").unlink()
    folder.create(HEAD)
    assert list(folder.load().records) == [KEY]


def test_no_study(tmp_path):
    with pytest.raises(UserError, match=r"has no study\.json: run the experiment first"):
        Folder(tmp_path / "nowhere").read_study()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plans": 3}', '{"plans": ' + "[" * 100_000])
def test_a_damaged_study_json_is_named(folder, text):
    (folder.path / "study.json").write_text(text)
    with pytest.raises(UserError, match=r"study\.json can't be read \(.*move it away"):
        folder.read_study()


def test_a_newer_format_is_named(folder):
    folder.write_study({**HEAD, "format": 2})
    with pytest.raises(UserError, match="written by a newer version: update cnnjax"):
        folder.read_study()


# Writing


@pytest.mark.parametrize("key", ["", "../../etc", "0" * 15, "0" * 17, "G" * 16, "0" * 16 + "\n", 7])
def test_keys_are_hexadecimal(folder, key):
    with pytest.raises(UserError, match="is no run's key: give 16 hexadecimal digits"):
        folder.write_record(key, {})


def test_record_under_another_key(folder):
    with pytest.raises(UserError, match=f"can't stand under {OTHER}"):
        folder.write_record(OTHER, record())


@given(data=json_data)
def test_json_round_trip_up_to_what_json_has_no_word_for(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.json"
    files.write_json(path, {"data": data})
    assert files.read_json(path)["data"] == files.plain(data)


def test_nan_and_numpy_are_written_as_strict_json(folder):
    folder.write_record(KEY, record(metrics={"a": float("nan"), "b": np.float32(0.5), "c": (1, 2)}))

    def refuse(word):
        raise AssertionError(word)

    data = json.loads((folder.run_dir(KEY) / "record.json").read_text(), parse_constant=refuse)
    assert data["metrics"] == {"a": None, "b": 0.5, "c": [1, 2]}


def test_a_failed_write_leaves_the_old_file_and_no_litter(folder, monkeypatch):
    folder.write_record(KEY, record())
    before = snapshot(folder.path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: folder.write_record(KEY, record(status="failed")),
        lambda: folder.write_predictions(KEY, label=np.zeros(3)),
        lambda: folder.truncate_curve(KEY, 1),
    ):
        with pytest.raises(
            UserError, match=r"the disk is full: .* was not written .*MiB free.*room"
        ):
            write()
    assert snapshot(folder.path) == before


def test_a_refused_write_says_so(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match=r"can't write .* \(Permission denied\): choose another"):
        folder.write_study(HEAD)


def test_a_record_that_cant_be_read_is_set_aside_not_lost(folder):
    put(folder, KEY, "precious?")
    assert folder.read_record(KEY) is None
    folder.write_record(KEY, record())
    assert (folder.run_dir(KEY) / "record.unreadable.json").read_text() == "precious?"
    assert folder.read_record(KEY)["status"] == "done"


# Curves


@given(rows=st.lists(st.floats(0, 1), min_size=1, max_size=6), cut=st.integers(0, 200))
def test_a_curve_survives_a_kill_at_any_byte(tmp_path_factory, rows, cut):
    folder = Folder(tmp_path_factory.mktemp("curve"))
    (folder.path / "runs").mkdir()
    whole = [{"epoch": i + 1, "val_accuracy": v} for i, v in enumerate(rows)]
    for row in whole:
        folder.append_curve(KEY, row)
    assert folder.read_curve(KEY) == whole
    path = folder.run_dir(KEY) / "curve.jsonl"
    text = path.read_bytes()[:cut]
    path.write_bytes(text)
    left = folder.read_curve(KEY)
    assert left == whole[: text.count(b"\n")]
    folder.append_curve(KEY, {"epoch": len(left) + 1, "val_accuracy": 0.5})
    assert folder.read_curve(KEY) == [*left, {"epoch": len(left) + 1, "val_accuracy": 0.5}]


def test_truncate_then_go_on_equals_never_stopped(folder):
    rows = [{"epoch": e, "step": 10 * e} for e in range(1, 6)]
    for row in rows:
        folder.append_curve(KEY, row)
    folder.truncate_curve(KEY, 2)
    assert folder.read_curve(KEY) == rows[:2]
    for row in rows[2:]:
        folder.append_curve(KEY, row)
    assert folder.read_curve(KEY) == rows
    folder.truncate_curve(KEY, 0)
    assert folder.read_curve(KEY) == []


def test_bad_rows_in_the_middle_are_named(folder):
    folder.write_record(KEY, record())
    put(folder, KEY, '{"epoch":1}\nNOISE\n{"epoch":NaN}\n{"epoch":2,"x":NaN}\n', "curve.jsonl")
    study = folder.load()
    assert study.curves[KEY] == [{"epoch": 1}, {"epoch": 2, "x": None}]
    assert study.warnings == [f"runs/{KEY}/curve.jsonl is left out in parts: 2 unreadable rows"]


# Predictions


def test_predictions_round_trip_and_missing_names(folder):
    folder.write_predictions(KEY, label=np.arange(3), logits=np.eye(3, dtype=np.float32))
    assert set(folder.read_predictions(KEY)) == {"label", "logits"}
    assert folder.read_predictions(KEY, ("label",))["label"].tolist() == [0, 1, 2]
    assert folder.read_predictions(KEY, ("label", "extra_scale")) == {}
    assert folder.read_predictions(OTHER) == {}


def test_predictions_never_run_code(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    path = folder.run_dir(KEY) / "predictions.npz"
    path.parent.mkdir()
    np.savez(path, label=np.array([Evil()], dtype=object))
    with pytest.raises(
        UserError, match=r"predictions\.npz can't be read \(ValueError\): delete it"
    ):
        folder.read_predictions(KEY)
    assert not (tmp_path / "owned").exists()


def test_damaged_predictions_are_named(folder):
    folder.write_predictions(KEY, label=np.arange(100))
    path = folder.run_dir(KEY) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="can't be read"):
        folder.read_predictions(KEY)


# Reading everything


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no valid JSON"),
        ('{"key": "0123', "no valid JSON"),
        ("[]", "no JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"n": ' + "9" * 10_000 + "}", "no valid JSON"),
        (json.dumps({"key": OTHER, "status": "done"}), f"its key is '{OTHER}'"),
        (json.dumps({"key": "../../x", "status": "done"}), r"its key is '\.\./\.\./x'"),
        (json.dumps({"key": KEY}), "status 'None' is none of ours"),
        (json.dumps({"key": KEY, "status": "<b>done</b>"}), "is none of ours"),
        (json.dumps({"key": KEY, "status": ["done"]}), "is none of ours"),
        (json.dumps({"key": KEY, "status": "done", "role": {}}), "role '{}' is none of ours"),
    ],
)
def test_a_bad_record_is_named_and_the_rest_read(folder, text, reason):
    import re

    folder.write_record(OTHER, record(key=OTHER))
    path = put(folder, KEY, text)
    study = folder.load()
    assert list(study.records) == [OTHER]
    assert len(study.warnings) == 1
    assert re.search(reason, study.warnings[0])
    assert path.read_text() == text


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "record.json").write_text(json.dumps(record()))
    (folder.path / "runs" / KEY).symlink_to(outside)
    folder.run_dir(OTHER).mkdir()
    os.mkfifo(folder.run_dir(OTHER) / "record.json")
    (folder.path / "runs" / "..notes").mkdir()
    (folder.path / "runs" / "notes").mkdir()
    study = folder.load()
    assert not study.records
    assert len([w for w in study.warnings if "leads out of its folder" in w]) == 2
    assert len([w for w in study.warnings if "'notes' is no run" in w]) == 1


def test_a_huge_file_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 1000)
    folder.write_record(KEY, record(error="x" * 2000))
    assert "bytes are too many" in folder.load().warnings[0]


def test_wrong_types_read_as_missing_and_text_is_kept_short(folder):
    wrong = {
        "metrics": {"test_accuracy": "0.9", "val_accuracy": float("inf"), "train_accuracy": True},
        "measures": {"macs": {"value": "many"}, "params": {"value": 12, "unit": "parameters"}},
        "axes": {"kernel_size": [3], "series": "s" * 10_000},
        "seed": "zero",
        "curve": 3,
        "layers": [1, {"layer": "a"}],
        "error": "a\nb" * 3,
        "versions": [],
        "config": {"recipe": {"optimizer": {"learning_rate": 0.1}}},
        "epochs_done": 1e400,
    }
    folder.write_record(KEY, record(**wrong))
    read = folder.load().records[KEY]
    assert dict.fromkeys(read.metrics) == read.metrics
    assert read.measures == {"macs": None, "params": 12}
    assert read.axes["kernel_size"] == "[3]"
    assert len(read.axes["series"]) == 200
    assert (read.seed, read.epochs_done, read.versions) == (0, 0, {})
    assert read.layers == ({"layer": "a"},)
    assert read.error == "a ba ba b"
    assert read.learning_rate == 0.1


FIELDS = [*record(), "axes", "measures", "layers", "config", "hardware", "seed", "error", "data"]


@given(data=st.dictionaries(st.sampled_from(FIELDS), json_data))
def test_any_json_reads_or_is_named(tmp_path_factory, data):
    folder = Folder(tmp_path_factory.mktemp("any"))
    folder.create(HEAD)
    put(folder, KEY, json.dumps({**record(), **data}))
    study = folder.load()
    assert len(study.records) + len(study.warnings) == 1


@pytest.mark.parametrize("plan", [None, {}, {"points": [3]}, {"points": [{"runs": 1}]}])
def test_a_bad_plan_is_named(folder, plan):
    good = {"points": [{"net": "a", "runs": [KEY], "axes": {"kernel_size": 3}}]}
    folder.write_study({**folder.read_study(), "plans": [good, plan]})
    study = folder.load()
    assert study.plan.points[0].runs == (KEY,)
    assert "plan 2 is left out" in study.warnings[0]


def test_the_latest_plan_is_the_plan(folder):
    folder.add_plan({"points": [], "command": "first"})
    folder.add_plan({
        "command": "second", "quick": True,
        "points": [{
            "net": "vgg4", "axes": {"kernel_size": 3}, "runs": [KEY, KEY], "tune": [OTHER],
            "learning_rate": None, "notes": ["at the edge"], "seeds": 5,
            "failed_match": "no width gives equal MACs",
        }],
    })  # fmt: skip
    plan = folder.load().plan
    assert (plan.command, plan.quick) == ("second", True)
    (point,) = plan.points
    assert (point.runs, point.tune, point.seeds) == ((KEY,), (OTHER,), 5)
    assert point.failed_match == "no width gives equal MACs"
