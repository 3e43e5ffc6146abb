# Tested in tests/stats/changepoints/test_search.py.
"""Dates of changes: the posterior of each position, averaged over all segmentations, and its credible interval.

Symbols: E(a, b) is the evidence of a segment [a, b) of n steps; F_k(b) is the evidence of all segmentations of the
first b steps with k changes (forward recursion of `segmentation`). The backward recursion sums over the steps from a
to the end:

    B_1(a) = E(a, n),   B_k(a) = Σ_b E(a, b) B_{k−1}(b).

Given K changes, the posterior probability that the k-th change is at step t is

    F_{k−1}(t) B_{K−k+1}(t) / F_K(n).

These probabilities are averaged over K, weighted by the evidence of K changes. A date is where the average, summed
over a neighbourhood, is largest. The probability of one change is then removed around it, and the next date is
searched. The 95 % credible interval of a date consists of the central quantiles of its posterior given K.

Reference: P. Fearnhead (2006), Exact and efficient Bayesian inference for multiple changepoint problems. Statistics
and Computing 16, 203–213.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rca_lib.stats.changepoints.noise import Array
from rca_lib.stats.changepoints.segmentation import MIN_EVIDENCE, MIN_SEGMENT_STEPS, SegmentationEvidence

ChangeKind = Literal["step", "drift"]
CREDIBLE_LEVEL = 0.95
NEIGHBOURHOOD_DIVISOR = 20  # a date maximises the posterior within 1/20 of the series on either side
MIN_CHANGE_COUNT_PROBABILITY = 0.01  # numbers of changes less probable than this are left out of the average
CENTRE_WEIGHT = 0.1  # extra weight of the centre in the smoothing kernel: breaks ties towards the middle


@dataclass(frozen=True, slots=True)
class Changepoint:
    """A change of level.

    Attributes
    ----------
    position
        First step of the new level (kind "step") or of the slope (kind "drift").
    low, high
        First and last step of the credible interval of the position.
    kind
        "step" or "drift".
    """

    position: int
    low: int
    high: int
    kind: ChangeKind = "step"


def locate_changepoints(evidence: SegmentationEvidence, scores: Array) -> tuple[Changepoint, ...]:
    """Date the changes, averaged over their number.

    A date is reported if a change near it is more likely than not. The first is reported whenever some number of
    changes scores above none. The intervals are those of a segmentation with as many changes as are reported.

    Parameters
    ----------
    evidence
        Evidence of all segmentations.
    scores
        Log Bayes factors of 0, 1, 2 … changes, from `compute_log_bayes_factors`.

    Returns
    -------
    tuple of Changepoint
        In order of position; empty if no number of changes scores above none.
    """
    if scores.max() <= 0:
        return ()
    remaining = _average_position_posteriors(evidence, scores)
    n_positions = len(remaining)
    positions = np.arange(n_positions)
    reach = max(1, n_positions // NEIGHBOURHOOD_DIVISOR)
    while reach and np.convolve(remaining, np.ones(2 * reach + 1), "same").max() > 1.5:
        reach //= 2  # so that a neighbourhood never holds two changes
    dated: list[int] = []
    while len(dated) < len(scores) - 1:
        position = int(np.argmax(np.convolve(remaining, _smoothing_kernel(reach), "same")))
        nearby = remaining[max(position - reach, 0) : position + reach + 1].sum()
        if dated and nearby < 0.5:
            break
        dated.append(position)
        # Remove the probability of one change, nearest positions first, before the next date is sought.
        nearest = np.argsort(np.abs(positions - position), kind="stable")
        removed = np.append(0.0, np.cumsum(remaining[nearest])[:-1])
        remaining[nearest] -= np.clip(1 - removed, 0, remaining[nearest])
        remaining[max(position - MIN_SEGMENT_STEPS + 1, 0) : position + MIN_SEGMENT_STEPS] = 0.0
    posteriors = compute_position_posteriors(evidence, len(dated))
    return tuple(
        estimate_changepoint(posterior, position=position)
        for position, posterior in zip(sorted(dated), posteriors, strict=True)
    )


def _average_position_posteriors(evidence: SegmentationEvidence, scores: Array) -> Array:
    """Return the expected number of changes at each position, averaged over the number of changes."""
    probabilities = np.exp(scores[1:] - scores[1:].max())
    probabilities /= probabilities.sum()
    average = np.zeros(len(evidence.weights))
    for index in np.flatnonzero(probabilities > MIN_CHANGE_COUNT_PROBABILITY):
        posteriors = compute_position_posteriors(evidence, int(index) + 1)
        average += probabilities[index] * sum(posteriors, np.zeros(len(average)))
    return average


def compute_position_posteriors(evidence: SegmentationEvidence, changes: int) -> list[Array]:
    """Return the posterior of the position of each change, averaged over the positions of the others.

    Parameters
    ----------
    evidence
        Evidence of all segmentations.
    changes
        Number of changes, at least 1.

    Returns
    -------
    list of ndarray
        One array per change, in order: the probability of each position from 0 to the number of steps.
    """
    backward = [evidence.weights[:, -1]]
    for _ in range(changes - 1):
        backward.append(evidence.weights @ backward[-1])
    total = max(float(evidence.forward[changes][-1]), MIN_EVIDENCE)
    return [evidence.forward[index] * backward[changes - 1 - index] / total for index in range(changes)]


def estimate_changepoint(posterior: Array, *, position: int | None = None, kind: ChangeKind = "step") -> Changepoint:
    """Date a change from the posterior of its position.

    Parameters
    ----------
    posterior
        Weight of each position; it need not add up to 1.
    position
        The position, if known. Default: where the posterior in the neighbourhood is largest.
    kind
        "step" or "drift".

    Returns
    -------
    Changepoint
        The position with its 95 % credible interval, which always contains the position.

    Examples
    --------
    >>> estimate_changepoint(np.array([0, 0, 0, 0.1, 0.8, 0.1, 0, 0, 0]))
    Changepoint(position=4, low=3, high=5, kind='step')
    """
    if position is None:
        reach = max(1, len(posterior) // NEIGHBOURHOOD_DIVISOR)
        position = int(np.argmax(np.convolve(posterior, _smoothing_kernel(reach), "same")))
    cumulative = np.cumsum(posterior) / max(posterior.sum(), MIN_EVIDENCE)
    low, high = np.searchsorted(cumulative, [(1 - CREDIBLE_LEVEL) / 2, (1 + CREDIBLE_LEVEL) / 2])
    last = len(posterior) - 2
    return Changepoint(position, int(min(low, position)), int(max(min(high, last), position)), kind)


def _smoothing_kernel(reach: int) -> Array:
    """Return a nearly flat kernel over `reach` steps on either side."""
    return 1 + CENTRE_WEIGHT * np.bartlett(2 * reach + 3)[1:-1]
