"""From the words on the command line to a study, a plan, a menu or a page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from cnnjax.cli import pages
from cnnjax.errors import UserError, unknown


def main(argv: Sequence[str], folder: Path) -> int:
    """The exit status: 0, 1 where a run failed, 2 for a user's mistake, 130 after Ctrl-C."""
    try:
        return _main(list(argv), folder)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped at once; the same command goes on from the last checkpoint")
        return 130
    except BrokenPipeError:
        return 0


def _main(argv: list[str], folder: Path) -> int:
    # `--experiment`, `--summary` and `--dashboard` without a value ask for what there is.
    argv = [f"{word}=" if word.lstrip("-") in ("experiment", "summary", "dashboard")
            and word.startswith("-") and not _value_follows(argv, i) else word
            for i, word in enumerate(argv)]  # fmt: skip
    front = _front()
    try:
        rest = front(["launch.py", *argv], known_only=True)[1:]
    except flags.Error as e:
        raise UserError(" ".join(str(e).split())) from None
    if front.dashboard is not None:
        from cnnjax.cli.serve import serve

        return serve(_folders(front.dashboard or front.results), front.port, front.open)
    if front.summary is not None and not front.experiment:
        from cnnjax.cli.summary import run_summary

        return run_summary(front.summary, rest, front.help)
    if front.experiment and front.help:
        print(pages.experiment_help(front.experiment, folder, front))
        return 0
    if front.help:
        print(pages.general_help(folder, front))
        return 0
    if front.list:
        print(pages.listing(folder))
        return 0
    if not front.experiment:
        if rest:
            known = [f"--{name}" for name in front]
            raise unknown("flag", rest[0].partition("=")[0], known)
        print(pages.menu(folder))
        return 0
    from cnnjax.cli.study import run_study

    return run_study(front, folder, rest)


def _value_follows(argv: list[str], i: int) -> bool:
    return i + 1 < len(argv) and not argv[i + 1].startswith("-")


def _folders(given: str) -> list[Path]:
    """Folders with commas between; one whose own name has a comma is one folder."""
    return [Path(p) for p in ([given] if Path(given).is_dir() else given.split(",")) if p]


def _front() -> flags.FlagValues:
    """The flags of launch.py itself, known before any experiment is read."""
    front = flags.FlagValues()
    text, yes = flags.DEFINE_string, flags.DEFINE_bool
    text("experiment", None, "the study to run or to go on with", flag_values=front)
    text("summary", None, "a net's layers and costs, such as --summary=resnet50 --kernel=5",
         flag_values=front)  # fmt: skip
    yes("list", False, "the experiments, a line each", flag_values=front)
    yes("dry_run", False, "the plan with its costs; trains nothing", flag_values=front)
    text("compile_for", None, "compile the plan's steps for devices that are not here, such as "
         "tpu:v5e:2x4 or cuda; trains nothing", flag_values=front)  # fmt: skip
    yes("quick", False, "a look in under a minute, no evidence", flag_values=front)
    yes("open", False, "show the dashboard in the browser", flag_values=front)
    text("results", "results", "folder of the results", flag_values=front)
    text("dashboard", None, "serve the results on this machine only; --dashboard=DIR,DIR compares "
         "studies", flag_values=front)  # fmt: skip
    flags.DEFINE_integer("port", 8642, "where --dashboard serves", 0, 65535, flag_values=front)
    yes("help", False, "this page; with --experiment, the flags of that study", flag_values=front)
    return front
