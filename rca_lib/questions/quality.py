"""What happened? Error rates with design weights and rater clusters, by policy and against the targets.

Rates are Hájek estimates: weighted errors over weights, where a weight is 1 / sampling probability. Their intervals
treat raters, and items that were judged more than once, as clusters (`stats.proportions.estimate_clustered_rate`).
Only random and stratified audits count, for they stand for all decisions.

- error rate: label and truth differ;
- over-enforcement: errors among the truly benign items;
- under-enforcement: violations passed as benign, among the truly violating items;
- severity-weighted accuracy: accuracy with each audit weighted by the severity of its item.

A target is met or missed only if the whole interval lies on one side of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from rca_lib.audits.counting import MISSING_VALUE, column_names, keep_proportional
from rca_lib.audits.outcome_counts import compute_max_weight_share, count_outcomes, validate_audits
from rca_lib.audits.schema import SEVERITY_WEIGHTS, TARGET_METRICS
from rca_lib.audits.targets import ENFORCEMENT
from rca_lib.findings import (
    DataError,
    Estimate,
    Finding,
    Grade,
    Quantity,
    Rate,
    format_count,
    format_slice,
    format_value,
    set_units,
)
from rca_lib.models.metric_rates import complement, estimate_metric
from rca_lib.models.target_verdicts import TargetVerdict, judge_targets
from rca_lib.result import Result
from rca_lib.stats.power import minimum_detectable_change
from rca_lib.stats.proportions import ClusteredRate, wilson_rate

QualityKind = Literal["level", "weight", "target", "over", "under", "severity", "policy"]

DOMINANT_WEIGHT_SHARE = 0.2  # share of all weight in one audit from which a report warns
MAX_POLICIES = 300  # policies with rates of their own: more are not read, and each takes milliseconds
_METRIC_SENTENCES: Mapping[str, tuple[QualityKind, str]] = {
    "over_enforcement": ("over", "Over-enforcement (errors among truly benign items)"),
    "under_enforcement": ("under", "Under-enforcement (violations passed as benign)"),
    "severity_weighted_accuracy": ("severity", "Severity-weighted accuracy"),
}


@dataclass(frozen=True, slots=True)
class SliceQuality:
    """The rates of one policy; `share` is its share of all weighted errors."""

    where: Mapping[str, str]
    error_rate: Rate
    over_enforcement: Rate | None
    under_enforcement: Rate | None
    share: float


@dataclass(frozen=True, slots=True)
class Quality(Result):
    """The quality of one site and period, from its proportional streams.

    Attributes
    ----------
    error_rate, accuracy
        The weighted error rate and its complement.
    unweighted_rate
        The rate of a plain count of the same rows.
    weighted
        Whether the audits carry weights.
    raters
        The number of raters, 0 if it is not known.
    design_effect
        How many times more audits the interval needs than with independent audits.
    minimum_detectable_change
        The smallest rise of the error rate between two such samples that is detected (two-sided 5 %, power 80 %).
    max_weight_share
        The largest share of all weight in one audit.
    over_enforcement, under_enforcement, severity_weighted_accuracy
        None if the audits have no benign label, or no severity.
    by_policy
        The policies with most errors; `not_available` names the rest.
    verdicts
        One entry per target that could be judged.
    not_available
        What the data did not allow, in sentences.
    """

    error_rate: Rate
    accuracy: Estimate
    unweighted_rate: Rate
    weighted: bool
    raters: int
    design_effect: float
    minimum_detectable_change: Quantity | None
    max_weight_share: Quantity
    over_enforcement: Rate | None
    under_enforcement: Rate | None
    severity_weighted_accuracy: Estimate | None
    by_policy: tuple[SliceQuality, ...]
    verdicts: tuple[TargetVerdict, ...]
    not_available: tuple[str, ...]

    @property
    def max_error_rate(self) -> float | None:
        """The error rate that the accuracy target allows; None without such a target."""
        return next((1 - verdict.contract for verdict in self.verdicts if verdict.estimate == self.accuracy), None)

    @property
    def is_weight_dominated(self) -> bool:
        """Whether one audit carries so much of the weight that it determines the rates."""
        return self.max_weight_share.value >= max(DOMINANT_WEIGHT_SHARE, 2 / self.error_rate.items)

    def summary(self) -> str:
        """State the accuracy, its data, and the verdict on the accuracy target."""
        rate, weights = self.error_rate, "weighted" if self.weighted else "unweighted"
        raters = f" of {format_count(self.raters, 'rater')}" if self.raters else ""
        counts = f"{format_count(rate.errors, 'error')} in {format_count(rate.items, 'audit')}{raters}"
        text = f"Accuracy {self.accuracy}: {counts}, {weights}"
        verdict = next((verdict for verdict in self.verdicts if verdict.estimate == self.accuracy), None)
        return f"{text}; {verdict.target}: {verdict.verdict}." if verdict else f"{text}."

    def findings(self) -> tuple[Finding[QualityKind], ...]:
        """Return the level, each target, over- and under-enforcement, severity, and the policy with most errors."""
        findings: list[Finding[QualityKind]] = [
            Finding("quality", "level", self.summary(), "shown", self.accuracy, "accuracy")
        ]
        if self.is_weight_dominated:
            warning = self._format_weight_warning()
            findings.append(Finding("quality", "weight", warning, "shown", self.max_weight_share, "max_weight_share"))
        for index, verdict in enumerate(self.verdicts):
            grade: Grade = "shown" if verdict.verdict in ("met", "missed") else "not proven"
            path = f"verdicts[{index}].estimate"
            findings.append(
                Finding("quality", "target", verdict.sentence, grade, verdict.estimate, path, verdict.where)
            )
        for metric, (kind, label) in _METRIC_SENTENCES.items():
            if (estimate := getattr(self, metric)) is not None:
                findings.append(Finding("quality", kind, f"{label}: {estimate}.", "shown", estimate, metric))
        if len(self.by_policy) > 1 and self.error_rate.errors:
            findings.append(self._policy_finding())
        return tuple(findings)

    def _policy_finding(self) -> Finding[QualityKind]:
        policy = self.by_policy[0]
        share = format_value(policy.share, "%")
        sentence = f"Most errors are in {policy.where['policy']}: {share} of them, at a rate of {policy.error_rate}."
        path = "by_policy[0].error_rate"
        return Finding(
            "quality", "policy", sentence, "shown", policy.error_rate, path, policy.where, share=policy.share
        )

    def _format_weight_warning(self) -> str:
        share = self.max_weight_share.value
        digits = 2 if share > 0.99 else 1
        percent = f"{np.floor(share * 100 * 10**digits) / 10**digits:.{digits}f} %"  # never rounded up to 100 %
        effective = self.error_rate.items / self.design_effect
        return (
            f"Check one audit: it carries {percent} of the weight. "
            f"The {self.error_rate.items:,.0f} audits are worth {effective:,.1f} independent ones."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per rate: `measure`, `where`, `value`, `low`, `high`, `errors`, `items` (shares, rows)."""
        measures = ("error_rate", "unweighted_rate", *TARGET_METRICS)
        rows = [(measure, "", getattr(self, measure)) for measure in measures]
        for policy in self.by_policy:
            where = format_slice(policy.where)
            rows += [(measure, where, getattr(policy, measure)) for measure in ("error_rate", *ENFORCEMENT)]
        numbers = ("value", "low", "high", "errors", "items")
        table = [
            (measure, where, *(getattr(estimate, number, np.nan) for number in numbers))
            for measure, where, estimate in rows
            if estimate
        ]
        frame = pd.DataFrame(table, columns=["measure", "where", *numbers])
        return set_units(frame, value="%", low="%", high="%")


def measure_quality(audits: Any, targets: Any = None, *, benign: Sequence[str] = ("benign",)) -> Quality:
    """Measure error rates and compare them with the targets.

    Parameters
    ----------
    audits
        One row per audited decision (`schema.AUDIT_COLUMNS`) of one site and period, on any engine.
    targets
        One row per target (`schema.TARGETS`), each judged on the audits of its scope and of the days it was valid.
    benign
        The labels that mean "no violation"; over- and under-enforcement need them.

    Returns
    -------
    Quality
        The rates with 95 % intervals, the policies with most errors, and a verdict per target.

    Raises
    ------
    DataError
        If there are no audits, a label or truth is missing, a weight is not positive, or a target cannot be read.

    Notes
    -----
    The rates include errors of the audit itself (4 % real errors with 2 % wrong truths show as 5.8 %). They cannot
    include decisions that had no chance of being sampled. Intervals allow for dependence between the audits of one
    rater only.

    Examples
    --------
    >>> raters, truths = [f"r{n % 20}" for n in range(200)], ["benign"] * 190 + ["hate"] * 10
    >>> measure_quality(pd.DataFrame({"rater": raters, "label": "benign", "truth": truths})).summary()
    'Accuracy 95.0 % (91.0 to 97.3): 10 errors in 200 audits of 20 raters, unweighted.'
    """
    validate_audits(audits)
    proportional = keep_proportional(audits)
    cells = count_outcomes(proportional, benign)
    estimates = {metric: estimate_metric(cells, metric) for metric in TARGET_METRICS}
    overall = estimates["accuracy"]
    if overall is None:
        raise DataError("no audits", rows=0, hint="choose a site and period that have some")
    over, under, severity = (_get_rate(estimates[metric]) for metric in TARGET_METRICS if metric != "accuracy")
    rate = overall.rate
    minimum_rise = minimum_detectable_change(rate.value, rate.items / overall.design_effect, degrees=overall.degrees)
    policies, unlisted = _estimate_policies(cells)
    verdicts, not_judged = judge_targets(proportional, targets, cells, benign)
    return Quality(
        error_rate=rate,
        accuracy=complement(rate),
        unweighted_rate=wilson_rate(rate.errors, rate.items),
        weighted="weight" in column_names(audits),
        raters=overall.clusters,
        design_effect=overall.design_effect,
        minimum_detectable_change=None if np.isnan(minimum_rise) else Quantity(minimum_rise, unit="pp"),
        max_weight_share=Quantity(compute_max_weight_share(proportional, cells), unit="%"),
        over_enforcement=over,
        under_enforcement=under,
        severity_weighted_accuracy=complement(severity) if severity is not None else None,
        by_policy=policies,
        verdicts=verdicts,
        not_available=(*_list_limitations(cells, benign), *unlisted, *not_judged),
    )


def _estimate_policies(cells: pd.DataFrame) -> tuple[tuple[SliceQuality, ...], list[str]]:
    """Return the policies with most weighted errors, then most audits, and a sentence on those that are left out."""
    if "policy" not in cells:
        return (), []
    weighted_errors = cells["weight"] * cells["wrong"]
    sums = cells.assign(wrong=weighted_errors).groupby("policy", dropna=False)[["wrong", "items"]].sum()
    listed = sums.sort_values(["wrong", "items"], ascending=False, kind="stable").index[:MAX_POLICIES]
    total = sums["wrong"].sum()
    listed_share = float(sums.loc[listed, "wrong"].sum() / total) if total else 1.0
    policies = [
        replace(policy, share=policy.share * listed_share)
        for policy in _estimate_each_policy(cells[cells["policy"].isin(listed)])
    ]
    policies.sort(key=lambda policy: -policy.share)
    n_unlisted = len(sums) - len(listed)
    unlisted_share = format_value(max(1 - listed_share, 0.0), "%")
    sentence = f"{n_unlisted:,} more policies are not listed; they hold {unlisted_share} of the errors"
    return tuple(policies), [sentence] if n_unlisted else []


def _estimate_each_policy(cells: pd.DataFrame) -> list[SliceQuality]:
    """Return the rates of each policy, with its share of the weighted errors of these cells."""
    policies, total = [], (cells["weight"] * cells["wrong"]).sum()
    for name, counts in cells.groupby("policy", dropna=False):
        where = {"policy": MISSING_VALUE if pd.isna(name) else str(name)}
        share = float((counts["weight"] * counts["wrong"]).sum() / total) if total else 0.0
        overall = estimate_metric(counts, "accuracy")
        over, under = (_get_rate(estimate_metric(counts, metric)) for metric in ENFORCEMENT)
        if overall is not None:
            policies.append(SliceQuality(where, overall.rate, over, under, share))
    return policies


def _get_rate(estimate: ClusteredRate | None) -> Rate | None:
    return estimate.rate if estimate is not None else None


def _list_limitations(cells: pd.DataFrame, benign: Sequence[str]) -> list[str]:
    """Return in sentences what the data did not allow."""
    limitations = []
    if "rater" not in cells or cells["rater"].nunique(dropna=False) == 1:
        limitations.append("fewer than two raters are known: the intervals cannot allow for rater clusters")
    if "harmless" not in cells or not cells["harmless"].any():
        labels = " or ".join(benign)
        limitations.append(f"over- and under-enforcement: no truth is {labels}; name such labels with `benign`")
    if "severity" in cells and (unknown := cells.loc[~cells["severity"].isin(SEVERITY_WEIGHTS), "items"].sum()):
        count = format_count(unknown, "audit")
        limitations.append(f"severity-weighted accuracy excludes {count} without a known severity")
    return limitations
