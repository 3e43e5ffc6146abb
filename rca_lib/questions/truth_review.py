# Tested in tests/questions/test_truth_inference.py.
"""Which of the given truths are probably wrong and should be audited again?

The given truth of an item counts as one more rating of it, by an auditor who errs as other auditors do. The model of
`infer_truth` then gives the probability of each label. The probability that the given truth k is wrong is

    1 − P(true label is k | all ratings of the item).

The share of wrong truths is the mean of these probabilities, with an interval for the items drawn and for the
uncertainty of each item.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd

from rca_lib.audits.ratings import add_truth_ratings
from rca_lib.findings import Estimate, Finding, Grade, format_count, set_units
from rca_lib.result import Result
from rca_lib.stats.proportions import estimate_mean_probability
from rca_lib.stats.truth_inference.dawid_skene import fit_dawid_skene

TruthReviewKind = Literal["suspects"]

SUSPECT_PROBABILITY = 0.5  # above, a truth is more likely wrong than right
MATERIAL_SHARE = 0.01  # the finding is graded likely if the lower limit of the share of wrong truths exceeds this
MIN_RATINGS = 2  # ratings beside the auditor; with fewer there is nothing to compare a truth with


@dataclass(frozen=True, slots=True)
class SuspectTruth:
    """A given truth and the probability that it is wrong.

    Attributes
    ----------
    item_id, truth
        The item, and the truth given for it.
    suggested_label
        The most probable other label.
    probability
        Probability that the truth is wrong.
    ratings, dissenting
        Number of ratings beside those of auditors, and of those that differ from the truth.
    policy
        Policy of the item; "" without one.
    """

    item_id: str
    truth: str
    suggested_label: str
    probability: float
    ratings: int
    dissenting: int
    policy: str


@dataclass(frozen=True, slots=True)
class TruthReview(Result):
    """The reviewed truths, those most probably wrong first.

    Attributes
    ----------
    reviewed
        Number of truths reviewed.
    not_reviewable
        Number of truths of items that at most one person judged beside the auditor; they cannot be reviewed.
    truths_without_ratings
        Number of truths of items without ratings.
    share
        Share of the reviewed truths that are wrong.
    suspects
        All reviewed truths.
    """

    reviewed: int
    not_reviewable: int
    truths_without_ratings: int
    share: Estimate
    suspects: tuple[SuspectTruth, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per truth, with the fields of `SuspectTruth`; those most probably wrong first."""
        names = [column.name for column in fields(SuspectTruth)]
        return set_units(pd.DataFrame([*self.suspects], columns=names), probability="%")

    def summary(self) -> str:
        """Return how many of the reviewed truths are suspect."""
        if not self.reviewed:
            single = format_count(self.not_reviewable, "item was", "items were")
            unrated = format_count(self.truths_without_ratings, "truth has", "truths have")
            summary = f"No truth could be reviewed: {single} judged by at most one person beside the auditor."
            return summary + (f" {unrated} no ratings." if self.truths_without_ratings else "")
        suspects = sum(suspect.probability > SUSPECT_PROBABILITY for suspect in self.suspects)
        summary = f"{suspects:,} of {self.reviewed:,} truths are probably wrong, or their policy is unclear."
        summary += f" Estimated share of wrong truths: {self.share}."
        if self.not_reviewable:
            summary += f" {self.not_reviewable:,} more could not be reviewed: they have too few ratings."
        return summary

    def findings(self) -> tuple[Finding[TruthReviewKind], ...]:
        """Return the share of wrong truths, graded "likely" if the lower limit of its interval is above 1%."""
        if not self.reviewed:
            return ()
        grade: Grade = "likely" if float(self.share.low) > MATERIAL_SHARE else "possible"
        return (Finding("truth", "suspects", self.summary(), grade, self.share, "share"),)


def review_truth(ratings: Any, truth: Any) -> TruthReview:
    """Rank the given truths by the probability that they are wrong.

    Parameters
    ----------
    ratings
        One row per rater × item, as `infer_truth` takes them.
    truth
        One row per item or audit: `item_id`, `truth`, optionally `auditor` and `policy`.

    Returns
    -------
    TruthReview
        Those most probably wrong first.

    Raises
    ------
    DataError
        If a column is missing, or the ratings are invalid (`encode_ratings`).

    Notes
    -----
    An item on which ratings are divided because the policy is unclear is suspect here as well; `attribute_errors` tells
    the two apart. The model cannot see errors shared by raters and auditor. The interval of the share allows for
    the items drawn and for the uncertainty of each, not for that of the model.

    References
    ----------
    Dawid, A. P. and Skene, A. M. (1979). Applied Statistics 28, 20–28. The model.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, "ok" if item % 2 else "bad") for item in range(40) for rater in "abc"]
    >>> ratings = pd.DataFrame(rows, columns=["item_id", "rater", "label"])
    >>> truth = ratings.drop_duplicates("item_id").rename(columns={"label": "truth"})
    >>> truth.loc[truth["item_id"] == "i7", "truth"] = "bad"
    >>> suspects = review_truth(ratings, truth).suspects
    >>> [(suspect.item_id, suspect.suggested_label) for suspect in suspects if suspect.probability > 0.5]
    [('i7', 'ok')]
    """
    truths, encoded, without_ratings = add_truth_ratings(truth, ratings)
    policy_by_item = dict(zip(truths["item_id"], truths["policy"], strict=True))
    fit = fit_dawid_skene(encoded.to_coded_ratings(policy_by_item))
    is_reviewed = truths["others"] >= MIN_RATINGS
    reviewed = truths[is_reviewed]
    probabilities = fit.label_probabilities[reviewed["item"]]
    given = np.arange(len(reviewed)), reviewed["given"].to_numpy()
    probability_wrong = np.clip(1 - probabilities[given], 0, 1)
    probabilities[given] = -1  # leaves the most probable other label
    suggested = encoded.labels[probabilities.argmax(1)] if len(reviewed) else []
    table = reviewed.assign(suggested=suggested, wrong=probability_wrong.round(12))
    table = table.sort_values(["wrong", "item_id", "truth"], ascending=[False, True, True])
    columns = ["item_id", "truth", "suggested", "wrong", "others", "against", "policy"]
    return TruthReview(
        reviewed=len(reviewed),
        not_reviewable=int((~is_reviewed).sum()),
        truths_without_ratings=without_ratings,
        share=estimate_mean_probability(probability_wrong),
        suspects=tuple(SuspectTruth(*row) for row in table[columns].itertuples(index=False, name=None)),
    )
