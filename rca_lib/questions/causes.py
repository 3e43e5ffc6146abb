"""Why? The causes that the findings and the calendar support, ranked, each with its grade and its owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from rca_lib.audits.periods import Period
from rca_lib.audits.tables import parse_scope
from rca_lib.audits.taxonomy_file import Taxonomy
from rca_lib.findings import Answer, Estimate, Finding, Grade, Rate, name_slice, show

EVENT_CAUSES = {
    "policy_update": "TRN.UPD",
    "tool_release": "TOL.BUG",
    "hiring_class": "TRN.ONB",
    "training_wave": "TRN.MATERIAL",
    "routing_change": "PRC.ROUTE",
    "staffing": "PRC.STAFF",
    "target_change": "PRC.SPEED",
    "sampling_change": "MEA.SAMPLE",
    "truth_change": "MEA.GT_STALE",
    "outage": "ENV.OUTAGE",
    "external": "ENV.MIX",
}
RIVAL_CAUSES = {"stale truth": "MEA.GT_STALE", "auditors": "MEA.GT_WRONG", "sampling": "MEA.SAMPLE"}
RIVAL_WORDS = {
    "stale truth": "The truth changed, not the work: audited under another policy version than was in force.",
    "auditors": "One auditor's strictness changed, not the work.",
    "sampling": "The sample changed, not the work: the raw count moved, the weighted rate did not.",
}
NEAR_DAYS = 14
HALF = 0.5
Event = Mapping[str, Any]
Since = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Cause:
    """One explanation of what was found.

    `part` is the excess it stands for, as the finding behind it gave it (errors, or pp of the error rate), `share` its
    part of the whole change. `where` and `since` say where and when it shows; `event` names the entry of the calendar
    that fits both. `measurement` causes never count against a rater. `grade` is how sure the *cause* is: that the place
    got worse may be shown where why it did is only likely, for a coincidence of place and time is no proof.
    """

    code: str
    name: str
    sentence: str
    grade: Grade
    part: Estimate | Rate | None
    share: float | None
    where: Mapping[str, str]
    since: Since | None
    event: str
    owner: str
    controllable_by: str
    measurement: bool


@dataclass(frozen=True, slots=True)
class Causes:
    """The causes, the best supported first; `looked` counts the findings and events that were weighed."""

    causes: tuple[Cause, ...]
    looked: tuple[int, int]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per cause: its code, name, grade, share of the change, place, date, event and owner."""
        rows = [
            {
                "code": cause.code,
                "cause": cause.name,
                "grade": cause.grade,
                "share": cause.share,
                "where": name_slice(cause.where),
                "since": cause.since[0] if cause.since else None,
                "event": cause.event or None,
                "owner": cause.owner,
            }
            for cause in self.causes
        ]
        return pd.DataFrame(rows, columns=["code", "cause", "grade", "share", "where", "since", "event", "owner"])

    def summary(self) -> str:
        """Say the causes, or that nothing needs one."""
        if not self.causes:
            return "Nothing was shown that would need a cause."
        return " ".join(cause.sentence for cause in self.causes)

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding per cause."""
        return tuple(
            Finding("causes", cause.code, cause.sentence, cause.grade, cause.part, f"causes[{place}].part",
                    cause.where, cause.since, cause.share)
            for place, cause in enumerate(self.causes)
        )  # fmt: skip


def rank_causes(
    answers: Sequence[Answer | None],
    events: pd.DataFrame,
    *,
    period: Period,
    taxonomy: Taxonomy,
    dates: Sequence[tuple[Mapping[str, str], Answer | None]] = (),
) -> Causes:
    """Rank the causes that the answers of the other questions and the calendar support.

    Parameters
    ----------
    answers
        Results of the other questions; their findings are weighed, None is passed over.
    events
        One row per event: `type`, `start`, `title`, optionally `end` and `scope`.
    period
        What the report covers; an event fits from two weeks before it begins.
    taxonomy
        Names the causes and their owners.
    dates
        The place of a slice with the answer of `find_changes` on it (None: it could not be dated), in any order;
        slices that are missing here are dated by the change of the whole.

    Returns
    -------
    Causes
        Measurement first, then the rest by share. A truth that changed explains away the slices that moved with it; a
        sample that changed cannot move the weighted rates, and is a cause only where nothing else is.

    Notes
    -----
    A cause of a slice is "likely" where an event's scope names the slice and its start lies in the date interval of
    the change there, "possible" where only one of the two holds. It cannot see a cause that is neither in the calendar
    nor a column of the audits, and two events of the same place and day cannot be told apart.
    """
    known = _Known(
        tuple(finding for answer in answers if answer is not None for finding in answer.findings()),
        tuple(_recent(events, period)),
        (period.start - timedelta(days=NEAR_DAYS)).isoformat(),
        taxonomy,
    )
    slices = [finding for finding in known.findings if finding.kind == "slice"]
    date_of = {_key(where): known.first("step", "drift", among=answer.findings()) for where, answer in dates if answer}
    measured = _rival_causes(known, "stale truth", "auditors")
    causes = [*measured, *_mix_causes(known)]
    for part in slices:
        explained = any(_points(cause) * _points(part) > 0 for cause in measured)
        if _points(part) > 0 and not explained:
            causes.append(_slice_cause(part, date_of.get(_key(part.where)), known))
    causes = causes or _general_causes(known) or _rival_causes(known, "sampling")
    causes.sort(key=lambda cause: (not cause.measurement, -(cause.share or 0.0), cause.code, cause.sentence))
    return Causes(tuple(causes), (len(known.findings), len(events)))


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is weighed: findings, recent events, the first day that counts as recent, the names of causes."""

    findings: tuple[Finding, ...]
    events: tuple[Event, ...]
    begins: str
    taxonomy: Taxonomy

    def first(self, *kinds: str, among: Sequence[Finding] | None = None) -> Finding | None:
        """Return the latest in time of the findings of these kinds, else the first of them."""
        matching = [finding for finding in (self.findings if among is None else among) if finding.kind in kinds]
        return max(matching, key=lambda finding: finding.since[0] if finding.since else "", default=None)

    def recent_change(self) -> Finding | None:
        """Return the change in time whose dates reach into the period or the two weeks before."""
        change = self.first("step", "drift")
        return change if change is not None and change.since and change.since[2] >= self.begins else None

    def event_of(self, *types: str) -> Event | None:
        """Return the first recent event of these types."""
        return next((event for event in self.events if event["type"] in types), None)

    def share_of(self, part: Finding) -> float | None:
        """Return a part's share of the whole change, where that is shown."""
        change = self.first("change")
        return _points(part) / _points(change) if change is not None and change.grade == "shown" else None

    def cause(self, code: str, sentence: str, grade: Grade, finding: Finding, **more: Any) -> Cause:
        """Name a cause, with its owner from the taxonomy."""
        event, share, since = more.get("event"), more.get("share"), more.get("since")
        owner, control = self.taxonomy.owner(code), self.taxonomy.controllable_by(code)
        name, measurement = self.taxonomy.name(code), code.startswith("MEA.")
        named = _named(event) if event is not None else ""
        return Cause(code, name, sentence, grade, finding.estimate, share, finding.where, since, named, owner, control,
                     measurement)  # fmt: skip


def _rival_causes(known: _Known, *kinds: str) -> list[Cause]:
    causes = []
    for finding in known.findings:
        if finding.kind in kinds and finding.grade == "shown":
            event = known.event_of("sampling_change" if finding.kind == "sampling" else "truth_change")
            told = f" {_named(event)} fits." if event is not None else ""
            share = None if finding.kind == "sampling" else known.share_of(finding)
            sentence = f"{RIVAL_WORDS[finding.kind]}{told}"
            code = RIVAL_CAUSES[finding.kind]
            causes.append(known.cause(code, sentence, "shown", finding, share=share, event=event))
    return causes


def _mix_causes(known: _Known) -> list[Cause]:
    mix = known.first("mix")
    if mix is None or mix.grade != "shown" or _points(mix) < HALF * _size(known.first("change")):
        return []
    share = known.share_of(mix)
    event = known.event_of("routing_change", "external")
    told = f" {_named(event)} fits." if event is not None else ""
    worse = any(finding.kind == "slice" and _points(finding) > 0 for finding in known.findings)
    within = "part of the change is no worse work" if worse else "its quality within each kind of work did not fall"
    sentence = f"The mix of the work grew harder; {within}.{told}"
    return [known.cause("ENV.MIX", sentence, "shown", mix, share=share, event=event)]


def _size(change: Finding | None) -> float:
    """Return what a part is held against: the change, or what noise makes of it where that is more."""
    if change is None or change.estimate is None:
        return 0.0
    return max(abs(change.estimate.value), (change.estimate.high - change.estimate.low) / 2)


def _slice_cause(part: Finding, date_of: Finding | None, known: _Known) -> Cause:
    overall = known.recent_change()
    since = date_of.since if date_of else overall.since if overall else None
    fitting = [event for event in known.events if _fits_place(event, part.where)]
    exact = [event for event in fitting if since and _fits_time(event, since)]
    event = (exact or fitting or [None])[0]
    if event is not None:
        code, grade = EVENT_CAUSES[event["type"]], "likely" if exact else "possible"
        why = f"{_named(event)} fits the place{' and the date' if exact else ', not clearly the date'}"
    elif "rater" in part.where:
        code, grade, why = "PPL.KNOW", "likely", "One person's decisions, not the site's; look at the items with them"
    elif {"tenure", "hiring_class"} & set(part.where):
        code, grade, why = "TRN.ONB", "possible", "New starters err more than new starters did before"
    else:
        code, grade, why = "UNK.UNK", "not proven", "No event of the calendar fits; look at the disagreements below"
    sentence = f"{name_slice(part.where)}: {known.taxonomy.name(code)}. {why}."
    return known.cause(code, sentence, grade, part, share=part.share, since=since, event=event)


def _general_causes(known: _Known) -> list[Cause]:
    """Explain a change that no slice carries: everybody, at once or slowly."""
    overall = known.recent_change()
    finding = known.first("everywhere") or overall
    if finding is None or finding.grade not in ("shown", "likely") or _points(finding) <= 0:
        return []
    since = finding.since or (overall.since if overall else None)
    slowly = overall is not None and overall.kind == "drift"
    fitting = [event for event in known.events if since and _fits_time(event, since)]
    event = min(fitting, key=lambda one: len(_scope(one)), default=None)
    code = EVENT_CAUSES[event["type"]] if event is not None else "UNK.UNK"
    why = f"{_named(event)} fits the date" if event is not None else "no event of the calendar fits"
    how = "slowly, step by step" if slowly else "at once"
    sentence = f"All of the work got worse {how}, no part of it stands out; {why}."
    grade = "possible" if event is not None else "not proven"
    return [known.cause(code, sentence, grade, finding, since=since, event=event)]


def _recent(events: pd.DataFrame, period: Period) -> list[Event]:
    """Return the events that begin in the period or up to two weeks before it."""
    first, last = pd.Timestamp(period.start - timedelta(days=NEAR_DAYS)), pd.Timestamp(period.end)
    return events[(events["start"] >= first) & (events["start"] < last)].to_dict("records")


def _fits_place(event: Event, where: Mapping[str, str]) -> bool:
    scope = _scope(event)
    if event["type"] == "hiring_class" and {"tenure", "hiring_class"} & set(where):
        return where.get("hiring_class", scope.get("hiring_class")) == scope.get("hiring_class")
    return bool(scope) and all(where.get(name) == value for name, value in scope.items())


def _scope(event: Event) -> dict[str, str]:
    return {name: value for name, value in parse_scope(event.get("scope")).items() if name != "site"}


def _fits_time(event: Event, since: Since, slack: int = 2) -> bool:
    earliest, latest = (date.fromisoformat(day[:10]) for day in since[1:])
    return earliest - timedelta(days=slack) <= event["start"].date() <= latest + timedelta(days=slack)


def _key(where: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(where.items())


def _points(found: Finding | Cause) -> float:
    estimate = found.estimate if isinstance(found, Finding) else found.part
    return float(estimate.value) if estimate is not None else 0.0


def _named(event: Event) -> str:
    return f"{event['title']} ({show(str(event['start'])[:10], 'date')})"
