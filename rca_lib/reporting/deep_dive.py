# Tested in tests/reporting/test_page_one.py.
"""The deep dive: all questions about one site and period, answered in order.

The notebook `10_deep_dive` asks the questions one by one, so that an analyst can change any call, and collects the
results with `collect_results`. `run_deep_dive` makes the same calls at once, for programs. A test checks that both give
the same page one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rca_lib.audits.counting import has_values
from rca_lib.audits.error_types import get_label_order
from rca_lib.audits.events import drop_constant_scopes, select_recent_events
from rca_lib.audits.label_counts import Scale
from rca_lib.audits.ratings import convert_to_ratings
from rca_lib.audits.sampling import Sampling, describe_sampling
from rca_lib.audits.time_series import count_over_time
from rca_lib.findings import Estimate, Finding
from rca_lib.questions.agreement import Agreement, measure_agreement
from rca_lib.questions.alternative_explanations import AlternativeExplanations, assess_alternatives
from rca_lib.questions.audit_error import AuditErrorEstimate, estimate_audit_error
from rca_lib.questions.auditor_calibration import AuditorCalibration, compare_auditors
from rca_lib.questions.causes import Causes, rank_causes
from rca_lib.questions.corrective_actions import CorrectiveActions, propose_actions
from rca_lib.questions.disagreements import Disagreements, cluster_disagreements
from rca_lib.questions.drivers import Drivers, rank_drivers
from rca_lib.questions.error_attribution import ErrorAttribution, attribute_errors
from rca_lib.questions.error_tagging import ErrorTagging, tag_errors
from rca_lib.questions.event_scopes import compare_event_scopes
from rca_lib.questions.quality import Quality, measure_quality
from rca_lib.questions.raters import Raters, rank_raters
from rca_lib.questions.trend import compute_control_chart, date_slices, find_changes
from rca_lib.reporting.verdict_inputs import VerdictInputs, compute_verdict_inputs
from rca_lib.stats.changepoints.records import Trend
from rca_lib.stats.control_charts import ControlChart
from rca_lib.store.cases import Case


@dataclass(frozen=True, slots=True)
class DeepDive:
    """The results of a deep dive, one per question.

    Attributes
    ----------
    case
        The audits of the site and period, with their baseline.
    sampling
        What the audits represent, and whether the periods are comparable.
    quality
        Accuracy and error rates of the period, with targets.
    trend
        Dated changes of the daily error rate.
    control_chart
        Weekly control chart; None with fewer than two weeks.
    drivers
        Slices and mix behind the change; None without a comparable baseline.
    slice_trends
        Dated changes of each slice that the drivers name, in their order.
    alternatives
        Explanations other than the work; None without a baseline.
    verdict_inputs
        Sample sizes and slice tests for the verdict.
    error_tagging
        Type and cause of each error.
    disagreements
        Which labels are confused with which.
    agreement
        Agreement between raters and auditors.
    error_attribution
        Errors of raters, of the policy and of the truth told apart.
    raters
        Errors of each rater, compared with the same work.
    auditors
        Comparison of auditors; None without a column `auditor`.
    audit_error
        Error rate corrected for audit error; None without second audits.
    causes
        Ranked causes of the change.
    corrective_actions
        Proposed actions.
    """

    case: Case
    sampling: Sampling
    quality: Quality
    trend: Trend
    control_chart: ControlChart | None
    drivers: Drivers | None
    slice_trends: tuple[Trend | None, ...]
    alternatives: AlternativeExplanations | None
    verdict_inputs: VerdictInputs
    error_tagging: ErrorTagging
    disagreements: Disagreements
    agreement: Agreement
    error_attribution: ErrorAttribution
    raters: Raters
    auditors: AuditorCalibration | None
    audit_error: AuditErrorEstimate | None
    causes: Causes
    corrective_actions: CorrectiveActions

    @property
    def change(self) -> Estimate:
        """The change of the error rate since the baseline.

        Raises
        ------
        ValueError
            If there is no comparable baseline.
        """
        if self.drivers is None:
            raise ValueError("there is no comparable baseline")
        return self.drivers.change

    def findings(self) -> tuple[Finding[str], ...]:
        """Return the findings of all questions, in order."""
        results = (
            self.sampling, self.quality, self.trend, self.drivers, self.alternatives, self.error_tagging,
            self.disagreements, self.agreement, self.error_attribution, self.raters, self.auditors, self.audit_error,
            self.causes, self.corrective_actions,
        )  # fmt: skip
        return tuple(finding for result in results if result is not None for finding in result.findings())


def run_deep_dive(case: Case, *, alpha: float = 0.05, seed: int = 0) -> DeepDive:
    """Answer all questions about a case.

    Parameters
    ----------
    case
        The audits of a site and period, from `open_case`.
    alpha
        Probability of naming anything where nothing changed, for each of the two searches (in time, over slices).
        Default 0.05.
    seed
        Seed of everything random (default 0).

    Returns
    -------
    DeepDive
        One result per question.
    """
    sampling = describe_sampling(case.all_audits, case.baseline_all_audits)
    quality = measure_quality(case.current, case.targets, benign=case.benign)
    daily_counts = count_over_time(case.history)
    trend = find_changes(daily_counts, alpha=alpha, events=case.events, target=quality.max_error_rate)
    weeks = count_over_time(case.history, step="week")
    control_chart = compute_control_chart(weeks, target=quality.max_error_rate) if len(weeks) > 1 else None
    baseline = case.baseline if sampling.same_streams else None
    drivers = rank_drivers(baseline, case.current, case.dimensions, alpha=alpha) if baseline is not None else None
    slices = drivers.slices if drivers else ()
    slice_trends = date_slices(case.history, slices, alpha=alpha)
    alternatives = None
    if case.baseline is not None:
        alternatives = assess_alternatives(case.baseline_all_audits, case.all_audits, slices=slices)
    ratings = convert_to_ratings(case.all_audits, case.ratings)
    label_order = get_label_order(case.ledger, ratings)
    error_tagging = tag_errors(
        case.current, case.taxonomy, events=case.events, benign=case.benign, label_order=label_order,
        training_audits=case.history, seed=seed,
    )  # fmt: skip
    disagreements = cluster_disagreements(case.current, baseline=case.baseline, seed=seed)
    scale: Scale = "ordinal" if label_order else "nominal"
    agreement = measure_agreement(ratings, scale=scale, categories=label_order or None)
    error_attribution = attribute_errors(ratings, case.current)
    excluded = {"audit_id": error_tagging.excluded, "item_id": error_attribution.excluded}
    raters = rank_raters(case.current, excluded=excluded)
    auditors, audit_error = None, None
    if has_values(case.current, "auditor"):
        auditors = compare_auditors(case.current)
    if has_values(case.all_audits, "audit_round") and not sampling.only_second_rounds:
        audit_error = estimate_audit_error(case.all_audits)
    causes = rank_deep_dive_causes(case, sampling, quality, trend, drivers, slice_trends, alternatives)
    corrective_actions = propose_actions(causes.causes, period=case.period, taxonomy=case.taxonomy)
    return collect_results(
        case, sampling=sampling, quality=quality, trend=trend, control_chart=control_chart, drivers=drivers,
        slice_trends=slice_trends, alternatives=alternatives, error_tagging=error_tagging, disagreements=disagreements,
        agreement=agreement, error_attribution=error_attribution, raters=raters, auditors=auditors,
        audit_error=audit_error, causes=causes, corrective_actions=corrective_actions,
    )  # fmt: skip


def collect_results(
    case: Case,
    *,
    sampling: Sampling,
    quality: Quality,
    trend: Trend,
    control_chart: ControlChart | None,
    drivers: Drivers | None,
    slice_trends: tuple[Trend | None, ...],
    alternatives: AlternativeExplanations | None,
    error_tagging: ErrorTagging,
    disagreements: Disagreements,
    agreement: Agreement,
    error_attribution: ErrorAttribution,
    raters: Raters,
    auditors: AuditorCalibration | None,
    audit_error: AuditErrorEstimate | None,
    causes: Causes,
    corrective_actions: CorrectiveActions,
) -> DeepDive:
    """Collect the results of all questions, from which page one is built.

    Parameters
    ----------
    case
        The audits of the site and period.
    sampling, quality, trend, control_chart, drivers, slice_trends, alternatives, error_tagging, disagreements, \
    agreement, error_attribution, raters, auditors, audit_error, causes, corrective_actions
        The results, as in `DeepDive`.

    Returns
    -------
    DeepDive
        The results with the sample sizes and tests that the verdict needs.
    """
    return DeepDive(
        case, sampling, quality, trend, control_chart, drivers, slice_trends, alternatives,
        compute_verdict_inputs(case, drivers), error_tagging, disagreements, agreement, error_attribution, raters,
        auditors, audit_error, causes, corrective_actions,
    )  # fmt: skip


def rank_deep_dive_causes(
    case: Case,
    sampling: Sampling,
    quality: Quality,
    trend: Trend,
    drivers: Drivers | None,
    slice_trends: Sequence[Trend | None],
    alternatives: AlternativeExplanations | None,
) -> Causes:
    """Rank the causes of what the other results of a case show.

    Parameters
    ----------
    case
        The audits of a site and period.
    sampling, quality, trend, drivers, slice_trends, alternatives
        The results of the questions asked before, as in `DeepDive`.

    Returns
    -------
    Causes
        The causes, most important first.

    Notes
    -----
    Scopes of events are widened to what is constant at this site (`drop_constant_scopes`). A trend counts only where
    the periods are comparable, because its series holds audits of one kind.
    """
    events = drop_constant_scopes(case.events, case.current)
    exposure = None
    if drivers is not None and drivers.change.low > 0:
        recent_events = pd.DataFrame(select_recent_events(events, case.period), columns=events.columns)
        exposure = compare_event_scopes(case.baseline, case.current, case.dimensions, recent_events)
    slices = drivers.slices if drivers else ()
    return rank_causes(
        (sampling, trend if sampling.comparable else None, drivers, alternatives, exposure),
        events,
        period=case.period,
        taxonomy=case.taxonomy,
        n_audits=quality.error_rate.items,
        slice_trends=[(slice_.where, slice_trend) for slice_, slice_trend in zip(slices, slice_trends, strict=True)],
        explained_slices=alternatives.explained_slices if alternatives else (),
    )
