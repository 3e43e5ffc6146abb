"""What a batch file would give, without writing: its settings, its side tables, its audits, its runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.audits.check import Check, check_audits
from rca_lib.audits.intake_with_tables import read_beside
from rca_lib.audits.periods import parse_period, period_of
from rca_lib.batch.filling import TABLES, simulate_export
from rca_lib.batch.grid import Batch, list_idle, plan_runs, read_batch
from rca_lib.reporting.coverage import tell_quarantine


@dataclass(frozen=True, slots=True)
class BatchCheck:
    """What `check_batch` found: the check of the audits, the number of runs, and warnings of the batch as a whole."""

    audits: Check
    runs: int
    warnings: tuple[str, ...]


def check_batch(file: Path, *, data: Path | None = None, now: datetime | None = None) -> BatchCheck:
    """Look at a batch file and all that it names, without writing.

    Parameters
    ----------
    file
        The batch file.
    data
        The audits, in place of those that it names.
    now
        The moment after which a date lies in the future.

    Raises
    ------
    DataError, ValueError
        If the batch file, its mapping, its taxonomy or its side tables are at fault: all faults of the side tables; or
        if a site, a period or a parameter is unknown.
    """
    batch = read_batch(file)
    source = data or batch.data
    if source is None:
        raise ValueError(f"batch {batch.batch!r} names no data; give it with --data FILE")
    given = {name: getattr(batch, name) for name in (*TABLES, "population", "mapping", "taxonomy")}
    files = {name: Path(path) for name, path in given.items() if path}
    with TemporaryDirectory(prefix="rca-export-") as export:
        if source == "synthetic":
            simulate_export(batch.seed, Path(export))
            source = Path(export) / "audits.csv"
            files = {name: Path(export) / f"{name}.csv" for name in TABLES} | files
        mapping, tables = read_beside(files)
        found = check_audits(Path(source), mapping, tables, now=now)
    if found.ledger is None:
        return BatchCheck(found, 0, ())
    held = _list_held(batch, found)
    runs = plan_runs(batch, held, held, given={"store": "_audits"})
    warnings = [f"no audits of {site} in {period}" for site, period in list_idle(batch, held)]
    warnings += tell_quarantine(found.ledger)
    if batch.max_quarantine is not None:
        warnings += [line for line in tell_quarantine(found.ledger, batch.max_quarantine) if line not in warnings]
    return BatchCheck(found, len(runs), tuple(warnings))


def _list_held(batch: Batch, found: Check) -> dict[str, list[str]]:
    """Return by site the months with audits, and the other kinds of period that the batch asks for."""
    named = () if batch.periods == "all months" else batch.periods
    kinds = dict.fromkeys(["month", *(parse_period(name).kind for name in named)])
    return {
        site: [period.name for kind in kinds for period in sorted({period_of(day, kind) for day in days})]
        for site, days in found.held.items()
    }
