"""Working folders with raw rows: each is held by its process, and what a killed one left is cleared by the next."""

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
except ImportError:  # Windows: nothing can be held there, and nothing is cleared
    fcntl = None

PREFIX, LOCK = ".intake-", ".held"
OLD_SECONDS = 3600  # a folder without a lock is being made, or was left by an earlier version


@contextmanager
def hold_work_folder(place: Path | None) -> Iterator[Path]:
    """Make a working folder that goes when it is left, whatever happens in it.

    Parameters
    ----------
    place
        The folder to make it in; the system's temporary folder where it is None. Working folders in it whose process
        has ended are removed first. A folder that a living process holds is left alone; the system lets go of it
        however that process ends.
    """
    parent = Path(place or tempfile.gettempdir())
    _clear_left(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (folder / LOCK).open("w") as lock:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_left(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*/") if fcntl else ():
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            held = folder / LOCK
            if not held.exists() and time.time() - folder.stat().st_mtime < OLD_SECONDS:
                continue
            if held.exists():
                with held.open("r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused, and left alone, while it is held
            shutil.rmtree(folder, ignore_errors=True)
