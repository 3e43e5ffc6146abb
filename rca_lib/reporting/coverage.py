"""What the last export no longer covers: sites and periods that had reports, and lost their audits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from rca_lib.audits.ledger import MUCH_QUARANTINED, Ledger, read_ledger
from rca_lib.audits.periods import parse_period
from rca_lib.audits.store import list_periods
from rca_lib.findings import DataError, show

STORE, REFUSED = "_audits", "_refused"


def tell_missing_site(ledger: Ledger, site: str) -> str:
    """Say why an export gives no report of a site; "" where it holds audits of it."""
    if not ledger.sites or site in ledger.sites:
        return ""
    lost = {name: quarantined for name, _, quarantined in ledger.by_site}.get(site, 0)
    if lost:
        return f"all {lost:,} rows of {site} in the last export are quarantined"
    return f"the last export holds no audits of {site}"


def tell_missing(out: Path, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Say of each site and period why the last export no longer covers its report, where it does not.

    Parameters
    ----------
    out
        The folder of a batch.
    places
        Sites and periods with reports.

    Returns
    -------
    dict
        A reason for each site and period that has none of the audits of the last export. A period that ends before the
        export begins is not among them: an export may hold the last months only.
    """
    try:
        ledger = read_ledger(out / STORE)
        held = {site: [parse_period(month) for month in list_periods(out / STORE, site)] for site in ledger.sites}
        first = min((month.start for months in held.values() for month in months), default=None)
    except (DataError, OSError, ValueError):  # no audits were taken in here
        return {}
    missing = {}
    for site, name in places:
        gone = tell_missing_site(ledger, site)
        if not gone and first is not None:
            try:
                period = parse_period(name)
            except ValueError:
                continue
            covered = any(month.start < period.end and period.start < month.end for month in held.get(site, ()))
            gone = "" if covered or period.end <= first else f"the last export holds no audits of {site} in {name}"
        if gone:
            missing[site, name] = gone
    return missing


def tell_quarantine(ledger: Ledger, limit: float | None = None) -> list[str]:
    """Say where more rows are quarantined than a limit (a share) lets pass, in the export and at each site."""
    limit = MUCH_QUARANTINED if limit is None else limit
    lines = []
    for name, kept, lost in [("the export", ledger.kept, ledger.quarantined), *ledger.by_site]:
        if kept + lost and lost / (kept + lost) > limit:
            share = f"{show(lost / (kept + lost), '%')} ({lost:,} of {kept + lost:,})"
            lines.append(f"{share} of the rows of {name or 'no site'} are quarantined, over {show(limit, '%')}")
    return lines


def read_refusal(out: Path) -> str:
    """Return why the last export was refused; "" where it was taken in."""
    try:
        return str(json.loads((out / REFUSED / "refused.json").read_text(encoding="utf-8"))["sentence"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
