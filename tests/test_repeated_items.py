"""Items that were judged more than once: rates, series and their intervals count each item for what it tells."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from rca_lib.audits.counting import has_repeated_items
from rca_lib.audits.time_series import count_over_time
from rca_lib.questions.quality import measure_quality
from rca_lib.questions.trend import find_changes


def draw_judgments(seed, *, items=100, per_item=20, rate=0.1, shape=0.5, days=60, raters=15):
    """Draw judgments of items of gamma-distributed difficulty on random days; nothing changes over time."""
    rng = np.random.default_rng(seed)
    difficulty = np.clip(rng.gamma(shape, rate / shape, items), 0, 0.9)
    item = np.repeat(np.arange(items), per_item)
    item_days = [date(2026, 1, 1) + timedelta(days=int(day)) for day in rng.integers(0, days, items)]
    return pd.DataFrame(
        {
            "item_id": [f"i{number}" for number in item],
            "rater": [f"r{number}" for number in rng.integers(0, raters, len(item))],
            "error": (rng.random(len(item)) < difficulty[item]).astype(int),
            "day": [item_days[number] for number in item],
        }
    )


def test_correlated_judgments_of_one_item_raise_no_false_alarms_in_a_series():
    # 60 series at .05: 3 alarms expected, more than 8 have a probability below .01.
    tables = [draw_judgments(seed, shape=2.0) for seed in range(1000, 1060)]
    assert sum(bool(find_changes(count_over_time(table)).changes) for table in tables) <= 8
    by_item = count_over_time(tables[0])
    independent = count_over_time(tables[0].drop(columns="item_id"))
    assert by_item["items"].sum() < 0.7 * independent["items"].sum()


def test_the_interval_of_a_rate_with_repeated_items_holds_its_coverage():
    rates = [measure_quality(draw_judgments(seed, shape=2.0)).error_rate for seed in range(100, 160)]
    covered = sum(rate.low <= 0.1 <= rate.high for rate in rates)
    assert covered >= 51  # 57 expected at .95; fewer than 51 has a probability of .003
    independent = measure_quality(draw_judgments(3).drop(columns="item_id")).error_rate
    clustered = measure_quality(draw_judgments(3)).error_rate
    assert clustered.high - clustered.low > 1.5 * (independent.high - independent.low)


def test_a_jump_of_the_rate_is_detected_with_repeated_items():
    table = draw_judgments(5, items=400, per_item=5, shape=4.0)
    is_later = pd.to_datetime(table["day"]) >= "2026-02-01"
    rng = np.random.default_rng(6)
    table["error"] = table["error"].where(~is_later | (rng.random(len(table)) > 0.25), 1)
    changes = find_changes(count_over_time(table)).changes
    assert [change.kind for change in changes] and changes[0].difference.low > 0


def test_a_series_of_items_judged_once_is_counted_without_items():
    table = draw_judgments(2, items=300, per_item=1)
    assert not has_repeated_items(table)
    pd.testing.assert_frame_equal(count_over_time(table), count_over_time(table.drop(columns="item_id")))


def test_a_week_counts_an_item_once_that_was_judged_on_several_days():
    table = draw_judgments(4, items=40, per_item=10)
    by_item = count_over_time(table, step="week")
    independent = count_over_time(table.drop(columns="item_id"), step="week")
    assert (by_item["items"] <= independent["items"] + 1e-9).all()
    assert (by_item["errors"] <= by_item["items"]).all()
    shuffled = count_over_time(table.sample(frac=1, random_state=1), step="week")
    pd.testing.assert_frame_equal(by_item, shuffled)
