"""Page one: what a manager reads in a minute. Every sentence is a claim that can be recomputed from the audits."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from IPython.display import HTML, display, update_display

from rca_lib.findings import GRADES, Claim, Finding, Grade, format_value, get_limits, get_unit
from rca_lib.intake.ledger import Ledger
from rca_lib.reporting.claim_lines import (
    ClaimLine,
    list_action_claims,
    list_alternative_claims,
    list_cause_claims,
    list_confidence_claims,
    list_data_claims,
    list_date_claims,
    list_headline_claims,
    list_size_claims,
    list_slice_claims,
)
from rca_lib.reporting.deep_dive import DeepDive
from rca_lib.reporting.headline import Headline, build_headline
from rca_lib.reporting.synthetic_notice import SYNTHETIC_NOTICE, render_synthetic_notice
from rca_lib.reporting.verdicts import Verdict

# Rows that compare the period with its baseline.
COMPARISON_ROWS = ("How much", "Since when", "Where", "Why", "What it is not")
# The highest grade in these rows, by verdict.
MAX_GRADES: Mapping[str, Grade] = {"too few audits": "not proven", "incomplete period": "likely"}


# Sets grades apart from the text in a notebook; a report has its own style, and this one is removed there.
NOTEBOOK_STYLE = (
    "<style>.page-one .grade { border: 1px solid; border-radius: 1em; padding: 0 .5em; font-size: .85em; }"
    " .page-one .headline { font-size: 1.2em; font-weight: bold; }</style>"
)
PAGE_ONE_DISPLAY = "page-one"  # identifies the cell output at the top of the notebook


@dataclass(frozen=True, slots=True)
class PageOneRow:
    """A row of page one: its label, and its claims with the grade of each ("" where none applies)."""

    label: str
    claims: tuple[tuple[Claim, Grade | str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class PageOne:
    """Page one of a deep dive.

    Attributes
    ----------
    site, period, compared_with
        What the page reports on, and the baseline.
    headline
        The verdict and its sentence.
    accuracy
        Accuracy of the period as text.
    rows
        Rows in the order of a manager's questions. The first one holds the headline.
    findings
        All findings of the deep dive.
    ledger
        What became of every row of the export.
    """

    site: str
    period: str
    compared_with: str
    headline: Headline
    accuracy: str
    rows: tuple[PageOneRow, ...]
    findings: tuple[Finding[str], ...]
    ledger: Ledger

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim on the page, in order."""
        return tuple(claim for row in self.rows for claim, _ in row.claims)

    def _repr_html_(self) -> str:
        return NOTEBOOK_STYLE + render_page_one(self)

    def __repr__(self) -> str:
        """Return the claims as plain text, so that a notebook stores nothing that is not on the page."""
        lines = [f"{row.label}: {claim.sentence}" for row in self.rows for claim, _ in row.claims]
        return "\n".join([SYNTHETIC_NOTICE] * self.ledger.synthetic + lines)


def build_page_one(results: DeepDive, *, alpha: float = 0.05) -> PageOne:
    """Build page one from the results of a deep dive.

    Parameters
    ----------
    results
        The results of `run_deep_dive`.
    alpha
        Probability of a headline marked *shown* where nothing changed (default 0.05).

    Returns
    -------
    PageOne
        The page, which a notebook displays as HTML.
    """
    headline = build_headline(results, alpha=alpha)
    rows = (
        _build_row("What happened", list_headline_claims(headline)),
        _build_row("How much", list_size_claims(results)),
        _build_row("Since when", list_date_claims(results)),
        _build_row("Where", list_slice_claims(results)),
        _build_row("Why", list_cause_claims(results)),
        _build_row("What it is not", list_alternative_claims(results)),
        _build_row("How sure", list_confidence_claims(results)),
        _build_row("What to do", list_action_claims(results, headline.verdict)),
        _build_row("Data used", list_data_claims(results)),
    )
    return PageOne(
        site=results.case.site,
        period=results.case.period.name,
        compared_with=results.case.compared_with,
        headline=headline,
        accuracy=format_value(results.quality.accuracy.value, "%"),
        rows=tuple(_limit_grades(row, headline.verdict) for row in rows if row.claims),
        findings=results.findings(),
        ledger=results.case.ledger,
    )


def render_page_one(page_one: PageOne) -> str:
    """Return page one as HTML; every text is escaped. Simulated audits are marked at the top."""
    rows = [f"<dt>{html.escape(row.label)}</dt><dd>{''.join(_render_claims(row))}</dd>" for row in page_one.rows[1:]]
    claim, grade = page_one.rows[0].claims[0]
    return (
        f"{render_synthetic_notice(page_one.ledger)}"
        f'<section class="page-one verdict-{page_one.headline.verdict.replace(" ", "-")}">'
        f'<p class="about">{html.escape(page_one.site)} · {html.escape(page_one.period)} · compared with'
        f" {html.escape(page_one.compared_with)}</p>"
        f'<p class="headline claim" id="claim-{claim.id}">{html.escape(claim.sentence)} {_render_grade(grade)}</p>'
        f"<dl>{''.join(rows)}</dl></section>"
    )


def place_page_one() -> None:
    """Reserve the place of page one at the top of a notebook; `show_page_one` fills it."""
    display(HTML("<p>Page one appears here when all cells below have run.</p>"), display_id=PAGE_ONE_DISPLAY)


def show_page_one(page_one: PageOne) -> None:
    """Show page one at the place that `place_page_one` reserved.

    Parameters
    ----------
    page_one
        The page, from `build_page_one`.
    """
    update_display(page_one, display_id=PAGE_ONE_DISPLAY)


def save_page_one(page_one: PageOne, folder: Path | str) -> None:
    """Write claims.json and findings.json.

    Parameters
    ----------
    page_one
        The page, from `build_page_one`.
    folder
        An existing folder. Nothing is written where it is "".
    """
    if not folder:
        return
    site_period = {"site": page_one.site, "period": page_one.period}
    claims = {**site_period, "claims": [claim.to_dict() for claim in page_one.claims]}
    findings = {
        **site_period,
        "headline": page_one.headline.sentence,
        "verdict": page_one.headline.verdict,
        "grade": page_one.headline.grade,
        "accuracy": page_one.accuracy,
        "findings": [_finding_to_dict(finding) for finding in page_one.findings],
    }
    for name, content in (("claims.json", claims), ("findings.json", findings)):
        (Path(folder) / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _build_row(label: str, lines: Iterable[ClaimLine]) -> PageOneRow:
    slug = label.lower().replace(" ", "-")
    claims = []
    for number, line in enumerate(lines, start=1):
        low, high = get_limits(line.estimate)
        claim = Claim(
            id=f"{slug}-{number}",
            key=line.key,
            sentence=line.sentence,
            value=line.estimate.value,
            low=low,
            high=high,
            unit=get_unit(line.estimate),
            call=line.expression,
        )
        claims.append((claim, line.grade))
    return PageOneRow(label, tuple(claims))


def _limit_grades(row: PageOneRow, verdict: Verdict) -> PageOneRow:
    """Mark no comparison as *shown* where the audits are too few or the period is incomplete."""
    if verdict not in MAX_GRADES or row.label not in COMPARISON_ROWS:
        return row
    claims = tuple((claim, MAX_GRADES[verdict] if grade == "shown" else grade) for claim, grade in row.claims)
    return replace(row, claims=claims)


def _render_claims(row: PageOneRow) -> Iterator[str]:
    for claim, grade in row.claims:
        yield (
            f'<p class="claim" id="claim-{html.escape(claim.id)}">{html.escape(claim.sentence)} '
            f"{_render_grade(grade)}</p>"
        )


def _render_grade(grade: str) -> str:
    return f'<span class="grade {grade.replace(" ", "-")}">{grade}</span>' if grade in GRADES else ""


def _finding_to_dict(finding: Finding[str]) -> dict[str, Any]:
    names = ("question", "kind", "sentence", "grade", "since", "share", "p_value", "path")
    entry = {name: getattr(finding, name) for name in names}
    if finding.estimate is not None:
        low, high = get_limits(finding.estimate)
        entry |= {"value": finding.estimate.value, "low": low, "high": high, "unit": finding.estimate.unit}
    return entry | {"where": dict(finding.where)}
