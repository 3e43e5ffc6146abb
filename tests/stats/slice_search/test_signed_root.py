"""Scores of few errors against exact probabilities."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from rca_lib.stats.slice_search.signed_root import compute_signed_root


@pytest.mark.parametrize("mean", [3, 5, 9, 15, 25, 40])
def test_scores_agree_with_exact_poisson_mid_p_values(mean):
    errors = np.arange(3 * mean + 8)
    mid_probability = poisson.pmf(errors, mean) / 2
    lower_tail = poisson.cdf(errors - 1, mean) + mid_probability
    upper_tail = poisson.sf(errors, mean) + mid_probability
    exact = np.where(lower_tail < 0.5, norm.ppf(lower_tail), norm.isf(upper_tail))
    items, means = np.full(len(errors), 1e7), np.full(len(errors), float(mean))
    variance = np.full(len(errors), mean * (1 - mean / 1e7))
    scores = compute_signed_root(items, means, variance, errors - means, variance, variance)
    compared = np.abs(exact) < 5.5
    assert scores[compared] == pytest.approx(exact[compared], abs=0.09)
