# Tested in tests/cli/test_cli.py.
"""Control characters in texts from data: escaped, so that they cannot control a terminal, break lines or hide text."""

from __future__ import annotations

import unicodedata

CONTROL_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories that control a terminal or are invisible
JOINERS = "\u200c\u200d"  # needed by scripts and emoji; they control nothing


def escape_control_chars(text: object, *, max_chars: int | None = None) -> str:
    r"""Return a text with its control characters written as escapes.

    Parameters
    ----------
    text
        Anything; it is converted with `str`.
    max_chars
        The length from which on the text is cut; None (default) for no limit.

    Examples
    --------
    >>> print(escape_control_chars("a\x1b[31m\nb\u202e"))
    a\x1b[31m\nb\u202e
    >>> escape_control_chars("abcdef", max_chars=3)
    'abc …'
    """
    escaped = str(text)
    if not (escaped.isascii() and escaped.isprintable()):
        escaped = "".join(repr(char)[1:-1] if _is_control(char) else char for char in escaped)
    return escaped if max_chars is None or len(escaped) <= max_chars else f"{escaped[:max_chars]} …"


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in CONTROL_CATEGORIES and char not in JOINERS
