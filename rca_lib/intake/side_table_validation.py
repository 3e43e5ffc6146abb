# Tested in tests/intake/test_side_tables.py.
"""Validation of events, targets and population, row by row.

Each `validate_…` function takes the file as it was read and returns the table as the store keeps it. Issues are added
to the file. The result may only be used if the file has no issues.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from rca_lib.audits.periods import parse_period
from rca_lib.audits.schema import EVENT_TYPES, TARGET_METRICS, parse_scope
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.side_table_issues import TableFile, format_value, normalize_keyword
from rca_lib.intake.side_table_values import (
    Times,
    collect_times,
    validate_count,
    validate_keyword,
    validate_scope,
    validate_share,
    validate_time,
)

DIRECTIONS = {"at_least": "at_least", "at_most": "at_most", ">=": "at_least", "≥": "at_least", "<=": "at_most",
              "≤": "at_most"}  # fmt: skip
ERROR_METRICS = ("over_enforcement", "under_enforcement")  # lower is better
TARGET_COLUMNS = (
    "metric", "direction", "contract", "realistic", "stretch", "scope", "valid_from", "valid_to", "min_audits",
)  # fmt: skip
POPULATION_COLUMNS = ("period", "site", "queue", "stratum", "decisions")


# events --------------------------------------------------------------------------------------------------------------


def validate_events(table_file: TableFile, _mapping: ColumnMapping) -> pd.DataFrame:
    """Validate events row by row.

    Parameters
    ----------
    table_file
        The file; issues and repairs are added to it.
    _mapping
        Not used: all validators of side tables have the same signature.

    Returns
    -------
    pandas.DataFrame
        The events as the store keeps them, with the rows of the file as index.
    """
    table = table_file.texts
    starts = collect_times(table_file, "start")
    ends = collect_times(table_file, "end")
    events: list[dict[str, Any]] = []
    first_rows: dict[str, object] = {}  # by event ID
    for row, texts in _iterate_rows(table):
        _validate_event_id(table_file, row, texts["event_id"], first_rows)
        event = dict(texts)
        event["type"] = validate_keyword(table_file, row, "type", texts["type"], EVENT_TYPES)
        event["title"] = texts["title"] or (event["type"] or "").replace("_", " ").capitalize()
        event["start"] = validate_time(table_file, row, "start", texts["start"], starts, required=True)
        event["end"] = validate_time(table_file, row, "end", texts.get("end"), ends)
        _validate_interval(table_file, row, texts, starts, ends)
        event["scope"] = validate_scope(table_file, row, texts.get("scope"))
        event["share"] = validate_share(table_file, row, "share", texts.get("share"))
        event["visibility"] = _validate_visibility(table_file, row, texts.get("visibility"))
        events.append(event)
    names = list(dict.fromkeys(["event_id", "type", "start", "end", "scope", "title", *table, "visibility"]))
    return pd.DataFrame(events, table.index, names, dtype=object)


def _validate_event_id(table_file: TableFile, row: object, event_id: str | None, first_rows: dict[str, object]) -> None:
    """Add an issue if an event has no ID or one of an earlier row; remember the row of a new ID."""
    if event_id is None:
        table_file.add_issue(row, "event_id", "the event has no ID", "give each event an ID, such as e-001")
        return
    if event_id in first_rows:
        problem = f"{format_value(event_id)} is also the ID of row {first_rows[event_id]}"
        table_file.add_issue(row, "event_id", problem, "give each event its own ID, or remove the copy")
    first_rows.setdefault(event_id, row)


def _validate_interval(table_file: TableFile, row: object, texts: dict[str, Any], starts: Times, ends: Times) -> None:
    """Add an issue if an event ends before it starts; it may end on the day on which it starts."""
    start, _ = starts.get(row, (None, False))
    end, end_is_day = ends.get(row, (None, False))
    if start is None or end is None:
        return
    if end < (start.normalize() if end_is_day else start):
        problem = f"the end {format_value(texts['end'])} is before the start {format_value(texts['start'])}"
        table_file.add_issue(row, "end", problem, "correct one of the two dates, or leave the end empty")


def _validate_visibility(table_file: TableFile, row: object, text: str | None) -> str | None:
    """Return who may see an event: internal, all or vendor:NAME; None if the cell is empty or invalid."""
    if text is None:
        return None
    kind, sign, vendor = (part.strip() for part in text.partition(":"))
    if sign and normalize_keyword(kind) == "vendor" and vendor:
        return f"vendor:{vendor}"
    keywords = ("internal", "all", "vendor:NAME")
    return validate_keyword(table_file, row, "visibility", text, keywords, required=False)


# targets -------------------------------------------------------------------------------------------------------------


def validate_targets(table_file: TableFile, mapping: ColumnMapping) -> pd.DataFrame:
    """Validate targets row by row.

    Parameters
    ----------
    table_file
        The file; issues and repairs are added to it.
    mapping
        How the audits are written: its decimal mark applies to `min_audits`.

    Returns
    -------
    pandas.DataFrame
        The targets as the store keeps them, with the rows of the file as index.
    """
    table = table_file.texts
    first_days = collect_times(table_file, "valid_from")
    last_days = collect_times(table_file, "valid_to")
    targets: list[dict[str, Any]] = []
    for row, texts in _iterate_rows(table):
        target = dict(texts)
        target["metric"] = validate_keyword(table_file, row, "metric", texts["metric"], TARGET_METRICS)
        target["scope"] = validate_scope(table_file, row, texts.get("scope"))
        target["direction"] = _validate_direction(table_file, row, texts.get("direction"), target["metric"])
        for name in ("contract", "realistic", "stretch"):
            target[name] = validate_share(table_file, row, name, texts.get(name), required=name == "contract")
        for name, times in (("valid_from", first_days), ("valid_to", last_days)):
            time = validate_time(table_file, row, name, texts.get(name), times)
            target[name] = time and time[:10]
        target["min_audits"] = validate_count(
            table_file, row, "min_audits", texts.get("min_audits"), mapping, minimum=0
        )
        _validate_target(table_file, row, target)
        targets.append({"row": row, **target})
    _reject_overlaps(table_file, targets)
    names = [name for name in TARGET_COLUMNS if name in table or name in ("direction", "scope")]
    names += [str(name) for name in table if name not in names]
    return pd.DataFrame(targets, table.index, names, dtype=object)


def _validate_direction(table_file: TableFile, row: object, text: str | None, metric: str | None) -> str | None:
    """Return the direction of a target: at_least or at_most. If the cell is empty, the metric decides."""
    if text is None:
        return "at_most" if metric in ERROR_METRICS else "at_least"
    known = DIRECTIONS.get(text.strip())
    return known or validate_keyword(table_file, row, "direction", text, ("at_least", "at_most"))


def _validate_target(table_file: TableFile, row: object, target: dict[str, Any]) -> None:
    """Add issues that concern several values of a target."""
    first_day, last_day, metric = target["valid_from"], target["valid_to"], target["metric"]
    if first_day and last_day and last_day < first_day:
        problem = f"the last day {last_day} is before the first day {first_day}"
        table_file.add_issue(row, "valid_to", problem, "correct one of the two days")
    expected = "at_most" if metric in ERROR_METRICS else "at_least"
    if metric and target["direction"] and target["direction"] != expected:
        problem = f"{target['direction']} does not suit {metric}"
        table_file.add_issue(row, "direction", problem, f"write {expected}, or correct the metric")
    if target["contract"] == "1" and metric in ERROR_METRICS:
        problem = "1 means 100%, a target that is always met"
        table_file.add_issue(row, "contract", problem, "write 0.01 or 1% for one percent")


def _reject_overlaps(table_file: TableFile, targets: list[dict[str, Any]]) -> None:
    """Add an issue for each target whose metric, scope and days overlap with those of an earlier row."""
    targets_by_key: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for target in targets:
        key = (target["metric"], *sorted(parse_scope(target["scope"]).items()))
        earlier_targets = targets_by_key.setdefault(key, [])
        for earlier in earlier_targets if target["metric"] else ():
            starts_before_end = (target["valid_from"] or "0") <= (earlier["valid_to"] or "9")
            ends_after_start = (earlier["valid_from"] or "0") <= (target["valid_to"] or "9")
            if starts_before_end and ends_after_start:
                problem = f"row {earlier['row']} sets the same metric and scope for the same days"
                table_file.add_issue(target["row"], "metric", problem, "remove one, or set valid_from and valid_to")
                break
        earlier_targets.append(target)


# population ----------------------------------------------------------------------------------------------------------


def validate_population(table_file: TableFile, mapping: ColumnMapping) -> pd.DataFrame:
    """Validate the population row by row.

    Parameters
    ----------
    table_file
        The file; issues are added to it.
    mapping
        How the audits are written: its decimal mark applies to `decisions`.

    Returns
    -------
    pandas.DataFrame
        The population as the store keeps it, with the rows of the file as index.
    """
    table = table_file.texts
    rows: list[dict[str, Any]] = []
    first_rows: dict[tuple[str | None, ...], object] = {}  # by period, site, queue and stratum
    keys = [name for name in ("site", "queue", "stratum") if name in table_file.parsed_values]
    for row, texts in zip(table.index, table.to_dict("records"), strict=True):
        values = dict(texts) | {name: table_file.parsed_values.at[row, name] for name in keys}
        values |= {name: None for name in keys if pd.isna(values[name])}
        values["period"] = _validate_period(table_file, row, texts["period"])
        for name in ("site", "stratum"):
            if values[name] is None:
                table_file.add_issue(row, name, f"{name} is missing", f"fill in the {name} as the audits spell it")
        if texts["decisions"] is None:
            hint = "fill in the number of decisions in the stratum"
            table_file.add_issue(row, "decisions", "the number is missing", hint)
        values["decisions"] = validate_count(table_file, row, "decisions", texts["decisions"], mapping, minimum=1)
        key = tuple(values.get(name) for name in ("period", "site", "queue", "stratum"))
        period, site, _, stratum = key
        if key in first_rows and None not in (period, site, stratum):
            problem = f"row {first_rows[key]} counts the same stratum"
            table_file.add_issue(row, "stratum", problem, "keep one row per stratum and period")
        first_rows.setdefault(key, row)
        rows.append(values)
    names = [name for name in POPULATION_COLUMNS if name in table]
    return pd.DataFrame(rows, table.index, names, dtype=object)


def _validate_period(table_file: TableFile, row: object, text: str | None) -> str | None:
    """Return the name of a period; None if it is missing or invalid."""
    if text is None:
        table_file.add_issue(row, "period", "the period is missing", "write 2026-03, 2026-Q1 or 2026-W12")
        return None
    try:
        return parse_period(text).name
    except ValueError:
        problem = f"{format_value(text)} is not a period"
        hint = "write a month 2026-03, a quarter 2026-Q1 or a week 2026-W12"
        table_file.add_issue(row, "period", problem, hint)
        return None


def _iterate_rows(table: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the row number in the file and the cells of each row, by column."""
    names = [str(name) for name in table]
    for row, cells in zip(table.index.tolist(), table.itertuples(index=False, name=None), strict=True):
        yield row, dict(zip(names, cells, strict=True))
