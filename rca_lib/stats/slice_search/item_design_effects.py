"""Design effects of items that were judged more than once.

Errors on one item are correlated, so that its audits count as fewer. Symbols: p is the error rate expected of an audit,
v = p (1 − p) its variance and r = e − p its residual. Two audits of one item have the covariance ρ √(v v'). Over all
pairs of audits of one item, with each residual times its weight,

    ρ = Σ r r' / Σ √(v v')                  (moments; Williams 1982).

The errors of a slice have the variance of independent errors times the design effect

    1 + ρ Σ_items ((Σ √v)² − Σ v) / Σ v,

where the inner sums run over the audits of the item inside the slice. A rater who saw each item once has the design
effect 1. A policy whose items were all judged by m raters has 1 + (m − 1) ρ (Kish 1965).

References: Kish 1965, Survey Sampling; Williams 1982, Applied Statistics 31, 144–148.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rca_lib.stats.slice_search.contingency import Array, CellItemCounts, Codes, ContingencyTable, encode_slices

MIN_PAIR_VARIANCE = 1e-9  # below this no item was judged twice


def estimate_item_correlation(item_counts: Sequence[CellItemCounts], rates: Sequence[Array]) -> float:
    """Estimate the correlation of two audits of one item, between 0 and 1.

    Parameters
    ----------
    item_counts
        The audits of each period by cell and item.
    rates
        The expected error rate of each cell, per period. Each must be fitted to its own period; otherwise a change
        between the periods looks like correlation within items.

    Returns
    -------
    float
        0 where no item was judged twice.

    Notes
    -----
    One number for all items. If few items were judged more than once it is unsure, too small as often as too large.
    """
    covariance = pair_variance = 0.0
    for counts, period_rates in zip(item_counts, rates, strict=True):
        expected = period_rates[counts.cell]
        residual = counts.errors - counts.items * expected
        scale = counts.items * np.sqrt(expected * (1 - expected))
        error_share = counts.errors / counts.items
        own_variance = counts.squared_weights * (
            error_share * np.square(1 - expected) + (1 - error_share) * np.square(expected)
        )
        own_scale = counts.squared_weights * expected * (1 - expected)
        covariance += float(np.square(np.bincount(counts.item, residual)).sum() - own_variance.sum())
        pair_variance += float(np.square(np.bincount(counts.item, scale)).sum() - own_scale.sum())
    return float(np.clip(covariance / pair_variance, 0, 1)) if pair_variance > MIN_PAIR_VARIANCE else 0.0


def compute_slice_design_effects(
    table: ContingencyTable,
    item_counts: CellItemCounts,
    rates: Array,
    correlation: float,
    dimensions: Sequence[int],
    sizes: Sequence[int],
) -> tuple[Array, Array]:
    """Return the design effect of each slice of these dimensions, and its number of distinct items.

    Parameters
    ----------
    table, item_counts
        The audits of one period by cell, and by cell and item.
    rates
        The expected error rate of each cell.
    correlation
        The correlation of two audits of one item.
    dimensions
        The dimensions of the slices; empty: all audits as one slice.
    sizes
        The number of values of each dimension.

    Returns
    -------
    design_effects, distinct_items
        One value per slice, in the order of the slice codes.
    """
    slice_codes = encode_slices(table.codes, dimensions, sizes)
    slices = int(np.prod([sizes[dimension] for dimension in dimensions]))
    return _compute_design_effects(slice_codes[item_counts.cell], slices, item_counts, rates, correlation)


def compute_cell_design_effects(item_counts: CellItemCounts, rates: Array, correlation: float) -> Array:
    """Compute the design effect of each cell.

    Parameters
    ----------
    item_counts, rates, correlation
        As in `compute_slice_design_effects`.

    Returns
    -------
    ndarray
        One factor per cell, at least 1.

    Examples
    --------
    Ten items in one cell, each judged by five raters: 1 + (5 − 1) × 0.25.

    >>> cell, item = np.zeros(10, np.int64), np.arange(10)
    >>> judgments = np.full(10, 5.0)
    >>> counts = CellItemCounts(cell, item, judgments, np.ones(10), judgments)
    >>> compute_cell_design_effects(counts, np.array([0.2]), 0.25).tolist()
    [2.0]
    """
    return _compute_design_effects(item_counts.cell, len(rates), item_counts, rates, correlation)[0]


def _compute_design_effects(
    codes: Codes, size: int, item_counts: CellItemCounts, rates: Array, correlation: float
) -> tuple[Array, Array]:
    """Return the design effect and the number of distinct items of each group of rows."""
    variance = (rates * (1 - rates))[item_counts.cell]
    number_of_items = int(item_counts.item.max()) + 1
    group_items, row_index = np.unique(codes * number_of_items + item_counts.item, return_inverse=True)
    groups = group_items // number_of_items
    item_variance = np.square(np.bincount(row_index, item_counts.items * np.sqrt(variance)))
    clustered = np.bincount(groups, item_variance, size)
    independent = np.bincount(codes, item_counts.squared_weights * variance, size)
    ratio = np.divide(clustered, independent, out=np.ones(size), where=independent > 0)
    distinct_items = np.bincount(groups, minlength=size).astype(float)
    return 1 + correlation * np.maximum(ratio - 1, 0), distinct_items
