"""Unpacking of compressed exports: gzip, bzip2, xz, Zstandard, and ZIP archives with one table."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

import zstandard

from rca_lib.findings import DataError

ZIP = b"PK\x03\x04"
Opener = Callable[[Path], Any]  # opens a compressed file for reading
OPENERS: tuple[tuple[bytes, Opener], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ", lzma.open),
    (b"\x28\xb5\x2f\xfd", zstandard.open),
)
COMPRESSION_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd", ".zip")
TABLE_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods",
)  # fmt: skip
MAX_LEVELS = 2  # an archive of a compressed file
CHUNK_BYTES = 1 << 20
MAX_COMPRESSION_RATIO = 250  # a table shrinks to about a tenth, a repeated letter to a thousandth
MIN_SUSPICIOUS_BYTES = 1 << 30  # a smaller file cannot fill a disk
MAX_LISTED_FILES = 5  # names of an archive's members in an error
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError, BadZipFile)


def unpack(path: Path, folder: Path) -> Path:
    """Unpack a compressed file.

    Parameters
    ----------
    path
        Any file.
    folder
        A folder for the unpacked file.

    Returns
    -------
    pathlib.Path
        The unpacked file; `path` itself if it is not compressed, or is a workbook.

    Raises
    ------
    DataError
        If the file is damaged, encrypted or unpacks to many times its size, or if an archive does not contain exactly
        one table.
    """
    unpacked = path
    for _ in range(MAX_LEVELS):
        with unpacked.open("rb") as handle:
            magic_bytes = handle.read(8)
        opener = next((opener for signature, opener in OPENERS if magic_bytes.startswith(signature)), None)
        is_archive = magic_bytes.startswith(ZIP) and not _is_document(unpacked)
        if opener is None and not is_archive:
            break
        try:
            unpacked = _unpack_zip(unpacked, folder) if opener is None else _unpack_stream(unpacked, opener, folder)
        except DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk, not the file
            raise DataError(f"{path.name} is damaged or cut off", hint="copy or export it again") from None
    return unpacked


def _is_document(path: Path) -> bool:
    """Return whether a ZIP archive is an Office or OpenDocument file; a damaged one is left to the workbook reader."""
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except BadZipFile:
        return True
    return bool({"[Content_Types].xml", "mimetype", "content.xml"} & set(names)) or any(
        name.startswith(("xl/", "word/", "ppt/")) for name in names
    )


def _unpack_stream(path: Path, opener: Opener, folder: Path) -> Path:
    """Unpack a compressed file to a file with the name that it had before."""
    name = path.name
    if name.casefold().endswith(COMPRESSION_SUFFIXES):
        name = name[: name.rindex(".")] or name
    with closing(opener(path)) as stream:
        return _write_unpacked(stream, path, folder / f"unpacked-{name}", path.stat().st_size)


def _unpack_zip(path: Path, folder: Path) -> Path:
    """Unpack the only table of a ZIP archive."""
    with ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist() if not _is_hidden(info.filename)}
        tables = [name for name in members if _has_table_suffix(name)]
        if len(tables) != 1:
            more = " …" if len(members) > MAX_LISTED_FILES else ""
            content = ", ".join([*members][:MAX_LISTED_FILES]) + more if members else "nothing"
            hint = "unpack it, and name the file with the audits"
            raise DataError(f"{path.name} is a ZIP archive; it holds {content}", hint=hint)
        member = members[tables[0]]
        if member.flag_bits & 1:
            raise DataError(f"{path.name} is encrypted", hint="unpack it with its password, and name the file in it")
        target = folder / f"unpacked-{PurePosixPath(member.filename).name}"
        with archive.open(member) as stream:
            return _write_unpacked(stream, path, target, member.compress_size)


def _is_hidden(name: str) -> bool:
    """Return whether a member of an archive is a folder or belongs to the system that packed it."""
    parts = PurePosixPath(name).parts
    return name.endswith("/") or any(part.startswith((".", "__MACOSX")) for part in parts)


def _has_table_suffix(name: str) -> bool:
    stem = name.casefold()
    for suffix in COMPRESSION_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.endswith(TABLE_SUFFIXES)


def _write_unpacked(stream: Any, source: Path, target: Path, packed_bytes: int) -> Path:
    """Write a stream to a file, and stop where it grows to many times its packed size."""
    limit = max(MIN_SUSPICIOUS_BYTES, MAX_COMPRESSION_RATIO * packed_bytes)
    written = 0
    with target.open("wb") as handle:
        for chunk in _read_chunks(stream):
            written += handle.write(chunk)
            if written > limit:
                problem = f"{source.name} unpacks to more than {limit >> 20:,} MB"
                raise DataError(problem, hint="export it again; this is not a normal table")
    return target


def _read_chunks(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk
