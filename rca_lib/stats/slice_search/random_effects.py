"""Variances of random effects: raters, slices and cells whose error rates differ beyond sampling error.

Symbols: for group i, the score u_i has variance v_i without random effects and the information s_i on the log odds. If
the log odds of groups vary with the variance τ², the variance of u_i is v_i + τ² s_i². τ² solves the estimating
equation

    Σ w_i (min(z_i², c) − E min(z², c)) = 0,   z_i² = u_i² / (v_i + τ² s_i²),   w_i = s_i² / (v_i + τ² s_i²).

The cap c keeps one group with a real change from raising the estimate for all.

Compare Paule and Mandel 1982, Journal of Research of the National Bureau of Standards 87 (an estimating equation of the
same kind, without a cap), and Huber 1981, Robust Statistics (capped scores).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, poisson

from rca_lib.stats.slice_search.contingency import Array, ContingencyTable, compute_score_moments

SCORE_CAP = 6.25  # squared z-score of a rater counts up to this (2.5 sd): one changed rater is no trend of all
CELL_SCORE_CAP = 2.25  # the same for cells (1.5 sd), of which one cause may affect very many
MAX_VARIANCE = 9.0  # variance of the log odds; a larger one is not estimated
MIN_SLICES = 20  # fewer slices do not tell how far slices vary
MIN_SCATTER_RATIO = 1.2  # standard deviations relative to sampling error; slices that vary less count as stable
MIN_INFORMATION = 1.0  # information on the log odds; cells with less do not tell how far cells vary
MAX_ERRORS = 200  # upper end of the Poisson sums for the expected score of a cell


def estimate_effect_variance(
    squared_residuals: Array,
    null_variances: Array,
    squared_information: Array,
    *,
    margin: float,
    cap: float = SCORE_CAP,
    expected_score: Array | float | None = None,
) -> float:
    """Estimate the variance of random effects of groups (raters or cells) on the log odds.

    Parameters
    ----------
    squared_residuals
        Squared residual of each group.
    null_variances
        Variance of the residual without random effects.
    squared_information
        Growth of that variance per unit of the random effects' variance.
    margin
        The estimate is this many standard errors high.
    cap
        Squared scores count up to this.
    expected_score
        Mean of the capped squared score without random effects. None: that of a normal score.

    Returns
    -------
    float
        The variance, between 0 and `MAX_VARIANCE`.
    """
    if expected_score is None:
        expected_score = chi2.cdf(cap, 3) + cap * chi2.sf(cap, 1)

    def surplus(variance: float) -> float:
        weights = squared_information / (null_variances + variance * squared_information)
        scores = squared_residuals / (null_variances + variance * squared_information)
        excess = np.minimum(scores, cap) - expected_score
        return float(weights @ excess + margin * np.sqrt(2 * np.square(weights).sum()))

    if surplus(0.0) <= 0:
        return 0.0
    return MAX_VARIANCE if surplus(MAX_VARIANCE) > 0 else brentq(surplus, 0.0, MAX_VARIANCE, xtol=1e-5)


def estimate_heterogeneity(shifts: Array, standard_errors: Array) -> float:
    """Estimate how far the shifts of slices vary beyond sampling error, around their common shift.

    Parameters
    ----------
    shifts, standard_errors
        The shift of each slice on the log odds, and its standard error.

    Returns
    -------
    float
        Variance of the log odds: 0 if sampling error explains the spread, else one standard error high.

    Notes
    -----
    The interquartile range decides: a few slices with a real change do not raise the estimate for all.
    """
    number = len(shifts)
    if number < MIN_SLICES:
        return 0.0
    is_precise = standard_errors <= np.median(standard_errors)
    shifts = shifts - np.median(shifts[is_precise])

    def relative_spread(variance: float) -> float:
        low, high = np.quantile(shifts / np.sqrt(standard_errors**2 + variance), (0.25, 0.75))
        return float((high - low) / (norm.ppf(0.75) - norm.ppf(0.25)))

    # The standard error of this spread is 1.17 / √n of it, that of its square twice as much.
    if relative_spread(0.0) <= max(MIN_SCATTER_RATIO, 1 + 3 / np.sqrt(number)):
        return 0.0
    variance = MAX_VARIANCE
    if relative_spread(MAX_VARIANCE) <= 1:
        variance = brentq(lambda variance: relative_spread(variance) - 1, 0.0, MAX_VARIANCE, xtol=1e-8)
    return variance * (1 + 2.3 / np.sqrt(number))


def downweight_cells(table: ContingencyTable, rates: Array, design_effects: Array | float = 1.0) -> ContingencyTable:
    """Reduce cells that vary beyond sampling error to the number of audits with the same information.

    Parameters
    ----------
    table
        The audits.
    rates
        The expected error rate of each cell.
    design_effects
        Factor on the variance of each cell's errors from repeated items; that part is no variation of cells.

    Returns
    -------
    ContingencyTable
        The same table if cells do not vary.

    Notes
    -----
    One variance of the log odds is estimated for all cells. Cells with little information do not contribute to it; for
    them it does not matter either.
    """
    information, binomial_variance, residual = compute_score_moments(table, rates)
    equal_weights = binomial_variance is information
    variance = binomial_variance * design_effects
    informative = np.flatnonzero(information >= MIN_INFORMATION)
    effective_errors = np.square(information[informative]) / variance[informative]
    cell_variance = estimate_effect_variance(
        np.square(residual[informative]),
        variance[informative],
        np.square(information[informative]),
        margin=0.0,
        cap=CELL_SCORE_CAP,
        expected_score=_mean_capped_score(effective_errors),
    )
    if cell_variance == 0:
        return table
    factor = 1 / (1 + cell_variance * np.square(information) / np.maximum(variance, 1e-12))
    items = table.items * factor
    squared_weights = items if equal_weights else table.squared_weights * factor
    return ContingencyTable(table.codes, items, table.errors * factor, squared_weights)


def _mean_capped_score(means: Array) -> Array:
    """Return the mean of squared scores of Poisson counts, each counted up to `CELL_SCORE_CAP`."""
    log_means, mean_scores = _capped_score_grid()
    return np.interp(np.log(means), log_means, mean_scores)


@cache
def _capped_score_grid() -> tuple[Array, Array]:
    """Tabulate the mean capped score by the log of the Poisson mean."""
    means = np.geomspace(MIN_INFORMATION / 2, 100, 60)
    errors = np.arange(MAX_ERRORS)[:, None]
    scores = np.minimum(np.square(errors - means) / means, CELL_SCORE_CAP)
    return np.log(means), (poisson.pmf(errors, means) * scores).sum(0)
