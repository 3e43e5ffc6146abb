"""Why did the error rate change? Causes supported by the findings and the calendar, ranked and graded.

Each finding that lets errors grow is matched with a cause:

- a changed truth or a changed auditor is a measurement cause, and takes the slices that it explains;
- a change of the work mix is a cause if it makes at least half of the change (a quarter beside other causes);
- a slice gets the event of the calendar whose scope covers it and whose date matches;
- the work in the scope of an event is a cause if it got worse than other work and makes half of the change;
- only if none of these applies: a change of all work, or of the sample.

A cause is at most "likely" unless the data itself proves it, as for a changed truth. Causes are ranked by the change of
the error rate that they explain; causes that lowered the rate come last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from rca_lib.audits.events import (
    EVENT_MATCH_TEXTS,
    LOOKBACK_DAYS,
    Event,
    event_matches_date,
    format_event,
    get_event_scope,
    match_event,
    select_recent_events,
)
from rca_lib.audits.periods import Period
from rca_lib.audits.taxonomy import Taxonomy
from rca_lib.findings import Finding, Grade, format_slice, set_units
from rca_lib.models.cause_context import TRUTH_ALTERNATIVES, CauseContext, RankedCause, TruthAlternative
from rca_lib.models.materiality import EXPLAINS_SHARE, NOTABLE_SHARE, get_reference_size
from rca_lib.result import Result

MIX_EVENT_TYPES = ("routing_change", "external")  # types of events that can change the work mix
MAX_RATE_CHANGE = 1.0  # the largest possible change of a rate, as a share
SAMPLING_SENTENCE = "The sample changed, not the work: the raw error rate changed, the weighted rate did not."


@dataclass(frozen=True, slots=True)
class Causes(Result):
    """The ranked causes, and how many findings were reviewed."""

    causes: tuple[RankedCause, ...]
    findings_reviewed: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row per cause: its code, name, grade, share of the change, slice, date, event and owner."""
        rows = [
            {
                "code": cause.code,
                "cause": cause.name,
                "grade": cause.grade,
                "share": cause.share,
                "where": format_slice(cause.where),
                "since": cause.since[0] if cause.since else None,
                "event": cause.event or None,
                "owner": cause.owner,
            }
            for cause in self.causes
        ]
        frame = pd.DataFrame(rows, columns=["code", "cause", "grade", "share", "where", "since", "event", "owner"])
        return set_units(frame, share="%", since="date")

    def summary(self) -> str:
        """Return the sentences of the causes, or say that there are none."""
        if not self.causes:
            return "No proven finding needs a cause."
        return " ".join(cause.sentence for cause in self.causes)

    def findings(self) -> tuple[Finding[str], ...]:
        """Return one finding per cause."""
        return tuple(
            Finding("causes", cause.code, cause.sentence, cause.grade, cause.excess, f"causes[{index}].excess",
                    cause.where, cause.since, cause.share)
            for index, cause in enumerate(self.causes)
        )  # fmt: skip


def rank_causes(
    results: Sequence[Result | None],
    events: pd.DataFrame,
    *,
    period: Period,
    taxonomy: Taxonomy,
    n_audits: float = 0.0,
    slice_trends: Sequence[tuple[Mapping[str, str], Result | None]] = (),
    explained_slices: Collection[Mapping[str, str]] = (),
) -> Causes:
    """Rank the causes that the results of the other questions and the calendar support.

    Parameters
    ----------
    results
        Results of the other questions, whose findings are reviewed. None is skipped.
    events
        One row per event: `type`, `start`, `title`, optionally `end` and `scope`.
    period
        The period of the report. Events up to two weeks before it can match.
    taxonomy
        The taxonomy in use: the causes that findings and events stand for, and their owners.
    n_audits
        Number of audits in the period, to convert excess errors to a change of the error rate; 0 if it is not known.
    slice_trends
        Slices with the result of `find_changes` on each (None: no date was possible), in any order. Slices that are
        missing here take the date of the overall change.
    explained_slices
        Slices that a changed truth or a changed auditor explains (`AlternativeExplanations.explained_slices`). They
        get no cause of their own.

    Returns
    -------
    Causes
        The largest effect first; causes that lowered the error rate come last. If the periods are not comparable,
        sampling is the only cause. A changed sample cannot move weighted rates, so it is otherwise a cause only if
        there is no other.

    Notes
    -----
    The cause of a slice is "likely" if the scope of an event covers the slice and the event starts within the date
    interval of its change. It is "possible" if only one of the two holds, or if the event concerns all work. Work in
    the scope of an event is also a cause if it got worse than other work (`compare_event_scopes`) and makes half of
    the change. A change of all work is otherwise explained by an event of all work only.

    The ranking cannot detect a cause that is neither in the calendar nor a column of the audits. Two events with the
    same scope and day cannot be told apart.
    """
    context = CauseContext(
        findings=tuple(finding for result in results if result is not None for finding in result.findings()),
        events=tuple(select_recent_events(events, period)),
        recent_from=(period.start - timedelta(days=LOOKBACK_DAYS)).isoformat(),
        taxonomy=taxonomy,
        n_audits=n_audits,
    )
    findings_reviewed = len(context.findings)
    not_comparable = context.latest_finding("not comparable")
    if not_comparable is not None:
        sentence = "Causes are not ranked: the periods are not comparable."
        return Causes((_sampling_cause(not_comparable, sentence, context),), findings_reviewed)
    causes = _measurement_causes(context)
    causes += _slice_causes(context, slice_trends, explained_slices)
    causes += _event_scope_causes(context, {cause.event for cause in causes})
    causes += _mix_causes(context, [cause.effect for cause in causes])
    causes = causes or _overall_causes(context) or _sampling_causes(context)
    # Causes that raised the error rate come before causes that offset a part of the rise.
    causes.sort(key=lambda cause: (cause.effect < 0, -abs(cause.effect), cause.code, cause.sentence))
    return Causes(tuple(causes), findings_reviewed)


def _measurement_causes(context: CauseContext) -> list[RankedCause]:
    """Return the causes that concern truth and auditors: confirmed alternatives and slices of the audit that grew."""
    alternatives = {
        finding.kind: finding
        for finding in context.findings
        if finding.kind in TRUTH_ALTERNATIVES and finding.grade == "shown"
    }
    causes = [
        _measurement_cause(alternatives[kind], kind, context) for kind in TRUTH_ALTERNATIVES if kind in alternatives
    ]
    named_auditors = {finding.where["auditor"] for finding in alternatives.values() if "auditor" in finding.where}
    kind: TruthAlternative
    for finding in context.findings:
        if finding.kind != "measurement" or context.to_rate_change(finding) <= 0:
            continue
        if "auditor" in finding.where:
            kind = "auditors"
            is_new = finding.where["auditor"] not in named_auditors
        else:
            kind = "stale truth"
            is_new = kind not in alternatives
        if is_new:
            causes.append(_measurement_cause(finding, kind, context))
    return causes


def _measurement_cause(finding: Finding[str], kind: TruthAlternative, context: CauseContext) -> RankedCause:
    """Return the cause for a changed auditor or a changed truth."""
    share = context.compute_share(finding)
    if kind == "auditors":
        name = finding.where.get("auditor")
        auditor = f"Auditor {name}" if name else "One auditor"
        more = "more" if context.to_rate_change(finding) > 0 else "fewer"
        sentence = f"{auditor} found {more} errors than before, unlike the other auditors: the audit changed."
        return context.build_cause("auditor", kind, sentence, "shown", finding, share=share)
    event = context.find_event(finding.where, "truth_change")
    where = {name: value for name, value in finding.where.items() if name != "truth_version"}
    subject = f"The truth for {format_slice(where)}" if where else "The truth"
    sentence = f"{subject} changed: audits used another policy version than was in force."
    return context.build_cause(
        "truth", kind, f"{sentence}{_format_matching_event(event)}", "shown", finding, share=share, event=event
    )


def _format_matching_event(event: Event | None) -> str:
    return f" Matching event: {format_event(event)}." if event is not None else ""


def _sampling_causes(context: CauseContext) -> list[RankedCause]:
    """Return sampling as the cause if its effect on the raw rate is confirmed."""
    for finding in context.findings:
        if finding.kind == "sampling" and finding.grade == "shown":
            return [_sampling_cause(finding, SAMPLING_SENTENCE, context)]
    return []


def _sampling_cause(finding: Finding[str], sentence: str, context: CauseContext) -> RankedCause:
    """Return the cause for a changed sample."""
    event = context.find_event({}, "sampling_change")
    return context.build_cause(
        "sampling", "sampling", f"{sentence}{_format_matching_event(event)}", "shown", finding, event=event
    )


def _mix_causes(context: CauseContext, other_effects: Sequence[float]) -> list[RankedCause]:
    """Return the work mix as a cause if it is half of the change, or a quarter beside other causes."""
    mix, change = context.latest_finding("mix"), context.latest_finding("change")
    if mix is None or mix.grade != "shown" or (context.compute_share(mix) or 1.0) < 0:
        return []
    size = abs(context.to_rate_change(mix))
    reference = get_reference_size(change.estimate if change is not None else None)
    is_proven = change is not None and change.grade == "shown"
    is_notable = bool(other_effects) and is_proven and size > NOTABLE_SHARE * reference
    if size < EXPLAINS_SHARE * reference and not is_notable:
        return []
    event = context.find_event({}, *MIX_EVENT_TYPES) or next(
        (event for event in context.events if event["type"] in MIX_EVENT_TYPES), None
    )
    sentence = f"{_format_mix(context, mix, other_effects)}{_format_matching_event(event)}"
    return [context.build_cause("mix", "mix", sentence, "shown", mix, share=context.compute_share(mix), event=event)]


def _format_mix(context: CauseContext, mix: Finding[str], other_effects: Sequence[float]) -> str:
    """Say how the work mix changed, and what that means for quality."""
    if context.to_rate_change(mix) <= 0:
        return "The work mix became easier. This part of the change is not an improvement in quality."
    rate = context.latest_finding("rate")
    rate_rose = rate is not None and rate.grade == "shown" and context.to_rate_change(rate) > 0
    if rate_rose or any(effect > 0 for effect in other_effects):
        return "The work mix became harder. This part of the change is not a decline in quality."
    return "The work mix became harder. Quality within each kind of work did not fall."


def _slice_causes(
    context: CauseContext,
    slice_trends: Sequence[tuple[Mapping[str, str], Result | None]],
    explained_slices: Collection[Mapping[str, str]],
) -> list[RankedCause]:
    """Return a cause for each slice whose errors grew, except for slices that are explained already."""
    dates = {
        _slice_key(where): context.latest_finding("step", "drift", among=trend.findings())
        for where, trend in slice_trends
        if trend
    }
    explained = {_slice_key(where) for where in explained_slices}
    return [
        _slice_cause(finding, dates.get(_slice_key(finding.where)), context)
        for finding in context.findings
        if finding.kind == "slice"
        and context.to_rate_change(finding) > 0
        and _slice_key(finding.where) not in explained
    ]


def _slice_cause(finding: Finding[str], dated: Finding[str] | None, context: CauseContext) -> RankedCause:
    """Return the cause of a slice: the best matching event, else what kind of slice it is."""
    overall = context.recent_change()
    since = dated.since if dated else overall.since if overall else None
    event, event_grade = match_event(context.events, finding.where, since)
    grade: Grade
    if event is not None:
        subject, grade = event["type"], event_grade
        reason = f"{format_event(event)} {EVENT_MATCH_TEXTS[event_grade, bool(get_event_scope(event))]}"
    elif "rater" in finding.where:
        subject, grade = "one rater", "likely"
        reason = "The change concerns one rater, not the site. Review the items with the rater"
    elif {"tenure", "hiring_class"} & set(finding.where):
        subject, grade = "new starters", "possible"
        reason = "New starters make more errors than new starters did before"
    else:
        subject, grade = "", "not proven"
        reason = "No event in the calendar matches. See the disagreements below"
    name = context.taxonomy.find_cause(subject).name
    sentence = f"{format_slice(finding.where)}: {name}. {reason}."
    return context.build_cause(
        "slice", subject, sentence, grade, finding, share=finding.share, since=since, event=event
    )


def _event_scope_causes(context: CauseContext, named_events: Collection[str]) -> list[RankedCause]:
    """Return the event scopes that got worse than other work and make half of the change."""
    change, overall = context.latest_finding("change"), context.recent_change()
    required_effect = MAX_RATE_CHANGE
    if change is not None and change.estimate is not None and change.grade == "shown":
        required_effect = EXPLAINS_SHARE * change.estimate.value
    since = overall.since if overall else None
    causes = []
    for finding in context.findings:
        if finding.kind != "event scope" or finding.grade != "shown":
            continue
        events = [
            event
            for event in context.events
            if get_event_scope(event) == finding.where and format_event(event) not in named_events
        ]
        if not events or not 0 < required_effect <= context.to_rate_change(finding):
            continue
        event = events[0]
        grade: Grade = "likely" if since is not None and event_matches_date(event, since) else "possible"
        name = context.taxonomy.find_cause(event["type"]).name
        reason = EVENT_MATCH_TEXTS[grade, True]
        sentence = f"{format_slice(finding.where)}: {name}. {format_event(event)} {reason}."
        causes.append(context.build_cause("slice", event["type"], sentence, grade, finding, since=since, event=event))
    return causes


def _overall_causes(context: CauseContext) -> list[RankedCause]:
    """Return the cause of a rise that no slice explains: a step or a drift of all work."""
    overall = context.recent_change()
    finding = context.latest_finding("everywhere") or overall
    if finding is None or finding.grade not in ("shown", "likely") or context.to_rate_change(finding) <= 0:
        return []
    since = finding.since or (overall.since if overall else None)
    events = [
        event for event in context.events if since and not get_event_scope(event) and event_matches_date(event, since)
    ]
    event = next(iter(events), None)
    how = "gradually" if overall is not None and overall.kind == "drift" else "abruptly"
    reason = f"{format_event(event)} matches the date" if event is not None else "No event of all work matches"
    sentence = f"All work got worse {how}; no slice stands out. {reason}."
    grade: Grade = "possible" if event is not None else "not proven"
    subject = event["type"] if event is not None else ""
    return [context.build_cause("everywhere", subject, sentence, grade, finding, since=since, event=event)]


def _slice_key(where: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(where.items())
