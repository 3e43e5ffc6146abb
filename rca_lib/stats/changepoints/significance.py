# Tested in tests/stats/changepoints/test_search.py.
"""P-values of changes: the evidence that series without change reach, from simulation.

Symbols: B is the largest log Bayes factor of any number of changes (`segmentation.compute_log_bayes_factors`, without
threshold); m is the size of the series: the number of steps, or half the effective number of errors if that is less.
The distribution of B in series without change has no closed form. Its quantiles were simulated for eight sizes m and
ten tail probabilities P(B ≥ b): 150,000 beta-binomial series with plain noise, with one spike, and with one error a
week; correlation 0, 0.005 or 0.02. Down to a probability of 0.02, each column of the table holds for all of them.
Below 0.02, it holds for plain noise and spikes.

Between the sizes of the table, quantiles are interpolated in log m. Between its quantiles, log P is interpolated in
b. Beyond its last quantile b₀, at P = 0.001, the tail is exponential:

    P(B ≥ b) = 0.001 exp(−0.7 (b − b₀)).
"""

from __future__ import annotations

import numpy as np

from rca_lib.stats.changepoints.noise import Array

_TAIL_PROBABILITIES = np.array([1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001])
_TAIL_SIZES = np.array([12.0, 20, 35, 60, 120, 240, 480, 730])
_TAIL_EVIDENCE = np.array(
    [
        [-3.0, 0.0, 0.2, 0.45, 0.9, 1.65, 2.25, 3.1, 4.6, 6.0],
        [-3.0, -0.34, 0.03, 0.3, 0.74, 1.65, 2.25, 3.1, 4.6, 6.0],
        [-3.0, -0.51, -0.09, 0.24, 0.68, 1.5, 2.1, 2.9, 4.3, 5.8],
        [-3.0, -0.71, -0.23, 0.13, 0.57, 1.33, 1.8, 2.4, 3.2, 4.2],
        [-3.0, -0.97, -0.46, -0.06, 0.42, 1.18, 1.7, 2.2, 2.9, 3.7],
        [-3.0, -1.28, -0.72, -0.3, 0.2, 0.95, 1.5, 2.2, 3.0, 3.7],
        [-3.0, -1.58, -1.0, -0.54, -0.03, 0.8, 1.35, 2.0, 2.9, 3.7],
        [-3.0, -1.77, -1.17, -0.76, -0.15, 0.65, 1.3, 1.95, 2.9, 3.7],
    ]
)
TAIL_SLOPE = 0.7  # decrease of the log probability per unit of evidence beyond the table


def tail_probability(evidence: float, size: float) -> float:
    """Return the probability that a series without change has at least this evidence.

    Parameters
    ----------
    evidence
        Largest log Bayes factor of any number of changes.
    size
        Number of steps, or half the effective number of errors if that is less.

    Returns
    -------
    float
        A p-value between 0 and 1; 1 if the evidence is not finite.

    Notes
    -----
    Simulated for counts (`_TAIL_EVIDENCE`). Beyond 1 in 1,000 the slope is held at its smallest value. For a
    measurement it is an upper bound: fewer series without change are reported than alpha says.

    Examples
    --------
    >>> round(tail_probability(critical_evidence(0.05, 120), 120), 6)
    0.05
    """
    if not np.isfinite(evidence):
        return 1.0
    quantiles = _evidence_quantiles(size)
    log_probability = np.interp(evidence, quantiles, np.log(_TAIL_PROBABILITIES))
    beyond_table = TAIL_SLOPE * max(evidence - quantiles[-1], 0.0)
    return float(np.exp(log_probability - beyond_table))


def critical_evidence(alpha: float, size: float) -> float:
    """Return the evidence that a series without change reaches with probability alpha.

    Parameters
    ----------
    alpha
        Tail probability.
    size
        As in `tail_probability`.

    Returns
    -------
    float
        A log Bayes factor; the inverse of `tail_probability`.

    Examples
    --------
    >>> critical_evidence(0.05, 120), critical_evidence(0.01, 120)
    (0.42, 1.7)
    """
    in_table = float(np.interp(-np.log(alpha), -np.log(_TAIL_PROBABILITIES), _evidence_quantiles(size)))
    return in_table + max(np.log(_TAIL_PROBABILITIES[-1] / alpha), 0.0) / TAIL_SLOPE


def _evidence_quantiles(size: float) -> Array:
    """Return the evidence at each tail probability, interpolated in the logarithm of the size."""
    location = np.interp(np.log(max(size, 1.0)), np.log(_TAIL_SIZES), np.arange(len(_TAIL_SIZES)))
    row = min(int(location), len(_TAIL_SIZES) - 2)
    return _TAIL_EVIDENCE[row] + (location - row) * (_TAIL_EVIDENCE[row + 1] - _TAIL_EVIDENCE[row])
