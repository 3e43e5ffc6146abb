"""A batch of the real export: reports for its countries and months, with the rates that pandas counts."""

import json
from pathlib import Path

import pandas as pd
import pytest

from rca_lib.batch.batch_run import run_batch
from rca_lib.batch.batch_verification import verify_report

ROOT = Path(__file__).resolve().parents[1]
EXPORT = ROOT.parent / "shared" / "data" / "medical_relations" / "judgments.csv"

pytestmark = pytest.mark.skipif(not EXPORT.exists(), reason="the real export is not available")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    reports = tmp_path_factory.mktemp("reports")
    return run_batch(ROOT / "parameters" / "medical_relations.yml", data=EXPORT, reports=reports)


@pytest.fixture(scope="module")
def expected_counts():
    """Return errors and audits by country and month of submission, counted with pandas alone."""
    table = pd.read_csv(EXPORT, keep_default_na=False)
    month = pd.to_datetime(table["_created_at"], format="%m/%d/%Y %H:%M:%S").dt.strftime("%Y-%m")
    wrong = table["judgment"] != table["expert"]
    return wrong.groupby([table["_country"], month]).agg(["sum", "size"])


def test_every_country_and_month_has_a_report(job, expected_counts):
    assert [outcome.error for outcome in job.outcomes if outcome.outcome == "failed"] == []
    reports = {(path.parents[1].name, path.parent.name) for path in job.folder.glob("*/*/claims.json")}
    assert reports == set(expected_counts.index)


def test_the_rates_equal_those_counted_with_pandas(job, expected_counts):
    for (country, month), counts in expected_counts.iterrows():
        claims = json.loads((job.folder / country / month / "claims.json").read_text(encoding="utf-8"))["claims"]
        accuracy = next(
            claim for claim in claims if claim["call"] == "quality.accuracy" and claim["id"] == "how-much-1"
        )
        assert accuracy["value"] == pytest.approx(1 - counts["sum"] / counts["size"], abs=1e-12)
        assert f"{counts['sum']:,} errors in {counts['size']:,} audits" in accuracy["sentence"]
        assert "unweighted" in accuracy["sentence"]


def test_every_row_is_accounted_for(job):
    ledger = job.ledger
    assert ledger.rows_read == 24_758 == ledger.kept + ledger.quarantined + ledger.exact_duplicates + ledger.empty


def test_a_report_is_verified_against_a_new_ingestion_of_the_export(job):
    verification = verify_report(job.folder / "NLD" / "2015-09", data=EXPORT)
    assert verification.verdict == "verified", verification.summary()
