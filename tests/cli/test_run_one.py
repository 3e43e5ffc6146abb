"""`rca run-one` makes one report, beside others of the same batch; the examples for schedulers use it."""

import json
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PARAMETERS = 'site: str = ""\nperiod: str = ""\noutput: str = ""\nfail: str = ""\n'
SAVE = (
    "from pathlib import Path\nif site == fail: raise ValueError(site)\n"
    'for name in ("findings", "claims"): _ = (Path(output) / f"{name}.json").write_text("{}")'
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
    """A folder with a batch of three runs of a notebook that only saves, or fails at one site."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(SAVE)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "tiny.ipynb")
    (tmp_path / "audits.csv").write_text(AUDITS)
    (tmp_path / "b.yml").write_text(BATCH)
    return tmp_path


def start(folder, *arguments):
    command = [sys.executable, "-m", "rca_lib", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rca(folder, *arguments):
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_reports_made_one_by_one_at_the_same_time_are_those_of_the_batch(folder):
    status, out, _ = rca(folder, "run", "b.yml", "--list", "--json")
    due = [run["folder"] for run in json.loads(out)["runs"] if run["due"]]
    assert (status, due) == (0, ["Lisbon/2026-01", "Lisbon/2026-02", "Manila/2026-02"])
    processes = [start(folder, "run-one", "b.yml", report) for report in ("Lisbon/2026-01", "Manila/2026-02")]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "made in" in out
    status, out, _ = rca(folder, "run-one", "b.yml", "Lisbon/2026-02", "--json")
    assert json.loads(out)["outcome"] == "succeeded"
    status, out, _ = rca(folder, "run", "b.yml")
    assert status == 0
    assert out.count("up to date") == 3
    assert not [*(folder / "reports" / "tiny").glob(".lock-*")]
    reports = folder / "reports" / "tiny"
    one_by_one = [(reports / report / "report.html").read_bytes() for report in due]
    assert rca(folder, "run", "b.yml", "--force")[0] == 0
    assert [(reports / report / "report.html").read_bytes() for report in due] == one_by_one


def test_a_report_that_fails_gives_status_1_and_an_unknown_one_the_nearest_name(folder):
    (folder / "b.yml").write_text(BATCH + "parameters: {fail: Manila}\n")
    status, _, err = rca(folder, "run-one", "b.yml", "Manila/2026-02")
    assert status == 1
    assert "rca run b.yml --list first" in err
    rca(folder, "run", "b.yml", "--list")
    status, _, err = rca(folder, "run-one", "b.yml", "Manila/2026-02")
    assert status == 1
    assert "ValueError: Manila" in err
    status, _, err = rca(folder, "run-one", "b.yml", "Manila/2026-03")
    assert status == 1
    assert "no report 'Manila/2026-03' (nearest known: 'Manila/2026-02')" in err


# Examples ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rca_on_path(folder, monkeypatch):
    """Make `rca` a command on the path, and the batch the current one."""
    command = folder / "bin" / "rca"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rca_lib "$@"\n')
    command.chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")
    monkeypatch.setenv("RCA_BATCH", "b.yml")


def make_module(name, **members):
    module = types.ModuleType(name)
    vars(module).update(members)
    return module


def keep(function=None, **_):
    """Stand for a decorator of a scheduler, with or without options."""
    return function if function else lambda decorated: decorated


def run_example(monkeypatch, name, *modules):
    """Run an example with stand-ins for the modules of its scheduler; return its functions."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return runpy.run_path(str(EXAMPLES / name))


def test_the_airflow_example_makes_every_report(monkeypatch, rca_on_path, folder):
    # Airflow builds the graph when the file is read; here only the functions of the tasks run.
    decorators = make_module("airflow.decorators", dag=lambda **_: lambda _: lambda: None, task=keep)
    functions = run_example(monkeypatch, "airflow_dag.py", make_module("airflow"), decorators)
    reports = functions["list_reports"]()
    for report in reports:
        functions["make_report"](report)
    functions["finish_batch"]()
    assert len(reports) == 3
    assert functions["list_reports"]() == []
    assert (folder / "reports" / "tiny" / "index.html").exists()


def test_the_dagster_example_makes_every_report(monkeypatch, rca_on_path, folder):
    dagster = make_module(
        "dagster", DynamicOut=lambda _: None, DynamicOutput=lambda value, mapping_key: value,
        ScheduleDefinition=lambda **_: None, job=keep, op=keep,
    )  # fmt: skip
    functions = run_example(monkeypatch, "dagster_job.py", dagster)
    made = [functions["make_report"](report) for report in functions["list_reports"]()]
    functions["finish_batch"](made)
    assert len(made) == 3
    assert (folder / "reports" / "tiny" / "index.html").exists()


def test_the_prefect_example_makes_every_report(monkeypatch, rca_on_path, folder):
    functions = run_example(monkeypatch, "prefect_flow.py", make_module("prefect", flow=keep, task=keep))
    reports = functions["list_reports"]()
    for report in reports:
        functions["make_report"](report)
    assert len(reports) == 3
    assert functions["list_reports"]() == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_units_of_systemd_are_valid(tmp_path):
    for name in ("rca-weekly.service", "rca-weekly.timer"):
        shutil.copyfile(EXAMPLES / name, tmp_path / name)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "rca-weekly.timer")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
