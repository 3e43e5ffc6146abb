from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import keep_proportional
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.periods import Coverage, cover_days, parse_period
from rca_lib.audits.store import Case
from rca_lib.audits.tables import DIMENSIONS, EVENTS, columns
from rca_lib.audits.taxonomy_file import read_taxonomy
from rca_lib.findings import Estimate, Finding
from rca_lib.questions.drivers import rank_drivers
from rca_lib.reporting.deep_dive import answer_questions
from rca_lib.reporting.evidence import LEAST_AUDITS, Evidence, Sample, gather_evidence
from rca_lib.reporting.headline import write_headline
from rca_lib.reporting.page_one import render_page, write_page_one
from rca_lib.reporting.verdicts import LOOKS, reach_verdict

MONTHS = [parse_period(name) for name in ("2026-01", "2026-02", "2026-03")]


def draw(seed, *, size=300, rates=(0.08, 0.08, 0.08), raters=15, judgments=1, until=None, since=None):
    """Audits of three months with an error rate each, `until` a day of March or `since` a day of January."""
    rng, tables = np.random.default_rng(seed), []
    for month, rate in zip(MONTHS, rates, strict=True):
        items = -(-size // judgments)
        item = np.repeat(np.arange(items), judgments)[:size]
        days = [month.start + timedelta(days=int(one)) for one in rng.integers(0, month.days, items)]
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
    """Make the case of the last period, which is compared with the one before; one table of audits per period."""
    history, current = pd.concat(tables, ignore_index=True), tables[-1]
    baseline = tables[-2] if len(tables) > 1 else None
    rows = len(history)
    ledger = Ledger("memory", "", rows, rows, 0, 0, 0, columns=tuple(history), sites=("here",))
    return Case(
        site="here", period=periods[-1], baseline_periods=tuple(part.name for part in periods[-2:-1]),
        current=keep_proportional(current),
        baseline=None if baseline is None else keep_proportional(baseline),
        history=keep_proportional(history), sample=current, sample_before=baseline,
        ratings=pd.DataFrame(columns=["item_id", "rater", "label"]),
        events=pd.DataFrame(columns=columns(EVENTS)).astype({"start": "datetime64[ns]"}),
        targets=pd.DataFrame(columns=["metric", "scope", "contract"]), taxonomy=read_taxonomy(None),
        dimensions=tuple(name for name in DIMENSIONS if name in history), ledger=ledger, fingerprint="0" * 64,
        coverage=coverage,
    )  # fmt: skip


def ask(tables, coverage=None, months=MONTHS):
    return answer_questions(make_case(tables, months[-len(tables) :], coverage))


def test_a_doubled_rate_is_worse_and_its_quiet_twin_is_not():
    found = write_headline(ask(draw(1, size=600, rates=(0.08, 0.08, 0.2))))
    assert (found.verdict, found.grade) == ("worse", "shown")
    quiet = write_headline(ask(draw(1, size=600)))
    assert quiet.verdict in ("steady", "not proven") and quiet.grade == "not proven"


@pytest.mark.parametrize("judgments", [1, 10])
def test_quiet_reports_seldom_have_a_headline_that_is_shown(judgments):
    answers = [ask(draw(seed, size=100, raters=6, judgments=judgments)) for seed in range(10)]
    # 10 at .05: more than 3 have a probability of .001.
    assert sum(write_headline(one).grade == "shown" for one in answers) <= 3


def test_six_audits_are_too_few_and_say_so_with_the_least_number():
    tables = draw(2)
    found = write_headline(ask([*tables[:2], tables[2].head(6)]))
    assert (found.verdict, found.grade) == ("too few audits", "not proven")
    assert "6 audits against 300 before" in found.sentence
    assert f"{LEAST_AUDITS} in each period are the least" in found.sentence
    before = write_headline(ask([tables[1].head(20), tables[2]]))
    assert before.verdict == "too few audits" and "300 audits against 20 before" in before.sentence


@pytest.mark.parametrize("size", [1, 3, 29])
def test_no_report_crashes_however_few_audits_there_are(size):
    for rates in ((0.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.5, 0.5, 0.5)):
        tables = draw(size, size=size, rates=rates)
        for given in (tables, tables[-1:]):
            page = write_page_one(ask(given))
            assert page.headline.verdict == "too few audits"
            assert "nan" not in render_page(page).lower()


def test_one_audit_with_nearly_all_the_weight_leaves_too_few_and_is_named_on_page_one():
    tables = [table.assign(weight=1.0) for table in draw(3)]
    tables[2].loc[4, "weight"] = 1e6
    page = write_page_one(ask(tables))
    assert page.headline.verdict == "too few audits"
    assert "by their weights they are worth 1.0 equal ones" in page.headline.sentence
    assert any("One audit carries 99.97 % of the weight" in claim.sentence for claim in page.claims)
    even = write_page_one(ask([table.assign(weight=1e12) for table in draw(3)]))
    assert even.headline.verdict != "too few audits"
    assert not any("carries" in claim.sentence for claim in even.claims)


def test_a_period_that_is_not_over_is_provisional_and_never_shown():
    tables = draw(4, size=900, rates=(0.05, 0.05, 0.4), until=date(2026, 3, 12))
    coverage = cover_days(day for table in tables for day in table["day"])
    found = write_headline(ask(tables, coverage))
    assert (found.verdict, found.grade) == ("incomplete period", "likely")
    assert "The audits end on 12 Mar 2026; 2026-03 ends on 31 Mar 2026. So far: Accuracy fell" in found.sentence
    over = write_headline(ask(draw(4, size=900, rates=(0.05, 0.05, 0.4)), Coverage(date(2026, 1, 1), date(2026, 4, 9))))
    assert (over.verdict, over.grade) == ("worse", "shown")


def test_six_audits_of_a_month_that_is_not_over_say_both():
    tables = draw(5, until=date(2026, 3, 3))
    tables[2] = tables[2].head(6)
    found = write_headline(ask(tables, Coverage(date(2026, 1, 1), date(2026, 3, 3))))
    assert found.verdict == "too few audits" and "The audits end on 3 Mar 2026" in found.sentence


def test_no_comparison_on_page_one_is_marked_shown_where_audits_are_few_or_the_period_is_not_over():
    tables = draw(4, size=900, rates=(0.05, 0.05, 0.5), until=date(2026, 3, 12))
    coverage = cover_days(day for table in tables for day in table["day"])
    for given in (tables, [*tables[:2], tables[2].head(12).assign(label="other")]):
        page = write_page_one(ask(given, coverage))
        compared = [row for row in page.rows if row.label in ("Since when", "Where", "Why")]
        assert page.headline.verdict in ("incomplete period", "too few audits")
        assert [claim.sentence for row in compared for claim, grade in row.claims if grade == "shown"] == []


def test_audits_that_begin_inside_the_period_or_the_baseline_are_told():
    tables = draw(6, since=date(2026, 1, 15))
    coverage = Coverage(date(2026, 1, 15), date(2026, 4, 20))
    first = write_headline(ask(tables[:1], coverage, months=MONTHS[:1]))
    assert first.verdict == "incomplete period" and "The audits begin on 15 Jan 2026, inside 2026-01" in first.sentence
    second = make_case(tables[:2], MONTHS[:2], coverage)
    assert second.compared_with == "2026-01 (audits from 15 Jan 2026 on)"
    assert write_headline(answer_questions(second)).verdict != "incomplete period"
    assert make_case(tables, MONTHS, coverage).compared_with == "2026-02"


def test_working_days_make_a_week_complete_on_friday_and_not_on_wednesday():
    working = [date(2026, 3, 2) + timedelta(days=one) for one in range(12) if one % 7 < 5]
    week = parse_period("2026-W11")
    assert cover_days(working).holds(week)
    assert not cover_days(working[:-2]).holds(week)
    assert cover_days(working[:-2]).holds(parse_period("2026-W10"))


def test_audits_once_a_week_make_a_month_complete_after_its_last_monday():
    mondays = [date(2026, 1, 5) + timedelta(days=7 * one) for one in range(12)]
    assert cover_days(mondays).last == date(2026, 3, 23)
    assert not cover_days(mondays).holds(parse_period("2026-03"))
    assert cover_days([*mondays, date(2026, 3, 30)]).holds(parse_period("2026-03"))


def test_one_holiday_does_not_change_the_rhythm_of_a_year():
    days = [date(2025, 1, 1) + timedelta(days=one) for one in range(365)]
    kept = [day for day in days if not date(2025, 6, 1) <= day <= date(2025, 6, 9)]
    assert cover_days(kept).rhythm == 1


def test_no_more_of_the_coverage_than_concerns_its_periods_reaches_a_case():
    coverage = Coverage(date(2025, 5, 7), date(2026, 6, 8), 3)
    assert coverage.within(*MONTHS[1:]) == Coverage(date(2026, 2, 1), date(2026, 3, 31), 1)


def test_a_verdict_survives_holms_procedure_over_all_looks():
    judged = reach_verdict(ask(draw(7, size=600, rates=(0.08, 0.08, 0.25))))
    assert judged.verdict == "worse" and {finding.question for finding in judged.surviving} <= {"drivers", "trend"}
    assert len(LOOKS) == 5
    assert reach_verdict(ask(draw(7, size=600, rates=(0.08, 0.08, 0.25))), alpha=1e-30).grade != "shown"


def test_an_improvement_is_better():
    found = write_headline(ask(draw(8, size=600, rates=(0.25, 0.25, 0.06))))
    assert (found.verdict, found.grade) == ("better", "shown")


def test_a_headline_needs_no_audits_once_the_answers_are_there():
    answers = ask(draw(1, size=200))
    gone = replace(answers, case=replace(answers.case, current=None, baseline=None, history=None))
    assert write_headline(gone) == write_headline(answers)


def test_a_place_of_items_judged_often_must_change_by_itself():
    place = Finding("drivers", "slice", "", "shown", Estimate(1.0), where={"queue": "video"}, p_value=1e-6)
    assert Evidence(Sample(9, 9.0), None, (({"queue": "video"}, 0.4),)).p_value(place) == 0.4
    assert Evidence(Sample(9, 9.0), None, (({"queue": "image"}, 0.4),)).p_value(place) == 1e-6
    tables = draw(11, size=800, judgments=2, rates=(0.05, 0.05, 0.5))
    drivers = rank_drivers(*tables[1:], ["queue", "policy"])
    found = gather_evidence(make_case(tables, MONTHS), drivers)
    assert [where for where, _ in found.places] == [place.where for place in drivers.named] != []
    once = ask(draw(9, size=400, rates=(0.1, 0.1, 0.3)))
    assert once.evidence.places == ()
