"""The main job as its users run it: the demo, its reports, their verification, and what tampering does to them."""

import json
import re
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from rca_lib.audits.synthetic import demo_simulation
from rca_lib.batch.certificate import verify_folder, write_certificate
from rca_lib.batch.job import run_batch

ROOT = Path(__file__).resolve().parents[1]
CODES = {
    "policy_update": "TRN.UPD",
    "hiring_class": "TRN.ONB",
    "tool_release": "TOL.BUG",
    "mix_shift": "ENV.MIX",
    "truth_change": "MEA.GT_STALE",
    "sampling_change": "MEA.SAMPLE",
}
VERDICTS = {"mix_shift": "mix", "truth_change": "artefact", "sampling_change": "artefact"}
PLANTED = {(cause.site, f"{cause.start:%Y-%m}"): cause for cause in demo_simulation().causes}


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return run_batch(ROOT / "parameters" / "demo.yml", reports=tmp_path_factory.mktemp("reports"))


def findings_of(job, site, period):
    return json.loads((job.folder / site / period / "findings.json").read_text(encoding="utf-8"))


def every_report(job):
    return sorted(path.parent for path in job.folder.glob("*/*/claims.json"))


def test_every_run_of_four_sites_and_three_months_succeeds(job):
    assert [outcome.error for outcome in job.outcomes if outcome.outcome == "failed"] == []
    assert len(every_report(job)) == 12
    assert job.index.name == "index.html"


@pytest.mark.parametrize(("site", "period"), sorted(PLANTED))
def test_a_planted_cause_is_named_at_its_site_and_period(job, site, period):
    cause = PLANTED[site, period]
    found = findings_of(job, site, period)
    named = [finding for finding in found["findings"] if finding["question"] == "causes"]
    assert found["verdict"] == VERDICTS.get(cause.kind, "worse"), found["headline"]
    assert CODES[cause.kind] in [finding["kind"] for finding in named]
    assert named[0]["kind"] == CODES[cause.kind]
    if cause.kind in ("policy_update", "tool_release"):
        assert named[0]["where"].items() >= dict(cause.where).items()
        assert named[0]["grade"] == "likely"
        assert named[0]["since"][1] <= cause.start.isoformat() <= named[0]["since"][2]


def test_where_nothing_was_planted_the_report_stays_quiet(job):
    quiet = {"krakow": "steady"}
    for site, verdict in quiet.items():
        for period in ("2026-02", "2026-03"):
            found = findings_of(job, site, period)
            assert found["verdict"] in (verdict, "not proven"), found["headline"]
            assert [one for one in found["findings"] if one["question"] == "causes"] == []
    for site in ("bogota", "krakow", "lisbon", "manila"):
        assert findings_of(job, site, "2026-01")["verdict"] == "first period"


def test_every_claim_is_derived_again_to_the_last_digit(job):
    verifications = list(verify_folder(job.folder, workers=2))
    assert len(verifications) == 12
    for verification in verifications:
        assert verification.holds, verification.summary()
        assert set(verification.to_frame()["outcome"]) == {"exact"}


@pytest.fixture
def report(job, tmp_path):
    """A copy of one report with the audits it was made from, free to tamper with."""
    shutil.copytree(job.folder / "_audits", tmp_path / "_audits")
    shutil.copytree(job.folder / "lisbon" / "2026-03", tmp_path / "lisbon" / "2026-03")
    return tmp_path / "lisbon" / "2026-03"


def wrong(report):
    (verification,) = verify_folder(report)
    assert not verification.holds
    return {check.id for check in verification.checks if check.outcome == "wrong"}


def test_a_tampered_claim_fails(report):
    claims = json.loads((report / "claims.json").read_text(encoding="utf-8"))
    claims["claims"][1]["value"] += 0.01
    (report / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    assert claims["claims"][1]["id"] in wrong(report)


def test_a_certificate_says_what_was_verified_and_what_was_not(report):
    claims = json.loads((report / "claims.json").read_text(encoding="utf-8"))
    claims["claims"][1]["sentence"] = "<script>alert(1)</script>"
    (report / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    batch = report.parents[1]
    certificate = write_certificate(batch, list(verify_folder(batch)), now=datetime(2026, 11, 28, tzinfo=UTC))
    page = certificate.read_text(encoding="utf-8")
    assert "0 of 1 report verified; 1 not verified" in page and "NOT verified" in page
    assert 'href="lisbon/2026-03/report.html"' in page and "2026-11-28" in page
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
    assert write_certificate(report, [], now=datetime(2026, 11, 28, tzinfo=UTC)) is None


def test_a_claim_taken_away_fails(report):
    claims = json.loads((report / "claims.json").read_text(encoding="utf-8"))
    gone = claims["claims"].pop(2)
    (report / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    assert gone["id"] in wrong(report)


def test_a_number_changed_in_the_html_fails_even_where_the_hash_is_changed_too(report):
    import hashlib

    page = (report / "report.html").read_text(encoding="utf-8")
    headline = re.search(r'class="headline[^>]*>([^<]*)<', page)[1]
    forged = page.replace(headline, headline.replace("9", "8", 1), 1)
    assert forged != page
    (report / "report.html").write_text(forged, encoding="utf-8")
    run = json.loads((report / "run.json").read_text(encoding="utf-8"))
    run["files"]["report.html"] = hashlib.sha256(forged.encode()).hexdigest()
    (report / "run.json").write_text(json.dumps(run), encoding="utf-8")
    assert "page one" in wrong(report)


def test_tampered_audits_fail(report):
    file = next((report.parents[1] / "_audits").glob("site=lisbon/month=2026-03/audits.parquet"))
    rows = duckdb.connect().sql(f"select * replace (1 - error as error) from '{file}' limit 4000")
    rows.write_parquet(str(file) + ".new")
    Path(str(file) + ".new").rename(file)
    assert {"fingerprint", "what-happened-1"} <= wrong(report)


def test_audits_that_are_gone_are_not_checkable(report):
    shutil.rmtree(report.parents[1] / "_audits" / "site=lisbon")
    (verification,) = verify_folder(report)
    assert not verification.holds
    assert set(verification.to_frame()["outcome"]) == {"not checkable"}


def test_a_second_run_of_the_same_audits_writes_the_same_claims(job, tmp_path):
    again = run_batch(ROOT / "parameters" / "demo.yml", reports=tmp_path, site="lisbon", period="2026-03", workers=1)
    for name in ("claims.json", "findings.json"):
        first = (job.folder / "lisbon" / "2026-03" / name).read_bytes()
        assert (again.folder / "lisbon" / "2026-03" / name).read_bytes() == first


class Page(HTMLParser):
    """Collects what a report refers to and holds."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references, self.alternatives, self.handlers = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        self.references += [values[name] for name in ("src", "href") if values.get(name)]
        self.handlers += [name for name in values if name.startswith("on")]
        if tag == "img":
            self.alternatives.append(values.get("alt"))


def test_reports_hold_no_script_and_ask_nobody_for_anything(job):
    pages = [*job.folder.glob("*/*/report.html"), job.index, *job.folder.glob("_*/report.html")]
    assert len(pages) >= 14
    for path in pages:
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert not page.tags & {"script", "iframe", "object", "embed", "form", "link"}, path
        assert page.handlers == []
        outside = [one for one in page.references if not one.startswith(("#", "data:"))]
        assert [one for one in outside if re.match(r"[a-z]+:|//", one)] == []
        assert "default-src 'none'" in text
        assert all(page.alternatives)


def test_comments_are_masked_unless_a_parameter_says_otherwise(job):
    comments = {comment for comment in demo_simulation().audits["comment"].dropna() if len(comment) > 20}
    for folder in every_report(job):
        text = (folder / "report.html").read_text(encoding="utf-8")
        assert not [comment for comment in comments if comment in text]
