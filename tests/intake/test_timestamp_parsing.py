"""Timestamps: each usual notation gives the same time, and an invalid one is quoted with a hint."""

import datetime as dt

import duckdb
import openpyxl
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping, read_mapping
from rca_lib.intake.ingest import ingest


def make_rows(**columns) -> pd.DataFrame:
    """A valid audit per value of the columns."""
    rows = len(next(iter(columns.values())))
    ids = {"audit_id": [f"A{number}" for number in range(rows)], "item_id": [f"I{number}" for number in range(rows)]}
    return pd.DataFrame(ids | {"site": "Lisbon", "rater": "R1", "label": "benign", "truth": "benign"} | columns)


def read_kept(store) -> pd.DataFrame:
    files = sorted(map(str, store.glob("site=*/month=*/audits.parquet")))
    return duckdb.connect().read_parquet(files, hive_partitioning=False).df()


# 2026-01-05 14:30 on the clock of New York (UTC-5), where the file names no offset.
LOCAL = [
    "2026-01-05 14:30",
    "2026-01-05T14:30",
    "2026-01-05 14:30:00",
    "2026-01-05 14:30:00.000",
    "2026-01-05 14:30:00,000",
    "2026/01/05 14:30",
    "2026/1/5 14:30",
    "2026.01.05 14:30",
    "2026-01-05 02:30 PM",
    "2026-01-05 2:30PM",
    "2026-01-05-14.30.00.000000",
    "2026-01-05-14:30:00",
    "2026-01-05 14.30",
    "2026-01-05_14:30:00",
    "2026-01-05t14:30:00",
    "20260105143000",
    "202601051430",
    "20260105143000000",
    "20260105T143000",
    "20260105T1430",
    "20260105 143000",
    "20260105 14:30:00",
    "05-Jan-2026 14:30",
    "05-JAN-2026 14:30:00",
    "5-Jan-26 14:30",
    "05Jan2026 14:30",
    "05JAN2026:14:30:00",
    "05-JAN-26 02.30.00.000000 PM",
    "5 Jan 2026 14:30",
    "05 January 2026 14:30",
    "5. Januar 2026 14:30",
    "5. Jan. 2026, 14:30 Uhr",
    "5 de enero de 2026 14:30",
    "5 ene 2026 2:30 p. m.",
    "5 janvier 2026 à 14h30",
    "5 janv. 2026 14:30",
    "5 gennaio 2026 14:30",
    "5 de janeiro de 2026 14:30",
    "5 januari 2026 14:30",
    "5. tammikuuta 2026 14:30",
    "Jan 5, 2026 2:30 PM",
    "Jan 05, 2026 14:30",
    "January 5, 2026 2:30 PM",
    "January 5th, 2026 2:30 pm",
    "Jan 5, 2026, 2:30:00 PM",
    "Jan 5 2026 2:30PM",
    "Jan  5 2026  2:30:00:000PM",
    "January 5, 2026 at 2:30 PM",
    "Jan-05-2026 14:30",
    "Monday, January 5, 2026 2:30 PM",
    "Mon, 5 Jan 2026 14:30",
    "Mon Jan  5 14:30:00 2026",
    "Mon Jan 05 2026 14:30:00",
    "Montag, 5. Januar 2026 14:30",
    "lunes, 5 de enero de 2026 14:30",
    "2026年1月5日 14:30",
    "2026年1月5日 下午2:30",
    "2026年01月05日14時30分",
    "2026년 1월 5일 14:30",
    "2026 Jan 05 14:30",
    "2026-Jan-05 14:30",
    "2026-W02-1T14:30",
    "2026W021 14:30",
    "2026-005T14:30",
    "2026-01-05 2:30\u202fPM",
    "2026-01-05\xa014:30",
    "\u200e2026-01-05 14:30",
    "46027.604166666664",
]
UNPARSED = {"5. tammikuuta 2026 14:30"}  # Finnish: `months` names its months

# The same time, 19:30 UTC, by its own UTC offset; the time zone of the file does not matter.
OFFSET = [
    "2026-01-05T19:30:00Z",
    "2026-01-05T19:30:00z",
    "2026-01-05 19:30 UTC",
    "2026-01-05 19:30:00 GMT",
    "20260105T193000Z",
    "20260105193000Z",
    "2026-01-05T20:30:00+01:00",
    "2026-01-05 20:30:00 +0100",
    "2026-01-05 20:30+01",
    "20260105T203000+0100",
    "2026-01-05 21:30:00 GMT+2",
    "2026-01-05 21:30:00 UTC+02:00",
    "2026-01-06 01:00:00 GMT+5:30",
    "2026-01-05 14:30:00 GMT-05:00",
    "2026-01-05 02:30:00 PM -05:00",
    "Mon Jan 05 2026 20:30:00 GMT+0100 (Central European Standard Time)",
    "Mon Jan 05 2026 20:30:00 GMT+0100 (CET)",
    "Mon, 05 Jan 2026 20:30:00 +0100",
    "Mon, 05 Jan 2026 19:30:00 GMT",
    "Mon Jan 05 19:30:00 +0000 2026",
    "Mon Jan 05 11:30:00 PST 2026",
    "2026-01-05 11:30:00 AM PST",
    "Jan 5, 2026 11:30 AM PST",
    "2026-01-05 20:30 CET",
    "2026-01-05T20:30:00+01:00[Europe/Berlin]",
    "2026-01-05 19:30:00 +0000 UTC",
    "05/Jan/2026:20:30:00 +0100",
    "1767641400",
    "1767641400.0",
    "1767641400000",
    "1767641400000000",
    "1767641400000000000",
    "2026-01-05 20:30:00.000000+01:00",
]

# Day first, as date_order declares; 14:30 in New York.
DAY_FIRST = [
    "05/01/2026 14:30",
    "5/1/2026 14:30",
    "5/1/26 14:30",
    "05.01.2026 14:30",
    "05-01-2026 14:30:00",
    "05/01/2026, 14:30:00",
    "05.01.2026, 14:30 Uhr",
    "05.01.2026 14.30",
    "05.01.2026 14.30.00",
    "5. 1. 2026 14:30",
    "05/01/2026 2:30 PM",
    "05/01/2026 2:30PM",
    "05/01/2026 2:30:00 p.m.",
    "5/1/2026 2:30 p. m.",
    "Mon 05/01/2026 14:30",
    "05/01/2026 14h30",
    "05/01/2026T14:30:00",
    "05/01/2026 14:30:00.123",
    "05/01/2026 20:30:00 +01:00",
    "05/01/2026 14:30:00 EST",
    "lun. 05/01/2026 14:30",
]


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """The parsed time of each notation, None if the row is quarantined."""
    mapping = ColumnMapping(time_zone="America/New_York", site_time_zones="Europe/Lisbon", date_order="dmy")
    spellings = [*LOCAL, *OFFSET, *DAY_FIRST]
    store = tmp_path_factory.mktemp("moments") / "store"
    ingest(make_rows(decided_at=spellings), store, mapping=mapping)
    times = read_kept(store).set_index("audit_id")["decided_at"].dt.floor("min")
    return {spelling: times.get(f"A{number}") for number, spelling in enumerate(spellings)}


@pytest.mark.parametrize("spelling", [text for text in (*LOCAL, *DAY_FIRST, *OFFSET) if text not in UNPARSED])
def test_each_usual_notation_is_the_same_timestamp(read, spelling):
    assert read[spelling] == pd.Timestamp("2026-01-05 19:30")


DAYS = [
    "2026-01-05",
    "2026/1/5",
    "20260105",
    "05-Jan-2026",
    "05-Jan-26",
    "5 Jan 2026",
    "Jan 5, 2026",
    "January 5, 2026",
    "Monday, 05 January 2026",
    "05. Januar 2026",
    "5 ene 2026",
    "2026年1月5日",
    "2026年1月5日(月)",
    "2026년 1월 5일",
    "2026-W02-1",
    "2026-005",
    "05/01/2026",
    "5.1.2026",
    "5. 1. 2026",
    "46027",
]


def test_a_date_without_a_time_is_midnight_at_the_site_and_is_recorded(tmp_path):
    mapping = ColumnMapping(time_zone="America/New_York", site_time_zones="Asia/Manila", date_order="dmy")
    ledger = ingest(make_rows(decided_at=DAYS), tmp_path / "store", mapping=mapping)
    assert ledger.quarantined == 0
    assert set(read_kept(tmp_path / "store")["decided_at"]) == {pd.Timestamp("2026-01-04 16:00")}
    assert dict(ledger.repairs)["days without a time, read as midnight at the site"] == len(DAYS)


INVALID_DATES = [
    "soon",
    "2026-02-30",
    "31/04/2026",
    "2026-13-05",
    "2026-01-05 25:00",
    "2026-01-05 14:30 PM",
    "2026-01-05 foo",
    "yesterday 5 Jan 2026",
    "Jan 2026",
    "2026-W60-1",
    "2026-01-05 14:30 XST",
    "2026-01-05 14:30 CST",
    "2026010514",
    "2026-W02",
    "2026-400",
    "5 Foo 2026",
    "05/2026",
    "14:30",
    "2026-01-05 2026-01-05",
    "1.7676E+12",
    "123",
    "Jan 5, 2026 or so",
]


def test_an_invalid_date_is_quarantined_and_quoted(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", date_order="dmy")
    ledger = ingest(make_rows(decided_at=["2026-01-05", *INVALID_DATES]), tmp_path / "store", mapping=mapping)
    assert (ledger.kept, ledger.quarantined) == (1, len(INVALID_DATES))
    rows = pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str)
    for shown, suggestion in zip(rows["decided_at"], rows["suggestion"], strict=True):
        assert f'"{shown}" is not understood' in suggestion and "date_format" in suggestion


def test_a_file_without_a_valid_date_is_an_error_that_names_date_format():
    with pytest.raises(DataError, match=r"5\. tammikuuta 2026.*date_format"):
        ingest(make_rows(decided_at=["5. tammikuuta 2026"] * 3), None, mapping=ColumnMapping(time_zone="UTC"))


FORMATS = [
    ("%Y-%d-%m %H:%M", (), "2026-05-01 14:30"),
    ("%d%m%Y%H%M", (), "050120261430"),
    ("%H:%M %d/%m/%Y", (), "14:30 05/01/2026"),
    ("%I:%M %p, %m/%d/%y", (), "2:30 p. m., 01/05/26"),
    ("%d. %B %Y %H:%M", ("tammikuuta", *(f"{n}kuuta" for n in range(2, 13))), "5. tammikuuta 2026 14:30"),
    ("%A, %d %B %Y %H:%M", ("января", *(f"м{n}" for n in range(2, 13))), "понедельник, 5 января 2026 14:30"),
    ("%a %d %b %Y %H:%M CST", (), "Mon 05 Jan 2026 14:30 CST"),
    ("%y%m%d-%H%M", (), "260105-1430"),
    ("%d.%m.%Y %H:%M:%S %z", (), "05.01.2026 20:30:00 +0100"),
]


@pytest.mark.parametrize(("pattern", "months", "text"), FORMATS)
def test_a_declared_date_format_is_parsed(tmp_path, pattern, months, text):
    mapping = ColumnMapping(time_zone="America/New_York", date_format=(pattern,), months=months)
    ingest(make_rows(decided_at=[text]), tmp_path / "store", mapping=mapping)
    assert read_kept(tmp_path / "store")["decided_at"].tolist() == [pd.Timestamp("2026-01-05 19:30")]


def test_a_declared_date_format_excludes_others(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", date_format=("%Y-%d-%m",))
    ledger = ingest(make_rows(decided_at=["2026-05-01", "2026-01-13"]), tmp_path / "store", mapping=mapping)
    assert read_kept(tmp_path / "store")["day"].astype(str).tolist() == ["2026-01-05"]
    assert ledger.quarantined == 1  # there is no month 13, and no other order is tried


@pytest.mark.parametrize(
    ("text", "words"),
    [("date_format: '%Q'", "%Q in '%Q' is not a"), ("date_format: '%H:%M'", "needs a day, a month and a year"),
     ("months: [jan, feb]", "give twelve different names")],
)  # fmt: skip
def test_an_invalid_date_format_is_rejected(tmp_path, text, words):
    (tmp_path / "mapping.yml").write_text(text)
    with pytest.raises(DataError, match=words):
        read_mapping(tmp_path / "mapping.yml")


def test_declared_month_names_are_parsed_without_a_format(tmp_path):
    months = ("tammikuuta", *(f"{number}kuuta" for number in range(2, 13)))
    ingest(
        make_rows(decided_at=["5. tammikuuta 2026"]),
        tmp_path / "s",
        mapping=ColumnMapping(time_zone="UTC", months=months),
    )
    assert read_kept(tmp_path / "s")["day"].astype(str).tolist() == ["2026-01-05"]


def test_only_times_without_an_offset_need_a_time_zone():
    assert ingest(make_rows(decided_at=OFFSET), None).kept == len(OFFSET)
    for text in ("20260105T143000", "Jan 5, 2026 2:30 PM", "5/13/2026 14:30", "Mon Jan 05 2026 14:30:00"):
        with pytest.raises(DataError, match="no time zone is declared"):
            ingest(make_rows(decided_at=[text]), None)


@pytest.mark.parametrize(
    "text", ["05/01/2026 14:30", "Mon 05/01/2026", "5.1.26", "5. 1. 2026 9:00", "05/01/2026, 2:30 PM"]
)
def test_an_ambiguous_date_order_is_an_error_in_every_notation(text):
    with pytest.raises(DataError, match="ambiguous order of day and month"):
        ingest(make_rows(decided_at=[text, text]), None, mapping=ColumnMapping(time_zone="UTC"))


def write_sheet(path, *rows):
    """Typed cells under the headers of make_rows, with decided_at split in `date` and `time`."""
    book = openpyxl.Workbook()
    book.active.append(["audit_id", "item_id", "site", "rater", "label", "truth", "date", "time"])
    for number, (day, time) in enumerate(rows):
        book.active.append([f"A{number}", f"I{number}", "Lisbon", "R1", "benign", "benign", day, time])
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("day", "time"),
    [
        (dt.date(2026, 1, 5), dt.time(14, 30)),
        (dt.datetime(2026, 1, 5), dt.time(14, 30)),
        (dt.date(2026, 1, 5), "14:30"),
        ("2026-01-05", dt.time(14, 30)),
        ("05/01/2026", "2:30 PM"),
        ("5 Jan 2026", 14.5 / 24),
        (dt.date(2026, 1, 5), 14.5 / 24),
        (dt.date(2026, 1, 5), "14.30"),
    ],
)
def test_a_date_and_a_time_in_two_columns_are_joined(tmp_path, day, time):
    mapping = ColumnMapping(columns={"decided_at": ("date", "time")}, time_zone="UTC", date_order="dmy")
    ingest(write_sheet(tmp_path / "a.xlsx", (day, time)), tmp_path / "store", mapping=mapping)
    assert read_kept(tmp_path / "store")["decided_at"].tolist() == [pd.Timestamp("2026-01-05 14:30")]


def test_a_missing_time_leaves_a_date_and_a_missing_date_quarantines_the_row(tmp_path):
    mapping = ColumnMapping(columns={"decided_at": ("date", "time")}, time_zone="UTC")
    sheet = write_sheet(tmp_path / "a.xlsx", (dt.date(2026, 1, 5), None), (None, dt.time(14, 30)))
    ledger = ingest(sheet, None, mapping=mapping)
    assert (ledger.kept, ledger.reasons[0][:2]) == (1, ("missing decided_at", 1))
    assert dict(ledger.repairs)["days without a time, read as midnight at the site"] == 1


def test_dates_that_a_spreadsheet_swapped_are_an_error(tmp_path):
    mapping = ColumnMapping(columns={"decided_at": "date"}, time_zone="UTC", date_order="dmy")
    swapped = [(dt.datetime(2026, day, 1), None) for day in range(1, 13)] + [("13/01/2026", None), ("31/01/2026", None)]
    with pytest.raises(DataError, match=r"swapped day and month.*13/01/2026"):
        ingest(write_sheet(tmp_path / "a.xlsx", *swapped), None, mapping=mapping)
    # Days beyond 12 among the typed dates show that the spreadsheet read them as they were meant.
    fine = [*swapped, (dt.datetime(2026, 1, 20), None)]
    assert ingest(write_sheet(tmp_path / "b.xlsx", *fine), None, mapping=mapping).kept == len(fine)


def test_repairs_count_only_kept_rows(tmp_path):
    rows = make_rows(decided_at=["2026-01-05", "2026-01-06", "soon", "2026-01-07"], truth=["benign"] * 3 + [""])
    assert dict(ingest(rows, None, mapping=ColumnMapping(time_zone="UTC")).repairs) == {
        "days without a time, read as midnight at the site": 2
    }
