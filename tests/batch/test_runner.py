"""The runner: each report is published whole or not at all, whatever a notebook does. All notebooks really run.

The worker pool is tested here and in `test_worker`, in which notebooks misbehave on purpose.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rca_lib.batch.publishing import add_banner
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import Failure, is_intact, read_record
from rca_lib.batch.runner import run_notebooks

SECRET = "warehouse://ana:hunter2@db/audits"
PARAMETERS = 'site: str = ""\noutput: str = ""\nalpha: float = 0.05\n'
SAVE = """\
import json, pathlib
folder = pathlib.Path(output)
text = (folder / "findings.json").write_text(json.dumps({"headline": site, "alpha": alpha}))
text = (folder / "claims.json").write_text("[]")
"""
NOTEBOOKS = {
    "whole": ["import os, sys\nprint(sorted(os.environ), sys.executable, os.environ['OMP_NUM_THREADS'])", SAVE],
    "broken": ["import os", "raise ValueError('no <b>column</b> in ' + os.environ['RCA_SOURCE'])", SAVE],
    "left": ["import sys\nsys.exit(0)", SAVE],
    "dead": ["import os\nos._exit(0)", SAVE],
    "endless": ["while True:\n    pass", SAVE],
    "killed": ["import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nwhile True:\n    pass", SAVE],
    "silent": ["import pathlib\nprint((pathlib.Path(output).parent.parent / 'whole/2026-01/report.html').exists())"],
}


def write_notebook(folder: Path, name: str, sources: list[str]) -> Path:
    cells = [new_markdown_cell("# Q", id="q"), new_code_cell(PARAMETERS, id="p", metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source, id=f"c{place}") for place, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def make_run(folder: Path, name: str) -> Run:
    notebook = write_notebook(folder, name, NOTEBOOKS[name])
    stage, seconds = int(name == "silent"), 2 if name == "endless" else 120
    parameters = {"site": name, "alpha": 0.01}
    return Run(name, "2026-01", notebook, f"{name}/2026-01", parameters, stage, seconds, fingerprint="f1")


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """All notebooks run once by two workers: folder, runs, outcomes by name, and names in the order of their ends."""
    folder, ended = tmp_path_factory.mktemp("grid"), []
    runs = [make_run(folder, name) for name in NOTEBOOKS]
    earlier = folder / "reports" / "whole" / "2026-01"
    earlier.mkdir(parents=True)
    (earlier / "stale.txt").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RCA_SOURCE", SECRET)
        patch.setenv("RCA_TOKEN", "token-of-the-caller")
        options = {"workers": 2, "environment": ["RCA_SOURCE"], "on_progress": lambda o: ended.append(o.run.site)}
        outcomes = run_notebooks(runs, folder / "reports", **options)
    return folder / "reports", runs, dict(zip(NOTEBOOKS, outcomes, strict=True)), ended


def record_of(grid, name):
    return json.loads((grid[0] / name / "2026-01" / "run.json").read_text())


def read(grid, name, file="report.html"):
    return (grid[0] / name / "2026-01" / file).read_text()


def test_one_failed_run_does_not_stop_the_others(grid):
    _, runs, outcomes, ended = grid
    assert [outcome.run for outcome in outcomes.values()] == runs
    assert {name: outcome.outcome for name, outcome in outcomes.items()} == {
        name: "succeeded" if name == "whole" else "failed" for name in NOTEBOOKS
    }
    assert sorted(ended) == sorted(NOTEBOOKS)


@pytest.mark.parametrize(
    ("name", "cell", "exception", "message"),
    [
        ("broken", 5, "ValueError", "no <b>column</b> in ***"),
        ("left", 4, "SystemExit", "0"),
        (
            "dead",
            4,
            "DeadKernelError",
            "the kernel died: the cell ended it, or needed more memory than there is",
        ),
        ("endless", 4, "CellTimeoutError", "the cell took longer than 2 s"),
        ("killed", None, "Killed", "the process of this run was killed; it may have needed more memory"),
        ("silent", None, "NothingSaved", "the notebook did not write findings.json and claims.json"),
    ],
)
def test_a_failed_run_states_where_and_why(grid, name, cell, exception, message):
    error = record_of(grid, name)["error"]
    assert (error["cell"], error["exception"]) == (cell, exception)
    assert error["message"].startswith(message)
    assert grid[2][name].error.startswith(f"cell {cell}: {exception}: " if cell else f"{exception}: ")
    page = read(grid, name)
    assert "This report could not be created" in page
    assert f"<strong>{exception}</strong>" in page
    assert "<h2>What to do</h2>" in page
    assert "<b>column" not in page


def test_a_report_is_published_whole_with_its_hashes(grid):
    folder = grid[0] / "whole" / "2026-01"
    record = record_of(grid, "whole")
    names = ["claims.json", "findings.json", "report.html", "report.ipynb"]
    assert sorted(file.name for file in folder.iterdir()) == [*names, "run.json"]
    assert record["files"] == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert not [path for path in grid[0].rglob("*") if path.name.startswith(".")]


def test_a_record_states_what_ran(grid):
    record = record_of(grid, "whole")
    assert (record["site"], record["period"], record["notebook"]) == ("whole", "2026-01", "whole.ipynb")
    assert record["parameters"] == {"site": "whole", "alpha": 0.01}
    assert json.loads(read(grid, "whole", "findings.json")) == {"headline": "whole", "alpha": 0.01}
    assert record["fingerprint"] == "f1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["started"])
    assert record["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"rca-lib", "numpy", "pandas", "duckdb"} <= set(record["versions"])
    assert "ruff" not in record["versions"]
    assert record["commit"] is None or re.fullmatch("[0-9a-f]{40}", record["commit"])
    assert record["error"] is None


def test_a_kernel_is_this_python_and_sees_only_the_named_variables(grid):
    page = read(grid, "whole")
    assert sys.executable in page
    assert "RCA_SOURCE" in page
    assert "RCA_TOKEN" not in page
    assert not any(path for path in grid[0].rglob("*.*") if b"token-of-the-caller" in path.read_bytes())


def test_no_file_contains_a_secret(grid):
    assert "***" in read(grid, "broken", "report.ipynb")
    for file in grid[0].rglob("*.*"):
        if file.is_file():
            assert b"hunter2" not in file.read_bytes(), file


def test_the_notebook_contains_no_times_and_no_marks_of_papermill(grid):
    for name in ("whole", "broken"):
        notebook = nbformat.read(grid[0] / name / "2026-01" / "report.ipynb", as_version=4)
        assert set(notebook.metadata) <= {"kernelspec", "language_info"}
        assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
        assert [cell.id for cell in notebook.cells][:4] == ["q", "p", "injected-parameters", "c0"]


def test_a_later_stage_finds_the_reports_of_the_earlier_stage(grid):
    notebook = nbformat.read(grid[0] / "silent" / "2026-01" / "report.ipynb", as_version=4)
    assert notebook.cells[3].outputs[0].text == "True\n"


def test_a_report_of_the_same_inputs_is_kept(grid):
    kept = run_notebooks(grid[1][:1], grid[0])[0]
    assert (kept.outcome, kept.kept, kept.seconds) == ("succeeded", True, record_of(grid, "whole")["seconds"])


def test_a_report_states_what_changed_since_the_last_run_from_other_data(grid, tmp_path):
    shutil.copytree(grid[0] / "whole", tmp_path / "whole")
    first = replace(grid[1][0], folder="whole/2025-12", period="2025-12")
    later = replace(grid[1][0], fingerprint="f2", before=first.folder)
    assert [outcome.outcome for outcome in run_notebooks([later, first], tmp_path, workers=1)] == [
        "succeeded",
        "succeeded",
    ]
    kept = json.loads((tmp_path / later.folder / "before.json").read_text())
    assert (kept["data"], kept["claims"]) == ("f1", [])
    page = (tmp_path / later.folder / "report.html").read_text()
    assert "What changed since the last report?" in page
    assert "Page one is the same as in the run of" in page
    # A later run of the same inputs keeps it: the report is the same to the byte.
    run_notebooks([later], tmp_path, force=True)
    assert (tmp_path / later.folder / "report.html").read_text() == page
    assert json.loads((tmp_path / later.folder / "before.json").read_text()) == kept


def test_a_forced_run_that_fails_leaves_the_good_report_with_a_banner(grid, tmp_path):
    # A notebook that cannot be read fails without a kernel.
    shutil.copytree(grid[0] / "whole", tmp_path / "whole")
    folder, page = tmp_path / "whole" / "2026-01", read(grid, "whole")
    grid[1][0].notebook.with_name("unreadable.ipynb").write_text("{}")
    run = replace(grid[1][0], notebook=grid[1][0].notebook.with_name("unreadable.ipynb"))
    for _ in range(2):
        outcome = run_notebooks([run], tmp_path, force=True)[0]
        assert (outcome.outcome, outcome.kept) == ("failed", False)
        names = ["claims.json", "failed.html", "findings.json", "report.html", "report.ipynb", "run.json"]
        assert sorted(file.name for file in folder.iterdir()) == names
        page_with_banner = (folder / "report.html").read_text()
        assert page_with_banner.count("<strong>The run of 20") == 1 and 'href="failed.html"' in page_with_banner
        assert add_banner(page_with_banner, "") == page
        assert "This report could not be created" in (folder / "failed.html").read_text()
        record = read_record(folder)
        assert (record["outcome"], record["inputs"]) == ("succeeded", record_of(grid, "whole")["inputs"])
        assert f"{Failure(**record['failed']['error'])}" == outcome.error and is_intact(folder, record)
    # The next run that succeeds takes the banner away.
    outcome = run_notebooks(grid[1][:1], tmp_path)[0]
    assert (outcome.outcome, outcome.kept) == ("succeeded", False)
    assert "<strong>The run of" not in (folder / "report.html").read_text()
    assert not (folder / "failed.html").exists()


def test_wrong_arguments_are_refused_before_anything_starts(grid, tmp_path):
    with pytest.raises(ValueError, match="the environment variable RCA_NONE is not set"):
        run_notebooks(grid[1][:1], tmp_path, environment=["RCA_NONE"])
    with pytest.raises(ValueError, match="two runs have the same folder"):
        run_notebooks([grid[1][0]] * 2, tmp_path)


def test_an_interrupted_batch_leaves_no_process_and_no_unfinished_report(tmp_path):
    write_notebook(tmp_path, "endless", ["import os\nopen('kernel.pid', 'w').write(str(os.getpid()))", "while 1: pass"])
    (tmp_path / "batch.py").write_text(
        "from pathlib import Path\n"
        "from rca_lib.batch.run_grid import Run\n"
        "from rca_lib.batch.runner import run_notebooks\n"
        "if __name__ == '__main__':\n"
        "    run_notebooks([Run('a', '2026-01', Path('endless.ipynb'), 'a/2026-01')], Path('reports'))\n"
    )
    batch = subprocess.Popen([sys.executable, "batch.py"], cwd=tmp_path, stderr=subprocess.PIPE)
    kernel = tmp_path / "kernel.pid"
    while not (kernel.exists() and kernel.read_text()):
        assert batch.poll() is None
        time.sleep(0.05)
    batch.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in batch.communicate(timeout=240)[1]
    assert not is_running(int(kernel.read_text()))
    assert not (tmp_path / "reports" / "a" / "2026-01").exists()


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
