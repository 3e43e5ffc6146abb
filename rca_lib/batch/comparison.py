"""One report compared with the same report made again: its record, claims, findings, page, notebook and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rca_lib.batch.grid import Run
from rca_lib.batch.plan import PLACES
from rca_lib.batch.publishing import BEFORE, FAILED
from rca_lib.batch.records import CLAIMS, PAGE, RECORD, hash_file, hash_library, hash_versions, is_good
from rca_lib.findings import DataError
from rca_lib.reporting.verification import (
    Check,
    Verification,
    compare_claims,
    compare_files,
    compare_notebooks,
    compare_pages,
    compare_value,
    read_file,
    read_mapping_of,
)

NOTEBOOK = "report.ipynb"
OF_THE_SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")  # what file managers leave in folders that they show
OF_TIME = "when the run was made, how long it took, at which attempt and commit (run.json)"
OF_AN_EARLIER_RUN = "what an earlier run said, in the section 'Against the run before' (before.json)"


def compare_report(
    place: Path,
    made: Path | None,
    run: Run | None,
    *,
    title: str,
    problem: Check | None = None,
    unknown: str = "",
    planned: bool = True,
) -> Verification:
    """Compare a report with the one that was made again.

    Parameters
    ----------
    place
        The folder of the report.
    made
        The folder of the report that was made again, None where that was not possible.
    run
        What the report has to be; None where nothing can be said of that.
    title
        What it is called.
    problem
        Why it could not be made again.
    unknown
        Why the counts of rows of the export cannot be checked, "" where they can.
    planned
        Whether the batch's plan names it.

    Returns
    -------
    Verification
        A check per claim, file, section that differs, and setting.
    """
    report = _Report(place, made, run, unknown)
    if made is None or run is None:
        checks = [*report.list_unchecked(problem)]
    else:
        told = "the plan of the batch does not name it; made again with the default parameters"
        checks = [] if planned else [Check("plan", "not checkable", "an additional report", told, "setting")]
        checks += [*report.compare()]
    left = [OF_AN_EARLIER_RUN] if (place / BEFORE).exists() else []
    return Verification(str(place), tuple(checks), title, (OF_TIME, *left))


@dataclass(slots=True)
class _Report:
    """A report, `made` again; `excuse` says why it may rightly differ."""

    place: Path
    made: Path | None
    run: Run | None
    unknown: str
    record: dict[str, Any] = field(default_factory=dict)
    excuse: str = ""

    def compare(self) -> Iterator[Check]:
        """Compare everything."""
        yield from self._compare_record()
        expected = [path.relative_to(self.made).as_posix() for path in sorted(self.made.rglob("*")) if path.is_file()]
        for name in [name for name in expected if name not in (RECORD, BEFORE)]:
            yield from self._compare_file(name)
        yield from self._list_others(expected)
        yield from self._compare_hashes()

    def list_unchecked(self, problem: Check | None) -> Iterator[Check]:
        """List what could not be derived again, each claim by itself."""
        if problem:
            yield problem
        why = problem.derived if problem else "it could not be made again"
        try:
            claims = read_mapping_of(self.place / CLAIMS).get("claims")
        except DataError:
            return
        for claim in claims if isinstance(claims, list) else ():
            told = claim if isinstance(claim, dict) else {}
            yield Check(str(told.get("id")), "not checkable", str(told.get("sentence")), why, "claim")

    def _compare_record(self) -> Iterator[Check]:
        try:
            self.record = read_mapping_of(self.place / RECORD)
        except DataError as problem:
            yield Check(RECORD, "wrong", str(problem), "the record of the run", "file")
            return
        record, run = self.record, self.run
        self.excuse = _find_excuse(record, read_mapping_of(self.made / RECORD))
        if not is_good(record):
            yield Check("outcome", "wrong", _tell_failure(record), "a run that succeeded", "setting")
        for name in ("site", "period", "folder", "stage", "before"):
            yield compare_value(name, record.get(name), getattr(run, name))
        yield compare_value("fingerprint", record.get("fingerprint"), run.fingerprint, "audits")
        given = record.get("parameters")
        stated = given if isinstance(given, dict) else {"parameters": given}
        stated, right = ({name: value for name, value in one.items() if name not in PLACES}
                         for one in (stated, run.parameters))  # fmt: skip
        yield compare_value("parameters", stated, right)

    def _compare_file(self, name: str) -> Iterator[Check]:
        made = (self.made / name).read_bytes()
        try:
            found = read_file(self.place / name)
        except DataError as problem:
            yield Check(name, "wrong", str(problem), "the file as the audits give it", "file")
            return
        unknown = self.excuse or self.unknown
        if name == PAGE:
            yield from compare_pages(found, made, excuse=self.excuse, unknown=self.unknown)
        elif name == NOTEBOOK:
            yield compare_notebooks(found, made, places=PLACES, excuse=unknown)
        elif name == CLAIMS:
            yield from self._compare_claims(found, made)
        else:
            yield compare_files(name, found, made, excuse=self.excuse)

    def _compare_claims(self, found: bytes, made: bytes) -> Iterator[Check]:
        try:
            content = read_mapping_of(self.place / CLAIMS)
        except DataError as problem:
            yield Check(CLAIMS, "wrong", str(problem), "the claims that the audits give", "file")
            return
        right = read_mapping_of(self.made / CLAIMS)
        unknown = {"case.ledger": self.unknown} if self.unknown else {}
        yield from compare_claims(content.get("claims"), right["claims"], unknown=unknown, excuse=self.excuse)
        yield compare_files(CLAIMS, found, made, excuse=self.excuse or self.unknown)

    def _list_others(self, expected: list[str]) -> Iterator[Check]:
        """List what lies in the folder and no run writes."""
        known = {*expected, RECORD, BEFORE, *(FAILED if self.record.get("failed") else ())}
        for path in sorted(self.place.rglob("*")):
            name = path.relative_to(self.place).as_posix()
            linked = path.is_symlink()
            if (linked or not path.is_dir()) and name not in known and path.name not in OF_THE_SYSTEM:
                yield Check(name, "not checkable", "a further file", "no run writes it", "file")
        if (self.place / BEFORE).exists() and not (self.made / BEFORE).exists():
            yield Check(BEFORE, "wrong", "not readable as what an earlier run said", "a record, or no file", "file")

    def _compare_hashes(self) -> Iterator[Check]:
        """Compare the hashes in the record with the files: none is missing from it, none is named that is not there."""
        if not self.record:
            return
        paths = [path for path in sorted(self.place.rglob("*")) if path.is_file() and not path.is_symlink()]
        names = {path: path.relative_to(self.place).as_posix() for path in paths if path.name not in OF_THE_SYSTEM}
        actual = {name: hash_file(path) for path, name in names.items() if name != RECORD}
        stated = self.record.get("files")
        if isinstance(stated, dict):
            further = {name for name in actual if name not in stated and not (self.made / name).exists()}
            differing = [name for name in {*actual, *stated} - further if stated.get(name) != actual.get(name)]
            told = f"the hashes of {', '.join(sorted(differing)[:5])} are other ones" if differing else "all files"
            outcome = "wrong" if differing else "exact"
        else:
            outcome, told = "wrong", "no list of files"
        yield Check("hashes in run.json", outcome, told, "a SHA-256 of every file", "file")


def _find_excuse(record: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """Return why a report may differ from the one that was made again: another version of something made it."""
    if record.get("failed"):
        return "it is an earlier report that stands since a later run failed"
    stated = record.get("inputs")
    stated = stated if isinstance(stated, dict) else {}
    if record.get("notebook") != made.get("notebook"):
        return "it was made by another notebook; give --batch"
    if stated.get("notebook") != made["inputs"]["notebook"]:
        return "it was made by another version of the notebook"
    if stated.get("library") != hash_library():
        return "it was made by another version of rca_lib; only its claims are compared"
    return "" if stated.get("packages") == hash_versions() else "it was made with other versions of the packages"


def _tell_failure(record: Mapping[str, Any]) -> str:
    failed = record.get("failed")
    if isinstance(failed, dict):
        return f"a later run failed; {_tell_failure(failed | {'outcome': failed.get('started')})}"
    error = record.get("error")
    about = f"{error.get('exception')}: {error.get('message')}" if isinstance(error, dict) else "no reason is told"
    return f"{record.get('outcome')}: {about}"
