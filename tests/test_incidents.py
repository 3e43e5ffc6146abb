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
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.periods import parse_period
from rca_lib.audits.store import Case
from rca_lib.audits.tables import DIMENSIONS, EVENTS, TARGETS, columns
from rca_lib.audits.taxonomy_file import read_taxonomy
from rca_lib.findings import show
from rca_lib.questions.trend import date_slices
from rca_lib.reporting.deep_dive import answer_questions
from rca_lib.reporting.display import show_table
from rca_lib.reporting.page_one import render_page, write_page_one

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
    """Make a site's audits; each incident is at work, at its size, in the last month.

    "strict auditor": auditor q-2 calls this share of correct decisions wrong. "stale truth": this share of the audits
    of hate use a later policy version, which half of the time finds an error. "mix": this share of the work is video,
    where errors are four times as frequent. "policy" and "rater": errors in spam and of rater r-05 are so many times as
    frequent. "targeted": this share of the audits is of stream targeted, with three times the errors.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for month in months:
        at_work = incidents if month == months[-1] else {}
        period = parse_period(month)
        video = at_work.get("mix", 0.2)
        queue = rng.choice(QUEUES, per_month, p=[(1 - video) / 2, (1 - video) / 2, video])
        policy, rater = rng.choice(POLICIES, per_month), rng.integers(raters, size=per_month)
        auditor = rng.integers(auditors, size=per_month)
        stream = np.where(rng.random(per_month) < at_work.get("targeted", 0.1), "targeted", "random")
        chance = rate / 1.6 * np.where(queue == "video", 4.0, 1.0) * np.where(stream == "targeted", 3.0, 1.0)
        chance = chance * np.where(policy == "spam", at_work.get("policy", 1.0), 1.0)
        chance = chance * np.where(rater == 5, at_work.get("rater", 1.0), 1.0)
        stale = (policy == "hate") & (rng.random(per_month) < at_work.get("stale truth", 0.0))
        wrong = rng.random(per_month) < np.minimum(chance, 0.95)
        wrong |= (auditor == 2) & (rng.random(per_month) < at_work.get("strict auditor", 0.0))
        wrong |= stale & (rng.random(per_month) < 0.5)
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
                    "rater": [f"r-{one:02d}" for one in rater],
                    "decided_at": day + pd.Timedelta(hours=9),
                    "label": np.where(wrong, np.where(truth == "benign", policy, "benign"), truth),
                    "truth": truth,
                    "queue": queue,
                    "policy": policy,
                    "stream": stream,
                    "auditor": [f"q-{one}" for one in auditor],
                    "policy_version_decided": "v1",
                    "policy_version_audited": np.where(stale, "v2", "v1"),
                    "day": day,
                }
            )
        )
    audits = pd.concat(parts, ignore_index=True)
    return audits.assign(error=(audits["label"] != audits["truth"]).astype(int))


def make_case(audits: pd.DataFrame, period: str = "2026-03", before: str = "2026-02", **more: object) -> Case:
    """Return the case of a period, as `open_case` makes it of a store."""
    now, then = parse_period(period), parse_period(before)

    def within(start: object, end: object) -> pd.DataFrame:
        return audits[(audits["day"] >= pd.Timestamp(start)) & (audits["day"] < pd.Timestamp(end))]

    sample, past = within(now.start, now.end), within(then.start, then.end)
    history = within("2000-01-01", now.end)
    given = {
        "site": "here",
        "period": now,
        "baseline_periods": (before,) if len(past) else (),
        "current": keep_proportional(sample),
        "baseline": keep_proportional(past) if len(past) else None,
        "history": keep_proportional(history),
        "sample": sample,
        "sample_before": past if len(past) else None,
        "ratings": pd.DataFrame(columns=["item_id", "rater", "label"], dtype="str"),
        "events": make_events(),
        "targets": pd.DataFrame(columns=["scope", *columns(TARGETS, "required")]),
        "taxonomy": read_taxonomy(),
        "dimensions": tuple(name for name in DIMENSIONS if name in column_names(sample)),
        "ledger": Ledger("audits.csv", "0" * 64, len(audits), len(audits), 0, 0, 0),
        "fingerprint": "0" * 64,
    }
    return Case(**(given | more))


def make_events(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Return a calendar of events: type, start, title, scope."""
    table = pd.DataFrame(rows, columns=["type", "start", "title", "scope"]).assign(end=pd.NaT, visibility="all")
    table = table.assign(start=pd.to_datetime(table["start"]), end=pd.to_datetime(table["end"]))
    table.insert(0, "event_id", [f"e-{number}" for number in range(len(table))])
    return table.reindex(columns=list(dict.fromkeys([*columns(EVENTS, "required"), *table.columns])))


@pytest.mark.parametrize("names", [(), *combinations(INCIDENTS, 2), tuple(INCIDENTS)], ids="+".join)
def test_every_combination_of_incidents_gets_a_whole_report(names):
    answers = answer_questions(make_case(make_audits(0, {name: INCIDENTS[name] for name in names}, per_month=1200)))
    page = write_page_one(answers)
    assert [row.label for row in page.rows][:2] == ["What happened", "How much"] and render_page(page)
    assert len(answers.dates) == len(answers.drivers.slices)


def test_what_the_audit_changed_is_dated_where_it_has_a_series_of_its_own():
    audits = make_audits(1, {"strict auditor": 0.25, "stale truth": 0.7})
    places = [SimpleNamespace(where=where) for where in ({"auditor": "q-2"}, {"truth_version": "another than decided"})]
    strict, version = date_slices(audits, places)
    assert strict.changes and version is None


def _page(incidents, **more):
    audits = make_audits(0, incidents)
    return write_page_one(answer_questions(make_case(more.get("change", lambda one: one)(audits))))


def test_the_headline_names_the_largest_part_first_and_a_strict_auditor_by_name():
    strict = _page({"strict auditor": 0.25})
    assert strict.headline.verdict == "artefact" and "Auditor q-2" in strict.headline.sentence
    both = _page({"mix": 0.6, "rater": 10.0}).headline.sentence
    assert both.index("mix of the work") < both.index("rater = r-05")
    work = _page({"policy": 6.0, "strict auditor": 0.15}).headline
    assert work.verdict == "worse" and work.sentence.index("policy = spam") < work.sentence.index("auditor q-2")


def test_a_rater_does_not_hide_behind_an_auditor_nor_an_auditor_behind_a_rater():
    page = _page({"strict auditor": 0.25, "rater": 10.0})
    assert {cause.kind for cause in answer_causes(page)} >= {"auditor", "slice"}


def answer_causes(page):
    """Return the causes of a page by the findings that it was written from."""
    return [
        SimpleNamespace(kind="auditor" if "auditor" in one.where else "slice" if one.where else "mix")
        for one in page.findings
        if one.question == "causes"
    ]


def _restream(month, stream):
    def change(audits):
        chosen = audits["day"].dt.strftime("%Y-%m") == month
        return audits.assign(stream=audits["stream"].where(~chosen, stream))

    return change


@pytest.mark.parametrize("month", ["2026-02", "2026-03"])
@pytest.mark.parametrize("stream", ["targeted", "escalation", "seeded_gold", None])
def test_a_period_without_random_audits_is_not_compared_and_the_page_says_so_first(month, stream):
    page = _page({"targeted": 0.0, "policy": 4.0}, change=_restream(month, stream))
    rows = {row.label: [claim.sentence for claim, _ in row.claims] for row in page.rows}
    assert page.headline.verdict == "not comparable" and page.headline.sentence.startswith("Not comparable: ")
    assert rows["What it is not"][0].startswith("Sampling: it changed")
    assert "Where" not in rows and not [one for one in page.findings if one.question == "drivers"]
    assert [one.kind for one in page.findings if one.question == "causes"] == ["MEA.SAMPLE"]


def test_targeted_audits_in_both_periods_are_described_and_not_taken_for_all_decisions():
    page = _page({"policy": 4.0}, change=lambda audits: audits.assign(stream="targeted"))
    rows = {row.label: [claim.sentence for claim, _ in row.claims] for row in page.rows}
    assert page.headline.sentence.startswith("Not comparable: neither period has a random or stratified audit")
    assert "1,500 targeted audits only" in rows["How much"][0] and rows["How much"][1].startswith(
        "Among these audits: "
    )
    assert [one.kind for one in page.findings if one.question == "causes"] == ["MEA.SAMPLE"]


def test_audits_without_a_stream_are_left_out_and_counted_on_the_page():
    def blank(audits):
        return audits.assign(stream=audits["stream"].where(audits.index % 3 > 0, None))

    page = _page({"targeted": 0.0}, change=blank)
    (told,) = (claim for claim in page.claims if "name no stream" in claim.sentence)
    assert told.value == 500 and told.sentence.startswith("500 of 1,500 audits (500 before) name no stream")
    assert page.headline.verdict in ("steady", "not proven")


@pytest.mark.parametrize("number", [2, 3])
def test_a_period_of_second_audits_only_gets_a_report_that_says_so(number):
    page = _page({}, change=lambda audits: audits.assign(audit_round=number))
    assert "the rates come from audits of audits" in str(page)


def test_a_stream_column_that_names_nothing_is_as_none_at_all():
    page = _page({"policy": 4.0}, change=lambda audits: audits.assign(stream=None))
    assert page.headline.verdict == "worse" and "none names its stream" in str(page)


def _grades(seed, order=("0", "1", "2")):
    audits = make_audits(seed, per_month=400)
    truth = np.random.default_rng(seed).integers(3, size=len(audits))
    off = np.where(audits["error"] == 1, np.where(truth == 2, -1, 1), 0)
    audits = audits.assign(truth=truth.astype(str), label=(truth + off).astype(str))
    case = make_case(audits)
    return replace(case, ledger=replace(case.ledger, label_scale="ordinal", label_order=order, benign=("0",)))


def test_grades_are_used_for_agreement_and_kinds_of_error_and_the_page_says_for_what():
    answers = answer_questions(_grades(1))
    assert answers.agreement.ac2 is not None and {part.code for part in answers.tagging.what} == {"one_step_off"}
    assert "Labels are grades (0 < 1 < 2): any difference is an error; agreement" in str(write_page_one(answers))


def test_a_scale_that_cannot_be_used_is_said_and_stops_no_report():
    answers = answer_questions(_grades(1, order=("0", "1")))
    assert answers.agreement.ac2 is None
    assert "the distance between grades is not used" in str(write_page_one(answers))
    case = _grades(1)
    sets = replace(case, ledger=replace(case.ledger, label_scale="multilabel", label_order=()))
    assert "Labels are sets" in str(write_page_one(answer_questions(sets)))


def test_errors_of_disputes_that_raters_won_are_told_and_count_against_nobody():
    audits = make_audits(2, {"rater": 10.0})
    lost = (audits["error"] == 1) & (audits["rater"] == "r-05") & (audits["day"] >= "2026-03-01")
    answers = answer_questions(make_case(audits.assign(dispute=np.where(lost, "upheld_rater", "none"))))
    won = int((lost & (audits["stream"] == "random")).sum())
    assert answers.tagging.disputes_won == won
    assert f"Disputes decided for the rater: {won} errors of the rate above" in str(write_page_one(answers))
    assert "r-05" not in [card.rater for card in answers.raters.cards]
    assert "r-05" in [card.rater for card in answer_questions(make_case(audits)).raters.cards]


def test_a_taxonomy_of_other_codes_explains_all_incidents_to_the_end(tmp_path):
    file = tmp_path / "own.yml"
    file.write_text(
        "causes:\n  A: {name: Arbeit, owner: site, controllable_by: site}\n"
        "  M: {name: Messung, owner: qa, controllable_by: client, measurement: true}\n"
        "  U: {name: Unbekannt, owner: qa, controllable_by: shared}\nunknown: U\nrules: {}\n",
        encoding="utf-8",
    )
    calendar = make_events(("policy_update", "2026-03-01", "New version of spam", "site=here;policy=spam"))
    for names in (("policy", "strict auditor"), ("mix", "rater"), ("stale truth",), ("targeted",)):
        audits = make_audits(0, {name: INCIDENTS[name] for name in names})
        answers = answer_questions(make_case(audits, taxonomy=read_taxonomy(file), events=calendar))
        assert {cause.code for cause in answers.causes.causes} <= {"M", "U"} and write_page_one(answers)
        assert len(answers.actions.actions) == len(answers.causes.causes)
        assert all(cause.measurement == (cause.code == "M") for cause in answers.causes.causes)


@pytest.mark.parametrize("frame", ["rivals", "actions", "causes", "tagging", "quality", "agreement", "trend"])
def test_tables_write_numbers_in_the_unit_of_the_record_and_not_of_the_columns_name(frame):
    answers = answer_questions(make_case(make_audits(0, {"strict auditor": 0.25, "policy": 5.0})))
    shown = show_table(getattr(answers, frame)).data["text/plain"]
    if frame == "rivals":
        part = answers.rivals.rivals[1].part
        assert all(show(one, "pp") in shown for one in (part.value, part.low, part.high))
    if frame == "actions":
        (expected,) = [one.expected for one in answers.actions.actions if one.expected]
        assert show(expected.value, "errors") in shown and "%" not in shown
    if frame == "agreement":
        assert show(answers.agreement.percent.value, "%") in shown and f"{answers.agreement.alpha.value:.3g}" in shown
    percents = [float(one.replace(",", "")) for one in re.findall(r"([\d.,]+) %", shown)]
    assert all(one <= 100 for one in percents if frame != "causes")


@pytest.mark.parametrize("seed", range(2))
def test_more_stale_or_strict_audits_are_no_mix_of_the_work(seed):
    audits = make_audits(seed, {"stale truth": 0.7, "strict auditor": 0.25, "targeted": 0.5})
    drivers = answer_questions(make_case(audits)).drivers
    assert drivers.mix.low < 0 < drivers.mix.high and abs(drivers.mix.value) < 0.02
    assert not {part.dimension for part in drivers.mix_parts} & {"auditor", "truth_version"}
    assert sum(part.part.value for part in drivers.mix_parts) == pytest.approx(drivers.mix.value)
    assert drivers.mix.value + drivers.rate.value == pytest.approx(drivers.change.value)
