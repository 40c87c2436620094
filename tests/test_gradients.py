"""What gradients tell of a net: its effective receptive field, and how they flow through it."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax import compute, nets
from cnnjax.compute.last_map import last_map
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError
from tests.zoo import started


def images(n, *shape):
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32)


# The last map.


class Ending(nn.Module):
    """A map of 8×6 units, sown, and `end` behind it; wrapped as asked for."""

    end: str

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3), strides=2, name="conv")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, name="norm")(x))
        self.sow("maps", "last", x)
        return getattr(self, self.end)(x)

    def nothing(self, x):
        return x

    def pooled(self, x):
        return nn.Dense(3)(x.mean(axis=(1, 2)))

    def flattened(self, x):
        return nn.Dense(3)(x.reshape(x.shape[0], -1))

    def pooled_in_a_call(self, x):
        """The map goes on a little and ends within the call: its last form is the last map."""
        return nn.Dense(3)(jax.jit(lambda x: jnp.square(jnp.abs(x)).mean(axis=(1, 2)))(x))

    def two_poolings(self, x):
        return jnp.concatenate([x.max(axis=(1, 2)), x.mean(axis=(1, 2))], axis=-1)

    def chosen(self, x):
        keep = x.shape[0] > jnp.asarray(0)
        return lax.cond(keep, lambda x: x.mean(axis=(1, 2)), lambda x: x.max(axis=(1, 2)), x)

    def unused_map(self, x):
        nn.Conv(4, (9, 9))(x)
        return self.pooled(x)

    def turned(self, x):
        return self.pooled(x.transpose(0, 3, 1, 2).transpose(0, 2, 3, 1))


class Whole(nn.Module):
    """A net in one call."""

    end: str

    @nn.compact
    def __call__(self, x, train=False):
        return nn.jit(Ending, static_argnums=(2,))(self.end, name="inner")(x, train)


ENDS = ["nothing", "pooled", "flattened", "pooled_in_a_call", "two_poolings", "chosen"]
ENDS += ["unused_map", "turned"]


@pytest.mark.parametrize("wrap", [Ending, Whole])
@pytest.mark.parametrize("end", ENDS)
def test_the_last_map_is_found_in_any_net(end, wrap):
    net, x = wrap(end), images(1, 16, 12, 3)
    variables = started(net, 16, 12, 3)
    run, field = last_map(net, variables, x)
    _, sown = net.apply(variables, x, mutable=["maps"])
    (expected,) = jax.tree.leaves(sown)
    if end == "pooled_in_a_call":
        expected = expected**2
    np.testing.assert_allclose(run(variables, x), expected, rtol=1e-6)
    assert [axis.dim for axis in field.axes] == [1, 2]
    assert field.sizes == trace(net, (16, 12, 3)).field.sizes


def test_a_net_without_a_map_is_named():
    class Flat(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dense(3)(x.reshape(x.shape[0], -1))

    with pytest.raises(UserError, match="computes no map of the image: use one with a spatial"):
        compute.effective_field(Flat(), started(Flat(), 4, 4, 1), images(1, 4, 4, 1))


# The effective receptive field.


class Stack(nn.Module):
    """Convolutions of one size, an activation between them."""

    kernels: tuple[int, ...]
    features: int = 1
    strides: int = 1
    act: Any = None

    @nn.compact
    def __call__(self, x, train=False):
        for size in self.kernels:
            x = nn.Conv(self.features, (size, size), strides=self.strides, padding=size // 2)(x)
            x = self.act(x) if self.act else x
        return nn.Dense(2)(x.mean(axis=(1, 2)))


def ones(net, *shape):
    return jax.tree.map(jnp.ones_like, started(net, *shape))


def test_one_convolution_is_its_kernel():
    net = Stack((5,))
    variables = started(net, 12, 9, 1)
    kernel = variables["params"]["Conv_0"]["kernel"][..., 0, 0]
    field = compute.effective_field(net, variables, images(2, 12, 9, 1))
    assert field.box == ((4, 8), (2, 6))
    expected = np.zeros((12, 9))
    expected[4:9, 2:7] = np.abs(kernel)
    np.testing.assert_allclose(field.gradient, expected, rtol=1e-5)


def test_channels_are_averaged_as_squares():
    net = Stack((3,), features=64)
    variables = started(net, 7, 7, 2)
    kernel = variables["params"]["Conv_0"]["kernel"]
    field = compute.effective_field(net, variables, images(64, 7, 7, 2))
    expected = np.sqrt(np.square(kernel).mean(axis=(2, 3)))
    np.testing.assert_allclose(field.gradient[2:5, 2:5], expected, rtol=0.2)  # Random signs.
    other = compute.effective_field(net, variables, images(64, 7, 7, 2), seed=1)
    assert (field.gradient != other.gradient).any()


def test_sizes_of_stacks_are_known():
    """All weights one: the coefficients of (1 + x + x²)ⁿ along each axis."""
    for n in (1, 3, 7):
        net, line = Stack((3,) * n), np.array(np.poly1d([1, 1, 1]) ** n)
        field = compute.effective_field(net, ones(net, 21, 21, 1), images(1, 21, 21, 1))
        table = np.outer(line, line)
        assert field.size == np.sqrt((table > (1 - 0.9545) * table.max()).sum())
        np.testing.assert_allclose(field.gradient[10 - n : 11 + n, 10 - n : 11 + n], table)


def test_the_share_of_the_field_that_counts_falls_with_depth():
    """Luo et al. 2016: the effective field grows as the root of the depth, the field with it."""
    shares = []
    for n in (1, 4, 16):
        net = Stack((3,) * n, features=4, act=nn.relu)
        field = compute.effective_field(net, started(net, 41, 41, 1), images(8, 41, 41, 1))
        shares.append(field.size / (2 * n + 1))
    assert shares[0] == 1 and shares[0] > shares[1] > shares[2]


def test_nothing_lies_outside_the_box():
    net = nets.get("vgg4_slim", input_shape=(40, 40, 3), pooling="avg", norm="none")
    field = compute.effective_field(net, started(net, 40, 40, 3), images(3, 40, 40, 3))
    (top, bottom), (left, right) = field.box
    inside = np.zeros((40, 40), bool)
    inside[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
    assert (field.gradient[~inside] == 0).all()
    seen = np.argwhere(field.gradient > 0)
    assert (seen.min(axis=0) == [top, left]).all()
    assert (seen.max(axis=0) == [bottom, right]).all()
    assert 0 < field.size < compute.measure(net, (40, 40, 3))["receptive_field"] == bottom - top + 1


def test_a_dead_net_sees_nothing():
    net = Stack((3,))
    zeros = jax.tree.map(jnp.zeros_like, started(net, 5, 5, 1))
    assert compute.effective_field(net, zeros, images(1, 5, 5, 1)).size == 0


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((5, 5, 1), np.float32), np.zeros((2, 5, 5, 1), np.uint8), np.zeros((0, 5, 5, 1))],
    ids=["one image", "bytes", "none"],
)
def test_images_of_the_effective_field_are_checked(wrong):
    net = Stack((3,))
    with pytest.raises(UserError, match=r"normalised images as floats \[N, H, W, C\], not"):
        compute.effective_field(net, started(net, 5, 5, 1), wrong)


# Gradient flow.


def flow(net, *shape, n=4, classes=2):
    labels = np.arange(n) % classes
    return compute.gradient_flow(net, started(net, *shape), images(n, *shape), labels)


def test_rows_are_the_gradients_of_the_kernels():
    net, x, labels = (
        Stack((3, 3), features=3, act=nn.relu),
        images(4, 6, 6, 2),
        np.array([0, 1, 1, 0]),
    )
    variables = started(net, 6, 6, 2)

    def loss(params):
        scores = jax.nn.log_softmax(net.apply({"params": params}, x))
        return -scores[jnp.arange(4), labels].mean()

    gradient = jax.jit(jax.grad(loss))(variables["params"])
    rows = compute.gradient_flow(net, variables, x, labels)
    assert [row["layer"] for row in rows] == ["Conv_0", "Conv_1", "Dense_0"]
    assert [row["depth"] for row in rows] == [1, 2, 3]
    for row in rows:
        g, w = (tree[row["layer"]]["kernel"] for tree in (gradient, variables["params"]))
        np.testing.assert_allclose(row["gradient"], np.linalg.norm(np.ravel(g)), rtol=1e-4)
        np.testing.assert_allclose(row["weights"], np.linalg.norm(np.ravel(w)), rtol=1e-4)
        assert row["relative"] == row["gradient"] / row["weights"]


def test_sigmoid_starves_the_first_layers_and_relu_does_not():
    """Each layer of sigmoids divides the gradient by four and more."""

    def reaching(act):
        rows = flow(Stack((3,) * 8, features=8, act=act), 8, 8, 3)
        return rows[0]["gradient"] / rows[7]["gradient"]

    assert reaching(nn.sigmoid) < 4.0**-6 < 0.03 < reaching(nn.relu)


def test_a_vanished_gradient_is_no_zero():
    class Faint(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dense(2)(1e-30 * nn.Dense(3)(x.reshape(x.shape[0], -1)))

    first, last = flow(Faint(), 3, 3, 1)
    assert 0 < first["gradient"] < 1e-28  # Its square is beneath float32.
    assert 0 < last["gradient"] < 1e-28


def test_shortcuts_carry_the_gradient_past_the_branches():
    """With the branches' last norms at zero a residual net is its shortcuts: what is inside gets
    nothing, all else does."""
    changes = {"depth": 1, "width": 1 / 4, "shortcut": "projection"}
    net = nets.get("resnet20", input_shape=(8, 8, 3), **changes)

    def silence(path, leaf):
        names = [key.key for key in path]
        return jnp.zeros_like(leaf) if names[-2:] == ["norm2", "scale"] else leaf

    silent = jax.tree_util.tree_map_with_path(silence, started(net, 8, 8, 3))
    rows = compute.gradient_flow(net, silent, images(4, 8, 8, 3), np.arange(4))
    layers = [layer.path for layer in trace(net, (8, 8, 3)).layers if layer.macs]
    assert [row["layer"] for row in rows] == layers
    assert "stage3/block1/shortcut_conv" in layers
    for row in rows:
        assert (row["gradient"] == 0) == row["layer"].endswith(("conv1", "conv2"))


def test_batch_norms_use_the_batch_and_nothing_is_changed():
    net = Ending("pooled")
    variables = started(net, 16, 12, 3)
    other = variables | {"batch_stats": jax.tree.map(lambda s: s + 7, variables["batch_stats"])}
    x, labels = images(4, 16, 12, 3), np.array([0, 2, 1, 2])
    before = jax.tree.map(np.asarray, variables)
    assert compute.gradient_flow(net, variables, x, labels) == compute.gradient_flow(
        net, other, x, labels
    )
    jax.tree.map(np.testing.assert_array_equal, before, variables)


def test_shared_unused_and_dropped_layers():
    class Odd(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            shared = nn.Conv(3, (1, 1), name="shared")
            x = nn.Dropout(0.5, deterministic=not train)(shared(shared(x)))
            self.param("unused", nn.initializers.ones, (3, 3))
            return nn.Dense(2, name="last")(x.mean(axis=(1, 2)))

    variables = started(Odd(), 4, 4, 3)
    kernel = variables["params"]["last"]["kernel"]
    variables["params"]["last"]["kernel"] = jnp.zeros_like(kernel)
    rows = compute.gradient_flow(Odd(), variables, images(4, 4, 4, 3), np.arange(4) % 2)
    shared, last = rows
    assert (shared["layer"], shared["depth"], shared["gradient"]) == ("shared", 1, 0.0)
    assert last["gradient"] > 0
    assert (last["weights"], last["relative"]) == (0.0, None)


def test_auxiliary_heads_add_to_the_gradient_and_have_no_rows():
    from cnnjax.nets.auxiliary import AuxiliaryHead, Watched
    from cnnjax.nets.blocks import Plain
    from cnnjax.nets.net import Head, Net, Stage
    from cnnjax.nets.pools import Average, Pool

    def net(weight):
        pool = Pool(Average(), window=4, stride=4)
        watcher = AuxiliaryHead(Head(2, hidden=(3,)), features=2, pool=pool, weight=weight)
        return Net(stages=(Stage(Watched(Plain(4), watcher)),), head=Head(2))

    without, with_head = (flow(net(weight), 8, 8, 3) for weight in (0.0, 5.0))
    assert [row["layer"] for row in with_head] == ["stage1/block1/conv", "head/logits"]
    assert without[0]["gradient"] != with_head[0]["gradient"]
    assert without[1]["gradient"] == pytest.approx(with_head[1]["gradient"], rel=1e-5)


@pytest.mark.parametrize(
    ("x", "labels"),
    [((2, 5, 5, 1), [0, 1, 1]), ((5, 5, 1), [0]), ((0, 5, 5, 1), []), ((2, 5, 5, 1), [0.0, 1.0])],
    ids=["counts", "one image", "none", "fractions"],
)
def test_batches_of_the_gradient_flow_are_checked(x, labels):
    net = Stack((3,))
    with pytest.raises(UserError, match="for each the number of its class, not"):
        compute.gradient_flow(net, started(net, 5, 5, 1), np.zeros(x), np.array(labels))
