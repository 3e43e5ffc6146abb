"""Sites that lost their audits, and quarantine above a limit, are explained from the ledger."""

import pytest

from rca_lib.intake.ledger import Ledger
from rca_lib.reporting.missing_data import explain_missing_site, list_quarantine_warnings


def make_ledger(**counts):
    """Return a ledger with the numbers of kept and quarantined rows of each site."""
    by_site = tuple((site, kept, quarantined) for site, (kept, quarantined) in counts.items())
    kept = sum(row[1] for row in by_site)
    quarantined = sum(row[2] for row in by_site)
    sites = tuple(site for site, count, _ in by_site if count)
    return Ledger("a.csv", "", kept + quarantined, kept, quarantined, 0, 0, by_site=by_site, sites=sites)


def test_a_site_with_any_audit_is_not_missing_however_much_is_quarantined():
    ledger = make_ledger(lisbon=(1, 99), manila=(0, 3))
    assert explain_missing_site(ledger, "lisbon") == ""
    assert explain_missing_site(ledger, "manila") == "all 3 rows of manila in the last export are quarantined"
    assert explain_missing_site(ledger, "cebu") == "the last export contains no audits of cebu"


@pytest.mark.parametrize(("limit", "lines"), [(None, 2), (0.05, 2), (0.1, 1), (0.2, 0), (0.0, 3)])
def test_quarantine_above_the_limit_gives_a_line_for_the_export_and_for_each_site(limit, lines):
    ledger = make_ledger(lisbon=(80, 20), manila=(100, 1), cebu=(9, 0))
    assert len(list_quarantine_warnings(ledger, limit)) == lines
