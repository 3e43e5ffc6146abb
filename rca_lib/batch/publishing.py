"""Reports put into their place whole, with a record of how each came about."""

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

from rca_lib.batch.grid import Run
from rca_lib.batch.records import (
    CLAIMS,
    RECORD,
    Failure,
    hash_file,
    is_whole,
    list_versions,
    read_commit,
    read_json,
    read_record,
)
from rca_lib.reporting.html import fill_template

BEFORE = "before.json"
FAILED = ("failed.html", "failed.ipynb")  # what a failed run leaves beside the report that stands
MAIN = '<main id="report">'
# Comments in the text of a report are cleaned away, so that this can be none of it.
BANNER = re.compile(r"<!-- banner -->.*?<!-- /banner -->", re.DOTALL)
EXCHANGE, HERE = 2, -100  # of Linux' renameat2(2)


def find_place(out: Path, folder: str) -> Path:
    """Return where a folder lies below a batch's folder.

    Raises
    ------
    OSError
        If it leads out of the batch's folder, or a link stands in its way.
    """
    parts = Path(folder).parts
    if not parts or Path(folder).is_absolute() or ".." in parts:
        raise OSError(f"{folder!r} leads out of the batch's folder")
    for place in (out.joinpath(*parts[: count + 1]) for count in range(len(parts))):
        if place.is_symlink():
            raise OSError(f"{place} is a link; nothing is written through it: remove it, and run the batch again")
    return out / folder


def sweep(run: Run, out: Path) -> Path:
    """Clear away what a killed runner left, bring back the report that it had put aside, return where to write.

    Raises
    ------
    OSError
        As `find_place`.
    """
    final = find_place(out, run.folder)
    new, old = (final.with_name(f".{final.name}.{kind}") for kind in ("new", "old"))
    for folder in (new, old):
        if folder.is_symlink():
            folder.unlink()
    if old.exists() and not final.exists():
        old.rename(final)
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.is_file():  # a notebook may put anything into the place of its folder
            folder.unlink()
    return new


def list_files(folder: Path) -> list[Path]:
    """Return the files of a report; not its links, whose files are others', nor its pipes, which nobody fills."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def keep_before(run: Run, new: Path, inputs: Mapping[str, str]) -> dict[str, Any] | None:
    """Write into a new folder what page one said before it was made from other inputs; return that, None if never.

    It is the page that stands now, or, where that was made from the same inputs or failed, what was kept beside it.
    """
    final = new.with_name(Path(run.folder).name)
    record, kept = read_record(final), read_json(final / BEFORE)
    if record.get("outcome") == "succeeded" and record.get("inputs") != dict(inputs):
        claims = (read_json(final / CLAIMS) or {}).get("claims", [])
        kept = {"started": record["started"], "data": record["fingerprint"], "claims": claims}
    if kept:
        (new / BEFORE).write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return kept


def publish(
    run: Run,
    new: Path,
    page: str,
    failure: Failure | None,
    *,
    inputs: Mapping[str, str],
    started: datetime,
    seconds: float,
    attempt: int,
) -> None:
    """Write what the run still owes, the record last, and put its folder into its place.

    A run that failed does not replace a good report: that one stays, with a banner on its page and the failure in its
    record (`failed`); the failure page is `failed.html` beside it, the notebook as far as it came `failed.ipynb`.
    """
    final = new.with_name(Path(run.folder).name)
    ended = {
        "attempt": attempt,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "error": asdict(failure) if failure else None,
    }
    record = read_record(final)
    if failure and record.get("outcome") == "succeeded" and is_whole(final, record):
        _keep_report(final, new, record, page, f"{failure}", ended["started"])
        record |= {"failed": ended}
    else:
        (new / "report.html").write_text(page, encoding="utf-8")
        record = asdict(run) | {"notebook": run.notebook.name, "outcome": "failed" if failure else "succeeded"} | ended
        record |= {"versions": list_versions(), "commit": read_commit(), "inputs": dict(inputs)}
    record["files"] = {file.relative_to(new).as_posix(): hash_file(file) for file in list_files(new)}
    (new / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _put(new, final)


def _keep_report(final: Path, new: Path, record: Mapping[str, Any], page: str, reason: str, failed: str) -> None:
    """Fill a new folder with the report that stands, a banner on its page, and what a failed run left."""
    left = new / "report.ipynb"
    notebook = left.read_bytes() if left.is_file() and not left.is_symlink() else None
    shutil.rmtree(new)
    for name in record["files"]:
        if name not in FAILED:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(final / name, new / name)
    (new / FAILED[0]).write_text(page, encoding="utf-8")
    if notebook is not None:
        (new / FAILED[1]).write_bytes(notebook)
    standing = new / "report.html"
    banner = fill_template("stale.html.j2", reason=reason, failed=failed, made=record["started"])
    standing.write_text(add_banner(standing.read_text(encoding="utf-8"), banner), encoding="utf-8")


def add_banner(page: str, banner: str) -> str:
    """Put a banner above a report, in the place of the one that it may have; "" takes it away."""
    page = BANNER.sub("", page)
    return page.replace(MAIN, f"{MAIN}{banner}", 1)


def write_failure(run: Run, failure: Failure, source: str = "") -> str:
    """Return the page that takes the place of a report that could not be made; `source` is the cell's."""
    told, _, mend = failure.message.partition(" Mend: ")
    return fill_template("failure.html.j2", failure=failure, told=told, mend=mend, source=source, **frame_of(run))


def frame_of(run: Run) -> dict[str, str]:
    """Return the title and the footer of a run's page."""
    title = run.folder.strip("_").replace("_", " ").capitalize() if run.site is None else f"{run.site} · {run.period}"
    data = f" Data {run.fingerprint[:12]}." if run.fingerprint else ""
    made = f"Made by rca_lib {list_versions()['rca-lib']}.{data} Parameters and versions: run.json beside this page."
    return {"title": title, "footer": made}


def _put(new: Path, final: Path) -> None:
    """Put a folder into the place of another so that there is always one of the two, whatever happens."""
    for path in (*list_files(new), *(path for path in new.rglob("*") if path.is_dir()), new):
        _sync(path)
    if not final.exists():
        new.rename(final)
    elif _exchange(new, final):
        shutil.rmtree(new, ignore_errors=True)
    else:
        old = new.with_suffix(".old")
        final.rename(old)
        new.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    _sync(final.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step, where the system and the file system can."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0


def _sync(path: Path) -> None:
    if os.name == "posix":  # elsewhere folders cannot be opened
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
