"""ResNeXt, Xie, Girshick, Dollár, Tu & He 2017: table 1, as block C of fig. 3."""

from functools import partial

from cnnjax.nets.blocks import Bottleneck
from cnnjax.nets.resnet import IMAGENET, imagenet


def block(groups: int, width: int) -> Bottleneck:
    """conv2_x's, whose 3×3 convolution has `groups` of `width` channels where ResNet's has 64."""
    return Bottleneck(64, groups=groups, inner=groups * width / 64)


NETS = {
    f"resnext{n}_{groups}x{width}d": partial(imagenet, block(groups, width), IMAGENET[n][1])
    for n, groups, width in ((50, 32, 4), (101, 32, 8), (101, 64, 4))
}
