"""Excess errors of exposed work over unexposed work of the same period, by indirect standardization.

Symbols: a model gives each cell of audits an expected number of errors e; o is the observed number. E is the exposed
work, U all other work, O and E with an index are sums over these. The other work sets the level of the period:

    r = O_U / E_U.

The excess of the exposed work is

    x = O_E − r E_E.

The influence of a cell on x is o − r e inside E, and −(E_E / E_U) (o − r e) inside U. The variance of x is the larger
of two: the variance with raters as clusters, and the Poisson variance under r,

    r E_E + (E_E / E_U) r E_E.

If E had audits in the baseline, the error of its own expected number is added: (r E_E)² / (errors of E in the
baseline).

Reference: Breslow and Day 1987, Statistical Methods in Cancer Research II, chapter 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from rca_lib.stats.clustered_data.two_way_variance import estimate_cluster_variance

Array = NDArray[np.float64]

MIN_BASELINE_ERRORS = 0.5  # errors; a baseline without errors counts as half an error
MIN_VARIANCE = 1e-12  # squared errors; avoids a division by 0


@dataclass(frozen=True, slots=True)
class StandardizedExcess:
    """Excess errors of exposed work with a 95 % interval, the expected errors, and the one-sided p-value."""

    excess: float
    low: float
    high: float
    expected: float
    p_value: float


def estimate_standardized_excess(
    errors: Array,
    expected: Array,
    exposed: NDArray[np.bool_],
    *,
    raters: NDArray[np.int64] | None = None,
    baseline_errors: float | None = None,
) -> StandardizedExcess | None:
    """Compare the errors of exposed work with those of all other work.

    Parameters
    ----------
    errors, expected
        Observed and expected errors per cell.
    exposed
        Mask of the exposed cells.
    raters
        The rater of each cell, as a whole number from 0. None: unknown.
    baseline_errors
        Errors of the exposed work in the baseline. None: it had no audits there.

    Returns
    -------
    StandardizedExcess, optional
        None where no errors are expected on one of the two sides.

    Notes
    -----
    The test is for one group that was named beforehand. It cannot separate the effect of exposure from other
    differences between the groups: new raters may err more than others because they are new.

    References
    ----------
    Breslow and Day (1987), Statistical Methods in Cancer Research II, chapter 2: indirect standardization.

    Examples
    --------
    >>> result = estimate_standardized_excess(np.array([40.0, 95]), np.array([20.0, 100]), np.array([True, False]))
    >>> round(result.excess, 1), round(result.expected, 1), result.p_value < 0.001
    (21.0, 19.0, True)
    """
    expected_exposed = float(expected[exposed].sum())
    expected_unexposed = float(expected[~exposed].sum())
    if expected_exposed <= 0 or expected_unexposed <= 0:
        return None
    level = float(errors[~exposed].sum()) / expected_unexposed
    standardized = level * expected_exposed
    residual = errors - level * expected
    influence = np.where(exposed, residual, -expected_exposed / expected_unexposed * residual)
    clustered = estimate_cluster_variance(influence, raters, None)
    poisson_variance = standardized + expected_exposed / expected_unexposed * standardized
    variance = max(poisson_variance, clustered.variance if raters is not None else 0.0)
    if baseline_errors is not None:
        variance += standardized**2 / max(baseline_errors, MIN_BASELINE_ERRORS)
    degrees_of_freedom = clustered.degrees_of_freedom if raters is not None else np.inf
    observed = float(errors[exposed].sum())
    excess = observed - standardized
    standard_error = float(np.sqrt(max(variance, MIN_VARIANCE)))
    margin = float(t.ppf(0.975, degrees_of_freedom)) * standard_error
    low = max(excess - margin, -standardized)
    high = min(excess + margin, observed)
    p_value = float(t.sf(excess / standard_error, degrees_of_freedom))
    return StandardizedExcess(excess, low, high, standardized, p_value)
