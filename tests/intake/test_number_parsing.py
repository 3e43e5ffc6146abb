"""Numbers and durations: parsed as intended, an error if ambiguous, quarantined if invalid."""

import datetime as dt

import duckdb
import openpyxl
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest

UTC = ColumnMapping(time_zone="UTC")


def make_rows(**columns) -> pd.DataFrame:
    """A valid audit per value of the columns."""
    rows = len(next(iter(columns.values())))
    ids = {
        "audit_id": [f"A{number:03d}" for number in range(rows)],
        "item_id": [f"I{number}" for number in range(rows)],
    }
    fixed = {"site": "Lisbon", "rater": "R1", "decided_at": "2026-01-05 10:00", "label": "benign", "truth": "benign"}
    return pd.DataFrame(ids | fixed | columns)


def read_column(store, name) -> dict[str, float]:
    files = sorted(map(str, store.glob("site=*/month=*/audits.parquet")))
    return duckdb.connect().read_parquet(files, hive_partitioning=False).df().set_index("audit_id")[name].to_dict()


def write_sheet(path, rows: pd.DataFrame):
    book = openpyxl.Workbook()
    book.active.append(list(rows))
    for row in rows.astype(object).itertuples(index=False):
        book.active.append(list(row))
    book.save(path)
    return path


def read_numbers(tmp_path, texts, name="weight", mapping=UTC, sheet=False):
    rows = make_rows(**{name: texts})
    source = write_sheet(tmp_path / "a.xlsx", rows) if sheet else rows
    ledger = ingest(source, tmp_path / "store", mapping=mapping)
    assert ledger.rows_read == ledger.kept + ledger.quarantined
    values = read_column(tmp_path / "store", name)
    return [values.get(f"A{number:03d}") for number in range(len(texts))]


COMMA = [
    ("1 250,50", 1250.5),
    ("1\xa0250,50", 1250.5),
    ("1\u202f250,50", 1250.5),
    ("1\u2009250,50", 1250.5),
    ("1.250,50", 1250.5),
    ("1250,50", 1250.5),
    ("1'250,50", 1250.5),
    ("12 345 678,5", 12345678.5),
    ("1,5", 1.5),
    ("0,125", 0.125),
    (",5", 0.5),
    ("1,5E2", 150.0),
    ("1 250", 1250.0),
    ("+1,5", 1.5),
]
POINT = [
    ("1 250.50", 1250.5),
    ("1\xa0250.50", 1250.5),
    ("1'250.50", 1250.5),
    ("1’250.50", 1250.5),
    ("1,250.50", 1250.5),
    ("1250.50", 1250.5),
    ("12,34,567.5", 1234567.5),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1.5e2", 150.0),
    ("1e-6", 1e-6),
    ("5.", 5.0),
]


@pytest.mark.parametrize("sheet", [False, True])
@pytest.mark.parametrize("cases", [COMMA, POINT], ids=["comma", "point"])
def test_a_number_is_parsed_with_any_thousands_separator(tmp_path, cases, sheet):
    assert read_numbers(tmp_path, [text for text, _ in cases], sheet=sheet) == [value for _, value in cases]


def test_a_thousands_group_has_three_digits(tmp_path):
    # With a declared point "1,5" is not a number; an earlier version read 15.
    values = read_numbers(
        tmp_path, ["1.5", "1,5", "1,2,3", "1,50", "12,3456"], mapping=UTC.model_copy(update={"decimal": "."})
    )
    assert values == [1.5, None, None, None, None]


@pytest.mark.parametrize(
    ("texts", "sheet", "words"),
    [
        (["1,5", "1.5"], False, "1.5 occur in one file|1,5 occur in one file"),
        ([1.5, "1,5"], True, "1,5 occur in one file"),
        (["1,250"], False, "values such as 1,250 are inconclusive"),
        (["1,250"], True, "values such as 1,250 are inconclusive"),
        (["1.250"], True, "values such as 1.250 are inconclusive"),
    ],
)
def test_an_ambiguous_decimal_mark_is_an_error_with_one_question(tmp_path, texts, sheet, words):
    with pytest.raises(DataError, match=words) as error_info:
        read_numbers(tmp_path, texts, sheet=sheet)
    assert 'write decimal: "." or decimal: ","' in str(error_info.value)


def test_a_declared_decimal_mark_concerns_text_and_not_typed_numbers(tmp_path):
    assert read_numbers(tmp_path, [1.125, 2.25, 3], sheet=True) == [1.125, 2.25, 3.0]
    comma = UTC.model_copy(update={"decimal": ","})
    assert read_numbers(tmp_path, [1.125, "2,25", "1.250"], sheet=True, mapping=comma) == [1.125, 2.25, 1250.0]


@pytest.mark.parametrize("name", ["weight", "tenure_days", "audit_round", "model_score", "handle_seconds"])
def test_an_impossible_number_quarantines_only_its_row(tmp_path, name):
    texts = ["1", "9" * 20, "inf", "-inf", "1e400", "1E+300", "Infinity", "0x10", "1_000", "1e", "--1", "1-2", "."]
    assert read_numbers(tmp_path, texts, name) == [1.0, *[None] * (len(texts) - 1)]
    typed = [1.0, float("inf"), 1e300]
    assert read_numbers(tmp_path, typed, name)[:1] == [1.0]


def test_a_weight_out_of_range_is_quarantined_and_weights_that_sum_to_one_are_not(tmp_path):
    assert read_numbers(tmp_path, ["1e-6", "1e13", "1e-13", "1000000"]) == [1e-6, None, None, 1e6]


DURATIONS = [
    ("42", 42),
    ("42.5", 42.5),
    ("03:25", 205),
    ("3:25.5", 205.5),
    ("1:00:05", 3605),
    ("00:01:30.500", 90.5),
    ("00:01:30,500", 90.5),
    ("30:00:00", 108_000),
    ("1 day, 6:00:00", 108_000),
    ("1 days 06:00:00", 108_000),
    ("0 days 00:01:30.500000", 90.5),
    ("1.06:00:00", 108_000),
    ("PT1M30S", 90),
    ("P1DT6H", 108_000),
    ("PT90.5S", 90.5),
    ("1h 30m", 5400),
    ("1h30m5s", 5405),
    ("90s", 90),
    ("90 sec", 90),
    ("2 min", 120),
    ("1 min 30 s", 90),
    ("1 hour 2 minutes", 3720),
    ("2 hrs", 7200),
]


def test_durations_in_any_notation_are_seconds(tmp_path):
    values = read_numbers(tmp_path, [text for text, _ in DURATIONS], "handle_seconds")
    assert values == [float(seconds) for _, seconds in DURATIONS]


def test_an_invalid_duration_is_quarantined(tmp_path):
    texts = ["5", "long", "1:2:3:4", "3:5", "-00:05", "-1 days +23:59:00", "1 day", "P", "h", "12:00 PM"]
    assert read_numbers(tmp_path, texts, "handle_seconds") == [5.0, *[None] * 9]


def test_typed_times_in_a_workbook_are_durations(tmp_path):
    cells = [
        dt.time(0, 1, 30),
        dt.timedelta(hours=30),
        dt.timedelta(seconds=90.5),
        90,
        "00:01:30.500",
        dt.time(0, 0, 0, 500_000),
    ]
    book = write_sheet(tmp_path / "a.xlsx", make_rows(handle_seconds=cells))
    opened = openpyxl.load_workbook(book)
    opened.active.cell(3, 8).number_format = "[h]:mm:ss"
    opened.active.append([*["A006", "I6"], *[cell.value for cell in opened.active[2][2:7]], 1.25])
    opened.active.cell(8, 8).number_format = "h:mm"  # Excel shows 6:00 for 30 hours
    opened.save(book)
    ingest(book, tmp_path / "store", mapping=UTC)
    values = read_column(tmp_path / "store", "handle_seconds")
    assert list(values.values()) == [90.0, 108_000.0, 90.5, 90.0, 90.5, 0.5, 108_000.0]


def test_an_audit_with_more_than_half_of_its_sites_weights_is_noted():
    weights = ["1"] * 10 + ["1000000000"]
    (note,) = [note for note in ingest(make_rows(weight=weights), None, mapping=UTC).notes if "carries" in note[0]]
    assert note[:2] == ("audit A010 carries 100.0 % of all weights of Lisbon", 1)
    even = ingest(make_rows(weight=["1"] * 10 + ["9"]), None, mapping=UTC)
    assert not [note for note in even.notes if "carries" in note[0]]
