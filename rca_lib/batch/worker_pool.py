# Tested in tests/batch/test_runner.py.
"""Worker processes as the runner sees them: started, asked, stopped.

A worker is a fork of the fork server. If the server is killed, the pool starts another one. If nothing can be forked
(on Windows, or after repeated failures), workers start as new Python processes; the reports are the same.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import IO, Any

from rca_lib.batch.fork_server import ForkServer

MAX_FORK_ATTEMPTS = 2  # failed forks after which all workers start as new processes
SHUTDOWN_SECONDS = 5  # seconds for a worker to end after it is asked to
COLD_START_COMMAND = [sys.executable, "-P", "-c", "from rca_lib.batch.worker import main; main()"]


class Worker:
    """A process that makes one report. It reads lines of JSON and answers each with a line of JSON."""

    def __init__(self, process_id: int, requests: IO[str], answers: IO[str]) -> None:
        """Connect to a process through its two pipes."""
        self._process_id = process_id
        self._requests = requests
        self._answers = answers
        self._has_ended = Event()

    def ask(self, request: object) -> Any:
        """Send a request and return the answer; None if the worker ended without one."""
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self._requests, flush=True)
        answer = self._answers.readline()
        return json.loads(answer) if answer.endswith("\n") else None

    def stop(self) -> None:
        """Ask the worker to end together with all its child processes; kill it if it does not."""
        self._send_signal(signal.SIGTERM)
        if not self._has_ended.wait(SHUTDOWN_SECONDS):
            self._send_signal(signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the worker has ended."""
        with suppress(BrokenPipeError):
            self._requests.close()
        self._answers.read()
        self._answers.close()
        self._has_ended.set()

    def _send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process_id, number)


class WorkerPool:
    """Starts workers. As a context manager it ends all of them on exit."""

    def __init__(self, home: Path, variables: Mapping[str, str], *, use_forks: bool) -> None:
        """Prepare the pool; nothing starts yet.

        Parameters
        ----------
        home
            The private folder of the batch, which receives the log of the workers.
        variables
            The environment variables of the workers.
        use_forks
            Whether workers are forked. They are not on systems without fork.
        """
        self.is_closed = False
        self._home = home
        self._variables = variables
        self._use_forks = use_forks and hasattr(os, "fork")
        self._lock = Lock()
        self._busy_workers = set[Worker]()
        self._server: ForkServer | None = None

    def __enter__(self) -> WorkerPool:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every worker."""
        with self._lock:
            self.is_closed = True
            if self._server:
                self._server.close()
        for worker in list(self._busy_workers):
            worker.stop()

    @contextmanager
    def start(self) -> Iterator[Worker]:
        """Start a worker, which has ended when the context is left.

        Raises
        ------
        OSError
            If the pool is closed, or no process can be started.
        """
        process: subprocess.Popen[str] | None = None
        with self._lock:
            if self.is_closed:
                raise OSError("the batch was stopped")
            worker = self._fork_worker()
            if worker is None:
                process = self._start_process()
                assert process.stdin is not None and process.stdout is not None
                worker = Worker(process.pid, process.stdin, process.stdout)
            self._busy_workers.add(worker)
        try:
            yield worker
        finally:
            worker.wait()
            self._busy_workers.discard(worker)
            if process:
                process.wait()

    def _start_process(self) -> subprocess.Popen[str]:
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                COLD_START_COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=dict(self._variables),
            )

    def _fork_worker(self) -> Worker | None:
        """Fork a worker, from a new server if the last one was killed; return None if nothing can be forked."""
        for _ in range(MAX_FORK_ATTEMPTS if self._use_forks else 0):
            self._server = self._server or ForkServer(self._variables, self._log_file)
            worker_stdin, requests = os.pipe()
            answers, worker_stdout = os.pipe()
            try:
                process_id = self._server.fork(worker_stdin, worker_stdout, self._log_file)
                return Worker(process_id, os.fdopen(requests, "w"), os.fdopen(answers))
            except OSError:
                self._server.close()
                self._server = None
                os.close(requests)
                os.close(answers)
            finally:
                os.close(worker_stdin)
                os.close(worker_stdout)
        self._use_forks = False
        return None

    @property
    def _log_file(self) -> Path:
        return self._home / "workers.log"
