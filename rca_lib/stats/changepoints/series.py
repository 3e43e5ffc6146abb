# Tested in tests/questions/test_trend.py.
"""Input of a changepoint search: a validated series in order of time, its season and its events.

A series has one row per step. Times are timestamps, dates, periods or numbers, in any order. The season is the day of
the week, the hour of the day or the month of the year, by the median distance between steps. It needs three full
periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from rca_lib.findings import DataError

ONE_DAY = np.timedelta64(1, "D")
COUNT_COLUMNS = ["time", "errors", "items"]
VALUE_COLUMNS = ["time", "value"]
MIN_PERIODS = 3  # full periods that a series needs for a season
ROUNDING = 1e-9  # relative excess of errors over items that sums of weights may have
# Median distance between steps, in days, by which steps count as daily, hourly or monthly.
DAILY_STEP = (0.99, 1.01)
HOURLY_STEP = (0.04, 0.043)
MONTHLY_STEP = (28, 31)
DAYS_FROM_MONDAY = 3  # 1 January 1970, day 0 of NumPy's dates, was a Thursday


def validate_series(counts: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Check a table of counts or values and return it in order of time.

    Parameters
    ----------
    counts
        One row per step, in any order: `time` with `errors` and `items`, or with `value` for a measurement.
    by
        Columns that identify a series, if the table holds several. Without them, the table is one series of at least
        one step that has items.

    Returns
    -------
    DataFrame
        The columns of `by`, `time`, `total` (errors or values), and `items` unless it is a measurement.

    Raises
    ------
    DataError
        If a column is missing, a number is not finite or is negative, errors exceed items, a step occurs twice, or a
        single series has no steps or no items.

    Examples
    --------
    >>> counts = pd.DataFrame({"time": ["2026-03-02", "2026-03-01"], "errors": [1, 2], "items": [50, 60]})
    >>> validate_series(counts)["total"].tolist()
    [2.0, 1.0]
    """
    frame = pd.DataFrame(counts)
    columns = VALUE_COLUMNS if "value" in frame and "errors" not in frame else COUNT_COLUMNS
    _require_columns(frame, by, columns)
    series = frame[[*by, *columns]].reset_index(drop=True)
    for name in columns[1:]:
        numbers = pd.to_numeric(series[name], errors="coerce").to_numpy(float)
        hint = "correct the number, or leave the step out"
        _raise_if_any(~np.isfinite(numbers), "not a finite number", name, series, hint)
        series[name] = numbers
    series["time"] = _parse_times(series)
    duplicated = series.duplicated([*by, "time"]).to_numpy()
    _raise_if_any(duplicated, "duplicate step", "time", series, "add up its counts, one row per step")
    if columns == COUNT_COLUMNS:
        _validate_counts(series)
    if not by and series.empty:
        raise DataError("a series needs at least one step", column="time", rows=0, hint="choose a longer period")
    if not by and columns == COUNT_COLUMNS:
        without_items = np.full(len(series), series["items"].sum() <= 0)
        _raise_if_any(without_items, "no step has any items", "items", series, "choose other steps")
    renamed = series.rename(columns={"errors": "total", "value": "total"})
    return renamed.sort_values([*by, "time"], ignore_index=True)


def _require_columns(frame: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> None:
    """Raise unless all columns exist and those of `by` are not columns of counts."""
    if reserved := [name for name in by if name in columns]:
        hint = "choose columns other than the counts"
        raise DataError(f"{reserved[0]!r} cannot name a series", column=reserved[0], hint=hint)
    for name in (*by, *columns):
        if name not in frame:
            present = ", ".join(map(str, frame.columns))
            hint = f"give time, errors, items or time, value; the table has {present}"
            raise DataError(f"no column {name!r}", column=name, hint=hint)


def _validate_counts(series: pd.DataFrame) -> None:
    """Raise unless 0 ≤ errors ≤ items in every row."""
    errors, items = series["errors"].to_numpy(), series["items"].to_numpy()
    _raise_if_any(errors < 0, "errors are negative", "errors", series, "counts are zero or more")
    _raise_if_any(items < 0, "items are negative", "items", series, "counts are zero or more")
    excess = errors > items * (1 + ROUNDING)
    _raise_if_any(excess, "errors exceed items", "errors", series, "check how the counts were joined")


def _parse_times(series: pd.DataFrame) -> pd.Series:
    """Return times as timestamps without a time zone, or as numbers."""
    times = series["time"]
    if isinstance(times.dtype, pd.PeriodDtype):
        times = times.dt.start_time
    if not pd.api.types.is_numeric_dtype(times) and not pd.api.types.is_datetime64_any_dtype(times):
        times = pd.to_datetime(times, errors="coerce", format="mixed")
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_localize(None)
    _raise_if_any(times.isna().to_numpy(), "not a time", "time", series, "give timestamps, dates or numbers in order")
    return times


def _raise_if_any(invalid: np.ndarray, problem: str, column: str, series: pd.DataFrame, hint: str) -> None:
    if invalid.any():
        raise make_data_error(problem, column, series[invalid], hint)


def make_data_error(problem: str, column: str, rows: pd.DataFrame, hint: str) -> DataError:
    """Build the error about invalid rows of a series.

    Parameters
    ----------
    problem, hint
        What is wrong, and what to do.
    column
        The affected column.
    rows
        The affected rows.

    Returns
    -------
    DataError
        With the number of rows and the values of the first one.
    """
    values = {str(name): rows[name].iloc[0] for name in rows}
    formatted = {name: f"{value:g}" if isinstance(value, float) else value for name, value in values.items()}
    first_row = {"row": int(rows.index[0]), **formatted}
    return DataError(problem, column=column, rows=len(rows), first=first_row, hint=hint)


def compute_season_phase(times: np.ndarray, season: Literal["auto"] | int | None) -> np.ndarray | None:
    """Return the position of each step in the season, from 0.

    Parameters
    ----------
    times
        Times in order, as timestamps or numbers.
    season
        "auto": day of the week, hour of the day or month of the year, by the distance between steps. A number: the
        period in steps. None: no season.

    Returns
    -------
    ndarray or None
        None if there is no season, or fewer than three full periods.

    Raises
    ------
    ValueError
        If `season` is none of these.

    Examples
    --------
    >>> days = np.arange("2026-03-02", "2026-03-23", dtype="M8[D]")  # three weeks from a Monday on
    >>> compute_season_phase(days, "auto")[:8].tolist()
    [0, 1, 2, 3, 4, 5, 6, 0]
    """
    if season not in ("auto", None) and (not isinstance(season, int) or season < 2):
        raise ValueError(f'season {season!r} is neither "auto" nor None nor a number of steps from two on')
    if season is None or len(times) < 2:
        return None
    has_dates = times.dtype.kind == "M"
    elapsed = (times - times[0]) / ONE_DAY if has_dates else times - times[0]
    step = float(np.median(np.diff(elapsed)))
    if season != "auto":
        phase, period = np.rint(elapsed / step).astype(int) % int(season), int(season)
    elif has_dates and DAILY_STEP[0] < step < DAILY_STEP[1]:
        phase, period = (times.astype("M8[D]").astype(int) + DAYS_FROM_MONDAY) % 7, 7
    elif has_dates and HOURLY_STEP[0] < step < HOURLY_STEP[1]:
        phase, period = times.astype("M8[h]").astype(int) % 24, 24
    elif has_dates and MONTHLY_STEP[0] <= step <= MONTHLY_STEP[1]:
        phase, period = times.astype("M8[M]").astype(int) % 12, 12
    elif not has_dates and step == 1 and (elapsed % 1 == 0).all():
        phase, period = elapsed.astype(int) % 7, 7
    else:
        return None
    return phase if len(times) >= MIN_PERIODS * period and period > 1 else None


def format_times(times: np.ndarray) -> list[str] | list[float]:
    """Format times for reports.

    Parameters
    ----------
    times
        Timestamps or numbers.

    Returns
    -------
    list
        ISO dates if all are whole days, otherwise ISO timestamps; numbers stay numbers.

    Examples
    --------
    >>> format_times(np.array(["2026-03-01", "2026-03-02"], "M8[s]"))
    ['2026-03-01', '2026-03-02']
    """
    if times.dtype.kind != "M":
        return times.astype(float).tolist()
    days = times.astype("M8[D]")
    return np.datetime_as_string(times.astype("M8[s]") if (days != times).any() else days).tolist()


def parse_events(events: pd.DataFrame, *, dated: bool) -> list[tuple[np.datetime64 | float, str]]:
    """Return start and title of each event that has a start.

    Parameters
    ----------
    events
        One row per event: `start` and `title`.
    dated
        Whether the series has dates (True) or numbers as times.

    Returns
    -------
    list of tuple
        Start and title, in the order of the table.

    Raises
    ------
    DataError
        If a column is missing.
    """
    for name in ("start", "title"):
        if name not in events:
            raise DataError(f"events have no column {name!r}", column=name, hint="give start and title")
    if dated:
        starts = [pd.Timestamp(start).tz_localize(None).to_datetime64() for start in events["start"]]
    else:
        starts = pd.to_numeric(events["start"], errors="coerce").to_numpy(float).tolist()
    return [(start, str(title)) for start, title in zip(starts, events["title"], strict=True) if not pd.isna(start)]
