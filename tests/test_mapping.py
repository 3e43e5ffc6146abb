"""Mappings: read as written, refused with the nearest known name."""

import pytest

from rca_lib.audits.mapping import Constant, Mapping, plan_columns, read_mapping
from rca_lib.audits.tables import tell_renamed
from rca_lib.findings import DataError

NAMES = ["audit_id", "item_id", "site", "rater", "decided_at", "label", "truth"]


def write(tmp_path, text):
    path = tmp_path / "mapping.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_that_yaml_takes_for_truth_values_stay_words(tmp_path):
    mapping = read_mapping(
        write(tmp_path, "labels: {yes: violating, no: fine, 1: other}\nbenign: fine\nnulls: [~, null]\n")
    )
    assert mapping.labels == {"yes": "violating", "no": "fine", "1": "other"}
    assert mapping.benign == ("fine",)
    assert mapping.nulls == ("~", "null")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colums: {label: x}", "unknown key 'colums'.*nearest known: columns"),
        ("columns: {lable: x}", "'lable' is no column of audits; nearest: label"),
        ("columns: {site: {constnt: x}}", "columns.site"),
        ("time_zone: Europe/Lisbn", "Europe/Lisbn"),
        ("site_time_zones: {Lisbon: Portugal/Lisbon}", "Portugal/Lisbon"),
        ("encoding: utf-99", "encoding: 'utf-99' is no encoding"),
        ("date_order: dd/mm", "date_order.*'ymd', 'dmy' or 'mdy'"),
        ("labels: {a: hate}\nbenign: [bening]", "benign: 'bening' is none of the labels"),
        ("labels: {a: x, b: y, c: z}\nlabel_scale: binary", "binary, but labels names 3"),
        ("label_scale: ordinal", "label_order"),
        ("labels: {a: x, a: y}", "duplicate key 'a'"),
        ("- a\n- b", "no YAML mapping"),
        ("columns: [", "not valid YAML"),
    ],
)
def test_a_wrong_mapping_is_refused_with_file_key_and_nearest_name(tmp_path, text, words):
    with pytest.raises(DataError, match=words) as stop:
        read_mapping(write(tmp_path, text))
    assert "mapping.yml" in str(stop.value)
    assert stop.value.mend


def test_a_missing_mapping_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.yml cannot be read"):
        read_mapping(tmp_path / "no.yml")


def test_columns_are_found_joined_or_constant_and_the_rest_kept(tmp_path):
    text = "columns:\n  audit_id: [unit, task]\n  site: {constant: Lisbon}\n  queue: task\n  truth: Expert  label\n"
    mapping = read_mapping(write(tmp_path, text))
    names = ["unit", "task", "item_id", "rater", "decided_at", "label", "Expert label", "Queue", "error", "colour"]
    plan = plan_columns(mapping, names)
    assert plan.places["audit_id"] == (0, 1)
    assert plan.places["site"] == "Lisbon"
    assert plan.places["truth"] == (6,)
    assert plan.extras == {"unit": 0, "Queue_in_file": 7, "error_in_file": 8, "colour": 9}
    assert tell_renamed(plan.extras)[1] == "column error kept as error_in_file, its name is reserved"


def test_keep_names_the_extra_columns_to_keep():
    assert plan_columns(Mapping(keep=("b",)), [*NAMES, "a", "b"]).extras == {"b": 8}
    assert plan_columns(Mapping(keep=()), [*NAMES, "a"]).extras == {}
    with pytest.raises(DataError, match=r"no column 'colr'.*nearest in the file: color"):
        plan_columns(Mapping(keep=("colr",)), [*NAMES, "color"])


def test_a_required_column_that_is_missing_shows_the_nearest_names():
    with pytest.raises(DataError, match=r"no column 'truth'.*nearest in the file: truth_label") as stop:
        plan_columns(Mapping(), [*NAMES[:-1], "truth_label", "colour"])
    assert stop.value.column == "truth"
    with pytest.raises(DataError, match="'expert' in the file, which the mapping names for truth"):
        plan_columns(Mapping(columns={"truth": "expert"}), NAMES)


def test_duplicate_headers_stop_whatever_their_case():
    with pytest.raises(DataError, match=r"'site' 2 times.*columns 3, 8"):
        plan_columns(Mapping(), [*NAMES, "Site"])


def test_a_mapping_made_in_python_is_checked_like_one_from_a_file():
    assert Mapping(columns={"site": Constant(constant="x")}).known_labels == ()
    with pytest.raises(ValueError, match="nearest: truth"):
        Mapping(columns={"truht": "x"})


def test_all_missing_columns_are_named_at_once_with_the_nearest_and_the_columns_of_the_file():
    with pytest.raises(DataError) as stop:
        plan_columns(Mapping(), ["Audit ID", "Item-Id", "Site", "Agent", "When", "Decision", "QA decision"])
    assert "no columns audit_id, item_id, site, rater, decided_at, label, truth in the file" in str(stop.value)
    assert "Audit ID for audit_id, Item-Id for item_id, Site for site" in stop.value.mend
    assert stop.value.mend.endswith("the file has: Audit ID, Item-Id, Site, Agent, When, Decision, QA decision")


def test_a_name_that_yaml_has_cut_at_a_number_sign_is_told(tmp_path):
    mapping = read_mapping(write(tmp_path, "columns:\n  audit_id: Case # the ticket\n"))
    names = ["Case # the ticket", "item_id", "site", "rater", "decided_at", "label", "truth"]
    with pytest.raises(DataError, match="no column 'Case' in the file") as stop:
        plan_columns(mapping, names)
    assert "write 'Case # the ticket' in quotes" in stop.value.mend
