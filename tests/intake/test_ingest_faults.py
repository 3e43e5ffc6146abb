"""Ingestion of faulty exports: a test per error, per repair and per reason for quarantine."""

import csv
import datetime as dt
from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.ledger import Ledger, read_ledger

NOW = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
MAPPING = ColumnMapping(labels={"Hate": "hate", "Spam": "spam", "OK": "benign"}, time_zone="UTC")
GOOD = {
    "audit_id": "A1",
    "item_id": "I1",
    "site": "Lisbon",
    "rater": "R1",
    "decided_at": "2026-03-09 10:00:00",
    "label": "Hate",
    "truth": "OK",
    "audited_at": "2026-03-10 09:00:00",
    "weight": "1.5",
    "handle_seconds": "42",
}


def write_export(path: Path, *changes: dict[str, str], delimiter: str = ",", encoding: str = "utf-8", top="") -> Path:
    """Write one valid row per dict with its changes, each with its own audit_id."""
    rows = [GOOD | {"audit_id": f"A{number}"} | change for number, change in enumerate(changes, 1)]
    with path.open("w", encoding=encoding, newline="") as handle:
        handle.write(top)
        out = csv.DictWriter(handle, list(dict.fromkeys(name for row in rows for name in row)), delimiter=delimiter)
        out.writeheader()
        out.writerows(rows)
    return path


def read_store(store: Path) -> pd.DataFrame:
    """Return all kept audits with their source rows."""
    audits, sources = (
        duckdb.connect().read_parquet(
            sorted(map(str, store.glob(f"site=*/month=*/{name}.parquet"))), hive_partitioning=False
        )
        for name in ("audits", "sources")
    )
    return audits.df().merge(sources.df(), on="audit_id", validate="1:1").sort_values("source_row", ignore_index=True)


def get_counts(ledger: Ledger) -> tuple[int, int, int, int, int]:
    parts = (ledger.kept, ledger.quarantined, ledger.exact_duplicates, ledger.empty)
    assert ledger.rows_read == sum(parts)
    return (ledger.rows_read, *parts)


# errors


UNREADABLE_FILES = {
    "duplicate headers": ("audit_id,item_id,site,rater,decided_at,label,truth,Label\n1,2,3,4,5,6,7,8\n", "2 times"),
    "a required column missing": ("audit_id,item_id,site,rater,decided_at,lable,truth\n1,2,3,4,5,6,7\n", "lable"),
    "an empty file": ("", "is empty"),
    "blank lines only": ("\n \n\n", "is empty"),
    "a header only": ("audit_id,item_id,site,rater,decided_at,label,truth\n", "no rows"),
    "a web page": ("<html><table></table></html>", "web page"),
    "JSON": ('{"audit_id": 1}', "JSON"),
}


@pytest.mark.parametrize("case", UNREADABLE_FILES)
def test_an_unreadable_file_raises_an_error_with_a_hint(tmp_path, case):
    text, expected = UNREADABLE_FILES[case]
    path = tmp_path / "export.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=expected) as caught:
        ingest(path, tmp_path / "store")
    assert "Hint: " in str(caught.value)
    assert not (tmp_path / "store").exists()


AMBIGUOUS = {
    "date order": ([{"decided_at": "03/04/2026 10:00"}, {"decided_at": "05/06/2026 10:00"}], {}, "03/04/2026 10:00"),
    "dates that prove both orders": (
        [{"decided_at": "13/04/2026 10:00"}, {"decided_at": "05/16/2026 10:00"}],
        {},
        "05/16/2026 10:00",
    ),
    "decimal mark": ([{"weight": "1,250"}, {"weight": "2,000"}], {}, "decimal"),
    "decimal mark, with points": ([{"weight": "1.250"}, {"weight": "2.000"}], {}, "decimal"),
    "both decimal marks": ([{"weight": "1,25"}, {"weight": "2.5"}], {}, "1,25"),
    "time zone": ([{}], {"time_zone": None}, "time_zone"),
    "mixed percent units": ([{"model_score": "85%"}, {"model_score": "0.9"}], {}, "percent"),
    "mixed percent units without a sign": ([{"model_score": "85.5"}, {"model_score": "0.9"}], {}, "percent"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_an_ambiguous_value_raises_an_error_that_names_it(tmp_path, case):
    changes, declared, expected = AMBIGUOUS[case]
    path = write_export(tmp_path / "export.csv", *changes)
    mapping = MAPPING.model_copy(update=declared)
    with pytest.raises(DataError) as caught:
        ingest(path, None, mapping=mapping)
    assert expected in str(caught.value)
    assert "source_row=" in str(caught.value)
    assert "in the mapping" in caught.value.hint


def test_a_declared_format_resolves_the_ambiguity(tmp_path):
    path = write_export(tmp_path / "a.csv", {"decided_at": "03/04/2026 10:00", "weight": "1,250", "model_score": "85"},
                        {"decided_at": "02/04/2026", "weight": "2,000", "model_score": "0,5"})  # fmt: skip
    mapping = MAPPING.model_copy(update={"date_order": "mdy", "decimal": ",", "percent": "percent"})
    ingest(path, tmp_path / "store", mapping=mapping)
    kept = read_store(tmp_path / "store")
    assert kept["decided_at"].astype(str).tolist() == ["2026-03-04 10:00:00", "2026-02-04 00:00:00"]
    assert kept["weight"].tolist() == [1.25, 2.0]
    assert kept["model_score"].tolist() == [0.85, 0.005]


def test_several_sheets_raise_an_error_that_lists_them_unless_one_is_named(tmp_path):
    book = openpyxl.Workbook()
    for name in ("March", "April"):
        sheet = book.create_sheet(name)
        sheet.append(list(GOOD))
        sheet.append(list(GOOD.values()))
    book.save(tmp_path / "export.xlsx")
    with pytest.raises(DataError, match=r"2 sheets.*March, April"):
        ingest(tmp_path / "export.xlsx", None, mapping=MAPPING)
    named = ingest(tmp_path / "export.xlsx", None, mapping=MAPPING.model_copy(update={"sheet": "April"}))
    assert get_counts(named) == (1, 1, 0, 0, 0)
    with pytest.raises(DataError, match=r"no sheet 'Mrach'.*March"):
        ingest(tmp_path / "export.xlsx", None, mapping=MAPPING.model_copy(update={"sheet": "Mrach"}))


def test_a_folder_and_a_missing_file_raise_an_error(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        ingest(tmp_path, None)
    with pytest.raises(DataError, match="there is no file"):
        ingest(tmp_path / "no.csv", None)


def test_a_file_without_valid_rows_raises_an_error_with_the_main_reason(tmp_path):
    path = write_export(tmp_path / "a.csv", {"label": "hatred"}, {"label": "Hat"})
    with pytest.raises(DataError, match=r"label not in the map \(label\).*2 rows.*nearest: hate"):
        ingest(path, tmp_path / "store", mapping=MAPPING)
    assert list(tmp_path.iterdir()) == [path]


# repairs


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-16-le", ","), ("cp1252", ";"), ("utf-8", "|")],
)
def test_encodings_and_delimiters_are_detected_and_recorded(tmp_path, encoding, delimiter):
    path = write_export(
        tmp_path / "a.csv", {"site": "São Paulo"}, {"site": "Köln"}, encoding=encoding, delimiter=delimiter
    )
    ledger = ingest(path, None, mapping=MAPPING)
    assert get_counts(ledger) == (2, 2, 0, 0, 0)
    assert ledger.sites == ("Köln", "São Paulo")
    repairs = " ".join(what for what, _ in ledger.repairs)
    assert {"utf-8-sig": "byte-order mark", "utf-8": ""}.get(encoding, encoding) in repairs
    assert ("delimiter" in repairs) == (delimiter != ",")


def test_one_cp1252_character_in_a_utf8_file_does_not_change_the_others(tmp_path):
    path = write_export(tmp_path / "a.csv", {"site": "Köln"}, {"site": "São Paulo"}, {"team": "X"})
    path.write_bytes(path.read_bytes().replace(b",X", b",\xe9X"))
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    assert ledger.sites == ("Köln", "Lisbon", "São Paulo")
    assert read_store(tmp_path / "store")["team"].tolist()[2] == "éX"


def test_title_rows_above_the_header_are_skipped_and_rows_counted_as_in_a_spreadsheet(tmp_path):
    path = write_export(tmp_path / "a.csv", {}, {"truth": ""}, top='Audit export\n\n"Made by, QA"\n')
    ledger = ingest(path, None, mapping=MAPPING)
    assert ("title rows above the header", 2) in ledger.repairs
    assert ledger.reasons[0][:3] == ("missing truth", 1, 6)  # three rows above, the header is in row 4


def test_serial_dates_count_from_1899_12_30(tmp_path):
    # Excel shows 45000 as 2023-03-15, and .4375 of a day is 10:30.
    path = write_export(tmp_path / "a.csv", {"decided_at": "45000.4375", "audited_at": "45001"})
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    assert read_store(tmp_path / "store")["decided_at"].astype(str).tolist() == ["2023-03-15 10:30:00"]
    assert ("serial dates, day 0 is 1899-12-30", 1) in ledger.repairs


@pytest.mark.parametrize(("epoch", "shown"), [("1900", "2023-03-15 10:30:00"), ("1904", "2027-03-16 10:30:00")])
def test_serial_numbers_of_a_workbook_follow_its_own_calendar(tmp_path, epoch, shown):
    # Both calendars differ by 1,462 days: 2023-03-15 + 1,462 days = 2027-03-16.
    book = openpyxl.Workbook()
    if epoch == "1904":
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.active.append(list(GOOD))
    book.active.append([*(GOOD | {"decided_at": 45000.4375, "audited_at": ""}).values()])
    book.save(tmp_path / "a.xlsx")
    ingest(tmp_path / "a.xlsx", tmp_path / "store", mapping=MAPPING)
    assert read_store(tmp_path / "store")["decided_at"].astype(str).tolist() == [shown]


def test_dates_of_a_workbook_are_read_as_dates(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["Quality audits"])
    book.active.append(list(GOOD))
    times = {"decided_at": dt.datetime(2026, 3, 9, 14, 30), "audited_at": dt.date(2026, 3, 9)}
    book.active.append([*(GOOD | times | {"audit_id": 17, "weight": 2.125}).values()])
    book.active.append([None])
    book.save(tmp_path / "a.xlsx")
    ledger = ingest(tmp_path / "a.xlsx", tmp_path / "store", mapping=MAPPING)
    kept = read_store(tmp_path / "store")
    assert kept.loc[0, ["audit_id", "weight", "source_row"]].tolist() == ["17", 2.125, 3]
    assert str(kept.loc[0, "decided_at"]) == "2026-03-09 14:30:00"
    assert get_counts(ledger) in {(1, 1, 0, 0, 0), (2, 1, 0, 0, 1)}  # a sheet may or may not hold its empty last row


def test_long_numbers_in_a_workbook_are_ids_that_lost_digits(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(list(GOOD))
    book.active.append([*(GOOD | {"item_id": 123456789012345}).values()])  # 15 digits: all that Excel keeps
    book.active.append([*(GOOD | {"audit_id": "A2", "item_id": 1234567890123456}).values()])
    book.save(tmp_path / "a.xlsx")
    ledger = ingest(tmp_path / "a.xlsx", tmp_path / "store", mapping=MAPPING)
    assert ledger.reasons[0][:3] == ("id destroyed by a spreadsheet (item_id)", 1, 3)
    assert read_store(tmp_path / "store")["item_id"].tolist() == ["123456789012345"]


def test_ids_with_a_decimal_and_durations_with_a_colon_are_repaired_and_recorded(tmp_path):
    path = write_export(tmp_path / "a.csv", {"rater": "17.0", "handle_seconds": "03:25"},
                        {"rater": "R17.0", "handle_seconds": "1:00:05"})  # fmt: skip
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    kept = read_store(tmp_path / "store")
    assert kept["rater"].tolist() == ["17", "R17.0"]
    assert kept["handle_seconds"].tolist() == [205, 3605]
    assert {("ids with .0", 1), ("mm:ss durations", 2)} <= set(ledger.repairs)


def test_one_unambiguous_date_gives_the_order_of_the_others(tmp_path):
    path = write_export(tmp_path / "a.csv", {"decided_at": "03/04/25 10:00"}, {"decided_at": "25.12.2025 9:05"})
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    times = read_store(tmp_path / "store")["decided_at"].astype(str).tolist()
    assert times == ["2025-04-03 10:00:00", "2025-12-25 09:05:00"]
    assert ("order of day and month, inferred from other dates", 2) in ledger.repairs


SPELLINGS = [
    "2026-03-09T14:30:00Z", "2026-03-09 15:30:00+01:00", "2026-03-09 15:30 +0100", "2026-03-09 14:30:00 UTC",
    "2026/03/09 14:30", "2026-03-09 02:30 PM", "2026-03-09 14:30:00,000", "20260309143000", "9 Mar 2026 14:30",
    "Mar 9, 2026 14:30", "2026-03-09T14:30:00.000+00:00",
]  # fmt: skip


def test_common_spellings_of_a_timestamp_give_the_same_instant(tmp_path):
    path = write_export(tmp_path / "a.csv", *[{"decided_at": spelling, "audited_at": ""} for spelling in SPELLINGS])
    ingest(path, tmp_path / "store", mapping=MAPPING)
    assert read_store(tmp_path / "store")["decided_at"].astype(str).tolist() == ["2026-03-09 14:30:00"] * len(SPELLINGS)


# quarantine


QUARANTINED = {
    "unparseable date (decided_at)": {"decided_at": "2026-02-30 10:00"},
    "unparseable date (audited_at)": {"audited_at": "yesterday"},
    "date before 1990 (decided_at)": {"decided_at": "1970-01-01 00:00"},
    "future date (decided_at)": {"decided_at": "2026-05-01 10:00", "audited_at": ""},
    "audit before decision": {"audited_at": "2026-03-09 09:59:59"},
    "label not in the map (label)": {"label": "hate"[:3]},
    "label not in the map (truth)": {"truth": "Okay"},
    "missing truth": {"truth": " "},
    "missing audit_id": {"audit_id": "NULL"},
    "negative handle_seconds": {"handle_seconds": "-00:05"},
    "weight not above 0": {"weight": "0"},
    "missing weight": {"weight": ""},
    "not a number (weight)": {"weight": "heavy"},
    "value not known (severity)": {"severity": "High"},
    "id destroyed by a spreadsheet (item_id)": {"item_id": "1.23E+15"},
    "id destroyed by a spreadsheet (rater)": {"rater": "1,23e+15"},
    "footer total": dict.fromkeys(GOOD, "") | {"audit_id": "Total", "weight": "3"},
}


@pytest.fixture(scope="module")
def quarantine(tmp_path_factory) -> tuple[Ledger, pd.DataFrame]:
    """Ingest a valid row, a row per reason, and a valid row whose audit has a day without a time."""
    folder = tmp_path_factory.mktemp("quarantine")
    write_export(folder / "a.csv", {}, *QUARANTINED.values(), {"audited_at": "2026-03-09"})
    ledger = ingest(folder / "a.csv", folder / "store", mapping=MAPPING, now=NOW)
    return ledger, pd.read_csv(folder / "store" / "quarantine.csv", dtype=str)


def test_valid_rows_next_to_quarantined_ones_are_kept(quarantine):
    assert get_counts(quarantine[0]) == (len(QUARANTINED) + 2, 2, len(QUARANTINED), 0, 0)


@pytest.mark.parametrize("reason", QUARANTINED)
def test_an_invalid_row_is_quarantined_with_reason_and_suggestion(quarantine, reason):
    ledger, rows = quarantine
    position = list(QUARANTINED).index(reason)
    ((count, first, suggestion),) = [entry[1:] for entry in ledger.reasons if entry[0] == reason]
    assert (count, first) == (1, position + 3)
    assert rows.loc[position, "reason"].split("; ")[0] == reason
    assert rows.loc[position, "source_row"] == str(position + 3)
    assert suggestion and suggestion.split(";")[0] in rows.loc[position, "suggestion"]


def test_the_three_nearest_labels_are_suggested_and_none_is_applied(tmp_path):
    labels = {"Hate speech": "hate", "Spam": "spam", "Scam": "scam", "OK": "benign"}
    path = write_export(tmp_path / "a.csv", {"label": "Spam"}, {"label": "Spamm"})
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING.model_copy(update={"labels": labels}))
    assert ledger.reasons[0][3].endswith("nearest: spam, scam, hate")
    assert "nearest: spam, scam, hate" in (tmp_path / "store" / "quarantine.csv").read_text()
    assert read_store(tmp_path / "store")["label"].tolist() == ["spam"]


def test_exact_duplicates_are_dropped_and_contradicting_rows_are_all_quarantined(tmp_path):
    path = write_export(
        tmp_path / "a.csv", {}, {"audit_id": "A1"}, {"audit_id": "B"}, {"audit_id": "B", "label": "Spam"}
    )
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    assert get_counts(ledger) == (4, 1, 2, 1, 0)
    assert ledger.reasons[0][:3] == ("same audit_id with different content", 2, 4)
    assert read_store(tmp_path / "store")["source_row"].tolist() == [2]


def test_malformed_lines_are_quarantined_with_their_row(tmp_path):
    path = write_export(tmp_path / "a.csv", {"comment": 'two\nlines "quoted"'}, {"comment": ""}, {"comment": ""})
    lines = path.read_text().splitlines(keepends=True)
    # header, a record of two lines, then a short line, a blank one, a long one, and the two other records
    path.write_text(
        "".join([*lines[:3], "short,line\n", "\n", lines[3].strip().replace("A2", "A9") + ",,surplus\n", *lines[3:]])
    )
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    assert get_counts(ledger) == (6, 3, 2, 0, 1)
    assert ledger.reasons[0][:3] == ("line the CSV reader rejects", 2, 3)
    assert read_store(tmp_path / "store")["source_row"].tolist() == [2, 6, 7]
    rejected = pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str)
    assert rejected["source_row"].tolist() == ["3", "5"]
    assert rejected["audit_id"].tolist() == ["short", "A9"]
    assert "2 cells, where the header has 11" in rejected["suggestion"][0]


def test_an_unclosed_quote_loses_no_line(tmp_path):
    path = write_export(tmp_path / "a.csv", *[{"comment": "x"}] * 5, {"comment": "open"}, *[{"comment": "x"}] * 3)
    path.write_bytes(path.read_bytes().replace(b",open", b',"open'))
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    # Each line has all its cells, so the quote is part of the comment.
    assert get_counts(ledger) == (9, 9, 0, 0, 0)
    assert read_store(tmp_path / "store")["comment"].tolist()[5] == '"open'
    assert ("quotation marks read as text", 1) in ledger.repairs


def test_an_unclosed_quote_that_the_next_quote_closes_costs_only_its_line(tmp_path):
    path = write_export(tmp_path / "a.csv", *[{"comment": "x,y"}] * 4, {"comment": "open"}, *[{"comment": "x,y"}] * 7)
    path.write_bytes(path.read_bytes().replace(b",open", b',"open'))
    ledger = ingest(path, None, mapping=MAPPING)
    assert get_counts(ledger) == (12, 11, 1, 0, 0)
    assert ledger.reasons[0][:3] == ("line the CSV reader rejects", 1, 6)


def test_an_unclosed_quote_is_limited_to_the_longest_cell_and_every_line_is_counted(tmp_path):
    # A cell of more than 4 million characters is taken for an unclosed quote. One line has a comma in quotes.
    first = [{"comment": "x,y"}, {"comment": "open"}]
    path = write_export(tmp_path / "a.csv", *first, *[{"comment": "x" * 9_000}] * 1_200)
    path.write_bytes(path.read_bytes().replace(b",open", b',"open'))
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    assert get_counts(ledger) == (1_202, 1_201, 1, 0, 0)
    assert ledger.reasons[0][:3] == ("line the CSV reader rejects", 1, 3)


def test_a_footer_shorter_than_the_header_is_a_footer(tmp_path):
    path = write_export(tmp_path / "a.csv", {})
    path.write_text(path.read_text() + "Grand total: 1,\n")
    ledger = ingest(path, None, mapping=MAPPING)
    assert [reason[0] for reason in ledger.reasons] == ["footer total"]


def test_empty_rows_are_only_counted(tmp_path):
    path = write_export(tmp_path / "a.csv", {}, dict.fromkeys(GOOD, ""), {})
    path.write_text(path.read_text() + "\n\n")
    assert get_counts(ingest(path, None, mapping=MAPPING)) == (5, 2, 0, 0, 3)


# always true


def test_hostile_cells_are_kept_unchanged_and_escaped_in_the_quarantine_file(tmp_path):
    comment = "x" * 1_000_000 + "\r\n\x00" + "y"
    path = write_export(tmp_path / "a.csv", {"comment": comment}, {"comment": '=HYPERLINK("http://x")'},
                        {"comment": "@SUM(1)", "truth": "", "weight": "-1.5", "team": "'=a"})  # fmt: skip
    ledger = ingest(path, tmp_path / "store", mapping=MAPPING)
    kept = read_store(tmp_path / "store")
    assert get_counts(ledger) == (3, 2, 1, 0, 0)
    assert kept["comment"].tolist() == [comment, '=HYPERLINK("http://x")']
    row = pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str).loc[0]
    assert row[["comment", "weight", "team"]].tolist() == ["'@SUM(1)", "-1.5", "''=a"]


def test_a_corrected_quarantine_file_can_be_ingested(tmp_path):
    path = write_export(tmp_path / "a.csv", {}, {"truth": "", "comment": "=1+1", "team": "'=b"})
    ingest(path, tmp_path / "store", mapping=MAPPING)
    corrected = pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str)
    corrected["truth"] = "Spam"
    corrected.to_csv(tmp_path / "corrected.csv", index=False)
    ledger = ingest(tmp_path / "corrected.csv", tmp_path / "more", mapping=MAPPING)
    assert get_counts(ledger) == (1, 1, 0, 0, 0)
    kept = read_store(tmp_path / "more")
    assert kept.loc[0, ["audit_id", "truth", "comment", "team"]].tolist() == ["A2", "spam", "=1+1", "'=b"]
    assert not {"reason", "suggestion"} & set(kept)


def test_the_content_of_a_file_decides_how_it_is_read_not_its_name(tmp_path):
    path = write_export(tmp_path / "a.xlsx", {}, {})
    assert get_counts(ingest(path, None, mapping=MAPPING)) == (2, 2, 0, 0, 0)
    (tmp_path / "b.csv").write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(DataError, match=r"b\.csv is not a readable workbook"):
        ingest(tmp_path / "b.csv", None, mapping=MAPPING)


def test_much_quarantine_and_differences_between_sites_are_findings(tmp_path):
    lost = [{"site": "Lisbon", "truth": ""}] * 12
    path = write_export(tmp_path / "a.csv", *[{"site": "Lisbon"}] * 38, *lost, *[{"site": "Manila"}] * 50)
    much, differ = ingest(path, None, mapping=MAPPING).findings()[:2]
    assert much.sentence.startswith("12.0 % of the rows were quarantined") and "missing truth" in much.sentence
    # 2 × 2 table 38/12, 50/0 with Yates: 100 (|38·0 − 12·50| − 50)² / (50·50·88·12) = 11.458, p = 0.00071
    assert differ.p_value == pytest.approx(0.000712, rel=0.01)
    assert differ.where == {"site": "Lisbon"}
    clean = ingest(write_export(tmp_path / "b.csv", *[{}] * 20), None, mapping=MAPPING).findings()
    assert not [finding for finding in clean if "quarantined" in finding.sentence]


def test_a_ledger_that_does_not_add_up_raises_an_error_when_read(tmp_path):
    ingest(write_export(tmp_path / "a.csv", {}), tmp_path / "store", mapping=MAPPING)
    ledger = read_ledger(tmp_path / "store")
    path = tmp_path / "store" / "ledger.json"
    path.write_text(path.read_text().replace('"kept": 1', '"kept": 2'))
    assert ledger.kept == 1
    with pytest.raises(DataError, match="1 rows read, but 2 accounted for"):
        read_ledger(tmp_path / "store")
