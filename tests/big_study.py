"""Studies of thousands of runs, made in seconds: every record and curve is its own, predictions are
shared among the runs of much the same accuracy.

`python -m tests.big_study FOLDER [RUNS]` writes both kinds with their dashboards.
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np

from cnnjax.study.results import Folder
from tests import synthetic_results as synthetic

SEEDS, CLASSES, EXAMPLES = 5, 10, 1500


def along(points):
    """A study of two series along a long numeric axis."""
    widths = range(1, points // 2 + 1)
    return {
        "question": "What does width buy, step by step?",
        "x": {"axis": "width", "label": "width (filters)"},
        "series": ["plain", "residual"],
        "points": [
            [(w, 4e4 * w, 0.55 + lift + 0.04 * math.log2(w)) for w in widths]
            for lift in (0.0, 0.02)
        ],
    }


def spaces(points):
    """A study of two design spaces."""
    made = synthetic.STUDIES["design_space"]
    some = [
        synthetic.nets(best, macs, points // 2) for best, macs in ((0.70, 0.6e6), (0.76, 0.7e6))
    ]
    return made | {"points": some}


KINDS = {"along": along, "spaces": spaces}


def write(path, kind="along", runs=5000, seeds=SEEDS, epochs=12):
    """Write a study of so many finished runs, without tuning, and return its folder."""
    study = KINDS[kind](runs // seeds)
    axis = study.get("axis") or study["x"]["axis"]
    folder = Folder(path)
    folder.create({
        "experiment": kind, "question": study["question"], "x": study["x"],
        "series": "series", "axes": ["series", axis],
    })  # fmt: skip
    points = []
    for name, row in zip(study["series"], study["points"], strict=True):
        for x, macs, truth in row:
            place = {"series": name, axis: x}
            keys = [synthetic.key(kind, name, x, seed) for seed in range(seeds)]
            for seed, key in enumerate(keys):
                _run(folder, kind, key, place, x, macs, truth, seed, epochs)
            points.append({
                "net": f"net{x}", "axes": place, "notes": [], "learning_rate": 0.1, "tune": [],
                "runs": keys, "seeds": seeds,
            })  # fmt: skip
    folder.add_plan({
        "time": synthetic.TIME.format(0), "command": f"python launch.py --experiment={kind}",
        "flags": {"experiment": kind, "seeds": seeds}, "quick": False, "points": points,
    })  # fmt: skip
    return folder


def _run(folder, kind, key, place, x, macs, truth, seed, epochs):
    # Not by the folder's own writing, which waits for the disk at every file.
    record, curve, _ = synthetic.run(
        kind,
        key,
        "replicate",
        f"net{x}",
        place,
        x,
        macs,
        truth,
        0.1,
        seed,
        epochs=epochs,
        answers=False,
    )
    home = folder.run_dir(key)
    home.mkdir()
    (home / "record.json").write_text(json.dumps(record))
    (home / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
    answered = round(record["metrics"]["test_accuracy"], 2)
    shared = folder.path / f".{answered}.npz"
    if not shared.exists():
        rng = np.random.default_rng(round(100 * answered))
        made = synthetic.predictions(rng, answered, False, EXAMPLES)
        np.savez(shared, **made)
    (home / "predictions.npz").hardlink_to(shared)


if __name__ == "__main__":
    from cnnjax import report

    for kind in KINDS:
        made = write(Path(sys.argv[1]) / kind, kind, *map(int, sys.argv[2:]))
        began = time.process_time()
        report.write(made.path)
        size = (made.path / "dashboard.html").stat().st_size
        print(f"{kind}: {time.process_time() - began:.1f} CPU s, {size / 1e6:.1f} MB")
