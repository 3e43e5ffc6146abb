# Tested in tests/reporting/test_page_one.py.
"""The line that marks a page made from simulated audits."""

from __future__ import annotations

from rca_lib.intake.ledger import Ledger

SYNTHETIC_NOTICE = "Synthetic audits: this report shows simulated data."


def get_synthetic_notice(ledger: Ledger | None) -> str:
    """Return the notice where the audits of a ledger are simulated, else ""."""
    return SYNTHETIC_NOTICE if ledger is not None and ledger.synthetic else ""


def render_synthetic_notice(ledger: Ledger) -> str:
    """Return the notice as an HTML paragraph where the audits of a ledger are simulated, else ""."""
    return f'<p class="synthetic"><strong>{SYNTHETIC_NOTICE}</strong></p>' if ledger.synthetic else ""
