"""Since when? The changes of one series, dated with an interval, told apart from spikes, season and noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from rca_lib.audits.counting import RARE, count_steps, keep_slice
from rca_lib.findings import DataError, Estimate, Finding, Rate, show
from rca_lib.stats.changepoints import SHORTEST, Segmentation, find_shifts
from rca_lib.stats.charts import ControlChart, chart_proportions
from rca_lib.stats.overdispersion import design_effect, seasonal
from rca_lib.stats.rates import subtract_rates, wilson
from rca_lib.stats.series import find_phases, make_fault, read_series

RECENT = 7  # a change is recent, and unconfirmed, until so many steps have followed it
Level = Rate | Estimate
Time = str | float


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its rate (or value) with the interval of that step alone, and the level expected there."""

    time: Time
    value: float
    low: float
    high: float
    expected: float


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the level: `position` is the first step after it, in order of time.

    `interval` and `interval_times` hold the true first step in 95 % of series; `before` and `after` are the levels (a
    drift's last quarter is its after), `difference` is after less before. `p_value` is the probability of as much
    evidence in a series without any change. A `recent` change has fewer than seven steps behind it: unconfirmed.
    """

    position: int
    time: Time
    interval: tuple[int, int]
    interval_times: tuple[Time, Time]
    kind: Literal["step", "drift"]
    before: Level
    after: Level
    difference: Estimate
    p_value: float
    recent: bool


@dataclass(frozen=True, slots=True)
class Outlier:
    """A spike: one to three steps that stand out from both sides; chance alone gives one in about 1 of 13 series."""

    position: int
    time: Time
    length: int
    value: Level
    expected: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Trend:
    """The answer to "since when?" for one series.

    `overdispersion` is the correlation of two audits of one step (the standard deviation, for a measurement);
    `season` holds a factor (an addition) per phase, empty where there is none; `minimum_detectable` is the change,
    between the halves of the series, that would have been named with a probability of 80 %.
    """

    changes: tuple[Change, ...]
    outliers: tuple[Outlier, ...]
    steps: tuple[Step, ...]
    alpha: float
    p_value: float
    overdispersion: float
    inflation: float
    season: tuple[float, ...]
    minimum_detectable: Estimate

    @property
    def unit(self) -> str:
        """Return "%" for a series of rates, nothing for a measurement."""
        return "%" if self.minimum_detectable.unit == "pp" else ""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per change; rates as shares."""
        names = ["position", "time", "earliest", "latest", "kind", "before", "after", "difference", "p_value", "recent"]
        rows = [
            (
                *(change.position, change.time, *change.interval_times, change.kind),
                *(change.before.value, change.after.value, change.difference.value, change.p_value, change.recent),
            )
            for change in self.changes
        ]
        return pd.DataFrame(rows, columns=names)

    def summary(self) -> str:
        """Say in one sentence what changed since when, or what could have been seen."""
        if self.changes:
            return "; ".join(_tell(change) for change in self.changes) + "."
        spikes = f"; {_tell_spikes(self.outliers)}" if self.outliers else ""
        seen = show(self.minimum_detectable.value, self.minimum_detectable.unit)
        return f"No change is shown in {len(self.steps)} steps; one of {seen} half way mostly would be{spikes}."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on each change and each spike; "steady" where there is no change."""
        found = [] if self.changes else [
            Finding(
                "trend", "steady", self.summary(), "not proven", self.minimum_detectable, "minimum_detectable",
                p_value=self.p_value,
            )
        ]  # fmt: skip
        for index, change in enumerate(self.changes):
            grade, path = "likely" if change.recent else "shown", f"changes[{index}].difference"
            since = _since(change.time, *change.interval_times)
            found.append(
                Finding(
                    "trend", change.kind, f"{_tell(change)}.", grade, change.difference, path, since=since,
                    p_value=change.p_value,
                )
            )  # fmt: skip
        for index, outlier in enumerate(self.outliers):
            sentence, path = f"A{_tell_spikes((outlier,))[1:]}.", f"outliers[{index}].difference"
            since = _since(outlier.time, outlier.time, outlier.time)
            found.append(Finding("trend", "spike", sentence, "likely", outlier.difference, path, since=since))
        return tuple(found)


def find_changes(
    counts: pd.DataFrame, *, alpha: float = 0.05, season: Literal["auto"] | int | None = "auto", seed: int = 0
) -> Trend:
    """Find since when the level of a series is what it is.

    Parameters
    ----------
    counts
        One row per time step, in any order: `time` (timestamps, dates, or numbers in order) with `errors` and `items`
        (effective numbers need not be whole; a step without items counts as missing), or with `value`, a measurement.
    alpha
        Probability of naming any change in a series in which nothing changed.
    season
        "auto": day of the week, hour of the day or month of the year, as the steps are; a number: the period in steps;
        None: no season. A season is allowed for only where the series shows one.
    seed
        Not used: nothing is drawn, the false-alarm rate having been simulated once.

    Raises
    ------
    DataError
        If a column is missing or holds what is no number, is negative or has more errors than items; if a step is
        there twice; if there are fewer than two steps or no items at all.

    Notes
    -----
    It cannot see a change that lasts fewer than four steps, tell one in the last three from a spike, or say why: mix,
    sampling and truth change levels too. A rate that wanders for weeks raises more alarms than alpha.

    Examples
    --------
    >>> days = pd.date_range("2026-03-02", periods=40)
    >>> counts = pd.DataFrame({"time": days, "errors": [5] * 20 + [15] * 20, "items": 100})
    >>> find_changes(counts).summary()
    'Stepped up by 10.0 pp to 15.0 % on 22 Mar 2026 (22 Mar 2026 to 22 Mar 2026).'
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    series = read_series(counts)
    phase = find_phases(series["time"], season)
    totals = series["total"].to_numpy(float)
    items = series["items"].to_numpy(float) if "items" in series else None
    mirrored = items is not None and totals.sum() > items.sum() / 2
    found = find_shifts(items - totals if mirrored else totals, items, phase=phase, alpha=alpha)
    part = seasonal(found.noise, phase, counts=items is not None)
    expected = found.level + part if items is None else found.level * part
    expected = 1 - expected if mirrored else expected
    read = _Series([_write_time(time) for time in series["time"]], totals, items, found, expected)
    return Trend(
        changes=tuple(_describe(read, index) for index in range(len(found.shifts))),
        outliers=tuple(_describe_spike(read, burst.position, burst.length) for burst in found.noise.bursts),
        steps=_steps(read),
        alpha=alpha,
        p_value=found.p_value,
        overdispersion=found.noise.overdispersion,
        inflation=found.noise.inflation,
        season=found.noise.season,
        minimum_detectable=_minimum_detectable(read, alpha),
    )


def date_slices(
    audits: Any, slices: Iterable[Any], *, alpha: float = 0.05, step: str = "day", seed: int = 0
) -> tuple[Trend | None, ...]:
    """Find since when for each place: the changes of each slice's own series.

    `audits` has one row per audited decision, with the local `day`; a slice has `where`, a mapping of column to value.
    `alpha` holds for each slice by itself; the rest is as `find_changes` and `count_steps` take it. None stands for a
    slice that has fewer than two steps, or values too rare to be kept apart.
    """
    found = []
    for place in slices:
        apart = RARE not in place.where.values()
        counts = count_steps(keep_slice(audits, place.where), step=step) if apart else ()
        found.append(find_changes(counts, alpha=alpha, seed=seed) if len(counts) > 1 else None)
    return tuple(found)


def make_control_chart(
    counts: pd.DataFrame, *, method: Literal["laney", "p"] = "laney", screened: bool = False
) -> ControlChart:
    """Draw up a p chart or Laney's p′ chart of the steps in order of time; see `chart_proportions`.

    Examples
    --------
    >>> counts = pd.DataFrame({"time": [1, 2, 3, 4], "errors": [5, 4, 6, 30], "items": 100})
    >>> make_control_chart(counts, method="p").signals
    (3,)
    """
    series = read_series(counts)
    if "items" not in series:
        raise DataError("a chart of proportions needs errors and items", column="errors", mend="give errors and items")
    empty = series[series["items"] <= 0]
    if len(empty):
        raise make_fault("a step has no items", "items", empty, "leave the step out")
    return chart_proportions(
        series["total"].to_numpy(float), series["items"].to_numpy(float), method=method, screened=screened
    )


@dataclass(frozen=True, slots=True)
class _Series:
    """The series as read, what was found in it, and the level expected at each step, season included."""

    times: list[Time]
    totals: np.ndarray
    items: np.ndarray | None
    found: Segmentation
    expected: np.ndarray


def _write_time(time: Any) -> Time:
    if not isinstance(time, pd.Timestamp):
        return float(time)
    return time.date().isoformat() if time == time.normalize() else time.isoformat()


def _describe(series: _Series, index: int) -> Change:
    shifts = series.found.shifts
    shift = shifts[index]
    start = shifts[index - 1].position if index else 0
    stop = shifts[index + 1].position if index + 1 < len(shifts) else len(series.times)
    first = stop - max(SHORTEST, (stop - shift.position) // 4) if shift.kind == "drift" else shift.position
    before, after = _level(series, start, max(shift.position, start + 1)), _level(series, max(first, 0), stop)
    return Change(
        shift.position, series.times[shift.position], (shift.low, shift.high),
        (series.times[shift.low], series.times[shift.high]), shift.kind, before, after, _subtract(after, before),
        series.found.p_value, len(series.times) - shift.position < RECENT,
    )  # fmt: skip


def _level(series: _Series, start: int, stop: int) -> Level:
    """Estimate the level of these steps, spikes left out where anything else is there."""
    kept = series.found.noise.kept[start:stop]
    chosen = np.arange(start, stop)[kept if kept.any() else np.ones(stop - start, bool)]
    noise, totals = series.found.noise, series.totals[chosen]
    if series.items is None:
        mean, half = float(totals.mean()), 1.96 * noise.overdispersion * np.sqrt(noise.inflation / len(chosen))
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


def _describe_spike(series: _Series, position: int, length: int) -> Outlier:
    value = _level(series, position, position + length)
    usual = float(series.expected[position : position + length].mean())
    counts = isinstance(value, Rate)
    difference = Estimate(value.value - usual, value.low - usual, value.high - usual, "pp" if counts else "")
    return Outlier(position, series.times[position], length, value, usual, difference)


def _steps(series: _Series) -> tuple[Step, ...]:
    """Give each step its Wilson interval (of a measurement: two standard deviations)."""
    totals, items, normal = series.totals, series.items, 1.959964
    if items is None:
        spread = normal * series.found.noise.overdispersion
        columns = totals, totals - spread, totals + spread
    else:
        some = np.where(items > 0, items, np.nan)
        scale = 1 + normal**2 / some
        middle = (totals + normal**2 / 2) / some / scale
        half = normal / scale * np.sqrt(np.maximum(totals * (some - totals) / some, 0) + normal**2 / 4) / some
        columns = totals / some, np.maximum(middle - half, 0), np.minimum(middle + half, 1)
    rows = np.column_stack([*columns, series.expected]).tolist()
    return tuple(Step(time, *row) for time, row in zip(series.times, rows, strict=True))


def _minimum_detectable(series: _Series, alpha: float) -> Estimate:
    """The change between the halves that has 80 % power; the search over positions costs about 4 log(steps) looks."""
    steps, noise = len(series.times), series.found.noise
    normal = norm.isf(alpha / (8 * np.log(max(steps, 3)))) + norm.isf(0.2)
    if series.items is None:
        return Estimate(float(normal * noise.overdispersion * np.sqrt(noise.inflation * 4 / steps)))
    rate = min(max(series.totals.sum(), 0.5) / series.items.sum(), 0.5)
    effective = series.items.sum() / design_effect(series.items, noise.overdispersion) / noise.inflation
    return Estimate(float(min(normal * np.sqrt(4 * rate * (1 - rate) / effective), 1.0)), unit="pp")


def _tell(change: Change) -> str:
    size, after = abs(change.difference.value), change.after
    way = "up" if change.difference.value > 0 else "down"
    verb = {"step": f"Stepped {way} by", "drift": f"Has drifted {way} by"}[change.kind]
    dates = [_show_time(time) for time in (change.time, *change.interval_times)]
    text = f"{verb} {show(size, change.difference.unit)} to {show(after.value, after.unit)} "
    text += f"{'on' if change.kind == 'step' else 'since'} {dates[0]} ({dates[1]} to {dates[2]})"
    return f"{text}, recent and unconfirmed" if change.recent else text


def _tell_spikes(outliers: tuple[Outlier, ...]) -> str:
    first = outliers[0]
    text = f"a spike of {first.length} step{'s' if first.length > 1 else ''} on {_show_time(first.time)}"
    text += f" ({show(first.value.value, first.value.unit)} instead of {show(first.expected, first.value.unit)})"
    return text if len(outliers) == 1 else f"{len(outliers)} spikes, the first {text.removeprefix('a spike of ')}"


def _show_time(time: Time) -> str:
    return show(time, "date") if isinstance(time, str) else f"step {time:g}"


def _since(*times: Time) -> tuple[str, str, str]:
    first, earliest, latest = (time if isinstance(time, str) else f"{time:g}" for time in times)
    return first, earliest, latest
