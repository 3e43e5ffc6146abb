# Tested in tests/batch/test_signing.py.
"""The certificate of a verification: a page with what was checked, what was not, and what is wrong."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from rca_lib.batch.batch_run import CERTIFICATE_FILE
from rca_lib.batch.batch_verification import BatchVerification
from rca_lib.batch.report_comparison import TIME_NOTE
from rca_lib.batch.run_records import PAGE_FILE, RECORD_FILE, hash_library, list_versions, read_commit
from rca_lib.batch.signing import ALGORITHM, read_key, write_manifest
from rca_lib.findings import DataError
from rca_lib.reporting.html import render_template, write_file_atomically
from rca_lib.reporting.verification import PASSING_OUTCOMES, Verification, count_verdicts, read_json_object

FINGERPRINT_CHARS = 12  # characters of a fingerprint in the table
DATE_CHARS = 10  # characters of a date without the time


def write_certificate(batch: BatchVerification, *, now: datetime) -> Path | None:
    """Write the certificate and the manifest of a verification into the batch's folder.

    The manifest is signed if the environment variable RCA_SIGNING_KEY is set.

    Parameters
    ----------
    batch
        The verification.
    now
        Its time.

    Returns
    -------
    Path or None
        The page; None, and nothing is written, if only a part of the batch was verified.

    Raises
    ------
    DataError
        If the key is too short.
    OSError
        If the folder cannot be written.
    """
    if not batch.is_complete:
        return None
    key = read_key()
    notes = {note for verification in batch.verifications for note in verification.not_covered}
    page = render_template(
        "certificate.html.j2",
        title="Certificate",
        footer=f"Written by rca verify on {now:%Y-%m-%d at %H:%M} UTC.",
        rows=[_describe_verification(batch.folder, verification) for verification in batch.verifications],
        counts=count_verdicts(batch.verifications),
        source=batch.source,
        software=f"rca_lib {list_versions()['rca-lib']}, commit {read_commit() or 'unknown'}",
        library_hash=hash_library(),
        algorithm=ALGORITHM if key else "",
        time_note=TIME_NOTE,
        not_covered=sorted(notes - {TIME_NOTE}),
        has_plan=batch.has_plan,
    )
    certificate = write_file_atomically(batch.folder / CERTIFICATE_FILE, page)
    write_manifest(batch.folder, batch.verifications, source=batch.source, now=now, key=key)
    return certificate


def _describe_verification(batch_folder: Path, verification: Verification) -> dict[str, object]:
    """Return a row of the certificate's table."""
    folder = Path(verification.folder)
    name = folder.relative_to(batch_folder).as_posix()
    try:
        record = read_json_object(folder / RECORD_FILE)
    except DataError:
        record = {}
    link = ""
    if folder.exists():
        link = quote("index.html" if name == "." else f"{name}/{PAGE_FILE}")
    return {
        "verification": verification,
        "fingerprint": str(record.get("fingerprint") or "")[:FINGERPRINT_CHARS],
        "started": str(record.get("started") or "")[:DATE_CHARS],
        "open_checks": [check for check in verification.checks if check.outcome not in PASSING_OUTCOMES],
        "link": link,
    }
