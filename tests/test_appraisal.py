"""Attribute agreement as quality engineers count it: within raters, between them, against the standard."""

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.appraisal import appraise_raters
from rca_lib.stats.rates import clopper_pearson, wilson

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
    (one,) = appraise_raters(essays(15 - agreed), STANDARD).raters
    assert (one.standard.errors, one.standard.items) == (agreed, 15)
    assert (100 * one.standard.low, 100 * one.standard.high) == pytest.approx((low, high), abs=5e-3)


def test_all_raters_match_where_everyone_of_them_does():
    # Of 15 items r0 misses 7, r1 2, r2 1, r3 and r4 none: the same ones, so all agree with the standard on 8
    found = appraise_raters(essays(7, 2, 1, 0, 0), STANDARD)
    assert [one.standard.errors for one in found.raters] == [8, 13, 14, 15, 15]
    assert (found.standard.errors, found.between.errors) == (8, 8)
    assert (found.between.low, found.between.high) == clopper_pearson(8, 15)
    # Where both miss the same items in the same way they agree with each other, not with the standard
    alike = appraise_raters(essays(5, 5), STANDARD)
    assert (alike.between.errors, alike.standard.errors) == (15, 10)


def test_within_a_rater_all_trials_must_agree():
    found = appraise_raters(essays(4, 0, trials=2), STANDARD)
    assert [one.within.errors for one in found.raters] == [11, 15]
    assert [one.standard.errors for one in found.raters] == [11, 15]
    assert (found.trials, found.items, found.between.errors) == (60, 15, 11)
    assert [one.within for one in appraise_raters(essays(4, 0), STANDARD).raters] == [None, None]


def test_jmp_counts_trials_and_uses_score_intervals():
    # r0 misses 4 of its 30 trials, both together 4 of 60
    found = appraise_raters(essays(4, 0, trials=2), STANDARD, convention="jmp")
    first = found.raters[0].standard
    assert (first.errors, first.items) == (26, 30)
    assert (first.low, first.high) == wilson(26, 30)
    assert (found.standard.errors, found.standard.items) == (56, 60)


def test_raters_who_see_the_standard_agree_as_often_as_they_see_it():
    # Two raters who see it with probability .9 and guess among three otherwise are right in .9333, both in .8711.
    held = {"standard": 0, "both": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frame = essays(0, 0)
        guess = rng.choice(list("abc"), len(frame))
        found = appraise_raters(frame.assign(label=np.where(rng.random(30) < 0.9, frame["label"], guess)), STANDARD)
        held["standard"] += found.raters[0].standard.low <= 0.9 + 0.1 / 3 <= found.raters[0].standard.high
        held["both"] += found.standard.low <= (0.9 + 0.1 / 3) ** 2 <= found.standard.high
    # exact intervals hold 95 % at least: fewer than 52 of 60 has a probability of .004 (one-sided at the ends too)
    assert min(held.values()) >= 52


def test_without_a_standard_there_is_only_agreement():
    found = appraise_raters(essays(3, 0))
    assert (found.standard, [one.standard for one in found.raters], found.findings()) == (None, [None, None], ())
    assert found.between.errors == 12
    assert found.summary() == f"2 raters agree with each other on {found.between}."
    assert appraise_raters(essays(3)).between is None


def test_items_without_a_standard_or_not_judged_by_all_count_where_they_can():
    found = appraise_raters(essays(3, 0), STANDARD.head(10))
    assert [one.standard.items for one in found.raters] == [10, 10]
    assert found.between.items == 15
    gaps = essays(3, 0).query("rater == 'r0' or item_id < 'i10'")
    assert [one.standard.items for one in appraise_raters(gaps, STANDARD).raters] == [15, 10]
    assert appraise_raters(gaps, STANDARD).between.items == 10
    blank = essays(3, 0).assign(label=lambda frame: frame["label"].where(frame["item_id"] > "i00"))
    assert appraise_raters(blank, STANDARD).items == 14
    nothing = appraise_raters(essays(3, 0), STANDARD.assign(truth=None))
    assert (nothing.standard, nothing.raters[0].standard) == (None, None)


def test_a_standard_given_twice_alike_is_one_and_of_items_that_nobody_rated_is_none():
    more = pd.concat([STANDARD, STANDARD, pd.DataFrame({"item_id": ["zz"], "truth": ["a"]})])
    assert appraise_raters(essays(3, 0), more) == appraise_raters(essays(3, 0), STANDARD)


def test_neither_order_nor_engine_changes_the_answer():
    frame = essays(7, 2, 0, trials=2)
    for convention in ("minitab", "jmp"):
        expected = appraise_raters(frame, STANDARD, convention=convention)
        shuffled = frame.sample(frac=1, random_state=1), STANDARD.sample(frac=1, random_state=2)
        assert appraise_raters(*shuffled, convention=convention) == expected
        assert appraise_raters(*map(duckdb.from_df, shuffled), convention=convention) == expected


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
def test_bad_input_is_named(ratings, truth, problem):
    with pytest.raises(DataError, match=problem) as caught:
        appraise_raters(ratings, truth)
    assert "Mend:" in str(caught.value)


@pytest.mark.parametrize("convention", ["minitab", "jmp"])
@pytest.mark.parametrize("label", ["a", "=1+1", "<script>"])
def test_labels_without_variation_or_hostile_are_answered(label, convention):
    found = appraise_raters(essays(0, 0, trials=2).assign(label=label), STANDARD, convention=convention)
    assert found.between.value == 1
    assert found.standard.value == pytest.approx(1 / 3 if label == "a" else 0)
    assert found.summary()


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (essays(1, 0).assign(rater=lambda frame: frame["rater"].where(frame.index > 0)), "rater is missing"),
        (essays(1, 0).assign(item_id=lambda frame: frame["item_id"].where(frame.index > 0)), "item_id is missing"),
        (pd.concat([essays(1, 0), essays(1, 0).head(1)]), "twice"),
        (essays(1, 0).head(0), "no ratings"),
    ],
)
def test_bad_ratings_are_named_as_everywhere(frame, problem):
    with pytest.raises(DataError, match=problem):
        appraise_raters(frame, STANDARD)


@pytest.mark.parametrize(
    ("columns", "problem", "column"),
    [
        ({"item_id": list(range(15)) * 2}, "item_id is text in one table, a number in the other", "item_id"),
        ({"item_id": [f"x{number}" for number in range(15)] * 2}, "no item that was rated has a standard", "item_id"),
        ({"label": [1, 2, 3] * 10}, "truth is text in one table, a number in the other", "truth"),
        ({"label": ["a", "b ", "c"] * 10}, "label is blank or has white space", "label"),
        ({"label": pd.Series(["1", 1, 2] * 10, dtype=object)}, "label is written as a number here", "label"),
    ],
)
def test_names_that_cannot_be_matched_are_refused(columns, problem, column):
    with pytest.raises(DataError, match=problem) as caught:
        appraise_raters(essays(1, 0).assign(**columns), STANDARD)
    assert (caught.value.column, bool(caught.value.first), bool(caught.value.mend)) == (column, True, True)
    assert caught.value.rows


def test_a_standard_without_an_item_is_named():
    with pytest.raises(DataError, match=r"item_id is missing \(column item_id; 1 row"):
        appraise_raters(essays(1, 0), STANDARD.assign(item_id=STANDARD["item_id"].where(STANDARD.index > 0)))


def test_items_and_labels_that_are_numbers_match_whatever_their_type():
    frame, standard = essays(2, 1), STANDARD
    numbers = frame.assign(item_id=frame["item_id"].str[1:].astype(int), label=frame["label"].map(ord))
    wide = standard.assign(item_id=standard["item_id"].str[1:].astype(float), truth=standard["truth"].map(ord) * 1.0)
    assert appraise_raters(numbers, wide) == appraise_raters(frame, standard)


def test_every_number_stands_in_the_frame_and_the_finding_leads_to_its():
    found = appraise_raters(essays(4, 0, trials=2), STANDARD)
    frame = found.to_frame()
    assert frame[["rater", "against", "matched"]].to_numpy().tolist() == [
        ["r0", "within", 11],
        ["r0", "standard", 11],
        ["r1", "within", 15],
        ["r1", "standard", 15],
        ["all", "between", 11],
        ["all", "standard", 11],
    ]
    (finding,) = found.findings()
    assert eval(f"found.{finding.path}", {"found": found}) == finding.estimate


def test_a_convention_of_nobody_is_refused():
    with pytest.raises(ValueError, match="'minitab' or 'jmp', not 'aiag'"):
        appraise_raters(essays(1, 0), STANDARD, convention="aiag")
