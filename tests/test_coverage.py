"""What lost its audits is told: sites that vanished from an export or into quarantine, and exports refused."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from rca_lib.audits.ledger import Ledger
from rca_lib.reporting.coverage import tell_missing_site, tell_quarantine

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


def row(site, number, time="2026-01-05T10:00:00Z", truth="x"):
    return f"{site}{number},{number},{site},r,{time},x,{truth}"


def rows(site, count=10, month=1, truth="x"):
    return [
        row(site, f"{month}-{number}", f"2026-0{month}-0{number % 9 + 1}T10:00:00Z", truth) for number in range(count)
    ]


@pytest.fixture
def project(tmp_path):
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(SAVE)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "n.ipynb")

    def run(audits, *, status=0, keys="", options=()):
        text = "\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *audits])
        (tmp_path / "audits.csv").write_text(f"{text}\n")
        (tmp_path / "b.yml").write_text(BATCH + keys)
        command = [sys.executable, "-m", "rca_lib", "run", "b.yml", "--cold", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
        return done.stdout + done.stderr, (tmp_path / "reports" / "b" / "index.html").read_text()

    run.folder = tmp_path / "reports" / "b"
    return run


def test_a_site_that_vanishes_is_an_alarm_and_its_reports_are_marked_until_they_are_removed(project):
    said, page = project([*rows("lisbon"), *rows("manila")])
    assert "stale" not in page.partition("<body>")[2]
    kept = (project.folder / "manila" / "2026-01" / "report.html").read_bytes()
    said, page = project([*rows("lisbon"), *rows("manila", truth="")], status=1)
    assert "manila: all 10 rows of manila in the last export are quarantined" in said
    assert "50.0 % (10 of 20) of the rows of the export are quarantined" in said
    assert '<span class="verdict stale">stale</span>' in page and "1 stale report" in page
    assert "Stale: all 10 rows of manila in the last export are quarantined." in page
    assert (project.folder / "manila" / "2026-01" / "report.html").read_bytes() == kept
    said, page = project(rows("lisbon"), status=1, keys="sites: [lisbon, manila]\n")
    assert "manila: the last export holds no audits of manila; its earlier reports are marked as stale." in said
    assert "Stale: the last export holds no audits of manila." in page
    said, _ = project(rows("lisbon"), keys="sites: [lisbon]\n")
    assert "manila" not in said
    (project.folder / "manila").rename(project.folder.parent / "gone")
    said, page = project(rows("lisbon"))
    assert "manila" not in said + page


def test_a_site_that_never_had_a_report_is_an_alarm_where_all_its_rows_are_quarantined(project):
    said, _ = project([*rows("lisbon"), *rows("manila", truth="")], status=1)
    assert "manila: all 10 rows of manila in the last export are quarantined; it has no report." in said


def test_a_period_that_lost_its_audits_is_marked_and_one_before_the_export_is_not(project):
    project([*rows("lisbon", month=1), *rows("lisbon", month=2), *rows("lisbon", month=3)])
    _, page = project([*rows("lisbon", month=2), *rows("manila", month=3)])
    assert "Stale: the last export holds no audits of lisbon in 2026-03." in page
    assert page.count("Stale: ") == 1


def test_more_in_quarantine_than_the_limit_stops_the_batch_and_the_reports_stand(project):
    project(rows("lisbon"))
    before = (project.folder / "_audits" / "ledger.json").read_text()
    bad = [*rows("lisbon", 8), *rows("lisbon", 2, month=2, truth="")]
    said, page = project(bad, status=1, keys="max_quarantine: .1\n")
    assert "20.0 % (2 of 10) of the rows of the export are quarantined, over 10.0 %" in said
    assert "_refused/quarantine.csv" in said and "The last export was refused" in page and "20.0 %" in page
    assert (project.folder / "_audits" / "ledger.json").read_text() == before
    assert len((project.folder / "_refused" / "quarantine.csv").read_text().splitlines()) == 3
    assert not (project.folder / "_audits.new").exists()
    said, page = project(bad, keys="max_quarantine: .2\n")
    assert "The last export was refused" not in page and not (project.folder / "_refused").exists()
    said, page = project(bad, status=1, keys="max_quarantine: .1\n")
    assert json.loads((project.folder / "_refused" / "ledger.json").read_text())["quarantined"] == 2
    said, page = project(["?"], status=1)
    assert "The last export was refused" in page


def make_ledger(**counts):
    by_site = tuple((site, *pair) for site, pair in counts.items())
    kept, lost = (sum(row[place] for row in by_site) for place in (1, 2))
    sites = tuple(site for site, count, _ in by_site if count)
    return Ledger("a.csv", "", kept + lost, kept, lost, 0, 0, by_site=by_site, sites=sites)


def test_a_site_with_any_audit_is_not_missing_whatever_is_quarantined():
    ledger = make_ledger(lisbon=(1, 99), manila=(0, 3))
    assert tell_missing_site(ledger, "lisbon") == ""
    assert tell_missing_site(ledger, "manila") == "all 3 rows of manila in the last export are quarantined"
    assert tell_missing_site(ledger, "cebu") == "the last export holds no audits of cebu"


@pytest.mark.parametrize(("limit", "lines"), [(None, 2), (0.05, 2), (0.1, 1), (0.2, 0), (0.0, 3)])
def test_quarantine_is_told_where_it_is_over_the_limit_in_the_export_and_at_each_site(limit, lines):
    ledger = make_ledger(lisbon=(80, 20), manila=(100, 1), cebu=(9, 0))
    assert len(tell_quarantine(ledger, limit)) == lines


def test_raw_rows_that_a_killed_intake_left_are_cleared_by_the_next_run(project):
    left = project.folder / ".intake-abc123"
    left.mkdir(parents=True)
    (left / "intake.duckdb").write_text("raw rows")
    project(rows("lisbon"))
    assert not left.exists()
