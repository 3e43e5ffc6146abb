"""What happened: rates, weights, raters, streams, targets."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.quality import measure_quality
from rca_lib.reporting.plots.quality import plot_quality
from rca_lib.stats.rates import wilson


def simulate(seed, *, items=2000, raters=40, approved=0.03, rejected=0.09, spread=0.0):
    """Audits of a site that samples 40 % approved (weight 20) and 60 % rejected decisions (weight 2).

    `approved` are errors among decisions to pass (under-enforcement), `rejected` among decisions to remove.
    """
    rng = np.random.default_rng(seed)
    rater = rng.integers(0, raters, items)
    passed = rng.random(items) < 0.4
    skill = np.exp(rng.normal(-(spread**2) / 2, spread, raters))[rater]
    wrong = rng.random(items) < np.where(passed, approved, rejected) * skill
    policy = rng.choice(["hate", "spam"], items)
    label = np.where(passed, "benign", policy)
    truth = np.where(~wrong, label, np.where(passed, policy, "benign"))
    return pd.DataFrame(
        {
            "audit_id": [f"a{number}" for number in range(items)],
            "rater": [f"r{number}" for number in rater],
            "label": label,
            "truth": truth,
            "policy": policy,
            "severity": rng.choice(["safety_critical", "non_critical"], items),
            "stream": "stratified",
            "weight": np.where(passed, 20.0, 2.0),
            "day": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.integers(0, 28, items), unit="D"),
            "queue": rng.choice(["video", "image"], items),
        }
    )


PLAIN = ["rater", "label", "truth", "weight"]
TRUE_RATE = (0.03 * 0.4 * 20 + 0.09 * 0.6 * 2) / (0.4 * 20 + 0.6 * 2)  # .0378; the unweighted rate tends to .066


def target(metric="accuracy", contract=0.95, **columns):
    return pd.DataFrame([{"metric": metric, "contract": contract, **columns}])


def test_the_rate_of_all_decisions_is_found_under_a_sample_that_is_not_proportional():
    found = [measure_quality(simulate(seed, spread=0.3)[PLAIN]) for seed in range(40)]
    covered = sum(quality.error_rate.low <= TRUE_RATE <= quality.error_rate.high for quality in found)
    assert covered >= 34  # 38 expected at .95; fewer than 34 has a probability of .004
    assert np.mean([quality.error_rate.value for quality in found]) == pytest.approx(TRUE_RATE, abs=0.002)
    assert sum(quality.unweighted.low <= TRUE_RATE for quality in found) < 5


def test_over_and_under_enforcement_are_found_among_what_they_speak_of():
    quality = measure_quality(simulate(7, items=60_000))
    # Truly benign: passed and right (.4·.97, weight 20) or removed wrongly (.6·.09, weight 2): .108 / 7.868.
    over = 0.6 * 0.09 * 2 / (0.4 * 0.97 * 20 + 0.6 * 0.09 * 2)
    # Truly violating: passed wrongly (.4·.03, weight 20) or removed rightly (.6·.91, weight 2): .24 / 1.332.
    under = 0.4 * 0.03 * 20 / (0.4 * 0.03 * 20 + 0.6 * 0.91 * 2)
    assert quality.over_enforcement.low <= over <= quality.over_enforcement.high
    assert quality.under_enforcement.low <= under <= quality.under_enforcement.high
    assert sum(policy.share for policy in quality.by_policy) == pytest.approx(1)
    assert {policy.where["policy"] for policy in quality.by_policy} == {"hate", "spam"}


def test_numbers_are_those_of_a_hand_count():
    audits = pd.DataFrame(
        {
            "label": ["benign", "hate", "benign", "hate"],
            "truth": ["benign", "hate", "hate", "benign"],
            "severity": ["non_critical", "non_critical", "safety_critical", "non_critical"],
            "weight": [4.0, 2.0, 1.0, 3.0],
        }
    )
    quality = measure_quality(audits)
    assert quality.error_rate.value == pytest.approx(4 / 10)
    assert quality.unweighted.value == pytest.approx(2 / 4)
    assert quality.over_enforcement.value == pytest.approx(3 / 7)
    assert quality.under_enforcement.value == pytest.approx(1 / 3)
    # severity weights 25 and 1: errors 25·1 + 3 of 25·1 + 3 + 4 + 2
    assert quality.severity_weighted_accuracy.value == pytest.approx(1 - 28 / 34)
    assert (quality.error_rate.errors, quality.error_rate.items, quality.raters) == (2, 4, 0)


def test_without_weights_and_raters_it_is_wilsons_interval_and_says_so():
    audits = pd.DataFrame({"label": ["benign"] * 20, "truth": ["benign"] * 18 + ["hate"] * 2})
    quality = measure_quality(audits)
    assert (quality.error_rate.low, quality.error_rate.high) == pytest.approx(wilson(2, 20))
    assert not quality.weighted
    assert "unweighted" in quality.summary()
    assert any("fewer than two raters" in sentence for sentence in quality.not_available)


def test_one_rater_who_makes_all_errors_widens_the_interval():
    audits = simulate(3, approved=0.02, rejected=0.02).drop(columns="weight")
    even = measure_quality(audits)
    first = np.where(audits["truth"] != audits["label"], "r0", audits["rater"])
    uneven = measure_quality(audits.assign(rater=first))
    assert uneven.error_rate.value == even.error_rate.value
    assert uneven.design_effect > 3 * even.design_effect
    assert uneven.minimum_detectable.value > 1.5 * even.minimum_detectable.value


def test_streams_are_not_pooled():
    audits = simulate(1)
    hunted = simulate(2, approved=0.5, rejected=0.5).assign(stream="targeted")
    quality = measure_quality(pd.concat([audits, hunted]))
    assert quality.error_rate == measure_quality(audits).error_rate
    alone = measure_quality(hunted)
    assert alone.error_rate.value == pytest.approx(0.5, abs=0.05)


def test_audits_of_audits_are_not_counted_as_audits():
    audits = simulate(1).assign(audit_round=1)
    second = audits.head(300).assign(audit_round=2, truth="hate")
    assert measure_quality(pd.concat([audits, second])).error_rate == measure_quality(audits).error_rate


def test_rows_may_come_in_any_order_and_from_any_engine():
    audits, targets = simulate(4).assign(weight=lambda frame: frame["weight"] / 3), target()
    expected = measure_quality(audits, targets, by=["queue"])
    assert measure_quality(audits.sample(frac=1, random_state=1), targets, by=["queue"]) == expected
    relation = duckdb.from_df(audits.sample(frac=1, random_state=2))
    assert measure_quality(relation, targets, by=["queue"]) == expected


def test_slices_are_the_combinations_of_the_columns_named_and_missing_values_one_of_their_own():
    audits = simulate(5)
    audits.loc[audits.index[:50], "queue"] = None
    slices = measure_quality(audits, by=["queue", "policy"]).slices
    assert sum(part.error_rate.items for part in slices) == len(audits)
    assert {part.where["queue"] for part in slices} == {"video", "image", "(missing)"}


def test_a_target_far_off_is_missed_and_one_well_kept_is_met():
    audits = simulate(6, items=6000)
    missed, met = (measure_quality(audits, target(contract=share)).verdicts[0] for share in (0.99, 0.90))
    assert (missed.verdict, met.verdict) == ("missed", "met")
    assert "missed at 96" in missed.sentence
    at_most = measure_quality(audits, target("under_enforcement", 0.5)).verdicts[0]
    assert at_most.sentence.startswith("Under-enforcement target of at most 50.0 %: met")


def test_a_target_that_is_kept_exactly_is_seldom_called_met_or_missed():
    verdicts = [
        measure_quality(simulate(seed, spread=0.2)[PLAIN], target(contract=1 - TRUE_RATE)).verdicts[0].verdict
        for seed in range(100, 180)
    ]
    # 2.5 % of 80 are 2 on either side; more than 7 has a probability of .001.
    assert verdicts.count("met") <= 7
    assert verdicts.count("missed") <= 7
    assert verdicts.count("not proven") >= 70


def test_a_target_of_the_whole_place_stands_in_the_summary():
    audits = simulate(6).assign(site="lisbon")
    quality = measure_quality(audits, target(scope="site=lisbon", valid_from="2026-01-01", contract=0.90))
    assert quality.verdicts[0].estimate == quality.accuracy
    assert quality.summary().endswith("accuracy target of at least 90.0 % (site = lisbon): met.")


def test_what_is_not_proven_says_how_many_audits_would_tell():
    verdict = measure_quality(simulate(6, items=500), target(contract=0.955)).verdicts[0]
    assert verdict.verdict == "not proven"
    assert "audits would tell" in verdict.sentence


def test_targets_hold_for_their_scope_days_and_numbers():
    audits = simulate(8)
    targets = pd.concat(
        [
            target(scope="queue=video"),
            target(min_audits=5000),
            target(valid_from="2026-03-15"),
            target(valid_to="2026-02-01"),
            target(scope="market=DE"),
        ]
    )
    quality = measure_quality(audits, targets)
    video, few, late = quality.verdicts
    assert video.estimate == measure_quality(audits[audits["queue"] == "video"]).accuracy
    assert few.verdict == "too few audits"
    assert late.estimate == measure_quality(audits[audits["day"] >= "2026-03-15"]).accuracy
    assert "1 of 5 targets speak of none of these audits" in quality.not_available
    assert "target accuracy (market = DE): no column market" in quality.not_available


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"metric": "acuracy"}, "metric"),
        ({"contract": 95}, "contract"),
        ({"contract": None}, "contract"),
        ({"direction": "above"}, "direction"),
        ({"valid_to": "soon"}, "valid_to"),
    ],
)
def test_a_target_that_cannot_be_read_is_named(row, column):
    with pytest.raises(DataError) as caught:
        measure_quality(simulate(1, items=50), target(**row))
    assert caught.value.column == column
    assert caught.value.mend


@pytest.mark.parametrize(("column", "value"), [("weight", -1.0), ("weight", 0.0), ("weight", None), ("truth", None)])
def test_bad_rows_are_named(column, value):
    audits = simulate(1, items=50)
    audits.loc[[7, 9], column] = value
    with pytest.raises(DataError) as caught:
        measure_quality(audits)
    assert (caught.value.column, caught.value.rows) == (column, 2)
    assert caught.value.first["audit_id"] == "a7"


def test_no_audits_are_refused():
    with pytest.raises(DataError, match="no audits"):
        measure_quality(simulate(1, items=10).head(0))
    with pytest.raises(DataError, match="no column 'truth'"):
        measure_quality(simulate(1, items=10).drop(columns="truth"))


def test_no_errors_at_all_are_answered():
    audits = simulate(1, approved=0.0, rejected=0.0)
    quality = measure_quality(audits)
    assert quality.error_rate.value == quality.error_rate.low == 0
    assert quality.error_rate.high > 0
    assert quality.accuracy.high == 1
    assert quality.minimum_detectable.value > 0


def test_labels_without_a_benign_one_leave_enforcement_out():
    quality = measure_quality(simulate(1), benign=("fine",))
    assert quality.over_enforcement is None
    assert any("name such labels with `benign`" in sentence for sentence in quality.not_available)


def test_severity_known_of_errors_alone_gives_no_weighted_accuracy():
    audits = simulate(1)
    quality = measure_quality(audits.assign(severity=audits["severity"].where(audits["label"] != audits["truth"])))
    assert quality.severity_weighted_accuracy is None
    assert any("without a known severity" in sentence for sentence in quality.not_available)


def test_every_finding_leads_to_its_number():
    quality = measure_quality(simulate(9), target())
    findings = quality.findings()
    assert {"level", "target", "over", "under", "severity", "policy"} == {finding.kind for finding in findings}
    for finding in findings:
        assert eval(f"quality.{finding.path}", {"quality": quality}) == finding.estimate
        assert finding.question == "quality"
    frame = quality.to_frame()
    assert frame.loc[0, ["measure", "value"]].tolist() == ["error_rate", quality.error_rate.value]


def test_the_picture_carries_the_answer_every_interval_and_the_target():
    quality = measure_quality(simulate(9), target())
    ax = plot_quality(quality)
    assert ax.get_title(loc="left").replace("\n", " ") == quality.summary()
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "all",
        *(policy.where["policy"] for policy in quality.by_policy),
    ]
    drawn = {tuple(line.get_xdata()) for line in ax.lines}
    assert (100 * quality.error_rate.low, 100 * quality.error_rate.high) in drawn
    assert any(line.get_linestyle() == "--" and line.get_xdata()[0] == pytest.approx(5) for line in ax.lines)
    plt.close(ax.figure)
