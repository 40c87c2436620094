"""The classic nets: published figures, what their layers compute, auxiliary heads, small inputs."""

import dataclasses
import itertools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import compute, nets, values
from cnnjax.compute import activations, macs, params, receptive_field
from cnnjax.compute.forward import abstract_variables as shapes
from cnnjax.compute.trace import trace
from cnnjax.errors import UserError
from cnnjax.nets import auxiliary, lenet, vary
from cnnjax.nets.activations import ACTIVATIONS, ScaledTanh
from cnnjax.nets.alexnet import NETS as ALEXNETS
from cnnjax.nets.auxiliary import AuxiliaryHead, Watched
from cnnjax.nets.blocks import Plain
from cnnjax.nets.context import Context
from cnnjax.nets.googlenet import NETS as GOOGLENETS
from cnnjax.nets.net import Flatten, Head, Net, Scope, Stage
from cnnjax.nets.norms import LocalResponse
from cnnjax.nets.pools import Average, Max, Pool, Strided, Subsampling
from cnnjax.nets.squeezenet import NETS as SQUEEZENETS
from cnnjax.train.initial import drawn

IMAGENET = (*ALEXNETS, "zfnet", *GOOGLENETS, *SQUEEZENETS)
NAMES = ("lenet5_1998", *IMAGENET)


def native(name):
    shape = nets.native_shape(name)
    return nets.get(name, 10 if name == "lenet5_1998" else 1000, shape), shape


# Published figures. R: the project's reference table. V: torchvision 0.29, parameters summed and
# multiply-accumulates counted by PyTorch's flop counter. B: BVLC's GoogLeNet for Caffe, with and
# without its auxiliary heads. P: LeCun et al. 1998, §II-B.

PUBLISHED = [
    ("lenet5_1998", 60_000, None, "P, R"),
    ("alexnet", 60_965_224, 724_406_816, "R"),
    ("alexnet_ungrouped", 62_378_344, 1_135_256_096, "R"),
    ("alexnet_one_tower", 61_100_840, 714_188_480, "R, V"),
    ("zfnet", 62_357_608, 1_168_032_896, "R"),
    ("googlenet", 6_998_552, None, "B"),
    ("googlenet_aux", 13_378_280, None, "B"),
    ("googlenet_tv", 6_624_904, 1_498_376_192, "R, V"),
    ("googlenet_tv_aux", 13_004_888, 1_498_376_192, "V"),
    ("squeezenet1_0", 1_248_424, 818_924_576, "R, V"),
    ("squeezenet1_1", 1_235_496, 349_151_936, "R, V"),
]


@pytest.mark.parametrize(
    ("name", "n_params", "n_macs", "source"), PUBLISHED, ids=[row[0] for row in PUBLISHED]
)
def test_published_counts(name, n_params, n_macs, source):
    net, shape = native(name)
    traced = trace(net, shape)
    assert params.total(traced) == n_params, source
    assert n_macs is None or macs.total(traced) == n_macs, source
    assert net.adapted == ""


def test_every_net_has_its_published_row():
    assert {row[0] for row in PUBLISHED} == set(NAMES)


# At the convolutions and after the last pool, in pixels: google-research/receptive_field for
# AlexNet_v2, computed for the others.
FIELDS = {
    "alexnet": ([11, 51, 99, 131, 163], 195),
    "alexnet_ungrouped": ([11, 51, 99, 131, 163], 195),
    "alexnet_one_tower": ([11, 51, 99, 131, 163], 195),
    "zfnet": ([7, 27, 75, 107, 139], 171),
}


@pytest.mark.parametrize("name", FIELDS)
def test_published_receptive_fields(name):
    traced = trace(*native(name))
    rows = [row for row in compute.layers(traced) if row["kind"].startswith("conv")]
    assert ([row["receptive_field"] for row in rows], receptive_field.total(traced)) == FIELDS[name]


def test_receptive_fields_of_lenet_and_googlenet():
    """S4 sees 16 pixels (computed), and C5 all 32. GoogLeNet by hand: pools and k×k alone count."""
    traced = trace(*native("lenet5_1998"))
    rows = {row["layer"]: row["receptive_field"] for row in compute.layers(traced)}
    assert rows["stage2/pool/subsampling"] == 16
    assert receptive_field.total(traced) == 32
    stem = 7 + 2 * 2 + 2 * 4 + 2 * 4
    paper = stem + 2 * 4 * 8 + 2 * 8 + 5 * 4 * 16 + 2 * 16 + 2 * 4 * 32
    torchvision = stem + 2 * 2 * 8 + 2 * 8 + 5 * 2 * 16 + 1 * 16 + 2 * 2 * 32
    for name, expected in (("googlenet", paper), ("googlenet_tv", torchvision)):
        assert receptive_field.total(trace(*native(name))) == expected


def maps(net, shape):
    """Heights of the maps behind the blocks and pools, in order."""
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), image)
    keep = {"capture_intermediates": lambda m, _: isinstance(m, Scope), "mutable": True}
    _, seen = jax.eval_shape(lambda v, x: net.apply(v, x, **keep), variables, image)
    found = []
    for name in net.named_stages:
        parts = seen["intermediates"][name]
        blocks = sorted((k for k in parts if k.startswith("block")), key=lambda k: int(k[5:]))
        found += [parts[k]["__call__"][0].shape[1] for k in (*blocks, "pool") if k in parts]
    return found


def test_maps_are_those_of_the_papers():
    assert maps(*native("lenet5_1998")) == [28, 14, 10, 5, 1]
    for name in ALEXNETS:
        assert maps(*native(name)) == [55, 27, 27, 13, 13, 13, 13, 6]
    assert maps(*native("zfnet")) == [110, 55, 26, 13, 13, 13, 13, 6]
    for name in GOOGLENETS:
        expected = [112, 56, 56, *[28] * 3, *[14] * 6, *[7] * 3]
        assert maps(*native(name)) == expected
    # The paper's table has maps of 111, 55, 27 and 13, of an input of 227.
    assert maps(nets.get("squeezenet1_0", input_shape=(227, 227, 3)), (227, 227, 3)) == (
        [111] + [55] * 4 + [27] * 5 + [13] * 2
    )


# LeNet-5 as of 1998.


def test_the_third_layer_sees_what_table_1_says():
    """Every three neighbours, every four, three fours with a gap, all (§II-B), round the ring."""
    found = [set(seen) for seen in lenet.scheme(6, 16)]
    ring = [{(i + j) % 6 for j in range(4)} for i in range(6)]
    assert found[:6] == [{(i + j) % 6 for j in range(3)} for i in range(6)]
    assert found[6:12] == ring
    assert all(len(seen) == 4 and seen not in ring for seen in found[12:15])
    assert found[15] == set(range(6))
    assert len({frozenset(seen) for seen in found}) == 16


@hypothesis.given(st.integers(1, 20), st.integers(1, 40))
def test_scaled_schemes_leave_no_map_blind(maps_in, maps_out):
    found = lenet.scheme(maps_in, maps_out)
    assert len(found) == maps_out
    assert all(0 < len(seen) <= maps_in and max(seen) < maps_in for seen in found)


def test_parameters_and_connections_of_lenet5_are_those_of_the_paper():
    """§II-B and §II-C: C1, S2, C3, S4, C5, F6 by parameters; connections include biases."""
    net, shape = native("lenet5_1998")
    traced = trace(net, shape)
    rows = {row["layer"]: row for row in compute.layers(traced)}
    c3 = [rows[f"stage2/block1/conv{n}"] for n in (3, 4, 6)]
    layers = {
        "C1": [rows["stage1/block1/conv"]],
        "S2": [rows["stage1/pool/subsampling"]],
        "C3": c3,
        "S4": [rows["stage2/pool/subsampling"]],
        "C5": [rows["stage3/block1/conv"]],
        "F6": [rows["head/dense1"]],
        "output": [rows["head"]],
    }
    owned = [sum(row["params"] for row in part) for part in layers.values()]
    assert owned == [156, 12, 1_516, 32, 48_120, 10_164, 0]

    def connections(name, row):
        units = math.prod(row["output"])
        if name[0] == "S":  # Four pixels and a bias a unit.
            return units * (4 + 1)
        return row["macs"] + (units if name != "output" else 0)

    counts = [sum(connections(name, row) for row in part) for name, part in layers.items()]
    assert counts == [122_304, 5_880, 151_600, 2_000, 48_120, 10_164, 840]
    assert sum(counts) == 340_908
    assert sum(row["macs"] for row in c3) == 150_000
    assert macs.total(traced) == sum(counts) - 5_880 - 2_000 - activations.total(traced) + 10


def test_the_sparse_layer_is_a_full_one_with_zeros():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 6))
    block = Plain(16, 5, norm=nets.get("lenet5_1998").stages[1].block.norm, padding=0)
    sparse = Scope(dataclasses.replace(block, connect=lenet.Sparse(), act=ScaledTanh()))
    step = Stage(block).first
    variables = jax.jit(lambda x: sparse.init(jax.random.key(1), x, Context(), step))(x)
    kernel, bias, done = np.zeros((5, 5, 6, 16)), np.zeros(16), 0
    for size in (3, 4, 6):
        own = variables["params"][f"conv{size}"]
        alike = [seen for seen in lenet.scheme(6, 16) if len(seen) == size]
        for j, seen in enumerate(alike):
            kernel[:, :, seen, done] = own["kernel"][..., j]
            bias[done] = j + 1.0
            done += 1
        own["bias"] = jnp.arange(1.0, len(alike) + 1)
    patches = np.lib.stride_tricks.sliding_window_view(np.asarray(x), (5, 5), axis=(1, 2))
    full = np.einsum("bhwcij,ijco->bhwo", patches, kernel) + bias
    y = jax.jit(lambda v, x: sparse.apply(v, x, Context(), step))(variables, x)
    np.testing.assert_allclose(y, 1.7159 * np.tanh(full * 2 / 3), rtol=1e-4, atol=1e-5)


def test_axes_replace_the_sparse_layer_and_the_subsampling():
    net = nets.get("lenet5_1998")
    assert vary.connectivity(net, "conv").stages[1].block.connect != lenet.Sparse()
    assert vary.pooling(net, "max").stages[0].pool == Pool(Max())
    acts = vary.activation(net, "relu")
    assert acts.stages[0].pool.kind == lenet.Squashed(act=ACTIVATIONS["relu"]())
    full = compute.layers(trace(vary.connectivity(net, "conv"), (32, 32, 1)))
    assert {row["layer"]: row["params"] for row in full}["stage2/block1/conv"] == 2_416


def test_codes_are_signs_that_tell_classes_apart():
    digits = lenet.codes(10, 84)
    assert digits.shape == (10, 84)
    one = digits[1].reshape(12, 7)
    assert "".join(".#"[int(v > 0)] for v in one[0]) == "...##.."
    for classes, units in ((10, 84), (10, 25), (2, 84), (100, 84), (1000, 126)):
        found = lenet.codes(classes, units)
        assert found.shape == (classes, units)
        assert set(np.unique(found)) == {-1.0, 1.0}
        pairs = itertools.combinations(found[:100], 2)
        # Digits are about as far apart as they look: 0 and 8, 5 and 6, 8 and 9.
        assert min(int((a != b).sum()) for a, b in pairs) >= (12 if units >= 84 else 3)


def test_a_class_has_the_same_code_whatever_their_number_and_in_any_version():
    np.testing.assert_array_equal(lenet.codes(100, 84)[:7], lenet.codes(7, 84))
    np.testing.assert_array_equal(lenet.codes(100, 126)[:, :84], lenet.codes(100, 84))
    bits = "".join(str(int(v > 0)) for v in lenet.codes(7, 16)[3])
    assert bits == "0000100010010100"


def test_logits_are_minus_the_squared_distance_to_the_codes():
    head = Scope(lenet.RadialBasis(10))
    x = jax.random.normal(jax.random.key(0), (3, 1, 1, 120))
    variables = head.init(jax.random.key(1), x, Context())
    dense1 = variables["params"]["dense1"]
    f = np.asarray(x[:, 0, 0] @ dense1["kernel"] + dense1["bias"], np.float64)
    f = 1.7159 * np.tanh(f * 2 / 3)
    distance = ((f[:, None] - lenet.codes(10, 84)) ** 2).sum(-1)
    np.testing.assert_allclose(head.apply(variables, x, Context()), -distance, rtol=1e-5)
    # Equation 9 without rubbish is the cross-entropy of these logits.
    paper = distance[:, 4] + np.log(np.exp(-distance).sum(-1))
    entropy = -jax.nn.log_softmax(head.apply(variables, x, Context()))[:, 4]
    np.testing.assert_allclose(entropy, paper, rtol=1e-4)


# Pools and norms by brute force.


def windows(n, pool):
    """Where windows start, by PyTorch's rule: the last one starts inside the map or before it."""
    reach = n + 2 * pool.padding - pool.window
    count = (-(-reach // pool.stride) if pool.ceil else reach // pool.stride) + 1
    if pool.ceil and (count - 1) * pool.stride >= n + pool.padding:
        count -= 1
    return [i * pool.stride - pool.padding for i in range(count)]


def brute(x, pool):
    """Each window's own mean or maximum; averages count the padding but nothing beyond it."""
    n, p = x.shape[1], pool.padding

    def one(i, j):
        inside = x[:, max(i, 0) : i + pool.window, max(j, 0) : j + pool.window]
        if isinstance(pool.kind, Max):
            return inside.max(axis=(1, 2))
        if isinstance(pool.kind, Subsampling):
            return inside.sum(axis=(1, 2))
        if not pool.kind.padded:
            return inside.mean(axis=(1, 2))
        sides = [min(s + pool.window, n + p) - s for s in (i, j)]
        return inside.sum(axis=(1, 2)) / math.prod(sides)

    starts = windows(n, pool)
    return np.stack([np.stack([one(i, j) for j in starts], 1) for i in starts], 1)


def spread(pool, rate):
    """The pool on a map whose units stand `rate` apart."""
    return dataclasses.replace(pool, rate=rate)


@hypothesis.settings(max_examples=8)
@hypothesis.given(st.data(), st.integers(2, 3))
def test_a_pool_of_units_apart_is_the_pool_of_each_of_the_interleaved_maps(data, rate):
    pool = dataclasses.replace(data.draw(pools()), ceil=False, stride=1)
    x = np.random.default_rng(rate).normal(size=(1, 6 * rate, 6 * rate, 2)).astype(np.float32)
    found = spread(pool, rate)(jnp.asarray(x), Context())
    for i, j in itertools.product(range(rate), repeat=2):
        np.testing.assert_allclose(
            found[:, i::rate, j::rate], brute(x[:, i::rate, j::rate], pool), rtol=1e-5, atol=1e-6
        )
    gradient = jax.grad(lambda x: (spread(pool, rate)(x, Context()) ** 2).sum())(jnp.asarray(x))
    assert np.isfinite(gradient).all()


@st.composite
def pools(draw):
    window = draw(st.integers(1, 4))
    kind = draw(st.sampled_from([Max(), Average(), Average(padded=False)]))
    padding = draw(st.integers(0, window // 2))
    return Pool(kind, window, draw(st.integers(1, 4)), padding, draw(st.booleans()))


@hypothesis.settings(max_examples=30)
@hypothesis.given(pools(), st.integers(4, 9))
def test_pools_by_brute_force(pool, size):
    x = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype(np.float32)
    found = pool(jnp.asarray(x), Context())
    np.testing.assert_allclose(found, brute(x, pool), rtol=1e-5, atol=1e-6)


def test_subsampling_scales_sums_and_shifts_them():
    pool = Pool(Subsampling())
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    scope = Scope(pool)
    variables = scope.init(jax.random.key(0), x, Context())
    own = {"coefficient": jnp.array([0.5, 2.0, -1.0]), "bias": jnp.array([1.0, 0.0, 3.0])}
    assert {k: v.shape for k, v in variables["params"]["subsampling"].items()} == {
        k: v.shape for k, v in own.items()
    }
    found = scope.apply({"params": {"subsampling": own}}, x, Context())
    np.testing.assert_allclose(
        found, brute(x, pool) * own["coefficient"] + own["bias"], rtol=1e-5, atol=1e-5
    )


@hypothesis.settings(max_examples=20)
@hypothesis.given(st.integers(1, 6), st.integers(1, 9))
def test_local_response_by_brute_force(size, channels):
    norm = LocalResponse(size, k=1.5, alpha=0.1, beta=0.6)
    x = np.random.default_rng(channels).normal(size=(2, 3, 3, channels)).astype(np.float32)
    expected = np.empty_like(x)
    for c in range(channels):
        first = c - size // 2
        near = x[..., max(first, 0) : max(first + size, 0)]
        expected[..., c] = x[..., c] / (1.5 + 0.1 * (near**2).sum(-1)) ** 0.6
    np.testing.assert_allclose(norm(jnp.asarray(x)), expected, rtol=1e-5)


def test_a_response_behind_a_pool_is_that_of_the_pooled_map():
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 8))
    pool = Pool(window=3)
    found = dataclasses.replace(pool, respond=LocalResponse())(x, Context())
    np.testing.assert_array_equal(found, LocalResponse()(pool(x, Context())))


# Auxiliary heads.


def watched_net(weight=0.3, classes=3):
    """Two blocks of which the first has an auxiliary head."""
    head = AuxiliaryHead(
        Head(classes, reduce=Flatten(), hidden=(6,), dropout=0.5),
        features=4,
        pool=Pool(Average(), window=3, stride=2),
        weight=weight,
    )
    return Net(stages=(Stage((Watched(Plain(4), head), Plain(5)), depth=2),), head=Head(classes))


def without(net):
    """The net without its auxiliary heads."""
    stage = net.stages[0]
    bare = tuple(b.block if isinstance(b, Watched) else b for b in stage.block)
    return net.clone(stages=(dataclasses.replace(stage, block=bare),))


def test_auxiliary_heads_change_no_logits():
    net = watched_net()
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = drawn(lambda key: net.init(key, x))(jax.random.key(1))
    assert set(variables) == {"params", "batch_stats"}
    assert "logits" in variables["params"]["stage1"]["block1"]["auxiliary"]
    for train in (False, True):
        seen, bare = (
            jax.jit(lambda v, x, n=n, t=train: n.apply(v, x, train=t, mutable=["batch_stats"])[0])
            for n in (net, without(net))
        )
        np.testing.assert_array_equal(seen(variables, x), bare(variables, x))


def test_inference_computes_no_auxiliary_head_and_training_sows_one_a_head():
    net, shape = nets.get("googlenet_aux", 7, (64, 64, 3)), (64, 64, 3)
    bare = nets.get("googlenet", 7, shape)
    assert macs.total(trace(net, shape)) == macs.total(trace(bare, shape))
    assert receptive_field.total(trace(net, shape)) == receptive_field.total(trace(bare, shape))
    variables = shapes(net, shape)
    mutable = ["batch_stats", auxiliary.COLLECTION]
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    for train, count in ((True, 2), (False, 0)):
        _, new = jax.eval_shape(
            lambda v, x, t=train: net.apply(v, x, train=t, mutable=mutable), variables, x
        )
        assert [head.logits.shape for head in auxiliary.sowed(new)] == [(2, 7)] * count


def test_a_training_step_counts_its_auxiliary_heads():
    """Three passes of each, as of any layer but the first."""
    net, shape = watched_net(), (8, 8, 1)
    heads = 3 * 3 * 4 * 4 + 36 * 6 + 6 * 3  # 1×1 on the pooled map, and two dense layers.
    more = compute.train_step_macs(net, shape, 2) - compute.train_step_macs(without(net), shape, 2)
    assert more == 2 * 3 * heads


def test_an_auxiliary_head_without_pooling_strides():
    net = vary.pooling(watched_net(), "stride")
    head = net.stages[0].block[0].auxiliary
    assert head.pool.kind == Strided()
    own = shapes(net, (8, 8, 1))["params"]["stage1"]["block1"]["auxiliary"]
    assert own["dense1"]["kernel"].shape == (4 * 4 * 4, 6)


def test_an_auxiliary_head_that_does_not_fit_is_named():
    message = "stage3/block1/auxiliary/pool: a pool of 5×5 does not fit its 4×4 map"
    with pytest.raises(UserError, match=message):
        shapes(nets.get("googlenet_aux", 10, (16, 16, 3)), (16, 16, 3))


# Small inputs.

ADAPTED = {
    "lenet5_1998": {(28, 28, 1): "", (64, 64, 3): "F6 sees all units of C5's larger maps"},
    "alexnet": {
        (28, 28, 1): "stem of 5×5, stride 1; stem padded by 2; pools padded by 1; "
        "hidden dense layers of 512 instead of 4096",
        (64, 64, 3): "stem of 5×5, stride 2; stem padded by 2; pools padded by 1; "
        "hidden dense layers of 512 instead of 4096",
        (128, 128, 3): "stem padded by 2; hidden dense layers of 512 instead of 4096",
        (224, 224, 3): "stem padded by 2",
    },
    "alexnet_one_tower": {
        (32, 32, 3): "stem of 5×5, stride 1; pools padded by 1; "
        "hidden dense layers of 512 instead of 4096",
        (256, 256, 3): "",
    },
    "zfnet": {
        (32, 32, 3): "stem of 3×3, stride 1; pools padded by 1; second layer of stride 1, padded "
        "by 2; hidden dense layers of 512 instead of 4096",
        (64, 64, 3): "stem of 3×3, stride 1; pools padded by 1; hidden dense layers of 512 "
        "instead of 4096",
    },
    "googlenet": {
        (32, 32, 3): "stem of 3×3, stride 1, no pool",
        (64, 64, 3): "stem of 3×3, stride 1",
        (128, 128, 3): "",
    },
    "squeezenet1_1": {
        (28, 28, 1): "stem of 3×3, stride 1, padded by 1, no pool",
        (64, 64, 3): "stem of 3×3, stride 1, padded by 1",
        (128, 128, 3): "",
    },
}


@pytest.mark.parametrize("name", ADAPTED)
def test_nets_say_what_small_inputs_changed(name):
    for shape, said in ADAPTED[name].items():
        assert nets.get(name, 10, shape).adapted == said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "classes"), [((28, 28, 1), 1), ((32, 32, 3), 7), ((64, 64, 3), 100), ((40, 96, 3), 2)]
)
def test_small_inputs_and_any_classes_give_nets(name, shape, classes):
    net = nets.get(name, classes, shape)
    out = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x)[0], jnp.zeros((2, *shape))
    )
    assert out.shape == (2, classes)
    assert values.from_json(values.to_json(net)) == net
    assert hash(net) == hash(nets.get(name, classes, shape))


@pytest.mark.parametrize(("name", "last"), [("alexnet", 4), ("zfnet", 4), ("squeezenet1_0", 8)])
def test_small_and_smaller_inputs_end_in_equal_maps(name, last):
    for side in (32, 64):
        assert maps(nets.get(name, 10, (side, side, 3)), (side, side, 3))[-1] == last


@pytest.mark.parametrize("name", ["alexnet", "zfnet", "googlenet", "squeezenet1_0"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_no_kernel_changes_the_maps_of_small_inputs(name, kernel):
    shape = (32, 32, 3)
    assert maps(nets.get(name, 10, shape, kernel=kernel), shape) == maps(
        nets.get(name, 10, shape), shape
    )


def test_the_auxiliary_twin_differs_by_its_heads_alone():
    for name in ("googlenet", "googlenet_tv"):
        aux, bare = (nets.get(n, 10, (32, 32, 3)) for n in (f"{name}_aux", name))
        assert (aux.adapted, aux.head, aux.stem) == (bare.adapted, bare.head, bare.stem)
        blocks = aux.stages[2].block
        assert [isinstance(b, Watched) for b in blocks] == [True, False, False, True, False]
        stripped = tuple(b.block if isinstance(b, Watched) else b for b in blocks)
        assert stripped == bare.stages[2].block


# Axes.


def test_the_kernel_axis_leaves_projections_and_the_groups_axis_splits_the_rest():
    shape = (32, 32, 3)
    for name in ("googlenet", "squeezenet1_0"):
        wide = nets.get(name, 10, shape, kernel=5, groups=2)
        rows = [r for r in compute.layers(trace(wide, shape)) if r["kind"].startswith("conv")]
        points = [r for r in rows if r["kind"].startswith("conv 1×1")]
        ends = ("reduce/conv", "branch1/conv", "branch4/conv", "squeeze/conv", "expand1/conv")
        assert all(r["layer"].endswith((*ends, "head/logits/conv")) for r in points)
        spatial = [r["kind"] for r in rows if r not in points and not r["layer"].startswith("stem")]
        assert set(spatial) == {"conv 5×5 g2"}


def test_a_block_that_takes_a_stride_keeps_its_branches_aligned():
    """Strided pooling gives the stride to the block before; branches halve the map alike."""
    shape = (32, 32, 3)
    for name in ("googlenet", "squeezenet1_1"):
        pooled, strided = (nets.get(name, 10, shape, pooling=kind) for kind in ("max", "stride"))
        assert maps(strided, shape)[-1] in (maps(pooled, shape)[-1], maps(pooled, shape)[-1] + 1)
