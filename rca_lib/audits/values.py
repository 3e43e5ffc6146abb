"""Values as tables give them: names in codes, yes and no and whole numbers, which may be text; what is refused."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_numeric_dtype

from rca_lib.findings import DataError

EXACT = 2**53  # from here on floats leave out whole numbers
# The words of `rules.sql`
FLAGS = dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True)
FLAGS |= dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False)


def refuse(offenders: pd.DataFrame, problem: str, column: str, mend: str) -> None:
    """Raise a DataError where there are offenders, which tells of the first of them in their own order."""
    if len(offenders):
        first = offenders.sort_values(list(offenders)).iloc[0].to_dict()
        raise DataError(problem, column=column, rows=len(offenders), first=first, mend=mend)


def code_names(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Number the names in a column, in their order: the code of each row (-1: missing), and what the codes stand for.

    Raises
    ------
    DataError
        If a name is blank, has white space at its ends, is written in two ways that look alike or as a number here and
        as text there, is a number too large to be exact, or is none at all.

    Examples
    --------
    >>> code_names(pd.DataFrame({"rater": ["b", "a", "b"]}), "rater")
    (array([1, 0, 1]), array(['a', 'b'], dtype=object))
    """
    try:
        code, known = _factorize(table[name])
    except TypeError:
        mend = f"write {name} as text or as a number"
        problem = f"{name} holds lists, or values of kinds that do not compare"
        raise DataError(problem, column=name, rows=len(table), mend=mend) from None
    names = np.asarray(known, dtype=object)
    wrong, problem, mend = _find_odd(names)
    if wrong.any():
        refuse(table[np.append(wrong, False)[code]], f"{name} {problem}", name, mend)
    return code.astype(np.int64), names


def _factorize(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    if getattr(values.dtype, "storage", "") != "python":
        return pd.factorize(values, sort=True)
    code, known = pd.factorize(values.to_numpy(object))  # a column of text takes half as long again
    order = np.argsort(known, kind="stable")
    return np.append(np.argsort(order), -1)[code], known[order]


def _find_odd(names: np.ndarray) -> tuple[np.ndarray, str, str]:
    """Tell which of the names, each of them once, should be none, with the problem and its mend."""
    kind = infer_dtype(names)
    if kind.startswith("mixed"):
        texts = pd.Series(names).astype(str).str.strip().str.removesuffix(".0")
        problem, mend = "is written as a number here, as text there", "write it alike everywhere"
        return texts.duplicated(keep=False).to_numpy(), problem, mend
    if kind == "floating":
        large = ~(np.abs(names.astype(float)) < EXACT)
        return large, "is a number too large to be exact", "write it as text"
    if kind != "string":
        return np.zeros(len(names), bool), "", ""
    wrong = np.fromiter((not one or one != one.strip() for one in names), bool, len(names))
    if wrong.any():
        return wrong, "is blank or has white space at its ends", "trim it, and leave what is missing empty"
    shown = pd.Series(names)
    rare = [n for n, one in enumerate(names) if "  " in one or not (one.isascii() and one.isprintable())]
    shown.iloc[rare] = [_show(names[n]) for n in rare]
    problem = "is written in two ways that look alike (white space, accents or signs that do not show)"
    return shown.duplicated(keep=False).to_numpy(), problem, "write it alike everywhere"


def _show(name: str) -> str:
    """Return what is seen of a name."""
    signs = (sign for sign in unicodedata.normalize("NFC", name) if unicodedata.category(sign) != "Cf")
    return " ".join("".join(signs).split())


def check_names(table: pd.DataFrame, *columns: str) -> None:
    """Refuse what is missing in columns of names, and what `code_names` refuses."""
    for name in columns:
        refuse(table[table[name].isna()], f"{name} is missing", name, "fill it")
        # Names that are all text are the most, and need not be numbered for it.
        if infer_dtype(names := table[name].to_numpy(object)) != "string" or _find_odd(pd.unique(names))[0].any():
            code_names(table, name)


def refuse_other_kind(table: pd.DataFrame, name: str, others: pd.Series) -> None:
    """Raise a DataError where a column holds text and what it is to be matched with numbers, or the other way round."""
    kinds = {infer_dtype(one.to_numpy(object)) for one in (table[name], others)}
    if "string" in kinds and kinds & {"integer", "floating"}:
        refuse(table, f"{name} is text in one table, a number in the other", name, "write it alike in both")


def read_flags(table: pd.DataFrame, name: str) -> pd.Series:
    """Read a column of yes and no, which may be text or numbers, with the words of the intake; nothing is missing.

    Raises
    ------
    DataError
        If a value is neither.

    Examples
    --------
    >>> read_flags(pd.DataFrame({"blind": ["No", "TRUE", None]}), "blind").tolist()
    [False, True, <NA>]
    """
    words = _texts(table[name]).str.lower()
    read = words.map(FLAGS).astype("boolean")
    strange = (read.isna() & words.notna()).to_numpy(bool)
    refuse(table[strange], f"{name} is neither yes nor no", name, "say true or false")
    return read


def read_wholes(table: pd.DataFrame, name: str) -> pd.Series:
    """Read a column of whole numbers from 1 on, which may be text; what is missing is 1.

    Raises
    ------
    DataError
        If a value is none.

    Examples
    --------
    >>> read_wholes(pd.DataFrame({"trial": ["1", " 2.0", None]}), "trial").tolist()
    [1, 2, 1]
    """
    plain = is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])
    values = table[name] if plain else _texts(table[name])
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float, na_value=np.nan)
    fine = np.isfinite(numbers) & (numbers >= 1) & (numbers == np.floor(numbers))
    mend = f"write {name} as 1, 2, 3 …"
    refuse(table[values.notna().to_numpy() & ~fine], f"{name} is no whole number from 1 on", name, mend)
    return pd.Series(np.where(fine, numbers, 1).astype(np.int64), table.index)


def _texts(values: pd.Series) -> pd.Series:
    texts = values.astype("string").str.strip()
    return texts.mask(texts == "")
