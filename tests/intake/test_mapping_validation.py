"""Validation of the labels and weights of a mapping against the data: errors, quarantine and notes."""

import duckdb
import pandas as pd
import pytest

from rca_lib import build_page_one, run_deep_dive
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping, ConstantColumn, read_mapping
from rca_lib.intake.ingest import ingest
from rca_lib.store.cases import open_case

UTC = ColumnMapping(time_zone="UTC")


def make_audits(rows: int = 40, **columns) -> pd.DataFrame:
    """Return audits of one day; every fifth label is wrong."""
    times = pd.Timestamp("2026-01-31 12:00") + pd.to_timedelta(range(rows), unit="s")
    table = pd.DataFrame({"audit_id": [f"A{i:03d}" for i in range(rows)], "item_id": [f"I{i}" for i in range(rows)]})
    table = table.assign(site="Lisbon", rater="R1", decided_at=times.astype(str), truth="benign")
    return table.assign(**{"label": ["hate" if i % 5 == 0 else "benign" for i in range(rows)]} | columns)


def declare(**keys):
    return ColumnMapping(time_zone="UTC", **keys)


def test_a_binary_scale_with_three_labels_raises_an_error_with_their_counts():
    labels = [("a", "b", "c")[i % 3] for i in range(40)]
    with pytest.raises(DataError, match=r"binary, but there are 3 labels: 'a' \(28\), 'b' \(26\), 'c' \(26\)"):
        ingest(make_audits(label=labels, truth=labels), None, mapping=declare(label_scale="binary", benign="a"))
    two = ["A" if label == "a" else "b" for label in labels]
    low = [label.lower() for label in two]
    assert ingest(make_audits(label=two, truth=low), None, mapping=declare(label_scale="binary", benign="a")).kept == 40


@pytest.mark.parametrize("wrong", ["bening", "Bengin", "bennign"])
def test_a_mistyped_benign_label_raises_an_error_with_the_nearest(wrong):
    with pytest.raises(DataError, match=rf"benign: '{wrong}' is not one of the labels: .*nearest: benign"):
        ingest(make_audits(), None, mapping=declare(benign=wrong))
    with pytest.raises(DataError, match=rf"benign: '{wrong}'"):
        ingest(make_audits(label="hate", truth=["ok", "benign"] * 20), None, mapping=declare(benign=("ok", wrong)))


def test_a_benign_label_that_does_not_occur_raises_an_error():
    with pytest.raises(DataError, match="'fine' is not one of the labels"):
        ingest(make_audits(), None, mapping=declare(benign="fine"))


def test_a_second_benign_label_may_be_absent_and_may_differ_in_spelling():
    ledger = ingest(make_audits(), None, mapping=declare(benign=("BENIGN ", "allowed")))
    assert ledger.benign == ("BENIGN", "allowed") and ledger.kept == 40


def test_the_store_spells_benign_labels_as_declared(tmp_path):
    ledger = ingest(make_audits(), tmp_path / "store", mapping=declare(benign="Benign"))
    labels = duckdb.read_parquet(f"{tmp_path}/store/site=Lisbon/*/audits.parquet").df()["truth"]
    assert ledger.benign == ("Benign",) and set(labels) == {"Benign"}


def test_the_default_benign_label_may_be_declared_although_it_does_not_occur():
    ledger = ingest(make_audits(label="hate", truth=["hate", "spam"] * 20), None, mapping=declare(benign="benign"))
    assert (ledger.kept, ledger.notes[0][0].split(":")[0]) == (40, "no label is 'benign'")


def test_without_a_benign_label_the_ledger_notes_what_is_not_available():
    ledger = ingest(make_audits(label="a", truth="a"), None, mapping=UTC)
    assert ledger.notes[0][0] == "no label is 'benign': over- and under-enforcement are not available"
    assert not ingest(make_audits(), None, mapping=UTC).notes


def test_a_label_outside_an_ordinal_scale_is_quarantined_with_the_nearest(tmp_path):
    audits = make_audits(label=["good", "fair", "bad", "goood"] * 10, truth="good")
    mapping = declare(label_scale="ordinal", label_order=("bad", "fair", "good"), benign="good")
    ledger = ingest(audits, tmp_path / "store", mapping=mapping)
    assert ledger.reasons[0][:2] == ("label not in the map (label)", 10)
    assert "nearest: good" in (tmp_path / "store" / "quarantine.csv").read_text()


def test_a_label_order_without_a_mapped_label_raises_an_error():
    with pytest.raises(ValueError, match="label_order: lacks 'great'"):
        declare(label_scale="ordinal", label_order=("bad",), labels={"x": "bad", "y": "great"})
    with pytest.raises(ValueError, match="label_order: a label appears twice"):
        declare(label_scale="ordinal", label_order=("bad", "bad"))


def test_a_blank_constant_raises_an_error(tmp_path):
    for blank in ("", " ", "\u200b", "\u00a0", "NULL", "(blank)", "\u3164"):
        with pytest.raises(ValueError, match="is not a value"):
            ConstantColumn(constant=blank)
    (tmp_path / "m.yml").write_text("columns: {site: {constant: ''}}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"site.*is not a value; write the value that every row has"):
        read_mapping(tmp_path / "m.yml")


@pytest.mark.parametrize("column", ["audit_id", "item_id", "site", "rater", "decided_at", "label", "truth"])
def test_any_kind_of_blank_cell_is_a_missing_value(column, tmp_path):
    blanks = ["", " ", "\t", "\u00a0", "\u200b", "\u200b\u200d", "\u3164", "\u2800", "\ufeff", "\u202f \u2060"]
    blanks += ["\x00", "''", '" "']
    audits = make_audits(len(blanks) + 2)
    audits.loc[: len(blanks) - 1, column] = blanks
    ledger = ingest(audits, None, mapping=UTC)
    assert (ledger.kept, ledger.quarantined) == (2, len(blanks))
    assert {reason for reason, *_ in ledger.reasons} <= {f"missing {column}"}


def test_an_audit_round_below_one_is_quarantined_unless_it_is_mapped():
    audits = make_audits(audit_round=["0", "1", "2", "-1"] * 10)
    ledger = ingest(audits, None, mapping=UTC)
    assert ledger.reasons[0][:2] == ("audit_round below 1", 20)
    assert ingest(audits, None, mapping=declare(values={"audit_round": {"0": "1", "-1": "1", "1": "2"}})).kept == 40


# weights -------------------------------------------------------------------------------------------------------------


def read_weights(weights, tmp_path, **keys):
    ingest(make_audits(len(weights), weight=weights), tmp_path / "store", mapping=declare(**keys))
    table = duckdb.read_parquet(f"{tmp_path}/store/site=Lisbon/*/audits.parquet").df()
    return table.sort_values("audit_id")["weight"].tolist()


@pytest.mark.parametrize("weights", [["0.05", "0.5"], ["0.5", "1"], ["12.5 %", "100 %"], ["0.0001", "0.0002"]])
def test_weights_that_look_like_probabilities_raise_an_error(weights, tmp_path):
    with pytest.raises(DataError, match=r"like sampling probabilities.*write weight_is: probability"):
        read_weights(weights, tmp_path)
    shares = [float(text.rstrip(" %")) / (100 if "%" in text else 1) for text in weights]
    assert read_weights(weights, tmp_path, weight_is="weight") == pytest.approx(shares)
    assert read_weights(weights, tmp_path, weight_is="probability") == pytest.approx([1 / share for share in shares])


def test_a_probability_in_percent_is_read_as_declared_and_quarantined_above_one(tmp_path):
    assert read_weights(["12.5", "50"], tmp_path, weight_is="probability", percent="percent") == [8, 2]
    ledger = ingest(make_audits(3, weight=["0.5", "12.5", "0"]), None, mapping=declare(weight_is="probability"))
    assert {reason for reason, *_ in ledger.reasons} == {"probability above 1 (weight)", "weight not above 0"}


@pytest.mark.parametrize("weights", [["0.000001"] * 3, ["1", "1"], ["0.2", "0.3", "0.5"], ["1.5", "3"]])
def test_equal_weights_and_weights_that_sum_to_one_are_accepted(weights, tmp_path):
    assert read_weights(weights, tmp_path) == pytest.approx([float(text) for text in weights])


def test_single_weights_below_one_are_noted():
    ledger = ingest(make_audits(4, weight=["0.5", "2", "3", "4"]), None, mapping=UTC)
    assert ledger.notes[0][:2] == ("weight: values below 1, down to 0.5, although 1 / probability is never below 1", 1)


# agreement -----------------------------------------------------------------------------------------------------------


def test_labels_that_never_agree_with_truths_are_noted_with_their_counts():
    ledger = ingest(make_audits(label="1", truth=["yes", "no"] * 20), None, mapping=declare(benign="no"))
    [(sentence, rows, suggestion)] = ledger.notes
    assert sentence.startswith(
        "label and truth agree in 0 of 40 rows: check the label map. They have no label in common"
    )
    assert "Labels: '1' (40); truths: 'no' (20), 'yes' (20)" in sentence
    assert (rows, suggestion) == (40, "map both to the same labels under labels in the mapping")
    assert any("check the label map" in finding.sentence for finding in ledger.findings())
    few = ingest(make_audits(10, label="1", truth="benign"), None, mapping=UTC)
    assert not few.notes


def test_page_one_asks_to_check_the_label_map_if_nothing_agrees(tmp_path):
    ingest(make_audits(60, label="1", truth="benign"), tmp_path / "store", mapping=UTC)
    page = str(build_page_one(run_deep_dive(open_case(tmp_path / "store", site="Lisbon", period="2026-01"))))
    assert "Check the label map first" in page and "keep watching" not in page
