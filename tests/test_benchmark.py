"""The benchmark beside other frameworks: its experiment, its instrument, and what is told of it."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from cnnjax import nets
from cnnjax.cli.main import main
from cnnjax.data import Dataset
from cnnjax.errors import UserError
from cnnjax.nets import vary
from cnnjax.peers import Program, Programs, own, plain_flax, versus
from cnnjax.peers import study as by_hand
from cnnjax.peers.study import Sweep
from cnnjax.peers.whole import WholeStudy
from cnnjax.report import measured
from cnnjax.report import versus as told_of
from cnnjax.report.charts import every
from cnnjax.study.results import Folder
from cnnjax.train.devices import local
from tests.test_report import told

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    command = ["--experiment=benchmark", "--quick", "--devices=1", "--peers=flax", "--seconds=1"]
    assert main([*command, f"--results={results}"], EXPERIMENTS) == 0
    return Folder(results / "benchmark")


def test_it_measures_ours_beside_plain_flax(study):
    (record,) = study.load().records.values()
    assert record.status == "done"
    for who in ("cnnjax", "flax"):
        for program in ("train_step", "inference"):
            low, middle, high = (
                record.measures[f"{who}_{program}_{name}"] for name in ("q1_ms", "ms", "q3_ms")
            )
            assert 0 < low <= middle <= high
            assert record.measures[f"{who}_{program}_compile_seconds"] > 0
            assert record.measures[f"{who}_{program}_temp_bytes"] > 0
            assert record.measures[f"{who}_{program}_repeats"] >= versus.LEAST
    found = told(study)
    head, text, _ = measured.told(found.summary)[0]
    assert head == "Beside plain Flax"
    mine, theirs = (record.measures[f"{who}_train_step_ms"] for who in ("cnnjax", "flax"))
    assert f"a training step takes {mine / theirs:.2f}× its time" in text
    assert next(c.name for c in every(found, [])) == "versus"


def test_ratios_are_of_medians_and_their_mean_is_geometric(study):
    (row,) = told(study).summary.rows
    row.readings.update({"cnnjax_train_step_ms": 2.0, "torch_train_step_ms": 4.0})
    assert told_of.ratio(row, "torch", "train_step") == 0.5
    assert told_of.ratio(row, "keras", "train_step") is None

    class Two:
        rows = (row, row)

    mean, n = told_of.over_all(Two, "torch", "train_step")
    assert (mean, n) == (pytest.approx(math.sqrt(0.5 * 0.5)), 2)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--peers=pytorch"], "unknown peer 'pytorch': did you mean 'torch'?"),
        (["--nets=resnet21"], "unknown net of the benchmark 'resnet21': did you mean 'resnet20'?"),
        (["--batches=0"], "--batches"),
    ],
)
def test_what_is_not_in_the_list_is_named_with_its_nearest(flags, error, tmp_path, capsys):
    assert main(["--experiment=benchmark", *flags, f"--results={tmp_path}"], EXPERIMENTS) == 2
    assert error in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named_and_the_rest_measured(tmp_path, monkeypatch):
    monkeypatch.setitem(versus.PEERS, "torch", ("pytorch", "eager", ("no_such_package",)))
    command = ["--experiment=benchmark", "--quick", "--devices=1", "--peers=torch", "--seconds=1"]
    assert main([*command, f"--results={tmp_path}"], EXPERIMENTS) == 0
    study = Folder(tmp_path / "benchmark")
    note = "torch is absent: no_such_package is not installed"
    assert note in study.load().plan.points[0].notes
    assert ("Absent", note, "note") in measured.told(told(study).summary)
    assert "cnnjax_train_step_ms" in next(iter(study.load().records.values())).measures


def test_a_peer_that_breaks_is_told_of_once_and_the_rest_measured(monkeypatch):
    def programs(peer, *_):
        if peer == "torch":
            raise UserError("it can't be imported: no torch")
        return Programs(*[lambda: Program(lambda count: None)] * 2)

    monkeypatch.setattr(versus, "_programs", programs)
    instrument = versus.Versus(32, 0.0, ("cnnjax", "torch"))
    first, second = instrument.readings(nets.get("lenet5", 10), (32, 32, 3), local(count=1))
    assert first.remark == "torch: it can't be imported: no torch" and not second.remark
    assert "cnnjax_train_step_ms" in first.measures and "cnnjax_inference_ms" in second.measures


@pytest.mark.parametrize("seconds, times", [(100.0, versus.MADE), (0.0, 1)])
def test_what_compiles_anew_is_made_in_turn_and_its_median_told(seconds, times):
    order = []

    def programs(peer, took, anew):
        def make():
            order.append(peer)
            return Program(lambda count: None, next(took))

        return Programs(make, make, anew)

    able = {
        "cnnjax": programs("cnnjax", iter([9.0, 1.0, 2.0]), True),
        "torch_compile": programs("torch_compile", iter([30.0]), False),
        "flax": programs("flax", iter([5.0, 4.0, 6.0]), True),
        "torch": Programs(lambda: Program(lambda count: None), None, True),
    }
    found = versus._made(able, "train_step", seconds, [], lambda: False)
    told = {peer: program.compile_seconds for peer, program in found.items()}
    cnnjax, flax = (2.0, 5.0) if times > 1 else (9.0, 5.0)
    assert told == {"cnnjax": cnnjax, "torch_compile": 30.0, "flax": flax, "torch": None}
    assert order == ["cnnjax", "torch_compile", "flax", *["cnnjax", "flax"] * (times - 1)]


def test_one_device_alone_is_compared():
    with pytest.raises(UserError, match="of one device: --devices=1"):
        versus.Versus().check(local(count=2))


def test_peers_take_turns_and_each_begins_warm():
    """What another left in the caches is not timed: every timing has a call before it."""
    calls = []
    made = {
        name: Program(lambda count, name=name: calls.append((name, count))) for name in ("a", "b")
    }
    times = versus._rounds(made, 0.0, lambda: False)
    assert {name: len(t) for name, t in times.items()} == {"a": versus.LEAST, "b": versus.LEAST}
    rounds = calls[4:]  # The first call and its timing, of each.
    assert [name for name, _ in rounds[:8]] == ["a", "a", "b", "b"] * 2
    assert [count for _, count in rounds[:4]][::2] == [1, 1]


def test_every_net_of_the_list_is_there():
    from experiments import benchmark

    for name, (base, axes) in benchmark.LIST.items():
        assert nets.get(base, 10, benchmark.SHAPE, **axes), name


SWEEP = Sweep(
    (vary.kernel(nets.get("vgg4_slim", 10, (32, 32, 1)), 1),),
    Dataset("cluttered_digits", train_examples=500), seeds=1, epochs=1,
)  # fmt: skip
SHORT = (
    "--experiment=filter_size", "--kernel_sizes=1", "--base_kernel=1", "--seeds=1", "--epochs=1",
    "--train_examples=500", "--batch_size=32", "--learning_rate=0.2",
)  # fmt: skip


@pytest.mark.slow
def test_a_whole_study_is_timed_beside_a_loop_written_by_hand():
    launcher = str(EXPERIMENTS.parent / "launch.py")
    whole = WholeStudy(SWEEP, (launcher, *SHORT), ("cnnjax", "flax"))
    (reading,) = whole.readings(SWEEP.nets[0], (32, 32, 1), local(count=1))
    assert all(reading.measures[f"{peer}_study_ms"] > 1000 for peer in ("cnnjax", "flax"))
    assert set(reading.measures) <= set(whole.units)
    assert re.fullmatch(r"mean test accuracies: cnnjax \d+\.\d%, flax \d+\.\d%", reading.remark)
    assert re.fullmatch(r"cnnjax \d+ s, flax \d+ s", whole.told(reading.measures))


def test_the_steps_of_a_study_are_those_of_all_its_trainings():
    longer = dataclasses.replace(SWEEP, nets=SWEEP.nets * 2, seeds=3, epochs=4)
    assert WholeStudy(SWEEP, (), ("cnnjax",)).steps == 500 // 32
    twice = WholeStudy(longer, (), ("cnnjax", "flax"))  # The first goes last as well.
    assert twice.steps == 3 * 2 * 3 * 4 * (500 // 32)


def test_the_first_of_a_study_is_timed_before_and_after_the_others(monkeypatch):
    seconds = iter([10.0, 7.0, 9.0, 12.0])
    turns = []

    def timed(self, peer, folder):
        turns.append(peer)
        return next(seconds), [0.5, 0.7]

    monkeypatch.setattr(WholeStudy, "_timed", timed)
    whole = WholeStudy(SWEEP, (), ("cnnjax", "flax", "torch"))
    (reading,) = whole.readings(SWEEP.nets[0], (32, 32, 1), local(count=1))
    assert turns == ["cnnjax", "flax", "torch", "cnnjax"]
    assert reading.measures["cnnjax_study_ms"] == 11000
    assert reading.measures["torch_study_ms"] == 9000
    assert reading.measures["cnnjax_study_repeats"] == 2
    assert reading.remark == "mean test accuracies: cnnjax 60.0%, flax 60.0%, torch 60.0%"


def test_a_study_that_breaks_says_what_it_said_last():
    whole = WholeStudy(SWEEP, ("-c", "raise SystemExit('no room')"), ("cnnjax",))
    with pytest.raises(UserError, match="broke: no room"):
        next(whole.readings(SWEEP.nets[0], (32, 32, 1), local(count=1)))
    assert list(whole.readings(None, (32, 32, 1), local(count=1), stop=lambda: True)) == []


def test_a_sweep_by_hand_trains_every_net_from_every_seed_for_one_cycle():
    asked, rates = [], []

    def start(net, shape, seed):
        asked.append((net, shape, seed))

        def train(images, labels, rate):
            assert images.shape == (32, 32, 32, 1) and labels.shape == (32,)
            rates.append(rate)

        return train, lambda images: np.zeros(len(images), np.int64)

    sweep = dataclasses.replace(SWEEP, seeds=2, epochs=2)
    found = list(by_hand.run(sweep, start))
    assert [seed for *_, seed in asked] == [0, 1] and len(rates) == 2 * 2 * (500 // 32)
    assert found == [pytest.approx(0.1, abs=0.05)] * 2  # Of ten classes one is always right.
    assert max(rates) == pytest.approx(0.2, rel=0.05) and rates[-1] < 0.01
    assert by_hand.cycle(0.0) == 0.04 and by_hand.cycle(0.1) == 1.0
    assert by_hand.cycle(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("peer", [own, plain_flax])
def test_what_is_made_again_is_compiled_again(peer):
    net = vary.width(nets.get("vgg4_slim", 10, (8, 8, 1)), 0.5)
    programs = peer.make(net, (8, 8, 1), 4)
    for make in (programs.train_step, programs.inference):
        make()  # With what is imported and made once.
        one, other = (make().compile_seconds for _ in range(2))
        assert 0.1 * one < other < 10 * one  # What JAX knows already takes a thousandth.
        assert min(one, other) > 0.02
