"""The store of a batch over several exports: lost sites, too much quarantine, and what the index says about them."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

PARAMETERS = 'site: str = ""\nperiod: str = ""\noutput: str = ""\n'
SAVE = """\
import json, pathlib
words = {"headline": f"Of {site}.", "verdict": "steady", "accuracy": "90 %", "findings": [], "site": site}
_ = (pathlib.Path(output) / "findings.json").write_text(json.dumps(words))
_ = (pathlib.Path(output) / "claims.json").write_text("{}")
"""
BATCH = (
    "batch: b\ndata: audits.csv\nnotebooks: {deep_dive: n.ipynb, intake: null, ground_truth: null, portfolio: null}\n"
)
HEADER = "audit_id,item_id,site,rater,decided_at,label,truth"


def make_rows(site, count=10, month=1, truth="x"):
    """Return lines of an export; an empty truth makes them be quarantined."""
    return [
        f"{site}{month}-{number},{month}-{number},{site},r,2026-0{month}-0{number % 9 + 1}T10:00:00Z,x,{truth}"
        for number in range(count)
    ]


@pytest.fixture
def project(tmp_path):
    """Return a function that runs a batch on an export, and returns what it printed and its index."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(SAVE)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "n.ipynb")

    def run(rows, *, status=0, keys=""):
        (tmp_path / "audits.csv").write_text("\n".join([HEADER, *rows]) + "\n")
        (tmp_path / "b.yml").write_text(BATCH + keys)
        command = [sys.executable, "-m", "rca_lib", "run", "b.yml", "--cold"]
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (process.returncode, "Traceback" in process.stderr) == (status, False), process.stderr
        return process.stdout + process.stderr, (tmp_path / "reports" / "b" / "index.html").read_text()

    run.folder = tmp_path / "reports" / "b"
    return run


def test_a_site_that_vanishes_raises_an_alarm_and_its_reports_are_stale_until_they_are_removed(project):
    _, index = project([*make_rows("lisbon"), *make_rows("manila")])
    assert "stale" not in index.partition("<body>")[2]
    report = (project.folder / "manila" / "2026-01" / "report.html").read_bytes()
    printed, index = project([*make_rows("lisbon"), *make_rows("manila", truth="")], status=1)
    assert "manila: all 10 rows of manila in the last export are quarantined" in printed
    assert "50.0 % (10 of 20) of the rows of the export are quarantined" in printed
    assert '<span class="verdict stale">stale</span>' in index and "1 stale report" in index
    assert "Stale: all 10 rows of manila in the last export are quarantined." in index
    assert (project.folder / "manila" / "2026-01" / "report.html").read_bytes() == report
    printed, index = project(make_rows("lisbon"), status=1, keys="sites: [lisbon, manila]\n")
    assert "manila: the last export contains no audits of manila; its earlier reports are marked as stale." in printed
    assert "Stale: the last export contains no audits of manila." in index
    printed, _ = project(make_rows("lisbon"), keys="sites: [lisbon]\n")
    assert "manila" not in printed
    (project.folder / "manila").rename(project.folder.parent / "gone")
    printed, index = project(make_rows("lisbon"))
    assert "manila" not in printed + index


def test_a_site_without_reports_raises_an_alarm_if_all_its_rows_are_quarantined(project):
    printed, _ = project([*make_rows("lisbon"), *make_rows("manila", truth="")], status=1)
    assert "manila: all 10 rows of manila in the last export are quarantined; it has no report." in printed


def test_a_period_that_lost_its_audits_is_stale_and_one_before_the_export_is_not(project):
    project([*make_rows("lisbon", month=1), *make_rows("lisbon", month=2), *make_rows("lisbon", month=3)])
    _, index = project([*make_rows("lisbon", month=2), *make_rows("manila", month=3)])
    assert "Stale: the last export contains no audits of lisbon in 2026-03." in index
    assert index.count("Stale: ") == 1


def test_more_quarantine_than_allowed_stops_the_batch_and_keeps_the_reports(project):
    project(make_rows("lisbon"))
    ledger = (project.folder / "_audits" / "ledger.json").read_text()
    rows = [*make_rows("lisbon", 8), *make_rows("lisbon", 2, month=2, truth="")]
    printed, index = project(rows, status=1, keys="max_quarantine: .1\n")
    assert "20.0 % (2 of 10) of the rows of the export are quarantined, above 10.0 %" in printed
    assert "_refused/quarantine.csv" in printed and "The last export was rejected" in index and "20.0 %" in index
    assert (project.folder / "_audits" / "ledger.json").read_text() == ledger
    assert len((project.folder / "_refused" / "quarantine.csv").read_text().splitlines()) == 3
    assert not (project.folder / "_audits.new").exists()
    _, index = project(rows, keys="max_quarantine: .2\n")
    assert "The last export was rejected" not in index and not (project.folder / "_refused").exists()
    project(rows, status=1, keys="max_quarantine: .1\n")
    assert json.loads((project.folder / "_refused" / "ledger.json").read_text())["quarantined"] == 2
    _, index = project(["?"], status=1)
    assert "The last export was rejected" in index


def test_raw_rows_that_a_killed_ingestion_left_are_removed_by_the_next_run(project):
    folder = project.folder / ".intake-abc123"
    folder.mkdir(parents=True)
    (folder / "intake.duckdb").write_text("raw rows")
    project(make_rows("lisbon"))
    assert not folder.exists()
