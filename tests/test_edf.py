"""Distributions of errors: closed forms, planted truth, false alarms as rare as promised."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from cnnjax.study.stats import edf, matching
from cnnjax.study.stats.intervals import difference

ERRORS = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=30)
TRIALS = 300
SLACK = 4 * math.sqrt(0.05 * 0.95 / TRIALS)  # Four standard errors of a share of 5 %.


def planted(rng, n, costlier=0.0, worse=0.0):
    """Errors and costs of n nets: 5 points less an e-fold of cost, 3 points of chance."""
    logs = rng.uniform(0, 1.4, n) + costlier * rng.uniform(0, 1, n)
    return 0.4 - 0.05 * logs + rng.normal(0, 0.03, n) + worse, np.exp(logs)


@given(ERRORS)
def test_the_edf_is_the_share_at_or_below_each_error(errors):
    steps = edf.edf(errors)
    for e, share in steps:
        assert share == pytest.approx(np.mean(np.asarray(errors) <= e))
    assert steps[-1][1] == pytest.approx(1)
    assert [e for e, _ in steps] == sorted(set(errors))


@given(ERRORS)
def test_with_equal_weights_the_median_is_the_ordinary_one(errors):
    assert edf.median(errors) == pytest.approx(np.median(errors))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), min_size=1, max_size=12))
def test_whole_weights_repeat_nets(pairs):
    errors, weights = zip(*pairs, strict=True)
    repeated = [e for e, w in pairs for _ in range(w)]
    assert edf.median(errors, weights) == np.median(repeated)
    assert edf.quantile(errors, 0.25, weights) == edf.quantile(repeated, 0.25)
    for (e, share), (f, other) in zip(edf.edf(errors, weights), edf.edf(repeated), strict=True):
        assert (e, share) == (f, pytest.approx(other))


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="the distribution of no values"):
        edf.edf([])
    with pytest.raises(ValueError, match="the distance of no values"):
        edf.distance([0.1], [])


def test_the_band_holds_the_whole_distribution_at_least_95_times_in_100():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(TRIALS):
        v = np.sort(rng.uniform(size=20))
        steps = np.arange(21) / 20
        gap = max(np.abs(steps[1:] - v).max(), np.abs(steps[:-1] - v).max())
        held.append(gap <= edf.band(v))
    assert np.mean(held) > 0.95 - SLACK
    assert edf.band([0.1] * 20) == pytest.approx(math.sqrt(math.log(40) / 40))


@given(ERRORS, ERRORS)
def test_distance_as_drawn_is_welchs_and_kolmogorov_smirnovs(a, b):
    d = edf.distance(a, b)
    places = {*a, *b}
    shares = [[np.mean(np.asarray(v) <= e) for e in places] for v in (a, b)]
    assert d.ks == pytest.approx(np.abs(np.subtract(*shares)).max())
    assert 0 < d.p <= 1
    assert d.mean == difference(a, b)
    assert d.median.mean == pytest.approx(np.median(a) - np.median(b))
    assert d.median.known == (min(len(a), len(b)) >= edf.ENOUGH)


def test_the_p_value_is_scipys():
    a, b = np.random.default_rng(4).normal(size=(2, 20))
    assert edf.distance(a, b).p == scipy.stats.ks_2samp(a, b).pvalue
    assert edf.distance(a, b + 3).p < 1e-5


def test_two_samples_of_one_space_differ_about_5_times_in_100():
    rng = np.random.default_rng(1)
    found = [edf.distance(planted(rng, 20)[0], planted(rng, 20)[0]) for _ in range(TRIALS)]
    assert np.mean([d.p <= 0.05 for d in found]) < 0.05 + SLACK
    assert np.mean([not d.mean.covers(0) for d in found]) == pytest.approx(0.05, abs=SLACK)
    assert np.mean([not d.median.covers(0) for d in found]) == pytest.approx(0.05, abs=SLACK)


@pytest.mark.parametrize("n", [12, 30])
def test_at_matched_cost_costlier_nets_of_one_kind_differ_about_5_times_in_100(n):
    rng = np.random.default_rng(n)
    drawn, found = [], []
    for _ in range(TRIALS // 2):
        (a, ca), (b, cb) = planted(rng, n, costlier=1.2), planted(rng, n)
        drawn.append(edf.distance(a, b))
        found.append(edf.matched_distance(a, b, (ca, cb)))
    found = [d for d in found if d]
    assert len(found) > TRIALS // 3  # Of few nets some have too little in common.
    assert np.mean([d.p <= 0.05 for d in found]) < 0.05 + 1.5 * SLACK
    assert np.mean([not d.mean.covers(0) for d in found]) < 0.05 + 1.5 * SLACK
    wrong = np.mean([not d.mean.covers(0) for d in drawn])  # The cost's doing, not the kind's.
    assert wrong > 0.3


def test_a_planted_difference_is_found_at_matched_cost():
    rng = np.random.default_rng(2)
    (a, ca), (b, cb) = planted(rng, 40, 0.5), planted(rng, 40, worse=0.04)
    d = edf.matched_distance(a, b, (ca, cb))
    assert d.mean.covers(-0.04)
    assert d.mean.high < 0
    assert d.median.covers(-0.04)
    assert d.p < 0.01


def test_equal_samples_do_not_differ():
    e, c = planted(np.random.default_rng(3), 25)
    d = edf.matched_distance(e, e, (c, c))
    assert (d.mean.mean, d.median.mean, d.ks, d.p) == (0, 0, 0, 1)
    assert edf.distance(e, e).ks == 0


@given(st.integers(0, 2**32), st.integers(12, 40), st.integers(12, 40))
def test_matched_weights_make_the_mean_log_costs_equal(seed, n, m):
    rng = np.random.default_rng(seed)
    costs = planted(rng, n, costlier=0.4)[1], planted(rng, m)[1]
    weights = matching.matched(costs)
    assume(weights is not None)
    means = [w @ np.log(c) for w, c in zip(weights, costs, strict=True)]
    for w, c in zip(weights, costs, strict=True):
        assert w.sum() == pytest.approx(1)
        assert (w >= 0).all()
        outside = (c < max(map(min, costs))) | (c > min(map(max, costs)))
        assert (w[outside] == 0).all()
        assert 1 <= matching.effective(w) <= len(w) + 1e-9
    assert means[0] == pytest.approx(means[1], abs=1e-6)


def test_matched_weights_of_known_bins():
    # Both samples mirrored about the middle: their means are equal, so nothing is tilted.
    a = np.exp([0.0, 0.1, 0.2, 0.3, 0.4, 1.6, 1.7, 1.8, 1.9, 2.0])
    b = np.exp(np.linspace(0, 2, 14))
    weights = matching.matched([a, b])
    bins = matching.Bins.common([np.log(a), np.log(b)])
    count = len(bins.edges) - 1
    assert count > 1
    for w, c in zip(weights, (a, b), strict=True):
        place = bins.place(np.log(c))
        assert w == pytest.approx(1 / count / np.bincount(place)[place])


def test_equal_costs_give_equal_weights():
    costs = np.exp(np.linspace(0, 1, 16))
    for w in matching.matched([costs, costs]):
        assert w == pytest.approx(np.full(16, 1 / 16))
    for w in matching.matched([np.ones(5), np.ones(3)]):
        assert w == pytest.approx(np.full(len(w), 1 / len(w)))


def test_costs_with_nothing_in_common_are_not_matched():
    assert matching.matched([[1, 2, 3], [4, 5, 6]]) is None
    assert matching.matched([[1, 2], []]) is None
    assert edf.matched_distance([0.1, 0.2], [0.1, 0.3], ([1, 2], [3, 4])) is None


def test_one_net_in_common_gives_a_gap_without_an_interval():
    d = edf.matched_distance([0.1, 0.2, 0.3], [0.2, 0.4, 0.5], ([1, 2, 3], [3, 4, 5]))
    assert d.mean.mean == pytest.approx(0.1)
    assert not d.mean.known
