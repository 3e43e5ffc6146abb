# Tested in tests/stats/truth_inference/test_dawid_skene.py.
"""Items without a single truth: raters choose between two labels at random.

An item may be split between a pair of labels (a, b). Each rating of such an item is a or b with probability (1 − t)/2
each. With probability t it is a third label; t is estimated from all split items together. The frequency of split
items is estimated per pair and item class.

A pair takes part only if it makes the ratings much likelier. An item that is split with probability s is 1/(1 − s)
times likelier than under a model without splits. Allowing splits costs all items of the class the mean of s. The gain
in log likelihood is therefore Σ (−log(1 − s) − s). It must exceed a threshold plus the log odds against such pairs.

Reference: Dawid and Skene 1979, Applied Statistics 28, 20–28: the model without splits.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rca_lib.stats.truth_inference.coded_ratings import Array, RatingMatrix

LabelPair = tuple[int, int]
# Prior for third labels on split items: 1 in 200 ratings. It stabilises t while few items are split.
PRIOR_THIRD_LABELS = 1.0
PRIOR_SPLIT_RATINGS = 200.0
MIN_LOG_LIKELIHOOD_GAIN = 5.0  # log-likelihood gain that a pair needs where every other candidate pair has splits
MAX_SPLIT_PROBABILITY = 1 - 1e-9  # keeps log(1 − s) finite
N_SELECTION_ROUNDS = 10  # rounds in which the share of selected pairs and the threshold settle


def find_label_pairs(votes: Array) -> tuple[LabelPair, ...]:
    """Return the pairs of labels that occur together on at least one item.

    Parameters
    ----------
    votes
        Number of ratings, items × labels.

    Returns
    -------
    tuple of pairs
        Codes of the labels, the smaller first.

    Examples
    --------
    >>> find_label_pairs(np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]))
    ((0, 1),)
    """
    present = votes > 0
    joint_counts = present.astype(float).T @ present
    return tuple(pair for pair in combinations(range(votes.shape[1]), 2) if joint_counts[pair] > 0)


def split_log_probabilities(matrix: RatingMatrix, pairs: tuple[LabelPair, ...], split_probabilities: Array) -> Array:
    """Return the log probability of each label on an item split between a pair.

    Parameters
    ----------
    matrix
        The ratings.
    pairs
        The pairs of labels.
    split_probabilities
        Items × pairs: probability that the item is split between the pair.

    Returns
    -------
    ndarray
        Labels × pairs.
    """
    labels = matrix.votes.shape[1]
    expected_ratings = matrix.votes.T @ split_probabilities
    in_pair = np.zeros(expected_ratings.shape, bool)
    for column, pair in enumerate(pairs):
        in_pair[list(pair), column] = True
    third_labels = PRIOR_THIRD_LABELS + expected_ratings[~in_pair].sum()
    third_label_rate = third_labels / (PRIOR_SPLIT_RATINGS + expected_ratings.sum())
    return np.log(np.where(in_pair, (1 - third_label_rate) / 2, third_label_rate / max(labels - 2, 1)))


def select_label_pairs(matrix: RatingMatrix, split_probabilities: Array) -> NDArray[np.bool_]:
    """Select the pairs whose splits make the ratings of a class much likelier.

    The rarer the selected pairs are among the candidates, the larger the gain that each of them needs.

    Parameters
    ----------
    matrix
        The ratings.
    split_probabilities
        Items × pairs: probability that the item is split between the pair.

    Returns
    -------
    ndarray of bool
        Classes × pairs.
    """
    capped = np.minimum(split_probabilities, MAX_SPLIT_PROBABILITY)
    gain = np.asarray(matrix.class_indicator @ (-np.log1p(-capped) - split_probabilities))
    candidates = max(int((matrix.class_indicator @ split_probabilities >= 1).sum()), 1)
    selected = gain >= MIN_LOG_LIKELIHOOD_GAIN
    for _ in range(N_SELECTION_ROUNDS):
        share = (min(int(selected.sum()), candidates) + 0.5) / (candidates + 1)
        selected = gain >= MIN_LOG_LIKELIHOOD_GAIN + np.log((1 - share) / share)
    return selected
