"""Truth inference and truth review: labels, calibrated probabilities, flipped truths, and accuracy of raters."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rca_lib.findings import DataError
from rca_lib.questions.truth_inference import infer_truth
from rca_lib.questions.truth_review import review_truth
from rca_lib.stats.proportions import estimate_mean_probability

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
    raters = [f"r{number:03}" for number in who.ravel()]
    ratings = pd.DataFrame({"item_id": np.repeat(names, per_item), "rater": raters})
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


def test_the_anaesthetists_patients_get_the_classes_of_dawid_and_skene():
    # The likeliest classes by maximum likelihood, computed anew (with their printed shares .40, .42, .11 and .07). Of
    # classes 3 and 4 there are eight patients, too few for shrunk raters: four of these may differ.
    likeliest = list("142222132243121111222222112111131224233111212")
    inference = infer_truth(rate(*PATIENTS.split())).to_frame()
    inference = inference.assign(number=inference["item_id"].str[1:].astype(int)).sort_values("number")
    differ = inference["label"].to_numpy() != likeliest
    assert differ.sum() <= 4
    assert set(np.array(likeliest)[differ]) <= {"3", "4"}


@pytest.mark.parametrize("seed", range(3))
def test_inference_beats_the_majority_vote_and_states_its_accuracy(seed):
    ratings, _, truth, _ = draw(seed)
    inference = infer_truth(ratings)
    votes = ratings.groupby("item_id")["label"].agg(lambda labels: labels.mode().iloc[0]).to_numpy()
    right = (inference.to_frame()["label"] == truth).mean()
    assert right > (votes == truth).mean() + 0.02
    assert inference.expected_accuracy == pytest.approx(right, abs=0.02)  # three standard errors of 2,000 items


def test_probabilities_are_calibrated():
    frames = [infer_truth(sample[0]).to_frame().assign(truth=sample[2]) for sample in map(draw, range(10, 13))]
    frame = pd.concat(frames)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = frame[frame["probability"].between(low, high, inclusive="left")]
        right = (inside["label"] == inside["truth"]).mean()
        assert inside["probability"].mean() == pytest.approx(right, abs=0.05)


def test_every_item_gets_the_most_probable_and_the_second_label():
    frame = infer_truth(rate("aab", "bbb", "b..")).to_frame()
    assert frame.columns.tolist() == ["item_id", "label", "probability", "second_label", "ratings"]
    assert frame[["item_id", "label", "second_label", "ratings"]].to_numpy().tolist() == [
        ["i0", "a", "b", 3],
        ["i1", "b", "a", 3],
        ["i2", "b", "a", 1],
    ]
    assert frame["probability"].between(0.5, 1).all()


def test_the_accuracy_of_raters_is_recovered():
    ratings, _, _, accuracy = draw(2, raters=40)
    accuracies = infer_truth(ratings).rater_frame().sort_values("rater")
    assert np.corrcoef(accuracies["accuracy"], accuracy)[0, 1] > 0.95
    assert (accuracies["ratings"] == ratings.groupby("rater").size().to_numpy()).all()


def test_the_intervals_cover_the_accuracy_of_raters():
    covered = []
    for seed in range(5):
        ratings, _, _, accuracy = draw(seed, raters=40, mean=0.85, firm=10)
        accuracies = infer_truth(ratings).rater_frame().sort_values("rater")
        covered += ((accuracies["low"] <= accuracy) & (accuracy <= accuracies["high"])).tolist()
    assert sum(covered) >= 178  # of 200; 190 expected, 178 allows for truths inferred: below has a probability of .0002


def test_the_most_frequent_confusion_of_a_rater_is_reported():
    # r2 says b in half of the items that are a, and is right of those that are b
    inference = infer_truth(rate(*["aaa", "aab", "bbb", "bbb"] * 20))
    worst = inference.rater_frame().iloc[2]
    assert (worst["rater"], worst["most_confused_truth"], worst["most_confused_label"]) == ("r2", "a", "b")
    assert worst["accuracy"] == pytest.approx(0.75, abs=0.05)


def test_a_single_rating_is_as_accurate_as_its_rater():
    frame = pd.concat([draw(4, raters=20)[0], pd.DataFrame({"item_id": ["zz"], "rater": ["r003"], "label": ["ad"]})])
    inference = infer_truth(frame)
    usual = inference.rater_frame().set_index("rater").loc["r003", "accuracy"]
    assert inference.to_frame().iloc[-1]["probability"] == pytest.approx(usual, abs=0.15)
    assert (inference.rated_once, "1 item was judged once" in inference.summary()) == (1, True)


def test_row_order_and_engine_do_not_change_the_result():
    ratings, stated, _, _ = draw(5, items=400, raters=20)
    inference, review = infer_truth(ratings), review_truth(ratings, stated)
    for shuffled in (ratings.sample(frac=1, random_state=1), duckdb.from_df(ratings.sample(frac=1, random_state=2))):
        repeated = infer_truth(shuffled)
        pd.testing.assert_frame_equal(repeated.to_frame(), inference.to_frame())
        assert repeated.rater_accuracy == inference.rater_accuracy
        assert review_truth(shuffled, stated.sample(frac=1, random_state=3)) == review
    assert review_truth(ratings, duckdb.from_df(stated)) == review


@pytest.mark.parametrize(("per_item", "seed"), [(3, 0), (3, 1), (4, 2), (4, 3), (5, 4), (5, 5)])
def test_flipped_truths_are_ranked_first(per_item, seed):
    ratings, stated, truth, _ = draw(seed, items=3000, per_item=per_item)
    wrong = set(stated["item_id"][stated["truth"] != truth])
    review = review_truth(ratings, stated)
    first = {suspect.item_id for suspect in review.suspects[: 2 * len(wrong)]}
    assert len(first & wrong) >= 0.75 * len(wrong)
    right = dict(zip(stated["item_id"], truth, strict=True))
    flipped = [suspect for suspect in review.suspects[: len(wrong)] if suspect.item_id in wrong]
    matches = [right[suspect.item_id] == suspect.suggested_label for suspect in flipped]
    assert np.mean(matches) > 0.8


def test_the_interval_covers_the_share_of_wrong_truths():
    covered = 0
    for seed in range(20):
        ratings, stated, truth, _ = draw(100 + seed, items=1000, raters=30, mean=0.8, flipped=0.05)
        share = review_truth(ratings, stated).share
        covered += share.low <= (stated["truth"] != truth).mean() <= share.high
    assert covered >= 16  # 19 expected; fewer than 16 has a probability of .003


def test_hardly_any_truth_is_suspected_where_none_is_wrong():
    # Of 10 x 500 right truths, hardly any has a probability above one half of being wrong.
    doubted = 0
    for seed in range(10):
        ratings, stated, _, _ = draw(200 + seed, items=500, raters=25, per_item=5, mean=0.9, firm=20, flipped=0)
        review = review_truth(ratings, stated)
        doubted += sum(suspect.probability > 0.5 for suspect in review.suspects)
        assert review.findings()[0].grade == "possible"
    assert doubted <= 10


def test_a_truth_that_all_contradict_is_first_with_their_label():
    review = review_truth(CLEAR, truths("b" + GIVEN["truth"].str.cat()[1:], policy="hate"))
    first = review.suspects[0]
    assert (first.item_id, first.truth, first.suggested_label) == ("i0", "b", "a")
    assert (first.ratings, first.dissenting, first.policy) == (3, 3, "hate")
    assert first.probability > 0.9 > 0.1 > review.suspects[1].probability
    assert review.to_frame().iloc[0]["item_id"] == "i0"
    assert review.summary().startswith("1 of 30 truths are probably wrong")
    reached = eval(f"review.{review.findings()[0].path}", {"review": review})
    assert reached == review.findings()[0].estimate


def test_the_rating_of_the_auditor_is_not_counted_beside_the_truth():
    roles = np.where(CLEAR["rater"] == "r2", "auditor", "rater")
    review = review_truth(CLEAR.assign(role=roles), GIVEN)
    assert (review.reviewed, {suspect.ratings for suspect in review.suspects}) == (30, {2})


def test_truths_with_too_few_ratings_are_counted_and_not_ranked():
    few = pd.concat([CLEAR, rate("a").assign(item_id="x")])
    review = review_truth(few, pd.concat([GIVEN, truths("ab").assign(item_id=["x", "nobody"])]))
    assert (review.reviewed, review.not_reviewable, review.truths_without_ratings) == (30, 1, 1)
    single = review_truth(CLEAR[CLEAR["rater"] == "r0"], GIVEN)
    assert (single.reviewed, single.not_reviewable, single.suspects, single.findings()) == (0, 30, (), ())
    assert (
        single.summary() == "No truth could be reviewed: 30 items were judged by at most one person beside the auditor."
    )


def test_truths_of_unrated_items_are_reported():
    assert "30" in review_truth(CLEAR, GIVEN.assign(item_id="x" + GIVEN["item_id"])).summary()


def test_an_item_with_two_truths_has_both_reviewed():
    review = review_truth(CLEAR, pd.concat([GIVEN, truths("b")]))
    both = {suspect.truth: suspect.probability for suspect in review.suspects if suspect.item_id == "i0"}
    assert review.reviewed == 31 and both["b"] > 0.5 > both["a"]


@pytest.mark.parametrize("ratings", [rate(*["aaa"] * 30), rate(*["=<$"] * 30), CLEAR, CLEAR.assign(label=1)])
@pytest.mark.parametrize("truth", [truths("a" * 30), truths("=" * 30), truths("xyz" * 10), truths("a").head(0)])
def test_constant_and_unknown_labels_give_a_result(ratings, truth):
    review, inference = review_truth(ratings, truth), infer_truth(ratings)
    assert review.reviewed == len(truth)
    assert all(0 <= suspect.probability <= 1 for suspect in review.suspects)
    assert np.isfinite(inference.to_frame()["probability"]).all()
    assert review.summary() and inference.summary() and inference.findings()[0].grade == "likely"


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
def test_invalid_input_is_reported(ratings, truth, problem):
    with pytest.raises(DataError, match=problem) as caught:
        review_truth(ratings, truth)
    assert "Hint:" in str(caught.value)


def test_the_mean_probability_is_binomial_for_sure_items_and_wide_without_items():
    # 50 of 100, Wilson: centre .5, half 1.96 / (1 + 1.96² / 100) · √(.25 / 100 + 1.96² / 40,000) = .0962
    inference = estimate_mean_probability(np.repeat([0.0, 1.0], 50))
    assert (inference.low, inference.high) == pytest.approx((0.4038, 0.5962), abs=5e-5)
    assert (estimate_mean_probability(np.array([])).low, estimate_mean_probability(np.array([])).high) == (0, 1)


@pytest.mark.parametrize(("share", "items"), [(0.01, 100), (0.05, 20)])
def test_the_interval_of_the_mean_probability_covers_rare_wrong_truths(share, items):
    counts = np.arange(items + 1)
    estimates = [estimate_mean_probability((np.arange(items) < count).astype(float)) for count in counts]
    covered = [estimate.low <= share <= estimate.high for estimate in estimates]
    assert stats.binom.pmf(counts, items, share)[covered].sum() > 0.9
