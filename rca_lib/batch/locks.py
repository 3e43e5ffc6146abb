"""Folders that only one process may use at a time, and private temporary folders that are always cleaned up.

filelock locks a file in the folder. The operating system releases the lock when its process ends, so a killed process
blocks nobody. What filelock does not offer is added here: the lock file contains the id of the process that holds it,
for the error message, and a private folder is locked before it is visible.

A private folder is locked by its owner: a later process that can lock it knows that the owner is dead, removes the
folder, and kills the processes that belong to it. These are recognised by the environment variable `RCA_HOME`, which
survives even if the processes in between were killed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rca_lib.batch.processes import kill_processes

LOCK_FILE = ".lock"
HOME_VARIABLE = "RCA_HOME"  # environment variable with the private folder that a process belongs to
PRIVATE_PREFIX = "rca-run-"
MAX_TEMP_PATH_CHARS = 60  # sockets lie below the temporary folder, and the path of a socket may have 107 characters


@contextmanager
def lock_folder(folder: Path, name: str = LOCK_FILE, *, timeout: float = 0) -> Iterator[None]:
    """Lock a folder against other processes; it is created if it does not exist.

    Parameters
    ----------
    folder
        The folder.
    name
        The name of the lock file; locks of different names are independent.
    timeout
        Seconds to wait for another process.

    Yields
    ------
    None
        The folder is locked until the context is left.

    Raises
    ------
    ValueError
        If another process holds the folder, or it cannot be written.
    """
    lock = _create_lock(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout:
        owner = _read_owner(folder / name) or "?"
        raise ValueError(f"{folder} is in use by process {owner}: wait until it has ended, or stop it") from None
    except OSError as problem:
        raise ValueError(f"{folder} cannot be written: {problem.strerror}") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def create_private_folder() -> Iterator[Path]:
    """Create a temporary folder for this process, and remove the folders that killed processes left behind.

    Processes that were started with `RCA_HOME` set to the folder are killed when the folder is removed.

    Yields
    ------
    Path
        The folder.
    """
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > MAX_TEMP_PATH_CHARS:
        parent = Path("/tmp")
    for folder in parent.glob(f"{PRIVATE_PREFIX}*/"):
        _remove_if_abandoned(folder)
    # The folder gets its visible name only once it is locked; until then no other process looks at it.
    hidden = Path(tempfile.mkdtemp(prefix=f".{PRIVATE_PREFIX}", dir=parent))
    with lock_folder(hidden):
        folder = hidden.rename(hidden.with_name(hidden.name[1:]))
        try:
            yield folder
        finally:
            _remove_with_processes(folder)


def _create_lock(folder: Path, name: str = LOCK_FILE) -> FileLock:
    """Return the lock of a folder. filelock never opens a lock file through a link that somebody put in its place."""
    return FileLock(folder / name, on_acquired=_write_owner)


def _write_owner(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())


def _read_owner(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # Windows does not let others read a locked file
        return ""


def _remove_if_abandoned(folder: Path) -> None:
    if not (folder / LOCK_FILE).is_file():  # every private folder has a lock before it is visible
        return
    lock = _create_lock(folder)
    with suppress(OSError):  # its owner is alive, or the folder belongs to another user
        lock.acquire(blocking=False)
        try:
            _remove_with_processes(folder)
        finally:
            lock.release()


def _remove_with_processes(folder: Path) -> None:
    kill_processes(HOME_VARIABLE, str(folder))
    shutil.rmtree(folder, ignore_errors=True)
