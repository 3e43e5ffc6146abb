"""What to expect of every audit, had nothing changed: a baseline model that knows how unsure it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from rca_lib.stats.cells import Array, Cells, Codes, Layout, Table, code_of, lay_out, moments
from rca_lib.stats.precision import Precision, inform, sum_effects

MANY_VALUES = 40  # from here on a dimension is one of raters or the like
ROOM = 4.0  # times their variance is what effects in dimensions with fewer values may have
LINEAR = 0.5  # the shift of the log odds up to which one linear step will do
NEAR = 0.01  # the last Newton step may be as large (log odds): what is left then is its square


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
        logits = _sum_up(codes, self.intercept, self.effects)
        for (one, other), (shift, _) in self.together.items():
            logits += shift[codes[one] * len(self.effects[other]) + codes[other]]
        return logits

    def doubt(self, dimensions: tuple[int, ...], codes: Codes) -> Array:
        """Return the variance of the log odds that pairs of values keep for themselves."""
        return self.together[dimensions][1][codes] if dimensions in self.together else np.zeros(len(codes))


def fit_baseline(
    cells: Cells, sizes: tuple[int, ...], *, pairs: Iterable[tuple[int, int]] = (), clump: float = 1.0
) -> Baseline:
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
    clump
        By how much items that were judged more than once multiply the variance of errors: what they explain is no
        interaction.

    Notes
    -----
    Penalised Newton steps; the variances by the fixed point of MacKay (1992) with one pseudo-value of variance 0.05, so
    that no dimension collapses to none. Dimensions with few values are hardly shrunk (`ROOM`): they are well known, and
    shrinkage would let work that moves to their hard values look like worse work. Pairs are fitted to what is left, the
    strongest first, by moments.
    """
    cells = _add_half_an_error(cells)
    centre = float(logit(cells.errors.sum() / cells.items.sum()))
    layout = lay_out(cells.codes, sizes)
    effects, known = _fit_effects(cells, layout, centre)
    parts = np.split(effects, np.cumsum([1, *sizes])[:-1])[1:]
    alone = Baseline(centre + float(effects[0]), tuple(parts), known, {})
    noisy = cells if clump == 1 else replace(cells, squares=cells.squares * clump)
    return replace(alone, together=fit_together(noisy, layout, alone.logits(cells.codes), pairs))


def _add_half_an_error(cells: Cells) -> Cells:
    """Spread one more audit with half an error over the cells (Jeffreys 1946): a baseline without errors has a rate."""
    more = cells.items / cells.items.sum()
    items = cells.items + more
    return replace(
        cells,
        items=items,
        errors=cells.errors + more / 2,
        squares=items if cells.squares is cells.items else cells.squares + more * cells.squares / cells.items,
    )


def _fit_effects(cells: Cells, layout: Layout, centre: float) -> tuple[Array, Precision]:
    sizes, ends = layout.sizes, np.cumsum([1, *layout.sizes])
    effects, variances = np.zeros(ends[-1]), np.full(len(sizes), 0.1)
    seen = np.concatenate([np.bincount(code, None, size) for code, size in zip(cells.codes, sizes, strict=True)]) > 0
    room = np.where(seen & (np.repeat(sizes, sizes) < MANY_VALUES), ROOM, 1.0)
    for _ in range(25):
        first, *others = np.split(effects, ends[:-1])
        info, _, gap = moments(cells, expit(_sum_up(cells.codes, centre + float(first[0]), others)))
        prior = np.concatenate([[0.01], 1 / (np.repeat(variances, sizes) * room)])
        told, slope = inform(layout.sum_tables(info), sizes), sum_effects(layout.sum_tables(gap), sizes, ())[0]
        known = Precision(told.corner + np.diag(prior[: ends[-2]]), told.edge, told.wide + prior[ends[-2] :])
        reduced, lean = known.reduce()
        inverse = np.linalg.inv(reduced)
        pull, push = np.split(slope - prior * effects, ends[-2:-1])
        step = np.clip(inverse @ (pull - lean.T @ push), -2, 2)
        effects = effects + np.concatenate([step, np.clip(push / known.wide - lean @ step, -2, 2)])
        root = lean @ np.linalg.cholesky(inverse)
        spreads = np.concatenate([np.diag(inverse), 1 / known.wide + np.square(root).sum(1)])
        former, variances = variances, _variances(effects, spreads, 1 / prior, ends)
        if np.abs(step).max() < NEAR and np.abs(variances / former - 1).max() < 0.02:
            break
    return effects, known


def _sum_up(codes: Codes, intercept: float, effects: Iterable[Array]) -> Array:
    logits = np.full(codes.shape[1], intercept)
    for effect, code in zip(effects, codes, strict=True):
        logits += effect[code]
    return logits


def _variances(effects: Array, spreads: Array, variances: Array, ends: NDArray[np.int64]) -> Array:
    kept = np.clip(1 - spreads[1:] / variances[1:], 0, 1)
    starts = ends[:-1] - 1
    return (np.add.reduceat(np.square(effects[1:]), starts) + 0.05) / (np.add.reduceat(kept, starts) + 1)


def fit_together(
    cells: Cells, layout: Layout, logits: Array, groups: Iterable[tuple[int, ...]]
) -> dict[tuple[int, ...], tuple[Array, Array]]:
    """Shrink what the log odds leave in the values of each group of dimensions; groups without evidence are left out.

    Returns the shift of each value (or combination of values) of a group, and its variance.
    """
    found: dict[tuple[int, ...], tuple[Array, Array]] = {}
    left = _tables(cells, layout, logits)
    strength = {group: _evidence(left, layout.sizes, group)[0] for group in groups}
    for group in sorted((one for one in strength if strength[one] > 1), key=lambda one: -strength[one]):
        evidence, variance, gap, info = _evidence(left, layout.sizes, group)
        if evidence > 1 and variance > 0:
            code = code_of([cells.codes[one] for one in group], [layout.sizes[one] for one in group])
            shift = _shrink(cells, logits, code, variance * gap / (1 + variance * info), variance)
            found[group] = shift, variance / (1 + variance * info)
            logits = logits + shift[code]
            left = _tables(cells, layout, logits)
    return found


def _shrink(cells: Cells, logits: Array, code: Codes, shift: Array, variance: float) -> Array:
    """Refine shifts of large values: the first step is linear, and four times the errors would be sixteen times."""
    if np.abs(shift).max(initial=0) < LINEAR:
        return shift
    shift = np.clip(shift, -LINEAR, LINEAR)
    for _ in range(10):
        info, _, gap = (np.bincount(code, one, len(shift)) for one in moments(cells, expit(logits + shift[code])))
        shift = shift + np.clip((variance * gap - shift) / (1 + variance * info), -1, 1)
    return shift


def _tables(cells: Cells, layout: Layout, logits: Array) -> tuple[Table, Table, Table]:
    info, noise, gap = moments(cells, expit(logits))
    over = layout.sum_tables(info)
    return over, over if noise is info else layout.sum_tables(noise), layout.sum_tables(gap)


def _evidence(
    left: tuple[Table, Table, Table], sizes: tuple[int, ...], group: tuple[int, ...]
) -> tuple[float, float, Array, Array]:
    """Return by how many sd the values differ from what is expected, their variance, gaps and information."""
    info, noise, gap = (over(group).ravel() for over in left)
    seen = noise > 0
    free = np.prod([sizes[one] - 1 for one in group]) / len(info) * seen.sum()
    scatter = (np.square(gap[seen]) / noise[seen]).sum() - free
    variance = (np.square(gap).sum() - noise.sum() * free / max(seen.sum(), 1)) / max(np.square(info).sum(), 1e-9)
    return float(scatter / np.sqrt(2 * max(free, 1))), float(variance), gap, info
