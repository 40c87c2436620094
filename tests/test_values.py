import dataclasses
import importlib
import sys

import pytest

from cnnjax import nets, values
from cnnjax.errors import UserError
from cnnjax.nets.activations import ACTIVATIONS
from cnnjax.nets.blocks import Plain
from cnnjax.nets.norms import GroupNorm
from cnnjax.train.recipe import SGD, Recipe


@pytest.mark.parametrize(
    "name", ["lenet5", "vgg16", "vgg4_slim", "resnet20", "plain56", "resnet50"]
)
def test_a_net_survives_json(name):
    net = nets.get(name, norm=GroupNorm(4), activation="gelu")
    again = values.from_json(values.to_json(net))
    assert again == net
    assert hash(again) == hash(net)
    assert values.key(again) == values.key(net)


def test_the_key_is_stable_between_processes_and_versions():
    assert values.key(nets.get("resnet20")) == "b681d451d14c5632"
    assert values.key(nets.get("mobilenet_v2")) == "62c0ca2770f5ba12"
    assert values.key(Recipe()) == values.key(Recipe(epochs=10, optimizer=SGD(momentum=0.9)))
    assert values.key(Recipe(epochs=11)) != values.key(Recipe())


def test_fields_at_their_default_are_left_out_of_the_key():
    assert values.to_json(Plain(8), defaults=False) == {"type": "Plain", "features": 8}
    assert set(values.to_json(Plain(8))) == {"type", *(f.name for f in dataclasses.fields(Plain))}


def test_functions_are_no_part_of_a_value():
    with pytest.raises(TypeError, match="can't be part of a value"):
        values.to_json((len,))


def test_unknown_types_and_fields_are_named():
    with pytest.raises(UserError, match="unknown type 'Plane': did you mean 'Plain'"):
        values.from_json({"type": "Plane", "features": 1})
    with pytest.raises(UserError, match="unknown field of Plain 'kernl': did you mean 'kernel'"):
        values.from_json({"type": "Plain", "features": 1, "kernl": 3})


def test_reading_a_value_imports_nothing(tmp_path, monkeypatch):
    """What a stranger's file names is not run; a type whose module the user imported is known."""
    name = "module_that_no_one_imported"
    (tmp_path / f"{name}.py").write_text(
        "from cnnjax.values import value\n@value\nclass Own:\n    size: int = 3\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for where in (name, "antigravity", "no.such_module"):
        with pytest.raises(UserError, match=f"of the module '{where}': import it first, if you"):
            values.from_json({"type": f"{where}:Own", "size": 4})
        assert where not in sys.modules
    own = importlib.import_module(name)
    assert values.from_json({"type": f"{name}:Own", "size": 4}) == own.Own(4)
    with pytest.raises(UserError, match=f"unknown type '{name}:Owl': did you mean '{name}:Own'"):
        values.from_json({"type": f"{name}:Owl"})
    del sys.modules[name]


def test_values_are_read_from_text():
    family = {"sgd": SGD}
    assert values.parse("sgd", family, "optimizer") == SGD()
    assert values.parse("sgd(momentum=0.5, nesterov=False)", family, "optimizer") == SGD(0.5, False)
    for wrong in ("sgd(0.5)", "sgd(momentum=f())", "sgd(momentum", "sgd)"):
        with pytest.raises(UserError, match=r"can't read optimizer|unknown optimizer"):
            values.parse(wrong, family, "optimizer")
    with pytest.raises(UserError, match="unknown field of sgd 'momentm'"):
        values.parse("sgd(momentm=1)", family, "optimizer")
    with pytest.raises(UserError, match="unknown activation 'gleu': did you mean 'gelu'"):
        values.parse("gleu", ACTIVATIONS, "activation")


def test_two_modules_cannot_share_a_tag():
    other = type("Plain", (), {"__module__": "cnnjax.nets.elsewhere"})
    with pytest.raises(
        TypeError, match="elsewhere and cnnjax.nets.blocks both have a type 'Plain'"
    ):
        values.register(other)
