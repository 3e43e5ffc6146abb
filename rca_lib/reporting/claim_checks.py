"""Check claims made by others: does each number follow from the audits, and does it mean what the claim says?

A correct number can still mislead. A change whose confidence interval includes zero is not proven. A change can come
from a harder work mix, from a changed truth, or from another sample. Each claim is checked in three steps:

1. Compute the metric from the audits, with the methods of the reports (`claim_metrics`).
2. Compare it with the claimed value: exact, equal after rounding, or wrong.
3. Test a correct number against chance and against the alternative explanations. An explanation counts if it accounts
   for at least half of the change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from rca_lib.findings import DataError, Estimate, Number, Quantity, Rate, format_value, get_limits, join_words
from rca_lib.intake.ledger import read_ledger
from rca_lib.models.cause_context import TRUTH_ALTERNATIVES
from rca_lib.questions.alternative_explanations import AlternativeExplanations
from rca_lib.questions.drivers import Drivers
from rca_lib.reporting.claim_files import ExternalClaim
from rca_lib.reporting.claim_metrics import AuditSubset, ClaimCalculator, DerivedMetric
from rca_lib.reporting.claim_values import (
    METRIC_KINDS,
    Operator,
    ParsedValue,
    parse_metric,
    parse_tolerance,
    parse_value,
)
from rca_lib.reporting.text import capitalize_first
from rca_lib.stats.proportions import subtract_rates
from rca_lib.store.cases import open_store

ClaimOutcome = Literal[
    "exact", "within rounding", "wrong", "true but not proven", "true but explained by mix",
    "true but explained by truth", "true but explained by sampling", "not checkable",
]  # fmt: skip
CLAIM_OUTCOMES: tuple[ClaimOutcome, ...] = ClaimOutcome.__args__  # type: ignore[attr-defined]
CONFIRMED_OUTCOMES = CLAIM_OUTCOMES[:2]
RELATIVE_TOLERANCE = 1e-12  # sums of floats differ by less
MIN_NUMBER = 1e-9  # smallest number that the relative tolerance refers to, so that it is not zero
ROUNDING_MARGIN = 1 + 1e-9  # half a unit of the last digit is itself a float
MIN_EXPLAINED_SHARE = 0.5  # share of the change from which on an explanation counts
COLUMNS = (
    "source", "sentence", "metric", "scope", "period", "claimed", "outcome", "derived", "low", "high", "explanation",
)  # fmt: skip
_COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
_TURNED_OPERATORS: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """One claim and its outcome.

    Attributes
    ----------
    claim
        The claim as written.
    outcome
        One of `CLAIM_OUTCOMES`.
    derived
        The number that the audits give; None where there is none.
    explanation
        Why the claim has this outcome.
    """

    claim: ExternalClaim
    outcome: ClaimOutcome
    derived: Number | None
    explanation: str

    @property
    def holds(self) -> bool:
        """Whether the claim is right without qualification."""
        return self.outcome in CONFIRMED_OUTCOMES


@dataclass(frozen=True, slots=True)
class ClaimChecks:
    """The checks of all claims of a file, in its order.

    `source` names the file. `synthetic` tells whether the audits they were checked against are simulated.
    """

    source: str
    checks: tuple[ClaimCheck, ...]
    synthetic: bool = False

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(check.holds for check in self.checks)

    def counts(self) -> dict[str, int]:
        """Return the number of claims by outcome."""
        return {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in CLAIM_OUTCOMES}

    def summary(self) -> str:
        """Return how many claims hold, and the outcomes of the others."""
        other_outcomes = [
            f"{count} {outcome}"
            for outcome, count in self.counts().items()
            if count and outcome not in CONFIRMED_OUTCOMES
        ]
        confirmed = sum(check.holds for check in self.checks)
        others = f"; {join_words(other_outcomes)}" if other_outcomes else ""
        noun_and_verb = "claim holds" if len(self.checks) == 1 else "claims hold"
        return f"{self.source}: {confirmed} of {len(self.checks)} {noun_and_verb}{others}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per claim: its location and text, the outcome, the derived number, the explanation."""
        rows = []
        for check in self.checks:
            claim, derived = check.claim, check.derived
            numbers = (derived.value, *get_limits(derived)) if derived is not None else (None, None, None)
            rows.append((claim.location, claim.sentence, claim.metric, claim.scope, claim.period, claim.value,
                         check.outcome, *numbers, check.explanation))  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))


class _Verdict(NamedTuple):
    """An outcome and its explanation."""

    outcome: ClaimOutcome
    explanation: str


def check_claims(claims: Sequence[ExternalClaim], store: Path, *, source: str = "claims") -> ClaimChecks:
    """Check claims against the audits of a store.

    Parameters
    ----------
    claims
        From `read_claims`.
    store
        The folder of the ingested audits.
    source
        The name of the file of claims (default "claims").

    Returns
    -------
    ClaimChecks
        One check per claim:

        - "exact": equal to the last digit.
        - "within rounding": equal to the digits written, or within the stated tolerance.
        - "true but …": the number is right, but the conclusion does not follow. The change is not proven, or mix, truth
          or sampling explain at least half of it.
        - "wrong": the audits give another number.
        - "not checkable": with the reason.

    Raises
    ------
    DataError
        If the store cannot be read.

    Notes
    -----
    Rates are weighted to all decisions and come from first-round audits of proportional streams, as in the reports. A
    number that follows only from a raw count over all rows is "true but explained by sampling". The check reads
    `metric`, `scope`, `period` and `value`, never the sentence. It cannot check a meaning that is not in these columns,
    or a cause.
    """
    ledger = read_ledger(store)
    calculator = ClaimCalculator(open_store(store), ledger)
    checks = tuple(_check_claim(claim, calculator) for claim in claims)
    return ClaimChecks(source, checks, synthetic=ledger.synthetic)


def _check_claim(claim: ExternalClaim, calculator: ClaimCalculator) -> ClaimCheck:
    try:
        metric, sign = parse_metric(claim.metric)
        values = parse_value(claim.value, METRIC_KINDS[metric])
        tolerance = parse_tolerance(claim.tolerance, METRIC_KINDS[metric])
        derived = _derive(metric, claim, calculator)
    except (ValueError, DataError) as error:
        return ClaimCheck(claim, "not checkable", None, _format_sentence(str(error)))
    values = tuple(_apply_sign(value, sign) for value in values)
    verdict = _compare(derived.estimate.value, values, tolerance)
    if verdict.outcome == "wrong":
        verdict = _compare_naive_values(derived, values, tolerance)
    else:
        verdict = _qualify(derived, values[0], verdict)
    return ClaimCheck(claim, verdict.outcome, derived.estimate, verdict.explanation)


# derivation ----------------------------------------------------------------------------------------------------------


def _derive(metric: str, claim: ExternalClaim, calculator: ClaimCalculator) -> DerivedMetric:
    subset = calculator.select(claim.scope, claim.period)
    if metric == "share_of_errors":
        return DerivedMetric(calculator.compute_share_of_errors(subset))
    if metric.startswith("change_in_"):
        baseline = calculator.select_baseline(subset, claim)
        return _derive_change(metric.removeprefix("change_in_"), baseline, subset, calculator)
    if METRIC_KINDS[metric] == "count":
        return calculator.count(metric, subset)
    quality = calculator.get_quality(subset)
    rate = getattr(quality, metric)
    if rate is None:
        reason = join_words(quality.not_available) or "a column is missing"
        raise ValueError(f"{metric.replace('_', '-')} is not available: {reason}")
    return DerivedMetric(rate, calculator.compute_naive_rates(metric, subset))


def _derive_change(
    rate_metric: str, baseline: AuditSubset, current: AuditSubset, calculator: ClaimCalculator
) -> DerivedMetric:
    baseline_rate, current_rate = (
        getattr(calculator.get_quality(subset), rate_metric) for subset in (baseline, current)
    )
    if baseline_rate is None or current_rate is None:
        raise ValueError(f"{rate_metric.replace('_', '-')} is not available in both")
    change = subtract_rates(_as_rate(current_rate), _as_rate(baseline_rate))
    if rate_metric not in ("accuracy", "error_rate"):
        return DerivedMetric(change)
    sign = -1.0 if rate_metric == "accuracy" else 1.0  # the drivers hold changes of the error rate
    alternatives, drivers = calculator.compare(baseline, current)
    estimate = _multiply_estimate(drivers.change, sign) if drivers else _multiply_estimate(change, 1.0)
    naive_values = ((sign * alternatives.crude_change.value, "a raw count over all streams and rounds"),)
    return DerivedMetric(
        estimate, naive_values, lambda: _list_explanations(sign, alternatives, drivers, baseline, current)
    )


def _list_explanations(
    sign: float, alternatives: AlternativeExplanations, drivers: Drivers | None, baseline: AuditSubset,
    current: AuditSubset,
) -> Iterator[_Verdict]:  # fmt: skip
    """Yield each explanation that accounts for at least half of a change."""
    if baseline.proportional != current.proportional:
        name = current.name if baseline.proportional else baseline.name
        explanation = f"{name} has no random or stratified sample, so the two are not comparable."
        yield _Verdict("true but explained by sampling", explanation)
    for alternative in alternatives.alternatives:
        contribution = alternative.contribution if alternative.grade == "shown" else None
        if contribution is not None and alternative.name in TRUTH_ALTERNATIVES:
            part = _multiply_estimate(contribution, sign)
            yield _Verdict("true but explained by truth", f"{capitalize_first(alternative.name)} accounts for {part}.")
    if (
        drivers
        and drivers.mix_effect.excludes_zero
        and drivers.mix_effect.value / drivers.change.value >= MIN_EXPLAINED_SHARE
    ):
        part = _multiply_estimate(drivers.mix_effect, sign)
        yield _Verdict("true but explained by mix", f"A harder or easier work mix accounts for {part}.")


# comparison ----------------------------------------------------------------------------------------------------------


def _compare(number: float, values: Sequence[ParsedValue], tolerance: float) -> _Verdict:
    """Compare a number with each interpretation of the claimed value."""
    for value in values:
        interpretation = f" The value was {value.interpretation}." if value.interpretation and len(values) > 1 else ""
        if value.operator != "=":
            if _satisfies_operator(number, value):
                return _Verdict("exact", f"The audits agree with this limit.{interpretation}")
            continue
        difference = abs(number - value.value)
        if difference <= RELATIVE_TOLERANCE * max(abs(number), MIN_NUMBER):
            return _Verdict("exact", f"The audits give this number.{interpretation}")
        if difference <= max(value.rounding_error, tolerance) * ROUNDING_MARGIN:
            is_rounding = difference <= value.rounding_error * ROUNDING_MARGIN
            how = "to the digits written" if is_rounding else "within the stated tolerance"
            return _Verdict("within rounding", f"The audits give this number {how}.{interpretation}")
    return _Verdict("wrong", "")


def _compare_naive_values(derived: DerivedMetric, values: Sequence[ParsedValue], tolerance: float) -> _Verdict:
    """Compare the claimed value with what plain counts give."""
    for number, method in derived.naive_values:
        if _compare(number, values, tolerance).outcome != "wrong":
            explanation = f"The number comes from {method}. Weighted to all decisions, it is {derived.estimate}."
            return _Verdict("true but explained by sampling", explanation)
    return _Verdict("wrong", f"The audits give {derived.estimate}.")


def _qualify(derived: DerivedMetric, value: ParsedValue, verdict: _Verdict) -> _Verdict:
    """Test a correct number against chance and against the alternative explanations."""
    estimate = derived.estimate
    if isinstance(estimate, Quantity):
        return verdict
    is_certain = all(_satisfies_operator(limit, value) for limit in (estimate.low, estimate.high))
    if value.operator != "=" and not is_certain:
        limit = format_value(value.value, estimate.unit)
        return _Verdict("true but not proven", f"The interval of {estimate} includes values beyond {limit}.")
    if isinstance(estimate, Estimate) and estimate.unit == "pp" and not estimate.excludes_zero:
        return _Verdict("true but not proven", f"The change is not proven: {estimate}.")
    for explained in derived.explanations():
        return _Verdict(explained.outcome, f"{explained.explanation} The whole change is {estimate}.")
    return _Verdict(verdict.outcome, f"{verdict.explanation} It is {estimate}.")


def _satisfies_operator(number: float, value: ParsedValue) -> bool:
    """Whether a number lies on the claimed side of a limit; a plain number has no side."""
    compare = _COMPARISONS.get(value.operator)
    return compare is None or bool(compare(number, value.value))


def _apply_sign(value: ParsedValue, sign: float) -> ParsedValue:
    if sign > 0:
        return value
    return replace(value, value=-value.value, operator=_TURNED_OPERATORS[value.operator])


def _multiply_estimate(estimate: Estimate, sign: float) -> Estimate:
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    return Estimate(sign * estimate.value, low, high, estimate.unit, estimate.level)


def _as_rate(estimate: Estimate | Rate) -> Rate:
    if isinstance(estimate, Rate):
        return estimate
    return Rate(0, 0, estimate.value, estimate.low, estimate.high, estimate.level)


def _format_sentence(text: str) -> str:
    return f"{capitalize_first(text.rstrip('.'))}."
