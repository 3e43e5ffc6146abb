"""Warm workers: one process imports once what every report needs, and forks a worker for each run.

It has a single thread and does no work of its own, so that a fork is a whole process. Whatever it forked ends with it,
and it ends with the process that asked for it.
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
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rca_lib.batch.processes import adopt_orphans, end_children, end_with_parent

# What reports import only where they need it; a name that is gone costs time, nothing else.
NEEDED = (
    "ipykernel.debugger", "ipykernel.ipkernel", "ipykernel.kernelapp", "matplotlib.backends.backend_svg",
    "matplotlib_inline.backend_inline", "narwhals._duckdb.group_by", "narwhals._duckdb.namespace",
    "narwhals._duckdb.selectors", "narwhals._pandas_like.group_by", "narwhals._pandas_like.namespace",
    "narwhals._pandas_like.selectors", "narwhals.stable.v2", "pandas.core.methods.to_dict",
    "pandas.core.reshape.reshape", "sklearn.cluster", "sklearn.feature_extraction.text", "sklearn.linear_model",
    "sklearn.model_selection",
)  # fmt: skip
# What is not imported with them: a debugger that nobody attaches, and the grammar of web addresses, which takes
# jsonschema a second to build and nothing here reads.
UNWANTED = {"debugpy": None, "rfc3987_syntax": None}


class WarmProcess:
    """The process that forks workers, seen from the process that wants them."""

    def __init__(self, variables: Mapping[str, str], log: Path) -> None:
        """Start it with these environment variables, which its workers have too; what it has to say goes to `log`."""
        self._ready = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({theirs.fileno()})"]
        options = {"env": dict(variables), "pass_fds": [theirs.fileno()], "start_new_session": True}
        with theirs, log.open("ab") as written:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=written, **options
            )

    def fork(self, stdin: int, stdout: int, log: Path) -> int:
        """Fork a worker that reads `stdin`, writes `stdout` and complains in `log`; return its process id.

        Raises
        ------
        OSError
            If the process is gone, or could not start.
        """
        socket.send_fds(self._socket, [str(log).encode()], [stdin, stdout])
        process = self._socket.recv(64)
        if not process:
            raise OSError("the warm process is gone")
        self._ready = True
        return int(process)

    def close(self) -> None:
        """End it, and with it all workers and kernels and what those left."""
        self._socket.close()
        if not self._ready:  # it has no worker yet, and would import to the end before it noticed
            self._process.kill()
        self._process.wait()


def serve(descriptor: int) -> None:
    """Import, then fork a worker for each message until the other end closes: the main loop of the warm process."""
    adopt_orphans()
    _import_all()
    workers, this = set[int](), os.getpid()
    with socket.socket(fileno=descriptor) as asked:
        while True:
            log, descriptors, *_ = socket.recv_fds(asked, 4096, 2)
            if not log:
                break
            workers = {worker for worker in workers if not os.waitpid(worker, os.WNOHANG)[0]}
            end_children(besides=workers)  # what killed workers left
            worker = os.fork()
            if not worker:
                asked.close()
                _become_worker(this, descriptors, Path(log.decode()))
            workers.add(worker)
            for taken in descriptors:
                os.close(taken)
            asked.send(str(worker).encode())
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    end_children()


def _import_all() -> None:
    gc.disable()  # nothing of what is imported will ever be garbage
    sys.modules |= UNWANTED
    with reading_encoder():
        import rca_lib
        from rca_lib.batch import worker

        for module in pkgutil.walk_packages(rca_lib.__path__, "rca_lib."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        for name in NEEDED:
            with suppress(ImportError):
                importlib.import_module(name)
        for name in UNWANTED:
            del sys.modules[name]
        worker.prepare()
    threads = len([*Path("/proc/self/task").iterdir()]) if sys.platform == "linux" else threading.active_count()
    if threads > 1:
        raise RuntimeError(f"{threads} threads run after the imports: a fork would lack all but one")
    gc.freeze()  # what all share stays out of the collector, which would copy it by touching it
    gc.enable()


@contextmanager
def reading_encoder() -> Iterator[None]:
    """Read the encoder meanwhile in a fork, on the core that imports leave free, and have it here in the end."""
    this = os.getpid()
    with tempfile.TemporaryFile() as written:
        reader = os.fork()
        if not reader:
            try:
                end_with_parent(this)
                write_encoder(written)
            finally:
                os._exit(0)
        yield
        from rca_lib.stats import texts

        os.waitpid(reader, 0)
        written.seek(0)
        with suppress(EOFError, pickle.UnpicklingError):  # the fork was killed, or the disk is full
            texts.READ.append(pickle.load(written))
        texts.load_encoder()


def write_encoder(file: IO[bytes]) -> None:
    """Write the encoder into a file for another process of this machine."""
    from threadpoolctl import ThreadpoolController

    from rca_lib.stats.texts import load_encoder

    pickler = pickle.Pickler(file, protocol=5)
    # It holds libraries of this very process, and looks for them again in the other.
    pickler.dispatch_table = copyreg.dispatch_table | {ThreadpoolController: lambda _: (ThreadpoolController, ())}
    pickler.dump(load_encoder())
    file.flush()


def _become_worker(parent: int, descriptors: list[int], log: Path) -> None:
    from rca_lib.batch import worker

    try:
        os.setsid()
        end_with_parent(parent)
        complaints = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in zip((*descriptors, complaints), (0, 1, 2), strict=True):
            os.dup2(source, target)
            os.close(source)
        worker.main(warm=True)
    finally:
        os._exit(0)
