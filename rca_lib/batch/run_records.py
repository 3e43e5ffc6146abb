"""The records of runs: what each report was made from, how its run ended, and whether it is due again.

A record (`run.json`) contains a hash of everything that the report depends on. A report is up to date while these
hashes are the same, its last run succeeded, and its files are those that the record lists.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import rca_lib
from rca_lib.batch.run_grid import Run
from rca_lib.io.hashing import compute_sha256

RECORD_FILE = "run.json"
CLAIMS_FILE = "claims.json"
PAGE_FILE = "report.html"
RECORD_GLOB = f"[!._]*/[!.]*/{RECORD_FILE}"  # records of sites and periods, below a batch's folder
LIBRARY_FOLDER = Path(rca_lib.__file__).parent
CHANGE_REASONS = {
    "notebook": "the notebook changed",
    "parameters": "a parameter changed",
    "data": "the data changed",
    "library": "rca_lib changed",
    "packages": "the version of a package changed",
    "reports": "the reports that it reads changed",
    "before": "the report of the previous period changed",
}


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes
    ----------
    run
        The run.
    outcome
        "succeeded" or "failed".
    seconds
        Duration of the notebook.
    error
        The failure in one line; None if the run succeeded.
    kept
        Whether the report was up to date, so that nothing ran.
    attempt
        The number of the last attempt, from 1.
    """

    run: Run
    outcome: Literal["succeeded", "failed"]
    seconds: float
    error: str | None = None
    kept: bool = False
    attempt: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome with the run's folder, site and period, as `--json` prints it."""
        run_fields = {name: getattr(self.run, name) for name in ("folder", "site", "period")}
        outcome_fields = {name: getattr(self, name) for name in ("outcome", "seconds", "error", "kept", "attempt")}
        return run_fields | outcome_fields


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed.

    Attributes
    ----------
    exception
        The name of the exception, or of a failure outside the notebook.
    message
        Its message.
    cell
        The cell of report.ipynb, counted from 1 over all cells; None if the failure belongs to no cell.
    """

    exception: str
    message: str
    cell: int | None = None

    def __str__(self) -> str:
        """Return the failure in one line."""
        location = f"cell {self.cell}: " if self.cell else ""
        return f"{location}{self.exception}: {' '.join(self.message.split())}"


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if there is no readable one."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a report's folder; empty if there is no readable one."""
    return read_json(folder / RECORD_FILE)


def is_successful(record: Mapping[str, Any]) -> bool:
    """Return whether the last run of a report succeeded; False also for an older report that a later failure left."""
    return record.get("outcome") == "succeeded" and not record.get("failed")


def read_outcome(run: Run, out: Path, *, kept: bool = False) -> RunOutcome:
    """Return how a run ended, as its record in the batch's folder `out` states."""
    record = read_record(out / run.folder)
    last_run = record.get("failed") or record
    error = str(Failure(**last_run["error"])) if last_run["error"] else None
    outcome: Literal["succeeded", "failed"] = "failed" if error else "succeeded"
    return RunOutcome(run, outcome, last_run["seconds"], error, kept, last_run["attempt"])


def hash_run_inputs(run: Run, out: Path) -> dict[str, str]:
    """Return a SHA-256 of each input of a report.

    Parameters
    ----------
    run
        The run.
    out
        The batch's folder.

    Returns
    -------
    dict
        Hashes by the keys of `CHANGE_REASONS`. "data" is empty if the data is unknown. "reports" is about the claims of
        all sites and periods, which runs of a later stage read; "before" about those of the previous period.
    """
    folders = [file.parent for file in sorted(out.glob(RECORD_GLOB))] if run.stage else []
    return {
        "notebook": compute_sha256(run.notebook),
        "parameters": _hash_json(dict(run.parameters)),
        "data": run.fingerprint,
        "library": hash_library(),
        "packages": hash_versions(),
        "reports": _hash_json([(str(folder.relative_to(out)), _read_claims_hash(folder)) for folder in folders]),
        "before": _read_claims_hash(out / run.before) if run.before else "",
    }


def find_rerun_reason(run: Run, out: Path, inputs: Mapping[str, str]) -> str:
    """Return why a run is due.

    Parameters
    ----------
    run
        The run.
    out
        The batch's folder.
    inputs
        What `hash_run_inputs` returned.

    Returns
    -------
    str
        The reason; "" if the report was made from the same inputs and is unchanged.
    """
    folder = out / run.folder
    record = read_record(folder)
    if not record:
        return "it has not run yet"
    if not is_successful(record):
        return "its last run failed"
    recorded_inputs = record.get("inputs")
    if not isinstance(recorded_inputs, dict):
        return CHANGE_REASONS["library"]
    for name, reason in CHANGE_REASONS.items():
        if recorded_inputs.get(name) != inputs[name]:
            return reason
    if not run.fingerprint:
        return "it is not known whether the data changed"
    return "" if is_intact(folder, record, trust_timestamps=True) else "its files were changed"


def is_intact(folder: Path, record: Mapping[str, Any], *, trust_timestamps: bool = False) -> bool:
    """Return whether the files of a report are those that its record lists.

    Parameters
    ----------
    folder
        The folder of the report.
    record
        Its record.
    trust_timestamps
        Hash only files that were modified at the time of the record or later. False (default) hashes all files.

    Returns
    -------
    bool
        Whether no listed file is missing or changed.
    """
    try:
        recorded_at = (folder / RECORD_FILE).stat().st_mtime_ns if trust_timestamps else 0
        hashes = {folder / name: sha256 for name, sha256 in record["files"].items()}
        is_unchanged = all(
            file.stat().st_mtime_ns < recorded_at or compute_sha256(file) == sha256 for file, sha256 in hashes.items()
        )
        return is_unchanged and folder / PAGE_FILE in hashes  # an emptied list of files proves nothing
    except (OSError, LookupError, TypeError, AttributeError):  # a file is missing or the record is damaged
        return False


@cache
def hash_library() -> str:
    """Return one SHA-256 of all files of rca_lib."""
    files = (file for file in sorted(LIBRARY_FOLDER.rglob("*.*")) if file.suffix != ".pyc" and file.is_file())
    return _hash_json([compute_sha256(file) for file in files])


@cache
def list_versions() -> dict[str, str]:
    """Return the versions of Python, of rca_lib and of each package that it requires."""
    required = importlib.metadata.requires("rca-lib") or []
    names = ["rca-lib", *(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line)]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def hash_versions() -> str:
    """Return one SHA-256 of the versions of Python and the packages."""
    return _hash_json(list_versions())


@cache
def read_commit() -> str | None:
    """Return the Git commit of rca_lib; None if it is unknown."""
    command = ["git", "-C", str(LIBRARY_FOLDER), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_claims_hash(folder: Path) -> str:
    record = read_record(folder)
    return record.get("files", {}).get(CLAIMS_FILE, "") if is_successful(record) else ""


def _hash_json(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
