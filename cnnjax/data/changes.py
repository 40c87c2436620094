"""What may happen to training images, as values; light, since recipes are made of them."""

from typing import Any

from cnnjax.errors import UserError
from cnnjax.values import value

BORDERS = ("zero", "reflect")


@value
class Off:
    """Nothing of the kind; it counts as false."""

    def __bool__(self) -> bool:
        return False


@value
class RandAugment:
    """`count` operations out of fourteen, drawn for each image, at `magnitude` in 0 to 30 (Cubuk et
    al. 2020; `data.randaugment` says what they are). At ImageNet's size 2 and 9.

    Raises:
      UserError: a field out of its range.
    """

    count: int = 2
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise UserError(f"count: {self.count!r} is out of range: a whole number from 1 up")
        _check_between("magnitude", self.magnitude, 30)


@value
class ColourJitter:
    """Brightness, contrast and saturation times a factor of up to so much more or less than 1, hue
    turned by up to such a part of the circle, in an order drawn at random (as in torchvision).

    Raises:
      UserError: a field out of its range.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check_between(name, getattr(self, name), 100)
        _check_between("hue", self.hue, 0.5)


def _check_between(name: str, v: Any, high: float) -> None:
    if isinstance(v, bool) or not isinstance(v, int | float) or not 0 <= v <= high:
        raise UserError(f"{name}: {v!r} is out of range: a number from 0 to {high:g}")


@value
class Augment:
    """What may happen to an image; all off by default.

    `crop_scale`: a box of at least that share of the image is cut out and resized to the image's
    size, 1 for none (`boxes.crop`). `randaugment`, `jitter`: see there.
    `pad`: pixels added on each side before a window of the old size is cut at random (He et al.
    2016, section 4.2, who use 4 and zeros). `border`: what is added, `zero` or `reflect` (the
    image mirrored, the outermost pixel not repeated). `flip`: mirror left to right, every other
    time. `cutout`: side in pixels of a square set to zero, its centre anywhere in the image, so
    that it may stick out (DeVries & Taylor 2017). `erase`: how likely it is that a rectangle of 2 %
    to 33 % of the image, at most 3.3 times as long as wide, is set to zero (Zhong et al. 2020, with
    torchvision's ranges). On normalised images zero is the mean.
    """

    pad: int = 0
    border: str = "zero"
    flip: bool = False
    cutout: int = 0
    crop_scale: float = 1.0
    randaugment: RandAugment | Off = Off()
    jitter: ColourJitter | Off = Off()
    erase: float = 0.0

    def __post_init__(self) -> None:
        """Raises UserError: a negative length or an unknown border."""
        for field in ("pad", "cutout"):
            n = getattr(self, field)
            if isinstance(n, bool) or not isinstance(n, int) or n < 0:
                raise UserError(f"{field}={n!r}: use a whole number of pixels, 0 for none")
        if self.border not in BORDERS:
            raise UserError(f"border={self.border!r}: use one of {', '.join(BORDERS)}")
        _check_between("crop_scale", self.crop_scale, 1)
        _check_between("erase", self.erase, 1)
