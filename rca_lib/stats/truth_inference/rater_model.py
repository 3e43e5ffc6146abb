# Tested in tests/stats/truth_inference/test_dawid_skene.py.
"""Error model of raters: shrunk confusion matrices and leave-one-out likelihoods.

Symbols: item i of class c(i), rater r of group g, true label k, given label l.

    n_rkl   expected number of items of truth k to which rater r gave l;  n_rk = Σ_l n_rkl
    e_gk    error probability of group g on truth k;  s_gkl  share of l in these errors
    μ_r     error rate expected of rater r: e_gk averaged over the truths of the items that r judged
    f_g     prior size, in items: what μ_r counts as
    κ       concentration, in ratings: what the prior of a confusion matrix counts as

The error rate of a rater is shrunk to the group: ε_r = (errors_r + f_g μ_r) / (judged_r + f_g). The group's errors
follow a beta-binomial distribution, and f_g maximises its likelihood over a grid. The prior error probability by
truth keeps the odds ratio between ε_r and μ_r:

    odds(m_rk) = odds(ε_r) / odds(μ_r) × odds(e_gk)

The confusion matrix is shrunk to this prior:

    θ_rkl = (n_rkl + κ p_rkl) / (n_rk + κ),   p_rkl = 1 − m_rk for l = k,  m_rk s_gkl for l ≠ k

The likelihood of a rating uses counts from which the item itself is subtracted. Otherwise few ratings confirm
themselves, and the probabilities come out too close to 0 and 1.

References: Dawid and Skene 1979 (confusion matrices by EM); Williams 1982 (beta-binomial error rates).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import betaln

from rca_lib.stats.truth_inference.coded_ratings import Array, Codes, RatingMatrix
from rca_lib.stats.truth_inference.split_items import LabelPair, split_log_probabilities

CONCENTRATION_GRID = 2.0 ** np.arange(11)  # ratings: 1 to 1,024
# Items that the frequencies over all classes count as: of labels, and of splits.
PRIOR_LABEL_ITEMS = 10.0
PRIOR_SPLIT_ITEMS = 2.0
NEAR_CERTAIN = 0.99  # probability from which an item's truth is taken as known when its own rating is left out
EXCLUDED_LOG_PRIOR = -1e3  # log prior of splits on a pair that is not selected: zero probability, but finite
BLOCK_RATINGS = 2**13  # ratings per block: they fit the processor's cache, which is three times as fast
MIN_RATE = 1e-6  # keeps expected error rates away from 0 and 1
PRIOR_CORRECT_RATINGS = 0.5  # ratings added to each diagonal element of a group's confusion matrix
PRIOR_OTHER_RATINGS = 0.1  # ratings added to each row of it, spread evenly over the labels


@dataclass(frozen=True, slots=True, eq=False)
class ModelParameters:
    """Parameters estimated from label probabilities; code = rater × number of labels + label.

    Attributes
    ----------
    label_probabilities
        Items × labels: the probabilities from which the parameters are estimated.
    counts
        Codes × truth: expected number of items with this rating.
    items_judged
        Raters × truth: expected number of items judged.
    errors, judged
        Per rater: expected errors, and items judged.
    expected_error_rate, prior_size
        Per rater: the error rate expected of the group on the same items, and the items it counts as.
    error_odds
        Raters × truth: odds of an error in the rater's group.
    error_shares
        Codes × truth: share of the label in the errors of the rater's group.
    log_priors
        Items × (labels and pairs): log prior probability from the other items of the class.
    split_log_probabilities
        Labels × pairs: log probability of each label on an item split between a pair.
    """

    label_probabilities: Array
    counts: Array
    items_judged: Array
    errors: Array
    judged: Array
    expected_error_rate: Array
    prior_size: Array
    error_odds: Array
    error_shares: Array
    log_priors: Array
    split_log_probabilities: Array

    def log_likelihoods(self, matrix: RatingMatrix, concentration: float) -> Array:
        """Return the log likelihood of each item's ratings by truth, with the item itself left out of the counts.

        If the truth is nearly certain, the terms depend on truth and rating code only. They are computed once per case.

        Parameters
        ----------
        matrix
            The ratings.
        concentration
            κ, in ratings.

        Returns
        -------
        ndarray
            Items × labels.
        """
        codes, labels = self.counts.shape
        items = matrix.ratings.items
        result = np.empty_like(self.label_probabilities)
        uncertain = np.ones(len(result), bool)
        if codes * labels < len(items):
            uncertain = np.maximum.reduce([*self.label_probabilities.T]) < NEAR_CERTAIN
            case_codes, case_truths = np.divmod(np.arange(codes * labels), labels)
            own = np.minimum(np.eye(labels)[case_truths], self.counts[case_codes])
            case_terms = self._rating_log_probabilities(case_codes, own, concentration)
            cases = matrix.codes * labels + self.label_probabilities.argmax(1)[items]
            indicator = matrix.indicator
            shape = (len(result), len(case_terms))
            result = sparse.csr_array((indicator.data, cases, indicator.indptr), shape) @ case_terms
        rows = np.flatnonzero(uncertain[items])
        own = self.label_probabilities[items[rows]]
        terms = self._rating_log_probabilities(matrix.codes[rows], own, concentration)
        item_starts = np.flatnonzero(np.diff(items[rows], prepend=-1))
        result[uncertain] = np.add.reduceat(terms, item_starts)
        return result

    def _rating_log_probabilities(self, codes: Codes, own: Array, concentration: float) -> Array:
        """Return the log probability of ratings by truth; `own` is the item's share of the counts."""
        result = np.empty(own.shape)
        for start in range(0, len(result), BLOCK_RATINGS):
            block = slice(start, start + BLOCK_RATINGS)
            given, expected, judged = self.leave_one_out(codes[block], own[block])
            result[block] = np.log((given + concentration * expected) / (judged + concentration))
        return result

    def leave_one_out(self, codes: Codes, own: Array) -> tuple[Array, Array, Array]:
        """Return counts without one item, ratings × truth.

        Parameters
        ----------
        codes
            Rating codes.
        own
            Probabilities of the item's truth, ratings × truth, which are subtracted from the counts.

        Returns
        -------
        tuple
            How often the rater gave the label, its prior probability, and the number of items the rater judged.
        """
        raters, labels = np.divmod(codes, self.items_judged.shape[1])
        row = np.arange(len(codes))
        errors = self.errors[raters] - 1 + own[row, labels]
        judged = self.judged[raters] - 1
        expected = self.error_probabilities(raters, np.maximum(errors, 0.0), judged)
        correct = 1 - expected[row, labels]
        expected *= self.error_shares[codes]
        expected[row, labels] = correct
        return self.counts[codes] - own, expected, self.items_judged[raters] - own

    def error_probabilities(self, raters: Codes | slice, errors: Array, judged: Array) -> Array:
        """Return the prior error probability m_rk of raters by truth.

        Parameters
        ----------
        raters
            Codes of the raters.
        errors, judged
            Errors and items judged of each of them, without the item that is left out.

        Returns
        -------
        ndarray
            Raters × truth.
        """
        mean = self.expected_error_rate[raters]
        prior_size = self.prior_size[raters]
        rate = (errors + prior_size * mean) / (judged + prior_size)
        odds_ratio = rate / (1 - rate) * (1 - mean) / mean
        odds = odds_ratio[:, None] * self.error_odds[raters]
        return odds / (1 + odds)


def estimate_parameters(
    matrix: RatingMatrix, pairs: tuple[LabelPair, ...], probabilities: Array, selected: NDArray[np.bool_]
) -> ModelParameters:
    """Estimate the parameters from the probabilities of labels and pairs: the M step.

    Parameters
    ----------
    matrix
        The ratings.
    pairs
        Pairs of labels between which items may be split.
    probabilities
        Items × (labels and pairs).
    selected
        Classes × pairs: whether items of the class may be split between the pair.

    Returns
    -------
    ModelParameters
        The parameters.
    """
    _, raters, labels = matrix.ratings.sizes
    label_probabilities = np.ascontiguousarray(probabilities[:, :labels])
    counts = matrix.indicator.T @ label_probabilities
    confusion_counts = counts.reshape(raters, labels, labels).transpose(0, 2, 1)
    items_judged = confusion_counts.sum(2)
    judged = np.maximum(items_judged.sum(1), 1e-9)
    errors = np.clip(judged - np.einsum("rkk->r", confusion_counts), 0, judged)
    mean_rate, prior_size = np.empty(raters), np.empty(raters)
    error_odds = np.empty((raters, labels))
    error_shares = np.empty((raters, labels, labels))
    for group in np.unique(matrix.ratings.rater_groups):
        members = matrix.ratings.rater_groups == group
        group_errors, error_shares[members] = _pool_confusion(confusion_counts[members].sum(0))
        error_odds[members] = group_errors / (1 - group_errors)
        mean_rate[members] = np.clip(items_judged[members] @ group_errors / judged[members], MIN_RATE, 1 - MIN_RATE)
        prior_size[members] = _fit_prior_size(errors[members], judged[members], mean_rate[members])
    return ModelParameters(
        label_probabilities, counts, items_judged, errors, judged, mean_rate, prior_size, error_odds,
        error_shares.reshape(counts.shape), _log_priors(matrix, probabilities, labels, selected),
        split_log_probabilities(matrix, pairs, probabilities[:, labels:]),
    )  # fmt: skip


def _log_priors(matrix: RatingMatrix, probabilities: Array, labels: int, selected: NDArray[np.bool_]) -> Array:
    """Return the log frequency of labels and pairs among the other items of each item's class."""
    classes = matrix.ratings.item_classes
    class_totals = np.asarray(matrix.class_indicator @ probabilities)
    prior_items = np.repeat((PRIOR_LABEL_ITEMS, PRIOR_SPLIT_ITEMS), (labels, probabilities.shape[1] - labels))
    prior_counts = prior_items * class_totals.sum(0) / len(probabilities)
    other_items = class_totals[classes] - probabilities
    log_priors = np.log(np.maximum(other_items, 0) + prior_counts + 1e-12)
    log_priors[:, labels:] += np.where(selected, 0.0, EXCLUDED_LOG_PRIOR)[classes]
    return log_priors


def confusion_matrices(parameters: ModelParameters, concentration: float) -> Array:
    """Return the shrunk confusion matrix of each rater.

    Parameters
    ----------
    parameters
        The estimated parameters.
    concentration
        κ: ratings that the prior of a confusion matrix counts as.

    Returns
    -------
    ndarray
        Raters × truth × label given; rows sum to 1.
    """
    raters, labels = parameters.items_judged.shape
    error_probability = parameters.error_probabilities(slice(None), parameters.errors, parameters.judged)
    expected = parameters.error_shares.reshape(raters, labels, labels) * error_probability[:, None]
    expected[:, np.arange(labels), np.arange(labels)] = 1 - error_probability
    counts = parameters.counts.reshape(expected.shape) + concentration * expected
    return (counts / (parameters.items_judged + concentration)[:, None]).transpose(0, 2, 1)


def _pool_confusion(counts: Array) -> tuple[Array, Array]:
    """Return a group's error probability by truth, and the share of each label in errors (given × truth)."""
    labels = len(counts)
    pooled = counts + PRIOR_CORRECT_RATINGS * np.eye(labels) + PRIOR_OTHER_RATINGS / labels
    pooled /= pooled.sum(1, keepdims=True)
    errors = pooled * (1 - np.eye(labels))
    shares = errors / np.maximum(errors.sum(1, keepdims=True), 1e-12)
    return 1 - np.diag(pooled), shares.T


def _fit_prior_size(errors: Array, judged: Array, mean_rate: Array) -> float:
    """Return the beta-binomial prior size, in items, that maximises the likelihood of the raters' errors."""

    def log_likelihood(prior_size: float) -> float:
        prior_errors = prior_size * mean_rate
        prior_correct = prior_size * (1 - mean_rate)
        posterior = betaln(errors + prior_errors, judged - errors + prior_correct)
        return float((posterior - betaln(prior_errors, prior_correct)).sum())

    return float(max(CONCENTRATION_GRID, key=log_likelihood))
