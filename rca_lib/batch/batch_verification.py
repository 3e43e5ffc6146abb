"""Verify reports: make each again from the audits and compare every byte.

The notebooks run again in a private folder, with the same runner that made the reports. Apart from times, equal inputs
give equal bytes, so any difference is a change to the report, to the audits, or to the software. This takes as long as
the first run. Only the project's own notebooks run; others only if a batch file names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rca_lib.batch.batch_folder_checks import verify_batch_folder
from rca_lib.batch.locks import lock_folder
from rca_lib.batch.publishing import NOTEBOOK_FILE, PREVIOUS_FILE
from rca_lib.batch.report_comparison import compare_report
from rca_lib.batch.report_folders import NO_REPORT_HINT, find_batches, list_report_folders
from rca_lib.batch.run_grid import Run
from rca_lib.batch.run_records import PAGE_FILE, RECORD_FILE, RunOutcome
from rca_lib.batch.runner import run_notebooks
from rca_lib.batch.verification_source import VerificationSource, is_writable, open_source
from rca_lib.findings import DataError
from rca_lib.reporting.verification import Verification, VerificationCheck, read_json_object, read_report_file

ProgressCallback = Callable[[Verification], object]
MAX_PREVIOUS_BYTES = 2 << 20  # bytes of before.json; page one has about ten thousand
MAX_PREVIOUS_CLAIMS = 1000  # claims in before.json; page one has about twenty
MAX_SENTENCE_CHARS = 5000  # characters of a claim's sentence in before.json
MAX_ID_CHARS = 200  # characters of a claim's id in before.json
UNEXPECTED_REPORT = "the audits give no report of a site and period for this folder"


@dataclass(frozen=True, slots=True)
class BatchVerification:
    """The verification of a batch, or of a part of it.

    Attributes
    ----------
    folder
        The batch's folder.
    is_complete
        Whether the whole batch was verified.
    has_plan
        Whether it is known which reports there have to be.
    source
        What the reports were derived from, in words.
    verifications
        The verification of each report. In a complete verification, the first one is about the files that belong to no
        report.
    """

    folder: Path
    is_complete: bool
    has_plan: bool
    source: str
    verifications: tuple[Verification, ...]


def verify_report(folder: Path, *, data: Path | None = None, batch_file: Path | None = None) -> Verification:
    """Verify one report: make it again from the audits and compare every byte.

    Parameters
    ----------
    folder
        The folder of the report.
    data, batch_file
        As for `verify_folder`.

    Returns
    -------
    Verification
        The checks of the report.

    Raises
    ------
    DataError, ValueError
        As `verify_folder`.
    """
    return verify_folder(folder, data=data, batch_file=batch_file)[0].verifications[0]


def verify_folder(
    folder: Path,
    *,
    data: Path | None = None,
    batch_file: Path | None = None,
    trusted_notebooks: Sequence[Path] = (),
    workers: int = 1,
    on_start: Callable[[int], object] = lambda _: None,
    on_progress: ProgressCallback = lambda _: None,
) -> list[BatchVerification]:
    """Verify a report, all reports of a batch, or all batches below a folder, each against its own store.

    Parameters
    ----------
    folder
        The folder of a report or of a batch, or a folder above several batches.
    data
        An export to ingest again, instead of using the batch's own store.
    batch_file
        A batch file that replaces the plan and the tables in the store.
    trusted_notebooks
        Notebooks that may run where the plan of the store names them. Without them, only the project's own notebooks
        run, because a notebook is code.
    workers
        The number of notebooks that run at the same time.
    on_start
        Called once per batch with the number of verifications to come.
    on_progress
        Called with each verification.

    Returns
    -------
    list of BatchVerification
        One per batch, with its reports in the order of their folders. Missing reports are included.

    Raises
    ------
    DataError, ValueError
        If there is no report, or there are no audits to make it from.

    Notes
    -----
    A report by another version of rca_lib may legitimately differ: its claims are compared, the rest is not checkable.
    Verification cannot detect errors of rca_lib itself or of the export.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint=NO_REPORT_HINT)
    results: list[BatchVerification] = []
    for root in find_batches(folder, needs_store=batch_file is None):
        with ExitStack() as stack:
            stack.enter_context(lock_folder(root) if is_writable(root) else nullcontext())
            source = stack.enter_context(
                open_source(root, data=data, batch_file=batch_file, trusted_notebooks=trusted_notebooks)
            )
            reproduction = Path(stack.enter_context(TemporaryDirectory(prefix="rca-verify-")))
            verifier = _BatchVerifier(root, folder.absolute(), source, reproduction, on_progress)
            verifications = tuple(verifier.verify(workers, on_start))
            if verifications:
                has_plan = source.plan.origin != "assumed"
                results.append(
                    BatchVerification(root, verifier.is_complete, has_plan, source.description, verifications)
                )
    if not results:
        raise DataError(f"no report in {folder}", hint=NO_REPORT_HINT)
    return results


@dataclass(slots=True)
class _BatchVerifier:
    """Verifies one batch, or the part of it that was requested.

    Attributes
    ----------
    root
        The batch's folder.
    requested
        The folder that the caller named.
    source
        The audits and the plan.
    reproduction
        The folder in which reports are made again.
    on_progress
        Called with each verification.
    existing
        The folders of the reports that exist.
    records
        The records of reports, by folder.
    uncheckable_counts
        Why the row counts of a report cannot be checked, by folder.
    problems
        Why a report cannot be reproduced, by folder.
    verifications
        The results, by folder.
    """

    root: Path
    requested: Path
    source: VerificationSource
    reproduction: Path
    on_progress: ProgressCallback
    existing: list[str] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    uncheckable_counts: dict[str, str] = field(default_factory=dict)
    problems: dict[str, VerificationCheck] = field(default_factory=dict)
    verifications: dict[str, Verification] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the whole batch was requested."""
        return self.root.is_relative_to(self.requested)

    def verify(self, workers: int, on_start: Callable[[int], object]) -> list[Verification]:
        """Make the reports again, and compare those that were requested."""
        self.existing = list_report_folders(self.root)
        is_complete = self.is_complete
        expected = [name for name in self.source.plan.runs if self._has_plan or name in self.existing]
        candidates = dict.fromkeys([*self.existing, *expected])
        names = [name for name in candidates if is_complete or self._is_requested(name)]
        if not names and not is_complete:
            return []
        runs = {name: run for name in self._add_dependencies(names) if (run := self._prepare(name))}
        for name in names:
            if name not in runs or name not in self.existing:
                self._add_verification(name, None)
        reproducible = [name for name in names if name not in self.verifications]
        read_folders = self._add_dependencies(reproducible)
        needed_runs = [run for run in runs.values() if is_complete or run.folder in read_folders]
        on_start(len(names) + is_complete)
        run_notebooks(
            needed_runs,
            self.reproduction,
            workers=workers,
            force=True,
            environment=self.source.environment,
            on_progress=lambda outcome: self._compare(outcome, names),
        )
        results = [self.verifications[name] for name in sorted(names)]
        if is_complete:
            rest = verify_batch_folder(self.root, self.reproduction, self.source, self.existing)
            self.on_progress(rest)
            results.insert(0, rest)
        return results

    @property
    def _has_plan(self) -> bool:
        return self.source.plan.origin != "assumed"

    def _is_requested(self, name: str) -> bool:
        return (self.root / name).is_relative_to(self.requested)

    def _add_dependencies(self, names: list[str]) -> list[str]:
        """Return the names and those of the reports that they read: the previous period, or all sites and periods."""
        available = dict.fromkeys([*self.existing, *(self.source.plan.runs if self._has_plan else ())])
        result = dict.fromkeys(names)
        for name in names:
            run = self._plan_run(name)
            if run and run.stage:
                result |= dict.fromkeys(folder for folder in available if not folder.startswith("_"))
            elif run and run.before in available:
                result[run.before] = None
        return list(result)

    def _plan_run(self, name: str) -> Run | None:
        run = self.source.plan.runs.get(name)
        if run is None:
            record = self._read_record(name)
            run = self.source.plan_unlisted_report(name, record.get("site"), record.get("period"))
        return run

    def _read_record(self, name: str) -> dict[str, Any]:
        if name not in self.records:
            try:
                self.records[name] = read_json_object(self.root / name / RECORD_FILE)
            except DataError:
                self.records[name] = {}
        return self.records[name]

    def _prepare(self, name: str) -> Run | None:
        """Return the run that reproduces a report; None if there is none."""
        run = self._plan_run(name)
        if run is None:
            self.problems[name] = VerificationCheck("report", "wrong", name, UNEXPECTED_REPORT, "setting")
            return None
        started = self._read_record(name).get("started")
        try:
            run, self.uncheckable_counts[name] = self.source.complete_run(run, started)
        except (DataError, OSError) as problem:
            self.problems[name] = VerificationCheck("audits", "not checkable", name, str(problem), "setting")
            return None
        self._copy_previous_claims(name)
        return run

    def _copy_previous_claims(self, name: str) -> None:
        """Copy what a report states about an earlier run to where the runner looks for it; it cannot be derived."""
        file = self.root / name / PREVIOUS_FILE
        try:
            text = read_report_file(file)
            content = read_json_object(file)
        except DataError:
            return
        if len(text) <= MAX_PREVIOUS_BYTES and _is_previous_page(content):
            folder = self.reproduction / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / PREVIOUS_FILE).write_bytes(text)

    def _compare(self, outcome: RunOutcome, names: list[str]) -> None:
        """Compare a report with its reproduction, which has just been made."""
        name = outcome.run.folder
        if name not in names or name in self.verifications:
            return
        if outcome.outcome == "failed":
            reason = f"its reproduction failed: {outcome.error}"
            self.problems[name] = VerificationCheck("audits", "not checkable", name, reason, "setting")
            self._add_verification(name, None)
            return
        self._add_verification(name, outcome.run)
        for file in (PAGE_FILE, NOTEBOOK_FILE):  # large, and not read by other reports
            (self.reproduction / name / file).unlink(missing_ok=True)

    def _add_verification(self, name: str, run: Run | None) -> None:
        """Record the verification of a report; `run` is None if it was not reproduced."""
        folder = self.root / name
        title = _format_title(name, self._plan_run(name))
        if name not in self.existing:
            check = VerificationCheck("report", "wrong", "missing", f"the report of {title}", "setting")
            verification = Verification(str(folder), (check,), title)
        else:
            verification = compare_report(
                folder,
                self.reproduction / name if run else None,
                run,
                title=title,
                problem=self.problems.get(name),
                uncheckable_counts=self.uncheckable_counts.get(name, ""),
                is_planned=name in self.source.plan.runs or not self._has_plan,
            )
        self.verifications[name] = verification
        self.on_progress(verification)


def _is_previous_page(content: Mapping[str, Any]) -> bool:
    """Return whether before.json has the form in which the runner writes it."""
    has_texts = all(isinstance(content.get(name), str) for name in ("started", "data"))
    claims = content.get("claims")
    is_claim_list = isinstance(claims, list) and len(claims) < MAX_PREVIOUS_CLAIMS and all(map(_is_claim, claims))
    return has_texts and is_claim_list


def _is_claim(claim: object) -> bool:
    if not isinstance(claim, dict):
        return False
    claim_id = claim.get("id")
    sentence = claim.get("sentence")
    if not isinstance(claim_id, str) or not isinstance(sentence, str):
        return False
    return len(sentence) < MAX_SENTENCE_CHARS and len(claim_id) < MAX_ID_CHARS


def _format_title(name: str, run: Run | None) -> str:
    if run is not None and run.site is not None:
        return f"{run.site} {run.period}"
    return name.strip("_").replace("_", " ").capitalize() if name.startswith("_") else name
