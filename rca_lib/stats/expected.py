"""What to expect of every audit, had nothing changed: a baseline model that knows how unsure it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

MANY_VALUES = 40  # from here on a dimension is one of raters or the like
ROOM = 4.0  # times their variance is what effects in dimensions with fewer values may have
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
class Precision:
    """What is known of the effects: the inverse of their covariance.

    `corner` of the intercept and all dimensions but the last, `wide` of the last (diagonal: no audit has two of its
    values), `edge` of the first with the last.
    """

    corner: Array
    edge: Array
    wide: Array

    def halve(self, tables: Array) -> Array:
        """Return rows whose inner products are the covariances of sums of effects, given as rows over all effects."""
        narrow, last = np.hsplit(tables, [len(self.corner)])
        lean = (self.edge / self.wide).T
        root = np.linalg.cholesky(np.linalg.inv(self.corner - self.edge @ lean))
        return np.hstack([(narrow - last @ lean) @ root, last / np.sqrt(self.wide)])

    def loosen(self, variance: float) -> Precision:
        """Give each effect of the last dimension this much more variance."""
        wide = 1 / (1 / self.wide + variance)
        corner = self.corner - (self.edge * ((1 - wide / self.wide) / self.wide)) @ self.edge.T
        return Precision(corner, self.edge * (wide / self.wide), wide)


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A logistic model of the baseline: an intercept and one shrunk effect per value of every dimension.

    `known` is the effects' precision. `together` holds, for each pair of dimensions that act together, the shift of
    every pair of values and its variance.
    """

    intercept: float
    effects: tuple[Array, ...]
    known: Precision
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
        return self.known.halve(np.hstack([total[:, None], *tables]))


def code_of(codes: Codes, sizes: Sequence[int]) -> Codes:
    """Number the combinations of several dimensions' codes (rows), the last running fastest."""
    code = np.zeros(codes.shape[1], np.int64)
    for row, size in zip(codes, sizes, strict=True):
        code = code * size + row
    return code


def sum_tables(codes: Codes, sizes: Sequence[int], weights: Array) -> Callable[[tuple[int, ...]], Array]:
    """Return a function that sums weights over the values of any dimensions: a table with an axis for each.

    Cells are gone through once per table; a table that is part of a former one is summed from that. Ask for the large
    ones first.
    """
    known: dict[frozenset[int], tuple[tuple[int, ...], Array]] = {}

    @lru_cache(maxsize=1)
    def code_before(dimensions: tuple[int, ...]) -> Codes:
        return code_of(codes[list(dimensions)], [sizes[dimension] for dimension in dimensions])

    def over(dimensions: tuple[int, ...]) -> Array:
        wanted = frozenset(dimensions)
        larger = [one for one in known if one >= wanted]
        if not larger:
            shape = [sizes[dimension] for dimension in dimensions]
            code = code_before(dimensions[:-1]) * shape[-1] + codes[dimensions[-1]] if dimensions else code_before(())
            table = np.bincount(code, weights, int(np.prod(shape))).reshape(shape)
            known[wanted] = dimensions, table
            return table
        axes, table = known[min(larger, key=lambda one: known[one][1].size)]
        table = table.sum(tuple(place for place, one in enumerate(axes) if one not in wanted))
        left = [one for one in axes if one in wanted]
        return table.transpose([left.index(one) for one in dimensions])

    return over


def tabulate(one: Codes, other: Codes, sizes: tuple[int, int], weights: Array) -> Array:
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
    that no dimension collapses to none. Dimensions with few values are hardly shrunk (`ROOM`): they are well known, and
    shrinkage would let work that moves to their hard values look like worse work. Pairs are fitted to what is left, the
    strongest first, by moments.
    """
    ends = np.cumsum([1, *sizes])
    centre = float(logit((cells.errors.sum() + 0.5) / (cells.items.sum() + 1)))
    effects, variances = np.zeros(ends[-1]), np.full(len(sizes), 0.1)
    seen = np.concatenate([np.bincount(code, None, size) for code, size in zip(cells.codes, sizes, strict=True)]) > 0
    room = np.where(seen & (np.repeat(sizes, sizes) < MANY_VALUES), ROOM, 1.0)
    for _ in range(25):
        chance = expit(centre + effects[0] + sum(effects[low + c] for low, c in zip(ends, cells.codes, strict=False)))
        prior = np.concatenate([[0.01], 1 / (np.repeat(variances, sizes) * room)])
        corner, edge, wide = _information(cells, sizes, cells.items * chance * (1 - chance))
        known = Precision(corner + np.diag(prior[: ends[-2]]), edge, wide + prior[ends[-2] :])
        wide, lean = known.wide, (edge / known.wide).T
        inverse = np.linalg.inv(known.corner - edge @ lean)
        gap = cells.errors - cells.items * chance
        slopes = [np.bincount(code, gap, size) for code, size in zip(cells.codes, sizes, strict=True)]
        pull, push = np.split(np.concatenate([[gap.sum()], *slopes]) - prior * effects, ends[-2:-1])
        step = np.clip(inverse @ (pull - lean.T @ push), -2, 2)
        effects = effects + np.concatenate([step, np.clip(push / wide - lean @ step, -2, 2)])
        root = np.linalg.cholesky(inverse)
        spreads = np.concatenate([np.diag(inverse), 1 / wide + np.square(lean @ root).sum(1)])
        former, variances = variances, _variances(effects, spreads, 1 / prior, ends)
        if np.abs(step).max() < 1e-3 and np.abs(variances / former - 1).max() < 0.02:
            break
    alone = Baseline(centre + float(effects[0]), tuple(np.split(effects, ends[:-1])[1:]), known, {})
    return replace(alone, together=fit_together(cells, sizes, alone.logits(cells.codes), pairs))


def _information(cells: Cells, sizes: Sequence[int], weights: Array) -> tuple[Array, Array, Array]:
    """Return the information of all dimensions but the last, theirs with the last, and the last one's diagonal."""
    codes, sizes = [np.zeros(len(weights), np.int64), *cells.codes[:-1]], [1, *sizes]
    ends = np.cumsum([0, *sizes])
    corner, edge = np.zeros((ends[-2], ends[-2])), np.zeros((ends[-2], sizes[-1]))
    for one, code in enumerate(codes):
        rows = slice(ends[one], ends[one + 1])
        corner[rows, rows] = np.diag(np.bincount(code, weights, sizes[one]))
        edge[rows] = tabulate(code, cells.codes[-1], (sizes[one], sizes[-1]), weights)
        for other in range(one):
            columns = slice(ends[other], ends[other + 1])
            corner[rows, columns] = tabulate(code, codes[other], (sizes[one], sizes[other]), weights)
            corner[columns, rows] = corner[rows, columns].T
    return corner, edge, edge[0]


def _variances(effects: Array, spreads: Array, variances: Array, ends: NDArray[np.int64]) -> Array:
    kept = np.clip(1 - spreads[1:] / variances[1:], 0, 1)
    starts = ends[:-1] - 1
    return (np.add.reduceat(np.square(effects[1:]), starts) + 0.05) / (np.add.reduceat(kept, starts) + 1)


def fit_together(
    cells: Cells, sizes: Sequence[int], logits: Array, groups: Iterable[tuple[int, ...]]
) -> dict[tuple[int, ...], tuple[Array, Array]]:
    """Shrink what the log odds leave in the values of each group of dimensions; groups without evidence are left out.

    Returns the shift of each value (or combination of values) of a group, and its variance.
    """
    found: dict[tuple[int, ...], tuple[Array, Array]] = {}
    left = moments(cells, expit(logits))
    strength = {group: _evidence(cells.codes, sizes, left, group)[0] for group in groups}
    for group in sorted((one for one in strength if strength[one] > 1), key=lambda one: -strength[one]):
        evidence, variance, gap, info = _evidence(cells.codes, sizes, left, group)
        if evidence > 1 and variance > 0:
            shift = variance * gap / (1 + variance * info)
            found[group] = shift, variance / (1 + variance * info)
            logits = logits + shift[code_of(cells.codes[list(group)], [sizes[one] for one in group])]
            left = moments(cells, expit(logits))
    return found


def moments(cells: Cells, chance: Array) -> tuple[Array, Array, Array]:
    """Return each cell's information on its log odds, the variance of its errors, and its errors beyond the chance."""
    curve = chance * (1 - chance)
    return cells.items * curve, cells.squares * curve, cells.errors - cells.items * chance


def _evidence(
    codes: Codes, sizes: Sequence[int], left: tuple[Array, Array, Array], group: tuple[int, ...]
) -> tuple[float, float, Array, Array]:
    """Return by how many sd the values differ from what is expected, their variance, gaps and information."""
    shape = [sizes[one] for one in group]
    code, size = code_of(codes[list(group)], shape), int(np.prod(shape))
    info, noise, gap = (np.bincount(code, one, size) for one in left)
    seen = noise > 0
    free = np.prod([sizes[one] - 1 for one in group]) / size * seen.sum()
    scatter = (np.square(gap[seen]) / noise[seen]).sum() - free
    variance = (np.square(gap).sum() - noise.sum() * free / max(seen.sum(), 1)) / max(np.square(info).sum(), 1e-9)
    return float(scatter / np.sqrt(2 * max(free, 1))), float(variance), gap, info
