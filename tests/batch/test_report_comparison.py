"""The comparison of a report with its reproduction: every change to any file is detected."""

import base64
import json
import random
import re

import pytest

from rca_lib.batch.verification_source import open_source

DEEP_DIVE = "lisbon/2026-02"
PORTFOLIO = "_portfolio"


def list_wrong(verification):
    return {check.id for check in verification.checks if check.outcome == "wrong"}


def test_an_unchanged_copy_is_verified(copy_of):
    for name in (DEEP_DIVE, PORTFOLIO, "_ground_truth", "_intake"):
        assert copy_of(name).verify().verdict == "verified"


HIDDEN = '<p style="font-size:0">Lisbon was best.</p>'


def change_number(copy):
    page = copy.read()
    number = re.search(r'class="headline[^>]*>[^<]*?(\d+\.\d)', page)
    copy.write(page[: number.start(1)] + "0.1" + page[number.end(1) :])


def forge_consistently(copy):
    """Write another number into page, claims and findings alike, with all hashes."""
    claims = json.loads(copy.read("claims.json"))
    accuracy = next(claim for claim in claims["claims"] if claim["call"] == "quality.accuracy")
    number = accuracy["sentence"].split(" ")[1]
    for name in ("report.html", "claims.json", "findings.json", "report.ipynb"):
        copy.write(copy.read(name).replace(number, "99.9"), name)


def forge_behind_a_comment(copy):
    page = copy.read()
    original = re.search(r'<section class="page-one.*?</section>', page, re.DOTALL)[0]
    copy.write(page.replace(original, f"<!--{original}-->{original.replace('Accuracy', 'Best accuracy')}"))
    copy.edit("run.json", lambda record: record.update(files={}))


def change_a_chart(copy):
    page = copy.read()
    encoded = re.search(r"base64,([^\"]+)", page)[1]
    chart = base64.b64decode(encoded).decode()
    copy.write(page.replace(encoded, base64.b64encode(chart.replace("<path", "<path ", 1).encode()).decode()))


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
    (copy.folder / "claims.json").unlink()
    (copy.folder / "claims.json").symlink_to(copy.original / "claims.json")


def put_a_folder(copy):
    (copy.folder / "findings.json").unlink()
    (copy.folder / "findings.json").mkdir()


def of_claim(index, **change):
    return lambda copy: copy.edit("claims.json", lambda content: content["claims"][index].update(change))


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
    "no record": (lambda copy: (copy.folder / "run.json").unlink(), {"run.json"}),
    "no page": (lambda copy: (copy.folder / "report.html").unlink(), {"report.html"}),
    "no claims": (lambda copy: (copy.folder / "claims.json").unlink(), {"claims.json"}),
    "no findings": (lambda copy: (copy.folder / "findings.json").unlink(), {"findings.json"}),
    "no notebook": (lambda copy: (copy.folder / "report.ipynb").unlink(), {"report.ipynb"}),
    "a link in place of a file": (link_a_file, {"claims.json"}),
    "a folder in place of a file": (put_a_folder, {"findings.json"}),
    "an unreadable record of an earlier run": (
        lambda copy: (copy.folder / "before.json").write_text("["), {"before.json"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("tampering", IN_A_DEEP_DIVE)
def test_a_tampered_deep_dive_is_not_verified(copy_of, tampering):
    copy, (change, expected) = copy_of(DEEP_DIVE), IN_A_DEEP_DIVE[tampering]
    change(copy)
    verification = copy.verify()
    assert verification.verdict == "NOT verified"
    assert expected <= list_wrong(verification), verification.to_frame().to_string()


IN_OTHER_PAGES = {
    "a number of the portfolio": (PORTFOLIO, change_a_table, {"report.html"}),
    "a chart of the portfolio": (PORTFOLIO, change_a_chart, {"report.html"}),
    "a script in the portfolio": (PORTFOLIO, of_page("</main>", "<script>x()</script></main>"), {"active content"}),
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
    assert expected <= list_wrong(copy.verify())


def test_an_additional_file_is_reported_and_the_report_is_not_verified(copy_of):
    copy = copy_of(DEEP_DIVE)
    (copy.folder / "board.html").write_text("All is well.")
    (copy.folder / ".DS_Store").touch()
    verification = copy.verify()
    assert verification.verdict == "not checkable"
    assert [check.id for check in verification.checks if check.outcome != "exact"] == ["board.html"]


def test_a_report_of_another_version_is_verified_only_if_it_is_the_same(copy_of):
    copy = copy_of(DEEP_DIVE)
    copy.edit("run.json", lambda record: record["inputs"].update(library="0" * 64))
    assert copy.verify().verdict == "verified"
    copy.replace("Recompute every", "Check every")
    verification = copy.verify()
    assert verification.verdict == "not checkable"
    assert any("another version of rca_lib" in check.derived for check in verification.checks)
    forge_consistently(copy)
    assert "how-much-1" in list_wrong(copy.verify())
    copy.replace(" errors in ", "9 errors in ")
    assert "how-much-1" in list_wrong(copy.verify())
    copy.replace("</dl></section>", '<p id="claim-best-1">All is well.</p></dl></section>')
    assert "best-1" in list_wrong(copy.verify())


def test_a_replayed_older_report_is_not_verified(copy_of, small_batch, extended_small_batch):
    copy = copy_of(DEEP_DIVE)
    with open_source(extended_small_batch) as source:
        copy.run, _ = source.complete_run(source.plan.runs[DEEP_DIVE], "2026-03-09T12:00:00+00:00")
    copy.original = extended_small_batch / DEEP_DIVE
    assert {"fingerprint", "page one", "how-much-1", "report.html"} <= list_wrong(copy.verify())


JUNK = [None, True, -1, 1e308, 10**400, float("nan"), float("inf"), "", "x" * 5000, "../../etc", "\x1b[31m", [], {},
        [[]], {"a": {"b": []}}, "2026-03", "\ud800"]  # fmt: skip
BYTES = [b"", b"\xff\xfe", b"[]", b"null", b"{", b"[" * 100_000, b'{"claims": 1e999}', b"\x00" * 10, b'"text"', b"NaN"]


def mutate(content, rng):
    """Replace one value of a JSON content by junk, or delete it."""
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
def test_a_malformed_record_gives_an_outcome_and_no_traceback(copy_of, name):
    rng, copy = random.Random(name), copy_of(DEEP_DIVE)
    text = (copy.folder / name).read_bytes()
    for _ in range(60):
        content = json.loads(text)
        mutate(content, rng)
        (copy.folder / name).write_text(json.dumps(content))
        verification = copy.verify()
        assert name == "run.json" or verification.verdict == "NOT verified"
        assert verification.summary().isprintable()
        assert json.dumps(verification.to_dict(), allow_nan=False)
    for junk in BYTES:
        (copy.folder / name).write_bytes(junk)
        assert copy.verify().verdict == "NOT verified"


def test_a_malformed_page_gives_an_outcome_and_no_traceback(copy_of):
    rng, copy = random.Random("page"), copy_of(DEEP_DIVE)
    page = (copy.folder / "report.html").read_bytes()
    for _ in range(25):
        position = rng.randrange(len(page))
        junk = rng.choice([b"<", b"<![", b"<!--", b"\xff", b"</section>", b"&#x110000;"])
        (copy.folder / "report.html").write_bytes(page[:position] + junk + page[position:])
        assert "report.html" in list_wrong(copy.verify())
