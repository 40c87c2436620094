"""Plans, keys, execution: what is trained, in which order, and what is never trained twice."""

import dataclasses
import io
import json

import pytest

from cnnjax.data import Dataset
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.study import conduct, progress
from cnnjax.study import worker as worker_module
from cnnjax.study.conduct import Conductor, new_plan
from cnnjax.study.executors.inline import Inline
from cnnjax.study.plan import Head, Point, describe
from cnnjax.study.results import Folder
from cnnjax.study.run import TUNING_SEED, Run, difference
from cnnjax.study.worker import Stopped, Worker, finished
from cnnjax.train.devices import local
from cnnjax.train.recipe import Recipe
from tests.tiny import least_net, trials, write_dataset

HEAD = Head("tiny", "What?", ("kernel", "kernel"), None)


@pytest.fixture
def run(tmp_path):
    data = Dataset(write_dataset(tmp_path / "tiny.npz"))
    recipe = Recipe(epochs=2, batch_size=16)
    return Run(least_net(), data, recipe, label="small", axes=(("kernel", 3),))


@pytest.fixture
def worker(tmp_path):
    folder = Folder(tmp_path / "results" / "tiny")
    folder.create(HEAD.json(["kernel"]))
    return Worker(folder, local(count=1), "tiny")


def test_the_key_is_of_the_training_alone(run):
    placed = dataclasses.replace(run, label="other", axes=(("series", "b"),), notes=("n",))
    assert placed.key == run.key
    assert len(run.key) == 16
    assert "axes" not in run.config()
    assert (
        len(
            {
                run.key,
                run.at(*trials(0.2), 0).key,
                run.at(*trials(0.1), 1).key,
                run.at(*trials(0.1), 0, False).key,
            }
        )
        == 4
    )


def test_a_difference_of_configurations_is_named():
    old = {"recipe": {"epochs": 3, "old": 1}, "net": [1, 2]}
    assert difference(old, {"recipe": {"epochs": 3, "old": 1, "new": 0}, "net": [1, 2]}) is None
    assert (
        difference(old, {"recipe": {"epochs": 4, "old": 1}, "net": [1, 2]})
        == "recipe.epochs: 3 → 4"
    )
    assert (
        difference(old, {"recipe": {"epochs": 3}, "net": [1, 2]}) == "recipe.old: 1 → no such field"
    )
    assert difference(old, {"recipe": old["recipe"], "net": [1, 3]}) == "net[1]: 2 → 3"
    former = {"recipe": {"tune": "full"}}  # Records of before the field was renamed go on.
    assert difference(former, {"recipe": {"fine_tune": "full"}}) is None
    assert difference(former, {"recipe": {"fine_tune": "gradual"}}).startswith("recipe.fine_tune:")


def test_a_point_is_tuned_on_validation_at_a_seed_of_its_own(run):
    point = Point(run, trials(0.01, 0.1, 1.0), 3)
    assert [r.recipe.learning_rate for r in point.tuning({})] == [0.01, 0.1, 1.0]
    assert {r.seed for r in point.tuning({})} == {TUNING_SEED}
    assert not any(r.test for r in point.tuning({}))
    assert [r.seed for r in point.replicates(*trials(0.1))] == [0, 1, 2]

    def records(*scores):
        ended = [
            {"status": "done", "metrics": {"val_accuracy": a, "val_loss": loss}}
            for a, loss in scores
        ]
        return {r.key: e for r, e in zip(point.tuning({}), ended, strict=True)}

    assert point.choose(records((0.5, 1), (0.9, 1), (0.8, 1))) == (trials(0.1)[0], [])
    assert (
        point.choose(records((0.5, 1), (0.9, 1), (0.9, 0.5)))[0]["learning_rate"] == 1.0
    )  # The lower loss.
    assert point.choose(records((0.9, 1), (0.5, 1), (0.5, 1)))[1] == [
        "learning rate 0.01 is at the grid's edge"
    ]
    diverged = records((0.5, 1), (0.9, 1), (0.8, 1))
    diverged[point.tuning({})[1].key] = {"status": "diverged", "metrics": {}}
    assert point.choose(diverged)[0] == trials(1.0)[0]
    wild = {key: {"status": "diverged", "metrics": {}} for key in diverged}
    assert point.choose(wild)[0] == trials(0.01)[0]
    assert "no learning rate of the grid ended well; the lowest is used" in point.choose(wild)[1]
    assert point.choose({}) == (None, [])  # Not yet.
    assert Point(run, trials(0.3), 3).choose({}) == (trials(0.3)[0], [])
    assert Point(run, trials(0.3), 3).tuning({}) == []
    assert describe(point, {})["runs"] == []


def test_a_points_runs_are_made_once(run):
    """They are asked for several times a second, and each works its key out."""
    point = Point(run, trials(0.1), 2)
    first, again = (point.replicates(point.trials[0]) for _ in range(2))
    assert [run.seed for run in first] == [0, 1]
    assert all(a is b for a, b in zip(first, again, strict=True))


def test_a_run_leaves_everything_that_the_contract_names(run, worker):
    record = worker.execute(run)
    folder = worker.folder.run_dir(run.key)
    assert record["status"] == "done"
    assert {"params", "macs", "activations", "receptive_field", "train_macs"} <= set(
        record["measures"]
    )
    assert all(0 <= record["metrics"][f"{s}_accuracy"] <= 1 for s in ("train", "val", "test"))
    assert record["config"]["recipe"]["epochs"] == 2
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    saved = worker.folder.read_predictions(run.key)
    assert saved["logits"].shape == (20, 3)
    right = (saved["logits"].argmax(-1) == saved["label"]).mean()
    assert record["metrics"]["test_accuracy"] == pytest.approx(right)
    assert (folder / "weights").is_dir()
    assert not (folder / "checkpoint").exists()
    steps = 2 * (48 // 16)
    from cnnjax.compute import train_step_macs

    expected = train_step_macs(run.net, (8, 8, 1), 16) * steps
    assert record["measures"]["train_macs"]["value"] == expected


def test_a_tuning_run_never_reads_test(run, worker, monkeypatch):
    seen = []
    real = worker_module.evaluate
    monkeypatch.setattr(worker_module, "evaluate", lambda *a: seen.append(a[-1]) or real(*a))
    record = worker.execute(run.at(*trials(0.1), TUNING_SEED, test=False))
    assert seen == ["train", "val"]
    assert "test_accuracy" not in record["metrics"]
    assert worker.folder.read_predictions(record["key"]) == {}


def test_failures_are_recorded_with_a_line_and_the_study_goes_on(run, worker, monkeypatch):
    def fail(error):
        def broken(*args, **kwargs):
            raise error

        monkeypatch.setattr(worker_module, "train", broken)
        return worker.execute(run)

    record = fail(RuntimeError("RESOURCE_EXHAUSTED: out of memory allocating 5 bytes"))
    assert record["status"] == "out_of_memory"
    assert record["error"] == "out of memory with batch_size 16; try --batch_size=8"
    record = fail(ZeroDivisionError("by nothing\nat all"))
    assert record["status"] == "failed"
    assert record["error"].startswith("ZeroDivisionError: by nothing (see ")
    assert "Traceback" in (worker.folder.run_dir(run.key) / "error.txt").read_text()
    assert finished(worker.folder, run) is None  # It is tried again.
    monkeypatch.undo()
    assert worker.execute(run)["status"] == "done"
    assert finished(worker.folder, run)["status"] == "done"


def test_a_diverged_run_is_recorded_and_not_tried_again(run, worker):
    wild = run.at(*trials(1e3), 0)
    wild = dataclasses.replace(
        wild, recipe=dataclasses.replace(wild.recipe, epochs=60, weight_decay=10.0)
    )
    record = worker.execute(wild)
    assert record["status"] == "diverged"
    assert "not finite" in record["error"]
    assert finished(worker.folder, wild)["status"] == "diverged"


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been(run, worker, tmp_path):
    whole = worker.execute(run)
    curve = worker.folder.read_curve(run.key)
    other = Folder(tmp_path / "other")
    other.create(HEAD.json(["kernel"]))
    stopping = dataclasses.replace(worker, folder=other, stop=lambda: True)
    with pytest.raises(Stopped):
        stopping.execute(run)
    assert other.read_record(run.key)["status"] == "stopped"
    other.append_curve(run.key, {"epoch": 2, "val_accuracy": 0.0})  # Of a lost epoch.
    again = dataclasses.replace(worker, folder=other).execute(run)
    assert again["metrics"] == whole["metrics"]

    def clean(rows):
        return [{k: v for k, v in r.items() if k != "seconds"} for r in rows]

    assert clean(other.read_curve(run.key)) == clean(curve)


def test_a_damaged_checkpoint_is_named_in_the_record(run, worker):
    whole = dataclasses.replace(worker, folder=Folder(worker.folder.path.parent / "whole"))
    whole.folder.create(HEAD.json(["kernel"]))
    with pytest.raises(Stopped):
        dataclasses.replace(worker, stop=lambda: True).execute(run)
    (saved,) = (worker.folder.run_dir(run.key) / "checkpoint").iterdir()
    (saved / "manifest.json").write_text("{")
    record = worker.execute(run)
    assert record["notes"] == [
        f"checkpoint {saved} is damaged (its manifest can't be read) and is left out"
    ]
    assert record["metrics"] == whole.execute(run)["metrics"]


def test_a_record_of_another_configuration_is_an_error_that_names_the_field(run, worker):
    worker.execute(run)
    record = worker.folder.read_record(run.key)
    record["config"]["recipe"]["label_smoothing"] = 0.3
    worker.folder.write_record(run.key, record)
    with pytest.raises(UserError, match=r"recipe\.label_smoothing: 0\.3 → 0\.0"):
        finished(worker.folder, run)


def test_a_study_tunes_replicates_and_trains_nothing_twice(run, worker):
    other = dataclasses.replace(run, net=vary.kernel(run.net, 1), axes=(("kernel", 1),))
    points = [
        Point(run, trials(0.01, 0.1), 2),
        Point(other, trials(0.01, 0.1), 2),
        Point(run, trials(0.01, 0.1), 2),
    ]
    reports, trained = [], []

    def conductor():
        plan = new_plan("python launch.py", {}, False)
        counting = Counting(worker, trained)
        return Conductor(worker.folder, counting, points, plan, lambda: reports.append(1))

    first = conductor()
    assert len(first.waiting()) == 8  # The third point is the first again.
    first.conduct(progress.Progress({}, 8, stream=io.StringIO()))
    assert len(trained) == len(reports) == 8
    assert trained[2].test  # Two rates, then the first replicate.
    assert [r.seed for r in trained[-2:]] == [1, 1]
    assert conductor().waiting() == []
    first.write_plan()
    study = worker.folder.load()
    assert study.plan.points[0].runs == study.plan.points[2].runs
    assert len(study.plan.points[0].runs) == 2


def test_what_was_tuned_to_the_grids_edge_is_not_trained_again_either(run, worker):
    points = [Point(run, trials(1e-6, 2e-6, 0.1), 2)]

    def conductor():
        plan = new_plan("python launch.py", {}, False)
        return Conductor(worker.folder, Inline(worker), points, plan, lambda: None)

    first = conductor()
    first.conduct(progress.Progress({}, 5, stream=io.StringIO()))
    assert (
        first.chosen(points[0])[0] != trials(2e-6)[0]
    )  # Not the middle one, which plans assume at first.
    assert conductor().waiting() == []


def test_a_run_under_way_is_followed_now_and_then(run, worker, monkeypatch):
    monkeypatch.setattr(conduct, "FOLLOW", 0.0)
    followed, rows = [], []

    def follow(key):
        followed.append(key)
        rows.append(len(worker.folder.read_curve(key)))

    plan = new_plan("python launch.py", {}, False)
    given = (worker.folder, Inline(worker), [Point(run, trials(0.1), 2)], plan, lambda: None)
    Conductor(*given, follow=follow).conduct(progress.Progress({}, 2, stream=io.StringIO()))
    assert len(set(followed)) == 2
    assert rows[0] == 0 and any(rows)


class Counting(Inline):
    """Notes what it trains."""

    def __init__(self, worker, trained):
        super().__init__(worker)
        self.trained = trained

    def offer(self, ready):
        taken = super().offer(ready)
        self.trained += taken
        return taken


def test_time_is_said_in_words():
    said = [progress.duration(s) for s in (0.2, 45, 480, 12_000)]
    assert said == ["1 s", "45 s", "8 min", "3 h 20 min"]
