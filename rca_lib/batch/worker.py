"""The worker: a process that runs one notebook and publishes one report.

The protocol with the runner is lines of JSON on standard input and output:

1. The runner sends a job: the run, the batch's folder, the number of the attempt and the secrets to redact.
2. The worker runs the notebook, redacts all files, and answers "executed".
3. The runner sends the hashes of the report's inputs. It does so only now, because a report may depend on the report of
   the previous period, which may have been made meanwhile.
4. The worker publishes the report and answers `{"published": folder}`.

Instead of either answer it may send `{"failure": ..., "again": ...}`: a failure that is not published yet, and whether
another attempt may help.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from rca_lib.batch import papermill_engine
from rca_lib.batch.kernels import ForkedKernel, make_kernel_manager
from rca_lib.batch.processes import adopt_orphans, end_with_parent, kill_children, limit_memory
from rca_lib.batch.publishing import (
    NOTEBOOK_FILE,
    clean_run_folder,
    format_page_texts,
    list_files,
    publish_report,
    render_failure_page,
    save_previous_claims,
)
from rca_lib.batch.redaction import Redactor
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import CLAIMS_FILE, Failure, is_successful, read_commit, read_json, read_record
from rca_lib.reporting.html import export_html
from rca_lib.reporting.report_changes import render_changes

REQUIRED_FILES = ("findings.json", "claims.json")  # files that a report about a site and period must contain
KERNEL_START_SECONDS = 180  # seconds for a kernel to start; a busy machine takes long
# A warning as Python prints it: location in a file of this machine, text, line of code. Only the text is kept.
WARNING_PATTERN = re.compile(r"^[^\n]*?:\d+: (\w*Warning: [^\n]*\n?)(?:  [^\n]*\n?)?", re.MULTILINE)
RETRYABLE_FAILURES = ("DeadKernelError", "NoStart")  # failures that may not occur at another attempt

_answer_stream: TextIO = sys.stdout  # the runner reads it


def warm_up() -> None:
    """Fill the caches that every report needs: page templates, versions, commit."""
    format_page_texts(Run(None, None, Path(), ""))
    read_commit()
    export_html(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("#")]), title="")


def main(*, is_forked: bool = False) -> None:
    """Make the report of the job that standard input names, and answer on standard output.

    Parameters
    ----------
    is_forked
        Whether this process is a fork with everything imported. Its kernel is then forked as well.
    """
    job = json.loads(sys.stdin.readline())
    _separate_answers()
    adopt_orphans()
    if not is_forked:
        end_with_parent(job["parent"])
    signal.signal(signal.SIGINT, lambda *_: None)  # only the runner reacts to Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    run = Run(**{**job["run"], "notebook": Path(job["run"]["notebook"])})
    if run.memory_mb:
        limit_memory(run.memory_mb)
    try:
        # The kernel is forked first: a fork copies only one thread, and Papermill starts others.
        kernel = ForkedKernel(Path(os.environ["RCA_HOME"], "kernels.log")) if is_forked else None
        manager = make_kernel_manager(kernel)
        _send_answer(make_report(run, Path(job["out"]), manager, job["attempt"], job["secrets"]))
    except Exception as error:  # noqa: BLE001  the runner records it
        message = Redactor(job["secrets"]).redact(str(error).encode(errors="replace")).decode(errors="replace")
        _send_answer({"failure": asdict(Failure(type(error).__name__, message)), "again": False})
    finally:
        kill_children()


def make_report(
    run: Run, out: Path, manager: type[AsyncKernelManager], attempt: int, secrets: Sequence[str]
) -> dict[str, Any]:
    """Run a notebook, ask the runner for the hashes of its inputs, and publish the report.

    Parameters
    ----------
    run
        The run.
    out
        The batch's folder.
    manager
        The kernel manager class.
    attempt
        The number of the attempt, from 1.
    secrets
        The texts to redact in everything that is written.

    Returns
    -------
    dict
        The last answer of the protocol.
    """
    started = datetime.now(UTC)
    start_time = time.perf_counter()
    work_folder = clean_run_folder(run, out)
    work_folder.mkdir(parents=True)
    redactor = Redactor(secrets)
    papermill_engine.redact = redactor.redact
    halt = _execute(run, work_folder, manager)
    if halt and halt.exception in RETRYABLE_FAILURES and attempt == 1:
        return {"failure": asdict(halt), "again": True}
    for file in list_files(work_folder):
        redactor.redact_file(file)
    notebook = nbformat.read(work_folder / NOTEBOOK_FILE, as_version=4)
    last_begun_cell = _normalize_notebook(notebook)
    failure = replace(halt, cell=last_begun_cell or None) if halt else _find_failure(run, notebook, work_folder)
    seconds = time.perf_counter() - start_time
    _send_answer("executed")
    inputs = json.loads(sys.stdin.readline() or sys.exit(1))
    previous_page = save_previous_claims(run, work_folder, inputs)
    if run.site is not None and not failure:
        _insert_changes(notebook, run, work_folder, out, previous_page)
    nbformat.write(notebook, work_folder / NOTEBOOK_FILE)
    page = _render_page(run, notebook, failure)
    publish_report(run, work_folder, page, failure, inputs=inputs, started=started, seconds=seconds, attempt=attempt)
    return {"published": run.folder}


def _render_page(run: Run, notebook: NotebookNode, failure: Failure | None) -> str:
    if failure is None:
        return export_html(notebook, **format_page_texts(run))
    source = notebook.cells[failure.cell - 1].source if failure.cell else ""
    return render_failure_page(run, failure, source)


def _insert_changes(
    notebook: NotebookNode, run: Run, work_folder: Path, out: Path, previous_page: Mapping[str, Any]
) -> None:
    """Insert what changed since the previous period and the previous run, after page one."""
    claims = read_json(work_folder / CLAIMS_FILE).get("claims", [])
    previous_claims = None
    if run.before and is_successful(read_record(out / run.before)):
        previous_claims = read_json(out / run.before / CLAIMS_FILE).get("claims")
    previous_period = run.before.rpartition("/")[2]
    html = render_changes(claims, previous_period, previous_claims, previous_page or None)
    section_starts = (index for index, cell in enumerate(notebook.cells) if cell.source.startswith("## "))
    position = next(section_starts, len(notebook.cells))
    heading = nbformat.v4.new_markdown_cell("## What changed since the last report?", id="history")
    # The text is an output and not Markdown, in which text from the data could start a heading or load an image.
    output = nbformat.v4.new_output("display_data", {"text/html": html})
    cell = nbformat.v4.new_code_cell("", outputs=[output], id="history-told")
    notebook.cells[position:position] = [heading, cell]


def _separate_answers() -> None:
    """Move the answers to a pipe of their own, because kernels and libraries may print to standard output."""
    global _answer_stream
    _answer_stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.set_inheritable(_answer_stream.fileno(), False)
    os.dup2(2, 1)


def _send_answer(answer: object) -> None:
    print(json.dumps(answer), file=_answer_stream, flush=True)


def _execute(run: Run, work_folder: Path, manager: type[AsyncKernelManager]) -> Failure | None:
    """Run the notebook; return why it was halted, or None if the notebook itself shows how it ended."""
    try:
        _set_deadline(run.deadline_seconds)
        papermill.execute_notebook(
            str(run.notebook),
            str(work_folder / NOTEBOOK_FILE),
            {**run.parameters, "output": str(work_folder)},
            engine_name="rca",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            kernel_manager_class=manager,
            start_timeout=KERNEL_START_SECONDS,
            execution_timeout=run.timeout_seconds,
            shutdown_kernel="immediate",
            record_timing=False,
        )
    except PapermillExecutionError:
        return None
    except CellTimeoutError:
        return Failure("CellTimeoutError", f"the cell took longer than {run.timeout_seconds} s")
    except DeadKernelError:
        return Failure("DeadKernelError", "the kernel died: the cell ended it, or needed more memory than there is")
    except RuntimeError as error:
        return Failure("NoStart", f"the kernel did not start: {error}")
    except _DeadlineExceeded:
        return Failure("Deadline", f"the run took longer than {run.deadline_seconds} s")
    finally:
        _set_deadline(0)
    return None


class _DeadlineExceeded(BaseException):
    """Not an `Exception`, so that no code that runs a notebook catches it."""


def _set_deadline(seconds: float) -> None:
    """Raise `_DeadlineExceeded` after this time; 0 cancels."""

    def raise_exceeded(*_: object) -> None:
        raise _DeadlineExceeded

    if hasattr(signal, "SIGALRM"):  # elsewhere only the runner enforces the deadline
        signal.signal(signal.SIGALRM, raise_exceeded)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _normalize_notebook(notebook: NotebookNode) -> int:
    """Remove Papermill's marks and times, so that equal runs give equal files; return the last cell that began."""
    notebook.cells = [
        cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", ())
    ]
    notebook.metadata.pop("papermill", None)
    last_begun_cell = 0
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.metadata.pop("papermill", {}).get("start_time"):
            last_begun_cell = number
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.id = "injected-parameters"
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                output.text = WARNING_PATTERN.sub(r"\1", output.text)
    return last_begun_cell


def _find_failure(run: Run, notebook: NotebookNode, work_folder: Path) -> Failure | None:
    """Return the first error of a notebook, a cell that never ran, or required files that are missing."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", ()):
                return Failure(output.ename, output.evalue, number)
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return Failure("NotRun", "this cell and those after it never ran", number)
    if run.site is None:
        return None
    missing = [name for name in REQUIRED_FILES if not (work_folder / name).is_file()]
    return Failure("NothingSaved", f"the notebook did not write {' and '.join(missing)}") if missing else None
