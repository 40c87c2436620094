"""From the weights of one training to another: planned, keyed by content, recorded, read back."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.cli.main import main
from cnnjax.data import Dataset, load
from cnnjax.errors import UserError
from cnnjax.study import pretraining
from cnnjax.study.pretraining import Pretraining
from cnnjax.study.results import Folder
from cnnjax.study.run import Run
from cnnjax.study.tuning import Search
from cnnjax.study.worker import Worker
from cnnjax.train.cost import training_macs
from cnnjax.train.devices import local
from cnnjax.train.recipe import make_recipe
from tests.named_weights import drawn
from tests.tiny import FLAGS, small_net, trials, write_dataset

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
SHAPE = (8, 8, 1)
RECIPE = make_recipe(epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A finished run of a net of five classes, in the folder `weights`, and data of three."""
    path = tmp_path_factory.mktemp("pretraining")
    write_dataset(path / "three.npz")
    run = Run(small_net(5), Dataset(write_dataset(path / "five.npz", classes=2)), RECIPE)
    folder = Folder(path / "results" / "train")
    folder.create({"experiment": "train", "question": "?", "axes": []})
    record = Worker(folder, local(count=1), "train").execute(run)
    assert record["status"] == "done", record["error"]
    (path / "weights").symlink_to(folder.run_dir(run.key))
    return path


@pytest.fixture
def worker(tmp_path):
    folder = Folder(tmp_path / "results" / "tiny")
    folder.create({"experiment": "tiny", "question": "?", "axes": []})
    return Worker(folder, local(count=1), "tiny", inspect=True)


def started(home, **recipe):
    given = pretraining.pretraining(str(home / "weights"), ("head",))
    chosen = make_recipe(RECIPE, **recipe)
    return Run(small_net(3), Dataset(str(home / "three.npz")), chosen, pretrained=given)


# The key


def test_the_key_hangs_on_the_content_and_not_on_the_path(home, tmp_path):
    shutil.copytree(home / "weights", tmp_path / "copy")
    one, two = (pretraining.pretraining(str(p), ("head",))
                for p in (home / "weights", tmp_path / "copy"))  # fmt: skip
    run = started(home)
    assert one.source != two.source
    copied = dataclasses.replace(run, pretrained=two)
    assert copied.key == run.key
    assert copied.config() == run.config()
    others = [None, dataclasses.replace(one, reinit=()), dataclasses.replace(one, digest="0" * 64)]
    keys = {dataclasses.replace(run, pretrained=p).key for p in others}
    assert len({*keys, run.key}) == 4


def test_what_starts_from_nothing_keeps_the_key_it_had():
    run = Run(small_net(), Dataset("cluttered_digits"), make_recipe(epochs=2), seed=3)
    assert run.key == "6d0f6e931591493e"
    assert dataclasses.replace(run, grid=(0.1, 0.2)).key == run.key
    assert "grid" not in run.config()


def test_a_points_own_rates_stand_in_place_of_the_studys():
    run = Run(small_net(), grid=(0.3, 0.1))
    assert run.trials(Search({"learning_rate": (0.5, 0.6)})) == trials(0.1, 0.3)
    assert Run(small_net()).trials(Search({"learning_rate": (6, 5, 6)})) == trials(5, 6)


# What a training from weights is


def test_a_run_from_weights_starts_there_and_says_so(home, worker):
    still = {"learning_rate": 0.0, "weight_decay": 0.0}
    run = started(home, frozen_norms=True, **still)
    record = worker.execute(run)
    assert record["status"] == "done", record["error"]
    own = json.loads((home / "weights" / "record.json").read_text())
    assert record["pretraining"]["source"] == str(home / "weights")
    assert record["pretraining"]["digest"] == run.pretrained.digest
    assert record["pretraining"]["reinit"] == ["head"]
    assert any("head" in note for note in record["pretraining"]["notes"])
    assert record["measures"]["pretrain_macs"]["value"] == own["measures"]["train_macs"]["value"]
    before, after = cnnjax.load(home / "weights"), cnnjax.load(worker.folder.run_dir(run.key))
    for scope in ("stem", "stage1", "stage2"):
        for tree in ("params", "batch_stats"):
            pair = (x.variables[tree][scope] for x in (before, after))
            for a, b in zip(*map(jax.tree.leaves, pair), strict=True):
                np.testing.assert_array_equal(a, b)
    assert after.variables["params"]["head"]["logits"]["bias"].shape == (3,)
    assert (after.model.mean, after.model.std) == (before.model.mean, before.model.std)
    rows = worker.folder.read_curve(run.key)
    step = training_macs(run.net, run.recipe, SHAPE, 48, 1)
    assert [row["train_macs"] for row in rows] == [3 * step, 6 * step]
    assert record["measures"]["train_macs"]["value"] == 6 * step
    seeds = [worker.execute(run.at(*trials(0.0), seed)) for seed in (1,)]
    assert seeds[0]["key"] != record["key"]
    other = cnnjax.load(worker.folder.run_dir(seeds[0]["key"])).variables["params"]
    drawn = [v["head"]["logits"]["kernel"] for v in (after.variables["params"], other)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0  # Each seed draws its head.


def test_a_probe_is_recorded_as_a_run_of_the_whole_net(home, worker):
    run = started(home, fine_tune="probe", learning_rate=0.5)
    record = worker.execute(run)
    assert record["status"] == "done", record["error"]
    assert record["measures"]["train_macs"]["value"] == training_macs(
        run.net, run.recipe, SHAPE, 48
    )
    again = cnnjax.load(worker.folder.run_dir(run.key))
    test = load(run.dataset).test
    saved = worker.folder.read_predictions(run.key)
    exp = np.exp(saved["logits"] - saved["logits"].max(-1, keepdims=True))
    np.testing.assert_allclose(
        again.predict(test.images), exp / exp.sum(-1, keepdims=True), rtol=1e-4, atol=1e-6
    )
    assert record["metrics"]["test_accuracy"] == np.mean(saved["logits"].argmax(-1) == test.labels)
    assert (worker.folder.run_dir(run.key) / "artifacts" / "inspection.json").exists()


def test_weights_that_changed_since_the_plan_fail_the_run(home, worker):
    run = started(home)
    changed = dataclasses.replace(run, pretrained=dataclasses.replace(run.pretrained, digest="0"))
    record = worker.execute(changed)
    assert record["status"] == "failed"
    assert "has changed since the study was planned: start it again" in record["error"]


def test_images_are_normalised_as_the_weights_saw_them(home):
    source = load(Dataset(str(home / "three.npz")))

    @dataclasses.dataclass
    class Seen:
        mean: tuple
        std: tuple

    one = pretraining.seen_as(source, Seen((0.5,), (0.25,)))
    assert (one.mean.tolist(), one.std.tolist()) == ([0.5], [0.25])
    assert one.train is source.train
    grey = pretraining.seen_as(source, Seen((0.2, 0.4, 0.6), (0.1, 0.2, 0.3)))
    np.testing.assert_allclose((*grey.mean, *grey.std), (0.4, 0.2), rtol=1e-6)


# The cost of pre-training


def test_what_weights_cost_is_given_or_known_of_an_own_run(home, tmp_path):
    macs = json.loads((home / "weights" / "record.json").read_text())["measures"]["train_macs"]
    assert pretraining.pretraining(str(home / "weights")).macs == macs["value"]
    assert pretraining.pretraining(str(home / "weights"), macs=1e15).macs == 10**15
    shutil.copytree(home / "weights", tmp_path / "copy")
    record = tmp_path / "copy" / "record.json"
    data = json.loads(record.read_text())
    data["measures"]["pretrain_macs"] = {"value": 1000, "unit": "MACs"}
    record.write_text(json.dumps(data))
    assert pretraining.pretraining(str(tmp_path / "copy")).macs == macs["value"] + 1000
    for text in ("{", "[]", "{}", '{"measures": 3}', '{"measures": {"train_macs": "x"}}'):
        record.write_text(text)
        assert pretraining.pretraining(str(tmp_path / "copy")).macs is None


# The command line


def launch(home, tmp_path, *flags, experiment="train"):
    return main(
        [f"--experiment={experiment}", f"--dataset={home / 'three.npz'}", *FLAGS,
         "--net=tests.tiny:small_net", f"--results={tmp_path}/results", *flags],
        EXPERIMENTS,
    )  # fmt: skip


def test_train_starts_from_the_flags_weights(home, tmp_path, capsys):
    flags = (f"--pretrained={home / 'weights'}", "--reinit=head", "--fine_tune=gradual",
             "--layer_decay=0.75", "--frozen_norms")  # fmt: skip
    assert launch(home, tmp_path, *flags) == 0
    said = capsys.readouterr().out
    assert "starts from" in said
    assert "SHA-256" in said
    (row,) = csv.DictReader((tmp_path / "results/train/table.csv").read_text().splitlines())
    assert row["pretrained"] == str(home / "weights")
    assert int(row["pretrain_macs"]) > 0
    (run,) = (tmp_path / "results/train/runs").iterdir()
    recipe = json.loads((run / "record.json").read_text())["config"]["recipe"]
    assert recipe["fine_tune"] == {"type": "GradualUnfreezing", "share": 0.5, "parts": 4}
    assert (recipe["layer_decay"], recipe["frozen_norms"]) == (0.75, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--pretrained=/no/such.pth", "/no/such.pth"),
        ("--reinit=head", "--reinit says how to start from weights: add --pretrained=PATH"),
        ("--pretrain_macs=1e9", "--pretrain_macs says how to start from weights: add --pretrained"),
        ("--fine_tune=prob", "unknown fine_tune 'prob': did you mean 'probe'"),
        ("--layer_decay=2", "layer_decay: 2.0 is out of range: a number from 0.001 to 1"),
        (
            "--net=squeezenet1_1 --fine_tune=probe --resolution=32",
            "a probe needs a net that ends in one",
        ),
    ],
)
def test_a_mistake_is_answered_before_anything_is_trained(home, tmp_path, capsys, flags, message):
    assert launch(home, tmp_path, *flags.split()) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("experiment", ["train", "transfer"])
def test_weights_of_a_net_that_pads_otherwise_need_the_flag_that_the_error_names(
    experiment, tmp_path
):
    """torchvision's MobileNetV2 pads on both sides alike, ours as TensorFlow does."""
    from cnnjax.study.experiment import asked, load

    shape, name, path = (32, 32, 3), "mobilenet_v2_035", tmp_path / "w.safetensors"
    net = cnnjax.get(name, 3, shape, padding="symmetric")
    cnnjax.export(net, drawn(net, shape), path, "torchvision", shape)
    data = write_dataset(tmp_path / "coloured.npz", side=32, channels=3)
    argv = [f"--dataset={data}", f"--net={name}", f"--pretrained={path}", "--batch_size=16"]
    argv += ["--sizes=16", "--ways=full"] if experiment == "transfer" else []
    with pytest.raises(UserError, match=r"holds torchvision's MobileNetV2: .*--padding=symmetric"):
        asked(load(experiment, EXPERIMENTS, argv))
    ((point,), _) = asked(load(experiment, EXPERIMENTS, [*argv, "--padding=symmetric"]))
    assert point.run.net == net
    assert "convolutions padded by --padding=symmetric" in point.run.notes
    ((same,), _) = asked(load("train", EXPERIMENTS, [f"--dataset={data}", f"--net={name}"]))
    assert same.run.net == cnnjax.get(name, 3, shape)
    assert not any("padded" in note for note in same.run.notes)
    with pytest.raises(UserError, match="padding: Residual of this net is always padded on both"):
        asked(load("train", EXPERIMENTS, [f"--dataset={data}", "--net=resnet20",
                                           "--padding=same"]))  # fmt: skip


def test_weights_of_another_net_are_refused_before_anything_is_trained(home, tmp_path, capsys):
    assert launch(home, tmp_path, f"--pretrained={home / 'weights'}") == 2  # Five classes.
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_the_transfer_study_names_what_it_needs(home, tmp_path, capsys):
    assert launch(home, tmp_path, experiment="transfer") == 2
    assert "transfer needs weights to start from: give --pretrained=PATH" in capsys.readouterr().err


def test_the_ways_differ_in_recipe_and_grid(home):
    from cnnjax.study import experiment

    argv = [f"--dataset={home / 'three.npz'}", "--net=tests.tiny:small_net", "--sizes=16,48",
            f"--pretrained={home / 'weights'}", "--ways=scratch,probe,full,gradual",
            "--batch_size=16", "--layer_decay=0.5", "--frozen_norms", "--scratch_epochs=7",
            "--probe_rates=1,2", "--fine_tune=gradual(parts=2)"]  # fmt: skip
    found = experiment.asked(experiment.load("transfer", EXPERIMENTS, argv))[0]
    runs = {tuple(dict(p.run.axes).values()): p for p in found}
    assert len(runs) == 8
    scratch, probe, full, gradual = (
        runs[w, 48].run for w in ("scratch", "probe", "full", "gradual")
    )
    assert scratch.pretrained is None
    assert (scratch.recipe.layer_decay, scratch.recipe.frozen_norms) == (1.0, False)
    assert (scratch.recipe.epochs, probe.recipe.epochs) == (7, 20)
    assert (full.recipe.layer_decay, full.recipe.frozen_norms) == (0.5, True)
    assert gradual.recipe.fine_tune.parts == 2
    assert [type(r.recipe.fine_tune).__name__ for r in (probe, full)] == [
        "LinearProbe",
        "FullTuning",
    ]
    assert runs["probe", 16].trials == trials(1.0, 2.0)
    assert runs["scratch", 16].trials == trials(0.03, 0.1, 0.3)
    assert runs["scratch", 16].run.dataset.train_examples == 16
    argv += ["--ways=probe", "--resolution=48", "--rivals=tests.tiny:small_net"]
    *_, rival = experiment.asked(experiment.load("transfer", EXPERIMENTS, argv))[0]
    assert rival.run.image_shape == (8, 8, 1)  # As they come.
    assert (rival.run.label, dict(rival.run.axes)["way"]) == (
        "tests.tiny:small_net",
        "scratch: tests.tiny:small_net",
    )
    assert (rival.run.pretrained, rival.trials) == (None, trials(0.03, 0.1, 0.3))
    fixed, _ = experiment.asked(
        experiment.load("transfer", EXPERIMENTS, [*argv, "--learning_rate=3"])
    )
    assert {p.trials for p in fixed} == {trials(3.0)}


# The front door


def test_fit_goes_on_from_what_load_pretrained_gives(home):
    from cnnjax.transfer.pretrained import load_pretrained

    net = small_net(3)
    given = load_pretrained(net, home / "weights", input_shape=SHAPE, reinit="head")
    data = str(home / "three.npz")
    trained = cnnjax.fit(net, data, pretrained=given, fine_tune="probe", epochs=2, batch_size=16,
                         devices=1)  # fmt: skip
    assert trained.model.mean == pytest.approx(tuple(given.preprocess.mean))
    for a, b in zip(*(jax.tree.leaves(v["params"]["stage1"])
                      for v in (given.variables, trained.variables)), strict=True):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    found = trained.evaluate(data, "val")
    assert found["accuracy"] == pytest.approx(trained.history[-1]["val_accuracy"])
    assert found["loss"] == pytest.approx(trained.history[-1]["val_loss"], rel=1e-4)
    with pytest.raises(
        UserError, match=r"'w\.pth' is no net's weights: give what cnnjax\.load_pre"
    ):
        cnnjax.fit(net, data, pretrained="w.pth")
    with pytest.raises(UserError, match="the weights to start from are another net's: "):
        cnnjax.fit(small_net(4), data, pretrained=given, batch_size=16, devices=1)


def test_a_note_says_where_a_run_starts():
    given = Pretraining("0123456789abcdef" * 4, ("head", "neck"), "w.pth")
    assert given.told == "starts from w.pth (SHA-256 0123456789ab…)"
    assert given.content == Pretraining(given.digest, given.reinit)
