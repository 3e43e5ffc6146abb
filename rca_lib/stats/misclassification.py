# Tested in tests/questions/test_audit_error.py.
"""Error rates corrected for the errors of the audits themselves.

Equally good audits. Each audit is wrong with probability e, whatever the rater did. A true error rate p is observed as

    q = p (1 − e) + (1 − p) e,   hence   p = (q − e) / (1 − 2 e)     (Rogan and Gladen 1978)

Two audits of the same decision disagree with probability d = 2 e (1 − e), hence 1 − 2 e = √(1 − 2 d).

Final second audits. A part of each stratum h of the first sample is audited again, and the second audit is right. With
the stratum shares W_h, the means ȳ_h and variances s²_h of the second phase, the estimate of the mean is Σ W_h ȳ_h.
Its variance has one part from the first phase and one from the second, Σ W_h² (1 − m_h/n_h) s²_h / m_h (Särndal,
Swensson and Wretman 1992, 9.4.14).

References: Rogan and Gladen 1978, American Journal of Epidemiology 107; Särndal, Swensson and Wretman 1992, Model
Assisted Survey Sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rca_lib.findings import Estimate, Rate
from rca_lib.stats.proportions import wilson_interval

MAX_DISAGREEMENT = 0.49  # of two audits: at 0.5 they are coin tosses, and the correction divides by 0
DIGITS = 12  # digits that survive rounding errors


def correct_misclassification(observed: Rate, disagreement_share: float, pairs: int) -> Estimate:
    """Correct an error rate for audit error, estimated from decisions that were audited twice.

    Parameters
    ----------
    observed
        The error rate as audited, with its interval.
    disagreement_share
        Share of decisions audited twice whose two audits disagree.
    pairs
        Number of decisions audited twice.

    Returns
    -------
    Estimate
        The corrected rate, unit "%", between 0 and 1. If the audits may be coin tosses, the interval is 0 to 1.

    Notes
    -----
    Assumes that both audits are equally good and that their errors are independent of each other and of the rater. The
    interval combines the sampling errors of both samples. For the pairs it uses the limits of Wilson's interval: few
    pairs that never disagree do not prove that audits never err.

    References
    ----------
    Rogan and Gladen 1978, American Journal of Epidemiology 107, 71–76.

    Examples
    --------
    >>> observed = Rate(580, 10000, 0.058, 0.0536, 0.0627)  # true rate 4 %, audits wrong in 2 %
    >>> str(correct_misclassification(observed, 2 * 0.02 * 0.98, 2000))
    '4.0 % (3.3 to 4.6)'
    """
    value = _correct(observed.value, disagreement_share)
    share_low, share_high = wilson_interval(disagreement_share * pairs, pairs)
    if share_high >= 0.5:
        return Estimate(float(np.clip(value, 0, 1)), 0.0, 1.0, "%")
    margin_below = value - _correct(observed.low, disagreement_share)
    margin_above = _correct(observed.high, disagreement_share) - value
    audit_error_shifts = [_correct(observed.value, share) - value for share in (share_low, share_high)]
    low = value - np.hypot(margin_below, min(*audit_error_shifts, 0.0))
    high = value + np.hypot(margin_above, max(*audit_error_shifts, 0.0))
    value, low, high = (round(float(np.clip(number, 0, 1)), DIGITS) for number in (value, low, high))
    return Estimate(value, low, high, "%")


def _correct(rate: float, disagreement_share: float) -> float:
    """Return the true rate behind an observed one: (q − e) / (1 − 2 e)."""
    discrimination = np.sqrt(1 - 2 * min(disagreement_share, MAX_DISAGREEMENT))  # 1 − 2 e
    return float((rate - (1 - discrimination) / 2) / discrimination)


def estimate_two_phase_mean(
    sizes: Sequence[float],
    strata: Sequence[np.ndarray],
    *,
    population: float = np.inf,
    min_variances: Sequence[float] = (),
) -> tuple[float, float, float]:
    """Estimate a mean from a first sample in strata, of each of which a part was measured in a second phase.

    Parameters
    ----------
    sizes
        Items of the first sample per stratum.
    strata
        Values measured in the second phase, one array per stratum.
    population
        Items from which the first sample was drawn; infinite by default.
    min_variances
        Lower limit of the variance per stratum. A sample in which all values are equal still has one.

    Returns
    -------
    tuple
        The mean, its variance from the first phase, and its variance from the second phase.

    References
    ----------
    Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, 9.4.14.

    Examples
    --------
    The example of the reference; its total is 1380, the variances are 24072.63 and 12450.

    >>> mean, *variances = estimate_two_phase_mean([12, 8], [np.arange(1, 6), np.arange(6, 9)], population=300)
    >>> 300 * mean, [round(300**2 * variance, 2) for variance in variances]
    (1380.0, [24072.63, 12450.0])
    """
    first_sizes = np.asarray(sizes, float)
    second_sizes = np.array([len(values) for values in strata])
    total = first_sizes.sum()
    shares = first_sizes / total
    means = np.array([values.mean() for values in strata])
    variances = np.array([values.var(ddof=1) if len(values) > 1 else 0.0 for values in strata])
    variances = np.maximum(variances, min_variances if len(min_variances) else 0.0)
    mean = float(shares @ means)
    correction = (total - first_sizes) / (total - 1) / second_sizes
    within = shares @ ((1 - correction) * variances)
    between = total / (total - 1) * (shares @ np.square(means - mean))
    first_phase = (1 - total / population) / total * (within + between)
    finite_correction = 1 - np.minimum(second_sizes / first_sizes, 1)
    second_phase = (np.square(shares) * finite_correction * variances / second_sizes).sum()
    return mean, float(first_phase), float(second_phase)
