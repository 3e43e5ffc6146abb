# Tested in tests/questions/test_drivers.py.
"""From audits to a contingency table: two periods counted by the same dimensions, in the same codes.

Each combination of dimension values is a cell c with weight W_c = sum w_i, errors E_c = sum w_i e_i and squared weights
Q_c = sum w_i^2. Weights are scaled so that they sum to the effective number of audits (Kish 1965):

    s = sum_c W_c / sum_c Q_c,    W_c -> s W_c,    E_c -> s E_c,    Q_c -> s^2 Q_c,

because then sum_c W_c = (sum w)^2 / sum w^2. The unit of the weights has no influence: they are divided by their mean
first.

References
----------
L. Kish, Survey Sampling (1965): the effective sample size of a weighted sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from rca_lib.audits.counting import (
    COUNT_COLUMNS,
    MISSING_VALUE,
    RARE_VALUES,
    column_names,
    count_errors,
    keep_proportional,
)
from rca_lib.findings import DataError
from rca_lib.stats.slice_search.contingency import CellItemCounts, ContingencyTable

# Most values searched one by one, in the largest dimension and in each of the others; rarer values are merged. They
# bound the time of the search over pairs of dimensions.
MAX_VALUES = 2000, 300
ITEM_ID = "item_id"
TRUTH_VERSION = "truth_version"  # whether the audit used the policy version in force at the decision
VERSION_COLUMNS = ("policy_version_decided", "policy_version_audited")
SAME_VERSION, OTHER_VERSION = "as decided", "another than decided"


def prepare_periods(tables: Sequence[Any], dimensions: Sequence[str]) -> list[Any]:
    """Keep the audits that represent all decisions, and add `truth_version` where both policy versions are known.

    Parameters
    ----------
    tables
        Audits of each period, one row per audit.
    dimensions
        The columns to search. Where `stream` is one of them, all streams stay.

    Returns
    -------
    list of tables
        One per period, of the same kind.
    """
    prepared = [table if "stream" in dimensions else keep_proportional(table) for table in tables]
    if any(not set(VERSION_COLUMNS) <= set(column_names(table)) for table in prepared):
        return prepared
    version = nw.when(is_outdated_truth()).then(nw.lit(OTHER_VERSION)).otherwise(nw.lit(SAME_VERSION))
    return [nw.from_native(table).with_columns(version.alias(TRUTH_VERSION)).to_native() for table in prepared]


def is_outdated_truth() -> nw.Expr:
    """Return the condition that an audit used another policy version than was in force at the decision."""
    decided, audited = (nw.col(name).cast(nw.String) for name in VERSION_COLUMNS)
    return ~decided.is_null() & ~audited.is_null() & (decided != audited).fill_null(False)


def count_by_dimensions(table: Any, names: Sequence[str], period: str) -> pd.DataFrame:
    """Count the audits of a period by all dimensions at once.

    Parameters
    ----------
    table
        One row per audit, or per cell that was counted before.
    names
        The dimensions.
    period
        What to call the period in an error.

    Returns
    -------
    DataFrame
        The counts of `count_errors`; one row per cell that is not empty.

    Raises
    ------
    DataError
        If there are no audits, an error is neither 0 nor 1, or a weight is not positive.
    """
    counts = count_errors(table, names, sort=False)
    counts = counts[counts[["items", "errors", "weight"]].any(axis=1)]  # a table of counts may hold empty cells
    if counts["items"].sum() == 0:
        raise DataError(f"the {period} has no audits", rows=0, hint="choose a period with audits, or drop the question")
    invalid_error = (counts["errors"] < 0) | (counts["errors"] > counts["items"])
    invalid_weight = ~((counts["weight"] > 0) & np.isfinite(counts["squared_weight"]))
    for column, is_invalid, hint in (
        ("error", invalid_error, "code errors as 0 and 1"),
        ("weight", invalid_weight, "give every audit its weight"),
    ):
        if is_invalid.any():
            first = {name: _format_value(value) for name, value in counts.loc[is_invalid, list(names)].iloc[0].items()}
            rows = int(counts.loc[is_invalid, "items"].sum())
            raise DataError(f"bad {column} in the {period}", column=column, rows=rows, first=first, hint=hint)
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPeriods:
    """Two periods in the same codes.

    Attributes
    ----------
    values
        The values of each dimension, in the order of their codes.
    cells
        The contingency table of each period, with scaled weights, sorted by codes.
    unweighted_counts
        Items and errors of each cell without weights, per period: an array of two rows.
    item_counts
        The same audits by cell and item, per period; None where they were not counted by item.
    """

    values: dict[str, list[str]]
    cells: tuple[ContingencyTable, ContingencyTable]
    unweighted_counts: tuple[np.ndarray, np.ndarray]
    item_counts: tuple[CellItemCounts, CellItemCounts] | None


def encode_periods(counts: Sequence[pd.DataFrame], names: Sequence[str]) -> EncodedPeriods:
    """Encode the values of each dimension as integers, the same in both periods.

    Parameters
    ----------
    counts
        What `count_by_dimensions` returns for the baseline and the current period. Counts by item are summed to cells.
    names
        The dimensions. The one with most values comes last in the result. Very rare values share one code.

    Returns
    -------
    EncodedPeriods
        Both periods.
    """
    by_item = counts if all(ITEM_ID in count and ITEM_ID not in names for count in counts) else None
    if by_item is not None:
        counts = [
            count.groupby(list(names), dropna=False, sort=False, as_index=False)[list(COUNT_COLUMNS)].sum()
            for count in counts
        ]
    values, codes = _encode_dimensions(pd.concat(counts, ignore_index=True), names)
    baseline_codes, current_codes = np.split(np.array(codes, np.int64), [len(counts[0])], axis=1)
    encoded = [
        _sort_and_scale(count, code) for count, code in zip(counts, (baseline_codes, current_codes), strict=True)
    ]
    cells, unweighted_counts, orders = zip(*encoded, strict=True)
    item_counts = _count_by_item(by_item, names, orders) if by_item is not None else None
    return EncodedPeriods(values, cells, unweighted_counts, item_counts)


def _encode_dimensions(table: pd.DataFrame, names: Sequence[str]) -> tuple[dict[str, list[str]], list[np.ndarray]]:
    """Return the values of each dimension and the code of each row; the dimension with most values is the last."""
    factorized = {name: pd.factorize(table[name], use_na_sentinel=False) for name in names}
    most_values = max(len(unique) for _, unique in factorized.values())
    values: dict[str, list[str]] = {}
    codes: list[np.ndarray] = []
    for name in sorted(names, key=lambda name: len(factorized[name][1]) == most_values):
        code, unique = factorized[name]
        texts = np.array([_format_value(value) for value in unique], dtype=object)
        by_frequency = np.lexsort((texts.astype(str), -np.bincount(code, table["items"], len(unique))))
        limit = MAX_VALUES[len(values) < len(names) - 1]
        texts[by_frequency[limit:]] = RARE_VALUES
        distinct, code_of_value = np.unique(texts.astype(str), return_inverse=True)
        values[name] = distinct.tolist()
        codes.append(code_of_value[code])
    return values, codes


def _count_by_item(
    counts: Sequence[pd.DataFrame], names: Sequence[str], orders: Sequence[np.ndarray]
) -> tuple[CellItemCounts, CellItemCounts]:
    """Count by cell and item. Each audit without an item is an item of its own."""
    item_ids = pd.concat([count[ITEM_ID] for count in counts], ignore_index=True)
    item = pd.factorize(item_ids.astype(str).where(item_ids.notna()), sort=True)[0]
    item = np.where(item < 0, item.max() + 1 + np.arange(len(item)), item)
    periods = []
    for count, code, order in zip(counts, np.split(item, [len(counts[0])]), orders, strict=True):
        group = count.groupby(list(names), dropna=False, sort=False).ngroup().to_numpy()
        cell = np.argsort(order)[group]
        row_order = np.lexsort([code, cell])
        sums = _scale_weights(count[list(COUNT_COLUMNS)].to_numpy(float).T[:, row_order])
        periods.append(CellItemCounts(cell[row_order], code[row_order], *sums))
    return periods[0], periods[1]


def _format_value(value: Any) -> str:
    """Write a value of a dimension as text; whole floats without their decimal point."""
    return MISSING_VALUE if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _sort_and_scale(counts: pd.DataFrame, codes: np.ndarray) -> tuple[ContingencyTable, np.ndarray, np.ndarray]:
    """Return the cells sorted by codes, with scaled weights; their items and errors without weights; and the order."""
    sums = counts[list(COUNT_COLUMNS)].to_numpy(float).T
    order = np.lexsort([*sums[:3], *codes[::-1].astype(np.int16)])
    codes, sums = np.take(codes, order, axis=1), np.take(sums, order, axis=1)
    return ContingencyTable(codes, *_scale_weights(sums)), sums[:2], order


def _scale_weights(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, weights of errors, and squared weights, scaled to the effective number of audits.

    `sums` has a row for each of `COUNT_COLUMNS`.
    """
    items, _, weights, errors, squares = sums
    if np.array_equal(weights, squares):
        return weights, errors, weights
    mean = weights.sum() / items.sum()
    weights = weights / mean
    errors = errors / mean
    squares = squares / mean**2
    scale = weights.sum() / squares.sum()
    return weights * scale, errors * scale, squares * scale**2
