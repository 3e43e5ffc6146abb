"""A change taken apart: how much is mix, how much is rate, how much belongs to each of several factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from rca_lib.findings import Estimate
from rca_lib.stats.cells import Array, Cells
from rca_lib.stats.expected import Baseline
from rca_lib.stats.rate_difference import difference_of_rates

MOST_FACTORS = 12


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a change: `mix`, one per axis (composition), and `rate`. Together they are the change, exactly."""

    mix: tuple[float, ...]
    rate: float


def split_change(
    before_items: ArrayLike, before_rates: ArrayLike, after_items: ArrayLike, after_rates: ArrayLike
) -> Split:
    """Split a change of a crude rate into mix and rate.

    Parameters
    ----------
    before_items, after_items
        Items (or shares) of each cell: one axis per dimension.
    before_rates, after_rates
        The rate in each cell, in any unit. Where a period has no items, the other period's rate stands in.

    Notes
    -----
    Rate: the cells' changes at the average mix; mix: the changes of the shares at the average rates (Kitagawa 1955).
    With several axes the mix is split among them as in Das Gupta (1993, chapter 5), whatever the number of axes.
    Causes are not told: a part is what would be there had only that factor changed, averaged over the orders.

    Examples
    --------
    >>> split = split_change([50, 50], [0.1, 0.3], [25, 75], [0.1, 0.5])
    >>> round(split.mix[0], 3), round(split.rate, 3)
    (0.075, 0.125)
    """
    items = [np.asarray(one, float) for one in (before_items, after_items)]
    rates = [np.asarray(one, float) for one in (before_rates, after_rates)]
    if min(one.sum() for one in items) <= 0:
        raise ValueError("a period without items has no rate to split")
    rates = [np.where(items[one] > 0, rates[one], np.where(items[1 - one] > 0, rates[1 - one], 0)) for one in (0, 1)]
    shares = [one / one.sum() for one in items]
    mean = (rates[0] + rates[1]) / 2
    factors = [[_structure(share, axis) for axis in range(share.ndim)] for share in shares]
    mix = split_factors(*factors, outcome=lambda parts: float((np.prod(parts, axis=0) * mean).sum()))
    return Split(mix, float(((rates[1] - rates[0]) * (shares[0] + shares[1]) / 2).sum()))


def split_factors(
    before: Sequence[ArrayLike],
    after: Sequence[ArrayLike],
    *,
    outcome: Callable[[Sequence[Array]], float] = lambda parts: float(np.prod(parts, axis=0).sum()),
) -> tuple[float, ...]:
    """Split the change of an outcome among its factors; the default outcome is their product, summed over cells.

    Each factor's part is what its change alone makes, averaged over all orders in which the factors can change
    (Das Gupta 1993; the Shapley value). The parts add up to the change exactly.

    Examples
    --------
    Das Gupta (1993), table 2.1: earnings 10,930 × 0.717892 against 16,591 × 0.825974.

    >>> [round(part, 3) for part in split_factors([10930, 0.717892], [16591, 0.825974])]
    [4369.913, 1487.262]
    """
    number = len(before)
    if number != len(after) or not 1 <= number <= MOST_FACTORS:
        raise ValueError(f"give the same 1 to {MOST_FACTORS} factors before and after")
    pairs = [(np.asarray(one, float), np.asarray(other, float)) for one, other in zip(before, after, strict=True)]
    worth = {
        moved: outcome([pair[place in moved] for place, pair in enumerate(pairs)])
        for size in range(number + 1)
        for moved in map(frozenset, combinations(range(number), size))
    }
    return tuple(
        sum(
            (worth[moved | {factor}] - value) / (number * comb(number - 1, len(moved)))
            for moved, value in worth.items()
            if factor not in moved
        )
        for factor in range(number)
    )


def compare_means(
    before: Cells, after: Cells, values: Sequence[tuple[Any, Any]], *, clusters: int | None = None, extra: float = 0.0
) -> tuple[Estimate, float]:
    """Return the change of a weighted mean of what audits count, with its 95 % interval in pp, and its p-value.

    `values` gives, for `before` and `after`, what an audit without and with an error counts in each cell. Audits with
    the same code in the dimension `clusters` hang together, within and between the periods; the interval is then
    Student's, and its variance never below that of independent audits. `extra` is added to the variance. A difference
    of two rates has the interval of `difference_of_rates`; no interval leaves −100 to 100 pp.
    """
    means, influences, alone = [], [], extra
    for cells, (right, wrong) in zip((before, after), values, strict=True):
        total, share = cells.items.sum(), cells.errors / cells.items
        here = (1 - share) * right + share * wrong
        means.append(float((cells.items * here).sum() / total))
        influences.append(cells.items * (here - means[-1]) / total)
        scatter = (1 - share) * (right - means[-1]) ** 2 + share * (wrong - means[-1]) ** 2
        alone += max(float((cells.squares * scatter).sum()), 0.5 * float(np.ptp([right, wrong]))) / total**2
    difference, variance, degrees = means[1] - means[0], alone, np.inf
    if clusters is not None:
        codes = before.codes[clusters], after.codes[clusters]
        size = 1 + int(max(code.max() for code in codes))
        sums = np.bincount(codes[1], influences[1], size) - np.bincount(codes[0], influences[0], size)
        number = len(np.union1d(*codes))
        if number > 1:
            variance, degrees = max(alone, number / (number - 1) * float(np.square(sums).sum()) + extra), number - 1
    if all(np.isscalar(right) and (right, wrong) == (0.0, 1.0) for right, wrong in values):
        sizes = tuple(float(cells.items.sum() ** 2 / cells.squares.sum()) for cells in (before, after))
        rates = [min(max(mean, 0.0), 1.0) for mean in means]  # sums of fractions may be off in the last digit
        found = difference_of_rates(*rates, sizes, variance=variance, degrees=degrees)
        return found.change, found.p_value
    error = float(np.sqrt(variance))
    half = float(t.isf(0.025, degrees)) * error
    p_value = float(2 * t.sf(abs(difference) / error, degrees)) if error > 0 else 1.0
    return Estimate(difference, max(difference - half, -1.0), min(difference + half, 1.0), "pp"), p_value


def split_mix(
    before: Cells, after: Cells, baseline: Baseline, chances: Sequence[Array]
) -> tuple[Estimate, list[Estimate], Estimate]:
    """Return the mix part of a change, what each dimension makes of it, and what they make jointly, in pp.

    `chances` holds, for each period, every cell's rate at which its audits are counted. A dimension's part is the
    change of its effects on the log odds at the average slope; such additive parts are the same in whatever order the
    dimensions change, so they are their Das Gupta effects (Yun 2004). The curvature is joint. Intervals allow for the
    sampling of the work and for the model's uncertainty.
    """
    cells, slopes = (before, after), [chance * (1 - chance) for chance in chances]
    extra = _model_variance(cells, baseline, slopes)
    mix, _ = compare_means(before, after, [(chance, chance) for chance in chances], extra=extra)
    slope = float(np.mean([one.items @ bend / one.items.sum() for one, bend in zip(cells, slopes, strict=True)]))
    parts = []
    for place, effect in enumerate(baseline.effects):
        values = [(slope * effect[one.codes[place]],) * 2 for one in cells]
        extra = _model_variance(cells, baseline, (slope, slope), only=place)
        parts.append(compare_means(before, after, values, extra=extra)[0])
    return mix, parts, Estimate(mix.value - sum(part.value for part in parts), unit="pp")


def _model_variance(
    periods: Sequence[Cells], baseline: Baseline, slopes: Sequence[Any], only: int | None = None
) -> float:
    """Return the variance that the model's uncertainty gives the mix, of all its effects or of one dimension's."""
    tables = [np.zeros((1, len(effect))) for effect in baseline.effects]
    for sign, cells, slope in zip((-1, 1), periods, slopes, strict=True):
        weights = sign * cells.items * slope / cells.items.sum()
        for place in range(len(tables)) if only is None else (only,):
            tables[place] += np.bincount(cells.codes[place], weights, tables[place].shape[1])
    total = np.zeros((1, 1)) if only is not None else tables[0].sum(1, keepdims=True)
    return float(np.square(baseline.known.halve(np.hstack([total, *tables]))).sum())


def _structure(shares: Array, axis: int) -> Array:
    """Return an axis's factor of the shares: conditional on every subset of the other axes, geometrically averaged."""
    others = [one for one in range(shares.ndim) if one != axis]
    factor = np.ones_like(shares)
    for size in range(len(others) + 1):
        for given in combinations(others, size):
            part = shares.sum(tuple(one for one in others if one not in given), keepdims=True)
            whole = part.sum(axis, keepdims=True)
            ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
            factor = factor * ratio ** (1 / (shares.ndim * comb(len(others), size)))
    return factor
