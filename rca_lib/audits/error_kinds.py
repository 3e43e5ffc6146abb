"""What an error is, as its labels and actions tell: too strict, too lenient, another policy, steps off a scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rca_lib.audits.ledger import Ledger
from rca_lib.findings import DataError
from rca_lib.stats.texts import read_texts

KINDS = {
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


def read_grades(ledger: Ledger, ratings: pd.DataFrame) -> tuple[str, ...]:
    """Return the labels in their order, lowest first, where the mapping declares grades and every label is one.

    Parameters
    ----------
    ledger
        What the intake was told of the labels: `label_scale` and `label_order`.
    ratings
        One row per rater and item, with `label`.

    Returns
    -------
    tuple of str
        Empty where labels are no grades, or some are none of the grades, so that they have no place in the order.
    """
    if ledger.label_scale != "ordinal" or not set(ratings["label"].dropna()) <= set(ledger.label_order):
        return ()
    return ledger.label_order


def derive_kinds(rows: pd.DataFrame, benign: Sequence[str], scale: Sequence[str]) -> list[str]:
    """Return the kind of each error, a key of `KINDS`.

    Parameters
    ----------
    rows
        One row per error: `label`, `truth`, and `action`, `true_action`, `workflow` and `policy` where they exist.
    benign
        The labels that mean that nothing was violated.
    scale
        All labels in their order, where errors are told by their distance; empty where labels have no order.

    Raises
    ------
    DataError
        If a label or truth is not on the scale.
    """
    label, truth, action, true_action = (read_texts(rows, name) for name in ("label", "truth", "action", "true_action"))
    if scale:
        for name, values in (("label", label), ("truth", truth)):
            refuse_rows(
                rows, name, (values != "") & ~values.isin(scale), f"{name} is not on the scale", "complete `scale`"
            )
    place = {value: step for step, value in enumerate(scale)}
    steps = (label.map(place) - truth.map(place)).abs()
    same, passed, harmless = label == truth, label.isin(benign), truth.isin(benign)
    differs = same & (action != true_action) & (action != "") & (true_action != "")
    moderated = ~read_texts(rows, "workflow").isin(["annotation", "search_eval"])
    raised = [values.str.casefold().str.startswith("escalat") for values in (label, truth, action, true_action)]
    kinds = {
        "incomplete": label == "",
        "wrong_escalation": (raised[0] != raised[1]) | (differs & (raised[2] != raised[3])),
        "wrong_action": differs,
        "technical": same,
        "one_step_off": steps == 1,
        "more_steps_off": steps > 1,
        "over_enforcement": harmless & ~passed,
        "under_enforcement": passed & ~harmless,
        "wrong_policy": moderated & (read_texts(rows, "policy") != ""),
    }
    return np.select([mask.to_numpy(bool) for mask in kinds.values()], list(kinds), "wrong_label").tolist()


def refuse_rows(rows: pd.DataFrame, name: str, wrong: pd.Series, problem: str, mend: str) -> None:
    """Raise a DataError where rows are wrong, which tells of the first."""
    if wrong.any():
        first = rows.loc[wrong, ["audit_id", name]].iloc[0].to_dict()
        raise DataError(problem, column=name, rows=int(wrong.sum()), first=first, mend=f"{mend}, or mend the column")
