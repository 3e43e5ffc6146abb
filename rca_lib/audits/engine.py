"""The embedded engine: one way to open it, with bounded memory, and no way out to other files or the network."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from tempfile import gettempdir

import duckdb

from rca_lib.findings import DataError

MOST_THREADS = 4  # each holds buffers of its own for every column
MEMORY_MB = 2000  # for questions asked of a store; what does not fit goes to the temporary folder
INTAKE_MB, INTAKE_MB_A_COLUMN = 400, 10  # a column of the source stands in three tables, 256 KB a block and thread
TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".csv.gz", ".tsv.gz", ".json.gz")
LITERAL = re.compile(r"'((?:[^']|'')*)'")


def open_engine(
    database: Path | str = ":memory:",
    *,
    folders: Sequence[Path] = (),
    files: Sequence[Path] = (),
    read_only: bool = False,
    memory_mb: int = MEMORY_MB,
    spill: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open DuckDB so that it reaches nothing but what is named here.

    Parameters
    ----------
    database
        The database file; in memory without one.
    folders, files
        What may be read and written beside it: these folders with all below them, and these files.
    read_only
        Open the database file for reading only.
    memory_mb
        How much memory it may take, in MB; beyond that it writes to `spill`. `set_memory` changes it.
    spill
        The folder for what does not fit into memory; a folder of this process in the system's temporary folder by
        default.

    Returns
    -------
    duckdb.DuckDBPyConnection
        Its time zone is UTC. It loads no extensions, opens no other database, sees no variables of Python, and its
        settings are locked: neither a query nor a view of a partner's file can reach other files or the network.

    Raises
    ------
    DataError
        If the file is no database that can be opened.
    """
    settings = {
        "memory_limit": f"{memory_mb}MB",
        "threads": min(MOST_THREADS, os.cpu_count() or 1),
        "temp_directory": str(spill or Path(gettempdir()) / f"rca-spill-{os.getpid()}"),
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
    }
    try:
        engine = duckdb.connect(str(database), read_only=read_only, config=settings)
    except duckdb.Error as error:
        problem = f"{Path(database).name} cannot be opened as a database ({type(error).__name__})"
        raise DataError(problem, mend="export its table as CSV, XLSX or Parquet") from None
    closing = (
        "set TimeZone = 'UTC'",
        f"set allowed_directories = {_list(folders)}",
        f"set allowed_paths = {_list(files)}",
        "set allowed_configs = ['memory_limit']",
        "set enable_external_access = false",
        "set lock_configuration = true",
    )
    engine.execute("; ".join(closing)).fetchall()
    return engine


def _list(paths: Sequence[Path]) -> str:
    return "[" + ", ".join("'" + str(Path(path).absolute()).replace("'", "''") + "'" for path in paths) + "]"


def set_memory(engine: duckdb.DuckDBPyConnection, columns: int) -> None:
    """Give an intake the memory that a source with so many columns needs, whatever its number of rows."""
    engine.execute(f"set memory_limit = '{INTAKE_MB + INTAKE_MB_A_COLUMN * columns}MB'").fetchall()


def check_select(query: str) -> None:
    """Refuse a query that is not one SELECT.

    Raises
    ------
    DataError
        If it holds several statements, or one that does more than select.
    """
    try:
        kinds = [statement.type.name for statement in duckdb.extract_statements(query)]
    except duckdb.Error as error:
        problem = f"the query of the mapping is no SQL that DuckDB understands ({type(error).__name__})"
        raise DataError(problem, mend="correct query in the mapping") from None
    if kinds != ["SELECT"]:
        found = ", ".join(kinds) or "nothing"
        problem = f"the query of the mapping has to be one SELECT, not {found}"
        raise DataError(problem, mend="correct query in the mapping")


def find_files(query: str) -> tuple[Path, ...]:
    """Return the files with tables (CSV, TSV, Parquet, JSON) that a query names in its literals, and its patterns."""
    named = [text.replace("''", "'") for text in LITERAL.findall(query)]
    tables = [name for name in named if name.casefold().endswith(TABLES)]
    found = [file for name in tables if "*" in name or "?" in name for file in sorted(glob(name))]  # noqa: PTH207
    return tuple(map(Path, [*tables, *found]))
