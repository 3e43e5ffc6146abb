"""Spikes: runs of one to three steps that differ from the steps before and after in the same direction.

For a run R and its neighbours N, the statistic is the deviance (twice the log-likelihood ratio) of separate levels
against a common level:

    D = 2 [ℓ(R) + ℓ(N) − ℓ(R ∪ N)]

Here 2 ℓ = 2 Y log(Y / W) for counts and Y² / W for measurements, with effective total Y and exposure W. A change of
level is no spike: the run must differ from each side separately, and from the very next step on each side.

Reference: McCullagh and Nelder 1989, Generalized Linear Models, 2nd edition, chapter 2: deviance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Array = np.ndarray
MAX_SPIKE_STEPS = 3  # a longer deviation is a level
NEIGHBOUR_STEPS = 10  # steps on each side that a run is compared with
SPIKE_DEVIANCE = 12.0  # deviance from which a spike is reported; by chance alone in about 1 of 13 series
ONE_SIDED_SHARE = 0.7  # share of the threshold that the deviance from each side must reach
EDGE_DEVIANCE = 2.0  # deviance from the very next step on each side; otherwise the run is part of a longer one
MIN_EXPOSURE = 1e-300  # keeps quotients and logarithms finite


@dataclass(frozen=True, slots=True)
class Spike:
    """One to three steps that differ from both sides.

    Attributes
    ----------
    position, length
        First step and number of steps.
    deviance
        Deviance from the level of the neighbours.
    """

    position: int
    length: int
    deviance: float


@dataclass(frozen=True, slots=True)
class _Sums:
    """Effective totals and exposures of runs of steps, one element per candidate."""

    total: Array
    exposure: Array

    def __sub__(self, inner: _Sums) -> _Sums:
        return _Sums(self.total - inner.total, self.exposure - inner.exposure)

    def select(self, index: Array) -> _Sums:
        """Return the sums of the selected candidates."""
        return _Sums(self.total[index], self.exposure[index])

    def twice_log_likelihood(self, counts: bool) -> Array:
        """Return twice the maximum log likelihood of one level, up to a constant."""
        exposure = np.maximum(self.exposure, MIN_EXPOSURE)
        if not counts:
            return self.total**2 / exposure
        return 2 * self.total * np.log(np.maximum(self.total, MIN_EXPOSURE) / exposure)


def find_spikes(
    totals: Array, exposures: Array, *, counts: bool, threshold: float = SPIKE_DEVIANCE
) -> tuple[Spike, ...]:
    """Find runs of one to three steps that differ from the steps before and after.

    Parameters
    ----------
    totals, exposures
        Effective totals and exposures per step, from `noise.compute_effective_counts`.
    counts
        True for counts, False for a measurement.
    threshold
        Deviance from the ten steps on each side that a spike must exceed.

    Returns
    -------
    tuple of Spike
        In order of position. Of overlapping or adjacent runs only the strongest is returned.

    Notes
    -----
    A run of four steps or more is a level, not a spike. Of spikes within ten steps of each other, each raises the level
    that the other is compared with.

    Examples
    --------
    >>> totals, exposures = np.array([5.0] * 12 + [25.0] + [5.0] * 12), np.full(25, 100.0)
    >>> [(spike.position, spike.length) for spike in find_spikes(totals, exposures, counts=True)]
    [(12, 1)]
    """
    n_steps = len(totals)
    cumulative_totals = np.append(0.0, np.cumsum(totals))
    cumulative_exposures = np.append(0.0, np.cumsum(exposures))

    def sum_between(starts: Array, stops: Array) -> _Sums:
        return _Sums(
            cumulative_totals[stops] - cumulative_totals[starts],
            cumulative_exposures[stops] - cumulative_exposures[starts],
        )

    start, stop, window_start, window_stop = _candidate_runs(n_steps)
    run = sum_between(start, stop)
    window = sum_between(window_start, window_stop)
    neighbours = window - run
    separate = run.twice_log_likelihood(counts) + neighbours.twice_log_likelihood(counts)
    deviance = separate - window.twice_log_likelihood(counts)
    strong = np.flatnonzero((deviance > threshold) & (run.exposure > 0))
    if not len(strong):
        return ()
    start, stop = start[strong], stop[strong]
    # Four comparisons per run: the steps before and after, then the single step before and after.
    side_starts = np.stack([window_start[strong], stop, np.maximum(start - 1, 0), stop])
    side_stops = np.stack([start, window_stop[strong], start, np.minimum(stop + 1, n_steps)])
    sides = sum_between(side_starts, side_stops)
    one_sided = _one_sided_deviance(run.select(strong), sides, neighbours.select(strong), counts)
    differs_from_sides = one_sided[:2].min(0) > ONE_SIDED_SHARE * threshold
    has_edges = one_sided[2:].min(0) > EDGE_DEVIANCE
    spikes = [
        Spike(int(start[index]), int(stop[index] - start[index]), float(deviance[strong[index]]))
        for index in np.flatnonzero(differs_from_sides & has_edges)
    ]
    return _drop_overlaps(spikes, n_steps)


@lru_cache(maxsize=8)
def _candidate_runs(n_steps: int) -> tuple[Array, ...]:
    """Return start and end of every run short enough to be a spike, and of the window around it; ends are exclusive."""
    runs = [
        (start, start + length) for length in range(1, MAX_SPIKE_STEPS + 1) for start in range(n_steps - length + 1)
    ]
    start, stop = np.array(runs).T
    return start, stop, np.maximum(start - NEIGHBOUR_STEPS, 0), np.minimum(stop + NEIGHBOUR_STEPS, n_steps)


def _one_sided_deviance(run: _Sums, side: _Sums, neighbours: _Sums, counts: bool) -> Array:
    """Return the deviance of the run from one side.

    It is 0 where the run deviates from the side in the other direction than from both sides together. A side without
    exposure does not object: its deviance is infinite.
    """
    direction = np.sign(run.total * side.exposure - side.total * run.exposure)
    overall_direction = np.sign(run.total * neighbours.exposure - neighbours.total * run.exposure)
    pooled = _Sums(run.total + side.total, run.exposure + side.exposure).twice_log_likelihood(counts)
    deviance = run.twice_log_likelihood(counts) + side.twice_log_likelihood(counts) - pooled
    return np.where(side.exposure > 0, np.where(direction == overall_direction, deviance, 0.0), np.inf)


def _drop_overlaps(spikes: list[Spike], n_steps: int) -> tuple[Spike, ...]:
    """Keep the strongest of overlapping and adjacent spikes."""
    strongest_first = sorted(spikes, key=lambda spike: (-spike.deviance, spike.length, spike.position))
    taken = np.zeros(n_steps, bool)
    kept: list[Spike] = []
    for spike in strongest_first:
        stop = spike.position + spike.length
        if not taken[max(spike.position - 1, 0) : stop + 1].any():
            taken[spike.position : stop] = True
            kept.append(spike)
    return tuple(sorted(kept, key=lambda spike: spike.position))
