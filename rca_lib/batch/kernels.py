# Tested in tests/batch/test_worker.py.
"""Kernels for unattended notebooks: this Python, in a private folder, forked from the worker where possible.

A kernel normally starts as a new Python process and imports everything again. A forked kernel is a copy of its worker,
which has everything imported already (`fork_server`). The worker forks it before it has a second thread. The kernel
then waits on a pipe for its orders: the connection file and the environment variables that Jupyter chose for it.

Jupyter's API expects a kernel manager, a provisioner that launches the process, and an object like `subprocess.Popen`.
These are `make_kernel_manager`, `ForkedProvisioner` and `ForkedKernel`. `FastKernelClient` shortens two waits of
Jupyter's client that would cost each run a third of a second.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import zmq.asyncio
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.jsonutil import json_default
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_client.session import json_packer

from rca_lib.batch.processes import end_with_parent

PACKER_OPTION = f"--Session.packer={__name__}.pack"
KERNEL_COMMAND = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", PACKER_OPTION]
POLL_SECONDS = 0.005  # seconds between two looks at a process or a socket
REPLY_SECONDS = 1  # seconds to wait for one reply of a starting kernel before it is asked again
OUTPUT_SECONDS = 0.2  # seconds to wait until the output channel of a starting kernel is connected
LOG_FILE_MODE = 0o600


class ForkedKernel:
    """A kernel forked from this process; offers what `LocalProvisioner` uses of `subprocess.Popen`, and `begin`."""

    stdin = stdout = stderr = None

    def __init__(self, log: Path) -> None:
        """Fork the kernel, which then waits for `begin`.

        Parameters
        ----------
        log
            The file that receives what the kernel prints outside of notebook cells.
        """
        orders, self._orders = os.pipe()
        worker = os.getpid()
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(self._orders)
                _become_kernel(worker, orders, log)
            except BaseException:  # noqa: BLE001  nothing may return into the worker's stack
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        os.close(orders)

    def begin(self, arguments: list[str], environment: dict[str, str]) -> None:
        """Start the kernel with these command-line arguments and environment variables."""
        # A kernel that was killed meanwhile will be noticed because it does not answer.
        with suppress(BrokenPipeError), open(self._orders, "w") as orders:  # noqa: PTH123  a descriptor
            json.dump([arguments, environment], orders)

    def poll(self) -> int | None:
        """Return the exit code, None while the kernel runs."""
        if self.returncode is None:
            process_id, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if process_id else None
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the kernel and return its exit code."""
        while (exit_code := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        return exit_code

    def send_signal(self, number: int) -> None:
        """Send the kernel a signal if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the kernel."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(signal.SIGTERM)


class ForkedProvisioner(LocalProvisioner):
    """Launches the `ForkedKernel` in the metadata of a kernel spec (registered with Jupyter as `rca-forked`)."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Start the waiting kernel and return its connection information."""
        kernel: ForkedKernel = self.kernel_spec.metadata["kernel_provisioner"]["kernel"]
        kernel.begin(cmd[cmd.index("-f") :], dict(options.get("env") or os.environ))
        self.process = kernel  # type: ignore[assignment]  # it offers what is used of Popen
        self.pid = kernel.pid
        self.pgid = kernel.pid
        return self.connection_info

    async def wait(self) -> int | None:
        """Wait for the end of the kernel."""
        while await self.poll() is None:
            await asyncio.sleep(POLL_SECONDS)
        return await super().wait()


class FastKernelClient(AsyncKernelClient):
    """A kernel client without Jupyter's fixed waits: 0.1 s to reconnect, and 0.2 s for the end of earlier output."""

    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True
        context = zmq.asyncio.Context()
        context.reconnect_ivl = round(1000 * POLL_SECONDS)  # milliseconds
        return context

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel has replied once and its output channel is connected.

        Outputs are matched to their request, so nothing has to be read to the end first.

        Raises
        ------
        RuntimeError
            If the kernel dies, or does not reply within `timeout` seconds.
        """
        deadline = time.monotonic() + (timeout or math.inf)
        while time.monotonic() < deadline:
            self.kernel_info()
            with suppress(Empty):
                await self.get_shell_msg(timeout=REPLY_SECONDS)
                await self.get_iopub_msg(timeout=OUTPUT_SECONDS)
                return
            if not await self.is_alive():
                raise RuntimeError("it died before it answered")
        raise RuntimeError(f"it did not answer within {timeout} s")


def make_kernel_manager(kernel: ForkedKernel | None = None) -> type[AsyncKernelManager]:
    """Return a kernel manager class for Papermill's option `kernel_manager_class`.

    Parameters
    ----------
    kernel
        The forked kernel to use; None (default) to start a new process.

    Returns
    -------
    type
        The class. Its sockets are files in a folder below `RCA_HOME`, where other users have no access.
    """
    metadata = {"kernel_provisioner": {"provisioner_name": "rca-forked", "kernel": kernel}} if kernel else {}
    spec = KernelSpec(argv=KERNEL_COMMAND, display_name="Python 3", language="python", metadata=metadata)

    class Manager(AsyncKernelManager):
        kernel_spec = spec
        client_factory = FastKernelClient

        def __init__(self, **options: Any) -> None:
            folder = tempfile.mkdtemp(dir=os.environ["RCA_HOME"])
            sockets = {"transport": "ipc", "ip": f"{folder}/s"} if os.name == "posix" else {}
            super().__init__(connection_file=f"{folder}/kernel.json", **sockets, **options)

    return Manager


def pack(message: object) -> bytes:
    """Return a message as JSON. A lone surrogate, which JSON cannot transmit, becomes "?"."""
    try:
        return json_packer(message)
    except UnicodeEncodeError:
        return json.dumps(message, default=json_default, ensure_ascii=False).encode("utf-8", "replace")


def _become_kernel(worker: int, orders: int, log: Path) -> None:
    """Turn the forked process into a kernel; never returns."""
    os.setsid()  # its own process group, so that a signal to the kernel reaches its children too
    end_with_parent(worker)
    _redirect_standard_streams(log)
    with open(orders) as pipe:
        text = pipe.read()
    if not text:
        os._exit(0)
    arguments, environment = json.loads(text)
    os.environ.clear()
    os.environ.update(environment)
    sys.modules["numpy"].random.seed()  # otherwise all forks would draw the same random numbers
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.argv = ["ipykernel_launcher", *arguments]
    from ipykernel.kernelapp import IPKernelApp

    # ipykernel was imported by another process: the id of its parent and its shell for figures must be set again.
    kernel = IPKernelApp.instance()
    kernel.initialize([*arguments, f"--IPKernelApp.parent_handle={worker}"])
    shell: Any = kernel.shell
    shell.enable_matplotlib("inline")
    kernel.start()
    os._exit(0)


def _redirect_standard_streams(log: Path) -> None:
    log_descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_FILE_MODE)
    null_descriptor = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null_descriptor, 0), (log_descriptor, 1), (log_descriptor, 2)):
        os.dup2(source, target)
    os.close(log_descriptor)
    os.close(null_descriptor)
