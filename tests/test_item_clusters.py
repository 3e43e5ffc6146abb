"""Items that were judged more than once count as fewer, in the change and in the search for drivers."""

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.drivers import rank_drivers


def draw_audits(seed, period, *, items=100, judgments=20, raters=30, item_sd=1.3, raised_policy=None):
    """Draw items of a policy and a queue with differing difficulty, each judged by several raters."""
    rng = np.random.default_rng([seed, period])
    item = np.repeat(np.arange(items), judgments)
    policy = rng.choice(["a", "b", "c"], items, p=[0.5, 0.3, 0.2])[item]
    queue = rng.choice(["q1", "q2"], items)[item]
    rater = np.concatenate([rng.choice(raters, judgments, replace=False) for _ in range(items)])
    log_odds = -2.6 + rng.normal(0, item_sd, items)[item] + 2.5 * (policy == raised_policy)
    error = (rng.random(len(item)) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return pd.DataFrame(
        {
            "item_id": [f"{period}-{number}" for number in item],
            "policy": policy,
            "queue": queue,
            "rater": [f"r{number}" for number in rater],
            "error": error,
        }
    )


def without_items(tables):
    """Return the tables without `item_id`."""
    return [table.drop(columns="item_id") for table in tables]


def test_items_that_differ_by_chance_raise_no_false_alarms():
    alarms = changes = alarms_without_items = 0
    for seed in range(40):
        periods = [draw_audits(seed, period) for period in (0, 1)]
        drivers = rank_drivers(*periods, ["policy", "queue"])
        alarms += bool(drivers.named_slices)
        changes += drivers.change.excludes_zero
        if seed < 10:
            alarms_without_items += bool(rank_drivers(*without_items(periods), ["policy", "queue"]).named_slices)
    # .05 of 40 is 2; more than 7 has a probability below .1 %. Without item_id most of these are false alarms.
    assert alarms <= 7 and changes <= 7 and alarms_without_items > 3


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_that_got_worse_is_named_with_repeated_items(seed):
    baseline = draw_audits(seed, 0, items=150)
    current = draw_audits(seed, 1, items=150, raised_policy="b")
    drivers = rank_drivers(baseline, current, ["policy", "queue"])
    assert drivers.named_slices[0].where == {"policy": "b"} and drivers.change.low > 0


def test_items_judged_once_change_nothing():
    periods = [
        draw_audits(1, period, items=1500, judgments=1, raised_policy=policy)
        for period, policy in ((0, None), (1, "c"))
    ]
    with_items = rank_drivers(*periods, ["policy", "queue"])
    assert with_items.named_slices
    assert with_items == rank_drivers(*without_items(periods), ["policy", "queue"])


def test_the_order_of_rows_does_not_matter_with_repeated_items():
    periods = [draw_audits(2, period, items=40, raised_policy=policy) for period, policy in ((0, None), (1, "a"))]
    shuffled = [table.sample(frac=1, random_state=3) for table in periods]
    assert rank_drivers(*shuffled, ["policy", "queue"]) == rank_drivers(*periods, ["policy", "queue"])


def test_intervals_of_rates_are_wider_with_repeated_items():
    periods = [draw_audits(3, period) for period in (0, 1)]
    independent = rank_drivers(*without_items(periods), ["policy"]).after
    clustered = rank_drivers(*periods, ["policy"]).after
    assert clustered.value == independent.value
    assert clustered.high - clustered.low > 1.5 * (independent.high - independent.low)
