"""Noise of a series around its level: overdispersion, season and spikes.

A series has `totals` y_t (errors, or values of a measurement) and `items` n_t (audits per step; None for a
measurement). `level` is the rate or mean expected at each step before the season. `phase` is each step's position in
the season; None without a season.

Counts: E(y_t) = n_t p_t with p_t = level × season factor, and the variance of Williams (1982)

    Var(y_t) = n_t p_t (1 − p_t) [1 + (n_t − 1) ρ]

ρ, the overdispersion, is the correlation of two audits of one step. Dividing total and exposure by (1 − p_t)
[1 + (n_t − 1) ρ] gives a count with the variance of a Poisson count: the effective count.

Measurements: y_t = level + season + ε_t, with standard deviation σ. The effective total is y_t / σ², the exposure
1 / σ².

The season has one effect per phase, shrunk by its own variance (empirical Bayes). It is used only if a chi-square test
rejects at 2 %.

Reference: D. A. Williams (1982), Extra-binomial variation in logistic linear models. Applied Statistics 31, 144–148.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from rca_lib.stats.changepoints.spikes import Array, Spike, find_spikes

MASKED_DEVIANCE = 17.0  # spikes above it are left out; leaving out more costs power and prevents no false alarm
MAX_WINDOW_STEPS = 25  # of the moving average that starts the estimation
SEASON_ALPHA = 0.02  # significance level of the season
MIN_SEASON_FACTOR = 0.05
MAX_OVERDISPERSION = 0.5
N_MOMENT_ITERATIONS = 4  # of the moment estimate of overdispersion
MIN_CORRECT_RATE = 0.02  # smallest 1 − level in a variance
STEPS_PER_INITIAL_PARAMETER = 20  # steps of the moving average that count as one fitted parameter
MIN_VARIANCE = 1e-12  # keeps quotients finite


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """How a series varies around its level.

    Attributes
    ----------
    overdispersion
        Correlation of two audits of one step (counts), or standard deviation (measurement).
    variance_inflation
        Factor on the variance of long averages, for autocorrelation.
    season
        One factor (counts) or addition (measurement) per phase; empty without a season.
    included
        Per step: False where a spike is left out.
    spikes
        The spikes.
    """

    overdispersion: float
    variance_inflation: float
    season: tuple[float, ...]
    included: Array
    spikes: tuple[Spike, ...]


def compute_effective_counts(
    totals: Array, items: Array | None, level: Array, noise: NoiseModel, phase: Array | None
) -> tuple[Array, Array]:
    """Return the effective total and exposure of each step; both are 0 at excluded steps.

    For counts, the effective total has the variance of a Poisson count with mean `rate × exposure`. For a measurement,
    its variance is the exposure.

    Parameters
    ----------
    totals, items, level
        The series and its level per step; `items` is None for a measurement.
    noise
        Overdispersion, season, spikes and autocorrelation.
    phase
        Position of each step in the season; None without a season.

    Returns
    -------
    effective_totals, exposures
        One element per step.

    Examples
    --------
    Errors of correlated audits count as fewer: 1 + (n − 1) ρ is 2, and 1 − p is 0.9.

    >>> noise = NoiseModel(0.01, 1.0, (), np.ones(1, bool), ())
    >>> effective = compute_effective_counts(np.array([10.1]), np.array([101.0]), np.array([0.1]), noise, None)
    >>> [float(value.round(2)[0]) for value in effective]
    [5.61, 56.11]
    """
    variance = _step_variance(items, level, noise.overdispersion) * noise.variance_inflation
    season = seasonal_component(noise, phase, counts=items is not None)
    included = noise.included.astype(float)
    if items is None:
        return included * (totals - season) / variance, included / variance
    return included * totals / variance, included * items * season / variance


def seasonal_component(noise: NoiseModel, phase: Array | None, *, counts: bool) -> Array | float:
    """Return the season at each step.

    Parameters
    ----------
    noise
        The noise model with the season.
    phase
        Position of each step in the season; None without a season.
    counts
        True for counts, False for a measurement.

    Returns
    -------
    ndarray or float
        A factor for counts, an addition for a measurement; 1 or 0 without a season.
    """
    if phase is None or not noise.season:
        return 1.0 if counts else 0.0
    return np.asarray(noise.season)[phase]


def apply_season(items: Array | None, level: Array, noise: NoiseModel, phase: Array | None) -> Array:
    """Return the level expected at each step, season included.

    Parameters
    ----------
    items
        Items per step; None for a measurement.
    level
        Level of each step without the season.
    noise, phase
        As in `seasonal_component`.

    Returns
    -------
    ndarray
        One level per step.
    """
    season = seasonal_component(noise, phase, counts=items is not None)
    return level + season if items is None else level * season


def initialize_noise(totals: Array, items: Array | None, phase: Array | None) -> tuple[NoiseModel, Array]:
    """Estimate noise and level around a moving average, before any change is known.

    Parameters
    ----------
    totals, items, phase
        The series, as in `estimate_noise`.

    Returns
    -------
    noise, level
        The noise model, and the moving average per step.
    """
    n_steps = len(totals)
    exposure = np.ones(n_steps) if items is None else items
    window = np.ones(min(MAX_WINDOW_STEPS, 2 * (n_steps // 2) - 1))
    window_exposure = np.maximum(np.convolve(exposure, window, "same"), 1e-12)
    level = np.convolve(totals, window, "same") / window_exposure
    if items is not None:
        level = np.maximum(level, 0.25 / items.sum())
    return estimate_noise(totals, items, level, n_steps / STEPS_PER_INITIAL_PARAMETER, phase), level


def estimate_noise(
    totals: Array, items: Array | None, level: Array, n_parameters: float, phase: Array | None,
    *, threshold: float = MASKED_DEVIANCE,
) -> NoiseModel:  # fmt: skip
    """Estimate season, spikes and overdispersion around a level; autocorrelation is not estimated here.

    Parameters
    ----------
    totals, items, level, phase
        The series and its level per step.
    n_parameters
        Number of parameters fitted to the level.
    threshold
        Deviance from which steps are excluded as a spike.

    Returns
    -------
    NoiseModel
        The model, with a variance inflation of 1.

    References
    ----------
    Williams (1982), Applied Statistics 31: the variance and its moment estimate.
    """
    counts = items is not None
    all_steps = np.ones(len(totals), bool)
    initial = _estimate_overdispersion(totals, items, level, all_steps, n_parameters)
    noise = NoiseModel(initial, 1.0, (), all_steps, ())
    effective = compute_effective_counts(totals, items, level, noise, None)
    season = _estimate_season(*effective, level, phase, counts=counts)
    noise = NoiseModel(initial, 1.0, season, all_steps, ())
    effective = compute_effective_counts(totals, items, level, noise, phase)
    spikes = find_spikes(*effective, counts=counts, threshold=threshold)
    included = all_steps.copy()
    for spike in spikes:
        included[spike.position : spike.position + spike.length] = False
    expected = apply_season(items, level, noise, phase)
    n_parameters += len(season) - 1 if season else 0
    overdispersion = _estimate_overdispersion(totals, items, expected, included, n_parameters)
    return NoiseModel(overdispersion, 1.0, season, included, spikes)


def compute_design_effect(items: Array, overdispersion: float) -> float:
    """Return the variance of the rate over these steps, relative to as many independent items.

    Parameters
    ----------
    items
        Items per step.
    overdispersion
        Correlation of two items of one step.

    Returns
    -------
    float
        At least 1; 1 without items.

    Examples
    --------
    >>> compute_design_effect(np.array([101.0, 101.0]), 0.01)
    2.0
    """
    total = items.sum()
    return float((items * (1 + np.maximum(items - 1, 0) * overdispersion)).sum() / total) if total else 1.0


def _step_variance(items: Array | None, level: Array, overdispersion: float) -> Array:
    """Return the variance of a step relative to a Poisson count (counts), or its variance (measurement)."""
    if items is None:
        return np.full(len(level), max(overdispersion, MIN_VARIANCE) ** 2)
    return np.maximum(1 - level, MIN_CORRECT_RATE) * (1 + np.maximum(items - 1, 0) * overdispersion)


def _estimate_overdispersion(
    totals: Array, items: Array | None, expected: Array, included: Array, n_parameters: float
) -> float:
    """Estimate the correlation within steps by moments (counts), or the standard deviation (measurement)."""
    n_included = included.sum()
    correction = n_included / max(n_included - n_parameters, 1)
    if items is None:
        return float(np.sqrt(((totals - expected)[included] ** 2).mean() * correction))
    other_items = np.maximum(items - 1, 0)
    binomial_variance = np.maximum(items * expected * (1 - np.minimum(expected, 1)), MIN_VARIANCE)
    excess = (totals - items * expected) ** 2 * correction / binomial_variance - 1
    numerator = included * other_items * excess
    denominator = included * other_items**2
    rho = 0.0
    for _ in range(N_MOMENT_ITERATIONS):
        weight = 1 / (1 + other_items * rho) ** 2
        rho = min(max(float(weight @ numerator / max(weight @ denominator, 1e-12)), 0.0), MAX_OVERDISPERSION)
    return rho


def _estimate_season(
    totals: Array, exposures: Array, level: Array, phase: Array | None, *, counts: bool
) -> tuple[float, ...]:
    """Estimate the shrunk effect of each phase from effective counts; empty if it is not significant."""
    if phase is None:
        return ()
    period = int(phase.max()) + 1
    information = np.bincount(phase, exposures * level if counts else exposures, period)
    residual = np.bincount(phase, totals - exposures * level, period)
    if information.min() <= 0:
        return ()
    p_value = chdtrc(period - 1, (residual**2 / information).sum())
    if p_value > SEASON_ALPHA:
        return ()
    effect = residual / information
    between_variance = max(np.average(effect**2, weights=information) - period / information.sum(), 0.0)
    effect = effect * between_variance / (between_variance + 1 / information)
    effect = effect - np.average(effect, weights=information)
    return tuple((np.maximum(1 + effect, MIN_SEASON_FACTOR) if counts else effect).tolist())
