"""Publish reports: each appears in its folder as a whole, together with a record of how it was made.

A run writes into a hidden work folder beside the report's folder (`.2026-03.new`). When everything is written and
flushed to disk, the two folders exchange their names in one step where the system can do that. Elsewhere the previous
report moves aside (`.2026-03.old`) first; if the process is killed in between, `clean_run_folder` moves it back.

A failed run does not replace a good report. The good report stays with a banner, and its record names the failure.
Nothing is ever written through a link, and no folder leads out of the batch's folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import (
    CLAIMS_FILE,
    PAGE_FILE,
    RECORD_FILE,
    Failure,
    is_intact,
    list_versions,
    read_commit,
    read_json,
    read_record,
)
from rca_lib.io.hashing import compute_sha256
from rca_lib.reporting.html import render_template

NOTEBOOK_FILE = "report.ipynb"
PREVIOUS_FILE = "before.json"  # page one of the last run from other inputs
FAILED_PAGE_FILE = "failed.html"
FAILED_NOTEBOOK_FILE = "failed.ipynb"
FAILED_FILES = (FAILED_PAGE_FILE, FAILED_NOTEBOOK_FILE)  # what a failed run leaves beside a good report
MAIN_TAG = '<main id="report">'
# Comments in the text of a report are removed when the page is made, so a banner is never part of that text.
BANNER_PATTERN = re.compile(r"<!-- banner -->.*?<!-- /banner -->", re.DOTALL)
RENAME_EXCHANGE = 2  # flag of renameat2(2): exchange two paths
AT_FDCWD = -100  # argument of renameat2(2): paths are relative to the current folder


def resolve_report_folder(out: Path, folder: str) -> Path:
    """Return the path of a folder below a batch's folder.

    Parameters
    ----------
    out
        The batch's folder.
    folder
        The relative path.

    Returns
    -------
    Path
        The path below the batch's folder.

    Raises
    ------
    OSError
        If the path leads out of the batch's folder, or a part of it is a link.
    """
    parts = Path(folder).parts
    if not parts or Path(folder).is_absolute() or ".." in parts:
        raise OSError(f"{folder!r} leads out of the batch's folder")
    path = out
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise OSError(f"{path} is a link; nothing is written through it: remove it, and run the batch again")
    return path


def clean_run_folder(run: Run, out: Path) -> Path:
    """Remove what a killed process left of a run, and move back the report that it had moved aside.

    Parameters
    ----------
    run
        The run.
    out
        The batch's folder.

    Returns
    -------
    Path
        The work folder of the run, which does not exist yet.

    Raises
    ------
    OSError
        As `resolve_report_folder`.
    """
    final = resolve_report_folder(out, run.folder)
    new = final.with_name(f".{final.name}.new")
    old = final.with_name(f".{final.name}.old")
    for folder in (new, old):
        if folder.is_symlink():
            folder.unlink()
    if old.exists() and not final.exists():
        old.rename(final)
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.is_file():  # a notebook may have replaced its folder by a file
            folder.unlink()
    return new


def list_files(folder: Path) -> list[Path]:
    """Return the regular files of a report; no links, which lead to other files, and no pipes, which would block."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def save_previous_claims(run: Run, work_folder: Path, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Write page one of the last run from other inputs into a work folder.

    Parameters
    ----------
    run
        The run.
    work_folder
        The work folder.
    inputs
        The hashes of the inputs of the new report.

    Returns
    -------
    dict
        The date, data and claims of that page; empty if there is none. It is the current report if that was made from
        other inputs, and otherwise the one that the current report kept.
    """
    final = work_folder.with_name(Path(run.folder).name)
    record = read_record(final)
    previous_page = read_json(final / PREVIOUS_FILE)
    if record.get("outcome") == "succeeded" and record.get("inputs") != dict(inputs):
        claims = read_json(final / CLAIMS_FILE).get("claims", [])
        previous_page = {"started": record["started"], "data": record["fingerprint"], "claims": claims}
    if previous_page:
        _write_json(work_folder / PREVIOUS_FILE, previous_page)
    return previous_page


def publish_report(
    run: Run,
    work_folder: Path,
    page: str,
    failure: Failure | None,
    *,
    inputs: Mapping[str, str],
    started: datetime,
    seconds: float,
    attempt: int,
) -> None:
    """Write page and record into a work folder, and put it in the place of the report.

    If the run failed and there is a good report, that report stays with a banner on its page and the failure in its
    record. The failure page is then `failed.html`, and the notebook as far as it ran `failed.ipynb`.

    Parameters
    ----------
    run
        The run.
    work_folder
        The work folder with everything that the notebook wrote.
    page
        The HTML of the report, or of the failure page.
    failure
        Why the run failed; None if it succeeded.
    inputs
        The hashes of its inputs.
    started, seconds, attempt
        Start and duration of the run, and the number of the attempt.
    """
    final = work_folder.with_name(Path(run.folder).name)
    ending: dict[str, Any] = {
        "attempt": attempt,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "error": asdict(failure) if failure else None,
    }
    record = read_record(final)
    if failure and record.get("outcome") == "succeeded" and is_intact(final, record):
        _restore_report(final, work_folder, record, page, str(failure), ending["started"])
        record["failed"] = ending
    else:
        (work_folder / PAGE_FILE).write_text(page, encoding="utf-8")
        record = asdict(run) | {"notebook": run.notebook.name, "outcome": "failed" if failure else "succeeded"} | ending
        record |= {"versions": list_versions(), "commit": read_commit(), "inputs": dict(inputs)}
    files = {file.relative_to(work_folder).as_posix(): compute_sha256(file) for file in list_files(work_folder)}
    record["files"] = files
    _write_json(work_folder / RECORD_FILE, record)
    _replace_folder(work_folder, final)


def add_banner(page: str, banner: str) -> str:
    """Return a page with a banner above the report, instead of an earlier banner; "" only removes that."""
    page = BANNER_PATTERN.sub("", page)
    return page.replace(MAIN_TAG, f"{MAIN_TAG}{banner}", 1)


def render_failure_page(run: Run, failure: Failure, source: str = "") -> str:
    """Return the page that replaces a report that could not be made.

    Parameters
    ----------
    run
        The run.
    failure
        Why it failed. A message that ends with "Hint: ..." gives the page its advice.
    source
        The source of the failed cell.

    Returns
    -------
    str
        The page as HTML.
    """
    message, _, hint = failure.message.partition(" Hint: ")
    texts = format_page_texts(run)
    return render_template("failure.html.j2", failure=failure, message=message, hint=hint, source=source, **texts)


def format_page_texts(run: Run) -> dict[str, str]:
    """Return the title and the footer of a run's page."""
    title = f"{run.site} · {run.period}"
    if run.site is None:
        title = run.folder.strip("_").replace("_", " ").capitalize()
    data = f" Data {run.fingerprint[:12]}." if run.fingerprint else ""
    version = list_versions()["rca-lib"]
    footer = f"Made by rca_lib {version}.{data} Parameters and versions: run.json beside this page."
    return {"title": title, "footer": footer}


def _restore_report(
    final: Path, work_folder: Path, record: Mapping[str, Any], failure_page: str, reason: str, failed_at: str
) -> None:
    """Fill a work folder with the current report, a banner on its page, and what the failed run produced."""
    notebook_file = work_folder / NOTEBOOK_FILE
    notebook = notebook_file.read_bytes() if notebook_file.is_file() and not notebook_file.is_symlink() else None
    shutil.rmtree(work_folder)
    for name in record["files"]:
        if name not in FAILED_FILES:
            (work_folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(final / name, work_folder / name)
    (work_folder / FAILED_PAGE_FILE).write_text(failure_page, encoding="utf-8")
    if notebook is not None:
        (work_folder / FAILED_NOTEBOOK_FILE).write_bytes(notebook)
    page_file = work_folder / PAGE_FILE
    banner = render_template("stale.html.j2", reason=reason, failed=failed_at, made=record["started"])
    page_file.write_text(add_banner(page_file.read_text(encoding="utf-8"), banner), encoding="utf-8")


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _replace_folder(new: Path, final: Path) -> None:
    """Replace a folder by another so that one of the two exists at any moment."""
    folders = [path for path in new.rglob("*") if path.is_dir()]
    for path in (*list_files(new), *folders, new):
        _flush_to_disk(path)
    if not final.exists():
        new.rename(final)
    elif _exchange_paths(new, final):
        shutil.rmtree(new, ignore_errors=True)
    else:
        old = new.with_suffix(".old")
        final.rename(old)
        new.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    _flush_to_disk(final.parent)


def _exchange_paths(first: Path, second: Path) -> bool:
    """Exchange two paths in one step; return False if the system or the file system cannot.

    Python offers no function for this, so it calls the C library.
    """
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    status = rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE)
    return status == 0


def _flush_to_disk(path: Path) -> None:
    if os.name == "posix":  # other systems cannot open folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
