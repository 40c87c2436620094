"""Random weights of Keras' nets, through files: the logits here are those that were there."""

import pytest

pytest.importorskip("keras", reason="install the extra `peers`")

import fnmatch
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import jax
import keras
import numpy as np
from keras import applications
from keras.src.legacy.saving import legacy_h5_format

import cnnjax
from cnnjax.errors import UserError
from cnnjax.transfer.names.keras import TABLES
from cnnjax.transfer.pretrained import load_pretrained
from cnnjax.transfer.rules import Table
from tests.peers import carry, keras_peer

# Keras turns its variables into arrays as numpy 2 would not have it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NATIVE = (224, 224, 3)
SMALL, LARGE = (96, 128, 3), (128, 160, 3)
NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
LAYER_NORM = 1e-6
PLAIN = {"include_preprocessing": False}
QUICK = (
    "vgg16",
    "resnet50_v1",
    "densenet121",
    "mobilenet_v1_050",
    "mobilenet_v2_050",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
)
# Ours → theirs, by the words of our names; a width is its alpha.
MAKE: dict[str, Callable[..., keras.Model]] = {
    "mobilenet_v1": applications.MobileNet,
    "mobilenet_v2": applications.MobileNetV2,
    "mobilenet_v3_large": partial(applications.MobileNetV3Large, **PLAIN),
    "mobilenet_v3_small": partial(applications.MobileNetV3Small, **PLAIN),
    "convnext_tiny": partial(applications.ConvNeXtTiny, **PLAIN),
    "convnext_small": partial(applications.ConvNeXtSmall, **PLAIN),
    "convnext_base": partial(applications.ConvNeXtBase, **PLAIN),
}


def cases() -> list[Any]:
    """Every table with each of its nets, in Keras 3's files and in those before."""
    return [
        pytest.param(
            table,
            name,
            save,
            id=f"{name}-{save.__name__}",
            marks=() if name in QUICK else pytest.mark.slow,
        )
        for table in TABLES
        for name in cnnjax.names()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in table.nets)
        for save in (keras_3, before, archive)
        if save is not archive or name in QUICK
    ]


def keras_3(model: keras.Model, folder: Path) -> Path:
    path = folder / "of.weights.h5"
    model.save_weights(path)
    return path


def archive(model: keras.Model, folder: Path) -> Path:
    """A whole model, as Keras 3 saves it."""
    path = folder / "of.keras"
    model.save(path)
    return path


def before(model: keras.Model, folder: Path) -> Path:
    path = folder / "of.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def made(name: str, shape: tuple[int, int, int]) -> tuple[keras.Model, list[Any]]:
    """Their net and its layers in order of their calls."""
    plain = name.removesuffix("_v1") if name.startswith("resnet") else name
    upper = plain.title().replace("_", "").replace("Vgg", "VGG").replace("Resnet", "ResNet")
    upper = upper.replace("Densenet", "DenseNet").replace("Efficientnet", "EfficientNet")
    make, more = MAKE.get(name) or getattr(applications, upper, None), {}
    if make is None:
        base, _, width = name.rpartition("_")
        make, more = MAKE[base], {"alpha": int(width) / 100}
    given = {"weights": None, "input_shape": shape, "classes": 10, "classifier_activation": None}
    return keras_peer.build(partial(make, **given, **more))


def randomise(model: keras.Model, called: list[Any], x: np.ndarray) -> None:
    """As the peer's, and layer scales, which have a name of their own."""
    rng = np.random.default_rng(0)
    usual = []
    for layer in called:
        if type(layer).__name__ == "LayerScale":
            for weight in layer.weights:
                weight.assign(carry.draw(rng, "scale", weight.shape, 1))
        elif not isinstance(layer, keras.layers.Normalization):
            usual += [layer] if not getattr(layer, "layers", ()) else []
    keras_peer.randomise(model, usual, x, rng)


@pytest.mark.parametrize(("table", "name", "save"), cases())
def test_logits_are_those_of_keras(table: Table, name: str, save: Callable, tmp_path: Path):
    shape = NATIVE if name.startswith("vgg") else LARGE if "convnext" in name else SMALL
    model, called = made(name, shape)
    epsilons = {layer.epsilon for layer in called if isinstance(layer, NORMS)}
    assert epsilons <= {table.epsilon or LAYER_NORM}  # Too small for logits to tell.
    x = carry.images(np.random.default_rng(0), 2, shape)
    raw = x * 255 if name.startswith("efficientnet") else x  # It rescales by itself.
    raw = raw[..., ::-1] if table.bgr else raw
    randomise(model, called, raw)
    expected = keras_peer.logits(model, raw)
    net = cnnjax.get(name, 10)
    path = save(model, tmp_path)
    found = load_pretrained(net, path, input_shape=shape)
    path.unlink()  # A hundred nets are many gigabytes.
    far = carry.difference(np.asarray(jax.jit(net.apply)(found.variables, x)), expected)
    print(f"| {table.title} | {name} | {far:.1e} |")
    assert far < carry.TOLERANCE


@pytest.mark.parametrize(
    ("model", "net", "said"),
    [
        (applications.ResNet50, "resnet50", "stride in their first 1×1.* resnet50_v1 for resnet50"),
        (applications.ResNet50V2, "resnet50_v2", "Keras' ResNetV2: it strides in the last block"),
    ],
)
def test_a_net_that_strides_elsewhere_is_refused_by_name(model, net, said, tmp_path):
    path = keras_3(model(weights=None, input_shape=SMALL, classes=10), tmp_path)
    with pytest.raises(UserError, match=said):
        load_pretrained(cnnjax.get(net, 10), path, input_shape=SMALL)
