"""The change of an error rate between two periods, adjusted for what a model expects of the same work.

Symbols: each period has a weighted rate p and an effective number of audits n. `estimate_rate_difference` gives the
interval of the difference. Audits that share raters or items count as fewer: n is divided by the clustered variance of
the difference (`two_way_variance`) relative to that of independent audits.

Errors can be counted beyond an offset m per cell (the rate a model expects). The difference is then the change at the
same work. With V(e) the variance of the mean of errors, and V(e − m) that of errors beyond the offset, n is multiplied
by V(e) / V(e − m): the offset explains part of the differences between audits.

References: Newcombe 1998, Statistics in Medicine 17; Korn and Graubard 1998, Survey Methodology 24.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rca_lib.findings import Estimate
from rca_lib.stats.clustered_data.two_way_variance import ClusterVariance, estimate_cluster_variance
from rca_lib.stats.rate_difference import estimate_rate_difference
from rca_lib.stats.slice_search.contingency import Array, CellItemCounts, ContingencyTable

PeriodPair = Sequence[Any]  # one value for the baseline, one for the current period; each a number or one per cell


def estimate_adjusted_difference(
    periods: Sequence[ContingencyTable],
    *,
    offsets: PeriodPair = (0.0, 0.0),
    expected_rates: PeriodPair = (0.0, 0.0),
    rater_dimension: int | None = None,
    item_counts: Sequence[CellItemCounts] | None = None,
) -> tuple[Estimate, float]:
    """Estimate the change of an error rate in pp, with its 95 % interval and p-value.

    Parameters
    ----------
    periods
        The tables of the baseline and of the current period.
    offsets
        Per period: what is subtracted from each error, by cell, between 0 and 1.
    expected_rates
        Per period: the expected error rate by cell that raters and items are compared with. Known changes belong in
        here; otherwise they look like differences between raters.
    rater_dimension
        The dimension of the raters; None where they are unknown.
    item_counts
        The same audits by cell and item, where items were judged more than once.

    Returns
    -------
    tuple
        The change as an `Estimate` in pp. The two-sided p-value of equal rates before offsets are subtracted: it is
        below .05 exactly where the interval of the difference of rates excludes 0.

    Notes
    -----
    With few raters (below about ten) the interval is wide, since Student's t has one degree of freedom less than there
    are raters. Dependence by day or team is not seen. `test_adjusted_difference.py` measures the coverage of 95 %
    intervals.

    Examples
    --------
    Newcombe (1998): 56 of 70 against 48 of 80.

    >>> codes = np.zeros((1, 1), np.int64)
    >>> items, errors = [np.array([80.0]), np.array([70.0])], [np.array([48.0]), np.array([56.0])]
    >>> periods = [ContingencyTable(codes, items[period], errors[period], items[period]) for period in (0, 1)]
    >>> print(estimate_adjusted_difference(periods)[0])
    20.0 pp (5.2 to 33.4)
    """
    (before, before_offset), (after, after_offset) = (
        _rate_and_offset(table, offset) for table, offset in zip(periods, offsets, strict=True)
    )
    sizes = [_effective_size(table, offset) for table, offset in zip(periods, offsets, strict=True)]
    clustered = _cluster_variance(periods, expected_rates, rater_dimension, item_counts)
    has_clusters = np.isfinite(clustered.degrees_of_freedom)
    difference = estimate_rate_difference(
        before,
        after,
        (sizes[0], sizes[1]),
        variance=clustered.variance if has_clusters else 0.0,
        degrees_of_freedom=clustered.degrees_of_freedom,
    )
    change = difference.change
    offset = after_offset - before_offset
    value, low, high = (float(np.clip(limit - offset, -1, 1)) for limit in (change.value, change.low, change.high))
    return Estimate(value, low, high, "pp"), difference.p_value


def _rate_and_offset(table: ContingencyTable, offset: Any) -> tuple[float, float]:
    """Return the error rate and the mean offset of a period."""
    total = float(table.items.sum())
    rate = min(max(float(table.errors.sum()) / total, 0.0), 1.0)
    return rate, float(np.sum(table.items * offset)) / total


def _effective_size(table: ContingencyTable, offset: Any) -> float:
    """Return the effective number of audits, larger as far as the offset explains differences between audits."""
    total = float(table.items.sum())
    rate, _ = _rate_and_offset(table, offset)
    variance = _independent_variance(table, 0.0, total)
    adjusted_variance = _independent_variance(table, offset, total)
    size = rate * (1 - rate) / variance if 0 < rate < 1 else total
    return min(size, total) * variance / adjusted_variance


def _independent_variance(table: ContingencyTable, offset: Any, total: float) -> float:
    """Return the variance of the rate beyond the offset for independent audits, at least that of half an error."""
    error_share = table.errors / table.items
    mean = float((table.errors - table.items * offset).sum()) / total
    audit_variance = (1 - error_share) * np.square(offset + mean) + error_share * np.square(1 - offset - mean)
    return max(float((table.squared_weights * audit_variance).sum()), 0.5) / total**2


def _cluster_variance(
    periods: Sequence[ContingencyTable],
    expected_rates: PeriodPair,
    rater_dimension: int | None,
    item_counts: Sequence[CellItemCounts] | None,
) -> ClusterVariance:
    """Return the clustered variance of the difference of errors beyond the expected rates."""
    influences = [
        compute_influences(table, 0.0 - rates, 1.0 - rates, None if item_counts is None else item_counts[period])
        for period, (table, rates) in enumerate(zip(periods, expected_rates, strict=True))
    ]
    return estimate_difference_variance(periods, influences, rater_dimension, item_counts)


def compute_influences(
    table: ContingencyTable, correct_value: Any, error_value: Any, item_counts: CellItemCounts | None = None
) -> Array:
    """Return the influence of each cell (or cell and item) on a weighted mean; influences sum to 0.

    Parameters
    ----------
    table
        The audits of one period.
    correct_value, error_value
        What an audit without and with an error counts, by cell.
    item_counts
        The same audits by cell and item; None: one influence per cell.

    Returns
    -------
    ndarray
        One influence per cell, or per row of `item_counts`.

    Examples
    --------
    >>> items, errors = np.array([10.0, 30.0]), np.array([3.0, 1.0])
    >>> table = ContingencyTable(np.zeros((1, 2), np.int64), items, errors, items)
    >>> compute_influences(table, 0.0, 1.0).round(3).tolist()
    [0.05, -0.05]
    """
    correct_value = np.broadcast_to(correct_value, table.items.shape)
    error_value = np.broadcast_to(error_value, table.items.shape)
    rows = table if item_counts is None else item_counts
    if item_counts is not None:
        correct_value, error_value = correct_value[item_counts.cell], error_value[item_counts.cell]
    sums = (rows.items - rows.errors) * correct_value + rows.errors * error_value
    total = rows.items.sum()
    return (sums - rows.items * (sums.sum() / total)) / total


def estimate_difference_variance(
    periods: Sequence[ContingencyTable],
    influences: Sequence[Array],
    rater_dimension: int | None,
    item_counts: Sequence[CellItemCounts] | None,
) -> ClusterVariance:
    """Return the variance of the difference of two means; raters and items may occur in both periods.

    Parameters
    ----------
    periods
        The tables of the baseline and of the current period.
    influences
        The influences on the mean of each period, from `compute_influences`.
    rater_dimension
        The dimension of the raters; None where they are unknown.
    item_counts
        The same audits by cell and item; None where no item was judged twice.

    Returns
    -------
    ClusterVariance
        Infinite degrees of freedom if neither raters nor items are known.
    """
    raters = items = None
    if rater_dimension is not None:
        codes = [table.codes[rater_dimension] for table in periods]
        if item_counts is not None:
            codes = [code[counts.cell] for code, counts in zip(codes, item_counts, strict=True)]
        raters = np.concatenate(codes)
    if item_counts is not None:
        items = np.concatenate([counts.item for counts in item_counts])
    return estimate_cluster_variance(np.concatenate([-influences[0], influences[1]]), raters, items)
