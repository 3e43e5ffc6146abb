"""The change of a rate between two periods: raters, items and offsets."""

import numpy as np
import pytest

from rca_lib.stats.cells import Cells, Judged
from rca_lib.stats.rate_changes import compare_rates


def _one(errors, items):
    return Cells(np.zeros((1, 1), np.int64), np.array([items]), np.array([errors]), np.array([items]))


def test_the_change_of_two_rates_has_the_published_score_interval():
    # 56/70 against 48/80: Newcombe (1998 II), table II (a), method 10.
    found, p_value = compare_rates([_one(48.0, 80.0), _one(56.0, 70.0)])
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert 0.005 < p_value < 0.05


@pytest.mark.parametrize("errors", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (2.0, 2.0), (0.0, 2.0), (2.0, 0.5)])
def test_no_change_leaves_100_points(errors):
    cells = [Cells(np.array([[0, 1]]), np.ones(2), np.full(2, error / 2), np.ones(2)) for error in errors]
    for offsets in ((0.0, 0.0), (np.array([0.2, 0.0]), np.array([0.0, 0.9]))):
        found, p_value = compare_rates(cells, offsets=offsets, clusters=0)
        assert -1 <= found.low <= found.value <= found.high <= 1 and 0 <= p_value <= 1


def test_raters_who_differ_widen_the_interval_and_it_covers_as_promised():
    draw, hits, naive = np.random.default_rng(11), 0, 0
    for _ in range(400):
        cells = []
        for _ in range(2):  # 20 raters with their own new error rate in each period: mean 0.2, so no true change
            errors = draw.binomial(50, draw.beta(4, 16, 20)).astype(float)
            cells.append(Cells(np.arange(20)[None], np.full(20, 50.0), errors, np.full(20, 50.0)))
        hits += compare_rates(cells, clusters=0)[0].low <= 0 <= compare_rates(cells, clusters=0)[0].high
        naive += compare_rates(cells)[0].low <= 0 <= compare_rates(cells)[0].high
    assert 0.92 <= hits / 400 <= 0.98
    assert naive / 400 < 0.85


def _judge(draw, items, judgments, first_item, spread):
    """Every item is judged by some of twelve raters; items differ, so that errors on one item hang together."""
    item = np.repeat(np.arange(items), judgments)
    rater = np.concatenate([draw.choice(12, judgments, replace=False) for _ in range(items)])
    chance = 1 / (1 + np.exp(2.2 - draw.normal(0, spread, items)[item]))
    errors, one = (draw.random(len(item)) < chance).astype(float), np.ones(len(item))
    return Cells(rater[None], one, errors, one), Judged(np.arange(len(item)), item + first_item, one, errors, one)


@pytest.mark.parametrize("judgments", [5, 12])
def test_items_judged_many_times_widen_the_interval_and_it_covers_as_promised(judgments):
    draw, hits, by_rater = np.random.default_rng(12), 0, 0
    for _ in range(300):
        pairs = [_judge(draw, 40, judgments, first, 1.5) for first in (0, 40)]
        cells, judged = zip(*pairs, strict=True)
        found, p_value = compare_rates(cells, clusters=0, judged=judged)
        assert (p_value < 0.05) == found.excludes_zero
        hits += not found.excludes_zero
        by_rater += not compare_rates(cells, clusters=0)[0].excludes_zero
    assert hits / 300 >= 0.92  # stated .95
    assert by_rater < hits


def test_what_is_known_to_have_changed_is_no_proof_that_raters_differ():
    # One of six raters makes an error in every audit; the others make the same few as before.
    items = np.full(6, 100.0)
    before = Cells(np.arange(6)[None], items, np.full(6, 2.0), items)
    after = Cells(np.arange(6)[None], items, np.array([100.0, 2, 2, 2, 2, 2]), items)
    shift = np.array([0.98, 0, 0, 0, 0, 0])
    blind, known = (compare_rates([before, after], usual=(0.0, one), clusters=0)[0] for one in (0.0, shift))
    assert not blind.excludes_zero and known.low > 0.1


def test_an_offset_that_explains_why_audits_differ_narrows_the_interval():
    chance = np.array([0.05, 0.8])
    cells = [Cells(np.array([[0, 1]]), np.full(2, 500.0), np.array([25.0, 400.0]), np.full(2, 500.0))] * 2
    wide, narrow = (compare_rates(cells, offsets=(one, one))[0] for one in (0.0, chance))
    assert narrow.high - narrow.low < 0.8 * (wide.high - wide.low)
