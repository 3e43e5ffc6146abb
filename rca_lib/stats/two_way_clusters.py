"""The variance of a weighted mean, ratio or sum whose rows share raters and items.

Errors of one rater hang together, and so do errors on one item. A linearised estimate is a sum of influences u, one per
audit: for a mean, u = w (y - mean) / sum of w. With S_g the sum of u over cluster g, the variance by one clustering of
G clusters is V = G / (G - 1) * sum of S_g squared. Two crossed clusterings give

    V = V_raters + V_items - V_pairs,

where pairs are the combinations of rater and item (Cameron, Gelbach and Miller 2011). That difference can fall below
either of its first two parts, even below zero, by chance alone. The larger of the three is then taken, which is never
too small (MacKinnon, Nielsen and Webb 2021). Student's t has the degrees of freedom of the fewer clusters, less one.
Where no item occurs twice, V_items equals V_pairs and the variance is that by raters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClusterVariance:
    """The variance of a sum of influences, and the degrees of freedom of Student's t that go with it.

    `by_rater` and `by_item` are the variances by one clustering alone (NaN where there is none), `clusters` the number
    of clusters of the coarser clustering. `two_way` tells whether items count as clusters.
    """

    variance: float
    degrees: float
    by_rater: float
    by_item: float
    clusters: int
    two_way: bool


def cluster_variance(
    influence: Array, raters: Codes | None, items: Codes | None, *, weight: Array | None = None
) -> ClusterVariance:
    """Estimate the variance of a sum of influences whose rows are clustered by rater and by item.

    Parameters
    ----------
    influence
        One linearised contribution per row, the sum of which is the estimate less its expectation. Rows of one rater
        and one item may have been summed before. For a difference of two periods, give the rows of the first with a
        minus sign, and the same codes to raters and items of both periods.
    raters, items
        The cluster of each row, as a whole number from 0. None: not known.
    weight
        The weight of each row. Where it is given, a cluster's square is divided by 1 minus its share of the weight
        (Bell and McCaffrey 2002) in place of the common factor G / (G - 1), and clusters are counted by their effective
        number, so that one large cluster does not pass for many.

    Returns
    -------
    ClusterVariance
        Infinite degrees of freedom, and the variance of independent rows, where neither clustering is known.

    Raises
    ------
    ValueError
        If there is no row, or the arrays differ in length.

    Notes
    -----
    Clusters are taken as drawn at random and unbounded in number. It cannot see dependence that follows neither raters
    nor items (a day, a team), and below about ten clusters of the coarser kind it is itself unsure, which Student's t
    allows for in part. A clustering with one cluster tells nothing and is left out.

    References
    ----------
    Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering, JBES 29: the sum of three variances.
    MacKinnon, Nielsen and Webb (2021), Wild bootstrap and asymptotic inference with multiway clustering, JBES 39: the
    maximum of the three.

    Examples
    --------
    >>> errors, raters = np.array([1.0, 1, 0, 0, 1, 0]), np.array([0, 1, 0, 1, 0, 1])
    >>> items = np.array([0, 0, 1, 1, 2, 2])
    >>> found = cluster_variance((errors - errors.mean()) / 6, raters, items)
    >>> round(found.variance, 4), found.degrees, found.two_way
    (0.0833, 1.0, True)
    """
    given = [one for one in (raters, items, weight) if one is not None]
    if not len(influence) or any(len(one) != len(influence) for one in given):
        raise ValueError("give one influence, rater, item and weight for each row, and one row at least")
    rater, item = (None if one is None else _one_way(influence, one, weight) for one in (raters, items))
    by_rater, by_item = (float("nan") if one is None else one.variance for one in (rater, item))
    if rater is None and item is None:
        return ClusterVariance(float(influence @ influence), np.inf, by_rater, by_item, 0, False)
    if rater is None or item is None:
        only = rater or item
        return ClusterVariance(only.variance, only.degrees, by_rater, by_item, only.clusters, item is not None)
    pairs = _number_pairs(raters, items)
    if int(pairs.max()) + 1 == len(np.unique(items)):  # each item has one rater
        return ClusterVariance(by_rater, rater.degrees, by_rater, by_item, rater.clusters, False)
    both = _one_way(influence, pairs, weight)
    crossed = by_rater + by_item - (both.variance if both else 0.0)
    fewer = min(rater, item, key=lambda one: one.degrees)
    return ClusterVariance(
        max(by_rater, by_item, crossed), fewer.degrees, by_rater, by_item, min(rater.clusters, item.clusters), True
    )


def _number_pairs(raters: Codes, items: Codes) -> Codes:
    return np.unique(items * (int(raters.max()) + 1) + raters, return_inverse=True)[1]


@dataclass(frozen=True, slots=True)
class _OneWay:
    variance: float
    degrees: float
    clusters: int


def _one_way(influence: Array, codes: Codes, weight: Array | None) -> _OneWay | None:
    """Return the variance by one clustering; None where there is one cluster only, which tells nothing."""
    sums, rows = np.bincount(codes, influence), np.bincount(codes)
    number = int((rows > 0).sum())
    if number < 2:
        return None
    if weight is None:
        return _OneWay(number / (number - 1) * float(sums @ sums), number - 1.0, number)
    shares = np.bincount(codes, weight) / weight.sum()
    degrees = max(1 / float(shares @ shares) - 1, 1.0)
    return _OneWay(float((sums**2 / np.maximum(1 - shares, 1e-12)).sum()), degrees, number)
