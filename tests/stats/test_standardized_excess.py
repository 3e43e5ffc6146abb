"""Excess errors of exposed work: planted excess, level of the test, and limits."""

import numpy as np
from scipy import stats

from rca_lib.stats.standardized_excess import estimate_standardized_excess

EXPECTED = np.array([20.0, 30.0, 80.0, 120.0])
EXPOSED = np.array([True, True, False, False])


def draw(seed, ratio, *, level=1.0, runs=400):
    """Draw Poisson errors whose exposed cells have `ratio` times the errors expected at the level of the period."""
    means = level * EXPECTED * np.where(EXPOSED, ratio, 1.0)
    return np.random.default_rng(seed).poisson(means, (runs, 4)).astype(float)


def test_the_interval_covers_a_planted_excess_whatever_the_level_of_the_period():
    for level in (0.7, 1.5):
        results = [estimate_standardized_excess(errors, EXPECTED, EXPOSED) for errors in draw(1, 1.6, level=level)]
        planted = 0.6 * level * 50
        covered = sum(result.low <= planted <= result.high for result in results)
        # The variance is that without an excess, so that coverage is a little below 95 %.
        assert covered >= 0.88 * len(results)


def test_false_alarms_stay_at_the_stated_rate():
    p_values = [estimate_standardized_excess(errors, EXPECTED, EXPOSED).p_value for errors in draw(2, 1.0)]
    assert sum(p_value <= 0.05 for p_value in p_values) <= stats.binom.ppf(0.999, 400, 0.05)


def test_raters_who_differ_widen_the_interval():
    random = np.random.default_rng(3)
    raters = np.arange(40)
    exposed = raters < 20
    errors = random.poisson(10 * random.gamma(2.0, 0.5, 40)).astype(float)
    independent = estimate_standardized_excess(errors, np.full(40, 10.0), exposed)
    clustered = estimate_standardized_excess(errors, np.full(40, 10.0), exposed, raters=raters)
    assert clustered.excess == independent.excess
    assert clustered.high - clustered.low > 1.3 * (independent.high - independent.low)


def test_a_baseline_with_few_errors_makes_the_excess_uncertain():
    errors = np.array([40.0, 50.0, 80.0, 120.0])
    known = estimate_standardized_excess(errors, EXPECTED, EXPOSED)
    rare = estimate_standardized_excess(errors, EXPECTED, EXPOSED, baseline_errors=4.0)
    assert known.p_value < 0.001 < rare.p_value


def test_the_interval_stays_between_minus_the_expected_and_the_observed_errors():
    errors = np.array([1.0, 0.0, 2.0, 1.0])
    result = estimate_standardized_excess(errors, np.array([1.0, 1.0, 2.0, 2.0]), EXPOSED)
    assert -result.expected <= result.low <= result.excess <= result.high <= 1.0


def test_nothing_is_estimated_where_one_side_expects_no_errors():
    assert estimate_standardized_excess(EXPECTED, EXPECTED, np.ones(4, bool)) is None
    assert estimate_standardized_excess(EXPECTED, EXPECTED, np.zeros(4, bool)) is None
