"""Attribute agreement: within raters, between raters, and versus the standard, as Minitab and JMP compute it."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.attribute_agreement import measure_attribute_agreement
from rca_lib.stats.proportions import clopper_pearson_interval, wilson_interval

STANDARD = pd.DataFrame({"item_id": [f"i{item:02}" for item in range(15)], "truth": list("abc" * 5)})


def essays(*wrong, trials=1):
    """Fifteen items by raters each of whom misses so many of the first in the last trial."""
    rows = [
        (f"i{item:02}", f"r{rater}", trial, "abc"[(item + (trial == trials and item < misses)) % 3])
        for rater, misses in enumerate(wrong)
        for trial in range(1, trials + 1)
        for item in range(15)
    ]
    return pd.DataFrame(rows, columns=["item_id", "rater", "trial", "label"])


@pytest.mark.parametrize(
    ("agreed", "low", "high"), [(8, 26.59, 78.73), (13, 59.54, 98.34), (14, 68.05, 99.83), (15, 81.90, 100)]
)
def test_a_rater_against_the_standard_agrees_with_minitab(agreed, low, high):
    # Minitab, attribute agreement analysis, ESSAY.MTW: Duncan 8, Hayes 13, Simpson 14, Holmes 15 of 15
    (rater,) = measure_attribute_agreement(essays(15 - agreed), STANDARD).raters
    assert (rater.versus_standard.errors, rater.versus_standard.items) == (agreed, 15)
    assert (100 * rater.versus_standard.low, 100 * rater.versus_standard.high) == pytest.approx((low, high), abs=5e-3)


def test_all_raters_match_where_each_of_them_does():
    # Of 15 items r0 misses 7, r1 2, r2 1, r3 and r4 none: the same ones, so all agree with the standard on 8
    agreement = measure_attribute_agreement(essays(7, 2, 1, 0, 0), STANDARD)
    assert [rater.versus_standard.errors for rater in agreement.raters] == [8, 13, 14, 15, 15]
    assert (agreement.versus_standard.errors, agreement.between_raters.errors) == (8, 8)
    assert (agreement.between_raters.low, agreement.between_raters.high) == clopper_pearson_interval(8, 15)
    # Where both miss the same items in the same way they agree with each other, not with the standard
    alike = measure_attribute_agreement(essays(5, 5), STANDARD)
    assert (alike.between_raters.errors, alike.versus_standard.errors) == (15, 10)


def test_within_a_rater_all_trials_must_agree():
    agreement = measure_attribute_agreement(essays(4, 0, trials=2), STANDARD)
    assert [rater.within_rater.errors for rater in agreement.raters] == [11, 15]
    assert [rater.versus_standard.errors for rater in agreement.raters] == [11, 15]
    assert (agreement.trials, agreement.items, agreement.between_raters.errors) == (60, 15, 11)
    assert [rater.within_rater for rater in measure_attribute_agreement(essays(4, 0), STANDARD).raters] == [None, None]


def test_partial_overlap_measures_raters_against_themselves():
    # r0 judged items 0 to 9 twice and changed 4 of them; r1 judged the other items twice and changed none
    frame = essays(4, 0, trials=2)
    agreement = measure_attribute_agreement(frame[(frame["item_id"] < "i10") == (frame["rater"] == "r0")])
    assert (agreement.within_raters.errors, agreement.within_raters.items) == (11, 15)
    assert agreement.between_raters is None
    assert agreement.summary() == f"Raters repeat their own label on {agreement.within_raters}."
    shown = agreement.display_frame()
    assert shown["rater"].tolist() == ["all", "r0", "r1"]
    assert shown["matched"].tolist() == [11, 6, 5]


def test_the_summary_says_why_agreement_is_not_available():
    once = essays(3, 0).query("(rater == 'r0') == (item_id < 'i10')")
    reason = "Agreement between raters is not available: "
    assert measure_attribute_agreement(once).summary() == f"{reason}no item was judged by all raters."
    assert measure_attribute_agreement(essays(3)).summary() == f"{reason}there is one rater only."


def test_jmp_counts_trials_and_uses_score_intervals():
    # r0 misses 4 of its 30 trials, both together 4 of 60
    agreement = measure_attribute_agreement(essays(4, 0, trials=2), STANDARD, convention="jmp")
    first = agreement.raters[0].versus_standard
    assert (first.errors, first.items) == (26, 30)
    assert (first.low, first.high) == wilson_interval(26, 30)
    assert (agreement.versus_standard.errors, agreement.versus_standard.items) == (56, 60)


def test_intervals_cover_the_true_agreement_with_the_standard():
    # Two raters who see it with probability .9 and guess among three otherwise are right in .9333, both in .8711.
    covered = {"standard": 0, "both": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frame = essays(0, 0)
        guess = rng.choice(list("abc"), len(frame))
        labels = np.where(rng.random(30) < 0.9, frame["label"], guess)
        agreement = measure_attribute_agreement(frame.assign(label=labels), STANDARD)
        rater, overall = agreement.raters[0].versus_standard, agreement.versus_standard
        covered["standard"] += rater.low <= 0.9 + 0.1 / 3 <= rater.high
        covered["both"] += overall.low <= (0.9 + 0.1 / 3) ** 2 <= overall.high
    # exact intervals hold 95 % at least: fewer than 52 of 60 has a probability of .004 (one-sided at the ends too)
    assert min(covered.values()) >= 52


def test_without_a_standard_only_agreement_between_raters_is_measured():
    agreement = measure_attribute_agreement(essays(3, 0))
    assert [rater.versus_standard for rater in agreement.raters] == [None, None]
    assert (agreement.versus_standard, agreement.findings()) == (None, ())
    assert agreement.between_raters.errors == 12
    assert agreement.summary() == f"2 raters agree with each other on {agreement.between_raters}."
    assert measure_attribute_agreement(essays(3)).between_raters is None


def test_incomplete_items_count_wherever_they_can():
    agreement = measure_attribute_agreement(essays(3, 0), STANDARD.head(10))
    assert [rater.versus_standard.items for rater in agreement.raters] == [10, 10]
    assert agreement.between_raters.items == 15
    gaps = essays(3, 0).query("rater == 'r0' or item_id < 'i10'")
    assert [rater.versus_standard.items for rater in measure_attribute_agreement(gaps, STANDARD).raters] == [15, 10]
    assert measure_attribute_agreement(gaps, STANDARD).between_raters.items == 10
    blank = essays(3, 0).assign(label=lambda frame: frame["label"].where(frame["item_id"] > "i00"))
    assert measure_attribute_agreement(blank, STANDARD).items == 14
    nothing = measure_attribute_agreement(essays(3, 0), STANDARD.assign(truth=None))
    assert (nothing.versus_standard, nothing.raters[0].versus_standard) == (None, None)


def test_duplicate_standards_and_standards_of_unrated_items_are_ignored():
    more = pd.concat([STANDARD, STANDARD, pd.DataFrame({"item_id": ["zz"], "truth": ["a"]})])
    assert measure_attribute_agreement(essays(3, 0), more) == measure_attribute_agreement(essays(3, 0), STANDARD)


def test_row_order_and_engine_do_not_change_the_result():
    frame = essays(7, 2, 0, trials=2)
    for convention in ("minitab", "jmp"):
        expected = measure_attribute_agreement(frame, STANDARD, convention=convention)
        shuffled = frame.sample(frac=1, random_state=1), STANDARD.sample(frac=1, random_state=2)
        assert measure_attribute_agreement(*shuffled, convention=convention) == expected
        assert measure_attribute_agreement(*map(duckdb.from_df, shuffled), convention=convention) == expected


@pytest.mark.parametrize(
    ("ratings", "truth", "problem"),
    [
        (essays(1, 0).drop(columns="rater"), STANDARD, "no column 'rater'"),
        (essays(1, 0).drop(columns="label"), STANDARD, "no column 'label'"),
        (essays(1, 0), STANDARD.drop(columns="truth"), "no column 'truth'"),
        (
            essays(1, 0),
            pd.concat([STANDARD, pd.DataFrame({"item_id": ["i03"], "truth": ["x"]})]),
            r"two standards \(column truth; 1 row; first: item_id=i03",
        ),
    ],
)
def test_invalid_input_is_reported(ratings, truth, problem):
    with pytest.raises(DataError, match=problem) as caught:
        measure_attribute_agreement(ratings, truth)
    assert "Hint:" in str(caught.value)


@pytest.mark.parametrize("convention", ["minitab", "jmp"])
@pytest.mark.parametrize("label", ["a", "=1+1", "<script>"])
def test_constant_and_hostile_labels_give_a_result(label, convention):
    agreement = measure_attribute_agreement(essays(0, 0, trials=2).assign(label=label), STANDARD, convention=convention)
    assert agreement.between_raters.value == 1
    assert agreement.versus_standard.value == pytest.approx(1 / 3 if label == "a" else 0)
    assert agreement.summary()


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (essays(1, 0).assign(rater=lambda frame: frame["rater"].where(frame.index > 0)), "rater is missing"),
        (essays(1, 0).assign(item_id=lambda frame: frame["item_id"].where(frame.index > 0)), "item_id is missing"),
        (pd.concat([essays(1, 0), essays(1, 0).head(1)]), "twice"),
        (essays(1, 0).head(0), "no ratings"),
    ],
)
def test_invalid_ratings_are_reported(frame, problem):
    with pytest.raises(DataError, match=problem):
        measure_attribute_agreement(frame, STANDARD)


@pytest.mark.parametrize(
    ("columns", "problem", "column"),
    [
        ({"item_id": list(range(15)) * 2}, "item_id is text in one table, a number in the other", "item_id"),
        ({"item_id": [f"x{number}" for number in range(15)] * 2}, "no item that was rated has a standard", "item_id"),
        ({"label": [1, 2, 3] * 10}, "truth is text in one table, a number in the other", "truth"),
        ({"label": ["a", "b ", "c"] * 10}, "label is blank or has white space", "label"),
        ({"label": pd.Series(["1", 1, 2] * 10, dtype=object)}, "label is written as a number in some rows", "label"),
    ],
)
def test_names_that_cannot_be_matched_are_rejected(columns, problem, column):
    with pytest.raises(DataError, match=problem) as caught:
        measure_attribute_agreement(essays(1, 0).assign(**columns), STANDARD)
    assert (caught.value.column, bool(caught.value.first), bool(caught.value.hint)) == (column, True, True)
    assert caught.value.rows


def test_a_standard_without_an_item_is_reported():
    with pytest.raises(DataError, match=r"item_id is missing \(column item_id; 1 row"):
        measure_attribute_agreement(
            essays(1, 0), STANDARD.assign(item_id=STANDARD["item_id"].where(STANDARD.index > 0))
        )


def test_numeric_items_and_labels_match_whatever_their_type():
    frame, standard = essays(2, 1), STANDARD
    numbers = frame.assign(item_id=frame["item_id"].str[1:].astype(int), label=frame["label"].map(ord))
    wide = standard.assign(item_id=standard["item_id"].str[1:].astype(float), truth=standard["truth"].map(ord) * 1.0)
    assert measure_attribute_agreement(numbers, wide) == measure_attribute_agreement(frame, standard)


def test_every_share_is_in_the_frame_and_the_path_leads_to_its_estimate():
    agreement = measure_attribute_agreement(essays(4, 0, trials=2), STANDARD)
    frame = agreement.to_frame()
    assert frame[["rater", "comparison", "matched"]].to_numpy().tolist() == [
        ["r0", "within_rater", 11],
        ["r0", "versus_standard", 11],
        ["r1", "within_rater", 15],
        ["r1", "versus_standard", 15],
        ["all", "within_rater", 26],
        ["all", "between_raters", 11],
        ["all", "versus_standard", 11],
    ]
    (finding,) = agreement.findings()
    assert eval(f"agreement.{finding.path}", {"agreement": agreement}) == finding.estimate


def test_an_unknown_convention_is_rejected():
    with pytest.raises(ValueError, match="'minitab' or 'jmp', not 'aiag'"):
        measure_attribute_agreement(essays(1, 0), STANDARD, convention="aiag")
