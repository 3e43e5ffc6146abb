"""Workers, kernels and the Papermill engine, with notebooks that misbehave in every way.

The outcome states what happened, the other runs succeed, and nothing is left behind.
"""

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rca_lib.batch.processes import find_processes
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import RunOutcome, is_intact, read_record
from rca_lib.batch.runner import run_notebooks

PARAMETERS = 'site: str = ""\noutput: str = ""\n'
SAVE = 'import pathlib\nfor name in ("findings", "claims"): (pathlib.Path(output) / f"{name}.json").write_text("{}")'
TRIED = "import os\nwith open(output + '/../../tries.' + site, 'a') as tries: _ = tries.write('x')\n"
SLEEP = "['sleep', '600']"
SECRETS = {"RCA_URL": "warehouse://ana:hunter2@db/audits", "RCA_KEY": "BEGIN-KEY\nab<cd&ef\nEND-KEY-XYZ"}


@dataclass(frozen=True)
class Fault:
    """The cells of a notebook from its fourth on, and how its run has to end."""

    cells: list[str]
    error: str | None = None
    attempt: int = 1
    limits: dict[str, Any] = field(default_factory=dict)


FAULTS = {
    "raises": Fault([TRIED + "raise KeyError('column')"], "cell 4: KeyError: 'column'"),
    "leaves": Fault(["import sys", "sys.exit(3)"], "cell 5: SystemExit: 3"),
    "dies": Fault([TRIED + "os._exit(0)"], "cell 4: DeadKernelError: the kernel died", 2),
    "dies_once": Fault([TRIED + "if len(open(tries.name).read()) < 2: os.kill(os.getpid(), 9)"], None, 2),
    "ends_its_worker": Fault([TRIED + "os.kill(os.getppid(), 9)\nwhile True: pass"], "Killed: the process", 2),
    "stubborn": Fault(
        ["import signal\nfor number in (2, 15): signal.signal(number, signal.SIG_IGN)\nwhile True: pass"],
        "cell 4: CellTimeoutError: the cell took longer than 1 s",
        limits={"timeout_seconds": 1},
    ),
    "late": Fault(
        ["print('so far')", TRIED + "import time\ntime.sleep(600)"],
        "cell 5: Deadline: the run took longer than 2 s",
        limits={"deadline_seconds": 2},
    ),
    "halts_its_worker": Fault(
        [TRIED + "import signal\nos.kill(os.getppid(), signal.SIGSTOP)\nwhile True: pass"],
        "Deadline: the run took longer than 2 s",
        limits={"deadline_seconds": 2},
    ),
    "hungry": Fault(["kept = bytearray(2 << 30)"], "cell 4: MemoryError", limits={"memory_mb": 1500}),
    "modest": Fault(["import rca_lib"], limits={"memory_mb": 1500}),
    "prints": Fault(["for _ in range(50): print('x' * 1_000_000)", "'y' * 5_000_000"]),
    "shows": Fault(["from IPython.display import HTML", "HTML('<p>' + 'z' * 20_000_000)"]),
    "shouts": Fault(["raise ValueError('w' * 5_000_000)"], "cell 4: ValueError: www"),
    "surrogates": Fault(["print('a\\ud800b')", "'c\\ud800d'", "from IPython.display import HTML\nHTML('e\\ud800f')"]),
    "surrogate_raised": Fault(["raise ValueError('g\\ud800h')"], "cell 4: ValueError: g?h"),
    "bytes": Fault(
        ["import os\n_ = os.write(1, b'\\xff raw')", "print('\\x1b[31mred\\x1b[0m <script>alert(1)</script>')"]
    ),
    "child": Fault([f"import subprocess\nprint(subprocess.Popen({SLEEP}).pid)"]),
    "daemon": Fault(
        ["import subprocess\nprint(subprocess.run(['sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 & echo $!'],"
         " capture_output=True, text=True).stdout)"]
    ),
    "thread": Fault(["import threading, time\nthreading.Thread(target=time.sleep, args=[600]).start()"]),
    "closes": Fault(["import os\nfor number in range(3): os.close(number)", "print('still there')"]),
    "sets": Fault(
        ["import os, random, json, numpy\nos.environ['MARK'] = 'x'\nos.chdir('/')\njson.mark = 'x'",
         "random.seed(1)\nnumpy.random.seed(1)"]
    ),
    "sees": Fault(["import os, json\nprint(os.environ.get('MARK'), hasattr(json, 'mark'), os.getcwd())"]),
    "draws": Fault(["import random, numpy\nprint(random.random(), numpy.random.random())"]),
    "draws_too": Fault(["import random, numpy\nprint(random.random(), numpy.random.random())"]),
    "loses_its_folder": Fault(["import shutil\nshutil.rmtree(output)"], "FileNotFoundError: "),
    "fills_its_place": Fault(
        ["import shutil\nshutil.rmtree(output)\n_ = open(output, 'w').write('x')"], "NotADirectoryError: "
    ),
    "pipes": Fault(
        ["import os\nos.mkfifo(output + '/pipe.txt')\nos.symlink('none', output + '/broken.csv')",
         "os.symlink(output + '/../../outside.csv', output + '/outside.csv')"]
    ),
    "warns": Fault(
        ["import warnings\nwarnings.warn('mind the <gap>')\nwarnings.warn('twice', FutureWarning)"],
    ),
    "reveals": Fault(
        ["import os\nfrom IPython.display import HTML\nprint(os.environ['RCA_URL'], os.environ['RCA_KEY'])",
         "os.environ['RCA_URL'], os.environ['RCA_KEY']",
         "import html\nHTML('<pre>' + html.escape(os.environ['RCA_KEY']) + '</pre>')",
         "for name in ('log', 'csv', 'svg'): _ = open(f'{output}/env.{name}', 'w').write(repr(dict(os.environ)))",
         "raise ValueError(os.environ['RCA_URL'] + os.environ['RCA_KEY'] + ' https://bo:sesame@db/x')"],
        "cell 8: ValueError: ***",
    ),
}  # fmt: skip
SECRET_PARTS = ("hunter2", "sesame", "BEGIN-KEY", "ab<cd&ef", "ab&lt;cd&amp;ef", "END-KEY-XYZ")


def make_run(folder: Path, name: str, fault: Fault) -> Run:
    cells = [new_markdown_cell("# Q"), new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source) for source in (*fault.cells, SAVE)]
    nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    return Run(name, "2026-01", folder / f"{name}.ipynb", f"{name}/2026-01", {"site": name}, **fault.limits)


@dataclass(frozen=True)
class Grid:
    """The result of all these runs: their folder, their temporary folder, and the outcomes by name."""

    folder: Path
    temporary: Path
    outcomes: dict[str, RunOutcome]

    def report(self, name: str) -> Path:
        return self.folder / name / "2026-01"

    def cells(self, name: str) -> list[Any]:
        return nbformat.read(self.report(name) / "report.ipynb", as_version=4).cells

    def printed(self, name: str) -> str:
        outputs = [output for cell in self.cells(name) for output in cell.get("outputs", ())]
        return "".join(output.get("text", "") for output in outputs)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """All these notebooks run once by two workers, in a temporary folder of their own, beside an earlier report."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "reports").mkdir()
    (folder / "reports" / "outside.csv").write_text("https://bo:sesame@db/x")
    runs = [make_run(folder, name, fault) for name, fault in FAULTS.items()]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as temporary:
        patch.setattr(tempfile, "tempdir", temporary)
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        outcomes = run_notebooks(runs, folder / "reports", environment=[*SECRETS])
        yield Grid(folder / "reports", Path(temporary), dict(zip(FAULTS, outcomes, strict=True)))


@pytest.mark.parametrize("name", FAULTS)
def test_each_run_ends_as_expected_and_its_record_and_page_say_so(grid, name):
    outcome, record, fault = grid.outcomes[name], read_record(grid.report(name)), FAULTS[name]
    assert (outcome.outcome, outcome.attempt) == ("failed" if fault.error else "succeeded", fault.attempt)
    assert (outcome.error or "").startswith(fault.error or "")
    assert (record["outcome"], record["attempt"]) == (outcome.outcome, fault.attempt)
    assert is_intact(grid.report(name), record)
    if fault.error:
        page = (grid.report(name) / "report.html").read_text()
        assert "This report could not be created" in page and "<h2>What to do</h2>" in page
        assert f"<strong>{record['error']['exception']}</strong>" in page


def test_nothing_is_left_behind(grid):
    assert find_processes("RCA_HOME", f"{grid.temporary}/", match_prefix=True) == []
    assert [*grid.temporary.iterdir()] == []
    assert [path for path in grid.folder.rglob("*") if path.name.startswith(".")] == []


def test_a_dead_kernel_is_tried_twice_and_an_error_once(grid):
    tries = {file.suffix[1:]: len(file.read_text()) for file in grid.folder.glob("tries.*")}
    once = {"raises": 1, "late": 1, "halts_its_worker": 1}
    assert tries == once | {"dies": 2, "dies_once": 2, "ends_its_worker": 2}


def test_a_run_past_its_deadline_keeps_its_output(grid):
    assert grid.printed("late") == "so far\n"


def test_processes_that_a_cell_started_end_with_the_run(grid):
    for name in ("child", "daemon"):
        process = Path("/proc", grid.printed(name).strip())
        assert process.name.isdigit() and not process.exists()


def test_long_output_is_truncated_and_counted(grid):
    # 50 lines of a million characters and a line's end each, of which a million characters are kept.
    assert grid.printed("prints").endswith("\n… 49,000,050 more characters were printed.\n")
    shown = grid.cells("prints")[4].outputs[0].data["text/plain"]
    assert shown.endswith("\n… 4,000,002 more characters")  # with two quotes
    assert grid.cells("shows")[4].outputs[0].data == {
        "text/plain": "… 20,000,003 characters of text/html are left out."
    }
    assert read_record(grid.report("shouts"))["error"]["message"].endswith("\n… 4,990,000 more characters")
    for name, size in {"prints": 5_000_000, "shows": 100_000, "shouts": 200_000}.items():
        assert sum(file.stat().st_size for file in grid.report(name).iterdir()) < size


def test_characters_that_no_file_can_hold_become_question_marks(grid):
    assert grid.printed("surrogates") == "a?b\n"
    results = [cell.outputs[0].data for cell in grid.cells("surrogates")[4:6]]
    assert results[0]["text/plain"] == "'c\\ud800d'"  # as Python spells it
    assert results[1]["text/html"] == "e?f"
    assert "\ufffd raw" in grid.printed("bytes")
    page = (grid.report("bytes") / "report.html").read_text()
    assert "red" in page and "\x1b" not in page
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page


def test_a_warning_is_shown_without_the_path_of_a_file(grid):
    assert grid.printed("warns") == "UserWarning: mind the <gap>\nFutureWarning: twice\n"
    page = (grid.report("warns") / "report.html").read_text()
    assert "UserWarning: mind the &lt;gap&gt;" in page and "ipykernel" not in page


def test_a_run_sees_no_state_of_another_run(grid):
    assert grid.printed("sees").split() == ["None", "False", str(Path.cwd())]
    draws = [*grid.printed("draws").split(), *grid.printed("draws_too").split()]
    assert len({*draws}) == 4


def test_links_stay_and_their_targets_are_not_touched(grid):
    assert {"pipe.txt", "broken.csv", "outside.csv"} <= {path.name for path in grid.report("pipes").iterdir()}
    assert (grid.folder / "outside.csv").read_text() == "https://bo:sesame@db/x"
    assert sorted(read_record(grid.report("pipes"))["files"]) == [
        "claims.json", "findings.json", "report.html", "report.ipynb"
    ]  # fmt: skip


def test_no_file_contains_a_secret_in_any_encoding(grid):
    assert "***" in grid.printed("reveals")
    written = [file for file in grid.report("reveals").iterdir() if file.is_file()]
    assert {"report.ipynb", "report.html", "run.json", "env.log", "env.csv", "env.svg"} == {
        file.name for file in written
    }
    for file in written:
        assert [secret for secret in SECRET_PARTS if secret in file.read_text()] == [], file
    assert [secret for secret in SECRET_PARTS if secret in grid.outcomes["reveals"].error] == []


def test_a_run_that_cannot_start_fails_alone_and_its_earlier_report_stays(grid):
    run = replace(grid.outcomes["modest"].run, notebook=grid.folder / "gone.ipynb")
    other = replace(grid.outcomes["thread"].run, notebook=grid.folder / "gone_too.ipynb")
    outcomes = run_notebooks([run, other], grid.folder)
    assert [outcome.outcome for outcome in outcomes] == ["failed"] * 2
    assert outcomes[0].error.startswith("FileNotFoundError: ") and "gone.ipynb" in outcomes[0].error
    assert is_intact(grid.report("modest"), read_record(grid.report("modest")))


DETERMINISTIC_CELLS = [
    "import rca_lib, matplotlib.pyplot as plt, pandas as pd, sys, time",
    "for piece in 'abc': print(piece, flush=True), time.sleep(0.02), print(piece, file=sys.stderr)",
    "words = {site + word for word in 'the order of a set of strings depends on hashes'.split()}\nprint(words)",
    "pd.DataFrame({'word': list(words), 'length': [len(word) for word in words]})",
    "_ = plt.bar(list(words), range(len(words)))",
    "print(hash(site), sorted(map(id, ()))), dict.fromkeys(words)",
]


def test_reports_are_the_same_to_the_byte_whatever_the_number_of_workers_and_kind_of_kernel(tmp_path):
    runs, out = [make_run(tmp_path, name, Fault(DETERMINISTIC_CELLS)) for name in ("one", "two")], tmp_path / "reports"
    results = []
    for options in ({"workers": 1}, {"workers": 8, "force": True}, {"cold": True, "force": True}):
        outcomes = run_notebooks(runs, out, **options)
        assert [(outcome.outcome, outcome.kept) for outcome in outcomes] == [("succeeded", False)] * 2
        results.append({path.relative_to(out).as_posix(): read(path) for path in out.rglob("*") if path.is_file()})
    assert len(results[0]) == 2 * 5
    for again in results[1:]:
        assert [name for name in {*results[0], *again} if results[0].get(name) != again.get(name)] == []


def read(file: Path) -> Any:
    if file.name != "run.json":
        return file.read_bytes()
    return {name: value for name, value in json.loads(file.read_text()).items() if name not in ("started", "seconds")}


def test_raw_output_of_a_cold_kernel_does_not_disturb_the_answers_of_its_worker(tmp_path):
    run = make_run(tmp_path, "bytes", FAULTS["bytes"])
    (outcome,) = run_notebooks([run], tmp_path / "reports", cold=True)
    assert outcome.outcome == "succeeded"
