"""A proposed mapping can be used as it is, gives its reasons, and lists what nobody has confirmed."""

import gzip
import json

import pandas as pd
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import read_mapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.ledger import read_ledger
from rca_lib.intake.mapping_proposal import propose_mapping

ROWS = 60


def make_export(**columns):
    """Return an export with foreign column names."""
    frame = pd.DataFrame(
        {
            "Case #": [f"c{n}" for n in range(ROWS)],
            "Content ID": [f"i{n}" for n in range(ROWS)],
            "Site": ["Lisbon", "Manila"] * (ROWS // 2),
            "Agent": [f"agent {n % 5}" for n in range(ROWS)],
            "Decision time": [f"{1 + n % 28:02d}/03/2026 10:00" for n in range(ROWS)],
            "Agent label": ["Spam", "No violation", "Hate"] * (ROWS // 3),
            "QA label": ["Spam", "No violation", "Spam"] * (ROWS // 3),
            "Sample type": ["random"] * ROWS,
        }
    )
    return frame.assign(**columns)


@pytest.fixture
def export(tmp_path):
    """Return a function that writes an export."""

    def write(frame, name="audits.csv"):
        path = tmp_path / name
        frame.to_csv(path, index=False)
        return path

    return write


def list_questions(proposal):
    return {question.key: question.proposal for question in proposal.questions}


def test_a_proposal_is_a_mapping_with_a_reason_for_each_column(export, tmp_path):
    proposal = propose_mapping(export(make_export()))
    assert proposal.preview.ledger.kept == ROWS
    text = proposal.to_yaml()
    (tmp_path / "mapping.yml").write_text(text, encoding="utf-8")
    mapping = read_mapping(tmp_path / "mapping.yml")
    assert mapping == proposal.to_mapping()
    assert mapping.columns["truth"] == "QA label"
    assert mapping.benign == ("No violation",)
    assert "decided_at: Decision time # name; 100% of its values are dates" in text


def test_what_the_values_prove_is_no_question_and_what_they_leave_open_is_one(export):
    assert list_questions(propose_mapping(export(make_export()))) == {"time_zone": "UTC", "benign": "No violation"}
    times = [f"{1 + n % 12:02d}/03/2026 10:00" for n in range(ROWS)]
    ambiguous = propose_mapping(export(make_export(**{"Decision time": times})))
    assert list_questions(ambiguous)["date_order"] == "dmy"
    offsets = [f"2026-03-{1 + n % 28:02d}T10:00:00+02:00" for n in range(ROWS)]
    assert "time_zone" not in list_questions(propose_mapping(export(make_export(**{"Decision time": offsets}))))


def test_an_answer_replaces_a_proposal_and_ends_the_question(export):
    answers = {"time_zone": "Europe/Lisbon", "benign": "No violation, Hate"}
    proposal = propose_mapping(export(make_export()), answers=answers)
    assert proposal.questions == ()
    mapping = proposal.to_mapping()
    assert (mapping.time_zone, mapping.benign, mapping.assumed) == ("Europe/Lisbon", ("No violation", "Hate"), ())


@pytest.mark.parametrize("answers", [{"benign": "no violence"}, {"time_zone": "Lisbon"}, {"label_scale": "many"}])
def test_an_answer_that_is_not_valid_is_an_error(export, answers):
    (key,) = answers
    with pytest.raises(DataError, match=f"^{key}: "):
        propose_mapping(export(make_export()), answers=answers)


def test_the_ledger_and_its_findings_list_what_was_assumed(export, tmp_path):
    path = export(make_export().drop(columns=["Site", "Sample type"]))
    proposal = propose_mapping(path)
    assert list_questions(proposal)["site"] == "site-1"
    ingest(path, tmp_path / "store", mapping=proposal.to_mapping())
    sentences = [finding.sentence for finding in read_ledger(tmp_path / "store").findings()]
    assert sentences[0] == (
        "Assumed, not confirmed: site: site-1; stream: random; time_zone: UTC; benign: No violation."
    )


def test_probabilities_in_place_of_weights_are_a_question(export):
    weights = [("0.5", "0.25", "0.125")[n % 3] for n in range(ROWS)]
    proposal = propose_mapping(export(make_export(weight=weights)))
    assert list_questions(proposal)["weight_is"] == "probability"
    assert propose_mapping(export(make_export(weight=weights)), answers={"weight_is": "weight"}).settings == {
        "time_zone": "UTC", "weight_is": "weight", "benign": ["No violation"],
    }  # fmt: skip


def test_labels_in_the_notation_of_sets_are_proposed_as_sets(export):
    labels = ["spam;hate", "hate;spam", "hate"] * (ROWS // 3)
    proposal = propose_mapping(export(make_export(**{"Agent label": labels, "QA label": labels})))
    assert list_questions(proposal)["label_scale"] == "multilabel"


def test_json_and_compressed_files_are_read_as_any_other(tmp_path):
    records = make_export().to_dict("records")
    nested = [{"review": {"id": record["Case #"]}, "data": record} for record in records]
    path = tmp_path / "audits.ndjson.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(record) for record in nested).encode()))
    proposal = propose_mapping(path)
    assert proposal.preview.ledger.kept == ROWS
    assert proposal.to_mapping().columns["truth"] == "data.QA label"


def test_a_column_that_cannot_be_found_is_one_error_with_the_candidates(export):
    with pytest.raises(DataError, match=r"no column looks like rater \(pseudonym of the person") as caught:
        propose_mapping(export(make_export().rename(columns={"Agent": "Who knows"})))
    assert "Who knows" in caught.value.hint


def test_a_file_without_a_header_is_told_how_to_name_its_columns(export):
    frame = make_export()
    frame.columns = frame.iloc[0]
    with pytest.raises(DataError) as caught:
        propose_mapping(export(frame.iloc[1:]))
    assert "header_row: 0" in caught.value.hint


def test_hostile_names_and_values_stay_text(export, tmp_path):
    names = {"Agent": "agent: [x, *y] # z", "Site": "site\x1b[31m\u202e"}
    frame = make_export(Site=["- &a", "!!python/object:os.system"] * (ROWS // 2)).rename(columns=names)
    proposal = propose_mapping(export(frame))
    text = proposal.to_yaml()
    assert "\x1b" not in text
    assert "\u202e" not in text
    (tmp_path / "mapping.yml").write_text(text, encoding="utf-8")
    assert read_mapping(tmp_path / "mapping.yml") == proposal.to_mapping()
    assert proposal.to_mapping().columns["rater"] == "agent: [x, *y] # z"
