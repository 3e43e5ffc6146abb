# Tested in tests/intake/test_ingest.py.
"""Reading of any source into the DuckDB table `raw`, with every cell as text.

`raw` has one row per record. `row` is the row number in the file, as a spreadsheet counts; in JSON it is the number of
the record, in NDJSON that of the line. `record_issue` is NULL for a regular record; otherwise it says why the row is
not a record, or what was repaired (see `csv_dialect`). The cells are `c0`, `c1` … in the order of the header. DuckDB
reads Parquet and JSON itself. Text files, workbooks and query results are read by Python and pass through a staged CSV.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.findings import DataError
from rca_lib.intake.archives import unpack
from rca_lib.intake.column_mapping import ColumnMapping, normalize_header
from rca_lib.intake.csv_dialect import MAX_CELL_CHARS, Record, read_csv
from rca_lib.intake.file_types import (
    PARQUET,
    SQLITE,
    WORKBOOK_SIGNATURES,
    is_database,
    is_json,
    read_magic_bytes,
    reject_unsupported_file,
)
from rca_lib.intake.json_files import read_json
from rca_lib.intake.workbooks import DATE_ORIGIN, CellTypes, format_records, read_workbook
from rca_lib.io.duckdb_connection import (
    connect_duckdb,
    execute,
    find_query_files,
    quote_identifier,
    quote_literal,
    set_memory_limit,
    validate_select,
)
from rca_lib.io.hashing import compute_sha256

FIRST_DATA_ROW = 2  # of a file whose header is its first row
FIRST_RECORD = 1  # of JSON: its first record, or the first line of NDJSON
FETCH_ROWS = 10_000  # of a query result, read at a time
MAX_ROW_BYTES = 2 * MAX_CELL_CHARS  # of a staged row
BUFFER_BYTES = 8 * MAX_CELL_CHARS  # DuckDB needs room for several rows
STAGED_FILE = "staged.csv"
REPEATED_HEADER = "the header line again"  # validation.sql matches it
HARMFUL_FUNCTIONS = ("load_extension", "readfile", "writefile", "edit", "fts3_tokenizer")
SQLITE_READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)


@dataclass(frozen=True, slots=True)
class SourceTable:
    """What is known of a source, apart from its rows.

    `repairs` concern every row. `decimal` is the decimal mark of typed numbers, None if no cell has a type.
    `date_origin` is day 0 of serial dates. `ambiguous_number_columns` are the positions of columns with untyped text
    such as 1.250, which may mean 1250 or 1.25. `max_days` has the highest day of the month by position of a column with
    typed dates.
    """

    name: str
    sha256: str
    names: tuple[str, ...]
    repairs: tuple[str, ...] = ()
    decimal: str | None = None
    date_origin: str = DATE_ORIGIN
    ambiguous_number_columns: frozenset[int] = frozenset()
    max_days: dict[int, int] = field(default_factory=dict)


def read_source(
    connection: duckdb.DuckDBPyConnection, source: Any, mapping: ColumnMapping, work_folder: Path
) -> SourceTable:
    """Read a file, a frame or the result of a query into the table `raw`.

    Parameters
    ----------
    connection
        The DuckDB connection that gets `raw`.
    source
        A path, a pandas frame, an open DB-API connection, or None. The content of a file decides its type, not its
        name. None means that the mapping's query names the files.
    mapping
        How the source writes audits. Its query runs on a SQLite or DuckDB file, on an open DB-API connection, or
        without a source on DuckDB.
    work_folder
        A folder for staged files.

    Returns
    -------
    SourceTable
        The header, the hash, and what the reader found out about the cells.

    Raises
    ------
    DataError
        If the source is missing, empty or a folder; if its file type is not supported; or if it has no rows below the
        header.
    """
    if isinstance(source, pd.DataFrame):
        table = _read_frame(connection, source, mapping, work_folder)
    elif source is None or hasattr(source, "cursor"):
        if source is None and mapping.query:
            validate_select(mapping.query)
        table = _read_query(connection, source or connection.cursor(), mapping, work_folder, "a query")
    else:
        table = _read_file(connection, Path(source), mapping, work_folder)
    if not connection.sql("select 1 from raw limit 1").fetchall():
        raise DataError(f"{table.name} has a header and no rows", hint="export it again, with its rows")
    return table


def list_source_files(source: Any, mapping: ColumnMapping) -> tuple[Path, ...]:
    """Return the files that DuckDB itself must read for a source; the connection is opened for these only.

    Without a source, they are the table files (CSV, TSV, Parquet, JSON) in the literals of the mapping's query.
    """
    if source is None:
        return find_query_files(mapping.query or "")
    return () if isinstance(source, pd.DataFrame) or hasattr(source, "cursor") else (Path(source),)


def _read_file(
    connection: duckdb.DuckDBPyConnection, path: Path, mapping: ColumnMapping, work_folder: Path
) -> SourceTable:
    """Read a file by its type, and unpack it first where it is compressed."""
    read_magic_bytes(path)
    unpacked = unpack(path, work_folder)
    if unpacked != path:
        content = _read_file(connection, unpacked, mapping, work_folder)
        return replace(content, name=path.name, sha256=compute_sha256(path))
    magic_bytes = read_magic_bytes(path)
    if is_database(magic_bytes):
        if mapping.query and not magic_bytes.startswith(SQLITE):
            validate_select(mapping.query)
        with closing(_open_database(path, magic_bytes)) as database:
            return _read_query(connection, database, mapping, work_folder, path.name)
    if mapping.query:
        problem = f"the mapping has a query, and {path.name} is not a database"
        raise DataError(problem, hint="remove query from the mapping, or name a SQLite or DuckDB file")
    if is_json(magic_bytes):
        return _read_json(connection, path, mapping)
    reject_unsupported_file(path.name, magic_bytes)
    if magic_bytes.startswith(WORKBOOK_SIGNATURES):
        return _read_workbook(connection, path, mapping, work_folder)
    if magic_bytes.startswith(PARQUET):
        return _read_parquet(connection, path, mapping, path.name)
    table = read_csv(path, mapping)
    _stage_records(connection, table.records, table.names, work_folder, table.header_offset + FIRST_DATA_ROW)
    return SourceTable(path.name, compute_sha256(path), table.names, tuple(table.repairs))


# Staging -------------------------------------------------------------------------------------------------------------


def _stage_records(
    connection: duckdb.DuckDBPyConnection,
    records: Iterator[Record],
    header: Sequence[str],
    work_folder: Path,
    first_row: int = FIRST_DATA_ROW,
) -> None:
    """Write records to a staged file, and load it as `raw`; `first_row` is the row number of the first record."""
    path = work_folder / STAGED_FILE
    names = ["record_issue", *(f"c{position}" for position in range(len(header)))]
    with path.open("w", encoding="utf-8", errors="replace", newline="") as handle:
        writer = csv.writer(handle)  # CR LF, so that a lone CR or LF in a cell is quoted
        writer.writerow(names)
        writer.writerows([_describe_repeated_header(cells, header) or issue, *cells] for issue, cells in records)
    types = ", ".join(f"{name}: 'VARCHAR'" for name in names)
    options = (
        f"delim=',', quote='\"', escape='\"', header=true, auto_detect=false, columns={{{types}}}, "
        f"max_line_size={MAX_ROW_BYTES}, buffer_size={BUFFER_BYTES}"
    )
    set_memory_limit(connection, len(header))
    try:
        execute(connection, f"create table loaded as from read_csv({quote_literal(str(path))}, {options})")
    except duckdb.InvalidInputException:
        problem = f"a row is longer than {MAX_ROW_BYTES:,} bytes"
        raise DataError(problem, hint="leave the long column out of the export") from None
    execute(connection, f"create view raw as select rowid + {first_row} as row, * from loaded")


def _describe_repeated_header(cells: Sequence[object], header: Sequence[str]) -> str:
    """Return the issue of a row that repeats the header, as in concatenated files; "" for any other row."""
    first_cell = str(cells[0]).strip() if cells else ""
    is_header = first_cell and first_cell == header[0] and normalize_header(cells) == tuple(header)
    return REPEATED_HEADER if is_header else ""


# Frames, Parquet, workbooks, queries ---------------------------------------------------------------------------------


def _read_frame(
    connection: duckdb.DuckDBPyConnection, frame: pd.DataFrame, mapping: ColumnMapping, work_folder: Path
) -> SourceTable:
    """Read a pandas frame by way of a Parquet file, which keeps its types."""
    if mapping.query:
        problem = "the mapping has a query, and a frame is not a database"
        raise DataError(problem, hint="remove query from the mapping")
    connection.register("frame", frame)
    path = work_folder / "frame.parquet"
    execute(connection, f"copy (from frame) to {quote_literal(str(path))} (format parquet)")
    return _read_parquet(connection, path, mapping, "a table")


def _read_parquet(connection: duckdb.DuckDBPyConnection, path: Path, mapping: ColumnMapping, name: str) -> SourceTable:
    scan = f"read_parquet({quote_literal(str(path))}, hive_partitioning=false, file_row_number=true)"
    columns = connection.sql(f"describe select * exclude (file_row_number) from {scan}").fetchall()
    decimal = mapping.decimal or "."
    cells = [
        f"{_build_cast_sql(column, kind, decimal)} as c{position}"
        for position, (column, kind, *_) in enumerate(columns)
    ]
    rows = f"file_row_number + {FIRST_DATA_ROW} as row, null::varchar as record_issue"
    execute(connection, f"create view raw as select {rows}, {', '.join(cells)} from {scan}")
    text_columns = frozenset(position for position, (_, kind, *_) in enumerate(columns) if kind == "VARCHAR")
    names = normalize_header([column for column, *_ in columns])
    return SourceTable(name, compute_sha256(path), names, decimal=decimal, ambiguous_number_columns=text_columns)


def _build_cast_sql(column: str, kind: str, decimal: str) -> str:
    """Return the SQL that writes a typed column as text."""
    is_nested = kind.endswith(("]", ")")) and not kind.startswith("DECIMAL")  # lists and structs hold sets of labels
    if is_nested:
        return f"to_json({quote_identifier(column)})::varchar"
    text = f"cast({quote_identifier(column)} as varchar)"
    has_decimals = kind.startswith(("DOUBLE", "FLOAT", "DECIMAL"))
    return f"replace({text}, '.', ',')" if decimal == "," and has_decimals else text


def _read_json(connection: duckdb.DuckDBPyConnection, path: Path, mapping: ColumnMapping) -> SourceTable:
    decimal = mapping.decimal or "."
    table = read_json(connection, path, mapping.records, decimal)
    execute(connection, f"create view raw as select rowid + {FIRST_RECORD} as row, * from loaded")
    return SourceTable(
        path.name, compute_sha256(path), table.names, decimal=decimal, ambiguous_number_columns=table.text_columns
    )


def _read_workbook(
    connection: duckdb.DuckDBPyConnection, path: Path, mapping: ColumnMapping, work_folder: Path
) -> SourceTable:
    sheet = read_workbook(path, mapping)
    _stage_records(connection, sheet.records, sheet.names, work_folder, sheet.header_offset + FIRST_DATA_ROW)
    return SourceTable(
        path.name,
        compute_sha256(path),
        sheet.names,
        ("title rows above the header",) if sheet.header_offset else (),
        mapping.decimal or ".",
        sheet.date_origin,
        ambiguous_number_columns=frozenset(sheet.types.ambiguous_number_columns),
        max_days=sheet.types.max_days,
    )


def _read_query(
    connection: duckdb.DuckDBPyConnection, database: Any, mapping: ColumnMapping, work_folder: Path, name: str
) -> SourceTable:
    """Read the result of the mapping's query on a DB-API connection."""
    if not mapping.query:
        raise DataError(f"{name}: a database needs a query", hint="write query: in the mapping")
    cursor = database.cursor()
    decimal = mapping.decimal or "."
    types = CellTypes()
    try:
        cursor.execute(mapping.query)
        names = normalize_header([column[0] for column in cursor.description or ()])
        rows = chain.from_iterable(iter(lambda: cursor.fetchmany(FETCH_ROWS), []))
        _stage_records(connection, format_records(rows, decimal, types), names, work_folder)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has its own errors, and their texts may show the address
        problem = f"the query failed ({type(error).__name__})"
        raise DataError(problem, hint="run it by hand on that connection") from None
    return SourceTable(
        name,
        compute_sha256(work_folder / STAGED_FILE),
        names,
        decimal=decimal,
        ambiguous_number_columns=frozenset(types.ambiguous_number_columns),
    )


def _open_database(path: Path, magic_bytes: bytes) -> Any:
    """Open a database file so that its query and its views reach nothing but the file."""
    if magic_bytes.startswith(SQLITE):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        database.execute("pragma trusted_schema = off")
        database.set_authorizer(_authorize_select)
        return database
    return connect_duckdb(path, read_only=True)


def _authorize_select(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Let SQLite select and nothing else: no other database, no file, no setting, no extension."""
    is_harmful = action == sqlite3.SQLITE_FUNCTION and str(second).casefold() in HARMFUL_FUNCTIONS
    return sqlite3.SQLITE_OK if action in SQLITE_READING and not is_harmful else sqlite3.SQLITE_DENY
