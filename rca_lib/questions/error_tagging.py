"""What types of error occur, and what causes them?

Each error has an error type, derived from its labels and actions (`audits.error_types`), and a cause, assigned from
disputes, people, rules or a classifier (`models.cause_assignment`). This module counts both as a Pareto analysis.

The shares are weighted (`models.error_shares`). The agreement of two coders is Cohen's kappa.

References
----------
Cohen, J. (1960). A coefficient of agreement for nominal scales. Educational and Psychological Measurement 20, 37–46.
Landis, J. R. and Koch, G. G. (1977). The measurement of observer agreement for categorical data. Biometrics 33,
159–174. The limit of fair agreement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from rca_lib.audits.cause_rules import EMPTY_EVENTS
from rca_lib.audits.counting import fetch_errors, prepare_audits
from rca_lib.audits.error_types import ERROR_TYPES, classify_errors
from rca_lib.audits.schema import AUDIT_COLUMNS, list_columns, parse_scope
from rca_lib.audits.taxonomy import Taxonomy
from rca_lib.findings import (
    DISPLAY_TOLERANCE,
    Estimate,
    Finding,
    Grade,
    Quantity,
    Rate,
    format_count,
    set_units,
)
from rca_lib.models.cause_assignment import ErrorTag, assign_causes
from rca_lib.models.cause_classifier import CauseClassifierEvaluation
from rca_lib.models.error_shares import ErrorShare, compute_error_shares, estimate_error_share
from rca_lib.result import Result

TaggingKind = Literal["what", "why", "owner", "measurement"]

FAIR_KAPPA = 0.4  # kappa up to which agreement is at most fair (Landis and Koch 1977)
MAJORITY = 0.5  # share that the only error type must exceed to be the leading one


@dataclass(frozen=True, slots=True)
class ErrorTagging(Result):
    """Error types and causes of all errors: the largest share first, errors without a cause last.

    Attributes
    ----------
    errors
        Number of errors.
    by_error_type, by_cause, by_owner
        Shares of the errors by error type, by cause, and by owner of the cause.
    undetermined
        Number of errors without a cause.
    measurement_errors
        Number of errors with a measurement cause; they count against no rater.
    disputes_won
        Number of errors whose dispute was decided for the rater.
    measurement_share
        Weighted share of the errors with a measurement cause; None without errors.
    coder_kappa
        Agreement of two coders; None if one of them used fewer than two codes.
    classifier
        Cross-validated scores of the classifier; None if it was not fitted.
    classifier_kappa
        Agreement of the classifier with people; None without a classifier.
    tags_by_source
        Number of causes by source, such as ("person", 12).
    not_available
        Rules that could not be applied, each with the missing input.
    tags
        One tag per error, in the order of `audit_id`.
    """

    errors: int
    by_error_type: tuple[ErrorShare, ...]
    by_cause: tuple[ErrorShare, ...]
    by_owner: tuple[ErrorShare, ...]
    undetermined: int
    measurement_errors: int
    disputes_won: int
    measurement_share: Rate | None
    coder_kappa: Estimate | Quantity | None
    classifier: CauseClassifierEvaluation | None
    classifier_kappa: Estimate | Quantity | None
    tags_by_source: tuple[tuple[str, int], ...]
    not_available: tuple[str, ...]
    tags: tuple[ErrorTag, ...]

    @property
    def weighted(self) -> bool:
        """Whether the weights of the audits change a displayed share."""
        return any(abs(part.share.value - part.errors / self.errors) > DISPLAY_TOLERANCE for part in self.by_cause)

    @property
    def excluded(self) -> tuple[str, ...]:
        """The `audit_id`s of the errors that count against no rater."""
        return tuple(tag.audit_id for tag in self.tags if tag.measurement)

    def to_frame(self) -> pd.DataFrame:
        """Return the Pareto table: one row per cause, the fields of `ErrorShare` and three more.

        `low` and `high` are the limits of `share`, `cumulative` is its running sum.
        """
        rows = [
            asdict(part) | {"share": part.share.value, "low": part.share.low, "high": part.share.high}
            for part in self.by_cause
        ]
        frame = pd.DataFrame(rows, columns=[*(field.name for field in fields(ErrorShare)), "low", "high"])
        frame = frame.assign(cumulative=frame["share"].astype(float).cumsum())
        return set_units(frame, **dict.fromkeys(("share", "low", "high", "severity_weighted_share", "cumulative"), "%"))

    def summary(self) -> str:
        """Return the leading error type, the sources of the causes, and the leading cause."""
        if not self.errors:
            return "No errors: nothing to tag."
        leading_type = self.by_error_type[0]
        sentences = [
            f"{format_count(self.errors, 'error')}. Most frequent error type: {leading_type.name},"
            f" {leading_type.share}.",
            self._describe_sources(),
        ]
        if self.undetermined < self.errors:
            sentences.append(f"Most frequent cause: {self.by_cause[0].name}, {self.by_cause[0].share}.")
        if self.measurement_errors:
            counted = format_count(self.measurement_errors, "error counts", "errors count")
            sentences.append(f"{counted} against no rater: the cause is the truth or the sample.")
        if self.weighted:
            sentences.append("Shares are weighted to all decisions; counts are not.")
        if self.coder_kappa:
            sentences.append(f"Agreement of two coders: kappa {self.coder_kappa}.")
        if self.classifier:
            kappa = f" (kappa {self.classifier_kappa})" if self.classifier_kappa else ""
            sentences.append(f"{str(self.classifier).capitalize()}{kappa}.")
        return " ".join(sentences)

    def _describe_sources(self) -> str:
        """Return how many causes each source gave."""
        counts = dict(self.tags_by_source)
        people, classifier, none, disputes = (counts.get(name, 0) for name in ("person", "model", "none", "dispute"))
        rules = self.errors - people - classifier - none - disputes
        settled = f" {disputes:,} by disputes," if disputes else ""
        return (
            f"Causes assigned: {people:,} by people, {rules:,} by rules, {classifier:,} by a classifier,{settled}"
            f" {none:,} without a cause."
        )

    def findings(self) -> tuple[Finding[TaggingKind], ...]:
        """Return the leading error type, cause and owner, and the share of measurement errors.

        The leading error type is graded "shown" if its interval lies above that of the next type, or above one half if
        it is the only type. Causes are judgements. They are graded "likely" if people coded most of them and two coders
        agree more than fairly (kappa above 0.4, or only one coder), else "possible".
        """
        if not self.errors:
            return ()
        types, grade = self.by_error_type, self._grade_causes()
        runner_up = types[1].share.high if len(types) > 1 else MAJORITY
        type_grade: Grade = "shown" if types[0].share.low > runner_up else "possible"
        findings: list[Finding[TaggingKind]] = [
            _leading_finding("what", "by_error_type", types, "Most frequent error type", type_grade)
        ]
        if self.undetermined < self.errors:
            findings.append(_leading_finding("why", "by_cause", self.by_cause, "Most frequent cause", grade))
            findings.append(_leading_finding("owner", "by_owner", self.by_owner, "Owner of the most causes", grade))
        if self.measurement_share and self.measurement_errors:
            sentence = (
                f"{self.measurement_share} of the errors are attributed to the truth or the sample, not to a rater."
            )
            findings.append(
                Finding("taxonomy", "measurement", sentence, grade, self.measurement_share, "measurement_share")
            )
        return tuple(findings)

    def _grade_causes(self) -> Grade:
        """Return how certain the causes are."""
        counts = dict(self.tags_by_source)
        mostly_people = 2 * counts.get("person", 0) > self.errors - counts.get("none", 0)
        coders_agree = self.coder_kappa is None or float(self.coder_kappa.value) > FAIR_KAPPA
        return "likely" if mostly_people and coders_agree else "possible"


def tag_errors(
    audits: Any,
    taxonomy: Taxonomy,
    *,
    events: pd.DataFrame = EMPTY_EVENTS,
    benign: Sequence[str] = ("benign",),
    label_order: Sequence[str] = (),
    training_audits: Any = None,
    min_confidence: float | None = 0.6,
    seed: int = 0,
) -> ErrorTagging:
    """Tag every error with its error type and, where a source gives one, its cause.

    Parameters
    ----------
    audits
        One row per audited decision, with `audit_id`, `label` and `truth`. Keep one stream, or the proportional
        streams, beforehand; only the errors are fetched.
    taxonomy
        Causes and rules, from `read_taxonomy`.
    events
        One row per event, as `read_events` gives them. An event whose scope names a missing column matches nothing.
        Default: none.
    benign
        Labels that mean "no violation". Default: "benign".
    label_order
        All labels in their order, if errors are classified by their distance. Default: labels have no order.
    training_audits
        Further audits with cause codes to learn from, such as those of earlier months. Default: none.
    min_confidence
        Probability below which the classifier abstains; None fits no classifier. Default 0.6.
    seed
        Seed of the classifier. Default 0.

    Returns
    -------
    ErrorTagging
        Shares by error type, cause and owner, and one tag per error.

    Raises
    ------
    DataError
        If a column is missing, a cause code is not in the taxonomy, or a label is not in `label_order`.

    Notes
    -----
    `models.cause_assignment` documents the order of the sources. A matching rule is evidence, not proof: a pattern does
    not understand "not a misclick". An error without a cause is not thereby an error of the rater. Error types are as
    right as the truth is.

    References
    ----------
    Cohen (1960); Landis and Koch (1977). The docstring of the module has both.

    Examples
    --------
    >>> from rca_lib.audits.taxonomy import read_taxonomy
    >>> audits = pd.DataFrame({"audit_id": ["1"], "label": ["spam"], "truth": ["benign"], "comment": ["a misclick"]})
    >>> taxonomy = read_taxonomy()
    >>> [(tag.error_type, taxonomy.causes[tag.cause].name) for tag in tag_errors(audits, taxonomy).tags]
    [('over_enforcement', 'Slip: right intention, wrong click')]
    """
    prepare_audits(audits, required=("audit_id", "label", "truth"))
    rows = _fetch_errors(audits, events)
    types = classify_errors(rows, benign, label_order)
    assignment = assign_causes(
        rows, types, taxonomy, events=events, training_audits=training_audits, min_confidence=min_confidence, seed=seed
    )
    tags, classifier = assignment.tags, assignment.classifier
    owners = [taxonomy.causes[tag.cause].owner if tag.cause != taxonomy.unknown else "" for tag in tags]
    is_measurement = np.array([tag.measurement for tag in tags], bool)
    classifier_kappa = None
    if classifier is not None:
        predicted, actual = (np.array(codes, object) for codes in (classifier.predicted, classifier.actual))
        classifier_kappa = _compute_kappa(predicted, actual)
    return ErrorTagging(
        errors=len(rows),
        by_error_type=compute_error_shares(rows, types, ERROR_TYPES),
        by_cause=compute_error_shares(rows, [tag.cause for tag in tags], taxonomy.causes, taxonomy.unknown),
        by_owner=compute_error_shares(rows, owners),
        undetermined=sum(tag.cause == taxonomy.unknown for tag in tags),
        measurement_errors=int(is_measurement.sum()),
        disputes_won=assignment.disputes_won,
        measurement_share=estimate_error_share(rows, is_measurement) if len(rows) else None,
        coder_kappa=_compute_kappa(assignment.first_codes, assignment.second_codes),
        classifier=classifier,
        classifier_kappa=classifier_kappa,
        tags_by_source=tuple(sorted(Counter(tag.source for tag in tags).items())),
        not_available=assignment.skipped_rules,
        tags=tags,
    )


def _fetch_errors(audits: Any, events: pd.DataFrame) -> pd.DataFrame:
    """Return the errors by `audit_id`, with all columns that rules and scopes of events may read."""
    scope_columns = {name for scope in events["scope"] for name in parse_scope(scope)}
    rows = fetch_errors(audits, sorted({*list_columns(AUDIT_COLUMNS), *scope_columns}))
    return rows.sort_values("audit_id", ignore_index=True, kind="stable")


def _leading_finding(
    kind: TaggingKind, field: str, shares: Sequence[ErrorShare], title: str, grade: Grade
) -> Finding[TaggingKind]:
    """Return the finding about the largest share of a field of the result."""
    leading = shares[0]
    sentence = f"{title}: {leading.name}, {leading.share} of the errors."
    return Finding("taxonomy", kind, sentence, grade, leading.share, f"{field}[0].share")


def _compute_kappa(first: np.ndarray, second: np.ndarray) -> Estimate | Quantity | None:
    """Return Cohen's kappa of two coders; None if one of them used fewer than two codes."""
    is_coded_twice = (first != "") & (second != "")
    first, second = first[is_coded_twice], second[is_coded_twice]
    if min(len(set(first)), len(set(second))) < 2:
        return None
    codes = sorted({*first, *second})
    table = pd.crosstab(first, second).reindex(index=codes, columns=codes, fill_value=0)
    kappa = cohens_kappa(table.to_numpy())
    if not kappa.std_kappa > 0:
        return Quantity(float(kappa.kappa))
    return Estimate(float(kappa.kappa), max(float(kappa.kappa_low), -1.0), min(float(kappa.kappa_upp), 1.0))
