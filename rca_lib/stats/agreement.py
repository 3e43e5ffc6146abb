"""Agreement beyond chance, from counts of items × categories.

Symbols: n_ik raters put item i into category k, n_i is the sum over k. w_kl says how much categories k and l agree: 1
on the diagonal, and 0 elsewhere unless weights are given. The observed agreement of an item is

    a_i = (Σ_kl n_ik w_kl n_il − n_i) / (n_i (n_i − 1)),

and p_o is its mean over items with two ratings or more. The expected agreement p_e follows from the shares π_k of the
categories:

    Fleiss' kappa, Krippendorff's alpha   p_e = Σ_kl π_k w_kl π_l
    Gwet's AC1 and AC2                    p_e = Σ_kl w_kl · Σ_k π_k (1 − π_k) / (q (q − 1)),   q categories.

The coefficient is (p_o − p_e) / (1 − p_e). Alpha counts an item by its ratings and corrects p_o for small samples. The
standard error is that of the mean of each item's linearised contribution (Gwet 2014).

References: Fleiss 1971; Krippendorff 2004; Gwet 2014, Handbook of Inter-Rater Reliability, 4th edition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

CERTAIN_AGREEMENT = 1 - 1e-12  # expected agreement from which on the coefficient is undefined
SMALLEST_DISTANCE = 1e-300  # avoids a division of 0 by 0
BLOCK_CELLS = 2**22  # cells of a dense block: 32 MB


@dataclass(frozen=True, slots=True)
class AgreementCoefficient:
    """A coefficient of agreement.

    Attributes
    ----------
    value
        (observed − expected) / (1 − expected).
    standard_error
        Its standard error over items.
    items
        The number of items.
    observed_agreement, expected_agreement
        The two shares the coefficient is made of.
    """

    value: float
    standard_error: float
    items: int
    observed_agreement: float
    expected_agreement: float


def estimate_agreement(
    counts: sparse.csr_array, kind: Literal["ac", "fleiss", "alpha"], weights: np.ndarray | None = None
) -> AgreementCoefficient | None:
    """Estimate the agreement of several raters; items may lack ratings.

    Parameters
    ----------
    counts
        How many raters put each item (row) into each category (column).
    kind
        "ac": Gwet's AC1 (AC2 with weights). "fleiss": Fleiss' kappa. "alpha": Krippendorff's alpha.
    weights
        How much two categories agree, 1 on the diagonal. None: only equal categories agree.

    Returns
    -------
    AgreementCoefficient, optional
        None where there is only one category, which makes agreement certain.

    Notes
    -----
    Items with one rating contribute to the expected agreement, except for alpha. Estimators and variances are those of
    the package irrCAC for ratings. Its functions for tables of two raters divide the variance by the number of items,
    not by one less.

    References
    ----------
    Gwet (2014), Handbook of Inter-Rater Reliability, 4th edition: coefficients and their variances.

    Examples
    --------
    >>> counts = sparse.csr_array([[2, 0]] * 8 + [[1, 1]] * 2 + [[0, 2]] * 10)
    >>> round(estimate_agreement(counts, "fleiss").value, 4)
    0.798
    """
    ratings = counts.sum(axis=1)
    counts = counts[ratings >= (2 if kind == "alpha" else 1)]
    ratings = counts.sum(axis=1).astype(float)
    rated_twice = ratings >= 2
    categories = counts.shape[1]
    weights = np.eye(categories) if weights is None else weights
    rater_pairs = np.where(rated_twice, ratings * (ratings - 1), 1)
    item_agreement = (_quadratic_form(counts, weights) - ratings) / rater_pairs
    item_weights = ratings / ratings.mean() if kind == "alpha" else np.ones(len(ratings))
    category_shares = counts.T @ (item_weights / ratings) / len(ratings)
    chance_agreement = weights @ category_shares
    if kind == "ac":
        chance_agreement = weights.sum() * (1 - category_shares) / max(categories * (categories - 1), 1)
    expected = float(category_shares @ chance_agreement)
    observed = float((item_weights * item_agreement)[rated_twice].mean())
    if expected >= CERTAIN_AGREEMENT or categories < 2:
        return None
    corrected = observed + (1 - observed) / float(ratings.sum()) if kind == "alpha" else observed
    value = (observed - expected) / (1 - expected)
    # Linearised contribution of each item to the observed and to the expected agreement (Gwet 2014).
    deviation = item_weights * item_agreement - corrected * (item_weights - 1) - expected
    observed_part = len(ratings) / rated_twice.sum() * rated_twice * deviation
    expected_part = item_weights * (counts @ chance_agreement) / ratings - expected * (item_weights - 1) - expected
    contributions = (observed_part - 2 * (1 - value) * expected_part) / (1 - expected)
    squared_deviations = ((contributions - value) ** 2).sum()
    standard_error = float(np.sqrt(squared_deviations / (len(contributions) * max(len(contributions) - 1, 1))))
    coefficient = (corrected - expected) / (1 - expected)
    return AgreementCoefficient(coefficient, standard_error, len(contributions), corrected, expected)


def estimate_cohen_kappa(
    first: sparse.csr_array, second: sparse.csr_array, weights: np.ndarray | None = None
) -> AgreementCoefficient | None:
    """Estimate Cohen's kappa of two sides that rated the same items.

    Parameters
    ----------
    first, second
        How many raters of each side put each item (row) into each category (column).
    weights
        How much two categories agree, 1 on the diagonal. None: only equal categories agree.

    Returns
    -------
    AgreementCoefficient, optional
        None where agreement by chance is certain.

    Notes
    -----
    A side may hold several ratings of an item. Then every pair across the sides counts, and the variance is over items.
    Items that one side lacks are left out; Conger's kappa (irrCAC) uses them for the expected agreement.

    References
    ----------
    Cohen (1968), Psychological Bulletin 70: weights. Fleiss, Cohen and Everitt (1969), Psychological Bulletin 72: the
    standard error.

    Examples
    --------
    >>> first, second = (sparse.csr_array(np.eye(2)[labels]) for labels in ([0, 0, 1, 1], [0, 1, 1, 1]))
    >>> estimate_cohen_kappa(first, second).value
    0.5
    """
    first_ratings = first.sum(axis=1).astype(float)
    second_ratings = second.sum(axis=1).astype(float)
    shared = first_ratings * second_ratings > 0
    first, second = first[shared], second[shared]
    first_ratings, second_ratings = first_ratings[shared], second_ratings[shared]
    item_pairs = first_ratings * second_ratings
    weights = np.eye(first.shape[1]) if weights is None else weights
    pairs = float(item_pairs.sum())
    first_shares = first.T @ second_ratings / pairs
    second_shares = second.T @ first_ratings / pairs
    agreeing_pairs = _quadratic_form(first, weights, second)
    expected = float(first_shares @ weights @ second_shares)
    if expected >= CERTAIN_AGREEMENT:
        return None
    observed = float(agreeing_pairs.sum() / pairs)
    value = (observed - expected) / (1 - expected)
    expected_part = second_ratings * (first @ (weights @ second_shares)) + first_ratings * (
        second @ (first_shares @ weights)
    )
    contributions = (
        agreeing_pairs
        - first_ratings * second_ratings * observed
        - (1 - value) * (expected_part - 2 * first_ratings * second_ratings * expected)
    )
    standard_error = float(np.sqrt((contributions**2).sum())) / pairs / (1 - expected)
    return AgreementCoefficient(value, standard_error, int(shared.sum()), observed, expected)


def agreement_weights(values: np.ndarray, kind: Literal["linear", "quadratic", "ratio"]) -> np.ndarray:
    """Return how much each pair of categories agrees: 1 − distance / largest distance.

    Parameters
    ----------
    values
        The number that stands for each category.
    kind
        "linear": the distance of two values. "quadratic": its square. "ratio": the square of their distance relative to
        their sum.

    Returns
    -------
    ndarray
        Weights of categories × categories, between 0 and 1.

    Examples
    --------
    >>> agreement_weights(np.array([1.0, 2.0, 3.0]), "linear")[0].tolist()
    [1.0, 0.5, 0.0]
    """
    distance = np.abs(values[:, None] - values)
    if kind == "ratio":
        distance = distance / np.maximum(values[:, None] + values, SMALLEST_DISTANCE)
    power = 1 if kind == "linear" else 2
    return 1 - (distance / max(distance.max(), SMALLEST_DISTANCE)) ** power


def _quadratic_form(
    counts: sparse.csr_array, weights: np.ndarray, second: sparse.csr_array | None = None
) -> np.ndarray:
    """Return Σ_kl counts_ik w_kl second_il for each item, in blocks of rows that fit into memory."""
    second = counts if second is None else second
    block_rows = max(1, BLOCK_CELLS // counts.shape[1])
    sums = [
        counts[start : start + block_rows].multiply(second[start : start + block_rows] @ weights).sum(axis=1)
        for start in range(0, counts.shape[0], block_rows)
    ]
    return np.concatenate([np.zeros(0), *sums])
