"""Weights by their name on the hub, out of a small cache in the hub's own layout; no network."""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnjax.errors import UserError
from cnnjax.transfer.read import digest, read
from tests import weight_files as files

hub = pytest.importorskip("huggingface_hub", reason="install the extra `transfer`")
constants = pytest.importorskip("huggingface_hub.constants")
errors = pytest.importorskip("huggingface_hub.errors")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHT = np.arange(4, dtype=np.float32)
FILES_INDEX = "model.safetensors.index.json"
CONFIG = {"architecture": "tiny", "pretrained_cfg": {"input_size": [3, 32, 32]}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and the network off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def online(monkeypatch):
    """A hub that holds `listed` and notes what is downloaded, or raises `error`."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked = []

    def pretend(cache, listed=(), error=None):
        def list_repo_files(self, name, *, revision=None):
            if error:
                raise error
            return list(listed)

        def download(name, file, *, revision=None, cache_dir=None):
            asked.append((name, file, revision))
            data = json.dumps(CONFIG).encode() if file == "config.json" else weights(cache)
            return str(place(Path(cache_dir), file, data, name=name, ref=revision or "main"))

        monkeypatch.setattr(hub.HfApi, "list_repo_files", list_repo_files)
        monkeypatch.setattr(hub, "hf_hub_download", download)
        return asked

    return pretend


def weights(cache, value=WEIGHT):
    cache.parent.mkdir(parents=True, exist_ok=True)
    return files.write_pth(cache.parent / "w", {"w": files.tensor(value)}).read_bytes()


def place(cache, file, data, name="owner/name", ref="main", commit=COMMIT):
    """As the hub keeps it: the content as a blob, a link to it in the commit's folder."""
    root = cache / f"models--{name.replace('/', '--')}"
    blob = root / "blobs" / hashlib.sha256(data).hexdigest()
    link = root / "snapshots" / commit / file
    for folder in (blob.parent, link.parent, (root / "refs" / ref).parent):
        folder.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (root / "refs" / ref).write_text(commit)
    return link


def refused(name, *words):
    with pytest.raises(UserError) as caught:
        read(name)
    assert str(caught.value).isprintable()
    for word in words:
        assert word in str(caught.value)


def test_what_is_in_the_cache_needs_no_network(cache):
    link = place(cache, "pytorch_model.bin", weights(cache))
    place(cache, "config.json", json.dumps(CONFIG).encode())
    # The library finds it too.
    assert hub.try_to_load_from_cache("owner/name", link.name, cache_dir=cache) == str(link)
    found = read("hf:owner/name")
    assert found.tensors["w"].tolist() == [0, 1, 2, 3]
    assert (found.framework, found.where) == ("torch", "hf:owner/name")
    assert found.about == {"config": CONFIG}
    assert digest("hf:owner/name") == digest(cache.parent / "w")


def test_the_safest_file_is_read(cache):
    pytest.importorskip("safetensors", reason="install the extra `transfer`")
    place(cache, "pytorch_model.bin", weights(cache))
    path = files.write_safetensors(cache.parent / "s", {"s": ("F32", WEIGHT)})
    place(cache, "model.safetensors", path.read_bytes())
    assert list(read("hf:owner/name").tensors) == ["s"]


def shard_cache(cache, leave=()):
    """A repository in two files, without those that are to be left out."""
    pytest.importorskip("safetensors", reason="install the extra `transfer`")
    made = {"m-1.safetensors": {"a": ("F32", WEIGHT)}, "m-2.safetensors": {"b": ("F32", WEIGHT)}}
    folder = files.write_sharded(cache.parent / "sharded", made)
    data = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for file in data.keys() - set(leave):
        place(cache, file, data[file])
    return data


def test_weights_in_several_files(cache):
    shard_cache(cache)
    found = read("hf:owner/name")
    assert (sorted(found.tensors), found.where) == (["a", "b"], "hf:owner/name")
    assert digest("hf:owner/name") == digest(cache.parent / "sharded")
    snapshot = cache / "models--owner--name" / "snapshots" / COMMIT
    assert sorted(read(snapshot).tensors) == ["a", "b"]  # By its path.


def test_a_shard_does_not_lead_out_of_the_cache(cache):
    shard_cache(cache)
    link = cache / "models--owner--name" / "snapshots" / COMMIT / "m-2.safetensors"
    link.unlink()
    link.symlink_to(cache.parent / "sharded" / "m-2.safetensors")
    refused("hf:owner/name", "leads out of the cache", "remove that link")


def test_a_part_of_several_files_is_not_in_the_cache(cache):
    shard_cache(cache, leave=["m-2.safetensors"])
    refused("hf:owner/name", "not in the cache", "HF_HUB_OFFLINE is set")


def test_several_files_are_downloaded_once_and_a_part_goes_on(cache, online, monkeypatch):
    data = shard_cache(cache, leave=["m-2.safetensors", "m-1.safetensors", FILES_INDEX])
    asked = online(cache, [*data, "pytorch_model.bin", "config.json"])

    def download(name, file, *, revision=None, cache_dir=None):
        asked.append(file)
        return str(place(Path(cache_dir), file, data.get(file, b"{}")))

    monkeypatch.setattr(hub, "hf_hub_download", download)
    for _ in range(2):
        assert sorted(read("hf:owner/name").tensors) == ["a", "b"]
    assert asked == [FILES_INDEX, "config.json", "m-1.safetensors", "m-2.safetensors"]
    link = cache / "models--owner--name" / "snapshots" / COMMIT / "m-2.safetensors"
    link.unlink()
    assert sorted(read("hf:owner/name").tensors) == ["a", "b"]
    assert "m-2.safetensors" in asked[4:]


def test_a_repository_that_lacks_a_shard(cache, online, monkeypatch):
    data = shard_cache(cache, leave=["m-2.safetensors", "m-1.safetensors", FILES_INDEX])
    online(cache, [FILES_INDEX, "m-1.safetensors"])
    monkeypatch.setattr(
        hub, "hf_hub_download",
        lambda name, file, *, revision=None, cache_dir=None: str(place(cache, file, data[file])),
    )  # fmt: skip
    refused("hf:owner/name", f"hf:owner/name lacks m-2.safetensors, which its {FILES_INDEX} names")


@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_keras_weights(cache, ending):
    pytest.importorskip("h5py", reason="install the extra `transfer`")
    path = files.write_keras(cache.parent / "k", {"a": [WEIGHT]})
    data = path.read_bytes()
    if ending == "keras":
        data = files.write_zip(cache.parent / "z", files.keras_entries(data)).read_bytes()
    place(cache, f"net.{ending}", data)
    assert read("hf:owner/name").framework == "keras"


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/3", COMMIT])
def test_a_revision(cache, revision):
    place(cache, "pytorch_model.bin", weights(cache), commit="f" * 40)
    refused(f"hf:owner/name@{revision}", "is not in the cache")
    place(cache, "pytorch_model.bin", weights(cache, WEIGHT[:1]), ref=revision)
    assert read(f"hf:owner/name@{revision}").tensors["w"].shape == (1,)


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:name",
        "hf:../name",
        "hf:owner/..",
        "hf:owner/../../etc",
        "hf:owner//name",
        "hf:/etc/passwd",
        "hf:owner/name@../../x",
        "hf:owner/name@/etc",
        "hf:owner/name@a/../b",
        "hf:owner/name@",
        "hf:owner\\name/x",
        "hf:owner/name\n",
        "hf:owner/na--me",
        "hf:.owner/name",
        "hf:owner/näme",
        "hf:owner/name/file.bin",
        "hf:" + "a" * 97 + "/b",
    ],
)
def test_a_name_of_another_form_is_refused(name):
    refused(name, "is no name on the hub: write hf:owner/name or hf:owner/name@revision")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "config.json"])
def test_a_link_out_of_the_cache_is_refused(cache, file):
    if file == "config.json":
        place(cache, "pytorch_model.bin", weights(cache))
    secret = cache.parent / "secret"
    secret.write_bytes(weights(cache))
    link = place(cache, file, b"{}")
    link.unlink()
    link.symlink_to(secret)
    refused("hf:owner/name", "leads out of the cache", str(secret), "remove that link")


def test_a_poisoned_reference_is_not_followed(cache):
    place(cache, "pytorch_model.bin", weights(cache))
    (cache.parent / "out").mkdir()
    (cache.parent / "out" / "pytorch_model.bin").write_bytes(weights(cache))
    ref = cache / "models--owner--name" / "refs" / "main"
    for wrong in ("../../../out", str(cache.parent / "out"), "", "\xff"):
        ref.write_text(wrong)
        refused("hf:owner/name", "is not in the cache")


def test_a_broken_cache_says_what_to_remove(cache):
    place(cache, "pytorch_model.bin", b"").resolve().unlink()
    refused("hf:owner/name", "is broken in the cache", "remove its folder")


@pytest.mark.parametrize("text", [b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (2 << 20)])
def test_a_broken_config(cache, text):
    place(cache, "pytorch_model.bin", weights(cache))
    place(cache, "config.json", text)
    refused("hf:owner/name", "config.json of hf:owner/name is no JSON object: remove")


def test_offline_and_not_in_the_cache(cache):
    refused("hf:owner/name", f"not in the cache {cache}", "HF_HUB_OFFLINE is set", "give a path")
    place(cache, "config.json", b"{}")
    refused("hf:owner/name", "not in the cache")


def test_what_is_missing_is_downloaded_once(cache, online):
    listed = ["README.md", "config.json", "pytorch_model.bin", "sub/model.safetensors"]
    asked = online(cache, listed)
    for _ in range(2):
        found = read("hf:owner/name@v1")
        assert (list(found.tensors), found.about["config"]) == (["w"], CONFIG)
    expected = [("owner/name", file, "v1") for file in ("pytorch_model.bin", "config.json")]
    assert asked == expected


def test_a_repository_without_weights(cache, online):
    online(cache, ["README.md", "sub/model.safetensors", "sub/x.weights.h5", "flax_model.msgpack"])
    refused("hf:owner/name", "has no weights that can be read: none of model.safetensors")


def http(kind):
    """An error of the library's, made without its response."""
    made = kind.__new__(kind)
    Exception.__init__(made, "a long\nstory")
    return made


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("RepositoryNotFoundError", "there is no hf:owner/name on the hub, or it is private"),
        ("RevisionNotFoundError", "hf:owner/name: the repository has no such revision"),
        ("GatedRepoError", "hf:owner/name asks for consent"),
        ("HfHubHTTPError", "can't download hf:owner/name ("),
    ],
)
def test_what_the_hub_refuses(cache, online, kind, words):
    online(cache, error=http(getattr(errors, kind)))
    refused("hf:owner/name", words)


def test_no_network(cache, online):
    online(cache, error=OSError("no route\nto host"))
    refused("hf:owner/name", "can't download hf:owner/name (no route to host): check the network")


def test_no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("hf:owner/name", "needs huggingface_hub: pip install 'cnnjax[transfer]'")
