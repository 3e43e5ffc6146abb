"""Texts that a spreadsheet takes for formulas: in every CSV and workbook that is written they get an apostrophe."""

from __future__ import annotations

import re

# Behind apostrophes, blanks, line ends and marks without width; in full width, small form, and with the minus sign.
# `is_formula` in formulas.sql is the same pattern.
FORMULA = re.compile(
    r"^'*[\t\r\n]|^['\s\x00-\x20\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]*[=+@\-＝＋－＠﹢﹣﹦﹫−]"
)


def escape_formula(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; what is no text stays as it is.

    Examples
    --------
    >>> escape_formula(" =1+1"), escape_formula("fine"), escape_formula(-1.5)
    ("' =1+1", 'fine', -1.5)
    """
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell
