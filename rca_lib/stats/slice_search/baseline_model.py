"""The baseline model: the expected error rate of every audit if nothing changed, with its uncertainty.

Symbols: cell c has n_c audits and e_c errors. The model is logistic with one effect per value of every dimension,

    logit p_c = b_0 + Σ_d b_d,value(c,d),   b_d,v ~ N(0, σ_d²).

Penalised Newton steps maximise the posterior. With precision P (information plus prior) and gradient g a step is P⁻¹ g.
The variances follow the fixed point of MacKay (1992), here with one pseudo-value of variance 0.05, so that no dimension
shrinks to zero:

    σ_d² = (Σ_v b_v² + 0.05) / (Σ_v γ_v + 1),   γ_v = 1 − Var(b_v) / prior variance of b_v.

Dimensions with few values are hardly shrunk (`PRIOR_VARIANCE_FACTOR`): their effects are well known, and shrinkage
would make a shift of work to difficult values look like worse work. Interactions of pairs of dimensions are fitted to
the residuals afterwards (`interactions`).

References: MacKay 1992, Neural Computation 4, 415–447; Jeffreys 1946 (the prior of half an error).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from rca_lib.stats.slice_search.contingency import (
    Array,
    Codes,
    ContingencyTable,
    TableLayout,
    build_layout,
    compute_score_moments,
)
from rca_lib.stats.slice_search.covariance import PrecisionMatrix, compute_information_matrix, sum_by_effect
from rca_lib.stats.slice_search.interactions import Interactions, fit_interactions

HIGH_CARDINALITY = 40  # values; a dimension with at least as many is one of raters or similar
PRIOR_VARIANCE_FACTOR = 4.0  # factor on the prior variance of effects in dimensions with fewer values
INITIAL_VARIANCE = 0.1  # variance of effects on the log odds, before the first step
PSEUDO_VARIANCE = 0.05  # variance of the one pseudo-value per dimension
INTERCEPT_PRECISION = 0.01  # prior precision of the intercept, relative to the crude rate
MAX_NEWTON_STEPS = 25
MAX_STEP = 2.0  # log odds per Newton step
STEP_TOLERANCE = 0.01  # log odds; the remaining error is the square of the last Newton step
VARIANCE_TOLERANCE = 0.02  # relative change of the variances in the last step


@dataclass(frozen=True, slots=True, eq=False)
class BaselineModel:
    """A logistic model of the baseline.

    Attributes
    ----------
    intercept
        Log odds of an error.
    effects
        The shrunken effect of each value, one array per dimension.
    precision
        Posterior precision of intercept and effects.
    interactions
        For each pair of dimensions with an interaction: shift and variance of every pair of values.
    """

    intercept: float
    effects: tuple[Array, ...]
    precision: PrecisionMatrix
    interactions: Interactions

    def logits(self, codes: Codes) -> Array:
        """Return the log odds of an error in each cell.

        Parameters
        ----------
        codes
            The value of each cell in each dimension: dimensions × cells.

        Returns
        -------
        ndarray
            One number per cell.
        """
        logits = _linear_predictor(codes, self.intercept, self.effects)
        for (first, second), (shift, _) in self.interactions.items():
            logits += shift[codes[first] * len(self.effects[second]) + codes[second]]
        return logits

    def interaction_variance(self, dimensions: tuple[int, ...], codes: Codes) -> Array:
        """Return the variance of interactions.

        Parameters
        ----------
        dimensions
            A pair of dimensions.
        codes
            Codes of pairs of their values.

        Returns
        -------
        ndarray
            One variance per code; 0 where the model has no interaction of these dimensions.
        """
        return self.interactions[dimensions][1][codes] if dimensions in self.interactions else np.zeros(len(codes))


def fit_baseline_model(
    table: ContingencyTable,
    sizes: tuple[int, ...],
    *,
    pairs: Iterable[tuple[int, ...]] = (),
    design_effect: float = 1.0,
) -> BaselineModel:
    """Fit the baseline's error rates to all dimensions jointly; each dimension is shrunk by its own variance.

    Parameters
    ----------
    table
        The baseline, with weights scaled so that `items` sums to the effective number of audits.
    sizes
        The number of values of each dimension. A value that the baseline lacks keeps its prior, 0 ± the sd of its
        dimension. The dimension with most values comes last, where it costs least: it may hold thousands of raters.
    pairs
        Pairs of dimensions that may interact.
    design_effect
        Factor on the variance of errors from items that were judged more than once; that part is no interaction.

    Returns
    -------
    BaselineModel
        The fitted model.

    Notes
    -----
    Effects are on the log odds and constant over the baseline. Interactions of three dimensions cannot be described.

    References
    ----------
    MacKay (1992), Bayesian interpolation, Neural Computation 4: the fixed point of the variances. Jeffreys (1946): the
    prior of half an error.

    Examples
    --------
    Two values of one dimension, with errors in 2 and 10 % of 1,000 audits each. The lower rate is hardly shrunk.

    >>> items, errors = np.array([1000.0, 1000.0]), np.array([20.0, 100.0])
    >>> table = ContingencyTable(np.array([[0, 1]]), items, errors, items)
    >>> expit(fit_baseline_model(table, (2,)).logits(table.codes)).round(3).tolist()
    [0.021, 0.1]
    """
    table = _add_pseudo_counts(table)
    crude_logit = float(logit(table.errors.sum() / table.items.sum()))
    layout = build_layout(table.codes, sizes)
    effects, precision = _fit_main_effects(table, layout, crude_logit)
    effects_by_dimension = np.split(effects, np.cumsum([1, *sizes])[:-1])[1:]
    additive = BaselineModel(crude_logit + float(effects[0]), tuple(effects_by_dimension), precision, {})
    if design_effect != 1:
        table = replace(table, squared_weights=table.squared_weights * design_effect)
    return replace(additive, interactions=fit_interactions(table, layout, additive.logits(table.codes), pairs))


def _add_pseudo_counts(table: ContingencyTable) -> ContingencyTable:
    """Spread one more audit with half an error over the cells, so that a baseline without errors has a rate."""
    pseudo_items = table.items / table.items.sum()
    items = table.items + pseudo_items
    if table.squared_weights is table.items:
        squared_weights = items
    else:
        squared_weights = table.squared_weights + pseudo_items * table.squared_weights / table.items
    return replace(table, items=items, errors=table.errors + pseudo_items / 2, squared_weights=squared_weights)


def _fit_main_effects(
    table: ContingencyTable, layout: TableLayout, crude_logit: float
) -> tuple[Array, PrecisionMatrix]:
    """Return intercept and effects in one array, and their posterior precision."""
    sizes = layout.sizes
    ends = np.cumsum([1, *sizes])
    effects = np.zeros(ends[-1])
    variances = np.full(len(sizes), INITIAL_VARIANCE)
    variance_factors = _prior_variance_factors(table, sizes)
    for _ in range(MAX_NEWTON_STEPS):
        prior_precision = np.concatenate([[INTERCEPT_PRECISION], 1 / (np.repeat(variances, sizes) * variance_factors)])
        intercept, *by_dimension = np.split(effects, ends[:-1])
        logits = _linear_predictor(table.codes, crude_logit + float(intercept[0]), by_dimension)
        information, _, residual = compute_score_moments(table, expit(logits))
        precision = _add_prior(compute_information_matrix(layout.marginalize(information), sizes), prior_precision)
        score = sum_by_effect(layout.marginalize(residual), sizes, ())[0]
        corner_step, last_step, posterior_variances = _newton_step(precision, score - prior_precision * effects)
        effects = effects + np.concatenate([corner_step, last_step])
        updated = _update_variances(effects, posterior_variances, 1 / prior_precision, ends)
        variance_change = np.abs(updated / variances - 1).max()
        variances = updated
        if np.abs(corner_step).max() < STEP_TOLERANCE and variance_change < VARIANCE_TOLERANCE:
            break
    return effects, precision


def _prior_variance_factors(table: ContingencyTable, sizes: tuple[int, ...]) -> Array:
    """Return the factor on the prior variance of each value: large for observed values of small dimensions."""
    counts = [np.bincount(code, None, size) for code, size in zip(table.codes, sizes, strict=True)]
    is_observed = np.concatenate(counts) > 0
    return np.where(is_observed & (np.repeat(sizes, sizes) < HIGH_CARDINALITY), PRIOR_VARIANCE_FACTOR, 1.0)


def _add_prior(information: PrecisionMatrix, prior_precision: Array) -> PrecisionMatrix:
    """Add the independent priors of the effects to the information."""
    corner_prior, last_prior = np.split(prior_precision, [len(information.corner)])
    corner = information.corner + np.diag(corner_prior)
    return PrecisionMatrix(corner, information.edge, information.diagonal + last_prior)


def _newton_step(precision: PrecisionMatrix, gradient: Array) -> tuple[Array, Array, Array]:
    """Return the step of the corner effects and of the last dimension, and the posterior variances of all effects."""
    complement, loadings = precision.schur_complement()
    inverse = np.linalg.inv(complement)
    corner_gradient, last_gradient = np.split(gradient, [len(precision.corner)])
    corner_step = np.clip(inverse @ (corner_gradient - loadings.T @ last_gradient), -MAX_STEP, MAX_STEP)
    last_step = np.clip(last_gradient / precision.diagonal - loadings @ corner_step, -MAX_STEP, MAX_STEP)
    root = loadings @ np.linalg.cholesky(inverse)
    variances = np.concatenate([np.diag(inverse), 1 / precision.diagonal + np.square(root).sum(1)])
    return corner_step, last_step, variances


def _linear_predictor(codes: Codes, intercept: float, effects: Iterable[Array]) -> Array:
    """Return the sum of intercept and effects in each cell."""
    logits = np.full(codes.shape[1], intercept)
    for effect, code in zip(effects, codes, strict=True):
        logits += effect[code]
    return logits


def _update_variances(
    effects: Array, posterior_variances: Array, prior_variances: Array, ends: NDArray[np.int64]
) -> Array:
    """Return each dimension's variance by MacKay's fixed point."""
    well_determined = np.clip(1 - posterior_variances[1:] / prior_variances[1:], 0, 1)
    starts = ends[:-1] - 1
    sums_of_squares = np.add.reduceat(np.square(effects[1:]), starts)
    return (sums_of_squares + PSEUDO_VARIANCE) / (np.add.reduceat(well_determined, starts) + 1)
