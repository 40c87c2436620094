"""`--summary=NET`: a net's layers and what they cost; no weight is allocated."""

import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from cnnjax.errors import UserError, unknown


def run_summary(name: str, argv: Sequence[str], asked_help: bool = False) -> int:
    """Print the table of the net of that name, the names where there is none, or the help."""
    # Not the library's own `summary`, which brings training with it: this answers at once.
    import jax

    from cnnjax import compute, nets
    from cnnjax.nets import vary

    jax.config.update("jax_platforms", "cpu")  # To count takes no accelerator; to start one, time.
    values = _flags(vary.AXES)
    _parse(values, argv)
    if asked_help:
        from cnnjax.cli.pages import summary_help

        print(summary_help(values))
        return 0
    if not name:
        print(
            "\n".join(["Choose a net, as in python launch.py --summary=resnet50:", *nets.names()])
        )
        return 0
    shape = _shape(values.input, name)
    classes = nets.native_classes(name) if values.classes is None else values.classes
    axes = {axis: read(values[axis].value) for axis in vary.AXES if values[axis].present}
    net = nets.get(name, classes, shape, **axes)
    table = compute.summary(net, shape)
    said = [f"{axis.replace('_', ' ')} {values[axis].value}" for axis in axes]
    print(" · ".join([name, *said, f"{classes} classes"]))
    print(table)
    if net.adapted:
        print(f"Adapted to these images: {net.adapted}.")
    sys.stdout.flush()  # The table is there; what follows takes as long again.
    print(f"FLOPs of an image, beside XLA's count:\n{compute.compare_flops(net, shape)}")
    return 0


def _flags(axes: dict[str, Any]) -> flags.FlagValues:
    values = flags.FlagValues()
    text = flags.DEFINE_string
    text("input", None, "height,width,channels of an image, or the side of a square one "
         "(default: the net's own)", flag_values=values)  # fmt: skip
    flags.DEFINE_integer(
        "classes", None, "(default: the net's own)", lower_bound=1, flag_values=values
    )
    for axis, change in axes.items():
        help = " ".join((change.__doc__ or axis).split()).partition(". ")[0].rstrip(".")
        text(axis, None, f"{help[:1].lower()}{help[1:]}", flag_values=values)
    return values


def _parse(values: flags.FlagValues, argv: Sequence[str]) -> None:
    try:
        rest = values(["launch.py", *argv])
    except flags.UnrecognizedFlagError as e:
        known = [f"--{name}" for name in values]
        raise unknown("flag", f"--{e.flagname}", known) from None
    except flags.Error as e:
        raise UserError(" ".join(str(e).split())) from None
    if rest[1:]:
        raise UserError(f"{rest[1]!r} is no flag: flags begin with --")


def _shape(text: str | None, name: str) -> tuple[int, ...]:
    """(H, W, C); of a single number a square image with the channels of the net's own."""
    from cnnjax import nets

    if text is None:
        return nets.native_shape(name)
    sizes = read(text)
    sizes = sizes if isinstance(sizes, tuple) else (sizes,)
    if len(sizes) == 1:
        sizes = (*sizes, *sizes, nets.native_shape(name)[2])
    if len(sizes) != 3 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise UserError(
            f"--input={text} is no image: give height,width,channels such as 224,224,3, "
            "or one number for a square"
        )
    return sizes


def read(text: str) -> Any:
    """An axis' value from the command line: a number, a word, or a tuple of them, one a stage."""
    if "(" in text or "," not in text:
        return _one(text)
    return tuple(_one(part) for part in text.split(","))


def _one(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
