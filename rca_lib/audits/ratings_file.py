"""What ratings must hold. There may be millions: equal faults are told once, with the first row and the count."""

from __future__ import annotations

from difflib import get_close_matches

import pandas as pd

from rca_lib.audits.mapping import Mapping
from rca_lib.audits.ratings import read_ratings
from rca_lib.audits.side_rules import DATE_HINT
from rca_lib.audits.table_files import Fault, TableFile, fold_word, show_value
from rca_lib.audits.tables import RATINGS, columns
from rca_lib.audits.values import FLAGS
from rca_lib.findings import DataError

ROLES = next(column.values for column in RATINGS if column.name == "role")
ONE = ["item_id", "rater", "role", "trial"]  # one judgement


def check_ratings(read: TableFile, mapping: Mapping) -> pd.DataFrame:
    """Check ratings, and return them as the store holds them; faults are added to `read`.

    Null words, ids, raters and labels are read as those of the audits: by the mapping's words and labels. A rating
    without a label is kept and counts as none.
    """
    texts, table = read.texts, read.typed[["item_id", "rater", "label"]].astype(object)
    table = table.where(table.notna(), None)
    for name in ("item_id", "rater"):
        _refuse_values(
            read, table[name].isna(), texts[name], name, "there is no {column}", "fill it in, or remove the row"
        )
    unknown = table["label"].isna() & texts["label"].notna()
    known = mapping.known_labels
    for value, rows in _group(texts["label"][unknown]):
        near = get_close_matches(value, [*known, *mapping.labels], 3, 0.4) or known
        problem = f"label {show_value(value)} is not in the mapping{_count(rows)}"
        read.refuse(rows[0], "label", problem, f"correct it, or add it under labels; nearest: {', '.join(near)}")
    table["role"] = _read_words(read, "role")
    for name, reader in (("trial", _read_trials), ("blind", _read_flags)):
        if name in texts:
            table[name] = reader(read, name)
    if "rated_at" in texts:
        moments = read.typed["rated_at"]
        wrong = moments.isna() & texts["rated_at"].notna()
        problem, hint = "{value} cannot be read as a date", f"{DATE_HINT}, or correct date_order in the mapping"
        _refuse_values(read, wrong, texts["rated_at"], "rated_at", problem, hint)
        table["rated_at"] = pd.to_datetime(moments).dt.strftime("%Y-%m-%dT%H:%M:%SZ").astype(object)
    table = _drop_copies(read, table)
    if not read.faults:
        _ask_reader(read, table)
    return table[[name for name in texts if name in columns(RATINGS)]]


def _group(values: pd.Series) -> list[tuple[str, list[int]]]:
    """Return each value with its rows, by the first row."""
    groups = values.groupby(values, sort=False).groups
    return sorted(
        ((str(value), [int(row) for row in rows]) for value, rows in groups.items()), key=lambda one: one[1][0]
    )


def _count(rows: list[int]) -> str:
    return f" ({len(rows):,} rows)" if len(rows) > 1 else ""


def _refuse_values(read: TableFile, wrong: pd.Series, texts: pd.Series, column: str, problem: str, hint: str) -> None:
    for value, rows in _group(texts[wrong].fillna("")):
        told = problem.format(column=column, value=show_value(value))
        read.refuse(rows[0], column, f"{told}{_count(rows)}", hint)


def _read_words(read: TableFile, name: str) -> pd.Series:
    texts = read.texts.get(name, pd.Series(None, read.texts.index, object))
    words = texts.map(fold_word, na_action="ignore").astype(object)
    for value, rows in _group(texts[words.notna() & ~words.isin(ROLES)]):
        near = get_close_matches(fold_word(value), ROLES, 1, 0.5) or ROLES
        read.refuse(
            rows[0], name, f"{show_value(value)} is not a known {name}{_count(rows)}", f"nearest: {', '.join(near)}"
        )
    return words.fillna("rater")


def _read_trials(read: TableFile, name: str) -> pd.Series:
    texts = read.texts[name]
    numbers = pd.to_numeric(texts, errors="coerce")
    wrong = texts.notna() & ~((numbers >= 1) & (numbers == numbers.round()) & (numbers < 1e6))
    _refuse_values(read, wrong, texts, name, "{value} is not a whole number from 1", "number the trials 1, 2, 3 …")
    return numbers.where(~wrong).astype("Int64").astype(object).where(texts.notna() & ~wrong, None)


def _read_flags(read: TableFile, name: str) -> pd.Series:
    texts = read.texts[name]
    flags = texts.map(lambda text: None if text is None else FLAGS.get(text.lower()))
    _refuse_values(
        read, texts.notna() & flags.isna(), texts, name, "{value} is neither yes nor no", "write true or false"
    )
    return flags.map(lambda flag: None if flag is None or flag != flag else str(flag)).astype(object)


def _drop_copies(read: TableFile, table: pd.DataFrame) -> pd.DataFrame:
    """Drop exact copies; refuse two labels of one rater for one item in one trial."""
    own = [name for name in ONE if name in table]
    copies = table.duplicated()
    if copies.any():
        read.repairs.append(Fault(read.name, f"{int(copies.sum()):,} exact copies of rows are left out", ""))
    table = table[~copies]
    twice = table[table.duplicated(own, keep=False) & table[["item_id", "rater", "label"]].notna().all(axis=1)]
    for (item, rater, *_), rows in list(twice.groupby(own, sort=False, dropna=False))[:100]:
        problem = f"{show_value(rater)} judged {show_value(item)} {len(rows)} times with different content"
        read.refuse(rows.index[0], "rater", problem, "number the trials in a column trial, or keep one row")
    return table


def _ask_reader(read: TableFile, table: pd.DataFrame) -> None:
    """Let the questions' own reader refuse what they would refuse."""
    labelled = table[table["label"].notna()]
    if labelled.empty:
        read.notes.append(Fault(read.name, "no rating has a label", "fill in the labels", column="label"))
        return
    try:
        read_ratings(labelled.drop(columns=["rated_at", "blind"], errors="ignore"))
    except DataError as error:
        read.faults.append(Fault(read.name, str(error.problem), error.mend or "correct it", column=error.column))
