"""From audits and overlap samples to ratings: what is read, in what codes, and what is refused."""

import shutil

import duckdb
import numpy as np
import pandas as pd
import pytest

from rca_lib.audits.ratings import add_truth_ratings, convert_to_ratings, encode_ratings, get_item_values
from rca_lib.findings import DataError
from rca_lib.questions.agreement import measure_agreement
from rca_lib.questions.attribute_agreement import measure_attribute_agreement
from rca_lib.reporting.display import save_table
from rca_lib.simulation.demo import create_demo_store
from rca_lib.store.cases import open_calibration, open_case

AUDIT = {"item_id": ["i1"], "rater": ["a"], "label": ["ok"], "truth": ["bad"]}


def rate(*rows, names=("item_id", "rater", "label")):
    """Ratings from words, a row each."""
    return pd.DataFrame([row.split() for row in rows], columns=list(names))


def table_of(ratings):
    """What was read, in words."""
    rows = zip(ratings.items[ratings.item], ratings.raters[ratings.rater], ratings.labels[ratings.label], strict=True)
    return [" ".join(map(str, row)) for row in rows]


def test_ratings_are_read_in_the_order_of_items_and_raters_whatever_their_own():
    frame = rate("i2 b ok", "i1 b bad", "i1 a ok")
    assert table_of(encode_ratings(frame)) == ["i1 a ok", "i1 b bad", "i2 b ok"]
    shuffled = frame.sample(frac=1, random_state=1)
    assert table_of(encode_ratings(duckdb.from_df(shuffled))) == table_of(encode_ratings(frame))


def test_who_judges_in_two_roles_is_two_raters():
    found = encode_ratings(rate("i1 a ok", "i1 a bad", "i2 a ok").assign(role=["rater", "auditor", None]))
    assert list(zip(found.raters, found.roles, strict=True)) == [("a", "auditor"), ("a", "rater")]
    assert found.rater.tolist() == [0, 1, 1]  # a missing role is a rater's


def test_of_repeated_trials_the_first_counts_and_ratings_without_a_label_are_counted():
    frame = rate("i1 a ok", "i1 a bad", "i2 a ok").assign(trial=[2, 1, None])
    assert table_of(encode_ratings(frame)) == ["i1 a bad", "i2 a ok"]
    assert encode_ratings(rate("i1 a ok", "i1 b ok").assign(label=["ok", None])).unlabelled == 1


@pytest.mark.parametrize(
    "write", [str, float, "{}.0".format, " {} ".format, lambda trial: trial if trial > 1 else None]
)
def test_trials_are_read_as_text_or_numbers(write):
    frame = rate("i1 a ok", "i1 a bad", "i2 a ok").assign(trial=pd.Series([2, 1, 10]).map(write))
    assert table_of(encode_ratings(frame)) == ["i1 a bad", "i2 a ok"]
    given = pd.DataFrame({"item_id": ["i1"], "truth": ["bad"]})
    assert add_truth_ratings(given, frame)[0].loc[0, ["others", "against"]].tolist() == [1, 0]
    assert convert_to_ratings(pd.DataFrame(AUDIT), frame)["trial"].tolist() == [1, 1, 2, 3, 1]


def test_a_rating_whose_first_trial_is_not_there_is_not_lost():
    frame = rate("i1 a ok", "i1 a bad", "i1 b ok", "i1 a bad").assign(
        trial=[3, 2, 1, 2], role=["rater", "rater", None, "auditor"]
    )
    assert table_of(encode_ratings(frame)) == ["i1 a bad", "i1 a bad", "i1 b ok"]


@pytest.mark.parametrize("trial", ["first", 1.5, 0, -1, np.inf, True, "1.5"])
def test_a_trial_that_is_no_whole_number_is_named(trial):
    frame = rate("i1 a ok", "i2 b ok", "i3 b ok").assign(trial=pd.Series([1, trial, trial], dtype=object))
    for ask in (
        encode_ratings,
        measure_agreement,
        measure_attribute_agreement,
        lambda ratings: convert_to_ratings(pd.DataFrame(AUDIT), ratings),
    ):
        with pytest.raises(DataError, match="trial is not a whole number from 1 on") as caught:
            ask(frame)
        assert (caught.value.column, caught.value.rows, caught.value.first["item_id"]) == ("trial", 2, "i2")
        assert caught.value.hint


def test_hostile_and_numeric_labels_are_labels():
    hostile = ["=1+1", "<script>", "$\\frac$", "'; drop table ratings"]
    frame = pd.DataFrame({"item_id": range(4), "rater": ["a'b"] * 4, "label": hostile})
    assert set(encode_ratings(frame).labels) == set(hostile)
    assert encode_ratings(frame.assign(label=[3, 1, 2, 1])).labels.tolist() == [1, 2, 3]


def test_names_that_are_numbers_dates_or_categories_are_names():
    frame = pd.DataFrame({"item_id": [2.0, 1.0, 1.0], "rater": [1, 1, 2], "label": [True, False, True]})
    assert table_of(encode_ratings(frame)) == ["1.0 1 False", "1.0 2 True", "2.0 1 True"]
    days = frame.assign(label=pd.to_datetime(["2026-01-02", "2026-01-01", None])).astype({"rater": "category"})
    assert (encode_ratings(days).labels.size, encode_ratings(days).unlabelled) == (2, 1)
    twins = pd.concat([frame, frame.rename(index=str)]).set_axis([0] * 6).assign(trial=[1, 1, 1, 2, 2, 2])
    assert table_of(encode_ratings(twins)) == table_of(encode_ratings(frame))
    assert measure_agreement(rate("i1 a ok", "i1 b ok").assign(rater=pd.Series([1, "b"], dtype=object))).raters == 2
    assert add_truth_ratings(pd.DataFrame({"item_id": [1], "truth": [True], "auditor": [1]}), frame)[0][
        "against"
    ].tolist() == [1]


@pytest.mark.parametrize("name", ["item_id", "rater", "label", "role"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("x ", "is blank or has white space at its ends"),
        ("", "is blank or has white space at its ends"),
        (["x"], "holds lists, or values of types that cannot be compared"),
    ],
)
def test_what_is_no_name_is_refused(name, value, problem):
    frame = rate("i1 a ok", "i2 b ok", "i3 c ok").assign(role="rater")
    frame[name] = pd.Series([frame.loc[0, name], value, value], dtype=object)
    with pytest.raises(DataError, match=f"{name} {problem}") as caught:
        encode_ratings(frame)
    assert (caught.value.column, caught.value.rows) == (name, 3 if value == ["x"] else 2)
    assert caught.value.hint and (value == ["x"] or caught.value.first[name] == value)


@pytest.mark.parametrize("name", ["item_id", "rater", "label"])
@pytest.mark.parametrize("number", [7, 7.0])
def test_a_name_that_is_text_here_and_a_number_there_is_refused(name, number):
    frame = rate("i1 a ok", "i2 b ok", "i3 c ok", "i4 d ok")
    frame[name] = pd.Series([frame.loc[0, name], "7", number, 8], dtype=object)
    with pytest.raises(DataError, match=f"{name} is written as a number in some rows, as text in others") as caught:
        encode_ratings(frame)
    assert (caught.value.column, caught.value.rows) == (name, 2)


@pytest.mark.parametrize("twin", ["caf\u00e9  noir", "cafe\u0301 noir", "caf\u00e9\tnoir", "caf\u00e9 noir\u200b"])
def test_names_that_only_look_alike_are_refused(twin):
    frame = rate("i1 a ok", "i2 b ok", "i3 c ok").assign(label=["caf\u00e9 noir", twin, "caf\u00e9 creme"])
    with pytest.raises(DataError, match=r"label is written in two ways that look alike .*; 2 rows; first: item_id=i1"):
        encode_ratings(frame)
    assert len(encode_ratings(frame.tail(2)).labels) == 2


@pytest.mark.parametrize("number", [2.0**53, -np.inf])
def test_numbers_that_floats_confuse_are_refused(number):
    frame = rate("i1 a ok", "i2 b ok", "i3 c ok").assign(item_id=[1.0, number, 2.0])
    with pytest.raises(DataError, match=r"item_id is a number too large to be exact .*; 1 row; .*write it as text"):
        encode_ratings(frame)
    given = pd.DataFrame({"item_id": [number], "truth": ["ok"]})
    with pytest.raises(DataError, match="item_id is a number too large to be exact"):
        add_truth_ratings(given, frame.assign(item_id=[1, 2**53, 2]))


@pytest.mark.parametrize("role", ["boss", "Auditor", 1])
def test_an_unknown_role_is_refused(role):
    frame = rate("i1 a ok", "i2 b ok").assign(role=pd.Series([None, role], dtype=object))
    with pytest.raises(DataError, match=r"role is unknown .*; 1 row; .*choose among rater, auditor, expert, model"):
        encode_ratings(frame)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"item_id": [1, 2]}, "item_id is text in one table, a number in the other"),
        ({"item_id": ["i1", None]}, "item_id is missing"),
        ({"item_id": ["i1", "i2 "]}, "item_id is blank or has white space at its ends"),
        ({"truth": ["ok", " bad"]}, "truth is blank or has white space at its ends"),
    ],
)
def test_truths_that_cannot_be_matched_are_refused(columns, problem):
    given = pd.DataFrame({"item_id": ["i1", "i2"], "truth": ["ok", "ok"]}).assign(**columns)
    with pytest.raises(DataError, match=problem) as caught:
        add_truth_ratings(given, rate("i1 a ok", "i2 b bad"))
    assert caught.value.rows and caught.value.first and caught.value.hint


def test_a_truth_that_is_a_number_where_labels_are_text_is_refused():
    with pytest.raises(DataError, match="label is written as a number in some rows, as text in others"):
        add_truth_ratings(pd.DataFrame({"item_id": ["i1"], "truth": [1]}), rate("i1 a 1", "i1 b 2"))


@pytest.mark.parametrize("name", ["item_id", "rater", "label"])
def test_a_column_that_is_missing_is_named(name):
    with pytest.raises(DataError, match=f"no column '{name}'.*Hint: map it, or choose among"):
        encode_ratings(rate("i1 a ok").drop(columns=name))


@pytest.mark.parametrize(
    ("frame", "problem", "column", "rows", "first"),
    [
        (rate("i1 a ok", "i2 a ok").assign(item_id=["i1", None]), "item_id is missing", "item_id", 1, "ok"),
        (rate("i1 a ok", "i2 b bad").assign(rater=["a", None]), "rater is missing", "rater", 1, "bad"),
        (rate("i1 a ok", "i1 a bad", "i1 a x"), "judged an item twice", "rater", 2, "ok"),
        (rate("i1 a ok").assign(label=None), "there are no ratings", "label", 1, None),
        (rate("i1 a ok").head(0), "there are no ratings", "label", 0, None),
    ],
)
def test_bad_ratings_are_named_with_the_first_offender(frame, problem, column, rows, first):
    with pytest.raises(DataError, match=problem) as caught:
        encode_ratings(frame)
    assert (caught.value.column, caught.value.rows) == (column, rows)
    assert (caught.value.first or {}).get("label") == first
    assert caught.value.hint


def test_the_truth_is_one_more_rating_where_no_auditor_gave_one():
    ratings = rate("i1 a ok", "i1 b ok", "i2 a ok", "i2 x bad").assign(role=["rater", "rater", "rater", "auditor"])
    truth = rate("i1 bad", "i2 bad", "i9 ok", names=("item_id", "truth"))
    rows, table, unrated = add_truth_ratings(truth, ratings)
    assert table_of(table) == ["i1 a ok", "i1 b ok", "i1 the truth bad", "i2 a ok", "i2 x bad"]
    assert rows["others"].tolist() == [2, 1]
    assert [table.labels[one] for one in rows["given"]] == ["bad", "bad"]
    assert unrated == 1


def test_truths_that_are_missing_are_none_and_those_repeated_count_once():
    truth = rate("i1 ok", "i1 ok", "i1 bad", "i2 ok", names=("item_id", "truth")).assign(policy="p")
    truth.loc[3, "truth"] = None
    rows, _, _ = add_truth_ratings(truth, rate("i1 a ok", "i1 b bad", "i2 a ok"))
    assert rows[["item_id", "truth"]].to_numpy().tolist() == [["i1", "bad"], ["i1", "ok"]]


def test_a_truth_that_nobody_gave_is_not_lost():
    ratings = rate("i1 a ok", "i1 b ok", "i1 x ok").assign(role=["rater", "rater", "auditor"])
    rows, _, unrated = add_truth_ratings(rate("i1 zzz", names=("item_id", "truth")), ratings)
    assert len(rows) + unrated == 1


def test_an_overlap_sample_is_added_to_the_audits():
    overlap = rate("i1 b ok", "i1 c bad").assign(role="rater")
    found = convert_to_ratings(pd.DataFrame(AUDIT), overlap)
    assert table_of(encode_ratings(found)) == ["i1 a ok", "i1 audit 1 bad", "i1 b ok", "i1 c bad"]
    assert convert_to_ratings(duckdb.from_df(pd.DataFrame(AUDIT)), duckdb.from_df(overlap)).equals(found)
    assert len(convert_to_ratings(pd.DataFrame(AUDIT), overlap.head(0))) == 2


def test_an_overlap_sample_without_roles_may_hold_the_rater_who_was_audited():
    found = convert_to_ratings(pd.DataFrame(AUDIT), rate("i1 a ok", "i1 b ok"))
    assert "i1 b ok" in table_of(encode_ratings(found))


def test_the_trials_of_an_overlap_sample_keep_their_order():
    overlap = rate("i1 b bad", "i1 b ok").assign(role="rater", trial=[2, 1])
    assert "i1 b ok" in table_of(encode_ratings(convert_to_ratings(pd.DataFrame(AUDIT), overlap)))


@pytest.mark.parametrize("name", list(AUDIT))
def test_audits_without_a_column_are_refused(name):
    with pytest.raises(DataError, match=f"no column '{name}'"):
        convert_to_ratings(pd.DataFrame(AUDIT).drop(columns=name))


def test_what_is_known_of_an_item_is_carried_along():
    audits = pd.DataFrame({**AUDIT, "policy": ["hate"]})
    assert set(convert_to_ratings(audits, item_columns=["policy", "market"])["policy"]) == {"hate"}
    twice = pd.DataFrame({"item_id": ["i1", "i1", "i2"], "policy": ["b", "a", None]})
    assert get_item_values(twice, "policy").to_dict() == get_item_values(duckdb.from_df(twice), "policy").to_dict()
    assert get_item_values(twice, "policy").to_dict() == {"i1": "a"}
    assert get_item_values(twice, "market").empty


def test_agreement_is_measured_by_what_is_known_of_the_items():
    # Of each policy 40 items: on "clear" two raters agree always, on "vague" on half; "few" has less than 30 items.
    policy = np.repeat(["clear", "vague", "few"], [40, 40, 29])
    second = np.where((policy == "vague") & (np.arange(109) % 4 < 2), 1 - np.arange(109) % 2, np.arange(109) % 2)
    frame = pd.DataFrame({"item_id": range(109), "policy": policy})
    both = [frame.assign(rater="a", label=np.arange(109) % 2), frame.assign(rater="b", label=second)]
    found = measure_agreement(pd.concat(both), by=["policy"])
    told = {one.where["policy"]: (one.items, one.percent_agreement.value) for one in found.slices}
    assert told == {"clear": (40, 1.0), "vague": (40, 0.5)}
    assert [where["policy"] for where in found.slice_frame()["where"]] == ["vague", "clear"]
    assert measure_agreement(duckdb.from_df(pd.concat(both).sample(frac=1, random_state=1)), by=["policy"]) == found


def test_a_case_holds_the_ratings_of_its_own_items():
    case = open_case("demo", site="lisbon", period="2026-03")
    items = set(case.all_audits["item_id"])
    assert len(case.ratings) > 0
    assert set(case.ratings["item_id"]) <= items


def test_calibration_opens_all_sites_of_the_last_period_with_raters_named_by_site():
    audits, ratings = open_calibration("demo")
    assert audits.select("strftime(day, '%Y-%m')").distinct().fetchall() == [("2026-03",)]
    frame = audits.select("item_id, site, rater").df()
    assert frame["site"].nunique() == 4
    assert all(rater.startswith(f"{site} ") for site, rater in zip(frame["site"], frame["rater"], strict=True))
    assert set(ratings["item_id"]) <= set(frame["item_id"])
    own, alone = open_calibration("demo", sites=["lisbon"], periods=["2026-01", "2026-02"])
    assert own.select("strftime(day, '%Y-%m'), site").distinct().fetchall() == [("2026-02", "lisbon")]
    assert not alone["rater"].str.startswith("lisbon ").any()


def test_calibration_of_a_store_without_ratings_has_none_and_of_an_empty_one_says_so(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        open_calibration(tmp_path)
    shutil.copytree(create_demo_store(), tmp_path / "copy")
    (tmp_path / "copy" / "ratings.csv").unlink()
    assert open_calibration(tmp_path / "copy")[1].empty


def test_white_space_in_a_file_of_ratings_is_taken_off_as_the_intake_does(tmp_path):
    shutil.copytree(create_demo_store(), tmp_path / "copy")
    file = tmp_path / "copy" / "ratings.csv"
    table = pd.read_csv(file, dtype="str")
    table.assign(item_id=table["item_id"] + " ", label=" " + table["label"], rater=table["rater"] + "  ").to_csv(
        file, index=False
    )
    pd.testing.assert_frame_equal(open_calibration(tmp_path / "copy")[1], open_calibration("demo")[1])


def test_calibration_of_a_period_without_audits_says_so():
    with pytest.raises(DataError, match="no audits"):
        open_calibration("demo", periods=["2027-01"])


def test_no_text_becomes_a_formula_in_a_table_that_is_saved(tmp_path):
    frame = pd.DataFrame({"text": ["=1+1", "@sum", "+1", "-1", "\tx", "ok", None], "number": [-1.5, 2, 3, 4, 5, 6, 7]})
    save_table(frame, tmp_path, "agenda")
    saved = pd.read_csv(tmp_path / "agenda.csv")
    assert saved["text"].tolist()[:6] == ["'=1+1", "'@sum", "'+1", "'-1", "'\tx", "ok"]
    assert saved["number"].tolist() == frame["number"].tolist()
    save_table(frame, "", "nothing")
    assert [file.name for file in tmp_path.iterdir()] == ["agenda.csv"]
