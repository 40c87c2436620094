import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st

from cnnjax import values
from cnnjax.errors import UserError
from cnnjax.train.optimizer import Hyper, by_length, decayed, make_optimizer, rate
from cnnjax.train.recipe import (
    LAMB,
    SCHEDULES,
    SGD,
    AdamW,
    Constant,
    Cosine,
    OneCycle,
    Recipe,
    RMSProp,
    Step,
)
from cnnjax.train.recipe import make_recipe as make


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs: 0 is out of range: a whole number from 1 to 100000"),
        ({"epochs": 1.5}, "epochs: 1.5 is out of range"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0 is out of range: a number from 0 to 1000"),
        ({"learning_rate": float("nan")}, "learning_rate: nan is out of range"),
        ({"clip_norm": -1.0}, "clip_norm: -1.0 is out of range: a number from 0 up"),
        ({"flip": 1}, "flip: 1 is not true or false"),
        ({"dtype": "float16"}, "unknown dtype 'float16': did you mean 'bfloat16'"),
        ({"optimizer": "sdg"}, "unknown optimizer 'sdg': did you mean 'sgd'"),
        ({"optimizer": 3}, "optimizer: 3 is none of sgd, adamw, lamb, rmsprop"),
        (
            {"lerning_rate": 0.1},
            "unknown recipe field 'lerning_rate': did you mean 'learning_rate'",
        ),
    ],
)
def test_wrong_fields_are_named_with_their_range(given, message):
    with pytest.raises(UserError, match=message):
        make(**given)


def test_names_and_numbers_are_read_as_values():
    recipe = make(optimizer="adamw(b1=0.8)", schedule="cosine", learning_rate=1)
    assert recipe == Recipe(optimizer=AdamW(b1=0.8), schedule=Cosine(), learning_rate=1.0)


@pytest.mark.parametrize(
    "schedule",
    [cls() for cls in SCHEDULES.values()] + [Step(0.2), Constant(0.3), OneCycle(0.1, 0.3)],
)
def test_a_schedule_stays_between_nothing_and_all(schedule):
    values = np.array([rate(schedule, jnp.float32(p)) for p in np.linspace(0, 1, 101)])
    assert values.min() >= -1e-6
    assert values.max() <= 1 + 1e-6
    assert values.max() > 0.95


def test_schedules_at_the_places_that_define_them():
    def at(schedule, progress):
        return float(rate(schedule, jnp.float32(progress)))

    assert at(OneCycle(0.25), 0.25) == pytest.approx(1)
    assert at(OneCycle(0.25), 1) == pytest.approx(0, abs=1e-6)
    assert at(OneCycle(0.25, 0.2), 0.8) == pytest.approx(0.04)
    assert at(OneCycle(0.25, 0.2), 0.9) == pytest.approx(0.02)
    assert at(OneCycle(0.25, 0.2), 0.25) == pytest.approx(1)
    assert at(Cosine(0.0), 0.5) == pytest.approx(0.5)
    assert at(Cosine(0.1), 0.05) == pytest.approx(0.5)
    assert [at(Step(), p) for p in (0.4, 0.6, 0.9)] == pytest.approx([1, 0.1, 0.01])
    assert at(Constant(0.5), 0.25) == pytest.approx(0.5)


def test_norms_and_biases_do_not_decay():
    params = {"kernel": jnp.ones((3, 3)), "bias": jnp.ones(3), "scale": jnp.ones(3)}
    assert decayed(params) == {"kernel": True, "bias": False, "scale": False}
    hyper = Hyper(jnp.float32(1.0), jnp.float32(0.5))
    recipe = Recipe(optimizer=SGD(0.0, False), schedule=Constant())
    optimizer = make_optimizer(recipe, hyper, 10)
    still = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(still, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.5)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_sgd_is_the_textbooks():
    """Nesterov momentum with decay in the gradient, as PyTorch's SGD computes it."""
    recipe = Recipe(schedule=Constant(), weight_decay=0.0)
    optimizer = make_optimizer(recipe, Hyper(jnp.float32(0.1), jnp.float32(0.01)), 10)
    p, m = 2.0, 0.0
    params = {"kernel": jnp.full((1, 1), p)}
    state = optimizer.init(params)
    for _ in range(5):
        g = p * p + 0.01 * p
        m = 0.9 * m + g
        p -= 0.1 * (g + 0.9 * m) * 0.01
        gradient = jax.tree.map(lambda w: w * w, params)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, jax.tree.map(lambda u: u * 0.01, updates))
    assert float(params["kernel"][0, 0]) == pytest.approx(p, rel=1e-5)


def _updates(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def _drawn(seed, n=3):
    draws = np.random.default_rng(seed)
    shapes = {"kernel": (3, 4), "bias": (4,), "scale": (4,)}
    made = [{k: jnp.float32(draws.normal(size=s)) for k, s in shapes.items()} for _ in range(n + 1)]
    return made[0], made[1:]


def test_lamb_is_optaxs_with_the_projects_decay():
    params, gradients = _drawn(0)
    recipe = Recipe(optimizer=LAMB(), schedule=Constant())
    ours = make_optimizer(recipe, Hyper(jnp.float32(0.01), jnp.float32(0.1)), 10)
    theirs = optax.lamb(0.01, weight_decay=0.1, mask=decayed)
    a = _updates(ours, params, gradients)
    with jax.numpy_dtype_promotion("standard"):
        b = _updates(theirs, params, gradients)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5), a, b)


def test_lamb_gives_each_of_stacked_blocks_its_own_length():
    blocks = [_drawn(seed, 1) for seed in (1, 2, 3)]
    apart = [by_length().update(g[0], None, p)[0] for p, g in blocks]
    stacked = [{"scanned": {"block": jax.tree.map(lambda *x: jnp.stack(x), *trees)}}
               for trees in ([g[0] for _, g in blocks], [p for p, _ in blocks])]  # fmt: skip
    together = by_length().update(stacked[0], None, stacked[1])[0]["scanned"]["block"]
    for i, one in enumerate(apart):
        for name, x in one.items():
            np.testing.assert_allclose(together[name][i], x, rtol=1e-6)


def test_lamb_leaves_updates_of_nothing_and_for_nothing_as_they_are():
    zeros, ones = {"kernel": jnp.zeros((2, 2))}, {"kernel": jnp.ones((2, 2))}
    assert (by_length().update(ones, None, zeros)[0]["kernel"] == 1).all()
    assert (by_length().update(zeros, None, ones)[0]["kernel"] == 0).all()


def test_rmsprop_by_hand():
    """The mean square begins at 1; epsilon stands inside the root."""
    recipe = Recipe(optimizer=RMSProp(0.9, 0.8, 0.01), schedule=Constant())
    optimizer = make_optimizer(recipe, Hyper(jnp.float32(0.1), jnp.float32(0)), 10)
    p, square, m = 2.0, 1.0, 0.0
    for _ in range(3):
        square = 0.9 * square + 0.1 * 9
        m = 0.8 * m + 3 / np.sqrt(square + 0.01)
        p -= 0.1 * m
    gradients = [{"kernel": jnp.full((1, 1), 3.0)}] * 3
    found = _updates(optimizer, {"kernel": jnp.full((1, 1), 2.0)}, gradients)
    assert float(found["kernel"][0, 0]) == pytest.approx(p, rel=1e-5)


def test_clipping_bounds_the_gradient():
    recipe = Recipe(optimizer=SGD(0.0, False), schedule=Constant(), clip_norm=1.0)
    optimizer = make_optimizer(recipe, Hyper(jnp.float32(1.0), jnp.float32(0.0)), 10)
    params = {"w": jnp.zeros((2, 2))}
    updates, _ = optimizer.update({"w": jnp.full((2, 2), 50.0)}, optimizer.init(params), params)
    assert float(optax.tree.norm(updates)) == pytest.approx(1, rel=1e-5)


@hypothesis.given(st.integers(1, 3000), st.integers(1, 500), st.integers(1, 64))
def test_a_length_in_steps_is_one_recipe(steps, examples, size):
    recipe = Recipe(batch_size=size).lasting(steps, examples)
    each = max(1, examples // size)
    assert recipe.steps(examples) == steps
    assert recipe.passes(examples) == recipe.epochs == -(-steps // each)
    assert recipe.lasting(steps, examples) == recipe
    if steps % each == 0:  # The very recipe of so many epochs, with its key.
        assert recipe == Recipe(batch_size=size, epochs=steps // each)
    assert Recipe(batch_size=size, max_steps=steps).lasting(steps, examples) == recipe


def test_steps_stand_above_epochs():
    assert Recipe(epochs=9, batch_size=16).steps(50) == 27
    recipe = Recipe(epochs=9, batch_size=16, max_steps=7)
    assert (recipe.steps(50), recipe.passes(50)) == (7, 3)
    with pytest.raises(UserError, match="max_steps: -1 is out of range"):
        Recipe(max_steps=-1)
    with pytest.raises(UserError, match="epochs: 100001 is out of range"):
        Recipe(batch_size=16).lasting(300_001, 50)


def test_fields_that_came_later_change_no_key():
    """Results on disk are found by these."""
    assert values.key(Recipe()) == "d8a2a810fd3585ed"
    assert (
        values.key(make(optimizer="adamw", schedule="step", epochs=3, pad_crop=4))
        == "1240c9cbecb9e2bc"
    )
