"""A net's variables and forward pass, traced once, are those of its `init` and its `apply`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun

from cnnjax import nets
from cnnjax.compute.forward import _given, abstract_variables, forward
from cnnjax.compute.spatial import DATA, IMAGE
from cnnjax.compute.trace import trace
from cnnjax.compute.walk import total_macs, walk
from cnnjax.nets import vary
from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.values import value
from tests import zoo

SHAPE = (32, 32, 3)
SMALL = (6, 6, 2)


def twice(net, shape):
    """(variables, program) by a trace each."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), image)
    apply = jax.make_jaxpr(lambda v, x: net.apply(v, x, train=False))
    return variables, apply(variables, image)


def steps(program):
    _, found = walk(program, [DATA] * (len(program.in_avals) - 1) + [IMAGE])
    return [(s.eqn.primitive.name, s.scope, s.macs, s.inputs, s.output) for s in found]


@pytest.mark.parametrize("name", sorted({*zoo.REPRESENTATIVES.values()}))
def test_one_trace_is_that_of_init_and_of_apply(name):
    net = vary.depth(nets.get(name, 10, SHAPE), 1)
    variables, program = twice(net, SHAPE)
    found = forward(net, SHAPE)
    assert found.variables == variables
    assert found.program.in_avals == program.in_avals
    assert found.program.out_avals == program.out_avals
    assert steps(found.program) == steps(program)


def test_what_is_computed_is_what_the_net_computes():
    shape = (16, 16, 3)
    net = vary.depth(nets.get("resnet14_slim", 5, shape), 1)
    draws = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: jnp.asarray(draws.uniform(0.5, 1, x.shape), x.dtype),
        abstract_variables(net, shape),
    )
    image = jnp.asarray(draws.normal(size=(1, *shape)), jnp.float32)
    program = forward(net, shape).program
    (logits,) = jaxpr_as_fun(program)(*jax.tree.leaves(variables), image)
    np.testing.assert_allclose(logits, net.apply(variables, image), rtol=1e-6)


def test_what_the_caller_takes_out_of_the_variables_the_next_one_finds():
    net = nets.get("vgg4_slim", 10, SHAPE)
    abstract_variables(net, SHAPE).clear()
    assert set(abstract_variables(net, SHAPE)) == {"params", "batch_stats"}


class OtherAtFirst(nn.Module):
    """Computes more while it is initialised than it does afterwards."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(3, (3, 3))(x)
        if self.is_initializing():
            x = nn.Conv(3, (3, 3), name="first")(x)
        return x.mean((1, 2))


def test_of_a_module_by_hand_it_is_what_it_computes_afterwards():
    found = forward(OtherAtFirst(), SMALL)
    assert set(found.variables["params"]) == {"Conv_0", "first"}
    assert total_macs(walk(found.program, [DATA] * 4 + [IMAGE])[1]) == 6 * 6 * 9 * 2 * 3


@value
class Called:
    """A block whose scope is a call of its own, which makes the weights and the map at once."""

    def __call__(self, x, ctx, step):
        return nn.jit(nn.Conv)(3, (3, 3), name="conv")(x)


class Constant(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", lambda key: jnp.float32(2))


@value
class Scaled:
    """A block whose weight is no array but a number in the program."""

    def __call__(self, x, ctx, step):
        return Constant(name="scaled")(x)


@pytest.mark.parametrize("block", [Called(), Scaled()])
def test_what_can_not_be_cut_out_of_one_trace_takes_two(block):
    net = Net((Stage(Plain(3)), Stage(block)), Head(4))
    variables, program = twice(net, SMALL)
    image = jax.ShapeDtypeStruct((1, *SMALL), jnp.float32)
    both, shapes = jax.make_jaxpr(
        lambda x: net.init_with_output(jax.random.key(0), x), return_shape=True
    )(image)
    assert _given(both, len(jax.tree.leaves(shapes[1]))) is None
    found = forward(net, SMALL)
    assert found.variables == variables
    assert steps(found.program) == steps(program)
    assert sum(layer.params for layer in trace(net, SMALL).layers) == sum(
        x.size for x in jax.tree.leaves(variables["params"])
    )
