import shutil
from datetime import date
from functools import partial

import pytest

from rca_lib.audits.beside import index_ratings, open_side_tables, read_events, read_targets
from rca_lib.audits.counting import count_errors, count_steps, keep_proportional
from rca_lib.audits.demo import demo_store
from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import Mapping
from rca_lib.audits.periods import parse_period, period_of, periods_before
from rca_lib.audits.store import fingerprint, list_periods, list_sites, open_case, open_ledger, open_store
from rca_lib.audits.synthetic import demo_simulation
from rca_lib.findings import DataError


def test_a_case_holds_the_period_its_baseline_and_the_history_up_to_its_end():
    case = open_case(site="lisbon", period="2026-03", baseline_periods=2)
    assert case.baseline_periods == ("2026-01", "2026-02")
    days = {name: count_errors(getattr(case, name), ["day"])["day"] for name in ("current", "baseline", "history")}
    assert str(days["current"].min())[:10] >= "2026-03-01" and str(days["current"].max())[:10] <= "2026-03-31"
    assert str(days["baseline"].max())[:10] <= "2026-02-28"
    assert len(days["history"]) == len(days["current"]) + len(days["baseline"])


def test_the_sample_holds_every_stream_and_round_and_the_current_table_only_the_proportional_first_ones():
    case = open_case(site="lisbon", period="2026-03")
    everything, kept = count_errors(case.sample, ["stream", "audit_round"]), count_errors(case.current, ["stream"])
    assert set(everything["stream"]) > {"random", "stratified"} == set(kept["stream"])
    first = everything[everything["stream"].isin(["random", "stratified"]) & (everything["audit_round"] == 1)]
    assert kept["items"].sum() == first["items"].sum() < everything["items"].sum()


def test_without_an_earlier_period_there_is_no_baseline():
    case = open_case(site="lisbon", period="2026-01")
    assert case.baseline is None and case.sample_before is None
    assert case.compared_with == "no earlier period"


def test_weeks_and_quarters_are_periods_too():
    assert open_case(site="krakow", period="2026-W10").baseline_periods == ("2026-W09",)
    assert open_case(site="krakow", period="2026-Q1").baseline is None
    assert "2026-W10" in list_periods(demo_store(), "krakow", "week")


@pytest.mark.parametrize(
    ("site", "period", "said"), [("paris", "2026-03", "spell it as the audits do"), ("lisbon", "2027-03", "has")]
)
def test_what_is_not_there_is_one_clear_error(site, period, said):
    with pytest.raises(DataError, match=said):
        open_case(site=site, period=period)


def test_a_name_that_is_no_period_says_how_one_is_written():
    with pytest.raises(ValueError, match="write a month 2026-03"):
        open_case(site="lisbon", period="March")


def test_events_and_targets_of_another_site_are_left_out():
    everywhere, here = read_events(), read_events(site="lisbon")
    assert len(here) < len(everywhere)
    assert not [scope for scope in here["scope"].dropna() if "site=" in scope and "site=lisbon" not in scope]
    assert set(open_case(site="lisbon", period="2026-03").targets["metric"]) == set(read_targets()["metric"])


def test_a_store_without_events_and_targets_has_empty_ones(tmp_path):
    shutil.copyfile(demo_store() / "ledger.json", tmp_path / "ledger.json")
    assert list(read_events(tmp_path, site="here")["start"]) == []
    assert list(read_targets(tmp_path)["contract"]) == []


def test_the_fingerprint_changes_with_what_a_report_can_read_and_only_with_that(tmp_path):
    store = demo_store()
    assert fingerprint(store, "lisbon", "2026-02") != fingerprint(store, "lisbon", "2026-03")
    shutil.copytree(store, tmp_path / "copy")
    before = fingerprint(tmp_path / "copy", "lisbon", "2026-02")
    assert before == fingerprint(store, "lisbon", "2026-02")
    for name in ("site=krakow/month=2026-02", "site=lisbon/month=2026-03"):
        (tmp_path / "copy" / name / "audits.parquet").write_bytes(b"other rows")
    assert fingerprint(tmp_path / "copy", "lisbon", "2026-02") == before
    (tmp_path / "copy" / "events.csv").write_text("event_id,type,start,title")
    assert fingerprint(tmp_path / "copy", "lisbon", "2026-02") != before


def test_the_fingerprint_of_a_month_is_the_same_whatever_else_an_export_holds(tmp_path):
    simulated = demo_simulation().audits
    early = simulated[(simulated["site"] == "lisbon") & (simulated["decided_at"].astype(str) < "2026-03")]
    simulated[simulated["site"].isin(["lisbon", "krakow"])].sample(frac=1, random_state=3).to_csv(
        tmp_path / "b.csv", index=False
    )
    early.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a", "b"):
        take_in(tmp_path / f"{name}.csv", tmp_path / name, mapping=Mapping(time_zone="UTC"))
        shutil.copyfile(demo_store() / "events.csv", tmp_path / name / "events.csv")
    before = fingerprint(tmp_path / "a", "lisbon", "2026-02")
    assert fingerprint(tmp_path / "b", "lisbon", "2026-02") == before
    # An event after the period is none of its business; one within it is.
    with (tmp_path / "b" / "events.csv").open("a") as events:
        events.write("later,outage,2026-03-01,,,,\n")
    assert fingerprint(tmp_path / "b", "lisbon", "2026-02") == before
    with (tmp_path / "b" / "events.csv").open("a") as events:
        events.write("within,outage,2026-02-27,,,,\n")
    assert fingerprint(tmp_path / "b", "lisbon", "2026-02") != before


def test_the_fingerprint_holds_the_ratings_of_its_own_items_alone(tmp_path):
    store = tmp_path / "copy"
    shutil.copytree(demo_store(), store)
    index_ratings(store)
    january, february = (fingerprint(store, "lisbon", f"2026-0{month}") for month in (1, 2))
    krakow = fingerprint(store, "krakow", "2026-02")
    (item,) = open_case(store, site="lisbon", period="2026-02").current.select("item_id").limit(1).fetchall()[0]
    with (store / "ratings.csv").open("a") as ratings:
        ratings.write(f"{item},new rater,rater,1,,spam,True\n")
        ratings.write("an item that nobody audited,new rater,rater,1,,spam,True\n")
    index_ratings(store)
    assert fingerprint(store, "lisbon", "2026-01") == january
    assert fingerprint(store, "lisbon", "2026-02") != february
    assert fingerprint(store, "krakow", "2026-02") == krakow
    (store / "ratings.csv").unlink()
    index_ratings(store)
    assert fingerprint(store, "lisbon", "2026-01") != january


def test_ratings_without_their_columns_are_refused_before_anything_is_made_of_them(tmp_path):
    shutil.copytree(demo_store(), tmp_path / "copy")
    (tmp_path / "copy" / "ratings.csv").write_text("item,rater\n1,a\n")
    with pytest.raises(DataError, match=r"ratings\.csv, column item_id: no column 'item_id'"):
        index_ratings(tmp_path / "copy")


def test_the_fingerprint_changes_with_how_labels_are_read(tmp_path):
    shutil.copytree(demo_store(), tmp_path / "copy")
    before = fingerprint(tmp_path / "copy", "lisbon", "2026-02")
    file = tmp_path / "copy" / "ledger.json"
    file.write_text(file.read_text().replace('"nominal"', '"ordinal"'))
    assert fingerprint(tmp_path / "copy", "lisbon", "2026-02") != before


def test_the_store_as_one_table_holds_every_kept_row():
    assert count_errors(open_store())["items"].sum() == open_ledger().kept
    assert list_sites(demo_store()) == ("bogota", "krakow", "lisbon", "manila")


def test_steps_are_days_or_weeks_and_weights_leave_the_series_effective_counts():
    case = open_case(site="lisbon", period="2026-03")
    days, weeks = count_steps(case.current), count_steps(case.current, step="week")
    assert set(weeks["time"].dt.day_of_week) == {0}
    assert len(days) == 31
    counts = count_errors(keep_proportional(case.current), ["day"])
    assert (days["items"] <= counts["items"] + 1e-9).all()


def test_periods_are_named_as_people_name_them():
    assert [
        period.name for period in periods_before(parse_period("2026-03"), [date(2025, 12, 5), date(2026, 2, 1)], 2)
    ] == [
        "2025-12",
        "2026-02",
    ]
    assert period_of(date(2027, 1, 1), "week").name == "2026-W53"


@pytest.mark.parametrize("opened", [open_store, open_ledger, read_events, read_targets, open_side_tables, "case"])
def test_a_folder_that_is_no_store_is_one_clear_error_that_names_the_store_that_is_meant(tmp_path, opened):
    if opened == "case":
        opened = partial(open_case, site="lisbon", period="2026-03")
    batch, report = tmp_path / "weekly", tmp_path / "weekly" / "lisbon" / "2026-03"
    report.mkdir(parents=True)
    (report / "report.html").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "audits.csv").touch()
    for folder, said, hint in (
        (tmp_path / "none", "there is no folder", "rca run"),
        (tmp_path / "audits.csv", "is a file, not a store", "take a file in first"),
        (tmp_path / "empty", "is empty", "take a file in first"),
        (report, "is not a store of audits", "rca run"),
    ):
        with pytest.raises(DataError, match=said) as stop:
            opened(folder)
        assert hint in stop.value.mend and folder.name in str(stop.value)
    shutil.copytree(demo_store(), batch / "_audits")
    for folder in (
        batch,
        report,
        batch / "_audits" / "site=lisbon",
        batch / "_audits" / "site=lisbon" / "month=2026-03",
    ):
        with pytest.raises(DataError) as stop:
            opened(folder)
        assert str(batch / "_audits") in stop.value.mend
    opened(batch / "_audits")


def test_a_store_whose_audits_are_gone_says_so(tmp_path):
    shutil.copyfile(demo_store() / "ledger.json", tmp_path / "ledger.json")
    with pytest.raises(DataError, match="holds no audits"):
        open_store(tmp_path)
