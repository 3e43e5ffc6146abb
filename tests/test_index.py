"""The index: every run of a batch at its place, failed ones too, made from what the runs left behind."""

import json
import re
from datetime import date
from urllib.parse import quote, unquote

import pytest

from rca_lib.audits.periods import Coverage
from rca_lib.findings import Rate
from rca_lib.questions.portfolio import Portfolio, SitePoint
from rca_lib.reporting.index import link_reports, write_index

HEADLINE = "Worse work: the error rate rose by 3.3 pp."
FAILURE = {"cell": 4, "exception": "DataError", "message": "no <b>column</b> 'label'"}


def leave_run(out, folder, *, error=None, **findings):
    place = out / folder
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps({"outcome": "failed" if error else "succeeded", "error": error}))
    if findings:
        (place / "findings.json").write_text(json.dumps(findings))


@pytest.fixture
def batch(tmp_path):
    leave_run(tmp_path, "lisbon/2026-01", headline="First.", verdict="first period", accuracy="94.1 %")
    leave_run(tmp_path, "lisbon/2026-02", headline=HEADLINE, verdict="worse", accuracy="90.8 %")
    leave_run(tmp_path, "s%C3%A3o%20%3Ci%3E/2026-02", error=FAILURE)
    leave_run(tmp_path, "_portfolio")
    leave_run(tmp_path, "_intake", error=FAILURE)
    leave_run(tmp_path, "lisbon/.2026-02.new", headline="half", verdict="worse")
    (tmp_path / "_audits" / "site=lisbon").mkdir(parents=True)
    return tmp_path


def rows_of(page):
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    return [re.split("<td[^>]*>", row) for row in table.split("<tr>")[1:]]


def test_every_run_stands_in_the_row_of_its_site_and_the_column_of_its_period(batch):
    page = write_index(batch).read_text()
    lisbon, sao = rows_of(page)
    assert [lisbon[0], sao[0]] == [f'<th scope="row">{name}</th>' for name in ("lisbon", "são &lt;i&gt;")]
    assert page.index('<th scope="col">2026-01</th>') < page.index('<th scope="col">2026-02</th>')
    assert '<span class="verdict first-period">first period</span>' in lisbon[1]
    assert f'<a href="lisbon/2026-02/report.html">{HEADLINE}</a>' in lisbon[2]
    assert "90.8 %" in lisbon[2]
    assert sao[1].startswith("–")
    assert "half" not in page


def test_a_failed_run_is_shown_as_failed_with_its_reason(batch):
    page = write_index(batch).read_text()
    failed = rows_of(page)[1][2]
    assert '<span class="verdict failed">failed</span>' in failed
    assert "DataError: no &lt;b&gt;column&lt;/b&gt; &#39;label&#39;" in failed
    assert "3 reports: 1 failed, 1 worse, 1 first period." in page


def test_links_lead_to_the_files(batch):
    page = write_index(batch).read_text()
    links = [part.split('"')[0] for part in page.split('<a href="')[1:]]
    assert len(links) == 5
    for link in links:
        assert (batch / unquote(link)).parent.joinpath("run.json").is_file(), link


def test_what_covers_all_sites_is_linked_first(batch):
    page = write_index(batch, title="Demo & more").read_text()
    assert page.index('<a href="_intake/report.html">Intake</a>') < page.index("<tbody>")
    assert page.index('<a href="_portfolio/report.html">Portfolio</a>') < page.index("<tbody>")
    assert "<title>Demo &amp; more</title>" in page


def test_the_words_that_are_used_are_explained(batch):
    page = write_index(batch).read_text()
    explained = re.findall('<dt><span class="verdict [^"]*">([^<]*)</span></dt><dd>[^<]+</dd>', page)
    assert explained == ["failed", "worse", "first period"]


def test_text_from_the_data_is_escaped(tmp_path):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    leave_run(tmp_path, f"{quote(hostile, safe='')}/2026-01", headline=hostile, verdict=hostile, accuracy=hostile)
    page = write_index(tmp_path, title=hostile).read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize("text", ["", "{", "[]", '{"outcome": "failed"}', '{"outcome": "succeeded"}'])
def test_a_record_that_cannot_be_read_is_a_failed_run(tmp_path, text):
    leave_run(tmp_path, "lisbon/2026-01")
    (tmp_path / "lisbon" / "2026-01" / "run.json").write_text(text)
    page = write_index(tmp_path).read_text()
    assert '<span class="verdict failed">failed</span>' in page
    assert "its records cannot be read" in page


def test_an_empty_batch_says_so(tmp_path):
    page = write_index(tmp_path).read_text()
    assert "No report yet." in page
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def make_portfolio(*places):
    rate = Rate(6, 100, 0.06, 0.03, 0.12)
    points = (SitePoint(site, period, rate, 0.06, 100, 0.03, 0.09, 0.5, "as the rest", "") for site, period in places)
    return Portfolio(0.06, 1.0, 0.05, (), tuple(points), Coverage(date(2026, 1, 1), date(2026, 2, 28)))


def test_the_portfolio_links_the_reports_beside_it(batch):
    portfolio = make_portfolio(("lisbon", "2026-02"), ("manila", "2026-02"))
    shown = link_reports(portfolio, batch / "._portfolio.new")
    assert shown.data["text/plain"] == "1 of 2 sites and periods have a deep dive in this batch."
    assert f'<a href="../lisbon/2026-02/report.html">{HEADLINE}</a>' in shown.data["text/html"]
    assert "2026-01" not in shown.data["text/html"]
    assert "<a" not in link_reports(portfolio, "").data["text/html"]


def test_a_report_that_stands_since_a_later_run_failed_is_marked_with_both_dates(batch):
    file = batch / "lisbon" / "2026-02" / "run.json"
    failed = {"started": "2026-04-02T10:00:00+00:00", "error": FAILURE}
    told = {"outcome": "succeeded", "started": "2026-03-02T10:00:00+00:00", "error": None, "failed": failed}
    file.write_text(json.dumps(told))
    page = write_index(batch).read_text()
    assert rows_of(page)[0][2].count('<span class="verdict stale">stale</span>') == 1
    said = "failed on 2026-04-02, this is the report of 2026-03-02: DataError: no &lt;b&gt;column&lt;/b&gt;"
    assert page.count(said) == 2 and "1 stale report" in page and HEADLINE in page
    assert "3 reports: 1 stale, 1 failed, 1 worse, 1 first period." in page


@pytest.mark.parametrize("verdict", ["too few audits", "incomplete period", "not comparable"])
def test_each_verdict_has_its_badge_and_is_explained(tmp_path, verdict):
    leave_run(tmp_path, "lisbon/2026-01", headline="x", verdict=verdict)
    page = write_index(tmp_path).read_text()
    assert f"1 report: 1 {verdict}." in page
    assert re.search(f'<dt><span class="verdict [a-z-]+">{verdict}</span></dt><dd>[^<]+</dd>', page)


def test_a_site_is_called_as_its_record_says_whatever_its_folder_is(tmp_path):
    leave_run(tmp_path, "%E6%9D%B1~20f0f883b992d97f/2026-01", headline="x", verdict="steady")
    file = tmp_path / "%E6%9D%B1~20f0f883b992d97f" / "2026-01" / "run.json"
    file.write_text(json.dumps({"outcome": "succeeded", "error": None, "site": "東京"}))
    page = write_index(tmp_path).read_text()
    assert rows_of(page)[0][0] == '<th scope="row">東京</th>'
    link = re.search('<a href="([^"#]+)">x</a>', page)[1]
    assert (tmp_path / unquote(link)).parent.joinpath("run.json").is_file()
