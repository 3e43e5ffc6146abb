"""Reading the audits of a few months into memory once, in narrow columns, so that all questions count the same frame.

A column of text is read as categories: a small integer per row, and each value once. A row of 40 columns then takes
about 300 bytes instead of 2,000. Not loaded are comments of audits that found no error, and columns outside the schema
that have too many values for a dimension.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns
from rca_lib.io.duckdb_connection import quote_identifier, quote_literal
from rca_lib.store.stored_tables import build_parquet_scan

DISTINCT_COLUMNS = ("audit_id", "item_id", "comment")  # a value of its own in most rows; categories would save nothing
MAX_CATEGORIES = 5_000  # values of a category; the statement that declares them stays short


def select_days(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], start: date, end: date) -> Any:
    """Return the audits from `start` to the day before `end`, as a relation."""
    scan = build_parquet_scan(files)
    return connection.sql(f"select * from {scan} where day >= date '{start}' and day < date '{end}'")


def read_audit_frame(audits: duckdb.DuckDBPyRelation, further_columns: Collection[str] = ()) -> pd.DataFrame:
    """Read audits of a store into a frame of narrow columns.

    Parameters
    ----------
    audits
        One row per audit, as the intake wrote them.
    further_columns
        Columns to read even if they have more than `MAX_CATEGORIES` values.

    Returns
    -------
    pandas.DataFrame
        One row per audit: the columns of the schema and those of `further_columns` that exist, and all others that have
        at most `MAX_CATEGORIES` values. Text with so few values is categorical, except for ids and comments. `comment`
        is missing where the audit found no error.
    """
    dtypes = dict(zip(audits.columns, map(str, audits.types), strict=True))
    texts = [name for name, dtype in dtypes.items() if dtype == "VARCHAR" and name not in DISTINCT_COLUMNS]
    categorical = _find_categorical(audits, texts)
    required = {*list_columns(AUDIT_COLUMNS), *further_columns}
    names = [name for name in dtypes if name in required or name not in texts or name in categorical]
    values = _list_values(audits, categorical)
    return audits.select(", ".join(_write_column(name, values.get(name, ())) for name in names)).df()


def _find_categorical(audits: duckdb.DuckDBPyRelation, names: Sequence[str]) -> list[str]:
    """Return the columns of text that have at most about `MAX_CATEGORIES` values."""
    if not names:
        return []
    counts = ", ".join(f"approx_count_distinct({quote_identifier(name)})" for name in names)
    (row,) = audits.aggregate(counts).fetchall()
    return [name for name, count in zip(names, row, strict=True) if count <= MAX_CATEGORIES]


def _list_values(audits: duckdb.DuckDBPyRelation, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of some columns of text, sorted, in one pass."""
    if not names:
        return {}
    columns = map(quote_identifier, names)
    lists = ", ".join(f"list_sort(list(distinct {name}) filter ({name} is not null))" for name in columns)
    (row,) = audits.aggregate(lists).fetchall()
    return {name: values or [] for name, values in zip(names, row, strict=True)}


def _write_column(name: str, values: Sequence[str]) -> str:
    """Write the SQL that reads a column: as categories where its values are given, comments of errors only."""
    column = quote_identifier(name)
    if name == "comment":
        return f"case when error = 1 then {column} end as {column}"
    if values:
        return f"{column}::enum({', '.join(map(quote_literal, values))}) as {column}"
    return column
