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
from rca_lib.stats.cells import Array, Cells, Judged
from rca_lib.stats.expected import Baseline
from rca_lib.stats.rate_changes import cluster_periods, influences

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
    before: Cells,
    after: Cells,
    values: Sequence[tuple[Any, Any]],
    *,
    judged: Sequence[Judged] | None = None,
    extra: float = 0.0,
) -> Estimate:
    """Return the change of a weighted mean of what audits count, with its 95 % interval, in pp.

    `values` gives, for `before` and `after`, what an audit without and with an error counts in each cell: a share, so
    that the interval ends at -100 and 100 pp. `judged` holds the same audits by item, where items were judged more than
    once; they then hang together, and the variance is never below that of independent audits. `extra` is added to it.
    """
    means, parts, alone = [], [], 0.0
    for place, (cells, (right, wrong)) in enumerate(zip((before, after), values, strict=True)):
        total, share = cells.items.sum(), cells.errors / cells.items
        means.append(float(((cells.items - cells.errors) * right + cells.errors * wrong).sum() / total))
        parts.append(influences(cells, right, wrong, None if judged is None else judged[place]))
        scatter = (1 - share) * (right - means[-1]) ** 2 + share * (wrong - means[-1]) ** 2
        alone += max(float((cells.squares * scatter).sum()), 0.5 * float(np.ptp([right, wrong]))) / total**2
    between = cluster_periods((before, after), parts, None, judged)
    variance = alone if judged is None else max(alone, between.variance)
    half = float(t.isf(0.025, between.degrees) * np.sqrt(variance + extra))
    difference = means[1] - means[0]
    ends = max(difference - half, min(-1.0, difference)), min(difference + half, max(1.0, difference))
    return Estimate(difference, *ends, "pp")


def share_change(part: float, parts: Sequence[float], change: float) -> float:
    """Return the share of a part in all that moved a rate the way it moved: between -1 and 1.

    Where no part moved it back, that is the part over the change. Where some did, the change is less than what moved
    it, and one part may be several times the change.

    Parameters
    ----------
    part
        One of the parts.
    parts
        All parts; they add up to the change.
    change
        Other than 0.

    Examples
    --------
    >>> share_change(0.03, [0.03, 0.01], 0.04), round(share_change(0.05, [0.05, -0.04], 0.01), 2)
    (0.75, 1.0)
    """
    up, down = (sum(max(sign * one, 0.0) for one in parts) for sign in (1, -1))
    return float(np.clip(part / (max(up, down) * np.sign(change)), -1, 1))


def split_mix(
    before: Cells,
    after: Cells,
    baseline: Baseline,
    chances: Sequence[Array],
    *,
    judged: Sequence[Judged] | None = None,
) -> tuple[Estimate, list[Estimate], Estimate]:
    """Return the mix part of a change, what each dimension makes of it, and what they make jointly, in pp.

    `chances` holds, for each period, every cell's rate at which its audits are counted. A dimension's part is the
    change of its effects on the log odds at the average slope; such additive parts are the same in whatever order the
    dimensions change, so they are their Das Gupta effects (Yun 2004). The curvature is joint. Intervals allow for the
    sampling of the work and for the model's uncertainty.
    """
    cells, slopes = (before, after), [chance * (1 - chance) for chance in chances]
    extra = _model_variance(cells, baseline, slopes)
    mix = compare_means(before, after, [(chance, chance) for chance in chances], judged=judged, extra=extra)
    slope = float(np.mean([one.items @ bend / one.items.sum() for one, bend in zip(cells, slopes, strict=True)]))
    parts = []
    for place, effect in enumerate(baseline.effects):
        values = [(slope * effect[one.codes[place]],) * 2 for one in cells]
        extra = _model_variance(cells, baseline, (slope, slope), only=place)
        parts.append(compare_means(before, after, values, judged=judged, extra=extra))
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
