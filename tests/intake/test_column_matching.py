"""Columns are matched by names and values: the usual names of the trade, and pairs that share their values."""

import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_matching import match_columns
from rca_lib.intake.column_profiles import profile_columns

ROWS = 40
LABELS = ["spam", "hate", "ok", "ok"] * 10
TRUTHS = ["spam", "ok", "ok", "hate"] * 10


def make_values(column):
    """Return values that fit a column of audits."""
    kinds = {
        "time": [f"2026-03-{1 + n % 28:02d} 10:00" for n in range(ROWS)],
        "id": [f"x{n}" for n in range(ROWS)],
        "label": LABELS,
        "truth": TRUTHS,
        "number": [str(1 + n % 5) for n in range(ROWS)],
        "group": [f"g{n % 4}" for n in range(ROWS)],
    }
    by_column = {"decided_at": "time", "audited_at": "time", "audit_id": "id", "item_id": "id", "label": "label",
                 "truth": "truth", "weight": "number", "handle_seconds": "number"}  # fmt: skip
    return kinds[by_column.get(column, "group")]


def match(header, answers=None):
    """Return the match of each column of audits in a file with this header; `header` gives what the columns hold."""
    sample = pd.DataFrame({name: make_values(column) for name, column in header.items()}, dtype="str")
    return {found.column: found for found in match_columns(profile_columns(sample, [*header]), answers or {})}


@pytest.mark.parametrize(
    "header",
    [
        {
            "Case #": "audit_id", "Content ID": "item_id", "Agent": "rater", "Decision time": "decided_at",
            "Agent label": "label", "QA label": "truth", "QA": "auditor", "QA time": "audited_at",
        },
        {
            "auditId": "audit_id", "postId": "item_id", "moderatorEmail": "rater", "reviewedAt": "decided_at",
            "moderatorDecision": "label", "finalDecision": "truth", "expertName": "auditor",
        },
        {
            "review.id": "audit_id", "task.asset_id": "item_id", "annotator": "rater", "created_at": "decided_at",
            "annotation.label": "label", "ground_truth": "truth", "Site": "site",
        },
        {
            "Ticket Number": "audit_id", "Video URL": "item_id", "Reviewer ID": "rater", "Timestamp": "decided_at",
            "Verdict": "label", "Auditor verdict": "truth", "Vendor": "vendor", "Country": "market",
            "AHT": "handle_seconds",
        },
        {
            "HITId": "audit_id", "ad_id": "item_id", "WorkerId": "rater", "SubmitTime": "decided_at",
            "Answer.category": "label", "gold": "truth", "Sampling weight": "weight", "Audit type": "stream",
        },
    ],
    ids=["excel", "camel case", "json", "ticket system", "crowd"],
)  # fmt: skip
def test_the_usual_names_are_matched(header):
    found = match(header)
    assert {name: match.sources for name, match in found.items()} == {
        column: (name,) for name, column in header.items()
    }
    assert not [match.question for match in found.values() if match.question]


def test_canonical_names_are_matched_before_any_other():
    header = {"audit_id": "audit_id", "qa_label": "policy", "truth": "truth", "label": "label", "agent_label": "queue"}
    found = match(header)
    assert found["truth"].sources == ("truth",)
    assert found["label"].sources == ("label",)


def test_a_name_whose_values_do_not_fit_is_not_matched():
    found = match({"Decision date": "label", "Sampling weight": "audit_id", "QA label": "audited_at"})
    assert not {"weight", "truth"} & {*found}
    assert found["decided_at"].sources == ("QA label",)  # the only dates
    assert found["decided_at"].question == "Is QA label the time of the decision?"


def test_a_truth_is_found_by_sharing_its_values_with_the_label():
    found = match({"id": "audit_id", "Agent label": "label", "Second look": "truth", "Queue": "queue"})
    assert found["truth"].sources == ("Second look",)
    assert "100% are also values of Agent label" in found["truth"].reason
    assert "Second look" in found["truth"].question


def test_a_pair_of_columns_that_share_their_values_is_label_and_truth():
    found = match({"id": "audit_id", "A": "label", "B": "truth", "C": "queue"})
    assert (found["label"].sources, found["truth"].sources) == (("A",), ("B",))
    assert "Is A the decision of the rater, and B that of the audit?" in found["label"].question


def test_without_an_audit_id_columns_that_identify_a_row_are_joined():
    found = match({"Content ID": "item_id", "Agent": "rater", "Time": "decided_at"})
    assert found["audit_id"].sources == ("Content ID",)
    sample = pd.DataFrame({"Content ID": ["i1", "i1", "i2", "i2"], "Agent": ["ana", "bob", "ana", "bob"]}, dtype="str")
    (audit_id,) = [
        match for match in match_columns(profile_columns(sample, [*sample]), {}) if match.column == "audit_id"
    ]
    assert audit_id.sources == ("Content ID", "Agent")


def test_a_date_and_a_time_in_two_columns_are_joined():
    columns = {"Task": "item_id", "Review date": "day", "Review time": "clock", "Audit date": "day"}
    values = {
        "day": ["2026-03-09"] * ROWS,
        "clock": ["09:30", "10:15:00"] * (ROWS // 2),
        "item_id": make_values("item_id"),
    }
    sample = pd.DataFrame({name: values[column] for name, column in columns.items()}, dtype="str")
    found = {match.column: match for match in match_columns(profile_columns(sample, [*sample]), {})}
    assert found["decided_at"].sources == ("Review date", "Review time")
    assert found["audited_at"].sources == ("Audit date",)
    assert "Review time has the times of day" in found["decided_at"].reason


def test_an_answer_is_taken_before_any_evidence():
    found = match({"Agent label": "label", "QA label": "truth", "QA2 label": "truth"}, {"truth": "QA2 label"})
    assert found["truth"].sources == ("QA2 label",)
    assert found["truth"].question == ""


def test_an_answer_may_join_columns_and_must_name_columns_of_the_file():
    header = {"Content ID": "item_id", "Agent": "rater", "Time": "decided_at"}
    assert match(header, {"audit_id": "Content ID, Time"})["audit_id"].sources == ("Content ID", "Time")
    with pytest.raises(DataError, match="audit_id: 'Tme' is not a column of the file") as caught:
        match(header, {"audit_id": "Content ID, Tme"})
    assert caught.value.hint == "nearest: Time"
    assert "site" not in match(header, {"site": "Lisbon"})  # the site of every row


def test_empty_columns_and_empty_files_match_nothing():
    empty = pd.DataFrame({"QA label": [None, " "], "Agent": ["", None]}, dtype="str")
    assert match_columns(profile_columns(empty, [*empty]), {}) == []
    assert match_columns([], {}) == []
