"""YAML files: text stays text, and content that expands, hides or changes text is rejected with its line and a hint."""

import pytest

from rca_lib.audits.taxonomy import read_taxonomy
from rca_lib.batch.batch_file import read_batch
from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import read_mapping
from rca_lib.io.yaml_files import read_yaml

LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
FAULTS = {
    "a billion laughs": (LAUGHS, 1, "&a is an anchor"),
    "an alias": ("label: *agent\n", 1, r"\*agent is an alias"),
    "a merge of an alias": ("x: 1\n<<: *base\n", 2, r"\*base is an alias"),
    "a tag": ("site: !Lisbon x\n", 1, "!Lisbon is a tag"),
    "a tag of Python": ("site: !!python/object:os.system x\n", 1, "!!python/object:os.system is a tag"),
    "a duplicate key": ("label: a\nlabel: b\n", 2, "duplicate key 'label'"),
    "a duplicate key deep inside": ("labels:\n  no: a\n  no: b\n", 3, "duplicate key 'no'"),
    "a list as a key": ("? [a, b]\n: c\n", 1, "a key is a list"),
    "a tab": ("labels:\n\tno: a\n", 2, "not valid YAML"),
    "an at sign": ("rater: @agent\n", 1, "not valid YAML"),
    "a percent sign": ("rater: a\n%share: b\n", 2, "not valid YAML"),
    "a colon in a value": ("label: Case: closed\n", 1, "not valid YAML"),
    "no blank after the colon": ("label:a\nsite: b\n", 2, "not valid YAML"),
    "an open list": ("sites: [a, b\n", 2, "not valid YAML"),
    "two documents": ("a: b\n---\nc: d\n", 2, "not valid YAML"),
    "a control character": ("a: b\x07\n", 1, "not valid YAML"),
    "deep nesting": ("a: " + "[" * 5_000 + "]" * 5_000, 1, "more than 40 levels"),
    "another encoding": ("a: b\nsite: Málaga\n".encode("cp1252"), 2, "not UTF-8"),
    "half a UTF-16 file": (b"\xff\xfea\x00:", 1, "not UTF-16"),
}


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "settings.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_names_the_line_and_a_hint(write, fault):
    text, line, problem = FAULTS[fault]
    with pytest.raises(DataError, match=problem) as error_info:
        read_yaml(write(text))
    assert error_info.value.first == {"file": "settings.yml", "line": line}
    assert len(error_info.value.hint) > 15


@pytest.mark.parametrize("reader", [read_mapping, read_taxonomy, read_batch])
@pytest.mark.parametrize("fault", FAULTS)
def test_mapping_taxonomy_and_batch_file_reject_the_same_content(write, reader, fault):
    text, line, problem = FAULTS[fault]
    with pytest.raises((DataError, ValueError), match=problem) as error_info:
        reader(write(text))
    assert "settings.yml" in str(error_info.value) and str(line) in str(error_info.value)


@pytest.mark.parametrize("reader", [read_mapping, read_taxonomy, read_batch])
def test_a_folder_a_missing_file_and_a_table_are_rejected(tmp_path, write, reader):
    for path in (tmp_path, tmp_path / "none.yml", write("x" * 5_000_000), write("a,b\n1,2\n"), write("- a\n- b\n")):
        with pytest.raises((DataError, ValueError)) as error_info:
            reader(path)
        assert path.name in str(error_info.value)


def test_words_numbers_and_dates_stay_text(write):
    text = "labels: {no: NO, yes: on, 'off': ~, y: 'null', 1.0: 010, 2026-03-01: 1e3, 0x1F: 12:30, é: .inf}\n"
    assert read_yaml(write(text)).content["labels"] == {
        "no": "NO", "yes": "on", "off": "~", "y": "null", "1.0": "010", "2026-03-01": "1e3", "0x1F": "12:30",
        "é": ".inf",
    }  # fmt: skip


def test_only_unquoted_null_words_are_none_and_only_on_request(write):
    content = read_yaml(write("a: null\nb: 'null'\nc:\nd: ''\ne: [null, x]\n"), null_words=("", "null")).content
    assert content == {"a": None, "b": "null", "c": None, "d": "", "e": [None, "x"]}


def test_a_file_in_utf_16_and_one_with_a_byte_order_mark_are_read(write):
    for encoding in ("utf-16", "utf-8-sig"):
        assert read_yaml(write("site: Málaga\n".encode(encoding))).content == {"site": "Málaga"}
