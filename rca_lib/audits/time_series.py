# Tested in tests/questions/test_trend.py.
"""Error counts per day or week, for charts and for the search for changes.

With weights, a step has the effective sample size n_eff = W^2 / W2 (see `audits.counting`). Its errors are
n_eff times the weighted error rate. Where items are judged more than once, their judgements are correlated. With
intraclass correlation rho, an item with weight W_j and squared weight W2_j adds rho (W_j^2 - W2_j) to the sum of
squared weights, which lowers the effective sample size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rca_lib.audits.counting import COUNT_COLUMNS, count_errors, has_repeated_items
from rca_lib.stats.clustered_data.intraclass_correlation import estimate_intraclass_correlation


def count_over_time(audits: Any, by: Sequence[str] = (), *, step: str = "day") -> pd.DataFrame:
    """Count errors and items per time step, separately for each series.

    Parameters
    ----------
    audits
        One row per audited decision, with the local `day` and the columns of `by`.
    by
        The columns that name a series.
    step
        "day" or "week" (named by its Monday).

    Returns
    -------
    DataFrame
        One row per step that has audits, in order: the columns of `by`, `time` (timestamp), `errors` and `items`
        (effective numbers, not rounded).

    Notes
    -----
    With weights, `items` is the effective sample size and `errors` the weighted rate times it. A change of the sampling
    alone therefore does not move the series. Where items are judged more than once, judgements of one item in one step
    count for less, according to their intraclass correlation.
    """
    has_repeats = "item_id" not in by and has_repeated_items(audits)
    counts = count_errors(audits, [*by, "day", *(["item_id"] if has_repeats else [])])
    counts["time"] = pd.to_datetime(counts["day"])
    if step == "week":
        counts["time"] -= pd.to_timedelta(counts["time"].dt.day_of_week, unit="D")
    if has_repeats:
        counts["squared_weight"] = _add_item_covariance(counts, [*by, "time", "item_id"])
    sums = counts.groupby([*by, "time"], as_index=False, dropna=False)[list(COUNT_COLUMNS)].sum()
    sums["items"] = sums["weight"] ** 2 / sums["squared_weight"]
    sums["errors"] = sums["items"] * sums["weighted_errors"] / sums["weight"]
    return sums[[*by, "time", "errors", "items"]]


def _add_item_covariance(counts: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Add to the sums of squared weights the covariance of judgements of one item in one step.

    With intraclass correlation rho, an item's judgements add rho (W^2 - W2) to the variance of the weighted sum.
    """
    is_named = counts["item_id"].notna()
    groups = counts[is_named].groupby(list(keys), dropna=False)[["errors", "items", "weight", "squared_weight"]]
    item_sums = groups.sum()
    correlation = estimate_intraclass_correlation(
        item_sums["errors"].to_numpy(float), item_sums["items"].to_numpy(float)
    )
    row_sums = groups.transform("sum")
    share = counts["items"] / row_sums["items"]  # an item of a week may have rows on several days
    covariance = correlation * (row_sums["weight"] ** 2 - row_sums["squared_weight"]).clip(lower=0) * share
    return counts["squared_weight"] + covariance.where(is_named, 0.0)
