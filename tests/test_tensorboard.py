"""TensorBoard's event files: the format by hand, what stands in them, and that they only grow."""

import errno
import shutil
import struct

import pytest

from cnnjax import report
from cnnjax.errors import UserError
from cnnjax.report import events, tensorboard
from cnnjax.study import files, locks
from cnnjax.study.records import Record
from cnnjax.study.results import Folder
from tests.synthetic_results import write

EVIL = "</script>../../\x00\n\ud800 ×" + "x" * 300


def fields(data):
    """(number, value) of a message in protocol buffers' wire format: numbers, or bytes."""
    found, at = [], 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(data):
        key = varint()
        kind = key & 7
        size = varint() if kind in (0, 2) else {1: 8, 5: 4}[kind]
        if kind == 0:
            found.append((key >> 3, size))
            continue
        part = data[at : at + size]
        at += size
        number = {1: "<d", 5: "<f"}.get(kind)
        found.append((key >> 3, struct.unpack(number, part)[0] if number else part))
    assert at == len(data)
    return found


def unframed(data):
    """The records of an event file, each checked against its CRCs."""

    def unmasked(raw):
        rotated = (struct.unpack("<I", raw)[0] - 0xA282EAD8) & 0xFFFFFFFF
        return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF

    found = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert unmasked(data[8:12]) == events.crc32c(data[:8])
        found.append(data[12 : 12 + length])
        assert unmasked(data[12 + length : 16 + length]) == events.crc32c(found[-1])
        data = data[16 + length :]
    return found


def scalars(data):
    """[(step, {tag: value})] of a file's events that hold scalars."""
    found = []
    for event in map(dict, map(fields, unframed(data))):
        values = [dict(fields(v)) for _, v in fields(event.get(5, b""))]
        if told := {v[1].decode(): v[2] for v in values if 2 in v}:
            found.append((event[2], told))
    return found


def places(folder):
    """Each run's folder of events by its key."""
    found = (folder.path / "tensorboard").iterdir()
    return {p.name.rpartition(" ")[2]: p for p in found if not p.name.startswith(".")}


def only(place):
    (path,) = place.iterdir()
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("made") / "filter_size", "filter_size", seeds=2)
    report.write(folder.path)
    return folder


@pytest.fixture
def study(made, tmp_path):
    return Folder(shutil.copytree(made.path, tmp_path / "filter_size"))


def a_run(study):
    key = study.read_study()["plans"][0]["points"][2]["runs"][1]
    return key, study.read_record(key), study.read_curve(key)


def renew(study):
    tensorboard.write(study.load())


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_the_crc_is_castagnolis(data, crc):
    assert events.crc32c(data) == crc


def test_a_file_by_hand():
    event = dict(fields(*unframed(events.version(2.5))))
    assert event == {1: 2.5, 3: b"brain.Event:2"}
    (data,) = unframed(events.scalars(1.0, 300, {"loss/train": 0.5, "×": -1.0}))
    event = dict(fields(data))
    assert (event[1], event[2]) == (1.0, 300)
    values = [dict(fields(v)) for _, v in fields(event[5])]
    assert values == [{1: b"loss/train", 2: 0.5}, {1: "×".encode(), 2: -1.0}]
    (data,) = unframed(events.start(3.0, {"axis": "wide", "seed": 1, "on": True}))
    (value,) = fields(dict(fields(data))[5])
    value = dict(fields(value[1]))
    assert value[1] == b"_hparams_/session_start_info"
    plugin = dict(fields(dict(fields(value[9]))[1]))
    assert plugin[1] == b"hparams"
    session = fields(dict(fields(plugin[2]))[3])
    entries = [dict(fields(v)) for n, v in session if n == 1]
    told = {e[1]: fields(e[2])[0] for e in entries}
    assert told == {b"axis": (3, b"wide"), b"seed": (2, 1.0), b"on": (4, 1)}
    assert dict(session)[5] == 3.0


def test_every_run_has_its_curve_costs_and_outcome(made):
    found = places(made)
    assert set(found) == {p.name for p in (made.path / "runs").iterdir()}
    key, record, curve = a_run(made)
    assert found[key].name == f"fixed width 5×5, seed 1 {key}"
    told = scalars(only(found[key]).read_bytes())
    assert [step for step, _ in told] == [*range(1, 13), 12]
    for (_, values), row in zip(told, curve, strict=False):
        assert values["accuracy/validation"] == pytest.approx(row["val_accuracy"])
        assert values["loss/train"] == pytest.approx(row["train_loss"])
        assert values["learning_rate"] == pytest.approx(row["learning_rate"])
    end = told[-1][1]
    assert end["final/test_accuracy"] == pytest.approx(record["metrics"]["test_accuracy"])
    assert end["cost/macs"] == 7.8e6 and end["cost/receptive_field"] > 0


def test_what_did_not_change_is_not_read_again(study, monkeypatch):
    key, record, _ = a_run(study)
    read = []
    original = Folder.read_record
    loaded = study.load()
    monkeypatch.setattr(Folder, "read_record", lambda f, k: read.append(k) or original(f, k))
    tensorboard.write(loaded)
    assert read == []
    study.write_record(key, record)
    read.clear()
    tensorboard.write(loaded)
    assert read == [key]


def test_a_file_grows_with_its_run(study):
    key, record, curve = a_run(study)
    running = record | {"status": "running", "metrics": {}, "started": "2026-11-22T18:01:00+00:00"}
    study.write_record(key, running)
    study.truncate_curve(key, 3)
    renew(study)
    path = only(places(study)[key])  # The file of the attempt before is gone.
    assert path.name == "events.out.tfevents.1795370460.cnnjax"
    before, same = path.read_bytes(), path.stat().st_ino
    assert [step for step, _ in scalars(before)] == [1, 2, 3]
    for row in curve[3:]:
        study.append_curve(key, row)
    study.write_record(key, running | {"status": "failed", "error": "x", "finished": None})
    renew(study)
    assert path.read_bytes().startswith(before) and path.stat().st_ino == same
    assert len(scalars(path.read_bytes())) == 13
    study.truncate_curve(key, 2)  # It goes on from a checkpoint, in the same second.
    study.write_record(key, running)
    renew(study)
    assert [step for step, _ in scalars(only(places(study)[key]).read_bytes())] == [1, 2]


def test_a_run_is_followed_epoch_by_epoch_and_nothing_else_is_read(study, monkeypatch):
    key, record, curve = a_run(study)
    study.write_record(key, record | {"status": "running", "metrics": {}})
    read = []
    own = Folder.read_record
    monkeypatch.setattr(Folder, "read_record", lambda self, k: read.append(k) or own(self, k))
    for epochs in (1, 2, 5):
        study.truncate_curve(key, 0)
        for row in curve[:epochs]:
            study.append_curve(key, row)
        tensorboard.follow(study.path, key)
        found = scalars(only(places(study)[key]).read_bytes())
        assert [step for step, _ in found] == list(range(1, epochs + 1))
    assert set(read) == {key}


def test_a_half_written_file_is_completed(study):
    key, *_ = a_run(study)
    path = only(places(study)[key])
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    renew(study)
    assert path.read_bytes() == whole


def test_a_run_under_another_name_moves(study):
    key, record, _ = a_run(study)
    study.write_record(key, record | {"axes": {"series": "a/../b", "kernel_size": ".."}})
    renew(study)
    assert places(study)[key].name == f"a_.._b .., seed 1 {key}"


def test_hostile_text_stays_a_name(study):
    key, record, _ = a_run(study)
    study.write_record(key, record | {"axes": {EVIL: EVIL, "series": EVIL, "kernel_size": EVIL}})
    path = study.path / "runs" / key / "curve.jsonl"
    with path.open("a") as file:
        file.write('{"epoch": 99, "\\ud800<b>": 1, "val_loss": 1e29, "seconds": -5}\n')
        file.write('{"epoch": -1, "val_loss": 1}\n{"epoch": 1e3, "x": 1}\n')
        file.write(f'{{"epoch": {10**29}}}\n')
    renew(study)
    (place,) = [p for k, p in places(study).items() if k == key]
    assert place.parent == study.path / "tensorboard" and "/" not in place.name
    told = dict(scalars(only(place).read_bytes()))
    assert told[99] == {"?<b>": 1.0, "loss/validation": pytest.approx(1e29)}


def test_what_cannot_be_told_is_left_out():
    record = Record("0" * 16, "done", started="when?", finished="10000-99", epochs_done=-(10**30))
    found = unframed(tensorboard.content(record, []))
    assert dict(fields(found[0]))[1] == 0.0 and len(found) == 4


def test_a_measurement_has_what_it_measured():
    record = Record("0" * 16, "done", role="probe", measured=("latency",),
                    measures={"latency": 0.25, "macs": 8.0})  # fmt: skip
    ((_, told),) = scalars(tensorboard.content(record, []))
    assert told == {"measured/latency": 0.25, "cost/macs": 8.0}


def test_nothing_is_written_where_a_link_leads(study, tmp_path):
    shutil.rmtree(study.path / "tensorboard")
    (tmp_path / "away").mkdir()
    (study.path / "tensorboard").symlink_to(tmp_path / "away")
    report.write(study.path)
    assert not list((tmp_path / "away").iterdir())


def test_of_two_launches_one_writes(study):
    key, record, _ = a_run(study)
    before = only(places(study)[key]).stat().st_mtime_ns
    study.write_record(key, record)
    with locks.attempt(study.path / "tensorboard" / ".lock") as mine:
        assert mine
        renew(study)
        assert only(places(study)[key]).stat().st_mtime_ns == before
    renew(study)
    assert only(places(study)[key]).stat().st_mtime_ns != before


def test_a_disk_that_refuses_is_told(study):
    shutil.rmtree(study.path / "tensorboard")
    (study.path / "tensorboard").write_text("no folder")
    with pytest.raises(UserError, match="can't write .*/tensorboard .File exists"):
        renew(study)


def test_a_full_disk_is_told(study, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    key, record, _ = a_run(study)
    study.write_record(key, record | {"started": None})
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(files.Refused, match="the disk is full"):
        renew(study)


def test_tensorboard_reads_it(made):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    key, record, _ = a_run(made)
    read = EventAccumulator(str(places(made)[key]))
    read.Reload()
    assert len(read.Scalars("accuracy/validation")) == 12
    (end,) = read.Scalars("final/test_accuracy")
    assert end.value == pytest.approx(record["metrics"]["test_accuracy"])
    told = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(found.plugin_data.content)
        for tag, found in read.summary_metadata.items()
        if found.plugin_data.plugin_name == "hparams"
    }
    hparams = told["_hparams_/session_start_info"].session_start_info.hparams
    assert hparams["series"].string_value == "fixed width"
    assert (hparams["kernel_size"].number_value, hparams["seed"].number_value) == (5, 1)
    assert told["_hparams_/session_end_info"].session_end_info.status == events.SUCCESS
