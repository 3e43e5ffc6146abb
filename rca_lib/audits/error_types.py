# Tested in tests/questions/test_error_tagging.py.
"""Error types, as labels and actions show them: over- or under-enforcement, wrong policy, steps off a scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from rca_lib.findings import DataError
from rca_lib.stats.text.embedding import extract_texts

ERROR_TYPES = {
    "over_enforcement": "Over-enforcement (benign, yet acted on)",
    "under_enforcement": "Under-enforcement (violating, yet let through)",
    "wrong_policy": "Wrong policy (violating, under another policy)",
    "wrong_label": "Wrong label",
    "wrong_action": "Wrong action or severity (right label)",
    "wrong_escalation": "Wrong escalation (missed or needless)",
    "incomplete": "Incomplete (no label)",
    "one_step_off": "One step off on the scale",
    "more_steps_off": "Two or more steps off on the scale",
    "technical": "Technical (right judgement, wrong outcome)",
}
UNMODERATED_WORKFLOWS = ("annotation", "search_eval")  # no policy is enforced there


class LabelScale(Protocol):
    """What is declared about labels; a ledger holds it."""

    @property
    def label_scale(self) -> str:
        """Type of the labels: nominal, ordinal or multilabel."""

    @property
    def label_order(self) -> tuple[str, ...]:
        """The labels of an ordinal scale, lowest first."""


def get_label_order(ledger: LabelScale, ratings: pd.DataFrame) -> tuple[str, ...]:
    """Return the labels in order, lowest first, where labels are declared as grades and all ratings use these grades.

    Parameters
    ----------
    ledger
        The ledger of the audits: `label_scale` and `label_order`.
    ratings
        One row per rater and item, with `label`.

    Returns
    -------
    tuple of str
        Empty where labels are not grades, or a rating uses a label that is not one of the grades.
    """
    if ledger.label_scale != "ordinal" or not set(ratings["label"].dropna()) <= set(ledger.label_order):
        return ()
    return ledger.label_order


def classify_errors(rows: pd.DataFrame, benign: Sequence[str], scale: Sequence[str]) -> list[str]:
    """Classify each error.

    Parameters
    ----------
    rows
        One row per error: `label`, `truth`, and `action`, `true_action`, `workflow` and `policy` where they exist.
    benign
        The labels that mean "no violation".
    scale
        All labels in order, where errors are classified by their distance; empty for labels without an order.

    Returns
    -------
    list of str
        A key of `ERROR_TYPES` per row. Where several types apply, the first of this order counts: incomplete, wrong
        escalation, wrong action, technical, steps off the scale, over- and under-enforcement, wrong policy, wrong
        label.

    Raises
    ------
    DataError
        If a label or truth is not on the scale.
    """
    label, truth, action, true_action = (
        extract_texts(rows, name) for name in ("label", "truth", "action", "true_action")
    )
    if scale:
        for name, values in (("label", label), ("truth", truth)):
            is_off_scale = (values != "") & ~values.isin(scale)
            reject_rows(rows, name, is_off_scale, f"{name} is not on the scale", "complete `scale`")
    position = {value: index for index, value in enumerate(scale)}
    steps = (label.map(position) - truth.map(position)).abs()
    is_same_label = label == truth
    labelled_benign, truly_benign = label.isin(benign), truth.isin(benign)
    is_other_action = is_same_label & (action != true_action) & (action != "") & (true_action != "")
    is_moderated = ~extract_texts(rows, "workflow").isin(UNMODERATED_WORKFLOWS)
    label_escalates, truth_escalates, action_escalates, true_action_escalates = (
        values.str.casefold().str.startswith("escalat") for values in (label, truth, action, true_action)
    )
    other_escalation = is_other_action & (action_escalates != true_action_escalates)
    masks = {
        "incomplete": label == "",
        "wrong_escalation": (label_escalates != truth_escalates) | other_escalation,
        "wrong_action": is_other_action,
        "technical": is_same_label,
        "one_step_off": steps == 1,
        "more_steps_off": steps > 1,
        "over_enforcement": truly_benign & ~labelled_benign,
        "under_enforcement": labelled_benign & ~truly_benign,
        "wrong_policy": is_moderated & (extract_texts(rows, "policy") != ""),
    }
    return np.select([mask.to_numpy(bool) for mask in masks.values()], list(masks), "wrong_label").tolist()


def reject_rows(rows: pd.DataFrame, name: str, is_invalid: pd.Series, problem: str, hint: str) -> None:
    """Raise a DataError where rows are invalid, with the first of them."""
    if is_invalid.any():
        first = rows.loc[is_invalid, ["audit_id", name]].iloc[0].to_dict()
        rows_affected = int(is_invalid.sum())
        raise DataError(problem, column=name, rows=rows_affected, first=first, hint=f"{hint}, or correct the column")
