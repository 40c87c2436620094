"""Weights out of files: what was written is read, and what is no weights is refused in one line."""

import hashlib
import importlib
import json
import pickle
import subprocess
import sys
import tracemalloc
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import nets, values
from cnnjax.errors import UserError
from cnnjax.train.initial import drawn
from cnnjax.train.model import Model, save_model
from cnnjax.transfer import h5file, shards
from cnnjax.transfer.read import digest, read
from tests import weight_files as files
from tests.weight_files import Call, Name, Tensor, tensor

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 3, 2, 2)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)
STATE = {"conv.weight": KERNEL, "conv.bias": BIAS, "bn.num_batches_tracked": np.array(7)}
WRITERS = {"zip": files.write_pth, "pickles": files.write_old_pth}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    return lambda x, **how: WRITERS[request.param](tmp_path / "x.pth", x, **how)


def saved(state=STATE):
    return {name: tensor(x) for name, x in state.items()}


def same(found, expected):
    assert list(found) == list(expected)
    for name, x in expected.items():
        assert found[name].dtype == x.dtype, name
        np.testing.assert_array_equal(found[name], x, strict=True)


def refused(path, *words):
    with pytest.raises(UserError) as caught:
        read(path)
    text = str(caught.value)
    assert text.isprintable(), text
    for word in words:
        assert word in text
    return text


# PyTorch's files.


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_state_dict_comes_by_its_names_in_its_order(write, order):
    found = read(path := write(saved(), order=order))
    same(found.tensors, STATE)
    assert (found.framework, found.where, dict(found.about)) == ("torch", str(path), {})
    assert all(x.flags.owndata and x.flags.writeable for x in found.tensors.values())


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("dtype", files.KINDS)
def test_every_type_of_number(write, dtype, order):
    x = (np.arange(6).reshape(2, 3) % 2).astype(dtype)
    same(read(write({"x": tensor(x)}, order=order)).tensors, {"x": x})


def test_bfloat16_comes_as_float32(write):
    bits = np.array([[0x3F80, 0xC000], [0x3DCC, 0x0000]], np.uint16)
    found = read(write({"x": tensor(bits, kind="BFloat16")})).tensors["x"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1, -2], [0.0996094, 0]], rtol=1e-6)


def test_a_tensor_is_a_window_on_its_storage(write):
    flat = np.arange(24, dtype=np.float32)
    windows = {
        "turned": Tensor(flat, (4, 6), (1, 4)),
        "rest": Tensor(flat, (2, 3), (3, 1), offset=18),
        "column": Tensor(flat, (4,), (6,), offset=2),
        "repeated": Tensor(flat, (2, 3), (0, 1)),
        "scalar": Tensor(flat, (), (), offset=5),
        "empty": Tensor(flat, (0, 3), (3, 1), offset=24),
    }
    rows = flat.reshape(4, 6)
    expected = {
        "turned": flat.reshape(6, 4).T,
        "rest": flat[18:].reshape(2, 3),
        "column": rows[:, 2],
        "repeated": np.stack([flat[:3]] * 2),
        "scalar": flat[5].reshape(()),
        "empty": np.empty((0, 3), np.float32),
    }
    same(read(write(windows)).tensors, expected)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((7,), (1,), 0),
        ((6,), (1,), 1),
        ((2, 3), (4, 1), 0),
        ((10**12,), (0,), 0),
        ((10**6, 10**6), (0, 0), 0),
        ((2**62, 4), (1, 1), 0),
        ((-1,), (1,), 0),
        ((3,), (-1,), 3),
        ((3,), (1,), -1),
        ((3,), (), 0),
        ((1.0,), (1,), 0),
        ((1,) * 65, (1,) * 65, 0),
        ("ab", "ab", 0),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(write, size, stride, offset):
    flat = np.zeros(6, np.float32)
    refused(write({"x": Tensor(flat, size, stride, offset)}), "damaged", "save it again")


def test_what_a_file_says_of_its_size_takes_no_memory(write, tmp_path):
    flat = np.zeros(6, np.float32)
    huge = {
        "storage": write({"x": Tensor(flat, (10**11,), (1,), count=10**11)}).read_bytes(),
        "text": b"\x80\x02\x8d" + (2**40).to_bytes(8, "little") + b"x.",
        "bytes": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",
        "frame": b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b"N.",
        "memo": b"\x80\x02Nr\xff\xff\xff\xff.",
        "long": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "text in text": b"\x80\x02" + b"](h\x00" + b"]q\x00(" * 1000 + b"e" * 1000 + b".",
    }
    for data in huge.values():
        (tmp_path / "huge.pth").write_bytes(data)
        tracemalloc.start()
        refused(tmp_path / "huge.pth", "damaged")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20


@pytest.mark.parametrize(
    ("wrapped", "path"),
    [
        (lambda s: {"state_dict": s, "epoch": 3}, "state_dict"),
        (lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": tensor(BIAS)}}}}, "model"),
        (lambda s: {"state_dict": {"x": tensor(BIAS)}, "state_dict_ema": s}, "state_dict_ema"),
        (lambda s: {"epoch": 1, "resnet": s, "optim": {"m": tensor(BIAS)}}, "resnet"),
        (lambda s: {"checkpoint": {"model": s}, "rate": 0.1}, "checkpoint/model"),
        (lambda s: {f"module._orig_mod.{k}": x for k, x in s.items()}, None),
        (
            lambda s: {
                "model_ema": {"n_averaged": tensor(np.array(3))}
                | {f"module.{k}": x for k, x in s.items()}
            },
            "model_ema",
        ),
        (lambda s: {"model": s, "rng_state": tensor(np.zeros(3, np.uint8))}, "model"),
        (
            lambda s: s | {"epoch": 3, "args": {"rate": 0.1, "names": ["a", None, True, (1, 2)]}},
            None,
        ),
    ],
)
def test_what_training_scripts_wrap_around_weights_is_taken_off(write, wrapped, path):
    found = read(write(wrapped(saved())))
    same(found.tensors, STATE)
    assert found.about.get("unwrapped") == path


def test_what_is_left_out_is_told(write):
    extra = {"epoch": 3, "args": {"rate": 0.1}, "best": Call("collections.Counter", ({"a": 1},))}
    assert read(write(saved() | extra)).about == {"dropped": ["epoch", "args", "best"]}


def test_several_state_dicts_are_for_the_user_to_choose_from(write):
    path = write({"generator": saved(), "critic": saved()})
    assert "generator, critic: save the one that is meant" in refused(path)


def test_an_ordered_dict_with_metadata_parameters_and_markers(write):
    rebuilt = Call("torch._utils._rebuild_parameter", (tensor(KERNEL), True, None))
    pair = Call(
        "torch._tensor._rebuild_from_type_v2",
        (Name("torch._utils._rebuild_parameter"), Name("torch.Tensor"), (tensor(BIAS), True), {}),
    )
    state = Call("collections.OrderedDict", ([["w", rebuilt], ["b", pair]],), {"_metadata": {}})
    extra = {
        "size": Call("torch.Size", ((1, 2),)),
        "device": Call("torch.device", ("cpu",)),
        "dtype": Name("torch.float32"),
        "set": Call("__builtin__.set", ([1, 2],)),
        "default": Call("collections.defaultdict", (Name("__builtin__.dict"),)),
    }
    same(read(write({"state_dict": state} | extra)).tensors, {"w": KERNEL, "b": BIAS})


def test_untyped_storages_have_their_type_from_the_tensor(write):
    flat = np.array([1, 2, 65535], np.uint16).view(np.uint8)
    key = ("storage", Name("torch.storage.UntypedStorage"), "0", "cpu", 6)
    hooks = Call("collections.OrderedDict", ())
    x = Call(
        "torch._utils._rebuild_tensor_v3",
        (files.Persistent(key), 1, (2,), (1,), False, hooks, Name("torch.uint16")),
    )
    found = read(write({"first": Tensor(flat, (6,), (1,)), "x": x})).tensors
    assert found["x"].tolist() == [2, 65535]


HOSTILE = {
    "os.system": Call("os.system", ("touch canary",)),
    "builtins.eval": Call("builtins.eval", ("1",)),
    "torch.nn.modules.conv.Conv2d": Call("torch.nn.modules.conv.Conv2d", ()),
    "argparse.Namespace": Call("argparse.Namespace", ()),
    "numpy.core.multiarray.scalar": Call("numpy.core.multiarray.scalar", (1,)),
    "torch.storage._load_from_bytes": Call("torch.storage._load_from_bytes", ("x",)),
    "canary_of_the_tests.run": Name("canary_of_the_tests.run"),
    "posix.system": b"\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R",  # STACK_GLOBAL.
    "os.popen": b"(X\x01\x00\x00\x00xios\npopen\n",  # INST.
    "a call of torch.FloatStorage": Call("torch.FloatStorage", (10**12,)),
}


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that tells when it is imported."""
    (tmp_path / "canary_of_the_tests.py").write_text(
        f"open({str(tmp_path / 'canary')!r}, 'w').close()\ndef run(*_):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["value", "wrapper", "state"])
def test_code_is_refused_by_its_name_and_not_run(write, canary, name, place):
    inside = {
        "value": {"x": tensor(BIAS), "y": HOSTILE[name]},
        "wrapper": {"state_dict": saved(), "args": [HOSTILE[name]]},
        "state": Call("collections.OrderedDict", (), {"_metadata": HOSTILE[name]}),
    }
    text = refused(write(inside[place]), f"asks for {name} when loaded", "holds code")
    assert "none of it was run" in text


def test_any_pickle_is_refused_as_any_other(tmp_path, canary):
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"x": np.zeros(3)}))
    refused(tmp_path / "x.pt", "asks for numpy", "holds code")
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"x": 1}))
    refused(tmp_path / "x.pt", "none of torch.save")
    (tmp_path / "x.pt").write_bytes(b"ccanary_of_the_tests\nrun\n(tR.")
    refused(tmp_path / "x.pt", "no known format")


def test_names_from_a_file_stay_on_one_line(write):
    refused(write({"x": b"\x8c\x03a\nb\x8c\x03c\rd\x93"}), "asks for a b.c d when loaded")
    refused(write({"x\n\x1b[2J": tensor(np.full(3, np.nan))}), "x  [2J holds a NaN")


@pytest.mark.parametrize("x", [{}, {"epoch": 3}, [1, 2], tensor(BIAS), 3, None, {1: tensor(BIAS)}])
def test_a_file_without_named_tensors(write, x):
    refused(write(x), "holds no tensors by name", "torch.save")


def test_a_dict_that_holds_itself_ends(write):
    refused(write(b"}q\x00X\x05\x00\x00\x00modelh\x00s"), "holds no tensors by name")
    loop = b"}q\x00X\x05\x00\x00\x00modelh\x00s"
    same(read(write({"outer": loop} | saved())).tensors, STATE)


def test_dicts_that_hold_each_other_a_million_times_end(write):
    wide = {f"{i}": b"h\x01" for i in range(1200)}
    refused(write([b"}q\x01", wide]), "holds no tensors by name")
    nested: dict = {"x": 1}
    for _ in range(3):
        nested = {f"{i}": nested for i in range(20)}
    same(read(write(nested | {"model": saved()})).tensors, STATE)


@pytest.mark.parametrize(
    "made",
    [
        lambda made: made | {"archive/data/0": made["archive/data/0"][:-1]},
        lambda made: {k: v for k, v in made.items() if k != "archive/data/0"},
        lambda made: {k: v for k, v in made.items() if k != "archive/data.pkl"},
        lambda made: made | {"other/data.pkl": made["archive/data.pkl"]},
        lambda made: made | {"archive/data.pkl": made["archive/data.pkl"][:-1]},
        lambda made: {},
    ],
)
def test_a_zip_that_lacks_something(tmp_path, made):
    path = files.write_zip(tmp_path / "x.pth", made(files.entries(saved())))
    refused(path, str(path), "again" if path.read_bytes()[:4] == b"PK\3\4" else "known")


def test_compressed_and_doubled_entries_are_refused(tmp_path):
    made = files.entries({"x": tensor(np.zeros(10**6, np.float32))})
    path = files.write_zip(tmp_path / "bomb.pth", made, zipfile.ZIP_DEFLATED)
    refused(path, "compressed")
    with pytest.warns(UserWarning, match="Duplicate"):
        path = files.write_zip(tmp_path / "twice.pth", [*made.items(), *made.items()])
    refused(path, "come twice")


def test_other_zips_are_told_apart(tmp_path):
    np.savez(tmp_path / "x.npz", x=BIAS)
    refused(tmp_path / "x.npz", "a zip without one data.pkl")


# Safetensors.


@pytest.fixture
def safetensors():
    pytest.importorskip("safetensors", reason="install the extra `transfer`")
    return importlib.import_module("safetensors.numpy")


def test_safetensors_as_the_library_writes_them(tmp_path, safetensors):
    safetensors.save_file(STATE, tmp_path / "x.bin", metadata={"format": "pt"})
    found = read(tmp_path / "x.bin")
    same(dict(sorted(found.tensors.items())), dict(sorted(STATE.items())))
    assert (found.framework, found.about) == ("torch", {"metadata": {"format": "pt"}})


def test_safetensors_of_types_that_numpy_lacks(tmp_path, safetensors):
    path = tmp_path / "x.safetensors"
    files.write_safetensors(path, {"x": ("BF16", np.array([0x3F80, 0xC000], np.uint16))})
    same(read(path).tensors, {"x": np.array([1, -2], np.float32)})
    files.write_safetensors(path, {"x": ("F8_E4M3", np.zeros(3, np.uint8))})
    refused(path, "x is stored as F8_E4M3", "save it as one of F64, F32")


def test_damaged_safetensors(tmp_path, safetensors):
    path = files.write_safetensors(tmp_path / "x", {"x": ("F32", BIAS)})
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:9], whole.replace(b"[4]", b"[5]"), whole + b"more"):
        path.write_bytes(data)
        refused(path, str(path), "damaged")
    files.write_safetensors(path, {})
    refused(path, "holds no tensors")


# Keras' files.


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="install the extra `transfer`")


def test_keras_3_in_natural_order_under_the_makers_names(tmp_path, h5py):
    layers = {
        f"made_{i}": [np.full((2, 2), i, np.float32), np.zeros(2, np.float16)] for i in range(12)
    }
    found = read(files.write_keras(tmp_path / "x.weights.h5", layers))
    places = ["layers/conv2d", *(f"layers/conv2d_{i}" for i in range(1, 12))]
    assert found.about["layers"] == dict(zip(places, layers, strict=True))
    assert [x[0, 0] for x in found.tensors.values() if x.ndim == 2] == list(range(12))
    assert list(found.tensors)[:3] == [
        f"layers/conv2d{x}" for x in ("/vars/0", "/vars/1", "_1/vars/0")
    ]
    assert (found.framework, found.about["in_order"]) == ("keras", False)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_keras_2_in_the_nets_order(tmp_path, h5py, whole, fixed):
    layers = {
        "z_conv": {"z_conv/kernel:0": KERNEL, "z_conv/bias:0": BIAS},
        "flatten": {},
        "a_norm/inner": {"a_norm/inner/gamma:0": BIAS},
        "model": {"conv/kernel": KERNEL},
    }
    found = read(files.write_old_keras(tmp_path / "x.h5", layers, whole, fixed))
    expected = {"z_conv/kernel": KERNEL, "z_conv/bias": BIAS, "a_norm/inner/gamma": BIAS}
    same(found.tensors, expected | {"model/conv/kernel": KERNEL})
    order = ["z_conv", "a_norm/inner", "model"]
    assert found.about == {"layers": dict(zip(order, order, strict=True)), "in_order": True}


def test_many_names_lie_in_numbered_attributes_and_deep_trees(tmp_path, h5py):
    names = [f"layer_{i}" for i in range(600)]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for i, part in enumerate(np.array_split(names, 3)):
            file.attrs[f"layer_names{i}"] = [str(name) for name in part]
        for i, name in enumerate(names):
            file.create_group(name).attrs["weight_names"] = [f"{name}/w"]
            file[name].create_dataset(f"{name}/w", data=np.full(2, i, ">f4"))
    found = read(tmp_path / "x.h5").tensors
    assert {name: x[0] for name, x in found.items()} == {f"{n}/w": i for i, n in enumerate(names)}
    assert found["layer_3/w"].dtype == np.float32


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_every_number_of_hdf5(tmp_path, h5py, libver):
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    arrays = {f"{o}{kind}": np.arange(4).astype(f"{o}{kind}") for o in "<>" for kind in kinds}
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        for i, array in enumerate(arrays.values()):
            file.create_group(f"{i}").create_dataset("0", data=array)
        file.create_group("scalar").create_dataset("0", data=np.float32(3))
    if libver == "latest":
        refused(tmp_path / "x.h5", "a dense group", "save_weights")
        with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
            file.attrs["name"] = "net"
            for i, array in enumerate(list(arrays.values())[:6]):
                file.create_dataset(f"{i}", data=array)
        arrays = dict(list(arrays.items())[:6])
    found = [x for x in read(tmp_path / "x.h5").tensors.values() if x.ndim]
    for x, array in zip(found, arrays.values(), strict=True):
        np.testing.assert_array_equal(x, array)
        assert x.dtype == array.dtype.newbyteorder("=")


def test_what_points_out_of_an_hdf5_file_is_refused(tmp_path, h5py):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 64)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = BIAS

    def external(file):
        file["x"] = h5py.ExternalLink(tmp_path / "other.h5", "x")

    def raw(file):
        file.create_dataset("x", (4,), "f4", external=[(str(secret), 0, 16)])

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (4,))
        file.create_virtual_dataset("x", layout)

    def soft(file):
        file["x"] = h5py.SoftLink("/x")

    for make in (external, raw, virtual, soft):
        for libver in ("earliest", "latest"):
            with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
                make(file)
            reasons = ("link to another place", "external data", "virtual", "in another way")
            assert any(reason in refused(tmp_path / "x.h5", "damaged") for reason in reasons)


def test_what_keras_does_not_write_is_refused_by_name(tmp_path, h5py):
    for name, how in {"chunks": {"chunks": (1,)}, "compressed": {"compression": "gzip"}}.items():
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=BIAS, **how)
        refused(tmp_path / "x.h5", name)
    for data in (["text"], np.zeros(2, [("a", "f4")])):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=data)
        refused(tmp_path / "x.h5", "a dataset of what is no number")


def test_hdf5_that_loops_or_repeats_itself_ends(tmp_path, h5py):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("a")["again"] = file["/"]
    refused(tmp_path / "x.h5", "groups without an end")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file
        for _ in range(30):  # 2³⁰ ways to the bottom.
            below = group.create_group("a")
            group["b"] = below
            group = below
    refused(tmp_path / "x.h5", "more than 200000 parts")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x0"] = np.zeros(10_000, np.float32)
        for i in range(1, 20):
            file[f"x{i}"] = file["x0"]
    refused(tmp_path / "x.h5", "many times its size")


def test_keras_files_that_lack_something(tmp_path, h5py):
    path = files.write_old_keras(tmp_path / "x.h5", {"a": {"a/kernel": BIAS}})
    with h5py.File(path, "a") as file:
        file.attrs["layer_names"] = ["a", "b"]
    refused(path, "b is missing", "download or save it again")
    with h5py.File(path, "w"):
        pass
    refused(path, "holds no tensors")


# Keras' archives.


@pytest.fixture
def archive(tmp_path):
    """Writes the entries of a `.keras`, `changed` as given, None for none."""
    pytest.importorskip("h5py", reason="install the extra `transfer`")
    h5 = files.write_keras(tmp_path / "h5", {"conv": [KERNEL, BIAS]}).read_bytes()

    def write(how=zipfile.ZIP_STORED, **changed):
        made = files.keras_entries(h5) | {k.replace("_", "."): v for k, v in changed.items()}
        made = {name: data for name, data in made.items() if data is not None}
        return files.write_zip(tmp_path / "x.keras", made, how)

    return write


def test_of_an_archive_of_keras_only_the_weights_are_read(archive, tmp_path, monkeypatch):
    path = archive(config_json=b"no JSON", metadata_json=b"\0" * 9)
    found, alone = read(path), read(tmp_path / "h5")
    same(found.tensors, alone.tensors)
    assert (found.framework, found.about) == (alone.framework, alone.about)
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    before = sorted(tmp_path.rglob("*"))
    made = {"../out": b"x", "/tmp/out": b"x", "model.weights.h5": (tmp_path / "h5").read_bytes()}
    same(read(files.write_zip(tmp_path / "x.keras", made)).tensors, alone.tensors)
    assert sorted(tmp_path.rglob("*")) == before  # Nothing is unpacked.


def test_a_broken_archive_of_keras_is_refused(archive, tmp_path):
    again = "x.keras is damaged or not Keras' ("
    refused(archive(model_weights_h5=None), again + "0 times model.weights.h5)")
    refused(archive(model_weights_h5=b""), "x.keras is damaged or not Keras'", "save it again")
    refused(archive(model_weights_h5=bytes(10**7), how=zipfile.ZIP_DEFLATED), again + "compressed")
    whole = archive().read_bytes()
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = [("model.weights.h5", b"a"), ("model.weights.h5", b"b")]
        refused(files.write_zip(tmp_path / "x.keras", twice), again + "2 times model.weights.h5)")
    path = tmp_path / "x.keras"
    for cut in (0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(len(whole) * cut)])
        refused(path, again)
    at = whole.index(h5file.SIGNATURE) + 100
    path.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    refused(path, again + "Bad CRC-32")
    directory = whole.rindex(b"PK\1\2")  # Of the last entry, the weights: a size beyond the file.
    larger = (10**9).to_bytes(4, "little") * 2
    path.write_bytes(whole[: directory + 20] + larger + whole[directory + 28 :])
    refused(path, again + "compressed, or larger than the file")


# Safetensors in several files.

SHARDS = {
    "model-00001-of-00002.safetensors": {"a.weight": ("F32", KERNEL), "a.bias": ("F32", BIAS)},
    "model-00002-of-00002.safetensors": {"b.bias": ("F32", BIAS + 1)},
}
ONE, TWO = SHARDS
INDEX = "model.safetensors.index.json"


def held(**changed):
    """The index's map, with `b.bias` elsewhere or a tensor added."""
    usual = {name: shard for shard, tensors in SHARDS.items() for name in tensors}
    return {"weight_map": usual | {k.replace("_", "."): v for k, v in changed.items()}}


@pytest.fixture
def sharded(tmp_path, safetensors):
    return lambda index=None, shards=SHARDS: files.write_sharded(tmp_path / "w", shards, index)


def test_several_files_are_read_as_one(sharded, tmp_path):
    folder = sharded()
    expected = {"a.bias": BIAS, "a.weight": KERNEL, "b.bias": BIAS + 1}
    for path in (folder, folder / INDEX):
        found = read(path)
        same(dict(sorted(found.tensors.items())), expected)
        assert (found.framework, found.where) == ("torch", str(path))
    of = digest(folder)
    assert of == digest(folder / INDEX) == digest(folder.rename(tmp_path / "moved"))
    files.write_safetensors(tmp_path / "moved" / TWO, {"b.bias": ("F32", BIAS)})
    assert digest(tmp_path / "moved") != of


@pytest.mark.parametrize(
    "name",
    ["../w.safetensors", "/etc/w.safetensors", "sub/w.safetensors", "..\\w.safetensors",
     "c:w.safetensors", ".safetensors", "w.bin", "", "a\n.safetensors", "a\0.safetensors", 3, None,
     ["w.safetensors"]],
)  # fmt: skip
def test_an_index_names_only_files_beside_it(sharded, tmp_path, name):
    files.write_safetensors(tmp_path / "w.safetensors", {"b.bias": ("F32", BIAS)})
    folder = sharded(held(b_bias=name))
    text = f"{folder / INDEX} is damaged or no index of safetensors ("
    refused(folder, text, "is no file of safetensors beside it")
    with pytest.raises(UserError, match="beside it"):
        digest(folder)


def test_links_do_not_lead_out_of_the_folder(sharded, tmp_path):
    folder = sharded()
    (folder / TWO).rename(tmp_path / "out.safetensors")
    (folder / TWO).symlink_to(tmp_path / "out.safetensors")
    refused(folder, f"{TWO} leads out of its folder to {tmp_path / 'out.safetensors'}: put the")
    with pytest.raises(UserError, match="leads out of its folder"):
        digest(folder)
    (folder / TWO).unlink()
    (folder / "inside").write_bytes((tmp_path / "out.safetensors").read_bytes())
    (folder / TWO).symlink_to(folder / "inside")
    assert len(read(folder).tensors) == 3


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("", "is damaged or no index of safetensors (Expecting value"),
        ("[]", "is damaged or no index of safetensors ("),
        ("{}", "is damaged or no index of safetensors ('weight_map')"),
        ('{"weight_map": []}', "no weight_map"),
        ('{"weight_map": {}}', "no weight_map"),
        ("[" * 100_000, "is damaged or no index of safetensors ("),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "'a' comes twice"),
        (held(c=TWO), f"c is not in {TWO}: download it again"),
        (held(b_bias="model-00003.safetensors"), "lacks model-00003.safetensors, which its index"),
        (
            {"weight_map": {"a.weight": ONE, "b.bias": TWO}},
            f"a.bias in {ONE} is not in the index",
        ),
    ],
)
def test_every_tensor_is_in_one_file_the_one_that_the_index_names(sharded, index, said):
    refused(sharded(index), INDEX if "lacks" not in said else "", said)


def test_a_tensor_in_two_files_is_refused(sharded):
    doubled = SHARDS | {TWO: SHARDS[TWO] | {"a.bias": ("F32", BIAS)}}
    refused(sharded(held(), doubled), f"a.bias is in two files, one of them {TWO}")


def test_a_damaged_file_of_several_is_named(sharded):
    folder = sharded()
    (folder / TWO).write_bytes(b"\xff" * 9)
    refused(folder, f"{TWO} is damaged or no safetensors")


def test_an_index_is_not_read_without_end(sharded, monkeypatch):
    folder = sharded()
    monkeypatch.setattr(shards, "_SIZE", 100)
    refused(folder, "more than 100 bytes")


# The project's own.


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "model"
    return folder, files.write_own(folder)


def test_a_folder_of_the_projects_own(own):
    folder, model = own
    found = read(folder)
    assert found.framework == "cnnjax"
    assert {name.split("/")[0] for name in found.tensors} == {"params", "batch_stats"}
    expected = model.variables["params"]["head"]["logits"]["kernel"]
    np.testing.assert_array_equal(found.tensors["params/head/logits/kernel"], expected)
    assert values.from_json(found.about["net"]) == model.net
    told = {k: found.about[k] for k in ("image_shape", "mean", "std", "class_names", "dtype")}
    assert told == {
        "image_shape": [8, 8, 1],
        "mean": [0.5],
        "std": [0.25],
        "class_names": ["a", "b", "c"],
        "dtype": "float32",
    }


def test_a_damaged_folder(own, tmp_path):
    text = (own[0] / "model.json").read_text()
    for wrong in ("[]", "{}", "", text.replace('"format": 1', '"format": 2'), text[:-2]):
        (tmp_path / "model.json").write_text(wrong)
        refused(tmp_path, str(tmp_path))
    (tmp_path / "model.json").write_text(text)
    refused(tmp_path, "weights", "missing or damaged")


def test_a_folder_imports_nothing(own, tmp_path, canary):
    text = (own[0] / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"Plain"', '"canary_of_the_tests:Plain"'))
    refused(tmp_path, "module 'canary_of_the_tests': import it first, if you trust it")


def test_a_saved_net_is_read_where_nothing_has_built_one(tmp_path):
    """In a process of its own: the types of the zoo's blocks are known all the same."""
    net = nets.get("mobilenet_v2", 3, (32, 32, 3), width=0.1, depth=1)
    variables = drawn(lambda key: net.init(key, jnp.zeros((1, 32, 32, 3))))(jax.random.key(0))
    save_model(
        tmp_path, Model(net, dict(variables), (32, 32, 3), (0.5,) * 3, (1.0,) * 3, tuple("abc"))
    )
    code = f"import cnnjax; print(cnnjax.load({str(tmp_path)!r}).net.stages[0].block.features)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [str(net.stages[0].block.features)], done.stderr


def test_a_folder_with_a_net_of_another_version(own, tmp_path):
    text = (own[0] / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"Plain"', '"Plane"'))
    refused(tmp_path, f"{tmp_path / 'model.json'}: unknown type 'Plane': did you mean 'Plain'?")


# Any of them.


@pytest.mark.parametrize("x", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_tensor_that_is_not_finite_is_named(write, dtype, x):
    spoiled = np.array([1, x, 2], dtype)
    what = "a NaN" if np.isnan(x) else "an infinity"
    refused(write(saved() | {"bn.running_var": tensor(spoiled)}), f"bn.running_var holds {what}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty: download or save it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "is a web page: download the file itself"),
        (b"weights", "is damaged or of no known format; known are Keras' .weights.h5 and .h5"),
        (b"\x89PNG\r\n\x1a\n", "no known format"),
    ],
)
def test_what_is_no_weights(tmp_path, data, words):
    (tmp_path / "x.pth").write_bytes(data)
    refused(tmp_path / "x.pth", words)


def test_no_file_and_no_model(tmp_path):
    refused(tmp_path / "x.pth", "there is no file or folder", "give a path or hf:owner/name")
    refused(tmp_path, "the folder", "holds no model: give one of")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = files.write_pth(tmp_path / "x.pth", saved())

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    refused(path, "can't read", "Permission denied")


@pytest.mark.parametrize("cut", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["zip", "pickles", "safetensors", "keras", "keras 2"])
def test_cut_short(tmp_path, kind, cut):
    if "keras" in kind:
        pytest.importorskip("h5py", reason="install the extra `transfer`")
    if kind == "safetensors":
        pytest.importorskip("safetensors", reason="install the extra `transfer`")
    path = tmp_path / "x"
    {
        "zip": lambda: files.write_pth(path, saved()),
        "pickles": lambda: files.write_old_pth(path, saved()),
        "safetensors": lambda: files.write_safetensors(path, {"x": ("F32", KERNEL)}),
        "keras": lambda: files.write_keras(path, {"a": [KERNEL, BIAS]}),
        "keras 2": lambda: files.write_old_keras(path, {"a": {"a/kernel": KERNEL}}),
    }[kind]()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    refused(path, str(path))


def test_digest_is_of_the_content(tmp_path, own):
    path = files.write_pth(tmp_path / "x.pth", saved())
    assert digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest(str(path)) == digest(path.rename(tmp_path / "y.pth"))
    before = digest(own[0])
    (own[0] / "record.json").write_text("{}")  # Not read.
    assert digest(own[0]) == before
    about = json.loads((own[0] / "model.json").read_text())
    (own[0] / "model.json").write_text(json.dumps(about, indent=2))
    assert digest(own[0]) != before
    with pytest.raises(UserError, match="there is no file or folder"):
        digest(tmp_path / "none")


def test_a_missing_library_is_told(tmp_path, monkeypatch):
    path = files.write_safetensors(tmp_path / "x", {"x": ("F32", BIAS)})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    refused(path, "needs safetensors: pip install 'cnnjax[transfer]'")
