# Tested in tests/intake/test_ingest.py.
"""Counting of the rows of an ingest: the ledger, from the views `weighted_rows` and `kept_rows`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import duckdb

from rca_lib.audits.schema import AUDIT_COLUMNS
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ledger import Ledger
from rca_lib.intake.quarantine_corrections import CORRECTION_REPAIR
from rca_lib.intake.row_status import count_row_statuses
from rca_lib.intake.sources import SourceTable
from rca_lib.io.duckdb_connection import execute

Query = Callable[[str], list[tuple[Any, ...]]]

ROWS_BY_STATUS_SQL = "select row_status, count(*) from weighted_rows group by row_status"
ROWS_BY_SITE_SQL = """
select coalesce(site, '') as site, count_if(row_status = 'kept'), count_if(row_status = 'quarantined')
from weighted_rows where row_status in ('kept', 'quarantined') group by 1 order by 1
"""
ROWS_BY_REASON_SQL = """
select reasons[1], count(*), min(row), arg_min(suggestion, row)
from weighted_rows where row_status = 'quarantined' group by 1 order by 2 desc, 1
"""
ROWS_BY_REPAIR_SQL = """
select unnest(repairs) as what, count(*) from weighted_rows where row_status = 'kept' group by what order by what
"""
CORRECTED_ROWS_SQL = """
select count(*) from weighted_rows where row_status = 'kept' and source_row in (from corrected_rows)
"""


def build_ledger(
    connection: duckdb.DuckDBPyConnection, table: SourceTable, mapping: ColumnMapping, columns: tuple[str, ...]
) -> Ledger:
    """Count what became of every row.

    Parameters
    ----------
    connection
        The connection, with the views `weighted_rows` and `kept_rows`.
    table
        The source; its repairs concern every row.
    mapping
        Its settings for labels and time zone are recorded.
    columns
        The columns of the store.
    """

    def query(sql: str) -> list[tuple[Any, ...]]:
        return connection.sql(sql).fetchall()

    rows_by_status = dict(query(ROWS_BY_STATUS_SQL))
    row_count = sum(rows_by_status.values())
    by_site = query(ROWS_BY_SITE_SQL)
    absent = [column for column in AUDIT_COLUMNS if column.needed_for and column.name not in columns]
    missing = [(column.name, column.needed_for) for column in absent]
    months = query("select distinct month from kept_rows order by month")
    return Ledger(
        source=table.name,
        sha256=table.sha256,
        rows_read=row_count,
        kept=rows_by_status.get("kept", 0),
        quarantined=rows_by_status.get("quarantined", 0),
        exact_duplicates=rows_by_status.get("exact duplicate", 0),
        empty=rows_by_status.get("empty", 0),
        repairs=(*((repair, row_count) for repair in table.repairs), *_count_repairs(connection, query)),
        reasons=tuple(query(ROWS_BY_REASON_SQL)),
        by_site=tuple(by_site),
        not_available=tuple(missing),
        label_scale=mapping.label_scale,
        label_order=mapping.label_order,
        benign=mapping.benign,
        time_zone=mapping.time_zone or "as written in each time",
        columns=columns,
        assumed=mapping.assumed,
        sites=tuple(site for site, kept, _ in by_site if kept),
        months=tuple(month for (month,) in months),
        row_status_counts=count_row_statuses(query),
        first_future_date=_find_extreme_date(query, "min", "array_to_string(reasons, ';') like '%future date%'"),
        last_kept_date=_find_extreme_date(query, "max", "row_status = 'kept'"),
    )


def _count_repairs(connection: duckdb.DuckDBPyConnection, query: Query) -> list[tuple[str, int]]:
    """Count the repairs in kept rows, with corrections by a person last."""
    execute(connection, "create table if not exists corrected_rows (row bigint)")
    repairs = query(ROWS_BY_REPAIR_SQL)
    ((corrected,),) = query(CORRECTED_ROWS_SQL)
    return [*repairs, (CORRECTION_REPAIR, corrected)] if corrected else repairs


def _find_extreme_date(query: Query, extreme: Literal["min", "max"], condition: str) -> str:
    """Return the first (min) or last (max) date of some rows in ISO form, "" without rows."""
    ((date,),) = query(f"select {extreme}(greatest(decided_at, audited_at)) from weighted_rows where {condition}")
    return date.isoformat() if date else ""
