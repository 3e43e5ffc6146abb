"""The correlation of judgments of one item.

Twenty raters who judged one item do not count as twenty items: on a hard item most of them err. Symbols: n_i judgments
and e_i errors on item i, error rate p, correlation ρ of two judgments of one item. The variance of e_i is

    E (e_i − n_i p)² = n_i p (1 − p) (1 + (n_i − 1) ρ).

Solved for ρ and pooled over items (Williams 1982, one step):

    ρ = Σ [(e_i − n_i p)² − n_i p (1 − p)] / Σ n_i (n_i − 1) p (1 − p).

Reference: Williams 1982, Applied Statistics 31, 144–148.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def estimate_intraclass_correlation(errors: Array, judgments: Array) -> float:
    """Estimate the correlation of two judgments of one item, between 0 and 1.

    Parameters
    ----------
    errors, judgments
        The number of errors and the number of judgments of each item.

    Returns
    -------
    float
        0 where no item was judged twice, or where all judgments or none are errors.

    Notes
    -----
    The error rate is taken as the same for all items. A rate that steps by a factor of two adds about .01. With fewer
    than ten items judged more than once the estimate is rough.

    References
    ----------
    Williams (1982), Extra-binomial variation in logistic linear models, Applied Statistics 31: the moment equation.

    Examples
    --------
    >>> round(estimate_intraclass_correlation(np.array([5.0, 0, 0, 0, 5, 0]), np.full(6, 5.0)), 2)
    1.0
    """
    rate = errors.sum() / max(judgments.sum(), 1.0)
    variance = rate * (1 - rate)
    pair_variance = variance * float((judgments * (judgments - 1)).sum())
    if pair_variance <= 0:
        return 0.0
    excess_variance = float((np.square(errors - judgments * rate) - judgments * variance).sum())
    return float(min(max(excess_variance / pair_variance, 0.0), 1.0))
