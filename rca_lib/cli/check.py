"""`rca check`: what an export or a batch file would give, without writing anything."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rca_lib.cli.options import JsonOption, StrictOption
from rca_lib.cli.terminal import (
    EXIT_FAILED,
    EXIT_WARNED,
    exit_with_error,
    print_json,
    print_line,
    print_table,
    print_warning,
    show_spinner,
)

if TYPE_CHECKING:
    from rca_lib.intake.ledger import Ledger
    from rca_lib.intake.preview import IngestPreview

MAX_LISTED_SITES = 20
MAX_VALUE_CHARS = 60  # characters of a quoted value
BATCH_FILE_SUFFIXES = (".yml", ".yaml")


def check(
    file: Annotated[
        Path, typer.Argument(help="A file of audits (CSV, XLSX, JSON, Parquet …), or a batch file (YAML).")
    ],
    mapping: Annotated[Path | None, typer.Option("--mapping", help="The mapping of its columns (YAML).")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="With a batch file: the export.")] = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what would be kept, quarantined and not available; nothing is written.

    For a batch file, its mapping, taxonomy, side tables, sites, periods and parameters are checked too.

    Exit status: 0 if it can be run. 1 if it cannot: the message says what to correct. 2 if an option is wrong.
    3 with --strict, if there are warnings.
    """
    preview, batch_warnings, runs = _read(file, mapping, data)
    warnings = [*batch_warnings, *map(str, preview.tables.warnings)]
    status = EXIT_WARNED if strict and warnings else 0
    if preview.problems:
        status = EXIT_FAILED
    if as_json:
        content = preview.to_dict() | {"status": status, "warnings": warnings}
        if runs is not None:
            content["runs"] = runs
        print_json(content)
        raise typer.Exit(status)
    _print_preview(preview, warnings)
    if preview.problems:
        exit_with_error(preview.problems)
    if runs is not None:
        print_line(f"The batch can be run: {runs} run{'s' if runs != 1 else ''}.")
    raise typer.Exit(status)


def _read(file: Path, mapping: Path | None, data: Path | None) -> tuple[IngestPreview, tuple[str, ...], int | None]:
    """Return the preview of the ingestion and, for a batch file, its warnings and the number of runs."""
    from rca_lib.batch.validation import validate_batch
    from rca_lib.intake.column_mapping import read_mapping
    from rca_lib.intake.preview import preview_ingest

    now = datetime.now(UTC)
    with show_spinner(f"Reading {file.name}"):
        if file.suffix.lower() in BATCH_FILE_SUFFIXES:
            if mapping:
                raise typer.BadParameter("a batch file names its own mapping: leave --mapping out")
            validation = validate_batch(file, data=data, now=now)
            return validation.audits, validation.warnings, validation.runs
        if data:
            raise typer.BadParameter("--data goes with a batch file: name the export alone, or the batch file")
        return preview_ingest(file, read_mapping(mapping), now=now), (), None


def _print_preview(preview: IngestPreview, warnings: Iterable[str]) -> None:
    if preview.assumed:
        print_line(f"Read as if the mapping said {', '.join(preview.assumed)}:")
    if preview.ledger is None:
        _print_columns(preview)
        for reason, (row, value) in preview.first_quarantined.items():
            print_line(f"Quarantined: {reason}; first: {_format_row(row, value, separator=', ')}")
    else:
        _print_ledger(preview.ledger, preview)
        _print_contents(preview.ledger, preview)
    for repair in preview.tables.repairs:
        print_line(f"Repaired: {repair}")
    for warning in warnings:
        print_warning(warning)


def _format_row(row: int, value: str, *, separator: str) -> str:
    quoted = f"{separator}{value[:MAX_VALUE_CHARS]!r}" if value else ""
    return f"row {row}{quoted}"


def _print_columns(preview: IngestPreview) -> None:
    """Print the columns of a file that cannot be ingested, with their most frequent values."""
    rows = [(column.name, column.mapped_to, ", ".join(column.examples)) for column in preview.columns]
    print_table(("column of the file", "read as", "most frequent values"), rows)


def _print_ledger(ledger: Ledger, preview: IngestPreview) -> None:
    """Print what happened to each row."""
    from rca_lib.intake.ledger import CONFIRMATION_HINT

    print_line(ledger.summary())
    rows: list[tuple[object, ...]] = [("repaired", repair, f"{count:,}", "", "") for repair, count in ledger.repairs]
    rows += [("noted", note, f"{count:,}", "", suggestion) for note, count, suggestion in ledger.notes]
    rows += [("assumed", text, f"{ledger.rows_read:,}", "", CONFIRMATION_HINT) for text in ledger.assumed]
    for reason, count, row, suggestion in ledger.reasons:
        _, value = preview.first_quarantined.get(reason, (row, ""))
        rows.append(("quarantined", reason, f"{count:,}", _format_row(row, value, separator=": "), suggestion))
    print_table(("what", "why", "rows", "first", "suggestion"), rows)


def _print_contents(ledger: Ledger, preview: IngestPreview) -> None:
    """Print the days, sites, labels and columns of an export."""
    if preview.days:
        print_line(f"Days: {preview.days[0]} to {preview.days[1]}.")
    sites = []
    for site, kept, quarantined in ledger.by_site:
        sites.append(f"{site} {kept:,}" + (f" ({quarantined:,} quarantined)" if quarantined else ""))
    more = f" and {len(sites) - MAX_LISTED_SITES:,} more" if len(sites) > MAX_LISTED_SITES else ""
    print_line(f"Sites, audits kept: {', '.join(sites[:MAX_LISTED_SITES])}{more}.")
    rows = [
        (label.source_label, label.mapped_label or "not known", f"{label.label_rows:,}", f"{label.truth_rows:,}")
        for label in preview.labels
    ]
    print_table(("label in the file", "read as", "rows as label", "rows as truth"), rows)
    unmapped = [column.name for column in preview.columns if not column.mapped_to]
    print_line(f"Columns of the file: {', '.join(column.name for column in preview.columns)}.")
    if unmapped:
        print_line(f"Columns that the audits do not use: {', '.join(unmapped)}.")
    for column, purpose in ledger.not_available:
        print_line(f"Not available: {purpose} (no column {column})")
