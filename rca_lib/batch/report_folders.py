# Tested in tests/batch/test_batch_folder_checks.py.
"""Find the folders of reports and batches, from their files alone."""

from __future__ import annotations

from pathlib import Path

from rca_lib.batch.publishing import NOTEBOOK_FILE
from rca_lib.batch.run_records import CLAIMS_FILE, PAGE_FILE, RECORD_FILE
from rca_lib.findings import DataError
from rca_lib.reporting.missing_data import STORE_FOLDER

REPORT_FILES = (RECORD_FILE, CLAIMS_FILE, PAGE_FILE, "findings.json", NOTEBOOK_FILE)  # any of them makes a report
NO_REPORT_HINT = "name the folder of a report, or of a batch"


def list_report_folders(root: Path) -> list[str]:
    """Return the folders of a batch's reports, relative to it and in order; also of reports that lack a file."""
    folders = [path for path in root.glob("_*") if path.name != STORE_FOLDER]
    for site_folder in root.glob("[!._]*"):
        if site_folder.is_dir():
            folders += site_folder.glob("[!.]*")
    reports = [folder for folder in folders if folder.is_dir() and _contains_report(folder)]
    return sorted(folder.relative_to(root).as_posix() for folder in reports)


def find_batches(folder: Path, *, needs_store: bool) -> list[Path]:
    """Return the folder of the batch that a report belongs to, or those of all batches in or below a folder.

    Parameters
    ----------
    folder
        The folder of a report or of a batch, or a folder above several batches.
    needs_store
        Whether a batch without a store is an error.

    Returns
    -------
    list of Path
        The folders of batches, absolute and in order.

    Raises
    ------
    DataError
        If there is no report, or a store is needed and there is none.
    """
    folder = folder.absolute()
    for candidate in (folder, *folder.parents[:2]):
        if (candidate / STORE_FOLDER).is_dir():
            return [candidate]
    stores = [store for store in folder.glob(f"**/{STORE_FOLDER}") if "/." not in store.as_posix()]
    if stores:
        return sorted(store.parent for store in stores)
    if _contains_report(folder):
        depth = 1 if folder.name.startswith("_") else 2  # below the batch's folder
        root = folder.parents[depth - 1]
    elif any(folder.glob(f"**/{RECORD_FILE}")) or any(folder.glob(f"**/{CLAIMS_FILE}")):
        root = folder
    else:
        raise DataError(f"no report in {folder}", hint=NO_REPORT_HINT)
    if needs_store:
        hint = "verify where the batch was run, or give --batch"
        raise DataError(f"{root} contains no audits ({STORE_FOLDER})", hint=hint)
    return [root]


def _contains_report(folder: Path) -> bool:
    return any((folder / name).exists() for name in REPORT_FILES)
