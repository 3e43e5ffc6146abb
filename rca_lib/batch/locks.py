"""Folders that one process holds at a time, for as long as it lives and no longer."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rca_lib.batch.processes import end_named

try:
    import fcntl
except ImportError:  # Windows: nothing is held there
    fcntl = None

LOCK = ".lock"
HOME = "RCA_HOME"  # the environment variable by which the processes of a private folder are known
LONGEST = 60  # characters of the temporary folder's path: a socket's may have 107


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder; it is made if it is not there. The system lets go when this process ends, however it ends.

    Raises
    ------
    ValueError
        If another process holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = _open(folder / LOCK, "a+")
    except OSError as problem:
        raise ValueError(f"{folder} cannot be written: {problem.strerror}") from None
    with opened as lock:
        if not _take(lock):
            lock.seek(0)
            raise ValueError(f"{folder} is in use by process {lock.read() or '?'}: wait until it has ended, or stop it")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a temporary folder of this process alone; clear away those that killed processes left.

    Processes whose environment has `RCA_HOME` at the folder's path belong to it, and go with it.
    """
    place = tempfile.gettempdir() if len(tempfile.gettempdir()) <= LONGEST else "/tmp"
    for left in Path(place).glob("rca-run-*/"):
        _clear(left)
    fresh = Path(tempfile.mkdtemp(prefix=".rca-run-", dir=place))
    with hold(fresh):
        # Only what is held has a name that others look at.
        folder = fresh.rename(fresh.with_name(fresh.name[1:]))
        try:
            yield folder
        finally:
            end_named(f"{HOME}={folder}")  # what a process left whose parents were killed
            shutil.rmtree(folder, ignore_errors=True)


def _open(file: Path, mode: str) -> TextIO:
    # The file is emptied: a link planted in its place must not lead to somebody's.
    flag = getattr(os, "O_NOFOLLOW", 0)
    return open(file, mode, opener=lambda path, flags: os.open(path, flags | flag, 0o666))


def _clear(folder: Path) -> None:
    with suppress(OSError), _open(folder / LOCK, "r+") as lock:
        if _take(lock):
            end_named(f"{HOME}={folder}")
            shutil.rmtree(folder, ignore_errors=True)


def _take(lock: TextIO) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
