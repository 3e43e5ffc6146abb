"""The headline: what it all comes to, in a word and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from rca_lib.findings import Estimate, Finding, Grade, Rate, name_slice, show
from rca_lib.questions.causes import Cause
from rca_lib.reporting.deep_dive import Answers

Verdict = Literal["worse", "better", "artefact", "mix", "steady", "not proven", "first period"]
NEAR_DAYS = 14


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
    where a look survives all three together (Holm 1979), so that a quiet site and period makes the headline with
    probability alpha at the most; a look that is alarmed by itself alone is "not proven".
    """
    accuracy = answers.quality.accuracy
    if answers.drivers is None:
        sentence = f"First period: accuracy is {accuracy}; there is nothing earlier to compare with."
        return Headline("first period", "not proven", sentence, accuracy, "quality.accuracy")
    change = _find(answers.drivers.findings(), "change")
    looks = _looks(answers)
    surviving = _holm([(p_value, finding) for p_value, finding in looks if p_value <= 1], alpha)
    verdict, grade = _verdict(answers, looks, surviving, alpha)
    said = _SAYS[verdict]
    if verdict in _IN_PART and change.grade != "shown":
        said = _IN_PART[verdict]
    sentence = f"{said} {_told(answers, verdict, surviving)}"
    return Headline(verdict, grade, sentence, change.estimate, f"drivers.{change.path}")


_SAYS = {
    "worse": "Quality fell.",
    "better": "Quality rose.",
    "artefact": "Measured quality moved, the work did not.",
    "mix": "Quality fell because the mix of the work grew harder, not because the work was done worse.",
    "steady": "Nothing happened that the audits can show.",
    "not proven": "Not proven.",
}
_IN_PART = {"worse": "A part of the work got worse.", "better": "A part of the work got better."}


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


def _told(answers: Answers, verdict: Verdict, surviving: Sequence[Finding]) -> str:
    change = _find(answers.drivers.findings(), "change").estimate
    moved = "fell" if change.value > 0 else "rose"
    size = Estimate(abs(change.value), *sorted((abs(change.low), abs(change.high))), "pp")
    if change.low <= 0 <= change.high:
        level = f"Accuracy is {answers.quality.accuracy}; as a whole its change of {_negative(change)} may be noise."
    else:
        level = f"Accuracy {moved} by {size} to {show(answers.quality.accuracy.value, '%')}."
    if verdict in ("steady", "not proven"):
        least = answers.quality.minimum_detectable
        seen = f" A change below {least} could hardly have been seen." if least is not None else ""
        alone = " One look by itself was alarmed, all looks together are not." if verdict == "not proven" else ""
        return f"{level}{alone}{seen}"
    work = [cause for cause in answers.causes.causes if not cause.measurement and cause.code != "ENV.MIX"]
    told = work if verdict == "worse" else answers.causes.causes
    if told and verdict in ("worse", "artefact"):
        return f"{level} {_because(told[0])}"
    places = [finding for finding in surviving if finding.kind == "slice"]
    return f"{level} It shows in {name_slice(places[0].where)}." if places else level


def _because(cause: Cause) -> str:
    event = f": {cause.event}" if cause.event else ""
    place = f" in {name_slice(cause.where)}" if cause.where else ""
    if cause.grade == "not proven":
        return f"It shows{place or ' everywhere'}; why is not known yet."
    return f"{cause.grade.capitalize()} cause{place}: {cause.name[:1].lower()}{cause.name[1:]}{event}."


def _negative(change: Estimate) -> str:
    """Accuracy changes the other way round than the error rate."""
    return str(Estimate(-change.value, -change.high, -change.low, change.unit))


def _find(findings: Sequence[Finding], kind: str) -> Finding:
    return next(finding for finding in findings if finding.kind == kind)
