"""Check claims that somebody else made: does each number follow from the audits, and does it mean what is said?

A number can be right and still mislead. A change whose confidence interval covers zero is not proven. A change can come
from a harder mix of work, from a changed truth, or from another sample. So each claim is computed again from the audits
with the suite's own methods, compared with what was written, and then held against these explanations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from rca_lib.audits.ledger import read_ledger
from rca_lib.audits.store import open_store
from rca_lib.findings import DataError, Estimate, Rate, join_words, show
from rca_lib.questions.drivers import Drivers
from rca_lib.questions.rivals import Rivals
from rca_lib.reporting.claim_audits import ClaimedAudits, ClaimedPart, DerivedNumber
from rca_lib.reporting.claim_files import ExternalClaim
from rca_lib.reporting.claim_values import KINDS, Reading, name_metric, read_tolerance, read_value
from rca_lib.stats.rates import subtract_rates

Outcome = Literal[
    "exact", "within rounding", "wrong", "true but within noise", "true but explained by mix",
    "true but explained by truth", "true but explained by sampling", "not checkable",
]  # fmt: skip
OUTCOMES: tuple[Outcome, ...] = Outcome.__args__  # type: ignore[attr-defined]
HOLDS = OUTCOMES[:2]
EXACT = 1e-12  # relative; sums of floats differ by less
MOST = 0.5  # an explanation counts where it makes at least half of the change
TRUTH = ("stale truth", "auditors")  # the alternative explanations that speak of the truth
COLUMNS = (
    "source", "sentence", "metric", "scope", "period", "claimed", "outcome", "derived", "low", "high", "explanation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """One claim and what came of it; `derived` is the number that the audits give, None where there is none."""

    claim: ExternalClaim
    outcome: Outcome
    derived: Estimate | Rate | None
    explanation: str

    @property
    def holds(self) -> bool:
        """Whether the claim is right and needs no qualification."""
        return self.outcome in HOLDS


@dataclass(frozen=True, slots=True)
class ClaimChecks:
    """All claims of a file, in its order."""

    source: str
    checks: tuple[ClaimCheck, ...]

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(check.holds for check in self.checks)

    def counts(self) -> dict[str, int]:
        """Return how many claims had each outcome."""
        return {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in OUTCOMES}

    def summary(self) -> str:
        """Say how many claims hold, and what became of the others."""
        others = [f"{count} {outcome}" for outcome, count in self.counts().items() if count and outcome not in HOLDS]
        held = sum(check.holds for check in self.checks)
        told = f"; {join_words(others)}" if others else ""
        claims = "claim holds" if len(self.checks) == 1 else "claims hold"
        return f"{self.source}: {held} of {len(self.checks)} {claims}{told}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per claim: its place and text, the outcome, the derived number and the explanation."""
        rows = []
        for check in self.checks:
            claim, derived = check.claim, check.derived
            numbers = (derived.value, derived.low, derived.high) if derived is not None else (None, None, None)
            rows.append((claim.source, claim.sentence, claim.metric, claim.scope, claim.period, claim.value,
                         check.outcome, *numbers, check.explanation))  # fmt: skip
        return pd.DataFrame(rows, columns=list(COLUMNS))


def check_claims(claims: Sequence[ExternalClaim], store: Path, *, source: str = "claims") -> ClaimChecks:
    """Check claims against the audits of a store.

    Parameters
    ----------
    claims
        From `read_claims`.
    store
        The folder that the intake wrote.
    source
        What to call the file of claims.

    Returns
    -------
    ClaimChecks
        One check per claim. "exact" means equal to the last digit, "within rounding" equal to the digits that were
        written or within the stated tolerance. "true but …" means that the number is right and the conclusion does not
        follow: the change may be chance, or mix, truth or sampling explain at least half of it. "not checkable" comes
        with the reason.

    Raises
    ------
    DataError
        If the store cannot be read.

    Notes
    -----
    Rates are weighted to all decisions and come from the first-round audits of proportional streams, as in the reports.
    A number that only a raw count over all rows gives is "true but explained by sampling". What it cannot check: a
    sentence whose meaning is not in the columns of the row, and a cause. It reads `metric`, `scope`, `period` and
    `value`, never the sentence.
    """
    audits = ClaimedAudits(open_store(store), read_ledger(store))
    return ClaimChecks(source, tuple(_check(claim, audits) for claim in claims))


def _check(claim: ExternalClaim, audits: ClaimedAudits) -> ClaimCheck:
    try:
        metric, sign = name_metric(claim.metric)
        readings = read_value(claim.value, KINDS[metric])
        tolerance = read_tolerance(claim.tolerance, KINDS[metric])
        derived = _derive(metric, claim, audits)
    except (ValueError, DataError) as problem:
        return ClaimCheck(claim, "not checkable", None, _sentence(str(problem)))
    readings = tuple(_turn(reading, sign) for reading in readings)
    outcome, told = _compare(derived.number.value, readings, tolerance)
    if outcome == "wrong":
        outcome, told = _compare_raw(derived, readings, tolerance)
    else:
        outcome, told = _qualify(derived, readings[0], outcome, told)
    return ClaimCheck(claim, outcome, derived.number, told)


def _derive(metric: str, claim: ExternalClaim, audits: ClaimedAudits) -> DerivedNumber:
    part = audits.select(claim.scope, claim.period)
    if metric == "share_of_errors":
        return DerivedNumber(audits.share_of_errors(part))
    if metric.startswith("change_in_"):
        level, before = metric.removeprefix("change_in_"), audits.select_before(part, claim)
        return _derive_change(level, before, part, audits)
    if KINDS[metric] == "count":
        return audits.count(metric, part)
    quality = audits.quality(part)
    rate = getattr(quality, metric)
    if rate is None:
        raise ValueError(
            f"{metric.replace('_', '-')} is not available: {join_words(quality.not_available) or 'a column is missing'}"
        )
    return DerivedNumber(rate, audits.raw_rates(metric, part))


def _derive_change(level: str, before: ClaimedPart, after: ClaimedPart, audits: ClaimedAudits) -> DerivedNumber:
    first, last = (getattr(audits.quality(part), level) for part in (before, after))
    if first is None or last is None:
        raise ValueError(f"{level.replace('_', '-')} is not available in both")
    number = subtract_rates(_as_rate(last), _as_rate(first))
    if level not in ("accuracy", "error_rate"):
        return DerivedNumber(number)
    turn = -1.0 if level == "accuracy" else 1.0
    rivals, drivers = audits.compare(before, after)
    number = _turn_estimate(drivers.change if drivers else number, turn if drivers else 1.0)
    raw = ((turn * rivals.naive_change.value, "a raw count over all streams and rounds"),)
    return DerivedNumber(number, raw, lambda: _explain(turn, rivals, drivers, before, after))


def _explain(
    turn: float, rivals: Rivals, drivers: Drivers | None, before: ClaimedPart, after: ClaimedPart
) -> Iterator[tuple[Outcome, str]]:
    """Yield each explanation that makes at least half of a change."""
    if before.proportional != after.proportional:
        where = before.name if not before.proportional else after.name
        yield (
            "true but explained by sampling",
            f"{where} holds no random or stratified sample, so the two do not compare.",
        )
    for rival in rivals.rivals:
        if rival.grade == "shown" and rival.part is not None and rival.name in TRUTH:
            yield (
                "true but explained by truth",
                f"{_upper(rival.name)} accounts for {_turn_estimate(rival.part, turn)}.",
            )
    if drivers and drivers.mix.excludes_zero and drivers.mix.value / drivers.change.value >= MOST:
        yield (
            "true but explained by mix",
            f"A harder or easier mix of work accounts for {_turn_estimate(drivers.mix, turn)}.",
        )


# comparing -----------------------------------------------------------------------------------------------------------


def _compare(number: float, readings: Sequence[Reading], tolerance: float) -> tuple[Outcome, str]:
    for reading in readings:
        told = f" The value was {reading.told}." if reading.told and len(readings) > 1 else ""
        if reading.bound != "=":
            if _on_side(number, reading):
                return "exact", f"The audits are on that side.{told}"
            continue
        difference = abs(number - reading.value)
        if difference <= EXACT * max(abs(number), 1e-9):
            return "exact", f"The audits give this number.{told}"
        if difference <= max(reading.half_unit, tolerance) * (1 + 1e-9):
            within = (
                "within the stated tolerance"
                if difference > reading.half_unit * (1 + 1e-9)
                else "to the digits written"
            )
            return "within rounding", f"The audits give this number {within}.{told}"
    return "wrong", ""


def _compare_raw(derived: DerivedNumber, readings: Sequence[Reading], tolerance: float) -> tuple[Outcome, str]:
    right = f"The audits give {derived.number}."
    for number, how in derived.raw:
        if _compare(number, readings, tolerance)[0] != "wrong":
            return (
                "true but explained by sampling",
                f"The number comes from {how}. Weighted to all decisions, it is {derived.number}.",
            )
    return "wrong", right


def _qualify(derived: DerivedNumber, reading: Reading, outcome: Outcome, told: str) -> tuple[Outcome, str]:
    """Hold a right number against chance and the other explanations."""
    number = derived.number
    if number.low is None or number.high is None:
        return outcome, told
    if reading.bound != "=" and not (_on_side(number.low, reading) and _on_side(number.high, reading)):
        return (
            "true but within noise",
            f"The interval of {number} reaches the other side of {show(reading.value, number.unit)}.",
        )
    is_change = number.unit == "pp"
    if is_change and not number.excludes_zero:
        return "true but within noise", f"The change is not proven: {number}."
    for explained, why in derived.explanations():
        return explained, f"{why} The whole change is {number}."
    return outcome, f"{told} It is {number}."


def _on_side(number: float, reading: Reading) -> bool:
    compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[reading.bound]
    return bool(compare(number, reading.value))


def _turn(reading: Reading, sign: float) -> Reading:
    if sign > 0:
        return reading
    bounds = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
    return Reading(-reading.value, reading.half_unit, bounds[reading.bound], reading.told)


def _turn_estimate(estimate: Estimate, sign: float) -> Estimate:
    ends = sorted((sign * estimate.low, sign * estimate.high))
    return Estimate(sign * estimate.value, *ends, estimate.unit, estimate.level)


def _as_rate(estimate: Estimate | Rate) -> Rate:
    if isinstance(estimate, Rate):
        return estimate
    return Rate(0, 0, estimate.value, estimate.low, estimate.high, estimate.level)


def _sentence(text: str) -> str:
    return f"{_upper(text.rstrip('.'))}."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
