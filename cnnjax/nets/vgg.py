"""VGG, Simonyan & Zisserman 2014, table 1, with and without batch norm, and slim versions."""

from functools import partial

from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.norms import BatchNorm, NoNorm
from cnnjax.nets.pools import Pool

DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
FEATURES = (64, 128, 256, 512, 512)


def vgg(
    depth: int,
    batch_norm: bool = False,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Net:
    """3×3 convolutions, a max pool after each stage, dense layers of 4096.

    Below 224 pixels the hidden dense layers have 512 units, the width of what reaches them.
    """
    norm = BatchNorm() if batch_norm else NoNorm()
    small = min(input_shape[:2]) < 224
    return Net(
        stages=tuple(
            Stage(Plain(f, norm=norm, bias=True), depth=d, pool=Pool())
            for f, d in zip(FEATURES, DEPTHS[depth], strict=True)
        ),
        head=Head(
            classes, reduce=Flatten(), hidden=(512,) * 2 if small else (4096,) * 2, dropout=0.5
        ),
        adapted="hidden dense layers of 512 instead of 4096" if small else "",
    )


def slim(
    features: tuple[int, ...],
    depths: tuple[int, ...],
    classes: int = 10,
    input_shape: tuple[int, int, int] = (32, 32, 3),
) -> Net:
    """For 32×32: VGG's stages with fewer channels, batch norm, and a global average as head."""
    return Net(
        stages=tuple(
            Stage(Plain(f), depth=d, pool=Pool()) for f, d in zip(features, depths, strict=True)
        ),
        head=Head(classes),
    )


NETS = (
    {f"vgg{n}": partial(vgg, n) for n in DEPTHS}
    | {f"vgg{n}_bn": partial(vgg, n, True) for n in DEPTHS}
    | {f"vgg{n}_slim": partial(slim, (16, 32, 64, 128, 128), DEPTHS[n]) for n in DEPTHS}
    | {"vgg4_slim": partial(slim, (8, 16, 32), (1, 1, 1))}
)
