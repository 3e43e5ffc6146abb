# Tested in tests/questions/test_alternative_explanations.py.
"""The change of the error rate that each auditor finds, compared with the pooled change of the other auditors.

Auditor a finds the rates p_a0 and p_a1 in n_a0 and n_a1 effective audits before and after. The shift d_a = p_a1 - p_a0
has the variance v_a = p_a (1 - p_a) (1 / n_a0 + 1 / n_a1), with p_a the rate of both periods together: the variance if
the auditor did not change. The shifts of all auditors except a have the inverse-variance mean m_a with variance
φ / Σ 1 / v, where φ is their mean squared standardised deviation, and at least 1. Auditor a is compared by the z value
(d_a - m_a) / sqrt(v_a + φ / Σ 1 / v); the auditor with the largest absolute value is returned. A change that all
auditors share cancels.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

MIN_STANDARD_ERROR = 1e-9  # keeps the weights of auditors without variance finite


@dataclass(frozen=True, slots=True)
class AuditorShift:
    """How far the change that an auditor finds differs from the change that the others find, as shares."""

    auditor: Hashable
    difference: float
    standard_error: float


def find_extreme_shift(before: pd.DataFrame, after: pd.DataFrame) -> AuditorShift:
    """Return the auditor with the largest standardised difference from the others.

    Parameters
    ----------
    before, after
        The counts of each auditor (`count_errors`), indexed by auditor; the same auditors in the same order.

    Returns
    -------
    AuditorShift
        Its difference from the pooled shift of the others, with the standard error.
    """
    shifts, standard_errors = _compute_shifts(before, after)
    others = np.array(
        [_pool_estimates(np.delete(shifts, index), np.delete(standard_errors, index)) for index in range(len(before))]
    )
    differences = shifts - others[:, 0]
    difference_errors = np.hypot(standard_errors, others[:, 1])
    index = int(np.argmax(np.abs(differences / difference_errors)))
    return AuditorShift(before.index[index], float(differences[index]), float(difference_errors[index]))


def _compute_shifts(before: pd.DataFrame, after: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of each auditor's error rate and its standard error."""
    rates = [(counts["weighted_errors"] / counts["weight"]).to_numpy() for counts in (before, after)]
    sizes = [(counts["weight"] ** 2 / counts["squared_weight"]).to_numpy() for counts in (before, after)]
    pooled = (before["weighted_errors"] + after["weighted_errors"]) / (before["weight"] + after["weight"])
    rate = pooled.clip(lower=0.5 / (sizes[0] + sizes[1])).to_numpy()
    variance = rate * (1 - rate) * (1 / sizes[0] + 1 / sizes[1])
    return rates[1] - rates[0], np.sqrt(variance).clip(min=MIN_STANDARD_ERROR)


def _pool_estimates(values: np.ndarray, standard_errors: np.ndarray) -> tuple[float, float]:
    """Return the inverse-variance mean and its standard error, inflated by the overdispersion of the values."""
    weights = 1 / standard_errors**2
    mean = float((weights * values).sum() / weights.sum())
    overdispersion = float((weights * (values - mean) ** 2).sum() / max(len(values) - 1, 1))
    return mean, float(np.sqrt(max(overdispersion, 1.0) / weights.sum()))
