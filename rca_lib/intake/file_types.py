# Tested in tests/intake/test_workbooks.py.
"""File types by their first bytes (magic bytes). An unsupported type is named, with a hint on how to convert it."""

from __future__ import annotations

import re
from pathlib import Path

from rca_lib.findings import DataError

HEADER_BYTES = 4096  # enough for every signature, and for the start of JSON
MAX_LISTED_FILES = 5  # of a folder, in an error
SQLITE = b"SQLite format 3"
DUCKDB = b"DUCK"  # from byte 8 on, after a checksum
PARQUET = b"PAR1"
TAR = b"ustar"  # from byte 257 on
WORKBOOK_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0")
UNPACK = "unpack it, and name the file with the audits"
EXPORT = "export it as CSV, XLSX or Parquet"
UNSUPPORTED_SIGNATURES = (
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
LEADING_BOM = re.compile(rb"[\s\xef\xbb\xbf]*")
JSON_OBJECT_START = re.compile(rb"\{\s*(\"|\})")
JSON_ARRAY_START = re.compile(rb"\[\s*([\[{]|\"[^\"]*\"\s*,|\])")
PICKLE = re.compile(rb"\x80[\x02-\x05][\x95c}\]]")


def read_magic_bytes(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    DataError
        If the path is a folder or does not exist, or if the file is empty.
    """
    if path.is_dir():
        raise DataError(f"{path.name} is a folder", hint=_suggest_file(path))
    if not path.exists():
        raise DataError(f"there is no file {path}", hint="check the path")
    with path.open("rb") as handle:
        magic_bytes = handle.read(HEADER_BYTES)
    if not magic_bytes.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"):
        raise DataError(f"{path.name} is empty", hint="export it again")
    return magic_bytes


def _suggest_file(folder: Path) -> str:
    """Return a hint that names the files of a folder."""
    files = sorted(file.name for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    listed = ", ".join(files[:MAX_LISTED_FILES]) + (" …" if len(files) > MAX_LISTED_FILES else "")
    if not files:
        return "name one file"
    if len(files) == 1:
        return f"name one file in it ({listed})"
    return f"combine its files into one, and name that: {listed}"


def is_database(magic_bytes: bytes) -> bool:
    """Return whether a file is a SQLite or DuckDB database.

    A DuckDB file begins with a checksum, which may look like any other signature.
    """
    return magic_bytes.startswith(SQLITE) or magic_bytes[8:12] == DUCKDB


def is_json(magic_bytes: bytes) -> bool:
    """Return whether a file is JSON: an object, a list, or an object per line."""
    text = _strip_bom(magic_bytes)
    return bool(JSON_OBJECT_START.match(text) or JSON_ARRAY_START.match(text))


def _strip_bom(magic_bytes: bytes) -> bytes:
    """Return the first bytes without a byte-order mark and white space."""
    leading = LEADING_BOM.match(magic_bytes)
    return magic_bytes[leading.end() if leading else 0 :]


def reject_unsupported_file(name: str, magic_bytes: bytes) -> None:
    """Raise an error if a file is of a known type that is not a table.

    Parameters
    ----------
    name
        The name of the file, for the error.
    magic_bytes
        Its first bytes.

    Raises
    ------
    DataError
        With the type of the file, and a hint on how to convert it.
    """
    text = _strip_bom(magic_bytes)
    for signature, file_type, hint in UNSUPPORTED_SIGNATURES:
        is_markup = signature == b"<" and text.startswith(signature)  # may follow a byte-order mark
        if magic_bytes.startswith(signature) or is_markup:
            raise DataError(f"{name} is {file_type}, not a table", hint=hint)
    if magic_bytes[257:262] == TAR:
        raise DataError(f"{name} is a tar archive, not a table", hint=UNPACK)
    if PICKLE.match(magic_bytes):
        raise DataError(f"{name} is a Python pickle, not a table", hint="write it as Parquet")
