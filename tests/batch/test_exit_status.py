"""The end of a command: after a signal or a fault of user or machine, one line and the right status."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from rca_lib.batch.exit_status import explain_exit
from rca_lib.findings import DataError


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stop")
    rows = (f"a{n},i{n},s{n % 9},r{n % 40},2026-03-{n % 28 + 1:02} 10:00,x,{'xy'[n % 7 == 0]}" for n in range(300_000))
    text = "\n".join(["audit_id,item_id,site,rater,decided_at,label,truth", *rows])
    (folder / "audits.csv").write_text(f"{text}\n")
    (folder / "m.yml").write_text("time_zone: UTC\n")
    (folder / "b.yml").write_text("batch: b\ndata: audits.csv\nmapping: m.yml\n")
    return folder


def handles_signal(process, number):
    """Return whether a process has its own handler for a signal (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return int(caught, 16) >> (number - 1) & 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
@pytest.mark.parametrize("after", [0.0, 1.0])
@pytest.mark.parametrize(
    "command", [["check", "audits.csv", "--mapping", "m.yml"], ["run", "b.yml"]], ids=["check", "run"]
)
def test_a_signal_at_any_moment_ends_a_command_with_one_line(export, number, after, command):
    started = subprocess.Popen(
        [sys.executable, "-m", "rca_lib", *command], cwd=export, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(export)},
    )  # fmt: skip
    while not handles_signal(started.pid, signal.SIGTERM):  # Python itself is still starting
        time.sleep(0.02)
    time.sleep(after)
    started.send_signal(number)
    printed = started.communicate(timeout=60)[1].decode(errors="replace")
    if started.returncode != 0:  # it may have ended before
        assert started.returncode in (128 + number, -number), printed  # a shell shows the same status for both
        assert printed.count("Stopped.") == 1, printed
    assert "Traceback" not in printed
    assert [path.name for path in export.rglob(".intake-*")] == []


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (OSError(28, "No space left on device"), ("[Errno 28] No space left on device", 1)),
        (duckdb.IOException("IO Error: Could not write\n all bytes"), ("IO Error: Could not write all bytes", 1)),
        (MemoryError(), ("There is not enough memory: use fewer --workers, or free some memory.", 1)),
        (DataError("no rows"), ("no rows", 1)),
        (KeyboardInterrupt(), ("Stopped.", 130)),
        (KeyError("x"), None),
    ],
)
def test_a_fault_of_user_or_machine_gives_one_line_and_a_fault_of_the_program_a_traceback(problem, expected):
    assert explain_exit(problem, []) == expected
    assert explain_exit(problem, [15]) == ("Stopped.", 143)
