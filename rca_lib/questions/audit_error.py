"""What is the true error rate, once the errors of the audit itself are removed?

Decisions that were audited twice show how reliable one audit is. Let

- p be the observed error rate of the first audits,
- d the share of double-audited decisions whose two truths disagree,
- e the probability that one audit is wrong.

*Blind second audit* (`"same"`). Both audits err independently at the rate e, so that they disagree with probability

    d = 2 e (1 − e)    and therefore    e = (1 − √(1 − 2 d)) / 2.

An audit has sensitivity and specificity 1 − e. The corrected error rate is the Rogan–Gladen estimator,

    (p + specificity − 1) / (sensitivity + specificity − 1) = (p − e) / (1 − 2 e).

*Final second audit* (`"final"`). The second audit is taken as the truth, so that e = d. The findings of the first audit
are the strata of a two-phase sample, with shares w_h and second-phase means m_h. The corrected rate is Σ w_h m_h.

References
----------
Rogan, W. J. and Gladen, B. (1978). Estimating prevalence from the results of a screening test. American Journal of
Epidemiology 107, 71–76. The estimator of the blind case.
Cochran, W. G. (1977). Sampling Techniques, 3rd ed., section 12.2. Double sampling for stratification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from rca_lib.audits.column_checks import parse_booleans, parse_positive_integers, reject_rows, validate_names
from rca_lib.audits.counting import collect, column_names, prepare_audits
from rca_lib.audits.schema import PROPORTIONAL_STREAMS
from rca_lib.findings import DataError, Estimate, Finding, Rate, format_count, set_units
from rca_lib.result import Result
from rca_lib.stats.misclassification import correct_misclassification, estimate_two_phase_mean
from rca_lib.stats.proportions import estimate_clustered_rate, wilson_rate

AuditErrorKind = Literal["corrected", "audit error"]

MIN_DOUBLE_AUDITED = 30  # double-audited decisions below which the audit's own error is not estimated
Z_95 = 1.96  # standard normal quantile of a two-sided 95% interval
MEASURES = ("observed_error_rate", "truth_disagreement", "audit_error_rate", "corrected_error_rate")


@dataclass(frozen=True, slots=True)
class AuditErrorEstimate(Result):
    """The observed error rate, the error of one audit, and the error rate corrected for it.

    Attributes
    ----------
    second_audit
        How the second audit was read: "same" (as reliable as the first) or "final" (correct).
    double_audited
        Number of decisions with two audits.
    observed_error_rate
        Error rate of the first audits.
    truth_disagreement
        Share of the double-audited decisions whose two truths differ; None below 30 of them.
    audit_error_rate
        Probability that one audit is wrong; None below 30 double-audited decisions.
    corrected_error_rate
        Error rate without audit error; None below 30 double-audited decisions, or if a stratum is empty.
    """

    second_audit: str
    double_audited: int
    observed_error_rate: Rate
    truth_disagreement: Rate | None
    audit_error_rate: Estimate | None
    corrected_error_rate: Estimate | None

    @property
    def accuracy(self) -> Estimate | None:
        """Accuracy without audit error: 1 minus the corrected error rate."""
        rate = self.corrected_error_rate
        return rate and Estimate(1 - rate.value, 1 - rate.high, 1 - rate.low, "%", rate.level)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per number: `measure`, `value`, `low`, `high`."""
        estimates = [(name, getattr(self, name)) for name in MEASURES]
        rows = [(name, rate.value, rate.low, rate.high) for name, rate in estimates if rate is not None]
        frame = pd.DataFrame(rows, columns=["measure", "value", "low", "high"])
        return set_units(frame, value="%", low="%", high="%")

    def summary(self) -> str:
        """Return the observed and the corrected error rate in words."""
        observed = f"Error rate {self.observed_error_rate}"
        audited_twice = f"{format_count(self.double_audited, 'decision was', 'decisions were')} audited twice"
        if self.double_audited < MIN_DOUBLE_AUDITED:
            return f"{observed}. Audit error not estimated: {audited_twice}, {MIN_DOUBLE_AUDITED} are needed."
        if self.corrected_error_rate is None:
            few = "fewer than two of them with, or without, an error at first"
            return f"{observed}. Corrected rate not estimated: {audited_twice}, {few}."
        return (
            f"{observed}; without audit error {self.corrected_error_rate}. {audited_twice}:"
            f" their truths differ in {self.truth_disagreement}, so a single audit is wrong in {self.audit_error_rate}."
        )

    def findings(self) -> tuple[Finding[AuditErrorKind], ...]:
        """Return the corrected error rate and the error rate of one audit; empty if they were not estimated."""
        if self.corrected_error_rate is None:
            return ()
        return (
            Finding(
                "correction", "corrected", self.summary(), "likely", self.corrected_error_rate, "corrected_error_rate"
            ),
            Finding("correction", "audit error", self.summary(), "likely", self.audit_error_rate, "audit_error_rate"),
        )


def estimate_audit_error(audits: Any, *, second_audit: str = "same") -> AuditErrorEstimate:
    """Estimate the error rate without audit error from decisions that were audited twice.

    Parameters
    ----------
    audits
        One row per audit, of all rounds. Columns: `item_id`, `rater`, `label`, `truth`, `audit_round` (1 or 2);
        optional `weight`, `stream`, `blind`. Audits of streams that are not proportional are left out.
    second_audit
        "same" (default): the second audit was blind and is as reliable as the first. A second audit with a false
        `blind` is left out; a missing value counts as blind.
        "final": an arbiter made the second audit, and it is taken as correct.

    Returns
    -------
    AuditErrorEstimate
        Without audit error and corrected rate below 30 double-audited decisions.

    Raises
    ------
    DataError
        If a column is missing, or there are no first audits.
        If `item_id`, `rater`, `label` or `truth` is missing or has white space at its ends.
        If an error is neither 0 nor 1, or a weight is not above 0.
        If `audit_round` is not a positive whole number, or `blind` is neither yes nor no.
    ValueError
        If `second_audit` is neither "same" nor "final".

    Notes
    -----
    "same" assumes that the error of an audit does not depend on the rater's error, and that two audits err
    independently. If two auditors share a mistake, the corrected rate is too high. "final" returns None if one stratum
    holds fewer than two double-audited decisions. Both assume that the double-audited decisions are a random part of
    all decisions with the same first finding. Intervals cover at their level in simulation.

    References
    ----------
    Rogan and Gladen (1978); Cochran (1977), section 12.2. The docstring of the module has both.

    Examples
    --------
    >>> rows = [(f"i{number}", "r", "ok", "bad" if number % 20 == 0 else "ok", 1) for number in range(400)]
    >>> rows += [(item, "r", "ok", "bad" if item == "i3" else truth, 2) for item, _, _, truth, _ in rows[:100]]
    >>> audits = pd.DataFrame(rows, columns=["item_id", "rater", "label", "truth", "audit_round"])
    >>> round(estimate_audit_error(audits).corrected_error_rate.value, 3)
    0.045
    """
    if second_audit not in ("same", "final"):
        raise ValueError(f"second_audit is 'same' or 'final', not {second_audit!r}")
    first_audits, pairs = _pair_audit_rounds(audits, second_audit)
    weight = first_audits["weight"].to_numpy(float)
    is_error = first_audits["error"].to_numpy(bool)
    raters = pd.factorize(first_audits["rater"])[0]
    observed = estimate_clustered_rate(is_error, np.ones(len(first_audits)), weight, weight**2, raters).rate
    if len(pairs) < MIN_DOUBLE_AUDITED:
        return AuditErrorEstimate(second_audit, len(pairs), observed, None, None, None)
    disagreement = wilson_rate(float(pairs["differs"].sum()), len(pairs))
    corrected: Estimate | None
    if second_audit == "same":
        corrected = correct_misclassification(observed, disagreement.value, len(pairs))
    else:
        corrected = _estimate_two_phase(observed, pairs)
    audit_error = _estimate_audit_error_rate(disagreement, second_audit)
    return AuditErrorEstimate(second_audit, len(pairs), observed, disagreement, audit_error, corrected)


def _estimate_audit_error_rate(disagreement: Rate, second_audit: str) -> Estimate:
    """Return the probability that one audit is wrong, from the share of pairs that disagree."""
    # Two audits that toss coins disagree in one half: no larger share tells a larger error.
    shares = [min(share, 0.5) for share in (disagreement.value, disagreement.low, disagreement.high)]
    rates = [(1 - np.sqrt(1 - 2 * share)) / 2 for share in shares] if second_audit == "same" else shares
    value, low, high = (round(float(rate), 12) for rate in rates)
    return Estimate(value, low, high, "%")


def _estimate_two_phase(observed: Rate, pairs: pd.DataFrame) -> Estimate | None:
    """Return the error rate by the second findings, stratified by the first; None if a stratum has fewer than two."""
    strata = [pairs.loc[pairs["error"] == finding, "error_second"].to_numpy(float) for finding in (1, 0)]
    if min(map(len, strata)) < 2:
        return None
    standard_error = (observed.high - observed.low) / (2 * Z_95)
    effective_size = observed.value * (1 - observed.value) / standard_error**2
    shares = (observed.value, 1 - observed.value)
    sizes = [max(len(stratum), share * effective_size) for stratum, share in zip(strata, shares, strict=True)]
    # A stratum without variation still has one: that of one further error among its decisions plus two.
    rare_rates = [1 / (len(stratum) + 2) for stratum in strata]
    least_variances = [rate * (1 - rate) for rate in rare_rates]
    mean, *variances = estimate_two_phase_mean(sizes, strata, min_variances=least_variances)
    margin = Z_95 * float(np.sqrt(sum(variances)))
    value, low, high = (round(min(max(float(limit), 0.0), 1.0), 12) for limit in (mean, mean - margin, mean + margin))
    return Estimate(value, low, high, "%")


def _pair_audit_rounds(audits: Any, second_audit: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the first audits, and the pairs of both rounds with `differs` (the truths) and `error_second`."""
    needed = ["item_id", "rater", "label", "truth", "audit_round"]
    optional = [name for name in ("stream", "blind") if name in column_names(audits)]
    frame = collect(prepare_audits(audits, required=needed).select(*needed, *optional, "weight", "error"))
    if "stream" in optional and frame["stream"].isin(PROPORTIONAL_STREAMS).any():
        frame = frame[frame["stream"].isin(PROPORTIONAL_STREAMS)]
    _validate_audits(frame)
    rounds = parse_positive_integers(frame, "audit_round")
    first, second = frame[rounds == 1], frame[rounds == 2]
    if first.empty:
        raise DataError("there are no first audits", column="audit_round", hint="number the first audits 1")
    if second_audit == "same" and "blind" in optional:
        is_blind = parse_booleans(second, "blind").fillna(True).astype(bool)
        second = second[is_blind]
    keys = ["item_id", "rater", "label"]
    pairs = first.drop_duplicates(keys).merge(second.drop_duplicates(keys), on=keys, suffixes=("", "_second"))
    return first, pairs.assign(differs=pairs["truth"] != pairs["truth_second"])


def _validate_audits(frame: pd.DataFrame) -> None:
    """Raise a DataError if an error, weight, name or label is missing or malformed."""
    reject_rows(frame[frame["error"].isna()], "label or truth is missing", "truth", "leave such rows out")
    reject_rows(frame[~frame["error"].isin([0, 1])], "error is neither 0 nor 1", "error", "code errors as 0 and 1")
    weight = frame["weight"].to_numpy(float, na_value=np.nan)
    invalid = frame[~((weight > 0) & np.isfinite(weight))]
    reject_rows(invalid, "weight is not a number above 0", "weight", "give every audit a weight above 0")
    validate_names(frame, "item_id", "rater", "label", "truth")
