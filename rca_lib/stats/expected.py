"""What to expect of every audit, had nothing changed: a baseline model that knows how unsure it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Audits of one period counted by their values.

    `codes` has one row per dimension and one column per combination that occurs; `items` and `errors` are sums of
    weights (rows, where there are none), `squares` sums of squared weights: the noise of a sum grows with these.
    """

    codes: Codes
    items: Array
    errors: Array
    squares: Array


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A logistic model of the baseline: an intercept and one shrunk effect per value of every dimension.

    `root`, `lean` and `widths` hold the covariance of the effects: the dimension `widest` (most values) is eliminated
    first, its block being diagonal, so that thousands of raters cost little.
    """

    intercept: float
    effects: tuple[Array, ...]
    widest: int
    root: Array
    lean: Array
    widths: Array

    def logits(self, codes: Codes) -> Array:
        """Return the log odds of an error in each cell."""
        return self.intercept + sum(effect[code] for effect, code in zip(self.effects, codes, strict=True))

    def spread(self, tables: list[Array], total: Array) -> Array:
        """Return rows whose inner products are the covariances, owed to the model, of slices' expected errors.

        `tables` holds, per dimension, what each slice's expected errors gain per unit of each effect; `total` per unit
        of the intercept.
        """
        wide = tables[self.widest]
        rest = [table for dimension, table in enumerate(tables) if dimension != self.widest]
        return np.hstack([(np.hstack([total[:, None], *rest]) - wide @ self.lean) @ self.root, wide * self.widths])


def fit_baseline(cells: Cells, sizes: tuple[int, ...], *, steps: int = 12) -> Baseline:
    """Fit the baseline's error rates to all dimensions at once, shrinking each dimension by its own variance.

    Parameters
    ----------
    cells
        The baseline; weights scaled so that `items` sums to the effective number of audits.
    sizes
        How many values each dimension has; a value that the baseline lacks keeps its prior, 0 ± its dimension's sd.

    Notes
    -----
    Penalised Newton steps; the variances by the fixed point of MacKay (1992) with one pseudo-value of variance 0.05, so
    that no dimension collapses to none. Interactions are not seen unless they are given as dimensions of their own.
    """
    order = sorted(range(len(sizes)), key=lambda dimension: (sizes[dimension] == max(sizes), dimension))
    narrow, widest = order[:-1], order[-1]
    starts = np.cumsum([1, *(sizes[d] for d in narrow)])
    start = float(logit((cells.errors.sum() + 0.5) / (cells.items.sum() + 1)))
    corner_effects, wide_effects = np.zeros(starts[-1]), np.zeros(sizes[widest])
    variances = np.full(len(sizes), 0.1)
    for _ in range(steps):
        effects = _by_dimension(corner_effects, wide_effects, starts, order)
        chance = expit(start + corner_effects[0] + sum(e[c] for e, c in zip(effects, cells.codes, strict=True)))
        corner, edge, wide = _information(cells, sizes, order, starts, cells.items * chance * (1 - chance))
        prior = np.concatenate([[0.01], *(np.full(sizes[d], 1 / variances[d]) for d in narrow)])
        wide = wide + 1 / variances[widest]
        lean = (edge / wide).T
        inverse = np.linalg.inv(corner + np.diag(prior) - edge @ lean)
        gap = cells.errors - cells.items * chance
        slopes = [np.bincount(cells.codes[d], gap, sizes[d]) for d in order]
        push = slopes[-1] - wide_effects / variances[widest]
        pull = np.concatenate([[gap.sum()], *slopes[:-1]]) - prior * corner_effects
        step = np.clip(inverse @ (pull - lean.T @ push), -2, 2)
        corner_effects, wide_effects = corner_effects + step, wide_effects + np.clip(push / wide - lean @ step, -2, 2)
        root = np.linalg.cholesky(inverse)
        spreads = _by_dimension(np.diag(inverse), 1 / wide + np.square(lean @ root).sum(1), starts, order)
        effects = _by_dimension(corner_effects, wide_effects, starts, order)
        variances = np.array([_variance(*one) for one in zip(effects, spreads, variances, strict=True)])
    return Baseline(start + float(corner_effects[0]), tuple(effects), widest, root, lean, 1 / np.sqrt(wide))


def cross(one: Codes, other: Codes, sizes: tuple[int, int], weights: Array) -> Array:
    """Sum weights by two codes."""
    return np.bincount(one * sizes[1] + other, weights, sizes[0] * sizes[1]).reshape(sizes)


def _by_dimension(corner: Array, wide: Array, starts: NDArray[np.int64], order: list[int]) -> list[Array]:
    parts = [*(corner[low:high] for low, high in pairwise(starts)), wide]
    return [part for _, part in sorted(zip(order, parts, strict=True), key=lambda pair: pair[0])]


def _information(
    cells: Cells, sizes: tuple[int, ...], order: list[int], starts: NDArray[np.int64], weights: Array
) -> tuple[Array, Array, Array]:
    """Return the information of the narrow dimensions, theirs with the widest, and the widest's diagonal."""
    widest = order[-1]
    corner, edge = np.zeros((starts[-1], starts[-1])), np.zeros((starts[-1], sizes[widest]))
    wide = np.bincount(cells.codes[widest], weights, sizes[widest])
    corner[0, 0], edge[0] = weights.sum(), wide
    for place, one in enumerate(order[:-1]):
        rows = slice(starts[place], starts[place + 1])
        corner[0, rows] = corner[rows, 0] = diagonal = np.bincount(cells.codes[one], weights, sizes[one])
        corner[rows, rows] = np.diag(diagonal)
        edge[rows] = cross(cells.codes[one], cells.codes[widest], (sizes[one], sizes[widest]), weights)
        for earlier, other in enumerate(order[:place]):
            columns = slice(starts[earlier], starts[earlier + 1])
            corner[rows, columns] = cross(cells.codes[one], cells.codes[other], (sizes[one], sizes[other]), weights)
            corner[columns, rows] = corner[rows, columns].T
    return corner, edge, wide


def _variance(effects: Array, spreads: Array, variance: float) -> float:
    free = np.clip(1 - spreads / variance, 0, 1).sum()
    return float((np.square(effects).sum() + 0.05) / (free + 1))
