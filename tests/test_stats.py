"""Statistics against planted truth: Monte Carlo with fixed seeds, SciPy as the reference."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from cnnjax.study import stats

TRIALS = 3000
SLACK = 4 * np.sqrt(0.95 * 0.05 / TRIALS)  # Four standard errors of a covered share.


def share(covered):
    return sum(covered) / len(covered)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_means_interval_covers_the_truth_95_times_in_100(n):
    rng = np.random.default_rng(n)
    draws = rng.normal(0.7, 0.01, (TRIALS, n))
    assert share([stats.mean(d).covers(0.7) for d in draws]) == pytest.approx(0.95, abs=SLACK)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_pooled_intervals_cover_the_truth_and_are_narrower(n):
    rng = np.random.default_rng(n)
    truths = np.linspace(0.5, 0.8, 6)
    covered, widths, own = [], [], []
    for _ in range(TRIALS // 3):
        groups = [rng.normal(t, 0.01, n) for t in truths]
        common = stats.spread(groups)
        first = stats.mean(groups[0], common)
        covered += [first.covers(truths[0])]
        widths += [first.high - first.low]
        alone = stats.mean(groups[0])
        own += [alone.high - alone.low]
    assert share(covered) == pytest.approx(0.95, abs=SLACK * np.sqrt(3))
    assert np.mean(widths) < np.mean(own)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("sds", [(0.01, 0.01), (0.01, 0.03)])
def test_a_differences_interval_covers_the_truth_or_errs_to_caution(n, sds):
    rng = np.random.default_rng(n)
    a, b = (rng.normal(0.7, sd, (TRIALS, n)) for sd in sds)
    got = share([stats.difference(x, y).covers(0) for x, y in zip(a, b, strict=True)])
    assert 0.95 - SLACK < got < 0.985  # Welch's is conservative at n = 3.


def test_simultaneous_differences_hold_together():
    rng = np.random.default_rng(0)
    level = stats.simultaneous(0.95, 4)
    together = []
    for _ in range(1000):
        groups = rng.normal(0.7, 0.01, (5, 5))
        common = stats.spread(groups)
        steps = itertools.pairwise(groups)
        together += [all(stats.difference(b, a, common, level).covers(0) for a, b in steps)]
    assert 0.925 < share(together) < 0.985


def test_points_that_differ_in_spread_keep_their_own():
    rng = np.random.default_rng(1)
    steady, wild = rng.normal(0.1, 0.001, 10), rng.normal(0.6, 0.05, 10)
    common = stats.spread([steady, wild])
    assert not common.shared
    assert common.p < 0.05
    assert stats.mean(steady, common) == stats.mean(steady)


def test_equal_spreads_are_rejected_at_most_five_times_in_a_hundred():
    rng = np.random.default_rng(2)
    rejected = [not stats.spread(rng.normal(0, 1, (6, 5))).shared for _ in range(1000)]
    assert share(rejected) < 0.07


groups = st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=6), min_size=2, max_size=5)


@example([[0.0, 0.0, 0.0], [0.0, 0.0, 1.275219030477861e-160]])  # Its square is no normal number.
@given(groups)
def test_brown_forsythe_is_scipys(data):
    # SciPy's own squares underflow too, so it is asked about the same numbers at a scale of 1.
    exponent = int(np.frexp(max(abs(x) for group in data for x in group))[1])
    scaled = [np.ldexp(group, -exponent) for group in data]
    with np.errstate(all="ignore"):
        expected = scipy.stats.levene(*scaled, center="median").pvalue
    got = stats.spread(data).p
    if got is None or not np.isfinite(expected):
        return
    assert got == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.5, 0.999))
def test_intervals_are_scipys(values, level):
    got = stats.mean(values, level=level)
    error = scipy.stats.sem(values)
    half = scipy.stats.t.ppf(0.5 + level / 2, len(values) - 1) * error
    assert (got.high - got.low) / 2 == pytest.approx(half, rel=1e-6, abs=1e-12)
    assert got.low <= got.mean <= got.high


@given(*[st.lists(st.integers(0, 1000), min_size=2, max_size=6)] * 2)
def test_a_difference_turns_round(a, b):
    forth, back = stats.difference(a, b), stats.difference(b, a)
    assert forth.mean == -back.mean
    assert forth.low == pytest.approx(-back.high)


def test_welchs_interval_is_scipys():
    a, b = [0.1, 0.2, 0.4], [0.6, 0.61, 0.65, 0.6]
    got = stats.difference(a, b)
    expected = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_one_seed_gives_no_interval():
    assert not stats.mean([0.5]).known
    assert not stats.difference([0.5], [0.4, 0.5]).known
    assert stats.spread([[0.5], [0.4]]) == stats.Spread(None, 0, False, None)
    assert not stats.mean([0.5]).covers(0.5)


def test_equal_values_give_an_interval_without_width():
    got = stats.difference([0.5, 0.5], [0.4, 0.4])
    assert (got.low, got.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_what_is_detectable_is_detected_four_times_in_five(n):
    rng = np.random.default_rng(n)
    gap = stats.detectable(n, sd=0.01)
    a, b = rng.normal(0.7 + gap, 0.01, (TRIALS, n)), rng.normal(0.7, 0.01, (TRIALS, n))
    found = scipy.stats.ttest_ind(a, b, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / TRIALS))


def test_more_seeds_detect_less_and_known_figures():
    gaps = [stats.detectable(n) for n in range(2, 20)]
    assert gaps == sorted(gaps, reverse=True)
    # Cohen's tables: 17 a group for d = 1 at 80 % power (16.7 before rounding up).
    assert stats.detectable(16) > 1 > stats.detectable(17)


places = st.tuples(st.none() | st.integers(1, 6), st.none() | st.integers(0, 6))


@given(st.lists(places, max_size=12))
def test_the_front_is_what_nothing_beats(data):
    kept = stats.front([c for c, _ in data], [g for _, g in data])

    def beaten(i):
        c, g = data[i]
        return any(
            None not in other and other[0] <= c and other[1] >= g and other != (c, g)
            for other in data
        )

    whole = [i for i, place in enumerate(data) if None not in place]
    assert sorted(kept) == [i for i in whole if not beaten(i)]
    assert [data[i][0] for i in kept] == sorted(data[i][0] for i in kept)


def test_costs_that_are_all_but_equal_are_no_reason_to_be_on_the_front():
    assert stats.front([1.00, 0.98, 5.0], [0.7, 0.6, 0.8]) == [1, 0, 2]
    assert stats.front([1.00, 0.98, 5.0], [0.7, 0.6, 0.8], tolerance=0.05) == [0, 2]


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="mean of no values"):
        stats.mean([])
    with pytest.raises(ValueError, match="difference of no values"):
        stats.difference([], [1.0])
    with pytest.raises(ValueError, match="one seed detects nothing"):
        stats.detectable(1)
