"""Decomposition of the change of a rate into work mix and rates.

Symbols: cell c has the share w_c of the work and the rate r_c, with 0 and 1 for the two periods. The change of the
crude rate is, exactly (Kitagawa 1955),

    Σ (w1_c − w0_c) (r0_c + r1_c) / 2   (mix)   +   Σ (r1_c − r0_c) (w0_c + w1_c) / 2   (rate).

Here r is the rate a logistic model expects, averaged over the periods. The mix part is split among dimensions by their
additive effects b_d on the log odds, at the mean slope k of the logistic curve:

    mix_d = k (mean of b_d in period 1 − mean of b_d in period 0).

Additive parts do not depend on the order in which dimensions change. They are the effects of Das Gupta (1993), for a
logistic model (Yun 2004). The curvature of the logistic function remains as a joint part.

References: Kitagawa 1955, JASA 50; Das Gupta 1993, Standardization and decomposition of rates; Yun 2004, Economics
Letters 82.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from rca_lib.findings import Estimate, Quantity
from rca_lib.stats.slice_search.adjusted_difference import compute_influences, estimate_difference_variance
from rca_lib.stats.slice_search.baseline_model import BaselineModel
from rca_lib.stats.slice_search.contingency import Array, CellItemCounts, ContingencyTable


def estimate_mean_difference(
    before: ContingencyTable,
    after: ContingencyTable,
    values: Sequence[tuple[Any, Any]],
    *,
    item_counts: Sequence[CellItemCounts] | None = None,
    extra_variance: float = 0.0,
) -> Estimate:
    """Estimate the change of a weighted mean with its 95 % interval, in pp.

    Parameters
    ----------
    before, after
        The two periods.
    values
        For each period, what an audit without and with an error counts in each cell. Values are shares, so that the
        interval ends at −100 and 100 pp.
    item_counts
        The same audits by cell and item, where items were judged more than once. The variance then has items as
        clusters, and that of independent audits as its lower bound.
    extra_variance
        Added to the variance.

    Returns
    -------
    Estimate
        After minus before, in pp.

    Examples
    --------
    Errors in 48 of 80 and in 56 of 70 audits.

    >>> periods = [
    ...     ContingencyTable(np.zeros((1, 1), np.int64), np.array([items]), np.array([errors]), np.array([items]))
    ...     for items, errors in ((80.0, 48.0), (70.0, 56.0))
    ... ]
    >>> print(estimate_mean_difference(*periods, [(0.0, 1.0)] * 2))
    20.0 pp (5.8 to 34.2)
    """
    means, influences, independent_variance = [], [], 0.0
    for period, (table, (correct_value, error_value)) in enumerate(zip((before, after), values, strict=True)):
        total = table.items.sum()
        error_share = table.errors / table.items
        mean = float(((table.items - table.errors) * correct_value + table.errors * error_value).sum() / total)
        counts = None if item_counts is None else item_counts[period]
        means.append(mean)
        influences.append(compute_influences(table, correct_value, error_value, counts))
        audit_variance = (1 - error_share) * (correct_value - mean) ** 2 + error_share * (error_value - mean) ** 2
        half_error = 0.5 * float(np.ptp([correct_value, error_value]))
        independent_variance += max(float((table.squared_weights * audit_variance).sum()), half_error) / total**2
    clustered = estimate_difference_variance((before, after), influences, None, item_counts)
    variance = independent_variance
    if item_counts is not None:
        variance = max(independent_variance, clustered.variance)
    margin = float(t.isf(0.025, clustered.degrees_of_freedom) * np.sqrt(variance + extra_variance))
    difference = means[1] - means[0]
    low = max(difference - margin, min(-1.0, difference))
    high = min(difference + margin, max(1.0, difference))
    return Estimate(difference, low, high, "pp")


def compute_change_share(part: float, parts: Sequence[float], change: float) -> float:
    """Return the share of a part in everything that moved a rate in the direction of its change.

    Parameters
    ----------
    part
        One of the parts.
    parts
        All parts; they sum to the change.
    change
        The change, other than 0.

    Returns
    -------
    float
        Between −1 and 1. Without opposite parts it is the part over the change. With opposite parts the change is
        smaller than what moved it, and one part may be several times the change.

    Examples
    --------
    >>> compute_change_share(0.03, [0.03, 0.01], 0.04), round(compute_change_share(0.05, [0.05, -0.04], 0.01), 2)
    (0.75, 1.0)
    """
    increase = sum(max(value, 0.0) for value in parts)
    decrease = sum(max(-value, 0.0) for value in parts)
    return float(np.clip(part / (max(increase, decrease) * np.sign(change)), -1, 1))


def decompose_mix(
    before: ContingencyTable,
    after: ContingencyTable,
    baseline: BaselineModel,
    rates: Sequence[Array],
    *,
    item_counts: Sequence[CellItemCounts] | None = None,
) -> tuple[Estimate, list[Estimate], Quantity]:
    """Return the mix part of a change, the part of each dimension, and the joint part, in pp.

    Parameters
    ----------
    before, after
        The two periods.
    baseline
        The baseline model, whose effects split the mix among dimensions.
    rates
        For each period, the rate at which the audits of each cell are counted.
    item_counts
        The same audits by cell and item, where items were judged more than once.

    Returns
    -------
    mix
        The mix part of the change.
    parts
        The additive part of each dimension.
    joint
        The rest of the mix, without an interval.

    Notes
    -----
    Intervals allow for the sampling of the work and for the uncertainty of the model.

    References
    ----------
    Kitagawa (1955), JASA 50: mix and rate. Das Gupta (1993), Standardization and decomposition of rates: several
    factors. Yun (2004), Economics Letters 82: additive parts of a logistic model.
    """
    periods = (before, after)
    slopes = [period_rates * (1 - period_rates) for period_rates in rates]
    values = [(period_rates, period_rates) for period_rates in rates]
    extra_variance = _model_variance(periods, baseline, slopes)
    mix = estimate_mean_difference(before, after, values, item_counts=item_counts, extra_variance=extra_variance)
    period_slopes = [table.items @ slope / table.items.sum() for table, slope in zip(periods, slopes, strict=True)]
    mean_slope = float(np.mean(period_slopes))
    parts = []
    for dimension, effect in enumerate(baseline.effects):
        values = [(mean_slope * effect[table.codes[dimension]],) * 2 for table in periods]
        extra_variance = _model_variance(periods, baseline, (mean_slope, mean_slope), only=dimension)
        parts.append(
            estimate_mean_difference(before, after, values, item_counts=item_counts, extra_variance=extra_variance)
        )
    return mix, parts, Quantity(mix.value - sum(part.value for part in parts), unit="pp")


def _model_variance(
    periods: Sequence[ContingencyTable], baseline: BaselineModel, slopes: Sequence[Any], only: int | None = None
) -> float:
    """Return the variance of the mix from the model's uncertainty: of all effects, or of one dimension only."""
    coefficients = [np.zeros((1, len(effect))) for effect in baseline.effects]
    dimensions = range(len(coefficients)) if only is None else (only,)
    for sign, table, slope in zip((-1, 1), periods, slopes, strict=True):
        weights = sign * table.items * slope / table.items.sum()
        for dimension in dimensions:
            size = coefficients[dimension].shape[1]
            coefficients[dimension] += np.bincount(table.codes[dimension], weights, size)
    intercept = np.zeros((1, 1)) if only is not None else coefficients[0].sum(1, keepdims=True)
    return float(np.square(baseline.precision.covariance_root(np.hstack([intercept, *coefficients]))).sum())
