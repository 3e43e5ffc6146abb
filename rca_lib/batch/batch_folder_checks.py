"""Verify the parts of a batch's folder that belong to no report: index, plan, store, certificate, unknown files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from rca_lib.batch.batch_run import CERTIFICATE_FILE, MANIFEST_FILE
from rca_lib.batch.report_comparison import SYSTEM_FILES
from rca_lib.batch.signing import check_previous_certificate
from rca_lib.batch.store_builder import get_store_filename
from rca_lib.batch.verification_source import VerificationSource, hardlink_tree
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import read_mapping
from rca_lib.io.duckdb_connection import connect_duckdb
from rca_lib.reporting.file_comparison import compare_pages, compare_value
from rca_lib.reporting.index import list_stale_reasons, write_index
from rca_lib.reporting.missing_data import REJECTED_FOLDER, STORE_FOLDER, read_rejection
from rca_lib.reporting.verification import Verification, VerificationCheck, read_report_file
from rca_lib.store.stored_tables import build_parquet_scan

INDEX_FILE = "index.html"
BATCH_FILES = (INDEX_FILE, CERTIFICATE_FILE, MANIFEST_FILE, STORE_FOLDER, REJECTED_FOLDER)
LABEL_SETTINGS = ("label_scale", "label_order", "benign")
NO_PLAN_NOTE = "whether a report is missing: the store holds no plan; run the batch again, or give --batch"


def verify_batch_folder(
    root: Path, reproduction: Path, source: VerificationSource, report_folders: Sequence[str]
) -> Verification:
    """Verify the parts of a batch's folder that belong to no report.

    Parameters
    ----------
    root
        The batch's folder.
    reproduction
        The folder with the reproduced reports.
    source
        The audits and the plan.
    report_folders
        The folders of the reports in the batch's folder.

    Returns
    -------
    Verification
        Checks of the index, the plan, the store and an earlier certificate, and a check per unknown file.
    """
    checks = [*_check_index(root, reproduction, source), *_check_plan(source)]
    if source.export is None:
        checks += _check_store(source)
    certificate_checks, not_covered = check_previous_certificate(root)
    checks += certificate_checks
    checks += _list_unknown_files(root, report_folders)
    if source.plan.origin == "assumed":
        not_covered = (*not_covered, NO_PLAN_NOTE)
    return Verification(str(root), tuple(checks), "Index, store and other files", not_covered)


def _check_index(root: Path, reproduction: Path, source: VerificationSource) -> Iterator[VerificationCheck]:
    if not (reproduction / STORE_FOLDER).exists():
        hardlink_tree(source.store, reproduction / STORE_FOLDER)  # the index marks reports without audits
    derived_index = write_index(reproduction, title=source.plan.title)
    reason = ""
    if source.plan.origin == "assumed":
        reason = "the title of the batch is not known without a plan"
    if read_rejection(root) or list_stale_reasons(root):
        reason = "it marks the results of earlier runs, which are not reproduced"
    try:
        reported_index = read_report_file(root / INDEX_FILE)
    except DataError as problem:
        yield VerificationCheck(INDEX_FILE, "wrong", str(problem), "the index of all reports", "page")
        return
    for check in compare_pages(reported_index, derived_index.read_bytes(), difference_reason=reason):
        name = INDEX_FILE if check.id == "report.html" else f"index: {check.id}"
        yield VerificationCheck(name, check.outcome, check.reported, check.derived, check.about)


def _check_plan(source: VerificationSource) -> Iterator[VerificationCheck]:
    if source.plan_problem:
        yield VerificationCheck("plan", "wrong", source.plan_problem, "the plan that the last run wrote", "setting")


def _check_store(source: VerificationSource) -> Iterator[VerificationCheck]:
    """Check that the ledger of a store agrees with its mapping, its rows and its quarantine."""
    store = source.store
    ledger = source.ledger
    mapping_file = store / get_store_filename("mapping")
    mapping = read_mapping(mapping_file if mapping_file.exists() else None)
    for name in LABEL_SETTINGS:
        reported = _as_list(getattr(ledger, name))
        declared = _as_list(getattr(mapping, name))
        yield compare_value(f"ledger: {name}", reported, declared, "audits")
    try:
        kept = _count_kept(store)
    except duckdb.Error as problem:
        reason = f"the store cannot be read: {problem}"
        yield VerificationCheck("ledger: kept", "wrong", f"{ledger.kept:,}", reason, "audits")
        return
    yield compare_value("ledger: kept", ledger.kept, kept, "audits")
    yield compare_value("ledger: quarantined", ledger.quarantined, _count_quarantined(store), "audits")


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _count_kept(store: Path) -> int:
    files = sorted(store.glob("site=*/month=*/audits.parquet"))
    if not files:
        return 0
    query = f"select count(*) from {build_parquet_scan(files)}"
    return connect_duckdb(folders=[store]).sql(query).fetchall()[0][0]


def _count_quarantined(store: Path) -> int | str:
    try:
        with (store / "quarantine.csv").open(encoding="utf-8", newline="") as file:
            rows = sum(1 for _ in csv.reader(file))
    except (OSError, ValueError, csv.Error) as problem:
        return f"quarantine.csv cannot be read: {problem}"
    return max(rows - 1, 0)  # without the header


def _list_unknown_files(root: Path, report_folders: Sequence[str]) -> Iterator[VerificationCheck]:
    site_folders = {name.partition("/")[0] for name in report_folders}
    known = {*BATCH_FILES, *report_folders, *site_folders}
    for path in sorted(root.iterdir()):
        if path.is_symlink() or (path.name not in known and not _is_ignored(path)):
            yield _report_unknown_file(path.name)
        elif path.name not in report_folders and path.name not in BATCH_FILES and path.is_dir():
            for inner_path in sorted(path.iterdir()):
                name = inner_path.relative_to(root).as_posix()
                if name not in report_folders and not _is_ignored(inner_path):
                    yield _report_unknown_file(name)


def _report_unknown_file(name: str) -> VerificationCheck:
    return VerificationCheck(name, "not checkable", "an additional file or folder", "no run writes it", "file")


def _is_ignored(path: Path) -> bool:
    return path.name.startswith(".") or path.name in SYSTEM_FILES
