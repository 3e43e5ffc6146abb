"""What to expect of every audit, had nothing changed: a baseline model that knows how unsure it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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

    `root`, `lean` and `widths` hold the effects' covariance, the last dimension's (diagonal) block being eliminated.
    `together` holds, for each pair of dimensions that act together, the shift of every pair of values and its variance.
    """

    intercept: float
    effects: tuple[Array, ...]
    root: Array
    lean: Array
    widths: Array
    together: dict[tuple[int, ...], tuple[Array, Array]]

    def logits(self, codes: Codes) -> Array:
        """Return the log odds of an error in each cell."""
        alone = sum(effect[code] for effect, code in zip(self.effects, codes, strict=True))
        pairs = (shift[codes[a] * len(self.effects[b]) + codes[b]] for (a, b), (shift, _) in self.together.items())
        return self.intercept + alone + sum(pairs)

    def doubt(self, dimensions: tuple[int, ...], codes: Codes) -> Array:
        """Return the variance of the log odds that pairs of values keep for themselves."""
        return self.together[dimensions][1][codes] if dimensions in self.together else np.zeros(len(codes))

    def spread(self, tables: list[Array], total: Array) -> Array:
        """Return rows whose inner products are the covariances, owed to the model, of slices' expected errors.

        `tables` holds, per dimension, what each slice's expected errors gain per unit of each effect; `total` per unit
        of the intercept.
        """
        narrow = np.hstack([total[:, None], *tables[:-1]])
        return np.hstack([(narrow - tables[-1] @ self.lean) @ self.root, tables[-1] * self.widths])


def cross(one: Codes, other: Codes, sizes: tuple[int, int], weights: Array) -> Array:
    """Sum weights by two codes."""
    return np.bincount(one * sizes[1] + other, weights, sizes[0] * sizes[1]).reshape(sizes)


def fit_baseline(cells: Cells, sizes: Sequence[int], *, pairs: Iterable[tuple[int, int]] = ()) -> Baseline:
    """Fit the baseline's error rates to all dimensions at once, shrinking each dimension by its own variance.

    Parameters
    ----------
    cells
        The baseline; weights scaled so that `items` sums to the effective number of audits.
    sizes
        How many values each dimension has; a value that the baseline lacks keeps its prior, 0 ± its dimension's sd.
        The one with most values stands last: it costs least there, be it thousands of raters.
    pairs
        Dimensions that may act together (an interaction); those that do are allowed for, shrunk likewise.

    Notes
    -----
    Penalised Newton steps; the variances by the fixed point of MacKay (1992) with one pseudo-value of variance 0.05, so
    that no dimension collapses to none. Pairs are fitted to what is left, the strongest first, by moments.
    """
    ends = np.cumsum([1, *sizes])
    centre = float(logit((cells.errors.sum() + 0.5) / (cells.items.sum() + 1)))
    effects, variances = np.zeros(ends[-1]), np.full(len(sizes), 0.1)
    for _ in range(25):
        chance = expit(centre + effects[0] + sum(effects[low + c] for low, c in zip(ends, cells.codes, strict=False)))
        prior = np.concatenate([[0.01], np.repeat(1 / variances, sizes)])
        corner, edge, wide = _information(cells, sizes, cells.items * chance * (1 - chance))
        wide = wide + prior[ends[-2] :]
        lean = (edge / wide).T
        inverse = np.linalg.inv(corner + np.diag(prior[: ends[-2]]) - edge @ lean)
        gap = cells.errors - cells.items * chance
        slopes = [np.bincount(code, gap, size) for code, size in zip(cells.codes, sizes, strict=True)]
        pull, push = np.split(np.concatenate([[gap.sum()], *slopes]) - prior * effects, ends[-2:-1])
        step = np.clip(inverse @ (pull - lean.T @ push), -2, 2)
        effects = effects + np.concatenate([step, np.clip(push / wide - lean @ step, -2, 2)])
        root = np.linalg.cholesky(inverse)
        spreads = np.concatenate([np.diag(inverse), 1 / wide + np.square(lean @ root).sum(1)])
        former, variances = variances, _variances(effects, spreads, variances, ends)
        if np.abs(step).max() < 1e-3 and np.abs(variances / former - 1).max() < 0.02:
            break
    alone = Baseline(
        centre + float(effects[0]), tuple(np.split(effects, ends[:-1])[1:]), root, lean, 1 / np.sqrt(wide), {}
    )
    return replace(alone, together=_fit_together(cells, sizes, alone.logits(cells.codes), pairs))


def _information(cells: Cells, sizes: Sequence[int], weights: Array) -> tuple[Array, Array, Array]:
    """Return the information of all dimensions but the last, theirs with the last, and the last one's diagonal."""
    codes, sizes = [np.zeros(len(weights), np.int64), *cells.codes[:-1]], [1, *sizes]
    ends = np.cumsum([0, *sizes])
    corner, edge = np.zeros((ends[-2], ends[-2])), np.zeros((ends[-2], sizes[-1]))
    for one, code in enumerate(codes):
        rows = slice(ends[one], ends[one + 1])
        corner[rows, rows] = np.diag(np.bincount(code, weights, sizes[one]))
        edge[rows] = cross(code, cells.codes[-1], (sizes[one], sizes[-1]), weights)
        for other in range(one):
            columns = slice(ends[other], ends[other + 1])
            corner[rows, columns] = cross(code, codes[other], (sizes[one], sizes[other]), weights)
            corner[columns, rows] = corner[rows, columns].T
    return corner, edge, edge[0]


def _variances(effects: Array, spreads: Array, variances: Array, ends: NDArray[np.int64]) -> Array:
    kept = np.clip(1 - spreads[1:] / np.repeat(variances, np.diff(ends)), 0, 1)
    starts = ends[:-1] - 1
    return (np.add.reduceat(np.square(effects[1:]), starts) + 0.05) / (np.add.reduceat(kept, starts) + 1)


def _fit_together(
    cells: Cells, sizes: Sequence[int], logits: Array, pairs: Iterable[tuple[int, int]]
) -> dict[tuple[int, ...], tuple[Array, Array]]:
    """Shrink what main effects leave in each pair of values; a pair of dimensions without evidence is left out."""
    found: dict[tuple[int, ...], tuple[Array, Array]] = {}
    left = _left(cells, logits)
    strength = {pair: _evidence(cells.codes, sizes, left, pair)[0] for pair in pairs}
    for pair in sorted(strength, key=lambda one: -strength[one]):
        evidence, variance, gap, info = _evidence(cells.codes, sizes, left, pair)
        if evidence > 1 and variance > 0:
            shift = variance * gap / (1 + variance * info)
            found[pair] = shift, variance / (1 + variance * info)
            logits = logits + shift[cells.codes[pair[0]] * sizes[pair[1]] + cells.codes[pair[1]]]
            left = _left(cells, logits)
    return found


def _left(cells: Cells, logits: Array) -> tuple[Array, Array, Array]:
    chance = expit(logits)
    curve = chance * (1 - chance)
    return cells.errors - cells.items * chance, cells.items * curve, cells.squares * curve


def _evidence(
    codes: Codes, sizes: Sequence[int], left: tuple[Array, Array, Array], pair: tuple[int, int]
) -> tuple[float, float, Array, Array]:
    """Return by how many sd the pairs of values differ from what is expected, their variance, gaps and information."""
    shape = sizes[pair[0]], sizes[pair[1]]
    gap, info, noise = (cross(codes[pair[0]], codes[pair[1]], shape, one).ravel() for one in left)
    seen = noise > 0
    free = (shape[0] - 1) * (shape[1] - 1) / (shape[0] * shape[1]) * seen.sum()
    scatter = (np.square(gap[seen]) / noise[seen]).sum() - free
    variance = (np.square(gap).sum() - noise.sum() * free / max(seen.sum(), 1)) / max(np.square(info).sum(), 1e-9)
    return float(scatter / np.sqrt(2 * max(free, 1))), float(variance), gap, info
