"""A DuckDB connection reaches only what it is opened for: neither a query nor a view reaches anything else."""

import sqlite3
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.io.duckdb_connection import connect_duckdb
from rca_lib.store.cases import open_store

COLUMNS = ("audit_id", "item_id", "site", "rater", "decided_at", "label", "truth")
GOOD = "select 'A1' audit_id, 'I1' item_id, 'Lisbon' site, 'R1' rater, '2026-01-05' decided_at, 'a' label, 'a' truth"


def ask(query: str) -> ColumnMapping:
    return ColumnMapping(time_zone="UTC", query=query)


@pytest.fixture
def folder(tmp_path):
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


def list_read_queries(path: Path) -> list[str]:
    """Every way in which a DuckDB query could reach a file or the network, as a value of the column rater."""
    file, table = path / "secret.txt", path / "secret.csv"
    values = [
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
    return [f"select * replace (({value}) as rater) from audits" for value in values] + ["from leak", "from leak_csv"]


def list_write_queries(path: Path) -> list[str]:
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


NUMBER_OF_READS, NUMBER_OF_WRITES = len(list_read_queries(Path())), len(list_write_queries(Path()))


@pytest.mark.parametrize("number", range(NUMBER_OF_READS))
def test_a_query_on_a_duckdb_file_reads_nothing_else(folder, number):
    assert ingest(folder / "a.duckdb", None, mapping=ask("from audits")).kept == 1
    with pytest.raises(DataError) as error_info:
        ingest(folder / "a.duckdb", folder / "store", mapping=ask(list_read_queries(folder)[number]))
    assert "secret" not in str(error_info.value)
    assert not (folder / "store").exists()


@pytest.mark.parametrize("number", range(NUMBER_OF_WRITES))
def test_a_query_on_a_duckdb_file_writes_nothing_and_changes_no_setting(folder, number):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError):
        ingest(folder / "a.duckdb", None, mapping=ask(list_write_queries(folder)[number]))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


SQLITE_ATTACKS = [
    "attach '{folder}/secret.txt' as other",
    "vacuum into '{folder}/written.db'",
    "create table t as select 1",
    "delete from audits",
    "pragma journal_mode = delete",
    "select *, load_extension('{folder}/a.so') from audits",
    "select readfile('/etc/passwd')",
    "select * from audits; delete from audits",
    "pragma table_info(audits)",
    "detach main",
    "drop table audits",
    "select * from pragma_database_list",
    "create virtual table v using csv(filename='{folder}/secret.csv')",
]


@pytest.mark.parametrize("attack", SQLITE_ATTACKS)
def test_a_query_on_a_sqlite_file_only_selects(folder, attack):
    assert ingest(folder / "a.db", None, mapping=ask("with a as (select * from audits) select * from a")).kept == 1
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError):
        ingest(folder / "a.db", None, mapping=ask(attack.replace("{folder}", str(folder))))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_query_without_a_source_reads_only_the_tables_that_it_names(folder):
    duckdb.sql(GOOD).write_csv(str(folder / "audits.csv"))
    assert ingest(None, None, mapping=ask(f"from read_csv('{folder}/audits.csv', all_varchar=true)")).kept == 1
    assert ingest(None, None, mapping=ask(f"from read_csv('{folder}/audit*.csv')")).kept == 1
    for query in (
        f"select *, (select content from read_text('{folder}/secret.txt')) from '{folder}/audits.csv'",
        f"select *, (select content from read_text('{folder}/sec' || 'ret.csv')) from '{folder}/audits.csv'",
        f"copy (from '{folder}/audits.csv') to '{folder}/audits.csv'",
        f"attach '{folder}/a.duckdb' as other",
    ):
        with pytest.raises(DataError):
            ingest(None, None, mapping=ask(query))


def test_a_query_on_a_file_that_is_not_a_database_is_rejected(folder):
    duckdb.sql(GOOD).write_csv(str(folder / "audits.csv"))
    duckdb.sql(GOOD).write_parquet(str(folder / "audits.parquet"))
    for source in (folder / "audits.csv", folder / "audits.parquet", duckdb.sql(GOOD).df()):
        with pytest.raises(DataError, match=r"the mapping has a query, and .* is not a database"):
            ingest(source, None, mapping=ask("select * from audits where site = 'Nowhere'"))


def test_the_connection_of_a_store_reads_only_the_store(folder):
    audits = pd.DataFrame({name: ["x"] for name in COLUMNS}).assign(decided_at="2026-01-05")
    ingest(audits, folder / "store", mapping=ColumnMapping(time_zone="UTC"))
    table = open_store(folder / "store")
    assert len(table.df()) == 1
    for query in (f"select content from read_text('{folder}/secret.txt')", f"from '{folder}/secret.csv'"):
        with pytest.raises(duckdb.Error):
            table.query("audits", query).fetchall()


def test_data_beyond_the_memory_limit_spills_to_disk(tmp_path):
    with connect_duckdb(
        tmp_path / "a.duckdb", folders=[tmp_path], memory_mb=60, spill_folder=tmp_path / "spill"
    ) as engine:
        rows = "select range as i, repeat('x', 100) || range as s from range(600000)"
        query = f"select count(*) from (select row_number() over (order by s desc) as n from ({rows}))"
        assert engine.execute(query).fetchall() == [(600_000,)]


def test_no_other_module_opens_a_duckdb_connection():
    package = Path(connect_duckdb.__code__.co_filename).parents[1]
    opened = ("duckdb.connect(", "duckdb.sql(", "duckdb.query(", "duckdb.read_", "duckdb.from_")
    rogue_modules = [
        path.name for path in package.rglob("*.py") if any(call in path.read_text(encoding="utf-8") for call in opened)
    ]
    assert rogue_modules == ["duckdb_connection.py"]


@pytest.mark.parametrize("width", [75, 400])
def test_a_wide_export_of_few_rows_is_ingested(tmp_path, width):
    audits = duckdb.sql(GOOD).df().assign(**{f"extra {number}": "x" for number in range(width)})
    ledger = ingest(audits, tmp_path / "store", mapping=ColumnMapping(time_zone="UTC"))
    assert ledger.kept == 1 and len(ledger.columns) > width
