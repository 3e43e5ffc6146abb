"""Run the notebooks of a batch: several at the same time, each in its own processes, each report replaced whole.

Every run has a thread in this process. The thread decides whether the run is due, takes a worker from the pool, passes
it the job, and enforces the deadline. Two kinds of order are kept. Runs of a stage start when those of the previous
stages have ended. Within a stage, a run may start before the report of its previous period is finished, and waits for
it only before it is published.

A worker whose process was killed, or whose kernel did not start, gets a second attempt. An error in a cell does not. If
no worker could publish a page, the runner publishes a failure page itself, so each run ends with a record.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Semaphore, Timer
from typing import Any

from rca_lib.batch.locks import HOME_VARIABLE, create_private_folder
from rca_lib.batch.publishing import clean_run_folder, publish_report, render_failure_page, save_previous_claims
from rca_lib.batch.redaction import find_secrets
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import Failure, RunOutcome, find_rerun_reason, hash_run_inputs, read_outcome
from rca_lib.batch.worker_pool import SHUTDOWN_SECONDS, Worker, WorkerPool

PASSED_VARIABLES = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG", "LC_ALL", "PYTHONPATH")
FIXED_VARIABLES = {
    "OPENBLAS_NUM_THREADS": "1",  # several threads in each of several processes only wait for one another
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "SOURCE_DATE_EPOCH": "315532800",  # 1980-01-01, the date inside figures and workbooks
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a forked kernel could not choose it any more
}
MAX_ATTEMPTS = 2  # attempts if a process was killed or did not start
KILLED_FAILURE = Failure("Killed", "the process of this run was killed; it may have needed more memory than there is")


def run_notebooks(
    runs: Sequence[Run],
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    cold: bool = False,
    environment: Sequence[str] = (),
    on_progress: Callable[[RunOutcome], object] = lambda _: None,
) -> tuple[RunOutcome, ...]:
    """Run notebooks and write a report folder for each.

    A folder contains the whole previous or the whole new report at any time, whatever stops the batch.

    Parameters
    ----------
    runs
        The runs.
    out
        The batch's folder.
    workers
        The number of notebooks that run at the same time.
    force
        Also run what is up to date. Without it, a report of the same notebook, parameters, data, library and packages
        is kept.
    cold
        Start workers and kernels as new processes. By default they are forks of one process that has imported
        everything. The reports are the same to the byte.
    environment
        The names of environment variables that notebooks may read. Their values are redacted in all files.
    on_progress
        Called with each outcome.

    Returns
    -------
    tuple of RunOutcome
        In the order of the runs.

    Raises
    ------
    ValueError
        If two runs have the same folder, or a named environment variable is not set.
    """
    unset = [name for name in environment if name not in os.environ]
    if unset:
        raise ValueError(f"the environment variable {unset[0]} is not set")
    if len({run.folder for run in runs}) < len(runs):
        raise ValueError("two runs have the same folder")
    secrets = find_secrets(os.environ[name] for name in environment)
    passed = {name: os.environ[name] for name in (*PASSED_VARIABLES, *environment) if name in os.environ}
    max_running = max(1, workers)
    with (
        _clean_folders(runs, out),
        create_private_folder() as home,
        ThreadPoolExecutor(max_running + 1) as threads,
    ):
        variables = passed | FIXED_VARIABLES | {HOME_VARIABLE: str(home), "IPYTHONDIR": str(home)}
        with WorkerPool(home, variables, use_forks=not cold) as pool:
            events = {run.folder: Event() for run in runs}
            batch = _RunExecutor(out, pool, force, secrets, Semaphore(max_running), events)
            return _run_stages(runs, batch, threads, on_progress)


def _run_stages(
    runs: Sequence[Run],
    batch: _RunExecutor,
    threads: ThreadPoolExecutor,
    on_progress: Callable[[RunOutcome], object],
) -> tuple[RunOutcome, ...]:
    outcomes: dict[str, RunOutcome] = {}
    try:
        for stage in sorted({run.stage for run in runs}):
            # In order of periods: a run must not wait for one that has no thread yet.
            stage_runs = sorted((run for run in runs if run.stage == stage), key=lambda run: run.period or "")
            futures = [threads.submit(batch.execute, run) for run in stage_runs]
            for future in as_completed(futures):
                outcome = future.result()
                outcomes[outcome.run.folder] = outcome
                on_progress(outcome)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return tuple(outcomes[run.folder] for run in runs)


@contextmanager
def _clean_folders(runs: Sequence[Run], out: Path) -> Iterator[None]:
    """Remove unfinished reports before the batch, and after it in case it was stopped."""

    def clean_all() -> None:
        for run in runs:
            with suppress(OSError):  # a folder that cannot be written is reported by its own run
                clean_run_folder(run, out)

    clean_all()
    try:
        yield
    finally:
        clean_all()


@dataclass(frozen=True, slots=True)
class _RunExecutor:
    """Executes single runs, each in a thread of the caller.

    Attributes
    ----------
    out
        The batch's folder.
    pool
        The pool of workers.
    force
        Whether runs that are up to date are run, too.
    secrets
        The texts to redact.
    slots
        Limits how many notebooks run at the same time.
    finished
        Per folder, an event that is set once its report will not change any more.
    """

    out: Path
    pool: WorkerPool
    force: bool
    secrets: tuple[str, ...]
    slots: Semaphore
    finished: Mapping[str, Event]

    def execute(self, run: Run) -> RunOutcome:
        """Run a notebook if it is due, and return the outcome."""
        try:
            is_due = self.force or find_rerun_reason(run, self.out, hash_run_inputs(run, self.out))
            # If it is not due now, it may be once the report of the previous period is finished.
            if is_due or find_rerun_reason(run, self.out, self._hash_final_inputs(run)):
                return self._run_with_retry(run)
            return read_outcome(run, self.out, kept=True)
        except OSError as problem:  # the notebook is missing, or no process can be started; other runs continue
            if self.pool.is_closed:
                raise
            return RunOutcome(run, "failed", 0.0, str(Failure(type(problem).__name__, str(problem))))
        finally:
            self.finished[run.folder].set()

    def _run_with_retry(self, run: Run) -> RunOutcome:
        started = datetime.now(UTC)
        attempt = 1
        while True:
            answer = self._attempt(run, attempt)
            if "published" in answer:
                return read_outcome(run, self.out)
            failure = Failure(**answer["failure"])
            if attempt == MAX_ATTEMPTS or not answer["again"]:
                return self._publish_failure(run, failure, started, attempt)
            attempt += 1

    def _publish_failure(self, run: Run, failure: Failure, started: datetime, attempt: int) -> RunOutcome:
        """Publish a failure that the worker could not publish itself."""
        try:
            work_folder = clean_run_folder(run, self.out)
            work_folder.mkdir(parents=True)
            inputs = self._hash_final_inputs(run)
            save_previous_claims(run, work_folder, inputs)
            page = render_failure_page(run, failure)
            publish_report(
                run, work_folder, page, failure, inputs=inputs, started=started, seconds=0.0, attempt=attempt
            )
            return read_outcome(run, self.out)
        except OSError as problem:
            clean_run_folder(run, self.out)
            return RunOutcome(run, "failed", 0.0, f"{failure}; and the report cannot be written: {problem}")

    def _attempt(self, run: Run, attempt: int) -> dict[str, Any]:
        """Run a notebook once and return the worker's last answer, or a failure if the worker was killed."""
        is_late = Event()
        with ExitStack() as slot:
            slot.enter_context(self.slots)
            with self.pool.start() as worker:
                timer = _start_deadline_timer(run, worker, is_late)
                answer = worker.ask(self._describe_job(run, attempt))
                timer.cancel()
                # Publishing takes little, and may wait for the report of the previous period: another run may start.
                slot.close()
                if answer == "executed":
                    answer = worker.ask(self._hash_final_inputs(run))
        if answer:
            return answer
        if is_late.is_set():
            failure = Failure("Deadline", f"the run took longer than {run.deadline_seconds} s")
            return {"failure": asdict(failure), "again": False}
        return {"failure": asdict(KILLED_FAILURE), "again": True}

    def _describe_job(self, run: Run, attempt: int) -> dict[str, Any]:
        return {
            "run": asdict(run) | {"notebook": str(run.notebook)},
            "out": str(self.out),
            "attempt": attempt,
            "secrets": self.secrets,
            "parent": os.getpid(),
        }

    def _hash_final_inputs(self, run: Run) -> dict[str, str]:
        """Hash the inputs of a run once the report of its previous period is finished."""
        if run.before in self.finished:
            self.finished[run.before].wait()
        return hash_run_inputs(run, self.out)


def _start_deadline_timer(run: Run, worker: Worker, is_late: Event) -> Timer:
    """Stop a worker that does not enforce its deadline itself, for example because it was halted."""

    def stop_worker() -> None:
        is_late.set()
        worker.stop()

    timer = Timer(run.deadline_seconds + SHUTDOWN_SECONDS, stop_worker)
    timer.daemon = True
    timer.start()
    return timer
