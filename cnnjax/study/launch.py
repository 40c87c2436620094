"""What a process of its own must be told to carry a run out: `runs/<key>/job.json`."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cnnjax import values
from cnnjax.errors import UserError
from cnnjax.extension import load_module
from cnnjax.study import files
from cnnjax.study.job import Job
from cnnjax.study.results import Folder
from cnnjax.values import value


@value
class Launch:
    """What all runs of one command share, beside what makes each run what it is."""

    experiment: str
    quick: bool = False
    inspect: bool = False
    dtype: str = "float32"
    parallel: str = "pmap"
    devices: int | None = None
    scan: bool | None = None
    remat: bool = False
    conv: str | None = None
    executor: str = "inline"
    data_workers: int | None = None

    def worker(
        self,
        folder: Folder,
        progress: Callable[[int, int], None] = lambda step, steps: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Any:
        """A `study.worker.Worker` on this process's devices; JAX must have been started.

        Raises:
          UserError: more devices asked for than there are.
        """
        from cnnjax.study.worker import Worker
        from cnnjax.train.devices import local

        how = (self.scan, self.remat, self.conv, self.data_workers)
        where = local(self.parallel, self.devices, *how)
        return Worker(
            folder, where, self.experiment, self.quick, self.inspect, self.executor, progress, stop
        )


def told(job: Job, launch: Launch) -> dict[str, Any]:
    """The run and what it shares, as JSON data.

    Raises:
      UserError: the job can't be written down, or would be another one when read.
    """
    try:
        data = values.to_json(job)
        same = values.from_json(data) == job
    except (TypeError, UserError) as e:
        same, why = False, f" ({files.short(e)})"
    else:
        why = ""
    if not same:
        raise UserError(f"{job.name} can't be told to another process{why}: use --executor=inline")
    modules = {module.__name__: _file(module) for module in _modules(job)}
    return {"launch": values.to_json(launch), "job": data, "modules": modules}


def heard(said: Mapping[str, Any]) -> tuple[Job, Launch]:
    """What `told` told, after importing the modules that it is made of.

    Raises:
      UserError, ValueError, TypeError, ImportError: it is of another version.
    """
    modules = said.get("modules")
    for name, file in modules.items() if isinstance(modules, Mapping) else ():
        if name not in sys.modules:
            load_module(file, name) if file else importlib.import_module(name)
    return values.from_json(said.get("job")), values.from_json(said.get("launch"))


def write_job(folder: Folder, job: Job, launch: Launch) -> None:
    """Replace the run's job.json.

    Raises:
      UserError: as `told`, or the disk takes nothing more.
    """
    path = folder.run_dir(job.key)
    with files.telling(path):
        path.mkdir(exist_ok=True)
    files.write_json(path / "job.json", told(job, launch))


def read_job(folder: Folder, key: str) -> tuple[Job, Launch]:
    """What `write_job` wrote.

    Raises:
      UserError: there is none, it can't be read, or it is of another version.
    """
    path = folder.run_dir(key) / "job.json"
    try:
        job, launch = heard(files.read_json(path))
    except (OSError, ValueError, TypeError, ImportError) as e:
        raise UserError(f"{path} can't be read ({files.short(e)})") from None
    if not isinstance(job, Job) or not isinstance(launch, Launch) or job.key != key:
        raise UserError(f"{path} is not the job of run {key}: was it made by another version?")
    return job, launch


def _modules(v: Any) -> Iterator[Any]:
    """The modules of the types that a value is made of."""
    if values.is_value(v):
        yield sys.modules[type(v).__module__]
        for field in values.fields(v):
            yield from _modules(getattr(v, field.name))
    elif isinstance(v, tuple | list):
        for x in v:
            yield from _modules(x)


def _file(module: Any) -> str | None:
    """Where a module lies that was read from a file of the user's, and not found by its name."""
    return None if module.__spec__.parent else module.__spec__.origin
