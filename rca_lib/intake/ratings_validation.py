# Tested in tests/intake/test_side_tables.py.
"""Validation of ratings.

There may be millions of ratings. Equal issues are therefore reported once, with the first row and the number of rows.
"""

from __future__ import annotations

from difflib import get_close_matches

import pandas as pd

from rca_lib.audits.column_checks import BOOLEAN_WORDS
from rca_lib.audits.ratings import encode_ratings
from rca_lib.audits.schema import RATINGS, list_columns
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.side_table_issues import MIN_SIMILARITY, TableFile, TableIssue, format_value, normalize_keyword
from rca_lib.intake.side_table_values import DATE_HINT

RATING_ROLES = next(column.values for column in RATINGS if column.name == "role")
RATING_KEY = ("item_id", "rater", "role", "trial")  # the columns that identify a rating
MIN_LABEL_SIMILARITY = 0.4  # lower than for keywords: the suggestion is a label of a short, known list
MAX_TRIALS = 1e6  # a larger number is no trial
MAX_CONTRADICTIONS = 100  # contradicting ratings that are reported


def validate_ratings(table_file: TableFile, mapping: ColumnMapping) -> pd.DataFrame:
    """Validate ratings.

    Parameters
    ----------
    table_file
        The file; issues, warnings and repairs are added to it.
    mapping
        How the audits are written. Its null words and labels apply to ratings too.

    Returns
    -------
    pandas.DataFrame
        The ratings as the store keeps them, with the rows of the file as index. A rating without a label is kept, but
        does not count as a rating.
    """
    texts = table_file.texts
    table = table_file.parsed_values[["item_id", "rater", "label"]].astype(object)
    table = table.where(table.notna(), None)
    for name in ("item_id", "rater"):
        hint = "fill it in, or remove the row"
        _reject_values(table_file, table[name].isna(), texts[name], name, "{column} is missing", hint)
    _reject_unknown_labels(table_file, texts["label"][table["label"].isna() & texts["label"].notna()], mapping)
    table["role"] = _parse_roles(table_file)
    if "trial" in texts:
        table["trial"] = _parse_trials(table_file, "trial")
    if "blind" in texts:
        table["blind"] = _parse_booleans(table_file, "blind")
    if "rated_at" in texts:
        table["rated_at"] = _format_times(table_file, "rated_at")
    table = _drop_duplicates(table_file, table)
    if not table_file.issues:
        _validate_with_reader(table_file, table)
    return table[[name for name in texts if name in list_columns(RATINGS)]]


def _group_rows(values: pd.Series) -> list[tuple[str, list[int]]]:
    """Return each value with its rows, ordered by the first row."""
    groups = values.groupby(values, sort=False).groups
    rows_by_value = [(str(value), [int(row) for row in rows]) for value, rows in groups.items()]
    return sorted(rows_by_value, key=lambda group: group[1][0])


def _format_row_count(rows: list[int]) -> str:
    """Return the number of rows in brackets; "" if there is only one."""
    return f" ({len(rows):,} rows)" if len(rows) > 1 else ""


def _reject_values(
    table_file: TableFile, is_invalid: pd.Series, texts: pd.Series, column: str, problem: str, hint: str
) -> None:
    """Add one issue per invalid value; `problem` may contain `{column}` and `{value}`."""
    for value, rows in _group_rows(texts[is_invalid].fillna("")):
        sentence = problem.format(column=column, value=format_value(value))
        table_file.add_issue(rows[0], column, f"{sentence}{_format_row_count(rows)}", hint)


def _reject_unknown_labels(table_file: TableFile, unknown: pd.Series, mapping: ColumnMapping) -> None:
    """Add one issue per label that is not in the mapping, with the nearest labels."""
    for value, rows in _group_rows(unknown):
        candidates = [*mapping.known_labels, *mapping.labels]
        nearest = get_close_matches(value, candidates, 3, MIN_LABEL_SIMILARITY) or mapping.known_labels
        problem = f"label {format_value(value)} is not in the mapping{_format_row_count(rows)}"
        hint = f"correct it, or add it under labels; nearest: {', '.join(nearest)}"
        table_file.add_issue(rows[0], "label", problem, hint)


def _parse_roles(table_file: TableFile) -> pd.Series:
    """Return the roles; an empty cell means "rater"."""
    texts = table_file.texts.get("role", pd.Series(None, table_file.texts.index, object))
    keywords = texts.map(normalize_keyword, na_action="ignore").astype(object)
    for value, rows in _group_rows(texts[keywords.notna() & ~keywords.isin(RATING_ROLES)]):
        nearest = get_close_matches(normalize_keyword(value), RATING_ROLES, 1, MIN_SIMILARITY) or RATING_ROLES
        problem = f"{format_value(value)} is not a known role{_format_row_count(rows)}"
        table_file.add_issue(rows[0], "role", problem, f"nearest: {', '.join(nearest)}")
    return keywords.fillna("rater")


def _parse_trials(table_file: TableFile, name: str) -> pd.Series:
    """Return the trials as whole numbers from 1; None for empty and invalid cells."""
    texts = table_file.texts[name]
    numbers = pd.to_numeric(texts, errors="coerce")
    is_valid = (numbers >= 1) & (numbers == numbers.round()) & (numbers < MAX_TRIALS)
    is_invalid = texts.notna() & ~is_valid
    problem = "{value} is not a whole number of 1 or more"
    _reject_values(table_file, is_invalid, texts, name, problem, "number the trials 1, 2, 3 …")
    integers = numbers.where(~is_invalid).astype("Int64").astype(object)
    return integers.where(texts.notna() & ~is_invalid, None)


def _parse_booleans(table_file: TableFile, name: str) -> pd.Series:
    """Return "True" or "False"; None for empty and invalid cells."""
    texts = table_file.texts[name]
    flags = texts.map(lambda text: None if text is None else BOOLEAN_WORDS.get(text.lower()))
    is_invalid = texts.notna() & flags.isna()
    _reject_values(table_file, is_invalid, texts, name, "{value} is neither yes nor no", "write true or false")
    return flags.map(lambda flag: None if flag is None or flag != flag else str(flag)).astype(object)


def _format_times(table_file: TableFile, name: str) -> pd.Series:
    """Return instants as the store writes them: 2026-03-09T14:30:00Z."""
    texts, instants = table_file.texts[name], table_file.parsed_values[name]
    hint = f"{DATE_HINT}, or correct date_order in the mapping"
    is_invalid = instants.isna() & texts.notna()
    _reject_values(table_file, is_invalid, texts, name, "{value} cannot be read as a date", hint)
    return pd.to_datetime(instants).dt.strftime("%Y-%m-%dT%H:%M:%SZ").astype(object)


def _drop_duplicates(table_file: TableFile, table: pd.DataFrame) -> pd.DataFrame:
    """Drop exact duplicates; add an issue if a rater gave an item two labels in one trial."""
    is_duplicate = table.duplicated()
    if is_duplicate.any():
        description = f"{int(is_duplicate.sum()):,} exact duplicate rows are left out"
        table_file.repairs.append(TableIssue(table_file.name, description, ""))
    table = table[~is_duplicate]
    key = [name for name in RATING_KEY if name in table]
    is_complete = table[["item_id", "rater", "label"]].notna().all(axis=1)
    contradictions = table[table.duplicated(key, keep=False) & is_complete]
    groups = list(contradictions.groupby(key, sort=False, dropna=False))
    for (item, rater, *_), rows in groups[:MAX_CONTRADICTIONS]:
        problem = f"{format_value(rater)} rated {format_value(item)} {len(rows)} times with different content"
        hint = "number the trials in a column trial, or keep one row"
        table_file.add_issue(rows.index[0], "rater", problem, hint)
    return table


def _validate_with_reader(table_file: TableFile, table: pd.DataFrame) -> None:
    """Add an issue if the reader that all questions use would reject the ratings."""
    labelled = table[table["label"].notna()]
    if labelled.empty:
        warning = TableIssue(table_file.name, "no rating has a label", "fill in the labels", column="label")
        table_file.warnings.append(warning)
        return
    try:
        encode_ratings(labelled.drop(columns=["rated_at", "blind"], errors="ignore"))
    except DataError as error:
        issue = TableIssue(table_file.name, str(error.problem), error.hint or "correct it", column=error.column)
        table_file.issues.append(issue)
