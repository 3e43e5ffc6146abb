"""A worker: a process that runs one notebook and publishes one report."""

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
from typing import Any

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from rca_lib.batch import engine
from rca_lib.batch.blotting import Blotter
from rca_lib.batch.grid import Run
from rca_lib.batch.kernels import ForkedKernel, manage_kernel
from rca_lib.batch.processes import adopt_orphans, end_children, end_with_parent, limit_memory
from rca_lib.batch.publishing import frame_of, keep_before, list_files, publish, sweep, write_failure
from rca_lib.batch.records import CLAIMS, Failure, is_good, read_commit, read_json, read_record
from rca_lib.reporting.history import tell_changes
from rca_lib.reporting.html import export_html

OWED = ("findings.json", "claims.json")
STARTS_WITHIN = 180  # seconds for a kernel; a busy machine takes long
# A warning as Python prints it: the place in a file of this machine, what it says, the line of code.
WARNED = re.compile(r"^[^\n]*?:\d+: (\w*Warning: [^\n]*\n?)(?:  [^\n]*\n?)?", re.MULTILINE)
DEAD = ("DeadKernelError", "NoStart")  # what another attempt may mend


def prepare() -> None:
    """Do once what every report would do again: compile the page, look up versions."""
    frame_of(Run(None, None, Path(), ""))
    read_commit()
    export_html(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("#")]), title="")


def main(*, warm: bool = False) -> None:
    """Make the report of the job that standard input names, and say on standard output how far it is.

    The job is a line of JSON. The first answer is the word `executed`, once the notebook has ended; the next line
    brings what the report was made from, then it is published and the second answer says so. Instead of either comes a
    `failure` that nobody has written down, and whether to try `again`.
    """
    job = json.loads(sys.stdin.readline())
    adopt_orphans()
    if not warm:
        end_with_parent(job["parent"])
    signal.signal(signal.SIGINT, lambda *_: None)  # only the runner answers Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    run = Run(**{**job["run"], "notebook": Path(job["run"]["notebook"])})
    if run.memory_mb:
        limit_memory(run.memory_mb)
    try:
        # Before anything else: a fork takes along one thread only.
        kernel = ForkedKernel(Path(os.environ["RCA_HOME"], "kernels.log")) if warm else None
        _tell(make_report(run, Path(job["out"]), manage_kernel(kernel), job["attempt"], job["secrets"]))
    except Exception as error:  # noqa: BLE001  the runner writes it down
        message = Blotter(job["secrets"]).blot(str(error).encode(errors="replace")).decode(errors="replace")
        _tell({"failure": asdict(Failure(type(error).__name__, message)), "again": False})
    finally:
        end_children()


def make_report(
    run: Run, out: Path, manager: type[AsyncKernelManager], attempt: int, secrets: Sequence[str]
) -> dict[str, Any]:
    """Run a notebook, ask what its report was made from, publish it; return the answer as `main` gives it."""
    started, clock = datetime.now(UTC), time.perf_counter()
    new = sweep(run, out)
    new.mkdir(parents=True)
    blotter = Blotter(secrets)
    engine.blot = blotter.blot
    halted = _execute(run, new, manager)
    if halted and halted.exception in DEAD and attempt == 1:
        return {"failure": asdict(halted), "again": True}
    for file in list_files(new):
        blotter.blot_file(file)
    node = nbformat.read(new / "report.ipynb", as_version=4)
    begun = _tidy(node)
    failure = replace(halted, cell=begun or None) if halted else _fault(run, node, new)
    seconds = time.perf_counter() - clock
    _tell("executed")
    inputs = json.loads(sys.stdin.readline() or sys.exit(1))
    kept = keep_before(run, new, inputs)
    if run.site is not None and not failure:
        _add_history(node, run, new, out, kept)
    nbformat.write(node, new / "report.ipynb")
    source = node.cells[failure.cell - 1].source if failure and failure.cell else ""
    page = write_failure(run, failure, source) if failure else export_html(node, **frame_of(run))
    publish(run, new, page, failure, inputs=inputs, started=started, seconds=seconds, attempt=attempt)
    return {"published": run.folder}


def _add_history(node: NotebookNode, run: Run, new: Path, out: Path, kept: Mapping[str, Any]) -> None:
    """Put what changed since the last report behind page one."""
    claims = read_json(new / CLAIMS).get("claims", [])
    good = run.before and is_good(read_record(out / run.before))
    before = read_json(out / run.before / CLAIMS).get("claims") if good else None
    told = tell_changes(claims, run.before.rpartition("/")[2], before, kept or None)
    place = next((place for place, cell in enumerate(node.cells) if cell.source.startswith("## ")), len(node.cells))
    heading = nbformat.v4.new_markdown_cell("## What changed since the last report?", id="history")
    # As an output: in Markdown, text from the data could begin a heading or name a picture elsewhere.
    shown = nbformat.v4.new_output("display_data", {"text/html": told})
    cell = nbformat.v4.new_code_cell("", outputs=[shown], id="history-told")
    node.cells[place:place] = [heading, cell]


def _tell(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201  the runner reads it


def _execute(run: Run, new: Path, manager: type[AsyncKernelManager]) -> Failure | None:
    """Run the notebook into `new`; return why it was halted, where the notebook itself does not tell."""
    try:
        _set_alarm(run.deadline_seconds)
        papermill.execute_notebook(
            str(run.notebook),
            str(new / "report.ipynb"),
            {**run.parameters, "output": str(new)},
            engine_name="rca",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            kernel_manager_class=manager,
            start_timeout=STARTS_WITHIN,
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
    except _Late:
        return Failure("Deadline", f"the run took longer than {run.deadline_seconds} s")
    finally:
        _set_alarm(0)
    return None


class _Late(BaseException):
    """Not an `Exception`: nothing that runs a notebook may catch it."""


def _set_alarm(seconds: float) -> None:
    def ring(*_: object) -> None:
        raise _Late

    if hasattr(signal, "SIGALRM"):  # elsewhere the runner alone watches the time
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _tidy(node: NotebookNode) -> int:
    """Take out the marks and times that Papermill leaves, so that the same run is the same file; count cells begun."""
    node.cells = [cell for cell in node.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", ())]
    node.metadata.pop("papermill", None)
    begun = 0
    for number, cell in enumerate(node.cells, start=1):
        begun = number if cell.metadata.pop("papermill", {}).get("start_time") else begun
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.id = "injected-parameters"
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                output.text = WARNED.sub(r"\1", output.text)
    return begun


def _fault(run: Run, node: NotebookNode, new: Path) -> Failure | None:
    for number, cell in enumerate(node.cells, start=1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", ()):
                return Failure(output.ename, output.evalue, number)
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return Failure("NotRun", "this cell and those after it never ran", number)
    missing = [name for name in OWED if not (new / name).is_file()] if run.site is not None else []
    return Failure("NothingSaved", f"the notebook did not write {' and '.join(missing)}") if missing else None
