# Tested in tests/intake/test_side_tables.py.
"""Reading the file of a side table.

Side tables are read with the same reader and the same rules as audits. A date, a null word, an ID or a label therefore
means the same in every file. The rules only know columns of audits. While a side table is read, each of its columns
stands in for the column of audits in `EQUIVALENT_AUDIT_COLUMNS`: `start` is read as `decided_at`, so that it obeys the
date order and the time zone of the mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.schema import Column, list_columns
from rca_lib.findings import DataError
from rca_lib.intake.cell_cleaning import create_text_view
from rca_lib.intake.column_mapping import ColumnMapping, ConstantColumn, suggest_names
from rca_lib.intake.column_plan import ColumnPlan
from rca_lib.intake.format_inference import infer_formats
from rca_lib.intake.side_table_issues import TableFile, TableIssue, format_value, normalize_keyword
from rca_lib.intake.sources import SourceTable, read_source
from rca_lib.intake.validation import validate_rows
from rca_lib.io.duckdb_connection import connect_duckdb, execute

EQUIVALENT_AUDIT_COLUMNS = {
    "start": "decided_at", "end": "audited_at", "valid_from": "decided_at", "valid_to": "audited_at",
    "rated_at": "decided_at", "item_id": "item_id", "rater": "rater", "label": "label", "site": "site",
    "queue": "queue", "stratum": "stratum",
}  # fmt: skip
TIMESTAMP_COLUMNS = ("decided_at", "audited_at")
HEADER_SEARCH_ROWS = 20  # rows at the top of a file among which the header is searched
MIN_HEADER_COLUMNS = 2  # known names in a row below the first from which the row is the header: a title has one at most
MIN_COLUMN_SIMILARITY = 0.75  # Ratcliff-Obershelp similarity of column names from which a warning is given
BOM_OR_BINARY = (b"\xff\xfe", b"\xfe\xff", b"PK", b"PAR1")  # UTF-16, XLSX, Parquet
UTF16_CHECK_BYTES = 4096  # bytes at the start of a file in which NUL bytes show UTF-16 without a byte-order mark

Positions = dict[str, tuple[int, ...]]
"""Positions in the file by column of the table; several positions are joined."""


def read_table(path: Path, table: str, schema: tuple[Column, ...], mapping: ColumnMapping) -> TableFile:
    """Read the file of a side table.

    Parameters
    ----------
    path
        A CSV file (any delimiter and encoding that audits may have), an XLSX file (the sheet with the name of the
        table, or the only sheet) or a Parquet file.
    table
        The name of the table; in a workbook the sheet with this name is read.
    schema
        The columns of the table.
    mapping
        How the audits are written: date order, time zone, null words, labels, spellings of sites and queues.

    Returns
    -------
    TableFile
        The file with the issues that concern the file as a whole or its dates. Single values are not validated here.
    """
    table_file = TableFile(path.name, pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), mapping.time_zone or "UTC")
    try:
        with (
            TemporaryDirectory(prefix="rca-table-") as folder,
            connect_duckdb(folders=[Path(folder)], files=[path]) as connection,
        ):
            source = _read_source(connection, path, table, schema, mapping, Path(folder))
            if source is None:
                hint = "remove it from the batch file"
                table_file.warnings.append(TableIssue(path.name, "the table has no rows", hint))
                table_file.texts = pd.DataFrame(columns=list(list_columns(schema)), dtype=str)
                return table_file
            positions = _find_columns(table_file, source.names, schema, mapping)
            if not table_file.issues:
                _read_rows(connection, table_file, source, positions, mapping)
    except DataError as error:
        row = _get_source_row(error)
        problem = error.problem.removeprefix(f"{path.name} ")
        table_file.issues.append(TableIssue(path.name, problem, error.hint or "export it again", row, error.column))
    return table_file


# the file ------------------------------------------------------------------------------------------------------------


def _read_source(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    table: str,
    schema: tuple[Column, ...],
    mapping: ColumnMapping,
    work_folder: Path,
) -> SourceTable | None:
    """Read the file into `raw`; return None if it has a header and no rows."""
    settings: dict[str, Any] = {
        "header_row": 1,
        "decimal": mapping.decimal,
        "sheet": _find_sheet(path, table),
        "encoding": mapping.encoding if _needs_encoding(path) else None,
    }
    source = _read_nonempty_source(connection, path, ColumnMapping(**settings), work_folder)
    if source is None or _count_known_columns(source.names, schema) > 0:
        return source
    first_rows = connection.sql(f"select * exclude (record_issue) from raw order by row limit {HEADER_SEARCH_ROWS}")
    for row, *cells in first_rows.fetchall():  # there may be title rows above the header
        if _count_known_columns([str(cell or "") for cell in cells], schema) >= MIN_HEADER_COLUMNS:
            execute(connection, "drop view if exists raw; drop table if exists loaded")
            return _read_nonempty_source(connection, path, ColumnMapping(**settings | {"header_row": row}), work_folder)
    return source


def _read_nonempty_source(
    connection: duckdb.DuckDBPyConnection, path: Path, settings: ColumnMapping, work_folder: Path
) -> SourceTable | None:
    """Read the file into `raw`; return None if it has no rows."""
    try:
        return read_source(connection, path, settings, work_folder)
    except DataError as error:
        if "no rows" in error.problem:
            return None
        raise


def _needs_encoding(path: Path) -> bool:
    """Tell whether the bytes of a file are neither UTF-8 nor recognizable as UTF-16 or a binary format."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    if content.startswith(BOM_OR_BINARY) or b"\x00" in content[:UTF16_CHECK_BYTES]:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _find_sheet(path: Path, table: str) -> str | None:
    """Return the sheet of a workbook that has the name of the table; None if there is none."""
    import python_calamine

    if not path.is_file() or path.read_bytes()[:2] != b"PK":
        return None
    try:
        sheets = python_calamine.CalamineWorkbook.from_path(str(path)).sheet_names
    except (python_calamine.CalamineError, OSError):
        return None  # the reader reports the error
    return next((sheet for sheet in sheets if normalize_keyword(sheet) == table), None)


# the columns ---------------------------------------------------------------------------------------------------------


def _count_known_columns(names: Sequence[str], schema: tuple[Column, ...]) -> int:
    """Count the columns of the schema among some names."""
    return len({normalize_keyword(name) for name in names} & set(list_columns(schema)))


def _find_columns(
    table_file: TableFile, names: Sequence[str], schema: tuple[Column, ...], mapping: ColumnMapping
) -> Positions:
    """Find the positions of the columns of the table; add issues for missing and duplicate columns."""
    positions: Positions = {}
    for position, name in enumerate(names):
        keyword = normalize_keyword(name)
        if keyword not in list_columns(schema):
            continue
        if keyword in positions:
            issue = TableIssue(table_file.name, f"two columns are called {keyword}", "keep one of them", column=keyword)
            table_file.issues.append(issue)
        positions[keyword] = (position,)
        if keyword != name:
            repair = TableIssue(table_file.name, f"{format_value(name)} is read as {keyword}", "", column=keyword)
            table_file.repairs.append(repair)
    for name in list_columns(schema):
        source_names = _list_mapped_names(name, mapping)
        if name not in positions and source_names and set(source_names) <= set(names):
            positions[name] = tuple(names.index(source_name) for source_name in source_names)
    unused = [name for position, name in enumerate(names) if (position,) not in positions.values()]
    for name in list_columns(schema, "required"):
        if name not in positions:
            hint = f"rename a column to {name}; nearest in the file: {suggest_names(name, unused)}"
            table_file.issues.append(TableIssue(table_file.name, f"no column {name!r}", hint, column=name))
    absent = [name for name in list_columns(schema, "optional") if name not in positions]
    _warn_similar_columns(table_file, unused, absent)
    return positions


def _list_mapped_names(name: str, mapping: ColumnMapping) -> list[str]:
    """Return the columns of the audits' file that the mapping names for a column; none if it is a constant."""
    source = mapping.columns.get(name) if name in EQUIVALENT_AUDIT_COLUMNS else None
    if source is None or isinstance(source, ConstantColumn):
        return []
    return [source] if isinstance(source, str) else list(source)


def _warn_similar_columns(table_file: TableFile, unused: Sequence[str], absent: Sequence[str]) -> None:
    """Warn about unused columns whose name is similar to an optional column that is absent."""
    for name in unused:
        for nearest in get_close_matches(normalize_keyword(name), absent, 1, MIN_COLUMN_SIMILARITY):
            problem = f"column {format_value(name)} is not read"
            hint = f"rename it to {nearest} if that is what it means"
            table_file.warnings.append(TableIssue(table_file.name, problem, hint, column=name))


# the rows ------------------------------------------------------------------------------------------------------------


def _read_rows(
    connection: duckdb.DuckDBPyConnection,
    table_file: TableFile,
    source: SourceTable,
    positions: Positions,
    mapping: ColumnMapping,
) -> None:
    """Read the texts and the parsed values of all rows with the rules for audits."""
    audit_positions = {
        EQUIVALENT_AUDIT_COLUMNS[name]: position
        for name, position in positions.items()
        if name in EQUIVALENT_AUDIT_COLUMNS
    }
    plan = ColumnPlan(dict(audit_positions), {name: position for position, name in enumerate(source.names)})
    # With UTC for every site a day stays that day, whatever the zone of the site.
    rules = mapping.model_copy(update={"site_time_zones": "UTC"})
    create_text_view(connection, plan, rules, len(source.names), False)
    timestamps = [name for name in audit_positions if name in TIMESTAMP_COLUMNS]
    has_clock_time = [f"(not is_day_only(t_{name}) and not has_offset(t_{name}))" for name in timestamps]
    condition = " or ".join(has_clock_time) or "false"
    clock_times = f"select 1 from standardized_rows where {condition} limit 1"
    if mapping.time_zone is None and not connection.sql(clock_times).fetchall():
        rules = rules.model_copy(update={"time_zone": "UTC"})
    if rules.date_order == "ymd":  # this order does not cover dates with the year at the end
        rules = rules.model_copy(update={"date_order": None})
    try:
        infer_formats(connection, plan, rules, source)
    except DataError as error:
        names = {column: name for name, column in EQUIVALENT_AUDIT_COLUMNS.items() if name in positions}
        table_file.issues.append(_convert_error(error, table_file.name, names))
        table_file.has_unknown_date_order = True
        # Any order and zone will do: the result is not used, but the other values can be validated.
        execute(connection, "drop table format_evidence")
        infer_formats(connection, plan, rules.model_copy(update={"date_order": "dmy", "time_zone": "UTC"}), source)
    validate_rows(connection, None)
    table_file.repairs += [TableIssue(table_file.name, repair, "") for repair in source.repairs]
    _collect_values(connection, table_file, source, positions)


def _convert_error(error: DataError, file: str, names: Mapping[str, str]) -> TableIssue:
    """Convert an error about a column of audits into an issue about the column of the side table."""
    hint = error.hint + (", or write the dates as 2026-03-09" if "date_order" in error.hint else "")
    return TableIssue(file, error.problem, hint, _get_source_row(error), names.get(error.column or ""))


def _get_source_row(error: DataError) -> int | None:
    """Return the row of the source that an error names."""
    row = (error.first or {}).get("source_row")
    return None if row is None else int(str(row))


def _collect_values(
    connection: duckdb.DuckDBPyConnection, table_file: TableFile, source: SourceTable, positions: Positions
) -> None:
    """Fill the texts, parsed values and repairs of a file from the views `standardized_rows` and `validated_rows`."""
    equivalents = {name: EQUIVALENT_AUDIT_COLUMNS[name] for name in positions if name in EQUIVALENT_AUDIT_COLUMNS}
    dates = [name for name, column in equivalents.items() if column in TIMESTAMP_COLUMNS]
    rows = _fetch_rows(connection, len(source.names), equivalents, dates)
    _collect_repairs(connection, table_file)
    record_issues = rows["record_issue"].dropna()
    for row, record_issue in zip(record_issues.index.tolist(), record_issues, strict=True):
        hint = "give the row the same columns as the header"
        table_file.issues.append(TableIssue(table_file.name, str(record_issue), hint, int(row)))
    rows = rows[rows["record_issue"].isna()]
    names = {position[0]: name for name, position in positions.items() if len(position) == 1}
    texts = {names.get(n, source.names[n]): rows[f"text_{n}"] for n in range(len(source.names))}
    texts |= {name: rows[f"raw_{name}"] for name in equivalents}
    table_file.texts = pd.DataFrame(texts, index=rows.index).astype(object)
    table_file.texts = table_file.texts.where(table_file.texts.notna(), None)
    parsed_values = {name: rows[f"typed_{name}"] for name in equivalents}
    table_file.parsed_values = pd.DataFrame(parsed_values, index=rows.index)
    table_file.is_day_only = pd.DataFrame({name: rows[f"day_{name}"] for name in dates}, index=rows.index)


def _fetch_rows(
    connection: duckdb.DuckDBPyConnection, column_count: int, equivalents: Mapping[str, str], dates: Sequence[str]
) -> pd.DataFrame:
    """Fetch per row of the file the texts of all cells, and the texts and parsed values of the table's columns."""
    columns = [f'standardized_rows.x{n} as "text_{n}"' for n in range(column_count)]
    columns += [f't_{column} as "raw_{name}"' for name, column in equivalents.items()]
    columns += [f'validated_rows.{column} as "typed_{name}"' for name, column in equivalents.items()]
    columns += [f'coalesce(is_day_only(t_{equivalents[name]}), false) as "day_{name}"' for name in dates]
    rows = connection.sql(
        f"select standardized_rows.row as row, standardized_rows.record_issue as record_issue, {', '.join(columns)} "
        "from standardized_rows join validated_rows on standardized_rows.row = validated_rows.row "
        "where first_nonempty is not null order by standardized_rows.row"
    ).df()
    return rows.set_index("row")


def _collect_repairs(connection: duckdb.DuckDBPyConnection, table_file: TableFile) -> None:
    """Add the repairs of single cells with the number of rows; days without a time are normal in side tables."""
    counts = connection.sql("select unnest(repairs) as what, count(*) from validated_rows group by what order by what")
    for repair, count in counts.fetchall():
        if not repair.startswith("days without"):
            description = f"{repair} ({count:,} row{'s' if count != 1 else ''})"
            table_file.repairs.append(TableIssue(table_file.name, description, ""))
