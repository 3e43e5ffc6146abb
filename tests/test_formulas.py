"""No text of the data becomes a formula in a file that is written."""

import duckdb
import pandas as pd
import pytest

from rca_lib.audits.formulas import escape_formula
from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import Mapping
from rca_lib.audits.reading import run_file
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
def engine():
    with duckdb.connect() as opened:
        run_file(opened, "formulas.sql")
        yield opened


def test_the_engine_and_python_escape_the_same_and_the_engine_takes_it_back(engine):
    for text in [*FORMULAS, *TEXTS]:
        ((escaped, back),) = engine.execute(
            "select escape_formula($1), unescape_formula(escape_formula($1))", [text]
        ).fetchall()
        assert escaped == escape_formula(text) == (f"'{text}" if text in FORMULAS else text), repr(text)
        assert back == text, repr(text)


def test_numbers_stay_numbers(engine):
    for text in ("-1.5", "+2", "-3,5", "-1e6"):
        assert engine.execute("select escape_formula($1)", [text]).fetchall() == [(text,)]


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
    bad = row | {"audit_id": "A2", "truth": "", "rater": text}
    take_in(pd.DataFrame([row, bad]), tmp_path / "store", mapping=Mapping(time_zone="UTC"))
    assert pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str)["rater"].str.startswith("'").all()


def test_a_table_of_a_notebook_holds_no_formula_in_cells_or_names(tmp_path):
    save_table(pd.DataFrame({" =x": FORMULAS}), tmp_path, "table")
    saved = pd.read_csv(tmp_path / "table.csv", dtype=str)
    assert list(saved) == ["' =x"] and saved["' =x"].str.startswith("'").all()
