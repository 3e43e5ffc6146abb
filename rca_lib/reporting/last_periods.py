"""Where did all sites together move? The last two complete periods, and the sites that have audits in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect, keep_proportional
from rca_lib.audits.periods import Period, cover_days, parse_period, period_of
from rca_lib.audits.tables import DIMENSIONS
from rca_lib.findings import Finding, join_words, show
from rca_lib.questions.drivers import Drivers, Slice, rank_drivers


@dataclass(frozen=True, slots=True)
class PeriodComparison:
    """Two complete periods of the same sites, compared.

    Attributes
    ----------
    drivers
        The change from one to the other, taken apart; None where there are no two complete periods.
    periods
        The names of the two.
    sites
        The sites that have audits in both.
    left_out
        What was left out, and why, in sentences.
    """

    drivers: Drivers | None
    periods: tuple[str, ...]
    sites: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def named(self) -> tuple[Slice, ...]:
        """The slices that are shown to have changed, everywhere first."""
        return self.drivers.named if self.drivers is not None else ()

    def summary(self) -> str:
        """Say how the rate of all sites moved, between which periods, and what was left out."""
        if self.drivers is None:
            told = "Not available: there are no two complete periods with audits of the same site."
        else:
            told = f"From {self.periods[0]} to {self.periods[1]}: {self.drivers.summary()}"
        return " ".join([told, *self.left_out])

    def to_frame(self) -> pd.DataFrame:
        """Return a row per named slice, as `Drivers` does."""
        return self.drivers.to_frame() if self.drivers is not None else pd.DataFrame()

    def findings(self) -> tuple[Finding, ...]:
        """Hand on what the drivers found."""
        return self.drivers.findings() if self.drivers is not None else ()


def compare_last_periods(audits: Any, *, periods: Sequence[str] = (), alpha: float = 0.05) -> PeriodComparison | None:
    """Ask where the error rate of all sites together moved, between the last two complete periods.

    Parameters
    ----------
    audits
        All audits, one row each, with `site` and `day`; raters of different sites are different people.
    periods
        Of which to take the last two complete ones; months where none is named.
    alpha
        The probability of naming anything where nothing changed.

    Returns
    -------
    PeriodComparison, optional
        None where there is only one period.

    Notes
    -----
    A period is complete where the audits of all sites reach from its start to its end (`Coverage`). Sites without
    audits in one of the two are left out of both, so that a site which opens or closes is no change of the others.
    """
    table = nw.from_native(keep_proportional(audits)).lazy()
    found = collect(table.select("site", "day").unique())
    found["day"] = pd.to_datetime(found["day"]).dt.date
    known = sorted({parse_period(name) for name in periods} or {period_of(day, "month") for day in found["day"]})
    if len(known) < 2:
        return None
    coverage = cover_days(found["day"])
    complete = [period for period in known if coverage.holds(period)]
    last = tuple(complete[-2:])
    left_out = _tell_incomplete([one for one in known if one not in complete], coverage)
    if len(last) < 2:
        return PeriodComparison(None, (), (), left_out)
    held = [set(found["site"][_inside(found["day"], period)].dropna()) for period in last]
    sites = tuple(sorted(held[0] & held[1], key=str))
    left_out += tuple(
        f"{site} is left out: it has no audits in {last[1 - place]}."
        for place in (0, 1)
        for site in sorted(held[place] - held[1 - place], key=str)
    )
    names = tuple(period.name for period in last)
    if not sites:
        return PeriodComparison(None, names, (), left_out)
    return PeriodComparison(_rank(table, last, sites, alpha), names, sites, left_out)


def _rank(table: nw.LazyFrame[Any], periods: Sequence[Period], sites: Sequence[str], alpha: float) -> Drivers:
    names = table.collect_schema().names()
    table = table.filter(nw.col("site").is_in(list(sites)))
    if "rater" in names:
        table = table.with_columns(rater=nw.concat_str("site", "rater", separator=" "))
    parts = [table.filter((nw.col("day") >= one.start) & (nw.col("day") < one.end)).to_native() for one in periods]
    return rank_drivers(*parts, ["site", *(name for name in DIMENSIONS if name in names)], alpha=alpha)


def _inside(days: pd.Series, period: Period) -> pd.Series:
    return (days >= period.start) & (days < period.end)


def _tell_incomplete(periods: Sequence[Period], coverage: Any) -> tuple[str, ...]:
    if not periods:
        return ()
    reach = f"{show(coverage.first.isoformat(), 'date')} to {show(coverage.last.isoformat(), 'date')}"
    verb = "is" if len(periods) == 1 else "are"
    return (f"{join_words([one.name for one in periods])} {verb} left out: the audits reach from {reach}.",)
