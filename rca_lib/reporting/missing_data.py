"""Sites and periods with a report whose audits are missing from the last export, and rows in quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from rca_lib.audits.periods import Period, parse_period
from rca_lib.findings import DataError, format_value
from rca_lib.intake.ledger import MAX_QUARANTINED_SHARE, Ledger, read_ledger
from rca_lib.store.catalog import list_periods

STORE_FOLDER, REJECTED_FOLDER = "_audits", "_refused"


def read_batch_ledger(out: Path) -> Ledger | None:
    """Read the ledger of a batch's store; None where the folder holds no readable one."""
    try:
        return read_ledger(out / STORE_FOLDER)
    except (DataError, OSError):
        return None


def explain_missing_site(ledger: Ledger, site: str) -> str:
    """Return why an export gives no report of a site; "" where it contains audits of the site."""
    if not ledger.sites or site in ledger.sites:
        return ""
    quarantined_by_site = {name: quarantined for name, _, quarantined in ledger.by_site}
    quarantined = quarantined_by_site.get(site, 0)
    if quarantined:
        return f"all {quarantined:,} rows of {site} in the last export are quarantined"
    return f"the last export contains no audits of {site}"


def explain_missing_reports(batch_folder: Path, site_periods: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Explain for which reports the last export contains no audits.

    Parameters
    ----------
    batch_folder
        The folder of a batch.
    site_periods
        Sites and periods with reports.

    Returns
    -------
    dict
        A reason for each site and period without audits in the last export. A period that ends before the export begins
        is not included, because an export may contain only the last months.
    """
    store = batch_folder / STORE_FOLDER
    try:
        ledger = read_ledger(store)
        months_by_site = {site: [parse_period(month) for month in list_periods(store, site)] for site in ledger.sites}
    except (DataError, OSError, ValueError):  # nothing was ingested here
        return {}
    first_day = min((month.start for months in months_by_site.values() for month in months), default=None)
    reasons = {}
    for site, period_name in site_periods:
        reason = explain_missing_site(ledger, site)
        if not reason and first_day is not None:
            reason = _explain_missing_period(site, period_name, months_by_site.get(site, ()), first_day)
        if reason:
            reasons[site, period_name] = reason
    return reasons


def _explain_missing_period(site: str, period_name: str, months: Sequence[Period], first_day: date) -> str:
    """Return why an export that begins on `first_day` gives no report of a period; "" where it does."""
    try:
        period = parse_period(period_name)
    except ValueError:
        return ""
    is_covered = any(month.start < period.end and period.start < month.end for month in months)
    if is_covered or period.end <= first_day:
        return ""
    return f"the last export contains no audits of {site} in {period_name}"


def list_quarantine_warnings(ledger: Ledger, limit: float | None = None) -> list[str]:
    """Return a warning for the export and for each site with too many quarantined rows.

    Parameters
    ----------
    ledger
        What became of every row of an export.
    limit
        The share of quarantined rows that is allowed; None (default) for `MAX_QUARANTINED_SHARE`.
    """
    limit = MAX_QUARANTINED_SHARE if limit is None else limit
    warnings = []
    for name, kept, quarantined in [("the export", ledger.kept, ledger.quarantined), *ledger.by_site]:
        rows = kept + quarantined
        if rows and quarantined / rows > limit:
            share = f"{format_value(quarantined / rows, '%')} ({quarantined:,} of {rows:,})"
            owner = name or "no site"
            warnings.append(f"{share} of the rows of {owner} are quarantined, above {format_value(limit, '%')}")
    return warnings


def read_rejection(batch_folder: Path) -> str:
    """Return why the last export was rejected; "" where it was ingested."""
    try:
        record = json.loads((batch_folder / REJECTED_FOLDER / "refused.json").read_text(encoding="utf-8"))
        return str(record["sentence"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
