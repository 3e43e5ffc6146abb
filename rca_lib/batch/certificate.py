"""Verification of a whole batch, several reports at the same time, and the page that certifies what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from rca_lib.batch.job import CERTIFICATE, STORE, TABLES, file_in_store, fill_store, make_key
from rca_lib.batch.records import hash_file, list_versions, read_commit, read_record
from rca_lib.findings import DataError
from rca_lib.reporting.html import fill_template, replace_page
from rca_lib.reporting.verification import Verification, verify_report

# Forked from a process that has imported all this.
PROCESSES = get_context("forkserver" if os.name == "posix" else "spawn")
PROCESSES.set_forkserver_preload([__name__])


def verify_folder(folder: Path, *, data: Path | None = None, workers: int = 1) -> Iterator[Verification]:
    """Verify the report in a folder, or every report of a batch's folder, as many at a time as there are `workers`.

    Where `data` is given, it is taken in again with the batch's own mapping and the claims are derived from that.

    Raises
    ------
    DataError
        If there is no report.
    """
    found = sorted(path.parent for path in folder.glob("**/claims.json") if "/." not in path.as_posix())
    if not found:
        raise DataError(f"no report in {folder}", mend="name the folder of a report, or of a batch")
    with _open_store(found[0].parents[1] / STORE, data) as store:
        verify = partial(verify_report, store=store)
        if len(found) == 1 or workers == 1:
            yield from map(verify, found)
            return
        with ProcessPoolExecutor(min(workers, len(found)), PROCESSES) as pool:
            yield from pool.map(verify, found)


def write_certificate(
    folder: Path, verifications: Sequence[Verification], *, data: Path | None = None, now: datetime
) -> Path | None:
    """Write into a batch's folder which of its reports were verified at the moment `now`, from what, by what.

    Nothing is written where the folder is that of a single report.
    """
    if (folder / "claims.json").exists():
        return None
    rows = []
    for verification in verifications:
        place = Path(verification.folder)
        record = read_record(place)
        wrong = [check for check in verification.checks if check.outcome not in ("exact", "within rounding")]
        link = quote(f"{place.relative_to(folder).as_posix()}/report.html")
        rows.append({"verification": verification, "record": record, "wrong": wrong, "link": link})
    page = fill_template(
        "certificate.html.j2",
        title="Certificate",
        footer=f"Written by rca verify on {now:%Y-%m-%d at %H:%M} UTC.",
        rows=rows,
        held=sum(verification.holds for verification in verifications),
        source=f"{data.name}, SHA-256 {hash_file(data)}" if data else "the audits as they were taken in",
        made=f"rca_lib {list_versions()['rca-lib']}, commit {read_commit() or 'unknown'}",
    )
    return replace_page(folder / CERTIFICATE, page)


@contextmanager
def _open_store(store: Path, data: Path | None) -> Iterator[Path]:
    """Give the store of a batch, or one made anew from `data` with all that belongs to it."""
    if data is None:
        yield store
        return
    names = (*TABLES, "population", "mapping", "taxonomy")
    files = {name: store / file_in_store(name) for name in names if (store / file_in_store(name)).exists()}
    with TemporaryDirectory(prefix="rca-verify-") as scratch:
        fill_store(data, files, Path(scratch) / STORE, make_key(data, files), None)
        yield Path(scratch) / STORE
