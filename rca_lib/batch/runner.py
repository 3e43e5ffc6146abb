"""Run the grid: Papermill over notebooks in worker processes, each report published whole or not at all."""

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


def run_grid(
    runs: Sequence[Run],
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    environment: Sequence[str] = (),
    on_progress: Callable[[Outcome], object] | None = None,
) -> tuple[Outcome, ...]:
    """Run notebooks into `out`, one folder for each; return how each ended, in the order of the runs.

    Parameters
    ----------
    runs, out
        What `plan_runs` returned; the batch's folder, where each report is the whole earlier or the whole new one.
    workers
        How many run at the same time; the reports do not depend on it.
    force
        Run also what has a report of the same notebook, parameters, data, library and packages.
    environment
        Environment variables that notebooks may read, by name; their values are blotted out of what is written.
    on_progress
        Called with each outcome as it comes.

    Raises
    ------
    ValueError
        If two runs share a folder or a named environment variable is not set.
    """
    variables = _variables(environment)
    secrets = tuple(os.environ[name] for name in environment if len(os.environ[name]) > 5)  # a short one is no secret
    if len({run.folder for run in runs}) < len(runs):
        raise ValueError("two runs have the same folder")
    for run in runs:
        sweep(run, out)
    outcomes: dict[str, Outcome] = {}
    with _hiring(variables) as hire:
        for outcome in _run_all(runs, out, hire, workers, secrets, force):
            outcomes[outcome.run.folder] = outcome
            if on_progress:
                on_progress(outcome)
    return tuple(outcomes[run.folder] for run in runs)


def _variables(environment: Sequence[str]) -> dict[str, str]:
    unset = [name for name in environment if name not in os.environ]
    if unset:
        raise ValueError(f"the environment variable {unset[0]} is not set")
    return {name: os.environ[name] for name in (*HANDED_ON, *environment) if name in os.environ} | FIXED


@contextmanager
def _hiring(variables: dict[str, str]) -> Iterator[Callable[[], ProcessPoolExecutor]]:
    """Hand out workers; each is a pool of one process, so that a process that dies takes only its own run along."""
    before, hired = set(multiprocessing.active_children()), []
    with tempfile.TemporaryDirectory(prefix="rca-") as home:

        def hire() -> ProcessPoolExecutor:
            spawn, start = multiprocessing.get_context("spawn"), (variables | {"IPYTHONDIR": home},)
            hired.append(ProcessPoolExecutor(1, mp_context=spawn, initializer=_start_worker, initargs=start))
            return hired[-1]

        try:
            yield hire
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise
        finally:
            for worker in hired:
                worker.shutdown(cancel_futures=True)


def _start_worker(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    # Ctrl-C reaches every process of a terminal; only the parent answers it: it ends the workers, they end the kernels.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.getLogger("papermill").setLevel(logging.CRITICAL)


def _run_all(
    runs: Sequence[Run],
    out: Path,
    hire: Callable[[], ProcessPoolExecutor],
    workers: int,
    secrets: tuple[str, ...],
    force: bool,
) -> Iterator[Outcome]:
    idle, busy, renewed = [hire() for _ in range(max(1, workers))], {}, force
    for stage in sorted({run.stage for run in runs}):
        due = [run for run in runs if run.stage == stage]
        # What reads the reports of earlier stages is made anew where one of them is.
        standing = {} if renewed else {run.folder: find_standing(run, out) for run in due}
        yield from filter(None, standing.values())
        waiting = [run for run in due if not standing.get(run.folder)]
        renewed = renewed or bool(waiting)
        while waiting or busy:
            while waiting and idle:
                run, worker = waiting.pop(0), idle.pop()
                busy[worker.submit(_run_one, run, out, secrets)] = worker, run
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                worker, run = busy.pop(future)
                idle.append(hire() if isinstance(future.exception(), BrokenProcessPool) else worker)
                yield _ended(future, run, out)


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
    begun = _tidy(new / "report.ipynb")
    for file in [new / "report.ipynb", *new.glob("*.json")]:
        file.write_bytes(_blot(file.read_bytes(), secrets))
    node = nbformat.read(new / "report.ipynb", as_version=4)
    failure = _fault(run, node, new, halted, begun)
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


def _tidy(file: Path) -> int:
    """Take out the marks and times that Papermill leaves, so that the same run is the same file; count cells begun."""
    node = nbformat.read(file, as_version=4)
    node.cells = [cell for cell in node.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", ())]
    node.metadata.pop("papermill", None)
    begun = 0
    for number, cell in enumerate(node.cells, start=1):
        begun = number if cell.metadata.pop("papermill", {}).get("start_time") else begun
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.id = "injected-parameters"
    nbformat.write(node, file)
    return begun


def _blot(text: bytes, secrets: tuple[str, ...]) -> bytes:
    for secret in secrets:
        for spelling in (secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1]):
            text = text.replace(spelling.encode(), b"***")
    return re.sub(rb"(\w://)[^\s/@:\"]+:[^\s/@\"]+@", rb"\1***@", text)


def _fault(run: Run, node: NotebookNode, new: Path, halted: Failure | None, begun: int) -> Failure | None:
    if halted:
        return replace(halted, cell=begun)
    for number, cell in enumerate(node.cells, start=1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", ()):
                return Failure(output.ename, output.evalue, number)
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return Failure("NotRun", "this cell and those after it never ran", number)
    missing = [name for name in OWED if not (new / name).is_file()] if run.site is not None else []
    return Failure("NothingSaved", f"the notebook did not write {' and '.join(missing)}") if missing else None
