"""The side tables of audits: events, targets, ratings, population.

Side tables are validated before anything is computed. All issues of all files are reported at once, each with file,
row, column, value and a hint. Valid tables are written into the store in one form: instants in UTC, days as days,
keywords and labels as the schema and the mapping spell them, targets as shares.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.schema import EVENTS, POPULATION, RATINGS, TARGETS, Column
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ratings_validation import validate_ratings
from rca_lib.intake.side_table_files import read_table
from rca_lib.intake.side_table_issues import TableFile, TableIssue
from rca_lib.intake.side_table_validation import validate_events, validate_population, validate_targets
from rca_lib.io.formula_injection import escape_formula, unescape_formula
from rca_lib.io.hashing import compute_sha256
from rca_lib.result import Result

SCHEMAS: dict[str, tuple[Column, ...]] = {
    "events": EVENTS, "targets": TARGETS, "ratings": RATINGS, "population": POPULATION,
}  # fmt: skip
VALIDATORS: dict[str, Callable[[TableFile, ColumnMapping], pd.DataFrame]] = {
    "events": validate_events,
    "targets": validate_targets,
    "ratings": validate_ratings,
    "population": validate_population,
}
MAX_LISTED_ISSUES = 20  # issues of one file in an error message
ISSUE_COLUMNS = ("file", "row", "column", "problem", "hint")
NOTES_FILE = "side_tables.json"


class SideTableError(DataError):
    """Side tables have issues.

    Attributes
    ----------
    issues
        All issues of all files, in the order of files and rows.
    """

    def __init__(self, issues: Iterable[TableIssue]) -> None:
        self.issues = tuple(issues)
        issue = self.issues[0]
        first = {"file": issue.file} | ({"row": issue.row} if issue.row else {})
        super().__init__(issue.problem, column=issue.column, rows=len(self.issues), first=first, hint=issue.hint)

    def __str__(self) -> str:
        """List the issues, one per line, at most 20 of a file."""
        count = len(self.issues)
        lines = [f"{count:,} issues in the side tables. Nothing was run."] if count > 1 else []
        for file in dict.fromkeys(issue.file for issue in self.issues):
            issues = [str(issue) for issue in self.issues if issue.file == file]
            lines += issues[:MAX_LISTED_ISSUES]
            if len(issues) > MAX_LISTED_ISSUES:
                lines.append(f"{file}: {len(issues) - MAX_LISTED_ISSUES:,} more issues.")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class SideTableNote:
    """A remark on a valid side table.

    Attributes
    ----------
    kind
        "warning": the value may be a mistake. "repair": the value was read differently from what the file says.
    table
        The name of the table.
    issue
        The location and the description.
    from_matching
        Whether the note comes from matching the table with the audits.
    """

    kind: Literal["warning", "repair"]
    table: str
    issue: TableIssue
    from_matching: bool = False


@dataclass(frozen=True, slots=True)
class SideTables(Result):
    """Validated side tables.

    Attributes
    ----------
    frames
        The tables by name, as text, with the rows of their files as index.
    files
        The names of the files by table.
    notes
        Warnings and repairs.
    """

    frames: Mapping[str, pd.DataFrame]
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[SideTableNote, ...] = ()

    @property
    def warnings(self) -> tuple[TableIssue, ...]:
        """Values that may be mistakes, such as a scope that matches no audit."""
        return tuple(note.issue for note in self.notes if note.kind == "warning")

    @property
    def repairs(self) -> tuple[TableIssue, ...]:
        """Values that were read differently from what the file says."""
        return tuple(note.issue for note in self.notes if note.kind == "repair")

    def summary(self) -> str:
        """Return the number of rows of each table and the number of warnings, in one sentence."""
        sizes = [f"{name} {len(frame):,} row{'s' if len(frame) != 1 else ''}" for name, frame in self.frames.items()]
        count = len(self.warnings)
        warnings = f"{count:,} warning{'s' if count > 1 else ''}" if count else "no warnings"
        return f"Side tables: {', '.join(sizes) or 'none'}; {warnings}."

    def to_frame(self) -> pd.DataFrame:
        """Return one row per warning, then per repair: `kind`, `file`, `row`, `column`, `problem`, `hint`."""
        notes = sorted(self.notes, key=lambda note: note.kind, reverse=True)
        rows = [(note.kind, *(getattr(note.issue, name) for name in ISSUE_COLUMNS)) for note in notes]
        return pd.DataFrame(rows, columns=["kind", *ISSUE_COLUMNS]).astype({"row": "Int64"})


def read_side_tables(files: Mapping[str, Path], mapping: ColumnMapping) -> SideTables:
    """Read and validate side tables.

    Parameters
    ----------
    files
        The files by table: events, targets, ratings, population. Other names are ignored.
    mapping
        How the audits are written. Its date order, time zone, null words, labels and spellings apply to side tables
        too. A file in a store is read as ingestion wrote it.

    Returns
    -------
    SideTables
        The tables, with the warnings that need no audits. `match_side_tables` adds the others.

    Raises
    ------
    SideTableError
        With all issues: a missing column, an unknown keyword, an unreadable or ambiguous date or number, a row that
        contradicts itself or another row.

    Notes
    -----
    This cannot detect a date that is wrong but readable, or a share that is wrong but between 0 and 1. An event whose
    start is a day starts at midnight UTC of that day, whatever the zone of its site.
    """
    frames: dict[str, pd.DataFrame] = {}
    names: dict[str, str] = {}
    issues: list[TableIssue] = []
    notes: list[SideTableNote] = []
    for table, schema in SCHEMAS.items():
        if table not in files:
            continue
        path = Path(files[table])
        if is_store_file(path):
            stored = read_notes(path.parent)
            frames[table] = _read_with_rows(path)
            names[table] = stored.files.get(table, path.name)
            notes += [note for note in stored.notes if note.table == table and not note.from_matching]
            continue
        table_file = read_table(path, table, schema, mapping)
        if not table_file.texts.empty:
            frames[table] = VALIDATORS[table](table_file, mapping)
        elif not table_file.issues:
            frames[table] = table_file.texts
        names[table] = path.name
        issues += sorted(table_file.issues, key=lambda issue: issue.row or 0)
        notes += [SideTableNote("warning", table, warning) for warning in table_file.warnings]
        notes += [SideTableNote("repair", table, repair) for repair in table_file.repairs]
    if issues:
        raise SideTableError(issues)
    return SideTables(frames, names, tuple(notes))


# the store -----------------------------------------------------------------------------------------------------------


def write_escaped_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as the store keeps it; text that a spreadsheet would treat as a formula is escaped."""
    escaped = frame.apply(lambda column: column.astype("string").map(escape_formula, na_action="ignore"))
    escaped.to_csv(path, index=False, lineterminator="\n", encoding="utf-8", quoting=csv.QUOTE_ALL)


def write_side_tables(tables: SideTables, store: Path) -> None:
    """Write side tables and their notes into a store.

    Parameters
    ----------
    tables
        The tables, as `read_side_tables` or `match_side_tables` return them.
    store
        The folder of the store.
    """
    descriptions: dict[str, dict[str, object]] = {}
    for name, frame in tables.frames.items():
        path = store / f"{name}.csv"
        write_escaped_csv(frame, path)
        description = {"file": tables.files.get(name, path.name), "rows": len(frame), "sha256": compute_sha256(path)}
        if name != "ratings":  # there may be millions, and no note names a row of them
            description["source_rows"] = [int(row) for row in frame.index]
        descriptions[name] = description
    content = {"tables": descriptions, "notes": [asdict(note) for note in tables.notes]}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (store / NOTES_FILE).write_text(text + "\n", encoding="utf-8")


def is_store_file(file: Path) -> bool:
    """Tell whether a file is in a store exactly as ingestion wrote it."""
    description = _read_notes(file.parent)["tables"].get(file.stem, {})
    return file.suffix == ".csv" and file.is_file() and description.get("sha256") == compute_sha256(file)


def read_notes(store: Path) -> SideTables:
    """Read the notes on the side tables of a store.

    Parameters
    ----------
    store
        The folder of the store.

    Returns
    -------
    SideTables
        The notes, and frames that have the right number of rows and no columns.

    Raises
    ------
    DataError
        If the notes are damaged.
    """
    content = _read_notes(store)
    try:
        notes = [SideTableNote(**{**note, "issue": TableIssue(**note["issue"])}) for note in content["notes"]]
        descriptions = content["tables"]
        frames = {name: pd.DataFrame(index=range(table["rows"])) for name, table in descriptions.items()}
        return SideTables(frames, {name: table["file"] for name, table in descriptions.items()}, tuple(notes))
    except (LookupError, TypeError, AttributeError) as error:
        raise _build_damaged_error(error) from None


def _read_notes(store: Path) -> dict[str, Any]:
    """Return the content of the notes of a store; empty if it has none."""
    try:
        content = json.loads((store / NOTES_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {"tables": {}, "notes": []}
    except (ValueError, RecursionError) as error:
        raise _build_damaged_error(error) from None
    if not isinstance(content, dict) or not isinstance(content.get("tables"), dict):
        raise _build_damaged_error("it has no tables")
    return content


def _build_damaged_error(problem: object) -> DataError:
    """Return the error for notes that cannot be read."""
    return DataError(f"{NOTES_FILE} is damaged: {problem}", hint="ingest the file again")


def read_stored_table(file: Path) -> pd.DataFrame:
    """Read a side table that ingestion wrote into a store; all values are text.

    Parameters
    ----------
    file
        The CSV file in the store.

    Returns
    -------
    pandas.DataFrame
        The table, without the apostrophes that protect it from spreadsheet formulas.
    """
    table = pd.read_csv(file, dtype="str", keep_default_na=False, na_values=[""])
    return table.apply(lambda column: column.map(unescape_formula, na_action="ignore").astype("str"))


def _read_with_rows(file: Path) -> pd.DataFrame:
    """Read a side table of a store, with the rows of its original file as index."""
    table = read_stored_table(file)
    rows = _read_notes(file.parent)["tables"][file.stem].get("source_rows")
    return table.set_axis(rows) if isinstance(rows, list) and len(rows) == len(table) else table
