"""Cache files are whole or made anew."""

import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.data import cache
from cnnjax.data.source import Info, Raw, Split
from cnnjax.errors import UserError


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNJAX_CACHE", str(tmp_path / "cache"))


def raw(level=3, val=True):
    def split(n):
        images = np.full((n, 2, 3, 1), level, np.uint8)
        return Split(images, np.arange(n, dtype=np.int32), {"scale": np.arange(n) / 2})

    info = Info("tiny", (2, 3, 1), ("a", "b"), False, "here", ("a note",))
    return Raw(info, split(4), split(2) if val else None, split(3))


def same(a, b):
    def equal(s, t):
        facts = all((s.extra[k] == t.extra[k]).all() for k in s.extra | t.extra)
        return facts and (s.images == t.images).all() and (s.labels == t.labels).all()

    pairs = [(getattr(a, name), getattr(b, name)) for name in ("train", "val", "test")]
    return a.info == b.info and all(s is t if s is None else equal(s, t) for s, t in pairs)


def fail():
    raise AssertionError("made though it was there")


@pytest.mark.parametrize("val", [True, False])
def test_what_is_remembered_is_what_was_made(val):
    assert same(cache.remembered("x", lambda: raw(val=val)), raw(val=val))
    assert same(cache.remembered("x", fail), raw(val=val))


def test_another_stamp_is_another_thing():
    cache.remembered("x", raw)
    assert same(cache.remembered("y", lambda: raw(level=9)), raw(level=9))


@settings(deadline=None, max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_file_is_never_believed(where, bit):
    cache.remembered("x", raw)
    path = cache.folder() / "x.npz"
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(bytes(data))
    # A flip in what zip keeps beside the data (a date, say) harms nothing and may go unseen.
    assert same(cache.remembered("x", raw), raw())
    path.unlink()


@settings(deadline=None, max_examples=20)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_made_anew(share):
    cache.remembered("x", raw)
    path = cache.folder() / "x.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert same(cache.remembered("x", lambda: raw(level=8)), raw(level=8))
    assert same(cache.remembered("x", fail), raw(level=8))
    path.unlink()


def test_an_npz_of_something_else_is_made_anew():
    np.savez(cache.folder() / "x.npz", a=np.zeros(3))
    assert same(cache.remembered("x", raw), raw())


def test_an_interrupted_write_leaves_the_old_file(monkeypatch):
    cache.remembered("x", raw)

    def interrupted(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.write_arrays(cache.folder() / "x.npz", {})
    assert [f.name for f in cache.folder().iterdir()] == ["x.npz"]
    assert same(cache.remembered("x", fail), raw())


def test_several_writers_leave_one_whole_file():
    threads = [threading.Thread(target=cache.remembered, args=("x", raw)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f.name for f in cache.folder().iterdir()] == ["x.npz"]
    assert same(cache.remembered("x", fail), raw())


def test_of_two_folders_for_one_place_the_first_stays():
    path = cache.folder() / "prepared"
    with cache.whole_folder(path) as slow:
        with cache.whole_folder(path) as fast:
            (fast / "file").write_text("first")
        (slow / "file").write_text("second")
    assert (path / "file").read_text() == "first"
    assert [f.name for f in cache.folder().iterdir()] == ["prepared"]


def test_a_folder_that_was_not_finished_is_not_there():
    path = cache.folder() / "prepared"

    def interrupted():
        with cache.whole_folder(path) as part:
            (part / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(cache.folder().iterdir()) == []


def test_what_killed_processes_left_is_swept_after_a_day():
    folder = cache.folder()
    for name, age in (("old", 2), ("new", 0)):
        part = folder / f".{name}.npz-1.part"
        part.write_text("half")
        os.utime(part, (time.time() - age * 86400,) * 2)
    (folder / ".old-2.part").mkdir()
    os.utime(folder / ".old-2.part", (0, 0))
    cache.remembered("x", raw)
    assert {f.name for f in folder.iterdir()} == {"x.npz", ".new.npz-1.part"}


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNNJAX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"can't write the cache .*: set CNNJAX_CACHE elsewhere"):
        cache.remembered("x", raw)


def test_a_full_disk_is_an_error_that_names_the_variable(monkeypatch):
    def full(file, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UserError, match=r"No space left on device\): set CNNJAX_CACHE elsewhere"):
        cache.remembered("x", raw)
    assert list(cache.folder().iterdir()) == []


def test_the_cache_is_under_home_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("CNNJAX_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "cnnjax"
