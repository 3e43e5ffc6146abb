"""The side tables of audits: events, targets, ratings, population. They are validated before anything is made of them.

All faults of all files are told at once, each with file, row, column, value and what to do. What passes is written into
the store in one form: instants in UTC, days as days, words and labels as the contract and the mapping spell them,
targets as shares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Pairs
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.mapping import Mapping
from rca_lib.audits.ratings_file import check_ratings
from rca_lib.audits.reading import hash_file
from rca_lib.audits.side_rules import check_events, check_population, check_targets
from rca_lib.audits.table_files import Fault, TableFile, read_table
from rca_lib.audits.tables import EVENTS, POPULATION, RATINGS, TARGETS, Column
from rca_lib.findings import DataError

CONTRACTS: dict[str, tuple[Column, ...]] = {
    "events": EVENTS, "targets": TARGETS, "ratings": RATINGS, "population": POPULATION,
}  # fmt: skip
CHECKS: dict[str, Callable[[TableFile, Mapping], pd.DataFrame]] = {
    "events": check_events, "targets": check_targets, "ratings": check_ratings, "population": check_population,
}  # fmt: skip
LISTED = 20  # faults of a file that are told
SHOWN = ("file", "row", "column", "problem", "hint")
NOTES_FILE = "side_tables.json"
FORMULA = r"^('*\s*[=+\-@\t\r＝＋－＠])"  # what a spreadsheet takes for one, also behind blanks and apostrophes


class SideTableError(DataError):
    """Side tables are at fault: every fault of every file, in the order of files and rows."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        where = {"file": first.file} | ({"row": first.row} if first.row else {})
        super().__init__(first.problem, column=first.column, rows=len(self.faults), first=where, mend=first.hint)

    def __str__(self) -> str:
        """List the faults, a line each, at most 20 of a file."""
        lines, count = [], len(self.faults)
        for file in dict.fromkeys(fault.file for fault in self.faults):
            own = [str(fault) for fault in self.faults if fault.file == file]
            lines += own[:LISTED] + [f"{file}: {len(own) - LISTED:,} more faults."] * (len(own) > LISTED)
        return "\n".join([f"{count:,} faults in the side tables; nothing was run."] * (count > 1) + lines)


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader should know of a side table: a `warning` may be a mistake, a `repair` is how a value was read.

    `fitted` says that the note comes from comparing the table with the audits.
    """

    kind: Literal["warning", "repair"]
    table: str
    fault: Fault
    fitted: bool = False


@dataclass(frozen=True, slots=True)
class SideTables:
    """Side tables as they are written into a store, and what a reader should know of them.

    `frames` are tables of text by name, with the rows of their files as index; `files` are the names of the files.
    """

    frames: Pairs[str, pd.DataFrame]
    files: Pairs[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """What may be a mistake, such as a scope that matches no audit."""
        return tuple(note.fault for note in self.notes if note.kind == "warning")

    @property
    def repairs(self) -> tuple[Fault, ...]:
        """What was read otherwise than it stands in the file."""
        return tuple(note.fault for note in self.notes if note.kind == "repair")

    def summary(self) -> str:
        """Say what the tables hold, and how many warnings there are."""
        held = [f"{name} {len(frame):,} row{'s' if len(frame) != 1 else ''}" for name, frame in self.frames.items()]
        count = len(self.warnings)
        told = "no warnings" if not count else f"{count:,} warning{'s' if count > 1 else ''}"
        return f"Side tables: {', '.join(held) or 'none'}; {told}."

    def to_frame(self) -> pd.DataFrame:
        """One row per warning, then per repair: `kind`, `file`, `row`, `column`, `what`, `hint`."""
        listed = sorted(self.notes, key=lambda note: note.kind, reverse=True)
        rows = [(note.kind, *(getattr(note.fault, name) for name in SHOWN)) for note in listed]
        frame = pd.DataFrame(rows, columns=["kind", "file", "row", "column", "what", "hint"])
        return frame.astype({"row": "Int64"})


def read_side_tables(files: Pairs[str, Path], mapping: Mapping) -> SideTables:
    """Read and validate side tables.

    Parameters
    ----------
    files
        The files by table: events, targets, ratings, population; other names are left out.
    mapping
        How the audits are written. Its date order, time zone, null words, labels and spellings hold for side tables
        too. A file in a store is read as intake wrote it.

    Returns
    -------
    SideTables
        The tables; warnings that need no audits. `fit_side_tables` adds those that do.

    Raises
    ------
    SideTableError
        With all faults: a missing column, an unknown word, an unreadable or ambiguous date or number, a row that
        contradicts itself or another.

    Notes
    -----
    A date that is wrong but readable, and a share that is wrong but between 0 and 1, cannot be seen here. An event that
    is given as a day starts at midnight of that day in UTC, whatever the zone of its site.
    """
    frames: dict[str, pd.DataFrame] = {}
    names: dict[str, str] = {}
    faults: list[Fault] = []
    notes: list[Note] = []
    for table, contract in CONTRACTS.items():
        if table not in files:
            continue
        path = Path(files[table])
        if is_stored(path):
            stored = read_notes(path.parent)
            frames[table], names[table] = _read_indexed(path), stored.files.get(table, path.name)
            notes += [note for note in stored.notes if note.table == table and not note.fitted]
            continue
        read = read_table(path, table, contract, mapping)
        if not read.texts.empty:
            frames[table] = CHECKS[table](read, mapping)
        elif not read.faults:
            frames[table] = read.texts
        names[table] = path.name
        faults += sorted(read.faults, key=lambda fault: fault.row or 0)
        notes += [Note("warning", table, fault) for fault in read.notes]
        notes += [Note("repair", table, fault) for fault in read.repairs]
    if faults:
        raise SideTableError(faults)
    return SideTables(frames, names, tuple(notes))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as the store holds it; text that a spreadsheet would take for a formula is escaped."""
    escaped = frame.apply(lambda column: column.astype("string").str.replace(FORMULA, r"'\1", regex=True))
    escaped.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")


def write_side_tables(tables: SideTables, store: Path) -> None:
    """Write side tables into a store, and what a reader should know of them."""
    told: dict[str, dict[str, object]] = {}
    for name, frame in tables.frames.items():
        write_table(frame, store / f"{name}.csv")
        told[name] = {"file": tables.files.get(name, f"{name}.csv"), "rows": len(frame)}
        told[name] |= {"sha256": hash_file(store / f"{name}.csv")}
        if name != "ratings":  # there may be millions, and no note names one of them by its row
            told[name] |= {"source_rows": [int(row) for row in frame.index]}
    content = {"tables": told, "notes": [asdict(note) for note in tables.notes]}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (store / NOTES_FILE).write_text(text + "\n", encoding="utf-8")


def is_stored(file: Path) -> bool:
    """Tell whether a file lies in a store as intake wrote it there."""
    told = _read_notes(file.parent)["tables"].get(file.stem, {})
    return file.suffix == ".csv" and file.is_file() and told.get("sha256") == hash_file(file)


def read_notes(store: Path) -> SideTables:
    """Read what the intake of a store noted of its side tables; the frames are left empty.

    Raises
    ------
    DataError
        If the notes are damaged.
    """
    content = _read_notes(store)
    try:
        notes = [Note(**{**note, "fault": Fault(**note["fault"])}) for note in content["notes"]]
        frames = {name: pd.DataFrame(index=range(told["rows"])) for name, told in content["tables"].items()}
        return SideTables(frames, {name: told["file"] for name, told in content["tables"].items()}, tuple(notes))
    except (LookupError, TypeError, AttributeError) as error:
        raise _damaged(error) from None


def _read_notes(store: Path) -> dict[str, Any]:
    try:
        content = json.loads((store / NOTES_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {"tables": {}, "notes": []}
    except (ValueError, RecursionError) as error:
        raise _damaged(error) from None
    if not isinstance(content, dict) or not isinstance(content.get("tables"), dict):
        raise _damaged("it has no tables")
    return content


def _damaged(problem: object) -> DataError:
    return DataError(f"{NOTES_FILE} is damaged: {problem}", mend="take the file in again")


def read_stored(file: Path) -> pd.DataFrame:
    """Read a side table that intake wrote into a store."""
    table = pd.read_csv(file, dtype="str", keep_default_na=False, na_values=[""])
    return table.apply(lambda column: column.str.replace(f"^'(?={FORMULA[1:]})", "", regex=True))


def _read_indexed(file: Path) -> pd.DataFrame:
    """Read a side table of a store, with the rows that its own file had as index."""
    table, rows = read_stored(file), _read_notes(file.parent)["tables"][file.stem].get("source_rows")
    return table.set_axis(rows) if isinstance(rows, list) and len(rows) == len(table) else table
