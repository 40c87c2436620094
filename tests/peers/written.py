"""Nets that no library has, written down in PyTorch from their papers: independent of ours in
every line but the codes of LeNet-5's output, which are drawn freely."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cnnjax.nets.lenet import codes
from tests.peers.carry import Layer

# LeCun et al. 1998, §II-B: six maps see three contiguous ones, six see four, three see two pairs,
# the last sees all.
C3 = [{i, (i + 1) % 6, (i + 2) % 6} for i in range(6)]
C3 += [{i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6} for i in range(6)]
C3 += [{i, i + 1, (i + 3) % 6, (i + 4) % 6} for i in range(3)] + [set(range(6))]


def lenet5() -> nn.Module:
    """As it is built today."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class Subsample(nn.Module):
    """Four pixels added, times a coefficient, plus a bias."""

    def __init__(self, maps: int):
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 4 * F.avg_pool2d(x, 2) * self.coefficient + self.bias


class LeNet1998(nn.Module):
    """LeCun et al. 1998, §II-B."""

    def __init__(self):
        super().__init__()
        self.c1, self.s2 = nn.Conv2d(1, 6, 5), Subsample(6)
        self.c3 = nn.ModuleList(nn.Conv2d(len(seen), 1, 5) for seen in C3)
        self.s4, self.c5, self.f6 = Subsample(16), nn.Conv2d(16, 120, 5), nn.Linear(120, 84)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._squash(self.s2(self._squash(self.c1(x))))
        maps = [conv(x[:, sorted(seen)]) for conv, seen in zip(self.c3, C3, strict=True)]
        x = self._squash(self.s4(self._squash(torch.cat(maps, dim=1))))
        x = self._squash(self.c5(x)).flatten(1)
        x = self._squash(self.f6(x))
        targets = torch.tensor(codes(10, 84), dtype=x.dtype)
        return -(x[:, None] - targets).square().sum(-1)

    def _squash(self, a: torch.Tensor) -> torch.Tensor:
        return 1.7159 * torch.tanh(2 * a / 3)


def maps_alike(found: list[Layer]) -> list[Layer]:
    """LeNet-5's C3 in our layers: maps that see equally many are one of them."""
    c3 = [layer for layer in found if layer.where.startswith("c3.")]
    rest = [layer for layer in found if layer not in c3]
    for seen in (3, 4, 6):
        alike = [layer.values for layer in c3 if layer.values["kernel"].shape[2] == seen]
        values = {k: np.concatenate([v[k] for v in alike], axis=-1) for k in ("kernel", "bias")}
        rest.append(Layer(f"c3 of {seen}", "linear", values))
    return rest


def respond() -> nn.Module:
    """Krizhevsky et al. 2012, §3.3, whose alpha PyTorch divides by the size."""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def dense(inputs: int) -> list[nn.Module]:
    """The end of AlexNet and ZFNet."""
    return [
        nn.Flatten(),
        nn.Linear(inputs, 4096),
        nn.ReLU(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, 10),
    ]


def alexnet() -> nn.Module:
    """Krizhevsky et al. 2012, §3.5, on images of 227 pixels."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(),
        respond(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(),
        respond(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        *dense(6 * 6 * 256),
    )


def zfnet() -> nn.Module:
    """Zeiler & Fergus 2013, fig. 3: maps of 110, 55, 26, 13, 13 and 6 pixels."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 7, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        respond(),
        nn.Conv2d(96, 256, 5, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        respond(),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        *dense(6 * 6 * 256),
    )


def conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Module:
    """3×3, as many pixels out as in at stride 1."""
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)


class Basic(nn.Module):
    """He et al. 2015, fig. 2, past it zeros for new channels (option A) or a projection (B)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1, option: str = "B"
    ):
        super().__init__()
        self.stride, self.extra = stride, outputs - inputs
        self.conv1, self.norm1 = conv(inputs, outputs, stride, dilation), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs, 1, dilation), nn.BatchNorm2d(outputs)
        self.projection = None
        if option == "B" and (stride > 1 or self.extra):
            point = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.projection = nn.Sequential(point, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        if self.projection:
            return torch.relu(y + self.projection(x))
        x = x[:, :, :: self.stride, :: self.stride]
        # Half of the zeros before, as in Facebook's code; the paper does not say where.
        before = self.extra // 2
        return torch.relu(y + F.pad(x, (0, 0, 0, 0, before, self.extra - before)))


class Wide(nn.Module):
    """Zagoruyko & Komodakis 2016, fig. 1d without dropout: norms and activations come first."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs)
        self.same = inputs == outputs
        if not self.same:
            self.projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.relu(self.norm1(x))
        y = self.conv2(torch.relu(self.norm2(self.conv1(z))))
        return y + (x if self.same else self.projection(z))


def normed(*given: int) -> list[nn.Module]:
    """act(norm(conv))"""
    layer = conv(*given)
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()]


def stacked(
    block: Callable[..., nn.Module], inputs: int, outputs: int, n: int, stride: int, **more: object
) -> list[nn.Module]:
    """Blocks of which the first has the stride and widens."""
    later = [block(outputs, outputs, 1, **more) for _ in range(n - 1)]
    return [block(inputs, outputs, stride, **more), *later]


def averaged(features: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 10)]


def resnet20() -> nn.Module:
    """He et al. 2015, §4.2, option A."""
    return nn.Sequential(
        *normed(3, 16),
        *stacked(Basic, 16, 16, 3, 1, option="A"),
        *stacked(Basic, 16, 32, 3, 2, option="A"),
        *stacked(Basic, 32, 64, 3, 2, option="A"),
        *averaged(64),
    )


def wide_resnet28_10() -> nn.Module:
    """Zagoruyko & Komodakis 2016, table 1 with N = 4, k = 10."""
    return nn.Sequential(
        conv(3, 16),
        *stacked(Wide, 16, 160, 4, 1),
        *stacked(Wide, 160, 320, 4, 2),
        *stacked(Wide, 320, 640, 4, 2),
        nn.BatchNorm2d(640),
        nn.ReLU(),
        *averaged(640),
    )


def drn26() -> nn.Module:
    """Yu, Koltun & Funkhouser 2017, fig. 5c: blocks at both ends, the last without shortcuts."""
    begin = [Basic(16, 16), Basic(16, 32, 2)]
    end = [*normed(512, 512, 1, 2), *normed(512, 512, 1, 2), *normed(512, 512), *normed(512, 512)]
    return _drn(begin, end)


def drn22() -> nn.Module:
    """The authors' type D: single layers at both ends."""
    begin = [*normed(16, 16), *normed(16, 32, 2)]
    return _drn(begin, [*normed(512, 512, 1, 2), *normed(512, 512)])


def _drn(begin: list[nn.Module], end: list[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, padding=3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *begin,
        *stacked(Basic, 32, 64, 2, 2),
        *stacked(Basic, 64, 128, 2, 2),
        *stacked(Basic, 128, 256, 2, 1, dilation=2),
        *stacked(Basic, 256, 512, 2, 1, dilation=4),
        *end,
        *averaged(512),
    )
