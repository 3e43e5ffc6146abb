"""Items that were judged more than once: errors on one item hang together, so that its audits count as fewer.

With p the chance of an error of an audit, v = p (1 - p) its variance and r = e - p its residual, two audits of one item
have the covariance rho * sqrt(v v'). Over all pairs of audits of one item, each residual counted with its weight,

    rho = sum of r r' / sum of sqrt(v v')                  (moments; Williams 1982)

and the errors of a slice have the variance of independent ones times

    1 + rho * sum over items of ((sum of sqrt(v))^2 - sum of v) / sum of v,

where the sums run over the audits of the item inside the slice. A rater who saw each item once has the factor 1, a
policy whose items were all judged by m raters has 1 + (m - 1) rho (Kish 1965).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rca_lib.stats.cells import Array, Cells, Codes, Judged, code_of


def correlate_items(periods: Sequence[Cells], judged: Sequence[Judged], chances: Sequence[Array]) -> float:
    """Return the correlation of two audits of one item, between 0 and 1.

    Parameters
    ----------
    periods, judged
        The audits of each period by cell, and by cell and item.
    chances
        The chance of an error in each cell, fitted to the same period: or else what changed between the periods passes
        for items that hang together.

    Notes
    -----
    One number for all items. Where only few items were judged more than once it is unsure, and as often too small as
    too large.
    """
    tops = bottoms = 0.0
    for rows, chance in zip(judged, chances, strict=True):
        mean = chance[rows.cell]
        left, root = rows.errors - rows.items * mean, rows.items * np.sqrt(mean * (1 - mean))
        share = rows.errors / rows.items
        own = rows.squares * (share * np.square(1 - mean) + (1 - share) * np.square(mean))
        tops += float(np.square(np.bincount(rows.item, left)).sum() - own.sum())
        bottoms += float(np.square(np.bincount(rows.item, root)).sum() - (rows.squares * mean * (1 - mean)).sum())
    return float(np.clip(tops / bottoms, 0, 1)) if bottoms > 1e-9 else 0.0


def inflate_slices(
    cells: Cells, judged: Judged, chance: Array, correlation: float, dimensions: Sequence[int], sizes: Sequence[int]
) -> tuple[Array, Array]:
    """Return by how much items multiply the variance of the errors of each slice of these dimensions, in code order.

    Also return how many different items each slice holds.
    """
    shape = [sizes[one] for one in dimensions]
    code = code_of([cells.codes[one] for one in dimensions], shape) if dimensions else np.zeros(len(chance), np.int64)
    return _inflate(code[judged.cell], int(np.prod(shape)), judged, chance, correlation)


def inflate_cells(judged: Judged, chance: Array, correlation: float) -> Array:
    """Return by how much items multiply the variance of the errors of each cell."""
    return _inflate(judged.cell, len(chance), judged, chance, correlation)[0]


def _inflate(code: Codes, size: int, judged: Judged, chance: Array, correlation: float) -> tuple[Array, Array]:
    spread = (chance * (1 - chance))[judged.cell]
    items, place = np.unique(code * (int(judged.item.max()) + 1) + judged.item, return_inverse=True)
    whole = np.square(np.bincount(place, judged.items * np.sqrt(spread)))
    together = np.bincount(items // (int(judged.item.max()) + 1), whole, size)
    alone = np.bincount(code, judged.squares * spread, size)
    more = np.maximum(np.divide(together, alone, out=np.ones(size), where=alone > 0) - 1, 0)
    return 1 + correlation * more, np.bincount(items // (int(judged.item.max()) + 1), minlength=size)
