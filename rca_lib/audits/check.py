"""What an export would give, without writing: columns, labels, dates, sites, and all that stands in the way."""

from __future__ import annotations

import re
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from rca_lib.audits.conventions import PROBLEMS
from rca_lib.audits.engine import open_engine
from rca_lib.audits.intake_with_tables import take_in_with
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.mapping import MAPPABLE, Constant, Mapping, identifier
from rca_lib.audits.reading import read_source
from rca_lib.audits.side_tables import SideTables
from rca_lib.audits.table_files import show_value
from rca_lib.findings import DataError

ASSUMED: Pairs[str, dict[str, str]] = {
    "date_order": {"date_order": "dmy"},
    "decimal_mark": {"decimal": "."},
    "unit": {"percent": "percent"},
    "time_zone": {"time_zone": "UTC"},
}
LISTED = 50  # spellings of labels, sites, columns
SAMPLE = 10_000  # rows that examples are taken from
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a label is written, how it is read ("" where it is not known), in how many rows as label and as truth."""

    written: str
    read: str
    labels: int
    truths: int


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column of the file: the column of audits that it is read as ("" for none), and its most frequent values."""

    name: str
    read_as: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What `check_audits` found.

    `ledger` is None where the file cannot be taken in. `problems` are what a person has to decide or correct; with
    `assumed` the rest was read as if some of them were decided. `offenders` holds, by reason of quarantine, the first
    row and the value in it; `held` the days with audits by site.
    """

    file: str
    problems: tuple[DataError, ...] = ()
    assumed: tuple[str, ...] = ()
    ledger: Ledger | None = None
    columns: tuple[FileColumn, ...] = ()
    labels: tuple[Spelling, ...] = ()
    offenders: Pairs[str, tuple[int, str]] = field(default_factory=dict)
    held: Pairs[str, tuple[date, ...]] = field(default_factory=dict)
    tables: SideTables = field(default_factory=lambda: SideTables({}))

    @property
    def days(self) -> tuple[date, date] | None:
        """The first and the last day with audits that are kept."""
        days = [day for held in self.held.values() for day in held]
        return (min(days), max(days)) if days else None

    def to_dict(self) -> dict[str, Any]:
        """Return the check as `rca check --json` prints it."""
        return {
            "file": self.file,
            "problems": [str(problem) for problem in self.problems],
            "assumed": list(self.assumed),
            "ledger": self.ledger and self.ledger.to_dict(),
            "days": self.days and [day.isoformat() for day in self.days],
            "labels": [{name: getattr(label, name) for name in Spelling.__slots__} for label in self.labels],
            "columns": [{name: getattr(column, name) for name in FileColumn.__slots__} for column in self.columns],
            "first_quarantined": {reason: list(found) for reason, found in self.offenders.items()},
            "warnings": [str(warning) for warning in self.tables.warnings],
            "repairs": [str(repair) for repair in self.tables.repairs],
        }


def check_audits(
    source: Path, mapping: Mapping, tables: SideTables | None = None, *, now: datetime | None = None
) -> Check:
    """Look at an export without writing.

    Parameters
    ----------
    source
        The file.
    mapping
        How it writes audits.
    tables
        Side tables to hold against the audits.
    now
        The moment after which a date lies in the future.

    Returns
    -------
    Check
        With every open question at once: where the order of day and month, the decimal mark, the unit of percentages or
        the time zone is open, the rest is read as if it were decided. Where columns are missing, those of the file are
        listed with their most frequent values.

    Raises
    ------
    DataError
        If the file cannot be read as a table.
    """
    tables, rules = tables or SideTables({}), mapping
    problems: list[DataError] = []
    assumed: list[str] = []
    while True:
        look = _Look()
        try:
            ledger, fitted = take_in_with(source, None, tables, rules, now, look.collect)
            found = {"ledger": ledger, "tables": fitted}
            break
        except DataError as error:
            problems.append(error)
            decided = _decide(error, rules)
            if not decided:
                found = {}
                break
            rules = rules.model_copy(update=decided)
            assumed += [f"{name}: {value}" for name, value in decided.items()]
    columns = _list_columns(source, mapping)
    return Check(source.name, tuple(problems), tuple(assumed), columns=columns, **found, **look.found)


def _decide(error: DataError, mapping: Mapping) -> dict[str, str]:
    """Return what to assume, so that the rest can be looked at; nothing where the error is of another kind."""
    for proof, (what, _) in PROBLEMS.items():
        assumed = ASSUMED.get(proof, {})
        if error.problem.startswith(what) and all(getattr(mapping, name) is None for name in assumed):
            return assumed
    return {}


class _Look:
    """What is taken down while the engine of an intake is open."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def collect(self, engine: duckdb.DuckDBPyConnection) -> None:
        """Take down labels, days and the first row of each reason of quarantine."""
        spelled = engine.sql(
            "select written, min(read), sum(is_label)::bigint, sum(1 - is_label)::bigint from ("
            "select t_label as written, judged.label as read, 1 as is_label from texts join judged using (row) "
            "union all select t_truth, judged.truth, 0 from texts join judged using (row)) "
            f"where written is not null group by written order by count(*) desc, written limit {LISTED}"
        ).fetchall()
        held: dict[str, list[date]] = {}
        for site, day in engine.sql("select distinct site, day from kept order by site, day").fetchall():
            held.setdefault(site, []).append(day)
        self.found = {
            "labels": tuple(Spelling(text, read or "", labels, truths) for text, read, labels, truths in spelled),
            "held": {site: tuple(days) for site, days in held.items()},
            "offenders": _find_offenders(engine),
        }


def _find_offenders(engine: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, str]]:
    reasons = engine.sql(
        "select reasons[1], min(source_row) from weighted where fate = 'quarantined' group by 1 order by 1"
    ).fetchall()
    known = set(engine.sql("select * from texts limit 0").columns)
    found = {}
    for reason, row in reasons:
        name = re.search(r"\((\w+)\)$", reason)
        column = f"t_{name[1]}" if name else ""
        if column in known:
            values = engine.execute(f"select {identifier(column)} from texts where row = ?", [row]).fetchall()
            found[reason] = (int(row), "" if not values or values[0][0] is None else str(values[0][0]))
        else:
            found[reason] = (int(row), "")
    return found


def _list_columns(source: Path, mapping: Mapping) -> tuple[FileColumn, ...]:
    """List the file's columns, what they are read as, and their most frequent values among the first rows."""
    used: dict[str, str] = {}
    for name, given in mapping.columns.items():
        for part in [given] if isinstance(given, str) else [] if isinstance(given, Constant) else given:
            used[" ".join(part.split())] = name
    with (
        TemporaryDirectory(prefix="rca-check-") as folder,
        open_engine(folders=[Path(folder)], files=[source]) as engine,
    ):
        read = read_source(engine, source, mapping, Path(folder))
        engine.execute(f"create table sample as select * from raw limit {SAMPLE}").fetchall()
        listed = []
        for place, name in enumerate(read.names):
            values = engine.sql(
                f"select c{place} from sample where trim(c{place}) <> '' group by 1 order by count(*) desc, 1 "
                f"limit {EXAMPLES}"
            ).fetchall()
            read_as = used.get(name, name if name not in used.values() and name in MAPPABLE else "")
            listed.append(FileColumn(name, read_as, tuple(show_value(value) for (value,) in values)))
    return tuple(listed)
