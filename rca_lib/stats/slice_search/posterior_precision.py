# Tested in tests/stats/slice_search/test_selection.py.
"""The posterior precision of all effects given the current audits.

Symbols: b are the effects of the baseline model, with the prior precision P₀ from the baseline. The current audits
have the Fisher information J on them. Two kinds of effects are new:

- shifts s of the selected slices, with information from their own cells and a nearly flat prior,
- changes d of the values of a dimension since the baseline, with variance τ² each.

The joint posterior precision is, with Z the matrix that maps effects, shifts and changes to the cells,

    P = blockdiag(P₀, prior of s, I / τ²) + Zᵀ diag(information) Z.

Values of a dimension with τ² > 0 therefore appear twice: with the effect that the baseline knows, and with its change.
The last dimension holds thousands of values. There the prior variance is raised by τ² instead, which is equivalent
because no audit has two values of it.

Reference: Gelman et al. 2013, Bayesian Data Analysis, 3rd edition, section 4.1: normal approximation of a posterior.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rca_lib.stats.slice_search.contingency import Array, Codes, MarginalSums
from rca_lib.stats.slice_search.covariance import PrecisionMatrix, sum_by_effect, sum_effect_pairs
from rca_lib.stats.slice_search.design import SearchDesign


def update_precision(
    design: SearchDesign,
    information_sums: MarginalSums,
    selected_sums: Sequence[MarginalSums],
    overlaps: Array,
    change_variances: dict[int, float],
) -> tuple[PrecisionMatrix, Codes]:
    """Add the information of the current audits to the baseline's precision.

    Parameters
    ----------
    design
        The search design.
    information_sums
        Margins of the cells' information.
    selected_sums
        The same inside each selected slice.
    overlaps
        Precision between the shifts of selected slices, priors included.
    change_variances
        Variance of random changes since the baseline, by dimension.

    Returns
    -------
    PrecisionMatrix
        Precision of effects, shifts and changes.
    ndarray
        The columns that belong to it, among all effects with the shifts after them.
    """
    sizes = design.layout.sizes
    last = len(sizes) - 1
    *starts, total = np.cumsum([1, *sizes])
    narrow = starts[last]
    shifts = len(selected_sums)
    selected_rows = np.vstack([sum_by_effect(sums, sizes, ()) for sums in selected_sums])
    effect_rows = np.hstack([sum_effect_pairs(information_sums, sizes), selected_rows.T[:narrow]])
    information = np.vstack([effect_rows, np.hstack([selected_rows, overlaps])])
    changed = {dimension: variance for dimension, variance in change_variances.items() if dimension != last}
    change_columns = [np.arange(starts[dimension], starts[dimension] + sizes[dimension]) for dimension in changed]
    columns = np.concatenate([np.arange(narrow), total + np.arange(shifts), *change_columns])
    rows = np.where(columns < narrow, columns, columns - sizes[last])
    prior = design.baseline.precision.add_variance(change_variances.get(last, 0.0))
    change_precisions = [np.full(sizes[dimension], 1 / variance) for dimension, variance in changed.items()]
    added_precision = np.concatenate([np.zeros(narrow + shifts), *change_precisions])
    corner = information[np.ix_(rows, columns)] + np.diag(added_precision)
    edge = information[rows, narrow:total]
    corner[:narrow, :narrow] += prior.corner
    edge[:narrow] += prior.edge
    precision = PrecisionMatrix(corner, edge, prior.diagonal + information_sums((last,)))
    return precision, np.r_[columns, narrow:total]
