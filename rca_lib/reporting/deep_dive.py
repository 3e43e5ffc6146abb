"""The deep dive: every question asked of one site and period, in one place, in order."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rca_lib.audits.counting import count_steps, has_values
from rca_lib.audits.error_kinds import read_grades
from rca_lib.audits.ratings import ratings_from_audits
from rca_lib.audits.sampling import Sampling, describe_sampling
from rca_lib.audits.scopes import widen_scopes
from rca_lib.audits.store import Case
from rca_lib.findings import Finding
from rca_lib.questions.actions import Actions, propose_actions
from rca_lib.questions.auditors import Auditors, compare_auditors
from rca_lib.questions.causes import Causes, rank_causes
from rca_lib.questions.correction import Correction, correct_accuracy
from rca_lib.questions.disagreement import Disagreements, cluster_disagreements
from rca_lib.questions.drivers import Drivers, rank_drivers
from rca_lib.questions.explanations import Explanations, explain_disagreements
from rca_lib.questions.quality import Quality, measure_quality
from rca_lib.questions.raters import Raters, rank_raters
from rca_lib.questions.reliability import Agreement, measure_agreement
from rca_lib.questions.rivals import Rivals, weigh_rivals
from rca_lib.questions.taxonomy import Tagging, tag_errors
from rca_lib.questions.trend import date_slices, find_changes, make_control_chart
from rca_lib.reporting.evidence import Evidence, gather_evidence
from rca_lib.stats.charts import ControlChart
from rca_lib.stats.trends import Trend


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a deep dive; `chart` is of weeks.

    What compares is None where nothing came before; `drivers` also where the audits before were of other streams.
    """

    case: Case
    sampling: Sampling
    quality: Quality
    trend: Trend
    chart: ControlChart | None
    drivers: Drivers | None
    dates: tuple[Trend | None, ...]
    rivals: Rivals | None
    evidence: Evidence
    tagging: Tagging
    disagreements: Disagreements
    agreement: Agreement
    explanations: Explanations
    raters: Raters
    auditors: Auditors | None
    correction: Correction | None
    causes: Causes
    actions: Actions

    def findings(self) -> tuple[Finding, ...]:
        """Return what all questions hand on."""
        answers = (
            self.sampling, self.quality, self.trend, self.drivers, self.rivals, self.tagging, self.disagreements,
            self.agreement, self.explanations, self.raters, self.auditors, self.correction, self.causes, self.actions,
        )  # fmt: skip
        return tuple(finding for answer in answers if answer is not None for finding in answer.findings())


def answer_questions(case: Case, *, alpha: float = 0.05, seed: int = 0) -> Answers:
    """Ask every question of a case.

    Parameters
    ----------
    case
        The audits of a site and period, from `open_case`.
    alpha
        For each of the two searches (in time, over slices): the probability of naming anything where nothing changed.
    seed
        Of all that draws.
    """
    sampling = describe_sampling(case.sample, case.sample_before)
    quality = measure_quality(case.current, case.targets, benign=case.benign)
    trend = find_changes(count_steps(case.history), alpha=alpha, events=case.events, seed=seed)
    weeks = count_steps(case.history, step="week")
    chart = make_control_chart(weeks, target=quality.error_target) if len(weeks) > 1 else None
    drivers, dates, rivals = None, (), None
    if case.baseline is not None and sampling.alike:
        drivers = rank_drivers(case.baseline, case.current, case.dimensions, alpha=alpha, seed=seed)
        dates = date_slices(case.history, drivers.slices, alpha=alpha, seed=seed)
    if case.baseline is not None:
        rivals = weigh_rivals(case.sample_before, case.sample, slices=drivers.slices if drivers else ())
    ratings = ratings_from_audits(case.sample, case.ratings)
    grades = read_grades(case.ledger, ratings)
    evidence = gather_evidence(case, drivers)
    tagging = tag_errors(
        case.current, case.taxonomy, events=case.events, benign=case.benign, scale=grades, coded=case.history, seed=seed
    )
    disagreements = cluster_disagreements(case.current, baseline=case.baseline, seed=seed)
    agreement = measure_agreement(ratings, scale="ordinal" if grades else "nominal", categories=grades or None)
    explanations = explain_disagreements(ratings, case.current)
    excused = {"audit_id": tagging.excused, "item_id": explanations.excused}
    raters = rank_raters(case.current, excused=excused)
    auditors, correction = None, None
    if has_values(case.current, "auditor"):
        auditors = compare_auditors(case.current)
    if has_values(case.sample, "audit_round") and not sampling.second_rounds:
        correction = correct_accuracy(case.sample)
    causes = rank_causes_of(case, sampling, quality, trend, drivers, dates, rivals)
    actions = propose_actions(causes.findings(), period=case.period, taxonomy=case.taxonomy)
    return Answers(
        case, sampling, quality, trend, chart, drivers, dates, rivals, evidence, tagging, disagreements, agreement,
        explanations, raters, auditors, correction, causes, actions,
    )  # fmt: skip


def rank_causes_of(
    case: Case,
    sampling: Sampling,
    quality: Quality,
    trend: Trend,
    drivers: Drivers | None,
    dates: Sequence[Trend | None],
    rivals: Rivals | None,
) -> Causes:
    """Rank the causes of what the other answers of a case found.

    Scopes of events are widened to what they are at this site (`widen_scopes`); a trend counts only where the period is
    comparable with what came before, for its series holds audits of one kind.
    """
    return rank_causes(
        (sampling, trend if sampling.comparable else None, drivers, rivals),
        widen_scopes(case.events, case.current),
        period=case.period,
        taxonomy=case.taxonomy,
        audits=quality.error_rate.items,
        dates=[(one.where, date) for one, date in zip(drivers.slices if drivers else (), dates, strict=True)],
        explained=rivals.explained if rivals else (),
    )


@cache
def calls() -> Mapping[str, str]:
    """Return the call behind each answer, as `answer_questions` makes it.

    Examples
    --------
    >>> calls()["trend"]
    'find_changes(count_steps(case.history), alpha=alpha, events=case.events, seed=seed)'
    """
    tree = ast.parse(inspect.getsource(answer_questions))
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
    return {node.targets[0].id: ast.unparse(node.value) for node in assigned if isinstance(node.targets[0], ast.Name)}
