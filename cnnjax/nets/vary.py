"""The axes of a study as pure functions Net → Net.

Each sets the fields that blocks declare for it, wherever they stand, so an axis is written once
and works on every architecture. A tuple gives one value per stage and leaves stem and head alone.
Setting twice is setting once: kernel(kernel(net, 1), 3) == kernel(net, 3).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from cnnjax.errors import UserError, unknown
from cnnjax.nets.activations import ACTIVATIONS
from cnnjax.nets.connect import CONNECTIONS
from cnnjax.nets.layers import PADDINGS
from cnnjax.nets.net import Net
from cnnjax.nets.norms import NORMS
from cnnjax.nets.pools import POOLS
from cnnjax.nets.shortcuts import SHORTCUTS
from cnnjax.values import fields, is_value, parse


def kernel(net: Net, size: int | tuple[int, ...]) -> Net:
    """Filter size in pixels, odd or even, of every spatial convolution."""
    return _set(net, "kernel", size, _whole("kernel", 1))


def dilation(net: Net, rate: int | tuple[int, ...]) -> Net:
    """Dilation of every spatial convolution (Yu & Koltun 2016)."""
    return _set(net, "dilation", rate, _whole("dilation", 1))


def groups(net: Net, count: int | tuple[int, ...]) -> Net:
    """Groups of every spatial convolution; channels are rounded to a multiple of them."""
    return _set(net, "groups", count, _whole("groups", 1))


def depth(net: Net, blocks: int | tuple[int, ...]) -> Net:
    """Blocks in each stage."""
    return _set(net, "depth", _per_stage(net, blocks), _whole("depth", 1))


def stride(net: Net, steps: int | tuple[int, ...]) -> Net:
    """Stride of each stage's first block."""
    return _set(net, "stride", _per_stage(net, steps), _whole("stride", 1))


def width(net: Net, factor: float | tuple[float, ...]) -> Net:
    """Channels and hidden units times `factor`, rounded, at least 1; the classes stay."""

    def scale(old: Any, new: float) -> Any:
        if isinstance(new, bool) or not isinstance(new, int | float) or not new > 0:
            raise UserError(f"width: {new!r} is out of range: a factor above 0")
        if isinstance(old, tuple):
            return tuple(scale(x, new) for x in old)
        return max(1, round(old * new))

    return _set(net, "width", factor, scale)


def activation(net: Net, act: Any) -> Net:
    """Every activation: a value such as `GELU()`, or its name."""
    return _set(net, "activation", act, _member("activation", ACTIVATIONS))


def norm(net: Net, norm: Any) -> Net:
    """Every normalisation: a value such as `GroupNorm(8)`, or its name."""
    return _set(net, "norm", norm, _member("norm", NORMS))


def pooling(net: Net, kind: Any) -> Net:
    """Every pool's kind, a value or its name; windows and strides stay. `stride` gives the stride
    to the convolution before and pools nothing."""
    return _set(net, "pooling", kind, _member("pooling", POOLS))


def shortcut(net: Net, kind: Any) -> Net:
    """Every residual block's shortcut, a value or its name; `none` makes the plain twin."""
    return _set(net, "shortcut", kind, _member("shortcut", SHORTCUTS))


def connectivity(net: Net, kind: Any) -> Net:
    """What plain layers are: `conv`, its twins `local` (a kernel a place) or `full` (dense)."""
    return _set(net, "connectivity", kind, _member("connectivity", CONNECTIONS))


def padding(net: Net, how: Any) -> Net:
    """How convolutions are padded, a value or its name: `symmetric`, as PyTorch does, or `same`, as
    TensorFlow does.

    They differ where a stride meets a map of even side: there `same` is a pixel further behind. A
    layer that says how many pixels it pads is symmetric and stays.

    Raises:
      UserError: another word; `same` for a net with convolutions that can't be padded so.
    """
    names = {v: word for word, v in PADDINGS.items()}
    words = [names.get(h, h) for h in (how if isinstance(how, tuple) else (how,))]
    for part, word in zip(net.stages if isinstance(how, tuple) else (net,), words, strict=False):
        if word not in PADDINGS:
            raise unknown("padding", str(word), PADDINGS)
        if word == "same" and (fixed := _symmetric(part)):
            raise UserError(
                f"padding: {fixed} of this net is always padded on both sides alike; nets that "
                "can be padded as TensorFlow does are such as mobilenet_v2"
            )
    if not isinstance(how, tuple) and not moves(net, "padding"):
        return net  # Symmetric as it is.
    new = tuple(words) if isinstance(how, tuple) else words[0]
    return _set(net, "padding", new, lambda old, new: old if type(old) is int else PADDINGS[new])


def output_stride(net: Net, stride: int) -> Net:
    """The last map at `stride` pixels a unit: strides beyond are traded for dilation.

    What follows a traded stride is dilated by it, so that every unit which the net computed
    before is still there and as it was, with new ones between (Chen et al. 2017, "DeepLab", §3.1;
    Yu, Koltun & Funkhouser 2017, §3).

    Raises:
      UserError: a stride that is no whole number from 1 up, or that the strides don't multiply to.
    """
    _whole("output_stride", 1)(None, stride)
    now, rate, found = 1, 1, {}

    def trade(v: Any) -> Any:
        """A stage or pool with the stride that it may take, and the rest as dilation."""
        nonlocal now, rate
        whole, before = v.stride * v.traded, rate
        taken = whole if rate == 1 and now * whole <= stride else 1
        now, rate = now * taken, rate * whole // taken
        return dataclasses.replace(v, stride=taken, traded=whole // taken, rate=before)

    for name, stage in net.named_stages.items():
        stage = trade(stage)
        pool = stage.pool and trade(stage.pool)
        found[name] = dataclasses.replace(stage, pool=pool)
    if now != stride:
        raise UserError(
            f"output_stride: the strides multiply to {now}, not to {stride}; "
            "choose a product of its first ones"
        )
    stages = tuple(found.pop(f"stage{i}") for i in range(1, len(net.stages) + 1))
    return net.clone(stages=stages, **found)


AXES: dict[str, Callable[[Net, Any], Net]] = {
    f.__name__: f
    for f in (
        kernel,
        dilation,
        groups,
        depth,
        stride,
        width,
        activation,
        norm,
        pooling,
        shortcut,
        connectivity,
        padding,
        output_stride,
    )
}


def apply(net: Net, **axes: Any) -> Net:
    """The net with each axis set.

    Raises:
      UserError: an axis that does not exist or a value out of its range, named.
    """
    for name, setting in axes.items():
        if name not in AXES:
            raise unknown("axis", name, AXES)
        net = AXES[name](net, setting)
    return net


def moves(v: Any, axis: str) -> bool:
    """Whether the axis has anything to change in the net."""
    if isinstance(v, tuple):
        return any(moves(x, axis) for x in v)
    if not is_value(v):
        return False
    declared = any(f.metadata.get("axis") == axis for f in fields(v))
    return declared or any(moves(getattr(v, f.name), axis) for f in fields(v))


def _symmetric(v: Any) -> str:
    """The type of a spatial convolution in `v` that the axis padding can't move, "" if none."""
    if isinstance(v, tuple):
        return next(filter(None, map(_symmetric, v)), "")
    if not is_value(v):
        return ""
    held = {f.metadata["axis"]: getattr(v, f.name) for f in fields(v) if "axis" in f.metadata}
    if "kernel" in held and type(held.get("padding", 0)) is int:
        return type(v).__name__
    return next(filter(None, (_symmetric(getattr(v, f.name)) for f in fields(v))), "")


def settings(v: Any, axis: str) -> set[Any]:
    """What stands in the fields that the axis changes, wherever they are."""
    if isinstance(v, tuple):
        return {x for part in v for x in settings(part, axis)}
    if not is_value(v):
        return set()
    found: set[Any] = set()
    for field in fields(v):
        old = getattr(v, field.name)
        if field.metadata.get("axis") != axis:
            found |= settings(old, axis)
        else:
            found |= set(old) if isinstance(old, tuple) else {old}
    return found


def _set(net: Net, axis: str, new: Any, change: Callable[[Any, Any], Any]) -> Net:
    if not moves(net, axis):
        raise UserError(f"{axis}: this net has nothing that the axis {axis} could change")
    if not isinstance(new, tuple):
        return _rebuild(net, axis, lambda old: change(old, new))
    if len(new) != len(net.stages):
        raise UserError(f"{axis}: {new} has {len(new)} values for {len(net.stages)} stages")
    stages = tuple(
        _rebuild(stage, axis, lambda old, x=x: change(old, x))
        for stage, x in zip(net.stages, new, strict=True)
    )
    return net.clone(stages=stages)


def _rebuild(v: Any, axis: str, change: Callable[[Any], Any]) -> Any:
    """`v` with every field declared for `axis`, at any depth, changed."""
    if isinstance(v, tuple):
        return tuple(_rebuild(x, axis, change) for x in v)
    if not is_value(v):
        return v
    given = {}
    for field in fields(v):
        old = getattr(v, field.name)
        moved = field.metadata.get("axis") == axis
        given[field.name] = change(old) if moved else _rebuild(old, axis, change)
    return type(v)(**given)


def _per_stage(net: Net, new: Any) -> tuple:
    """One value per stage: the stem is a stage of its own that depth and stride leave alone."""
    return new if isinstance(new, tuple) else (new,) * len(net.stages)


def _whole(name: str, least: int) -> Callable[[Any, Any], int]:
    def change(old: Any, new: Any) -> int:
        if isinstance(new, bool) or not isinstance(new, int) or new < least:
            raise UserError(f"{name}: {new!r} is out of range: a whole number from {least} up")
        return new

    return change


def _member(name: str, family: dict[str, type]) -> Callable[[Any, Any], Any]:
    def change(old: Any, new: Any) -> Any:
        new = parse(new, family, name) if isinstance(new, str) else new
        if not isinstance(new, tuple(family.values())) and not callable(new):
            raise unknown(name, repr(new), family)
        return new

    return change
