"""Reading of CSV and other delimited text: encoding, delimiter, quotes and header are detected and reported.

Exports often break the CSV rules: quotes as plain text, quotes escaped with a backslash, lines that are quoted as a
whole, short rows. The reader tries each line by the rules first. If that fails, it reads the quotes as text, provided
the line then has as many cells as the header. No line is dropped: each becomes part of a record.

A record is a pair (issue, cells). The issue is empty for a regular record. An issue that begins with "kept: " is a
repair, and the row is validated like any other. Any other issue sends the row to quarantine.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import MAPPABLE_COLUMNS, ColumnMapping, ConstantColumn, normalize_header
from rca_lib.intake.text_encoding import UNDECODABLE_BYTE, decode_lines, detect_encoding

HEAD_CHARS = 1 << 20  # characters at the start of a file that are searched for the header
HEADER_SEARCH_ROWS = 40  # a header further down has not been seen in an export
QUOTE_SAMPLE_LINES = 200  # lines that show whether cells stand in single quotes
MIN_SINGLE_QUOTED_SHARE = 0.9  # of the sampled lines: a few may lack quotes
MAX_CELL_CHARS = 4_000_000  # beyond any comment; guards the memory
DELIMITERS = (",", ";", "\t", "|", "\x01", "\x1f")
DELIMITER_NAMES = {"\t": "tab", "\x01": "Ctrl-A", "\x1f": "unit separator", " ": "blank"}
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
REPAIR_PREFIX = "kept: "  # begins an issue that is repaired; validation.sql matches it
SHORT_ROW_REPAIR = "kept: short rows, padded with empty cells"
SURPLUS_CELLS_REPAIR = "kept: empty cells after the last column, dropped"
LITERAL_QUOTES_REPAIR = "kept: quotation marks read as text"
ESCAPED_QUOTES_REPAIR = "kept: quotes escaped with a backslash"
QUOTED_LINE_REPAIR = "kept: whole lines in quotes"

Record = tuple[str, Sequence[object]]  # issue, cells


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A delimited text file.

    `names` are the names in the header, and `header_offset` is the number of records above it, -1 without a header.
    `repairs` concern every row. `records` holds everything below the header; reading them may add to `repairs`.
    """

    names: tuple[str, ...]
    header_offset: int
    repairs: list[str]
    records: Iterator[Record]


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Delimiter and quotes of a file; `declared` means that the mapping states the quotes, so they are trusted."""

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    declared: bool = False

    def read(self, lines: Iterable[str], *, strict: bool) -> Iterator[list[str]]:
        """Read lines by the rules of CSV."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar=self.escape,
            quotechar=self.quote,
            quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            doublequote=True,
            skipinitialspace=True,
            strict=strict,
        )


def read_csv(path: Path, mapping: ColumnMapping) -> CsvTable:
    """Detect the dialect of a delimited text file, and read it.

    Parameters
    ----------
    path
        The file.
    mapping
        Its `encoding`, `delimiter`, `quote`, `escape` and `header_row` override the detection.

    Returns
    -------
    CsvTable
        The header, the repairs, and the records as an iterator.

    Raises
    ------
    DataError
        If the encoding cannot be determined, or `header_row` of the mapping does not exist.
    """
    csv.field_size_limit(MAX_CELL_CHARS)
    encoding = mapping.encoding or detect_encoding(path)
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with path.open("rb") as handle:
        has_mark = handle.read(4).startswith(BYTE_ORDER_MARKS)
    repairs = ["byte-order mark"] * has_mark + [f"encoding {encoding}"] * (encoding != "utf-8-sig")
    head = list(_read_head(decode_lines(path, encoding, repairs)))
    dialect, header_offset, names = _find_header(head, mapping)
    repairs += _describe_dialect(dialect, header_offset)
    scan = decode_lines(path, encoding, [])
    has_single_lines = _has_single_line_records(scan, dialect, header_offset, len(names))
    lines = decode_lines(path, encoding, repairs)
    records = _read_single_lines(lines, dialect) if has_single_lines else _read_records(lines, dialect, len(names))
    below_header = islice(records, header_offset + 1, None)
    aligned = (_align_record(record, names, dialect) for record in below_header)
    return CsvTable(names, header_offset, repairs, aligned)


def _read_head(lines: Iterable[str]) -> Iterator[str]:
    """Yield the first lines of a file, up to `HEAD_CHARS` characters."""
    size = 0
    for line in lines:
        yield line[:HEAD_CHARS]
        size += len(line)
        if size > HEAD_CHARS:
            return


def _describe_dialect(dialect: _Dialect, header_offset: int) -> list[str]:
    """Return the repairs that follow from the dialect and the place of the header."""
    repairs = []
    if header_offset > 0:
        repairs.append("title rows above the header")
    if dialect.delimiter != ",":
        repairs.append(f"delimiter {DELIMITER_NAMES.get(dialect.delimiter, dialect.delimiter)}")
    if dialect.quote == "'":
        repairs.append("single quotes around cells")
    return repairs


# Header --------------------------------------------------------------------------------------------------------------


def _find_header(head: Sequence[str], mapping: ColumnMapping) -> tuple[_Dialect, int, tuple[str, ...]]:
    """Choose the delimiter and the row that give most of the requested names; among equals, the widest row."""
    options = []
    declared = mapping.quote is not None or mapping.escape is not None
    quote = None if mapping.quote == "none" else mapping.quote or '"'
    for delimiter in (mapping.delimiter,) if mapping.delimiter else DELIMITERS:
        dialect = _Dialect(delimiter, quote, mapping.escape, declared)
        if not declared and _uses_single_quotes(head, delimiter):
            dialect = replace(dialect, quote="'")
        text = io.StringIO("".join(head), newline="")
        first_rows = islice(dialect.read(text, strict=False), HEADER_SEARCH_ROWS)
        rows = [_split_quoted_line(row, dialect) for row in first_rows]
        header_offset, matches = find_header_row(rows, mapping)
        width = max(map(len, rows)) if header_offset < 0 else len(rows[header_offset])
        names = normalize_header(rows[header_offset] if header_offset >= 0 else [""] * width)
        options.append((matches, width, dialect, header_offset, names))
    return max(options, key=lambda option: option[:2])[2:]


def _uses_single_quotes(head: Sequence[str], delimiter: str) -> bool:
    """Return whether nearly all of the first lines have cells in single quotes."""
    lines = [line for line in head[1:QUOTE_SAMPLE_LINES] if line.strip()]
    separators = (f"'{delimiter}'", f"'{delimiter} '")
    quoted = sum(sum(map(line.count, separators)) >= 2 or line.startswith("'") for line in lines)
    has_double_quotes = any('"' in line for line in lines)
    return bool(lines) and quoted >= MIN_SINGLE_QUOTED_SHARE * len(lines) and not has_double_quotes


def find_header_row(rows: Sequence[Sequence[object]], mapping: ColumnMapping) -> tuple[int, int]:
    """Find the header among the first rows of a table.

    Parameters
    ----------
    rows
        The first rows.
    mapping
        Its `header_row` decides where given; 0 means no header. Otherwise its column names are searched for.

    Returns
    -------
    tuple of int
        The number of rows above the header, -1 without a header, and the number of requested names in it.

    Raises
    ------
    DataError
        If `header_row` of the mapping does not exist.
    """
    if mapping.header_row == 0:
        return -1, 0
    if mapping.header_row is not None:
        if not 1 <= mapping.header_row <= len(rows):
            raise DataError(f"there is no row {mapping.header_row}", hint="correct header_row in the mapping")
        return mapping.header_row - 1, 0
    requested = {name for name in MAPPABLE_COLUMNS if name not in mapping.columns}
    for source in mapping.columns.values():
        if not isinstance(source, ConstantColumn):
            requested |= {source} if isinstance(source, str) else set(source)
    matches = [len(requested & set(normalize_header(row))) for row in rows]
    widths = [sum(cell not in ("", None) for cell in row) for row in rows]
    best = max(range(len(rows)), key=lambda index: (matches[index], widths[index], -index))
    return best, matches[best]


# Records -------------------------------------------------------------------------------------------------------------


def _has_single_line_records(lines: Iterable[str], dialect: _Dialect, header_offset: int, width: int) -> bool:
    """Return whether every line has all cells of the header, so that no cell spans several lines.

    If so, a quote that opens in one line and closes in a later one is plain text, as in files written without quoting.
    It must not swallow the lines between.
    """
    if dialect.declared:
        return dialect.quote is None
    delimiter_counts = set()
    has_quotes = False
    for line in islice(lines, max(header_offset, 0), None):
        if line.strip("\r\n"):
            delimiter_counts.add(line.count(dialect.delimiter))
            has_quotes = has_quotes or (dialect.quote or "") in line
        if len(delimiter_counts) > 1:
            return False
    return has_quotes and delimiter_counts <= {width - 1, width}


def _read_single_lines(lines: Iterator[str], dialect: _Dialect) -> Iterator[Record]:
    """Read each line as one record."""
    for line in lines:
        yield _flag_undecodable(_read_line(line, dialect, 0), line)


def _read_line(line: str, dialect: _Dialect, width: int) -> Record:
    """Read a line with its quotes, or else with its quotes as text; the latter must give `width` cells unless 0."""
    candidates = [(line, "")]
    if dialect.quote and not dialect.escape and f"\\{dialect.quote}" in line:
        candidates.append((line.replace(f"\\{dialect.quote}", dialect.quote * 2), ESCAPED_QUOTES_REPAIR))
    issue = ""
    for text, repair in candidates:
        try:
            cells = next(dialect.read([text], strict=True), [])
        except csv.Error as error:
            issue = issue or f"quotes: {error}"
        else:
            if len(cells) == width or not width:
                return repair, cells
    cells = [_strip_quotes(cell, dialect.quote) for cell in line.strip("\r\n").split(dialect.delimiter)]
    if not issue or (width and len(cells) != width):
        return issue or f"{len(cells)} cells in a line of {width}", cells
    return LITERAL_QUOTES_REPAIR, cells


def _strip_quotes(cell: str, quote: str | None) -> str:
    """Remove the quotes around a cell."""
    text = cell.strip()
    is_quoted = quote and len(text) > 1 and text.startswith(quote) and text.endswith(quote)
    return text[1:-1] if is_quoted else cell


def _record_lines(lines: Iterator[str], consumed: list[str]) -> Iterator[str]:
    """Yield the lines, and append each to `consumed`."""
    for line in lines:
        consumed.append(line)
        yield line


def _read_records(lines: Iterator[str], dialect: _Dialect, width: int) -> Iterator[Record]:
    """Read records that may span lines; where a quote breaks a record, each of its lines becomes a record."""
    consumed: list[str] = []  # the lines that the current record took
    reader = dialect.read(_record_lines(lines, consumed), strict=True)
    while True:
        consumed.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            for line in list(consumed):
                yield _flag_undecodable(_recover_line(line, dialect, width, str(error)), line)
            continue
        ends = [line.count(dialect.delimiter) + 1 for line in (consumed[0], consumed[-1])]
        if len(consumed) > 1 and not dialect.declared and min(ends) >= width > 1:
            # First and last line are complete: the quotes are text, and each line between them is a record.
            for line in list(consumed):
                yield _flag_undecodable(_read_line(line, dialect, width), line)
        elif len(consumed) == 1 and len(cells) > width and f"\\{dialect.quote}" in consumed[0]:
            yield _flag_undecodable(_read_line(consumed[0], dialect, width), consumed[0])
        else:
            yield _flag_undecodable(("", cells), "".join(consumed))


def _recover_line(line: str, dialect: _Dialect, width: int, problem: str) -> Record:
    """Read a line of a broken record; reject it if it may belong to a cell that spans lines."""
    issue, cells = _read_line(line, dialect, width)
    if issue == LITERAL_QUOTES_REPAIR and line.count(dialect.quote or "") % 2:
        return f"quotes: {problem}", cells
    return issue, cells


def _flag_undecodable(record: Record, line: str) -> Record:
    """Reject a record whose line holds bytes that no encoding explains."""
    if line.isascii() or not UNDECODABLE_BYTE.search(line):
        return record
    cells = [UNDECODABLE_BYTE.sub("�", str(cell)) for cell in record[1]]
    return "bytes that are neither UTF-8 nor cp1252", cells


def _split_quoted_line(cells: list[str], dialect: _Dialect) -> list[str]:
    """Split a line that stands in quotes as a whole."""
    if len(cells) == 1 and dialect.delimiter in cells[0]:
        return next(dialect.read([cells[0]], strict=False), cells)
    return cells


def _align_record(record: Record, names: Sequence[str], dialect: _Dialect) -> Record:
    """Fit a record to the header: pad a short one, drop empty surplus cells, and join other surplus in the last."""
    issue, cells = record
    width = len(names)
    if len(cells) == 1 and width > 1 and dialect.delimiter in str(cells[0]):
        inner_cells = _split_quoted_line(list(map(str, cells)), dialect)
        if len(inner_cells) == width:
            issue, cells = QUOTED_LINE_REPAIR, inner_cells
    if len(cells) == width or not cells:
        return issue, cells or [""] * width
    mismatch = f"{len(cells)} cells, where the header has {width}"
    if len(cells) < width:
        return issue or f"{SHORT_ROW_REPAIR}; {mismatch}", [*cells, *[""] * (width - len(cells))]
    if not any(str(cell).strip() for cell in cells[width:]):
        return issue or SURPLUS_CELLS_REPAIR, cells[:width]
    last_cell = dialect.delimiter.join(map(str, cells[width - 1 :]))
    joined = [*cells[: width - 1], last_cell]
    is_repair = not issue or issue.startswith(REPAIR_PREFIX)
    return (mismatch if is_repair else issue), joined
