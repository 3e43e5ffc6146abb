"""A report of one site holds nothing of another: its folder may be handed to the partner who runs the site."""

import base64
import json
import random
import re
import subprocess
import sys

import pandas as pd
import pytest

from rca_lib.intake.ledger import Ledger
from rca_lib.store.visibility import filter_visible, restrict_ledger

# Of each site: its name, vendor, raters, teams, the titles and places of its events, and what its bad rows hold.
MARKS = {
    "quillport": ("quillport", "vendor-quorn", "quill-rater", "quill-team", "quill-event", "quorn-event", "quoll"),
    "zanzibay": ("zanzibay", "vendor-zephyr", "zanzi-rater", "zanzi-team", "zanzi-event", "zephyr-event", "zebu"),
}
NOBODYS = ("internal-event", "secret-event", "other-vendor-event")


def write_batch(folder):
    draw, rows = random.Random(3), []
    for site, (name, vendor, rater, team, _, _, bad) in MARKS.items():
        for number in range(300):
            day = f"2026-{1 + number // 150:02}-{1 + number % 28:02} 10:{number % 60:02}"
            truth = draw.choice(["spam", "benign"])
            label = truth if draw.random() > 0.1 else draw.choice(["spam", "benign"])
            row = (f"{site}{number}", f"{site}-i{number}", name, f"{rater}{number % 5}", day, label, truth)
            rows.append((*row, vendor, team, draw.choice(["hate", "spam"]), f"a{number % 3}"))
        lost_row = ("i", name, rater, bad, bad, "spam", vendor, team, bad, "a1")
        rows += [(f"{bad}{number}", *lost_row) for number in range(60 if site == "zanzibay" else 6)]
    names = "audit_id item_id site rater decided_at label truth vendor team policy auditor"
    pd.DataFrame(rows, columns=names.split()).to_csv(folder / "audits.csv", index=False)
    events = [("all-event", "", ""), ("internal-event", "", "internal"), ("secret-event", "", "vendor:vendor-other"),
              ("other-vendor-event", "vendor=vendor-other", "")]  # fmt: skip
    for site, marks in MARKS.items():
        events += [(marks[4], f"site={site}", "all"), (marks[5], "", f"vendor:{marks[1]}")]
    table = [(f"E{n}", "external", "2026-02-10", *event) for n, event in enumerate(events)]
    table = pd.DataFrame(table, columns=["event_id", "type", "start", "title", "scope", "visibility"])
    table.to_csv(folder / "events.csv", index=False)
    targets = [("accuracy", f"site={site}", 0.9) for site in MARKS]
    targets += [("accuracy", f"vendor={marks[1]}", 0.8) for marks in MARKS.values()]
    pd.DataFrame(targets, columns=["metric", "scope", "contract"]).to_csv(folder / "targets.csv", index=False)
    (folder / "m.yml").write_text("time_zone: UTC\ndate_order: ymd\n")
    keys = "notebooks: {intake: null, ground_truth: null, portfolio: null}\nperiods: [2026-02]\n"
    files = "data: audits.csv\nmapping: m.yml\nevents: events.csv\ntargets: targets.csv\n"
    (folder / "b.yml").write_text(f"batch: b\n{files}{keys}")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("partners")
    write_batch(folder)
    command = [sys.executable, "-m", "rca_lib", "run", "b.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "reports" / "b"


@pytest.mark.parametrize("site", MARKS)
def test_no_file_of_a_site_names_anything_of_another(reports, site):
    files = [path for path in (reports / site).rglob("*") if path.is_file()]
    assert len(files) >= 5
    foreign = [mark for other, marks in MARKS.items() if other != site for mark in marks]
    for file in files:
        text = read(file)
        assert [mark for mark in (*foreign, *NOBODYS) if mark in text] == [], file


def read(file):
    """Return what a file says, the charts in it included."""
    text = file.read_text()
    charts = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text)
    return text + "".join(base64.b64decode(chart).decode() for chart in charts)


@pytest.mark.parametrize("site", MARKS)
def test_a_report_still_holds_what_is_its_own(reports, site):
    folder, marks = reports / site / "2026-02", MARKS[site]
    notebook = read(folder / "report.ipynb")
    for mark in (site, marks[4], marks[5], "all-event"):
        assert mark in notebook, mark
    lost = 60 if site == "zanzibay" else 6
    claims = " ".join(claim["sentence"] for claim in json.loads(read(folder / "claims.json"))["claims"])
    assert f"{300 + lost} rows of this site read from audits.csv: 300 kept, {lost} quarantined" in claims
    assert ("more than in the rest of the export" in claims) == (site == "zanzibay")


def test_a_restricted_ledger_adds_up_and_keeps_what_is_the_sites():
    fates = [("a", "exact duplicate", "", 2, 5, ""), ("a", "kept", "", 7, 2, "")]
    fates += [("a", "quarantined", "no truth", 3, 9, "x"), ("a", "repaired", "white space", 4, 0, "")]
    fates += [("b", "kept", "", 50, 2, ""), ("b", "repaired", "b is B", 1, 0, "")]
    ledger = Ledger(
        "f.csv", "0", 63, 57, 3, 2, 1, repairs=(("title rows", 1), ("white space", 4), ("b is B", 1)),
        reasons=(("no truth", 3, 9, "x"),), by_site=(("a", 7, 3), ("b", 50, 0)), sites=("a", "b"),
        row_status_counts=tuple(fates),
    )  # fmt: skip
    own = restrict_ledger(ledger, "a", ["2026-01"])
    assert (own.rows_read, own.kept, own.quarantined, own.exact_duplicates, own.empty) == (12, 7, 3, 2, 0)
    assert own.by_site == (("a", 7, 3),) and own.sites == ("a",) and own.row_status_counts == ()
    assert own.reasons == (("no truth", 3, 9, "x"),) and own.repairs == (("title rows", 1), ("white space", 4))
    assert own.quarantine_p_value < 0.01 and restrict_ledger(ledger, "b", []).quarantine_p_value is None
    assert "12 rows of a read from f.csv" in own.summary()


def test_an_assumption_stays_in_a_restricted_ledger_without_the_name_of_another_site():
    assumed = ("time_zone: UTC", "labels: 'b' is 'c'", "stream: abc")
    ledger = Ledger("f.csv", "0", 2, 2, 0, 0, 0, by_site=(("a", 1, 0), ("b", 1, 0)), sites=("a", "b"), assumed=assumed)
    restricted = restrict_ledger(ledger, "a", ["2026-01"])
    assert restricted.assumed == ("time_zone: UTC", "labels (the value is in the mapping)", "stream: abc")
    assert restricted.findings()[0].sentence == (
        "Assumed, not confirmed: time_zone: UTC; labels (the value is in the mapping); stream: abc."
    )
    assert restricted.to_frame().query("fate == 'assumed'")["rows"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("visibility", "scope", "shown"),
    [(word, None, True) for word in (None, "", "all", "ALL ", float("nan"), "vendor:acme", "vendor: ACME")]
    + [(word, None, False) for word in ("internal", "vendor:", "vendor:other", "vendor", "public")]
    + [("all", "vendor=acme", True), ("all", "vendor=other", False), ("", "vendor=other;site=a", False)]
    + [("internal", "site=a", False), ("", "policy=hate", True), ("all", "site=a", True)],
)
def test_a_report_shows_what_is_for_all_or_for_its_vendor(visibility, scope, shown):
    table = pd.DataFrame({"title": ["x"], "scope": [scope], "visibility": [visibility]}, dtype=object)
    assert len(filter_visible(table, "a", ["Acme"])) == shown
    if str(visibility).startswith("vendor"):
        assert filter_visible(table, "a", []).empty


def test_a_pattern_of_sites_is_shown_as_the_site():
    table = pd.DataFrame({"scope": ["site=*; policy=hate", "policy=hate", None]}, dtype=object)
    assert [*filter_visible(table, "lisbon", [])["scope"].fillna("")] == ["site=lisbon;policy=hate", "policy=hate", ""]
