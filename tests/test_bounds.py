"""Bounds: whatever the audits, a rate stays within 0 to 1, a change within -1 to 1 and a count within its audits."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.drivers import rank_drivers
from rca_lib.questions.portfolio import compare_sites
from rca_lib.questions.quality import measure_quality
from rca_lib.questions.rivals import weigh_rivals
from rca_lib.questions.trend import find_changes
from rca_lib.stats.rates import clustered_rate, detectable_change, wilson, wilson_ends

SCALES = (1e-6, 1.0, 1e12)


def draw_audits(draw, start=date(2026, 3, 1)):
    """A small odd table: 1 to 60 audits, few or many raters, items judged once or often, weights of any spread."""
    size = int(draw.choice([1, 2, 3, 7, 20, 60]))
    rate = draw.choice([0.0, 0.02, 0.5, 1.0])
    truth = draw.choice(["benign", "hate"], size)
    wrong = draw.random(size) < rate
    audits = pd.DataFrame(
        {
            "audit_id": [f"a{number}" for number in range(size)],
            "item_id": [f"i{number}" for number in draw.integers(0, draw.choice([1, 5, 1000]), size)],
            "site": draw.choice(["here", "there"], size),
            "rater": [f"r{number}" for number in draw.integers(0, draw.choice([1, 3, 40]), size)],
            "queue": draw.choice(["a", "b", "c"], size),
            "policy": truth,
            "severity": draw.choice(["safety_critical", "non_critical"], size),
            "label": np.where(wrong, np.where(truth == "hate", "benign", "hate"), truth),
            "truth": truth,
            "day": [start + timedelta(days=int(one)) for one in draw.integers(0, 28, size)],
        }
    )
    spread = draw.choice([0.0, 1.0, 12.0])
    return audits.assign(weight=draw.lognormal(0, spread, size)) if draw.random() < 0.7 else audits


def within(found, low=0.0, high=1.0):
    """Whether an estimate and its interval are in order and within bounds."""
    return found is None or low <= found.low <= found.value <= found.high <= high


def test_every_rate_of_a_place_and_period_is_within_0_and_1():
    draw = np.random.default_rng(1)
    for _ in range(150):
        audits = draw_audits(draw)
        quality = measure_quality(audits, by=["queue"])
        rates = [quality.error_rate, quality.accuracy, quality.over_enforcement, quality.under_enforcement]
        rates += [quality.severity_weighted_accuracy, *(part.error_rate for part in quality.by_policy)]
        assert all(map(within, [*rates, *(part.error_rate for part in quality.slices)]))
        assert 0 <= quality.error_rate.errors <= quality.error_rate.items == len(audits)
        least = quality.minimum_detectable
        assert least is None or 0 < least.value <= 1 - quality.error_rate.value + 1e-9
        assert 1 / len(audits) - 1e-9 <= quality.heaviest.value <= 1


@pytest.mark.parametrize("scale", SCALES)
def test_the_unit_of_the_weights_changes_no_answer(scale):
    draw = np.random.default_rng(2)
    for _ in range(20):
        audits = draw_audits(draw).assign(weight=lambda table: draw.lognormal(0, 1, len(table)))
        one, other = measure_quality(audits), measure_quality(audits.assign(weight=audits["weight"] * scale))
        for name in ("error_rate", "accuracy"):
            numbers = [
                [getattr(getattr(found, name), end) for end in ("value", "low", "high")] for found in (one, other)
            ]
            assert numbers[0] == pytest.approx(numbers[1], abs=1e-9)
        assert (one.summary(), one.heavy) == (other.summary(), other.heavy)


def test_every_change_of_a_rate_is_within_minus_100_and_100_points():
    draw = np.random.default_rng(3)
    for _ in range(60):
        tables = [draw_audits(draw, start) for start in (date(2026, 2, 1), date(2026, 3, 1))]
        if len({"weight" in table for table in tables}) > 1:
            tables = [table.drop(columns="weight", errors="ignore") for table in tables]
        drivers = rank_drivers(*tables, ["queue"])
        changes = [drivers.change, drivers.mix, drivers.rate, drivers.unexplained]
        parts = [part.part for part in drivers.mix_parts if part.part.low is not None]
        assert all(within(one, -1.0) for one in [*changes, *parts]), drivers
        assert all(within(one) for one in (drivers.before, drivers.after))
        assert 0 <= drivers.p_value <= 1
        rivals = weigh_rivals(*tables)
        assert all(within(one, -1.0) for one in (rivals.change, rivals.naive_change)), rivals
        assert all(within(rival.part, -1.0) for rival in rivals.rivals if rival.part), rivals


def test_every_number_of_a_series_is_within_its_bounds():
    draw = np.random.default_rng(4)
    for _ in range(60):
        days = int(draw.choice([1, 2, 5, 30, 90]))
        items = draw.integers(1, draw.choice([2, 8, 300]), days).astype(float)
        errors = draw.binomial(items.astype(int), draw.choice([0.0, 0.05, 0.5, 1.0], days)).astype(float)
        counts = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=days), "errors": errors, "items": items})
        trend = find_changes(counts)
        for change in trend.changes:
            assert within(change.before) and within(change.after) and within(change.difference, -1.0)
        assert all(within(spike.difference, -1.0) and within(spike.value) for spike in trend.outliers)
        assert all(0 <= step.low <= step.value <= step.high <= 1 for step in trend.steps)
        assert 0 <= trend.minimum_detectable.value <= 1


def test_every_point_of_the_funnel_is_within_0_and_1():
    draw = np.random.default_rng(5)
    for _ in range(60):
        audits = draw_audits(draw)
        for point in compare_sites(audits, sites=(), periods=()).points:
            assert within(point.rate) and 0 <= point.adjusted <= 1 and 0 <= point.p_value <= 1
            assert 0 <= point.lower <= point.upper <= 1
            assert 0 < point.items <= point.rate.items + 1e-9


def test_an_interval_of_a_rate_holds_the_rate_whatever_rounding_does():
    draw = np.random.default_rng(6)
    for _ in range(1000):
        rate, items = draw.choice([0.0, 1.0, draw.random(), 1e-9, 1 - 1e-9]), 10 ** draw.uniform(-3, 9)
        low, high = wilson_ends(rate, items, draw.uniform(0.1, 60))
        assert 0 <= low <= rate <= high <= 1
        low, high = wilson(rate * items, items)
        assert 0 <= low <= rate + 1e-12 and rate - 1e-12 <= high <= 1
        rise = detectable_change(rate, items)
        assert np.isnan(rise) or 0 < rise <= 1 - rate + 1e-9


def test_a_rate_of_one_heavy_audit_is_wide_and_one_item_judged_often_counts_once():
    weight = np.array([1e6, 7.0])
    heavy = clustered_rate(np.array([False, True]), np.array([1.0, 7.0]), weight, np.array([1e12, 7.0])).rate
    assert heavy.low == 0 or heavy.high - heavy.low > 0.7
    judged = np.zeros(20, int)
    ones, wrong = np.ones(20), np.arange(20) < 10
    alone = clustered_rate(wrong, ones, ones, ones, np.arange(20), judged).rate
    assert alone.high - alone.low > 0.8
