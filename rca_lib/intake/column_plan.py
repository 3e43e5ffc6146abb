# Tested in tests/intake/test_column_mapping.py.
"""The column plan: from which column of a file each column of audits comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns, resolve_reserved_name
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import MAPPABLE_COLUMNS, ColumnMapping, ConstantColumn, suggest_names

MAX_LISTED_COLUMNS = 60  # columns of the file in a hint

Positions = dict[str, int]
"""The position of each column of a file by its name."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """The source of each column.

    Attributes
    ----------
    sources
        By column of audits the positions in the file, whose values are joined with ":"; or the text of a constant.
    extra_columns
        The positions of the other columns that are kept, by the names under which they are kept.
    """

    sources: dict[str, tuple[int, ...] | str]
    extra_columns: dict[str, int]


def plan_columns(mapping: ColumnMapping, names: Sequence[str]) -> ColumnPlan:
    """Find the source of each column of audits, and the extra columns to keep.

    Parameters
    ----------
    mapping
        The mapping of the file. A column that it does not name is searched under its canonical name.
    names
        The header of the file.

    Returns
    -------
    ColumnPlan
        The sources and the extra columns.

    Raises
    ------
    DataError
        If headers are duplicated, or mapped or required columns are missing. The error names all missing columns with
        the nearest names in the file.

    Examples
    --------
    >>> mapping = ColumnMapping(columns={"truth": "expert", "site": ConstantColumn(constant="S")}, keep=())
    >>> plan = plan_columns(mapping, ["audit_id", "item_id", "rater", "decided_at", "label", "expert"])
    >>> plan.sources["truth"], plan.sources["site"]
    ((5,), 'S')
    """
    positions = _index_header(names, _collect_requested_names(mapping))
    sources: dict[str, tuple[int, ...] | str] = {}
    missing: list[tuple[str, str]] = []  # pairs of the file's column and the column of audits
    for name in MAPPABLE_COLUMNS:
        source = mapping.columns.get(name, name)
        if isinstance(source, ConstantColumn):
            sources[name] = source.constant
        elif (name in mapping.columns or name in positions) and source not in ("", ()):
            headers = [_collapse_spaces(source_name) for source_name in _list_source_names(source)]
            missing += [(header, name) for header in headers if header not in positions]
            sources[name] = tuple(positions.get(header, -1) for header in headers)
    missing += [(name, name) for name in list_columns(AUDIT_COLUMNS, "required") if name not in sources]
    if missing:
        raise _build_missing_error(missing, positions)
    return ColumnPlan(sources, _select_extra_columns(mapping, sources, positions))


def _list_source_names(source: str | Sequence[str]) -> list[str]:
    """Return the file's columns that make up a column of audits."""
    return [source] if isinstance(source, str) else list(source)


def _collapse_spaces(name: str) -> str:
    """Return a name in which each run of white space is one space, as in the header."""
    return " ".join(name.split())


def _collect_requested_names(mapping: ColumnMapping) -> set[str]:
    """Return the file's columns that the mapping or the schema of audits asks for, in lower case."""
    mapped = [
        name
        for source in mapping.columns.values()
        if not isinstance(source, ConstantColumn)
        for name in _list_source_names(source)
    ]
    return {_collapse_spaces(name).casefold() for name in (*mapped, *MAPPABLE_COLUMNS, *(mapping.keep or ()))}


def _index_header(names: Sequence[str], requested: set[str]) -> Positions:
    """Return the position of each name; a duplicate that is not requested gets the number of its column."""
    lowered = [name.casefold() for name in names]
    duplicates = [name for name in lowered if lowered.count(name) > 1]
    ambiguous = next((name for name in duplicates if name in requested), None)
    if ambiguous is not None:
        numbers = [str(number) for number, name in enumerate(lowered, 1) if name == ambiguous]
        name = names[lowered.index(ambiguous)]
        hint = f"rename or remove one of the columns {', '.join(numbers)}"
        raise DataError(f"the header has {name!r} {len(numbers)} times", column=ambiguous, hint=hint)
    return {
        f"{name} (column {position + 1})" if lowered[position] in duplicates else name: position
        for position, name in enumerate(names)
    }


def _build_missing_error(missing: Sequence[tuple[str, str]], positions: Positions) -> DataError:
    """Return an error that names all missing columns, each with the nearest of the file."""
    problem, hint = (_describe_missing_column if len(missing) == 1 else _describe_missing_columns)(missing, positions)
    hints = [hint]
    for header, _ in missing:
        quoting = _suggest_quoting(header, positions)
        if quoting:
            hints.append(quoting)
    has_numeric_names = any(re.fullmatch(r"[\d.,:/ -]+", name) for name in positions)
    if not set(MAPPABLE_COLUMNS) & set(positions) and has_numeric_names:
        hints.append("if the file has no header, write header_row: 0; its columns are then column_1, column_2 …")
    return DataError(problem, column=missing[0][1], hint="; ".join(hints))


def _describe_missing_column(missing: Sequence[tuple[str, str]], positions: Positions) -> tuple[str, str]:
    """Return the problem and the hint for one missing column."""
    ((header, name),) = missing
    nearest = suggest_names(header, positions)
    mapped = "" if header == name else f"; the mapping names it for {name}"
    hint = f"name it in the mapping under columns: {name}; nearest in the file: {nearest}"
    return f"no column {header!r} in the file{mapped}", hint


def _describe_missing_columns(missing: Sequence[tuple[str, str]], positions: Positions) -> tuple[str, str]:
    """Return the problem and the hint for several missing columns."""
    listed = [header if header == name else f"{header!r} for {name}" for header, name in missing]
    nearest = {header: suggest_names(header, positions, 1, list_all=False) for header, _ in missing}
    suggestions = ", ".join(f"{nearest[header]} for {header}" for header, _ in missing if nearest[header])
    hint = "name them in the mapping under columns"
    if suggestions:
        hint += f"; nearest in the file: {suggestions}"
    hint += f"; the file has: {', '.join(list(positions)[:MAX_LISTED_COLUMNS])}"
    return f"no columns {', '.join(listed)} in the file", hint


def _suggest_quoting(header: str, names: Iterable[str]) -> str:
    """Return how to quote a name that YAML cut at a comment sign; "" if that is not the cause."""
    uncut = next((name for name in names if name.startswith((f"{header} #", f"{header}: "))), None)
    return f"write '{uncut}' in quotes, because YAML treats the text after # as a comment" if uncut else ""


def _select_extra_columns(
    mapping: ColumnMapping, sources: dict[str, tuple[int, ...] | str], positions: Positions
) -> dict[str, int]:
    """Return the extra columns to keep: those under `keep`, else all that are not the only source of a column."""
    used = {source[0] for source in sources.values() if not isinstance(source, str) and len(source) == 1}
    names = mapping.keep if mapping.keep is not None else [name for name in positions if positions[name] not in used]
    headers = {name: _collapse_spaces(name) for name in names}
    absent = [name for name, header in headers.items() if header not in positions]
    if absent:
        raise _build_missing_error([(name, name) for name in absent], positions)
    taken = {name.casefold() for name in positions}
    return {resolve_reserved_name(name, taken): positions[headers[name]] for name in names}
