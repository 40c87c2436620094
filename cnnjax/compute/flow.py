"""How receptive fields flow through a traced program: a rule for each primitive.

A primitive that has none here must keep the shape of the map, and then works unit by unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Final

from jax.extend.core import JaxprEqn

from cnnjax.compute.spatial import PATTERN, Axis, Field, State, join, origin, unfollowed

Fields = Sequence[Field | None]  # Of each input; None where it holds nothing of the image.


def flow(eqn: JaxprEqn, states: Sequence[State]) -> list[State]:
    """The states of an equation's outputs from those of its inputs.

    Raises:
      Unfollowed: a primitive through which the receptive field can't be followed, named.
    """
    fields = [s if isinstance(s, Field) else None for s in states]
    name = eqn.primitive.name
    if not any(fields):
        return [PATTERN if name == "iota" else origin(states)] * len(eqn.outvars)
    if name == "optimization_barrier":
        return list(states)
    rule = _RULES.get(name)
    if rule is None and "axes" in eqn.params and (name.startswith(("reduce_", "arg"))):
        rule = _reduce
    return (rule or _elementwise)(eqn, fields)


def is_elementwise(eqn: JaxprEqn) -> bool:
    """Whether each element of the output is computed from those that stand at its place."""
    return eqn.primitive.name not in _RULES and "axes" not in eqn.params


def _shapes(eqn: JaxprEqn) -> list[tuple[int, ...]]:
    return [tuple(v.aval.shape) for v in eqn.invars]


def _elementwise(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    """Any primitive whose output keeps the shape of the map, extents of one broadcast."""
    return [_aligned(eqn, fields, tuple(v.aval.shape)) for v in eqn.outvars]


def _aligned(eqn: JaxprEqn, fields: Fields, out: tuple[int, ...]) -> Field:
    def align(axis: Axis, shape: tuple[int, ...]) -> Axis:
        if len(shape) == len(out) and shape[axis.dim] == out[axis.dim]:
            return axis
        if len(shape) == len(out) and shape[axis.dim] == 1:
            return axis.at(None)  # One unit spread over the map has no place of its own.
        raise unfollowed(eqn.primitive.name, f"it makes {out} of {shape}")

    pairs = zip(fields, _shapes(eqn), strict=True)
    aligned = [f.each(lambda a, s=shape: align(a, s)) for f, shape in pairs if f]
    return join(aligned, out, eqn.primitive.name)


def _conv(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    p, (left, right) = eqn.params, _shapes(eqn)
    spec, field = p["dimension_numbers"], fields[0]
    spatial = spec.lhs_spec[2:]
    taps = [right[d] for d in spec.rhs_spec[2:]]
    out = dict(zip(spec.lhs_spec, spec.out_spec, strict=True))
    if field is None:  # A kernel made from the image over something that is not: no map of it.
        return [fields[1].each(lambda a: a.at(None))]
    _check_map(eqn, field, left, dict(zip(spatial, taps, strict=True)))

    def rule(axis: Axis) -> Axis:
        if axis.dim == spec.lhs_spec[1]:
            return axis.at(None)  # Contracted: every output unit sees all of it.
        if axis.dim in spatial:
            k = spatial.index(axis.dim)
            if p["lhs_dilation"][k] != 1:
                raise unfollowed(eqn.primitive.name, "its input is dilated (lhs_dilation)")
            geometry = p["window_strides"][k], taps[k], p["rhs_dilation"][k]
            axis = axis.window(-p["padding"][k][0], *geometry)
        return axis.at(out[axis.dim])

    field = field.each(rule)
    return [replace(field, is_global=field.is_global or fields[1] is not None)]


def _pool(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    p, field = eqn.params, next(f for f in fields if f)
    extents = p["window_dimensions"]
    _check_map(eqn, field, _shapes(eqn)[0], dict(enumerate(extents)))

    def rule(axis: Axis) -> Axis:
        d = axis.dim
        if p["base_dilation"][d] != 1:
            raise unfollowed(eqn.primitive.name, "its input is dilated (base_dilation)")
        geometry = p["window_strides"][d], extents[d], p["window_dilation"][d]
        return axis.window(-int(p["padding"][d][0]), *geometry)

    return [field.each(rule)] * len(eqn.outvars)


def _check_map(eqn: JaxprEqn, field: Field, shape: Sequence[int], taps: dict[int, int]) -> None:
    """Stop where windows run over a map whose places were lost, rather than report too little."""
    known = {axis.dim for axis in field.axes}
    lost = [d for d, k in taps.items() if d not in known and shape[d] > 1 and k > 1]
    if len(lost) > 1 and not all(axis.whole for axis in field.axes):
        raise unfollowed(eqn.primitive.name, "it runs windows over positions that were lost before")


def _dot(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    contracted, batch = eqn.params["dimension_numbers"]
    placed, offset = [], len(batch[0])
    for side, (field, shape) in enumerate(zip(fields, _shapes(eqn), strict=True)):
        lost = (*contracted[side], *batch[side])
        free = [d for d in range(len(shape)) if d not in lost]
        out = {d: i for i, d in enumerate(batch[side])} | {
            d: offset + i for i, d in enumerate(free)
        }
        # A fully connected layer contracts both image axes; one alone may be a banded resizing.
        ends = field and all(axis.dim in contracted[side] for axis in field.axes)
        seen = dict(enumerate(shape)) if ends else {}
        placed.append(field and field.each(lambda a, o=out, s=seen: _placed(a, o, s)))
        offset += len(free)
    return [join(placed, eqn.outvars[0].aval.shape, eqn.primitive.name)]


def _placed(axis: Axis, out: dict[int, int], ended: dict[int, int]) -> Axis:
    return axis.all(ended[axis.dim]) if ended else axis.at(out.get(axis.dim))


def _reduce(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    """Reduced or squeezed dimensions end; those behind them move up."""
    names = ("axes", "dimensions")
    gone = next(eqn.params[n] for n in names if n in eqn.params)

    def rule(axis: Axis) -> Axis:
        return axis.at(None if axis.dim in gone else axis.dim - sum(d < axis.dim for d in gone))

    return [next(f for f in fields if f).each(rule)] * len(eqn.outvars)


def _broadcast(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    (shape, *_), to = _shapes(eqn), eqn.params["broadcast_dimensions"]
    out = eqn.outvars[0].aval.shape
    same = {d: to[d] for d in range(len(shape)) if shape[d] == out[to[d]]}
    return [fields[0].each(lambda a: a.at(same.get(a.dim)))]


def _transpose(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    return [fields[0].each(lambda a: a.at(eqn.params["permutation"].index(a.dim)))]


def _reshape(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    """Kept dimensions keep their axis, split ones (space to depth) hold blocks, merged ones end."""
    old, new = _shapes(eqn)[0], tuple(eqn.outvars[0].aval.shape)

    def rule(axis: Axis) -> Axis:
        d, n = axis.dim, old[axis.dim]
        starts = [e for e in range(len(new)) if prod(new[:e]) == prod(old[:d])]
        if n == 1:
            return axis.at(d if d in starts and new[d] == 1 else None)
        for e in (e for e in starts if new[e] > 1):
            block = n // new[e]
            if any(prod(new[e:end]) == n for end in range(e + 1, len(new) + 1)):
                return axis.window(0, block, block).at(e)
        return axis.at(None)

    return [fields[0].each(rule)]


def _slice(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    starts = eqn.params["start_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    return [fields[0].each(lambda a: a.window(starts[a.dim], strides[a.dim]))]


def _pad(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    config = eqn.params["padding_config"]

    def rule(axis: Axis) -> Axis:
        before, _, between = config[axis.dim]
        if between:
            raise unfollowed(eqn.primitive.name, "it pads between units")
        return axis.window(-int(before))

    return [fields[0].each(rule)]


def _concatenate(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    dimension, moved, offset = eqn.params["dimension"], [], 0
    for field, shape in zip(fields, _shapes(eqn), strict=True):
        start = -offset
        moved.append(
            field and field.each(lambda a, s=start: a.window(s) if a.dim == dimension else a)
        )
        offset += shape[dimension]
    return [join(moved, eqn.outvars[0].aval.shape, eqn.primitive.name)]


def _split(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    outs, start = [], 0
    for size in eqn.params["sizes"]:
        axis = eqn.params["axis"]
        outs.append(fields[0].each(lambda a, s=start, d=axis: a.window(s) if a.dim == d else a))
        start += size
    return outs


def _gather(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    """Indexing that takes the map's axes whole, such as a permutation of channels."""
    if fields[0] is None:
        raise unfollowed(eqn.primitive.name, "its indices depend on the image")
    (shape, *_), n = _shapes(eqn), eqn.params.get("dimension_numbers")
    gone = (*n.collapsed_slice_dims, *n.operand_batching_dims) if n else ()
    kept = [d for d in range(len(shape)) if d not in gone]
    out = dict(zip(kept, n.offset_dims if n else kept, strict=True))

    def rule(axis: Axis) -> Axis:
        if axis.dim not in out or eqn.params["slice_sizes"][axis.dim] != shape[axis.dim]:
            raise unfollowed(eqn.primitive.name, "it picks positions of the map")
        return axis.at(out[axis.dim])

    return [fields[0].each(rule)]


def _along(eqn: JaxprEqn, fields: Fields) -> list[Field]:
    """Primitives that keep the shape but mix along dimensions of their own."""
    p = eqn.params
    rank = len(_shapes(eqn)[0])
    if "axis" in p:
        mixed = (p["axis"] % rank,)
    elif "fft_lengths" in p:
        mixed = tuple(range(rank - len(p["fft_lengths"]), rank))
    else:
        mixed = p["dimensions"] if "dimensions" in p else (p["dimension"],)
    if any(axis.dim in mixed for f in fields if f for axis in f.axes):
        raise unfollowed(eqn.primitive.name, "it runs along an axis of the map")
    return _elementwise(eqn, fields)


_POOLS = ("reduce_window", "reduce_window_sum", "reduce_window_max", "reduce_window_min")
_MIXERS = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "sort", "rev", "fft")
_RULES: Final[dict[str, Callable[[JaxprEqn, Fields], list[State]]]] = {
    "conv_general_dilated": _conv,
    "dot_general": _dot,
    "reduce": _reduce,
    "squeeze": _reduce,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "reshape": _reshape,
    "slice": _slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "split": _split,
    "gather": _gather,
    "dynamic_slice": _gather,
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_MIXERS, _along),
}
