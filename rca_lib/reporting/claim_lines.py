# Tested in tests/reporting/test_page_one.py.
"""The sentences of page one, row by row: each with its number, the expression behind it, and its grade."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rca_lib.findings import Grade, Quantity, Text, Value, format_count, format_slice, format_value
from rca_lib.intake.mapping_validation import MIN_AGREEMENT_ROWS, MIN_PLAUSIBLE_AGREEMENT
from rca_lib.questions.corrective_actions import format_action_dates
from rca_lib.reporting.deep_dive import DeepDive
from rca_lib.reporting.headline import Headline
from rca_lib.reporting.verdict_inputs import MIN_AUDITS
from rca_lib.reporting.verdicts import Verdict
from rca_lib.result import Result

# The first action where the verdict does not compare the periods.
NEXT_STEPS: Mapping[str, str] = {
    "too few audits": f"Audit more before deciding: at least {MIN_AUDITS} decisions in each period are needed.",
    "incomplete period": "Do not decide yet. Run this report again when the audits of the period are complete.",
    "not comparable": "Audit a random sample of the next period, so that it can be compared.",
}
TREND_KINDS = ("step", "drift", "steady")  # of one topic: a series that drifted may be steady in the next period
TREND_KEY = "trend"
FINGERPRINT_CHARS = 16  # characters of the fingerprint that page one shows
AMONG_THESE_AUDITS = "Among these audits: "  # before a comparison of audits that do not represent all decisions


class ClaimLine(NamedTuple):
    """A sentence, its number, the expression that gives the number, its grade ("" for none), and its key.

    The key names what the line is about. It is the same in every period, so that two reports can be compared.
    """

    sentence: str
    estimate: Value
    expression: str
    grade: Grade | str
    key: str


def list_headline_claims(headline: Headline) -> Iterator[ClaimLine]:
    """Return the headline."""
    yield ClaimLine(headline.sentence, headline.estimate, headline.call, headline.grade, "headline")


def list_size_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return accuracy, its change and the targets."""
    quality, sampling = results.quality, results.sampling
    rate = quality.error_rate
    counts = f"{format_count(rate.errors, 'error')} in {format_count(rate.items, 'audit')}"
    sentence = f"Accuracy {quality.accuracy}, {counts}, {_describe_weighting(results)}."
    yield ClaimLine(sentence, quality.accuracy, "quality.accuracy", "", "accuracy")
    yield from _list_finding_claims(sampling, "sampling", "unnamed")
    lead = "" if sampling.comparable else AMONG_THESE_AUDITS
    yield from _list_finding_claims(results.drivers, "drivers", "change", lead=lead)
    if sampling.basis == "other" and quality.verdicts:
        sentence = "Targets not assessed: no audit of the period is from a random or stratified sample."
        yield ClaimLine(sentence, Quantity(sampling.audits, unit="audits"), "sampling.audits", "", "targets")
        return
    for index, target in enumerate(quality.verdicts):
        key = _build_key(f"target: {target.target}", target.where)
        yield ClaimLine(target.sentence, target.estimate, f"quality.verdicts[{index}].estimate", "", key)


def list_date_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return dated changes of the site and of each named slice."""
    yield from _list_finding_claims(results.trend, "trend", "step", "drift", "steady")
    slices = results.drivers.slices if results.drivers is not None else ()
    for index, (slice_, trend) in enumerate(zip(slices, results.slice_trends, strict=False)):
        slice_name = format_slice(slice_.where)
        for line in _list_finding_claims(trend, f"slice_trends[{index}]", "step", "drift"):
            yield line._replace(sentence=f"{slice_name}: {line.sentence}", key=_build_key(line.key, slice_.where))


def list_slice_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return the slices in which the error rate changed."""
    lead = "" if results.sampling.comparable else AMONG_THESE_AUDITS
    kinds = ("slice", "everywhere", "measurement", "none")
    yield from _list_finding_claims(results.drivers, "drivers", *kinds, lead=lead)


def list_cause_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return the causes, or that none was found."""
    causes = results.causes
    for index, cause in enumerate(causes.causes):
        excess = cause.excess if cause.excess is not None else Text(cause.grade)
        key = _build_key(f"cause: {cause.code}", cause.where)
        yield ClaimLine(cause.sentence, excess, f"causes.causes[{index}].excess", cause.grade, key)
    if not causes.causes:
        reviewed = Quantity(causes.findings_reviewed)
        yield ClaimLine(causes.summary(), reviewed, "causes.findings_reviewed", "", "no cause")


def list_alternative_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return the work mix and the other alternative explanations."""
    if results.sampling.comparable:
        yield from _list_finding_claims(results.drivers, "drivers", "mix")
    yield from _list_finding_claims(results.alternatives, "alternatives")


def list_confidence_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return the smallest detectable change, audit error, and errors in doubt."""
    quality = results.quality
    smallest = quality.minimum_detectable_change
    if smallest is not None:
        clustering = f"The intervals allow for {quality.raters:,} raters (design effect {quality.design_effect:.1f})."
        if quality.raters < 2:
            clustering = "The intervals cannot allow for differences between raters: fewer than two are known."
        sentence = f"Smallest detectable change: {smallest} (80 % power). {clustering}"
        yield ClaimLine(sentence, smallest, "quality.minimum_detectable_change", "", "smallest detectable change")
    yield from _list_finding_claims(results.audit_error, "audit_error", "corrected")
    doubtful = results.error_tagging.measurement_errors
    verb = "hints" if doubtful == 1 else "hint"
    sentence = (
        f"{format_count(doubtful, 'error')} {verb} at a wrong or outdated truth."
        " Blind re-audits of the doubtful items could overturn this result."
    )
    estimate = Quantity(doubtful, unit="errors")
    yield ClaimLine(sentence, estimate, "error_tagging.measurement_errors", "", "measurement errors")
    disputes_won = results.error_tagging.disputes_won
    if disputes_won:
        errors = format_count(disputes_won, "error")
        sentence = f"Disputes decided for the rater: {errors} of the rate above. They count against no rater."
        estimate = Quantity(disputes_won, unit="errors")
        yield ClaimLine(sentence, estimate, "error_tagging.disputes_won", "", "disputes")


def list_action_claims(results: DeepDive, verdict: Verdict) -> Iterator[ClaimLine]:
    """Return what to do, most urgent first."""
    accuracy, audits = results.quality.accuracy, results.quality.error_rate.items
    # No team is this bad: label and truth are coded in two different ways.
    is_implausible = accuracy.value < MIN_PLAUSIBLE_AGREEMENT and audits >= MIN_AGREEMENT_ROWS
    if is_implausible:
        sentence = f"Check the label map first: label and truth hardly ever agree (accuracy {accuracy})."
        yield ClaimLine(sentence, accuracy, "quality.accuracy", "", "label map")
    next_step = NEXT_STEPS.get(verdict)
    if next_step:
        yield ClaimLine(next_step, Quantity(audits, unit="audits"), "quality.error_rate.items", "", "next step")
    actions = results.corrective_actions
    for index, action in enumerate(actions.actions):
        effect = ""
        if action.expected_reduction:
            fewer_errors = format_count(action.expected_reduction.value, "fewer error")
            effect = f" Expected effect: about {fewer_errors} in a sample of this size if the whole excess disappears."
        sentence = f"{action.sentence} {format_action_dates(action)}.{effect}"
        expression = f"corrective_actions.actions[{index}].due_date"
        key = _build_key(f"action: {action.cause}", action.where)
        yield ClaimLine(sentence, action.due_date, expression, "", key)
    if not actions.actions and not is_implausible and not next_step:
        yield ClaimLine(actions.summary(), Quantity(0), "len(corrective_actions.actions)", "", "no action")


def list_data_claims(results: DeepDive) -> Iterator[ClaimLine]:
    """Return the row counts, warnings, and the fingerprint of the data."""
    case = results.case
    ledger = case.ledger
    share = ledger.quarantined / ledger.rows_read if ledger.rows_read else 0.0
    sentence = (
        f"{format_count(ledger.rows_read, 'row')} of this site read from {ledger.source}: {ledger.kept:,} kept,"
        f" {ledger.quarantined:,} quarantined ({format_value(share, '%')}),"
        f" {format_count(ledger.exact_duplicates, 'exact duplicate')}, {ledger.empty:,} empty."
    )
    yield ClaimLine(sentence, Quantity(ledger.rows_read, unit="rows"), "case.ledger.rows_read", "", "rows read")
    yield from _list_finding_claims(results.quality, "quality", "weight")
    yield from _list_finding_claims(results.sampling, "sampling", "basis", "unweighted", "second rounds")
    label_scale = _describe_label_scale(results)
    if label_scale:
        grades = Quantity(len(ledger.label_order))
        yield ClaimLine(label_scale, grades, "len(case.ledger.label_order)", "", "label scale")
    yield from _list_finding_claims(ledger, "case.ledger", "warning")
    sentence = (
        f"Data fingerprint: {case.fingerprint[:FINGERPRINT_CHARS]}. Recompute every number on this page: rca verify."
    )
    yield ClaimLine(sentence, Text(case.fingerprint), "case.fingerprint", "", "fingerprint")


def _describe_weighting(results: DeepDive) -> str:
    """State what the rates represent."""
    sampling = results.sampling
    if sampling.basis == "other":
        return f"from {sampling.description} only, which do not represent all decisions"
    if results.quality.weighted:
        return "weighted to all decisions"
    if set(sampling.used) == {"random"}:
        return "unweighted: a random sample of all decisions"
    return "unweighted: it represents the audited sample only"


def _describe_label_scale(results: DeepDive) -> str:
    """State how labels beyond right and wrong are used; "" where labels are plain names."""
    ledger, agreement = results.case.ledger, results.agreement
    if ledger.label_scale == "multilabel":
        return "Labels are sets. Any difference between two sets is an error; how much they overlap is not used."
    if ledger.label_scale != "ordinal":
        return ""
    scale = f"Labels are grades ({' < '.join(ledger.label_order)}). Any difference is an error"
    if agreement.gwet_ac2 is None:
        return f"{scale}. The distance between grades is not used, because some labels are not grades."
    return f"{scale}. Agreement and kinds of error use the distance between grades."


def _list_finding_claims(result: Result | None, name: str, *kinds: str, lead: str = "") -> Iterator[ClaimLine]:
    """Turn the findings of a result into lines: those of the named kinds, or all; `lead` goes before each sentence."""
    for finding in result.findings() if result is not None else ():
        if not kinds or finding.kind in kinds:
            expression = f"{name}.{finding.path}" if finding.path else name
            estimate = finding.estimate or Text(finding.grade)
            key = _build_key(TREND_KEY if finding.kind in TREND_KINDS else finding.kind, finding.where)
            yield ClaimLine(f"{lead}{finding.sentence}", estimate, expression, finding.grade, key)


def _build_key(topic: str, where: Mapping[str, str]) -> str:
    """Return the key of a line about a topic, in a slice or overall."""
    return f"{topic}, {format_slice(where)}" if where else topic
