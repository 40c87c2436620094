"""Small files of weights in every format, the well-formed and the hostile, without PyTorch."""

import dataclasses
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.train.initial import drawn
from cnnjax.train.model import Model, save_model
from tests.tiny import small_net

KINDS = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short"}
KINDS |= {"i1": "Char", "u1": "Byte", "b1": "Bool", "c8": "ComplexFloat", "c16": "ComplexDouble"}


@dataclasses.dataclass(frozen=True)
class Name:
    """A global that a pickle mentions, such as `torch.FloatStorage`."""

    name: str


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a global; `state` is what the made object is given beyond."""

    name: str
    arguments: tuple
    state: Any = None


@dataclasses.dataclass(frozen=True)
class Persistent:
    key: tuple


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """As PyTorch pickles it: a window on a flat storage. `kind` names the storage's type."""

    flat: np.ndarray
    size: tuple
    stride: tuple
    offset: int = 0
    kind: str = ""
    count: int | None = None  # What the file says of the storage's length, if not the truth.


def tensor(array: Any, kind: str = "") -> Tensor:
    array = np.asarray(array)
    strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    return Tensor(array.reshape(-1), array.shape, strides if array.ndim else (), kind=kind)


def pickled(x: Any, storages: dict[int, tuple[str, np.ndarray]]) -> bytes:
    """As protocol 2 without its first and last instruction; storages are collected by identity."""
    inner = lambda y: pickled(y, storages)  # noqa: E731
    match x:
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[x]
        case bytes():
            return x  # Instructions as they are.
        case int():
            data = x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case float():
            return b"G" + struct.pack(">d", x)
        case str():
            data = x.encode()
            return b"X" + struct.pack("<I", len(data)) + data
        case tuple():
            return b"(" + b"".join(map(inner, x)) + b"t"
        case list():
            return b"](" + b"".join(map(inner, x)) + b"e"
        case dict():
            return b"}(" + b"".join(inner(y) for pair in x.items() for y in pair) + b"u"
        case Name(name):
            module, _, short = name.rpartition(".")
            return f"c{module}\n{short}\n".encode()
        case Persistent(key):
            return inner(key) + b"Q"
        case Call(name, arguments, state):
            built = b"" if state is None else inner(state) + b"b"
            return inner(Name(name)) + inner(arguments) + b"R" + built
        case Tensor():
            key, _ = storages.setdefault(id(x.flat), (str(len(storages)), x.flat))
            kind = x.kind or KINDS[x.flat.dtype.str[1:]]
            count = len(x.flat) if x.count is None else x.count
            key = ("storage", Name(f"torch.{kind}Storage"), key, "cpu", count)
            hooks = Call("collections.OrderedDict", ())
            arguments = (Persistent(key), x.offset, x.size, x.stride, False, hooks)
            return inner(Call("torch._utils._rebuild_tensor_v2", arguments))
    raise TypeError(type(x))


def entries(x: Any, order: str = "little") -> dict[str, bytes]:
    """The entries of the zip that `torch.save` would write."""
    storages: dict[int, tuple[str, np.ndarray]] = {}
    made = {
        "archive/data.pkl": b"\x80\x02" + pickled(x, storages) + b".",
        "archive/version": b"3\n",
    }
    made["archive/byteorder"] = order.encode()
    for key, flat in storages.values():
        made[f"archive/data/{key}"] = flat.astype(_ordered(flat, order)).tobytes()
    return made


def write_zip(path: Path, made: dict[str, bytes] | list, how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in made.items() if isinstance(made, dict) else made:
            archive.writestr(name, data)
    return path


def write_pth(path: Path, x: Any, order: str = "little") -> Path:
    return write_zip(path, entries(x, order))


def write_old_pth(path: Path, x: Any, order: str = "little") -> Path:
    """The form before PyTorch 1.6: pickles in a row, then the storages."""
    storages: dict[int, tuple[str, np.ndarray]] = {}
    info = {"protocol_version": 1001, "little_endian": order == "little", "type_sizes": {"int": 4}}
    parts: list[Any] = [0x1950A86A20F9469CFC6C, 1001, info, pickled(x, storages)]
    parts.append([key for key, _ in storages.values()])
    data = b"".join(b"\x80\x02" + pickled(part, {}) + b"." for part in parts)
    sign = "<" if order == "little" else ">"
    for _, flat in storages.values():
        data += struct.pack(f"{sign}q", len(flat)) + flat.astype(_ordered(flat, order)).tobytes()
    path.write_bytes(data)
    return path


def _ordered(flat: np.ndarray, order: str) -> np.dtype:
    return flat.dtype.newbyteorder("<" if order == "little" else ">")


def write_safetensors(path: Path, tensors: dict[str, tuple], metadata: Any = None) -> Path:
    """`tensors`: (the type's name in the format, the array) by name."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    body = b""
    for name, (dtype, array) in tensors.items():
        span = [len(body), len(body) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": span}
        body += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def write_sharded(folder: Path, shards: dict[str, dict[str, tuple]], index: Any = None) -> Path:
    """`shards`: what `write_safetensors` takes, by the files' names; the index beside them, or
    another one in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in shards.items():
        write_safetensors(folder / name, tensors)
    held = {tensor: name for name, tensors in shards.items() for tensor in tensors}
    index = {"metadata": {"total_size": 1}, "weight_map": held} if index is None else index
    text = index if isinstance(index, str) else json.dumps(index)
    (folder / "model.safetensors.index.json").write_text(text)
    return folder


def keras_entries(h5: bytes) -> dict[str, bytes]:
    """The entries of Keras 3's `.keras`, in its order."""
    return {"metadata.json": b"{}", "config.json": b'{"module": "os"}', "model.weights.h5": h5}


def write_keras(path: Path, layers: dict[str, list[np.ndarray]]) -> Path:
    """As Keras 3's `save_weights`: tensors numbered in groups by kind; the maker's names beside."""
    import h5py

    with h5py.File(path, "w") as file:
        for i, (name, arrays) in enumerate(layers.items()):
            group = file.create_group(f"layers/conv2d_{i}/vars" if i else "layers/conv2d/vars")
            group.attrs["name"] = name
            for j, array in enumerate(arrays):
                group.create_dataset(str(j), data=array)
        file.create_group("optimizer/vars").create_dataset("0", data=np.ones(2))
        file["layers"].create_group("dropout/seed_generator/vars").create_dataset("0", data=[1, 2])
    return path


def write_old_keras(path: Path, layers: dict[str, dict], whole: bool = False, fixed=False) -> Path:
    """As Keras before 3: names of layers and weights in attributes, in the net's order."""
    import h5py

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        names = list(layers)
        root.attrs["layer_names"] = np.array(names, "S") if fixed else names
        root.attrs["backend"] = "jax"
        for layer, weights in layers.items():
            group = root.create_group(layer)
            given = list(weights)
            group.attrs["weight_names"] = np.array(given, "S") if fixed and given else given
            for name, array in weights.items():
                group.create_dataset(name, data=array)
        if whole:
            file.create_group("optimizer_weights").create_dataset("momentum", data=np.ones(3))
    return path


def write_own(path: Path) -> Model:
    """A tiny net of the project's own."""
    net = small_net()
    variables = drawn(lambda key: net.init(key, jnp.zeros((1, 8, 8, 1))))(jax.random.key(0))
    model = Model(net, dict(variables), (8, 8, 1), (0.5,), (0.25,), ("a", "b", "c"))
    save_model(path, model)
    return model
