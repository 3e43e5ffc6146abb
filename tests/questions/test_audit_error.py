"""Error rate without audit error: published numbers, planted error rates, and samples that are too small."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError, Rate
from rca_lib.questions.audit_error import MEASURES, estimate_audit_error
from rca_lib.stats.misclassification import correct_misclassification, estimate_two_phase_mean
from rca_lib.stats.proportions import clopper_pearson_interval, wilson_interval, wilson_rate


def simulate(seed, *, items=4000, twice=400, rate=0.04, audit=0.02, final=False):
    """First audits of items of which a share `rate` are errors, and second ones; an audit is wrong in `audit`."""
    rng = np.random.default_rng(seed)
    error = rng.random(items) < rate
    seen = error ^ (rng.random(items) < audit)
    again = error[:twice] if final else error[:twice] ^ (rng.random(twice) < audit)
    first = pd.DataFrame({"item_id": [f"i{number:05}" for number in range(items)], "label": "ok", "audit_round": 1})
    first = first.assign(
        rater=[f"r{number}" for number in rng.integers(0, 40, items)], truth=np.where(seen, "bad", "ok")
    )
    second = first.head(twice).assign(audit_round=2, truth=np.where(again, "bad", "ok"))
    return pd.concat([first, second], ignore_index=True)


def audits(first, second, **columns):
    """Audits from letters: the truths of the first audits and, of as many items, those of the second; labels are a."""
    rows = [(f"i{n:03}", "r", "a", truth, number) for number, letters in ((1, first), (2, second))
            for n, truth in enumerate(letters)]  # fmt: skip
    return pd.DataFrame(rows, columns=["item_id", "rater", "label", "truth", "audit_round"]).assign(**columns)


# 400 first audits, 20 of them errors; 100 twice, of which one differs
PLAIN = audits("baaaaaaaaaaaaaaaaaaa" * 20, "baabaaaaaaaaaaaaaaaa" + "baaaaaaaaaaaaaaaaaaa" * 4)


def test_the_blind_correction_is_the_rogan_gladen_estimator():
    # Rogan and Gladen 1978: (p + Sp − 1) / (Se + Sp − 1), with Se = Sp = .98: (.058 − .02) / .96 = .0395833; audits
    # that err in 2 % differ in 2 · .02 · .98 = .0392 of pairs. (Their example of influentialpoints.com, p .08, Se .90
    # and Sp .97, gives .0574713, which two unlike errors need: (.08 − .03) / .87.)
    seen = wilson_rate(580, 10000)
    assert correct_misclassification(seen, 0.0392, 2000).value == pytest.approx((0.058 - 0.02) / 0.96, abs=1e-9)
    # 4 % of errors, and 2 % of the other 96 % wrongly seen as such: .04 · .98 + .96 · .02 = .0584
    assert correct_misclassification(wilson_rate(584, 10000), 0.0392, 2000).value == pytest.approx(0.04, abs=1e-9)
    # .0747 with audits that err in 3 %: (.0747 − .03) / .94
    assert correct_misclassification(wilson_rate(747, 10000), 2 * 0.03 * 0.97, 500).value == pytest.approx(
        0.0447 / 0.94, abs=1e-9
    )


def test_the_interval_of_the_correction_is_close_to_the_delta_method():
    # p = .1 of 1,000: sd .0094868 as half of an interval of ± 1.96 sd; 10 of 500 pairs differ: d = .02, 1 − 2e = √.96
    half = 1.959964 * np.sqrt(0.09 / 1000)
    seen = Rate(100, 1000, 0.1, 0.1 - half, 0.1 + half)
    clear = np.sqrt(0.96)
    slope = (0.2 - 1) / (2 * clear**3)
    expected = 1.959964 * np.hypot(np.sqrt(0.09 / 1000) / clear, slope * np.sqrt(0.02 * 0.98 / 500))
    estimate = correct_misclassification(seen, 0.02, 500)
    assert estimate.value == pytest.approx((0.1 - (1 - clear) / 2) / clear)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(expected, rel=0.02)  # Wilson's ends for the pairs


def test_audits_that_never_differ_keep_the_rate_and_random_audits_leave_it_unknown():
    seen = wilson_rate(40, 1000)
    assert correct_misclassification(seen, 0.0, 10**9).value == pytest.approx(0.04)
    assert correct_misclassification(wilson_rate(1, 1000), 0.1, 100).value == 0
    tossed = correct_misclassification(wilson_rate(600, 1000), 0.9, 100)
    assert (tossed.low, tossed.high) == (0, 1)


def test_the_two_phase_mean_agrees_with_sarndals_example():
    # Särndal, Swensson and Wretman 1992, 9.4.14 as R's survey has it (twophase.Rout.save): N = 300, n = 20; of 12 five
    # (1 to 5), of 8 three (6, 7, 8): total 1380, V1 24072.63, V2 12450, V 36522.63
    mean, first, second = estimate_two_phase_mean([12, 8], [np.arange(1, 6), np.arange(6, 9)], population=300)
    assert 300 * mean == pytest.approx(1380)
    assert (300**2 * first, 300**2 * second) == (pytest.approx(24072.63, abs=5e-3), pytest.approx(12450))
    assert 300**2 * (first + second) == pytest.approx(36522.63, abs=5e-3)


def test_a_complete_second_phase_equals_a_simple_random_sample():
    # A simple random sample: the mean of 1 to 20 and s² / n, s² = 20 · 21 / 12 = 35; a stratum of one has no variance
    mean, first, second = estimate_two_phase_mean([12, 8], [np.arange(1, 13), np.arange(13, 21)])
    assert (mean, first, second) == (pytest.approx(10.5), pytest.approx(35 / 20), 0)
    strata = [np.array([1.0]), np.array([2.0])]
    second = estimate_two_phase_mean([2, 2], strata, min_variances=[0.25, 0.25])[2]
    assert second == pytest.approx(2 * 0.25 * 0.5 * 0.25)


@pytest.mark.parametrize(
    ("agreed", "low", "high"), [(8, 26.59, 78.73), (13, 59.54, 98.34), (14, 68.05, 99.83), (15, 81.90, 100)]
)
def test_exact_intervals_are_one_sided_at_the_ends_as_in_minitab(agreed, low, high):
    # Minitab, attribute agreement analysis, ESSAY.MTW
    ends = np.multiply(clopper_pearson_interval(agreed, 15, one_sided_ends=True), 100)
    assert ends == pytest.approx((low, high), abs=5e-3)
    mirrored = np.multiply(clopper_pearson_interval(15 - agreed, 15, one_sided_ends=True), 100)
    assert mirrored == pytest.approx((100 - high, 100 - low), abs=5e-3)


def test_four_percent_errors_are_observed_as_six_percent_and_corrected():
    # .04 · .98 + .96 · .02 = .0584 is what audits see that err in 2 %
    observed, corrected = [], []
    for seed in range(40):
        estimate = estimate_audit_error(simulate(seed))
        observed.append(estimate.observed_error_rate.value)
        corrected.append(estimate.corrected_error_rate.value)
    # sd of a mean of 40: √(.0584 · .9416 / 4000 / 40) = .0006; of the corrected √(.055 / 4000 + .25 · .038 / 400) / √40
    assert np.mean(observed) == pytest.approx(0.0584, abs=0.0018)
    assert np.mean(corrected) == pytest.approx(0.04, abs=0.003)


@pytest.mark.parametrize("second", ["same", "final"])
def test_the_intervals_cover_the_true_rate_and_the_audit_error(second):
    covered = audit_error_covered = 0
    for seed in range(60):
        estimate = estimate_audit_error(simulate(seed, final=second == "final"), second_audit=second)
        covered += estimate.corrected_error_rate.low <= 0.04 <= estimate.corrected_error_rate.high
        audit_error_covered += estimate.audit_error_rate.low <= 0.02 <= estimate.audit_error_rate.high
    # 57 expected each; fewer than 52 has a probability of .003
    assert covered >= 52
    assert audit_error_covered >= 52


@pytest.mark.parametrize("twice", [30, 50])
def test_the_interval_covers_the_true_rate_with_few_double_audits(twice):
    covered = 0
    for seed in range(40):
        estimate = estimate_audit_error(simulate(seed, twice=twice))
        covered += estimate.corrected_error_rate.low <= 0.04 <= estimate.corrected_error_rate.high
    assert covered >= 35  # 38 expected; fewer than 35 has a probability of .014


@pytest.mark.parametrize("second", ["same", "final"])
def test_perfect_audits_leave_the_rate_unchanged(second):
    for seed in range(5):
        estimate = estimate_audit_error(simulate(seed, audit=0.0), second_audit=second)
        assert estimate.audit_error_rate.value == 0
        observed, corrected = estimate.observed_error_rate, estimate.corrected_error_rate
        assert corrected.value == pytest.approx(observed.value, abs=1e-9)
        assert corrected.low < observed.value < corrected.high


def test_the_numbers_follow_from_the_pairs():
    estimate = estimate_audit_error(PLAIN)
    observed, corrected = estimate.observed_error_rate, estimate.corrected_error_rate
    assert (observed.errors, observed.items, estimate.double_audited) == (20, 400, 100)
    assert estimate.truth_disagreement.errors == 1
    assert estimate.truth_disagreement.low == pytest.approx(wilson_interval(1, 100)[0])
    # e from d = .01 = 2 e (1 − e): (1 − √.98) / 2
    error = (1 - np.sqrt(0.98)) / 2
    assert estimate.audit_error_rate.value == pytest.approx(error)
    assert corrected.value == pytest.approx((0.05 - error) / (1 - 2 * error))
    assert (estimate.accuracy.value, estimate.accuracy.high) == (1 - corrected.value, 1 - corrected.low)
    assert estimate.to_frame()["measure"].tolist() == list(MEASURES)
    # An arbiter: the 5 errors are confirmed, and 1 of 95 others is an error: .05 · 1 + .95 / 95
    final = estimate_audit_error(PLAIN, second_audit="final")
    assert final.corrected_error_rate.value == pytest.approx(0.05 + 0.95 / 95)
    assert final.audit_error_rate.value == pytest.approx(0.01)


def test_nothing_is_estimated_below_thirty_double_audits():
    for second in ("", "a" * 29):
        estimate = estimate_audit_error(audits("ba" * 100, second))
        assert (estimate.corrected_error_rate, estimate.audit_error_rate, estimate.accuracy) == (None, None, None)
        assert estimate.findings() == ()
        assert f"{len(second)} decisions were audited twice, 30 are needed" in estimate.summary()
        assert estimate.to_frame()["measure"].tolist() == ["observed_error_rate"]


def test_a_second_audit_that_was_not_blind_is_left_out():
    seen = PLAIN.assign(blind=PLAIN["audit_round"] == 1)
    assert estimate_audit_error(seen).double_audited == 0
    assert estimate_audit_error(seen, second_audit="final").double_audited == 100
    assert estimate_audit_error(PLAIN.assign(blind=None)).double_audited == 100


@pytest.mark.parametrize("no", ["False", "no", " N ", "0", 0, 0.0, False])
def test_every_spelling_of_not_blind_is_read(no):
    assert estimate_audit_error(PLAIN.assign(blind=no)).double_audited == 0
    every_other = PLAIN.assign(blind=[no if index % 2 else None for index in range(len(PLAIN))])
    assert estimate_audit_error(every_other).double_audited == 50


@pytest.mark.parametrize("yes", ["TRUE", "y", 1, True, "", None, np.nan, pd.NA])
def test_a_second_audit_that_is_blind_or_unknown_counts(yes):
    assert estimate_audit_error(PLAIN.assign(blind=yes)) == estimate_audit_error(PLAIN)


def test_an_unclear_blind_value_is_reported():
    with pytest.raises(DataError, match="blind is neither yes nor no") as caught:
        estimate_audit_error(PLAIN.assign(blind="perhaps"))
    assert (caught.value.column, caught.value.rows, caught.value.first["item_id"]) == ("blind", 100, "i000")
    assert caught.value.hint


@pytest.mark.parametrize("write", [str, float, "{}.0".format])
def test_rounds_are_read_as_text_or_numbers(write):
    rounds = PLAIN["audit_round"].map(write)
    assert estimate_audit_error(PLAIN.assign(audit_round=rounds)) == estimate_audit_error(PLAIN)


@pytest.mark.parametrize("number", ["second", 1.5, 0, np.inf])
def test_a_round_that_is_not_a_whole_number_is_reported(number):
    rounds = pd.Series(PLAIN["audit_round"], dtype=object).where(PLAIN["audit_round"] == 1, number)
    with pytest.raises(DataError, match="audit_round is not a whole number from 1 on") as caught:
        estimate_audit_error(PLAIN.assign(audit_round=rounds))
    assert (caught.value.column, caught.value.rows, caught.value.first["item_id"]) == ("audit_round", 100, "i000")


def test_only_proportional_streams_count():
    targeted = PLAIN.assign(stream=np.where(PLAIN["item_id"] < "i020", "targeted", "random"))
    estimate = estimate_audit_error(targeted)
    assert (estimate.observed_error_rate.items, estimate.double_audited) == (380, 80)
    assert estimate.truth_disagreement.errors == 0


def test_weights_project_the_observed_rate_to_all_decisions():
    # Errors weigh three, 20 · 3 / (20 · 3 + 380)
    weighted = PLAIN.assign(weight=np.where(PLAIN["truth"] == "b", 3.0, 1.0))
    assert estimate_audit_error(weighted).observed_error_rate.value == pytest.approx(60 / 440)


def test_row_order_and_engine_do_not_change_the_result():
    frame = simulate(1)
    for second in ("same", "final"):
        expected = estimate_audit_error(frame, second_audit=second)
        shuffled = frame.sample(frac=1, random_state=3)
        assert estimate_audit_error(shuffled, second_audit=second) == expected
        assert estimate_audit_error(duckdb.from_df(shuffled), second_audit=second) == expected


@pytest.mark.parametrize(("first", "again"), [("a", "a"), ("b", "b"), ("b", "a"), ("a", "b")])
@pytest.mark.parametrize("second", ["same", "final"])
def test_truths_without_variation_give_a_result(first, again, second):
    estimate = estimate_audit_error(audits(first * 40, again * 40), second_audit=second)
    assert estimate.summary()
    if corrected := estimate.corrected_error_rate:
        assert 0 <= corrected.low <= corrected.value <= corrected.high <= 1


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        *[(PLAIN.drop(columns=name), f"no column '{name}'") for name in PLAIN],
        (PLAIN.head(0), "no first audits"),
        (PLAIN.assign(audit_round=2), "no first audits"),
        *[
            (PLAIN.assign(**{name: PLAIN[name].where(PLAIN.index > 2)}), f"{name} is missing .*; 3 rows; first: ")
            for name in ("item_id", "rater")
        ],
        *[
            (
                PLAIN.assign(weight=np.where(PLAIN.index > 2, 1, weight)),
                "weight is not a number above 0 .*3 rows",
            )
            for weight in (0, -1, np.nan, np.inf)
        ],
        (
            PLAIN.assign(weight=pd.array([None] * 3 + [1.0] * 497, dtype="Float64")),
            "weight is not a number above 0 .*3 rows",
        ),
        (PLAIN.assign(error=2), "error is neither 0 nor 1"),
        (PLAIN.assign(truth=PLAIN["truth"].where(PLAIN.index > 2, "b ")), "truth is blank or has white space .*3 rows"),
    ],
)
def test_invalid_audits_are_reported(frame, problem):
    with pytest.raises(DataError, match=problem) as caught:
        estimate_audit_error(frame)
    assert "Hint:" in str(caught.value)


def test_an_unknown_kind_of_second_audit_is_rejected():
    with pytest.raises(ValueError, match="'same' or 'final', not 'better'"):
        estimate_audit_error(PLAIN, second_audit="better")


def test_audits_without_a_truth_are_rejected():
    with pytest.raises(DataError, match="label or truth is missing"):
        estimate_audit_error(PLAIN.assign(truth=PLAIN["truth"].where(PLAIN.index % 4 != 1)))


def test_an_empty_stratum_is_not_reported_as_too_few_audits():
    estimate = estimate_audit_error(audits("a" * 400, "a" * 100), second_audit="final")
    assert "100 decisions were audited twice" in estimate.summary()
    assert "are needed" not in estimate.summary()


def test_every_path_of_a_finding_leads_to_its_estimate():
    estimate = estimate_audit_error(PLAIN)
    assert [finding.kind for finding in estimate.findings()] == ["corrected", "audit error"]
    for finding in estimate.findings():
        assert eval(f"estimate.{finding.path}", {"estimate": estimate}) == finding.estimate
