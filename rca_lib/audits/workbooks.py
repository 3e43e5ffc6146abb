"""Workbooks: which sheet is read and how far it reaches, typed cells as text, and what the types say."""

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

from rca_lib.audits.csv_files import HEADER_ROWS, Record, find_header_row
from rca_lib.audits.mapping import Mapping, show_nearest, tidy_names
from rca_lib.findings import DataError

EXACT_NUMBERS = 10**15
DAY_ZERO, DAY_ZERO_1904 = "1899-12-30", "1904-01-01"
FIRST_MIDNIGHT, FIRST_DATE = datetime(1899, 12, 31), datetime(1900, 3, 1)  # earlier is a duration shown as a date
MOST_BYTES = 3 << 30  # of an unpacked workbook; a million rows of thirty columns take about one and a half
PACKED_TOO_WELL = 250  # a real sheet shrinks to a twentieth or so; a repeated letter to a thousandth
SMALL = 100 << 20  # below this many bytes no packing is suspicious
MOST_CELLS = 30_000_000  # of a sheet's rectangle: the reader holds each of them, filled or not, in 32 bytes
FILLED = 0.2  # share of the rectangle that makes a larger sheet credible
MOST_NAMELESS = 200  # columns without a name; tables have a few, and a stray cell makes thousands
CHUNK = 1 << 22
CELL = re.compile(rb"<(?:\w+:)?c\b[^>]*?\br=\"([A-Z]{1,3})(\d{1,7})\"[^>]*?(/?)>")
AMBIGUOUS_NUMBER = re.compile(r"\s*[+-]?[1-9]\d{0,2}[.,]\d{3}\s*%?\s*")


@dataclass(slots=True)
class CellTypes:
    """What the types of the cells tell, by the place of their column; filled while the records are read.

    `number_texts` are places where a text looks like 1.250, which may be a thousand or one and a bit; `days` has the
    highest day of the month of the typed dates.
    """

    number_texts: set[int] = field(default_factory=set)
    days: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Book:
    """A sheet: its column names, how many rows stand above them, its records, their types, day 0 of serial dates."""

    names: tuple[str, ...]
    above: int
    records: Iterator[Record]
    types: CellTypes
    epoch: str


def read_workbook(path: Path, mapping: Mapping) -> Book:
    """Read a sheet of a workbook (XLSX, XLSM, XLSB, XLS, ODS).

    Raises
    ------
    DataError
        If it is no workbook, holds several sheets of which none is named, or would not fit into memory: it unpacks to
        more than 3 GiB, or a cell far away from the table spans a rectangle of more than 30 million cells.
    """
    epoch = _inspect(path)
    try:
        rows = _choose_sheet(python_calamine.CalamineWorkbook.from_path(str(path)), mapping, path.name).iter_rows()
    except (python_calamine.CalamineError, OSError) as error:
        locked = "password" in str(error).casefold() or "encrypt" in str(error).casefold()
        mend = "save it without a password" if locked else "save it again as XLSX"
        raise DataError(f"{path.name} is no readable workbook: {error}", mend=mend) from None
    top = list(islice(rows, HEADER_ROWS))
    above, _ = find_header_row(top, mapping)
    header = top[above] if above >= 0 else [""] * len(top[0])
    nameless = sum(cell in ("", None) for cell in header)
    if above >= 0 and nameless > MOST_NAMELESS:
        problem = f"the header of {path.name} has {nameless:,} columns without a name"
        raise DataError(problem, mend="delete the cells that stand right of the table by mistake")
    types = CellTypes()
    records = as_records(chain(top[above + 1 :], rows), mapping.decimal or ".", types)
    return Book(tidy_names(header), above, records, types, epoch)


def _inspect(path: Path) -> str:
    """Look at a packed workbook before it is unpacked; return day 0 of its serial dates.

    Excel for Mac's old calendar counts where the workbook itself says so, and only XLSX does.
    """
    try:
        with ZipFile(path) as packed:
            members = {info.filename: info for info in packed.infolist()}
            _refuse_other_archives(path, list(members))
            for info in members.values():
                _refuse_bomb(path, info)
            if sum(info.file_size for info in members.values()) > MOST_BYTES:
                raise DataError(f"{path.name} unpacks to more than 3 GiB", mend="export it as CSV or Parquet")
            for name in members:
                if re.match(r"xl/worksheets/[^/]+\.xml$", name):
                    _refuse_stray_cells(path, packed, name)
            told = packed.read("xl/workbook.xml") if "xl/workbook.xml" in members else b""
    except (BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError):
        return DAY_ZERO  # an XLS; or the reader says what is wrong
    return DAY_ZERO_1904 if re.search(rb'date1904="(1|true|on)"', told) else DAY_ZERO


def _refuse_other_archives(path: Path, names: list[str]) -> None:
    if "xl/workbook.xml" in names or "xl/workbook.bin" in names or "content.xml" in names:
        return
    if any(name.startswith("xl/") for name in names):
        return
    kind = next((kind for part, kind in (("word/", "a Word document"), ("ppt/", "a PowerPoint presentation"))
                 if any(name.startswith(part) for name in names)), None)  # fmt: skip
    if kind:
        raise DataError(f"{path.name} is {kind}, not a table", mend="copy its table to a sheet, and save that as XLSX")
    inside = [name for name in names if not name.endswith("/")]
    held = ", ".join(inside[:5]) + (" …" if len(inside) > 5 else "") if inside else "nothing"
    raise DataError(
        f"{path.name} is a ZIP archive; it holds {held}", mend="unpack it, and give the file with the audits"
    )


def _refuse_bomb(path: Path, info: ZipInfo) -> None:
    if info.file_size > SMALL and info.file_size > PACKED_TOO_WELL * max(info.compress_size, 1):
        size = f"{info.file_size >> 20:,} MB from {max(info.compress_size >> 10, 1):,} KB"
        raise DataError(
            f"{path.name} unpacks {info.filename} to {size}", mend="export it again; it is no usual workbook"
        )


def _refuse_stray_cells(path: Path, packed: ZipFile, sheet: str) -> None:
    """Refuse a sheet whose filled cells span far more than they fill: the reader keeps the whole rectangle."""
    cells, width, height, farthest = 0, 0, 0, b""
    with packed.open(sheet) as handle:
        rest = b""
        while chunk := handle.read(CHUNK):
            text = rest + chunk
            found = [(letters, int(row)) for letters, row, empty in CELL.findall(text) if not empty]
            cells += len(found)
            for letters in {letters for letters, _ in found}:
                if (column := _number_of(letters)) > width:
                    width, farthest = column, letters
            height = max([height, *(row for _, row in found)])
            rest = text[max(text.rfind(b"<"), len(text) - 4096) :]
            cells -= sum(not empty for *_, empty in CELL.findall(rest))
    if width * height > MOST_CELLS and cells < FILLED * width * height:
        corner = f"{farthest.decode()}{height}"
        problem = f"a sheet of {path.name} reaches to {corner} ({width * height:,} cells) and fills {cells:,} of them"
        raise DataError(problem, mend="delete the rows below and the columns right of the table, and save it again")


def _number_of(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _choose_sheet(book: Any, mapping: Mapping, name: str) -> Any:
    filled = [sheet for sheet in book.sheet_names if book.get_sheet_by_name(sheet).total_height]
    if mapping.sheet and mapping.sheet not in book.sheet_names:
        near = show_nearest(mapping.sheet, book.sheet_names)
        raise DataError(f"{name} has no sheet {mapping.sheet!r}", mend=f"correct sheet in the mapping: {near}")
    if not filled:
        raise DataError(f"{name} is empty", mend="export it again")
    if len(filled) > 1 and not mapping.sheet:
        raise DataError(f"{name} has {len(filled)} sheets", mend=f"name one under sheet: {', '.join(filled)}")
    return book.get_sheet_by_name(mapping.sheet or filled[0])


def as_records(rows: Iterator[Any], decimal: str, types: CellTypes) -> Iterator[Record]:
    """Write rows of typed cells as records of text, and note what their types tell."""
    for row in rows:
        for place, cell in enumerate(row):
            if isinstance(cell, str):
                if len(cell) < 12 and AMBIGUOUS_NUMBER.fullmatch(cell):
                    types.number_texts.add(place)
            elif isinstance(cell, date):
                types.days[place] = max(types.days.get(place, 0), cell.day)
        yield "", [_cell_text(cell, decimal) for cell in row]


def _cell_text(cell: object, decimal: str) -> str:
    """Write a typed cell; numbers beyond the 15 digits that Excel keeps are written so that ids show the loss."""
    if isinstance(cell, float) and abs(cell) >= EXACT_NUMBERS:
        return f"{cell:.5E}".replace(".", decimal)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell).replace(".", decimal)
    if isinstance(cell, datetime) and cell < FIRST_DATE:
        return _duration_text(cell - FIRST_MIDNIGHT)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, timedelta):
        return _duration_text(cell)
    return "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)


def _duration_text(cell: timedelta) -> str:
    """Write 30 hours as 30:00:00; str() would say "1 day, 6:00:00"."""
    sign, seconds = ("-", -cell.total_seconds()) if cell.total_seconds() < 0 else ("", cell.total_seconds())
    minutes, rest = divmod(round(seconds, 6), 60)
    hours, minutes = divmod(int(minutes), 60)
    whole = f"{sign}{hours}:{minutes:02d}:{int(rest):02d}"
    return whole + f"{rest % 1:.6f}"[1:].rstrip("0") if rest % 1 else whole
