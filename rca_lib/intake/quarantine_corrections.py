"""Corrected quarantine files: their rows replace rows of the export, which is then validated again as a whole.

A store keeps the rows of its export as they were read, in one Parquet file beside the audits. Corrected rows replace
them by `source_row`. All rows are validated again, so the store equals the one of a correct export. That includes
duplicates, weights and the formats inferred from the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import QUARANTINE_COLUMNS, ColumnMapping
from rca_lib.intake.file_types import WORKBOOK_SIGNATURES, is_database, read_magic_bytes
from rca_lib.intake.sources import SourceTable
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.intake.workbooks import read_workbook
from rca_lib.io.duckdb_connection import execute, quote_literal

EXPORT_ROWS_FILE = "export_rows"  # a Parquet file
METADATA_KEY = "about"  # of the Parquet file, with the fields of `SourceTable`
MAX_HEADER_BYTES = 1 << 20  # of the first line of a text file
MIN_EQUAL_CELLS = 0.5  # share of equal cells from which a row is a corrected form of another
CORRECTION_REPAIR = "corrected in the quarantine file"
OTHER_STORE_HINT = "ingest it with the store of its own export; or ingest that export first"


def is_quarantine_file(source: Any) -> bool:
    """Return whether a source is a quarantine file, by its last three columns: source_row, reason, suggestion.

    Parameters
    ----------
    source
        A path, a pandas frame, a DB-API connection or None.
    """
    if isinstance(source, pd.DataFrame):
        return tuple(source.columns[-3:]) == QUARANTINE_COLUMNS
    if source is None or hasattr(source, "cursor") or not Path(source).is_file():
        return False
    magic_bytes = read_magic_bytes(Path(source))
    if is_database(magic_bytes):
        return False
    if magic_bytes.startswith(WORKBOOK_SIGNATURES):
        try:
            return read_workbook(Path(source), ColumnMapping(header_row=1)).names[-3:] == QUARANTINE_COLUMNS
        except DataError:
            return False  # the ingest of the workbook reports the problem
    with Path(source).open("rb") as handle:
        header = handle.readline(MAX_HEADER_BYTES).decode("utf-8", "replace")
    names = header.replace(";", ",").replace("\t", ",").split(",")
    return tuple(name.strip(' "\r\n\ufeff') for name in names[-3:]) == QUARANTINE_COLUMNS


def make_quarantine_mapping(mapping: ColumnMapping) -> ColumnMapping:
    """Return the mapping for a quarantine file: the package wrote the file, however the export was written."""
    file_settings = ("encoding", "delimiter", "quote", "escape", "sheet", "query")
    return mapping.model_copy(update=dict.fromkeys(file_settings) | {"header_row": 1})


def drop_quarantine_columns(names: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Return the column names without those that a quarantine file adds, and whether it is one.

    Examples
    --------
    >>> drop_quarantine_columns(("label", "source_row", "reason", "suggestion"))
    (('label',), True)
    """
    is_quarantine = names[-len(QUARANTINE_COLUMNS) :] == QUARANTINE_COLUMNS
    return (names[: -len(QUARANTINE_COLUMNS)] if is_quarantine else names), is_quarantine


# Rows of the export --------------------------------------------------------------------------------------------------


def write_export_rows(connection: duckdb.DuckDBPyConnection, table: SourceTable, path: Path) -> None:
    """Write the rows of an export as they were read, with the fields of `table` as metadata."""
    metadata = {
        "name": table.name,
        "sha256": table.sha256,
        "names": table.names,
        "repairs": table.repairs,
        "decimal": table.decimal,
        "date_origin": table.date_origin,
        "ambiguous_number_columns": sorted(table.ambiguous_number_columns),
        "max_days": list(table.max_days.items()),
    }
    text = quote_literal(json.dumps(metadata, ensure_ascii=False))
    execute(
        connection,
        "create table if not exists corrected_rows (row bigint); "
        "copy (select raw.*, row in (from corrected_rows) as is_corrected from raw order by row) "
        f"to {quote_literal(str(path))} (format parquet, compression zstd, kv_metadata {{{METADATA_KEY}: {text}}})",
    )


def _read_export_metadata(connection: duckdb.DuckDBPyConnection, rows_file: Path) -> SourceTable:
    """Return what `write_export_rows` stored of the export."""
    query = (
        f"select decode(value) from parquet_kv_metadata({quote_literal(str(rows_file))}) "
        f"where decode(key) = {quote_literal(METADATA_KEY)}"
    )
    metadata = json.loads(connection.sql(query).fetchall()[0][0])
    for name in ("names", "repairs"):
        metadata[name] = tuple(metadata[name])
    metadata["ambiguous_number_columns"] = frozenset(metadata["ambiguous_number_columns"])
    metadata["max_days"] = dict(metadata["max_days"])
    return SourceTable(**metadata)


# Corrections ---------------------------------------------------------------------------------------------------------


def merge_corrections(connection: duckdb.DuckDBPyConnection, corrections: SourceTable, rows_file: Path) -> SourceTable:
    """Replace rows of an export by the rows of a corrected quarantine file.

    Parameters
    ----------
    connection
        The connection. Its `raw` holds the rows of the quarantine file, and afterwards those of the export, with the
        corrected rows in place.
    corrections
        The quarantine file.
    rows_file
        The file in the store with the rows of the export.

    Returns
    -------
    SourceTable
        The export.

    Raises
    ------
    DataError
        If the quarantine belongs to another export. That is the case if the columns differ, if a source_row is not in
        the export or occurs twice, or if fewer than half of the cells of a row equal those of the export's row.
    """
    export = _read_export_metadata(connection, rows_file)
    execute_script(connection, "formula_injection.sql")
    names = _match_columns(corrections, export)
    cells = ", ".join(f"unescape_formula(c{names.index(name)}) as c{n}" for n, name in enumerate(export.names))
    row_cell = f"c{len(names)}"
    execute(
        connection,
        f"create table correction_rows as select row as line, try_cast(trim({row_cell}) as bigint) as row, "
        f"{row_cell} as source_row, {cells} from raw",
    )
    execute(connection, f"create table stored_rows as from read_parquet({quote_literal(str(rows_file))})")
    _reject_foreign_rows(connection, corrections, export)
    positions = range(len(export.names))
    columns = ", ".join(f"c{n}" for n in positions)
    corrected_columns = ", ".join(f"correction_rows.c{n}" for n in positions)
    differs = " or ".join(
        f"nullif(correction_rows.c{n}, '') is distinct from nullif(stored_rows.c{n}, '')" for n in positions
    )
    execute(
        connection,
        f"create table changed_rows as select correction_rows.row, {corrected_columns} "
        f"from correction_rows join stored_rows using (row) where {differs}; "
        "create table corrected_rows as select row from stored_rows where is_corrected "
        "union select row from changed_rows; "
        "drop view raw; "
        f"create view raw as select row, record_issue, {columns} from stored_rows "
        "where row not in (select row from changed_rows) "
        f"union all select row, null, {columns} from changed_rows",
    )
    return export


def _match_columns(corrections: SourceTable, export: SourceTable) -> list[str]:
    """Return the names of the corrected columns as the export spells them, without apostrophes against formulas."""
    names = [name[1:] if name.startswith("'") and name[1:] in export.names else name for name in corrections.names[:-3]]
    if sorted(names) != sorted(export.names):
        missing = [name for name in export.names if name not in names]
        unknown = [name for name in names if name not in export.names]
        column = next(iter(missing or unknown), None)
        problem = f"{corrections.name} is not a quarantine of {export.name}: the columns differ"
        raise DataError(problem, column=column, hint=OTHER_STORE_HINT)
    return names


def _reject_foreign_rows(connection: duckdb.DuckDBPyConnection, corrections: SourceTable, export: SourceTable) -> None:
    """Raise an error if corrected rows do not belong to the export."""

    def reject(problem: str, query: str, hint: str) -> None:
        rows = connection.sql(f"{query} order by all").fetchall()
        if rows:
            first = {"row of the file": rows[0][0], "source_row": rows[0][1]}
            problem = f"{corrections.name}: {problem}"
            raise DataError(problem, column="source_row", rows=len(rows), first=first, hint=hint)

    invalid = "select line, source_row from correction_rows where row is null"
    reject("a source_row is not a number", invalid, "restore the column")
    repeated = "select max(line), row from correction_rows group by row having count(*) > 1"
    reject("a source_row occurs twice", repeated, "keep one row of each")
    unknown = "select line, row from correction_rows where row not in (select row from stored_rows)"
    reject(f"a source_row is not in {export.name}", unknown, OTHER_STORE_HINT)
    positions = range(len(export.names))
    filled = " + ".join(f"(coalesce(correction_rows.c{n}, stored_rows.c{n}) is not null)::int" for n in positions)
    equal = " + ".join(f"coalesce(correction_rows.c{n} = stored_rows.c{n}, false)::int" for n in positions)
    foreign = (
        "select line, row from correction_rows join stored_rows using (row) "
        f"where ({equal}) < {MIN_EQUAL_CELLS} * ({filled})"
    )
    reject(f"a row is not that of {export.name}", foreign, OTHER_STORE_HINT)


def reapply_corrections(
    connection: duckdb.DuckDBPyConnection, table: SourceTable, rows_file: Path
) -> tuple[SourceTable, int]:
    """Apply the corrections in a store to the same export, which was read again.

    Parameters
    ----------
    connection
        The connection, with the rows of the export as `raw`.
    table
        The export.
    rows_file
        The file in the store with the rows of the earlier export.

    Returns
    -------
    SourceTable, int
        The export, and the number of corrections that do not apply because the store held another export.
    """
    export = _read_export_metadata(connection, rows_file)
    scan = f"read_parquet({quote_literal(str(rows_file))})"
    ((corrected,),) = connection.sql(f"select count(*) from {scan} where is_corrected").fetchall()
    if not corrected or export.sha256 != table.sha256 or export.names != table.names:
        return table, corrected
    columns = ", ".join(f"c{n}" for n in range(len(table.names)))
    execute(
        connection,
        f"create table stored_rows as select row, record_issue, {columns} from raw; "
        f"create table changed_rows as select row, record_issue, {columns} from {scan} where is_corrected; "
        "create table corrected_rows as select row from changed_rows; drop view raw; "
        "create view raw as from stored_rows where row not in (from corrected_rows) union all from changed_rows",
    )
    return table, 0
