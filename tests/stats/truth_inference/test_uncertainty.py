"""Shares of items whose truth was inferred: intervals include the estimation of the model."""

import numpy as np
import pytest

from rca_lib.stats.proportions import estimate_mean_probability
from rca_lib.stats.truth_inference.coded_ratings import CodedRatings
from rca_lib.stats.truth_inference.dawid_skene import fit_dawid_skene
from rca_lib.stats.truth_inference.uncertainty import estimate_shares

N_ITEMS = 600
ALL_ITEMS = np.arange(N_ITEMS)
SECOND_LABEL = np.array([[False, True]])
NO_LABEL = np.array([[False, False]])


def draw_ratings(seed, accuracy=0.75):
    """Draw ratings by three raters of equal accuracy; a fifth of the items have the second label."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(N_ITEMS) < 0.2).astype(int)
    items, raters = np.repeat(ALL_ITEMS, 3), np.tile(np.arange(3), N_ITEMS)
    labels = np.where(rng.random(3 * N_ITEMS) < accuracy, truth[items], 1 - truth[items])
    return CodedRatings(items, raters, labels, (N_ITEMS, 3, 2), np.zeros(3, int), np.zeros(N_ITEMS, int)), truth


def test_estimating_the_model_widens_the_interval():
    ratings, _ = draw_ratings(0)
    fit = fit_dawid_skene(ratings)
    (share,) = estimate_shares(ratings, fit, [(ALL_ITEMS, SECOND_LABEL)])
    plain = estimate_mean_probability(fit.label_probabilities[:, 1])
    assert share.value == plain.value
    assert share.high - share.low > 1.2 * (plain.high - plain.low)


def test_interval_is_that_of_counts_if_raters_hardly_err():
    ratings, truth = draw_ratings(1, accuracy=0.999)
    (share,) = estimate_shares(ratings, fit_dawid_skene(ratings), [(ALL_ITEMS, SECOND_LABEL)])
    plain = estimate_mean_probability(truth.astype(float))
    assert (share.low, share.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_a_state_that_no_item_can_have_has_a_share_of_zero():
    ratings, _ = draw_ratings(2)
    (share,) = estimate_shares(ratings, fit_dawid_skene(ratings), [(ALL_ITEMS, NO_LABEL)])
    assert (share.value, share.low) == (0, 0)
    assert 0 < share.high < 0.01
