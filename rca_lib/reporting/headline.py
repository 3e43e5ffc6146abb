"""The headline of a report: the verdict, its grade, and one sentence with its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from rca_lib.findings import Estimate, Finding, Grade, Number, format_count, format_slice, format_value
from rca_lib.models.cause_context import RankedCause
from rca_lib.reporting.deep_dive import DeepDive
from rca_lib.reporting.text import capitalize_first
from rca_lib.reporting.verdict_inputs import MIN_AUDITS, MIN_EFFECTIVE_AUDITS
from rca_lib.reporting.verdicts import TestedKind, Verdict, VerdictAssessment, determine_verdict

MIN_NAMED_SHARE = 0.25  # share of the change, or of its largest part, from which on a further part is named
MAX_FURTHER_CAUSES = 2  # named beside the first one: more would not be read


class HeadlineText(NamedTuple):
    """A sentence, its number, and the expression that gives the number."""

    sentence: str
    estimate: Number
    expression: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict on a site and period, its grade, and the sentence that states it with a number.

    Attributes
    ----------
    verdict
        One word: "artefact" means that the truth or the sample changed, not the work; "mix" that the work mix changed;
        "not comparable" that the audits of the two periods do not represent the same decisions; "not proven" that one
        test alone is significant and all tests together are not. `determine_verdict` defines all of them.
    grade
        How certain the verdict is.
    sentence
        The headline.
    estimate
        The number in the sentence.
    call
        The expression that gives the number.
    """

    verdict: Verdict
    grade: Grade
    sentence: str
    estimate: Number
    call: str


def build_headline(results: DeepDive, *, alpha: float = 0.05) -> Headline:
    """Determine the verdict and write its sentence.

    Parameters
    ----------
    results
        The results of a deep dive.
    alpha
        Probability of a headline marked *shown* where nothing changed (default 0.05).

    Returns
    -------
    Headline
        The verdict of `determine_verdict`, its grade, and the sentence with its number.
    """
    assessment = determine_verdict(results, alpha=alpha)
    if assessment.verdict == "not comparable":
        text = _describe_not_comparable(results)
    elif assessment.verdict == "too few audits":
        text = _describe_too_few_audits(results, assessment)
    elif assessment.verdict == "incomplete period":
        text = _describe_incomplete_period(results, assessment)
    else:
        text = _DESCRIBERS[assessment.verdict](results, assessment.significant)
    return Headline(assessment.verdict, assessment.grade, *text)


def _describe_too_few_audits(results: DeepDive, assessment: VerdictAssessment) -> HeadlineText:
    """State how many audits there are, how many are needed, and what fewer would miss."""
    current, baseline = assessment.current, assessment.baseline
    accuracy = results.quality.accuracy
    counts = format_count(current.audits, "audit")
    if baseline is not None:
        counts += f", {baseline.audits:,} in the baseline"
    needed = f"Each period needs at least {MIN_AUDITS}."
    if current.audits >= MIN_AUDITS and (baseline is None or baseline.audits >= MIN_AUDITS):
        effective_size = min(sample.effective_size for sample in (current, baseline) if sample is not None)
        needed = (
            f"Their effective sample size is {effective_size:.1f} because of the weights;"
            f" at least {MIN_EFFECTIVE_AUDITS:.0f} is needed."
        )
    sentence = (
        f"Too few audits to compare: {counts}. {needed} Fewer would miss even a rise from 5 to 30 %."
        f" Accuracy is {accuracy}.{_describe_coverage(results)}"
    )
    return HeadlineText(sentence, accuracy, "quality.accuracy")


def _describe_incomplete_period(results: DeepDive, assessment: VerdictAssessment) -> HeadlineText:
    """State that the period is incomplete, and what its audits show so far."""
    text = _DESCRIBERS[assessment.provisional](results, assessment.significant)
    sentence = f"Provisional: the period is incomplete.{_describe_coverage(results)} So far: {text.sentence}"
    return text._replace(sentence=sentence)


def _describe_coverage(results: DeepDive) -> str:
    """State where the audits begin or end inside the period, "" where they cover it."""
    coverage, period = results.case.coverage, results.case.period
    if coverage is None or coverage.covers_period(period):
        return ""
    first = format_value(coverage.first.isoformat(), "date")
    last = format_value(coverage.last.isoformat(), "date")
    period_end = format_value((period.end - timedelta(days=1)).isoformat(), "date")
    if not coverage.ends_within(period):
        return f" The audits begin on {first}, inside {period.name}."
    if coverage.begins_within(period):
        return f" All audits are from {first} to {last}; {period.name} ends on {period_end}."
    return f" The audits end on {last}; {period.name} ends on {period_end}."


def _describe_first_period(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    accuracy = results.quality.accuracy
    sentence = f"Accuracy{_name_audited_streams(results)} is {accuracy}. There is no earlier period to compare with."
    return HeadlineText(sentence, accuracy, "quality.accuracy")


def _describe_not_comparable(results: DeepDive) -> HeadlineText:
    """State why the periods cannot be compared, and what the rate of this one refers to."""
    accuracy, difference = results.quality.accuracy, results.sampling.difference
    sentence = f"Not comparable: {difference}. Accuracy{_name_audited_streams(results)} is {accuracy}."
    return HeadlineText(sentence, accuracy, "quality.accuracy")


def _name_audited_streams(results: DeepDive) -> str:
    """Name the audits that a rate refers to where they do not represent all decisions."""
    return f" of the {results.sampling.description}" if results.sampling.basis == "other" else ""


def _describe_worse(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    """State how far the rate moved and its largest part, then further parts that are large enough."""
    change, causes = results.change, results.causes.causes
    overall = _describe_change(results)
    if not causes:
        sentence = f"{capitalize_first(overall)}. Location and cause are not known yet."
        return HeadlineText(sentence, change, "drivers.change")
    first, *rest = causes
    further_causes = _select_named_causes(results, first, rest)
    if change.low > 0 or not first.where:
        parts = "; then ".join(_describe_cause(cause, bool(further_causes)) for cause in (first, *further_causes))
        return HeadlineText(f"{capitalize_first(overall)}: {parts}.", change, "drivers.change")
    also = _describe_further_causes(further_causes)
    sentence = f"{capitalize_first(_describe_cause(first))}.{also} Overall: {overall}."
    if first.kind == "slice":
        sentence = (
            f"Quality fell in {format_slice(first.where)}{_format_since(first)}: {first.excess} more than expected."
            f" {capitalize_first(_format_cause(first))}.{also} Overall: {overall}."
        )
    if first.excess is None:
        return HeadlineText(sentence, change, "drivers.change")
    return HeadlineText(sentence, first.excess, "causes.causes[0].excess")


def _select_named_causes(results: DeepDive, first: RankedCause, rest: Sequence[RankedCause]) -> list[RankedCause]:
    """Select what is named beside the largest part: measurement effects, and large parts of the change."""
    threshold = MIN_NAMED_SHARE * max(abs(results.change.value), abs(first.effect))
    named_causes = [cause for cause in rest if cause.measurement or abs(cause.effect) > threshold]
    return named_causes[:MAX_FURTHER_CAUSES]


def _describe_further_causes(causes: Sequence[RankedCause]) -> str:
    return f" Also: {'; '.join(_describe_cause(cause, True) for cause in causes)}." if causes else ""


def _describe_cause(cause: RankedCause, with_size: bool = False) -> str:
    """Name a part of the change and its explanation, with its size where it is not the only part."""
    size = f" ({format_value(cause.effect, 'pp')})" if with_size else ""
    is_worse = cause.effect >= 0
    not_the_work = f"{size}, which is not {'worse' if is_worse else 'better'} work"
    if cause.kind == "mix":
        return f"the work mix became {'harder' if is_worse else 'easier'}{not_the_work}"
    if cause.kind == "auditor":
        auditor = cause.where.get("auditor", "not named")
        return f"auditor {auditor} found {'more' if is_worse else 'fewer'} errors than before{not_the_work}"
    if cause.kind in ("truth", "sampling"):
        return f"audits used another policy version than the one in force{not_the_work}"
    return f"{format_slice(cause.where)}{size}{_format_since(cause)}, {_format_cause(cause)}"


def _format_since(cause: RankedCause) -> str:
    return f" since {format_value(cause.since[0], 'date')}" if cause.since else ""


def _format_cause(cause: RankedCause) -> str:
    if cause.grade == "not proven":
        return "cause not known yet"
    event = f", after {cause.event}" if cause.event else ""
    name = f"{cause.name[:1].lower()}{cause.name[1:]}{event}"
    return f"{cause.grade} cause: {name}"


def _describe_better(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    slices = [format_slice(finding.where) for finding in significant if finding.kind == "slice"]
    location = f" in {slices[0]}" if slices else ""
    sentence = f"Quality improved{location}: {_describe_change(results)}."
    return HeadlineText(sentence, results.change, "drivers.change")


def _describe_measurement_effect(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    return _describe_explained_change(results, [cause for cause in results.causes.causes if cause.measurement])


def _describe_mix_shift(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    return _describe_explained_change(results, [cause for cause in results.causes.causes if cause.kind == "mix"])


def _describe_explained_change(results: DeepDive, causes: Sequence[RankedCause]) -> HeadlineText:
    """State what changed instead of the work, and what else changed."""
    change, first = results.change, causes[0]
    rest = [cause for cause in results.causes.causes if cause is not first]
    also = _describe_further_causes(_select_named_causes(results, first, rest))
    is_only_cause = not rest and first.kind in ("auditor", "truth")
    work = " No change of the work itself is proven." if is_only_cause else ""
    sentence = f"{first.sentence}{work}{also} {capitalize_first(_describe_change(results))}."
    return HeadlineText(sentence, change, "drivers.change")


def _describe_no_change(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    smallest = results.quality.minimum_detectable_change
    power = f" Smallest detectable change: {smallest} (80 % power)." if smallest is not None else ""
    sentence = f"No proven change: {_describe_change(results)}.{power}"
    return HeadlineText(sentence, results.change, "drivers.change")


def _describe_not_proven(results: DeepDive, significant: Sequence[Finding[TestedKind]]) -> HeadlineText:
    single_test = "One test alone is significant, all tests together are not."
    sentence = f"Not proven: {_describe_change(results)}. {single_test}"
    return HeadlineText(sentence, results.change, "drivers.change")


_DESCRIBERS: Mapping[str, Callable[[DeepDive, Sequence[Finding[TestedKind]]], HeadlineText]] = {
    "first period": _describe_first_period,
    "worse": _describe_worse,
    "better": _describe_better,
    "artefact": _describe_measurement_effect,
    "mix": _describe_mix_shift,
    "steady": _describe_no_change,
    "not proven": _describe_not_proven,
}


def _describe_change(results: DeepDive) -> str:
    """State accuracy and its change; the drivers hold the change of the error rate, so the sign is turned."""
    change, accuracy = results.change, results.quality.accuracy
    if not change.excludes_zero:
        accuracy_change = Estimate(-change.value, -change.high, -change.low, "pp")
        return f"accuracy is {accuracy}; its change of {accuracy_change} is not proven"
    low, high = sorted((abs(change.low), abs(change.high)))
    size = Estimate(abs(change.value), low, high, "pp")
    direction = "fell" if change.value > 0 else "rose"
    return f"accuracy {direction} by {size} to {format_value(accuracy.value, '%')}"
