"""The first weights of a training on the CPU, drawn array by array by programs that all nets share.

As one program of its own a net's weights take longer to compile than its training step, since each
array is drawn by kernels of its own: ResNet-20's 6 s on one core of a Xeon, MobileNet V2's 19 s.
Here they are drawn in 0.2 and 1.2 s on a core that had other work too, once six programs are there.
On GPU and TPU one program is one dispatch, and stays.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from cnnjax.compute.walk import called, scanned

Value = Callable[[], Any]  # Computed when asked for: what nobody needs never is.

# An array's number i depends on the key and i alone, so that each is the beginning of a longer one:
# of one of few lengths, for few programs. What is longer than all of them has its own.
LENGTHS = (2**12, 2**16, 2**20)
QUICK = {"xla_backend_optimization_level": 1}  # Else it compiles for seconds.


def drawn(f: Callable[[jax.Array], Any]) -> Callable[[jax.Array], Any]:
    """What `f` is of a key, without a program for it where the backend is the CPU."""
    if jax.default_backend() != "cpu" or not jax.config.jax_threefry_partitionable:
        return jax.jit(f)
    trace = functools.cache(lambda: jax.make_jaxpr(f, return_shape=True)(jax.random.key(0)))

    def draw(key: jax.Array) -> Any:
        data = np.asarray(jax.random.key_data(key))  # Of one device, wherever the key lies.
        here = jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))
        program, shapes = trace()
        outs = _outputs(program.jaxpr, program.consts, [lambda: here])[::-1]
        leaves = []  # Each an array of its own, for a step to take over.
        while outs:  # What one was made of is given back before the next.
            leaves.append(jax.device_put(np.array(outs.pop()())))
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    return draw


def _outputs(
    program: Jaxpr | ClosedJaxpr, consts: Sequence[Any], ins: Sequence[Value]
) -> list[Value]:
    if isinstance(program, ClosedJaxpr):
        program, consts = program.jaxpr, program.consts
    values = {v: lambda c=c: c for v, c in zip(program.constvars, consts, strict=True)}
    values |= zip(program.invars, ins, strict=True)

    def read(v: Any) -> Value:
        return (lambda: v.val) if isinstance(v, Literal) else values[v]

    for eqn in program.eqns:
        values.update(zip(eqn.outvars, _computed(eqn, [*map(read, eqn.invars)]), strict=True))
    return [read(v) for v in program.outvars]


def _computed(eqn: JaxprEqn, ins: list[Value]) -> list[Value]:
    compute = _DRAWS.get(eqn.params.get("name")) if eqn.primitive.name == "jit" else None
    if compute is None:
        if eqn.primitive.name == "scan":
            return _looped(eqn, ins)
        if (inner := called(eqn)) is not None:
            return _outputs(inner, (), ins)
        compute = _HOST.get(eqn.primitive.name, _bound)
    results = functools.cache(lambda: compute(eqn, *(value() for value in ins)))
    return [lambda i=i: results()[i] for i in range(len(eqn.outvars))]


def _looped(eqn: JaxprEqn, ins: list[Value]) -> list[Value]:
    body, length = eqn.params["jaxpr"], eqn.params["length"]
    held, carry, slices = scanned(eqn, ins)
    stacked: list[list[Value]] = []
    for i in range(length):
        here = [lambda x=x, i=i: x()[i] for x in slices]
        outs = _outputs(body, (), [*held, *carry, *here])
        carry, each = outs[: len(carry)], outs[len(carry) :]
        stacked.append(each)
    columns = zip(*stacked, strict=True)
    return [*carry, *(lambda c=c: np.stack([value() for value in c]) for c in columns)]


def _bound(eqn: JaxprEqn, *ins: Any) -> list[Any]:
    found = eqn.primitive.bind(*ins, **eqn.primitive.get_bind_params(eqn.params))
    return found if eqn.primitive.multiple_results else [found]


def _length(size: int) -> int:
    return next((n for n in LENGTHS if n >= size), size)


@functools.partial(jax.jit, static_argnames=("size", "dtype"), compiler_options=QUICK)
def _uniform(key: jax.Array, low: Any, high: Any, size: int, dtype: Any) -> jax.Array:
    return jax.random.uniform(key, (size,), dtype, low, high)


def _drawn(eqn: JaxprEqn, key: jax.Array, low: Any, high: Any) -> list[Any]:
    out = eqn.outvars[0].aval
    longer = _uniform(key, low, high, size=_length(out.size), dtype=out.dtype)
    return [np.asarray(longer)[: out.size].reshape(out.shape)]


# What `jax.random` draws everything from; under another name it would be computed step by step.
_DRAWS = {"_uniform": _drawn}

_erf_inv = jax.jit(lax.erf_inv, compiler_options=QUICK)


def _inverted(eqn: JaxprEqn, x: np.ndarray) -> list[Any]:
    longer = np.resize(x, _length(x.size))
    return [np.asarray(_erf_inv(longer))[: x.size].reshape(x.shape)]


def _filled(eqn: JaxprEqn, x: Any, *_: Any) -> list[Any]:
    shape, at = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    if not np.ndim(x):
        return [np.full(shape, x, eqn.outvars[0].aval.dtype)]
    sizes = dict(zip(at, np.shape(x), strict=True))
    return [np.broadcast_to(np.reshape(x, [sizes.get(i, 1) for i in range(len(shape))]), shape)]


def _sliced(eqn: JaxprEqn, x: Any) -> list[Any]:
    firsts, lasts = eqn.params["start_indices"], eqn.params["limit_indices"]
    steps = eqn.params["strides"] or (1,) * len(firsts)
    return [x[tuple(map(slice, firsts, lasts, steps))]]


def _by(f: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda eqn, *ins: [np.asarray(f(*ins), eqn.outvars[0].aval.dtype)]


# What costs nothing but a program for every shape, and is NumPy's to the bit but for `erf_inv`.
_HOST: dict[str, Callable[..., list[Any]]] = {
    "broadcast_in_dim": _filled,
    "convert_element_type": _by(lambda x: x),
    "copy": lambda eqn, x: [x],
    "div": _by(np.divide),
    "erf_inv": _inverted,
    "max": _by(np.maximum),
    "min": _by(np.minimum),
    "mul": _by(np.multiply),
    "reshape": lambda eqn, x, *_: [x.reshape(eqn.params["new_sizes"])],
    "slice": _sliced,
    "sqrt": _by(np.sqrt),
    "squeeze": lambda eqn, x: [x.squeeze(eqn.params["dimensions"])],
}
