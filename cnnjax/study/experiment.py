"""An experiment file as an object: its question, its flags, and the points that it asks for.

An experiment file has a docstring that begins with its question, `FLAGS` (an absl FlagValues of
its own), optionally `X` (axis and label), `SERIES` (axis), `DEFAULTS`, `goal()` (a column of the
curves and the value to reach), `claims()` (`study.predeclared`) and `EQUAL` (--match is for its
`setting.equal` alone), and `runs(setting)`, a generator of `Run` values made with
`setting.run(net, **axes)` (`setting.missing(reason, **axes)` where none can be), or of `Probe`
values made with `setting.probe(net, instrument, **axes)` where a study measures and trains nothing.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags

from cnnjax.errors import UserError, unknown
from cnnjax.extension import load_module
from cnnjax.study import executors, options, tuning
from cnnjax.study.catalogue import find, first_line
from cnnjax.study.setting import Setting
from cnnjax.train import recipes
from cnnjax.train.recipe import Recipe, make_recipe
from cnnjax.values import fields

# Flags of a study that leave its runs what they are; how many seeds there are can be counted.
_PLACING = ("seeds", "inspect", "pretrained", "pretrain_macs")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A loaded experiment file with its flags parsed; `groups` says where each flag belongs."""

    name: str
    module: ModuleType
    values: flags.FlagValues
    groups: dict[str, str]
    quick: bool = False

    @property
    def question(self) -> str:
        return first_line(self.module.__doc__ or self.name)

    @property
    def goal(self) -> tuple[str, float] | None:
        """What each point is timed to reach, if anything: a column of the curves and its value."""
        return self.module.goal() if hasattr(self.module, "goal") else None

    @property
    def claims(self) -> tuple[Any, ...]:
        """What the study predeclares, if anything: `study.predeclared.Claim`s."""
        return tuple(self.module.claims()) if hasattr(self.module, "claims") else ()

    @property
    def changed(self) -> list[str]:
        """The common flags that were given and make it another study than the file's own."""
        v, where = self.values, self.groups
        able = [n for n in v if where.get(n) in ("study", "data", "recipe") and n not in _PLACING]
        return sorted(n for n in able if v[n].present and v[n].value != v[n].default)

    @property
    def own_flags(self) -> list[str]:
        return list(self.module.FLAGS)

    @property
    def machine(self) -> tuple[Any, ...]:
        """The devices as `train.devices.local` takes them: all, where the study itself says how
        many."""
        v = self.values
        count = None if "devices" in self.own_flags else v.devices
        return v.parallel, count, v.scan, v.remat, v.conv

    @property
    def executor(self) -> str | None:
        """Who is to carry the runs out: who is asked to, or this process where it must, for a quick
        look and where steps are timed here; None where either may."""
        v = self.values
        here = self.quick or v.match == "latency" or v.train_seconds is not None
        return executors.asked(v) or ("inline" if here else None)

    def given(self) -> dict[str, Any]:
        """The flags that were set on the command line, as text."""
        return {n: self.values[n].value for n in self.values if self.values[n].present}


def load(name: str, folder: Path, argv: Sequence[str], quick: bool = False) -> Experiment:
    """Import the experiment and parse its flags and the common ones from `argv` (without argv[0]).

    Raises:
      UserError: no such experiment or flag (with the nearest), or a value out of range.
    """
    path = find(name, folder)
    module = load_module(str(path))
    for needed in ("FLAGS", "runs"):
        if not hasattr(module, needed):
            raise UserError(f"{path} is no experiment: it has no {needed}")
    defaults = getattr(module, "DEFAULTS", options.Defaults())
    values = flags.FlagValues()
    settings = {**defaults.common, **(defaults.quick if quick else {})}
    own = set(module.FLAGS)
    for flag in own:
        module.FLAGS[flag].unparse()  # A second study in one process starts from the defaults.
    groups = options.define(values, {k: v for k, v in settings.items() if k not in own}, Recipe)
    for flag in own & groups.keys():
        if groups[flag] != "machine":
            raise UserError(f"{path}: --{flag} is a flag of every study: name it otherwise")
        delattr(values, flag)  # As where a study is of the number of devices.
        del groups[flag]
    try:
        values.append_flag_values(module.FLAGS)
        for flag in own & set(settings):
            module.FLAGS[flag].value = module.FLAGS[flag].parser.parse(settings[flag])
        rest = values(["launch.py", *argv])
    except flags.UnrecognizedFlagError as e:
        raise unknown("flag", f"--{e.flagname}", [f"--{n}" for n in values]) from None
    except flags.Error as e:
        raise UserError(" ".join(str(e).split())) from None
    if rest[1:]:
        raise UserError(f"{rest[1]!r} is no flag: flags begin with --")
    module.FLAGS.mark_as_parsed()
    _follow_recipe(values, {*(defaults.quick if quick else ())} - {"learning_rates"})
    return Experiment(path.stem, module, values, groups, quick)


def _follow_recipe(values: flags.FlagValues, quick: set[str]) -> None:
    """Put the fields of the recipe that is named in the place of an experiment's own defaults; what
    the command line gives stands above it, and so does what makes a look quick."""
    if not values.recipe:
        return
    named = recipes.get(values.recipe)
    given = {name for name in values if values[name].present} | quick
    if "learning_rates" in given:  # A grid to choose from is given in the rate's place.
        given.add("learning_rate")
    for field in fields(Recipe):
        if field.name not in given:
            values[field.name].value = getattr(named, field.name)


def setting(experiment: Experiment, measured: Any = None) -> Setting:
    """Read the common flags; `measured` times steps where they ask for it.

    Raises:
      UserError: a dataset or weights that are not there, a field out of its range, or flags that
        exclude each other.
    """
    from cnnjax.data import check
    from cnnjax.study import budget
    from cnnjax.study.measured import Measured
    from cnnjax.study.pretraining import pretraining

    v = experiment.values
    given = {f.name: v[f.name].value for f in fields(Recipe)}
    given["learning_rate"] = v.learning_rate or v.learning_rates[0]
    # An experiment's own default is for weights, where there are some.
    reinit = v.reinit if v.pretrained or v["reinit"].present else ()
    examples = _train_examples(experiment)
    dataset = dataclasses.replace(_dataset(v), train_examples=examples)
    outline = check(dataset)
    found = Setting(
        net_name=v.net,
        dataset=dataset,
        recipe=make_recipe(**given),
        image_shape=tuple(outline.info.image_shape),
        classes=outline.info.classes,
        machine=experiment.machine,
        # A named recipe's rate, too, stands above the rates of an experiment's own.
        given=frozenset({*experiment.given(), *(["learning_rate"] if v.recipe else [])}),
        pretrained=pretraining(v.pretrained, reinit, v.pretrain_macs),
        padding=v.padding,
    )
    return dataclasses.replace(found, matching=budget.matching(v, found, measured or Measured()))


def _dataset(v: flags.FlagValues) -> Any:
    """As the flags say, with all its training images."""
    from cnnjax.data import Dataset

    chosen = tuple(sorted(set(v.classes or ())))
    return Dataset(v.dataset, v.size, v.resolution, None, v.stream, v.eval_crop, chosen)


def _train_examples(experiment: Experiment) -> int | None:
    """An experiment's own default is made for the default dataset; on another it trains on all,
    and a quick look on as many as there are.
    """
    from cnnjax.data import check

    v = experiment.values
    if v.train_examples is None or v["train_examples"].present:
        return v.train_examples
    if v["dataset"].present and not experiment.quick:
        return None
    there = check(_dataset(v)).train
    return v.train_examples if v.train_examples < there else None


def asked(experiment: Experiment, folder: Path | None = None) -> tuple[list[Any], list[Any]]:
    """The points of the study, each checked, and the places at which no net is. In the results
    folder is kept what had to be measured for them.

    Raises:
      UserError: a net that does not fit its images, naming the axis or the layer; no point at all;
        a claim about an arm that there is not.
    """
    from cnnjax.study import budget, length, predeclared
    from cnnjax.study.measured import Measured
    from cnnjax.study.plan import Missing, Point

    v = experiment.values
    search = tuning.search(v)
    elsewhere = experiment.executor not in (None, "inline")
    measured = Measured(folder, experiment.machine, experiment.executor if elsewhere else "")
    long = length.length(v, measured)
    given = setting(experiment, measured)
    itself = getattr(experiment.module, "EQUAL", False)
    runs = budget.matched(given.matching, experiment.module.runs(given), itself)
    found, missing = [], []
    for run in length.lasting(long, runs):
        if isinstance(run, Missing):
            missing.append(run)
            continue
        run.check()
        trials = run.trials(search)
        for trial in trials:
            make_recipe(run.recipe, **dict(trial.values))  # In range?
        said = v["seeds"].present or experiment.quick or run.seeds is None
        seeds = v.seeds if said else run.seeds
        found.append(Point(run, trials, seeds, search.seeds, search.extend))
    if not found:
        reason = f": {missing[0].reason}" if missing else ": check its flags"
        raise UserError(f"{experiment.name} asks for no runs{reason}")
    axes = [dict(x.axes) for x in (*(point.run for point in found), *missing)]
    predeclared.check(experiment.claims, [(x.get("claim"), x.get("arm")) for x in axes])
    return found, missing
