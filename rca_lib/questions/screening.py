"""Which of many series changed, and since when? One p-value per series, with the false discovery rate controlled.

Each series s is searched for changes and gets one p-value p_s. The Benjamini-Hochberg procedure turns the p-values of
all n series into q-values,

    q_(i) = min over j >= i of p_(j) n / j,

for the p-values in ascending order. A series with q_s <= fdr changed; its trend keeps the changes that the search
found. Of the series called changed, an expected share `fdr` at most did not change. The smallest detectable change of
a series refers to the p-value that it needs in this screening, fdr * max(k, 1) / n for k changed series.

References
----------
Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. JRSS B 57: 289-300.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import false_discovery_control
from tqdm import tqdm

from rca_lib.audits.counting import MISSING_VALUE
from rca_lib.audits.schema import matches_pattern, parse_scope
from rca_lib.findings import Finding, format_slice, format_value, set_units
from rca_lib.result import Result
from rca_lib.stats.changepoints.estimates import (
    Season,
    SeriesArrays,
    build_trend,
    extract_arrays,
    segment_series,
    validate_probability,
)
from rca_lib.stats.changepoints.localization import ChangeKind
from rca_lib.stats.changepoints.records import LevelChange, Trend, format_change
from rca_lib.stats.changepoints.search import Segmentation
from rca_lib.stats.changepoints.series import validate_series

MIN_PARALLEL_SECONDS = 8.0  # estimated seconds of work from which several processes save time
SECONDS_PER_SERIES = 0.003  # estimated fixed cost of one series
SECONDS_PER_STEP_PAIR = 1e-7  # estimated cost that grows with the squared length of a series
NO_CHANGE_ALPHA = 1e-12  # at this probability the search names no change of a series
MAX_SUMMARY_SERIES = 5  # changed series that the summary names
_CHANGE_COLUMNS = ("kind", "time", "earliest", "latest", "before", "after", "difference", "recent", "event")


@dataclass(frozen=True, slots=True)
class ScreenedSeries:
    """One series of a screening: its slice, its trend and its q-value.

    `changed` is True if the q-value is within the false discovery rate; only then the trend has changes. The smallest
    detectable change of the trend refers to the p-value that a series needs in this screening.
    """

    where: Mapping[str, str]
    trend: Trend
    q_value: float
    changed: bool


@dataclass(frozen=True, slots=True)
class Screening(Result):
    """Many series, tested together at the false discovery rate `fdr`.

    `skipped` lists the series that cannot be tested: fewer than two steps, or no items.
    """

    max_display_rows: ClassVar[int] = 200  # every site and period, or queue, is of interest

    series: tuple[ScreenedSeries, ...]
    skipped: tuple[Mapping[str, str], ...]
    fdr: float

    @property
    def changed(self) -> tuple[ScreenedSeries, ...]:
        """The series that changed, the smallest q-value first."""
        return tuple(sorted((entry for entry in self.series if entry.changed), key=lambda entry: entry.q_value))

    def to_frame(self) -> pd.DataFrame:
        """Return a row per change, and one per unchanged series with its detectable change; rates as shares."""
        rows = []
        for entry in sorted(self.series, key=lambda entry: entry.q_value):
            trend = entry.trend
            test = {
                "minimum_detectable": trend.minimum_detectable.value,
                "q_value": entry.q_value,
                "p_value": trend.p_value,
                "steps": len(trend.steps),
            }
            for change in trend.changes or (None,):
                rows.append({**entry.where, **_describe_change(change), **test})
        return set_units(pd.DataFrame(rows), before="%", after="%", difference="pp", minimum_detectable="pp")

    @property
    def headline(self) -> str:
        """How many of the series changed."""
        skipped = f"; {len(self.skipped)} too short to test" if self.skipped else ""
        rate = format_value(self.fdr, "%")
        return f"{len(self.changed)} of {len(self.series)} series changed (false-discovery rate {rate}){skipped}"

    def summary(self) -> str:
        """Return which series changed, the surest first, and what was detectable in the others."""
        changed = self.changed
        descriptions = [
            f"{format_series_name(entry.where)} {_format_change_size(entry.trend.changes[-1])}"
            for entry in changed[:MAX_SUMMARY_SERIES]
        ]
        if len(changed) > MAX_SUMMARY_SERIES:
            descriptions.append(f"{len(changed) - MAX_SUMMARY_SERIES} more")
        text = f"{self.headline}{': ' if descriptions else ''}{'; '.join(descriptions)}."
        detectable = [entry.trend.minimum_detectable for entry in self.series if not entry.changed]
        if not detectable:
            return text
        sizes = np.quantile([estimate.value for estimate in detectable], (0, 0.5, 1)).tolist()
        low, median, high = (format_value(size, detectable[0].unit) for size in sizes)
        return f"{text} Smallest detectable change of the others: median {median} ({low} to {high})."

    def findings(self) -> tuple[Finding[ChangeKind], ...]:
        """Return one finding per change of each series that changed."""
        return tuple(
            Finding("screening", change.kind, f"{format_slice(entry.where)}: {_lower_first(format_change(change))}.",
                    "likely" if change.recent else "shown", change.difference,
                    f"series[{row}].trend.changes[{index}].difference", entry.where,
                    since=(str(change.time), str(change.time_interval[0]), str(change.time_interval[1])),
                    p_value=change.p_value)
            for row, entry in enumerate(self.series) for index, change in enumerate(entry.trend.changes)
        )  # fmt: skip


def screen_series(
    counts: pd.DataFrame,
    by: str | Sequence[str],
    *,
    fdr: float = 0.1,
    season: Season = "auto",
    events: pd.DataFrame | None = None,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Screening:
    """Find which of many series changed, and since when, at a controlled false discovery rate.

    Parameters
    ----------
    counts
        One row per series and time step: the columns of `by`, and those of `find_changes`.
    by
        The columns that name a series (site, queue, policy …). A missing value is a series of its own.
    fdr
        The expected share of unchanged series among the series called changed.
    season, events
        As in `find_changes`. An event with a `scope` (`site=lisbon`) is used for the series in its scope only.
    n_jobs
        The number of processes; None for all cores if that saves time, else one.
    progress
        Whether to show a progress bar; None for a bar on a terminal only.

    Returns
    -------
    Screening
        One entry per series, with its trend and q-value.

    Raises
    ------
    DataError
        As `find_changes`, with rows counted from the first row of the table. A step occurs twice if a series has it
        twice.
    ValueError
        If `by` names no column or one column twice, or `fdr` is not a probability.

    Notes
    -----
    The rate holds for independent series and for positively dependent ones. A shock that all series share is called in
    each of them: compare their dates. Changes that `find_changes` cannot detect in one series are not detected here.

    References
    ----------
    Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. JRSS B 57: 289-300.

    Examples
    --------
    >>> days = pd.date_range("2026-03-02", periods=40)
    >>> steady = pd.DataFrame({"queue": "ads", "time": days, "errors": 5, "items": 100})
    >>> risen = pd.DataFrame({"queue": "video", "time": days, "errors": [5] * 20 + [15] * 20, "items": 100})
    >>> screening = screen_series(pd.concat([steady, risen]), ["queue"])
    >>> [(entry.where["queue"], entry.changed) for entry in screening.series]
    [('ads', False), ('video', True)]
    """
    validate_probability("fdr", fdr)
    by = [by] if isinstance(by, str) else list(by)
    if not by or len(set(by)) < len(by):
        raise ValueError(f"by {by} has to name one column or several, each once")
    table = validate_series(counts, by)
    groups = table.groupby(by, sort=True, dropna=False)[[name for name in table if name not in by]]
    arrays_by_key = {key: extract_arrays(group) for key, group in groups}
    testable = {key: arrays for key, arrays in arrays_by_key.items() if _is_testable(arrays)}
    segmentations = _search_all(list(testable.values()), fdr, season, n_jobs, progress)
    p_values = [segmentation.p_value for segmentation in segmentations]
    q_values = false_discovery_control(p_values) if segmentations else np.zeros(0)
    required_p_value = fdr * max(int((q_values <= fdr).sum()), 1) / max(len(segmentations), 1)
    series = []
    for (key, arrays), segmentation, q_value in zip(testable.items(), segmentations, q_values.tolist(), strict=True):
        changed = q_value <= fdr
        p_value = segmentation.p_value
        if not changed and segmentation.changepoints:
            segmentation = segment_series(arrays, alpha=NO_CHANGE_ALPHA, season=season)
        where = _slice_from_key(by, key)
        relevant_events = _select_events(events, where)
        trend = build_trend(arrays, segmentation, alpha=required_p_value, season=season, events=relevant_events)
        series.append(ScreenedSeries(where, replace(trend, p_value=p_value), q_value, changed))
    skipped = tuple(_slice_from_key(by, key) for key in arrays_by_key if key not in testable)
    return Screening(tuple(series), skipped, fdr)


def _is_testable(arrays: SeriesArrays) -> bool:
    """Tell whether a series has at least two steps, and items if it consists of counts."""
    times, _, items = arrays
    return len(times) > 1 and (items is None or items.sum() > 0)


def _search_all(
    series: list[SeriesArrays], alpha: float, season: Season, n_jobs: int | None, progress: bool | None
) -> list[Segmentation]:
    """Search every series for changes, in several processes if that saves time."""
    seconds = sum(SECONDS_PER_SERIES + SECONDS_PER_STEP_PAIR * len(times) ** 2 for times, _, _ in series)
    workers = n_jobs or (-1 if seconds > MIN_PARALLEL_SECONDS else 1)
    search = delayed(segment_series)
    tasks = (search(arrays, alpha=alpha, season=season) for arrays in series)
    segmentations = Parallel(workers, return_as="generator")(tasks)
    return list(tqdm(segmentations, "series", len(series), disable=None if progress is None else not progress))


def _slice_from_key(by: Sequence[str], key: tuple[Any, ...]) -> dict[str, str]:
    return {name: MISSING_VALUE if pd.isna(value) else str(value) for name, value in zip(by, key, strict=True)}


def _select_events(events: pd.DataFrame | None, where: Mapping[str, str]) -> pd.DataFrame | None:
    """Return the events whose scope does not exclude a series."""
    if events is None or "scope" not in events:
        return events
    mask = [
        all(name not in where or matches_pattern(where[name], pattern) for name, pattern in parse_scope(scope).items())
        for scope in events["scope"]
    ]
    return events[np.array(mask, bool)]


def _describe_change(change: LevelChange | None) -> dict[str, Any]:
    """Return the columns of a change, all None for a series without one."""
    if change is None:
        return dict.fromkeys(_CHANGE_COLUMNS)
    event = change.events[0].title if change.events else None
    values = (
        change.kind, change.time, *change.time_interval, change.before.value, change.after.value,
        change.difference.value, change.recent, event,
    )  # fmt: skip
    return dict(zip(_CHANGE_COLUMNS, values, strict=True))


def format_series_name(where: Mapping[str, str]) -> str:
    """Return the name of a series by its values alone.

    Examples
    --------
    >>> format_series_name({"site": "lisbon", "queue": "video"})
    'lisbon · video'
    """
    return " · ".join(where.values())


def _format_change_size(change: LevelChange) -> str:
    """Return direction, size and date of a change."""
    size, date = change.difference, change.time
    day = format_value(date, "date") if isinstance(date, str) else f"{date:g}"
    text = f"{'up' if size.value > 0 else 'down'} by {format_value(abs(size.value), size.unit)}"
    return f"{text} {'on' if change.kind == 'step' else 'since'} {day}{' (unconfirmed)' if change.recent else ''}"


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
