"""The batch as a command: full disks, folders in use, signals, and processes that are killed.

No report is ever incomplete, nothing is left behind, and the next run completes the batch.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from rca_lib.batch.processes import find_processes
from rca_lib.batch.run_records import is_intact, read_record

SITES = ("bogota", "lisbon")
PARAMETERS = 'site: str = ""\nperiod: str = ""\noutput: str = ""\nround: int = 0\npause: float = 0.0\n'
SAVE = """\
import os, pathlib, time
(pathlib.Path(output) / "findings.json").write_text('{"round": %d}' % round)
_ = (pathlib.Path(output).parents[3] / f"kernel.{site}.{round}").write_text(str(os.getpid()))
time.sleep(pause)
_ = (pathlib.Path(output) / "claims.json").write_text("{}")
"""
BIG = "_ = open(output + '/big.csv', 'wb').write(b'x' * size)"
BATCH = (
    "batch: b\ndata: audits.csv\nnotebooks: {deep_dive: n.ipynb, intake: null, ground_truth: null, portfolio: null}\n"
)


class Project:
    """A folder with audits of two sites and a notebook, and a short temporary folder of its own."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder, self.temporary, self.reports = folder, temporary, folder / "reports" / "b"
        rows = [f"{site}{n},{n},{site},r,2026-01-0{n}T10:00:00Z,x,x" for site in SITES for n in range(1, 9)]
        text = "\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *rows])
        (folder / "audits.csv").write_text(f"{text}\n")
        cells = [new_code_cell(PARAMETERS + "size: int = 0", metadata={"tags": ["parameters"]})]
        nbformat.write(new_notebook(cells=[*cells, new_code_cell(SAVE), new_code_cell(BIG)]), folder / "n.ipynb")

    def start(self, number: int, *, pause: float = 0, size: int = 0, workers: int = 2) -> subprocess.Popen[str]:
        (self.folder / "b.yml").write_text(f"{BATCH}parameters: {{round: {number}, pause: {pause}, size: {size}}}\n")
        command = [sys.executable, "-m", "rca_lib", "run", "b.yml", "--workers", str(workers)]
        options = {"cwd": self.folder, "env": {**os.environ, "TMPDIR": str(self.temporary)}, "start_new_session": True}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def run(self, number: int, *, status: int = 0, **options: float) -> str:
        """Run it to its end; return what it says on standard error beside the progress bar."""
        process = self.start(number, **options)
        printed = process.communicate(timeout=120)[1]
        assert process.returncode == status, printed
        assert "Traceback" not in printed
        return printed

    def kernel(self, process: subprocess.Popen[str], number: int) -> int:
        """Wait until the first kernel of a round runs, and return its process."""
        while True:
            found = [file.read_text() for file in self.folder.glob(f"kernel.*.{number}")]
            if any(found):
                return int(next(filter(None, found)))
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def rounds(self) -> set[int]:
        """Return the rounds in which the reports were made; each is whole, and none is missing."""
        found = set()
        for folder in (self.reports / site / "2026-01" for site in SITES):
            record = read_record(folder)
            assert record["outcome"] == "succeeded" and is_intact(folder, record)
            assert json.loads((folder / "findings.json").read_text())["round"] == record["parameters"]["round"]
            found.add(record["parameters"]["round"])
        return found

    def list_leftovers(self) -> list[object]:
        """Return the processes of this project, its unpublished reports and what lies in the temporary folder."""
        hidden = [path for path in self.reports.rglob(".*") if path.is_dir()]
        return [
            *find_processes("RCA_HOME", f"{self.temporary}/", match_prefix=True),
            *hidden,
            *self.temporary.iterdir(),
        ]


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def project(tmp_path):
    with tempfile.TemporaryDirectory(prefix="kills-", dir="/tmp") as temporary:
        yield Project(tmp_path, Path(temporary))


@pytest.fixture
def mount(tmp_path):
    """Mount a small file system in memory; a test is skipped where that is not permitted."""
    mounted = []

    def mount_at(place: Path, *options: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("mounting is not permitted")
        mounted.append(place)

    if sys.platform != "linux":
        pytest.skip("mounts as Linux does")
    yield mount_at
    for place in dict.fromkeys(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_a_clear_failure_and_the_earlier_report_stays(project, mount):
    mount(project.folder / "reports", "-t", "tmpfs", "-o", "size=1m", "none")
    project.run(1)
    with (project.folder / "reports" / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    printed = project.run(2, status=1)
    assert "No space left on device" in printed and "Traceback" not in printed
    assert project.rounds() == {1}
    assert project.list_leftovers() == []


def test_a_cell_that_fills_the_disk_fails_and_its_page_says_so(project, mount):
    mount(project.folder / "reports", "-t", "tmpfs", "-o", "size=1m", "none")
    printed = project.run(1, status=1, size=1_500_000, workers=1)  # a second run could leave no room for the page
    for site in SITES:
        record = read_record(project.reports / site / "2026-01")
        assert record["outcome"] == "failed" and is_intact(project.reports / site / "2026-01", record)
        assert re.search(f"{site}/2026-01: failed: (cell 3: )?OSError: .*No space left on device", printed)
    assert project.list_leftovers() == []


def test_a_folder_that_cannot_be_written_is_one_error_before_anything_starts(project, mount):
    (project.folder / "reports").mkdir()
    mount(project.folder / "reports", "-t", "tmpfs", "-o", "size=1m,ro", "none")
    printed = project.run(1, status=1)
    assert printed.strip().splitlines()[-1].endswith("reports/b cannot be written: Read-only file system")
    assert [*project.folder.glob("kernel.*")] == []
    assert project.list_leftovers() == []


def test_a_second_run_of_the_same_batch_is_refused(project):
    first = project.start(1, pause=3)
    project.kernel(first, 1)
    printed = project.run(1, status=1, pause=3)
    assert (
        printed.strip().splitlines()[-1].endswith(f"in use by process {first.pid}: wait until it has ended, or stop it")
    )
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert project.rounds() == {1}
    assert project.list_leftovers() == []


def test_the_exit_status_shows_a_failed_run_and_a_terminated_batch(project):
    printed = project.run(1, status=1, pause=-1)
    assert "lisbon/2026-01: failed: cell 3: ValueError: sleep length must be non-negative" in printed
    batch = project.start(2, pause=60)
    project.kernel(batch, 2)
    batch.terminate()
    printed = batch.communicate(timeout=60)[1]
    assert (batch.returncode, "Traceback" in printed) == (143, False)
    assert project.list_leftovers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_whatever_is_killed_no_report_is_incomplete_and_the_next_run_completes_the_batch(project):
    project.run(1)
    for number, kind in enumerate(("fork server", "runner and kernel"), start=2):
        batch = project.start(number, pause=0.5)
        kernel = project.kernel(batch, number)
        victims = {"runner": batch.pid, "fork server": parent_of(parent_of(kernel)), "kernel": kernel}
        for name in kind.split(" and "):
            os.kill(victims[name], signal.SIGKILL)
        batch.communicate(timeout=60)
        deadline = time.monotonic() + 20
        while find_processes("RCA_HOME", f"{project.temporary}/", match_prefix=True):
            assert time.monotonic() < deadline, kind
            time.sleep(0.02)
        if "runner" in kind:
            assert project.rounds() <= {number - 1, number}
            project.run(number, pause=0.5)
        else:
            assert batch.returncode == 0, kind
        assert project.rounds() == {number}, kind
        assert project.list_leftovers() == [], kind
