"""Process trees: found by their environment, ended with their parent, and killed with all descendants."""

import subprocess
import sys
import time

import psutil
import pytest

from rca_lib.batch.processes import _list_children, find_processes, kill_processes

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="prctl exists only on Linux")
# Starts a child that starts a detached grandchild, prints the id of the grandchild, and runs `code`.
PARENT = """
import subprocess, sys, time
from rca_lib.batch.processes import adopt_orphans, end_with_parent, kill_children
adopt_orphans()
child = subprocess.run(['sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 & echo $!'], capture_output=True, text=True)
print(child.stdout.strip(), flush=True)
"""


def wait_until_ended(process_id):
    deadline = time.monotonic() + 30
    while psutil.pid_exists(process_id) and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_only_processes_with_exactly_this_variable_are_killed(tmp_path):
    folders = [f"{tmp_path}/rca-run-a", f"{tmp_path}/rca-run-ab", f"{tmp_path}/rca-run-a/below", f"{tmp_path}/rca-run-"]
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    started = [subprocess.Popen(command, env={"RCA_HOME": folder}, stdout=subprocess.PIPE) for folder in folders]
    for process in started:
        process.stdout.readline()
    found = find_processes("RCA_HOME", f"{tmp_path}/rca-run-a", match_prefix=True)
    assert sorted(found) == sorted(process.pid for process in started[:3])
    assert find_processes("RCA_HOME", folders[0]) == [started[0].pid]
    kill_processes("RCA_HOME", folders[0])
    assert started[0].wait(timeout=30) == -9
    assert [process.poll() for process in started[1:]] == [None] * 3
    for process in started[1:]:
        process.kill()
        process.wait()
    for process in started:
        process.stdout.close()


@LINUX_ONLY
def test_killing_children_reaches_a_detached_grandchild():
    done = subprocess.run(
        [sys.executable, "-c", PARENT + "kill_children()"], capture_output=True, text=True, timeout=60, check=True
    )
    assert not psutil.pid_exists(int(done.stdout))


@LINUX_ONLY
def test_children_to_keep_survive_the_killing_of_the_others():
    code = PARENT + "kill_children(keep=[int(child.stdout)])\nprint('kept')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    grandchild, word = done.stdout.split()
    assert word == "kept" and psutil.pid_exists(int(grandchild))
    psutil.Process(int(grandchild)).kill()


@LINUX_ONLY
def test_a_process_ends_with_its_parent():
    child = "from rca_lib.batch.processes import end_with_parent; import os, time; end_with_parent(os.getppid()); "
    child += "print(os.getpid(), flush=True); time.sleep(600)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child_id = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until_ended(child_id)
    parent.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_process_beyond_its_memory_limit_gets_a_memory_error():
    code = "from rca_lib.batch.processes import limit_memory; limit_memory(500); kept = bytearray(1 << 30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "MemoryError" in done.stderr


def test_a_process_that_ends_while_psutil_reads_its_state_is_no_error():
    # The state of such a process is empty, which psutil takes for a list with fields. The moment cannot be provoked.
    answers = [IndexError("list index out of range"), ["child"]]

    class Process:
        def children(self):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    assert _list_children(Process()) == ["child"] and answers == []
