"""How strongly the judgments of one item hang together.

Twenty people who judged one item are not twenty items: where it is hard, most of them err. With n_i judgments and e_i
errors on item i, and an error rate p, the correlation ρ of two judgments of one item follows from the variance of e_i:

    E (e_i − n_i p)² = n_i p (1 − p) (1 + (n_i − 1) ρ),

so that ρ = Σ [(e_i − n_i p)² − n_i p (1 − p)] / Σ n_i (n_i − 1) p (1 − p), pooled over items (Williams 1982, one step).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def judgment_correlation(errors: Array, judgments: Array) -> float:
    """Estimate the correlation of two judgments of one item, between 0 and 1.

    Parameters
    ----------
    errors, judgments
        How many of the judgments of each item are errors, and how many there are.

    Returns
    -------
    float
        0 where no item was judged twice, or where all judgments or none are errors.

    Notes
    -----
    It takes the rate as the same for all items: a rate that steps by a factor of two adds about .01. With fewer than
    ten items judged more than once it is rough.

    References
    ----------
    Williams (1982), Extra-binomial variation in logistic linear models, Applied Statistics 31: the moment equation.

    Examples
    --------
    >>> round(judgment_correlation(np.array([5.0, 0, 0, 0, 5, 0]), np.full(6, 5.0)), 2)
    1.0
    """
    rate = errors.sum() / max(judgments.sum(), 1.0)
    spread = rate * (1 - rate)
    pairs = spread * float((judgments * (judgments - 1)).sum())
    if pairs <= 0:
        return 0.0
    beyond = float((np.square(errors - judgments * rate) - judgments * spread).sum())
    return float(min(max(beyond / pairs, 0.0), 1.0))
