# Tested in tests/stats/slice_search/test_selection.py.
"""The design of a search: current audits, the baseline's model of them, and all slices that are tested.

1. Fit the baseline model (`baseline_model`). If items were judged more than once, estimate the correlation of their
   audits and fit again (`item_design_effects`). If cells vary beyond sampling error, reduce them to the number of
   audits with the same information and fit again (`random_effects`).
2. Count every slice of the current audits: items, errors, expected errors (`slice_families`).
3. Select the slices that are tested: those that expect enough errors, and rare ones with many errors.
4. Allocate alpha to them (`alpha_allocation`).

Nothing in the design depends on which slices are selected later, so that it is computed once per search.

Reference: Tarone 1990, Biometrics 46: tests that cannot be significant need no alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rca_lib.stats.slice_search.alpha_allocation import allocate_alpha
from rca_lib.stats.slice_search.baseline_model import HIGH_CARDINALITY, BaselineModel, fit_baseline_model
from rca_lib.stats.slice_search.contingency import (
    Array,
    CellItemCounts,
    Codes,
    ContingencyTable,
    TableLayout,
    build_layout,
)
from rca_lib.stats.slice_search.item_design_effects import (
    compute_cell_design_effects,
    compute_slice_design_effects,
    estimate_item_correlation,
)
from rca_lib.stats.slice_search.random_effects import downweight_cells
from rca_lib.stats.slice_search.slice_families import (
    DUPLICATE_SHARE,
    EVERYWHERE,
    MIN_DISTINCT_ITEMS,
    ONE_DIMENSION,
    TWO_DIMENSIONS,
    SliceFamily,
    enumerate_families,
    select_tested_slices,
)

MAX_LOG_GROWTH = 2.0  # log of the growth of a rater's share of the work; larger growth says no more

ItemCounts = tuple[CellItemCounts, CellItemCounts]  # of the baseline and of the current period


@dataclass(frozen=True, slots=True, eq=False)
class SearchDesign:
    """What is searched.

    Attributes
    ----------
    current, layout
        The current audits and the order of their cells.
    baseline, logits
        The model of the baseline, and the log odds it expects in each current cell.
    families
        The families of tested slices.
    kinds, rare
        Kind of each tested slice, and whether it is rare.
    work_dimensions
        The dimensions of the work with few values.
    log_multiplicity
        Log of the number of tests that share the alpha of each tested slice: rows for a decrease and an increase.
    variance_ratio
        Variance of a comparison with the baseline, relative to that of the current audits alone.
    workload_growth
        Log growth of the share of the work of each value of the last dimension, if it is one of raters; else 0.
    baseline_values
        For each dimension, which values the baseline has.
    design_effects, cell_design_effects, overall_design_effect
        Factors on the variance of errors from repeated items: of each tested slice, of each cell, of all audits.
    """

    current: ContingencyTable
    layout: TableLayout
    baseline: BaselineModel
    logits: Array
    families: tuple[SliceFamily, ...]
    kinds: Codes
    rare: NDArray[np.bool_]
    work_dimensions: tuple[int, ...]
    log_multiplicity: Array
    variance_ratio: float
    workload_growth: Array
    baseline_values: tuple[NDArray[np.bool_], ...]
    design_effects: Array
    cell_design_effects: Array | float
    overall_design_effect: float

    def is_in_baseline(self, family: SliceFamily) -> NDArray[np.bool_]:
        """Tell which tested values of a family had audits in the baseline.

        Parameters
        ----------
        family
            A family of one dimension.

        Returns
        -------
        ndarray of bool
            One element per tested value.
        """
        return self.baseline_values[family.dimensions[0]][family.tested]

    def decode_slice(self, index: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the dimensions and the values of a tested slice.

        Parameters
        ----------
        index
            Index of the slice among the tested ones.

        Returns
        -------
        dimensions, values
            Tuples of equal length; empty for all audits.

        Raises
        ------
        IndexError
            If no tested slice has this index.
        """
        for family in self.families:
            if index < len(family.tested):
                sizes = [self.layout.sizes[dimension] for dimension in family.dimensions]
                values = np.unravel_index(family.tested[index], sizes) if sizes else ()
                return family.dimensions, tuple(int(value) for value in values)
            index -= len(family.tested)
        raise IndexError(index)


def build_search_design(
    before: ContingencyTable,
    current: ContingencyTable,
    sizes: tuple[int, ...],
    *,
    unpaired: frozenset[int],
    pairs: bool,
    alpha: float,
    item_counts: ItemCounts | None = None,
) -> SearchDesign:
    """Fit the baseline and decide which slices are tested.

    Parameters
    ----------
    before, current, sizes, pairs, alpha, item_counts
        As for `search_slices`.
    unpaired
        Dimensions that are not searched in pairs, the raters' dimension included.

    Returns
    -------
    SearchDesign
        The design.

    Notes
    -----
    A slice is tested if it expects enough errors and holds clearly fewer audits than the slices that contain it.
    """
    enumerated = list(enumerate_families(sizes, unpaired, pairs))
    pair_dimensions = [dimensions for dimensions, kind in enumerated if kind == TWO_DIMENSIONS]
    baseline, correlation = _fit_corrected_baseline(before, current, sizes, pair_dimensions, item_counts)
    layout = build_layout(current.codes, sizes)
    logits = baseline.logits(current.codes)
    rates = expit(logits)
    compute_effects = partial(_item_design_effects, current, item_counts, rates, correlation, sizes)
    families = _build_families(enumerated, layout, current, rates, compute_effects)
    log_multiplicity = allocate_alpha(families, alpha)
    families = [family for family in families if len(family.tested)]
    work_dimensions = [family.dimensions[0] for family in families if family.kind == ONE_DIMENSION]
    return SearchDesign(
        current=current,
        layout=layout,
        baseline=baseline,
        logits=logits,
        families=tuple(families),
        kinds=np.repeat([family.kind for family in families], [len(family.tested) for family in families]).astype(int),
        rare=np.concatenate([np.zeros(0, bool), *(family.rare for family in families)]),
        work_dimensions=tuple(dimension for dimension in work_dimensions if dimension not in unpaired),
        log_multiplicity=log_multiplicity,
        variance_ratio=1 + float(current.items.sum() / before.items.sum()),
        workload_growth=_workload_growth(before, current, sizes[-1]),
        baseline_values=_observed_values(before, sizes),
        design_effects=np.concatenate([np.zeros(0), *(family.design_effects for family in families)]),
        cell_design_effects=_cell_design_effects(item_counts, rates, correlation),
        overall_design_effect=float(compute_effects((), 1)[0][0]),
    )


def _build_families(
    enumerated: Sequence[tuple[tuple[int, ...], int]],
    layout: TableLayout,
    current: ContingencyTable,
    rates: Array,
    compute_effects: Callable[[tuple[int, ...], int], tuple[Array, Array]],
) -> list[SliceFamily]:
    """Count all slices and select the tested ones; the largest tables come first, others are summed from them."""
    item_sums = layout.marginalize(current.items)
    error_sums = layout.marginalize(current.errors)
    expected_sums = layout.marginalize(current.items * rates)
    families: list[SliceFamily] = []
    for dimensions, kind in reversed(enumerated):
        items = item_sums(dimensions).ravel()
        expected_errors = expected_sums(dimensions).ravel()
        if kind == TWO_DIMENSIONS:
            parent_items = np.minimum.outer(*(item_sums((dimension,)) for dimension in dimensions)).ravel()
        else:
            parent_items = items.sum()
        design_effects, distinct_items = compute_effects(dimensions, len(items))
        differs_from_parent = (items < DUPLICATE_SHARE * parent_items) | (kind == EVERYWHERE)
        eligible = differs_from_parent & (distinct_items >= MIN_DISTINCT_ITEMS)
        errors = error_sums(dimensions).ravel()
        families.append(
            select_tested_slices(dimensions, kind, eligible, items, errors, expected_errors, design_effects)
        )
    return families[::-1]


def _item_design_effects(
    current: ContingencyTable,
    item_counts: ItemCounts | None,
    rates: Array,
    correlation: float,
    sizes: tuple[int, ...],
    dimensions: tuple[int, ...],
    slices: int,
) -> tuple[Array, Array]:
    """Return design effect and number of distinct items of each slice; 1 and infinite without repeated items."""
    if item_counts is None:
        return np.ones(slices), np.full(slices, np.inf)
    return compute_slice_design_effects(current, item_counts[1], rates, correlation, dimensions, sizes)


def _cell_design_effects(item_counts: ItemCounts | None, rates: Array, correlation: float) -> Array | float:
    """Return the design effect of each current cell; 1 without repeated items."""
    return 1.0 if item_counts is None else compute_cell_design_effects(item_counts[1], rates, correlation)


def _fit_corrected_baseline(
    before: ContingencyTable,
    current: ContingencyTable,
    sizes: tuple[int, ...],
    pairs: Sequence[tuple[int, ...]],
    item_counts: ItemCounts | None,
) -> tuple[BaselineModel, float]:
    """Fit the baseline, corrected for repeated items and for cells that vary; also return the item correlation."""
    baseline = fit_baseline_model(before, sizes, pairs=pairs)
    correlation = 0.0
    design_effect = 1.0
    design_effects: Array | float = 1.0
    if item_counts is not None:
        current_model = fit_baseline_model(current, sizes, pairs=pairs)
        rates = [expit(baseline.logits(before.codes)), expit(current_model.logits(current.codes))]
        correlation = estimate_item_correlation(item_counts, rates)
        overall, _ = compute_slice_design_effects(before, item_counts[0], rates[0], correlation, (), sizes)
        design_effect = float(overall[0])
        design_effects = compute_cell_design_effects(item_counts[0], rates[0], correlation)
        baseline = fit_baseline_model(before, sizes, pairs=pairs, design_effect=design_effect)
    downweighted = downweight_cells(before, expit(baseline.logits(before.codes)), design_effects)
    if downweighted is not before:
        baseline = fit_baseline_model(downweighted, sizes, pairs=pairs, design_effect=design_effect)
    return baseline, correlation


def _observed_values(table: ContingencyTable, sizes: tuple[int, ...]) -> tuple[NDArray[np.bool_], ...]:
    """Return for each dimension which values have audits."""
    return tuple(np.bincount(code, minlength=size) > 0 for code, size in zip(table.codes, sizes, strict=True))


def _workload_growth(before: ContingencyTable, current: ContingencyTable, size: int) -> Array:
    """Return the log growth of the share of the work of each value of the last dimension, if it is one of raters.

    The mean over the baseline's work is 0. Raters' effects are shrunk, so that a shift of work towards some raters says
    something about them. Without raters all values are 0.
    """
    if size < HIGH_CARDINALITY:
        return np.zeros(size)
    before_items = np.bincount(before.codes[-1], before.items, size)
    current_items = np.bincount(current.codes[-1], current.items, size)
    current_log_shares = np.log((current_items + 1) / current_items.sum())
    before_log_shares = np.log((before_items + 1) / before_items.sum())
    growth = np.clip(current_log_shares - before_log_shares, -MAX_LOG_GROWTH, MAX_LOG_GROWTH)
    mean_growth = (growth @ before_items) / before_items.sum()
    return np.where(before_items > 0, growth - mean_growth, 0.0)
