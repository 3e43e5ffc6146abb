"""Run a batch: ingest the audits, write a report for every site and period, and write the index.

The steps are: read the batch file, lock the batch's folder, bring the store up to date, derive the runs, run the
notebooks, write the index. `plan_batch` stops before the notebooks and only says which runs are due.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rca_lib.batch.batch_file import BatchConfig, read_batch, suggest_name
from rca_lib.batch.locks import lock_folder
from rca_lib.batch.plan import list_audited_periods, write_plan
from rca_lib.batch.run_grid import Run, list_unaudited_periods, plan_runs
from rca_lib.batch.run_records import RunOutcome, find_rerun_reason, hash_run_inputs
from rca_lib.batch.runner import run_notebooks
from rca_lib.batch.store_builder import INPUT_HASHES_FILE
from rca_lib.batch.store_update import update_store
from rca_lib.findings import DataError
from rca_lib.intake.ledger import Ledger
from rca_lib.intake.side_tables import read_notes
from rca_lib.reporting.index import list_reported_periods, write_index
from rca_lib.reporting.missing_data import STORE_FOLDER, explain_missing_site, list_quarantine_warnings
from rca_lib.store.catalog import read_coverage
from rca_lib.store.fingerprint import compute_fingerprint

CERTIFICATE_FILE = "certificate.html"
MANIFEST_FILE = "certificate.json"
PLANNING_SECONDS = 60.0  # to wait for another process that plans a report
MAX_LISTED = 5  # sites and periods without audits that one line names


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch.

    Attributes
    ----------
    folder, index
        The batch's folder and its index page.
    ledger
        What happened to each row of the export.
    outcomes
        The outcome of each run.
    notes
        Lines about what is in order.
    warnings
        Lines about what is not in order and does not stop the batch.
    alarms
        Lines about sites that lost all their audits. They make the batch fail even if every run succeeded.
    """

    folder: Path
    index: Path
    ledger: Ledger
    outcomes: tuple[RunOutcome, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a run failed or a site lost all its audits."""
        return bool(self.alarms) or any(outcome.outcome == "failed" for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The runs of a batch, without running them.

    Attributes
    ----------
    batch, folder, ledger
        The batch file, the batch's folder, and what happened to each row of the export.
    runs
        Pairs of a run and the reason why it is due; "" if its report is up to date.
    notes, warnings, alarms
        As in `BatchResult`.
    """

    batch: BatchConfig
    folder: Path
    ledger: Ledger
    runs: tuple[tuple[Run, str], ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()


def run_batch(
    file: Path,
    *,
    data: Path | None = None,
    site: str | None = None,
    period: str | None = None,
    reports: Path = Path("reports"),
    workers: int = 2,
    force: bool = False,
    cold: bool = False,
    now: datetime | None = None,
    on_intake: Callable[[Ledger], None] = lambda _: None,
    on_progress: Callable[[RunOutcome], None] = lambda _: None,
    on_plan: Callable[[tuple[Run, ...]], None] = lambda _: None,
) -> BatchResult:
    """Ingest the audits of a batch file, run its notebooks for every site and period, and write the index.

    Parameters
    ----------
    file
        The batch file.
    data
        The export, instead of the one that the batch file names.
    site, period
        Run only this site, only this period.
    reports
        The folder that receives the batch's folder.
    workers
        The number of notebooks that run at the same time.
    force
        Also ingest and run what has not changed.
    cold
        Start each kernel as a new process instead of forking a prepared one. The reports are the same.
    now
        The moment after which a date lies in the future; None if dates are not checked.
    on_intake, on_plan, on_progress
        Called with the ledger after the ingestion, with the runs before they start, and with each outcome.

    Returns
    -------
    BatchResult
        The outcome of each run, and the messages of the batch.

    Raises
    ------
    DataError, ValueError
        Before anything runs, if the data, the batch file or a parameter is at fault, or another process runs the batch.
    OSError
        If the index cannot be written. Every outcome was then already passed to `on_progress`.
    """
    batch = read_batch(file)
    folder = (reports / batch.batch).resolve()
    store = folder / STORE_FOLDER
    with lock_folder(folder):
        ledger = update_store(batch, data, store, force=force, now=now)
        on_intake(ledger)
        batch, alarms = _exclude_missing_sites(batch, folder, ledger)
        runs, notes = _plan_runs(batch, store, site, period)
        is_partial = site is not None or period is not None
        title = batch.title or batch.batch
        write_plan(folder, store, title, runs, is_partial=is_partial)
        on_plan(runs)
        outcomes = run_notebooks(
            runs, folder, workers=workers, force=force, cold=cold, environment=batch.environment,
            on_progress=on_progress,
        )  # fmt: skip
        if not all(outcome.kept for outcome in outcomes):
            _remove_certificate(folder)
        index = write_index(folder, title=title)
        return BatchResult(folder, index, ledger, outcomes, notes, _collect_warnings(ledger, store), alarms)


def run_single_report(
    file: Path, report: str, *, reports: Path = Path("reports"), force: bool = False, cold: bool = False
) -> RunOutcome:
    """Make one report of a batch whose audits are ingested, for schedulers that start each report as a task.

    Reports of one batch may be made by several processes at the same time. The index is not written: `run_batch`
    does so at the end, and keeps the reports.

    Parameters
    ----------
    file
        The batch file.
    report
        The folder of the report, as `plan_batch` lists it: "lisbon/2026-03", or "_portfolio".
    reports, force, cold
        As for `run_batch`.

    Returns
    -------
    RunOutcome
        The outcome of the run.

    Raises
    ------
    DataError, ValueError
        If the batch has no audits yet or no such report, another process makes the report, or a whole batch runs.
    """
    batch = read_batch(file)
    folder = (reports / batch.batch).resolve()
    store = folder / STORE_FOLDER
    if not (store / "ledger.json").is_file():
        raise DataError(f"batch {batch.batch!r} has no audits yet", hint=f"run rca run {file.name} --list first")
    with lock_folder(folder, timeout=PLANNING_SECONDS):  # waits for other reports to be planned, not for a batch
        runs, _ = _plan_runs(batch, store, None, None)
    run = next((run for run in runs if run.folder == report), None)
    if run is None:
        suggestion = suggest_name(report, [run.folder for run in runs])
        raise ValueError(f"{file}: the batch has no report {report!r}{suggestion}")
    lock_name = f".lock-{report.replace('/', '-')}"
    with lock_folder(folder, lock_name):
        (outcome,) = run_notebooks([run], folder, workers=1, force=force, cold=cold, environment=batch.environment)
    (folder / lock_name).unlink(missing_ok=True)
    return outcome


def plan_batch(
    file: Path,
    *,
    data: Path | None = None,
    site: str | None = None,
    period: str | None = None,
    reports: Path = Path("reports"),
    force: bool = False,
    now: datetime | None = None,
) -> BatchPlan:
    """Ingest the audits of a batch file and list the runs, with the reason why each is due; nothing runs.

    Parameters
    ----------
    file, data, site, period, reports, force, now
        As for `run_batch`.

    Returns
    -------
    BatchPlan
        The runs. A report that depends on other reports is listed as due if one of those is; it may turn out to be
        unchanged.

    Raises
    ------
    DataError, ValueError
        As `run_batch`.
    """
    batch = read_batch(file)
    folder = (reports / batch.batch).resolve()
    store = folder / STORE_FOLDER
    with lock_folder(folder):
        ledger = update_store(batch, data, store, force=force, now=now)
        batch, alarms = _exclude_missing_sites(batch, folder, ledger)
        runs, notes = _plan_runs(batch, store, site, period)
        reasons: dict[str, str] = {}
        for run in runs:
            reason = "it is forced" if force else find_rerun_reason(run, folder, hash_run_inputs(run, folder))
            reads_due_report = reasons.get(run.before) or (run.stage and any(reasons.values()))
            if not reason and reads_due_report:
                reason = "a report that it reads is due"
            reasons[run.folder] = reason
    planned = tuple((run, reasons[run.folder]) for run in runs)
    return BatchPlan(batch, folder, ledger, planned, notes, _collect_warnings(ledger, store), alarms)


def hash_run_data(store: Path, run: Run) -> str:
    """Return a SHA-256 of the data that a run reads: of its site and period, or of all inputs of the store."""
    if run.site is None or run.period is None:
        return hashlib.sha256((store / INPUT_HASHES_FILE).read_bytes()).hexdigest()
    return compute_fingerprint(store, run.site, run.period)


def _remove_certificate(folder: Path) -> None:
    """Remove the certificate of an earlier verification, which is about other reports."""
    for name in (CERTIFICATE_FILE, MANIFEST_FILE):
        (folder / name).unlink(missing_ok=True)


def _collect_warnings(ledger: Ledger, store: Path) -> tuple[str, ...]:
    """Return the warnings about quarantined rows and about side tables that do not match the audits."""
    table_warnings = (str(note).rstrip(".") for note in read_notes(store).warnings)
    return (*list_quarantine_warnings(ledger), *table_warnings)


def _exclude_missing_sites(batch: BatchConfig, folder: Path, ledger: Ledger) -> tuple[BatchConfig, tuple[str, ...]]:
    """Return the batch without the sites that lost all their audits, and a line about each.

    A site counts as lost if it has reports or quarantined rows. An unknown site is left in the batch, to be refused as
    misspelled.
    """
    reported = {site for site, _ in list_reported_periods(folder)}
    known = sorted(reported | {site for site, kept, _ in ledger.by_site if site and not kept})
    chosen = known if batch.sites == "all" else [site for site in known if site in batch.sites]
    explanations = {site: explanation for site in chosen if (explanation := explain_missing_site(ledger, site))}
    if not explanations:
        return batch, ()
    if batch.sites != "all":
        remaining = tuple(site for site in batch.sites if site not in explanations)
        batch = batch.model_copy(update={"sites": remaining}) if remaining else batch
    lines = []
    for site, explanation in explanations.items():
        consequence = "its earlier reports are marked as stale" if site in reported else "it has no report"
        lines.append(f"{site}: {explanation}; {consequence}.")
    lines.append(f"Correct the export or {STORE_FOLDER}/quarantine.csv; remove the folder of a site that is gone.")
    return batch, tuple(lines)


def _plan_runs(
    batch: BatchConfig, store: Path, site: str | None, period: str | None
) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Return the runs of a batch, and a line about requested sites and periods without audits."""
    audited = list_audited_periods(batch, store, period)
    extra_values = {"store": os.path.relpath(store)}
    coverage = read_coverage(store) if audited else None
    runs = plan_runs(batch, audited, audited, coverage=coverage, site=site, period=period, extra_values=extra_values)
    unaudited = list_unaudited_periods(batch, audited, coverage=coverage, site=site, period=period)
    lines: tuple[str, ...] = ()
    if unaudited:
        listed = ", ".join(f"{site_name} in {period_name}" for site_name, period_name in unaudited[:MAX_LISTED])
        more = f" and {len(unaudited) - MAX_LISTED:,} more" if len(unaudited) > MAX_LISTED else ""
        lines = (f"No audits, so no report: {listed}{more}.",)
    return tuple(replace(run, fingerprint=hash_run_data(store, run)) for run in runs), lines
