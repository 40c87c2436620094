"""The statistics of a study: samples of replicates in, intervals that hold what they promise out.

Nothing here knows of nets, records or pages.
"""

from cnnjax.study.stats.contrasts import contrast, family
from cnnjax.study.stats.intervals import (
    Interval,
    Spread,
    detectable,
    difference,
    mean,
    simultaneous,
    spread,
)
from cnnjax.study.stats.order import front, rank_correlation
from cnnjax.study.stats.samples import Sample, Terms

__all__ = [
    "Interval",
    "Sample",
    "Spread",
    "Terms",
    "contrast",
    "detectable",
    "difference",
    "family",
    "front",
    "mean",
    "rank_correlation",
    "simultaneous",
    "spread",
]
