"""Protection against formula injection: text that a spreadsheet would run as a formula gets a leading apostrophe.

Every CSV file and workbook that the package writes passes its text through `escape_formula` (OWASP: CSV injection).
"""

from __future__ import annotations

import re

# A formula may follow apostrophes, blanks, line ends and zero-width characters. Its first character may be full-width,
# a small form, or the minus sign. The macro `is_formula` in formula_injection.sql has the same pattern.
FORMULA_PATTERN = re.compile(
    r"^'*[\t\r\n]|^['\s\x00-\x20\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]*[=+@\-＝＋－＠﹢﹣﹦﹫−]"
)


def escape_formula(cell: object) -> object:
    """Return a cell that no spreadsheet runs as a formula. Cells other than text are unchanged.

    Examples
    --------
    >>> escape_formula(" =1+1"), escape_formula("fine"), escape_formula(-1.5)
    ("' =1+1", 'fine', -1.5)
    """
    return f"'{cell}" if isinstance(cell, str) and FORMULA_PATTERN.match(cell) else cell


def unescape_formula(cell: str) -> str:
    """Remove the apostrophe that `escape_formula` added.

    Examples
    --------
    >>> unescape_formula("' =1+1"), unescape_formula("'quoted'")
    (' =1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and FORMULA_PATTERN.match(cell[1:]) else cell
