"""Recipes by name, and what stands above what."""

from pathlib import Path

import jax.numpy as jnp
import pytest

from cnnjax import extension
from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.study import experiment as study
from cnnjax.train import recipes
from cnnjax.train.optimizer import rate
from cnnjax.train.recipe import Recipe
from tests.tiny import trials, write_dataset

FOLDER = Path(__file__).parent.parent / "experiments"


def loaded(*argv, name="train", quick=False):
    found = study.load(name, FOLDER, argv, quick)
    return study.setting(found), study.asked(found)[0]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz", side=32, channels=3)
    return f"--dataset={path}"


@pytest.mark.parametrize("name", extension.names(recipes))
def test_each_is_a_recipe_and_says_what_it_came_to(name, capsys):
    assert isinstance(recipes.get(name), Recipe)
    assert main(["--experiment=train", "--help"], FOLDER) == 0
    said = " ".join(capsys.readouterr().out.split())
    first = recipes.about().split(f"{name}: ")[1].split("; ")[0]
    assert "%" in first
    assert first in said


def test_imagenet_follows_goyal():
    """Rates in the middle of the paper's stretches of epochs, for its batch of 8192."""
    recipe = recipes.get("imagenet")
    at = [float(rate(recipe.schedule, jnp.float32(e / 90))) for e in (2.5, 20, 45, 70, 85)]
    assert at == pytest.approx([0.5, 1, 0.1, 0.01, 0.001], rel=1e-4)
    assert recipe.peak_rate == pytest.approx(0.1)
    assert Recipe(batch_size=8192, base_batch_size=256).peak_rate == pytest.approx(3.2)


def test_a_named_recipe_stands_above_the_experiment_and_below_the_command_line(data):
    setting, points = loaded(data, "--recipe=imagenet")
    assert setting.recipe == recipes.get("imagenet")
    assert [p.trials for p in points] == [trials(0.1)]
    setting, _ = loaded(data, "--recipe=imagenet", "--epochs=3", "--optimizer=adamw")
    assert (setting.recipe.epochs, type(setting.recipe.optimizer).__name__) == (3, "AdamW")
    assert setting.recipe.schedule == recipes.get("imagenet").schedule
    (point,) = loaded(data, "--recipe=imagenet", "--learning_rates=0.1,0.3")[1]
    assert point.trials == trials(0.1, 0.3)
    (point,) = loaded(data, "--recipe=imagenet", "--learning_rate=0.7")[1]
    assert point.trials == trials(0.7)
    plain, _ = loaded(data)
    assert plain.recipe.schedule != setting.recipe.schedule


def test_a_quick_look_stays_quick(data):
    setting, points = loaded(data, "--recipe=imagenet", quick=True)
    plain, _ = loaded(data, quick=True)
    assert setting.recipe.epochs == plain.recipe.epochs < 90
    assert setting.recipe.schedule == recipes.get("imagenet").schedule
    assert points[0].trials == trials(0.1)


def test_rates_of_an_experiments_own_give_way(data):
    _, points = loaded(data, "--recipe=imagenet", "--nets=lenet5,vgg11_bn", name="lineage")
    assert {p.trials for p in points} == {trials(0.1)}


def test_the_scaling_rule_is_said_in_the_plan(data):
    _, (point,) = loaded(data, "--recipe=imagenet", "--batch_size=512")
    said = "learning rates are taken × 2 (batches of 512, rates for 256)"
    assert said in point.run.notes


def test_an_unknown_recipe_is_named_with_the_nearest():
    with pytest.raises(UserError, match="unknown recipe 'imagenett': did you mean 'imagenet'"):
        recipes.get("imagenett")
