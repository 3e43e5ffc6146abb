"""Truth inference: the true label of items with several ratings, and the confusion matrix of each rater.

The model of Dawid and Skene (1979). Item i has an unknown truth z_i. Rater r gives label l to an item of truth k with
probability θ_rkl, independently of the other raters. π_ck is the frequency of truth k in item class c. EM alternates:

    E step   P(z_i = k) ∝ π_c(i)k × Π_r θ_r,k,l(r,i)
    M step   π and θ from the counts expected under these probabilities

Three extensions:

1. Shrinkage. θ_r is shrunk to the pooled matrix of the rater's group (`rater_model`), so that twenty ratings of a
   rater are enough to be useful.
2. Leave-one-out. The E step uses π and θ estimated without the item itself. Otherwise few ratings confirm themselves
   and the probabilities are overconfident.
3. Tempering. The log odds from ratings are multiplied by τ ≤ 1 after the last iteration. Raters often err together
   on the same hard item; τ < 1 corrects for this dependence. κ (the concentration of the shrinkage) and τ maximise the
   predictive likelihood of each rating given the other ratings of the item.

Items may also be split between two labels without a single truth (`split_items`).

Reference: A. P. Dawid and A. M. Skene (1979), Maximum likelihood estimation of observer error-rates using the EM
algorithm. Applied Statistics 28, 20–28.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rca_lib.stats.truth_inference.coded_ratings import Array, CodedRatings, RatingMatrix
from rca_lib.stats.truth_inference.rater_model import (
    CONCENTRATION_GRID,
    ModelParameters,
    confusion_matrices,
    estimate_parameters,
)
from rca_lib.stats.truth_inference.split_items import LabelPair, find_label_pairs, select_label_pairs

TEMPERING_GRID = np.arange(2, 11) / 10  # 0.2 to 1.0: what each rating of an item counts as
INITIAL_CONCENTRATION = 16.0  # ratings, until the first tuning
MAX_ITERATIONS = 50
MIN_ITERATIONS = 3  # before convergence is checked
TOLERANCE = 5e-4  # mean change of an item's probabilities below which EM has converged
SPLIT_TOLERANCE = 2e-4  # smaller with splits, which converge slowly


@dataclass(frozen=True, slots=True, eq=False)
class DawidSkeneFit:
    """Result of `fit_dawid_skene`.

    Attributes
    ----------
    label_probabilities
        Items × labels: probability that the label is the truth.
    split_probabilities
        Items × `pairs`: probability that raters choose between the two labels at random. The rows of both matrices
        together add up to 1.
    pairs
        Pairs of label codes between which items may be split.
    confusion
        Raters × truth × label given.
    items_judged
        Raters × truth: expected number of items judged.
    concentration
        Ratings that the common prior of the confusion matrices counts as.
    tempering
        What each rating of an item counts as; 1 if raters err independently of each other.
    """

    label_probabilities: Array
    split_probabilities: Array
    pairs: tuple[LabelPair, ...]
    confusion: Array
    items_judged: Array
    concentration: float
    tempering: float


@dataclass(frozen=True, slots=True, eq=False)
class _EMState:
    """Probabilities of labels and pairs, the pairs selected per item class, and the concentration."""

    probabilities: Array
    selected_pairs: NDArray[np.bool_]
    concentration: float


def fit_dawid_skene(ratings: CodedRatings, *, allow_splits: bool = False) -> DawidSkeneFit:
    """Infer the truth of every item and the confusion matrix of every rater together.

    Parameters
    ----------
    ratings
        Ratings as codes. Every item and every rater has at least one rating.
    allow_splits
        Allow items without a single truth, on which raters choose between two labels at random. Their frequency is
        estimated per pair of labels and item class. The rate of third labels on them is estimated for all pairs
        together.

    Returns
    -------
    DawidSkeneFit
        Probabilities per item, confusion matrices per rater, and the tuned hyperparameters.

    Notes
    -----
    EM with shrunk confusion matrices, leave-one-out likelihoods and tempering; the derivation is at the top of the
    module. The model cannot detect errors that all raters make alike. With one rating per item it learns almost nothing
    about the truth, because no two raters judged the same item.

    References
    ----------
    Dawid and Skene (1979), Applied Statistics 28, 20–28.

    Examples
    --------
    >>> items, raters = np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40)
    >>> labels = np.where(raters == 2, 1 - items % 2, items % 2)  # rater 2 always gives the opposite label
    >>> ratings = CodedRatings(items, raters, labels, (40, 3, 2), np.zeros(3, int), np.zeros(40, int))
    >>> fit = fit_dawid_skene(ratings)
    >>> fit.label_probabilities.argmax(1)[:4].tolist(), bool(fit.confusion[2, 0, 1] > 0.8)
    ([0, 1, 0, 1], True)
    """
    n_labels = ratings.sizes[2]
    matrix = RatingMatrix(ratings)
    pairs = find_label_pairs(matrix.votes) if allow_splits else ()
    all_pairs = np.ones((matrix.class_indicator.shape[0], len(pairs)), bool)
    state = _EMState(_initialize(matrix.votes, pairs), all_pairs, INITIAL_CONCENTRATION)
    pairs_pruned = not pairs
    for iteration in range(1, MAX_ITERATIONS + 1):
        parameters = estimate_parameters(matrix, pairs, state.probabilities, state.selected_pairs)
        if iteration > 1:
            state, tempering = _tune_hyperparameters(matrix, state, parameters)
        label_scores = parameters.log_likelihoods(matrix, state.concentration)
        log_likelihoods = np.hstack([label_scores, matrix.votes @ parameters.split_log_probabilities])
        previous = state.probabilities
        probabilities = _softmax(parameters.log_priors + log_likelihoods)
        state = replace(state, probabilities=probabilities)
        tolerance = SPLIT_TOLERANCE if allow_splits and pairs_pruned else TOLERANCE
        total_change = np.abs(probabilities - previous).sum()
        converged = iteration > MIN_ITERATIONS and total_change < 2 * tolerance * len(probabilities)
        if not pairs_pruned and (converged or iteration == MAX_ITERATIONS // 2):
            pairs_pruned = True
            state = replace(state, selected_pairs=select_label_pairs(matrix, probabilities[:, n_labels:]))
        elif converged:
            break
    # Tempering applies to the result only: tempered EM iterations would drop rare labels.
    tempered = _softmax(parameters.log_priors + tempering * log_likelihoods)
    label_probabilities, split_probabilities = np.split(tempered, [n_labels], axis=1)
    confusion = confusion_matrices(parameters, state.concentration)
    return DawidSkeneFit(
        label_probabilities, split_probabilities, pairs, confusion, parameters.items_judged, state.concentration,
        tempering,
    )  # fmt: skip


def _initialize(votes: Array, pairs: tuple[LabelPair, ...]) -> Array:
    """Return initial probabilities of labels and pairs from the votes per item."""
    if not pairs:
        return _softmax(5 * votes)  # close to the majority: one iteration fewer than from vote shares
    split = np.array([(votes[:, first] > 0) & (votes[:, second] > 0) for first, second in pairs])
    split_scores = split.reshape(len(pairs), len(votes)).T / 3
    label_scores = votes + 0.1 * votes.mean(0)
    scores = np.hstack([label_scores / label_scores.sum(1, keepdims=True), split_scores])
    return scores / scores.sum(1, keepdims=True)


def _tune_hyperparameters(matrix: RatingMatrix, state: _EMState, parameters: ModelParameters) -> tuple[_EMState, float]:
    """Choose concentration and tempering by the predictive likelihood of each rating given the others of its item."""
    rows = matrix.tuning_rows
    items = matrix.ratings.items[rows]
    split_terms = np.exp(parameters.split_log_probabilities[matrix.ratings.labels[rows]])
    given, expected, judged = parameters.leave_one_out(matrix.codes[rows], parameters.label_probabilities[items])

    def rating_probabilities(concentration: float) -> Array:
        return np.hstack([(given + concentration * expected) / (judged + concentration), split_terms])

    def predictive_log_likelihood(probabilities: Array, likelihoods: Array) -> float:
        return float(np.log(np.einsum("ij,ij->i", probabilities, likelihoods)).sum())

    log_priors = parameters.log_priors[items]
    log_posterior = np.log(state.probabilities[items] + 1e-300)
    other_ratings = log_posterior - log_priors - np.log(rating_probabilities(state.concentration))
    untempered = _softmax(log_priors + other_ratings)
    concentration = float(
        max(CONCENTRATION_GRID, key=lambda value: predictive_log_likelihood(untempered, rating_probabilities(value)))
    )
    likelihoods = rating_probabilities(concentration)

    def score_tempering(tempering: float) -> float:
        return predictive_log_likelihood(_softmax(log_priors + tempering * other_ratings), likelihoods)

    return replace(state, concentration=concentration), float(max(TEMPERING_GRID, key=score_tempering))


def _softmax(log_scores: Array) -> Array:
    """Return the softmax of each row; column-wise sums are faster than SciPy's for many rows and few columns."""
    scores = np.exp(log_scores - np.maximum.reduce([*log_scores.T])[:, None])
    return scores / (scores @ np.ones(scores.shape[1]))[:, None]
