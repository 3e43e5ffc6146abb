"""`rca look`: one page about an export that nothing is known of yet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from rca_lib.cli.terminal import print_line, print_warning, shorten_path, show_spinner

if TYPE_CHECKING:
    from rca_lib.intake.column_mapping import ColumnMapping


def look(
    export: Annotated[Path, typer.Argument(help="A file of audits (CSV, XLSX, JSON, Parquet …).")],
    mapping: Annotated[Path | None, typer.Option("--mapping", help="The mapping of its columns (YAML).")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page; by default FILE-look.html here.")] = None,
) -> None:
    """Make one page about an export: rates, trend, strongest findings, what is not known, and the ledger.

    Without a mapping, one is proposed as `rca init --yes` does; the page lists what was assumed.

    Exit status: 0 if the page was written. 1 if the export cannot be used.
    """
    from rca_lib.intake.ingest import ingest
    from rca_lib.reporting.html import write_file_atomically
    from rca_lib.reporting.quick_look import look_at_store, render_quick_look

    page = out or Path(f"{export.name.split('.')[0] or 'export'}-look.html")
    now = datetime.now(UTC)
    with TemporaryDirectory(prefix="rca-look-") as folder:
        store = Path(folder) / "store"
        with show_spinner(f"Reading {export.name}"):
            ledger = ingest(export, store, mapping=_read_mapping(export, mapping, now), now=now)
        print_line(ledger.summary())
        with show_spinner("Looking for changes"):
            quick_look = look_at_store(store)
    for page_one in quick_look.pages:
        print_line(f"{page_one.site}, {page_one.period}: {page_one.headline.sentence}")
    for unknown in quick_look.unknowns[:1]:
        print_warning(f"not known: {unknown[:1].lower()}{unknown[1:]}")
    footer = f"A quick look at {export.name}, {now:%d %B %Y}. The page was made without a batch and cannot be verified."
    page.parent.mkdir(parents=True, exist_ok=True)
    write_file_atomically(page, render_quick_look(quick_look, title=f"A look at {export.name}", footer=footer))
    print_line(f"Open {shorten_path(page)}")


def _read_mapping(export: Path, mapping: Path | None, now: datetime) -> ColumnMapping:
    """Return the mapping that was named, or a proposed one."""
    from rca_lib.intake.column_mapping import read_mapping
    from rca_lib.intake.mapping_proposal import propose_mapping

    return read_mapping(mapping) if mapping else propose_mapping(export, now=now).to_mapping()
