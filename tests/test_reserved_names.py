"""Columns of the user's never take the place of the package's own, whatever they are called."""

import ast
import re
from pathlib import Path

import pandas as pd
import pytest

import rca_lib
from rca_lib.audits.counting import count_errors
from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import Mapping, plan_columns
from rca_lib.audits.store import open_case
from rca_lib.audits.tables import AUDITS, DERIVED, RESERVED, columns
from rca_lib.reporting.deep_dive import answer_questions
from rca_lib.reporting.page_one import write_page_one

UTC = Mapping(time_zone="UTC")
OWN = frozenset(columns(AUDITS, "required")) | {"policy", "auditor", "policy_version_decided", "policy_version_audited"}


def make_audits(rows: int = 400) -> pd.DataFrame:
    """Audits of two months, an error in seven; every eleventh has a stale truth."""
    number = range(rows)
    times = pd.Timestamp("2026-01-01 08:00") + pd.to_timedelta([i * 59 * 24 / rows for i in number], unit="h")
    return pd.DataFrame(
        {
            "audit_id": [f"A{i}" for i in number],
            "item_id": [f"I{i}" for i in number],
            "site": "Lisbon",
            "rater": [f"R{i % 7}" for i in number],
            "decided_at": times.floor("s").astype(str),
            "label": ["hate" if i % 7 == 0 else "benign" for i in number],
            "truth": "benign",
            "policy": [("hate", "spam", "nudity")[i % 3] for i in number],
            "auditor": [f"Q{i % 3}" for i in number],
            "policy_version_decided": "v1",
            "policy_version_audited": ["v2" if i % 11 == 0 else "v1" for i in number],
        }
    )


def write_page(audits, store, **options):
    take_in(audits, store, mapping=UTC)
    return str(write_page_one(answer_questions(open_case(store, site="Lisbon", period="2026-02", **options))))


def without_source(page):
    """The page without the fingerprint and the file's columns."""
    return [line for line in page.splitlines() if "Fingerprint" not in line]


@pytest.mark.parametrize("spell", [str.lower, str.title, str.upper])
def test_no_extra_column_of_any_reserved_name_changes_page_one(tmp_path, spell):
    audits = make_audits()
    plain = without_source(write_page(audits, tmp_path / "plain"))
    extras = {spell(name): [str(i % 5 + 3) for i in range(len(audits))] for name in sorted(RESERVED - OWN)}
    if spell is str.lower:  # the contract's own names would be its columns
        extras = {name: extras[name] for name in (*DERIVED, *columns(AUDITS, "automatic"))}
    wide = audits.assign(**extras)
    assert without_source(write_page(wide, tmp_path / "wide")) == plain
    ledger = take_in(wide, None, mapping=UTC)
    assert {f"{name}_in_file" for name in extras} <= set(ledger.columns)
    assert (f"column {spell('items')} kept as {spell('items')}_in_file, its name is reserved", 400) in ledger.repairs


def test_such_a_column_can_be_searched_under_its_safe_name(tmp_path):
    audits = make_audits().assign(items="a", Errors=[f"e{i % 2}" for i in range(400)], time="t", truth_version="x")
    take_in(audits, tmp_path / "store", mapping=UTC)
    dimensions = ["policy", "items_in_file", "Errors_in_file", "time_in_file", "truth_version_in_file"]
    case = open_case(tmp_path / "store", site="Lisbon", period="2026-02", dimensions=dimensions)
    answers = answer_questions(case)
    counts = count_errors(case.current, ["Errors_in_file"])
    assert counts["items"].sum() == answers.quality.error_rate.items
    assert counts["Errors_in_file"].tolist() == ["e0", "e1"]


def test_a_safe_name_that_is_taken_gets_another():
    plan = plan_columns(UTC, [*columns(AUDITS, "required"), "items", "items_in_file", "ITEMS_IN_FILE_in_file"])
    assert len({name.casefold() for name in plan.extras}) == 3


def test_audits_that_have_columns_called_items_and_errors_are_counted_by_row():
    audits = make_audits(70).assign(items=10, errors=9)
    assert count_errors(audits)[["items", "errors"]].values.tolist() == [[70, 10]]


def find_made_names(tree):
    """Return the names of columns that code makes: of alias, assign and with_columns, and by assignment to a key."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("assign", "with_columns"):
                yield from (keyword.arg for keyword in node.keywords if keyword.arg)
            if node.func.attr == "alias":
                yield from (part.value for arg in node.args for part in ast.walk(arg) if isinstance(part, ast.Constant))
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                yield target.slice.value


def test_every_name_that_questions_and_counts_give_a_column_is_reserved():
    root = Path(rca_lib.__file__).parent
    counting = [root / "audits" / f"{name}.py" for name in ("counting", "encoding", "people", "ratings")]
    made = {
        name
        for path in [*counting, *sorted((root / "questions").glob("*.py")), root / "reporting" / "deep_dive.py"]
        for name in find_made_names(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name)
    }
    assert made - RESERVED == set(), "add them to DERIVED in audits/tables.py"
    assert len(made) > 20
