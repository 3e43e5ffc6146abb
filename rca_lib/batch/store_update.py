"""Bring the store of a batch up to date.

The export is ingested only if one of its inputs changed. An export with too many quarantined rows is refused.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from rca_lib.batch.batch_file import BatchConfig
from rca_lib.batch.publishing import resolve_report_folder
from rca_lib.batch.store_builder import (
    INPUT_HASHES_FILE,
    SIDE_TABLES,
    STORE_INPUTS,
    add_corrections,
    build_store,
    hash_inputs,
    simulate_export,
)
from rca_lib.findings import DataError
from rca_lib.intake.ledger import Ledger, read_ledger
from rca_lib.intake.side_tables import NOTES_FILE
from rca_lib.reporting.index import write_index
from rca_lib.reporting.missing_data import REJECTED_FOLDER, list_quarantine_warnings


def update_store(batch: BatchConfig, data: Path | None, store: Path, *, force: bool, now: datetime | None) -> Ledger:
    """Ingest the export of a batch unless its store is up to date.

    If the export is refused, the existing index says so.

    Parameters
    ----------
    batch
        The batch file.
    data
        The export, instead of the one that the batch file names.
    store
        The folder of the store.
    force
        Also ingest an unchanged export.
    now
        The moment after which a date lies in the future; None if dates are not checked.

    Returns
    -------
    Ledger
        What happened to each row of the export.

    Raises
    ------
    ValueError
        If no export is named.
    DataError
        If the export, a side table or a setting is at fault, or too many rows are quarantined. The previous store and
        its reports stay.
    """
    source = data or batch.data
    if source is None:
        raise ValueError(f"batch {batch.batch!r} names no data; give it with --data FILE")
    rejected = resolve_report_folder(store.parent, REJECTED_FOLDER)
    shutil.rmtree(rejected, ignore_errors=True)
    try:
        return _refresh_store(batch, source, store, force=force, now=now)
    except DataError as problem:
        if (store.parent / "index.html").exists():
            rejected.mkdir(exist_ok=True)
            content = {"sentence": str(problem), "at": now.isoformat() if now else ""}
            text = json.dumps(content, indent=1, ensure_ascii=False)
            (rejected / "refused.json").write_text(text, encoding="utf-8")
            write_index(store.parent, title=batch.title or batch.batch)
        raise


def _refresh_store(
    batch: BatchConfig, source: Path | Literal["synthetic"], store: Path, *, force: bool, now: datetime | None
) -> Ledger:
    """Ingest the export unless the store was built from the same files."""
    files = batch.list_files(STORE_INPUTS)
    hashes_file = store / INPUT_HASHES_FILE
    stored_hashes = json.loads(hashes_file.read_text(encoding="utf-8")) if hashes_file.exists() else {}
    input_hashes = add_corrections(hash_inputs(source, files, batch.seed), source, stored_hashes)
    is_unchanged = not force and (store / NOTES_FILE).exists() and stored_hashes == input_hashes
    if is_unchanged and (ledger := read_ledger(store)).is_valid_at(now):
        _validate_quarantine(batch, ledger, store)
        return ledger
    with TemporaryDirectory(prefix="rca-export-") as export:
        if source == "synthetic":
            simulate_export(batch.seed, Path(export))
            source = Path(export) / "audits.csv"
            files |= {name: Path(export) / f"{name}.csv" for name in SIDE_TABLES if name not in files}
        is_synthetic = input_hashes["audits"].startswith("synthetic")  # also for corrections of simulated audits
        validate = partial(_validate_quarantine, batch)
        return build_store(Path(source), files, store, input_hashes, now, synthetic=is_synthetic, validate=validate)


def _validate_quarantine(batch: BatchConfig, ledger: Ledger, store: Path) -> None:
    """Refuse audits with a larger quarantined share than the batch allows; keep the ledger and the quarantine.

    Raises
    ------
    DataError
        If the share is larger. The previous store and its reports stay.
    """
    if batch.max_quarantine is None:
        return
    warnings = list_quarantine_warnings(ledger, batch.max_quarantine)
    if not warnings:
        return
    rejected = store.with_name(REJECTED_FOLDER)
    rejected.mkdir()
    for name in ("ledger.json", "quarantine.csv"):
        shutil.copyfile(store / name, rejected / name)
    hint = f"correct the export or {REJECTED_FOLDER}/quarantine.csv, or raise max_quarantine; nothing was run"
    raise DataError(f"{ledger.source}: {'; '.join(warnings)}", rows=ledger.quarantined, hint=hint)
