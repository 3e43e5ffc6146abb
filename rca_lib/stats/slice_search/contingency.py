# Tested in tests/stats/slice_search/test_covariance.py.
"""Contingency tables of audits, their margins, and the score moments of a logistic model.

Symbols: cell c has n_c audits with e_c errors; p_c is its expected error rate. All audits of a cell have the same
value in every dimension. With weights, n_c and e_c are sums of weights, and q_c is the sum of squared weights. A
logistic model has in each cell

    score        e_c − n_c p_c             (residual),
    information  n_c p_c (1 − p_c)         (on the log odds),
    variance     q_c p_c (1 − p_c)         (of the weighted errors).

A slice is a combination of values of some dimensions. Its sums are margins of the table: sums over all cells that have
these values. Every statistic of the search is computed from margins, so that audits are read once.

Reference: A. Agresti (2013), Categorical Data Analysis, 3rd edition, chapter 5: scores of logistic regression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
MarginalSums = Callable[[tuple[int, ...]], Array]  # dimensions → table of sums with one axis per dimension


@dataclass(frozen=True, slots=True, eq=False)
class ContingencyTable:
    """Audits of one period, counted by the combinations of values that occur (cells).

    Attributes
    ----------
    codes
        The value of each cell in each dimension: one row per dimension, one column per cell.
    items, errors
        Sums of weights of all audits and of audits with an error, per cell. Without weights: numbers of audits.
    squared_weights
        Sums of squared weights; the variance of a sum grows with these. If all audits weigh the same, this is the same
        array as `items`, which saves time.
    """

    codes: Codes
    items: Array
    errors: Array
    squared_weights: Array


@dataclass(frozen=True, slots=True, eq=False)
class CellItemCounts:
    """The same audits counted by cell and item, where items were judged more than once.

    Attributes
    ----------
    cell
        The index of the cell in the contingency table.
    item
        The item as a whole number; the same number is the same item in both periods.
    items, errors, squared_weights
        Sums as in the contingency table, on the same scale.
    """

    cell: Codes
    item: Codes
    items: Array
    errors: Array
    squared_weights: Array


@dataclass(frozen=True, slots=True, eq=False)
class TableLayout:
    """The order of cells, for fast margins.

    Attributes
    ----------
    codes
        The codes of the cells.
    sizes
        The number of values of each dimension.
    run_starts
        Where runs begin. Cells of a run are adjacent and differ in the last dimension only. Empty if runs are too short
        to save time.
    run_codes
        The codes of the runs; margins without the last dimension are summed from runs.
    """

    codes: Codes
    sizes: tuple[int, ...]
    run_starts: NDArray[np.intp]
    run_codes: Codes

    def marginalize(self, weights: Array) -> MarginalSums:
        """Return a function that sums the weights of cells over the values of any dimensions.

        Cells are read once per margin. A margin of an earlier margin is summed from that one: ask for large ones first.

        Parameters
        ----------
        weights
            One number per cell.

        Returns
        -------
        callable
            It takes a tuple of dimensions and returns a table of sums with one axis per dimension.

        Examples
        --------
        >>> layout = build_layout(np.array([[0, 0, 1], [0, 1, 1]]), (2, 2))
        >>> marginal_sums = layout.marginalize(np.array([1.0, 2.0, 4.0]))
        >>> marginal_sums((0, 1)).tolist(), marginal_sums((1,)).tolist(), float(marginal_sums(()))
        ([[1.0, 2.0], [0.0, 4.0]], [1.0, 6.0], 7.0)
        """
        margins: dict[frozenset[int], tuple[tuple[int, ...], Array]] = {}
        last = len(self.sizes) - 1
        cells = (self.codes, weights)
        runs = (self.run_codes, np.add.reduceat(weights, self.run_starts)) if len(self.run_starts) else cells

        def sum_over(dimensions: tuple[int, ...]) -> Array:
            requested = frozenset(dimensions)
            larger = [margin for margin in margins if margin >= requested]
            if not larger:
                codes, sums = cells if last in requested else runs
                shape = [self.sizes[dimension] for dimension in dimensions]
                code = encode_slices(codes, dimensions, self.sizes)
                slice_sums = np.bincount(code, sums, int(np.prod(shape))).astype(float, copy=False)
                margins[requested] = dimensions, slice_sums.reshape(shape)
                return margins[requested][1]
            axes, table = margins[min(larger, key=lambda margin: margins[margin][1].size)]
            table = table.sum(tuple(axis for axis, dimension in enumerate(axes) if dimension not in requested))
            remaining = [dimension for dimension in axes if dimension in requested]
            return table.transpose([remaining.index(dimension) for dimension in dimensions])

        return sum_over


def build_layout(codes: Codes, sizes: Sequence[int]) -> TableLayout:
    """Find the runs of cells; they are used if they halve the number of sums at least.

    Parameters
    ----------
    codes
        The value of each cell in each dimension: dimensions × cells, sorted by the first dimensions.
    sizes
        The number of values of each dimension.

    Returns
    -------
    TableLayout
        The layout.

    Examples
    --------
    >>> build_layout(np.array([[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]]), (2, 3)).run_starts.tolist()
    [0, 3]
    """
    run_changes = np.zeros(max(codes.shape[1] - 1, 0), bool)
    for row in codes[:-1]:
        run_changes |= row[1:] != row[:-1]
    run_starts = np.flatnonzero(np.concatenate([[codes.shape[1] > 0], run_changes]))
    run_starts = run_starts if 2 * len(run_starts) < codes.shape[1] else run_starts[:0]
    return TableLayout(codes, tuple(sizes), run_starts, codes[:, run_starts])


def encode_slices(codes: Codes, dimensions: Sequence[int], sizes: Sequence[int]) -> Codes:
    """Number the combinations of values of these dimensions, the last one varying fastest.

    Parameters
    ----------
    codes
        The value of each cell in each dimension: dimensions × cells.
    dimensions
        The dimensions of the slices; empty: all cells are slice 0.
    sizes
        The number of values of each dimension.

    Returns
    -------
    ndarray
        The slice of each cell.

    Examples
    --------
    >>> encode_slices(np.array([[0, 1, 1], [2, 0, 2]]), (0, 1), (2, 3)).tolist()
    [2, 3, 5]
    """
    code = np.zeros(codes.shape[1], np.int64)
    for dimension in dimensions:
        code = code * sizes[dimension] + codes[dimension]
    return code


def compute_score_moments(table: ContingencyTable, rates: Array) -> tuple[Array, Array, Array]:
    """Return information, variance and residual of each cell under a logistic model.

    Parameters
    ----------
    table
        The audits.
    rates
        The expected error rate of each cell.

    Returns
    -------
    information
        Fisher information on the log odds of the cell.
    variance
        Variance of its weighted errors. It is the same array as `information` where all audits weigh the same.
    residual
        Its errors minus the expected ones: the score.

    Examples
    --------
    >>> items = np.array([100.0])
    >>> table = ContingencyTable(np.zeros((1, 1), np.int64), items, np.array([7.0]), items)
    >>> [float(moment.round(2)[0]) for moment in compute_score_moments(table, np.array([0.05]))]
    [4.75, 4.75, 2.0]
    """
    binomial_variance = rates * (1 - rates)
    information = table.items * binomial_variance
    equal_weights = table.squared_weights is table.items
    variance = information if equal_weights else table.squared_weights * binomial_variance
    return information, variance, table.errors - table.items * rates
