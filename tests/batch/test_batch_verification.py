"""Verification of a batch: reports are made again, and every difference is detected or listed as not covered.

The source of the audits (`verification_source`) and the search for reports (`report_folders`) are tested here as well,
the comparison of single reports in `test_report_comparison`.
"""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from rca_lib.batch.batch_file import NOTEBOOK_FOLDER
from rca_lib.batch.batch_run import run_batch
from rca_lib.batch.batch_verification import verify_folder, verify_report
from rca_lib.batch.certificate import write_certificate
from rca_lib.batch.plan import PLAN_FILE
from rca_lib.batch.report_comparison import EARLIER_RUN_NOTE
from rca_lib.batch.report_folders import list_report_folders
from rca_lib.store.ingest_history import read_ingest_history

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
DEEP_DIVE = "lisbon/2026-02"


def list_wrong(verification):
    return {check.id for check in verification.checks if check.outcome == "wrong"}


def test_every_page_of_a_new_batch_is_fully_verified(verified):
    folders = [Path(report.folder).relative_to(verified.folder).as_posix() for report in verified.verifications]
    assert folders == [
        ".", "_ground_truth", "_intake", "_portfolio", "lisbon/2026-01", "lisbon/2026-02", "manila/2026-01",
        "manila/2026-02",
    ]  # fmt: skip
    for verification in verified.verifications:
        assert verification.verdict == "verified", verification.summary()
        assert set(verification.to_frame()["outcome"]) == {"exact"}
        assert not any("report is missing" in note for note in verification.not_covered)


def test_reports_stay_verified_when_the_export_gets_longer(extended_small_batch, small_export):
    content = json.loads((extended_small_batch / "manila/2026-01/claims.json").read_text(encoding="utf-8"))
    assert any(re.search(r"\d+ rows of this site read", claim["sentence"]) for claim in content["claims"])
    assert read_ingest_history(extended_small_batch / "_audits")[0].ledger.rows_read == 1600
    assert verify_report(extended_small_batch / "manila/2026-01").verdict == "verified"


def test_counts_of_another_export_are_not_checkable_and_never_verified(extended_small_batch, small_workspace):
    (other_export,) = (small_workspace / "months-3").glob("audits.csv")
    verification = verify_report(extended_small_batch / "manila/2026-01", data=other_export)
    open_checks = [check for check in verification.checks if check.outcome != "exact"]
    assert {check.outcome for check in open_checks} == {"not checkable"}
    assert verification.verdict == "not checkable"
    assert {check.id for check in open_checks} == {"data-used-1"}
    assert "another export" in open_checks[0].derived


def test_ingesting_the_same_export_again_gives_the_same_report(small_batch, small_export, small_workspace):
    assert verify_report(small_batch / DEEP_DIVE, data=small_export).verdict == "verified"
    assert verify_report(small_batch / "_intake", data=small_export).verdict == "verified"
    assert (
        verify_report(
            small_batch / "lisbon/2026-01", data=small_export, batch_file=small_workspace / "small.yml"
        ).verdict
        == "verified"
    )


def test_statements_about_an_earlier_run_are_listed_as_not_covered(extended_small_batch):
    assert (extended_small_batch / "lisbon/2026-02/before.json").exists()
    verification = verify_report(extended_small_batch / "lisbon/2026-02")
    assert verification.verdict == "verified"
    assert EARLIER_RUN_NOTE in verification.not_covered


def test_swapped_missing_and_foreign_reports_and_a_forged_index_are_detected(small_batch, tmp_path, keep_in_plan):
    folder = tmp_path / "small"
    shutil.copytree(small_batch, folder)
    for all_sites_report in folder.glob("_[!a]*"):
        shutil.rmtree(all_sites_report)
    keep_in_plan(folder, *list_report_folders(folder))
    shutil.rmtree(folder / "manila/2026-02")
    shutil.copytree(folder / "lisbon/2026-02", folder / "manila/2026-02")
    shutil.rmtree(folder / "lisbon/2026-01")
    shutil.copytree(folder / "manila/2026-01", folder / "porto/2026-01")
    (folder / "index.html").write_text(
        (folder / "index.html").read_text().replace("small", "best").replace("<h1>", "<h1>x")
    )
    (folder / "summary.html").write_text("All is well.")
    (verified,) = verify_folder(folder, workers=2)
    reports = {Path(report.folder).relative_to(folder).as_posix(): report for report in verified.verifications}
    assert {"site", "folder", "fingerprint", "page one", "report.html"} <= list_wrong(reports["manila/2026-02"])
    assert [check.reported for check in reports["lisbon/2026-01"].checks] == ["missing"]
    assert list_wrong(reports["porto/2026-01"]) == {"report"}
    assert "index.html" in list_wrong(reports["."])
    assert "summary.html" in {check.id for check in reports["."].checks if check.outcome == "not checkable"}
    assert reports["manila/2026-01"].verdict == "verified"
    page = write_certificate(verified, now=NOON).read_text(encoding="utf-8")
    assert "4 not verified" in page and "2026-03-09" in page
    assert "All is well" not in page and "<script" not in page


def test_a_changed_row_of_the_store_is_detected(small_batch, tmp_path):
    folder = tmp_path / "small"
    shutil.copytree(small_batch, folder)
    file = folder / "_audits/site=lisbon/month=2026-01/audits.parquet"
    rows = duckdb.connect().sql(f"select * replace (1 - error as error) from '{file}'")
    rows.write_parquet(f"{file}.new")
    Path(f"{file}.new").rename(file)
    assert {"fingerprint", "how-much-1", "page one"} <= list_wrong(verify_report(folder / "lisbon/2026-01"))


def test_two_batches_in_a_folder_are_each_checked_against_their_own_store(small_batch, extended_small_batch, tmp_path):
    for name, origin in (("first", small_batch), ("second", extended_small_batch)):
        shutil.copytree(origin / "_audits", tmp_path / name / "_audits")
        (tmp_path / name / "_audits" / PLAN_FILE).unlink()
        shutil.copytree(origin / "lisbon/2026-01", tmp_path / name / "lisbon/2026-01")
    first, second = verify_folder(tmp_path)
    assert (first.folder.name, second.folder.name) == ("first", "second")
    for verified in (first, second):
        assert verified.verifications[1].verdict == "verified"
        assert any("the store holds no plan" in note for note in verified.verifications[0].not_covered)


def test_reports_without_their_audits_are_not_checkable(small_batch, tmp_path):
    shutil.copytree(small_batch, tmp_path / "small")
    shutil.rmtree(tmp_path / "small/_audits/site=lisbon")
    verification = verify_report(tmp_path / "small/lisbon/2026-01")
    assert verification.verdict == "not checkable"
    assert "how-much-1" in {check.id for check in verification.checks}


def test_a_notebook_of_an_analyst_runs_again_only_if_it_is_trusted(small_export, tmp_path):
    notebook = tmp_path / "own_dive.ipynb"
    source = (NOTEBOOK_FOLDER / "10_deep_dive.ipynb").read_text(encoding="utf-8")
    changed = source.replace("case.current, case.dimensions, alpha=alpha", 'case.current, [\\"queue\\"], alpha=alpha')
    assert changed != source
    notebook.write_text(changed, encoding="utf-8")
    (tmp_path / "own.yml").write_text(
        "batch: own\nperiods: [2026-02]\nsites: [lisbon]\n"
        "notebooks: {deep_dive: own_dive.ipynb, ground_truth: null, portfolio: null, intake: null}\n",
        encoding="utf-8",
    )
    run_batch(tmp_path / "own.yml", data=small_export, reports=tmp_path, workers=1)
    report = tmp_path / "own" / DEEP_DIVE
    untrusted = verify_report(report)
    assert untrusted.verdict != "verified"
    assert any("--trust-notebook" in check.derived for check in untrusted.checks)
    ((trusted,),) = (batch.verifications for batch in verify_folder(report, trusted_notebooks=[notebook]))
    assert trusted.verdict == "verified", trusted.to_frame().to_string()
    notebook.write_text(changed.replace('\\"queue\\"', '\\"policy\\"'), encoding="utf-8")
    ((other,),) = (batch.verifications for batch in verify_folder(report, trusted_notebooks=[notebook]))
    assert other.verdict != "verified"
