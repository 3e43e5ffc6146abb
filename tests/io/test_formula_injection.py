"""No text from the data becomes a formula in a written file."""

import duckdb
import pandas as pd
import pytest

from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.side_tables import read_stored_table, write_escaped_csv
from rca_lib.intake.sql_scripts import execute_script
from rca_lib.io.formula_injection import escape_formula, unescape_formula
from rca_lib.reporting.display import save_table

FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "  \t +1",
    "\xa0=1",
    "\u200b=1",
    "\ufeff=1",
    "\u3000=1",
    "＝1",
    "＋1",
    "－1+1",
    "＠A",
    " ＝1",
    "﹦1",
    "'=1",
    "''=1",
    "' =1",
    "\x00=1",
    "\x1f@A",
    "−1+1",
    "\tx",
    "\nx",
    "= 1",
]
TEXTS = ["x=1", "a@b.c", "1-2", "(=1)", "", "'quoted'", "it's", "–dash", "—dash", "*", "#", " x", "ünder = over"]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as opened:
        execute_script(opened, "formula_injection.sql")
        yield opened


def test_sql_and_python_escape_and_unescape_alike(connection):
    for text in [*FORMULAS, *TEXTS]:
        ((escaped, back),) = connection.execute(
            "select escape_formula($1), unescape_formula(escape_formula($1))", [text]
        ).fetchall()
        assert escaped == escape_formula(text) == (f"'{text}" if text in FORMULAS else text), repr(text)
        assert back == unescape_formula(escape_formula(text)) == text, repr(text)


def test_a_side_table_in_a_store_is_escaped_and_read_back_as_it_was(tmp_path):
    texts = [text for text in [*FORMULAS, *TEXTS, "a\rb", 'a "b", c'] if text and "\x00" not in text]
    write_escaped_csv(pd.DataFrame({"title": texts}), tmp_path / "events.csv")
    written = pd.read_csv(tmp_path / "events.csv", dtype=str, keep_default_na=False)["title"]
    assert [text for text, cell in zip(texts, written, strict=True) if text != cell] == [
        text for text in texts if text in FORMULAS
    ]
    assert read_stored_table(tmp_path / "events.csv")["title"].tolist() == texts


def test_numbers_stay_numbers(connection):
    for text in ("-1.5", "+2", "-3,5", "-1e6"):
        assert connection.execute("select escape_formula($1)", [text]).fetchall() == [(text,)]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_quarantine_holds_no_formula(tmp_path, text):
    row = {
        "audit_id": "A1",
        "item_id": "I1",
        "site": "L",
        "rater": "r",
        "decided_at": "2026-01-05",
        "label": "a",
        "truth": "a",
    }
    quarantined = row | {"audit_id": "A2", "truth": "", "rater": text}
    ingest(pd.DataFrame([row, quarantined]), tmp_path / "store", mapping=ColumnMapping(time_zone="UTC"))
    assert pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str)["rater"].str.startswith("'").all()


def test_a_table_of_a_notebook_holds_no_formula_in_cells_or_names(tmp_path):
    save_table(pd.DataFrame({" =x": FORMULAS}), tmp_path, "table")
    saved = pd.read_csv(tmp_path / "table.csv", dtype=str)
    assert list(saved) == ["' =x"] and saved["' =x"].str.startswith("'").all()
