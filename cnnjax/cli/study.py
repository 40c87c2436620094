"""`--experiment=NAME`: flags → experiment → runs → report → answer."""

import contextlib
import shlex
import signal
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from cnnjax.errors import UserError
from cnnjax.signals import STOPPING
from cnnjax.study.progress import Progress, duration, together


def run_study(front: flags.FlagValues, experiments: Path, argv: Sequence[str]) -> int:
    """Run or go on with a study, or print its plan; the exit status. Of several processes all but
    the first only train."""
    from cnnjax.study import environment, executors, follow
    from cnnjax.study import experiment as study
    from cnnjax.train import hosts

    found = study.load(front.experiment, experiments, argv, front.quick)
    v = found.values
    name = found.executor or "inline"
    asked = executors.options(v, name)
    # Where others compute, this process only plans, and leaves the accelerators to them.
    environment.start_jax(v.dtype, None if name == "inline" else "cpu", v.cpu_devices)
    hosts.start(v.coordinator, v.num_processes, v.process_id)
    if not hosts.leads():
        return _follow(_launch(front, found, name))
    try:
        status = _lead(front, found, (name, asked), argv)
    except UserError as e:
        if not isinstance(e, follow.Broken):
            follow.dismiss()
        raise
    follow.dismiss()
    return status


def _lead(front: flags.FlagValues, found: Any, asked: Any, argv: Sequence[str]) -> int:
    """What one process does, or the first of several."""
    import jax

    from cnnjax.study import experiment as study
    from cnnjax.study.usual import usual
    from cnnjax.train import ways

    v = found.values
    here = found.executor in (None, "inline")  # Others' machines may have what this one lacks.
    if here and not front.dry_run and not front.compile_for:
        ways.begin(v.conv, jax.default_backend())
    points, missing = study.asked(found, Path(front.results) / found.name)
    if front.compile_for:
        from cnnjax.cli.ahead import run_ahead

        return run_ahead(front.compile_for, points, v.parallel, v.scan, v.remat)
    if found.executor is None:
        asked = usual(points, found.machine[1] or jax.device_count(), jax.default_backend())
    conductor = _conductor(front, found, points, argv, *asked)
    conductor.missing = missing
    predicted = conductor.predicted()
    if front.dry_run:
        from cnnjax.cli.plan import plan_table

        print(plan_table(conductor, predicted, _head(found)))
        return 0

    from cnnjax.report import answer, write

    folder = conductor.folder
    conductor.write_plan()
    page = folder.path / "dashboard.html"
    total = len(predicted)
    if total:
        runs = "1 run" if total == 1 else f"{total} runs"
        at_once = min(total, conductor.executor.places.runs)
        about = duration(together(predicted.values(), at_once))
        by = f", {at_once} at a time" if at_once > 1 else ""
        print(f"{runs}{by}, about {about} · {page} (renewed as runs end)", flush=True)
        if front.quick:
            print("quick look, not evidence")
        if here and not v.conv and (why := ways.missing(jax.default_backend())):
            print(f"convolutions take longer than they could: {why}")
        interrupted = _conduct(conductor, predicted)
        conductor.write_plan()
        write(folder.path, plots=not interrupted)
        if interrupted:
            print("stopped and saved; the same command goes on from here")
            return 130
    else:
        left = "train" if points[0].trains else "measure"
        print(f"nothing left to {left} · {page}", flush=True)
        write(folder.path, plots=True)
    print(answer(folder.path))
    if front.open:
        webbrowser.open(page.resolve().as_uri())
    return 1 if any(r["status"] != "diverged" for _, r in conductor.failed()) else 0


def _conductor(
    front: flags.FlagValues,
    found: Any,
    points: Sequence[Any],
    argv: Sequence[str],
    name: str,
    asked: Any,
) -> Any:
    from cnnjax.study import executors, predeclared
    from cnnjax.study.conduct import Conductor, new_plan
    from cnnjax.study.plan import axes_of
    from cnnjax.study.results import Folder
    from cnnjax.train.devices import local

    v = found.values
    inline = name == "inline"
    # What devices other processes have is theirs to say; what fits none is said here.
    mode, count, *rest = found.machine
    where = local(mode, count if inline else 1, *rest)
    for point in points:
        point.run.check_devices(where)
        if not point.trains and not inline:
            raise UserError(
                f"--executor={name} is for trainings: {found.name} measures this machine, "
                "one net at a time"
            )
    folder = Folder(Path(front.results) / found.name)
    words = [f"--experiment={front.experiment}", *(["--quick"] if front.quick else []), *argv]
    words += [f"--results={front.results}"] if front["results"].present else []
    plan = new_plan(
        shlex.join(["python", "launch.py", *words]), found.given(), front.quick, found.goal
    )
    plan |= predeclared.entry(found.claims, found.changed)
    executor = executors.find(name).make(asked, _launch(front, found, name), folder)
    if not front.dry_run:
        folder.create(_head(found).json(axes_of(points)))  # Refuses another study's folder.

    due = 0.0

    def report() -> None:
        """At most a tenth of the time goes to it; when all is done the page is made again."""
        from cnnjax.report import write

        nonlocal due
        begun = time.monotonic()
        if begun >= due:
            write(folder.path)
            due = begun + 10 * (time.monotonic() - begun)

    def follow(key: str) -> None:
        from cnnjax.report import tensorboard

        with contextlib.suppress(UserError):  # The report says so when the run has ended.
            tensorboard.follow(folder.path, key)

    return Conductor(folder, executor, points, plan, report, v.retries, follow=follow)


def _launch(front: flags.FlagValues, found: Any, executor: str) -> Any:
    from cnnjax.study.launch import Launch

    v = found.values
    how = (*found.machine, executor, v.data_workers)
    return Launch(found.name, front.quick, v.inspect, v.dtype, *how)


def _follow(launch: Any) -> int:
    """Train with the first process, which conducts the study and tells what is done."""
    from cnnjax.study.follow import follow

    asked: list[int] = []
    if launch.executor != "inline":
        raise UserError(
            f"several processes train each run together: --executor={launch.executor} starts its "
            "own; leave one of the two out"
        )
    for number in STOPPING:
        signal.signal(number, lambda number, frame: asked.append(number))
    follow(launch, lambda: bool(asked))
    return 130 if asked else 0


def _conduct(conductor: Any, predicted: dict[str, float]) -> bool:
    """Carry the plan out; True if the user stopped it. The first Ctrl-C saves, a second leaves."""
    from cnnjax.study.worker import Stopped

    def ask(number: int, frame: Any) -> None:
        if conductor.stopping:
            raise KeyboardInterrupt
        conductor.stop()
        progress.say("stopping: saving what is under way (again: leave at once)")

    progress = Progress(predicted, len(predicted), conductor.executor.places.runs)
    before = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        conductor.conduct(progress)
        return False
    except Stopped:
        return True
    finally:
        progress.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()


def _head(found: Any) -> Any:
    from cnnjax.study.plan import Head

    module = found.module
    x, series = getattr(module, "X", None), getattr(module, "SERIES", None)
    return Head(found.name, found.question, x, series)
