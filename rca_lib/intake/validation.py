# Tested in tests/intake/test_ingest_faults.py.
"""Validation of rows: the value of each column, the reasons to quarantine a row, and its status.

The rules are in SQL: `validation.sql` parses and checks values, `duplicates.sql` finds rows with the same audit ID.
"""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from rca_lib.intake.column_mapping import MAPPABLE_COLUMNS
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.io.duckdb_connection import execute

NO_LIMIT = datetime(9999, 1, 1)  # no date lies in the future


def validate_rows(connection: duckdb.DuckDBPyConnection, now: datetime | None, extra_count: int = 0) -> None:
    """Create the table `validated_rows` and the view `row_statuses` over the view `standardized_rows`.

    Parameters
    ----------
    connection
        The connection, with the view `standardized_rows` and the macros of `infer_formats`.
    now
        The moment after which a date lies in the future; without a zone it is UTC. None: no date counts as future.
    extra_count
        The number of extra columns that are kept.

    Notes
    -----
    `validated_rows` has a value for each column of audits, the `repairs` in the row, and the `reasons` against it.
    `row_statuses` adds `row_status`: kept, quarantined, exact duplicate or empty.
    """
    limit = (now.astimezone(UTC) if now and now.tzinfo else now) or NO_LIMIT
    execute(connection, f"create macro latest_allowed_time() as timestamp '{limit:%Y-%m-%d %H:%M:%S}'")
    execute_script(connection, "validation.sql")
    # The values are one list: with very many arguments a function takes time that grows with the cube of their number.
    columns = (*MAPPABLE_COLUMNS, *(f"x{n}" for n in range(extra_count)))
    values = ", ".join(f"{name}::varchar" for name in columns)
    execute(
        connection,
        f"create view row_values as select row, audit_id, reasons, [{values}]::varchar as value_list "
        "from validated_rows",
    )
    execute_script(connection, "duplicates.sql")
