"""Sets of labels, in the notations that tools export."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rca_lib.audits.nothing import is_nothing
from rca_lib.audits.spelling import clean_text, spelling_key

SEPARATOR = "|"
# Stronger first: a comma may stand inside a label where another sign separates.
_SEPARATORS = re.compile(r"[;|\n\r\t\x1e\x1f]"), re.compile(",")
_NUMPY = re.compile(r"""\s*('[^']*'|"[^"]*")(\s+('[^']*'|"[^"]*"))+\s*""")
_LISTED = re.compile(r"""'([^']*)'|"([^"]*)"|([^,'"]+)""")
# Where annotation tools keep the labels of an answer.
_HOLDERS = ("choices", "labels", "label", "values", "value", "result", "annotations", "answer", "name", "text")


def parse_label_set(text: str, known: Mapping[str, Any] = {}) -> tuple[str, ...]:
    """Read a set of labels.

    Parameters
    ----------
    text
        Labels between `;`, `|`, `,` or line ends; a JSON array, or an object as Label Studio writes it; a list, tuple
        or set of Python; an array of Postgres (`{a,b}`); a list as DuckDB, pandas or numpy print it.
    known
        Spellings that are one label, though a separator stands in them.

    Returns
    -------
    tuple of str
        The labels in the order they stand, each once; empty for an empty set.

    Examples
    --------
    >>> parse_label_set("spam; hate;"), parse_label_set('["spam","hate"]'), parse_label_set("{spam,hate}")
    (('spam', 'hate'), ('spam', 'hate'), ('spam', 'hate'))
    """
    text = text.strip()
    found = _read_structure(text)
    parts = _split(text, {spelling_key(name) for name in known}) if found is None else found
    cleaned = (clean_text(part.replace(SEPARATOR, "/")) for part in parts)
    labels = {}
    for part in cleaned:
        if (key := spelling_key(part)) and not is_nothing(part):
            labels.setdefault(key, part)
    return tuple(labels.values())


def write_label_set(labels: Iterable[str]) -> str:
    """Write a set of labels as the store holds it: in order, each once."""
    return SEPARATOR.join(sorted(set(labels)))


def _read_structure(text: str) -> list[str] | None:
    """Return the labels of a text in brackets; None where it has none."""
    if len(text) < 2 or (text[0], text[-1]) not in (("[", "]"), ("{", "}"), ("(", ")")):
        return None
    inside = text[1:-1]
    if text[0] == "(" and "," not in inside:
        return None  # a label in parentheses
    # Python would read 'a' 'b', as numpy prints two labels, as one.
    for read in () if _NUMPY.fullmatch(inside) else (json.loads, ast.literal_eval):
        try:
            return list(_gather(read(text)))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return ["".join(groups).strip() for groups in _LISTED.findall(inside)]


def _gather(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        holders = [name for name in _HOLDERS if name in value]
        if holders:
            yield from _gather(value[holders[0]])
        else:  # which labels apply: {"spam": true, "hate": false}
            yield from (str(name) for name, applies in value.items() if applies)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _gather(part)
    elif value is not None:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def _split(text: str, known: set[str]) -> list[str]:
    parts = [text]
    for separators in _SEPARATORS:
        parts = [
            piece for part in parts for piece in ([part] if spelling_key(part) in known else separators.split(part))
        ]
    return parts
