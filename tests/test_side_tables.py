"""Side tables: every fault is told at once before anything runs, and what passes is read as the audits are."""

import re

import openpyxl
import pandas as pd
import pytest

from rca_lib.audits.beside import read_events, read_targets
from rca_lib.audits.mapping import Mapping
from rca_lib.audits.side_tables import SideTableError, read_side_tables, read_stored, write_side_tables
from rca_lib.audits.table_files import read_table
from rca_lib.audits.tables import EVENTS

UTC = Mapping(time_zone="UTC")
EVENT = {"event_id": "", "type": "outage", "start": "2026-02-01", "end": "", "scope": "", "share": "", "title": "x",
         "visibility": ""}  # fmt: skip
TARGET = {"metric": "accuracy", "scope": "", "valid_from": "", "valid_to": "", "direction": "", "contract": "0.9",
          "realistic": "", "stretch": "", "min_audits": ""}  # fmt: skip
RATING = {"item_id": "i1", "rater": "", "label": "ok", "role": "", "trial": "", "rated_at": "", "blind": ""}
LINE = {"period": "2026-02", "site": "Lisbon", "queue": "", "stratum": "", "decisions": "100"}

FAULTS = {
    "events": (EVENT, [
        ({"event_id": " "}, "event_id", "no id"),
        ({"event_id": "e1"}, "event_id", "'e1' is also the id of row 3"),
        ({"type": "tool_relase"}, "type", "'tool_relase' is not a known type.*nearest: tool_release"),
        ({"type": "Werkzeug"}, "type", "'Werkzeug' is not a known type.*policy_update"),
        ({"type": ""}, "type", "there is no type"),
        ({"start": "next week"}, "start", "'next week' cannot be read as a date.*2026-03-09"),
        ({"start": ""}, "start", "there is no date"),
        ({"start": "2026-02-30"}, "start", "'2026-02-30' cannot be read"),
        ({"start": "1026-02-03"}, "start", "before 1990"),
        ({"start": "2126-02-03"}, "start", "after 2099"),
        ({"end": "2026-13-01"}, "end", "'2026-13-01' cannot be read"),
        ({"end": "2026-01-31"}, "end", "'2026-01-31' lies before the start '2026-02-01'"),
        ({"start": "2026-02-01T12:00Z", "end": "2026-02-01T11:00Z"}, "end", "lies before the start"),
        ({"scope": "Lisbon only"}, "scope", "'Lisbon only' is no pair.*column=value"),
        ({"scope": "site: Lisbon"}, "scope", "is no pair"),
        ({"scope": "site="}, "scope", "lacks a column or a value"),
        ({"scope": "=Lisbon"}, "scope", "lacks a column or a value"),
        ({"scope": "site==Lisbon"}, "scope", "lacks a column or a value"),
        ({"scope": "site=a;Site=b"}, "scope", "'Site' is there twice"),
        ({"scope": "site=a, queue=b"}, "scope", "holds several pairs.*; between pairs"),
        ({"scope": "site=a and queue=b"}, "scope", "holds several pairs"),
        ({"share": "40"}, "share", "'40' is not a share.*0.4 or 40%"),
        ({"share": "much"}, "share", "'much' is not a number"),
        ({"visibility": "everyone"}, "visibility", "'everyone' is not a known visibility"),
        ({"visibility": "vendor:"}, "visibility", "'vendor:' is not a known visibility.*vendor:NAME"),
    ]),
    "targets": (TARGET, [
        ({"metric": "acuracy"}, "metric", "'acuracy' is not a known metric.*nearest: accuracy"),
        ({"metric": ""}, "metric", "there is no metric"),
        ({"scope": "site=a", "contract": "97"}, "contract", "'97' is not a share.*0.97 or 97%"),
        ({"scope": "site=b", "contract": "970"}, "contract", "'970' is not a share"),
        ({"scope": "site=c", "contract": "-0.1"}, "contract", "'-0.1' is not a share"),
        ({"scope": "site=d", "contract": "nan"}, "contract", "there is no number"),
        ({"scope": "site=e", "contract": "1e-1"}, "contract", "'1e-1' is not a number"),
        ({"scope": "site=f", "contract": "0.9.7"}, "contract", "not a number"),
        ({"scope": "site=g", "contract": ""}, "contract", "there is no number"),
        ({"scope": "site=h", "realistic": "97"}, "realistic", "'97' is not a share"),
        ({"scope": "site=i", "stretch": "101%"}, "stretch", "'101%' is not a share"),
        ({"scope": "site=j", "direction": "higher"}, "direction", "'higher' is not a known direction"),
        ({"scope": "site=k", "direction": "at_most"}, "direction", "at_most for accuracy.*write at_least"),
        ({"metric": "over_enforcement", "contract": "1"}, "contract", "everybody meets.*0.01 or 1%"),
        ({"scope": "site=l", "min_audits": "some"}, "min_audits", "'some' is not a whole number from 0"),
        ({"scope": "site=m", "min_audits": "-5"}, "min_audits", "'-5' is not a whole number"),
        ({"scope": "site=n", "min_audits": "10.5"}, "min_audits", "'10.5' is not a whole number"),
        ({"scope": "site=o", "valid_from": "soon"}, "valid_from", "'soon' cannot be read as a date"),
        ({"scope": "site=p", "valid_from": "2026-03-01", "valid_to": "2026-02-01"}, "valid_to", "before the first day"),
        ({"scope": "site=q"}, None, ""),
        ({"scope": "site=q", "contract": "0.8"}, "metric", "row 21 sets the same metric and scope"),
        ({"scope": "Lisbon"}, "scope", "is no pair"),
    ]),
    "ratings": (RATING, [
        ({"item_id": ""}, "item_id", "there is no item_id"),
        ({"rater": " "}, "rater", "there is no rater"),
        ({"role": "audtor"}, "role", "'audtor' is not a known role.*nearest: auditor"),
        ({"trial": "first"}, "trial", "'first' is not a whole number from 1"),
        ({"trial": "0"}, "trial", "'0' is not a whole number from 1"),
        ({"trial": "1.5"}, "trial", "'1.5' is not a whole number from 1"),
        ({"rated_at": "yesterday"}, "rated_at", "'yesterday' cannot be read as a date"),
        ({"blind": "maybe"}, "blind", "'maybe' is neither yes nor no"),
        ({"rater": "r", "label": "ok"}, "rater", "'r' judged 'i1' 2 times.*trial"),
        ({"rater": "r", "label": "bad"}, None, ""),
    ]),
    "population": (LINE, [
        ({"period": "March"}, "period", "'March' is not a period.*2026-Q1"),
        ({"period": "2026-13"}, "period", "'2026-13' is not a period"),
        ({"period": ""}, "period", "there is no period"),
        ({"site": ""}, "site", "there is no site"),
        ({"stratum": " "}, "stratum", "there is no stratum"),
        ({"decisions": "many"}, "decisions", "'many' is not a whole number from 1"),
        ({"decisions": "0"}, "decisions", "'0' is not a whole number from 1"),
        ({"decisions": "1,200"}, "decisions", "'1,200' is not a whole number.*thousands"),
        ({"decisions": "12.5"}, "decisions", "'12.5' is not a whole number"),
        ({"decisions": ""}, "decisions", "there is no number"),
        ({"stratum": "s"}, None, ""),
        ({"stratum": "s", "decisions": "7"}, "stratum", "row 12 counts the same stratum"),
    ]),
}  # fmt: skip
OWN = {"events": "event_id", "ratings": "rater", "population": "stratum"}  # filled in where a fault does not set it


def write(folder, name, rows, sep=",", encoding="utf-8"):
    path = folder / f"{name}.csv"
    table = pd.DataFrame(rows)
    path.write_bytes(table.to_csv(index=False, sep=sep).encode(encoding))
    return path


def read(folder, name, rows, mapping=UTC, **how):
    return read_side_tables({name: write(folder, name, rows, **how)}, mapping)


def faults_of(folder, name, rows, mapping=UTC, **how):
    with pytest.raises(SideTableError) as stop:
        read(folder, name, rows, mapping, **how)
    return stop.value.faults


@pytest.mark.parametrize("name", FAULTS)
def test_all_faults_of_a_table_are_told_at_once_with_file_row_column_value_and_hint(tmp_path, name):
    fine, cases = FAULTS[name]
    own = OWN.get(name)
    rows = [{**fine, **({own: f"x{number}"} if own else {}), **cells} for number, (cells, _, _) in enumerate(cases)]
    if name == "events":
        rows[0], rows[1] = {**rows[0]}, {**rows[1]}
        cases = [cases[0], ({}, None, ""), *cases[1:]]
        rows.insert(1, {**fine, "event_id": "e1"})
    faults = faults_of(tmp_path, name, rows)
    told = {}
    for fault in faults:
        told.setdefault(fault.row, []).append(fault)
    for row, (_, column, words) in enumerate(cases, start=2):
        own_faults = told.get(row, [])
        assert [fault.column for fault in own_faults] == ([column] if column else []), (row, own_faults)
        for fault in own_faults:
            assert re.search(words, str(fault)), str(fault)
            assert fault.file == f"{name}.csv" and len(fault.hint) > 10


def test_twenty_faults_of_a_file_are_listed_and_the_others_counted(tmp_path):
    rows = [{**EVENT, "event_id": f"e{number}", "type": "nonsense"} for number in range(35)]
    with pytest.raises(SideTableError) as stop:
        read(tmp_path, "events", rows)
    text = str(stop.value)
    assert text.startswith("35 faults in the side tables") and "events.csv: 15 more faults" in text
    assert len(text.splitlines()) == 22


def test_faults_of_several_files_are_told_together(tmp_path):
    files = {
        "events": write(tmp_path, "events", [{**EVENT, "event_id": "e1", "type": "x"}]),
        "targets": write(tmp_path, "targets", [{**TARGET, "contract": "97"}]),
        "ratings": tmp_path / "none.csv",
    }
    with pytest.raises(SideTableError) as stop:
        read_side_tables(files, UTC)
    assert [fault.file for fault in stop.value.faults] == ["events.csv", "targets.csv", "none.csv"]


@pytest.mark.parametrize(
    ("name", "header", "missing"),
    [
        ("events", "id,type,begin,name", {"event_id", "start", "title"}),
        ("targets", "metrc,target", {"metric", "contract"}),
        ("ratings", "item,who,labels", {"item_id", "rater", "label"}),
        ("population", "month,location,count", {"period", "site", "stratum", "decisions"}),
    ],
)
def test_all_missing_columns_are_named_with_the_nearest(tmp_path, name, header, missing):
    (tmp_path / f"{name}.csv").write_text(f"{header}\n{','.join('a' * len(header.split(',')))}\n")
    with pytest.raises(SideTableError) as stop:
        read_side_tables({name: tmp_path / f"{name}.csv"}, UTC)
    assert {fault.column for fault in stop.value.faults} == missing
    assert all("nearest in the file" in fault.hint for fault in stop.value.faults)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00 packed", "is a gzip archive"),
        (b"%PDF-1.4", "PDF"),
        (b"event_id,type,start,title\ne1,outage,2026-02-01,a,b,c\n", "cells, where the header has 4"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, words):
    (tmp_path / "events.csv").write_bytes(content)
    with pytest.raises(SideTableError, match=words):
        read_side_tables({"events": tmp_path / "events.csv"}, UTC)


# dates ---------------------------------------------------------------------------------------------------------------


def events(*starts, **more):
    return [{**EVENT, "event_id": f"e{number}", "start": start, **more} for number, start in enumerate(starts)]


def test_dates_obey_the_date_order_of_the_mapping(tmp_path):
    for order, day in (("dmy", "2026-02-01"), ("mdy", "2026-01-02")):
        mapping = Mapping(time_zone="UTC", date_order=order)
        assert read(tmp_path, "events", events("01/02/2026"), mapping).frames["events"]["start"].tolist() == [day]
        rows = [{**TARGET, "valid_from": "01/02/2026", "valid_to": "01.02.2026"}]
        targets = read(tmp_path, "targets", rows, mapping).frames["targets"]
        assert targets[["valid_from", "valid_to"]].to_numpy().tolist() == [[day, day]]


@pytest.mark.parametrize("order", [None, "ymd"])
def test_an_ambiguous_date_stops_with_one_error_and_other_faults_are_told_beside_it(tmp_path, order):
    mapping = Mapping(time_zone="UTC", date_order=order)
    faults = faults_of(tmp_path, "events", events("01/02/2026", "03/04/2026", type="nonsense"), mapping)
    assert [fault.column for fault in faults] == ["start", "type", "type"]
    assert "01/02/2026" in faults[0].problem or "03/04/2026" in faults[0].problem
    assert "date_order" in faults[0].hint and "2026-03-09" in faults[0].hint
    faults = faults_of(tmp_path, "targets", [{**TARGET, "valid_to": "01/02/2026"}], mapping)
    assert [fault.column for fault in faults] == ["valid_to"]


def test_a_date_of_the_file_that_proves_the_order_is_marked_and_a_contradiction_stops(tmp_path):
    tables = read(tmp_path, "events", events("01/02/2026", "25/02/2026"))
    assert tables.frames["events"]["start"].tolist() == ["2026-02-01", "2026-02-25"]
    assert any("order of day and month" in note.problem for note in tables.repairs)
    faults = faults_of(tmp_path, "events", events("02/25/2026", "25/02/2026"))
    assert "stand in one file" in faults[0].problem


def test_clock_times_are_in_the_zone_of_the_mapping_and_days_stay_days(tmp_path):
    manila = Mapping(time_zone="Asia/Manila", site_time_zones="Asia/Manila")
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


def test_a_clock_time_without_a_zone_stops_where_none_is_declared_and_a_day_does_not(tmp_path):
    assert read(tmp_path, "events", events("2026-02-01"), Mapping()).frames["events"]["start"].tolist() == [
        "2026-02-01"
    ]
    faults = faults_of(tmp_path, "events", events("2026-02-01 10:00"), Mapping())
    assert "no time zone" in faults[0].problem and "time_zone" in faults[0].hint


def test_an_event_may_end_on_the_day_on_which_it_starts(tmp_path):
    assert read(tmp_path, "events", events("2026-02-01 10:00", end="2026-02-01")).frames["events"]["end"].tolist()


# files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sep", "encoding"), [(";", "cp1252"), ("\t", "utf-16"), (",", "utf-8-sig"), ("|", "utf-8"), (";", "utf-16-le")]
)
def test_every_delimiter_and_encoding_of_audits_is_one_of_side_tables(tmp_path, sep, encoding):
    rows = events("2026-02-01", title="Größeres Update, endlich", scope="site=Málaga")
    tables = read(tmp_path, "events", rows, sep=sep, encoding=encoding)
    assert tables.frames["events"].loc[2, ["title", "scope"]].tolist() == ["Größeres Update, endlich", "site=Málaga"]


def test_the_sheet_of_a_workbook_is_the_one_that_is_called_as_the_table(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["nothing to see"])
    sheet = book.create_sheet("Events")
    for row in (["Calendar 2026"], [], ["Event ID", "Type", "Start", "Title"]):
        sheet.append(row)
    sheet.append(["e1", "Policy update", pd.Timestamp("2026-02-01").to_pydatetime(), "new"])
    book.save(tmp_path / "tables.xlsx")
    tables = read_side_tables({"events": tmp_path / "tables.xlsx"}, Mapping(time_zone="Asia/Manila"))
    assert tables.frames["events"].loc[4, ["event_id", "type", "start"]].tolist() == [
        "e1",
        "policy_update",
        "2026-02-01",
    ]


def test_words_and_headers_may_differ_in_case_blanks_and_hyphens_and_are_marked(tmp_path):
    (tmp_path / "events.csv").write_text("Event ID,TYPE,Start,title,Scope\ne1,Tool Release,2026-02-01,,Site = Lisbon\n")
    tables = read_side_tables({"events": tmp_path / "events.csv"}, UTC)
    event = tables.frames["events"].iloc[0]
    assert event[["type", "title", "scope"]].tolist() == ["tool_release", "Tool release", "site=Lisbon"]
    assert {note.column for note in tables.repairs} >= {"type", "event_id", "scope"}


def test_a_column_that_resembles_an_optional_one_is_a_warning(tmp_path):
    rows = [{**row, "scpoe": "site=Lisbon"} for row in events("2026-02-01")]
    for row in rows:
        del row["scope"]
    (warning,) = read(tmp_path, "events", rows).warnings
    assert "'scpoe' is not read" in str(warning) and "scope" in warning.hint


def test_a_table_without_rows_is_a_warning(tmp_path):
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


def test_ids_null_words_and_labels_of_ratings_are_read_as_those_of_the_audits(tmp_path):
    mapping = Mapping(time_zone="UTC", labels={"Hate speech": "hate", "None": "benign"}, nulls=("?",))
    rows = ratings(("100.0", "NA", "Hate speech"), ("101", "None", "None"), ("102", "b", "hate"), ("103", "a", "?"))
    table = read(tmp_path, "ratings", rows, mapping).frames["ratings"]
    assert table["item_id"].tolist() == ["100", "101", "102", "103"]
    assert table["rater"].tolist() == ["NA", "None", "b", "a"]
    assert table["label"].tolist()[:3] == ["hate", "benign", "hate"] and pd.isna(table["label"].iloc[3])


def test_a_label_that_the_mapping_does_not_know_is_told_once_with_its_rows_and_the_nearest(tmp_path):
    mapping = Mapping(time_zone="UTC", labels={"Hate speech": "hate", "Spam": "spam"})
    rows = ratings(*((str(number), "a", "Hate Speach") for number in range(50)))
    (fault,) = faults_of(tmp_path, "ratings", rows, mapping)
    assert "50 rows" in fault.problem and "Hate speech" in fault.hint and fault.row == 2


def test_ratings_may_have_the_columns_of_the_audits_file(tmp_path):
    mapping = Mapping(time_zone="UTC", columns={"item_id": ["Ticket", "Task"], "rater": "Agent", "label": "Verdict"})
    rows = [{"Ticket": "7.0", "Task": "b", "Agent": "x", "Verdict": "ok"}]
    assert read(tmp_path, "ratings", rows, mapping).frames["ratings"].iloc[0].tolist() == ["x", "ok", "7:b"]


def test_sets_of_labels_are_sets_in_ratings_too(tmp_path):
    mapping = Mapping(time_zone="UTC", label_scale="multilabel")
    rows = ratings(("1", "a", "spam;hate"), ("1", "b", "hate|spam"))
    assert read(tmp_path, "ratings", rows, mapping).frames["ratings"]["label"].tolist() == ["hate|spam", "hate|spam"]


def test_exact_copies_of_ratings_are_left_out_and_counted(tmp_path):
    tables = read(tmp_path, "ratings", ratings(("1", "a", "x"), ("1", "a", "x"), ("2", "a", "x")))
    assert len(tables.frames["ratings"]) == 2 and "1 exact copies" in tables.repairs[0].problem


def test_spellings_of_sites_are_translated_in_the_population(tmp_path):
    mapping = Mapping(time_zone="UTC", values={"site": {"LIS": "Lisbon"}}, decimal=",")
    rows = [{**LINE, "site": "LIS", "stratum": "a", "decisions": "12.000"}]
    assert read(tmp_path, "population", rows, mapping).frames["population"].iloc[0].to_dict() == {
        "period": "2026-02", "site": "Lisbon", "queue": None, "stratum": "a", "decisions": "12000",
    }  # fmt: skip


# stores --------------------------------------------------------------------------------------------------------------


def test_what_is_written_into_a_store_is_read_as_it_was_and_no_cell_is_a_formula(tmp_path):
    texts = ["=1+1", "-x", "@you", "+1", "'=x", "＝1", "plain", "quote ' inside", "NA", "None"]
    tables = read(tmp_path, "ratings", ratings(*((str(number), text, "ok") for number, text in enumerate(texts))))
    assert tables.frames["ratings"]["rater"].tolist() == texts
    store = tmp_path / "store"
    store.mkdir()
    write_side_tables(tables, store)
    assert read_stored(store / "ratings.csv")["rater"].tolist() == texts
    assert not re.search(r"(?m),\s*[=+@＝-]", (store / "ratings.csv").read_text())
    assert read_side_tables({"ratings": store / "ratings.csv"}, Mapping(labels={"ok": "other"})).frames["ratings"][
        "label"
    ].tolist() == ["ok"] * len(texts)


def test_a_file_that_is_put_into_a_store_by_hand_is_validated(tmp_path):
    (tmp_path / "ledger.json").touch()
    (tmp_path / "events.csv").write_text("event_id,type,start,title\ne1,nonsense,2026-02-01,x\n")
    with pytest.raises(SideTableError, match="'nonsense' is not a known type"):
        read_events(tmp_path)


def test_a_frame_lists_warnings_and_repairs(tmp_path):
    tables = read(tmp_path, "targets", [{**TARGET, "contract": "97%"}])
    frame = tables.to_frame()
    assert frame["kind"].tolist() == ["repair"] and frame["row"].tolist() == [2]
    assert tables.summary() == "Side tables: targets 1 row; no warnings."


def test_a_thousand_rows_take_no_longer_than_a_few_seconds(tmp_path):
    path = write(tmp_path, "events", events(*["2026-02-01"] * 1000))
    assert len(read_table(path, "events", EVENTS, UTC).texts) == 1000
