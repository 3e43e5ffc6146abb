# Tested in tests/stats/changepoints/test_search.py.
"""Steps or drift: whether changes in one direction are better described by a slope than by levels.

Neighbouring changes in one direction form a group. Its span runs from the previous change in the other direction to
the next one. On the span a ramp is fitted: flat at the level b, then a slope from the onset τ to the end,

    η_t = b + s × clip((t − τ) / (n − 1 − τ), 0, 1)

η is the level of a measurement, or the log level of counts. The priors are b ~ Normal(μ, v) and s ~ Normal(0, 2 v).
For every onset, b and s are fitted by Newton's method. The log evidence is Laplace's approximation, averaged over
onsets. It is compared with the evidence for steps of the segmentation.

Reference: Kass and Raftery (1995), Bayes factors. JASA 90, 773–795: Laplace's approximation of the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp

from rca_lib.stats.changepoints.localization import Changepoint, estimate_changepoint
from rca_lib.stats.changepoints.noise import Array
from rca_lib.stats.changepoints.segmentation import (
    MIN_SEGMENT_STEPS,
    compute_log_bayes_factors,
    compute_segment_evidence,
    estimate_level_prior,
    sum_segmentations,
)

# Log odds of drift against a single step from which the change is called a drift. The value is low on purpose: a drift
# called a step is dated far too late, while a step called a drift keeps its date.
MIN_DRIFT_LOG_ODDS = -2.4
MAX_ONSETS = 50  # onsets tried per span, evenly spaced
N_NEWTON_COUNTS = 5  # Newton iterations for counts
N_NEWTON_VALUES = 2  # for a measurement: the model is linear
MAX_LOG_STEP = 2.0  # largest Newton step of a log level


@dataclass(frozen=True, slots=True)
class _DirectionGroup:
    """Neighbouring changes in one direction and their span, from `start` to `stop` (exclusive)."""

    changes: tuple[Changepoint, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _RampFits:
    """Ramps by onset: the onsets, their log evidence against the pooled level, and their levels (onsets × steps)."""

    onsets: Array
    log_evidence: Array
    levels: Array


def classify_drifts(
    changes: tuple[Changepoint, ...], level: Array, totals: Array, exposures: Array, *, counts: bool
) -> tuple[tuple[Changepoint, ...], Array]:
    """Replace steps in one direction by a drift to the end of their span, unless the evidence for steps is stronger.

    If steps are only somewhat better than the drift, the drift keeps the date of the step. Its interval spans both.

    Parameters
    ----------
    changes, level
        Changes and level per step, from the segmentation.
    totals, exposures
        Effective totals and exposures per step.
    counts
        True for counts, False for a measurement.

    Returns
    -------
    tuple
        The changes, with drifts in place of steps, and the level per step.

    Notes
    -----
    A drift that ends before the last step of its span is described as a drift to the end, or as steps. On a span of
    sixteen steps or fewer no drift is tried.
    """
    classified: list[Changepoint] = []
    level = level.copy()
    for group in _group_by_direction(changes, level):
        span = slice(group.start, group.stop)
        ramps = _fit_ramps(totals[span], exposures[span], counts=counts)
        log_odds = _drift_log_odds(ramps, totals[span], exposures[span], counts=counts)
        if log_odds < (MIN_DRIFT_LOG_ODDS if len(group.changes) == 1 else 0.0):
            classified += group.changes
            continue
        posterior = np.zeros(len(level))
        posterior[ramps.onsets + group.start] = np.exp(ramps.log_evidence - ramps.log_evidence.max())
        drift = estimate_changepoint(posterior, kind="drift")
        level[span] = ramps.levels[np.argmax(ramps.log_evidence)]
        if log_odds < 0:
            step = group.changes[0]
            drift = Changepoint(step.position, min(drift.low, step.low), max(drift.high, step.high), "drift")
        classified.append(drift)
    return tuple(classified), level


def _drift_log_odds(ramps: _RampFits, totals: Array, exposures: Array, *, counts: bool) -> float:
    """Return the log odds of a drift against steps; −inf where the span is too short for a ramp."""
    segmentations = sum_segmentations(compute_segment_evidence(totals, exposures, counts=counts))
    step_scores = compute_log_bayes_factors(segmentations, 0.0)
    if not len(ramps.onsets):
        return -np.inf
    return logsumexp(ramps.log_evidence) - np.log(len(ramps.onsets)) - step_scores[1:].max()


def _group_by_direction(changes: tuple[Changepoint, ...], level: Array) -> list[_DirectionGroup]:
    """Group neighbouring changes of the same direction, with their span."""
    edges = [0, *(change.position for change in changes), len(level)]
    rises = [bool(level[change.position] > level[change.position - 1]) for change in changes]
    turns = [index for index in range(1, len(rises)) if rises[index] != rises[index - 1]]
    return [
        _DirectionGroup(changes[first:last], edges[first], edges[last + 1])
        for first, last in pairwise([0, *turns, len(rises)])
        if last > first
    ]


def _fit_ramps(totals: Array, exposures: Array, *, counts: bool) -> _RampFits:
    """Fit a flat level and then a slope to the end, for every onset."""
    n_steps = len(totals)
    onsets = np.arange(MIN_SEGMENT_STEPS, n_steps - 3 * MIN_SEGMENT_STEPS, max(1, n_steps // MAX_ONSETS))
    ramp = np.clip((np.arange(n_steps) - onsets[:, None]) / (n_steps - 1 - onsets[:, None]), 0, 1)
    pooled, variance = estimate_level_prior(totals, exposures, counts=counts)
    pooled, max_step = (np.log(pooled), MAX_LOG_STEP) if counts else (pooled, np.inf)
    base, slope = np.full(len(onsets), pooled), np.zeros(len(onsets))
    for _ in range(N_NEWTON_COUNTS if counts else N_NEWTON_VALUES):
        line = base[:, None] + slope[:, None] * ramp
        mean = exposures * (np.exp(line) if counts else line)
        weight = mean if counts else np.broadcast_to(exposures, line.shape)
        base_gradient = (totals - mean).sum(1) - (base - pooled) / variance
        slope_gradient = ((totals - mean) * ramp).sum(1) - slope / (2 * variance)
        base_information = weight.sum(1) + 1 / variance
        cross_information = (weight * ramp).sum(1)
        slope_information = (weight * ramp**2).sum(1) + 0.5 / variance
        determinant = base_information * slope_information - cross_information**2
        base_step = (slope_information * base_gradient - cross_information * slope_gradient) / determinant
        slope_step = (base_information * slope_gradient - cross_information * base_gradient) / determinant
        base = base + np.clip(base_step, -max_step, max_step)
        slope = slope + np.clip(slope_step, -max_step, max_step)
    line = base[:, None] + slope[:, None] * ramp
    levels = np.exp(line) if counts else line
    cumulant_change = (levels - np.exp(pooled)) if counts else (line**2 - pooled**2) / 2
    log_likelihood = totals * (line - pooled) - exposures * cumulant_change
    penalty = ((base - pooled) ** 2 + slope**2 / 2) / variance + np.log(2 * variance**2 * determinant)
    return _RampFits(onsets, log_likelihood.sum(1) - penalty / 2, levels)
