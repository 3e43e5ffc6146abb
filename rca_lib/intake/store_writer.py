# Tested in tests/intake/test_ingest.py.
"""Writing of a store: audits by site and month, the quarantine, the rows of the export, and the ledger.

`site=<site>/month=<YYYY-MM>/audits.parquet` holds the audits, and `sources.parquet` beside it the file and row of each.
They are separate, so that the same audits give the same file whatever export they came in.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb

from rca_lib.findings import DataError
from rca_lib.intake.ledger import Ledger
from rca_lib.intake.quarantine_corrections import EXPORT_ROWS_FILE, drop_quarantine_columns, write_export_rows
from rca_lib.intake.sources import SourceTable
from rca_lib.io.duckdb_connection import execute, quote_identifier, quote_literal
from rca_lib.io.folder_names import encode_folder_names, write_folder_name

QUARANTINE_FILE = "quarantine.csv"
LEDGER_FILE = "ledger.json"
STORE_FILES = (LEDGER_FILE, QUARANTINE_FILE, EXPORT_ROWS_FILE)
MONTH_FILES = {  # columns by file
    "audits": "* exclude (month, source_file, source_row)",
    "sources": "audit_id, source_file, source_row",
}


def require_store_folder(store: Path | None) -> None:
    """Create the parent of a store folder, and check that the folder may be replaced.

    Raises
    ------
    DataError
        If the folder exists and holds something other than a store.
    """
    if store is None:
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    if not store.exists():
        return
    is_foreign = not store.is_dir() or (any(store.iterdir()) and not (store / LEDGER_FILE).exists())
    if is_foreign:
        raise DataError(f"{store.name} exists and is not a store of audits", hint="name a new folder")


def write_store(connection: duckdb.DuckDBPyConnection, folder: Path, table: SourceTable, ledger: Ledger) -> None:
    """Write a store to a new folder, from `raw`, `weighted_rows` and `kept_rows`."""
    folder.mkdir()
    execute(connection, "create table sorted as from kept_rows order by site, month")
    partitions = connection.sql("select distinct site, month from sorted order by all").fetchall()
    site_folders = encode_folder_names(site for site, _ in partitions)
    for site, month in partitions:
        month_folder = folder / f"site={site_folders[site]}" / f"month={month}"
        month_folder.mkdir(parents=True)
        write_folder_name(month_folder.parent, site, "site=")
        for name, columns in MONTH_FILES.items():
            rows = f"select {columns} from sorted where site = {quote_literal(site)} and month = '{month}'"
            file = quote_literal(str(month_folder / f"{name}.parquet"))
            execute(
                connection, f"copy ({rows} order by decided_at, audit_id) to {file} (format parquet, compression zstd)"
            )
    _write_quarantine(connection, folder / QUARANTINE_FILE, table)
    write_export_rows(connection, table, folder / EXPORT_ROWS_FILE)
    text = json.dumps(ledger.to_dict(), indent=1, ensure_ascii=False)
    (folder / LEDGER_FILE).write_text(text + "\n", encoding="utf-8")


def _write_quarantine(connection: duckdb.DuckDBPyConnection, path: Path, table: SourceTable) -> None:
    """Write the raw cells of the quarantined rows, so that a person can correct them and ingest them again."""
    names, is_quarantine = drop_quarantine_columns(table.names)
    header = [name for (name,) in connection.execute("select escape_formula(unnest(?))", [list(names)]).fetchall()]
    cells = [f"c{index}" if is_quarantine else f"escape_formula(c{index})" for index in range(len(names))]
    columns = ", ".join(f"{cell} as {quote_identifier(name)}" for cell, name in zip(cells, header, strict=True))
    execute(
        connection,
        f"copy (select {columns}, raw.row as source_row, array_to_string(reasons, '; ') as reason, suggestion "
        "from raw join weighted_rows on raw.row = weighted_rows.row where row_status = 'quarantined' order by raw.row) "
        f"to {quote_literal(str(path))} (format csv, header)",
    )


def replace_store(new_store: Path, store: Path) -> None:
    """Replace a store by a new one; other files in the old folder move to the new one."""
    for path in list(store.iterdir()) if store.exists() else ():
        if path.name not in STORE_FILES and not path.name.startswith("site="):
            shutil.move(path, new_store / path.name)
    shutil.rmtree(store, ignore_errors=True)
    new_store.rename(store)
