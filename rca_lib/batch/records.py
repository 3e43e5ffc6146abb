"""The records of runs: what each was made from, how it ended, and whether it is due again."""

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
from rca_lib.batch.grid import Run

RECORD, CLAIMS, PAGE = "run.json", "claims.json", "report.html"
REPORTS = f"[!._]*/[!.]*/{RECORD}"  # of sites and periods, below a batch's folder
LIBRARY = Path(rca_lib.__file__).parent
CHANGED = {
    "notebook": "the notebook changed",
    "parameters": "a parameter changed",
    "data": "the data changed",
    "library": "rca_lib changed",
    "packages": "the version of a package changed",
    "reports": "the reports that it reads changed",
    "before": "the report of the period before changed",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, at which `attempt`; `error` is one line, `kept` says that an earlier report stands."""

    run: Run
    outcome: Literal["succeeded", "failed"]
    seconds: float
    error: str | None = None
    kept: bool = False
    attempt: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome with the run's folder, site and period, as `--json` prints it."""
        names = ("outcome", "seconds", "error", "kept", "attempt")
        place = {name: getattr(self.run, name) for name in ("folder", "site", "period")}
        return place | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed: the exception and its message; `cell` counts all cells of report.ipynb from 1."""

    exception: str
    message: str
    cell: int | None = None

    def __str__(self) -> str:
        """Read as one line."""
        return f"{f'cell {self.cell}: ' if self.cell else ''}{self.exception}: {' '.join(self.message.split())}"


def read_json(file: Path) -> dict[str, Any]:
    """Return the mapping that a file holds, an empty one where there is none that can be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a report's folder."""
    return read_json(folder / RECORD)


def is_good(record: Mapping[str, Any]) -> bool:
    """Whether the last run of a report succeeded; one that stands since a later run failed is not good."""
    return record.get("outcome") == "succeeded" and not record.get("failed")


def read_outcome(run: Run, out: Path, *, kept: bool = False) -> Outcome:
    """Return how a run ended, as its record tells."""
    record = read_record(out / run.folder)
    last = record.get("failed") or record
    error = str(Failure(**last["error"])) if last["error"] else None
    return Outcome(run, "failed" if error else "succeeded", last["seconds"], error, kept, last["attempt"])


def list_inputs(run: Run, out: Path) -> dict[str, str]:
    """Return a SHA-256 of each thing that a report depends on; `data` is empty where nobody knows them.

    `reports` are those of all sites and periods, for runs of a later stage; `before` is that of the period before.
    """
    read = [file.parent for file in sorted(out.glob(REPORTS))] if run.stage else []
    return {
        "notebook": hash_file(run.notebook),
        "parameters": _hash(dict(run.parameters)),
        "data": run.fingerprint,
        "library": hash_library(),
        "packages": hash_versions(),
        "reports": _hash([(str(folder.relative_to(out)), _claims(folder)) for folder in read]),
        "before": _claims(out / run.before) if run.before else "",
    }


def find_reason(run: Run, out: Path, inputs: Mapping[str, str]) -> str:
    """Return why a run is due, in words; "" where the report of an earlier run of the same inputs stands unchanged."""
    record = read_record(out / run.folder)
    if not record:
        return "it has not run yet"
    if not is_good(record):
        return "it failed"
    before = record.get("inputs")
    if not isinstance(before, dict):
        return CHANGED["library"]
    for name, said in CHANGED.items():
        if before.get(name) != inputs[name]:
            return said
    if not run.fingerprint:
        return "nobody knows whether the data changed"
    return "" if is_whole(out / run.folder, record, trusting=True) else "its files were changed"


def is_whole(folder: Path, record: Mapping[str, Any], *, trusting: bool = False) -> bool:
    """Whether the files of a report are those that its record names.

    When `trusting`, only files are read that were written after the record, or at the same tick of the clock.
    """
    try:
        made = (folder / RECORD).stat().st_mtime_ns if trusting else 0
        files = {folder / name: digest for name, digest in record["files"].items()}
        whole = all(file.stat().st_mtime_ns < made or hash_file(file) == digest for file, digest in files.items())
        return whole and folder / PAGE in files  # a list that was emptied covers nothing
    except (OSError, LookupError, TypeError, AttributeError):  # a file is gone, or the record is damaged
        return False


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@cache
def hash_library() -> str:
    """Return one SHA-256 of all files of rca_lib."""
    files = (file for file in sorted(LIBRARY.rglob("*.*")) if file.suffix != ".pyc" and file.is_file())
    return _hash([hash_file(file) for file in files])


@cache
def list_versions() -> dict[str, str]:
    """Return the version of Python, of rca_lib and of each package that it requires."""
    required = importlib.metadata.requires("rca-lib") or []
    names = ["rca-lib", *(re.match(r"[\w.-]+", line)[0] for line in required if "extra ==" not in line)]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def hash_versions() -> str:
    """Return one SHA-256 of the versions of Python and the packages."""
    return _hash(list_versions())


@cache
def read_commit() -> str | None:
    """Return the commit that rca_lib stands at, None where that is not known."""
    command = ["git", "-C", str(LIBRARY), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _claims(folder: Path) -> str:
    record = read_record(folder)
    return record.get("files", {}).get(CLAIMS, "") if is_good(record) else ""


def _hash(about: object) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
