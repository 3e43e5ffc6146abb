"""Side tables: all issues are reported at once, and valid values are read like those of audits."""

import re

import openpyxl
import pandas as pd
import pytest

from rca_lib.audits.schema import EVENTS
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.side_table_files import read_table
from rca_lib.intake.side_tables import SideTableError, read_side_tables, read_stored_table, write_side_tables
from rca_lib.store.stored_tables import read_events, read_targets

UTC = ColumnMapping(time_zone="UTC")
EVENT = {"event_id": "", "type": "outage", "start": "2026-02-01", "end": "", "scope": "", "share": "", "title": "x",
         "visibility": ""}  # fmt: skip
TARGET = {"metric": "accuracy", "scope": "", "valid_from": "", "valid_to": "", "direction": "", "contract": "0.9",
          "realistic": "", "stretch": "", "min_audits": ""}  # fmt: skip
RATING = {"item_id": "i1", "rater": "", "label": "ok", "role": "", "trial": "", "rated_at": "", "blind": ""}
LINE = {"period": "2026-02", "site": "Lisbon", "queue": "", "stratum": "", "decisions": "100"}

ISSUES = {
    "events": (EVENT, [
        ({"event_id": " "}, "event_id", "no ID"),
        ({"event_id": "e1"}, "event_id", "'e1' is also the ID of row 3"),
        ({"type": "tool_relase"}, "type", "'tool_relase' is not a known type.*nearest: tool_release"),
        ({"type": "Werkzeug"}, "type", "'Werkzeug' is not a known type.*policy_update"),
        ({"type": ""}, "type", "type is missing"),
        ({"start": "next week"}, "start", "'next week' cannot be read as a date.*2026-03-09"),
        ({"start": ""}, "start", "the date is missing"),
        ({"start": "2026-02-30"}, "start", "'2026-02-30' cannot be read"),
        ({"start": "1026-02-03"}, "start", "before 1990"),
        ({"start": "2126-02-03"}, "start", "after 2099"),
        ({"end": "2026-13-01"}, "end", "'2026-13-01' cannot be read"),
        ({"end": "2026-01-31"}, "end", "'2026-01-31' is before the start '2026-02-01'"),
        ({"start": "2026-02-01T12:00Z", "end": "2026-02-01T11:00Z"}, "end", "is before the start"),
        ({"scope": "Lisbon only"}, "scope", "'Lisbon only' is not a pair.*column=value"),
        ({"scope": "site: Lisbon"}, "scope", "is not a pair"),
        ({"scope": "site="}, "scope", "lacks a column or a value"),
        ({"scope": "=Lisbon"}, "scope", "lacks a column or a value"),
        ({"scope": "site==Lisbon"}, "scope", "lacks a column or a value"),
        ({"scope": "site=a;Site=b"}, "scope", "'Site' appears twice"),
        ({"scope": "site=a, queue=b"}, "scope", "contains several pairs.*; between pairs"),
        ({"scope": "site=a and queue=b"}, "scope", "contains several pairs"),
        ({"share": "40"}, "share", "'40' is not a share.*0.4 or 40%"),
        ({"share": "much"}, "share", "'much' is not a number"),
        ({"visibility": "everyone"}, "visibility", "'everyone' is not a known visibility"),
        ({"visibility": "vendor:"}, "visibility", "'vendor:' is not a known visibility.*vendor:NAME"),
    ]),
    "targets": (TARGET, [
        ({"metric": "acuracy"}, "metric", "'acuracy' is not a known metric.*nearest: accuracy"),
        ({"metric": ""}, "metric", "metric is missing"),
        ({"scope": "site=a", "contract": "97"}, "contract", "'97' is not a share.*0.97 or 97%"),
        ({"scope": "site=b", "contract": "970"}, "contract", "'970' is not a share"),
        ({"scope": "site=c", "contract": "-0.1"}, "contract", "'-0.1' is not a share"),
        ({"scope": "site=d", "contract": "nan"}, "contract", "the number is missing"),
        ({"scope": "site=e", "contract": "1e-1"}, "contract", "'1e-1' is not a number"),
        ({"scope": "site=f", "contract": "0.9.7"}, "contract", "not a number"),
        ({"scope": "site=g", "contract": ""}, "contract", "the number is missing"),
        ({"scope": "site=h", "realistic": "97"}, "realistic", "'97' is not a share"),
        ({"scope": "site=i", "stretch": "101%"}, "stretch", "'101%' is not a share"),
        ({"scope": "site=j", "direction": "higher"}, "direction", "'higher' is not a known direction"),
        ({"scope": "site=k", "direction": "at_most"}, "direction", "at_most does not suit accuracy.*write at_least"),
        ({"metric": "over_enforcement", "contract": "1"}, "contract", "always met.*0.01 or 1%"),
        ({"scope": "site=l", "min_audits": "some"}, "min_audits", "'some' is not a whole number of 0 or more"),
        ({"scope": "site=m", "min_audits": "-5"}, "min_audits", "'-5' is not a whole number"),
        ({"scope": "site=n", "min_audits": "10.5"}, "min_audits", "'10.5' is not a whole number"),
        ({"scope": "site=o", "valid_from": "soon"}, "valid_from", "'soon' cannot be read as a date"),
        ({"scope": "site=p", "valid_from": "2026-03-01", "valid_to": "2026-02-01"}, "valid_to", "before the first day"),
        ({"scope": "site=q"}, None, ""),
        ({"scope": "site=q", "contract": "0.8"}, "metric", "row 21 sets the same metric and scope"),
        ({"scope": "Lisbon"}, "scope", "is not a pair"),
    ]),
    "ratings": (RATING, [
        ({"item_id": ""}, "item_id", "item_id is missing"),
        ({"rater": " "}, "rater", "rater is missing"),
        ({"role": "audtor"}, "role", "'audtor' is not a known role.*nearest: auditor"),
        ({"trial": "first"}, "trial", "'first' is not a whole number of 1 or more"),
        ({"trial": "0"}, "trial", "'0' is not a whole number of 1 or more"),
        ({"trial": "1.5"}, "trial", "'1.5' is not a whole number of 1 or more"),
        ({"rated_at": "yesterday"}, "rated_at", "'yesterday' cannot be read as a date"),
        ({"blind": "maybe"}, "blind", "'maybe' is neither yes nor no"),
        ({"rater": "r", "label": "ok"}, "rater", "'r' rated 'i1' 2 times.*trial"),
        ({"rater": "r", "label": "bad"}, None, ""),
    ]),
    "population": (LINE, [
        ({"period": "March"}, "period", "'March' is not a period.*2026-Q1"),
        ({"period": "2026-13"}, "period", "'2026-13' is not a period"),
        ({"period": ""}, "period", "the period is missing"),
        ({"site": ""}, "site", "site is missing"),
        ({"stratum": " "}, "stratum", "stratum is missing"),
        ({"decisions": "many"}, "decisions", "'many' is not a whole number of 1 or more"),
        ({"decisions": "0"}, "decisions", "'0' is not a whole number of 1 or more"),
        ({"decisions": "1,200"}, "decisions", "'1,200' is not a whole number.*thousands"),
        ({"decisions": "12.5"}, "decisions", "'12.5' is not a whole number"),
        ({"decisions": ""}, "decisions", "the number is missing"),
        ({"stratum": "s"}, None, ""),
        ({"stratum": "s", "decisions": "7"}, "stratum", "row 12 counts the same stratum"),
    ]),
}  # fmt: skip
# Columns that get a distinct value in every row, unless the case sets them.
KEY_COLUMNS = {"events": "event_id", "ratings": "rater", "population": "stratum"}


def write(folder, name, rows, sep=",", encoding="utf-8"):
    path = folder / f"{name}.csv"
    table = pd.DataFrame(rows)
    path.write_bytes(table.to_csv(index=False, sep=sep).encode(encoding))
    return path


def read(folder, name, rows, mapping=UTC, **csv_format):
    return read_side_tables({name: write(folder, name, rows, **csv_format)}, mapping)


def collect_issues(folder, name, rows, mapping=UTC, **csv_format):
    with pytest.raises(SideTableError) as caught:
        read(folder, name, rows, mapping, **csv_format)
    return caught.value.issues


@pytest.mark.parametrize("name", ISSUES)
def test_all_issues_of_a_table_are_reported_at_once_with_file_row_column_value_and_hint(tmp_path, name):
    valid_row, cases = ISSUES[name]
    key_column = KEY_COLUMNS.get(name)
    rows = [
        {**valid_row, **({key_column: f"x{number}"} if key_column else {}), **cells}
        for number, (cells, _, _) in enumerate(cases)
    ]
    if name == "events":
        rows[0], rows[1] = {**rows[0]}, {**rows[1]}
        cases = [cases[0], ({}, None, ""), *cases[1:]]
        rows.insert(1, {**valid_row, "event_id": "e1"})
    issues = collect_issues(tmp_path, name, rows)
    issues_by_row = {}
    for issue in issues:
        issues_by_row.setdefault(issue.row, []).append(issue)
    for row, (_, column, pattern) in enumerate(cases, start=2):
        row_issues = issues_by_row.get(row, [])
        assert [issue.column for issue in row_issues] == ([column] if column else []), (row, row_issues)
        for issue in row_issues:
            assert re.search(pattern, str(issue)), str(issue)
            assert issue.file == f"{name}.csv" and len(issue.hint) > 10


def test_twenty_issues_of_a_file_are_listed_and_the_others_counted(tmp_path):
    rows = [{**EVENT, "event_id": f"e{number}", "type": "nonsense"} for number in range(35)]
    with pytest.raises(SideTableError) as caught:
        read(tmp_path, "events", rows)
    text = str(caught.value)
    assert text.startswith("35 issues in the side tables") and "events.csv: 15 more issues" in text
    assert len(text.splitlines()) == 22


def test_issues_of_several_files_are_reported_together(tmp_path):
    files = {
        "events": write(tmp_path, "events", [{**EVENT, "event_id": "e1", "type": "x"}]),
        "targets": write(tmp_path, "targets", [{**TARGET, "contract": "97"}]),
        "ratings": tmp_path / "none.csv",
    }
    with pytest.raises(SideTableError) as caught:
        read_side_tables(files, UTC)
    assert [issue.file for issue in caught.value.issues] == ["events.csv", "targets.csv", "none.csv"]


@pytest.mark.parametrize(
    ("name", "header", "missing"),
    [
        ("events", "id,type,begin,name", {"event_id", "start", "title"}),
        ("targets", "metrc,target", {"metric", "contract"}),
        ("ratings", "item,who,labels", {"item_id", "rater", "label"}),
        ("population", "month,location,count", {"period", "site", "stratum", "decisions"}),
    ],
)
def test_all_missing_columns_are_reported_with_the_nearest(tmp_path, name, header, missing):
    (tmp_path / f"{name}.csv").write_text(f"{header}\n{','.join('a' * len(header.split(',')))}\n")
    with pytest.raises(SideTableError) as caught:
        read_side_tables({name: tmp_path / f"{name}.csv"}, UTC)
    assert {issue.column for issue in caught.value.issues} == missing
    assert all("nearest in the file" in issue.hint for issue in caught.value.issues)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00 packed", "is damaged or cut off"),
        (b"%PDF-1.4", "PDF"),
        (b"event_id,type,start,title\ne1,outage,2026-02-01,a,b,c\n", "cells, where the header has 4"),
    ],
)
def test_a_file_that_is_not_a_table_raises_an_error(tmp_path, content, pattern):
    (tmp_path / "events.csv").write_bytes(content)
    with pytest.raises(SideTableError, match=pattern):
        read_side_tables({"events": tmp_path / "events.csv"}, UTC)


# dates ---------------------------------------------------------------------------------------------------------------


def events(*starts, **more):
    return [{**EVENT, "event_id": f"e{number}", "start": start, **more} for number, start in enumerate(starts)]


def test_dates_follow_the_date_order_of_the_mapping(tmp_path):
    for order, day in (("dmy", "2026-02-01"), ("mdy", "2026-01-02")):
        mapping = ColumnMapping(time_zone="UTC", date_order=order)
        assert read(tmp_path, "events", events("01/02/2026"), mapping).frames["events"]["start"].tolist() == [day]
        rows = [{**TARGET, "valid_from": "01/02/2026", "valid_to": "01.02.2026"}]
        targets = read(tmp_path, "targets", rows, mapping).frames["targets"]
        assert targets[["valid_from", "valid_to"]].to_numpy().tolist() == [[day, day]]


@pytest.mark.parametrize("order", [None, "ymd"])
def test_an_ambiguous_date_order_is_one_issue_next_to_the_others(tmp_path, order):
    mapping = ColumnMapping(time_zone="UTC", date_order=order)
    issues = collect_issues(tmp_path, "events", events("01/02/2026", "03/04/2026", type="nonsense"), mapping)
    assert [issue.column for issue in issues] == ["start", "type", "type"]
    assert "01/02/2026" in issues[0].problem or "03/04/2026" in issues[0].problem
    assert "date_order" in issues[0].hint and "2026-03-09" in issues[0].hint
    issues = collect_issues(tmp_path, "targets", [{**TARGET, "valid_to": "01/02/2026"}], mapping)
    assert [issue.column for issue in issues] == ["valid_to"]


def test_an_inferred_date_order_is_a_repair_and_contradicting_dates_are_an_issue(tmp_path):
    tables = read(tmp_path, "events", events("01/02/2026", "25/02/2026"))
    assert tables.frames["events"]["start"].tolist() == ["2026-02-01", "2026-02-25"]
    assert any("order of day and month" in note.problem for note in tables.repairs)
    issues = collect_issues(tmp_path, "events", events("02/25/2026", "25/02/2026"))
    assert "occur in one file" in issues[0].problem


def test_clock_times_are_in_the_zone_of_the_mapping_and_days_stay_days(tmp_path):
    manila = ColumnMapping(time_zone="Asia/Manila", site_time_zones="Asia/Manila")
    given = {
        "2026-02-01 00:30": "2026-01-31T16:30:00Z",
        "2026-02-01T03:00:00Z": "2026-02-01T03:00:00Z",
        "2026-02-01T03:00:00+02:00": "2026-02-01T01:00:00Z",
        "2026-02-01": "2026-02-01",
        "2026-02-01 00:00:00": "2026-02-01",
        "46054": "2026-02-01",
    }
    tables = read(tmp_path, "events", events(*given), manila)
    assert tables.frames["events"]["start"].tolist() == list(given.values())
    read_again = tmp_path / "store"
    read_again.mkdir()
    (read_again / "ledger.json").touch()
    write_side_tables(tables, read_again)
    assert read_events(read_again)["start"].min() == pd.Timestamp("2026-01-31 16:30")


def test_without_a_declared_zone_a_clock_time_is_an_issue_and_a_day_is_not(tmp_path):
    assert read(tmp_path, "events", events("2026-02-01"), ColumnMapping()).frames["events"]["start"].tolist() == [
        "2026-02-01"
    ]
    issues = collect_issues(tmp_path, "events", events("2026-02-01 10:00"), ColumnMapping())
    assert "no time zone" in issues[0].problem and "time_zone" in issues[0].hint


def test_an_event_may_end_on_the_day_on_which_it_starts(tmp_path):
    assert read(tmp_path, "events", events("2026-02-01 10:00", end="2026-02-01")).frames["events"]["end"].tolist()


# files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sep", "encoding"), [(";", "cp1252"), ("\t", "utf-16"), (",", "utf-8-sig"), ("|", "utf-8"), (";", "utf-16-le")]
)
def test_side_tables_may_have_every_delimiter_and_encoding_of_audits(tmp_path, sep, encoding):
    rows = events("2026-02-01", title="Größeres Update, endlich", scope="site=Málaga")
    tables = read(tmp_path, "events", rows, sep=sep, encoding=encoding)
    assert tables.frames["events"].loc[2, ["title", "scope"]].tolist() == ["Größeres Update, endlich", "site=Málaga"]


def test_the_sheet_with_the_name_of_the_table_is_read(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["nothing to see"])
    sheet = book.create_sheet("Events")
    for row in (["Calendar 2026"], [], ["Event ID", "Type", "Start", "Title"]):
        sheet.append(row)
    sheet.append(["e1", "Policy update", pd.Timestamp("2026-02-01").to_pydatetime(), "new"])
    book.save(tmp_path / "tables.xlsx")
    tables = read_side_tables({"events": tmp_path / "tables.xlsx"}, ColumnMapping(time_zone="Asia/Manila"))
    assert tables.frames["events"].loc[4, ["event_id", "type", "start"]].tolist() == [
        "e1",
        "policy_update",
        "2026-02-01",
    ]


def test_keywords_and_headers_may_differ_in_case_spaces_and_hyphens_and_are_repairs(tmp_path):
    (tmp_path / "events.csv").write_text("Event ID,TYPE,Start,title,Scope\ne1,Tool Release,2026-02-01,,Site = Lisbon\n")
    tables = read_side_tables({"events": tmp_path / "events.csv"}, UTC)
    event = tables.frames["events"].iloc[0]
    assert event[["type", "title", "scope"]].tolist() == ["tool_release", "Tool release", "site=Lisbon"]
    assert {note.column for note in tables.repairs} >= {"type", "event_id", "scope"}


def test_a_column_similar_to_an_optional_one_gives_a_warning(tmp_path):
    rows = [{**row, "scpoe": "site=Lisbon"} for row in events("2026-02-01")]
    for row in rows:
        del row["scope"]
    (warning,) = read(tmp_path, "events", rows).warnings
    assert "'scpoe' is not read" in str(warning) and "scope" in warning.hint


def test_a_table_without_rows_gives_a_warning(tmp_path):
    (tmp_path / "events.csv").write_text("event_id,type,start,title\n")
    assert "no rows" in read_side_tables({"events": tmp_path / "events.csv"}, UTC).warnings[0].problem


# numbers, labels, names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.97", "0.97"), ("0,97", "0.97"), ("97%", "0.97"), ("97 %", "0.97"), ("97,5\u00a0%", "0.975"), (".97", "0.97"),
     ("1", "1"), ("0", "0"), ("0.975", "0.975"), ("100%", "1"), ("0,5 %", "0.005")],
)  # fmt: skip
def test_a_share_is_read_in_every_unambiguous_form(tmp_path, text, share):
    rows = [{**TARGET, "contract": text}]
    assert read(tmp_path, "targets", rows, sep=";").frames["targets"]["contract"].tolist() == [share]


def test_targets_of_a_store_are_numbers(tmp_path):
    (tmp_path / "ledger.json").touch()
    rows = [{**TARGET, "contract": "97%", "min_audits": "1 200", "direction": ">="}]
    write_side_tables(read(tmp_path, "targets", rows), tmp_path)
    target = read_targets(tmp_path).iloc[0]
    assert (target["contract"], target["min_audits"], target["direction"]) == (0.97, 1200, "at_least")


def ratings(*triples):
    return [dict(zip(("item_id", "rater", "label"), triple, strict=True)) for triple in triples]


def test_ids_null_words_and_labels_of_ratings_are_read_like_those_of_audits(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", labels={"Hate speech": "hate", "None": "benign"}, nulls=("?",))
    rows = ratings(("100.0", "NA", "Hate speech"), ("101", "None", "None"), ("102", "b", "hate"), ("103", "a", "?"))
    table = read(tmp_path, "ratings", rows, mapping).frames["ratings"]
    assert table["item_id"].tolist() == ["100", "101", "102", "103"]
    assert table["rater"].tolist() == ["NA", "None", "b", "a"]
    assert table["label"].tolist()[:3] == ["hate", "benign", "hate"] and pd.isna(table["label"].iloc[3])


def test_an_unknown_label_is_reported_once_with_its_rows_and_the_nearest(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", labels={"Hate speech": "hate", "Spam": "spam"})
    rows = ratings(*((str(number), "a", "Hate Speach") for number in range(50)))
    (issue,) = collect_issues(tmp_path, "ratings", rows, mapping)
    assert "50 rows" in issue.problem and "Hate speech" in issue.hint and issue.row == 2


def test_ratings_may_have_the_column_names_of_the_file_of_audits(tmp_path):
    mapping = ColumnMapping(
        time_zone="UTC", columns={"item_id": ["Ticket", "Task"], "rater": "Agent", "label": "Verdict"}
    )
    rows = [{"Ticket": "7.0", "Task": "b", "Agent": "x", "Verdict": "ok"}]
    assert read(tmp_path, "ratings", rows, mapping).frames["ratings"].iloc[0].tolist() == ["x", "ok", "7:b"]


def test_label_sets_are_normalized_in_ratings_too(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", label_scale="multilabel")
    rows = ratings(("1", "a", "spam;hate"), ("1", "b", "hate|spam"))
    assert read(tmp_path, "ratings", rows, mapping).frames["ratings"]["label"].tolist() == ["hate|spam", "hate|spam"]


def test_exact_duplicates_of_ratings_are_dropped_and_counted(tmp_path):
    tables = read(tmp_path, "ratings", ratings(("1", "a", "x"), ("1", "a", "x"), ("2", "a", "x")))
    assert len(tables.frames["ratings"]) == 2 and "1 exact duplicate" in tables.repairs[0].problem


def test_spellings_of_sites_are_mapped_in_the_population(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", values={"site": {"LIS": "Lisbon"}}, decimal=",")
    rows = [{**LINE, "site": "LIS", "stratum": "a", "decisions": "12.000"}]
    assert read(tmp_path, "population", rows, mapping).frames["population"].iloc[0].to_dict() == {
        "period": "2026-02", "site": "Lisbon", "queue": None, "stratum": "a", "decisions": "12000",
    }  # fmt: skip


# stores --------------------------------------------------------------------------------------------------------------


def test_stored_tables_are_read_back_unchanged_and_have_no_formulas(tmp_path):
    texts = ["=1+1", "-x", "@you", "+1", "'=x", "＝1", "plain", "quote ' inside", "NA", "None"]
    tables = read(tmp_path, "ratings", ratings(*((str(number), text, "ok") for number, text in enumerate(texts))))
    assert tables.frames["ratings"]["rater"].tolist() == texts
    store = tmp_path / "store"
    store.mkdir()
    write_side_tables(tables, store)
    assert read_stored_table(store / "ratings.csv")["rater"].tolist() == texts
    assert not re.search(r"(?m),\s*[=+@＝-]", (store / "ratings.csv").read_text())
    assert read_side_tables({"ratings": store / "ratings.csv"}, ColumnMapping(labels={"ok": "other"})).frames[
        "ratings"
    ]["label"].tolist() == ["ok"] * len(texts)


def test_a_file_added_to_a_store_by_hand_is_validated(tmp_path):
    (tmp_path / "ledger.json").touch()
    (tmp_path / "events.csv").write_text("event_id,type,start,title\ne1,nonsense,2026-02-01,x\n")
    with pytest.raises(SideTableError, match="'nonsense' is not a known type"):
        read_events(tmp_path)


def test_a_frame_lists_warnings_and_repairs(tmp_path):
    tables = read(tmp_path, "targets", [{**TARGET, "contract": "97%"}])
    frame = tables.to_frame()
    assert frame["kind"].tolist() == ["repair"] and frame["row"].tolist() == [2]
    assert tables.summary() == "Side tables: targets 1 row; no warnings."


def test_a_thousand_rows_can_be_read(tmp_path):
    path = write(tmp_path, "events", events(*["2026-02-01"] * 1000))
    assert len(read_table(path, "events", EVENTS, UTC).texts) == 1000
