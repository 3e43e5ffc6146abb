"""What is true, and which truths are wrong: labels, honest chances, flipped truths found, raters described."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.questions.truth import infer_truth, review_truth
from rca_lib.stats.rates import mean_chance

LABELS = np.array(["ad", "benign", "hate", "spam"])


def draw(seed, *, items=2000, raters=60, per_item=4, mean=0.75, firm=4.0, flipped=0.03):
    """Ratings by raters of their own accuracy, the truth given (some of it flipped), the truth, those accuracies.

    Errors go to near labels, half by the rater's own taste; every label is as frequent.
    """
    rng, size = np.random.default_rng(seed), len(LABELS)
    accuracy = rng.beta(mean * firm, (1 - mean) * firm, raters)
    near = np.exp(-np.abs(np.subtract.outer(np.arange(size), np.arange(size)))) * (1 - np.eye(size))
    own = rng.dirichlet(np.ones(size), (raters, size)) * (1 - np.eye(size))
    confusion = (near / near.sum(1, keepdims=True) + own / own.sum(2, keepdims=True)) / 2
    confusion = confusion * (1 - accuracy)[:, None, None] + np.eye(size) * accuracy[:, None, None]
    truth = rng.integers(0, size, items)
    who = np.argsort(rng.random((items, raters)), axis=1)[:, :per_item]
    chance = confusion[who, truth[:, None]].cumsum(2)
    given = (rng.random((items, per_item))[:, :, None] > chance[:, :, :-1]).sum(2)
    names = np.array([f"i{number:05}" for number in range(items)])
    ratings = pd.DataFrame({"item_id": np.repeat(names, per_item), "rater": [f"r{one:03}" for one in who.ravel()]})
    wrong = rng.random(items) < flipped
    stated = np.where(wrong, (truth + rng.integers(1, size, items)) % size, truth)
    stated = pd.DataFrame({"item_id": names, "truth": LABELS[stated]})
    return ratings.assign(label=LABELS[given.ravel()]), stated, LABELS[truth], accuracy


def rate(*rows, **columns):
    """Ratings from strings, one per item, a letter per rater; a dot is no rating."""
    cells = [(f"i{item}", f"r{rater}", label) for item, row in enumerate(rows) for rater, label in enumerate(row)]
    frame = pd.DataFrame([cell for cell in cells if cell[2] != "."], columns=["item_id", "rater", "label"])
    return frame.assign(**columns)


def truths(letters, **columns):
    frame = pd.DataFrame({"item_id": [f"i{item}" for item in range(len(letters))], "truth": list(letters)})
    return frame.assign(**columns)


CLEAR, GIVEN = rate(*["aaa", "bbb"] * 15), truths("ab" * 15)

# Dawid and Skene 1979, table 1: 45 patients, by observer 1 three times, then observers 2 to 5; classes 1 to 4
PATIENTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212 1211111
1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111 1111111 1121121
1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""


def test_the_anaesthetists_patients_get_the_classes_that_dawid_and_skene_gave_them():
    # The likeliest classes by maximum likelihood, computed anew (with their printed shares .40, .42, .11 and .07). Of
    # classes 3 and 4 there are eight patients, too few for shrunk raters: four of these may differ.
    likeliest = list("142222132243121111222222112111131224233111212")
    found = infer_truth(rate(*PATIENTS.split())).to_frame()
    found = found.assign(number=found["item_id"].str[1:].astype(int)).sort_values("number")
    differ = found["label"].to_numpy() != likeliest
    assert differ.sum() <= 4
    assert set(np.array(likeliest)[differ]) <= {"3", "4"}


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_found_more_often_than_by_majority_and_as_often_as_is_said(seed):
    ratings, _, truth, _ = draw(seed)
    found = infer_truth(ratings)
    votes = ratings.groupby("item_id")["label"].agg(lambda labels: labels.mode().iloc[0]).to_numpy()
    right = (found.to_frame()["label"] == truth).mean()
    assert right > (votes == truth).mean() + 0.02
    assert found.expected_accuracy == pytest.approx(right, abs=0.02)  # three standard errors of 2,000 items


def test_chances_are_as_often_right_as_they_say():
    frames = [infer_truth(one[0]).to_frame().assign(truth=one[2]) for one in map(draw, range(10, 13))]
    frame = pd.concat(frames)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = frame[frame["probability"].between(low, high, inclusive="left")]
        right = (inside["label"] == inside["truth"]).mean()
        assert inside["probability"].mean() == pytest.approx(right, abs=0.05)


def test_the_likeliest_label_and_the_runner_up_are_told_for_every_item():
    frame = infer_truth(rate("aab", "bbb", "b..")).to_frame()
    assert frame.columns.tolist() == ["item_id", "label", "probability", "runner_up", "ratings"]
    assert frame[["item_id", "label", "runner_up", "ratings"]].to_numpy().tolist() == [
        ["i0", "a", "b", 3],
        ["i1", "b", "a", 3],
        ["i2", "b", "a", 1],
    ]
    assert frame["probability"].between(0.5, 1).all()


def test_raters_accuracy_is_told_apart():
    ratings, _, _, accuracy = draw(2, raters=40)
    told = infer_truth(ratings).rater_frame().sort_values("rater")
    assert np.corrcoef(told["accuracy"], accuracy)[0, 1] > 0.95
    assert (told["ratings"] == ratings.groupby("rater").size().to_numpy()).all()


def test_the_intervals_of_raters_accuracy_hold_it():
    held = []
    for seed in range(5):
        ratings, _, _, accuracy = draw(seed, raters=40, mean=0.85, firm=10)
        told = infer_truth(ratings).rater_frame().sort_values("rater")
        held += ((told["low"] <= accuracy) & (accuracy <= told["high"])).tolist()
    assert sum(held) >= 178  # of 200; 190 expected, 178 allows for truths inferred: below has a probability of .0002


def test_what_a_rater_gives_for_what_is_named():
    # r2 says b in half of the items that are a, and is right of those that are b
    found = infer_truth(rate(*["aaa", "aab", "bbb", "bbb"] * 20))
    worst = found.rater_frame().iloc[2]
    assert (worst["rater"], worst["truth"], worst["given"]) == ("r2", "a", "b")
    assert worst["accuracy"] == pytest.approx(0.75, abs=0.05)


def test_an_items_only_rating_is_as_good_as_its_rater_usually_is():
    frame = pd.concat([draw(4, raters=20)[0], pd.DataFrame({"item_id": ["zz"], "rater": ["r003"], "label": ["ad"]})])
    found = infer_truth(frame)
    usual = found.rater_frame().set_index("rater").loc["r003", "accuracy"]
    assert found.to_frame().iloc[-1]["probability"] == pytest.approx(usual, abs=0.15)
    assert (found.single, "1 item was judged once" in found.summary()) == (1, True)


def test_neither_the_order_of_rows_nor_the_engine_changes_the_truth():
    ratings, stated, _, _ = draw(5, items=400, raters=20)
    found, review = infer_truth(ratings), review_truth(ratings, stated)
    for other in (ratings.sample(frac=1, random_state=1), duckdb.from_df(ratings.sample(frac=1, random_state=2))):
        again = infer_truth(other)
        pd.testing.assert_frame_equal(again.to_frame(), found.to_frame())
        assert again.rater_quality == found.rater_quality
        assert review_truth(other, stated.sample(frac=1, random_state=3)) == review
    assert review_truth(ratings, duckdb.from_df(stated)) == review


@pytest.mark.parametrize(("per_item", "seed"), [(3, 0), (3, 1), (4, 2), (4, 3), (5, 4), (5, 5)])
def test_truths_that_were_flipped_are_among_the_first(per_item, seed):
    ratings, stated, truth, _ = draw(seed, items=3000, per_item=per_item)
    wrong = set(stated["item_id"][stated["truth"] != truth])
    review = review_truth(ratings, stated)
    first = {one.item_id for one in review.suspects[: 2 * len(wrong)]}
    assert len(first & wrong) >= 0.75 * len(wrong)
    right = dict(zip(stated["item_id"], truth, strict=True))
    told = [right[one.item_id] == one.suggested for one in review.suspects[: len(wrong)] if one.item_id in wrong]
    assert np.mean(told) > 0.8


def test_the_share_of_wrong_truths_is_as_large_as_it_is():
    covered = 0
    for seed in range(20):
        ratings, stated, truth, _ = draw(100 + seed, items=1000, raters=30, mean=0.8, flipped=0.05)
        share = review_truth(ratings, stated).share
        covered += share.low <= (stated["truth"] != truth).mean() <= share.high
    assert covered >= 16  # 19 expected; fewer than 16 has a probability of .003


def test_no_truth_is_suspected_where_none_is_wrong():
    # Chances above one half are wrong half of the time at the most: of 10 x 500 right truths next to none has one.
    doubted = 0
    for seed in range(10):
        ratings, stated, _, _ = draw(200 + seed, items=500, raters=25, per_item=5, mean=0.9, firm=20, flipped=0)
        review = review_truth(ratings, stated)
        doubted += sum(one.probability > 0.5 for one in review.suspects)
        assert review.findings()[0].grade == "possible"
    assert doubted <= 10


def test_a_truth_that_all_contradict_is_first_and_says_what_they_say():
    review = review_truth(CLEAR, truths("b" + GIVEN["truth"].str.cat()[1:], policy="hate"))
    first = review.suspects[0]
    assert (first.item_id, first.truth, first.suggested) == ("i0", "b", "a")
    assert (first.ratings, first.against, first.policy) == (3, 3, "hate")
    assert first.probability > 0.9 > 0.1 > review.suspects[1].probability
    assert review.to_frame().iloc[0]["item_id"] == "i0"
    assert review.summary().startswith("1 of 30 truths are more likely wrong than right")
    reached = eval(f"review.{review.findings()[0].path}", {"review": review})
    assert reached == review.findings()[0].estimate


def test_the_auditors_own_rating_is_the_truth_and_counts_against_nobody():
    roles = np.where(CLEAR["rater"] == "r2", "auditor", "rater")
    review = review_truth(CLEAR.assign(role=roles), GIVEN)
    assert (review.reviewed, {one.ratings for one in review.suspects}) == (30, {2})


def test_truths_that_one_person_or_nobody_judged_are_counted_and_not_ranked():
    few = pd.concat([CLEAR, rate("a").assign(item_id="x")])
    review = review_truth(few, pd.concat([GIVEN, truths("ab").assign(item_id=["x", "nobody"])]))
    assert (review.reviewed, review.alone, review.unrated) == (30, 1, 1)
    alone = review_truth(CLEAR[CLEAR["rater"] == "r0"], GIVEN)
    assert (alone.reviewed, alone.alone, alone.suspects, alone.findings()) == (0, 30, (), ())
    assert (
        alone.summary() == "No truth could be reviewed: 30 items were judged by one person at most beside the auditor."
    )


def test_where_no_truth_is_of_a_rated_item_that_is_said():
    assert "30" in review_truth(CLEAR, GIVEN.assign(item_id="x" + GIVEN["item_id"])).summary()


def test_an_item_with_two_truths_has_both_reviewed():
    review = review_truth(CLEAR, pd.concat([GIVEN, truths("b")]))
    both = {one.truth: one.probability for one in review.suspects if one.item_id == "i0"}
    assert review.reviewed == 31 and both["b"] > 0.5 > both["a"]


@pytest.mark.parametrize("ratings", [rate(*["aaa"] * 30), rate(*["=<$"] * 30), CLEAR, CLEAR.assign(label=1)])
@pytest.mark.parametrize("truth", [truths("a" * 30), truths("=" * 30), truths("xyz" * 10), truths("a").head(0)])
def test_labels_without_variation_or_off_the_scale_are_answered(ratings, truth):
    review, found = review_truth(ratings, truth), infer_truth(ratings)
    assert review.reviewed == len(truth)
    assert all(0 <= one.probability <= 1 for one in review.suspects)
    assert np.isfinite(found.to_frame()["probability"]).all()
    assert review.summary() and found.summary() and found.findings()[0].grade == "likely"


@pytest.mark.parametrize(
    ("ratings", "truth", "problem"),
    [
        (CLEAR.drop(columns="rater"), GIVEN, "no column 'rater'"),
        (CLEAR, GIVEN.drop(columns="truth"), "no column 'truth'"),
        (CLEAR, GIVEN.drop(columns="item_id"), "no column 'item_id'"),
        (pd.concat([CLEAR, rate("b")]), GIVEN, "judged an item twice"),
        (CLEAR.assign(item_id=CLEAR["item_id"].where(CLEAR.index > 0)), GIVEN, "item_id is missing"),
        (CLEAR.assign(rater=CLEAR["rater"].where(CLEAR.index > 0)), GIVEN, "rater is missing"),
        (CLEAR.head(0), GIVEN, "there are no ratings"),
    ],
)
def test_bad_input_is_named(ratings, truth, problem):
    with pytest.raises(DataError, match=problem) as caught:
        review_truth(ratings, truth)
    assert "Mend:" in str(caught.value)


def test_the_mean_of_chances_is_the_binomials_where_all_is_sure_and_wide_where_nothing_is_there():
    # 50 of 100, Wilson: centre .5, half 1.96 / (1 + 1.96² / 100) · √(.25 / 100 + 1.96² / 40,000) = .0962
    found = mean_chance(np.repeat([0.0, 1.0], 50))
    assert (found.low, found.high) == pytest.approx((0.4038, 0.5962), abs=5e-5)
    assert (mean_chance(np.array([])).low, mean_chance(np.array([])).high) == (0, 1)


@pytest.mark.parametrize(("share", "items"), [(0.01, 100), (0.05, 20)])
def test_the_mean_of_sure_chances_covers_where_wrong_truths_are_rare(share, items):
    many = np.arange(items + 1)
    ends = [mean_chance((np.arange(items) < one).astype(float)) for one in many]
    held = [one.low <= share <= one.high for one in ends]
    assert stats.binom.pmf(many, items, share)[held].sum() > 0.9
