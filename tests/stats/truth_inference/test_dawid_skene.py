"""Truth inference: correct labels, calibrated probabilities, raters told apart, split items detected."""

from dataclasses import replace

import numpy as np
import pytest

from rca_lib.stats.truth_inference.coded_ratings import CodedRatings
from rca_lib.stats.truth_inference.dawid_skene import fit_dawid_skene


def draw_confusion(rng, raters, labels, mean, prior_size):
    """Draw accuracies from a beta distribution; errors go to near labels, half by the rater's own preference."""
    accuracy = rng.beta(mean * prior_size, (1 - mean) * prior_size, raters)
    distance = np.abs(np.subtract.outer(np.arange(labels), np.arange(labels)))
    near = np.exp(-distance) * (1 - np.eye(labels))
    preference = rng.dirichlet(np.ones(labels), (raters, labels)) * (1 - np.eye(labels))
    error_shares = 0.5 * near / near.sum(1, keepdims=True) + 0.5 * preference / preference.sum(2, keepdims=True)
    confusion = error_shares * (1 - accuracy)[:, None, None]
    confusion[:, np.arange(labels), np.arange(labels)] = accuracy[:, None]
    return confusion


def draw_ratings(seed, *, items=4000, per_item=5, raters=400, labels=4, mean=0.75, prior_size=4.0):
    """Draw ratings; return them with the truth and the raters' confusion matrices."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, items)
    confusion = draw_confusion(rng, raters, labels, mean, prior_size)
    assigned = np.argsort(rng.random((items, raters)), axis=1)[:, :per_item]
    assigned.sort(axis=1)
    cumulative = confusion[assigned, truth[:, None]].cumsum(2)
    given = (rng.random((items, per_item))[:, :, None] > cumulative[:, :, :-1]).sum(2)
    item_codes = np.repeat(np.arange(items), per_item)
    sizes = (items, raters, labels)
    rater_groups, item_classes = np.zeros(raters, int), np.zeros(items, int)
    ratings = CodedRatings(item_codes, assigned.ravel(), given.ravel(), sizes, rater_groups, item_classes)
    return ratings, truth, confusion


def majority(ratings):
    votes = np.zeros(ratings.sizes[::2])
    np.add.at(votes, (ratings.items, ratings.labels), 1)
    return votes.argmax(1)


def best_possible(ratings, confusion):
    """Return the most probable labels under the true confusion matrices, as all labels are equally frequent."""
    log_likelihood = np.zeros(ratings.sizes[::2])
    np.add.at(log_likelihood, ratings.items, np.log(confusion[ratings.raters, :, ratings.labels] + 1e-12))
    return log_likelihood.argmax(1)


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_is_close_to_that_with_known_confusion_matrices(seed):
    ratings, truth, confusion = draw_ratings(seed)
    fit = fit_dawid_skene(ratings)
    accuracy = (fit.label_probabilities.argmax(1) == truth).mean()
    ceiling = (best_possible(ratings, confusion) == truth).mean()
    majority_accuracy = (majority(ratings) == truth).mean()
    assert ceiling - accuracy < 0.015
    assert accuracy > majority_accuracy + 0.6 * (ceiling - majority_accuracy)


@pytest.mark.parametrize("raters", [40, 400, 1600])  # 500, 50 and 12 ratings each
def test_probabilities_are_calibrated(raters):
    ratings, truth, _ = draw_ratings(5, raters=raters)
    probabilities = fit_dawid_skene(ratings).label_probabilities
    correct = probabilities.argmax(1) == truth
    confidence = probabilities.max(1)
    assert confidence.mean() == pytest.approx(correct.mean(), abs=0.012)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        in_bin = (confidence >= low) & (confidence < high)
        assert confidence[in_bin].mean() == pytest.approx(correct[in_bin].mean(), abs=0.06)


def test_estimated_accuracies_of_raters_agree_with_the_true_ones():
    ratings, _, confusion = draw_ratings(7, raters=60)
    fit = fit_dawid_skene(ratings)
    true_accuracy, estimated_accuracy = (np.einsum("rkk->rk", matrix).mean(1) for matrix in (confusion, fit.confusion))
    assert np.corrcoef(true_accuracy, estimated_accuracy)[0, 1] > 0.97
    assert np.abs(true_accuracy - estimated_accuracy).mean() < 0.03
    assert fit.confusion.sum(2) == pytest.approx(np.ones(fit.confusion.shape[:2]))
    row_sums = fit.label_probabilities.sum(1) + fit.split_probabilities.sum(1)
    assert row_sums == pytest.approx(np.ones(len(row_sums)))


def test_ratings_with_common_errors_count_less_each():
    # On a third of the items all raters see the same wrong label half of the time.
    rng = np.random.default_rng(3)
    hard = rng.random(3000) < 0.33
    truth, trap = rng.integers(0, 3, 3000), rng.integers(1, 3, 3000)
    fooled = (rng.random((3000, 6)) < np.where(hard, 0.5, 0.05)[:, None]) * trap[:, None]
    labels = (truth[:, None] + fooled) % 3
    items, raters = np.indices(labels.shape)
    rater_groups, item_classes = np.zeros(6, int), np.zeros(3000, int)
    sizes = (3000, 6, 3)
    dependent = CodedRatings(items.ravel(), raters.ravel(), labels.ravel(), sizes, rater_groups, item_classes)
    assert fit_dawid_skene(dependent).tempering < 0.8
    assert fit_dawid_skene(draw_ratings(3, raters=60)[0]).tempering >= 0.9


def draw_split_ratings(seed, *, share=0.3, items=3000, per_item=3):
    """Draw two classes of items; in the second, a share of the items with truth 0 or 1 are split between the two."""
    ratings, truth, _ = draw_ratings(seed, items=items, per_item=per_item, raters=60, mean=0.85, prior_size=10.0)
    rng = np.random.default_rng(seed + 1000)
    item_classes = rng.integers(0, 2, items)
    is_split = (item_classes == 1) & (truth < 2) & (rng.random(items) < share)
    coin = rng.integers(0, 2, len(ratings.items))
    labels = np.where(is_split[ratings.items], coin, ratings.labels)
    return replace(ratings, labels=labels, item_classes=item_classes), is_split


@pytest.mark.parametrize("seed", range(3))
def test_split_items_are_found_in_their_class_and_pair_only(seed):
    ratings, is_split = draw_split_ratings(seed, per_item=4)
    fit = fit_dawid_skene(ratings, allow_splits=True)
    column = fit.pairs.index((0, 1))
    second_class = ratings.item_classes == 1
    assert fit.split_probabilities[second_class, column].sum() == pytest.approx(is_split.sum(), rel=0.2)
    assert fit.split_probabilities[~second_class].sum() < 5
    assert np.delete(fit.split_probabilities, column, axis=1).sum() < 5


def test_no_split_is_found_where_there_is_none():
    fits = [fit_dawid_skene(draw_split_ratings(seed, share=0.0)[0], allow_splits=True) for seed in range(6)]
    assert sum(fit.split_probabilities.sum() > 1 for fit in fits) <= 1


def test_order_of_raters_and_items_does_not_matter():
    ratings, _, _ = draw_ratings(9, items=500)
    n_items, n_raters, _ = ratings.sizes
    items, raters = n_items - 1 - ratings.items, n_raters - 1 - ratings.raters
    order = np.lexsort((raters, items))
    reversed_ratings = replace(ratings, items=items[order], raters=raters[order], labels=ratings.labels[order])
    probabilities = fit_dawid_skene(ratings).label_probabilities
    assert fit_dawid_skene(reversed_ratings).label_probabilities[::-1] == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.parametrize("allow_splits", [False, True])
@pytest.mark.parametrize(("items", "labels"), [([0, 0, 1, 1], [0, 0, 0, 0]), ([0], [0]), ([0, 1, 2], [0, 1, 0])])
def test_a_single_label_and_single_ratings_have_a_result(items, labels, allow_splits):
    sizes = (max(items) + 1, len(items), max(labels) + 1)
    raters = np.arange(len(items))
    rater_groups, item_classes = np.zeros(len(raters), int), np.zeros(sizes[0], int)
    ratings = CodedRatings(np.array(items), raters, np.array(labels), sizes, rater_groups, item_classes)
    fit = fit_dawid_skene(ratings, allow_splits=allow_splits)
    assert np.isfinite(fit.label_probabilities).all()
    assert fit.label_probabilities.argmax(1)[0] == 0
