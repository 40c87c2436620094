"""Who hands out runs, and the laws that hold whoever does and whatever becomes of them."""

import contextlib
import dataclasses
import io
import json
import os
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnjax.cli.main import main
from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.report.condition import failures
from cnnjax.report.gather import summarise
from cnnjax.study import claims, conduct, entry, executors, worker
from cnnjax.study.conduct import Conductor, new_plan
from cnnjax.study.executors import Executor, Places, local, slurm
from cnnjax.study.executors.inline import Inline
from cnnjax.study.files import Refused
from cnnjax.study.job import Job
from cnnjax.study.launch import Launch, read_job, write_job
from cnnjax.study.plan import Head, Point
from cnnjax.study.progress import Progress, together
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.worker import Stopped, Worker
from cnnjax.values import value
from tests.tiny import FLAGS, least_net, small_net, trials, write_dataset

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
HEAD = Head("toys", "What?", ("place", "place"), None)


@value
class Toy(Job):
    """A training in name only."""

    net: Net = small_net()
    place: int = 0
    rate: float = 0.0
    seed: int = 0
    test: bool = True
    label: str = "toy"
    axes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    image_shape: ClassVar[tuple[int, int, int]] = (8, 8, 1)
    batch_size: ClassVar[int] = 16

    @property
    def role(self):
        return "replicate" if self.test else "tune"

    @property
    def heading(self):
        return f"toy {self.place} {self.rate} {self.seed}"

    @property
    def recipe(self):
        return SimpleNamespace(learning_rate=self.rate)

    def at(self, trial, seed, test=True):
        return dataclasses.replace(self, rate=trial["learning_rate"], seed=seed, test=test)

    def about(self):
        return {"dataset": "", "data": {}}

    def result(self, record):
        return "played"


def toys(points, rates, seeds, tune_seeds=1, extend=0):
    toy = [Toy(place=i, axes=(("place", i),)) for i in range(points)]
    tried = trials(*(0.1 * (k + 1) for k in range(rates)))
    return [Point(t, tried, seeds, tune_seeds, extend) for t in toy]


def accuracy(run):
    return 0.5 + 0.1 * ((run.place + round(run.rate * 10)) % 3)


class Fickle(Executor):
    """Takes what it likes, ends it when it likes, and in ways that `draw` picks."""

    WAYS = ("done", "diverged", "failed", "passing", "killed", "unborn", "stopped", "further",
            "taken", "given up", "torn")  # fmt: skip

    def __init__(self, folder, draw, width):
        self.folder, self.draw, self.places = folder, draw, Places(width, "cpu", 1)
        self.out, self.begun, self.done, self.steps = {}, [], [], 0
        self.others = {}

    def offer(self, ready):
        assert ready and len({run.key for run in ready}) == len(ready)
        for run in ready:
            busy = (*self.out, *self.done, *self.others)
            assert run.key not in busy, "handed out twice"
        room = self.places.runs - len(self.out)
        taken = ready[: self.draw(st.integers(min(1, room), room))]
        self.out |= {run.key: run for run in taken}
        self.begun += [(run, len(self.done)) for run in taken]
        return list(taken)

    def wait(self, watch):
        self.let_go()
        keys = sorted(self.out)
        ended = self.draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
        return {key: self.end(self.out.pop(key)) for key in ended}

    def let_go(self):
        """Another launch ends what it is at, or gives it up."""
        for key, (lock, run) in list(self.others.items()):
            if run is not None:
                self.write(run, "done")
            lock.close()
            del self.others[key]

    def write(self, run, status, **more):
        if status in ("done", "diverged"):
            self.done.append(run.key)
        metrics = {"val_accuracy": accuracy(run), "val_loss": 1.0} if status == "done" else {}
        record = entry.outline(run, "toys", False) | {"status": status, "metrics": metrics}
        record["attempts"] = entry.attempts(self.folder.read_record(run.key))
        self.folder.write_record(run.key, record | more)

    def end(self, run):
        way = self.draw(st.sampled_from(self.WAYS))
        if way in ("done", "diverged"):
            self.write(run, way)
        elif way == "failed":
            self.write(run, "failed", error="deterministic")
        elif way == "passing":
            self.write(run, "out_of_memory", error="for now", may_pass=True)
        elif way == "stopped":
            self.write(run, "stopped", steps_done=0)
        elif way == "further":
            self.steps += 1
            self.write(run, "stopped", steps_done=self.steps)
        elif way == "killed":
            self.write(run, "running")
            return "its process was killed by SIGKILL"
        elif way == "torn":
            self.write(run, "running")
            (self.folder.run_dir(run.key) / "record.json").write_text('{"key": "0123')
        elif way in ("taken", "given up"):
            lock = contextlib.ExitStack()
            assert lock.enter_context(claims.attempt(self.folder, run.key))
            self.others[run.key] = lock, run if way == "taken" else None
        return ""

    def stop(self):
        pass

    def close(self, at_once=False):
        self.let_go()


def conductor(folder, executor, points, retries=2):
    plan = new_plan("python launch.py", {}, False)
    return Conductor(folder, executor, points, plan, lambda: None, retries)


def made(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("toys") / "toys")
    folder.create(HEAD.json(["place"]))
    return folder


@settings(max_examples=60)
@given(
    data=st.data(),
    points=st.integers(1, 3),
    rates=st.integers(1, 3),
    seeds=st.integers(1, 3),
    width=st.integers(1, 4),
    retries=st.integers(0, 3),
    tune_seeds=st.integers(1, 2),
    extend=st.integers(0, 2),
)
def test_whatever_becomes_of_them_every_run_is_done_once_or_failed_for_good(
    tmp_path_factory, data, points, rates, seeds, width, retries, tune_seeds, extend
):
    asked = toys(points, rates, seeds, tune_seeds, extend)
    folder = made(tmp_path_factory)
    executor = Fickle(folder, data.draw, width)
    study = conductor(folder, executor, asked, retries)
    with pytest.MonkeyPatch.context() as patch:  # Time passes for the other launch too.
        patch.setattr(conduct, "time", SimpleNamespace(sleep=lambda _: executor.let_go()))
        study.conduct(Progress({}, len(study.all_runs()), stream=io.StringIO()))
    assert study.waiting() == []
    assert len(executor.done) == len(set(executor.done)), "done twice"
    on_disk = {run.key: folder.read_record(run.key) for run in study.all_runs()}
    assert {k: r["status"] for k, r in on_disk.items()} == {
        k: r["status"] for k, r in study.records.items() if k in on_disk
    }
    for run in study.all_runs():
        record = on_disk[run.key]
        assert record["status"] in ("done", "diverged", "failed", "out_of_memory")
        assert record["status"] not in ("failed", "out_of_memory") or record["error"]
        if "tried" in (record["error"] or ""):
            assert f"tried {retries + 1} times" in record["error"]
    for point in asked:  # What was chosen follows from the records, not from their order.
        assert study.chosen(point) == point.choose(on_disk)
        tuned = [run.key for run in point.tuning(on_disk)]
        for run, done in executor.begun:
            if run.place == point.run.place and run.test:
                well = [key for key in tuned if on_disk[key]["status"] in ("done", "diverged")]
                assert set(well) <= set(executor.done[:done]), "replicated before it was tuned"


class Always(Fickle):
    """Ends every run in one way."""

    def __init__(self, folder, way, width=2):
        super().__init__(folder, None, width)
        self.way, self.draw = way, self.picked

    def picked(self, strategy):
        return self.way

    def offer(self, ready):
        taken = ready[: self.places.runs - len(self.out)]
        self.out |= {run.key: run for run in taken}
        self.begun += [(run, 0) for run in taken]
        return list(taken)

    def wait(self, watch):
        return {key: self.end(self.out.pop(key)) for key in sorted(self.out)}


@pytest.mark.parametrize(
    ("way", "times", "error"),
    [
        ("killed", 3, "its process was killed by SIGKILL (tried 3 times)"),
        ("unborn", 3, "its process ended without a word (tried 3 times)"),
        ("torn", 3, "its process ended without a word (tried 3 times)"),
        ("stopped", 3, "it was stopped before it came any further (tried 3 times)"),
        ("passing", 3, "for now (tried 3 times)"),
        ("failed", 1, "deterministic"),
    ],
)
def test_what_may_pass_is_tried_again_within_bounds(tmp_path_factory, way, times, error):
    folder = made(tmp_path_factory)
    study = conductor(folder, Always(folder, way), toys(1, 1, 1))
    study.conduct(Progress({}, 1, stream=io.StringIO()))
    (run,) = study.all_runs()
    assert len(study.executor.begun) == times
    record = folder.read_record(run.key)
    assert record["error"] == error
    assert [r for _, r in study.failed()] == [study.records[run.key]]
    assert folder.load().warnings == []  # Even where the process left no record of its own.
    again = conductor(folder, Always(folder, "done"), toys(1, 1, 1))
    again.conduct(Progress({}, 1, stream=io.StringIO()))
    assert folder.read_record(run.key)["status"] == "done"  # The next launch tries again.


def test_an_old_failure_is_not_taken_for_a_new_one(tmp_path_factory):
    folder = made(tmp_path_factory)
    executor = Always(folder, "unborn")
    study = conductor(folder, executor, toys(1, 1, 1))
    (run,) = study.all_runs()
    executor.write(run, "failed", error="in an earlier launch")
    study.conduct(Progress({}, 1, stream=io.StringIO()))
    assert len(executor.begun) == 3
    assert folder.read_record(run.key)["error"].startswith("its process ended without a word")


def test_a_run_that_comes_further_each_time_is_never_given_up(tmp_path_factory):
    folder = made(tmp_path_factory)
    executor = Always(folder, "further")
    executor.picked = executor.draw = lambda _: "done" if executor.steps == 5 else "further"
    study = conductor(folder, executor, toys(1, 1, 1), retries=0)
    study.conduct(Progress({}, 1, stream=io.StringIO()))
    assert len(executor.begun) == 6 and study.failed() == []


def test_each_attempts_reason_is_kept_and_shown(tmp_path_factory):
    folder = made(tmp_path_factory)
    study = conductor(folder, Always(folder, "killed"), toys(1, 1, 1))
    study.conduct(Progress({}, 1, stream=io.StringIO()))
    study.write_plan()
    (run,) = study.all_runs()
    reasons = [a["reason"] for a in folder.read_record(run.key)["attempts"]]
    assert reasons == ["its process was killed by SIGKILL"] * 2
    (shown,) = failures(summarise(folder.load()))
    assert shown.reason.endswith("attempts before: its process was killed by SIGKILL")


def test_stopped_it_hands_out_nothing_more_and_says_so(tmp_path_factory):
    folder = made(tmp_path_factory)
    executor = Always(folder, "further", width=1)
    study = conductor(folder, executor, toys(2, 1, 2))
    wait = executor.wait

    def asked(watch):
        study.stop()
        return wait(watch)

    executor.wait = asked
    with pytest.raises(Stopped):
        study.conduct(Progress({}, 4, stream=io.StringIO()))
    assert len(executor.begun) == 1 and len(study.waiting()) == 4


def test_points_come_first_and_seeds_after(tmp_path_factory):
    folder = made(tmp_path_factory)
    study = conductor(folder, Always(folder, "done", width=1), toys(2, 2, 2))
    study.conduct(Progress({}, 8, stream=io.StringIO()))
    order = [(run.place, run.seed if run.test else "tuning") for run, _ in study.executor.begun]
    assert order == [
        (0, "tuning"), (0, "tuning"), (0, 0), (1, "tuning"), (1, "tuning"), (1, 0), (0, 1), (1, 1),
    ]  # fmt: skip


# A worker and its lock


@pytest.fixture
def run(tmp_path):
    from cnnjax.data import Dataset
    from cnnjax.train.recipe import Recipe

    data = Dataset(write_dataset(tmp_path / "tiny.npz"))
    recipe = Recipe(epochs=2, batch_size=16)
    return Run(least_net(), data, recipe, label="small", axes=(("kernel", 3),))


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "tiny")
    made.create(Head("tiny", "What?", ("kernel", "kernel"), None).json(["kernel"]))
    return made


def test_a_run_that_another_process_is_at_is_left_to_it(run, folder):
    from cnnjax.train.devices import local as devices

    mine = Worker(folder, devices(count=1), "tiny")
    with claims.attempt(folder, run.key), pytest.raises(worker.Taken):
        mine.execute(run)
    assert folder.read_record(run.key) is None
    assert Inline(mine).places == Places(1, "cpu", len(os.sched_getaffinity(0)))
    record = mine.execute(run)
    assert record["hardware"]["executor"] == "inline" and "executor" not in str(record["config"])
    assert mine.execute(run)["started"] == record["started"]  # Done is done.


def test_a_full_machine_may_be_less_so_later(run, folder, monkeypatch):
    from cnnjax.train.devices import local as devices

    def broken(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(worker, "train", broken)
    record = Worker(folder, devices(count=1), "tiny").execute(run)
    assert record["status"] == "out_of_memory" and record["may_pass"]


# Jobs for other processes


def test_a_job_is_read_as_it_was_written(run, folder):
    launch = Launch("tiny", dtype="float64", scan=True, executor="local")
    write_job(folder, run, launch)
    assert read_job(folder, run.key) == (run, launch)
    told = json.loads((folder.run_dir(run.key) / "job.json").read_text())
    assert told["modules"]["cnnjax.nets.blocks"] is None


def test_a_job_of_a_users_own_file_brings_the_file(run, folder, tmp_path):
    path = tmp_path / "own_block.py"
    path.write_text(
        "from cnnjax.values import value\n@value\nclass Own:\n    size: int = 3\n", "utf-8"
    )
    from cnnjax.extension import load_module

    own = load_module(str(path))
    placed = dataclasses.replace(run, axes=(("own", own.Own(5)),))
    write_job(folder, placed, Launch("tiny"))
    told = json.loads((folder.run_dir(run.key) / "job.json").read_text())
    assert told["modules"]["own_block"] == str(path)
    assert read_job(folder, run.key)[0] == placed


@pytest.mark.parametrize("damage", ["", "{}", '{"job": {"type": "Toy"}}', None])
def test_a_job_that_cannot_be_read_is_named(run, folder, damage):
    write_job(folder, run, Launch("tiny"))
    path = folder.run_dir(run.key) / "job.json"
    path.write_text(damage) if damage is not None else path.unlink()
    with pytest.raises(UserError, match=r"job\.json"):
        read_job(folder, run.key)


def test_a_job_that_cannot_be_told_is_refused(run, folder):
    with pytest.raises(UserError, match="can't be told to another process .*--executor=inline"):
        write_job(folder, dataclasses.replace(run, axes=(("a", object()),)), Launch("tiny"))


# Flags


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--executor=slrum"], "unknown executor 'slrum': did you mean 'slurm'?"),
        (["--executor=inline", "--local.workers=2"],
         "--local.workers is for --executor=local, and it is inline"),
        (["--local.workers=2", "--slurm.time=1:00"],
         "--slurm.time is for --executor=slurm, and it is local"),
        (["--executor=local", "--slurm.time=1:00"],
         "--slurm.time is for --executor=slurm, and it is local"),
        (["--executor=local", "--local.worker=2"], "did you mean '--local.workers'?"),
        (["--executor=local", "--local.workers=0"], "local.workers"),
        (["--retries=-1"], "retries"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_said_in_a_line(argv, message, capsys):
    assert main(["--experiment=width", "--dry_run", *argv], EXPERIMENTS) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_measurements_are_made_one_at_a_time(capsys):
    argv = ["--experiment=throughput", "--nets=lenet5", "--dry_run", "--executor=local"]
    assert main(argv, EXPERIMENTS) == 2
    assert "--executor=local is for trainings" in capsys.readouterr().err


def test_a_plan_tells_the_time_with_so_many_workers(tmp_path, capsys):
    data = write_dataset(tmp_path / "tiny.npz")
    words = ["--experiment=width", f"--dataset={data}", "--widths=1,2", *FLAGS, "--dry_run",
             f"--results={tmp_path}", "--executor=local", "--local.workers=2"]  # fmt: skip
    assert main(words, EXPERIMENTS) == 0
    assert "2 at a time" in capsys.readouterr().out
    assert not (tmp_path / "width").exists()
    assert together([4, 2, 2], 2) == 4 and together([5, 1], 2) == 5 and together([], 2) == 0


# Local workers, without starting any


@given(cores=st.integers(1, 16), count=st.integers(1, 20))
def test_workers_share_the_cores_evenly(cores, count):
    shares = [local.share(range(cores), i, count) for i in range(count)]
    assert {len(share) for share in shares} == {max(1, cores // count)}
    used = [core for share in shares for core in share]
    if count <= cores:
        assert len(set(used)) == len(used)
    else:
        assert set(used) == set(range(cores))


def test_gpus_are_counted_without_being_started(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert local.gpus() == []
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
    assert local.gpus() == []
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7f")
    assert local.gpus() == ["2", "GPU-7f"]
    study = local.make(local.Options(), Launch("tiny"), None)
    assert study.places == Places(2, "gpu", 1)


def test_a_worker_is_given_what_it_has_compiled():
    known, other = Toy(), Toy(net=small_net(classes=4))
    assert local._suited([other, known], {known.shape}, {other.shape}) == known
    assert local._suited([other, known], set(), {other.shape}) == known
    assert local._suited([other], {known.shape}, {other.shape}) == other


# Slurm's commands, played


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Puts scripts of the names of Slurm's commands on the path; what they do by name."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    monkeypatch.setattr(slurm, "SOONEST", 0.01)

    def put(**scripts):
        for name in ("sbatch", "squeue", "scontrol", "scancel"):
            path = place / name
            path.write_text(f"#!/bin/sh\n{scripts.get(name, 'exit 0')}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return put


def cluster(folder, **options):
    return slurm.make(slurm.Options(**options), Launch("tiny", executor="slurm"), folder)


def test_without_slurm_it_is_said(run, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no sbatch here"):
        cluster(folder).offer([run])


def test_sbatchs_refusal_is_one_line(run, folder, fake):
    fake(sbatch="echo 'sbatch: error: bad\nsbatch: error: Batch job submission failed' >&2; exit 1")
    with pytest.raises(UserError, match="^sbatch: bad; Batch job submission failed$"):
        cluster(folder).offer([run])


def test_sbatch_is_asked_for_what_the_flags_say(run, folder, fake, tmp_path):
    fake(sbatch=f'echo "$@" >{tmp_path}/words; cat >{tmp_path}/script; echo 7')
    engine = cluster(
        folder, partition="gpu", gres="gpu:1", time="1:00", sbatch="--account=a --cpus-per-task=4"
    )
    assert engine.places == Places(32, "gpu", 1)
    assert engine.offer([run]) == [run]
    words = (tmp_path / "words").read_text().split()
    assert {"--partition=gpu", "--gres=gpu:1", "--time=1:00", "--account=a", "--requeue",
            "--signal=B:USR1@60", "--array=0-0"} <= set(words)  # fmt: skip
    assert run.key in (tmp_path / "script").read_text()


def test_what_is_queued_is_not_queued_again(run, folder, fake):
    fake(sbatch="echo 7", squeue="echo 7_0; echo 9_1")
    assert cluster(folder).offer([run]) == [run]
    fake(sbatch="echo never >&2; exit 1", squeue="echo 7_0")
    assert cluster(folder).offer([run]) == [run]


def test_what_ended_since_it_was_looked_at_is_not_queued_again(run, folder, fake):
    fake(sbatch="echo 7", squeue="echo 7_0")
    assert cluster(folder).offer([run]) == [run]
    fake(sbatch="echo never >&2; exit 1")  # The queue is empty.
    folder.write_record(run.key, {"status": "done", "config": run.config()})
    (folder.path / "slurm" / "7_0.log").touch()
    engine = cluster(folder)
    assert engine.offer([run]) == [run]
    assert engine.wait(lambda *_: None) == {run.key: ""}


def test_no_more_jobs_than_asked_for_are_queued(run, folder, fake):
    fake(sbatch="echo 7", squeue="echo 7_0")
    runs = [run.at(*trials(0.1), seed) for seed in range(5)]
    engine = cluster(folder, max_jobs=2)
    assert engine.offer(runs) == runs[:2]
    assert engine.offer(runs[2:]) == []


def test_a_queue_that_does_not_answer_ends_nothing(run, folder, fake, monkeypatch):
    fake(sbatch="echo 7", squeue="echo 'slurm_load_jobs error: down' >&2; exit 1")
    engine = cluster(folder)
    engine.offer([run])
    assert engine.wait(None) == {}
    monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    monkeypatch.setattr(slurm, "_call", lambda words, given="": failed())
    with pytest.raises(UserError, match="Slurm has not answered for 0 minutes"):
        time.sleep(0.01)
        engine.wait(None)


def failed():
    return slurm.subprocess.CompletedProcess([], 1, "", "down")


def test_a_job_that_leaves_no_log_says_what_may_be_wrong(run, folder, fake):
    fake(sbatch="echo 7", scontrol="echo JobState=FAILED")
    engine = cluster(folder)
    engine.offer([run])
    with pytest.raises(UserError, match=r"job 7_0 ended \(FAILED\) and left no .*7_0\.log: was it"):
        engine.wait(None)


@pytest.mark.parametrize(
    ("state", "reason"),
    [("NODE_FAIL", "Slurm ended its job 7_0: NODE_FAIL"), ("FAILED", "ImportError: no"),
     ("COMPLETED", "")],
)  # fmt: skip
def test_why_a_job_is_gone_is_asked_of_slurm(run, folder, fake, state, reason):
    fake(sbatch="echo 7", scontrol=f"echo JobState={state} Reason=None")
    engine = cluster(folder)
    engine.offer([run])
    (folder.path / "slurm" / "7_0.log").write_text("Traceback\nImportError: no\n")
    assert engine.wait(None) == {run.key: reason}


def test_refusals_of_the_disk_are_no_runs_fault():
    assert issubclass(Refused, UserError)
    assert executors.last_line("\n a \n\n  b  c \n") == "b c"
    assert executors.last_line("", "nothing") == "nothing"
