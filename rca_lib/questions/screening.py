"""Which of many series changed, and since when? One p-value each, the share of false ones held across all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import false_discovery_control
from tqdm import tqdm

from rca_lib.audits.counting import MISSING
from rca_lib.audits.tables import parse_scope
from rca_lib.findings import Finding, mark_units, name_slice, show
from rca_lib.stats.changepoints import Segmentation
from rca_lib.stats.readings import Numbers, Season, check_chance, describe_trend, search_series, take_numbers
from rca_lib.stats.series import read_series
from rca_lib.stats.trends import Change, Trend, tell_change

PARALLEL_FROM = 8.0  # seconds of work, estimated, from which more processes than one save time


@dataclass(frozen=True, slots=True)
class Screened:
    """One series of a screening: where it is, its trend, and its `q_value`.

    `changed` says that its p-value survived all series together; only then has its trend changes. Its
    `minimum_detectable` is at the p-value that a series of this screening needs.
    """

    where: Mapping[str, str]
    trend: Trend
    q_value: float
    changed: bool


@dataclass(frozen=True, slots=True)
class Screen:
    """Many series looked at together: of those called changed, a share `fdr` at the most did not, on average.

    `left_out` are the slices that cannot be read: fewer than two steps, or no items.
    """

    series: tuple[Screened, ...]
    left_out: tuple[Mapping[str, str], ...]
    fdr: float

    @property
    def changed(self) -> tuple[Screened, ...]:
        """Return the series that changed, the surest first."""
        return tuple(sorted((one for one in self.series if one.changed), key=lambda one: one.q_value))

    def to_frame(self) -> pd.DataFrame:
        """Return a row per change, and one per silent series with what it could have seen; rates as shares."""
        rows = []
        for one in sorted(self.series, key=lambda one: one.q_value):
            tested = {"minimum_detectable": one.trend.minimum_detectable.value, "q_value": one.q_value,
                      "p_value": one.trend.p_value, "steps": len(one.trend.steps)}  # fmt: skip
            for change in one.trend.changes or (None,):
                found = dict.fromkeys(_FOUND) if change is None else dict(zip(_FOUND, (
                    change.kind, change.time, *change.interval_times, change.before.value, change.after.value,
                    change.difference.value, change.recent, change.events[0].title if change.events else None,
                ), strict=True))  # fmt: skip
                rows.append({**one.where, **found, **tested})
        return mark_units(pd.DataFrame(rows), before="%", after="%", difference="pp", minimum_detectable="pp")

    @property
    def headline(self) -> str:
        """Say how many series changed, of how many."""
        left = f"; {len(self.left_out)} too short to be looked at" if self.left_out else ""
        rate = show(self.fdr, "%")
        return f"{len(self.changed)} of {len(self.series)} series changed (false-discovery rate {rate}){left}"

    def summary(self) -> str:
        """Say which series changed, the surest first, and what the silent ones could have shown."""
        changed = self.changed
        told = [f"{name_series(one.where)} {_tell_size(one.trend.changes[-1])}" for one in changed[:5]]
        told += [f"{len(changed) - 5} more"] if len(changed) > 5 else []
        text = f"{self.headline}{': ' if told else ''}{'; '.join(told)}."
        seen = [one.trend.minimum_detectable for one in self.series if not one.changed]
        if not seen:
            return text
        sizes = np.quantile([one.value for one in seen], (0, 0.5, 1)).tolist()
        low, middle, high = (show(size, seen[0].unit) for size in sizes)
        return f"{text} A silent series would mostly have shown a change of {middle} (from {low} to {high})."

    def findings(self) -> tuple[Finding, ...]:
        """Hand on each change of each series that changed."""
        return tuple(
            Finding("screen", change.kind, f"{name_slice(one.where)}: {_lower(tell_change(change))}.",
                    "likely" if change.recent else "shown", change.difference,
                    f"series[{place}].trend.changes[{index}].difference", one.where,
                    since=(str(change.time), *map(str, change.interval_times)), p_value=change.p_value)
            for place, one in enumerate(self.series) for index, change in enumerate(one.trend.changes)
        )  # fmt: skip


_FOUND = ("kind", "time", "earliest", "latest", "before", "after", "difference", "recent", "event")


def screen_changes(
    counts: pd.DataFrame,
    by: str | Sequence[str],
    *,
    fdr: float = 0.1,
    season: Season = "auto",
    events: pd.DataFrame | None = None,
    jobs: int | None = None,
    progress: bool | None = None,
) -> Screen:
    """Find which of many series changed, and since when, with the share of false ones held.

    Parameters
    ----------
    counts
        One row per series and time step: the columns of `by`, and those of `find_changes`.
    by
        The columns that name a series (site, queue, policy …); a missing value is a series of its own.
    fdr
        Expected share of series without change among those called changed (Benjamini and Hochberg 1995, on one p-value
        per series).
    season, events
        As in `find_changes`; an event whose `scope` (`site=lisbon`) speaks of other series is not held against one.
    jobs
        Processes to work in: as many as there are cores where that saves time, unless a number is given.
    progress
        Whether to show a progress bar: on a terminal, unless said otherwise.

    Raises
    ------
    DataError
        As `find_changes`, the row counted from the table's first; a step is there twice if its series has it twice.

    Notes
    -----
    The rate holds for independent series and for such as move together (positive dependence). A shock that all series
    share is called in all of them: look at their dates. What one series cannot show, see `find_changes`, none shows.

    Examples
    --------
    >>> days = pd.date_range("2026-03-02", periods=40)
    >>> steady = pd.DataFrame({"queue": "ads", "time": days, "errors": 5, "items": 100})
    >>> moved = pd.DataFrame({"queue": "video", "time": days, "errors": [5] * 20 + [15] * 20, "items": 100})
    >>> screen = screen_changes(pd.concat([steady, moved]), ["queue"])
    >>> [(one.where["queue"], one.changed) for one in screen.series]
    [('ads', False), ('video', True)]
    """
    check_chance("fdr", fdr)
    by = [by] if isinstance(by, str) else list(by)
    if not by or len(set(by)) < len(by):
        raise ValueError(f"by {by} has to name one column or several, each once")
    table = read_series(counts, by)
    groups = table.groupby(by, sort=True, dropna=False)
    parts = {key: take_numbers(part) for key, part in groups[[name for name in table if name not in by]]}
    read = {key: part for key, part in parts.items() if len(part[0]) > 1 and (part[2] is None or part[2].sum() > 0)}
    found = _search_all(list(read.values()), fdr, season, jobs, progress)
    q_values = false_discovery_control([one.p_value for one in found]) if found else np.zeros(0)
    needed = fdr * max(int((q_values <= fdr).sum()), 1) / max(len(found), 1)
    series = []
    for (key, numbers), one, q_value in zip(read.items(), found, q_values.tolist(), strict=True):
        silent = one if q_value <= fdr or not one.shifts else search_series(numbers, alpha=1e-12, season=season)
        where = _where(by, key)
        near = _events_of(events, where)
        trend = describe_trend(numbers, silent, alpha=needed, season=season, events=near)
        series.append(Screened(where, replace(trend, p_value=one.p_value), q_value, q_value <= fdr))
    return Screen(tuple(series), tuple(_where(by, key) for key in parts if key not in read), fdr)


def _search_all(
    series: list[Numbers], alpha: float, season: Season, jobs: int | None, progress: bool | None
) -> list[Segmentation]:
    seconds = sum(0.003 + 1e-7 * len(times) ** 2 for times, _, _ in series)
    workers = jobs or (-1 if seconds > PARALLEL_FROM else 1)
    search = delayed(search_series)
    work = Parallel(workers, return_as="generator")(search(one, alpha=alpha, season=season) for one in series)
    return list(tqdm(work, "series", len(series), disable=None if progress is None else not progress))


def _where(by: Sequence[str], key: tuple[Any, ...]) -> dict[str, str]:
    return {name: MISSING if pd.isna(value) else str(value) for name, value in zip(by, key, strict=True)}


def _events_of(events: pd.DataFrame | None, where: Mapping[str, str]) -> pd.DataFrame | None:
    if events is None or "scope" not in events:
        return events
    scopes = [parse_scope(scope) for scope in events["scope"]]
    fits = [all(where.get(name, value) == value for name, value in scope.items()) for scope in scopes]
    return events[np.array(fits, bool)]


def name_series(where: Mapping[str, str]) -> str:
    """Name a series by its values alone: `lisbon · video`."""
    return " · ".join(where.values())


def _tell_size(change: Change) -> str:
    size, date = change.difference, change.time
    day = show(date, "date") if isinstance(date, str) else f"{date:g}"
    text = f"{'up' if size.value > 0 else 'down'} by {show(abs(size.value), size.unit)}"
    return f"{text} {'on' if change.kind == 'step' else 'since'} {day}{' (unconfirmed)' if change.recent else ''}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
