"""The two primitives that multiply and accumulate, read off their equations in a jaxpr.

Padding taps count and bias does not: a convolution of batch N with output OH×OW costs
N·OH·OW·KH·KW·(Cin/groups)·Cout multiply-accumulates. FLOPs are twice that.
"""

from math import prod

from jax.extend.core import JaxprEqn

CONV = "conv_general_dilated"
DOT = "dot_general"
KINDS = {CONV: "conv", DOT: "dense"}


def is_operation(eqn: JaxprEqn) -> bool:
    """Whether the equation is one of those whose MACs count."""
    return eqn.primitive.name in KINDS


def macs(eqn: JaxprEqn) -> int:
    """Multiply-accumulates of one convolution or matrix product, forward or gradient."""
    left, right = (v.aval.shape for v in eqn.invars[:2])
    out = eqn.outvars[0].aval.shape
    if eqn.primitive.name == DOT:
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return prod(out) * prod(left[d] for d in contracted)
    features_out, features_in, *spatial = eqn.params["dimension_numbers"].rhs_spec
    taps = prod(right[d] for d in spatial)
    if max(eqn.params["lhs_dilation"]) > 1:
        # The input gradient of a strided convolution: the holes between its units are no work,
        # each unit meets each tap once, so that it costs what the forward pass costs.
        groups = eqn.params["feature_group_count"] * eqn.params["batch_group_count"]
        return prod(left) * taps * right[features_out] // groups
    # right[features_in] is already divided by the groups, and grouping by batch (the weight
    # gradient of a grouped convolution) divides the output's batch.
    return prod(out) * taps * right[features_in]


def kernel(eqn: JaxprEqn, weights: int = 1) -> tuple[int, ...]:
    """The kernel's shape: (KH, KW, Cin/groups, Cout), or of a dense layer operand `weights`."""
    if eqn.primitive.name == DOT:
        return tuple(eqn.invars[weights].aval.shape)
    shape = eqn.invars[1].aval.shape
    features_out, features_in, *spatial = eqn.params["dimension_numbers"].rhs_spec
    return tuple(shape[d] for d in (*spatial, features_in, features_out))


def output(eqn: JaxprEqn) -> tuple[int, ...]:
    """The output's shape without the batch of one: (H, W, C) of a map, (C,) of a vector."""
    shape = tuple(eqn.outvars[0].aval.shape)
    if eqn.primitive.name == CONV:
        _, features, *spatial = eqn.params["dimension_numbers"].out_spec
        return tuple(shape[d] for d in (*spatial, features))
    return shape[1:] if shape[:1] == (1,) else shape
