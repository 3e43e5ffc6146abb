# Tested in tests/intake/test_csv_dialect.py.
"""Encodings of text files: which ones are supported, how the encoding of a file is detected, and when a person decides.

Detection goes from certain to uncertain: a byte-order mark, the zero bytes of UTF-16 and UTF-32, valid UTF-8, cp1252.
Any byte sequence is valid in several one-byte encodings. cp1252 is therefore assumed only if the words look like a
language of western Europe. Otherwise the error shows the first such word in common encodings, and a person decides.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rca_lib.findings import DataError

SUPPORTED_ENCODINGS = """
utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be ascii latin-1
cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258
cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874
cp932 shift_jis shift_jis_2004 shift_jisx0213 euc_jp euc_jis_2004 iso2022_jp gbk gb2312 gb18030 hz big5 big5hkscs cp950
cp949 euc_kr johab iso2022_kr koi8_r koi8_u koi8_t kz1048 ptcp154 tis_620
iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13
iso8859_14 iso8859_15 iso8859_16 mac_roman mac_latin2 mac_cyrillic mac_greek mac_iceland mac_turkish
"""
SUPPORTED_CODECS = frozenset(codecs.lookup(name).name for name in SUPPORTED_ENCODINGS.split())
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
SURROGATE_OFFSET = 0xDC00  # Python decodes an invalid byte b as the character 0xDC00 + b (surrogateescape)
CP1252 = {
    SURROGATE_OFFSET + byte: bytes([byte]).decode("cp1252", "ignore") or chr(SURROGATE_OFFSET + byte)
    for byte in range(0x80, 0x100)
}
UNDECODABLE_BYTE = re.compile("[\udc80-\udcff]")  # a byte that is neither UTF-8 nor cp1252
CANDIDATE_ENCODINGS = ("cp1250", "cp1251", "cp932", "gbk", "mac_roman", "cp437")  # in which an error shows a word
HEAD_BYTES = 4096  # at the start of a file, for its byte-order mark and zero bytes
MAX_IMPLAUSIBLE_SHARE = 0.25  # of words; a file with more is not cp1252, and good texts have next to none
MAX_WORDS = 5_000  # words that are collected
MAX_DOUBLE_ENCODED_SHARE = 0.2  # of lines with non-ASCII characters; a file with more was encoded twice

NON_ASCII_WORD = re.compile(r"[^\s,;|\"\x01]*[^\x00-\x7f\s,;|\"\x01][^\s,;|\"\x01]*")
LETTER = "A-Za-zÀ-ÖØ-öø-ÿŠšŽžŒœŸ"
UPPER = "À-ÖØ-ÞŠŽŒŸ"  # beyond ASCII
LOWER = "a-zß-öø-ÿšžœ"
IMPLAUSIBLE_WORD = re.compile(
    f"[{LETTER}][^{LETTER}\\x00-\\x7f’‘´·\\xad–—ªº²³\\u0300-\\u036f][{LETTER}]"  # a symbol inside a word: S‹o
    f"|[²³¹ªº¼½¾][{LETTER}]"  # Bia³ystok
    f"|[£¥¢¤¦§¨¬¯¶¸ƒˆ˜†‡‰][{LETTER}]|[{LETTER}][‚„ƒˆ˜†‡‰¨¤¦¬]"  # £ód, caf‚
    "|[¢-©«-¾]{2}|[¥¢¤¦§¨¬¯][_@\\[\\]^`{}~]"  # ¼\xad¿, ¥_
    f"|[{LOWER}][{UPPER}]|[{LETTER}][{UPPER}][{LOWER}]"  # cafŽ, JŠger
    f"|[À-ÖØ-öø-ÿŠšŽžŒœŸ]{{3}}|^[À-ÖØ-öø-ÿ]{{2,}}$"  # Ìîñêâà: western European words have more plain letters
    "|[œæ][œæ]|[þðÞÐ].*[çÇüÜ]|[çÇüÜ].*[þðÞÐ]"
)
MOJIBAKE_PATTERN = re.compile("[ÂÃÄÅÎÏÐÑØÙâãäåæçèé][^\x00-\x7f]{1,2}")


def normalize_encoding(name: str) -> str:
    """Return the standard name of a text encoding.

    Raises
    ------
    ValueError
        If the name is unknown, or names a codec that is not for text (base64, zip, idna …).

    Examples
    --------
    >>> normalize_encoding("windows-1250")
    'cp1250'
    """
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        codec = ""
    if codec not in SUPPORTED_CODECS:
        raise ValueError(f"{name!r} is not a text encoding such as cp1252, cp1250, cp932 or utf-16")
    return codec


# Detection -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _EncodingSurvey:
    """What the lines with non-ASCII characters are.

    `utf8`, `double_encoded` and `not_utf8` count lines. `undefined` is the first line, with its byte, that cp1252 does
    not define. `words` has the words of the lines that are not UTF-8, as cp1252, with their line.
    """

    utf8: int = 0
    double_encoded: int = 0
    not_utf8: int = 0
    undefined: tuple[int, str] | None = None
    first_double_encoded: str = ""
    words: dict[str, int] = field(default_factory=dict)


def detect_encoding(path: Path) -> str:
    """Detect the encoding of a text file: UTF-16, UTF-32, or UTF-8 that may hold lines of cp1252.

    Raises
    ------
    DataError
        If the file has another encoding, which only a person can name; or if the text was encoded twice.

    Notes
    -----
    A file is taken for cp1252 if all its bytes are defined there, and if fewer than a quarter of its words with
    non-ASCII characters are impossible in the languages of western Europe. The detection cannot distinguish words that
    are possible in both encodings, such as "Kšln" for "Köln" from an old Mac, or Turkish and Icelandic letters in a few
    names.
    """
    with path.open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    for mark, name in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return name
    zero_bytes = head.count(b"\x00")
    if zero_bytes * 3 > len(head):
        width = "utf-32" if zero_bytes * 3 > 2 * len(head) - 8 else "utf-16"
        return f"{width}-{'be' if head[:1] == bytes(1) else 'le'}"
    survey = _survey_lines(path)
    if survey.double_encoded > MAX_DOUBLE_ENCODED_SHARE * survey.utf8:
        word = survey.first_double_encoded
        correct_word = word.encode("cp1252", "replace").decode("utf-8", "replace")
        problem = f"{path.name} was encoded twice: {word} stands for {correct_word}"
        raise DataError(problem, hint="export it again as UTF-8")
    if survey.not_utf8 > survey.utf8:
        _reject_unknown_encoding(path.name, survey)
    return "utf-8-sig"


def _survey_lines(path: Path) -> _EncodingSurvey:
    """Classify the lines with non-ASCII characters."""
    survey = _EncodingSurvey()
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if line.isascii():
                continue
            text = line.decode("utf-8", "surrogateescape")
            if not UNDECODABLE_BYTE.search(text):
                survey.utf8 += 1
                mojibake = _find_mojibake(text)
                survey.double_encoded += bool(mojibake)
                survey.first_double_encoded = survey.first_double_encoded or mojibake
                continue
            survey.not_utf8 += 1
            text = line.decode("cp1252", "surrogateescape")
            undefined = UNDECODABLE_BYTE.search(text)
            if survey.undefined is None and undefined:
                survey.undefined = number, f"0x{ord(undefined[0]) - SURROGATE_OFFSET:02X}"
            if len(survey.words) < MAX_WORDS:
                survey.words |= {word: number for word in NON_ASCII_WORD.findall(text) if word not in survey.words}
    return survey


def _find_mojibake(text: str) -> str:
    """Return the first word that was encoded twice: in cp1252, its bytes are UTF-8 of another word."""
    if not MOJIBAKE_PATTERN.search(text):
        return ""
    for word in NON_ASCII_WORD.findall(text):
        try:
            if word.encode("cp1252").decode("utf-8") != word:
                return word
        except UnicodeError:
            continue
    return ""


def _reject_unknown_encoding(name: str, survey: _EncodingSurvey) -> None:
    """Raise an error unless the words are plausible in cp1252."""
    implausible = [word for word in survey.words if IMPLAUSIBLE_WORD.search(word) or UNDECODABLE_BYTE.search(word)]
    if survey.undefined is None and len(implausible) < MAX_IMPLAUSIBLE_SHARE * max(len(survey.words), 1):
        return
    word = (implausible or list(survey.words) or [""])[0]
    raw = _encode_word(word)
    if survey.undefined:
        line, byte = survey.undefined
        reason = f"the byte {byte} is undefined in cp1252"
    else:
        line = survey.words.get(word, 1)
        reason = "its words are implausible in cp1252"
    decoded = [f"{encoding}: {text}" for encoding in CANDIDATE_ENCODINGS if (text := _try_decode(raw, encoding))]
    hint = "write encoding: in the mapping"
    if decoded:
        hint += f"; the first such word is, in {'; in '.join(decoded)}"
    first = {"source_row": line, "word": UNDECODABLE_BYTE.sub("?", word)}
    raise DataError(f"the encoding of {name} is not UTF-8, and {reason}", rows=survey.not_utf8, first=first, hint=hint)


def _encode_word(word: str) -> bytes:
    """Return the bytes of a word that was decoded as cp1252."""
    return b"".join(
        bytes([ord(character) - SURROGATE_OFFSET]) if UNDECODABLE_BYTE.match(character) else character.encode("cp1252")
        for character in word
    )


def _try_decode(raw: bytes, encoding: str) -> str:
    """Return the text of bytes in an encoding, "" if they are invalid or unprintable there."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


# Reading -------------------------------------------------------------------------------------------------------------


def decode_lines(path: Path, encoding: str, repairs: list[str]) -> Iterator[str]:
    """Yield the lines of a text file, with their line ends.

    Parameters
    ----------
    path
        The file.
    encoding
        Its encoding. In a file of UTF-8 ("utf-8-sig"), bytes that are not UTF-8 are read as cp1252.
    repairs
        Is extended by "encoding cp1252" if there are such bytes.

    Raises
    ------
    DataError
        If the file has bytes that are invalid in a declared encoding.
    """
    is_utf8 = encoding == "utf-8-sig"
    repair = "encoding cp1252"
    with path.open(encoding=encoding, errors="surrogateescape" if is_utf8 else "strict", newline="") as handle:
        try:
            for line in handle:
                decoded = line if line.isascii() or not is_utf8 else line.translate(CP1252)
                if decoded != line and repair not in repairs:
                    repairs.append(repair)
                yield decoded
        except UnicodeDecodeError as error:
            problem = f"{path.name} is not text in {encoding}: {error.reason}"
            raise DataError(problem, hint="correct encoding in the mapping") from None
