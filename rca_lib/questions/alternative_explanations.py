"""What else could explain the change? A changed truth, a changed auditor or a changed sample instead of worse work.

The change of the measured error rate is split into contributions that do not come from the work.

Outdated truth: with f the error rate of audits under the policy version of the decision (fresh), and w, e the weight
and weighted errors of the other (outdated) audits, the rate that outdated truths add in one period is

    a = sum_outdated (e - f w) / sum_all w.

The contribution is a in the current period minus a in the baseline. Auditors: with d_j the change of the error rate
that auditor j finds, and d the pooled change of the other auditors (random effects, inverse variance), the
contribution is s_j (d_j - d), where s_j is the auditor's share of the current weight. The auditor with the largest
standardised difference is assessed, at a level divided by the number of auditors. Sampling: the raw rate of all rows
minus the weighted rate of the proportional rows, current minus baseline.

The three intervals hold together at 95 % (Bonferroni). Variances treat raters as clusters
(`models.rate_influence`). Each contribution is compared with the change, or with half of its interval if that is
larger (`models.materiality`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.contingency_tables import VERSION_COLUMNS, is_outdated_truth
from rca_lib.audits.counting import (
    RARE_VALUES,
    column_names,
    count_errors,
    keep_proportional,
    keep_slice,
    prepare_audits,
)
from rca_lib.audits.sampling import Sampling, describe_sampling
from rca_lib.findings import EMPTY_SLICE, Estimate, Finding, Grade, format_count, format_value, set_units
from rca_lib.models.auditor_shifts import find_extreme_shift
from rca_lib.models.cause_context import TRUTH_ALTERNATIVES, AlternativeKind
from rca_lib.models.materiality import EXPLAINS_SHARE, NOTABLE_SHARE, get_reference_size
from rca_lib.models.rate_influence import (
    RAW,
    WEIGHTED,
    InfluencedRate,
    choose_cluster_column,
    compute_crude_gap,
    compute_influence,
    estimate_difference,
    sum_by_cluster,
)
from rca_lib.result import Result

JOINT_LEVEL = 0.95  # probability that the intervals of all alternatives hold together
N_ALTERNATIVES = 3
MAIN_POLICY_SHARE = 0.8  # share of the outdated audits from which one policy is named for them
MIN_AUDITORS = 3  # auditors of both periods, to compare one with the others
NAMES: Mapping[AlternativeKind, str] = {
    "stale truth": "Outdated truth",
    "auditors": "Auditor effect",
    "sampling": "Sampling",
}
VERDICTS: Mapping[str, str] = {"shown": "confirmed", "possible": "not ruled out", "ruled out": "ruled out"}


@dataclass(frozen=True, slots=True)
class AlternativeExplanation:
    """One alternative explanation of a change.

    Attributes
    ----------
    name
        "stale truth", "auditors" or "sampling".
    contribution
        The part of the change of the measured error rate that it makes, in pp; None if it could not be measured.
    grade
        "shown" if the interval of `contribution` excludes zero, it has the direction of the change, and it is at least
        a quarter of a proven change (half of what noise can produce, if the change is not proven). "possible" if its
        interval reaches half of the change in the direction of the change, or if it could not be measured.
        "ruled out" otherwise. "not proven" if a column is missing.
    sentence
        The assessment in words.
    where
        The auditor or the policy that it concerns.
    explained_slices
        The slices of which it makes at least half of the excess.
    """

    name: AlternativeKind
    contribution: Estimate | None
    grade: Grade
    sentence: str
    where: Mapping[str, str] = field(default_factory=lambda: EMPTY_SLICE)
    explained_slices: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AlternativeExplanations(Result):
    """The assessed alternatives, with the `change` of the weighted error rate and the `crude_change` of the raw rate.

    Sampling comes first if the periods are not `comparable`.
    """

    change: Estimate
    crude_change: Estimate
    alternatives: tuple[AlternativeExplanation, ...]
    comparable: bool = True

    @property
    def explained_slices(self) -> tuple[Mapping[str, str], ...]:
        """The slices that a confirmed change of the truth or of an auditor explains."""
        confirmed = [alternative for alternative in self.alternatives if alternative.grade == "shown"]
        return tuple(where for alternative in confirmed for where in alternative.explained_slices)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per alternative: `name`, `contribution`, `low`, `high` (pp as shares), `grade`."""
        rows = []
        for alternative in self.alternatives:
            estimate = alternative.contribution
            numbers = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
            rows.append((alternative.name, *numbers, alternative.grade))
        frame = pd.DataFrame(rows, columns=["name", "contribution", "low", "high", "grade"])
        return set_units(frame, contribution="pp", low="pp", high="pp")

    def summary(self) -> str:
        """Return the sentences of all alternatives."""
        return " ".join(alternative.sentence for alternative in self.alternatives)

    def findings(self) -> tuple[Finding[AlternativeKind], ...]:
        """Return one finding per alternative."""
        return tuple(
            Finding("alternative_explanations", alternative.name, alternative.sentence, alternative.grade,
                    alternative.contribution, f"alternatives[{index}].contribution", alternative.where)
            for index, alternative in enumerate(self.alternatives)
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Assessment:
    """A measured contribution, the sentence about it, its auditor or policy, and the slices that it explains."""

    contribution: Estimate | None
    sentence: str
    where: Mapping[str, str] = field(default_factory=lambda: EMPTY_SLICE)
    explained_slices: tuple[Mapping[str, str], ...] = ()


def assess_alternatives(baseline: Any, current: Any, *, slices: Iterable[Any] = ()) -> AlternativeExplanations:
    """Assess whether the truth, an auditor or the sample changed rather than the work.

    Parameters
    ----------
    baseline, current
        One row per audit, all streams and rounds: `error` (or `label` and `truth`), `rater`, and if they exist
        `weight`, `stream`, `auditor`, `policy_version_decided` and `policy_version_audited`.
    slices
        Slices that were named as changed, with `where` and `expected_rate` (`rank_drivers`). For each slice the
        function checks whether the truth or an auditor makes its excess.

    Returns
    -------
    AlternativeExplanations
        "stale truth": errors because the audit used another policy version than was in force at the decision.
        "auditors": the change that the shift of one auditor makes. "sampling": what a raw count over all streams would
        add to the change; the weighted rates exclude it.

    Raises
    ------
    DataError
        If `error`, or `label` and `truth`, are missing.

    Notes
    -----
    Auditors are compared with each other within the site. The function cannot detect a truth that all auditors get
    wrong alike under an unchanged version (only blind second audits can), nor a changed auditor who worked in one of
    the periods only. If the periods are not comparable, it assesses sampling only.

    References
    ----------
    Woodruff, R. S. (1971). A simple method for approximating the variance of a complicated estimate. JASA 66: 411-414.

    Examples
    --------
    >>> raters = [f"r{number % 9}" for number in range(90)]
    >>> audits = pd.DataFrame({"rater": raters, "error": [int(number % 10 == 0) for number in range(90)]})
    >>> assess_alternatives(audits, audits).alternatives[0].sentence
    'Outdated truth not assessed: no column policy_version_decided.'
    """
    level = 1 - (1 - JOINT_LEVEL) / N_ALTERNATIVES
    z = stats.norm.ppf((1 + level) / 2)
    tables = keep_proportional(baseline), keep_proportional(current)
    before, after = (compute_influence(sum_by_cluster(table, WEIGHTED)) for table in tables)
    change = estimate_difference(before, after, z)
    crude_before, crude_after = (compute_influence(sum_by_cluster(table, RAW)) for table in (baseline, current))
    crude_change = estimate_difference(crude_before, crude_after, z)
    plan = describe_sampling(current, baseline)
    sampling = _assess_sampling(
        plan, change, lambda: estimate_difference(compute_crude_gap(baseline), compute_crude_gap(current), z)
    )
    if not plan.same_streams:
        not_assessed = [_not_assessed(name, "the periods are not comparable") for name in TRUTH_ALTERNATIVES]
        return AlternativeExplanations(change, crude_change, (sampling, *not_assessed), comparable=False)
    slices = tuple(slices)
    others = (
        _assess("stale truth", VERSION_COLUMNS, tables, change, lambda: _compare_outdated_truth(tables, slices, z)),
        _assess("auditors", ("auditor",), tables, change, lambda: _find_extreme_auditor(tables, slices, level)),
    )
    ordered = (*others, sampling) if plan.comparable else (sampling, *others)
    return AlternativeExplanations(change, crude_change, ordered, plan.comparable)


def _not_assessed(name: AlternativeKind, reason: str) -> AlternativeExplanation:
    return AlternativeExplanation(name, None, "not proven", f"{NAMES[name]} not assessed: {reason}.")


def _assess(
    name: AlternativeKind,
    columns: Sequence[str],
    tables: Sequence[Any],
    change: Estimate,
    measure: Callable[[], _Assessment],
) -> AlternativeExplanation:
    """Measure one alternative if its columns exist, and grade its contribution."""
    missing = [column for column in columns for table in tables if column not in column_names(table)]
    if missing:
        return _not_assessed(name, f"no column {missing[0]}")
    result = measure()
    estimate, sentence = result.contribution, result.sentence
    grade: Grade = "possible" if estimate is None else _grade(estimate, change)
    verdict = VERDICTS[grade]
    if grade == "ruled out" and estimate is not None and estimate.excludes_zero:
        if estimate.value * change.value < 0:
            sentence = f"{sentence}, against the change"
        else:
            verdict = "is only a small part"
    return AlternativeExplanation(
        name, estimate, grade, f"{NAMES[name]} {verdict}: {sentence}.", result.where, result.explained_slices
    )


def _grade(contribution: Estimate, change: Estimate) -> Grade:
    """Grade a contribution: is it notable, or can it be half of the change (or of what noise can produce)?"""
    direction = np.sign(change.value) or 1.0
    if _is_notable(contribution, change) and (contribution.value * direction > 0 or not change.excludes_zero):
        return "shown"
    largest = contribution.high if direction > 0 else -contribution.low
    return "possible" if largest >= EXPLAINS_SHARE * get_reference_size(change) else "ruled out"


def _is_notable(contribution: Estimate, change: Estimate) -> bool:
    required_share = NOTABLE_SHARE if change.excludes_zero else EXPLAINS_SHARE
    return contribution.excludes_zero and abs(contribution.value) >= required_share * get_reference_size(change)


def _assess_sampling(plan: Sampling, change: Estimate, measure: Callable[[], Estimate]) -> AlternativeExplanation:
    """Assess sampling; weights and the exclusion of other streams remove its effect on comparable rates."""
    if not plan.comparable and plan.same_streams:
        return AlternativeExplanation("sampling", None, "possible", f"Sampling not ruled out: {plan.difference}.")
    if not plan.comparable:
        sentence = f"Sampling changed: {plan.difference}. The rates cannot be compared."
        return AlternativeExplanation("sampling", None, "shown", sentence)
    if plan.basis == "unknown":
        return _not_assessed("sampling", "no audit names its stream" if plan.has_stream_column else "no column stream")
    estimate = measure()
    if plan.unweighted:
        reason = "stratified audits carry no weights, so changed shares of the strata look like changed work"
        return AlternativeExplanation("sampling", estimate, "possible", f"Sampling not ruled out: {reason}.")
    if _is_notable(estimate, change):
        sentence = f"Sampling changed: counting all audits without weights would shift the change by {estimate}."
        return AlternativeExplanation("sampling", estimate, "shown", f"{sentence} The reported rates are not affected.")
    sentence = f"Sampling ruled out: counting all audits without weights would shift the change by {estimate}."
    return AlternativeExplanation("sampling", estimate, "ruled out", f"{sentence} The reported rates are not affected.")


def _compare_outdated_truth(tables: Sequence[Any], slices: Sequence[Any], z: float) -> _Assessment:
    """Measure the change of the error rate that outdated truths add."""
    before, share_before, _ = _compute_outdated_effect(tables[0])
    after, share_after, counts = _compute_outdated_effect(tables[1])
    contribution = estimate_difference(before, after, z)
    if not share_before and not share_after:
        return _Assessment(contribution, "no audit used another policy version than the decision")
    shares = f"{format_value(share_before, '%')} of the audits before, {format_value(share_after, '%')} now"
    sentence = f"audits under another policy version than the decision ({shares}) account for {contribution}"
    explained = _find_explained_slices(tables[1], slices, is_outdated_truth())
    return _Assessment(contribution, sentence, _find_main_policy(counts), explained)


def _compute_outdated_effect(table: Any) -> tuple[InfluencedRate, float, pd.DataFrame]:
    """Return the error rate that outdated truths add to fresh ones, their share of the weight, and the counts."""
    cluster = choose_cluster_column(table)
    policy = ["policy"] if "policy" in column_names(table) else []
    keys = list(dict.fromkeys(["stale", cluster, *policy]))
    counts = count_errors(prepare_audits(table).with_columns(is_outdated_truth().alias("stale")).to_native(), keys)
    is_outdated, weight, errors = counts["stale"].to_numpy(bool), counts["weight"], counts["weighted_errors"]
    fresh_weight = weight[~is_outdated].sum()
    fresh_rate = errors[~is_outdated].sum() / fresh_weight if fresh_weight else 0.0
    added_errors = np.where(is_outdated, errors - fresh_rate * weight, 0.0)
    sums = pd.DataFrame({"errors": added_errors, "items": weight}).groupby(counts[cluster], dropna=False).sum()
    return compute_influence(sums), float(weight[is_outdated].sum() / weight.sum()), counts


def _find_main_policy(counts: pd.DataFrame) -> Mapping[str, str]:
    """Return the policy of most outdated audits as a slice; empty if no policy dominates."""
    if "policy" not in counts:
        return EMPTY_SLICE
    weights = counts[counts["stale"].astype(bool)].groupby("policy")["weight"].sum()
    if not len(weights) or weights.max() < MAIN_POLICY_SHARE * weights.sum():
        return EMPTY_SLICE
    return {"policy": str(weights.idxmax())}


def _find_explained_slices(table: Any, slices: Sequence[Any], suspect: nw.Expr) -> tuple[Mapping[str, str], ...]:
    """Return the slices of which at least half of the excess lies in suspect audits."""
    marked = prepare_audits(table).with_columns(suspect.alias("suspect")).to_native()
    explained = []
    for slice_ in slices:
        if RARE_VALUES in slice_.where.values() or not set(slice_.where) <= set(column_names(table)):
            continue
        counts = count_errors(keep_slice(marked, slice_.where), ["suspect"])
        excess = counts["weighted_errors"] - slice_.expected_rate * counts["weight"]
        suspect_excess = float(excess[counts["suspect"].astype(bool)].sum())
        if excess.sum() and suspect_excess / float(excess.sum()) >= EXPLAINS_SHARE:
            explained.append(slice_.where)
    return tuple(explained)


def _find_extreme_auditor(tables: Sequence[Any], slices: Sequence[Any], level: float) -> _Assessment:
    """Compare the shift of each auditor with the others and measure the most extreme one."""
    before, after = (count_errors(table, ["auditor"]).dropna().set_index("auditor") for table in tables)
    both = before.index.intersection(after.index)
    if len(both) < MIN_AUDITORS:
        return _Assessment(None, f"fewer than {MIN_AUDITORS} auditors worked in both periods, too few to compare")
    shift = find_extreme_shift(before.loc[both], after.loc[both])
    weights = after["weight"].to_numpy(float)
    weight_share = float(weights[after.index.get_loc(shift.auditor)] / weights.sum())
    z = stats.norm.ppf(1 - (1 - level) / 2 / len(both))
    value = float(weight_share * shift.difference)
    half_width = float(z * weight_share * shift.standard_error)
    contribution = Estimate(value, value - half_width, value + half_width, "pp")
    name = str(shift.auditor)
    sentence = f"auditor {name}, whose error rate shifted most against the others, accounts for {contribution}"
    n_new = sum(1 for auditor in after.index if auditor not in both)
    if n_new:
        sentence += f" ({format_count(n_new, 'auditor')} of this period only cannot be compared)"
    suspect = nw.col("auditor").cast(nw.String) == name
    return _Assessment(contribution, sentence, {"auditor": name}, _find_explained_slices(tables[1], slices, suspect))
