# Tested in tests/intake/test_value_standardization.py.
"""Sets of labels, in the notations that annotation tools and databases export."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rca_lib.intake.missing_values import is_missing_word
from rca_lib.intake.text_normalization import clean_text, make_match_key

SEPARATOR = "|"  # between the labels of a set in the store
# Stronger first: a comma may be part of a label if another character separates.
_SEPARATOR_PATTERNS = re.compile(r"[;|\n\r\t\x1e\x1f]"), re.compile(",")
_NUMPY_STRINGS = re.compile(r"""\s*('[^']*'|"[^"]*")(\s+('[^']*'|"[^"]*"))+\s*""")
_LIST_ITEM = re.compile(r"""'([^']*)'|"([^"]*)"|([^,'"]+)""")
_BRACKETS = (("[", "]"), ("{", "}"), ("(", ")"))
# Keys under which annotation tools keep the labels of an answer.
_LABEL_KEYS = ("choices", "labels", "label", "values", "value", "result", "annotations", "answer", "name", "text")


def parse_label_set(text: str, known: Mapping[str, Any] = {}) -> tuple[str, ...]:
    """Parse a set of labels.

    Parameters
    ----------
    text
        Labels between `;`, `|`, `,` or line ends; a JSON array, or an object as Label Studio writes it; a list, tuple
        or set of Python; an array of Postgres (`{a,b}`); a list as DuckDB, pandas or numpy print it.
    known
        Spellings that are one label, even if they contain a separator. Only the keys are used.

    Returns
    -------
    tuple of str
        The labels in their order in the text, each once. The tuple is empty for an empty set.

    Examples
    --------
    >>> parse_label_set("spam; hate;"), parse_label_set('["spam","hate"]'), parse_label_set("{spam,hate}")
    (('spam', 'hate'), ('spam', 'hate'), ('spam', 'hate'))
    """
    text = text.strip()
    parts = _parse_structured(text)
    if parts is None:
        parts = _split(text, {make_match_key(name) for name in known})
    labels: dict[str, str] = {}
    for part in parts:
        label = clean_text(part.replace(SEPARATOR, "/"))
        key = make_match_key(label)
        if key and not is_missing_word(label):
            labels.setdefault(key, label)
    return tuple(labels.values())


def format_label_set(labels: Iterable[str]) -> str:
    """Write a set of labels as in the store: sorted, each label once.

    Examples
    --------
    >>> format_label_set(["spam", "hate", "spam"])
    'hate|spam'
    """
    return SEPARATOR.join(sorted(set(labels)))


def _parse_structured(text: str) -> list[str] | None:
    """Return the labels of a text in brackets, None for any other text."""
    if len(text) < 2 or (text[0], text[-1]) not in _BRACKETS:
        return None
    inside = text[1:-1]
    if text[0] == "(" and "," not in inside:
        return None  # a label in parentheses
    # numpy prints two labels as 'a' 'b', which Python would read as one.
    parsers = () if _NUMPY_STRINGS.fullmatch(inside) else (json.loads, ast.literal_eval)
    for parse in parsers:
        try:
            return list(_flatten_labels(parse(text)))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return ["".join(groups).strip() for groups in _LIST_ITEM.findall(inside)]


def _flatten_labels(value: Any) -> Iterable[str]:
    """Yield the labels in a nested JSON or Python value."""
    if isinstance(value, dict):
        label_keys = [key for key in _LABEL_KEYS if key in value]
        if label_keys:
            yield from _flatten_labels(value[label_keys[0]])
        else:  # flags by label: {"spam": true, "hate": false}
            yield from (str(label) for label, applies in value.items() if applies)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _flatten_labels(item)
    elif value is not None:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def _split(text: str, known_keys: set[str]) -> list[str]:
    """Split a text at its separators, except within known labels."""
    parts = [text]
    for pattern in _SEPARATOR_PATTERNS:
        pieces: list[str] = []
        for part in parts:
            pieces += [part] if make_match_key(part) in known_keys else pattern.split(part)
        parts = pieces
    return parts
