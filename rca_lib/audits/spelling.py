r"""Spellings of one name: what is typographic is folded, what differs in substance stays apart.

Two functions decide, and everything else is built on them.

`clean_text` takes away what nobody sees: control characters, invisible characters, white space that is doubled or at
an end, accents that are written apart from their letter. It changes one value without a look at any other.
`spelling_key` is equal for two spellings of one name: width, ligatures, dashes, quotes, quotes around the whole, 1.0
for 1, and upper and lower case unless case is kept. A key is never stored: of the spellings with one key the most
frequent becomes the name (`choose_names`).

Both refine what `visible` shows, so that names which intake keeps apart also look different.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

# Characters without a glyph (Unicode: Default_Ignorable_Code_Point), without joiners and variation selectors, which
# change the letters beside them, and without the tags that tell flags apart.
HIDDEN = (
    "\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
)
BLANK = "\\s\\x00-\\x1f\\x7f-\\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u115f\u1160\u2800\u3164\uffa0"
JOINERS = "\u200c\u200d"
SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
APOSTROPHES = "\u2018\u2019\u201a\u201b\u2032\u2035`\u00b4\u02b9\u02bc\u2039\u203a\uff07"
QUOTATION = "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u301d\u301e\u301f\uff02"

_HIDDEN = re.compile(f"[{HIDDEN}]+")
_BLANK = re.compile(f"[{BLANK}]+")
_ENDS = re.compile(f"^[ {JOINERS}{SELECTORS}]+|[ {JOINERS}]+$")
_UNSEEN = re.compile(f"[{JOINERS}{SELECTORS}]+")
_QUOTED = re.compile(r"""(?P<mark>["'])((?:(?!(?P=mark)).)+)(?P=mark)""", re.DOTALL)
_WHOLE = re.compile(r"([+-]?\d+)(\.0+|,0{1,2})")
PLAIN = {ord(sign): plain for signs, plain in ((DASHES, "-"), (APOSTROPHES, "'"), (QUOTATION, '"')) for sign in signs}
# The same for ids, whose plain signs stay what they are, and full-width signs.
PLAIN_ID = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | PLAIN
del PLAIN_ID[ord("`")]


def clean_text(text: str) -> str:
    r"""Take away what nobody sees in a text: the form in which names are stored.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        The text in Unicode's composed form (NFC), without control and invisible characters, with single blanks inside
        and none at its ends; empty where nothing can be seen.

    Notes
    -----
    Joiners between letters stay: in Persian, in the scripts of India and in emoji they change what is seen.

    Examples
    --------
    >>> clean_text("\u200b no\u00a0  violation\t"), clean_text("\u200b")
    ('no violation', '')
    """
    if text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
        return text
    return _ENDS.sub("", _BLANK.sub(" ", unicodedata.normalize("NFC", _HIDDEN.sub("", text))))


def clean_id(text: str) -> str:
    """Clean the id of an item or audit, which is compared with the same id in other tables.

    As `clean_text`; full-width signs, dashes and quotes become plain ones, and a whole number loses its `.0`. Letters
    keep their case: ids of some systems differ by it alone.

    Examples
    --------
    >>> clean_id("A–12"), clean_id("１２"), clean_id("7.0")
    ('A-12', '12', '7')
    """
    return re.sub(r"^(\d+)\.0$", r"\1", clean_text(text).translate(PLAIN_ID))


def visible(text: str) -> str:
    """Return what is seen of a text: `clean_text` without joiners and variation selectors."""
    return unicodedata.normalize("NFC", _UNSEEN.sub("", clean_text(text)))


def spelling_key(text: str, *, fold_case: bool = True) -> str:
    """Return what all spellings of one name have in common.

    Parameters
    ----------
    text
        A name as it is written.
    fold_case
        Whether upper and lower case are one; not for people, whose pseudonyms may differ by case alone.

    Returns
    -------
    str
        A key to compare, not to show.

    Notes
    -----
    Compatibility characters count as the plain ones (Unicode NFKC), so that ² is 2. Punctuation inside a name, word
    order, translations and typing errors are differences of substance: `hate_speech` and `hate speech` are two names.

    Examples
    --------
    >>> spelling_key("“Can’t tell”") == spelling_key("can't  TELL"), spelling_key("1.0"), spelling_key("Ａna")
    (True, '1', 'ana')
    """
    key = unicodedata.normalize("NFKC", visible(text).translate(PLAIN)).translate(PLAIN)
    if fold_case:
        key = unicodedata.normalize("NFKC", key.casefold()).replace("i\u0307", "i")
    key = " ".join(key.split())
    while quoted := _QUOTED.fullmatch(key):
        key = quoted[2].strip()
    whole = _WHOLE.fullmatch(key)
    return whole[1] if whole else key


def choose_names(
    spellings: Mapping[str, int], declared: Iterable[str] = (), *, fold_case: bool = True
) -> dict[str, str]:
    """Choose a name for each group of spellings with one key.

    Parameters
    ----------
    spellings
        How often each spelling occurs.
    declared
        Spellings that a person wrote down, in the mapping say; they are chosen first.
    fold_case
        As of `spelling_key`.

    Returns
    -------
    dict
        The name of each spelling that is not the name itself: declared, else the most frequent, else without quotes
        and signs that a plain keyboard lacks, else the last in the order of code points. Row order plays no part.

    Examples
    --------
    >>> choose_names({"spam": 9, "Spam": 2, "SPAM": 1, "hate": 4})
    {'SPAM': 'spam', 'Spam': 'spam'}
    >>> choose_names({"spam": 9, "Spam": 2}, ["Spam"])
    {'spam': 'Spam'}
    """
    wanted = set(map(clean_text, declared))
    groups: dict[str, list[str]] = {}
    for spelling in sorted(spellings):
        groups.setdefault(spelling_key(spelling, fold_case=fold_case), []).append(spelling)
    named = {spelling_key(name, fold_case=fold_case): name for name in sorted(wanted, reverse=True)}

    def rank(spelling: str) -> tuple[int, bool, bool, str]:
        return spellings[spelling], not spelling.startswith(("'", '"')), spelling.isascii(), spelling

    names = {}
    for key, group in groups.items():
        name = named.get(key) or max(group, key=rank)
        names |= {spelling: name for spelling in group if spelling != name}
    return names


def match_names(texts: Iterable[str], known: Iterable[str], *, fold_case: bool = True) -> dict[str, str]:
    """Match spellings of another table with names that are known, of the audits say.

    Returns
    -------
    dict
        The known name of each text that has one. A text that is a known name is that name, whatever else has its key.

    Examples
    --------
    >>> match_names(["Spam ", "sparn"], ["spam", "hate"])
    {'Spam ': 'spam'}
    """
    known = sorted(known, reverse=True)
    names = {spelling_key(name, fold_case=fold_case): name for name in known}
    exact = set(known)
    keys = {text: spelling_key(text, fold_case=fold_case) for text in texts}
    return {text: text if text in exact else names[key] for text, key in keys.items() if key in names}
