"""Did the work in the scope of an event get worse than the other work? A test of each event in the calendar.

The scope of an event is known before the data, so no search needs a correction. With e_c and n_c the errors and items
of cell c in the current period, and p_c its predicted error rate from a logistic model of the baseline with an effect
of every value of every dimension, the expected errors of the scope S are

    E_S = sum_{c in S} n_c p_c',

where p_c' is p_c at the level of the other work of the current period. The excess is sum_{c in S} e_c - E_S
(`stats.standardized_excess`). P-values are multiplied by the number of scopes (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from rca_lib.audits.contingency_tables import EncodedPeriods, count_by_dimensions, encode_periods, prepare_periods
from rca_lib.audits.counting import column_names
from rca_lib.audits.events import parse_event_scope
from rca_lib.audits.schema import matches_pattern
from rca_lib.findings import Estimate, Finding, format_count, format_slice, set_units
from rca_lib.models.changed_slices import take_absolute
from rca_lib.result import Result
from rca_lib.stats.slice_search.baseline_model import fit_baseline_model
from rca_lib.stats.standardized_excess import StandardizedExcess, estimate_standardized_excess

EventScopeKind = Literal["event scope"]

SIGNIFICANCE_LEVEL = 0.05  # of the corrected p-value, below which a finding is confirmed


@dataclass(frozen=True, slots=True)
class ScopeExcess:
    """The errors in the scope of an event, compared with other work.

    Attributes
    ----------
    where
        The scope: column to value or pattern.
    audits
        Audits of the current period in the scope.
    expected_errors
        The errors that the same work would have had at the level of all other work.
    excess
        The errors beyond the expected ones.
    p_value
        The probability of such an excess by chance, corrected for the number of scopes (Bonferroni).
    is_new
        Whether the scope had no audits in the baseline.
    """

    where: Mapping[str, str]
    audits: int
    expected_errors: float
    excess: Estimate
    p_value: float
    is_new: bool


@dataclass(frozen=True, slots=True)
class EventScopes(Result):
    """The tested scopes, in the order of the events."""

    scopes: tuple[ScopeExcess, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per scope: `scope`, `audits`, `expected`, `excess` with its interval, `p_value`, `new`."""
        rows = [
            (format_slice(scope.where), scope.audits, scope.expected_errors, scope.excess.value, scope.excess.low,
             scope.excess.high, scope.p_value, scope.is_new)
            for scope in self.scopes
        ]  # fmt: skip
        names = ["scope", "audits", "expected", "excess", "excess_low", "excess_high", "p_value", "new"]
        return set_units(pd.DataFrame(rows, columns=names), expected="errors")

    def summary(self) -> str:
        """Return how the work of each scope compares with other work."""
        return " ".join(map(_format_scope, self.scopes)) or "No event has a scope that can be compared with other work."

    def findings(self) -> tuple[Finding[EventScopeKind], ...]:
        """Return a finding of kind "event scope" per scope, confirmed if its p-value is below 0.05."""
        return tuple(
            Finding("event_scopes", "event scope", _format_scope(scope),
                    "shown" if scope.p_value < SIGNIFICANCE_LEVEL else "not proven", scope.excess,
                    f"scopes[{index}].excess", scope.where, p_value=scope.p_value)
            for index, scope in enumerate(self.scopes)
        )  # fmt: skip


def compare_event_scopes(baseline: Any, current: Any, dimensions: Sequence[str], events: pd.DataFrame) -> EventScopes:
    """Compare the work in the scope of each event with all other work of the current period.

    Parameters
    ----------
    baseline, current
        Two tables with one row per audited decision, as `rank_drivers` takes them.
    dimensions
        The columns that the expected errors allow for.
    events
        One row per event with its `scope`. Events of all work, and scopes by other columns, are skipped.

    Returns
    -------
    EventScopes
        One entry per scope.

    Raises
    ------
    DataError
        If a period has no audits, or a column is missing.

    Notes
    -----
    The test cannot tell the event from anything else that happened to the same work. Work that is new in the current
    period is compared with other work.

    Examples
    --------
    >>> rows = [(queue, number % 10 == 0) for queue in "ab" for number in range(500)]
    >>> before = pd.DataFrame(rows, columns=["queue", "error"]).astype({"error": int})
    >>> after = before.assign(error=[int(n % 5 == 0) if q == "b" else e for n, (q, e) in enumerate(before.to_numpy())])
    >>> compare_event_scopes(before, after, ["queue"], pd.DataFrame({"scope": ["queue=b"]})).scopes[0].p_value < 0.01
    True
    """
    tables = prepare_periods((baseline, current), dimensions)
    common = set(column_names(tables[0])) & set(column_names(tables[1]))
    names = tuple(dict.fromkeys([*dimensions, *({"rater"} & common)]))
    unique_scopes = dict.fromkeys(tuple(sorted(parse_event_scope(scope).items())) for scope in events["scope"])
    scopes = [dict(scope) for scope in unique_scopes if scope and {name for name, _ in scope} <= set(names)]
    if not scopes:
        return EventScopes(())
    encoded = encode_periods([count_by_dimensions(table, names, "period") for table in tables], names)
    sizes = tuple(len(values) for values in encoded.values.values())
    model = fit_baseline_model(encoded.cells[0], sizes)
    expected = encoded.cells[1].items * expit(model.logits(encoded.cells[1].codes))
    results = (_compare_scope(encoded, expected, scope, len(scopes)) for scope in scopes)
    return EventScopes(tuple(result for result in results if result is not None))


def _compare_scope(
    encoded: EncodedPeriods, expected: np.ndarray, scope: Mapping[str, str], n_scopes: int
) -> ScopeExcess | None:
    """Test one scope; None if it holds no work, all work, or too little to estimate an excess."""
    before, inside = (_find_members(encoded, period, scope) for period in (0, 1))
    if not inside.any() or inside.all():
        return None
    cells = encoded.cells[1]
    audits, errors = encoded.unweighted_counts[1][:, inside].sum(1)
    names = list(encoded.values)
    raters = cells.codes[names.index("rater")] if "rater" in names else None
    baseline_errors = float(encoded.unweighted_counts[0][1, before].sum()) if before.any() else None
    excess = estimate_standardized_excess(
        cells.errors, expected, inside, raters=raters, baseline_errors=baseline_errors
    )
    if excess is None:
        return None
    weighted_errors = float(cells.errors[inside].sum())
    errors_per_weight = float(errors) / weighted_errors if weighted_errors else 1.0
    p_value = min(1.0, excess.p_value * n_scopes)
    return _build_scope_excess(scope, excess, int(audits), errors_per_weight, p_value, is_new=baseline_errors is None)


def _build_scope_excess(
    scope: Mapping[str, str], excess: StandardizedExcess, audits: int, scale: float, p_value: float, *, is_new: bool
) -> ScopeExcess:
    estimate = Estimate(excess.excess * scale, excess.low * scale, excess.high * scale, unit="errors")
    return ScopeExcess(scope, audits, excess.expected * scale, estimate, p_value, is_new)


def _find_members(encoded: EncodedPeriods, period: int, scope: Mapping[str, str]) -> np.ndarray:
    """Return which cells of a period lie in a scope; its values may be patterns."""
    codes, names = encoded.cells[period].codes, list(encoded.values)
    members = np.ones(codes.shape[1], bool)
    for name, pattern in scope.items():
        matching = [matches_pattern(value, pattern) for value in encoded.values[name]]
        members &= np.array(matching, bool)[codes[names.index(name)]]
    return members


def _format_scope(scope: ScopeExcess) -> str:
    """Say how the errors of a scope compare with other work."""
    if not scope.excess.excludes_zero:
        return f"{format_slice(scope.where)}: difference from other work not proven, {scope.excess}."
    more = "more" if scope.excess.value > 0 else "fewer"
    audits = format_count(scope.audits, "audit")
    size = take_absolute(scope.excess)
    return f"{format_slice(scope.where)}: {size} {more} than at the level of other work, in {audits}."
