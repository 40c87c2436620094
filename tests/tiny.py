"""A dataset and a net small enough to train in a test."""

from pathlib import Path

import numpy as np

from cnnjax.nets.blocks import Plain, Residual
from cnnjax.nets.net import Head, Net, Stage
from cnnjax.nets.pools import Pool
from cnnjax.nets.shortcuts import PadShortcut
from cnnjax.study.tuning import Trial

FLAGS = ("--epochs=1", "--seeds=1", "--batch_size=16", "--learning_rate=0.1", "--devices=1",
         "--executor=inline")  # fmt: skip


def trials(*rates: float) -> tuple[Trial, ...]:
    """Learning rates to try."""
    return tuple(Trial((("learning_rate", rate),)) for rate in rates)


def write_dataset(path: Path, side: int = 8, classes: int = 3, channels: int = 1) -> str:
    """A `.npz` whose classes differ by a bright corner; its name as a dataset."""
    draws = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 48), ("val", 20), ("test", 20)):
        labels = np.arange(n) % classes
        images = draws.integers(0, 100, (n, side, side, channels), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[3 * label : 3 * label + 2, :3] += 120
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
    np.savez(path, **arrays)
    return str(path)


def small_net(classes: int = 3, input_shape: tuple[int, int, int] = (8, 8, 1)) -> Net:
    """Everything that could go wrong in a few parameters: norm, shortcut, stride, pool, dropout."""
    return Net(
        stem=Stage(Plain(4), pool=Pool()),
        stages=(Stage(Residual(4, shortcut=PadShortcut())), Stage(Residual(6), stride=2)),
        head=Head(classes, hidden=(8,), dropout=0.5),
    )


def least_net(classes: int = 3, input_shape: tuple[int, int, int] = (8, 8, 1)) -> Net:
    """A norm, a pool and two layers: for what is about the study and trains many nets, since it
    compiles in half the time."""
    return Net(stem=Stage(Plain(4), pool=Pool()), stages=(Stage(Plain(6)),), head=Head(classes))
