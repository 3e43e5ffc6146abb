# Tested in tests/intake/test_ingest_faults.py.
"""Inference of formats: how a file writes dates, numbers, percentages and times.

Each value is evidence for one convention, is ambiguous ('either'), or says nothing. 13/01/2026 can only be day first,
1,25 can only have a decimal comma, and 01/02/2026 can be both. If all evidence agrees, that convention is used for the
file. If it conflicts, or if all values are ambiguous, the mapping must decide, and the error asks one question.
"""

from __future__ import annotations

import duckdb

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.column_plan import ColumnPlan
from rca_lib.intake.sources import SourceTable
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.intake.timestamp_parsing import NUMERIC_COLUMNS, TIMESTAMP_COLUMNS
from rca_lib.io.duckdb_connection import execute, quote_literal

MAX_MONTH = 12  # a larger number in a date is a day
AMBIGUOUS = "either"  # evidence for either convention
# The problem and the hint by convention, a column of the table `format_evidence`.
AMBIGUITY_MESSAGES = {
    "date_order": ("ambiguous order of day and month", "write date_order: dmy or date_order: mdy in the mapping"),
    "decimal_mark": ("ambiguous decimal mark", 'write decimal: "." or decimal: "," in the mapping'),
    "unit": ("mixed percent units", "write percent: share or percent: percent in the mapping"),
    "time_zone": (
        "no time zone is declared",
        "write time_zone: with the IANA zone of the export's clock, such as UTC or Europe/Berlin, in the mapping",
    ),
}


def infer_formats(
    connection: duckdb.DuckDBPyConnection, plan: ColumnPlan, mapping: ColumnMapping, source: SourceTable
) -> None:
    """Infer how the file writes dates, numbers and times, and create the macros that `validation.sql` needs.

    Parameters
    ----------
    connection
        The connection, with the view `standardized_rows`.
    plan
        The source of each column.
    mapping
        Its `date_order`, `decimal`, `percent` and `time_zone` override the inference.
    source
        The source, with what the types of its cells reveal.

    Raises
    ------
    DataError
        If the order of day and month, the decimal mark, the unit of percentages or the time zone is ambiguous; or if a
        spreadsheet swapped day and month.
    """
    execute_script(connection, "format_inference.sql")
    decimal_mark = mapping.decimal or _infer_decimal_mark(connection, plan, source)
    for name in [] if mapping.percent else ("weight", "handle_seconds", "model_score"):
        _infer_convention(connection, "unit", f"name = '{name}'")
    if mapping.time_zone is None:
        _infer_convention(connection, "time_zone")
    for name in TIMESTAMP_COLUMNS:
        _reject_swapped_dates(connection, name, plan, source)
    inferred_order = None if mapping.date_order else _infer_convention(connection, "date_order")
    macros = {
        "decimal_mark": quote_literal(decimal_mark),
        "is_percent": mapping.percent == "percent",
        "file_time_zone": quote_literal(mapping.time_zone or "UTC"),
        "day_first": (mapping.date_order or inferred_order) == "dmy",
        "is_date_order_inferred": inferred_order is not None,
        "date_origin": f"timestamp {quote_literal(source.date_origin)}",
        "derives_shift": bool(mapping.site_time_zones) and "shift" not in plan.sources,
        "has_stream_column": "stream" in plan.sources,
    }
    execute(connection, "; ".join(f"create macro {name}() as {value}" for name, value in macros.items()))


def _infer_decimal_mark(connection: duckdb.DuckDBPyConnection, plan: ColumnPlan, source: SourceTable) -> str:
    """Return the decimal mark. Typed cells were written with `source.decimal`, so only text is further evidence."""
    if source.decimal is None:
        return _infer_convention(connection, "decimal_mark") or "."
    text_columns = [
        name for name in NUMERIC_COLUMNS if set(_list_positions(plan, name)) & source.ambiguous_number_columns
    ]
    is_text = f"name in ({', '.join(map(quote_literal, text_columns))})" if text_columns else "false"
    condition = f"({is_text} or decimal_mark <> '{AMBIGUOUS}')"
    return _infer_convention(connection, "decimal_mark", condition) or source.decimal


def _list_positions(plan: ColumnPlan, name: str) -> tuple[int, ...]:
    """Return the positions in the file that a column is made of; none for a constant or a missing column."""
    positions = plan.sources.get(name, ())
    return () if isinstance(positions, str) else positions


def _reject_swapped_dates(
    connection: duckdb.DuckDBPyConnection, name: str, plan: ColumnPlan, source: SourceTable
) -> None:
    """Reject dates that a spreadsheet converted in the wrong order where it could, and left as text elsewhere.

    The sign: no typed date has a day beyond 12, and each date in text has a number beyond 12.
    """
    max_days = [source.max_days[position] for position in _list_positions(plan, name) if position in source.max_days]
    if not max_days or max(max_days) > MAX_MONTH:
        return
    ((first_row, first_text, rows),) = connection.sql(
        f"select min(row), arg_min(t_raw_{name}, row), count(*) from standardized_rows "
        f"where infer_date_order(t_{name}) in ('dmy', 'mdy')"
    ).fetchall()
    if rows:
        problem = "a spreadsheet has swapped day and month: no typed date has a day beyond 12, and the others are text"
        hint = "open the original export with this column as text, or correct each date in it"
        first = {"source_row": first_row, name: first_text}
        raise DataError(problem, column=name, rows=rows, first=first, hint=hint)


def _infer_convention(connection: duckdb.DuckDBPyConnection, convention: str, condition: str = "true") -> str | None:
    """Return the convention that the evidence implies, None without evidence.

    Raises
    ------
    DataError
        If the evidence conflicts, or if all of it is ambiguous.
    """
    groups = connection.sql(
        f"select {convention}, min(row), arg_min(name, row), arg_min(value, row), sum(rows) from format_evidence "
        f"where {condition} and {convention} is not null "
        f"group by {convention} order by {convention} = '{AMBIGUOUS}', 2"
    ).fetchall()
    conclusive = [group for group in groups if group[0] != AMBIGUOUS]
    if len(conclusive) == 1 or not groups:
        return conclusive[0][0] if conclusive else None
    _, row, column, value, rows = (conclusive or groups)[-1]
    message, hint = AMBIGUITY_MESSAGES[convention]
    if conclusive:
        problem = f"{message}: {conclusive[0][3]} and {value} occur in one file"
    else:
        problem = f"{message}: values such as {value} are inconclusive"
    first = {"source_row": row, column: value}
    raise DataError(problem, column=column, rows=int(rows), first=first, hint=hint)
