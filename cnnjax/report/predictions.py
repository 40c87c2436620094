"""What each run answered, test example by test example, as the report needs it."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cnnjax.errors import UserError
from cnnjax.study.results import Folder

PREFIX = "extra_"
ORIGINAL = "original"  # The extra that says which original an example was made from.


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Whether each test example was classified rightly, bool [examples], and the numbers that the
    examples carry, float [examples] by name."""

    right: np.ndarray
    extras: Mapping[str, np.ndarray]


def read(path: Path, key: str, warnings: list[str]) -> Predictions | None:
    """A run's predictions, None where there are none; a file that can't be read adds a warning."""
    file = Folder(path).run_dir(key) / "predictions.npz"
    try:
        stamp = file.stat().st_mtime_ns
    except OSError:
        return None
    try:
        return _read(path, key, stamp)
    except UserError as e:
        said = str(e)
    except (ValueError, TypeError, IndexError):
        said = f"{file} is left out: its arrays do not fit together"
    if said not in warnings:
        warnings.append(said)
    return None


@functools.lru_cache(maxsize=2**15)  # The report is written after every run; most files stay.
def _read(path: Path, key: str, stamp: int) -> Predictions | None:
    del stamp
    data = Folder(path).read_predictions(key, ("label", "logits"), PREFIX)
    if not data:
        return None
    extras = [n for n in data if n.startswith(PREFIX)]
    right = np.argmax(data["logits"], axis=-1) == data["label"]
    kept = {n: data[n] for n in extras if data[n].dtype.kind in "iuf" and data[n].ndim == 1}
    if right.ndim != 1 or any(v.shape != right.shape for v in kept.values()):
        raise ValueError("shapes differ")
    finite = {n.removeprefix(PREFIX): _shared(v.astype(float).tobytes()) for n, v in kept.items()
              if np.isfinite(v).all()}  # fmt: skip
    return Predictions(right, finite)


@functools.lru_cache(maxsize=64)
def _shared(content: bytes) -> np.ndarray:
    """The runs of a study are tested on the same examples: what these carry is held once."""
    return np.frombuffer(content)
