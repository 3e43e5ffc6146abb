"""The main job: audits in, a report for every site and period out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from rca_lib.audits.ledger import Ledger, read_ledger
from rca_lib.audits.side_tables import NOTES_FILE, read_notes
from rca_lib.audits.store import fingerprint
from rca_lib.batch.filling import TABLES, fill_store, keep_corrections, make_key, simulate_export
from rca_lib.batch.grid import Batch, Run, list_idle, plan_runs, read_batch
from rca_lib.batch.locks import hold
from rca_lib.batch.plan import list_held, write_plan
from rca_lib.batch.publishing import find_place
from rca_lib.batch.records import Outcome, find_reason, list_inputs
from rca_lib.batch.runner import run_grid
from rca_lib.findings import DataError
from rca_lib.reporting.coverage import REFUSED, STORE, tell_missing_site, tell_quarantine
from rca_lib.reporting.index import list_reports, write_index

CERTIFICATE, MANIFEST = "certificate.html", "certificate.json"
NAMED = 5  # sites and periods without audits that a line names


@dataclass(frozen=True, slots=True)
class Job:
    """What a batch came to: its folder, the index to open, the ledger of the intake, an outcome per run.

    `notes` are lines on what is in order, `warnings` on what is not and does not stop the batch, `alarms` on sites that
    have lost all their audits: those make the batch fail although every run succeeded.
    `tables` has what the intake noted of the side tables, without the tables.
    """

    folder: Path
    index: Path
    ledger: Ledger
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a run failed, or a site has lost all its audits."""
        return bool(self.alarms) or any(outcome.outcome == "failed" for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch would do: its runs, each with the reason why it is due, "" where its report stands.

    `notes`, `warnings` and `alarms` are those of `Job`.
    """

    batch: Batch
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
    on_progress: Callable[[Outcome], None] = lambda _: None,
    on_plan: Callable[[tuple[Run, ...]], None] = lambda _: None,
) -> Job:
    """Take the audits of a batch file in, run its notebooks for every site and period, write the index.

    Parameters
    ----------
    file
        The batch file.
    data
        The audits, in place of those the batch file names.
    site, period
        Run only this site, only this period.
    reports
        Where the batch's folder is made.
    workers
        How many notebooks run at the same time.
    force
        Take in and run again what has not changed.
    cold
        Start each kernel anew instead of forking it; the reports are the same.
    now
        The moment after which a date lies in the future; dates are not checked against it when None.

    Raises
    ------
    DataError, ValueError
        Before anything runs, if the data, the batch file or a parameter is at fault, or another process runs the batch.
    OSError
        If the index cannot be written; every run has then been told of by `on_progress`.
    """
    batch = read_batch(file)
    folder = (reports / batch.batch).resolve()
    with hold(folder):
        ledger = _prepare(batch, data, folder / STORE, force=force, now=now)
        on_intake(ledger)
        batch, alarms = _leave_out_missing(batch, folder, ledger)
        runs, notes = _plan(batch, folder / STORE, site, period)
        narrowed = site is not None or period is not None
        write_plan(folder, folder / STORE, batch.title or batch.batch, runs, narrowed=narrowed)
        on_plan(runs)
        told = {"environment": batch.environment, "on_progress": on_progress}
        outcomes = run_grid(runs, folder, workers=workers, force=force, cold=cold, **told)
        if not all(outcome.kept for outcome in outcomes):
            for name in (CERTIFICATE, MANIFEST):  # they speak of other reports
                (folder / name).unlink(missing_ok=True)
        index = write_index(folder, title=batch.title or batch.batch)
        return Job(folder, index, ledger, outcomes, notes, _warn(ledger, folder / STORE), alarms)


def plan_batch(
    file: Path,
    *,
    data: Path | None = None,
    site: str | None = None,
    period: str | None = None,
    reports: Path = Path("reports"),
    force: bool = False,
    now: datetime | None = None,
) -> Plan:
    """Take the audits of a batch file in and say which runs are due, and why; nothing runs.

    Parameters and errors are those of `run_batch`. A report that only follows from others is called due where one of
    those is; it may turn out to stand.
    """
    batch = read_batch(file)
    folder = (reports / batch.batch).resolve()
    with hold(folder):
        ledger = _prepare(batch, data, folder / STORE, force=force, now=now)
        reasons: dict[str, str] = {}
        batch, alarms = _leave_out_missing(batch, folder, ledger)
        runs, notes = _plan(batch, folder / STORE, site, period)
        for run in runs:
            reason = "it is forced" if force else find_reason(run, folder, list_inputs(run, folder))
            if not reason and (reasons.get(run.before) or (run.stage and any(reasons.values()))):
                reason = "a report that it reads is due"
            reasons[run.folder] = reason
    planned = tuple((run, reasons[run.folder]) for run in runs)
    return Plan(batch, folder, ledger, planned, notes, _warn(ledger, folder / STORE), alarms)


def _warn(ledger: Ledger, store: Path) -> tuple[str, ...]:
    """Return the warnings of an intake: of its quarantine, and of side tables that do not fit the audits."""
    return (*tell_quarantine(ledger), *(str(note).rstrip(".") for note in read_notes(store).warnings))


def _leave_out_missing(batch: Batch, folder: Path, ledger: Ledger) -> tuple[Batch, tuple[str, ...]]:
    """Return the batch without the sites that have lost all their audits, and a line on each.

    Such a site has reports or rows in quarantine; one of which nothing is known is left to be refused as misspelt.
    """
    reported = {site for site, _ in list_reports(folder)}
    known = sorted(reported | {site for site, kept, _ in ledger.by_site if site and not kept})
    chosen = known if batch.sites == "all" else [site for site in known if site in batch.sites]
    missing = {site: why for site in chosen if (why := tell_missing_site(ledger, site))}
    if not missing:
        return batch, ()
    if batch.sites != "all":
        left = tuple(site for site in batch.sites if site not in missing)
        batch = batch.model_copy(update={"sites": left}) if left else batch
    mend = {True: "its earlier reports are marked as stale", False: "it has no report"}
    lines = (f"{site}: {why}; {mend[site in reported]}." for site, why in missing.items())
    return batch, (*lines, f"Correct the export or {STORE}/quarantine.csv; remove the folder of a site that is gone.")


def _plan(batch: Batch, store: Path, site: str | None, period: str | None) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Return the runs of a batch, and a line on the sites and periods that were asked for in vain."""
    held = list_held(batch, store, period)
    chosen = {"site": site, "period": period}
    runs = plan_runs(batch, held, held, **chosen, given={"store": os.path.relpath(store)})
    idle = [f"{name} in {when}" for name, when in list_idle(batch, held, **chosen)]
    more = f" and {len(idle) - NAMED:,} more" if len(idle) > NAMED else ""
    lines = (f"No audits, so no report: {', '.join(idle[:NAMED])}{more}.",) if idle else ()
    return tuple(replace(run, fingerprint=hash_data(store, run)) for run in runs), lines


def _prepare(batch: Batch, data: Path | None, store: Path, *, force: bool, now: datetime | None) -> Ledger:
    """Take the audits in, unless the store was made from the same files; where they are refused, the index says so."""
    source = data or batch.data
    if source is None:
        raise ValueError(f"batch {batch.batch!r} names no data; give it with --data FILE")
    refused = find_place(store.parent, REFUSED)
    shutil.rmtree(refused, ignore_errors=True)
    try:
        return _fill_anew(batch, source, store, force=force, now=now)
    except DataError as problem:
        if (store.parent / "index.html").exists():
            refused.mkdir(exist_ok=True)
            told = {"sentence": str(problem), "at": now.isoformat() if now else ""}
            (refused / "refused.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
            write_index(store.parent, title=batch.title or batch.batch)
        raise


def _fill_anew(
    batch: Batch, source: Path | Literal["synthetic"], store: Path, *, force: bool, now: datetime | None
) -> Ledger:
    files = {name: getattr(batch, name) for name in (*TABLES, "population", "mapping", "taxonomy")}
    files = {name: Path(path) for name, path in files.items() if path}
    made_from = make_key(source, files, batch.seed)
    standing = store / "made_from.json"
    key = json.loads(standing.read_text(encoding="utf-8")) if standing.exists() else {}
    made_from = keep_corrections(made_from, source, key)
    same = not force and (store / NOTES_FILE).exists() and key == made_from
    if same and (ledger := read_ledger(store)).holds_at(now):
        _refuse_quarantine(batch, ledger, store)
        return ledger
    with TemporaryDirectory(prefix="rca-export-") as export:
        if source == "synthetic":
            simulate_export(batch.seed, Path(export))
            source = Path(export) / "audits.csv"
            files |= {name: Path(export) / f"{name}.csv" for name in TABLES if name not in files}
        return fill_store(Path(source), files, store, made_from, now, accept=partial(_refuse_quarantine, batch))


def _refuse_quarantine(batch: Batch, ledger: Ledger, store: Path) -> None:
    """Refuse audits of which more rows are quarantined than the batch lets pass; keep what tells why.

    Raises
    ------
    DataError
        If there are. The audits and the reports of before stand.
    """
    lines = [] if batch.max_quarantine is None else tell_quarantine(ledger, batch.max_quarantine)
    if lines:
        refused = store.with_name(REFUSED)
        refused.mkdir()
        for name in ("ledger.json", "quarantine.csv"):
            shutil.copyfile(store / name, refused / name)
        mend = f"correct the export or {REFUSED}/quarantine.csv, or raise max_quarantine; nothing was run"
        raise DataError(f"{ledger.source}: {'; '.join(lines)}", rows=ledger.quarantined, mend=mend)


def hash_data(store: Path, run: Run) -> str:
    """Return a SHA-256 of the data that a run reads: of its site and period, or all that the store is made from."""
    if run.site is None or run.period is None:
        return hashlib.sha256((store / "made_from.json").read_bytes()).hexdigest()
    return fingerprint(store, run.site, run.period)
