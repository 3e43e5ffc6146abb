# Tested in tests/stats/changepoints/test_search.py.
"""Bayesian segmentation: every way to divide a series into levels, summed exactly and without sampling.

Symbols: steps t = 0 … n − 1; effective total y_t and exposure w_t (`noise.compute_effective_counts`); a segment [a, b)
with total Y and exposure W; pooled level μ; prior variance v of a level.

Counts: Y ~ Poisson(W μ g), with g ~ Gamma(mean 1, shape 1/v). The log evidence of a segment against the pooled
level g = 1, with s = 1/v, is

    log Γ(s + Y) − log Γ(s) − Y log s − (s + Y) log(1 + W μ / s) + W μ

Measurements: Y ~ Normal(W m, W), with m ~ Normal(μ, v). The log evidence is

    [v (Y − W μ)² / (1 + v W) − log(1 + v W)] / 2

The prior of a segmentation is proportional to the product of its segment lengths. Short segments are therefore
unlikely a priori. Let E(a, b) be the evidence of a segment times its length. The evidence for K changes is the sum of
ΠE over all segmentations with K changes. It follows by forward recursion: F_0(b) = E(0, b) and
F_k(b) = Σ_a F_{k−1}(a) E(a, b). `localization` adds the backward recursion for the posterior of each position.

Averaging over positions has more power than maximising over them.

References: Barry and Hartigan 1993 (product partition models); Fearnhead 2006 (exact recursions).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, log

import numpy as np

from rca_lib.stats.changepoints.noise import Array

MIN_SEGMENT_STEPS = 4  # steps of the shortest segment; anything shorter is a spike
LEVEL_PRIOR_VARIANCE = 0.25  # variance of log level around the pooled one: a factor of about 1.6 either way
CHANGE_PENALTY = 0.9  # log Bayes factor that each further change must add
EXTRA_CHANGES = 3  # changes summed over beyond those of the best segmentation
MAX_CHANGES = 16  # changes tried in a measurement
HALF_LOG_2_PI = 0.9189385332046727
MIN_EVIDENCE = 1e-300  # keeps logarithms and quotients finite


@dataclass(frozen=True, slots=True)
class SegmentationEvidence:
    """Evidence of all segmentations of a series.

    Attributes
    ----------
    weights
        Evidence of one level on the steps [row, column).
    forward
        `forward[k]` is the evidence of all segmentations with k changes of the steps before each column. Both are
        relative to the best segmentation of those steps, so that nothing overflows.
    best
        Log evidence of the best segmentation of the whole series, against no change.
    """

    weights: Array
    forward: list[Array]
    best: float


def compute_segment_evidence(totals: Array, exposures: Array, *, counts: bool) -> Array:
    """Return the log evidence of one level on each segment, prior of the length included.

    Parameters
    ----------
    totals, exposures
        Effective totals and exposures per step.
    counts
        True for counts, False for a measurement.

    Returns
    -------
    ndarray
        Element [a, b] belongs to the segment of steps a to b − 1; −inf where it is shorter than four steps.
    """
    rows, columns, log_lengths = _segment_bounds(len(totals))
    cumulative_totals = np.r_[0, np.cumsum(totals)]
    cumulative_exposures = np.r_[0, np.cumsum(exposures)]
    total = cumulative_totals[columns] - cumulative_totals[rows]
    exposure = cumulative_exposures[columns] - cumulative_exposures[rows]
    pooled, variance = estimate_level_prior(totals, exposures, counts=counts)
    if counts:
        shape = 1 / variance
        posterior_shape = shape + total
        evidence = _log_gamma(posterior_shape) - posterior_shape * np.log1p(exposure * (pooled / shape))
        evidence += exposure * pooled - total * np.log(shape) - _log_gamma(np.array(shape))
    else:
        deviation = total - exposure * pooled
        evidence = (variance * deviation**2 / (1 + variance * exposure) - np.log1p(variance * exposure)) / 2
    n_bounds = len(cumulative_totals)
    segments = np.full((n_bounds, n_bounds), -np.inf)
    segments[rows, columns] = evidence + log_lengths
    return segments


@lru_cache(maxsize=8)
def _segment_bounds(n_steps: int) -> tuple[Array, Array, Array]:
    """Return for every segment of sufficient length its first step, its end (exclusive) and its log prior weight."""
    rows, columns = np.triu_indices(n_steps + 1, MIN_SEGMENT_STEPS)
    return rows, columns, np.log((columns - rows) / n_steps**2)


def estimate_level_prior(totals: Array, exposures: Array, *, counts: bool) -> tuple[float, float]:
    """Return the pooled level and the prior variance of levels around it.

    Parameters
    ----------
    totals, exposures, counts
        As in `compute_segment_evidence`.

    Returns
    -------
    level, variance
        For counts, the variance is that of the logarithm of the level.

    Examples
    --------
    >>> level, variance = estimate_level_prior(np.array([4.0, 6.0]), np.array([100.0, 100.0]), counts=True)
    >>> round(float(level), 3), variance
    (0.05, 0.25)
    """
    exposure = max(exposures.sum(), 1e-12)
    if counts:
        return max(totals.sum(), 0.5) / exposure, LEVEL_PRIOR_VARIANCE
    pooled = totals.sum() / exposure
    observed = exposures > 0
    squares = np.square(totals[observed] / exposures[observed] - pooled)
    variance = squares.mean() if observed.any() else 0.0
    return pooled, max(float(variance), 1 / exposure)


def _log_gamma(value: Array) -> Array:
    """Return the log gamma function by Stirling's series: accurate to 1e-6 from 4 on, and several times faster."""
    inverse = 1 / value
    leading = (value - 0.5) * np.log(value) - value + HALF_LOG_2_PI
    return leading + inverse / 12 - inverse * inverse * inverse / 360


def sum_segmentations(segments: Array, *, min_changes: int = 0) -> SegmentationEvidence:
    """Sum the evidence over all segmentations with 0, 1, 2 … changes.

    Parameters
    ----------
    segments
        Log evidence per segment, from `compute_segment_evidence`.
    min_changes
        Sum over at least this number of changes.

    Returns
    -------
    SegmentationEvidence
        Sums for every number of changes up to three more than in the best segmentation.
    """
    n_steps = len(segments) - 1
    best = segments[0]
    best_changes = 0
    while True:
        improved = np.maximum(best, np.maximum.reduce(best[:, None] + segments, 0))
        if np.array_equal(improved, best):
            break
        best = improved
        best_changes += 1
    best = np.append(0.0, best[1:])
    weights = np.exp(segments + best[:, None] - np.where(np.isfinite(best), best, 0.0))
    forward = [weights[0]]
    max_changes = max(best_changes + EXTRA_CHANGES, min_changes)
    while len(forward) <= max_changes and (len(forward) + 1) * MIN_SEGMENT_STEPS <= n_steps:
        forward.append(forward[-1] @ weights)
    gain = float(best[-1] - segments[0, -1]) if n_steps >= MIN_SEGMENT_STEPS else 0.0
    return SegmentationEvidence(weights, forward, gain)


def compute_log_bayes_factors(evidence: SegmentationEvidence, threshold: float) -> Array:
    """Score each number of changes against none.

    Parameters
    ----------
    evidence
        Evidence of all segmentations.
    threshold
        Log Bayes factor that a series without change exceeds with probability alpha (`significance.critical_evidence`).

    Returns
    -------
    ndarray
        Element k is the log Bayes factor of k changes, minus the threshold and 0.9 per further change. Element 0 is 0:
        changes are reported if another element is larger.

    Examples
    --------
    >>> exposures = np.full(40, 100.0)
    >>> steady, stepped = np.full(40, 5.0), np.repeat([5.0, 15.0], 20)
    >>> evidence = [compute_segment_evidence(totals, exposures, counts=True) for totals in (steady, stepped)]
    >>> [bool(compute_log_bayes_factors(sum_segmentations(segments), 1.0)[1] > 0) for segments in evidence]
    [False, True]
    """
    n_steps = len(evidence.weights) - 1
    scores = [0.0]
    for changes in range(1, len(evidence.forward)):
        total = max(float(evidence.forward[changes][-1]), MIN_EVIDENCE)
        log_evidence = log(total) - _log_prior_weight(n_steps, changes)
        scores.append(log_evidence + evidence.best - threshold - CHANGE_PENALTY * (changes - 1))
    return np.array(scores)


@lru_cache(maxsize=4096)
def _log_prior_weight(n_steps: int, changes: int) -> float:
    """Return the log prior weight of all segmentations with these changes, over that of no change.

    The sum of the products of segment lengths is a coefficient of a generating function. With s the shortest segment,
    a segment has ((s − (s − 1) x) / (1 − x)²), to the power of the number of segments. `free` is the exponent of x.
    """
    segments = changes + 1
    free = n_steps - segments * MIN_SEGMENT_STEPS
    exponents = range(min(segments, free) + 1)
    numerator = [
        comb(segments, exponent) * MIN_SEGMENT_STEPS ** (segments - exponent) * (1 - MIN_SEGMENT_STEPS) ** exponent
        for exponent in exponents
    ]
    denominator = [comb(free - exponent + 2 * segments - 1, 2 * segments - 1) for exponent in exponents]
    coefficient = sum(first * second for first, second in zip(numerator, denominator, strict=True))
    return log(coefficient) - (2 * changes + 1) * log(n_steps)


def find_best_segmentations(segments: Array) -> list[list[int]]:
    """Return the most probable positions of 0, 1, 2 … changes.

    Parameters
    ----------
    segments
        Log evidence per segment, from `compute_segment_evidence`.

    Returns
    -------
    list of list of int
        Element k holds the positions of k changes: as many as fit, at most sixteen.

    Examples
    --------
    >>> segments = compute_segment_evidence(np.repeat([5.0, 15.0], 20), np.full(40, 100.0), counts=True)
    >>> find_best_segmentations(segments)[:2]
    [[], [20]]
    """
    n_steps = len(segments) - 1
    best = segments[0]
    origins_by_change: list[Array] = []
    paths: list[list[int]] = [[]]
    while len(origins_by_change) < MAX_CHANGES and (len(origins_by_change) + 2) * MIN_SEGMENT_STEPS <= n_steps:
        sums = best[:, None] + segments
        origins_by_change.append(sums.argmax(0))
        best = sums.max(0)
        path = [int(origins_by_change[-1][n_steps])]
        for origins in origins_by_change[-2::-1]:
            path.insert(0, int(origins[path[0]]))
        paths.append(path)
    return paths
