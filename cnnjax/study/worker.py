"""A job carried out in this process, from its lock to its record."""

import dataclasses
import functools
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax import compute, data
from cnnjax.errors import UserError
from cnnjax.study import claims, entry, environment, files, pretraining
from cnnjax.study.artifacts import write_inspection
from cnnjax.study.job import Job
from cnnjax.study.results import Folder
from cnnjax.study.run import Run, difference
from cnnjax.train import checkpoints, shifts
from cnnjax.train.cost import training_macs
from cnnjax.train.devices import Devices
from cnnjax.train.evaluation import evaluate
from cnnjax.train.loop import Hooks, Outcome, initial, make_task, train
from cnnjax.train.model import Model, save_model

FINISHED = ("done", "diverged")


class Stopped(Exception):
    """The user asked to stop; what is under way has been saved."""


class Taken(Exception):
    """Another process is at work on the run."""


def finished(folder: Folder, run: Job) -> dict[str, Any] | None:
    """The record of a run that need not be done again.

    Raises:
      UserError: the record is of another configuration, naming the field.
    """
    record = folder.read_record(run.key)
    if record is None or record.get("status") not in FINISHED:
        return None
    config = record.get("config", {})
    if found := difference(config, run.config()):
        raise UserError(
            f"{folder.run_dir(run.key)} was made with another configuration ({found}); "
            "move it away or use another --results"
        )
    return record


@dataclasses.dataclass(frozen=True)
class Worker:
    """Carries jobs out in this process and keeps their records in `folder`."""

    folder: Folder
    devices: Devices
    experiment: str
    quick: bool = False
    inspect: bool = False  # Look into each point's first replicate.
    executor: str = "inline"  # Who hands out the jobs.
    progress: Callable[[int, int], None] = lambda step, steps: None
    stop: Callable[[], bool] = lambda: False
    begins: Callable[[Job], None] = lambda job: None  # It is ours, and there is something to do.

    def execute(self, run: Job) -> dict[str, Any]:
        """Carry out and record one run, going on where an earlier attempt stopped; one that is
        done is left as it is.

        Raises:
          Stopped: asked to; the record says `stopped` and the next attempt goes on.
          Taken: another process is at work on it; nothing was done.
          Refused: the disk takes nothing more; what was recorded before is whole.
        """
        with claims.attempt(self.folder, run.key) as mine:
            if not mine:
                raise Taken
            if record := finished(self.folder, run):
                return record
            self.begins(run)
            return self._execute(run)

    def _execute(self, run: Job) -> dict[str, Any]:
        started = time.monotonic()
        record = self._begin(run)
        try:
            run.carry_out(self, record)
        except KeyboardInterrupt:
            self.folder.write_record(run.key, record | {"status": "stopped"})
            raise
        except Exception as e:
            if refused := files.refusal(e, self.folder.path):
                raise refused from None
            record |= self._failed(run, e)
        record["timings"]["total_seconds"] = round(time.monotonic() - started, 3)
        record["finished"] = entry.now()
        self.folder.write_record(run.key, record)
        if record["status"] == "stopped":
            raise Stopped
        if record["status"] in FINISHED:
            checkpoints.remove(self._saved(run))
        return record

    def train(self, run: Run, record: dict[str, Any]) -> None:
        """Train and evaluate one run, and write what comes of it into its record."""
        source, variables = data.load(run.dataset), None
        if run.pretrained:
            given = pretraining.load(run.pretrained, run.net, run.image_shape, run.seed)
            source, variables = pretraining.seen_as(source, given.preprocess), given.variables
            record["pretraining"]["notes"] = list(given.notes)
            if run.pretrained.macs is not None:
                record["measures"]["pretrain_macs"] = entry.measured(run.pretrained.macs, "MACs")
        cost = functools.partial(
            training_macs, run.net, run.recipe, run.image_shape, len(source.train)
        )
        outcome = self._train(run, record, source, variables, cost)
        record |= {
            "status": outcome.status,
            "epochs_done": outcome.epochs,
            "steps_done": outcome.steps,
            "metrics": {},
        }
        if outcome.status == "done":
            record["metrics"] = self._finish(run, record, source, outcome, variables)
        record["measures"]["train_macs"] = entry.measured(cost(outcome.steps), "MACs")
        record["timings"] = {
            "train_seconds": round(outcome.seconds, 3),
            "compile_seconds": round(outcome.program.compile_seconds, 3),
        } | self._waited(run)
        if outcome.status == "diverged":
            record["error"] = f"the loss was not finite after {outcome.steps} steps"

    def _begin(self, run: Job) -> dict[str, Any]:
        units = compute.units()
        costs = compute.measure(run.net, run.image_shape)
        record = entry.outline(run, self.experiment, self.quick) | {
            "measures": {name: entry.measured(v, units[name]) for name, v in costs.items()},
            "layers": entry.layers(run),
            "versions": environment.versions(),
            "revision": environment.revision(),
            "hardware": environment.hardware(self.devices) | {"executor": self.executor},
            "attempts": entry.attempts(self.folder.read_record(run.key)),
            "started": entry.now(),
        }
        self.folder.write_record(run.key, record)
        return record

    def _train(
        self,
        run: Run,
        record: dict[str, Any],
        source: data.Source,
        variables: Any,
        cost: Callable[[int], int],
    ) -> Outcome:
        def epoch(row: dict[str, Any]) -> None:
            self.folder.append_curve(run.key, row | {"train_macs": cost(row["step"])})

        hooks = Hooks(
            progress=self.progress,
            epoch=epoch,
            stop=self.stop,
            begins=lambda epoch: self.folder.truncate_curve(run.key, epoch),
            say=lambda line: record.setdefault("notes", []).append(line),
        )
        saved = self._saved(run)
        return train(run.net, run.recipe, source, run.seed, self.devices, hooks, saved, variables)

    def _waited(self, run: Run) -> dict[str, float]:
        """Seconds in which a streamed training waited for images, over all its attempts."""
        rows = self.folder.read_curve(run.key)
        waits = [row["input_wait_seconds"] for row in rows if "input_wait_seconds" in row]
        return {"input_wait_seconds": round(sum(waits), 3)} if waits else {}

    def _saved(self, run: Run) -> Path:
        return self.folder.run_dir(run.key) / "checkpoint"

    def _finish(
        self,
        run: Run,
        record: dict[str, Any],
        source: data.Source,
        outcome: Outcome,
        start: Any,
    ) -> dict[str, float]:
        """Metrics on clean images; the test split is read here, once, and only by replicates."""
        splits = {"train": source.train, "val": source.val}
        if run.test:
            splits["test"] = source.test
        metrics: dict[str, float] = {}
        for name, split in splits.items():
            split = outcome.seen(split)
            found = evaluate(outcome.program, self.devices, outcome.state, split, name)
            metrics |= found.metrics
        if run.test and run.shifts:
            metrics |= self._shifted(run, source.test, outcome, found.logits.argmax(-1))
        if run.test and self.inspect and run.seed == 0:
            self._inspect(run, source, outcome, start)
        if run.test:
            extra = {f"extra_{k}": np.asarray(v) for k, v in source.test.extra.items()}
            self.folder.write_predictions(
                run.key,
                index=np.arange(len(source.test)),
                label=found.labels,
                logits=found.logits,
                **extra,
            )
            save_model(
                self.folder.run_dir(run.key),
                model_of(run.net, run.recipe, source, outcome.variables),
            )
        if run.test and run.seed == 0 and not self.quick:  # They would be a sixth of its time.
            self._picture(run, record, source, outcome, found)
        return metrics

    def _shifted(
        self, run: Run, split: Any, outcome: Outcome, found: np.ndarray
    ) -> dict[str, float]:
        def answer(moved: Any) -> np.ndarray:
            seen = outcome.seen(moved)
            told = evaluate(outcome.program, self.devices, outcome.state, seen, "test")
            return told.logits.argmax(-1)

        return shifts.tolerance(answer, split, found, run.shifts)

    def _inspect(self, run: Run, source: data.Source, outcome: Outcome, start: Any) -> None:
        from cnnjax.study.inspect import inspect

        start = start or initial(make_task(run.net, run.recipe, source), run.seed)
        looks = {"start": start, "end": outcome.variables}
        write_inspection(self.folder, run.key, inspect(run.net, run.recipe, source, looks))

    def _picture(
        self, run: Run, record: dict[str, Any], source: data.Source, outcome: Outcome, found: Any
    ) -> None:
        """Store the net's pictures; a net that has none loses nothing else."""
        from cnnjax.study.pictures import hardest, pictures
        from cnnjax.study.stored import write_pictures

        try:
            made = pictures(run.net, run.recipe, source, outcome.variables)
            made |= hardest(source.test, found.logits, found.labels)
        except Exception as e:
            record.setdefault("notes", []).append(f"no pictures of the net: {files.short(e)}")
        else:
            write_pictures(self.folder, run.key, made)

    def _failed(self, run: Job, e: Exception) -> dict[str, Any]:
        """Status and one line of reason; the traceback goes into the run's folder."""
        text = str(e).strip().splitlines()[0] if str(e).strip() else ""
        memory = isinstance(e, MemoryError) or "RESOURCE_EXHAUSTED" in str(e)
        if memory:
            size = run.batch_size
            return {
                "status": "out_of_memory",
                "error": f"out of memory with batch_size {size}; try --batch_size={size // 2 or 1}",
                # The machine's memory, unlike a device's, is shared with whatever else runs there.
                "may_pass": isinstance(e, MemoryError),
            }
        if not isinstance(e, UserError):
            path = self.folder.run_dir(run.key) / "error.txt"
            path.write_text("".join(traceback.format_exception(e)))
            text = f"{type(e).__name__}: {text} (see {path})"
        return {"status": "failed", "error": text}


def model_of(net: Any, recipe: Any, source: data.Source, variables: Any) -> Model:
    """The trained net with what its images need."""
    return Model(
        net=net,
        variables=variables,
        image_shape=tuple(int(x) for x in source.info.image_shape),
        mean=tuple(float(x) for x in source.mean),
        std=tuple(float(x) for x in source.std),
        class_names=tuple(source.info.class_names),
        dtype=recipe.dtype,
        resolution=recipe.test_resolution,
    )
