"""Run the grid: a few workers at the same time, each in processes of its own; reports published whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Semaphore, Timer
from typing import Any

from rca_lib.batch.blotting import find_secrets
from rca_lib.batch.grid import Run
from rca_lib.batch.locks import HOME, private_folder
from rca_lib.batch.publishing import keep_before, publish, sweep, write_failure
from rca_lib.batch.records import Failure, Outcome, find_reason, list_inputs, read_outcome
from rca_lib.batch.workers import ENDS_WITHIN, Workers

HANDED_ON = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG", "LC_ALL", "PYTHONPATH")
FIXED = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    **{"PYTHONHASHSEED": "0", "TZ": "UTC", "SOURCE_DATE_EPOCH": "315532800", "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a forked kernel would come too late to choose it
}
ATTEMPTS = 2  # where a process was killed or did not start
LOST = Failure("Killed", "the process of this run was killed; it may have needed more memory than there is")


def run_grid(
    runs: Sequence[Run],
    out: Path,
    *,
    workers: int = 2,
    force: bool = False,
    cold: bool = False,
    environment: Sequence[str] = (),
    on_progress: Callable[[Outcome], object] = lambda _: None,
) -> tuple[Outcome, ...]:
    """Run notebooks into `out`, one folder for each; return how each ended, in the order of the runs.

    A folder holds the whole earlier or the whole new report, whatever stops the run; `workers` run at the same time.
    A report of the same notebook, parameters, data, library and packages stands, unless `force`. A run whose process
    is killed or does not start is tried once more; an error in a cell is not. Kernels are forks of one process that has
    imported everything, unless `cold` or where nothing can be forked: the reports are the same to the byte.

    Notebooks read those environment variables that `environment` names; their values are blotted out of what is
    written. `on_progress` is called with each outcome as it comes.

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
    secrets = find_secrets(os.environ[name] for name in environment)
    kept_names = [name for name in (*HANDED_ON, *environment) if name in os.environ]
    variables = {name: os.environ[name] for name in kept_names} | FIXED
    outcomes: dict[str, Outcome] = {}
    with _swept(runs, out), private_folder() as home, ThreadPoolExecutor(max(1, workers) + 1) as threads:
        variables |= {HOME: str(home), "IPYTHONDIR": str(home)}
        with Workers(home, variables, warm=not cold) as staff:
            running, ended = Semaphore(max(1, workers)), {run.folder: Event() for run in runs}
            job = _Job(out, staff, force, secrets, running, ended)
            try:
                for stage in sorted({run.stage for run in runs}):
                    # By period: what a report waits for must not stand behind it.
                    due = sorted((run for run in runs if run.stage == stage), key=lambda run: run.period or "")
                    made = [threads.submit(job.make, run) for run in due]
                    for outcome in map(Future.result, as_completed(made)):
                        outcomes[outcome.run.folder] = outcome
                        on_progress(outcome)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
    return tuple(outcomes[run.folder] for run in runs)


@contextmanager
def _swept(runs: Sequence[Run], out: Path) -> Iterator[None]:
    def sweep_all() -> None:
        for run in runs:
            with suppress(OSError):  # what cannot be written is told by the run itself
                sweep(run, out)

    sweep_all()
    try:
        yield
    finally:  # a batch that was stopped leaves no report half made
        sweep_all()


@dataclass(frozen=True, slots=True)
class _Job:
    """What all runs share: so many notebooks may be `running`; `ended` says of each folder that its report stays."""

    out: Path
    staff: Workers
    force: bool
    secrets: tuple[str, ...]
    running: Semaphore
    ended: Mapping[str, Event]

    def make(self, run: Run) -> Outcome:
        """Return how the run ended, or that its report stands."""
        try:
            due = self.force or find_reason(run, self.out, list_inputs(run, self.out))
            # It may stand only until the report of the period before is made anew.
            if due or find_reason(run, self.out, self._final_inputs(run)):
                return self._run(run)
            return read_outcome(run, self.out, kept=True)
        except OSError as problem:  # its notebook is gone, or no process can be started: the others go on
            if self.staff.closed:
                raise
            return Outcome(run, "failed", 0.0, str(Failure(type(problem).__name__, str(problem))))
        finally:
            self.ended[run.folder].set()

    def _run(self, run: Run) -> Outcome:
        started, attempt, failure = datetime.now(UTC), 1, None
        for attempt in range(1, ATTEMPTS + 1):
            answer = self._attempt(run, attempt)
            if "published" in answer:
                return read_outcome(run, self.out)
            failure = Failure(**answer["failure"])
            if not answer["again"]:
                break
        try:
            new = sweep(run, self.out)
            new.mkdir(parents=True)
            inputs = self._final_inputs(run)
            keep_before(run, new, inputs)
            told = {"inputs": inputs, "started": started, "seconds": 0.0, "attempt": attempt}
            publish(run, new, write_failure(run, failure), failure, **told)
            return read_outcome(run, self.out)
        except OSError as unwritten:
            sweep(run, self.out)
            return Outcome(run, "failed", 0.0, f"{failure}; and the report cannot be written: {unwritten}")

    def _attempt(self, run: Run, attempt: int) -> dict[str, Any]:
        told = asdict(run) | {"notebook": str(run.notebook)}
        job = {"run": told, "out": str(self.out), "attempt": attempt, "secrets": self.secrets, "parent": os.getpid()}
        late = Event()
        with ExitStack() as slot, ExitStack() as life:
            slot.enter_context(self.running)
            worker = life.enter_context(self.staff.start())
            timer = Timer(run.deadline_seconds + ENDS_WITHIN, lambda: (late.set(), worker.stop()))
            timer.daemon = True
            timer.start()
            answer = worker.ask(job)
            timer.cancel()
            slot.close()  # what is left takes little, and may have to wait for the period before: the next may run
            if answer == "executed":
                answer = worker.ask(self._final_inputs(run))
        lost = Failure("Deadline", f"the run took longer than {run.deadline_seconds} s") if late.is_set() else LOST
        return answer or {"failure": asdict(lost), "again": not late.is_set()}

    def _final_inputs(self, run: Run) -> dict[str, str]:
        if run.before in self.ended:
            self.ended[run.before].wait()
        return list_inputs(run, self.out)
