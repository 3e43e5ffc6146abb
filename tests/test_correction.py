"""The error rate without the audit's own errors: published numbers, what was planted, and when nothing can be said."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError, Rate
from rca_lib.questions.correction import correct_accuracy
from rca_lib.stats.rates import clopper_pearson, correct_rate, two_phase_mean, wilson, wilson_rate


def simulate(seed, *, items=4000, twice=400, rate=0.04, audit=0.02, final=False):
    """First audits of items of which a share `rate` are errors, and second ones; an audit is wrong in `audit`."""
    rng = np.random.default_rng(seed)
    error = rng.random(items) < rate
    seen = error ^ (rng.random(items) < audit)
    again = error[:twice] if final else error[:twice] ^ (rng.random(twice) < audit)
    first = pd.DataFrame({"item_id": [f"i{number:05}" for number in range(items)], "label": "ok", "audit_round": 1})
    first = first.assign(rater=[f"r{one}" for one in rng.integers(0, 40, items)], truth=np.where(seen, "bad", "ok"))
    second = first.head(twice).assign(audit_round=2, truth=np.where(again, "bad", "ok"))
    return pd.concat([first, second], ignore_index=True)


def audits(first, second, **columns):
    """Audits from letters: the truths of the first audits and, of as many items, those of the second; labels are a."""
    rows = [(f"i{n:03}", "r", "a", truth, number) for number, letters in ((1, first), (2, second))
            for n, truth in enumerate(letters)]  # fmt: skip
    return pd.DataFrame(rows, columns=["item_id", "rater", "label", "truth", "audit_round"]).assign(**columns)


# 400 first audits, 20 of them errors; 100 twice, of which one differs
PLAIN = audits("baaaaaaaaaaaaaaaaaaa" * 20, "baabaaaaaaaaaaaaaaaa" + "baaaaaaaaaaaaaaaaaaa" * 4)


def test_the_correction_is_rogan_and_gladens():
    # Rogan and Gladen 1978: (p + Sp − 1) / (Se + Sp − 1), with Se = Sp = .98: (.058 − .02) / .96 = .0395833; audits
    # that err in 2 % differ in 2 · .02 · .98 = .0392 of pairs. (Their example of influentialpoints.com, p .08, Se .90
    # and Sp .97, gives .0574713, which two unlike errors need: (.08 − .03) / .87.)
    seen = wilson_rate(580, 10000)
    assert correct_rate(seen, 0.0392, 2000).value == pytest.approx((0.058 - 0.02) / 0.96, abs=1e-9)
    # 4 % of errors, and 2 % of the other 96 % wrongly seen as such: .04 · .98 + .96 · .02 = .0584
    assert correct_rate(wilson_rate(584, 10000), 0.0392, 2000).value == pytest.approx(0.04, abs=1e-9)
    # .0747 with audits that err in 3 %: (.0747 − .03) / .94
    assert correct_rate(wilson_rate(747, 10000), 2 * 0.03 * 0.97, 500).value == pytest.approx(0.0447 / 0.94, abs=1e-9)


def test_the_interval_of_the_correction_is_nearly_that_of_the_delta_method():
    # p = .1 of 1,000: sd .0094868 as half of an interval of ± 1.96 sd; 10 of 500 pairs differ: d = .02, 1 − 2e = √.96
    half = 1.959964 * np.sqrt(0.09 / 1000)
    seen = Rate(100, 1000, 0.1, 0.1 - half, 0.1 + half)
    clear = np.sqrt(0.96)
    slope = (0.2 - 1) / (2 * clear**3)
    expected = 1.959964 * np.hypot(np.sqrt(0.09 / 1000) / clear, slope * np.sqrt(0.02 * 0.98 / 500))
    found = correct_rate(seen, 0.02, 500)
    assert found.value == pytest.approx((0.1 - (1 - clear) / 2) / clear)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.02)  # Wilson's ends for the pairs


def test_audits_that_never_differ_leave_the_rate_and_those_that_toss_coins_leave_nothing():
    seen = wilson_rate(40, 1000)
    assert correct_rate(seen, 0.0, 10**9).value == pytest.approx(0.04)
    assert correct_rate(wilson_rate(1, 1000), 0.1, 100).value == 0
    tossed = correct_rate(wilson_rate(600, 1000), 0.9, 100)
    assert (tossed.low, tossed.high) == (0, 1)


def test_two_phases_agree_with_sarndals_example():
    # Särndal, Swensson and Wretman 1992, 9.4.14 as R's survey has it (twophase.Rout.save): N = 300, n = 20; of 12 five
    # (1 to 5), of 8 three (6, 7, 8): total 1380, V1 24072.63, V2 12450, V 36522.63
    mean, first, second = two_phase_mean([12, 8], [np.arange(1, 6), np.arange(6, 9)], population=300)
    assert 300 * mean == pytest.approx(1380)
    assert (300**2 * first, 300**2 * second) == (pytest.approx(24072.63, abs=5e-3), pytest.approx(12450))
    assert 300**2 * (first + second) == pytest.approx(36522.63, abs=5e-3)


def test_two_phases_of_which_the_second_is_the_first_are_one():
    # A simple random sample: the mean of 1 to 20 and s² / n, s² = 20 · 21 / 12 = 35; a stratum of one has no variance
    mean, first, second = two_phase_mean([12, 8], [np.arange(1, 13), np.arange(13, 21)])
    assert (mean, first, second) == (pytest.approx(10.5), pytest.approx(35 / 20), 0)
    assert two_phase_mean([2, 2], [np.array([1.0]), np.array([2.0])], least=[0.25, 0.25])[2] == pytest.approx(
        2 * 0.25 * 0.5 * 0.25
    )


@pytest.mark.parametrize(
    ("agreed", "low", "high"), [(8, 26.59, 78.73), (13, 59.54, 98.34), (14, 68.05, 99.83), (15, 81.90, 100)]
)
def test_exact_intervals_are_one_sided_at_the_ends_as_minitabs(agreed, low, high):
    # Minitab, attribute agreement analysis, ESSAY.MTW
    ends = np.multiply(clopper_pearson(agreed, 15, one_sided_ends=True), 100)
    assert ends == pytest.approx((low, high), abs=5e-3)
    mirrored = np.multiply(clopper_pearson(15 - agreed, 15, one_sided_ends=True), 100)
    assert mirrored == pytest.approx((100 - high, 100 - low), abs=5e-3)


def test_four_per_cent_of_errors_are_seen_as_six_and_corrected():
    # .04 · .98 + .96 · .02 = .0584 is what audits see that err in 2 %
    observed, corrected = [], []
    for seed in range(40):
        found = correct_accuracy(simulate(seed))
        observed.append(found.observed.value)
        corrected.append(found.corrected.value)
    # sd of a mean of 40: √(.0584 · .9416 / 4000 / 40) = .0006; of the corrected √(.055 / 4000 + .25 · .038 / 400) / √40
    assert np.mean(observed) == pytest.approx(0.0584, abs=0.0018)
    assert np.mean(corrected) == pytest.approx(0.04, abs=0.003)


@pytest.mark.parametrize("second", ["same", "final"])
def test_the_intervals_hold_the_real_rate_and_the_audits_own_error(second):
    held = own = 0
    for seed in range(60):
        found = correct_accuracy(simulate(seed, final=second == "final"), second=second)
        held += found.corrected.low <= 0.04 <= found.corrected.high
        own += found.audit_error.low <= 0.02 <= found.audit_error.high
    # 57 expected each; fewer than 52 has a probability of .003
    assert held >= 52
    assert own >= 52


@pytest.mark.parametrize("twice", [30, 50])
def test_the_interval_holds_the_real_rate_also_where_few_are_audited_twice(twice):
    held = 0
    for seed in range(40):
        found = correct_accuracy(simulate(seed, twice=twice))
        held += found.corrected.low <= 0.04 <= found.corrected.high
    assert held >= 35  # 38 expected; fewer than 35 has a probability of .014


@pytest.mark.parametrize("second", ["same", "final"])
def test_audits_without_an_error_of_their_own_leave_the_rate_as_it_is(second):
    for seed in range(5):
        found = correct_accuracy(simulate(seed, audit=0.0), second=second)
        assert found.audit_error.value == 0
        assert found.corrected.value == pytest.approx(found.observed.value, abs=1e-9)
        assert found.corrected.low < found.observed.value < found.corrected.high


def test_the_numbers_are_those_of_the_pairs():
    found = correct_accuracy(PLAIN)
    assert (found.observed.errors, found.observed.items, found.twice) == (20, 400, 100)
    assert (found.differing.errors, found.differing.low) == (1, pytest.approx(wilson(1, 100)[0]))
    # e from d = .01 = 2 e (1 − e): (1 − √.98) / 2
    error = (1 - np.sqrt(0.98)) / 2
    assert found.audit_error.value == pytest.approx(error)
    assert found.corrected.value == pytest.approx((0.05 - error) / (1 - 2 * error))
    assert (found.accuracy.value, found.accuracy.high) == (1 - found.corrected.value, 1 - found.corrected.low)
    assert found.to_frame()["measure"].tolist() == ["observed", "differing", "audit_error", "corrected"]
    # An arbiter: of 5 found errors 5 are, of 95 others 1: .05 · 1 + .95 / 95
    final = correct_accuracy(PLAIN, second="final")
    assert final.corrected.value == pytest.approx(0.05 + 0.95 / 95)
    assert final.audit_error.value == pytest.approx(0.01)


def test_below_thirty_decisions_audited_twice_nothing_is_said():
    for second in ("", "a" * 29):
        found = correct_accuracy(audits("ba" * 100, second))
        assert (found.corrected, found.audit_error, found.accuracy, found.findings()) == (None, None, None, ())
        assert f"{len(second)} decisions were audited twice: too few (30 are needed)" in found.summary()
        assert found.to_frame()["measure"].tolist() == ["observed"]


def test_a_second_audit_that_saw_the_first_is_no_second_opinion():
    seen = PLAIN.assign(blind=PLAIN["audit_round"] == 1)
    assert correct_accuracy(seen).twice == 0
    assert correct_accuracy(seen, second="final").twice == 100
    assert correct_accuracy(PLAIN.assign(blind=None)).twice == 100


@pytest.mark.parametrize("no", ["False", "no", " N ", "0", 0, 0.0, False])
def test_what_says_that_the_second_audit_saw_the_first_is_read_as_by_the_intake(no):
    assert correct_accuracy(PLAIN.assign(blind=no)).twice == 0
    assert correct_accuracy(PLAIN.assign(blind=[no if place % 2 else None for place in range(len(PLAIN))])).twice == 50


@pytest.mark.parametrize("yes", ["TRUE", "y", 1, True, "", None, np.nan, pd.NA])
def test_a_second_audit_that_is_blind_or_does_not_say_counts(yes):
    assert correct_accuracy(PLAIN.assign(blind=yes)) == correct_accuracy(PLAIN)


def test_a_second_audit_that_is_maybe_blind_is_named():
    with pytest.raises(DataError, match="blind is neither yes nor no") as caught:
        correct_accuracy(PLAIN.assign(blind="perhaps"))
    assert (caught.value.column, caught.value.rows, caught.value.first["item_id"]) == ("blind", 100, "i000")
    assert caught.value.mend


@pytest.mark.parametrize("write", [str, float, "{}.0".format])
def test_rounds_are_read_as_text_or_numbers(write):
    assert correct_accuracy(PLAIN.assign(audit_round=PLAIN["audit_round"].map(write))) == correct_accuracy(PLAIN)


@pytest.mark.parametrize("number", ["second", 1.5, 0, np.inf])
def test_a_round_that_is_no_whole_number_is_named(number):
    rounds = pd.Series(PLAIN["audit_round"], dtype=object).where(PLAIN["audit_round"] == 1, number)
    with pytest.raises(DataError, match="audit_round is no whole number from 1 on") as caught:
        correct_accuracy(PLAIN.assign(audit_round=rounds))
    assert (caught.value.column, caught.value.rows, caught.value.first["item_id"]) == ("audit_round", 100, "i000")


def test_only_streams_that_stand_for_all_decisions_count():
    targeted = PLAIN.assign(stream=np.where(PLAIN["item_id"] < "i020", "targeted", "random"))
    found = correct_accuracy(targeted)
    assert (found.observed.items, found.twice, found.differing.errors) == (380, 80, 0)


def test_weights_make_the_observed_rate_that_of_all_decisions():
    # Errors weigh three, 20 · 3 / (20 · 3 + 380)
    weighted = PLAIN.assign(weight=np.where(PLAIN["truth"] == "b", 3.0, 1.0))
    assert correct_accuracy(weighted).observed.value == pytest.approx(60 / 440)


def test_neither_order_nor_engine_changes_the_answer():
    frame = simulate(1)
    for second in ("same", "final"):
        expected = correct_accuracy(frame, second=second)
        shuffled = frame.sample(frac=1, random_state=3)
        assert correct_accuracy(shuffled, second=second) == expected
        assert correct_accuracy(duckdb.from_df(shuffled), second=second) == expected


@pytest.mark.parametrize(("first", "again"), [("a", "a"), ("b", "b"), ("b", "a"), ("a", "b")])
@pytest.mark.parametrize("second", ["same", "final"])
def test_truths_without_variation_are_answered(first, again, second):
    found = correct_accuracy(audits(first * 40, again * 40), second=second)
    assert found.summary()
    if found.corrected:
        assert 0 <= found.corrected.low <= found.corrected.value <= found.corrected.high <= 1


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
            (PLAIN.assign(weight=np.where(PLAIN.index > 2, 1, one)), "weight is no number above 0 .*; 3 rows; first: ")
            for one in (0, -1, np.nan, np.inf)
        ],
        (
            PLAIN.assign(weight=pd.array([None] * 3 + [1.0] * 497, dtype="Float64")),
            "weight is no number above 0 .*3 rows",
        ),
        (PLAIN.assign(error=2), "error is neither 0 nor 1"),
        (PLAIN.assign(truth=PLAIN["truth"].where(PLAIN.index > 2, "b ")), "truth is blank or has white space .*3 rows"),
    ],
)
def test_bad_audits_are_named(frame, problem):
    with pytest.raises(DataError, match=problem) as caught:
        correct_accuracy(frame)
    assert "Mend:" in str(caught.value)


def test_a_second_audit_is_as_good_or_final():
    with pytest.raises(ValueError, match="'same' or 'final', not 'better'"):
        correct_accuracy(PLAIN, second="better")


def test_audits_without_a_truth_are_refused_as_in_every_count():
    with pytest.raises(DataError, match="label or truth is missing"):
        correct_accuracy(PLAIN.assign(truth=PLAIN["truth"].where(PLAIN.index % 4 != 1)))


def test_a_final_audit_without_errors_to_look_at_does_not_say_that_there_are_too_few():
    assert (
        "100 decisions were audited twice: too few"
        not in correct_accuracy(audits("a" * 400, "a" * 100), second="final").summary()
    )


def test_every_finding_leads_to_its_number():
    found = correct_accuracy(PLAIN)
    assert [finding.kind for finding in found.findings()] == ["corrected", "audit error"]
    for finding in found.findings():
        assert eval(f"found.{finding.path}", {"found": found}) == finding.estimate
