"""The difference of two rates: published intervals, bounds and false alarms."""

import numpy as np
import pytest

from rca_lib.stats.clustered_data.two_way_variance import estimate_cluster_variance
from rca_lib.stats.rate_difference import estimate_rate_difference


def test_newcombes_published_intervals_are_reproduced():
    # Newcombe (1998, Statistics in Medicine 17, 873-890), table II, method 10: (a), (b), (e), (g).
    for errors, sizes, low, high in (
        ((56, 48), (70, 80), 0.0524, 0.3339),
        ((9, 3), (10, 10), 0.1705, 0.8090),
        ((5, 0), (56, 29), -0.0381, 0.1926),
        ((10, 0), (10, 20), 0.6791, 1.0),
    ):
        after, before = (error / size for error, size in zip(errors, sizes, strict=True))
        change = estimate_rate_difference(before, after, (sizes[1], sizes[0])).change
        assert (change.low, change.high) == pytest.approx((low, high), abs=1e-4)


def test_intervals_stay_within_minus_one_to_one_and_contain_their_estimate():
    rng = np.random.default_rng(3)
    for _ in range(500):
        sizes = tuple(10 ** rng.uniform(-2, 5, 2))
        before, after = rng.choice([0.0, 1.0, rng.random(), rng.random() ** 6], 2)
        variance = rng.choice([0.0, 10 ** rng.uniform(-9, 6)])
        degrees_of_freedom = rng.choice([1.0, 3.0, 40.0, np.inf])
        difference = estimate_rate_difference(
            before, after, sizes, variance=variance, degrees_of_freedom=degrees_of_freedom
        )
        assert -1 <= difference.change.low <= difference.change.value <= difference.change.high <= 1
        assert 0 <= difference.p_value <= 1


def test_a_variance_above_that_of_independent_audits_widens_the_interval_and_a_smaller_one_does_not_narrow_it():
    independent, small, large = (
        estimate_rate_difference(0.1, 0.2, (80, 70), variance=variance).change for variance in (0.0, 1e-5, 0.01)
    )
    assert (small.low, small.high) == (independent.low, independent.high)
    assert large.high - large.low > 1.5 * (independent.high - independent.low)


def test_the_p_value_is_below_5_percent_exactly_where_the_interval_excludes_0():
    rng = np.random.default_rng(4)
    for _ in range(300):
        before, after = rng.random(2) ** 2
        sizes = tuple(rng.uniform(5, 400, 2))
        degrees_of_freedom = rng.choice([2.0, 9.0, np.inf])
        variance = 0.01 * rng.random() ** 4
        difference = estimate_rate_difference(
            before, after, sizes, variance=variance, degrees_of_freedom=degrees_of_freedom
        )
        assert difference.change.excludes_zero == (difference.p_value < 0.05)


def test_swapping_the_periods_only_changes_the_sign():
    forward = estimate_rate_difference(0.1, 0.2, (80, 70), variance=0.004, degrees_of_freedom=5)
    backward = estimate_rate_difference(0.2, 0.1, (70, 80), variance=0.004, degrees_of_freedom=5)
    assert backward.change.low == pytest.approx(-forward.change.high)
    assert backward.p_value == pytest.approx(forward.p_value)


def test_rates_outside_0_to_1_and_sizes_of_0_are_rejected():
    for before, after, sizes in ((-0.1, 0.5, (9, 9)), (0.1, 1.1, (9, 9)), (0.1, 0.2, (0, 9))):
        with pytest.raises(ValueError, match="two rates"):
            estimate_rate_difference(before, after, sizes)


@pytest.mark.parametrize(("size", "raters", "judgments"), [(30, 4, 1), (100, 6, 5), (300, 12, 20)])
def test_equal_rates_are_called_different_in_at_most_5_percent_of_cases(size, raters, judgments):
    rng = np.random.default_rng(size)
    rater_rates = rng.beta(2, 18, raters)
    alarms = 0
    for _ in range(300):
        errors, rater_codes, item_codes = [], [], []
        for period in (0, 1):
            rater = rng.integers(0, raters, size)
            item = np.arange(size) // judgments
            difficulty = rng.gamma(2, 0.5, size)[item] if judgments > 1 else 1.0
            errors.append(rng.random(size) < np.clip(rater_rates[rater] * difficulty, 0, 1))
            rater_codes.append(rater)
            item_codes.append(item + period * size)
        rates = [float(period_errors.mean()) for period_errors in errors]
        influence = np.concatenate([-(errors[0] - rates[0]), errors[1] - rates[1]]) / size
        clustered = estimate_cluster_variance(influence, np.concatenate(rater_codes), np.concatenate(item_codes))
        difference = estimate_rate_difference(
            *rates, (size, size), variance=clustered.variance, degrees_of_freedom=clustered.degrees_of_freedom
        )
        alarms += difference.p_value <= 0.05
    assert alarms <= 26  # 15 expected at .05; more than 26 has a probability of .003
