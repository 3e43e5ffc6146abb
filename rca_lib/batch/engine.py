"""Papermill's engine for unattended runs, by the name `rca`: the notebook is saved every few seconds, whole.

Papermill's own saves before and after each cell, into the file itself, and calls a cell completed that never began. It
keeps whatever a cell prints or shows, which may be more than a page, a disk or the memory can hold; this one cuts it.
The module itself is what Papermill takes as an engine: `papermill --engine rca`.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.log import logger
from papermill.utils import nb_kernel_name, nb_language

__all__ = ["execute_notebook", "nb_kernel_name", "nb_language"]

EVERY = 5.0  # seconds between two savings
NEVER = "never ran"
PRINTED = 1_000_000  # characters that are kept of what a cell prints, or of a result as text
SHOWN = 10_000_000  # characters of a figure or a table, which cannot be cut: a longer one is left out
TOLD = 10_000  # characters of an exception's message, and of each step of its traceback
OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)  # of a line, what a terminal would no longer show
NAMES = {"start_timeout": "startup_timeout", "execution_timeout": "timeout"}  # Papermill's and those of its client


def blot(text: bytes) -> bytes:
    """Return a notebook without secrets; a worker puts a function that knows them in the place of this one."""
    return text


def execute_notebook(
    nb: NotebookNode,
    kernel_name: str,
    output_path: str | None = None,
    progress_bar: bool = True,
    log_output: bool = False,
    autosave_cell_every: int = 0,
    **options: Any,
) -> NotebookNode:
    """Run a notebook as Papermill's own engine does; it is saved once more where it was halted.

    Where it was not, Papermill itself writes what is returned.
    """
    told = {"progress_bar": progress_bar, "log_output": log_output, "autosave_cell_every": autosave_cell_every}
    progress = _Progress(nb, output_path=output_path, **told)
    progress.notebook_start()
    try:
        options = {NAMES.get(name, name): value for name, value in options.items() if name != "input_path"}
        _Client(progress, kernel_name=kernel_name, log=logger, log_output=log_output, **options).execute()
    except BaseException:
        progress.halted = True
        raise
    finally:
        progress.cleanup_pbar()
        progress.notebook_complete()
    return progress.nb


class _Progress(NotebookExecutionManager):
    halted = False
    saved = -EVERY

    def save(self, **told: Any) -> None:
        """Save the notebook where that was not done a moment ago, and where it was halted."""
        self.nb = told.get("nb") or self.nb
        if not self.output_path or not (self.halted or time.monotonic() - self.saved > EVERY):
            return
        new = Path(f"{self.output_path}.new")
        new.write_bytes(_write(self.nb))
        new.replace(self.output_path)
        self.saved = time.monotonic()

    def notebook_complete(self, **told: Any) -> None:
        """Note the end; a cell that never began is not called completed."""
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] == self.PENDING:
                cell.metadata.papermill["status"] = NEVER
        self.nb = nbformat.reads(_write(self.nb).decode(), as_version=4)  # as it is to be written
        super().notebook_complete(**told)


def _write(nb: NotebookNode) -> bytes:
    # A lone surrogate, which no file can hold, becomes "?".
    return blot(nbformat.writes(nb).encode(errors="replace"))


class _Client(PapermillNotebookClient):
    def execute_cell(self, cell: NotebookNode, *place: Any, **told: Any) -> NotebookNode:
        """Run a cell; what it printed in pieces is one output in the end, however it ends."""
        self.printed = Counter[str]()
        try:
            return super().execute_cell(cell, *place, **told)
        finally:
            if "outputs" in cell:
                cell.outputs = _join(cell.outputs, self.printed)

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], *place: Any) -> NotebookNode | None:
        """Take in an output, as much of it as is kept."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            kept = max(0, PRINTED - self.printed[content["name"]])
            self.printed[content["name"]] += len(content["text"])
            if not kept:
                return None
            content["text"] = content["text"][:kept]
        _shorten(content)
        return super().output(outs, msg, *place)


def _join(outputs: list[NotebookNode], printed: Counter[str]) -> list[NotebookNode]:
    # nbclient does so too, in hours where a line is long.
    streams: dict[str, list[NotebookNode]] = {}
    for output in outputs:
        if output.output_type == "stream":
            streams.setdefault(output.name, []).append(output)
    for name, pieces in streams.items():
        rest = printed[name] - PRINTED
        said = f"\n… {rest:,} more characters were printed.\n" if rest > 0 else ""
        pieces[0].text = OVERWRITTEN.sub("", "".join(piece.text for piece in pieces)) + said
    joined = [one for one in outputs if one.output_type != "stream" or one is streams[one.name][0]]
    for place, (one, other) in enumerate(pairwise([*joined])):
        if (one.get("name"), other.get("name")) == ("stderr", "stdout"):  # which came first is chance
            joined[place : place + 2] = other, one
    return joined


def _shorten(content: dict[str, Any]) -> None:
    if "traceback" in content:
        content["evalue"] = _cut(content["evalue"], TOLD)
        content["traceback"] = [_cut(step, TOLD) for step in content["traceback"]]
    data = content.get("data", {})
    for kind, shown in [*data.items()]:
        length = len(shown if isinstance(shown, str) else json.dumps(shown))
        if kind == "text/plain":
            data[kind] = _cut(shown, PRINTED)
        elif length > SHOWN:
            del data[kind]
            data["text/plain"] = f"… {length:,} characters of {kind} are left out."


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\n… {len(text) - longest:,} more characters"
