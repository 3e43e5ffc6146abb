"""The main job: audits in, a report for every site and period out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.audits.intake import take_in
from rca_lib.audits.ledger import Ledger, read_ledger
from rca_lib.audits.mapping import read_mapping
from rca_lib.audits.store import fingerprint, list_periods, list_sites
from rca_lib.audits.synthetic import demo_simulation, write_simulation
from rca_lib.batch.grid import Batch, Run, plan_runs, read_batch
from rca_lib.batch.records import Outcome
from rca_lib.batch.runner import run_grid
from rca_lib.findings import DataError
from rca_lib.reporting.index import write_index
from rca_lib.reporting.verification import Verification, verify_report

STORE = "_audits"
TABLES = ("events", "targets", "ratings")


@dataclass(frozen=True, slots=True)
class Job:
    """What a batch came to: its folder, the index to open, the ledger of the intake, an outcome per run."""

    folder: Path
    index: Path
    ledger: Ledger
    outcomes: tuple[Outcome, ...]


def run_batch(
    file: Path,
    *,
    data: Path | None = None,
    site: str | None = None,
    period: str | None = None,
    reports: Path = Path("reports"),
    workers: int = 2,
    force: bool = False,
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
    now
        The moment after which a date lies in the future; dates are not checked against it when None.

    Raises
    ------
    DataError, ValueError
        Before anything runs, if the data, the batch file or a parameter is at fault.
    """
    batch = read_batch(file)
    folder = (reports / batch.batch).resolve()
    ledger = _prepare(batch, data, folder / STORE, force=force, now=now)
    on_intake(ledger)
    store = folder / STORE
    sites = list_sites(store)
    months = {name: list_periods(store, name) for name in sites}
    runs = plan_runs(batch, sites, months, site=site, period=period, given={"store": os.path.relpath(store)})
    runs = tuple(replace(run, fingerprint=_fingerprint(store, run)) for run in runs)
    on_plan(runs)
    outcomes = run_grid(runs, folder, workers=workers, force=force, on_progress=on_progress)
    return Job(folder, write_index(folder, title=batch.title or batch.batch), ledger, outcomes)


def verify_folder(folder: Path, *, data: Path | None = None) -> Iterator[Verification]:
    """Verify the report in a folder, or every report of a batch's folder.

    Where `data` is given, it is taken in again with the batch's own mapping and the claims are derived from that.

    Raises
    ------
    DataError
        If there is no report.
    """
    found = sorted(path.parent for path in folder.glob("**/claims.json") if ".." not in path.parts)
    if not found:
        raise DataError(f"no report in {folder}", mend="name the folder of a report, or of a batch")
    store = found[0].parents[1] / STORE
    with TemporaryDirectory(prefix="rca-verify-") as scratch:
        again = _take_in_again(store, data, Path(scratch) / STORE) if data else None
        for report in found:
            yield verify_report(report, store=again or store)


def _take_in_again(store: Path, data: Path, fresh: Path) -> Path:
    names = (*TABLES, "population", "mapping", "taxonomy")
    files = {name: store / _file(name) for name in names if (store / _file(name)).exists()}
    _take_in(data, files, fresh, _key(data, files), None)
    return fresh


def _prepare(batch: Batch, data: Path | None, store: Path, *, force: bool, now: datetime | None) -> Ledger:
    """Take the audits in, unless the store was made from the same files."""
    source = data or batch.data
    if source is None:
        raise ValueError(f"batch {batch.batch!r} names no data; give it with --data FILE")
    with TemporaryDirectory(prefix="rca-export-") as export:
        files = {name: getattr(batch, name) for name in (*TABLES, "population", "mapping", "taxonomy")}
        files = {name: Path(path) for name, path in files.items() if path}
        if source == "synthetic":
            write_simulation(demo_simulation(batch.seed) if batch.seed else demo_simulation(), Path(export))
            source = Path(export) / "audits.csv"
            files |= {name: Path(export) / f"{name}.csv" for name in TABLES if name not in files}
        key = _key(Path(source), files)
        made_from = store / "made_from.json"
        if not force and made_from.exists() and json.loads(made_from.read_text(encoding="utf-8")) == key:
            return read_ledger(store)
        return _take_in(Path(source), files, store, key, now)


def _take_in(source: Path, files: dict[str, Path], store: Path, key: dict[str, str], now: datetime | None) -> Ledger:
    fresh = store.with_name(f"{store.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    mapping = read_mapping(files.get("mapping"))
    ledger = take_in(source, fresh, mapping=mapping, population=files.get("population"), now=now)
    for name, file in files.items():
        shutil.copyfile(file, fresh / _file(name))
    (fresh / "made_from.json").write_text(json.dumps(key, indent=1), encoding="utf-8")
    shutil.rmtree(store, ignore_errors=True)
    fresh.rename(store)
    return ledger


def _file(name: str) -> str:
    return f"{name}.yml" if name in ("mapping", "taxonomy") else f"{name}.csv"


def _key(source: Path, files: dict[str, Path]) -> dict[str, str]:
    try:
        return {name: _sha256(path) for name, path in {"audits": source, **files}.items()}
    except OSError as problem:
        raise DataError(f"{problem.filename} cannot be read: {problem.strerror}", mend="check the path") from None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fingerprint(store: Path, run: Run) -> str:
    if run.site is None or run.period is None:
        return hashlib.sha256((store / "made_from.json").read_bytes()).hexdigest()
    return fingerprint(store, run.site, run.period)
