"""The headline: what it all comes to, in a word and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from rca_lib.findings import Estimate, Finding, Grade, Rate, name_slice, show
from rca_lib.reporting.deep_dive import Answers

Verdict = Literal["worse", "better", "artefact", "mix", "steady", "not proven", "first period"]
NEAR_DAYS = 14
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
    """Weigh the three looks (level, time, place) together and say what they come to.

    Each look has its own probability `alpha` of naming something where nothing changed. A verdict is "shown" only
    where a look survives all three together (Holm 1979), so that these make the headline of a quiet site and period
    with probability alpha at the most; a look that is alarmed by itself alone is "not proven". The rivals and the mix
    have levels of their own on top; the benchmark of the deep dive measures all of it together.
    """
    if answers.drivers is None:
        verdict, grade, told = "first period", "not proven", _tell_first(answers)
    else:
        looks = _looks(answers)
        surviving = _holm(looks, alpha)
        verdict, grade = _verdict(answers, looks, surviving, alpha)
        told = _TELL[verdict](answers, surviving)
    return Headline(verdict, grade, *told)


def _looks(answers: Answers) -> list[tuple[float, Finding]]:
    """Return the smallest p-value of each look with its finding; changes in time count where they reach the period."""
    begins = (answers.case.period.start - timedelta(days=NEAR_DAYS)).isoformat()
    dated = [finding for finding in answers.trend.findings() if finding.since and finding.kind in ("step", "drift")]
    inside = [finding for finding in dated if finding.since[2] >= begins]
    places = [finding for finding in answers.drivers.findings() if finding.kind in ("slice", "everywhere")]
    level = [finding for finding in answers.drivers.findings() if finding.kind == "change"]
    best = [min(group, key=_p_value) for group in (level, inside, places) if group]
    return [(_p_value(finding), finding) for finding in best]


def _p_value(finding: Finding) -> float:
    return 1.0 if finding.p_value is None else finding.p_value


def _holm(looks: Sequence[tuple[float, Finding]], alpha: float, tests: int = 3) -> list[Finding]:
    kept = []
    for step, (p_value, finding) in enumerate(sorted(looks, key=lambda look: look[0])):
        if p_value > alpha / (tests - step):
            break
        kept.append(finding)
    return kept


def _verdict(
    answers: Answers, looks: Sequence[tuple[float, Finding]], surviving: Sequence[Finding], alpha: float
) -> tuple[Verdict, Grade]:  # fmt: skip
    shown = [cause for cause in answers.causes.causes if cause.grade == "shown"]
    others = [cause for cause in answers.causes.causes if cause not in shown]
    if any(cause.measurement for cause in shown) and not others:
        return "artefact", "shown"
    if any(cause.code == "ENV.MIX" for cause in shown) and not others:
        return "mix", "shown"
    if surviving:
        worse = bool(others) or all(finding.estimate.value > 0 for finding in surviving)
        return ("worse" if worse else "better"), "shown"
    if any(p_value <= alpha for p_value, _ in looks):
        return "not proven", "not proven"
    return "steady", "not proven"


def _tell_first(answers: Answers) -> Told:
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
