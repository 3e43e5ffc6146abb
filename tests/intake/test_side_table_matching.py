"""Values of side tables that match no audit give a warning with the nearest value."""

import json

import pandas as pd
import pytest

from rca_lib.batch.store_builder import build_store
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest_with_tables, read_ingest_inputs
from rca_lib.intake.side_tables import SideTableError, read_side_tables, write_side_tables
from rca_lib.store.cases import open_store
from rca_lib.store.stored_tables import open_side_tables, read_events, read_item_ratings, read_targets

MAPPING = """\
time_zone: UTC
labels: {Hate speech: hate, No violation: benign}
values: {site: {LIS: Lisbon}}
"""
EVENTS = "event_id,type,start,scope,title,visibility\n"


@pytest.fixture
def match_tables(tmp_path):
    """Return a function that matches tables with a small export: two sites, queues and vendors, February 2026."""
    rows = [
        {
            "audit_id": f"a{number}", "item_id": f"{1000 + number}.0", "site": ("LIS", "Manila")[number % 2],
            "rater": f"r{number % 5}", "decided_at": f"2026-02-{1 + number % 28:02d} 10:00",
            "label": "Hate speech", "truth": ("Hate speech", "No violation")[number % 3 == 0],
            "queue": ("video", "text")[number % 4 == 0], "vendor": ("Acme", "Bolt")[number % 2], "Shift lead": "Ann",
            "stratum": "approved",
        }
        for number in range(60)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "audits.csv", index=False)
    (tmp_path / "mapping.yml").write_text(MAPPING)

    def match(**tables):
        files = {"mapping": tmp_path / "mapping.yml"}
        for name, text in tables.items():
            files[name] = tmp_path / f"{name}.csv"
            files[name].write_text(text)
        mapping, read = read_ingest_inputs(files)
        return ingest_with_tables(tmp_path / "audits.csv", None, read, mapping, None)[1]

    return match


def scopes(*scopes):
    return EVENTS + "".join(f"e{number},outage,2026-02-10,{scope},x,\n" for number, scope in enumerate(scopes))


@pytest.mark.parametrize(
    ("scope", "problem", "hint"),
    [
        ("site=Lisboa", "site 'Lisboa' matches no audit", "nearest in the audits: 'Lisbon'"),
        ("site=Porto Alegre", "site 'Porto Alegre' matches no audit", "in the audits: "),
        ("queue=vid", "queue 'vid' matches no audit", "'video'"),
        ("queue=v?d", "queue 'v?d' matches no audit", "'video'"),
        ("market=PT", "no column 'market'", "map it"),
        ("que=video", "no column 'que'", "nearest: queue"),
        ("site=Manila;queue=audio", "queue 'audio' matches no audit", "'video'"),
        ("vendor=Acme;site=Manila", "no audit matches all of 'vendor=Acme;site=Manila'", "correct it"),
    ],
)
@pytest.mark.parametrize("table", ["events", "targets"])
def test_a_scope_without_audits_gives_a_warning_with_the_nearest_value(match_tables, table, scope, problem, hint):
    text = scopes("", scope) if table == "events" else f"metric,contract,scope\naccuracy,.9,\naccuracy,.9,{scope}\n"
    tables = match_tables(**{table: text})
    (warning,) = tables.warnings
    assert problem in warning.problem and hint in warning.hint
    assert (warning.file, warning.row, warning.column) == (f"{table}.csv", 3, "scope")


@pytest.mark.parametrize(
    "scope",
    ["", "*", "site=Lisbon", "site=Man*", "queue=v?deo", "site=Manila;queue=video", "Shift lead=Ann", "day=*-02-*"],
)
def test_a_scope_with_audits_gives_no_warning(match_tables, scope):
    assert match_tables(events=scopes(scope)).warnings == ()


@pytest.mark.parametrize(
    ("scope", "read"),
    [
        ("site=LIS", "site=Lisbon"),
        ("site=manila", "site=Manila"),
        ("SITE = \u00a0Manila", "site=Manila"),
        ("shift_lead=ann", "Shift lead=Ann"),
        ("queue=VIDEO", "queue=video"),
    ],
)
def test_a_scope_is_spelled_as_the_audits_and_recorded_as_a_repair(match_tables, scope, read):
    tables = match_tables(events=scopes(scope))
    assert tables.frames["events"]["scope"].tolist() == [read]
    assert tables.warnings == () and any(read in note.problem for note in tables.repairs)


def test_a_scope_in_another_case_is_not_changed_if_two_values_can_be_meant(match_tables, tmp_path):
    audits = pd.read_csv(tmp_path / "audits.csv")
    audits.loc[:9, "Shift lead"] = "ANN"
    audits.to_csv(tmp_path / "audits.csv", index=False)
    tables = match_tables(events=scopes("Shift lead=ann"))
    assert tables.frames["events"]["scope"].tolist() == ["Shift lead=ann"] and len(tables.warnings) == 1


def test_events_and_targets_of_other_years_give_warnings(match_tables):
    text = f"{EVENTS}e1,outage,2016-02-10,,x,\n"
    (warning,) = match_tables(events=text).warnings
    assert "no event starts" in warning.problem and "2026-02-01 to 2026-02-28" in warning.hint
    (warning,) = match_tables(targets="metric,contract,valid_to\naccuracy,.9,2025-12-31\n").warnings
    assert "no target is in force" in warning.problem


def test_a_vendor_without_audits_gives_a_warning(match_tables):
    text = f"{EVENTS}e1,outage,2026-02-10,,x,vendor:Acne\ne2,outage,2026-02-10,,x,vendor:Bolt\n"
    (warning,) = match_tables(events=text).warnings
    assert "'Acne'" in warning.problem and "'Acme'" in warning.hint and warning.row == 2


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        (("1001", "1002.0"), None),
        (("1001", "x2"), "1 of 2 ratings are of items without audits, such as 'x2'"),
        (("x1", "x2"), "no item matches an audit: 2 of 2 ratings"),
    ],
)
def test_ratings_of_items_without_audits_are_counted(match_tables, items, problem):
    text = "item_id,rater,label\n" + "".join(f"{item},NA,Hate speech\n" for item in items)
    notes = [warning.problem for warning in match_tables(ratings=text).warnings]
    assert (notes == []) if problem is None else notes[0].startswith(problem)


def test_labels_of_ratings_without_audits_give_a_warning_with_the_nearest(match_tables, tmp_path):
    (tmp_path / "mapping.yml").write_text("time_zone: UTC\n")
    mapping, tables = read_ingest_inputs({"mapping": tmp_path / "mapping.yml"})
    (tmp_path / "ratings.csv").write_text("item_id,rater,label\n1001,a,hate speach\n")
    tables = read_side_tables({"ratings": tmp_path / "ratings.csv"}, mapping)
    (warning,) = ingest_with_tables(tmp_path / "audits.csv", None, tables, mapping, None)[1].warnings
    assert "'hate speach' is in no audit" in warning.problem and "'Hate speech'" in warning.hint


def test_of_many_unknown_labels_the_first_are_listed_and_the_others_counted(match_tables, tmp_path):
    (tmp_path / "mapping.yml").write_text("time_zone: UTC\n")
    rows = "".join(f"1001,r{number},code {number:02}\n" for number in range(25))
    problems = [warning.problem for warning in match_tables(ratings=f"item_id,rater,label\n{rows}").warnings]
    assert sum("is in no audit" in problem for problem in problems) == 20
    assert "5 more labels are in no audit" in problems


def test_labels_of_ratings_are_spelled_as_the_audits_and_recorded_as_repairs(match_tables, tmp_path):
    (tmp_path / "mapping.yml").write_text("time_zone: UTC\n")
    tables = match_tables(ratings="item_id,rater,label\n1001,a,HATE  SPEECH\n1002,a,No violation\n")
    assert tables.frames["ratings"]["label"].tolist() == ["Hate speech", "No violation"]
    assert tables.warnings == () and "is read as Hate speech" in tables.repairs[-1].problem


def population(*lines):
    return "period,site,stratum,decisions\n" + "".join(f"{line}\n" for line in lines)


def test_rows_of_the_population_without_audits_give_warnings(match_tables):
    text = population("2026-02,LIS,approved,900", "2026-02,Manila,approved,900", "2026-02,Porto,approved,5",
                      "2026-02,Lisbon,aproved,5", "2026-03,Lisbon,approved,5")  # fmt: skip
    warnings = match_tables(population=text).warnings
    assert [(warning.row, warning.column) for warning in warnings] == [(4, "site"), (5, "stratum"), (6, "period")]
    assert "'approved'" in warnings[1].hint


def test_a_population_without_any_audits_raises_an_error_with_the_nearest_value(match_tables):
    with pytest.raises(DataError, match="no row of the population matches an audit: site 'Lisbonne'") as caught:
        match_tables(population=population("2026-02,Lisbonne,approved,900"))
    assert "'Lisbon'" in caught.value.hint


def test_a_store_keeps_the_notes_and_is_identical_when_rebuilt_from_its_own_tables(match_tables, tmp_path):
    match_tables(
        events=scopes("site=LIS", "site=Lisboa").replace("outage", "Outage"),
        targets="metric,contract,valid_from\naccuracy,97%,2026-02-01\n",
        ratings="item_id,rater,label\n1001.0,NA,Hate speech\nx,NA,No violation\n",
        population=population("2026-02,LIS,approved,900", "2026-02,Manila,approved,900", "2026-01,Manila,approved,9"),
    )
    names = ("events", "targets", "ratings", "population")
    files = {name: tmp_path / f"{name}.csv" for name in names} | {"mapping": tmp_path / "mapping.yml"}
    store, again = tmp_path / "store", tmp_path / "again"
    build_store(tmp_path / "audits.csv", files, store, {}, None)
    stored_files = {name: store / f"{name}.csv" for name in names} | {"mapping": store / "mapping.yml"}
    build_store(tmp_path / "audits.csv", stored_files, again, {}, None)
    for name in (*(f"{name}.csv" for name in names), "side_tables.json", "mapping.yml"):
        assert (store / name).read_bytes() == (again / name).read_bytes(), name
    notes = open_side_tables(store)
    assert len(notes.warnings) == 3 and notes.summary().endswith("3 warnings.")
    assert set(notes.to_frame()["kind"]) == {"warning", "repair"}
    assert read_events(store, site="Lisbon")["scope"].tolist() == ["site=Lisbon"]
    assert read_targets(store)["contract"].tolist() == [0.97]
    assert read_item_ratings(store, open_store(store))["item_id"].tolist() == ["1001"]


def test_nothing_is_written_if_a_table_is_invalid(match_tables, tmp_path):
    (tmp_path / "events.csv").write_text(f"{EVENTS}e1,nonsense,2026-02-10,,x,\n")
    with pytest.raises(SideTableError):
        build_store(tmp_path / "audits.csv", {"events": tmp_path / "events.csv"}, tmp_path / "store", {}, None)
    assert not [path for path in tmp_path.iterdir() if "store" in path.name]


def test_damaged_notes_of_a_store_raise_an_error(tmp_path):
    (tmp_path / "ledger.json").touch()
    for text in ("{", "[]", '{"tables": {"events": 1}, "notes": []}', json.dumps({"tables": {}, "notes": [{"x": 1}]})):
        (tmp_path / "side_tables.json").write_text(text)
        with pytest.raises(DataError, match=r"side_tables\.json is damaged"):
            open_side_tables(tmp_path)


def test_a_store_without_notes_has_no_warnings(tmp_path):
    (tmp_path / "ledger.json").touch()
    assert open_side_tables(tmp_path).summary() == "Side tables: none; no warnings."
    tables = read_side_tables({}, ColumnMapping())
    write_side_tables(tables, tmp_path)
    assert open_side_tables(tmp_path).warnings == ()
