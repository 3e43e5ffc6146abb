"""How do sites compare, fairly? A funnel of sites and periods, adjusted for their mix of work; never a league table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.counting import column_names, count_errors, keep_proportional
from rca_lib.audits.periods import parse_period, period_of
from rca_lib.audits.tables import parse_scope
from rca_lib.findings import DataError, Finding, Rate, join_words, show
from rca_lib.stats.rates import clustered_rate

MIX = ("queue", "content_type")


@dataclass(frozen=True, slots=True)
class SitePoint:
    """One site and period: its rate, and what it would be with the mix of work of all sites together.

    `adjusted` is the overall rate times observed over expected errors; `items` the number of independent audits that
    carry as much information; `lower` and `upper` the funnel at that number,
    outside of which a point is called different; `p_value` of "no different from the rest",
    `verdict` after all points were looked at (Benjamini and Hochberg 1995); `target` met, missed, not proven or "".
    """

    site: str
    period: str
    rate: Rate
    adjusted: float
    items: float
    lower: float
    upper: float
    p_value: float
    verdict: str
    target: str


@dataclass(frozen=True, slots=True)
class Portfolio:
    """All sites and periods against the whole: `overall` error rate, `spread` the overdispersion between points."""

    overall: float
    spread: float
    alpha: float
    adjusted_for: tuple[str, ...]
    points: tuple[SitePoint, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per site and period, by name: rates as shares, `audits` and `errors` as counts of rows."""
        rows = [
            {
                "site": point.site,
                "period": point.period,
                "audits": int(point.rate.items),
                "errors": int(point.rate.errors),
                "accuracy": 1 - point.rate.value,
                "low": 1 - point.rate.high,
                "high": 1 - point.rate.low,
                "mix_adjusted": 1 - point.adjusted,
                "against_the_rest": point.verdict,
                "target": point.target,
            }
            for point in self.points
        ]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Say who differs, or that nobody does beyond chance."""
        told = [f"{point.site} in {point.period} ({point.verdict})" for point in self.points if _differs(point)]
        mix = f", adjusted for {join_words(self.adjusted_for)}" if self.adjusted_for else ""
        whole = f"{len(self.points)} sites and periods, {show(1 - self.overall, '%')} accurate together{mix}."
        return f"{whole} {f'Beyond chance: {join_words(told)}.' if told else 'None differs beyond chance.'}"

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per point that differs."""
        return tuple(
            Finding("portfolio", "differs", f"{point.site} in {point.period} is {point.verdict} than the rest.",
                    "shown", point.rate, f"points[{place}].rate", {"site": point.site}, p_value=point.p_value)
            for place, point in enumerate(self.points) if _differs(point)
        )  # fmt: skip


def compare_sites(
    audits: Any,
    targets: pd.DataFrame | None = None,
    *,
    sites: Sequence[str] = (),
    periods: Sequence[str] = (),
    alpha: float = 0.05,
) -> Portfolio:
    """Compare sites and periods with what chance and their mix of work let expect.

    Parameters
    ----------
    audits
        One row per audit: `site`, `day`, `error` (or `label` and `truth`); where they exist `rater`, `weight`, and
        `queue` and `content_type` to adjust for.
    targets
        The contract's accuracy, per site or for all (`metric`, `scope`, `contract`).
    sites, periods
        The ones to show, all sites and all months where none is named. All audits make the standard.
    alpha
        The expected share of false calls among the points called different.

    Returns
    -------
    Portfolio
        A point per site and period, by name.

    Notes
    -----
    Expected errors come from the rates of queue × content type over all sites (indirect standardisation). The funnel is
    Spiegelhalter's (2005), on effective numbers of audits (weights, rater clusters) and widened by the overdispersion
    between points, so that sites which all differ a little do not all look special. It cannot see that a site's items
    are harder within a queue and content type.

    Raises
    ------
    DataError
        If there are no audits, or none of the sites and periods named.
    """
    counts = _count(keep_proportional(audits), periods)
    adjusted_for = tuple(name for name in MIX if name in counts)
    overall, counts["expected"] = _expect(counts, adjusted_for)
    groups = counts[counts["site"].isin(sites or counts["site"].unique())].groupby(["site", "period"], sort=True)
    named = {key: part for key, part in groups if not periods or key[1] in periods}
    if not named:
        raise DataError("no audits of these sites and periods", mend="leave sites and periods empty to see all")
    rates = {key: _rate(part) for key, part in named.items()}
    ratio = {key: part["weighted_errors"].sum() / max(part["expected"].sum(), 1e-12) for key, part in named.items()}
    sizes = np.array([rates[key][1] for key in named])
    z_values = (overall * np.array(list(ratio.values())) - overall) / np.sqrt(overall * (1 - overall) / sizes)
    spread = _overdispersion(z_values)
    p_values = 2 * stats.norm.sf(np.abs(z_values) / spread)
    called = stats.false_discovery_control(p_values) <= alpha
    limit = max(called.sum(), 1) * alpha / len(p_values)
    width = stats.norm.ppf(1 - limit / 2) * spread * np.sqrt(overall * (1 - overall) / sizes)
    points = tuple(
        SitePoint(*key, rates[key][0], overall * ratio[key], float(sizes[place]),
                  max(overall - float(width[place]), 0.0), overall + float(width[place]), float(p_values[place]),
                  ("worse" if z_values[place] > 0 else "better") if called[place] else "no different",
                  _against_target(rates[key][0], key[0], targets))
        for place, key in enumerate(named)
    )  # fmt: skip
    return Portfolio(overall, spread, alpha, adjusted_for, points)


def _count(audits: Any, periods: Sequence[str]) -> pd.DataFrame:
    names = column_names(audits)
    keys = ["site", "day", *(name for name in ("rater", *MIX) if name in names)]
    counts = count_errors(audits, keys)
    if counts.empty:
        raise DataError("no audits", mend="look at the ledger of the intake")
    kind = parse_period(periods[0]).kind if periods else "month"
    by_day = {day: period_of(pd.Timestamp(day).date(), kind).name for day in counts["day"].unique()}
    counts["period"] = counts["day"].map(by_day)
    keys = ["site", "period", *keys[2:]]
    return counts.drop(columns="day").groupby(keys, dropna=False, as_index=False).sum()


def _expect(counts: pd.DataFrame, mix: Sequence[str]) -> tuple[float, pd.Series]:
    """Return the overall rate, and each row's expected (weighted) errors, cells shrunk to it by ten audits' worth."""
    overall = float(counts["weighted_errors"].sum() / counts["weight"].sum())
    if not mix:
        return overall, counts["weight"] * overall
    cells = counts.groupby(list(mix), dropna=False)
    sums = cells[["weight", "weighted_errors", "items"]].transform("sum")
    prior = 10 * sums["weight"] / sums["items"]
    expected = counts["weight"] * (sums["weighted_errors"] + prior * overall) / (sums["weight"] + prior)
    return overall, expected * (counts["weighted_errors"].sum() / expected.sum())


def _rate(part: pd.DataFrame) -> tuple[Rate, float]:
    """Return a point's rate and how many independent audits carry as much information."""
    errors = part["errors"].to_numpy()
    is_error = np.repeat([True, False], len(part))
    items = np.concatenate([errors, part["items"].to_numpy() - errors])
    weighted = part["weighted_errors"].to_numpy()
    weight = np.concatenate([weighted, part["weight"].to_numpy() - weighted])
    squared = np.divide(weight**2, items, out=np.zeros(len(items)), where=items > 0)
    rater = np.tile(part["rater"].factorize(use_na_sentinel=False)[0], 2) if "rater" in part else None
    estimate = clustered_rate(is_error, items, weight, squared, rater)
    return estimate.rate, estimate.rate.items / estimate.design_effect


def _overdispersion(z_values: np.ndarray) -> float:
    """Return the factor that widens the funnel: the z-values' spread, winsorised at their tenths (Spiegelhalter)."""
    if len(z_values) < 5:
        return 1.0
    low, high = np.quantile(z_values, (0.1, 0.9))
    return float(max(np.sqrt(np.mean(np.clip(z_values, low, high) ** 2)), 1.0))


def _against_target(rate: Rate, site: str, targets: pd.DataFrame | None) -> str:
    for target in [] if targets is None else targets.to_dict("records"):
        scope = parse_scope(target.get("scope"))
        if target["metric"] == "accuracy" and scope.get("site", site) == site and not set(scope) - {"site"}:
            low, high = 1 - rate.high, 1 - rate.low
            return "met" if low >= target["contract"] else "missed" if high < target["contract"] else "not proven"
    return ""


def _differs(point: SitePoint) -> bool:
    return point.verdict != "no different"
