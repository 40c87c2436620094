import pytest

pytest.importorskip("torch", reason="install the extra `peers`")
pytest.importorskip("torchvision", reason="install the extra `peers`")
pytest.importorskip("timm", reason="install the extra `peers`")

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torchvision import models

import cnnjax
from tests.peers import carry, torch_peer, written
from tests.peers.carry import Layer

NATIVE = (224, 224, 3)

SMALL = (64, 80, 3)  # Not square, and odd once halved four times.
MIDDLE = (96, 112, 3)  # Where a kernel of 5×5 shall fit the last map.
LARGE = (128, 160, 3)  # And one of 7×7.


def torchvision(name: str, **more: Any) -> nn.Module:
    return models.get_model(name, weights=None, num_classes=10, **more)


def of_timm(name: str) -> nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=10)


timm_shortcuts = partial(
    carry.shortcuts_last, block=r"stages\.\d\.blocks\.\d+", shortcut="downsample"
)

# Ours → the peer and the images, of the net's own size where its head flattens the map.
PEERS = {
    "alexnet_one_tower": (partial(torchvision, "alexnet"), NATIVE),
    "vgg11": (partial(torchvision, "vgg11", init_weights=False), NATIVE),
    "vgg11_bn": (partial(torchvision, "vgg11_bn", init_weights=False), NATIVE),
    "googlenet_tv": (
        partial(torchvision, "googlenet", aux_logits=False, init_weights=False),
        SMALL,
    ),
    "resnet18": (partial(torchvision, "resnet18"), SMALL),
    "resnet50": (partial(torchvision, "resnet50"), SMALL),
    "resnet50_v2": (partial(of_timm, "resnetv2_50"), SMALL, timm_shortcuts),
    "wide_resnet50_2": (partial(torchvision, "wide_resnet50_2"), SMALL),
    "resnext50_32x4d": (partial(torchvision, "resnext50_32x4d"), SMALL),
    "seresnet50": (partial(of_timm, "seresnet50"), SMALL),
    "densenet121": (partial(torchvision, "densenet121"), SMALL),
    "squeezenet1_0": (partial(torchvision, "squeezenet1_0"), SMALL),
    "squeezenet1_1": (partial(torchvision, "squeezenet1_1"), SMALL),
    "efficientnet_b0": (partial(of_timm, "tf_efficientnet_b0"), MIDDLE),
    "efficientnet_lite0": (partial(of_timm, "tf_efficientnet_lite0"), MIDDLE),
    "regnetx_400mf": (partial(of_timm, "regnetx_004"), SMALL),
    "regnety_400mf": (partial(of_timm, "regnety_004"), SMALL),
    "convnext_tiny": (partial(torchvision, "convnext_tiny"), LARGE),
}

# Ours → the same net written down by hand.
WRITTEN = {
    "lenet5": (written.lenet5, (32, 32, 1)),
    "lenet5_1998": (written.LeNet1998, (32, 32, 1), written.maps_alike),
    # Images as in the paper, of which only the mean was taken: response normalisation feels them.
    "alexnet": (written.alexnet, (227, 227, 3), list, 50.0),
    "zfnet": (written.zfnet, NATIVE, list, 50.0),
    "resnet20": (written.resnet20, (32, 40, 3)),
    "wide_resnet28_10": (written.wide_resnet28_10, (16, 24, 3)),
    "drn22": (written.drn22, SMALL),
    "drn26": (written.drn26, SMALL),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Torch's threads wait for each other where cores are shared, longer than one alone takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", PEERS)
def test_logits_are_those_of_the_peer(name):
    compare(name, cnnjax.get(name, 10), *PEERS[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_logits_are_those_of_the_net_as_its_paper_has_it(name):
    compare(name, cnnjax.get(name, 10), *WRITTEN[name])


@pytest.mark.parametrize("stride", [8, 16])
def test_a_stride_traded_for_dilation_gives_the_maps_of_the_peer(stride):
    model = torchvision("resnet50", replace_stride_with_dilation=[False, stride == 8, True])
    net = cnnjax.get("resnet50", 10, output_stride=stride)
    x = compare(f"resnet50 at {stride}", net, lambda: model, SMALL)
    found, _ = torch_peer.run(model, x)
    pairs = carry.pair(carry.layers_of(net, SMALL), found)
    ours = carry.maps_of(net, carry.variables(pairs), x)
    assert ours["stage4/block3/conv3"].shape[1:3] == (64 // stride, 80 // stride)
    assert carry.first_that_differs(pairs, ours, torch_peer.maps(model, x)) is None


def test_a_net_that_differs_is_found_and_its_first_layer_named():
    net = cnnjax.get("resnet18", 10, activation="leaky_relu")
    said = "logits differ by .*: stage1/block1/conv1 .* and the peer's layer1.0.conv1 .* by"
    with pytest.raises(AssertionError, match=said):
        compare("leaky", net, *PEERS["resnet18"])


def test_a_module_that_never_runs_is_an_error():
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    model.idle = nn.ModuleList([nn.Conv2d(3, 4, 1)])
    model.forward = lambda x: model[0](x)
    with pytest.raises(AssertionError, match="never ran: idle.0"):
        torch_peer.run(model, carry.images(np.random.default_rng(0), 1, (8, 8, 3)))


def compare(
    name: str,
    net: cnnjax.Net,
    build: Callable[[], nn.Module],
    shape: tuple[int, int, int],
    arrange: Callable[[list[Layer]], list[Layer]] = list,
    contrast: float = 1.0,
) -> np.ndarray:
    """Check and print; the images that were looked at."""
    rng = np.random.default_rng(0)
    x = carry.images(rng, 2, shape) * np.float32(contrast)
    print(f"{name}: {torch_peer.check(net, build(), x, rng, arrange):.1e}")
    return x
