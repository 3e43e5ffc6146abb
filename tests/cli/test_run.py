"""`rca run`: what it prints in a log file and as JSON. The batch itself is tested in tests/batch/test_batch_run.py."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = 'site: str = ""  # the site\nperiod: str = ""  # the period\noutput: str = ""  # the folder\n'
SAVE = (
    'from pathlib import Path\nfor name in ("findings", "claims"): _ = (Path(output) / f"{name}.json").write_text("{}")'
)
AUDITS = """\
audit_id,item_id,site,rater,decided_at,label,truth
a0,i0,Lisbon,r,2026-01-03T00:00:00Z,x,x
a1,i1,Lisbon,r,2026-02-03T00:00:00Z,x,x
a2,i2,Manila,r,2026-02-03T00:00:00Z,x,x
"""
BATCH = """\
batch: tiny
data: audits.csv
notebooks: {deep_dive: tiny.ipynb, intake: null, ground_truth: null, portfolio: null}
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a batch of three runs of a notebook that only saves."""
    cells = [
        new_markdown_cell("# Q"),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        new_code_cell(SAVE),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "tiny.ipynb")
    (tmp_path / "audits.csv").write_text(AUDITS)
    (tmp_path / "b.yml").write_text(BATCH)
    return tmp_path


def run(folder, *options):
    command = [sys.executable, "-m", "rca_lib", "run", "b.yml", *options]
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert process.returncode == 0, process.stderr
    return process


def test_a_log_file_gets_one_line_per_run_without_control_characters_and_json_gets_every_run(folder):
    assert "lisbon/2026-01: due, it has not run yet" in run(folder, "--list").stdout.lower()
    process = run(folder)
    assert "\x1b" not in process.stdout + process.stderr and "\r" not in process.stdout + process.stderr
    lines = process.stderr.splitlines()
    assert lines[0] == "Running notebooks: 3 to do"
    assert [line[:9] for line in lines[1:4]] == ["[1 of 3] ", "[2 of 3] ", "[3 of 3] "]
    assert sum("made in" in line for line in lines) == 3
    assert "3 of 3 runs succeeded." in process.stdout and "Open reports/tiny/index.html" in process.stdout
    result = json.loads(run(folder, "--json").stdout)
    assert result["status"] == 0 and [outcome["kept"] for outcome in result["runs"]] == [True] * 3
    assert result["runs"][0]["site"] == "Lisbon" and result["ledger"]["kept"] == 3
    listed = run(folder, "--list").stdout
    assert listed.count(": up to date") == 3 and "0 of 3 runs are due." in listed
