"""Claims made by others: read from a CSV or Excel file, or from tables in slides and documents.

A claim states the value of a metric for a scope and a period. This module reads claims as written. It keeps the text of
each value, because the digits written show how far it was rounded.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from rca_lib.audits.schema import AUDIT_COLUMNS
from rca_lib.findings import DataError, join_words

REQUIRED_COLUMNS = ("metric", "value")
COLUMN_ALIASES = {
    "sentence": ("claim", "statement", "text", "finding"),
    "metric": ("kpi", "measure", "indicator"),
    "scope": ("where", "segment", "slice"),
    "period": ("month", "when", "week", "quarter", "date range"),
    "compared_with": ("compared with", "versus", "vs", "baseline", "previous period"),
    "value": ("number", "result", "figure", "reported", "reported value"),
    "tolerance": ("+/-", "±", "margin"),
}  # fmt: skip
SCOPE_COLUMNS = tuple(
    column.name for column in AUDIT_COLUMNS if column.kind == "text" and column.name not in COLUMN_ALIASES
)
UNSCOPED_WORDS = ("", "all", "everything", "everywhere", "total", "overall", "*")
MAX_BYTES = 200_000_000  # unpacked; a table of claims has a few kilobytes, so more is a mistake or an attack
MAX_CLAIMS = 5_000  # each needs its own count; a longer file is a data export
MAX_SHEET_COLUMNS, EXTRA_SHEET_ROWS = 100, 100  # read of a sheet, the rows beyond MAX_CLAIMS: titles and blank lines


@dataclass(frozen=True, slots=True)
class ExternalClaim:
    """One row of a file of claims, as written.

    Attributes
    ----------
    location
        Where it is in the file ("row 3", "slide 4, row 2").
    sentence
        The claim in words; it is not checked.
    metric, period, compared_with, value, tolerance
        The cells of these columns; "" where there is none.
    scope
        The cell of that name together with columns of the audits ("site=lisbon; policy=hate").
    """

    location: str
    sentence: str
    metric: str
    scope: str
    period: str
    compared_with: str
    value: str
    tolerance: str


Table = tuple[str, list[list[str]]]  # the start of its location ("slide 4, "), and its rows of text


def read_claims(path: Path) -> tuple[ExternalClaim, ...]:
    """Read a file of claims.

    Parameters
    ----------
    path
        A CSV, XLSX, PPTX or DOCX file. The header of a table must contain `metric` and `value`. It can contain
        `sentence`, `scope` (`site=lisbon;policy=hate`), `period`, `compared_with` (a period or a scope), `tolerance`,
        and columns of the audits such as `site`, which are added to the scope. Other tables are skipped.

    Returns
    -------
    tuple of ExternalClaim
        One claim per row with a metric, in the order of the file.

    Raises
    ------
    DataError
        If the file cannot be read, or no table has the two columns.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name} is not a file of claims", hint="give a CSV, XLSX, PPTX or DOCX file")
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="check the path")
    try:
        _check_unpacked_size(path)
        tables = list(reader(path))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, UnicodeError, csv.Error) as error:
        raise DataError(
            f"{path.name} cannot be read: {error}", hint="open and save it again, or export it as CSV"
        ) from None
    claims = tuple(claim for location, rows in tables for claim in _read_table(location, rows))
    if not claims:
        raise DataError(f"{path.name} contains no claims: {_describe_headers(tables)}",
                        hint="name the columns metric and value in the header, and fill a row below it")  # fmt: skip
    if len(claims) > MAX_CLAIMS:
        raise DataError(
            f"{path.name} contains {len(claims):,} claims", hint=f"split it: at most {MAX_CLAIMS:,} per file"
        )
    return claims


# files ---------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path) -> Iterator[Table]:
    raw = path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = raw.decode("cp1252")
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=header.count)
    yield "", [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter)]


def _read_xlsx(path: Path) -> Iterator[Table]:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            location = f"sheet {sheet.title}, " if len(book.worksheets) > 1 else ""
            rows = sheet.iter_rows(max_row=MAX_CLAIMS + EXTRA_SHEET_ROWS, max_col=MAX_SHEET_COLUMNS)
            yield location, [[_format_cell(cell.value, cell.number_format or "") for cell in row] for row in rows]
    finally:
        book.close()


def _read_pptx(path: Path) -> Iterator[Table]:
    from pptx import Presentation
    from pptx.exc import PackageNotFoundError

    try:
        slides = Presentation(str(path)).slides
    except PackageNotFoundError:
        raise ValueError("it is not a PowerPoint file") from None
    for number, slide in enumerate(slides, start=1):
        for shape in slide.shapes:
            if shape.has_table:
                yield f"slide {number}, ", [[cell.text.strip() for cell in row.cells] for row in shape.table.rows]


def _read_docx(path: Path) -> Iterator[Table]:
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    try:
        tables = docx.Document(str(path)).tables
    except PackageNotFoundError:
        raise ValueError("it is not a Word file") from None
    for number, table in enumerate(tables, start=1):
        location = f"table {number}, " if len(tables) > 1 else ""
        yield location, [[cell.text.strip() for cell in row.cells] for row in table.rows]


_READERS: dict[str, Callable[[Path], Iterator[Table]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".xlsx": _read_xlsx,
    ".xlsm": _read_xlsx,
    ".pptx": _read_pptx,
    ".docx": _read_docx,
}


def _check_unpacked_size(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large for a list of claims")
        return
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise ValueError("it is too large for a list of claims")


def _format_cell(value: object, number_format: str) -> str:
    """Return a cell as the sheet displays it: a cell in per cent holds a share, and its format sets the digits."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        if not isinstance(value, datetime | date):
            return str(value).strip()
        return f"{value:%Y-%m-%d}" if "d" in number_format.lower() else f"{value:%Y-%m}"  # shown as a month
    decimals = re.search(r"0\.(0+)", number_format)
    if "%" in number_format:
        return f"{value:.{len(decimals.group(1)) if decimals else 0}%}"
    if decimals:
        return f"{value:.{len(decimals.group(1))}f}"
    return str(int(value)) if float(value).is_integer() else repr(value)


# tables --------------------------------------------------------------------------------------------------------------


def _read_table(location: str, rows: Sequence[Sequence[str]]) -> Iterator[ExternalClaim]:
    header, columns = _find_header(rows)
    if not columns:
        return
    for number, row in enumerate(rows[header + 1 :], start=header + 2):
        cells = {name: row[index].strip() for name, index in columns.items() if index < len(row)}
        if cells.get("metric"):
            texts = {
                name: cells.get(name, "")
                for name in ("sentence", "metric", "period", "compared_with", "value", "tolerance")
            }
            yield ExternalClaim(location=f"{location}row {number}", scope=_join_scope(cells), **texts)


def _find_header(rows: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """Return the first row with the required columns, and the index of each known column."""
    names_by_alias = {alias: name for name, aliases in COLUMN_ALIASES.items() for alias in (name, *aliases)}
    names_by_alias |= {name: name for name in SCOPE_COLUMNS}
    for number, row in enumerate(rows):
        columns: dict[str, int] = {}
        for index, cell in enumerate(row):
            title = " ".join(cell.lower().replace("_", " ").split())
            name = names_by_alias.get(title) or names_by_alias.get(title.replace(" ", "_"))
            if name:
                columns.setdefault(name, index)
        if all(name in columns for name in REQUIRED_COLUMNS):
            return number, columns
    return 0, {}


def _join_scope(cells: Mapping[str, str]) -> str:
    """Return the scope and the columns of the audits as one text."""
    scope = cells.get("scope", "")
    conditions = [
        f"{name}={cells[name]}" for name in SCOPE_COLUMNS if cells.get(name, "").lower() not in UNSCOPED_WORDS
    ]
    if scope.lower() not in UNSCOPED_WORDS:
        conditions.append(scope)
    return "; ".join(conditions)


def parse_claim_scope(text: str) -> dict[str, str]:
    """Parse `site=lisbon; policy=hate`; an empty text, "all" and "overall" mean everything.

    Raises
    ------
    ValueError
        If a condition is not written as `column=value`.

    Examples
    --------
    >>> parse_claim_scope("site=lisbon; policy = hate")
    {'site': 'lisbon', 'policy': 'hate'}
    """
    if text.strip().lower() in UNSCOPED_WORDS:
        return {}
    pairs = [[side.strip() for side in condition.split("=", 1)] for condition in text.split(";") if condition.strip()]
    if any(len(pair) < 2 or not all(pair) for pair in pairs):
        raise ValueError(f"the scope {text!r} cannot be read; write it as site=lisbon; policy=hate")
    return dict(pairs)


def _describe_headers(tables: Sequence[Table]) -> str:
    """Return what is missing in the tables of a file."""
    headers = [next((row for row in rows if any(row)), []) for _, rows in tables]
    names = [name for header in headers for name in header if name]
    if not names:
        return "there is no table in it"
    missing = [name for name in REQUIRED_COLUMNS if name not in [title.lower() for title in names]]
    problems = []
    for name in missing:
        nearest = difflib.get_close_matches(name, [title.lower() for title in names], 1)
        problems.append(f"no column {name}{f' (nearest: {nearest[0]})' if nearest else ''}")
    return join_words(problems) or "its table has no rows with a metric"
