"""Processes are known by a variable of their environment: exactly, and no other is ended."""

import subprocess
import sys

from rca_lib.batch.processes import end_named, list_named


def test_only_the_processes_of_exactly_this_folder_are_ended(tmp_path):
    folders = [f"{tmp_path}/rca-run-a", f"{tmp_path}/rca-run-ab", f"{tmp_path}/rca-run-a/below", f"{tmp_path}/rca-run-"]
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    started = [subprocess.Popen(command, env={"RCA_HOME": folder}, stdout=subprocess.PIPE) for folder in folders]
    for process in started:
        process.stdout.readline()
    assert sorted(list_named(f"RCA_HOME={tmp_path}/rca-run-a")) == sorted(process.pid for process in started[:3])
    end_named(f"RCA_HOME={folders[0]}")
    assert started[0].wait(timeout=30) == -9
    assert [process.poll() for process in started[1:]] == [None] * 3
    for process in started[1:]:
        process.kill()
        process.wait()
    for process in started:
        process.stdout.close()
