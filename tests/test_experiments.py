"""Every shipped experiment, shrunk to a few steps, from the command line to its dashboard."""

import csv
import json
from pathlib import Path

import pytest

import cnnjax
from cnnjax import Dataset
from cnnjax.cli.main import main
from tests.tiny import FLAGS, least_net, write_dataset

FOLDER = Path(__file__).parent.parent / "experiments"
SMALLER = {
    "filter_size": ["--kernel_sizes=1,3"],
    "width": ["--widths=0.5,1"],
    "doubling": [
        "--axes=width,resolution,length",
        "--factors=0.5,1,2",
        "--equal=dilation,pooling",
        "--tolerance=0.3",
    ],
    "resolution": ["--resolutions=8,12"],
    "depth": ["--depths=1", "--width=0.25", "--noinspect"],
    "dilation": ["--dilations=1,2", "--noinspect"],
    "train": ["--activation=gelu", "--kernel=2"],
    "throughput": ["--nets=tests.tiny:least_net", "--seconds=30"],
    "scaling": ["--devices=1,2", "--seconds=1"],
    "benchmark": ["--nets=lenet5", "--batches=16", "--seconds=1", "--peers=flax"],
    "activation": ["--activations=relu,tanh", "--train_error=0.9"],
    "connectivity": ["--kinds=conv,local,full"],
    "pooling": ["--kinds=max,avg,stride"],
    "stem": ["--stems=5/2,3/1"],
    "stack": ["--sizes=3,5"],
    "transfer": [
        "--sizes=16,32",
        "--ways=scratch,probe,full,gradual",
        "--rivals=tests.tiny:least_net",
    ],
    "design_space": [
        "--spaces=one: kernel=1..3; mixed: kernel=1|3 per stage, width=0.5..2",
        "--count=2",
        "--macs=1k..10M",
    ],
    "claims": ["--claims=pooling,transfer"],
    "lineage": ["--nets=lenet5,tests.tiny:least_net", "--macs=200000", "--resolution=32"],
}
MEASURING = {  # They train nothing.
    "throughput": "latency_ms",
    "scaling": "images_per_second",
    "benchmark": "cnnjax_train_step_ms",
}
NAMES = sorted(p.stem for p in FOLDER.glob("*.py"))


def test_every_experiment_is_tried():
    assert set(SMALLER) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_runs_from_flags_to_dashboard(name, tmp_path, capsys):
    # Cluttered digits' smallest canvas: three pools still leave a map.
    data = write_dataset(tmp_path / "tiny.npz", side=12)
    flags = [f"--experiment={name}", f"--dataset={data}", f"--results={tmp_path}/results"]
    flags += [*(f for f in FLAGS if name != "scaling" or "devices" not in f), *SMALLER[name]]
    if name != "depth":
        flags += ["--net=tests.tiny:least_net"]
    if name in ("claims", "transfer"):
        recipe = {"epochs": 1, "batch_size": 16, "devices": 1}
        net = least_net(3 if name == "transfer" else 2)
        known = Dataset(data, classes=() if name == "transfer" else (0, 1))
        cnnjax.fit(net, known, **recipe).save(tmp_path / "weights")
        flags += [f"--pretrained={tmp_path / 'weights'}", "--pretrain_macs=1e9"]
    assert main(flags, FOLDER) == 0
    said = capsys.readouterr().out
    folder = tmp_path / "results" / name
    page = (folder / "dashboard.html").read_text()
    question = json.loads((folder / "study.json").read_text())["question"]
    assert question.split("?")[0] in page
    assert question in said or question.split("?")[0] in said
    assert (folder / "report.md").stat().st_size > 100
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert rows
    assert {row["status"] for row in rows} == {"done"}
    if name in MEASURING:
        measure = MEASURING[name]
        assert all(float(row[measure]) > 0 and not row["test_accuracy"] for row in rows)
    else:
        assert all(float(row["train_macs"]) > 0 for row in rows)

    assert main(flags, FOLDER) == 0
    left = "measure" if name in MEASURING else "train"
    assert f"nothing left to {left}" in capsys.readouterr().out
    assert main([*flags, "--dry_run", "--seeds=3"], FOLDER) == 0
    plan = capsys.readouterr().out
    said = "measurements to make" if name in MEASURING else "times the seeds' standard deviation"
    assert said in plan
    assert "1 of 3" not in plan  # Two of three seeds are still to be trained.
