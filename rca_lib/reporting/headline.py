"""The headline: what it all comes to, in a word and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rca_lib.findings import Estimate, Finding, Grade, Rate, name_slice, show
from rca_lib.reporting.deep_dive import Answers
from rca_lib.reporting.verdicts import LEAST_AUDITS, LEAST_EFFECTIVE, Judgement, Verdict, reach_verdict

Told = tuple[str, Estimate | Rate, str]  # a sentence, its number, the call that gives it


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict on a site and period, how sure it is, and the sentence that says it with a number.

    "artefact" means that the truth or the sample changed and not the work, "mix" that the work grew harder,
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
    if judgement.verdict == "too few audits":
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
    counted = f"{now.audits:,} audit{'s' if now.audits != 1 else ''}"
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
    return f"Accuracy is {accuracy}; nothing earlier to compare with.", accuracy, "quality.accuracy"


def _tell_worse(answers: Answers, surviving: Sequence[Finding]) -> Told:
    change = answers.drivers.change
    causes = [cause for cause in answers.causes.causes if not cause.measurement and cause.code != "ENV.MIX"]
    if not causes:
        return f"{_capital(_moved(answers))}; where and why is not known yet.", change, "drivers.change"
    cause = causes[0]
    since = f" since {show(cause.since[0], 'date')}" if cause.since else ""
    event = f", after {cause.event}" if cause.event else ""
    name = f"{cause.name[:1].lower()}{cause.name[1:]}{event}"
    why = f"{cause.grade} cause: {name}" if cause.grade != "not proven" else "why is not known yet"
    if change.low > 0 or not cause.where:
        return f"{_capital(_moved(answers))}: {name_slice(cause.where)}{since}; {why}.", change, "drivers.change"
    more = f"{cause.part} more than expected"
    sentence = f"{name_slice(cause.where)} got worse{since}: {more}; {why}. As a whole: {_moved(answers)}."
    return sentence, cause.part, f"causes.causes[{answers.causes.causes.index(cause)}].part"


def _tell_better(answers: Answers, surviving: Sequence[Finding]) -> Told:
    places = [name_slice(finding.where) for finding in surviving if finding.kind == "slice"]
    where = f"; it shows in {places[0]}" if places else ""
    return f"Quality rose: {_moved(answers)}{where}.", answers.drivers.change, "drivers.change"


def _tell_artefact(answers: Answers, surviving: Sequence[Finding]) -> Told:
    cause = answers.causes.causes[0]
    return f"{cause.sentence} {_capital(_moved(answers))}.", answers.drivers.change, "drivers.change"


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
    "mix": _tell_artefact,
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
