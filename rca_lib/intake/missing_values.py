# Tested in tests/intake/test_value_standardization.py.
r"""Words for missing values.

Some words always mean a missing value: spreadsheet errors (`#REF!`), database nulls (`\N`, `<NA>`) and placeholders in
brackets (`(blank)`). They are missing in every column. Other words are ambiguous: `None` is a label in some taxonomies,
and NA is Namibia. In columns of names they stay as values, and the ledger lists them. In columns of numbers, times,
flags or fixed words they can only mean a missing value.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from rca_lib.intake.text_normalization import clean_text, make_match_key

DEFAULT_NULLS = ("NULL", "null", "N/A", "n/a", "#N/A", "NaN", "nan")
# In lower case, as `make_match_key` writes them.
_BRACKETED = ("null", "nan", "nat", "na", "n/a", "blank", "blanks", "empty", "missing", "no value", "none")
MISSING_WORDS = frozenset(
    {"null", r"\n", r"\\n", "nan", "-nan", "nat", "n/a", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"}
    | {"#n/a", "#na", "#nv", "#n/d", "#n/v", "#getting_data"}
    | {f"{left}{word}{right}" for word in _BRACKETED for left, right in ("()", "[]", "<>", "{}")}
)
# Errors of Excel, Google Sheets and LibreOffice in any language: #REF!, #NAME?, #WERT!, #¡DIV/0!; #### in narrow cells.
SPREADSHEET_ERROR = re.compile(r"#[¡¿]?[\w/]+[!?]|#{3,}|err:\d{3}")
AMBIGUOUS_WORDS = frozenset(
    {"none", "na", "n.a.", "n.a", "n.e.", "n/d", "n/e", "nil", "void", "undefined", "unknown", "unkn", "unk", "missing"}
    | {"empty", "blank", "tbd", "tba", "not available", "not applicable", "not_available", "not_applicable"}
    | {"no value", "no data", "to be defined", "not set", "not specified", "unspecified"}
    | {"-", "--", "---", "----", "..", "...", "?", "??", "???", "/", "//", "_", "__", "*"}
)


def is_missing_word(text: str) -> bool:
    r"""Return whether a text always means a missing value.

    Examples
    --------
    >>> [word for word in (r"\N", "#REF!", "(blank)", "none", "#win") if is_missing_word(word)]
    ['\\N', '#REF!', '(blank)']
    """
    word = make_match_key(text)
    return word in MISSING_WORDS or bool(SPREADSHEET_ERROR.fullmatch(word))


def may_be_missing(text: str) -> bool:
    """Return whether a text often means a missing value, but may be a value.

    Examples
    --------
    >>> [word for word in ("None", "—", "N.A.", "benign") if may_be_missing(word)]
    ['None', '—', 'N.A.']
    """
    return make_match_key(text) in AMBIGUOUS_WORDS


def build_missing_pattern(
    *, include_ambiguous: bool = False, words: Collection[str] = (), exclude: Collection[str] = ()
) -> str:
    """Return the regular expression of the texts that mean a missing value, for a full match in DuckDB.

    Parameters
    ----------
    include_ambiguous
        Whether the ambiguous words are included, in any case.
    words
        Further words, in exactly this case.
    exclude
        Words that are values, in any case.
    """
    excluded = {word.lower() for word in exclude}
    all_words = MISSING_WORDS | AMBIGUOUS_WORDS if include_ambiguous else MISSING_WORDS
    missing_words = sorted(all_words - excluded)
    further = [re.escape(word) for word in sorted(set(words)) if word.lower() not in {*excluded, *missing_words}]
    any_case = "|".join([*map(re.escape, missing_words), SPREADSHEET_ERROR.pattern])
    return "|".join([f"(?i:{any_case})", *further])


def require_value(text: str) -> str:
    """Return the cleaned form of a text that must be a value.

    Raises
    ------
    ValueError
        If the text is blank or means a missing value.
    """
    clean = clean_text(text)
    if not clean or is_missing_word(clean):
        raise ValueError(f"{text!r} is not a value; write the value that every row has, or leave the column out")
    return clean


def find_null_like_names(nulls: Collection[str]) -> frozenset[str]:
    """Return the default null words that name a person or an item because the mapping's null words lack them.

    Examples
    --------
    >>> sorted(find_null_like_names(["?", "null"])), find_null_like_names(DEFAULT_NULLS)
    (['#n/a', 'n/a', 'nan'], frozenset())
    """
    declared = {word.lower() for word in nulls}
    return frozenset(word.lower() for word in DEFAULT_NULLS if word.lower() not in declared)
