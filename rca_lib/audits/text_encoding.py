"""Encodings of text files: those that are known, which one a file has, and when only a person can say."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rca_lib.findings import DataError

NAMES = """
utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be ascii latin-1
cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258
cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874
cp932 shift_jis shift_jis_2004 shift_jisx0213 euc_jp euc_jis_2004 iso2022_jp gbk gb2312 gb18030 hz big5 big5hkscs cp950
cp949 euc_kr johab iso2022_kr koi8_r koi8_u koi8_t kz1048 ptcp154 tis_620
iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13
iso8859_14 iso8859_15 iso8859_16 mac_roman mac_latin2 mac_cyrillic mac_greek mac_iceland mac_turkish
"""
KNOWN = frozenset(codecs.lookup(name).name for name in NAMES.split())
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
CP1252 = {0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") or chr(0xDC00 + byte) for byte in range(0x80, 0x100)}
UNDEFINED = re.compile("[\udc80-\udcff]")  # bytes that are neither UTF-8 nor cp1252
TRIED = ("cp1250", "cp1251", "cp932", "gbk", "mac_roman", "cp437")  # what an offending word is shown in
DOUBTFUL = 0.25  # share of odd words from which a file is not taken for cp1252: good texts have next to none
MOST_WORDS = 5_000
TWICE = 0.2  # share of lines with signs beyond ASCII that were encoded twice

WORD = re.compile(r"[^\s,;|\"\x01]*[^\x00-\x7f\s,;|\"\x01][^\s,;|\"\x01]*")
LETTER, UPPER, LOWER = "A-Za-zÀ-ÖØ-öø-ÿŠšŽžŒœŸ", "À-ÖØ-ÞŠŽŒŸ", "a-zß-öø-ÿšžœ"
ODD = re.compile(
    f"[{LETTER}][^{LETTER}\\x00-\\x7f’‘´·\\xad–—ªº²³\\u0300-\\u036f][{LETTER}]"  # a sign inside of a word: S‹o
    f"|[²³¹ªº¼½¾][{LETTER}]"  # Bia³ystok
    f"|[£¥¢¤¦§¨¬¯¶¸ƒˆ˜†‡‰][{LETTER}]|[{LETTER}][‚„ƒˆ˜†‡‰¨¤¦¬]"  # £ód, caf‚
    "|[¢-©«-¾]{2}|[¥¢¤¦§¨¬¯][_@\\[\\]^`{}~]"  # ¼\xad¿, ¥_
    f"|[{LOWER}][{UPPER}]|[{LETTER}][{UPPER}][{LOWER}]"  # cafŽ, JŠger
    f"|[À-ÖØ-öø-ÿŠšŽžŒœŸ]{{3}}|^[À-ÖØ-öø-ÿ]{{2,}}$"  # Ìîñêâà: no word of western Europe has so few plain letters
    "|[œæ][œæ]|[þðÞÐ].*[çÇüÜ]|[çÇüÜ].*[þðÞÐ]"
)
SEQUENCE = re.compile("[ÂÃÄÅÎÏÐÑØÙâãäåæçèé][^\x00-\x7f]{1,2}")


def known_encoding(name: str) -> str:
    """Return the standard name of an encoding of texts.

    Raises
    ------
    ValueError
        If it is none, or one that is not for texts (base64, zip, idna …).

    Examples
    --------
    >>> known_encoding("windows-1250")
    'cp1250'
    """
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        found = ""
    if found not in KNOWN:
        raise ValueError(f"{name!r} is no encoding of texts such as cp1252, cp1250, cp932 or utf-16")
    return found


@dataclass(slots=True)
class _Survey:
    """What the lines of a file with signs beyond ASCII are: UTF-8, encoded twice, or neither."""

    utf8: int = 0
    twice: int = 0
    other: int = 0
    undefined: tuple[int, str] | None = None
    first_twice: str = ""
    words: dict[str, int] = field(default_factory=dict)


def find_encoding(path: Path) -> str:
    """Find the encoding of a text file: Unicode by its mark or its bytes, else UTF-8 with lines of cp1252 among them.

    Raises
    ------
    DataError
        If it is another one, which only a person can name; or a text that was encoded twice.

    Notes
    -----
    A file is taken for cp1252 where all its bytes have a meaning there and less than a quarter of its words with signs
    beyond ASCII are such as no language of western Europe has. It cannot tell words that are possible in both, such as
    "Kšln" for "Köln" of an old Mac, nor Turkish from Icelandic letters in a few names.
    """
    with path.open("rb") as handle:
        start = handle.read(4096)
    marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
    if marked:
        return marked
    if start.count(b"\x00") * 3 > len(start):
        wide = "utf-32" if start.count(b"\x00") * 3 > 2 * len(start) - 8 else "utf-16"
        return f"{wide}-{'be' if start[:1] == bytes(1) else 'le'}"
    survey = _survey_lines(path)
    if survey.twice > TWICE * survey.utf8:
        right = survey.first_twice.encode("cp1252", "replace").decode("utf-8", "replace")
        problem = f"{path.name} was encoded twice: {survey.first_twice} stands for {right}"
        raise DataError(problem, mend="export it again as UTF-8")
    if survey.other > survey.utf8:
        _refuse_strange(path.name, survey)
    return "utf-8-sig"


def _survey_lines(path: Path) -> _Survey:
    survey = _Survey()
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            if line.isascii():
                continue
            text = line.decode("utf-8", "surrogateescape")
            if not UNDEFINED.search(text):
                survey.utf8 += 1
                twice = _find_twice(text)
                survey.twice += bool(twice)
                survey.first_twice = survey.first_twice or twice
                continue
            survey.other += 1
            text = line.decode("cp1252", "surrogateescape")
            if survey.undefined is None and (found := UNDEFINED.search(text)):
                survey.undefined = number, f"0x{ord(found[0]) - 0xDC00:02X}"
            if len(survey.words) < MOST_WORDS:
                survey.words |= {word: number for word in WORD.findall(text) if word not in survey.words}
    return survey


def _find_twice(text: str) -> str:
    """Return the first word whose signs, written in cp1252, are UTF-8 again."""
    if not SEQUENCE.search(text):
        return ""
    for word in WORD.findall(text):
        try:
            if word.encode("cp1252").decode("utf-8") != word:
                return word
        except UnicodeError:
            continue
    return ""


def _refuse_strange(name: str, survey: _Survey) -> None:
    odd = [word for word in survey.words if ODD.search(word) or UNDEFINED.search(word)]
    if survey.undefined is None and len(odd) < DOUBTFUL * max(len(survey.words), 1):
        return
    word = (odd or list(survey.words) or [""])[0]
    raw = b"".join(bytes([ord(sign) - 0xDC00]) if UNDEFINED.match(sign) else sign.encode("cp1252") for sign in word)
    shown = [f"{encoding}: {text}" for encoding in TRIED if (text := _try(raw, encoding))]
    why = (
        f"the byte {survey.undefined[1]} means nothing in cp1252" if survey.undefined else "its words are odd in cp1252"
    )
    line = survey.undefined[0] if survey.undefined else survey.words.get(word, 1)
    mend = (
        f"write encoding: in the mapping; the first such word is, in {'; in '.join(shown)}"
        if shown
        else "write encoding: in the mapping"
    )
    first = {"source_row": line, "word": UNDEFINED.sub("?", word)}
    raise DataError(f"the encoding of {name} is not UTF-8, and {why}", rows=survey.other, first=first, mend=mend)


def _try(raw: bytes, encoding: str) -> str:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def read_lines(path: Path, encoding: str, repairs: list[str]) -> Iterator[str]:
    """Read lines as they are written; in a file of UTF-8, lines of cp1252 are read too and told in `repairs`.

    Raises
    ------
    DataError
        If bytes have no meaning in a declared encoding.
    """
    is_utf8, mark = encoding == "utf-8-sig", "encoding cp1252"
    with path.open(encoding=encoding, errors="surrogateescape" if is_utf8 else "strict", newline="") as handle:
        try:
            for line in handle:
                mended = line if line.isascii() or not is_utf8 else line.translate(CP1252)
                if mended != line and mark not in repairs:
                    repairs.append(mark)
                yield mended
        except UnicodeDecodeError as error:
            problem = f"{path.name} is no text in {encoding}: {error.reason}"
            raise DataError(problem, mend="correct encoding in the mapping") from None
