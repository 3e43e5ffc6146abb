"""Matching of side tables (events, targets, ratings, population) with the audits that were kept.

A value that matches no audit leads to a warning with the nearest value. It is never dropped silently. Values that
differ from those of the audits only in case, width or white space are spelled as the audits spell them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

import duckdb
import pandas as pd

from rca_lib.audits.periods import parse_period
from rca_lib.audits.schema import matches_pattern, parse_scope
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.side_table_issues import MIN_SIMILARITY, TableIssue, format_value, normalize_keyword
from rca_lib.intake.side_tables import SideTableNote, SideTables
from rca_lib.io.duckdb_connection import quote_identifier

YEAR = pd.Timedelta(days=365)
MAX_WARNINGS = 20  # warnings about single labels; one more counts the others
MAX_LISTED_VALUES = 5  # values in a hint if none is similar
OTHER_FILE_HINT = "correct it, or keep it if its audits are in another file"


class _KeptAudits:
    """The audits that were kept, with a cache of the values of their columns."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.columns = tuple(connection.sql("select * from kept_rows limit 0").columns)
        self.values = cache(self._fetch_values)
        self.combinations = cache(self._fetch_combinations)

    def _fetch_combinations(self, names: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return the distinct combinations of values of some columns."""
        columns = ", ".join(f"cast({quote_identifier(name)} as varchar)" for name in names)
        return self.connection.sql(f"select distinct {columns} from kept_rows").fetchall()

    def _fetch_values(self, name: str) -> tuple[str, ...]:
        """Return the values of a column, sorted."""
        return tuple(sorted(value for (value,) in self.combinations((name,)) if value is not None))

    def fetch_labels(self) -> set[str]:
        """Return all labels and truths."""
        return {*self.values("label"), *self.values("truth")}


def match_side_tables(connection: duckdb.DuckDBPyConnection, tables: SideTables, mapping: ColumnMapping) -> SideTables:
    """Match side tables with the audits that were kept.

    Parameters
    ----------
    connection
        The connection of the ingestion, with the views `kept_rows` and `validated_rows`.
    tables
        The side tables, as `read_side_tables` returns them.
    mapping
        How the audits are written. Scopes may use the spellings under its `values` and `labels`.

    Returns
    -------
    SideTables
        The tables, with scopes and labels as the audits spell them. There is a warning for each scope, vendor, label or
        stratum that matches no audit, for ratings of items without audits, and for events and targets of other years.

    Raises
    ------
    DataError
        If no row of the population matches an audit: all weights would be missing.

    Notes
    -----
    Case, width and white space of a value may differ from those of the audits if only one value can be meant.
    """
    audits = _KeptAudits(connection)
    frames = dict(tables.frames)
    files = {name: tables.files.get(name, f"{name}.csv") for name in frames}
    notes: dict[SideTableNote, None] = dict.fromkeys(tables.notes)  # a dict, because it drops duplicates

    def add_notes(kind: Literal["warning", "repair"], table: str, issues: Iterable[TableIssue]) -> None:
        from_matching = kind == "warning"
        notes.update(dict.fromkeys(SideTableNote(kind, table, issue, from_matching) for issue in issues))

    days = connection.sql("select min(day), max(day) from kept_rows").fetchall()[0]
    for name in ("events", "targets"):
        if name in frames and len(frames[name]) and days[0] is not None:
            frames[name], warnings, repairs = _match_scopes(audits, frames[name], files[name], mapping)
            add_notes("repair", name, repairs)
            check_years = _check_event_years if name == "events" else _check_target_years
            add_notes("warning", name, warnings + check_years(frames[name], files[name], days))
    if "events" in frames:
        add_notes("warning", "events", _check_vendors(audits, frames["events"], files["events"]))
    if len(frames.get("ratings", ())):
        frames["ratings"], repairs = _match_labels(audits, frames["ratings"], files["ratings"])
        add_notes("repair", "ratings", repairs)
        add_notes("warning", "ratings", _check_items(audits, frames["ratings"], files["ratings"]))
        add_notes("warning", "ratings", _check_labels(audits, frames["ratings"], files["ratings"]))
    if len(frames.get("population", ())):
        add_notes("warning", "population", _check_population(audits, frames["population"], files["population"]))
    return replace(tables, frames=frames, notes=tuple(sorted(notes, key=_note_sort_key)))


def _note_sort_key(note: SideTableNote) -> tuple[str, str, int, str, str]:
    """Return the key that sorts notes by kind, table, row, column and text."""
    return note.kind, note.table, note.issue.row or 0, note.issue.column or "", note.issue.problem


def _normalize_value(text: str) -> str:
    """Return a value in lower case and normal width, with single spaces and without invisible characters."""
    normalized = unicodedata.normalize("NFKC", text)
    visible = "".join(character for character in normalized if unicodedata.category(character) != "Cf")
    return " ".join(visible.split()).casefold()


def _format_nearest(value: str, candidates: Iterable[str]) -> str:
    """Return the values of the audits that are most similar to a value, as a hint."""
    candidates = list(candidates)
    normalized = {_normalize_value(candidate): candidate for candidate in candidates}
    matches = get_close_matches(_normalize_value(value), list(normalized), 3, MIN_SIMILARITY)
    nearest = [normalized[match] for match in matches]
    listed = ", ".join(map(format_value, nearest or candidates[:MAX_LISTED_VALUES])) or "none"
    return f"{'nearest' if nearest else 'there are'} in the audits: {listed}"


def _row_number(row: object) -> int:
    """Return the row of an index label."""
    return int(str(row))


# scopes --------------------------------------------------------------------------------------------------------------


def _match_scopes(
    audits: _KeptAudits, table: pd.DataFrame, file: str, mapping: ColumnMapping
) -> tuple[pd.DataFrame, list[TableIssue], list[TableIssue]]:
    """Spell scopes as the audits do; return the table, warnings about scopes without audits, and repairs."""
    warnings: list[TableIssue] = []
    repairs: list[TableIssue] = []
    scopes = table["scope"] if "scope" in table else pd.Series(None, table.index, object)
    matched_scopes: list[str | None] = []
    for row, scope in scopes.items():
        number = _row_number(row)
        pairs = parse_scope(scope)
        matched_pairs = {
            _match_scope_column(audits, name): _match_scope_value(audits, name, value, mapping)
            for name, value in pairs.items()
        }
        matched = _format_scope(matched_pairs) or None
        if matched_pairs != pairs:
            repairs.append(TableIssue(file, f"{format_value(scope)} is read as {matched}", "", number, "scope"))
        for problem, hint in _find_scope_issues(audits, matched_pairs):
            warnings.append(TableIssue(file, problem, hint, number, "scope"))
        matched_scopes.append(matched)
    return table.assign(scope=pd.Series(matched_scopes, table.index, object)), warnings, repairs


def _match_scope_column(audits: _KeptAudits, name: str) -> str:
    """Return the column of the audits that a scope names; the name itself if there is none."""
    if name in audits.columns:
        return name
    keyword = normalize_keyword(name)
    return next((column for column in audits.columns if normalize_keyword(column) == keyword), name)


def _match_scope_value(audits: _KeptAudits, name: str, value: str, mapping: ColumnMapping) -> str:
    """Return the value of the audits that a scope names; the value itself if none or several can be meant."""
    column = _match_scope_column(audits, name)
    if column not in audits.columns or any(matches_pattern(known, value) for known in audits.values(column)):
        return value
    translated = mapping.values.get(column, {}).get(value, value)
    if column == "policy":
        translated = mapping.labels.get(translated, translated)
    normalized = _normalize_value(translated)
    matches = [known for known in audits.values(column) if _normalize_value(known) == normalized]
    return matches[0] if len(matches) == 1 else value


def _find_scope_issues(audits: _KeptAudits, pairs: dict[str, str]) -> list[tuple[str, str]]:
    """Return the problem and the hint for each part of a scope that matches no audit."""
    issues = []
    for column, value in pairs.items():
        if column not in audits.columns:
            nearest = get_close_matches(normalize_keyword(column), audits.columns, 2, MIN_SIMILARITY)
            hint = f"nearest: {', '.join(nearest)}" if nearest else "map it to a column of the audits, or remove it"
            issues.append((f"the audits have no column {format_value(column)}", hint))
        elif not any(matches_pattern(known, value) for known in audits.values(column)):
            hint = f"{_format_nearest(value, audits.values(column))}; {OTHER_FILE_HINT}"
            issues.append((f"{column} {format_value(value)} matches no audit", hint))
    if not issues and len(pairs) > 1:
        patterns = tuple(pairs.values())
        combinations = audits.combinations(tuple(pairs))
        if not any(all(map(matches_pattern, values, patterns)) for values in combinations):
            issues.append((f"no audit matches all of {format_value(_format_scope(pairs))}", OTHER_FILE_HINT))
    return issues


def _format_scope(pairs: dict[str, str]) -> str:
    """Return a scope as the store writes it."""
    return ";".join(f"{column}={value}" for column, value in pairs.items())


def _check_event_years(events: pd.DataFrame, file: str, days: Any) -> list[TableIssue]:
    """Warn if no event starts between a year before the first audit and the last audit."""
    first_day, last_day = (pd.Timestamp(day) for day in days)
    starts = pd.to_datetime(events["start"], utc=True, format="ISO8601").dt.tz_localize(None)
    if starts.between(first_day - YEAR, last_day + pd.Timedelta(days=1)).any():
        return []
    problem = "no event starts during the audits or in the year before them"
    return [TableIssue(file, problem, _format_date_hint(first_day, last_day))]


def _check_target_years(targets: pd.DataFrame, file: str, days: Any) -> list[TableIssue]:
    """Warn if no target is in force on any day of the audits."""
    first_day, last_day = (pd.Timestamp(day) for day in days)
    empty = pd.Series(None, targets.index, object)
    valid_from = targets.get("valid_from", empty).fillna("0")
    valid_to = targets.get("valid_to", empty).fillna("9")
    in_force = (valid_from <= f"{last_day:%Y-%m-%d}") & (valid_to >= f"{first_day:%Y-%m-%d}")
    if in_force.any():
        return []
    return [TableIssue(file, "no target is in force during the audits", _format_date_hint(first_day, last_day))]


def _format_date_hint(first_day: pd.Timestamp, last_day: pd.Timestamp) -> str:
    """Return a hint with the days of the audits."""
    return f"check the dates: the audits run from {first_day:%Y-%m-%d} to {last_day:%Y-%m-%d}"


def _check_vendors(audits: _KeptAudits, events: pd.DataFrame, file: str) -> list[TableIssue]:
    """Warn about vendors in `visibility` that no audit has."""
    vendors = audits.values("vendor") if "vendor" in audits.columns else ()
    warnings = []
    for row, visibility in events.get("visibility", pd.Series(dtype=object)).dropna().items():
        vendor = str(visibility).removeprefix("vendor:")
        if vendor != visibility and vendor not in vendors:
            problem = f"vendor {format_value(vendor)} matches no audit"
            hint = f"{_format_nearest(vendor, vendors)}; {OTHER_FILE_HINT}"
            warnings.append(TableIssue(file, problem, hint, _row_number(row), "visibility"))
    return warnings


# ratings -------------------------------------------------------------------------------------------------------------


def _match_labels(audits: _KeptAudits, ratings: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[TableIssue]]:
    """Spell labels as the audits do if they differ in case, width or white space and only one label can be meant."""
    known_labels = audits.fetch_labels()
    labels_by_key: dict[str, set[str]] = {}
    for label in known_labels:
        labels_by_key.setdefault(_normalize_value(label), set()).add(label)
    given = ratings["label"].dropna()
    replacements: dict[str, str] = {}
    for text in given.unique():
        matches = labels_by_key.get(_normalize_value(text), set())
        if text not in known_labels and len(matches) == 1:
            replacements[text] = min(matches)
    counts = given[given.isin(list(replacements))].value_counts()
    repairs = [
        TableIssue(file, f"{format_value(text)} is read as {label} ({counts[text]:,} rows)", "", column="label")
        for text, label in sorted(replacements.items())
    ]
    return ratings.assign(label=ratings["label"].replace(replacements)), repairs


def _check_items(audits: _KeptAudits, ratings: pd.DataFrame, file: str) -> list[TableIssue]:
    """Warn if ratings are of items that no audit has."""
    audits.connection.register("ratings_given", ratings[["item_id"]].astype("string"))
    unmatched, example = audits.connection.sql(
        "select count(*), min(item_id) from ratings_given "
        "anti join (select distinct item_id from kept_rows) using (item_id)"
    ).fetchall()[0]
    audits.connection.unregister("ratings_given")
    if not unmatched:
        return []
    total = len(ratings)
    problem = f"{unmatched:,} of {total:,} ratings are of items without audits, such as {format_value(example)}"
    if unmatched == total:
        problem = f"no item matches an audit: {problem}"
    audited_item = audits.connection.sql("select min(item_id) from kept_rows").fetchall()[0][0]
    hint = f"write item IDs as the audits do, such as {format_value(audited_item)}"
    return [TableIssue(file, problem, hint, column="item_id")]


def _check_labels(audits: _KeptAudits, ratings: pd.DataFrame, file: str) -> list[TableIssue]:
    """Warn about labels that no audit has."""
    known_labels = sorted(audits.fetch_labels())
    labels = {str(label) for label in ratings["label"].dropna().unique() if label}
    unknown = sorted(labels - set(known_labels))
    warnings = [
        TableIssue(
            file,
            f"label {format_value(label)} is in no audit",
            f"{_format_nearest(label, known_labels)}; correct it if it means one of them",
            column="label",
        )
        for label in unknown[:MAX_WARNINGS]
    ]
    if len(unknown) > MAX_WARNINGS:
        problem = f"{len(unknown) - MAX_WARNINGS:,} more labels are in no audit"
        warnings.append(TableIssue(file, problem, "correct those that mean a label of the audits", column="label"))
    return warnings


# population ----------------------------------------------------------------------------------------------------------


def _check_population(audits: _KeptAudits, population: pd.DataFrame, file: str) -> list[TableIssue]:
    """Warn about rows of the population without audits; raise DataError if no row has any."""
    audited = audits.connection.sql(
        "select distinct site, queue, stratum, day from validated_rows where site is not null and day is not null"
    ).df()
    audited["day"] = pd.to_datetime(audited["day"])
    warnings = []
    for row, stratum in population.iterrows():
        period = parse_period(stratum["period"])
        keys = {
            name: stratum[name] for name in ("site", "stratum", "queue") if name in stratum and pd.notna(stratum[name])
        }
        matches = audited["day"].between(pd.Timestamp(period.start), pd.Timestamp(period.end), inclusive="left")
        for name, value in keys.items():
            matches &= audited[name] == value
        if not matches.any():
            problem, column, hint = _explain_unmatched_row(audited, keys, stratum["period"])
            warnings.append(TableIssue(file, problem, hint, _row_number(row), column))
    if warnings and len(warnings) == len(population):
        warning = warnings[0]
        problem = f"no row of the population matches an audit: {warning.problem}"
        first = {"file": file, "source_row": warning.row}
        raise DataError(problem, column=warning.column, rows=len(warnings), first=first, hint=warning.hint)
    return warnings


def _explain_unmatched_row(audited: pd.DataFrame, keys: Mapping[str, str], period: str) -> tuple[str, str, str]:
    """Return the problem, the column and the hint for a row of the population without audits."""
    for name, value in keys.items():
        known_values = sorted(audited[name].dropna().unique())
        if value not in known_values:
            hint = f"{_format_nearest(value, known_values)}; {OTHER_FILE_HINT}"
            return f"{name} {format_value(value)} matches no audit", name, hint
    return f"no audit of {', '.join(keys.values())} is in {format_value(period)}", "period", OTHER_FILE_HINT
