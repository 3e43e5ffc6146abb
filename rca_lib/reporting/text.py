# Tested in tests/reporting/test_headline.py.
"""Small functions on the text of reports."""

from __future__ import annotations


def capitalize_first(text: str) -> str:
    """Return a text with its first letter in upper case.

    Examples
    --------
    >>> capitalize_first("accuracy of Lisbon")
    'Accuracy of Lisbon'
    """
    return text[:1].upper() + text[1:]
