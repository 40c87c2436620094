"""The bootstrap: why it begins at twenty seeds, and what it brings there."""

import time

import numpy as np
import pytest

from cnnjax.study import stats
from cnnjax.study.stats import Sample, bootstrap, contrasts
from tests import crossed


@pytest.mark.parametrize(("n", "expected"), [(3, 0.75), (5, 0.84)])
def test_percentiles_of_few_seeds_cover_too_little(n, expected):
    rng, covered = np.random.default_rng(n), []
    for _ in range(3000):
        v = rng.normal(size=n)
        draws = v[rng.integers(0, n, (400, n))].mean(1)
        low, high = np.quantile(draws, (0.025, 0.975))
        covered += [low <= 0 <= high]
    assert np.mean(covered) == pytest.approx(expected, abs=0.03)


def test_it_begins_at_twenty_seeds():
    values = np.random.default_rng(0).exponential(size=20)
    skewed = stats.contrast([(1, Sample(tuple(values)))])
    assert skewed.high - skewed.mean > skewed.mean - skewed.low
    few = stats.contrast([(1, Sample(tuple(values[:19])))])
    assert few.high - few.mean == pytest.approx(few.mean - few.low)
    assert bootstrap.LEAST == 20


@pytest.mark.parametrize("seed", [0.05, 0.3])
def test_over_seeds_and_examples_it_covers_no_less_than_the_t_interval_and_is_wider(seed):
    rng, trials = np.random.default_rng(7), 150
    truth = crossed.truth(1.3, seed) - crossed.truth(1.2, seed)
    draws, t, wider = [], [], []
    for _ in range(trials):
        a, b = crossed.points(rng, (1.2, 1.3), 20, seed)
        terms = [(1, b), (-1, a)]
        got = stats.contrast(terms)
        low, high = contrasts._by_t(terms, None)(0.95)
        draws += [got.covers(truth)]
        t += [got.mean + low <= truth <= got.mean + high]
        wider += [(got.high - got.low) / (high - low)]
    least = 0.95 - 4 * np.sqrt(0.95 * 0.05 / trials)
    assert np.mean(t) > least
    assert np.mean(draws) > least
    assert 1 < np.mean(wider) < 1.4


def test_over_skewed_seeds_it_covers_at_least_as_well():
    rng, draws, t = np.random.default_rng(3), [], []
    for _ in range(1000):
        v = 0.7 - 0.01 * rng.exponential(size=20)
        draws += [stats.contrast([(1, Sample(tuple(v)))]).covers(0.69)]
        t += [stats.mean(v).covers(0.69)]
    assert np.mean(draws) >= np.mean(t) - 0.005
    assert np.mean(draws) > 0.88


def test_its_spread_is_the_pigeonholes():
    """Without clusters, of n seeds and m examples: seeds' and examples' variance of the means, and
    that of the cells once more (Owen 2007, eq. 6)."""
    rng = np.random.default_rng(4)
    right = rng.random((20, 60)) < rng.random((1, 60))
    n, m = right.shape
    cells = right - right.mean()
    rest = cells - cells.mean(1, keepdims=True) - cells.mean(0)
    expected = ((cells.mean(1) ** 2).mean() / n + (cells.mean(0) ** 2).mean() / m
                + (rest**2).mean() / n / m)  # fmt: skip
    got = bootstrap.deviations([(1.0, Sample(tuple(right.mean(1)), right))])
    assert got.var() == pytest.approx(expected, rel=0.15)
    assert abs(got.mean()) < 4 * np.sqrt(expected / bootstrap.DRAWS)


def test_it_is_the_same_every_time_and_quick():
    rng = np.random.default_rng(5)
    rights = rng.random((2, 20, 1500)) < 0.7

    def found():
        samples = [Sample(tuple(r.mean(1)), r) for r in rights]
        return stats.contrast([(1, samples[0]), (-1, samples[1])])

    first = found()
    before = time.process_time()
    again = [found() for _ in range(5)]
    assert (time.process_time() - before) / 5 < 0.5  # 7 ms on a quiet core.
    assert again == [first] * 5


def test_a_sample_of_equal_values_has_no_width():
    got = stats.contrast([(1, Sample((0.5,) * 20))])
    assert (got.low, got.high) == pytest.approx((0.5, 0.5))
