"""Masking of texts that may quote harmful content.

A masked text keeps its length and its script, and no character of its content. The script is that of most letters among
the first 200 characters, by their Unicode names.
"""

from __future__ import annotations

import unicodedata
from collections import Counter

MAX_INSPECTED_CHARACTERS = 200  # characters read to determine the script; enough for any comment


def mask_text(text: str | None) -> str:
    """Replace a text by its length and its script.

    Parameters
    ----------
    text
        The text; anything else counts as no text.

    Returns
    -------
    str
        Length and most frequent script, in brackets.

    Examples
    --------
    >>> mask_text("You are an idiot"), mask_text("Привет"), mask_text(None)
    ('[16 characters, Latin]', '[6 characters, Cyrillic]', '[no text]')
    """
    if not isinstance(text, str) or not text.strip():
        return "[no text]"
    letters = [character for character in text[:MAX_INSPECTED_CHARACTERS] if character.isalpha()]
    # The Unicode name of a letter begins with its script, such as "LATIN SMALL LETTER A".
    scripts = Counter(unicodedata.name(letter, "unknown").split()[0].title() for letter in letters)
    script = min(scripts, key=lambda name: (-scripts[name], name)) if scripts else "no letters"
    return f"[{len(text):,} characters, {script.replace('Cjk', 'CJK')}]"
