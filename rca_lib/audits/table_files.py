"""Reading the file of a side table: by the reader and the rules that audits are read with, so that a date, a null word,
an id or a label means the same in every file.

The rules speak of columns of audits. A side table's columns take their places while it is read (`STAND_INS`): `start`
is read as `decided_at` is, so that it obeys the mapping's date order and time zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Pairs
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd

from rca_lib.audits.conventions import settle
from rca_lib.audits.engine import open_engine
from rca_lib.audits.mapping import Constant, Mapping, Plan, show_nearest
from rca_lib.audits.reading import Source, read_source, run
from rca_lib.audits.rules import create_texts, judge
from rca_lib.audits.tables import Column, columns
from rca_lib.findings import DataError

STAND_INS = {"start": "decided_at", "end": "audited_at", "valid_from": "decided_at", "valid_to": "audited_at",
             "rated_at": "decided_at", "item_id": "item_id", "rater": "rater", "label": "label", "site": "site",
             "queue": "queue", "stratum": "stratum"}  # fmt: skip
TIMES = ("decided_at", "audited_at")
FIRST_ROWS = 20  # a header stands among these
SHOWN = 60  # characters of a value in a message
HEADER_HINT = "write the columns in the first row: {}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a file: its name, the row (the header being row 1) and column, the value, what to do."""

    file: str
    problem: str
    hint: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        """Read as `events.csv, row 2, column type: 'Tool' is no type of event. Hint: …`."""
        place = [
            self.file,
            *([f"row {self.row}"] if self.row else []),
            *([f"column {self.column}"] * bool(self.column)),
        ]
        hint = f" Hint: {self.hint.rstrip('.')}." if self.hint else ""
        return f"{', '.join(place)}: {self.problem}.{hint}"


@dataclass(slots=True)
class TableFile:
    """A file as it was read: texts by column, typed values of the columns that stand in for those of audits.

    `texts` has a row per record, by its row in the file; `typed` the same rows with instants in UTC; `days` says which
    times are days without a clock time; `zone` is the zone of clock times; `open_order` says that the order of day and
    month is not known. What is wrong is added to `faults`, what may be a mistake to `notes`, what was read otherwise
    than it stands there to `repairs`.
    """

    name: str
    texts: pd.DataFrame
    typed: pd.DataFrame
    days: pd.DataFrame
    zone: str
    open_order: bool = False
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    repairs: list[Fault] = field(default_factory=list)

    def refuse(self, row: object, column: str, problem: str, hint: str) -> None:
        """Note a fault of a row."""
        self.faults.append(Fault(self.name, problem, hint, int(row), column))

    def repair(self, row: object, column: str, what: str) -> None:
        """Note what was read otherwise than it stands there."""
        self.repairs.append(Fault(self.name, what, "", int(row), column))


def show_value(value: object) -> str:
    """Quote a value, shortened, with signs that do not show written out.

    Examples
    --------
    >>> show_value("next week"), show_value("a\\u202eb")
    ("'next week'", "'a\\\\u202eb'")
    """
    text = str(value)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def fold_word(text: str) -> str:
    """Write a word as the contract does.

    Examples
    --------
    >>> fold_word(" Tool-Release ")
    'tool_release'
    """
    return re.sub(r"[\s_\-‐-―]+", "_", text.strip().casefold())


def read_table(path: Path, table: str, contract: tuple[Column, ...], mapping: Mapping) -> TableFile:
    """Read the file of a side table.

    Parameters
    ----------
    path
        CSV (any delimiter and encoding that audits may have), XLSX (a sheet of the table's name, or the only one) or
        Parquet.
    table
        What the table is called: a sheet of this name is chosen.
    contract
        The table's columns.
    mapping
        How the audits are written: date order, time zone, null words, labels, spellings of sites and queues.

    Returns
    -------
    TableFile
        With the faults that concern the file as a whole or its dates; values are not checked here.
    """
    read = TableFile(path.name, pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), mapping.time_zone or "UTC")
    try:
        with (
            TemporaryDirectory(prefix="rca-table-") as folder,
            open_engine(folders=[Path(folder)], files=[path]) as engine,
        ):
            source = _read_source(engine, path, table, contract, mapping, Path(folder))
            if source is None:
                read.notes.append(Fault(path.name, "the table has no rows", "leave it out of the batch file"))
                read.texts = pd.DataFrame(columns=list(columns(contract)), dtype=str)
                return read
            places = _find_columns(read, source.names, contract, mapping)
            if not read.faults:
                _read_rows(engine, read, source, places, mapping)
    except DataError as error:
        where = int(error.first["source_row"]) if error.first and "source_row" in error.first else None
        problem = error.problem.removeprefix(f"{path.name} ")
        read.faults.append(Fault(path.name, problem, error.mend or "export it again", where, error.column))
    return read


def _read_source(
    engine: duckdb.DuckDBPyConnection,
    path: Path,
    table: str,
    contract: tuple[Column, ...],
    mapping: Mapping,
    work: Path,
) -> Source | None:
    """Read the file into `raw`; None where it has a header and nothing below."""
    how = {"header_row": 1, "decimal": mapping.decimal, "sheet": _find_sheet(path, table)}
    how["encoding"] = mapping.encoding if _needs_encoding(path) else None
    source = _try_source(engine, path, Mapping(**how), work)
    if source is None or _count_names(source.names, contract) > 0:
        return source
    listed = engine.sql(f"select * exclude (rejected) from raw order by row limit {FIRST_ROWS}").fetchall()
    for row, *cells in listed:  # title rows above the header
        if _count_names([str(cell or "") for cell in cells], contract) >= 2:
            run(engine, "drop view if exists raw; drop table if exists loaded")
            return _try_source(engine, path, Mapping(**how | {"header_row": row}), work)
    return source


def _try_source(engine: duckdb.DuckDBPyConnection, path: Path, how: Mapping, work: Path) -> Source | None:
    try:
        return read_source(engine, path, how, work)
    except DataError as error:
        if "no rows" in error.problem:
            return None
        raise


def _needs_encoding(path: Path) -> bool:
    """Whether the bytes are no UTF-8, and nothing says that they are UTF-16."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff", b"PK", b"PAR1")) or b"\x00" in content[:4096]:
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _find_sheet(path: Path, table: str) -> str | None:
    """Return the sheet of a workbook that is called as the table is; None where there is none."""
    import python_calamine

    if not path.is_file() or path.read_bytes()[:2] != b"PK":
        return None
    try:
        sheets = python_calamine.CalamineWorkbook.from_path(str(path)).sheet_names
    except (python_calamine.CalamineError, OSError):
        return None  # the reader tells of it
    return next((sheet for sheet in sheets if fold_word(sheet) == table), None)


def _count_names(names: Sequence[str], contract: tuple[Column, ...]) -> int:
    return len({fold_word(name) for name in names} & set(columns(contract)))


def _find_columns(
    read: TableFile, names: Sequence[str], contract: tuple[Column, ...], mapping: Mapping
) -> dict[str, tuple[int, ...]]:
    """Find the places of the table's columns, and name what is missing, doubled or misspelt."""
    places: dict[str, tuple[int, ...]] = {}
    for position, name in enumerate(names):
        known = fold_word(name)
        if known not in columns(contract):
            continue
        if known in places:
            problem, hint = f"two columns are called {known}", "keep one of the two"
            read.faults.append(Fault(read.name, problem, hint, column=known))
        places[known] = (position,)
        if known != name:
            read.repairs.append(Fault(read.name, f"{show_value(name)} is read as {known}", "", column=known))
    for name in columns(contract):
        source = mapping.columns.get(name) if name in STAND_INS else None
        parts = [source] if isinstance(source, str) else [] if isinstance(source, Constant) else list(source or ())
        if name not in places and parts and set(parts) <= set(names):
            places[name] = tuple(names.index(part) for part in parts)
    rest = [name for number, name in enumerate(names) if (number,) not in places.values()]
    for name in columns(contract, "required"):
        if name not in places:
            hint = f"rename a column to {name}; nearest in the file: {show_nearest(name, rest)}"
            read.faults.append(Fault(read.name, f"no column {name!r}", hint, column=name))
    _warn_of_similar(read, rest, [name for name in columns(contract, "optional") if name not in places])
    return places


def _warn_of_similar(read: TableFile, rest: Sequence[str], absent: Sequence[str]) -> None:
    from difflib import get_close_matches

    for name in rest:
        for near in get_close_matches(fold_word(name), absent, 1, 0.75):
            problem = f"column {show_value(name)} is not read"
            read.notes.append(Fault(read.name, problem, f"rename it to {near} if it is meant", column=name))


def _read_rows(
    engine: duckdb.DuckDBPyConnection,
    read: TableFile,
    source: Source,
    places: Pairs[str, tuple[int, ...]],
    mapping: Mapping,
) -> None:
    """Read texts and typed values of all rows, by the rules of audits."""
    stand_ins = {STAND_INS[name]: place for name, place in places.items() if name in STAND_INS}
    plan = Plan(dict(stand_ins), {name: place for place, name in enumerate(source.names)})
    rules = mapping.model_copy(update={"site_time_zones": "UTC"})  # a day stays that day, in whatever zone
    create_texts(engine, plan, rules, len(source.names), False)
    known = [name for name in stand_ins if name in TIMES]
    clock = " or ".join(f"(not is_day_only(t_{name}) and not has_offset(t_{name}))" for name in known) or "false"
    if mapping.time_zone is None and not engine.sql(f"select 1 from texts where {clock} limit 1").fetchall():
        rules = rules.model_copy(update={"time_zone": "UTC"})
    if rules.date_order == "ymd":  # says nothing of dates in which the year comes last
        rules = rules.model_copy(update={"date_order": None})
    try:
        settle(engine, plan, rules, source)
    except DataError as error:
        read.faults.append(_rename(error, read.name, {own: name for name, own in STAND_INS.items() if name in places}))
        read.open_order = True  # the other values can be checked all the same
        run(engine, "drop table evidence")
        settle(engine, plan, rules.model_copy(update={"date_order": "dmy", "time_zone": "UTC"}), source)
    judge(engine, None)
    read.repairs += [Fault(read.name, what, "") for what in source.repairs]
    _collect(engine, read, source, places)


def _rename(error: DataError, file: str, names: Pairs[str, str]) -> Fault:
    """Say of which column of the side table an error of the rules speaks."""
    hint = error.mend + (", or write the dates as 2026-03-09" if "date_order" in error.mend else "")
    row = (error.first or {}).get("source_row")
    return Fault(file, error.problem, hint, None if row is None else int(row), names.get(error.column or ""))


def _collect(
    engine: duckdb.DuckDBPyConnection, read: TableFile, source: Source, places: Pairs[str, tuple[int, ...]]
) -> None:
    named = {place[0]: name for name, place in places.items() if len(place) == 1}
    texts = [f'texts.x{n} as "text_{n}"' for n in range(len(source.names))]
    stand_ins = {name: STAND_INS[name] for name in places if name in STAND_INS}
    texts += [f't_{own} as "raw_{name}"' for name, own in stand_ins.items()]
    texts += [f'judged.{own} as "typed_{name}"' for name, own in stand_ins.items()]
    days = [name for name, own in stand_ins.items() if own in TIMES]
    texts += [f'coalesce(is_day_only(t_{STAND_INS[name]}), false) as "day_{name}"' for name in days]
    rows = engine.sql(
        f"select texts.row as row, texts.rejected as rejected, {', '.join(texts)} "
        "from texts join judged on texts.row = judged.row where first_text is not null order by texts.row"
    ).df()
    rows = rows.set_index("row")
    marked = engine.sql("select unnest(repairs) as what, count(*) from judged group by what order by what").fetchall()
    for what, count in marked:
        if not what.startswith("days without"):
            read.repairs.append(Fault(read.name, f"{what} ({count:,} row{'s' if count != 1 else ''})", ""))
    for row, rejected in rows["rejected"].dropna().items():
        read.faults.append(Fault(read.name, str(rejected), "bring it to the columns of the header", int(row)))
    rows = rows[rows["rejected"].isna()]
    frame = {named.get(n, source.names[n]): rows[f"text_{n}"] for n in range(len(source.names))}
    frame |= {name: rows[f"raw_{name}"] for name in stand_ins}
    read.texts = pd.DataFrame(frame, index=rows.index).astype(object)
    read.texts = read.texts.where(read.texts.notna(), None)
    read.typed = pd.DataFrame({name: rows[f"typed_{name}"] for name in stand_ins}, index=rows.index)
    read.days = pd.DataFrame({name: rows[f"day_{name}"] for name in days}, index=rows.index)
