"""Processes that leave nothing behind: they end with their parent, and end all that they started."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

END_WITH_PARENT, ADOPT_ORPHANS = 1, 36  # of Linux' prctl(2)


def end_with_parent(parent: int) -> None:
    """Let the system kill this process when its parent, the process `parent`, is gone, however that ends (Linux)."""
    _control(END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before it was asked for
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent is gone (Linux)."""
    _control(ADOPT_ORPHANS, 1)


def end_children(besides: Collection[int] = ()) -> None:
    """Kill the children of this process, those that it adopted included, and wait until they are gone.

    With `adopt_orphans` this reaches a process that was meant to outlive its parent too. Nothing is done where the
    system does not list children (anywhere but on Linux).
    """
    while children := set(_children()) - set(besides):
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)


def list_named(words: str, *, exact: bool = False) -> list[int]:
    """Return the other processes in whose first environment a variable starts with these words (Linux).

    `words` read as `NAME=value`. Where `exact`, the variable has no more than these words.
    """
    sought, found = words.encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has just ended, or is somebody else's
            variables = environment.read_bytes().split(b"\0")
            if sought in variables or (not exact and any(one.startswith(sought) for one in variables)):
                found.append(int(environment.parent.name))
    return [process for process in found if process != os.getpid()]


def end_named(words: str) -> None:
    """Kill the other processes in whose first environment a variable is exactly `NAME=value`."""
    for process in list_named(words, exact=True):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def limit_memory(megabytes: int) -> None:
    """Let this process and those it starts take no more memory than this each: what asks for more gets a MemoryError.

    Counted are the pages that are its own or may become so; nothing is limited on Windows.
    """
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _control(option: int, argument: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


def _children() -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []
