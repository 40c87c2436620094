"""The statistics of a study: samples of replicates in, intervals that hold what they promise out.

Nothing here knows of nets, records or pages.
"""

from cnnjax.study.stats.chances import front_chances
from cnnjax.study.stats.contrasts import contrast, family
from cnnjax.study.stats.fits import Fit, NoFit, power_law
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
    "Fit",
    "Interval",
    "NoFit",
    "Sample",
    "Spread",
    "Terms",
    "contrast",
    "detectable",
    "difference",
    "family",
    "front",
    "front_chances",
    "mean",
    "power_law",
    "rank_correlation",
    "simultaneous",
    "spread",
]
