"""Residual and dense nets: published figures, laws of their blocks, every axis on every net."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax import nets
from cnnjax.compute.forward import abstract_variables as shapes
from cnnjax.compute.trace import trace
from cnnjax.nets import densenet, drn, preact, resnet, resnext, senet, vary, wide_resnet
from cnnjax.nets.activations import Identity
from cnnjax.nets.blocks import Bottleneck, Residual
from cnnjax.nets.context import Context, Step
from cnnjax.nets.densenet import DenseLayer, Transition
from cnnjax.nets.gates import SkipInit, SqueezeExcite
from cnnjax.nets.net import Scope, Stage
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Strided
from cnnjax.nets.preact import PreBottleneck, PreResidual
from cnnjax.values import fields, from_json, is_value, to_json, value

FAMILIES = (resnet, preact, wide_resnet, resnext, senet, densenet, drn)
NAMES = sorted(name for family in FAMILIES for name in family.NETS)


@value
class LastMap:
    """A head that ends nothing."""

    def __call__(self, x, ctx):
        return x


def count(tree):
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def native(name):
    shape = nets.native_shape(name)
    return nets.get(name, 1000 if shape[0] == 224 else 10), shape


# Published figures. F: read in a project's file (torchvision; timm; pytorchcv; drn, the authors'
# README and code). C: computed analytically by a method that reproduces torchvision's totals.
# T: as printed in the paper, quoted by a third party. M: the paper's table from memory. Where there
# is text, its digits are all that is published.
# (The post-activation ResNets of He et al. 2015 stand in test_compute and test_receptive_field.)

PUBLISHED = [
    ("plain56", 853_018, 125_485_696, "C"),  # Option A adds nothing.
    ("resnet20_b", 272_474, None, "C"),  # 16·32 + 2·32 + 32·64 + 2·64 more.
    ("resnet50_v1", 25_557_032, 3_857_973_248, "C"),
    ("resnet101_v1", 44_549_160, None, "C"),
    ("resnet152_v1", 60_192_808, None, "C"),
    ("resnet50_v2", 25_549_352, None, "F timm resnetv2_50"),
    ("resnet101_v2", 44_541_480, None, "F timm resnetv2_101"),
    ("resnet152_v2", 60_185_128, None, "F timm resnetv2_152"),
    ("resnet110_v2", "1.7 M", None, "T"),
    ("resnet164_v2", 1_703_258, None, "F pytorchcv; T 1.7 M"),
    ("wide_resnet16_2", "0.7 M", None, "M Zagoruyko & Komodakis 2017, table 1"),
    ("wide_resnet16_8", "11.0 M", None, "M table 4"),
    ("wide_resnet16_10", 17_116_634, None, "F pytorchcv; T table 4: 17.1 M"),
    ("wide_resnet22_8", "17.2 M", None, "T table 4"),
    ("wide_resnet22_10", "26.8 M", None, "M table 4"),
    ("wide_resnet28_10", 36_479_194, 5_243_328_768, "C, F pytorchcv; T table 4: 36.5 M"),
    ("wide_resnet28_12", "52.5 M", None, "M table 4"),
    ("wide_resnet40_1", "0.6 M", None, "M table 4"),
    ("wide_resnet40_2", "2.2 M", None, "T table 4"),
    ("wide_resnet40_4", "8.9 M", None, "T table 4"),
    ("wide_resnet40_8", 35_748_314, None, "F pytorchcv; M table 4: 35.7 M"),
    ("wide_resnet50_2", 68_883_240, "11.398 G", "F torchvision"),
    ("wide_resnet101_2", 126_886_696, "22.753 G", "F torchvision"),
    ("resnext50_32x4d", 25_028_904, 4_230_479_872, "F torchvision, C"),
    ("resnext101_32x8d", 88_791_336, "16.414 G", "F torchvision"),
    ("resnext101_64x4d", 83_455_272, "15.460 G", "F torchvision"),
    ("seresnet18", 11_779_624, None, "F timm"),
    ("seresnet34", 21_960_416, None, "F timm"),
    ("seresnet50", 28_088_024, None, "F timm"),
    ("seresnet101", 49_326_872, None, "F timm"),
    ("seresnet152", 66_821_848, None, "F timm"),
    ("densenet121", 7_978_856, "2.834 G", "F torchvision"),
    ("densenet169", 14_149_480, None, "F torchvision"),
    ("densenet201", 20_013_928, None, "F torchvision"),
    ("densenet161", 28_681_000, None, "F torchvision"),
    ("densenet40_k12", "1.0 M", None, "F the authors' README: table 2"),
    ("densenet_bc100_k12", 769_162, None, "F pytorchcv; the authors' README: 0.8 M"),
    ("drn22", 16_393_752, None, "F drn, 16.4 M there"),
    ("drn26", 21_126_584, None, "F drn, 21.1 M there"),
    ("drn38", 26_501_912, None, "F drn, 26.5 M there"),
    ("drn42", 31_234_744, None, "F drn, 31.2 M there"),
    ("drn54", 35_809_176, None, "F drn, 35.8 M there"),
    # The authors' 41.6 M hold a 1×1 projection from 2048 to 512 and its norm, which never run.
    ("drn58", 41_591_608 - 2048 * 512 - 2 * 512, None, "F drn"),
    ("drn105", 54_801_304, None, "F drn, 54.8 M there"),
]


@pytest.mark.parametrize(
    ("name", "params", "macs", "source"), PUBLISHED, ids=[row[0] for row in PUBLISHED]
)
def test_published_counts(name, params, macs, source):
    net, shape = native(name)
    if macs is None:
        assert _as_published(count(shapes(net, shape)["params"]), params) == params, source
        return
    layers = trace(net, shape).layers
    assert _as_published(sum(layer.params for layer in layers), params) == params, source
    assert _as_published(sum(layer.macs for layer in layers), macs) == macs, source


def _as_published(found, published):
    """With the digits that are published."""
    if not isinstance(published, str):
        return found
    digits, unit = published.split()
    places = len(digits.partition(".")[2])
    return f"{found / {'M': 1e6, 'G': 1e9}[unit]:.{places}f} {unit}"


# F: read in google-research/receptive_field. C: computed by a method that reproduces those.
FIELDS = [
    ("resnet110_v2", 501, 4, "C"),  # What comes before or after an activation changes nothing.
    ("plain34", 899, 32, "C"),
    ("resnet50_v1", 483, 32, "F"),
    ("resnet101_v1", 1027, 32, "F"),
    ("resnet152_v1", 1507, 32, "F"),
    ("resnet50_v2", 427, 32, "C"),
    ("resnext50_32x4d", 427, 32, "C"),
    ("wide_resnet50_2", 427, 32, "C"),
    ("seresnet50", 427, 32, "C"),
    ("drn26", 581, 8, "C"),
    ("drn54", 519, 8, "C"),
]


@pytest.mark.parametrize(
    ("name", "size", "stride", "source"), FIELDS, ids=[row[0] for row in FIELDS]
)
def test_published_receptive_fields(name, size, stride, source):
    field = trace(*native(name)).field
    assert field.sizes == (size, size), source
    assert {axis.stride for axis in field.axes} == {stride}
    assert field.is_global == name.startswith("seresnet")  # Gates see all.


# What a net is beside another.


def test_an_option_is_an_axis():
    assert nets.get("resnet20_b") == nets.get("resnet20", shortcut="projection")
    assert nets.get("plain20") == nets.get("resnet20", shortcut="none")
    assert nets.get("plain34") == nets.get("resnet34", shortcut="none")
    assert nets.get("drn26", shortcut="projection") == nets.get("drn26")


@pytest.mark.parametrize("name", ["seresnet18", "seresnet50"])
def test_without_its_gates_an_se_net_is_the_residual_one(name):
    net = nets.get(name)
    assert all(stage.block.gate == SqueezeExcite(divisor=8) for stage in net.stages)
    bare = tuple(
        dataclasses.replace(s, block=dataclasses.replace(s.block, gate=None)) for s in net.stages
    )
    assert net.clone(stages=bare) == nets.get(name.removeprefix("se"))


@pytest.mark.parametrize("name", NAMES)
def test_a_net_is_read_back_from_its_json(name):
    net = nets.get(name)
    assert from_json(to_json(net)) == net


def test_small_images_get_another_stem_and_the_net_says_so():
    for name in NAMES:
        large, small = (nets.get(name, input_shape=(n, n, 3)) for n in (64, 32))
        if nets.native_shape(name)[0] == 32:
            assert small == large and small.adapted == ""
            continue
        assert large.adapted == "" and small.adapted.startswith("stem of 3×3")
        # 32 pixels are treated as 128.
        assert math.prod(_strides(large)) == 4 * math.prod(_strides(small))


def _strides(net):
    for stage in net.named_stages.values():
        yield stage.stride
        if stage.pool:
            yield stage.pool.stride


# Blocks.


def run(block, x, step=None, edit=None):
    """The block's output on x, its variables drawn, statistics as at the start, then edited."""
    scope, args = Scope(block), (Context(), step or Step())
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = "/".join(p.key for p in path)
        statistic = name.endswith(("scale", "var", "mean", "bias"))
        drawn = np.full(leaf.shape, name.endswith(("scale", "var"))) if statistic else None
        drawn = rng.normal(size=leaf.shape) if drawn is None else drawn
        return jnp.asarray(edit(name, drawn) if edit else drawn, leaf.dtype)

    like = jax.eval_shape(lambda: scope.init(jax.random.key(0), x, *args))
    variables = jax.tree_util.tree_map_with_path(draw, like)
    return np.asarray(jax.jit(lambda v, x: scope.apply(v, x, *args))(variables, x))


def image(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("block", [PreResidual(4), PreBottleneck(1)])
def test_a_unit_that_adds_nothing_is_the_identity(block):
    """Which is what the paper is named after; a unit of v1 still cuts with its ReLU."""

    def silent(name, leaf):
        last = "conv3" if isinstance(block, PreBottleneck) else "conv2"
        return 0 * leaf if last in name else leaf

    x = image(2, 6, 6, 4)
    assert (run(block, x, edit=silent) == x).all()
    entry = run(dataclasses.replace(block, shared=True), x, edit=silent)
    np.testing.assert_allclose(entry, np.maximum(x / math.sqrt(1 + 1e-5), 0), rtol=1e-5)
    v1 = Bottleneck(1) if isinstance(block, PreBottleneck) else Residual(4)
    assert (run(v1, x, edit=silent) == np.maximum(x, 0)).all()


def test_a_branch_counts_as_much_as_its_factor_and_starts_from_nothing():
    """De & Smith 2020, §3."""
    x = image(2, 4, 4, 6)
    bare = Residual(6, norm=NoNorm(), act=Identity())
    block = dataclasses.replace(bare, gate=SkipInit())

    def halved(name, leaf):
        return leaf / 2 if "skip_init" in name else leaf

    branch = run(bare, x) - x
    np.testing.assert_allclose(run(block, x, edit=halved), x + branch / 2, rtol=1e-4, atol=1e-4)
    scope, args = Scope(block), (Context(), Step())
    begun = scope.init(jax.random.key(0), x, *args)
    assert np.array_equal(scope.apply(begun, x, *args), x)


def test_a_shortcut_that_changes_the_shape_starts_after_the_activation():
    block = PreResidual(6)
    x = image(2, 6, 6, 4)

    def silent(name, leaf):
        return 0 * leaf if "conv2" in name else leaf

    def ones(name, leaf):
        leaf = silent(name, leaf)
        return leaf * 0 + 1 if "shortcut" in name else leaf

    expected = np.maximum(x / math.sqrt(1 + 1e-5), 0).sum(-1, keepdims=True)
    np.testing.assert_allclose(run(block, x, edit=ones), expected.repeat(6, -1), rtol=1e-5)
    strided = run(block, x, Step(2), edit=ones)
    np.testing.assert_allclose(strided, expected[:, ::2, ::2].repeat(6, -1), rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("inner", [0, 4])
def test_a_dense_layer_keeps_what_it_was_given(stride, inner):
    x = image(2, 7, 7, 5)
    y = run(DenseLayer(3, inner=inner), x, Step(stride))
    assert y.shape[-1] == 5 + 3
    assert (y[..., :5] == x[:, ::stride, ::stride]).all()


def test_a_transition_pools_as_far_as_the_stage_strides():
    def means(name, leaf):
        return leaf * 0 + 1 / 4 if "kernel" in name else leaf

    x = np.abs(image(2, 7, 7, 4))
    block = Transition(norm=NoNorm(), act=Identity())
    mean = x.mean(-1, keepdims=True)
    for stride in (1, 2, 3):
        size = 7 // stride
        whole = mean[:, : size * stride, : size * stride].reshape(2, size, stride, size, stride)
        y = run(block, x, Step(stride), means)
        np.testing.assert_allclose(y, whole.mean((2, 4))[..., None].repeat(2, -1), rtol=1e-5)
    odd = run(dataclasses.replace(block, pool=Strided()), x, Step(2), means)
    np.testing.assert_allclose(odd, mean[:, ::2, ::2].repeat(2, -1), rtol=1e-5)


@pytest.mark.parametrize("name", ["resnet50_v2", "wide_resnet16_8", "densenet_bc100_k12"])
def test_without_norms_every_convolution_has_a_bias(name):
    normed, bare = (
        shapes(nets.get(name, input_shape=(32, 32, 3), depth=1, **axes), (32, 32, 3))["params"]
        for axes in ({}, {"norm": "none"})
    )

    def layers(tree, path=()):
        if "kernel" in tree:
            yield "/".join(path), "bias" in tree
        for key, below in tree.items():
            if isinstance(below, dict):
                yield from layers(below, (*path, key))

    with_head, all_biased = dict(layers(normed)), dict(layers(bare))
    assert with_head.keys() == all_biased.keys()
    assert [name for name, biased in with_head.items() if biased] == ["head/logits"]
    assert all(all_biased.values())


# Trading stride for dilation.

DENSE = [
    ("resnet20", 1, {}, 71),
    ("resnet20_b", 2, {"kernel": 4}, 71),
    ("resnet18", 8, {}, 64),
    ("resnet50", 8, {}, 71),
    ("resnet50_v1", 8, {}, 71),
    ("resnet50_v2", 8, {}, 71),
    ("resnet110_v2", 1, {}, 64),
    ("resnet164_v2", 2, {}, 71),
    ("densenet121", 8, {}, 64),
    ("densenet121", 8, {}, 71),
    ("densenet121", 4, {"pooling": "max"}, 71),
    ("densenet_bc100_k12", 1, {"pooling": "stride", "kernel": 2}, 71),
    ("drn54", 1, {}, 71),
]


@pytest.mark.parametrize(
    ("name", "stride", "axes", "size"), DENSE, ids=[f"{row[0]}-{row[1]}" for row in DENSE]
)
def test_every_unit_is_still_there_at_a_smaller_output_stride(name, stride, axes, size):
    shape = (size, size - 3, 2) if nets.native_shape(name)[0] == 224 else (size // 3, size // 4, 2)
    original = nets.get(name, input_shape=(224, 224, 3), depth=2, width=0.07, **axes)
    original = original.clone(head=LastMap())
    dense = vary.output_stride(original, stride)
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(1, *shape))
        like = jax.eval_shape(original.init, jax.random.key(0), x)
        assert jax.eval_shape(dense.init, jax.random.key(0), x) == like
        variables = jax.tree.map(lambda leaf: rng.uniform(-1, 2, leaf.shape), like)
        variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
        few, many = (np.asarray(jax.jit(net.apply)(variables, x)) for net in (original, dense))
    whole = math.prod(_strides(original))
    ratio = whole // stride
    assert ratio > 1 and many.shape[1] > few.shape[1]
    assert np.abs(few).max() > 0
    np.testing.assert_allclose(many[:, ::ratio, ::ratio], few, rtol=1e-9, atol=1e-9)


# Axes.


@pytest.mark.parametrize("name", NAMES)
def test_what_an_axis_is_set_to_it_already_has(name):
    """Setting an axis to what every field of it holds changes nothing."""
    net = nets.get(name)
    for axis in sorted(set(vary.AXES) - {"depth", "width", "stride", "output_stride"}):
        held = set(_held(net, axis))
        if len(held) == 1:
            assert vary.AXES[axis](net, held.pop()) == net
    assert vary.depth(net, tuple(s.depth for s in net.stages)) == net
    assert vary.stride(net, tuple(s.stride for s in net.stages)) == net


def _held(v, axis):
    if isinstance(v, tuple):
        for x in v:
            yield from _held(x, axis)
    elif is_value(v):
        for field in fields(v):
            if field.metadata.get("axis") == axis:
                yield getattr(v, field.name)
            yield from _held(getattr(v, field.name), axis)


def test_stages_after_the_first_begin_with_a_transition():
    net = nets.get("densenet121")
    assert [stage.before for stage in net.stages] == [None] + [Transition()] * 3
    assert [stage.depth for stage in net.stages] == [6, 12, 24, 16]
    assert isinstance(net.neck, Stage)
