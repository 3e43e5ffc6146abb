"""Numbers and durations: read as they were meant; asked about where ambiguous; quarantined where they are none."""

import datetime as dt

import duckdb
import openpyxl
import pandas as pd
import pytest

from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import Mapping
from rca_lib.findings import DataError

UTC = Mapping(time_zone="UTC")


def make_rows(**columns) -> pd.DataFrame:
    """A good audit per value of the columns."""
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
    ledger = take_in(source, tmp_path / "store", mapping=mapping)
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
def test_a_number_is_read_whatever_groups_its_thousands(tmp_path, cases, sheet):
    assert read_numbers(tmp_path, [text for text, _ in cases], sheet=sheet) == [value for _, value in cases]


def test_a_group_of_less_than_three_digits_is_no_group(tmp_path):
    # With a declared point "1,5" is no number; it was once read as 15.
    values = read_numbers(
        tmp_path, ["1.5", "1,5", "1,2,3", "1,50", "12,3456"], mapping=UTC.model_copy(update={"decimal": "."})
    )
    assert values == [1.5, None, None, None, None]


@pytest.mark.parametrize(
    ("texts", "sheet", "words"),
    [
        (["1,5", "1.5"], False, "1.5 stand in one file|1,5 stand in one file"),
        ([1.5, "1,5"], True, "1,5 stand in one file"),
        (["1,250"], False, "values such as 1,250 prove nothing"),
        (["1,250"], True, "values such as 1,250 prove nothing"),
        (["1.250"], True, "values such as 1.250 prove nothing"),
    ],
)
def test_a_mark_that_may_be_two_stops_with_one_question(tmp_path, texts, sheet, words):
    with pytest.raises(DataError, match=words) as stop:
        read_numbers(tmp_path, texts, sheet=sheet)
    assert 'write decimal: "." or decimal: ","' in str(stop.value)


def test_a_typed_number_is_what_it_is_and_a_declared_mark_concerns_texts(tmp_path):
    assert read_numbers(tmp_path, [1.125, 2.25, 3], sheet=True) == [1.125, 2.25, 3.0]
    comma = UTC.model_copy(update={"decimal": ","})
    assert read_numbers(tmp_path, [1.125, "2,25", "1.250"], sheet=True, mapping=comma) == [1.125, 2.25, 1250.0]


@pytest.mark.parametrize("name", ["weight", "tenure_days", "audit_round", "model_score", "handle_seconds"])
def test_a_number_beyond_all_measure_is_quarantined_and_costs_no_other_row(tmp_path, name):
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


def test_durations_are_seconds_however_they_are_written(tmp_path):
    values = read_numbers(tmp_path, [text for text, _ in DURATIONS], "handle_seconds")
    assert values == [float(seconds) for _, seconds in DURATIONS]


def test_what_is_no_duration_is_quarantined(tmp_path):
    texts = ["5", "long", "1:2:3:4", "3:5", "-00:05", "-1 days +23:59:00", "1 day", "P", "h", "12:00 PM"]
    assert read_numbers(tmp_path, texts, "handle_seconds") == [5.0, *[None] * 9]


def test_cells_with_times_of_a_workbook_are_durations(tmp_path):
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
    take_in(book, tmp_path / "store", mapping=UTC)
    values = read_column(tmp_path / "store", "handle_seconds")
    assert list(values.values()) == [90.0, 108_000.0, 90.5, 90.0, 90.5, 0.5, 108_000.0]


def test_one_audit_with_more_than_half_of_all_weights_of_its_site_is_noted():
    weights = ["1"] * 10 + ["1000000000"]
    (note,) = [note for note in take_in(make_rows(weight=weights), None, mapping=UTC).notes if "carries" in note[0]]
    assert note[:2] == ("audit A010 carries 100.0 % of all weights of Lisbon", 1)
    even = take_in(make_rows(weight=["1"] * 10 + ["9"]), None, mapping=UTC)
    assert not [note for note in even.notes if "carries" in note[0]]
