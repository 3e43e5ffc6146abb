"""Autocorrelation from step to step: the variance inflation of long averages, and the gain of AR(1) noise in fit.

For an AR(1) process with decay φ that makes up a share of the variance, the autocorrelation at lag k is ρ_k = a φ^k.
A long average has its variance inflated by 1 + 2 Σ_k ρ_k = 1 + 2 a φ / (1 − φ). With φ fixed, the strength a is fitted
to the first autocorrelations by least squares.

As an alternative to changes of level, white noise plus AR(1) is fitted to the periodogram I(ω) by Whittle's likelihood
(1953): −Σ [log S(ω) + I(ω) / S(ω)], with the spectrum S(ω) ∝ (1 − a) + a (1 − φ²) / (1 − 2 φ cos ω + φ²).

Reference: P. Whittle (1953), Estimation and information in stationary time series. Arkiv för Matematik 2, 423–434.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rca_lib.stats.changepoints.noise import Array, NoiseModel, apply_season

AR_DECAY = 0.7  # decay φ assumed for the variance inflation; for a faster decay the inflation is too large
MAX_LAG = 6  # steps: lags whose autocorrelations are fitted
MAX_STRENGTH = 0.9  # of the autocorrelation
STANDARD_ERRORS_REMOVED = 0.5  # subtracted from the strength, so that white noise is rarely inflated
AR_PENALTY = 0.1  # log-likelihood that the two free parameters, strength and decay, must gain
AR_VARIANCE_SHARES = (0.15, 0.3, 0.5, 0.75, 0.95, 0.99)  # grid of a: share of the variance that is autocorrelated
MIN_FREQUENCIES = 3  # of the periodogram, for a fit


def add_autocorrelation(
    noise: NoiseModel, totals: Array, items: Array | None, level: Array, n_parameters: float, phase: Array | None
) -> NoiseModel:
    """Return the noise model with the variance inflation from autocorrelation.

    Parameters
    ----------
    noise
        Noise model without autocorrelation.
    totals, items, level, phase
        The series, as in `noise.estimate_noise`.
    n_parameters
        Number of parameters fitted to the level. Fitting lowers the autocorrelation of residuals; it is corrected.

    Returns
    -------
    NoiseModel
        The same model with `variance_inflation` of at least 1. It is unchanged with six steps or fewer.

    Notes
    -----
    Half a standard error is subtracted from the strength: white noise is rarely inflated, and weak autocorrelation is
    missed.
    """
    expected = apply_season(items, level, noise, phase)
    n_parameters += len(noise.season) - 1 if noise.season else 0
    if items is None:
        residual = (totals - expected) * noise.included
    else:
        variance = items * expected * (1 - np.minimum(expected, 1))
        variance *= 1 + np.maximum(items - 1, 0) * noise.overdispersion
        residual = (totals - items * expected) / np.sqrt(np.maximum(variance, 1e-12)) * noise.included
    n_included = noise.included.sum()
    sum_of_squares = residual @ residual
    if n_included <= MAX_LAG or sum_of_squares <= 0:
        return noise
    lags = range(1, MAX_LAG + 1)
    decays = AR_DECAY ** np.asarray(lags)
    correlations = np.array([residual[lag:] @ residual[:-lag] for lag in lags]) / sum_of_squares
    correlations = correlations + n_parameters / n_included
    strength = (decays @ correlations) / (decays @ decays)
    information = (decays @ decays) * n_included
    strength = min(max(strength - STANDARD_ERRORS_REMOVED / np.sqrt(information), 0.0), MAX_STRENGTH)
    return replace(noise, variance_inflation=float(1 + 2 * strength * AR_DECAY / (1 - AR_DECAY)))


def compute_autocorrelation_gain(residual: Array, decays: tuple[float, ...], *, min_variance: float = 0.0) -> float:
    """Return the log-likelihood that autocorrelation gains over independent steps, at least 0.

    A change of level must explain the series better than this.

    Parameters
    ----------
    residual
        Residuals around a constant level.
    decays
        Grid of the AR(1) decay.
    min_variance
        Smallest variance of the white noise, for example from sampling.

    Returns
    -------
    float
        The gain in log-likelihood, at least 0; 0 with fewer than three frequencies.

    References
    ----------
    Whittle (1953): the likelihood of a periodogram.

    Examples
    --------
    Steps that alternate slowly gain; steps that alternate at once do not.

    >>> slow, fast = np.tile(np.repeat([1.0, -1.0], 8), 4), np.tile([1.0, -1.0], 32)
    >>> compute_autocorrelation_gain(slow, (0.7,)) > 5, compute_autocorrelation_gain(fast, (0.7,))
    (True, 0.0)
    """
    n_frequencies = (len(residual) - 1) // 2
    periodogram = np.abs(np.fft.rfft(residual)[1 : n_frequencies + 1]) ** 2 / len(residual)
    if n_frequencies < MIN_FREQUENCIES or periodogram.sum() <= 0:
        return 0.0
    cosine = np.cos(2 * np.pi * np.arange(1, n_frequencies + 1) / len(residual))
    share, decay = (grid.reshape(-1, 1) for grid in np.meshgrid((0.0, *AR_VARIANCE_SHARES), decays))
    spectra = 1 - share + share * (1 - decay**2) / (1 - 2 * decay * cosine + decay**2)
    spectra *= np.maximum((periodogram / spectra).mean(1, keepdims=True), min_variance / (1 - share))
    log_likelihoods = -(np.log(spectra) + periodogram / spectra).sum(1)
    return max(float(log_likelihoods.max() - log_likelihoods[0]) - AR_PENALTY, 0.0)
