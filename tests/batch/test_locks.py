"""Locks: one process per folder, and private folders that are removed even if their owner was killed."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from rca_lib.batch.locks import HOME_VARIABLE, LOCK_FILE, create_private_folder, lock_folder

HOLD_FOLDER = """
import sys, time
from pathlib import Path
from rca_lib.batch.locks import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""
HOLD_PRIVATE_FOLDER = """
import os, subprocess, time
from rca_lib.batch.locks import HOME_VARIABLE, create_private_folder
with create_private_folder() as folder:
    child = subprocess.Popen(["sleep", "600"], env={**os.environ, HOME_VARIABLE: str(folder)}, start_new_session=True)
    print(folder, child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def start_process():
    """Return a function that runs Python code and returns the process and the first line that it printed."""
    processes = []

    def start(code, *arguments, **variables):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
        processes.append(process)
        return process, process.stdout.readline()

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_folder_in_use_is_refused_with_the_process_that_holds_it(start_process, tmp_path):
    owner, _ = start_process(HOLD_FOLDER, tmp_path / "b")
    for _ in range(2):  # a refused attempt leaves the lock as it is
        with (
            pytest.raises(ValueError, match=f"b is in use by process {owner.pid}: wait until it has ended"),
            lock_folder(tmp_path / "b"),
        ):
            pass


def test_the_lock_of_a_killed_process_does_not_block(start_process, tmp_path):
    owner, _ = start_process(HOLD_FOLDER, tmp_path / "b")
    owner.kill()
    owner.wait()
    for _ in range(2):
        with lock_folder(tmp_path / "b"):
            assert (tmp_path / "b" / LOCK_FILE).read_text() == str(os.getpid())


def test_a_lock_is_not_written_through_a_link(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / LOCK_FILE).symlink_to(tmp_path / "letter.txt")
    with pytest.raises(ValueError, match="cannot be written"), lock_folder(tmp_path / "b"):
        pass
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.fixture
def temporary(monkeypatch):
    """A temporary folder of this test's own, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="locks-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_a_private_folder_is_removed_with_its_processes(temporary):
    with create_private_folder() as folder:
        assert list(temporary.iterdir()) == [folder]
        variables = {**os.environ, HOME_VARIABLE: str(folder)}
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=variables)
    assert child.wait(timeout=30) == -9
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="starts sleep")
def test_what_a_killed_owner_left_is_removed_by_the_next_process(start_process, temporary):
    owner, line = start_process(HOLD_PRIVATE_FOLDER, TMPDIR=str(temporary))
    owned_folder, child = line.split()
    with create_private_folder():  # the owner lives: its folder stays
        assert Path(owned_folder).is_dir()
    owner.kill()
    owner.wait()
    with create_private_folder():
        assert not Path(owned_folder).exists()
    deadline = time.monotonic() + 30
    while psutil.pid_exists(int(child)) and psutil.Process(int(child)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
