# Tested in tests/test_odd_values.py.
"""Checks of columns: names in codes, yes and no, whole numbers. Values may be text. Invalid values are rejected."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_numeric_dtype

from rca_lib.findings import DataError

MAX_EXACT_INTEGER = 2**53  # floats cannot represent every whole number from here on
# The words that `cell_parsing.sql` reads as yes and no.
BOOLEAN_WORDS = dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True)
BOOLEAN_WORDS |= dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False)


def reject_rows(rows: pd.DataFrame, problem: str, column: str, hint: str) -> None:
    """Raise a DataError where there are invalid rows, with the first of them in sorted order."""
    if len(rows):
        first = rows.sort_values(list(rows.columns)).iloc[0].to_dict()
        raise DataError(problem, column=column, rows=len(rows), first=first, hint=hint)


def factorize_names(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Encode a column of names.

    Parameters
    ----------
    table
        Any table.
    name
        The column.

    Returns
    -------
    codes, names
        The code of each row (-1 where it is missing), and the names in sorted order.

    Raises
    ------
    DataError
        If a name is blank or has white space at its ends; is written in two ways that look alike, or as text in some
        rows and as a number in others; is a number too large to be exact; or is not a name at all.

    Examples
    --------
    >>> factorize_names(pd.DataFrame({"rater": ["b", "a", "b"]}), "rater")
    (array([1, 0, 1]), array(['a', 'b'], dtype=object))
    """
    try:
        code, unique = _factorize(table[name])
    except TypeError:
        hint = f"write {name} as text or as a number"
        problem = f"{name} holds lists, or values of types that cannot be compared"
        raise DataError(problem, column=name, rows=len(table), hint=hint) from None
    names = np.asarray(unique, dtype=object)
    is_invalid, problem, hint = _find_invalid_names(names)
    if is_invalid.any():
        reject_rows(table[np.append(is_invalid, False)[code]], f"{name} {problem}", name, hint)
    return code.astype(np.int64), names


def _factorize(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and sorted values, as `pandas.factorize(sort=True)` does."""
    if getattr(values.dtype, "storage", "") != "python":
        code, sorted_values = pd.factorize(values, sort=True)
        return code, np.asarray(sorted_values, dtype=object)
    code, unique = pd.factorize(values.to_numpy(object))  # pandas needs half as long again for a text column
    order = np.argsort(unique, kind="stable")
    return np.append(np.argsort(order), -1)[code], unique[order]


def _find_invalid_names(names: np.ndarray) -> tuple[np.ndarray, str, str]:
    """Return a mask of the invalid ones among distinct names, the problem, and the hint."""
    dtype = infer_dtype(names)
    if dtype.startswith("mixed"):
        texts = pd.Series(names).astype(str).str.strip().str.removesuffix(".0")
        problem = "is written as a number in some rows, as text in others"
        return texts.duplicated(keep=False).to_numpy(), problem, "write it the same way everywhere"
    if dtype == "floating":
        is_inexact = ~(np.abs(names.astype(float)) < MAX_EXACT_INTEGER)
        return is_inexact, "is a number too large to be exact", "write it as text"
    if dtype != "string":
        return np.zeros(len(names), bool), "", ""
    is_untrimmed = np.fromiter((not name or name != name.strip() for name in names), bool, len(names))
    if is_untrimmed.any():
        problem = "is blank or has white space at its ends"
        return is_untrimmed, problem, "trim it, and leave missing values empty"
    visible = pd.Series(names)
    unusual = [index for index, name in enumerate(names) if "  " in name or not (name.isascii() and name.isprintable())]
    visible.iloc[unusual] = [_normalise_visible(names[index]) for index in unusual]
    problem = "is written in two ways that look alike (white space, accents or invisible characters)"
    return visible.duplicated(keep=False).to_numpy(), problem, "write it the same way everywhere"


def _normalise_visible(name: str) -> str:
    """Return the visible part of a name: composed characters, no format characters, single spaces."""
    composed = unicodedata.normalize("NFC", name)
    visible = (character for character in composed if unicodedata.category(character) != "Cf")
    return " ".join("".join(visible).split())


def validate_names(table: pd.DataFrame, *columns: str) -> None:
    """Reject missing values in columns of names, and what `factorize_names` rejects.

    Raises
    ------
    DataError
        For the first column with an invalid name.
    """
    for column in columns:
        reject_rows(table[table[column].isna()], f"{column} is missing", column, "fill it in")
        names = table[column].to_numpy(object)
        # Most columns hold text only. They are checked without the cost of encoding them.
        if infer_dtype(names) != "string" or _find_invalid_names(pd.unique(names))[0].any():
            factorize_names(table, column)


def require_same_type(table: pd.DataFrame, name: str, other_values: pd.Series) -> None:
    """Raise a DataError where a column holds text and the values it is matched with are numbers, or the reverse."""
    dtypes = {infer_dtype(values.to_numpy(object)) for values in (table[name], other_values)}
    if "string" in dtypes and dtypes & {"integer", "floating"}:
        problem = f"{name} is text in one table, a number in the other"
        reject_rows(table, problem, name, "write it the same way in both")


def parse_booleans(table: pd.DataFrame, name: str) -> pd.Series:
    """Read a column of yes and no, which may be text or numbers; the words are those of the intake.

    Returns
    -------
    Series
        Nullable booleans; a missing value stays missing.

    Raises
    ------
    DataError
        If a value is neither.

    Examples
    --------
    >>> parse_booleans(pd.DataFrame({"blind": ["No", "TRUE", None]}), "blind").tolist()
    [False, True, <NA>]
    """
    words = _strip_texts(table[name]).str.lower()
    booleans = words.map(BOOLEAN_WORDS).astype("boolean")
    is_invalid = (booleans.isna() & words.notna()).to_numpy(bool)
    reject_rows(table[is_invalid], f"{name} is neither yes nor no", name, "write true or false")
    return booleans


def parse_positive_integers(table: pd.DataFrame, name: str) -> pd.Series:
    """Read a column of whole numbers from 1 on, which may be text; a missing value is 1.

    Raises
    ------
    DataError
        If a value is not such a number.

    Examples
    --------
    >>> parse_positive_integers(pd.DataFrame({"trial": ["1", " 2.0", None]}), "trial").tolist()
    [1, 2, 1]
    """
    is_numeric = is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])
    values = table[name] if is_numeric else _strip_texts(table[name])
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan)
    is_valid = np.isfinite(numbers) & (numbers >= 1) & (numbers == np.floor(numbers))
    is_invalid = values.notna().to_numpy() & ~is_valid
    hint = f"write {name} as 1, 2, 3 …"
    reject_rows(table[is_invalid], f"{name} is not a whole number from 1 on", name, hint)
    return pd.Series(np.where(is_valid, numbers, 1).astype(np.int64), table.index)


def _strip_texts(values: pd.Series) -> pd.Series:
    """Return values as trimmed text; blank text is missing."""
    texts = values.astype("string").str.strip()
    return texts.mask(texts == "")
