"""The verdict on a site and period: all tests together, at a stated probability of a false alarm.

Five tests can lead to a headline. Each answers its own question:

=========== ================================================
level       Did the error rate change between the periods?
time        Did the daily series of the error rate change?
place       Did the error rate of a slice change?
mix         Did the work mix change the error rate?
measurement Did the truth or the sampling change?
=========== ================================================

Let :math:`p_1 \\le p_2 \\le p_3` be the p-values of the three tests of the work (level, time, place). They share
:math:`0.9\\,\\alpha` by Holm's step-down procedure: test :math:`k` is significant if all smaller p-values are and

.. math:: p_k \\le 0.9\\,\\alpha / (4 - k).

The mix and the measurement get :math:`0.05\\,\\alpha` each. By the Bonferroni inequality, a site where nothing changed
gets a headline marked *shown* with probability :math:`\\alpha` at most.

A test without a p-value of its own gets one from its confidence interval. An estimate :math:`d` whose interval reaches
:math:`h` towards zero, at :math:`z` standard errors, has :math:`p = 2\\,\\Phi(-z\\,|d|/h)`.

Two verdicts come before all tests. Too few audits prove nothing, and an incomplete period is compared provisionally.

References
----------
Holm, S. (1979). A simple sequentially rejective multiple test procedure. *Scandinavian Journal of Statistics* 6, 65–70.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

from rca_lib.findings import Estimate, Finding, Grade
from rca_lib.models.cause_context import ALTERNATIVE_KINDS, AlternativeKind
from rca_lib.questions.drivers import DriverKind
from rca_lib.reporting.deep_dive import DeepDive
from rca_lib.reporting.verdict_inputs import SampleSize
from rca_lib.stats.changepoints.records import TrendKind

Verdict = Literal[
    "worse", "better", "artefact", "mix", "steady", "not proven", "first period", "too few audits", "incomplete period",
    "not comparable",
]  # fmt: skip
LOOKBACK_DAYS = 14  # days before the period in which a dated change still concerns it
PERFORMANCE_TESTS = ("level", "time", "place")
TESTS = (*PERFORMANCE_TESTS, "mix", "measurement")
# Share of alpha. What mix or measurement explain is far from chance; a change of the work may be near.
PERFORMANCE_ALPHA_SHARE = 0.9
TestedKind = TrendKind | DriverKind | AlternativeKind  # the kinds of findings that a verdict may rest on
MIN_EXPLAINED_SHARE = 0.5  # of the change, which measurement or mix must explain to give the verdict
Z_95 = float(stats.norm.ppf(0.975))  # half a 95 % interval, in standard errors


class VerdictTest(NamedTuple):
    """One of the five tests: its name, its p-value, and the finding it is based on."""

    name: str
    p_value: float
    finding: Finding[TestedKind]


@dataclass(frozen=True, slots=True)
class VerdictAssessment:
    """The verdict and what it is based on.

    Attributes
    ----------
    verdict
        One word.
    grade
        How certain it is.
    significant
        The finding of each test that is significant after correction for multiple tests.
    current, baseline
        Sample sizes of the period and of its baseline (None: no earlier period).
    provisional
        The verdict on the audits so far where the period is incomplete, "" where it is complete.
    """

    verdict: Verdict
    grade: Grade
    significant: tuple[Finding[TestedKind], ...]
    current: SampleSize
    baseline: SampleSize | None
    provisional: Verdict | Literal[""] = ""


def determine_verdict(results: DeepDive, *, alpha: float = 0.05) -> VerdictAssessment:
    """Combine all tests of a site and period into one verdict.

    Parameters
    ----------
    results
        The results of a deep dive.
    alpha
        Probability of a headline marked *shown* where nothing changed (default 0.05).

    Returns
    -------
    VerdictAssessment
        The first verdict that applies:

        - "not comparable": the audits of the two periods do not represent the same decisions.
        - "too few audits": fewer than 30 audits, or an effective sample size below 10, in either period.
        - "incomplete period": the audits of the store begin or end inside the period.
        - "first period": there is no earlier period.
        - "artefact", "mix": measurement or mix explain the larger part of the change.
        - "worse", "better": a test of the work is significant.
        - "not proven": one test alone would be significant.
        - "steady": none of these.

    Notes
    -----
    Rates of false headlines are measured on two generators in `tests/benchmarks/bench_headlines.py`. The verdict cannot
    tell a change that all raters share from a change of the items where no column tells these apart.
    """
    current, baseline = results.verdict_inputs.current, results.verdict_inputs.baseline
    if not results.sampling.comparable:
        return VerdictAssessment("not comparable", "not proven", (), current, baseline)
    if not current.is_sufficient or not (baseline is None or baseline.is_sufficient):
        return VerdictAssessment("too few audits", "not proven", (), current, baseline)
    tests = list(_list_tests(results))
    significant = tuple(_select_by_holm(tests, alpha))
    verdict: Verdict = "first period"
    if results.drivers is not None:
        verdict = _choose_verdict(results, tests, significant, alpha)
    is_proven = verdict in ("worse", "better", "artefact", "mix")
    coverage = results.case.coverage
    if coverage is not None and not coverage.covers_period(results.case.period):
        provisional_grade: Grade = "likely" if is_proven else "not proven"
        return VerdictAssessment("incomplete period", provisional_grade, significant, current, baseline, verdict)
    return VerdictAssessment(verdict, "shown" if is_proven else "not proven", significant, current, baseline)


def _list_tests(results: DeepDive) -> Iterator[VerdictTest]:
    """Return each of the five tests that is available, with its smallest p-value."""
    if results.drivers is None:
        return
    first_day = (results.case.period.start - timedelta(days=LOOKBACK_DAYS)).isoformat()
    driver_findings = results.drivers.findings()
    alternatives = results.alternatives.findings() if results.alternatives is not None else ()
    dated = [
        finding
        for finding in results.trend.findings()
        if finding.since and finding.kind in ("step", "drift") and finding.since[2] >= first_day
    ]
    slices = [finding for finding in driver_findings if finding.kind in ("slice", "everywhere", "measurement")]
    measurements = [finding for finding in alternatives if finding.kind in ALTERNATIVE_KINDS]
    mix = [finding for finding in driver_findings if finding.kind == "mix"]
    candidates: dict[str, list[tuple[float, Finding[TestedKind]]]] = {
        "level": [(_get_p_value(finding), finding) for finding in driver_findings if finding.kind == "change"],
        "time": [(_get_p_value(finding), finding) for finding in dated],
        "place": [(results.verdict_inputs.p_value(finding), finding) for finding in slices],
        "mix": [
            (_compute_p_value(finding.estimate), finding) for finding in mix if isinstance(finding.estimate, Estimate)
        ],
        "measurement": [
            (_compute_bonferroni_p_value(finding.estimate), finding)
            for finding in measurements
            if isinstance(finding.estimate, Estimate)
        ],
    }
    for name, pairs in candidates.items():
        if pairs:
            p_value, finding = min(pairs, key=lambda pair: pair[0])
            yield VerdictTest(name, p_value, finding)


def _get_p_value(finding: Finding[TestedKind]) -> float:
    return 1.0 if finding.p_value is None else finding.p_value


def _compute_p_value(estimate: Estimate, standard_errors: float = Z_95) -> float:
    """Return the two-sided p-value of an estimate whose interval is so many standard errors wide on either side."""
    half_width = estimate.value - estimate.low if estimate.value > 0 else estimate.high - estimate.value
    if half_width <= 0:
        return float(estimate.value == 0)
    return float(2 * stats.norm.sf(standard_errors * abs(estimate.value) / half_width))


def _compute_bonferroni_p_value(estimate: Estimate) -> float:
    """Return the corrected p-value of an alternative explanation; their intervals hold jointly at 95 % (Bonferroni)."""
    tests = len(ALTERNATIVE_KINDS)
    standard_errors = float(stats.norm.isf(0.025 / tests))
    return min(tests * _compute_p_value(estimate, standard_errors), 1.0)


def _select_by_holm(tests: Sequence[VerdictTest], alpha: float) -> Iterator[Finding[TestedKind]]:
    """Return the findings that are jointly significant: those of the work first, by rising p-value."""
    performance_tests = sorted(
        (test for test in tests if test.name in PERFORMANCE_TESTS), key=lambda test: test.p_value
    )
    for step, test in enumerate(performance_tests):
        if test.p_value > PERFORMANCE_ALPHA_SHARE * alpha / (len(PERFORMANCE_TESTS) - step):
            break
        yield test.finding
    other_share = (1 - PERFORMANCE_ALPHA_SHARE) / (len(TESTS) - len(PERFORMANCE_TESTS))
    for test in tests:
        if test.name not in PERFORMANCE_TESTS and test.p_value <= other_share * alpha:
            yield test.finding


def _choose_verdict(
    results: DeepDive, tests: Sequence[VerdictTest], significant: Sequence[Finding[TestedKind]], alpha: float
) -> Verdict:
    # Any significant test makes a headline. What explains the change then needs its own interval only.
    causes = results.causes.causes if significant else ()
    measurement = [cause for cause in causes if cause.measurement]
    mix = [cause for cause in causes if cause.kind == "mix"]
    others = [cause for cause in causes if not cause.measurement and cause.kind != "mix"]
    other_share = _sum_shares(others)
    candidates: tuple[tuple[Verdict, Sequence[Any], Sequence[Any]], ...] = (
        ("artefact", measurement, mix),
        ("mix", mix, measurement),
    )
    for verdict, explanation, competitor in candidates:
        is_larger = bool(explanation) and _sum_points(explanation) >= _sum_points(competitor)
        if is_larger and (not others or _sum_shares(explanation) > max(other_share, MIN_EXPLAINED_SHARE)):
            return verdict
    work = [finding for finding in significant if finding.kind not in ("mix", "measurement", *ALTERNATIVE_KINDS)]
    if work:
        return "worse" if _errors_increased(work) else "better"
    is_one_significant = any(test.p_value <= alpha for test in tests if test.name in PERFORMANCE_TESTS)
    return "not proven" if is_one_significant else "steady"


def _sum_shares(causes: Sequence[Any]) -> float:
    return float(np.sum([abs(cause.share or 0.0) for cause in causes]))


def _sum_points(causes: Sequence[Any]) -> float:
    return float(np.sum([abs(cause.effect) for cause in causes]))


def _errors_increased(work: Sequence[Finding[TestedKind]]) -> bool:
    """Whether errors increased: in the level or a slice where one of these is significant, else in time."""
    undated = [finding for finding in work if finding.kind not in ("step", "drift")] or work
    return any(finding.estimate is not None and finding.estimate.value > 0 for finding in undated)
