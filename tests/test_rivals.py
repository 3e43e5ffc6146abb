from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rca_lib.questions.rivals import weigh_rivals


def audits(seed, *, rate=0.06, stale=0.0, strict=(), targeted=0.1, raters=50, each=80):
    """One period; `stale` of the truths are flipped under a later version, auditors in `strict` find errors twice."""
    rng = np.random.default_rng(seed)
    count = raters * each
    rater = np.repeat(np.arange(raters), each)
    auditor = rng.integers(0, 8, count)
    stream = np.where(rng.random(count) < targeted, "targeted", "random")
    skill = np.exp(np.random.default_rng(99).normal(0, 0.3, raters))
    chance = rate * skill[rater] * np.where(stream == "targeted", 3.0, 1.0)
    chance = chance * np.where(np.isin(auditor, strict), 3.0, 1.0)
    is_stale = rng.random(count) < stale
    return pd.DataFrame(
        {
            "rater": [f"r-{one}" for one in rater],
            "auditor": [f"q-{one}" for one in auditor],
            "stream": stream,
            "weight": 1.0,
            "error": ((rng.random(count) < chance) | (is_stale & (rng.random(count) < 0.5))).astype(int),
            "policy_version_decided": "v1",
            "policy_version_audited": np.where(is_stale, "v2", "v1"),
        }
    )


def grades(before, after):
    return {rival.name: rival.grade for rival in weigh_rivals(before, after).rivals}


@pytest.mark.parametrize("seed", range(4))
def test_a_stale_truth_is_shown_and_measured(seed):
    rivals = weigh_rivals(audits(seed), audits(seed + 100, stale=0.06))
    stale = rivals.rivals[0]
    assert (stale.name, stale.grade) == ("stale truth", "shown")
    # 6 % of the audits are stale; half of those that were right (94 %) are flipped: .06 × .5 × .94 = 2.8 pp.
    assert stale.part.low < 0.028 < stale.part.high


@pytest.mark.parametrize("seed", range(4))
def test_an_auditor_who_turned_strict_is_shown(seed):
    rivals = weigh_rivals(audits(seed), audits(seed + 100, strict=(3,)))
    assert (rivals.rivals[1].name, rivals.rivals[1].grade) == ("auditors", "shown")
    assert "q-3" in rivals.rivals[1].sentence


@pytest.mark.parametrize("seed", range(4))
def test_more_targeted_audits_are_sampling_and_leave_the_change_alone(seed):
    rivals = weigh_rivals(audits(seed), audits(seed + 100, targeted=0.35))
    assert grades(audits(seed), audits(seed + 100, targeted=0.35))["sampling"] == "shown"
    assert rivals.change.low < 0 < rivals.change.high < rivals.naive_change.high


def test_worse_work_is_none_of_them():
    found = grades(audits(1), audits(2, rate=0.12))
    assert found["stale truth"] == "ruled out" and "shown" not in found.values()


def test_quiet_periods_show_a_rival_no_more_often_than_promised():
    # The three intervals hold together at 95 %: 4 of 80 expected, more than 10 have a probability below .005.
    alarms = sum("shown" in grades(audits(seed), audits(seed + 1000)).values() for seed in range(80))
    assert alarms <= 10


def test_a_missing_column_is_said_not_guessed():
    before, after = (audits(seed).drop(columns=["auditor", "policy_version_audited"]) for seed in (1, 2))
    rivals = weigh_rivals(before, after)
    assert [rival.grade for rival in rivals.rivals[:2]] == ["not proven", "not proven"]
    assert "no column policy_version_audited" in rivals.summary() and "no column auditor" in rivals.summary()


def test_row_order_does_not_matter():
    before, after = audits(1), audits(2, stale=0.05)
    shuffled = after.sample(frac=1, random_state=0)
    assert weigh_rivals(before, after).summary() == weigh_rivals(before, shuffled).summary()


def test_an_auditor_who_moved_against_the_change_cannot_explain_it():
    # Everybody errs twice as often, and one auditor overlooks more than before: without that the rise were larger.
    before, after = audits(3, strict=(3,)), audits(4, rate=0.12)
    auditor = weigh_rivals(before, after).rivals[1]
    assert (auditor.where["auditor"], auditor.grade) == ("q-3", "ruled out") and auditor.part.value < 0
    assert "against the change" in auditor.sentence


@pytest.mark.parametrize("seed", range(6))
def test_sampling_that_weighting_removes_is_never_possible(seed):
    for targeted in (0.1, 0.2, 0.35):
        assert grades(audits(seed), audits(seed + 50, targeted=targeted))["sampling"] in ("shown", "ruled out")


def test_stratified_audits_without_weights_leave_sampling_open():
    before, after = (audits(seed).assign(stream="stratified") for seed in (1, 2))
    assert grades(before, after)["sampling"] == "possible"
    weighted = [table.assign(weight=np.where(table["rater"] < "r-3", 4.0, 1.5)) for table in (before, after)]
    assert grades(*weighted)["sampling"] == "ruled out"
    assert grades(weighted[0], after)["sampling"] == "possible"


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("random", "targeted"),
        ("targeted", "random"),
        ("stratified", "escalation"),
        ("targeted", "appeal"),
        ("random", None),
    ],
)
def test_periods_of_other_streams_are_not_compared_and_sampling_is_the_first_rival(then, now):
    rivals = weigh_rivals(audits(1).assign(stream=then), audits(2, rate=0.2).assign(stream=now))
    assert not rivals.comparable and rivals.rivals[0].name == "sampling" and rivals.rivals[0].grade == "shown"
    assert [rival.grade for rival in rivals.rivals[1:]] == ["not proven", "not proven"]


def test_two_periods_of_targeted_audits_leave_sampling_open_first():
    rivals = weigh_rivals(audits(1).assign(stream="targeted"), audits(2).assign(stream="targeted"))
    assert not rivals.comparable and (rivals.rivals[0].name, rivals.rivals[0].grade) == ("sampling", "possible")


def test_a_slice_is_explained_by_the_truth_where_half_of_its_excess_is():
    before, after = audits(1).assign(policy="a"), audits(2, stale=0.06).assign(policy="a")
    before.loc[::2, "policy"], after.loc[::2, "policy"] = "b", "b"
    after.loc[after["policy"] == "b", "policy_version_audited"] = "v1"
    after.loc[after["policy"] == "b", "error"] = (np.arange(len(after) // 2) % 6 == 0).astype(int)  # worse work
    places = [SimpleNamespace(where={"policy": name}, expected=0.06) for name in "ab"]
    rivals = weigh_rivals(before, after, slices=places)
    assert rivals.rivals[0].where == {"policy": "a"} and rivals.rivals[0].explains == ({"policy": "a"},)
