# Tested in tests/cli/test_check.py.
"""Validate a batch file without writing: its settings, side tables and audits, and the number of runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.audits.periods import compute_recent_coverage, get_period
from rca_lib.batch.batch_file import BatchConfig, read_batch
from rca_lib.batch.run_grid import list_unaudited_periods, plan_runs
from rca_lib.batch.store_builder import SIDE_TABLES, STORE_INPUTS, simulate_export
from rca_lib.intake.ingest import read_ingest_inputs
from rca_lib.intake.preview import IngestPreview, preview_ingest
from rca_lib.reporting.missing_data import STORE_FOLDER, list_quarantine_warnings


@dataclass(frozen=True, slots=True)
class BatchValidation:
    """The result of `validate_batch`.

    Attributes
    ----------
    audits
        The preview of the ingestion.
    runs
        The number of runs; 0 if the audits cannot be ingested.
    warnings
        Warnings about the batch as a whole.
    """

    audits: IngestPreview
    runs: int
    warnings: tuple[str, ...]


def validate_batch(file: Path, *, data: Path | None = None, now: datetime | None = None) -> BatchValidation:
    """Validate a batch file and all files that it names, without writing.

    Parameters
    ----------
    file
        The batch file.
    data
        The export, instead of the one that the batch file names.
    now
        The moment after which a date lies in the future; None if dates are not checked.

    Returns
    -------
    BatchValidation
        The number of runs and the warnings.

    Raises
    ------
    DataError, ValueError
        If the batch file, its mapping, taxonomy or side tables are at fault, or a site, period or parameter is unknown.
        All faults of the side tables are reported together.
    """
    batch = read_batch(file)
    source = data or batch.data
    if source is None:
        raise ValueError(f"batch {batch.batch!r} names no data; give it with --data FILE")
    files = batch.list_files(STORE_INPUTS)
    with TemporaryDirectory(prefix="rca-export-") as export:
        if source == "synthetic":
            simulate_export(batch.seed, Path(export))
            source = Path(export) / "audits.csv"
            files = {name: Path(export) / f"{name}.csv" for name in SIDE_TABLES} | files
        mapping, tables = read_ingest_inputs(files)
        preview = preview_ingest(Path(source), mapping, tables, now=now)
    if preview.ledger is None:
        return BatchValidation(preview, 0, ())
    audited = _list_audited_periods(batch, preview)
    days = [day for site_days in preview.days_by_site.values() for day in site_days]
    coverage = compute_recent_coverage(days) if days else None
    runs = plan_runs(batch, audited, audited, coverage=coverage, extra_values={"store": STORE_FOLDER})
    unaudited = list_unaudited_periods(batch, audited, coverage=coverage)
    warnings = [f"no audits of {site} in {period}" for site, period in unaudited]
    warnings += list_quarantine_warnings(preview.ledger)
    if batch.max_quarantine is not None:
        limit_warnings = list_quarantine_warnings(preview.ledger, batch.max_quarantine)
        warnings += [warning for warning in limit_warnings if warning not in warnings]
    return BatchValidation(preview, len(runs), tuple(warnings))


def _list_audited_periods(batch: BatchConfig, preview: IngestPreview) -> dict[str, list[str]]:
    """Return per site the months with audits, and the other kinds of period that the batch file names."""
    return {
        site: [
            period.name
            for frequency in batch.list_frequencies()
            for period in sorted({get_period(day, frequency) for day in days})
        ]
        for site, days in preview.days_by_site.items()
    }
