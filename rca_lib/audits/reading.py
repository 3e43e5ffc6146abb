"""Reading: any source becomes the DuckDB table `raw`, every cell as text, nothing lost.

`raw` has a row per record: `row` (its row in the file, as a spreadsheet counts), `rejected` (why it is no record of the
table, else NULL) and the cells `c0`, `c1` … in the order of the header. What Python has to read (text of any encoding,
workbooks, databases) passes through a staged file that DuckDB loads.
"""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.csv_files import MAX_CELL, Record, read_csv
from rca_lib.audits.engine import check_select, find_files, open_engine, set_memory
from rca_lib.audits.file_kinds import PARQUET, SQLITE, WORKBOOKS, is_database, read_start, refuse_others
from rca_lib.audits.mapping import Mapping, identifier, quote, tidy_names
from rca_lib.audits.workbooks import CellTypes, as_records, read_workbook
from rca_lib.findings import DataError

HARMFUL_FUNCTIONS = ("load_extension", "readfile", "writefile", "edit", "fts3_tokenizer")


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: name, SHA-256, column names, and the repairs that touched every row.

    `decimal` is the mark that typed numbers were written with, None where no cell has a type. `number_texts` are the
    places of columns in which a text that is no typed cell looks like a number such as 1.250. `typed_days` has the
    highest day of the month per place of a column with typed dates. `epoch` is day 0 of serial dates.
    """

    name: str
    sha256: str
    names: tuple[str, ...]
    repairs: tuple[str, ...] = ()
    decimal: str | None = None
    epoch: str = "1899-12-30"
    number_texts: frozenset[int] = frozenset()
    typed_days: dict[int, int] = field(default_factory=dict)


def read_source(engine: duckdb.DuckDBPyConnection, source: Any, mapping: Mapping, work: Path) -> Source:
    """Read a file, a frame or the result of a query into `raw`; `work` is a folder for passing files.

    A file is read for what it holds, whatever its name ends in. The mapping's query runs on a SQLite or DuckDB file, on
    an open DB-API connection, or, without any source, on DuckDB itself, which reads files.

    Raises
    ------
    DataError
        If the source is missing, empty, a folder, of a kind that is not read, or has no rows below its header.
    """
    if isinstance(source, pd.DataFrame):
        if mapping.query:
            raise DataError("the mapping has a query, and a frame is no database", mend="remove query from the mapping")
        engine.register("frame", source)
        path = work / "frame.parquet"
        run(engine, f"copy (from frame) to {quote(str(path))} (format parquet)")
        read = _read_parquet(engine, path, mapping, "a table")
    elif source is None or hasattr(source, "cursor"):
        if source is None and mapping.query:
            check_select(mapping.query)
        read = _read_query(engine, source or engine.cursor(), mapping, work, "a query")
    else:
        read = _read_file(engine, Path(source), mapping, work)
    if not engine.sql("select 1 from raw limit 1").fetchall():
        raise DataError(f"{read.name} has a header and no rows", mend="export it again, with its rows")
    return read


def _read_file(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, work: Path) -> Source:
    start = read_start(path)
    database = is_database(start)
    if mapping.query and not database:
        problem = f"the mapping has a query, and {path.name} is no database"
        raise DataError(problem, mend="remove query from the mapping, or give a SQLite or DuckDB file")
    if not database:
        refuse_others(path.name, start)
    if start.startswith(WORKBOOKS) and not database:
        return _read_workbook(engine, path, mapping, work)
    if start.startswith(PARQUET) and not database:
        return _read_parquet(engine, path, mapping, path.name)
    if database:
        if mapping.query and not start.startswith(SQLITE):
            check_select(mapping.query)
        with closing(_open_database(path, start)) as opened:
            return _read_query(engine, opened, mapping, work, path.name)
    text = read_csv(path, mapping)
    _stage(engine, text.records, text.names, work, text.above + 2)
    return Source(path.name, hash_file(path), text.names, tuple(text.repairs))


def list_files(source: Any, mapping: Mapping) -> tuple[Path, ...]:
    """Return the files that the engine itself has to read for a source: it is opened for these alone.

    A query without a source names its files itself: tables (CSV, TSV, Parquet, JSON) in literals.
    """
    if source is None:
        return find_files(mapping.query or "")
    return () if isinstance(source, pd.DataFrame) or hasattr(source, "cursor") else (Path(source),)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _stage(
    engine: duckdb.DuckDBPyConnection, records: Iterator[Record], header: Sequence[str], work: Path, first: int = 2
) -> None:
    """Write records to a passing file that DuckDB loads as `raw`; `first` is the row of the first one."""
    path, names = work / "staged.csv", ["rejected", *(f"c{place}" for place in range(len(header)))]
    with path.open("w", encoding="utf-8", errors="replace", newline="") as handle:
        out = csv.writer(handle)  # CR LF, so that a lone CR or LF in a cell is quoted
        out.writerow(names)
        out.writerows([_is_header(cells, header) or wrong, *cells] for wrong, cells in records)
    types = ", ".join(f"{name}: 'VARCHAR'" for name in names)
    how = f"delim=',', quote='\"', escape='\"', header=true, auto_detect=false, columns={{{types}}}"
    room = f"max_line_size={2 * MAX_CELL}, buffer_size={8 * MAX_CELL}"
    set_memory(engine, len(header))
    try:
        run(engine, f"create table loaded as from read_csv({quote(str(path))}, {how}, {room})")
    except duckdb.InvalidInputException:
        problem = f"a row is longer than {2 * MAX_CELL:,} bytes"
        raise DataError(problem, mend="leave the long column out of the export") from None
    run(engine, f"create view raw as select rowid + {first} as row, * from loaded")


def _is_header(cells: Sequence[object], header: Sequence[str]) -> str:
    """Say so where a row is the header once more, as in files that were put one below the other."""
    first = str(cells[0]).strip() if cells else ""
    return "the header line again" if first and first == header[0] and tidy_names(cells) == tuple(header) else ""


def run(engine: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run statements to their end."""
    engine.execute(statement).fetchall()


def run_file(engine: duckdb.DuckDBPyConnection, name: str) -> None:
    """Run the statements of a file beside this one."""
    run(engine, files("rca_lib.audits").joinpath(name).read_text(encoding="utf-8"))


# Parquet, workbooks, queries -----------------------------------------------------------------------------------------


def _read_parquet(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, name: str) -> Source:
    scan = f"read_parquet({quote(str(path))}, hive_partitioning=false, file_row_number=true)"
    described = engine.sql(f"describe select * exclude (file_row_number) from {scan}").fetchall()
    decimal = mapping.decimal or "."
    cells = [f"{_as_text(column, kind, decimal)} as c{n}" for n, (column, kind, *_) in enumerate(described)]
    rows = "file_row_number + 2 as row, null::varchar as rejected"
    run(engine, f"create view raw as select {rows}, {', '.join(cells)} from {scan}")
    texts = frozenset(place for place, (_, kind, *_) in enumerate(described) if kind == "VARCHAR")
    names = tidy_names([column for column, *_ in described])
    return Source(name, hash_file(path), names, decimal=decimal, number_texts=texts)


def _as_text(column: str, kind: str, decimal: str) -> str:
    if kind.endswith(("]", ")")) and not kind.startswith("DECIMAL"):  # lists and structs, which hold sets of labels
        return f"to_json({identifier(column)})::varchar"
    text = f"cast({identifier(column)} as varchar)"
    return f"replace({text}, '.', ',')" if decimal == "," and kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")) else text


def _read_workbook(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, work: Path) -> Source:
    book = read_workbook(path, mapping)
    _stage(engine, book.records, book.names, work, book.above + 2)
    types, decimal = book.types, mapping.decimal or "."
    repairs = ("title rows above the header",) if book.above else ()
    given = {"number_texts": types.number_texts, "typed_days": types.days}
    return Source(path.name, hash_file(path), book.names, repairs, decimal, book.epoch, **given)


def _allow_reading(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Let SQLite select and nothing else: no other database, no file, no setting, no extension."""
    reading = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
    harmful = action == sqlite3.SQLITE_FUNCTION and str(second).casefold() in HARMFUL_FUNCTIONS
    return sqlite3.SQLITE_OK if action in reading and not harmful else sqlite3.SQLITE_DENY


def _read_query(engine: duckdb.DuckDBPyConnection, connection: Any, mapping: Mapping, work: Path, name: str) -> Source:
    if not mapping.query:
        raise DataError(f"{name}: a database needs a query", mend="write query: in the mapping")
    cursor, decimal = connection.cursor(), mapping.decimal or "."
    try:
        cursor.execute(mapping.query)
        names = tidy_names([column[0] for column in cursor.description or ()])
        rows = chain.from_iterable(iter(lambda: cursor.fetchmany(10_000), []))
        types = CellTypes()
        _stage(engine, as_records(rows, decimal, types), names, work)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own, and their texts may show the address
        problem = f"the query failed ({type(error).__name__})"
        raise DataError(problem, mend="run it by hand on that connection") from None
    return Source(name, hash_file(work / "staged.csv"), names, decimal=decimal, number_texts=types.number_texts)


def _open_database(path: Path, start: bytes) -> Any:
    """Open a partner's database so that its query and its views reach nothing but the file."""
    if start.startswith(SQLITE):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        database.execute("pragma trusted_schema = off")
        database.set_authorizer(_allow_reading)
        return database
    return open_engine(path, read_only=True)
