"""Check a file of claims against an export or against the audits of a batch, and write what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import read_mapping
from rca_lib.batch.job import STORE
from rca_lib.findings import DataError
from rca_lib.reporting.claim_checks import HOLDS, ClaimChecks, check_claims
from rca_lib.reporting.claim_files import read_claims
from rca_lib.reporting.html import fill_template

HEADINGS = ("Where", "Sentence", "Metric", "Scope", "Period", "Claimed", "Outcome", "Audits give", "Low", "High", "Why")
WIDTHS = (14, 50, 20, 30, 14, 14, 28, 14, 10, 10, 70)
SAFE = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "in_memory": True}


def check_claim_file(
    claims: Path,
    *,
    data: Path | None = None,
    batch: Path | None = None,
    mapping: Path | None = None,
    population: Path | None = None,
    now: datetime | None = None,
) -> ClaimChecks:
    """Check every claim of a file.

    Parameters
    ----------
    claims
        A CSV, XLSX, PPTX or DOCX file (`read_claims`).
    data
        An export of audits to check against, read with `mapping` and weighted with `population` where they are given.
    batch
        The folder of a batch whose audits are taken where `data` is None.
    now
        Audits that are dated later are quarantined; None for no limit.

    Raises
    ------
    DataError
        If the claims or the audits cannot be read.
    """
    rows = read_claims(claims)
    with _open_store(data, batch, mapping, population, now) as store:
        return check_claims(rows, store, source=claims.name)


def write_claim_report(checks: ClaimChecks, folder: Path, *, audits: str, now: datetime) -> tuple[Path, Path]:
    """Write the checks of a file of claims as a page and as a workbook; return both paths.

    `audits` names what was checked against. Texts stay texts: none becomes a formula or a link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = fill_template(
        "claims.html.j2",
        title=f"Claims in {checks.source}",
        footer=f"Written by rca verify on {now:%Y-%m-%d at %H:%M} UTC.",
        checks=checks,
        counts=[(outcome, count, outcome in HOLDS) for outcome, count in checks.counts().items() if count],
        audits=audits,
    )
    paths = folder / "claims.html", folder / "claims.xlsx"
    paths[0].write_text(page, encoding="utf-8")
    _write_workbook(checks, paths[1])
    return paths


def _write_workbook(checks: ClaimChecks, path: Path) -> None:
    import xlsxwriter

    frame = checks.to_frame()
    with xlsxwriter.Workbook(str(path), SAFE) as book:
        book.set_properties({"title": f"Claims in {checks.source}", "created": datetime(1980, 1, 1)})
        formats = {unit: book.add_format({"num_format": mask}) for unit, mask in _MASKS.items()}
        wrap = book.add_format({"text_wrap": True, "valign": "top"})
        sheet = book.add_worksheet("Claims")
        for column, (name, width) in enumerate(zip(frame.columns, WIDTHS, strict=True)):
            sheet.set_column(column, column, width, wrap)
            for row, value in enumerate(frame[name], start=1):
                derived = checks.checks[row - 1].derived
                if isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif value is not None and value == value:
                    sheet.write_number(row, column, value, formats.get(derived.unit if derived else "", formats[""]))
        sheet.add_table(0, 0, len(frame), len(HEADINGS) - 1,
                        {"name": "Claims", "columns": [{"header": name} for name in HEADINGS]})  # fmt: skip
        sheet.freeze_panes(1, 0)


_MASKS = {"%": "0.00%", "pp": "+0.00%;-0.00%;0.00%", "": "#,##0"}


@contextmanager
def _open_store(
    data: Path | None, batch: Path | None, mapping: Path | None, population: Path | None, now: datetime | None
) -> Iterator[Path]:
    if data is None:
        store = batch and batch / STORE
        if store is None or not (store / "ledger.json").exists():
            raise DataError("there are no audits to check the claims against",
                            mend="give an export with --data, or the folder of a batch")  # fmt: skip
        yield store
        return
    with TemporaryDirectory(prefix="rca-claims-") as scratch:
        store = Path(scratch) / STORE
        take_in(data, store, mapping=read_mapping(mapping), population=population, now=now)
        yield store
