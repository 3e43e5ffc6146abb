"""Changepoint search: where a series changes its level, tested at a stated false-alarm rate.

Segmentation and noise depend on each other and are estimated in turn:

1. Estimate the noise (overdispersion, season, spikes) around a moving average.
2. Sum the evidence over all segmentations, given the noise (`segmentation`), and date the changes (`localization`).
3. Re-estimate the noise around the new levels. Repeat until the changes settle.
4. Subtract the evidence that autocorrelation without any change explains (`autocorrelation`).
5. Compare the evidence with its distribution in series without change (`significance`).
6. Decide for each change whether it is a step or a drift (`drifts`).

The variance of a measurement is not known beforehand. There, each number of changes is scored with the variance and
the autocorrelation that it leaves (profile likelihood), at a penalty of 1.5 log n per change as in the modified BIC.

References: Barry and Hartigan 1993; Fearnhead 2006; Zhang and Siegmund 2007 (modified BIC).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from rca_lib.stats.changepoints.autocorrelation import add_autocorrelation, compute_autocorrelation_gain
from rca_lib.stats.changepoints.drifts import classify_drifts
from rca_lib.stats.changepoints.localization import (
    Changepoint,
    compute_position_posteriors,
    estimate_changepoint,
    locate_changepoints,
)
from rca_lib.stats.changepoints.noise import (
    Array,
    NoiseModel,
    compute_design_effect,
    compute_effective_counts,
    estimate_noise,
    initialize_noise,
    seasonal_component,
)
from rca_lib.stats.changepoints.segmentation import (
    compute_log_bayes_factors,
    compute_segment_evidence,
    find_best_segmentations,
    sum_segmentations,
)
from rca_lib.stats.changepoints.significance import critical_evidence, tail_probability
from rca_lib.stats.changepoints.spikes import SPIKE_DEVIANCE

COUNT_AR_DECAYS = (0.5, 0.7)  # AR(1) decays that a change in counts must beat
VALUE_AR_DECAYS = (0.5, 0.7, 0.9, 0.97)  # and in a measurement
MAX_ITERATIONS = 3  # of segmentation and noise, each given the other
PARAMETERS_PER_CHANGE = 1.5  # degrees of freedom of a change: a level, and half for its position
BIC_ALPHA = 0.05  # level at which the penalty of a measurement needs no correction
# Median absolute difference of two normal steps with standard deviation 1: 0.6745 × √2.
MEDIAN_DIFFERENCE = 0.954


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Changes of a series.

    Attributes
    ----------
    changepoints
        The changes, in order of position.
    p_value
        Probability of at least this much evidence in a series without change.
    level
        Level expected at each step, without the season.
    noise
        Noise around the level.
    """

    changepoints: tuple[Changepoint, ...]
    p_value: float
    level: Array
    noise: NoiseModel


@dataclass(frozen=True, slots=True)
class _SearchResult:
    """Segmentation before steps and drifts are told apart, with the effective totals and exposures."""

    segmentation: Segmentation
    effective: tuple[Array, Array]


def find_changepoints(
    totals: Array, items: Array | None = None, *, phase: Array | None = None, alpha: float = 0.05
) -> Segmentation:
    """Find the changes of level of a series of errors out of items, or of a measurement.

    Parameters
    ----------
    totals
        Errors per step in order of time, or values of a measurement.
    items
        Audits per step; effective numbers are allowed. None: a measurement.
    phase
        Position of each step in the season, from 0. None: no season.
    alpha
        Probability of reporting any change in a series without change.

    Returns
    -------
    Segmentation
        The changes, the p-value, the level per step and the noise.

    Notes
    -----
    A level that lasts fewer than four steps cannot be detected. For a measurement, alpha is an upper bound. The method
    is described at the top of the module.

    Examples
    --------
    >>> errors, items = np.r_[np.full(30, 5.0), np.full(30, 12.0)], np.full(60, 100.0)
    >>> find_changepoints(errors, items).changepoints
    (Changepoint(position=30, low=..., high=..., kind='step'),)
    """
    result = _search_measurement(totals, phase, alpha) if items is None else _search_counts(totals, items, phase, alpha)
    segmentation = result.segmentation
    changepoints, level = classify_drifts(
        segmentation.changepoints, segmentation.level, *result.effective, counts=items is not None
    )
    return replace(segmentation, changepoints=changepoints, level=level)


def _search_counts(totals: Array, items: Array, phase: Array | None, alpha: float) -> _SearchResult:
    """Search a series of counts, alternating between segmentation and noise."""
    noise, level = initialize_noise(totals, items, phase)
    effective_errors = totals.sum() / compute_design_effect(items, noise.overdispersion)
    size = min(len(totals), effective_errors / 2)
    threshold = critical_evidence(alpha, size)
    changepoints: tuple[Changepoint, ...] = ()
    for iteration in range(MAX_ITERATIONS):
        previous = changepoints
        effective = compute_effective_counts(totals, items, level, noise, phase)
        evidence = sum_segmentations(compute_segment_evidence(*effective, counts=True))
        scores = compute_log_bayes_factors(evidence, threshold)
        changepoints = locate_changepoints(evidence, scores)
        if iteration and changepoints == previous:
            break
        level, noise = _refit_noise(totals, items, phase, noise, changepoints)
    scores[1:] -= _autocorrelation_gain(*effective, items, noise)
    if changepoints and scores.max() <= 0:
        changepoints = ()
        level, _ = _refit_noise(totals, items, phase, noise, changepoints)
    noise = _final_noise(totals, items, level, len(changepoints), phase)
    p_value = tail_probability(scores[1:].max(initial=-np.inf) + threshold, size)
    return _SearchResult(Segmentation(changepoints, p_value, level, noise), effective)


def _refit_noise(
    totals: Array, items: Array, phase: Array | None, noise: NoiseModel, changepoints: tuple[Changepoint, ...]
) -> tuple[Array, NoiseModel]:
    """Fit the levels between changes, given season and spikes, and then the noise around them."""
    positions = [change.position for change in changepoints]
    level = _segment_levels(*_deseasonalize(totals, items, noise, phase), positions)
    level = np.maximum(level, 0.25 / items.sum())
    return level, estimate_noise(totals, items, level, _count_parameters(len(changepoints)), phase)


def _final_noise(totals: Array, items: Array | None, level: Array, n_changes: int, phase: Array | None) -> NoiseModel:
    """Estimate the noise as it is reported: all spikes excluded, autocorrelation included."""
    n_parameters = _count_parameters(n_changes)
    noise = estimate_noise(totals, items, level, n_parameters, phase, threshold=SPIKE_DEVIANCE)
    return add_autocorrelation(noise, totals, items, level, n_parameters, phase)


def _count_parameters(n_changes: int) -> float:
    return 1 + PARAMETERS_PER_CHANGE * n_changes


def _autocorrelation_gain(totals: Array, exposures: Array, items: Array, noise: NoiseModel) -> float:
    """Return the log-likelihood that autocorrelation gains in the series of counts without any change."""
    mean = exposures * totals.sum() / max(exposures.sum(), 1e-12)
    residual = (totals - mean) / np.sqrt(np.maximum(mean, 1e-12))
    sampling_variance = float(np.mean(1 / (1 + np.maximum(items - 1, 0) * noise.overdispersion)))
    return compute_autocorrelation_gain(residual, COUNT_AR_DECAYS, min_variance=sampling_variance)


def _search_measurement(values: Array, phase: Array | None, alpha: float) -> _SearchResult:
    """Search a measurement, whose variance is not known beforehand."""
    noise, level = initialize_noise(values, None, phase)
    robust_deviation = np.median(np.abs(np.diff(values))) / MEDIAN_DIFFERENCE
    robust_noise = replace(noise, overdispersion=max(float(robust_deviation), noise.overdispersion / 1000))
    effective = compute_effective_counts(values, None, level, robust_noise, phase)
    paths = find_best_segmentations(compute_segment_evidence(*effective, counts=False))
    adjusted_values, included = _deseasonalize(values, None, noise, phase)
    levels = [_segment_levels(adjusted_values, included, path) for path in paths]
    residuals = [adjusted_values - included * fitted for fitted in levels]
    n_steps = len(values)
    threshold = critical_evidence(alpha, n_steps)
    scores = _score_measurement(residuals, n_steps, threshold)
    n_changes = int(np.argmax(scores))
    positions = paths[n_changes]
    noise = _final_noise(values, None, levels[n_changes], n_changes, phase)
    effective = compute_effective_counts(values, None, levels[n_changes], noise, phase)
    evidence = sum_segmentations(compute_segment_evidence(*effective, counts=False), min_changes=n_changes)
    posteriors = compute_position_posteriors(evidence, n_changes)
    changepoints = tuple(
        estimate_changepoint(posterior, position=position)
        for position, posterior in zip(positions, posteriors, strict=True)
    )
    level = _segment_levels(*_deseasonalize(values, None, noise, phase), positions)
    p_value = tail_probability(scores[1:].max(initial=-np.inf) + threshold, n_steps)
    return _SearchResult(Segmentation(changepoints, p_value, level, noise), effective)


def _score_measurement(residuals: list[Array], n_steps: int, threshold: float) -> Array:
    """Return the penalised profile log-likelihood of 0, 1, 2 … changes, relative to none."""
    n_changes = np.arange(len(residuals))
    scores = np.array(
        [
            compute_autocorrelation_gain(residual, VALUE_AR_DECAYS)
            - n_steps / 2 * np.log(max(residual @ residual, 1e-24))
            for residual in residuals
        ]
    )
    bic_penalty = 1.5 * np.log(n_steps) * n_changes
    alpha_correction = np.minimum(n_changes, 1) * (threshold - critical_evidence(BIC_ALPHA, n_steps))
    scores -= scores[0] + bic_penalty + alpha_correction
    return scores


def _segment_levels(totals: Array, exposures: Array, positions: list[int]) -> Array:
    """Return the level of each step: total over exposure of its segment."""
    edges = [0, *positions, len(totals)]
    levels = [totals[start:stop].sum() / max(exposures[start:stop].sum(), 1e-12) for start, stop in pairwise(edges)]
    return np.repeat(levels, np.diff(edges))


def _deseasonalize(totals: Array, items: Array | None, noise: NoiseModel, phase: Array | None) -> tuple[Array, Array]:
    """Return totals and exposures without season and spikes."""
    season = seasonal_component(noise, phase, counts=items is not None)
    if items is None:
        return (totals - season) * noise.included, noise.included.astype(float)
    return totals * noise.included, items * season * noise.included
