"""Numerical parts of a funnel plot: variance, overdispersion and control limits.

Symbols: point i (a site) has n_i audits, the rate r_i and the overall rate p. Its z-score against the overall rate is

    z_i = (r_i − p) / √(v_i / n_i),   v_i = p (1 − p).

If sites differ for many small reasons, z-scores vary more than a standard normal variable. The multiplicative
overdispersion is estimated from winsorised z-scores (those beyond the 10 % and 90 % quantiles are set to these):

    φ = √(mean of squared winsorised z_i),   at least 1.

The funnel is widened by φ. Points are called different at a false discovery rate (Benjamini and Hochberg 1995). The
limits drawn are those of the level at which that procedure stopped, so that the chart shows the same decision.

References: Spiegelhalter 2005, Statistics in Medicine 24, 1185–1202; Benjamini and Hochberg 1995, JRSS B 57, 289–300.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

MIN_POINTS_OVERDISPERSION = 5  # points from which overdispersion is estimated
WINSORIZED_SHARE = 0.1  # of the z-values at each end (Spiegelhalter 2005)


def estimate_overdispersion(z_values: np.ndarray) -> float:
    """Estimate the factor that widens the funnel, from the winsorised z-scores.

    Parameters
    ----------
    z_values
        The z-score of each point against the overall rate.

    Returns
    -------
    float
        The standard deviation of the z-scores, at least 1; 1 with fewer than five points.

    Notes
    -----
    A few outlying points do not raise the factor. If more than a fifth of the points differ from the others, they do.
    Winsorising lowers the standard deviation of normal z-scores to .82. Overdispersion below 1.2 is therefore not seen.

    References
    ----------
    Spiegelhalter (2005), Funnel plots for comparing institutional performance, Statistics in Medicine 24.

    Examples
    --------
    >>> round(estimate_overdispersion(np.array([-4.0, -2, -1, 0, 1, 2, 4])), 2)
    1.92
    >>> estimate_overdispersion(np.array([-0.5, 0, 0.5, 0, 0.5]))
    1.0
    """
    if len(z_values) < MIN_POINTS_OVERDISPERSION:
        return 1.0
    low, high = np.quantile(z_values, (WINSORIZED_SHARE, 1 - WINSORIZED_SHARE))
    return float(max(np.sqrt(np.mean(np.clip(z_values, low, high) ** 2)), 1.0))


def call_different(p_values: np.ndarray, is_judged: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """Decide which points differ from the overall rate, at a false discovery rate.

    Parameters
    ----------
    p_values
        The p-value of each point.
    is_judged
        Which points have enough audits to be judged; the others never differ.
    alpha
        The false discovery rate: the expected share of wrong calls among the points that are called different.

    Returns
    -------
    is_different
        Which points differ.
    limit_alpha
        The level of control limits that show the same decision.

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate, JRSS B 57.

    Examples
    --------
    >>> p_values, is_judged = np.array([0.001, 0.02, 0.4, 0.001]), np.array([True, True, True, False])
    >>> is_different, limit_alpha = call_different(p_values, is_judged, 0.05)
    >>> is_different.tolist(), round(limit_alpha, 4)
    ([True, True, False, False], 0.0333)
    """
    is_different, limit_alpha = np.zeros(len(p_values), bool), alpha
    if is_judged.any():
        is_different[is_judged] = stats.false_discovery_control(p_values[is_judged]) <= alpha
        limit_alpha = float(max(is_different.sum(), 1) * alpha / is_judged.sum())
    return is_different, limit_alpha


def compute_binomial_variance(overall: float, sizes: np.ndarray) -> np.ndarray:
    """Return the variance of a single audit at each point.

    Parameters
    ----------
    overall
        The overall error rate, as a share.
    sizes
        The number of audits of each point.

    Returns
    -------
    ndarray
        p (1 − p). If the overall rate is 0 or 1, half an error in one more audit is added to each point: otherwise no
        point would have a variance.

    Examples
    --------
    >>> compute_binomial_variance(0.1, np.array([100.0, 400.0])).round(4).tolist()
    [0.09, 0.09]
    >>> compute_binomial_variance(0.0, np.array([99.0])).round(6).tolist()
    [0.004975]
    """
    rate = np.full(len(sizes), overall)
    rate = np.where(rate * (1 - rate) > 0, rate, (rate * sizes + 0.5) / (sizes + 1))
    return rate * (1 - rate)
