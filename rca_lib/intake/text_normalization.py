# Tested in tests/intake/test_value_standardization.py.
r"""Normalization of text: typographic variants of a name are merged, differences in substance are kept.

Two functions decide, and the others build on them.

`clean_text` removes what is invisible: control characters, zero-width characters, repeated or outer white space, and
accents stored apart from their letter. It depends on the one text only.

`make_match_key` returns one key for all spellings of a name (key collision, as in OpenRefine). The key ignores width,
ligatures, kinds of dashes and quotes, outer quotes, a trailing `.0`, and case unless case is kept. Keys are compared
and never stored: the most frequent spelling with a key becomes the name (`choose_canonical_names`).

Both refine what `remove_invisible` shows, so that names that are kept apart also look different.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

# Characters without a glyph (Unicode: Default_Ignorable_Code_Point). Joiners and variation selectors are not among
# them, because they change adjacent letters; nor are the tags that distinguish flags.
INVISIBLE_CHARACTERS = (
    "\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
)
WHITESPACE_CHARACTERS = (
    "\\s\\x00-\\x1f\\x7f-\\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u115f\u1160\u2800\u3164\uffa0"
)
JOINERS = "\u200c\u200d"
VARIATION_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
APOSTROPHES = "\u2018\u2019\u201a\u201b\u2032\u2035`\u00b4\u02b9\u02bc\u2039\u203a\uff07"
QUOTATION = "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u301d\u301e\u301f\uff02"

_INVISIBLE = re.compile(f"[{INVISIBLE_CHARACTERS}]+")
_WHITESPACE = re.compile(f"[{WHITESPACE_CHARACTERS}]+")
_INVISIBLE_ENDS = re.compile(f"^[ {JOINERS}{VARIATION_SELECTORS}]+|[ {JOINERS}]+$")
_ZERO_WIDTH = re.compile(f"[{JOINERS}{VARIATION_SELECTORS}]+")
_QUOTED = re.compile(r"""(?P<mark>["'])((?:(?!(?P=mark)).)+)(?P=mark)""", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)(\.0+|,0{1,2})")
PLAIN_PUNCTUATION = {
    ord(character): plain
    for characters, plain in ((DASHES, "-"), (APOSTROPHES, "'"), (QUOTATION, '"'))
    for character in characters
}
# For ids: full-width characters become plain, too, and the backtick, a plain character, stays.
PLAIN_ID_CHARACTERS = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | PLAIN_PUNCTUATION
del PLAIN_ID_CHARACTERS[ord("`")]


def clean_text(text: str) -> str:
    r"""Remove what is invisible in a text. Names are stored in this form.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The text in Unicode's composed form (NFC), without control and zero-width characters, and with single blanks
        between words. The result is empty if nothing is visible.

    Notes
    -----
    Joiners between letters stay: in Persian, in the scripts of India and in emoji they change what is visible.

    Examples
    --------
    >>> clean_text("\u200b no\u00a0  violation\t"), clean_text("\u200b")
    ('no violation', '')
    """
    if text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        return text
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return _INVISIBLE_ENDS.sub("", _WHITESPACE.sub(" ", composed))


def remove_invisible(text: str) -> str:
    """Return what is visible of a text: `clean_text` without joiners and variation selectors."""
    return unicodedata.normalize("NFC", _ZERO_WIDTH.sub("", clean_text(text)))


def make_match_key(text: str, *, fold_case: bool = True) -> str:
    """Return a key that all spellings of one name share.

    Parameters
    ----------
    text
        A name as it is written.
    fold_case
        Whether case is ignored. Use False for people, whose pseudonyms may differ only in case.

    Returns
    -------
    str
        A key for comparison, not for display.

    Notes
    -----
    Compatibility characters count as the plain ones (Unicode NFKC), so ² is 2. Punctuation inside a name, word order,
    translations and typing errors are differences in substance: `hate_speech` and `hate speech` are two names.

    Examples
    --------
    >>> make_match_key("“Can’t tell”") == make_match_key("can't  TELL"), make_match_key("1.0"), make_match_key("Ａna")
    (True, '1', 'ana')
    """
    plain = remove_invisible(text).translate(PLAIN_PUNCTUATION)
    key = unicodedata.normalize("NFKC", plain).translate(PLAIN_PUNCTUATION)
    if fold_case:
        key = unicodedata.normalize("NFKC", key.casefold()).replace("i\u0307", "i")
    key = " ".join(key.split())
    while quoted := _QUOTED.fullmatch(key):
        key = quoted[2].strip()
    whole_number = _WHOLE_NUMBER.fullmatch(key)
    return whole_number[1] if whole_number else key


def choose_canonical_names(
    spellings: Mapping[str, int], declared: Iterable[str] = (), *, fold_case: bool = True
) -> dict[str, str]:
    """Choose a name for each group of spellings with the same key.

    Parameters
    ----------
    spellings
        The number of rows of each spelling.
    declared
        Names that a person declared, in the mapping for example. They are preferred.
    fold_case
        As in `make_match_key`.

    Returns
    -------
    dict
        The name of each spelling that is not the name itself. Preferred are declared names, then the most frequent
        spelling, then spellings without quotes, then plain ASCII, then the last by code points. The order of rows does
        not matter.

    Examples
    --------
    >>> choose_canonical_names({"spam": 9, "Spam": 2, "SPAM": 1, "hate": 4})
    {'SPAM': 'spam', 'Spam': 'spam'}
    >>> choose_canonical_names({"spam": 9, "Spam": 2}, ["Spam"])
    {'spam': 'Spam'}
    """
    groups: dict[str, list[str]] = {}
    for spelling in sorted(spellings):
        groups.setdefault(make_match_key(spelling, fold_case=fold_case), []).append(spelling)
    declared_names = sorted(set(map(clean_text, declared)), reverse=True)
    declared_by_key = {make_match_key(name, fold_case=fold_case): name for name in declared_names}

    def rank(spelling: str) -> tuple[int, bool, bool, str]:
        is_unquoted = not spelling.startswith(("'", '"'))
        return spellings[spelling], is_unquoted, spelling.isascii(), spelling

    names: dict[str, str] = {}
    for key, group in groups.items():
        name = declared_by_key.get(key) or max(group, key=rank)
        names |= {spelling: name for spelling in group if spelling != name}
    return names


def match_canonical_names(texts: Iterable[str], known: Iterable[str], *, fold_case: bool = True) -> dict[str, str]:
    """Match spellings with known names, for example those of the audits.

    Parameters
    ----------
    texts
        Spellings in another table.
    known
        The known names.
    fold_case
        As in `make_match_key`.

    Returns
    -------
    dict
        The known name of each text that has one. A text that is itself a known name keeps it.

    Examples
    --------
    >>> match_canonical_names(["Spam ", "sparn"], ["spam", "hate"])
    {'Spam ': 'spam'}
    """
    known_names = sorted(known, reverse=True)
    names_by_key = {make_match_key(name, fold_case=fold_case): name for name in known_names}
    exact = set(known_names)
    keys = {text: make_match_key(text, fold_case=fold_case) for text in texts}
    return {text: text if text in exact else names_by_key[key] for text, key in keys.items() if key in names_by_key}
