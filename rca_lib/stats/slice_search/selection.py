"""Forward selection of slices whose error rate changed, at a stated probability of a false alarm.

1. The design fits the baseline and lists the tested slices with their share of alpha (`design`).
2. A first selection without heterogeneity leaves the slices that show how far slices vary in general. Their
   heterogeneity is used from then on.
3. The slice with the smallest adjusted p-value is selected, and all others are scored again given it. This repeats
   until no p-value is below alpha. After each step, every selected slice is replaced or dropped if the others explain
   it.
4. "Everywhere" is kept only if no shorter selection without it exists.
5. Selected slices that are not significant given the others are dropped, the weakest first.
6. Each selected slice gets its expected errors (`excess`) and its excess, adjusted for the search (`selected_slice`).

References: Miller 2002, Subset Selection in Regression, chapter 3; Tarone 1990, Biometrics 46.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from rca_lib.stats.slice_search.baseline_model import BaselineModel
from rca_lib.stats.slice_search.contingency import Array, CellItemCounts, ContingencyTable
from rca_lib.stats.slice_search.design import SearchDesign, build_search_design
from rca_lib.stats.slice_search.excess import estimate_expected_errors
from rca_lib.stats.slice_search.score_test import Heterogeneity, SliceScores, score_slices
from rca_lib.stats.slice_search.selected_slice import (
    Scorer,
    SelectedSlice,
    Selection,
    estimate_selected_slice,
    find_members,
)
from rca_lib.stats.slice_search.signed_root import compute_signed_root
from rca_lib.stats.slice_search.slice_families import ONE_DIMENSION, ONE_LARGE_DIMENSION

MAX_SELECTED = 10  # slices; a longer list is no explanation
MAX_REFINEMENTS = 3  # rounds of replacing selected slices
MISS_PROBABILITY = 0.2  # probability with which a detectable excess is not selected (80 % power)
BISECTION_STEPS = 40  # halvings of the interval of the detectable excess


class DetectableSlice(NamedTuple):
    """The excess of a slice of one dimension that would have been selected in four of five cases."""

    dimension: int
    value: int
    items: float
    expected_errors: float
    excess: float


@dataclass(frozen=True, slots=True, eq=False)
class SliceSearch:
    """The result of a search.

    Attributes
    ----------
    selected
        The selected slices, strongest first.
    shifts
        The log odds each of them adds to the baseline model.
    baseline
        The baseline model, with the effects of raters' growing workload.
    detectable
        For each tested slice of one dimension: the excess that would have been detected.
    tested
        The number of tested slices.
    """

    selected: tuple[SelectedSlice, ...]
    shifts: Array
    baseline: BaselineModel
    detectable: tuple[DetectableSlice, ...]
    tested: int


def search_slices(
    before: ContingencyTable,
    current: ContingencyTable,
    sizes: Sequence[int],
    *,
    rater_dimension: int | None = None,
    unpaired: Collection[int] = (),
    pairs: bool = True,
    alpha: float,
    item_counts: tuple[CellItemCounts, CellItemCounts] | None = None,
) -> SliceSearch:
    """Find the slices of the current period whose error rate differs from what the baseline leads one to expect.

    Parameters
    ----------
    before, current, sizes
        The two periods in the same codes, and the number of values of each dimension (see `fit_baseline_model`).
    rater_dimension
        The dimension of the raters; each selected slice is checked for one rater who causes it. None: unknown.
    unpaired
        Dimensions that are not searched in pairs, besides those with many values.
    pairs
        Also search pairs of values of two dimensions.
    alpha
        The probability of selecting any slice if none changed.
    item_counts
        The same audits by cell and item, where items were judged more than once.

    Returns
    -------
    SliceSearch
        The selected slices, the model and the detectable excess.

    Notes
    -----
    The search cannot see a change that shows in three dimensions together only, nor one no larger than the general
    variation of cells and slices.
    """
    excluded = frozenset(unpaired) | (frozenset() if rater_dimension is None else {rater_dimension})
    design = build_search_design(
        before, current, tuple(sizes), unpaired=excluded, pairs=pairs, alpha=alpha, item_counts=item_counts
    )
    homogeneous_score = cache(partial(_score_selection, design))
    first_selection = _select_forward(design, homogeneous_score, alpha, refine=False)
    heterogeneity = homogeneous_score(first_selection).heterogeneity
    score = homogeneous_score
    if any(heterogeneity):
        score = cache(partial(_score_selection, design, heterogeneity=heterogeneity))
    selected = _select_forward(design, score, alpha)
    selected = _prefer_without_everywhere(design, score, selected, alpha)
    selected = _drop_insignificant(design, score, selected, alpha)
    expected_errors = estimate_expected_errors(design, _membership_matrix(design, selected), heterogeneity)
    slices = [
        estimate_selected_slice(design, score, index, selected, rater_dimension, alpha, float(expected))
        for index, expected in zip(selected, expected_errors, strict=True)
    ]
    order = sorted(range(len(selected)), key=lambda position: -abs(slices[position].score))
    scores = score(selected)
    *effects, last_effects = design.baseline.effects
    return SliceSearch(
        selected=tuple(slices[position] for position in order),
        shifts=scores.shifts[order],
        baseline=replace(design.baseline, effects=(*effects, last_effects + scores.workload_effects)),
        detectable=tuple(_minimum_detectable_excess(design, scores, alpha)),
        tested=design.log_multiplicity.shape[1],
    )


def _score_selection(
    design: SearchDesign, selected: Selection, *, heterogeneity: Heterogeneity = (0.0, 0.0)
) -> SliceScores:
    """Score all tested slices given the selected ones."""
    return score_slices(design, _membership_matrix(design, selected), heterogeneity)


def _membership_matrix(design: SearchDesign, selected: Selection) -> Array:
    """Return one row of 0 and 1 over the cells for each selected slice."""
    members = [find_members(design.current.codes, *design.decode_slice(index)) for index in selected]
    return np.array(members, float).reshape(len(selected), len(design.logits))


def _select_forward(design: SearchDesign, score: Scorer, alpha: float, *, refine: bool = True) -> Selection:
    """Select the best slice given the selected ones until no further one is significant."""
    selected: Selection = ()
    for _ in range(MAX_SELECTED):
        best, log_p = _find_best_slice(design, score, selected)
        if log_p > np.log(alpha):
            break
        selected = tuple(sorted({*selected, best}))
        selected = _refine_selection(design, score, selected, alpha) if refine else selected
    return selected


def _find_best_slice(design: SearchDesign, score: Scorer, selected: Selection) -> tuple[int, float]:
    """Return the index and the log p-value of the most significant slice given the selected ones."""
    log_p_values = np.append(score(selected).log_p_values(design), np.inf)  # there may be nothing to test
    return int(np.argmin(log_p_values)), float(log_p_values.min())


def _refine_selection(design: SearchDesign, score: Scorer, selected: Selection, alpha: float) -> Selection:
    """Replace each selected slice by the best one given the others, or drop it, until nothing changes."""
    for _ in range(MAX_REFINEMENTS if len(selected) > 1 else 0):
        former = selected
        for index in former:
            others = _without(selected, index)
            best, log_p = _find_best_slice(design, score, others)
            if log_p > np.log(alpha):
                return _refine_selection(design, score, others, alpha)
            selected = tuple(sorted({*others, best}))
        if selected == former:
            break
    return selected


def _without(selected: Selection, index: int) -> Selection:
    """Return the other selected slices."""
    return tuple(other for other in selected if other != index)


def _prefer_without_everywhere(design: SearchDesign, score: Scorer, selected: Selection, alpha: float) -> Selection:
    """Replace a selection with "everywhere" by one without it that is shorter, or as short with fewer decreases."""
    everywhere = [index for index in selected if not design.decode_slice(index)[0]]
    if not everywhere:
        return selected
    log_multiplicity = design.log_multiplicity.copy()
    log_multiplicity[:, everywhere] = np.inf
    alternative = _select_forward(replace(design, log_multiplicity=log_multiplicity), score, alpha)
    candidates = (selected, alternative or selected)
    return min(candidates, key=lambda candidate: (len(candidate), (score(candidate).shifts < 0).sum()))


def _drop_insignificant(design: SearchDesign, score: Scorer, selected: Selection, alpha: float) -> Selection:
    """Drop the weakest selected slice until each is significant given the others."""
    while selected:
        log_p_values = [float(score(_without(selected, index)).log_p_values(design)[index]) for index in selected]
        if max(log_p_values) <= np.log(alpha):
            break
        selected = _without(selected, selected[int(np.argmax(log_p_values))])
    return selected


def _minimum_detectable_excess(design: SearchDesign, scores: SliceScores, alpha: float) -> Iterator[DetectableSlice]:
    """Yield the detectable excess of each tested slice of one dimension, found by bisection."""
    testable = np.isfinite(scores.variance)  # infinite where a selected slice contains it
    is_single = (design.kinds == ONE_DIMENSION) | (design.kinds == ONE_LARGE_DIMENSION)
    indices = np.flatnonzero(testable & is_single)
    items, expected_errors = scores.items[indices], scores.expected_errors[indices]
    information = scores.information[indices]
    error_variance, variance = scores.error_variance[indices], scores.variance[indices]
    critical = norm.isf(alpha / np.exp(design.log_multiplicity[1, indices]))
    low, high = np.zeros(len(indices)), items - expected_errors
    for _ in range(BISECTION_STEPS):
        excess = (low + high) / 2
        standard_deviation = np.sqrt(variance * (1 + excess / expected_errors))
        unlucky_excess = excess - norm.isf(MISS_PROBABILITY) * standard_deviation
        z_scores = compute_signed_root(items, expected_errors, information, unlucky_excess, error_variance, variance)
        is_selected = z_scores >= critical
        low = np.where(is_selected, low, excess)
        high = np.where(is_selected, excess, high)
    for index, *numbers in zip(indices, items, expected_errors, high, strict=True):
        (dimension,), (value,) = design.decode_slice(int(index))
        yield DetectableSlice(dimension, value, *map(float, numbers))
