# Tested in tests/stats/slice_search/test_selection.py.
"""Score tests: how far each slice is from its expected errors, given the selected slices.

Symbols: slice j has the residual u_j and the information s_j on its log odds, at the fitted shifts of the selected
slices (`selected_shifts`). All other effects b (baseline effects, raters, selected slices) are uncertain; their
posterior precision P includes the current audits (`posterior_precision`). With a_j the cross information between slice
j and b, and g the gradient of b, the efficient score and the efficient information of slice j are

    u_j − a_jᵀ P⁻¹ g,   s_j − a_jᵀ P⁻¹ a_j,

and their ratio is the shift of the slice on the log odds. Its variance is the sampling variance v_j / s_j² plus the
uncertainty of the model, 1 / (s_j − a_jᵀ P⁻¹ a_j) − 1 / s_j, plus the variance of interactions and of slices in general
(heterogeneity). The z-score is the signed root of the deviance (`signed_root`).

Reference: Cox and Hinkley 1974, Theoretical Statistics, chapter 9: score tests with nuisance parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from rca_lib.stats.slice_search.contingency import Array, MarginalSums, compute_score_moments
from rca_lib.stats.slice_search.covariance import sum_by_effect
from rca_lib.stats.slice_search.design import SearchDesign
from rca_lib.stats.slice_search.posterior_precision import update_precision
from rca_lib.stats.slice_search.random_effects import estimate_heterogeneity
from rca_lib.stats.slice_search.selected_shifts import (
    SHIFT_PRIOR_PRECISION,
    add_workload_growth,
    fit_selected_shifts,
)
from rca_lib.stats.slice_search.signed_root import compute_signed_root
from rca_lib.stats.slice_search.slice_families import ONE_DIMENSION, TWO_DIMENSIONS

MIN_EFFICIENT_INFORMATION = 10 * SHIFT_PRIOR_PRECISION  # below this the selected slices explain the slice altogether
MAX_MODEL_VARIANCE = 10.0  # variance of a slice's log odds from the model; beyond it nothing can be tested
MIN_VALUES = 20  # values of single dimensions, before their heterogeneity is estimated apart from pairs
SATURATED_SHIFT = 1000.0  # log odds; beyond any shift that occurs

Heterogeneity = tuple[float, float]  # variance of the log odds of values, and of pairs of values beyond that


@dataclass(frozen=True, slots=True, eq=False)
class SliceScores:
    """Scores of all tested slices given the selected slices.

    Attributes
    ----------
    residual
        Errors beyond the expected ones.
    error_variance
        Sampling variance of the errors.
    variance
        Variance of the residual; infinite where the selected slices leave nothing to test.
    information
        Information of each slice on its log odds.
    items, expected_errors
        Audits, and errors expected among them.
    heterogeneity
        By how much values and pairs vary beyond sampling error (variance of the log odds).
    shifts
        Shift of each selected slice on the log odds.
    workload_effects
        Effect of the growth of the workload on each value of the last dimension.
    cell_residuals, cell_variances
        Residual and sampling variance of each cell.
    """

    residual: Array
    error_variance: Array
    variance: Array
    information: Array
    items: Array
    expected_errors: Array
    heterogeneity: Heterogeneity
    shifts: Array
    workload_effects: Array
    cell_residuals: Array
    cell_variances: Array

    def z_scores(self) -> Array:
        """Return the residuals in standard deviations.

        Returns
        -------
        ndarray
            One score per tested slice; standard normal if nothing changed.
        """
        return compute_signed_root(
            self.items, self.expected_errors, self.information, self.residual, self.error_variance, self.variance
        )

    def log_p_values(self, design: SearchDesign) -> Array:
        """Return the log of the p-value of each slice, adjusted for the number of tests.

        Parameters
        ----------
        design
            The design that was scored.

        Returns
        -------
        ndarray
            One number per tested slice; a slice is significant if it is at most log alpha.
        """
        z_scores = self.z_scores()
        log_multiplicity = np.where(z_scores > 0, design.log_multiplicity[1], design.log_multiplicity[0])
        return norm.logsf(np.abs(z_scores)) + log_multiplicity


def score_slices(design: SearchDesign, membership: Array, heterogeneity: Heterogeneity = (0.0, 0.0)) -> SliceScores:
    """Score every tested slice given the selected slices.

    Parameters
    ----------
    design
        The search design.
    membership
        One row of 0 and 1 over the cells for each selected slice.
    heterogeneity
        Variance of the log odds by which values, and pairs beyond that, vary in general.

    Returns
    -------
    SliceScores
        The scores.

    Notes
    -----
    This is the efficient score of a logistic model with random effects. The current audits also inform about the
    model's effects, raters and selected slices, which sharpens the residual of each slice. Cells that vary beyond
    sampling error carry less information, and so do items that were judged more than once.
    """
    membership, prior_precision = add_workload_growth(design, membership)
    fitted, logits, shifts, change_variances = fit_selected_shifts(design, membership, prior_precision)
    rates = expit(logits + shifts @ membership)
    information, error_variance, residual = compute_score_moments(fitted.current, rates)
    marginalize = design.layout.marginalize
    information_sums = marginalize(information)
    residual_sums = marginalize(residual)
    variance_sums = information_sums if error_variance is information else marginalize(error_variance)
    selected_sums = [marginalize(information * row) for row in membership]
    if fitted is design:
        plain_sums = [information_sums, residual_sums]
    else:  # residuals and information of the audits as they are, before cells are downweighted
        plain_information, _, plain_residual = compute_score_moments(design.current, rates)
        plain_sums = [marginalize(plain_information), marginalize(plain_residual)]
    sums, cross_information = _sum_slices(
        design, (information_sums, variance_sums, residual_sums, *plain_sums), selected_sums
    )
    if heterogeneity[0]:
        change_variances |= dict.fromkeys(design.work_dimensions, heterogeneity[0])
    overlaps = (membership * information) @ membership.T + np.diag(prior_precision)
    precision, columns = update_precision(design, information_sums, selected_sums, overlaps, change_variances)
    effect_residuals = sum_by_effect(residual_sums, design.layout.sizes, ())[0]
    gradient = np.concatenate([effect_residuals, membership @ residual])
    roots = precision.covariance_root(np.vstack([gradient, cross_information])[:, columns])
    shift, shift_variance = _estimate_efficient_shifts(design, sums[:3], roots[0], roots[1:], heterogeneity[1])
    return _build_scores(design, sums, shift, shift_variance, shifts, (residual, error_variance))


def _sum_slices(
    design: SearchDesign, tables: Sequence[MarginalSums], selected_sums: Sequence[MarginalSums]
) -> tuple[Array, Array]:
    """Return sums by tested slice: of all tables, and of the first one by effect and selected slice."""
    cross_information = [np.zeros((0, 1 + sum(design.layout.sizes) + len(selected_sums)))]
    sums = [np.zeros((len(tables), 0))]
    for family in reversed(design.families):  # the largest tables first, others are summed from them
        by_effect = sum_by_effect(tables[0], design.layout.sizes, family.dimensions)[family.tested]
        margins = np.array([table(family.dimensions).ravel()[family.tested] for table in (*tables, *selected_sums)])
        sums.append(margins[: len(tables)])
        cross_information.append(np.hstack([by_effect, margins[len(tables) :].T]))
    return np.hstack(sums[::-1]), np.vstack(cross_information[::-1])


def _estimate_efficient_shifts(
    design: SearchDesign, sums: Array, gradient_root: Array, slice_roots: Array, pair_variance: float
) -> tuple[Array, Array]:
    """Return the shift of each slice on the log odds and its variance, infinite where nothing can be tested."""
    information, error_variance, residual = sums
    information = np.maximum(information, 1e-9)  # it is 0 where all audits are errors, or none
    error_variance = error_variance * design.design_effects
    efficient = information - np.square(slice_roots).sum(1)
    model_variance = 1 / np.maximum(efficient, 1e-12) - 1 / information
    testable = (efficient > MIN_EFFICIENT_INFORMATION) & (model_variance < MAX_MODEL_VARIANCE)
    efficient = np.where(testable, efficient, 1.0)
    shift = (residual - slice_roots @ gradient_root) / efficient
    model_variance = (1 / efficient - 1 / information) * design.design_effects
    interaction_variances = [
        design.baseline.interaction_variance(family.dimensions, family.tested) for family in design.families
    ]
    interaction_variance = np.concatenate([np.zeros(0), *interaction_variances])
    variance = error_variance / np.square(information) + model_variance + interaction_variance
    return shift, np.where(testable, variance + pair_variance * (design.kinds == TWO_DIMENSIONS), np.inf)


def _build_scores(
    design: SearchDesign,
    sums: Array,
    shift: Array,
    shift_variance: Array,
    selected_shifts: Array,
    cell_moments: tuple[Array, Array],
) -> SliceScores:
    """Turn shifts into residuals of the audits as they are."""
    weighted_information, weighted_variance, _, information, plain_residual = sums
    weighted_information = np.maximum(weighted_information, 1e-9)
    error_variance = weighted_variance * design.design_effects
    items = np.concatenate([np.zeros(0), *(family.items for family in design.families)])
    errors = np.concatenate([np.zeros(0), *(family.errors for family in design.families)])
    expected_errors = np.maximum(errors - plain_residual, 1e-9)
    regular = ~design.rare
    growth = max(1.0, float(errors[regular].sum() / max(expected_errors[regular].sum(), 1.0)))
    heterogeneity = _estimate_heterogeneities(design, shift, np.sqrt(growth * shift_variance))
    return SliceScores(
        residual=shift * information,
        error_variance=error_variance * information / weighted_information,
        variance=shift_variance * np.square(np.maximum(information, 1e-9)),
        information=information,
        items=items,
        expected_errors=expected_errors,
        heterogeneity=heterogeneity,
        shifts=selected_shifts[1:],
        workload_effects=selected_shifts[0] * design.workload_growth,
        cell_residuals=cell_moments[0],
        cell_variances=cell_moments[1],
    )


def _estimate_heterogeneities(design: SearchDesign, shift: Array, standard_error: Array) -> Heterogeneity:
    """Return how far values vary, and pairs beyond that.

    Values are judged by themselves, since few values shift many pairs. Selected slices (infinite standard error) count
    as shifted furthest. Rare slices are left out: those that are tested stand out by selection.
    """
    directions = [np.sign(family.errors - family.expected_errors) for family in design.families]
    saturated = SATURATED_SHIFT * np.concatenate([np.zeros(0), *directions])
    testable = np.isfinite(standard_error)
    shift = np.where(testable, shift, saturated)
    standard_error = np.where(testable, standard_error, 1.0)
    is_work_value = [
        np.full(len(family.tested), family.kind == ONE_DIMENSION and family.dimensions[0] in design.work_dimensions)
        for family in design.families
    ]
    regular = ~design.rare
    values = np.concatenate([np.zeros(0, bool), *is_work_value]) & regular
    overall = estimate_heterogeneity(shift[regular], standard_error[regular])
    of_values = overall
    if values.sum() >= MIN_VALUES:
        of_values = estimate_heterogeneity(shift[values], standard_error[values])
    return of_values, max(overall - 2 * of_values, 0.0)
