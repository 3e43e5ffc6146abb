"""Text files: encoding, delimiter, quotes and header are found and told; every line ends up in a record or is told of.

What is wrong with a record stands in its first part. A part that begins with "kept: " tells what was repaired; the row
is judged as any other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rca_lib.audits.mapping import MAPPABLE, Constant, Mapping, tidy_names
from rca_lib.audits.text_encoding import UNDEFINED, find_encoding, read_lines
from rca_lib.findings import DataError

HEAD = 1 << 20
HEADER_ROWS = 40
SAMPLE = 200  # lines that show how values are quoted
MAX_CELL = 4_000_000
DELIMITERS = (",", ";", "\t", "|", "\x01", "\x1f")
CALLED = {"\t": "tab", "\x01": "Ctrl-A", "\x1f": "unit separator", " ": "blank"}
SHORT, SURPLUS = "kept: short rows, padded with empty cells", "kept: empty cells after the last column, dropped"
LITERAL, ESCAPED, WRAPPED = (
    "kept: quotation marks read as text",
    "kept: quotes escaped with a backslash",
    "kept: whole lines in quotes",
)

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


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How cells are delimited and quoted; `declared` says that the mapping tells of quotes, which are then believed."""

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    declared: bool = False

    def read(self, lines: Iterable[str], *, strict: bool) -> Iterator[list[str]]:
        how = {"delimiter": self.delimiter, "escapechar": self.escape, "skipinitialspace": True, "strict": strict}
        if self.quote is None:
            return csv.reader(lines, quoting=csv.QUOTE_NONE, **how)
        return csv.reader(lines, quotechar=self.quote, doublequote=True, **how)


def read_csv(path: Path, mapping: Mapping) -> Text:
    """Find out how a text file is written, and read it.

    Raises
    ------
    DataError
        If its encoding cannot be told, or the mapping names a row for the header that is not there.
    """
    csv.field_size_limit(MAX_CELL)
    encoding = mapping.encoding or find_encoding(path)
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with path.open("rb") as handle:
        marked = handle.read(4).startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    repairs = ["byte-order mark"] * marked + [f"encoding {encoding}"] * (encoding != "utf-8-sig")
    head = list(_head(read_lines(path, encoding, repairs)))
    dialect, above, names = _find_header(head, mapping)
    repairs += ["title rows above the header"] * (above > 0)
    called = CALLED.get(dialect.delimiter, dialect.delimiter)
    repairs += [f"delimiter {called}"] * (dialect.delimiter != ",")
    repairs += ["single quotes around cells"] * (dialect.quote == "'")
    lines_alone = _are_lines_whole(read_lines(path, encoding, []), dialect, above, len(names))
    lines = read_lines(path, encoding, repairs)
    read = _read_alone(lines, dialect) if lines_alone else _read_records(lines, dialect, len(names))
    records = islice(read, above + 1, None)
    return Text(names, above, repairs, (_fit(record, names, dialect) for record in records))


def _head(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        yield line[:HEAD]
        size += len(line)
        if size > HEAD:
            return


# the header ----------------------------------------------------------------------------------------------------------


def _find_header(head: Sequence[str], mapping: Mapping) -> tuple[_Dialect, int, tuple[str, ...]]:
    """Choose the delimiter and the row under which most of the wanted names stand; else the widest first row."""
    found = []
    declared = mapping.quote is not None or mapping.escape is not None
    quote = None if mapping.quote == "none" else mapping.quote or '"'
    for delimiter in (mapping.delimiter,) if mapping.delimiter else DELIMITERS:
        dialect = _Dialect(delimiter, quote, mapping.escape, declared)
        if not declared and _are_single_quoted(head, delimiter):
            dialect = replace(dialect, quote="'")
        text = io.StringIO("".join(head), newline="")
        rows = [_unwrap(row, dialect) for row in islice(dialect.read(text, strict=False), HEADER_ROWS)]
        above, hits = find_header_row(rows, mapping)
        width = max(map(len, rows)) if above < 0 else len(rows[above])
        found.append((hits, width, dialect, above, tidy_names(rows[above] if above >= 0 else [""] * width)))
    return max(found, key=lambda option: option[:2])[2:]


def _are_single_quoted(head: Sequence[str], delimiter: str) -> bool:
    """Whether nearly all of the first lines have cells in single quotes: a sign of it stands twice in a line."""
    lines = [line for line in head[1:SAMPLE] if line.strip()]
    signs = (f"'{delimiter}'", f"'{delimiter} '")
    quoted = sum(sum(map(line.count, signs)) >= 2 or line.startswith("'") for line in lines)
    return bool(lines) and quoted >= 0.9 * len(lines) and not any('"' in line for line in lines)


def find_header_row(rows: Sequence[Sequence[object]], mapping: Mapping) -> tuple[int, int]:
    """Return how many rows stand above the header, -1 where there is none, and how many wanted names stand in it."""
    if mapping.header_row == 0:
        return -1, 0
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


# records -------------------------------------------------------------------------------------------------------------


def _are_lines_whole(lines: Iterable[str], dialect: _Dialect, above: int, width: int) -> bool:
    """Whether each line has all cells of the header, so that no cell goes over several lines, whatever quotes say.

    Then a quote that opens in one line and closes in a later one is a sign in a text, as in files written without any
    quoting, and must not swallow the lines between them.
    """
    if dialect.declared:
        return dialect.quote is None
    counts, quoted = set(), False
    for line in islice(lines, max(above, 0), None):
        if line.strip("\r\n"):
            counts.add(line.count(dialect.delimiter))
            quoted = quoted or (dialect.quote or "") in line
        if len(counts) > 1:
            return False
    return quoted and counts <= {width - 1, width}


def _read_alone(lines: Iterator[str], dialect: _Dialect) -> Iterator[Record]:
    """Read each line as a record."""
    for line in lines:
        yield _mark_undefined(_read_line(line, dialect, 0), line)


def _read_line(line: str, dialect: _Dialect, width: int) -> Record:
    """Read one line by its quotes; else with its quotes as texts, which has to give `width` cells if that is not 0."""
    readings = [(line, "")]
    if dialect.quote and not dialect.escape and f"\\{dialect.quote}" in line:
        readings.append((line.replace(f"\\{dialect.quote}", dialect.quote * 2), ESCAPED))
    problem = ""
    for text, mark in readings:
        try:
            cells = next(dialect.read([text], strict=True), [])
        except csv.Error as error:
            problem = problem or f"quotes: {error}"
        else:
            if len(cells) == width or not width:
                return mark, cells
    cells = [_without_quotes(cell, dialect.quote) for cell in line.strip("\r\n").split(dialect.delimiter)]
    if not problem or (width and len(cells) != width):
        return problem or f"{len(cells)} cells in a line of {width}", cells
    return LITERAL, cells


def _without_quotes(cell: str, quote: str | None) -> str:
    bare = cell.strip()
    return bare[1:-1] if quote and len(bare) > 1 and bare.startswith(quote) and bare.endswith(quote) else cell


def _read_records(lines: Iterator[str], dialect: _Dialect, width: int) -> Iterator[Record]:
    """Read records; the lines of one that a quote spoils become records again, each by itself."""
    taken: list[str] = []
    reader = dialect.read((taken.append(line) or line for line in lines), strict=True)
    while True:
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield from [_mark_undefined(_rescue(line, dialect, width, str(error)), line) for line in taken]
            continue
        ends = [line.count(dialect.delimiter) + 1 for line in (taken[0], taken[-1])]
        if len(taken) > 1 and not dialect.declared and min(ends) >= width > 1:
            # Both ends are whole lines: the quotes are no quotes, and what stands between them are records.
            yield from [_mark_undefined(_read_line(line, dialect, width), line) for line in taken]
        elif len(taken) == 1 and len(cells) > width and f"\\{dialect.quote}" in taken[0]:
            yield _mark_undefined(_read_line(taken[0], dialect, width), taken[0])
        else:
            yield _mark_undefined(("", cells), "".join(taken))


def _rescue(line: str, dialect: _Dialect, width: int, problem: str) -> Record:
    """Read a line of a spoilt record; one that may be a part of a cell over several lines is rejected."""
    mark, cells = _read_line(line, dialect, width)
    if mark == LITERAL and line.count(dialect.quote or "") % 2:
        return f"quotes: {problem}", cells
    return mark, cells


def _mark_undefined(record: Record, line: str) -> Record:
    if line.isascii() or not UNDEFINED.search(line):
        return record
    return "bytes that are neither UTF-8 nor cp1252", [UNDEFINED.sub("�", str(cell)) for cell in record[1]]


def _unwrap(cells: list[str], dialect: _Dialect) -> list[str]:
    """Read a line that stands in quotes as a whole."""
    if len(cells) == 1 and dialect.delimiter in cells[0]:
        return next(dialect.read([cells[0]], strict=False), cells)
    return cells


def _fit(record: Record, names: Sequence[str], dialect: _Dialect) -> Record:
    """Bring a record to the columns of the header; a blank one stays blank, surplus cells are joined in the last."""
    wrong, cells = record
    width = len(names)
    if len(cells) == 1 and width > 1 and dialect.delimiter in str(cells[0]):
        inner = _unwrap(list(map(str, cells)), dialect)
        wrong, cells = (WRAPPED, inner) if len(inner) == width else (wrong, cells)
    if len(cells) == width or not cells:
        return wrong, cells or [""] * width
    told = f"{len(cells)} cells, where the header has {width}"
    if len(cells) < width:
        return wrong or f"{SHORT}; {told}", [*cells, *[""] * (width - len(cells))]
    if not any(str(cell).strip() for cell in cells[width:]):
        return wrong or SURPLUS, cells[:width]
    joined = [*cells[: width - 1], dialect.delimiter.join(map(str, cells[width - 1 :]))]
    return (told if not wrong or wrong.startswith("kept: ") else wrong), joined
