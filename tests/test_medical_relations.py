"""The real export, all the way: reports for its countries and months, with the rates that plain pandas counts."""

import json
from pathlib import Path

import pandas as pd
import pytest

from rca_lib.batch.job import run_batch
from rca_lib.batch.verifying import verify_report

ROOT = Path(__file__).resolve().parents[1]
EXPORT = ROOT.parent / "shared" / "data" / "medical_relations" / "judgments.csv"

pytestmark = pytest.mark.skipif(not EXPORT.exists(), reason="the real export is not on this machine")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    reports = tmp_path_factory.mktemp("reports")
    return run_batch(ROOT / "parameters" / "medical_relations.yml", data=EXPORT, reports=reports)


@pytest.fixture(scope="module")
def plain():
    """Errors and audits by country and month of submission, counted with pandas and nothing else."""
    table = pd.read_csv(EXPORT, keep_default_na=False)
    month = pd.to_datetime(table["_created_at"], format="%m/%d/%Y %H:%M:%S").dt.strftime("%Y-%m")
    wrong = table["judgment"] != table["expert"]
    return wrong.groupby([table["_country"], month]).agg(["sum", "size"])


def test_every_country_and_month_has_a_report(job, plain):
    assert [outcome.error for outcome in job.outcomes if outcome.outcome == "failed"] == []
    made = {(path.parents[1].name, path.parent.name) for path in job.folder.glob("*/*/claims.json")}
    assert made == set(plain.index)


def test_their_rates_are_what_pandas_counts(job, plain):
    for (country, month), counted in plain.iterrows():
        claims = json.loads((job.folder / country / month / "claims.json").read_text(encoding="utf-8"))["claims"]
        accuracy = next(
            claim for claim in claims if claim["call"] == "quality.accuracy" and claim["id"] == "how-much-1"
        )
        assert accuracy["value"] == pytest.approx(1 - counted["sum"] / counted["size"], abs=1e-12)
        assert f"{counted['sum']:,} errors in {counted['size']:,} audits" in accuracy["sentence"]
        assert "unweighted" in accuracy["sentence"]


def test_every_row_is_accounted_for(job):
    ledger = job.ledger
    assert ledger.rows_read == 24_758 == ledger.kept + ledger.quarantined + ledger.exact_duplicates + ledger.empty


def test_the_reports_hold_when_the_export_is_taken_in_again(job):
    verification = verify_report(job.folder / "NLD" / "2015-09", data=EXPORT)
    assert verification.holds, verification.summary()
