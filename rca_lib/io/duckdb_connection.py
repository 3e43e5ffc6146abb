"""DuckDB connections with bounded memory and restricted access, and helpers that write SQL.

A mapping may hold a query, and a partner may send a database with views. Neither is trusted. A connection therefore
reads and writes only the folders and files that the caller lists. It cannot load extensions, use the network, or
change its settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from tempfile import gettempdir

import duckdb

from rca_lib.findings import DataError

MAX_THREADS = 4  # each thread holds its own buffers for every column
MEMORY_MB = 2000  # for queries on a store; larger data spills to the temporary folder
INGEST_MEMORY_MB = 400  # base memory of one ingest, whatever its number of columns
INGEST_MB_PER_COLUMN = 10  # a source column stands in three tables, 256 KB per block and thread
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".csv.gz", ".tsv.gz", ".json.gz")
SQL_LITERAL = re.compile(r"'((?:[^']|'')*)'")


def connect_duckdb(
    database: Path | str = ":memory:",
    *,
    folders: Sequence[Path] = (),
    files: Sequence[Path] = (),
    read_only: bool = False,
    memory_mb: int = MEMORY_MB,
    spill_folder: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB connection that reaches only the named folders and files.

    Parameters
    ----------
    database
        The database file. The default is an in-memory database.
    folders, files
        Paths that the connection may read and write. A folder includes everything below it.
    read_only
        Open the database file for reading only.
    memory_mb
        Memory limit in MB. Larger data spills to `spill_folder`. `set_memory_limit` changes the limit.
    spill_folder
        The folder for data that does not fit into memory. The default is a folder of this process in the system's
        temporary folder.

    Returns
    -------
    duckdb.DuckDBPyConnection
        A connection in the time zone UTC. It loads no extensions, attaches no other database and does not see Python
        variables. Its settings are locked, so neither a query nor a view can reach other files or the network.

    Raises
    ------
    DataError
        If the file cannot be opened as a DuckDB database.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": min(MAX_THREADS, os.cpu_count() or 1),
        "temp_directory": str(spill_folder or Path(gettempdir()) / f"rca-spill-{os.getpid()}"),
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
    }
    try:
        connection = duckdb.connect(str(database), read_only=read_only, config=settings)
    except duckdb.Error as error:
        problem = f"{Path(database).name} cannot be opened as a database ({type(error).__name__})"
        raise DataError(problem, hint="export its table as CSV, XLSX or Parquet") from None
    restrictions = (
        "set TimeZone = 'UTC'",
        f"set allowed_directories = {_format_path_list(folders)}",
        f"set allowed_paths = {_format_path_list(files)}",
        "set allowed_configs = ['memory_limit']",
        "set enable_external_access = false",
        "set lock_configuration = true",
    )
    execute(connection, "; ".join(restrictions))
    return connection


def _format_path_list(paths: Sequence[Path]) -> str:
    """Write paths as a SQL list of absolute paths."""
    return "[" + ", ".join(quote_literal(str(Path(path).absolute())) for path in paths) + "]"


def set_memory_limit(connection: duckdb.DuckDBPyConnection, columns: int) -> None:
    """Set the memory limit of an ingest from its number of source columns. The number of rows does not matter."""
    execute(connection, f"set memory_limit = '{INGEST_MEMORY_MB + INGEST_MB_PER_COLUMN * columns}MB'")


def execute(connection: duckdb.DuckDBPyConnection, statements: str) -> None:
    """Run SQL statements to completion."""
    connection.execute(statements).fetchall()


def quote_literal(text: str) -> str:
    """Write text as a SQL literal.

    Examples
    --------
    >>> quote_literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def quote_identifier(name: str) -> str:
    """Write a name as a SQL identifier.

    Examples
    --------
    >>> quote_identifier("Audit ID")
    '"Audit ID"'
    """
    return '"' + name.replace('"', '""') + '"'


def validate_select(query: str) -> None:
    """Reject a query that is not a single SELECT statement.

    Raises
    ------
    DataError
        If the query holds several statements, or a statement other than SELECT.
    """
    try:
        kinds = [statement.type.name for statement in duckdb.extract_statements(query)]
    except duckdb.Error as error:
        problem = f"the query in the mapping is not valid DuckDB SQL ({type(error).__name__})"
        raise DataError(problem, hint="correct query in the mapping") from None
    if kinds != ["SELECT"]:
        problem = f"the query in the mapping must be one SELECT, not {', '.join(kinds) or 'nothing'}"
        raise DataError(problem, hint="correct query in the mapping")


def find_query_files(query: str) -> tuple[Path, ...]:
    """Return the table files (CSV, TSV, Parquet, JSON) that a query names in its literals, with patterns expanded."""
    literals = [literal.replace("''", "'") for literal in SQL_LITERAL.findall(query)]
    names = [literal for literal in literals if literal.casefold().endswith(TABLE_SUFFIXES)]
    patterns = [name for name in names if "*" in name or "?" in name]
    matches = [file for pattern in patterns for file in sorted(glob(pattern))]  # noqa: PTH207
    return tuple(map(Path, [*names, *matches]))
