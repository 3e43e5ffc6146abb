"""Parsing of timestamps: the SQL for the date formats and month names of a mapping.

`timestamp_parsing.sql` reads the usual notations by itself. It brings each text to one of a few normalized forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.io.duckdb_connection import execute, quote_literal

TIMESTAMP_COLUMNS = ("decided_at", "audited_at")
NUMERIC_COLUMNS = ("weight", "model_score", "audit_round", "tenure_days", "handle_seconds")
SECONDS_PER_DAY = 86400
MONTH_CODE = re.compile("%[bBh]")
TIME_CODE = re.compile("%[HIkls]")
OFFSET_CODE = re.compile("%[zs]")
WEEKDAY_CODES = ("%a", "%A")
YEAR_CODES = ("%Y", "%G")
ISO_PATTERN = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$"


def create_parsing_macros(connection: duckdb.DuckDBPyConnection, mapping: ColumnMapping) -> None:
    """Create the macros that parse timestamps and numbers. Month names in the mapping come before the built-in ones."""
    execute(connection, f"create macro replace_mapped_months(v) as {_build_months_sql('v', mapping, 'm')}")
    execute_script(connection, "timestamp_parsing.sql")
    execute_script(connection, "number_parsing.sql")


def normalize_timestamps(connection: duckdb.DuckDBPyConnection, texts: dict[str, str], mapping: ColumnMapping) -> None:
    """Fill the table `normalized_timestamps` with normalized timestamps, for the rows that are not yet normalized.

    Parameters
    ----------
    connection
        The connection, with the view `nonmissing_cells` and the empty table `normalized_timestamps`, which has `row`
        and one text per timestamp column.
    texts
        The SQL for the text of each timestamp column.
    mapping
        If it has a `date_format`, only its formats are tried. The exception is the ISO form, in which typed cells of a
        workbook are written. ISO is tried unless a format begins with the year, too.

    Notes
    -----
    Most files need none of the patterns, and compiling them takes longer than reading such a file.
    """
    if mapping.date_format:
        needs_parsing = "true"
    else:
        needs_parsing = " or ".join(f"not is_normalized_timestamp({text})" for text in texts.values())
    if not connection.sql(f"select 1 from nonmissing_cells where {needs_parsing} limit 1").fetchall():
        return
    normalized = ", ".join(_build_timestamp_sql(name, mapping) for name in texts)
    columns = ", ".join(f"{text} as {name}" for name, text in texts.items())
    rows = f"select row, {columns} from nonmissing_cells where {needs_parsing}"
    execute(connection, f"insert into normalized_timestamps select row, {normalized} from ({rows})")


def _build_timestamp_sql(text: str, mapping: ColumnMapping) -> str:
    """Return the SQL that normalizes a timestamp; a text that no declared format fits is marked with `? `."""
    if not mapping.date_format:
        return f"normalize_timestamp({text})"
    clean_text = f"normalize_am_pm(normalize_whitespace({text}))"
    candidates = [_build_strptime_sql(clean_text, pattern, mapping) for pattern in mapping.date_format]
    if not any(pattern.startswith(YEAR_CODES) for pattern in mapping.date_format):
        candidates.append(f"case when regexp_matches({text}, '{ISO_PATTERN}') then {text} end")
    return f"coalesce({', '.join(candidates)}, '? ' || {text})"


def _build_strptime_sql(text: str, pattern: str, mapping: ColumnMapping) -> str:
    """Return the SQL that parses a text by a strptime pattern, and writes it in a normalized form."""
    if pattern.startswith(WEEKDAY_CODES):  # the weekday follows from the date
        text = f"ltrim(regexp_replace({text}, '^\\pL+', ''), ' .,')"
        pattern = pattern[2:].lstrip(" .,")
    text = _build_months_sql(text, mapping, "")
    pattern = MONTH_CODE.sub("%m", pattern)
    if not mapping.months:
        english = "replace_month_names(" + text + ")"
        text = f"regexp_replace({english}, '(^|[^\\pL])m(\\d)', '\\1\\2')" if "%m" in pattern else text
    output_format = "%Y-%m-%d"
    if TIME_CODE.search(pattern):
        output_format += " %H:%M:%S.%f"
    if OFFSET_CODE.search(pattern):
        output_format += "+00:00"
    return f"strftime(try_strptime({text}, {quote_literal(pattern)}), {quote_literal(output_format)})"


def _build_months_sql(text: str, mapping: ColumnMapping, prefix: str) -> str:
    """Return the SQL that replaces the month names of a mapping by a prefix and the number of the month."""
    for number, name in enumerate(mapping.months, 1):
        pattern = re.sub(r"([^\w\s])", r"\\\1", name).replace("'", "''")
        text = f"regexp_replace({text}, '(?i)(^|[^\\pL]){pattern}($|[^\\pL])', '\\1{prefix}{number}\\2')"
    return text


def build_datetime_sql(parts: Sequence[str]) -> str:
    """Return the SQL that joins a date and a time from several columns. A missing time leaves a date.

    Parameters
    ----------
    parts
        The SQL for the text of each column, with the date first.

    Notes
    -----
    A typed date in a workbook has a midnight, which is removed. A time without a format is a share of a day.
    """
    date, *times = parts
    day = f"regexp_replace({date}, '[ T]00:00(:00(\\.0+)?)?$', '')"
    time_texts = [
        f"case when regexp_matches({time}, '^0?[.,]\\d+$') then strftime(timestamp '2000-01-01' + to_seconds(round("
        f"try_cast(replace({time}, ',', '.') as double) * {SECONDS_PER_DAY})::bigint), '%H:%M:%S') "
        f"else regexp_replace({time}, '^(1899-12-3[01]|1900-01-0\\d) ', '') end"
        for time in times
    ]
    return f"case when {date} is not null then concat_ws(' ', {day}, {', '.join(time_texts)}) end"
