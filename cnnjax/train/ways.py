"""How the CPU computes what XLA's own way of it is slow, by name; other devices keep XLA's."""

from typing import Any

from jax import lax

from cnnjax.train import convolution, fusing, fusing_training, normalising, pooling
from cnnjax.train.native import library

# By name of `--conv`, the fastest first: fields of `nets.context.Context`.
WAYS: dict[str, dict[str, Any]] = {
    "native": {
        "conv": convolution.native,
        "max_pool": pooling.native,
        "batch_norm": normalising.batch_norm,
        "inference": fusing.fused,
        "gradient": fusing_training.fused,
    },
    "forms": {"conv": convolution.forms, "max_pool": pooling.max_pool},
    "xla": {"conv": lax.conv_general_dilated, "max_pool": pooling.max_pool},
}


def missing(platform: str) -> str | None:
    """Why the CPU has none of the native, in a line; on other devices none is missed."""
    return library.missing() if platform == "cpu" else None


def begin(wanted: str | None, platform: str) -> None:
    """Have what the CPU will want compiled while something else is done."""
    if platform == "cpu" and wanted in (None, "native"):
        library.begin()


def way(wanted: str | None, divided: bool) -> str:
    """Which of `WAYS` the CPU takes: as `wanted` or, where that is None, the fastest there is. XLA
    divides a program among devices with its own operations alone."""
    return wanted or ("forms" if divided or library.missing() else "native")
