"""`rca run-one`: make one report of a batch, for schedulers that start each report as a task of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rca_lib.cli.options import ForceOption, JsonOption, ReportsOption
from rca_lib.cli.terminal import EXIT_FAILED, print_json, print_line


def run_one(
    batch: Annotated[Path, typer.Argument(help="The batch file (YAML).")],
    report: Annotated[str, typer.Argument(help="The report, as `rca run BATCH --list` names it: SITE/PERIOD.")],
    reports: ReportsOption = Path("reports"),
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make one report of a batch whose audits are ingested.

    `rca run BATCH --list --json` ingests the audits and lists the reports. Then several of these commands may run at
    the same time. `rca run BATCH` at the end writes the index, and makes again only what failed.

    Exit status: 0 if the report was made or is up to date. 1 if it failed. 2 if an option is wrong.
    """
    from rca_lib.batch.batch_run import run_single_report
    from rca_lib.cli.run import format_outcome

    outcome = run_single_report(batch, report, reports=reports, force=force)
    failed = outcome.outcome == "failed"
    if as_json:
        print_json(outcome.to_dict())
    else:
        print_line(format_outcome(outcome), error=failed, style="red" if failed else None)
    raise typer.Exit(EXIT_FAILED if failed else 0)
