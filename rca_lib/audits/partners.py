"""What a report of one site may hold: nothing of another site, until partners have an edition of their own.

A report lies in a folder that may be handed to the partner who runs the site. Whatever a case takes from the export as
a whole (the ledger) or from tables for all sites (events, targets) is therefore restricted here, in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from rca_lib.audits.ledger import Ledger
from rca_lib.audits.tables import parse_scope

Fate = tuple[str, str, str, int, int, str]  # site, fate, reason, rows, first row, suggestion
FATES = """
select coalesce(site, ''), fate, coalesce(reasons[1], ''), count(*), min(row), coalesce(arg_min(suggestion, row), '')
from weighted where fate in ('kept', 'quarantined', 'exact duplicate') group by 1, 2, 3
union all
select site, 'repaired', what, count(*), 0, ''
from (select coalesce(site, '') as site, unnest(repairs) as what from weighted where fate = 'kept') group by 1, 3
order by all
"""


def count_fates(ask: Callable[[str], list[tuple[Any, ...]]]) -> tuple[Fate, ...]:
    """Count what became of the rows of each site, from the view `weighted` of an intake."""
    return tuple(ask(FATES))


def restrict_ledger(ledger: Ledger, site: str, months: Sequence[str]) -> Ledger:
    """Return the part of a ledger that concerns one site.

    Parameters
    ----------
    ledger
        The ledger of an export.
    site
        The site.
    months
        The months in which it has audits.

    Returns
    -------
    Ledger
        Counts, reasons and repairs of the rows that name the site. Rows without a site and empty rows are nobody's.
        Notes that name another site are left out. `apart` is the p-value of a difference in the share of quarantined
        rows between this site and the rest, where its share is the larger one.
    """
    own = [fate[1:] for fate in ledger.fates if fate[0] == site]
    counts = {name: sum(rows for fate, _, rows, *_ in own if fate == name) for name in ("kept", "quarantined")}
    if not own:  # a ledger of an earlier version
        counts = {
            name: sum(row[place] for row in ledger.by_site if row[0] == site)
            for place, name in enumerate(("kept", "quarantined"), 1)
        }
    duplicates = sum(rows for fate, _, rows, *_ in own if fate == "exact duplicate")
    reasons = sorted((fate[1:] for fate in own if fate[0] == "quarantined"), key=lambda reason: (-reason[1], reason[0]))
    others = [name for name, *_ in ledger.by_site if name and name != site]
    shared = [(what, rows) for what, rows in ledger.repairs if not any(fate[2] == what for fate in ledger.fates)]
    notes = {"notes": tuple(note for note in getattr(ledger, "notes", ()) if not _names_any(note, others))}
    repairs = [(what, rows) for fate, what, rows, *_ in own if fate == "repaired"]
    return replace(
        ledger,
        **counts,
        **(notes if hasattr(ledger, "notes") else {}),
        rows_read=counts["kept"] + counts["quarantined"] + duplicates,
        exact_duplicates=duplicates,
        empty=0,
        reasons=tuple(reasons),
        repairs=tuple(row for row in (*shared, *repairs) if not _names_any(row, others)),
        by_site=((site, counts["kept"], counts["quarantined"]),),
        sites=(site,),
        months=tuple(months),
        fates=(),
        site=site,
        apart=ledger.compare_site(site),
    )


def keep_visible(table: pd.DataFrame, site: str, vendors: Collection[str]) -> pd.DataFrame:
    """Keep the rows of events or targets that a site's report may show, and that are not of another vendor.

    Parameters
    ----------
    table
        Events or targets that concern the site, with their `scope` and perhaps `visibility`.
    site
        The site; a pattern in the scope is replaced by it, since it may name others.
    vendors
        The vendors that run the site, as its audits say.

    Returns
    -------
    pandas.DataFrame
        Rows whose visibility is "all" or missing, or "vendor:NAME" of one of the vendors. "internal" rows never show,
        nor do rows with a visibility that is none of these, nor those whose scope names another vendor.
    """
    names = {name.strip().casefold() for name in vendors}
    seen = table["visibility"] if "visibility" in table else pd.Series(None, table.index, dtype=object)
    shown = [_may_see(word, scope, names) for word, scope in zip(seen, table["scope"], strict=True)]
    kept = table[pd.Series(shown, table.index, dtype=bool)].reset_index(drop=True)
    return kept.assign(scope=[_write_scope(scope, site) for scope in kept["scope"]])


def _may_see(visibility: object, scope: str | None, vendors: Collection[str]) -> bool:
    word = "" if pd.isna(visibility) else str(visibility).strip().casefold()
    kind, _, name = word.partition(":")
    visible = word in ("", "all") or (kind.strip() == "vendor" and name.strip() in vendors)
    vendor = parse_scope(scope).get("vendor")
    return visible and (vendor is None or vendor.casefold() in vendors)


def _write_scope(scope: str | None, site: str) -> str | None:
    pairs = parse_scope(scope)
    return ";".join(f"{name}={value}" for name, value in (pairs | {"site": site}).items()) if "site" in pairs else scope


def _names_any(row: Iterable[object], others: Iterable[str]) -> bool:
    text = " ".join(str(cell) for cell in row).casefold()
    return any(other.casefold() in text for other in others)
