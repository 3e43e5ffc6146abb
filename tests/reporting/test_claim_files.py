"""Reading claims from CSV, Excel, PowerPoint and Word files."""

import openpyxl
import pytest
from docx import Document
from pptx import Presentation
from pptx.util import Inches

from rca_lib.findings import DataError
from rca_lib.reporting.claim_files import read_claims

ROWS = [("Sentence", "Metric", "Site", "Period", "Value"), ("It fell", "accuracy", "fallen", "2026-02", "85.0%")]


def write_xlsx(path):
    book = openpyxl.Workbook()
    book.active.append(["A title above the table"])
    for row in ROWS:
        book.active.append(row)
    book.active["E3"] = 0.85
    book.active["E3"].number_format = "0.0%"
    book.save(path)


def write_pptx(path):
    slides = Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[6])
    table = slide.shapes.add_table(2, 5, Inches(1), Inches(1), Inches(8), Inches(1)).table
    for row, cells in enumerate(ROWS):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    slides.save(path)


def write_docx(path):
    document = Document()
    document.add_paragraph("The month in words")
    table = document.add_table(2, 5)
    for row, cells in enumerate(ROWS):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.save(path)


def write_csv(path):
    path.write_text("\n".join(";".join(row) for row in ROWS), encoding="cp1252")


@pytest.mark.parametrize(
    ("kind", "write"), [("csv", write_csv), ("xlsx", write_xlsx), ("pptx", write_pptx), ("docx", write_docx)]
)
def test_the_same_claim_is_read_from_every_file_type(tmp_path, kind, write):
    file = tmp_path / f"claims.{kind}"
    write(file)
    (claim,) = read_claims(file)
    texts = (claim.sentence, claim.metric, claim.scope, claim.period, claim.value)
    assert texts == ("It fell", "accuracy", "site=fallen", "2026-02", "85.0%")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("claims.pdf", b"%PDF", "CSV, XLSX, PPTX or DOCX"),
        ("claims.xlsx", b"not a zip", "cannot be read"),
        ("claims.pptx", b"not a zip", "cannot be read"),
        ("claims.docx", b"not a zip", "cannot be read"),
        ("claims.csv", b"", "no table"),
        ("claims.csv", b"metrik,value\naccuracy,1", "no column metric"),
        ("claims.csv", b"metric,value\n", "no rows"),
    ],
)
def test_a_file_without_claims_gives_one_clear_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_claims(tmp_path / name)
    assert error.value.hint
