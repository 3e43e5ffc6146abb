"""The signed manifest, and the certificate beside it: every later change is detected, and the key is never printed."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rca_lib.batch.certificate import write_certificate
from rca_lib.batch.signing import check_signature
from rca_lib.findings import DataError

KEY = "a key of more than sixteen bytes"
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


def list_wrong(verification):
    return {check.id for check in verification.checks if check.outcome == "wrong"}


def test_a_signed_certificate_detects_every_later_change(small_batch, verified, tmp_path, monkeypatch):
    folder = tmp_path / "small"
    shutil.copytree(small_batch, folder)
    monkeypatch.setenv("RCA_SIGNING_KEY", KEY)
    reports = tuple(
        replace(report, folder=str(folder / Path(report.folder).relative_to(small_batch)))
        for report in verified.verifications
    )
    copied = type(verified)(folder, True, True, verified.source, reports)
    page = write_certificate(copied, now=NOON)
    assert KEY not in page.read_text() + (folder / "certificate.json").read_text()
    assert "HMAC-SHA256" in page.read_text()
    assert check_signature(folder).verdict == "verified"
    for name in ("lisbon/2026-01/report.html", "certificate.html", "index.html"):
        text = (folder / name).read_text()
        (folder / name).write_text(text + " ")
        assert name in list_wrong(check_signature(folder))
        (folder / name).write_text(text)
    (folder / "lisbon/2026-01/claims.json").rename(tmp_path / "claims.json")
    assert "lisbon/2026-01/claims.json" in list_wrong(check_signature(folder))
    (tmp_path / "claims.json").rename(folder / "lisbon/2026-01/claims.json")
    content = json.loads((folder / "certificate.json").read_text())
    content["manifest"]["reports"][0]["verdict"] = "better than verified"
    (folder / "certificate.json").write_text(json.dumps(content))
    assert list_wrong(check_signature(folder)) == {"signature"}
    monkeypatch.setenv("RCA_SIGNING_KEY", "another key of sixteen bytes")
    assert list_wrong(check_signature(folder)) == {"signature"}


def test_a_short_key_is_refused_and_not_printed(small_batch, verified, monkeypatch):
    monkeypatch.setenv("RCA_SIGNING_KEY", "secret")
    with pytest.raises(DataError, match="fewer than 16 bytes") as error:
        check_signature(small_batch)
    assert "secret " not in str(error.value)
