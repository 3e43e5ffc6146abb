"""Audits of one site in which several incidents happen at once; independent of the package's own simulator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.counting import column_names, keep_proportional
from rca_lib.audits.periods import parse_period
from rca_lib.audits.schema import DIMENSIONS, EVENTS, TARGETS, list_columns
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.findings import format_value
from rca_lib.intake.ledger import Ledger
from rca_lib.questions.trend import date_slices
from rca_lib.reporting.deep_dive import run_deep_dive
from rca_lib.reporting.display import show_table
from rca_lib.reporting.page_one import build_page_one, render_page_one
from rca_lib.store.cases import Case

POLICIES, QUEUES = ("hate", "spam", "nudity", "violence"), ("text", "image", "video")
INCIDENTS = {"strict auditor": 0.25, "stale truth": 0.7, "mix": 0.6, "policy": 5.0, "rater": 10.0, "targeted": 0.5}


def make_audits(
    seed: int,
    incidents: Mapping[str, float] = {},
    *,
    months: tuple[str, ...] = ("2026-01", "2026-02", "2026-03"),
    per_month: int = 1500,
    rate: float = 0.06,
    raters: int = 20,
    auditors: int = 6,
) -> pd.DataFrame:
    """Draw the audits of a site; each incident has its size, and happens in the last month only.

    "strict auditor": auditor q-2 calls this share of correct decisions wrong. "stale truth": this share of the audits
    of hate uses a later policy version, under which half of the decisions are errors. "mix": this share of the work is
    video, with four times the error rate. "policy" and "rater": the error rate of spam and of rater r-05 is multiplied
    by this factor. "targeted": this share of the audits is of stream targeted, with three times the error rate.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for month in months:
        active = incidents if month == months[-1] else {}
        period = parse_period(month)
        video_share = active.get("mix", 0.2)
        queue = rng.choice(QUEUES, per_month, p=[(1 - video_share) / 2, (1 - video_share) / 2, video_share])
        policy, rater = rng.choice(POLICIES, per_month), rng.integers(raters, size=per_month)
        auditor = rng.integers(auditors, size=per_month)
        stream = np.where(rng.random(per_month) < active.get("targeted", 0.1), "targeted", "random")
        probability = rate / 1.6 * np.where(queue == "video", 4.0, 1.0) * np.where(stream == "targeted", 3.0, 1.0)
        probability = probability * np.where(policy == "spam", active.get("policy", 1.0), 1.0)
        probability = probability * np.where(rater == 5, active.get("rater", 1.0), 1.0)
        is_outdated = (policy == "hate") & (rng.random(per_month) < active.get("stale truth", 0.0))
        is_error = rng.random(per_month) < np.minimum(probability, 0.95)
        is_error |= (auditor == 2) & (rng.random(per_month) < active.get("strict auditor", 0.0))
        is_error |= is_outdated & (rng.random(per_month) < 0.5)
        day = pd.Timestamp(period.start) + pd.to_timedelta(
            rng.integers((period.end - period.start).days, size=per_month), unit="D"
        )
        truth = np.where(rng.random(per_month) < 0.5, policy, "benign")
        parts.append(
            pd.DataFrame(
                {
                    "audit_id": [f"{month}-{number:05d}" for number in range(per_month)],
                    "item_id": [f"i-{month}-{number:05d}" for number in range(per_month)],
                    "site": "here",
                    "rater": [f"r-{index:02d}" for index in rater],
                    "decided_at": day + pd.Timedelta(hours=9),
                    "label": np.where(is_error, np.where(truth == "benign", policy, "benign"), truth),
                    "truth": truth,
                    "queue": queue,
                    "policy": policy,
                    "stream": stream,
                    "auditor": [f"q-{index}" for index in auditor],
                    "policy_version_decided": "v1",
                    "policy_version_audited": np.where(is_outdated, "v2", "v1"),
                    "day": day,
                }
            )
        )
    audits = pd.concat(parts, ignore_index=True)
    return audits.assign(error=(audits["label"] != audits["truth"]).astype(int))


def make_case(audits: pd.DataFrame, period: str = "2026-03", before: str = "2026-02", **fields: object) -> Case:
    """Return the case of a period, as `open_case` reads it from a store."""
    now, previous = parse_period(period), parse_period(before)

    def select_days(start: object, end: object) -> pd.DataFrame:
        return audits[(audits["day"] >= pd.Timestamp(start)) & (audits["day"] < pd.Timestamp(end))]

    sample, baseline = select_days(now.start, now.end), select_days(previous.start, previous.end)
    history = select_days("2000-01-01", now.end)
    defaults = {
        "site": "here",
        "period": now,
        "baseline_periods": (before,) if len(baseline) else (),
        "current": keep_proportional(sample),
        "baseline": keep_proportional(baseline) if len(baseline) else None,
        "history": keep_proportional(history),
        "all_audits": sample,
        "baseline_all_audits": baseline if len(baseline) else None,
        "ratings": pd.DataFrame(columns=["item_id", "rater", "label"], dtype="str"),
        "events": make_events(),
        "targets": pd.DataFrame(columns=["scope", *list_columns(TARGETS, "required")]),
        "taxonomy": read_taxonomy(),
        "dimensions": tuple(name for name in DIMENSIONS if name in column_names(sample)),
        "ledger": Ledger("audits.csv", "0" * 64, len(audits), len(audits), 0, 0, 0),
        "fingerprint": "0" * 64,
    }
    return Case(**(defaults | fields))


def make_events(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Return a calendar of events: type, start, title, scope."""
    table = pd.DataFrame(rows, columns=["type", "start", "title", "scope"]).assign(end=pd.NaT, visibility="all")
    table = table.assign(start=pd.to_datetime(table["start"]), end=pd.to_datetime(table["end"]))
    table.insert(0, "event_id", [f"e-{number}" for number in range(len(table))])
    return table.reindex(columns=list(dict.fromkeys([*list_columns(EVENTS, "required"), *table.columns])))


@pytest.mark.parametrize("names", [(), *combinations(INCIDENTS, 2), tuple(INCIDENTS)], ids="+".join)
def test_every_combination_of_incidents_gives_a_complete_report(names):
    answers = run_deep_dive(make_case(make_audits(0, {name: INCIDENTS[name] for name in names}, per_month=1200)))
    page = build_page_one(answers)
    assert [row.label for row in page.rows][:2] == ["What happened", "How much"] and render_page_one(page)
    assert len(answers.slice_trends) == len(answers.drivers.slices)


def test_a_strict_auditor_is_dated_and_a_version_of_the_truth_is_not():
    audits = make_audits(1, {"strict auditor": 0.25, "stale truth": 0.7})
    wheres = ({"auditor": "q-2"}, {"truth_version": "another than decided"})
    auditor_trend, version_trend = date_slices(audits, [SimpleNamespace(where=where) for where in wheres])
    assert auditor_trend.changes and version_trend is None


def _build_page(incidents, change=None):
    """Build page one of audits with incidents, after `change` was applied to the audits."""
    audits = make_audits(0, incidents)
    return build_page_one(run_deep_dive(make_case(change(audits) if change else audits)))


def test_the_headline_names_the_largest_effect_first_and_a_strict_auditor_by_name():
    strict = _build_page({"strict auditor": 0.25})
    assert strict.headline.verdict == "artefact" and "Auditor q-2" in strict.headline.sentence
    both = _build_page({"mix": 0.6, "rater": 10.0}).headline.sentence
    assert both.index("mix") < both.index("rater = r-05")
    work = _build_page({"policy": 6.0, "strict auditor": 0.15}).headline
    assert work.verdict == "worse" and work.sentence.index("policy = spam") < work.sentence.index("auditor q-2")


def test_a_rater_and_an_auditor_are_both_named_as_causes():
    page = _build_page({"strict auditor": 0.25, "rater": 10.0})
    assert set(_list_cause_kinds(page)) >= {"auditor", "slice"}


def _list_cause_kinds(page):
    """Return the kinds of the causes on a page, from the slices of its findings."""
    causes = [finding for finding in page.findings if finding.question == "causes"]
    return ["auditor" if "auditor" in cause.where else "slice" if cause.where else "mix" for cause in causes]


def _set_stream(month, stream):
    """Return a function that gives all audits of a month the same stream."""

    def change(audits):
        in_month = audits["day"].dt.strftime("%Y-%m") == month
        return audits.assign(stream=audits["stream"].where(~in_month, stream))

    return change


@pytest.mark.parametrize("month", ["2026-02", "2026-03"])
@pytest.mark.parametrize("stream", ["targeted", "escalation", "seeded_gold", None])
def test_a_period_without_random_audits_is_not_compared_and_the_page_says_so_first(month, stream):
    page = _build_page({"targeted": 0.0, "policy": 4.0}, change=_set_stream(month, stream))
    rows = {row.label: [claim.sentence for claim, _ in row.claims] for row in page.rows}
    assert page.headline.verdict == "not comparable" and page.headline.sentence.startswith("Not comparable: ")
    assert rows["What it is not"][0].startswith("Sampling changed")
    assert "Where" not in rows and not [finding for finding in page.findings if finding.question == "drivers"]
    assert [finding.kind for finding in page.findings if finding.question == "causes"] == ["MEA.SAMPLE"]


def test_targeted_audits_in_both_periods_are_described_and_do_not_stand_for_all_decisions():
    page = _build_page({"policy": 4.0}, change=lambda audits: audits.assign(stream="targeted"))
    rows = {row.label: [claim.sentence for claim, _ in row.claims] for row in page.rows}
    assert page.headline.sentence.startswith("Not comparable: neither period has random or stratified audits")
    assert "1,500 targeted audits only" in rows["How much"][0] and rows["How much"][1].startswith(
        "Among these audits: "
    )
    assert [finding.kind for finding in page.findings if finding.question == "causes"] == ["MEA.SAMPLE"]


def test_audits_without_a_stream_are_left_out_and_counted_on_the_page():
    def remove_streams(audits):
        return audits.assign(stream=audits["stream"].where(audits.index % 3 > 0, None))

    page = _build_page({"targeted": 0.0}, change=remove_streams)
    (claim,) = (claim for claim in page.claims if "name no stream" in claim.sentence)
    assert claim.value == 500 and claim.sentence.startswith("500 of 1,500 audits (500 before) name no stream")
    assert page.headline.verdict in ("steady", "not proven")


@pytest.mark.parametrize("number", [2, 3])
def test_a_period_of_second_audits_only_gets_a_report_that_says_so(number):
    page = _build_page({}, change=lambda audits: audits.assign(audit_round=number))
    assert "the rates come from audits of audits" in str(page)


def test_an_empty_stream_column_counts_as_no_stream_column():
    page = _build_page({"policy": 4.0}, change=lambda audits: audits.assign(stream=None))
    assert page.headline.verdict == "worse" and "no audit names its stream" in str(page)


def _make_graded_case(seed, order=("0", "1", "2")):
    audits = make_audits(seed, per_month=400)
    truth = np.random.default_rng(seed).integers(3, size=len(audits))
    difference = np.where(audits["error"] == 1, np.where(truth == 2, -1, 1), 0)
    audits = audits.assign(truth=truth.astype(str), label=(truth + difference).astype(str))
    case = make_case(audits)
    return replace(case, ledger=replace(case.ledger, label_scale="ordinal", label_order=order, benign=("0",)))


def test_grades_are_used_for_agreement_and_kinds_of_error_and_the_page_says_for_what():
    answers = run_deep_dive(_make_graded_case(1))
    assert answers.agreement.gwet_ac2 is not None and {share.code for share in answers.error_tagging.by_error_type} == {
        "one_step_off"
    }
    assert "Labels are grades (0 < 1 < 2). Any difference is an error. Agreement" in str(build_page_one(answers))


def test_a_scale_that_cannot_be_used_is_named_on_the_page():
    answers = run_deep_dive(_make_graded_case(1, order=("0", "1")))
    assert answers.agreement.gwet_ac2 is None
    assert "distance between grades is not used" in str(build_page_one(answers))
    case = _make_graded_case(1)
    sets = replace(case, ledger=replace(case.ledger, label_scale="multilabel", label_order=()))
    assert "Labels are sets" in str(build_page_one(run_deep_dive(sets)))


def test_errors_of_disputes_that_raters_won_are_reported_and_count_against_no_rater():
    audits = make_audits(2, {"rater": 10.0})
    lost = (audits["error"] == 1) & (audits["rater"] == "r-05") & (audits["day"] >= "2026-03-01")
    answers = run_deep_dive(make_case(audits.assign(dispute=np.where(lost, "upheld_rater", "none"))))
    won = int((lost & (audits["stream"] == "random")).sum())
    assert answers.error_tagging.disputes_won == won
    assert f"Disputes decided for the rater: {won} errors of the rate above" in str(build_page_one(answers))
    assert "r-05" not in [card.rater for card in answers.raters.cards]
    assert "r-05" in [card.rater for card in run_deep_dive(make_case(audits)).raters.cards]


def test_a_custom_taxonomy_explains_all_incidents(tmp_path):
    file = tmp_path / "own.yml"
    file.write_text(
        "causes:\n  A: {name: Arbeit, owner: site, controllable_by: site}\n"
        "  M: {name: Messung, owner: qa, controllable_by: client, measurement: true}\n"
        "  U: {name: Unbekannt, owner: qa, controllable_by: shared}\nunknown: U\nrules: {}\n",
        encoding="utf-8",
    )
    events = make_events(("policy_update", "2026-03-01", "New version of spam", "site=here;policy=spam"))
    for names in (("policy", "strict auditor"), ("mix", "rater"), ("stale truth",), ("targeted",)):
        audits = make_audits(0, {name: INCIDENTS[name] for name in names})
        answers = run_deep_dive(make_case(audits, taxonomy=read_taxonomy(file), events=events))
        assert {cause.code for cause in answers.causes.causes} <= {"M", "U"} and build_page_one(answers)
        assert len(answers.corrective_actions.actions) == len(answers.causes.causes)
        assert all(cause.measurement == (cause.code == "M") for cause in answers.causes.causes)


@pytest.mark.parametrize(
    "frame", ["alternatives", "corrective_actions", "causes", "error_tagging", "quality", "agreement", "trend"]
)
def test_tables_write_numbers_in_the_unit_of_the_record_and_not_of_the_columns_name(frame):
    answers = run_deep_dive(make_case(make_audits(0, {"strict auditor": 0.25, "policy": 5.0})))
    shown = show_table(getattr(answers, frame).to_frame()).data["text/plain"]
    if frame == "alternatives":
        part = answers.alternatives.alternatives[1].contribution
        assert all(format_value(one, "pp") in shown for one in (part.value, part.low, part.high))
    if frame == "corrective_actions":
        (expected,) = [
            action.expected_reduction for action in answers.corrective_actions.actions if action.expected_reduction
        ]
        assert format_value(expected.value, "errors") in shown and "%" not in shown
    if frame == "agreement":
        assert (
            format_value(answers.agreement.percent_agreement.value, "%") in shown
            and f"{answers.agreement.krippendorff_alpha.value:.3g}" in shown
        )
    percents = [float(number.replace(",", "")) for number in re.findall(r"([\d.,]+) %", shown)]
    assert all(percent <= 100 for percent in percents if frame != "causes")


@pytest.mark.parametrize("seed", range(2))
def test_outdated_truths_and_strict_auditors_are_no_mix_effect(seed):
    audits = make_audits(seed, {"stale truth": 0.7, "strict auditor": 0.25, "targeted": 0.5})
    drivers = run_deep_dive(make_case(audits)).drivers
    assert drivers.mix_effect.low < 0 < drivers.mix_effect.high and abs(drivers.mix_effect.value) < 0.02
    assert not {entry.dimension for entry in drivers.mix_effects} & {"auditor", "truth_version"}
    assert sum(entry.effect.value for entry in drivers.mix_effects) == pytest.approx(drivers.mix_effect.value)
    assert drivers.mix_effect.value + drivers.rate_effect.value == pytest.approx(drivers.change.value)
