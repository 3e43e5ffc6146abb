"""Compare one report with its reproduction: record, claims, findings, page, notebook, tables and hashes.

The reproduction is the same report, made again from the audits. Each difference becomes a check with an outcome. A
difference that has an innocent explanation, such as another version of rca_lib, is "not checkable" instead of "wrong".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rca_lib.batch.plan import PATH_PARAMETERS
from rca_lib.batch.publishing import FAILED_FILES, NOTEBOOK_FILE, PREVIOUS_FILE
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import (
    CLAIMS_FILE,
    PAGE_FILE,
    RECORD_FILE,
    hash_library,
    hash_versions,
    is_successful,
)
from rca_lib.findings import DataError
from rca_lib.io.hashing import compute_sha256
from rca_lib.reporting.file_comparison import (
    compare_claims,
    compare_files,
    compare_notebooks,
    compare_pages,
    compare_value,
)
from rca_lib.reporting.verification import (
    CheckOutcome,
    Verification,
    VerificationCheck,
    read_json_object,
    read_report_file,
)

SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")  # files that file managers create in folders they display
TIME_NOTE = "the time, duration, attempt and commit of each run (run.json)"
EARLIER_RUN_NOTE = "statements about an earlier run, in the section 'Changes since the previous run' (before.json)"
UNPLANNED_NOTE = "the plan of the batch does not contain it; it was reproduced with the default parameters"
MAX_LISTED_FILES = 5  # files that one check names
RECORD_SETTINGS = ("site", "period", "folder", "stage", "before")


def compare_report(
    folder: Path,
    reproduction: Path | None,
    run: Run | None,
    *,
    title: str,
    problem: VerificationCheck | None = None,
    uncheckable_counts: str = "",
    is_planned: bool = True,
) -> Verification:
    """Compare a report with its reproduction.

    Parameters
    ----------
    folder
        The folder of the report.
    reproduction
        The folder of the reproduction; None if the report could not be reproduced.
    run
        What the report has to be; None if that is unknown.
    title
        The name of the report for people.
    problem
        Why the report could not be reproduced.
    uncheckable_counts
        Why the row counts of the export cannot be checked; "" if they can.
    is_planned
        Whether the plan of the batch contains the report.

    Returns
    -------
    Verification
        A check per claim, file, differing section and setting.
    """
    checks: list[VerificationCheck] = []
    if reproduction is None or run is None:
        checks += _list_unchecked(folder, problem)
    else:
        if not is_planned:
            checks.append(VerificationCheck("plan", "not checkable", "an additional report", UNPLANNED_NOTE, "setting"))
        checks += _ReportComparison(folder, reproduction, run, uncheckable_counts).compare()
    not_covered = [TIME_NOTE]
    if (folder / PREVIOUS_FILE).exists():
        not_covered.append(EARLIER_RUN_NOTE)
    return Verification(str(folder), tuple(checks), title, tuple(not_covered))


@dataclass(slots=True)
class _ReportComparison:
    """A report and its reproduction; `record` and `difference_reason` are filled by `compare`."""

    folder: Path
    reproduction: Path
    run: Run
    uncheckable_counts: str
    record: dict[str, Any] = field(default_factory=dict)
    difference_reason: str = ""  # why the report may legitimately differ

    def compare(self) -> Iterator[VerificationCheck]:
        """Compare everything."""
        yield from self._compare_record()
        paths = [path for path in sorted(self.reproduction.rglob("*")) if path.is_file()]
        names = [path.relative_to(self.reproduction).as_posix() for path in paths]
        for name in names:
            if name not in (RECORD_FILE, PREVIOUS_FILE):
                yield from self._compare_file(name)
        yield from self._list_unknown_files(names)
        yield from self._compare_hashes()

    def _compare_record(self) -> Iterator[VerificationCheck]:
        try:
            self.record = read_json_object(self.folder / RECORD_FILE)
        except DataError as problem:
            yield VerificationCheck(RECORD_FILE, "wrong", str(problem), "the record of the run", "file")
            return
        record = self.record
        self.difference_reason = _explain_difference(record, read_json_object(self.reproduction / RECORD_FILE))
        if not is_successful(record):
            yield VerificationCheck("outcome", "wrong", _describe_failure(record), "a run that succeeded", "setting")
        for name in RECORD_SETTINGS:
            yield compare_value(name, record.get(name), getattr(self.run, name))
        yield compare_value("fingerprint", record.get("fingerprint"), self.run.fingerprint, "audits")
        reported = record.get("parameters")
        if not isinstance(reported, dict):
            reported = {"parameters": reported}
        yield compare_value("parameters", _drop_paths(reported), _drop_paths(self.run.parameters))

    def _compare_file(self, name: str) -> Iterator[VerificationCheck]:
        derived = (self.reproduction / name).read_bytes()
        try:
            reported = read_report_file(self.folder / name)
        except DataError as problem:
            yield VerificationCheck(name, "wrong", str(problem), "the file that the audits give", "file")
            return
        if name == PAGE_FILE:
            yield from compare_pages(
                reported,
                derived,
                difference_reason=self.difference_reason,
                uncheckable_reason=self.uncheckable_counts,
            )
        elif name == NOTEBOOK_FILE:
            reason = self.difference_reason or self.uncheckable_counts
            yield compare_notebooks(reported, derived, path_parameters=PATH_PARAMETERS, difference_reason=reason)
        elif name == CLAIMS_FILE:
            yield from self._compare_claims(reported, derived)
        else:
            yield compare_files(name, reported, derived, difference_reason=self.difference_reason)

    def _compare_claims(self, reported: bytes, derived: bytes) -> Iterator[VerificationCheck]:
        try:
            reported_content = read_json_object(self.folder / CLAIMS_FILE)
        except DataError as problem:
            yield VerificationCheck(CLAIMS_FILE, "wrong", str(problem), "the claims that the audits give", "file")
            return
        derived_content = read_json_object(self.reproduction / CLAIMS_FILE)
        yield from compare_claims(
            reported_content.get("claims"),
            derived_content["claims"],
            uncheckable_reasons={"case.ledger": self.uncheckable_counts} if self.uncheckable_counts else {},
            difference_reason=self.difference_reason,
        )
        reason = self.difference_reason or self.uncheckable_counts
        yield compare_files(CLAIMS_FILE, reported, derived, difference_reason=reason)

    def _list_unknown_files(self, expected: list[str]) -> Iterator[VerificationCheck]:
        """List the files in the folder that no run writes."""
        known = {*expected, RECORD_FILE, PREVIOUS_FILE}
        if self.record.get("failed"):
            known.update(FAILED_FILES)
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            is_folder = path.is_dir() and not path.is_symlink()
            if not is_folder and name not in known and path.name not in SYSTEM_FILES:
                yield VerificationCheck(name, "not checkable", "an additional file", "no run writes it", "file")
        # The reproduction copies a readable record of an earlier run.
        if (self.folder / PREVIOUS_FILE).exists() and not (self.reproduction / PREVIOUS_FILE).exists():
            yield VerificationCheck(
                PREVIOUS_FILE, "wrong", "not a record of an earlier run", "such a record, or no file", "file"
            )

    def _compare_hashes(self) -> Iterator[VerificationCheck]:
        """Compare the hashes in the record with the files, in both directions."""
        if not self.record:
            return
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        names = {path: path.relative_to(self.folder).as_posix() for path in paths if path.name not in SYSTEM_FILES}
        actual = {name: compute_sha256(path) for path, name in names.items() if name != RECORD_FILE}
        reported = self.record.get("files")
        outcome: CheckOutcome
        if isinstance(reported, dict):
            additional = {name for name in actual if name not in reported and not (self.reproduction / name).exists()}
            compared = {*actual, *reported} - additional
            differing = sorted(name for name in compared if reported.get(name) != actual.get(name))
            listed = ", ".join(differing[:MAX_LISTED_FILES])
            description = f"wrong hashes of {listed}" if differing else "all files"
            outcome = "wrong" if differing else "exact"
        else:
            outcome = "wrong"
            description = "no list of files"
        yield VerificationCheck("hashes in run.json", outcome, description, "a SHA-256 of every file", "file")


def _drop_paths(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in PATH_PARAMETERS}


def _explain_difference(record: Mapping[str, Any], reproduced_record: Mapping[str, Any]) -> str:
    """Return why a report may legitimately differ from its reproduction; "" if it may not."""
    if record.get("failed"):
        return "it is an earlier report, kept because a later run failed"
    inputs = record.get("inputs")
    if not isinstance(inputs, dict):
        inputs = {}
    if record.get("notebook") != reproduced_record.get("notebook"):
        return "it was made by another notebook; give --batch, or --trust-notebook if you trust its code"
    if inputs.get("notebook") != reproduced_record["inputs"]["notebook"]:
        return "it was made by another version of the notebook; if you trust its code, give it with --trust-notebook"
    if inputs.get("library") != hash_library():
        return "it was made by another version of rca_lib; only its claims are compared"
    return "" if inputs.get("packages") == hash_versions() else "it was made with other versions of the packages"


def _describe_failure(record: Mapping[str, Any]) -> str:
    failed = record.get("failed")
    if isinstance(failed, dict):
        return f"a later run failed; {_describe_failure(failed | {'outcome': failed.get('started')})}"
    error = record.get("error")
    reason = f"{error.get('exception')}: {error.get('message')}" if isinstance(error, dict) else "no reason is recorded"
    return f"{record.get('outcome')}: {reason}"


def _list_unchecked(folder: Path, problem: VerificationCheck | None) -> Iterator[VerificationCheck]:
    """List every claim of a report that could not be reproduced."""
    if problem:
        yield problem
    reason = problem.derived if problem else "the report could not be reproduced"
    try:
        claims = read_json_object(folder / CLAIMS_FILE).get("claims")
    except DataError:
        return
    for claim in claims if isinstance(claims, list) else ():
        content = claim if isinstance(claim, dict) else {}
        claim_id = str(content.get("id"))
        yield VerificationCheck(claim_id, "not checkable", str(content.get("sentence")), reason, "claim")
