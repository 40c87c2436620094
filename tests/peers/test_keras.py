import pytest

pytest.importorskip("keras", reason="install the extra `peers`")

from functools import partial

import keras
import numpy as np
from keras import applications

import cnnjax
from cnnjax.nets.activations import LeakyReLU, ReLU
from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Head, Net, Stage
from tests.peers import carry, keras_peer
from tests.peers.carry import Layer

NATIVE = (224, 224, 3)
SMALL = (64, 96, 3)  # Not square; of MobileNet only multiples of 32 are equal.
MIDDLE = (96, 112, 3)  # Where a kernel of 5×5 shall fit the last map.
PLAIN = {"include_preprocessing": False}


def resnet(found: list[Layer]) -> list[Layer]:
    """Without the biases before the norms, and a block's shortcut, its layers 0, behind it."""
    found = keras_peer.biases_in_norms(found)
    return carry.shortcuts_last(found, block=r"conv\d_block\d+_", shortcut="_0_")


# Ours → (the peer, how to arrange its layers, the images).
PEERS = {
    "vgg16": (applications.VGG16, list, NATIVE),
    "resnet50_v1": (applications.ResNet50, resnet, SMALL),
    "mobilenet_v1": (applications.MobileNet, list, SMALL),
    "mobilenet_v2": (applications.MobileNetV2, list, MIDDLE),
    "mobilenet_v3_large": (partial(applications.MobileNetV3Large, **PLAIN), list, MIDDLE),
    "mobilenet_v3_small": (partial(applications.MobileNetV3Small, **PLAIN), list, MIDDLE),
}


@pytest.mark.parametrize("name", PEERS)
def test_logits_are_those_of_the_peer(name):
    make, arrange, shape = PEERS[name]
    rng = np.random.default_rng(0)
    x = carry.images(rng, 2, shape)
    make = partial(make, weights=None, input_shape=shape, classes=10, classifier_activation=None)
    net = cnnjax.get(name, 10)
    print(f"{name}: {keras_peer.check(net, make, arrange, x, rng):.1e}")


def small():
    """Keras' twin of one plain layer."""
    x = inputs = keras.Input((8, 12, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(epsilon=1e-5)(x))
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))


def test_a_net_that_differs_is_found_and_its_first_layer_named():
    x = carry.images(np.random.default_rng(0), 2, (8, 12, 3))

    def compare(act):
        net = Net(stages=(Stage(Plain(4, act=act)),), head=Head(5))
        rng = np.random.default_rng(0)
        keras_peer.check(net, small, keras_peer.biases_in_norms, x, rng)

    compare(ReLU())
    with pytest.raises(AssertionError, match="head/logits .* and the peer's dense.* differ first"):
        compare(LeakyReLU())
