"""Tabular CUSUM: cumulative sums of deviations, which detect small lasting shifts.

With the standardised step z_t, allowance k and decision interval h, all in standard deviations:

    C⁺_t = max(0, C⁺_{t−1} + z_t − k),   C⁻_t = max(0, C⁻_{t−1} − z_t − k)

There is a signal where C⁺ or C⁻ first exceeds h. The shift is dated to the step at which that sum left 0.

References: Page 1954, Biometrika 41; Montgomery, Introduction to Statistical Quality Control, chapter 9.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALLOWANCE = 0.5  # k, in standard deviations: tuned for a shift by one
DECISION_INTERVAL = 5.0  # h, in standard deviations


@dataclass(frozen=True, slots=True)
class Cusum:
    """Tabular CUSUM.

    Attributes
    ----------
    high, low
        Upper and lower sum at each step, in standard deviations.
    signals
        Positions where a sum first exceeds the decision interval.
    shift_starts
        For each signal, the step at which the sum began to grow.
    """

    high: tuple[float, ...]
    low: tuple[float, ...]
    signals: tuple[int, ...]
    shift_starts: tuple[int, ...]


def compute_cusum(standardised: np.ndarray) -> Cusum:
    """Compute the tabular CUSUM of standardised steps.

    Parameters
    ----------
    standardised
        Deviation of each step from the centre, in standard deviations.

    Returns
    -------
    Cusum
        Both sums at each step, and the signals.

    Notes
    -----
    A shift by one standard deviation is detected after 10 steps on average. A series with known
    centre and standard deviation has one false signal in 465 steps. A chart estimates both from the same steps; there
    the CUSUM is a reading aid, not a test.

    References
    ----------
    Page 1954; Montgomery, Introduction to Statistical Quality Control, chapter 9.

    Examples
    --------
    >>> compute_cusum(np.array([0.0] * 5 + [1.5] * 7)).signals
    (10,)
    """
    high: list[float] = []
    low: list[float] = []
    signals: list[int] = []
    shift_starts: list[int] = []
    high_sum = low_sum = 0.0
    high_start = low_start = 0
    for position, deviation in enumerate(np.asarray(standardised, float).tolist()):
        previous_high, previous_low = high_sum, low_sum
        high_sum = max(0.0, high_sum + deviation - ALLOWANCE)
        low_sum = max(0.0, low_sum - deviation - ALLOWANCE)
        high_start = position if previous_high == 0 else high_start
        low_start = position if previous_low == 0 else low_start
        sides = ((previous_high, high_sum, high_start), (previous_low, low_sum, low_start))
        for previous, current, start in sides:
            if current > DECISION_INTERVAL >= previous:
                signals.append(position)
                shift_starts.append(start)
        high.append(high_sum)
        low.append(low_sum)
    return Cusum(tuple(high), tuple(low), tuple(signals), tuple(shift_starts))
