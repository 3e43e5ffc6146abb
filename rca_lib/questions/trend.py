"""Since when? The changes of one series, dated with an interval, and its control chart.

The method is in `stats.changepoints`: changes are told apart from spikes, season and noise. `compute_control_chart`
reads the same series as a p chart or Laney's p′ chart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.contingency_tables import TRUTH_VERSION
from rca_lib.audits.counting import RARE_VALUES, keep_slice
from rca_lib.audits.time_series import count_over_time
from rca_lib.findings import DataError
from rca_lib.stats.changepoints.estimates import (
    Season,
    build_single_step_trend,
    build_trend,
    extract_arrays,
    segment_series,
    validate_probability,
)
from rca_lib.stats.changepoints.records import Trend
from rca_lib.stats.changepoints.series import format_times, make_data_error, validate_series
from rca_lib.stats.control_charts import ControlChart, compute_p_chart


def find_changes(
    counts: pd.DataFrame,
    *,
    alpha: float = 0.05,
    season: Season = "auto",
    events: pd.DataFrame | None = None,
    target: float | None = None,
) -> Trend:
    """Find when the level of a series changed.

    Parameters
    ----------
    counts
        One row per time step, in any order: `time` (timestamps, dates, or numbers in order) with `errors` and `items`,
        or with `value`, a measurement. Effective numbers need not be whole. A step without items counts as missing.
    alpha
        The probability of naming any change in a series in which nothing changed.
    season
        "auto": day of the week, hour of the day or month of the year, depending on the steps. A number: the period in
        steps. None: no season. A season is removed only if the series shows one.
    events
        One row per event: `start` (a time as in `counts`) and `title`. A change names the three nearest events within
        its date interval or two weeks of it. A near event is not necessarily the cause.
    target
        Largest error rate allowed, for the chart only.

    Returns
    -------
    Trend
        The changes with their date intervals, the spikes, the levels, and the smallest detectable change.

    Raises
    ------
    DataError
        If a column is missing or holds a value that is not a number, is negative or has more errors than items; if a
        step occurs twice; if there are no steps or no items at all.
    ValueError
        If `alpha` is not a probability, or `season` is not a season.

    Notes
    -----
    A series of one step has no date of a change, and the result says so. The search cannot detect a change that lasts
    fewer than four steps, cannot tell a change in the last three steps from a spike, and cannot say why: mix, sampling
    and truth change levels too. Autocorrelated rates raise more alarms than `alpha`: if the log odds follow an AR(1)
    with a standard deviation of 0.35, about 7 % (φ 0.5) and 10 % (φ 0.7) at alpha 5 %. Recent changes need more
    evidence than old ones: a doubled rate is named after 5 days in 4 of 10 series, after 7 in 5 to 6, after 14 in 8,
    and in the first week its interval holds the date in 8 of 10 only. Levels, dates and power were simulated
    (`make bench`).

    Examples
    --------
    >>> days = pd.date_range("2026-03-02", periods=40)
    >>> counts = pd.DataFrame({"time": days, "errors": [5] * 20 + [15] * 20, "items": 100})
    >>> find_changes(counts).changes[0].time_interval
    ('2026-03-22', '2026-03-22')
    """
    validate_probability("alpha", alpha)
    arrays = extract_arrays(validate_series(counts))
    if len(arrays[0]) < 2:
        return build_single_step_trend(arrays, alpha=alpha)
    segmentation = segment_series(arrays, alpha=alpha, season=season)
    trend = build_trend(arrays, segmentation, alpha=alpha, season=season, events=events)
    return replace(trend, target=target)


def date_slices(
    audits: Any, slices: Iterable[Any], *, alpha: float = 0.05, step: str = "day"
) -> tuple[Trend | None, ...]:
    """Find when the error rate of each slice changed.

    Parameters
    ----------
    audits
        One row per audited decision, with the local `day` and the columns of the slices.
    slices
        Objects with `where`, a mapping of column to value.
    alpha
        The probability of naming any change in a slice in which nothing changed, for each slice by itself.
    step
        "day" or "week", as in `count_over_time`.

    Returns
    -------
    tuple of Trend or None
        One entry per slice. None for a slice with fewer than two steps, for rare values that were combined, and for
        the version of the truth: there the number of audits changes, not their own error rate.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> audits = pd.DataFrame({"day": pd.date_range("2026-03-02", periods=9), "queue": "ads", "error": 0})
    >>> (trend,) = date_slices(audits, [SimpleNamespace(where={"queue": "ads"})])
    >>> trend.changes
    ()
    """
    trends = []
    for slice_ in slices:
        has_own_series = RARE_VALUES not in slice_.where.values() and TRUTH_VERSION not in slice_.where
        counts = count_over_time(keep_slice(audits, slice_.where), step=step) if has_own_series else None
        trends.append(find_changes(counts, alpha=alpha) if counts is not None and len(counts) > 1 else None)
    return tuple(trends)


def compute_control_chart(
    counts: pd.DataFrame,
    *,
    method: Literal["laney", "p"] = "laney",
    screen_ranges: bool = False,
    target: float | None = None,
) -> ControlChart:
    """Compute a p chart or Laney's p′ chart of a series of counts, with its signals.

    Parameters
    ----------
    counts
        One row per time step, in any order: `time`, `errors` and `items`.
    method
        "laney" for the p′ chart, which allows for overdispersion, "p" for the p chart.
    screen_ranges
        Whether to leave extreme moving ranges out of the limits, as in `compute_p_chart`.
    target
        The target of the error rate, as a share.

    Returns
    -------
    ControlChart
        Centre, limits and signals, in order of time.

    Raises
    ------
    DataError
        If errors or items are missing, or a step has no items.

    Examples
    --------
    >>> counts = pd.DataFrame({"time": [1, 2, 3, 4], "errors": [5, 4, 6, 30], "items": 100})
    >>> compute_control_chart(counts, method="p").signals
    (3,)
    """
    series = validate_series(counts)
    if "items" not in series:
        raise DataError("a chart of proportions needs errors and items", column="errors", hint="give errors and items")
    empty = series[series["items"] <= 0]
    if len(empty):
        raise make_data_error("a step has no items", "items", empty, "leave the step out")
    errors, items = series["total"].to_numpy(float), series["items"].to_numpy(float)
    chart = compute_p_chart(errors, items, method=method, screen_ranges=screen_ranges, target=target)
    return replace(chart, times=tuple(format_times(series["time"].to_numpy())))
