"""The signed record of a verification: what was verified, with a hash of every file, so that later changes show.

The signature is an HMAC-SHA256 (RFC 2104) with a key that whoever signs and whoever checks both hold. It says that the
record was written by somebody who holds the key; it does not say who, and whoever can check it could have written it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rca_lib.batch.job import MANIFEST, STORE
from rca_lib.batch.records import RECORD, hash_file, hash_library, list_versions, read_commit
from rca_lib.findings import DataError
from rca_lib.reporting.html import replace_page
from rca_lib.reporting.verification import Check, Verification, read_mapping_of

KEY = "RCA_SIGNING_KEY"
SHORTEST = 16  # bytes of a key: below, it can be guessed
ALGORITHM = "HMAC-SHA256"


def read_key() -> bytes | None:
    """Return the key for signatures from the environment variable RCA_SIGNING_KEY, None where it is not set.

    Raises
    ------
    DataError
        If it has fewer than 16 bytes. The message does not hold the key.
    """
    key = os.environ.get(KEY, "").encode("utf-8", "surrogateescape")
    if key and len(key) < SHORTEST:
        hint = 'take a random one: python -c "import secrets; print(secrets.token_hex(32))"'
        raise DataError(f"{KEY} has fewer than {SHORTEST} bytes", mend=hint)
    return key or None


def write_manifest(
    folder: Path, verifications: Sequence[Verification], *, source: str, now: datetime, key: bytes | None
) -> Path:
    """Write what was verified beside a certificate, signed where there is a key.

    Parameters
    ----------
    folder
        The batch's folder; its certificate stands there already.
    verifications
        What came of each report.
    source
        What they were derived from, in words.
    now
        The moment of the verification.
    key
        The key, or None for a record without a signature.
    """
    manifest = {
        "time": now.isoformat(timespec="seconds"),
        "source": source,
        "library": hash_library(),
        "version": list_versions()["rca-lib"],
        "commit": read_commit(),
        "reports": [_tell(folder, verification) for verification in verifications],
        "files": dict(_hash_files(folder)),
    }
    signature = {"algorithm": ALGORITHM, "value": sign(manifest, key)} if key else None
    text = json.dumps({"manifest": manifest, "signature": signature}, indent=1) + "\n"
    return replace_page(folder / MANIFEST, text)


def sign(manifest: object, key: bytes) -> str:
    """Return the HMAC-SHA256 of a manifest in its canonical form: JSON with sorted keys, no blanks, ASCII only.

    Examples
    --------
    >>> sign({"b": 1, "a": "ä"}, b"k" * 16) == sign({"a": "ä", "b": 1}, b"k" * 16)
    True
    """
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, canonical.encode("ascii"), hashlib.sha256).hexdigest()


def check_signature(folder: Path) -> Verification:
    """Check the signed record of a batch: the signature, and whether every file is still the one that was verified.

    Nothing is derived again. What the record says of the reports is handed on: one that was not verified then is
    "wrong" here, too.

    Raises
    ------
    DataError
        If there is no record or no key.
    """
    key = read_key()
    if key is None:
        raise DataError(f"{KEY} is not set", mend="set it to the key that the certificate was signed with")
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder} holds no {MANIFEST}", mend="run rca verify on the folder of a batch first")
    checks = [*_check(folder, key)]
    if all(check.outcome == "exact" for check in checks):
        manifest = read_mapping_of(folder / MANIFEST)["manifest"]
        outcomes = {"verified": "exact", "not checkable": "not checkable"}
        for report in manifest["reports"]:
            outcome = outcomes.get(report["verdict"], "wrong")
            about = f"verified on {manifest['time']} from {manifest['source']}"
            checks.append(Check(str(report["title"]), outcome, report["verdict"], about, "signature"))
    return Verification(str(folder), tuple(checks), "Signed certificate", ("nothing was derived again",))


def check_earlier(folder: Path) -> tuple[list[Check], tuple[str, ...]]:
    """Check the signed record of an earlier verification; return also what is not covered without signature or key.

    Raises
    ------
    DataError
        If the key is too short.
    """
    key = read_key()
    if not (folder / MANIFEST).exists():
        return [], ()
    try:
        signed = read_mapping_of(folder / MANIFEST).get("signature") is not None
    except DataError as problem:
        return [Check(MANIFEST, "wrong", str(problem), "the record of an earlier verification", "signature")], ()
    if not signed:
        return [], ("the certificate that stood there: it is not signed",)
    if key is None:
        return [], (f"the signature of the certificate that stood there: {KEY} is not set",)
    return [*_check(folder, key)], ()


def _check(folder: Path, key: bytes) -> Iterator[Check]:
    try:
        content = read_mapping_of(folder / MANIFEST)
        manifest, signature = content.get("manifest"), content.get("signature")
        value = signature.get("value") if isinstance(signature, dict) else None
        right = isinstance(value, str) and value.isascii() and hmac.compare_digest(value, sign(manifest, key))
    except (DataError, ValueError, RecursionError) as problem:
        yield Check(MANIFEST, "wrong", str(problem), "a signed record", "signature")
        return
    if not right:
        told = "no signature" if value is None else "a signature of another key or another content"
        yield Check("signature", "wrong", told, "the signature of the key in the environment", "signature")
        return
    yield Check("signature", "exact", ALGORITHM, ALGORITHM, "signature")
    stated, actual = dict(manifest["files"]), dict(_hash_files(folder))
    for name in sorted({*stated, *actual}):
        if stated.get(name) != actual.get(name):
            found = "changed" if name in stated and name in actual else "added" if name in actual else "missing"
            yield Check(name, "wrong", f"{found} since {manifest['time']}", "as it was verified", "signature")
    yield Check("files", "exact", f"{len(actual)} files", f"a SHA-256 of each as of {manifest['time']}", "signature")


def _tell(folder: Path, verification: Verification) -> dict[str, Any]:
    place = Path(verification.folder)
    record: dict[str, Any] = {}
    if (place / RECORD).exists():
        try:
            record = read_mapping_of(place / RECORD)
        except DataError:
            record = {}
    return {
        "folder": place.relative_to(folder).as_posix(),
        "title": verification.title,
        **{name: record.get(name) for name in ("site", "period", "fingerprint", "started")},
        "verdict": verification.verdict,
        "counts": verification.counts(),
        "not_covered": list(verification.not_covered),
    }


def _hash_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Give the hash of every file of a batch but the store, the record itself and hidden files."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or name.parts[0] == STORE or name.as_posix() == MANIFEST:
            continue
        if path.is_symlink():
            yield name.as_posix(), "a link"
        elif path.is_file():
            yield name.as_posix(), hash_file(path)
