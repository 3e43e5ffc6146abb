# Tested in tests/batch/test_batch_verification.py.
"""What verification relies on: the audits, the plan and the ledgers from which reports are derived again.

Nothing here comes from the reports under verification. The audits are those of the batch's store, or of an export that
is ingested again. The plan is the one in the store, or follows from a batch file.

A report stays valid when its export grows, but it states the counts of the export that it was made from. The source
therefore offers each report the store together with the ledger that was in force when the report was made.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.batch.batch_file import BatchConfig, read_batch
from rca_lib.batch.batch_run import hash_run_data
from rca_lib.batch.plan import PlannedRuns, plan_from_batch_file, plan_from_store, plan_single_run, read_plan
from rca_lib.batch.run_grid import Run
from rca_lib.batch.store_builder import (
    INPUT_HASHES_FILE,
    SIDE_TABLES,
    STORE_INPUTS,
    build_store,
    get_store_filename,
    hash_inputs,
    simulate_export,
)
from rca_lib.findings import DataError
from rca_lib.intake.ledger import Ledger, read_ledger
from rca_lib.io.hashing import compute_sha256
from rca_lib.reporting.missing_data import STORE_FOLDER
from rca_lib.store.ingest_history import IngestRecord, find_ingest_record, read_ingest_history, replace_ledger_counts

NO_RECORD = "the store has no record of the ingestion that this report was made from"
OWN_STORE = "the audits as they were ingested (the store _audits of the batch)"
LEDGER_FILE = "ledger.json"
QUOTED_HASH_CHARS = 16  # characters of a SHA-256 in a sentence


@dataclass(frozen=True)
class VerificationSource:
    """The audits and the plan from which reports are derived again.

    Attributes
    ----------
    store
        The store with the audits.
    plan
        The reports that there have to be.
    ingests
        The history of ingestions of the batch's store.
    scratch
        A private folder.
    export
        The export that was ingested again; None if `store` is the batch's own store.
    plan_problem
        Why the plan in the store cannot be read; "" if it can.
    environment
        The environment variables that notebooks may read: those of the batch file, none without one.
    description
        The source in words, for the certificate.
    """

    store: Path
    plan: PlannedRuns
    ingests: tuple[IngestRecord, ...]
    scratch: Path
    export: Path | None = None
    plan_problem: str = ""
    environment: tuple[str, ...] = ()
    description: str = OWN_STORE

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of the store."""
        return read_ledger(self.store)

    def complete_run(self, run: Run, started: object) -> tuple[Run, str]:
        """Add store and fingerprint to a run.

        Parameters
        ----------
        run
            The planned run.
        started
            The time of the run in the report's record, whatever it is.

        Returns
        -------
        Run, str
            The run, and why the row counts of its report cannot be checked; "" if they can.

        Raises
        ------
        DataError
            If the audits of the run are missing.
        """
        store, reason = self._find_store(started)
        parameters = dict(run.parameters) | {"store": str(store)}
        return replace(run, parameters=parameters, fingerprint=hash_run_data(store, run)), reason

    def plan_unlisted_report(self, folder: str, site: object, period: object) -> Run | None:
        """Plan a report that is not in the plan; None if no report of this site and period belongs into the folder."""
        if not isinstance(site, str) or not isinstance(period, str):
            return None
        try:
            run = plan_single_run(self.store, site, period)
        except (ValueError, DataError):
            return None
        return run if run.folder == folder else None

    def _find_store(self, started: object) -> tuple[Path, str]:
        """Return the store with the ledger that was in force, and why its row counts cannot be checked."""
        if len(self.ingests) == 1 and self.export is None:
            return self.store, ""
        moment = _parse_moment(started)
        ingest = find_ingest_record(self.ingests, moment) if moment else None
        if ingest is None:
            return self.store, NO_RECORD
        if self.export is None:
            return self._create_store_with_ledger(ingest.ledger), ""
        if ingest.ledger.sha256 == self.ledger.sha256:
            return self.store, ""
        sha256 = ingest.ledger.sha256[:QUOTED_HASH_CHARS]
        reason = f"this report was made from another export (SHA-256 {sha256} …) than the given file"
        return self._create_store_with_ledger(ingest.ledger), reason

    def _create_store_with_ledger(self, ledger: Ledger) -> Path:
        """Return a store with the row counts of an earlier ledger; how to read the audits stays the same."""
        combined_ledger = replace_ledger_counts(self.ledger, ledger)
        if combined_ledger == self.ledger:
            return self.store
        number = next(index for index, ingest in enumerate(self.ingests) if ingest.ledger == ledger)
        store = self.scratch / f"store-{number}"
        if not store.exists():
            store.mkdir()
            for path in self.store.iterdir():
                if path.name != LEDGER_FILE:
                    hardlink_tree(path, store / path.name)
            (store / LEDGER_FILE).write_text(json.dumps(combined_ledger.to_dict()), encoding="utf-8")
        return store


@contextmanager
def open_source(
    folder: Path, *, data: Path | None = None, batch_file: Path | None = None, trusted_notebooks: Sequence[Path] = ()
) -> Iterator[VerificationSource]:
    """Open the source that the reports of a batch are verified against.

    Parameters
    ----------
    folder
        The batch's folder.
    data
        An export to ingest again, instead of using the batch's store.
    batch_file
        A batch file whose side tables, mapping and plan replace the copies in the store.
    trusted_notebooks
        Notebooks that may run where the plan of the store names them, beside those of the project.

    Yields
    ------
    VerificationSource
        The source; its temporary files exist until the context is left.

    Raises
    ------
    DataError, ValueError
        If there is neither a store nor another source, or the source cannot be read.
    """
    own_store = folder / STORE_FOLDER
    uses_own_store = data is None and batch_file is None
    if uses_own_store and not (own_store / LEDGER_FILE).is_file():
        raise DataError(f"{folder} contains no audits", hint="name the folder of a batch, or give --data and --batch")
    with TemporaryDirectory(prefix="rca-verify-") as temporary:
        scratch = Path(temporary)
        if uses_own_store:
            yield _open_own_store(own_store.absolute(), scratch, folder.name, trusted_notebooks)
        else:
            yield _open_export(own_store, scratch, folder.name, data, batch_file, trusted_notebooks)


def hardlink_tree(path: Path, target: Path) -> None:
    """Make a file or folder available under a second path, with hard links.

    Symbolic links would not do: database engines with restricted access do not follow them.
    """
    if path.is_dir():
        shutil.copytree(path, target, copy_function=_link_file)
    else:
        _link_file(path, target)


def is_writable(folder: Path) -> bool:
    """Return whether this process may write into a folder."""
    return os.access(folder, os.W_OK)


def _parse_moment(text: object) -> datetime | None:
    """Return a time with a time zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _open_own_store(store: Path, scratch: Path, name: str, trusted_notebooks: Sequence[Path]) -> VerificationSource:
    plan, problem = _read_plan(store, store, name, trusted_notebooks)
    return VerificationSource(store, plan, read_ingest_history(store), scratch, plan_problem=problem)


def _open_export(
    own_store: Path,
    scratch: Path,
    name: str,
    data: Path | None,
    batch_file: Path | None,
    trusted_notebooks: Sequence[Path],
) -> VerificationSource:
    """Ingest an export again and return it as the source."""
    batch = read_batch(batch_file) if batch_file else None
    ingests = _read_available_history(own_store)
    export = _ingest_again(own_store, scratch, data, batch, ingests)
    store = scratch / STORE_FOLDER
    if batch is None or batch_file is None:
        plan, problem = _read_plan(own_store, store, name, trusted_notebooks)
        tables = "with the tables of the store"
        environment: tuple[str, ...] = ()
    else:
        plan, problem = plan_from_batch_file(batch, store, own_store.parent), ""
        tables = f"with the tables and the plan of {batch_file.name}"
        environment = tuple(variable for variable in batch.environment if variable in os.environ)
    return VerificationSource(
        store,
        plan,
        ingests or read_ingest_history(store),
        scratch,
        export,
        problem,
        environment,
        f"{export.name}, SHA-256 {compute_sha256(export)}, {tables}",
    )


def _read_plan(own_store: Path, store: Path, name: str, trusted_notebooks: Sequence[Path]) -> tuple[PlannedRuns, str]:
    """Return the plan of the batch's store, or an assumed one for `store`, and why the plan cannot be read."""
    try:
        plan = read_plan(own_store, trusted_notebooks)
        problem = ""
    except DataError as error:
        plan = None
        problem = str(error)
    return plan or plan_from_store(store, name), problem


def _read_available_history(store: Path) -> tuple[IngestRecord, ...]:
    try:
        return read_ingest_history(store)
    except (DataError, OSError):
        return ()


def _ingest_again(
    own_store: Path, scratch: Path, data: Path | None, batch: BatchConfig | None, ingests: tuple[IngestRecord, ...]
) -> Path:
    """Ingest an export into a store in `scratch`, as it was ingested before; return the export."""
    if batch:
        files = batch.list_files(STORE_INPUTS)
    else:
        stored = {name: own_store / get_store_filename(name) for name in STORE_INPUTS}
        files = {name: file for name, file in stored.items() if file.exists()}
    source = data or (batch.data if batch else None)
    seed = batch.seed if batch else 0
    if source is None:
        raise DataError("the batch file names no data", hint="give the export with --data FILE")
    input_hashes = hash_inputs(source, files, seed)
    if source == "synthetic":
        simulate_export(seed, scratch)
        source = scratch / "audits.csv"
        files = {name: scratch / f"{name}.csv" for name in SIDE_TABLES} | files
    elif batch is None and (stored_hashes := _read_input_hashes(own_store)):
        # The stored hashes are about the files that the stored tables were read from and, for synthetic audits, the
        # seed; hashes of the stored tables themselves would differ.
        is_synthetic = stored_hashes["audits"].startswith("synthetic")
        input_hashes = stored_hashes if is_synthetic else stored_hashes | {"audits": input_hashes["audits"]}
    export = Path(source)
    sha256 = compute_sha256(export)
    # Rows with future dates were quarantined; only the same moment gives the same rows.
    moments = [ingest.now for ingest in ingests if ingest.ledger.sha256 == sha256]
    now = moments[-1] if moments else datetime.now(UTC)
    synthetic = input_hashes["audits"].startswith("synthetic") or _is_simulated_export(own_store, sha256)
    build_store(export, files, scratch / STORE_FOLDER, input_hashes, now, synthetic=synthetic)
    return export


def _is_simulated_export(store: Path, sha256: str) -> bool:
    """Return whether a store was built from the export with this SHA-256 and its ledger says that it is simulated."""
    try:
        ledger = read_ledger(store)
    except DataError:
        return False
    return ledger.synthetic and ledger.sha256 == sha256


def _read_input_hashes(store: Path) -> dict[str, str]:
    try:
        hashes = json.loads((store / INPUT_HASHES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) and isinstance(hashes.get("audits"), str) else {}


def _link_file(path: Path | str, target: Path | str) -> None:
    try:
        os.link(path, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(path, target)
