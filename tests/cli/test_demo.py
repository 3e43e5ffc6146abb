"""The main job as its users run it: the demo, its reports, and their verification."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rca_lib.batch.batch_run import run_batch
from rca_lib.batch.batch_verification import verify_folder
from rca_lib.reporting.synthetic_notice import SYNTHETIC_NOTICE
from rca_lib.simulation.synthetic_audits import simulate_demo

ROOT = Path(__file__).resolve().parents[2]
CODES = {
    "policy_update": "TRN.UPD",
    "hiring_class": "TRN.ONB",
    "tool_release": "TOL.BUG",
    "mix_shift": "ENV.MIX",
    "truth_change": "MEA.GT_STALE",
    "sampling_change": "MEA.SAMPLE",
}
VERDICTS = {"mix_shift": "mix", "truth_change": "artefact", "sampling_change": "artefact"}
PLANTED = {(cause.site, f"{cause.start:%Y-%m}"): cause for cause in simulate_demo().causes}


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


def test_every_report_made_again_is_the_same_to_the_byte(job):
    (batch,) = verify_folder(job.folder, workers=2)
    assert len(batch.verifications) == 16  # 12 deep dives, three pages over all sites, and the rest of the batch
    for verification in batch.verifications:
        assert verification.is_verified, verification.summary()
        assert set(verification.to_frame()["outcome"]) == {"exact"}


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


def test_every_page_says_that_the_audits_are_simulated(job):
    pages = [*job.folder.glob("*/*/report.html"), job.index, *job.folder.glob("_*/report.html")]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert text.count(SYNTHETIC_NOTICE) == 1, path
        later = [text.index(mark, text.index("<main")) for mark in ("<h2", "<section", "<table") if mark in text]
        assert text.index(SYNTHETIC_NOTICE) < min(later), path


def test_comments_are_masked_unless_a_parameter_says_otherwise(job):
    comments = {comment for comment in simulate_demo().audits["comment"].dropna() if len(comment) > 20}
    for folder in every_report(job):
        text = (folder / "report.html").read_text(encoding="utf-8")
        assert not [comment for comment in comments if comment in text]
