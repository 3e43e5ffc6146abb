"""`rca demo`: make the reports of the demo, from synthetic audits with planted causes."""

from __future__ import annotations

from pathlib import Path

from rca_lib.cli.options import ForceOption, PeriodOption, ReportsOption, SiteOption, WorkersOption
from rca_lib.cli.run import run
from rca_lib.resources import find_resource


def demo(
    site: SiteOption = None,
    period: PeriodOption = None,
    reports: ReportsOption = Path("reports"),
    workers: WorkersOption = 2,
    force: ForceOption = False,
) -> None:
    """Make the reports of the demo, from synthetic audits with planted causes."""
    batch = find_resource("parameters", "demo.yml")
    run(batch, site=site, period=period, reports=reports, workers=workers, force=force)
