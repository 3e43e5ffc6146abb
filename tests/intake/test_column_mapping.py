"""Mappings: values are read as text, and errors name the nearest known name."""

import pytest

from rca_lib.audits.schema import describe_renamed_columns
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping, ConstantColumn, read_mapping
from rca_lib.intake.column_plan import plan_columns

NAMES = ["audit_id", "item_id", "site", "rater", "decided_at", "label", "truth"]


def write(tmp_path, text):
    path = tmp_path / "mapping.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_that_yaml_treats_as_booleans_stay_text(tmp_path):
    mapping = read_mapping(
        write(tmp_path, "labels: {yes: violating, no: fine, 1: other}\nbenign: fine\nnulls: [~, null]\n")
    )
    assert mapping.labels == {"yes": "violating", "no": "fine", "1": "other"}
    assert mapping.benign == ("fine",)
    assert mapping.nulls == ("~", "null")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("colums: {label: x}", "unknown key 'colums'.*nearest known: columns"),
        ("columns: {lable: x}", "'lable' is not a column of audits; nearest: label"),
        ("columns: {site: {constnt: x}}", "columns.site"),
        ("time_zone: Europe/Lisbn", "Europe/Lisbn"),
        ("site_time_zones: {Lisbon: Portugal/Lisbon}", "Portugal/Lisbon"),
        ("encoding: utf-99", "encoding: 'utf-99' is not a text encoding"),
        ("date_order: dd/mm", "date_order.*'ymd', 'dmy' or 'mdy'"),
        ("labels: {a: hate}\nbenign: [bening]", "benign: 'bening' is not one of the labels"),
        ("labels: {a: x, b: y, c: z}\nlabel_scale: binary", "binary, but labels lists 3"),
        ("label_scale: ordinal", "label_order"),
        ("labels: {a: x, a: y}", "duplicate key 'a'"),
        ("- a\n- b", "not a YAML mapping"),
        ("columns: [", "not valid YAML"),
    ],
)
def test_an_invalid_mapping_raises_an_error_with_file_key_and_nearest_name(tmp_path, text, pattern):
    with pytest.raises(DataError, match=pattern) as caught:
        read_mapping(write(tmp_path, text))
    assert "mapping.yml" in str(caught.value)
    assert caught.value.hint


def test_a_missing_mapping_file_raises_an_error_with_its_name(tmp_path):
    with pytest.raises(DataError, match=r"no\.yml cannot be read"):
        read_mapping(tmp_path / "no.yml")


def test_columns_are_mapped_joined_or_constant_and_other_columns_are_kept(tmp_path):
    text = "columns:\n  audit_id: [unit, task]\n  site: {constant: Lisbon}\n  queue: task\n  truth: Expert  label\n"
    mapping = read_mapping(write(tmp_path, text))
    names = ["unit", "task", "item_id", "rater", "decided_at", "label", "Expert label", "Queue", "error", "colour"]
    plan = plan_columns(mapping, names)
    assert plan.sources["audit_id"] == (0, 1)
    assert plan.sources["site"] == "Lisbon"
    assert plan.sources["truth"] == (6,)
    assert plan.extra_columns == {"unit": 0, "Queue_in_file": 7, "error_in_file": 8, "colour": 9}
    assert describe_renamed_columns(plan.extra_columns)[1] == "column error kept as error_in_file, its name is reserved"


def test_keep_selects_the_extra_columns():
    assert plan_columns(ColumnMapping(keep=("b",)), [*NAMES, "a", "b"]).extra_columns == {"b": 8}
    assert plan_columns(ColumnMapping(keep=()), [*NAMES, "a"]).extra_columns == {}
    with pytest.raises(DataError, match=r"no column 'colr'.*nearest in the file: color"):
        plan_columns(ColumnMapping(keep=("colr",)), [*NAMES, "color"])


def test_a_missing_required_column_raises_an_error_with_the_nearest_names():
    with pytest.raises(DataError, match=r"no column 'truth'.*nearest in the file: truth_label") as caught:
        plan_columns(ColumnMapping(), [*NAMES[:-1], "truth_label", "colour"])
    assert caught.value.column == "truth"
    with pytest.raises(DataError, match="'expert' in the file; the mapping names it for truth"):
        plan_columns(ColumnMapping(columns={"truth": "expert"}), NAMES)


def test_duplicate_headers_raise_an_error_in_any_case():
    with pytest.raises(DataError, match=r"'site' 2 times.*columns 3, 8"):
        plan_columns(ColumnMapping(), [*NAMES, "Site"])


def test_a_mapping_created_in_python_is_validated_like_one_from_a_file():
    assert ColumnMapping(columns={"site": ConstantColumn(constant="x")}).known_labels == ()
    with pytest.raises(ValueError, match="nearest: truth"):
        ColumnMapping(columns={"truht": "x"})


def test_one_error_names_all_missing_columns_with_the_nearest_and_all_columns_of_the_file():
    with pytest.raises(DataError) as caught:
        plan_columns(ColumnMapping(), ["Audit ID", "Item-Id", "Site", "Agent", "When", "Decision", "QA decision"])
    assert "no columns audit_id, item_id, site, rater, decided_at, label, truth in the file" in str(caught.value)
    assert "Audit ID for audit_id, Item-Id for item_id, Site for site" in caught.value.hint
    assert caught.value.hint.endswith("the file has: Audit ID, Item-Id, Site, Agent, When, Decision, QA decision")


def test_a_name_that_yaml_cut_at_a_comment_sign_gets_a_hint_to_quote_it(tmp_path):
    mapping = read_mapping(write(tmp_path, "columns:\n  audit_id: Case # the ticket\n"))
    names = ["Case # the ticket", "item_id", "site", "rater", "decided_at", "label", "truth"]
    with pytest.raises(DataError, match="no column 'Case' in the file") as caught:
        plan_columns(mapping, names)
    assert "write 'Case # the ticket' in quotes" in caught.value.hint
