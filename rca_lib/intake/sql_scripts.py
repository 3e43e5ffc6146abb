# Tested in tests/io/test_formula_injection.py.
"""The SQL scripts of the ingest, in the folder `sql` beside this module."""

from __future__ import annotations

from importlib.resources import files

import duckdb

from rca_lib.io.duckdb_connection import execute


def execute_script(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Run the statements of a script in the folder `sql`."""
    execute(connection, files("rca_lib.intake").joinpath("sql", name).read_text(encoding="utf-8"))
