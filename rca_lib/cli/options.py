"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PROJECT = Path(__file__).resolve().parents[2]

Data = Annotated[Path | None, typer.Option("--data", help="The audits, in place of those the batch file names.")]
Reports = Annotated[Path, typer.Option("--reports", help="Where the batch's folder is made.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many notebooks run at the same time.")]
Site = Annotated[str | None, typer.Option("--site", help="Only this site.")]
OnePeriod = Annotated[str | None, typer.Option("--period", help="Only this period.")]
Force = Annotated[bool, typer.Option("--force", help="Also run what has not changed.")]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with status 3 where there are warnings.")]
