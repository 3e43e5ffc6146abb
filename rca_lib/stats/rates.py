"""Rates: their intervals with weights and clusters, and what a sample of a given size can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from rca_lib.findings import Estimate, Rate
from rca_lib.stats.two_way_clusters import cluster_variance


def wilson(errors: float, items: float, *, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a rate (Wilson 1927) that a share `level` of all samples has around the true rate.

    `errors` and `items` may be effective counts, not whole; without items it is 0 to 1. It takes items as independent.

    Examples
    --------
    >>> [round(end, 4) for end in wilson(18, 20)]
    [0.699, 0.9721]
    """
    return wilson_ends(errors / items, items, _normal(level)) if items > 0 else (0.0, 1.0)


def wilson_ends(rate: float, items: float, critical: float) -> tuple[float, float]:
    """Return the rates that lie `critical` standard errors, each at its own variance, from a rate of so many items.

    The ends stay between 0 and 1 and hold the rate, whatever rounding does.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_ends(0.9, 20, 1.959964)]
    [0.699, 0.9721]
    """
    rate = min(max(rate, 0.0), 1.0)
    scale = 1 + critical**2 / items
    middle = (rate + critical**2 / (2 * items)) / scale
    half = critical * np.sqrt(rate * (1 - rate) / items + critical**2 / (4 * items**2)) / scale
    low = 0.0 if rate <= 0 else min(max(float(middle - half), 0.0), rate)
    return low, 1.0 if rate >= 1 else max(min(float(middle + half), 1.0), rate)


def clopper_pearson(
    errors: float, items: float, *, level: float = 0.95, one_sided_ends: bool = False
) -> tuple[float, float]:
    """Return the exact interval of a rate (Clopper and Pearson 1934).

    It is two-sided also where no or all items are errors, unless `one_sided_ends` (as Minitab has it).

    Examples
    --------
    >>> [round(end, 4) for end in clopper_pearson(18, 20)]
    [0.683, 0.9877]
    >>> round(clopper_pearson(15, 15)[0], 4), round(clopper_pearson(15, 15, one_sided_ends=True)[0], 4)
    (0.782, 0.819)
    """
    if items <= 0:
        return 0.0, 1.0
    tail = (1 - level) / (1 if one_sided_ends and errors in (0, items) else 2)
    low = 0.0 if errors <= 0 else float(stats.beta.ppf(tail, errors, items - errors + 1))
    return low, 1.0 if errors >= items else float(stats.beta.ppf(1 - tail, errors + 1, items - errors))


def wilson_rate(errors: float, items: float, *, level: float = 0.95) -> Rate:
    """Return a plain rate with its Wilson interval; without items the value is not a number."""
    low, high = wilson(errors, items, level=level)
    return Rate(errors, items, errors / items if items else float("nan"), low, high, level)


def subtract_rates(after: Rate, before: Rate) -> Estimate:
    """Return `after` minus `before` in pp, with the hybrid score interval (Newcombe 1998 II, method 10).

    The two samples are taken as independent; their own intervals, clustered or not, carry over.

    Examples
    --------
    >>> print(subtract_rates(wilson_rate(56, 70), wilson_rate(48, 80)))
    20.0 pp (5.2 to 33.4)
    """
    change = after.value - before.value
    low = change - np.hypot(after.value - after.low, before.high - before.value)
    high = change + np.hypot(after.high - after.value, before.value - before.low)
    return Estimate(change, float(low), float(high), "pp", after.level)


def mean_chance(chances: np.ndarray) -> Estimate:
    """Return the share of items of which something is true, from the chance of each; the interval allows for both.

    That is: for the items that happened to be drawn, and for what is unsure of each; not for chances that are wrong.

    Examples
    --------
    >>> str(mean_chance(np.array([1.0, 0.0, 0.5, 0.5] * 25)))
    '50.0 % (40.4 to 59.6)'
    """
    mean = float(chances.mean()) if len(chances) else 0.0
    ends = wilson(mean * len(chances), len(chances))
    return Estimate(*(round(float(one), 12) for one in (mean, *ends)), "%")


def correct_rate(observed: Rate, differing: float, pairs: int) -> Estimate:
    """Take the audit's own error off a rate: Rogan and Gladen 1978, where audits differ in so large a share of pairs.

    With audits that err at a rate e, whatever the rater did, a rate p is seen as p (1 − e) + (1 − p) e, and two of them
    differ in 2 e (1 − e). The interval allows for both samples: for the pairs by the ends of Wilson's interval, for few
    pairs that never differ do not show that audits never err. Never below 0.

    Examples
    --------
    >>> seen = Rate(580, 10000, 0.058, 0.0536, 0.0627)  # 4 % of real errors seen through audits that err in 2 %
    >>> str(correct_rate(seen, 2 * 0.02 * 0.98, 2000))
    '4.0 % (3.3 to 4.6)'
    """

    def correct(rate: float, share: float) -> float:
        clear = np.sqrt(1 - 2 * min(share, 0.49))  # 1 − 2 e
        return float((rate - (1 - clear) / 2) / clear)

    value = correct(observed.value, differing)
    noise = [value - correct(observed.low, differing), correct(observed.high, differing) - value]
    shares = wilson(differing * pairs, pairs)
    if shares[1] >= 0.5:  # audits that may be the toss of a coin tell nothing
        return Estimate(float(np.clip(value, 0, 1)), 0.0, 1.0, "%")
    doubt = [correct(observed.value, share) - value for share in shares]
    low, high = value - np.hypot(noise[0], min(*doubt, 0.0)), value + np.hypot(noise[1], max(*doubt, 0.0))
    return Estimate(*(round(float(np.clip(one, 0, 1)), 12) for one in (value, low, high)), "%")


def two_phase_mean(
    sizes: Sequence[float], strata: Sequence[np.ndarray], *, population: float = np.inf, least: Sequence[float] = ()
) -> tuple[float, float, float]:
    """Estimate a mean from strata of a first sample, of each of which a part was looked at again.

    Parameters
    ----------
    sizes
        How many items of the first sample fall in each stratum.
    strata
        The values found in the part of each.
    population
        How many items the first sample was drawn from.
    least
        A floor for each stratum's variance: a part in which all are alike is not without any.

    Returns
    -------
    tuple
        The mean, its variance from the first phase and from the second (Särndal, Swensson and Wretman 1992, 9.4.14).

    Examples
    --------
    >>> mean, *variances = two_phase_mean([12, 8], [np.arange(1, 6), np.arange(6, 9)], population=300)
    >>> 300 * mean, [round(300**2 * one, 2) for one in variances]  # their example: 1380, 24072.63 and 12450
    (1380.0, [24072.63, 12450.0])
    """
    first, parts = np.asarray(sizes, float), np.array([len(one) for one in strata])
    total, means = first.sum(), np.array([one.mean() for one in strata])
    spreads = np.array([one.var(ddof=1) if len(one) > 1 else 0.0 for one in strata])
    spreads, shares = np.maximum(spreads, least if len(least) else 0.0), first / first.sum()
    mean = float(shares @ means)
    seen_less = (total - first) / (total - 1) / parts
    spread = shares @ ((1 - seen_less) * spreads) + total / (total - 1) * (shares @ np.square(means - mean))
    second = (np.square(shares) * (1 - np.minimum(parts / first, 1)) * spreads / parts).sum()
    return mean, float((1 - total / population) / total * spread), float(second)


@dataclass(frozen=True, slots=True)
class ClusteredRate:
    """A rate; `design_effect` is its variance over that of as many independent, equally weighted items.

    `degrees` of freedom has Student's t for it, infinite where audits are independent.
    """

    rate: Rate
    design_effect: float
    clusters: int
    degrees: float = np.inf


def clustered_rate(
    event: np.ndarray,
    items: np.ndarray,
    weight: np.ndarray,
    squared_weight: np.ndarray,
    cluster: np.ndarray | None = None,
    item: np.ndarray | None = None,
    *,
    level: float = 0.95,
) -> ClusteredRate:
    """Estimate a weighted rate whose audits come in clusters: those of a rater, and those of an item judged often.

    Parameters
    ----------
    event
        Per cell of items alike: are they errors?
    items, weight, squared_weight
        How many they are, the sum of their weights and of their squared weights.
    cluster
        Their cluster, as a whole number from 0; None where all items are independent.
    item
        The item that they are judgments of, as a whole number from 0; None where each is judged once.

    Notes
    -----
    The Hájek estimate has Wilson's interval on the effective number of independent items, Kish's (1965) at the most, so
    that errors which sit where weights are small feign no precision; or, where the variance between clusters gives
    fewer, Korn and Graubard's (1998) on that number, with t of the effective number of clusters − 1. Raters and items
    are crossed clusters (`cluster_variance`). It speaks of the rate that such clusters produce, not only of those at
    hand, and is wide below ten clusters. Without any error each item counts once. Stated 95 %, it held 93 to 99 % in
    `tests/benchmarks/bench_intervals.py`.
    """
    total, count, errors = float(weight.sum()), float(items.sum()), float(items[event].sum())
    if total <= 0:
        return ClusteredRate(wilson_rate(0, 0, level=level), 1.0, 0)
    value = min(max(float(weight[event].sum()) / total, 0.0), 1.0)
    spread = value * (1 - value)
    independent = float((squared_weight * (event - value) ** 2).sum()) / total**2
    effective = total**2 / float(squared_weight.sum())
    effective = min(effective, spread / independent) if spread > 0 else effective
    if item is not None and (spread <= 0 or item.max() == 0):  # how judgments of an item hang together is not known
        effective = min(effective, total**2 / float((np.bincount(item, weight) ** 2).sum()))
    low, high = wilson(value * effective, effective, level=level)
    method = "Wilson" if effective >= count * (1 - 1e-9) else "Wilson on effective counts"
    clusters = 0 if cluster is None else len(np.unique(cluster))
    clustered, degrees = clusters > 1 or item is not None, np.inf
    if clustered and spread > 0:
        influence = weight * (event - value) / total
        found = cluster_variance(influence, cluster, item, weight=weight)
        variance, degrees = max(found.variance, 1e-300), found.degrees
        counted = spread / variance * (_normal(level) / stats.t.ppf((1 + level) / 2, degrees)) ** 2
        if counted < effective:
            low, high = clopper_pearson(value * counted, counted, level=level)
            method = "Korn–Graubard by cluster" if not found.two_way else "Korn–Graubard by rater and item"
        effective = min(effective, spread / variance)
    return ClusteredRate(Rate(errors, count, value, low, high, level, method), count / effective, clusters, degrees)


def two_rates_size(before: float, after: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the items per group that show a change between two rates (two-sided z, pooled variance under the null).

    Examples
    --------
    >>> [int(np.ceil(two_rates_size(*rates))) for rates in ((0.05, 0.07), (0.05, 0.08), (0.02, 0.03))]
    [2213, 1059, 3826]
    """
    middle = (before + after) / 2
    null, real = 2 * middle * (1 - middle), before * (1 - before) + after * (1 - after)
    return _size(null, real, after - before, alpha, power)


def one_rate_size(target: float, rate: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the items that tell a rate from a target (two-sided z, NIST handbook 7.2.4.2).

    Examples
    --------
    >>> round(one_rate_size(0.05, 0.06))
    3932
    """
    return _size(target * (1 - target), rate * (1 - rate), rate - target, alpha, power)


def _size(null_variance: float, real_variance: float, change: float, alpha: float, power: float) -> float:
    spread = stats.norm.ppf(1 - alpha / 2) * np.sqrt(null_variance) + stats.norm.ppf(power) * np.sqrt(real_variance)
    return float((spread / change) ** 2)


def detectable_change(
    rate: float, items: float, *, alpha: float = 0.05, power: float = 0.8, degrees: float = np.inf
) -> float:
    """Return the smallest rise of a rate that two samples of so many (effective) items would show; NaN if none would.

    With few clusters Student's t of so many `degrees` of freedom asks for more items than the normal quantile does.

    Examples
    --------
    >>> round(detectable_change(0.05, 2213), 4)
    0.02
    """

    needed = (stats.t.isf(alpha / 2, degrees) / stats.norm.isf(alpha / 2)) ** 2
    items = items / float(needed)

    def lack(after: float) -> float:
        return two_rates_size(rate, after, alpha=alpha, power=power) - items

    smallest = min(rate + 1e-9, 1.0)
    if items <= 0 or smallest >= 1 or lack(1.0) > 0:
        return float("nan")
    return float(brentq(lack, smallest, 1.0)) - rate


@lru_cache(maxsize=64)
def _normal(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))
