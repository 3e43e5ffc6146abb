"""The index of a batch: a grid of sites and periods, made from what the runs left in their folders and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from rca_lib.reporting.coverage import read_refusal, tell_missing
from rca_lib.reporting.html import fill_template, replace_page

if TYPE_CHECKING:
    from rca_lib.questions.portfolio import Portfolio
    from rca_lib.reporting.display import Shown

OF_SITES = "[!._]*/[!.]*"


@dataclass(frozen=True, slots=True)
class Entry:
    """A run as its folder tells it: `verdict` in a word, `sentence` the headline or why it failed.

    One over all sites has no site, and its notebook's name for a period. `stale` says why a report is an earlier one
    that still stands; "" where it is of the last run.
    """

    site: str
    period: str
    verdict: str
    sentence: str
    accuracy: str
    link: str
    stale: str = ""


def write_index(out: Path, *, title: str = "") -> Path:
    """Write index.html into a batch's folder, called `title` or as the folder is, and return its path."""
    page = fill_template(
        "batch.html.j2",
        title=title or out.name,
        footer="Made from the records that the runs left behind.",
        wide=_read_runs(out, "_*"),
        entries=_read_runs(out, OF_SITES),
        refused=read_refusal(out),
    )
    return replace_page(out / "index.html", page)


def link_reports(portfolio: Portfolio, output: Path | str) -> Shown:
    """Draw the grid of a portfolio's deep dives, for a report in the folder `output` of the same batch."""
    from rca_lib.reporting.display import Shown  # which imports what draws: the index has no use for it

    points = {(point.site, point.period) for point in portfolio.points}
    found = _read_runs(Path(output).parent, OF_SITES) if output else []
    entries = [replace(entry, link=f"../{entry.link}") for entry in found if (entry.site, entry.period) in points]
    words = f"{len(entries)} of {len(points)} sites and periods have a deep dive in this batch."
    grid = fill_template("grid.html.j2", entries=entries)
    return Shown({"text/html": f"<p>{words}</p>{grid}", "text/plain": words}, {})


def list_reports(out: Path) -> list[tuple[str, str]]:
    """Return the site and the period of every deep dive in a batch's folder."""
    return [(entry.site, entry.period) for entry in _read_runs(out, OF_SITES)]


def list_stale(out: Path) -> list[str]:
    """Return why reports in a batch's folder are earlier ones that still stand, a reason for each."""
    return [entry.stale for folders in ("_*", OF_SITES) for entry in _read_runs(out, folders) if entry.stale]


def _read_runs(out: Path, folders: str) -> list[Entry]:
    entries = [_read(out, file.parent.relative_to(out)) for file in sorted(out.glob(f"{folders}/run.json"))]
    missing = tell_missing(out, [(entry.site, entry.period) for entry in entries if entry.site])
    marked = [
        replace(entry, stale=entry.stale or missing.get((entry.site, entry.period), "")) if entry.site else entry
        for entry in entries
    ]
    # Of two reports of a place, the one that a run has left behind stands last.
    return sorted(marked, key=lambda entry: bool(entry.stale))


def _read(out: Path, folder: Path) -> Entry:
    of_a_site = len(folder.parts) > 1
    site, period = (
        map(unquote, folder.parts) if of_a_site else ("", folder.name.strip("_").replace("_", " ").capitalize())
    )
    link = f"{quote(folder.as_posix())}/report.html"
    try:
        run = json.loads((out / folder / "run.json").read_text(encoding="utf-8"))
        if of_a_site and isinstance(run.get("site"), str):
            site = run["site"]
        if run["outcome"] != "succeeded":
            return Entry(site, period, "failed", _name_error(run), "", link)
        told = json.loads((out / folder / "findings.json").read_text(encoding="utf-8")) if of_a_site else {}
        stale = ""
        if failed := run.get("failed"):
            dates = f"failed on {failed['started'][:10]}, this is the report of {run['started'][:10]}"
            stale = f"{dates}: {_name_error(failed)}"
        words = (str(told.get(name, "")) for name in ("verdict", "headline", "accuracy"))
        return Entry(site, period, *words, link, stale)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return Entry(site, period, "failed", f"its records cannot be read: {error}", "", link)


def _name_error(run: dict[str, Any]) -> str:
    return f"{run['error']['exception']}: {run['error']['message']}"
