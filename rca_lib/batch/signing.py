"""The signed manifest of a verification: its results and a hash of every file, so that later changes are detected.

The signature is an HMAC-SHA256 (RFC 2104) with a key that the signer and the checker share. It proves that somebody who
holds the key wrote the manifest. It does not prove who: everybody who can check it could have written it.

References
----------
Krawczyk, Bellare and Canetti (1997), "HMAC: Keyed-Hashing for Message Authentication", RFC 2104.
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

from rca_lib.batch.batch_run import MANIFEST_FILE
from rca_lib.batch.run_records import RECORD_FILE, hash_library, list_versions, read_commit
from rca_lib.findings import DataError
from rca_lib.io.hashing import compute_sha256
from rca_lib.reporting.html import write_file_atomically
from rca_lib.reporting.missing_data import STORE_FOLDER
from rca_lib.reporting.verification import CheckOutcome, Verification, VerificationCheck, read_json_object

KEY_VARIABLE = "RCA_SIGNING_KEY"
MIN_KEY_BYTES = 16  # a shorter key can be guessed
ALGORITHM = "HMAC-SHA256"
KEY_HINT = 'use a random one: python -c "import secrets; print(secrets.token_hex(32))"'
OUTCOMES_BY_VERDICT: dict[str, CheckOutcome] = {"verified": "exact", "not checkable": "not checkable"}


def read_key() -> bytes | None:
    """Return the signing key from the environment variable RCA_SIGNING_KEY; None if it is not set.

    Raises
    ------
    DataError
        If the key has fewer than `MIN_KEY_BYTES` bytes. The message does not contain it.
    """
    key = os.environ.get(KEY_VARIABLE, "").encode("utf-8", "surrogateescape")
    if key and len(key) < MIN_KEY_BYTES:
        raise DataError(f"{KEY_VARIABLE} has fewer than {MIN_KEY_BYTES} bytes", hint=KEY_HINT)
    return key or None


def write_manifest(
    folder: Path, verifications: Sequence[Verification], *, source: str, now: datetime, key: bytes | None
) -> Path:
    """Write the manifest of a verification, signed if there is a key.

    Parameters
    ----------
    folder
        The batch's folder, which already contains the certificate.
    verifications
        The result of each report.
    source
        What the reports were derived from, in words.
    now
        The time of the verification.
    key
        The key; None for a manifest without a signature.

    Returns
    -------
    Path
        The file.
    """
    manifest = {
        "time": now.isoformat(timespec="seconds"),
        "source": source,
        "library": hash_library(),
        "version": list_versions()["rca-lib"],
        "commit": read_commit(),
        "reports": [_describe_report(folder, verification) for verification in verifications],
        "files": dict(_hash_files(folder)),
    }
    signature = {"algorithm": ALGORITHM, "value": sign_manifest(manifest, key)} if key else None
    text = json.dumps({"manifest": manifest, "signature": signature}, indent=1) + "\n"
    return write_file_atomically(folder / MANIFEST_FILE, text)


def sign_manifest(manifest: object, key: bytes) -> str:
    """Return the HMAC-SHA256 of a manifest in canonical form: JSON with sorted keys, no blanks, ASCII only.

    Examples
    --------
    >>> sign_manifest({"b": 1, "a": "ä"}, b"k" * 16) == sign_manifest({"a": "ä", "b": 1}, b"k" * 16)
    True
    """
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, canonical.encode("ascii"), hashlib.sha256).hexdigest()


def check_signature(folder: Path) -> Verification:
    """Check the signed manifest of a batch: the signature, and whether each file is still the one that was verified.

    Nothing is derived again. The verdicts of the manifest are repeated: a report that was not verified then is "wrong"
    here, too.

    Parameters
    ----------
    folder
        The batch's folder.

    Returns
    -------
    Verification
        A check of the signature, and one per file of the manifest.

    Raises
    ------
    DataError
        If there is no manifest or no key.
    """
    key = read_key()
    if key is None:
        raise DataError(f"{KEY_VARIABLE} is not set", hint="set it to the key that the certificate was signed with")
    if not (folder / MANIFEST_FILE).exists():
        raise DataError(f"{folder} contains no {MANIFEST_FILE}", hint="run rca verify on the folder of a batch first")
    checks = list(_check_manifest(folder, key))
    if all(check.outcome == "exact" for check in checks):
        manifest = read_json_object(folder / MANIFEST_FILE)["manifest"]
        derived = f"verified on {manifest['time']} from {manifest['source']}"
        for report in manifest["reports"]:
            verdict = report["verdict"]
            outcome = OUTCOMES_BY_VERDICT.get(verdict, "wrong")
            checks.append(VerificationCheck(str(report["title"]), outcome, verdict, derived, "signature"))
    return Verification(str(folder), tuple(checks), "Signed certificate", ("nothing was derived again",))


def check_previous_certificate(folder: Path) -> tuple[list[VerificationCheck], tuple[str, ...]]:
    """Check the manifest of an earlier verification.

    Parameters
    ----------
    folder
        The batch's folder.

    Returns
    -------
    list of VerificationCheck, tuple of str
        The checks, and what is not covered because there is no signature or no key.

    Raises
    ------
    DataError
        If the key is too short.
    """
    key = read_key()
    if not (folder / MANIFEST_FILE).exists():
        return [], ()
    try:
        is_signed = read_json_object(folder / MANIFEST_FILE).get("signature") is not None
    except DataError as problem:
        expected = "the manifest of an earlier verification"
        return [VerificationCheck(MANIFEST_FILE, "wrong", str(problem), expected, "signature")], ()
    if not is_signed:
        return [], ("the earlier certificate: it is not signed",)
    if key is None:
        return [], (f"the signature of the earlier certificate: {KEY_VARIABLE} is not set",)
    return list(_check_manifest(folder, key)), ()


def _check_manifest(folder: Path, key: bytes) -> Iterator[VerificationCheck]:
    try:
        content = read_json_object(folder / MANIFEST_FILE)
        manifest: Any = content.get("manifest")
        signature = content.get("signature")
        value = signature.get("value") if isinstance(signature, dict) else None
        is_valid = (
            isinstance(value, str) and value.isascii() and hmac.compare_digest(value, sign_manifest(manifest, key))
        )
    except (DataError, ValueError, RecursionError) as problem:
        yield VerificationCheck(MANIFEST_FILE, "wrong", str(problem), "a signed manifest", "signature")
        return
    if not is_valid:
        reported = "no signature" if value is None else "a signature with another key or of another content"
        yield VerificationCheck(
            "signature", "wrong", reported, "the signature with the key of RCA_SIGNING_KEY", "signature"
        )
        return
    yield VerificationCheck("signature", "exact", ALGORITHM, ALGORITHM, "signature")
    yield from _compare_files(manifest["files"], dict(_hash_files(folder)), manifest["time"])


def _compare_files(verified: dict[str, str], actual: dict[str, str], time: str) -> Iterator[VerificationCheck]:
    """Yield a check per file that changed since the verification, and one for all files."""
    for name in sorted({*verified, *actual}):
        if verified.get(name) != actual.get(name):
            change = "changed" if name in verified else "added"
            if name not in actual:
                change = "missing"
            yield VerificationCheck(name, "wrong", f"{change} since {time}", "as it was verified", "signature")
    yield VerificationCheck("files", "exact", f"{len(actual)} files", f"a SHA-256 of each as of {time}", "signature")


def _describe_report(batch_folder: Path, verification: Verification) -> dict[str, Any]:
    folder = Path(verification.folder)
    record: dict[str, Any] = {}
    if (folder / RECORD_FILE).exists():
        try:
            record = read_json_object(folder / RECORD_FILE)
        except DataError:
            record = {}
    return {
        "folder": folder.relative_to(batch_folder).as_posix(),
        "title": verification.title,
        **{name: record.get(name) for name in ("site", "period", "fingerprint", "started")},
        "verdict": verification.verdict,
        "counts": verification.counts(),
        "not_covered": list(verification.not_covered),
    }


def _hash_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and hash of each file of a batch, except the store, the manifest and hidden files."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if is_hidden or name.parts[0] == STORE_FOLDER or name.as_posix() == MANIFEST_FILE:
            continue
        if path.is_symlink():
            yield name.as_posix(), "a link"
        elif path.is_file():
            yield name.as_posix(), compute_sha256(path)
