"""The kernels that notebooks run in: this Python, alone in a private folder, forked where that is possible.

A forked kernel starts with everything imported. It is forked before the process that runs the notebook has a second
thread, and then waits to be told which connection file is its own.
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
from jupyter_client.jsonutil import json_default
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_client.session import json_packer

from rca_lib.batch.processes import end_with_parent

PACKER = f"--Session.packer={__name__}.pack"
AGAIN = 0.005  # seconds until something is looked at once more
COMMAND = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", PACKER]


class ForkedKernel:
    """A forked kernel: the part of `subprocess.Popen` that `LocalProvisioner` uses, and `begin`."""

    stdin = stdout = stderr = None

    def __init__(self, log: Path) -> None:
        """Fork; what the kernel prints past the notebook goes to `log`."""
        orders, self._order = os.pipe()
        worker = os.getpid()
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(self._order)
                _become_kernel(worker, orders, log)
            except BaseException:  # noqa: BLE001  nothing may return into the worker's stack
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        os.close(orders)

    def begin(self, arguments: list[str], environment: dict[str, str]) -> None:
        """Let it start on a connection file."""
        # One that was killed meanwhile is found dead when it does not answer.
        with suppress(BrokenPipeError), open(self._order, "w") as order:  # noqa: PTH123  a descriptor
            json.dump([arguments, environment], order)

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return how it ended."""
        while self.poll() is None:
            time.sleep(AGAIN)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class ForkedProvisioner(LocalProvisioner):
    """Gives a kernel manager the `ForkedKernel` that its kernel spec holds (registered as `rca-forked`)."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        """Let the kernel begin that waits."""
        kernel: ForkedKernel = self.kernel_spec.metadata["kernel_provisioner"]["kernel"]
        kernel.begin(cmd[cmd.index("-f") :], dict(options.get("env") or os.environ))
        self.process, self.pid, self.pgid = kernel, kernel.pid, kernel.pid
        return self.connection_info

    async def wait(self) -> int | None:
        """Wait for the kernel's end."""
        while await self.poll() is None:
            await asyncio.sleep(AGAIN)
        return await super().wait()


class PromptClient(AsyncKernelClient):
    """A kernel's client that loses no time: Jupyter's own waits .1 s to connect, and .2 s to hear nothing more."""

    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True
        context = zmq.asyncio.Context()
        context.reconnect_ivl = round(1000 * AGAIN)
        return context

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel has answered, and what it shows is heard; outputs are told apart by their request."""
        deadline = time.monotonic() + (timeout or math.inf)
        while time.monotonic() < deadline:
            self.kernel_info()
            with suppress(Empty):
                await self.get_shell_msg(timeout=1)
                await self.get_iopub_msg(timeout=0.2)
                return
            if not await self.is_alive():
                raise RuntimeError("it died before it answered")
        raise RuntimeError(f"it did not answer within {timeout} s")


def manage_kernel(kernel: ForkedKernel | None = None) -> type[AsyncKernelManager]:
    """Return what Papermill takes as `kernel_manager_class`: for a forked kernel, or for one that starts cold.

    Its sockets are files in a folder below the temporary one.
    """
    metadata = {"kernel_provisioner": {"provisioner_name": "rca-forked", "kernel": kernel}} if kernel else {}
    spec = KernelSpec(argv=COMMAND, display_name="Python 3", language="python", metadata=metadata)

    class Manager(AsyncKernelManager):
        kernel_spec = spec
        client_factory = PromptClient

        def __init__(self, **options: Any) -> None:
            place = tempfile.mkdtemp(dir=os.environ["RCA_HOME"])
            sockets = {"transport": "ipc", "ip": f"{place}/s"} if os.name == "posix" else {}
            super().__init__(connection_file=f"{place}/kernel.json", **sockets, **options)

    return Manager


def pack(message: object) -> bytes:
    """Return a message as JSON; a lone surrogate, which would take the message with it, becomes "?"."""
    try:
        return json_packer(message)
    except UnicodeEncodeError:
        return json.dumps(message, default=json_default, ensure_ascii=False).encode("utf-8", "replace")


def _become_kernel(worker: int, orders: int, log: Path) -> None:
    os.setsid()  # a group of its own: what is sent to the kernel reaches what it started
    end_with_parent(worker)
    _redirect(log)
    with open(orders) as order:
        told = order.read()
    if not told:
        os._exit(0)
    arguments, environment = json.loads(told)
    os.environ.clear()
    os.environ.update(environment)
    sys.modules["numpy"].random.seed()  # or all forks would draw the same
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.argv = ["ipykernel_launcher", *arguments]
    from ipykernel.kernelapp import IPKernelApp

    # ipykernel reads whose child it is when it is imported, which was long ago; so does what shows figures whose shell.
    kernel = IPKernelApp.instance()
    kernel.initialize([*arguments, f"--IPKernelApp.parent_handle={worker}"])
    kernel.shell.enable_matplotlib("inline")
    kernel.start()
    os._exit(0)


def _redirect(log: Path) -> None:
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    os.close(written)
    os.close(nothing)
