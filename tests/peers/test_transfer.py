"""Random weights of PyTorch's nets, through files: the logits here are those that were there."""

import pytest

pytest.importorskip("torch", reason="install the extra `peers`")
pytest.importorskip("torchvision", reason="install the extra `peers`")
pytest.importorskip("timm", reason="install the extra `peers`")

import fnmatch
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models

import cnnjax
from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.nets.vary import padding
from cnnjax.study import pretraining
from cnnjax.transfer.export import export
from cnnjax.transfer.names import tables
from cnnjax.transfer.pretrained import load_pretrained
from cnnjax.transfer.rules import Table
from tests.peers import carry, torch_peer

NATIVE = (224, 224, 3)
LAYER_NORM = 1e-6
# Not square, even on every map until the last, and large enough for kernels of 5×5 and 7×7.
SMALL, LARGE = (96, 128, 3), (128, 160, 3)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Torch's threads wait for each other where cores are shared, longer than one alone takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def of_torchvision(name: str) -> nn.Module:
    more: dict[str, Any] = {}
    match name.split("_"):
        case ["alexnet", *_]:
            name = "alexnet"
        case [vgg, *_] if vgg.startswith("vgg"):
            more = {"init_weights": False}
        case ["googlenet", "tv", *auxiliary]:
            name, more = "googlenet", {"init_weights": False, "aux_logits": bool(auxiliary)}
        case ["mobilenet", "v2", width]:
            name, more = "mobilenet_v2", {"width_mult": int(width) / 100}
        case [regnet, *size] if regnet.startswith("regnet"):
            name = f"regnet_{regnet[-1]}_{'_'.join(size)}"
    return models.get_model(name, weights=None, num_classes=10, **more)


def of_timm(name: str, born: str = "") -> nn.Module:
    match name.split("_"):
        case [regnet, *size] if regnet.startswith("regnet"):
            power, unit = "_".join(size)[:-2].replace("_", "."), size[-1][-2:]
            name = f"{regnet}_{round(float(power) * (10 if unit == 'gf' else 0.01)):03}"
        case [resnet, "v2"] if resnet.startswith("resnet"):
            name = resnet.replace("resnet", "resnetv2_")
        case ["mobilenet", "v3", size, *width]:
            name = f"mobilenetv3_{size}_{''.join(width) or '100'}"
        case ["mobilenet", version, *width]:
            name = f"mobilenet{version}_{''.join(width) or '100'}"
    return timm.create_model(f"{born}{name}", pretrained=False, num_classes=10)


BUILD: dict[str, Callable[[str], nn.Module]] = {"torchvision": of_torchvision, "timm": of_timm}
# Of each table the net that is quick; all others are slow for being many.
QUICK = {
    "torchvision": (
        "alexnet_one_tower",
        "vgg11",
        "vgg11_bn",
        "googlenet_tv",
        "resnet18",
        "resnet50",
        "resnext50_32x4d",
        "densenet121",
        "squeezenet1_1",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "regnety_400mf",
        "convnext_tiny",
    ),
    "timm": (
        "vgg11_bn",
        "seresnet18",
        "resnet50_v2",
        "regnetx_200mf",
        "convnext_tiny",
        "mobilenet_v1",
        "mobilenet_v2_050",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "efficientnet_lite0",
    ),
}


def cases() -> list[Any]:
    """Every table of PyTorch's layout that a peer exists for, with each of its nets."""
    return [
        pytest.param(
            table,
            name,
            id=f"{table.title}-{name}",
            marks=() if name in QUICK[table.source] else pytest.mark.slow,
        )
        for table in tables()
        if table.source in BUILD
        for name in cnnjax.names()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in table.nets)
    ]


def built(table: Table, name: str) -> tuple[Net, nn.Module, tuple[int, int, int]]:
    """Our net as the table's source pads, theirs, and the images' shape."""
    net = cnnjax.get(name, 10)
    if name.startswith(("mobilenet", "efficientnet")):
        net = padding(net, table.padding)
    born = "tf_" if "TensorFlow" in table.title else ""
    build = functools.partial(of_timm, born=born) if born else BUILD[table.source]
    flat = name.startswith(("alexnet", "vgg", "googlenet_tv_aux"))
    shape = NATIVE if flat else LARGE if name.startswith("convnext") else SMALL
    return net, build(name), shape


def logits(net: Net, variables: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(net.apply)(variables, x))


@pytest.mark.parametrize(("table", "name"), cases())
def test_logits_are_those_of_the_source_and_back(table, name, tmp_path):
    net, model, shape = built(table, name)
    epsilons = {m.eps for m in model.modules() if isinstance(m, torch_peer.NORMS)}
    assert epsilons <= {table.epsilon or LAYER_NORM}  # Too small for logits to tell.
    rng = np.random.default_rng(0)
    x = carry.images(rng, 2, shape)
    torch_peer.randomise(model, x, rng)
    expected = torch_peer.logits(model, x)
    path = tmp_path / "weights"
    if table.source == "torchvision":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    found = load_pretrained(net, path, input_shape=shape)
    path.unlink()  # A hundred nets are many gigabytes.
    far = carry.difference(logits(net, found.variables, x), expected)
    print(f"| {table.title} | {name} | {far:.1e} |")
    assert far < carry.TOLERANCE

    export(net, found.variables, tmp_path / "back.safetensors", table.source, shape)
    model.load_state_dict(load_file(tmp_path / "back.safetensors"))
    (tmp_path / "back.safetensors").unlink()
    assert carry.difference(torch_peer.logits(model, x), expected) < carry.TOLERANCE


@pytest.mark.parametrize("source", ["torchvision", "timm"])
@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",
        "efficientnet_b0",
        pytest.param("mobilenet_v3_large", marks=pytest.mark.slow),
    ],
)
def test_nets_that_pad_symmetrically_are_those_of_the_axis(source, name, tmp_path):
    """As `--net=NAME --padding=symmetric --pretrained=PATH` loads them."""
    model = BUILD[source](name)
    rng = np.random.default_rng(0)
    x = carry.images(rng, 2, SMALL)
    torch_peer.randomise(model, x, rng)
    expected = torch_peer.logits(model, x)
    path = tmp_path / "w.safetensors"
    save_file(model.state_dict(), path)
    net = cnnjax.get(name, 10, padding="symmetric")
    given = pretraining.pretraining(str(path))
    far = carry.difference(
        logits(net, pretraining.load(given, net, SMALL, seed=0).variables, x), expected
    )
    print(f"| {source}'s by the axis | {name} | {far:.1e} |")
    assert far < carry.TOLERANCE
    if source == "torchvision" or name == "mobilenet_v2":
        with pytest.raises(UserError, match=r"give the net padding=.symmetric"):
            pretraining.check(given, cnnjax.get(name, 10), SMALL)
    else:  # timm's TensorFlow-born nets have the same names.
        (note,) = pretraining.check(given, cnnjax.get(name, 10), SMALL)
        assert "if it pads otherwise give the net padding" in note


@pytest.mark.parametrize("name", ["regnetx_400mf", "regnety_800mf"])
def test_torchvisions_other_regnets_are_told_apart(name, tmp_path):
    torch.save(of_torchvision(name).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="read as torchvision's RegNet.* of another shape"):
        load_pretrained(cnnjax.get(name, 10), tmp_path / "w.pth")
