"""Truth inference: right labels, honest chances, raters told apart, split items found."""

import numpy as np
import pytest

from rca_lib.stats.truths import Judgements, infer_truths


def draw_confusion(rng, raters, labels, mean, firm):
    """A rater's accuracy from a beta distribution; errors go to near labels, half by the rater's own taste."""
    right = rng.beta(mean * firm, (1 - mean) * firm, raters)
    near = np.exp(-np.abs(np.subtract.outer(np.arange(labels), np.arange(labels)))) * (1 - np.eye(labels))
    own = rng.dirichlet(np.ones(labels), (raters, labels)) * (1 - np.eye(labels))
    wrong = 0.5 * near / near.sum(1, keepdims=True) + 0.5 * own / own.sum(2, keepdims=True)
    confusion = wrong * (1 - right)[:, None, None]
    confusion[:, np.arange(labels), np.arange(labels)] = right[:, None]
    return confusion


def draw(seed, *, items=4000, per_item=5, raters=400, labels=4, mean=0.75, firm=4.0):
    """Judgements, the truth, and the raters' confusion."""
    rng = np.random.default_rng(seed)
    truth, confusion = rng.integers(0, labels, items), draw_confusion(rng, raters, labels, mean, firm)
    who = np.argsort(rng.random((items, raters)), axis=1)[:, :per_item]
    who.sort(axis=1)
    chance = confusion[who, truth[:, None]].cumsum(2)
    given = (rng.random((items, per_item))[:, :, None] > chance[:, :, :-1]).sum(2)
    item = np.repeat(np.arange(items), per_item)
    sizes, alike = (items, raters, labels), (np.zeros(raters, int), np.zeros(items, int))
    return Judgements(item, who.ravel(), given.ravel(), sizes, *alike), truth, confusion


def majority(judgements):
    votes = np.zeros(judgements.sizes[::2])
    np.add.at(votes, (judgements.items, judgements.labels), 1)
    return votes.argmax(1)


def best_possible(judgements, confusion):
    """The labels that the true confusion makes likeliest, as prevalences are even."""
    likely = np.zeros(judgements.sizes[::2])
    np.add.at(likely, judgements.items, np.log(confusion[judgements.raters, :, judgements.labels] + 1e-12))
    return likely.argmax(1)


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_found_nearly_as_often_as_the_true_confusion_lets(seed):
    judgements, truth, confusion = draw(seed)
    found = infer_truths(judgements)
    right = (found.chances.argmax(1) == truth).mean()
    ceiling = (best_possible(judgements, confusion) == truth).mean()
    usual = (majority(judgements) == truth).mean()
    assert ceiling - right < 0.015
    assert right > usual + 0.6 * (ceiling - usual)


@pytest.mark.parametrize("raters", [40, 400, 1600])  # 500, 50 and 12 ratings each
def test_chances_are_as_often_right_as_they_say(raters):
    judgements, truth, _ = draw(5, raters=raters)
    chances = infer_truths(judgements).chances
    right, sure = chances.argmax(1) == truth, chances.max(1)
    assert sure.mean() == pytest.approx(right.mean(), abs=0.012)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = (sure >= low) & (sure < high)
        assert sure[inside].mean() == pytest.approx(right[inside].mean(), abs=0.06)


def test_raters_are_told_apart():
    judgements, _, confusion = draw(7, raters=60)
    found = infer_truths(judgements)
    true, told = (np.einsum("rkk->rk", one).mean(1) for one in (confusion, found.confusion))
    assert np.corrcoef(true, told)[0, 1] > 0.97
    assert np.abs(true - told).mean() < 0.03
    assert found.confusion.sum(2) == pytest.approx(np.ones(found.confusion.shape[:2]))
    assert (found.chances.sum(1) + found.splits.sum(1)) == pytest.approx(np.ones(len(found.chances)))


def test_ratings_that_err_alike_count_less_each():
    # On a third of the items all raters see the same wrong thing half of the time.
    rng = np.random.default_rng(3)
    hard = rng.random(3000) < 0.33
    truth, trap = rng.integers(0, 3, 3000), rng.integers(1, 3, 3000)
    fooled = (rng.random((3000, 6)) < np.where(hard, 0.5, 0.05)[:, None]) * trap[:, None]
    labels = (truth[:, None] + fooled) % 3
    item, who = np.indices(labels.shape)
    alike = np.zeros(6, int), np.zeros(3000, int)
    found = infer_truths(Judgements(item.ravel(), who.ravel(), labels.ravel(), (3000, 6, 3), *alike))
    independent = infer_truths(draw(3, raters=60)[0])
    assert found.temper < 0.8
    assert independent.temper >= 0.9


def split_some(seed, *, share=0.3, items=3000, per_item=3):
    """Two kinds of items; of the second, labels 0 and 1 are a toss of a coin on a share of those that are either."""
    judgements, truth, _ = draw(seed, items=items, per_item=per_item, raters=60, mean=0.85, firm=10.0)
    rng = np.random.default_rng(seed + 1000)
    kinds = rng.integers(0, 2, items)
    tossed = (kinds == 1) & (truth < 2) & (rng.random(items) < share)
    coin = rng.integers(0, 2, len(judgements.items))
    labels = np.where(tossed[judgements.items], coin, judgements.labels)
    return Judgements(*judgements.__getstate__()[:2], labels, judgements.sizes, judgements.groups, kinds), tossed


@pytest.mark.parametrize("seed", range(3))
def test_items_that_are_split_are_found_where_they_are_and_nowhere_else(seed):
    judgements, tossed = split_some(seed, per_item=4)
    found = infer_truths(judgements, split=True)
    place = found.pairs.index((0, 1))
    kind = judgements.kinds == 1
    assert found.splits[kind, place].sum() == pytest.approx(tossed.sum(), rel=0.2)
    assert found.splits[~kind].sum() < 5
    assert np.delete(found.splits, place, axis=1).sum() < 5


def test_nothing_is_split_where_nothing_is():
    assert sum(infer_truths(split_some(seed, share=0.0)[0], split=True).splits.sum() > 1 for seed in range(6)) <= 1


def test_it_is_the_same_whatever_raters_and_items_are_called():
    judgements, _, _ = draw(9, items=500)
    first = infer_truths(judgements)
    item, who, label, (items, raters, _), *_ = judgements.__getstate__()
    item, who = items - 1 - item, raters - 1 - who
    order = np.lexsort((who, item))
    turned = Judgements(item[order], who[order], label[order], judgements.sizes, judgements.groups, judgements.kinds)
    assert infer_truths(turned).chances[::-1] == pytest.approx(first.chances, abs=1e-6)


@pytest.mark.parametrize(("items", "labels"), [([0, 0, 1, 1], [0, 0, 0, 0]), ([0], [0]), ([0, 1, 2], [0, 1, 0])])
def test_one_label_only_or_one_rating_each_is_answered(items, labels):
    size = (max(items) + 1, len(items), max(labels) + 1)
    kinds, raters = np.zeros(size[0], int), np.arange(len(items))
    judgements = Judgements(np.array(items), raters, np.array(labels), size, np.zeros(len(raters), int), kinds)
    for split in (False, True):
        found = infer_truths(judgements, split=split)
        assert np.isfinite(found.chances).all()
        assert found.chances.argmax(1)[0] == 0
