"""The signed root of a likelihood ratio: z-scores of errors that hold for small numbers too.

Symbols: a slice has n audits, m expected errors and the residual u. The expected rate p = m / n is itself uncertain,
with the variance τ² of its log odds. That uncertainty counts as a baseline of n' audits with the rate p, where n'
leaves the same uncertainty: n' = φ / (τ² p (1 − p)), with φ the dispersion (variance of the errors over binomial
variance). With the rate q of the slice, the pooled rate q̄ and the Kullback-Leibler divergence K, the deviance of two
binomial samples is

    D = 2 (n K(q, q̄) + n' K(p, q̄)) / φ.

The score is sign(u) √D plus the correction for skewness of Pierce and Schafer (1986). It is standard normal if nothing
changed, also where few errors are expected.

Reference: Pierce and Schafer 1986, Residuals in generalized linear models. JASA 81, 977–986.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from rca_lib.stats.slice_search.contingency import Array

CONTINUITY_CORRECTION = 0.3  # errors; smaller the more errors there are
SKEWNESS_DAMPING = 36.0  # the series of the correction fails below one error, where the root is right by itself


def compute_signed_root(
    items: Array,
    expected_errors: Array | float,
    information: Array,
    residual: Array,
    error_variance: Array,
    variance: Array | float,
) -> Array:
    """Return the z-score of residuals.

    Parameters
    ----------
    items, expected_errors, residual
        Audits, expected errors, and errors minus expected errors.
    information
        The variance of the errors of independent audits with equal weights.
    error_variance
        The sampling variance of the errors, with clusters and weights.
    variance
        The whole variance of the residual; beyond `error_variance` it is uncertainty of the expected rate. Where it is
        infinite the score is 0.

    Returns
    -------
    ndarray
        Scores; standard normal if nothing changed.

    Notes
    -----
    A rate learned from hardly any error has the uncertainty of its beta distribution: it may be much lower, but hardly
    a hundred times higher. The correction for skewness is reduced below one error. The root is too large where hardly
    any errors are left; a fraction of one more error corrects that. Where audits differ in their expected rates, those
    that are errors anyway do not inform about more errors: the two samples have the variance of all audits and the
    audits that are left. Scores are within 0.1 of the mid-p value for increases over a Poisson mean of 0.1 to 40.

    References
    ----------
    Pierce and Schafer (1986), Residuals in generalized linear models, JASA 81: the correction for skewness.

    Examples
    --------
    Eleven errors where four are expected among 1,000 audits. The mid-p value of the Poisson distribution is .0019: a
    z-score of 2.9.

    >>> expected, information = np.array([4.0]), np.array([4 * 0.996])
    >>> score = compute_signed_root(np.array([1000.0]), expected, information, 11 - expected, information, information)
    >>> score.round(1).tolist()
    [2.9]
    """
    is_finite = np.isfinite(variance)
    variance = np.where(is_finite, variance, 1.0)
    information = np.maximum(information, 1e-12)
    increased = residual >= 0
    items_left = np.where(increased, items - expected_errors, expected_errors)
    items_left = np.maximum(items_left, information * (1 + 1e-9))
    rate_of_left = np.clip(information / items_left, 1e-12, 1 - 1e-12)
    expected_rate = np.where(increased, rate_of_left, 1 - rate_of_left)
    items = items_left / (1 - rate_of_left)
    errors = _correct_continuity(np.clip(items * expected_rate + residual, 0, items), items, residual)
    dispersion = np.maximum(np.minimum(error_variance, variance) / information, 1e-9)
    logit_variance = np.maximum(variance - error_variance, 1e-6 * information) / np.square(information)
    baseline_items = dispersion / (logit_variance * expected_rate * (1 - expected_rate))
    rate = errors / items
    pooled_rate = (errors + baseline_items * expected_rate) / (items + baseline_items)
    divergence = items * _kl_divergence(rate, pooled_rate) + baseline_items * _kl_divergence(expected_rate, pooled_rate)
    deviance = 2 * divergence / dispersion
    third_moment = information * np.square(dispersion) - information**3 * np.square(logit_variance)
    skewness = (1 - 2 * expected_rate) * third_moment / (6 * variance**1.5)
    skewness = skewness / (1 + SKEWNESS_DAMPING * np.square(skewness))
    signed_root = np.sign(errors - items * expected_rate) * np.sqrt(np.maximum(deviance, 0))
    return is_finite * (signed_root + skewness)


def _correct_continuity(errors: Array, items: Array, residual: Array) -> Array:
    """Move errors towards the expected ones by a fraction of an error."""
    decreased = residual < 0
    remaining = np.where(decreased, errors, items - errors)
    correction = np.minimum(CONTINUITY_CORRECTION / (1 + remaining), np.abs(residual))
    return np.where(decreased, errors + correction, errors - correction)


def _kl_divergence(rate: Array, reference: Array) -> Array:
    """Return the Kullback-Leibler divergence of one binomial trial from another."""
    divergence = xlogy(rate, rate / reference) + xlogy(1 - rate, (1 - rate) / (1 - reference))
    return np.asarray(divergence, np.float64)
