"""The page that certifies what a verification came to: what was checked, what was not, and what is wrong."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from rca_lib.batch.comparison import OF_TIME
from rca_lib.batch.job import CERTIFICATE
from rca_lib.batch.records import PAGE, RECORD, hash_library, list_versions, read_commit
from rca_lib.batch.signing import ALGORITHM, read_key, write_manifest
from rca_lib.batch.verifying import VerifiedBatch
from rca_lib.findings import DataError
from rca_lib.reporting.html import fill_template, replace_page
from rca_lib.reporting.verification import GOOD, Verification, count_verdicts, read_mapping_of


def write_certificate(batch: VerifiedBatch, *, now: datetime) -> Path | None:
    """Write into a batch's folder which of its reports were verified, from what, by what; signed where there is a key.

    Parameters
    ----------
    batch
        What came of the verification.
    now
        Its moment.

    Returns
    -------
    Path or None
        The page; None, and nothing is written, where only a part of the batch was verified.

    Raises
    ------
    DataError
        If the key for the signature is too short.
    OSError
        If the folder cannot be written.
    """
    if not batch.whole:
        return None
    key = read_key()
    page = fill_template(
        "certificate.html.j2",
        title="Certificate",
        footer=f"Written by rca verify on {now:%Y-%m-%d at %H:%M} UTC.",
        rows=[_row(batch.folder, verification) for verification in batch.verifications],
        counts=count_verdicts(batch.verifications),
        source=batch.source,
        made=f"rca_lib {list_versions()['rca-lib']}, commit {read_commit() or 'unknown'}",
        library=hash_library(),
        algorithm=ALGORITHM if key else "",
        left=sorted({left for verification in batch.verifications for left in verification.not_covered} - {OF_TIME}),
        of_time=OF_TIME,
        planned=batch.planned,
    )
    certificate = replace_page(batch.folder / CERTIFICATE, page)
    write_manifest(batch.folder, batch.verifications, source=batch.source, now=now, key=key)
    return certificate


def _row(folder: Path, verification: Verification) -> dict[str, object]:
    place = Path(verification.folder)
    name = place.relative_to(folder).as_posix()
    try:
        record = read_mapping_of(place / RECORD)
    except DataError:
        record = {}
    return {
        "verification": verification,
        "told": {key: str(record.get(key) or "")[:length] for key, length in (("fingerprint", 12), ("started", 10))},
        "open": [check for check in verification.checks if check.outcome not in GOOD],
        "link": quote("index.html" if name == "." else f"{name}/{PAGE}") if place.exists() else "",
    }
