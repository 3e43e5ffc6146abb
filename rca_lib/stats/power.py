"""Sample size, power and minimum detectable change of error rates.

A two-sided z-test at level α has power 1 − β for a difference δ if the number of items (per group) is

    n = [(z_{1−α/2} √V₀ + z_{1−β} √V₁) / δ]²

V₀ and V₁ are the variances of a single item under the null and the alternative hypothesis. Two rates p₁, p₂ have
V₀ = 2 p̄ (1 − p̄), with p̄ their mean, and V₁ = p₁ (1 − p₁) + p₂ (1 − p₂). A rate p against a target p₀ has
V₀ = p₀ (1 − p₀) and V₁ = p (1 − p). The formula counts rejections in the direction of the difference only.

statsmodels computes n. The minimum detectable change inverts n in p₂; for clusters, n is divided by the squared ratio
of the quantiles of Student's t and of the normal distribution.

Items are assumed to be independent. For clustered or weighted samples, use effective numbers of items.

Reference: NIST/SEMATECH e-Handbook of Statistical Methods, 7.2.4.2.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy import stats
from scipy.optimize import brentq

MIN_CHANGE = 1e-9  # smallest change tried


def sample_size_two_rates(before: float, after: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the items per group that detect a change between two rates.

    Parameters
    ----------
    before, after
        The two rates, as shares.
    alpha
        Two-sided significance level.
    power
        Probability of detecting the change.

    Returns
    -------
    float
        Items per group, not rounded.

    Examples
    --------
    >>> [int(np.ceil(sample_size_two_rates(*rates))) for rates in ((0.05, 0.07), (0.05, 0.08), (0.02, 0.03))]
    [2213, 1059, 3826]
    """
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail  # slow to import, rarely needed

    return float(samplesize_proportions_2indep_onetail(after - before, before, power, alpha=alpha))


def sample_size_one_rate(target: float, rate: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the items that distinguish a rate from a target.

    Parameters
    ----------
    target, rate
        Target and true rate, as shares.
    alpha
        Two-sided significance level.
    power
        Probability of detecting the difference.

    Returns
    -------
    float
        Items, not rounded.

    Examples
    --------
    >>> round(sample_size_one_rate(0.05, 0.06))
    3932
    """
    from statsmodels.stats.power import normal_sample_size_one_tail  # slow to import, rarely needed

    null_deviation = sqrt(target * (1 - target))
    deviation = sqrt(rate * (1 - rate))
    return float(normal_sample_size_one_tail(rate - target, power, alpha / 2, null_deviation, deviation))


def minimum_detectable_change(
    rate: float, items: float, *, alpha: float = 0.05, power: float = 0.8, degrees: float = np.inf
) -> float:
    """Return the smallest rise of a rate that two samples of this size detect.

    Parameters
    ----------
    rate
        The rate before, as a share.
    items
        (Effective) items per sample.
    alpha
        Two-sided significance level.
    power
        Probability of detecting the rise.
    degrees
        Degrees of freedom of Student's t. Few clusters need more items than the normal quantile says.

    Returns
    -------
    float
        The rise, as a share; NaN if no rise can be detected.

    Examples
    --------
    >>> round(minimum_detectable_change(0.05, 2213), 4)
    0.02
    """
    quantile_ratio = stats.t.isf(alpha / 2, degrees) / stats.norm.isf(alpha / 2)
    normal_items = items / float(quantile_ratio**2)

    def missing_items(after: float) -> float:
        return sample_size_two_rates(rate, after, alpha=alpha, power=power) - normal_items

    smallest = min(rate + MIN_CHANGE, 1.0)
    if normal_items <= 0 or smallest >= 1 or missing_items(1.0) > 0:
        return float("nan")
    return float(brentq(missing_items, smallest, 1.0)) - rate
