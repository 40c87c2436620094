import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnjax import values
from cnnjax.errors import UserError
from cnnjax.train.optimizer import Hyper, decayed, make_optimizer, rate
from cnnjax.train.recipe import SCHEDULES, SGD, AdamW, Constant, Cosine, OneCycle, Recipe, Step
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
        ({"optimizer": 3}, "optimizer: 3 is none of sgd, adamw"),
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


def test_clipping_bounds_the_gradient():
    recipe = Recipe(optimizer=SGD(0.0, False), schedule=Constant(), clip_norm=1.0)
    optimizer = make_optimizer(recipe, Hyper(jnp.float32(1.0), jnp.float32(0.0)), 10)
    params = {"w": jnp.zeros((2, 2))}
    updates, _ = optimizer.update({"w": jnp.full((2, 2), 50.0)}, optimizer.init(params), params)
    assert float(optax.tree.norm(updates)) == pytest.approx(1, rel=1e-5)


def test_fields_that_came_later_change_no_key():
    """Results on disk are found by these."""
    assert values.key(Recipe()) == "d8a2a810fd3585ed"
    assert (
        values.key(make(optimizer="adamw", schedule="step", epochs=3, pad_crop=4))
        == "1240c9cbecb9e2bc"
    )
