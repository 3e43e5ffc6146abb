"""Periods: what a report covers, named as people name them: 2026-03, 2026-Q1, 2026-W12."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from math import ceil

MISSING_SHARE = 0.1  # of a period's days may lack audits at one end: three days of a month, none of a week
USUAL_SHARE = 0.98  # of the gaps between days with audits, that count as usual: holidays are the rest


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A month, a quarter or an ISO week: `start` is its first day, `end` the first day after it."""

    start: date
    end: date
    name: str

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days

    @property
    def kind(self) -> str:
        """Return "month", "quarter" or "week"."""
        return {"Q": "quarter", "W": "week"}.get(self.name[5], "month")

    def __str__(self) -> str:
        """Read as the name."""
        return self.name


def parse_period(name: str) -> Period:
    """Read the name of a period.

    Raises
    ------
    ValueError
        If it is neither a month, a quarter nor an ISO week.

    Examples
    --------
    >>> parse_period("2026-03").end, parse_period("2026-Q1").days, parse_period("2026-W12").start
    (datetime.date(2026, 4, 1), 90, datetime.date(2026, 3, 16))
    """
    found = re.fullmatch(r"(\d{4})-(?:(\d{2})|Q([1-4])|W(\d{2}))", str(name))
    try:
        if not found:
            raise ValueError
        year, month, quarter, week = (int(part) if part else 0 for part in found.groups())
        if week:
            start = date.fromisocalendar(year, week, 1)
            return Period(start, start + timedelta(days=7), name)
        first = month or 3 * quarter - 2
        return Period(date(year, first, 1), _months_later(date(year, first, 1), 1 if month else 3), name)
    except ValueError:
        raise ValueError(
            f"{name!r} is no period; write a month 2026-03, a quarter 2026-Q1 or a week 2026-W12"
        ) from None


def period_of(day: date, kind: str) -> Period:
    """Return the period of a kind that holds a day.

    Examples
    --------
    >>> [period_of(date(2026, 3, 18), kind).name for kind in ("month", "quarter", "week")]
    ['2026-03', '2026-Q1', '2026-W12']
    """
    year, week, _ = day.isocalendar()
    names = {
        "month": f"{day:%Y-%m}",
        "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
        "week": f"{year}-W{week:02d}",
    }
    return parse_period(names[kind])


def name_period_before(name: str) -> str:
    """Return the name of the period of the same kind before one.

    Examples
    --------
    >>> [name_period_before(name) for name in ("2026-01", "2026-Q1", "2026-W01")]
    ['2025-12', '2025-Q4', '2025-W52']
    """
    period = parse_period(name)
    return period_of(period.start - timedelta(days=1), period.kind).name


def periods_before(period: Period, days: Iterable[date], count: int) -> tuple[Period, ...]:
    """Return the latest `count` earlier periods of the same kind that hold any of these days, in order."""
    held = {period_of(day, period.kind) for day in days if day < period.start}
    return tuple(sorted(held)[-count:]) if count else ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """The days that a store's audits reach over, all sites together.

    Attributes
    ----------
    first, last
        The first and the last day with audits.
    rhythm
        How many days usually pass from one day with audits to the next, at the most: 1 where every day has some, 3
        where weekends have none.
    """

    first: date
    last: date
    rhythm: int = 1

    def ends_inside(self, period: Period) -> bool:
        """Tell whether days with audits were due after the last one that make more than a tenth of a period."""
        return self.last < period.end and self.last + self._slack(period) < period.end

    def begins_inside(self, period: Period) -> bool:
        """Tell whether days with audits were due before the first one that make more than a tenth of a period."""
        return self.first >= period.start and self.first - self._slack(period) >= period.start

    def _slack(self, period: Period) -> timedelta:
        return timedelta(days=max(self.rhythm, 1 + int(MISSING_SHARE * period.days)))

    def holds(self, period: Period) -> bool:
        """Tell whether a period is complete: the audits reach from its start to its end."""
        return not self.ends_inside(period) and not self.begins_inside(period)

    def within(self, first: Period, last: Period) -> Coverage:
        """Return what two periods can tell of the coverage: no more than that changes a report of them."""
        return Coverage(
            self.first if self.begins_inside(first) else first.start,
            self.last if self.ends_inside(last) else last.end - timedelta(days=1),
            self.rhythm if not (self.holds(first) and self.holds(last)) else 1,
        )


def cover_days(days: Iterable[date]) -> Coverage:
    """Return the coverage of some days with audits.

    Parameters
    ----------
    days
        Days with audits, in any order, each any number of times; one at the least.

    Notes
    -----
    The rhythm is a gap that 98 of 100 gaps do not exceed, so that a store of fewer days than fifty has that of its
    longest gap. With one day only there is no rhythm and the next day is taken to be due.

    Examples
    --------
    >>> working_days = [date(2026, 3, day) for day in (2, 3, 4, 5, 6, 9, 10)]
    >>> covered = cover_days(working_days)
    >>> covered.rhythm, covered.holds(parse_period("2026-W10")), covered.holds(parse_period("2026-W11"))
    (3, True, False)
    """
    known = sorted(set(days))
    gaps = sorted((after - before).days for before, after in pairwise(known))
    rhythm = gaps[ceil(USUAL_SHARE * len(gaps)) - 1] if gaps else 1
    return Coverage(known[0], known[-1], rhythm)


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.month - 1 + months, 12)
    return date(day.year + year, month + 1, 1)
