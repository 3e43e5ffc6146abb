"""Reading a trend off a segmentation: levels with intervals, nearest events, what would confirm a recent change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from rca_lib.findings import Estimate, Rate
from rca_lib.stats.changepoints import Segmentation, find_shifts
from rca_lib.stats.cuts import SHORTEST
from rca_lib.stats.overdispersion import Noise, design_effect, seasonal
from rca_lib.stats.rates import subtract_rates, wilson
from rca_lib.stats.series import DAY, find_phases, place_events, write_times
from rca_lib.stats.trends import Change, Confirmation, Level, Nearby, Outlier, Step, Trend

RECENT = 7  # a change is recent, and unconfirmed, until so many steps have followed it
NEAR = 14  # days, or units of a time in numbers, from which an event counts as near a change
NORMAL = 1.959964


Season = Literal["auto"] | int | None
Numbers = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # times as NumPy has them, totals, items (None: measurement)


@dataclass(frozen=True, slots=True)
class _Described:
    """A series and what was found in it; `expected` is the level at each step, season included."""

    times: np.ndarray
    totals: np.ndarray
    items: np.ndarray | None
    found: Segmentation
    expected: np.ndarray


def check_chance(name: str, value: float) -> None:
    """Raise ValueError unless the value is a probability between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} {value} is not between 0 and 1")


def take_numbers(series: pd.DataFrame) -> Numbers:
    """Take the numbers of a series that `read_series` has checked."""
    items = series["items"].to_numpy(float) if "items" in series else None
    return series["time"].to_numpy(), series["total"].to_numpy(float), items


def search_series(numbers: Numbers, *, alpha: float, season: Season) -> Segmentation:
    """Search a series for changes; where errors are the rule, the items without error are looked at instead."""
    times, totals, items = numbers
    searched = items - totals if _mirrored(totals, items) else totals
    return find_shifts(searched, items, phase=find_phases(times, season), alpha=alpha)


def _mirrored(totals: np.ndarray, items: np.ndarray | None) -> bool:
    return items is not None and totals.sum() > items.sum() / 2


def describe_trend(
    numbers: Numbers, found: Segmentation, *, alpha: float, season: Season, events: pd.DataFrame | None = None
) -> Trend:
    """Put what was found in a series into records; `events` has `start` and `title`, a row per event."""
    given, totals, items = numbers
    part = seasonal(found.noise, find_phases(given, season), counts=items is not None)
    expected = found.level + part if items is None else found.level * part
    series = _Described(given, totals, items, found, 1 - expected if _mirrored(totals, items) else expected)
    noise, times = found.noise, write_times(given)
    near = [] if events is None else place_events(events, dated=given.dtype.kind == "M")
    return Trend(
        changes=tuple(_describe(series, times, near, index) for index in range(len(found.shifts))),
        outliers=tuple(_describe_spike(series, times, burst.position, burst.length) for burst in noise.bursts),
        steps=_steps(series, times),
        alpha=alpha,
        p_value=found.p_value,
        overdispersion=noise.overdispersion,
        inflation=noise.inflation,
        season=noise.season,
        minimum_detectable=_minimum_detectable(series, alpha),
    )


def describe_step(numbers: Numbers, *, alpha: float) -> Trend:
    """Put a series of one step into a record: there is no other step to tell a change from."""
    times, totals, items = numbers
    value = totals / items if items is not None else totals
    noise = Noise(0.0, 1.0, (), np.ones(1, bool), ())
    series = _Described(times, totals, items, Segmentation((), 1.0, value, noise), value)
    unseen = Estimate(1.0, unit="pp") if items is not None else Estimate(float("inf"))
    return Trend((), (), _steps(series, write_times(times)), alpha, 1.0, 0.0, 1.0, (), unseen)


def _describe(series: _Described, times: list, near: list, index: int) -> Change:
    shifts, size = series.found.shifts, len(times)
    shift = shifts[index]
    start = shifts[index - 1].position if index else 0
    stop = shifts[index + 1].position if index + 1 < len(shifts) else size
    first = stop - max(SHORTEST, (stop - shift.position) // 4) if shift.kind == "drift" else shift.position
    before, after = _level(series, start, max(shift.position, start + 1)), _level(series, max(first, 0), stop)
    recent = size - shift.position < RECENT
    return Change(
        shift.position, times[shift.position], (shift.low, shift.high), (times[shift.low], times[shift.high]),
        shift.kind, before, after, _subtract(after, before), series.found.p_value, recent,
        _confirm(series, before, after, RECENT - size + shift.position) if recent else None,
        _nearest(series.times, near, shift.position, shift.low, shift.high),
    )  # fmt: skip


def _nearest(times: np.ndarray, near: list, position: int, low: int, high: int) -> tuple[Nearby, ...]:
    """Return the events near the date interval, the nearest to the change first, the later of two equally near last."""
    day = DAY if times.dtype.kind == "M" else 1.0
    found = [
        Nearby(title, *write_times(np.array([start])), float((start - times[position]) / day),
               bool(times[low] <= start <= times[high]))
        for start, title in near
        if times[low] - NEAR * day <= start <= times[high] + NEAR * day
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda event: (abs(event.distance), event.distance))[:3])


def _confirm(series: _Described, before: Level, after: Level, least: int) -> Confirmation | None:
    """Find the least number of further steps, `least` or more, in which the change would show again."""
    noise, size, sign = series.found.noise, len(series.times), 1.0 if after.value > before.value else -1.0
    steps = np.arange(max(least, 1), max(size, least) + 1)
    error = (before.high - before.low) / (2 * NORMAL)
    if series.items is None:
        items, spread = steps.astype(float), (noise.overdispersion**2 * noise.inflation,) * 2
    else:
        usual = series.items[series.items > 0][-4 * RECENT :]
        items = steps * float(usual.mean())
        effect = design_effect(usual, noise.overdispersion) * noise.inflation
        spread = tuple(max(level.value * (1 - level.value), 1e-9) * effect for level in (before, after))
    limit = before.value + sign * NORMAL * np.sqrt(spread[0] / items + error**2)
    if series.items is not None:
        limit = (np.ceil if sign > 0 else np.floor)(limit * items + sign / 2) / items
    power = ndtr(sign * (after.value - limit) / np.sqrt(spread[1] / items))
    enough = np.flatnonzero((power >= 0.8) & ((limit >= 0) | (series.items is None)))
    if not len(enough):
        return None
    best = int(enough[0])
    threshold = limit[best] * (1 if series.items is None else items[best])
    return Confirmation(int(steps[best]), float(items[best]), float(np.round(threshold, 9)), sign > 0)


def _level(series: _Described, start: int, stop: int) -> Level:
    """Estimate the level of these steps, spikes left out where anything else is there."""
    kept = series.found.noise.kept[start:stop]
    chosen = np.arange(start, stop)[kept if kept.any() else np.ones(stop - start, bool)]
    noise, totals = series.found.noise, series.totals[chosen]
    if series.items is None:
        mean, half = float(totals.mean()), NORMAL * noise.overdispersion * np.sqrt(noise.inflation / len(chosen))
        return Estimate(mean, mean - half, mean + half)
    items = series.items[chosen]
    errors, all_items = float(totals.sum()), float(items.sum())
    effect = design_effect(items, noise.overdispersion) * noise.inflation
    value = errors / all_items if all_items else float("nan")
    return Rate(errors, all_items, value, *wilson(errors / effect, all_items / effect), method="Wilson, overdispersed")


def _subtract(after: Level, before: Level) -> Estimate:
    if isinstance(after, Rate) and isinstance(before, Rate):
        return subtract_rates(after, before)
    half = np.hypot((after.high - after.low) / 2, (before.high - before.low) / 2)
    value = after.value - before.value
    return Estimate(value, float(value - half), float(value + half))


def _describe_spike(series: _Described, times: list, position: int, length: int) -> Outlier:
    value = _level(series, position, position + length)
    usual = float(series.expected[position : position + length].mean())
    counts = isinstance(value, Rate)
    difference = Estimate(value.value - usual, value.low - usual, value.high - usual, "pp" if counts else "")
    return Outlier(position, times[position], length, value, usual, difference)


def _steps(series: _Described, times: list) -> tuple[Step, ...]:
    """Give each step its Wilson interval (of a measurement: two standard deviations)."""
    totals, items = series.totals, series.items
    if items is None:
        spread = NORMAL * series.found.noise.overdispersion
        columns = totals, totals - spread, totals + spread
    else:
        some = np.where(items > 0, items, np.nan)
        scale = 1 + NORMAL**2 / some
        middle = (totals + NORMAL**2 / 2) / some / scale
        half = NORMAL / scale * np.sqrt(np.maximum(totals * (some - totals) / some, 0) + NORMAL**2 / 4) / some
        rate = totals / some
        columns = rate, np.clip(middle - half, 0, rate), np.clip(middle + half, rate, 1)
    rows = np.column_stack([*columns, series.expected]).tolist()
    return tuple(Step(time, *row) for time, row in zip(times, rows, strict=True))


def _minimum_detectable(series: _Described, alpha: float) -> Estimate:
    """The change between the halves that has 80 % power; the search over positions costs about 4 log(steps) looks."""
    steps, noise = len(series.times), series.found.noise
    normal = -ndtri(alpha / (8 * np.log(max(steps, 3)))) + ndtri(0.8)
    if series.items is None:
        return Estimate(float(normal * noise.overdispersion * np.sqrt(noise.inflation * 4 / steps)))
    rate = min(max(series.totals.sum(), 0.5) / series.items.sum(), 0.5)
    effective = series.items.sum() / design_effect(series.items, noise.overdispersion) / noise.inflation
    return Estimate(float(min(normal * np.sqrt(4 * rate * (1 - rate) / effective), 1.0)), unit="pp")
