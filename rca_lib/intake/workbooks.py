"""Reading of workbooks (XLSX, XLSM, XLSB, XLS, ODS): choice of the sheet, typed cells as text, and what types reveal.

A workbook is an archive, and a small one can unpack to more than the memory holds. Its members are therefore inspected
before they are unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import python_calamine

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping, normalize_header, suggest_names
from rca_lib.intake.csv_dialect import HEADER_SEARCH_ROWS, Record, find_header_row

MAX_EXACT_NUMBER = 10**15  # Excel keeps 15 digits
DATE_ORIGIN = "1899-12-30"  # day 0 of serial dates
DATE_ORIGIN_1904 = "1904-01-01"  # day 0 in workbooks of Excel for Mac's old calendar
FIRST_MIDNIGHT = datetime(1899, 12, 31)  # Excel shows a duration of 0 as this date
FIRST_DATE = datetime(1900, 3, 1)  # an earlier date is a duration shown as a date
MAX_UNPACKED_BYTES = 3 << 30  # of an unpacked workbook; a million rows of thirty columns take about 1.5 GiB
MAX_COMPRESSION_RATIO = 250  # a real sheet shrinks to about a twentieth, a repeated letter to a thousandth
MIN_SUSPICIOUS_BYTES = 100 << 20  # a smaller member cannot fill the memory
MAX_CELLS = 30_000_000  # of a sheet's rectangle: the reader holds each cell, filled or not, in 32 bytes
MIN_FILLED_SHARE = 0.2  # share of filled cells that makes a larger rectangle plausible
MAX_UNNAMED_COLUMNS = 200  # real tables have a few columns without a name; a stray cell adds thousands
MAX_LISTED_FILES = 5  # names of an archive's members in an error
CHUNK_BYTES = 1 << 22  # of a sheet, read at a time
TAG_BYTES = 4096  # longest tag that may be cut at the end of a chunk
MAX_NUMBER_CHARS = 12  # an ambiguous number is shorter
CELL_PATTERN = re.compile(rb"<(?:\w+:)?c\b[^>]*?\br=\"([A-Z]{1,3})(\d{1,7})\"[^>]*?(/?)>")
WORKSHEET_FILE = re.compile(r"xl/worksheets/[^/]+\.xml$")
AMBIGUOUS_NUMBER = re.compile(r"\s*[+-]?[1-9]\d{0,2}[.,]\d{3}\s*%?\s*")
OFFICE_DOCUMENTS = (("word/", "a Word document"), ("ppt/", "a PowerPoint presentation"))


@dataclass(slots=True)
class CellTypes:
    """What the types of the cells reveal, by column position; filled while the records are read.

    `ambiguous_number_columns` are the columns that hold text such as 1.250, which may mean 1250 or 1.25. `max_days` has
    the highest day of the month among the typed dates of a column.
    """

    ambiguous_number_columns: set[int] = field(default_factory=set)
    max_days: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worksheet:
    """A sheet of a workbook.

    `header_offset` is the number of rows above the header, -1 without a header. `date_origin` is day 0 of serial dates.
    """

    names: tuple[str, ...]
    header_offset: int
    records: Iterator[Record]
    types: CellTypes
    date_origin: str


def read_workbook(path: Path, mapping: ColumnMapping) -> Worksheet:
    """Read a sheet of a workbook.

    Parameters
    ----------
    path
        An XLSX, XLSM, XLSB, XLS or ODS file.
    mapping
        Its `sheet` names the sheet, which is needed if several sheets hold cells. `header_row` and `decimal` apply.

    Returns
    -------
    Worksheet
        The header, and the records as an iterator.

    Raises
    ------
    DataError
        If the file is not a readable workbook; if several sheets hold cells and the mapping names none; or if the
        workbook would not fit into memory. That is the case if it unpacks to more than 3 GiB, or if a stray cell makes
        a sheet span more than 30 million cells.
    """
    date_origin = _inspect_archive(path)
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        rows = _choose_sheet(book, mapping, path.name).iter_rows()
    except (python_calamine.CalamineError, OSError) as error:
        is_locked = "password" in str(error).casefold() or "encrypt" in str(error).casefold()
        hint = "save it without a password" if is_locked else "save it again as XLSX"
        raise DataError(f"{path.name} is not a readable workbook: {error}", hint=hint) from None
    first_rows = list(islice(rows, HEADER_SEARCH_ROWS))
    header_offset, _ = find_header_row(first_rows, mapping)
    header = first_rows[header_offset] if header_offset >= 0 else [""] * len(first_rows[0])
    unnamed = sum(cell in ("", None) for cell in header)
    if header_offset >= 0 and unnamed > MAX_UNNAMED_COLUMNS:
        problem = f"the header of {path.name} has {unnamed:,} columns without a name"
        raise DataError(problem, hint="delete the stray cells to the right of the table")
    types = CellTypes()
    records = format_records(chain(first_rows[header_offset + 1 :], rows), mapping.decimal or ".", types)
    return Worksheet(normalize_header(header), header_offset, records, types, date_origin)


def _inspect_archive(path: Path) -> str:
    """Check a packed workbook before it is unpacked, and return day 0 of its serial dates.

    Only XLSX states its calendar. The calendar of 1904 applies only if the workbook says so.
    """
    try:
        with ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            _reject_other_archives(path, list(members))
            for info in members.values():
                _reject_zip_bomb(path, info)
            if sum(info.file_size for info in members.values()) > MAX_UNPACKED_BYTES:
                raise DataError(f"{path.name} unpacks to more than 3 GiB", hint="export it as CSV or Parquet")
            for name in members:
                if WORKSHEET_FILE.match(name):
                    _reject_stray_cells(path, archive, name)
            properties = archive.read("xl/workbook.xml") if "xl/workbook.xml" in members else b""
    except (BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError):
        return DATE_ORIGIN  # an XLS file, or a damaged archive, which calamine reports
    return DATE_ORIGIN_1904 if re.search(rb'date1904="(1|true|on)"', properties) else DATE_ORIGIN


def _reject_other_archives(path: Path, names: list[str]) -> None:
    """Reject a ZIP archive that is not a workbook."""
    if "xl/workbook.xml" in names or "xl/workbook.bin" in names or "content.xml" in names:
        return
    if any(name.startswith("xl/") for name in names):
        return
    for prefix, kind in OFFICE_DOCUMENTS:
        if any(name.startswith(prefix) for name in names):
            problem = f"{path.name} is {kind}, not a table"
            raise DataError(problem, hint="copy its table to a sheet, and save that as XLSX")
    files = [name for name in names if not name.endswith("/")]
    more = " …" if len(files) > MAX_LISTED_FILES else ""
    content = ", ".join(files[:MAX_LISTED_FILES]) + more if files else "nothing"
    problem = f"{path.name} is a ZIP archive; it holds {content}"
    raise DataError(problem, hint="unpack it, and name the file with the audits")


def _reject_zip_bomb(path: Path, info: ZipInfo) -> None:
    """Reject a member that unpacks to many times its packed size."""
    if info.file_size > MIN_SUSPICIOUS_BYTES and info.file_size > MAX_COMPRESSION_RATIO * max(info.compress_size, 1):
        size = f"{info.file_size >> 20:,} MB from {max(info.compress_size >> 10, 1):,} KB"
        problem = f"{path.name} unpacks {info.filename} to {size}"
        raise DataError(problem, hint="export it again; this is not a normal workbook")


def _reject_stray_cells(path: Path, archive: ZipFile, sheet: str) -> None:
    """Reject a sheet that spans far more cells than it fills, because the reader holds the whole rectangle."""
    filled = width = height = 0
    last_column = b""
    with archive.open(sheet) as handle:
        rest = b""
        while chunk := handle.read(CHUNK_BYTES):
            text = rest + chunk
            cells = [(letters, int(row)) for letters, row, is_empty in CELL_PATTERN.findall(text) if not is_empty]
            filled += len(cells)
            for letters in {letters for letters, _ in cells}:
                column = _column_number(letters)
                if column > width:
                    width = column
                    last_column = letters
            height = max([height, *(row for _, row in cells)])
            rest = text[max(text.rfind(b"<"), len(text) - TAG_BYTES) :]
            filled -= sum(not is_empty for *_, is_empty in CELL_PATTERN.findall(rest))  # counted with the next chunk
    area = width * height
    if area > MAX_CELLS and filled < MIN_FILLED_SHARE * area:
        corner = f"{last_column.decode()}{height}"
        problem = f"a sheet of {path.name} reaches to {corner} ({area:,} cells) and fills {filled:,} of them"
        raise DataError(problem, hint="delete the rows below and the columns right of the table, and save it again")


def _column_number(letters: bytes) -> int:
    """Return the number of a column from its letters: A is 1, AA is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _choose_sheet(book: Any, mapping: ColumnMapping, file_name: str) -> Any:
    """Return the sheet that the mapping names, or else the only sheet with cells."""
    filled = [sheet for sheet in book.sheet_names if book.get_sheet_by_name(sheet).total_height]
    if mapping.sheet and mapping.sheet not in book.sheet_names:
        nearest = suggest_names(mapping.sheet, book.sheet_names)
        raise DataError(f"{file_name} has no sheet {mapping.sheet!r}", hint=f"correct sheet in the mapping: {nearest}")
    if not filled:
        raise DataError(f"{file_name} is empty", hint="export it again")
    if len(filled) > 1 and not mapping.sheet:
        hint = f"name one under sheet: in the mapping: {', '.join(filled)}"
        raise DataError(f"{file_name} has {len(filled)} sheets", hint=hint)
    return book.get_sheet_by_name(mapping.sheet or filled[0])


def format_records(rows: Iterator[Any], decimal: str, types: CellTypes) -> Iterator[Record]:
    """Write rows of typed cells as records of text.

    Parameters
    ----------
    rows
        Rows of typed cells, from a workbook or a database.
    decimal
        The decimal mark to write numbers with.
    types
        Is filled with what the types reveal.
    """
    for row in rows:
        for position, cell in enumerate(row):
            if isinstance(cell, str):
                if len(cell) < MAX_NUMBER_CHARS and AMBIGUOUS_NUMBER.fullmatch(cell):
                    types.ambiguous_number_columns.add(position)
            elif isinstance(cell, date):
                types.max_days[position] = max(types.max_days.get(position, 0), cell.day)
        yield "", [_format_cell(cell, decimal) for cell in row]


def _format_cell(cell: object, decimal: str) -> str:
    """Write a typed cell as text.

    Numbers beyond the 15 digits that Excel keeps are written in scientific notation, so that ids show the loss.
    """
    if isinstance(cell, float) and abs(cell) >= MAX_EXACT_NUMBER:
        return f"{cell:.5E}".replace(".", decimal)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell).replace(".", decimal)
    if isinstance(cell, datetime) and cell < FIRST_DATE:
        return _format_duration(cell - FIRST_MIDNIGHT)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, timedelta):
        return _format_duration(cell)
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None else str(cell)


def _format_duration(duration: timedelta) -> str:
    """Write a duration as hours, minutes and seconds: 30 hours are 30:00:00, where str() gives "1 day, 6:00:00"."""
    sign = "-" if duration.total_seconds() < 0 else ""
    total_minutes, seconds = divmod(round(abs(duration.total_seconds()), 6), 60)
    hours, minutes = divmod(int(total_minutes), 60)
    text = f"{sign}{hours}:{minutes:02d}:{int(seconds):02d}"
    return text + f"{seconds % 1:.6f}"[1:].rstrip("0") if seconds % 1 else text
