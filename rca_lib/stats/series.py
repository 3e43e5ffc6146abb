"""A series as it comes: checked, in order of time, and each step's place in its season."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from rca_lib.findings import DataError


def read_series(counts: pd.DataFrame) -> pd.DataFrame:
    """Check the table and return it in order of time: `time`, `total`, and `items` where these are counts."""
    frame = pd.DataFrame(counts)
    wanted = ["time", "value"] if "value" in frame and "errors" not in frame else ["time", "errors", "items"]
    for name in wanted:
        if name not in frame:
            have = ", ".join(map(str, frame.columns))
            raise DataError(
                f"no column {name!r}", column=name, mend=f"give time, errors, items or time, value; have {have}"
            )
    series = frame[wanted].reset_index(drop=True)
    for name in wanted[1:]:
        numbers = pd.to_numeric(series[name], errors="coerce").to_numpy(float)
        _refuse(~np.isfinite(numbers), "not a finite number", name, series, "leave the step out or mend its number")
        series[name] = numbers
    series["time"] = _read_times(series)
    _refuse(
        series["time"].duplicated().to_numpy(),
        "a step is there twice",
        "time",
        series,
        "add its counts up, one row per step",
    )
    if len(series) < 2:
        raise DataError(
            "a series needs at least two steps", column="time", rows=len(series), mend="choose a longer period"
        )
    if len(wanted) == 3:
        errors, items = series["errors"].to_numpy(), series["items"].to_numpy()
        _refuse(errors < 0, "errors are negative", "errors", series, "counts are zero or more")
        _refuse(items < 0, "items are negative", "items", series, "counts are zero or more")
        over = errors > items * (1 + 1e-9)
        _refuse(over, "errors exceed items", "errors", series, "check how the counts were joined")
        _refuse(np.full(len(items), items.sum() <= 0), "no step has any items", "items", series, "choose other steps")
    return series.rename(columns={"errors": "total", "value": "total"}).sort_values("time", ignore_index=True)


def _read_times(series: pd.DataFrame) -> pd.Series:
    times = series["time"]
    if isinstance(times.dtype, pd.PeriodDtype):
        times = times.dt.start_time
    if not pd.api.types.is_numeric_dtype(times) and not pd.api.types.is_datetime64_any_dtype(times):
        times = pd.to_datetime(times, errors="coerce")
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_localize(None)
    _refuse(times.isna().to_numpy(), "not a time", "time", series, "give timestamps, dates or numbers in order")
    return times


def _refuse(wrong: np.ndarray, problem: str, column: str, series: pd.DataFrame, mend: str) -> None:
    if wrong.any():
        raise make_fault(problem, column, series[wrong], mend)


def make_fault(problem: str, column: str, rows: pd.DataFrame, mend: str) -> DataError:
    values = {str(name): rows[name].iloc[0] for name in rows}
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in values.items()}
    first = {"row": int(rows.index[0]), **shown}
    return DataError(problem, column=column, rows=len(rows), first=first, mend=mend)


def find_phases(times: pd.Series, season: Literal["auto"] | int | None) -> np.ndarray | None:
    """Return each step's place in its season, or None where there is none to look for."""
    if season is None or len(times) < 2:
        return None
    dated = pd.api.types.is_datetime64_any_dtype(times)
    passed = times.to_numpy() - times.to_numpy()[0]
    numbers = passed / np.timedelta64(1, "D") if dated else passed
    gap = float(np.median(np.diff(numbers)))
    if season != "auto":
        phase, period = np.rint(numbers / gap).astype(int) % int(season), int(season)
    elif dated and 0.99 < gap < 1.01:
        phase, period = times.dt.day_of_week.to_numpy(), 7
    elif dated and 0.04 < gap < 0.043:
        phase, period = times.dt.hour.to_numpy(), 24
    elif dated and 28 <= gap <= 31:
        phase, period = times.dt.month.to_numpy() - 1, 12
    elif not dated and gap == 1 and (numbers % 1 == 0).all():
        phase, period = numbers.astype(int) % 7, 7
    else:
        return None
    return phase if len(times) >= 3 * period and period > 1 else None
