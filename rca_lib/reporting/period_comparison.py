# Tested in tests/questions/test_portfolio.py.
"""Where did the error rate of all sites together change? The last two complete periods are compared.

Only sites with audits in both periods are compared, so that a site which opens or closes does not change the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect, keep_proportional
from rca_lib.audits.periods import Coverage, Period, compute_coverage, get_period, parse_period
from rca_lib.audits.schema import DIMENSIONS
from rca_lib.findings import Finding, format_value, join_words
from rca_lib.questions.drivers import Drivers, rank_drivers
from rca_lib.result import Result


@dataclass(frozen=True, slots=True)
class PeriodComparison(Result):
    """Two complete periods of the same sites, compared.

    Attributes
    ----------
    drivers
        The change and its parts; None where there are no two complete periods.
    periods
        The names of the two periods.
    sites
        The sites with audits in both periods.
    exclusions
        Periods and sites that were left out, and why; one sentence each.
    """

    drivers: Drivers | None
    periods: tuple[str, ...]
    sites: tuple[str, ...]
    exclusions: tuple[str, ...]

    def summary(self) -> str:
        """Return the change of the error rate, the two periods, and what was left out."""
        if self.drivers is None:
            sentence = "Not available: there are no two complete periods with audits of the same site."
        else:
            sentence = f"From {self.periods[0]} to {self.periods[1]}: {self.drivers.summary()}"
        return " ".join([sentence, *self.exclusions])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per named slice, as `Drivers.to_frame` does."""
        return self.drivers.to_frame() if self.drivers is not None else pd.DataFrame()

    def findings(self) -> tuple[Finding[str], ...]:
        """Return the findings of the drivers."""
        return self.drivers.findings() if self.drivers is not None else ()


def compare_last_periods(audits: Any, *, periods: Sequence[str] = (), alpha: float = 0.05) -> PeriodComparison | None:
    """Find where the error rate of all sites changed between the last two complete periods.

    Parameters
    ----------
    audits
        All audits, one row each, with `site` and `day`. Raters of different sites are different people.
    periods
        Periods to choose the last two complete ones from; all months where it is empty (default).
    alpha
        Probability of naming anything where nothing changed (default 0.05).

    Returns
    -------
    PeriodComparison or None
        None where there is only one period.

    Notes
    -----
    A period is complete where the audits of all sites cover it from start to end (`Coverage`). A site without audits in
    one of the two periods is left out of both.
    """
    table = nw.from_native(keep_proportional(audits)).lazy()
    site_days = collect(table.select("site", "day").unique())
    site_days["day"] = pd.to_datetime(site_days["day"]).dt.date
    requested = {parse_period(name) for name in periods}
    candidates = sorted(requested or {get_period(day, "month") for day in site_days["day"]})
    if len(candidates) < 2:
        return None
    coverage = compute_coverage(site_days["day"])
    complete = [period for period in candidates if coverage.covers_period(period)]
    incomplete = [period for period in candidates if period not in complete]
    exclusions = _describe_incomplete_periods(incomplete, coverage)
    last_two = complete[-2:]
    if len(last_two) < 2:
        return PeriodComparison(None, (), (), exclusions)
    first_sites, second_sites = (_list_sites(site_days, period) for period in last_two)
    sites = tuple(sorted(first_sites & second_sites, key=str))
    exclusions += _describe_missing_sites(first_sites - second_sites, last_two[1])
    exclusions += _describe_missing_sites(second_sites - first_sites, last_two[0])
    names = tuple(period.name for period in last_two)
    if not sites:
        return PeriodComparison(None, names, (), exclusions)
    return PeriodComparison(_rank_drivers(table, last_two, sites, alpha), names, sites, exclusions)


def _rank_drivers(table: nw.LazyFrame[Any], periods: Sequence[Period], sites: Sequence[str], alpha: float) -> Drivers:
    columns = table.collect_schema().names()
    table = table.filter(nw.col("site").is_in(list(sites)))
    if "rater" in columns:
        table = table.with_columns(rater=nw.concat_str("site", "rater", separator=" "))
    baseline, current = (
        table.filter((nw.col("day") >= period.start) & (nw.col("day") < period.end)).to_native() for period in periods
    )
    dimensions = ["site", *(name for name in DIMENSIONS if name in columns)]
    return rank_drivers(baseline, current, dimensions, alpha=alpha)


def _list_sites(site_days: pd.DataFrame, period: Period) -> set[Any]:
    is_in_period = (site_days["day"] >= period.start) & (site_days["day"] < period.end)
    return set(site_days["site"][is_in_period].dropna())


def _describe_missing_sites(sites: set[Any], period: Period) -> tuple[str, ...]:
    return tuple(f"{site} is left out: it has no audits in {period}." for site in sorted(sites, key=str))


def _describe_incomplete_periods(periods: Sequence[Period], coverage: Coverage) -> tuple[str, ...]:
    if not periods:
        return ()
    first_day = format_value(coverage.first.isoformat(), "date")
    last_day = format_value(coverage.last.isoformat(), "date")
    verb = "is" if len(periods) == 1 else "are"
    names = join_words([period.name for period in periods])
    return (f"{names} {verb} left out as incomplete: the audits cover {first_day} to {last_day}.",)
