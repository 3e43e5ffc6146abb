"""Workbooks that would exhaust the reader are rejected before they are read, and unusual ones are read."""

import os
import re
import signal
import subprocess
import sys
import zipfile

import openpyxl
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.file_types import UNSUPPORTED_SIGNATURES
from rca_lib.intake.ingest import ingest

UTC = ColumnMapping(time_zone="UTC")
HEADER = ["audit_id", "item_id", "site", "rater", "decided_at", "label", "truth"]
ROW = ["A1", "I1", "Lisbon", "R1", "2026-01-05", "a", "a"]


def write_book(path, **cells):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active.append(ROW)
    for address, value in cells.items():
        book.active[address] = value
    book.save(path)
    return path


@pytest.mark.parametrize("corner", ["XFD1048576", "ZZZ900000"])
def test_a_stray_cell_far_away_is_rejected_before_the_sheet_is_read(tmp_path, corner):
    corner = corner if corner == "XFD1048576" else "XAA900000"
    with pytest.raises(DataError, match=rf"reaches to {corner} .* and fills 15 of them") as error_info:
        ingest(write_book(tmp_path / "a.xlsx", **{corner: "x"}), None, mapping=UTC)
    assert "delete the rows below" in error_info.value.hint


def test_a_stray_cell_far_right_is_rejected_and_one_far_below_leaves_empty_rows(tmp_path):
    for cells in ({"XFD1": "x"}, {"XFD2": "y"}, {"XFD1": "x", "XFD2": "y"}):
        with pytest.raises(DataError, match=r"header of a\.xlsx has 16,37\d columns without a name"):
            ingest(write_book(tmp_path / "a.xlsx", **cells), None, mapping=UTC)
    ledger = ingest(write_book(tmp_path / "c.xlsx", A30000="x"), None, mapping=UTC)
    assert (ledger.rows_read, ledger.kept, ledger.quarantined, ledger.empty) == (29_999, 1, 1, 29_997)


def test_formatted_rows_without_values_are_ignored(tmp_path):
    path = write_book(tmp_path / "a.xlsx")
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    rows = "".join(f'<row r="{n}"><c r="A{n}" s="0"/><c r="XFD{n}" s="0"/></row>' for n in range(3, 60_003)).encode()
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = parts[sheet].replace(b"</sheetData>", rows + b"</sheetData>")
    parts[sheet] = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', parts[sheet])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    ledger = ingest(path, None, mapping=UTC)
    assert ledger.kept == 1 and ledger.quarantined == 0


def test_a_zip_bomb_is_rejected_by_its_declared_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", "<workbook/>")
        with packed.open("xl/worksheets/sheet1.xml", "w") as sheet:
            for _ in range(120):
                sheet.write(b"a" * (1 << 20))
    with pytest.raises(DataError, match=r"unpacks xl/worksheets/sheet1\.xml to 120 MB"):
        ingest(tmp_path / "a.xlsx", None, mapping=UTC)


def test_other_archives_and_documents_are_named(tmp_path):
    for name, inside, words in (
        ("a.zip", "january/audits.pdf", r"ZIP archive; it holds january/audits\.pdf"),
        ("b.docx", "word/document.xml", "a Word document"),
        ("c.pptx", "ppt/presentation.xml", "a PowerPoint presentation"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            packed.writestr(inside, "x")
        with pytest.raises(DataError, match=words):
            ingest(tmp_path / name, None, mapping=UTC)


@pytest.mark.parametrize(("magic", "kind", "hint"), UNSUPPORTED_SIGNATURES)
def test_unsupported_file_types_are_named_with_a_hint(tmp_path, magic, kind, hint):
    (tmp_path / "a.csv").write_bytes(magic + b" something")
    with pytest.raises(DataError, match=f"a.csv is {re.escape(kind)}, not a table") as error_info:
        ingest(tmp_path / "a.csv", None, mapping=UTC)
    assert error_info.value.hint == hint


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"a": 1}', "JSON"),
        ('["a", "b"]', "JSON"),
        ("[]", "JSON"),
        ("<?xml version='1.0'?>", "XML"),
    ],
)
def test_json_without_records_and_markup_are_named(tmp_path, text, kind):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"a.json is .*{kind}"):
        ingest(tmp_path / "a.json", None, mapping=UTC)


def test_a_header_in_brackets_is_not_json(tmp_path):
    names = ",".join(f"[{name}]" for name in HEADER)
    (tmp_path / "a.csv").write_text(f"{names}\n{','.join(ROW)}\n")
    mapping = ColumnMapping(time_zone="UTC", columns={name: f"[{name}]" for name in HEADER})
    assert ingest(tmp_path / "a.csv", None, mapping=mapping).kept == 1


def test_a_folder_lists_its_files(tmp_path):
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text("a")
    with pytest.raises(DataError, match=r"is a folder.*combine its files into one, and name that: 1\.csv, 2\.csv"):
        ingest(tmp_path, None, mapping=UTC)


SLOW = """
import sys, pathlib
from rca_lib.io.work_folders import create_work_folder
with create_work_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / "raw.csv").write_text("rows")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_an_ingest_removes_only_the_work_folders_of_killed_processes(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SLOW, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    killed, alive = (process.stdout.readline().strip() for process in started)
    started[0].send_signal(signal.SIGKILL)
    started[0].wait()
    assert os.path.exists(killed) and os.path.exists(alive)  # noqa: PTH110
    write_book(tmp_path / "a.xlsx")
    ingest(tmp_path / "a.xlsx", tmp_path / "store", mapping=UTC)
    assert not os.path.exists(killed) and os.path.exists(alive)  # noqa: PTH110
    for process in started:
        process.stdin.close()
        process.stdout.close()
        process.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xlsx", "store"]
