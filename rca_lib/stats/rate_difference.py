"""The difference of two weighted rates: an interval that never leaves −1 to 1, and the p-value that goes with it.

A weighted rate r of n effective audits has Wilson's (1927) interval l to u. Newcombe (1998, method 10) puts two such
intervals together, for the difference d = r1 − r0:

    d − √((r1 − l1)² + (u0 − r0)²)   to   d + √((u1 − r1)² + (r0 − l0)²).

As no part leaves 0 to 1, no end leaves −1 to 1. Audits that hang together (one rater, one item) make the variance V of
d larger than the variance V₀ of as many independent ones. Both n are then divided by V/V₀, the design effect of the
difference (Kish 1965), never below one: clusters that happen to agree prove no precision. V is estimated from few
clusters, so Wilson's normal quantile gives way to Student's. The p-value is the level at which the interval just
reaches 0, so that the two never contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from rca_lib.findings import Estimate
from rca_lib.stats.rates import wilson_ends

FARTHEST = 60.0  # standard errors, beyond which a p-value is 0 in any case


@dataclass(frozen=True, slots=True)
class RateDifference:
    """A difference of two rates.

    Attributes
    ----------
    change
        After less before, as a share, with its interval.
    p_value
        Of "nothing changed", two-sided.
    design_effect
        The variance of the difference over that of as many independent audits, 1 at the least.
    effective
        How many independent audits before and after carry as much information.
    """

    change: Estimate
    p_value: float
    design_effect: float
    effective: tuple[float, float]


def difference_of_rates(
    before: float,
    after: float,
    sizes: tuple[float, float],
    *,
    variance: float = 0.0,
    degrees: float = np.inf,
    level: float = 0.95,
) -> RateDifference:
    """Compare two rates.

    Parameters
    ----------
    before, after
        The two rates, as shares.
    sizes
        The effective number of audits of each (Kish: squared sum of weights over the sum of squared weights).
    variance
        The variance of their difference as clusters of raters and items give it; that of independent audits at the
        least.
    degrees
        Of freedom of that variance.
    level
        The share of intervals that hold the true difference.

    Returns
    -------
    RateDifference
        The change in pp, its p-value, the design effect, and the effective numbers of audits.

    Raises
    ------
    ValueError
        If a rate is not between 0 and 1, or a size is not above 0.

    Notes
    -----
    A rate of 0 or 1 counts half an audit as the other kind where variances are compared; otherwise the design effect
    could not be told. The method holds its level from about 15 effective audits on (`bench_headlines.py`); with fewer
    its intervals are wide and honest, but a change can hardly be shown.

    References
    ----------
    Newcombe (1998), Interval estimation for the difference between independent proportions, Statistics in Medicine 17:
    method 10. Korn and Graubard (1998), Survey Methodology 24: effective sizes with Student's t.

    Examples
    --------
    >>> found = difference_of_rates(48 / 80, 56 / 70, (80, 70))  # Newcombe 1998 II, table II (a): 5.2 to 33.4
    >>> print(found.change, round(found.p_value, 3))
    20.0 pp (5.2 to 33.4) 0.008
    """
    if not (0 <= before <= 1 and 0 <= after <= 1 and min(sizes) > 0):
        raise ValueError("give two rates between 0 and 1 and two sizes above 0")
    alone = sum(_spread(rate, size) / size for rate, size in _pairs(before, after, sizes))
    effect = max(variance / alone, 1.0)
    counted = sizes[0] / effect, sizes[1] / effect

    def ends(critical: float) -> tuple[float, float]:
        (low_0, high_0), (low_1, high_1) = (
            wilson_ends(rate, size, critical) for rate, size in _pairs(before, after, counted)
        )
        down, up = np.hypot(after - low_1, high_0 - before), np.hypot(high_1 - after, before - low_0)
        return after - before - float(down), after - before + float(up)

    low, high = ends(float(stats.t.isf((1 - level) / 2, degrees)))
    change = Estimate(after - before, max(low, -1.0), min(high, 1.0), "pp", level)
    p_value = 1.0
    if after != before:
        side = 0 if after > before else 1
        reached = abs(ends(FARTHEST)[side]) if ends(FARTHEST)[side] * (after - before) > 0 else 0.0
        critical = FARTHEST if reached else float(brentq(lambda value: ends(value)[side], 0.0, FARTHEST))
        p_value = float(2 * stats.t.sf(critical, degrees))
    return RateDifference(change, p_value, effect, counted)


def _spread(rate: float, size: float) -> float:
    smooth = (rate * size + 0.5) / (size + 1) if rate in (0, 1) else rate
    return smooth * (1 - smooth)


def _pairs(before: float, after: float, sizes: tuple[float, float]) -> tuple[tuple[float, float], tuple[float, float]]:
    return (before, sizes[0]), (after, sizes[1])
