"""What moves without being news: raters who drift, slices that wander, cells that scatter."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, poisson

from rca_lib.stats.cells import Array, Cells, moments

CAP = 6.25  # squared scores count so much at most, so that one rater who changed does not pass for the drift of all
CALM = 1.2  # slices that scatter by no more than this factor beyond chance do not wander
TOLD = 1.0  # the information from which on a cell tells about scatter
CAP_OF_CELLS = 2.25  # the same as CAP for cells, of which one cause may hold very many


def find_drift(
    tops: Array, spread: Array, rises: Array, *, margin: float, cap: float = CAP, usual: Any = None
) -> float:
    """Return the variance of the log odds by which people drift (or cells scatter), `margin` standard errors high.

    `tops` are their squared errors beyond those expected, `spread` the variance of these without drift, `rises` how
    much that grows per unit of drift. Squared scores count up to `cap`; `usual` is what they are then in the mean (that
    of normal ones, where it is not given).
    """
    usual = chi2.cdf(cap, 3) + cap * chi2.sf(cap, 1) if usual is None else usual

    def surplus(variance: float) -> float:
        weights = rises / (spread + variance * rises)
        beyond = np.minimum(tops / (spread + variance * rises), cap) - usual
        return float(weights @ beyond + margin * np.sqrt(2 * np.square(weights).sum()))

    if surplus(0.0) <= 0:
        return 0.0
    return 9.0 if surplus(9.0) > 0 else brentq(surplus, 0.0, 9.0, xtol=1e-5)


def find_wandering(shift: Array, error: Array) -> float:
    """Return by how much (variance of the log odds) slices wander beyond chance, about what they share.

    The middle half of the slices decides, so that a few that changed do not pass for the wandering of all. A spread
    that chance can give so few slices is taken for chance, one beyond it a standard error high.
    """
    if len(shift) < 20:
        return 0.0
    shift = shift - np.median(shift[error <= np.median(error)])

    def spread(variance: float) -> float:
        low, high = np.quantile(shift / np.sqrt(error**2 + variance), (0.25, 0.75))
        return float((high - low) / (norm.ppf(0.75) - norm.ppf(0.25)))

    # The standard error of this spread is 1.17 / √n of it, that of its square twice as much.
    if spread(0.0) <= max(CALM, 1 + 3 / np.sqrt(len(shift))):
        return 0.0
    variance = 9.0 if spread(9.0) > 1 else brentq(lambda variance: spread(variance) - 1, 0.0, 9.0, xtol=1e-8)
    return variance * (1 + 2.3 / np.sqrt(len(shift)))


def thin_cells(cells: Cells, chance: Array, clumps: Array | float = 1.0) -> Cells:
    """Count cells that scatter beyond chance as fewer audits, as many as tell the same of what cells share.

    The scatter is one variance of the log odds for all cells; it is blind to that of cells that tell next to nothing,
    where it does not matter either. `clumps` multiplies the variance of each cell's errors, for items that were judged
    more than once: what these explain is no scatter.
    """
    info, noise, gap = moments(cells, chance)
    same, noise = noise is info, noise * clumps
    told = np.flatnonzero(info >= TOLD)
    counts = np.square(info[told]) / noise[told]
    scatter = find_drift(
        np.square(gap[told]), noise[told], np.square(info[told]), margin=0.0, cap=CAP_OF_CELLS, usual=_usual(counts)
    )
    if scatter == 0:
        return cells
    thin = 1 / (1 + scatter * np.square(info) / np.maximum(noise, 1e-12))
    items = cells.items * thin
    return Cells(cells.codes, items, cells.errors * thin, items if same else cells.squares * thin)


def _usual(means: Array) -> Array:
    """Return the mean of squared scores of Poisson counts, each counted up to `CAP_OF_CELLS`."""
    grid, values = _grid()
    return np.interp(np.log(means), grid, values)


@cache
def _grid() -> tuple[Array, Array]:
    means = np.geomspace(TOLD / 2, 100, 60)
    errors = np.arange(200)[:, None]
    scores = np.minimum(np.square(errors - means) / means, CAP_OF_CELLS)
    return np.log(means), (poisson.pmf(errors, means) * scores).sum(0)
