import numpy as np
import pytest

from rca_lib.stats.rate_difference import difference_of_rates
from rca_lib.stats.two_way_clusters import cluster_variance


def test_newcombes_published_intervals_are_met():
    # Newcombe (1998, Statistics in Medicine 17, 873-890), table II, method 10: (a), (b), (e), (g).
    for errors, sizes, low, high in (
        ((56, 48), (70, 80), 0.0524, 0.3339),
        ((9, 3), (10, 10), 0.1705, 0.8090),
        ((5, 0), (56, 29), -0.0381, 0.1926),
        ((10, 0), (10, 20), 0.6791, 1.0),
    ):
        after, before = (error / size for error, size in zip(errors, sizes, strict=True))
        change = difference_of_rates(before, after, (sizes[1], sizes[0])).change
        assert (change.low, change.high) == pytest.approx((low, high), abs=1e-4)


def test_no_interval_leaves_minus_one_to_one_and_each_holds_its_estimate():
    draw = np.random.default_rng(3)
    for _ in range(500):
        sizes = tuple(10 ** draw.uniform(-2, 5, 2))
        before, after = draw.choice([0.0, 1.0, draw.random(), draw.random() ** 6], 2)
        variance, degrees = draw.choice([0.0, 10 ** draw.uniform(-9, 6)]), draw.choice([1.0, 3.0, 40.0, np.inf])
        found = difference_of_rates(before, after, sizes, variance=variance, degrees=degrees)
        assert -1 <= found.change.low <= found.change.value <= found.change.high <= 1
        assert 0 <= found.p_value <= 1 and found.design_effect >= 1


def test_the_p_value_is_below_5_per_cent_just_where_the_interval_excludes_0():
    draw = np.random.default_rng(4)
    for _ in range(300):
        before, after = draw.random(2) ** 2
        sizes, degrees = tuple(draw.uniform(5, 400, 2)), draw.choice([2.0, 9.0, np.inf])
        found = difference_of_rates(before, after, sizes, variance=0.01 * draw.random() ** 4, degrees=degrees)
        assert found.change.excludes_zero == (found.p_value < 0.05)


def test_the_order_of_the_periods_only_turns_the_sign():
    one = difference_of_rates(0.1, 0.2, (80, 70), variance=0.004, degrees=5)
    other = difference_of_rates(0.2, 0.1, (70, 80), variance=0.004, degrees=5)
    assert other.change.low == pytest.approx(-one.change.high)
    assert other.p_value == pytest.approx(one.p_value)


def test_rates_that_are_none_are_refused():
    for before, after, sizes in ((-0.1, 0.5, (9, 9)), (0.1, 1.1, (9, 9)), (0.1, 0.2, (0, 9))):
        with pytest.raises(ValueError, match="two rates"):
            difference_of_rates(before, after, sizes)


@pytest.mark.parametrize(("size", "raters", "judgments"), [(30, 4, 1), (100, 6, 5), (300, 12, 20)])
def test_rates_that_are_the_same_are_called_different_no_more_often_than_5_per_cent(size, raters, judgments):
    draw = np.random.default_rng(size)
    skill, alarms = draw.beta(2, 18, raters), 0
    for _ in range(300):
        wrong, codes, items = [], [], []
        for period in (0, 1):
            rater, item = draw.integers(0, raters, size), np.arange(size) // judgments
            hard = draw.gamma(2, 0.5, size)[item] if judgments > 1 else 1.0
            wrong.append(draw.random(size) < np.clip(skill[rater] * hard, 0, 1))
            codes.append(rater)
            items.append(item + period * size)
        rates = [float(one.mean()) for one in wrong]
        influence = np.concatenate([-(wrong[0] - rates[0]), wrong[1] - rates[1]]) / size
        found = cluster_variance(influence, np.concatenate(codes), np.concatenate(items))
        compared = difference_of_rates(*rates, (size, size), variance=found.variance, degrees=found.degrees)
        alarms += compared.p_value <= 0.05
    assert alarms <= 26  # 15 expected at .05; more than 26 has a probability of .003
