"""Control charts for proportions: the p chart and Laney's p′ chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

BIAS = 1.128  # mean of a moving range of two over the standard deviation
SCREEN = 3.267  # a moving range above this many times their mean is itself a signal


@dataclass(frozen=True, slots=True)
class ControlChart:
    """A chart of proportions: `lower` and `upper` limit per step, `signals` the positions outside them.

    `sigma_z` is the spread of the standardised steps from one to the next: 1 where only chance of sampling is at work.
    """

    centre: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    signals: tuple[int, ...]
    sigma_z: float


def chart_proportions(
    errors: np.ndarray, items: np.ndarray, *, method: Literal["laney", "p"] = "laney", screened: bool = False
) -> ControlChart:
    """Draw up a chart of proportions with limits at three standard deviations.

    Parameters
    ----------
    errors, items
        One number per step, in order of time; every step has items.
    method
        "p" knows the chance of sampling only; "laney" (Laney 2002) widens it by the moving ranges of the steps.
    screened
        Leave moving ranges above 3.267 times their mean out of `sigma_z` (Nelson 1982).

    Notes
    -----
    The limits hold 99.7 % of single steps if the level never changes: a chart looks at steps one by one and sees a
    small lasting change late, or never.

    Examples
    --------
    >>> chart = chart_proportions(np.array([5, 4, 6, 5, 30]), np.full(5, 100), method="p")
    >>> chart.centre, chart.signals
    (0.1, (4,))
    """
    if method not in ("laney", "p"):
        raise ValueError(f"method {method!r} is neither 'laney' nor 'p'")
    centre = float(errors.sum() / items.sum())
    sigma = np.sqrt(centre * (1 - centre) / items)
    sigma_z = 1.0 if method == "p" else _sigma_z((errors / items - centre) / np.maximum(sigma, 1e-300), screened)
    lower, upper = np.maximum(centre - 3 * sigma * sigma_z, 0), np.minimum(centre + 3 * sigma * sigma_z, 1)
    signals = np.flatnonzero((errors / items < lower) | (errors / items > upper))
    return ControlChart(centre, tuple(lower.tolist()), tuple(upper.tolist()), tuple(signals.tolist()), sigma_z)


def _sigma_z(standardised: np.ndarray, screened: bool) -> float:
    ranges = np.abs(np.diff(standardised))
    if screened:
        ranges = ranges[ranges <= SCREEN * ranges.mean()]
    return float(ranges.mean() / BIAS)
