"""Interactions of dimensions in the baseline model: shrunken shifts for groups of values.

Symbols: value (or combination of values) j of a group has the residual u_j, the variance v_j and the information s_j at
the log odds fitted so far. Its shift has a normal prior with mean 0 and variance τ². Moments give

    τ² = (Σ u_j² − f v̄) / Σ s_j²,

with f degrees of freedom and v̄ the mean of v_j. The shift is τ² u_j / (1 + τ² s_j) after one linear step, and its
variance τ² / (1 + τ² s_j). A group enters if its values differ by more than one standard deviation of sampling error.

Compare DerSimonian and Laird 1986, Controlled Clinical Trials 7, 177–188: a moment estimate of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import expit

from rca_lib.stats.slice_search.contingency import (
    Array,
    Codes,
    ContingencyTable,
    MarginalSums,
    TableLayout,
    compute_score_moments,
    encode_slices,
)

MAX_LINEAR_SHIFT = 0.5  # log odds; up to here one linear step is accurate
REFINEMENT_STEPS = 10  # Newton steps for larger shifts
MIN_EVIDENCE = 1.0  # standard deviations by which the values of a group must differ

Interactions = dict[tuple[int, ...], tuple[Array, Array]]  # group of dimensions → shift and variance of each value


def fit_interactions(
    table: ContingencyTable, layout: TableLayout, logits: Array, groups: Iterable[tuple[int, ...]]
) -> Interactions:
    """Fit shrunken shifts to the residuals of groups of dimensions, the strongest group first.

    Parameters
    ----------
    table, layout
        The audits.
    logits
        The log odds of an error in each cell, without these groups.
    groups
        Groups of dimensions. Groups without evidence are left out.

    Returns
    -------
    dict
        For each group: the shift of each value (or combination of values) and its variance.
    """
    interactions: Interactions = {}
    moments = _score_marginals(table, layout, logits)
    evidence = {group: _test_heterogeneity(moments, layout.sizes, group)[0] for group in groups}
    candidates = (group for group in evidence if evidence[group] > MIN_EVIDENCE)
    for group in sorted(candidates, key=lambda group: -evidence[group]):
        remaining_evidence, variance, residual, information = _test_heterogeneity(moments, layout.sizes, group)
        if remaining_evidence > MIN_EVIDENCE and variance > 0:
            code = encode_slices(table.codes, group, layout.sizes)
            linear_shift = variance * residual / (1 + variance * information)
            shift = _refine_shifts(table, logits, code, linear_shift, variance)
            interactions[group] = shift, variance / (1 + variance * information)
            logits = logits + shift[code]
            moments = _score_marginals(table, layout, logits)
    return interactions


def _refine_shifts(table: ContingencyTable, logits: Array, code: Codes, shift: Array, variance: float) -> Array:
    """Refine large shifts by Newton steps: a linear step overshoots (sixteen times the errors instead of four)."""
    if np.abs(shift).max(initial=0) < MAX_LINEAR_SHIFT:
        return shift
    shift = np.clip(shift, -MAX_LINEAR_SHIFT, MAX_LINEAR_SHIFT)
    for _ in range(REFINEMENT_STEPS):
        cell_information, _, cell_residual = compute_score_moments(table, expit(logits + shift[code]))
        information = np.bincount(code, cell_information, len(shift))
        residual = np.bincount(code, cell_residual, len(shift))
        shift = shift + np.clip((variance * residual - shift) / (1 + variance * information), -1, 1)
    return shift


def _score_marginals(
    table: ContingencyTable, layout: TableLayout, logits: Array
) -> tuple[MarginalSums, MarginalSums, MarginalSums]:
    """Return the margins of information, variance and residual."""
    information, variance, residual = compute_score_moments(table, expit(logits))
    information_sums = layout.marginalize(information)
    variance_sums = information_sums if variance is information else layout.marginalize(variance)
    return information_sums, variance_sums, layout.marginalize(residual)


def _test_heterogeneity(
    moments: tuple[MarginalSums, MarginalSums, MarginalSums], sizes: tuple[int, ...], group: tuple[int, ...]
) -> tuple[float, float, Array, Array]:
    """Return by how many standard deviations values differ, the variance of shifts, residuals and information."""
    information, variance, residual = (marginal_sums(group).ravel() for marginal_sums in moments)
    observed = variance > 0
    degrees_of_freedom = np.prod([sizes[dimension] - 1 for dimension in group]) / len(information) * observed.sum()
    surplus = (np.square(residual[observed]) / variance[observed]).sum() - degrees_of_freedom
    null_square = variance.sum() * degrees_of_freedom / max(observed.sum(), 1)
    shift_variance = (np.square(residual).sum() - null_square) / max(np.square(information).sum(), 1e-9)
    evidence = surplus / np.sqrt(2 * max(degrees_of_freedom, 1))
    return float(evidence), float(shift_variance), residual, information
