# Tested in tests/batch/test_worker.py.
"""Papermill's execution engine `rca`, for unattended runs: the notebook is saved whole every few seconds.

It differs from Papermill's own engine in three ways. Papermill saves before and after each cell and writes into the
file itself; this engine saves at most every few seconds, and replaces the file. Papermill calls a cell completed that
never began; here it is marked as such. Papermill keeps everything that a cell prints or displays, which may be more
than a page, a disk or the memory can hold; this engine truncates it.

Papermill takes this module as the engine: `papermill --engine rca`.
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

SAVE_INTERVAL_SECONDS = 5.0  # seconds between two saves
NEVER_RAN = "never ran"  # status of a cell that did not begin
MAX_STREAM_CHARS = 1_000_000  # characters kept of what a cell prints, and of a result as text
MAX_DISPLAY_CHARS = 10_000_000  # characters of a figure or table; a longer one cannot be cut and is left out
MAX_TRACEBACK_CHARS = 10_000  # characters of an exception's message, and of each step of its traceback
CARRIAGE_RETURN_PATTERN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)  # text that a terminal would have overwritten
CLIENT_OPTIONS = {"start_timeout": "startup_timeout", "execution_timeout": "timeout"}  # Papermill's names: the client's


def redact(text: bytes) -> bytes:
    """Return a notebook file without secrets. A worker replaces this function by one that knows the secrets."""
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
    """Run a notebook; the signature is that of Papermill's engines.

    A notebook that is halted is saved once more. Otherwise Papermill writes the returned notebook.
    """
    manager = _ExecutionManager(
        nb,
        output_path=output_path,
        progress_bar=progress_bar,
        log_output=log_output,
        autosave_cell_every=autosave_cell_every,
    )
    manager.notebook_start()
    try:
        client_options = {CLIENT_OPTIONS.get(name, name): value for name, value in options.items()}
        client_options.pop("input_path", None)
        client = _NotebookClient(manager, kernel_name=kernel_name, log=logger, log_output=log_output, **client_options)
        client.execute()
    except BaseException:
        manager.is_halted = True
        raise
    finally:
        manager.cleanup_pbar()
        manager.notebook_complete()
    return manager.nb


class _ExecutionManager(NotebookExecutionManager):
    nb: NotebookNode
    is_halted = False
    last_save = -SAVE_INTERVAL_SECONDS

    def save(self, **options: Any) -> None:
        """Save the notebook if the last save is long enough ago or the notebook was halted."""
        self.nb = options.get("nb") or self.nb
        is_due = self.is_halted or time.monotonic() - self.last_save > SAVE_INTERVAL_SECONDS
        if not self.output_path or not is_due:
            return
        new_file = Path(f"{self.output_path}.new")
        new_file.write_bytes(_serialize_notebook(self.nb))
        new_file.replace(self.output_path)
        self.last_save = time.monotonic()

    def notebook_complete(self, **options: Any) -> None:
        """Mark cells that never began, then finish as Papermill does."""
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] == self.PENDING:
                cell.metadata.papermill["status"] = NEVER_RAN
        self.nb = nbformat.reads(
            _serialize_notebook(self.nb).decode(), as_version=4
        )  # redacted, as Papermill writes it
        super().notebook_complete(**options)


def _serialize_notebook(nb: NotebookNode) -> bytes:
    # A lone surrogate, which no file can hold, becomes "?".
    return redact(nbformat.writes(nb).encode(errors="replace"))


class _NotebookClient(PapermillNotebookClient):
    def execute_cell(self, cell: NotebookNode, *args: Any, **options: Any) -> NotebookNode:
        """Run a cell; the pieces that it printed are merged into one output, also after an error."""
        self.printed_chars = Counter[str]()  # by stream
        try:
            return super().execute_cell(cell, *args, **options)
        finally:
            if "outputs" in cell:
                cell.outputs = _merge_streams(cell.outputs, self.printed_chars)

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], *args: Any) -> NotebookNode | None:
        """Add an output to a cell, truncated to the limits of this module."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            stream = content["name"]
            remaining = max(0, MAX_STREAM_CHARS - self.printed_chars[stream])
            self.printed_chars[stream] += len(content["text"])
            if not remaining:
                return None
            content["text"] = content["text"][:remaining]
        _truncate_output(content)
        return super().output(outs, msg, *args)


def _merge_streams(outputs: list[NotebookNode], printed_chars: Counter[str]) -> list[NotebookNode]:
    """Merge all pieces of a stream into its first one. nbclient does so too, but takes hours for a long line."""
    streams: dict[str, list[NotebookNode]] = {}
    for output in outputs:
        if output.output_type == "stream":
            streams.setdefault(output.name, []).append(output)
    for name, pieces in streams.items():
        dropped = printed_chars[name] - MAX_STREAM_CHARS
        note = f"\n… {dropped:,} more characters were printed.\n" if dropped > 0 else ""
        text = "".join(piece.text for piece in pieces)
        pieces[0].text = CARRIAGE_RETURN_PATTERN.sub("", text) + note
    merged = [output for output in outputs if output.output_type != "stream" or output is streams[output.name][0]]
    for index, (first, second) in enumerate(pairwise([*merged])):
        # Which of the two streams arrives first is chance; standard output always comes first here.
        if (first.get("name"), second.get("name")) == ("stderr", "stdout"):
            merged[index : index + 2] = second, first
    return merged


def _truncate_output(content: dict[str, Any]) -> None:
    if "traceback" in content:
        content["evalue"] = _truncate(content["evalue"], MAX_TRACEBACK_CHARS)
        content["traceback"] = [_truncate(step, MAX_TRACEBACK_CHARS) for step in content["traceback"]]
    data = content.get("data", {})
    for mime_type, value in list(data.items()):
        length = len(value if isinstance(value, str) else json.dumps(value))
        if mime_type == "text/plain":
            data[mime_type] = _truncate(value, MAX_STREAM_CHARS)
        elif length > MAX_DISPLAY_CHARS:
            del data[mime_type]
            data["text/plain"] = f"… {length:,} characters of {mime_type} are left out."


def _truncate(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[:max_chars]}\n… {len(text) - max_chars:,} more characters"
