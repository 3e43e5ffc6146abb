"""What is the true label of each item, given the labels of several raters, and how accurate is each rater?

A hierarchical version of the model of Dawid and Skene is fitted (`stats.truth_inference.dawid_skene`). With π_k the
prevalence of label k, C_r[k, l] the probability that rater r gives label l to an item with true label k, and l_ir the
label that r gave to item i,

    P(true label of i is k) ∝ π_k · Π_r C_r[k, l_ir]^t,

with t ≤ 1 the tempering, which discounts ratings that err together on hard items. The confusion matrices are shrunk
towards that of the rater's role. The accuracy of a rater is Σ_k π_k C_r[k, k]. Its interval is that of a beta
distribution with the rater's own ratings (Jeffreys prior).

References
----------
Dawid, A. P. and Skene, A. M. (1979). Maximum likelihood estimation of observer error-rates using the EM algorithm.
Applied Statistics 28, 20–28. The model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from rca_lib.audits.ratings import Ratings, encode_ratings
from rca_lib.findings import Estimate, Finding, Quantity, format_count, format_value, set_units
from rca_lib.result import Result
from rca_lib.stats.truth_inference.dawid_skene import DawidSkeneFit, fit_dawid_skene

TruthInferenceKind = Literal["inferred"]

INTERVAL_TAILS = (0.025, 0.975)  # of a two-sided 95% interval
JEFFREYS_PRIOR = 0.5  # both parameters of the beta prior of an accuracy


@dataclass(frozen=True, slots=True)
class RaterAccuracy:
    """The accuracy of a rater over the usual items, and the most frequent confusion: a true label and its wrong label.

    Attributes
    ----------
    rater, role
        Name and role.
    ratings
        Number of ratings.
    accuracy
        Probability that a rating is right.
    most_confused_truth, most_confused_label
        The most frequent error: the true label, and the label given instead.
    """

    rater: str
    role: str
    ratings: int
    accuracy: Estimate
    most_confused_truth: str
    most_confused_label: str


@dataclass(frozen=True, slots=True, eq=False)
class TruthInference(Result):
    """The inferred truth of every item.

    Attributes
    ----------
    items, rated_once
        Number of items, and of those with a single rating.
    expected_accuracy
        Mean probability of the inferred labels.
    tempering
        Weight of a rating beside others of its item; 1 where raters err independently.
    rater_accuracy
        Accuracy of each rater, by name.
    ratings, fit
        The ratings in codes, and the fitted model.
    """

    items: int
    rated_once: int
    expected_accuracy: float
    tempering: float
    rater_accuracy: tuple[RaterAccuracy, ...]
    ratings: Ratings
    fit: DawidSkeneFit

    def to_frame(self) -> pd.DataFrame:
        """Return one row per item: `item_id`, `label`, its `probability`, the `second_label`, number of `ratings`."""
        probabilities, labels = self.fit.label_probabilities, self.ratings.labels
        rows = np.arange(len(probabilities))
        best = probabilities.argmax(1)
        others = probabilities.copy()
        others[rows, best] = -1
        frame = pd.DataFrame(
            {
                "item_id": self.ratings.items,
                "label": labels[best],
                "probability": probabilities[rows, best],
                "second_label": labels[others.argmax(1)] if len(labels) > 1 else "",
                "ratings": np.bincount(self.ratings.item, minlength=len(best)),
            }
        )
        return set_units(frame, probability="%")

    def rater_frame(self) -> pd.DataFrame:
        """Return one row per rater, by name.

        Columns: `rater`, `role`, `ratings`, `accuracy` with `low` and `high`, `most_confused_truth`,
        `most_confused_label`.
        """
        rows = [
            {
                "rater": rater.rater,
                "role": rater.role,
                "ratings": rater.ratings,
                "accuracy": rater.accuracy.value,
                "low": rater.accuracy.low,
                "high": rater.accuracy.high,
                "most_confused_truth": rater.most_confused_truth,
                "most_confused_label": rater.most_confused_label,
            }
            for rater in self.rater_accuracy
        ]
        return set_units(pd.DataFrame(rows), accuracy="%", low="%", high="%")

    def summary(self) -> str:
        """Return the number of items and the expected accuracy of the inferred labels."""
        items, raters = format_count(self.items, "item"), format_count(len(self.rater_accuracy), "rater")
        accuracy = format_value(self.expected_accuracy, "%")
        summary = f"{items}, {raters}. Expected accuracy of the inferred labels: {accuracy}."
        if self.rated_once:
            count = format_count(self.rated_once, "item was", "items were")
            summary += f" {count} judged once; their accuracy is the usual one of the rater."
        return summary

    def findings(self) -> tuple[Finding[TruthInferenceKind], ...]:
        """Return the expected accuracy of the inferred labels."""
        accuracy = Quantity(self.expected_accuracy, unit="%")
        return (Finding("truth", "inferred", self.summary(), "likely", accuracy, "expected_accuracy"),)


def infer_truth(ratings: Any) -> TruthInference:
    """Infer the true label of every item, and the accuracy of every rater.

    Parameters
    ----------
    ratings
        One row per rater × item: `item_id`, `rater`, `label`, optionally `role` and `trial`. Raters of one role are
        assumed to err alike until their own ratings show otherwise.

    Returns
    -------
    TruthInference
        A label with its probability for every item, and an accuracy for every rater.

    Raises
    ------
    DataError
        If the ratings are invalid (`encode_ratings`).

    Notes
    -----
    Probabilities are calibrated where raters err independently, or alike on hard items (tempering). The model cannot
    see what all raters get wrong. Of an item judged once it knows only the usual accuracy of the rater. Intervals of
    accuracy do not include the uncertainty of the inferred truth.

    References
    ----------
    Dawid and Skene (1979). The docstring of the module has it.

    Examples
    --------
    >>> rows = [(f"i{item}", rater, "ok" if (item + (rater == "c")) % 2 else "bad") for item in range(30)
    ...     for rater in "abc"]
    >>> inference = infer_truth(pd.DataFrame(rows, columns=["item_id", "rater", "label"]))
    >>> inference.to_frame().loc[:1, ["item_id", "label"]].values.tolist()
    [['i0', 'bad'], ['i1', 'ok']]
    """
    encoded = encode_ratings(ratings)
    fit = fit_dawid_skene(encoded.to_coded_ratings())
    ratings_per_item = np.bincount(encoded.item, minlength=len(encoded.items))
    return TruthInference(
        items=len(ratings_per_item),
        rated_once=int((ratings_per_item == 1).sum()),
        expected_accuracy=round(float(fit.label_probabilities.max(1).mean()), 12),
        tempering=fit.tempering,
        rater_accuracy=_describe_raters(encoded, fit),
        ratings=encoded,
        fit=fit,
    )


def _describe_raters(ratings: Ratings, fit: DawidSkeneFit) -> tuple[RaterAccuracy, ...]:
    """Return accuracy and most frequent confusion of each rater."""
    prevalence = fit.label_probabilities.mean(0)
    accuracy = np.einsum("k,rkk->r", prevalence, fit.confusion)
    size = fit.items_judged.sum(1)
    tails = [[tail] for tail in INTERVAL_TAILS]
    correct = accuracy * size + JEFFREYS_PRIOR
    wrong = (1 - accuracy) * size + JEFFREYS_PRIOR
    low, high = np.asarray(stats.beta.ppf(tails, correct, wrong))
    limits: list[list[float]] = np.round(np.column_stack([accuracy, low, high]), 12).tolist()
    estimates = [Estimate(value, lower, upper, "%") for value, lower, upper in limits]
    # Probability of each confusion, raters × true label × label given; right labels do not count.
    confusions = fit.confusion * prevalence[:, None] * (1 - np.eye(len(prevalence)))
    most_frequent = confusions.reshape(len(confusions), -1).argmax(1)
    truth, label = (ratings.labels[codes] for codes in np.unravel_index(most_frequent, confusions.shape[1:]))
    counts = np.bincount(ratings.rater, minlength=len(accuracy)).tolist()
    rows = zip(ratings.raters, ratings.roles, counts, estimates, truth, label, strict=True)
    return tuple(RaterAccuracy(*row) for row in rows)
