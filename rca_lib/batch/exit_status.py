"""The end of a command: its exit status, and one line that says why it ended.

A command ends normally, by a signal, by a fault of the user or the machine (one line and status 1), or by a fault of
the program (a traceback).
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from rca_lib.findings import DataError

STOPPED = "Stopped."
SIGNAL_STATUS = 128  # exit status of a process that a signal ended, before adding the number of the signal


def install_signal_handlers() -> list[int]:
    """Let SIGINT and SIGTERM raise an exception, so that all cleanup code runs before the process ends.

    Returns
    -------
    list of int
        Receives the number of the signal. Libraries may replace or swallow the exception, but not this record.
    """
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(SIGNAL_STATUS + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return received


def explain_exit(problem: BaseException, received: list[int]) -> tuple[str, int] | None:
    """Return why a command ended, in one line, and its exit status.

    Parameters
    ----------
    problem
        The exception that ended the command.
    received
        The signals that were received, from `install_signal_handlers`.

    Returns
    -------
    tuple or None
        None for a fault of the program itself.

    Examples
    --------
    >>> explain_exit(OSError(28, "No space left on device"), [])
    ('[Errno 28] No space left on device', 1)
    >>> explain_exit(RuntimeError("Query interrupted"), [15])
    ('Stopped.', 143)
    """
    if received:
        return STOPPED, SIGNAL_STATUS + received[0]
    if isinstance(problem, KeyboardInterrupt) or type(problem).__name__ == "Abort":
        return STOPPED, SIGNAL_STATUS + signal.SIGINT
    if isinstance(problem, DataError | ValueError | OSError):
        return str(problem), 1
    if isinstance(problem, MemoryError):
        return "There is not enough memory: use fewer --workers, or free some memory.", 1
    if type(problem).__module__.partition(".")[0] in ("duckdb", "_duckdb"):  # such as a full disk
        return " ".join(str(problem).split()), 1
    if hasattr(problem, "format_message"):  # a wrong command or option
        return problem.format_message(), 2
    return None
