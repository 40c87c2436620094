"""Residual networks and their plain twins, He, Zhang, Ren & Sun 2015: table 1 and §4.2."""

import dataclasses
from functools import partial
from typing import Any

from cnnjax.nets.blocks import Bottleneck, Plain, Residual
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.pools import Pool
from cnnjax.nets.shortcuts import NoShortcut, PadShortcut, ProjectionShortcut

CIFAR_DEPTHS = (20, 32, 44, 56, 110)
IMAGENET = {
    18: (Residual(64), (2, 2, 2, 2)),
    34: (Residual(64), (3, 4, 6, 3)),
    50: (Bottleneck(64), (3, 4, 6, 3)),
    101: (Bottleneck(64), (3, 4, 23, 3)),
    152: (Bottleneck(64), (3, 8, 36, 3)),
}
ADAPTED = "stem of 3×3, stride 1, no pool"


def cifar(
    layers: int,
    shortcut: PadShortcut | ProjectionShortcut | NoShortcut,
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
) -> Net:
    """§4.2: 6n + 2 layers, maps of 32, 16 and 8 pixels with 16, 32 and 64 channels.

    The paper's shortcuts are option A, zeros for new channels; with projections (option B) it is
    the same net as by the axis: `get("resnet20_b") == get("resnet20", shortcut="projection")`.
    """
    return Net(
        stem=Stage(Plain(16)),
        stages=tuple(
            Stage(Residual(f, shortcut=shortcut), depth=(layers - 2) // 6, stride=s)
            for f, s in ((16, 1), (32, 2), (64, 2))
        ),
        head=Head(classes),
    )


def slim(blocks: int, classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 3)) -> Net:
    """For 32×32 on few cores: §4.2's stages with half the channels, after a pooled stem."""
    return Net(
        stem=Stage(Plain(8), pool=Pool()),
        stages=tuple(
            Stage(Residual(f, shortcut=PadShortcut()), depth=blocks, stride=s)
            for f, s in ((8, 1), (16, 2), (32, 2))
        ),
        head=Head(classes),
    )


def stages(block: Any, depths: tuple[int, ...]) -> tuple[Stage, ...]:
    """Table 1's conv2_x to conv5_x: `block` is conv2_x's, each later one twice as wide, at half
    the pixels."""
    return tuple(
        Stage(
            dataclasses.replace(block, features=block.features * 2**i),
            depth=depth,
            stride=min(2, i + 1),
        )
        for i, depth in enumerate(depths)
    )


def imagenet(
    block: Residual | Bottleneck,
    depths: tuple[int, ...],
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """Table 1. The stride is in the 3×3 convolution (v1.5, as in torchvision) unless the block
    says otherwise: resnet50_v1 and deeper have it in the first 1×1, as the paper and Keras.

    Below 64 pixels the stem is a 3×3 convolution of stride 1 without its pool.
    """
    small = min(input_shape[:2]) < 64
    stem = Stage(Plain(64, kernel=7), stride=2, pool=Pool(window=3, stride=2, padding=1))
    return Net(
        stem=Stage(Plain(64)) if small else stem,
        stages=stages(block, depths),
        head=Head(classes),
        adapted=ADAPTED if small else "",
    )


NETS = (
    {f"resnet{n}": partial(cifar, n, PadShortcut()) for n in CIFAR_DEPTHS}
    | {f"resnet{n}_b": partial(cifar, n, ProjectionShortcut()) for n in CIFAR_DEPTHS}
    | {f"plain{n}": partial(cifar, n, NoShortcut()) for n in CIFAR_DEPTHS}
    | {"resnet14_slim": partial(slim, 2)}
    | {f"resnet{n}": partial(imagenet, *IMAGENET[n]) for n in IMAGENET}
    | {
        f"resnet{n}_v1": partial(imagenet, Bottleneck(64, stride_first=True), IMAGENET[n][1])
        for n in (50, 101, 152)
    }
    | {
        f"plain{n}": partial(imagenet, Residual(64, shortcut=NoShortcut()), IMAGENET[n][1])
        for n in (18, 34)
    }
)
