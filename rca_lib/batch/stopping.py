"""How a command ends: stopped by a signal, by a fault of the user or one of the machine, always in one line."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from rca_lib.findings import DataError

STOPPED = "Stopped."


def watch_signals() -> list[int]:
    """Let SIGINT and SIGTERM end this process by way of all that clears away; return a list that will name the signal.

    What a signal raises may come out of a library as another error, or as none. The list tells.
    """
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return received


def explain_end(problem: BaseException, received: list[int]) -> tuple[str, int] | None:
    """Return in one line why a command ended, and its exit status; None for a fault of the program itself.

    Examples
    --------
    >>> explain_end(OSError(28, "No space left on device"), [])
    ('[Errno 28] No space left on device', 1)
    >>> explain_end(RuntimeError("Query interrupted"), [15])
    ('Stopped.', 143)
    """
    if received:
        return STOPPED, 128 + received[0]
    if isinstance(problem, KeyboardInterrupt) or type(problem).__name__ == "Abort":
        return STOPPED, 130
    if isinstance(problem, DataError | ValueError | OSError):
        return str(problem), 1
    if isinstance(problem, MemoryError):
        return "There is not enough memory: use fewer --workers, or free some.", 1
    if type(problem).__module__.partition(".")[0] in ("duckdb", "_duckdb"):  # a full disk, say
        return " ".join(str(problem).split()), 1
    if hasattr(problem, "format_message"):
        return problem.format_message(), 2
    return None
