"""What is searched: the current audits, the baseline's model of them, and every slice that is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammainc
from scipy.stats import norm

from rca_lib.stats.cells import Array, Cells, Codes, Judged, Layout, lay_out
from rca_lib.stats.drift import thin_cells
from rca_lib.stats.expected import MANY_VALUES, Baseline, fit_baseline
from rca_lib.stats.item_clusters import correlate_items, inflate_cells, inflate_slices

SHARES = np.array([0.05, 0.3, 0.25, 0.4])  # of alpha: everywhere, one dimension, one with many values, two dimensions
WORSE = 3.0  # a test for worse gets so many times the alpha of a test for better
LEAST_EXPECTED = np.array([3.0, 3.0, 2.0, 3.0])  # errors, by the same kinds; slices with fewer are rare
RARE_SHARE = 0.1  # of the alpha of a kind goes to its rare slices, where it has others too
LEAST_ITEMS = 5.0  # audits of a rare slice: fewer cannot come out
LEAST_DIFFERENT = 10  # items of a slice, where items were judged more than once: fewer say nothing about others
TWIN = 0.95  # a slice that holds so much of its parent is its parent


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """The codes of all slices of these dimensions that are tested, and their counts.

    `rare` are those of which next to no error is expected: they are tested for worse only, and only where they hold so
    many errors that they may come out. `silent` is the number of rare ones that do not. `clump` is by how much items
    that were judged more than once multiply the variance of their errors.
    """

    dimensions: tuple[int, ...]
    kind: int
    tested: Codes
    rare: NDArray[np.bool_]
    silent: int
    items: Array
    errors: Array
    expected: Array
    clump: Array


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What is searched: the current audits, the baseline's model, and families of slices.

    `kinds` holds each tested slice's: 0 everywhere, 1 one dimension, 2 one with many values, 3 two dimensions; `rare`
    tells those of which next to no error is expected; `work` holds the dimensions of the work with few values.
    `penalties` holds, for each tested slice, the log of the number of tests that share its part of alpha: for better,
    for worse. `ratio` is how much the baseline's own noise adds to that of the current audits. `tilt` holds, for each
    value of the last dimension where it is one of raters, the log of how its share of the work grew; `seen` tells of
    each dimension which values the baseline has. `clumps`,
    `clumps_of_cells` and `clump` are by how much items that were judged more than once multiply the variance of the
    errors of each tested slice, of each cell, and of all audits.
    """

    after: Cells
    layout: Layout
    baseline: Baseline
    logits: Array
    families: tuple[Family, ...]
    kinds: Codes
    rare: NDArray[np.bool_]
    work: tuple[int, ...]
    penalties: Array
    ratio: float
    tilt: Array
    seen: tuple[NDArray[np.bool_], ...]
    clumps: Array
    clumps_of_cells: Array | float
    clump: float

    def known_before(self, family: Family) -> NDArray[np.bool_]:
        """Tell which values of a family of one dimension had audits in the baseline."""
        return self.seen[family.dimensions[0]][family.tested]

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
    before: Cells,
    after: Cells,
    sizes: tuple[int, ...],
    *,
    alone: frozenset[int],
    pairs: bool,
    alpha: float,
    judged: tuple[Judged, Judged] | None = None,
) -> Field:
    """Fit the baseline and settle what is tested: slices with enough expected errors that differ from their parents."""
    kinds = list(_kinds(sizes, alone, pairs))
    baseline, correlation = _fit_baseline(before, after, sizes, [one for one, kind in kinds if kind == 3], judged)
    layout, logits = lay_out(after.codes, sizes), baseline.logits(after.codes)
    items_over, errors_over, expected_over = (
        layout.sum_tables(one) for one in (after.items, after.errors, after.items * expit(logits))
    )
    families, clumps = [], partial(_inflate, after, judged, expit(logits), correlation, sizes)
    for dimensions, kind in kinds[::-1]:  # the largest tables first
        count, expected = items_over(dimensions).ravel(), expected_over(dimensions).ravel()
        parent = np.minimum.outer(*(items_over((one,)) for one in dimensions)).ravel() if kind == 3 else count.sum()
        clump, different = clumps(dimensions, len(count))
        own = ((count < TWIN * parent) | (kind == 0)) & (different >= LEAST_DIFFERENT)
        families.insert(0, _choose(dimensions, kind, own, count, errors_over(dimensions).ravel(), expected, clump))
    penalties = _penalties(families, alpha)
    families = [one for one in families if len(one.tested)]
    numbers = np.repeat([one.kind for one in families], [len(one.tested) for one in families]).astype(int)
    rare = np.hstack([np.zeros(0, bool), *(one.rare for one in families)])
    work = tuple(one.dimensions[0] for one in families if one.kind == 1 and one.dimensions[0] not in alone)
    ratio = 1 + float(after.items.sum() / before.items.sum())
    tilt = _tilt(before, after, sizes[-1]) if sizes[-1] >= MANY_VALUES else np.zeros(sizes[-1])
    each = np.hstack([np.zeros(0), *(one.clump for one in families)])
    cells = 1.0 if judged is None else inflate_cells(judged[1], expit(logits), correlation)
    seen = tuple(np.bincount(code, minlength=size) > 0 for code, size in zip(before.codes, sizes, strict=True))
    more = seen, each, cells, float(clumps((), 1)[0][0])
    return Field(after, layout, baseline, logits, tuple(families), numbers, rare, work, penalties, ratio, tilt, *more)


def _inflate(
    after: Cells,
    judged: tuple[Judged, Judged] | None,
    chance: Array,
    correlation: float,
    sizes: tuple[int, ...],
    dimensions: tuple[int, ...],
    size: int,
) -> tuple[Array, Array]:
    """Return by how much items multiply the variance of the errors of each slice, and how many items it holds."""
    if judged is None:
        return np.ones(size), np.full(size, np.inf)
    return inflate_slices(after, judged[1], chance, correlation, dimensions, sizes)


def _fit_baseline(
    before: Cells,
    after: Cells,
    sizes: tuple[int, ...],
    pairs: Sequence[tuple[int, int]],
    judged: tuple[Judged, Judged] | None,
) -> tuple[Baseline, float]:
    """Fit the baseline, and tell by how much errors on one item hang together."""
    baseline, correlation, clump, clumps = fit_baseline(before, sizes, pairs=pairs), 0.0, 1.0, 1.0
    if judged is not None:
        now = fit_baseline(after, sizes, pairs=pairs)
        chances = [expit(one.logits(cells.codes)) for one, cells in ((baseline, before), (now, after))]
        correlation = correlate_items((before, after), judged, chances)
        clump = float(inflate_slices(before, judged[0], chances[0], correlation, (), sizes)[0][0])
        clumps = inflate_cells(judged[0], chances[0], correlation)
        baseline = fit_baseline(before, sizes, pairs=pairs, clump=clump)
    if (thin := thin_cells(before, expit(baseline.logits(before.codes)), clumps)) is not before:
        baseline = fit_baseline(thin, sizes, pairs=pairs, clump=clump)
    return baseline, correlation


def _choose(
    dimensions: tuple[int, ...],
    kind: int,
    own: NDArray[np.bool_],
    items: Array,
    errors: Array,
    expected: Array,
    clump: Array,
) -> Family:
    """Choose what is tested of these dimensions: slices of their `own` with enough expected errors, and rare ones.

    A rare slice is tested where its errors would come out at 1 in 1,000 by themselves; those with fewer could not come
    out at their part of alpha, so to leave them out costs no power, and as `silent` ones they still take their part.
    Errors on items that were judged more than once count as fewer.
    """
    seen, usual = errors / clump, expected / clump
    rare = own & (usual < LEAST_EXPECTED[kind]) & (items >= LEAST_ITEMS)
    high = rare & (seen >= 2) & (gammainc(np.maximum(seen, 1), np.maximum(usual, 1e-12)) < 1e-3)
    tested = np.flatnonzero((own & (usual >= LEAST_EXPECTED[kind])) | high)
    counts = (one[tested] for one in (items, errors, expected, clump))
    return Family(dimensions, kind, tested, high[tested], int(rare.sum() - high.sum()), *counts)


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


def _penalties(families: Sequence[Family], alpha: float) -> Array:
    """Share alpha out: each kind its part, within it evenly among the tests that can come out at all.

    Tests for worse weigh more than tests for better. A slice that expects few errors cannot have so few that it is
    shown to be better; such a test takes no part of alpha (Tarone 1990). Rare slices share a small part of their kind's
    alpha (all of it, where there are no others), whether they were tested or not. Rows: for better, for worse.
    """
    kinds = np.repeat([one.kind for one in families], [len(one.tested) for one in families]).astype(int)
    rare, items, expected = (
        np.hstack([np.zeros(0), *(getattr(one, name) for one in families)]) for name in ("rare", "items", "expected")
    )
    rare = rare.astype(bool)
    number = np.bincount(kinds[rare], minlength=4) + np.bincount(
        [one.kind for one in families], [one.silent for one in families], 4
    )
    usual = np.bincount(kinds[~rare], minlength=4)
    shares = np.where(usual + number > 0, SHARES, 0)
    shares = shares / max(shares.sum(), SHARES.min())
    apart = np.where(usual == 0, 1.0, np.where(number > 0, RARE_SHARE, 0.0))
    clump = np.hstack([np.zeros(0), *(one.clump for one in families)])
    lowest = np.sqrt(-2 * items * np.log1p(-np.minimum(expected / items, 1 - 1e-9)) / clump)
    weight = (1 + WORSE) * usual
    for _ in range(5):
        can = lowest >= norm.isf(alpha * shares * (1 - apart) / np.maximum(weight, 1))[kinds]
        weight = np.bincount(kinds[~rare], WORSE + can[~rare], 4)
    with np.errstate(divide="ignore"):
        better = np.log(np.maximum(weight, 1) / (shares * (1 - apart)))[kinds]
        alone = np.log(np.maximum(number, 1) / (shares * apart))[kinds]
    return np.array([np.where(rare, np.inf, better), np.where(rare, alone, better - np.log(WORSE))])
