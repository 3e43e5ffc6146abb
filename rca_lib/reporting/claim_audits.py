"""The audits behind claims: the part that a scope and a period select, and the numbers that it gives.

What was computed once is kept, because many claims of a file speak of the same site and period.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rca_lib.audits.counting import column_names, count_errors, keep_proportional, keep_slice
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.periods import Period
from rca_lib.audits.tables import DIMENSIONS, PROPORTIONAL_STREAMS
from rca_lib.findings import Estimate, Rate, join_words
from rca_lib.questions.drivers import Drivers, rank_drivers
from rca_lib.questions.quality import Quality, measure_quality
from rca_lib.questions.rivals import Rivals, weigh_rivals
from rca_lib.reporting.claim_files import ExternalClaim, parse_claimed_scope
from rca_lib.reporting.claim_periods import parse_claimed_period, period_before
from rca_lib.stats.rates import clustered_rate


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """The audits of one scope and period: every stream and round, and where the period lies (None: all days)."""

    scope: tuple[tuple[str, str], ...]
    period: Period | None
    audits: Any
    proportional: bool

    @property
    def name(self) -> str:
        """Name it in a sentence."""
        where = ", ".join(f"{name} = {value}" for name, value in self.scope)
        return " in ".join(filter(None, [where or "The whole", self.period.name if self.period else ""]))


@dataclass(frozen=True, slots=True)
class DerivedNumber:
    """The number behind a claim.

    `raw` holds what plain counts give instead, each with how it was counted. `explanations` yields, where it is asked,
    the outcome and the sentence of each other explanation that makes most of a change.
    """

    number: Estimate | Rate
    raw: tuple[tuple[float, str], ...] = ()
    explanations: Callable[[], Iterator[tuple[str, str]]] = lambda: iter(())


@dataclass(slots=True)
class ClaimedAudits:
    """All audits of a store; what was computed once is kept, because many claims speak of one scope and period."""

    table: Any
    ledger: Ledger
    parts: dict[tuple[object, ...], ClaimedPart] = field(default_factory=dict)
    qualities: dict[tuple[object, ...], Quality] = field(default_factory=dict)
    comparisons: dict[tuple[object, ...], tuple[Rivals, Drivers | None]] = field(default_factory=dict)

    def select(self, scope: str, period: str) -> ClaimedPart:
        """Return the audits of a scope and period as a claim writes them; ValueError says what is not there."""
        where = {name: self._spell(name, value) for name, value in parse_claimed_scope(scope).items()}
        return self._open(where, parse_claimed_period(period) if period else None)

    def select_before(self, part: ClaimedPart, claim: ExternalClaim) -> ClaimedPart:
        """Return what a change is measured from: the scope or period that the claim names, else the period before."""
        if "=" in claim.compared_with:
            other = {name: self._spell(name, value) for name, value in parse_claimed_scope(claim.compared_with).items()}
            return self._open(dict(part.scope) | other, part.period)
        if claim.compared_with:
            return self._open(dict(part.scope), parse_claimed_period(claim.compared_with))
        if part.period is None:
            raise ValueError("a change needs a period, or what it is compared with")
        return self._open(dict(part.scope), period_before(part.period))

    def quality(self, part: ClaimedPart) -> Quality:
        """Measure the quality of a part."""
        key = (part.scope, part.period)
        if key not in self.qualities:
            self.qualities[key] = measure_quality(part.audits, benign=tuple(self.ledger.benign))
        return self.qualities[key]

    def compare(self, before: ClaimedPart, after: ClaimedPart) -> tuple[Rivals, Drivers | None]:
        """Ask what else explains a change between two parts; no drivers where the audits have no dimension."""
        key = (before.scope, before.period, after.scope, after.period)
        if key not in self.comparisons:
            fixed = {name for name, _ in (*before.scope, *after.scope)}
            names = [name for name in DIMENSIONS if name in column_names(self.table) and name not in fixed]
            tables = [keep_proportional(part.audits) for part in (before, after)]
            drivers = rank_drivers(*tables, names) if names else None
            self.comparisons[key] = weigh_rivals(before.audits, after.audits), drivers
        return self.comparisons[key]

    def count(self, metric: str, part: ClaimedPart) -> DerivedNumber:
        """Count the audits, errors or raters behind the rates, and beside them all rows."""
        quality = self.quality(part)
        raw = count_errors(part.audits).iloc[0]
        if metric == "raters":
            return DerivedNumber(Estimate(float(quality.raters), unit="raters"))
        chosen = quality.error_rate.items if metric == "audits" else quality.error_rate.errors
        name = "items" if metric == "audits" else "errors"
        everything = ((float(raw[name]), "a count over all streams and rounds"),)
        return DerivedNumber(Estimate(float(chosen), unit=name), everything)

    def raw_rates(self, metric: str, part: ClaimedPart) -> tuple[tuple[float, str], ...]:
        """Return the rates that plain counts give, for accuracy and error rate."""
        if metric not in ("accuracy", "error_rate"):
            return ()
        raw, unweighted = count_errors(part.audits).iloc[0], self.quality(part).unweighted.value
        rates = (
            (unweighted, "unweighted audits"),
            (raw["errors"] / raw["items"], "a raw count over all streams and rounds"),
        )
        return tuple((1 - rate if metric == "accuracy" else rate, how) for rate, how in rates)

    def share_of_errors(self, part: ClaimedPart) -> Rate:
        """Return the part of a site's (weighted) errors that a slice holds, with raters as clusters."""
        inner = {name: value for name, value in part.scope if name != "site"}
        if not inner:
            raise ValueError("a share of errors needs a scope within the site, such as policy=hate")
        whole = self._open(dict(part.scope[:1]) if part.scope[0][0] == "site" else {}, part.period)
        raters = ["rater"] if "rater" in column_names(whole.audits) else []
        counts = count_errors(keep_proportional(whole.audits), [*inner, *raters])
        counts = counts[counts["errors"] > 0]
        if counts.empty:
            raise ValueError("there are no errors")
        inside = np.all([counts[name].astype(str) == value for name, value in inner.items()], axis=0)
        weight, errors = counts["weighted_errors"].to_numpy(float), counts["errors"].to_numpy(float)
        cluster = counts["rater"].factorize(use_na_sentinel=False)[0] if raters else None
        return clustered_rate(inside, errors, weight, weight**2 / errors, cluster).rate

    def _open(self, where: Mapping[str, str], period: Period | None) -> ClaimedPart:
        scope = tuple(sorted(where.items(), key=lambda item: (item[0] != "site", item)))
        key = (scope, period)
        if key not in self.parts:
            self.parts[key] = self._select(scope, period)
        return self.parts[key]

    def _select(self, scope: tuple[tuple[str, str], ...], period: Period | None) -> ClaimedPart:
        table = keep_slice(self.table, dict(scope))
        if period is not None:
            table = table.filter(f"day >= date '{period.start}' and day < date '{period.end}'")
        names = column_names(table)
        if "site" not in dict(scope) and "rater" in names:  # people of different sites are different people
            table = table.select("* replace (site || ' ' || rater as rater)")
        if not table.limit(1).fetchall():
            raise ValueError(f"there are no audits of {ClaimedPart(scope, period, None, True).name}")
        proportional = "stream" not in names or not table.filter("stream is not null").limit(1).fetchall()
        listed = ", ".join(f"'{stream}'" for stream in PROPORTIONAL_STREAMS)
        proportional = proportional or bool(table.filter(f"stream in ({listed})").limit(1).fetchall())
        return ClaimedPart(scope, period, table, proportional)

    def _spell(self, name: str, value: str) -> str:
        """Return a value as the audits spell it."""
        if name not in column_names(self.table):
            near = difflib.get_close_matches(name, column_names(self.table), 1)
            raise ValueError(f"the audits have no column {name!r}{f'; nearest: {near[0]}' if near else ''}")
        known = sorted({str(one[0]) for one in self.table.select(name).distinct().fetchall() if one[0] is not None})
        alike = [one for one in known if one.casefold() == value.casefold()]
        if value in known or len(alike) == 1:
            return value if value in known else alike[0]
        near = difflib.get_close_matches(value, known, 3, 0.5)
        hint = f"; nearest: {join_words(near)}" if near else ""
        raise ValueError(f"no {name} in the audits is called {value!r}{hint}")
