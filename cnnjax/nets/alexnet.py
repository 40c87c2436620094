"""AlexNet: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional
neural networks", §3.5, on two towers; and Krizhevsky 2014, "One weird trick for parallelizing
convolutional neural networks", on one."""

from functools import partial

from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.norms import LocalResponse, NoNorm
from cnnjax.nets.pools import Pool


def two_towers(
    groups: int, classes: int = 1000, input_shape: tuple[int, int, int] = (227, 227, 3)
) -> Net:
    """§3: the towers are groups of conv2, conv4 and conv5; `groups=1` joins them.

    The paper's maps of 55 pixels need an input of 227. Smaller ones: see `_net`.
    """
    return _net((96, 256, 384, 384, 256), groups, LocalResponse(), 0, classes, input_shape)


def one_tower(classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)) -> Net:
    """§5, without response normalisation, as in torchvision, which has its dropout before the
    hidden dense layers; here it follows them as in the 2012 paper."""
    return _net((64, 192, 384, 256, 256), 1, None, 2, classes, input_shape)


def _net(
    features: tuple[int, ...],
    groups: int,
    respond: LocalResponse | None,
    padding: int,
    classes: int,
    input_shape: tuple[int, int, int],
) -> Net:
    """Below 227 pixels the stem is padded by 2, below 224 the hidden dense layers have 512 units,
    below 128 the stem is 5×5 of stride 2 and the pools are padded by 1, below 64 its stride is 1:
    then 64×64 and 32×32 both end in maps of 4×4."""
    side = min(input_shape[:2])
    small = side < 128
    kernel, stride = (5, 1 if side < 64 else 2) if small else (11, 4)
    pool = Pool(window=3, stride=2, padding=1 if small else 0)
    hidden = 4096 if side >= 224 else 512
    changes = {
        f"stem of {kernel}×{kernel}, stride {stride}": small,
        "stem padded by 2": side < 227 and not padding,
        "pools padded by 1": small,
        f"hidden dense layers of {hidden} instead of 4096": hidden < 4096,
    }

    def unit(features: int, kernel: int = 3, groups: int = 1, respond=None, padding=None) -> Plain:
        return Plain(
            features, kernel, norm=NoNorm(), groups=groups, respond=respond, padding=padding
        )

    one, two, three, four, five = features
    around = None if small else 2 if side < 227 else padding
    first = unit(one, kernel, respond=respond, padding=around)
    last = (unit(three), unit(four, groups=groups), unit(five, groups=groups))
    return Net(
        stem=Stage(first, stride=stride, pool=pool),
        stages=(
            Stage(unit(two, 5, groups, respond), pool=pool),
            Stage(last, depth=3, pool=pool),
        ),
        head=Head(classes, reduce=Flatten(), hidden=(hidden, hidden), dropout=0.5),
        adapted="; ".join(change for change, made in changes.items() if made),
    )


NETS = {
    "alexnet": partial(two_towers, 2),
    "alexnet_ungrouped": partial(two_towers, 1),
    "alexnet_one_tower": one_tower,
}
