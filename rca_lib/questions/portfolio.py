"""How do sites compare, fairly? A funnel of sites and periods, adjusted for their mix of work; never a league table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.counting import column_names, count_errors, items_repeat, keep_proportional, open_table
from rca_lib.audits.periods import Coverage, cover_days, parse_period, period_of
from rca_lib.audits.tables import parse_scope
from rca_lib.findings import DataError, Finding, Rate, count_noun, join_words, mark_units, show
from rca_lib.stats.rates import clustered_rate

MIX = ("queue", "content_type")
NOT_DIFFERENT, TOO_FEW = "no different", "too few audits"
LEAST_AUDITS = 30  # of a site and period, as for a headline: fewer are shown and not judged


@dataclass(frozen=True, slots=True)
class SitePoint:
    """One site and period: its rate, and what it would be with the mix of work of all sites together.

    `adjusted` is the overall rate times observed over expected errors; `items` the number of independent audits that
    carry as much information; `lower` and `upper` the funnel at that number,
    outside of which a point is called different; `p_value` of "no different from the rest",
    `verdict` after all points were looked at (Benjamini and Hochberg 1995), "too few audits" below 30; `target` met,
    missed, not proven or ""; `complete` tells whether the audits of all sites reach over the whole period.
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
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Portfolio:
    """All sites and periods against the whole: `overall` error rate, `spread` the overdispersion between points."""

    overall: float
    spread: float
    alpha: float
    adjusted_for: tuple[str, ...]
    points: tuple[SitePoint, ...]
    coverage: Coverage

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
                "coverage": "" if point.complete else "incomplete period",
            }
            for point in self.points
        ]
        return mark_units(pd.DataFrame(rows), **dict.fromkeys(("accuracy", "low", "high", "mix_adjusted"), "%"))

    def summary(self) -> str:
        """Say who differs from the rest, who misses a target, and what of it is provisional."""
        told = [f"{point.site} in {point.period} ({point.verdict})" for point in self.points if _differs(point)]
        mix = f", adjusted for {join_words(self.adjusted_for)}" if self.adjusted_for else ""
        places = count_noun(len(self.points), "site and period", "sites and periods")
        whole = f"{places}, {show(1 - self.overall, '%')} accurate together{mix}."
        differ = f"Beyond chance: {join_words(told)}." if told else "None differs from the others beyond chance."
        return " ".join([whole, differ, *self._tell_targets(), *self._tell_limits()])

    def _tell_targets(self) -> Iterator[str]:
        """Say who misses a target, and why that is no contradiction to a quiet comparison."""
        judged = [point for point in self.points if point.target]
        if missed := [point for point in judged if point.target == "missed"]:
            named = join_words([f"{point.site} in {point.period}" for point in missed])
            yield f"{named} {'misses' if len(missed) == 1 else 'miss'} the contract's target."
            if not all(map(_differs, missed)):
                yield "Sites can be alike and all miss it: comparison and target are two questions."

    def _tell_limits(self) -> Iterator[str]:
        if few := sum(point.verdict == TOO_FEW for point in self.points):
            yield f"{few} of them {'has' if few == 1 else 'have'} fewer than {LEAST_AUDITS} audits and are not judged."
        if partial := sorted({point.period for point in self.points if not point.complete}):
            ends = show(self.coverage.first.isoformat(), "date"), show(self.coverage.last.isoformat(), "date")
            yield f"Incomplete: {join_words(partial)}. The audits reach from {ends[0]} to {ends[1]}."

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per point that differs."""
        return tuple(
            Finding("portfolio", "differs", f"{point.site} in {point.period} is {point.verdict} than the rest.",
                    "shown" if point.complete else "likely", point.rate, f"points[{place}].rate",
                    {"site": point.site}, p_value=point.p_value)
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
    between points, so that sites which all differ a little do not all look special. Points with fewer than 30 audits
    are shown and not judged; those of an incomplete period are compared with each other, and marked. It cannot see that
    a site's items are harder within a queue and content type.

    Raises
    ------
    DataError
        If there are no audits, or none of the sites and periods named.
    """
    counts, coverage = _count(keep_proportional(audits), periods)
    adjusted_for = tuple(name for name in MIX if name in counts)
    overall, counts["expected"] = _expect(counts, adjusted_for)
    groups = counts[counts["site"].isin(sites or counts["site"].unique())].groupby(["site", "period"], sort=True)
    named = {key: part for key, part in groups if not periods or key[1] in periods}
    if not named:
        raise DataError("no audits of these sites and periods", mend="leave sites and periods empty to see all")
    rates = {key: _rate(part) for key, part in named.items()}
    adjusted = np.array([
        min(overall * part["weighted_errors"].sum() / part["expected"].sum(), 1.0) if overall else 0.0
        for part in named.values()
    ])  # fmt: skip
    sizes = np.array([rates[key][1] for key in named])
    judged = np.array([rates[key][0].items >= LEAST_AUDITS for key in named])
    error = np.sqrt(_spread(overall, sizes) / sizes)
    z_values = (adjusted - overall) / error
    spread = _overdispersion(z_values[judged])
    p_values = 2 * stats.norm.sf(np.abs(z_values) / spread)
    called, limit = np.zeros(len(named), bool), alpha
    if judged.any():
        called[judged] = stats.false_discovery_control(p_values[judged]) <= alpha
        limit = max(called.sum(), 1) * alpha / judged.sum()
    width = stats.norm.ppf(1 - limit / 2) * spread * error
    points = tuple(
        SitePoint(*key, rates[key][0], float(adjusted[place]), float(sizes[place]),
                  max(overall - float(width[place]), 0.0), min(overall + float(width[place]), 1.0),
                  float(p_values[place]), _call(z_values[place], called[place], judged[place]),
                  _against_target(rates[key][0], key[0], targets), coverage.holds(parse_period(key[1])))
        for place, key in enumerate(named)
    )  # fmt: skip
    return Portfolio(overall, spread, alpha, adjusted_for, points, coverage)


def _call(z_value: float, called: bool, judged: bool) -> str:
    if not judged:
        return TOO_FEW
    return ("worse" if z_value > 0 else "better") if called else NOT_DIFFERENT


def _spread(overall: float, sizes: np.ndarray) -> np.ndarray:
    """Return the variance of one audit's error; where all audits or none are errors, as if half of one were not."""
    rate = np.full(len(sizes), overall)
    rate = np.where(rate * (1 - rate) > 0, rate, (rate * sizes + 0.5) / (sizes + 1))
    return rate * (1 - rate)


def _count(audits: Any, periods: Sequence[str]) -> tuple[pd.DataFrame, Coverage]:
    """Count by site, period, rater, mix and outcome, by item where items repeat; tell how far the audits reach."""
    names = column_names(audits)
    wanted = ("rater", *MIX, *(["item_id"] if items_repeat(audits) else []))
    keys = ["site", "day", *(name for name in wanted if name in names), "wrong"]
    counts = count_errors(open_table(audits).with_columns(wrong=nw.col("error")), keys)
    if counts.empty:
        raise DataError("no audits", mend="look at the ledger of the intake")
    kind = parse_period(periods[0]).kind if periods else "month"
    days = {day: pd.Timestamp(day).date() for day in counts["day"].unique()}
    counts["period"] = counts["day"].map({day: period_of(date, kind).name for day, date in days.items()})
    keys = ["site", "period", *keys[2:]]
    return counts.drop(columns="day").groupby(keys, dropna=False, as_index=False).sum(), cover_days(days.values())


def _expect(counts: pd.DataFrame, mix: Sequence[str]) -> tuple[float, pd.Series]:
    """Return the overall rate, and each row's expected (weighted) errors, cells shrunk to it by ten audits' worth."""
    overall = min(float(counts["weighted_errors"].sum() / counts["weight"].sum()), 1.0)
    if not mix:
        return overall, counts["weight"] * overall
    cells = counts.groupby(list(mix), dropna=False)
    sums = cells[["weight", "weighted_errors", "items"]].transform("sum")
    prior = 10 * sums["weight"] / sums["items"]
    expected = counts["weight"] * (sums["weighted_errors"] + prior * overall) / (sums["weight"] + prior)
    return overall, expected * (counts["weighted_errors"].sum() / expected.sum() if overall else 1.0)


def _rate(part: pd.DataFrame) -> tuple[Rate, float]:
    """Return a point's rate and how many independent audits carry as much information."""
    rater, item = (
        part[name].factorize(use_na_sentinel=False)[0] if name in part else None for name in ("rater", "item_id")
    )
    numbers = (part[name].to_numpy(float) for name in ("items", "weight", "squared_weight"))
    estimate = clustered_rate(part["wrong"].to_numpy(bool), *numbers, rater, item)
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
    return point.verdict not in (NOT_DIFFERENT, TOO_FEW)
