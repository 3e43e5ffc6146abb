"""The variance of a weighted mean, ratio or sum whose rows share raters and items.

Errors of one rater are correlated, and so are errors on one item. A linearised estimate is a sum of influences u, one
per audit: for a mean, u = w (y − mean) / Σ w. S_g is the sum of u over cluster g. The variance by one clustering of G
clusters is

    V = G / (G − 1) · Σ S_g².

Two crossed clusterings (raters and items) give

    V = V_raters + V_items − V_pairs,

where pairs are the combinations of rater and item (Cameron, Gelbach and Miller 2011). By chance this difference can
fall below V_raters or V_items, even below zero. The largest of the three is therefore used (MacKinnon, Nielsen and
Webb 2024). Student's t has the degrees of freedom of the clustering with fewer clusters, minus
one. If no item occurs twice, V_items equals V_pairs and the variance is that by raters.

References: Cameron, Gelbach and Miller 2011, JBES 29; MacKinnon, Nielsen and Webb 2024, arXiv 2406.08880.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClusterVariance:
    """The variance of a sum of influences.

    Attributes
    ----------
    variance
        The variance.
    degrees_of_freedom
        Degrees of freedom for Student's t.
    clusters
        The number of clusters of the coarser clustering; 0 without clusters.
    two_way
        Whether items count as clusters.
    """

    variance: float
    degrees_of_freedom: float
    clusters: int
    two_way: bool


def estimate_cluster_variance(
    influence: Array, raters: Codes | None, items: Codes | None, *, weight: Array | None = None
) -> ClusterVariance:
    """Estimate the variance of a sum of influences whose rows are clustered by rater and by item.

    Parameters
    ----------
    influence
        One linearised contribution per row. Their sum is the estimate minus its expectation. Rows of one rater and one
        item may be summed beforehand. For a difference of two periods, give the rows of the first a minus sign, and use
        the same codes for raters and items in both periods.
    raters, items
        The cluster of each row, as a whole number from 0. None: unknown.
    weight
        The weight of each row. If given, a cluster's square is divided by 1 minus its share of the weight (Bell and
        McCaffrey 2002) instead of the common factor G / (G − 1). The degrees of freedom are then the effective number
        of clusters, 1 / Σ share², minus one.

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
    Clusters are treated as a random sample of an unlimited number. Dependence within a day or team is ignored. Below
    about ten clusters of the coarser kind the variance estimate is imprecise. Student's t allows for this in part. A
    clustering with one cluster carries no information and is left out.

    References
    ----------
    Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering, JBES 29: the sum of three variances.
    MacKinnon, Nielsen and Webb (2024), Jackknife inference with two-way clustering, arXiv 2406.08880: the maximum of
    the three. Bell and McCaffrey (2002), Survey Methodology 28: the correction for leverage.

    Examples
    --------
    >>> errors, raters = np.array([1.0, 1, 0, 0, 1, 0]), np.array([0, 1, 0, 1, 0, 1])
    >>> items = np.array([0, 0, 1, 1, 2, 2])
    >>> result = estimate_cluster_variance((errors - errors.mean()) / 6, raters, items)
    >>> round(result.variance, 4), result.degrees_of_freedom, result.two_way
    (0.0833, 1.0, True)
    """
    given = [array for array in (raters, items, weight) if array is not None]
    if not len(influence) or any(len(array) != len(influence) for array in given):
        raise ValueError("give one influence, rater, item and weight for each row, and one row at least")
    by_rater = None if raters is None else _one_way_variance(influence, raters, weight)
    by_item = None if items is None else _one_way_variance(influence, items, weight)
    if raters is None or items is None or by_rater is None or by_item is None:
        one_way = by_rater or by_item
        if one_way is None:
            return ClusterVariance(float(influence @ influence), np.inf, 0, False)
        return ClusterVariance(one_way.variance, one_way.degrees_of_freedom, one_way.clusters, by_item is not None)
    pairs = _encode_pairs(raters, items)
    each_item_has_one_rater = int(pairs.max()) + 1 == len(np.unique(items))
    if each_item_has_one_rater:
        return ClusterVariance(by_rater.variance, by_rater.degrees_of_freedom, by_rater.clusters, False)
    by_pair = _one_way_variance(influence, pairs, weight)
    crossed = by_rater.variance + by_item.variance - (by_pair.variance if by_pair else 0.0)
    return ClusterVariance(
        variance=max(by_rater.variance, by_item.variance, crossed),
        degrees_of_freedom=min(by_rater.degrees_of_freedom, by_item.degrees_of_freedom),
        clusters=min(by_rater.clusters, by_item.clusters),
        two_way=True,
    )


def _encode_pairs(raters: Codes, items: Codes) -> Codes:
    """Number the combinations of rater and item that occur."""
    return np.unique(items * (int(raters.max()) + 1) + raters, return_inverse=True)[1]


@dataclass(frozen=True, slots=True)
class _OneWayVariance:
    """The variance by one clustering."""

    variance: float
    degrees_of_freedom: float
    clusters: int


def _one_way_variance(influence: Array, codes: Codes, weight: Array | None) -> _OneWayVariance | None:
    """Return the variance by one clustering; None for a single cluster, which carries no information."""
    sums = np.bincount(codes, influence)
    rows = np.bincount(codes)
    clusters = int((rows > 0).sum())
    if clusters < 2:
        return None
    if weight is None:
        return _OneWayVariance(clusters / (clusters - 1) * float(sums @ sums), clusters - 1.0, clusters)
    shares = np.bincount(codes, weight) / weight.sum()
    degrees_of_freedom = max(1 / float(shares @ shares) - 1, 1.0)
    variance = float((sums**2 / np.maximum(1 - shares, 1e-12)).sum())
    return _OneWayVariance(variance, degrees_of_freedom, clusters)
