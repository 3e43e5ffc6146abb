"""What a series does without any change: overdispersion, season, short bursts, memory from step to step.

A series is `totals` (errors, or the values of a measurement) and `items` (audits per step, or None for a measurement).
`level` is the rate or mean expected at each step before the season.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import chdtrc

Array = np.ndarray
MEMORY = 0.7  # the decay of autocorrelation that the inflation assumes; shorter memory is then over-allowed for
LAGS = 6
FREEDOM = 0.1  # log-likelihood that strength and decay must gain for being free
STRENGTHS = (0.15, 0.3, 0.5, 0.75, 0.95, 0.99)  # share of the variance that has memory
BURST_STEPS = 3  # what lasts longer is a level, not a spike
BURST_DEVIANCE = 12.0  # from which a burst is named; chance alone gives one in about 1 of 13 series
MASKED_DEVIANCE = 17.0  # from which its steps weigh nothing: leaving out more costs power and prevents no false alarm
NEIGHBOURS = 10
EDGE_DEVIANCE = 2.0  # against the very next step on each side: else the run is part of a longer one


@dataclass(frozen=True, slots=True)
class Burst:
    """One to three steps that stand out from both sides; `deviance` against the level of their neighbours."""

    position: int
    length: int
    deviance: float


@dataclass(frozen=True, slots=True)
class Noise:
    """How a series varies around its level.

    `overdispersion` is the correlation of two audits of one step (counts) or the standard deviation (a measurement);
    `inflation` multiplies the variance of long averages for the memory from step to step; `season` is one factor
    (counts) or addition (measurement) per phase, empty where there is none; `kept` is False at the steps of a burst.
    """

    overdispersion: float
    inflation: float
    season: tuple[float, ...]
    kept: Array
    bursts: tuple[Burst, ...]


def weigh_steps(
    totals: Array, items: Array | None, level: Array, noise: Noise, phase: Array | None
) -> tuple[Array, Array]:
    """Return each step's effective total and exposure.

    For counts the effective total has the variance of a Poisson count with the mean `rate × exposure`; for a
    measurement it has the variance `exposure`. Steps of a burst weigh nothing.
    """
    spread = _spread(items, level, noise.overdispersion) * noise.inflation
    season = seasonal(noise, phase, counts=items is not None)
    kept = noise.kept.astype(float)
    if items is None:
        return kept * (totals - season) / spread, kept / spread
    return kept * totals / spread, kept * items * season / spread


def seasonal(noise: Noise, phase: Array | None, *, counts: bool) -> Array | float:
    """Return the season's part at each step: a factor for counts, an addition for a measurement."""
    if phase is None or not noise.season:
        return 1.0 if counts else 0.0
    return np.asarray(noise.season)[phase]


def start_noise(totals: Array, items: Array | None, phase: Array | None) -> tuple[Noise, Array]:
    """Guess noise and level before any change is known: around a moving average, as a robust start."""
    exposure = np.ones(len(totals)) if items is None else items
    window = np.ones(min(25, 2 * (len(totals) // 2) - 1))
    level = np.convolve(totals, window, "same") / np.maximum(np.convolve(exposure, window, "same"), 1e-12)
    if items is not None:
        level = np.maximum(level, 0.25 / items.sum())
    return estimate_noise(totals, items, level, len(totals) / 20, phase), level


def estimate_noise(
    totals: Array, items: Array | None, level: Array, fitted: float, phase: Array | None,
    *, threshold: float = MASKED_DEVIANCE,
) -> Noise:  # fmt: skip
    """Estimate season, bursts and overdispersion around a known level that took `fitted` parameters; no memory yet.

    Overdispersion by moments of the squared residuals (Williams 1982); season shrunken by its own variance, and only
    where a chi-square test rejects at 2 %; bursts from a deviance of `threshold` on.
    """
    everything = np.ones(len(totals), bool)
    rough = _moments(totals, items, level, everything, fitted)
    blank = Noise(rough, 1.0, (), everything, ())
    season = _season(*weigh_steps(totals, items, level, blank, None), level, phase, counts=items is not None)
    blank = Noise(rough, 1.0, season, everything, ())
    working = weigh_steps(totals, items, level, blank, phase)
    bursts = find_bursts(*working, counts=items is not None, threshold=threshold)
    kept = everything.copy()
    for burst in bursts:
        kept[burst.position : burst.position + burst.length] = False
    expected = _expect(items, level, blank, phase)
    overdispersion = _moments(totals, items, expected, kept, fitted + (len(season) - 1 if season else 0))
    return Noise(overdispersion, 1.0, season, kept, bursts)


def add_memory(
    noise: Noise, totals: Array, items: Array | None, level: Array, fitted: float, phase: Array | None
) -> Noise:
    """Return the noise with the inflation that memory from step to step brings.

    It is the long-run variance of an AR(1) of fixed decay, fitted to the first autocorrelations of the residuals, these
    raised by what fitting the level takes from them.
    """
    expected = _expect(items, level, noise, phase)
    fitted += len(noise.season) - 1 if noise.season else 0
    if items is None:
        residual = (totals - expected) * noise.kept
    else:
        spread = items * expected * (1 - np.minimum(expected, 1))
        spread *= 1 + np.maximum(items - 1, 0) * noise.overdispersion
        residual = (totals - items * expected) / np.sqrt(np.maximum(spread, 1e-12)) * noise.kept
    size, square = noise.kept.sum(), residual @ residual
    if size <= LAGS or square <= 0:
        return noise
    lags = range(1, LAGS + 1)
    shape = MEMORY ** np.asarray(lags)
    correlation = np.array([residual[lag:] @ residual[:-lag] for lag in lags]) / square + fitted / size
    strength = (shape @ correlation) / (shape @ shape)
    strength = min(max(strength - 0.5 / np.sqrt((shape @ shape) * size), 0.0), 0.9)
    return replace(noise, inflation=float(1 + 2 * strength * MEMORY / (1 - MEMORY)))


def _expect(items: Array | None, level: Array, noise: Noise, phase: Array | None) -> Array:
    part = seasonal(noise, phase, counts=items is not None)
    return level + part if items is None else level * part


def find_bursts(
    totals: Array, exposures: Array, *, counts: bool, threshold: float = BURST_DEVIANCE
) -> tuple[Burst, ...]:
    """Find runs of one to three steps that differ from the steps before and after; of overlapping ones the strongest.

    A run must differ from the ten steps on each side in the same direction, so that a change of level is no burst.
    """
    size = len(totals)
    sums, weights = (np.append(0.0, np.cumsum(part)) for part in (totals, exposures))
    start, stop, left, right = _runs(size)
    run = sums[stop] - sums[start], weights[stop] - weights[start]
    wide = sums[right] - sums[left], weights[right] - weights[left]
    both = wide[0] - run[0], wide[1] - run[1]
    deviance = (
        log_likelihood(*run, counts=counts)
        + log_likelihood(*both, counts=counts)
        - log_likelihood(*wide, counts=counts)
    )
    strong = np.flatnonzero((deviance > threshold) & (run[1] > 0))
    if not len(strong):
        return ()
    start, stop = start[strong], stop[strong]
    firsts = np.stack([left[strong], stop, np.maximum(start - 1, 0), stop])
    lasts = np.stack([start, right[strong], start, np.minimum(stop + 1, size)])
    run, both = ((one[0][strong], one[1][strong]) for one in (run, both))
    against = _one_sided(run, (sums[lasts] - sums[firsts], weights[lasts] - weights[firsts]), both, counts)
    sharp = (against[:2].min(0) > 0.7 * threshold) & (against[2:].min(0) > EDGE_DEVIANCE)
    found = [
        Burst(int(start[one]), int(stop[one] - start[one]), float(deviance[strong[one]]))
        for one in np.flatnonzero(sharp)
    ]
    return _disjoint(sorted(found, key=lambda burst: (-burst.deviance, burst.length, burst.position)), size)


@lru_cache(maxsize=8)
def _runs(size: int) -> tuple[Array, ...]:
    """Return the first step and the step after the last of each run short enough to be a burst, and of its surround."""
    spans = [(start, start + length) for length in range(1, BURST_STEPS + 1) for start in range(size - length + 1)]
    start, stop = np.array(spans).T
    return start, stop, np.maximum(start - NEIGHBOURS, 0), np.minimum(stop + NEIGHBOURS, size)


def memory_gain(residual: Array, decays: tuple[float, ...], *, floor: float = 0.0) -> float:
    """Return the log-likelihood that memory from step to step gains on independent steps.

    White noise of at least the variance `floor` plus an AR(1) of several strengths and decays, the best of them, by
    Whittle's (1953) likelihood of the periodogram. A change has to explain a series better.
    """
    waves = (len(residual) - 1) // 2
    power = np.abs(np.fft.rfft(residual)[1 : waves + 1]) ** 2 / len(residual)
    if waves < 3 or power.sum() <= 0:
        return 0.0
    cosine = np.cos(2 * np.pi * np.arange(1, waves + 1) / len(residual))
    strength, decay = (grid.reshape(-1, 1) for grid in np.meshgrid((0.0, *STRENGTHS), decays))
    spectra = 1 - strength + strength * (1 - decay**2) / (1 - 2 * decay * cosine + decay**2)
    spectra *= np.maximum((power / spectra).mean(1, keepdims=True), floor / (1 - strength))
    fits = -(np.log(spectra) + power / spectra).sum(1)
    return max(float(fits.max() - fits[0]) - FREEDOM, 0.0)


def design_effect(items: Array, overdispersion: float) -> float:
    """Return the variance of a rate over steps of so many items, over that of as many independent items.

    Examples
    --------
    >>> design_effect(np.array([101.0, 101.0]), 0.01)
    2.0
    """
    weights = items.sum()
    return float((items * (1 + np.maximum(items - 1, 0) * overdispersion)).sum() / weights) if weights else 1.0


def log_likelihood(total: Array, exposure: Array, *, counts: bool) -> Array:
    """Twice the greatest log-likelihood of one level for an effective total and exposure, up to a constant."""
    exposure = np.maximum(exposure, 1e-300)
    if not counts:
        return total**2 / exposure
    return 2 * total * np.log(np.maximum(total, 1e-300) / exposure)


def _spread(items: Array | None, level: Array, overdispersion: float) -> Array:
    """Return the variance of a step over that of a Poisson count (counts), or the variance (measurement)."""
    if items is None:
        return np.full(len(level), max(overdispersion, 1e-12) ** 2)
    return np.maximum(1 - level, 0.02) * (1 + np.maximum(items - 1, 0) * overdispersion)


def _moments(totals: Array, items: Array | None, expected: Array, kept: Array, fitted: float) -> float:
    more = kept.sum() / max(kept.sum() - fitted, 1)
    if items is None:
        return float(np.sqrt(((totals - expected)[kept] ** 2).mean() * more))
    pairs = np.maximum(items - 1, 0)
    variance = np.maximum(items * expected * (1 - np.minimum(expected, 1)), 1e-12)
    above = kept * pairs * ((totals - items * expected) ** 2 * more / variance - 1)
    below = kept * pairs**2
    rho = 0.0
    for _ in range(4):
        weight = 1 / (1 + pairs * rho) ** 2
        rho = min(max(float(weight @ above / max(weight @ below, 1e-12)), 0.0), 0.5)
    return rho


def _season(totals: Array, exposures: Array, level: Array, phase: Array | None, *, counts: bool) -> tuple[float, ...]:
    if phase is None:
        return ()
    period = int(phase.max()) + 1
    information = np.bincount(phase, exposures * level if counts else exposures, period)
    residual = np.bincount(phase, totals - exposures * level, period)
    if information.min() <= 0 or chdtrc(period - 1, (residual**2 / information).sum()) > 0.02:
        return ()
    effect = residual / information
    between = max(np.average(effect**2, weights=information) - period / information.sum(), 0.0)
    effect = effect * between / (between + 1 / information)
    effect = effect - np.average(effect, weights=information)
    return tuple((np.maximum(1 + effect, 0.05) if counts else effect).tolist())


def _deviance(first: tuple[Array, Array], second: tuple[Array, Array], counts: bool) -> Array:
    together = log_likelihood(first[0] + second[0], first[1] + second[1], counts=counts)
    return log_likelihood(*first, counts=counts) + log_likelihood(*second, counts=counts) - together


def _one_sided(run: tuple[Array, Array], side: tuple[Array, Array], both: tuple[Array, Array], counts: bool) -> Array:
    """Deviance against one side where it goes the same way as against both; a side with no steps does not object."""
    same = np.sign(run[0] * side[1] - side[0] * run[1]) == np.sign(run[0] * both[1] - both[0] * run[1])
    return np.where(side[1] > 0, np.where(same, _deviance(run, side, counts), 0.0), np.inf)


def _disjoint(bursts: list[Burst], size: int) -> tuple[Burst, ...]:
    taken, chosen = np.zeros(size, bool), []
    for burst in bursts:
        if not taken[max(burst.position - 1, 0) : burst.position + burst.length + 1].any():
            taken[burst.position : burst.position + burst.length] = True
            chosen.append(burst)
    return tuple(sorted(chosen, key=lambda burst: burst.position))
