# Tested in tests/intake/test_workbooks.py.
"""Temporary work folders that hold raw rows.

Each process locks its work folder. The next process removes the folders that a killed process left behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock; there, no folder is removed
    fcntl = None  # type: ignore[assignment]  # the usual way to mark a missing module

PREFIX = ".intake-"
LOCK_FILE = ".held"
STALE_SECONDS = 3600  # a younger folder without a lock may belong to a process that has not locked it yet


@contextmanager
def create_work_folder(parent: Path | None) -> Iterator[Path]:
    """Create a work folder that is removed on exit, also after an error.

    Parameters
    ----------
    parent
        The folder that holds the work folder. None means the system's temporary folder. Work folders in `parent` whose
        process has ended are removed first.

    Yields
    ------
    Path
        The work folder, locked by this process. The operating system releases the lock however the process ends.
    """
    parent = Path(parent or tempfile.gettempdir())
    _remove_stale_folders(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (folder / LOCK_FILE).open("w") as lock:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale_folders(parent: Path) -> None:
    """Remove this user's work folders that no living process holds."""
    for folder in parent.glob(f"{PREFIX}*/") if fcntl else ():
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock_file = folder / LOCK_FILE
            is_locked_once = lock_file.exists()
            if not is_locked_once and time.time() - folder.stat().st_mtime < STALE_SECONDS:
                continue
            if is_locked_once:
                with lock_file.open("r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises OSError while another process holds it
            shutil.rmtree(folder, ignore_errors=True)
