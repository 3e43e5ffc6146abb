# Tested in tests/questions/test_disagreements.py.
"""Assignment of each error to a cluster: by policy, label and truth, and in large groups by what the comments say.

A group with at least 150 comments is split by text if the split is stable on resamples (`stats.text.clustering`). Its
errors without a comment then form a cluster of their own. Text groups are numbered and never named after their words,
which may be harmful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rca_lib.audits.counting import fetch_errors
from rca_lib.stats.text.clustering import MIN_TEXTS, cluster_texts
from rca_lib.stats.text.embedding import extract_texts

GROUP_COLUMNS = ["policy", "label", "truth"]
CLUSTER_COLUMNS = [*GROUP_COLUMNS, "group"]
TEXT_COLUMNS = ("audit_id", "policy", "label", "truth", "rater", "comment")
NO_COMMENT = "no comment"
CURRENT, BASELINE = 0, 1  # values of the column `period`

ClusterKey = tuple[str, str, str, str]  # values of CLUSTER_COLUMNS


@dataclass(frozen=True, slots=True, eq=False)
class ErrorClusterAssignment:
    """The errors with their clusters.

    Attributes
    ----------
    errors
        One row per error: the columns of `TEXT_COLUMNS` as text, `weight`, `period` (0 current, 1 baseline) and
        `group`, the text group ("" where the group was not split).
    terms
        Words that set each cluster of a text group apart.
    was_split
        For each group with enough comments, whether it was split.
    """

    errors: pd.DataFrame
    terms: dict[ClusterKey, tuple[str, ...]]
    was_split: tuple[bool, ...]


def assign_error_clusters(tables: Sequence[Any], *, seed: int = 0) -> ErrorClusterAssignment:
    """Assign each error of the current period, and of a baseline, to its cluster.

    Parameters
    ----------
    tables
        Audits of the current period, optionally followed by those of a baseline. Both are clustered together.
    seed
        Seed of the clustering of texts. Default 0.

    Returns
    -------
    ErrorClusterAssignment
        In an order that does not depend on that of the rows.
    """
    errors = _fetch_errors(tables).assign(group="")
    terms: dict[ClusterKey, tuple[str, ...]] = {}
    was_split = []
    for key, group in errors.groupby(GROUP_COLUMNS, sort=True):
        commented = group.index[group["comment"].str.strip() != ""]
        if len(commented) < MIN_TEXTS:
            continue
        clustering = cluster_texts(errors.loc[commented, "comment"].tolist(), seed=seed)
        is_split = len(clustering.terms) > 1
        was_split.append(is_split)
        names = _name_groups(clustering.terms) if is_split else [""]
        policy, label, truth = (str(part) for part in key)
        terms |= {(policy, label, truth, name): words for name, words in zip(names, clustering.terms, strict=True)}
        errors.loc[group.index, "group"] = NO_COMMENT if is_split else ""
        errors.loc[commented, "group"] = [names[part] for part in clustering.labels]
    return ErrorClusterAssignment(errors, terms, tuple(was_split))


def _fetch_errors(tables: Sequence[Any]) -> pd.DataFrame:
    """Return the errors of all periods, sorted by period and audit."""
    rows = [fetch_errors(table, (*TEXT_COLUMNS, "weight")).assign(period=period) for period, table in enumerate(tables)]
    errors = pd.concat(rows).sort_values(["period", "audit_id"], ignore_index=True, kind="stable")
    return errors.assign(**{name: extract_texts(errors, name) for name in TEXT_COLUMNS})


def _name_groups(terms: Sequence[tuple[str, ...]]) -> list[str]:
    """Number the text groups alphabetically by their terms, which change less between periods than their sizes."""
    numbers = {words: number for number, words in enumerate(sorted(set(terms)), start=1)}
    return [f"text group {numbers[words]}" for words in terms]
