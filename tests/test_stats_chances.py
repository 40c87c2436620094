"""How sure a place on the front is, against planted truth."""

import numpy as np
import pytest

from cnnjax.study import stats
from cnnjax.study.stats import Sample


def samples(rng, truths, n, sd=0.01):
    return [Sample(tuple(rng.normal(t, sd, n))) for t in truths]


def chances(costs, found, **more):
    common = stats.spread([s.values for s in found])
    return stats.front_chances(costs, [[(1.0, s)] for s in found], common, **more)


@pytest.mark.parametrize("n", [3, 5, 25])
def test_a_clear_front_is_sure_and_what_is_beaten_is_not(n):
    found = samples(np.random.default_rng(n), (0.6, 0.5, 0.7, 0.8), n)
    got = chances([1, 2, 3, 4], found)
    assert got == pytest.approx([1, 0, 1, 1], abs=0.01)


@pytest.mark.parametrize("n", [3, 5, 25])
def test_of_two_that_tie_each_has_half_a_chance(n):
    rng, dear, first = np.random.default_rng(n), [], []
    for _ in range(150):
        got = chances([1, 2, 2], samples(rng, (0.6, 0.7, 0.7), n))
        first += got[:1]
        dear += got[1:]
    assert np.mean(first) > 0.99
    assert np.mean(dear) == pytest.approx(0.5, abs=1e-9 + 1 / 150)  # One of them always is.
    assert np.std(dear) > 0.2  # Seeds rarely say exactly half.


@pytest.mark.parametrize("n", [5, 25])
def test_a_chance_is_what_it_says(n):
    """Of a point and its cheaper twin the chance is uniform: below u with the chance u."""
    rng = np.random.default_rng(n)
    got = np.array([chances([1, 2], samples(rng, (0.7, 0.7), n))[1] for _ in range(400)])
    for u in (0.1, 0.5, 0.9):
        assert (got < u).mean() == pytest.approx(u, abs=4 * np.sqrt(u * (1 - u) / 400) + 0.02)


def test_costs_within_the_tolerance_count_as_equal():
    found = samples(np.random.default_rng(0), (0.5, 0.8), 5)
    assert chances([1.0, 1.01], found)[0] > 0.99
    assert chances([1.0, 1.01], found, tolerance=0.05)[0] < 0.01


def test_a_point_that_stands_twice_does_not_beat_itself():
    (a,) = samples(np.random.default_rng(0), (0.7,), 4)
    common = stats.Spread(0.01, 12, True, None)
    assert stats.front_chances([1, 1], [[(1.0, a)]] * 2, common) == [1.0, 1.0]
    assert stats.front_chances([1, 2], [[(1.0, a)]] * 2, common) == [1.0, 0.0]


def test_two_nets_that_bracket_a_budget_are_one_place():
    a, b, c = samples(np.random.default_rng(0), (0.6, 0.8, 0.75), 5)
    got = stats.front_chances([1, 2], [[(0.5, a), (0.5, b)], [(1.0, c)]])
    assert got == pytest.approx([1, 1], abs=0.01)
    got = stats.front_chances([1, 2], [[(0.1, a), (0.9, b)], [(1.0, c)]])
    assert got[1] < 0.05


def test_one_seed_says_nothing_and_a_place_without_cost_is_none():
    a, b = Sample((0.5, 0.6)), Sample((0.7,))
    assert stats.front_chances([1, 2], [[(1, a)], [(1, b)]]) == [None, None]
    assert stats.front_chances([1, None], [[(1, a)], [(1, b)]]) == [1.0, None]
    assert stats.front_chances([], []) == []
