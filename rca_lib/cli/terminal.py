"""What is printed: text from data cleaned, progress as a bar on a terminal and as lines in a log file."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
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

FAILED, USAGE, WARNED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143  # exit statuses
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories of signs that control a terminal, or do not show
JOINERS = "\u200c\u200d"  # scripts and emoji need them; they control nothing

console, errors = Console(highlight=False), Console(stderr=True, highlight=False)


def clean(text: object) -> str:
    """Write out signs that would control a terminal, break a line of a log or hide text.

    Examples
    --------
    >>> print(clean("a\\x1b[31m\\nb\\u202e"))
    a\\x1b[31m\\nb\\u202e
    """
    signs = str(text)
    if signs.isascii() and signs.isprintable():
        return signs
    hidden = (unicodedata.category(sign) in HIDDEN and sign not in JOINERS for sign in signs)
    return "".join(repr(sign)[1:-1] if hide else sign for sign, hide in zip(signs, hidden, strict=True))


def say(text: object, *, style: str | None = None, error: bool = False) -> None:
    """Print a line; whatever it holds from data is cleaned."""
    (errors if error else console).print(clean(text), markup=False, soft_wrap=True, style=style)


def warn(text: object) -> None:
    """Print a warning on standard error."""
    say(f"Warning: {str(text).rstrip('.')}.", style="yellow", error=True)


def fail(lines: Sequence[object], status: int = FAILED) -> NoReturn:
    """Print an error, a line each, and exit."""
    for line in lines:
        say(line, style="red", error=True)
    sys.exit(status)


def write_json(content: dict[str, Any]) -> None:
    """Print a result for other programs, in ASCII, as the only thing on standard output."""
    print(json.dumps(content, indent=1, allow_nan=False))  # noqa: T201


def shorten_path(path: Path) -> str:
    """Return a path as seen from here, where it lies below."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near


def _is_live() -> bool:
    return errors.is_terminal and not errors.is_dumb_terminal


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    if not _is_live():
        yield
        return
    with errors.status(clean(what)):
        yield


class RunProgress:
    """The progress of runs: a bar on a terminal, a line per run elsewhere."""

    def __init__(self, bar: Progress | None, what: str) -> None:
        self.bar, self.what, self.done, self.total = bar, what, 0, 0
        self.task = bar.add_task(what, total=None) if bar else None

    def expect(self, total: int, what: str = "") -> None:
        """Say how many runs there are."""
        self.done, self.total, self.what = 0, total, what or self.what
        if self.bar and self.task is not None:
            self.bar.update(self.task, description=self.what, total=total, completed=0)
        else:
            say(f"{self.what}: {total:,} to do", error=True)

    def advance(self, told: str = "") -> None:
        """Say that a run has ended, and how."""
        self.done += 1
        if self.bar and self.task is not None:
            self.bar.advance(self.task)
        else:
            say(f"[{self.done} of {self.total}] {told}".rstrip(), error=True)


@contextmanager
def show_progress(what: str) -> Iterator[RunProgress]:
    """Show the progress of runs on standard error until the block ends."""
    if not _is_live():
        yield RunProgress(None, what)
        return
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("about"), TimeRemainingColumn(), TextColumn("to go"), console=errors,
    ) as bar:  # fmt: skip
        yield RunProgress(bar, what)
