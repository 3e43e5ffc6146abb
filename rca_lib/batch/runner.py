"""Run the grid: Papermill over notebooks in processes of their own, each report published whole or not at all."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from rca_lib.batch.grid import Run
from rca_lib.batch.publishing import Failure, Outcome, find_standing, frame_of, publish, sweep, write_failure
from rca_lib.reporting.html import export_html

HANDED_ON = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG", "LC_ALL", "PYTHONPATH")
FIXED = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    **{"PYTHONHASHSEED": "0", "TZ": "UTC", "SOURCE_DATE_EPOCH": "315532800", "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
}
OWED = ("findings.json", "claims.json")
KERNEL_STARTS_WITHIN = 180  # seconds; a busy machine takes long
# Forked from a process that has imported all this: a new one costs nothing.
PROCESSES = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
PROCESSES.set_forkserver_preload([__name__])


def run_grid(
    runs: Sequence[Run],
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    environment: Sequence[str] = (),
    on_progress: Callable[[Outcome], object] = lambda _: None,
) -> tuple[Outcome, ...]:
    """Run notebooks into `out`, one folder for each; return how each ended, in the order of the runs.

    A folder holds the whole earlier or the whole new report, whatever stops the run; `workers` run at the same time.
    A report of the same notebook, parameters, data, library and packages stands, unless `force`. Notebooks read those
    environment variables that `environment` names; their values are blotted out of what is written. `on_progress` is
    called with each outcome as it comes.

    Raises
    ------
    ValueError
        If two runs share a folder or a named environment variable is not set.
    """
    unset = [name for name in environment if name not in os.environ]
    if unset:
        raise ValueError(f"the environment variable {unset[0]} is not set")
    if len({run.folder for run in runs}) < len(runs):
        raise ValueError("two runs have the same folder")
    for run in runs:
        sweep(run, out)
    kept_names = [name for name in (*HANDED_ON, *environment) if name in os.environ]
    secrets = tuple(os.environ[name] for name in environment if len(os.environ[name]) > 5)  # a short one is no secret
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="rca-") as home, _leaving_no_process():
        variables = {name: os.environ[name] for name in kept_names} | FIXED | {"IPYTHONDIR": home}
        for stage in sorted({run.stage for run in runs}):
            due = [run for run in runs if run.stage == stage]
            # What reads the reports of earlier stages is made anew where one of them is.
            anew = force or not all(outcome.kept for outcome in outcomes.values())
            for outcome in _run_stage(due, out, workers, anew, variables, secrets):
                outcomes[outcome.run.folder] = outcome
                on_progress(outcome)
    return tuple(outcomes[run.folder] for run in runs)


def _run_stage(
    runs: list[Run], out: Path, workers: int, anew: bool, variables: dict[str, str], secrets: tuple[str, ...]
) -> Iterator[Outcome]:
    standing = {} if anew else {run.folder: kept for run in runs if (kept := find_standing(run, out))}
    yield from standing.values()
    waiting = [run for run in runs if run.folder not in standing]
    busy: dict[Future[Outcome], Run] = {}
    while waiting or busy:
        while waiting and len(busy) < max(1, workers):
            run = waiting.pop(0)
            # A pool for each run: a process that dies takes only its own run along.
            pool = ProcessPoolExecutor(1, PROCESSES, _start_worker, (variables,))
            busy[pool.submit(_run_one, run, out, secrets)] = run
            pool.shutdown(wait=False)
        for future in wait(busy, return_when=FIRST_COMPLETED).done:
            yield _ended(future, busy.pop(future), out)


@contextmanager
def _leaving_no_process() -> Iterator[None]:
    others = set(multiprocessing.active_children())
    try:
        yield
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
            process.join()


def _start_worker(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    # Ctrl-C reaches every process of a terminal; only the parent answers it: it ends the workers, they end the kernels.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("papermill").setLevel(logging.CRITICAL)


def _ended(future: Future[Outcome], run: Run, out: Path) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    lost = "the process of this run was killed; it may have needed more memory than there is"
    failure = Failure(type(error).__name__, lost if isinstance(error, BrokenProcessPool) else str(error))
    try:
        new = sweep(run, out)
        new.mkdir(parents=True)
        return publish(run, new, write_failure(run, failure), failure, datetime.now(UTC), 0.0)
    except OSError as unwritten:
        return Outcome(run, "failed", 0.0, f"{failure}; and the report cannot be written: {unwritten}")


def _run_one(run: Run, out: Path, secrets: tuple[str, ...]) -> Outcome:
    started, clock = datetime.now(UTC), time.perf_counter()
    new = sweep(run, out)
    new.mkdir(parents=True)
    halted = _execute(run, new)
    for file in [new / "report.ipynb", *new.glob("*.json")]:
        file.write_bytes(_blot(file.read_bytes(), secrets))
    node = nbformat.read(new / "report.ipynb", as_version=4)
    begun = _tidy(node)
    nbformat.write(node, new / "report.ipynb")
    failure = replace(halted, cell=begun) if halted else _fault(run, node, new)
    source = node.cells[failure.cell - 1].source if failure and failure.cell else ""
    page = write_failure(run, failure, source) if failure else export_html(node, **frame_of(run))
    return publish(run, new, page, failure, started, time.perf_counter() - clock)


def _execute(run: Run, new: Path) -> Failure | None:
    """Run the notebook into `new`; return why it was halted, where the notebook itself does not tell."""
    try:
        papermill.execute_notebook(
            str(run.notebook),
            str(new / "report.ipynb"),
            {**run.parameters, "output": str(new)},
            kernel_name="python3",
            language="python",
            progress_bar=False,
            kernel_manager_class=_ThisPython,
            start_timeout=KERNEL_STARTS_WITHIN,
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
    return None


class _ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs this, whatever kernels the machine has; its sockets are files of its own."""

    def __init__(self, **options: Any) -> None:
        place = tempfile.mkdtemp(dir=os.environ["IPYTHONDIR"])
        sockets = {"transport": "ipc", "ip": f"{place}/s"} if os.name == "posix" else {}
        super().__init__(connection_file=f"{place}/kernel.json", **sockets, **options)

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def _blot(text: bytes, secrets: tuple[str, ...]) -> bytes:
    for secret in secrets:
        for spelling in (secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1]):
            text = text.replace(spelling.encode(), b"***")
    return re.sub(rb"(\w://)[^\s/@:\"]+:[^\s/@\"]+@", rb"\1***@", text)


def _tidy(node: NotebookNode) -> int:
    """Take out the marks and times that Papermill leaves, so that the same run is the same file; count cells begun."""
    node.cells = [cell for cell in node.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", ())]
    node.metadata.pop("papermill", None)
    begun = 0
    for number, cell in enumerate(node.cells, start=1):
        begun = number if cell.metadata.pop("papermill", {}).get("start_time") else begun
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.id = "injected-parameters"
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
