"""Intake: a real export in; canonical Parquet by site and month, a quarantine and a ledger out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.conventions import settle
from rca_lib.audits.corrections import (
    MARK,
    ROWS,
    apply_again,
    is_quarantine,
    merge_corrections,
    read_as_written,
    write_rows,
)
from rca_lib.audits.declarations import check_declarations
from rca_lib.audits.engine import INTAKE_MB, open_engine, set_memory
from rca_lib.audits.folders import folder_names, note_name
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.mapping import EXTRA_OF_QUARANTINE, Mapping, identifier, plan_columns, quote
from rca_lib.audits.partners import count_fates
from rca_lib.audits.reading import Source, list_files, read_source, run
from rca_lib.audits.rules import create_texts, judge
from rca_lib.audits.tables import AUDITS, tell_renamed
from rca_lib.audits.weighting import add_weights, note_heavy_audits, read_population
from rca_lib.audits.work_folders import hold_work_folder
from rca_lib.findings import DataError

OWNED = ("ledger.json", "quarantine.csv", ROWS)
NOT_APPLIED = "corrections of the export that stood there before are not applied to this one"


def take_in(
    source: Any,
    store: Path | None,
    *,
    mapping: Mapping | None = None,
    population: Path | None = None,
    now: datetime | None = None,
    base: Path | None = None,
    on_judged: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
) -> Ledger:
    """Take an export in.

    Parameters
    ----------
    source
        A CSV, XLSX, Parquet, SQLite or DuckDB file, a frame, an open DB-API connection, or None where the mapping's
        query itself names the files. A row is an audited decision.
    store
        The folder to write: `site=<site>/month=<YYYY-MM>/audits.parquet`, `quarantine.csv`, `ledger.json`. An earlier
        intake in it is replaced at the very end, other files in it stay. None checks without writing.
    mapping
        How the source writes audits; None for canonical names.
    population
        A file with one row per period, site, queue and stratum and its `decisions`: gives `weight` where it is missing.
    now
        Rows dated later are quarantined; without it no date counts as future.
    base
        The store that corrections belong to; `store` itself, if it stands. The rows of a corrected quarantine file take
        their places among those of the export that this store was made from. The same export, taken in again, keeps
        them.
    on_judged
        Called with the engine when every row is judged: `texts` has what stands in the file, `judged` what it says,
        `kept` the audits of the store. What it raises stops the intake.

    Raises
    ------
    DataError
        If the source cannot be understood without a decision by a person, or no row can be kept.

    Notes
    -----
    A local time that a change of the clock skips or repeats is read as the engine reads it, at most an hour off. A
    truth that is wrong, a label mapped wrongly, and an id that lost digits without showing it cannot be seen here.
    """
    beside = None if store is None else Path(store).absolute()
    _refuse_foreign_folder(beside)
    with hold_work_folder(beside and beside.parent) as work:
        strata = read_population(population, work)
        rows = _find_rows(base or beside, source)
        files = [*list_files(source, mapping or Mapping()), *([rows] if rows else [])]
        given = {"folders": [work], "files": files, "memory_mb": INTAKE_MB}
        with open_engine(work / "intake.duckdb", **given, spill=work / "spill") as engine:
            read, left = _read(engine, source, mapping or Mapping(), work, rows)
            set_memory(engine, len(read.names))
            ledger = _judge(engine, read, mapping or Mapping(), now, strata, on_judged)
            if left:
                ledger = replace(ledger, notes=(*ledger.notes, (NOT_APPLIED, left, "correct them in this export too")))
            if beside is not None:
                _write(engine, work / "store", read, ledger)
        if beside is not None:
            _publish(work / "store", beside)
    return ledger


def _find_rows(base: Path | None, source: Any) -> Path | None:
    """Return the file with the rows of the export that a store was made from; None where there is no store."""
    rows = base / ROWS if base else None
    if rows is not None and not rows.exists() and (base / "ledger.json").exists() and is_quarantine(source):
        problem = "the store does not hold the rows of its export, among which the corrected ones belong"
        raise DataError(problem, mend="take the export in again, then its corrected quarantine")
    return rows if rows and rows.exists() else None


def _read(
    engine: duckdb.DuckDBPyConnection, source: Any, mapping: Mapping, work: Path, rows: Path | None
) -> tuple[Source, int]:
    """Read a source, a corrected quarantine among the rows of its export; and count corrections that do not apply."""
    if not is_quarantine(source):
        read = read_source(engine, source, mapping, work)
        return apply_again(engine, read, rows) if rows else (read, 0)
    read = read_source(engine, source, read_as_written(mapping), work)
    return (merge_corrections(engine, read, rows) if rows else read), 0


def _refuse_foreign_folder(store: Path | None) -> None:
    if store is None:
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    if store.exists() and (not store.is_dir() or (any(store.iterdir()) and not (store / "ledger.json").exists())):
        raise DataError(f"{store.name} exists and is no store of audits", mend="name a new folder")


# judging -------------------------------------------------------------------------------------------------------------


def _judge(
    engine: duckdb.DuckDBPyConnection,
    read: Source,
    mapping: Mapping,
    now: datetime | None,
    population: pd.DataFrame,
    on_judged: Callable[[duckdb.DuckDBPyConnection], None] | None,
) -> Ledger:
    """Judge every row of `raw`: the view `weighted` has its fate, `kept` the columns of the store."""
    names, mended = _own_names(read)
    plan = plan_columns(mapping, names)
    read = replace(read, repairs=(*read.repairs, *tell_renamed(plan.extras)))
    notes = create_texts(engine, plan, mapping, len(names), mended)
    settle(engine, plan, mapping, read)
    judge(engine, now, len(plan.extras))
    benign, order = check_declarations(engine, plan, mapping, notes)
    weighted = "weight" in plan.places or not population.empty
    run(engine, f"create macro needs_weights() as {weighted}; create macro source_name() as {quote(read.name)}")
    add_weights(engine, population)
    made = {*plan.places, "day", "error", "source_file", "source_row"} | ({"weight"} if weighted else set())
    made |= {"tenure"} if "tenure_days" in plan.places else set()
    made |= {"shift"} if mapping.site_time_zones else set()
    canonical = [column.name for column in AUDITS if column.name in made]
    extras = [f"x{number} as {identifier(name)}" for number, name in enumerate(plan.extras)]
    run(engine, f"create view kept as select {', '.join(canonical + extras)}, month from weighted where fate = 'kept'")
    if on_judged:
        on_judged(engine)
    ledger = _draw_up(engine, read, mapping, (*canonical, *plan.extras))
    noted = (*notes.notes, *note_heavy_audits(engine))
    ledger = replace(ledger, benign=benign, label_order=order, notes=noted)
    if not ledger.kept:
        reason, rows, first, mend = ledger.reasons[0] if ledger.reasons else ("every row is empty", ledger.empty, 0, "")
        problem = f"no row of {read.name} can be kept: {reason}"
        raise DataError(problem, rows=rows, first={"source_row": first}, mend=mend)
    return ledger


def _own_names(read: Source) -> tuple[tuple[str, ...], bool]:
    """Leave out what a quarantine file has on top of its source's columns; say whether it is one."""
    mended = read.names[-len(EXTRA_OF_QUARANTINE) :] == EXTRA_OF_QUARANTINE
    return (read.names[: -len(EXTRA_OF_QUARANTINE)] if mended else read.names), mended


def _draw_up(engine: duckdb.DuckDBPyConnection, read: Source, mapping: Mapping, columns: tuple[str, ...]) -> Ledger:
    def ask(query: str) -> list[tuple[Any, ...]]:
        return engine.sql(query).fetchall()

    fates = dict(ask("select fate, count(*) from weighted group by fate"))
    rows = sum(fates.values())
    by_site = ask(
        "select coalesce(site, '') as site, count_if(fate = 'kept'), count_if(fate = 'quarantined') from weighted "
        "where fate in ('kept', 'quarantined') group by 1 order by 1"
    )
    reasons = ask(
        "select reasons[1], count(*), min(row), arg_min(suggestion, row) from weighted where fate = 'quarantined' "
        "group by 1 order by 2 desc, 1"
    )
    return Ledger(
        source=read.name,
        sha256=read.sha256,
        rows_read=rows,
        kept=fates.get("kept", 0),
        quarantined=fates.get("quarantined", 0),
        exact_duplicates=fates.get("exact duplicate", 0),
        empty=fates.get("empty", 0),
        repairs=(*((what, rows) for what in read.repairs), *_count_repairs(engine)),
        reasons=tuple(reasons),
        by_site=tuple(by_site),
        not_available=tuple((item.name, item.serves) for item in AUDITS if item.serves and item.name not in columns),
        label_scale=mapping.label_scale,
        label_order=mapping.label_order,
        benign=mapping.benign,
        time_zone=mapping.time_zone or "as written in each time",
        columns=columns,
        sites=tuple(site for site, kept, _ in by_site if kept),
        months=tuple(month for (month,) in ask("select distinct month from kept order by month")),
        fates=count_fates(ask),
        first_future=_find_date(ask, "min", "array_to_string(reasons, ';') like '%future date%'"),
        last_date=_find_date(ask, "max", "fate = 'kept'"),
    )


def _count_repairs(engine: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    """Count what was repaired in rows that are kept, corrections by a person last."""
    run(engine, "create table if not exists corrected (row bigint)")
    kept = "from weighted where fate = 'kept'"
    repairs = engine.sql(f"select unnest(repairs) as what, count(*) {kept} group by what order by what").fetchall()
    ((corrected,),) = engine.sql(f"select count(*) {kept} and source_row in (from corrected)").fetchall()
    return [*repairs, *([(MARK, corrected)] if corrected else [])]


def _find_date(ask: Callable[[str], list[tuple[Any, ...]]], end: str, which: str) -> str:
    """Return the first (min) or last (max) moment of some rows, "" where there are none."""
    ((found,),) = ask(f"select {end}(greatest(decided_at, audited_at)) from weighted where {which}")
    return found.isoformat() if found else ""


# writing -------------------------------------------------------------------------------------------------------------


def _write(engine: duckdb.DuckDBPyConnection, folder: Path, read: Source, ledger: Ledger) -> None:
    folder.mkdir()
    run(engine, "create table sorted as from kept order by site, month")
    parts = engine.sql("select distinct site, month from sorted order by all").fetchall()
    folders = folder_names(site for site, _ in parts)
    for site, month in parts:
        place = folder / f"site={folders[site]}" / f"month={month}"
        place.mkdir(parents=True)
        note_name(place.parent, site, "site=")
        # Apart, so that the same audits are the same file whatever export they came in.
        files = {"audits": "* exclude (month, source_file, source_row)", "sources": "audit_id, source_file, source_row"}
        for name, columns in files.items():
            rows = f"select {columns} from sorted where site = {quote(site)} and month = '{month}'"
            file = quote(str(place / f"{name}.parquet"))
            run(engine, f"copy ({rows} order by decided_at, audit_id) to {file} (format parquet, compression zstd)")
    _write_quarantine(engine, folder / "quarantine.csv", read)
    write_rows(engine, read, folder / ROWS)
    text = json.dumps(ledger.to_dict(), indent=1, ensure_ascii=False)
    (folder / "ledger.json").write_text(text + "\n", encoding="utf-8")


def _write_quarantine(engine: duckdb.DuckDBPyConnection, path: Path, read: Source) -> None:
    """Write the raw cells of the quarantined rows, so that they can be mended and fed again."""
    names, mended = _own_names(read)
    header = [name for (name,) in engine.execute("select escape_formula(unnest(?))", [list(names)]).fetchall()]
    cells = [f"c{place}" if mended else f"escape_formula(c{place})" for place in range(len(names))]
    listed = ", ".join(f"{cell} as {identifier(name)}" for cell, name in zip(cells, header, strict=True))
    run(
        engine,
        f"copy (select {listed}, raw.row as source_row, array_to_string(reasons, '; ') as reason, suggestion "
        "from raw join weighted on raw.row = weighted.row where fate = 'quarantined' order by raw.row) "
        f"to {quote(str(path))} (format csv, header)",
    )


def _publish(made: Path, store: Path) -> None:
    """Put the new store in the old one's place; other files of the old one move along."""
    for path in list(store.iterdir()) if store.exists() else ():
        if path.name not in OWNED and not path.name.startswith("site="):
            shutil.move(path, made / path.name)
    shutil.rmtree(store, ignore_errors=True)
    made.rename(store)
