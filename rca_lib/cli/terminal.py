# Tested in tests/cli/test_cli.py.
"""Terminal output: lines, errors, JSON and progress.

Results go to standard output, warnings, errors and progress to standard error. Text from data is always escaped, so
that it cannot control the terminal. Progress is a bar on a terminal, and lines without control characters in a log
file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from rca_lib.io.control_characters import escape_control_chars

EXIT_FAILED = 1  # exit status: a run failed, or data or a file is at fault
EXIT_WARNED = 3  # exit status: done with warnings (--strict), or with something that could not be checked
LOG_WIDTH = 200  # characters of a table's line in a log file

console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)


def print_line(text: object, *, style: str | None = None, error: bool = False) -> None:
    """Print a line, with its control characters escaped.

    Parameters
    ----------
    text
        The text.
    style
        A style of rich, such as a colour; None (default) for plain text.
    error
        Whether the line goes to standard error; False by default.
    """
    target = error_console if error else console
    target.print(escape_control_chars(text), markup=False, soft_wrap=True, style=style)


def print_warning(text: object) -> None:
    """Print a warning on standard error."""
    print_line(f"Warning: {str(text).rstrip('.')}.", style="yellow", error=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; nothing if it has no rows."""
    table = Table(*header)
    for row in rows:
        table.add_row(*(Text(escape_control_chars(cell)) for cell in row))
    if table.row_count:
        target = console if console.is_terminal else Console(width=LOG_WIDTH, highlight=False)
        target.print(table)


def exit_with_error(lines: Sequence[object], status: int = EXIT_FAILED) -> NoReturn:
    """Print the lines of an error on standard error, and exit with this status."""
    for line in lines:
        print_line(line, style="red", error=True)
    sys.exit(status)


def print_json(content: dict[str, Any]) -> None:
    """Print a result as JSON in ASCII, for other programs; nothing else is then printed on standard output."""
    print(json.dumps(content, indent=1, allow_nan=False))  # noqa: T201


def shorten_path(path: Path) -> str:
    """Return a path relative to the current folder if it lies below it."""
    relative_path = os.path.relpath(path)
    return str(path) if relative_path.startswith("..") else relative_path


class ProgressReporter:
    """The progress of several steps: a bar on a terminal, one line per step elsewhere."""

    def __init__(self, bar: Progress | None, title: str) -> None:
        """Start without a known number of steps.

        Parameters
        ----------
        bar
            The bar; None to print lines.
        title
            What is in progress.
        """
        self._bar = bar
        self._title = title
        self._done = 0
        self._total = 0
        self._task = bar.add_task(title, total=None) if bar else None

    def start(self, total: int, title: str = "") -> None:
        """Set the number of steps, and a new title if one is given."""
        self._done = 0
        self._total = total
        self._title = title or self._title
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=self._title, total=total, completed=0)
        else:
            print_line(f"{self._title}: {total:,} to do", error=True)

    def advance(self, text: str = "") -> None:
        """Count a step as done; `text` describes it in a log file."""
        self._done += 1
        if self._bar and self._task is not None:
            self._bar.advance(self._task)
        else:
            print_line(f"[{self._done} of {self._total}] {text}".rstrip(), error=True)

    def stop(self) -> None:
        """Remove the bar, so that lines can be printed."""
        if self._bar:
            self._bar.stop()


@contextmanager
def show_spinner(title: str) -> Iterator[None]:
    """Show on a terminal that something is in progress until the block ends."""
    if not _shows_progress():
        yield
        return
    with error_console.status(escape_control_chars(title)):
        yield


@contextmanager
def show_progress(title: str) -> Iterator[ProgressReporter]:
    """Show progress on standard error until the block ends.

    Yields
    ------
    ProgressReporter
        Receives the number of steps, and each step that is done.
    """
    if not _shows_progress():
        yield ProgressReporter(None, title)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("about"),
        TimeRemainingColumn(),
        TextColumn("to go"),
    )
    with Progress(*columns, console=error_console) as bar:
        yield ProgressReporter(bar, title)


def _shows_progress() -> bool:
    return error_console.is_terminal and not error_console.is_dumb_terminal
