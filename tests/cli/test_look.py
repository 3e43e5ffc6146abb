"""`rca look` makes one page from an export alone, and says what it does not know."""

import re
import signal
import sys

import pandas as pd
import pytest

from rca_lib.cli import main
from rca_lib.simulation.synthetic_audits import simulate_demo

COMMENT = "<script>alert('comment')</script>"


@pytest.fixture
def rca(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line in this process, in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rca", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, handler)


def write_export(path, **columns):
    """Write the audits of a site of the demo in which the audits of one queue get worse."""
    audits = simulate_demo().audits
    audits = audits[audits["site"] == "bogota"].assign(comment=COMMENT, **columns)
    audits.drop(columns=["day", "tenure", "error"]).to_csv(path, index=False)


def list_sections(page):
    return re.findall(r'<h2 id="look-\d+">([^<]+)</h2>', page)


def test_the_page_has_rates_trend_findings_unknowns_and_ledger(rca, tmp_path):
    write_export(tmp_path / "audits.csv")
    status, out, err = rca("look", "audits.csv")
    assert status == 0, err
    assert out.splitlines()[-1] == "Open audits-look.html"
    assert "bogota, 2026-03: Quality fell in queue = video_reports" in out
    page = (tmp_path / "audits-look.html").read_text(encoding="utf-8")
    assert list_sections(page) == [
        "What happened", "Strongest findings", "Not known", "Rates", "Error rate over time", "Details",
        "Rows of the export", "For a full report",
    ]  # fmt: skip
    findings = page.split("Strongest findings</h2>")[1].split("</ul>")[0]
    assert "<li>queue = video_reports: 68 errors" in findings
    assert findings.count("<li>") == 3
    assert "Whether an event explains a change" in page
    assert "table of events" in page
    assert page.count("<img") == 2
    assert "script" not in page.casefold()
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)


def test_an_export_with_foreign_names_is_read_with_a_proposed_mapping_and_the_page_says_so(rca, tmp_path):
    frame = pd.DataFrame(
        {
            "Case": [f"c{n}" for n in range(200)],
            "Post <b>ID</b>": [f"i{n}" for n in range(200)],
            "Moderator": [f"m{n % 8}" for n in range(200)],
            "Reviewed at": [f"{1 + n % 28:02d}/03/2026 10:00" for n in range(200)],
            "Decision": ["spam", "ok", "ok", "ok"] * 50,
            "Final decision": ["spam", "ok", "spam", "ok"] * 50,
        }
    )
    frame.to_csv(tmp_path / "audits.csv", index=False)
    status, out, _ = rca("look", "audits.csv", "--out", "pages/look.html")
    assert (status, out.splitlines()[-1]) == (0, "Open pages/look.html")
    page = (tmp_path / "pages" / "look.html").read_text(encoding="utf-8")
    assert "Whether the assumptions hold: site: site-1; stream: random; time_zone: UTC; benign: ok." in page
    assert "there is no earlier period to compare with" in page


def test_a_mapping_that_is_named_is_used(rca, tmp_path):
    write_export(tmp_path / "audits.csv", site="<i>Bogotá</i>")
    (tmp_path / "mapping.yml").write_text("time_zone: UTC\n")
    status, out, _ = rca("look", "audits.csv", "--mapping", "mapping.yml")
    assert status == 0
    assert "<i>Bogotá</i>, 2026-03" in out
    page = (tmp_path / "audits-look.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;Bogotá&lt;/i&gt;" in page
    assert "<i>Bogotá" not in page
    assert "assumptions" not in page


def test_an_export_that_cannot_be_used_writes_no_page(rca, tmp_path):
    (tmp_path / "audits.csv").write_text("a,b\n1,2\n")
    status, _, err = rca("look", "audits.csv")
    assert status == 1
    assert "no column looks like" in err
    assert not (tmp_path / "audits-look.html").exists()
