"""What of a batch belongs to no report: the index, the store, an earlier certificate, files that no run writes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from rca_lib.audits.beside import scan_parquet
from rca_lib.audits.engine import open_engine
from rca_lib.audits.mapping import read_mapping
from rca_lib.batch.comparison import OF_THE_SYSTEM
from rca_lib.batch.filling import file_in_store
from rca_lib.batch.job import CERTIFICATE, MANIFEST, STORE
from rca_lib.batch.signing import check_earlier
from rca_lib.batch.sources import Source, link
from rca_lib.findings import DataError
from rca_lib.reporting.coverage import REFUSED, read_refusal
from rca_lib.reporting.index import list_stale, write_index
from rca_lib.reporting.verification import Check, Verification, compare_pages, compare_value, read_file

INDEX = "index.html"
OF_THE_BATCH = (INDEX, CERTIFICATE, MANIFEST, STORE, REFUSED)
SETTINGS = ("label_scale", "label_order", "benign")


def check_batch(root: Path, again: Path, source: Source, found: Sequence[str]) -> Verification:
    """Check what of a batch belongs to no report.

    Parameters
    ----------
    root
        The batch's folder.
    again
        The folder in which its reports were made again.
    source
        What they were made from.
    found
        The folders of the reports that stand there.

    Returns
    -------
    Verification
        Checks of the index, the plan, the store, an earlier certificate, and a check for each unknown file.
    """
    checks = [*_check_index(root, again, source), *_check_plan(source)]
    if source.export is None:
        checks += _check_store(source)
    earlier, left = check_earlier(root)
    checks += [*earlier, *_list_unknown(root, found)]
    if source.plan.origin == "assumed":
        left = (*left, "whether a report is missing: the store holds no plan; run the batch again, or give --batch")
    return Verification(str(root), tuple(checks), "Index, store and other files", left)


def _check_index(root: Path, again: Path, source: Source) -> Iterator[Check]:
    if not (again / STORE).exists():
        link(source.store, again / STORE)  # the index marks what the audits no longer cover
    made = write_index(again, title=source.plan.title)
    excuse = "the title of the batch is not known without a plan" if source.plan.origin == "assumed" else ""
    if read_refusal(root) or list_stale(root):
        excuse = "it marks what became of earlier runs, which are not made again"
    try:
        found = read_file(root / INDEX)
    except DataError as problem:
        yield Check(INDEX, "wrong", str(problem), "the index of all reports", "page")
        return
    for check in compare_pages(found, made.read_bytes(), excuse=excuse):
        name = INDEX if check.id == "report.html" else f"index: {check.id}"
        yield Check(name, check.outcome, check.reported, check.derived, check.about)


def _check_plan(source: Source) -> Iterator[Check]:
    if source.plan_problem:
        yield Check("plan", "wrong", source.plan_problem, "the plan that the last run wrote", "setting")


def _check_store(source: Source) -> Iterator[Check]:
    """Check that the ledger of a store agrees with its mapping, its rows and its quarantine."""
    store, ledger = source.store, source.ledger
    file = store / file_in_store("mapping")
    mapping = read_mapping(file if file.exists() else None)
    for name in SETTINGS:
        stated, declared = (list(value) if isinstance(value, tuple) else value
                            for value in (getattr(ledger, name), getattr(mapping, name)))  # fmt: skip
        yield compare_value(f"ledger: {name}", stated, declared, "audits")
    files = sorted(store.glob("site=*/month=*/audits.parquet"))
    try:
        count = f"select count(*) from {scan_parquet(files)}"
        kept = open_engine(folders=[store]).sql(count).fetchall()[0][0] if files else 0
    except duckdb.Error as problem:
        yield Check("ledger: kept", "wrong", f"{ledger.kept:,}", f"the store cannot be read: {problem}", "audits")
        return
    yield compare_value("ledger: kept", ledger.kept, kept, "audits")
    yield compare_value("ledger: quarantined", ledger.quarantined, _count_quarantined(store), "audits")


def _count_quarantined(store: Path) -> int | str:
    try:
        with (store / "quarantine.csv").open(encoding="utf-8", newline="") as opened:
            return max(sum(1 for _ in csv.reader(opened)) - 1, 0)
    except (OSError, ValueError, csv.Error) as problem:
        return f"quarantine.csv cannot be read: {problem}"


def _list_unknown(root: Path, found: Sequence[str]) -> Iterator[Check]:
    known = {*OF_THE_BATCH, *found, *(name.partition("/")[0] for name in found)}
    for path in sorted(root.iterdir()):
        if path.is_symlink() or (path.name not in known and not _is_hidden(path)):
            yield Check(path.name, "not checkable", "a further file or folder", "no run writes it", "file")
        elif path.name not in found and path.name not in OF_THE_BATCH and path.is_dir():
            for inner in sorted(path.iterdir()):
                name = inner.relative_to(root).as_posix()
                if name not in found and not _is_hidden(inner):
                    yield Check(name, "not checkable", "a further file or folder", "no run writes it", "file")


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name in OF_THE_SYSTEM
