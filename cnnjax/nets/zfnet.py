"""ZFNet: Zeiler & Fergus 2013, "Visualizing and understanding convolutional networks", §4.1 and
figure 3: AlexNet ungrouped, with a finer first layer."""

from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.norms import LocalResponse, NoNorm
from cnnjax.nets.pools import Pool


def zfnet(classes: int = 1000, input_shape: tuple[int, int, int] = (224, 224, 3)) -> Net:
    """Figure 3: maps of 110, 55, 26 and 13 pixels, and 6 at last; responses are normalised behind
    the first two pools.

    Below 224 pixels the hidden dense layers have 512 units, below 128 the stem is 3×3 of stride 1
    and the pools are padded by 1, below 64 the second layer's stride is 1 and it is padded by 2:
    then 64×64 and 32×32 both end in maps of 4×4.
    """
    side = min(input_shape[:2])
    small, tiny, hidden = side < 128, side < 64, 4096 if side >= 224 else 512
    changes = {
        "stem of 3×3, stride 1": small,
        "pools padded by 1": small,
        "second layer of stride 1, padded by 2": tiny,
        "hidden dense layers of 512 instead of 4096": hidden < 4096,
    }
    # A ceiling halves 110 to 55, 26 to 13 and 13 to 6.
    padding, ceil = (1, False) if small else (0, True)
    pool = Pool(window=3, stride=2, padding=padding, ceil=ceil, respond=LocalResponse())
    last = Pool(window=3, stride=2, padding=padding, ceil=ceil)

    def unit(features: int, kernel: int = 3, padding: int | None = None) -> Plain:
        return Plain(features, kernel, norm=NoNorm(), padding=padding)

    return Net(
        stem=Stage(
            unit(96, 3) if small else unit(96, 7, padding=1), stride=1 if small else 2, pool=pool
        ),
        stages=(
            Stage(unit(256, 5, padding=None if tiny else 0), stride=1 if tiny else 2, pool=pool),
            Stage((unit(384), unit(384), unit(256)), depth=3, pool=last),
        ),
        head=Head(classes, reduce=Flatten(), hidden=(hidden, hidden), dropout=0.5),
        adapted="; ".join(change for change, made in changes.items() if made),
    )


NETS = {"zfnet": zfnet}
