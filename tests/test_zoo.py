"""What holds for every net of the family, and for every axis on each of them."""

import functools
import json
import math
import os
import re
import subprocess
import sys

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import nets, values
from cnnjax.compute import params
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.auxiliary import COLLECTION, sowed
from cnnjax.nets.net import Net
from cnnjax.train.initial import drawn
from cnnjax.transfer.slots import slots
from tests import zoo

SMALL = (32, 32, 3)
MNIST = (28, 28, 1)


# Values.


@pytest.mark.parametrize("name", zoo.NAMES)
def test_a_net_survives_json(name):
    for shape in (None, SMALL):
        net = nets.get(name, input_shape=shape)
        read = values.from_json(json.loads(json.dumps(values.to_json(net))))
        assert read == net
        assert hash(read) == hash(net)
        assert values.key(read) == values.key(net)


def test_names_stand_for_different_nets():
    found = {}
    for name in zoo.NAMES:
        found.setdefault(zoo.native(name), []).append(name)
    assert [names for names in found.values() if len(names) > 1] == []


def test_keys_are_those_of_another_process():
    """Nothing of a key hangs on the order of a set, an address, or what was imported before."""
    code = "from cnnjax import nets, values; " + (
        "print(*(values.key(nets.get(name)) for name in nets.names()))"
    )
    env = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.split() == [values.key(nets.get(name)) for name in zoo.NAMES], done.stderr


# Native and adapted.


@zoo.each
def test_native_parameters_are_those_counted(name):
    net, shape = zoo.native(name), nets.native_shape(name)
    assert params.total(trace(net, shape)) == initialised(zoo.abstract(net, shape))


def initialised(variables: dict) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def halves(name: str, shape: tuple[int, int, int]) -> bool:
    """Whether it is a VGG of five pools and the images can't be halved five times."""
    return name.startswith("vgg") and name != "vgg4_slim" and min(shape[:2]) < 32


@zoo.each
def test_every_net_adapts_to_small_images(name):
    for shape in (SMALL, MNIST):
        net = nets.get(name, 10, shape)
        image = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        with zoo.ones():
            run = functools.partial(jax.eval_shape, functools.partial(net.apply, mutable=True))
            if halves(name, shape):
                with pytest.raises(UserError, match="^stage5/.* map; use "):
                    run({}, image)
            else:
                logits, _ = run({}, image)
                assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", zoo.NAMES)
def test_a_net_says_that_it_was_adapted_if_it_was(name):
    native = nets.get(name, 10, nets.native_shape(name))
    assert native.adapted == ""
    assert native == nets.get(name, 10)
    for shape in (SMALL, MNIST):
        net = nets.get(name, 10, shape)
        if not (name in zoo.FAMILIES["lenet"] and shape == MNIST):  # Padded as the paper has them.
            assert (net.adapted != "") == (net.clone(adapted="") != native)


# Axes.


@functools.cache
def shallow(name: str, shape: tuple[int, int, int], deep: bool) -> Net:
    """For small images, at a block a stage unless `deep`: depth costs time and shows nothing."""
    net = nets.get(name, 7, shape)
    return net if deep else vary.depth(net, 1)


# A layer that does not fit its map, by its scope; or an axis that the net has not.
REFUSALS = (
    r"(stem|neck|head|stage\d+)\S*: ",
    r"\w+: this net has nothing that the axis \w+ could change",
    r"output_stride: the strides multiply to",
    r"padding: \w+ of this net is always padded on both sides alike",
)


@hypothesis.settings(max_examples=10)
@hypothesis.given(
    st.sampled_from(zoo.NAMES),
    st.dictionaries(st.sampled_from(sorted(zoo.SETTINGS)), st.none(), max_size=3),
    st.sampled_from([(32, 32, 3), (28, 28, 1), (64, 64, 3)]),
    st.data(),
)
def test_any_axes_on_any_net_give_a_net_that_trains_and_whose_cost_is_known(
    name, axes, shape, data
):
    axes = {axis: data.draw(zoo.SETTINGS[axis], axis) for axis in axes}
    try:
        net = vary.apply(shallow(name, shape, zoo.blocks(name) <= 8), **axes)
        counted = params.total(trace(net, shape))
        variables = zoo.abstract(net, shape)
    except UserError as e:
        assert any(re.match(pattern, str(e)) for pattern in REFUSALS), e
        return
    assert counted == initialised(variables)
    image = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    assert jax.eval_shape(net.apply, variables, image).shape == (2, 7)
    gradient = jax.eval_shape(
        jax.grad(functools.partial(loss, net)), variables["params"], variables, image
    )
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, variables["params"])


def loss(net: Net, params: dict, variables: dict, images: jax.Array) -> jax.Array:
    """Of logits in training, auxiliary ones too."""
    logits, changed = net.apply(
        variables | {"params": params}, images, train=True, mutable=["batch_stats", COLLECTION]
    )
    every = [logits, *(head.logits for head in sowed(changed))]
    return sum(jnp.mean(jax.nn.logsumexp(y, axis=-1) - y[:, 0]) for y in every)


def pads(net: Net, shape: tuple[int, int, int]) -> dict[str, tuple]:
    """By layer, how its strided convolutions are padded, and what TensorFlow would do."""
    found = {}
    for slot in slots(net, shape):
        if slot.stride > 1 and slot.shapes["kernel"][0] > 1:
            reach = slot.dilation * (slot.shapes["kernel"][0] - 1)
            totals = [
                max(0, (-(-n // slot.stride) - 1) * slot.stride + reach + 1 - n) for n in slot.size
            ]
            found[slot.path] = (slot.pads, tuple((n // 2, n - n // 2) for n in totals))
    return found


@pytest.mark.parametrize("name", zoo.NAMES)
def test_padding_set_twice_is_set_once_and_symmetric_changes_no_symmetric_net(name):
    net = zoo.native(name)
    symmetric = vary.padding(net, "symmetric")
    assert vary.padding(symmetric, "symmetric") == symmetric
    try:
        same = vary.padding(net, "same")
    except UserError as e:
        assert re.match(REFUSALS[-1], str(e))
        assert symmetric == net
    else:
        assert vary.padding(same, "same") == same == vary.padding(symmetric, "same")
        assert vary.padding(same, "symmetric") == symmetric
        assert net in (same, symmetric)
        assert (net == same) == (name.startswith(("mobilenet", "efficientnet")))


@pytest.mark.parametrize("name", zoo.REPRESENTATIVES.values())
def test_padding_reaches_every_strided_convolution_or_is_refused(name):
    """On even maps, as those of 64 pixels are; half of a net padded otherwise would be neither."""
    shape = (64, 64, nets.native_shape(name)[2])
    net = nets.get(name, 7, shape)
    assert all(low == high for given, _ in pads(vary.padding(net, "symmetric"), shape).values()
               for low, high in given)  # fmt: skip
    try:
        same = vary.padding(net, "same")
    except UserError:
        return
    assert all(given == wanted for given, wanted in pads(same, shape).values())


def test_padding_by_stage_and_what_is_no_padding():
    net = zoo.native("mobilenet_v1_025")
    half = vary.padding(net, ("same", "same", "symmetric", "symmetric", "symmetric"))
    assert half.stages[:2] == net.stages[:2]
    assert half.stages[2:] == vary.padding(net, "symmetric").stages[2:]
    with pytest.raises(UserError, match="unknown padding 'symetric': did you mean 'symmetric'"):
        nets.get("mobilenet_v2", padding="symetric")
    with pytest.raises(UserError, match="padding: Residual of this net is always padded on both"):
        nets.get("resnet18", padding="same")


# Concrete runs.


@pytest.mark.parametrize("name", zoo.REPRESENTATIVES.values())
def test_a_net_of_each_family_computes_and_learns(name):
    net = vary.width(shallow(name, SMALL, False), 0.1)
    images = jax.random.normal(jax.random.key(0), (4, *SMALL))
    variables = zoo.started(net, *SMALL)
    step = jax.jit(jax.value_and_grad(functools.partial(loss, net)))
    found, gradient = step(variables["params"], variables, images)
    assert np.isfinite(found)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    kernels = [leaf for leaf in jax.tree.leaves(gradient) if leaf.ndim > 1]
    assert all(np.abs(kernel).max() > 0 for kernel in kernels)


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.REPRESENTATIVES.values())
def test_a_net_of_each_family_begins_finite(name):
    net = vary.width(shallow(name, SMALL, False), 0.1)
    variables = drawn(lambda key: net.init(key, jnp.zeros((1, *SMALL))))(jax.random.key(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
