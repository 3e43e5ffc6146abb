"""Ingest: every source gives the same store, and a failed ingest leaves no partial store."""

import datetime as dt
import json
import sqlite3

import duckdb
import pandas as pd
import pytest

from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.ledger import Ledger, read_ledger
from rca_lib.io.folder_names import encode_folder_name

UTC = ColumnMapping(time_zone="UTC")


def make_audits(rows: int = 40) -> pd.DataFrame:
    """A row per audit, hourly from 2026-01-31 12:00 on, over two sites; every fifth one is an error."""
    number = range(rows)
    return pd.DataFrame(
        {
            "audit_id": [f"A{i:03d}" for i in number],
            "item_id": [f"I{i}" for i in number],
            "site": ["Lisbon" if i % 2 else "Manila/2" for i in number],
            "rater": [f"R{i % 7}" for i in number],
            "decided_at": [f"{pd.Timestamp('2026-01-31 12:00') + pd.Timedelta(hours=i)}" for i in number],
            "label": ["hate" if i % 5 == 0 else "benign" for i in number],
            "truth": "benign",
            "stratum": ["approved" if i % 4 else "rejected" for i in number],
            "tenure_days": [str(i * 30) for i in number],
        }
    )


def store_bytes(store):
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*.parquet")}


def read_store(store):
    """All audits that were kept, each with the row it came from."""
    audits, sources = (
        duckdb.connect().read_parquet(
            sorted(map(str, store.glob(f"site=*/month=*/{name}.parquet"))), hive_partitioning=False
        )
        for name in ("audits", "sources")
    )
    return audits.df().merge(sources.df(), on="audit_id", validate="1:1").sort_values("audit_id", ignore_index=True)


def test_the_store_has_a_file_per_site_and_month_with_the_same_columns(tmp_path):
    make_audits().to_csv(tmp_path / "a.csv", index=False)
    ledger = ingest(tmp_path / "a.csv", tmp_path / "store", mapping=UTC)
    files = sorted(path.relative_to(tmp_path / "store").as_posix() for path in (tmp_path / "store").rglob("*.*"))
    files_by_month = [
        f"site={site}/month={month}/{name}.parquet"
        for site in ("Lisbon", "Manila%2F2")
        for month in ("2026-01", "2026-02")
        for name in ("audits", "sources")
    ]
    assert files == ["ledger.json", "quarantine.csv", *files_by_month]
    sources = ("source_file", "source_row")
    for audits_file in files_by_month[::2]:
        table = duckdb.connect().read_parquet(str(tmp_path / "store" / audits_file), hive_partitioning=False)
        assert tuple(table.columns) == tuple(name for name in ledger.columns if name not in sources)
        assert table.df().equals(table.order("decided_at, audit_id").df())
    assert read_ledger(tmp_path / "store") == ledger == Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert "40 rows read from a.csv: 40 kept" in ledger.summary()
    assert ledger.to_frame().loc[0, ["fate", "rows"]].tolist() == ["kept", 40]
    assert ("weight", "rates for all decisions") in ledger.not_available


def test_derived_columns_are_correct(tmp_path):
    make_audits().to_csv(tmp_path / "a.csv", index=False)
    ingest(tmp_path / "a.csv", tmp_path / "store", mapping=UTC)
    kept = read_store(tmp_path / "store")
    assert kept["error"].sum() == 8
    assert kept["source_row"].tolist() == list(range(2, 42))
    assert set(kept["source_file"]) == {"a.csv"}
    # 0 and 30 days; 60 and 90; 120 to 360; 390 and more
    bands = kept["tenure"].value_counts()
    assert bands.to_dict() == {"0-30 days": 2, "31-90 days": 2, "91-365 days": 9, "over 365 days": 27}


def test_row_order_and_a_second_run_do_not_change_a_byte(tmp_path):
    audits = make_audits().drop(columns="tenure_days")
    stores = []
    for name, table in (("a", audits), ("b", audits), ("c", audits.sample(frac=1, random_state=5))):
        ingest(table.reset_index(drop=True), tmp_path / name, mapping=UTC)
        stores.append(tmp_path / name)
    assert store_bytes(stores[0]) == store_bytes(stores[1])
    # The audits give the same file whatever export they come in; sources.parquet holds their rows.
    for file in stores[0].glob("site=*/month=*/audits.parquet"):
        assert file.read_bytes() == (stores[2] / file.relative_to(stores[0])).read_bytes()
    first, shuffled = (read_store(store).drop(columns="source_row") for store in (stores[0], stores[2]))
    assert first.equals(shuffled)


def test_days_follow_the_sites_clock_also_across_a_clock_change(tmp_path):
    # 23:30 UTC is 0:30 in Lisbon from 29 March 2026 on (summer time), 23:30 before, and 7:30 in Manila.
    times = ["2026-03-28 23:30", "2026-03-29 23:30"]
    audits = make_audits(4).assign(decided_at=[times[i // 2] for i in range(4)])
    mapping = ColumnMapping(time_zone="UTC", site_time_zones={"Lisbon": "Europe/Lisbon", "Manila/2": "Asia/Manila"})
    ingest(audits, tmp_path / "store", mapping=mapping)
    kept = read_store(tmp_path / "store")
    assert kept["day"].astype(str).tolist() == ["2026-03-29", "2026-03-28", "2026-03-30", "2026-03-30"]
    assert kept["shift"].tolist() == ["early", "night", "early", "night"]


def test_export_times_are_converted_to_utc_and_a_date_alone_stays_that_day(tmp_path):
    audits = make_audits(3).assign(decided_at=["2026-07-01 00:30", "2026-07-01T00:30:00Z", "2026-07-01"])
    mapping = ColumnMapping(time_zone="Europe/Berlin", site_time_zones="America/Bogota")
    ledger = ingest(audits, tmp_path / "store", mapping=mapping)
    kept = read_store(tmp_path / "store")
    # Berlin is two hours ahead of UTC in July, Bogota five behind.
    assert kept["decided_at"].astype(str).tolist() == [
        "2026-06-30 22:30:00",
        "2026-07-01 00:30:00",
        "2026-07-01 05:00:00",
    ]
    assert kept["day"].astype(str).tolist() == ["2026-06-30", "2026-06-30", "2026-07-01"]
    assert ("days without a time, read as midnight at the site", 1) in ledger.repairs


def test_a_site_without_its_own_time_zone_is_recorded(tmp_path):
    mapping = ColumnMapping(time_zone="UTC", site_time_zones={"Lisbon": "Europe/Lisbon"})
    ledger = ingest(make_audits(), None, mapping=mapping)
    assert ledger.repairs == (("sites not in site_time_zones, read in the file's zone", 20),)


def test_parquet_and_frames_keep_their_types(tmp_path):
    audits = make_audits(6)
    audits["decided_at"] = pd.to_datetime(audits["decided_at"]).dt.tz_localize("UTC").dt.tz_convert("Asia/Manila")
    audits = audits.assign(weight=[1.25, 2.125, 3.0, 4.5, 1.0, 2.0], blind=True, tenure_days=range(6))
    duckdb.connect().from_df(audits).write_parquet(str(tmp_path / "a.parquet"))
    ingest(tmp_path / "a.parquet", tmp_path / "store")
    kept = read_store(tmp_path / "store")
    assert kept["weight"].tolist() == [1.25, 2.125, 3.0, 4.5, 1.0, 2.0]
    assert kept["blind"].all() and kept["tenure_days"].tolist() == list(range(6))
    assert str(kept["decided_at"][0]) == "2026-01-31 12:00:00"
    ingest(tmp_path / "a.parquet", tmp_path / "comma", mapping=ColumnMapping(decimal=","))
    assert read_store(tmp_path / "comma")["weight"].equals(kept["weight"])


def test_a_query_gives_the_same_store_in_every_database(tmp_path):
    audits = make_audits()
    audits.to_csv(tmp_path / "a.csv", index=False)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        audits.to_sql("audits", connection, index=False)
    with duckdb.connect(str(tmp_path / "a.duckdb")) as engine:
        engine.register("frame", audits)
        engine.execute("create table audits as from frame").fetchall()
    query = UTC.model_copy(update={"query": "select * from audits"})
    on_file = UTC.model_copy(update={"query": f"select * from read_csv('{tmp_path / 'a.csv'}', all_varchar=true)"})
    sources = {
        "sqlite": (tmp_path / "a.db", query),
        "duckdb": (tmp_path / "a.duckdb", query),
        "open": (connection, query),
        "engine": (None, on_file),
    }
    expected = read_store_of(make_audits(), tmp_path / "frame", UTC)
    for name, (source, mapping) in sources.items():
        assert read_store_of(source, tmp_path / name, mapping).equals(expected), name
    connection.close()


def read_store_of(source, store, mapping):
    ingest(source, store, mapping=mapping)
    return read_store(store).drop(columns="source_file")


def test_the_error_of_a_failing_query_reveals_neither_address_nor_database_message(tmp_path):
    with sqlite3.connect(tmp_path / "secret.db") as connection:
        make_audits().to_sql("audits", connection, index=False)
    connection.close()
    query = UTC.model_copy(update={"query": "select * from nothing"})
    with pytest.raises(DataError, match=r"the query failed \(OperationalError\)") as error_info:
        ingest(tmp_path / "secret.db", None, mapping=query)
    assert "nothing" not in str(error_info.value)
    assert error_info.value.__cause__ is None
    with pytest.raises(DataError, match="a database needs a query"):
        ingest(tmp_path / "secret.db", None)


def write_population(path, *lines):
    path.write_text("\n".join(["period,site,stratum,decisions", *lines]) + "\n")
    return path


def test_missing_weights_come_from_the_population(tmp_path):
    # 40 audits: January holds the first 12. Manila (even numbers): rejected where i % 4 == 0.
    population = write_population(
        tmp_path / "p.csv",
        *[f"2026-0{month},{site},{stratum},{decisions}" for month, site, stratum, decisions in (
            (1, "Manila/2", "rejected", 30), (1, "Manila/2", "approved", 300), (1, "Lisbon", "approved", 600),
            (2, "Manila/2", "rejected", 70), (2, "Manila/2", "approved", 700), (2, "Lisbon", "approved", 1400))],
    )  # fmt: skip
    audits = make_audits().assign(weight=["9" if i == 0 else "" for i in range(40)])
    ledger = ingest(audits, tmp_path / "store", mapping=UTC, population=population)
    kept = read_store(tmp_path / "store").set_index("audit_id")
    # January: i = 0 … 11, so Manila has 3 rejected and 3 approved, Lisbon 6; February: 7, 7 and 14.
    assert kept.loc[["A000", "A004", "A002", "A001"], "weight"].tolist() == [9, 10, 100, 100]
    assert kept["weight"].iloc[12:].unique().tolist() == [10.0, 100.0]
    assert ledger.kept == 40 and "weight" in ledger.columns


def test_a_sampled_row_outside_the_population_is_quarantined_and_other_streams_have_weight_one(tmp_path):
    population = write_population(tmp_path / "p.csv", "2026-Q1,Lisbon,approved,200")
    audits = make_audits().assign(stream=["targeted" if i % 8 == 0 else "random" for i in range(40)])
    ledger = ingest(audits, tmp_path / "store", mapping=UTC, population=population)
    # Manila: 20 audits, of which 5 are targeted; the other 15 have no stratum in the population.
    assert ledger.reasons[0][:2] == ("missing weight", 15)
    assert ledger.kept + ledger.quarantined == 40
    assert read_store(tmp_path / "store")["weight"].value_counts().to_dict() == {10.0: 20, 1.0: 5}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["2026-01,Lisbon,approved,2"], "fewer decisions than audits.*6 rows"),
        (["2026-01,Lisbon,approved,20", "2026-Q1,Lisbon,approved,80"], "two rows of the population"),
        (["2026-01,Lisbon,approved,0"], "without decisions.*source_row=2"),
        (["January,Lisbon,approved,9"], "'January' is not a period"),
    ],
)
def test_an_impossible_population_is_an_error(tmp_path, lines, words):
    with pytest.raises(DataError, match=words):
        ingest(make_audits(), None, mapping=UTC, population=write_population(tmp_path / "p.csv", *lines))


def test_a_failed_ingest_keeps_the_old_store_and_a_successful_one_keeps_other_files(tmp_path):
    store = tmp_path / "store"
    ingest(make_audits(), store, mapping=UTC)
    (store / "events.csv").write_text("event_id\n")
    before = store_bytes(store)
    with pytest.raises(DataError):
        ingest(make_audits().assign(truth=""), store, mapping=UTC)
    assert store_bytes(store) == before
    ingest(make_audits(5), store, mapping=UTC)
    assert len(read_store(store)) == 5
    assert (store / "events.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_that_is_not_a_store_is_not_overwritten(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(DataError, match="letters exists and is not a store"):
        ingest(make_audits(), tmp_path / "letters", mapping=UTC)


def test_an_ingest_without_a_store_writes_nothing_and_gives_the_same_ledger(tmp_path):
    checked = ingest(make_audits(), None, mapping=UTC)
    assert list(tmp_path.iterdir()) == []
    assert checked == ingest(make_audits(), tmp_path / "store", mapping=UTC)


@pytest.mark.parametrize("site", ["São Paulo", "a/b", "../up", ".hidden", "_x", "50%", "it's", "x=1"])
def test_any_site_name_gives_one_folder_and_stays_unchanged(tmp_path, site):
    ingest(make_audits(2).assign(site=site), tmp_path / "store", mapping=UTC)
    folders = [path.name for path in (tmp_path / "store").iterdir() if path.is_dir()]
    assert folders == [f"site={encode_folder_name(site)}"]
    assert set(read_store(tmp_path / "store")["site"]) == {site}


def test_label_sets_are_equal_in_any_order(tmp_path):
    audits = make_audits(3).assign(label=["Spam; Hate", "Spam", "Spam,Hat"], truth="hate|spam")
    mapping = ColumnMapping(time_zone="UTC", labels={"Spam": "spam", "Hate": "hate"}, label_scale="multilabel")
    ledger = ingest(audits, tmp_path / "store", mapping=mapping)
    assert read_store(tmp_path / "store")[["label", "error"]].values.tolist() == [["hate|spam", 0], ["spam", 1]]
    assert ledger.reasons[0][0] == "label not in the map (label)"


def test_ordinal_labels_outside_their_order_are_quarantined():
    audits = make_audits(4).assign(label=["bad", "good", "fair", "great"], truth="good")
    mapping = ColumnMapping(time_zone="UTC", label_scale="ordinal", label_order=("bad", "fair", "good"))
    ledger = ingest(audits, None, mapping=mapping)
    assert (ledger.kept, ledger.quarantined, ledger.label_order) == (3, 1, ("bad", "fair", "good"))


def test_dates_after_now_are_quarantined(tmp_path):
    now = dt.datetime(2026, 2, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))  # midnight UTC
    assert ingest(make_audits(), None, mapping=UTC, now=now).kept == 13  # 12:00 to 24:00
    assert ingest(make_audits(), None, mapping=UTC).kept == 40


def test_every_column_of_the_schema_is_ingested(tmp_path):
    texts = {
        column.name: column.values[0] if column.values else "1"
        for column in AUDIT_COLUMNS
        if column.requirement != "automatic"
    }
    times = {"decided_at": "2026-03-01 10:00", "audited_at": "2026-03-02 10:00"}
    ledger = ingest(pd.DataFrame([texts | times]), tmp_path / "store", mapping=UTC)
    assert ledger.columns == list_columns(AUDIT_COLUMNS)
    assert not ledger.not_available
    assert read_store(tmp_path / "store").loc[0, list(texts)].notna().all()


def test_a_column_name_that_is_a_formula_is_escaped_in_the_quarantine(tmp_path):
    audits = make_audits(3).assign(**{"=a": "@z", "truth": ["benign", "benign", ""]})
    ingest(audits, tmp_path / "store", mapping=UTC)
    assert pd.read_csv(tmp_path / "store" / "quarantine.csv", dtype=str)["'=a"].tolist() == ["'@z"]


def test_a_ledger_is_invalid_once_a_future_date_has_passed(tmp_path):
    early = dt.datetime(2026, 2, 1, 0, tzinfo=dt.UTC)
    ledger = ingest(make_audits(), tmp_path / "store", mapping=UTC, now=early)
    assert (ledger.kept, ledger.quarantined) == (13, 27)
    assert (ledger.first_future_date, ledger.last_kept_date) == ("2026-02-01T01:00:00", "2026-02-01T00:00:00")
    assert (
        ledger.is_valid_at(early) and ledger.is_valid_at(early + dt.timedelta(minutes=59)) and ledger.is_valid_at(None)
    )
    assert not ledger.is_valid_at(early + dt.timedelta(hours=1))
    assert not ledger.is_valid_at(early - dt.timedelta(seconds=1))  # a row that is kept would be future
    assert read_ledger(tmp_path / "store") == ledger


def test_the_same_audit_in_two_notations_is_a_duplicate(tmp_path):
    audits = make_audits(4).assign(weight="1.50", label="hate")
    duplicates = audits.iloc[:2].assign(
        decided_at=["2026-01-31T12:00Z", "31 Jan 2026 13:00:00"],
        weight="1.5",
        label=["hate ", "hate"],
        tenure_days="0.0",
    )
    duplicates["tenure_days"] = ["0", "30.0"]
    changed = audits.iloc[2:3].assign(weight="1.51")
    ledger = ingest(pd.concat([audits, duplicates, changed], ignore_index=True), None, mapping=UTC)
    assert (ledger.kept, ledger.exact_duplicates, ledger.quarantined) == (3, 2, 2)


def test_an_assumption_of_the_mapping_stands_in_the_ledger():
    frame = pd.DataFrame({
        "audit_id": ["1", "2"], "item_id": ["1", "2"], "site": "S", "rater": "r", "decided_at": "2026-01-05 09:00",
        "label": "benign", "truth": "benign",
    })  # fmt: skip
    ledger = ingest(frame, None, mapping=ColumnMapping(time_zone="UTC", assumed=["time_zone: UTC"]))
    assert ledger.assumed == ("time_zone: UTC",)
    assert ledger.findings()[-1].sentence == "Assumed, not confirmed: time_zone: UTC."
