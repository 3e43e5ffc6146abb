"""Confidence intervals of shares of items whose truth was inferred by `dawid_skene`.

Let q_is be the probability of state s (a label, or a split between a pair) of item i. The share of items in a set S of
states is p = mean_i c_i, with c_i = Σ_{s in S} q_is. Its variance has three sources: the sample of items, the
uncertainty of each item's state, and the estimated parameters (state frequencies by class, confusions by group).

For the last, let η be the log odds of the parameters. The slope of p along η_s is the covariance of the two within
the items. The score of item i is u_i = ∂ log L_i / ∂η, and the observed information is I = Σ_i u_i u_iᵀ plus a weak
prior (Louis 1982). The influence of item i on n p is then

    (c_i − p) + u_iᵀ I⁻¹ ∂(n p)/∂η

and Var(p) = Σ_i influence_i² / n². The interval is Wilson's with the effective number of items p (1 − p) / Var(p).

Reference: T. A. Louis (1982), Finding the observed information matrix when using the EM algorithm. JRSS B 44, 226–233.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rca_lib.findings import Estimate
from rca_lib.stats.proportions import wilson_interval
from rca_lib.stats.truth_inference.coded_ratings import Array, CodedRatings, Codes
from rca_lib.stats.truth_inference.dawid_skene import DawidSkeneFit

PRIOR_INFORMATION = 0.25  # on each log odds: a standard deviation of 2, so few are off by more than a factor of 50
DIGITS = 12  # digits that survive rounding errors
MIN_STATE_ITEMS = 0.5  # expected items of a state; rarer states have no log odds to estimate


def estimate_shares(
    ratings: CodedRatings, fit: DawidSkeneFit, subsets: Iterable[tuple[Codes, NDArray[np.bool_]]]
) -> Iterator[Estimate]:
    """Estimate shares of items by state, with intervals that include the estimation of the model.

    Parameters
    ----------
    ratings
        The ratings to which the model was fitted.
    fit
        The fitted model.
    subsets
        One pair per share: the codes of the items, and a mask (items × states, or one row for all items). A state is a
        label, or one of `fit.pairs` after the labels.

    Yields
    ------
    Estimate
        The share with its 95 % interval, unit "%".

    Notes
    -----
    The interval is Wilson's with an effective number of items. It allows for the sample of items, for the uncertainty
    of each item, and for estimated label frequencies and confusions. It takes three things as known: how raters differ
    within their group, on which pairs items are split, and that the model is right. The derivation is at the top of the
    module.

    References
    ----------
    Louis (1982), JRSS B 44, 226–233: observed information in EM.

    Examples
    --------
    >>> from rca_lib.stats.truth_inference.dawid_skene import fit_dawid_skene
    >>> items, raters = np.repeat(np.arange(90), 3), np.tile(np.arange(3), 90)
    >>> labels = np.where(raters == 2, items % 3 > 0, items % 3 > 1).astype(int)
    >>> ratings = CodedRatings(items, raters, labels, (90, 3, 2), np.zeros(3, int), np.zeros(90, int))
    >>> second_label = np.tile([False, True], (90, 1))
    >>> print(*estimate_shares(ratings, fit_dawid_skene(ratings), [(np.arange(90), second_label)]))
    33.3 % (24.5 to 43.6)
    """
    n_labels = fit.label_probabilities.shape[1]
    probabilities = np.hstack([fit.label_probabilities, fit.split_probabilities])
    estimated = probabilities.sum(0) >= MIN_STATE_ITEMS
    classes = ratings.item_classes
    residuals = _confusion_residuals(ratings, fit.confusion)
    class_means = _sum_by_index(classes, probabilities) / np.maximum(np.bincount(classes), 1)[:, None]
    deviations = (probabilities - class_means[classes])[:, estimated]
    scores = _score_vectors(classes, deviations, fit.label_probabilities, residuals)
    information = scores.T @ scores + PRIOR_INFORMATION * np.eye(scores.shape[1])
    for items, states in subsets:
        selected = probabilities[items] * states
        item_probability = selected.sum(1)
        share = float(item_probability.mean())
        covariance = selected - item_probability[:, None] * probabilities[items]
        covariance = _sum_by_index(items, covariance, len(probabilities))
        slope = _score_vectors(classes, covariance[:, estimated], covariance[:, :n_labels], residuals).sum(0)
        sampling_influence = np.bincount(items, item_probability - share, len(probabilities))
        influence = sampling_influence + scores @ np.linalg.solve(information, slope)
        variance = float(influence @ influence) / len(items) ** 2
        yield _wilson_estimate(share, variance, len(items))


def _confusion_residuals(ratings: CodedRatings, confusion: Array) -> Array:
    """Return observed minus expected ratings, items × groups × truth × label given."""
    items, _, labels = ratings.sizes
    groups = int(ratings.rater_groups.max()) + 1
    residuals = np.eye(labels)[ratings.labels][:, None] - confusion[ratings.raters]
    index = ratings.items * groups + ratings.rater_groups[ratings.raters]
    sums = _sum_by_index(index, residuals.reshape(len(residuals), -1), items * groups)
    return sums.reshape(items, groups, labels, labels)


def _sum_by_index(index: Codes, rows: Array, size: int = 0) -> Array:
    """Return the sum of the rows per index, from 0 to `size` − 1 (default: the largest index)."""
    size = size or int(index.max()) + 1
    indicator = sparse.csr_array((np.ones(len(index)), (index, np.arange(len(index)))), (size, len(index)))
    return np.asarray(indicator @ rows)


def _score_vectors(classes: Codes, deviations: Array, label_probabilities: Array, residuals: Array) -> Array:
    """Return each item's score: the slope of its log likelihood along the log odds of frequencies and confusions."""
    class_indicator = np.eye(int(classes.max()) + 1)[classes]
    frequency_scores = class_indicator[:, :, None] * deviations[:, None]
    confusion_scores = label_probabilities[:, None, :, None] * residuals
    rows = len(classes)
    return np.hstack([frequency_scores.reshape(rows, -1), confusion_scores.reshape(rows, -1)])


def _wilson_estimate(share: float, variance: float, items: int) -> Estimate:
    """Return a share with Wilson's interval on the effective number of items, at most their number."""
    effective = min(share * (1 - share) / max(variance, 1e-300), items) if 0 < share < 1 else items
    low, high = wilson_interval(share * effective, effective)
    return Estimate(round(share, DIGITS), round(low, DIGITS), round(high, DIGITS), "%")
