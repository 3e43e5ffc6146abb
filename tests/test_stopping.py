"""A command that is stopped, or that the machine fails, ends in one line with the status of its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from rca_lib.batch.stopping import explain_end
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


def catches(process, number):
    """Whether a process has a handler of its own for a signal (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return int(caught, 16) >> (number - 1) & 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
@pytest.mark.parametrize("after", [0.0, 1.0])
@pytest.mark.parametrize(
    "command", [["check", "audits.csv", "--mapping", "m.yml"], ["run", "b.yml"]], ids=["check", "run"]
)
def test_a_signal_at_any_moment_ends_a_command_in_one_line(export, number, after, command):
    started = subprocess.Popen(
        [sys.executable, "-m", "rca_lib", *command], cwd=export, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(export)},
    )  # fmt: skip
    while not catches(started.pid, signal.SIGTERM):  # Python itself is still starting
        time.sleep(0.02)
    time.sleep(after)
    started.send_signal(number)
    said = started.communicate(timeout=60)[1].decode(errors="replace")
    if started.returncode != 0:  # it may have ended before
        assert started.returncode in (128 + number, -number), said  # a shell shows the same status for both
        assert said.count("Stopped.") == 1, said
    assert "Traceback" not in said
    assert [path.name for path in export.rglob(".intake-*")] == []


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (OSError(28, "No space left on device"), ("[Errno 28] No space left on device", 1)),
        (duckdb.IOException("IO Error: Could not write\n all bytes"), ("IO Error: Could not write all bytes", 1)),
        (MemoryError(), ("There is not enough memory: use fewer --workers, or free some.", 1)),
        (DataError("no rows"), ("no rows", 1)),
        (KeyboardInterrupt(), ("Stopped.", 130)),
        (KeyError("x"), None),
    ],
)
def test_what_the_user_or_the_machine_does_is_one_line_and_a_fault_of_the_program_is_not(problem, told):
    assert explain_end(problem, []) == told
    assert explain_end(problem, [15]) == ("Stopped.", 143)
