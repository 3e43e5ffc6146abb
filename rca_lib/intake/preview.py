# Tested in tests/cli/test_check.py.
"""Preview of an ingestion: what an export would give, and all that prevents it. Nothing is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import MAPPABLE_COLUMNS, ColumnMapping, ConstantColumn
from rca_lib.intake.format_inference import AMBIGUITY_MESSAGES
from rca_lib.intake.ingest import ingest_with_tables
from rca_lib.intake.ledger import Ledger
from rca_lib.intake.side_table_issues import format_value
from rca_lib.intake.side_tables import SideTables
from rca_lib.intake.sources import read_source
from rca_lib.io.duckdb_connection import connect_duckdb, quote_identifier

# By open question, the setting with which the rest of the file is read.
ASSUMED_SETTINGS: Mapping[str, dict[str, str]] = {
    "date_order": {"date_order": "dmy"},
    "decimal_mark": {"decimal": "."},
    "unit": {"percent": "percent"},
    "time_zone": {"time_zone": "UTC"},
}
MAX_LABELS = 50  # labels that are listed, the most frequent ones
SAMPLE_ROWS = 10_000  # rows at the top of the file from which examples are taken
MAX_EXAMPLES = 3  # values per column


@dataclass(frozen=True, slots=True)
class LabelSpelling:
    """A label of the file.

    Attributes
    ----------
    source_label
        The label as the file writes it.
    mapped_label
        The label that it is read as; "" if the mapping does not know it.
    label_rows, truth_rows
        The number of rows in which it is the label, and the truth.
    """

    source_label: str
    mapped_label: str
    label_rows: int
    truth_rows: int


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column of the file.

    Attributes
    ----------
    name
        The name in the header.
    mapped_to
        The column of audits that it is read as; "" for none.
    examples
        The most frequent values, quoted.
    """

    name: str
    mapped_to: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IngestPreview:
    """The result of `preview_ingest`.

    Attributes
    ----------
    file
        The name of the file.
    problems
        What a person has to decide or correct.
    assumed
        The settings, as `key: value`, with which the file was read in spite of open questions.
    ledger
        The ledger; None if the file cannot be ingested.
    columns, labels
        The columns of the file, and its most frequent labels.
    first_quarantined
        Per reason for quarantine, the first row and its value.
    days_by_site
        The days with kept audits.
    tables
        The side tables, matched with the audits.
    """

    file: str
    problems: tuple[DataError, ...] = ()
    assumed: tuple[str, ...] = ()
    ledger: Ledger | None = None
    columns: tuple[FileColumn, ...] = ()
    labels: tuple[LabelSpelling, ...] = ()
    first_quarantined: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    days_by_site: Mapping[str, tuple[date, ...]] = field(default_factory=dict)
    tables: SideTables = field(default_factory=lambda: SideTables({}))

    @property
    def days(self) -> tuple[date, date] | None:
        """The first and the last day with kept audits."""
        days = [day for site_days in self.days_by_site.values() for day in site_days]
        return (min(days), max(days)) if days else None

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as `rca check --json` prints it."""
        return {
            "file": self.file,
            "problems": [str(problem) for problem in self.problems],
            "assumed": list(self.assumed),
            "ledger": self.ledger and self.ledger.to_dict(),
            "days": self.days and [day.isoformat() for day in self.days],
            "labels": [{name: getattr(label, name) for name in LabelSpelling.__slots__} for label in self.labels],
            "columns": [{name: getattr(column, name) for name in FileColumn.__slots__} for column in self.columns],
            "first_quarantined": {reason: list(row) for reason, row in self.first_quarantined.items()},
            "warnings": [str(warning) for warning in self.tables.warnings],
            "repairs": [str(repair) for repair in self.tables.repairs],
        }


def preview_ingest(
    source: Path, mapping: ColumnMapping, tables: SideTables | None = None, *, now: datetime | None = None
) -> IngestPreview:
    """Preview the ingestion of an export without writing.

    Parameters
    ----------
    source
        The file.
    mapping
        How the file writes audits.
    tables
        Side tables to match with the audits.
    now
        The moment after which a date lies in the future; None: no date counts as future.

    Returns
    -------
    IngestPreview
        All open questions at once. If the order of day and month, the decimal mark, the unit of percentages or the
        time zone is open, the file is read with an assumed setting. If columns are missing, the columns of the file
        are listed with their most frequent values.

    Raises
    ------
    DataError
        If the file cannot be read as a table.
    """
    tables = tables or SideTables({})
    settings = mapping
    problems: list[DataError] = []
    assumed: list[str] = []
    ingested: dict[str, Any] = {}
    while True:
        collector = _PreviewCollector()
        try:
            ledger, matched_tables = ingest_with_tables(source, None, tables, settings, now, collector.collect)
        except DataError as error:
            problems.append(error)
            assumption = _choose_assumption(error, settings)
            if not assumption:
                break
            settings = settings.model_copy(update=assumption)
            assumed += [f"{name}: {value}" for name, value in assumption.items()]
        else:
            ingested = {"ledger": ledger, "tables": matched_tables}
            break
    columns = _describe_columns(source, mapping)
    return IngestPreview(
        source.name, tuple(problems), tuple(assumed), columns=columns, **ingested, **collector.collected
    )


def _choose_assumption(error: DataError, mapping: ColumnMapping) -> dict[str, str]:
    """Return the setting to assume after an error; empty if the error is of another kind."""
    for question, (problem, _) in AMBIGUITY_MESSAGES.items():
        assumption = ASSUMED_SETTINGS.get(question, {})
        if error.problem.startswith(problem) and all(getattr(mapping, name) is None for name in assumption):
            return assumption
    return {}


class _PreviewCollector:
    """Collects what the preview shows while the connection of the ingestion is open."""

    def __init__(self) -> None:
        self.collected: dict[str, Any] = {}

    def collect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Collect the labels, the days with audits, and the first row of each reason for quarantine."""
        labels = connection.sql(
            "select written, min(read), sum(is_label)::bigint, sum(1 - is_label)::bigint from ("
            "select t_label as written, validated_rows.label as read, 1 as is_label "
            "from standardized_rows join validated_rows using (row) "
            "union all select t_truth, validated_rows.truth, 0 from standardized_rows join validated_rows using (row)) "
            f"where written is not null group by written order by count(*) desc, written limit {MAX_LABELS}"
        ).fetchall()
        days_by_site: dict[str, list[date]] = {}
        for site, day in connection.sql("select distinct site, day from kept_rows order by site, day").fetchall():
            days_by_site.setdefault(site, []).append(day)
        self.collected = {
            "labels": tuple(
                LabelSpelling(source_label, mapped_label or "", label_rows, truth_rows)
                for source_label, mapped_label, label_rows, truth_rows in labels
            ),
            "days_by_site": {site: tuple(days) for site, days in days_by_site.items()},
            "first_quarantined": _find_first_quarantined(connection),
        }


def _find_first_quarantined(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, str]]:
    """Return per reason for quarantine the first row, and the value if the reason names a column."""
    reasons = connection.sql(
        "select reasons[1], min(source_row) from weighted_rows where row_status = 'quarantined' group by 1 order by 1"
    ).fetchall()
    columns = set(connection.sql("select * from standardized_rows limit 0").columns)
    first_quarantined = {}
    for reason, row in reasons:
        match = re.search(r"\((\w+)\)$", reason)
        column = f"t_{match[1]}" if match else ""
        value = None
        if column in columns:
            query = f"select {quote_identifier(column)} from standardized_rows where row = ?"
            values = connection.execute(query, [row]).fetchall()
            value = values[0][0] if values else None
        first_quarantined[reason] = (int(row), "" if value is None else str(value))
    return first_quarantined


def _describe_columns(source: Path, mapping: ColumnMapping) -> tuple[FileColumn, ...]:
    """Return the columns of the file with their most frequent values among the first rows."""
    mapped_columns = _list_mapped_columns(mapping)
    with (
        TemporaryDirectory(prefix="rca-check-") as folder,
        connect_duckdb(folders=[Path(folder)], files=[source]) as connection,
    ):
        names = read_source(connection, source, mapping, Path(folder)).names
        connection.execute(f"create table sample as select * from raw limit {SAMPLE_ROWS}").fetchall()
        columns = []
        for position, name in enumerate(names):
            values = connection.sql(
                f"select c{position} from sample where trim(c{position}) <> '' group by 1 order by count(*) desc, 1 "
                f"limit {MAX_EXAMPLES}"
            ).fetchall()
            canonical = name if name in MAPPABLE_COLUMNS and name not in mapped_columns.values() else ""
            examples = tuple(format_value(value) for (value,) in values)
            columns.append(FileColumn(name, mapped_columns.get(name, canonical), examples))
    return tuple(columns)


def _list_mapped_columns(mapping: ColumnMapping) -> dict[str, str]:
    """Return the column of audits by column of the file, as far as the mapping names them."""
    mapped_columns: dict[str, str] = {}
    for name, source in mapping.columns.items():
        if isinstance(source, ConstantColumn):
            continue
        for source_name in [source] if isinstance(source, str) else source:
            mapped_columns[" ".join(source_name.split())] = name
    return mapped_columns
