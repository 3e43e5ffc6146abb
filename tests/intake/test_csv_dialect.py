"""Delimited text as tools write it: no row is swallowed, no cell moves, and ambiguity is an error with a question."""

import csv
import io

import duckdb
import pytest

from rca_lib.findings import DataError
from rca_lib.intake.column_mapping import ColumnMapping, read_mapping
from rca_lib.intake.ingest import ingest

UTC = ColumnMapping(time_zone="UTC")
HEADER = ["audit_id", "item_id", "site", "rater", "decided_at", "label", "truth", "policy", "comment"]


def make_row(number: int, comment: str = "ok", **changes: str) -> list[str]:
    row = dict(
        zip(HEADER, ["", "", "Lisbon", "r1", "2026-01-05 09:00", "benign", "benign", "p1", comment], strict=True)
    )
    return list((row | {"audit_id": f"A{number}", "item_id": f"I{number}"} | changes).values())


def write_text(path, lines, delimiter="\t", encoding="utf-8"):
    """Write lines as they are, without any quoting."""
    text = "\n".join(delimiter.join(line) if isinstance(line, list) else line for line in [HEADER, *lines]) + "\n"
    path.write_bytes(text.encode(encoding))
    return path


def read_kept(store) -> dict[str, str]:
    files = sorted(map(str, store.glob("site=*/month=*/audits.parquet")))
    table = duckdb.connect().read_parquet(files, hive_partitioning=False).df().set_index("audit_id")
    return table["comment"].fillna("").to_dict()


def read(tmp_path, lines, mapping=UTC, **how):
    ledger = ingest(write_text(tmp_path / "a.csv", lines, **how), tmp_path / "store", mapping=mapping)
    assert ledger.rows_read == ledger.kept + ledger.quarantined + ledger.exact_duplicates + ledger.empty
    return ledger, read_kept(tmp_path / "store")


# Quotes as plain text


@pytest.mark.parametrize("delimiter", ["\t", ";", ",", "|"])
@pytest.mark.parametrize(
    ("opens", "closes"), [('"He said', 'so"'), ('"', '"'), ('"a', 'b" "c'), ('say "x', '"y'), ('"x', "never")]
)
def test_unbalanced_quotes_in_comments_do_not_swallow_rows(tmp_path, delimiter, opens, closes):
    lines = [make_row(number) for number in range(20)]
    lines[5][-1], lines[9][-1] = opens, closes
    ledger, comments = read(tmp_path, lines, delimiter=delimiter)
    assert (ledger.rows_read, ledger.kept) == (20, 20)
    assert comments["A5"].strip('"') == opens.strip('"') and comments["A7"] == "ok"


def test_unbalanced_quotes_in_a_middle_column_and_a_short_row_do_not_swallow_rows(tmp_path):
    lines = [make_row(number) for number in range(20)]
    lines[3] = lines[3][:7]
    lines[5], lines[9] = make_row(5, policy='"hate'), make_row(9, policy='speech"')
    ledger, comments = read(tmp_path, lines)
    assert (ledger.rows_read, ledger.kept, len(comments)) == (20, 20, 20)


def test_quoted_cells_that_span_lines_stay_whole(tmp_path):
    texts = ["one\ntwo", 'first, "quoted"\n\nthird', "a,b,c,d,e,f,g,h,i\nj", "x\n" * 30, "a\tb\nc\td"]
    for delimiter in (",", "\t", ";"):
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows([HEADER, *(make_row(n, text) for n, text in enumerate(texts))])
        (tmp_path / "a.csv").write_text(out.getvalue(), newline="")
        ledger = ingest(tmp_path / "a.csv", tmp_path / "store", mapping=UTC)
        assert (ledger.rows_read, ledger.kept) == (5, 5)
        kept = read_kept(tmp_path / "store")
        assert [kept[f"A{n}"] for n in range(5)] == [text.strip() for text in texts]


def test_a_stray_quote_affects_only_its_own_row(tmp_path):
    lines = [make_row(number, '"a, b"') for number in range(12)]  # quoted commas: the number of commas per line varies
    lines[4] = make_row(4, '"5" screen, "wide" one"')
    ledger, comments = read(tmp_path, lines, delimiter=",")
    assert (ledger.rows_read, ledger.kept) == (12, 11)
    assert set(comments.values()) == {"a, b"}


def test_quotes_escaped_with_a_backslash_are_read(tmp_path):
    lines = [make_row(number, '"x, y"') for number in range(6)]
    lines[2] = make_row(2, r'"He said \"hi, there\" twice"')
    ledger, comments = read(tmp_path, lines, delimiter=",")
    assert ledger.kept == 6 and comments["A2"] == 'He said "hi, there" twice'
    assert ("quotes escaped with a backslash", 1) in ledger.repairs


def test_the_mapping_can_declare_quotes(tmp_path):
    tilde = [make_row(0, "~a, b~"), make_row(1, '~say "x~')]
    assert read(tmp_path, tilde, UTC.model_copy(update={"quote": "~"}), delimiter=",")[1] == {
        "A0": "a, b",
        "A1": 'say "x',
    }
    nothing = [make_row(0, '"a'), make_row(1, 'b"')]
    assert read(tmp_path, nothing, UTC.model_copy(update={"quote": "none"}))[1] == {"A0": '"a', "A1": 'b"'}
    escaped = [make_row(0, r'"a \"b\", c"'), make_row(1, r"a\, b")]
    mapping = UTC.model_copy(update={"escape": "\\"})
    assert read(tmp_path, escaped, mapping, delimiter=",")[1] == {"A0": 'a "b", c', "A1": "a, b"}


# Dialects


def test_blanks_before_quotes_single_quotes_and_lines_in_quotes_are_read(tmp_path):
    rows = [make_row(number, "a, b") for number in range(4)]
    blank = [", ".join([*row[:5], f'"{row[5]}"', row[6], row[7], f'"{row[8]}"']) for row in rows]
    single = [",".join(f"'{cell}'" for cell in row) for row in rows]
    wrapped = ['"' + ",".join([*row[:8], f'""{row[8]}""']) + '"' for row in rows]
    for number, lines in enumerate((blank, single, wrapped)):
        ledger, comments = read(tmp_path, lines, delimiter=",")
        assert ledger.kept == 4, number
        assert set(comments.values()) == {"a, b"}, number
    whole = "\n".join(['"' + ",".join(HEADER) + '"', *wrapped])
    (tmp_path / "b.csv").write_text(whole)
    assert ingest(tmp_path / "b.csv", None, mapping=UTC).kept == 4


def test_an_apostrophe_is_not_a_quote(tmp_path):
    lines = [make_row(number, "'tis, isn't it" if number % 2 else "it's 'so'") for number in range(6)]
    ledger, comments = read(tmp_path, lines, delimiter=";")
    assert ledger.kept == 6 and comments["A1"] == "'tis, isn't it" and comments["A0"] == "it's 'so'"


def test_short_rows_are_padded_and_empty_surplus_cells_are_dropped(tmp_path):
    lines = [
        make_row(0),
        make_row(1)[:7],
        [*make_row(2), ""],
        [*make_row(3), "", " "],
        [*make_row(4), "surplus"],
        ["A5", "I5"],
    ]
    ledger, comments = read(tmp_path, lines, delimiter=",")
    assert (ledger.kept, ledger.quarantined) == (4, 2)
    assert comments["A1"] == ""
    assert dict(ledger.repairs) == {
        "short rows, padded with empty cells": 1,
        "empty cells after the last column, dropped": 2,
    }
    assert ledger.reasons == (("line the CSV reader rejects", 2, 6, ledger.reasons[0][3]),)
    every = [f"{','.join(make_row(number))}," for number in range(5)]
    assert read(tmp_path, every, delimiter=",")[0].kept == 5


def test_a_repeated_header_is_quarantined(tmp_path):
    ledger, _ = read(tmp_path, [make_row(0), HEADER, make_row(1)])
    assert ledger.reasons == (("repeated header", 1, 3, "the header line again; remove it; it is not an audit"),)
    assert dict(ledger.repairs) == {"delimiter tab": 3}


@pytest.mark.parametrize("delimiter", ["\x01", "\x1f", "^", "~", ":"])
def test_unusual_delimiters_are_detected_or_declared(tmp_path, delimiter):
    lines = [make_row(number, decided_at="2026-01-05") for number in range(3)]
    mapping = UTC if delimiter < " " else UTC.model_copy(update={"delimiter": delimiter})
    assert read(tmp_path, lines, mapping, delimiter=delimiter)[0].kept == 3


def test_a_file_without_a_header_is_read_by_position(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(",".join(make_row(number)) for number in range(3)))
    columns = {name: f"column_{number}" for number, name in enumerate(HEADER, 1)}
    mapping = ColumnMapping(time_zone="UTC", header_row=0, columns=columns)
    ledger = ingest(tmp_path / "a.csv", tmp_path / "store", mapping=mapping)
    assert (ledger.rows_read, ledger.kept) == (3, 3)
    with pytest.raises(DataError, match="header_row: 0"):
        ingest(tmp_path / "a.csv", None, mapping=UTC)


def test_a_duplicate_header_is_an_error_only_if_it_is_requested(tmp_path):
    header = [*HEADER, "Notes", "Notes"]
    (tmp_path / "a.csv").write_text("\n".join([",".join(header), ",".join([*make_row(0), "a", "b"])]))
    ledger = ingest(tmp_path / "a.csv", None, mapping=UTC)
    assert {"Notes (column 10)", "Notes (column 11)"} <= set(ledger.columns)
    for request in ({"columns": {"queue": "Notes"}}, {"keep": ("Notes",)}):
        with pytest.raises(DataError, match="'Notes' 2 times"):
            ingest(tmp_path / "a.csv", None, mapping=ColumnMapping(time_zone="UTC", **request))


@pytest.mark.parametrize(
    "text",
    [
        "delimiter: '||'",
        "delimiter: a",
        "quote: '\"\"'",
        "quote: x",
        "escape: ab",
        "header_row: -1",
        *(
            f"encoding: {name}"
            for name in ("base64", "zip", "idna", "punycode", "utf-7", "rot13", "unicode_escape", "hex")
        ),
    ],
)
def test_the_mapping_rejects_invalid_delimiters_quotes_and_encodings(tmp_path, text):
    (tmp_path / "mapping.yml").write_text(text)
    with pytest.raises(DataError, match=text.split(":")[0]):
        read_mapping(tmp_path / "mapping.yml")


# Encodings

STRANGE = [
    ("cp1250", ["Łódź", "Kraków", "Białystok", "Święty"]),
    ("cp1251", ["Москва", "Київ", "София"]),
    ("koi8_r", ["Москва", "Казань"]),
    ("cp1253", ["Αθήνα", "Θεσσαλονίκη"]),
    ("cp1255", ["תל אביב", "חיפה"]),
    ("cp1256", ["القاهرة", "الرباط"]),
    ("cp932", ["東京", "大阪"]),
    ("gbk", ["北京", "上海市"]),
    ("big5", ["臺北", "高雄"]),
    ("cp949", ["서울", "부산"]),
    ("euc_jp", ["東京", "大阪"]),
    ("mac_roman", ["São Paulo", "Málaga", "Zürich"]),
    ("cp850", ["São Paulo", "Zürich", "Málaga"]),
    ("cp437", ["Málaga", "Zürich"]),
    ("cp852", ["Łódź", "Kraków"]),
    ("cp866", ["Москва", "Казань"]),
    ("iso8859_5", ["Москва", "Казань"]),
    ("cp874", ["กรุงเทพ", "เชียงใหม่"]),
    ("iso8859_2", ["Łódź", "Białystok"]),
]


@pytest.mark.parametrize(("encoding", "words"), STRANGE)
def test_an_unknown_encoding_is_an_error_until_the_mapping_declares_it(tmp_path, encoding, words):
    lines = [make_row(number, words[number % len(words)], site=words[0]) for number in range(12)]
    with pytest.raises(DataError, match=r"encoding of a\.csv is not UTF-8"):
        read(tmp_path, lines, encoding=encoding)
    ledger, comments = read(tmp_path, lines, UTC.model_copy(update={"encoding": encoding}), encoding=encoding)
    assert ledger.sites == (words[0],) and comments["A1"] == words[1]


WESTERN = [
    "São Paulo",
    "Köln",
    "Málaga",
    "naïve café",
    "it’s “quoted” – so…",
    "Ünal, Özil",
    "coeur, cœur, œuvre",
    "Þórður ætlar",
    "señor ¿qué?",
    "20 °C, 5 m², 3 µm",
    "1ª y 2º",
    "£5 and €10",
    "L’ÉCOLE À CÔTÉ",
    "Škoda, Žižek",
    "Ærø, Åse, Øre",
    "déjà‑vu",
    "l·l",
    "Straße",
    "Ÿ",
    "Malmö—Århus",
    "Hämeenlinna yöpyä",
    "„Ja“",
    "«oui»",
    "™ ® ©",
    "½ cup",
]


def test_western_texts_in_cp1252_are_read_and_recorded(tmp_path):
    lines = [make_row(number, text.replace("‑", "-")) for number, text in enumerate(WESTERN)]
    ledger, comments = read(tmp_path, lines, encoding="cp1252")
    assert ledger.kept == len(WESTERN) and ("encoding cp1252", len(WESTERN)) in ledger.repairs
    assert comments["A0"] == "São Paulo" and comments["A4"] == "it’s “quoted” – so…"


@pytest.mark.parametrize("text", [text for text in WESTERN if not text.isascii() and text not in ("Ÿ", "déjà‑vu")])
def test_each_western_text_alone_is_read(tmp_path, text):
    assert read(tmp_path, [make_row(0, text)], encoding="cp1252")[1]["A0"] == text


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_unicode_encodings_of_all_widths_are_detected(tmp_path, encoding):
    ledger, comments = read(tmp_path, [make_row(0, "東京 Łódź")], encoding=encoding)
    assert comments["A0"] == "東京 Łódź" and ledger.repairs


def test_double_encoded_text_is_an_error_but_one_such_word_is_not(tmp_path):
    double_encoded = "São Paulo".encode().decode("cp1252")
    with pytest.raises(DataError, match="encoded twice: SÃ£o stands for São"):
        read(tmp_path, [make_row(number, site=double_encoded) for number in range(5)])
    lines = [make_row(number, "São Paulo") for number in range(9)] + [make_row(9, double_encoded)]
    assert read(tmp_path, lines)[0].kept == 10


def test_undecodable_bytes_quarantine_only_their_row(tmp_path):
    path = write_text(tmp_path / "a.csv", [make_row(number, "São Paulo") for number in range(5)])
    path.write_bytes(path.read_bytes().replace("São Paulo".encode(), b"S\xc3\x81\x81o", 1))
    ledger = ingest(path, None, mapping=UTC)
    assert (ledger.kept, ledger.quarantined) == (4, 1)


def test_a_wrong_declared_encoding_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is not text in cp932"):
        read(tmp_path, [make_row(0, "Zürich")], UTC.model_copy(update={"encoding": "cp932"}), encoding="cp1252")
