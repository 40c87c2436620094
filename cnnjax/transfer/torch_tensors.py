"""What a pickle of PyTorch's says of tensors, and the arrays they are in the file's bytes."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnjax.transfer import unpickle
from cnnjax.transfer.weights import widened

_STORAGES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "bfloat16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
    "ComplexFloat": "c8",
    "ComplexDouble": "c16",
}
_DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "bfloat16",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "?",
    "complex64": "c8",
    "complex128": "c16",
}
_AXES = 64  # As many as numpy has.
_UNTYPED = ("torch.storage.UntypedStorage", "torch.UntypedStorage")


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers in a row; `start` in elements, where it is a view of another."""

    key: str
    dtype: str
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A window on a storage; offset and strides in elements."""

    storage: Storage
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, self.storage.start, *self.size, *self.stride)
        if any(type(n) is not int or n < 0 for n in numbers) or len(self.size) != len(self.stride):
            raise ValueError("a tensor without a shape")


def array(tensor: Tensor, data: Any, order: str) -> np.ndarray:
    """A copy of what the tensor sees of its storage's bytes, which are in the order "<" or ">".

    Raises:
      ValueError: it sees beyond them.
    """
    kind = "u2" if tensor.dtype == "bfloat16" else "u1" if tensor.dtype == "?" else tensor.dtype
    start = tensor.storage.start * itemsize(tensor.storage.dtype)
    flat = np.frombuffer(memoryview(data)[start:], np.uint8)
    flat = flat[: len(flat) // itemsize(kind) * itemsize(kind)].view(f"{order}{kind}")
    if 0 in tensor.size:
        return np.empty(tensor.size, widened(flat[:0], tensor.dtype).dtype)
    steps = zip(tensor.size, tensor.stride, strict=True)
    last = tensor.offset + sum((n - 1) * step for n, step in steps)
    if last >= len(flat):
        raise ValueError("a tensor that ends outside its storage")
    strides = [step * flat.itemsize for step in tensor.stride]
    seen = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.size, strides)
    return widened(seen, tensor.dtype)


def itemsize(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def storage(name: Any) -> Storage:
    """What a persistent id stands for: ("storage", type, key, device, elements[, view])."""
    word, kind, key, _, _, *view = name
    if word != "storage" or type(kind) is not unpickle.Global or type(key) is not str:
        raise ValueError("a persistent id of another kind")
    start = view[0][1] if view and view[0] is not None else 0
    return Storage(key, _STORAGE_DTYPES[kind.name], start)


def _tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    return Tensor(storage, storage.dtype, offset, _size(size), _size(stride))


def _size(numbers: Any) -> tuple:
    """No copy of a tuple: what a pickle mentions in two bytes must not be built again each time."""
    return numbers if type(numbers) is tuple else tuple(numbers[:_AXES])


def _typed_tensor(
    storage: Storage, offset: int, size: tuple, stride: tuple, grad: Any, hooks: Any, dtype: Any, *_
) -> Tensor:
    found = _DTYPES[dtype.name.removeprefix("torch.")]
    return Tensor(storage, found, offset, _size(size), _size(stride))


def _first(x: Any, *_: Any) -> Any:
    return x


def _subclassed(rebuild: unpickle.Global, kind: Any, arguments: tuple, state: Any) -> Any:
    return MAKERS[rebuild.name](*arguments)


def _dict(items: Any = (), *_: Any) -> dict:
    """An OrderedDict or Counter; a defaultdict's first argument is a global."""
    if type(items) is dict:
        return items
    if type(items) is not list:
        return {}
    pairs = [
        items.pop() for _ in range(len(items))
    ]  # Python 2's; gone, so that none is used twice.
    if any(type(pair) is not list or len(pair) != 2 for pair in pairs):
        raise ValueError("a dict of what are no pairs")
    return unpickle.filled({}, [x for pair in reversed(pairs) for x in pair])


_STORAGE_DTYPES = {
    f"{module}.{name}Storage": dtype
    for module in ("torch", "torch.cuda")
    for name, dtype in _STORAGES.items()
} | dict.fromkeys(_UNTYPED, "u1")

# All that a pickle may ask for: what a call gives; None for what may be mentioned, not called.
MAKERS: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys(_STORAGE_DTYPES, None),
    **dict.fromkeys([f"torch.{name}" for name in _DTYPES], None),
    **dict.fromkeys(["torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter"], None),
    **dict.fromkeys(["builtins.dict", "builtins.int", "__builtin__.dict", "__builtin__.int"], None),
    **dict.fromkeys(["builtins.list", "__builtin__.list"], None),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _subclassed,
    "torch.Size": _size,
    "torch.device": lambda *name: None,
    "builtins.set": _first,
    "__builtin__.set": _first,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "collections.Counter": _dict,
}
