"""Process trees that leave nothing behind: children end with their parent, and a parent ends all its descendants.

psutil finds children and processes by their environment. Two requests to the kernel have no counterpart in psutil or
the standard library and go through `prctl` (Linux only): the signal that a process receives when its parent dies, and
adopting descendants whose own parent is gone. Elsewhere these two do nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1  # option of prctl(2): the signal that is sent when the parent dies
PR_SET_CHILD_SUBREAPER = 36  # option of prctl(2): orphaned descendants become children of this process


def end_with_parent(parent: int) -> None:
    """Have the system kill this process as soon as its parent ends, for whatever reason (Linux).

    Parameters
    ----------
    parent
        The process id of the parent.
    """
    _call_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the request
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux)."""
    _call_prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_children(keep: Collection[int] = ()) -> None:
    """Kill the children of this process and wait until they have ended.

    After `adopt_orphans` this includes processes that were detached in order to outlive their parent: killing a child
    turns its own children into children of this process, until none is left.

    Parameters
    ----------
    keep
        Process ids of children that stay.
    """
    this_process = psutil.Process()
    while children := [child for child in _list_children(this_process) if child.pid not in keep]:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children)


def _list_children(process: psutil.Process) -> list[psutil.Process]:
    """Return the children of a process.

    psutil reads the state of every process. It raises an IndexError if one of them ends between opening and reading its
    state, which is then empty. The next attempt does not meet that process again.
    """
    while True:
        with suppress(IndexError):
            return process.children()


def find_processes(variable: str, value: str, *, match_prefix: bool = False) -> list[int]:
    """Return the ids of the other processes that were started with this environment variable.

    Parameters
    ----------
    variable
        The name of the environment variable.
    value
        Its value at the start of the process.
    match_prefix
        Whether `value` is only the beginning of the value; False by default.

    Returns
    -------
    list of int
        Process ids, without that of this process.
    """
    process_ids = []
    for process in psutil.process_iter():
        try:
            actual = process.environ().get(variable)
        except (psutil.Error, OSError, IndexError):  # it has just ended, or belongs to another user
            continue
        if actual is None or process.pid == os.getpid():
            continue
        if actual == value or (match_prefix and actual.startswith(value)):
            process_ids.append(process.pid)
    return process_ids


def kill_processes(variable: str, value: str) -> None:
    """Kill the other processes that were started with exactly this value of an environment variable."""
    for process_id in find_processes(variable, value):
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def limit_memory(megabytes: int) -> None:
    """Limit the data segment of this process and of each process that it starts; beyond it comes a MemoryError.

    The limit counts pages that are private to the process. It is set with the standard library, which offers it on all
    POSIX systems (psutil only on Linux). Windows has no such limit.
    """
    with suppress(ImportError):
        import resource

        limit_bytes = megabytes << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _call_prctl(option: int, argument: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)
