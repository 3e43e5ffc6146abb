# Tested in tests/stats/slice_search/test_selection.py.
"""Joint fit of the shifts of selected slices to the current audits, with random effects of raters and cells.

Symbols: row m_k of the membership matrix marks the cells of selected slice k, s_k is its shift on the log odds. The
shifts maximise the log likelihood of the current audits at

    logit p = baseline + Σ_k s_k m_k,

with a prior of precision λ_k (Newton steps). Given the shifts, the variances of rater effects and of cells are
estimated (`random_effects`). A random effect with variance τ² on the log odds raises the mean rate p as a shift of the
log odds by τ² / 2 · (1 − 2p) does. That shift is added, and the shifts of the selected slices are fitted again.

Reference: Zeger, Liang and Albert 1988, Biometrics 44, 1049–1060: mean rates under random effects on the log odds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit

from rca_lib.stats.slice_search.contingency import Array, ContingencyTable, compute_score_moments
from rca_lib.stats.slice_search.covariance import sum_by_effect
from rca_lib.stats.slice_search.design import SearchDesign
from rca_lib.stats.slice_search.interactions import fit_interactions
from rca_lib.stats.slice_search.random_effects import downweight_cells, estimate_effect_variance
from rca_lib.stats.slice_search.slice_families import ONE_DIMENSION, ONE_LARGE_DIMENSION

SHIFT_PRIOR_PRECISION = 1e-4  # prior precision of a shift on the log odds: practically flat
WORKLOAD_PRIOR_PRECISION = 200.0  # prior precision of the effect per log growth of a rater's share of the work
MAX_RATER_VARIANCE = 1.0  # variance of the log odds; odds that change by more than a factor e are no random effect
MIN_RATERS = 10  # raters with enough expected errors, before their variance is estimated
VARIANCE_MARGIN = 0.6  # standard errors by which the rater variance is raised: too little causes false alarms
MAX_NEWTON_STEPS = 20
MAX_STEP = 2.0  # log odds per Newton step
TOLERANCE = 1e-7  # log odds


def add_workload_growth(design: SearchDesign, membership: Array) -> tuple[Array, Array]:
    """Put the growth of raters' workload before the membership rows.

    Parameters
    ----------
    design
        The search design.
    membership
        One row of 0 and 1 over the cells for each selected slice.

    Returns
    -------
    rows
        The growth, then the membership rows.
    prior_precision
        The prior precision of the shift of each row.
    """
    growth = design.workload_growth[design.current.codes[-1]]
    prior_precision = np.full(len(membership) + 1, SHIFT_PRIOR_PRECISION)
    prior_precision[0] = WORKLOAD_PRIOR_PRECISION
    return np.vstack([growth, membership]), prior_precision


def fit_selected_shifts(
    design: SearchDesign, membership: Array, prior_precision: Array
) -> tuple[SearchDesign, Array, Array, dict[int, float]]:
    """Fit the shifts of selected slices jointly, with the variances of cells and raters.

    Parameters
    ----------
    design
        The search design.
    membership
        Rows over the cells: the growth of the workload, then 0 and 1 for each selected slice.
    prior_precision
        Prior precision of each row's shift.

    Returns
    -------
    design
        The design with cells downweighted for their variance; the same object if cells do not vary.
    logits
        The baseline's log odds, raised by the random effects of raters.
    shifts
        One shift per row.
    rater_variances
        Variance of the log odds by dimension, where it is above 0.
    """
    initial = np.zeros(len(membership))
    shifts = _fit_shifts(design.current, design.logits, membership, prior_precision, initial)
    logits = design.logits + shifts @ membership
    dimension_shifts, fitted_shifts = _fit_dimension_shifts(design, logits)
    rates = expit(logits + dimension_shifts)
    downweighted = downweight_cells(design.current, rates, design.cell_design_effects)
    if downweighted is not design.current:
        design = replace(design, current=downweighted)
    variances = _estimate_rater_variances(design, logits + dimension_shifts, fitted_shifts, margin=0.0)
    rise = sum(variances.values()) / 2 * (1 - 2 * expit(logits))
    shifts = _fit_shifts(design.current, design.logits + rise, membership, prior_precision, shifts)
    raised_logits = logits + dimension_shifts + rise
    rater_variances = _estimate_rater_variances(design, raised_logits, fitted_shifts, margin=VARIANCE_MARGIN)
    return design, design.logits + rise, shifts, rater_variances


def _fit_shifts(
    current: ContingencyTable, logits: Array, membership: Array, prior_precision: Array, shifts: Array
) -> Array:
    """Fit the shifts by Newton steps."""
    for _ in range(MAX_NEWTON_STEPS):
        information, _, residual = compute_score_moments(current, expit(logits + shifts @ membership))
        hessian = (membership * information) @ membership.T + np.diag(prior_precision)
        gradient = membership @ residual - prior_precision * shifts
        step = np.clip(np.linalg.solve(hessian, gradient), -MAX_STEP, MAX_STEP)
        shifts = shifts + step
        if np.abs(step).max() < TOLERANCE:
            break
    return shifts


def _fit_dimension_shifts(design: SearchDesign, logits: Array) -> tuple[Array, int]:
    """Return shifts of all values of small dimensions and their number.

    Without them, a shift of a team would look like random effects of the raters in it.
    """
    groups = [family.dimensions for family in design.families if family.kind == ONE_DIMENSION]
    squared_weights = design.current.squared_weights * design.variance_ratio * design.overall_design_effect
    table = replace(design.current, squared_weights=squared_weights)
    interactions = fit_interactions(table, design.layout, logits, groups)
    cell_shifts = (shift[design.current.codes[dimension]] for (dimension,), (shift, _) in interactions.items())
    number = sum(design.layout.sizes[dimension] - 1 for (dimension,) in interactions)
    return sum(cell_shifts, np.zeros(len(logits))), number


def _estimate_rater_variances(
    design: SearchDesign, logits: Array, fitted_shifts: int, *, margin: float
) -> dict[int, float]:
    """Estimate the variance of random changes of raters on the log odds, per dimension with many values.

    The `fitted_shifts` shifts that were fitted before absorbed part of it. Raters without a baseline are left out.
    """
    variances = {}
    information, error_variance, residual = compute_score_moments(design.current, expit(logits))
    for family in design.families:
        if family.kind != ONE_LARGE_DIMENSION:
            continue
        tested = family.tested[~family.rare & design.is_in_baseline(family)]
        number = len(tested)
        if number < MIN_RATERS:
            continue
        (dimension,) = family.dimensions
        rows = sum_by_effect(design.layout.marginalize(information), design.layout.sizes, family.dimensions)
        root = design.baseline.precision.covariance_root(rows[tested])
        rater = design.current.codes[dimension]
        residuals, slopes, error_variances = (
            np.bincount(rater, moment)[tested] for moment in (residual, information, error_variance)
        )
        null_variances = np.maximum(error_variances + np.square(root).sum(1), 1e-9)
        variance = estimate_effect_variance(np.square(residuals), null_variances, np.square(slopes), margin=margin)
        if variance > 0:
            variance *= number / max(number - fitted_shifts, number / 2)
            variances[dimension] = min(variance, MAX_RATER_VARIANCE)
    return variances
