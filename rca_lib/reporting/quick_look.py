# Tested in tests/cli/test_look.py.
"""The quick look: one page about an export that nothing is known of yet.

It answers what a full report answers, as far as an export alone allows: the rates of every site and month, the trend,
page one of the sites with the most errors, what is not known, and what a full report would need.
"""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from rca_lib.audits.counting import keep_proportional
from rca_lib.audits.periods import Coverage, Frequency, parse_period
from rca_lib.audits.time_series import count_over_time
from rca_lib.findings import GRADES, Estimate, Finding
from rca_lib.intake.ledger import Ledger, read_ledger
from rca_lib.questions.portfolio import Portfolio, compare_sites
from rca_lib.questions.trend import find_changes
from rca_lib.reporting.deep_dive import DeepDive, run_deep_dive
from rca_lib.reporting.html import NUMBER_CELL_PATTERN, render_template
from rca_lib.reporting.page_one import PageOne, build_page_one, render_page_one
from rca_lib.stats.changepoints.records import Trend
from rca_lib.store.cases import open_case, open_store
from rca_lib.store.catalog import list_periods, list_sites, read_coverage

MAX_SITES = 5  # sites with a page one of their own
MAX_FINDINGS = 3
MAX_UNKNOWNS = 3
MAX_LISTED = 20  # sites that are named
CHANGE_QUESTIONS = ("trend", "drivers", "explanations", "raters", "auditors")
FREQUENCIES: tuple[Frequency, ...] = ("month", "week")


@dataclass(frozen=True, slots=True)
class QuickLook:
    """One page about an export.

    Attributes
    ----------
    ledger
        What happened to each row.
    portfolio
        The rates of every site and month.
    trend
        The changes of the error rate over time, all sites together.
    pages
        Page one of the latest period of the sites with the most errors.
    findings
        Pairs of a site and a finding, the strongest first.
    unknowns
        What is not known, the most important first.
    missing
        What a full report would need, and what for.
    """

    ledger: Ledger
    portfolio: Portfolio
    trend: Trend
    pages: tuple[PageOne, ...]
    findings: tuple[tuple[str, Finding[str]], ...]
    unknowns: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]


def look_at_store(store: Path) -> QuickLook:
    """Look at a store that was made from an export alone.

    Parameters
    ----------
    store
        The folder that `ingest` wrote.

    Returns
    -------
    QuickLook
        The page. A site's own page is about its latest month that the audits cover from start to end, else about its
        latest week, else about its latest month.

    Raises
    ------
    DataError
        If the store has no audits.
    """
    audits = keep_proportional(open_store(store))
    portfolio = compare_sites(audits)
    ledger = read_ledger(store)
    coverage = read_coverage(store)
    errors = Counter(dict.fromkeys(list_sites(store), 0))
    for point in portfolio.points:
        errors[point.site] += int(point.rate.errors)
    periods = {site: _choose_period(store, site, coverage) for site, _ in errors.most_common(MAX_SITES)}
    dives = [run_deep_dive(open_case(store, site=site, period=period)) for site, period in periods.items()]
    pages = tuple(build_page_one(dive) for dive in dives)
    trend = find_changes(count_over_time(audits))
    findings = _select_findings(dives)
    return QuickLook(ledger, portfolio, trend, pages, findings, _list_unknowns(ledger, dives), _list_missing(ledger))


def render_quick_look(look: QuickLook, *, title: str, footer: str) -> str:
    """Return the page as HTML; every text from the data is escaped.

    Parameters
    ----------
    look
        The result of `look_at_store`.
    title, footer
        Plain text above and below.

    Returns
    -------
    str
        A page without scripts that refers to no other file.
    """
    sections = [
        ("What happened", _render_headlines(look)),
        (
            "Strongest findings",
            _render_list([_describe_finding(look, site, finding) for site, finding in look.findings]),
        ),
        ("Not known", _render_list(look.unknowns[:MAX_UNKNOWNS])),
        ("Rates", look.portfolio._repr_html_()),
        ("Error rate over time", look.trend._repr_html_()),
        ("Details", "".join(_render_details(page_one) for page_one in look.pages)),
        ("Rows of the export", look.ledger._repr_html_()),
        ("For a full report", _render_missing(look)),
    ]
    headings = [(2, f"look-{number}", Markup.escape(name)) for number, (name, _) in enumerate(sections, 1)]
    body = "".join(
        f'<h2 id="{anchor}">{name}</h2>{content}'
        for (_, anchor, name), (_, content) in zip(headings, sections, strict=True)
    )
    body = NUMBER_CELL_PATTERN.sub(r'<td class="number">\1</td>', body)
    body = f"<h1>{html.escape(title)}</h1>{body}"
    return render_template("page.html.j2", title=title, footer=footer, body=Markup(body), headings=headings)


def _choose_period(store: Path, site: str, coverage: Coverage) -> str:
    """Return the latest month, or else week, that the audits cover; else the latest month."""
    for frequency in FREQUENCIES:
        complete = [name for name in list_periods(store, site, frequency) if coverage.covers_period(parse_period(name))]
        if complete:
            return complete[-1]
    return list_periods(store, site)[-1]


def _select_findings(dives: list[DeepDive]) -> tuple[tuple[str, Finding[str]], ...]:
    """Return the strongest findings about changes, each with its site: by grade, then by the number of errors."""
    findings = [
        (dive.case.site, finding)
        for dive in dives
        for finding in dive.findings()
        if finding.question in CHANGE_QUESTIONS and finding.grade in ("shown", "likely")
    ]
    findings.sort(key=lambda pair: (GRADES.index(pair[1].grade), -_get_size(pair[1])))
    return tuple(findings[:MAX_FINDINGS])


def _get_size(finding: Finding[str]) -> float:
    """Return the size of a finding in errors; 0 for a finding in another unit."""
    estimate = finding.estimate
    return abs(estimate.value) if isinstance(estimate, Estimate) and estimate.unit == "errors" else 0.0


def _list_unknowns(ledger: Ledger, dives: list[DeepDive]) -> tuple[str, ...]:
    """Return what the export leaves open, the most important first."""
    unknowns = []
    if ledger.assumed:
        unknowns.append(f"Whether the assumptions hold: {'; '.join(ledger.assumed)}.")
    single = [dive.case.site for dive in dives if dive.case.baseline is None]
    if single:
        unknowns.append(f"Whether anything changed at {', '.join(single)}: there is no earlier period to compare with.")
    unknowns.append("Whether an event explains a change: the export has no policy updates, releases or hiring classes.")
    if not any(dive.case.ratings is not None and len(dive.case.ratings) for dive in dives):
        unknowns.append("Whose errors they are: no item was judged by several people.")
    unknowns.append("Whether the targets were met: none are given.")
    return tuple(unknowns)


def _list_missing(ledger: Ledger) -> tuple[tuple[str, str], ...]:
    """Return what a full report would need, and what for."""
    tables = (
        ("table of events", "naming the event behind a change"),
        ("table of targets", "judging the agreed accuracy"),
        ("table of ratings", "telling errors of raters, policies and truths apart"),
    )
    return (*tables, *((f"column {column}", purpose) for column, purpose in ledger.not_available))


def _render_headlines(look: QuickLook) -> str:
    lines = [f"{page.site}, {page.period}: {page.headline.sentence} ({page.headline.grade})" for page in look.pages]
    shown = {page.site for page in look.pages}
    others = [site for site in look.ledger.sites if site not in shown]
    note = f"<p>In the table of rates only: {html.escape(', '.join(others[:MAX_LISTED]))}"
    more = f" and {len(others) - MAX_LISTED:,} more" if len(others) > MAX_LISTED else ""
    return _render_list(lines) + (f"{note}{more}.</p>" if others else "")


def _describe_finding(look: QuickLook, site: str, finding: Finding[str]) -> str:
    where = f"{site}: " if len(look.pages) > 1 else ""
    return f"{where}{finding.sentence} ({finding.grade})"


def _render_details(page: PageOne) -> str:
    """Return page one of a site, folded; it leaves out the row that refers to a batch."""
    rows = tuple(row for row in page.rows if row.label != "Data used")
    summary = html.escape(f"{page.site}, {page.period}")
    return f"<details><summary>{summary}</summary>{render_page_one(replace(page, rows=rows))}</details>"


def _render_list(lines: tuple[str, ...] | list[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _render_missing(look: QuickLook) -> str:
    frame = pd.DataFrame(look.missing, columns=["missing", "needed for"])
    steps = (
        "<p>Run <code>rca init</code> on the export: it writes a mapping and a batch file. Add the tables beside it, "
        "then run <code>rca run</code>.</p>"
    )
    return frame.to_html(index=False, border=0) + steps
