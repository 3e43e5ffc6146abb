"""Items that were judged more than once: their audits count as fewer, in the change and in the search."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.drivers import rank_drivers
from rca_lib.stats.cells import Cells, Judged
from rca_lib.stats.item_clusters import correlate_items, inflate_cells, inflate_slices


def _draw(seed, period, *, items=100, judgments=20, raters=30, spread=1.3, lifted=None):
    """Items of a policy and a queue that are differently hard, each judged by several raters."""
    draw = np.random.default_rng([seed, period])
    item = np.repeat(np.arange(items), judgments)
    policy = draw.choice(["a", "b", "c"], items, p=[0.5, 0.3, 0.2])[item]
    queue = draw.choice(["q1", "q2"], items)[item]
    rater = np.concatenate([draw.choice(raters, judgments, replace=False) for _ in range(items)])
    odds = -2.6 + draw.normal(0, spread, items)[item] + 2.5 * (policy == lifted)
    table = pd.DataFrame({"item_id": [f"{period}-{one}" for one in item], "policy": policy, "queue": queue})
    error = (draw.random(len(item)) < 1 / (1 + np.exp(-odds))).astype(int)
    return table.assign(rater=[f"r{one}" for one in rater], error=error)


def test_nothing_is_named_where_items_judged_twenty_times_differ_by_chance():
    alarms, changes, blind = 0, 0, 0
    for seed in range(40):
        pair = [_draw(seed, period) for period in (0, 1)]
        drivers = rank_drivers(*pair, ["policy", "queue"])
        alarms += bool(drivers.named)
        changes += drivers.change.excludes_zero
        if seed < 10:
            blind += bool(rank_drivers(*(one.drop(columns="item_id") for one in pair), ["policy", "queue"]).named)
    # .05 of 40 is 2; more than 7 has a probability below .1 %. Without item_id most of these are false alarms.
    assert alarms <= 7 and changes <= 7 and blind > 3


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_that_got_worse_is_still_named(seed):
    drivers = rank_drivers(_draw(seed, 0, items=150), _draw(seed, 1, items=150, lifted="b"), ["policy", "queue"])
    assert drivers.named[0].where == {"policy": "b"} and drivers.change.low > 0


def test_items_judged_once_change_nothing():
    pair = [_draw(1, period, items=1500, judgments=1, lifted=lifted) for period, lifted in ((0, None), (1, "c"))]
    with_items, without = (
        rank_drivers(*tables, ["policy", "queue"]) for tables in (pair, [one.drop(columns="item_id") for one in pair])
    )
    assert with_items == without and with_items.named


def test_the_order_of_rows_does_not_matter_where_items_repeat():
    pair = [_draw(2, period, items=40, lifted=lifted) for period, lifted in ((0, None), (1, "a"))]
    shuffled = [table.sample(frac=1, random_state=3) for table in pair]
    assert rank_drivers(*shuffled, ["policy", "queue"]) == rank_drivers(*pair, ["policy", "queue"])


def test_rates_of_slices_are_less_certain_where_their_items_repeat():
    pair = [_draw(3, period) for period in (0, 1)]
    plain = rank_drivers(*(one.drop(columns="item_id") for one in pair), ["policy"])
    clustered = rank_drivers(*pair, ["policy"])
    assert clustered.after.value == plain.after.value
    assert clustered.after.high - clustered.after.low > 1.5 * (plain.after.high - plain.after.low)


def test_the_variance_of_a_slice_grows_with_the_judgments_of_an_item_in_it():
    # Two raters judge 50 items, an item belongs to one of two policies: 1 + (2 - 1) rho for policies, 1 for raters.
    item, rater = (one.ravel() for one in np.meshgrid(np.arange(50), np.arange(2), indexing="ij"))
    one, chance = np.ones(100), np.full(100, 0.2)
    cells = Cells(np.array([item % 2, rater]), one, one * 0, one)
    judged = Judged(np.arange(100), item, one, one * 0, one)
    policies, different = inflate_slices(cells, judged, chance, 0.3, (0,), (2, 2))
    assert policies == pytest.approx([1.3, 1.3]) and different.tolist() == [25, 25]
    assert inflate_slices(cells, judged, chance, 0.3, (1,), (2, 2))[0] == pytest.approx([1.0, 1.0])
    assert inflate_slices(cells, judged, chance, 0.3, (), (2, 2))[0] == pytest.approx([1.3])
    assert inflate_cells(judged, chance, 0.3) == pytest.approx(np.ones(100))


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.6])
def test_the_correlation_of_audits_of_one_item_is_recovered(correlation):
    draw = np.random.default_rng(5)
    item, one = np.repeat(np.arange(8000), 4), np.ones(32000)
    same = draw.random(8000)[item] < 0.1  # with this chance an audit errs as all of its item do
    follows = draw.random(8000)[item] < correlation
    errors = np.where(follows, same, draw.random(32000) < 0.1).astype(float)
    cells = Cells(np.zeros((1, 1), int), one[:1], one[:1], one[:1])
    judged = Judged(np.zeros(32000, int), item, one, errors, one)
    found = correlate_items([cells], [judged], [np.array([0.1])])
    assert found == pytest.approx(correlation, abs=0.06)
