"""Error attribution: planted sources are told apart, ambiguous policies are named, and single ratings stay open."""

import duckdb
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.questions.error_attribution import ERROR_SOURCES, attribute_errors
from rca_lib.reporting.display import save_table, show_figure
from rca_lib.reporting.plots.error_attribution import plot_error_attribution

LABELS, POLICIES = np.array(["ad", "benign", "hate", "spam"]), 8


def near(labels):
    """Which label is taken for which: the nearer the likelier."""
    shares = np.exp(-1.2 * np.abs(np.subtract.outer(np.arange(labels), np.arange(labels)))) * (1 - np.eye(labels))
    return shares / shares.sum(1, keepdims=True)


def pick(rng, chances):
    return (rng.random(len(chances))[:, None] > chances.cumsum(1)[:, :-1]).sum(1)


def simulate_disputes(seed, *, per_item=2, items=2000, raters=75, unclear=4, toss=0.3, slip=0.045):
    """Ratings, the truth given, what each item's dispute would be, and the policies with the pair they are unclear on.

    In `unclear` policies a share `toss` of the items of either label of a pair is a toss of a coin to everybody; of the
    others the truth is wrong with probability `slip`, and raters err as often as each of them does.
    """
    rng, size = np.random.default_rng(seed), len(LABELS)
    accuracy = rng.beta(0.8 * 6, 0.2 * 6, raters)
    own = rng.dirichlet(np.ones(size), (raters, size)) * (1 - np.eye(size))
    wrong = 0.6 * near(size) + 0.4 * own / own.sum(2, keepdims=True)
    confusion = wrong * (1 - accuracy)[:, None, None] + np.eye(size) * accuracy[:, None, None]
    policy = rng.integers(0, POLICIES, items)
    right = pick(rng, rng.dirichlet(np.full(size, 4.0), POLICIES)[policy])
    pairs = {number: np.sort(rng.choice(size, 2, replace=False)) for number in rng.permutation(POLICIES)[:unclear]}
    pair = np.array([pairs.get(number, (-1, -1)) for number in policy])
    tossed = (pair == right[:, None]).any(1) & (rng.random(items) < toss)
    slipped = ~tossed & (rng.random(items) < slip)
    given = np.where(slipped, pick(rng, near(size)[right]), right)
    given = np.where(tossed, pair[np.arange(items), rng.integers(0, 2, items)], given)
    who = np.argsort(rng.random((items, raters)), axis=1)[:, :per_item].ravel()
    item = np.repeat(np.arange(items), per_item)
    label = pick(rng, confusion[who, right[item]])
    label = np.where(tossed[item], pair[item, rng.integers(0, 2, len(item))], label)
    names = np.array([f"i{number:05}" for number in range(items)])
    rater = [f"r{number:03}" for number in who]
    ratings = pd.DataFrame({"item_id": names[item], "rater": rater, "label": LABELS[label]})
    truth = pd.DataFrame({"item_id": names, "truth": LABELS[given], "policy": [f"p{number}" for number in policy]})
    cause = dict(
        zip(
            names,
            np.where(tossed, ERROR_SOURCES[1], np.where(slipped, ERROR_SOURCES[2], ERROR_SOURCES[0])),
            strict=True,
        )
    )
    return ratings, truth, cause, {(f"p{number}", *LABELS[pair]) for number, pair in pairs.items()}


def f1(attribution, cause):
    """Macro-F1 over the probabilities sources."""
    pairs = pd.DataFrame([(cause[item.item_id], item.cause) for item in attribution.attributions])
    scores = []
    for source in ERROR_SOURCES:
        is_source = (pairs == source).to_numpy()
        scores.append(2 * is_source.all(axis=1).sum() / is_source.sum())
    return float(np.mean(scores))


def rate(*rows, **columns):
    """Ratings from strings, one per item, a letter per rater; a dot is no rating."""
    cells = [(f"i{item:02}", f"r{rater}", label) for item, row in enumerate(rows) for rater, label in enumerate(row)]
    frame = pd.DataFrame([cell for cell in cells if cell[2] != "."], columns=["item_id", "rater", "label"])
    return frame.assign(**columns)


def truths(letters, **columns):
    frame = pd.DataFrame({"item_id": [f"i{item:02}" for item in range(len(letters))], "truth": list(letters)})
    return frame.assign(**columns)


CLEAR, GIVEN = rate(*["aaa", "bbb"] * 20), truths("ab" * 20)


@pytest.mark.parametrize(("per_item", "least"), [(2, 0.75), (3, 0.83)])
def test_planted_sources_are_told_apart(per_item, least):
    scores = []
    for seed in range(4):
        ratings, truth, cause, _ = simulate_disputes(seed, per_item=per_item)
        scores.append(f1(attribute_errors(ratings, truth), cause))
    assert np.mean(scores) >= least
    assert min(scores) >= least - 0.06


@pytest.mark.parametrize("seed", range(3))
def test_ambiguous_policies_and_labels_are_named(seed):
    ratings, truth, _, pairs = simulate_disputes(20 + seed, per_item=3, items=4000, raters=150)
    attribution = attribute_errors(ratings, truth)
    named_pairs = {(pair.policy, pair.first_label, pair.second_label) for pair in attribution.ambiguities}
    assert named_pairs >= pairs and len(named_pairs) <= len(pairs) + 1
    frame = attribution.ambiguity_frame()
    assert frame["items"].is_monotonic_decreasing
    assert ((frame["low"] < frame["share"]) & (frame["share"] < frame["high"])).all()


@pytest.mark.parametrize("per_item", [2, 3])
def test_the_intervals_cover_the_planted_shares(per_item):
    covered = dict.fromkeys(ERROR_SOURCES, 0)
    for seed in range(12):
        ratings, truth, cause, _ = simulate_disputes(50 + seed, per_item=per_item, items=1200, raters=45)
        attribution = attribute_errors(ratings, truth)
        planted = pd.Series([cause[item.item_id] for item in attribution.attributions])
        for name, share in attribution.shares:
            covered[name] += share.low <= (planted == name).mean() <= share.high
    assert min(covered.values()) >= 9  # 11.4 of 12 expected each; fewer than 9 has a probability of .002


def test_hardly_any_policy_is_ambiguous_where_none_is():
    # A pair must be e^6 times as many times likelier split as there are pairs: 3 alarms in 60 when it was written.
    alarms = 0
    for seed in range(8):
        ratings, truth, _, _ = simulate_disputes(80 + seed, per_item=2 + seed % 2, items=1500, raters=60, unclear=0)
        alarms += bool(attribute_errors(ratings, truth).ambiguities)
    assert alarms <= 2  # at one in twenty more than 2 of 8 has a probability of .006


def test_errors_of_one_rater_are_attributed_to_the_rater():
    attribution = attribute_errors(rate(*["aab", "aaa", "bbb", "bbb"] * 10), truths("aabb" * 10))
    assert {item.cause for item in attribution.attributions} == {"rater error"}
    assert (attribution.disputed, attribution.excluded, len(attribution.agenda_frame())) == (10, (), 0)
    assert {(item.suggested_label, item.ratings, item.dissenting) for item in attribution.attributions} == {("a", 3, 1)}


def test_a_truth_that_all_contradict_is_a_wrong_truth_with_a_question():
    attribution = attribute_errors(CLEAR, truths("b" + "b" + "ab" * 19, policy="hate"))
    (item,) = attribution.attributions
    assert (item.cause, item.suggested_label, item.policy) == ("wrong truth", "a", "hate")
    assert attribution.excluded == ("i00",)
    assert attribution.agenda_frame()["question"].tolist() == ["Is it b or a? 3 of 3 ratings differ from the truth."]


def test_the_three_probabilities_add_up_and_the_cause_is_the_most_probable():
    ratings, truth, _, _ = simulate_disputes(3)
    attribution = attribute_errors(ratings, truth)
    probabilities = attribution.to_frame()[["rater_error", "ambiguous_policy", "wrong_truth"]].to_numpy()
    assert probabilities.sum(1) == pytest.approx(np.ones(len(probabilities)), abs=1e-9)
    assert [ERROR_SOURCES[source] for source in probabilities.argmax(1)] == attribution.to_frame()["cause"].tolist()
    # The mean probability is the share, and items that count against no rater are excluded.
    assert probabilities.mean(0) == pytest.approx([share.value for _, share in attribution.shares], abs=1e-9)
    assert len(attribution.excluded) == (probabilities.argmax(1) > 0).sum()


def test_the_agenda_has_wrong_truths_first_the_most_certain_first():
    ratings, truth, _, _ = simulate_disputes(1)
    agenda = attribute_errors(ratings, truth).agenda_frame()
    wrong = agenda["question"].str.startswith("Is it")
    assert 0 < wrong.sum() < len(agenda)
    assert wrong.is_monotonic_decreasing
    assert agenda["probability"][wrong].is_monotonic_decreasing


def test_the_agenda_has_the_most_certain_ambiguous_policies_first():
    ratings, truth, _, _ = simulate_disputes(1)
    agenda = attribute_errors(ratings, truth).agenda_frame()
    unclear = ~agenda["question"].str.startswith("Is it")
    assert agenda["probability"][unclear].is_monotonic_decreasing


def test_single_ratings_are_not_attributed_but_a_sample_size_is_given():
    ratings, truth, _, _ = simulate_disputes(4, per_item=1)
    attribution = attribute_errors(ratings, truth)
    merged = ratings.merge(truth, on="item_id")
    disputed = int((merged["label"] != merged["truth"]).sum())
    assert (attribution.disputed, attribution.undetermined) == (disputed, disputed)
    assert (attribution.attributions, attribution.shares) == ((), ())
    # Cochran: n = .25 (1.96 / .1)² = 96.04 of very many; of N it is n / (1 + (n − 1) / N)
    assert attribution.required_sample_size == int(np.ceil(96.04 / (1 + 95.04 / disputed)))
    assert f"Let two more people judge {attribution.required_sample_size:,} of them blind" in attribution.summary()
    assert attribution.findings() == () and attribution.agenda_frame().empty and attribution.to_frame().empty


def test_items_with_one_rater_are_counted_as_undetermined():
    attribution = attribute_errors(pd.concat([CLEAR, rate("b").assign(item_id="x")]), truths("a").assign(item_id="x"))
    assert (attribution.disputed, attribution.undetermined, attribution.required_sample_size) == (1, 1, 1)


def test_no_disputes_give_a_summary():
    for truth in (GIVEN, GIVEN.head(0), GIVEN.assign(truth=None)):
        attribution = attribute_errors(CLEAR, truth)
        assert (attribution.disputed, attribution.summary()) == (0, "No item is disputed.")
        assert attribution.findings() == ()


def test_truths_of_unrated_items_are_reported():
    assert attribute_errors(CLEAR, GIVEN.assign(item_id="x" + GIVEN["item_id"])).summary() != "No item is disputed."


def test_the_rating_of_an_auditor_is_not_counted_among_the_raters():
    roles = np.where(CLEAR["rater"] == "r2", "auditor", "rater")
    attribution = attribute_errors(CLEAR.assign(role=roles), truths("b" + "b" + "ab" * 19))
    assert [(item.ratings, item.dissenting) for item in attribution.attributions] == [(2, 2)]


def test_an_item_with_two_truths_is_attributed_for_each():
    attribution = attribute_errors(CLEAR, pd.concat([GIVEN, truths("b")]))
    assert [(item.item_id, item.truth) for item in attribution.attributions] == [("i00", "b")]
    assert attribution.excluded == ("i00",)


def test_row_order_and_engine_do_not_change_the_result():
    ratings, truth, _, _ = simulate_disputes(6, items=800, raters=30)
    expected = attribute_errors(ratings, truth)
    shuffled = ratings.sample(frac=1, random_state=1), truth.sample(frac=1, random_state=2)
    assert attribute_errors(*shuffled) == expected
    assert attribute_errors(*map(duckdb.from_df, shuffled)) == expected


@pytest.mark.parametrize(
    ("ratings", "truth", "problem"),
    [
        (CLEAR.drop(columns="label"), GIVEN, "no column 'label'"),
        (CLEAR, GIVEN.drop(columns="truth"), "no column 'truth'"),
        (CLEAR, GIVEN.drop(columns="item_id"), "no column 'item_id'"),
        (pd.concat([CLEAR, rate("b")]), GIVEN, "judged an item twice"),
        (CLEAR.assign(rater=CLEAR["rater"].where(CLEAR.index > 0)), GIVEN, "rater is missing"),
        (CLEAR.head(0), GIVEN, "there are no ratings"),
    ],
)
def test_invalid_input_is_reported(ratings, truth, problem):
    with pytest.raises(DataError, match=problem) as caught:
        attribute_errors(ratings, truth)
    assert "Hint:" in str(caught.value)


@pytest.mark.parametrize("ratings", [rate(*["aaa"] * 40), rate(*["abc"] * 40), CLEAR, CLEAR.assign(label=1)])
@pytest.mark.parametrize("letters", ["a" * 40, "xyzv" * 10])
def test_constant_and_unknown_labels_give_a_result(ratings, letters):
    attribution = attribute_errors(ratings, truths(letters))
    assert attribution.summary()
    assert all(0 <= share.low <= share.value <= share.high <= 1 for _, share in attribution.shares)


def test_hostile_labels_stay_text_everywhere(tmp_path):
    ratings = CLEAR.assign(label=CLEAR["label"].map({"a": "=1+1", "b": "<script>$\\frac$"}))
    truth = GIVEN.assign(truth="=1+1", policy="=<b>$\\frac$")
    attribution = attribute_errors(ratings, truth)
    assert {item.suggested_label for item in attribution.attributions} == {"<script>$\\frac$"}
    assert "<script>" not in attribution._repr_html_()
    drawn = show_figure(plot_error_attribution, attribution).data["text/plain"]
    assert drawn == " ".join(attribution.summary().split())
    save_table(attribution.agenda_frame(), tmp_path, "agenda")
    assert set(pd.read_csv(tmp_path / "agenda.csv")["truth"]) == {"'=1+1"}


def test_every_path_leads_to_its_estimate_and_the_chart_draws_the_shares():
    ratings, truth, _, _ = simulate_disputes(2, per_item=3)
    attribution = attribute_errors(ratings, truth)
    assert [finding.kind for finding in attribution.findings()[:3]] == list(ERROR_SOURCES)
    for finding in attribution.findings():
        assert eval(f"attribution.{finding.path}", {"attribution": attribution}) == finding.estimate
    ax = plot_error_attribution(attribution)
    assert ax.get_title(loc="left").replace("\n", " ") == attribution.summary()
    assert [bar.get_width() for bar in ax.patches] == [share.value for _, share in attribution.shares]
    assert [text.get_text() for text in ax.get_yticklabels()] == list(ERROR_SOURCES)
    plt.close(ax.figure)
    empty = plot_error_attribution(attribute_errors(CLEAR, GIVEN))
    assert len(empty.patches) == 0
    plt.close(empty.figure)
