"""Records of runs: a report is up to date only while its inputs and its files are unchanged."""

import os
from dataclasses import replace

import pytest

from rca_lib.batch.run_records import (
    Failure,
    RunOutcome,
    find_rerun_reason,
    hash_run_inputs,
    is_intact,
    read_outcome,
    read_record,
)


def explain_rerun(run, out):
    return find_rerun_reason(run, out, hash_run_inputs(run, out))


def test_a_report_is_up_to_date_while_nothing_changed(run, make_report, tmp_path):
    assert explain_rerun(run, tmp_path) == "it has not run yet"
    assert make_report(run, tmp_path) == RunOutcome(run, "succeeded", 1.23, attempt=2)
    assert explain_rerun(run, tmp_path) == ""
    assert read_outcome(run, tmp_path, kept=True).kept


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fingerprint": "f2"}, "the data changed"),
        ({"parameters": {"alpha": 0.01}}, "a parameter changed"),
        ({"folder": "c/2026-01"}, "it has not run yet"),
        ({"before": "b/2025-12"}, "the report of the previous period changed"),
        ({"stage": 1}, "the reports that it reads changed"),
    ],
)
def test_a_changed_input_makes_a_report_due(run, make_report, tmp_path, change, reason):
    make_report(run, tmp_path)
    make_report(replace(run, folder="b/2025-12"), tmp_path)
    assert explain_rerun(replace(run, **change), tmp_path) == reason


def test_a_report_without_a_fingerprint_of_its_data_is_always_due(run, make_report, tmp_path):
    run = replace(run, fingerprint="")
    make_report(run, tmp_path)
    assert explain_rerun(run, tmp_path) == "it is not known whether the data changed"


def test_a_changed_notebook_makes_a_report_due(run, make_report, tmp_path):
    make_report(run, tmp_path)
    run.notebook.write_text("{ }")
    assert explain_rerun(run, tmp_path) == "the notebook changed"


def test_another_version_of_the_library_or_a_package_makes_a_report_due(run, make_report, tmp_path):
    make_report(run, tmp_path)
    inputs = hash_run_inputs(run, tmp_path)
    assert find_rerun_reason(run, tmp_path, inputs | {"library": ""}) == "rca_lib changed"
    assert find_rerun_reason(run, tmp_path, inputs | {"packages": ""}) == "the version of a package changed"


@pytest.mark.parametrize("name", ["claims.json", "report.html", "run.json"])
@pytest.mark.parametrize("text", [None, "tampered", "[]"])
def test_a_changed_or_missing_file_makes_a_report_due(run, make_report, tmp_path, name, text):
    make_report(run, tmp_path)
    file = tmp_path / run.folder / name
    if name == "claims.json" and text == "[]":
        text = "[ ]"
    file.unlink() if text is None else file.write_text(text)
    reason = "it has not run yet" if name == "run.json" else "its files were changed"
    assert explain_rerun(run, tmp_path) == reason


def test_a_failed_run_is_due(run, make_report, tmp_path):
    outcome = make_report(run, tmp_path, failure=Failure("ValueError", "no\ncolumn", 3))
    assert (outcome.outcome, outcome.error) == ("failed", "cell 3: ValueError: no column")
    assert explain_rerun(run, tmp_path) == "its last run failed"


def test_a_file_with_a_forged_time_is_detected_if_times_are_not_trusted(run, make_report, tmp_path):
    make_report(run, tmp_path)
    folder = tmp_path / run.folder
    (folder / "claims.json").write_text("[ ]")
    os.utime(folder / "claims.json", ns=(0, 0))
    assert explain_rerun(run, tmp_path) == ""
    assert not is_intact(folder, read_record(folder))
