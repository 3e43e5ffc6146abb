"""Design effects of items that were judged more than once."""

import numpy as np
import pytest

from rca_lib.stats.slice_search.contingency import CellItemCounts, ContingencyTable
from rca_lib.stats.slice_search.item_design_effects import (
    compute_cell_design_effects,
    compute_slice_design_effects,
    estimate_item_correlation,
)


def test_the_design_effect_of_a_slice_grows_with_the_judgments_of_an_item_in_it():
    # Two raters judge 50 items, an item belongs to one of two policies: 1 + (2 - 1) rho for policies, 1 for raters.
    item, rater = (codes.ravel() for codes in np.meshgrid(np.arange(50), np.arange(2), indexing="ij"))
    ones, zeros, rates = np.ones(100), np.zeros(100), np.full(100, 0.2)
    table = ContingencyTable(np.array([item % 2, rater]), ones, zeros, ones)
    counts = CellItemCounts(np.arange(100), item, ones, zeros, ones)
    by_policy, distinct_items = compute_slice_design_effects(table, counts, rates, 0.3, (0,), (2, 2))
    by_rater, _ = compute_slice_design_effects(table, counts, rates, 0.3, (1,), (2, 2))
    overall, _ = compute_slice_design_effects(table, counts, rates, 0.3, (), (2, 2))
    assert by_policy == pytest.approx([1.3, 1.3])
    assert distinct_items.tolist() == [25, 25]
    assert by_rater == pytest.approx([1.0, 1.0])
    assert overall == pytest.approx([1.3])
    assert compute_cell_design_effects(counts, rates, 0.3) == pytest.approx(np.ones(100))


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.6])
def test_the_correlation_of_audits_of_one_item_is_recovered(correlation):
    rng = np.random.default_rng(5)
    item, ones = np.repeat(np.arange(8000), 4), np.ones(32000)
    item_outcome = rng.random(8000)[item] < 0.1
    follows_item = rng.random(8000)[item] < correlation
    errors = np.where(follows_item, item_outcome, rng.random(32000) < 0.1).astype(float)
    counts = CellItemCounts(np.zeros(32000, int), item, ones, errors, ones)
    assert estimate_item_correlation([counts], [np.array([0.1])]) == pytest.approx(correlation, abs=0.06)
