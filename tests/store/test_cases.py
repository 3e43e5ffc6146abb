"""Opening a store: cases, events and targets, fingerprints."""

import shutil
from datetime import date
from functools import partial

import pytest

from rca_lib.audits.counting import count_errors, keep_proportional
from rca_lib.audits.periods import get_period, list_previous_periods, parse_period
from rca_lib.audits.time_series import count_over_time
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.simulation.demo import create_demo_store
from rca_lib.simulation.synthetic_audits import simulate_demo
from rca_lib.store.cases import open_case, open_ledger, open_store
from rca_lib.store.catalog import list_periods, list_sites
from rca_lib.store.fingerprint import compute_fingerprint
from rca_lib.store.stored_tables import open_side_tables, read_events, read_targets, write_ratings_index


def test_a_case_has_the_period_its_baseline_and_the_history_up_to_its_end():
    case = open_case("demo", site="lisbon", period="2026-03", baseline_periods=2)
    assert case.baseline_periods == ("2026-01", "2026-02")
    days = {name: count_errors(getattr(case, name), ["day"])["day"] for name in ("current", "baseline", "history")}
    assert str(days["current"].min())[:10] >= "2026-03-01" and str(days["current"].max())[:10] <= "2026-03-31"
    assert str(days["baseline"].max())[:10] <= "2026-02-28"
    assert len(days["history"]) == len(days["current"]) + len(days["baseline"])


def test_all_audits_has_every_stream_and_round_and_current_only_proportional_first_rounds():
    case = open_case("demo", site="lisbon", period="2026-03")
    everything = count_errors(case.all_audits, ["stream", "audit_round"])
    current = count_errors(case.current, ["stream"])
    assert set(everything["stream"]) > {"random", "stratified"} == set(current["stream"])
    first = everything[everything["stream"].isin(["random", "stratified"]) & (everything["audit_round"] == 1)]
    assert current["items"].sum() == first["items"].sum() < everything["items"].sum()


def test_without_an_earlier_period_there_is_no_baseline():
    case = open_case("demo", site="lisbon", period="2026-01")
    assert case.baseline is None and case.baseline_all_audits is None
    assert case.compared_with == "no earlier period"


def test_weeks_and_quarters_are_periods_too():
    assert open_case("demo", site="krakow", period="2026-W10").baseline_periods == ("2026-W09",)
    assert open_case("demo", site="krakow", period="2026-Q1").baseline is None
    assert "2026-W10" in list_periods(create_demo_store(), "krakow", "week")


@pytest.mark.parametrize(
    ("site", "period", "message"), [("paris", "2026-03", "spell it as the audits do"), ("lisbon", "2027-03", "has")]
)
def test_an_unknown_site_or_period_raises_an_error(site, period, message):
    with pytest.raises(DataError, match=message):
        open_case("demo", site=site, period=period)


def test_an_invalid_period_raises_an_error_with_the_valid_forms():
    with pytest.raises(ValueError, match="write a month 2026-03"):
        open_case("demo", site="lisbon", period="March")


def test_events_and_targets_of_other_sites_are_left_out():
    everywhere, here = read_events("demo"), read_events("demo", site="lisbon")
    assert len(here) < len(everywhere)
    assert not [scope for scope in here["scope"].dropna() if "site=" in scope and "site=lisbon" not in scope]
    targets = open_case("demo", site="lisbon", period="2026-03").targets
    assert set(targets["metric"]) == set(read_targets("demo")["metric"])


def test_a_store_without_events_and_targets_gives_empty_tables(tmp_path):
    shutil.copyfile(create_demo_store() / "ledger.json", tmp_path / "ledger.json")
    assert list(read_events(tmp_path, site="here")["start"]) == []
    assert list(read_targets(tmp_path)["contract"]) == []


def test_the_fingerprint_changes_only_with_what_a_report_reads(tmp_path):
    store = create_demo_store()
    assert compute_fingerprint(store, "lisbon", "2026-02") != compute_fingerprint(store, "lisbon", "2026-03")
    shutil.copytree(store, tmp_path / "copy")
    before = compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02")
    assert before == compute_fingerprint(store, "lisbon", "2026-02")
    for name in ("site=krakow/month=2026-02", "site=lisbon/month=2026-03"):
        (tmp_path / "copy" / name / "audits.parquet").write_bytes(b"other rows")
    assert compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02") == before
    (tmp_path / "copy" / "events.csv").write_text("event_id,type,start,title")
    assert compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02") != before


def test_the_fingerprint_of_a_month_does_not_depend_on_the_rest_of_the_export(tmp_path):
    simulated = simulate_demo().audits
    early = simulated[(simulated["site"] == "lisbon") & (simulated["decided_at"].astype(str) < "2026-03")]
    simulated[simulated["site"].isin(["lisbon", "krakow"])].sample(frac=1, random_state=3).to_csv(
        tmp_path / "b.csv", index=False
    )
    early.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a", "b"):
        ingest(tmp_path / f"{name}.csv", tmp_path / name, mapping=ColumnMapping(time_zone="UTC"))
        shutil.copyfile(create_demo_store() / "events.csv", tmp_path / name / "events.csv")
    before = compute_fingerprint(tmp_path / "a", "lisbon", "2026-02")
    assert compute_fingerprint(tmp_path / "b", "lisbon", "2026-02") == before
    # An event after the period is none of its business; one within it is.
    with (tmp_path / "b" / "events.csv").open("a") as events:
        events.write("later,outage,2026-03-01,,,,\n")
    assert compute_fingerprint(tmp_path / "b", "lisbon", "2026-02") == before
    with (tmp_path / "b" / "events.csv").open("a") as events:
        events.write("within,outage,2026-02-27,,,,\n")
    assert compute_fingerprint(tmp_path / "b", "lisbon", "2026-02") != before


def test_the_fingerprint_depends_only_on_the_ratings_of_its_own_items(tmp_path):
    store = tmp_path / "copy"
    shutil.copytree(create_demo_store(), store)
    write_ratings_index(store)
    january, february = (compute_fingerprint(store, "lisbon", f"2026-0{month}") for month in (1, 2))
    krakow = compute_fingerprint(store, "krakow", "2026-02")
    (item,) = open_case(store, site="lisbon", period="2026-02").current["item_id"].head(1)
    with (store / "ratings.csv").open("a") as ratings:
        ratings.write(f"{item},new rater,rater,1,,spam,True\n")
        ratings.write("an item that nobody audited,new rater,rater,1,,spam,True\n")
    write_ratings_index(store)
    assert compute_fingerprint(store, "lisbon", "2026-01") == january
    assert compute_fingerprint(store, "lisbon", "2026-02") != february
    assert compute_fingerprint(store, "krakow", "2026-02") == krakow
    (store / "ratings.csv").unlink()
    write_ratings_index(store)
    assert compute_fingerprint(store, "lisbon", "2026-01") != january


def test_ratings_without_required_columns_raise_an_error(tmp_path):
    shutil.copytree(create_demo_store(), tmp_path / "copy")
    (tmp_path / "copy" / "ratings.csv").write_text("item,rater\n1,a\n")
    with pytest.raises(DataError, match=r"ratings\.csv, column item_id: no column 'item_id'"):
        write_ratings_index(tmp_path / "copy")


def test_the_fingerprint_changes_with_the_label_settings(tmp_path):
    shutil.copytree(create_demo_store(), tmp_path / "copy")
    before = compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02")
    file = tmp_path / "copy" / "ledger.json"
    file.write_text(file.read_text().replace('"nominal"', '"ordinal"'))
    assert compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02") != before


def test_open_store_returns_every_kept_row():
    assert count_errors(open_store("demo"))["items"].sum() == open_ledger("demo").kept
    assert list_sites(create_demo_store()) == ("bogota", "krakow", "lisbon", "manila")


def test_series_have_days_or_weeks_and_effective_counts():
    case = open_case("demo", site="lisbon", period="2026-03")
    days, weeks = count_over_time(case.current), count_over_time(case.current, step="week")
    assert set(weeks["time"].dt.day_of_week) == {0}
    assert len(days) == 31
    counts = count_errors(keep_proportional(case.current), ["day"])
    assert (days["items"] <= counts["items"] + 1e-9).all()


def test_periods_have_their_common_names():
    assert [
        period.name
        for period in list_previous_periods(parse_period("2026-03"), [date(2025, 12, 5), date(2026, 2, 1)], 2)
    ] == [
        "2025-12",
        "2026-02",
    ]
    assert get_period(date(2027, 1, 1), "week").name == "2026-W53"


@pytest.mark.parametrize("opened", [open_store, open_ledger, read_events, read_targets, open_side_tables, "case"])
def test_a_folder_that_is_not_a_store_raises_an_error_that_names_the_nearest_store(tmp_path, opened):
    if opened == "case":
        opened = partial(open_case, site="lisbon", period="2026-03")
    batch, report = tmp_path / "weekly", tmp_path / "weekly" / "lisbon" / "2026-03"
    report.mkdir(parents=True)
    (report / "report.html").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "audits.csv").touch()
    for folder, message, hint in (
        (tmp_path / "none", "there is no folder", "rca run"),
        (tmp_path / "audits.csv", "is a file, not a store", "ingest a file first"),
        (tmp_path / "empty", "is empty", "ingest a file first"),
        (report, "is not a store of audits", "rca run"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            opened(folder)
        assert hint in caught.value.hint and folder.name in str(caught.value)
    shutil.copytree(create_demo_store(), batch / "_audits")
    for folder in (
        batch,
        report,
        batch / "_audits" / "site=lisbon",
        batch / "_audits" / "site=lisbon" / "month=2026-03",
    ):
        with pytest.raises(DataError) as caught:
            opened(folder)
        assert str(batch / "_audits") in caught.value.hint
    opened(batch / "_audits")


@pytest.mark.parametrize("opened", [open_store, open_ledger, read_events, read_targets, open_side_tables, open_case])
def test_an_empty_store_name_is_an_error_whose_hint_names_the_simulated_audits(opened):
    options = {"site": "lisbon", "period": "2026-03"} if opened is open_case else {}
    with pytest.raises(DataError, match="no store of audits is named") as error:
        opened("", **options)
    assert '"demo"' in error.value.hint


def test_only_the_simulated_audits_are_flagged_as_synthetic(tmp_path):
    assert open_ledger("demo").synthetic
    simulate_demo().audits.head(50).to_csv(tmp_path / "audits.csv", index=False)
    assert not ingest(tmp_path / "audits.csv", tmp_path / "store", mapping=ColumnMapping(time_zone="UTC")).synthetic
    assert not open_ledger(tmp_path / "store").synthetic


def test_the_fingerprint_of_simulated_audits_differs_from_that_of_the_same_real_ones(tmp_path):
    shutil.copytree(create_demo_store(), tmp_path / "copy")
    simulated = compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02")
    file = tmp_path / "copy" / "ledger.json"
    file.write_text(file.read_text().replace('"synthetic": true', '"synthetic": false'))
    assert compute_fingerprint(tmp_path / "copy", "lisbon", "2026-02") != simulated


def test_a_store_without_audits_raises_an_error(tmp_path):
    shutil.copyfile(create_demo_store() / "ledger.json", tmp_path / "ledger.json")
    with pytest.raises(DataError, match="has no audits"):
        open_store(tmp_path)
