"""What nets cost: counts against hand computation, laws of gradients, and published figures."""

import subprocess
import sys
from math import prod

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from cnnjax import compute, nets
from cnnjax.compute.macs import count_macs
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError

NHWC = ("NHWC", "HWIO", "NHWC")


def shaped(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def counted(f, *args):
    return count_macs(jax.make_jaxpr(f)(*args))


def convolve(x, w, stride=1, padding="SAME", dilation=1, groups=1):
    return lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=NHWC,
        feature_group_count=groups,
    )


# Single operations.


@pytest.mark.parametrize(
    ("image", "kernel", "options", "macs"),
    [
        # N·OH·OW · KH·KW · Cin/groups · Cout
        ((2, 8, 8, 4), (3, 3, 4, 6), {}, 2 * 64 * 9 * 4 * 6),
        ((1, 9, 7, 4), (3, 3, 4, 6), {"stride": 2}, 5 * 4 * 9 * 4 * 6),
        ((1, 9, 9, 4), (3, 2, 4, 6), {"padding": "VALID"}, 7 * 8 * 6 * 4 * 6),
        ((1, 9, 9, 4), (3, 3, 4, 6), {"padding": "VALID", "dilation": 3}, 3 * 3 * 9 * 4 * 6),
        ((1, 8, 8, 4), (5, 5, 2, 6), {"groups": 2}, 64 * 25 * 2 * 6),
        ((1, 8, 8, 4), (3, 3, 1, 8), {"groups": 4}, 64 * 9 * 8),
    ],
    ids=["plain", "strided", "even", "dilated", "grouped", "depthwise"],
)
def test_convolutions_by_hand(image, kernel, options, macs):
    assert counted(lambda x, w: convolve(x, w, **options), shaped(*image), shaped(*kernel)) == macs


def test_matrix_products_by_hand():
    assert counted(jnp.dot, shaped(5, 7), shaped(7, 3)) == 5 * 7 * 3
    batched = counted(
        lambda a, b: jnp.einsum("bij,bjk->bik", a, b), shaped(2, 5, 7), shaped(2, 7, 3)
    )
    assert batched == 2 * 5 * 7 * 3


@st.composite
def convolutions(draw):
    """(image, kernel, options) of any convolution with padding below its kernel's reach."""
    groups = draw(st.integers(1, 3))
    features_in, features_out = (groups * draw(st.integers(1, 3)) for _ in range(2))
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    reach = dilation * (kernel - 1)
    low, high = draw(st.integers(0, reach)), draw(st.integers(0, reach))
    size, stride = draw(st.integers(reach + 1, reach + 6)), draw(st.integers(1, 3))
    options = {"stride": stride, "padding": [(low, high)] * 2, "dilation": dilation}
    image, weights = (2, size, size, features_in), (kernel, kernel, features_in // groups)
    return image, (*weights, features_out), options | {"groups": groups}


@given(convolutions())
@settings(max_examples=40, deadline=None)
def test_gradients_cost_what_the_convolution_costs(case):
    image, kernel, options = case
    x, w = shaped(*image), shaped(*kernel)

    def loss(x, w):
        return convolve(x, w, **options).sum()

    forward = counted(loss, x, w)
    out = jax.eval_shape(lambda x, w: convolve(x, w, **options), x, w)
    assert forward == prod(out.shape) * prod(kernel[:3])
    assert counted(jax.grad(loss, 1), x, w) == forward  # Dead code: the forward pass itself.
    both = counted(jax.grad(lambda x, w: loss(x, w) ** 2, (0, 1)), x, w)
    # Without stride the input gradient is a convolution over the image with its own padding.
    taps = prod(kernel[:2]) * kernel[2] * kernel[3]
    assert both == 2 * forward + (forward if options["stride"] > 1 else prod(image[:3]) * taps)


@given(convolutions())
@settings(max_examples=20, deadline=None)
def test_patches_and_a_product_cost_what_the_convolution_costs(case):
    image, kernel, options = case
    stride, padding, dilation = options["stride"], options["padding"], options["dilation"]
    kernel = (*kernel[:2], image[-1], kernel[-1])

    def as_product(x, w):
        patches = lax.conv_general_dilated_patches(
            x,
            kernel[:2],
            (stride, stride),
            padding,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=NHWC,
        )
        return patches @ w

    product = counted(as_product, shaped(*image), shaped(prod(kernel[:3]), kernel[3]))
    options = options | {"groups": 1}
    direct = counted(lambda x, w: convolve(x, w, **options), shaped(*image), shaped(*kernel))
    assert product == direct


# Programs.


def test_scans_count_each_round():
    def f(x, ws):
        return lax.scan(lambda x, w: (x @ w, None), x, ws)

    assert counted(f, shaped(2, 3), shaped(5, 3, 3)) == 5 * 2 * 3 * 3
    backward = counted(jax.grad(lambda x, ws: f(x, ws)[0].sum(), 1), shaped(2, 3), shaped(5, 3, 3))
    assert backward == 3 * 5 * 2 * 3 * 3


def test_the_dearest_branch_counts():
    def f(i, x, w):
        return lax.switch(i, [lambda x: x, lambda x: x @ w, lambda x: x @ w @ w], x)

    assert (
        counted(f, jax.ShapeDtypeStruct((), jnp.int32), shaped(2, 3), shaped(3, 3)) == 2 * 2 * 3 * 3
    )


def test_dead_code_is_not_counted():
    assert counted(lambda x, w: (x @ w, x)[1], shaped(2, 3), shaped(3, 3)) == 0
    dead_inside = jax.jit(lambda x, w: (x @ w, x @ w @ w))
    assert counted(lambda x, w: dead_inside(x, w)[0], shaped(2, 3), shaped(3, 3)) == 2 * 3 * 3


def test_operations_in_a_while_loop_are_refused():
    def f(x, w):
        return lax.while_loop(lambda x: x.sum() < 1, lambda x: x @ w, x)

    with pytest.raises(NotImplementedError, match="'while' loop's operations: use a scan"):
        counted(f, shaped(2, 3), shaped(3, 3))


# Nets.


class Block(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x, train=False):
        y = nn.Conv(self.features, (3, 3), strides=2, padding=1, use_bias=False, name="conv1")(x)
        y = nn.BatchNorm(use_running_average=not train, name="norm1")(y)
        y = y * self.param("gamma", nn.initializers.ones, (self.features,))
        with jax.named_scope("anywhere"):
            y = nn.Conv(
                self.features,
                (3, 2),
                padding=((2, 2), (0, 1)),
                kernel_dilation=(2, 1),
                feature_group_count=2,
                name="conv2",
            )(nn.relu(y))
        return nn.Dropout(0.5, deterministic=not train)(y)


class Pair(nn.Module):
    """Two blocks, wrapped as asked for, and a head."""

    wrap: str = "none"

    @nn.compact
    def __call__(self, x, train=False):
        block = {
            "none": Block,
            "remat": nn.remat(Block, static_argnums=(2,)),
            "jit": nn.jit(Block, static_argnums=(2,)),
        }[self.wrap]
        for i in (1, 2):
            x = block(4 * i, name=f"stage{i}")(x, train)
        return nn.Dense(10, name="head")(x.mean(axis=(1, 2)))


@pytest.mark.parametrize("wrap", ["none", "remat", "jit"])
def test_layers_by_hand(wrap):
    rows = compute.layers(trace(Pair(wrap), (16, 12, 3)))
    names = ("layer", "kind", "output", "params", "macs", "activations", "receptive_field")
    assert [tuple(row[n] for n in names) for row in rows] == [
        ("stage1/conv1", "conv 3×3/2", [8, 6, 4], 108, 48 * 108, 192, 3),
        ("stage1/norm1", "norm", [8, 6, 4], 8, 0, 0, 3),
        ("stage1", "other", [8, 6, 4], 4, 0, 0, 3),
        ("stage1/conv2", "conv 3×2 d2×1 g2", [8, 6, 4], 52, 48 * 48, 192, [11, 5]),
        ("stage2/conv1", "conv 3×3/2", [4, 3, 8], 288, 12 * 288, 96, [15, 9]),
        ("stage2/norm1", "norm", [4, 3, 8], 16, 0, 0, [15, 9]),
        ("stage2", "other", [4, 3, 8], 8, 0, 0, [15, 9]),
        ("stage2/conv2", "conv 3×2 d2×1 g2", [4, 3, 8], 200, 12 * 192, 96, [31, 13]),
        ("head", "dense", [10], 90, 80, 10, None),
    ]


def params_of(net, shape):
    variables = jax.eval_shape(net.init, jax.random.key(0), shaped(1, *shape))
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


class Strange(nn.Module):
    """A scanned layer, a shared layer, unshared weights, a method, parameters never used."""

    @nn.compact
    def __call__(self, x, train=False):
        class Step(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                return nn.relu(nn.Conv(4, (3, 3), name="conv")(x)), None

        axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        x, _ = nn.scan(Step, length=3, **axes)(name="steps")(x, None)
        shared = nn.Conv(4, (1, 1), name="shared")
        x = shared(shared(x))
        x = nn.ConvLocal(5, (3, 3), name="local")(x)
        x = nn.LayerNorm(name="norm")(x)
        self.param("unused", nn.initializers.ones, (7,))
        return nn.Dense(3, name="head")(x.reshape(1, -1))


def test_unusual_layers():
    traced = trace(Strange(), (6, 6, 4))
    rows = {row["layer"]: row for row in compute.layers(traced)}
    assert sum(layer.params for layer in traced.layers) == params_of(Strange(), (6, 6, 4))
    assert rows["steps/conv"]["kind"] == "conv 3×3 (3 times)"
    assert rows["steps/conv"]["macs"] == 3 * 36 * 9 * 4 * 4
    assert rows["steps/conv"]["params"] == 3 * (9 * 4 * 4 + 4)
    assert rows["steps/conv"]["receptive_field"] == 7
    shared = [layer for layer in traced.layers if layer.path == "shared"]
    assert [layer.params for layer in shared] == [20, 0]
    assert rows["local"]["macs"] == 36 * 36 * 5  # The product counts, the patches don't.
    assert rows["norm"]["receptive_field"] == 9
    assert compute.measure(Strange(), (6, 6, 4))["receptive_field"] == 9


def test_a_bare_layer_is_a_net():
    class Head(nn.Dense):
        def __call__(self, x, train=False):
            return super().__call__(x.reshape(1, -1))

    traced = trace(Head(2), (3, 3, 1))
    (row,) = compute.layers(traced)
    assert (row["layer"], row["macs"], row["params"]) == ("Head", 18, 20)


def test_nothing_is_allocated():
    class Huge(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return nn.Dense(10**6)(nn.Dense(10**7)(x.reshape(x.shape[0], -1)))

    assert compute.measure(Huge(), (100, 100, 3))["params"] == 10**7 * (30_001 + 10**6) + 10**6
    assert compute.train_step_macs(Huge(), (100, 100, 3), 1) == 2 * 30_000 * 10**7 + 3 * 10**13


def test_strict_promotion_and_unhashable_nets():
    class Listed(nn.Module):
        features: list

        @nn.compact
        def __call__(self, x, train=False):
            for f in self.features:
                x = nn.Conv(f, (3, 3))(x)
            return x.mean(axis=(1, 2))

    with jax.numpy_dtype_promotion("strict"):
        assert compute.measure(Listed([2, 3]), (4, 4, 1))["macs"] == 16 * 9 * (2 + 6)
        assert compute.train_step_macs(Listed([2, 3]), (4, 4, 1), 2) == 2 * 16 * 9 * (3 * 8 - 2)


# The training step.


class Chain(nn.Module):
    """Convolutions of stride 1 that keep the map, norms, dropout, a dense layer."""

    widths: tuple[int, ...]
    kernel: int
    remat: bool = False

    @nn.compact
    def __call__(self, x, train=False):
        conv = nn.remat(nn.Conv) if self.remat else nn.Conv
        for i, width in enumerate(self.widths):
            x = conv(width, (self.kernel, self.kernel), name=f"conv{i}")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, name=f"norm{i}")(x))
            x = nn.Dropout(0.1, deterministic=not train)(x)
        return nn.Dense(5, name="head")(x.mean(axis=(1, 2)))


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 4),
    st.booleans(),
)
@settings(max_examples=6, deadline=None)
def test_a_step_is_three_passes_less_the_first_layers_input_gradient(widths, kernel, batch, remat):
    net, shape = Chain(widths, kernel, remat), (6, 5, 2)
    macs = [layer.macs for layer in trace(net, shape).layers]
    assert compute.train_step_macs(net, shape, batch) == batch * (3 * sum(macs) - macs[0])


def test_strided_steps_obey_the_same_law():
    macs = [layer.macs for layer in trace(Pair(), (16, 16, 3)).layers if layer.macs]
    # conv2's even kernel keeps the map too, so that each input gradient costs one pass.
    assert compute.train_step_macs(Pair(), (16, 16, 3), 2) == 2 * (3 * sum(macs) - macs[0])


# The package.


def test_measures_are_found_by_name_and_have_units(tmp_path, monkeypatch):
    assert {"params", "macs", "activations", "receptive_field"} <= compute.measures().keys()
    assert all(compute.units().values())
    (tmp_path / "twice_the_macs.py").write_text(
        "UNIT = 'FLOPs'\n"
        "def per_layer(trace): return [2 * layer.macs for layer in trace.layers]\n"
        "def total(trace): return sum(per_layer(trace))\n"
    )
    monkeypatch.setattr(compute, "__path__", [*compute.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "cnnjax.compute.twice_the_macs", raising=False)
    measured = compute.measure(Pair(), (16, 16, 3))
    assert measured["twice_the_macs"] == 2 * measured["macs"]
    assert compute.units()["twice_the_macs"] == "FLOPs"


def test_every_measure_has_a_value_for_every_layer():
    traced = trace(Pair(), (16, 16, 3))
    for module in compute.measures().values():
        assert len(module.per_layer(traced)) == len(traced.layers)


def test_importing_the_package_is_light():
    code = "import sys, cnnjax.compute; assert not {'jax', 'flax'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_summary_is_aligned_and_totalled():
    text = compute.summary(Pair(), (16, 12, 3))
    first, headings, rule, *rows, _, total, seen, flops, memory = text.splitlines()
    assert first == "input 16×12×3"
    assert headings.split() == (
        ["layer", "operation", "output", "params", "MACs", "inside", "activations", "field"]
    )
    assert len(rows) == len(trace(Pair(), (16, 12, 3)).layers)
    column = headings.index("MACs") + len("MACs")
    assert rows[0][:column].endswith(" 5,184")
    assert rows[0].split()[-3:] == ["90.5%", "192", "3"]  # 23 · 17 of 24 · 18 pairs.
    assert total[:column].endswith(" 13,328")
    assert rows[1].split() == ["stage1/norm1", "norm", "8×6×4", "8", "3"]
    assert rows[3].startswith("stage1/conv2  conv 3×2 d2×1 g2  8×6×4")
    assert rows[-1].split() == ["head", "dense", "10", "90", "80", "10", "global"]
    assert total.endswith("31×13")
    assert seen == (
        "A unit of the last map sees 31×13 pixels, one unit every 4, the first from pixel "
        "(−15, −3) on."
    )
    assert max(map(len, [headings, *rows, total])) == len(rule)
    assert flops == (
        "FLOPs are 2 · MACs. 79.7% of the MACs fall inside their maps, the rest on padding."
    )
    assert memory == (
        "Weights 3.19 kB; one image's values at most 3.07 kB at a time; 9.46 kB moved, "
        "2.82 FLOPs a byte."
    )


@pytest.mark.parametrize("name", ["lenet5", "resnet50", "vgg19_bn"])
def test_summaries_fit_a_wide_terminal(name):
    shape = nets.native_shape(name)
    assert max(map(len, compute.summary(nets.get(name), shape).splitlines())) <= 108


def test_summary_of_a_net_without_padding_says_so():
    text = compute.summary(nets.get("lenet5"), (32, 32, 1))
    assert "%" not in text
    assert "No MACs fall on padding." in text


def test_summary_says_that_gates_see_everything_and_when_nothing_is_seen():
    class Gated(nn.Module):
        gated: bool

        @nn.compact
        def __call__(self, x, train=False):
            gate = nn.sigmoid(nn.Dense(3)(x.mean(axis=(1, 2), keepdims=True)))
            return x * gate if self.gated else jnp.ones((1, 1))

    assert "see all of the image: left out (global)" in compute.summary(Gated(True), (8, 8, 3))
    assert "The output does not depend on the image." in compute.summary(Gated(False), (8, 8, 3))
    assert compute.measure(Gated(False), (8, 8, 3))["receptive_field"] == 0


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 0), (32, 32, 3.0), (1, True, 1), "abc", 32])
def test_bad_input_shapes_are_named(shape):
    for ask in (compute.measure, compute.summary, lambda n, s: compute.train_step_macs(n, s, 1)):
        with pytest.raises(UserError, match=r"height, width and channels, such as \(32, 32, 3\)"):
            ask(Pair(), shape)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_bad_batch_sizes_are_named(batch_size):
    with pytest.raises(UserError, match="a batch size is a whole number from 1 on, not"):
        compute.train_step_macs(Pair(), (16, 16, 3), batch_size)


class Narrowing(nn.Module):
    end: str

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (5, 5), padding="VALID", name="conv1")(x)
        x = nn.Conv(4, (5, 5), padding="VALID", name="conv2")(x)
        if self.end == "pool":
            x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(3)(x.reshape(1, -1) if self.end == "flatten" else x.mean(axis=(1, 2)))


@pytest.mark.parametrize(
    ("end", "size", "where"),
    [
        ("mean", 4, "conv1"),
        ("mean", 8, "conv2"),
        ("pool", 9, "its top level"),
        ("flatten", 8, "(conv2|a layer whose units have no inputs)"),  # As Flax's versions go.
    ],
)
def test_inputs_too_small_are_named(end, size, where):
    message = f"an input of {size}×{size} is too small for the net: .* at {where}; use a larger one"
    with pytest.raises(UserError, match=message):
        compute.measure(Narrowing(end), (size, size, 3))


# Published figures. F: read in a project's file (torchvision, pycls). C: computed analytically by
# a method that reproduces F's totals. T: quoted from the paper by a third party.

PUBLISHED = [
    ("lenet5", (32, 32, 1), 10, 61_706, 416_520, "C"),
    ("vgg11", (224, 224, 3), 1000, 132_863_336, 7_609_090_048, "F, C"),
    ("vgg11_bn", (224, 224, 3), 1000, 132_868_840, 7_609_090_048, "F, C"),
    ("vgg13", (224, 224, 3), 1000, 133_047_848, 11_308_466_176, "F, C"),
    ("vgg13_bn", (224, 224, 3), 1000, 133_053_736, 11_308_466_176, "F, C"),
    ("vgg16", (224, 224, 3), 1000, 138_357_544, 15_470_264_320, "F, C"),
    ("vgg16_bn", (224, 224, 3), 1000, 138_365_992, 15_470_264_320, "F, C"),
    ("vgg19", (224, 224, 3), 1000, 143_667_240, 19_632_062_464, "F, C"),
    ("vgg19_bn", (224, 224, 3), 1000, 143_678_248, 19_632_062_464, "F, C"),
    ("resnet18", (224, 224, 3), 1000, 11_689_512, 1_814_073_344, "F, C"),
    ("resnet34", (224, 224, 3), 1000, 21_797_672, 3_663_761_408, "F, C"),
    ("resnet50", (224, 224, 3), 1000, 25_557_032, 4_089_184_256, "F, C"),
    ("resnet101", (224, 224, 3), 1000, 44_549_160, 7_801_405_440, "F, C"),
    ("resnet152", (224, 224, 3), 1000, 60_192_808, 11_513_626_624, "F, C"),
    ("resnet20", (32, 32, 3), 10, 269_722, 40_551_040, "C"),
    ("resnet32", (32, 32, 3), 10, 464_154, 68_862_592, "C"),
    ("resnet44", (32, 32, 3), 10, 658_586, 97_174_144, "C"),
    ("resnet56", (32, 32, 3), 10, 853_018, 125_485_696, "C"),
    ("resnet110", (32, 32, 3), 10, 1_727_962, 252_887_680, "C"),
    ("plain20", (32, 32, 3), 10, 269_722, 40_551_040, "C"),  # Option A adds no parameters.
]


@pytest.mark.parametrize(
    ("name", "shape", "classes", "params", "macs", "source"),
    PUBLISHED,
    ids=[r[0] for r in PUBLISHED],
)
def test_published_counts(name, shape, classes, params, macs, source):
    net = nets.get(name, classes=classes, input_shape=shape)
    measured = compute.measure(net, shape)
    assert (measured["params"], measured["macs"]) == (params, macs), source
    assert sum(row["params"] for row in compute.layers(trace(net, shape))) == params


def test_activations_of_resnet50():
    """11,114,984 over convolutions and dense layers (C; with max pooling 11,315,688)."""
    net = nets.get("resnet50", classes=1000, input_shape=(224, 224, 3))
    assert compute.measure(net, (224, 224, 3))["activations"] == 11_114_984


def test_equal_nets_are_traced_once():
    assert trace(Pair(), (16, 16, 3)) is trace(Pair(), [16, 16, 3])
