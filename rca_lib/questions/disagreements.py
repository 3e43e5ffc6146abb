"""Over what do raters and audits disagree? Clusters of errors by policy, label and truth, and by what comments say.

*Clusters.* Errors with the same policy, label and truth form a group. A group with at least 150 comments is split by
text if the split is stable on resamples (`models.error_clusters`). Every error belongs to exactly one cluster.

*Share.* The share of a cluster among all errors is a ratio of weighted counts, with raters as clusters.

*Excess.* Let W and S be the sums of the weights and of the squared weights of the cluster's errors now, W₀ and S₀ those
in the baseline, and g the ratio of the weighted numbers of audits now and in the baseline. The excess and its variance
(weighted Poisson counts) are

    W − g W₀    and    S + g² S₀,

both rescaled from weights to counted errors by the factor (errors now) / W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np
import pandas as pd

from rca_lib.audits.counting import count_errors, fetch_errors, prepare_audits
from rca_lib.findings import Estimate, Finding, Grade, Rate, format_count, set_units
from rca_lib.models.error_clusters import (
    BASELINE,
    CLUSTER_COLUMNS,
    CURRENT,
    GROUP_COLUMNS,
    ClusterKey,
    assign_error_clusters,
)
from rca_lib.result import Result
from rca_lib.stats.proportions import estimate_clustered_rate, wilson_rate
from rca_lib.stats.text.clustering import MIN_STABILITY, MIN_TEXTS
from rca_lib.stats.text.embedding import extract_texts
from rca_lib.stats.text.masking import mask_text

DisagreementKind = Literal["cluster"]

MAX_EXAMPLES = 10  # example audits kept for each cluster
MAX_FINDINGS = 3  # clusters handed on as findings
DOMINANT_RATER_SHARE = 0.5  # a rater with more than this share of a cluster's errors dominates it
MAJORITY = 0.5  # share that the last cluster must exceed to be graded "shown"
Z_95 = 1.96  # standard normal quantile of a two-sided 95% interval


@dataclass(frozen=True, slots=True)
class DisagreementCluster:
    """Errors with the same policy, label and truth, and with similar comments if the group was split by text.

    Attributes
    ----------
    id
        Name of the cluster; it quotes no comment. It is the same in every period. That of a text group is the same as
        long as its terms are.
    policy, label, truth
        What the errors have in common; `policy` is "" without one.
    terms
        Words that set a text group apart. They may be harmful: no table, sentence or chart shows them.
    errors
        Number of errors, unweighted.
    share
        Weighted share of all errors.
    rate
        Errors per audit of the period.
    excess
        Errors beyond those at the rate of the baseline; None without a baseline.
    raters
        Number of raters with such errors; 0 if raters are unknown.
    dominant_rater
        Rater with more than half of the errors; "" if there is none.
    examples
        At most ten audits, by as many raters as possible.
    """

    id: str
    policy: str
    label: str
    truth: str
    terms: tuple[str, ...] = field(repr=False)
    errors: int
    share: Rate
    rate: Rate
    excess: Estimate | None
    raters: int
    dominant_rater: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disagreements(Result):
    """The clusters, largest first.

    Attributes
    ----------
    errors
        Number of errors in all clusters.
    clusters
        The clusters; together they hold every error.
    text_split_note
        Sentence on how many groups were split by text.
    """

    errors: int
    clusters: tuple[DisagreementCluster, ...]
    text_split_note: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row per cluster, with the fields of `DisagreementCluster` except `terms`.

        `share`, `rate` and `excess` are numbers; `low` and `high` are the limits of `share`.
        """
        rows = [
            asdict(cluster)
            | {
                "share": cluster.share.value,
                "low": cluster.share.low,
                "high": cluster.share.high,
                "rate": cluster.rate.value,
                "excess": cluster.excess.value if cluster.excess else float("nan"),
            }
            for cluster in self.clusters
        ]
        names = [column.name for column in fields(DisagreementCluster) if column.name != "terms"]
        frame = pd.DataFrame(rows, columns=[*names, "low", "high"])
        return set_units(frame, **dict.fromkeys(("share", "low", "high", "rate"), "%"))

    def summary(self) -> str:
        """Return the number of clusters, and what the largest one is about."""
        if not self.clusters:
            return "No errors: no disagreements."
        counts = f"{format_count(self.errors, 'error')} in {format_count(len(self.clusters), 'cluster')}"
        return f"{counts}. Largest cluster: {_format_cluster(self.clusters[0])} {self.text_split_note}"

    def findings(self) -> tuple[Finding[DisagreementKind], ...]:
        """Return the three largest clusters.

        A cluster is graded "shown" if the interval of its share lies above that of the next cluster, or above one half
        if it is the last one.
        """
        findings: list[Finding[DisagreementKind]] = []
        for index, cluster in enumerate(self.clusters[:MAX_FINDINGS]):
            is_last = index + 1 == len(self.clusters)
            threshold = MAJORITY if is_last else self.clusters[index + 1].share.high
            grade: Grade = "shown" if cluster.share.low > threshold else "possible"
            where = {name: getattr(cluster, name) for name in GROUP_COLUMNS if getattr(cluster, name)}
            sentence = _format_cluster(cluster)
            path = f"clusters[{index}].share"
            findings.append(Finding("disagreement", "cluster", sentence, grade, cluster.share, path, where))
        return tuple(findings)


def cluster_disagreements(audits: Any, *, baseline: Any = None, seed: int = 0) -> Disagreements:
    """Cluster the errors by policy, label and truth, and large groups by what their comments say.

    Parameters
    ----------
    audits
        One row per audited decision, with `audit_id`, `label` and `truth`; `policy`, `rater`, `weight` and `comment`
        where they exist.
    baseline
        Audits of an earlier period. Both periods are clustered together, so that a cluster is the same in both and its
        excess can be estimated. Default: none.
    seed
        Seed of the clustering of texts. Default 0.

    Returns
    -------
    Disagreements
        Every error is in exactly one cluster.

    Raises
    ------
    DataError
        If `audit_id`, `label` or `truth` is missing.

    Notes
    -----
    A group with at least 150 comments is split by text if the split is the same on resamples. The split is learned from
    at most 2,000 comments of the group, drawn with `seed`; it then assigns the others (`cluster_texts`).

    A large cluster is neither a cause nor anybody's fault. Many raters in one cluster point at the policy or the truth,
    a single rater points at the person; neither is proof. Shares do not account for how many items were at risk.

    Examples
    --------
    >>> audits = pd.DataFrame({"audit_id": ["1", "2", "3"], "policy": ["hate", "hate", "spam"], "rater": list("aba"),
    ...     "label": ["benign", "benign", "hate"], "truth": ["hate", "hate", "spam"]})
    >>> [(cluster.id, cluster.errors, cluster.raters) for cluster in cluster_disagreements(audits).clusters]
    [('hate: benign for hate', 2, 2), ('spam: hate for spam', 1, 1)]
    """
    tables = [audits] if baseline is None else [audits, baseline]
    for table in tables:
        prepare_audits(table, required=("audit_id", "label", "truth"))
    assignment = assign_error_clusters(tables, seed=seed)
    audit_weights = [float(count_errors(table)["weight"].sum()) for table in tables]
    baseline_sums = _sum_weights(assignment.errors[assignment.errors["period"] == BASELINE])
    errors = assignment.errors[assignment.errors["period"] == CURRENT]
    raters = pd.factorize(errors["rater"])[0] if errors["rater"].any() else None
    clusters = []
    for values, indices in errors.groupby(CLUSTER_COLUMNS, sort=True).indices.items():
        key = _get_cluster_key(values)
        positions = np.asarray(indices)
        weights = errors["weight"].to_numpy(float)[positions]
        share = _estimate_share(errors, positions, raters)
        rate = wilson_rate(float(errors["weight"].iloc[positions].sum()), audit_weights[CURRENT])
        excess = _estimate_excess(weights, audit_weights, baseline_sums.get(key, (0.0, 0.0)))
        terms = assignment.terms.get(key, ())
        clusters.append(_describe_cluster(errors.iloc[positions], key, terms, share, rate, excess))
    clusters.sort(key=lambda cluster: (-cluster.errors, cluster.id))
    return Disagreements(len(errors), tuple(clusters), _format_text_split(assignment.was_split))


def fetch_examples(
    audits: Any, disagreements: Disagreements, *, per_cluster: int = 3, masked: bool = True
) -> pd.DataFrame:
    """Fetch example audits of each cluster.

    Parameters
    ----------
    audits
        The audits that were clustered.
    disagreements
        The result of `cluster_disagreements`.
    per_cluster
        Examples of each cluster, at most ten. Default 3.
    masked
        Whether comments are replaced by length and script (`mask_text`), since they may quote harmful content. Default
        True. Comments in clear are cut at 2,000 characters.

    Returns
    -------
    DataFrame
        One row per example: `cluster`, `audit_id`, `label`, `truth`, `comment`; without masking also `words`, the terms
        that set a text group apart.
    """
    pairs = [(cluster.id, audit) for cluster in disagreements.clusters for audit in cluster.examples[:per_cluster]]
    rows = fetch_errors(audits, ("audit_id", "label", "truth", "comment"))
    rows["audit_id"] = extract_texts(rows, "audit_id")
    examples = pd.DataFrame(pairs, columns=["cluster", "audit_id"], dtype="str").merge(rows, on="audit_id")
    examples = examples.reindex(columns=["cluster", "audit_id", "label", "truth", "comment"])
    if masked:
        return examples.assign(comment=examples["comment"].map(mask_text))
    words = {cluster.id: ", ".join(cluster.terms) for cluster in disagreements.clusters}
    return examples.assign(comment=extract_texts(examples, "comment"), words=examples["cluster"].map(words))


def _sum_weights(rows: pd.DataFrame) -> dict[ClusterKey, tuple[float, float]]:
    """Return the sums of the weights and of the squared weights of each cluster."""
    groups = rows.groupby(CLUSTER_COLUMNS)["weight"]
    return {
        _get_cluster_key(values): (float(total), float(np.square(weights).sum()))
        for (values, weights), total in zip(groups, groups.sum(), strict=True)
    }


def _get_cluster_key(values: Any) -> ClusterKey:
    """Return the values of `CLUSTER_COLUMNS` as texts."""
    policy, label, truth, group = (str(value) for value in values)
    return policy, label, truth, group


def _estimate_share(errors: pd.DataFrame, positions: np.ndarray, raters: np.ndarray | None) -> Rate:
    """Return the weighted share of a cluster, given by positions, among all errors."""
    weight = errors["weight"].to_numpy(float)
    is_in_cluster = np.isin(np.arange(len(errors)), positions)
    return estimate_clustered_rate(is_in_cluster, np.ones(len(errors)), weight, weight**2, raters).rate


def _estimate_excess(
    weights: np.ndarray, audit_weights: Sequence[float], baseline_sums: tuple[float, float]
) -> Estimate | None:
    """Return the errors beyond those at the rate of the baseline; None without audits in the baseline."""
    if len(audit_weights) < 2 or not audit_weights[BASELINE]:
        return None
    growth = audit_weights[CURRENT] / audit_weights[BASELINE]
    baseline_weight, baseline_squares = baseline_sums
    excess = float(weights.sum()) - growth * baseline_weight
    margin = Z_95 * float(np.sqrt(np.square(weights).sum() + growth**2 * baseline_squares))
    scale = len(weights) / float(weights.sum())  # from weights to counted errors
    value, low, high = (round(limit * scale, 9) for limit in (excess, excess - margin, excess + margin))
    return Estimate(value, low, high, "errors")


def _describe_cluster(
    errors: pd.DataFrame,
    key: ClusterKey,
    terms: tuple[str, ...],
    share: Rate,
    rate: Rate,
    excess: Estimate | None,
) -> DisagreementCluster:
    """Return the record of one cluster."""
    policy, label, truth, group = key
    errors_by_rater = errors.loc[errors["rater"] != "", "rater"].value_counts()
    is_dominated = len(errors) > 1 and errors_by_rater.max() > DOMINANT_RATER_SHARE * len(errors)
    # The first error of every rater comes before the second of any.
    turns = errors.groupby("rater").cumcount().sort_values(kind="stable")
    return DisagreementCluster(
        id=(f"{policy}: " if policy else "") + f"{label} for {truth}" + (f" ({group})" if group else ""),
        policy=policy,
        label=label,
        truth=truth,
        terms=terms,
        errors=len(errors),
        share=share,
        rate=rate,
        excess=excess,
        raters=len(errors_by_rater),
        dominant_rater=str(errors_by_rater.idxmax()) if is_dominated else "",
        examples=tuple(errors["audit_id"].loc[turns.index[:MAX_EXAMPLES]]),
    )


def _format_cluster(cluster: DisagreementCluster) -> str:
    """Return share, growth and raters of a cluster in words."""
    growth = f", {cluster.excess} more than before" if cluster.excess and float(cluster.excess.low) > 0 else ""
    if not cluster.raters:
        raters = "The raters are unknown"
    elif cluster.raters == 1:
        raters = "One rater made them"
    elif cluster.dominant_rater:
        raters = "One rater made most of them"
    else:
        raters = f"{format_count(cluster.raters, 'rater')} made them, none more than half"
    return f"{cluster.id}: {cluster.share} of the errors{growth}. {raters}."


def _format_text_split(was_split: Sequence[bool]) -> str:
    """Return how many large groups were split by text, in words."""
    if not was_split:
        return f"Not split by text: no group has {MIN_TEXTS} comments."
    whole = f" The others have no stable and clear split (adjusted Rand index {MIN_STABILITY})."
    groups = format_count(len(was_split), "large group")
    return f"{sum(was_split)} of {groups} split by text.{'' if all(was_split) else whole}"
