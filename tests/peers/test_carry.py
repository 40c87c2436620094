"""The carrier itself; it needs no peer."""

import jax
import numpy as np
import pytest

from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from tests.peers import carry
from tests.peers.carry import Layer

SHAPE = (6, 8, 3)
NET = Net(stages=(Stage(Plain(4)),), head=Head(5, reduce=Flatten()))


def linear(where, *shape, **more):
    return Layer(where, "linear", {"kernel": np.zeros(shape), **more})


def peers_of(net, rng):
    """The net's own layers, their values drawn, as a peer's."""
    return [
        Layer(
            f"peer of {layer.where}",
            layer.kind,
            {name: carry.draw(rng, name, v.shape, 9) for name, v in layer.values.items()},
            layer.epsilon,
        )
        for layer in carry.layers_of(net, SHAPE)
    ]


def test_layers_stand_in_order_of_execution_with_what_they_hold():
    found = [(layer.where, layer.kind, {*layer.values}) for layer in carry.layers_of(NET, SHAPE)]
    assert found == [
        ("stage1/block1/conv", "linear", {"kernel"}),
        ("stage1/block1/norm", "norm", {"scale", "bias", "mean", "var"}),
        ("head/logits", "linear", {"kernel", "bias"}),
    ]


def test_variables_are_those_of_the_net():
    peers = peers_of(NET, np.random.default_rng(0))
    found = carry.variables(carry.pair(carry.layers_of(NET, SHAPE), peers))
    wanted = jax.eval_shape(NET.init, jax.random.key(0), np.zeros((1, *SHAPE), np.float32))
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, wanted)
    np.testing.assert_array_equal(
        found["batch_stats"]["stage1"]["block1"]["norm"]["var"], peers[1].values["var"]
    )


def test_equal_shapes_pair_in_order_and_a_1x1_convolution_is_a_dense_layer():
    ours = [linear("a", 1, 1, 3, 4), linear("b", 3, 3, 1, 4), linear("c", 3, 4)]
    peers = [linear("x", 3, 3, 1, 4), linear("y", 3, 4), linear("z", 1, 1, 3, 4)]
    assert [(a.where, b.where) for a, b in carry.pair(ours, peers)] == [
        ("a", "y"),
        ("b", "x"),
        ("c", "z"),
    ]


@pytest.mark.parametrize(
    ("ours", "peers", "said"),
    [
        (["a", "b"], ["x"], "of ours: b (linear 3×4); of the peer's: nothing"),
        (["a"], ["x", "y", "z"], "of ours: nothing; of the peer's: y (linear 3×4), z (linear 3×4)"),
    ],
)
def test_layers_left_over_are_named(ours, peers, said):
    sides = [[linear(where, 3, 4) for where in side] for side in (ours, peers)]
    with pytest.raises(AssertionError) as caught:
        carry.pair(*sides)
    assert said in str(caught.value)


def test_a_value_of_one_side_only_and_another_epsilon_are_named():
    with pytest.raises(AssertionError, match="a has kernel, the peer's x has kernel, bias"):
        carry.variables([(linear("a", 3, 4), linear("x", 3, 4, bias=np.zeros(4)))])
    norms = [Layer(w, "norm", {"scale": np.ones(4)}, e) for w, e in (("a", 1e-5), ("x", 1e-3))]
    with pytest.raises(AssertionError, match="a has epsilon 1e-05, the peer's x 0.001"):
        carry.variables([norms])


def test_shortcuts_go_behind_their_block():
    found = [linear(w, 3, 4) for w in ("stem", "block1_0", "block1_1", "block2_0", "block2_1")]
    arranged = carry.shortcuts_last(found, block=r"block\d", shortcut="_0")
    names = [layer.where for layer in arranged]
    assert names == ["stem", "block1_1", "block1_0", "block2_1", "block2_0"]


def test_flattened_rows_follow_their_pixels():
    chw = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    kernel = np.random.default_rng(0).normal(size=(24, 5))
    ours = carry.kernel_after_flatten(kernel, (2, 3, 4))
    np.testing.assert_allclose(chw.transpose(1, 2, 0).ravel() @ ours, chw.ravel() @ kernel)


def test_logits_that_no_image_moves_are_no_comparison():
    same = np.ones((2, 5), np.float32)
    x = np.zeros((2, *SHAPE), np.float32)
    with pytest.raises(AssertionError, match="differ from image to image only by"):
        carry.check(NET, peers_of(NET, np.random.default_rng(0)), x, same, dict)
