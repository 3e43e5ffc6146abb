# Tested in tests/intake/test_side_tables.py.
"""Validation and parsing of single values in side tables: dates, keywords, scopes, shares, numbers.

Each `validate_…` function returns the value in the form in which the store keeps it. If a value is invalid, the
function adds an issue to the table file. A cell that is read differently from what it says is recorded as a repair.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

import pandas as pd

from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns, parse_scope
from rca_lib.intake.column_mapping import ColumnMapping
from rca_lib.intake.side_table_issues import MIN_SIMILARITY, TableFile, format_value, normalize_keyword

DATE_HINT = "write it as 2026-03-09 or 2026-03-09 14:30"
SCOPE_HINT = "write column=value, such as site=Lisbon, with ; between pairs; leave it empty to cover all audits"
SHARE_HINT = "write it as a share or with a percent sign: 0.97 or 97%"
EARLIEST_DATE = pd.Timestamp("1990-01-01")  # no audit is older: an earlier date is a typing error
LATEST_DATE = pd.Timestamp("2100-01-01")  # exclusive; a later date is a typing error
MAX_NUMBER_CHARS = 40  # longer text is no number that a person typed
SCOPE_KEYS = list_columns(AUDIT_COLUMNS)
NUMERIC_DATE = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]")
MIDNIGHT = re.compile(r"[ T]0?0:00(:00(\.0+)?)?$|[ T]12:00(:00)? ?AM$", re.IGNORECASE)

Times = dict[object, tuple[pd.Timestamp | None, bool]]
"""Times by row: the instant in UTC (None if it cannot be read), and whether it is a day without a clock time."""


def collect_times(table_file: TableFile, column: str) -> Times:
    """Return the times of a column by row.

    Parameters
    ----------
    table_file
        The file that was read.
    column
        The name of a date column.

    Returns
    -------
    dict
        Per row the instant in UTC (None if it cannot be read), and whether it is a day without a clock time. Empty if
        the file has no such column.

    Notes
    -----
    Midnight in the time zone of the file counts as a day, because spreadsheets write days as midnights.
    """
    if column not in table_file.parsed_values:
        return {}
    times: Times = {}
    for row, instant in table_file.parsed_values[column].items():
        text = str(table_file.texts.at[row, column] or "")
        if pd.isna(instant):
            times[row] = (None, False)
        elif table_file.is_day_only.at[row, column]:
            times[row] = (pd.Timestamp(instant), True)
        elif MIDNIGHT.search(text):
            local = pd.Timestamp(instant).tz_localize("UTC").tz_convert(table_file.time_zone).tz_localize(None)
            times[row] = (local.normalize(), True)
        else:
            times[row] = (pd.Timestamp(instant), False)
    return times


def validate_time(
    table_file: TableFile, row: object, column: str, text: str | None, times: Times, *, required: bool = False
) -> str | None:
    """Return a time as the store writes it: 2026-03-09, or 2026-03-09T14:30:00Z.

    Parameters
    ----------
    table_file
        The file; issues are added to it.
    row, column
        Where the value stands.
    text
        The text of the cell; None if it is empty.
    times
        The times of the column, as `collect_times` returns them.
    required
        Whether an empty cell is an issue.

    Returns
    -------
    str or None
        The day or the instant in UTC; None if the cell is empty or cannot be read.
    """
    if text is None:
        if required:
            table_file.add_issue(row, column, "the date is missing", DATE_HINT)
        return None
    instant, is_day = times.get(row, (None, False))
    if instant is None:
        if table_file.has_unknown_date_order and NUMERIC_DATE.match(text):
            return None  # the file already has an issue about its date order
        hint = f"{DATE_HINT}, or correct date_order in the mapping"
        table_file.add_issue(row, column, f"{format_value(text)} cannot be read as a date", hint)
        return None
    if not EARLIEST_DATE <= instant < LATEST_DATE:
        table_file.add_issue(row, column, f"{format_value(text)} is before 1990 or after 2099", "correct the year")
    return f"{instant:%Y-%m-%d}" if is_day else f"{instant.isoformat()}Z"


def validate_keyword(
    table_file: TableFile, row: object, column: str, text: str | None, keywords: Sequence[str], *, required: bool = True
) -> str | None:
    """Return one of the allowed keywords; case, spaces and hyphens may differ.

    Parameters
    ----------
    table_file
        The file; issues and repairs are added to it.
    row, column
        Where the value stands.
    text
        The text of the cell; None if it is empty.
    keywords
        The allowed keywords.
    required
        Whether an empty cell is an issue.

    Returns
    -------
    str or None
        The keyword; None if the cell is empty or has another word.
    """
    if text is None:
        if required:
            table_file.add_issue(row, column, f"{column} is missing", f"choose one of {', '.join(keywords)}")
        return None
    keyword = normalize_keyword(text)
    if keyword not in keywords:
        nearest = get_close_matches(keyword, keywords, 3, MIN_SIMILARITY)
        hint = f"nearest: {', '.join(nearest)}" if nearest else f"choose one of {', '.join(keywords)}"
        table_file.add_issue(row, column, f"{format_value(text)} is not a known {column}", hint)
        return None
    if keyword != text:
        table_file.add_repair(row, column, f"{format_value(text)} is read as {keyword}")
    return keyword


def validate_scope(table_file: TableFile, row: object, text: str | None) -> str | None:
    """Return a scope as the store writes it: `site=Lisbon;policy=hate`.

    Parameters
    ----------
    table_file
        The file; issues and repairs are added to it.
    row
        The row of the scope.
    text
        The text of the cell. Empty and `*` cover all audits.

    Returns
    -------
    str or None
        The scope; None if it covers all audits or is invalid.
    """
    if text is None or text.strip() in ("", "*"):
        return None
    pairs: dict[str, str] = {}
    for pair in re.split(r"[;\n]", text):
        if not pair.strip():
            continue
        name, sign, value = (part.strip() for part in pair.partition("="))
        problem = _describe_pair_error(pair.strip(), name, sign, value, pairs)
        if problem:
            table_file.add_issue(row, "scope", problem, SCOPE_HINT)
            return None
        keyword = normalize_keyword(name)
        pairs[keyword if keyword in SCOPE_KEYS else name] = value
    scope = ";".join(f"{name}={value}" for name, value in pairs.items())
    if parse_scope(text) != pairs:
        table_file.add_repair(row, "scope", f"{format_value(text)} is read as {scope}")
    return scope or None


def _describe_pair_error(pair: str, name: str, sign: str, value: str, earlier_pairs: dict[str, str]) -> str:
    """Describe what is wrong with a pair of a scope; "" if it is valid."""
    if not sign:
        return f"{format_value(pair)} is not a pair of column and value"
    if not name or not value or value.startswith("="):
        return f"{format_value(pair)} lacks a column or a value"
    if re.search(r"([,&|]|\band\b)\s*\w+\s*=", value):
        return f"{format_value(pair)} contains several pairs"
    earlier_keywords = {normalize_keyword(key) for key in earlier_pairs}
    return f"{format_value(name)} appears twice in the scope" if normalize_keyword(name) in earlier_keywords else ""


def validate_share(
    table_file: TableFile, row: object, column: str, text: str | None, *, required: bool = False
) -> str | None:
    """Return a share between 0 and 1 as text; `0,97`, `97%` and `97 %` are read, 97 is not.

    Parameters
    ----------
    table_file
        The file; issues and repairs are added to it.
    row, column
        Where the value stands.
    text
        The text of the cell; None if it is empty.
    required
        Whether an empty cell is an issue.

    Returns
    -------
    str or None
        The share with up to 10 significant digits; None if the cell is empty or invalid.
    """
    if text is None:
        if required:
            table_file.add_issue(row, column, "the number is missing", SHARE_HINT)
        return None
    number = parse_decimal(text)
    if number is None:
        table_file.add_issue(row, column, f"{format_value(text)} is not a number", SHARE_HINT)
        return None
    if not 0 <= number <= 1:
        suggestion = f"{number / 100:g} or {number:g}%" if 1 < number <= 100 and "%" not in text else ""
        hint = f"write it as {suggestion}" if suggestion else SHARE_HINT
        table_file.add_issue(row, column, f"{format_value(text)} is not a share between 0 and 1", hint)
        return None
    share = f"{number:.10g}"
    if "%" in text or "," in text:
        table_file.add_repair(row, column, f"{format_value(text)} is read as {share}")
    return share


def validate_count(
    table_file: TableFile, row: object, column: str, text: str | None, mapping: ColumnMapping, *, minimum: int
) -> str | None:
    """Return a whole number as text.

    Parameters
    ----------
    table_file
        The file; issues are added to it.
    row, column
        Where the value stands.
    text
        The text of the cell; None if it is empty.
    mapping
        Its decimal mark decides which character may separate thousands.
    minimum
        The smallest number allowed.

    Returns
    -------
    str or None
        The number; None if the cell is empty or invalid.
    """
    if text is None:
        return None
    count = parse_integer(text, mapping)
    if count is None or count < minimum:
        hint = f"write a whole number of {minimum} or more, without thousands separators"
        table_file.add_issue(row, column, f"{format_value(text)} is not a whole number of {minimum} or more", hint)
        return None
    return str(count)


def parse_decimal(text: str) -> float | None:
    """Parse a number without thousands separators: a decimal point or comma, perhaps a percent sign.

    Parameters
    ----------
    text
        The text of a cell.

    Returns
    -------
    float or None
        The number; percentages are divided by 100. None if the text is no such number.

    Examples
    --------
    >>> parse_decimal("97,5 %"), parse_decimal("0.97"), parse_decimal("1,000.5"), parse_decimal("nan")
    (0.975, 0.97, None, None)
    """
    plain = text.replace("\u00a0", " ").strip()
    match = re.fullmatch(r"([+-]?\d*[.,]?\d+|[+-]?\d+[.,])\s*(%?)", plain, re.ASCII)
    if not match or len(text) > MAX_NUMBER_CHARS:
        return None
    number = float(match[1].replace(",", "."))
    return round(number / 100, 12) if match[2] else number


def parse_integer(text: str, mapping: ColumnMapping) -> int | None:
    """Parse a whole number.

    Parameters
    ----------
    text
        The text of a cell.
    mapping
        Its decimal mark. Thousands may be separated by spaces, apostrophes or the other mark (only if it is declared).

    Returns
    -------
    int or None
        The number; None if the text is no whole number.

    Examples
    --------
    >>> (parse_integer("12 000", ColumnMapping()), parse_integer("12,000", ColumnMapping()),
    ...  parse_integer("12,000", ColumnMapping(decimal=".")))
    (12000, None, 12000)
    """
    separator = {".": ",", ",": r"\."}.get(mapping.decimal or "", "'")
    decimal_mark = re.escape(mapping.decimal or ".")
    grouped = rf"\d{{1,3}}(?:(?:['’ \u00a0\u202f]\d{{3}}){{1,4}}|(?:{separator}\d{{3}}){{1,4}})"
    match = re.fullmatch(rf"(\d{{1,15}}|{grouped})(?:{decimal_mark}0+)?", text.strip(), re.ASCII)
    return int(re.sub(r"\D", "", match[1])) if match else None
