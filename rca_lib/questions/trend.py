"""Since when? The changes of one series, dated with an interval, told apart from spikes, season and noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.counting import RARE, count_steps, keep_slice
from rca_lib.audits.encoding import TRUTH
from rca_lib.findings import DataError
from rca_lib.stats.charts import ControlChart, chart_proportions
from rca_lib.stats.readings import (
    Season,
    check_chance,
    describe_step,
    describe_trend,
    search_series,
    take_numbers,
)
from rca_lib.stats.series import make_fault, read_series, write_times
from rca_lib.stats.trends import Trend


def find_changes(
    counts: pd.DataFrame,
    *,
    alpha: float = 0.05,
    season: Season = "auto",
    events: pd.DataFrame | None = None,
    seed: int = 0,
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
    events
        One row per event: `start` (a time as in `counts`) and `title`. A change names the three nearest of those that
        lie within its date interval or two weeks from it; that an event is near does not make it the cause.
    seed
        Not used: nothing is drawn, the false-alarm rate having been simulated once.

    Raises
    ------
    DataError
        If a column is missing or holds what is no number, is negative or has more errors than items; if a step is
        there twice; if there are no steps or no items at all.

    Notes
    -----
    A series of one step has no change to date, and the answer says so. It cannot see a change that lasts fewer than
    four steps, tell one in the last three from a spike, or say why: mix, sampling and truth change levels too. Rates
    that wander raise more alarms than alpha: where the log odds follow an AR(1) with a standard deviation of 0.35,
    about 7 % (φ 0.5) and 10 % (φ 0.7) at alpha 5 %. Levels are taken to last, so a young change needs more evidence
    than an old one: a rate that doubled is named after 5 days in 4 of 10 series, after 7 in 5 to 6, after 14 in 8, and
    in the first week its interval holds the date in 8 of 10 only. What it says of levels, dates and power was simulated
    (`make bench`).

    Examples
    --------
    >>> days = pd.date_range("2026-03-02", periods=40)
    >>> counts = pd.DataFrame({"time": days, "errors": [5] * 20 + [15] * 20, "items": 100})
    >>> find_changes(counts).summary()
    'Stepped up by 10.0 pp to 15.0 % on 22 Mar 2026 (22 Mar 2026 to 22 Mar 2026).'
    """
    check_chance("alpha", alpha)
    numbers = take_numbers(read_series(counts))
    if len(numbers[0]) < 2:
        return describe_step(numbers, alpha=alpha)
    found = search_series(numbers, alpha=alpha, season=season)
    return describe_trend(numbers, found, alpha=alpha, season=season, events=events)


def date_slices(
    audits: Any, slices: Iterable[Any], *, alpha: float = 0.05, step: str = "day", seed: int = 0
) -> tuple[Trend | None, ...]:
    """Find since when for each place: the changes of each slice's own series.

    `audits` has one row per audited decision, with the local `day`; a slice has `where`, a mapping of column to value.
    `alpha` holds for each slice by itself; the rest is as `find_changes` and `count_steps` take it. None stands for a
    slice that has fewer than two steps, for values too rare to be kept apart, and for the version of the truth: what
    changes there is how many audits are of it, not their own error rate.
    """
    found = []
    for place in slices:
        datable = RARE not in place.where.values() and TRUTH not in place.where
        counts = count_steps(keep_slice(audits, place.where), step=step) if datable else ()
        found.append(find_changes(counts, alpha=alpha, seed=seed) if len(counts) > 1 else None)
    return tuple(found)


def make_control_chart(
    counts: pd.DataFrame,
    *,
    method: Literal["laney", "p"] = "laney",
    screened: bool = False,
    target: float | None = None,
) -> ControlChart:
    """Draw up a p chart or Laney's p′ chart of the steps in order of time, and read it; see `chart_proportions`.

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
    errors, items = series["total"].to_numpy(float), series["items"].to_numpy(float)
    chart = chart_proportions(errors, items, method=method, screened=screened, target=target)
    return replace(chart, times=tuple(write_times(series["time"].to_numpy())))
