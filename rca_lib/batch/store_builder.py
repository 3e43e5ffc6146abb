# Tested in tests/batch/test_batch_run.py.
"""Build the store of a batch: audits, side tables, settings, and hashes of the files that it was built from.

A new store is built beside the old one and replaces it only when it is complete and accepted. The hashes in
`made_from.json` tell the next run whether the store is up to date.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rca_lib.batch.plan import PLAN_FILE
from rca_lib.batch.run_records import hash_library
from rca_lib.findings import DataError
from rca_lib.intake.ingest import ingest_with_tables, read_ingest_inputs
from rca_lib.intake.ledger import Ledger
from rca_lib.intake.quarantine_corrections import is_quarantine_file
from rca_lib.intake.side_tables import write_side_tables
from rca_lib.io.hashing import compute_sha256
from rca_lib.store.ingest_history import record_ingest
from rca_lib.store.stored_tables import write_ratings_index

SIDE_TABLES = ("events", "targets", "ratings")
SETTINGS = ("mapping", "taxonomy")  # YAML files that the store keeps a copy of
STORE_INPUTS = (*SIDE_TABLES, "population", *SETTINGS)  # keys of the batch file whose files the store depends on
INPUT_HASHES_FILE = "made_from.json"


def simulate_export(seed: int, folder: Path) -> None:
    """Write synthetic audits and their side tables into a folder, as an export.

    Parameters
    ----------
    seed
        The seed of the simulation; 0 for its default.
    folder
        The folder.
    """
    from rca_lib.simulation.synthetic_audits import simulate_demo, write_simulation  # not needed for real audits

    simulation = simulate_demo(seed) if seed else simulate_demo()
    write_simulation(simulation, folder)


def build_store(
    source: Path,
    files: dict[str, Path],
    store: Path,
    input_hashes: dict[str, str],
    now: datetime | None,
    *,
    synthetic: bool = False,
    validate: Callable[[Ledger, Path], None] = lambda *_: None,
) -> Ledger:
    """Ingest an export into a new store, which replaces the old one.

    Parameters
    ----------
    source
        The export.
    files
        The side tables, the population, the mapping and the taxonomy, by key of the batch file.
    store
        The folder of the store.
    input_hashes
        What `hash_inputs` returned for these inputs.
    now
        The moment after which a date lies in the future; None if dates are not checked.
    synthetic
        Whether the audits are simulated. The ledger and every page made from the store then say so.
    validate
        Called with the ledger and the folder of the new store. If it raises DataError, the old store stays.

    Returns
    -------
    Ledger
        What happened to each row of the export.

    Raises
    ------
    DataError
        If the export, a table or a setting is at fault, the store is a link, or `validate` refuses it.
    """
    mapping, tables = read_ingest_inputs(files)
    new_store = _clear_new_store(store)
    ledger, matched_tables = ingest_with_tables(
        source, new_store, tables, mapping, now, previous_store=store, synthetic=synthetic
    )
    for name in SETTINGS:
        if name in files:
            shutil.copyfile(files[name], new_store / get_store_filename(name))
    write_side_tables(matched_tables, new_store)
    write_ratings_index(new_store)
    try:
        validate(ledger, new_store)
    except DataError:
        shutil.rmtree(new_store, ignore_errors=True)
        raise
    (new_store / INPUT_HASHES_FILE).write_text(json.dumps(input_hashes, indent=1), encoding="utf-8")
    record_ingest(new_store, store, ledger, now)
    if (store / PLAN_FILE).is_file():
        shutil.copyfile(store / PLAN_FILE, new_store / PLAN_FILE)
    shutil.rmtree(store, ignore_errors=True)
    new_store.rename(store)
    return ledger


def get_store_filename(name: str) -> str:
    """Return the file name in a store of a side table or a settings file.

    Examples
    --------
    >>> get_store_filename("mapping"), get_store_filename("events")
    ('mapping.yml', 'events.csv')
    """
    return f"{name}.yml" if name in SETTINGS else f"{name}.csv"


def hash_inputs(source: Path | str, files: dict[str, Path], seed: int = 0) -> dict[str, str]:
    """Return a SHA-256 of each file that a store is built from.

    Parameters
    ----------
    source
        The export, or "synthetic". Synthetic audits depend on rca_lib and the seed.
    files
        The other files, by key of the batch file.
    seed
        The seed of synthetic audits.

    Returns
    -------
    dict of str to str
        The SHA-256 by key of the batch file; "audits" is that of the export.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    try:
        audits = f"synthetic {seed} {hash_library()}" if source == "synthetic" else compute_sha256(Path(source))
        return {"audits": audits, **{name: compute_sha256(path) for name, path in files.items()}}
    except OSError as problem:
        raise DataError(f"{problem.filename} cannot be read: {problem.strerror}", hint="check the path") from None


def add_corrections(input_hashes: dict[str, str], source: Path | str, stored_hashes: dict[str, str]) -> dict[str, str]:
    """Add the corrected quarantines that belong to the audits to the hashes of a store's inputs.

    Parameters
    ----------
    input_hashes
        What `hash_inputs` returned for the source.
    source
        The export, or a corrected quarantine of the export in the current store.
    stored_hashes
        The hashes of the current store; empty if there is none.

    Returns
    -------
    dict
        The hashes, with a key "corrections" if there are any.

    Raises
    ------
    DataError
        If the source is a quarantine and there is no store.
    """
    corrections = stored_hashes.get("corrections", "").split()
    if source != "synthetic" and is_quarantine_file(source):
        if not stored_hashes:
            problem = f"{Path(source).name} is the quarantine of an export that this batch has not ingested"
            raise DataError(problem, hint="run the batch on that export, then with --data on its corrected quarantine")
        if input_hashes["audits"] not in corrections:
            corrections.append(input_hashes["audits"])
        input_hashes = input_hashes | {"audits": stored_hashes["audits"]}
    is_same_export = input_hashes["audits"] == stored_hashes.get("audits")
    if corrections and is_same_export:
        return input_hashes | {"corrections": " ".join(corrections)}
    return input_hashes


def _clear_new_store(store: Path) -> Path:
    """Return the folder to build in, after removing what a killed process left there."""
    if store.is_symlink():
        raise DataError(f"{store} is a link; nothing is written through it", hint="remove it and run the batch again")
    new_store = store.with_name(f"{store.name}.new")
    if new_store.is_symlink():
        new_store.unlink()
    else:
        shutil.rmtree(new_store, ignore_errors=True)
    new_store.parent.mkdir(parents=True, exist_ok=True)
    for folder in new_store.parent.glob(".intake-*"):  # raw rows of a killed ingestion
        shutil.rmtree(folder, ignore_errors=True)
    return new_store
