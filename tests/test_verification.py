"""Verification: every tampering with a small real batch is caught, or listed as not covered."""

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from rca_lib.audits.intakes import INTAKES, read_intakes
from rca_lib.audits.synthetic import simulate_audits, write_simulation
from rca_lib.batch.certificate import write_certificate
from rca_lib.batch.comparison import OF_AN_EARLIER_RUN, compare_report
from rca_lib.batch.grid import FOLDER
from rca_lib.batch.job import run_batch
from rca_lib.batch.leftovers import check_batch
from rca_lib.batch.plan import PLAN, read_plan
from rca_lib.batch.signing import check_signature
from rca_lib.batch.sources import open_source
from rca_lib.batch.verifying import list_reports, verify_folder, verify_report
from rca_lib.findings import DataError

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
DEEP, WIDE = "lisbon/2026-02", "_portfolio"
KEY = "a key of more than sixteen bytes"


def write_export(folder: Path, months: int, *, corrected: bool = False) -> Path:
    """Write an export of so many months; where `corrected`, lisbon has fewer audits in February."""
    simulation = simulate_audits(
        sites=("lisbon", "manila"), start=date(2026, 1, 1), months=3, audits_per_month=400, seed=5
    )
    write_simulation(simulation, folder)
    header, *rows = (folder / "audits.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    place = header.split(",").index("decided_at")
    days = [row.split(",")[place][:10] for row in rows]
    kept = [
        row
        for row, day in zip(rows, days, strict=True)
        if day[:7] <= f"2026-{months:02}" and not (corrected and ",lisbon," in row and day == "2026-02-10")
    ]
    (folder / "audits.csv").write_text(header + "".join(kept), encoding="utf-8")
    return folder / "audits.csv"


def make_batch(folder: Path, export: Path) -> Path:
    """Run all notebooks on an export; return the batch's folder."""
    tables = "".join(f"{name}: {export.parent / name}.csv\n" for name in ("events", "targets", "ratings"))
    (folder / "small.yml").write_text(f"batch: small\ntitle: Small & real\n{tables}", encoding="utf-8")
    job = run_batch(folder / "small.yml", data=export, reports=folder / "reports", workers=2)
    assert [outcome.error for outcome in job.outcomes if outcome.outcome == "failed"] == []
    return job.folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    for months in (2, 3):
        (folder / f"months-{months}").mkdir()
    return folder


@pytest.fixture(scope="module")
def export(place):
    return write_export(place / "months-2", 2)


@pytest.fixture(scope="module")
def batch(place, export):
    """A batch of two sites and two months, moved away from where it was made; nobody changes it."""
    shutil.copytree(make_batch(place, export), place / "batch")
    return place / "batch"


@pytest.fixture(scope="module")
def verified(batch):
    (verified,) = verify_folder(batch, workers=2)
    return verified


@pytest.fixture(scope="module")
def grown(place, batch):
    """The batch run again where it was made, on an export with a further month and a correction in February."""
    return make_batch(place, write_export(place / "months-3", 3, corrected=True))


@dataclass
class Copy:
    """A copy of one report, free to tamper with, and what it has to be."""

    place: Path
    original: Path
    run: object

    def read(self, name="report.html"):
        return (self.place / name).read_text(encoding="utf-8")

    def write(self, text, name="report.html"):
        """Replace a file, and its hash in run.json too, as somebody would who knows how reports are made."""
        (self.place / name).write_text(text, encoding="utf-8")
        record = json.loads(self.read("run.json"))
        if name != "run.json":
            record["files"][name] = hashlib.sha256(text.encode()).hexdigest()
            (self.place / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")

    def replace(self, old, new, name="report.html"):
        text = self.read(name)
        assert old in text
        self.write(text.replace(old, new, 1), name)

    def edit(self, name, change):
        content = json.loads(self.read(name))
        change(content)
        self.write(json.dumps(content, indent=1), name)

    def verify(self):
        # The batch as it is stands for the report made again: `verified` shows that they are the same bytes.
        return compare_report(self.place, self.original, self.run, title="a report")


@pytest.fixture
def copy_of(batch, verified, tmp_path):
    def copy(name):
        shutil.copytree(batch / name, tmp_path / name)
        with open_source(batch) as source:
            run, _ = source.complete(source.plan.runs[name], "2026-03-09T12:00:00+00:00")
        return Copy(tmp_path / name, batch / name, run)

    return copy


def wrong(verification):
    return {check.id for check in verification.checks if check.outcome == "wrong"}


def keep_in_plan(folder, *names):
    """Let the plan of a batch name these reports only, which is quicker to verify."""
    plan = json.loads((folder / "_audits" / PLAN).read_text(encoding="utf-8"))
    plan["runs"] = [run for run in plan["runs"] if run["folder"] in names]
    (folder / "_audits" / PLAN).write_text(json.dumps(plan), encoding="utf-8")


# what is right is verified


def test_every_page_of_a_fresh_batch_is_verified_whole(verified):
    folders = [Path(one.folder).relative_to(verified.folder).as_posix() for one in verified.verifications]
    assert folders == [
        ".", "_ground_truth", "_intake", "_portfolio", "lisbon/2026-01", "lisbon/2026-02", "manila/2026-01",
        "manila/2026-02",
    ]  # fmt: skip
    for verification in verified.verifications:
        assert verification.verdict == "verified", verification.summary()
        assert set(verification.to_frame()["outcome"]) == {"exact"}
        assert not [left for left in verification.not_covered if "report is missing" in left]


def test_an_unchanged_copy_is_verified(copy_of):
    for name in (DEEP, WIDE, "_ground_truth", "_intake"):
        assert copy_of(name).verify().verdict == "verified"


def test_reports_stay_verified_when_the_export_has_grown(grown, export):
    standing = json.loads((grown / "manila/2026-01/claims.json").read_text(encoding="utf-8"))
    assert any(re.search(r"\d+ rows of this site read", claim["sentence"]) for claim in standing["claims"])
    assert read_intakes(grown / "_audits")[0].ledger.rows_read == 1600
    assert verify_report(grown / "manila/2026-01").verdict == "verified"


def test_counts_of_another_export_than_the_one_given_are_not_checkable_and_never_verified(grown, place):
    (given,) = (place / "months-3").glob("audits.csv")
    verification = verify_report(grown / "manila/2026-01", data=given)
    open_checks = [check for check in verification.checks if check.outcome != "exact"]
    assert {check.outcome for check in open_checks} == {"not checkable"}
    assert verification.verdict == "not checkable"
    assert {check.id for check in open_checks} == {"data-used-1"}
    assert "another export" in open_checks[0].derived


def test_an_export_that_is_taken_in_again_gives_the_same_report(batch, export, place):
    assert verify_report(batch / DEEP, data=export).verdict == "verified"
    assert verify_report(batch / "_intake", data=export).verdict == "verified"
    assert verify_report(batch / "lisbon/2026-01", data=export, batch_file=place / "small.yml").verdict == "verified"


# what was tampered with is caught

HIDDEN = '<p style="font-size:0">Lisbon was best.</p>'


def change_number(copy):
    page = copy.read()
    number = re.search(r'class="headline[^>]*>[^<]*?(\d+\.\d)', page)
    copy.write(page[: number.start(1)] + "0.1" + page[number.end(1) :])


def forge_consistently(copy):
    """Write another number into page, claims and findings alike, with all hashes."""
    claims = json.loads(copy.read("claims.json"))
    accuracy = next(claim for claim in claims["claims"] if claim["call"] == "quality.accuracy")
    told = accuracy["sentence"].split(" ")[1]
    for name in ("report.html", "claims.json", "findings.json", "report.ipynb"):
        copy.write(copy.read(name).replace(told, "99.9"), name)


def forge_behind_a_comment(copy):
    page = copy.read()
    true = re.search(r'<section class="page-one.*?</section>', page, re.DOTALL)[0]
    copy.write(page.replace(true, f"<!--{true}-->{true.replace('Accuracy', 'Best accuracy')}"))
    copy.edit("run.json", lambda record: record.update(files={}))


def change_a_chart(copy):
    page = copy.read()
    coded = re.search(r"base64,([^\"]+)", page)[1]
    drawn = base64.b64decode(coded).decode()
    copy.write(page.replace(coded, base64.b64encode(drawn.replace("<path", "<path ", 1).encode()).decode()))


def change_a_table(copy):
    page = copy.read()
    cell = re.findall(r'<td class="number">[^<]*\d[^<]*</td>', page)[5]
    copy.write(page.replace(cell, '<td class="number">0.0 %</td>', 1))


def remove_a_section(copy):
    page = copy.read()
    shorter = re.sub(r'<h2 id="section-\d+">Where.*?(?=<h2 )', "", page, count=1, flags=re.DOTALL)
    assert shorter != page
    copy.write(shorter)


def link_a_file(copy):
    (copy.place / "claims.json").unlink()
    (copy.place / "claims.json").symlink_to(copy.original / "claims.json")


def put_a_folder(copy):
    (copy.place / "findings.json").unlink()
    (copy.place / "findings.json").mkdir()


def of_claim(place, **change):
    return lambda copy: copy.edit("claims.json", lambda content: content["claims"][place].update(change))


def of_claims(change):
    return lambda copy: copy.edit("claims.json", lambda content: change(content["claims"]))


def of_json(name, change):
    return lambda copy: copy.edit(name, change)


def of_page(old, new):
    return lambda copy: copy.replace(old, new)


def inject(content):
    cell = next(cell for cell in content["cells"] if "injected-parameters" in cell["metadata"].get("tags", ()))
    cell["source"] = [*cell["source"], "\n", 'store = "x"; alpha = .9']


IN_A_DEEP_DIVE = {
    "a number of page one": (change_number, {"page one", "report.html"}),
    "the same forged number everywhere": (forge_consistently, {"page one", "how-much-1", "report.ipynb"}),
    "a forged page one, the true one in a comment": (forge_behind_a_comment, {"page one", "hashes in run.json"}),
    "a word of page one": (of_page(">Accuracy", ">Quality"), {"page one"}),
    "a sentence added to page one": (of_page("</dl></section>", "<dt>Best</dt><dd>Yes</dd></dl></section>"),
                                     {"page one"}),
    "a second page one": (of_page("</dl></section>", '</dl></section><section class="page-one"></section>'),
                          {"page one (2)"}),
    "page one hidden": (of_page('<section class="page-one', '<section hidden class="page-one'),
                        {"page one", "active content"}),
    "text hidden above page one": (of_page('<section class="page-one', f'{HIDDEN}<section class="page-one'),
                                   {"active content", "report.html"}),
    "a style that hides page one": (of_page("</style>", ".page-one { display: none }</style>"), {"head of the page"}),
    "a script": (of_page("</main>", "<script>alert(1)</script></main>"), {"active content"}),
    "an event handler": (of_page("<main id", '<main onclick="x()" id'), {"active content"}),
    "an image from elsewhere": (of_page("</main>", '<img src="https://example.org/a.png"></main>'), {"active content"}),
    "no content security policy": (of_page('http-equiv="Content-Security-Policy"', 'name="x"'), {"head of the page"}),
    "a weaker content security policy": (of_page("default-src 'none'", "default-src *"), {"active content"}),
    "a page that moves on": (of_page("<head>", '<head><meta http-equiv="refresh" content="0;url=a.html">'),
                             {"active content"}),
    "a chart": (change_a_chart, {"report.html"}),
    "a number of a table": (change_a_table, {"report.html"}),
    "a section removed": (remove_a_section, {"report.html"}),
    "the title": (of_page("<title>", "<title>Best: "), {"head of the page"}),
    "a blank inside a tag": (of_page("</main>", "</main >"), {"report.html"}),
    "the value of a claim": (of_claim(1, value=0.5), {"how-much-1", "claims.json"}),
    "a claim that is no number": (of_claim(1, value=float("nan")), {"how-much-1"}),
    "the sentence of a claim": (of_claim(1, sentence="All is well."), {"how-much-1"}),
    "the interval of a claim": (of_claim(1, low=0.0), {"how-much-1"}),
    "the call of a claim": (of_claim(1, call="quality.level"), {"how-much-1"}),
    "a claim removed": (of_claims(lambda claims: claims.pop(2)), {"claims.json"}),
    "a claim added": (of_claims(lambda claims: claims.append(claims[0] | {"id": "best-1"})), {"best-1"}),
    "a claim twice": (of_claims(lambda claims: claims.append(claims[1])), {"how-much-1"}),
    "claims in another order": (of_claims(lambda claims: claims.reverse()), {"claims.json"}),
    "label settings beside the claims": (of_json("claims.json", lambda c: c.update(ledger={"benign": ["hate"]})),
                                         {"claims.json"}),
    "the verdict in the findings": (of_json("findings.json", lambda c: c.update(verdict="better")), {"findings.json"}),
    "a number of a finding": (of_json("findings.json", lambda c: c["findings"][0].update(value=0.0)),
                              {"findings.json"}),
    "an output of the notebook": (of_json("report.ipynb", lambda c: c["cells"][3].update(outputs=[])),
                                  {"report.ipynb"}),
    "a parameter of the notebook": (of_json("report.ipynb", inject), {"report.ipynb"}),
    "no hashes": (of_json("run.json", lambda c: c.update(files={})), {"hashes in run.json"}),
    "a list in place of the hashes": (of_json("run.json", lambda c: c.update(files=[])), {"hashes in run.json"}),
    "another site": (of_json("run.json", lambda c: c.update(site="manila")), {"site"}),
    "another period": (of_json("run.json", lambda c: c.update(period="2026-01")), {"period"}),
    "another parameter": (of_json("run.json", lambda c: c["parameters"].update(alpha=0.9)), {"parameters"}),
    "other audits": (of_json("run.json", lambda c: c.update(fingerprint="0" * 64)), {"fingerprint"}),
    "a run that failed": (of_json("run.json", lambda c: c.update(outcome="failed")), {"outcome"}),
    "no record": (lambda copy: (copy.place / "run.json").unlink(), {"run.json"}),
    "no page": (lambda copy: (copy.place / "report.html").unlink(), {"report.html"}),
    "no claims": (lambda copy: (copy.place / "claims.json").unlink(), {"claims.json"}),
    "no findings": (lambda copy: (copy.place / "findings.json").unlink(), {"findings.json"}),
    "no notebook": (lambda copy: (copy.place / "report.ipynb").unlink(), {"report.ipynb"}),
    "a link in place of a file": (link_a_file, {"claims.json"}),
    "a folder in place of a file": (put_a_folder, {"findings.json"}),
    "an earlier run that nobody can read": (lambda copy: (copy.place / "before.json").write_text("["), {"before.json"}),
}  # fmt: skip


@pytest.mark.parametrize("tampering", IN_A_DEEP_DIVE)
def test_a_tampered_deep_dive_is_not_verified(copy_of, tampering):
    copy, (change, expected) = copy_of(DEEP), IN_A_DEEP_DIVE[tampering]
    change(copy)
    verification = copy.verify()
    assert verification.verdict == "NOT verified"
    assert expected <= wrong(verification), verification.to_frame().to_string()


IN_OTHER_PAGES = {
    "a number of the portfolio": (WIDE, change_a_table, {"report.html"}),
    "a chart of the portfolio": (WIDE, change_a_chart, {"report.html"}),
    "a script in the portfolio": (WIDE, of_page("</main>", "<script>x()</script></main>"), {"active content"}),
    "a number of the ground truth": ("_ground_truth", change_a_table, {"report.html"}),
    "a chart of the ground truth": ("_ground_truth", change_a_chart, {"report.html"}),
    "a table beside the ground truth": (
        "_ground_truth", lambda copy: copy.write(copy.read("agenda.csv") + "1,2\n", "agenda.csv"), {"agenda.csv"},
    ),
    "a number of the intake": ("_intake", change_a_table, {"report.html"}),
    "a sentence of the intake": ("_intake", of_page("rows read", "good rows read"), {"report.html"}),
}  # fmt: skip


@pytest.mark.parametrize("tampering", IN_OTHER_PAGES)
def test_a_tampered_page_over_all_sites_is_not_verified(copy_of, tampering):
    name, change, expected = IN_OTHER_PAGES[tampering]
    copy = copy_of(name)
    change(copy)
    assert expected <= wrong(copy.verify())


def test_a_further_file_is_reported_and_the_report_is_not_verified(copy_of):
    copy = copy_of(DEEP)
    (copy.place / "board.html").write_text("All is well.")
    (copy.place / ".DS_Store").touch()
    verification = copy.verify()
    assert verification.verdict == "not checkable"
    assert [check.id for check in verification.checks if check.outcome != "exact"] == ["board.html"]


def test_a_report_that_claims_another_version_is_never_verified_unless_it_is_the_same(copy_of):
    copy = copy_of(DEEP)
    copy.edit("run.json", lambda record: record["inputs"].update(library="0" * 64))
    assert copy.verify().verdict == "verified"
    copy.replace("below", "far below")
    verification = copy.verify()
    assert verification.verdict == "not checkable"
    assert any("another version of rca_lib" in check.derived for check in verification.checks)
    forge_consistently(copy)
    assert "how-much-1" in wrong(copy.verify())
    copy.replace(" errors in ", "9 errors in ")
    assert "how-much-1" in wrong(copy.verify())
    copy.replace("</dl></section>", '<p id="claim-best-1">All is well.</p></dl></section>')
    assert "best-1" in wrong(copy.verify())


def test_what_an_earlier_run_said_is_listed_as_not_covered(grown):
    assert (grown / "lisbon/2026-02/before.json").exists()
    verification = verify_report(grown / "lisbon/2026-02")
    assert verification.verdict == "verified"
    assert OF_AN_EARLIER_RUN in verification.not_covered


def test_a_replayed_older_report_is_not_verified(copy_of, batch, grown):
    copy = copy_of(DEEP)
    with open_source(grown) as source:
        copy.run, _ = source.complete(source.plan.runs[DEEP], "2026-03-09T12:00:00+00:00")
    copy.original = grown / DEEP
    assert {"fingerprint", "page one", "how-much-1", "report.html"} <= wrong(copy.verify())


# the batch as a whole


def test_swapped_missing_and_foreign_reports_are_told_and_so_is_a_forged_index(batch, tmp_path):
    folder = tmp_path / "small"
    shutil.copytree(batch, folder)
    for wide in folder.glob("_[!a]*"):
        shutil.rmtree(wide)
    keep_in_plan(folder, *list_reports(folder))
    shutil.rmtree(folder / "manila/2026-02")
    shutil.copytree(folder / "lisbon/2026-02", folder / "manila/2026-02")
    shutil.rmtree(folder / "lisbon/2026-01")
    shutil.copytree(folder / "manila/2026-01", folder / "porto/2026-01")
    (folder / "index.html").write_text(
        (folder / "index.html").read_text().replace("small", "best").replace("<h1>", "<h1>x")
    )
    (folder / "summary.html").write_text("All is well.")
    (verified,) = verify_folder(folder, workers=2)
    found = {Path(one.folder).relative_to(folder).as_posix(): one for one in verified.verifications}
    assert {"site", "folder", "fingerprint", "page one", "report.html"} <= wrong(found["manila/2026-02"])
    assert [check.reported for check in found["lisbon/2026-01"].checks] == ["missing"]
    assert wrong(found["porto/2026-01"]) == {"report"}
    assert "index.html" in wrong(found["."])
    assert "summary.html" in {check.id for check in found["."].checks if check.outcome == "not checkable"}
    assert found["manila/2026-01"].verdict == "verified"
    page = write_certificate(verified, now=NOON).read_text(encoding="utf-8")
    assert "4 not verified" in page and "2026-03-09" in page
    assert "All is well" not in page and "<script" not in page


def test_a_row_of_the_store_that_was_changed_is_found(batch, tmp_path):
    folder = tmp_path / "small"
    shutil.copytree(batch, folder)
    file = folder / "_audits/site=lisbon/month=2026-01/audits.parquet"
    rows = duckdb.connect().sql(f"select * replace (1 - error as error) from '{file}'")
    rows.write_parquet(f"{file}.new")
    Path(f"{file}.new").rename(file)
    assert {"fingerprint", "how-much-1", "page one"} <= wrong(verify_report(folder / "lisbon/2026-01"))


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("ledger.json", lambda content: content.update(benign=["hate"]), "ledger: benign"),
        ("ledger.json", lambda content: content.update(kept=1500, rows_read=1500), "ledger: kept"),
        ("plan.json", lambda content: content.pop("runs"), "plan"),
    ],
)
def test_a_store_that_contradicts_itself_is_found(batch, tmp_path, name, change, expected):
    folder = tmp_path / "small"
    shutil.copytree(batch, folder)
    content = json.loads((folder / "_audits" / name).read_text(encoding="utf-8"))
    change(content)
    (folder / "_audits" / name).write_text(json.dumps(content), encoding="utf-8")
    with open_source(folder) as source:
        assert expected in wrong(check_batch(folder, folder, source, list_reports(folder)))


def test_two_batches_below_a_folder_are_checked_each_against_its_own_store(batch, grown, tmp_path):
    for name, origin in (("first", batch), ("second", grown)):
        shutil.copytree(origin / "_audits", tmp_path / name / "_audits")
        (tmp_path / name / "_audits" / PLAN).unlink()
        shutil.copytree(origin / "lisbon/2026-01", tmp_path / name / "lisbon/2026-01")
    first, second = verify_folder(tmp_path)
    assert (first.folder.name, second.folder.name) == ("first", "second")
    for verified in (first, second):
        assert verified.verifications[1].verdict == "verified"
        assert any("the store holds no plan" in left for left in verified.verifications[0].not_covered)


def test_audits_that_are_gone_are_not_checkable(batch, tmp_path):
    shutil.copytree(batch, tmp_path / "small")
    shutil.rmtree(tmp_path / "small/_audits/site=lisbon")
    verification = verify_report(tmp_path / "small/lisbon/2026-01")
    assert verification.verdict == "not checkable"
    assert "how-much-1" in {check.id for check in verification.checks}


# signatures


def test_a_signed_certificate_tells_every_later_change(batch, verified, tmp_path, monkeypatch):
    folder = tmp_path / "small"
    shutil.copytree(batch, folder)
    monkeypatch.setenv("RCA_SIGNING_KEY", KEY)
    moved = type(verified)(folder, True, True, verified.source, tuple(
        type(one)(str(folder / Path(one.folder).relative_to(batch)), one.checks, one.title, one.not_covered)
        for one in verified.verifications
    ))  # fmt: skip
    page = write_certificate(moved, now=NOON)
    assert KEY not in page.read_text() + (folder / "certificate.json").read_text()
    assert "HMAC-SHA256" in page.read_text()
    assert check_signature(folder).verdict == "verified"
    for name in ("lisbon/2026-01/report.html", "certificate.html", "index.html"):
        text = (folder / name).read_text()
        (folder / name).write_text(text + " ")
        assert name in wrong(check_signature(folder))
        (folder / name).write_text(text)
    (folder / "lisbon/2026-01/claims.json").rename(tmp_path / "claims.json")
    assert "lisbon/2026-01/claims.json" in wrong(check_signature(folder))
    (tmp_path / "claims.json").rename(folder / "lisbon/2026-01/claims.json")
    content = json.loads((folder / "certificate.json").read_text())
    content["manifest"]["reports"][0]["verdict"] = "better than verified"
    (folder / "certificate.json").write_text(json.dumps(content))
    assert wrong(check_signature(folder)) == {"signature"}
    monkeypatch.setenv("RCA_SIGNING_KEY", "another key of sixteen bytes")
    assert wrong(check_signature(folder)) == {"signature"}


def test_a_short_key_is_refused_and_not_printed(batch, verified, monkeypatch):
    monkeypatch.setenv("RCA_SIGNING_KEY", "secret")
    with pytest.raises(DataError, match="fewer than 16 bytes") as refused:
        check_signature(batch)
    assert "secret " not in str(refused.value)


# malformed records

JUNK = [None, True, -1, 1e308, 10**400, float("nan"), float("inf"), "", "x" * 5000, "../../etc", "\x1b[31m", [], {},
        [[]], {"a": {"b": []}}, "2026-03", "\ud800"]  # fmt: skip
BYTES = [b"", b"\xff\xfe", b"[]", b"null", b"{", b"[" * 100_000, b'{"claims": 1e999}', b"\x00" * 10, b'"text"', b"NaN"]


def mutate(content, rng):
    """Put junk into one place of a content of JSON, or take the place away."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(content[key], dict | list) and content[key] and rng.random() < 0.7:
            content = content[key]
            continue
        if rng.random() < 0.2:
            del content[key]
        else:
            content[key] = rng.choice(JUNK)
        return


@pytest.mark.parametrize("name", ["run.json", "claims.json", "findings.json", "report.ipynb"])
def test_a_malformed_record_is_an_outcome_and_never_a_traceback(copy_of, name):
    rng, copy = random.Random(name), copy_of(DEEP)
    text = (copy.place / name).read_bytes()
    for _ in range(60):
        content = json.loads(text)
        mutate(content, rng)
        (copy.place / name).write_text(json.dumps(content))
        verification = copy.verify()
        assert name == "run.json" or verification.verdict == "NOT verified"
        assert verification.summary().isprintable()
        assert json.dumps(verification.to_dict(), allow_nan=False)
    for junk in BYTES:
        (copy.place / name).write_bytes(junk)
        assert copy.verify().verdict == "NOT verified"


def test_a_malformed_page_is_an_outcome_and_never_a_traceback(copy_of):
    rng, copy = random.Random("page"), copy_of(DEEP)
    page = (copy.place / "report.html").read_bytes()
    for _ in range(25):
        place, junk = (
            rng.randrange(len(page)),
            rng.choice([b"<", b"<![", b"<!--", b"\xff", b"</section>", b"&#x110000;"]),
        )
        (copy.place / "report.html").write_bytes(page[:place] + junk + page[place:])
        assert "report.html" in wrong(copy.verify())


@pytest.mark.parametrize("name", [PLAN, INTAKES, "ledger.json"])
def test_a_malformed_record_of_the_store_stops_with_one_message_or_is_told(batch, tmp_path, name):
    rng, folder = random.Random(name), tmp_path / "small"
    shutil.copytree(batch, folder)
    file = folder / "_audits" / name
    text = file.read_bytes()
    contents = [json.loads(text) for _ in range(60)]
    for content in contents:
        mutate(content, rng)
    for junk in [json.dumps(content).encode() for content in contents] + BYTES:
        file.write_bytes(junk)
        try:
            with open_source(folder) as source:
                for run in source.plan.runs.values():
                    source.complete(run, rng.choice([*JUNK, "2026-03-09T12:00:00+00:00"]))
                    assert (
                        source.plan_report(rng.choice(["a/b", run.folder]), rng.choice(JUNK), rng.choice(JUNK)) is None
                    )
                check_batch(folder, folder, source, list_reports(folder))
        except DataError as told:
            assert str(told)


def test_a_plan_brings_no_code_and_leaves_no_folder(batch, tmp_path):
    content = json.loads((batch / "_audits" / PLAN).read_text())
    for change in (
        {"parameters": {"x = 1; import os": 1}},
        {"folder": "../x"},
        {"folder": "/x/y"},
        {"before": "../../x"},
    ):
        forged = json.loads(json.dumps(content))
        forged["runs"][0] |= change
        (tmp_path / PLAN).write_text(json.dumps(forged))
        with pytest.raises(DataError):
            read_plan(tmp_path)
    content["runs"][0]["notebook"] = str(tmp_path / "other.ipynb")
    (tmp_path / "other.ipynb").write_text("{}")
    (tmp_path / PLAN).write_text(json.dumps(content))
    assert {run.notebook.parent for run in read_plan(tmp_path).runs.values()} == {FOLDER}


# the command


def test_the_command_tells_the_same_to_people_and_programs(batch, tmp_path, monkeypatch):
    monkeypatch.setenv("RCA_SIGNING_KEY", KEY)
    shutil.copytree(batch / "_audits", tmp_path / "_audits")
    shutil.copytree(batch / "lisbon/2026-01", tmp_path / "lisbon/2026-01")
    keep_in_plan(tmp_path, "lisbon/2026-01", "lisbon/2026-02")
    done = rca("verify", tmp_path / "lisbon/2026-01", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"], told["verdicts"]["verified"]) == (0, 0, 1), done.stderr
    assert {check["outcome"] for check in told["reports"][0]["checks"]} == {"exact"}
    page = tmp_path / "lisbon/2026-01/report.html"
    page.write_text(page.read_text().replace(">Accuracy", ">\x1b[31mQuality", 1))
    done = rca("verify", tmp_path)
    assert done.returncode == 1 and "NOT verified" in done.stdout and "wrong: page one" in done.stdout
    assert "\x1b[31m" not in done.stdout and KEY not in done.stdout + done.stderr
    assert "missing" in done.stdout and "certificate.html" in done.stdout
    done = rca("verify", tmp_path, "--signature")
    assert done.returncode == 1 and "wrong: lisbon 2026-01" in done.stdout
    (tmp_path / "_audits/ledger.json").write_bytes(b"\xff")
    done = rca("verify", tmp_path)
    assert done.returncode == 1 and "ledger.json is damaged" in done.stderr.splitlines()[-1]


def rca(*words):
    command = [sys.executable, "-m", "rca_lib", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done
