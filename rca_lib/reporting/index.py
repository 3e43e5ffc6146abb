"""The index of a batch: a grid of sites and periods, made from what the runs left in their folders and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

from rca_lib.audits.periods import parse_period
from rca_lib.findings import join_words
from rca_lib.questions.portfolio import Portfolio
from rca_lib.reporting.display import Shown
from rca_lib.reporting.html import write_page

VERDICTS = {
    "failed": "the report could not be made",
    "worse": "more errors than before, and chance is ruled out",
    "better": "fewer errors than before, and chance is ruled out",
    "artefact": "the truth or the sample changed, not the work",
    "mix": "the work grew harder, it was not done worse",
    "not proven": "something may have changed; these audits cannot tell",
    "steady": "nothing happened beyond chance",
    "first period": "nothing earlier to compare with",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A run as its folder tells it: `verdict` in a word, `sentence` the headline or why it failed."""

    site: str
    period: str
    verdict: str
    sentence: str
    accuracy: str
    link: str


def write_index(out: Path, *, title: str = "") -> Path:
    """Write index.html into a batch's folder, called `title` or as the folder is, and return its path."""
    entries = _read_all(out)
    grid, wide = ([entry for entry in entries if bool(entry.site) is of_a_site] for of_a_site in (True, False))
    body = f"<h1>What happened, site by site?</h1>{_summary(grid)}{_list_wide(wide)}{_draw_grid(grid)}{_explain(grid)}"
    page = write_page(body, title=title or out.name, footer="Made from the records that the runs left behind.")
    new = out / ".index.html.new"
    new.write_text(page, encoding="utf-8")
    new.replace(out / "index.html")
    return out / "index.html"


def link_reports(portfolio: Portfolio, output: Path | str) -> Shown:
    """Draw the grid of a portfolio's deep dives, for a report in the folder `output` of the same batch."""
    points = {(point.site, point.period) for point in portfolio.points}
    found = _read_all(Path(output).parent) if output else []
    grid = [replace(entry, link=f"../{entry.link}") for entry in found if (entry.site, entry.period) in points]
    words = f"{len(grid)} of {len(points)} sites and periods have a deep dive in this batch."
    return Shown({"text/html": f"<p>{words}</p>{_draw_grid(grid)}", "text/plain": words}, {})


def _read_all(out: Path) -> list[Entry]:
    folders = sorted(file.parent.relative_to(out) for depth in ("*", "*/*") for file in out.glob(f"{depth}/run.json"))
    return [_read(out, folder) for folder in folders if not any(part.startswith(".") for part in folder.parts)]


def _read(out: Path, folder: Path) -> Entry:
    site, period = (
        ("", folder.name.strip("_").capitalize()) if folder.name[0] == "_" else map(unquote, folder.parts[-2:])
    )
    link = f"{quote(folder.as_posix())}/report.html"
    try:
        run = json.loads((out / folder / "run.json").read_text(encoding="utf-8"))
        if run["outcome"] != "succeeded":
            return Entry(site, period, "failed", f"{run['error']['exception']}: {run['error']['message']}", "", link)
        told = json.loads((out / folder / "findings.json").read_text(encoding="utf-8")) if site else {}
        return Entry(site, period, *(str(told.get(name, "")) for name in ("verdict", "headline", "accuracy")), link)
    except (OSError, ValueError, LookupError, TypeError) as error:
        return Entry(site, period, "failed", f"its records cannot be read: {error}", "", link)


def _summary(grid: Sequence[Entry]) -> str:
    counts = Counter(entry.verdict for entry in grid)
    words = [
        f"{counts[verdict]} {verdict}"
        for verdict in [*VERDICTS, *sorted(set(counts) - set(VERDICTS))]
        if counts[verdict]
    ]
    reports = f"{len(grid):,} report{'s' if len(grid) != 1 else ''}"
    return f'<p class="headline">{escape(f"{reports}: {join_words(words)}." if grid else "No report yet.")}</p>'


def _list_wide(wide: Sequence[Entry]) -> str:
    items = (
        f'<li><a href="{escape(entry.link)}">{escape(entry.period)}</a> {_badge(entry)} {escape(entry.sentence)}</li>'
        for entry in wide
    )
    return f"<h2>All sites together</h2><ul>{''.join(items)}</ul>" if wide else ""


def _draw_grid(grid: Sequence[Entry]) -> str:
    cells = {(entry.site, entry.period): entry for entry in grid}
    periods = sorted({entry.period for entry in grid}, key=parse_period)
    heads = "".join(f'<th scope="col">{escape(period)}</th>' for period in periods)
    rows = (
        f'<tr><th scope="row">{escape(site)}</th>{"".join(_cell(cells.get((site, period))) for period in periods)}</tr>'
        for site in sorted({entry.site for entry in grid})
    )
    head = f'<thead><tr><th scope="col">Site</th>{heads}</tr></thead>'
    return f'<table class="grid">{head}<tbody>{"".join(rows)}</tbody></table>' if grid else ""


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return "<td>–</td>"
    accuracy = f' <span class="accuracy">{escape(entry.accuracy)}</span>' if entry.accuracy else ""
    return f'<td>{_badge(entry)}{accuracy}<a href="{escape(entry.link)}">{escape(entry.sentence or "Report")}</a></td>'


def _badge(entry: Entry) -> str:
    kind = entry.verdict.replace(" ", "-")
    return f'<span class="verdict {escape(kind)}">{escape(entry.verdict)}</span>' if entry.verdict else ""


def _explain(grid: Sequence[Entry]) -> str:
    used = {entry.verdict for entry in grid}
    lines = (
        f'<dt><span class="verdict {verdict.replace(" ", "-")}">{verdict}</span></dt><dd>{meaning}</dd>'
        for verdict, meaning in VERDICTS.items()
        if verdict in used
    )
    return f'<h2>The words</h2><dl class="words">{"".join(lines)}</dl>' if used else ""
