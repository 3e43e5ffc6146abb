"""The report about a file of claims: page, workbook, and the audits that the claims are checked against."""

from datetime import UTC, datetime

import openpyxl
import pytest

from rca_lib.batch.claim_report import check_claim_file, write_claim_report
from rca_lib.findings import DataError
from rca_lib.intake.ingest import ingest

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
AUDITS = 40


@pytest.fixture
def export(tmp_path):
    """An export of one site and month, with an error in a quarter of the audits."""
    rows = []
    for number in range(AUDITS):
        truth = "ok" if number % 4 else "spam"
        day = f"2026-02-0{number % 9 + 1}"
        rows.append(f"a{number},i{number},lisbon,r{number % 3},{day}T10:00:00Z,ok,{truth}")
    (tmp_path / "audits.csv").write_text("\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *rows]))
    return tmp_path / "audits.csv"


@pytest.fixture
def claims(tmp_path):
    (tmp_path / "claims.csv").write_text(
        "sentence,metric,scope,period,value\n"
        "=1+1<script>x</script>,accuracy,site=lisbon,2026-02,90 %\n"
        f"all audits,sample size,site=lisbon,2026-02,{AUDITS}\n"
    )
    return tmp_path / "claims.csv"


def test_no_text_of_a_claim_becomes_markup_or_a_formula(claims, export, tmp_path):
    checks = check_claim_file(claims, data=export)
    page, workbook = write_claim_report(checks, tmp_path / "out", audits="audits.csv", now=NOON)
    assert "<script>x" not in page.read_text()
    assert "&lt;script&gt;x" in page.read_text()
    sheet = openpyxl.load_workbook(workbook).active
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("=1+1<script>x</script>", "s")
    assert sheet["G2"].value == "wrong"


def test_the_audits_of_a_batch_give_the_same_result_as_the_export(claims, export, tmp_path):
    ingest(export, tmp_path / "batch" / "_audits")
    from_batch = check_claim_file(claims, batch=tmp_path / "batch")
    assert from_batch.to_frame().equals(check_claim_file(claims, data=export).to_frame())


def test_equal_results_give_equal_workbooks(claims, export, tmp_path):
    checks = check_claim_file(claims, data=export)
    contents = {write_claim_report(checks, tmp_path / name, audits="", now=NOON)[1].read_bytes() for name in ("a", "b")}
    assert len(contents) == 1


def test_claims_without_audits_are_an_error_with_a_hint(claims, tmp_path):
    with pytest.raises(DataError, match=r"no audits to check the claims against.*--data"):
        check_claim_file(claims, batch=tmp_path)
