import pandas as pd
import pytest

from rca_lib.audits.cause_codes import USUAL
from rca_lib.audits.periods import parse_period
from rca_lib.audits.taxonomy_file import read_taxonomy
from rca_lib.findings import Estimate, Finding
from rca_lib.questions.actions import ACTIONS, propose_actions
from rca_lib.questions.causes import rank_causes

MARCH = parse_period("2026-03")
TAXONOMY = read_taxonomy()
EXCESS, FEWER = Estimate(60.0, 35.0, 85.0, "errors"), Estimate(-40.0, -60.0, -20.0, "errors")
PART = Estimate(0.018, 0.012, 0.024, "pp")


class Said:
    """An answer that hands on what it is told to."""

    def __init__(self, *findings):
        self.found = findings

    def findings(self):
        return self.found


def events(*rows):
    table = pd.DataFrame(rows, columns=["type", "start", "title", "scope"])
    return table.assign(start=pd.to_datetime(table["start"]))


def change(grade="shown", value=0.02):
    return Finding("drivers", "change", "…", grade, Estimate(value, value - 0.01, value + 0.01, "pp"))


def part(where, sign=1, share=0.8):
    estimate = Estimate(sign * 60.0, sign * 60.0 - 25, sign * 60.0 + 25, "errors")
    return Finding("drivers", "slice", "…", "shown", estimate, "slices[0].excess", where, share=share, p_value=0.001)


def dated(kind="step", since=("2026-03-09", "2026-03-07", "2026-03-12")):
    return Finding("trend", kind, "…", "shown", Estimate(0.02, 0.01, 0.03, "pp"), since=since, p_value=0.01)


HATE_DATED = (({"policy": "hate"}, Said(dated())),)


def rank(*answers, calendar=None, **more):
    calendar = events() if calendar is None else calendar
    return rank_causes(answers, calendar, period=MARCH, taxonomy=TAXONOMY, audits=3000, **more).causes


def test_an_event_that_fits_place_and_date_is_a_likely_cause_and_never_more():
    calendar = events(("policy_update", "2026-03-09", "New version of hate", "site=lisbon;policy=hate"))
    (cause,) = rank(Said(change(), part({"policy": "hate"})), calendar=calendar, dates=HATE_DATED)
    assert (cause.code, cause.grade, cause.share) == ("TRN.UPD", "likely", 0.8)
    assert "New version of hate (9 Mar 2026)" in cause.event


def test_dates_are_paired_with_slices_by_place_whatever_their_order_and_number():
    where = [{"policy": "spam"}, {"policy": "hate"}]
    calendar = events(("policy_update", "2026-03-09", "New version of hate", "policy=hate"))
    dates = [({"auditor": "q-1"}, Said(dated())), ({"policy": "hate"}, Said(dated())), ({"policy": "spam"}, None)]
    causes = rank(Said(change(), *map(part, where)), calendar=calendar, dates=dates)
    assert {cause.where["policy"]: cause.since for cause in causes} == {
        "hate": ("2026-03-09", "2026-03-07", "2026-03-12"), "spam": None,
    }  # fmt: skip


def test_an_event_of_the_place_but_another_date_is_only_possible():
    calendar = events(("policy_update", "2026-03-25", "New version of hate", "policy=hate"))
    (cause,) = rank(Said(change(), part({"policy": "hate"})), calendar=calendar, dates=HATE_DATED)
    assert cause.grade == "possible"


def test_an_event_of_another_place_is_no_cause():
    calendar = events(("policy_update", "2026-03-09", "New version of spam", "policy=spam"))
    (cause,) = rank(Said(change(), part({"policy": "hate"})), calendar=calendar, dates=HATE_DATED)
    assert (cause.code, cause.grade, cause.event) == ("UNK.UNK", "not proven", "")


def test_an_event_that_began_long_before_the_period_is_no_cause():
    calendar = events(("policy_update", "2026-01-09", "New version of hate", "policy=hate"))
    (cause,) = rank(Said(change(), part({"policy": "hate"})), calendar=calendar, dates=HATE_DATED)
    assert cause.event == ""


def test_one_rater_is_named_as_one_person_not_as_the_site():
    (cause,) = rank(Said(change(), part({"rater": "r-0007"})))
    assert cause.code.startswith("PPL.") and "One person" in cause.sentence


def test_an_improvement_needs_no_cause():
    assert rank(Said(change("not proven"), part({"policy": "hate"}, sign=-1))) == ()


def test_a_stale_truth_takes_the_blame_from_the_slices_that_it_explains_and_no_others():
    stale = Finding(
        "rivals", "stale truth", "…", "shown", Estimate(0.018, 0.012, 0.024, "pp"), where={"policy": "hate"}
    )
    slices = part({"policy": "hate"}), part({"rater": "r-0007"})
    causes = rank(Said(change(value=0.03), *slices), Said(stale), explained=[{"policy": "hate"}])
    assert [cause.code for cause in causes] == ["PPL.KNOW", "MEA.GT_STALE"]  # 60 of 3,000 audits are 2.0 pp
    assert causes[1].measurement and causes[1].share == pytest.approx(0.6) and "policy = hate" in causes[1].sentence


def test_a_strict_auditor_is_named_once_whether_a_rival_or_the_search_found_him():
    where = {"auditor": "q-2"}
    rival = Finding("rivals", "auditors", "…", "shown", PART, where=where)
    found = Finding("drivers", "measurement", "…", "shown", EXCESS, "slices[0].excess", where, share=0.9)
    for answers in ((Said(rival),), (Said(change(), found),), (Said(change(), found), Said(rival))):
        (cause,) = rank(*answers)
        assert (cause.kind, cause.code, cause.where) == ("auditor", "MEA.GT_WRONG", where)
        assert cause.measurement and "Auditor q-2 found more errors" in cause.sentence


def test_an_auditor_who_grew_milder_is_no_cause_of_more_errors():
    milder = Finding(
        "drivers", "measurement", "…", "shown", Estimate(-40.0, -60, -20, "errors"), where={"auditor": "q"}
    )
    assert [cause.kind for cause in rank(Said(change(), milder, part({"policy": "hate"})))] == ["slice"]


def test_sampling_is_a_cause_only_where_nothing_else_is():
    sampling = Finding("rivals", "sampling", "…", "shown", Estimate(0.03, 0.02, 0.04, "pp"))
    assert [cause.code for cause in rank(Said(change("not proven", 0.001)), Said(sampling))] == ["MEA.SAMPLE"]
    assert "MEA.SAMPLE" not in [cause.code for cause in rank(Said(change(), part({"policy": "a"})), Said(sampling))]


def test_mix_counts_from_half_of_the_change_on():
    def mix(value):
        return Finding("drivers", "mix", "…", "shown", Estimate(value, value - 0.003, value + 0.003, "pp"))

    assert [cause.code for cause in rank(Said(change(), mix(0.015)))] == ["ENV.MIX"]
    assert rank(Said(change(), mix(0.005))) == ()
    # The change is 0.2 pp, give or take 1 pp: 0.4 pp of mix is less than half of what noise makes, 0.8 pp is not.
    assert rank(Said(change("not proven", 0.002), mix(0.004))) == ()
    assert [cause.code for cause in rank(Said(change("not proven", 0.002), mix(0.008)))] == ["ENV.MIX"]


def test_a_drift_without_a_slice_is_everybody_and_its_cause_is_not_proven():
    (cause,) = rank(Said(change("not proven")), Said(dated("drift")))
    assert (cause.code, cause.grade) == ("UNK.UNK", "not proven") and "slowly" in cause.sentence


def test_only_an_event_of_all_work_explains_a_change_of_all_work():
    calendar = events(
        ("hiring_class", "2026-03-08", "Hiring class 2026-03", "site=lisbon;hiring_class=2026-03"),
        ("training_wave", "2026-03-09", "Refresher course for team-1", "site=lisbon;team=team-1"),
        ("outage", "2026-03-09", "Outage of the review tool", "site=lisbon"),
    )
    (cause,) = rank(Said(change("not proven")), Said(dated()), calendar=calendar)
    assert (cause.code, cause.grade) == ("ENV.OUTAGE", "possible")
    (cause,) = rank(Said(change("not proven")), Said(dated()), calendar=calendar[:2])
    assert (cause.code, cause.grade, cause.event) == ("UNK.UNK", "not proven", "")


@pytest.mark.parametrize(
    ("scope", "where", "grade"),
    [
        ("policy=hate", {"policy": "hate", "queue": "video"}, "likely"),
        ("policy=ha*", {"policy": "hate"}, "likely"),
        ("policy=hate;queue=video", {"policy": "hate"}, "not proven"),
        ("team=team-1", {"policy": "hate"}, "not proven"),
        ("site=lisbon", {"policy": "hate"}, "possible"),
        ("", {"policy": "hate"}, "possible"),
        (None, {"policy": "hate"}, "possible"),
    ],
)
def test_an_event_explains_a_slice_only_where_its_scope_holds_the_slice(scope, where, grade):
    calendar = events(("policy_update", "2026-03-09", "New version", scope))
    (cause,) = rank(Said(change(), part(where)), calendar=calendar, dates=[(where, Said(dated()))])
    assert cause.grade == grade and bool(cause.event) == (grade != "not proven")


def test_a_class_of_new_starters_explains_short_tenure_within_its_own_team_only():
    for scope, fits in (("hiring_class=2026-03", True), ("hiring_class=2026-03;team=team-1", False)):
        calendar = events(("hiring_class", "2026-03-09", "Hiring class", scope))
        where = {"tenure": "0-30 days"}
        (cause,) = rank(Said(change(), part(where)), calendar=calendar, dates=[(where, Said(dated()))])
        assert bool(cause.event) == fits


def test_the_largest_part_comes_first_whatever_its_kind():
    mix = Finding("drivers", "mix", "…", "shown", Estimate(0.044, 0.03, 0.058, "pp"))
    strict = Finding("rivals", "auditors", "…", "shown", Estimate(0.012, 0.008, 0.016, "pp"), where={"auditor": "q"})
    one = Finding(
        "drivers", "slice", "…", "shown", Estimate(9.0, 4.0, 14.0, "errors"), where={"rater": "r"}, share=0.05
    )
    causes = rank(Said(change(value=0.057), mix, one), Said(strict))
    assert [cause.kind for cause in causes] == ["mix", "auditor", "slice"]
    assert [round(cause.points, 3) for cause in causes] == [0.044, 0.012, 0.003]


def test_where_periods_are_not_comparable_sampling_is_the_only_cause():
    apart = Finding("sampling", "not comparable", "…", "shown", Estimate(300.0, unit="audits"), "audits")
    (cause,) = rank(Said(apart), Said(change(), part({"policy": "hate"})))
    assert (cause.kind, cause.code, cause.points) == ("sampling", "MEA.SAMPLE", 0.0)


def test_a_change_before_the_period_is_not_this_periods():
    assert rank(Said(dated(since=("2026-01-10", "2026-01-05", "2026-01-15")))) == ()


def test_nothing_found_is_said():
    assert rank_causes((), events(), period=MARCH, taxonomy=TAXONOMY).summary().startswith("Nothing was shown")


def test_every_cause_that_can_be_ranked_is_in_the_taxonomy_and_has_an_action():
    codes = {*USUAL.values(), "UNK.UNK"}
    assert codes <= set(ACTIONS)
    for code in codes:
        assert TAXONOMY.name(code) and TAXONOMY.owner(code)


def test_an_action_says_who_until_when_and_promises_no_more_than_the_excess():
    causes = [Finding("causes", "TRN.UPD", "…", "likely", EXCESS, where={"policy": "hate"})]
    (action,) = propose_actions(causes, period=MARCH, taxonomy=TAXONOMY).actions
    # Due two weeks after March ends; May is the first whole period after that, and it is checked when May has ended.
    assert (action.due.value, action.check.value, action.expected) == ("2026-04-14", "2026-05-31", EXCESS)
    assert action.owner == TAXONOMY.owner("TRN.UPD") and "policy = hate" in action.sentence


def test_a_measurement_cause_promises_nothing():
    causes = [Finding("causes", "MEA.GT_STALE", "…", "shown", EXCESS)]
    assert propose_actions(causes, period=MARCH, taxonomy=TAXONOMY).actions[0].expected is None
