"""How do sites compare? A funnel of sites and periods, adjusted for the work mix; never a league table.

With e_c, n_c the weighted errors and weight of cell c (queue × content type) over all sites, and r the overall error
rate, each cell has the shrunken rate (e_c + k_c r) / (n_c + k_c), where k_c is the weight of ten audits. A point i (one
site and period) with weight n_ic in cell c expects E_i errors, and its adjusted rate is indirectly standardised:

    E_i = sum_c n_ic (e_c + k_c r) / (n_c + k_c),    a_i = r O_i / E_i,    O_i its observed errors.

With m_i the effective number of audits (weights, rater clusters), z_i = (a_i - r) / sqrt(r (1 - r) / m_i). The funnel
is widened by the overdispersion phi of the winsorised z-values (Spiegelhalter 2005), and points are called different by
the Benjamini-Hochberg procedure on the p-values of z_i / phi.

References
----------
Spiegelhalter, D. J. (2005). Funnel plots for comparing institutional performance. Statistics in Medicine 24: 1185-1202.
Benjamini, Y. and Hochberg, Y. (1995). Controlling the false discovery rate. JRSS B 57: 289-300.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.counting import column_names, count_errors, has_repeated_items, keep_proportional, prepare_audits
from rca_lib.audits.periods import Coverage, compute_coverage, get_period, parse_period
from rca_lib.audits.schema import matches_pattern
from rca_lib.audits.targets import holds_throughout, judge_target, read_target
from rca_lib.findings import DataError, Estimate, Finding, Rate, format_count, format_value, join_words, set_units
from rca_lib.result import Result
from rca_lib.stats.funnel import call_different, compute_binomial_variance, estimate_overdispersion
from rca_lib.stats.proportions import estimate_clustered_rate

PortfolioKind = Literal["differs"]

ADJUSTMENT_COLUMNS = ("queue", "content_type")  # the work mix that points are adjusted for
NOT_DIFFERENT, TOO_FEW_AUDITS = "no different", "too few audits"
MIN_AUDITS = 30  # audits of a site and period, from which it is judged, as for a headline
PRIOR_AUDITS = 10  # audits at the overall rate that are added to each cell, so that small cells stay near it


@dataclass(frozen=True, slots=True)
class SitePeriod:
    """One site and period in the funnel.

    Attributes
    ----------
    site, period
        Their names.
    rate
        The error rate as it is.
    adjusted_rate
        The error rate with the work mix of all sites together, as a share.
    effective_audits
        The number of independent audits that carry as much information.
    lower_limit, upper_limit
        The control limits of the funnel at that number, as shares.
    p_value
        Of no difference from the other points.
    verdict
        "worse", "better" or "no different" at the false discovery rate of all points; "too few audits" below 30.
    target
        "met", "missed", "not proven", "too few audits", or "" without a target.
    complete
        Whether the audits of all sites cover the whole period.
    """

    site: str
    period: str
    rate: Rate
    adjusted_rate: float
    effective_audits: float
    lower_limit: float
    upper_limit: float
    p_value: float
    verdict: str
    target: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Portfolio(Result):
    """All sites and periods, with the overall error rate and the overdispersion between points."""

    max_display_rows: ClassVar[int] = 200  # every site and period, or queue, is of interest

    overall_rate: float
    overdispersion: float
    alpha: float
    adjusted_for: tuple[str, ...]
    points: tuple[SitePeriod, ...]
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
                "adjusted_accuracy": 1 - point.adjusted_rate,
                "comparison": point.verdict,
                "target": point.target,
                "coverage": "" if point.complete else "incomplete period",
            }
            for point in self.points
        ]
        return set_units(pd.DataFrame(rows), **dict.fromkeys(("accuracy", "low", "high", "adjusted_accuracy"), "%"))

    def summary(self) -> str:
        """Return which points differ from the others, which miss a target, and what is provisional."""
        count = format_count(len(self.points), "site and period", "sites and periods")
        mix = f", adjusted for {join_words(self.adjusted_for)}" if self.adjusted_for else ""
        overall = f"Overall accuracy {format_value(1 - self.overall_rate, '%')} in {count}{mix}."
        different = [f"{point.site} in {point.period} ({point.verdict})" for point in self.points if _differs(point)]
        comparison = "None differs from the others beyond chance."
        if different:
            comparison = f"Different from the others beyond chance: {join_words(different)}."
        return " ".join([overall, comparison, *self._format_targets(), *self._format_limitations()])

    def _format_targets(self) -> Iterator[str]:
        """Say who misses a target, and why that does not contradict a comparison without differences."""
        missed = [point for point in self.points if point.target == "missed"]
        if not missed:
            return
        names = join_words([f"{point.site} in {point.period}" for point in missed])
        yield f"{names} {'misses' if len(missed) == 1 else 'miss'} the target."
        if not all(map(_differs, missed)):
            yield "Sites can be alike and all miss the target: comparison and target are two questions."

    def _format_limitations(self) -> Iterator[str]:
        """Say which points are not judged, and which periods are incomplete."""
        if few := sum(point.verdict == TOO_FEW_AUDITS for point in self.points):
            yield f"{few} of them {'has' if few == 1 else 'have'} fewer than {MIN_AUDITS} audits and are not judged."
        if incomplete := sorted({point.period for point in self.points if not point.complete}):
            first = format_value(self.coverage.first.isoformat(), "date")
            last = format_value(self.coverage.last.isoformat(), "date")
            yield f"Incomplete: {join_words(incomplete)}. The audits cover {first} to {last}."

    def findings(self) -> tuple[Finding[PortfolioKind], ...]:
        """Return one finding per point that differs from the others."""
        return tuple(
            Finding("portfolio", "differs", f"{point.site} in {point.period} is {point.verdict} than the others.",
                    "shown" if point.complete else "likely", point.rate, f"points[{index}].rate",
                    {"site": point.site}, p_value=point.p_value)
            for index, point in enumerate(self.points) if _differs(point)
        )  # fmt: skip


def compare_sites(
    audits: Any,
    targets: pd.DataFrame | None = None,
    *,
    sites: Sequence[str] = (),
    periods: Sequence[str] = (),
    alpha: float = 0.05,
) -> Portfolio:
    """Compare sites and periods with what chance and their work mix lead one to expect.

    Parameters
    ----------
    audits
        One row per audit: `site`, `day`, `error` (or `label` and `truth`); if they exist `rater`, `weight`, and
        `queue` and `content_type` to adjust for.
    targets
        One row per accuracy target, per site or for all (`metric`, `scope`, `contract`).
    sites, periods
        The ones to show; all sites and all months if none is named. The standard is always made of all audits.
    alpha
        The expected share of false calls among the points called different.

    Returns
    -------
    Portfolio
        One point per site and period, by name.

    Raises
    ------
    DataError
        If there are no audits, or none of the sites and periods named.

    Notes
    -----
    Points with fewer than 30 audits are shown and not judged. Points of an incomplete period are compared with each
    other, and marked. The comparison cannot detect that the items of a site are harder within a queue and content type.

    References
    ----------
    Spiegelhalter, D. J. (2005). Funnel plots for comparing institutional performance. Statistics in Medicine 24:
    1185-1202.

    Examples
    --------
    >>> audits = pd.DataFrame({"site": list("ab") * 100, "day": "2026-03-10", "error": [0, 1] + [0, 0] * 99})
    >>> [(point.site, point.verdict) for point in compare_sites(audits).points]
    [('a', 'no different'), ('b', 'no different')]
    """
    counts, coverage = _count_outcomes(keep_proportional(audits), periods)
    adjusted_for = tuple(name for name in ADJUSTMENT_COLUMNS if name in counts)
    overall, counts["expected"] = _compute_expected_errors(counts, adjusted_for)
    groups = counts[counts["site"].isin(sites or counts["site"].unique())].groupby(["site", "period"], sort=True)
    selected = {(str(site), str(period)): group for (site, period), group in groups if not periods or period in periods}
    if not selected:
        raise DataError("no audits of these sites and periods", hint="leave sites and periods empty to see all")
    overdispersion, funnel = _compute_funnel(list(selected.values()), overall, alpha)
    points = tuple(
        SitePeriod(
            site=site,
            period=period,
            rate=point.rate,
            adjusted_rate=point.adjusted_rate,
            effective_audits=point.effective_audits,
            lower_limit=max(overall - point.half_width, 0.0),
            upper_limit=min(overall + point.half_width, 1.0),
            p_value=point.p_value,
            verdict=point.verdict,
            target=_judge_target(point.rate, site, period, targets),
            complete=coverage.covers_period(parse_period(period)),
        )
        for (site, period), point in zip(selected, funnel, strict=True)
    )
    return Portfolio(overall, overdispersion, alpha, adjusted_for, points, coverage)


@dataclass(frozen=True, slots=True)
class _FunnelPoint:
    """One point of the funnel; `half_width` is the distance of the control limits from the overall rate."""

    rate: Rate
    effective_audits: float
    adjusted_rate: float
    half_width: float
    p_value: float
    verdict: str


def _compute_funnel(groups: Sequence[pd.DataFrame], overall: float, alpha: float) -> tuple[float, list[_FunnelPoint]]:
    """Return the overdispersion, and each point with its control limits and verdict."""
    estimates = [_estimate_rate(group) for group in groups]
    rates = [rate for rate, _ in estimates]
    effective_audits = np.array([effective for _, effective in estimates])
    adjusted_rates = np.array([_adjust_rate(group, overall) for group in groups])
    is_judged = np.array([rate.items >= MIN_AUDITS for rate in rates])
    standard_errors = np.sqrt(compute_binomial_variance(overall, effective_audits) / effective_audits)
    z_values = (adjusted_rates - overall) / standard_errors
    overdispersion = estimate_overdispersion(z_values[is_judged])
    p_values = 2 * stats.norm.sf(np.abs(z_values) / overdispersion)
    is_different, limit_alpha = call_different(p_values, is_judged, alpha)
    half_widths = stats.norm.ppf(1 - limit_alpha / 2) * overdispersion * standard_errors
    verdicts = map(_classify_point, z_values, is_different, is_judged)
    columns = (effective_audits.tolist(), adjusted_rates.tolist(), half_widths.tolist(), p_values.tolist())
    return overdispersion, list(map(_FunnelPoint, rates, *columns, verdicts))


def _adjust_rate(counts: pd.DataFrame, overall: float) -> float:
    """Return the overall rate times observed over expected errors."""
    if not overall:
        return 0.0
    return min(overall * counts["weighted_errors"].sum() / counts["expected"].sum(), 1.0)


def _classify_point(z_value: float, is_different: bool, is_judged: bool) -> str:
    if not is_judged:
        return TOO_FEW_AUDITS
    if not is_different:
        return NOT_DIFFERENT
    return "worse" if z_value > 0 else "better"


def _count_outcomes(audits: Any, periods: Sequence[str]) -> tuple[pd.DataFrame, Coverage]:
    """Return counts by site, period, rater, work mix and outcome (by item if items repeat), and their coverage."""
    names = column_names(audits)
    wanted = ("rater", *ADJUSTMENT_COLUMNS, *(["item_id"] if has_repeated_items(audits) else []))
    groups = [*(name for name in wanted if name in names), "wrong"]
    counts = count_errors(prepare_audits(audits).with_columns(wrong=nw.col("error")), ["site", "day", *groups])
    if counts.empty:
        raise DataError("no audits", hint="look at the ledger of the intake")
    kind = parse_period(periods[0]).kind if periods else "month"
    dates = {day: pd.Timestamp(day).date() for day in counts["day"].unique()}
    counts["period"] = counts["day"].map({day: get_period(date, kind).name for day, date in dates.items()})
    sums = counts.drop(columns="day").groupby(["site", "period", *groups], dropna=False, as_index=False).sum()
    return sums, compute_coverage(dates.values())


def _compute_expected_errors(counts: pd.DataFrame, mix_columns: Sequence[str]) -> tuple[float, pd.Series]:
    """Return the overall rate, and the expected weighted errors of each row from the shrunken rate of its cell."""
    overall = min(float(counts["weighted_errors"].sum() / counts["weight"].sum()), 1.0)
    if not mix_columns:
        return overall, counts["weight"] * overall
    cells = counts.groupby(list(mix_columns), dropna=False)
    sums = cells[["weight", "weighted_errors", "items"]].transform("sum")
    prior = PRIOR_AUDITS * sums["weight"] / sums["items"]
    expected = counts["weight"] * (sums["weighted_errors"] + prior * overall) / (sums["weight"] + prior)
    return overall, expected * (counts["weighted_errors"].sum() / expected.sum() if overall else 1.0)


def _estimate_rate(counts: pd.DataFrame) -> tuple[Rate, float]:
    """Return the rate of a point and its effective number of audits."""
    rater, item = (
        counts[name].factorize(use_na_sentinel=False)[0] if name in counts else None for name in ("rater", "item_id")
    )
    items, weight, squared_weight = (counts[name].to_numpy(float) for name in ("items", "weight", "squared_weight"))
    estimate = estimate_clustered_rate(counts["wrong"].to_numpy(bool), items, weight, squared_weight, rater, item)
    return estimate.rate, estimate.rate.items / estimate.design_effect


def _judge_target(rate: Rate, site: str, period: str, targets: pd.DataFrame | None) -> str:
    """Return the verdict on the accuracy target of a site that holds throughout a period; "" without one."""
    accuracy = Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low)
    for row in [] if targets is None else targets.to_dict("records"):
        target = read_target({str(name): value for name, value in row.items()})
        if _concerns_site(target, site) and holds_throughout(target, parse_period(period)):
            return judge_target(target, accuracy, rate.items)
    return ""


def _concerns_site(target: Mapping[str, Any], site: str) -> bool:
    """Tell whether a target is about the accuracy of a whole site."""
    where = target["where"]
    return target["metric"] == "accuracy" and set(where) <= {"site"} and matches_pattern(site, where.get("site", site))


def _differs(point: SitePeriod) -> bool:
    return point.verdict not in (NOT_DIFFERENT, TOO_FEW_AUDITS)
