"""Claims of somebody else against audits whose right answer is known."""

import numpy as np
import openpyxl
import pandas as pd
import pytest
from docx import Document
from pptx import Presentation
from pptx.util import Inches
from typer.testing import CliRunner

from rca_lib.audits.intake import take_in
from rca_lib.batch.claims import check_claim_file, write_claim_report
from rca_lib.cli import app
from rca_lib.findings import DataError
from rca_lib.reporting.claim_checks import check_claims
from rca_lib.reporting.claim_files import ExternalClaim, read_claims

MONTHS = ("2026-01", "2026-02")


def _audits(site, rates, *, audits=600, streams=("random", "random"), hard=(0.0, 0.0), stale=(0.0, 0.0), seed=0):
    """Return two months of audits of a site whose numbers of errors are exact, each queue apart."""
    rng, rows = np.random.default_rng(seed), []
    for month, (name, rate) in enumerate(zip(MONTHS, rates, strict=True)):
        for number in range(audits):
            queue = "hard" if number < hard[month] * audits else "easy"
            chance = 0.4 if queue == "hard" else rate
            old = number % 100 < 100 * stale[month]
            wrong = old or (number * 0.61803398875) % 1 < chance
            rows.append({
                "audit_id": f"{site}-{name}-{number}", "item_id": f"{site}-{name}-{number}", "site": site,
                "rater": f"r{rng.integers(12)}", "decided_at": f"{name}-{number % 27 + 1:02d}T10:00:00Z",
                "label": "benign", "truth": "hate" if wrong else "benign", "queue": queue, "stream": streams[month],
                "policy": "hate" if number % 3 else "spam", "policy_version_decided": "v1",
                "policy_version_audited": "v2" if old else "v1",
            })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    tables = [
        _audits("steady", (0.05, 0.06)),
        _audits("fallen", (0.05, 0.153)),
        _audits("mixed", (0.05, 0.05), hard=(0.1, 0.5)),
        _audits("stale", (0.05, 0.05), stale=(0.0, 0.15)),
        _audits("switched", (0.05, 0.25), streams=("random", "targeted")),
    ]
    pd.concat(tables).to_csv(folder / "audits.csv", index=False)
    take_in(folder / "audits.csv", folder / "store")
    return folder


def _check(store, metric, scope, value, *, period="2026-02", compared_with="", tolerance=""):
    claim = ExternalClaim("row 2", "", metric, scope, period, compared_with, value, tolerance)
    return check_claims([claim], store / "store").checks[0]


def _rate(store, site, month):
    audits = pd.read_csv(store / "audits.csv")
    chosen = audits[(audits["site"] == site) & audits["decided_at"].str.startswith(month)]
    return float((chosen["label"] != chosen["truth"]).mean())


def test_a_number_to_its_last_digit_is_exact_and_a_rounded_one_within_rounding(store):
    rate = _rate(store, "fallen", "2026-02")
    assert _check(store, "error rate", "site=fallen", repr(rate)).outcome == "exact"
    assert _check(store, "accuracy", "site=fallen", f"{1 - rate:.1%}").outcome == "within rounding"


def test_a_wrong_number_comes_with_the_right_one(store):
    rate = _rate(store, "fallen", "2026-02")
    check = _check(store, "error rate", "site=fallen", f"{rate + 0.002:.1%}")
    assert (check.outcome, check.derived.value) == ("wrong", pytest.approx(rate))
    assert "The audits give 15." in check.explanation


def test_a_stated_tolerance_is_allowed(store):
    rate = _rate(store, "fallen", "2026-02")
    assert _check(store, "error rate", "site=fallen", f"{rate + 0.002:.1%}", tolerance="0.5 pp").holds


def test_counts_are_exact(store):
    audits = pd.read_csv(store / "audits.csv")
    chosen = audits[(audits["site"] == "fallen") & audits["decided_at"].str.startswith("2026-02")]
    wrong = chosen["label"] != chosen["truth"]
    assert _check(store, "sample size", "site=fallen", "600").outcome == "exact"
    assert _check(store, "errors", "site=fallen", str(wrong.sum())).outcome == "exact"
    assert _check(store, "raters", "site=fallen", str(chosen["rater"].nunique())).outcome == "exact"
    share = wrong[chosen["policy"] == "hate"].sum() / wrong.sum()
    check = _check(store, "share of errors", "site=fallen; policy=hate", f"{share:.1%}")
    assert (check.outcome, check.derived.value) == ("within rounding", pytest.approx(share))


def test_a_change_that_is_proven_holds_and_its_sign_may_be_in_the_name_of_the_metric(store):
    change = _rate(store, "fallen", "2026-02") - _rate(store, "fallen", "2026-01")
    assert _check(store, "change in error rate", "site=fallen", f"{100 * change:+.1f} pp").holds
    assert _check(store, "drop in accuracy", "site=fallen", f"{100 * change:.1f} points").holds
    assert _check(store, "change in error rate", "site=fallen", "rose").outcome == "exact"
    assert _check(store, "change in accuracy", "site=fallen", "rose").outcome == "wrong"


def test_a_right_change_whose_interval_covers_zero_is_within_noise(store):
    change = _rate(store, "steady", "2026-02") - _rate(store, "steady", "2026-01")
    check = _check(store, "change in error rate", "site=steady", f"{100 * change:+.1f} pp")
    assert check.outcome == "true but within noise"
    assert check.derived.low < 0 < check.derived.high


def test_a_bound_that_the_interval_reaches_over_is_within_noise(store):
    assert _check(store, "accuracy", "site=steady", "at least 93.9 %").outcome == "true but within noise"
    assert _check(store, "accuracy", "site=steady", "at least 80 %").outcome == "exact"
    assert _check(store, "accuracy", "site=steady", "at least 99 %").outcome == "wrong"


@pytest.mark.parametrize(("site", "cause"), [("mixed", "mix"), ("stale", "truth"), ("switched", "sampling")])
def test_a_right_change_that_mix_truth_or_sampling_explains_is_told(store, site, cause):
    change = _rate(store, site, "2026-02") - _rate(store, site, "2026-01")
    check = _check(store, "change in error rate", f"site={site}", f"{100 * change:+.1f} pp")
    assert check.outcome == f"true but explained by {cause}", check.explanation


def test_a_raw_count_over_all_streams_is_explained_by_sampling(tmp_path):
    random, targeted = _audits("a", (0.05, 0.05)), _audits("a", (0.3, 0.3), seed=1)
    both = pd.concat([random, targeted.assign(stream="targeted", audit_id="t" + targeted["audit_id"])])
    both.to_csv(tmp_path / "audits.csv", index=False)
    take_in(tmp_path / "audits.csv", tmp_path / "store")
    february = both[both["decided_at"].str.startswith("2026-02")]
    raw = float((february["label"] != february["truth"]).mean())
    check = _check(tmp_path, "error rate", "site=a", f"{raw:.1%}")
    assert check.outcome == "true but explained by sampling"
    assert _check(tmp_path, "audits", "site=a", "1,200").outcome == "true but explained by sampling"


def test_sites_compare_with_each_other(store):
    difference = _rate(store, "fallen", "2026-02") - _rate(store, "steady", "2026-02")
    check = _check(
        store, "difference in error rate", "site=fallen", f"{100 * difference:.1f} pp", compared_with="site=steady"
    )
    assert check.holds


@pytest.mark.parametrize(
    ("metric", "scope", "value", "period", "reason"),
    [
        ("acuracy", "site=fallen", "95 %", "2026-02", "nearest: accuracy"),
        ("accuracy", "site=falen", "95 %", "2026-02", "nearest: fallen"),
        ("accuracy", "sit=fallen", "95 %", "2026-02", "nearest: site"),
        ("accuracy", "fallen", "95 %", "2026-02", "write it as site=lisbon"),
        ("accuracy", "site=fallen", "good", "2026-02", "no number"),
        ("accuracy", "site=fallen", "95 %", "2027-02", "no audits"),
        ("accuracy", "site=fallen", "95 %", "lately", "cannot be read"),
        ("severity weighted accuracy", "site=fallen", "95 %", "2026-02", "not available"),
        ("change in accuracy", "site=fallen", "1 pp", "", "needs a period"),
        ("change in accuracy", "site=fallen", "1 pp", "2026-01", "no audits"),
        ("share of errors", "site=fallen", "95 %", "2026-02", "scope within the site"),
    ],
)
def test_what_cannot_be_checked_comes_with_its_reason(store, metric, scope, value, period, reason):
    check = _check(store, metric, scope, value, period=period)
    assert (check.outcome, check.derived) == ("not checkable", None)
    assert reason in check.explanation


ROWS = [("Sentence", "Metric", "Site", "Period", "Value"), ("It fell", "accuracy", "fallen", "2026-02", "85.0%")]


def _write_xlsx(path):
    book = openpyxl.Workbook()
    book.active.append(["A title above the table"])
    for row in ROWS:
        book.active.append(row)
    book.active["E3"] = 0.85
    book.active["E3"].number_format = "0.0%"
    book.save(path)


def _write_pptx(path):
    slides = Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[6])
    table = slide.shapes.add_table(2, 5, Inches(1), Inches(1), Inches(8), Inches(1)).table
    for row, cells in enumerate(ROWS):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    slides.save(path)


def _write_docx(path):
    document = Document()
    document.add_paragraph("The month in words")
    table = document.add_table(2, 5)
    for row, cells in enumerate(ROWS):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    document.save(path)


def _write_csv(path):
    path.write_text("\n".join(";".join(row) for row in ROWS), encoding="cp1252")


@pytest.mark.parametrize(
    ("kind", "write"), [("csv", _write_csv), ("xlsx", _write_xlsx), ("pptx", _write_pptx), ("docx", _write_docx)]
)
def test_the_same_claim_is_read_from_every_kind_of_file(tmp_path, kind, write):
    file = tmp_path / f"claims.{kind}"
    write(file)
    (claim,) = read_claims(file)
    read = (claim.sentence, claim.metric, claim.scope, claim.period, claim.value)
    assert read == ("It fell", "accuracy", "site=fallen", "2026-02", "85.0%")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("claims.pdf", b"%PDF", "CSV, XLSX, PPTX or DOCX"),
        ("claims.xlsx", b"not a zip", "cannot be read"),
        ("claims.pptx", b"not a zip", "cannot be read"),
        ("claims.docx", b"not a zip", "cannot be read"),
        ("claims.csv", b"", "no table"),
        ("claims.csv", b"metrik,value\naccuracy,1", "no column metric"),
        ("claims.csv", b"metric,value\n", "no rows"),
    ],
)
def test_a_file_without_claims_is_one_clear_error(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read_claims(tmp_path / name)
    assert caught.value.mend


def test_the_page_and_the_workbook_hold_the_checks_and_no_text_becomes_markup_or_a_formula(store, tmp_path):
    claims = tmp_path / "claims.csv"
    claims.write_text("sentence,metric,scope,period,value\n=1+1<script>x</script>,accuracy,site=fallen,2026-02,90 %\n")
    checks = check_claim_file(claims, data=store / "audits.csv")
    page, workbook = write_claim_report(checks, tmp_path / "out", audits="audits.csv", now=pd.Timestamp("2026-03-01"))
    assert "<script>x" not in page.read_text()
    assert "&lt;script&gt;x" in page.read_text()
    sheet = openpyxl.load_workbook(workbook).active
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("=1+1<script>x</script>", "s")
    assert sheet["G2"].value == "wrong"


def test_the_command_exits_with_0_only_where_every_claim_holds(store, tmp_path):
    claims = tmp_path / "claims.csv"
    command = ["verify", "--claims", str(claims), "--data", str(store / "audits.csv"), "--out", str(tmp_path)]
    claims.write_text("metric,scope,period,value\nsample size,site=fallen,2026-02,600\n")
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "1 of 1 claim holds" in done.output) == (0, True), done.output
    claims.write_text("metric,scope,period,value\nsample size,site=fallen,2026-02,601\n")
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "row 2: wrong. The audits give 600 items." in done.output) == (1, True), done.output
