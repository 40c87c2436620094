"""MobileNets, EfficientNets, RegNets, ConvNeXts: published figures and the laws of their blocks."""

import dataclasses
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import compute, nets
from cnnjax.compute.forward import abstract_variables as shapes
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError
from cnnjax.nets import (
    convnext,
    efficientnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    regnet,
    vary,
)
from cnnjax.nets.activations import ReLU6
from cnnjax.nets.context import ONE, Context, Step
from cnnjax.nets.convnext import ConvNeXtBlock
from cnnjax.nets.gates import SqueezeExcite
from cnnjax.nets.inverted import Inverted, fit_strides
from cnnjax.nets.net import Scope
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.regnet import Design
from cnnjax.nets.shortcuts import IdentityShortcut, NoShortcut
from cnnjax.values import fields, from_json, is_value, to_json, value

MODULES = (mobilenet_v1, mobilenet_v2, mobilenet_v3, efficientnet, regnet, convnext)
NAMES = [name for module in MODULES for name in module.NETS]
# One of each block and each rule; the others differ from these in their numbers.
KINDS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_lite0",
    "regnetx_400mf",
    "regnety_200mf",
    "convnext_tiny",
)


def count(variables):
    return sum(math.prod(x.shape) for x in jax.tree.leaves(variables["params"]))


def native(name):
    return nets.get(name, 1000, nets.native_shape(name))


# Published figures, 1000 classes, native images. Sources: the trainable parameters that Keras 3.15
# (keras.applications), timm 1.0.31 and torchvision 0.29 count; pycls' dev/model_complexity.json.

PARAMS = {
    "mobilenet_v1": (4_231_976, "Keras MobileNet, timm mobilenetv1_100"),
    "mobilenet_v1_075": (2_585_560, "Keras MobileNet alpha=0.75; table 6: 2.6 M"),
    "mobilenet_v1_050": (1_331_592, "Keras MobileNet alpha=0.5; table 6: 1.3 M"),
    "mobilenet_v1_025": (470_072, "Keras MobileNet alpha=0.25; table 6: 0.5 M"),
    "mobilenet_v2": (3_504_872, "torchvision mobilenet_v2, Keras MobileNetV2"),
    "mobilenet_v2_035": (1_677_128, "Keras MobileNetV2 alpha=0.35, timm mobilenetv2_035"),
    "mobilenet_v2_050": (1_968_680, "Keras MobileNetV2 alpha=0.5, timm mobilenetv2_050"),
    "mobilenet_v2_075": (2_636_424, "Keras MobileNetV2 alpha=0.75, timm mobilenetv2_075"),
    "mobilenet_v2_130": (5_386_792, "Keras MobileNetV2 alpha=1.3"),
    "mobilenet_v2_140": (6_108_776, "Keras MobileNetV2 alpha=1.4, timm mobilenetv2_140"),
    "mobilenet_v3_large": (5_483_032, "torchvision mobilenet_v3_large, Keras MobileNetV3Large"),
    "mobilenet_v3_large_075": (3_993_528, "Keras alpha=0.75, timm mobilenetv3_large_075"),
    "mobilenet_v3_small": (2_542_856, "torchvision mobilenet_v3_small, Keras MobileNetV3Small"),
    "mobilenet_v3_small_075": (2_041_872, "Keras alpha=0.75, timm mobilenetv3_small_075"),
    "efficientnet_b0": (5_288_548, "torchvision efficientnet_b0, pycls EN-B0"),
    "efficientnet_b1": (7_794_184, "torchvision efficientnet_b1, pycls EN-B1"),
    "efficientnet_b2": (9_109_994, "torchvision efficientnet_b2, pycls EN-B2"),
    "efficientnet_b3": (12_233_232, "torchvision efficientnet_b3, pycls EN-B3"),
    "efficientnet_b4": (19_341_616, "torchvision efficientnet_b4, pycls EN-B4"),
    "efficientnet_b5": (30_389_784, "torchvision efficientnet_b5, pycls EN-B5"),
    "efficientnet_b6": (43_040_704, "torchvision efficientnet_b6, timm tf_efficientnet_b6"),
    "efficientnet_b7": (66_347_960, "torchvision efficientnet_b7, timm tf_efficientnet_b7"),
    "efficientnet_lite0": (4_652_008, "timm tf_efficientnet_lite0"),
    "efficientnet_lite1": (5_416_680, "timm tf_efficientnet_lite1"),
    "efficientnet_lite2": (6_092_072, "timm tf_efficientnet_lite2"),
    "efficientnet_lite3": (8_197_096, "timm tf_efficientnet_lite3"),
    "efficientnet_lite4": (13_006_568, "timm tf_efficientnet_lite4"),
    "regnetx_200mf": (2_684_792, "pycls RegNetX-200MF, timm regnetx_002"),
    "regnetx_400mf": (5_157_512, "pycls RegNetX-400MF, timm regnetx_004"),
    "regnetx_600mf": (6_196_040, "pycls RegNetX-600MF, timm regnetx_006"),
    "regnetx_800mf": (7_259_656, "pycls RegNetX-800MF, timm regnetx_008"),
    "regnetx_1_6gf": (9_190_136, "pycls RegNetX-1.6GF, timm regnetx_016"),
    "regnetx_3_2gf": (15_296_552, "pycls RegNetX-3.2GF, timm regnetx_032"),
    "regnetx_4gf": (22_118_248, "pycls RegNetX-4.0GF, timm regnetx_040"),
    "regnetx_6_4gf": (26_209_256, "pycls RegNetX-6.4GF, timm regnetx_064"),
    "regnetx_8gf": (39_572_648, "pycls RegNetX-8.0GF, timm regnetx_080"),
    "regnetx_12gf": (46_106_056, "pycls RegNetX-12GF, timm regnetx_120"),
    "regnetx_16gf": (54_278_536, "pycls RegNetX-16GF, timm regnetx_160"),
    "regnetx_32gf": (107_811_560, "pycls RegNetX-32GF, timm regnetx_320"),
    "regnety_200mf": (3_162_996, "pycls RegNetY-200MF, timm regnety_002"),
    "regnety_400mf": (4_344_144, "pycls RegNetY-400MF, timm regnety_004"),
    "regnety_600mf": (6_055_160, "pycls RegNetY-600MF, timm regnety_006"),
    "regnety_800mf": (6_263_168, "pycls RegNetY-800MF, timm regnety_008"),
    "regnety_1_6gf": (11_202_430, "pycls RegNetY-1.6GF, timm regnety_016"),
    "regnety_3_2gf": (19_436_338, "pycls RegNetY-3.2GF, timm regnety_032"),
    "regnety_4gf": (20_646_656, "pycls RegNetY-4.0GF, timm regnety_040"),
    "regnety_6_4gf": (30_583_252, "pycls RegNetY-6.4GF, timm regnety_064"),
    "regnety_8gf": (39_180_068, "pycls RegNetY-8.0GF, timm regnety_080"),
    "regnety_12gf": (51_822_544, "pycls RegNetY-12GF, timm regnety_120"),
    "regnety_16gf": (83_590_140, "pycls RegNetY-16GF, timm regnety_160"),
    "regnety_32gf": (145_046_770, "pycls RegNetY-32GF, timm regnety_320"),
    "convnext_tiny": (28_589_128, "torchvision convnext_tiny, timm convnext_tiny"),
    "convnext_small": (50_223_688, "torchvision convnext_small, timm convnext_small"),
    "convnext_base": (88_591_464, "torchvision convnext_base, timm convnext_base"),
}


def test_every_net_has_a_published_count():
    assert set(PARAMS) == set(NAMES)


def rows(names, quick):
    """Each name a test, those that aren't quick to trace marked slow."""
    return [n if quick(n) else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("name", rows(NAMES, lambda name: PARAMS[name][0] < 12e6))
def test_parameters_are_those_published(name):
    published, _ = PARAMS[name]
    assert count(shapes(native(name), nets.native_shape(name))) == published


@pytest.mark.parametrize(
    ("name", "macs", "source"),
    [
        ("mobilenet_v1", 568_740_352, "C: computed; table 8 prints 569 M"),
        ("mobilenet_v2", "0.301 G", "F: torchvision; table 4 prints 300 M"),
        ("mobilenet_v3_large", "0.217 G", "F: torchvision; table 3 prints 219 M"),
        ("mobilenet_v3_small", "0.057 G", "F: torchvision; table 3 prints 56 M"),
        ("efficientnet_b0", 385_814_752, "C, F: pycls' figure without bias adds"),
        ("regnetx_400mf", 397_677_568, "C, F: pycls' figure without bias adds"),
        ("regnety_400mf", 401_842_848, "C, F: pycls' figure without bias adds"),
        ("convnext_tiny", "4.456 G", "F: torchvision"),
    ],
)
def test_macs_are_those_published(name, macs, source):
    found = compute.measure(native(name), nets.native_shape(name))["macs"]
    assert (found if isinstance(macs, int) else f"{found / 1e9:.3f} G") == macs


def test_mobilenet_sees_315_pixels():
    """google-research/receptive_field: MobileNet v1."""
    net = native("mobilenet_v1")
    assert compute.measure(net, (224, 224, 3))["receptive_field"] == 315


# pycls' dev/model_complexity.json: its flops are multiply-accumulates and bias adds.
PYCLS = {
    "efficientnet_b0": (385_825_092, 6_748_036),
    "efficientnet_b1": (686_817_992, 10_884_328),
    "efficientnet_b2": (993_578_282, 13_832_834),
    "efficientnet_b3": (1_827_162_472, 23_831_296),
    "efficientnet_b4": (4_393_801_064, 49_489_032),
    "efficientnet_b5": (10_266_426_072, 98_857_400),
    "regnetx_200mf": (199_040_872, 2_164_056),
    "regnetx_400mf": (397_678_568, 3_143_272),
    "regnetx_600mf": (600_891_112, 3_975_096),
    "regnetx_800mf": (799_700_712, 5_148_744),
    "regnetx_1_6gf": (1_602_850_792, 7_933_512),
    "regnetx_3_2gf": (3_176_622_952, 11_367_432),
    "regnetx_4gf": (3_964_499_816, 12_201_608),
    "regnetx_6_4gf": (6_460_292_264, 16_369_744),
    "regnetx_8gf": (7_995_133_416, 14_059_688),
    "regnetx_12gf": (12_086_679_016, 21_366_568),
    "regnetx_16gf": (15_940_756_456, 25_515_496),
    "regnetx_32gf": (31_735_930_792, 36_302_160),
    "regnety_200mf": (199_519_076, 2_168_052),
    "regnety_400mf": (401_849_056, 3_892_496),
    "regnety_600mf": (601_227_608, 4_334_296),
    "regnety_800mf": (797_183_328, 5_249_888),
    "regnety_1_6gf": (1_612_087_326, 8_044_814),
    "regnety_3_2gf": (3_176_496_162, 11_263_418),
    "regnety_4gf": (3_973_301_344, 12_287_200),
    "regnety_6_4gf": (6_355_221_876, 16_407_188),
    "regnety_8gf": (7_963_074_196, 17_968_916),
    "regnety_12gf": (12_092_395_504, 21_384_496),
    "regnety_16gf": (15_911_534_044, 23_041_228),
    "regnety_32gf": (32_279_583_362, 30_261_570),
}
FEW = ("efficientnet_b1", "regnetx_200mf", "regnety_200mf", "regnety_16gf")


@pytest.mark.parametrize("name", rows(PYCLS, FEW.__contains__))
def test_macs_and_activations_are_those_of_pycls(name):
    flops, activations = PYCLS[name]
    layers = trace(native(name), nets.native_shape(name)).layers
    biases = sum(layer.output[0] for layer in layers if layer.kind == "dense")
    assert sum(layer.macs for layer in layers) + biases == flops
    assert sum(layer.activations for layer in layers) == activations


# RegNet's formula.

# Depths, widths and the groups' width: Radosavovic et al. 2020, figs. 18 and 19.
STAGES = {
    "x": {
        "200mf": ((1, 1, 4, 7), (24, 56, 152, 368), 8),
        "400mf": ((1, 2, 7, 12), (32, 64, 160, 384), 16),
        "600mf": ((1, 3, 5, 7), (48, 96, 240, 528), 24),
        "800mf": ((1, 3, 7, 5), (64, 128, 288, 672), 16),
        "1_6gf": ((2, 4, 10, 2), (72, 168, 408, 912), 24),
        "3_2gf": ((2, 6, 15, 2), (96, 192, 432, 1008), 48),
        "4gf": ((2, 5, 14, 2), (80, 240, 560, 1360), 40),
        "6_4gf": ((2, 4, 10, 1), (168, 392, 784, 1624), 56),
        "8gf": ((2, 5, 15, 1), (80, 240, 720, 1920), 120),
        "12gf": ((2, 5, 11, 1), (224, 448, 896, 2240), 112),
        "16gf": ((2, 6, 13, 1), (256, 512, 896, 2048), 128),
        "32gf": ((2, 7, 13, 1), (336, 672, 1344, 2520), 168),
    },
    "y": {
        "200mf": ((1, 1, 4, 7), (24, 56, 152, 368), 8),
        "400mf": ((1, 3, 6, 6), (48, 104, 208, 440), 8),
        "600mf": ((1, 3, 7, 4), (48, 112, 256, 608), 16),
        "800mf": ((1, 3, 8, 2), (64, 128, 320, 768), 16),
        "1_6gf": ((2, 6, 17, 2), (48, 120, 336, 888), 24),
        "3_2gf": ((2, 5, 13, 1), (72, 216, 576, 1512), 24),
        "4gf": ((2, 6, 12, 2), (128, 192, 512, 1088), 64),
        "6_4gf": ((2, 7, 14, 2), (144, 288, 576, 1296), 72),
        "8gf": ((2, 4, 10, 1), (168, 448, 896, 2016), 56),
        "12gf": ((2, 5, 11, 1), (224, 448, 896, 2240), 112),
        "16gf": ((2, 4, 11, 1), (224, 448, 1232, 3024), 112),
        "32gf": ((2, 5, 12, 1), (232, 696, 1392, 3712), 232),
    },
}


@pytest.mark.parametrize("series", ["x", "y"])
def test_the_formula_gives_the_published_stages(series):
    designs = {"x": regnet.X, "y": regnet.Y}[series]
    assert set(designs) == set(STAGES[series])
    for name, (depths, widths, group_width) in STAGES[series].items():
        groups = (max(1, width // group_width) for width in widths)
        assert designs[name].stages == tuple(zip(widths, depths, groups, strict=True)), name


@hypothesis.given(
    st.builds(
        Design,
        depth=st.integers(1, 63),
        w_0=st.integers(1, 32).map(lambda n: 8 * n),
        w_a=st.floats(0, 256),
        w_m=st.floats(1.5, 3),
        group_width=st.integers(1, 32).map(lambda n: 8 * n),
    )
)
def test_any_design_has_compatible_stages(design):
    stages = design.stages
    assert sum(depth for _, depth, _ in stages) == design.depth
    for width, _, groups in stages:
        assert width % groups == 0
        assert width // groups <= design.group_width
    widths = [width for width, *_ in stages]
    assert widths == sorted(widths)


def test_a_design_makes_a_net():
    net = regnet.regnet(Design(5, 8, 8.0, 2.0, 8), classes=3, input_shape=(32, 32, 1))
    widths = [width for width, *_ in Design(5, 8, 8.0, 2.0, 8).stages]
    assert [stage.block.features for stage in net.stages] == widths == [8, 16, 32]
    assert count(shapes(net, (32, 32, 1))) > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth": 0}, "depth: 0 is out of range: a whole number from 1 up"),
        ({"depth": 3.0}, "depth: 3.0 is out of range"),
        ({"w_0": 20}, "w_0: 20 is out of range: a multiple of 8"),
        ({"w_0": 0}, "w_0: 0 is out of range: a whole number from 8 up"),
        ({"w_a": -1.0}, "w_a: -1.0 is out of range: a number from 0 up"),
        ({"w_m": 1}, "w_m: 1 is out of range: a number above 1"),
        ({"group_width": 0}, "group_width: 0 is out of range: a whole number from 1 up"),
    ],
)
def test_a_design_without_meaning_is_named(changed, message):
    design = dataclasses.replace(regnet.X["400mf"], **changed)
    with pytest.raises(UserError, match=message):
        regnet.regnet(design)


# The axes.


@pytest.mark.parametrize("name", KINDS)
def test_each_net_differentiates_as_a_value_that_survives_json(name):
    net = nets.get(name, 3, (32, 32, 3), depth=1, width=0.1)
    assert from_json(to_json(net)) == net
    assert hash(from_json(to_json(native(name)))) == hash(native(name))
    variables = shapes(net, (32, 32, 3))
    x = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)

    def loss(params, x):
        context = Context(keys=jax.random.split(jax.random.key(0), 4))
        rest = {"batch_stats": variables.get("batch_stats", {})}
        rest = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), rest)
        logits, _ = net.apply({"params": params, **rest}, x, True, context, mutable=["batch_stats"])
        return (logits**2).sum()

    gradient = jax.eval_shape(jax.grad(loss), variables["params"], x)
    assert jax.tree.structure(gradient) == jax.tree.structure(variables["params"])


@pytest.mark.parametrize("name", KINDS)
def test_setting_an_axis_twice_is_setting_it_once(name):
    net = nets.get(name)
    twice = {"kernel": (1, 3), "dilation": (2, 1), "groups": (1, 2), "norm": ("none", "group")}
    twice |= {"activation": ("tanh", "relu"), "output_stride": (4, 8), "depth": (2, 1)}
    for axis, (first, second) in twice.items():
        f = vary.AXES[axis]
        assert f(f(net, first), second) == f(net, second)


def kernels(net, shape):
    """Shape of each convolution's kernel by the layer's path."""
    return {r.path: r.kernel for r in trace(net, shape).layers if r.kind.startswith("conv")}


def test_a_kernel_moves_the_spatial_convolutions_alone():
    found = kernels(nets.get("convnext_tiny", input_shape=(224, 224, 3), kernel=5), (224, 224, 3))
    sizes = {path.split("/")[-1]: kernel[0] for path, kernel in found.items() if "block" in path}
    assert sizes == {"conv": 4, "spatial_conv": 5, "expand_conv": 1, "project_conv": 1}
    assert found["stage2/before/conv"][0] == 2
    found = kernels(nets.get("mobilenet_v2", input_shape=(64, 64, 3), kernel=2), (64, 64, 3))
    assert {kernel[0] for path, kernel in found.items() if "spatial" in path} == {2}
    assert found["stem/block1/conv"][0] == 2  # The stem's is no projection.
    assert found["neck/block1/conv"][0] == found["stage2/block1/expand_conv"][0] == 1


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "convnext_tiny"])
def test_spatial_convolutions_are_depthwise_until_groups_are_set(name):
    shape = (64, 64, 3)
    for groups, inputs in ((None, lambda c: 1), (1, lambda c: c), (3, lambda c: c // 3)):
        axes = {"groups": groups} if groups else {}
        found = kernels(nets.get(name, input_shape=shape, depth=1, **axes), shape)
        spatial = [kernel for path, kernel in found.items() if path.endswith("spatial_conv")]
        assert spatial and all(k[2] == inputs(k[3]) for k in spatial)


def test_squeezed_channels_are_counted_as_in_the_papers():
    def squeezed(name):
        layers = trace(native(name), nets.native_shape(name)).layers
        return [layer.output[0] for layer in layers if layer.path.endswith("squeeze")]

    # A quarter of the block's input.
    assert squeezed("efficientnet_b0")[:4] == [8, 4, 6, 6]
    assert squeezed("regnety_200mf")[:3] == [8, 6, 14]
    # A quarter of the widened map, a multiple of 8.
    assert squeezed("mobilenet_v3_small")[:4] == [8, 24, 64, 64]


# Output stride: exact wherever no gate averages.


@value
class LastMap:
    """A head that ends nothing."""

    def __call__(self, x, ctx):
        return x


def without_gates(v):
    if isinstance(v, tuple):
        return tuple(map(without_gates, v))
    if not is_value(v):
        return v
    if isinstance(v, SqueezeExcite):
        return None
    return type(v)(**{f.name: without_gates(getattr(v, f.name)) for f in fields(v)})


@pytest.mark.parametrize(
    ("name", "stride", "size"),
    [
        ("mobilenet_v1", 4, (67, 96)),
        ("mobilenet_v2", 8, (67, 96)),
        ("mobilenet_v3_small", 1, (66, 65)),  # Its first stage strides between equal channels.
        ("regnetx_400mf", 4, (67, 96)),
        ("convnext_tiny", 1, (128, 134)),
    ],
)
def test_trading_stride_for_dilation_keeps_every_unit(name, stride, size):
    # Leaky: no unit dies or saturates, so that each tells of what it saw.
    axes = {"width": 0.1, "depth": 2, "activation": "leaky_relu"}
    net = without_gates(nets.get(name, input_shape=(224, 224, 3), **axes))
    net = net.clone(head=LastMap())
    draws = np.random.default_rng(0)

    def draw(leaf):
        if leaf.ndim == 1:
            return draws.uniform(0.5, 1.5, leaf.shape).astype("float32")
        spread = math.prod(leaf.shape[:-1]) ** -0.5
        return draws.normal(0, spread, leaf.shape).astype("float32")

    x = draws.normal(size=(1, *size, 3)).astype("float32")
    variables = jax.tree.map(draw, shapes(net, (*size, 3)))
    coarse = jax.jit(net.apply)(variables, x)
    fine = jax.jit(vary.output_stride(net, stride).apply)(variables, x)
    every = 32 // stride
    kept = fine[:, ::every, ::every][:, : coarse.shape[1], : coarse.shape[2]]
    assert fine.shape[1] > coarse.shape[1]
    scale = float(coarse.std(axis=(1, 2)).max())
    assert scale > 1e-3
    np.testing.assert_allclose(kept, coarse, atol=1e-4 * scale)


# Shortcuts and stochastic depth.


def test_nothing_leads_past_a_stride_even_where_shapes_are_equal():
    x = y = jnp.ones((1, 1, 1, 4))
    past = IdentityShortcut()
    for step, expected in ((ONE, 2), (Step(2, 1, 1), 1), (Step(1, 1, 2), 1), (Step(1, 2, 2), 2)):
        assert float(past(x, y, Context(), step, NoNorm())[0, 0, 0, 0]) == expected


def blocks():
    return (Inverted(4, norm=NoNorm(), drop_path=0.5), ConvNeXtBlock(4, scale=1.0, drop_path=0.5))


def both(block, x, ctx, step):
    """Variables, what the block makes of x without training, and in it."""

    @jax.jit
    def compute(x):
        net = Scope(block)
        variables = net.init(jax.random.key(2), x, Context(), step)
        return variables, *(net.apply(variables, x, c, step) for c in (Context(), ctx))

    return compute(x)


@pytest.mark.parametrize("block", blocks())
def test_dropped_examples_are_what_came_in_and_the_rest_is_scaled(block):
    x = jax.random.normal(jax.random.key(0), (64, 4, 4, 4))
    ctx = Context(train=True, keys=jax.random.split(jax.random.key(1), 64))
    _, whole, drawn = both(block, x, ctx, ONE)
    whole, drawn = whole - x, drawn - x
    dropped = np.abs(drawn).max(axis=(1, 2, 3)) == 0
    assert 10 < dropped.sum() < 54
    np.testing.assert_allclose(drawn[~dropped], 2 * whole[~dropped], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("block", blocks())
def test_no_example_is_dropped_where_nothing_leads_past(block):
    x = jax.random.normal(jax.random.key(0), (8, 4, 4, 4))
    ctx = Context(train=True, keys=jax.random.split(jax.random.key(1), 8))
    plain = dataclasses.replace(block, shortcut=NoShortcut())
    for net, step in ((plain, ONE), (block, Step(2, 1, 1))):
        _, whole, drawn = both(net, x, ctx, step)
        np.testing.assert_array_equal(whole, drawn)


def test_the_rates_of_stochastic_depth_rise():
    def rates(net):
        return [b.drop_path for s in net.stages for b, _ in s.blocks]

    assert rates(convnext.convnext(96, (1, 2, 1, 1), 0.4)) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    found = rates(efficientnet.efficientnet(drop_path=0.2))
    assert found == pytest.approx([0.2 * i / 16 for i in range(16)])
    assert native("convnext_tiny").stages[0].block == ConvNeXtBlock(96)


def test_a_convnext_block_starts_out_as_nearly_nothing():
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 4))
    variables, out, _ = both(ConvNeXtBlock(4), x, Context(), ONE)
    np.testing.assert_array_equal(variables["params"]["layer_scale"]["gamma"], np.float32(1e-6))
    np.testing.assert_allclose(out, x, atol=1e-4)


# EfficientNet's scaling.


def test_lite_nets_keep_stem_neck_and_the_depth_of_both_ends():
    net = native("efficientnet_lite4")
    assert (net.stem.block.features, net.neck.block.features) == (32, 1280)
    assert [s.depth for s in net.stages] == [1, 4, 4, 6, 6, 8, 1]
    assert all(s.block.gate is None and s.block.act == ReLU6() for s in net.stages)
    assert [s.depth for s in native("efficientnet_b4").stages] == [2, 4, 4, 6, 6, 8, 2]


@pytest.mark.parametrize(
    ("prefix", "sides"),
    [
        ("efficientnet_b", (224, 240, 260, 300, 380, 456, 528, 600)),
        ("efficientnet_lite", (224, 240, 260, 280, 300)),
    ],
)
def test_each_efficientnet_has_its_own_resolution(prefix, sides):
    found = [nets.native_shape(f"{prefix}{i}") for i in range(len(sides))]
    assert found == [(side, side, 3) for side in sides]


# Small images.

strides = st.lists(st.sampled_from([1, 2]), min_size=1, max_size=7).map(
    lambda given: {f"stage{i}": s for i, s in enumerate(given, 1)}
)


@hypothesis.given(strides, st.integers(3, 300))
def test_as_few_first_strides_become_one_as_leave_three_pixels(strides, side):
    def last(given):
        return math.ceil(side / math.prod(given.values()))

    fitted, said = fit_strides(strides, side)
    assert last(fitted) >= 3
    changed = [name for name in strides if fitted[name] != strides[name]]
    assert bool(said) == bool(changed) and all(name in said for name in changed)
    if changed:  # The last one changed had to be.
        assert last(fitted | {changed[-1]: 2}) < 3
    twos = [name for name in strides if strides[name] == 2]
    assert changed == twos[: len(changed)]


@pytest.mark.parametrize("name", NAMES)
def test_images_of_the_paper_leave_the_net_as_it_is(name):
    assert native(name).adapted == ""


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("side", [12, 28, 64, 97])
def test_small_images_leave_a_map_and_are_said_to_be_adapted_to(name, side):
    net = nets.get(name, 10, (side, side, 3))
    assert bool(net.adapted) == (side < 97 or name == "convnext_tiny")
    variables = shapes(net, (side, side, 3))
    last = net.clone(head=LastMap())
    out = jax.eval_shape(lambda v, x: last.apply(v, x), variables, jnp.zeros((1, side, side, 3)))
    assert 3 <= out.shape[1] <= 8


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("mobilenet_v2", (64, 96, 3), "stride 1 in stem"),
        ("mobilenet_v2", (32, 32, 3), "stride 1 in stem and stage2"),
        ("regnetx_400mf", (32, 32, 3), "stride 1 in stem and stage1"),
        ("convnext_tiny", (64, 64, 3), "patches of 2×2 instead of 4×4"),
        (
            "convnext_tiny",
            (28, 28, 1),
            "patches of 1×1 instead of 4×4 and images padded by 2 pixels",
        ),
    ],
)
def test_what_was_adapted_is_said(name, shape, words):
    assert nets.get(name, input_shape=shape).adapted == words


@pytest.mark.parametrize(
    ("name", "made_for", "side", "axes", "message"),
    [
        ("mobilenet_v2", 32, 32, {"kernel": 9}, "stage6/block2/spatial_conv: a 9×9 kernel reaches"),
        ("mobilenet_v1", 32, 32, {"dilation": 4}, "spatial_conv: a 3×3 kernel dilated 4× reaches"),
        ("regnetx_400mf", 32, 32, {"kernel": 9}, "stage4/block2/conv2: a 9×9 kernel reaches past"),
        ("convnext_tiny", 224, 64, {}, "stage4/block1/spatial_conv: a 7×7 kernel reaches past"),
        ("convnext_tiny", 224, 28, {"kernel": 1}, "stage4/before/conv: a 2×2 kernel reaches past"),
        ("convnext_tiny", 8, 8, {}, "stem/block1/conv: a 1×1 kernel reaches past its 8×8 map"),
    ],
)
def test_a_kernel_that_cannot_meet_its_map_names_the_layer(name, made_for, side, axes, message):
    net = nets.get(name, 10, (made_for, made_for, 3), **axes)
    with pytest.raises(UserError, match=message):
        shapes(net, (side, side, 3))
