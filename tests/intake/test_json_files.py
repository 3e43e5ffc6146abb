"""JSON exports: lists of objects, NDJSON, lists inside an object, nested objects, broken lines."""

import json

import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from tests.intake.test_ingest_faults import get_counts, read_store

AUDIT = {
    "audit_id": "a-1", "item_id": "i-1", "site": "lisbon", "rater": "r-1", "decided_at": "2026-03-05T10:00:00",
    "label": "benign", "truth": "hate", "weight": 1.25,
}  # fmt: skip
UTC = ColumnMapping(time_zone="UTC")


def make_audits(number=3):
    return [AUDIT | {"audit_id": f"a-{index}", "item_id": f"i-{index}"} for index in range(1, number + 1)]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def ingest_text(folder, text, mapping=UTC):
    ledger = ingest(write(folder / "export.json", text), folder / "store", mapping=mapping)
    return ledger, read_store(folder / "store")


ARRANGEMENTS = {
    "a list": json.dumps(make_audits()),
    "a list on many lines": "\ufeff" + json.dumps(make_audits(), indent=2),
    "an object per line": "\n".join(map(json.dumps, make_audits())),
    "an object per line, CR LF and a byte-order mark": "\ufeff" + "\r\n".join(map(json.dumps, make_audits())) + "\r\n",
    "a list in an object": json.dumps({"count": 3, "users": [], "data": {"audits": make_audits()}}),
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_every_arrangement_gives_the_same_audits(tmp_path, arrangement):
    ledger, audits = ingest_text(tmp_path, ARRANGEMENTS[arrangement])
    assert get_counts(ledger) == (3, 3, 0, 0, 0)
    assert audits["audit_id"].tolist() == ["a-1", "a-2", "a-3"]
    assert audits["weight"].tolist() == [1.25] * 3 and audits["source_row"].tolist() == [1, 2, 3]


def test_nested_objects_become_columns_with_dotted_names_and_lists_become_sets(tmp_path):
    records = [
        {key: value for key, value in audit.items() if key not in ("item_id", "label", "truth")}
        | {
            "task": {"id": f"i-{number}", 'data "raw"': {"policy": "hate"}},
            "label": ["spam", "hate"],
            "truth": ["hate"],
        }
        for number, audit in enumerate(make_audits(), 1)
    ]
    columns = {"item_id": "task.id", "policy": 'task.data "raw".policy'}
    mapping = ColumnMapping(time_zone="UTC", columns=columns, label_scale="multilabel")
    _, audits = ingest_text(tmp_path, json.dumps(records), mapping)
    assert audits["item_id"].tolist() == ["i-1", "i-2", "i-3"] and set(audits["policy"]) == {"hate"}
    assert set(audits["label"]) == {"hate, spam"} or set(audits["label"].str.contains("spam")) == {True}


def test_a_broken_line_is_quarantined_with_its_line_number_and_a_blank_line_is_empty(tmp_path):
    lines = [*map(json.dumps, make_audits()), "", '{"audit_id": "a-4", "item', "[1, 2]"]
    ledger, audits = ingest_text(tmp_path, "\n".join(lines))
    assert get_counts(ledger) == (6, 3, 2, 0, 1)
    assert ledger.reasons[0][2] == 5  # the first line in quarantine
    assert len(audits) == 3


def test_keys_may_be_missing_null_or_in_another_order(tmp_path):
    first, second, third = make_audits()
    records = [first, dict(reversed(second.items())), third | {"queue": "video", "weight": None}]
    ledger, audits = ingest_text(tmp_path, json.dumps(records))
    assert ledger.kept + ledger.quarantined == 3
    assert set(audits["queue"].dropna()) <= {"video"}


def test_numbers_keep_their_meaning_whatever_the_decimal_mark_of_the_mapping(tmp_path):
    for decimal in (".", ","):
        mapping = ColumnMapping(time_zone="UTC", decimal=decimal)
        _, audits = ingest_text(tmp_path, json.dumps(make_audits()), mapping)
        assert set(audits["weight"]) == {1.25}


def test_several_lists_are_an_open_question_that_the_mapping_answers(tmp_path):
    text = json.dumps({"users": [{"name": "r-1"}], "audits": make_audits()})
    with pytest.raises(DataError, match=r"several lists of records: users, audits.*records: in the mapping"):
        ingest_text(tmp_path, text)
    ledger, _ = ingest_text(tmp_path, text, ColumnMapping(time_zone="UTC", records="audits"))
    assert ledger.kept == 3
    with pytest.raises(DataError, match=r"without a list 'audit'.*choose among users, audits"):
        ingest_text(tmp_path, text, ColumnMapping(time_zone="UTC", records="audit"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (json.dumps(make_audits())[:-20], "not valid JSON"),
        ('{"data": [{"audit_id": 1}, {"audit_id"', "not valid JSON"),
        ('{"audit_id": {"0": "a-1"}, "label": {"0": "benign"}}', "one JSON object, not a list"),
        ('["a", "b"]', "JSON without records"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_without_records_is_an_error_with_a_hint(tmp_path, text, problem):
    with pytest.raises(DataError, match=problem) as caught:
        ingest_text(tmp_path, text)
    assert caught.value.hint and not (tmp_path / "store").exists()


def test_json_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "export.json"
    path.write_bytes(
        json.dumps({"data": make_audits()}, ensure_ascii=False).replace("lisbon", "München").encode("cp1252")
    )
    with pytest.raises(DataError, match="another encoding than UTF-8"):
        ingest(path, None, mapping=UTC)
