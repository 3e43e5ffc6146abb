"""The calibration report: what is asked of the truth and of those who set it, in one place, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from rca_lib.audits.counting import has_values, keep_proportional
from rca_lib.audits.error_kinds import read_grades
from rca_lib.audits.ledger import Ledger
from rca_lib.audits.ratings import ratings_from_audits
from rca_lib.audits.sampling import describe_sampling
from rca_lib.questions.auditors import Auditors, compare_auditors
from rca_lib.questions.correction import Correction, correct_accuracy
from rca_lib.questions.explanations import Explanations, explain_disagreements
from rca_lib.questions.reliability import Agreement, measure_agreement
from rca_lib.questions.truth import TruthReview, review_truth


@dataclass(frozen=True, slots=True)
class Calibration:
    """The answers; `auditors` is None without a column `auditor`, `correction` without `audit_round`."""

    agreement: Agreement
    review: TruthReview
    explanations: Explanations
    auditors: Auditors | None
    correction: Correction | None


def answer_calibration(
    audits: Any, overlap: pd.DataFrame, *, second: str = "same", ledger: Ledger | None = None
) -> Calibration:
    """Ask every question of the truth.

    Parameters
    ----------
    audits
        One row per audit, every stream and round, of one period; `overlap` the ratings of their items, a row each
        (`open_calibration` gives both).
    second
        What a second audit is: as good as the first ("same"), or right ("final").
    ledger
        What the intake was told of the labels (`open_ledger`): whether they are grades. None: they have no order.
    """
    first, ratings = keep_proportional(audits), ratings_from_audits(audits, overlap, about=("policy", "site"))
    grades = read_grades(ledger, ratings) if ledger is not None else ()
    scale, by = "ordinal" if grades else "nominal", [name for name in ("policy", "site") if name in ratings]
    twice = has_values(audits, "audit_round") and not describe_sampling(audits).second_rounds
    return Calibration(
        measure_agreement(ratings, scale=scale, categories=grades or None, by=by),
        review_truth(ratings, first),
        explain_disagreements(ratings, first),
        compare_auditors(first) if has_values(first, "auditor") else None,
        correct_accuracy(audits, second=second) if twice else None,
    )
