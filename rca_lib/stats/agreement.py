"""Agreement beyond chance, from counts of items × categories: arrays in, numbers out.

`counts` is a sparse matrix: how many raters put the item (row) into the category (column). `weights` says how much two
categories agree, 1 on the diagonal; None means only equal ones do. Variances are linearised over items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse


@dataclass(frozen=True, slots=True)
class Coefficient:
    """(observed − chance) / (1 − chance), its standard error over so many items, and its two parts."""

    value: float
    error: float
    items: int
    observed: float
    chance: float


def agreement(
    counts: sparse.csr_array, kind: Literal["ac", "fleiss", "alpha"], weights: np.ndarray | None = None
) -> Coefficient | None:
    """Return Gwet's AC1 (AC2 with weights), Fleiss' kappa or Krippendorff's alpha; items may lack ratings.

    Items judged once help to estimate chance, but for alpha. None where a single category makes chance certain.
    Estimators and variances as in Gwet 2014 (Handbook of Inter-Rater Reliability, 4th edition), which irrCAC follows
    for ratings; its functions for tables of two raters divide the variance by the items, not by one less.

    Examples
    --------
    >>> round(agreement(sparse.csr_array([[2, 0]] * 8 + [[1, 1]] * 2 + [[0, 2]] * 10), "fleiss").value, 4)
    0.798
    """
    judged = counts.sum(axis=1)
    counts = counts[judged >= (2 if kind == "alpha" else 1)]
    judged = counts.sum(axis=1).astype(float)
    several, categories = judged >= 2, counts.shape[1]
    weights = np.eye(categories) if weights is None else weights
    equal = (_quadratic(counts, weights) - judged) / np.where(several, judged * (judged - 1), 1)
    size = judged / judged.mean() if kind == "alpha" else np.ones(len(judged))
    share = counts.T @ (size / judged) / len(judged)
    against = weights @ share
    if kind == "ac":
        against = weights.sum() * (1 - share) / max(categories * (categories - 1), 1)
    chance, observed = float(share @ against), float((size * equal)[several].mean())
    if chance >= 1 - 1e-12 or categories < 2:
        return None
    corrected = observed + (1 - observed) / float(judged.sum()) if kind == "alpha" else observed
    value = (observed - chance) / (1 - chance)
    # Each item's first-order share in the two parts; alpha counts an item by its ratings, the others all alike.
    own_equal = len(judged) / several.sum() * several * (size * equal - corrected * (size - 1) - chance)
    own_chance = size * (counts @ against) / judged - chance * (size - 1) - chance
    own = (own_equal - 2 * (1 - value) * own_chance) / (1 - chance)
    error = float(np.sqrt(((own - value) ** 2).sum() / (len(own) * max(len(own) - 1, 1))))
    return Coefficient((corrected - chance) / (1 - chance), error, len(own), corrected, chance)


def cross_agreement(
    first: sparse.csr_array, second: sparse.csr_array, weights: np.ndarray | None = None
) -> Coefficient | None:
    """Return Cohen's kappa of two sides that judged the same items (Cohen 1968; Fleiss, Cohen and Everitt 1969).

    Each side may hold several ratings of an item: then every pair across counts, and the variance is over items. Items
    that one side lacks are left out altogether; Conger's kappa (irrCAC) takes them into the expected agreement.

    Examples
    --------
    >>> first, second = (sparse.csr_array(np.eye(2)[labels]) for labels in ([0, 0, 1, 1], [0, 1, 1, 1]))
    >>> cross_agreement(first, second).value
    0.5
    """
    ours, theirs = first.sum(axis=1).astype(float), second.sum(axis=1).astype(float)
    both = ours * theirs > 0
    first, second, ours, theirs = first[both], second[both], ours[both], theirs[both]
    weights, pairs = np.eye(first.shape[1]) if weights is None else weights, float((ours * theirs).sum())
    rows, columns = first.T @ theirs / pairs, second.T @ ours / pairs
    equal, chance = _quadratic(first, weights, second), float(rows @ weights @ columns)
    if chance >= 1 - 1e-12:
        return None
    observed = float(equal.sum() / pairs)
    value = (observed - chance) / (1 - chance)
    own_chance = theirs * (first @ (weights @ columns)) + ours * (second @ (rows @ weights))
    own = equal - ours * theirs * observed - (1 - value) * (own_chance - 2 * ours * theirs * chance)
    error = float(np.sqrt((own**2).sum())) / pairs / (1 - chance)
    return Coefficient(value, error, int(both.sum()), observed, chance)


def agreement_weights(values: np.ndarray, kind: Literal["linear", "quadratic", "ratio"]) -> np.ndarray:
    """Return how much categories agree: 1 − distance over the largest; squared, or relative to the sum and squared.

    Examples
    --------
    >>> agreement_weights(np.array([1.0, 2.0, 3.0]), "linear")[0].tolist()
    [1.0, 0.5, 0.0]
    """
    distance = np.abs(values[:, None] - values)
    if kind == "ratio":
        distance = distance / np.maximum(values[:, None] + values, 1e-300)
    return 1 - (distance / max(distance.max(), 1e-300)) ** (1 if kind == "linear" else 2)


def _quadratic(counts: sparse.csr_array, weights: np.ndarray, other: sparse.csr_array | None = None) -> np.ndarray:
    other, step = counts if other is None else other, max(1, 2**22 // counts.shape[1])
    blocks = range(0, counts.shape[0], step)
    sums = [counts[at : at + step].multiply(other[at : at + step] @ weights).sum(axis=1) for at in blocks]
    return np.concatenate([np.zeros(0), *sums])
