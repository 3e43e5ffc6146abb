"""The verdict: what all looks at a site and period come to together, at a stated probability of a false alarm.

Five looks can make a headline: the level (did the error rate change?), the time (did the daily series change?), the
place (did a slice change?), the mix (did the work change?) and the measurement (did truth or sampling change?). Each
has a p-value for its own question. Nine tenths of alpha go to the three looks at the work, by Holm's (1979) procedure,
and the rest to the other two, so that a quiet site gets a headline marked *shown* with probability alpha at the most.

Two verdicts come before all looks: with too few audits nothing can be told, and a period that is not over is not
compared as if it were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from scipy import stats

from rca_lib.findings import Estimate, Finding, Grade
from rca_lib.reporting.deep_dive import Answers
from rca_lib.reporting.evidence import Sample

Verdict = Literal[
    "worse", "better", "artefact", "mix", "steady", "not proven", "first period", "too few audits", "incomplete period",
    "not comparable",
]  # fmt: skip
NEAR_DAYS = 14  # before the period begins, in which a change in time still concerns it
WORK = ("level", "time", "place")
LOOKS = (*WORK, "mix", "measurement")
WORK_SHARE = 0.9  # of alpha: what mix or measurement explain is far from chance, a change of the work may be near
RIVALS = ("stale truth", "auditors", "sampling")
HALF_NORMAL = float(stats.norm.ppf(0.975))  # half of a 95 % interval, in standard errors


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the looks come to.

    Attributes
    ----------
    verdict, grade
        In a word, and how sure it is.
    surviving
        The finding of each look that is significant after all were looked at.
    now, before
        The audits of the period and of what it is compared with (None: nothing).
    provisional
        The verdict on the audits so far of a period that is not complete, "" where it is complete.
    """

    verdict: Verdict
    grade: Grade
    surviving: tuple[Finding, ...]
    now: Sample
    before: Sample | None
    provisional: Verdict | Literal[""] = ""


def reach_verdict(answers: Answers, *, alpha: float = 0.05) -> Judgement:
    """Weigh all looks together.

    Parameters
    ----------
    answers
        The answers of a deep dive.
    alpha
        The probability that a quiet site and period gets a headline marked *shown*.

    Returns
    -------
    Judgement
        "not comparable" where the audits of the two periods do not stand for the same; "too few audits" below 30
        audits, or audits worth 10 equally weighted ones, in either period; "incomplete period" where the audits of the
        store begin or end inside the period; "first period" where nothing came before. Else what the looks come to:
        "artefact" and "mix" where the measurement or the mix explains the larger part of the change, "worse" or
        "better" where a look at the work survives, "not proven" where a look alone would name something, "steady"
        otherwise.

    Notes
    -----
    Measured on two generators in `tests/benchmarks/bench_headlines.py`. It cannot tell a change that all raters share
    from one of the items where no column tells these apart.
    """
    now, before = answers.evidence.now, answers.evidence.before
    looks = list(_looks(answers))
    surviving = tuple(_survive(looks, alpha))
    verdict: Verdict = "first period" if answers.drivers is None else _weigh(answers, looks, surviving, alpha)
    grade: Grade = "shown" if verdict in ("worse", "better", "artefact", "mix") else "not proven"
    if not answers.sampling.comparable:
        return Judgement("not comparable", "not proven", (), now, before)
    if not now.enough or not (before is None or before.enough):
        return Judgement("too few audits", "not proven", (), now, before)
    coverage = answers.case.coverage
    if coverage is not None and not coverage.holds(answers.case.period):
        grade = "likely" if grade == "shown" else "not proven"
        return Judgement("incomplete period", grade, surviving, now, before, verdict)
    return Judgement(verdict, grade, surviving, now, before)


def _looks(answers: Answers) -> Iterator[tuple[str, float, Finding]]:
    """Give each look that can be taken: its name, its p-value and its finding."""
    if answers.drivers is None:
        return
    begins = (answers.case.period.start - timedelta(days=NEAR_DAYS)).isoformat()
    dated = [one for one in answers.trend.findings() if one.since and one.kind in ("step", "drift")]
    found = answers.drivers.findings()
    rivals = answers.rivals.findings() if answers.rivals is not None else ()
    places = [one for one in found if one.kind in ("slice", "everywhere", "measurement")]
    groups = {
        "level": [(_p_value(one), one) for one in found if one.kind == "change"],
        "time": [(_p_value(one), one) for one in dated if one.since[2] >= begins],
        "place": [(answers.evidence.p_value(one), one) for one in places],
        "mix": [(_p_of_interval(one.estimate), one) for one in found if one.kind == "mix"],
        "measurement": [(_p_of_family(one.estimate), one) for one in rivals if one.kind in RIVALS and one.estimate],
    }
    for name, group in groups.items():
        if group:
            yield name, *min(group, key=lambda look: look[0])


def _p_value(finding: Finding) -> float:
    return 1.0 if finding.p_value is None else finding.p_value


def _p_of_interval(part: Estimate, halves: float = HALF_NORMAL) -> float:
    """Return the two-sided p-value of a part whose interval is so many standard errors wide, either way."""
    half = part.value - part.low if part.value > 0 else part.high - part.value
    return float(2 * stats.norm.sf(halves * abs(part.value) / half)) if half > 0 else float(part.value == 0)


def _p_of_family(part: Estimate) -> float:
    """Return a rival's p-value after all rivals were looked at, whose intervals hold together at 95 % (Bonferroni)."""
    return min(len(RIVALS) * _p_of_interval(part, float(stats.norm.isf(0.025 / len(RIVALS)))), 1.0)


def _survive(looks: Sequence[tuple[str, float, Finding]], alpha: float) -> Iterator[Finding]:
    """Give the findings that are significant together: those of the work first, the clearest of them first."""
    work = sorted((look for look in looks if look[0] in WORK), key=lambda look: look[1])
    for step, (_, p_value, finding) in enumerate(work):
        if p_value > WORK_SHARE * alpha / (len(WORK) - step):
            break
        yield finding
    rest = (1 - WORK_SHARE) / (len(LOOKS) - len(WORK))
    yield from (finding for name, p_value, finding in looks if name not in WORK and p_value <= rest * alpha)


def _weigh(
    answers: Answers, looks: Sequence[tuple[str, float, Finding]], surviving: Sequence[Finding], alpha: float
) -> Verdict:
    causes = answers.causes.causes if surviving else ()
    # Any look that survives makes a headline: what explains it needs no more than its own interval.
    measured = [one for one in causes if one.measurement]
    mixed = [one for one in causes if one.kind == "mix"]
    others = [one for one in causes if not one.measurement and one.kind != "mix"]
    for verdict, found, beside in (("artefact", measured, mixed), ("mix", mixed, measured)):
        if found and _points(found) >= _points(beside) and (not others or _share(found) > max(_share(others), 0.5)):
            return verdict
    work = [one for one in surviving if one.kind not in ("mix", "measurement", *RIVALS)]
    if work:
        return "worse" if _grew(work) else "better"
    return "not proven" if any(p_value <= alpha for name, p_value, _ in looks if name in WORK) else "steady"


def _share(causes: Sequence[Any]) -> float:
    return float(np.sum([abs(cause.share or 0.0) for cause in causes]))


def _points(causes: Sequence[Any]) -> float:
    return float(np.sum([abs(cause.points) for cause in causes]))


def _grew(work: Sequence[Finding]) -> bool:
    """Tell whether errors grew: in the level or a place where one of these survived, else in time."""
    firm = [one for one in work if one.kind not in ("step", "drift")] or work
    return any(one.estimate.value > 0 for one in firm)
