"""What verification trusts: the audits, the plan and the ledgers that a report is made again from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.audits.intakes import Intake, find_intake, read_intakes, replace_counts
from rca_lib.audits.ledger import Ledger, read_ledger
from rca_lib.batch.filling import TABLES, file_in_store, fill_store, make_key, simulate_export
from rca_lib.batch.grid import Batch, Run, read_batch
from rca_lib.batch.job import STORE, hash_data
from rca_lib.batch.plan import PlannedRuns, assume_plan, plan_batch_file, plan_one, read_plan
from rca_lib.batch.records import hash_file
from rca_lib.findings import DataError

BESIDE = (*TABLES, "population", "mapping", "taxonomy")
NO_RECORD = "the store has no record of the intake that this report was made from"


@dataclass(frozen=True)
class Source:
    """The audits that reports are made again from.

    `store` holds them, `plan` says which reports there have to be, `intakes` which ledgers there were. `scratch` is a
    private folder. `export` is the file that was taken in again, None where the store of the batch itself is used.
    `environment` names the variables that notebooks may read: those of the batch file, none without one.
    """

    store: Path
    plan: PlannedRuns
    intakes: tuple[Intake, ...]
    scratch: Path
    export: Path | None = None
    plan_problem: str = ""
    environment: tuple[str, ...] = ()
    told: str = "the audits as they were taken in (the store _audits of the batch)"

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of the store."""
        return read_ledger(self.store)

    def find_store(self, started: object) -> tuple[Path, str]:
        """Return the store with the ledger that was in force at a moment.

        Returns
        -------
        Path, str
            The store, and why the counts of rows of the export cannot be checked, "" where they can.
        """
        try:
            moment = datetime.fromisoformat(started) if isinstance(started, str) else None
        except ValueError:
            moment = None
        if len(self.intakes) == 1 and self.export is None:
            return self.store, ""
        known = moment is not None and moment.tzinfo is not None
        intake = find_intake(self.intakes, moment) if known else None
        if intake is None:
            return self.store, NO_RECORD
        if self.export is None:
            return self._with_ledger(intake.ledger), ""
        if intake.ledger.sha256 == self.ledger.sha256:
            return self.store, ""
        why = f"this report was made from another export (SHA-256 {intake.ledger.sha256[:16]} …) than the file given"
        return self._with_ledger(intake.ledger), why

    def complete(self, run: Run, started: object) -> tuple[Run, str]:
        """Return a run with the store and the fingerprint that belong to it, and why its counts cannot be checked.

        Raises
        ------
        DataError
            If the audits of the run are not there.
        """
        store, why = self.find_store(started)
        data = hash_data(store, run)
        return replace(run, parameters=run.parameters | {"store": str(store)}, fingerprint=data), why

    def plan_report(self, folder: str, site: object, period: object) -> Run | None:
        """Plan a report that the plan does not name, None where no report of the site and period belongs there."""
        if not isinstance(site, str) or not isinstance(period, str):
            return None
        try:
            run = plan_one(self.store, site, period)
        except (ValueError, DataError):
            return None
        return run if run.folder == folder else None

    def _with_ledger(self, ledger: Ledger) -> Path:
        """Return the store with the counts of an earlier export; how the audits are to be read stays."""
        wanted = replace_counts(self.ledger, ledger)
        if wanted == self.ledger:
            return self.store
        place = next(place for place, intake in enumerate(self.intakes) if intake.ledger == ledger)
        view = self.scratch / f"store-{place}"
        if not view.exists():
            view.mkdir()
            for path in self.store.iterdir():
                if path.name != "ledger.json":
                    link(path, view / path.name)
            (view / "ledger.json").write_text(json.dumps(wanted.to_dict()), encoding="utf-8")
        return view


@contextmanager
def open_source(folder: Path, *, data: Path | None = None, batch_file: Path | None = None) -> Iterator[Source]:
    """Open what the reports of a batch's folder are verified against.

    Parameters
    ----------
    folder
        The batch's folder.
    data
        An export to take in again, in place of the batch's store.
    batch_file
        The batch file: its tables, its mapping and its plan are used in place of the copies in the batch's store.

    Raises
    ------
    DataError, ValueError
        If there is no store and no other source, or what there is cannot be read.
    """
    kept = folder / STORE
    if data is None and batch_file is None and not (kept / "ledger.json").is_file():
        raise DataError(f"{folder} holds no audits", mend="name the folder of a batch, or give --data and --batch")
    with TemporaryDirectory(prefix="rca-verify-") as scratch:
        place = Path(scratch)
        if data is None and batch_file is None:
            yield _from_store(kept.absolute(), place, folder.name)
            return
        batch = read_batch(batch_file) if batch_file else None
        intakes = _read_kept_intakes(kept)
        export = _fill(kept, place, data, batch, intakes)
        store = place / STORE
        plan, problem = (plan_batch_file(batch, store), "") if batch else _read_plan(kept, store, folder.name)
        told = f"{export.name}, SHA-256 {hash_file(export)}"
        told += (
            f", with the tables and the plan of {batch_file.name}" if batch_file else ", with the tables of the store"
        )
        variables = tuple(name for name in (batch.environment if batch else ()) if name in os.environ)
        yield Source(store, plan, intakes or read_intakes(store), place, export, problem, variables, told)


def _from_store(store: Path, scratch: Path, name: str) -> Source:
    plan, problem = _read_plan(store, store, name)
    return Source(store, plan, read_intakes(store), scratch, plan_problem=problem)


def _read_plan(kept: Path, store: Path, name: str) -> tuple[PlannedRuns, str]:
    try:
        plan, problem = read_plan(kept), ""
    except DataError as damaged:
        plan, problem = None, str(damaged)
    return plan or assume_plan(store, name), problem


def _read_kept_intakes(kept: Path) -> tuple[Intake, ...]:
    try:
        return read_intakes(kept)
    except (DataError, OSError):
        return ()


def _fill(kept: Path, scratch: Path, data: Path | None, batch: Batch | None, intakes: tuple[Intake, ...]) -> Path:
    """Take the export in again; return its file."""
    if batch:
        given = {name: getattr(batch, name) for name in BESIDE}
        files = {name: Path(path) for name, path in given.items() if path}
    else:
        files = {name: kept / file_in_store(name) for name in BESIDE if (kept / file_in_store(name)).exists()}
    export = data or (batch and batch.data)
    if export is None:
        raise DataError("the batch file names no data", mend="give the export with --data FILE")
    key = make_key(export, files, batch.seed if batch else 0)
    if export == "synthetic":
        simulate_export(batch.seed, scratch)
        export = scratch / "audits.csv"
        files = {name: scratch / f"{name}.csv" for name in TABLES} | files
    elif batch is None and (standing := _read_key(kept)):
        # The key names the files that the tables in the store were read from, and for synthetic audits the seed.
        key = standing if standing["audits"].startswith("synthetic") else standing | {"audits": key["audits"]}
    export = Path(export)
    # Dates that lay in the future were quarantined then; the same moment gives the same rows.
    digest = hash_file(export)
    moments = [intake.now for intake in intakes if intake.ledger.sha256 == digest]
    fill_store(export, files, scratch / STORE, key, moments[-1] if moments else datetime.now(UTC))
    return export


def _read_key(store: Path) -> dict[str, str]:
    try:
        key = json.loads((store / "made_from.json").read_text(encoding="utf-8"))
        return key if isinstance(key, dict) and isinstance(key.get("audits"), str) else {}
    except (OSError, ValueError):
        return {}


def link(path: Path, target: Path) -> None:
    """Let a file or folder stand in another place, too; no symbolic links, which engines do not follow to elsewhere."""
    shutil.copytree(path, target, copy_function=_link_file) if path.is_dir() else _link_file(path, target)


def _link_file(path: Path | str, target: Path | str) -> None:
    try:
        os.link(path, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(path, target)


def is_writable(folder: Path) -> bool:
    """Whether files can be written into a folder."""
    return os.access(folder, os.W_OK)
