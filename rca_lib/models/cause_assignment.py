# Tested in tests/questions/test_error_tagging.py.
"""Assignment of a cause to each error: from disputes, people, rules and a classifier, in this order.

Each error gets the cause of the first source that gives one:

1. *Dispute.* A dispute decided for the rater proves that the truth was wrong. The cause is then a measurement cause:
   that of a person or rule if it is one, else the taxonomy's cause for disputes.
2. *Person.* The code of the first coder, else of the second. The confidence is 1, or 0.5 if the two codes differ.
3. *Rule.* The first rule of the taxonomy that matches, with the confidence that its author states.
4. *Classifier.* A classifier learned from coded errors, where its probability is high enough (`cause_classifier`).

All other errors get the taxonomy's unknown code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from rca_lib.audits.cause_rules import Rule, apply_rules
from rca_lib.audits.counting import fetch_errors
from rca_lib.audits.error_types import reject_rows
from rca_lib.audits.taxonomy import Taxonomy
from rca_lib.models.cause_classifier import FEATURE_COLUMNS, CauseClassifierEvaluation, predict_causes
from rca_lib.stats.text.embedding import extract_texts

RATER_UPHELD = "upheld_rater"  # value of `dispute`: the rater was right and the truth was wrong
CODE_COLUMNS = ("cause_code", "cause2_code")  # codes of the first and the second coder
CLASSIFIER_COLUMNS = ("audit_id", "decided_at", "comment", *FEATURE_COLUMNS)
DISPUTED_CODE_CONFIDENCE = 0.5  # of a person's code where the second coder differs: either may be right
NO_PREDICTION = ("", 0.0)


@dataclass(frozen=True, slots=True)
class ErrorTag:
    """The error type and the cause of one error.

    Attributes
    ----------
    audit_id
        Audit of the error.
    error_type
        Key of `error_types.ERROR_TYPES`.
    cause
        Cause code of the taxonomy.
    source
        What gave the cause: "person", "dispute", "rule:" with the name of the rule, "model" (the classifier) or "none".
    confidence
        Probability that the cause is right, as the source states it; 0 without a cause.
    measurement
        Whether the cause is the truth or the sample, so that the error counts against no rater.
    """

    audit_id: str
    error_type: str
    cause: str
    source: str
    confidence: float
    measurement: bool


@dataclass(frozen=True, slots=True, eq=False)
class CauseAssignment:
    """The tags of all errors, and what they are based on.

    Attributes
    ----------
    tags
        One tag per error, in the order of the rows.
    first_codes, second_codes
        Codes of the two coders, in the order of the rows; "" without a code.
    disputes_won
        Number of errors whose dispute was decided for the rater.
    classifier
        Cross-validated scores of the classifier; None if it was not fitted.
    skipped_rules
        Rules that could not be applied, each with the missing input.
    """

    tags: tuple[ErrorTag, ...]
    first_codes: np.ndarray
    second_codes: np.ndarray
    disputes_won: int
    classifier: CauseClassifierEvaluation | None
    skipped_rules: tuple[str, ...]


def assign_causes(
    rows: pd.DataFrame,
    error_types: Sequence[str],
    taxonomy: Taxonomy,
    *,
    events: pd.DataFrame,
    training_audits: Any = None,
    min_confidence: float | None = 0.6,
    seed: int = 0,
) -> CauseAssignment:
    """Assign a cause to each error.

    Parameters
    ----------
    rows
        One row per error, with `audit_id`, `label` and `truth`; other columns of the audits where they exist.
    error_types
        Error type of each row.
    taxonomy
        Causes and rules.
    events
        One row per event, as `read_events` gives them.
    training_audits
        Further audits with cause codes to learn from. Default: none.
    min_confidence
        Probability below which the classifier abstains; None fits no classifier. Default 0.6.
    seed
        Seed of the classifier.

    Returns
    -------
    CauseAssignment
        One tag per row.

    Raises
    ------
    DataError
        If a cause code is not in the taxonomy.
    """
    codes = first_codes, second_codes = [_read_cause_codes(rows, name, taxonomy) for name in CODE_COLUMNS]
    missing_inputs = {name: _find_missing_input(rule, rows, events) for name, rule in taxonomy.rules.items()}
    applicable_rules = {name: rule for name, rule in taxonomy.rules.items() if not missing_inputs[name]}
    matches = apply_rules(applicable_rules, rows, events)
    predictions, classifier = [NO_PREDICTION] * len(rows), None
    if min_confidence is not None:
        training = _collect_training_errors(training_audits, taxonomy)
        predictions, classifier = _predict_causes(rows, codes, matches, taxonomy, training, min_confidence, seed)
    upheld = (extract_texts(rows, "dispute") == RATER_UPHELD).tolist()
    build_tag = partial(_build_tag, taxonomy)
    tags = tuple(map(build_tag, rows["audit_id"].astype(str), error_types, *codes, matches, predictions, upheld))
    skipped = tuple(f"{name}: {missing}" for name, missing in missing_inputs.items() if missing)
    return CauseAssignment(tags, first_codes, second_codes, sum(upheld), classifier, skipped)


def _read_cause_codes(rows: pd.DataFrame, name: str, taxonomy: Taxonomy) -> np.ndarray:
    """Return a column of people's cause codes, "" where there is none."""
    codes = extract_texts(rows, name).str.strip()
    is_invalid = (codes != "") & ~codes.isin(list(taxonomy.causes))
    reject_rows(rows, name, is_invalid, "a cause code is not in the taxonomy", "add it to the taxonomy")
    # The top category of the unknown code says no more than the unknown code itself.
    return codes.replace(taxonomy.causes[taxonomy.unknown].top_category, taxonomy.unknown).to_numpy(object)


def _find_missing_input(rule: Rule, rows: pd.DataFrame, events: pd.DataFrame) -> str:
    """Return what a rule needs and does not have; "" if nothing is missing."""
    missing_columns = [name for name in rule.columns() if name not in rows]
    if missing_columns:
        return f"no column {missing_columns[0]}"
    return "no events were given" if rule.event and events.empty else ""


def _collect_training_errors(training_audits: Any, taxonomy: Taxonomy) -> pd.DataFrame:
    """Return the errors of further audits that people coded, in the order of time."""
    if training_audits is None:
        return pd.DataFrame(columns=[*CLASSIFIER_COLUMNS, "code"], dtype="str")
    rows = fetch_errors(training_audits, (*CLASSIFIER_COLUMNS, *CODE_COLUMNS))
    first, second = (_read_cause_codes(rows, name, taxonomy) for name in CODE_COLUMNS)
    errors = pd.DataFrame({name: extract_texts(rows, name) for name in CLASSIFIER_COLUMNS})
    errors["code"] = np.where(first != "", first, second)
    return errors[errors["code"] != ""].sort_values(["decided_at", "audit_id"], kind="stable")


def _predict_causes(
    rows: pd.DataFrame,
    codes: Sequence[np.ndarray],
    matches: Sequence[str],
    taxonomy: Taxonomy,
    training: pd.DataFrame,
    min_confidence: float,
    seed: int,
) -> tuple[list[tuple[str, float]], CauseClassifierEvaluation | None]:
    """Predict the cause of errors that have neither a code nor a rule; learn from the coded rows and `training`."""
    first, second = codes
    own = pd.DataFrame({name: extract_texts(rows, name) for name in CLASSIFIER_COLUMNS})
    own["code"] = np.where(first != "", first, second)
    own["asked"] = [match == "" for match in matches]
    earlier = training[~training["audit_id"].isin(own["audit_id"])].assign(asked=False)
    errors = pd.concat([earlier, own], ignore_index=True)
    errors["code"] = errors["code"].astype("str").replace(taxonomy.unknown, "")
    asked = errors["asked"].to_numpy(bool) & (errors["code"] == "").to_numpy(bool)
    predictions, classifier = predict_causes(
        errors, errors["code"].tolist(), asked.tolist(), confidence=min_confidence, seed=seed
    )
    return predictions[len(earlier) :], classifier


def _build_tag(
    taxonomy: Taxonomy,
    audit_id: str,
    error_type: str,
    first_code: str,
    second_code: str,
    match: str,
    prediction: tuple[str, float],
    upheld: bool,
) -> ErrorTag:
    """Return the tag of one error: the cause of the first source that gives one."""
    codes_differ = bool(first_code and second_code and first_code != second_code)
    candidates = [(first_code or second_code, "person", DISPUTED_CODE_CONFIDENCE if codes_differ else 1.0)]
    if match:
        rule = taxonomy.rules[match]
        candidates.append((rule.cause, f"rule:{match}", rule.confidence))
    predicted_code, probability = prediction
    candidates.append((predicted_code, "model", probability))
    candidates = [candidate for candidate in candidates if candidate[0]]
    if upheld:
        # Sources that name no measurement cause did not know the outcome of the dispute.
        candidates = [
            (code, source, confidence)
            for code, source, confidence in candidates
            if taxonomy.causes[code].measurement and source != "model"
        ]
        candidates.append((taxonomy.find_cause("dispute").code, "dispute", 1.0))
    cause, source, confidence = candidates[0] if candidates else (taxonomy.unknown, "none", 0.0)
    return ErrorTag(audit_id, error_type, cause, source, confidence, upheld or taxonomy.causes[cause].measurement)
