# Tested in tests/stats/slice_search/test_selection.py.
"""Excess errors of a selected slice: the errors that would not have occurred if the slice had not changed.

The errors of the current audits are counted; how many there would have been is estimated in two steps.

1. All effects of the baseline model and the shifts s of all selected slices are fitted jointly to the current audits,
   with the baseline as the prior (Newton's method on the penalised likelihood). The expected errors of a slice are Σ n
   expit(log odds − s) over its cells.
2. The number of errors without the change has this mean m, and the variance of the slice if nothing changed. For an
   increase it follows a beta distribution on the audits of the slice. The excess is the observed number minus it.

Reference: Breslow and Day 1987, Statistical Methods in Cancer Research II, chapter 2: observed and expected numbers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from scipy.stats import beta, norm

from rca_lib.stats.slice_search.contingency import Array, compute_score_moments
from rca_lib.stats.slice_search.covariance import PrecisionMatrix, sum_by_effect
from rca_lib.stats.slice_search.design import SearchDesign
from rca_lib.stats.slice_search.posterior_precision import update_precision
from rca_lib.stats.slice_search.score_test import Heterogeneity, SliceScores
from rca_lib.stats.slice_search.selected_shifts import MAX_STEP, add_workload_growth, fit_selected_shifts
from rca_lib.stats.slice_search.signed_root import compute_signed_root

MAX_ITERATIONS = 12  # Newton steps; the remaining error is far below the uncertainty
TOLERANCE = 1e-6  # log odds
GRID_SIZE = 1000  # points of the grid of avoided errors
MAX_VARIANCE = 1e12  # squared errors; stands for an infinite variance


def estimate_expected_errors(
    design: SearchDesign, membership: Array, heterogeneity: Heterogeneity = (0.0, 0.0)
) -> Array:
    """Estimate the errors expected in each selected slice without its own shift.

    Parameters
    ----------
    design
        The search design.
    membership
        One row of 0 and 1 over the cells for each selected slice.
    heterogeneity
        As for `score_slices`.

    Returns
    -------
    ndarray
        One number of errors per selected slice.

    Notes
    -----
    The estimate uses what the other current audits tell about effects, raters and the other selected slices.
    """
    membership, prior_precision = add_workload_growth(design, membership)
    fitted, logits, shifts, change_variances = fit_selected_shifts(design, membership, prior_precision)
    if heterogeneity[0]:
        change_variances |= dict.fromkeys(design.work_dimensions, heterogeneity[0])
    marginalize = design.layout.marginalize
    sizes = design.layout.sizes
    last = len(sizes) - 1
    changed = {dimension: variance for dimension, variance in change_variances.items() if dimension != last}
    prior = design.baseline.precision.add_variance(change_variances.get(last, 0.0))
    first_shift = 1 + sum(sizes[:-1])
    shift_columns = slice(first_shift, first_shift + len(membership))
    effects = np.zeros(first_shift + len(membership) + sum(sizes[dimension] for dimension in changed) + sizes[last])
    effects[shift_columns] = shifts
    for _ in range(MAX_ITERATIONS):
        log_odds = logits + _linear_predictor(design, effects, membership, tuple(changed))
        information, _, residual = compute_score_moments(fitted.current, expit(log_odds))
        overlaps = (membership * information) @ membership.T + np.diag(prior_precision)
        selected_sums = [marginalize(information * row) for row in membership]
        precision, columns = update_precision(
            design, marginalize(information), selected_sums, overlaps, change_variances
        )
        effect_residuals = sum_by_effect(marginalize(residual), sizes, ())[0]
        gradient = np.concatenate([effect_residuals, membership @ residual])[columns]
        step = precision.solve(gradient - _prior_gradient(prior, effects, prior_precision, changed, sizes))
        effects = effects + np.clip(step, -MAX_STEP, MAX_STEP)
        if np.abs(step).max() < TOLERANCE:
            break
    log_odds = logits + _linear_predictor(design, effects, membership, tuple(changed))
    selected = zip(effects[shift_columns][1:], membership[1:], strict=True)
    return np.array([design.current.items @ (expit(log_odds - shift) * row) for shift, row in selected])


def _linear_predictor(design: SearchDesign, effects: Array, membership: Array, changed: tuple[int, ...]) -> Array:
    """Return the sum of effects, shifts and changes on the log odds of each cell."""
    codes, sizes = design.current.codes, design.layout.sizes
    last = len(sizes) - 1
    widths = [1, *sizes[:-1], len(membership), *(sizes[dimension] for dimension in changed)]
    intercept, *blocks = np.split(effects, np.cumsum(widths))
    dimension_effects, shifts, changes, last_effects = blocks[:last], blocks[last], blocks[last + 1 : -1], blocks[-1]
    total = intercept[0] + shifts @ membership + last_effects[codes[-1]]
    total += sum(effect[codes[dimension]] for dimension, effect in enumerate(dimension_effects))
    return total + sum(change[codes[dimension]] for dimension, change in zip(changed, changes, strict=True))


def _prior_gradient(
    prior: PrecisionMatrix, effects: Array, prior_precision: Array, changed: dict[int, float], sizes: tuple[int, ...]
) -> Array:
    """Return the gradient of the prior at these effects."""
    narrow, last = 1 + sum(sizes[:-1]), sizes[-1]
    known = prior.multiply(np.concatenate([effects[:narrow], effects[-last:]]))
    change_precisions = [np.full(sizes[dimension], 1 / variance) for dimension, variance in changed.items()]
    free = np.concatenate([prior_precision, *change_precisions]) * effects[narrow:-last]
    return np.concatenate([known[:narrow], free, known[narrow:]])


def estimate_excess_errors(
    scores: SliceScores, index: int, errors: float, expected_errors: float, means: Array, z_score: float
) -> Array:
    """Return the excess errors of a slice with an increase, for each possible true change.

    Parameters
    ----------
    scores
        Scores given the other selected slices.
    index
        The index of the slice among the tested ones.
    errors
        Its observed errors.
    expected_errors
        Its errors expected without its own shift.
    means
        Possible true changes in standard deviations: the mean of the z-score.
    z_score
        Its observed z-score.

    Returns
    -------
    ndarray
        The excess for each mean, between 0 and all errors.

    Notes
    -----
    The errors are counted, not drawn; the uncertain part is the number without the change. Of a z-score of which m is
    change, the rest is luck: it gives the quantile of the beta distribution of that number.
    """
    items = scores.items[index]
    rate = np.clip(expected_errors / items, 1e-12, 1 - 1e-12)
    variance = _null_variance(scores, index, expected_errors) / items**2
    concentration = max(rate * (1 - rate) / variance - 1, 1e-3)
    luck = norm.cdf(z_score - means)
    unchanged_rates = beta.ppf(luck, rate * concentration, (1 - rate) * concentration)
    return np.clip(errors - unchanged_rates * items, 0, errors)


def estimate_avoided_errors(scores: SliceScores, index: int, expected_errors: float, means: Array) -> Array:
    """Return minus the avoided errors of a slice with a decrease, for each possible true change.

    Parameters
    ----------
    scores, index, expected_errors, means
        As for `estimate_excess_errors`.

    Returns
    -------
    ndarray
        Values between minus the expected errors and 0: at best the slice has no error left.
    """
    residuals = -np.linspace(0, expected_errors, GRID_SIZE)
    share = expected_errors / scores.expected_errors[index]
    z_scores = compute_signed_root(
        scores.items[index],
        expected_errors,
        scores.information[index] * share,
        residuals,
        scores.error_variance[index] * share,
        _null_variance(scores, index, expected_errors),
    )
    return np.interp(means, np.maximum.accumulate(np.abs(z_scores)), residuals)


def _null_variance(scores: SliceScores, index: int, expected_errors: float) -> float:
    """Return the variance of the errors of a slice if nothing changed, at this expected number."""
    share = expected_errors / scores.expected_errors[index]
    variance = min(float(scores.variance[index]), MAX_VARIANCE)
    model_variance = variance - scores.error_variance[index]
    return float(scores.error_variance[index] * share + model_variance * share**2)
