# Tested in tests/intake/test_side_tables.py.
"""A side table as it was read, with the issues, warnings and repairs found in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

MAX_VALUE_CHARS = 60  # characters of a value in a message
MIN_SIMILARITY = 0.5  # Ratcliff-Obershelp similarity from which a value is suggested


@dataclass(frozen=True, slots=True)
class TableIssue:
    """One problem in a side table.

    Attributes
    ----------
    file
        The name of the file.
    problem, hint
        What is wrong, and what to do about it.
    row
        The row as a spreadsheet counts, the header being row 1; None if the whole file is concerned.
    column
        The column; None if no single column is concerned.
    """

    file: str
    problem: str
    hint: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        """Return text such as `events.csv, row 2, column type: 'Tool' is not a known type. Hint: …`."""
        location = [self.file]
        if self.row:
            location.append(f"row {self.row}")
        if self.column:
            location.append(f"column {self.column}")
        hint = f" Hint: {self.hint.rstrip('.')}." if self.hint else ""
        return f"{', '.join(location)}: {self.problem}.{hint}"


@dataclass(slots=True)
class TableFile:
    """A side table as it was read.

    Attributes
    ----------
    name
        The name of the file.
    texts
        The cleaned text of every cell; one row per record, indexed by its row in the file.
    parsed_values
        The parsed values of the columns that have an equivalent in audits; instants are in UTC.
    is_day_only
        For each date column, whether the value is a day without a clock time.
    time_zone
        The zone of clock times.
    has_unknown_date_order
        Whether the file does not show the order of day and month, and the mapping does not declare it.
    issues
        What is wrong.
    warnings
        What may be a mistake.
    repairs
        What was read differently from what the file says.
    """

    name: str
    texts: pd.DataFrame
    parsed_values: pd.DataFrame
    is_day_only: pd.DataFrame
    time_zone: str
    has_unknown_date_order: bool = False
    issues: list[TableIssue] = field(default_factory=list)
    warnings: list[TableIssue] = field(default_factory=list)
    repairs: list[TableIssue] = field(default_factory=list)

    def add_issue(self, row: Any, column: str, problem: str, hint: str) -> None:
        """Add an issue of a row."""
        self.issues.append(TableIssue(self.name, problem, hint, int(row), column))

    def add_repair(self, row: Any, column: str, description: str) -> None:
        """Record that a cell was read differently from what the file says."""
        self.repairs.append(TableIssue(self.name, description, "", int(row), column))


def format_value(value: object) -> str:
    """Quote a value for a message: at most 60 characters, invisible characters escaped.

    Examples
    --------
    >>> format_value("next week"), format_value("a\\u202eb")
    ("'next week'", "'a\\\\u202eb'")
    """
    text = str(value)
    return repr(text if len(text) <= MAX_VALUE_CHARS else text[:MAX_VALUE_CHARS] + "…")


def normalize_keyword(text: str) -> str:
    """Return a word in the spelling of the schema: lower case, with underscores for spaces and hyphens.

    Examples
    --------
    >>> normalize_keyword(" Tool-Release ")
    'tool_release'
    """
    return re.sub(r"[\s_\-‐-―]+", "_", text.strip().casefold())
