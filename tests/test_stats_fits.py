"""Power laws: planted exponents and floors are recovered, curves that are none are told."""

import numpy as np
import pytest

from cnnjax.study import stats

COSTS = np.logspace(6, 8, 7)


def draws(rng, errors, sd, n=3):
    return [list(e * np.exp(sd * rng.normal(size=n))) for e in errors]


def test_the_planted_exponent_is_covered_95_times_in_100():
    rng, covered, lacking, floors, trials = np.random.default_rng(0), [], [], [], 150
    for _ in range(trials):
        fit = stats.power_law(COSTS, draws(rng, 1.5 * COSTS**-0.15, 0.03))
        covered += [fit.exponent.covers(0.15)]
        lacking += [fit.lack < 0.05]
        floors += [fit.floor is not None]
    assert np.mean(covered) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / trials)
    assert np.mean(lacking) < 0.05 + 4 * np.sqrt(0.95 * 0.05 / trials)
    assert np.mean(floors) < 0.05 + 4 * np.sqrt(0.95 * 0.05 / trials)


def test_a_planted_floor_is_found_and_covered_with_its_exponent():
    rng, exponents, floors, trials = np.random.default_rng(1), [], [], 25
    for _ in range(trials):
        fit = stats.power_law(COSTS, draws(rng, 0.05 + 60 * COSTS**-0.4, 0.02))
        assert fit.floor is not None
        exponents += [fit.exponent.covers(0.4)]
        floors += [fit.floor.covers(0.05)]
    assert min(np.mean(exponents), np.mean(floors)) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / trials)


def test_without_noise_everything_is_exact():
    errors = 1.5 * COSTS**-0.15
    fit = stats.power_law(COSTS, [[e, e * (1 + 1e-9)] for e in errors])
    assert fit.exponent.mean == pytest.approx(0.15, abs=1e-6)
    assert fit.scale == pytest.approx(1.5, rel=1e-4)
    assert (fit.levels, fit.decades) == (7, pytest.approx(2))
    for cost, error, low, high in fit.points:
        assert low <= error <= high
        assert error == pytest.approx(1.5 * cost**-0.15, rel=1e-5)


def test_without_a_floor_the_interval_is_that_of_the_regression():
    import scipy.stats

    errors = draws(np.random.default_rng(2), 1.5 * COSTS**-0.15, 0.05)
    fit = stats.power_law(COSTS, errors)
    assert fit.floor is None
    line = scipy.stats.linregress(np.log(np.repeat(COSTS, 3)), np.log(np.concatenate(errors)))
    half = scipy.stats.t.ppf(0.975, 19) * line.stderr
    expected = (-line.slope, -line.slope - half, -line.slope + half)
    got = fit.exponent
    assert (got.mean, got.low, got.high) == pytest.approx(expected)


def test_a_curve_that_is_no_power_law_is_told():
    bent = 0.3 - 0.02 * np.sin(np.linspace(0, 6, 7))
    fit = stats.power_law(COSTS, draws(np.random.default_rng(3), bent, 0.005))
    assert fit.lack < 0.01


def test_one_seed_a_level_has_no_test_of_fit():
    fit = stats.power_law(COSTS, draws(np.random.default_rng(4), 1.5 * COSTS**-0.15, 0.03, n=1))
    assert fit.lack is None
    assert fit.exponent.known


@pytest.mark.parametrize(
    ("costs", "errors", "reason"),
    [
        (np.logspace(6, 6.8, 4), [[0.3]] * 4, "4 levels over 0.8 decades; six over 1.5 are needed"),
        (np.logspace(6, 7, 8), [[0.3]] * 8, "8 levels over 1.0 decades; six over 1.5 are needed"),
        ([1e6], [[0.3]], "1 level over 0.0 decades; six over 1.5 are needed"),
        ([], [], "0 levels over 0.0 decades; six over 1.5 are needed"),
        (COSTS, [[0.0]] + [[0.3]] * 6, "an error of zero has no logarithm"),
        (COSTS, [[0.3]] * 7, "all errors are equal"),
    ],
)
def test_why_there_is_no_fit(costs, errors, reason):
    assert stats.power_law(costs, errors) == stats.NoFit(reason)


def test_levels_of_equal_cost_are_one():
    costs = [*COSTS[:5], COSTS[4], COSTS[4], 1e8]
    fit = stats.power_law(costs, draws(np.random.default_rng(5), np.linspace(0.4, 0.2, 8), 0.01))
    assert fit.levels == 6
