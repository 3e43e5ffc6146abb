from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import count_steps, items_repeat
from rca_lib.questions.quality import measure_quality
from rca_lib.questions.trend import find_changes
from rca_lib.stats.repeated_items import judgment_correlation


def judged(seed, *, items=100, times=20, rate=0.1, sure=0.5, days=60, raters=15):
    """Judgments of items of differing difficulty, dealt to days at random; nothing changes over time."""
    draw = np.random.default_rng(seed)
    hard = np.clip(draw.gamma(sure, rate / sure, items), 0, 0.9)
    item = np.repeat(np.arange(items), times)
    start = [date(2026, 1, 1) + timedelta(days=int(day)) for day in draw.integers(0, days, items)]
    return pd.DataFrame(
        {
            "item_id": [f"i{number}" for number in item],
            "rater": [f"r{number}" for number in draw.integers(0, raters, len(item))],
            "error": (draw.random(len(item)) < hard[item]).astype(int),
            "day": [start[number] for number in item],
        }
    )


def test_the_correlation_of_judgments_is_found():
    draw = np.random.default_rng(1)
    for rho in (0.0, 0.1, 0.4):
        rate = np.full(4000, 0.1) if rho == 0 else draw.beta(0.1 * (1 / rho - 1), 0.9 * (1 / rho - 1), 4000)
        judgments = draw.integers(1, 9, 4000)
        errors = draw.binomial(judgments, rate).astype(float)
        assert judgment_correlation(errors, judgments.astype(float)) == pytest.approx(rho, abs=0.03)
    assert judgment_correlation(np.zeros(5), np.full(5, 4.0)) == 0
    assert judgment_correlation(np.ones(5), np.ones(5)) == 0


def test_judgments_of_one_item_are_no_news_day_by_day():
    # 60 series at .05: 3 alarms expected, more than 8 have a probability below .01.
    tables = [judged(seed, sure=2.0) for seed in range(1000, 1060)]
    assert sum(bool(find_changes(count_steps(table)).changes) for table in tables) <= 8
    steps, naive = count_steps(tables[0]), count_steps(tables[0].drop(columns="item_id"))
    assert steps["items"].sum() < 0.7 * naive["items"].sum()


def test_a_rate_of_items_judged_often_is_covered_as_promised():
    rates = [measure_quality(judged(seed, sure=2.0)).error_rate for seed in range(100, 160)]
    covered = sum(rate.low <= 0.1 <= rate.high for rate in rates)
    assert covered >= 51  # 57 expected at .95; fewer than 51 has a probability of .003
    naive = measure_quality(judged(3).drop(columns="item_id")).error_rate
    wide = measure_quality(judged(3)).error_rate
    assert wide.high - wide.low > 1.5 * (naive.high - naive.low)


def test_a_jump_of_the_rate_is_still_found_in_items_judged_often():
    table = judged(5, items=400, times=5, sure=4.0)
    later = pd.to_datetime(table["day"]) >= "2026-02-01"
    draw = np.random.default_rng(6)
    table["error"] = table["error"].where(~later | (draw.random(len(table)) > 0.25), 1)
    changes = find_changes(count_steps(table)).changes
    assert [change.kind for change in changes] and changes[0].difference.low > 0


def test_a_series_of_items_judged_once_is_counted_as_ever():
    table = judged(2, items=300, times=1)
    assert not items_repeat(table)
    pd.testing.assert_frame_equal(count_steps(table), count_steps(table.drop(columns="item_id")))


def test_weeks_count_items_judged_on_several_days_once():
    table = judged(4, items=40, times=10)
    days = count_steps(table, step="week")
    assert (days["items"] <= count_steps(table.drop(columns="item_id"), step="week")["items"] + 1e-9).all()
    assert (days["errors"] <= days["items"]).all()
    shuffled = count_steps(table.sample(frac=1, random_state=1), step="week")
    pd.testing.assert_frame_equal(days, shuffled)
