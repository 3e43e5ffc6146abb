"""The fork server: one process imports everything that reports need, and forks a worker for each run.

Importing takes about two seconds, which would otherwise be paid by every report. The design follows from what a fork
may do safely:

- The server has a single thread and runs no notebook itself, because a fork copies only the calling thread.
- It prepares caches (encoder, page templates, versions) and then freezes the garbage collector, so that workers share
  these memory pages instead of copying them.
- It receives requests over a socket pair. A request carries the two pipes of the new worker and its log file; the
  answer is the worker's process id.
- It is the ancestor of all workers and kernels and adopts their orphans. When the socket closes, because the runner
  closed it or died, the server kills all of them and ends.

`ForkServer` is the side of the runner, `run_fork_server` the main loop in the server process.
"""

from __future__ import annotations

import copyreg
import gc
import importlib
import os
import pickle
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from rca_lib.batch.processes import adopt_orphans, end_with_parent, kill_children

# Modules that reports import lazily. A module that no longer exists only costs time.
PRELOADED_MODULES = (
    "ipykernel.debugger", "ipykernel.ipkernel", "ipykernel.kernelapp", "matplotlib.backends.backend_svg",
    "matplotlib_inline.backend_inline", "narwhals._duckdb.group_by", "narwhals._duckdb.namespace",
    "narwhals._duckdb.selectors", "narwhals._pandas_like.group_by", "narwhals._pandas_like.namespace",
    "narwhals._pandas_like.selectors", "narwhals.stable.v2", "pandas.core.methods.to_dict",
    "pandas.core.reshape.reshape", "sklearn.cluster", "sklearn.feature_extraction.text", "sklearn.linear_model",
    "sklearn.model_selection",
)  # fmt: skip
# Modules that must not be imported along: a debugger that nobody attaches, and a grammar of web addresses that takes
# jsonschema a second to build and that nothing here uses. None makes their import fail.
BLOCKED_MODULES: dict[str, Any] = {"debugpy": None, "rfc3987_syntax": None}
MAX_PATH_BYTES = 4096  # bytes of the log path in a request
MAX_ANSWER_BYTES = 64  # bytes of a process id as text
PIPES_PER_WORKER = 2
LOG_FILE_MODE = 0o600


class ForkServer:
    """The fork server, as the runner sees it."""

    def __init__(self, variables: Mapping[str, str], log: Path) -> None:
        """Start the server process.

        Parameters
        ----------
        variables
            Its environment variables, which the workers inherit.
        log
            The file that receives its output.
        """
        self._has_forked = False
        self._socket, server_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from {__name__} import run_fork_server; run_fork_server({server_socket.fileno()})"
        with server_socket, log.open("ab") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                env=dict(variables),
                pass_fds=[server_socket.fileno()],
                start_new_session=True,
            )

    def fork(self, stdin: int, stdout: int, log: Path) -> int:
        """Fork a worker.

        Parameters
        ----------
        stdin, stdout
            File descriptors of the pipes for its standard input and output.
        log
            The file that receives its standard error.

        Returns
        -------
        int
            The process id of the worker.

        Raises
        ------
        OSError
            If the server process has ended or could not start.
        """
        socket.send_fds(self._socket, [str(log).encode()], [stdin, stdout])
        answer = self._socket.recv(MAX_ANSWER_BYTES)
        if not answer:
            raise OSError("the fork server has ended")
        self._has_forked = True
        return int(answer)

    def close(self) -> None:
        """End the server and with it all workers, kernels and their child processes."""
        self._socket.close()
        if not self._has_forked:  # it has no children yet, and would notice the closed socket only after its imports
            self._process.kill()
        self._process.wait()


def run_fork_server(descriptor: int) -> None:
    """Import everything, then fork a worker for each request until the runner closes the socket.

    Parameters
    ----------
    descriptor
        The file descriptor of the server's end of the socket pair.
    """
    adopt_orphans()
    _import_all()
    server = os.getpid()
    workers = set[int]()
    with socket.socket(fileno=descriptor) as requests:
        while True:
            log, pipes, *_ = socket.recv_fds(requests, MAX_PATH_BYTES, PIPES_PER_WORKER)
            if not log:
                break
            workers = {worker for worker in workers if not _has_ended(worker)}
            kill_children(keep=workers)  # orphans of killed workers
            worker = os.fork()
            if not worker:
                requests.close()
                _become_worker(server, pipes, Path(log.decode()))
            workers.add(worker)
            for pipe in pipes:
                os.close(pipe)
            requests.send(str(worker).encode())
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    kill_children()


@contextmanager
def preload_encoder() -> Iterator[None]:
    """Load the text encoder in a forked process while the block runs; it is in this process's cache afterwards.

    The block imports modules on one core, so a second core is free for the encoder.
    """
    parent = os.getpid()
    with tempfile.TemporaryFile() as file:
        loader = os.fork()
        if not loader:
            try:
                end_with_parent(parent)
                write_encoder(file)
            finally:
                os._exit(0)
        yield
        from rca_lib.stats.text import embedding

        os.waitpid(loader, 0)
        file.seek(0)
        with suppress(EOFError, pickle.UnpicklingError):  # the loader was killed or the disk is full
            embedding._ENCODER_CACHE.append(pickle.load(file))
        embedding.load_encoder()


def write_encoder(file: IO[bytes]) -> None:
    """Write the text encoder into a file, for another process on this machine."""
    from threadpoolctl import ThreadpoolController

    from rca_lib.stats.text.embedding import load_encoder

    pickler = pickle.Pickler(file, protocol=5)
    # A controller refers to libraries loaded in this process; the other process must look up its own.
    reduce_controller: dict[type, Any] = {ThreadpoolController: lambda _: (ThreadpoolController, ())}
    pickler.dispatch_table = copyreg.dispatch_table | reduce_controller
    pickler.dump(load_encoder())
    file.flush()


def _has_ended(worker: int) -> bool:
    process_id, _ = os.waitpid(worker, os.WNOHANG)
    return process_id != 0


def _import_all() -> None:
    """Import all modules of reports and fill the caches."""
    gc.disable()  # none of the imported objects will ever be garbage
    sys.modules |= BLOCKED_MODULES
    with preload_encoder():
        import rca_lib
        from rca_lib.batch import worker

        for module in pkgutil.walk_packages(rca_lib.__path__, "rca_lib."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        for name in PRELOADED_MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
        for name in BLOCKED_MODULES:
            del sys.modules[name]
        worker.warm_up()
    threads = psutil.Process().num_threads()
    if threads > 1:
        raise RuntimeError(f"{threads} threads run after the imports: a fork would copy only one of them")
    gc.freeze()  # the collector would touch, and thus copy, the shared pages
    gc.enable()


def _become_worker(server: int, pipes: list[int], log: Path) -> None:
    """Turn the forked process into a worker; never returns."""
    from rca_lib.batch import worker

    try:
        os.setsid()
        end_with_parent(server)
        log_descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_FILE_MODE)
        for source, target in zip((*pipes, log_descriptor), (0, 1, 2), strict=True):
            os.dup2(source, target)
            os.close(source)
        worker.main(is_forked=True)
    finally:
        os._exit(0)
