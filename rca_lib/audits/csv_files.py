"""Text files: encoding, delimiter and header are found and told; every line ends up in a record or a broken line."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rca_lib.audits.mapping import MAPPABLE, Constant, Mapping, tidy_names
from rca_lib.findings import DataError

HEAD = 1 << 20
HEADER_ROWS = 40
MAX_CELL = 4_000_000
DELIMITERS = (",", ";", "\t", "|")
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
CP1252 = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}

Record = tuple[str, Sequence[object]]


@dataclass(frozen=True, slots=True)
class Text:
    """A text file: the names in its header, how many records stand above it, what was repaired in every row.

    `records` are (what is wrong, cells) of all below the header; reading them may add to `repairs`.
    """

    names: tuple[str, ...]
    above: int
    repairs: list[str]
    records: Iterator[Record]


def read_csv(path: Path, mapping: Mapping) -> Text:
    """Find out how a text file is written, and read it.

    Raises
    ------
    DataError
        If the mapping names a row for the header that is not there.
    """
    csv.field_size_limit(MAX_CELL)
    with path.open("rb") as handle:
        start = handle.read(4096)
    encoding = mapping.encoding or _find_encoding(start)
    is_utf8 = codecs.lookup(encoding).name.startswith("utf-8")
    repairs = ["byte-order mark"] * start.startswith(MARKS) + [f"encoding {encoding}"] * (not is_utf8)
    lines = _read_lines(path, "utf-8-sig" if is_utf8 else encoding, repairs)
    delimiter, above, names = _find_header("".join(_head(lines)), mapping)
    repairs += ["title rows above the header"] * (above > 0)
    repairs += [f"delimiter {'tab' if delimiter == chr(9) else delimiter}"] * (delimiter != ",")
    lines = _read_lines(path, "utf-8-sig" if is_utf8 else encoding, repairs)
    records = islice(_read_records(lines, delimiter), above + 1, None)
    return Text(names, above, repairs, (_fit(record, len(names), delimiter) for record in records))


def _find_encoding(start: bytes) -> str:
    if start.startswith(MARKS[1:]):
        return "utf-16"
    if start.count(b"\x00") * 3 > len(start):
        return "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
    return "utf-8"


def _read_lines(path: Path, encoding: str, repairs: list[str]) -> Iterator[str]:
    """Read lines as they are written; bytes that are no UTF-8 are taken for cp1252."""
    is_utf8, mark = encoding == "utf-8-sig", "encoding cp1252"
    with path.open(encoding=encoding, errors="surrogateescape" if is_utf8 else "replace", newline="") as handle:
        for line in handle:
            mended = line if line.isascii() or not is_utf8 else line.translate(CP1252)
            if mended != line and mark not in repairs:
                repairs.append(mark)
            yield mended


def _head(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        yield line[:HEAD]
        size += len(line)
        if size > HEAD:
            return


def _find_header(head: str, mapping: Mapping) -> tuple[str, int, tuple[str, ...]]:
    """Choose the delimiter and the row under which most of the wanted names stand; else the widest first row."""
    found = []
    for delimiter in (mapping.delimiter,) if mapping.delimiter else DELIMITERS:
        rows = list(islice(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), HEADER_ROWS))
        above, hits = find_header_row(rows, mapping)
        found.append((hits, len(rows[above]), delimiter, above, tidy_names(rows[above])))
    return max(found, key=lambda option: option[:2])[2:]


def find_header_row(rows: Sequence[Sequence[object]], mapping: Mapping) -> tuple[int, int]:
    """Return how many rows stand above the header, and how many wanted names stand in it."""
    if mapping.header_row is not None:
        if not 1 <= mapping.header_row <= len(rows):
            raise DataError(f"there is no row {mapping.header_row}", mend="correct header_row in the mapping")
        return mapping.header_row - 1, 0
    wanted = {name for name in MAPPABLE if name not in mapping.columns}
    for source in mapping.columns.values():
        wanted |= set() if isinstance(source, Constant) else {source} if isinstance(source, str) else set(source)
    hits = [len(wanted & set(tidy_names(row))) for row in rows]
    widths = [sum(cell not in ("", None) for cell in row) for row in rows]
    best = max(range(len(rows)), key=lambda place: (hits[place], widths[place], -place))
    return best, hits[best]


def _read_records(lines: Iterator[str], delimiter: str) -> Iterator[Record]:
    """Read records; the lines of one that a quote spoils become records again, each cut at the delimiters."""
    taken: list[str] = []
    reader = csv.reader((taken.append(line) or line for line in lines), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            yield "", next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield from [(f"quotes: {error}", line.strip("\r\n").split(delimiter)) for line in taken]


def _fit(record: Record, width: int, delimiter: str) -> Record:
    """Bring a record to the columns of the header; a blank one stays blank, surplus cells are joined in the last."""
    wrong, cells = record
    if len(cells) == width or not cells:
        return wrong, cells or [""] * width
    wrong = wrong or f"{len(cells)} cells, where the header has {width}"
    if len(cells) > width:
        return wrong, [*cells[: width - 1], delimiter.join(map(str, cells[width - 1 :]))]
    return wrong, [*cells, *[""] * (width - len(cells))]
