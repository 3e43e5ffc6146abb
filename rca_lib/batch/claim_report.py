"""Check a file of claims against an export or the audits of a batch, and write the result as page and workbook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import read_mapping
from rca_lib.intake.ingest import ingest
from rca_lib.reporting.claim_checks import CONFIRMED_OUTCOMES, ClaimChecks, check_claims
from rca_lib.reporting.claim_files import read_claims
from rca_lib.reporting.html import render_template
from rca_lib.reporting.missing_data import STORE_FOLDER
from rca_lib.reporting.synthetic_notice import SYNTHETIC_NOTICE

# Headings of the workbook's columns with their widths in characters, in the order of `ClaimChecks.to_frame`.
COLUMN_WIDTHS = {
    "Where": 14,
    "Sentence": 50,
    "Metric": 20,
    "Scope": 30,
    "Period": 14,
    "Claimed": 14,
    "Outcome": 28,
    "Audits give": 14,
    "Low": 10,
    "High": 10,
    "Why": 70,
}
WORKBOOK_OPTIONS = {
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "in_memory": True,
}
NUMBER_FORMATS = {"%": "0.00%", "pp": "+0.00%;-0.00%;0.00%", "": "#,##0"}  # by unit; "" for counts
CREATION_DATE = datetime(1980, 1, 1)  # fixed, so that equal results give equal files


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
        An export of audits to check against, read with `mapping` and weighted with `population` if they are given.
    batch
        The folder of a batch, whose audits are used if `data` is None.
    mapping, population
        The mapping and the population of the export.
    now
        Audits with later dates are quarantined; None for no limit.

    Returns
    -------
    ClaimChecks
        One check per claim, in the order of the file.

    Raises
    ------
    DataError
        If the claims or the audits cannot be read.
    """
    rows = read_claims(claims)
    with _open_store(data, batch, mapping, population, now) as store:
        return check_claims(rows, store, source=claims.name)


def write_claim_report(checks: ClaimChecks, folder: Path, *, audits: str, now: datetime) -> tuple[Path, Path]:
    """Write the checks of a file of claims as a page and as a workbook.

    Parameters
    ----------
    checks
        The checks. Their texts stay texts: none becomes a formula or a link.
    folder
        The folder that receives both files.
    audits
        What the claims were checked against, in words.
    now
        The time of the check.

    Returns
    -------
    Path, Path
        The page and the workbook.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = [(outcome, count, outcome in CONFIRMED_OUTCOMES) for outcome, count in checks.counts().items() if count]
    html = render_template(
        "claims.html.j2",
        title=f"Claims in {checks.source}",
        footer=f"Written by rca verify on {now:%Y-%m-%d at %H:%M} UTC.",
        checks=checks,
        counts=counts,
        audits=audits,
        synthetic_notice=SYNTHETIC_NOTICE if checks.synthetic else "",
    )
    page = folder / "claims.html"
    workbook = folder / "claims.xlsx"
    page.write_text(html, encoding="utf-8")
    _write_workbook(checks, workbook)
    return page, workbook


def _write_workbook(checks: ClaimChecks, path: Path) -> None:
    import xlsxwriter

    frame = checks.to_frame()
    with xlsxwriter.Workbook(str(path), WORKBOOK_OPTIONS) as workbook:
        workbook.set_properties({"title": f"Claims in {checks.source}", "created": CREATION_DATE})
        formats = {unit: workbook.add_format({"num_format": mask}) for unit, mask in NUMBER_FORMATS.items()}
        text_format = workbook.add_format({"text_wrap": True, "valign": "top"})
        sheet = workbook.add_worksheet("Claims")
        for column, (name, width) in enumerate(zip(frame.columns, COLUMN_WIDTHS.values(), strict=True)):
            sheet.set_column(column, column, width, text_format)
            for row, value in enumerate(frame[name], start=1):
                if isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif value is not None and value == value:  # not NaN
                    derived = checks.checks[row - 1].derived
                    number_format = formats.get(derived.unit if derived else "", formats[""])
                    sheet.write_number(row, column, value, number_format)
        headers = [{"header": heading} for heading in COLUMN_WIDTHS]
        sheet.add_table(0, 0, len(frame), len(headers) - 1, {"name": "Claims", "columns": headers})
        sheet.freeze_panes(1, 0)


@contextmanager
def _open_store(
    data: Path | None, batch: Path | None, mapping: Path | None, population: Path | None, now: datetime | None
) -> Iterator[Path]:
    """Yield the store of the batch, or a temporary store of the export."""
    if data is not None:
        with TemporaryDirectory(prefix="rca-claims-") as scratch:
            store = Path(scratch) / STORE_FOLDER
            ingest(data, store, mapping=read_mapping(mapping), population=population, now=now)
            yield store
        return
    own_store = batch / STORE_FOLDER if batch else None
    if own_store is None or not (own_store / "ledger.json").exists():
        hint = "give an export with --data, or the folder of a batch"
        raise DataError("there are no audits to check the claims against", hint=hint)
    yield own_store
