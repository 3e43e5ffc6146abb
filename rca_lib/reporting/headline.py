"""The headline: what it all comes to, in a word and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rca_lib.findings import Estimate, Finding, Grade, Rate, count_noun, name_slice, show
from rca_lib.questions.causes import Cause
from rca_lib.reporting.deep_dive import Answers
from rca_lib.reporting.evidence import LEAST_AUDITS, LEAST_EFFECTIVE
from rca_lib.reporting.verdicts import Judgement, Verdict, reach_verdict

WORTH_NAMING = 0.25  # of the change, or of its largest part
Told = tuple[str, Estimate | Rate, str]  # a sentence, its number, the call that gives it


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict on a site and period, how sure it is, and the sentence that says it with a number.

    "artefact" means that the truth or the sample changed and not the work, "mix" that the mix of the work did,
    "not comparable" that the audits of the periods do not stand for the same,
    "not proven" that one look alone would name something and all together do not.
    """

    verdict: Verdict
    grade: Grade
    sentence: str
    estimate: Estimate | Rate
    call: str


def write_headline(answers: Answers, *, alpha: float = 0.05) -> Headline:
    """Weigh all looks together (`reach_verdict`) and say in a sentence what they come to.

    Parameters
    ----------
    answers
        The answers of a deep dive.
    alpha
        The probability that a quiet site and period gets a headline marked *shown*.
    """
    judgement = reach_verdict(answers, alpha=alpha)
    if judgement.verdict == "not comparable":
        told = _tell_apart(answers)
    elif judgement.verdict == "too few audits":
        told = _tell_few(answers, judgement)
    elif judgement.verdict == "incomplete period":
        told = _tell_incomplete(answers, judgement)
    else:
        told = _TELL[judgement.verdict](answers, judgement.surviving)
    return Headline(judgement.verdict, judgement.grade, *told)


def _tell_few(answers: Answers, judgement: Judgement) -> Told:
    """Say how many audits there are, how many it takes, and what fewer would miss."""
    now, before, accuracy = judgement.now, judgement.before, answers.quality.accuracy
    least = f"{LEAST_AUDITS} in each period are the least"
    counted = count_noun(now.audits, "audit")
    against = f" against {before.audits:,} before" if before is not None else ""
    if now.audits >= LEAST_AUDITS and (before is None or before.audits >= LEAST_AUDITS):
        worth = min(one.effective for one in (now, before) if one is not None)
        least = f"by their weights they are worth {worth:.1f} equal ones, and {LEAST_EFFECTIVE:.0f} are the least"
    missed = "Fewer would miss even a rise from 5 to 30 %."
    sentence = f"Too few audits to compare: {counted}{against}; {least}. {missed} Accuracy is {accuracy}."
    return f"{sentence}{_tell_reach(answers)}", accuracy, "quality.accuracy"


def _tell_incomplete(answers: Answers, judgement: Judgement) -> Told:
    """Say that the period is not complete, and what its audits show so far."""
    sentence, estimate, call = _TELL[judgement.provisional](answers, judgement.surviving)
    return f"Provisional, the period is incomplete.{_tell_reach(answers)} So far: {sentence}", estimate, call


def _tell_reach(answers: Answers) -> str:
    """Say where the audits begin or end inside the period; nothing where they do not."""
    coverage, period = answers.case.coverage, answers.case.period
    if coverage is None or coverage.holds(period):
        return ""
    first, last = show(coverage.first.isoformat(), "date"), show(coverage.last.isoformat(), "date")
    ends = show((period.end - timedelta(days=1)).isoformat(), "date")
    if not coverage.ends_inside(period):
        return f" The audits begin on {first}, inside {period.name}."
    if coverage.begins_inside(period):
        return f" All audits are from {first} to {last}; {period.name} ends on {ends}."
    return f" The audits end on {last}; {period.name} ends on {ends}."


def _tell_first(answers: Answers, surviving: Sequence[Finding]) -> Told:
    accuracy = answers.quality.accuracy
    sentence = f"Accuracy{_of_which(answers)} is {accuracy}; nothing earlier to compare with."
    return sentence, accuracy, "quality.accuracy"


def _tell_apart(answers: Answers) -> Told:
    """Say why the periods cannot be compared, and what the rate of this one is of."""
    accuracy, difference = answers.quality.accuracy, answers.sampling.difference
    sentence = f"Not comparable: {difference}. Accuracy{_of_which(answers)} is {accuracy}."
    return sentence, accuracy, "quality.accuracy"


def _of_which(answers: Answers) -> str:
    """Name the audits that a rate is of where they do not stand for all decisions."""
    return f" of the {answers.sampling.words}" if answers.sampling.basis == "other" else ""


def _tell_worse(answers: Answers, surviving: Sequence[Finding]) -> Told:
    """Say how far the rate moved and name the largest part of that first, then the next where it is worth naming."""
    change, causes = answers.drivers.change, answers.causes.causes
    if not causes:
        return f"{_capital(_moved(answers))}; where and why is not known yet.", change, "drivers.change"
    first, *rest = causes
    named = _pick_named(answers, first, rest)
    if change.low > 0 or not first.where:
        parts = "; then ".join(_tell_part(one, bool(named)) for one in (first, *named))
        return f"{_capital(_moved(answers))}: {parts}.", change, "drivers.change"
    also = _tell_also(named)
    told = f"{_tell_part(first)}.{also} As a whole: {_moved(answers)}."
    if first.kind == "slice":
        since, why = _tell_since(first), _tell_why(first)
        told = f"{name_slice(first.where)} got worse{since}: {first.part} more than expected; {why}.{also}"
        told = f"{told} As a whole: {_moved(answers)}."
    return told if first.kind == "slice" else _capital(told), first.part, "causes.causes[0].part"


def _pick_named(answers: Answers, first: Cause, rest: Sequence[Cause]) -> list[Cause]:
    """Pick what is named beside the largest part: what the audit changed, and what is a quarter of the change."""
    least = WORTH_NAMING * max(abs(answers.drivers.change.value), abs(first.points))
    return [one for one in rest if one.measurement or abs(one.points) > least][:2]


def _tell_also(named: Sequence[Cause]) -> str:
    return f" Also: {'; '.join(_tell_part(one, True) for one in named)}." if named else ""


def _tell_part(cause: Cause, sized: bool = False) -> str:
    """Name a part of the change with what explains it, and with its size where it is not the only one."""
    size, worse = f" ({show(cause.points, 'pp')})" if sized else "", cause.points >= 0
    meaning = f"{size}, which is no {'worse' if worse else 'better'} work"
    if cause.kind == "mix":
        return f"the mix of the work grew {'harder' if worse else 'easier'}{meaning}"
    if cause.kind == "auditor":
        name = cause.where.get("auditor", "not named")
        return f"auditor {name} found {'more' if worse else 'fewer'} errors than before{meaning}"
    if cause.kind in ("truth", "sampling"):
        return f"audits used another policy version than was in force{meaning}"
    return f"{name_slice(cause.where)}{size}{_tell_since(cause)}, {_tell_why(cause)}"


def _tell_since(cause: Cause) -> str:
    return f" since {show(cause.since[0], 'date')}" if cause.since else ""


def _tell_why(cause: Cause) -> str:
    event = f", after {cause.event}" if cause.event else ""
    name = f"{cause.name[:1].lower()}{cause.name[1:]}{event}"
    return f"{cause.grade} cause: {name}" if cause.grade != "not proven" else "cause not known yet"


def _tell_better(answers: Answers, surviving: Sequence[Finding]) -> Told:
    places = [name_slice(finding.where) for finding in surviving if finding.kind == "slice"]
    where = f"; it shows in {places[0]}" if places else ""
    return f"Quality rose: {_moved(answers)}{where}.", answers.drivers.change, "drivers.change"


def _tell_artefact(answers: Answers, surviving: Sequence[Finding]) -> Told:
    return _tell_other(answers, [cause for cause in answers.causes.causes if cause.measurement])


def _tell_mix(answers: Answers, surviving: Sequence[Finding]) -> Told:
    return _tell_other(answers, [cause for cause in answers.causes.causes if cause.kind == "mix"])


def _tell_other(answers: Answers, causes: Sequence[Cause]) -> Told:
    """Say what changed rather than the work, and what else did."""
    change, first = answers.drivers.change, causes[0]
    rest = [one for one in answers.causes.causes if one is not first]
    also = _tell_also(_pick_named(answers, first, rest))
    work = " The work itself is not shown to have changed." if not rest and first.kind in ("auditor", "truth") else ""
    return f"{first.sentence}{work}{also} {_capital(_moved(answers))}.", change, "drivers.change"


def _tell_steady(answers: Answers, surviving: Sequence[Finding]) -> Told:
    least = answers.quality.minimum_detectable
    seen = f"; a change below {least} could hardly have been seen" if least is not None else ""
    return f"Nothing is shown to have happened: {_moved(answers)}{seen}.", answers.drivers.change, "drivers.change"


def _tell_alone(answers: Answers, surviving: Sequence[Finding]) -> Told:
    alone = "One look by itself was alarmed, all looks together are not."
    return f"Not proven: {_moved(answers)}. {alone}", answers.drivers.change, "drivers.change"


_TELL = {
    "first period": _tell_first,
    "worse": _tell_worse,
    "better": _tell_better,
    "artefact": _tell_artefact,
    "mix": _tell_mix,
    "steady": _tell_steady,
    "not proven": _tell_alone,
}


def _moved(answers: Answers) -> str:
    change, accuracy = answers.drivers.change, answers.quality.accuracy
    if not change.excludes_zero:
        turned = Estimate(-change.value, -change.high, -change.low, "pp")
        return f"accuracy is {accuracy}, its change of {turned} may be noise"
    size = Estimate(abs(change.value), *sorted((abs(change.low), abs(change.high))), "pp")
    return f"accuracy {'fell' if change.value > 0 else 'rose'} by {size} to {show(accuracy.value, '%')}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
