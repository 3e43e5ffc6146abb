"""Intake: a real export in; canonical Parquet by site and month, a quarantine and a ledger out."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote as quote_url

import duckdb

from rca_lib.audits.conventions import count_repairs, settle
from rca_lib.audits.csv_files import Source, run
from rca_lib.audits.ledger import Ledger, escape_formula
from rca_lib.audits.mapping import EXTRA_OF_QUARANTINE, Mapping, identifier, plan_columns, quote
from rca_lib.audits.reading import read_source
from rca_lib.audits.rules import create_fates, create_judged, create_texts, output_columns, suggest
from rca_lib.audits.tables import AUDITS
from rca_lib.audits.weighting import add_weights, read_population
from rca_lib.findings import DataError

OWNED = ("ledger.json", "quarantine.csv")
MONTH = "strftime(k_day, '%Y-%m')"


def take_in(
    source: Any,
    store: Path | None,
    *,
    mapping: Mapping | None = None,
    population: Path | None = None,
    now: datetime | None = None,
) -> Ledger:
    """Take an export in.

    Parameters
    ----------
    source
        A CSV, XLSX, Parquet, SQLite or DuckDB file, a frame, a DB-API connection, or None where the mapping names a
        query and a connection. A row is an audited decision.
    store
        The folder to write: `site=<site>/month=<YYYY-MM>/audits.parquet`, `quarantine.csv`, `ledger.json`. An earlier
        intake in it is replaced at the very end, other files in it stay. None checks without writing.
    mapping
        How the source writes audits; None for canonical names.
    population
        A file with one row per period, site, queue and stratum and its `decisions`: gives `weight` where it is missing.
    now
        Rows dated later are quarantined; without it no date counts as future.

    Raises
    ------
    DataError
        If the source cannot be understood without a decision by a person, or no row can be kept.

    Notes
    -----
    A local time that a change of the clock skips or repeats is read as the engine reads it, at most an hour off. A
    truth that is wrong, a label mapped wrongly, and an id that lost digits without showing it cannot be seen here.
    """
    mapping = mapping or Mapping()
    beside = None if store is None else Path(store).absolute()
    _refuse_foreign_folder(beside)
    with TemporaryDirectory(prefix=".intake-", dir=beside and beside.parent) as folder:
        work = Path(folder)
        with duckdb.connect(str(work / "intake.duckdb"), config=_settings(work)) as engine:
            run(engine, "set TimeZone = 'UTC'")
            strata = read_population(population, work) if population else None
            read = read_source(engine, source, mapping, work)
            ledger, output = _judge(engine, read, mapping, now, strata)
            if beside is not None:
                _write(engine, work / "store", read, output, ledger)
        if beside is not None:
            _publish(work / "store", beside)
    return ledger


def _refuse_foreign_folder(store: Path | None) -> None:
    if store is None:
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    if store.exists() and (not store.is_dir() or (any(store.iterdir()) and not (store / "ledger.json").exists())):
        raise DataError(f"{store.name} exists and is no store of audits", mend="name a new folder")


def _settings(work: Path) -> dict[str, str]:
    return {"memory_limit": "400MB", "temp_directory": str(work / "spill")}


# judging -------------------------------------------------------------------------------------------------------------


def _judge(
    engine: duckdb.DuckDBPyConnection, read: Source, mapping: Mapping, now: datetime | None, population: Any
) -> tuple[Ledger, dict[str, str]]:
    """Judge every row of `raw`; return the ledger and the columns of the store, each with its column in `weighted`."""
    names, mended = _own_names(read)
    plan = plan_columns(mapping, names)
    create_texts(engine, plan, mapping, len(names), mended)
    how = settle(engine, plan, mapping, read)
    create_judged(engine, plan, mapping, how, now)
    create_fates(engine, len(names))
    add_weights(engine, plan, population)
    output = output_columns(plan, mapping) | ({} if population is None else {"weight": "k_weight"})
    ledger = _draw_up(engine, read, mapping, output, count_repairs(engine, plan, mapping, how))
    if not ledger.kept:
        reason, rows, first, mend = ledger.reasons[0] if ledger.reasons else ("every row is empty", ledger.empty, 0, "")
        raise DataError(
            f"no row of {read.name} can be kept: {reason}", rows=rows, first={"source_row": first}, mend=mend
        )
    return ledger, output


def _own_names(read: Source) -> tuple[tuple[str, ...], bool]:
    """Leave out what a quarantine file has on top of its source's columns; say whether it is one."""
    mended = read.names[-len(EXTRA_OF_QUARANTINE) :] == EXTRA_OF_QUARANTINE
    return (read.names[: -len(EXTRA_OF_QUARANTINE)] if mended else read.names), mended


def _draw_up(
    engine: duckdb.DuckDBPyConnection,
    read: Source,
    mapping: Mapping,
    output: dict[str, str],
    repairs: tuple[tuple[str, int], ...],
) -> Ledger:
    fates = dict(engine.sql("select fate, count(*) from weighted group by fate").fetchall())
    rows = sum(fates.values()) + read.blank
    reasons = engine.sql(
        "select reasons[1], count(*), min(row), min_by(near, row) from weighted where fate = 'quarantined' "
        "group by 1 order by 2 desc, 1"
    ).fetchall()
    by_site = engine.sql(
        "select coalesce(k_site, '') as site, count_if(fate = 'kept'), count_if(fate = 'quarantined') from weighted "
        "where fate in ('kept', 'quarantined') group by site order by site"
    ).fetchall()
    months = engine.sql(f"select distinct {MONTH} from weighted where fate = 'kept' order by 1").fetchall()
    return Ledger(
        source=read.name,
        sha256=read.sha256,
        rows_read=rows,
        kept=fates.get("kept", 0),
        quarantined=fates.get("quarantined", 0),
        exact_duplicates=fates.get("exact duplicate", 0),
        empty=fates.get("empty", 0) + read.blank,
        repairs=(*((what, rows) for what in read.repairs), *repairs),
        reasons=tuple((reason, count, first, suggest(reason, near)) for reason, count, first, near in reasons),
        by_site=tuple(by_site),
        not_available=tuple(
            (column.name, column.serves) for column in AUDITS if column.serves and column.name not in output
        ),
        label_scale=mapping.label_scale,
        label_order=mapping.label_order,
        benign=mapping.benign,
        time_zone=mapping.time_zone or "as written in each time",
        columns=tuple(output),
        sites=tuple(site for site, kept, _ in by_site if kept),
        months=tuple(month for (month,) in months),
    )


# writing -------------------------------------------------------------------------------------------------------------


def _write(
    engine: duckdb.DuckDBPyConnection, folder: Path, read: Source, output: dict[str, str], ledger: Ledger
) -> None:
    folder.mkdir()
    used = ", ".join(column for column in output.values() if column != "source_file")
    rows = "from weighted where fate = 'kept' order by k_site, month"
    run(engine, f"create table kept as select {used}, {MONTH} as month {rows}")
    own = output | {"source_file": quote(read.name)}
    listed = ", ".join(f"{column} as {identifier(name)}" for name, column in own.items())
    for site, month in engine.sql("select distinct k_site, month from kept order by all").fetchall():
        file = folder / f"site={folder_name(site)}" / f"month={month}" / "audits.parquet"
        file.parent.mkdir(parents=True)
        run(
            engine,
            f"copy (select {listed} from kept where k_site = {quote(site)} and month = {quote(month)} "
            f"order by k_decided_at, k_audit_id) to {quote(str(file))} (format parquet, compression zstd)",
        )
    _write_quarantine(engine, folder / "quarantine.csv", read)
    text = json.dumps(ledger.to_dict(), indent=1, ensure_ascii=False)
    (folder / "ledger.json").write_text(text + "\n", encoding="utf-8")


def folder_name(site: str) -> str:
    """Name the folder of a site.

    Examples
    --------
    >>> folder_name("São Paulo/2"), folder_name("_x")
    ('S%C3%A3o%20Paulo%2F2', '%5Fx')
    """
    name = quote_url(site, safe="")
    return f"%{ord(name[0]):02X}{name[1:]}" if name[:1] in ("_", ".") else name


def _write_quarantine(engine: duckdb.DuckDBPyConnection, path: Path, read: Source) -> None:
    """Write the raw cells of the quarantined rows, so that they can be mended and fed again."""
    names, mended = _own_names(read)
    cells = [f"c{place}" if mended else f"escape_formula(c{place})" for place in range(len(names))]
    reasons = engine.sql("select distinct reasons[1] from weighted where fate = 'quarantined' order by 1").fetchall()
    mends = " ".join(f"when {quote(reason)} then {quote(suggest(reason))}" for (reason,) in reasons)
    suggestion = f"concat_ws('; ', raw.rejected, case reasons[1] {mends} end, 'nearest: ' || near)" if mends else "''"
    columns = [f"{cell} as {identifier(escape_formula(name))}" for cell, name in zip(cells, names, strict=True)]
    run(
        engine,
        f"copy (select {', '.join(columns)}, raw.row as source_row, array_to_string(reasons, '; ') as reason, "
        f"{suggestion} as suggestion from raw join weighted on raw.row = weighted.row where fate = 'quarantined' "
        f"order by raw.row) to {quote(str(path))} (format csv, header)",
    )


def _publish(made: Path, store: Path) -> None:
    """Put the new store in the old one's place; other files of the old one move along."""
    old = made.parent / "old"
    if store.exists():
        store.rename(old)
    for path in old.iterdir() if old.exists() else ():
        if path.name not in OWNED and not path.name.startswith("site="):
            shutil.move(path, made / path.name)
    made.rename(store)
