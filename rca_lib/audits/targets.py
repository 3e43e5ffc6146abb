# Tested in tests/questions/test_quality.py.
"""Targets: how a row is read, whether a rate meets it, and whether it is in force. Every report uses these rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from rca_lib.audits.periods import Period
from rca_lib.audits.schema import TARGET_METRICS, parse_scope
from rca_lib.findings import DataError, Estimate, Rate, join_words

ENFORCEMENT = ("over_enforcement", "under_enforcement")


def read_target(row: dict[str, Any]) -> dict[str, Any]:
    """Read one row of the targets table.

    Parameters
    ----------
    row
        The columns of a target. Missing values take their defaults.

    Returns
    -------
    dict
        The columns that have a value, and `where` (the scope as a dict), `direction`, `min_audits` (default 0),
        `valid_from` and `valid_to` as timestamps where they are given. The default direction is "at_most" for
        enforcement errors and "at_least" for other metrics.

    Raises
    ------
    DataError
        If the metric, contract, direction or a date cannot be read.
    """
    target = {name: value for name, value in row.items() if not pd.isna(value)}
    metric = target.get("metric")
    contract = target.get("contract")
    direction = target.get("direction", "at_most" if metric in ENFORCEMENT else "at_least")
    days = {name: pd.to_datetime(day, errors="coerce") for name, day in target.items() if name.startswith("valid_")}
    for column, readable, hint in (
        ("metric", metric in TARGET_METRICS, f"use {join_words(TARGET_METRICS)}"),
        ("contract", isinstance(contract, int | float) and 0 <= contract <= 1, "write a share: 0.95 for 95%"),
        ("direction", direction in ("at_least", "at_most"), "use at_least or at_most"),
        *((name, day is not pd.NaT, "write the date as 2026-03-31") for name, day in days.items()),
    ):
        if not readable:
            raise DataError(f"a target's {column} cannot be read", column=column, first=target, hint=hint)
    return {"min_audits": 0, **target, "where": parse_scope(target.get("scope")), "direction": direction, **days}


TargetOutcome = Literal["met", "missed", "not proven", "too few audits"]


def judge_target(target: Mapping[str, Any], estimate: Estimate | Rate, audits: float) -> TargetOutcome:
    """Decide whether an estimate meets a target.

    Parameters
    ----------
    target
        A target as `read_target` returns it.
    estimate
        The estimated share, with its interval.
    audits
        The number of audits behind the estimate.

    Returns
    -------
    str
        "met" or "missed" where the whole interval lies on one side of the contract, otherwise "not proven".
        "too few audits" below the target's `min_audits`.

    Examples
    --------
    >>> target = read_target({"metric": "accuracy", "contract": 0.95, "min_audits": 100})
    >>> judge_target(target, Estimate(0.97, 0.96, 0.98), 400), judge_target(target, Estimate(0.97, 0.96, 0.98), 40)
    ('met', 'too few audits')
    """
    contract = float(target["contract"])
    if audits < target["min_audits"]:
        return "too few audits"
    if target["direction"] == "at_most":
        return "met" if estimate.high <= contract else "missed" if estimate.low > contract else "not proven"
    return "met" if estimate.low >= contract else "missed" if estimate.high < contract else "not proven"


def holds_throughout(target: Mapping[str, Any], period: Period) -> bool:
    """Tell whether a target is in force on every day of a period.

    Examples
    --------
    >>> from rca_lib.audits.periods import parse_period
    >>> target = read_target({"metric": "accuracy", "contract": 0.95, "valid_to": "2026-02-28"})
    >>> holds_throughout(target, parse_period("2026-02")), holds_throughout(target, parse_period("2026-03"))
    (True, False)
    """
    first_day = pd.Timestamp(period.start)
    last_day = pd.Timestamp(period.end) - pd.Timedelta(days=1)
    return target.get("valid_from", first_day) <= first_day and last_day <= target.get("valid_to", last_day)
