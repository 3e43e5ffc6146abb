"""Compressed exports are unpacked; damaged, encrypted and ambiguous archives are errors with a hint."""

import bz2
import gzip
import json
import lzma
import zipfile

import pytest
import zstandard

from rca_lib.findings import DataError
from rca_lib.intake import archives
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from tests.intake.test_json_files import make_audits

UTC = ColumnMapping(time_zone="UTC")
AUDITS = make_audits()
CSV = "\n".join(",".join(map(str, row)) for row in [AUDITS[0], *(audit.values() for audit in AUDITS)]).encode()
COMPRESSORS = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor().compress,
}  # fmt: skip


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize("content", [CSV, json.dumps(AUDITS).encode()], ids=["CSV", "JSON"])
def test_a_compressed_file_is_read_as_what_it_contains(tmp_path, suffix, content):
    path = tmp_path / f"export.csv.{suffix}"
    path.write_bytes(COMPRESSORS[suffix](content))
    ledger = ingest(path, tmp_path / "store", mapping=UTC)
    assert (ledger.kept, ledger.source) == (3, path.name)


def test_the_only_table_of_an_archive_is_read(tmp_path):
    members = {"march/": b"", "march/audits.csv.gz": gzip.compress(CSV), "__MACOSX/._audits.csv": b"x", "read me": b"y"}
    assert ingest(write_zip(tmp_path / "export.zip", **members), None, mapping=UTC).kept == 3


def test_an_archive_with_several_tables_lists_them(tmp_path):
    path = write_zip(tmp_path / "export.zip", **{"1.csv": CSV, "2.csv": CSV})
    with pytest.raises(DataError, match=r"it holds 1\.csv, 2\.csv"):
        ingest(path, None, mapping=UTC)


@pytest.mark.parametrize("suffix", [*COMPRESSORS, "zip"])
def test_a_file_that_is_cut_off_is_an_error_and_nothing_is_written(tmp_path, suffix):
    path = tmp_path / f"export.{suffix}"
    if suffix == "zip":
        write_zip(path, **{"audits.csv": CSV * 1000})
        path.write_bytes(path.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x04", 1)[:-30])
    else:
        path.write_bytes(COMPRESSORS[suffix](CSV * 1000)[:-30])
    with pytest.raises(DataError) as caught:
        ingest(path, tmp_path / "store", mapping=UTC)
    assert caught.value.hint and not (tmp_path / "store").exists()


def test_a_file_that_unpacks_to_many_times_its_size_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MIN_SUSPICIOUS_BYTES", 1 << 20)
    path = tmp_path / "export.csv.gz"
    path.write_bytes(gzip.compress(b"a" * (4 << 20)))
    with pytest.raises(DataError, match="unpacks to more than 1 MB"):
        ingest(path, None, mapping=UTC)


def test_an_encrypted_archive_is_named(tmp_path):
    path = write_zip(tmp_path / "export.zip", **{"audits.csv": CSV})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag of encryption
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        ingest(path, None, mapping=UTC)
