"""Causes: events match slice and date, and measurement causes come first."""

import pandas as pd
import pytest

from rca_lib.audits.periods import parse_period
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.findings import Estimate, Finding, Quantity
from rca_lib.questions.causes import rank_causes

MARCH = parse_period("2026-03")
TAXONOMY = read_taxonomy()
EXCESS = Estimate(60.0, 35.0, 85.0, "errors")
MARCH_9 = ("2026-03-09", "2026-03-07", "2026-03-12")  # date of a change with its earliest and latest date
HATE = {"policy": "hate"}


class FakeResult:
    """A result with given findings."""

    def __init__(self, *findings):
        self._findings = findings

    def findings(self):
        return self._findings


def make_events(*rows):
    table = pd.DataFrame(rows, columns=["type", "start", "title", "scope"])
    return table.assign(start=pd.to_datetime(table["start"]))


def make_change(grade="shown", value=0.02):
    return Finding("drivers", "change", "…", grade, Estimate(value, value - 0.01, value + 0.01, "pp"))


def make_slice(where, sign=1, share=0.8):
    excess = Estimate(sign * 60.0, sign * 60.0 - 25, sign * 60.0 + 25, "errors")
    return Finding("drivers", "slice", "…", "shown", excess, "slices[0].excess", where, share=share, p_value=0.001)


def make_date(kind="step", since=MARCH_9):
    return Finding("trend", kind, "…", "shown", Estimate(0.02, 0.01, 0.03, "pp"), since=since, p_value=0.01)


def make_mix(value, half_width=0.003):
    return Finding("drivers", "mix", "…", "shown", Estimate(value, value - half_width, value + half_width, "pp"))


def make_alternative(name, value=0.018, where=None):
    estimate = Estimate(value, value - 0.006, value + 0.006, "pp")
    return Finding("alternative_explanations", name, "…", "shown", estimate, where=where or {})


HATE_TRENDS = ((HATE, FakeResult(make_date())),)


def rank(*results, events=None, **options):
    events = make_events() if events is None else events
    return rank_causes(results, events, period=MARCH, taxonomy=TAXONOMY, n_audits=3000, **options).causes


def test_an_event_that_matches_slice_and_date_is_a_likely_cause_and_never_more():
    events = make_events(("policy_update", "2026-03-09", "New version of hate", "site=lisbon;policy=hate"))
    (cause,) = rank(FakeResult(make_change(), make_slice(HATE)), events=events, slice_trends=HATE_TRENDS)
    assert (cause.code, cause.grade, cause.share) == ("TRN.UPD", "likely", 0.8)
    assert "New version of hate (9 Mar 2026)" in cause.event


def test_dates_are_paired_with_slices_whatever_their_order_and_number():
    events = make_events(("policy_update", "2026-03-09", "New version of hate", "policy=hate"))
    dated = FakeResult(make_date())
    trends = [({"auditor": "q-1"}, dated), (HATE, dated), ({"policy": "spam"}, None)]
    slices = [make_slice({"policy": "spam"}), make_slice(HATE)]
    causes = rank(FakeResult(make_change(), *slices), events=events, slice_trends=trends)
    assert {cause.where["policy"]: cause.since for cause in causes} == {"hate": MARCH_9, "spam": None}


@pytest.mark.parametrize(
    ("start", "scope", "grade"),
    [
        ("2026-03-25", "policy=hate", "possible"),  # another date
        ("2026-03-09", "policy=spam", "not proven"),  # another slice
        ("2026-01-09", "policy=hate", "not proven"),  # long before the period
    ],
)
def test_an_event_of_another_date_is_only_possible_and_one_of_another_slice_or_period_is_no_cause(start, scope, grade):
    events = make_events(("policy_update", start, "New version", scope))
    (cause,) = rank(FakeResult(make_change(), make_slice(HATE)), events=events, slice_trends=HATE_TRENDS)
    assert cause.grade == grade
    assert (cause.code, cause.event) == ("UNK.UNK", "") or grade == "possible"


def test_one_rater_is_named_as_one_rater_not_as_the_site():
    (cause,) = rank(FakeResult(make_change(), make_slice({"rater": "r-0007"})))
    assert cause.code.startswith("PPL.") and "one rater" in cause.sentence


def test_an_improvement_needs_no_cause():
    assert rank(FakeResult(make_change("not proven"), make_slice(HATE, sign=-1))) == ()


def test_an_outdated_truth_replaces_the_causes_of_the_slices_that_it_explains_and_no_others():
    truth = make_alternative("stale truth", where=HATE)
    result = FakeResult(make_change(value=0.03), make_slice(HATE), make_slice({"rater": "r-0007"}))
    causes = rank(result, FakeResult(truth), explained_slices=[HATE])
    assert [cause.code for cause in causes] == ["PPL.KNOW", "MEA.GT_STALE"]  # 60 of 3,000 audits are 2.0 pp
    assert causes[1].measurement and causes[1].share == pytest.approx(0.6) and "policy = hate" in causes[1].sentence


def test_a_strict_auditor_is_named_once_whether_an_alternative_or_the_search_found_it():
    where = {"auditor": "q-2"}
    alternative = make_alternative("auditors", where=where)
    slice_ = Finding("drivers", "measurement", "…", "shown", EXCESS, "slices[0].excess", where, share=0.9)
    drivers = FakeResult(make_change(), slice_)
    for results in ((FakeResult(alternative),), (drivers,), (drivers, FakeResult(alternative))):
        (cause,) = rank(*results)
        assert (cause.kind, cause.code, cause.where) == ("auditor", "MEA.GT_WRONG", where)
        assert cause.measurement and "Auditor q-2 found more errors" in cause.sentence


def test_an_auditor_who_finds_fewer_errors_is_no_cause_of_more_errors():
    excess = Estimate(-40.0, -60, -20, "errors")
    milder = Finding("drivers", "measurement", "…", "shown", excess, where={"auditor": "q"})
    causes = rank(FakeResult(make_change(), milder, make_slice(HATE)))
    assert [cause.kind for cause in causes] == ["slice"]


def test_sampling_is_a_cause_only_without_any_other():
    sampling = FakeResult(make_alternative("sampling", 0.03))
    assert [cause.code for cause in rank(FakeResult(make_change("not proven", 0.001)), sampling)] == ["MEA.SAMPLE"]
    causes = rank(FakeResult(make_change(), make_slice({"policy": "a"})), sampling)
    assert "MEA.SAMPLE" not in [cause.code for cause in causes]


def test_the_work_mix_is_a_cause_from_half_of_the_change():
    assert [cause.code for cause in rank(FakeResult(make_change(), make_mix(0.015)))] == ["ENV.MIX"]
    assert rank(FakeResult(make_change(), make_mix(0.005))) == ()
    # The change is 0.2 ± 1 pp: a mix effect of 0.4 pp is less than half of the noise, 0.8 pp is more.
    assert rank(FakeResult(make_change("not proven", 0.002), make_mix(0.004))) == ()
    causes = rank(FakeResult(make_change("not proven", 0.002), make_mix(0.008)))
    assert [cause.code for cause in causes] == ["ENV.MIX"]


def test_a_drift_without_a_slice_concerns_all_work_and_its_cause_is_not_proven():
    (cause,) = rank(FakeResult(make_change("not proven")), FakeResult(make_date("drift")))
    assert (cause.code, cause.grade) == ("UNK.UNK", "not proven") and "gradually" in cause.sentence


def test_only_an_event_of_all_work_explains_a_change_of_all_work():
    events = make_events(
        ("hiring_class", "2026-03-08", "Hiring class 2026-03", "site=lisbon;hiring_class=2026-03"),
        ("training_wave", "2026-03-09", "Refresher course for team-1", "site=lisbon;team=team-1"),
        ("outage", "2026-03-09", "Outage of the review tool", "site=lisbon"),
    )
    results = FakeResult(make_change("not proven")), FakeResult(make_date())
    (cause,) = rank(*results, events=events)
    assert (cause.code, cause.grade) == ("ENV.OUTAGE", "possible")
    (cause,) = rank(*results, events=events[:2])
    assert (cause.code, cause.grade, cause.event) == ("UNK.UNK", "not proven", "")


@pytest.mark.parametrize(
    ("scope", "where", "grade"),
    [
        ("policy=hate", {"policy": "hate", "queue": "video"}, "likely"),
        ("policy=ha*", HATE, "likely"),
        ("policy=hate;queue=video", HATE, "not proven"),
        ("team=team-1", HATE, "not proven"),
        ("site=lisbon", HATE, "possible"),
        ("", HATE, "possible"),
        (None, HATE, "possible"),
    ],
)
def test_an_event_explains_a_slice_only_if_its_scope_covers_the_slice(scope, where, grade):
    events = make_events(("policy_update", "2026-03-09", "New version", scope))
    trends = [(where, FakeResult(make_date()))]
    (cause,) = rank(FakeResult(make_change(), make_slice(where)), events=events, slice_trends=trends)
    assert cause.grade == grade and bool(cause.event) == (grade != "not proven")


@pytest.mark.parametrize(("scope", "matches"), [("hiring_class=2026-03", True), ("hiring_class=2026-03;team=a", False)])
def test_a_hiring_class_explains_short_tenure_only_within_its_own_team(scope, matches):
    events = make_events(("hiring_class", "2026-03-09", "Hiring class", scope))
    where = {"tenure": "0-30 days"}
    trends = [(where, FakeResult(make_date()))]
    (cause,) = rank(FakeResult(make_change(), make_slice(where)), events=events, slice_trends=trends)
    assert bool(cause.event) == matches


def test_the_largest_effect_comes_first_whatever_its_kind():
    excess = Estimate(9.0, 4.0, 14.0, "errors")
    rater = Finding("drivers", "slice", "…", "shown", excess, where={"rater": "r"}, share=0.05)
    auditor = make_alternative("auditors", 0.012, {"auditor": "q"})
    causes = rank(FakeResult(make_change(value=0.057), make_mix(0.044, 0.014), rater), FakeResult(auditor))
    assert [cause.kind for cause in causes] == ["mix", "auditor", "slice"]
    assert [round(cause.effect, 3) for cause in causes] == [0.044, 0.012, 0.003]


def test_sampling_is_the_only_cause_if_the_periods_are_not_comparable():
    sampling = Finding("sampling", "not comparable", "…", "shown", Quantity(300.0, unit="audits"), "audits")
    (cause,) = rank(FakeResult(sampling), FakeResult(make_change(), make_slice(HATE)))
    assert (cause.kind, cause.code, cause.effect) == ("sampling", "MEA.SAMPLE", 0.0)


def test_a_change_long_before_the_period_needs_no_cause():
    assert rank(FakeResult(make_date(since=("2026-01-10", "2026-01-05", "2026-01-15")))) == ()


def test_a_summary_without_causes_says_so():
    causes = rank_causes((), make_events(), period=MARCH, taxonomy=TAXONOMY)
    assert causes.summary().startswith("No proven finding") and causes.findings_reviewed == 0
