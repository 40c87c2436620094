"""Weights become a net's variables whole or not at all; what is adapted keeps its meaning."""

import ast
import dataclasses

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from hypothesis import strategies as st

import cnnjax
from cnnjax import nets
from cnnjax.errors import UserError
from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.vary import padding
from cnnjax.train.model import Model, save_model
from cnnjax.transfer import adapt, fold
from cnnjax.transfer.export import export, renamed
from cnnjax.transfer.merge import merge
from cnnjax.transfer.names import tables
from cnnjax.transfer.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from cnnjax.transfer.pretrained import load_pretrained, pretrained
from cnnjax.transfer.weights import Weights
from tests.named_weights import SMALL, drawn, equal, keras, small, torchs

MIDDLE = (96, 96, 3)  # Where a kernel of 5×5 fits the last map.
RESNET = small("resnet18")
VARIABLES = drawn(RESNET)
FILE = torchs(RESNET, VARIABLES)


def changed(weights: Weights, without: tuple[str, ...] = (), **more: np.ndarray) -> Weights:
    kept = {name: x for name, x in weights.tensors.items() if name not in without}
    return dataclasses.replace(weights, tensors=kept | more)


def table(title: str):
    return next(t for t in tables() if t.title == title)


def logits(net: Net, variables: dict, x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(net.apply)(variables, x))


def images(shape=SMALL, n: int = 2) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, *shape)).astype(np.float32)


# Whole.


def test_merged_variables_have_the_form_of_the_nets_own():
    found = merge(RESNET, FILE, SMALL)
    own = jax.eval_shape(RESNET.init, jax.random.key(0), jnp.zeros((1, *SMALL)))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), found.variables) == jax.tree.map(
        lambda x: (x.shape, x.dtype), own
    )
    equal(found.variables, VARIABLES)
    assert found.notes == ()


def test_half_precision_and_double_become_single():
    half = {name: x.astype(np.float16) for name, x in FILE.tensors.items()}
    double = {name: x.astype(np.float64) for name, x in FILE.tensors.items()}
    for tensors in (half, double):
        found = merge(RESNET, dataclasses.replace(FILE, tensors=tensors), SMALL)
        equal(found.variables, VARIABLES, rtol=1e-3, atol=1e-6)
        assert {x.dtype for x in jax.tree.leaves(found.variables)} == {np.dtype(np.float32)}


def test_a_common_prefix_does_not_matter():
    tensors = {f"module.{name}": x for name, x in FILE.tensors.items()}
    equal(merge(RESNET, dataclasses.replace(FILE, tensors=tensors), SMALL).variables, VARIABLES)


# Or not at all.


def test_what_is_missing_is_named_with_what_is_near():
    moved = changed(FILE, ("layer4.1.bn2.weight",))
    moved = dataclasses.replace(
        moved, tensors=moved.tensors | {"layer4.1.bn2.wieght": np.ones(3, np.float32)}
    )
    with pytest.raises(UserError) as e:
        merge(RESNET, moved, SMALL)
    assert str(e.value) == (
        "w.pth does not fit the net (read as torchvision's ResNet, whose names explain 101 of its "
        "102 tensors): 1 missing: layer4.1.bn2.weight for stage4/block2/norm2 (near: "
        "layer4.1.bn2.wieght); 1 unexpected: layer4.1.bn2.wieght"
    )


def test_what_is_of_another_shape_is_told_once_a_layer():
    wider = torchs(small("resnet18", width=0.2), drawn(small("resnet18", width=0.2)))
    with pytest.raises(UserError, match="41 of another shape: conv1.weight holds 7×7×3×13, "):
        merge(RESNET, wider, SMALL)
    with pytest.raises(UserError, match="bn1.running_mean holds 13, stem/block1/norm takes 6") as e:
        merge(RESNET, wider, SMALL)
    assert str(e.value).count(" takes ") == 5
    assert str(e.value).endswith(" and 36 more")


def test_many_are_counted_and_few_are_shown():
    deep = small("resnet34")
    with pytest.raises(UserError, match="80 unexpected: layer1.2.conv1.weight, .* and 75 more$"):
        merge(RESNET, torchs(deep, drawn(deep)), SMALL)
    with pytest.raises(UserError, match="80 missing: layer1.2.conv1.weight for stage1/block3/c"):
        merge(deep, FILE, SMALL)


def test_other_classes_ask_for_a_new_head():
    with pytest.raises(UserError) as e:
        merge(small("resnet18", classes=3), FILE, SMALL)
    assert str(e.value).endswith(
        "1 of another shape: fc.weight holds 51×10, head/logits takes 51×3; the classes differ: to "
        'start them anew give reinit="head"'
    )


def test_a_body_without_its_head_is_loaded_as_the_error_says():
    net = small("vgg11", shape=SMALL, width=0.05)
    weights = torchs(net, drawn(net, (224, 224, 3)), (224, 224, 3))
    body = changed(weights, tuple(n for n in weights.tensors if n.startswith("classifier")))
    with pytest.raises(UserError, match="6 missing: classifier.0.weight for head/dense1,") as e:
        merge(net, body, (224, 224, 3))
    said = str(e.value).rpartition("give reinit=")[2]
    assert ast.literal_eval(said) == ("head/dense1", "head/dense2", "head")
    found = merge(net, body, (224, 224, 3), ast.literal_eval(said))
    assert found.notes == ("initialised anew from seed 0: head/dense1, head/dense2, head/logits",)


def test_weights_of_another_architecture_are_told():
    other = small("squeezenet1_1")
    with pytest.raises(UserError, match="whose names explain 0 of its 52 tensors.*: 102 missing: "):
        merge(RESNET, torchs(other, drawn(other)), SMALL)


def test_a_net_that_nobody_publishes_is_told():
    net = nets.get("lenet5")
    said = "w.pth: no net of this kind is known from torchvision, .*timm; weights of a net trained"
    with pytest.raises(UserError, match=said):
        merge(net, FILE, (32, 32, 1))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.full(6, np.nan, np.float32), "not all numbers"),
        (np.full(6, 1e300), "not all numbers"),
        (np.ones(6, np.int64), "int64"),
        (np.ones(6, np.complex64), "complex64"),
        (-np.ones(6, np.float32), "a variance below 0"),
    ],
)
def test_values_that_no_net_has_are_refused(value, said):
    broken = changed(FILE, **{"bn1.running_var": value})
    with pytest.raises(UserError, match=rf"1 of no use: bn1.running_var \({said}\)$"):
        merge(RESNET, broken, SMALL)


@hypothesis.given(
    name=st.sampled_from([n for n in FILE.tensors if "num_batches" not in n]),
    shape=st.lists(st.integers(0, 4), max_size=5).map(tuple),
    how=st.sampled_from(["drop", "add", "shape"]),
)
def test_a_file_with_anything_amiss_gives_nothing(name, shape, how):
    """And is not written to: its tensors are shut."""
    other = np.ones(shape, np.float32)
    hypothesis.assume(how != "shape" or shape not in (FILE.tensors[name].shape, (1, 1, 6)))
    match how:
        case "drop":
            broken = changed(FILE, (name,))
        case "add":
            broken = changed(FILE, **{f"{name}.more": other})
        case "shape":
            # A kernel of another size is adapted, a vector may lie as a map.
            hypothesis.assume(other.size != FILE.tensors[name].size)
            hypothesis.assume(shape[:2] != FILE.tensors[name].shape[:2])
            broken = changed(FILE, **{name: other})
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        merge(RESNET, broken, SMALL)


@pytest.mark.parametrize("seed", range(3))
def test_the_biases_of_keras_may_be_of_any_shape_in_a_broken_file(seed):
    net = small("resnet50_v1")
    weights = keras(table("Keras' ResNet"), net, drawn(net))
    shape = [(), (2, 3), (99,)][seed]
    broken = changed(weights, **{"conv1_conv/bias": np.ones(shape, np.float32)})
    with pytest.raises(UserError, match="1 of another shape: conv1_conv/bias holds"):
        merge(net, broken, SMALL)


# What starts anew.


def test_a_new_head_is_the_nets_own_from_its_seed():
    net = small("resnet18", classes=3)
    for seed in (0, 7):
        found = merge(net, FILE, SMALL, "head", seed)
        own = net.init(jax.random.key(seed), jnp.zeros((1, *SMALL)))
        wanted = flatten_dict(VARIABLES) | {
            at: v for at, v in flatten_dict(own).items() if "head" in at
        }
        equal(found.variables, unflatten_dict(wanted), rtol=1e-6)
        assert found.notes == (f"initialised anew from seed {seed}: head/logits",)


def test_a_scope_is_a_layer_or_all_below_it():
    for scope, count in (("stage4", 10), ("stage4/block2", 4), ("stage4/block2/conv1", 1)):
        assert len(merge(RESNET, FILE, SMALL, scope).anew) == count
    assert len(merge(RESNET, FILE, SMALL, ("stage4/block2/", "head")).anew) == 5


def test_what_starts_anew_may_be_missing():
    body = changed(FILE, ("fc.weight", "fc.bias"))
    assert merge(RESNET, body, SMALL, "head").anew == {"head/logits"}


def test_the_classes_of_auxiliary_heads_start_anew_with_the_head():
    net = small("googlenet_tv_aux")
    other = small("googlenet_tv_aux", classes=3)
    shape = (224, 224, 3)
    weights = torchs(net, drawn(net, shape), shape)
    with pytest.raises(UserError, match='3 of another shape: .*anew give reinit="head"$'):
        merge(other, weights, shape)
    assert merge(other, weights, shape, "head").anew == {
        "stage3/block1/auxiliary/logits",
        "stage3/block4/auxiliary/logits",
        "head/logits",
    }


def test_auxiliary_heads_that_a_net_has_not_are_left_out():
    shape = (224, 224, 3)
    whole, bare = small("googlenet_tv_aux"), small("googlenet_tv")
    found = merge(bare, torchs(whole, drawn(whole, shape), shape), shape)
    assert found.notes == ("left out, no part of the net: 18 such as aux1.conv.conv.weight",)


def test_an_unknown_scope_is_named_with_the_nearest():
    with pytest.raises(UserError, match="unknown scope to initialise anew 'stage5': did you mean"):
        merge(RESNET, FILE, SMALL, "stage5")


# What is adapted.


def test_grey_images_give_what_they_gave_in_three_channels():
    grey = small("resnet18", shape=(64, 64, 1))
    found = merge(grey, FILE, (64, 64, 1))
    x = images((64, 64, 1))
    wanted = logits(RESNET, VARIABLES, np.repeat(x, 3, axis=-1))
    np.testing.assert_allclose(logits(grey, found.variables, x), wanted, rtol=1e-4, atol=1e-4)
    assert found.notes == ("3 input channels summed to 1: 1 layer",)


def test_coloured_images_of_equal_channels_give_what_one_gave():
    one = (64, 64, 1)
    grey = small("resnet18", shape=one)
    variables = drawn(grey, one)
    found = merge(RESNET, torchs(grey, variables, one), SMALL)
    x = images(one)
    wanted = logits(grey, variables, x)
    here = logits(RESNET, found.variables, np.repeat(x, 3, axis=-1))
    np.testing.assert_allclose(here, wanted, rtol=1e-4, atol=1e-4)
    assert found.notes == ("1 input channels shared out to 3: 1 layer",)


def test_other_channels_are_an_error():
    with pytest.raises(UserError, match="conv1.weight holds 7×7×3×6, stem/block1/conv takes 7×7×4"):
        merge(RESNET, FILE, (64, 64, 4))


def plain(kernel: int, stride: int) -> Net:
    return Net(stages=(Stage(Plain(3, kernel), depth=2, stride=stride),), head=Head(4))


def own(variables: dict) -> Weights:
    return Weights(flatten_dict(variables, sep="/"), "cnnjax", "results/KEY")


@hypothesis.given(
    small=st.integers(1, 5),
    more=st.integers(0, 4),
    stride=st.integers(1, 3),
    side=st.integers(24, 27),
)
@hypothesis.settings(max_examples=15)
def test_kernels_that_grow_change_no_output(small, more, stride, side):
    shape = (side, side + 1, 2)
    variables = drawn(plain(small, stride), shape)
    net = plain(small + more, stride)
    found = merge(net, own(variables), shape)
    x = images(shape)
    wanted = logits(plain(small, stride), variables, x)
    np.testing.assert_allclose(logits(net, found.variables, x), wanted, rtol=1e-5, atol=1e-5)
    size = f"kernels of {small}×{small} padded with zeros to {small + more}×{small + more}"
    assert found.notes == ((f"{size}: 2 layers",) if more else ())


@hypothesis.given(small=st.integers(1, 6), large=st.integers(1, 9), across=st.integers(1, 9))
def test_what_grew_shrinks_back_to_itself(small, large, across):
    hypothesis.assume(large >= small <= across)
    kernel = np.random.default_rng(0).normal(size=(small, small, 2, 3))
    grown = adapt.resized(kernel, (large, across))
    assert grown.shape == (large, across, 2, 3)
    np.testing.assert_allclose(grown.sum(), kernel.sum())
    np.testing.assert_array_equal(adapt.resized(grown, (small, small)), kernel)


def test_a_net_for_small_images_takes_the_weights_of_large_ones_and_says_so():
    net = nets.get("resnet18", 10, (32, 32, 3), width=0.1)
    assert merge(net, FILE, (32, 32, 3)).notes == (
        "kernels of 7×7 cut to the central 3×3: 1 layer",
        "adapted: stem of 3×3, stride 1, no pool",
    )


def test_axes_that_move_no_shape_take_the_weights_as_they_are():
    for axes in (
        {"dilation": 2},
        {"output_stride": 16},
        {"activation": "gelu"},
        {"pooling": "avg"},
    ):
        found = merge(small("resnet18", **axes), FILE, MIDDLE)
        equal(found.variables, VARIABLES)
        assert found.notes == ()


def test_the_kernel_axis_takes_the_weights_at_its_size():
    assert merge(small("resnet18", kernel=5), FILE, MIDDLE).notes == (
        "kernels of 7×7 cut to the central 5×5: 1 layer",
        "kernels of 3×3 padded with zeros to 5×5: 16 layers",
    )


def test_another_norm_is_no_batch_norm():
    with pytest.raises(UserError, match="40 unexpected: bn1.running_mean, bn1.running_var, "):
        merge(small("resnet18", norm="group"), FILE, SMALL)


# What is folded.


@hypothesis.given(
    var=st.floats(0, 4, width=32),
    theirs=st.sampled_from([1e-5, 1.001e-5, 1e-3]),
    ours=st.sampled_from([1e-5, 1e-3]),
)
def test_batch_norm_gives_under_our_epsilon_what_it_gave_under_theirs(var, theirs, ours):
    scale, given_var = np.float32([1.5]), np.float32([var])
    folded, new = fold.epsilon(scale, given_var, theirs, ours)
    assert new >= 0
    assert (new.dtype, folded.dtype) == (np.float32, np.float32)
    there = scale.astype(float) / np.sqrt(given_var.astype(float) + theirs)
    here = folded.astype(float) / np.sqrt(new.astype(float) + ours)
    np.testing.assert_allclose(here, there, rtol=1e-6)
    if theirs == ours:
        assert (folded, new) == (scale, given_var)


def test_keras_biases_go_into_the_means_and_blue_stands_last():
    net = small("resnet50_v1")
    variables = drawn(net)
    weights = keras(table("Keras' ResNet"), net, variables)
    flat = flatten_dict(variables)
    rng = np.random.default_rng(3)
    biases = {}
    for at, kernel in flat.items():
        if at[-1] == "kernel" and "head" not in at:
            biases[at[1:-1]] = rng.normal(size=kernel.shape[-1]).astype(np.float32)
    names = {x.tobytes(): n.rpartition("/")[0] for n, x in weights.tensors.items()}
    told = {f"{names[flat['params', *at, 'kernel'].tobytes()]}/bias": b for at, b in biases.items()}
    found = flatten_dict(merge(net, changed(weights, **told), SMALL).variables)
    for at, bias in biases.items():
        where = ("batch_stats", *at[:-1], at[-1].replace("conv", "norm"), "mean")
        np.testing.assert_array_equal(found[where], flat[where] - bias)
    stem = ("params", "stem", "block1", "conv", "kernel")
    np.testing.assert_array_equal(found[stem], flat[stem][:, :, ::-1])


# What shapes don't tell.


def test_strides_in_another_convolution_are_refused_by_name():
    v1, v15 = small("resnet50_v1"), small("resnet50")
    weights = torchs(v15, drawn(v15))
    said = "w.pth holds torchvision's ResNet: .*in stage2/block1/conv1: use the net without _v1"
    with pytest.raises(UserError, match=said):
        merge(v1, weights, SMALL)
    weights = keras(table("Keras' ResNet"), v1, drawn(v1))
    said = "w.h5 holds Keras' ResNet: .*in stage2/block1/conv2: use the net's version 1, such as"
    with pytest.raises(UserError, match=said):
        merge(v15, weights, SMALL)


def test_a_net_that_none_here_equals_is_refused_by_name():
    net = small("resnet50_v2")
    weights = keras(table("Keras' ResNetV2"), net, drawn(net))
    with pytest.raises(UserError, match="w.h5 holds Keras' ResNetV2: it strides in the last block"):
        merge(net, weights, SMALL)


def test_padding_is_refused_and_the_error_says_how_to_have_it():
    net = small("mobilenet_v2")
    there = padding(net, "symmetric")
    weights = torchs(there, drawn(there))
    with pytest.raises(UserError) as e:
        merge(net, weights, SMALL)
    assert str(e.value) == (
        "w.pth holds torchvision's MobileNetV2: it pads its strided layers on both sides alike, "
        'unlike the net\'s stem/block1/conv: give the net padding="symmetric" (--padding=symmetric)'
    )
    assert merge(there, weights, SMALL).notes == ()


def test_where_a_file_does_not_tell_how_it_pads_the_net_does_and_a_note_says_so():
    net = small("efficientnet_b0")
    for how, other, epsilon in (("same", "symmetric", 1e-3), ("symmetric", "same", 1e-5)):
        net = padding(net, how)
        weights = torchs(net, drawn(net, MIDDLE), MIDDLE, "timm")
        found = merge(net, weights, MIDDLE)
        assert found.fit.table.epsilon == epsilon
        assert found.notes[0].startswith(
            "the file does not tell how its net pads; read as one that pads as this one, timm's"
        )
        assert found.notes[0].endswith(
            f'if it pads otherwise give the net padding="{other}" (--padding={other})'
        )


def test_a_repository_tells_how_its_weights_pad():
    net = small("efficientnet_b0")
    weights = torchs(net, drawn(net, MIDDLE), MIDDLE, "timm")
    said = {"config": {"architecture": "tf_efficientnet_b0"}}
    assert merge(net, dataclasses.replace(weights, about=said), MIDDLE).notes == ()
    said = {"config": {"architecture": "efficientnet_b0"}}
    with pytest.raises(UserError, match="w.pth holds timm's EfficientNet: it pads"):
        merge(net, dataclasses.replace(weights, about=said), MIDDLE)


@pytest.mark.parametrize("revision", ["", "@v1.0"])
def test_a_repository_of_timms_tells_so_by_its_name(revision):
    net = small("efficientnet_b0")
    weights = torchs(net, drawn(net, MIDDLE), MIDDLE, "timm")

    def at(where: str) -> Weights:
        return dataclasses.replace(weights, where=f"{where}{revision}")

    assert merge(net, at("hf:timm/tf_efficientnet_b0.in1k"), MIDDLE).notes == ()
    with pytest.raises(UserError, match=r"holds timm's EfficientNet: .*--padding=symmetric"):
        merge(net, at("hf:timm/efficientnet_b0.ra_in1k"), MIDDLE)
    for unsaid in ("hf:me/efficientnet_b0.ra_in1k", "timm/efficientnet_b0.ra_in1k"):
        assert "does not tell" in merge(net, at(unsaid), MIDDLE).notes[0]


def test_keras_files_that_name_no_layers_are_told():
    weights = Weights({"layers/conv2d/vars/0": np.ones(3)}, "keras", "w.weights.h5", {"layers": {}})
    with pytest.raises(UserError, match="w.weights.h5 does not name its layers"):
        merge(small("vgg16"), weights, (224, 224, 3))


# Images.


def test_how_images_are_prepared_comes_from_the_table_the_net_and_the_repository():
    found = pretrained(RESNET, FILE, SMALL).preprocess
    assert found == Preprocess(73, 64)  # In the proportion of 256 to 224.
    assert pretrained(RESNET, FILE).preprocess == Preprocess(256, 224)
    cfg = {
        "input_size": [3, 96, 96],
        "crop_pct": 0.96,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "interpolation": "bicubic",
    }
    told = dataclasses.replace(FILE, about={"config": {"pretrained_cfg": cfg}})
    wanted = Preprocess(100, 96, (0.5,) * 3, (0.2,) * 3, "bicubic")
    assert pretrained(RESNET, told).preprocess == wanted
    assert pretrained(RESNET, told, preprocess=Preprocess()).preprocess == Preprocess()


@pytest.mark.parametrize(
    ("name", "resize", "crop"),
    [("efficientnet_b3", 320, 300), ("efficientnet_b0", 256, 224), ("convnext_tiny", 236, 224)],
)
def test_sizes_are_those_of_the_source(name, resize, crop):
    net = padding(nets.get(name, 3), "symmetric") if "eff" in name else nets.get(name, 3)
    shape = nets.native_shape(name)
    found = pretrained(net, torchs(net, drawn(net, shape), shape)).preprocess
    assert (found.resize, found.crop) == (resize, crop)


def test_grey_images_take_the_mean_of_the_channels():
    grey = small("resnet18", shape=(64, 64, 1))
    found = pretrained(grey, FILE, (64, 64, 1)).preprocess
    assert found.mean == pytest.approx((np.mean(IMAGENET_MEAN),))
    assert found.std == pytest.approx((np.mean(IMAGENET_STD),))


@pytest.mark.parametrize(
    ("mean", "variance", "std"),
    [
        ((0, 0, 0), (1, 1, 1), (1, 1, 1)),
        ((0.5, 0.4, 0.3), (0.04, 0.09, 0.16), (0.2, 0.3, 0.4)),
        (IMAGENET_MEAN, IMAGENET_STD, IMAGENET_STD),  # Its deviations stand where variances do.
    ],
)
def test_keras_nets_that_normalise_by_themselves_are_asked_how(mean, variance, std):
    net = small("efficientnet_b0")
    weights = keras(table("Keras' EfficientNet"), net, drawn(net, MIDDLE), MIDDLE)
    more = {"normalization/mean": np.float32(mean), "normalization/variance": np.float32(variance)}
    found = pretrained(net, changed(weights, **more), MIDDLE)
    assert found.preprocess.mean == pytest.approx(mean)
    assert found.preprocess.std == pytest.approx(std)
    assert found.notes == ("left out, no part of the net: 2 such as normalization/mean",)


def test_a_net_for_small_images_has_to_say_which():
    net = nets.get("resnet18", 10, (32, 32, 3), width=0.1)
    with pytest.raises(UserError, match="the net is adapted to small images .*: say which by"):
        pretrained(net, FILE)


@pytest.mark.parametrize("shape", [(32, 32), (0, 32, 3), ("a", 1, 3), (32.0, 32, 3)])
def test_an_input_shape_that_is_none_is_told(shape):
    with pytest.raises(UserError, match="input_shape: .* is out of range"):
        pretrained(RESNET, FILE, shape)


@pytest.mark.parametrize(
    "config",
    [
        [],
        {"pretrained_cfg": None},
        {"pretrained_cfg": [3]},
        {"architecture": 7, "label_names": 3},
        {"architecture": None, "label_names": {"a": 1}},
    ],
)
def test_a_config_of_another_form_is_left_alone(config):
    told = dataclasses.replace(FILE, about={"config": config})
    found = pretrained(RESNET, told)
    assert (found.preprocess, found.class_names) == (Preprocess(), ())


@pytest.mark.parametrize("cfg", [{"input_size": 3}, {"mean": "abc"}, {"crop_pct": 0}])
def test_a_config_that_can_not_be_is_told(cfg):
    told = dataclasses.replace(FILE, about={"config": {"pretrained_cfg": cfg}})
    with pytest.raises(UserError):
        pretrained(RESNET, told)


# Through files, and back.


@pytest.fixture
def path(tmp_path):
    export(RESNET, VARIABLES, tmp_path / "w.safetensors", input_shape=SMALL)
    return tmp_path / "w.safetensors"


def test_load_of_export_is_what_it_was(path):
    found = load_pretrained(RESNET, path, input_shape=SMALL)
    equal(found.variables, VARIABLES)
    assert found.source == f"torchvision's ResNet from {path}"
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]


def test_a_net_may_be_given_by_name(tmp_path):
    net = nets.get("squeezenet1_1", 1000)
    export(net, drawn(net, (224, 224, 3)), tmp_path / "w.safetensors")
    assert load_pretrained("squeezenet1_1", tmp_path / "w.safetensors").net == net


def test_images_of_any_sizes_become_probabilities(path):
    found = load_pretrained(RESNET, path, input_shape=SMALL)
    rng = np.random.default_rng(0)
    pictures = [
        rng.integers(0, 256, size, np.uint8) for size in ((90, 70, 3), (64, 200), (9, 9, 3))
    ]
    rows = found.predict(pictures)
    assert rows.shape == (3, 10)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    one_by_one = np.concatenate([found.predict(x, batch_size=1) for x in pictures])
    np.testing.assert_allclose(rows, one_by_one, rtol=1e-3, atol=1e-5)
    ((likeliest, share), *rest) = found.name(pictures[0], top=3)[0]
    assert (likeliest, len(rest)) == (str(rows[0].argmax()), 2)
    assert share == pytest.approx(rows[0].max(), rel=1e-3)


def test_the_projects_own_nets_are_found_by_equal_names(tmp_path):
    net = plain(3, 1)
    variables = drawn(net, (12, 12, 3))
    names = ("a", "b", "c", "d")
    save_model(tmp_path, Model(net, variables, (12, 12, 3), (0.1,) * 3, (0.2,) * 3, names))
    found = cnnjax.load_pretrained(net, tmp_path)
    equal(found.variables, variables)
    assert found.class_names == names
    assert found.preprocess == Preprocess(12, 12, (0.1,) * 3, (0.2,) * 3)
    assert found.name(np.zeros((12, 12, 3), np.uint8), top=1)[0][0][0] in names
    fresh = cnnjax.load_pretrained(plain(3, 1), tmp_path, reinit="head")
    assert fresh.class_names == ()
    three = Net(stages=net.stages, head=Head(3))
    with pytest.raises(UserError, match='params/head/logits/kernel holds 3×4.*give reinit="head"'):
        cnnjax.load_pretrained(three, tmp_path)


def test_a_repositorys_class_names_are_those_of_the_net_that_has_as_many():
    names = [f"class {i}" for i in range(10)]
    told = dataclasses.replace(FILE, about={"config": {"label_names": names}})
    assert pretrained(RESNET, told, SMALL).class_names == tuple(names)
    few = dataclasses.replace(FILE, about={"config": {"label_names": names[:3]}})
    assert pretrained(RESNET, few, SMALL).class_names == ()


@pytest.mark.parametrize(
    ("net", "source", "said"),
    [
        ("resnet18", "torchvison", "unknown source 'torchvison': did you mean 'torchvision'"),
        ("lenet5", "torchvision", "torchvision has no net of this kind"),
        ("resnet50_v1", "torchvision", "torchvision's ResNet is another net: its bottlenecks str"),
        (
            "mobilenet_v2",
            "timm",
            "timm's MobileNetV2 is another net: .*padding=.symmetric. .--padding=symmetric.*",
        ),
    ],
)
def test_what_a_source_has_not_is_not_exported(net, source, said, tmp_path):
    with pytest.raises(UserError, match=said):
        export(nets.get(net), {}, tmp_path / "w.safetensors", source)
    assert not any(tmp_path.iterdir())


def test_another_nets_variables_are_not_exported(tmp_path):
    with pytest.raises(
        UserError, match="stem/block1/conv takes kernel of 7×7×3×64 and there is 7×"
    ):
        renamed(nets.get("resnet18", 10), VARIABLES)
    with pytest.raises(UserError, match="conv takes kernel of 7×7×3×6 and there is nothing"):
        renamed(RESNET, {}, input_shape=SMALL)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="can't write .*nowhere"):
        export(RESNET, VARIABLES, tmp_path / "nowhere" / "w.safetensors", input_shape=SMALL)
