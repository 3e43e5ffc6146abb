"""Verification of reports: each is made again from the audits, and compared with what stands there, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rca_lib.batch.comparison import compare_report
from rca_lib.batch.grid import Run
from rca_lib.batch.job import STORE
from rca_lib.batch.leftovers import check_batch
from rca_lib.batch.locks import hold
from rca_lib.batch.publishing import BEFORE
from rca_lib.batch.records import CLAIMS, RECORD, Outcome
from rca_lib.batch.runner import run_grid
from rca_lib.batch.sources import Source, is_writable, open_source
from rca_lib.findings import DataError
from rca_lib.reporting.verification import Check, Verification, read_file, read_mapping_of

Told = Callable[[Verification], object]
LARGEST_BEFORE = 2 << 20  # bytes of before.json; page one has some ten thousand
MARKS = (RECORD, CLAIMS, "report.html", "findings.json", "report.ipynb")  # what makes a folder that of a report


@dataclass(frozen=True, slots=True)
class VerifiedBatch:
    """What came of a batch: its folder, whether the `whole` of it was verified, from what `source`, and each report.

    `planned` says whether it is known which reports there have to be.
    """

    folder: Path
    whole: bool
    planned: bool
    source: str
    verifications: tuple[Verification, ...]


def verify_report(folder: Path, *, data: Path | None = None, batch_file: Path | None = None) -> Verification:
    """Verify one report: make it again from the audits and compare all of it.

    Parameters, errors and notes are those of `verify_folder`.

    Returns
    -------
    Verification
        The checks of the report.
    """
    return verify_folder(folder, data=data, batch_file=batch_file)[0].verifications[0]


def verify_folder(
    folder: Path,
    *,
    data: Path | None = None,
    batch_file: Path | None = None,
    workers: int = 1,
    on_start: Callable[[int], object] = lambda _: None,
    on_progress: Told = lambda _: None,
) -> list[VerifiedBatch]:
    """Verify a report, all reports of a batch, or all batches below a folder, each against its own store.

    Parameters
    ----------
    folder
        A report's folder, a batch's folder, or a folder above several batches.
    data
        An export to take in again, in place of the batch's own store.
    batch_file
        The batch file, in place of the plan and the tables that the store holds.
    workers
        How many notebooks run at the same time.
    on_start
        Is called once a batch with the number of verifications to come.
    on_progress
        Is called with each verification as it comes.

    Returns
    -------
    list of VerifiedBatch
        One for each batch, with a verification of each report, those that are missing included, in order of their
        folders. For a whole batch, the first is of what belongs to no report: the index, the store, unknown files.

    Raises
    ------
    DataError, ValueError
        If there is no report, or no audits to make it from.

    Notes
    -----
    The notebooks run again in a private folder, by the runner that made the reports; times aside they give the same
    bytes. That takes as long as the run. Only the project's own notebooks run, others where `batch_file` names them.
    A report by another version of rca_lib can rightly differ: its claims are compared, the rest is not checkable.

    It cannot find what rca_lib itself gets wrong, nor what was wrong in the export.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", mend="name the folder of a report, or of a batch")
    batches = _find_batches(folder, any_store=batch_file is not None)
    verified: list[VerifiedBatch] = []
    for root in batches:
        with ExitStack() as stack:
            stack.enter_context(hold(root) if is_writable(root) else nullcontext())
            source = stack.enter_context(open_source(root, data=data, batch_file=batch_file))
            again = Path(stack.enter_context(TemporaryDirectory(prefix="rca-verify-")))
            work = _Work(root, folder.absolute(), source, again, on_progress)
            made = tuple(work.verify(workers, on_start))
            if made:
                verified.append(VerifiedBatch(root, work.whole, source.plan.origin != "assumed", source.told, made))
    if not verified:
        raise DataError(f"no report in {folder}", mend="name the folder of a report, or of a batch")
    return verified


def list_reports(root: Path) -> list[str]:
    """Return the folders of a batch's reports, relative to it, in order; also of those that lack a file."""
    places = [path for path in root.glob("_*") if path.name != STORE]
    places += [path for site in root.glob("[!._]*") if site.is_dir() for path in site.glob("[!.]*")]
    reports = [place for place in places if place.is_dir() and any((place / name).exists() for name in MARKS)]
    return sorted(place.relative_to(root).as_posix() for place in reports)


def _find_batches(folder: Path, *, any_store: bool) -> list[Path]:
    """Return the folder of the batch that a report belongs to, or those of all batches in or below a folder."""
    folder = folder.absolute()
    for place in (folder, *folder.parents[:2]):
        if (place / STORE).is_dir():
            return [place]
    below = sorted(path.parent for path in folder.glob("**/" + STORE) if "/." not in path.as_posix())
    if below:
        return below
    if any((folder / name).exists() for name in MARKS):
        root = folder.parents[0 if folder.name.startswith("_") else 1]
    else:
        root = folder if any(folder.glob("**/" + RECORD)) or any(folder.glob("**/" + CLAIMS)) else None
    if root is None:
        raise DataError(f"no report in {folder}", mend="name the folder of a report, or of a batch")
    if not any_store:
        raise DataError(f"{root} holds no audits ({STORE})", mend="verify where the batch was run, or give --batch")
    return [root]


@dataclass(slots=True)
class _Work:
    """One batch's verification: its `root`, what of it was `asked` for, and where it is made `again`."""

    root: Path
    asked: Path
    source: Source
    again: Path
    on_progress: Told
    found: list[str] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)  # why counts of rows cannot be checked
    problems: dict[str, Check] = field(default_factory=dict)  # why a report cannot be made again
    done: dict[str, Verification] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the whole batch was asked for."""
        return self.root.is_relative_to(self.asked)

    def verify(self, workers: int, on_start: Callable[[int], object]) -> list[Verification]:
        """Make again what is needed, compare what was asked for."""
        self.found = list_reports(self.root)
        whole = self.whole
        planned = self.source.plan.runs
        expected = [name for name in planned if self.source.plan.origin != "assumed" or name in self.found]
        names = [name for name in dict.fromkeys([*self.found, *expected]) if whole or self._is_asked(name)]
        if not names and not whole:
            return []
        runs = {name: run for name in self._with_those_they_read(names) if (run := self._prepare(name))}
        for name in [name for name in names if name not in runs or name not in self.found]:
            self._close(name, None)
        read = self._with_those_they_read([name for name in names if name not in self.done])
        needed = [run for run in runs.values() if whole or run.folder in read]
        on_start(len(names) + whole)
        options = {"force": True, "environment": self.source.environment}
        run_grid(needed, self.again, workers=workers, **options, on_progress=lambda one: self._compare(one, names))
        verifications = [self.done[name] for name in sorted(names)]
        if whole:
            first = check_batch(self.root, self.again, self.source, self.found)
            self.on_progress(first)
            verifications.insert(0, first)
        return verifications

    def _is_asked(self, name: str) -> bool:
        return (self.root / name).is_relative_to(self.asked)

    def _with_those_they_read(self, names: list[str]) -> list[str]:
        """Return the names and those of the reports that they read: the period before, or all sites and periods."""
        planned, wanted = self.source.plan.runs, dict.fromkeys(names)
        present = dict.fromkeys([*self.found, *(planned if self.source.plan.origin != "assumed" else ())])
        for name in names:
            run = self._plan(name)
            if run and run.stage:
                wanted |= dict.fromkeys(other for other in present if not other.startswith("_"))
            elif run and run.before in present:
                wanted[run.before] = None
        return list(wanted)

    def _plan(self, name: str) -> Run | None:
        run = self.source.plan.runs.get(name)
        if run is None:
            record = self._record(name)
            run = self.source.plan_report(name, record.get("site"), record.get("period"))
        return run

    def _record(self, name: str) -> dict[str, Any]:
        if name not in self.records:
            try:
                self.records[name] = read_mapping_of(self.root / name / RECORD)
            except DataError:
                self.records[name] = {}
        return self.records[name]

    def _prepare(self, name: str) -> Run | None:
        """Return the run that makes a report again, None where there is none."""
        run = self._plan(name)
        if run is None:
            told = "no report of a site and period of these audits belongs into this folder"
            self.problems[name] = Check("report", "wrong", name, told, "setting")
            return None
        try:
            run, self.notes[name] = self.source.complete(run, self._record(name).get("started"))
        except (DataError, OSError) as problem:
            self.problems[name] = Check("audits", "not checkable", name, str(problem), "setting")
            return None
        self._place_before(name)
        return run

    def _place_before(self, name: str) -> None:
        """Put what an earlier run said where the runner looks for it; it cannot be derived again."""
        try:
            text = read_file(self.root / name / BEFORE)
            content = read_mapping_of(self.root / name / BEFORE)
        except DataError:
            return
        if len(text) <= LARGEST_BEFORE and _is_page_before(content):
            place = self.again / name
            place.mkdir(parents=True, exist_ok=True)
            (place / BEFORE).write_bytes(text)

    def _compare(self, ended: Outcome, names: list[str]) -> None:
        name = ended.run.folder
        if name not in names or name in self.done:
            return
        if ended.outcome == "failed":
            told = f"made again, it failed: {ended.error}"
            self.problems[name] = Check("audits", "not checkable", name, told, "setting")
            self._close(name, None)
            return
        self._close(name, ended.run)
        for file in ("report.html", "report.ipynb"):  # nothing else reads them, and they are large
            (self.again / name / file).unlink(missing_ok=True)

    def _close(self, name: str, run: Run | None) -> None:
        """Compare a report with the one that was made again, where one was."""
        place, plan = self.root / name, self._plan(name)
        title = _title(name, plan)
        if name not in self.found:
            check = Check("report", "wrong", "missing", f"the report of {title}", "setting")
            verification = Verification(str(place), (check,), title)
        else:
            planned = name in self.source.plan.runs
            assumed = self.source.plan.origin == "assumed"
            verification = compare_report(
                place, self.again / name if run else None, run, title=title, problem=self.problems.get(name),
                unknown=self.notes.get(name, ""), planned=planned or assumed,
            )  # fmt: skip
        self.done[name] = verification
        self.on_progress(verification)


def _is_page_before(content: Mapping[str, Any]) -> bool:
    """Whether before.json is what the runner writes there."""
    claims = content.get("claims")
    texts = all(isinstance(content.get(name), str) for name in ("started", "data"))
    return texts and isinstance(claims, list) and len(claims) < 1000 and all(map(_is_claim, claims))


def _is_claim(claim: object) -> bool:
    named = isinstance(claim, dict) and isinstance(claim.get("id"), str) and isinstance(claim.get("sentence"), str)
    return named and len(claim["sentence"]) < 5000 and len(claim["id"]) < 200


def _title(name: str, run: Run | None) -> str:
    if run is None or run.site is None:
        return name.strip("_").replace("_", " ").capitalize() if name.startswith("_") else name
    return f"{run.site} {run.period}"
