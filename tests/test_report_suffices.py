"""Records, curves, predictions and artifacts hold all that the analysis needs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cnnjax import report
from cnnjax.cli import main as cli
from tests import synthetic_results as synthetic
from tests.tiny import FLAGS, write_dataset

FOLDER = Path(__file__).parent.parent / "experiments"
KEPT = {"record.json", "curve.jsonl", "predictions.npz", "artifacts"}
PAGES = ("table.csv", "report.md", "dashboard.html")


def pages(path):
    report.write(path)
    return [(path / name).read_bytes() for name in PAGES]


@pytest.mark.slow
def test_the_analysis_needs_no_checkpoint(tmp_path, capsys):
    data = write_dataset(tmp_path / "tiny.npz", side=8)
    flags = ["--experiment=width", f"--dataset={data}", "--widths=1,2", f"--results={tmp_path}/r"]
    flags += [*FLAGS, "--seeds=2", "--net=tests.tiny:least_net", "--inspect"]
    assert cli.main(flags, FOLDER) == 0
    path = tmp_path / "r" / "width"
    before = pages(path)
    removed = []
    for run in (path / "runs").iterdir():
        for item in run.iterdir():
            if item.name not in KEPT:
                removed.append(item.name)
                shutil.rmtree(item) if item.is_dir() else item.unlink()
    assert removed  # Else nothing was tried.
    assert pages(path) == before
    for run in (path / "runs").iterdir():
        record = json.loads((run / "record.json").read_text())
        right = np.load(run / "predictions.npz")
        share = (right["logits"].argmax(-1) == right["label"]).mean()
        assert share == pytest.approx(record["metrics"]["test_accuracy"])


def test_a_dry_run_counts_its_comparisons_and_uses_the_results_spread(
    tmp_path, capsys, monkeypatch
):
    data = write_dataset(tmp_path / "tiny.npz", side=8)
    flags = ["--experiment=width", f"--dataset={data}", "--widths=1,2,3", f"--results={tmp_path}/r"]
    flags += [*FLAGS, "--seeds=5", "--net=tests.tiny:least_net", "--dry_run"]
    assert cli.main(flags, FOLDER) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    least = least_of(3, 5, 2)
    assert line.startswith("With 5 seeds and 2 comparisons a difference is found, four times in")
    assert line.endswith(f"(at 1 point between seeds: {least:.1f} points).")
    points = [(w, w * 1e6, 0.5 + 0.1 * w) for w in (1, 2, 3)]
    made = {"question": "?", "x": {"axis": "width", "label": "width"}, "series": None}
    monkeypatch.setitem(synthetic.STUDIES, "width", made | {"points": [points]})
    folder = synthetic.write(tmp_path / "r" / "width", "width")
    sd = 100 * report.gather.summarise(folder.load()).spread.sd
    assert cli.main(flags, FOLDER) == 0
    line = capsys.readouterr().out.strip().splitlines()[-1]
    expected = f"(at {sd:.3g} points between seeds, as in the results so far: {least * sd:.1f} "
    assert expected in line
    assert cli.main([*flags, "--seeds=1"], FOLDER) == 0
    assert "One seed shows no spread" in capsys.readouterr().out


def least_of(groups, seeds, comparisons):
    """From the noncentral t: the gap that Holm's first step finds, in standard deviations."""
    import scipy.stats

    df = groups * (seeds - 1)
    bound = scipy.stats.t.ppf(1 - 0.025 / comparisons, df)
    gaps = np.linspace(1, 5, 4001)
    power = 1 - scipy.stats.nct.cdf(bound, df, gaps / np.sqrt(2 / seeds))
    return gaps[np.argmax(power >= 0.8)]
