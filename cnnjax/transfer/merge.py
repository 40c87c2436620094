"""Weights of a file become a net's variables: every tensor of both sides is accounted for."""

import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cnnjax.errors import unknown
from cnnjax.nets.net import Net
from cnnjax.transfer import adapt, fold, layout
from cnnjax.transfer.choose import Fit, choose
from cnnjax.transfer.misfits import Misfits, size
from cnnjax.transfer.slots import Slot, place, slots
from cnnjax.transfer.weights import Weights


@dataclasses.dataclass(frozen=True, eq=False)
class Merged:
    """A net's variables, how they were read, and what was adapted, a line each."""

    variables: dict[str, Any]
    fit: Fit
    notes: tuple[str, ...]
    anew: frozenset[str]  # The paths of the layers that start anew.


def merge(
    net: Net,
    weights: Weights,
    input_shape: tuple[int, int, int],
    reinit: str | Iterable[str] = (),
    seed: int = 0,
) -> Merged:
    """The variables of the net for images (H, W, C), as `net.init` returns them, from a file.

    `reinit` are scopes that start anew, as `net.init` starts them from the seed, whatever the file
    has for them: a layer, or all below a path; "head" is the last layer alone, of the classes.

    Raises:
      UserError: what is missing, left over or of another shape, with the nearest names; a net that
        differs from theirs in what shapes don't tell; values that are no numbers.
    """
    found = slots(net, tuple(input_shape))
    anew = _scopes(reinit, found)
    reading = _Reading(choose(net, weights, found), weights, found[0].path)
    values: dict[tuple[str, ...], np.ndarray] = {}
    for slot in found:
        if slot.path not in anew:
            read = reading.layer(slot)
            values |= {place(slot.path, leaf): value for leaf, value in read.items()}
    reading.misfits.check()
    if anew:
        values |= _initialised(net, tuple(input_shape), anew, seed)
    notes = reading.notes()
    if anew:
        notes.append(f"initialised anew from seed {seed}: {', '.join(sorted(anew))}")
    if net.adapted:
        notes.append(f"adapted: {net.adapted}")
    return Merged(unflatten_dict(values), reading.fit, tuple(notes), frozenset(anew))


def _scopes(reinit: str | Iterable[str], found: Iterable[Slot]) -> set[str]:
    """The paths of the layers that start anew."""
    paths = [slot.path for slot in found]
    anew: set[str] = set()
    for scope in (reinit,) if isinstance(reinit, str) else tuple(reinit):
        whole = scope.strip("/")
        inside = [p for p in paths if p == whole or p.startswith(f"{whole}/")]
        if not inside:
            tops = {"/".join(p.split("/")[:n]) for p in paths for n in (1, 2)}
            raise unknown("scope to initialise anew", scope, tops)
        classes = [p for p in paths if p.endswith("/auxiliary/logits")] + paths[-1:]
        anew.update(classes if whole == "head" else inside)
    return anew


class _Reading:
    """Reads layers from a file, and keeps what does not fit and what was changed."""

    def __init__(self, fit: Fit, weights: Weights, first: str) -> None:
        self.fit, self.weights, self.first = fit, weights, first
        self.misfits = Misfits(weights.where, fit.table.title, fit.explained, len(fit.held))
        self.misfits.unexpected += [fit.held[name] for name in fit.left]
        self.changes: collections.Counter[str] = collections.Counter()

    def layer(self, slot: Slot) -> dict[str, np.ndarray]:
        """The layer's values as the net takes them, those left out that don't fit."""
        table = self.fit.table
        read = {leaf: self._leaf(slot, leaf) for leaf in slot.shapes}
        read = {leaf: value for leaf, value in read.items() if value is not None}
        if (bias := self.fit.biases.get(slot.path)) in self.fit.held and "mean" in read:
            taken = self._tensor(bias)
            if taken is not None and self._fits(bias, taken, slot, "mean"):
                read["mean"] = fold.bias(read["mean"], taken)
        if table.epsilon is not None and {"scale", "var"} <= read.keys():
            folded = fold.epsilon(read["scale"], read["var"], table.epsilon, slot.epsilon)
            read["scale"], read["var"] = folded
        return {leaf: np.ascontiguousarray(value) for leaf, value in read.items()}

    def _leaf(self, slot: Slot, leaf: str) -> np.ndarray | None:
        table = self.fit.table
        name = self.fit.wanted.get((slot.path, leaf), "")
        if name not in self.fit.held:
            shown = layout.shown(table.framework, name, slot.kind, leaf)
            self.misfits.missing.append((shown, slot.path))
            return None
        tensor = self._tensor(name)
        if tensor is None:
            return None
        if leaf == "var" and (tensor < 0).any():
            self.misfits.broken.append(f"{self.fit.held[name]} (a variance below 0)")
            return None
        value = layout.ours(tensor, slot, leaf, table.framework)
        if slot.kind == "conv" and leaf == "kernel" and value.ndim == 4:
            value = self._kernel(slot, value)
        return value if self._fits(name, value, slot, leaf) else None

    def _tensor(self, name: str) -> np.ndarray | None:
        own = self.fit.held[name]
        tensor = np.asarray(self.weights.tensors[own])
        if not np.issubdtype(tensor.dtype, np.floating):
            self.misfits.broken.append(f"{own} ({tensor.dtype})")
            return None
        with np.errstate(over="ignore"):
            tensor = tensor.astype(np.float32)
        if not np.isfinite(tensor).all():
            self.misfits.broken.append(f"{own} (not all numbers)")
            return None
        return tensor

    def _fits(self, name: str, value: np.ndarray, slot: Slot, leaf: str) -> bool:
        if value.shape == slot.shapes[leaf]:
            return True
        told = f"{self.fit.held[name]} holds {size(value.shape)}, {slot.path} takes "
        self.misfits.shapes.append((told + size(slot.shapes[leaf]), slot.path))
        return False

    def _kernel(self, slot: Slot, kernel: np.ndarray) -> np.ndarray:
        """For the net's channels and of its size, where that has a meaning."""
        wanted = slot.shapes["kernel"]
        if slot.path == self.first:
            turned = self.fit.table.bgr and kernel.shape[2] == 3
            kernel = kernel[:, :, ::-1] if turned else kernel
            other = adapt.channels(kernel, wanted[2])
            if other is not None:
                how = "summed to" if wanted[2] == 1 else "shared out to"
                self.changes[f"{kernel.shape[2]} input channels {how} {wanted[2]}"] += 1
                kernel = other
        if kernel.shape[:2] != wanted[:2] and kernel.shape[2:] == wanted[2:]:
            how = "padded with zeros to" if wanted[0] > kernel.shape[0] else "cut to the central"
            self.changes[f"kernels of {size(kernel.shape[:2])} {how} {size(wanted[:2])}"] += 1
            kernel = adapt.resized(kernel, wanted[:2])
        return kernel

    def notes(self) -> list[str]:
        """What was changed or left out, a line each."""
        told = [f"{change}: {n} layer{'s' * (n != 1)}" for change, n in self.changes.items()]
        if unused := self.fit.ignored:
            some = self.fit.held[unused[0]]
            told.append(f"left out, no part of the net: {len(unused)} such as {some}")
        return told + ([self.fit.doubt] if self.fit.doubt else [])


def _initialised(
    net: Net, input_shape: tuple[int, int, int], anew: set[str], seed: int
) -> dict[tuple[str, ...], np.ndarray]:
    """The values of the layers `anew` as `net.init` draws them; the rest is never computed."""

    def pick(key: jax.Array) -> dict[tuple[str, ...], jax.Array]:
        flat = flatten_dict(net.init(key, jnp.zeros((1, *input_shape), jnp.float32)))
        return {where: v for where, v in flat.items() if "/".join(where[1:-1]) in anew}

    drawn = jax.jit(pick)(jax.random.key(seed))
    return {where: np.asarray(v) for where, v in drawn.items()}
