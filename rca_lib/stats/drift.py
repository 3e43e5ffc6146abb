"""What moves without being news: raters who drift, slices that wander, cells that scatter."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from rca_lib.stats.cells import Array, Cells, moments

CAP = 6.25  # squared scores count so much at most, so that one rater who changed does not pass for the drift of all
CALM = 1.2  # slices that scatter by no more than this factor beyond chance do not wander
TOLD = 2.0  # the information from which on a cell tells about scatter


def find_drift(tops: Array, spread: Array, rises: Array, margin: float) -> float:
    """Return the variance of the log odds by which people drift, taken `margin` standard errors high.

    `tops` are their squared errors beyond those expected, `spread` the variance of these without drift, `rises` how
    much that grows per unit of drift.
    """
    surplus = partial(_surplus, tops, spread, rises, margin)
    if surplus(0.0) <= 0:
        return 0.0
    return 9.0 if surplus(9.0) > 0 else brentq(surplus, 0.0, 9.0, xtol=1e-5)


def _surplus(tops: Array, spread: Array, rises: Array, margin: float, variance: float) -> float:
    """Return how far the squared scores, weighted by what they tell, pass what this much drift explains."""
    weights = rises / (spread + variance * rises)
    surplus = np.minimum(tops / (spread + variance * rises), CAP) - chi2.cdf(CAP, 3) - CAP * chi2.sf(CAP, 1)
    return float(weights @ surplus + margin * np.sqrt(2 * np.square(weights).sum()))


def find_wandering(shift: Array, error: Array, *, calm: float = CALM) -> float:
    """Return by how much (variance of the log odds) slices wander beyond chance, about what they share.

    The middle half of the slices decides, so that a few that changed do not pass for the wandering of all; a spread of
    up to `calm` times chance is taken for chance.
    """
    if len(shift) < 20:
        return 0.0
    shift = shift - np.median(shift[error <= np.median(error)])

    def spread(variance: float) -> float:
        low, high = np.quantile(shift / np.sqrt(error**2 + variance), (0.25, 0.75))
        return float((high - low) / (norm.ppf(0.75) - norm.ppf(0.25)))

    if spread(0.0) <= calm:
        return 0.0
    return 9.0 if spread(9.0) > 1 else brentq(lambda variance: spread(variance) - 1, 0.0, 9.0, xtol=1e-8)


def thin_cells(cells: Cells, chance: Array) -> Cells:
    """Count cells that scatter beyond chance as fewer audits, as many as tell the same of what cells share.

    The scatter is one variance of the log odds for all cells, judged by the middle half of those that tell enough;
    where cells hold few audits each it cannot be seen, and does not matter.
    """
    info, noise, gap = moments(cells, chance)
    told = np.flatnonzero(info >= TOLD)
    scatter = find_wandering(gap[told] / info[told], np.sqrt(noise[told]) / info[told])
    if scatter == 0:
        return cells
    thin = 1 / (1 + scatter * np.square(info) / np.maximum(noise, 1e-12))
    items = cells.items * thin
    return Cells(cells.codes, items, cells.errors * thin, items if noise is info else cells.squares * thin)
