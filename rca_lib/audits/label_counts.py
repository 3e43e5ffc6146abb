# Tested in tests/questions/test_agreement.py.
"""Labels of ratings on a scale, and counts of the ratings of each item by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse

from rca_lib.audits.column_checks import reject_rows
from rca_lib.audits.ratings import Ratings

Counts = sparse.csr_array  # items × labels
Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def order_labels(ratings: Ratings, scale: Scale, categories: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the labels in order with their positions on the scale.

    Parameters
    ----------
    ratings
        The ratings in codes.
    scale
        Scale of the labels.
    categories
        All labels in order; None takes the labels that occur.

    Returns
    -------
    list of str, ndarray
        The labels in order, and their positions: ranks, or the numbers themselves on a numeric scale.

    Raises
    ------
    DataError
        If a label is not in `categories`, or not a number where the scale needs one. Each number must be written in one
        way, and none may be negative on the ratio scale.
    """
    labels = pd.Series(ratings.labels if categories is None else list(categories), dtype=object)
    is_unknown = ~np.isin(ratings.labels, labels)
    _reject_labels(ratings, is_unknown, "labels are off the scale", "correct them, or add `categories`")
    if scale == "nominal" or (scale == "ordinal" and categories is not None):
        return labels.tolist(), np.arange(len(labels), dtype=float)
    numbers = pd.to_numeric(labels, errors="coerce")
    hint = "list `categories` in their order" if scale == "ordinal" else "give numbers, or set scale='ordinal'"
    is_word = np.isin(ratings.labels, labels[numbers.isna()])
    _reject_labels(ratings, is_word, f"labels on the {scale} scale are words", hint)
    is_duplicate = np.isin(ratings.labels, labels[numbers.duplicated(keep=False) & numbers.notna()])
    _reject_labels(ratings, is_duplicate, "labels write one number in two ways", "write it in one way")
    is_negative = np.isin(ratings.labels, labels[(numbers < 0) & (scale == "ratio")])
    _reject_labels(ratings, is_negative, "labels on the ratio scale are below 0", "set scale='interval'")
    numbers = numbers.dropna().sort_values()
    ordered_labels = labels[numbers.index].tolist()
    if scale == "ordinal":
        return ordered_labels, np.arange(len(numbers), dtype=float)
    return ordered_labels, numbers.to_numpy(float)


def count_labels(ratings: Ratings, labels: list[str], mask: np.ndarray | None = None) -> Counts:
    """Count the ratings of each item by label.

    Parameters
    ----------
    ratings
        The ratings in codes.
    labels
        The labels in order.
    mask
        Which raters to count; None counts all.

    Returns
    -------
    csr_array
        Items × labels.
    """
    columns = pd.Index(labels).get_indexer(pd.Index(ratings.labels))[ratings.label]
    ones = np.ones(len(columns)) if mask is None else mask[ratings.rater].astype(float)
    return sparse.coo_array((ones, (ratings.item, columns)), shape=(len(ratings.items), len(labels))).tocsr()


def _reject_labels(ratings: Ratings, mask: np.ndarray, problem: str, hint: str) -> None:
    """Raise a DataError if ratings have one of the labels in the mask."""
    rows = np.flatnonzero(mask[ratings.label])
    invalid = pd.DataFrame(
        {
            "item_id": ratings.items[ratings.item[rows]],
            "rater": ratings.raters[ratings.rater[rows]],
            "label": ratings.labels[ratings.label[rows]],
        }
    )
    reject_rows(invalid, problem, "label", hint)
