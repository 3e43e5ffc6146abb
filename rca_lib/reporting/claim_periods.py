"""Periods as people write them in tables and slides: "March 2026", "Q1 2026", "2026", "2026-03-01 to 2026-03-14"."""

from __future__ import annotations

import re
from calendar import month_abbr, month_name
from datetime import date, timedelta

from rca_lib.audits.periods import Period, parse_period
from rca_lib.audits.periods import get_previous_period as get_previous_standard_period

MONTHS = {name.lower(): number for names in (month_name, month_abbr) for number, name in enumerate(names) if name}
MONTHS |= {"sept": 9}
ALL_TIME_WORDS = ("", "all", "all time", "overall", "total")
DATE_PATTERN = r"\d{4}-\d{2}-\d{2}"
STANDARD_PERIOD_PATTERN = re.compile(r"\d{4}-(\d{2}|q[1-4]|w\d{2})")


def parse_claim_period(text: str) -> Period | None:
    """Parse a period as people write it; return None for all days.

    Parameters
    ----------
    text
        A month, quarter, week, year, day or range of days.

    Raises
    ------
    ValueError
        If it is not a period, or ends before it starts.

    Examples
    --------
    >>> for text in ("March 2026", "Q1 2026", "2026", "2026-03-02 to 2026-03-08"):
    ...     print(parse_claim_period(text).start, parse_claim_period(text).end)
    2026-03-01 2026-04-01
    2026-01-01 2026-04-01
    2026-01-01 2027-01-01
    2026-03-02 2026-03-09
    """
    plain = " ".join(text.lower().replace("–", "-").split())
    if plain in ALL_TIME_WORDS:
        return None
    if STANDARD_PERIOD_PATTERN.fullmatch(plain):
        return parse_period(plain.upper())
    if re.fullmatch(r"\d{4}", plain):
        return Period(date(int(plain), 1, 1), date(int(plain) + 1, 1, 1), plain)
    if days := re.fullmatch(rf"({DATE_PATTERN})(?: ?(?:to|\.\.|until|-) ?({DATE_PATTERN}))?", plain):
        first, last = (date.fromisoformat(day) for day in (days[1], days[2] or days[1]))
        if last < first:
            raise ValueError(f"the period {text!r} ends before it starts")
        return Period(first, last + timedelta(days=1), text)
    if standard_name := _normalize_period(plain):
        return parse_period(standard_name)
    raise ValueError(
        f"the period {text!r} cannot be read; write 2026-03, 2026-Q1, 2026-W12 or 2026-03-01 to 2026-03-14"
    )


def get_previous_period(period: Period) -> Period:
    """Return the previous period: of the same kind, or of the same number of days.

    Examples
    --------
    >>> get_previous_period(parse_claim_period("2026-03-08 to 2026-03-14")).start
    datetime.date(2026, 3, 1)
    """
    if STANDARD_PERIOD_PATTERN.fullmatch(period.name.lower()):
        return parse_period(get_previous_standard_period(period.name))
    if re.fullmatch(r"\d{4}", period.name):
        return Period(date(period.start.year - 1, 1, 1), period.start, str(period.start.year - 1))
    start = period.start - timedelta(days=period.days)
    return Period(start, period.start, f"{start} to {period.start - timedelta(days=1)}")


def _normalize_period(plain: str) -> str:
    """Return the standard name of a month, quarter or week written in another way; "" where it is none."""
    words = re.sub(r"[-/,.']", " ", plain).split()
    years = [word for word in words if re.fullmatch(r"20\d{2}", word)]
    rest = "".join(word for word in words if word not in years).replace("week", "w").replace("quarter", "q")
    if len(years) != 1:
        return ""
    if rest in MONTHS:
        return f"{years[0]}-{MONTHS[rest]:02d}"
    if re.fullmatch(r"q[1-4]", rest):
        return f"{years[0]}-{rest.upper()}"
    if week := re.fullmatch(r"(?:cw|kw|w)(\d{1,2})", rest):
        return f"{years[0]}-W{int(week[1]):02d}"
    return f"{years[0]}-{int(rest):02d}" if re.fullmatch(r"\d{1,2}", rest) else ""
