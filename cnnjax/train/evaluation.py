"""How well a net does on a split."""

from typing import NamedTuple

import numpy as np

from cnnjax.data.source import Split, Stream
from cnnjax.train.devices import Devices
from cnnjax.train.program import Program, predict
from cnnjax.train.step import State


class Evaluation(NamedTuple):
    """Loss and accuracy by name, float32 logits [N, classes] and labels [N]."""

    metrics: dict[str, float]
    logits: np.ndarray
    labels: np.ndarray


def evaluate(
    program: Program, devices: Devices, state: State, split: Split | Stream, name: str
) -> Evaluation:
    """How the net does on a split, each example once.

    Raises:
      UserError: a streamed image that can't be decoded, or a process that died.
    """
    weights = (state.variables["params"], state.variables["batch_stats"])
    logits, labels = predict(program.infer, weights, split, devices, program.batch_size)
    accuracy = float((logits.argmax(-1) == labels).mean())
    metrics = {f"{name}_loss": _loss(logits, labels), f"{name}_accuracy": accuracy}
    return Evaluation(metrics, logits, labels)


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy; here, since `step.cross_entropy` would be compiled for each split."""
    with np.errstate(invalid="ignore"):  # Of logits that are no numbers it is none.
        below = logits.astype(np.float64) - logits.max(-1, keepdims=True)
        return float((np.log(np.exp(below).sum(-1)) - below[np.arange(len(labels)), labels]).mean())
