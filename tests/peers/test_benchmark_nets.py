"""What the benchmark measures beside ours computes the same: equal logits of equal weights."""

import pytest

pytest.importorskip("torch", reason="install the extra `peers`")
pytest.importorskip("keras", reason="install the extra `peers`")

import numpy as np

from cnnjax import nets
from cnnjax.errors import UserError
from cnnjax.peers import keras_net, torch_net
from experiments import benchmark
from tests.peers import keras_peer, torch_peer

# Padding to sizes that strides leave uneven, groups and both shortcuts, beside the list's nets.
MORE = {"resnet20_b": {}, "plain20": {}, "vgg4_slim": {"norm": "none"}, "resnet14_slim": {}}
LIST = benchmark.LIST | {name: (name, axes) for name, axes in MORE.items()}


@pytest.mark.parametrize("name", LIST)
def test_pytorchs_version_has_our_logits(name):
    base, axes = LIST[name]
    net, rng = nets.get(base, 10, benchmark.SHAPE, **axes), np.random.default_rng(0)
    model = torch_net.build(net, benchmark.SHAPE)
    x = rng.normal(size=(2, *benchmark.SHAPE)).astype(np.float32)
    torch_peer.check(net, model, x, rng)


@pytest.mark.parametrize("name", LIST)
def test_keras_version_has_our_logits(name):
    base, axes = LIST[name]
    net, rng = nets.get(base, 10, benchmark.SHAPE, **axes), np.random.default_rng(0)
    x = rng.normal(size=(2, *benchmark.SHAPE)).astype(np.float32)
    if axes.get("dilation", 1) > 1:
        with pytest.raises(UserError, match="Keras has no strided convolution that is dilated"):
            keras_net.build(net, benchmark.SHAPE)
        return
    keras_peer.check(net, lambda: keras_net.build(net, benchmark.SHAPE), list, x, rng)


@pytest.mark.parametrize("build", [torch_net.build, keras_net.build])
def test_what_has_no_version_there_is_named(build):
    with pytest.raises(UserError, match="has no version in"):
        build(nets.get("densenet121", 10, (64, 64, 3)), (64, 64, 3))
    with pytest.raises(UserError, match="GroupNorm has no version in"):
        build(nets.get("resnet20", 10, benchmark.SHAPE, norm="group"), benchmark.SHAPE)
