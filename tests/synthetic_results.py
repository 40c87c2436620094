"""Results folders with planted truth, as an executor would leave them; for the report's tests.

`python -m tests.synthetic_results FOLDER` writes one of each kind with its dashboard.
"""

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np

from cnnjax.study.results import Folder

RATES = (0.05, 0.1, 0.2)
TIME = "2026-11-22T17:{:02d}:00+00:00"


def key(*parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def nets(best, macs, count=24):
    """(number, MACs, accuracy) of a sample: 5 points a doubling of MACs, best at the middle, and
    as much again by chance."""
    rng = np.random.default_rng(round(1e3 * best))
    ratios, luck = rng.uniform(-1.5, 1.5, count), rng.normal(0, 0.03, count)
    return [(i + 1, macs * 2**r, best + 0.05 * r + e)
            for i, (r, e) in enumerate(zip(ratios, luck, strict=True))]  # fmt: skip


STUDIES = {
    "filter_size": {
        "question": "What does a larger filter buy, and is it worth its compute?",
        "x": {"axis": "kernel_size", "label": "kernel size (pixels)"},
        "series": ["fixed width", "equal MACs"],
        "points": [
            [(1, 0.48e6, 0.101), (3, 2.9e6, 0.742), (5, 7.8e6, 0.789), (7, 15.1e6, 0.795)],
            [(1, 2.8e6, 0.104), (3, 2.9e6, 0.742), (5, 2.95e6, 0.731), (7, 2.84e6, 0.672)],
        ],
    },
    "depth": {
        "question": "How deep before depth stops paying, with and without shortcuts?",
        "x": {"axis": "depth", "label": "depth (layers)"},
        "series": ["plain", "residual"],
        "points": [
            [(8, 6e6, 0.71), (14, 12e6, 0.755), (20, 18e6, 0.752), (32, 31e6, 0.701)],
            [(8, 6.1e6, 0.712), (14, 12.1e6, 0.768), (20, 18.2e6, 0.789), (32, 31.3e6, 0.801)],
        ],
    },
    "dilation": {
        "question": "Does a dilated filter do the work of a larger one?",
        "x": {"axis": "filter", "label": "filter"},
        "series": None,
        "points": [
            [("3×3", 2.9e6, 0.742), ("3×3 dilated 2", 2.9e6, 0.655),
             ("3×3 dilated 3", 2.9e6, 0.62), ("5×5", 7.8e6, 0.789), ("7×7", 15.1e6, 0.795)],
        ],
    },
    "design_space": {
        "question": "Which design space holds better nets?",
        "x": None,
        "axis": "number",
        "series": ["narrow", "wide"],
        "points": [nets(0.70, 0.6e6), nets(0.76, 0.7e6)],
    },
    "train": {
        "question": "How well does one net do?",
        "x": None,
        "series": None,
        "points": [[(None, 40.8e6, 0.897)]],
    },
}  # fmt: skip


def write(path, experiment="filter_size", seeds=5, quick=False, done=1.0, spoil=None, tune=True):
    """Write a study and return its `Folder`.

    `done` is the share of runs that have finished; `spoil(record, number)` may change a record
    before it is written, or return None to leave the run out.
    """
    study = STUDIES[experiment]
    folder = Folder(path)
    axis = study.get("axis") or (study["x"] and study["x"]["axis"])
    names = study["series"] or [None]
    axes = [*(["series"] if study["series"] else []), *([axis] if axis else [])]
    folder.create({
        "experiment": experiment, "question": study["question"], "x": study["x"],
        "series": "series" if study["series"] else None, "axes": axes,
    })  # fmt: skip
    points, jobs = [], {}
    for name, row in zip(names, study["points"], strict=True):
        for x, macs, truth in row:
            place = {"series": name} if name else {}
            place |= {axis: x} if axis else {}
            net = "vgg4_slim" if experiment != "depth" else f"resnet{x}"
            rates = RATES if tune else ()
            tuned = {key(experiment, macs, truth, "tune", r): (r, 0) for r in rates}
            runs = {key(experiment, macs, truth, "seed", s): (0.1, s) for s in range(seeds)}
            for role, some in (("tune", tuned), ("replicate", runs)):
                for k, (rate, seed) in some.items():
                    jobs[k] = (role, net, place, axis and x, macs, truth, rate, seed)
            points.append({
                "net": net, "axes": place, "notes": [], "learning_rate": 0.1,
                "tune": list(tuned), "runs": list(runs), "seeds": seeds,
            })  # fmt: skip
    folder.add_plan({
        "time": TIME.format(0), "command": f"python launch.py --experiment={experiment}",
        "flags": {"experiment": experiment, "seeds": seeds}, "quick": quick, "points": points,
    })  # fmt: skip
    ordered = sorted(jobs, key=lambda k: jobs[k][0] != "tune")
    for number, k in enumerate(ordered[: round(done * len(ordered))]):
        record, curve, predictions = run(experiment, k, *jobs[k], quick=quick)
        record = spoil(record, number) if spoil else record
        if record is None:
            continue
        folder.write_record(k, record)
        for row in curve[: record["epochs_done"]]:
            folder.append_curve(k, row)
        if record["role"] == "replicate" and record["status"] == "done":
            folder.write_predictions(k, **predictions)
    return folder


def run(experiment, k, role, net, place, x, macs, truth, rate, seed, quick=False, epochs=12,
        answers=True):  # fmt: skip
    """One run's record, curve and predictions, drawn about its planted accuracy."""
    rng = np.random.default_rng(int(k, 16))
    flat = truth < 0.15
    truth = truth - (0 if flat else 0.05 * math.log2(rate / 0.1) ** 2)
    test = float(np.clip(truth + rng.normal(0, 0.002 if flat else 0.009), 0, 1))
    val = float(np.clip(truth + 0.004 + rng.normal(0, 0.002 if flat else 0.009), 0, 1))
    train = float(
        np.clip(test + (0.0 if flat else 0.05 + 0.1 * math.log10(macs / 1e6) / 1.2), 0, 1)
    )
    curve = []
    for epoch in range(1, epochs + 1):
        share = 1 if flat else 1 - math.exp(-(1.6 if macs > 2.85e6 else 0.7) * epoch / 4)
        v = 0.1 + (val - 0.1) * share + rng.normal(0, 0.004)
        curve.append({
            "epoch": epoch, "step": 46 * epoch, "train_loss": 2.3 - 2 * (v - 0.1),
            "train_accuracy": min(v + 0.02, 1), "val_loss": 2.3 - 1.9 * (v - 0.1),
            "val_accuracy": v, "learning_rate": rate * (1 - epoch / (epochs + 1)), "seconds": 1.2,
        })  # fmt: skip
    train_macs = 3 * macs * 6000 * epochs
    number = {"value": None, "unit": ""}
    record = {
        "format": 1, "key": k, "experiment": experiment, "status": "done", "role": role,
        "quick": quick, "net": net, "adapted": False, "axes": place,
        "dataset": "cluttered_digits", "seed": seed,
        "config": {"net": {"type": "Net"}, "recipe": {"learning_rate": rate, "epochs": epochs}},
        "measures": {
            "params": {"value": int(macs / 90), "unit": "parameters"},
            "macs": {"value": int(macs), "unit": "multiply-accumulates"},
            "activations": {"value": int(macs / 40), "unit": "elements"},
            "receptive_field": number | {"value": 8 * x + 5 if isinstance(x, int) else 61,
                                         "unit": "pixels"},
            "train_macs": {"value": int(train_macs), "unit": "multiply-accumulates"},
        },
        "layers": [
            {"layer": f"stage{s}/block{b}/conv", "kind": "conv",
             "output": [32 // s, 32 // s, 8 * s], "params": int(macs / 500),
             "macs": int(macs / 7), "activations": 8192 // s,
             "receptive_field": 3 + 2 * b + 8 * s}
            for s in (1, 2, 3) for b in (1, 2)
        ],
        "metrics": {
            "train_accuracy": train, "val_accuracy": val,
            "test_accuracy": test if role == "replicate" else None,
            "train_loss": 1 - train, "val_loss": 1.1 - val,
            "test_loss": 1.1 - test if role == "replicate" else None,
        },
        "timings": {"train_seconds": 4 + macs / 1e6, "compile_seconds": 3.1,
                    "evaluate_seconds": 0.4, "total_seconds": 8 + macs / 1e6},
        "versions": {"python": "3.11.9", "jax": "0.10.2", "flax": "0.12.8", "cnnjax": "0.1.0"},
        "revision": "4f2c1ab",
        "hardware": {"devices": "2 × cpu", "kind": "cpu", "cores": 2, "host": "bench"},
        "data": {"classes": 10, "train_examples": 6000, "val_examples": 1000,
                 "test_examples": 1500, "notes": []},
        "error": None, "started": TIME.format(1), "finished": TIME.format(2), "epochs_done": epochs,
    }  # fmt: skip
    return record, curve, predictions(rng, test, flat, 1500) if answers else None


def predictions(rng, accuracy, flat, n):
    """Larger digits are easier, more clutter harder; the mean is the accuracy."""
    examples = np.random.default_rng(0)  # The same test set for every run.
    scale, clutter = examples.uniform(12, 23, n).round(1), examples.integers(4, 9, n)
    label = examples.integers(0, 10, n)
    tilt = 0 if flat else 0.25 * (scale - 17.5) / 11 - 0.03 * (clutter - 6)
    right = rng.uniform(size=n) < np.clip(accuracy + tilt, 0, 1)
    guess = np.where(right, label, (label + rng.integers(1, 10, n)) % 10)
    logits = np.eye(10, dtype=np.float32)[guess] * 3
    return {"index": np.arange(n), "label": label, "logits": logits,
            "extra_scale": scale, "extra_clutter": clutter}  # fmt: skip


if __name__ == "__main__":
    from cnnjax import report

    for name in STUDIES:
        report.write(write(Path(sys.argv[1]) / name, name).path, plots=True)
        print(report.answer(Path(sys.argv[1]) / name, width=100))
