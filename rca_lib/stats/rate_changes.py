"""How much an error rate changed between two periods, beyond what a model expects of the same work.

Each period has a weighted rate p and an effective number of audits n; `difference_of_rates` gives the interval of their
difference. Audits that share raters or items count as fewer: n is divided by the variance of the difference over
clusters (`two_way_clusters`) relative to that of independent audits.

Errors can be counted beyond an offset m per cell (what a model expects). The difference is then the change at the same
work. With V(e) the variance of a mean of errors and V(e - m) that of errors beyond the offset, n grows by
V(e) / V(e - m): as far as the offset explains why audits differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rca_lib.findings import Estimate
from rca_lib.stats.cells import Array, Cells, Judged
from rca_lib.stats.rate_difference import difference_of_rates
from rca_lib.stats.two_way_clusters import ClusterVariance, cluster_variance

Pair = Sequence[Any]  # one value for the baseline, one for the current period; each a number or one per cell


def compare_rates(
    periods: Sequence[Cells],
    *,
    offsets: Pair = (0.0, 0.0),
    usual: Pair = (0.0, 0.0),
    clusters: int | None = None,
    judged: Sequence[Judged] | None = None,
) -> tuple[Estimate, float]:
    """Return the change of an error rate in pp, with its 95 % interval and p-value.

    Parameters
    ----------
    periods
        The baseline's and the current cells.
    offsets
        Per period what is taken from each error, by cell: between 0 and 1.
    usual
        Per period the chance of an error, by cell, that raters and items are compared with. What is known to have
        changed goes in here, or else it passes for raters who differ.
    clusters
        The dimension of the raters; None where they are not known.
    judged
        The same audits by cell and item, where items were judged more than once.

    Returns
    -------
    tuple
        The change as an `Estimate` in pp, and the two-sided p-value of equal rates (before offsets are taken), which is
        below .05 exactly where the interval of the rates' difference excludes 0.

    Notes
    -----
    Between few raters (below about ten) the interval is wide, for Student's t has one degree of freedom less than there
    are raters. It cannot see dependence by day or team. Coverage of 95 % intervals is in `tests/test_rate_changes.py`.

    Examples
    --------
    Newcombe (1998): 56 of 70 against 48 of 80.

    >>> codes = np.zeros((1, 1), np.int64)
    >>> periods = [Cells(codes, *(np.array([one]) for one in (n, k, n))) for k, n in ((48.0, 80.0), (56.0, 70.0))]
    >>> print(compare_rates(periods)[0])
    20.0 pp (5.2 to 33.4)
    """
    totals = [float(cells.items.sum()) for cells in periods]
    rates = [
        min(max(float(cells.errors.sum()) / total, 0.0), 1.0) for cells, total in zip(periods, totals, strict=True)
    ]
    taken = [float(np.sum(cells.items * one)) / n for cells, one, n in zip(periods, offsets, totals, strict=True)]
    plain = [_variance(cells, 0.0, total) for cells, total in zip(periods, totals, strict=True)]
    alone = [_variance(cells, one, total) for cells, one, total in zip(periods, offsets, totals, strict=True)]
    sizes = [
        min(rate * (1 - rate) / former if 0 < rate < 1 else total, total) * former / variance
        for total, rate, former, variance in zip(totals, rates, plain, alone, strict=True)
    ]
    between = _between(periods, usual, clusters, judged)
    variance = between.variance if np.isfinite(between.degrees) else 0.0
    found = difference_of_rates(*rates, (sizes[0], sizes[1]), variance=variance, degrees=between.degrees)
    change, work = found.change, taken[1] - taken[0]
    ends = (float(np.clip(one - work, -1, 1)) for one in (change.value, change.low, change.high))
    return Estimate(*ends, "pp"), found.p_value


def _variance(cells: Cells, offset: Any, total: float) -> float:
    """Return the variance of the rate beyond the offset if audits are independent; half an error's at the least."""
    share = cells.errors / cells.items
    mean = float((cells.errors - cells.items * offset).sum()) / total
    scatter = (1 - share) * np.square(offset + mean) + share * np.square(1 - offset - mean)
    return max(float((cells.squares * scatter).sum()), 0.5) / total**2


def _between(
    periods: Sequence[Cells], usual: Pair, clusters: int | None, judged: Sequence[Judged] | None
) -> ClusterVariance:
    parts = [
        influences(cells, 0.0 - one, 1.0 - one, None if judged is None else judged[place])
        for place, (cells, one) in enumerate(zip(periods, usual, strict=True))
    ]
    return cluster_periods(periods, parts, clusters, judged)


def influences(cells: Cells, right: Any, wrong: Any, judged: Judged | None = None) -> Array:
    """Return each cell's (or cell and item's) part in a weighted mean of what audits without and with an error count.

    The parts add up to 0.
    """
    right, wrong = np.broadcast_to(right, cells.items.shape), np.broadcast_to(wrong, cells.items.shape)
    rows = cells if judged is None else judged
    if judged is not None:
        right, wrong = right[judged.cell], wrong[judged.cell]
    counted = (rows.items - rows.errors) * right + rows.errors * wrong
    total = rows.items.sum()
    return (counted - rows.items * (counted.sum() / total)) / total


def cluster_periods(
    periods: Sequence[Cells], parts: Sequence[Array], clusters: int | None, judged: Sequence[Judged] | None
) -> ClusterVariance:
    """Return the variance of the difference of two means whose audits share raters or items, also between periods."""
    raters = items = None
    if clusters is not None:
        codes = [cells.codes[clusters] for cells in periods]
        codes = codes if judged is None else [code[one.cell] for code, one in zip(codes, judged, strict=True)]
        raters = np.concatenate(codes)
    if judged is not None:
        items = np.concatenate([one.item for one in judged])
    return cluster_variance(np.concatenate([-parts[0], parts[1]]), raters, items)
