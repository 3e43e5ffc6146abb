"""The index of a batch: every run, including failed ones, from the records in the folders."""

import json
import re
from datetime import date
from urllib.parse import quote, unquote

import pytest

from rca_lib.audits.periods import Coverage
from rca_lib.findings import Rate
from rca_lib.questions.portfolio import Portfolio, SitePeriod
from rca_lib.reporting.index import link_reports, write_index

HEADLINE = "Worse work: the error rate rose by 3.3 pp."
FAILURE = {"cell": 4, "exception": "DataError", "message": "no <b>column</b> 'label'"}


def write_run(batch_folder, folder, *, error=None, **findings):
    report_folder = batch_folder / folder
    report_folder.mkdir(parents=True)
    (report_folder / "run.json").write_text(json.dumps({"outcome": "failed" if error else "succeeded", "error": error}))
    if findings:
        (report_folder / "findings.json").write_text(json.dumps(findings))


@pytest.fixture
def batch(tmp_path):
    write_run(tmp_path, "lisbon/2026-01", headline="First.", verdict="first period", accuracy="94.1 %")
    write_run(tmp_path, "lisbon/2026-02", headline=HEADLINE, verdict="worse", accuracy="90.8 %")
    write_run(tmp_path, "s%C3%A3o%20%3Ci%3E/2026-02", error=FAILURE)
    write_run(tmp_path, "_portfolio")
    write_run(tmp_path, "_intake", error=FAILURE)
    write_run(tmp_path, "lisbon/.2026-02.new", headline="half", verdict="worse")
    (tmp_path / "_audits" / "site=lisbon").mkdir(parents=True)
    return tmp_path


def split_rows(page):
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    return [re.split("<td[^>]*>", row) for row in table.split("<tr>")[1:]]


def test_every_run_is_in_the_row_of_its_site_and_the_column_of_its_period(batch):
    page = write_index(batch).read_text()
    lisbon, sao = split_rows(page)
    assert [lisbon[0], sao[0]] == [f'<th scope="row">{name}</th>' for name in ("lisbon", "são &lt;i&gt;")]
    assert page.index('<th scope="col">2026-01</th>') < page.index('<th scope="col">2026-02</th>')
    assert '<span class="verdict first-period">baseline</span>' in lisbon[1]
    assert f'<a href="lisbon/2026-02/report.html">{HEADLINE}</a>' in lisbon[2]
    assert "90.8 %" in lisbon[2]
    assert sao[1].startswith("–")
    assert "half" not in page


def test_a_failed_run_is_shown_with_its_reason(batch):
    page = write_index(batch).read_text()
    failed = split_rows(page)[1][2]
    assert '<span class="verdict failed">failed</span>' in failed
    assert "DataError: no &lt;b&gt;column&lt;/b&gt; &#39;label&#39;" in failed
    assert "3 reports: 1 failed, 1 worse, 1 baseline." in page


def test_links_lead_to_existing_files(batch):
    page = write_index(batch).read_text()
    links = [text.split('"')[0] for text in page.split('<a href="')[1:]]
    assert len(links) == 5
    for link in links:
        assert (batch / unquote(link)).parent.joinpath("run.json").is_file(), link


def test_reports_on_all_sites_are_linked_first(batch):
    page = write_index(batch, title="Demo & more").read_text()
    assert page.index('<a href="_intake/report.html">Intake</a>') < page.index("<tbody>")
    assert page.index('<a href="_portfolio/report.html">Portfolio</a>') < page.index("<tbody>")
    assert "<title>Demo &amp; more</title>" in page


def test_the_verdicts_in_use_are_explained(batch):
    page = write_index(batch).read_text()
    explained = re.findall('<dt><span class="verdict [^"]*">([^<]*)</span></dt><dd>[^<]+</dd>', page)
    assert explained == ["failed", "worse", "baseline"]


def test_text_from_the_data_is_escaped(tmp_path):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    write_run(tmp_path, f"{quote(hostile, safe='')}/2026-01", headline=hostile, verdict=hostile, accuracy=hostile)
    page = write_index(tmp_path, title=hostile).read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("text", ["", "{", "[]", '{"outcome": "failed"}', '{"outcome": "succeeded"}'])
def test_an_unreadable_record_is_a_failed_run(tmp_path, text):
    write_run(tmp_path, "lisbon/2026-01")
    (tmp_path / "lisbon" / "2026-01" / "run.json").write_text(text)
    page = write_index(tmp_path).read_text()
    assert '<span class="verdict failed">failed</span>' in page
    assert "its records cannot be read" in page


def test_an_empty_batch_has_no_reports(tmp_path):
    page = write_index(tmp_path).read_text()
    assert "No report yet." in page
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def make_portfolio(*site_periods):
    rate = Rate(6, 100, 0.06, 0.03, 0.12)
    points = (
        SitePeriod(site, period, rate, 0.06, 100, 0.03, 0.09, 0.5, "as the rest", "") for site, period in site_periods
    )
    return Portfolio(0.06, 1.0, 0.05, (), tuple(points), Coverage(date(2026, 1, 1), date(2026, 2, 28)))


def test_the_portfolio_links_the_reports_of_its_batch(batch):
    portfolio = make_portfolio(("lisbon", "2026-02"), ("manila", "2026-02"))
    display = link_reports(portfolio, batch / "._portfolio.new")
    assert display.data["text/plain"] == "1 of 2 sites and periods have a deep dive in this batch."
    assert f'<a href="../lisbon/2026-02/report.html">{HEADLINE}</a>' in display.data["text/html"]
    assert "2026-01" not in display.data["text/html"]
    assert "<a" not in link_reports(portfolio, "").data["text/html"]


def test_an_earlier_report_after_a_failed_run_is_marked_with_both_dates(batch):
    file = batch / "lisbon" / "2026-02" / "run.json"
    failed_run = {"started": "2026-04-02T10:00:00+00:00", "error": FAILURE}
    record = {"outcome": "succeeded", "started": "2026-03-02T10:00:00+00:00", "error": None, "failed": failed_run}
    file.write_text(json.dumps(record))
    page = write_index(batch).read_text()
    assert split_rows(page)[0][2].count('<span class="verdict stale">stale</span>') == 1
    reason = "the run of 2026-04-02 failed, this is the report of 2026-03-02: DataError: no &lt;b&gt;column&lt;/b&gt;"
    assert page.count(reason) == 2 and "1 stale report" in page and HEADLINE in page
    assert "3 reports: 1 stale, 1 failed, 1 worse, 1 baseline." in page


@pytest.mark.parametrize("verdict", ["too few audits", "incomplete period", "not comparable"])
def test_each_verdict_has_a_badge_and_an_explanation(tmp_path, verdict):
    write_run(tmp_path, "lisbon/2026-01", headline="x", verdict=verdict)
    page = write_index(tmp_path).read_text()
    assert f"1 report: 1 {verdict}." in page
    assert re.search(f'<dt><span class="verdict [a-z-]+">{verdict}</span></dt><dd>[^<]+</dd>', page)


def test_a_site_has_the_name_of_its_record_whatever_its_folder(tmp_path):
    write_run(tmp_path, "%E6%9D%B1~20f0f883b992d97f/2026-01", headline="x", verdict="steady")
    file = tmp_path / "%E6%9D%B1~20f0f883b992d97f" / "2026-01" / "run.json"
    file.write_text(json.dumps({"outcome": "succeeded", "error": None, "site": "東京"}))
    page = write_index(tmp_path).read_text()
    assert split_rows(page)[0][0] == '<th scope="row">東京</th>'
    link = re.search('<a href="([^"#]+)">x</a>', page)[1]
    assert (tmp_path / unquote(link)).parent.joinpath("run.json").is_file()
