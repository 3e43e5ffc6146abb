# Tested in tests/stats/slice_search/test_selection.py.
"""Allocation of the error probability alpha to the tests of a search.

Each kind of family k gets the share a_k of alpha. Within a kind, test t with weight w_t is significant if its p-value
is at most alpha a_k w_t / Σ w. By the Bonferroni inequality the probability of any false alarm stays below alpha.
Equivalently

    log p + log m_t ≤ log alpha,   m_t = Σ w / (a_k w_t),

and log m_t is the log multiplicity returned here. Tests for an increase weigh more than tests for a decrease. A slice
that expects few errors cannot have significantly fewer; such a test gets no alpha (Tarone 1990).

Reference: R. E. Tarone (1990), A modified Bonferroni method for discrete data. Biometrics 46, 515–522.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from rca_lib.stats.slice_search.contingency import Array
from rca_lib.stats.slice_search.slice_families import SliceFamily

ALPHA_SHARES = np.array([0.05, 0.3, 0.25, 0.4])  # of alpha, by kind of family
WORSE_WEIGHT = 3.0  # weight of a test for an increase, relative to a test for a decrease
RARE_ALPHA_SHARE = 0.1  # share of a kind's alpha for its rare slices, if it has others too
ROUNDS = 5  # iterations until the number of possible tests settles


def allocate_alpha(families: Sequence[SliceFamily], alpha: float) -> Array:
    """Return the log multiplicity of each tested slice.

    Parameters
    ----------
    families
        The families of slices.
    alpha
        The probability of any false alarm.

    Returns
    -------
    ndarray
        Two rows, for a decrease and for an increase; one column per tested slice. Infinite: no such test.

    Notes
    -----
    Rare slices share a small part of their kind's alpha, whether they are tested or not. If a kind has rare slices
    only, they share all of it.

    References
    ----------
    Tarone (1990), A modified Bonferroni method for discrete data, Biometrics 46.
    """
    number_of_kinds = len(ALPHA_SHARES)
    kinds = np.repeat([family.kind for family in families], [len(family.tested) for family in families]).astype(int)
    rare = np.concatenate([family.rare for family in families]).astype(bool)
    untested_rare = np.bincount(
        [family.kind for family in families], [family.untested_rare for family in families], number_of_kinds
    )
    rare_tests = np.bincount(kinds[rare], minlength=number_of_kinds) + untested_rare
    regular_tests = np.bincount(kinds[~rare], minlength=number_of_kinds)
    shares = np.where(regular_tests + rare_tests > 0, ALPHA_SHARES, 0)
    shares = shares / max(shares.sum(), ALPHA_SHARES.min())
    rare_shares = np.where(regular_tests == 0, 1.0, np.where(rare_tests > 0, RARE_ALPHA_SHARE, 0.0))
    largest_decrease = _largest_decrease_scores(families)
    weight_sums = ((1 + WORSE_WEIGHT) * regular_tests).astype(float)
    for _ in range(ROUNDS):
        critical = norm.isf(alpha * shares * (1 - rare_shares) / np.maximum(weight_sums, 1))
        can_decrease = largest_decrease >= critical[kinds]
        test_weights = WORSE_WEIGHT + can_decrease[~rare]
        weight_sums = np.bincount(kinds[~rare], test_weights, number_of_kinds).astype(float, copy=False)
    with np.errstate(divide="ignore"):
        decrease = np.log(np.maximum(weight_sums, 1) / (shares * (1 - rare_shares)))[kinds]
        rare_increase = np.log(np.maximum(rare_tests, 1) / (shares * rare_shares))[kinds]
    increase = np.where(rare, rare_increase, decrease - np.log(WORSE_WEIGHT))
    return np.array([np.where(rare, np.inf, decrease), increase])


def _largest_decrease_scores(families: Sequence[SliceFamily]) -> Array:
    """Return the z-score (without sign) that each tested slice would have without any error."""
    items = np.concatenate([family.items for family in families])
    expected_errors = np.concatenate([family.expected_errors for family in families])
    design_effects = np.concatenate([family.design_effects for family in families])
    expected_rates = np.minimum(expected_errors / items, 1 - 1e-9)
    return np.sqrt(-2 * items * np.log1p(-expected_rates) / design_effects)
