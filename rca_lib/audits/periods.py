# Tested in tests/questions/test_portfolio.py.
"""Reporting periods (2026-03, 2026-Q1, 2026-W12), and how far the audits of a store cover them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from math import ceil
from typing import Literal

Frequency = Literal["month", "quarter", "week"]

MAX_MISSING_SHARE = 0.1  # share of a period's days that may lack audits at one end: three days of a month
CADENCE_MONTHS = 3  # last months with audits, whose days give the cadence of auditing
GAP_QUANTILE = 0.98  # share of the gaps between days with audits that count as typical; holidays are the rest


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A month, a quarter or an ISO week: `start` is its first day, `end` the first day after it."""

    start: date
    end: date
    name: str

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days

    @property
    def kind(self) -> Frequency:
        """Frequency of the period: "month", "quarter" or "week"."""
        frequencies: dict[str, Frequency] = {"Q": "quarter", "W": "week"}
        return frequencies.get(self.name[5], "month")

    def __str__(self) -> str:
        """Return the name."""
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
    match = re.fullmatch(r"(\d{4})-(?:(\d{2})|Q([1-4])|W(\d{2}))", str(name))
    try:
        if not match:
            raise ValueError
        year, month, quarter, week = (int(part) if part else 0 for part in match.groups())
        if week:
            start = date.fromisocalendar(year, week, 1)
            return Period(start, start + timedelta(days=7), name)
        start = date(year, month or 3 * quarter - 2, 1)
        return Period(start, _add_months(start, 1 if month else 3), name)
    except ValueError:
        raise ValueError(
            f"{name!r} is not a period; write a month 2026-03, a quarter 2026-Q1 or a week 2026-W12"
        ) from None


def get_period(day: date, frequency: str) -> Period:
    """Return the period of a frequency ("month", "quarter" or "week") that contains a day.

    Examples
    --------
    >>> [get_period(date(2026, 3, 18), frequency).name for frequency in ("month", "quarter", "week")]
    ['2026-03', '2026-Q1', '2026-W12']
    """
    year, week, _ = day.isocalendar()
    names = {
        "month": f"{day:%Y-%m}",
        "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
        "week": f"{year}-W{week:02d}",
    }
    return parse_period(names[frequency])


def get_previous_period(name: str) -> str:
    """Return the name of the preceding period of the same frequency.

    Examples
    --------
    >>> [get_previous_period(name) for name in ("2026-01", "2026-Q1", "2026-W01")]
    ['2025-12', '2025-Q4', '2025-W52']
    """
    period = parse_period(name)
    return get_period(period.start - timedelta(days=1), period.kind).name


def list_previous_periods(period: Period, days: Iterable[date], count: int) -> tuple[Period, ...]:
    """Return the latest `count` earlier periods of the same frequency that contain any of the days, in order."""
    earlier = {get_period(day, period.kind) for day in days if day < period.start}
    return tuple(sorted(earlier)[-count:]) if count else ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """The days that the audits of a store cover, all sites together.

    Attributes
    ----------
    first, last
        The first and the last day with audits.
    typical_gap_days
        Days that usually pass from one day with audits to the next, at most: 1 where every day has audits, 3 where
        weekends have none.
    """

    first: date
    last: date
    typical_gap_days: int = 1

    def ends_within(self, period: Period) -> bool:
        """Tell whether the audits end too early: more than a tenth of a period is missing at its end."""
        return self.last < period.end and self.last + self._tolerance(period) < period.end

    def begins_within(self, period: Period) -> bool:
        """Tell whether the audits begin too late: more than a tenth of a period is missing at its start."""
        return self.first >= period.start and self.first - self._tolerance(period) >= period.start

    def _tolerance(self, period: Period) -> timedelta:
        """Return how long audits may be missing at one end of a period."""
        return timedelta(days=max(self.typical_gap_days, 1 + int(MAX_MISSING_SHARE * period.days)))

    def covers_period(self, period: Period) -> bool:
        """Tell whether the audits cover a period from its start to its end."""
        return not self.ends_within(period) and not self.begins_within(period)

    def clip_to(self, first: Period, last: Period) -> Coverage:
        """Return the part of the coverage that matters to a report of two periods.

        Days outside the periods are dropped, so that later audits do not change the report.
        """
        return Coverage(
            self.first if self.begins_within(first) else first.start,
            self.last if self.ends_within(last) else last.end - timedelta(days=1),
            self.typical_gap_days if not (self.covers_period(first) and self.covers_period(last)) else 1,
        )


def compute_coverage(days: Iterable[date]) -> Coverage:
    """Compute the coverage from the days with audits.

    Parameters
    ----------
    days
        Days with audits, in any order and with repetitions; at least one.

    Returns
    -------
    Coverage
        First and last day with audits, and the typical gap between days with audits.

    Notes
    -----
    The typical gap is one that 98% of the gaps do not exceed. With fewer than fifty days it is the longest gap. With a
    single day it is 1.

    Examples
    --------
    >>> working_days = [date(2026, 3, day) for day in (2, 3, 4, 5, 6, 9, 10)]
    >>> coverage = compute_coverage(working_days)
    >>> weeks = parse_period("2026-W10"), parse_period("2026-W11")
    >>> coverage.typical_gap_days, coverage.covers_period(weeks[0]), coverage.covers_period(weeks[1])
    (3, True, False)
    """
    sorted_days = sorted(set(days))
    gaps = sorted((after - before).days for before, after in pairwise(sorted_days))
    typical_gap = gaps[ceil(GAP_QUANTILE * len(gaps)) - 1] if gaps else 1
    return Coverage(sorted_days[0], sorted_days[-1], typical_gap)


def compute_recent_coverage(days: Iterable[date]) -> Coverage:
    """Compute the coverage with the typical gap of the last three months with audits.

    Parameters
    ----------
    days
        Days with audits, in any order and with repetitions; at least one.

    Returns
    -------
    Coverage
        First and last day of all days, and the typical gap between the days of the last months.

    Examples
    --------
    >>> sundays = [date(2026, 1, 4), date(2026, 1, 11)]
    >>> coverage = compute_recent_coverage([*sundays, *(date(2026, month, 1) for month in (4, 5, 6))])
    >>> coverage.first, coverage.typical_gap_days
    (datetime.date(2026, 1, 4), 31)
    """
    sorted_days = sorted(set(days))
    last_months = sorted({(day.year, day.month) for day in sorted_days})[-CADENCE_MONTHS:]
    recent_days = [day for day in sorted_days if (day.year, day.month) in last_months]
    return replace(compute_coverage(recent_days), first=sorted_days[0])


def _add_months(day: date, months: int) -> date:
    """Return the first day of the month some months later."""
    years, month_index = divmod(day.month - 1 + months, 12)
    return date(day.year + years, month_index + 1, 1)
