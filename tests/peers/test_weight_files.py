"""Files as PyTorch and Keras themselves write them."""

import pytest

pytest.importorskip("torch", reason="install the extra `peers`")
pytest.importorskip("keras", reason="install the extra `peers`")

import argparse

import keras
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from cnnjax.errors import UserError
from cnnjax.transfer.read import read

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
DTYPES += ["bool", "complex64", "complex128", "uint16", "uint32", "uint64"]


@pytest.fixture(params=[True, False], ids=["zip", "pickles"])
def save(request, tmp_path):
    def write(x, **how):
        torch.save(x, tmp_path / "x.pth", _use_new_zipfile_serialization=request.param, **how)
        return tmp_path / "x.pth"

    return write


def net():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 4, 1)]
    return torch.nn.Sequential(*layers)


def same(found, state):
    assert list(found) == list(state)
    for name, x in state.items():
        expected = x.detach().float().numpy() if x.dtype == torch.bfloat16 else x.detach().numpy()
        np.testing.assert_array_equal(found[name], expected, strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_state_dict(save, protocol):
    state = net().state_dict()
    same(read(save(state, pickle_protocol=protocol)).tensors, state)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_number(save, dtype):
    x = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    same(read(save({"x": x})).tensors, {"x": x})


def test_views_parameters_and_shared_storages(save):
    base = torch.arange(24.0)
    state = {
        "base": base,
        "turned": base.reshape(4, 6).T,
        "part": base[3:9],
        "steps": base[::5],
        "wide": base[:3].expand(4, 3),
        "cubes": base.reshape(2, 3, 4).permute(2, 0, 1)[1:, :, ::2],
        "parameter": torch.nn.Parameter(base[2:4]),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3),
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    same(read(save(state)).tensors, state)


def test_a_checkpoint_of_a_training_script(save):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    average = AveragedModel(model)
    parts = {
        "model": torch.nn.DataParallel(model).state_dict(),
        "model_ema": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "rng": torch.get_rng_state(),
        "epoch": 3,
        "args": {"device": torch.device("cpu"), "dtype": torch.float16, "size": torch.Size([1, 2])},
    }
    found = read(save(parts))
    same(found.tensors, average.module.state_dict())
    assert found.about["unwrapped"] == "model_ema"
    del parts["model_ema"]
    same(read(save(parts)).tensors, model.state_dict())


def test_a_whole_model_is_code(save):
    with pytest.raises(UserError, match=r"asks for torch\.nn\.modules\.\S+ when loaded"):
        read(save(net()))
    with pytest.raises(UserError, match="asks for argparse.Namespace when loaded"):
        read(save({"model": net().state_dict(), "args": argparse.Namespace(a=1)}))


def keras_net():
    x = inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3, name="zeta")(x)
    x = keras.layers.BatchNormalization(name="alpha")(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    for _ in range(11):
        x = keras.layers.Conv2D(4, 1)(x)
    x = keras.Sequential([keras.layers.Conv2D(2, 1), keras.layers.Dropout(0.5)], name="inner")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="out")(keras.layers.Flatten()(x)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
@pytest.mark.parametrize("trained", [False, True])
def test_keras_files(tmp_path, suffix, trained):
    model = keras_net()
    if trained:
        model.compile("adam", "mse")
        model.fit(np.zeros((2, 12, 12, 3)), np.zeros((2, 3)), verbose=0)
    path = tmp_path / f"net{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    found = read(path)
    assert found.framework == "keras"
    expected = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    places = {made: place for place, made in found.about["layers"].items()}
    size = sum(x.size for weights in expected.values() for x in weights)
    assert sum(x.size for x in found.tensors.values()) == size
    if suffix == ".h5":
        assert list(places) == list(expected) and found.about["in_order"]
    for layer, weights in expected.items():
        if layer == "inner":
            continue
        place = f"{places[layer]}/"
        tensors = [x for name, x in found.tensors.items() if name.startswith(place)]
        for x, weight in zip(tensors, weights, strict=True):
            np.testing.assert_array_equal(x, weight)
