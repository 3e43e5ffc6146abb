# Tested in tests/questions/test_raters.py.
"""Shrunken ratios of observed to expected errors (gamma-Poisson model), and selection by a false discovery rate.

Symbols: person i has o_i errors, e_i expected errors and the true ratio θ_i. The model (Clayton and Kaldor 1987) is

    o_i ~ Poisson(θ_i e_i),   θ_i ~ Gamma(shape a, rate a),

so that ratios have mean 1 and standard deviation s = 1 / √a. Given s, the posterior of a ratio is

    θ_i | o_i ~ Gamma(a + o_i, a + e_i),   with mean (a + o_i) / (a + e_i).

The marginal distribution of o_i is negative binomial. Its likelihood, summed over persons, weights a grid of values of
s with a uniform prior. Posterior means, quantiles and tail probabilities are averages over that grid. Persons with few
audits are pulled towards 1, and the more so the less persons differ.

Reference: Clayton and Kaldor 1987, Biometrics 43, 671–681.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln

from rca_lib.findings import Estimate

Array = NDArray[np.float64]

MATERIAL_RATIO = 1.2  # ratio; smaller differences do not matter in practice
SD_GRID = np.linspace(0.02, 1.5, 75)  # standard deviations of true ratios, equally likely beforehand
MIN_GRID_WEIGHT = 1e-4  # relative to the largest weight; grid points below add nothing visible
MAX_RATIO = 50.0  # ratio; upper end of the search for quantiles
DIGITS = 12  # digits that survive rounding errors
BISECTION_STEPS = 45  # halvings; 50 / 2**45 is below any digit shown


@dataclass(frozen=True, slots=True, eq=False)
class RatioEstimates:
    """Posterior of the true ratio of errors to expected errors, one value per person.

    Attributes
    ----------
    value, low, high
        Posterior mean and interval.
    probability_above, probability_below
        Probabilities that the ratio is above `MATERIAL_RATIO`, or below its inverse.
    standard_deviation
        The standard deviation of true ratios between persons, with its interval.
    """

    value: Array
    low: Array
    high: Array
    probability_above: Array
    probability_below: Array
    standard_deviation: Estimate


def shrink_ratios(observed: Array, expected: Array, *, level: float = 0.95) -> RatioEstimates:
    """Estimate each person's true ratio of errors to expected errors.

    Parameters
    ----------
    observed, expected
        Observed and expected errors of each person.
    level
        Probability of the intervals.

    Returns
    -------
    RatioEstimates
        Posterior means, intervals and tail probabilities.

    Notes
    -----
    Any standard deviation up to 1.5 is equally likely beforehand. Errors vary less than Poisson counts where error
    rates are high; intervals are then too wide.

    References
    ----------
    Clayton and Kaldor (1987), Empirical Bayes estimates of age-standardized relative risks, Biometrics 43: the model.

    Examples
    --------
    >>> result = shrink_ratios(np.array([4.0, 5.0, 6.0, 20.0]), np.array([5.0, 5.0, 6.0, 5.0]))
    >>> result.value.round(1).tolist(), bool(result.probability_above[3] > 0.99)
    ([0.8, 1.0, 1.0, 3.3], True)
    """
    tails = ((1 - level) / 2, (1 + level) / 2)
    grid_shapes = SD_GRID[:, None] ** -2.0
    grid_weights = _marginal_likelihood(observed, expected, grid_shapes)
    kept = grid_weights > MIN_GRID_WEIGHT * grid_weights.max()
    probabilities = grid_weights / grid_weights.sum()
    mean_sd = round(float(probabilities @ SD_GRID), DIGITS)
    low_sd, high_sd = (round(float(limit), DIGITS) for limit in np.interp(tails, np.cumsum(probabilities), SD_GRID))
    standard_deviation = Estimate(mean_sd, low_sd, high_sd, level=level)
    mixture = probabilities[kept] / probabilities[kept].sum()
    shapes = grid_shapes[kept] + observed
    rates = grid_shapes[kept] + expected

    def cdf(ratio: Array | float) -> Array:
        return mixture @ gammainc(shapes, ratio * rates)

    low, high = (_invert_cdf(cdf, probability, len(observed)) for probability in tails)
    above = 1 - cdf(MATERIAL_RATIO)
    below = cdf(1 / MATERIAL_RATIO)
    return RatioEstimates(mixture @ (shapes / rates), low, high, above, below, standard_deviation)


def _marginal_likelihood(observed: Array, expected: Array, shapes: Array) -> Array:
    """Return the negative binomial likelihood of all errors at each shape, relative to the largest."""
    terms = gammaln(observed + shapes) - gammaln(shapes) + shapes * np.log(shapes / (shapes + expected))
    log_likelihood = (terms + observed * np.log(np.maximum(expected, 1e-12) / (shapes + expected))).sum(1)
    return np.exp(log_likelihood - log_likelihood.max())


def _invert_cdf(cdf: Callable[[Array], Array], probability: float, size: int) -> Array:
    """Return the quantile of each person by bisection."""
    low = np.zeros(size)
    high = np.full(size, MAX_RATIO)
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        is_below = cdf(middle) < probability
        low = np.where(is_below, middle, low)
        high = np.where(is_below, high, middle)
    return high


def select_by_fdr(probabilities: Array, *, rate: float = 0.05) -> NDArray[np.bool_]:
    """Select as many cases as possible while the expected share of wrong ones stays within `rate`.

    Parameters
    ----------
    probabilities
        The posterior probability that each case is a true one.
    rate
        The Bayesian false discovery rate: the mean probability of being wrong among the selected cases.

    Returns
    -------
    ndarray of bool
        The selected cases.

    References
    ----------
    Newton, Noueiry, Sarkar and Ahlquist (2004), Detecting differential gene expression, Biostatistics 5: the rule.

    Examples
    --------
    >>> select_by_fdr(np.array([0.999, 0.2, 0.93, 0.8])).tolist()
    [True, False, True, False]
    """
    order = np.argsort(-probabilities, kind="stable")
    false_discovery_rates = np.cumsum(1 - probabilities[order]) / np.arange(1, len(probabilities) + 1)
    selected = np.zeros(len(probabilities), bool)
    selected[order[false_discovery_rates <= rate]] = True
    return selected
