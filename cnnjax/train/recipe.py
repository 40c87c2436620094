"""How a net is trained, as a value: optimizer, schedule, precision, augmentation, what trains."""

import dataclasses
import math
from typing import Any

from cnnjax.data.changes import ColourJitter, Off, RandAugment
from cnnjax.errors import UserError, unknown
from cnnjax.values import fields, value


@value
class SGD:
    """Momentum as in Sutskever et al. 2013; Nesterov's by default."""

    momentum: float = 0.9
    nesterov: bool = True


@value
class AdamW:
    """Loshchilov & Hutter 2019: weight decay apart from the moments."""

    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8


@value
class LAMB:
    """You et al. 2020, algorithm 2: Adam's step with decay, for each layer as long as its weights
    are, for batches of thousands."""

    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-6


@value
class RMSProp:
    """As Tan & Le 2019, §5, train EfficientNet: the root of the mean square, then momentum."""

    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1e-3


@value
class Constant:
    """Linear warm-up over a share of the steps, then 1."""

    warmup: float = 0.0


@value
class Cosine:
    """Linear warm-up over a share of the steps, half a cosine to 0 (Loshchilov & Hutter 2017)."""

    warmup: float = 0.05


@value
class Step:
    """Times `factor` after each milestone, a share of the steps (He et al. 2015, §4.2)."""

    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1


@value
class OneCycle:
    """Linear from 0.04 to 1 at the share `peak` of the steps, then a cosine to 0 (Smith 2018).

    With a `tail` the cosine ends at 0.04 and that share of the steps goes on from there to 0: the
    annihilation phase of the paper's §4, in which curves flatten.
    """

    peak: float = 0.25
    tail: float = 0.0


@value
class FullTuning:
    """Everything trains from the first step."""


@value
class LinearProbe:
    """The last dense layer alone, on features of the clean images that are computed once: the rest
    of the net is as in inference, without augmentation or dropout (Alain & Bengio 2016)."""


@value
class GradualUnfreezing:
    """From the head down (Howard & Ruder 2018, §3.3): the head trains from the first step, and over
    the first `share` of the steps the stages join it in `parts` parts, at most one a stage.

    What waits stays as it is, running statistics included, and costs no backward pass.

    Raises:
      UserError: a field out of its range.
    """

    share: float = 0.5
    parts: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not 0 < self.share <= 1:
            raise UserError(f"share: {self.share!r} is out of range: a share of the steps up to 1")
        if isinstance(self.parts, bool) or not isinstance(self.parts, int) or self.parts < 1:
            raise UserError(f"parts: {self.parts!r} is out of range: a whole number from 1 up")


@value
class FullSize:
    """Images as they are, from the first step."""


@value
class Progressive:
    """Images of each of the heights in turn, in pixels, for an equal share of the steps: small ones
    first, which cost less (Howard 2018; Tan & Le 2021, §4, where augmentation grows with them).
    The step is compiled once a height.

    Raises:
      UserError: no sides, or one that is no number of pixels.
    """

    sides: tuple[int, ...] = (128, 160, 192, 224)

    def __post_init__(self) -> None:
        good = isinstance(self.sides, tuple) and self.sides
        if not good or any(type(side) is not int or side < 1 for side in self.sides):
            raise UserError(f"sides: {self.sides!r}: give heights in pixels, as in (128, 160, 192)")


OPTIMIZERS = {"sgd": SGD, "adamw": AdamW, "lamb": LAMB, "rmsprop": RMSProp}
SCHEDULES = {"onecycle": OneCycle, "cosine": Cosine, "step": Step, "constant": Constant}
FINE_TUNINGS = {"full": FullTuning, "probe": LinearProbe, "gradual": GradualUnfreezing}
RESOLUTIONS = {"full": FullSize, "progressive": Progressive}
RANDAUGMENTS = {"off": Off, "randaugment": RandAugment}
JITTERS = {"off": Off, "jitter": ColourJitter}
MOST_EPOCHS = 100_000
DTYPES = ("float32", "bfloat16", "float64")


def _field(default: Any, help: str, low: float = -math.inf, high: float = math.inf, **more: Any):
    metadata = {"help": help, "low": low, "high": high, **more}
    return dataclasses.field(default=default, metadata=metadata)


@value
class Recipe:
    """One training. Fields have ranges; outside them the value is refused by name.

    Raises:
      UserError: a field out of its range.
    """

    epochs: int = _field(10, "passes over the training images", 1, MOST_EPOCHS)
    batch_size: int = _field(128, "images a step, over all devices", 1, 1 << 20)
    learning_rate: float = _field(0.1, "the schedule's highest learning rate", 0.0, 1e3)
    base_batch_size: int = _field(0, "times batch_size over this (Goyal et al. 2017); 0: as it is",
                                  0, 1 << 20)  # fmt: skip
    optimizer: Any = _field(SGD(), "optimizer", family=OPTIMIZERS)
    schedule: Any = _field(OneCycle(), "learning rate over time", family=SCHEDULES)
    weight_decay: float = _field(5e-4, "not on norms and biases", 0.0, 10.0)
    label_smoothing: float = _field(0.0, "share of the target given to all classes", 0.0, 0.99)
    clip_norm: float = _field(0.0, "largest gradient norm; 0: no clipping", 0.0)
    pad_crop: int = _field(0, "pad by so many pixels and crop at random", 0, 256, off=0)
    flip: bool = _field(True, "mirror at random, where the dataset allows it", off=False)
    cutout: int = _field(0, "side of a square blanked at random, in pixels", 0, 1024, off=0)
    crop_scale: float = _field(1.0, "resize a random box of at least this share of the image; 1: "
                               "none", 0.0, 1.0, off=1.0)  # fmt: skip
    randaugment: Any = _field(Off(), "operations drawn at random", family=RANDAUGMENTS, off=Off())
    jitter: Any = _field(Off(), "colours changed at random", family=JITTERS, off=Off())
    erase: float = _field(0.0, "chance that a rectangle is blanked", 0.0, 1.0, off=0.0)
    resolution_schedule: Any = _field(FullSize(), "heights of the images over the steps",
                              family=RESOLUTIONS, off=FullSize())  # fmt: skip
    test_resolution: int = _field(0, "height of the images in evaluation (Touvron et al. 2019); 0: "
                                  "as they are", 0, 4096, off=0)  # fmt: skip
    mixup: float = _field(0.0, "α of the shares in which pairs of images are mixed; 0: none",
                          0.0, 100.0, off=0.0)  # fmt: skip
    cutmix: float = _field(0.0, "α of the shares in which a box of another image is pasted; 0: "
                           "none; with mixup each example draws one", 0.0, 100.0,
                           off=0.0)  # fmt: skip
    ema: float = _field(0.0, "evaluate and save an average of the weights that keeps this share of "
                        "itself a step; 0: the weights", 0.0, 0.999999)  # fmt: skip
    ema_warmup: bool = _field(False, "the average keeps less of itself in the first steps")
    accumulate: int = _field(1, "take each batch's gradient in so many parts, for less memory; "
                             "batch norms see a part", 1, 1 << 16)  # fmt: skip
    batch_norm: str = _field("global", "batch statistics", choices=("global", "device"))
    dtype: str = _field("float32", "compute type; parameters have at least 32 bits", choices=DTYPES)
    fine_tune: Any = _field(FullTuning(), "what trains", family=FINE_TUNINGS)
    layer_decay: float = _field(1.0, "learning rate of each block over that of the next, nearer "
                                "the head; 1: all alike", 1e-3, 1.0)  # fmt: skip
    frozen_norms: bool = _field(False, "batch norms use their running statistics and leave them")
    max_steps: int = _field(0, "steps in all, the last epoch cut short; 0: those of the epochs",
                            0, 1 << 40)  # fmt: skip

    def __post_init__(self) -> None:
        for f in fields(self):
            check(f, getattr(self, f.name))

    @property
    def rate_factor(self) -> float:
        """What learning rates are multiplied by: the linear scaling rule of Goyal et al. 2017,
        §2.1, where a batch size is given that they are for."""
        return self.batch_size / self.base_batch_size if self.base_batch_size else 1.0

    def epoch_steps(self, examples: int) -> int:
        """Of a pass over so many images: whole batches."""
        return max(1, examples // self.batch_size)

    def steps(self, examples: int) -> int:
        """Of a training on so many images: `max_steps`, or all epochs."""
        return self.max_steps or self.epochs * self.epoch_steps(examples)

    def passes(self, examples: int) -> int:
        """Epochs that a training on so many images begins; the last may be cut short."""
        return -(-self.steps(examples) // self.epoch_steps(examples))

    def lasting(self, steps: int, examples: int) -> "Recipe":
        """The recipe that takes so many steps on so many images: one value, whichever way its
        length was given.

        Raises:
          UserError: more epochs than a recipe may have.
        """
        whole, rest = divmod(steps, self.epoch_steps(examples))
        return dataclasses.replace(self, epochs=whole + (rest > 0), max_steps=steps if rest else 0)

    @property
    def peak_rate(self) -> float:
        """The schedule's highest learning rate for this batch size."""
        return self.learning_rate * self.rate_factor


def unaugmented(recipe: Recipe) -> Recipe:
    """The recipe with images as they come."""
    off = {f.name: f.metadata["off"] for f in fields(recipe) if "off" in f.metadata}
    return dataclasses.replace(recipe, **off)


def check(field: dataclasses.Field, v: Any) -> None:
    """Refuse a value that its field does not admit, saying field, value and range."""
    meta = field.metadata
    if family := meta.get("family"):
        if not isinstance(v, tuple(family.values())):
            raise UserError(f"{field.name}: {v!r} is none of {', '.join(family)}")
    elif choices := meta.get("choices"):
        if v not in choices:
            raise unknown(field.name, str(v), choices)
    elif field.type is bool:
        if not isinstance(v, bool):
            raise UserError(f"{field.name}: {v!r} is not true or false")
    else:
        kind = (int,) if field.type is int else (int, float)
        good = isinstance(v, kind) and not isinstance(v, bool)
        if not good or not meta["low"] <= v <= meta["high"]:
            high = f" to {meta['high']:g}" if meta["high"] < math.inf else " up"
            word = "a whole number" if field.type is int else "a number"
            raise UserError(
                f"{field.name}: {v!r} is out of range: {word} from {meta['low']:g}{high}"
            )


def make_recipe(base: "Recipe | None" = None, **given: Any) -> Recipe:
    """`base` with the given fields; optimizers and schedules may be given by name.

    Raises:
      UserError: a field that does not exist, with the nearest one, or a value out of range.
    """
    from cnnjax.values import parse

    known = {f.name: f for f in fields(Recipe)}
    for name, v in given.items():
        if name not in known:
            raise unknown("recipe field", name, known)
        family = known[name].metadata.get("family")
        if family and isinstance(v, str):
            given[name] = parse(v, family, name)
        elif known[name].type is float and isinstance(v, int) and not isinstance(v, bool):
            given[name] = float(v)  # 1 and 1.0 are one recipe with one key.
    return dataclasses.replace(base or Recipe(), **given)
