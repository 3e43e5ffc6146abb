"""Reading of JSON files: a list of objects, one object per line (NDJSON), or an object that contains such a list.

Each object is a row, and each key a column. An object within an object becomes columns with dotted names, such as
`task.id`. A list stays JSON text, which the intake reads as a set of labels. Cells are text: the intake interprets
numbers and dates as it does in any other file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import normalize_header, suggest_names
from rca_lib.io.duckdb_connection import execute, quote_literal

MAX_NESTING = 4  # levels of objects that become columns; what lies deeper stays JSON text
MAX_NESTED_KEYS = 100  # an object with more keys is a dictionary of values, not a part of the record
MAX_COLUMNS = 2_000
MAX_RECORD_BYTES = 16 << 20
SAMPLE_LINES = 5  # lines that tell NDJSON from other JSON
NOT_AN_OBJECT = "not a JSON object"  # validation.sql matches it
INCOMPLETE_HINT = "check that the file is complete, and export it again"
UTF8_BOM = b"\xef\xbb\xbf"
# Each line is one cell: JSON does not contain the delimiter, and no character is a quotation mark.
LINE_OPTIONS = (
    "columns={'line': 'VARCHAR'}, delim=chr(31), quote='', escape='', header=false, auto_detect=false, "
    f"strict_mode=false, max_line_size={MAX_RECORD_BYTES}, buffer_size={4 * MAX_RECORD_BYTES}"
)


@dataclass(frozen=True, slots=True)
class JsonTable:
    """The columns of a JSON file; `text_columns` are the positions of those with text, where numbers have no type."""

    names: tuple[str, ...]
    text_columns: frozenset[int]


def read_json(connection: duckdb.DuckDBPyConnection, path: Path, records_key: str | None, decimal: str) -> JsonTable:
    """Read a JSON file into the table `loaded`, a row per record.

    Parameters
    ----------
    connection
        The connection that gets `loaded`: `record_issue`, then the cells `c0`, `c1` … as text.
    path
        The file, in UTF-8.
    records_key
        The key of the list of records in an object, with dots for lists further inside. None: the only list.
    decimal
        The decimal mark with which numbers are written as text.

    Returns
    -------
    JsonTable
        The columns. In NDJSON, every line is a row, so that row numbers are line numbers.

    Raises
    ------
    DataError
        If the file is not JSON in UTF-8, or has no list of objects. A line of NDJSON that is not an object becomes a
        row with an issue.
    """
    try:
        if _is_ndjson(path):
            _load_lines(connection, path)
        else:
            _load_document(connection, path, records_key)
    except duckdb.Error:
        raise DataError(f"{path.name} is not valid JSON", hint=INCOMPLETE_HINT) from None
    columns = _list_columns(connection)
    if not columns:
        raise DataError(f"{path.name} is JSON without records", hint="export a list of objects, one per audit")
    if len(columns) > MAX_COLUMNS:
        problem = f"{path.name} is JSON with {len(columns):,} different keys"
        raise DataError(problem, hint="export the same keys in each record")
    paths = [quote_literal(_write_json_path(column)) for column in columns]
    cells = [f"{_build_cell_sql(json_path, decimal)} as c{position}" for position, json_path in enumerate(paths)]
    has_text = [f"bool_or(json_type(record, {json_path}) in ('VARCHAR', 'ARRAY', 'OBJECT'))" for json_path in paths]
    is_record = "(json_type(record) = 'OBJECT') is true or text is null"
    issue = f"if({is_record}, null, {quote_literal(NOT_AN_OBJECT)}) as record_issue"
    # What is not a record stands in the first cell, so that the quarantine shows it.
    first_cell = f"if({is_record}, c0, text) as c0"
    table = f"(select record, text, {', '.join(cells)} from records)"
    columns_sql = ", ".join(f"c{position}" for position in range(1, len(columns)))
    execute(
        connection,
        f"create table loaded as select {', '.join(filter(None, [issue, first_cell, columns_sql]))} from {table}",
    )
    (flags,) = connection.sql(f"select {', '.join(has_text)} from records").fetchall()
    execute(connection, "drop table records")
    names = normalize_header([".".join(column) for column in columns])
    return JsonTable(names, frozenset(position for position, flag in enumerate(flags) if flag))


def _is_ndjson(path: Path) -> bool:
    """Return whether a file has an object on each line, judged by its first lines."""
    with path.open("rb") as handle:
        lines = [line.removeprefix(UTF8_BOM).strip() for line in islice(handle, SAMPLE_LINES)]
    filled_lines = [line for line in lines if line]
    return len(filled_lines) > 1 and any(_is_object(line) for line in filled_lines)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _load_lines(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Load each line as a row of `records`; the record of an invalid line is NULL."""
    lines = f"read_csv({quote_literal(str(path))}, {LINE_OPTIONS})"
    record = f"try_cast(ltrim(line, {quote_literal(UTF8_BOM.decode())}) as json) as record"
    execute(connection, f"create table records as select {record}, nullif(trim(line), '') as text from {lines}")


def _load_document(connection: duckdb.DuckDBPyConnection, path: Path, records_key: str | None) -> None:
    """Load the records of a file that is a single JSON value into `records`."""
    with path.open("rb") as handle:
        is_list = handle.read(1024).lstrip().startswith(b"[")
    if is_list:  # DuckDB reads it in parts, however long it is
        options = f"format='array', maximum_object_size={MAX_RECORD_BYTES}"
        source = f"read_json_objects({quote_literal(str(path))}, {options})"
        execute(connection, f"create table records as select json as record, json::varchar as text from {source}")
        return
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        records = [json.dumps(record, allow_nan=False) for record in _find_records(path.name, document, records_key)]
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is JSON in another encoding than UTF-8", hint="write it in UTF-8") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path.name} is not valid JSON", hint=INCOMPLETE_HINT) from None
    connection.execute("create table records as select unnest($1)::json as record, unnest($1) as text", [records])


def _find_records(name: str, document: object, records_key: str | None) -> list[Any]:
    """Return the list of records in a document."""
    if isinstance(document, list):
        return document
    lists = dict(_iterate_lists(document)) if isinstance(document, dict) else {}
    if records_key is not None:
        if records_key not in lists:
            hint = f"choose among {', '.join(lists)}" if lists else "remove records from the mapping"
            raise DataError(f"{name} is JSON without a list {records_key!r}", hint=hint)
        return lists[records_key]
    if not lists:
        hint = "export a list of objects, one per audit; in pandas, to_json(orient='records')"
        raise DataError(f"{name} is one JSON object, not a list of records", hint=hint)
    if len(lists) > 1:
        hint = f"write records: in the mapping, with the key of the audits, such as {suggest_names('audits', lists)}"
        raise DataError(f"{name} is JSON with several lists of records: {', '.join(lists)}", hint=hint)
    return next(iter(lists.values()))


def _iterate_lists(document: Mapping[str, Any], prefix: str = "", level: int = 1) -> Iterator[tuple[str, list[Any]]]:
    """Return each list of objects in an object, with its dotted key."""
    for key, value in document.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict) and level < MAX_NESTING:
            yield from _iterate_lists(value, f"{prefix}{key}.", level + 1)


def _list_columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    """Return the keys of all records in the order in which they occur, each as its path from the record."""
    ((structure,),) = connection.sql(
        "select json_group_structure(record) from records where json_type(record) = 'OBJECT'"
    ).fetchall()
    return list(_iterate_keys(json.loads(structure))) if structure else []


def _iterate_keys(structure: Mapping[str, Any], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in structure.items():
        column = (*parents, key)
        is_part = isinstance(value, dict) and 0 < len(value) <= MAX_NESTED_KEYS and len(column) < MAX_NESTING
        if is_part:
            yield from _iterate_keys(value, column)
        else:
            yield column


def _write_json_path(column: tuple[str, ...]) -> str:
    """Return the JSON path of a column.

    Examples
    --------
    >>> _write_json_path(("task", "id"))
    '$."task"."id"'
    """
    quoted = [key.replace("\\", "\\\\").replace('"', '\\"') for key in column]
    return "$" + "".join(f'."{key}"' for key in quoted)


def _build_cell_sql(json_path: str, decimal: str) -> str:
    """Return the SQL that reads a cell as text; a number with decimals gets the decimal mark of the mapping."""
    text = f"json_extract_string(record, {json_path})"
    if decimal == ".":
        return text
    return f"if(json_type(record, {json_path}) = 'DOUBLE', replace({text}, '.', {quote_literal(decimal)}), {text})"
