"""How unsure a share of items is, where what tells of each item was learned from the same items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rca_lib.findings import Estimate
from rca_lib.stats.rates import wilson
from rca_lib.stats.truths import Array, Codes, Judgements, Truths

HELD = 0.25  # information on each log odds before any rating: few are off by more than a factor of 50


def estimate_shares(
    judgements: Judgements, found: Truths, claims: Iterable[tuple[Codes, NDArray[np.bool_]]]
) -> Iterator[Estimate]:
    """Estimate in what share of some items something is so, from their chances and what these were learned from.

    Parameters
    ----------
    judgements, found
        The ratings, and what was inferred of them.
    claims
        Of each share the items it is of, and by item which of the labels, and of the pairs after them, make it so.

    Notes
    -----
    The interval is Wilson's on as many items as leave the doubt of three things together: which items happened to be
    drawn, what is unsure of each, and that frequencies of labels and splits by kind and confusions by group were
    learned. For the last, a chance moves with a log odds by the covariance of the two within the item, and an item
    moves the log odds by its score over the observed information (Louis 1982), here that of the items' own scores. It
    takes as known how raters differ within their group and on which pairs items are split, and the model as right.

    Examples
    --------
    >>> from rca_lib.stats.truths import infer_truths
    >>> items, raters = np.repeat(np.arange(90), 3), np.tile(np.arange(3), 90)
    >>> labels = np.where(raters == 2, items % 3 > 0, items % 3 > 1).astype(int)
    >>> ratings = Judgements(items, raters, labels, (90, 3, 2), np.zeros(3, int), np.zeros(90, int))
    >>> second = np.tile([False, True], (90, 1))
    >>> print(*estimate_shares(ratings, infer_truths(ratings), [(np.arange(90), second)]))
    33.3 % (24.5 to 43.6)
    """
    chances = np.hstack([found.chances, found.splits])
    told = chances.sum(0) >= 0.5  # closed pairs and labels that nothing is have no log odds to doubt
    kinds, surprise = judgements.kinds, _surprise(judgements, found.confusion)
    usual = _add(kinds, chances) / np.maximum(np.bincount(kinds), 1)[:, None]
    scores = _score(kinds, (chances - usual[kinds])[:, told], found.chances, surprise)
    information = scores.T @ scores + HELD * np.eye(scores.shape[1])
    for items, states in claims:
        so = chances[items] * states
        chance = so.sum(1)
        share = float(chance.mean())
        moved = _add(items, so - chance[:, None] * chances[items], len(chances))
        slope = _score(kinds, moved[:, told], moved[:, : found.chances.shape[1]], surprise).sum(0)
        influence = np.bincount(items, chance - share, len(chances)) + scores @ np.linalg.solve(information, slope)
        yield _estimate(share, float(influence @ influence) / len(items) ** 2, len(items))


def _surprise(judgements: Judgements, confusion: Array) -> Array:
    """Return by item, group, truth and label how much more often it was given than the raters' matrices have it."""
    (items, _, labels), groups = judgements.sizes, int(judgements.groups.max()) + 1
    more = np.eye(labels)[judgements.labels][:, None] - confusion[judgements.raters]
    place = judgements.items * groups + judgements.groups[judgements.raters]
    return _add(place, more.reshape(len(more), -1), items * groups).reshape(items, groups, labels, labels)


def _add(places: Codes, rows: Array, size: int = 0) -> Array:
    """Return the sums of the rows of each place."""
    size = size or int(places.max()) + 1
    return sparse.csr_array((np.ones(len(places)), (places, np.arange(len(places)))), (size, len(places))) @ rows


def _score(kinds: Codes, chances: Array, labels: Array, surprise: Array) -> Array:
    """Return by item how the log likelihood moves with the log odds of each frequency and of each confusion."""
    frequency = np.eye(int(kinds.max()) + 1)[kinds][:, :, None] * chances[:, None]
    confusion = labels[:, None, :, None] * surprise
    return np.hstack([frequency.reshape(len(kinds), -1), confusion.reshape(len(kinds), -1)])


def _estimate(share: float, variance: float, items: int) -> Estimate:
    counted = min(share * (1 - share) / max(variance, 1e-300), items) if 0 < share < 1 else items
    ends = wilson(share * counted, counted)
    return Estimate(*(round(float(one), 12) for one in (share, *ends)), "%")
