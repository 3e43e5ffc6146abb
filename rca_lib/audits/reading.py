"""Reading: any source becomes the DuckDB table `raw`, every cell as text (see `csv_files`), nothing lost."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import BadZipFile

import duckdb
import openpyxl
import pandas as pd
import python_calamine

from rca_lib.audits.csv_files import HEADER_ROWS, MAX_LINE, Source, find_header_row, load_csv, read_csv, run, write_rows
from rca_lib.audits.mapping import Mapping, identifier, quote, show_nearest, tidy_names
from rca_lib.findings import DataError

EXACT_NUMBERS = 10**15
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
DATABASES = {b"SQLite f": "sqlite", b"DUCK": "duckdb"}
FOREIGN = {
    b"\x1f\x8b": ("a gzip archive", "unpack it"),
    b"%PDF": ("a PDF", "export CSV, XLSX or Parquet"),
    b"<": ("a web page or XML", "open it in a spreadsheet and save it as XLSX"),
    b"{": ("JSON", "export CSV, XLSX or Parquet"),
}


def read_source(engine: duckdb.DuckDBPyConnection, source: Any, mapping: Mapping, work: Path) -> Source:
    """Read a file, a frame or the result of a query into `raw`; `work` is a folder for passing files.

    A file is read for what it holds, whatever its name ends in. A query runs on the connection given, on the database
    file given, or on the one that the environment variable named by the mapping points to; else on DuckDB, which
    reads files itself.

    Raises
    ------
    DataError
        If the source is missing, empty, a folder, of a kind that is not read, or has no rows below its header.
    """
    if isinstance(source, pd.DataFrame):
        engine.register("frame", source)
        engine.execute(
            f"copy (select * from frame) to {quote(str(work / 'frame.parquet'))} (format parquet)"
        ).fetchall()
        read = _read_parquet(engine, work / "frame.parquet", mapping, "a table")
    elif source is None or hasattr(source, "cursor"):
        read = _read_query(engine, source, mapping, work)
    else:
        read = _read_file(engine, Path(source), mapping, work)
    if not read.blank and not engine.sql("select 1 from raw limit 1").fetchall():
        raise DataError(f"{read.name} has a header and no rows", mend="export it again, with its rows")
    return read


def _read_file(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, work: Path) -> Source:
    start = _first_bytes(path)
    for magic, (kind, mend) in FOREIGN.items():
        if start.startswith(magic):
            raise DataError(f"{path.name} is {kind}, not a table", mend=mend)
    if start.startswith(WORKBOOKS):
        return _read_workbook(engine, path, mapping, work)
    if start.startswith(b"PAR1"):
        return _read_parquet(engine, path, mapping, path.name)
    scheme = DATABASES.get(start[:8]) or DATABASES.get(start[8:12])
    if scheme:
        with closing(_open_database(scheme, path)) as database:
            return _run_query(engine, database, mapping, work, path.name)
    return read_csv(engine, path, mapping, work)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path.name} is a folder", mend="give one file")
    if not path.exists():
        raise DataError(f"there is no file {path}", mend="check the path")
    with path.open("rb") as handle:
        start = handle.read(64)
    if not start.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"):
        raise DataError(f"{path.name} is empty", mend="export it again")
    return start


# Parquet and frames --------------------------------------------------------------------------------------------------


def _read_parquet(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, name: str) -> Source:
    scan = f"read_parquet({quote(str(path))}, hive_partitioning=false)"
    described = engine.sql(f"describe from {scan}").fetchall()
    decimal = mapping.decimal or "."
    cells = [
        f"{_as_text(identifier(column), kind, decimal)} as c{place}"
        for place, (column, kind, *_) in enumerate(described)
    ]
    run(
        engine,
        f"create view raw as select file_row_number + 2 as row, null::varchar as rejected, {', '.join(cells)} "
        f"from read_parquet({quote(str(path))}, hive_partitioning=false, file_row_number=true)",
    )
    return Source(name, hash_file(path), tidy_names([column for column, *_ in described]), decimal=decimal)


def _as_text(cell: str, kind: str, decimal: str) -> str:
    text = f"cast({cell} as varchar)"
    return f"replace({text}, '.', ',')" if decimal == "," and kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")) else text


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


# workbooks -----------------------------------------------------------------------------------------------------------


def _read_workbook(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, work: Path) -> Source:
    try:
        sheets = python_calamine.CalamineWorkbook.from_path(str(path))
        sheet = _choose_sheet(sheets, mapping, path.name)
    except (python_calamine.CalamineError, OSError) as error:
        raise DataError(f"{path.name} is no readable workbook: {error}", mend="save it again as XLSX") from None
    rows = sheet.iter_rows()
    top = [row for _, row in zip(range(HEADER_ROWS), rows, strict=False)]
    above, _ = find_header_row(top, mapping)
    repairs = ["title rows above the header"] * (above > 0)
    epoch = "1904-01-01" if _counts_from_1904(path) else "1899-12-30"
    decimal = mapping.decimal or "."
    body = chain(top[above + 1 :], rows)
    names = tidy_names(top[above])
    _stage(engine, ([_cell_text(cell, decimal) for cell in row] for row in body), names, work, above + 2)
    return Source(path.name, hash_file(path), names, 0, tuple(repairs), decimal, epoch)


def _choose_sheet(book: Any, mapping: Mapping, name: str) -> Any:
    filled = [sheet for sheet in book.sheet_names if book.get_sheet_by_name(sheet).total_height]
    if mapping.sheet:
        if mapping.sheet not in book.sheet_names:
            near = show_nearest(mapping.sheet, book.sheet_names)
            raise DataError(f"{name} has no sheet {mapping.sheet!r}", mend=f"correct sheet in the mapping: {near}")
        return book.get_sheet_by_name(mapping.sheet)
    if len(filled) > 1:
        raise DataError(f"{name} has {len(filled)} sheets", mend=f"name one under sheet: {', '.join(filled)}")
    if not filled:
        raise DataError(f"{name} is empty", mend="export it again")
    return book.get_sheet_by_name(filled[0])


def _counts_from_1904(path: Path) -> bool:
    """Excel for Mac's old calendar; only the workbook itself can say so, and only XLSX does."""
    try:
        with path.open("rb") as handle:
            return openpyxl.load_workbook(handle, read_only=True).epoch.year == 1904
    except (openpyxl.utils.exceptions.InvalidFileException, BadZipFile, KeyError, ValueError):
        return False


def _cell_text(cell: object, decimal: str) -> str:
    """Write a typed cell; numbers beyond the 15 digits that Excel keeps are written so that ids show the loss."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and abs(cell) >= EXACT_NUMBERS:
        return f"{cell:.5E}".replace(".", decimal)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell).replace(".", decimal)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return str(cell)


def _stage(
    engine: duckdb.DuckDBPyConnection, rows: Iterator[Sequence[object]], names: Sequence[str], work: Path, first: int
) -> None:
    cells = [f"c{place}" for place in range(len(names))]
    count = write_rows(work / "staged.csv", rows, cells)
    load_csv(engine, "loaded", work / "staged.csv", cells)
    if count != engine.sql("select count(*) from loaded").fetchall()[0][0]:
        raise DataError(f"a row is longer than {MAX_LINE:,} bytes", mend="leave the long column out of the export")
    listed = ", ".join(cells)
    run(engine, f"create view raw as select rowid + {first} as row, null::varchar as rejected, {listed} from loaded")


# queries -------------------------------------------------------------------------------------------------------------


def _read_query(engine: duckdb.DuckDBPyConnection, source: Any, mapping: Mapping, work: Path) -> Source:
    if source is not None:
        return _run_query(engine, source, mapping, work, "a query")
    with closing(_open_by_name(mapping)) as database:
        return _run_query(engine, database, mapping, work, "a query")


def _run_query(engine: duckdb.DuckDBPyConnection, connection: Any, mapping: Mapping, work: Path, name: str) -> Source:
    if not mapping.query:
        raise DataError(f"{name}: a database needs a query", mend="write query: in the mapping")
    cursor = connection.cursor()
    try:
        cursor.execute(mapping.query)
        names = tidy_names([column[0] for column in cursor.description or ()])
        _stage(engine, _fetch(cursor, mapping.decimal or "."), names, work, 2)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own, and their texts may show the address
        raise DataError(
            f"the query failed ({type(error).__name__})", mend="run it by hand on that connection"
        ) from None
    return Source(name, hash_file(work / "staged.csv"), names, decimal=mapping.decimal or ".")


def _fetch(cursor: Any, decimal: str) -> Iterator[list[str]]:
    while batch := cursor.fetchmany(10_000):
        for row in batch:
            yield [_cell_text(cell, decimal) for cell in row]


def _open_by_name(mapping: Mapping) -> Any:
    """Open the database whose address stands in the environment variable that the mapping names."""
    if not mapping.connection:
        return duckdb.connect()
    address = os.environ.get(mapping.connection, "")
    scheme, _, path = address.partition(":///")
    if not address:
        mend = f"set {mapping.connection} to an address such as sqlite:///audits.db"
        raise DataError(f"the environment has no variable {mapping.connection}", mend=mend)
    if scheme not in DATABASES.values():
        mend = "write sqlite:///FILE or duckdb:///FILE into it, or pass an open DB-API connection from Python"
        raise DataError(f"the address in {mapping.connection} is of a kind that is not opened", mend=mend)
    return _open_database(scheme, Path(unquote(path)))


def _open_database(scheme: str, path: Path) -> Any:
    """Open a database file to read; no message says where it is."""
    try:
        if scheme == "duckdb":
            return duckdb.connect(str(path), read_only=True)
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except (duckdb.Error, sqlite3.Error) as error:
        raise DataError(f"the database cannot be opened ({type(error).__name__})", mend="check its address") from None
