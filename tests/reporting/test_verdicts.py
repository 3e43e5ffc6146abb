"""Verdicts and headlines on simulated audits."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import keep_proportional
from rca_lib.audits.periods import Coverage, compute_coverage, parse_period
from rca_lib.audits.schema import DIMENSIONS, EVENTS, list_columns
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.findings import Finding, Quantity
from rca_lib.intake.ledger import Ledger
from rca_lib.questions.drivers import rank_drivers
from rca_lib.reporting.deep_dive import run_deep_dive
from rca_lib.reporting.headline import build_headline
from rca_lib.reporting.page_one import build_page_one, render_page_one
from rca_lib.reporting.verdict_inputs import MIN_AUDITS, SampleSize, VerdictInputs, compute_verdict_inputs
from rca_lib.reporting.verdicts import TESTS, determine_verdict
from rca_lib.store.cases import Case

MONTHS = [parse_period(name) for name in ("2026-01", "2026-02", "2026-03")]


def simulate(seed, *, size=300, rates=(0.08, 0.08, 0.08), raters=15, judgments=1, until=None, since=None):
    """Return audits of three months with given error rates, `until` a day of March or `since` a day of January."""
    rng = np.random.default_rng(seed)
    tables = []
    for month, rate in zip(MONTHS, rates, strict=True):
        items = -(-size // judgments)
        item = np.repeat(np.arange(items), judgments)[:size]
        days = [month.start + timedelta(days=int(offset)) for offset in rng.integers(0, month.days, items)]
        hard = np.clip(rng.gamma(1, rate, items) if judgments > 1 else np.full(items, rate), 0, 0.95)
        truth = rng.choice(["benign", "hate"], items)[item]
        wrong = rng.random(size) < hard[item]
        table = pd.DataFrame(
            {
                "audit_id": [f"{month.name}-{number}" for number in range(size)],
                "item_id": [f"{month.name}-{number}" for number in item],
                "rater": [f"r{number}" for number in rng.integers(0, raters, size)],
                "queue": rng.choice(["video", "image"], items)[item],
                "policy": truth,
                "label": np.where(wrong, np.where(truth == "hate", "benign", "hate"), truth),
                "truth": truth,
                "day": [days[number] for number in item],
            }
        )
        tables.append(table[table["day"].between(since or month.start, until or month.end)].reset_index(drop=True))
    return tables


def make_case(tables, periods, coverage=None):
    """Return the case of the last period, compared with the one before; one table of audits per period."""
    history = pd.concat(tables, ignore_index=True)
    current = tables[-1]
    baseline = tables[-2] if len(tables) > 1 else None
    rows = len(history)
    ledger = Ledger("memory", "", rows, rows, 0, 0, 0, columns=tuple(history), sites=("here",))
    return Case(
        site="here", period=periods[-1], baseline_periods=tuple(period.name for period in periods[-2:-1]),
        current=keep_proportional(current),
        baseline=None if baseline is None else keep_proportional(baseline),
        history=keep_proportional(history), all_audits=current, baseline_all_audits=baseline,
        ratings=pd.DataFrame(columns=["item_id", "rater", "label"]),
        events=pd.DataFrame(columns=list_columns(EVENTS)).astype({"start": "datetime64[ns]"}),
        targets=pd.DataFrame(columns=["metric", "scope", "contract"]), taxonomy=read_taxonomy(None),
        dimensions=tuple(name for name in DIMENSIONS if name in history), ledger=ledger, fingerprint="0" * 64,
        coverage=coverage,
    )  # fmt: skip


def analyse(tables, coverage=None, months=MONTHS):
    return run_deep_dive(make_case(tables, months[-len(tables) :], coverage))


def test_a_doubled_error_rate_is_worse_and_an_unchanged_one_is_not():
    headline = build_headline(analyse(simulate(1, size=600, rates=(0.08, 0.08, 0.2))))
    assert (headline.verdict, headline.grade) == ("worse", "shown")
    quiet = build_headline(analyse(simulate(1, size=600)))
    assert quiet.verdict in ("steady", "not proven") and quiet.grade == "not proven"


@pytest.mark.parametrize("judgments", [1, 10])
def test_headlines_are_rarely_shown_where_nothing_changed(judgments):
    reports = [analyse(simulate(seed, size=100, raters=6, judgments=judgments)) for seed in range(10)]
    # 10 at .05: more than 3 have a probability of .001.
    assert sum(build_headline(results).grade == "shown" for results in reports) <= 3


def test_six_audits_are_too_few_and_the_headline_states_the_minimum():
    tables = simulate(2)
    headline = build_headline(analyse([*tables[:2], tables[2].head(6)]))
    assert (headline.verdict, headline.grade) == ("too few audits", "not proven")
    assert "6 audits, 300 in the baseline" in headline.sentence
    assert f"at least {MIN_AUDITS}" in headline.sentence
    few_before = build_headline(analyse([tables[1].head(20), tables[2]]))
    assert few_before.verdict == "too few audits" and "300 audits, 20 in the baseline" in few_before.sentence


@pytest.mark.parametrize("size", [1, 3, 29])
def test_no_report_crashes_however_few_audits_there_are(size):
    for rates in ((0.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.5, 0.5, 0.5)):
        tables = simulate(size, size=size, rates=rates)
        for periods in (tables, tables[-1:]):
            page_one = build_page_one(analyse(periods))
            assert page_one.headline.verdict == "too few audits"
            assert "keep watching" not in " ".join(claim.sentence for claim in page_one.claims)
            assert "nan" not in render_page_one(page_one).lower()


def test_one_audit_with_nearly_all_weight_leaves_too_few_and_is_named_on_page_one():
    tables = [table.assign(weight=1.0) for table in simulate(3)]
    tables[2].loc[4, "weight"] = 1e6
    page_one = build_page_one(analyse(tables))
    assert page_one.headline.verdict == "too few audits"
    assert any(f"at least {MIN_AUDITS} decisions" in claim.sentence for claim in page_one.claims)
    assert "effective sample size is 1.0" in page_one.headline.sentence
    assert any("it carries 99.97 % of the weight" in claim.sentence for claim in page_one.claims)
    equal_weights = build_page_one(analyse([table.assign(weight=1e12) for table in simulate(3)]))
    assert equal_weights.headline.verdict != "too few audits"
    assert not any("carries" in claim.sentence for claim in equal_weights.claims)


def test_an_incomplete_period_is_provisional_and_never_shown():
    tables = simulate(4, size=900, rates=(0.05, 0.05, 0.4), until=date(2026, 3, 12))
    coverage = compute_coverage(day for table in tables for day in table["day"])
    headline = build_headline(analyse(tables, coverage))
    assert (headline.verdict, headline.grade) == ("incomplete period", "likely")
    assert "The audits end on 12 Mar 2026; 2026-03 ends on 31 Mar 2026. So far: Accuracy fell" in headline.sentence
    complete = build_headline(
        analyse(simulate(4, size=900, rates=(0.05, 0.05, 0.4)), Coverage(date(2026, 1, 1), date(2026, 4, 9)))
    )
    assert (complete.verdict, complete.grade) == ("worse", "shown")


def test_few_audits_of_an_incomplete_month_state_both():
    tables = simulate(5, until=date(2026, 3, 3))
    tables[2] = tables[2].head(6)
    headline = build_headline(analyse(tables, Coverage(date(2026, 1, 1), date(2026, 3, 3))))
    assert headline.verdict == "too few audits" and "The audits end on 3 Mar 2026" in headline.sentence


def test_no_comparison_on_page_one_is_marked_shown_with_few_audits_or_an_incomplete_period():
    tables = simulate(4, size=900, rates=(0.05, 0.05, 0.5), until=date(2026, 3, 12))
    coverage = compute_coverage(day for table in tables for day in table["day"])
    for periods in (tables, [*tables[:2], tables[2].head(12).assign(label="other")]):
        page_one = build_page_one(analyse(periods, coverage))
        comparison_rows = [row for row in page_one.rows if row.label in ("Since when", "Where", "Why")]
        assert page_one.headline.verdict in ("incomplete period", "too few audits")
        assert [claim.sentence for row in comparison_rows for claim, grade in row.claims if grade == "shown"] == []


def test_audits_that_begin_inside_the_period_or_the_baseline_are_stated():
    tables = simulate(6, since=date(2026, 1, 15))
    coverage = Coverage(date(2026, 1, 15), date(2026, 4, 20))
    first = build_headline(analyse(tables[:1], coverage, months=MONTHS[:1]))
    assert first.verdict == "incomplete period" and "The audits begin on 15 Jan 2026, inside 2026-01" in first.sentence
    second = make_case(tables[:2], MONTHS[:2], coverage)
    assert second.compared_with == "2026-01 (audits from 15 Jan 2026 on)"
    assert build_headline(run_deep_dive(second)).verdict != "incomplete period"
    assert make_case(tables, MONTHS, coverage).compared_with == "2026-02"


def test_working_days_make_a_week_complete_on_friday_and_not_on_wednesday():
    working = [date(2026, 3, 2) + timedelta(days=offset) for offset in range(12) if offset % 7 < 5]
    week = parse_period("2026-W11")
    assert compute_coverage(working).covers_period(week)
    assert not compute_coverage(working[:-2]).covers_period(week)
    assert compute_coverage(working[:-2]).covers_period(parse_period("2026-W10"))


def test_audits_once_a_week_make_a_month_complete_after_its_last_monday():
    mondays = [date(2026, 1, 5) + timedelta(days=7 * week) for week in range(12)]
    assert compute_coverage(mondays).last == date(2026, 3, 23)
    assert not compute_coverage(mondays).covers_period(parse_period("2026-03"))
    assert compute_coverage([*mondays, date(2026, 3, 30)]).covers_period(parse_period("2026-03"))


def test_one_holiday_does_not_change_the_usual_gap_of_a_year():
    days = [date(2025, 1, 1) + timedelta(days=offset) for offset in range(365)]
    kept = [day for day in days if not date(2025, 6, 1) <= day <= date(2025, 6, 9)]
    assert compute_coverage(kept).typical_gap_days == 1


def test_a_case_holds_only_the_coverage_of_its_periods():
    coverage = Coverage(date(2025, 5, 7), date(2026, 6, 8), 3)
    assert coverage.clip_to(*MONTHS[1:]) == Coverage(date(2026, 2, 1), date(2026, 3, 31), 1)


def test_a_verdict_is_significant_after_holms_procedure_over_all_tests():
    assessment = determine_verdict(analyse(simulate(7, size=600, rates=(0.08, 0.08, 0.25))))
    assert assessment.verdict == "worse" and {finding.question for finding in assessment.significant} <= {
        "drivers",
        "trend",
    }
    assert len(TESTS) == 5
    assert determine_verdict(analyse(simulate(7, size=600, rates=(0.08, 0.08, 0.25))), alpha=1e-30).grade != "shown"


def test_an_improvement_is_better():
    headline = build_headline(analyse(simulate(8, size=600, rates=(0.25, 0.25, 0.06))))
    assert (headline.verdict, headline.grade) == ("better", "shown")


def test_a_headline_needs_the_results_only_and_no_audits():
    results = analyse(simulate(1, size=200))
    without_audits = replace(results, case=replace(results.case, current=None, baseline=None, history=None))
    assert build_headline(without_audits) == build_headline(results)


def test_a_slice_of_items_judged_often_must_change_by_itself():
    finding = Finding("drivers", "slice", "", "shown", Quantity(1.0), where={"queue": "video"}, p_value=1e-6)
    assert VerdictInputs(SampleSize(9, 9.0), None, (({"queue": "video"}, 0.4),)).p_value(finding) == 0.4
    assert VerdictInputs(SampleSize(9, 9.0), None, (({"queue": "image"}, 0.4),)).p_value(finding) == 1e-6
    tables = simulate(11, size=800, judgments=2, rates=(0.05, 0.05, 0.5))
    drivers = rank_drivers(*tables[1:], ["queue", "policy"])
    inputs = compute_verdict_inputs(make_case(tables, MONTHS), drivers)
    assert [where for where, _ in inputs.slice_p_values] == [slice_.where for slice_ in drivers.named_slices] != []
    judged_once = analyse(simulate(9, size=400, rates=(0.1, 0.1, 0.3)))
    assert judged_once.verdict_inputs.slice_p_values == ()
