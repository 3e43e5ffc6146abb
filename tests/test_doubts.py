"""Shares of items, where the model that tells of each item was learned from the same items."""

import numpy as np
import pytest

from rca_lib.stats.doubts import estimate_shares
from rca_lib.stats.rates import mean_chance
from rca_lib.stats.truths import Judgements, infer_truths

LABEL = np.array([[False, True]])


def draw(seed, items=600, accuracy=0.75):
    """Three raters of equal accuracy judge items of which a fifth are of the second label."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(items) < 0.2).astype(int)
    item, rater = np.repeat(np.arange(items), 3), np.tile(np.arange(3), items)
    label = np.where(rng.random(3 * items) < accuracy, truth[item], 1 - truth[item])
    return Judgements(item, rater, label, (items, 3, 2), np.zeros(3, int), np.zeros(items, int)), truth


def test_what_was_learned_widens_the_interval():
    judgements, _ = draw(0)
    found = infer_truths(judgements)
    (share,) = estimate_shares(judgements, found, [(np.arange(600), LABEL)])
    plain = mean_chance(found.chances[:, 1])
    assert share.value == plain.value
    assert share.high - share.low > 1.2 * (plain.high - plain.low)


def test_where_raters_hardly_err_the_interval_is_that_of_counts():
    judgements, truth = draw(1, accuracy=0.999)
    found = infer_truths(judgements)
    (share,) = estimate_shares(judgements, found, [(np.arange(600), LABEL)])
    plain = mean_chance(truth.astype(float))
    assert (share.low, share.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_what_no_item_may_be_has_a_share_of_none():
    judgements, _ = draw(2)
    (share,) = estimate_shares(judgements, infer_truths(judgements), [(np.arange(600), ~LABEL & LABEL)])
    assert (share.value, share.low) == (0, 0) and 0 < share.high < 0.01
