"""A series as it comes: checked, in order of time, and each step's place in its season."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from rca_lib.findings import DataError

DAY = np.timedelta64(1, "D")


def read_series(counts: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Check the table and return it in order: the columns of `by`, `time`, `total`, and `items` where these are counts.

    Without `by` it is one series, of one step at least, that has items.
    """
    frame = pd.DataFrame(counts)
    wanted = ["time", "value"] if "value" in frame and "errors" not in frame else ["time", "errors", "items"]
    if taken := [name for name in by if name in wanted]:
        raise DataError(f"{taken[0]!r} cannot name a series", column=taken[0], mend="choose columns beside the counts")
    for name in (*by, *wanted):
        if name not in frame:
            have = ", ".join(map(str, frame.columns))
            raise DataError(
                f"no column {name!r}", column=name, mend=f"give time, errors, items or time, value; have {have}"
            )
    series = frame[[*by, *wanted]].reset_index(drop=True)
    for name in wanted[1:]:
        numbers = pd.to_numeric(series[name], errors="coerce").to_numpy(float)
        _refuse(~np.isfinite(numbers), "not a finite number", name, series, "leave the step out or mend its number")
        series[name] = numbers
    series["time"] = _read_times(series)
    twice = series.duplicated([*by, "time"]).to_numpy()
    _refuse(twice, "a step is there twice", "time", series, "add its counts up, one row per step")
    if len(wanted) == 3:
        errors, items = series["errors"].to_numpy(), series["items"].to_numpy()
        _refuse(errors < 0, "errors are negative", "errors", series, "counts are zero or more")
        _refuse(items < 0, "items are negative", "items", series, "counts are zero or more")
        over = errors > items * (1 + 1e-9)
        _refuse(over, "errors exceed items", "errors", series, "check how the counts were joined")
    if not by and series.empty:
        raise DataError("a series needs at least one step", column="time", rows=0, mend="choose a longer period")
    if not by and len(wanted) == 3:
        _refuse(np.full(len(items), items.sum() <= 0), "no step has any items", "items", series, "choose other steps")
    renamed = series.rename(columns={"errors": "total", "value": "total"})
    return renamed.sort_values([*by, "time"], ignore_index=True)


def _read_times(series: pd.DataFrame) -> pd.Series:
    times = series["time"]
    if isinstance(times.dtype, pd.PeriodDtype):
        times = times.dt.start_time
    if not pd.api.types.is_numeric_dtype(times) and not pd.api.types.is_datetime64_any_dtype(times):
        times = pd.to_datetime(times, errors="coerce", format="mixed")
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


def find_phases(times: np.ndarray, season: Literal["auto"] | int | None) -> np.ndarray | None:
    """Return each step's place in its season, or None where there is none to look for."""
    if season not in ("auto", None) and (not isinstance(season, int) or season < 2):
        raise ValueError(f'season {season!r} is neither "auto" nor None nor a number of steps from two on')
    if season is None or len(times) < 2:
        return None
    dated = times.dtype.kind == "M"
    numbers = (times - times[0]) / DAY if dated else times - times[0]
    gap = float(np.median(np.diff(numbers)))
    if season != "auto":
        phase, period = np.rint(numbers / gap).astype(int) % int(season), int(season)
    elif dated and 0.99 < gap < 1.01:
        phase, period = (times.astype("M8[D]").astype(int) + 3) % 7, 7  # 1 January 1970 was a Thursday
    elif dated and 0.04 < gap < 0.043:
        phase, period = times.astype("M8[h]").astype(int) % 24, 24
    elif dated and 28 <= gap <= 31:
        phase, period = times.astype("M8[M]").astype(int) % 12, 12
    elif not dated and gap == 1 and (numbers % 1 == 0).all():
        phase, period = numbers.astype(int) % 7, 7
    else:
        return None
    return phase if len(times) >= 3 * period and period > 1 else None


def write_times(times: np.ndarray) -> list[str] | list[float]:
    """Write times as ISO dates where all are whole days, as ISO timestamps where not; numbers stay numbers."""
    if times.dtype.kind != "M":
        return times.astype(float).tolist()
    days = times.astype("M8[D]")
    return np.datetime_as_string(times.astype("M8[s]") if (days != times).any() else days).tolist()


def place_events(events: pd.DataFrame, *, dated: bool) -> list[tuple[np.datetime64 | float, str]]:
    """Return the start and title of each event, on the dates or numbers of a series; without a start it is left out."""
    for name in ("start", "title"):
        if name not in events:
            raise DataError(f"events have no column {name!r}", column=name, mend="give start and title")
    if dated:
        starts = [pd.Timestamp(start).tz_localize(None).to_datetime64() for start in events["start"]]
    else:
        starts = pd.to_numeric(events["start"], errors="coerce").to_numpy(float).tolist()
    return [(start, str(title)) for start, title in zip(starts, events["title"], strict=True) if not pd.isna(start)]
