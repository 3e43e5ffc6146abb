"""From tables to numbered cells: two periods counted by the same dimensions, in the same codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from rca_lib.audits.counting import COUNTS, MISSING, RARE, column_names, count_errors, keep_proportional
from rca_lib.findings import DataError
from rca_lib.stats.cells import Cells, Judged

MOST_VALUES = 2000, 300  # in the dimension with most values, in the others; the rest is read together
DIGITS = 10  # significant ones of sums of weights
ITEM = "item_id"
TRUTH = "truth_version"  # was the audit made under the policy version that was in force at the decision?
VERSIONS = ("policy_version_decided", "policy_version_audited")
FRESH, STALE = "as decided", "another than decided"


def select_audits(tables: Sequence[Any], dimensions: Sequence[str]) -> list[Any]:
    """Keep the audits that stand for all decisions, unless streams are asked for, and say how fresh their truth is."""
    kept = [table if "stream" in dimensions else keep_proportional(table) for table in tables]
    if any(not set(VERSIONS) <= set(column_names(table)) for table in kept):
        return kept
    version = nw.when(is_stale()).then(nw.lit(STALE)).otherwise(nw.lit(FRESH))
    return [nw.from_native(table).with_columns(version.alias(TRUTH)).to_native() for table in kept]


def is_stale() -> nw.Expr:
    """Return what tells an audit made under another policy version than was in force at the decision."""
    return (nw.col(VERSIONS[0]) != nw.col(VERSIONS[1])).fill_null(False)


def count_cells(table: Any, names: Sequence[str], period: str) -> pd.DataFrame:
    """Count a period by all dimensions at once.

    Raises
    ------
    DataError
        If it has no audits, an error is neither 0 nor 1, or a weight is not above 0.
    """
    counts = count_errors(table, names, sort=False)
    counts = counts[counts[["items", "errors", "weight"]].any(axis=1)]  # a cell may have been counted that is empty
    if counts["items"].sum() == 0:
        raise DataError(f"the {period} has no audits", rows=0, mend="choose a period with audits, or drop the question")
    for column, bad, mend in (
        ("error", (counts["errors"] < 0) | (counts["errors"] > counts["items"]), "code errors as 0 and 1"),
        ("weight", ~((counts["weight"] > 0) & np.isfinite(counts["squared_weight"])), "give every audit its weight"),
    ):
        if bad.any():
            first = {name: _write(value) for name, value in counts.loc[bad, list(names)].iloc[0].items()}
            rows = int(counts.loc[bad, "items"].sum())
            raise DataError(f"bad {column} in the {period}", column=column, rows=rows, first=first, mend=mend)
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Two periods in the same codes.

    `values` of each dimension; both periods as `cells`, in the order of their codes; `plain` holds each cell's items
    and errors as they are, without weights; `judged` the same audits by item, where they were counted so.
    """

    values: dict[str, list[str]]
    cells: tuple[Cells, Cells]
    plain: tuple[np.ndarray, np.ndarray]
    judged: tuple[Judged, Judged] | None


def encode_cells(counts: Sequence[pd.DataFrame], names: Sequence[str]) -> Encoded:
    """Number each dimension's values, the rarest of very many as one; the dimension with most values comes last.

    Where the counts are by item too, cells are the sums over items.
    """
    by_item = [count if ITEM in count and ITEM not in names else None for count in counts]
    if by_item[0] is not None:
        counts = [count.groupby(list(names), dropna=False, sort=False, as_index=False)[list(COUNTS)].sum()
                  for count in counts]  # fmt: skip
    table = pd.concat(counts, ignore_index=True)
    found = {name: pd.factorize(table[name], use_na_sentinel=False) for name in names}
    most = max(len(raw) for _, raw in found.values())
    values, codes = {}, []
    for name in sorted(names, key=lambda one: len(found[one][1]) == most):
        code, raw = found[name]
        written = np.array([_write(value) for value in raw], dtype=object)
        rank = np.lexsort((written.astype(str), -np.bincount(code, table["items"], len(raw))))
        written[rank[MOST_VALUES[len(values) < len(names) - 1] :]] = RARE
        known, back = np.unique(written.astype(str), return_inverse=True)
        values[name] = known.tolist()
        codes.append(back[code])
    before, after = np.split(np.array(codes, np.int64), [len(counts[0])], axis=1)
    weighed = [_weigh(count, code) for count, code in zip(counts, (before, after), strict=True)]
    judged = _by_item(by_item, names, [order for *_, order in weighed]) if by_item[0] is not None else None
    return Encoded(values, tuple(one[0] for one in weighed), tuple(one[1] for one in weighed), judged)


def _by_item(
    counts: Sequence[pd.DataFrame], names: Sequence[str], orders: Sequence[np.ndarray]
) -> tuple[Judged, Judged]:
    """Count by cell and item; an item that is not named is one of its own."""
    names_of_items = pd.concat([count[ITEM] for count in counts], ignore_index=True)
    item = pd.factorize(names_of_items.astype(str).where(names_of_items.notna()), sort=True)[0]
    item = np.where(item < 0, item.max() + 1 + np.arange(len(item)), item)
    found = []
    for count, code, order in zip(counts, np.split(item, [len(counts[0])]), orders, strict=True):
        group = count.groupby(list(names), dropna=False, sort=False).ngroup().to_numpy()
        cell = np.argsort(order)[group]
        place = np.lexsort([code, cell])
        sums = _scale(count[list(COUNTS)].to_numpy(float).T[:, place])
        found.append(Judged(cell[place], code[place], *sums))
    return found[0], found[1]


def _write(value: Any) -> str:
    return MISSING if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _weigh(counts: pd.DataFrame, codes: np.ndarray) -> tuple[Cells, np.ndarray, np.ndarray]:
    """Put cells in order and scale weights to sum to the effective number of audits (Kish 1965)."""
    sums = counts[list(COUNTS)].to_numpy(float).T
    order = np.lexsort([*sums[:3], *codes[::-1].astype(np.int16)])
    codes, sums = np.take(codes, order, axis=1), np.take(sums, order, axis=1)
    return Cells(codes, *_scale(sums)), sums[:2], order


def _scale(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, those of errors, and squared weights, scaled to the effective number of audits.

    Any unit of the weights gives the same: they are divided by their mean first, and sums are rounded, since the last
    digits depend on the order in which the engine adds up.
    """
    items, _, weights, errors, squares = sums
    if np.array_equal(weights, squares):
        return weights, errors, weights
    mean = _round(weights.sum() / items.sum())
    weights, errors, squares = (_round(one) for one in (weights / mean, errors / mean, squares / mean / mean))
    scale = weights.sum() / squares.sum()
    return weights * scale, errors * scale, squares * scale**2


def _round(values: Any) -> Any:
    """Round to `DIGITS` significant digits."""
    place = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.maximum(np.abs(values), 1e-290))))
    return np.where(np.asarray(values) == 0, 0.0, np.round(values * place) / place)
