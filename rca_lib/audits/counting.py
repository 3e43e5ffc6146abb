"""Counting: the one place where audits become counts, on any dataframe or SQL engine.

Every rate is made from five sums per group of audits. With error e_i (0 or 1) and weight w_i of audit i they are

    items            n    = number of audits
    errors           sum e_i
    weight           W    = sum w_i
    weighted_errors  sum w_i e_i
    squared_weight   W2   = sum w_i^2

The weighted error rate is sum w_i e_i / W. Its effective sample size is n_eff = W^2 / W2, which equals n where all
weights are equal.

A table may be a pandas or Polars frame, a DuckDB relation, a PySpark frame or anything else that narwhals opens. The
counts are a small pandas frame. The engine computes integers and sums only. Divisions are made here, so that all
engines give the same result.

References
----------
L. Kish, Survey Sampling (1965): the effective sample size of a weighted sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, log2
from typing import Any

import narwhals as nw
import pandas as pd
from pandas.api.types import infer_dtype

from rca_lib.audits.column_checks import reject_rows
from rca_lib.audits.schema import PROPORTIONAL_STREAMS, matches_pattern
from rca_lib.findings import DataError

MISSING_VALUE = "(missing)"  # stands for no value in a group or a slice
RARE_VALUES = "(rare)"  # stands for all values that are too rare to be searched one by one
COUNT_INPUTS = ("error", "label", "truth", "weight", "items", "errors")  # the columns that counts are made from
WEIGHT_SUMS = ("weight", "weighted_errors", "squared_weight")
COUNT_COLUMNS = ("items", "errors", *WEIGHT_SUMS)
SUM_BITS = 61  # of a sum of 64-bit integers, with room for rounding
REST = "_rest"  # added to the name of a column for the part of its values below one


def count_errors(audits: Any, by: Sequence[str] = (), *, sort: bool = True) -> pd.DataFrame:
    """Count items and errors by any columns.

    Parameters
    ----------
    audits
        One row per audited decision: the columns of `by`; `error` (0 or 1), or `label` and `truth`; optionally
        `weight`. Or one row per group that was counted before, with `items` and `errors` instead of these.
    by
        The columns to group by. A missing value is a group of its own (None).
    sort
        Sort the rows by the columns of `by`. Otherwise they come in the order of the engine.

    Returns
    -------
    DataFrame
        One row per combination that occurs: the columns of `by`, then `items` and `errors` (audits), `weight` and
        `weighted_errors` (sums of weights; equal to `items` and `errors` without weights) and `squared_weight` (sum of
        squared weights). Weights are added as integers, so that sums are equal to the last digit on every engine, in
        any order of rows and with any number of threads.

    Raises
    ------
    DataError
        If a column of `by` is missing, there is neither `error` nor `label` and `truth`, or one of their values is
        missing.

    Examples
    --------
    >>> audits = pd.DataFrame({"queue": ["a", "a", "b"], "label": ["x", "y", "y"], "truth": ["x", "x", "y"]})
    >>> count_errors(audits, ["queue"])[["queue", "items", "errors"]]
      queue  items  errors
    0     a      2       1
    1     b      1       0
    """
    names = column_names(audits)
    keys = list(by)
    is_audit_table = "error" in names or {"label", "truth"} <= set(names)
    is_counted = {"items", "errors"} <= set(names) and not is_audit_table
    is_weighted = "weight" in names
    _require_columns(names, by)
    # An engine plans each step for all columns of its table, so only the ones needed are kept.
    audits = nw.from_native(audits).lazy().select(name for name in names if name in {*by, *COUNT_INPUTS})
    table = prepare_audits(audits.with_columns(error=nw.col("errors")) if is_counted else audits, required=by)
    summands = _list_summands(is_counted, is_weighted)
    table = table.select(*by, "error", **summands)
    divisors: dict[str, float] = {}
    if is_weighted:
        table, divisors = _add_as_integers(table, WEIGHT_SUMS)
    sums = [nw.col("error").sum().alias("errors"), nw.col("error").count().alias("known"), nw.len().alias("rows")]
    sums += [nw.col(name).sum() for name in {**summands, **divisors}]
    counts = collect(table.group_by(*keys).agg(*sums) if keys else table.select(*sums))
    if missing := int((counts["rows"] - counts["known"]).sum()):
        raise DataError("label or truth is missing", column="truth", rows=missing, hint="leave such rows out")
    counts = counts if is_counted else counts.assign(items=counts["rows"])
    if not is_weighted:
        counts = counts.assign(weight=counts["items"], weighted_errors=counts["errors"], squared_weight=counts["items"])
    counts[list(COUNT_COLUMNS)] = counts[list(COUNT_COLUMNS)].fillna(0).astype({"items": "int64", "errors": "int64"})
    for name in [name for name in WEIGHT_SUMS if name in divisors]:
        parts = [counts[part].astype(float) / divisors[part] for part in (name, f"{name}{REST}")]
        counts[name] = parts[0] + parts[1]
    return (counts.sort_values(keys, ignore_index=True) if keys and sort else counts)[[*keys, *COUNT_COLUMNS]]


def _list_summands(is_counted: bool, is_weighted: bool) -> dict[str, nw.Expr]:
    """Return the further columns whose sums are needed."""
    summands = {"items": nw.col("items").cast(nw.Float64)} if is_counted else {}
    if is_weighted:
        error, weight, items = nw.col("error"), nw.col("weight"), summands.get("items", nw.lit(1.0))
        summands |= {
            "weight": weight * items,
            "weighted_errors": weight * error,
            "squared_weight": weight * weight * items,
        }
    return summands


def _add_as_integers(table: nw.LazyFrame[Any], names: Sequence[str]) -> tuple[nw.LazyFrame[Any], dict[str, float]]:
    """Replace columns of weights by integers that add up exactly, and return what each column is to be divided by.

    Sums of floats depend on the order of the summands, sums of integers do not. With the sum S of n weights, a weight w
    is split into a = floor(2^k w) and b = floor(2^l (2^k w - a)). With k = 61 - ceil(log2 S) and l = 61 - ceil(log2 n),
    neither sum exceeds 2^62. Then w = a / 2^k + b / 2^(k + l), except for a part below S / 2^90. Powers of two
    multiply without error. Columns whose sum is zero or infinite stay as they are.
    """
    absolute_sums = [nw.col(name).abs().sum() for name in names]
    (sums,) = collect(table.select(*absolute_sums, nw.len().alias("rows"))).to_dict("records")
    divisors: dict[str, float] = {}
    for name in names:
        if not 0 < sums[name] < float("inf"):
            continue
        scale = 2.0 ** (SUM_BITS - ceil(log2(sums[name])))
        rest_scale = 2.0 ** (SUM_BITS - ceil(log2(sums["rows"])))
        scaled = nw.col(name).fill_null(0.0) * scale
        rest = ((scaled - scaled.floor()) * rest_scale).floor().cast(nw.Int64)
        table = table.with_columns(**{f"{name}{REST}": rest, name: scaled.floor().cast(nw.Int64)})
        divisors |= {name: scale, f"{name}{REST}": scale * rest_scale}
    return table, divisors


def keep_proportional(audits: Any, *, reference: Any = None) -> Any:
    """Keep the first-round audits of the streams that represent all decisions (random, stratified).

    Parameters
    ----------
    audits
        One row per audit, on any engine.
    reference
        Another table whose streams are kept instead, so that a history holds the same kind of audits as its last
        period. None: the streams of `audits` decide.

    Returns
    -------
    table of the same kind
        The audits of the selected streams. All streams stay where there is no column `stream` or no proportional
        stream; audits without a stream are dropped where others name theirs.

    Notes
    -----
    Targeted, seeded and escalated audits answer other questions. They are never pooled with proportional ones.
    """
    table = nw.from_native(keep_first_round(audits))
    if "stream" in table.collect_schema().names():
        source = table.to_native() if reference is None else keep_first_round(reference)
        streams = select_streams(_list_streams(source))
        if any(streams):
            table = table.filter(nw.col("stream").is_in(list(streams)))
    return table.to_native()


def select_streams(streams: Iterable[str]) -> tuple[str, ...]:
    """Select the streams that rates come from: the proportional ones, else all named ones, else none ("").

    Examples
    --------
    >>> select_streams(["random", "targeted", ""]), select_streams(["targeted", ""]), select_streams([""])
    (('random',), ('targeted',), ('',))
    """
    named = sorted(filter(None, streams))
    return tuple(name for name in named if name in PROPORTIONAL_STREAMS) or tuple(named) or ("",) * bool([*streams])


def keep_first_round(audits: Any) -> Any:
    """Keep first-round audits: those of round 1 or without a round. Without any, keep those of the lowest round."""
    table = nw.from_native(audits)
    if "audit_round" not in table.collect_schema().names():
        return audits
    number = _cast_to_number(table.lazy(), "audit_round")
    rounds = collect(table.lazy().select(number.alias("round")).unique())["round"].astype(float)
    if len(rounds) and not (rounds.isna() | (rounds == 1)).any():
        return table.filter(number == rounds.min()).to_native()
    return table.filter(number.is_null() | (number == 1)).to_native()


def _list_streams(audits: Any) -> list[str]:
    """Return the streams that occur, "" for none."""
    if "stream" not in column_names(audits):
        return [""]
    names = collect(nw.from_native(audits).lazy().select("stream").unique())["stream"]
    return ["" if pd.isna(name) else str(name) for name in names]


def prepare_audits(audits: Any, *, required: Sequence[str] = ()) -> nw.LazyFrame[Any]:
    """Open any table lazily, with numeric columns `error` and `weight`.

    Parameters
    ----------
    audits
        One row per audit. `error` is made from `label` and `truth` unless it is there: 1 where they differ. `weight` is
        1.0 unless it is there.
    required
        Further columns that must be there.

    Returns
    -------
    narwhals.LazyFrame
        The table, nothing of which is computed yet.

    Raises
    ------
    DataError
        If a required column is missing, two columns have one name, there is neither `error` nor `label` and `truth`, a
        weight is not a number, or label and truth have different types.
    """
    names = column_names(audits)
    _require_columns(names, required)
    table = nw.from_native(audits).lazy()
    if "error" not in names:
        _require_columns(names, ("label", "truth"))
        table = table.with_columns(_error_expression(table).alias("error"))
    weight = _cast_to_number(table, "weight") if "weight" in names else nw.lit(1.0)
    return table.with_columns(_cast_to_number(table, "error").cast(nw.Float64), weight.cast(nw.Float64).alias("weight"))


def _error_expression(table: nw.LazyFrame[Any]) -> nw.Expr:
    """Return 1.0 where label and truth differ. Categories compare with their own list only, so they become text."""
    types = table.collect_schema()
    names = ("label", "truth")
    label_is_number, truth_is_number = (types[name].is_numeric() for name in names)
    if label_is_number != truth_is_number and any(types[name] == nw.String for name in names):
        rows = table.filter(~(nw.col("label").is_null() | nw.col("truth").is_null())).select(*names)
        problem = "label is text and truth is a number, or the other way round"
        reject_rows(collect(rows), problem, "truth", "use one type for both")
    label, truth = (
        nw.col(name).cast(nw.String) if types[name] in (nw.Categorical, nw.Enum) else nw.col(name) for name in names
    )
    return nw.when(~(label.is_null() | truth.is_null())).then((label != truth).cast(nw.Float64))


def _cast_to_number(table: nw.LazyFrame[Any], name: str) -> nw.Expr:
    """Return a column as a number; a DataError where it holds text that is not one."""
    dtype = table.collect_schema()[name]
    if dtype.is_numeric() or dtype == nw.Boolean:
        return nw.col(name)
    values = collect(table.select(name))
    is_invalid = pd.to_numeric(values[name], errors="coerce").isna() & values[name].notna()
    reject_rows(values[is_invalid].astype(str), f"{name} is not a number", name, f"write {name} as a number")
    return nw.col(name).cast(nw.Float64)


def collect(table: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Compute a lazy table and return it as a pandas frame with plain column types; categories become their values."""
    frame = table.collect("pandas").to_native()
    categorical = [name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)]
    return frame.assign(**{name: _decode_categories(frame[name]) for name in categorical}) if categorical else frame


def _decode_categories(values: pd.Series) -> pd.Series:
    """Return a categorical column as its values; categories of text become text."""
    categories = values.cat.categories
    return values.astype("str" if infer_dtype(categories) == "string" else categories.dtype)


def column_names(audits: Any) -> list[str]:
    """Return the names of a table's columns.

    Raises
    ------
    DataError
        If two columns have the same name.
    """
    try:
        return nw.from_native(audits).lazy().collect_schema().names()
    except nw.exceptions.DuplicateError:
        duplicate = next(iter(audits.columns[audits.columns.duplicated()]))
        problem = f"{(audits.columns == duplicate).sum()} columns are named {duplicate!r}"
        raise DataError(problem, column=str(duplicate), hint="rename or remove all but one") from None


def has_values(audits: Any, name: str) -> bool:
    """Tell whether a table has a column with at least one value."""
    if name not in column_names(audits):
        return False
    return bool(len(collect(nw.from_native(audits).lazy().filter(~nw.col(name).is_null()).select(name).head(1))))


def has_repeated_items(audits: Any) -> bool:
    """Tell whether any item was judged more than once, so that its judgements are correlated.

    Examples
    --------
    >>> has_repeated_items(pd.DataFrame({"item_id": ["i1", "i1", "i2"]}))
    True
    >>> has_repeated_items(pd.DataFrame({"n": [1, 2]}))
    False
    """
    if "item_id" not in column_names(audits):
        return False
    items = nw.from_native(audits).lazy().select("item_id").drop_nulls()
    counts = collect(items.select(nw.len().alias("rows"), nw.col("item_id").n_unique().alias("items")))
    return bool((counts["rows"] > counts["items"]).any())


def keep_slice(audits: Any, where: Mapping[str, str]) -> Any:
    """Keep the rows of one slice, on the engine.

    Parameters
    ----------
    audits
        One row per audit, on any engine.
    where
        Column to value. `MISSING_VALUE` selects the rows without a value.

    Returns
    -------
    table of the same kind
        The rows of the slice.

    Examples
    --------
    >>> keep_slice(pd.DataFrame({"queue": ["a", "b"], "n": [1, 2]}), {"queue": "b"})["n"].tolist()
    [2]
    """
    table = nw.from_native(audits)
    _require_columns(table.collect_schema().names(), tuple(where))
    for name, value in where.items():
        column = nw.col(name)
        table = table.filter(column.is_null() if value == MISSING_VALUE else column.cast(nw.String) == value)
    return table.to_native()


def keep_scope(audits: Any, scope: Mapping[str, str]) -> Any:
    """Keep the rows in the scope of an event or a target, whose values may be patterns: `queue=live_*`.

    Examples
    --------
    >>> keep_scope(pd.DataFrame({"queue": ["live_a", "b"], "n": [1, 2]}), {"queue": "live_*"})["n"].tolist()
    [1]
    """
    table = nw.from_native(audits)
    _require_columns(table.collect_schema().names(), tuple(scope))
    for name, pattern in scope.items():
        column = nw.col(name).cast(nw.String)
        values = collect(table.lazy().select(column).unique())[name].dropna()
        table = table.filter(column.is_in([value for value in values if matches_pattern(value, pattern)]))
    return table.to_native()


def fetch_errors(audits: Any, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Fetch the rows with an error: those of `columns` that exist, or all columns where none is named or exists."""
    table = prepare_audits(audits)
    names = table.collect_schema().names()
    selected = [name for name in columns if name in names] or names
    return collect(table.filter(nw.col("error") == 1).select(*selected))


def _require_columns(names: Sequence[str], required: Sequence[str]) -> None:
    """Raise a DataError for the first required column that is missing."""
    missing = [name for name in required if name not in names]
    if missing:
        raise DataError(
            f"no column {missing[0]!r}",
            column=missing[0],
            hint=f"map it, or choose among {', '.join(sorted(map(str, names)))}",
        )
