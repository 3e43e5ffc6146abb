"""Extra columns never replace the package's own columns, whatever their names."""

import ast
import re
from pathlib import Path

import pandas as pd
import pytest

import rca_lib
from rca_lib.audits.counting import count_errors
from rca_lib.audits.schema import AUDIT_COLUMNS, INTERNAL_COLUMNS, RESERVED_COLUMNS, list_columns
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.column_plan import plan_columns
from rca_lib.intake.ingest import ingest
from rca_lib.reporting.deep_dive import run_deep_dive
from rca_lib.reporting.page_one import build_page_one
from rca_lib.store.cases import open_case

UTC = ColumnMapping(time_zone="UTC")
REQUIRED = frozenset(list_columns(AUDIT_COLUMNS, "required")) | {
    "policy",
    "auditor",
    "policy_version_decided",
    "policy_version_audited",
}


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
    ingest(audits, store, mapping=UTC)
    return str(build_page_one(run_deep_dive(open_case(store, site="Lisbon", period="2026-02", **options))))


def without_source(page):
    """The page without the fingerprint and the file's columns."""
    return [line for line in page.splitlines() if "fingerprint" not in line]


@pytest.mark.parametrize("spell", [str.lower, str.title, str.upper])
def test_extra_columns_with_reserved_names_do_not_change_page_one(tmp_path, spell):
    audits = make_audits()
    plain = without_source(write_page(audits, tmp_path / "plain"))
    extras = {spell(name): [str(i % 5 + 3) for i in range(len(audits))] for name in sorted(RESERVED_COLUMNS - REQUIRED)}
    if spell is str.lower:  # the names of the schema would be its own columns
        extras = {name: extras[name] for name in (*INTERNAL_COLUMNS, *list_columns(AUDIT_COLUMNS, "automatic"))}
    wide = audits.assign(**extras)
    assert without_source(write_page(wide, tmp_path / "wide")) == plain
    ledger = ingest(wide, None, mapping=UTC)
    assert {f"{name}_in_file" for name in extras} <= set(ledger.columns)
    assert (f"column {spell('items')} kept as {spell('items')}_in_file, its name is reserved", 400) in ledger.repairs


def test_a_renamed_extra_column_can_be_searched(tmp_path):
    audits = make_audits().assign(items="a", Errors=[f"e{i % 2}" for i in range(400)], time="t", truth_version="x")
    ingest(audits, tmp_path / "store", mapping=UTC)
    dimensions = ["policy", "items_in_file", "Errors_in_file", "time_in_file", "truth_version_in_file"]
    case = open_case(tmp_path / "store", site="Lisbon", period="2026-02", dimensions=dimensions)
    answers = run_deep_dive(case)
    counts = count_errors(case.current, ["Errors_in_file"])
    assert counts["items"].sum() == answers.quality.error_rate.items
    assert counts["Errors_in_file"].tolist() == ["e0", "e1"]


def test_a_safe_name_in_use_gets_another_suffix():
    plan = plan_columns(
        UTC, [*list_columns(AUDIT_COLUMNS, "required"), "items", "items_in_file", "ITEMS_IN_FILE_in_file"]
    )
    assert len({name.casefold() for name in plan.extra_columns}) == 3


def test_audits_with_columns_items_and_errors_are_counted_by_row():
    audits = make_audits(70).assign(items=10, errors=9)
    assert count_errors(audits)[["items", "errors"]].values.tolist() == [[70, 10]]


def find_derived_names(tree):
    """Yield the column names that code creates: by alias, assign, with_columns, or assignment to a key."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("assign", "with_columns"):
                yield from (keyword.arg for keyword in node.keywords if keyword.arg)
            if node.func.attr == "alias":
                yield from (part.value for arg in node.args for part in ast.walk(arg) if isinstance(part, ast.Constant))
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                yield target.slice.value


def test_every_derived_column_name_is_reserved():
    root = Path(rca_lib.__file__).parent
    modules = [path for package in ("audits", "models", "questions") for path in sorted((root / package).glob("*.py"))]
    derived_names = {
        name
        for path in [*modules, root / "reporting" / "deep_dive.py"]
        for name in find_derived_names(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name)
    }
    assert derived_names - RESERVED_COLUMNS == set(), "add them to INTERNAL_COLUMNS in audits/schema.py"
    assert len(derived_names) > 20
