"""Confidence intervals of rates: Wilson, Clopper–Pearson, differences, and weighted or clustered samples.

Let p = x / n and z be the normal quantile. Wilson's interval holds all rates π with |p − π| ≤ z √(π (1 − π) / n):

    [p + z² / 2n ± z √(p (1 − p) / n + z² / 4n²)] / (1 + z² / n)

The difference p₁ − p₂ of independent rates has the hybrid score interval, from the limits l and u of each rate:

    p₁ − p₂ − √((p₁ − l₁)² + (u₂ − p₂)²)   to   p₁ − p₂ + √((u₁ − p₁)² + (p₂ − l₂)²)

A weighted rate is the Hájek estimate Σ w y / Σ w. Clusters and weights enter as an effective number of items,
p (1 − p) / Var(p).

References: Wilson 1927; Clopper and Pearson 1934; Newcombe 1998 II (method 10); Kish 1965; Korn and Graubard 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from rca_lib.findings import Estimate, Rate
from rca_lib.stats.clustered_data.two_way_variance import estimate_cluster_variance

DIGITS = 12  # digits that survive rounding errors
ROUNDING = 1e-9  # relative difference by which effective and actual counts may differ through rounding
MIN_VARIANCE = 1e-300  # keeps quotients finite


def wilson_interval(errors: float, items: float, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate.

    Parameters
    ----------
    errors, items
        Counts, or effective counts, which need not be whole. Items are assumed to be independent.
    level
        Confidence level.

    Returns
    -------
    tuple
        Lower and upper limit, as shares; 0 to 1 without items.

    References
    ----------
    Wilson 1927, Journal of the American Statistical Association 22, 209–212.

    Examples
    --------
    >>> [round(limit, 4) for limit in wilson_interval(18, 20)]
    [0.699, 0.9721]
    """
    return score_interval(errors / items, items, _normal_quantile(level)) if items > 0 else (0.0, 1.0)


def score_interval(rate: float, items: float, critical: float) -> tuple[float, float]:
    """Return the score interval of a rate for a critical value.

    Parameters
    ----------
    rate, items
        Rate as a share, and (effective) number of items.
    critical
        Critical value, in standard errors.

    Returns
    -------
    tuple
        Lower and upper limit. Rounding errors never move them outside 0 to 1 or past the rate.

    Notes
    -----
    `statsmodels.stats.proportion.proportion_confint` gives the same limits. It takes a level instead of a critical
    value; no level stands for critical values above 38, which p-values need. It is also 70 times slower.

    Examples
    --------
    >>> [round(limit, 4) for limit in score_interval(0.9, 20, 1.959964)]
    [0.699, 0.9721]
    """
    rate = min(max(rate, 0.0), 1.0)
    scale = 1 + critical**2 / items
    centre = (rate + critical**2 / (2 * items)) / scale
    margin = critical * np.sqrt(rate * (1 - rate) / items + critical**2 / (4 * items**2)) / scale
    low = 0.0 if rate <= 0 else min(max(float(centre - margin), 0.0), rate)
    high = 1.0 if rate >= 1 else max(min(float(centre + margin), 1.0), rate)
    return low, high


def clopper_pearson_interval(
    errors: float, items: float, *, level: float = 0.95, one_sided_ends: bool = False
) -> tuple[float, float]:
    """Return the exact interval of a rate.

    Parameters
    ----------
    errors, items
        Counts, or effective counts.
    level
        Confidence level.
    one_sided_ends
        Use a one-sided interval if no or all items are errors, as Minitab does.

    Returns
    -------
    tuple
        Lower and upper limit, as shares; 0 to 1 without items.

    References
    ----------
    Clopper and Pearson 1934, Biometrika 26, 404–413.

    Examples
    --------
    >>> [round(limit, 4) for limit in clopper_pearson_interval(18, 20)]
    [0.683, 0.9877]
    >>> (round(clopper_pearson_interval(15, 15)[0], 4),
    ...  round(clopper_pearson_interval(15, 15, one_sided_ends=True)[0], 4))
    (0.782, 0.819)
    """
    if items <= 0:
        return 0.0, 1.0
    from statsmodels.stats.proportion import proportion_confint  # takes 0.3 s to import

    is_one_sided = one_sided_ends and errors in (0, items)
    two_sided_alpha = (1 - level) * (2 if is_one_sided else 1)
    low, high = proportion_confint(errors, items, alpha=two_sided_alpha, method="beta")
    return float(low), float(high)


def wilson_rate(errors: float, items: float, *, level: float = 0.95) -> Rate:
    """Return an unweighted rate with its Wilson interval.

    Parameters
    ----------
    errors, items
        Counts of independent items.
    level
        Confidence level.

    Returns
    -------
    Rate
        The rate; its value is NaN, and its interval 0 to 1, without items.

    Examples
    --------
    >>> print(wilson_rate(18, 20))
    90.0 % (69.9 to 97.2; 18 of 20)
    """
    low, high = wilson_interval(errors, items, level=level)
    return Rate(errors, items, errors / items if items else float("nan"), low, high, level)


def subtract_rates(after: Rate, before: Rate) -> Estimate:
    """Return `after` minus `before` in pp, with the hybrid score interval.

    Parameters
    ----------
    after, before
        Rates of independent samples. Their intervals may allow for clusters; the difference then does so too.

    Returns
    -------
    Estimate
        The difference in pp, at the confidence level of `after`.

    References
    ----------
    Newcombe 1998 II, Statistics in Medicine 17, 873–890 (method 10).

    Examples
    --------
    >>> print(subtract_rates(wilson_rate(56, 70), wilson_rate(48, 80)))
    20.0 pp (5.2 to 33.4)
    """
    change = after.value - before.value
    low = change - np.hypot(after.value - after.low, before.high - before.value)
    high = change + np.hypot(after.high - after.value, before.value - before.low)
    return Estimate(change, float(low), float(high), "pp", after.level)


def estimate_mean_probability(probabilities: np.ndarray) -> Estimate:
    """Estimate the share of items with a property from the probability of each item.

    Parameters
    ----------
    probabilities
        One probability per item.

    Returns
    -------
    Estimate
        The mean probability, unit "%", with Wilson's interval.

    Notes
    -----
    The interval allows for the sample of items and for the uncertainty of each item. It takes the probabilities as
    calibrated.

    Examples
    --------
    >>> str(estimate_mean_probability(np.array([1.0, 0.0, 0.5, 0.5] * 25)))
    '50.0 % (40.4 to 59.6)'
    """
    n_items = len(probabilities)
    mean = float(probabilities.mean()) if n_items else 0.0
    low, high = wilson_interval(mean * n_items, n_items)
    return Estimate(round(mean, DIGITS), round(low, DIGITS), round(high, DIGITS), "%")


@dataclass(frozen=True, slots=True)
class ClusteredRate:
    """Rate of a weighted or clustered sample.

    Attributes
    ----------
    rate
        The rate with its interval.
    design_effect
        Variance of the rate relative to as many independent, equally weighted items.
    clusters
        Number of clusters.
    degrees
        Degrees of freedom of Student's t; infinite for independent items.
    """

    rate: Rate
    design_effect: float
    clusters: int
    degrees: float = np.inf


def estimate_clustered_rate(
    is_error: np.ndarray,
    items: np.ndarray,
    weight: np.ndarray,
    squared_weight: np.ndarray,
    cluster: np.ndarray | None = None,
    item: np.ndarray | None = None,
    *,
    level: float = 0.95,
) -> ClusteredRate:
    """Estimate a weighted rate whose audits are clustered by rater, by repeatedly audited item, or both.

    Parameters
    ----------
    is_error
        One element per cell of identical audits: whether they are errors.
    items, weight, squared_weight
        Number of audits per cell, the sum of their weights, and the sum of their squared weights.
    cluster
        Cluster code (rater) per cell, from 0. None: all audits are independent.
    item
        Item code per cell, from 0. None: every item is audited once.
    level
        Confidence level.

    Returns
    -------
    ClusteredRate
        The rate with its interval, design effect and degrees of freedom.

    Notes
    -----
    The Hájek estimate has Wilson's interval on the effective number of independent items. This number is at most Kish's
    (1965): errors concentrated where weights are small must not feign precision. If the variance between clusters gives
    fewer effective items, the interval is that of Korn and Graubard (1998) with Student's t. Raters and items are
    crossed clusters (`estimate_cluster_variance`). The interval concerns the rate that such clusters produce, not only
    the clusters at hand. It is wide below ten clusters. Without any error, each item counts once.

    Coverage of stated 95 % intervals was 93 to 99 % in `tests/benchmarks/bench_intervals.py`.

    References
    ----------
    Kish 1965, Survey Sampling; Korn and Graubard 1998, Survey Methodology 24, 193–201.

    Examples
    --------
    Ten raters with 100 audits each; five of them err in 2 % and five in 18 %.

    >>> is_error = np.tile([True, False], 10)
    >>> items = np.array([2.0, 98.0] * 5 + [18.0, 82.0] * 5)
    >>> clustered = estimate_clustered_rate(is_error, items, items, items, np.repeat(np.arange(10), 2))
    >>> print(clustered.rate, round(clustered.design_effect, 1))
    10.0 % (4.8 to 17.9; 100 of 1,000) 7.9
    """
    total_weight = float(weight.sum())
    n_audits = float(items.sum())
    errors = float(items[is_error].sum())
    if total_weight <= 0:
        return ClusteredRate(wilson_rate(0, 0, level=level), 1.0, 0)
    value = min(max(float(weight[is_error].sum()) / total_weight, 0.0), 1.0)
    item_variance = value * (1 - value)
    independent_variance = float((squared_weight * (is_error - value) ** 2).sum()) / total_weight**2
    effective = total_weight**2 / float(squared_weight.sum())
    if item_variance > 0:
        effective = min(effective, item_variance / independent_variance)
    if item is not None and (item_variance <= 0 or item.max() == 0):  # correlation within items cannot be estimated
        effective = min(effective, total_weight**2 / float((np.bincount(item, weight) ** 2).sum()))
    low, high = wilson_interval(value * effective, effective, level=level)
    method = "Wilson" if effective >= n_audits * (1 - ROUNDING) else "Wilson on effective counts"
    clusters = 0 if cluster is None else len(np.unique(cluster))
    degrees = np.inf
    if (clusters > 1 or item is not None) and item_variance > 0:
        influence = weight * (is_error - value) / total_weight
        clustered = estimate_cluster_variance(influence, cluster, item, weight=weight)
        variance = max(clustered.variance, MIN_VARIANCE)
        degrees = clustered.degrees_of_freedom
        quantile_ratio = _normal_quantile(level) / stats.t.ppf((1 + level) / 2, degrees)
        korn_graubard = item_variance / variance * quantile_ratio**2
        if korn_graubard < effective:
            low, high = clopper_pearson_interval(value * korn_graubard, korn_graubard, level=level)
            method = "Korn–Graubard by rater and item" if clustered.two_way else "Korn–Graubard by cluster"
        effective = min(effective, item_variance / variance)
    rate = Rate(errors, n_audits, value, low, high, level, method)
    return ClusteredRate(rate, n_audits / effective, clusters, degrees)


@lru_cache(maxsize=64)
def _normal_quantile(level: float) -> float:
    """Return the two-sided normal quantile of a confidence level."""
    return float(stats.norm.ppf((1 + level) / 2))
