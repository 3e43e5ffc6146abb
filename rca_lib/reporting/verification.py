# Tested in tests/batch/test_batch_verification.py.
"""The outcome of verification: checks of one report, their verdict, and reading a report's files safely.

A report is verified against the same report, made again from the audits (`file_comparison`). Nothing is taken from the
verified report except to compare it. The plan and the audits define what a report has to contain.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rca_lib.findings import DataError
from rca_lib.io.control_characters import escape_control_chars

CheckOutcome = Literal["exact", "within rounding", "wrong", "not checkable"]
CHECK_OUTCOMES: tuple[CheckOutcome, ...] = ("exact", "within rounding", "wrong", "not checkable")
PASSING_OUTCOMES = ("exact", "within rounding")
VERDICTS = ("verified", "NOT verified", "not checkable")
MAX_FILE_BYTES = 256 << 20  # bytes of a file that is read; the largest report of the project's notebooks has 20 MB
MAX_QUOTED_CHARS = 400  # characters quoted of the reported and the derived text: a few lines
STATUS_VERIFIED, STATUS_WRONG, STATUS_NOT_CHECKABLE = 0, 1, 3  # exit statuses of `rca verify`
RERUN_HINT = "run the report again with --force"


@dataclass(frozen=True, slots=True)
class VerificationCheck:
    """One check.

    Attributes
    ----------
    id
        The claim, file, section of the page, or setting that was checked.
    outcome
        One of `CHECK_OUTCOMES`.
    reported
        What the report contains.
    derived
        What is right, or why that cannot be determined.
    about
        What `id` names: "claim", "file", "page", "setting", "audits" or "signature".
    """

    id: str
    outcome: CheckOutcome
    reported: str
    derived: str
    about: str

    def __post_init__(self) -> None:
        for name in ("id", "reported", "derived"):
            printable = escape_control_chars(getattr(self, name), max_chars=MAX_QUOTED_CHARS)
            object.__setattr__(self, name, printable)

    def to_dict(self) -> dict[str, str]:
        """Return the check as plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one report, or of the files that belong to a batch as a whole.

    Attributes
    ----------
    folder
        The folder of the report.
    checks
        All checks.
    title
        The name of the report for people.
    not_covered
        What the report contains and was not checked; this is not a fault.
    """

    folder: str
    checks: tuple[VerificationCheck, ...]
    title: str = ""
    not_covered: tuple[str, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Whether all checks passed and there is at least one."""
        return bool(self.checks) and all(check.outcome in PASSING_OUTCOMES for check in self.checks)

    @property
    def verdict(self) -> Literal["verified", "NOT verified", "not checkable"]:
        """Return "NOT verified" if anything is wrong, "not checkable" if checks are open and none is wrong."""
        if any(check.outcome == "wrong" for check in self.checks):
            return "NOT verified"
        return "verified" if self.is_verified else "not checkable"

    def counts(self) -> dict[str, int]:
        """Return the number of checks by outcome."""
        return {outcome: sum(check.outcome == outcome for check in self.checks) for outcome in CHECK_OUTCOMES}

    def to_frame(self) -> pd.DataFrame:
        """Return a row per check: `id`, `outcome`, `reported`, `derived`, `about`."""
        columns = [field.name for field in fields(VerificationCheck)]
        return pd.DataFrame([check.to_dict() for check in self.checks], columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "folder": self.folder,
            "title": self.title,
            "verdict": self.verdict,
            "counts": self.counts(),
            "not_covered": list(self.not_covered),
            "checks": [check.to_dict() for check in self.checks],
        }

    def summary(self) -> str:
        """Return the verdict and the number of checks by outcome."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.counts().items())
        return f"{escape_control_chars(self.folder, max_chars=MAX_QUOTED_CHARS)}: {self.verdict} ({counts})."


def count_verdicts(verifications: Sequence[Verification]) -> dict[str, int]:
    """Return the number of reports by verdict."""
    verdicts: list[str] = [verification.verdict for verification in verifications]
    return {name: verdicts.count(name) for name in VERDICTS}


def compute_exit_status(verifications: Sequence[Verification]) -> int:
    """Return the exit status: 0 if all is verified, 1 if anything is wrong, 3 if checks are open and none is wrong.

    Examples
    --------
    >>> outcomes = ("exact", "wrong", "not checkable")
    >>> exact, wrong, unchecked = (VerificationCheck("a", outcome, "", "", "file") for outcome in outcomes)
    >>> [compute_exit_status([Verification("", checks)])
    ...  for checks in ((exact,), (exact, unchecked), (exact, unchecked, wrong), ())]
    [0, 3, 1, 3]
    """
    counts = count_verdicts(verifications)
    if counts["NOT verified"]:
        return STATUS_WRONG
    return STATUS_NOT_CHECKABLE if counts["not checkable"] else STATUS_VERIFIED


def read_report_file(file: Path) -> bytes:
    """Read a file of a report.

    Raises
    ------
    DataError
        If the file is missing, is not a regular file (a link, a folder, a pipe), or is too large.
    """
    try:
        info = file.lstat()
        if not stat.S_ISREG(info.st_mode):
            raise DataError(f"{file.name} is not a regular file", hint=RERUN_HINT)
        if info.st_size > MAX_FILE_BYTES:
            raise DataError(f"{file.name} is too large: {info.st_size:,} bytes", hint=RERUN_HINT)
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{file.name} is missing", hint=RERUN_HINT) from None
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error.strerror}", hint="check the file's permissions") from None


def read_json_object(file: Path) -> dict[str, Any]:
    """Read a JSON file of a report that contains an object.

    Raises
    ------
    DataError
        If the file cannot be read, is not JSON, or contains anything but an object.
    """
    try:
        content = json.loads(read_report_file(file).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file.name} is not valid JSON: {error}", hint=RERUN_HINT) from None
    if not isinstance(content, dict):
        raise DataError(f"{file.name} does not contain a JSON object", hint=RERUN_HINT)
    return content
