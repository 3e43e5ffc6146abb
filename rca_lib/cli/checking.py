"""`rca check`: what an export or a batch would give, without writing anything."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from rca_lib.cli.options import Json, Strict
from rca_lib.cli.terminal import clean, console, say, working

if TYPE_CHECKING:
    from rca_lib.audits.ledger import Ledger


def check(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX or Parquet file of audits.")],
    mapping: Annotated[Path | None, typer.Option("--mapping", help="The mapping of its columns (YAML).")] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Intake only: what would be kept, quarantined, and not available."""
    from rca_lib.audits.intake import take_in
    from rca_lib.audits.mapping import read_mapping

    with working(f"Reading {file.name}"):
        ledger = take_in(file, None, mapping=read_mapping(mapping), now=datetime.now(UTC))
    show_ledger(ledger)


def show_ledger(ledger: Ledger) -> None:
    """Print what became of every row."""
    say(ledger.summary())
    rows = [("repaired", what, count, "") for what, count in ledger.repairs]
    rows += [("quarantined", reason, count, mend) for reason, count, _, mend in ledger.reasons]
    if rows:
        table = Table("what", "why", "rows", "suggestion")
        for what, why, count, mend in rows:
            table.add_row(what, Text(clean(why)), f"{count:,}", Text(clean(mend)))
        console.print(table)
    for column, serves in ledger.not_available:
        say(f"not available: {serves} (no column {column})")
