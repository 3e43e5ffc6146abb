"""The engine reaches what it is opened for, and nothing else: neither a query nor a view of a partner's file."""

import sqlite3
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rca_lib.audits.engine import open_engine
from rca_lib.audits.intake import take_in
from rca_lib.audits.mapping import Mapping
from rca_lib.audits.store import open_store
from rca_lib.findings import DataError

COLUMNS = ("audit_id", "item_id", "site", "rater", "decided_at", "label", "truth")
GOOD = "select 'A1' audit_id, 'I1' item_id, 'Lisbon' site, 'R1' rater, '2026-01-05' decided_at, 'a' label, 'a' truth"


def ask(query: str) -> Mapping:
    return Mapping(time_zone="UTC", query=query)


@pytest.fixture
def place(tmp_path):
    """A folder with a secret, a database of each kind, and a CSV of audits."""
    (tmp_path / "secret.txt").write_text("top secret")
    (tmp_path / "secret.csv").write_text("a\nsecret\n")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as engine:
        engine.execute(f"create table audits as {GOOD}; create table t as select 1 as a").fetchall()
        text = f"(select content from read_text('{tmp_path / 'secret.txt'}'))"
        engine.execute(f"create view leak as select * replace ({text} as rater) from audits").fetchall()
        rows = f"(select any_value(a) from read_csv('{tmp_path / 'secret.csv'}'))"
        engine.execute(f"create view leak_csv as select * replace ({rows} as rater) from audits").fetchall()
        engine.execute(f"create macro peek() as {text}").fetchall()
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute(f"create table audits as {GOOD}")
    database.close()
    return tmp_path


def reads(path: Path) -> list[str]:
    """Every way that a query of DuckDB could use to reach a file or the network, as a value of the column rater."""
    file, table = path / "secret.txt", path / "secret.csv"
    found = [
        f"select content from read_text('{file}')",
        f"select content::varchar from read_blob('{file}')",
        f"select any_value(a) from read_csv('{table}')",
        f"select any_value(a) from '{table}'",
        f"select any_value(columns) from sniff_csv('{table}')",
        f"select any_value(file) from glob('{path}/*')",
        "select any_value(content) from read_text('/etc/host*')",
        "select any_value(a) from read_csv('http://127.0.0.1:9/a.csv')",
        "select any_value(json) from read_json('/etc/passwd')",
        "select any_value(file_name) from parquet_metadata('/etc/passwd')",
        "select peek()",
        f"select any_value(content) from query('select content from read_text(''{file}'')')",
        f"select any_value(content) from query_table('read_text(''{file}'')')",
        "select getenv('HOME')",
    ]
    return [f"select * replace (({value}) as rater) from audits" for value in found] + ["from leak", "from leak_csv"]


def writes(path: Path) -> list[str]:
    file = path / "written.txt"
    return [
        f"copy (select 1) to '{file}'",
        f"copy audits to '{file}' (format parquet)",
        f"export database '{path / 'written'}'",
        f"attach '{file}' as other",
        f"attach '{path / 'secret.txt'}' as other",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        f"set temp_directory = '{path}'",
        f"pragma profiling_output = '{file}'",
        "create table new as select 1",
        "drop table audits",
        f"from audits; copy audits to '{file}'",
        "call pragma_version()",
        f"create secret (type http, key_id 'x'); {GOOD}",
        f"explain analyze {GOOD}",
    ]


NUMBER_OF_READS, NUMBER_OF_WRITES = len(reads(Path())), len(writes(Path()))


@pytest.mark.parametrize("number", range(NUMBER_OF_READS))
def test_a_query_on_a_duckdb_file_reads_nothing_else(place, number):
    assert take_in(place / "a.duckdb", None, mapping=ask("from audits")).kept == 1
    with pytest.raises(DataError) as stop:
        take_in(place / "a.duckdb", place / "store", mapping=ask(reads(place)[number]))
    assert "secret" not in str(stop.value)
    assert not (place / "store").exists()


@pytest.mark.parametrize("number", range(NUMBER_OF_WRITES))
def test_a_query_on_a_duckdb_file_writes_nothing_and_changes_no_setting(place, number):
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(DataError):
        take_in(place / "a.duckdb", None, mapping=ask(writes(place)[number]))
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


SQLITE_ATTACKS = [
    "attach '{place}/secret.txt' as other",
    "vacuum into '{place}/written.db'",
    "create table t as select 1",
    "delete from audits",
    "pragma journal_mode = delete",
    "select *, load_extension('{place}/a.so') from audits",
    "select readfile('/etc/passwd')",
    "select * from audits; delete from audits",
    "pragma table_info(audits)",
    "detach main",
    "drop table audits",
    "select * from pragma_database_list",
    "create virtual table v using csv(filename='{place}/secret.csv')",
]


@pytest.mark.parametrize("attack", SQLITE_ATTACKS)
def test_a_query_on_a_sqlite_file_only_selects(place, attack):
    assert take_in(place / "a.db", None, mapping=ask("with a as (select * from audits) select * from a")).kept == 1
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(DataError):
        take_in(place / "a.db", None, mapping=ask(attack.replace("{place}", str(place))))
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_query_without_a_source_reads_the_tables_that_it_names_and_nothing_else(place):
    duckdb.sql(GOOD).write_csv(str(place / "audits.csv"))
    assert take_in(None, None, mapping=ask(f"from read_csv('{place}/audits.csv', all_varchar=true)")).kept == 1
    assert take_in(None, None, mapping=ask(f"from read_csv('{place}/audit*.csv')")).kept == 1
    for query in (
        f"select *, (select content from read_text('{place}/secret.txt')) from '{place}/audits.csv'",
        f"select *, (select content from read_text('{place}/sec' || 'ret.csv')) from '{place}/audits.csv'",
        f"copy (from '{place}/audits.csv') to '{place}/audits.csv'",
        f"attach '{place}/a.duckdb' as other",
    ):
        with pytest.raises(DataError):
            take_in(None, None, mapping=ask(query))


def test_a_query_on_a_file_that_is_no_database_is_refused(place):
    duckdb.sql(GOOD).write_csv(str(place / "audits.csv"))
    duckdb.sql(GOOD).write_parquet(str(place / "audits.parquet"))
    for source in (place / "audits.csv", place / "audits.parquet", duckdb.sql(GOOD).df()):
        with pytest.raises(DataError, match=r"the mapping has a query, and .* is no database"):
            take_in(source, None, mapping=ask("select * from audits where site = 'Nowhere'"))


def test_an_engine_of_a_store_reads_the_store_only(place):
    audits = pd.DataFrame({name: ["x"] for name in COLUMNS}).assign(decided_at="2026-01-05")
    take_in(audits, place / "store", mapping=Mapping(time_zone="UTC"))
    table = open_store(place / "store")
    assert len(table.df()) == 1
    for query in (f"select content from read_text('{place}/secret.txt')", f"from '{place}/secret.csv'"):
        with pytest.raises(duckdb.Error):
            table.query("audits", query).fetchall()


def test_what_does_not_fit_into_memory_still_spills(tmp_path):
    with open_engine(tmp_path / "a.duckdb", folders=[tmp_path], memory_mb=60, spill=tmp_path / "spill") as engine:
        rows = "select range as i, repeat('x', 100) || range as s from range(600000)"
        query = f"select count(*) from (select row_number() over (order by s desc) as n from ({rows}))"
        assert engine.execute(query).fetchall() == [(600_000,)]


def test_no_other_place_in_the_package_opens_an_engine():
    package = Path(open_engine.__code__.co_filename).parents[1]
    opened = ("duckdb.connect(", "duckdb.sql(", "duckdb.query(", "duckdb.read_", "duckdb.from_")
    found = [
        path.name for path in package.rglob("*.py") if any(call in path.read_text(encoding="utf-8") for call in opened)
    ]
    assert found == ["engine.py"]


@pytest.mark.parametrize("width", [75, 400])
def test_a_wide_export_of_few_rows_is_taken_in(tmp_path, width):
    audits = duckdb.sql(GOOD).df().assign(**{f"extra {number}": "x" for number in range(width)})
    ledger = take_in(audits, tmp_path / "store", mapping=Mapping(time_zone="UTC"))
    assert ledger.kept == 1 and len(ledger.columns) > width
