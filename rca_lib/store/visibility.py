"""What a report of one site may show: nothing about another site or another vendor.

A report lies in a folder that may be handed to the partner who runs the site. The ledger covers the whole export, and
the events and targets cover all sites. They are restricted to the site here, in one place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from rca_lib.audits.schema import parse_scope
from rca_lib.intake.ledger import Ledger


def restrict_ledger(ledger: Ledger, site: str, months: Sequence[str]) -> Ledger:
    """Return the part of a ledger that concerns one site.

    Parameters
    ----------
    ledger
        The ledger of an export.
    site
        The site.
    months
        The months in which the site has audits.

    Returns
    -------
    Ledger
        Counts, reasons and repairs of the rows that name the site. Empty rows and rows without a site are left out, and
        so are notes that name another site; of an assumption that names one, only its setting is left.
        `quarantine_p_value` is the p-value of a larger share of quarantined rows at this site than at the others; None
        where its share is not larger.
    """
    status_counts = [row_status[1:] for row_status in ledger.row_status_counts if row_status[0] == site]
    kept, quarantined, duplicates = (
        sum(rows for status, _, rows, *_ in status_counts if status == counted)
        for counted in ("kept", "quarantined", "exact duplicate")
    )
    if not status_counts:  # a ledger of an earlier version
        kept = sum(site_kept for name, site_kept, _ in ledger.by_site if name == site)
        quarantined = sum(site_quarantined for name, _, site_quarantined in ledger.by_site if name == site)
    reasons = [row_status[1:] for row_status in status_counts if row_status[0] == "quarantined"]
    repairs = [(what, rows) for status, what, rows, *_ in status_counts if status == "repaired"]
    repairs_by_site = {row_status[2] for row_status in ledger.row_status_counts}
    whole_export = [(what, rows) for what, rows in ledger.repairs if what not in repairs_by_site]
    other_sites = [name for name, *_ in ledger.by_site if name and name != site]
    return replace(
        ledger,
        kept=kept,
        quarantined=quarantined,
        rows_read=kept + quarantined + duplicates,
        exact_duplicates=duplicates,
        empty=0,
        reasons=tuple(sorted(reasons, key=lambda reason: (-reason[1], reason[0]))),
        repairs=tuple(row for row in (*whole_export, *repairs) if not _mentions_any(row, other_sites)),
        by_site=((site, kept, quarantined),),
        sites=(site,),
        months=tuple(months),
        row_status_counts=(),
        site=site,
        quarantine_p_value=ledger.compute_quarantine_p_value(site),
        notes=tuple(note for note in ledger.notes if not _mentions_any(note, other_sites)),
        assumed=tuple(_hide_names(text, other_sites) for text in ledger.assumed),
    )


def _hide_names(assumption: str, names: Iterable[str]) -> str:
    """Return an assumption; only the name of its setting if its value contains one of the names as a word."""
    setting, _, value = assumption.partition(":")
    named = any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", value, flags=re.IGNORECASE) for name in names)
    return f"{setting} (the value is in the mapping)" if named else assumption


def filter_visible(table: pd.DataFrame, site: str, vendors: Collection[str]) -> pd.DataFrame:
    """Keep the events or targets that a site's report may show.

    Parameters
    ----------
    table
        Events or targets that concern the site, with `scope` and optionally `visibility`.
    site
        The site. It replaces a pattern in the scope, which may match other sites.
    vendors
        The vendors that run the site, as its audits name them.

    Returns
    -------
    DataFrame
        The rows with visibility "all", none, or "vendor:NAME" of one of the vendors. Rows with any other visibility
        ("internal" among them) are dropped, and so are rows whose scope names another vendor.
    """
    vendor_names = {name.strip().casefold() for name in vendors}
    visibility = table["visibility"] if "visibility" in table else pd.Series(None, table.index, dtype=object)
    mask = [_is_visible(word, scope, vendor_names) for word, scope in zip(visibility, table["scope"], strict=True)]
    visible = table[pd.Series(mask, table.index, dtype=bool)].reset_index(drop=True)
    scopes = [_restrict_scope(scope, site) for scope in visible["scope"]]
    return visible.assign(scope=pd.Series(scopes, visible.index, dtype=object))


def _is_visible(visibility: Any, scope: str | None, vendors: Collection[str]) -> bool:
    """Tell whether a row may be shown to these vendors (in lower case)."""
    word = "" if pd.isna(visibility) else str(visibility).strip().casefold()
    kind, _, name = word.partition(":")
    is_shared = word in ("", "all") or (kind.strip() == "vendor" and name.strip() in vendors)
    scope_vendor = parse_scope(scope).get("vendor")
    return is_shared and (scope_vendor is None or scope_vendor.casefold() in vendors)


def _restrict_scope(scope: str | None, site: str) -> str | None:
    """Write the site into a scope that names one or a pattern."""
    pairs = parse_scope(scope)
    return ";".join(f"{name}={value}" for name, value in (pairs | {"site": site}).items()) if "site" in pairs else scope


def _mentions_any(row: Iterable[object], names: Iterable[str]) -> bool:
    """Tell whether the text of a row contains one of the names."""
    text = " ".join(str(cell) for cell in row).casefold()
    return any(name.casefold() in text for name in names)
