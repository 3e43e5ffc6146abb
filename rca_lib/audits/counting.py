"""Counting: the one place where audits become counts, on whatever engine holds them.

A table may be a pandas or Polars frame, a DuckDB relation, a PySpark frame or anything else that narwhals opens; the
counts come back as a small pandas frame. Only integers and sums are asked of the engine, divisions are made outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from rca_lib.audits.tables import PROPORTIONAL_STREAMS
from rca_lib.audits.values import refuse
from rca_lib.findings import DataError
from rca_lib.stats.repeated_items import judgment_correlation

MISSING, RARE = "(missing)", "(rare)"  # no value; values too rare to be looked at one by one
COUNTED = ("error", "label", "truth", "weight", "items", "errors")  # what counts are made of
COUNTS = ("items", "errors", "weight", "weighted_errors", "squared_weight")


def count_errors(audits: Any, by: Sequence[str] = (), *, sort: bool = True) -> pd.DataFrame:
    """Count items and errors by any columns.

    Parameters
    ----------
    audits
        One row per audited decision: `error` (0/1), or `label` and `truth`; optionally `weight`; the columns of `by`.
        Or one row per cell that was counted before: `items` and `errors` in the place of these.
    by
        The columns to group by; a missing value is a group of its own (None).
    sort
        Put the rows in order; without it they come as the engine gives them.

    Returns
    -------
    DataFrame
        One row per combination that occurs: the columns of `by`, then `items` and `errors` (rows),
        `weight` and `weighted_errors` (sums of weights; equal to `items` and `errors` where no weights are given) and
        `squared_weight` (sum of squared weights).

    Raises
    ------
    DataError
        If a column of `by` is missing, or neither `error` nor `label` and `truth` are there, or one is empty.

    Examples
    --------
    >>> audits = pd.DataFrame({"queue": ["a", "a", "b"], "label": ["x", "y", "y"], "truth": ["x", "x", "y"]})
    >>> count_errors(audits, ["queue"])[["queue", "items", "errors"]]
      queue  items  errors
    0     a      2       1
    1     b      1       0
    """
    names = column_names(audits)
    # A row with a label and a truth is an audit, whatever else stands in it.
    counted = {"items", "errors"} <= set(names) and "error" not in names and not {"label", "truth"} <= set(names)
    weighted = "weight" in names
    _require(names, by)
    # An engine plans each step for all columns of its table: few are wanted.
    audits = nw.from_native(audits).lazy().select(name for name in names if name in {*by, *COUNTED})
    table = open_table(audits.with_columns(error=nw.col("errors")) if counted else audits, needs=by)
    parts = {"items": nw.col("items").cast(nw.Float64)} if counted else {}
    error, weight, items = nw.col("error"), nw.col("weight"), parts.get("items", nw.lit(1.0))
    if weighted:
        parts |= {
            "weight": weight * items, "weighted_errors": weight * error, "squared_weight": weight * weight * items
        }  # fmt: skip
    keys, table = list(by), table.select(*by, "error", **parts)
    sums = [error.sum().alias("errors"), error.count().alias("known"), nw.len().alias("rows")]
    sums += [nw.col(name).sum() for name in parts]
    counts = collect(table.group_by(*keys).agg(*sums) if keys else table.select(*sums))
    if unknown := int((counts["rows"] - counts["known"]).sum()):
        raise DataError("label or truth is missing", column="truth", rows=unknown, mend="leave such rows out")
    counts = counts if counted else counts.assign(items=counts["rows"])
    if not weighted:
        counts = counts.assign(weight=counts["items"], weighted_errors=counts["errors"], squared_weight=counts["items"])
    counts[list(COUNTS)] = counts[list(COUNTS)].fillna(0).astype({"items": "int64", "errors": "int64"})
    return (counts.sort_values(keys, ignore_index=True) if keys and sort else counts)[[*keys, *COUNTS]]


def count_steps(audits: Any, by: Sequence[str] = (), *, step: str = "day") -> pd.DataFrame:
    """Count errors and items per time step, of each series apart where columns name several.

    Where rows carry weights, `items` is the effective number (Kish 1965: squared sum of weights over sum of squares)
    and `errors` the weighted rate times it, so that a change of sampling alone does not move the series. Where items
    are judged more than once, judgments of one item in one step count for less, as strongly as they hang together.

    Parameters
    ----------
    audits
        One row per audited decision, with the local `day` and the columns of `by`.
    by
        The columns that name a series.
    step
        "day" or "week" (the Monday that begins it).

    Returns
    -------
    DataFrame
        One row per step that has audits, in order: the columns of `by`, `time` (timestamp), `errors`, `items`
        (effective, not rounded).
    """
    repeated = "item_id" not in by and items_repeat(audits)
    counts = count_errors(audits, [*by, "day", *(["item_id"] if repeated else [])])
    counts["time"] = pd.to_datetime(counts["day"])
    if step == "week":
        counts["time"] -= pd.to_timedelta(counts["time"].dt.day_of_week, unit="D")
    if repeated:
        counts["squared_weight"] = _add_pairs(counts, [*by, "time", "item_id"])
    sums = counts.groupby([*by, "time"], as_index=False, dropna=False)[list(COUNTS)].sum()
    sums["items"] = sums["weight"] ** 2 / sums["squared_weight"]
    sums["errors"] = sums["items"] * sums["weighted_errors"] / sums["weight"]
    return sums[[*by, "time", "errors", "items"]]


def _add_pairs(counts: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Return sums of squared weights, with what pairs of judgments of one item and step add to the variance."""
    named = counts["item_id"].notna()
    groups = counts[named].groupby(list(keys), dropna=False)[["errors", "items", "weight", "squared_weight"]]
    together = groups.sum()
    rho = judgment_correlation(together["errors"].to_numpy(float), together["items"].to_numpy(float))
    joint = groups.transform("sum")
    share = counts["items"] / joint["items"]  # an item of a week may stand on several days
    added = rho * (joint["weight"] ** 2 - joint["squared_weight"]).clip(lower=0) * share
    return counts["squared_weight"] + added.where(named, 0.0)


def keep_proportional(audits: Any, *, like: Any = None) -> Any:
    """Keep the first-round audits of the streams that stand for all decisions (random, stratified).

    Targeted, seeded and escalated audits answer other questions and are never pooled with these, nor are audits whose
    stream is not named where that of others is. Where a table has no such column, or no row of such a stream, nothing
    is dropped on that account.

    Parameters
    ----------
    audits
        One row per audit, on any engine.
    like
        Another table whose streams are kept instead, so that a history is of the same audits as its last period.
    """
    table = nw.from_native(keep_first_round(audits))
    if "stream" in table.collect_schema().names():
        streams = pick_streams(_list_streams(table.to_native() if like is None else keep_first_round(like)))
        if any(streams):
            table = table.filter(nw.col("stream").is_in(list(streams)))
    return table.to_native()


def pick_streams(streams: Iterable[str]) -> tuple[str, ...]:
    """Pick the streams that rates come from: the proportional ones, else all that are named, else none ("").

    Examples
    --------
    >>> pick_streams(["random", "targeted", ""]), pick_streams(["targeted", ""]), pick_streams([""])
    (('random',), ('targeted',), ('',))
    """
    named = sorted(filter(None, streams))
    return tuple(name for name in named if name in PROPORTIONAL_STREAMS) or tuple(named) or ("",) * bool([*streams])


def keep_first_round(audits: Any) -> Any:
    """Keep first audits, which say round 1 or none; where there are none, those of the lowest round there is."""
    table = nw.from_native(audits)
    if "audit_round" not in table.collect_schema().names():
        return audits
    number = _as_number(table.lazy(), "audit_round")
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


def open_table(audits: Any, *, needs: Sequence[str] = ()) -> nw.LazyFrame[Any]:
    """Open any table lazily, with `error` and `weight` made sure of.

    `error` is 1 where label and truth differ unless the column is there; `weight` is 1.0 unless the column is there.

    Raises
    ------
    DataError
        If one of the columns `needs` is missing, two have one name, errors cannot be told, a weight is no number, or
        label and truth are of two kinds.
    """
    names = column_names(audits)
    _require(names, needs)
    table = nw.from_native(audits).lazy()
    if "error" not in names:
        _require(names, ("label", "truth"))
        table = table.with_columns(_differs(table).alias("error"))
    weight = _as_number(table, "weight") if "weight" in names else nw.lit(1.0)
    return table.with_columns(_as_number(table, "error").cast(nw.Float64), weight.cast(nw.Float64).alias("weight"))


def _differs(table: nw.LazyFrame[Any]) -> nw.Expr:
    """Return 1.0 where label and truth differ; categories, which compare with their own list only, become text."""
    kinds, names = table.collect_schema(), ("label", "truth")
    numbers = [kinds[name].is_numeric() for name in names]
    if numbers[0] != numbers[1] and nw.String in (kinds[name] for name in names):
        found = table.filter(~(nw.col("label").is_null() | nw.col("truth").is_null())).select(*names)
        refuse(collect(found), "label is text and truth a number, or the other way round", "truth", "write both alike")
    label, truth = (
        nw.col(name).cast(nw.String) if kinds[name] in (nw.Categorical, nw.Enum) else nw.col(name) for name in names
    )
    return nw.when(~(label.is_null() | truth.is_null())).then((label != truth).cast(nw.Float64))


def _as_number(table: nw.LazyFrame[Any], name: str) -> nw.Expr:
    kind = table.collect_schema()[name]
    if kind.is_numeric() or kind == nw.Boolean:
        return nw.col(name)
    found = collect(table.select(name))
    strange = pd.to_numeric(found[name], errors="coerce").isna() & found[name].notna()
    refuse(found[strange].astype(str), f"{name} is no number", name, f"write {name} as a number")
    return nw.col(name).cast(nw.Float64)


def collect(table: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Fetch a lazy table as a pandas frame, with its plain column types."""
    return table.collect("pandas").to_native()


def column_names(audits: Any) -> list[str]:
    """Return the names of a table's columns.

    Raises
    ------
    DataError
        If two have the same.
    """
    try:
        return nw.from_native(audits).lazy().collect_schema().names()
    except nw.exceptions.DuplicateError:
        twice = next(iter(audits.columns[audits.columns.duplicated()]))
        problem = f"{(audits.columns == twice).sum()} columns are named {twice!r}"
        raise DataError(problem, column=str(twice), mend="rename or remove all but one") from None


def has_values(audits: Any, name: str) -> bool:
    """Tell whether a table has a column, and a value in it."""
    if name not in column_names(audits):
        return False
    return bool(len(collect(nw.from_native(audits).lazy().filter(~nw.col(name).is_null()).select(name).head(1))))


def items_repeat(audits: Any) -> bool:
    """Tell whether any item was judged more than once: its judgments then hang together.

    Examples
    --------
    >>> items_repeat(pd.DataFrame({"item_id": ["i1", "i1", "i2"]})), items_repeat(pd.DataFrame({"n": [1, 2]}))
    (True, False)
    """
    if "item_id" not in column_names(audits):
        return False
    items = nw.from_native(audits).lazy().select("item_id").drop_nulls()
    counted = collect(items.select(nw.len().alias("rows"), nw.col("item_id").n_unique().alias("items")))
    return bool((counted["rows"] > counted["items"]).any())


def keep_slice(audits: Any, where: Mapping[str, str]) -> Any:
    """Keep the rows of one slice, on the engine; the table stays of its own kind. MISSING keeps those without a value.

    Examples
    --------
    >>> keep_slice(pd.DataFrame({"queue": ["a", "b"], "n": [1, 2]}), {"queue": "b"})["n"].tolist()
    [2]
    """
    table = nw.from_native(audits)
    _require(table.collect_schema().names(), tuple(where))
    for name, value in where.items():
        column = nw.col(name)
        table = table.filter(column.is_null() if value == MISSING else column.cast(nw.String) == value)
    return table.to_native()


def fetch_errors(audits: Any, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Fetch the rows with an error, of these columns (all where none is named and those that exist only)."""
    table = open_table(audits)
    names = table.collect_schema().names()
    wanted = [name for name in columns if name in names] or names
    return collect(table.filter(nw.col("error") == 1).select(*wanted))


def _require(names: Sequence[str], needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise DataError(
            f"no column {missing[0]!r}",
            column=missing[0],
            mend=f"map it, or choose among {', '.join(sorted(map(str, names)))}",
        )
