"""The flags that every experiment understands, and typed lists for those of its own.

JAX is not imported here: the menu and `--help` must answer at once.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from cnnjax.errors import UserError
from cnnjax.study import executors
from cnnjax.study.tuning import TUNABLE

MEASURES = ("macs", "params", "activations", "latency", "train_macs")  # Of --match.
GROUPS = ("study", "data", "recipe", "machine", "executors")


class NumberList(flags.ListParser):
    """`1,3,5` as a tuple of numbers within a range."""

    def __init__(self, kind: type, low: float):
        super().__init__()
        self.kind, self.low = kind, low
        word = "whole numbers" if kind is int else "numbers"
        self.syntactic_help = f"{word} from {low:g} up, with commas between"

    def parse(self, argument: Any) -> tuple:
        given = argument if isinstance(argument, list | tuple) else str(argument).split(",")
        try:
            found = tuple(self.kind(x) for x in given)
        except ValueError:
            raise ValueError(f"use {self.syntactic_help}") from None
        if not found or any(not x >= self.low for x in found):
            raise ValueError(f"use {self.syntactic_help}")
        return found

    def flag_type(self) -> str:
        return self.syntactic_help


class WordList(NumberList):
    """`plain,residual` as a tuple of words out of those allowed."""

    def __init__(self, allowed: tuple[str, ...]):
        flags.ListParser.__init__(self)
        self.allowed = allowed
        self.syntactic_help = f"of {', '.join(allowed)}, with commas between"

    def parse(self, argument: Any) -> tuple:
        given = argument if isinstance(argument, list | tuple) else str(argument).split(",")
        for word in given:
            if word not in self.allowed:
                raise ValueError(f"use words {self.syntactic_help}")
        return tuple(given)


def integers(values: flags.FlagValues, name: str, default: str, help: str, low: int = 1) -> Any:
    """Define a flag that holds a tuple of whole numbers."""
    return _define(values, NumberList(int, low), name, default, help)


def numbers(values: flags.FlagValues, name: str, default: str, help: str, low: float = 0) -> Any:
    """Define a flag that holds a tuple of numbers."""
    return _define(values, NumberList(float, low), name, default, help)


def words(
    values: flags.FlagValues, name: str, default: str, allowed: tuple[str, ...], help: str
) -> Any:
    """Define a flag that holds a tuple of words."""
    return _define(values, WordList(allowed), name, default, help)


def _define(
    values: flags.FlagValues, parser: Any, name: str, default: str | None, help: str
) -> Any:
    serializer = flags.CsvListSerializer(",")
    return flags.DEFINE(parser, name, default, help, values, serializer)


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What an experiment sets otherwise than the common flags: any of their names to a value.

    `quick` is what `--quick` sets on top, for a look in under a minute.
    """

    common: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quick: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# A budget in which the default net's curves flatten, and a study takes minutes on two cores.
SMALL = {
    "learning_rates": "0.1,0.2,0.4",
    "schedule": "onecycle(peak=0.1, tail=0.2)",
    "train_examples": 4000,
    "epochs": 11,
    "batch_size": 32,
}
QUICK = {"learning_rates": "0.2", "train_examples": 2000, "epochs": 4, "seeds": 2}


def define(values: flags.FlagValues, defaults: Mapping[str, Any], recipe: Any) -> dict[str, str]:
    """Define the common flags with an experiment's defaults; returns the group of each.

    `recipe` is the type whose fields become flags (`cnnjax.train.recipe.Recipe`).
    """
    groups: dict[str, str] = {}

    def add(group: str, kind: Callable, name: str, default: Any, help: str, **more: Any) -> None:
        kind(name, defaults.get(name, default), help, flag_values=values, **more)
        groups[name] = group

    text, whole = flags.DEFINE_string, flags.DEFINE_integer
    add("study", whole, "seeds", 5, "replicates of each point", lower_bound=1)
    if "learning_rate" in defaults:
        raise UserError("an experiment sets learning_rates, the grid; --learning_rate fixes one")
    flags.DEFINE_float("learning_rate", None, "train at this rate instead of choosing one", 0.0,
                       flag_values=values)  # fmt: skip
    groups["learning_rate"] = "study"
    add("study", flags.DEFINE_list, "tune", "learning_rate",
        f"choose these for each point on validation, of {', '.join(TUNABLE)}")  # fmt: skip
    for row in TUNABLE.values():
        numbers(values, row.grid, defaults.get(row.grid, row.default),
                f"where {row.field} is in --tune, each point at the best of these")  # fmt: skip
        groups[row.grid] = "study"
    add("study", whole, "tune_seeds", 1, "seeds of each trial", lower_bound=1)
    add("study", whole, "extend_grid", 0, "where the best stands at a grid's edge, try up to so "
        "many values beyond it", lower_bound=0)  # fmt: skip
    add("study", flags.DEFINE_bool, "inspect", False,
        "show each point's gradient flow and effective receptive field")  # fmt: skip
    add("study", text, "net", "vgg4_slim", "a net's name, or file.py:function of your own")
    flags.DEFINE_enum("padding", defaults.get("padding"), ("same", "symmetric"), "how that net's "
                      "convolutions are padded: as TensorFlow does, or on both sides alike, as "
                      "PyTorch does (default: as its paper's)", flag_values=values)  # fmt: skip
    groups["padding"] = "study"
    add("study", text, "pretrained", None, "start from these weights: a file, the folder of a run, "
        "or a name on a hub such as hf:timm/resnet18.a1_in1k")  # fmt: skip
    add("study", flags.DEFINE_list, "reinit", "",
        "of those weights draw anew: head, or scopes of the net")  # fmt: skip
    add("study", flags.DEFINE_float, "pretrain_macs", None,
        "what those weights cost to train, in multiply-accumulates (a run of the project's own "
        "knows it)", lower_bound=0.0)  # fmt: skip
    flags.DEFINE_enum("match", None, MEASURES, "solve each point's width, or else its depth, so "
                      "that all cost the same; two nets bracket it where none is within 1%",
                      flag_values=values)  # fmt: skip
    groups["match"] = "study"
    add("study", flags.DEFINE_float, "budget", None, "so much of what --match names: of an image, "
        "MACs of a training, seconds of a step (default: what --net costs)")  # fmt: skip
    add("study", flags.DEFINE_float, "train_macs", None, "train each point for so many "
        "multiply-accumulates, in place of --epochs")  # fmt: skip
    add("study", flags.DEFINE_float, "train_seconds", None, "train each point for as many steps as "
        "this machine computes in that time, in place of --epochs")  # fmt: skip
    add("data", text, "dataset", "cluttered_digits",
        "cluttered_digits, any TFDS name, folder:PATH or PATH.npz")  # fmt: skip
    add("data", whole, "size", 32, "canvas side in pixels of generated datasets")
    _define(values, NumberList(int, 0), "classes", None, "keep only these classes, by number")
    groups["classes"] = "data"
    add("data", whole, "resolution", None, "resize images to this side in pixels")
    add(
        "data",
        whole,
        "train_examples",
        None,
        "train on so many images only (an experiment's default holds for its default dataset)",
    )
    from cnnjax.train import recipes  # Not before an experiment is named: the menu is light.

    add("recipe", text, "recipe", None, "a recipe by name, whose fields hold where the command "
        f"line gives none ({recipes.about()})")  # fmt: skip
    add("data", flags.DEFINE_bool, "stream", None, "decode images whenever they are needed, not "
        "once into memory (default: where they would take over 2 GiB)")  # fmt: skip
    add("data", flags.DEFINE_float, "eval_crop", 1.0, "streamed: the share of the shorter side "
        "that evaluation sees, in the centre", lower_bound=0.0, upper_bound=1.0)  # fmt: skip
    for field in dataclasses.fields(recipe):
        if field.name != "learning_rate":
            _recipe_flag(values, field, defaults)
            groups[field.name] = "recipe"
    flags.DEFINE_enum("parallel", defaults.get("parallel", "pmap"), ("pmap", "jit", "fsdp"),
                      "how several devices share a batch; fsdp spreads the weights too",
                      flag_values=values)  # fmt: skip
    add("machine", whole, "devices", None, "use so many of the local devices (default: all)")
    add("machine", whole, "data_workers", None, "processes that decode streamed images (default: a "
        "core each, at most 16; none where the CPU computes)", lower_bound=0)  # fmt: skip
    flags.DEFINE_bool("scan", None, "compile equal blocks once and scan them (default: by rule)",
                      flag_values=values)  # fmt: skip
    flags.DEFINE_bool("remat", False, "compute what is inside blocks again in the backward pass, "
                      "for less memory", flag_values=values)  # fmt: skip
    flags.DEFINE_enum("conv", None, ("native", "forms", "xla"), "how the CPU convolves (and pools "
                      "and normalises): by code compiled here, by XLA in the form that is fast at "
                      "each shape, or by XLA as it comes (default: the first there is)",
                      flag_values=values)  # fmt: skip
    groups |= dict.fromkeys(("parallel", "scan", "remat", "conv"), "machine")
    add("machine", whole, "cpu_devices", None, "let the CPU pass for so many devices, to try what "
        "several would do", lower_bound=1)  # fmt: skip
    add("machine", text, "coordinator", None, "HOST:PORT of the first of several processes (not "
        "needed under srun, MPI and on TPU pods)")  # fmt: skip
    add("machine", whole, "num_processes", None, "how many there are", lower_bound=1)
    add("machine", whole, "process_id", None, "which of them this is", lower_bound=0)
    add("executors", text, "executor", None,
        f"who carries out the runs: {', '.join(executors.names())} (default: inline; local where "
        "the CPU computes and several at a time pay)")  # fmt: skip
    add("executors", whole, "retries", 2,
        "begin a run again so often where its process died", lower_bound=0)  # fmt: skip
    return groups | dict.fromkeys(executors.define(values), "executors")


def _recipe_flag(values: flags.FlagValues, field: Any, defaults: Mapping[str, Any]) -> None:
    meta, default = field.metadata, defaults.get(field.name, field.default)
    name, help = field.name, meta["help"]
    if family := meta.get("family"):
        named = {cls: word for word, cls in family.items()}
        default = default if isinstance(default, str) else named[type(default)]
        shown = next(word for word, cls in family.items() if dataclasses.fields(cls))
        help = f"{help}: {', '.join(family)}; fields as in {shown}(field=value)"
        flags.DEFINE_string(name, default, help, flag_values=values)
    elif choices := meta.get("choices"):
        flags.DEFINE_enum(name, default, choices, help, flag_values=values)
    else:
        kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}
        kinds[field.type](name, default, help, flag_values=values)
