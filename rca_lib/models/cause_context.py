# Tested in tests/questions/test_causes.py.
"""What a ranking of causes starts from: the findings of a period, its recent events and the names of the causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rca_lib.audits.events import Event, format_event, parse_event_scope, scope_covers
from rca_lib.audits.taxonomy import MEASUREMENT_FINDINGS, Taxonomy
from rca_lib.findings import Finding, Grade, Number

TruthAlternative = Literal["stale truth", "auditors"]  # the audit changed, not the work
AlternativeKind = TruthAlternative | Literal["sampling"]
TRUTH_ALTERNATIVES: tuple[TruthAlternative, ...] = get_args(TruthAlternative)
ALTERNATIVE_KINDS: tuple[AlternativeKind, ...] = (*TRUTH_ALTERNATIVES, "sampling")
CauseKind = Literal["sampling", "truth", "auditor", "mix", "slice", "everywhere"]
Since = tuple[str, str, str]  # date of a change with its earliest and latest date, as ISO texts


@dataclass(frozen=True, slots=True)
class RankedCause:
    """One cause of a change.

    Attributes
    ----------
    kind
        Which part of the change the cause explains.
    code, name
        The cause in the taxonomy.
    sentence
        The cause in words.
    grade
        How certain the cause is. That a slice changed can be confirmed while its cause is only likely: an event that
        matches slice and date is no proof.
    excess
        The estimate of the finding behind the cause: errors, or pp of the error rate.
    effect
        The same as a change of the error rate, as a share.
    share
        The part of the whole change that the cause explains; None if the change is not proven.
    where, since
        The slice, and the date of the change with its earliest and latest date.
    event
        The matching event of the calendar, "" if there is none.
    owner, controllable_by
        Who acts on the cause, and who can control it.
    measurement
        Whether the audit changed rather than the work. Such causes never count against a rater.
    """

    kind: CauseKind
    code: str
    name: str
    sentence: str
    grade: Grade
    excess: Number | None
    effect: float
    share: float | None
    where: Mapping[str, str]
    since: Since | None
    event: str
    owner: str
    controllable_by: str
    measurement: bool


@dataclass(frozen=True, slots=True)
class CauseContext:
    """The findings and recent events of a period, the first day that counts as recent, and the taxonomy.

    `n_audits` is the number of audits in the period, 0 if it is not known.
    """

    findings: tuple[Finding[str], ...]
    events: tuple[Event, ...]
    recent_from: str
    taxonomy: Taxonomy
    n_audits: float

    def latest_finding(self, *kinds: str, among: Sequence[Finding[str]] | None = None) -> Finding[str] | None:
        """Return the latest finding of these kinds, or the first of them if none has a date."""
        findings = self.findings if among is None else among
        matching = [finding for finding in findings if finding.kind in kinds]
        return max(matching, key=lambda finding: finding.since[0] if finding.since else "", default=None)

    def recent_change(self) -> Finding[str] | None:
        """Return the change in time whose date interval reaches into the period or the two weeks before it."""
        change = self.latest_finding("step", "drift")
        if change is None or not change.since or change.since[2] < self.recent_from:
            return None
        return change

    def find_event(self, where: Mapping[str, str], *types: str) -> Event | None:
        """Return the recent event of these types whose scope covers a slice, the narrowest scope first."""
        matching = [
            event
            for event in self.events
            if event["type"] in types and scope_covers(parse_event_scope(event.get("scope")), where)
        ]
        return max(matching, key=lambda event: len(parse_event_scope(event.get("scope"))), default=None)

    def to_rate_change(self, finding: Finding[str]) -> float:
        """Return an estimate as a change of the error rate; errors are divided by the audits of the period."""
        estimate = finding.estimate
        if estimate is None or estimate.unit not in ("pp", "errors"):
            return 0.0
        divisor = self.n_audits or 1.0 if estimate.unit == "errors" else 1.0
        return float(estimate.value) / divisor

    def compute_share(self, finding: Finding[str]) -> float | None:
        """Return the share of the whole change that a finding explains; None if the change is not proven."""
        change = self.latest_finding("change")
        if change is None or change.grade != "shown":
            return None
        if finding.share is not None:
            return finding.share
        return self.to_rate_change(finding) / self.to_rate_change(change)

    def build_cause(
        self,
        kind: CauseKind,
        subject: str,
        sentence: str,
        grade: Grade,
        finding: Finding[str],
        *,
        share: float | None = None,
        since: Since | None = None,
        event: Event | None = None,
    ) -> RankedCause:
        """Build the cause that the taxonomy has for a subject."""
        cause = self.taxonomy.find_cause(subject)
        return RankedCause(
            kind=kind,
            code=cause.code,
            name=cause.name,
            sentence=sentence,
            grade=grade,
            excess=finding.estimate,
            effect=self.to_rate_change(finding),
            share=share,
            where=finding.where,
            since=since,
            event=format_event(event) if event is not None else "",
            owner=cause.owner,
            controllable_by=cause.controllable_by,
            measurement=subject in MEASUREMENT_FINDINGS,
        )
