"""Alternative explanations: truth, auditors and sampling are found, measured and not confused with worse work."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.alternative_explanations import assess_alternatives


def draw_audits(seed, *, rate=0.06, outdated=0.0, strict=(), targeted=0.1, raters=50, audits_per_rater=80):
    """Draw one period: the share `outdated` has a later policy version, auditors in `strict` find 3 times the errors.

    Half of the decisions under a later version are called errors.
    """
    rng = np.random.default_rng(seed)
    count = raters * audits_per_rater
    rater = np.repeat(np.arange(raters), audits_per_rater)
    auditor = rng.integers(0, 8, count)
    stream = np.where(rng.random(count) < targeted, "targeted", "random")
    skill = np.exp(np.random.default_rng(99).normal(0, 0.3, raters))
    probability = rate * skill[rater] * np.where(stream == "targeted", 3.0, 1.0)
    probability = probability * np.where(np.isin(auditor, strict), 3.0, 1.0)
    is_outdated = rng.random(count) < outdated
    is_error = (rng.random(count) < probability) | (is_outdated & (rng.random(count) < 0.5))
    return pd.DataFrame(
        {
            "rater": [f"r-{number}" for number in rater],
            "auditor": [f"q-{number}" for number in auditor],
            "stream": stream,
            "weight": 1.0,
            "error": is_error.astype(int),
            "policy_version_decided": "v1",
            "policy_version_audited": np.where(is_outdated, "v2", "v1"),
        }
    )


def get_grades(before, after):
    return {entry.name: entry.grade for entry in assess_alternatives(before, after).alternatives}


@pytest.mark.parametrize("seed", range(4))
def test_an_outdated_truth_is_confirmed_and_measured(seed):
    alternative = assess_alternatives(draw_audits(seed), draw_audits(seed + 100, outdated=0.06)).alternatives[0]
    assert (alternative.name, alternative.grade) == ("stale truth", "shown")
    # 6 % of the audits are outdated; half of the correct ones (94 %) become errors: .06 × .5 × .94 = 2.8 pp.
    assert alternative.contribution.low < 0.028 < alternative.contribution.high
    assert str(alternative.contribution) in alternative.sentence


@pytest.mark.parametrize("seed", range(4))
def test_an_auditor_who_turned_strict_is_confirmed_by_name(seed):
    alternative = assess_alternatives(draw_audits(seed), draw_audits(seed + 100, strict=(3,))).alternatives[1]
    assert (alternative.name, alternative.grade) == ("auditors", "shown")
    assert "q-3" in alternative.sentence


@pytest.mark.parametrize("seed", range(4))
def test_more_targeted_audits_are_sampling_and_do_not_move_the_weighted_change(seed):
    result = assess_alternatives(draw_audits(seed), draw_audits(seed + 100, targeted=0.35))
    assert {entry.name: entry.grade for entry in result.alternatives}["sampling"] == "shown"
    assert result.change.low < 0 < result.change.high < result.crude_change.high


def test_worse_work_is_no_alternative_explanation():
    grades = get_grades(draw_audits(1), draw_audits(2, rate=0.12))
    assert grades["stale truth"] == "ruled out" and "shown" not in grades.values()


def test_false_alarms_in_quiet_periods_stay_at_the_stated_rate():
    # The three intervals hold together at 95 %: 4 of 80 expected, more than 10 have a probability below .005.
    alarms = sum("shown" in get_grades(draw_audits(seed), draw_audits(seed + 1000)).values() for seed in range(80))
    assert alarms <= 10


def test_a_missing_column_is_named():
    before, after = (draw_audits(seed).drop(columns=["auditor", "policy_version_audited"]) for seed in (1, 2))
    result = assess_alternatives(before, after)
    assert [entry.grade for entry in result.alternatives[:2]] == ["not proven", "not proven"]
    assert "no column policy_version_audited" in result.summary() and "no column auditor" in result.summary()


def test_row_order_does_not_matter():
    before, after = draw_audits(1), draw_audits(2, outdated=0.05)
    shuffled = after.sample(frac=1, random_state=0)
    assert assess_alternatives(before, after).summary() == assess_alternatives(before, shuffled).summary()


def test_an_auditor_who_shifted_against_the_change_does_not_explain_it():
    # All work has twice the errors, and one auditor finds fewer than before: without that the rise is larger.
    before, after = draw_audits(3, strict=(3,)), draw_audits(4, rate=0.12)
    alternative = assess_alternatives(before, after).alternatives[1]
    assert (alternative.where["auditor"], alternative.grade) == ("q-3", "ruled out")
    assert alternative.contribution.value < 0 and "against the change" in alternative.sentence


@pytest.mark.parametrize("seed", range(6))
def test_sampling_that_weights_remove_is_never_left_open(seed):
    for targeted in (0.1, 0.2, 0.35):
        grades = get_grades(draw_audits(seed), draw_audits(seed + 50, targeted=targeted))
        assert grades["sampling"] in ("shown", "ruled out")


def test_stratified_audits_without_weights_leave_sampling_open():
    before, after = (draw_audits(seed).assign(stream="stratified") for seed in (1, 2))
    assert get_grades(before, after)["sampling"] == "possible"
    weighted = [table.assign(weight=np.where(table["rater"] < "r-3", 4.0, 1.5)) for table in (before, after)]
    assert get_grades(*weighted)["sampling"] == "ruled out"
    assert get_grades(weighted[0], after)["sampling"] == "possible"


@pytest.mark.parametrize(
    ("stream_before", "stream_now"),
    [
        ("random", "targeted"),
        ("targeted", "random"),
        ("stratified", "escalation"),
        ("targeted", "appeal"),
        ("random", None),
    ],
)
def test_periods_of_different_streams_are_not_compared_and_sampling_comes_first(stream_before, stream_now):
    before, after = draw_audits(1).assign(stream=stream_before), draw_audits(2, rate=0.2).assign(stream=stream_now)
    result = assess_alternatives(before, after)
    assert not result.comparable
    assert (result.alternatives[0].name, result.alternatives[0].grade) == ("sampling", "shown")
    assert [entry.grade for entry in result.alternatives[1:]] == ["not proven", "not proven"]


def test_two_periods_of_targeted_audits_leave_sampling_open_and_name_it_first():
    before, after = (draw_audits(seed).assign(stream="targeted") for seed in (1, 2))
    result = assess_alternatives(before, after)
    assert not result.comparable
    assert (result.alternatives[0].name, result.alternatives[0].grade) == ("sampling", "possible")


def test_the_truth_explains_a_slice_if_it_makes_half_of_its_excess():
    before, after = draw_audits(1).assign(policy="a"), draw_audits(2, outdated=0.06).assign(policy="a")
    before.loc[::2, "policy"], after.loc[::2, "policy"] = "b", "b"
    after.loc[after["policy"] == "b", "policy_version_audited"] = "v1"
    after.loc[after["policy"] == "b", "error"] = (np.arange(len(after) // 2) % 6 == 0).astype(int)  # worse work
    slices = [SimpleNamespace(where={"policy": name}, expected_rate=0.06) for name in "ab"]
    result = assess_alternatives(before, after, slices=slices)
    assert result.alternatives[0].where == {"policy": "a"}
    assert result.alternatives[0].explained_slices == ({"policy": "a"},)


def test_every_finding_leads_to_its_number():
    result = assess_alternatives(draw_audits(1), draw_audits(2, outdated=0.06))
    for finding in result.findings():
        assert eval(f"result.{finding.path}", {"result": result}) == finding.estimate
        assert finding.question == "alternative_explanations"
    assert result.to_frame()["contribution"].tolist() == [entry.contribution.value for entry in result.alternatives]
