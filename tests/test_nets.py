import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from cnnjax import compute, nets
from cnnjax.compute.forward import abstract_variables as shapes
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.nets.activations import HardSigmoid, HardSwish, ReLU6
from cnnjax.nets.norms import GroupNorm, NoNorm
from cnnjax.nets.pools import Average, Pool
from cnnjax.train.initial import drawn
from tests import zoo
from tests.tiny import small_net


def test_every_axis_is_tried():
    assert set(zoo.SETTINGS) == set(vary.AXES)


@hypothesis.given(
    st.sampled_from(zoo.NAMES), st.sampled_from(sorted(set(zoo.SETTINGS) - {"width"})), st.data()
)
def test_setting_an_axis_twice_is_setting_it_once(name, axis, data):
    first, second = data.draw(zoo.SETTINGS[axis]), data.draw(zoo.SETTINGS[axis])
    net = nets.get(name)
    f = vary.AXES[axis]
    try:
        before, once = f(net, first), f(net, second)
    except UserError as e:
        assert any(word in str(e) for word in ("nothing", "strides multiply", "always padded"))
        return
    assert f(before, second) == once


def test_a_kernel_leaves_projections_and_a_tuple_gives_each_stage_its_own():
    net = nets.get("resnet50", kernel=5)
    kernels = {k: v["kernel"].shape[0] for k, v in _convs(net, (224, 224, 3)).items()}
    assert kernels["stage1/block1/conv2"] == 5
    assert kernels["stage1/block1/conv1"] == kernels["stage2/block1/shortcut_conv"] == 1
    each = nets.get("resnet20", kernel=(1, 3, 5))
    kernels = {k: v["kernel"].shape[0] for k, v in _convs(each, (32, 32, 3)).items()}
    assert [kernels[f"stage{i}/block1/conv1"] for i in (1, 2, 3)] == [1, 3, 5]
    assert kernels["stem/block1/conv"] == 3


def _convs(net, shape):
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes(net, shape)["params"]):
        names = [p.key for p in path]
        if names[-1] == "kernel" and leaf.ndim == 4:
            found["/".join(names[:-1])] = {"kernel": leaf}
    return found


def test_the_plain_twin_is_the_residual_net_without_its_shortcuts():
    assert vary.shortcut(nets.get("resnet20"), "none") == nets.get("plain20")
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    residual, plain = nets.get("resnet20", depth=1), nets.get("plain20", depth=1)
    variables = drawn(lambda key: residual.init(key, x))(jax.random.key(0))
    assert not np.allclose(
        jax.jit(residual.apply)(variables, x), jax.jit(plain.apply)(variables, x)
    )


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("dilation", [1, 2])
def test_padding_keeps_the_map_for_odd_and_even_kernels(kernel, dilation):
    net = nets.get("vgg4_slim", input_shape=(32, 32, 1), kernel=kernel, dilation=dilation)
    rows = [r for r in compute.layers(_trace(net, (32, 32, 1))) if r["kind"].startswith("conv")]
    assert [tuple(r["output"][:2]) for r in rows] == [(32, 32), (16, 16), (8, 8)]


def _trace(net, shape):
    from cnnjax.compute.trace import trace

    return trace(net, shape)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ({"kernel": 17}, (32, 32, 3), r"stage3/block1/conv2: a 17×17 kernel reaches past its 8×8"),
        ({"dilation": 9}, (32, 32, 3), r"stage3/block1/conv\d: a 3×3 kernel dilated 9× reaches"),
    ],
)
def test_a_kernel_that_cannot_meet_its_map_names_the_layer(axes, shape, message):
    with pytest.raises(UserError, match=message):
        shapes(nets.get("resnet20", **axes), shape)


def test_a_kernel_or_pool_larger_than_an_unpadded_map_names_the_layer():
    with pytest.raises(UserError, match="stage2/block1/conv: a 5×5 kernel reaches past its 4×4"):
        shapes(nets.get("lenet5"), (12, 12, 1))
    with pytest.raises(UserError, match="stage5/pool: a pool of 2×2 does not fit its 1×1 map"):
        shapes(nets.get("vgg11_slim", kernel=1), (16, 16, 3))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"kernel": 0}, "kernel: 0 is out of range: a whole number from 1 up"),
        ({"kernel": 3.0}, "kernel: 3.0 is out of range"),
        ({"width": -1}, "width: -1 is out of range: a factor above 0"),
        ({"depth": (1, 2)}, r"depth: \(1, 2\) has 2 values for 3 stages"),
        ({"krenel": 3}, "unknown axis 'krenel': did you mean 'kernel'"),
        ({"norm": "bacth"}, "unknown norm 'bacth': did you mean 'batch'"),
        ({"pooling": "avg"}, "pooling: this net has nothing that the axis pooling could change"),
    ],
)
def test_wrong_axes_are_named(axes, message):
    with pytest.raises(UserError, match=message):
        nets.get("resnet20", **axes)


def test_wrong_names_get_the_nearest_and_the_list():
    with pytest.raises(UserError, match=r"unknown net 'resnet21': did you mean 'resnet20'\? There"):
        nets.get("resnet21")
    with pytest.raises(UserError, match="classes: 0 is out of range"):
        nets.get("resnet20", classes=0)
    with pytest.raises(UserError, match="there is no file nowhere/mine.py"):
        nets.get("nowhere/mine.py:net")
    with pytest.raises(UserError, match=r"has no function 'absent' that builds a net"):
        nets.get("tests.tiny:absent")


def test_a_net_of_the_users_own(tmp_path):
    assert nets.get("tests.tiny:small_net", 5, (8, 8, 1)) == small_net(5)
    (tmp_path / "mine.py").write_text(
        "from cnnjax.nets.vgg import slim\n\n"
        "def tiny(classes, input_shape):\n    return slim((4,), (1,), classes, input_shape)\n"
    )
    net = nets.get(f"{tmp_path}/mine.py:tiny", 3, (8, 8, 1), kernel=5)
    assert net.stages[0].block.kernel == 5
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match="can't import .*ZeroDivisionError"):
        nets.get(f"{tmp_path}/broken.py:tiny")


def test_an_imagenet_net_says_what_was_adapted():
    assert nets.get("vgg16", 1000).adapted == ""
    assert "512 instead of 4096" in nets.get("vgg16", input_shape=(32, 32, 3)).adapted
    assert "stem" in nets.get("resnet18", input_shape=(32, 32, 3)).adapted


def test_a_net_is_an_ordinary_linen_module_that_differentiates():
    net = small_net()
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    variables = drawn(lambda key: net.init(key, x))(jax.random.key(1))

    @jax.jit
    @jax.grad
    def gradient_of(params):
        out, _ = net.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return (out**2).sum()

    gradient = gradient_of(variables["params"])
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(gradient) if g.ndim > 1)


def test_pools_and_norms_change_kind_and_keep_the_rest():
    net = nets.get("vgg4_slim", pooling=Average(), norm=GroupNorm(4))
    assert net.stages[0].pool == Pool(Average())
    assert net.stages[0].block.norm == GroupNorm(4)
    without = nets.get("vgg4_slim", norm="none")
    assert without.stages[0].block.norm == NoNorm()
    assert "bias" in shapes(without, (32, 32, 3))["params"]["stage1"]["block1"]["conv"]


@pytest.mark.parametrize("act", [ReLU6(), HardSwish(), HardSigmoid()], ids=repr)
def test_what_is_clipped_has_its_slope_between_the_ends(act):
    x = jnp.asarray([-7.0, -3.5, -1.0, 0.7, 2.2, 5.0, 8.0])
    slopes = jax.vmap(jax.grad(act))(x)
    small = 1e-2
    np.testing.assert_allclose(slopes, (act(x + small) - act(x - small)) / (2 * small), atol=1e-3)


def test_at_the_ends_it_has_none():
    np.testing.assert_array_equal(
        jax.vmap(jax.grad(ReLU6()))(jnp.asarray([0.0, 3.0, 6.0])), [0, 1, 0]
    )
