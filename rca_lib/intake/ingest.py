"""Ingest of an export: from any source to canonical Parquet by site and month, a quarantine and a ledger.

The steps are SQL views and tables on one DuckDB connection, each built on the one before:

===================  ==================================================================================================
`raw`                the cells of the source as text (`sources`)
`standardized_rows`  a clean text per canonical column (`cell_cleaning`), in one spelling (`value_standardization`)
`validated_rows`     a value per canonical column, repairs and reasons (`format_inference`, `validation`)
`row_statuses`       the status of each row: kept, quarantined, exact duplicate or empty (`validation`)
`weighted_rows`      the same with design weights and a suggestion for each quarantined row (`weights`)
`kept_rows`          the columns of the store, for kept rows
===================  ==================================================================================================

The ledger counts every row, and the store is written from `kept_rows`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from collections.abc import Mapping as Pairs
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd

from rca_lib.audits.schema import AUDIT_COLUMNS, describe_renamed_columns
from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.findings import DataError
from rca_lib.intake.cell_cleaning import create_text_view
from rca_lib.intake.column_mapping import ColumnMapping, read_mapping
from rca_lib.intake.column_plan import ColumnPlan, plan_columns
from rca_lib.intake.format_inference import infer_formats
from rca_lib.intake.ledger import Ledger
from rca_lib.intake.ledger_counts import build_ledger
from rca_lib.intake.mapping_validation import validate_mapping
from rca_lib.intake.quarantine_corrections import (
    EXPORT_ROWS_FILE,
    drop_quarantine_columns,
    is_quarantine_file,
    make_quarantine_mapping,
    merge_corrections,
    reapply_corrections,
)
from rca_lib.intake.side_table_matching import match_side_tables
from rca_lib.intake.side_tables import SideTables, read_side_tables
from rca_lib.intake.sources import SourceTable, list_source_files, read_source
from rca_lib.intake.store_writer import replace_store, require_store_folder, write_store
from rca_lib.intake.validation import validate_rows
from rca_lib.intake.weights import compute_design_weights, find_influential_audits, read_population
from rca_lib.io.duckdb_connection import (
    INGEST_MEMORY_MB,
    connect_duckdb,
    execute,
    quote_identifier,
    quote_literal,
    set_memory_limit,
)
from rca_lib.io.work_folders import create_work_folder

CORRECTIONS_NOT_APPLIED = "corrections of the previous export in this store do not apply to this export"
Callback = Callable[[duckdb.DuckDBPyConnection], None]


def ingest(
    source: Any,
    store: Path | None,
    *,
    mapping: ColumnMapping | None = None,
    population: Path | None = None,
    now: datetime | None = None,
    previous_store: Path | None = None,
    on_validated: Callback | None = None,
    synthetic: bool = False,
) -> Ledger:
    """Ingest an export of audits.

    Parameters
    ----------
    source
        A file (CSV, XLSX, ODS, JSON, NDJSON, Parquet, each also compressed; SQLite, DuckDB), a pandas frame, an open
        DB-API connection, or None if the mapping's query names the files. A row is an audited decision.
    store
        The folder to write: `site=<site>/month=<YYYY-MM>/audits.parquet`, `quarantine.csv`, `ledger.json`. An earlier
        ingest in it is replaced at the very end, and other files in it stay. None validates without writing.
    mapping
        How the source writes audits. None means canonical names.
    population
        A file with one row per period, site, queue and stratum and its number of `decisions`. It gives `weight` where
        the source has none.
    now
        Rows with a later date are quarantined. None means that no date counts as future.
    previous_store
        The store that corrections belong to; `store` itself by default, if it exists. The rows of a corrected
        quarantine file replace rows of the export from which this store was made. If the same export is ingested
        again, it keeps the corrections.
    on_validated
        Is called with the DuckDB connection once every row is validated (see the views above). An error that it raises
        stops the ingest.
    synthetic
        Whether the audits are simulated. The ledger and every page made from the store then say so.

    Returns
    -------
    Ledger
        The status of every row that was read.

    Raises
    ------
    DataError
        If the source is ambiguous and a person must decide, or if no row can be kept.

    Notes
    -----
    A local time that a clock change skips or repeats is read as DuckDB reads it, at most one hour off. The ingest
    cannot detect a wrong truth, a wrongly mapped label, or an id that lost digits without a trace.
    """
    mapping = mapping or ColumnMapping()
    store = None if store is None else Path(store).absolute()
    require_store_folder(store)
    with create_work_folder(store and store.parent) as work_folder:
        strata = read_population(population, work_folder)
        rows_file = _find_export_rows(previous_store or store, source)
        files = [*list_source_files(source, mapping), *([rows_file] if rows_file else [])]
        with connect_duckdb(
            work_folder / "intake.duckdb",
            folders=[work_folder],
            files=files,
            memory_mb=INGEST_MEMORY_MB,
            spill_folder=work_folder / "spill",
        ) as connection:
            table, unapplied = _read_with_corrections(connection, source, mapping, work_folder, rows_file)
            set_memory_limit(connection, len(table.names))
            ledger = _validate_source(connection, table, mapping, now, strata, on_validated)
            notes = [(CORRECTIONS_NOT_APPLIED, unapplied, "correct them in this export too")] if unapplied else []
            ledger = replace(ledger, notes=(*ledger.notes, *notes), synthetic=synthetic)
            if store is not None:
                write_store(connection, work_folder / "store", table, ledger)
        if store is not None:
            replace_store(work_folder / "store", store)
    return ledger


def _find_export_rows(previous_store: Path | None, source: Any) -> Path | None:
    """Return the file with the rows of the export from which a store was made; None without a store."""
    if previous_store is None:
        return None
    rows_file = previous_store / EXPORT_ROWS_FILE
    if rows_file.exists():
        return rows_file
    if (previous_store / "ledger.json").exists() and is_quarantine_file(source):
        problem = "the store does not hold the rows of its export, which a corrected quarantine needs"
        raise DataError(problem, hint="ingest the export again, then its corrected quarantine")
    return None


def _read_with_corrections(
    connection: duckdb.DuckDBPyConnection,
    source: Any,
    mapping: ColumnMapping,
    work_folder: Path,
    rows_file: Path | None,
) -> tuple[SourceTable, int]:
    """Read a source into `raw`, with corrections applied; also return the number of corrections that do not apply."""
    if not is_quarantine_file(source):
        table = read_source(connection, source, mapping, work_folder)
        return reapply_corrections(connection, table, rows_file) if rows_file else (table, 0)
    table = read_source(connection, source, make_quarantine_mapping(mapping), work_folder)
    return (merge_corrections(connection, table, rows_file) if rows_file else table), 0


# Validation ----------------------------------------------------------------------------------------------------------


def _validate_source(
    connection: duckdb.DuckDBPyConnection,
    table: SourceTable,
    mapping: ColumnMapping,
    now: datetime | None,
    population: pd.DataFrame,
    on_validated: Callback | None,
) -> Ledger:
    """Validate every row of `raw`: create the views from `standardized_rows` to `kept_rows`, and build the ledger."""
    names, is_quarantine = drop_quarantine_columns(table.names)
    plan = plan_columns(mapping, names)
    table = replace(table, repairs=(*table.repairs, *describe_renamed_columns(plan.extra_columns)))
    notes = create_text_view(connection, plan, mapping, len(names), is_quarantine)
    infer_formats(connection, plan, mapping, table)
    validate_rows(connection, now, len(plan.extra_columns))
    benign, label_order = validate_mapping(connection, plan, mapping, notes)
    needs_weights = "weight" in plan.sources or not population.empty
    execute(
        connection,
        f"create macro needs_weights() as {needs_weights}; create macro source_name() as {quote_literal(table.name)}",
    )
    compute_design_weights(connection, population)
    columns = _create_kept_view(connection, plan, mapping, needs_weights)
    if on_validated:
        on_validated(connection)
    ledger = build_ledger(connection, table, mapping, columns)
    all_notes = (*notes.notes, *find_influential_audits(connection))
    ledger = replace(ledger, benign=benign, label_order=label_order, notes=all_notes)
    if not ledger.kept:
        reason, rows, first, hint = ledger.reasons[0] if ledger.reasons else ("every row is empty", ledger.empty, 0, "")
        problem = f"no row of {table.name} can be kept: {reason}"
        raise DataError(problem, rows=rows, first={"source_row": first}, hint=hint)
    return ledger


def _create_kept_view(
    connection: duckdb.DuckDBPyConnection, plan: ColumnPlan, mapping: ColumnMapping, needs_weights: bool
) -> tuple[str, ...]:
    """Create the view `kept_rows`, with the columns of the store and `month`; return the columns of the store."""
    available = {*plan.sources, "day", "error", "source_file", "source_row"}
    if needs_weights:
        available.add("weight")
    if "tenure_days" in plan.sources:
        available.add("tenure")
    if mapping.site_time_zones:
        available.add("shift")
    canonical = [column.name for column in AUDIT_COLUMNS if column.name in available]
    extra = [f"x{index} as {quote_identifier(name)}" for index, name in enumerate(plan.extra_columns)]
    columns = ", ".join([*canonical, *extra])
    execute(
        connection,
        f"create view kept_rows as select {columns}, month from weighted_rows where weighted_rows.row_status = 'kept'",
    )
    return (*canonical, *plan.extra_columns)


# Audits with side tables ---------------------------------------------------------------------------------------------


def read_ingest_inputs(files: Pairs[str, Path]) -> tuple[ColumnMapping, SideTables]:
    """Read and validate everything that accompanies audits, before they are ingested.

    Parameters
    ----------
    files
        Files by kind: mapping, taxonomy, events, targets, ratings, population. Any of them may be missing.

    Returns
    -------
    ColumnMapping, SideTables
        The mapping, and the side tables.

    Raises
    ------
    DataError
        If the mapping or the taxonomy is invalid. A `SideTableError` lists all issues of the side tables.
    """
    mapping = read_mapping(files.get("mapping"))
    if "taxonomy" in files:
        read_taxonomy(files["taxonomy"])
    return mapping, read_side_tables(files, mapping)


def ingest_with_tables(
    source: Path,
    store: Path | None,
    tables: SideTables,
    mapping: ColumnMapping,
    now: datetime | None,
    on_validated: Callback = lambda _: None,
    previous_store: Path | None = None,
    *,
    synthetic: bool = False,
) -> tuple[Ledger, SideTables]:
    """Ingest audits, and match their side tables with them.

    Parameters
    ----------
    source, store, mapping, now, on_validated, previous_store, synthetic
        As for `ingest`. Without a store, nothing is written.
    tables
        The side tables. Their population gives missing weights.

    Returns
    -------
    Ledger, SideTables
        The status of every row, and the side tables with the warnings of `match_side_tables`.

    Raises
    ------
    DataError
        As `ingest` and `match_side_tables`.
    """
    matched: list[SideTables] = []

    def match_tables(connection: duckdb.DuckDBPyConnection) -> None:
        on_validated(connection)
        matched.append(match_side_tables(connection, tables, mapping))

    with TemporaryDirectory(prefix="rca-tables-") as folder:
        population = Path(folder) / "population.csv" if "population" in tables.frames else None
        if population:
            tables.frames["population"].to_csv(population, index=False, quoting=csv.QUOTE_NONNUMERIC)
        ledger = ingest(
            source,
            store,
            mapping=mapping,
            population=population,
            now=now,
            previous_store=previous_store,
            on_validated=match_tables,
            synthetic=synthetic,
        )
    return ledger, matched[0]
