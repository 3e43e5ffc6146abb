"""Page one: what a manager reads in a minute, every sentence of it a claim that can be derived again."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rca_lib.audits.declarations import ENOUGH, FEW_AGREE
from rca_lib.audits.ledger import Ledger
from rca_lib.findings import GRADES, Answer, Claim, Estimate, Finding, Grade, Rate, count_noun, name_slice, show
from rca_lib.questions.actions import tell_dates
from rca_lib.reporting.deep_dive import Answers, calls
from rca_lib.reporting.headline import Headline, write_headline
from rca_lib.reporting.verdicts import Verdict

COMPARED = ("How much", "Since when", "Where", "Why", "What it is not")  # rows that compare with what came before
CAPS: dict[str, Grade] = {"too few audits": "not proven", "incomplete period": "likely"}  # the most they are marked
Line = tuple[str, Estimate | Rate, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of page one: its label, and its claims with the grade of each ("" where none applies)."""

    label: str
    claims: tuple[tuple[Claim, Grade | str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class PageOne:
    """Page one of a deep dive: the headline and the rows under it, in the order of a manager's questions."""

    site: str
    period: str
    compared_with: str
    headline: Headline
    accuracy: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    ledger: Ledger

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim on the page, in order."""
        return tuple(claim for row in self.rows for claim, _ in row.claims)

    def _repr_html_(self) -> str:
        return render_page(self)

    def __repr__(self) -> str:
        """Read as plain text: what is not on the page does not get into the notebook either."""
        lines = [f"{row.label}: {claim.sentence}" for row in self.rows for claim, _ in row.claims]
        return "\n".join(lines)


def write_page_one(answers: Answers, *, alpha: float = 0.05) -> PageOne:
    """Write page one from the answers of a deep dive."""
    headline = write_headline(answers, alpha=alpha)
    rows = (
        _row("What happened", _headline(headline)),
        _row("How much", _size(answers)),
        _row("Since when", _dates(answers)),
        _row("Where", _places(answers)),
        _row("Why", _reasons(answers)),
        _row("What it is not", _rivals(answers)),
        _row("How sure", _confidence(answers)),
        _row("What to do", _actions(answers)),
        _row("Data used", _data(answers)),
    )
    case = answers.case
    return PageOne(
        case.site,
        case.period.name,
        case.compared_with,
        headline,
        show(answers.quality.accuracy.value, "%"),
        tuple(_cap(row, headline.verdict) for row in rows if row.claims),
        answers.findings(),
        case.ledger,
    )


def _cap(row: Row, verdict: Verdict) -> Row:
    """Mark no comparison as shown where the verdict says that the audits are too few or the period is not over."""
    if verdict not in CAPS or row.label not in COMPARED:
        return row
    return replace(
        row, claims=tuple((claim, CAPS[verdict] if grade == "shown" else grade) for claim, grade in row.claims)
    )


def render_page(page: PageOne) -> str:
    """Return page one as HTML; every text is escaped."""
    lines = [f"<dt>{html.escape(row.label)}</dt><dd>{''.join(_items(row))}</dd>" for row in page.rows[1:]]
    claim, grade = page.rows[0].claims[0]
    return (
        f'<section class="page-one verdict-{page.headline.verdict.replace(" ", "-")}">'
        f'<p class="about">{html.escape(page.site)} · {html.escape(page.period)} · compared with'
        f" {html.escape(page.compared_with)}</p>"
        f'<p class="headline claim" id="claim-{claim.id}">{html.escape(claim.sentence)} {_badge(grade)}</p>'
        f"<dl>{''.join(lines)}</dl></section>"
    )


def save_page(page: PageOne, folder: Path | str) -> None:
    """Write claims.json and findings.json into a folder; nothing where the folder is empty."""
    if not folder:
        return
    about = {"site": page.site, "period": page.period}
    claims = {**about, "calls": dict(calls()), "claims": [claim.to_dict() for claim in page.claims]}
    findings = {
        **about,
        "headline": page.headline.sentence,
        "verdict": page.headline.verdict,
        "grade": page.headline.grade,
        "accuracy": page.accuracy,
        "findings": [_plain(finding) for finding in page.findings],
    }
    for name, content in (("claims.json", claims), ("findings.json", findings)):
        (Path(folder) / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _row(label: str, lines: Iterable[Line]) -> Row:
    slug = label.lower().replace(" ", "-")
    claims = []
    for place, (sentence, estimate, call, grade) in enumerate(lines, start=1):
        numbers = (estimate.value, estimate.low, estimate.high, estimate.unit)
        claims.append((Claim(f"{slug}-{place}", sentence, *numbers, call), grade))
    return Row(label, tuple(claims))


def _headline(headline: Headline) -> Iterator[Line]:
    yield headline.sentence, headline.estimate, headline.call, headline.grade


def _size(answers: Answers) -> Iterator[Line]:
    quality, rate, sampling = answers.quality, answers.quality.error_rate, answers.sampling
    counted = f"{count_noun(rate.errors, 'error')} in {count_noun(rate.items, 'audit')}"
    level = f"Accuracy {quality.accuracy}, {counted}, {_tell_weights(answers)}."
    yield level, quality.accuracy, "quality.accuracy", ""
    yield from _found(sampling, "sampling", "unnamed")
    yield from _found(answers.drivers, "drivers", "change", lead="" if sampling.comparable else "Among these audits: ")
    if sampling.basis == "other" and quality.verdicts:
        text = "Targets are not judged: no audit of the period is a random or stratified sample."
        yield text, Estimate(sampling.audits, unit="audits"), "sampling.audits", ""
        return
    for place, verdict in enumerate(quality.verdicts):
        yield verdict.sentence, verdict.estimate, f"quality.verdicts[{place}].estimate", ""


def _tell_weights(answers: Answers) -> str:
    """Say what the rates stand for."""
    sampling, weighted = answers.sampling, answers.quality.weighted
    if sampling.basis == "other":
        return f"from {sampling.words} only, which do not stand for all decisions"
    if weighted:
        return "weighted to all decisions"
    if set(sampling.used) == {"random"}:
        return "unweighted: a random sample of all decisions"
    return "unweighted: it stands for the audited sample only"


def _dates(answers: Answers) -> Iterator[Line]:
    yield from _found(answers.trend, "trend", "step", "drift", "steady")
    for place, trend in enumerate(answers.dates):
        where = name_slice(answers.drivers.slices[place].where)
        for sentence, estimate, call, grade in _found(trend, f"dates[{place}]", "step", "drift"):
            yield f"{where}: {sentence}", estimate, call, grade


def _places(answers: Answers) -> Iterator[Line]:
    lead = "" if answers.sampling.comparable else "Among these audits: "
    yield from _found(answers.drivers, "drivers", "slice", "everywhere", "measurement", "none", lead=lead)


def _reasons(answers: Answers) -> Iterator[Line]:
    for place, cause in enumerate(answers.causes.causes):
        yield cause.sentence, cause.part, f"causes.causes[{place}].part", cause.grade
    if not answers.causes.causes:
        yield answers.causes.summary(), Estimate(answers.causes.looked[0]), "causes.looked[0]", ""


def _rivals(answers: Answers) -> Iterator[Line]:
    if answers.sampling.comparable:
        yield from _found(answers.drivers, "drivers", "mix")
    yield from _found(answers.rivals, "rivals")


def _confidence(answers: Answers) -> Iterator[Line]:
    quality, doubtful = answers.quality, answers.tagging.measurement_errors
    if (seen := quality.minimum_detectable) is not None:
        people = f"The intervals allow for {quality.raters:,} raters (design effect {quality.design_effect:.1f})."
        if quality.raters < 2:
            people = "The intervals cannot allow for differences between raters: fewer than two are known."
        sentence = (
            f"Such a sample shows a change of {seen} four times out of five; a smaller one can be missed. {people}"
        )
        yield sentence, seen, "quality.minimum_detectable", ""
    yield from _found(answers.correction, "correction", "corrected")
    doubt = (
        "What would change our mind: blind second audits of the items in doubt; the columns hint at a wrong or stale"
        f" truth in {count_noun(doubtful, 'error')}."
    )
    yield doubt, Estimate(doubtful, unit="errors"), "tagging.measurement_errors", ""
    if won := answers.tagging.disputes_won:
        text = f"Disputes decided for the rater: {count_noun(won, 'error')} of the rate above; counted against nobody."
        yield text, Estimate(won, unit="errors"), "tagging.disputes_won", ""


def _actions(answers: Answers) -> Iterator[Line]:
    accuracy, audits = answers.quality.accuracy, answers.quality.error_rate.items
    apart = accuracy.value < FEW_AGREE and audits >= ENOUGH
    if apart:  # no team sinks to this: label and truth are spelt or coded in two ways
        sentence = (
            f"Check the label map before anything else: label and truth hardly ever agree, accuracy is {accuracy}."
        )
        yield sentence, accuracy, "quality.accuracy", ""
    for place, action in enumerate(answers.actions.actions):
        most = count_noun(action.expected.value, "error fewer", "errors fewer") if action.expected else ""
        effect = f" At most {most} in such a sample." if most else ""
        yield f"{action.sentence} {tell_dates(action)}.{effect}", action.due, f"actions.actions[{place}].due", ""
    if not answers.actions.actions and not apart:
        yield answers.actions.summary(), Estimate(0), "len(actions.actions)", ""


def _data(answers: Answers) -> Iterator[Line]:
    ledger, case = answers.case.ledger, answers.case
    share = ledger.quarantined / ledger.rows_read if ledger.rows_read else 0.0
    rows = (
        f"{count_noun(ledger.rows_read, 'row')} of this site read from {ledger.source}: {ledger.kept:,} kept,"
        f" {ledger.quarantined:,} quarantined ({show(share, '%')}),"
        f" {count_noun(ledger.exact_duplicates, 'exact duplicate')}, {ledger.empty:,} empty."
    )
    yield rows, Estimate(ledger.rows_read, unit="rows"), "case.ledger.rows_read", ""
    yield from _found(answers.quality, "quality", "weight")
    yield from _found(answers.sampling, "sampling", "basis", "unweighted", "second rounds")
    if graded := _tell_scale(answers):
        yield graded, Estimate(len(ledger.label_order)), "len(case.ledger.label_order)", ""
    yield from _found(ledger, "case.ledger", "warning")
    print_of = f"Fingerprint of the rows behind this page: {case.fingerprint[:16]}. Check every number: rca verify."
    yield print_of, Estimate(case.fingerprint), "case.fingerprint", ""


def _tell_scale(answers: Answers) -> str:
    """Say what is made of a label scale beyond right and wrong; "" where labels are declared as plain names."""
    ledger, agreement = answers.case.ledger, answers.agreement
    if ledger.label_scale == "multilabel":
        return "Labels are sets: any difference between two sets is an error, how much they overlap is not used."
    if ledger.label_scale != "ordinal":
        return ""
    grades = f"Labels are grades ({' < '.join(ledger.label_order)}): any difference is an error"
    if agreement.ac2 is None:
        return f"{grades}; the distance between grades is not used, for some labels are no grade."
    return f"{grades}; agreement and kinds of error use the distance between grades."


def _found(answer: Answer | None, name: str, *kinds: str, lead: str = "") -> Iterator[Line]:
    """Turn the findings of an answer into lines, those of some kinds only where any is named; `lead` goes before."""
    for finding in answer.findings() if answer is not None else ():
        if not kinds or finding.kind in kinds:
            call = f"{name}.{finding.path}" if finding.path else name
            yield f"{lead}{finding.sentence}", finding.estimate or Estimate(finding.grade), call, finding.grade


def _items(row: Row) -> Iterator[str]:
    for claim, grade in row.claims:
        yield f'<p class="claim" id="claim-{html.escape(claim.id)}">{html.escape(claim.sentence)} {_badge(grade)}</p>'


def _badge(grade: str) -> str:
    return f'<span class="grade {grade.replace(" ", "-")}">{grade}</span>' if grade in GRADES else ""


def _plain(finding: Finding) -> dict[str, Any]:
    names = ("question", "kind", "sentence", "grade", "since", "share", "p_value", "path")
    numbers = ("value", "low", "high", "unit") if finding.estimate else ()
    plain = {name: getattr(finding, name) for name in names}
    return plain | {name: getattr(finding.estimate, name) for name in numbers} | {"where": dict(finding.where)}
