"""(net, input shape) → the operations of its layers, read off the traced program.

The net is traced on abstract shapes: no weight is ever allocated, and nothing about its cost is
written down a second time.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from numbers import Integral
from typing import TYPE_CHECKING

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn

from cnnjax.compute import operations
from cnnjax.compute.forward import forward, is_hashable, too_small
from cnnjax.compute.spatial import DATA, IMAGE, Field, join
from cnnjax.compute.walk import Step, walk
from cnnjax.errors import UserError

if TYPE_CHECKING:  # Linen itself is never needed here: a net brings its own.
    import flax.linen as nn


@dataclass(frozen=True)
class Layer:
    """One convolution or dense layer, or the parameters of a scope that has neither (a norm).

    Attributes:
      path: its Linen scope, such as "stage1/block2/conv1"; "" at the top.
      kind: "conv", "dense", "norm" (scale and bias) or "other" (other parameters).
      output: its output's shape without the batch, (H, W, C) or (C,); () if it never ran.
      params: trainable numbers in its scope, shared ones with the layer that uses them first.
      macs: multiply-accumulates for one image.
      activations: output elements of convolutions and dense layers for one image.
      stored: bytes of the variables in its scope, running statistics included.
      field: what a unit of its output sees of the image, if its output depends on the image.
      kernel: (KH, KW, Cin/groups, Cout) or the dense layer's operand; () otherwise.
      strides, dilation, groups: of a convolution.
      times: how often a scan runs it; macs and activations are those of all times.
      eqn: the equation that computes a convolution or dense layer, for measures that look further.
    """

    path: str
    kind: str
    output: tuple[int, ...]
    params: int = 0
    macs: int = 0
    activations: int = 0
    stored: int = 0
    field: Field | None = None
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    times: int = 1
    eqn: JaxprEqn | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True)
class Trace:
    """What a net does with one image in inference.

    Attributes:
      layers: in order of execution; their params sum to the net's.
      field: what a unit of the last map before global pooling or flattening sees of the image,
        as it reaches the output (None: the output does not depend on the image).
      program: the traced forward pass of (variables, image), for measures that look further.
    """

    net: "nn.Module"
    input_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]
    field: Field | None
    program: ClosedJaxpr


def trace(net: "nn.Module", input_shape: Sequence[int]) -> Trace:
    """Trace `net.apply(variables, x, train=False)` on one float32 image [1, H, W, C].

    Raises:
      UserError: an input shape that is not (H, W, C), or too small for the net.
      Unfollowed: a primitive that the receptive field can't be followed through.
    """
    shape = checked_shape(input_shape)
    return (_cached if is_hashable(net) else _trace)(net, shape)


def checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(H, W, C) as plain ints.

    Raises:
      UserError: anything but three positive whole numbers.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in sizes)
    if len(sizes) != 3 or not whole:
        raise UserError(
            f"an input shape is height, width and channels, such as (32, 32, 3), not {shape!r}"
        )
    height, width, channels = (int(n) for n in sizes)
    return height, width, channels


def checked_batch(size: int) -> int:
    """A batch size as a plain int.

    Raises:
      UserError: anything but a whole number from 1 on.
    """
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise UserError(f"a batch size is a whole number from 1 on, not {size!r}")
    return int(size)


def _trace(net: "nn.Module", shape: tuple[int, int, int]) -> Trace:
    found = forward(net, shape)
    program = found.program
    outputs, steps = walk(program, [DATA] * len(jax.tree.leaves(found.variables)) + [IMAGE])
    layers = _layers(steps, _owned(found.variables))
    for step in steps:
        if isinstance(step.output, Field) and 0 in step.eqn.outvars[0].aval.shape:
            raise too_small(shape, "/".join(step.scope[1:]) or "its top level")
    shapes = [aval.shape for aval in program.out_avals]
    seen = join(outputs, max(shapes, key=len), "the net's outputs")
    return Trace(net, shape, layers, seen if isinstance(seen, Field) else None, program)


_cached = lru_cache(maxsize=64)(_trace)


@dataclass(frozen=True)
class _Owned:
    """Variables that a scope owns: the names and the number of its parameters, bytes of all."""

    names: frozenset[str] = frozenset()
    params: int = 0
    stored: int = 0

    def __add__(self, other: "_Owned") -> "_Owned":
        names = self.names | other.names
        return _Owned(names, self.params + other.params, self.stored + other.stored)


def _owned(variables: Mapping) -> dict[tuple[str, ...], _Owned]:
    """What each scope owns."""
    owned: dict[tuple[str, ...], _Owned] = defaultdict(_Owned)
    for keys, leaf in jax.tree_util.tree_leaves_with_path(dict(variables)):
        collection, *scope, name = (str(getattr(k, "key", k)) for k in keys)
        size, stored = prod(leaf.shape), prod(leaf.shape) * leaf.dtype.itemsize
        trained = collection == "params"
        one = _Owned(frozenset([name]), size, stored) if trained else _Owned(stored=stored)
        owned[tuple(scope)] += one
    return dict(owned)


def _layers(steps: Sequence[Step], owned: Mapping[tuple[str, ...], _Owned]) -> tuple[Layer, ...]:
    """A row an operation, and a row a scope that owns variables but runs no operation."""
    known = {scope[:n] for scope in owned for n in range(len(scope) + 1)}
    scopes = [_resolve(step.scope, known) for step in steps]
    ran = [(i, scopes[i]) for i, step in enumerate(steps) if step.is_operation]
    operating = {scope for _, scope in ran}
    last = {scope: i for i, scope in enumerate(scopes)}
    first = {scope: i for i, scope in reversed(list(enumerate(scopes)))}

    held: dict[tuple[str, ...], _Owned] = defaultdict(_Owned)
    rows: list[tuple[int, Layer]] = []
    for scope, own in owned.items():
        if scope in operating:
            held[scope] += own
        elif scope in last:
            step = steps[last[scope]]
            rows.append((first[scope], _other(scope, own, step)))
        elif owner := _nearest(scope, operating):
            held[owner] += own
        else:
            rows.append((len(steps), _other(scope, own, None)))
    for i, scope in ran:
        rows.append((i, _operation(steps[i], scope, held.pop(scope, _Owned()))))
    return tuple(layer for _, layer in sorted(rows, key=lambda row: row[0]))


def _resolve(scope: tuple[str, ...], known: Collection[tuple[str, ...]]) -> tuple[str, ...]:
    """The Linen scope under which a name stack stands.

    Names that own nothing are passed over: the class of the net, methods, transformations,
    named scopes inside a module.
    """
    path: tuple[str, ...] = ()
    for name in scope:
        if (*path, name) in known:
            path = (*path, name)
    return path


def _nearest(scope: tuple[str, ...], others: Collection[tuple[str, ...]]) -> tuple[str, ...] | None:
    """The innermost of the others that the scope stands in, the top left aside."""
    inside = (scope[:n] for n in range(len(scope), 0, -1))
    return next((outer for outer in inside if outer in others), None)


def _operation(step: Step, scope: tuple[str, ...], own: _Owned) -> Layer:
    eqn = step.eqn
    name = eqn.primitive.name
    is_conv = name == operations.CONV
    weights = 0 if isinstance(step.inputs[1], Field) and step.inputs[0] == DATA else 1
    return Layer(
        path="/".join(scope),
        kind=operations.KINDS[name],
        output=operations.output(eqn),
        params=own.params,
        macs=step.macs,
        activations=prod(eqn.outvars[0].aval.shape) * step.times,
        stored=own.stored,
        field=_as_field(step),
        kernel=operations.kernel(eqn, weights),
        strides=tuple(eqn.params["window_strides"]) if is_conv else (),
        dilation=tuple(eqn.params["rhs_dilation"]) if is_conv else (),
        groups=eqn.params["feature_group_count"] if is_conv else 1,
        times=step.times,
        eqn=eqn,
    )


def _other(scope: tuple[str, ...], own: _Owned, step: Step | None) -> Layer:
    return Layer(
        path="/".join(scope),
        kind="norm" if own.names <= {"scale", "bias"} else "other",
        output=tuple(step.eqn.outvars[0].aval.shape[1:]) if step else (),
        params=own.params,
        stored=own.stored,
        field=_as_field(step) if step else None,
    )


def _as_field(step: Step) -> Field | None:
    return step.output if isinstance(step.output, Field) else None
