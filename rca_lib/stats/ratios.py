"""Errors against expected errors, person by person: ratios shrunk by how much people differ at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln

from rca_lib.findings import Estimate

Array = NDArray[np.float64]
MATTERS = 1.2  # the ratio from which on a difference is one
SPREADS = np.linspace(0.02, 1.5, 75)  # standard deviations of true ratios that are thought possible, equally likely


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """One value per person: the mean `value` of the ratio, its interval, the chances that it is `above` or `below`.

    Above is a fifth more than expected or beyond, below as much less: differences that matter.

    `spread` is the standard deviation of true ratios between people, with its interval.
    """

    value: Array
    low: Array
    high: Array
    above: Array
    below: Array
    spread: Estimate


def shrink_ratios(observed: Array, expected: Array, *, level: float = 0.95) -> Ratios:
    """Estimate each person's true ratio of errors to expected errors (gamma-Poisson, Clayton and Kaldor 1987).

    Observed errors are Poisson around the ratio times the expected; ratios have a gamma distribution with mean 1. How
    far it spreads is unknown, any standard deviation up to 1.5 equally likely beforehand, and is averaged over. Errors
    are rarer than Poisson where rates are high: intervals are then too wide.

    Examples
    --------
    >>> found = shrink_ratios(np.array([4.0, 5.0, 6.0, 20.0]), np.array([5.0, 5.0, 6.0, 5.0]))
    >>> found.value.round(1).tolist(), bool(found.above[3] > 0.99)
    ([0.8, 1.0, 1.0, 3.3], True)
    """
    shapes = SPREADS[:, None] ** -2.0
    chance = gammaln(observed + shapes) - gammaln(shapes) + shapes * np.log(shapes / (shapes + expected))
    chance = (chance + observed * np.log(np.maximum(expected, 1e-12) / (shapes + expected))).sum(1)
    weights = np.exp(chance - chance.max())
    kept = weights > 1e-4 * weights.max()
    weights, shapes = weights / weights.sum(), shapes[kept]
    ends = np.interp(((1 - level) / 2, (1 + level) / 2), np.cumsum(weights), SPREADS)
    spread = Estimate(*(round(float(one), 12) for one in (weights @ SPREADS, *ends)), level=level)
    mixed = weights[kept] / weights[kept].sum()
    counts, sizes = shapes + observed, shapes + expected

    def below(ratio: Array | float) -> Array:
        return mixed @ gammainc(counts, ratio * sizes)

    low, high = (_solve(below, share, len(observed)) for share in ((1 - level) / 2, (1 + level) / 2))
    return Ratios(mixed @ (counts / sizes), low, high, 1 - below(MATTERS), below(1 / MATTERS), spread)


def _solve(below: Callable[[Array], Array], share: float, size: int) -> Array:
    low, high = np.zeros(size), np.full(size, 50.0)
    for _ in range(45):
        middle = (low + high) / 2
        less = below(middle) < share
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return high


def stand_out(chance: Array, *, rate: float = 0.05) -> NDArray[np.bool_]:
    """Tell who is named, of whom something is true with these chances, so that so large a share of them is wrong.

    The Bayesian false discovery rate (Newton et al. 2004): the mean chance of being wrong among those named.

    Examples
    --------
    >>> stand_out(np.array([0.999, 0.2, 0.93, 0.8])).tolist()
    [True, False, True, False]
    """
    order = np.argsort(-chance, kind="stable")
    wrong = np.cumsum(1 - chance[order]) / np.arange(1, len(chance) + 1)
    named = np.zeros(len(chance), bool)
    named[order[wrong <= rate]] = True
    return named
