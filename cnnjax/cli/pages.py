"""What launch.py prints of itself: the menu, the list, the help."""

import shutil
import textwrap
from pathlib import Path
from typing import Any

from absl import flags

from cnnjax.study import options
from cnnjax.study.catalogue import questions


def menu(folder: Path) -> str:
    """Each experiment with the question it answers and a line to copy."""
    found = questions(folder)
    lines = ["What does a convolutional network buy with its compute? Choose a study:", ""]
    for name, question in found.items():
        lines += [f"  {question}", f"      python launch.py --experiment={name}", ""]
    lines += [
        "Add --dry_run for the plan and its cost, --quick for a look in under a minute,",
        "--help for all flags. python launch.py --dashboard shows what there is,",
        "python launch.py --summary=resnet50 a net's layers and what they cost.",
    ]
    return "\n".join(lines)


def listing(folder: Path) -> str:
    """A line each."""
    found = questions(folder)
    width = max(map(len, found), default=0)
    return "\n".join(f"{name:{width}}  {question}" for name, question in found.items())


def general_help(folder: Path, front: flags.FlagValues) -> str:
    """How the command is used, and its own flags."""
    parts = [
        "python launch.py --experiment=NAME [flags]     run a study, or go on with it",
        "python launch.py --experiment=NAME --help      the flags of that study",
        "python launch.py --summary=NET [flags]         a net's layers and what they cost",
        "",
        "experiments",
        textwrap.indent(listing(folder), "  "),
        "",
        _group("flags", front, list(front)),
    ]
    return "\n".join(parts)


def experiment_help(name: str, folder: Path, front: flags.FlagValues) -> str:
    """The experiment's own flags first, then those that every experiment has."""
    from cnnjax.study.experiment import load

    found = load(name, folder, [], quick=bool(front.quick))
    parts = [(found.module.__doc__ or "").strip(), ""]
    own = found.own_flags
    parts.append(_group(f"flags of {found.name}", found.values, own))
    titles = {"study": "study and net", "executors": "many runs"}
    for group in options.GROUPS:
        names = [n for n, g in found.groups.items() if g == group and n not in own]
        parts.append(_group(titles.get(group, group), found.values, names))
    others = ("list", "dashboard", "summary")
    parts.append(_group("launch.py", front, [n for n in front if n not in others]))
    return "\n".join(parts)


def summary_help(values: flags.FlagValues) -> str:
    """The flags of `--summary`."""
    line = "python launch.py --summary=NET [flags]     a net's layers and what they cost\n"
    return f"{line}\n{_group('flags', values, list(values))}"


def _group(title: str, values: flags.FlagValues, names: list[str]) -> str:
    width = min(100, shutil.get_terminal_size((100, 20)).columns)
    lines = [title]
    for name in names:
        flag: Any = values[name]
        switch = flag.flag_type() == "bool"
        shown = f"  --{name}={_shown(flag)}"
        if switch:
            shown = f"  --[no]{name}" if flag.default else f"  --{name}"
        text = flag.help + (" (default: on)" if switch and flag.default else "")
        pad = " " * 34
        head = f"{shown:<33} " if len(shown) < 34 else f"{shown}\n{pad}"
        wrapped = textwrap.wrap(text, max(20, width - 34)) or [""]
        lines.append(head + f"\n{pad}".join(wrapped))
    return "\n".join(lines) + "\n"


def _shown(flag: Any) -> str:
    if flag.default is None or flag.default == []:
        return "…"
    if isinstance(flag.default, tuple | list):
        return ",".join(f"{x:g}" if isinstance(x, float) else str(x) for x in flag.default)
    return str(flag.default)
