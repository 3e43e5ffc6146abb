"""The covariance of the effects of a logistic model with one effect for each value of each dimension.

The effects are the intercept, one per value of every dimension but the last ("corner"), and one per value of the last
dimension. No audit has two values of the last dimension, so that block is diagonal:

    P = [[C, E], [Eᵀ, diag(d)]],

with C the corner, E the edge and d the diagonal. The Schur complement S = C − E diag(1/d) Eᵀ is the precision of the
corner effects with the last dimension integrated out. Everything needs the inverse of S only. The last dimension may
therefore hold thousands of raters.

Reference: D. A. Harville (1997), Matrix Algebra From a Statistician's Perspective, chapter 8: inverses of partitioned
matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rca_lib.stats.slice_search.contingency import Array, MarginalSums

MIN_RELATIVE_EIGENVALUE = 1e-12  # rounding may leave an eigenvalue below 0


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionMatrix:
    """The inverse of the covariance of all effects.

    Attributes
    ----------
    corner
        Precision of the intercept and of all dimensions but the last.
    edge
        Precision between those and the last dimension.
    diagonal
        Precision of the last dimension.
    """

    corner: Array
    edge: Array
    diagonal: Array

    def covariance_root(self, rows: Array) -> Array:
        """Return rows whose inner products are the covariances of linear combinations of effects.

        Parameters
        ----------
        rows
            One linear combination per row, one column per effect.

        Returns
        -------
        ndarray
            One row per combination. A row times another is their covariance; a row times itself is its variance.
        """
        corner_part, last_part = np.hsplit(rows, [len(self.corner)])
        complement, loadings = self.schur_complement()
        eigenvalues, eigenvectors = np.linalg.eigh(complement)
        root = eigenvectors / np.sqrt(np.maximum(eigenvalues, MIN_RELATIVE_EIGENVALUE * eigenvalues[-1]))
        return np.hstack([(corner_part - last_part @ loadings) @ root, last_part / np.sqrt(self.diagonal)])

    def solve(self, values: Array) -> Array:
        """Return the covariance times a vector.

        Parameters
        ----------
        values
            One value per effect.

        Returns
        -------
        ndarray
            One value per effect.

        Examples
        --------
        >>> precision = PrecisionMatrix(np.array([[4.0]]), np.array([[1.0, 1.0]]), np.array([2.0, 2.0]))
        >>> precision.solve(precision.multiply(np.array([1.0, 2.0, 3.0]))).round(6).tolist()
        [1.0, 2.0, 3.0]
        """
        corner_part, last_part = np.split(values, [len(self.corner)])
        complement, loadings = self.schur_complement()
        corner_solution = np.linalg.solve(complement, corner_part - last_part @ loadings)
        return np.concatenate([corner_solution, last_part / self.diagonal - loadings @ corner_solution])

    def multiply(self, effects: Array) -> Array:
        """Return the precision times a vector.

        Parameters
        ----------
        effects
            One value per effect.

        Returns
        -------
        ndarray
            One value per effect.
        """
        corner_part, last_part = np.split(effects, [len(self.corner)])
        corner_product = self.corner @ corner_part + self.edge @ last_part
        return np.concatenate([corner_product, corner_part @ self.edge + self.diagonal * last_part])

    def schur_complement(self) -> tuple[Array, Array]:
        """Integrate the last dimension out.

        Returns
        -------
        complement
            Precision of the corner effects alone.
        loadings
            Coefficients of the last dimension on them.
        """
        loadings = (self.edge / self.diagonal).T
        return self.corner - self.edge @ loadings, loadings

    def add_variance(self, variance: float) -> PrecisionMatrix:
        """Add a variance to each effect of the last dimension.

        Parameters
        ----------
        variance
            The variance to add; the effects stay independent given the corner effects.

        Returns
        -------
        PrecisionMatrix
            The precision of the sums.
        """
        diagonal = 1 / (1 / self.diagonal + variance)
        corner = self.corner - (self.edge * ((1 - diagonal / self.diagonal) / self.diagonal)) @ self.edge.T
        return PrecisionMatrix(corner, self.edge * (diagonal / self.diagonal), diagonal)


def sum_by_effect(marginal_sums: MarginalSums, sizes: Sequence[int], dimensions: tuple[int, ...]) -> Array:
    """Return sums by slice and effect.

    Parameters
    ----------
    marginal_sums
        Sums over cells, as `TableLayout.marginalize` returns them.
    sizes
        The number of values of each dimension.
    dimensions
        The dimensions of the slices.

    Returns
    -------
    ndarray
        One row per slice of these dimensions. Columns: all audits, then the values of each dimension.

    Examples
    --------
    >>> from rca_lib.stats.slice_search.contingency import build_layout
    >>> marginal_sums = build_layout(np.array([[0, 0, 1], [0, 1, 1]]), (2, 2)).marginalize(np.array([1.0, 2.0, 4.0]))
    >>> sum_by_effect(marginal_sums, (2, 2), (0,)).tolist()
    [[3.0, 3.0, 0.0, 1.0, 2.0], [4.0, 0.0, 4.0, 0.0, 4.0]]
    """
    blocks = [np.empty((0, 0))] * len(sizes)
    for dimension in range(len(sizes)):
        if dimension not in dimensions:
            blocks[dimension] = marginal_sums((*dimensions, dimension)).reshape(-1, sizes[dimension])
    totals = marginal_sums(dimensions).ravel()
    rows = np.arange(len(totals))
    shape = [sizes[dimension] for dimension in dimensions]
    slice_values = np.unravel_index(rows, shape) if dimensions else ()
    for dimension, values in zip(dimensions, slice_values, strict=True):
        blocks[dimension] = np.zeros((len(totals), sizes[dimension]))
        blocks[dimension][rows, values] = totals
    return np.hstack([totals[:, None], *blocks])


def sum_effect_pairs(marginal_sums: MarginalSums, sizes: Sequence[int]) -> Array:
    """Return sums by pairs of effects.

    Parameters
    ----------
    marginal_sums, sizes
        As in `sum_by_effect`.

    Returns
    -------
    ndarray
        Rows: all audits and the values of all dimensions but the last. Columns: the same, then the last dimension.
    """
    rows = [sum_by_effect(marginal_sums, sizes, (dimension,)) for dimension in range(len(sizes) - 1)]
    return np.vstack([sum_by_effect(marginal_sums, sizes, ()), *rows])


def compute_information_matrix(marginal_sums: MarginalSums, sizes: Sequence[int]) -> PrecisionMatrix:
    """Return the Fisher information on all effects.

    Parameters
    ----------
    marginal_sums
        Margins of the information of the cells.
    sizes
        The number of values of each dimension.

    Returns
    -------
    PrecisionMatrix
        The information; it is singular without a prior.
    """
    corner, edge = np.hsplit(sum_effect_pairs(marginal_sums, sizes), [1 + sum(sizes[:-1])])
    return PrecisionMatrix(corner, edge, edge[0])
