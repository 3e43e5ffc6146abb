"""`rca check`: what an export or a batch would give, without writing anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rca_lib.cli.options import Json, Strict
from rca_lib.cli.terminal import FAILED, WARNED, clean, console, fail, say, warn, working, write_json

if TYPE_CHECKING:
    from rca_lib.audits.check import Check
    from rca_lib.audits.ledger import Ledger

LOG_WIDTH = 200  # characters of a table that no terminal breaks
SITES = 20  # that are listed


def check(
    file: Annotated[Path, typer.Argument(help="A file of audits (CSV, XLSX, Parquet), or a batch file (YAML).")],
    mapping: Annotated[Path | None, typer.Option("--mapping", help="The mapping of its columns (YAML).")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="With a batch file: the audits.")] = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """What would be kept, quarantined and not available; nothing is written.

    With a batch file its mapping, taxonomy, side tables, sites, periods and parameters are checked too.

    Exit status: 0 if it can be run. 1 if it cannot: the message says what to correct. 2 if an option is wrong.
    3 with --strict, if there are warnings.
    """
    from rca_lib.audits.check import check_audits
    from rca_lib.audits.mapping import read_mapping
    from rca_lib.batch.checking import check_batch

    now, runs, warnings = datetime.now(UTC), None, ()
    with working(f"Reading {file.name}"):
        if file.suffix.lower() in (".yml", ".yaml"):
            if mapping:
                raise typer.BadParameter("a batch file names its own mapping: leave --mapping out")
            found = check_batch(file, data=data, now=now)
            audits, runs, warnings = found.audits, found.runs, found.warnings
        elif data:
            raise typer.BadParameter("--data goes with a batch file: name the audits alone, or the batch file")
        else:
            audits = check_audits(file, read_mapping(mapping), now=now)
    warnings = (*warnings, *map(str, audits.tables.warnings))
    status = FAILED if audits.problems else WARNED if strict and warnings else 0
    if as_json:
        told = audits.to_dict() | {"status": status, "warnings": list(warnings)}
        write_json(told | ({} if runs is None else {"runs": runs}))
        raise typer.Exit(status)
    _show(audits, warnings, runs)
    if audits.problems:
        fail(audits.problems)
    raise typer.Exit(status)


def _show(audits: Check, warnings: Iterable[str], runs: int | None) -> None:
    if audits.assumed:
        say(f"Read as if the mapping said {', '.join(audits.assumed)}:")
    if audits.ledger is None:
        _show_columns(audits)
        for reason, (row, value) in audits.offenders.items():
            say(f"Quarantined: {reason}; first: row {row}" + (f", {value[:60]!r}" if value else ""))
    else:
        _show_ledger(audits.ledger, audits)
        _show_contents(audits)
    for repair in audits.tables.repairs:
        say(f"repaired: {repair}")
    for warning in warnings:
        warn(warning)
    if runs is not None and not audits.problems:
        say(f"The batch can be run: {runs} run{'s' if runs != 1 else ''}.")


def _print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(*header)
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    if table.row_count:
        (console if console.is_terminal else Console(width=LOG_WIDTH, highlight=False)).print(table)


def _show_columns(audits: Check) -> None:
    rows = [(column.name, column.read_as, ", ".join(column.examples)) for column in audits.columns]
    _print_table(("column of the file", "read as", "most frequent values"), rows)


def _show_ledger(ledger: Ledger, audits: Check) -> None:
    """Print what became of every row."""
    say(ledger.summary())
    rows: list[tuple[object, ...]] = [("repaired", what, f"{count:,}", "", "") for what, count in ledger.repairs]
    rows += [("noted", what, f"{count:,}", "", hint) for what, count, hint in getattr(ledger, "notes", ())]
    for reason, count, row, hint in ledger.reasons:
        _, value = audits.offenders.get(reason, (row, ""))
        first = f"row {row}" + (f": {value[:60]!r}" if value else "")
        rows.append(("quarantined", reason, f"{count:,}", first, hint))
    _print_table(("what", "why", "rows", "first", "suggestion"), rows)


def _show_contents(audits: Check) -> None:
    """Print dates, sites, labels and columns."""
    ledger = audits.ledger
    if ledger is None:
        return
    if audits.days:
        say(f"Days: {audits.days[0]} to {audits.days[1]}.")
    sites = [f"{site} {kept:,}" + (f" ({lost:,} quarantined)" if lost else "") for site, kept, lost in ledger.by_site]
    more = f" and {len(sites) - SITES:,} more" if len(sites) > SITES else ""
    say(f"Sites, audits kept: {', '.join(sites[:SITES])}{more}.")
    rows = [
        (label.written, label.read or "not known", f"{label.labels:,}", f"{label.truths:,}") for label in audits.labels
    ]
    _print_table(("label in the file", "read as", "rows as label", "rows as truth"), rows)
    extra = [column.name for column in audits.columns if not column.read_as]
    say(f"Columns of the file: {', '.join(column.name for column in audits.columns)}.")
    if extra:
        say(f"Not read as a column of audits: {', '.join(extra)}.")
    for column, serves in ledger.not_available:
        say(f"not available: {serves} (no column {column})")
