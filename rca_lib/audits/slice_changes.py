"""The change of one slice's error rate between two periods, tested by raters and items as clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.counting import column_names, count_errors, keep_slice
from rca_lib.stats.rate_difference import RateDifference, difference_of_rates
from rca_lib.stats.two_way_clusters import cluster_variance

CLUSTERS = ("rater", "item_id")


def compare_slice(baseline: Any, current: Any, where: Mapping[str, str]) -> RateDifference | None:
    """Compare the error rate of a slice before and after.

    Parameters
    ----------
    baseline, current
        One row per audited decision, with the columns of `where`; `rater` and `item_id` are clusters where they exist.
    where
        The values that make the slice; all audits where it is empty.

    Returns
    -------
    RateDifference, optional
        None where a column is missing or one period has no audit of the slice.

    Notes
    -----
    It tests one slice that was known beforehand: a search over slices has to allow for their number. With few items
    (below about ten) hardly any change is significant, for so few tell little of all items.

    Examples
    --------
    >>> before = pd.DataFrame({"queue": "a", "error": [0] * 95 + [1] * 5})
    >>> after = pd.DataFrame({"queue": "a", "error": [0] * 80 + [1] * 20})
    >>> round(compare_slice(before, after, {"queue": "a"}).p_value, 3)
    0.002
    """
    tables, parts = (baseline, current), []
    names = set(column_names(baseline)) & set(column_names(current))
    if not set(where) <= names:
        return None
    keys = [name for name in CLUSTERS if name in names]
    for period, table in enumerate(tables):
        counts = count_errors(keep_slice(table, where), keys).assign(period=period)
        if not counts["items"].sum():
            return None
        parts.append(counts)
    rates = [min(float(part["weighted_errors"].sum() / part["weight"].sum()), 1.0) for part in parts]
    sizes = [float(part["weight"].sum() ** 2 / part["squared_weight"].sum()) for part in parts]
    influences = [
        sign * (part["weighted_errors"] - rate * part["weight"]) / part["weight"].sum()
        for sign, part, rate in zip((-1, 1), parts, rates, strict=True)
    ]
    both = pd.concat(parts, ignore_index=True)
    codes = [pd.factorize(both[name], use_na_sentinel=False)[0] if name in keys else None for name in CLUSTERS]
    shares = np.concatenate([part["weight"] / part["weight"].sum() for part in parts])
    found = cluster_variance(np.concatenate(influences), *codes, weight=shares)
    variance = found.variance if np.isfinite(found.degrees) else 0.0
    return difference_of_rates(*rates, (sizes[0], sizes[1]), variance=variance, degrees=found.degrees)
