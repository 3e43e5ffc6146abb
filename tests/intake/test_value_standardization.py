"""Typographic variants are merged, other differences are kept; words for missing values; label sets."""

import unicodedata

import duckdb
import pandas as pd
import pytest

from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.ingest import ingest
from rca_lib.intake.label_sets import format_label_set, parse_label_set
from rca_lib.intake.ledger import SPELLING_DIFFERENCE
from rca_lib.intake.missing_values import is_missing_word, may_be_missing
from rca_lib.intake.text_normalization import (
    PLAIN_ID_CHARACTERS,
    choose_canonical_names,
    clean_text,
    make_match_key,
    match_canonical_names,
    remove_invisible,
)
from rca_lib.intake.value_standardization import VOCABULARIES, create_text_macros

UTC = ColumnMapping(time_zone="UTC")


def make_audits(rows: int) -> pd.DataFrame:
    """Audits without an error, an hour apart."""
    times = pd.Timestamp("2026-01-31 12:00") + pd.to_timedelta(range(rows), unit="h")
    table = pd.DataFrame({"audit_id": [f"A{i:03d}" for i in range(rows)], "item_id": [f"I{i}" for i in range(rows)]})
    return table.assign(site="Lisbon", rater="R1", decided_at=times.astype(str), label="benign", truth="benign")


def read_store(store):
    """All audits that were kept."""
    files = sorted(map(str, store.glob("site=*/month=*/audits.parquet")))
    return duckdb.connect().read_parquet(files, hive_partitioning=False).df().sort_values("audit_id", ignore_index=True)


# Each line: the spellings of one label.
ONE_LABEL = (
    ("spam", "Spam", "SPAM", " spam", "spam ", "spam\u00a0", "\u00a0spam", "spam\t", "\ufeffspam", "spam\u200b"),
    ("hate speech", "hate  speech", "hate\u00a0speech", "hate\u202fspeech", "Hate Speech", "hate\u3000speech"),
    ("Can't tell", "Can\u2019t tell", "Can\u02bct tell", "can`t tell", "Can\u00b4t tell"),
    ("self-harm", "self\u2010harm", "self\u2011harm", "self\u2013harm", "SELF\u2212HARM", "self\uff0dharm"),
    ("caf\u00e9", "cafe\u0301", "CAF\u00c9"),
    ("fire", "\ufb01re", "\uff46\uff49\uff52\uff45", "f\u00adire", "\u202afire\u202c", "\u200efire"),
    ("1", "1.0", "1.00", "\uff11"),
    ("TRUE", "true", "True"),
    ("ok", '"ok"', "'ok'", "\u201cok\u201d", "\u00abok\u00bb", "\u2018ok\u2019"),
    ("\u05d0\u05dc\u05d9\u05de", "\u200f\u05d0\u05dc\u05d9\u05de", "\u05d0\u05dc\u05d9\u05de\u200f"),
    ("Stra\u00dfe", "STRASSE"),
    ("\u30ac", "\uff76\uff9e", "\u30ab\u3099"),
)  # fmt: skip
TWO_LABELS = (
    ("hate speech", "hate_speech"), ("spam", "sparn"), ("1", "10"), ("1", "1.5"), ("a/b", "ab"), ("no", "not"),
    ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
     "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"),
    ("+1", "-1"), ("1,000", "1"),
)  # fmt: skip


@pytest.mark.parametrize("spellings", ONE_LABEL, ids=lambda spellings: spellings[0])
def test_spellings_of_one_label_are_one_label(spellings, tmp_path):
    audits = make_audits(len(spellings)).assign(label=spellings, truth=spellings[0])
    ledger = ingest(audits, tmp_path / "store", mapping=UTC)
    kept = read_store(tmp_path / "store")
    assert kept["error"].sum() == 0 and kept["label"].nunique() == 1
    assert dict(ledger.repairs)[SPELLING_DIFFERENCE] >= 1
    assert ledger.kept == len(spellings)


@pytest.mark.parametrize("pair", TWO_LABELS)
def test_labels_that_differ_in_substance_stay_separate(pair, tmp_path):
    ingest(make_audits(2).assign(label=pair, truth=pair[::-1]), tmp_path / "store", mapping=UTC)
    assert read_store(tmp_path / "store")["error"].tolist() == [1, 1]


def test_the_mapping_matches_labels_in_any_typography():
    for position in (0, -1):
        labels = {spellings[position]: f"label {n}" for n, spellings in enumerate(ONE_LABEL)}
        written = [spelling for spellings in ONE_LABEL for spelling in spellings]
        audits = make_audits(len(written)).assign(label=written, truth=ONE_LABEL[1][0])
        ledger = ingest(audits, None, mapping=UTC.model_copy(update={"labels": labels}))
        assert (ledger.kept, ledger.quarantined) == (len(written), 0)


def test_the_most_frequent_spelling_becomes_the_name_unless_one_is_declared(tmp_path):
    audits = make_audits(6).assign(label=["Spam", "spam", "spam", "SPAM", "hate", "hate"], truth="hate")
    ingest(audits, tmp_path / "a", mapping=UTC)
    assert set(read_store(tmp_path / "a")["label"]) == {"spam", "hate"}
    ingest(audits, tmp_path / "b", mapping=UTC.model_copy(update={"benign": ("SPAM",)}))
    assert set(read_store(tmp_path / "b")["label"]) == {"SPAM", "hate"}
    ingest(audits.sample(frac=1, random_state=3), tmp_path / "c", mapping=UTC)
    assert set(read_store(tmp_path / "c")["label"]) == {"spam", "hate"}


def test_a_difference_in_spelling_alone_is_not_an_error_but_a_warning():
    audits = make_audits(40).assign(truth="benign", label=["benign"] * 30 + ["Benign"] * 10)
    ledger = ingest(audits, None, mapping=UTC)
    assert dict(ledger.repairs) == {SPELLING_DIFFERENCE: 10, "label: other spellings of one name": 10}
    assert [finding.sentence for finding in ledger.findings()] == [
        "label and truth differ only in spelling in 10 rows; both are read as the same label."
    ]


@pytest.mark.parametrize("column", ["site", "queue", "policy", "vendor", "market", "language", "team", "stratum"])
def test_typographic_variants_of_a_name_are_merged_and_recorded(column, tmp_path):
    names = ["Lisbon", "Lisbon", "Lisbon", "lisbon", "LISBON", "Lis\u200bbon", "Lisbon ", "\uff2cisbon"]
    ledger = ingest(make_audits(8).assign(**{column: names}), tmp_path / "store", mapping=UTC)
    assert set(read_store(tmp_path / "store")[column]) == {"Lisbon"}
    assert dict(ledger.repairs) == {
        f"{column}: other spellings of one name": 3,
        "invisible characters or repeated blanks": 1,
    }


@pytest.mark.parametrize("column", ["rater", "auditor"])
def test_people_who_differ_in_case_stay_separate_with_a_note(column, tmp_path):
    names = ["ana", "ana", "Ana", "jose\u0301", "jos\u00e9", "o\u2019b", "o'b", "an\u200ba"]
    ledger = ingest(make_audits(8).assign(**{column: names}), tmp_path / "store", mapping=UTC)
    assert sorted(set(read_store(tmp_path / "store")[column])) == ["Ana", "ana", "jos\u00e9", "o'b"]
    [(sentence, rows, suggestion)] = ledger.notes
    assert "'Ana' (1), 'ana' (3) differ only in case or punctuation" in sentence
    assert (rows, suggestion) == (4, "bring them to one spelling under values in the mapping if they are the same")


def test_labels_that_differ_in_punctuation_stay_separate_with_a_note():
    ledger = ingest(make_audits(4).assign(label="hate_speech", truth="hate speech"), None, mapping=UTC)
    assert any(
        "'hate speech' (4), 'hate_speech' (4) differ only in case or punctuation" in note for note, *_ in ledger.notes
    )


def test_typographic_variants_of_an_id_are_merged(tmp_path):
    ids = ["A-1\u200b", "\uff21-2", "A\u20133", "4.0"]
    ingest(make_audits(4).assign(item_id=ids), tmp_path / "store", mapping=UTC)
    assert sorted(read_store(tmp_path / "store")["item_id"]) == ["4", "A-1", "A-2", "A-3"]


def normalize_id(text: str) -> str:
    """The Python counterpart of the SQL macro."""
    return clean_text(text).translate(PLAIN_ID_CHARACTERS)


def make_odd_texts():
    """Every character that is cleaned, folded or special, in a word, at its ends, and alone."""
    codes = [*range(0x250), *range(0x300, 0x370), *range(0x2000, 0x2070), 0x3000, 0x3164, 0xFEFF]
    codes += [0x61C, 0x115F, 0x180E, 0x2800, 0xFE0F, 0xFF0D, 0xFFA0, 0xE0001, 0xE0100, 0x1D173]
    templates = ("a{0}b", "{0}ab{0}", "{0}", "a {0}{0} b")
    return [template.format(chr(code)) for code in codes for template in templates]


def test_sql_and_python_clean_text_alike():
    texts = [text for text in make_odd_texts() if "\x00" not in text]
    connection = duckdb.connect()
    create_text_macros(connection)
    connection.register("texts", pd.DataFrame({"text": texts}))
    rows = connection.sql(
        "select text, coalesce(clean_text(text), ''), coalesce((normalize_id(text)), '') from texts"
    ).fetchall()
    assert [(text, cleaned) for text, cleaned, _ in rows if cleaned != clean_text(text)] == []
    assert [(text, normalized_id) for text, _, normalized_id in rows if normalized_id != normalize_id(text)] == []


def test_cleaning_is_idempotent_and_text_that_looks_alike_has_one_key():
    texts = make_odd_texts()
    assert [text for text in texts if clean_text(clean_text(text)) != clean_text(text)] == []
    assert [text for text in texts if make_match_key(clean_text(text)) != make_match_key(text)] == []
    seen = {}
    for text in texts:  # what looks alike has one key, with and without case
        keys = make_match_key(text), make_match_key(text, fold_case=False)
        assert seen.setdefault(remove_invisible(text), keys) == keys


def test_names_are_chosen_and_matched_by_key():
    assert choose_canonical_names({"a": 1, "A": 1}) == {"A": "a"}
    assert choose_canonical_names({"'a'": 5, "a": 5}) == {"'a'": "a"}
    assert choose_canonical_names({"Ana": 1, "ana": 2}, fold_case=False) == {}
    assert match_canonical_names(["a", "A", "b"], ["A"]) == {"a": "A", "A": "A"}
    assert match_canonical_names(["a", "A"], ["A", "a"]) == {"a": "a", "A": "A"}


# Words for missing values -------------------------------------------------------------------------------------------

MISSING = (
    "#REF!", "#VALUE!", "#N/A", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#ERROR!", "#WERT!",
    "#NV", "#BEZUG!", "#¡REF!", "#¿NOMBRE?", "#VALEUR!", "####", "Err:502", "\\N", "<NA>", "NaN", "NaT", "Null", "NULL",
    "null", "nan", "N/A", "n/a", "(blank)", "(Blank)", "(null)", "[null]", "<null>", "(empty)", "[blank]", "<none>",
)  # fmt: skip
AMBIGUOUS = ("None", "none", "NONE", "-", "--", "—", "?", "unknown", "N.A.", "n.e.", "nil", "undefined", "NA")


@pytest.mark.parametrize("column", ["truth", "label", "rater", "site", "item_id"])
def test_a_missing_word_in_a_required_column_quarantines_the_row(column):
    audits = make_audits(len(MISSING) + 1)
    audits.loc[1:, column] = MISSING
    ledger = ingest(audits, None, mapping=UTC)
    assert (ledger.kept, ledger.reasons[0][:2]) == (1, (f"missing {column}", len(MISSING)))
    assert not ledger.notes


def test_a_missing_word_in_an_optional_column_is_null(tmp_path):
    columns = ("queue", "policy", "tenure_days", "handle_seconds", "severity", "audited_at", "comment", "colour")
    audits = make_audits(len(MISSING)).assign(**dict.fromkeys(columns, MISSING))
    assert ingest(audits, tmp_path / "store", mapping=UTC).kept == len(MISSING)
    assert not read_store(tmp_path / "store")[list(columns)].notna().any(axis=None)


@pytest.mark.parametrize("column", ["truth", "label", "rater", "site"])
def test_an_ambiguous_word_stays_a_name_and_is_listed(column):
    words = sorted({make_match_key(word): word for word in AMBIGUOUS}.values())
    audits = make_audits(len(words) + 1).assign(**{column: ["x", *words]})
    ledger = ingest(audits, None, mapping=UTC)
    assert ledger.kept == len(words) + 1
    notes = [(rows, sentence) for sentence, rows, _ in ledger.notes if "may mean a missing value" in sentence]
    assert [rows for rows, _ in notes] == [len(words)]
    assert notes[0][1].startswith(f"{column}: '--' (1), '?' (1), ")
    dropped = ingest(audits, None, mapping=UTC.model_copy(update={"nulls": tuple(words)}))
    assert dropped.reasons[0][:2] == (f"missing {column}", len(words))


def test_an_ambiguous_word_is_null_in_columns_of_numbers_dates_and_flags(tmp_path):
    columns = {"tenure_days": "5", "handle_seconds": "9", "audited_at": "2026-03-01 10:00", "blind": "yes"}
    audits = make_audits(len(AMBIGUOUS) + 1).assign(**{name: [value, *AMBIGUOUS] for name, value in columns.items()})
    ledger = ingest(audits, tmp_path / "store", mapping=UTC)
    assert ledger.kept == len(audits)
    assert read_store(tmp_path / "store")[list(columns)].notna().sum().tolist() == [1, 1, 1, 1]
    assert {(f"{name}: words for missing values", len(AMBIGUOUS)) for name in columns} <= set(ledger.repairs)


def test_the_mapping_can_keep_a_missing_word_and_none_is_a_value_where_the_schema_has_it(tmp_path):
    mapping = UTC.model_copy(update={"labels": {"(blank)": "benign", "hate": "hate"}})
    assert ingest(make_audits(3).assign(label="(blank)", truth="hate"), None, mapping=mapping).kept == 3
    ingest(make_audits(2).assign(dispute=["None", "-"], appeal="none"), tmp_path / "store", mapping=UTC)
    kept = read_store(tmp_path / "store")
    assert kept["dispute"].tolist()[0] == "none" and pd.isna(kept["dispute"][1]) and set(kept["appeal"]) == {"none"}


def test_no_word_is_both_missing_and_ambiguous_and_ordinary_labels_are_neither():
    assert not [word for word in MISSING if may_be_missing(word) or not is_missing_word(word)]
    assert not [word for word in AMBIGUOUS if is_missing_word(word) or not may_be_missing(word)]
    for word in (
        "benign",
        "no violation",
        "no",
        "0",
        "nothing found",
        "#winning",
        "#1",
        "other",
        "N",
        "null hypothesis",
    ):
        assert not is_missing_word(word) and not may_be_missing(word)


# Label sets ----------------------------------------------------------------------------------------------------------

NOTATIONS = (
    "spam; hate", "hate;spam", "spam;hate;", ";spam;;hate", "spam|hate", "spam, hate", "spam\nhate", "hate\r\nspam",
    '["spam","hate"]', "['hate', 'spam']", "('spam', 'hate')", "{'spam', 'hate'}", "{spam,hate}", '{"spam",hate}',
    "[spam, hate]", "['spam' 'hate']", '{"choices": ["spam", "hate"]}', '{"choices":["hate","spam"]}',
    '[{"choices": ["spam"]}, {"choices": ["hate"]}]', '{"spam": true, "hate": true, "other": false}',
    "spam;hate;spam", "Spam; HATE", '["spam", "hate", "spam"]', "spam ;\u00a0hate", '"spam","hate"', "spam\thate",
)  # fmt: skip


def test_a_label_set_is_equal_in_every_notation(tmp_path):
    mapping = UTC.model_copy(update={"label_scale": "multilabel"})
    audits = make_audits(len(NOTATIONS)).assign(label=NOTATIONS, truth="spam;hate")
    ledger = ingest(audits, tmp_path / "store", mapping=mapping)
    kept = read_store(tmp_path / "store")
    assert dict(zip(kept["label"], kept["error"], strict=True)) == {"hate|spam": 0}
    assert ledger.kept == len(NOTATIONS)


def test_other_label_scales_keep_the_text(tmp_path):
    ingest(make_audits(2).assign(label="spam; hate", truth="hate; spam"), tmp_path / "store", mapping=UTC)
    assert read_store(tmp_path / "store")["error"].tolist() == [1, 1]


def test_parquet_lists_are_label_sets(tmp_path):
    audits = make_audits(3).assign(label=[["spam", "hate, online"]] * 3, truth=[["hate, online", "spam"]] * 3)
    duckdb.connect().from_df(audits).write_parquet(str(tmp_path / "a.parquet"))
    mapping = UTC.model_copy(update={"label_scale": "multilabel"})
    ingest(tmp_path / "a.parquet", tmp_path / "store", mapping=mapping)
    assert read_store(tmp_path / "store")["label"].tolist() == ["hate, online|spam"] * 3


def test_a_label_in_the_mapping_may_contain_a_separator():
    known = {"Hate, online": "hate", "Spam": "spam"}
    assert parse_label_set("Spam; Hate, online", known) == ("Spam", "Hate, online")
    assert parse_label_set("hate, ONLINE", known) == ("hate, ONLINE",)
    assert parse_label_set("[]") == parse_label_set("{}") == parse_label_set(";") == ()
    assert format_label_set(["b", "a", "b"]) == "a|b"


def test_an_empty_set_is_missing_unless_the_mapping_names_it(tmp_path):
    audits = make_audits(3).assign(label=["[]", "spam", "spam"], truth="spam")
    mapping = UTC.model_copy(update={"label_scale": "multilabel"})
    assert ingest(audits, None, mapping=mapping).reasons[0][:2] == ("missing label", 1)
    mapping = mapping.model_copy(update={"labels": {"[]": "benign", "spam": "spam"}})
    assert ingest(audits, None, mapping=mapping).kept == 3


def test_every_column_of_names_belongs_to_one_vocabulary():
    names = [name for family in VOCABULARIES.values() for name in family]
    assert len(names) == len(set(names))
    assert unicodedata.is_normalized("NFC", clean_text("e\u0301"))
