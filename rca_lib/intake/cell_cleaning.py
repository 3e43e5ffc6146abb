# Tested in tests/intake/test_ingest.py.
"""Cleaning of cells: the SQL that turns the cells of a file into the clean texts of the columns of audits.

The rules for cells are in `cell_parsing.sql`. This module builds the views and macros that depend on the mapping. Each
view refers to columns of the view before it, so that an expression that is used twice is written and computed once:

=======================  ==============================================================================================
`trimmed_cells`          c<n>: the cells of `raw`, trimmed
`row_contents`           content: all cells of a row as a list
`unquoted_cells`         u_<cell>: without quotes around the value
`cleaned_cells`          y_<cell>: cleaned; e<n>: the cells of the extra columns, cleaned
`nonmissing_cells`       v_<cell>: null if the cell has a word for a missing value
`normalized_timestamps`  m_<column>: timestamps in a normal form
`cell_values`            t_<column>: the text of a column of audits; x<n>: that of an extra column
`standardized_rows`      the same, with names and labels in one spelling
=======================  ==============================================================================================

A column of audits may be made of several cells. <cell> is the name of the column and the number of the cell in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb

from rca_lib.audits.schema import AUDIT_COLUMNS, PROPORTIONAL_STREAMS
from rca_lib.intake.column_mapping import ID_COLUMNS, MAPPABLE_COLUMNS, ColumnMapping
from rca_lib.intake.column_plan import ColumnPlan
from rca_lib.intake.missing_values import build_missing_pattern, find_null_like_names
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.intake.text_normalization import clean_text
from rca_lib.intake.timestamp_parsing import (
    NUMERIC_COLUMNS,
    TIMESTAMP_COLUMNS,
    build_datetime_sql,
    create_parsing_macros,
    normalize_timestamps,
)
from rca_lib.intake.value_standardization import (
    MISSING_WORD_REPAIR,
    VOCABULARIES,
    VOCABULARY_OF,
    ReviewNotes,
    create_text_macros,
    standardize_values,
)
from rca_lib.io.duckdb_connection import execute, quote_literal

LABEL_COLUMNS = VOCABULARIES["label"]
MAX_NULL_WORD_CHARS = 30  # the longest word for a missing value that is built in
MAX_NAME_CHARS = 200  # longer values of extra columns are free text, which stays as it is
FREE_TEXT_COLUMNS = ("comment",)  # no names: the text stays as it is
INVISIBLE_CHARACTERS_REPAIR = "invisible characters or repeated blanks"
QUOTES_REPAIR = "quotes around values"
# Columns in which a word such as "none" can only mean that the value is missing.
CONSTRAINED_COLUMNS = tuple(
    column.name
    for column in AUDIT_COLUMNS
    if column.name in MAPPABLE_COLUMNS and (column.kind != "text" or column.values)
)

SourceCell = tuple[str, str, int]
"""A cell that a column of audits is made of: its name, the column, the position in the file."""


def create_text_view(
    connection: duckdb.DuckDBPyConnection,
    plan: ColumnPlan,
    mapping: ColumnMapping,
    cell_count: int,
    unescape: bool,
) -> ReviewNotes:
    """Create the view `standardized_rows` over the cells of `raw`.

    Parameters
    ----------
    connection
        The connection, with the table or view `raw`.
    plan
        The source of each column.
    mapping
        How the file writes values.
    cell_count
        The number of cells of `raw` to use, from the first.
    unescape
        Whether to remove the apostrophes that protect a quarantine file from spreadsheet formulas.

    Returns
    -------
    ReviewNotes
        Values that a person should review.

    Notes
    -----
    The view has a clean text `t_<name>` for every column of audits, with labels and names as the mapping spells them;
    `x<n>` for every extra column; and `cleaning_repairs`, the list of repairs in the row.
    """
    _create_mapping_macros(connection, mapping)
    create_text_macros(connection)
    create_parsing_macros(connection, mapping)
    execute_script(connection, "formula_injection.sql")
    execute_script(connection, "cell_parsing.sql")
    source_cells = _list_source_cells(plan)
    _create_cell_views(connection, source_cells, plan, mapping, cell_count, unescape)
    timestamps = {name: _build_text_sql(name, plan, mapping) for name in TIMESTAMP_COLUMNS}
    timestamp_columns = ", ".join(f"{text} as m_{name}" for name, text in timestamps.items())
    empty_table = f"select row, {timestamp_columns} from nonmissing_cells limit 0"
    execute(connection, f"create table normalized_timestamps as {empty_table}")
    normalize_timestamps(connection, timestamps, mapping)
    columns = _list_text_columns(source_cells, plan, mapping, cell_count)
    source = "nonmissing_cells left join normalized_timestamps using (row)"
    _create_views(connection, cell_values=(source, columns))
    return standardize_values(connection, plan, mapping)


def _list_text_columns(
    source_cells: Sequence[SourceCell], plan: ColumnPlan, mapping: ColumnMapping, cell_count: int
) -> list[str]:
    """Return the SQL of the columns of the view `cell_values`."""
    parsed = (*TIMESTAMP_COLUMNS, *NUMERIC_COLUMNS)
    extra_cells = range(len(plan.extra_columns))
    all_cells = ", ".join(f"c{n}" for n in range(cell_count))
    return [
        *("row", "record_issue", "id_had_decimal"),
        *(f"{_build_value_sql(name, plan, mapping)} as t_{name}" for name in MAPPABLE_COLUMNS),
        *(f"{_build_text_sql(name, plan, mapping)} as t_raw_{name}" for name in parsed),
        *(f"{_build_original_sql(name, source_cells, mapping)} as w_{name}" for name in ("label", "truth")),
        *(f"{_build_nonmissing_sql(f'e{n}', '', mapping)} as x{n}" for n in extra_cells),
        f"coalesce({all_cells}) as first_nonempty",
        f"{_build_repairs_sql(source_cells, mapping)} as cleaning_repairs",
    ]


def _create_cell_views(
    connection: duckdb.DuckDBPyConnection,
    source_cells: Sequence[SourceCell],
    plan: ColumnPlan,
    mapping: ColumnMapping,
    cell_count: int,
    unescape: bool,
) -> None:
    """Create the views from `trimmed_cells` to `nonmissing_cells`."""
    raw_cells = [f"unescape_formula(c{n})" if unescape else f"c{n}" for n in range(cell_count)]
    all_cells = ", ".join(f"c{n}" for n in range(cell_count))
    unquoted = [
        f"{f'c{n}' if column in FREE_TEXT_COLUMNS else f'strip_quotes(c{n})'} as u_{cell}"
        for cell, column, n in source_cells
    ]
    cleaned = [f"{_choose_cleaning_macro(column, mapping)}(u_{cell}) as y_{cell}" for cell, column, _ in source_cells]
    cleaned += [
        f"case when length(c{n}) <= {MAX_NAME_CHARS} then clean_text(c{n}) else c{n} end as e{number}"
        for number, n in enumerate(plan.extra_columns.values())
    ]
    nonmissing = [
        f"{_build_nonmissing_sql(f'y_{cell}', column, mapping)} as v_{cell}" for cell, column, _ in source_cells
    ]
    had_decimal = [
        f"coalesce(c{n} <> strip_id_decimal(c{n}), false)" for _, column, n in source_cells if column in ID_COLUMNS
    ]
    trimmed = [f"trim_cell({cell}) as c{n}" for n, cell in enumerate(raw_cells)]
    id_had_decimal = f"{' or '.join(had_decimal) or 'false'} as id_had_decimal"
    _create_views(
        connection,
        trimmed_cells=("raw", ["row", "record_issue", *trimmed]),
        row_contents=("raw", ["row", f"[{all_cells}]::varchar as content"]),
        unquoted_cells=("trimmed_cells", ["*", *unquoted]),
        cleaned_cells=("unquoted_cells", ["*", *cleaned]),
        nonmissing_cells=("cleaned_cells", ["*", *nonmissing, id_had_decimal]),
    )


def _list_source_cells(plan: ColumnPlan) -> list[SourceCell]:
    """Return the cells that the columns of audits are made of."""
    return [
        (f"{column}_{number}", column, position)
        for column, source in plan.sources.items()
        if not isinstance(source, str)
        for number, position in enumerate(source)
    ]


def _create_views(connection: duckdb.DuckDBPyConnection, **views: tuple[str, list[str]]) -> None:
    """Create views by name; each has a source and the SQL of its columns."""
    for name, (source, columns) in views.items():
        execute(connection, f"create view {name} as select {', '.join(columns)} from {source}")


def _create_mapping_macros(connection: duckdb.DuckDBPyConnection, mapping: ColumnMapping) -> None:
    """Create macros for what the mapping declares: allowed values, the meaning of weights, time zones of sites."""
    values = {column.name: column.values for column in AUDIT_COLUMNS if column.values}
    values |= {"label": mapping.known_labels, "proportional": PROPORTIONAL_STREAMS}
    cases = " ".join(f"when {quote_literal(name)} then {_format_sql_list(words)}" for name, words in values.items())
    zones = mapping.site_time_zones
    default = quote_literal(zones if isinstance(zones, str) else mapping.time_zone or "UTC")
    has_zone, zone = "true", default
    if isinstance(zones, dict) and zones:
        has_zone = f"list_contains({_format_sql_list(tuple(zones))}, site)"
        zone = _build_case_sql("site", zones, default)
    execute(
        connection,
        f"create macro allowed_values(name) as case name {cases} end; "
        f"create macro is_probability() as {mapping.weight_is == 'probability'}; "
        f"create macro has_site_time_zone(site) as {has_zone}; "
        f"create macro get_site_time_zone(site) as {zone}",
    )


def _format_sql_list(words: Sequence[str]) -> str:
    """Return words as a SQL list of texts."""
    return f"[{', '.join(map(quote_literal, words))}]::varchar[]"


def _build_case_sql(text: str, replacements: Mapping[str, str], default: str = "null") -> str:
    """Return the SQL that replaces some values of a text."""
    cases = " ".join(f"when {quote_literal(old)} then {quote_literal(new)}" for old, new in replacements.items())
    return f"case {text} {cases} else {default} end" if cases else default


def _build_value_sql(name: str, plan: ColumnPlan, mapping: ColumnMapping) -> str:
    """Return the SQL for the text of a column of audits, with timestamps and numbers in a normal form."""
    text = _build_text_sql(name, plan, mapping)
    if name not in plan.sources or name not in (*TIMESTAMP_COLUMNS, *NUMERIC_COLUMNS):
        return text
    return f"coalesce(m_{name}, {text})" if name in TIMESTAMP_COLUMNS else f"normalize_number({text})"


def _build_text_sql(name: str, plan: ColumnPlan, mapping: ColumnMapping) -> str:
    """Return the SQL for the text of a column of audits; `value_standardization` maps names and labels later."""
    source = plan.sources.get(name)
    if source is None:
        return "null::varchar"
    if isinstance(source, str):
        return quote_literal(source)
    cells = [f"v_{name}_{number}" for number in range(len(source))]
    if name in ID_COLUMNS:
        cells = [f"strip_id_decimal({cell})" for cell in cells]
    if name in TIMESTAMP_COLUMNS and len(cells) > 1:
        return build_datetime_sql(cells)
    joined = " || ':' || ".join(cells)
    if name in VOCABULARY_OF or name not in mapping.values:
        return joined
    exact = mapping.values[name]
    lowered = {old.lower(): new for old, new in reversed(exact.items())}
    return _build_case_sql(f"({joined})", exact, _build_case_sql(f"lower({joined})", lowered, joined))


def _build_original_sql(name: str, source_cells: Sequence[SourceCell], mapping: ColumnMapping) -> str:
    """Return the SQL for a label before it is cleaned; null if the mapping or the order of a set may change it."""
    cells = [f"c{n}" for _, column, n in source_cells if column == name]
    if len(cells) != 1 or mapping.label_scale == "multilabel":
        return "null::varchar"
    mapped = ", ".join(map(quote_literal, mapping.labels))
    return f"case when {cells[0]} not in ({mapped}) then {cells[0]} end" if mapped else cells[0]


def _choose_cleaning_macro(name: str, mapping: ColumnMapping) -> str:
    """Return the SQL macro that cleans a column; "" for free text and for sets of labels, which need line ends."""
    if name in FREE_TEXT_COLUMNS or (name in LABEL_COLUMNS and mapping.label_scale == "multilabel"):
        return ""
    return "normalize_id" if name in (*CONSTRAINED_COLUMNS, "audit_id", "item_id") else "clean_text"


def _build_nonmissing_sql(cell: str, name: str, mapping: ColumnMapping) -> str:
    """Return the SQL that drops words for missing values; a word that the mapping translates is a value."""
    pattern = _build_pattern(name, mapping, include_ambiguous=name in CONSTRAINED_COLUMNS)
    max_chars = max([MAX_NULL_WORD_CHARS, *map(len, mapping.nulls)])
    return f"case when length({cell}) > {max_chars} or not regexp_full_match({cell}, {pattern}) then {cell} end"


def _build_pattern(name: str, mapping: ColumnMapping, *, include_ambiguous: bool) -> str:
    """Return the pattern of the words for missing values in a column, as a SQL literal."""
    values: Iterable[str] = next((column.values for column in AUDIT_COLUMNS if column.name == name), ())
    translated = mapping.labels if name in LABEL_COLUMNS else mapping.values.get(name, {})
    if name in ID_COLUMNS:
        values = find_null_like_names(mapping.nulls)
    words = [word for word in map(clean_text, mapping.nulls) if word]
    return quote_literal(
        build_missing_pattern(include_ambiguous=include_ambiguous, words=words, exclude=[*values, *translated])
    )


def _build_repairs_sql(source_cells: Sequence[SourceCell], mapping: ColumnMapping) -> str:
    """Return the SQL that lists the repairs in a row."""
    named_cells = [source_cell for source_cell in source_cells if source_cell[1] not in FREE_TEXT_COLUMNS]
    was_cleaned = " or ".join(f"u_{cell} is distinct from y_{cell}" for cell, *_ in named_cells) or "false"
    was_quoted = " or ".join(f"c{n} is distinct from u_{cell}" for cell, _, n in named_cells) or "false"
    conditions = [(was_cleaned, INVISIBLE_CHARACTERS_REPAIR), (was_quoted, QUOTES_REPAIR)]
    for cell, column, _ in named_cells:
        if column in CONSTRAINED_COLUMNS:
            is_null = f"regexp_full_match(y_{cell}, {_build_pattern(column, mapping, include_ambiguous=False)})"
            was_word = f"y_{cell} is not null and v_{cell} is null and not {is_null}"
            conditions.append((was_word, MISSING_WORD_REPAIR.format(column)))
    repairs = [f"case when {condition} then {quote_literal(repair)} end" for condition, repair in conditions]
    return f"[{', '.join(repairs)}]::varchar[]"
