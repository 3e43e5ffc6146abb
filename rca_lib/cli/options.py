# Tested in tests/cli/test_cli.py.
"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None, typer.Option("--data", help="The export, instead of the one that the batch file names.")
]
ReportsOption = Annotated[Path, typer.Option("--reports", help="The folder that receives the batch's folder.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="How many notebooks run at the same time.")]
SiteOption = Annotated[str | None, typer.Option("--site", help="Only this site.")]
PeriodOption = Annotated[str | None, typer.Option("--period", help="Only this period.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Also run what has not changed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with status 3 if there are warnings.")]
