"""The index of a batch: a grid of sites and periods, made only from the records in the folders of the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from rca_lib.reporting.html import render_template, write_file_atomically
from rca_lib.reporting.missing_data import explain_missing_reports, read_batch_ledger, read_rejection
from rca_lib.reporting.synthetic_notice import get_synthetic_notice

if TYPE_CHECKING:
    from rca_lib.questions.portfolio import Portfolio
    from rca_lib.reporting.display import MimeBundle

SITE_REPORT_GLOB = "[!._]*/[!.]*"
ALL_SITES_REPORT_GLOB = "_*"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One report in the index.

    Attributes
    ----------
    site, period
        What the report covers. A report on all sites has no site, and the name of its notebook as period.
    verdict
        The verdict in one word, "failed" for a failed run, "" for a report on all sites.
    headline
        The headline, or the error of a failed run.
    accuracy
        Accuracy as text; "" where there is none.
    link
        The page, relative to the index.
    stale_reason
        Why an earlier report still stands; "" for the report of the last run.
    """

    site: str
    period: str
    verdict: str
    headline: str
    accuracy: str
    link: str
    stale_reason: str = ""


def write_index(batch_folder: Path, *, title: str = "") -> Path:
    """Write index.html into the folder of a batch.

    Parameters
    ----------
    batch_folder
        The folder of the batch.
    title
        The title of the page; the name of the folder where it is "" (default).

    Returns
    -------
    Path
        The path of the page.
    """
    page = render_template(
        "batch.html.j2",
        title=title or batch_folder.name,
        footer="Built from the records of the runs.",
        all_sites_entries=_read_entries(batch_folder, ALL_SITES_REPORT_GLOB),
        entries=_read_entries(batch_folder, SITE_REPORT_GLOB),
        rejection=read_rejection(batch_folder),
        synthetic_notice=get_synthetic_notice(read_batch_ledger(batch_folder)),
    )
    return write_file_atomically(batch_folder / "index.html", page)


def link_reports(portfolio: Portfolio, output: Path | str) -> MimeBundle:
    """Show the grid of the deep dives behind a portfolio.

    Parameters
    ----------
    portfolio
        The sites and periods to link.
    output
        The folder of the portfolio's report in the same batch; "" outside a batch.
    """
    from rca_lib.reporting.display import MimeBundle  # imports matplotlib, which the index does not need

    points = {(point.site, point.period) for point in portfolio.points}
    all_entries = _read_entries(Path(output).parent, SITE_REPORT_GLOB) if output else []
    entries = [replace(entry, link=f"../{entry.link}") for entry in all_entries if (entry.site, entry.period) in points]
    summary = f"{len(entries)} of {len(points)} sites and periods have a deep dive in this batch."
    grid = render_template("grid.html.j2", entries=entries)
    return MimeBundle({"text/html": f"<p>{summary}</p>{grid}", "text/plain": summary}, {})


def list_reported_periods(batch_folder: Path) -> list[tuple[str, str]]:
    """Return site and period of every deep dive in the folder of a batch."""
    return [(entry.site, entry.period) for entry in _read_entries(batch_folder, SITE_REPORT_GLOB)]


def list_stale_reasons(batch_folder: Path) -> list[str]:
    """Return, for each earlier report that still stands in the folder of a batch, the reason."""
    return [
        entry.stale_reason
        for glob in (ALL_SITES_REPORT_GLOB, SITE_REPORT_GLOB)
        for entry in _read_entries(batch_folder, glob)
        if entry.stale_reason
    ]


def _read_entries(batch_folder: Path, glob: str) -> list[IndexEntry]:
    records = sorted(batch_folder.glob(f"{glob}/run.json"))
    entries = [_read_entry(batch_folder, record.parent.relative_to(batch_folder)) for record in records]
    site_periods = [(entry.site, entry.period) for entry in entries if entry.site]
    missing = explain_missing_reports(batch_folder, site_periods)
    marked_entries = [
        replace(entry, stale_reason=entry.stale_reason or missing.get((entry.site, entry.period), ""))
        if entry.site
        else entry
        for entry in entries
    ]
    # Of two reports of the same site and period, the earlier one that still stands comes last.
    return sorted(marked_entries, key=lambda entry: bool(entry.stale_reason))


def _read_entry(batch_folder: Path, folder: Path) -> IndexEntry:
    has_site = len(folder.parts) > 1
    if has_site:
        site, period = map(unquote, folder.parts)
    else:
        site, period = "", folder.name.strip("_").replace("_", " ").capitalize()
    link = f"{quote(folder.as_posix())}/report.html"
    try:
        record = json.loads((batch_folder / folder / "run.json").read_text(encoding="utf-8"))
        if has_site and isinstance(record.get("site"), str):
            site = record["site"]
        if record["outcome"] != "succeeded":
            return IndexEntry(site, period, "failed", _format_error(record), "", link)
        findings_file = batch_folder / folder / "findings.json"
        findings = json.loads(findings_file.read_text(encoding="utf-8")) if has_site else {}
        verdict, headline, accuracy = (str(findings.get(name, "")) for name in ("verdict", "headline", "accuracy"))
        return IndexEntry(site, period, verdict, headline, accuracy, link, _explain_stale(record))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return IndexEntry(site, period, "failed", f"its records cannot be read: {error}", "", link)


def _explain_stale(record: Mapping[str, Any]) -> str:
    """Return why a report still stands although a later run failed; "" where no later run failed."""
    failed_run = record.get("failed")
    if not failed_run:
        return ""
    dates = f"the run of {failed_run['started'][:10]} failed, this is the report of {record['started'][:10]}"
    return f"{dates}: {_format_error(failed_run)}"


def _format_error(record: Mapping[str, Any]) -> str:
    return f"{record['error']['exception']}: {record['error']['message']}"
