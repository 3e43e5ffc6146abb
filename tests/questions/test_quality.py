"""Quality: rates under weights, rater clusters and streams, and the verdicts on targets."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.quality import measure_quality
from rca_lib.reporting.plots.quality import plot_quality
from rca_lib.stats.proportions import wilson_interval


def simulate_audits(seed, *, items=2000, raters=40, approved=0.03, rejected=0.09, rater_sd=0.0):
    """Draw audits of a site that samples 40 % approved (weight 20) and 60 % rejected decisions (weight 2).

    `approved` is the error rate of decisions to pass (under-enforcement), `rejected` of decisions to remove.
    `rater_sd` is the standard deviation of the log error rate between raters.
    """
    rng = np.random.default_rng(seed)
    rater = rng.integers(0, raters, items)
    is_passed = rng.random(items) < 0.4
    skill = np.exp(rng.normal(-(rater_sd**2) / 2, rater_sd, raters))[rater]
    is_error = rng.random(items) < np.where(is_passed, approved, rejected) * skill
    policy = rng.choice(["hate", "spam"], items)
    label = np.where(is_passed, "benign", policy)
    truth = np.where(~is_error, label, np.where(is_passed, policy, "benign"))
    return pd.DataFrame(
        {
            "audit_id": [f"a{number}" for number in range(items)],
            "rater": [f"r{number}" for number in rater],
            "label": label,
            "truth": truth,
            "policy": policy,
            "severity": rng.choice(["safety_critical", "non_critical"], items),
            "stream": "stratified",
            "weight": np.where(is_passed, 20.0, 2.0),
            "day": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.integers(0, 28, items), unit="D"),
            "queue": rng.choice(["video", "image"], items),
        }
    )


RATE_COLUMNS = ["rater", "label", "truth", "weight"]
TRUE_RATE = (0.03 * 0.4 * 20 + 0.09 * 0.6 * 2) / (0.4 * 20 + 0.6 * 2)  # .0378; the unweighted rate tends to .066


def make_target(metric="accuracy", contract=0.95, **columns):
    return pd.DataFrame([{"metric": metric, "contract": contract, **columns}])


def test_weights_recover_the_rate_of_all_decisions_from_a_disproportionate_sample():
    results = [measure_quality(simulate_audits(seed, rater_sd=0.3)[RATE_COLUMNS]) for seed in range(40)]
    covered = sum(quality.error_rate.low <= TRUE_RATE <= quality.error_rate.high for quality in results)
    assert covered >= 34  # 38 expected at .95; fewer than 34 has a probability of .004
    assert np.mean([quality.error_rate.value for quality in results]) == pytest.approx(TRUE_RATE, abs=0.002)
    assert sum(quality.unweighted_rate.low <= TRUE_RATE for quality in results) < 5


def test_over_and_under_enforcement_are_measured_among_benign_and_violating_items():
    quality = measure_quality(simulate_audits(7, items=60_000))
    # Truly benign: passed and right (.4·.97, weight 20) or removed wrongly (.6·.09, weight 2): .108 / 7.868.
    over = 0.6 * 0.09 * 2 / (0.4 * 0.97 * 20 + 0.6 * 0.09 * 2)
    # Truly violating: passed wrongly (.4·.03, weight 20) or removed rightly (.6·.91, weight 2): .24 / 1.332.
    under = 0.4 * 0.03 * 20 / (0.4 * 0.03 * 20 + 0.6 * 0.91 * 2)
    assert quality.over_enforcement.low <= over <= quality.over_enforcement.high
    assert quality.under_enforcement.low <= under <= quality.under_enforcement.high
    assert sum(policy.share for policy in quality.by_policy) == pytest.approx(1)
    assert {policy.where["policy"] for policy in quality.by_policy} == {"hate", "spam"}


def test_rates_agree_with_a_hand_count():
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
    assert quality.unweighted_rate.value == pytest.approx(2 / 4)
    assert quality.over_enforcement.value == pytest.approx(3 / 7)
    assert quality.under_enforcement.value == pytest.approx(1 / 3)
    # severity weights 25 and 1: errors 25·1 + 3 of 25·1 + 3 + 4 + 2
    assert quality.severity_weighted_accuracy.value == pytest.approx(1 - 28 / 34)
    assert (quality.error_rate.errors, quality.error_rate.items, quality.raters) == (2, 4, 0)


def test_without_weights_and_raters_the_interval_is_wilsons_and_the_summary_says_unweighted():
    audits = pd.DataFrame({"label": ["benign"] * 20, "truth": ["benign"] * 18 + ["hate"] * 2})
    quality = measure_quality(audits)
    assert (quality.error_rate.low, quality.error_rate.high) == pytest.approx(wilson_interval(2, 20))
    assert not quality.weighted
    assert "unweighted" in quality.summary()
    assert any("fewer than two raters" in sentence for sentence in quality.not_available)


def test_one_rater_with_all_errors_widens_the_interval():
    audits = simulate_audits(3, approved=0.02, rejected=0.02).drop(columns="weight")
    even = measure_quality(audits)
    first = np.where(audits["truth"] != audits["label"], "r0", audits["rater"])
    uneven = measure_quality(audits.assign(rater=first))
    assert uneven.error_rate.value == even.error_rate.value
    assert uneven.design_effect > 3 * even.design_effect
    assert uneven.minimum_detectable_change.value > 1.5 * even.minimum_detectable_change.value


def test_targeted_audits_are_not_pooled_with_proportional_ones():
    audits = simulate_audits(1)
    targeted = simulate_audits(2, approved=0.5, rejected=0.5).assign(stream="targeted")
    quality = measure_quality(pd.concat([audits, targeted]))
    assert quality.error_rate == measure_quality(audits).error_rate
    alone = measure_quality(targeted)
    assert alone.error_rate.value == pytest.approx(0.5, abs=0.05)


def test_second_audits_are_not_counted():
    audits = simulate_audits(1).assign(audit_round=1)
    second = audits.head(300).assign(audit_round=2, truth="hate")
    assert measure_quality(pd.concat([audits, second])).error_rate == measure_quality(audits).error_rate


def test_row_order_and_engine_do_not_matter():
    audits, targets = simulate_audits(4).assign(weight=lambda frame: frame["weight"] / 3), make_target()
    expected = measure_quality(audits, targets)
    assert measure_quality(audits.sample(frac=1, random_state=1), targets) == expected
    relation = duckdb.from_df(audits.sample(frac=1, random_state=2))
    assert measure_quality(relation, targets) == expected


def test_a_missing_policy_is_a_policy_of_its_own():
    audits = simulate_audits(5)
    audits.loc[audits.index[:50], "policy"] = None
    policies = measure_quality(audits).by_policy
    assert sum(policy.error_rate.items for policy in policies) == len(audits)
    assert {policy.where["policy"] for policy in policies} == {"hate", "spam", "(missing)"}


def test_a_target_far_above_is_missed_and_one_far_below_is_met():
    audits = simulate_audits(6, items=6000)
    missed, met = (measure_quality(audits, make_target(contract=share)).verdicts[0] for share in (0.99, 0.90))
    assert (missed.verdict, met.verdict) == ("missed", "met")
    assert "missed" in missed.sentence and str(missed.estimate) in missed.sentence
    at_most = measure_quality(audits, make_target("under_enforcement", 0.5)).verdicts[0]
    assert at_most.sentence.startswith("Under-enforcement target of at most 50.0 % met")


def test_a_target_equal_to_the_true_rate_is_seldom_called_met_or_missed():
    verdicts = [
        measure_quality(simulate_audits(seed, rater_sd=0.2)[RATE_COLUMNS], make_target(contract=1 - TRUE_RATE))
        .verdicts[0]
        .verdict
        for seed in range(100, 180)
    ]
    # 2.5 % of 80 are 2 on either side; more than 7 has a probability of .001.
    assert verdicts.count("met") <= 7
    assert verdicts.count("missed") <= 7
    assert verdicts.count("not proven") >= 70


def test_the_target_of_the_whole_site_is_in_the_summary():
    audits = simulate_audits(6).assign(site="lisbon")
    quality = measure_quality(audits, make_target(scope="site=lisbon", valid_from="2026-01-01", contract=0.90))
    assert quality.verdicts[0].estimate == quality.accuracy
    assert quality.summary().endswith("accuracy target of at least 90.0 % (site = lisbon): met.")


def test_a_verdict_not_proven_states_the_sample_size_that_would_decide_it():
    verdict = measure_quality(simulate_audits(6, items=500), make_target(contract=0.955)).verdicts[0]
    assert verdict.verdict == "not proven"
    assert "audits would decide it" in verdict.sentence


def test_targets_are_judged_on_their_scope_days_and_number_of_audits():
    audits = simulate_audits(8)
    targets = pd.concat(
        [
            make_target(scope="queue=video"),
            make_target(min_audits=5000),
            make_target(valid_from="2026-03-15"),
            make_target(valid_to="2026-02-01"),
            make_target(scope="market=DE"),
        ]
    )
    quality = measure_quality(audits, targets)
    video, few, late = quality.verdicts
    assert video.estimate == measure_quality(audits[audits["queue"] == "video"]).accuracy
    assert few.verdict == "too few audits"
    assert late.estimate == measure_quality(audits[audits["day"] >= "2026-03-15"]).accuracy
    assert "1 of 5 targets apply to none of these audits" in quality.not_available
    assert "target accuracy (market = DE): no column market" in quality.not_available


def test_a_scope_may_be_a_pattern_and_a_value_that_looks_like_a_pattern_matches_itself():
    audits = simulate_audits(4)
    videos = measure_quality(audits, make_target(scope="queue=vid*")).verdicts[0]
    assert videos.estimate == measure_quality(audits[audits["queue"] == "video"]).accuracy
    renamed = audits.assign(queue=audits["queue"].replace("video", "[EN] video"))
    assert measure_quality(renamed, make_target(scope="queue=[EN] video")).verdicts[0].estimate == videos.estimate


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
def test_an_invalid_target_is_refused_with_its_column_and_a_hint(row, column):
    with pytest.raises(DataError) as error:
        measure_quality(simulate_audits(1, items=50), make_target(**row))
    assert error.value.column == column
    assert error.value.hint


@pytest.mark.parametrize(("column", "value"), [("weight", -1.0), ("weight", 0.0), ("weight", None), ("truth", None)])
def test_invalid_rows_are_counted_and_the_first_is_named(column, value):
    audits = simulate_audits(1, items=50)
    audits.loc[[7, 9], column] = value
    with pytest.raises(DataError) as error:
        measure_quality(audits)
    assert (error.value.column, error.value.rows) == (column, 2)
    assert error.value.first["audit_id"] == "a7"


def test_an_empty_table_and_a_missing_column_are_refused():
    with pytest.raises(DataError, match="no audits"):
        measure_quality(simulate_audits(1, items=10).head(0))
    with pytest.raises(DataError, match="no column 'truth'"):
        measure_quality(simulate_audits(1, items=10).drop(columns="truth"))


def test_audits_without_errors_have_a_rate_of_zero_with_an_interval():
    audits = simulate_audits(1, approved=0.0, rejected=0.0)
    quality = measure_quality(audits)
    assert quality.error_rate.value == quality.error_rate.low == 0
    assert quality.error_rate.high > 0
    assert quality.accuracy.high == 1
    assert quality.minimum_detectable_change.value > 0


def test_without_benign_labels_enforcement_is_not_available():
    quality = measure_quality(simulate_audits(1), benign=("fine",))
    assert quality.over_enforcement is None
    assert any("name such labels with `benign`" in sentence for sentence in quality.not_available)


def test_severity_known_of_errors_only_gives_no_weighted_accuracy():
    audits = simulate_audits(1)
    quality = measure_quality(audits.assign(severity=audits["severity"].where(audits["label"] != audits["truth"])))
    assert quality.severity_weighted_accuracy is None
    assert any("without a known severity" in sentence for sentence in quality.not_available)


def test_every_finding_leads_to_its_number():
    quality = measure_quality(simulate_audits(9), make_target())
    findings = quality.findings()
    assert {"level", "target", "over", "under", "severity", "policy"} == {finding.kind for finding in findings}
    for finding in findings:
        assert eval(f"quality.{finding.path}", {"quality": quality}) == finding.estimate
        assert finding.question == "quality"
    frame = quality.to_frame()
    assert frame.loc[0, ["measure", "value"]].tolist() == ["error_rate", quality.error_rate.value]


def test_the_chart_shows_the_summary_every_interval_and_the_target():
    quality = measure_quality(simulate_audits(9), make_target())
    ax = plot_quality(quality)
    assert ax.get_title(loc="left").replace("\n", " ") == quality.summary()
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "all",
        *(policy.where["policy"] for policy in quality.by_policy),
    ]
    intervals = {tuple(line.get_xdata()) for line in ax.lines}
    assert (100 * quality.error_rate.low, 100 * quality.error_rate.high) in intervals
    assert any(line.get_linestyle() == "--" and line.get_xdata()[0] == pytest.approx(5) for line in ax.lines)
    plt.close(ax.figure)
