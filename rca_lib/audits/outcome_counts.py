# Tested in tests/questions/test_quality.py.
"""Audits counted by outcome: the counts from which every rate of a site and period is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.counting import collect, column_names, count_errors, has_repeated_items, prepare_audits
from rca_lib.findings import DataError


def validate_audits(audits: Any) -> None:
    """Check that labels, truths, errors and weights are there and in range.

    Raises
    ------
    DataError
        If a label, truth, error or weight is missing, an error is neither 0 nor 1, or a weight is not a positive
        number.
    """
    names = column_names(audits)
    is_invalid = {name: nw.col(name).is_null() for name in ("label", "truth", "error", "weight") if name in names}
    if "weight" in is_invalid:
        is_invalid["weight"] |= ~nw.col("weight").is_between(0, float("inf"), closed="none")
    if "error" in is_invalid:
        is_invalid["error"] |= ~nw.col("error").is_in([0, 1])
    shown = [column for column in ("audit_id", *is_invalid, "source_row") if column in names]
    for name, condition in is_invalid.items():
        rows = collect(nw.from_native(audits).lazy().filter(condition).select(*shown)).sort_values(shown[:1])
        if len(rows):
            problem = f"{name} is missing or out of range"
            first = rows.iloc[0].to_dict()
            raise DataError(problem, column=name, rows=len(rows), first=first, hint="quarantine or fill these rows")


def count_outcomes(audits: Any, benign: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Count audits by rater, policy, severity, further columns and outcome; by item too where items repeat.

    Parameters
    ----------
    audits
        One row per audited decision.
    benign
        The labels that mean "no violation".
    by
        Further columns to count by.

    Returns
    -------
    DataFrame
        One row per combination that occurs: the columns counted by; `wrong` (1 for an error); `passed` (the label is
        benign) and `harmless` (the truth is benign) where both columns exist; the counts of `count_errors`.
    """
    names = column_names(audits)
    has_repeats = has_repeated_items(audits)
    table = prepare_audits(audits).with_columns(wrong=nw.col("error"))
    usual = ("rater", "policy", "severity", *(["item_id"] if has_repeats else []))
    keys = [*dict.fromkeys([*(name for name in usual if name in names), *by]), "wrong"]
    if {"label", "truth"} <= set(names):
        labelled_benign = nw.col("label").is_in(list(benign))
        truly_benign = nw.col("truth").is_in(list(benign))
        table = table.with_columns(passed=labelled_benign, harmless=truly_benign)
        keys += ["passed", "harmless"]
    counts = count_errors(table, keys)
    return counts[counts["items"] > 0].reset_index(drop=True)


def compute_max_weight_share(audits: Any, counts: pd.DataFrame) -> float:
    """Return the share of the total weight that the audit with the largest weight carries."""
    if "weight" not in column_names(audits):
        return 1 / float(counts["items"].sum())
    largest = collect(prepare_audits(audits).select(nw.col("weight").max()))["weight"].iloc[0]
    return float(largest / counts["weight"].sum())
