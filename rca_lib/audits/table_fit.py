"""Do side tables fit the audits? What matches no audit is a warning with the nearest value, never silent."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

import duckdb
import pandas as pd

from rca_lib.audits.mapping import Mapping, identifier
from rca_lib.audits.periods import parse_period
from rca_lib.audits.side_tables import Note, SideTables
from rca_lib.audits.table_files import Fault, fold_word, show_value
from rca_lib.audits.tables import fits_pattern, parse_scope
from rca_lib.findings import DataError

YEAR = pd.Timedelta(days=365)
TOLD = 20  # warnings of a kind that are listed
ELSEWHERE = "correct it, or leave it if its audits are in another file"


class _Audits:
    """The kept audits in an engine, asked for the values of their columns."""

    def __init__(self, engine: duckdb.DuckDBPyConnection) -> None:
        self.engine = engine
        self.columns = tuple(engine.sql("select * from kept limit 0").columns)
        self.values = cache(self._values)
        self.combinations = cache(self._combinations)

    def _combinations(self, names: tuple[str, ...]) -> list[tuple[str, ...]]:
        listed = ", ".join(f"cast({identifier(name)} as varchar)" for name in names)
        return self.engine.sql(f"select distinct {listed} from kept").fetchall()

    def _values(self, name: str) -> tuple[str, ...]:
        return tuple(sorted(value for (value,) in self.combinations((name,)) if value is not None))


def fit_side_tables(engine: duckdb.DuckDBPyConnection, tables: SideTables, mapping: Mapping) -> SideTables:
    """Hold side tables against the audits that an intake kept.

    Parameters
    ----------
    engine
        The engine of the intake, with the views `kept` and `judged`.
    tables
        The side tables, as `read_side_tables` gives them.
    mapping
        How the audits are written; spellings of its `values` are understood in scopes.

    Returns
    -------
    SideTables
        The tables with scopes as the audits spell them, and with a warning for each scope, vendor, label or stratum
        that matches no audit, for ratings of items that are not audited, and for events and targets of other years.

    Raises
    ------
    DataError
        If no line of the population matches any audit: all weights would be missing.

    Notes
    -----
    Case, width and white space of a scope's value may differ from the audits', where one value only is meant.
    """
    audits, frames = _Audits(engine), dict(tables.frames)
    files = {name: tables.files.get(name, f"{name}.csv") for name in frames}
    notes: dict[Note, None] = dict.fromkeys(tables.notes)  # each of them once

    def tell(kind: Literal["warning", "repair"], table: str, faults: Iterable[Fault]) -> None:
        notes.update(dict.fromkeys(Note(kind, table, fault, kind == "warning") for fault in faults))

    days = engine.sql("select min(day), max(day) from kept").fetchall()[0]
    for name in ("events", "targets"):
        if name in frames and len(frames[name]) and days[0] is not None:
            frames[name], warnings, repairs = _fit_scopes(audits, frames[name], files[name], mapping)
            tell("repair", name, repairs)
            tell("warning", name, warnings + _check_years(frames[name], name, files[name], days))
    if "events" in frames:
        tell("warning", "events", _check_vendors(audits, frames["events"], files["events"]))
    if len(frames.get("ratings", ())):
        frames["ratings"], repairs = _spell_labels(audits, frames["ratings"], files["ratings"])
        tell("repair", "ratings", repairs)
        tell("warning", "ratings", _check_ratings(audits, frames["ratings"], files["ratings"]))
    if len(frames.get("population", ())):
        tell("warning", "population", _check_population(audits, frames["population"], files["population"]))
    return replace(tables, frames=frames, notes=tuple(sorted(notes, key=_order)))


def _order(note: Note) -> tuple[str, str, int, str, str]:
    fault = note.fault
    return note.kind, note.table, fault.row or 0, fault.column or "", fault.problem


def _fold(text: str) -> str:
    shown = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    return " ".join(shown.split()).casefold()


def _nearest(value: str, known: Iterable[str]) -> str:
    known = list(known)
    folded = {_fold(name): name for name in known}
    near = [folded[name] for name in get_close_matches(_fold(value), list(folded), 3, 0.5)]
    listed = ", ".join(map(show_value, near or known[:5])) or "none"
    return f"{'nearest' if near else 'there are'} in the audits: {listed}"


# scopes --------------------------------------------------------------------------------------------------------------


def _fit_scopes(
    audits: _Audits, table: pd.DataFrame, file: str, mapping: Mapping
) -> tuple[pd.DataFrame, list[Fault], list[Fault]]:
    """Spell scopes as the audits do; warn of those that match nothing."""
    warnings: list[Fault] = []
    repairs: list[Fault] = []
    scopes = table["scope"] if "scope" in table else pd.Series(None, table.index, object)
    spelled: list[str | None] = []
    for row, scope in scopes.items():
        pairs = parse_scope(scope)
        fitted = {_spell_key(audits, key): _spell_value(audits, key, value, mapping) for key, value in pairs.items()}
        written = ";".join(f"{key}={value}" for key, value in fitted.items()) or None
        if fitted != pairs:
            repairs.append(Fault(file, f"{show_value(scope)} is read as {written}", "", _row(row), "scope"))
        warnings += [Fault(file, *told, row=_row(row), column="scope") for told in _judge_scope(audits, fitted)]
        spelled.append(written)
    return table.assign(scope=pd.Series(spelled, table.index, object)), warnings, repairs


def _row(row: object) -> int:
    return int(str(row))


def _spell_key(audits: _Audits, key: str) -> str:
    if key in audits.columns:
        return key
    return next((name for name in audits.columns if fold_word(name) == fold_word(key)), key)


def _spell_value(audits: _Audits, key: str, value: str, mapping: Mapping) -> str:
    key = _spell_key(audits, key)
    if key not in audits.columns or any(fits_pattern(known, value) for known in audits.values(key)):
        return value
    translated = mapping.values.get(key, {}).get(value, value)
    if key == "policy":
        translated = mapping.labels.get(translated, translated)
    meant = [known for known in audits.values(key) if _fold(known) == _fold(translated)]
    return meant[0] if len(meant) == 1 else value


def _judge_scope(audits: _Audits, pairs: dict[str, str]) -> list[tuple[str, str]]:
    """Say what of a scope matches no audit, with a hint."""
    told = []
    for key, value in pairs.items():
        if key not in audits.columns:
            near = get_close_matches(fold_word(key), audits.columns, 2, 0.5)
            hint = f"nearest: {', '.join(near)}" if near else "map it to a column of the audits, or remove the pair"
            told.append((f"the audits have no column {show_value(key)}", hint))
        elif not any(fits_pattern(known, value) for known in audits.values(key)):
            problem = f"{key} {show_value(value)} matches no audit"
            told.append((problem, f"{_nearest(value, audits.values(key))}; {ELSEWHERE}"))
    if not told and len(pairs) > 1:
        wanted = tuple(pairs.values())
        combinations = audits.combinations(tuple(pairs))
        if not any(all(map(fits_pattern, values, wanted)) for values in combinations):
            told.append((f"no audit matches all of {show_value(_write(pairs))}", ELSEWHERE))
    return told


def _write(pairs: dict[str, str]) -> str:
    return ";".join(f"{key}={value}" for key, value in pairs.items())


def _check_years(table: pd.DataFrame, name: str, file: str, days: Any) -> list[Fault]:
    """Warn where no event starts near the audits, or no target holds on any of their days."""
    first, last = (pd.Timestamp(day) for day in days)
    span = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    hint = f"check the dates: the audits run from {span}"
    if name == "events":
        starts = pd.to_datetime(table["start"], utc=True, format="ISO8601").dt.tz_localize(None)
        near = starts.between(first - YEAR, last + pd.Timedelta(days=1))
        return [] if near.any() else [Fault(file, "no event starts in the year before the audits' end", hint)]
    begin, end = (table.get(column, pd.Series(None, table.index, object)) for column in ("valid_from", "valid_to"))
    holds = (begin.fillna("0") <= f"{last:%Y-%m-%d}") & (end.fillna("9") >= f"{first:%Y-%m-%d}")
    return [] if holds.any() else [Fault(file, "no target holds on any day of the audits", hint)]


def _check_vendors(audits: _Audits, events: pd.DataFrame, file: str) -> list[Fault]:
    known = audits.values("vendor") if "vendor" in audits.columns else ()
    told = []
    for row, text in events.get("visibility", pd.Series(dtype=object)).dropna().items():
        vendor = str(text).removeprefix("vendor:")
        if vendor != text and vendor not in known:
            problem = f"vendor {show_value(vendor)} matches no audit"
            hint = f"{_nearest(vendor, known)}; {ELSEWHERE}"
            told.append(Fault(file, problem, hint, _row(row), "visibility"))
    return told


# ratings and population ----------------------------------------------------------------------------------------------


def _spell_labels(audits: _Audits, ratings: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[Fault]]:
    """Spell labels as the audits do, where they differ in case, width or white space and one label only is meant."""
    known = {*audits.values("label"), *audits.values("truth")}
    meant: dict[str, set[str]] = {}
    for label in known:
        meant.setdefault(_fold(label), set()).add(label)
    given = ratings["label"].dropna()
    spelled = {text: min(meant.get(_fold(text), {text})) for text in given.unique() if text not in known}
    spelled = {text: label for text, label in spelled.items() if text != label and len(meant[_fold(text)]) == 1}
    counts = given[given.isin(list(spelled))].value_counts()
    repairs = [
        Fault(file, f"{show_value(text)} is read as {label} ({counts[text]:,} rows)", "", column="label")
        for text, label in sorted(spelled.items())
    ]
    return ratings.assign(label=ratings["label"].replace(spelled)), repairs


def _check_ratings(audits: _Audits, ratings: pd.DataFrame, file: str) -> list[Fault]:
    rated = ratings[["item_id", "label"]].astype("string")
    audits.engine.register("ratings_given", rated)
    unmatched, example = audits.engine.sql(
        "select count(*), min(item_id) from ratings_given anti join (select distinct item_id from kept) using (item_id)"
    ).fetchall()[0]
    labels = [label for (label,) in audits.engine.sql("select distinct label from ratings_given").fetchall() if label]
    audits.engine.unregister("ratings_given")
    told = []
    if unmatched:
        count = (
            f"{unmatched:,} of {len(ratings):,} ratings are of items that no audit has, such as {show_value(example)}"
        )
        problem = count if unmatched < len(ratings) else f"no item matches an audit: {count}"
        item = audits.engine.sql("select min(item_id) from kept").fetchall()[0][0]
        hint = f"write item ids as the audits do, such as {show_value(item)}"
        told.append(Fault(file, problem, hint, column="item_id"))
    known = sorted({*audits.values("label"), *audits.values("truth")})
    for label in sorted(set(labels) - set(known))[:TOLD]:
        problem = f"label {show_value(label)} is in no audit"
        told.append(Fault(file, problem, f"{_nearest(label, known)}; correct it if it is one", column="label"))
    return told


def _check_population(audits: _Audits, population: pd.DataFrame, file: str) -> list[Fault]:
    """Warn of lines that no audit lies in; refuse a population that matches none at all."""
    cells = audits.engine.sql(
        "select distinct site, queue, stratum, day from judged where site is not null and day is not null"
    ).df()
    cells["day"] = pd.to_datetime(cells["day"])
    told = []
    for row, line in population.iterrows():
        period = parse_period(line["period"])
        keys = {name: line[name] for name in ("site", "stratum", "queue") if name in line and pd.notna(line[name])}
        matching = cells["day"].between(pd.Timestamp(period.start), pd.Timestamp(period.end), inclusive="left")
        for name, value in keys.items():
            matching &= cells[name] == value
        if not matching.any():
            problem, column, hint = _explain_line(cells, keys, line["period"])
            told.append(Fault(file, problem, hint, _row(row), column))
    if told and len(told) == len(population):
        first = {"file": file, "source_row": told[0].row}
        problem = f"no line of the population matches an audit: {told[0].problem}"
        raise DataError(problem, column=told[0].column, rows=len(told), first=first, mend=told[0].hint)
    return told


def _explain_line(cells: pd.DataFrame, keys: dict[str, str], period: str) -> tuple[str, str, str]:
    for name, value in keys.items():
        known = sorted(cells[name].dropna().unique())
        if value not in known:
            return f"{name} {show_value(value)} matches no audit", name, f"{_nearest(value, known)}; {ELSEWHERE}"
    return f"no audit of {', '.join(keys.values())} lies in {show_value(period)}", "period", ELSEWHERE
