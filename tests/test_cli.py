import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import rca_lib

CELL = 'site: str = ""  # the site\nperiod: str = ""  # the period\noutput: str = ""  # the folder\n'
SAVE = (
    'from pathlib import Path\nfor name in ("findings", "claims"): _ = (Path(output) / f"{name}.json").write_text("{}")'
)


def rca(*words, folder):
    done = subprocess.run(
        [sys.executable, "-m", "rca_lib", *map(str, words)], capture_output=True, text=True, cwd=folder
    )
    assert "Traceback" not in done.stderr
    return done


def test_simulate_writes_an_export_that_check_takes_in(tmp_path):
    done = rca("simulate", tmp_path / "out", folder=tmp_path)
    assert done.returncode == 0 and "policy_update" in done.stdout
    done = rca("check", tmp_path / "out" / "audits.csv", folder=tmp_path)
    assert done.returncode == 0
    assert "60,000 rows read" in done.stdout.replace("\n", " ") and "quarantined" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "missing.yml"], "missing.yml"),
        (["run", "batch.yml"], "perods"),
        (["check", "missing.csv"], "missing.csv"),
        (["check", "broken.csv"], "truth"),
        (["verify", "."], "no report"),
        (["run"], "batch"),
        (["nonsense"], "nonsense"),
    ],
)
def test_an_error_is_one_readable_message_and_a_status(tmp_path, words, said):
    (tmp_path / "batch.yml").write_text("batch: x\nperods: [2026-03]\n")
    (tmp_path / "broken.csv").write_text(
        "audit_id,item_id,site,rater,decided_at,label\n1,1,a,r,2026-03-01T00:00:00Z,x\n"
    )
    done = rca(*words, folder=tmp_path)
    assert done.returncode not in (0, None)
    assert said in done.stderr and len(done.stderr.strip().splitlines()) <= 3


def test_help_lists_every_command(tmp_path):
    done = rca("--help", folder=tmp_path)
    for command in ("demo", "check", "run", "verify", "simulate", "lab"):
        assert command in done.stdout


def test_the_version_is_told_and_the_help_documents_the_exit_statuses_and_completion(tmp_path):
    assert rca("--version", folder=tmp_path).stdout == f"rca {rca_lib.__version__}\n"
    told = " ".join(rca("--help", folder=tmp_path).stdout.split())
    for words in ("--install-completion", "Exit status: 0", "1 a run failed", "2 a wrong", "3 done", "130", "143"):
        assert words in told


def test_progress_in_a_log_file_is_a_line_a_run_without_control_signs(tmp_path):
    notebook = new_notebook(cells=[new_markdown_cell("# Q"), new_code_cell(CELL, metadata={"tags": ["parameters"]})])
    notebook.cells.append(new_code_cell(SAVE))
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    rows = [f"a{n},i{n},{site},r,2026-0{month}-03T00:00:00Z,x,x"
            for n, (site, month) in enumerate([("Lisbon", 1), ("Lisbon", 2), ("Manila", 2)])]  # fmt: skip
    (tmp_path / "audits.csv").write_text("\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *rows]))
    (tmp_path / "b.yml").write_text(
        "batch: tiny\ndata: audits.csv\n"
        "notebooks: {deep_dive: tiny.ipynb, intake: null, ground_truth: null, portfolio: null}\n"
    )
    done = rca("run", "b.yml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "Running notebooks: 3 to do"
    assert [line[:9] for line in lines[1:4]] == ["[1 of 3] ", "[2 of 3] ", "[3 of 3] "]
    assert sum("made in" in line for line in lines) == 3
    told = json.loads(rca("run", "b.yml", "--json", folder=tmp_path).stdout)
    assert told["status"] == 0 and [run["kept"] for run in told["runs"]] == [True] * 3
    assert told["runs"][0]["site"] == "Lisbon" and told["ledger"]["kept"] == 3
