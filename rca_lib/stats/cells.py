"""Audits counted by their values, and sums of these over any slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Table = Callable[[tuple[int, ...]], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Audits of one period counted by their values.

    `codes` has one row per dimension and one column per combination that occurs; `items` and `errors` are sums of
    weights (rows, where there are none), `squares` sums of squared weights: the noise of a sum grows with these. Where
    no audit weighs more than another they are the same array, which saves time.
    """

    codes: Codes
    items: Array
    errors: Array
    squares: Array


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The audits of one period counted by cell and item, where items were judged more than once.

    `cell` is the place among the cells, `item` the same number for the same item in both periods; the sums are scaled
    as those of the cells.
    """

    cell: Codes
    item: Codes
    items: Array
    errors: Array
    squares: Array


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How cells lie: their codes, how many values each dimension has, where runs begin (none: not worth it).

    Cells of a run follow one another and differ in the last dimension only; tables without it are summed from runs,
    whose codes are `short`.
    """

    codes: Codes
    sizes: tuple[int, ...]
    runs: NDArray[np.intp]
    short: Codes

    def sum_tables(self, weights: Array) -> Table:
        """Return a function that sums weights over the values of any dimensions: a table with an axis for each.

        Cells are gone through once per table; a table that is part of a former one is summed from that. Ask for the
        large ones first.
        """
        known: dict[frozenset[int], tuple[tuple[int, ...], Array]] = {}
        every, last = (self.codes, weights), len(self.sizes) - 1
        short = (self.short, np.add.reduceat(weights, self.runs)) if len(self.runs) else every

        def over(dimensions: tuple[int, ...]) -> Array:
            wanted = frozenset(dimensions)
            larger = [one for one in known if one >= wanted]
            if not larger:
                codes, sums = every if last in wanted else short
                shape = [self.sizes[dimension] for dimension in dimensions]
                code = (
                    code_of([codes[one] for one in dimensions], shape) if dimensions else np.zeros(len(sums), np.int64)
                )
                table = np.bincount(code, sums, int(np.prod(shape))).reshape(shape)
                known[wanted] = dimensions, table
                return table
            axes, table = known[min(larger, key=lambda one: known[one][1].size)]
            table = table.sum(tuple(place for place, one in enumerate(axes) if one not in wanted))
            left = [one for one in axes if one in wanted]
            return table.transpose([left.index(one) for one in dimensions])

        return over


def lay_out(codes: Codes, sizes: Sequence[int]) -> Layout:
    """Find the runs, where they are worth it."""
    changed = np.zeros(max(codes.shape[1] - 1, 0), bool)
    for row in codes[:-1]:
        changed |= row[1:] != row[:-1]
    runs = np.flatnonzero(np.concatenate([[codes.shape[1] > 0], changed]))
    runs = runs if 2 * len(runs) < codes.shape[1] else runs[:0]
    return Layout(codes, tuple(sizes), runs, codes[:, runs])


def code_of(codes: Sequence[Codes], sizes: Sequence[int]) -> Codes:
    """Number the combinations of several dimensions' codes (rows), the last running fastest."""
    code = codes[0]
    for row, size in zip(codes[1:], sizes[1:], strict=True):
        code = code * size + row
    return code


def moments(cells: Cells, chance: Array) -> tuple[Array, Array, Array]:
    """Return each cell's information on its log odds, the variance of its errors, and its errors beyond the chance."""
    curve = chance * (1 - chance)
    info = cells.items * curve
    noise = info if cells.squares is cells.items else cells.squares * curve
    return info, noise, cells.errors - cells.items * chance
