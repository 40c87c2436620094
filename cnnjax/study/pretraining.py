"""Where a training starts from: weights of another training, known by their content."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.data.source import Source
from cnnjax.errors import UserError
from cnnjax.study import files
from cnnjax.study.untrusted import number
from cnnjax.values import value


@value
class Pretraining:
    """Weights to start from, and the scopes that are drawn anew.

    `digest` is the SHA-256 of their content. `source` is what the user calls them, and `macs` what
    it cost to train them, where that is known; neither is any part of what a training is.
    """

    digest: str
    reinit: tuple[str, ...] = ()
    source: str = ""
    macs: int | None = None

    @property
    def content(self) -> "Pretraining":
        """Without what does not make it another training."""
        return dataclasses.replace(self, source="", macs=None)

    @property
    def told(self) -> str:
        """`starts from weights.pth (SHA-256 0123456789ab…)`"""
        return f"starts from {self.source} (SHA-256 {self.digest[:12]}…)"


def pretraining(
    source: str | None, reinit: Sequence[str] = (), macs: float | None = None
) -> Pretraining | None:
    """What the flags ask for; a run of the project's own knows what it cost.

    Raises:
      UserError: there are no such weights, or the other flags without any.
    """
    if not source:
        given = ["--reinit"] * bool(reinit) + ["--pretrain_macs"] * (macs is not None)
        if given:
            raise UserError(f"{given[0]} says how to start from weights: add --pretrained=PATH")
        return None
    from cnnjax.transfer.read import digest

    known = _own_macs(source) if macs is None else int(macs)
    return Pretraining(digest(source), tuple(reinit), source, known)


def _own_macs(source: str) -> int | None:
    """What the run in the folder cost, and what that had started from."""
    try:
        measures = files.read_json(Path(source) / "record.json")["measures"]
        own, before = (
            number(measures.get(name, {}).get("value")) for name in ("train_macs", "pretrain_macs")
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return None if own is None else int(own + (before or 0))


def load(given: Pretraining, net: Any, image_shape: tuple[int, int, int], seed: int) -> Any:
    """The weights for this net (`cnnjax.transfer.pretrained.Pretrained`); what is drawn anew is
    drawn from the seed.

    Raises:
      UserError: they don't fit the net, or are no longer those that were planned with.
    """
    from cnnjax.transfer.pretrained import load_pretrained
    from cnnjax.transfer.read import digest

    if digest(given.source) != given.digest:
        raise UserError(f"{given.source} has changed since the study was planned: start it again")
    return load_pretrained(
        net, given.source, input_shape=image_shape, reinit=given.reinit, seed=seed
    )


@functools.lru_cache(maxsize=64)
def check(given: Pretraining, net: Any, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Load the weights once before anything is trained; what was adapted or drawn anew, in words.

    Raises:
      UserError: as `load`.
    """
    notes = load(given, net, image_shape, seed=0).notes
    return tuple(note.replace(" from seed 0", "") for note in notes)  # Each run has its own.


def seen_as(source: Source, preprocess: Any) -> Source:
    """The dataset, its images normalised as those that the weights were trained on.

    Grey images take the mean of the channels' values.
    """
    channels = source.info.image_shape[2]

    def fit(given: Sequence[float]) -> np.ndarray:
        found = given if len(given) == channels else [sum(given) / len(given)] * channels
        return np.asarray(found, np.float32)

    return dataclasses.replace(source, mean=fit(preprocess.mean), std=fit(preprocess.std))
