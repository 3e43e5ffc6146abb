"""Ingestion of a real export, if it is available: no row is lost, and the numbers equal those of pandas."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rca_lib.intake.column_mapping import read_mapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.ledger import read_ledger

ROOT = Path(__file__).resolve().parents[2]
EXPORT = ROOT.parent / "shared" / "data" / "medical_relations" / "judgments.csv"

pytestmark = pytest.mark.skipif(not EXPORT.exists(), reason="the real export is not available")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("medical") / "store"
    ingest(EXPORT, folder, mapping=read_mapping(ROOT / "parameters" / "mappings" / "medical_relations.yml"))
    return folder


@pytest.fixture(scope="module")
def raw():
    return pd.read_csv(EXPORT, dtype=str, keep_default_na=False)


def test_every_row_of_the_real_export_is_accounted_for(store, raw):
    ledger = read_ledger(store)
    assert ledger.rows_read == len(raw) == 24_758
    assert (ledger.kept, ledger.quarantined, ledger.exact_duplicates, ledger.empty) == (24_758, 0, 0, 0)
    assert ledger.sites == ("AUS", "CAN", "GBR", "NLD", "USA")
    assert ledger.months == ("2014-06", "2014-07", "2015-09")
    assert (ledger.benign, ledger.label_scale) == (("no",), "binary")


def test_the_errors_by_country_and_month_equal_those_counted_with_pandas(store, raw):
    month = pd.to_datetime(raw["_created_at"], format="%m/%d/%Y %H:%M:%S").dt.strftime("%Y-%m")
    expected = (raw["judgment"] != raw["expert"]).groupby([raw["_country"], month]).agg(["sum", "count"])
    counts = {}
    for path in store.glob("site=*/month=*/audits.parquet"):
        rows = duckdb.connect().read_parquet(str(path), hive_partitioning=False).aggregate("sum(error), count(*)")
        site, month_name = path.parent.parent.name.removeprefix("site="), path.parent.name.removeprefix("month=")
        counts[site, month_name] = rows.fetchall()[0]
    assert counts == {key: tuple(row) for key, row in expected.iterrows()}


def test_a_row_can_be_traced_to_its_source(store, raw):
    paths = [str(store / "site=NLD" / "month=2015-09" / f"{name}.parquet") for name in ("audits", "sources")]
    audits, sources = (duckdb.connect().read_parquet(path, hive_partitioning=False).df() for path in paths)
    row = audits.merge(sources, on="audit_id").loc[0]
    source = raw.loc[row["source_row"] - 2]
    assert row["audit_id"] == f"{source['_id']}:{source['relation']}"
    assert row["item_id"] == f"{source['sent_id']}:{source['relation']}"
    assert (row["rater"], row["trusted"], row["vendor"]) == (
        source["_worker_id"],
        source["trusted"],
        source["_channel"],
    )
    assert row["source_file"] == "judgments.csv"
