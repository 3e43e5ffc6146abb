"""`rca lab`: open JupyterLab on the notebooks."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from rca_lib.resources import PROJECT_FOLDER, find_resource, is_checkout


def lab() -> None:
    """Open JupyterLab on the notebooks.

    In a checkout it opens the project. Elsewhere it opens the current folder, after copying the notebooks that are
    missing there into `notebooks/`.
    """
    root = PROJECT_FOLDER
    if not is_checkout():
        root = Path.cwd()
        _copy_missing_notebooks(root / "notebooks")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    command.append("--LabApp.default_url=/lab/tree/notebooks")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container has no other user; the server only accepts local connections
    os.execv(sys.executable, command)


def _copy_missing_notebooks(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for notebook in sorted(find_resource("notebooks").glob("*.ipynb")):
        if not (folder / notebook.name).exists():
            shutil.copyfile(notebook, folder / notebook.name)
