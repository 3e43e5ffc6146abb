# Tested in tests/questions/test_trend.py.
"""Estimates from a segmentation: levels with intervals, nearest events, confirmation of recent changes, and power.

The level of a segment of counts has Wilson's interval on effective counts. Errors and items are divided by the design
effect: overdispersion within steps, times the variance inflation from autocorrelation. A measurement has a normal
interval. Differences between rates use the hybrid score interval (Newcombe 1998).

The minimum detectable change between two halves of n steps has 80 % power. The search over positions costs about
4 log n comparisons, so that the critical value is the normal quantile at alpha / (8 log n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from rca_lib.findings import Estimate, Quantity, Rate
from rca_lib.stats.changepoints.noise import NoiseModel, apply_season, compute_design_effect
from rca_lib.stats.changepoints.records import Confirmation, Level, LevelChange, NearbyEvent, Outlier, Trend, TrendStep
from rca_lib.stats.changepoints.search import Segmentation, find_changepoints
from rca_lib.stats.changepoints.segmentation import MIN_SEGMENT_STEPS
from rca_lib.stats.changepoints.series import ONE_DAY, compute_season_phase, format_times, parse_events
from rca_lib.stats.proportions import subtract_rates, wilson_interval

RECENT_STEPS = 7  # a change is recent, and unconfirmed, until so many steps have followed it
EVENT_WINDOW_DAYS = 14  # days (or units of a numeric time) within which an event counts as near
MAX_EVENTS = 3  # events reported per change
Z_95 = 1.959964  # normal quantile of a two-sided 95 % interval
POWER = 0.8
DRIFT_LEVEL_SHARE = 4  # the level after a drift is that of its last quarter
STEPS_FOR_ITEMS = 4 * RECENT_STEPS  # last steps whose items predict those of the next steps
MIN_BINOMIAL_VARIANCE = 1e-9  # keeps power finite where a level is 0 or 1
THRESHOLD_DIGITS = 9  # digits of a threshold that survive rounding errors

Season = Literal["auto"] | int | None
SeriesArrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # times, totals, items (None: a measurement)


@dataclass(frozen=True, slots=True)
class _FittedSeries:
    """A series with its segmentation; `expected` is the level of each step, season included."""

    times: np.ndarray
    totals: np.ndarray
    items: np.ndarray | None
    segmentation: Segmentation
    expected: np.ndarray

    @property
    def noise(self) -> NoiseModel:
        """Return the noise around the level."""
        return self.segmentation.noise


def validate_probability(name: str, value: float) -> None:
    """Check that a value is a probability between 0 and 1.

    Parameters
    ----------
    name
        Name of the parameter, for the message.
    value
        The value.

    Returns
    -------
    None

    Raises
    ------
    ValueError
        If the value is not strictly between 0 and 1.

    Examples
    --------
    >>> validate_probability("alpha", 5)
    Traceback (most recent call last):
    ValueError: alpha 5 is not between 0 and 1
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} {value} is not between 0 and 1")


def extract_arrays(series: pd.DataFrame) -> SeriesArrays:
    """Return times, totals and items of a series.

    Parameters
    ----------
    series
        Result of `series.validate_series` for one series.

    Returns
    -------
    times, totals, items
        Arrays of one element per step; `items` is None for a measurement.
    """
    items = series["items"].to_numpy(float) if "items" in series else None
    return series["time"].to_numpy(), series["total"].to_numpy(float), items


def segment_series(arrays: SeriesArrays, *, alpha: float, season: Season) -> Segmentation:
    """Search a series for changes; if most items are errors, the correct items are searched instead.

    Parameters
    ----------
    arrays
        Times, totals and items, from `extract_arrays`.
    alpha
        Probability of reporting any change in a series without change.
    season
        "auto", a period in steps, or None; see `series.compute_season_phase`.

    Returns
    -------
    Segmentation
        Changes and noise. If correct items were searched, its level is that of the correct items.
    """
    times, totals, items = arrays
    searched = items - totals if _is_mirrored(totals, items) else totals
    return find_changepoints(searched, items, phase=compute_season_phase(times, season), alpha=alpha)


def _is_mirrored(totals: np.ndarray, items: np.ndarray | None) -> bool:
    """Return whether most items are errors, so that the correct items are searched."""
    return items is not None and totals.sum() > items.sum() / 2


def build_trend(
    arrays: SeriesArrays,
    segmentation: Segmentation,
    *,
    alpha: float,
    season: Season,
    events: pd.DataFrame | None = None,
) -> Trend:
    """Turn the segmentation of a series into a trend.

    Parameters
    ----------
    arrays
        Times, totals and items, from `extract_arrays`.
    segmentation
        Result of `segment_series` for the same arrays.
    alpha, season
        As in `segment_series`.
    events
        One row per event: `start` and `title`.

    Returns
    -------
    Trend
        Changes, spikes, steps and power.
    """
    times, totals, items = arrays
    noise = segmentation.noise
    expected = apply_season(items, segmentation.level, noise, compute_season_phase(times, season))
    if _is_mirrored(totals, items):
        expected = 1 - expected
    series = _FittedSeries(times, totals, items, segmentation, expected)
    labels = format_times(times)
    parsed_events = [] if events is None else parse_events(events, dated=times.dtype.kind == "M")
    n_changes = len(segmentation.changepoints)
    return Trend(
        changes=tuple(_build_change(series, labels, parsed_events, index) for index in range(n_changes)),
        outliers=tuple(_build_outlier(series, labels, spike.position, spike.length) for spike in noise.spikes),
        steps=_build_steps(series, labels),
        alpha=alpha,
        p_value=segmentation.p_value,
        overdispersion=noise.overdispersion,
        variance_inflation=noise.variance_inflation,
        season=noise.season,
        minimum_detectable=_minimum_detectable_change(series, alpha),
        calendar=tuple(parsed_events),
    )


def build_single_step_trend(arrays: SeriesArrays, *, alpha: float) -> Trend:
    """Return the trend of a series of one step, which has no change to date.

    Parameters
    ----------
    arrays
        Times, totals and items of one step, from `extract_arrays`.
    alpha
        As in `segment_series`; it is only recorded.

    Returns
    -------
    Trend
        A trend without changes; the smallest detectable change is the largest possible one.
    """
    times, totals, items = arrays
    value = totals / items if items is not None else totals
    noise = NoiseModel(0.0, 1.0, (), np.ones(1, bool), ())
    series = _FittedSeries(times, totals, items, Segmentation((), 1.0, value, noise), value)
    undetectable = Quantity(1.0, unit="pp") if items is not None else Quantity(float("inf"))
    steps = _build_steps(series, format_times(times))
    return Trend((), (), steps, alpha, 1.0, 0.0, 1.0, (), undetectable)


def _build_change(series: _FittedSeries, labels: list, events: list, index: int) -> LevelChange:
    """Estimate the levels around a change, its difference and its nearest events."""
    changepoints = series.segmentation.changepoints
    n_steps = len(labels)
    changepoint = changepoints[index]
    position = changepoint.position
    start = changepoints[index - 1].position if index else 0
    stop = changepoints[index + 1].position if index + 1 < len(changepoints) else n_steps
    after_start = position
    if changepoint.kind == "drift":
        after_start = stop - max(MIN_SEGMENT_STEPS, (stop - position) // DRIFT_LEVEL_SHARE)
    before = _estimate_level(series, start, max(position, start + 1))
    after = _estimate_level(series, max(after_start, 0), stop)
    steps_since = n_steps - position
    recent = steps_since < RECENT_STEPS
    return LevelChange(
        position=position,
        time=labels[position],
        interval=(changepoint.low, changepoint.high),
        time_interval=(labels[changepoint.low], labels[changepoint.high]),
        kind=changepoint.kind,
        before=before,
        after=after,
        difference=_subtract_levels(after, before),
        p_value=series.segmentation.p_value,
        recent=recent,
        confirmation=_plan_confirmation(series, before, after, RECENT_STEPS - steps_since) if recent else None,
        events=_find_nearest_events(series.times, events, position, changepoint.low, changepoint.high),
    )


def _find_nearest_events(
    times: np.ndarray, events: list, position: int, low: int, high: int
) -> tuple[NearbyEvent, ...]:
    """Return the events near the date interval, nearest first; of two equally near, the earlier first."""
    unit = ONE_DAY if times.dtype.kind == "M" else 1.0
    window = EVENT_WINDOW_DAYS * unit
    nearby = [
        NearbyEvent(
            title=title,
            time=format_times(np.array([start]))[0],
            distance=float((start - times[position]) / unit),
            in_interval=bool(times[low] <= start <= times[high]),
        )
        for start, title in events
        if times[low] - window <= start <= times[high] + window
    ]
    return tuple(sorted(nearby, key=lambda event: (abs(event.distance), event.distance))[:MAX_EVENTS])


def _plan_confirmation(series: _FittedSeries, before: Level, after: Level, min_steps: int) -> Confirmation | None:
    """Find the smallest number of further steps, at least `min_steps`, that confirms the change with 80 % power."""
    noise = series.noise
    n_steps = len(series.times)
    sign = 1.0 if after.value > before.value else -1.0
    steps = np.arange(max(min_steps, 1), max(n_steps, min_steps) + 1)
    standard_error = (before.high - before.low) / (2 * Z_95)
    if series.items is not None:
        last_items = series.items[series.items > 0][-STEPS_FOR_ITEMS:]
        items = steps * float(last_items.mean())
        design_effect = compute_design_effect(last_items, noise.overdispersion) * noise.variance_inflation
        variance_before, variance_after = (
            max(level.value * (1 - level.value), MIN_BINOMIAL_VARIANCE) * design_effect for level in (before, after)
        )
    else:
        items = steps.astype(float)
        variance_before = variance_after = noise.overdispersion**2 * noise.variance_inflation
    limit = before.value + sign * Z_95 * np.sqrt(variance_before / items + standard_error**2)
    counts = series.items is not None
    if counts:
        limit = (np.ceil if sign > 0 else np.floor)(limit * items + sign / 2) / items
    power = ndtr(sign * (after.value - limit) / np.sqrt(variance_after / items))
    sufficient = np.flatnonzero((power >= POWER) & ((limit >= 0) | (not counts)))
    if not len(sufficient):
        return None
    index = int(sufficient[0])
    threshold = limit[index] * (items[index] if counts else 1)
    rounded = float(np.round(threshold, THRESHOLD_DIGITS))
    return Confirmation(int(steps[index]), float(items[index]), rounded, sign > 0)


def _estimate_level(series: _FittedSeries, start: int, stop: int) -> Level:
    """Estimate the level of these steps, without spikes unless there is nothing else."""
    included = series.noise.included[start:stop]
    steps = np.arange(start, stop)[included if included.any() else np.ones(stop - start, bool)]
    noise = series.noise
    totals = series.totals[steps]
    if series.items is None:
        mean = float(totals.mean())
        margin = Z_95 * noise.overdispersion * np.sqrt(noise.variance_inflation / len(steps))
        return Estimate(mean, mean - margin, mean + margin)
    items = series.items[steps]
    errors, n_items = float(totals.sum()), float(items.sum())
    design_effect = compute_design_effect(items, noise.overdispersion) * noise.variance_inflation
    value = errors / n_items if n_items else float("nan")
    low, high = wilson_interval(errors / design_effect, n_items / design_effect)
    return Rate(errors, n_items, value, low, high, method="Wilson, overdispersed")


def _subtract_levels(after: Level, before: Level) -> Estimate:
    """Return `after` minus `before` with its interval."""
    if isinstance(after, Rate) and isinstance(before, Rate):
        return subtract_rates(after, before)
    margin = np.hypot((after.high - after.low) / 2, (before.high - before.low) / 2)
    value = after.value - before.value
    return Estimate(value, float(value - margin), float(value + margin))


def _build_outlier(series: _FittedSeries, labels: list, position: int, length: int) -> Outlier:
    """Estimate the level of a spike and its difference from the expected level."""
    value = _estimate_level(series, position, position + length)
    expected = float(series.expected[position : position + length].mean())
    unit = "pp" if isinstance(value, Rate) else ""
    difference = Estimate(value.value - expected, value.low - expected, value.high - expected, unit)
    return Outlier(position, labels[position], length, value, expected, difference)


def _build_steps(series: _FittedSeries, labels: list) -> tuple[TrendStep, ...]:
    """Return each step with its Wilson interval (measurement: 1.96 standard deviations)."""
    totals = series.totals
    if series.items is None:
        margin = Z_95 * series.noise.overdispersion
        columns = totals, totals - margin, totals + margin
    else:
        columns = _wilson_intervals(totals, series.items)
    rows = np.column_stack([*columns, series.expected]).tolist()
    return tuple(TrendStep(label, *row) for label, row in zip(labels, rows, strict=True))


def _wilson_intervals(errors: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rate, lower and upper limit of each step; NaN where a step has no items."""
    positive = np.where(items > 0, items, np.nan)
    scale = 1 + Z_95**2 / positive
    centre = (errors + Z_95**2 / 2) / positive / scale
    binomial_variance = np.maximum(errors * (positive - errors) / positive, 0)
    margin = Z_95 / scale * np.sqrt(binomial_variance + Z_95**2 / 4) / positive
    rate = errors / positive
    return rate, np.clip(centre - margin, 0, rate), np.clip(centre + margin, rate, 1)


def _minimum_detectable_change(series: _FittedSeries, alpha: float) -> Quantity:
    """Return the change between the halves of the series that is detected with 80 % power."""
    n_steps = len(series.times)
    noise = series.noise
    quantiles = -ndtri(alpha / (8 * np.log(max(n_steps, 3)))) + ndtri(POWER)
    if series.items is None:
        return Quantity(float(quantiles * noise.overdispersion * np.sqrt(noise.variance_inflation * 4 / n_steps)))
    n_items = series.items.sum()
    rate = min(max(series.totals.sum(), 0.5) / n_items, 0.5)
    effective_items = n_items / compute_design_effect(series.items, noise.overdispersion) / noise.variance_inflation
    return Quantity(float(min(quantiles * np.sqrt(4 * rate * (1 - rate) / effective_items), 1.0)), unit="pp")
