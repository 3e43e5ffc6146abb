"""The taxonomy file: what it declares, faults with their line, and custom taxonomies."""

import re
from pathlib import Path

import pandas as pd
import pytest

import rca_lib
from rca_lib.audits.taxonomy import DEFAULT_TAXONOMY, MEASUREMENT_SUBJECTS, SUBJECTS, read_taxonomy
from rca_lib.findings import DataError
from rca_lib.questions.error_tagging import tag_errors

TAXONOMY = read_taxonomy()


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        file = tmp_path / "taxonomy.yml"
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def test_the_default_taxonomy_has_bones_owners_and_measurement_causes():
    categories = {cause.top_category for cause in TAXONOMY.causes.values()}
    assert categories == {"PPL", "TRN", "POL", "PRC", "TOL", "ENV", "MEA", "UNK"}
    measured = {code for code, cause in TAXONOMY.causes.items() if cause.measurement}
    assert measured == {"MEA", "MEA.GT_WRONG", "MEA.GT_STALE", "MEA.GT_AMBIG", "MEA.SAMPLE"}
    assert TAXONOMY.causes["MEA.GT_AMBIG"].owner == "policy"  # its own
    assert TAXONOMY.causes["MEA.SAMPLE"].owner == "qa"  # inherited
    assert TAXONOMY.causes["TOL.BUG"].controllable_by == "client"
    assert TAXONOMY.causes["PPL.SLIP"].controllable_by == "site"


def test_the_default_taxonomy_names_a_cause_with_an_action_for_every_event_type_and_finding():
    assert set(TAXONOMY.cause_of) == set(SUBJECTS)
    causes = {subject: TAXONOMY.find_cause(subject) for subject in SUBJECTS}
    assert [subject for subject, cause in causes.items() if cause.action is None] == []
    assert {subject for subject, cause in causes.items() if cause.measurement} == set(MEASUREMENT_SUBJECTS)


def test_no_python_file_of_the_package_contains_a_code_of_the_default_taxonomy():
    codes = re.compile(rf"\b({'|'.join(map(re.escape, TAXONOMY.causes))})\b")
    files = sorted(Path(rca_lib.__file__).parent.rglob("*.py"))
    assert len(files) > 100 and codes.search('"MEA.GT_STALE"') and codes.search("'UNK'")
    found = {file.name: codes.findall(file.read_text(encoding="utf-8")) for file in files}
    assert {name: matches for name, matches in found.items() if matches} == {}


FAULTS = [
    ("  PPL.SLIP: {name:", "  PPL.SLIP: {nmae:", "causes, PPL.SLIP, nmae: unknown key"),
    ("unknown: UNK.UNK", "unknown: UNK.UNKK", "unknown: unknown code 'UNK.UNKK'"),
    ("  outage: ENV.OUTAGE", "  outage: ENV.OUT", "cause_of, outage: unknown code 'ENV.OUT'"),
    ("  outage: ENV.OUTAGE", "  outrage: ENV.OUTAGE", "cause_of, outrage: no event type or finding 'outrage'"),
    ("  outage: ENV.OUTAGE", "  outage: {code: ENV.OUTAGE}", "cause_of, outage: Input should be a valid string"),
    ("{kind: staffing, text:", "{kind: staffing, txt:", "causes, PRC.STAFF, action, txt: unknown key"),
    ("{kind: staffing, text:", "{kind: staffing, due_days: 0, text:", "action, due_days: .*greater than or equal to 1"),
    ('{kind: staffing, text: "Restore', '{kind: "", text: "Restore', "PRC.STAFF, action, kind: .*one line of text"),
    ('text: "Restore the', 'text: "Restore\\nthe', "PRC.STAFF, action, text: .*one line of text"),
    ("    action: {kind: staffing", "    actions: {kind: staffing", "causes, PRC.STAFF, actions: unknown key"),
    ("cause: MEA.GT_STALE", "cause: MEA.STALE", "unknown code 'MEA.STALE'"),
    ("  PPL: {name: People,", "  PPL: {name: People, parent: PPL.SLIP,", "cycle of parents"),
    ("  PPL: {name: People,", "  PPL: {name: People, parent: NONE,", "unknown parent 'NONE'"),
    ("  UNK: {name: Unknown, owner: qa,", "  UNK: {name: Unknown,", "causes, UNK, owner: Field required"),
    ("  UNK: {name: Unknown, owner: qa,", "  UNK: [name, Unknown,", "not valid YAML"),
    ("tenure_days <= 30", "tenure_dayz <= 30", '"tenure_dayz" not found'),
    ("tenure_days <= 30", "tenure_days <= 'soon'", "rule 'first month of the rater': Conversion Error"),
    ("tenure_days <= 30", "tenure_days <", "Parser Error"),
    ("dispute = 'upheld_rater'", "dispute = 3", "Conversion Error"),
    ("tenure_days <= 30", "(select count(*) from read_text('/etc/hosts')) > 0", "Permission Error"),
    ("confidence: 0.9", "confidence: 1.9", "less than or equal to 1"),
    (
        "{cause: PRC.ROUTE, confidence: 0.6,\n     comment: ['",
        "{cause: PRC.ROUTE, confidence: 0.6, comment: ['(?=a)",
        "perl",
    ),
    ("event: {type: outage}", "event: {type: outrage}", "rules, outage, event, type"),
    ("within_days: 14, names: policy", "within_days: 14, names: polcy", "event, names"),
    ("  outage: {", "  dispute upheld: {", "duplicate key"),
    (", event: {type: outage}", "", "no condition"),
    ("  PPL.SLIP: {name", "  PPL.LAPSE: {name: x}\n  PPL.SLIP: {name", "duplicate key"),
]


@pytest.mark.parametrize(("old", "new", "problem"), FAULTS, ids=[new.strip() or old.strip() for old, new, _ in FAULTS])
def test_a_fault_in_the_file_is_reported_with_its_line(write, old, new, problem):
    text = DEFAULT_TAXONOMY.read_text(encoding="utf-8")
    assert text.count(old) == 1
    with pytest.raises(DataError, match=problem) as caught:
        read_taxonomy(write(text.replace(old, new)))
    # A duplicate is reported at its second line, here two lines below; YAML itself may report one line late.
    line = text[: text.index(old)].count("\n") + 1
    assert caught.value.first["line"] in (line, line + 1, line + 2 if "PPL.LAPSE" in new else line)
    assert caught.value.first["file"] == "taxonomy.yml"


def test_all_faults_of_a_taxonomy_are_reported_at_once_with_lines_and_hints(write):
    text = (
        "unknown: UNKNOWN\n"
        "causes:\n"
        "  P: {name: People, ownr: ops, controllable_by: site}\n"
        "  Q: {name: Policy, owner: policy, controllable_by: nobody}\n"
        "rules: {}\n"
    )
    with pytest.raises(DataError, match="causes, P, ownr: unknown key") as caught:
        read_taxonomy(write(text))
    message = str(caught.value)
    assert "line 3: causes, P, owner: Field required" in message
    assert "line 4: causes, Q, controllable_by" in message
    assert caught.value.hint == "nearest known key: owner"
    text = (
        "unknown: UNK\n"
        "causes:\n"
        "  P: {name: People, owner: ops, controllable_by: site}\n"
        "rules:\n"
        "  a: {cause: PP, confidence: 0.5, when: tenure_days < 3}\n"
        "  b: {cause: P, confidence: 0.5, when: tenure_dayz < 3}\n"
    )
    with pytest.raises(DataError, match="unknown code 'UNK'") as caught:
        read_taxonomy(write(text))
    assert "line 5: rules, a, cause: unknown code 'PP' (choose P)" in str(caught.value)
    assert "line 6: rule 'b': Binder Error" in str(caught.value)


def test_a_missing_empty_or_binary_file_is_an_error(tmp_path, write):
    with pytest.raises(DataError, match="no taxonomy file"):
        read_taxonomy(tmp_path / "none.yml")
    with pytest.raises(DataError, match="line=1"):
        read_taxonomy(write(""))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-16"):
        read_taxonomy(tmp_path / "binary.yml")


def test_a_cause_may_name_its_parent(write):
    text = DEFAULT_TAXONOMY.read_text(encoding="utf-8")
    added = "  PPL.SLIP: {name: slip}\n  OWN.MIS: {name: own, parent: PPL.SLIP, owner: me}\n"
    old = '  PPL.SLIP: {name: "Slip: right intention, wrong click"}\n'
    taxonomy = read_taxonomy(write(text.replace(old, added)))
    cause = taxonomy.causes["OWN.MIS"]
    assert (cause.top_category, cause.owner, cause.controllable_by) == ("PPL", "me", "site")


def test_an_inherited_fault_is_reported_once_where_it_stands(write):
    text = (
        "causes:\n"
        "  P: {name: People, owner: ops, controllable_by: nobody, action: {kind: coach, text: Coach, due_days: soon}}\n"
        "  P.1: {name: Slip}\n"
        "  P.2: {name: Lapse, action: {kind: coach}}\n"
        "unknown: P\nrules: {}\n"
    )
    with pytest.raises(DataError) as caught:
        read_taxonomy(write(text))
    message = str(caught.value)
    assert message.count("controllable_by") == message.count("due_days") == 1
    assert "causes, P, controllable_by: Input should be" in message and "causes, P, action, due_days" in message
    assert "line 4: causes, P.2, action, text: Field required" in message
    assert caught.value.first == {"file": "taxonomy.yml", "line": 2}


def test_an_unknown_key_gets_the_nearest_known_key_as_its_hint(write):
    text = DEFAULT_TAXONOMY.read_text(encoding="utf-8")
    for old, new, known in (
        ("{kind: staffing, text:", "{kind: staffing, txt:", "text"),
        ("    action: {kind: staffing", "    actions: {kind: staffing", "action"),
        ("names: policy}", "nmes: policy}", "names"),
    ):
        with pytest.raises(DataError) as caught:
            read_taxonomy(write(text.replace(old, new)))
        assert caught.value.hint == f"nearest known key: {known}"


OWN = """
causes:
  W: {name: Work, owner: site, controllable_by: site}
  W.1: {name: Not trained}
  W.2: {name: Misread}
  M: {name: Messung, owner: qa, controllable_by: client, measurement: true}
  X: {name: Unbekannt, owner: qa, controllable_by: shared}
unknown: X
rules: {}
"""


def test_a_custom_taxonomy_maps_events_and_findings_to_its_codes(tmp_path):
    (tmp_path / "own.yml").write_text(OWN + "cause_of: {policy_update: W.1, one rater: W.2}\n", encoding="utf-8")
    own = read_taxonomy(tmp_path / "own.yml")
    subjects = ("policy_update", "one rater", "stale truth", "outage", "")
    assert [own.find_cause(subject).code for subject in subjects] == ["W.1", "W.2", "M", "X", "X"]
    error = pd.DataFrame({"audit_id": ["a1"], "label": ["benign"], "truth": ["hate"], "dispute": ["upheld_rater"]})
    (tag,) = tag_errors(error, own).tags
    assert (tag.cause, tag.measurement) == ("M", True)


@pytest.mark.parametrize(("entry", "word"), [("policy_updat: W.1", "policy_update"), ("policy_update: W.9", "W.")])
def test_the_mapping_of_events_is_validated_when_the_taxonomy_is_read(tmp_path, entry, word):
    (tmp_path / "own.yml").write_text(OWN + f"cause_of: {{{entry}}}\n", encoding="utf-8")
    with pytest.raises(DataError, match="own") as caught:
        read_taxonomy(tmp_path / "own.yml")
    assert word in caught.value.hint
