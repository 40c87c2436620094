"""The state dict inside a checkpoint: wrappers and prefixes of training scripts taken off."""

from collections.abc import Iterator, Mapping
from typing import Any

from cnnjax.errors import UserError
from cnnjax.transfer.weights import line

# Where scripts keep the weights, the best first: averaged weights are what a script evaluates.
_WRAPPERS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict")
_WRAPPERS += ("model_state_dict", "model", "module", "net", "network", "weights", "params")
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel's and torch.compile's.
_DEPTH = 4  # Of wrappers in wrappers.
_SHOWN = 5
_ENTRIES = 1_000_000  # In all dicts: more than any optimizer keeps.


def state_dict(loaded: Any, kind: type, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors (of type `kind`) by name, and what was taken off and left out, as plain data.

    Raises:
      UserError: there is none, or there are several and no name tells which is meant.
    """
    path: list[str] = []
    # Not for ever: a dict may hold itself.
    while len(path) < _DEPTH and (inside := _inside(loaded, kind, where)) is not None:
        path.append(inside)
        loaded = loaded[inside]
    items = _items(loaded)
    tensors = {k: x for k, x in items if isinstance(k, str) and isinstance(x, kind)}
    if not tensors:
        raise UserError(f"{where} holds no tensors by name: save net.state_dict() with torch.save")
    dropped = [str(k) for k, _ in items if k not in tensors]
    tensors.pop("n_averaged", None)  # A counter of torch.optim.swa_utils beside the weights.
    while prefix := _prefix(tensors):
        tensors = {name.removeprefix(prefix): x for name, x in tensors.items()}
    about = {"unwrapped": "/".join(path)} if path else {}
    return tensors, about | ({"dropped": dropped} if dropped else {})


def _items(loaded: Any) -> list[tuple[Any, Any]]:
    return list(loaded.items()) if isinstance(loaded, Mapping) else []


def _inside(loaded: Any, kind: type, where: str) -> str | None:
    """The key under which the weights lie; None where `loaded` holds them itself."""
    steps = iter(range(_ENTRIES))
    holding = [k for k, x in _items(loaded) if isinstance(k, str) and _holds(x, kind, steps)]
    if found := next((name for name in _WRAPPERS if name in holding), None):
        return found
    if not holding or any(isinstance(x, kind) for _, x in _items(loaded)):
        return None
    candidates = [name for name in holding if "optim" not in name.lower()]
    if len(candidates) == 1:
        return candidates[0]
    found = line(", ".join(holding[:_SHOWN]))
    raise UserError(f"{where} holds tensors under {found}: save the one that is meant")


def _holds(loaded: Any, kind: type, steps: Iterator[int]) -> bool:
    """Are there tensors in these dicts of dicts? Each entry takes a step."""
    waiting, seen = [loaded], set()
    while waiting:
        mapping = waiting.pop()
        if id(mapping) not in seen:
            seen.add(id(mapping))
            inner = [x for _, x in _items(mapping)]
            if sum(1 for _ in zip(inner, steps, strict=False)) < len(inner):
                raise ValueError("dicts in dicts without an end")
            if any(isinstance(x, kind) for x in inner):
                return True
            waiting += [x for x in inner if isinstance(x, Mapping)]
    return False


def _prefix(tensors: Mapping[str, Any]) -> str | None:
    def all_begin(prefix: str) -> bool:
        return all(name.startswith(prefix) and name != prefix for name in tensors)

    return next((prefix for prefix in _PREFIXES if tensors and all_begin(prefix)), None)
