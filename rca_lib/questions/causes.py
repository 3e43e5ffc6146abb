"""Why? The causes that the findings and the calendar support, ranked, each with its grade and its owner."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.cause_codes import code_of
from rca_lib.audits.periods import Period
from rca_lib.audits.scopes import (
    NEAR_DAYS,
    Event,
    covers,
    fits_date,
    fits_place,
    list_recent,
    name_event,
    read_scope,
)
from rca_lib.audits.taxonomy_file import Taxonomy
from rca_lib.findings import Answer, Estimate, Finding, Grade, Rate, mark_units, name_slice

HALF, QUARTER = 0.5, 0.25  # of a change: from where a part explains it, and from where it is worth naming
MEASURED = ("stale truth", "auditors", "sampling")
Kind = Literal["sampling", "truth", "auditor", "mix", "slice", "everywhere"]
Since = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Cause:
    """One explanation of what was found.

    `kind` is what kind of part of the change it explains. `part` is the excess it stands for, as the finding behind it
    gave it (errors, or pp of the error rate), `points` the same as a change of the error rate, `share` its part of the
    whole change, where that is shown. `where` and `since` say where and when it shows; `event` names the entry of the
    calendar whose scope covers the place. `measurement` causes never count against a rater. `grade` is how sure the
    *cause* is: that the place got worse may be shown where why it did is only likely, for a coincidence of place and
    time is no proof.
    """

    kind: Kind
    code: str
    name: str
    sentence: str
    grade: Grade
    part: Estimate | Rate | None
    points: float
    share: float | None
    where: Mapping[str, str]
    since: Since | None
    event: str
    owner: str
    controllable_by: str
    measurement: bool


@dataclass(frozen=True, slots=True)
class Causes:
    """The causes, the largest part of the change first; `looked` counts the findings and events that were weighed."""

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
        frame = pd.DataFrame(rows, columns=["code", "cause", "grade", "share", "where", "since", "event", "owner"])
        return mark_units(frame, share="%", since="date")

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
    audits: float = 0.0,
    dates: Sequence[tuple[Mapping[str, str], Answer | None]] = (),
    explained: Collection[Mapping[str, str]] = (),
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
    audits
        How many audits the period has, to hold excess errors against parts in pp; 0 where that is not known.
    dates
        The place of a slice with the answer of `find_changes` on it (None: it could not be dated), in any order;
        slices that are missing here are dated by the change of the whole.
    explained
        Places of slices that a change of the truth or of an auditor explains (`Rivals.explained`): they are no cause.

    Returns
    -------
    Causes
        The largest part first: truth, auditors, mix, slices; parts that lowered the error rate come last. Where the
        periods are not comparable, sampling alone. A sample that changed cannot move weighted rates, and is a cause
        only where nothing else is.

    Notes
    -----
    A cause of a slice is "likely" where an event's scope names the slice, or work that holds it, and its start lies in
    the date interval of the change there; "possible" where only one of the two holds, or the event is of all work. A
    change of all work is explained by an event of all work only. It cannot see a cause that is neither in the calendar
    nor a column of the audits, and two events of the same place and day cannot be told apart.
    """
    known = _Known(
        tuple(finding for answer in answers if answer is not None for finding in answer.findings()),
        tuple(list_recent(events, period)),
        (period.start - timedelta(days=NEAR_DAYS)).isoformat(),
        taxonomy,
        audits,
    )
    looked = (len(known.findings), len(events))
    if (apart := known.first("not comparable")) is not None:
        return Causes((_sampling_cause(apart, "No cause is ranked: the periods are not comparable.", known),), looked)
    slices = [finding for finding in known.findings if finding.kind == "slice" and known.points(finding) > 0]
    date_of = {_key(where): known.first("step", "drift", among=answer.findings()) for where, answer in dates if answer}
    told = {_key(where) for where in explained}
    causes = [*_measured_causes(known)]
    causes += [_slice_cause(one, date_of.get(_key(one.where)), known) for one in slices if _key(one.where) not in told]
    causes += _mix_causes(known, [cause.points for cause in causes])
    causes = causes or _general_causes(known) or _sampling_causes(known)
    # What made the rate worse comes before what hid a part of that.
    causes.sort(key=lambda cause: (cause.points < 0, -abs(cause.points), cause.code, cause.sentence))
    return Causes(tuple(causes), looked)


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is weighed: findings, recent events, the first day that counts as recent, the names of causes."""

    findings: tuple[Finding, ...]
    events: tuple[Event, ...]
    begins: str
    taxonomy: Taxonomy
    audits: float

    def first(self, *kinds: str, among: Sequence[Finding] | None = None) -> Finding | None:
        """Return the latest in time of the findings of these kinds, else the first of them."""
        matching = [finding for finding in (self.findings if among is None else among) if finding.kind in kinds]
        return max(matching, key=lambda finding: finding.since[0] if finding.since else "", default=None)

    def recent_change(self) -> Finding | None:
        """Return the change in time whose dates reach into the period or the two weeks before."""
        change = self.first("step", "drift")
        return change if change is not None and change.since and change.since[2] >= self.begins else None

    def event_of(self, where: Mapping[str, str], *types: str) -> Event | None:
        """Return the first recent event of these types whose scope covers a place, the narrowest scope first."""
        fitting = [one for one in self.events if one["type"] in types and covers(read_scope(one.get("scope")), where)]
        return max(fitting, key=lambda one: len(read_scope(one.get("scope"))), default=None)

    def points(self, found: Finding) -> float:
        """Return a part as a change of the error rate: errors are held against the audits of the period."""
        if found.estimate is None or found.estimate.unit not in ("pp", "errors"):
            return 0.0
        return float(found.estimate.value) / (self.audits or 1.0 if found.estimate.unit == "errors" else 1.0)

    def share_of(self, part: Finding) -> float | None:
        """Return a part's share of the whole change, where that is shown."""
        change = self.first("change")
        if change is None or change.grade != "shown":
            return None
        return part.share if part.share is not None else self.points(part) / self.points(change)

    def cause(self, kind: Kind, subject: str, sentence: str, grade: Grade, finding: Finding, **more: Any) -> Cause:
        """Name the cause that the taxonomy has for a subject, with its owner."""
        event, code = more.get("event"), code_of(self.taxonomy, subject)
        known, named = self.taxonomy.causes[code], name_event(event) if event is not None else ""
        measurement = kind in ("sampling", "truth", "auditor")
        return Cause(
            kind, code, known.name, sentence, grade, finding.estimate, self.points(finding), more.get("share"),
            finding.where, more.get("since"), named, known.owner, known.controllable_by, measurement,
        )  # fmt: skip


def _measured_causes(known: _Known) -> list[Cause]:
    """Explain by the truth and by auditors: what the rivals show, and the slices of the audit that grew."""
    rivals = {one.kind: one for one in known.findings if one.kind in MEASURED[:2] and one.grade == "shown"}
    causes = [_measured_cause(rivals[kind], kind, known) for kind in MEASURED[:2] if kind in rivals]
    told = {value for one in rivals.values() for name, value in one.where.items() if name == "auditor"}
    for one in known.findings:
        if one.kind != "measurement" or known.points(one) <= 0:
            continue
        kind = "auditors" if "auditor" in one.where else "stale truth"
        if (kind == "auditors" and one.where["auditor"] not in told) or (kind != "auditors" and kind not in rivals):
            causes.append(_measured_cause(one, kind, known))
    return causes


def _measured_cause(found: Finding, kind: str, known: _Known) -> Cause:
    if kind == "auditors":
        how = "found more errors than before" if known.points(found) > 0 else "found fewer errors than before"
        name = found.where.get("auditor")
        sentence = f"{f'Auditor {name}' if name else 'One auditor'} {how}, unlike the others: the audit changed there."
        return known.cause("auditor", kind, sentence, "shown", found, share=known.share_of(found))
    event = known.event_of(found.where, "truth_change")
    told = f" {name_event(event)} fits." if event is not None else ""
    where = {name: value for name, value in found.where.items() if name != "truth_version"}
    place = f" of {name_slice(where)}" if where else ""
    sentence = f"The truth{place} changed: audited under another policy version than was in force.{told}"
    return known.cause("truth", kind, sentence, "shown", found, share=known.share_of(found), event=event)


def _sampling_causes(known: _Known) -> list[Cause]:
    found = next((one for one in known.findings if one.kind == "sampling" and one.grade == "shown"), None)
    words = "The sample changed, not the work: the raw count moved, the weighted rate did not."
    return [] if found is None else [_sampling_cause(found, words, known)]


def _sampling_cause(found: Finding, words: str, known: _Known) -> Cause:
    event = known.event_of({}, "sampling_change")
    told = f" {name_event(event)} fits." if event is not None else ""
    return known.cause("sampling", "sampling", f"{words}{told}", "shown", found, event=event)


def _mix_causes(known: _Known, others: Sequence[float]) -> list[Cause]:
    """Explain by the mix of the work, where it is half of the change, or worth naming beside other causes."""
    mix, change = known.first("mix"), known.first("change")
    if mix is None or mix.grade != "shown" or (known.share_of(mix) or 1.0) < 0:
        return []
    part, size = abs(known.points(mix)), _size(change)
    beside = bool(others) and change is not None and change.grade == "shown" and part > QUARTER * size
    if part < HALF * size and not beside:
        return []
    event = known.event_of({}, "routing_change", "external") or next(
        (one for one in known.events if one["type"] in ("routing_change", "external")), None
    )
    told = f" {name_event(event)} fits." if event is not None else ""
    rate = known.first("rate")
    worse = any(points > 0 for points in others) or (
        rate is not None and rate.grade == "shown" and known.points(rate) > 0
    )
    grew = "grew harder" if known.points(mix) > 0 else "grew easier"
    within = "that part of the change is no worse work" if worse else "quality within each kind of work did not fall"
    within = within if known.points(mix) > 0 else "that part of the change is no better work"
    sentence = f"The mix of the work {grew}; {within}.{told}"
    return [known.cause("mix", "mix", sentence, "shown", mix, share=known.share_of(mix), event=event)]


def _size(change: Finding | None) -> float:
    """Return what a part is held against: the change, or what noise makes of it where that is more."""
    if change is None or change.estimate is None:
        return 0.0
    return max(abs(change.estimate.value), (change.estimate.high - change.estimate.low) / 2)


def _slice_cause(part: Finding, date_of: Finding | None, known: _Known) -> Cause:
    overall = known.recent_change()
    since = date_of.since if date_of else overall.since if overall else None
    event, fits = _fit_event(part.where, since, known)
    if event is not None:
        subject, grade, why = event["type"], fits, f"{name_event(event)} {EVENT_FITS[fits, bool(_scope(event))]}"
    elif "rater" in part.where:
        subject, grade, why = (
            "one rater",
            "likely",
            "One person's decisions, not the site's; look at the items with them",
        )
    elif {"tenure", "hiring_class"} & set(part.where):
        subject, grade, why = "new starters", "possible", "New starters err more than new starters did before"
    else:
        subject, grade, why = "", "not proven", "No event of the calendar fits; look at the disagreements below"
    name = known.taxonomy.name(code_of(known.taxonomy, subject))
    sentence = f"{name_slice(part.where)}: {name}. {why}."
    return known.cause("slice", subject, sentence, grade, part, share=part.share, since=since, event=event)


EVENT_FITS = {
    ("likely", True): "fits the place and the date",
    ("possible", True): "fits the place, not clearly the date",
    ("possible", False): "fits the date; it concerned all work, not this place alone",
}


def _fit_event(where: Mapping[str, str], since: Since | None, known: _Known) -> tuple[Event | None, Grade]:
    """Return the event that best explains a slice: of its place and date, else its place, else of all work then."""
    narrow = [one for one in known.events if _scope(one) and fits_place(one, where)]
    exact = [one for one in narrow if since and fits_date(one, since)]
    wide = [one for one in known.events if not _scope(one) and since and fits_date(one, since)]
    event = next(iter([*exact, *narrow, *wide]), None)
    return event, "likely" if exact else "possible"


def _general_causes(known: _Known) -> list[Cause]:
    """Explain a change that no slice carries: everybody, at once or slowly."""
    overall = known.recent_change()
    finding = known.first("everywhere") or overall
    if finding is None or finding.grade not in ("shown", "likely") or known.points(finding) <= 0:
        return []
    since = finding.since or (overall.since if overall else None)
    slowly = overall is not None and overall.kind == "drift"
    fitting = [event for event in known.events if since and not _scope(event) and fits_date(event, since)]
    event = next(iter(fitting), None)
    why = f"{name_event(event)} fits the date" if event is not None else "no event of all work fits"
    how = "slowly, step by step" if slowly else "at once"
    sentence = f"All of the work got worse {how}, no part of it stands out; {why}."
    grade = "possible" if event is not None else "not proven"
    subject = event["type"] if event is not None else ""
    return [known.cause("everywhere", subject, sentence, grade, finding, since=since, event=event)]


def _scope(event: Event) -> dict[str, str]:
    return read_scope(event.get("scope"))


def _key(where: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(where.items())
