"""Every way to cut a series into levels, and what each is worth: exact sums, no sampling.

The evidence for K changes is averaged over all ways to place them (Barry and Hartigan 1993; Fearnhead 2006), each
segment's level over a prior of a factor of about 1.6 either way. Averaging instead of maximising gives more power and
an honest date: the posterior of a position is its interval.

A series comes as effective totals and exposures per step: a count with the variance of a Poisson count, or a sum of
values whose variance is the exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, log

import numpy as np

from rca_lib.stats.overdispersion import Array

SHORTEST = 4  # steps of the shortest segment: what is shorter is a burst
LEVELS_VARIANCE = 0.25  # of a level's logarithm around the pooled one: a factor of 1.6 either way
NEXT = 0.9  # log Bayes factor that each further change must add
FURTHER = 3  # changes summed over beyond those of the best cut
MOST = 16  # changes tried in a measurement
COVER = 0.95
NEARBY = 20  # a date is put where the most posterior lies within this part of the series, either way


@dataclass(frozen=True, slots=True)
class Shift:
    """A change: the first step of the new level (step) or of the slope (drift), and the first and last it may be."""

    position: int
    low: int
    high: int
    kind: str = "step"


@dataclass(frozen=True, slots=True)
class Cuts:
    """Every way to cut a series into levels.

    `weights` is the evidence of one level on [row, column), `forward[k]` that of all cuts by k changes of the steps
    before each; both are relative to the best cut of those steps, which for the whole series is worth `best` (a
    logarithm, against no change).
    """

    weights: Array
    forward: list[Array]
    best: float


def weigh_segments(totals: Array, exposures: Array, *, counts: bool) -> Array:
    """Return the log evidence of one level on each [row, column) against the pooled level; −inf where too short.

    A segment weighs as much as it is long: cuts of the series into short pieces are the less likely beforehand.
    """
    rows, columns, lengths = _spans(len(totals))
    sums, weights = np.r_[0, np.cumsum(totals)], np.r_[0, np.cumsum(exposures)]
    total, weight = sums[columns] - sums[rows], weights[columns] - weights[rows]
    pooled, spread = level_prior(totals, exposures, counts=counts)
    if counts:
        shape = 1 / spread
        posterior = shape + total
        found = _log_gamma(posterior) - posterior * np.log1p(weight * (pooled / shape))
        found += weight * pooled - total * np.log(shape) - _log_gamma(np.array(shape))
    else:
        deviation = total - weight * pooled
        found = (spread * deviation**2 / (1 + spread * weight) - np.log1p(spread * weight)) / 2
    segments = np.full((len(sums), len(sums)), -np.inf)
    segments[rows, columns] = found + lengths
    return segments


@lru_cache(maxsize=8)
def _spans(steps: int) -> tuple[Array, Array, Array]:
    """Return of every segment that is long enough its first step, the step after its last, and its log weight."""
    rows, columns = np.triu_indices(steps + 1, SHORTEST)
    return rows, columns, np.log((columns - rows) / steps**2)


def level_prior(totals: Array, exposures: Array, *, counts: bool) -> tuple[float, float]:
    """Return the pooled level and the prior variance of levels around it (of their logarithm, for counts)."""
    weight = max(exposures.sum(), 1e-12)
    if counts:
        return max(totals.sum(), 0.5) / weight, LEVELS_VARIANCE
    pooled = totals.sum() / weight
    kept = exposures > 0
    variance = np.square(totals[kept] / exposures[kept] - pooled).mean() if kept.any() else 0.0
    return pooled, max(float(variance), 1 / weight)


def _log_gamma(value: Array) -> Array:
    """Stirling's series: exact to 1e-6 from 4 on, several times faster than the exact function."""
    inverse = 1 / value
    return (value - 0.5) * np.log(value) - value + 0.9189385332046727 + inverse / 12 - inverse * inverse * inverse / 360


def cut_series(segments: Array, *, least: int = 0) -> Cuts:
    """Sum the evidence of all cuts by 0, 1, 2 … changes (`least` at least), relative to the best: nothing overflows."""
    steps, best, rounds = len(segments) - 1, segments[0], 0
    while True:
        better = np.maximum(best, np.maximum.reduce(best[:, None] + segments, 0))
        if np.array_equal(better, best):
            break
        best, rounds = better, rounds + 1
    best = np.append(0.0, best[1:])
    weights = np.exp(segments + best[:, None] - np.where(np.isfinite(best), best, 0.0))
    forward = [weights[0]]
    while len(forward) <= max(rounds + FURTHER, least) and (len(forward) + 1) * SHORTEST <= steps:
        forward.append(forward[-1] @ weights)
    return Cuts(weights, forward, float(best[-1] - segments[0, -1]) if steps >= SHORTEST else 0.0)


def judge_cuts(cuts: Cuts, price: float) -> Array:
    """Return the log Bayes factor of 0, 1, 2 … changes against none, less their price."""
    steps, found = len(cuts.weights) - 1, [0.0]
    for changes in range(1, len(cuts.forward)):
        evidence = log(max(float(cuts.forward[changes][-1]), 1e-300)) - _log_weight(steps, changes)
        found.append(evidence + cuts.best - price - NEXT * (changes - 1))
    return np.array(found)


@lru_cache(maxsize=4096)
def _log_weight(steps: int, changes: int) -> float:
    """Return the log weight of all cuts of a series by so many changes together, over that of no cut.

    The sum of the products of the lengths is the coefficient of x to the `free` in ((s − (s − 1) x) / (1 − x)²) to the
    number of pieces, where s is the shortest.
    """
    pieces = changes + 1
    free = steps - pieces * SHORTEST
    drawn = range(min(pieces, free) + 1)
    least = [comb(pieces, one) * SHORTEST ** (pieces - one) * (1 - SHORTEST) ** one for one in drawn]
    rest = [comb(free - one + 2 * pieces - 1, 2 * pieces - 1) for one in drawn]
    return log(sum(one * other for one, other in zip(least, rest, strict=True))) - (2 * changes + 1) * log(steps)


def place_shifts(cuts: Cuts, scores: Array) -> tuple[Shift, ...]:
    """Date the changes, their number averaged over: each date is more likely than not to have a change nearby.

    The first is there in any case where a change scores above none. The intervals are those of as many changes.
    """
    if scores.max() <= 0:
        return ()
    odds = np.exp(scores[1:] - scores[1:].max())
    odds /= odds.sum()
    left = sum(odds[one] * sum(date_changes(cuts, one + 1)) for one in np.flatnonzero(odds > 0.01))
    steps, places = np.arange(len(left)), []
    reach = max(1, len(left) // NEARBY)
    while reach and np.convolve(left, np.ones(2 * reach + 1), "same").max() > 1.5:
        reach //= 2  # so that "nearby" never holds two changes
    while len(places) < len(scores) - 1:
        place = int(np.argmax(np.convolve(left, _bump(reach), "same")))
        if places and left[max(place - reach, 0) : place + reach + 1].sum() < 0.5:
            break
        places.append(place)
        nearest = np.argsort(np.abs(steps - place), kind="stable")
        before = np.append(0.0, np.cumsum(left[nearest])[:-1])
        left[nearest] -= np.clip(1 - before, 0, left[nearest])
        left[max(place - SHORTEST + 1, 0) : place + SHORTEST] = 0.0
    dated = zip(sorted(places), date_changes(cuts, len(places)), strict=True)
    return tuple(date_change(chance, place=place) for place, chance in dated)


def date_changes(cuts: Cuts, changes: int) -> list[Array]:
    """Return the posterior of each change's position, the others averaged over."""
    backward = [cuts.weights[:, -1]]
    for _ in range(changes - 1):
        backward.append(cuts.weights @ backward[-1])
    whole = max(float(cuts.forward[changes][-1]), 1e-300)
    return [cuts.forward[one] * backward[changes - 1 - one] / whole for one in range(changes)]


def date_change(chance: Array, *, place: int | None = None, kind: str = "step") -> Shift:
    """Date a change by the posterior of its position: where most of it lies nearby, and what holds 95 % of it."""
    if place is None:
        place = int(np.argmax(np.convolve(chance, _bump(max(1, len(chance) // NEARBY)), "same")))
    low, high = np.searchsorted(np.cumsum(chance) / max(chance.sum(), 1e-300), [(1 - COVER) / 2, (1 + COVER) / 2])
    return Shift(place, int(min(low, place)), int(max(min(high, len(chance) - 2), place)), kind)


def _bump(reach: int) -> Array:
    return 1 + 0.1 * np.bartlett(2 * reach + 3)[1:-1]


def find_best_paths(segments: Array) -> list[list[int]]:
    """Return the most probable positions of 0, 1, 2 … changes, as many as fit and at most sixteen."""
    best, steps, back, paths = segments[0], len(segments) - 1, [], [[]]
    while len(back) < MOST and (len(back) + 2) * SHORTEST <= steps:
        sums = best[:, None] + segments
        back.append(sums.argmax(0))
        best = sums.max(0)
        path = [int(back[-1][steps])]
        for origins in back[-2::-1]:
            path.insert(0, int(origins[path[0]]))
        paths.append(path)
    return paths
