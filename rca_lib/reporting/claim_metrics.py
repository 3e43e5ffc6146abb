# Tested in tests/reporting/test_claim_checks.py.
"""The metrics behind claims: audits selected by scope and period, and the numbers that they give."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rca_lib.audits.counting import column_names, count_errors, keep_proportional, keep_slice
from rca_lib.audits.periods import Period
from rca_lib.audits.schema import DIMENSIONS, PROPORTIONAL_STREAMS
from rca_lib.findings import Number, Quantity, Rate, join_words
from rca_lib.intake.ledger import Ledger
from rca_lib.questions.alternative_explanations import AlternativeExplanations, assess_alternatives
from rca_lib.questions.drivers import Drivers, rank_drivers
from rca_lib.questions.quality import Quality, measure_quality
from rca_lib.reporting.claim_files import ExternalClaim, parse_claim_scope
from rca_lib.reporting.claim_periods import get_previous_period, parse_claim_period
from rca_lib.stats.proportions import estimate_clustered_rate

Scope = tuple[tuple[str, str], ...]  # column and value of each condition, the site first
MIN_SPELLING_SIMILARITY = 0.5  # of a value and the nearest ones that an error names


@dataclass(frozen=True, slots=True)
class AuditSubset:
    """The audits of one scope and period, with all streams and rounds.

    Attributes
    ----------
    scope
        Column and value of each condition.
    period
        The period; None for all days.
    audits
        A row per audit.
    proportional
        Whether they include audits of a random or stratified sample.
    """

    scope: Scope
    period: Period | None
    audits: Any
    proportional: bool

    @property
    def name(self) -> str:
        """The name of the subset in a sentence."""
        return _name_subset(self.scope, self.period)


@dataclass(frozen=True, slots=True)
class DerivedMetric:
    """The number behind a claim.

    Attributes
    ----------
    estimate
        What the audits give.
    naive_values
        What plain counts give instead, each with its method.
    explanations
        A function that yields the outcome and the sentence of each explanation behind most of a change.
    """

    estimate: Number
    naive_values: tuple[tuple[float, str], ...] = ()
    explanations: Callable[[], Iterator[Any]] = lambda: iter(())


@dataclass(slots=True)
class ClaimCalculator:
    """Computes metrics from all audits of a store, and caches them: many claims use the same scope and period."""

    table: Any
    ledger: Ledger
    subsets: dict[tuple[object, ...], AuditSubset] = field(default_factory=dict)
    qualities: dict[tuple[object, ...], Quality] = field(default_factory=dict)
    comparisons: dict[tuple[object, ...], tuple[AlternativeExplanations, Drivers | None]] = field(default_factory=dict)

    def select(self, scope: str, period: str) -> AuditSubset:
        """Return the audits of a scope and period, as a claim writes them.

        Raises
        ------
        ValueError
            If a column, a value or audits do not exist.
        """
        return self._get_subset(self._parse_scope(scope), parse_claim_period(period) if period else None)

    def select_baseline(self, subset: AuditSubset, claim: ExternalClaim) -> AuditSubset:
        """Return the baseline of a change: the scope or period named by the claim, else the previous period.

        Raises
        ------
        ValueError
            If the claim names no baseline and its audits have no period.
        """
        scope = dict(subset.scope)
        if "=" in claim.compared_with:
            return self._get_subset(scope | self._parse_scope(claim.compared_with), subset.period)
        if claim.compared_with:
            return self._get_subset(scope, parse_claim_period(claim.compared_with))
        if subset.period is None:
            raise ValueError("a change needs a period, or what it is compared with")
        return self._get_subset(scope, get_previous_period(subset.period))

    def get_quality(self, subset: AuditSubset) -> Quality:
        """Return accuracy and error rates of a subset."""
        key = (subset.scope, subset.period)
        if key not in self.qualities:
            self.qualities[key] = measure_quality(subset.audits, benign=tuple(self.ledger.benign))
        return self.qualities[key]

    def compare(self, baseline: AuditSubset, current: AuditSubset) -> tuple[AlternativeExplanations, Drivers | None]:
        """Return the alternative explanations and the drivers of a change; no drivers without dimensions."""
        key = (baseline.scope, baseline.period, current.scope, current.period)
        if key not in self.comparisons:
            fixed_columns = {name for name, _ in (*baseline.scope, *current.scope)}
            available = column_names(self.table)
            dimensions = [name for name in DIMENSIONS if name in available and name not in fixed_columns]
            before, after = (keep_proportional(subset.audits) for subset in (baseline, current))
            drivers = rank_drivers(before, after, dimensions) if dimensions else None
            self.comparisons[key] = assess_alternatives(baseline.audits, current.audits), drivers
        return self.comparisons[key]

    def count(self, metric: str, subset: AuditSubset) -> DerivedMetric:
        """Return the number of audits, errors or raters behind the rates; the naive value counts all rows."""
        quality = self.get_quality(subset)
        all_rows = count_errors(subset.audits).iloc[0]
        if metric == "raters":
            return DerivedMetric(Quantity(float(quality.raters), unit="raters"))
        count = quality.error_rate.items if metric == "audits" else quality.error_rate.errors
        column = "items" if metric == "audits" else "errors"
        naive_values = ((float(all_rows[column]), "a count over all streams and rounds"),)
        return DerivedMetric(Quantity(float(count), unit=column), naive_values)

    def compute_naive_rates(self, metric: str, subset: AuditSubset) -> tuple[tuple[float, str], ...]:
        """Return the rates that plain counts give, each with its method; only for accuracy and error rate."""
        if metric not in ("accuracy", "error_rate"):
            return ()
        all_rows = count_errors(subset.audits).iloc[0]
        error_rates = (
            (self.get_quality(subset).unweighted_rate.value, "unweighted audits"),
            (all_rows["errors"] / all_rows["items"], "a raw count over all streams and rounds"),
        )
        return tuple((1 - rate if metric == "accuracy" else rate, method) for rate, method in error_rates)

    def compute_share_of_errors(self, subset: AuditSubset) -> Rate:
        """Return the share of a site's weighted errors that a slice has, with raters as clusters.

        Raises
        ------
        ValueError
            If the scope names nothing but the site, or there are no errors.
        """
        slice_scope = {name: value for name, value in subset.scope if name != "site"}
        if not slice_scope:
            raise ValueError("a share of errors needs a scope within the site, such as policy=hate")
        has_site = subset.scope[0][0] == "site"
        site_subset = self._get_subset(dict(subset.scope[:1]) if has_site else {}, subset.period)
        clusters = ["rater"] if "rater" in column_names(site_subset.audits) else []
        counts = count_errors(keep_proportional(site_subset.audits), [*slice_scope, *clusters])
        counts = counts[counts["errors"] > 0]
        if counts.empty:
            raise ValueError("there are no errors")
        is_in_slice = np.all([counts[name].astype(str) == value for name, value in slice_scope.items()], axis=0)
        weight = counts["weighted_errors"].to_numpy(float)
        errors = counts["errors"].to_numpy(float)
        cluster = counts["rater"].factorize(use_na_sentinel=False)[0] if clusters else None
        return estimate_clustered_rate(is_in_slice, errors, weight, weight**2 / errors, cluster).rate

    def _parse_scope(self, scope: str) -> dict[str, str]:
        return {name: self._match_spelling(name, value) for name, value in parse_claim_scope(scope).items()}

    def _get_subset(self, where: Mapping[str, str], period: Period | None) -> AuditSubset:
        scope = tuple(sorted(where.items(), key=lambda condition: (condition[0] != "site", condition)))
        key = (scope, period)
        if key not in self.subsets:
            self.subsets[key] = self._select(scope, period)
        return self.subsets[key]

    def _select(self, scope: Scope, period: Period | None) -> AuditSubset:
        table = keep_slice(self.table, dict(scope))
        if period is not None:
            table = table.filter(f"day >= date '{period.start}' and day < date '{period.end}'")
        columns = column_names(table)
        if "site" not in dict(scope) and "rater" in columns:  # raters of different sites are different people
            table = table.select("* replace (site || ' ' || rater as rater)")
        if not _has_rows(table):
            raise ValueError(f"there are no audits of {_name_subset(scope, period)}")
        return AuditSubset(scope, period, table, _has_proportional_streams(table, columns))

    def _match_spelling(self, name: str, value: str) -> str:
        """Return a value as the audits spell it."""
        columns = column_names(self.table)
        if name not in columns:
            nearest = difflib.get_close_matches(name, columns, 1)
            raise ValueError(f"the audits have no column {name!r}{f'; nearest: {nearest[0]}' if nearest else ''}")
        rows = self.table.select(name).distinct().fetchall()
        existing = sorted({str(row[0]) for row in rows if row[0] is not None})
        if value in existing:
            return value
        same_letters = [candidate for candidate in existing if candidate.casefold() == value.casefold()]
        if len(same_letters) == 1:
            return same_letters[0]
        nearest = difflib.get_close_matches(value, existing, 3, MIN_SPELLING_SIMILARITY)
        hint = f"; nearest: {join_words(nearest)}" if nearest else ""
        raise ValueError(f"no {name} in the audits is called {value!r}{hint}")


def _name_subset(scope: Scope, period: Period | None) -> str:
    slice_name = ", ".join(f"{name} = {value}" for name, value in scope) or "The whole"
    return f"{slice_name} in {period.name}" if period and period.name else slice_name


def _has_rows(table: Any) -> bool:
    return bool(table.limit(1).fetchall())


def _has_proportional_streams(table: Any, columns: Sequence[str]) -> bool:
    """Whether audits include a random or stratified sample; audits that name no stream are taken for one."""
    if "stream" not in columns or not _has_rows(table.filter("stream is not null")):
        return True
    streams = ", ".join(f"'{stream}'" for stream in PROPORTIONAL_STREAMS)
    return _has_rows(table.filter(f"stream in ({streams})"))
