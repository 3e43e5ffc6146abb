# Tested in tests/questions/test_quality.py.
"""The rate behind each quality metric, from counts of outcomes, with raters as clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rca_lib.audits.schema import SEVERITY_WEIGHTS
from rca_lib.audits.targets import ENFORCEMENT
from rca_lib.findings import Estimate, Rate
from rca_lib.stats.proportions import ClusteredRate, estimate_clustered_rate


def estimate_metric(cells: pd.DataFrame, metric: str) -> ClusteredRate | None:
    """Estimate the error rate of a metric with raters as clusters; None if no audit belongs to the metric."""
    event = "wrong"
    is_over = metric == "over_enforcement"
    scale: np.ndarray | float = 1.0
    if metric in ENFORCEMENT:
        has_benign = "harmless" in cells and cells["harmless"].any()
        cells, event = cells[cells["harmless"] == is_over] if has_benign else cells[:0], "passed"
    elif metric == "severity_weighted_accuracy":
        cells = cells[cells["severity"].isin(SEVERITY_WEIGHTS)] if "severity" in cells else cells[:0]
        # Severity that is known of errors only would make every graded audit an error.
        cells = cells[:0] if cells["wrong"].all() else cells
        scale = cells["severity"].map(SEVERITY_WEIGHTS).to_numpy(float) if len(cells) else 1.0
    if cells.empty:
        return None
    rater, item = (
        pd.factorize(cells[name], use_na_sentinel=False)[0] if name in cells else None for name in ("rater", "item_id")
    )
    items, weight, squared_weight = (cells[name].to_numpy(float) for name in ("items", "weight", "squared_weight"))
    is_error = cells[event].to_numpy(bool) != is_over
    return estimate_clustered_rate(is_error, items, weight * scale, squared_weight * scale**2, rater, item)


def complement(rate: Rate) -> Estimate:
    """Return an accuracy from an error rate."""
    return Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low, "%", rate.level)
