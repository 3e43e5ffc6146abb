"""Reports put into their place whole, with a record of how each came about; reports that need not be made again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

import rca_lib
from rca_lib.batch.grid import Run
from rca_lib.reporting.html import fill_template

LIBRARY = Path(rca_lib.__file__).parent


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended; `error` is one line, `kept` says that an earlier report of the same inputs stands."""

    run: Run
    outcome: Literal["succeeded", "failed"]
    seconds: float
    error: str | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed: the exception and its message; `cell` counts all cells of report.ipynb from 1."""

    exception: str
    message: str
    cell: int | None = None

    def __str__(self) -> str:
        """Read as one line."""
        return f"{f'cell {self.cell}: ' if self.cell else ''}{self.exception}: {' '.join(self.message.split())}"


def sweep(run: Run, out: Path) -> Path:
    """Clear away what a killed runner left, bring back the report that it had put aside, return where to write."""
    final = out / run.folder
    new, old = (final.with_name(f".{final.name}.{kind}") for kind in ("new", "old"))
    if old.exists() and not final.exists():
        old.rename(final)
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    return new


def publish(run: Run, new: Path, page: str, failure: Failure | None, started: datetime, seconds: float) -> Outcome:
    """Write what the run still owes and put its folder into its place."""
    (new / "report.html").write_text(page, encoding="utf-8")
    outcome = Outcome(run, "failed" if failure else "succeeded", round(seconds, 2), str(failure) if failure else None)
    record = asdict(run) | {
        "notebook": run.notebook.name,
        "outcome": outcome.outcome,
        "error": asdict(failure) if failure else None,
        "started": started.isoformat(timespec="seconds"),
        "seconds": outcome.seconds,
        "versions": _versions(),
        "commit": _commit(),
        "inputs": _inputs(run),
        "files": {file.relative_to(new).as_posix(): _sha256(file) for file in sorted(new.rglob("*")) if file.is_file()},
    }
    (new / "run.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    final, old = new.with_name(Path(run.folder).name), new.with_suffix(".old")
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    return outcome


def write_failure(run: Run, failure: Failure, source: str = "") -> str:
    """Return the page that takes the place of a report that could not be made; `source` is the cell's."""
    told, _, mend = failure.message.partition(" Mend: ")
    return fill_template("failure.html.j2", failure=failure, told=told, mend=mend, source=source, **frame_of(run))


def frame_of(run: Run) -> dict[str, str]:
    """Return the title and the footer of a run's page."""
    title = run.folder.strip("_").replace("_", " ").capitalize() if run.site is None else f"{run.site} · {run.period}"
    data = f" Data {run.fingerprint[:12]}." if run.fingerprint else ""
    made = f"Made by rca_lib {_versions()['rca-lib']}.{data} Parameters and versions: run.json beside this page."
    return {"title": title, "footer": made}


def find_standing(run: Run, out: Path) -> Outcome | None:
    """Return the outcome of an earlier run of the same inputs, if its report stands unchanged."""
    final = out / run.folder
    try:
        record = json.loads((final / "run.json").read_text(encoding="utf-8"))
        whole = all(_sha256(final / name) == digest for name, digest in record["files"].items())
    except (OSError, ValueError, LookupError):
        return None
    same = run.fingerprint and record["outcome"] == "succeeded" and record["inputs"] == _inputs(run)
    return Outcome(run, "succeeded", record["seconds"], kept=True) if same and whole else None


def _inputs(run: Run) -> str:
    """Return one SHA-256 over all that the report depends on."""
    about = [_sha256(run.notebook), dict(run.parameters), run.fingerprint, _versions(), _library()]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


@cache
def _versions() -> dict[str, str]:
    required = importlib.metadata.requires("rca-lib") or []
    names = ["rca-lib", *(re.match(r"[\w.-]+", line)[0] for line in required if "extra ==" not in line)]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


@cache
def _library() -> list[str]:
    return [_sha256(file) for file in sorted(LIBRARY.rglob("*.*")) if file.is_file() and file.suffix != ".pyc"]


@cache
def _commit() -> str | None:
    command = ["git", "-C", str(LIBRARY), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
