"""Wide residual networks, Zagoruyko & Komodakis 2016: table 1 (CIFAR) and §3 (ImageNet)."""

from functools import partial

from cnnjax.nets import resnet
from cnnjax.nets.blocks import Bottleneck
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.preact import BareConv, NormAct, PreResidual

# Layers and widening factor: table 4 and, for few images, 16-2 of Zagoruyko & Komodakis
# 2017 ("Paying more attention to attention", table 1).
CIFAR = (
    (16, 2),
    (16, 8),
    (16, 10),
    (22, 8),
    (22, 10),
    (28, 10),
    (28, 12),
    (40, 1),
    (40, 2),
    (40, 4),
    (40, 8),
)


def cifar(
    layers: int,
    factor: int,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
) -> Net:
    """Table 1: 6n + 4 layers of pre-activation, `factor` times as wide; the stem stays narrow."""
    return Net(
        stem=Stage(BareConv(16)),
        stages=tuple(
            Stage(PreResidual(f * factor), depth=(layers - 4) // 6, stride=s)
            for f, s in ((16, 1), (32, 2), (64, 2))
        ),
        neck=Stage(NormAct()),
        head=Head(classes),
    )


# ImageNet: ResNets whose 3×3 convolutions, not their blocks' outputs, are twice as wide.
NETS = {f"wide_resnet{n}_{k}": partial(cifar, n, k) for n, k in CIFAR} | {
    f"wide_resnet{n}_2": partial(resnet.imagenet, Bottleneck(64, inner=2.0), resnet.IMAGENET[n][1])
    for n in (50, 101)
}
