"""Page one: every sentence is a claim that can be recomputed."""

import json
import re
from dataclasses import replace

import nbformat
import pytest

from rca_lib.audits.time_series import count_over_time
from rca_lib.findings import format_value
from rca_lib.questions.trend import find_changes
from rca_lib.reporting.deep_dive import DeepDive, run_deep_dive
from rca_lib.reporting.headline import build_headline
from rca_lib.reporting.page_one import build_page_one, render_page_one, save_page_one
from rca_lib.reporting.synthetic_notice import SYNTHETIC_NOTICE
from rca_lib.resources import find_resource
from rca_lib.store.cases import open_case


@pytest.fixture(scope="module")
def results():
    return run_deep_dive(open_case("demo", site="lisbon", period="2026-03"))


@pytest.fixture(scope="module")
def page_one(results):
    return build_page_one(results)


def evaluate(results, expression):
    """Evaluate an expression such as `drivers.slices[0].excess` on the results."""
    if expression.startswith("len("):
        return len(evaluate(results, expression[4:-1]))
    value = results
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", expression):
        value = getattr(value, name) if name else value[int(index)]
    return value


def test_every_claim_leads_to_its_number(results, page_one):
    for claim in page_one.claims:
        result = evaluate(results, claim.call)
        assert getattr(result, "value", result) == claim.value, claim.call
        if hasattr(result, "low"):
            assert (result.low, result.high) == (claim.low, claim.high)


def test_every_expression_begins_with_the_name_of_a_result(page_one):
    names = {re.match(r"(?:len\()?(\w+)", claim.call)[1] for claim in page_one.claims}
    assert names <= set(DeepDive.__slots__)


def test_the_notebook_makes_the_same_page_one_as_run_deep_dive(page_one, tmp_path):
    source = nbformat.read(find_resource("notebooks", "10_deep_dive.ipynb"), as_version=4)
    namespace: dict[str, object] = {}
    for cell in source.cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
            if "parameters" in cell.metadata.get("tags", ()):
                namespace["output"] = str(tmp_path)
    saved = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert saved["claims"] == [json.loads(json.dumps(claim.to_dict())) for claim in page_one.claims]


def test_a_changed_call_changes_page_one(results):
    other = find_changes(count_over_time(results.case.current), target=results.quality.max_error_rate)
    assert build_page_one(replace(results, trend=other)).claims != build_page_one(results).claims


def test_every_sentence_contains_its_number_as_reports_format_it(page_one):
    for claim in page_one.claims:
        if claim.unit in ("%", "pp") and claim.value > 0:
            assert format_value(claim.value, claim.unit, bare=True) in claim.sentence, claim.sentence


def test_no_number_stands_outside_a_claim(page_one):
    text = re.sub(r'<p class="(?:headline )?claim".*?</p>', "", render_page_one(page_one))
    text = re.sub(r'<p class="about">.*?</p>', "", text)
    assert not re.search(r"\d", re.sub(r"<[^>]*>", "", text))


def test_rows_follow_the_order_of_a_managers_questions(page_one):
    labels = [row.label for row in page_one.rows]
    assert labels == [
        "What happened", "How much", "Since when", "Where", "Why", "What it is not", "How sure", "What to do",
        "Data used",
    ]  # fmt: skip


def test_a_measurement_effect_is_listed_among_the_slices(results):
    strict_auditor = replace(results.drivers.slices[0], where={"auditor": "q-1"}, is_measurement=True)
    drivers = replace(results.drivers, overall=None, slices=(strict_auditor,))
    page_one = build_page_one(replace(results, drivers=drivers, slice_trends=()))
    row = next(row for row in page_one.rows if row.label == "Where")
    assert [(claim.call, grade) for claim, grade in row.claims] == [("drivers.slices[0].excess", "shown")]
    assert "auditor = q-1" in row.claims[0][0].sentence and "not the work" in row.claims[0][0].sentence


def test_the_headline_contains_a_number_and_a_slice(page_one):
    assert re.search(r"\d+\.\d", page_one.headline.sentence) and "policy = " in page_one.headline.sentence


def test_a_page_made_from_simulated_audits_says_so_at_its_top(page_one):
    assert render_page_one(page_one).startswith(f'<p class="synthetic"><strong>{SYNTHETIC_NOTICE}</strong></p>')
    assert str(page_one).startswith(SYNTHETIC_NOTICE)
    real = replace(page_one, ledger=replace(page_one.ledger, synthetic=False))
    assert SYNTHETIC_NOTICE not in render_page_one(real) + str(real)


def test_hostile_text_is_escaped(page_one):
    hostile = replace(page_one, site='<script>alert("x")</script>', compared_with="<img src=x onerror=y>")
    text = render_page_one(hostile)
    assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text


def test_a_first_period_is_compared_with_nothing():
    results = run_deep_dive(open_case("demo", site="lisbon", period="2026-01"))
    headline = build_headline(results)
    assert headline.verdict == "first period" and "no earlier period" in headline.sentence
    assert [row.label for row in build_page_one(results).rows if row.label in ("Where", "What it is not")] == []


def test_claims_and_findings_are_saved_as_plain_json(page_one, tmp_path):
    save_page_one(page_one, tmp_path)
    claims = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    findings = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert [claim["call"] for claim in claims["claims"]] == [claim.call for claim in page_one.claims]
    assert {"headline", "verdict", "grade", "accuracy", "findings"} <= set(findings)
    save_page_one(page_one, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claims.json", "findings.json"]
