"""`--experiment=NAME`: flags → experiment → runs → report → answer."""

import os
import shlex
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from cnnjax.study.progress import Progress, duration


def run_study(front: flags.FlagValues, experiments: Path, argv: Sequence[str]) -> int:
    """Run or go on with a study, or print its plan; the exit status."""
    from cnnjax.study import experiment as study

    found = study.load(front.experiment, experiments, argv, front.quick)
    _start_jax(found.values.dtype)
    points = study.points(found)
    conductor = _conductor(front, found, points, argv)
    parallel = _parallel(conductor.executor.devices)
    predicted = conductor.predicted(parallel)
    if front.dry_run:
        from cnnjax.cli.plan import plan_table

        print(plan_table(conductor, predicted))
        return 0

    from cnnjax.report import answer, write

    folder = conductor.executor.folder
    conductor.write_plan()
    page = folder.path / "dashboard.html"
    total = len(predicted)
    if total:
        runs = "1 run" if total == 1 else f"{total} runs"
        about = duration(sum(predicted.values()))
        print(f"{runs}, about {about} · {page} (renewed after every run)", flush=True)
        if front.quick:
            print("quick look, not evidence")
        interrupted = _conduct(conductor, predicted)
        conductor.write_plan()
        write(folder.path, plots=not interrupted)
        if interrupted:
            print("stopped and saved; the same command goes on from here")
            return 130
    else:
        left = "train" if points[0].trains else "measure"
        print(f"nothing left to {left} · {page}", flush=True)
        write(folder.path)
    print(answer(folder.path))
    if front.open:
        webbrowser.open(page.resolve().as_uri())
    return 1 if any(r["status"] != "diverged" for _, r in conductor.failed()) else 0


def _start_jax(dtype: str) -> None:
    """Switch on what must be set before JAX computes: float64 and the compilation cache."""
    import jax

    from cnnjax.data import cache

    if dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache.folder() / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _conductor(
    front: flags.FlagValues, found: Any, points: Sequence[Any], argv: Sequence[str]
) -> Any:
    from cnnjax.study.conduct import Conductor, new_plan
    from cnnjax.study.execute import Executor
    from cnnjax.study.plan import axes_of
    from cnnjax.study.results import Folder
    from cnnjax.train.devices import local

    v = found.values
    where = local(v.parallel, v.devices, v.scan, v.remat)
    for point in points:
        point.run.check_devices(where)
    folder = Folder(Path(front.results) / found.name)
    words = [f"--experiment={front.experiment}", *(["--quick"] if front.quick else []), *argv]
    words += [f"--results={front.results}"] if front["results"].present else []
    plan = new_plan(
        shlex.join(["python", "launch.py", *words]), found.given(), front.quick, found.goal
    )
    executor = Executor(folder, where, found.name, front.quick, found.values.inspect)
    if not front.dry_run:
        folder.create(_head(found).json(axes_of(points)))  # Refuses another study's folder.

    def report() -> None:
        from cnnjax.report import write

        write(folder.path)

    return Conductor(executor, points, plan, report)


def _conduct(conductor: Any, predicted: dict[str, float]) -> bool:
    """Carry the plan out; True if the user stopped it. The first Ctrl-C saves, a second leaves."""
    import dataclasses

    from cnnjax.study.execute import Stopped

    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        progress.say("stopping: saving what is under way (again: leave at once)")

    progress = Progress(predicted, len(predicted))
    executor = conductor.executor
    conductor.executor = dataclasses.replace(
        executor, progress=progress.step, stop=lambda: bool(asked)
    )
    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
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


def _parallel(where: Any) -> int:
    """Cores of a CPU, whose simulated devices share them; devices of anything else."""
    if where.platform != "cpu":
        return where.count
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
