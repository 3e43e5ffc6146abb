r"""Words that stand for no value.

Some can mean nothing else: the errors of spreadsheets (`#REF!`), the null of a database (`\N`, `<NA>`), placeholders
in brackets (`(blank)`). They are no value in any column. Others may be a value: `None` is a label of some taxonomies
and NA is Namibia. They stay where names are expected, and the ledger lists them; where only numbers, times, flags or
words of a fixed list are expected they can mean nothing but "no value".
"""

from __future__ import annotations

import re
from collections.abc import Collection

from rca_lib.audits.spelling import clean_text, spelling_key

NULLS = ("NULL", "null", "N/A", "n/a", "#N/A", "NaN", "nan")
# In lower case, as `spelling_key` writes them.
_BRACKETED = ("null", "nan", "nat", "na", "n/a", "blank", "blanks", "empty", "missing", "no value", "none")
NOTHING = frozenset(
    {"null", r"\n", r"\\n", "nan", "-nan", "nat", "n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"}
    | {"#n/a", "#na", "#nv", "#n/d", "#n/v", "#getting_data"}
    | {f"{left}{word}{right}" for word in _BRACKETED for left, right in ("()", "[]", "<>", "{}")}
)
# The errors of Excel, Google Sheets and LibreOffice in any language: #REF!, #NAME?, #WERT!, #¡DIV/0!; cells too narrow.
ERROR = re.compile(r"#[¡¿]?[\w/]+[!?]|#{3,}|err:\d{3}")
DOUBTFUL = frozenset(
    {"none", "na", "n.a.", "n.a", "n.e.", "n/d", "n/e", "nil", "void", "undefined", "unknown", "unkn", "unk", "missing"}
    | {"empty", "blank", "tbd", "tba", "not available", "not applicable", "not_available", "not_applicable"}
    | {"no value", "no data", "to be defined", "not set", "not specified", "unspecified"}
    | {"-", "--", "---", "----", "..", "...", "?", "??", "???", "/", "//", "_", "__", "*"}
)


def is_nothing(text: str) -> bool:
    r"""Tell whether a text can only stand for no value.

    Examples
    --------
    >>> [word for word in (r"\N", "#REF!", "(blank)", "none", "#win") if is_nothing(word)]
    ['\\N', '#REF!', '(blank)']
    """
    word = spelling_key(text)
    return word in NOTHING or bool(ERROR.fullmatch(word))


def looks_like_nothing(text: str) -> bool:
    """Tell whether a text often stands for no value, and may be one.

    Examples
    --------
    >>> [word for word in ("None", "—", "N.A.", "benign") if looks_like_nothing(word)]
    ['None', '—', 'N.A.']
    """
    return spelling_key(text) in DOUBTFUL


def pattern_of_nothing(*, doubtful: bool = False, words: Collection[str] = (), but: Collection[str] = ()) -> str:
    """Return the pattern of the texts that stand for no value, for an engine that matches a whole text with it.

    Parameters
    ----------
    doubtful
        Whether the doubtful words are among them, in any case.
    words
        Further words, in the case in which they stand here.
    but
        Words that are values, in any case.
    """
    values = {word.lower() for word in but}
    known = sorted((NOTHING | (DOUBTFUL if doubtful else frozenset())) - values)
    own = [re.escape(word) for word in sorted(set(words)) if word.lower() not in {*values, *known}]
    return "|".join([f"(?i:{'|'.join([*map(re.escape, known), ERROR.pattern])})", *own])


def require_value(text: str) -> str:
    """Return a text cleaned.

    Raises
    ------
    ValueError
        If it is blank, or stands for no value.
    """
    if not (clean := clean_text(text)) or is_nothing(clean):
        raise ValueError(f"{text!r} is no value; write the value that every row has, or leave the column out")
    return clean


def names_of_people(nulls: Collection[str]) -> frozenset[str]:
    """Return the usual null words that name a person or an item, since the mapping's own null words lack them.

    Examples
    --------
    >>> sorted(names_of_people(["?", "null"])), names_of_people(NULLS)
    (['#n/a', 'n/a', 'nan'], frozenset())
    """
    given = {word.lower() for word in nulls}
    return frozenset(word.lower() for word in NULLS if word.lower() not in given)
