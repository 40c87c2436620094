"""Measures read off the program: against hand computation, laws, XLA's counts, published grids."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnnjax import compute, nets
from cnnjax.compute import activation_memory, inside_macs, intensity, traffic, weight_memory
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError
from cnnjax.nets import vary

NHWC = ("NHWC", "HWIO", "NHWC")


def shaped(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


# MACs inside the map.


@st.composite
def convolutions(draw):
    """(image, kernel, options) of any convolution, holes between its units too."""
    groups = draw(st.integers(1, 2))
    features_in, features_out = (groups * draw(st.integers(1, 2)) for _ in range(2))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(2))
    size = tuple(draw(st.integers(1, 7)) for _ in range(2))
    options = {
        "window_strides": tuple(draw(st.integers(1, 3)) for _ in range(2)),
        "padding": tuple((draw(st.integers(0, 12)), draw(st.integers(0, 12))) for _ in range(2)),
        "rhs_dilation": tuple(draw(st.integers(1, 3)) for _ in range(2)),
        "lhs_dilation": tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in range(2)),
        "feature_group_count": groups,
    }
    return (1, *size, features_in), (*kernel, features_in // groups, features_out), options


def traced_convolution(image, kernel, options):
    def convolve(x, w):
        return lax.conv_general_dilated(x, w, dimension_numbers=NHWC, **options)

    (eqn,) = jax.make_jaxpr(convolve)(shaped(*image), shaped(*kernel)).eqns
    return convolve, eqn


@given(convolutions())
@settings(max_examples=60)
def test_taps_inside_are_those_that_meet_a_unit(case):
    image, kernel, options = case
    _, eqn = traced_convolution(*case)
    _, *outputs, features = eqn.outvars[0].aval.shape
    met = features * kernel[2]
    for axis, n in enumerate(outputs):
        (low, high), holes = options["padding"][axis], options["lhs_dilation"][axis]
        line = np.zeros(low + (image[1 + axis] - 1) * holes + 1 + high, int)
        line[low : len(line) - high : holes] = 1
        stride, dilation = options["window_strides"][axis], options["rhs_dilation"][axis]
        taps = range(0, kernel[axis] * dilation, dilation)
        met *= sum(line[i * stride + tap] for i in range(n) for tap in taps)
    assert inside_macs.inside_macs(eqn) == met


@pytest.mark.parametrize("groups", [1, 3])
def test_taps_inside_are_what_ones_sum_to(groups):
    options = {"padding": ((3, 0), (1, 5)), "rhs_dilation": (2, 3), "window_strides": (1, 2)}
    image, kernel = (1, 7, 6, 3), (3, 2, 3 // groups, 6)
    case = image, kernel, options | {"feature_group_count": groups}
    convolve, eqn = traced_convolution(*case)
    ones = convolve(np.ones(image, np.float32), np.ones(kernel, np.float32))
    assert inside_macs.inside_macs(eqn) == int(ones.sum())


class Chain(nn.Module):
    """Convolutions of (features, kernel, options), activations between them, a dense layer."""

    layers: tuple

    @nn.compact
    def __call__(self, x, train=False):
        for i, (features, kernel, *options) in enumerate(self.layers):
            x = nn.Conv(features, (kernel, kernel), **dict(options), name=f"conv{i}")(x)
            x = nn.relu(x)
        return nn.Dense(3, name="head")(x.reshape(x.shape[0], -1))


PADDED = Chain(((4, 3), (6, 5, ("strides", 2)), (6, 3, ("feature_group_count", 2))))


def test_without_padding_all_macs_are_inside():
    net = Chain(((4, 3, ("padding", "VALID")), (4, 3, ("padding", 0), ("strides", 2))))
    measured = compute.measure(net, (9, 9, 2))
    assert measured["inside_macs"] == measured["macs"]


def test_inside_macs_by_hand():
    traced = trace(PADDED, (8, 8, 3))
    # Along an axis: 8·3 pairs less 2; outputs of stride 2 on 8 units padded (1, 2): 4·5 less 1 + 2;
    # 4·3 less 2.
    first, second, third = 22**2 * 3 * 4, 17**2 * 4 * 6, 10**2 * 3 * 6
    assert inside_macs.per_layer(traced) == [first, second, third, 4 * 4 * 6 * 3]
    assert inside_macs.total(traced) == sum(inside_macs.per_layer(traced))


def test_dilated_taps_lie_on_padding():
    net = nets.get("vgg4_slim", input_shape=(32, 32, 3))
    plain, dilated = (compute.measure(n, (32, 32, 3)) for n in (net, vary.dilation(net, 4)))
    assert plain["macs"] == dilated["macs"]
    assert plain["inside_macs"] > 0.88 * plain["macs"]
    assert dilated["inside_macs"] < 2 / 3 * dilated["macs"]


# XLA's count beside ours.


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "resnet18", "vgg11"])
def test_xla_counts_what_falls_inside_and_what_is_around(name):
    count = compute.compare_flops(nets.get(name, input_shape=(64, 64, 3)), (64, 64, 3))
    assert abs(count.unexplained) < 1e-4 * count.xla
    assert count.inside < count.xla < 1.03 * count.inside
    assert count.conventional == count.inside + count.padding


def test_the_difference_to_xla_is_said_in_numbers():
    count = compute.compare_flops(nets.get("resnet20"), (32, 32, 3))
    lines = str(count).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["81,102,080", f"{-count.padding:,}"]
    numbers = [float(line.split()[0].replace(",", "")) for line in lines]
    assert sum(numbers[:-1]) == numbers[-1] == count.xla
    assert count.xla < 0.93 * count.conventional


def test_temp_memory_grows_with_the_batch():
    one, four = (compute.temp_memory(PADDED, (8, 8, 3), n) for n in (1, 4))
    assert 0 < one < four


# Memory.


class Stored(nn.Module):
    """Norms with and without parameters, a scan, half-precision weights."""

    @nn.compact
    def __call__(self, x, train=False):
        class Step(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return nn.Conv(4, (3, 3), use_bias=False, name="conv")(x), None

        x = nn.Conv(4, (1, 1), param_dtype=jnp.bfloat16, name="half")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        bare = {"use_scale": False, "use_bias": False}
        x = nn.BatchNorm(use_running_average=not train, **bare, name="bare")(x)
        axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        x, _ = nn.scan(Step, length=5, **axes)(name="steps")(x, None)
        return x.mean(axis=(1, 2))


def test_weight_memory_holds_statistics_in_their_types():
    traced = trace(Stored(), (6, 6, 3))
    found = dict(
        zip((la.path for la in traced.layers), weight_memory.per_layer(traced), strict=True)
    )
    assert found == {
        "half": 2 * (3 * 4 + 4),
        "norm": 4 * 4 * 4,
        "bare": 4 * 2 * 4,
        "steps/conv": 4 * 5 * 9 * 16,
    }
    variables = jax.eval_shape(Stored().init, jax.random.key(0), shaped(1, 6, 6, 3))
    leaves = jax.tree.leaves(variables)
    assert weight_memory.total(traced) == sum(x.size * x.dtype.itemsize for x in leaves)
    assert compute.measure(Stored(), (6, 6, 3))["params"] == 16 + 8 + 5 * 144


class Shaped(nn.Module):
    """Nets whose arrays can be counted by hand, on images of 8×8×1: 256 bytes."""

    kind: str

    @nn.compact
    def __call__(self, x, train=False):
        return getattr(self, self.kind)(x)

    def conv(self, x, features, name, kernel=3):
        return nn.Conv(features, (kernel, kernel), use_bias=False, name=name)(x)

    def chain(self, x):
        """An activation writes over what it reads; the largest pair is 4 → 8 channels."""
        x = nn.relu(self.conv(x, 4, "a"))
        x = jnp.tanh(nn.sigmoid(self.conv(x, 8, "b")))
        return self.conv(x, 2, "c")

    def residual(self, x):
        """x waits while the branch goes through its widest pair."""
        x = self.conv(x, 2, "a")
        return x + self.conv(self.conv(x, 8, "b"), 2, "c")

    def wide_shortcut(self, x):
        """Both ends of the sum stand beside each other, and the sum writes over one."""
        x = self.conv(x, 4, "a")
        return self.conv(x, 4, "b") + self.conv(x, 4, "c")

    def branches(self, x):
        """Each waits for the others; together they are copied."""
        found = [self.conv(x, n, f"branch{n}") for n in (2, 3, 4)]
        return jnp.concatenate(found, axis=-1)

    def viewed(self, x):
        """Reshaped and broadcast values are not copied."""
        x = self.conv(x.reshape(1, 8, 8, 1), 4, "a").reshape(1, -1).reshape(1, 8, 8, 4)
        row = x[:, :1, :1]
        return x * jnp.broadcast_to(row, x.shape)

    def weighted(self, x):
        """What is made of parameters alone is no activation."""
        kernel = self.param("kernel", nn.initializers.ones, (64, 64))
        return x.reshape(1, -1) @ (kernel @ kernel @ kernel)

    def unused(self, x):
        self.conv(x, 32, "dead")
        return self.conv(x, 2, "a")


@pytest.mark.parametrize(
    ("kind", "maps"),
    [
        ("chain", 4 + 8),
        ("residual", 2 + 8 + 2),
        ("wide_shortcut", 4 + 4 + 4),
        ("branches", 2 * (2 + 3 + 4)),
        ("viewed", 1 + 4),
        ("weighted", 1 + 1),
        ("unused", 1 + 2),
    ],
)
def test_activation_memory_by_hand(kind, maps):
    assert compute.measure(Shaped(kind), (8, 8, 1))["activation_memory"] == 256 * maps


def test_activation_memory_of_each_layer():
    traced = trace(Shaped("residual"), (8, 8, 1))
    assert activation_memory.per_layer(traced) == [256 * n for n in (1 + 2, 2 + 8, 2 + 8 + 2)]


def test_activation_memory_inside_calls_loops_and_branches():
    class Nested(nn.Module):
        how: str

        @nn.compact
        def __call__(self, x, train=False):
            kernel = self.param("kernel", nn.initializers.ones, (3, 3, 1, 4))
            back = self.param("back", nn.initializers.ones, (3, 3, 4, 1))

            def conv(x, w):
                return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=NHWC)

            def there_and_back(x):
                return conv(conv(x, kernel), back)

            if self.how == "twice":
                once = jax.jit(there_and_back)
                return once(once(x))
            if self.how == "scan":
                return lax.scan(lambda x, _: (there_and_back(x), None), x, None, length=3)[0]
            return lax.cond(x.shape[0] > jnp.asarray(0), there_and_back, lambda x: x, x)

    called = trace(Nested("twice"), (8, 8, 1))
    assert activation_memory.per_layer(called) == [256 * 5] * 4
    assert activation_memory.total(called) == 256 * 5
    for how in ("scan", "cond"):
        traced = trace(Nested(how), (8, 8, 1))
        # The caller's input and output, and between them the body's own map.
        assert activation_memory.total(traced) == 256 * (1 + 4 + 1)
        assert set(activation_memory.per_layer(traced)) == {256 * 6}


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "vgg11"])
def test_the_peak_holds_the_largest_operation(name):
    traced = trace(nets.get(name), nets.native_shape(name))
    ends = [
        sum(v.aval.size for v in (layer.eqn.invars[0], *layer.eqn.outvars)) * 4
        for layer in traced.layers
        if layer.eqn
    ]
    assert max(ends) <= activation_memory.total(traced)
    assert max(activation_memory.per_layer(traced)) <= activation_memory.total(traced)


def test_train_memory_by_hand():
    """LeNet-5: the image; of each ReLU its mask and, as the next one's input, its output; pooled
    maps."""
    units = 28 * 28 * 6 + 10 * 10 * 16 + 120 + 84
    kept = 32 * 32 * 4 + units * (1 + 4) + (14 * 14 * 6 + 5 * 5 * 16) * 4
    net = nets.get("lenet5")
    assert compute.train_memory(net, (32, 32, 1)) == kept
    assert compute.train_memory(net, (32, 32, 1), 8) == 8 * kept


def test_train_memory_of_other_modules():
    linear = Chain(())
    assert compute.train_memory(linear, (4, 4, 2), 5) == 5 * 32 * 4  # The input of the product.
    with pytest.raises(UserError, match="a batch size is a whole number from 1 on, not 0"):
        compute.train_memory(linear, (4, 4, 2), 0)
    with pytest.raises(UserError, match="height, width and channels"):
        compute.train_memory(linear, (4, 4))
    with pytest.raises(UserError, match="a batch size is a whole number from 1 on, not 0"):
        compute.temp_memory(linear, (4, 4, 2), 0)


# Bytes moved.


def test_traffic_and_intensity_by_hand():
    traced = trace(PADDED, (8, 8, 3))
    moved = [
        4 * (64 * 3 + 9 * 3 * 4 + 64 * 4),
        4 * (64 * 4 + 25 * 4 * 6 + 16 * 6),
        4 * (16 * 6 + 9 * 3 * 6 + 16 * 6),
        4 * (96 + 96 * 3 + 3),
    ]
    assert traffic.per_layer(traced) == moved
    flops = [2 * layer.macs for layer in traced.layers]
    assert intensity.per_layer(traced) == [f / m for f, m in zip(flops, moved, strict=True)]
    assert intensity.total(traced) == sum(flops) / sum(moved)


def test_scanned_layers_move_their_bytes_each_round():
    (scanned,) = (la for la in trace(Stored(), (6, 6, 3)).layers if la.times > 1)
    moved = traffic.per_layer(trace(Stored(), (6, 6, 3)))
    assert 5 * 4 * (36 * 4 + 9 * 16 + 36 * 4) in moved
    assert scanned.times == 5


def test_nothing_multiplied_has_no_intensity():
    class Nothing(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.LayerNorm()(x).mean(axis=(1, 2))

    traced = trace(Nothing(), (4, 4, 2))
    assert (intensity.per_layer(traced), intensity.total(traced)) == ([None], 0.0)


# The grid. Strides and paddings read in the table of google-research/receptive_field.

GRIDS = [
    ("alexnet", (227, 227, 3), 32, 64),
    ("vgg16", (224, 224, 3), 32, 90),
    # There the max pool of stride 2 pads behind only, here by one unit of 2 pixels before too.
    ("resnet50_v1", (224, 224, 3), 32, 239 + 2),
    ("mobilenet_v1", (224, 224, 3), 32, 126),
]


@pytest.mark.parametrize(("name", "shape", "stride", "padding"), GRIDS, ids=[g[0] for g in GRIDS])
def test_published_grids(name, shape, stride, padding):
    measured = compute.measure(nets.get(name, input_shape=shape), shape)
    assert (measured["grid_stride"], measured["grid_padding"]) == (stride, padding)


def test_rows_and_columns_have_grids_of_their_own():
    class Uneven(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = nn.Conv(2, (5, 3), strides=(2, 1), padding=((2, 2), (0, 0)))(x)
            return nn.Dense(2)(x[:, :, 4:].reshape(1, -1))

    measured = compute.measure(Uneven(), (16, 16, 1))
    assert measured["grid_stride"] == [2, 1]
    assert measured["grid_padding"] == [2, -4]
    rows = compute.layers(trace(Uneven(), (16, 16, 1)))
    assert [row["grid_stride"] for row in rows] == [[2, 1], None]
    assert [row["grid_padding"] for row in rows] == [[2, 0], None]


def test_an_output_that_sees_nothing_has_no_grid():
    class Blind(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dense(2)(jnp.ones((1, 3)))

    measured = compute.measure(Blind(), (4, 4, 1))
    assert (measured["grid_stride"], measured["grid_padding"]) == (0, 0)
    assert (measured["activation_memory"], measured["inside_macs"]) == (4 * 16, 6)


# All of them.


def test_layers_are_plain_data():
    rows = compute.layers(trace(nets.get("resnet20"), (32, 32, 3)))
    assert json.loads(json.dumps(rows)) == rows
    measured = compute.measure(nets.get("resnet20"), (32, 32, 3))
    for name in ("params", "macs", "inside_macs", "activations", "weight_memory", "traffic"):
        assert sum(row[name] for row in rows) == measured[name]


def test_measuring_compiles_nothing(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    monkeypatch.setattr(jax._src.compiler, "compile_or_get_cached", refuse)
    measured = compute.measure(nets.get("vgg13_slim", classes=7), (32, 32, 3))
    assert measured.keys() == compute.units().keys()


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'flow_gradient'"):
        _ = compute.flow_gradient
