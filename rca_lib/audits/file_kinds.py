"""What a file is by its first bytes; what is not read is named, with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

from rca_lib.findings import DataError

START = 4096
SQLITE, DUCKDB, PARQUET = b"SQLite format 3", b"DUCK", b"PAR1"
WORKBOOKS = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0")
UNPACK = "unpack it, and give the file with the audits"
EXPORT = "export it as CSV, XLSX or Parquet"
OTHERS = (
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"%PDF", "a PDF", EXPORT),
    (b"<", "a web page or XML", EXPORT),
    (b"{\\rtf", "a rich text document", EXPORT),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet"),
    (b"PARE", "an encrypted Parquet file", "write it as Parquet without encryption"),
    (b"\x89HDF", "an HDF5 file", EXPORT),
    (b"$FL2", "an SPSS file", EXPORT),
    (b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc2\xea\x81\x60", "a SAS file", EXPORT),
    (b"\x89PNG", "a picture", EXPORT),
    (b"\xff\xd8\xff", "a picture", EXPORT),
    (b"GIF8", "a picture", EXPORT),
    (b"\x7fELF", "a program", EXPORT),
)
AFTER_MARK = re.compile(rb"[\s\xef\xbb\xbf]*")
OBJECTS = re.compile(rb"\{\s*(\"|\})")
LINES_OF_OBJECTS = re.compile(rb"\{.*\}\s*[\r\n]+\s*\{")
ARRAY = re.compile(rb"\[\s*([\[{]|\"[^\"]*\"\s*,|\])")
PICKLE = re.compile(rb"\x80[\x02-\x05][\x95c}\]]")


def read_start(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    DataError
        If it is a folder, missing, not readable, or empty.
    """
    if path.is_dir():
        held = sorted(file.name for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        listed = ", ".join(held[:5]) + (" …" if len(held) > 5 else "")
        mend = (
            f"give one file of it ({listed})" if len(held) == 1 else f"put its files into one, and give that: {listed}"
        )
        raise DataError(f"{path.name} is a folder", mend=mend if held else "give one file")
    if not path.exists():
        raise DataError(f"there is no file {path}", mend="check the path")
    with path.open("rb") as handle:
        start = handle.read(START)
    if not start.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"):
        raise DataError(f"{path.name} is empty", mend="export it again")
    return start


def is_database(start: bytes) -> bool:
    """Whether a file is a SQLite or DuckDB database; a DuckDB file begins with a checksum, which may be any bytes."""
    return start.startswith(SQLITE) or start[8:12] == DUCKDB


def refuse_others(name: str, start: bytes) -> None:
    """Refuse a file that is no table.

    Parameters
    ----------
    name
        What it is called.
    start
        Its first bytes.

    Raises
    ------
    DataError
        With what the file is, and what to do.
    """
    text = start[AFTER_MARK.match(start).end() :]
    if LINES_OF_OBJECTS.match(text):
        mend = "write the objects as rows of a CSV or Parquet file, each key as a column"
        raise DataError(f"{name} is NDJSON, one JSON object a line, not a table", mend=mend)
    if OBJECTS.match(text) or ARRAY.match(text):
        mend = "write its records as rows of a CSV or Parquet file, each key as a column"
        raise DataError(f"{name} is JSON, not a table", mend=mend)
    for magic, kind, mend in OTHERS:
        if start.startswith(magic) or (magic == b"<" and text.startswith(magic)):
            raise DataError(f"{name} is {kind}, not a table", mend=mend)
    if start[257:262] == b"ustar":
        raise DataError(f"{name} is a tar archive, not a table", mend=UNPACK)
    if PICKLE.match(start):
        raise DataError(f"{name} is a Python pickle, not a table", mend="write it as Parquet")
