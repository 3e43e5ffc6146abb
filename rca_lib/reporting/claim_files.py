"""Claims that somebody else made: the rows of a CSV or Excel file, or the tables of slides and documents.

A claim is a sentence with a number: which metric, of which part of the work, in which period, and what its value is
said to be. This module reads them as they were written. It keeps the text of each value, because the digits that were
written say how far it was rounded.
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

from rca_lib.audits.tables import AUDITS
from rca_lib.findings import DataError, join_words

NEEDED = ("metric", "value")
ALIASES = {
    "sentence": ("claim", "statement", "text", "finding"),
    "metric": ("kpi", "measure", "indicator"),
    "scope": ("where", "segment", "slice"),
    "period": ("month", "when", "week", "quarter", "date range"),
    "compared_with": ("compared with", "versus", "vs", "baseline", "previous period"),
    "value": ("number", "result", "figure", "reported", "reported value"),
    "tolerance": ("+/-", "±", "margin"),
}  # fmt: skip
SCOPE_COLUMNS = tuple(column.name for column in AUDITS if column.kind == "text" and column.name not in ALIASES)
NO_SCOPE = ("", "all", "everything", "everywhere", "total", "overall", "*")
MAX_BYTES = 200_000_000  # unpacked; a table of claims is a few kilobytes, so more is a mistake or an attack
MAX_CLAIMS = 5_000  # each needs its own count; a longer file is a data export, not a list of claims


@dataclass(frozen=True, slots=True)
class ExternalClaim:
    """One row of a file of claims, as it was written.

    `source` says where it stands ("row 3", "slide 4, row 2"). `scope` holds the cell of that name together with the
    columns of the audits that stand beside it ("site=lisbon; policy=hate").
    """

    source: str
    sentence: str
    metric: str
    scope: str
    period: str
    compared_with: str
    value: str
    tolerance: str


Table = tuple[str, list[list[str]]]  # what to call its place ("slide 4, "), its rows of text


def read_claims(path: Path) -> tuple[ExternalClaim, ...]:
    """Read a file of claims.

    Parameters
    ----------
    path
        A CSV, XLSX, PPTX or DOCX file. The header of a table must name `metric` and `value`; it may name `sentence`,
        `scope` (`site=lisbon;policy=hate`), `period`, `compared_with` (a period or a scope), `tolerance`, and columns
        of the audits such as `site`, which belong to the scope. Tables without this header are passed over.

    Returns
    -------
    tuple of ExternalClaim
        One claim per row that has a metric, in the order of the file.

    Raises
    ------
    DataError
        If the file cannot be read or no table has the two columns.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name} is not a file of claims", mend="give a CSV, XLSX, PPTX or DOCX file")
    if not path.is_file():
        raise DataError(f"{path} does not exist", mend="check the path")
    try:
        _refuse_zip_bomb(path)
        tables = list(reader(path))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, UnicodeError, csv.Error) as problem:
        raise DataError(
            f"{path.name} cannot be read: {problem}", mend="open and save it again, or export it as CSV"
        ) from None
    claims = tuple(claim for place, rows in tables for claim in _read_table(place, rows))
    if not claims:
        raise DataError(f"{path.name} holds no claims: {_describe_headers(tables)}",
                        mend="name the columns metric and value in the header, and fill a row below it")  # fmt: skip
    if len(claims) > MAX_CLAIMS:
        raise DataError(f"{path.name} holds {len(claims):,} claims", mend=f"split it: {MAX_CLAIMS:,} at most at a time")
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
            place = f"sheet {sheet.title}, " if len(book.worksheets) > 1 else ""
            rows = sheet.iter_rows(max_row=MAX_CLAIMS + 100, max_col=100)
            yield place, [[_cell_text(cell.value, cell.number_format or "") for cell in row] for row in rows]
    finally:
        book.close()


def _read_pptx(path: Path) -> Iterator[Table]:
    from pptx import Presentation
    from pptx.exc import PackageNotFoundError

    try:
        slides = Presentation(str(path)).slides
    except PackageNotFoundError:
        raise ValueError("it is no PowerPoint file") from None
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
        raise ValueError("it is no Word file") from None
    for number, table in enumerate(tables, start=1):
        place = f"table {number}, " if len(tables) > 1 else ""
        yield place, [[cell.text.strip() for cell in row.cells] for row in table.rows]


_READERS: dict[str, Callable[[Path], Iterator[Table]]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".xlsx": _read_xlsx,
    ".xlsm": _read_xlsx,
    ".pptx": _read_pptx,
    ".docx": _read_docx,
}


def _refuse_zip_bomb(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large for a list of claims")
        return
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise ValueError("it is too large for a list of claims")


def _cell_text(value: object, number_format: str) -> str:
    """Write a cell as the sheet shows it: a cell in per cent holds a share, and its format says how many digits."""
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


def _read_table(place: str, rows: Sequence[Sequence[str]]) -> Iterator[ExternalClaim]:
    header, columns = _find_header(rows)
    if not columns:
        return
    for number, row in enumerate(rows[header + 1 :], start=header + 2):
        cells = {name: row[index].strip() for name, index in columns.items() if index < len(row)}
        if cells.get("metric"):
            source = f"{place}row {number}"
            texts = {
                name: cells.get(name, "")
                for name in ("sentence", "metric", "period", "compared_with", "value", "tolerance")
            }
            yield ExternalClaim(source=source, scope=_join_scope(cells), **texts)


def _find_header(rows: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """Return the first row that names the needed columns, and where each known column stands."""
    known = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
    known |= {name: name for name in SCOPE_COLUMNS}
    for number, row in enumerate(rows):
        columns: dict[str, int] = {}
        for index, cell in enumerate(row):
            title = " ".join(cell.lower().replace("_", " ").split())
            name = known.get(title) or known.get(title.replace(" ", "_"))
            if name:
                columns.setdefault(name, index)
        if all(name in columns for name in NEEDED):
            return number, columns
    return 0, {}


def _join_scope(cells: Mapping[str, str]) -> str:
    """Return the scope with the columns of the audits that stand beside it, as one text."""
    given = cells.get("scope", "")
    parts = [f"{name}={cells[name]}" for name in SCOPE_COLUMNS if cells.get(name, "").lower() not in NO_SCOPE]
    return "; ".join([*parts, *([given] if given.lower() not in NO_SCOPE else [])])


def parse_claimed_scope(text: str) -> dict[str, str]:
    """Read `site=lisbon; policy=hate`; empty, "all" and "overall" mean everything.

    Raises
    ------
    ValueError
        If a part is not written as `column=value`.

    Examples
    --------
    >>> parse_claimed_scope("site=lisbon; policy = hate")
    {'site': 'lisbon', 'policy': 'hate'}
    """
    if text.strip().lower() in NO_SCOPE:
        return {}
    parts = [part.split("=", 1) for part in text.split(";") if part.strip()]
    if any(len(part) < 2 or not part[0].strip() or not part[1].strip() for part in parts):
        raise ValueError(f"the scope {text!r} cannot be read; write it as site=lisbon; policy=hate")
    return {name.strip(): value.strip() for name, value in parts}


def _describe_headers(tables: Sequence[Table]) -> str:
    headers = [next((row for row in rows if any(row)), []) for _, rows in tables]
    names = [name for header in headers for name in header if name]
    if not names:
        return "there is no table in it"
    missing = [name for name in NEEDED if name not in [title.lower() for title in names]]
    near = {name: difflib.get_close_matches(name, [title.lower() for title in names], 1) for name in missing}
    told = [f"no column {name}{f' (nearest: {near[name][0]})' if near[name] else ''}" for name in missing]
    return join_words(told) or "its table has no rows with a metric"
