"""Workers, seen from the runner: forks of a warm process, or processes that start cold."""

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
from typing import Any, TextIO

from rca_lib.batch.warm import WarmProcess

ATTEMPTS = 2  # to fork, before all workers start cold
ENDS_WITHIN = 5  # seconds for a worker that is asked to
COLD = [sys.executable, "-P", "-c", "from rca_lib.batch.worker import main; main()"]


class Worker:
    """A process that makes one report: lines of JSON go in, an answer to each comes out."""

    def __init__(self, pid: int, lines: TextIO, answers: TextIO) -> None:
        """Talk to the process `pid` through its two pipes."""
        self._pid, self._lines, self._answers, self._ended = pid, lines, answers, Event()

    def ask(self, line: object) -> Any:
        """Send a line and return the answer, None where the worker has ended without one."""
        with suppress(BrokenPipeError):
            print(json.dumps(line), file=self._lines, flush=True)
        answer = self._answers.readline()
        return json.loads(answer) if answer.endswith("\n") else None

    def stop(self) -> None:
        """Ask it to end, with all that it started; kill it where it does not."""
        self._signal(signal.SIGTERM)
        if not self._ended.wait(ENDS_WITHIN):
            self._signal(signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended."""
        with suppress(BrokenPipeError):
            self._lines.close()
        self._answers.read()
        self._answers.close()
        self._ended.set()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)


class Workers:
    """Starts workers, warm or cold; used as a context, it leaves none."""

    def __init__(self, home: Path, variables: Mapping[str, str], *, warm: bool) -> None:
        """Give the workers a private folder and their environment variables."""
        self.closed = False
        self._home, self._variables, self._warm = home, variables, warm and hasattr(os, "fork")
        self._lock, self._busy = Lock(), set[Worker]()
        self._process: WarmProcess | None = None

    def __enter__(self) -> Workers:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every worker."""
        with self._lock:
            self.closed = True
            if self._process:
                self._process.close()
        for worker in [*self._busy]:
            worker.stop()

    @contextmanager
    def start(self) -> Iterator[Worker]:
        """Start a worker; at the end of the context it has ended."""
        with self._lock:
            if self.closed:
                raise OSError("the batch was stopped")
            process, worker = None, self._fork()
            if worker is None:
                options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                with self._log().open("ab") as log:
                    process = subprocess.Popen(COLD, stderr=log, env=dict(self._variables), **options)
                worker = Worker(process.pid, process.stdin, process.stdout)
            self._busy.add(worker)
        try:
            yield worker
        finally:
            worker.wait()
            self._busy.discard(worker)
            if process:
                process.wait()

    def _fork(self) -> Worker | None:
        """Fork a worker, from a new warm process where the last one was killed; None where nothing can be forked."""
        for _ in range(ATTEMPTS if self._warm else 0):
            self._process = self._process or WarmProcess(self._variables, self._log())
            taken, lines = os.pipe()
            answers, given = os.pipe()
            try:
                pid = self._process.fork(taken, given, self._log())
                return Worker(pid, os.fdopen(lines, "w"), os.fdopen(answers))
            except OSError:
                self._process.close()
                self._process = None
                for unused in (lines, answers):
                    os.close(unused)
            finally:
                os.close(taken)
                os.close(given)
        self._warm = False
        return None

    def _log(self) -> Path:
        return self._home / "workers.log"
