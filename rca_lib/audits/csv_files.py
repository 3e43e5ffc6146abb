"""Reading text files: encoding, header and delimiter are found and told, DuckDB reads, every line is accounted for.

The result is the table `raw`: a row per record, with `row` (its row in the file, as a spreadsheet counts), `rejected`
(why the CSV reader refused it, else NULL) and the cells `c0`, `c1` … as text, in the order of the header.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from rca_lib.audits.mapping import MAPPABLE, Constant, Mapping, quote, tidy_names
from rca_lib.findings import DataError

MAX_LINE = 8_000_000
HEADER_ROWS = 40
DELIMITERS = (",", ";", "\t", "|")
CHUNK = 1 << 20
UTF8_LETTER, HIGH_BYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+"), re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: name, SHA-256, column names, blank lines and the repairs that touched every row.

    `decimal` is given where cells were typed numbers, `epoch` is day 0 of serial dates.
    """

    name: str
    sha256: str
    names: tuple[str, ...]
    blank: int = 0
    repairs: tuple[str, ...] = ()
    decimal: str | None = None
    epoch: str = "1899-12-30"


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A file as its bytes tell: `feeds`, `returns` and `pairs` count LF, CR and CR LF."""

    sha256: str
    is_utf8: bool
    feeds: int
    returns: int
    pairs: int
    lines: int
    has_blank_lines: bool


def read_csv(engine: duckdb.DuckDBPyConnection, path: Path, mapping: Mapping, work: Path) -> Source:
    """Read a text file with delimiters into `raw`; `work` is a folder for passing files.

    Raises
    ------
    DataError
        If it cannot be read as CSV, or an unclosed quote swallows lines so that they cannot be told apart.
    """
    csv.field_size_limit(sys.maxsize)
    scan, clean = _scan(path), path
    sha256 = scan.sha256
    encoding, mark = _find_encoding(path, mapping.encoding, scan.is_utf8)
    mixed_ends = scan.returns != scan.pairs or 0 < scan.pairs < scan.feeds
    repairs = ["byte-order mark"] * mark + ["line ends"] * mixed_ends
    if encoding != "utf-8" or not scan.is_utf8:
        repairs.append("broken characters of utf-8" if encoding == "utf-8" else f"encoding {encoding}")
    if encoding != "utf-8" or not scan.is_utf8 or mixed_ends:
        clean = _rewrite(path, encoding, work)
        scan = _scan(clean)
    with clean.open(encoding="utf-8-sig", newline="") as handle:
        head = handle.read(CHUNK)
    delimiter, above, names = _find_header(head, mapping)
    repairs += ["title rows above the header"] * (above > 0)
    repairs += [f"delimiter {'tab' if delimiter == chr(9) else delimiter}"] * (delimiter != ",")
    cells = [f"c{place}" for place in range(len(names))]
    try:
        load_csv(engine, "loaded", clean, cells, delimiter, above)
    except duckdb.Error as error:
        problem = " ".join(str(error).replace(str(clean), path.name).split())[:160]
        raise DataError(f"{path.name} is no readable CSV: {problem}", mend="export it again as CSV UTF-8") from None
    blanks = _blank_records(clean, delimiter, above) if scan.has_blank_lines else []
    _place_rows(engine, blanks, above + 2, delimiter, cells, work)
    lines_above = sum(1 + "".join(row).count("\n") for row in islice(_records(head, delimiter), above + 1))
    _account_for_lines(engine, path.name, scan.lines - lines_above - len(blanks), cells)
    return Source(path.name, sha256, names, len(blanks), tuple(repairs))


# bytes ---------------------------------------------------------------------------------------------------------------


def _scan(path: Path) -> _Bytes:
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    feeds = returns = pairs = 0
    is_utf8, blank, tail = True, False, b""
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
            is_utf8 = is_utf8 and _decodes(decoder, chunk)
            seam = tail + chunk
            feeds, returns = feeds + chunk.count(b"\n"), returns + chunk.count(b"\r")
            pairs += chunk.count(b"\r\n") + (tail[-1:] + chunk[:1] == b"\r\n")
            blank = blank or b"\n\n" in seam or b"\n\r\n" in seam
            tail = seam[-2:]
    lines = feeds + (tail[-1:] != b"\n")
    return _Bytes(digest.hexdigest(), is_utf8, feeds, returns, pairs, lines, blank)


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes) -> bool:
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError:
        return False
    return True


def _find_encoding(path: Path, declared: str | None, is_utf8: bool) -> tuple[str, bool]:
    """Name the encoding and whether a byte-order mark says so; cp1252 where most high bytes are no UTF-8."""
    with path.open("rb") as handle:
        start = handle.read(4096)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", True
        if declared:
            return declared.lower().replace("utf8", "utf-8"), start.startswith(codecs.BOM_UTF8)
        if start.count(b"\x00") * 3 > len(start):
            return ("utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"), False
        if is_utf8:
            return "utf-8", start.startswith(codecs.BOM_UTF8)
        handle.seek(0)
        letters = broken = 0
        while chunk := handle.read(CHUNK):
            letters += len(UTF8_LETTER.findall(chunk))
            broken += len(HIGH_BYTE.findall(UTF8_LETTER.sub(b"", chunk)))
    return ("utf-8" if letters > broken else "cp1252"), False


def _rewrite(path: Path, encoding: str, work: Path) -> Path:
    """Write the text anew as UTF-8 with plain line ends; what cannot be decoded becomes U+FFFD."""
    clean = work / f"{path.stem[:40]}-{encoding}.csv"
    try:
        with (
            path.open(encoding=encoding, errors="replace") as text,
            clean.open("w", encoding="utf-8", errors="replace", newline="\n") as out,
        ):
            while part := text.read(CHUNK):
                out.write(part)
    except (LookupError, UnicodeError) as error:
        raise DataError(f"{path.name}: {error}", mend="name another encoding in the mapping") from None
    return clean


# header --------------------------------------------------------------------------------------------------------------


def _find_header(head: str, mapping: Mapping) -> tuple[str, int, tuple[str, ...]]:
    """Choose the delimiter and the row under which most of the wanted names stand; else the widest first row."""
    found = []
    for delimiter in (mapping.delimiter,) if mapping.delimiter else DELIMITERS:
        rows = list(islice(_records(head, delimiter.replace("\\t", "\t")), HEADER_ROWS))
        above, hits = find_header_row(rows, mapping)
        found.append((hits, len(rows[above]), delimiter.replace("\\t", "\t"), above, tidy_names(rows[above])))
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


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


# rows ----------------------------------------------------------------------------------------------------------------


def load_csv(
    engine: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    names: Sequence[str],
    delimiter: str = ",",
    above: int = 0,
) -> None:
    """Load a clean UTF-8 file, every column as text; what cannot be read goes to DuckDB's `reject_errors`."""
    types = ", ".join(f"{name}: 'VARCHAR'" for name in names)
    engine.execute(
        f"create table {table} as from read_csv({quote(str(path))}, delim={quote(delimiter)}, quote='\"', escape='\"', "
        f"header=true, skip={above}, auto_detect=false, store_rejects=true, rejects_limit=0, max_line_size={MAX_LINE}, "
        f"buffer_size={4 * MAX_LINE}, columns={{{types}}})"
    ).fetchall()


def write_rows(path: Path, rows: Iterable[Sequence[object]], names: Sequence[str]) -> int:
    """Write rows to a passing file that `load_csv` reads back; return their number."""
    count = 0
    with path.open("w", encoding="utf-8", errors="replace", newline="") as handle:
        out = csv.writer(handle)  # CR LF, so that a lone CR or LF in a cell is quoted
        out.writerow(names)
        for count, row in enumerate(rows, 1):  # noqa: B007
            out.writerow(row)
    return count


def _blank_records(path: Path, delimiter: str, above: int) -> list[int]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        records = csv.reader(handle, delimiter=delimiter)
        return [number for number, record in enumerate(records, 1) if not record and number > above + 1]


def _place_rows(
    engine: duckdb.DuckDBPyConnection, blanks: list[int], first: int, delimiter: str, cells: list[str], work: Path
) -> None:
    """Give each loaded row its row in the file: the reader has left out the rejected records and the blank ones."""
    names, listed = ["row", "rejected", *cells], ", ".join(cells)
    rejected = engine.execute(
        "select line, min_by(csv_line, column_idx), min_by(error_message, column_idx) from reject_errors "
        "group by line order by line"
    )
    count = write_rows(work / "rejected.csv", _split_rejected(rejected, delimiter, len(cells)), names)
    if not count and not blanks:
        run(
            engine, f"create view raw as select rowid + {first} as row, null::varchar as rejected, {listed} from loaded"
        )
        return
    load_csv(engine, "refused", work / "rejected.csv", names)
    engine.execute(
        "create table shifts as with gaps as (select unnest($1::bigint[]) as row union all select row::bigint from "
        "refused), numbered as (select row, row_number() over (order by row) as shift from gaps) "
        f"select row - shift + 1 - {first} as k_from, max(shift) as shift from numbered group by k_from",
        [blanks],
    ).fetchall()
    run(
        engine,
        f"create table raw as select k + {first} + coalesce(shift, 0) as row, null::varchar as rejected, {listed} "
        "from (select rowid as k, * from loaded) asof left join shifts on k >= k_from; "
        f"insert into raw select row::bigint, rejected, {listed} from refused; drop table loaded",
    )


def _split_rejected(rejected: Any, delimiter: str, width: int) -> Iterator[list[object]]:
    """Cut rejected records into cells as far as they go; what an unclosed quote swallowed becomes lines again."""
    offset = 0
    while batch := rejected.fetchmany(1000):
        for line, text, message in batch:
            text = text.strip("\r\n")
            parts = re.split("\r?\n", text) if "unterminated" in message else [text]
            for number, part in enumerate(parts):
                cells = next(csv.reader([part], delimiter=delimiter), [])
                if len(cells) > width:
                    cells = [*cells[: width - 1], delimiter.join(cells[width - 1 :])]
                yield [line + offset + number, message, *cells, *[""] * (width - len(cells))]
            offset += len(parts) - 1


def _account_for_lines(engine: duckdb.DuckDBPyConnection, name: str, lines: int, cells: Sequence[str]) -> None:
    """Prove that each of these lines is a row of `raw` or a line within one of its cells."""
    missing = lines - engine.sql("select count(*) from raw").fetchall()[0][0]
    if missing:
        breaks = " + ".join(f"coalesce(length({cell}) - length(replace({cell}, chr(10), '')), 0)" for cell in cells)
        missing -= int(engine.sql(f"select coalesce(sum({breaks}), 0) from raw").fetchall()[0][0])
    if missing:
        first = engine.sql("select min(row) from raw where rejected like '%quote%'").fetchall()[0][0]
        raise DataError(
            f"{name}: an unclosed quote swallows other lines",
            rows=abs(missing),
            first={"source_row": first} if first else None,
            mend="close or double the quote there, or export the file again",
        )


def run(engine: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run statements to their end."""
    engine.execute(statement).fetchall()
