"""Tables of names: each layer has one, there and back; the layouts behind them."""

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import nets
from cnnjax.nets.vary import padding
from cnnjax.transfer import layout
from cnnjax.transfer.choose import named
from cnnjax.transfer.facts import differs
from cnnjax.transfer.merge import merge
from cnnjax.transfer.names import tables
from cnnjax.transfer.rules import Number, Row, Table, bases
from cnnjax.transfer.slots import Slot, slots
from cnnjax.transfer.source_images import name_of
from tests import zoo
from tests.named_weights import as_there, drawn, equal, published, tables_of, torchs

PUBLISHED = [name for name in zoo.NAMES if tables_of(name)]
each = zoo.each_of(PUBLISHED)


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.title)
def test_a_table_is_for_nets_that_it_fits(table):
    found = published(table)
    assert bool(found) != bool(table.refused)
    assert all(any(n == p or "*" in p for n in found) for p in table.nets), "a name is misspelt"
    assert [n for n in found if not table.fits(zoo.native(n))] == []


def test_no_two_tables_have_one_title():
    titles = [table.title for table in tables()]
    assert len(titles) == len(set(titles))


@each
def test_every_layer_has_a_name_of_its_own(name):
    shape = nets.native_shape(name)
    for table in tables_of(name):
        found = slots(as_there(zoo.native(name), table), shape)
        assert differs(table, found) == "", table.title
        wanted, biases = named(table, found)
        assert {path for path, _ in wanted} == {slot.path for slot in found}, table.title
        every = [*wanted.values(), *biases.values()]
        assert len(every) == len(set(every)), table.title


@each
def test_what_is_exported_and_loaded_is_what_it_was(name):
    shape = nets.native_shape(name)
    net = zoo.native(name, width=0.25)
    variables = drawn(net, shape)
    for table in tables_of(name):
        if table.framework == "torch":
            there = as_there(net, table)
            weights = torchs(there, variables, shape, table.source)
            # Another epsilon is folded into the variances, and rounds them.
            equal(merge(there, weights, shape).variables, variables, rtol=2e-7)


INCEPTION = "inception4d.branch"
LITE = "EfficientNet-Lite-PyTorch"
# Ours → theirs, as their programs print them.
KNOWN = [
    ("torchvision", "alexnet_one_tower", "stage2/block3/conv", "features.10"),
    ("torchvision", "alexnet_one_tower", "head/dense2", "classifier.4"),
    ("torchvision", "vgg16", "stage5/block3/conv", "features.28"),
    ("torchvision", "vgg16_bn", "stage5/block3/norm", "features.41"),
    ("torchvision", "vgg16", "head/dense1", "classifier.0"),
    (
        "torchvision",
        "googlenet_tv",
        "stage3/block4/branch2/spatial/norm",
        "inception4d.branch2.1.bn",
    ),
    ("torchvision", "googlenet_tv", "stage4/block2/branch4/conv", "inception5b.branch4.1.conv"),
    ("torchvision", "resnet50", "stage3/block6/conv2", "layer3.5.conv2"),
    ("torchvision", "resnet50", "stage4/block1/shortcut_norm", "layer4.0.downsample.1"),
    ("torchvision", "densenet121", "stage4/before/conv", "features.transition3.conv"),
    (
        "torchvision",
        "densenet121",
        "stage4/block16/conv2",
        "features.denseblock4.denselayer16.conv2",
    ),
    ("torchvision", "squeezenet1_0", "stage3/block1/expand3/conv", "features.12.expand3x3"),
    ("torchvision", "squeezenet1_1", "stage3/block1/squeeze/conv", "features.9.squeeze"),
    ("torchvision", "mobilenet_v2", "stage1/block1/project_norm", "features.1.conv.2"),
    ("torchvision", "mobilenet_v2", "stage7/block1/spatial_conv", "features.17.conv.1.0"),
    ("torchvision", "mobilenet_v2", "neck/block1/conv", "features.18.0"),
    ("torchvision", "mobilenet_v3_small", "stage1/block1/squeeze", "features.1.block.1.fc1"),
    ("torchvision", "mobilenet_v3_small", "stage2/block1/project_conv", "features.2.block.2.0"),
    ("torchvision", "mobilenet_v3_small", "stage3/block1/project_norm", "features.4.block.3.1"),
    ("torchvision", "efficientnet_b0", "stage7/block1/excite", "features.7.0.block.2.fc2"),
    ("torchvision", "efficientnet_b0", "neck/block1/norm", "features.8.1"),
    (
        "torchvision",
        "regnety_400mf",
        "stage4/block6/excite",
        "trunk_output.block4.block4-5.f.se.fc2",
    ),
    ("torchvision", "convnext_tiny", "stage2/before/norm", "features.2.0"),
    ("torchvision", "convnext_tiny", "stage4/block3/project_conv", "features.7.2.block.5"),
    ("timm", "seresnet18", "stage2/block1/squeeze", "layer2.0.se.fc1"),
    ("timm", "efficientnet_lite0", "stage1/block1/project_conv", "blocks.0.0.conv_pw"),
    ("timm", "efficientnet_lite0", "stage7/block1/project_norm", "blocks.6.0.bn3"),
    ("timm", "mobilenet_v3_small", "neck/block1/conv", "blocks.5.0.conv"),
    ("timm", "regnetx_400mf", "stage2/block1/shortcut_conv", "s2.b1.downsample.conv"),
    ("timm", "resnet50_v2", "neck/block1/norm", "norm"),
    ("Keras", "resnet50_v1", "stage4/block3/conv3", "conv5_block3_3_conv"),
    ("Keras", "densenet121", "stage1/block6/norm2", "conv2_block6_1_bn"),
    ("Keras", "mobilenet_v1", "stage5/block2/project_norm", "conv_pw_13_bn"),
    ("Keras", "mobilenet_v2", "stage1/block1/spatial_conv", "expanded_conv_depthwise"),
    ("Keras", "mobilenet_v2", "stage7/block1/expand_norm", "block_16_expand_BN"),
    (
        "Keras",
        "mobilenet_v3_small",
        "stage5/block3/excite",
        "expanded_conv_10_squeeze_excite_conv_1",
    ),
    ("Keras", "efficientnet_b0", "stage4/block3/spatial_norm", "block4c_bn"),
    ("Keras", "convnext_tiny", "stage4/before/conv", "downsampling_conv_2"),
    (
        "EfficientNet-Lite-PyTorch",
        "efficientnet_lite0",
        "stage7/block1/spatial_norm",
        "_blocks.15._bn1",
    ),
]


@pytest.mark.parametrize(("source", "name", "ours", "theirs"), KNOWN)
def test_names_are_those_of_the_source(source, name, ours, theirs):
    table = next(table for table in tables_of(name) if table.source == source)
    assert bases(table, slots(zoo.native(name), nets.native_shape(name)))[ours][0] == theirs


@pytest.mark.parametrize("name", zoo.REPRESENTATIVES.values())
def test_a_net_is_known_by_its_value(name):
    net = zoo.native(name)
    shape = nets.native_shape(name)
    assert name_of(net) == name
    assert name_of(nets.get(name, 7, shape)) == name
    assert name_of(padding(net, "symmetric")) == name
    assert name_of(nets.get(name, 7, shape, activation="elu")) == ""


# The little language of names.


def layer(path: str) -> Slot:
    return Slot(path, "conv", (("kernel", (1, 1, 1, 1)),))


def names(*rows: Row, paths: list[str]) -> list[str]:
    table = Table("a's net", "torch", (), bool, rows)
    found = bases(table, [layer(path) for path in paths])
    return [found.get(path, ("",))[0] for path in paths]


@hypothesis.given(
    terms=st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["s", "b", ""]), st.sampled_from("+-")),
        min_size=1,
        max_size=4,
    ),
    s=st.integers(1, 99),
    b=st.integers(1, 99),
)
def test_numbers_in_names_are_linear_forms(terms, s, b):
    """`{2s-b+1}` is what it says, whatever the terms are."""
    hypothesis.assume(any(letter for _, letter, _ in terms))  # A bare number needs no braces.
    form = "".join(f"{sign}{factor}{letter}" for factor, letter, sign in terms).removeprefix("+")
    at = {"s": s, "b": b, "": 1}
    value = sum((1 if sign == "+" else -1) * n * at[letter] for n, letter, sign in terms)
    row = Row("stage{s}/block{b}/conv", f"x.{{{form}}}.y")
    assert names(row, paths=[f"stage{s}/block{b}/conv"]) == [f"x.{value}.y"]


def test_blocks_are_counted_over_the_stages():
    paths = ["stem/block1/conv", "stage1/block1/conv", "stage1/block2/conv", "stage2/block1/conv"]
    row = Row("stage{s}/block{b}/conv", "{k}{b:a} of {K} in {S}")
    assert names(row, paths=paths) == ["", "0a of 3 in 2", "1b of 3 in 2", "2a of 3 in 2"]


def test_the_first_row_that_matches_names_a_layer():
    rows = (
        Row("stage1/block1/conv", "first"),
        Row("stage{s}/block{b}/conv", "wide", where=(("x", 1),)),
        Row("stage{s}/block{b}/conv", "other"),
    )
    paths = [
        "stage1/block1/conv",
        "stage1/block2/conv",
        "stage1/block3/expand_conv",
        "stage1/block3/conv",
    ]
    assert names(*rows, paths=paths) == ["first", "other", "", "wide"]


@pytest.mark.parametrize(("n", "letter"), [(1, "a"), (2, "b"), (26, "z")])
def test_a_number_is_a_letter_too(n, letter):
    assert f"{Number(n):a}{Number(n)}" == f"{letter}{n}"


# Layouts.


def kernels(*sizes: st.SearchStrategy) -> st.SearchStrategy:
    shapes = st.tuples(*sizes)
    floats = st.floats(-9, 9, width=32)
    return shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=floats))


few = st.integers(1, 4)


@pytest.mark.parametrize("held", ["", "conv"])
@hypothesis.given(kernel=kernels(few, few), flat=st.tuples(few, few), data=st.data())
def test_a_dense_kernel_comes_back(held, kernel, flat, data):
    h, w = flat
    rows = np.concatenate([kernel + i for i in range(h * w)])
    map_of = (h, w, len(kernel)) if h * w > 1 else None
    slot = Slot("head/dense1", "dense", (("kernel", rows.shape),), flattened=map_of)
    theirs = layout.torchs(rows, slot, "kernel", held)
    assert theirs.ndim == (4 if held else 2)
    np.testing.assert_array_equal(layout.ours(theirs, slot, "kernel", "torch"), rows)


@pytest.mark.parametrize("held", ["", "dense"])
@hypothesis.given(kernel=kernels(few, few, few, few))
def test_a_convolutions_kernel_comes_back(held, kernel):
    kernel = kernel[:1, :1] if held else kernel
    slot = Slot("stem/block1/conv", "conv", (("kernel", kernel.shape),))
    theirs = layout.torchs(kernel, slot, "kernel", held)
    np.testing.assert_array_equal(layout.ours(theirs, slot, "kernel", "torch"), kernel)


@hypothesis.given(kernel=kernels(few, few, few, few), data=st.data())
def test_a_flattened_map_gives_in_our_order_what_it_gave_in_theirs(kernel, data):
    h, w, c, features = kernel.shape
    theirs = kernel.reshape(-1, features).T  # [O, C·H·W], whatever its numbers are.
    image = np.random.default_rng(0).normal(size=(c, h, w)).astype(np.float32)
    slot = Slot("head/dense1", "dense", (), flattened=(h, w, c) if h * w > 1 else None)
    ours = layout.ours(theirs, slot, "kernel", "torch")
    there = theirs @ image.ravel()
    here = image.transpose(1, 2, 0).ravel() @ ours
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-4)


@hypothesis.given(kernel=kernels(few, few, st.integers(2, 4), few))
def test_keras_depthwise_kernels_keep_each_channels_own(kernel):
    slot = Slot("stage1/block1/spatial_conv", "conv", (), depthwise=True)
    ours = layout.ours(kernel, slot, "kernel", "keras")
    h, w, channels, several = kernel.shape
    assert ours.shape == (h, w, 1, channels * several)
    np.testing.assert_array_equal(ours[0, 0, 0, :several], kernel[0, 0, 0])


@pytest.mark.parametrize(
    ("name", "layers", "found"),
    [
        ("layers/conv2d_1/vars/1", {"layers/conv2d_1": "block1_conv2"}, "block1_conv2/1"),
        ("b/layers/conv2d/vars/0", {"b/layers/conv2d": "block1_conv1"}, "block1_conv1/0"),
        ("conv1_bn/moving_mean", {"conv1_bn": "conv1_bn"}, "conv1_bn/2"),
        ("conv1/bn/gamma", {"conv1/bn": "conv1/bn"}, "conv1_bn/0"),
        ("block1_conv1/block1_conv1_W_1", {"block1_conv1": "block1_conv1"}, "block1_conv1/0"),
        ("stem/stem_conv/bias", {"stem": "stem"}, "stem_conv/1"),
        ("conv_dw_1/depthwise_kernel", {"conv_dw_1": "conv_dw_1"}, "conv_dw_1/0"),
        ("a_layer_scale/variable_12", {"a_layer_scale": "a_layer_scale"}, "a_layer_scale/0"),
        ("normalization/mean", {"normalization": "normalization"}, "normalization/mean"),
    ],
)
def test_keras_names_are_a_layer_and_a_place(name, layers, found):
    weights = layout.Weights({name: np.zeros(1)}, "keras", "w.h5", {"layers": layers})
    assert layout.names(weights) == {found: name}


def test_a_prefix_of_all_names_and_bookkeeping_are_no_part_of_them():
    tensors = {"module.bn1.weight": 0, "module.bn1.num_batches_tracked": 0}
    assert layout.names(layout.Weights(tensors, "torch", "w.pth")) == {
        "bn1.weight": "module.bn1.weight"
    }
    mixed = {"module.fc.weight": 0, "fc.weight": 0}
    assert layout.names(layout.Weights(mixed, "torch", "w.pth")) == {n: n for n in mixed}
