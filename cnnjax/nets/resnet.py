"""Residual networks and their plain twins, He, Zhang, Ren & Sun 2015: table 1 and §4.2."""

from functools import partial

from cnnjax.nets.blocks import Bottleneck, Plain, Residual
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.pools import Pool
from cnnjax.nets.shortcuts import NoShortcut, PadShortcut

CIFAR_DEPTHS = (20, 32, 44, 56, 110)
IMAGENET = {
    18: (Residual, (2, 2, 2, 2)),
    34: (Residual, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def cifar(
    layers: int,
    shortcut: PadShortcut | NoShortcut,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
) -> Net:
    """§4.2: 6n + 2 layers, maps of 32, 16 and 8 pixels with 16, 32 and 64 channels."""
    return Net(
        stem=Stage(Plain(16)),
        stages=tuple(
            Stage(Residual(f, shortcut=shortcut), depth=(layers - 2) // 6, stride=s)
            for f, s in ((16, 1), (32, 2), (64, 2))
        ),
        head=Head(classes),
    )


def imagenet(
    depth: int, classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)
) -> Net:
    """Table 1, with the stride in the 3×3 convolution (v1.5, as in torchvision).

    Below 64 pixels the stem is a 3×3 convolution of stride 1 without its pool.
    """
    block, depths = IMAGENET[depth]
    small = min(input_shape[:2]) < 64
    stem = Stage(Plain(64, kernel=7), stride=2, pool=Pool(window=3, stride=2, padding=1))
    return Net(
        stem=Stage(Plain(64)) if small else stem,
        stages=tuple(
            Stage(block(64 * 2**i), depth=d, stride=min(2, i + 1)) for i, d in enumerate(depths)
        ),
        head=Head(classes),
        adapted="stem of 3×3, stride 1, no pool" if small else "",
    )


NETS = (
    {f"resnet{n}": partial(cifar, n, PadShortcut()) for n in CIFAR_DEPTHS}
    | {f"plain{n}": partial(cifar, n, NoShortcut()) for n in CIFAR_DEPTHS}
    | {f"resnet{n}": partial(imagenet, n) for n in IMAGENET}
)
