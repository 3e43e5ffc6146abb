"""What is known of the effects of a logistic model that has one for every value of every dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rca_lib.stats.cells import Array, Table


@dataclass(frozen=True, slots=True, eq=False)
class Precision:
    """The inverse of the effects' covariance.

    `corner` of the intercept and all dimensions but the last, `wide` of the last (diagonal: no audit has two of its
    values), `edge` of the first with the last.
    """

    corner: Array
    edge: Array
    wide: Array

    def halve(self, rows: Array) -> Array:
        """Return rows whose inner products are the covariances of sums of effects, given as rows over all effects."""
        narrow, last = np.hsplit(rows, [len(self.corner)])
        reduced, lean = self.reduce()
        values, vectors = np.linalg.eigh(reduced)
        root = vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))  # rounding may leave some below 0
        return np.hstack([(narrow - last @ lean) @ root, last / np.sqrt(self.wide)])

    def solve(self, values: Array) -> Array:
        """Return the covariance times values, one for each effect."""
        narrow, last = np.split(values, [len(self.corner)])
        reduced, lean = self.reduce()
        first = np.linalg.solve(reduced, narrow - last @ lean)
        return np.concatenate([first, last / self.wide - lean @ first])

    def multiply(self, effects: Array) -> Array:
        """Return the precision times effects."""
        narrow, last = np.split(effects, [len(self.corner)])
        return np.concatenate([self.corner @ narrow + self.edge @ last, narrow @ self.edge + self.wide * last])

    def reduce(self) -> tuple[Array, Array]:
        """Return the precision of all effects but the last dimension's, and how much these lean on each of them."""
        lean = (self.edge / self.wide).T
        return self.corner - self.edge @ lean, lean

    def loosen(self, variance: float) -> Precision:
        """Give each effect of the last dimension this much more variance."""
        wide = 1 / (1 / self.wide + variance)
        corner = self.corner - (self.edge * ((1 - wide / self.wide) / self.wide)) @ self.edge.T
        return Precision(corner, self.edge * (wide / self.wide), wide)


def sum_effects(over: Table, sizes: Sequence[int], dimensions: tuple[int, ...]) -> Array:
    """Return sums by slice of these dimensions (rows) and effect (columns): all audits, each dimension's values."""
    parts = [np.empty((0, 0))] * len(sizes)
    for other in range(len(sizes)):
        if other not in dimensions:
            parts[other] = over((*dimensions, other)).reshape(-1, sizes[other])
    total = over(dimensions).ravel()
    own = np.unravel_index(np.arange(len(total)), [sizes[one] for one in dimensions]) if dimensions else ()
    for dimension, values in zip(dimensions, own, strict=True):
        parts[dimension] = np.zeros((len(total), sizes[dimension]))
        parts[dimension][np.arange(len(total)), values] = total
    return np.hstack([total[:, None], *parts])


def sum_rows(over: Table, sizes: Sequence[int]) -> Array:
    """Return sums by pairs of effects: rows are all audits and the values of all dimensions but the last."""
    rows = [sum_effects(over, sizes, (one,)) for one in range(len(sizes) - 1)]
    return np.vstack([sum_effects(over, sizes, ()), *rows])


def inform(over: Table, sizes: Sequence[int]) -> Precision:
    """Return what audits tell of the effects, from a function that sums their information."""
    corner, edge = np.hsplit(sum_rows(over, sizes), [1 + sum(sizes[:-1])])
    return Precision(corner, edge, edge[0])
