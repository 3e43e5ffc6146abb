"""The change of a rate between two periods: raters, items and offsets."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.adjusted_difference import estimate_adjusted_difference
from rca_lib.stats.slice_search.contingency import CellItemCounts, ContingencyTable


def build_single_cell(errors, items):
    """Return a table with one cell."""
    return ContingencyTable(np.zeros((1, 1), np.int64), np.array([items]), np.array([errors]), np.array([items]))


def test_the_change_of_two_rates_has_the_published_interval():
    # 56/70 against 48/80: Newcombe (1998 II), table II (a), method 10.
    change, p_value = estimate_adjusted_difference([build_single_cell(48.0, 80.0), build_single_cell(56.0, 70.0)])
    assert (change.value, change.low, change.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert 0.005 < p_value < 0.05


@pytest.mark.parametrize("errors", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (2.0, 2.0), (0.0, 2.0), (2.0, 0.5)])
def test_the_interval_of_a_change_stays_within_100_points(errors):
    periods = [
        ContingencyTable(np.array([[0, 1]]), np.ones(2), np.full(2, period_errors / 2), np.ones(2))
        for period_errors in errors
    ]
    for offsets in ((0.0, 0.0), (np.array([0.2, 0.0]), np.array([0.0, 0.9]))):
        change, p_value = estimate_adjusted_difference(periods, offsets=offsets, rater_dimension=0)
        assert -1 <= change.low <= change.value <= change.high <= 1
        assert 0 <= p_value <= 1


def test_differences_between_raters_widen_the_interval_to_its_stated_coverage():
    rng = np.random.default_rng(11)
    covered = covered_without_raters = 0
    for _ in range(400):
        periods = []
        for _ in range(2):  # 20 raters with their own new error rate in each period: mean 0.2, so no true change
            errors = rng.binomial(50, rng.beta(4, 16, 20)).astype(float)
            periods.append(ContingencyTable(np.arange(20)[None], np.full(20, 50.0), errors, np.full(20, 50.0)))
        covered += not estimate_adjusted_difference(periods, rater_dimension=0)[0].excludes_zero
        covered_without_raters += not estimate_adjusted_difference(periods)[0].excludes_zero
    assert 0.92 <= covered / 400 <= 0.98
    assert covered_without_raters / 400 < 0.85


def draw_repeated_items(rng, items, judgments, first_item, item_sd):
    """Draw judgments of items by some of twelve raters; items differ in difficulty, so that their errors correlate."""
    item = np.repeat(np.arange(items), judgments)
    rater = np.concatenate([rng.choice(12, judgments, replace=False) for _ in range(items)])
    rates = 1 / (1 + np.exp(2.2 - rng.normal(0, item_sd, items)[item]))
    errors = (rng.random(len(item)) < rates).astype(float)
    ones = np.ones(len(item))
    table = ContingencyTable(rater[None], ones, errors, ones)
    return table, CellItemCounts(np.arange(len(item)), item + first_item, ones, errors, ones)


@pytest.mark.parametrize("judgments", [5, 12])
def test_repeated_items_widen_the_interval_to_its_stated_coverage(judgments):
    rng = np.random.default_rng(12)
    covered = covered_by_rater = 0
    for _ in range(300):
        drawn = [draw_repeated_items(rng, 40, judgments, first_item, 1.5) for first_item in (0, 40)]
        periods, item_counts = zip(*drawn, strict=True)
        change, p_value = estimate_adjusted_difference(periods, rater_dimension=0, item_counts=item_counts)
        assert (p_value < 0.05) == change.excludes_zero
        covered += not change.excludes_zero
        covered_by_rater += not estimate_adjusted_difference(periods, rater_dimension=0)[0].excludes_zero
    assert covered / 300 >= 0.92  # stated .95
    assert covered_by_rater < covered


def test_a_known_change_of_one_rater_does_not_count_as_difference_between_raters():
    # One of six raters makes an error in every audit; the others make the same few as before.
    items = np.full(6, 100.0)
    before = ContingencyTable(np.arange(6)[None], items, np.full(6, 2.0), items)
    after = ContingencyTable(np.arange(6)[None], items, np.array([100.0, 2, 2, 2, 2, 2]), items)
    known_change = np.array([0.98, 0, 0, 0, 0, 0])
    without, with_known_change = (
        estimate_adjusted_difference([before, after], expected_rates=(0.0, rates), rater_dimension=0)[0]
        for rates in (0.0, known_change)
    )
    assert not without.excludes_zero
    assert with_known_change.low > 0.1


def test_an_offset_that_explains_differences_between_audits_narrows_the_interval():
    expected_rates = np.array([0.05, 0.8])
    table = ContingencyTable(np.array([[0, 1]]), np.full(2, 500.0), np.array([25.0, 400.0]), np.full(2, 500.0))
    wide, narrow = (
        estimate_adjusted_difference([table, table], offsets=(offset, offset))[0] for offset in (0.0, expected_rates)
    )
    assert narrow.high - narrow.low < 0.8 * (wide.high - wide.low)
