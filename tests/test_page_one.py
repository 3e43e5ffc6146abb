import json
import re
from dataclasses import replace

import pytest

from rca_lib.audits.store import open_case
from rca_lib.findings import show
from rca_lib.reporting.deep_dive import answer_questions, calls
from rca_lib.reporting.headline import write_headline
from rca_lib.reporting.page_one import render_page, save_page, write_page_one


@pytest.fixture(scope="module")
def answers():
    return answer_questions(open_case(site="lisbon", period="2026-03"))


@pytest.fixture(scope="module")
def page(answers):
    return write_page_one(answers)


def follow(answers, call):
    """Follow `drivers.slices[0].excess` from the answers."""
    if call.startswith("len("):
        return len(follow(answers, call[4:-1]))
    found = answers
    for name, place in re.findall(r"(\w+)|\[(\d+)\]", call):
        found = getattr(found, name) if name else found[int(place)]
    return found


def test_every_claim_leads_to_its_number(answers, page):
    for claim in page.claims:
        found = follow(answers, claim.call)
        value = getattr(found, "value", found)
        assert value == claim.value, claim.call
        if hasattr(found, "low"):
            assert (found.low, found.high) == (claim.low, claim.high)


def test_every_call_begins_with_an_answer_whose_own_call_is_known(page):
    known = {*calls(), "case"}
    assert {re.match(r"(?:len\()?(\w+)", claim.call)[1] for claim in page.claims} <= known


def test_claims_are_in_the_sentence_as_the_report_writes_numbers(page):
    for claim in page.claims:
        if claim.unit in ("%", "pp") and claim.value > 0:
            assert show(claim.value, claim.unit, bare=True) in claim.sentence, claim.sentence


def test_no_number_stands_on_page_one_outside_a_claim(page):
    text = re.sub(r'<p class="(?:headline )?claim".*?</p>', "", render_page(page))
    text = re.sub(r'<p class="about">.*?</p>', "", text)
    assert not re.search(r"\d", re.sub(r"<[^>]*>", "", text))


def test_rows_come_in_the_order_of_a_managers_questions(page):
    labels = [row.label for row in page.rows]
    assert labels == [
        "What happened", "How much", "Since when", "Where", "Why", "What it is not", "How sure", "What to do",
        "Data used",
    ]  # fmt: skip


def test_what_was_measured_otherwise_is_told_where_the_slices_are(answers):
    strict = replace(answers.drivers.slices[0], where={"auditor": "q-1"}, measurement=True)
    told = replace(answers, drivers=replace(answers.drivers, overall=None, slices=(strict,)), dates=())
    where = next(row for row in write_page_one(told).rows if row.label == "Where")
    assert [(claim.call, grade) for claim, grade in where.claims] == [("drivers.slices[0].excess", "shown")]
    assert "auditor = q-1" in where.claims[0][0].sentence and "not the work" in where.claims[0][0].sentence


def test_the_headline_holds_a_number_and_the_place(page):
    assert re.search(r"\d+\.\d", page.headline.sentence) and "policy = " in page.headline.sentence


def test_hostile_text_is_escaped(page):
    hostile = replace(page, site='<script>alert("x")</script>', compared_with="<img src=x onerror=y>")
    text = render_page(hostile)
    assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text


def test_a_first_period_says_so_and_compares_with_nothing():
    answers = answer_questions(open_case(site="lisbon", period="2026-01"))
    headline = write_headline(answers)
    assert headline.verdict == "first period" and "nothing earlier" in headline.sentence
    assert [row.label for row in write_page_one(answers).rows if row.label in ("Where", "What it is not")] == []


def test_saved_claims_and_findings_are_plain_json(page, tmp_path):
    save_page(page, tmp_path)
    claims = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    findings = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert claims["calls"]["trend"].startswith("find_changes(")
    assert {"headline", "verdict", "grade", "accuracy", "findings"} <= set(findings)
    save_page(page, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claims.json", "findings.json"]
