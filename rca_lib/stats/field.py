"""What is searched: the current audits, the baseline's model of them, and every slice that is tested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from rca_lib.stats.cells import Array, Cells, Codes, Layout, lay_out
from rca_lib.stats.drift import thin_cells
from rca_lib.stats.expected import MANY_VALUES, Baseline, fit_baseline

SHARES = np.array([0.05, 0.3, 0.25, 0.4])  # of alpha: everywhere, one dimension, one with many values, two dimensions
WORSE = 3.0  # a test for worse gets so many times the alpha of a test for better
LEAST_EXPECTED = np.array([3.0, 3.0, 2.0, 3.0])  # errors, by the same kinds; slices with fewer are not tested
TWIN = 0.95  # a slice that holds so much of its parent is its parent


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """The codes of all slices of these dimensions that are tested, and their counts."""

    dimensions: tuple[int, ...]
    kind: int
    tested: Codes
    items: Array
    errors: Array
    expected: Array


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What is searched: the current audits, the baseline's model, and families of slices.

    `kinds` holds each tested slice's: 0 everywhere, 1 one dimension, 2 one with many values, 3 two dimensions; `work`
    the dimensions of the work with few values. `penalties` holds, for each tested slice, the log of the number of tests
    that share its part of alpha: for better, for worse. `ratio` is how much the baseline's own noise adds to that of
    the current audits. `tilt` holds, for each value of the last dimension where it is one of raters, the log of how its
    share of the work grew.
    """

    after: Cells
    layout: Layout
    baseline: Baseline
    logits: Array
    families: tuple[Family, ...]
    kinds: Codes
    work: tuple[int, ...]
    penalties: Array
    ratio: float
    tilt: Array

    def name(self, place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the dimensions and the values of the slice at a place."""
        for family in self.families:
            if place < len(family.tested):
                sizes = [self.layout.sizes[dimension] for dimension in family.dimensions]
                values = np.unravel_index(family.tested[place], sizes) if sizes else ()
                return family.dimensions, tuple(int(value) for value in values)
            place -= len(family.tested)
        raise IndexError(place)


def open_field(
    before: Cells, after: Cells, sizes: tuple[int, ...], *, alone: frozenset[int], pairs: bool, alpha: float
) -> Field:
    """Fit the baseline and settle what is tested: slices with enough expected errors that differ from their parents."""
    kinds = list(_kinds(sizes, alone, pairs))
    two = [dimensions for dimensions, kind in kinds if kind == 3]
    baseline = fit_baseline(before, sizes, pairs=two)
    if (thin := thin_cells(before, expit(baseline.logits(before.codes)))) is not before:
        baseline = fit_baseline(thin, sizes, pairs=two)
    layout, logits = lay_out(after.codes, sizes), baseline.logits(after.codes)
    items_over, errors_over, expected_over = (
        layout.sum_tables(one) for one in (after.items, after.errors, after.items * expit(logits))
    )
    families = []
    for dimensions, kind in kinds[::-1]:  # the largest tables first
        count, expected = items_over(dimensions).ravel(), expected_over(dimensions).ravel()
        parent = np.minimum.outer(*(items_over((one,)) for one in dimensions)).ravel() if kind == 3 else count.sum()
        tested = np.flatnonzero(((count < TWIN * parent) | (kind == 0)) & (expected >= LEAST_EXPECTED[kind]))
        if len(tested):
            counts = (one.ravel()[tested] for one in (count, errors_over(dimensions), expected))
            families.insert(0, Family(dimensions, kind, tested, *counts))
    numbers = np.repeat([one.kind for one in families], [len(one.tested) for one in families]).astype(int)
    items, expected = np.hstack([np.zeros((2, 0)), *(np.array([one.items, one.expected]) for one in families)])
    penalties = _penalties(numbers, items, expected, alpha)
    work = tuple(one.dimensions[0] for one in families if one.kind == 1 and one.dimensions[0] not in alone)
    ratio = 1 + float(after.items.sum() / before.items.sum())
    tilt = _tilt(before, after, sizes[-1]) if sizes[-1] >= MANY_VALUES else np.zeros(sizes[-1])
    return Field(after, layout, baseline, logits, tuple(families), numbers, work, penalties, ratio, tilt)


def _tilt(before: Cells, after: Cells, size: int) -> Array:
    """Return how the last dimension's shares grew: raters are shrunk, and work that moves to some tells about them."""
    counts = [np.bincount(cells.codes[-1], cells.items, size) for cells in (before, after)]
    grown = np.clip(np.log((counts[1] + 1) / counts[1].sum()) - np.log((counts[0] + 1) / counts[0].sum()), -2, 2)
    return np.where(counts[0] > 0, grown - (grown @ counts[0]) / counts[0].sum(), 0.0)


def _kinds(sizes: tuple[int, ...], alone: frozenset[int], pairs: bool) -> Iterator[tuple[tuple[int, ...], int]]:
    few = [dimension for dimension, size in enumerate(sizes) if size < MANY_VALUES and dimension not in alone]
    yield (), 0
    yield from (((dimension,), 1 if size < MANY_VALUES else 2) for dimension, size in enumerate(sizes))
    yield from ((pair, 3) for pair in combinations(few, 2) if pairs)


def _penalties(kinds: Codes, items: Array, expected: Array, alpha: float) -> Array:
    """Share alpha out: each kind its part, within it evenly among the tests that can come out at all.

    Tests for worse weigh more than tests for better. A slice that expects few errors cannot have so few that it is
    shown to be better; such a test takes no part of alpha (Tarone 1990). Rows: for better, for worse.
    """
    shares = SHARES / max(SHARES[np.unique(kinds)].sum(), SHARES.min())
    lowest = np.sqrt(-2 * items * np.log1p(-np.minimum(expected / items, 1 - 1e-9)))
    weight = (1 + WORSE) * np.bincount(kinds, minlength=4)
    for _ in range(5):
        can = lowest >= norm.isf(alpha * shares / np.maximum(weight, 1))[kinds]
        weight = np.bincount(kinds, WORSE + can, 4)
    better = np.log(np.maximum(weight, 1) / shares)[kinds]
    return np.array([better, better - np.log(WORSE)])
