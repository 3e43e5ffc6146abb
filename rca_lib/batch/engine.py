"""Papermill's engine for unattended runs, by the name `rca`: the notebook is saved every few seconds, whole.

Papermill's own saves before and after each cell, into the file itself, and calls a cell completed that never began.
The module itself is what Papermill takes as an engine: `papermill --engine rca`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager
from papermill.utils import nb_kernel_name, nb_language

__all__ = ["execute_notebook", "nb_kernel_name", "nb_language"]

EVERY = 5.0  # seconds between two savings
NEVER = "never ran"


def execute_notebook(
    nb: NotebookNode,
    kernel_name: str,
    output_path: str | None = None,
    progress_bar: bool = True,
    log_output: bool = False,
    autosave_cell_every: int = 0,
    **options: Any,
) -> NotebookNode:
    """Run a notebook as Papermill's own engine does; on every way out it is saved once more."""
    told = {"progress_bar": progress_bar, "log_output": log_output, "autosave_cell_every": autosave_cell_every}
    progress = _Progress(nb, output_path=output_path, **told)
    progress.notebook_start()
    try:
        NBClientEngine.execute_managed_notebook(progress, kernel_name, log_output=log_output, **options)
    finally:
        progress.cleanup_pbar()
        progress.notebook_complete()
    return progress.nb


class _Progress(NotebookExecutionManager):
    saved = -EVERY

    def save(self, **told: Any) -> None:
        """Save the notebook, unless that was done a moment ago and it still runs."""
        self.nb = told.get("nb") or self.nb
        if not self.output_path or (self.end_time is None and time.monotonic() - self.saved < EVERY):
            return
        new = Path(f"{self.output_path}.new")
        # A lone surrogate, which no file can hold, becomes "?".
        new.write_text(nbformat.writes(self.nb), encoding="utf-8", errors="replace", newline="\n")
        new.replace(self.output_path)
        self.saved = time.monotonic()

    def notebook_complete(self, **told: Any) -> None:
        """Save the notebook for the last time; a cell that never began is not called completed."""
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] == self.PENDING:
                cell.metadata.papermill["status"] = NEVER
        super().notebook_complete(**told)
