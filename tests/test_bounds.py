"""Bounds for arbitrary audits: rates within 0 to 1, changes within −1 to 1, counts within the number of audits."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import Estimate
from rca_lib.questions.alternative_explanations import assess_alternatives
from rca_lib.questions.drivers import rank_drivers
from rca_lib.questions.portfolio import compare_sites
from rca_lib.questions.quality import measure_quality
from rca_lib.questions.trend import find_changes
from rca_lib.stats.power import minimum_detectable_change
from rca_lib.stats.proportions import estimate_clustered_rate, score_interval, wilson_interval

WEIGHT_UNITS = (1e-6, 1.0, 1e12)


def draw_audits(rng, start=date(2026, 3, 1)):
    """Draw a small table of 1 to 60 audits: few or many raters, repeated items or not, weights of any spread."""
    size = int(rng.choice([1, 2, 3, 7, 20, 60]))
    rate = rng.choice([0.0, 0.02, 0.5, 1.0])
    truth = rng.choice(["benign", "hate"], size)
    is_error = rng.random(size) < rate
    audits = pd.DataFrame(
        {
            "audit_id": [f"a{number}" for number in range(size)],
            "item_id": [f"i{number}" for number in rng.integers(0, rng.choice([1, 5, 1000]), size)],
            "site": rng.choice(["here", "there"], size),
            "rater": [f"r{number}" for number in rng.integers(0, rng.choice([1, 3, 40]), size)],
            "queue": rng.choice(["a", "b", "c"], size),
            "policy": truth,
            "severity": rng.choice(["safety_critical", "non_critical"], size),
            "label": np.where(is_error, np.where(truth == "hate", "benign", "hate"), truth),
            "truth": truth,
            "day": [start + timedelta(days=int(offset)) for offset in rng.integers(0, 28, size)],
        }
    )
    log_weight_sd = rng.choice([0.0, 1.0, 12.0])
    return audits.assign(weight=rng.lognormal(0, log_weight_sd, size)) if rng.random() < 0.7 else audits


def is_within(estimate, low=0.0, high=1.0):
    """Return whether an estimate and its interval are in order and within bounds."""
    return estimate is None or low <= estimate.low <= estimate.value <= estimate.high <= high


def test_every_rate_of_a_site_and_period_is_within_0_and_1():
    rng = np.random.default_rng(1)
    for _ in range(150):
        audits = draw_audits(rng)
        quality = measure_quality(audits)
        rates = [quality.error_rate, quality.accuracy, quality.over_enforcement, quality.under_enforcement]
        rates += [quality.severity_weighted_accuracy, *(policy.error_rate for policy in quality.by_policy)]
        assert all(map(is_within, rates))
        assert 0 <= quality.error_rate.errors <= quality.error_rate.items == len(audits)
        detectable = quality.minimum_detectable_change
        assert detectable is None or 0 < detectable.value <= 1 - quality.error_rate.value + 1e-9
        assert 1 / len(audits) - 1e-9 <= quality.max_weight_share.value <= 1


@pytest.mark.parametrize("unit", WEIGHT_UNITS)
def test_the_unit_of_the_weights_does_not_matter(unit):
    rng = np.random.default_rng(2)
    for _ in range(20):
        audits = draw_audits(rng).assign(weight=lambda table: rng.lognormal(0, 1, len(table)))
        original = measure_quality(audits)
        rescaled = measure_quality(audits.assign(weight=audits["weight"] * unit))
        for name in ("error_rate", "accuracy"):
            expected, actual = getattr(original, name), getattr(rescaled, name)
            assert (actual.value, actual.low, actual.high) == pytest.approx(
                (expected.value, expected.low, expected.high), abs=1e-9
            )
        assert (rescaled.summary(), rescaled.is_weight_dominated) == (original.summary(), original.is_weight_dominated)


def test_every_change_of_a_rate_is_within_minus_100_and_100_points():
    rng = np.random.default_rng(3)
    for _ in range(60):
        tables = [draw_audits(rng, start) for start in (date(2026, 2, 1), date(2026, 3, 1))]
        if len({"weight" in table for table in tables}) > 1:
            tables = [table.drop(columns="weight", errors="ignore") for table in tables]
        drivers = rank_drivers(*tables, ["queue"])
        changes = [drivers.change, drivers.mix_effect, drivers.rate_effect, drivers.unexplained]
        mix_parts = [effect.effect for effect in drivers.mix_effects if isinstance(effect.effect, Estimate)]
        assert all(is_within(change, -1.0) for change in [*changes, *mix_parts]), drivers
        assert all(is_within(rate) for rate in (drivers.before, drivers.after))
        assert 0 <= drivers.p_value <= 1
        alternatives = assess_alternatives(*tables)
        assert all(is_within(change, -1.0) for change in (alternatives.change, alternatives.crude_change)), alternatives
        assert all(
            is_within(alternative.contribution, -1.0)
            for alternative in alternatives.alternatives
            if alternative.contribution
        ), alternatives


def test_every_number_of_a_time_series_is_within_its_bounds():
    rng = np.random.default_rng(4)
    for _ in range(60):
        days = int(rng.choice([1, 2, 5, 30, 90]))
        items = rng.integers(1, rng.choice([2, 8, 300]), days).astype(float)
        errors = rng.binomial(items.astype(int), rng.choice([0.0, 0.05, 0.5, 1.0], days)).astype(float)
        counts = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=days), "errors": errors, "items": items})
        trend = find_changes(counts)
        for change in trend.changes:
            assert is_within(change.before) and is_within(change.after) and is_within(change.difference, -1.0)
        assert all(is_within(outlier.difference, -1.0) and is_within(outlier.value) for outlier in trend.outliers)
        assert all(0 <= step.low <= step.value <= step.high <= 1 for step in trend.steps)
        assert 0 <= trend.minimum_detectable.value <= 1


def test_every_point_of_the_funnel_is_within_0_and_1():
    rng = np.random.default_rng(5)
    for _ in range(60):
        audits = draw_audits(rng)
        for point in compare_sites(audits, sites=(), periods=()).points:
            assert is_within(point.rate) and 0 <= point.adjusted_rate <= 1 and 0 <= point.p_value <= 1
            assert 0 <= point.lower_limit <= point.upper_limit <= 1
            assert 0 < point.effective_audits <= point.rate.items + 1e-9


def test_the_interval_of_a_rate_contains_the_rate_despite_rounding():
    rng = np.random.default_rng(6)
    for _ in range(1000):
        rate, items = rng.choice([0.0, 1.0, rng.random(), 1e-9, 1 - 1e-9]), 10 ** rng.uniform(-3, 9)
        low, high = score_interval(rate, items, rng.uniform(0.1, 60))
        assert 0 <= low <= rate <= high <= 1
        low, high = wilson_interval(rate * items, items)
        assert 0 <= low <= rate + 1e-12 and rate - 1e-12 <= high <= 1
        increase = minimum_detectable_change(rate, items)
        assert np.isnan(increase) or 0 < increase <= 1 - rate + 1e-9


def test_one_heavy_audit_or_one_repeated_item_gives_a_wide_interval():
    weight = np.array([1e6, 7.0])
    heavy = estimate_clustered_rate(np.array([False, True]), np.array([1.0, 7.0]), weight, np.array([1e12, 7.0])).rate
    assert heavy.low == 0 or heavy.high - heavy.low > 0.7
    same_item = np.zeros(20, int)
    ones, is_error = np.ones(20), np.arange(20) < 10
    single_item = estimate_clustered_rate(is_error, ones, ones, ones, np.arange(20), same_item).rate
    assert single_item.high - single_item.low > 0.8
