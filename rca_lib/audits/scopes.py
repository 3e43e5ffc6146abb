"""The calendar's events: which work one concerns, whether that covers what changed, and whether its date fits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect, column_names
from rca_lib.audits.periods import Period
from rca_lib.audits.tables import parse_scope
from rca_lib.findings import show

Event = Mapping[str, Any]
NEAR_DAYS = 14  # before a period begins, in which an event still concerns it
SLACK_DAYS = 2  # around the date interval of a change
SITE = "site"  # reports are of one site, and read its events only


def read_scope(scope: Any) -> dict[str, str]:
    """Read an event's scope within its site: column to value or pattern; nothing means all work.

    Examples
    --------
    >>> read_scope("site=lisbon;policy=hate"), read_scope(None)
    ({'policy': 'hate'}, {})
    """
    return {name: value for name, value in parse_scope(scope).items() if name != SITE}


def covers(scope: Mapping[str, str], where: Mapping[str, str]) -> bool:
    """Tell whether a scope holds all work of a slice: each of its pairs is one of the slice's.

    Examples
    --------
    >>> covers({"policy": "hate"}, {"policy": "hate", "queue": "video"}), covers({}, {"queue": "video"})
    (True, True)
    >>> covers({"policy": "hate", "queue": "video"}, {"policy": "hate"}), covers({"team": "team-1"}, {})
    (False, False)
    """
    return all(name in where and fnmatchcase(where[name], value) for name, value in scope.items())


def widen_scopes(events: pd.DataFrame, audits: Any) -> pd.DataFrame:
    """Take out of scopes what all audits share: where a site has one market only, its events are the whole site's.

    Parameters
    ----------
    events
        One row per event, with `scope`.
    audits
        One row per audit of the site and period.
    """
    scopes = [read_scope(scope) for scope in events["scope"]]
    names = sorted({name for scope in scopes for name in scope} & set(column_names(audits)))
    if not names:
        return events
    values = collect(nw.from_native(audits).lazy().select(*names).unique())
    shared = {
        name: {str(value) for value in values[name].dropna()} if values[name].notna().all() else set() for name in names
    }
    wide = [
        ";".join(f"{name}={value}" for name, value in scope.items() if not _is_all(shared.get(name), value))
        for scope in scopes
    ]
    return events.assign(scope=wide)


def _is_all(values: set[str] | None, pattern: str) -> bool:
    return bool(values) and all(fnmatchcase(value, pattern) for value in values)


def list_recent(events: pd.DataFrame, period: Period) -> list[Event]:
    """Return the events that begin in the period or up to two weeks before it."""
    first, last = pd.Timestamp(period.start - timedelta(days=NEAR_DAYS)), pd.Timestamp(period.end)
    return events[(events["start"] >= first) & (events["start"] < last)].to_dict("records")


def fits_place(event: Event, where: Mapping[str, str]) -> bool:
    """Tell whether an event's scope holds a slice; a class of new starters is what a slice of tenure shows."""
    scope = read_scope(event.get("scope"))
    if event["type"] == "hiring_class" and "tenure" in where:
        scope = {name: value for name, value in scope.items() if name != "hiring_class" or name in where}
    return covers(scope, where)


def fits_date(event: Event, since: tuple[str, str, str]) -> bool:
    """Tell whether an event began within the date interval of a change, or two days from it."""
    earliest, latest = (date.fromisoformat(day[:10]) for day in since[1:])
    slack = timedelta(days=SLACK_DAYS)
    return earliest - slack <= event["start"].date() <= latest + slack


def name_event(event: Event) -> str:
    """Name an event with its date."""
    return f"{event['title']} ({show(str(event['start'])[:10], 'date')})"
