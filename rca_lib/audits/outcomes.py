"""Audits counted by outcome: the cells from which every rate of a place and period is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from rca_lib.audits.counting import collect, column_names, count_errors, items_repeat, open_table
from rca_lib.findings import DataError


def refuse_bad_rows(audits: Any) -> None:
    """Raise DataError where a label, truth, error or weight is missing or out of range."""
    names = column_names(audits)
    bad = {name: nw.col(name).is_null() for name in ("label", "truth", "error", "weight") if name in names}
    if "weight" in bad:
        bad["weight"] |= ~nw.col("weight").is_between(0, float("inf"), closed="none")
    if "error" in bad:
        bad["error"] |= ~nw.col("error").is_in([0, 1])
    shown = [column for column in ("audit_id", *bad, "source_row") if column in names]
    for name, condition in bad.items():
        rows = collect(nw.from_native(audits).lazy().filter(condition).select(*shown)).sort_values(shown[:1])
        if len(rows):
            problem, mend = f"{name} is missing or out of range", "quarantine or fill these rows"
            raise DataError(problem, column=name, rows=len(rows), first=rows.iloc[0].to_dict(), mend=mend)


def count_outcomes(audits: Any, benign: Sequence[str], extra: Sequence[str] = ()) -> pd.DataFrame:
    """Count audits by rater, policy, severity, further columns and outcome; by item too where items repeat.

    Parameters
    ----------
    audits
        One row per audited decision.
    benign
        The labels that mean "no violation".
    extra
        Further columns to count by.

    Returns
    -------
    DataFrame
        A row per combination that occurs: the columns counted by, `wrong`, `passed` and `harmless` (label and truth
        are benign; where both columns exist), and what `count_errors` counts, weights to twelve digits.
    """
    names, repeated = column_names(audits), items_repeat(audits)
    table = open_table(audits).with_columns(wrong=nw.col("error"))
    wanted = ("rater", "policy", "severity", *(["item_id"] if repeated else []))
    keys = [*dict.fromkeys([*(name for name in wanted if name in names), *extra]), "wrong"]
    if {"label", "truth"} <= set(names):
        passed, harmless = nw.col("label").is_in(list(benign)), nw.col("truth").is_in(list(benign))
        table, keys = table.with_columns(passed=passed, harmless=harmless), [*keys, "passed", "harmless"]
    cells = count_errors(table, keys)
    # Engines add in any order: the last digits of a sum of fractions are not the same twice.
    for name in ("weight", "squared_weight"):
        cells[name] = round_digits(cells[name].to_numpy(float))
    return cells[cells["items"] > 0].reset_index(drop=True)


def round_digits(values: np.ndarray, digits: int = 12) -> np.ndarray:
    """Round positive numbers to so many significant digits, however large or small they are."""
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.where(values > 0, values, 1.0))))
    return np.round(values * scale) / scale


def weigh_heaviest(audits: Any, cells: pd.DataFrame) -> float:
    """Return the share of all weight that the audit with the largest one carries."""
    if "weight" not in column_names(audits):
        return 1 / float(cells["items"].sum())
    weights = collect(open_table(audits).select(nw.col("weight").max().alias("most"), nw.col("weight").sum()))
    return float(np.round(weights["most"][0] / weights["weight"][0], 12))
