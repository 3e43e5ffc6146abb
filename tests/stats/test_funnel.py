"""Funnel plot: overdispersion, false discovery rate and variance, against simulation and a published example."""

import numpy as np
import pytest
from scipy import stats

from rca_lib.stats.funnel import call_different, compute_binomial_variance, estimate_overdispersion

# Benjamini and Hochberg (1995), section 3.2: fifteen p-values, of which the four smallest are rejected at 5 %.
PUBLISHED_P_VALUES = np.array(
    [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1]
)


def test_overdispersion_is_that_of_the_scores_and_outliers_do_not_raise_it():
    # With q = 1.2816 and density φ(q) = .1755, the winsorised variance is .8 − 2 q φ(q) + .2 q² = .679, its root .824.
    scores = 2 * np.random.default_rng(1).standard_normal(4000)
    assert estimate_overdispersion(scores) == pytest.approx(2 * 0.824, rel=0.05)
    assert estimate_overdispersion(np.append(scores, [500.0] * 40)) == pytest.approx(2 * 0.824, rel=0.05)


def test_the_funnel_is_never_narrowed_and_few_points_do_not_widen_it():
    assert estimate_overdispersion(np.zeros(20)) == 1
    assert estimate_overdispersion(np.array([-9.0, 9.0, 9.0, -9.0])) == 1


def test_calls_agree_with_the_published_example_and_with_the_limits_drawn():
    is_different, limit_alpha = call_different(PUBLISHED_P_VALUES, np.ones(15, bool), 0.05)
    assert is_different.tolist() == [True] * 4 + [False] * 11
    assert limit_alpha == pytest.approx(4 * 0.05 / 15)
    assert ((limit_alpha >= PUBLISHED_P_VALUES) == is_different).all()


def test_points_that_are_not_judged_never_differ():
    is_judged = np.arange(15) > 3
    is_different, limit_alpha = call_different(PUBLISHED_P_VALUES, is_judged, 0.05)
    assert not is_different.any()
    assert limit_alpha == pytest.approx(0.05 / 11)
    assert call_different(PUBLISHED_P_VALUES, np.zeros(15, bool), 0.05)[1] == 0.05


def test_false_calls_among_equal_points_stay_at_the_stated_rate():
    random = np.random.default_rng(2)
    p_values = random.uniform(size=(1000, 20))
    alarms = sum(call_different(row, np.ones(20, bool), 0.05)[0].any() for row in p_values)
    assert alarms <= stats.binom.ppf(0.999, 1000, 0.05)


def test_a_rate_of_0_or_1_has_a_variance_that_shrinks_with_the_size():
    sizes = np.array([10.0, 1000.0])
    for overall in (0.0, 1.0):
        small, large = compute_binomial_variance(overall, sizes)
        assert small > large > 0
    assert compute_binomial_variance(0.2, sizes) == pytest.approx([0.16, 0.16])
