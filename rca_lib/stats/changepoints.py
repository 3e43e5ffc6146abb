"""Where a series changes its level, tested at a stated false-alarm rate, and whether it stepped or drifted.

The ways to cut the series are weighed in `cuts`; here the noise around them (overdispersion, season, bursts) is
estimated in turns with them, memory from step to step is set against them as a rival, and evidence becomes a p-value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import logsumexp

from rca_lib.stats.cuts import (
    SHORTEST,
    Shift,
    cut_series,
    date_change,
    date_changes,
    find_best_paths,
    judge_cuts,
    level_prior,
    place_shifts,
    weigh_segments,
)
from rca_lib.stats.overdispersion import (
    BURST_DEVIANCE,
    Array,
    Noise,
    add_memory,
    design_effect,
    estimate_noise,
    memory_gain,
    seasonal,
    start_noise,
    weigh_steps,
)

MEMORY, LONG_MEMORY = (0.5, 0.7), (0.5, 0.7, 0.9, 0.97)  # decays a change is weighed against: counts, a measurement
TURNS = 3  # of segments and noise, each given the other
# Log odds of drift against steps from which on a change is called a drift: low, because a drift that is called a step
# is dated far too late, while a step that is called a drift keeps its date.
DRIFT_ODDS = -2.4
# The evidence that series without change reach with these chances: simulated, 150,000 beta-binomial series with plain
# noise, with one spike and with an error a week, correlation 0, 0.005 or 0.02. Down to 0.02 a column holds for each of
# them, further on for plain noise and spikes alike often.
_CHANCES = np.array([1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001])
_SIZES = np.array([12.0, 20, 35, 60, 120, 240, 480, 730])
_TAIL = np.array(
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
SLOPE = 0.7  # fall of the logarithm of the chance per unit of evidence beyond the table


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The changes of a series, the level expected at each step (season left out), and the noise around it.

    `p_value` is the probability of at least this much evidence in a series without change.
    """

    shifts: tuple[Shift, ...]
    p_value: float
    level: Array
    noise: Noise


_Found = tuple[tuple[Shift, ...], Array, Noise, tuple[Array, Array], float]


def find_shifts(
    totals: Array, items: Array | None = None, *, phase: Array | None = None, alpha: float = 0.05
) -> Segmentation:
    """Find the changes of level of a series of errors out of items, or of a measurement.

    `totals` are the errors per step in order of time (or the values), `items` the audits (effective numbers may be
    given; None for a measurement), `phase` each step's place in the season; `alpha` is the probability of naming any
    change in a series without change. It cannot see a level that lasts fewer than four steps.

    Examples
    --------
    >>> errors, items = np.r_[np.full(30, 5.0), np.full(30, 12.0)], np.full(60, 100.0)
    >>> find_shifts(errors, items).shifts
    (Shift(position=30, low=..., high=...),)
    """
    found = _segment_values(totals, phase, alpha) if items is None else _segment_counts(totals, items, phase, alpha)
    shifts, level, noise, working, p_value = found
    shifts, level = _name_drifts(shifts, level, *working, counts=items is not None)
    return Segmentation(shifts, p_value, level, noise)


def _segment_counts(totals: Array, items: Array, phase: Array | None, alpha: float) -> _Found:
    noise, level = start_noise(totals, items, phase)
    size = min(len(totals), totals.sum() / design_effect(items, noise.overdispersion) / 2)
    price = _price(alpha, size)
    shifts: tuple[Shift, ...] = ()
    for turn in range(TURNS):
        before = shifts
        working = weigh_steps(totals, items, level, noise, phase)
        cuts = cut_series(weigh_segments(*working, counts=True))
        scores = judge_cuts(cuts, price)
        shifts = place_shifts(cuts, scores)
        if turn and shifts == before:
            break
        level, noise = _fit(totals, items, phase, noise, shifts)
    scores[1:] -= _memory(*working, items, noise)
    if shifts and scores.max() <= 0:
        shifts = ()
        level, _ = _fit(totals, items, phase, noise, shifts)
    fitted = 1 + 1.5 * len(shifts)
    noise = estimate_noise(totals, items, level, fitted, phase, threshold=BURST_DEVIANCE)
    noise = add_memory(noise, totals, items, level, fitted, phase)
    return shifts, level, noise, working, tail_probability(scores[1:].max(initial=-np.inf) + price, size)


def _fit(
    totals: Array, items: Array, phase: Array | None, noise: Noise, shifts: tuple[Shift, ...]
) -> tuple[Array, Noise]:
    """Fit the levels between the shifts, season and bursts as they were known, then the noise around them."""
    level = _levels(*_plain(totals, items, noise, phase), [shift.position for shift in shifts])
    level = np.maximum(level, 0.25 / items.sum())
    return level, estimate_noise(totals, items, level, 1 + 1.5 * len(shifts), phase)


def _memory(totals: Array, exposures: Array, items: Array, noise: Noise) -> float:
    """Return what memory from step to step explains of the series without any change."""
    mean = exposures * totals.sum() / max(exposures.sum(), 1e-12)
    residual = (totals - mean) / np.sqrt(np.maximum(mean, 1e-12))
    chance = float(np.mean(1 / (1 + np.maximum(items - 1, 0) * noise.overdispersion)))
    return memory_gain(residual, MEMORY, floor=chance)


def _segment_values(values: Array, phase: Array | None, alpha: float) -> _Found:
    """Segment a measurement, whose noise is not known beforehand.

    Each number of changes is judged with the spread and the memory that it leaves (profile likelihood, Whittle's for
    the memory), at 1.5 log(steps) a change as in the modified BIC of Zhang and Siegmund (2007).
    """
    noise, level = start_noise(values, None, phase)
    quiet = np.median(np.abs(np.diff(values))) / 0.954  # of the difference of two normal steps: 0.6745 × √2
    quiet = replace(noise, overdispersion=max(float(quiet), noise.overdispersion / 1000))
    paths = find_best_paths(weigh_segments(*weigh_steps(values, None, level, quiet, phase), counts=False))
    plain = _plain(values, None, noise, phase)
    fits = [_levels(*plain, path) for path in paths]
    residuals = [plain[0] - plain[1] * fit for fit in fits]
    steps, tried = len(values), np.arange(len(fits))
    price = _price(alpha, steps)
    scores = np.array([memory_gain(one, LONG_MEMORY) - steps / 2 * np.log(max(one @ one, 1e-24)) for one in residuals])
    scores -= scores[0] + 1.5 * np.log(steps) * tried + np.minimum(tried, 1) * (price - _price(0.05, steps))
    changes = int(np.argmax(scores))
    fitted = 1 + 1.5 * changes
    noise = estimate_noise(values, None, fits[changes], fitted, phase, threshold=BURST_DEVIANCE)
    noise = add_memory(noise, values, None, fits[changes], fitted, phase)
    working = weigh_steps(values, None, fits[changes], noise, phase)
    dates = date_changes(cut_series(weigh_segments(*working, counts=False), least=changes), changes)
    shifts = tuple(date_change(chance, place=place) for place, chance in zip(paths[changes], dates, strict=True))
    level = _levels(*_plain(values, None, noise, phase), paths[changes])
    return shifts, level, noise, working, tail_probability(scores[1:].max(initial=-np.inf) + price, steps)


def _levels(totals: Array, exposures: Array, positions: list[int]) -> Array:
    """Return each step's level: total over exposure of its segment."""
    edges = [0, *positions, len(totals)]
    levels = [totals[start:stop].sum() / max(exposures[start:stop].sum(), 1e-12) for start, stop in pairwise(edges)]
    return np.repeat(levels, np.diff(edges))


def tail_probability(evidence: float, size: float) -> float:
    """Probability that a series without change gives at least this evidence.

    `size` is the number of steps, or half the effective number of errors where that is less. Simulated for counts, see
    `_TAIL`; beyond one in a thousand the fall per unit is held at its least. For a measurement it is an upper bound:
    fewer series without change are named than alpha says.
    """
    if not np.isfinite(evidence):
        return 1.0
    row = _tail_row(size)
    beyond = SLOPE * max(evidence - row[-1], 0.0)
    return float(np.exp(np.interp(evidence, row, np.log(_CHANCES)) - beyond))


def _price(alpha: float, size: float) -> float:
    """Return the evidence whose tail probability is alpha."""
    inside = float(np.interp(-np.log(alpha), -np.log(_CHANCES), _tail_row(size)))
    return inside + max(np.log(_CHANCES[-1] / alpha), 0.0) / SLOPE


def _tail_row(size: float) -> Array:
    """Return the row of `_TAIL` for a size, between the rows in the logarithm of the size."""
    place = np.interp(np.log(max(size, 1.0)), np.log(_SIZES), np.arange(len(_SIZES)))
    row = min(int(place), len(_SIZES) - 2)
    return _TAIL[row] + (place - row) * (_TAIL[row + 1] - _TAIL[row])


def _plain(totals: Array, items: Array | None, noise: Noise, phase: Array | None) -> tuple[Array, Array]:
    """Return totals and exposures without season and bursts, weighed equally."""
    season = seasonal(noise, phase, counts=items is not None)
    if items is None:
        return (totals - season) * noise.kept, noise.kept.astype(float)
    return totals * noise.kept, items * season * noise.kept


def _name_drifts(
    shifts: tuple[Shift, ...], level: Array, totals: Array, exposures: Array, *, counts: bool
) -> tuple[tuple[Shift, ...], Array]:
    """Name steps in one direction a drift to the end of their span unless the evidence for steps is much greater.

    Where it is somewhat greater the drift keeps the date of the step, and the interval spans both.
    """
    named, level = [], level.copy()
    for group, start, stop in _staircases(shifts, level):
        span = slice(start, stop)
        onsets, evidence, ramps = _fit_ramps(totals[span], exposures[span], counts=counts)
        stairs = judge_cuts(cut_series(weigh_segments(totals[span], exposures[span], counts=counts)), 0.0)
        gain = logsumexp(evidence) - np.log(len(onsets)) - stairs[1:].max() if len(onsets) else -np.inf
        if gain < (DRIFT_ODDS if len(group) == 1 else 0.0):
            named += group
            continue
        chance = np.zeros(len(level))
        chance[onsets + start] = np.exp(evidence - evidence.max())
        drift = date_change(chance, kind="drift")
        level[span] = ramps[np.argmax(evidence)]
        if gain < 0:
            low, high = min(drift.low, group[0].low), max(drift.high, group[0].high)
            drift = Shift(group[0].position, low, high, "drift")
        named.append(drift)
    return tuple(named), level


def _staircases(shifts: tuple[Shift, ...], level: Array) -> list[tuple[list[Shift], int, int]]:
    """Group neighbouring shifts that go the same way; each group with the first step and the end of its span."""
    edges = [0, *(shift.position for shift in shifts), len(level)]
    ways = [bool(level[shift.position] > level[shift.position - 1]) for shift in shifts]
    breaks = [0, *(place for place in range(1, len(ways)) if ways[place] != ways[place - 1]), len(ways)]
    return [(list(shifts[one:two]), edges[one], edges[two + 1]) for one, two in pairwise(breaks) if two > one]


def _fit_ramps(totals: Array, exposures: Array, *, counts: bool) -> tuple[Array, Array, Array]:
    """Fit a flat level, then a slope to the end (of the log for counts), for every onset.

    Returns the onsets, their log evidence against the pooled level (Laplace's approximation) and their levels.
    """
    steps = len(totals)
    onsets = np.arange(SHORTEST, steps - 3 * SHORTEST, max(1, steps // 50))
    ramp = np.clip((np.arange(steps) - onsets[:, None]) / (steps - 1 - onsets[:, None]), 0, 1)
    pooled, spread = level_prior(totals, exposures, counts=counts)
    pooled, limit = (np.log(pooled), 2.0) if counts else (pooled, np.inf)
    base, slope = np.full(len(onsets), pooled), np.zeros(len(onsets))
    for _ in range(5 if counts else 2):
        line = base[:, None] + slope[:, None] * ramp
        mean = exposures * (np.exp(line) if counts else line)
        weight = mean if counts else np.broadcast_to(exposures, line.shape)
        first = (totals - mean).sum(1) - (base - pooled) / spread
        second = ((totals - mean) * ramp).sum(1) - slope / (2 * spread)
        one, both, two = weight.sum(1) + 1 / spread, (weight * ramp).sum(1), (weight * ramp**2).sum(1) + 0.5 / spread
        determinant = one * two - both**2
        base = base + np.clip((two * first - both * second) / determinant, -limit, limit)
        slope = slope + np.clip((one * second - both * first) / determinant, -limit, limit)
    line = base[:, None] + slope[:, None] * ramp
    level = np.exp(line) if counts else line
    gain = totals * (line - pooled) - exposures * ((level - np.exp(pooled)) if counts else (line**2 - pooled**2) / 2)
    penalty = ((base - pooled) ** 2 + slope**2 / 2) / spread + np.log(2 * spread**2 * determinant)
    return onsets, gain.sum(1) - penalty / 2, level
