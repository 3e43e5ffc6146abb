"""Values as tables give them: yes and no, and whole numbers, which may be text; how those that are none are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from rca_lib.findings import DataError

# The words of `rules.sql`
FLAGS = dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True)
FLAGS |= dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False)


def refuse(offenders: pd.DataFrame, problem: str, column: str, mend: str) -> None:
    """Raise a DataError where there are offenders, which tells of the first of them in their own order."""
    if len(offenders):
        first = offenders.sort_values(list(offenders)).iloc[0].to_dict()
        raise DataError(problem, column=column, rows=len(offenders), first=first, mend=mend)


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
