# Tested in tests/questions/test_alternative_explanations.py.
"""Error rates with the influence of each rater, and the change between two rates that share raters.

An error rate is a ratio of sums over clusters (raters) c:

    r = sum_c e_c / sum_c n_c,

with e_c the errors and n_c the items of cluster c, weighted or not. Its linearisation gives the influence of a cluster,

    u_c = (e_c - r n_c) / sum_c n_c,

and the variance of r is C / (C - 1) * sum_c u_c**2 for C clusters (Woodruff 1971). Influences of two rates can be
subtracted cluster by cluster. A rater who worked in both periods is then one cluster, and the covariance of the two
rates is included.

References
----------
Woodruff, R. S. (1971). A simple method for approximating the variance of a complicated estimate. JASA 66: 411-414.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.counting import column_names, count_errors, keep_proportional
from rca_lib.findings import Estimate

WEIGHTED = ("weighted_errors", "weight")  # columns of the counts that give the weighted rate
RAW = ("errors", "items")  # columns of the counts that give the raw rate
CLUSTER_COLUMNS = ("rater", "item_id", "audit_id", "error")  # the first one that exists is the cluster


@dataclass(frozen=True, slots=True, eq=False)
class InfluencedRate:
    """A rate, or a difference of rates, with the influence of each cluster."""

    value: float
    influence: pd.Series


def choose_cluster_column(table: Any) -> str:
    """Return the column whose values are the clusters."""
    names = column_names(table)
    return next(name for name in CLUSTER_COLUMNS if name in names)


def sum_by_cluster(table: Any, columns: tuple[str, str]) -> pd.DataFrame:
    """Return `errors` and `items` of each cluster, from `WEIGHTED` or `RAW` columns of the counts."""
    cluster = choose_cluster_column(table)
    sums = count_errors(table, [cluster]).groupby(cluster, dropna=False)[list(columns)].sum()
    return sums.set_axis(["errors", "items"], axis=1)


def compute_influence(sums: pd.DataFrame) -> InfluencedRate:
    """Return the rate of errors to items, with the influence of each cluster."""
    total = sums["items"].sum()
    rate = sums["errors"].sum() / total
    return InfluencedRate(float(rate), (sums["errors"] - rate * sums["items"]) / total)


def compute_crude_gap(table: Any) -> InfluencedRate:
    """Return the raw rate of all rows minus the weighted rate of the proportional rows."""
    raw = compute_influence(sum_by_cluster(table, RAW))
    weighted = compute_influence(sum_by_cluster(keep_proportional(table), WEIGHTED))
    return InfluencedRate(raw.value - weighted.value, raw.influence.sub(weighted.influence, fill_value=0.0))


def estimate_difference(before: InfluencedRate, after: InfluencedRate, z: float) -> Estimate:
    """Return the change between two rates with its interval of `z` standard errors, in pp."""
    influence = after.influence.sub(before.influence, fill_value=0.0)
    clusters = len(influence)
    half_width = z * float(np.sqrt((influence**2).sum() * clusters / max(clusters - 1, 1)))
    difference = after.value - before.value
    return Estimate(difference, max(difference - half_width, -1.0), min(difference + half_width, 1.0), "pp")
