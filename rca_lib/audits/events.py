# Tested in tests/questions/test_event_scopes.py.
"""Events of the calendar: the work each concerns, whether it covers a slice, and whether its date matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect, column_names
from rca_lib.audits.periods import Period
from rca_lib.audits.schema import matches_pattern, parse_scope
from rca_lib.findings import Grade, format_value

Event = Mapping[str, Any]
LOOKBACK_DAYS = 14  # an event up to two weeks before a period can still affect its decisions
DATE_TOLERANCE_DAYS = 2  # an event may start this far outside the date interval of a change
SITE = "site"  # a report covers one site and reads the events of that site only


def parse_event_scope(scope: Any) -> dict[str, str]:
    """Read an event's scope within its site: column to value or pattern. Empty means all work.

    Examples
    --------
    >>> parse_event_scope("site=lisbon;policy=hate"), parse_event_scope(None)
    ({'policy': 'hate'}, {})
    """
    return {name: value for name, value in parse_scope(scope).items() if name != SITE}


def scope_covers(scope: Mapping[str, str], where: Mapping[str, str]) -> bool:
    """Tell whether a scope includes all work of a slice: the slice has a matching value for each pair of the scope.

    Examples
    --------
    >>> slice_ = {"policy": "hate", "queue": "video"}
    >>> scope_covers({"policy": "hate"}, slice_), scope_covers({}, slice_)
    (True, True)
    >>> scope_covers(slice_, {"policy": "hate"}), scope_covers({"team": "team-1"}, {})
    (False, False)
    """
    return all(name in where and matches_pattern(where[name], value) for name, value in scope.items())


def drop_constant_scopes(events: pd.DataFrame, audits: Any) -> pd.DataFrame:
    """Remove pairs from scopes that all audits share: an event for the only market of a site concerns the whole site.

    Parameters
    ----------
    events
        One row per event, with `scope`.
    audits
        One row per audit of the site and period.

    Returns
    -------
    DataFrame
        The events with the shorter scopes; `site` is removed too.
    """
    scopes = [parse_event_scope(scope) for scope in events["scope"]]
    names = sorted({name for scope in scopes for name in scope} & set(column_names(audits)))
    if not names:
        return events
    values = collect(nw.from_native(audits).lazy().select(*names).unique())
    shared = {
        name: {str(value) for value in values[name].dropna()} if values[name].notna().all() else set() for name in names
    }
    scopes_text = [
        ";".join(f"{name}={value}" for name, value in scope.items() if not _matches_all(shared.get(name), value))
        for scope in scopes
    ]
    return events.assign(scope=scopes_text)


def _matches_all(values: set[str] | None, pattern: str) -> bool:
    """Tell whether there are values, and each of them matches a pattern."""
    return values is not None and bool(values) and all(matches_pattern(value, pattern) for value in values)


def select_recent_events(events: pd.DataFrame, period: Period) -> list[Event]:
    """Return the events that start in the period or up to two weeks before it."""
    earliest = pd.Timestamp(period.start - timedelta(days=LOOKBACK_DAYS))
    is_recent = (events["start"] >= earliest) & (events["start"] < pd.Timestamp(period.end))
    return [{str(name): value for name, value in row.items()} for row in events[is_recent].to_dict("records")]


def event_covers_slice(event: Event, where: Mapping[str, str]) -> bool:
    """Tell whether an event's scope includes a slice.

    A hiring class also covers a slice of tenure: new starters show up there first.
    """
    scope = parse_event_scope(event.get("scope"))
    if event["type"] == "hiring_class" and "tenure" in where:
        scope = {name: value for name, value in scope.items() if name != "hiring_class" or name in where}
    return scope_covers(scope, where)


def event_matches_date(event: Event, since: tuple[str, str, str]) -> bool:
    """Tell whether an event started within the date interval of a change, with two days of tolerance.

    `since` holds the estimated date of the change and the limits of its interval.
    """
    earliest, latest = (date.fromisoformat(day[:10]) for day in since[1:])
    tolerance = timedelta(days=DATE_TOLERANCE_DAYS)
    return earliest - tolerance <= event["start"].date() <= latest + tolerance


# How well an event matches a slice, by grade and by whether the event has a scope of its own.
EVENT_MATCH_TEXTS = {
    ("likely", True): "matches the slice and the date",
    ("possible", True): "matches the slice, but not clearly the date",
    ("possible", False): "matches the date, but concerned all work and not only this slice",
}


def match_event(
    events: Sequence[Event], where: Mapping[str, str], since: tuple[str, str, str] | None
) -> tuple[Event | None, Grade]:
    """Find the event that best explains a change of a slice.

    Parameters
    ----------
    events
        Events, in order of preference among equals.
    where
        The slice that changed.
    since
        The estimated date of the change and the limits of its interval; None where it is not dated.

    Returns
    -------
    event or None, grade
        The first event that matches the slice and the date ("likely"); else the first that matches the slice; else the
        first that concerns all work and matches the date (both "possible").
    """
    of_slice = [event for event in events if get_event_scope(event) and event_covers_slice(event, where)]
    of_slice_and_date = [event for event in of_slice if since and event_matches_date(event, since)]
    of_all_work = [
        event for event in events if not get_event_scope(event) and since and event_matches_date(event, since)
    ]
    best = next(iter([*of_slice_and_date, *of_slice, *of_all_work]), None)
    return best, "likely" if of_slice_and_date else "possible"


def get_event_scope(event: Event) -> dict[str, str]:
    """Return the scope of an event within its site. Empty: it concerns all work."""
    return parse_event_scope(event.get("scope"))


def format_event(event: Event) -> str:
    """Write an event as its title with its date."""
    return f"{event['title']} ({format_value(str(event['start'])[:10], 'date')})"
